//! Real sockets on loopback, one thread, no waiting for wall-clock time.

use std::os::fd::AsFd;

use super::*;
use crate::base::limits::CONTROL_CONNECTIONS_MAX;
use crate::control::params::{Network, Params, RateLimit};
use crate::control::state::tests::{params, state, with};

/// A client's end, and its connection being served.
fn connect(connections: &Connections, state: &Rc<State>, first: &str) -> TcpStream {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, peer) = listener.accept().unwrap();
    server.set_nonblocking(true).unwrap();
    let local = server.local_addr().unwrap();
    let socket = server.as_fd().try_clone_to_owned().unwrap();
    drop(server);
    connections.take(HandedConnection { socket, bytes: first.as_bytes().to_vec(), peer, local }, state);
    TcpStream::from_std(client)
}

async fn send(client: &TcpStream, text: &str) {
    client.write_all(text.as_bytes().to_vec()).await.0.unwrap();
}

/// Everything until the server closes.
async fn rest(client: &TcpStream) -> String {
    let mut all = Vec::new();
    loop {
        let (result, bytes) = client.read(Vec::with_capacity(4096)).await;
        if result.unwrap() == 0 {
            return String::from_utf8(all).unwrap();
        }
        all.extend_from_slice(&bytes);
    }
}

/// What comes in reply to one request of a client that keeps the connection.
async fn until(client: &TcpStream, end: &str) -> String {
    let mut all = String::new();
    while !all.ends_with(end) {
        let (result, bytes) = client.read(Vec::with_capacity(4096)).await;
        assert_ne!(result.unwrap(), 0, "closed after {all:?}");
        all.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    all
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    tokio_uring::start(async {
        let (connections, state) = (Connections::with_max(CONTROL_CONNECTIONS_MAX), state());
        let client = connect(&connections, &state, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /heal");
        let first = until(&client, "}").await;
        assert!(first.contains("Connection: keep-alive"), "{first}");
        send(&client, "thz HTTP/1.1\r\n\r\nHEAD /healthz HTTP/1.1\r\n\r\n").await;
        let second = until(&client, "\r\n\r\n").await;
        assert_eq!(second.matches("Content-Length: 15").count(), 2, "{second}");
        assert_eq!(second.matches(r#"{"status":"ok"}"#).count(), 1, "{second}");
        send(&client, "GET /healthz HTTP/1.0\r\n\r\n").await;
        assert!(rest(&client).await.contains("Connection: close"));
        assert_eq!(connections.permits.borrow().held(), 0);
    });
}

#[test]
fn a_body_that_is_announced_is_asked_for() {
    tokio_uring::start(async {
        let (connections, state) = (Connections::with_max(CONTROL_CONNECTIONS_MAX), state());
        let body = r#"{"item_key":"a"}"#;
        let head = format!(
            "POST /api/channels HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let client = connect(&connections, &state, &head);
        assert_eq!(until(&client, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
        send(&client, body).await;
        let answer = until(&client, "}").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    });
}

#[test]
fn a_body_may_come_in_chunks() {
    tokio_uring::start(async {
        let (connections, state) = (Connections::with_max(CONTROL_CONNECTIONS_MAX), state());
        let head = "POST /api/channels HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"ite";
        let client = connect(&connections, &state, head);
        send(&client, "\r\nb\r\nm_key\":\"a\"}\r\n0\r\n\r\n").await;
        let answer = rest(&client).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        let client = connect(&connections, &state, &head.replace("5\r\n{\"ite", "zz\r\n"));
        assert!(rest(&client).await.starts_with("HTTP/1.1 400 "));
        let endless = format!("{}7ff\r\n{}", &head[..head.len() - 8], "a".repeat(1500));
        let client = connect(&connections, &state, &endless);
        assert!(rest(&client).await.starts_with("HTTP/1.1 413 "));
    });
}

#[test]
fn what_is_too_long_or_no_request_is_answered_and_closed() {
    tokio_uring::start(async {
        let (connections, state) = (Connections::with_max(CONTROL_CONNECTIONS_MAX), state());
        for (request, status) in [
            ("POST /api/channels HTTP/1.1\r\nContent-Length: 99999\r\n\r\n{", "413"),
            ("POST /nothing HTTP/1.1\r\nContent-Length: 5\r\n\r\n", "404"),
            ("NONSENSE\r\n\r\n", "400"),
        ] {
            let client = connect(&connections, &state, request);
            let answer = rest(&client).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
            assert!(answer.contains("Connection: close"), "{answer}");
        }
    });
}

#[test]
fn bodies_are_refused_before_they_are_read() {
    tokio_uring::start(async {
        let (connections, state) = (Connections::with_max(CONTROL_CONNECTIONS_MAX), state());
        for (request, status) in [
            (
                "POST /lineup.post?scan=start HTTP/1.1\r\nContent-Length: 1000000\r\nExpect: 100-continue",
                "413",
            ),
            ("POST /lineup.post HTTP/1.1\r\nTransfer-Encoding: chunked", "413"),
            ("GET /lineup.json HTTP/1.1\r\nContent-Length: 1", "413"),
            ("DELETE /api/channels/7 HTTP/1.1\r\nContent-Length: 2", "413"),
            ("POST /api/channels/7/sources/health/clear HTTP/1.1\r\nContent-Length: 2", "413"),
            ("POST /api/channels HTTP/1.1\r\nContent-Length: 1025\r\nExpect: 100-continue", "413"),
            ("POST /api/channels HTTP/1.1", "411"),
            ("PUT /api/profiles/a HTTP/1.1", "411"),
            ("POST /api/channels HTTP/1.1\r\nContent-Length: 2\r\nContent-Type: text/plain", "415"),
            (
                "POST /api/channels HTTP/1.1\r\nContent-Length: 2\r\nContent-Type: multipart/form-data; boundary=x",
                "415",
            ),
            ("POST /api/channels HTTP/1.1\r\nContent-Length: 2\r\nContent-Encoding: gzip", "415"),
            (
                "PATCH /api/channels/7 HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Type: text/html",
                "415",
            ),
        ] {
            let client = connect(&connections, &state, &format!("{request}\r\n\r\n"));
            let answer = until(&client, "}").await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        }
        // None of these has a body that is not taken.
        for request in [
            "POST /lineup.post?scan=start HTTP/1.1\r\nContent-Length: 0\r\nContent-Type: text/plain",
            "POST /lineup.post?scan=start HTTP/1.1",
        ] {
            let client = connect(&connections, &state, &format!("{request}\r\n\r\n"));
            assert!(rest(&client).await.starts_with("HTTP/1.1 200 "), "{request}");
        }
        for content_type in ["application/json; charset=utf-8", "application/x-www-form-urlencoded"] {
            let body = r#"{"item_key":"none"}"#;
            let head = format!(
                "POST /api/channels HTTP/1.1\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let client = connect(&connections, &state, &head);
            assert!(until(&client, "}").await.starts_with("HTTP/1.1 404 "), "{content_type}");
        }
        assert_eq!(connections.bodies.0.get(), 0);
    });
}

#[test]
fn bodies_of_all_connections_together_have_a_bound() {
    tokio_uring::start(async {
        let (connections, state) = (Connections::with_max(CONTROL_CONNECTIONS_MAX), state());
        let mut waiting = Vec::new();
        let head = "POST /api/channels HTTP/1.1\r\nContent-Length: 1024\r\nExpect: 100-continue\r\n\r\n";
        let rest_of_it = connections.bodies.take(BODIES_BYTES_MAX - 3 * 1024, BODIES_BYTES_MAX).unwrap();
        for _ in 0..3 {
            // Those of players have half of it, and that is gone.
            let of_a_player = head.replace("/api/channels", "/upnp/control/content-directory");
            let refused = rest(&connect(&connections, &state, &of_a_player)).await;
            assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
            let client = connect(&connections, &state, head);
            assert_eq!(until(&client, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
            waiting.push(client);
        }
        let refused = rest(&connect(&connections, &state, head)).await;
        assert!(
            refused.starts_with("HTTP/1.1 503 ") && refused.contains("\r\nRetry-After: 1\r\n"),
            "{refused}"
        );
        let chunked = "POST /api/channels HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(rest(&connect(&connections, &state, chunked)).await.starts_with("HTTP/1.1 503 "));
        // What needs no body is served all the same.
        let client = connect(&connections, &state, "GET /healthz HTTP/1.0\r\n\r\n");
        assert!(rest(&client).await.starts_with("HTTP/1.1 200 "));
        send(&waiting[0], &"x".repeat(1024)).await;
        assert!(until(&waiting[0], "}").await.starts_with("HTTP/1.1 400 "));
        let client = connect(&connections, &state, head);
        assert_eq!(until(&client, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
        drop(rest_of_it);
    });
}

/// A whole table of connections of this host.
fn crowd(connections: &Connections) -> Vec<Permit> {
    (0..CONTROL_CONNECTIONS_MAX).map(|_| Permit::take(&connections.permits, Holder::Free).unwrap()).collect()
}

#[test]
fn above_the_limit_a_connection_is_told_so_and_closed_and_so_many_at_a_time() {
    tokio_uring::start(async {
        let (connections, state) = (Connections::with_max(CONTROL_CONNECTIONS_MAX), state());
        let crowd = crowd(&connections);
        let request = "GET /healthz HTTP/1.1\r\n\r\n";
        assert!(rest(&connect(&connections, &state, request)).await.starts_with("HTTP/1.1 503 "));
        connections.refusals.0.set(REFUSALS_MAX);
        assert_eq!(rest(&connect(&connections, &state, request)).await, "");
        assert_eq!((connections.refused.get().count, connections.refused.get().logged), (2, 1));
        drop(crowd);
        let client = connect(&connections, &state, "GET /healthz HTTP/1.0\r\n\r\n");
        assert!(rest(&client).await.starts_with("HTTP/1.1 200 "));
    });
}

#[test]
fn the_oldest_connection_that_waits_for_a_request_gives_way() {
    tokio_uring::start(async {
        let (connections, state) = (Connections::with_max(CONTROL_CONNECTIONS_MAX), state());
        let mut crowd = crowd(&connections);
        crowd.truncate(CONTROL_CONNECTIONS_MAX - 2);
        let request = "GET /healthz HTTP/1.1\r\n\r\n";
        let (first, second) =
            (connect(&connections, &state, request), connect(&connections, &state, request));
        until(&first, "}").await;
        until(&second, "}").await;
        let third = connect(&connections, &state, request);
        assert!(until(&third, "}").await.starts_with("HTTP/1.1 200 "));
        assert_eq!(rest(&first).await, "");
        send(&second, request).await;
        assert!(until(&second, "}").await.starts_with("HTTP/1.1 200 "));
    });
}

#[test]
fn whoever_has_been_refused_and_is_only_heard_out_gives_way() {
    tokio_uring::start(async {
        let (connections, state) = (Connections::with_max(CONTROL_CONNECTIONS_MAX), state());
        let mut crowd = crowd(&connections);
        crowd.truncate(CONTROL_CONNECTIONS_MAX - 1);
        let refused = connect(
            &connections,
            &state,
            "POST /lineup.post HTTP/1.1\r\nHost: tv\r\nContent-Length: 1048576\r\n\r\nx",
        );
        assert!(until(&refused, "}").await.starts_with("HTTP/1.1 413 "));
        let client = connect(&connections, &state, "GET /healthz HTTP/1.0\r\n\r\n");
        assert!(rest(&client).await.starts_with("HTTP/1.1 200 "));
    });
}

#[test]
fn a_stream_that_is_asked_for_on_a_kept_connection_goes_to_its_core() {
    let (mailbox, mut core) = crate::engine::Mailbox::new().unwrap();
    tokio_uring::start(async {
        let (connections, state) =
            (Connections::with_max(CONTROL_CONNECTIONS_MAX), with(params(), vec![mailbox]));
        let client = connect(&connections, &state, "GET /healthz HTTP/1.1\r\n\r\n");
        until(&client, "}").await;
        let request = "GET /auto/v7 HTTP/1.1\r\nHost: a\r\n\r\nand more";
        send(&client, request).await;
        let taken = loop {
            match core.take() {
                Some(CoreCommand::Viewer(connection)) => break connection,
                Some(_) => {}
                None => tokio::task::yield_now().await,
            }
        };
        assert_eq!(String::from_utf8_lossy(&taken.bytes), request);
        assert_eq!(connections.permits.borrow().held(), 0);
        let mut socket = std::net::TcpStream::from(taken.socket);
        std::io::Write::write_all(&mut socket, b"a stream").unwrap();
        drop(socket);
        assert_eq!(rest(&client).await, "a stream");
    });
}

#[test]
fn a_client_that_asks_too_often_is_told_when_it_may_ask_again() {
    tokio_uring::start(async {
        let limit = RateLimit { per_second: 0.5, burst: 3, clients_max: 10 };
        let proxy = Network { address: "127.0.0.1".parse().unwrap(), prefix_bits: 32 };
        let params = Params { rate_limit: Some(limit), trusted_proxies: vec![proxy], ..params() };
        let (connections, state) = (Connections::with_max(CONTROL_CONNECTIONS_MAX), with(params, Vec::new()));
        let status = async |path: &str, client: &str| {
            let client =
                if client.is_empty() { String::new() } else { format!("X-Forwarded-For: {client}\r\n") };
            let request = format!("GET {path} HTTP/1.0\r\n{client}\r\n");
            rest(&connect(&connections, &state, &request)).await
        };
        for _ in 0..3 {
            assert!(status("/lineup_status.json", "192.0.2.7").await.starts_with("HTTP/1.1 200 "));
        }
        let refused = status("/lineup_status.json", "192.0.2.7").await;
        assert!(
            refused.starts_with("HTTP/1.1 429 ") && refused.contains("\r\nRetry-After: 2\r\n"),
            "{refused}"
        );
        assert!(status("/healthz", "192.0.2.7").await.starts_with("HTTP/1.1 200 "));
        assert!(status("/lineup_status.json", "192.0.2.8").await.starts_with("HTTP/1.1 200 "));
        for _ in 0..5 {
            assert!(status("/lineup_status.json", "").await.starts_with("HTTP/1.1 200 "), "this host");
        }
    });
}

#[test]
fn a_panic_ends_the_request_and_nothing_else() {
    tokio_uring::start(async {
        let panics = Cell::new(0);
        let (answer, usable) = guarded("GET /x", None, async { panic!("on purpose") }, &panics).await;
        assert_eq!((answer.status(), usable, panics.get()), (500, false, 1));
        let (answer, usable) = guarded("GET /x", None, async { Response::new(200) }, &panics).await;
        assert_eq!((answer.status(), usable, panics.get()), (200, true, 1));
    });
}

#[test]
fn a_request_whose_time_is_up_is_answered_and_goes_on() {
    tokio_uring::start(async {
        let (panics, done) = (Cell::new(0), Rc::new(tokio::sync::Notify::new()));
        let (go_on, gone_on) = (Rc::clone(&done), Rc::new(tokio::sync::Notify::new()));
        let end = Rc::clone(&gone_on);
        let work = async move {
            go_on.notified().await;
            end.notify_one();
            Response::new(200)
        };
        let (answer, usable) = guarded("GET /x", Some(Duration::from_millis(1)), work, &panics).await;
        assert_eq!((answer.status(), usable), (503, false));
        done.notify_one();
        gone_on.notified().await;
    });
}
