//! `scripts/curl-swarm` says how a server serves, whichever it is: this one, one that refuses, one that stalls, none.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::kit::{Daemon, Upstream, free_port};

fn swarm(arguments: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/curl-swarm");
    Command::new(script).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// What it says of so many viewers of these addresses, and its exit code.
fn judged(viewers: &str, urls: &[&str]) -> (Value, i32) {
    let options = ["-n", viewers, "-t", "4", "--stall", "1", "--json"];
    let output = swarm(&[&options[..], urls].concat());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said} {output:?}"));
    (value, output.status.code().unwrap())
}

/// A server that sends half a MiB and then nothing, until it is dropped.
struct Stalling {
    port: u16,
    is_over: Arc<AtomicBool>,
}

impl Stalling {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let mut stream = stream.unwrap();
                let _head = stream.read(&mut [0; 4096]);
                let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
                let _gone = stream.write_all(&vec![0x47; 512 * 1024]);
                held.push(stream);
            }
        });
        Self { port, is_over }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/stream", self.port)
    }
}

impl Drop for Stalling {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // The listener's thread looks when somebody comes.
        let _refused = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

#[test]
fn what_is_missing_is_said_and_is_no_failure_of_a_server() {
    let url = "http://127.0.0.1:5004/auto/v100";
    for (arguments, expected) in [
        (&[][..], "missing: -n with the number of viewers, and the URL of a stream"),
        (&["-n"], "-n is followed by a whole number, not by ''"),
        (&["-n", "many", url], "-n is followed by a whole number, not by 'many'"),
        (&["-n", "50"], "missing: the URL of a stream, such as http://"),
        (&[url], "missing: -n with the number of viewers"),
        (&["-n", "0", url], "-n, -t and --ramp are at least 1"),
        (
            &["-n", "1", "ftp://127.0.0.1/x"],
            "'ftp://127.0.0.1/x' is no address that begins with http:// or https://",
        ),
        (&["-n", "1", "--fast", url], "unknown option --fast"),
    ] {
        let output = swarm(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn viewers_of_a_good_server_are_fine_and_what_they_cost_is_told() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[]);
    daemon.channel("100", &[upstream.url("/good/2000000/a")]);
    let url = format!("http://127.0.0.1:{}/auto/v100", daemon.port());
    let (said, code) = judged("6", &[&url]);
    assert_eq!(
        (&said["viewers"], &said["ok"], &said["failed"], code),
        (&json!(6), &json!(6), &json!(0), 0),
        "{said}"
    );
    assert!(said["rate_min_bps"].as_u64().unwrap() > 1_000_000, "{said}");
    assert!(said["bytes"].as_u64().unwrap() > 6 * 500_000, "{said}");
    assert!(said["server_memory_kib"].as_u64().unwrap() > 1000, "the server is here: {said}");
    let output = swarm(&["-n", "2", "-t", "3", &url]);
    let said = String::from_utf8_lossy(&output.stdout);
    for row in [
        "viewers            2 of 2 ok\n",
        "rate per viewer    min ",
        "longest gap        ",
        "first byte         p50 ",
    ] {
        assert!(said.contains(row), "{row}: {said}");
    }
    assert!(output.status.success() && !said.contains("failed"), "{said}");
}

#[test]
fn viewers_that_are_not_served_are_counted_by_reason() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[("STREAM_TOKEN", "word")]);
    daemon.channel("100", &[upstream.url("/good/2000000/a")]);
    let stalling = Stalling::start();
    let refused = format!("http://127.0.0.1:{}/auto/v100", daemon.port());
    let nobody = format!("http://127.0.0.1:{}/", free_port());
    let (good, limited) = (upstream.url("/good/2000000/b"), upstream.url("/limited/c"));
    let page = upstream.url("/page/d");
    let stalls = stalling.url();
    let urls = [&good, &limited, &refused, &nobody, &page, &stalls].map(String::as_str);
    let (said, code) = judged("12", &urls);
    assert_eq!((&said["ok"], &said["failed"], code), (&json!(2), &json!(10), 1), "{said}");
    let failures = said["failures"].as_object().unwrap();
    for (reason, count) in [("status 429", 2), ("connection refused", 2), ("ended early", 2), ("stalled", 2)]
    {
        assert_eq!(failures[reason], json!(count), "{reason}: {said}");
    }
    let forbidden = failures.iter().find(|(reason, _)| reason.starts_with("status 403")).unwrap();
    assert_eq!(forbidden.1, &json!(2), "{said}");
}
