//! Real sockets on loopback, one thread, no waiting for wall-clock time.

use std::os::fd::AsFd;

use super::*;
use crate::control::state::tests::state;

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
        let (connections, state) = (Connections::default(), state());
        let client = connect(&connections, &state, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /heal");
        let first = until(&client, "}").await;
        assert!(first.contains("Connection: keep-alive"), "{first}");
        send(&client, "thz HTTP/1.1\r\n\r\nHEAD /healthz HTTP/1.1\r\n\r\n").await;
        let second = until(&client, "\r\n\r\n").await;
        assert_eq!(second.matches("Content-Length: 15").count(), 2, "{second}");
        assert_eq!(second.matches(r#"{"status":"ok"}"#).count(), 1, "{second}");
        send(&client, "GET /healthz HTTP/1.0\r\n\r\n").await;
        assert!(rest(&client).await.contains("Connection: close"));
        assert_eq!(connections.open.get(), 0);
    });
}

#[test]
fn a_body_that_is_announced_is_asked_for() {
    tokio_uring::start(async {
        let (connections, state) = (Connections::default(), state());
        let body = r#"{"item_key":"a"}"#;
        let head = format!(
            "POST /api/channels HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let client = connect(&connections, &state, &head);
        assert_eq!(until(&client, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
        send(&client, body).await;
        let answer = until(&client, "}").await;
        assert!(answer.starts_with("HTTP/1.1 201 Created"), "{answer}");
    });
}

#[test]
fn a_body_may_come_in_chunks() {
    tokio_uring::start(async {
        let (connections, state) = (Connections::default(), state());
        let head = "POST /api/channels HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"ite";
        let client = connect(&connections, &state, head);
        send(&client, "\r\nb\r\nm_key\":\"a\"}\r\n0\r\n\r\n").await;
        let answer = rest(&client).await;
        assert!(answer.starts_with("HTTP/1.1 201 Created"), "{answer}");
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
        let (connections, state) = (Connections::default(), state());
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
fn above_the_limit_a_connection_is_told_so_and_closed() {
    tokio_uring::start(async {
        let (connections, state) = (Connections::default(), state());
        connections.open.set(CONNECTIONS_MAX);
        let client = connect(&connections, &state, "GET /healthz HTTP/1.1\r\n\r\n");
        assert!(rest(&client).await.starts_with("HTTP/1.1 503 "));
        assert_eq!(connections.open.get(), CONNECTIONS_MAX);
        connections.open.set(0);
        let client = connect(&connections, &state, "GET /healthz HTTP/1.0\r\n\r\n");
        assert!(rest(&client).await.starts_with("HTTP/1.1 200 "));
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
