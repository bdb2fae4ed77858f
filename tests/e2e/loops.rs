//! A server that is to be its own source, directly or by way of others, refuses to be.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use crate::kit::{Daemon, LONG, Upstream, until};

/// Passes everything on to another port of this host, as a port that a router forwards does.
fn forward(to: u16) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let pass = |mut from: TcpStream, mut to: TcpStream| {
        let mut buffer = [0; 16 * 1024];
        while let Ok(count) = from.read(&mut buffer) {
            if count == 0 || to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _closed = to.shutdown(std::net::Shutdown::Write);
    };
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)) else { return };
            let (back, forth) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || pass(client, server));
            std::thread::spawn(move || pass(back, forth));
        }
    });
    port
}

fn auto(port: u16, guide_number: &str) -> String {
    format!("http://127.0.0.1:{port}/auto/v{guide_number}")
}

fn assert_logged(daemon: &Daemon, words: &str) {
    until(LONG, words, || daemon.log().contains(words).then_some(()));
}

/// The channel is refused, and everybody who asks is told why.
fn assert_refused(daemon: &Daemon, guide_number: &str, words: &str) {
    let answer = daemon.get(&format!("/auto/v{guide_number}"));
    assert_eq!(
        (answer.status, answer.header("X-Tunerd-Reason")),
        (503, Some("source_loop")),
        "{}",
        answer.head
    );
    assert_eq!(answer.header("X-HDHomeRun-Error"), Some("806 Tune Failed"));
    assert_logged(daemon, words);
}

#[test]
fn a_source_that_is_this_very_server_is_refused_by_its_address() {
    let upstream = Upstream::start();
    for mode in ["auto", "direct", "ffmpeg-copy"] {
        let settings = [("STREAM_MODE", mode), ("STARTUP_TIMEOUT", "5s"), ("FAILOVER_TOTAL_TIMEOUT", "6s")];
        let mut daemon = Daemon::start(&settings);
        let port = daemon.port();
        daemon.channel("100", &[auto(port, "100")]);
        daemon.channel("200", &[upstream.url("/good/2000000/own")]);
        let other = daemon.channel("300", &[auto(port, "200")]);
        let words = "the source is this very server";
        assert_refused(&daemon, "100", words);
        assert_refused(&daemon, "300", words);
        until(LONG, "the source's health tells", || {
            let sources = daemon.get(&format!("/api/channels/{other}/sources")).json();
            sources["sources"][0]["last_fail_reason"]
                .as_str()
                .is_some_and(|reason| reason.contains(words))
                .then_some(())
        });
        assert_eq!(daemon.tuners_in_use(), 0);
    }
    assert_eq!(upstream.requests_total(), 0, "nothing was asked for");
}

#[test]
fn a_source_that_leads_back_here_is_refused_by_its_mark() {
    for mode in ["auto", "ffmpeg-copy"] {
        let settings = [("STREAM_MODE", mode), ("STARTUP_TIMEOUT", "5s"), ("FAILOVER_TOTAL_TIMEOUT", "6s")];
        let mut daemon = Daemon::start(&settings);
        let port = forward(daemon.port());
        daemon.channel("100", &[auto(port, "100")]);
        let answer = daemon.get("/auto/v100");
        assert_eq!(answer.status, 503, "{}", answer.head);
        if mode == "auto" {
            assert_eq!(answer.header("X-Tunerd-Reason"), Some("source_loop"));
            assert_logged(&daemon, "the source leads back to this server");
        }
        assert_logged(&daemon, "a request of this very server has come back to it");
        assert_eq!(daemon.tuners_in_use(), 0);
    }
}

#[test]
fn two_servers_that_feed_one_another_find_out_and_go_on_without() {
    let upstream = Upstream::start();
    let settings = [("STARTUP_TIMEOUT", "5s"), ("FAILOVER_TOTAL_TIMEOUT", "12s")];
    let mut first = Daemon::start(&settings);
    let mut second = Daemon::start(&settings);
    second.channel("200", &[auto(first.port(), "100"), upstream.url("/good/2000000/second")]);
    first.channel("100", &[auto(second.port(), "200")]);
    // The second one's first source leads back to itself; its other one serves both.
    let mut viewer = first.open("/auto/v100");
    assert!(viewer.watch(std::time::Duration::from_secs(1)).len() > 188 * 100);
    assert_logged(&first, "a request of this very server has come back to it");
    let heads = upstream.requests("/good/2000000/second");
    assert_eq!(heads.len(), 1);
    let via = heads[0].lines().find(|line| line.starts_with("Via: ")).unwrap();
    assert_eq!(via.matches("tunerd-").count(), 2, "both have sent it on: {via}");
}

#[test]
fn another_servers_channel_is_a_source_like_any_other() {
    let upstream = Upstream::start();
    let mut first = Daemon::start(&[]);
    let mut second = Daemon::start(&[]);
    second.channel("200", &[upstream.url("/good/2000000/far")]);
    first.channel("100", &[auto(second.port(), "200")]);
    let mut viewer = first.open("/auto/v100");
    assert!(viewer.watch(std::time::Duration::from_secs(1)).len() > 188 * 100);
}
