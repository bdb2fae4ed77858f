//! Administration is slow, and nobody who watches notices.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use crate::kit::{Daemon, Stopwatch, Upstream, exchange, judge};

/// A player's buffer is not even noticeably emptied by this.
const GAP_MAX: Duration = Duration::from_millis(500);
const WATCH: Duration = Duration::from_secs(5);
const SLOW_CLIENTS: usize = 400;

#[test]
fn neither_slow_nor_eager_nor_broken_administrators_delay_the_picture() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[]);
    daemon.channel("100", &[upstream.url("/good/4000000/a")]);
    let mut viewer = daemon.open("/auto/v100");
    let port = daemon.port();

    // Heads that do not end, bodies that do not come, answers that are not read.
    let beginnings = [
        "GET /api/items HTTP/1.1\r\nX-Slow: ",
        "G",
        "POST /api/channels HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
        "POST /api/channels HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
        "GET /lineup.json HTTP/1.1\r\nHost: localhost\r\n\r\nGET /lineup.json HTTP/1.1\r\nHost: localhost\r\n\r\nGET ",
    ];
    let slow: Vec<_> = (0..SLOW_CLIENTS)
        .map(|number| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.write_all(beginnings[number % beginnings.len()].as_bytes()).unwrap();
            stream
        })
        .collect();

    let (recording, gap) = std::thread::scope(|scope| {
        let eager = scope.spawn(move || {
            let watch = Stopwatch::start();
            let mut answered = 0;
            while watch.elapsed() < WATCH {
                for request in [
                    "GET /api/items?q=a&limit=1000 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                    "POST /api/channels HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nConnection: close\r\n\r\n{]}",
                    "POST /api/admin/jobs/playlist-sync/run HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                    "\0\0 not HTTP\r\n\r\n",
                ] {
                    answered += u32::from(exchange(port, request.as_bytes()).is_ok());
                }
            }
            answered
        });
        let mut recording = Vec::new();
        let mut gap = Duration::ZERO;
        let watch = Stopwatch::start();
        while watch.elapsed() < WATCH {
            let since = Stopwatch::start();
            recording.extend_from_slice(&viewer.read(WATCH).unwrap());
            gap = gap.max(since.elapsed());
        }
        let answered = eager.join().unwrap();
        assert!(answered > 20, "only {answered} requests were answered");
        (recording, gap)
    });
    assert!(gap < GAP_MAX, "{gap:?}");
    let findings = judge(&recording);
    assert!(findings.packets > 10_000 && findings.faults() == 0, "{findings:?}");
    assert_eq!(daemon.get("/healthz").status, 200);
    assert_eq!(slow.len(), SLOW_CLIENTS);
}
