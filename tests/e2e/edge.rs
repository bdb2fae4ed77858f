//! A channel leaves one box by a caching proxy, with the configuration that is offered for it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::kit::{Answer, Daemon, LONG, Upstream, exchange, free_port, until};

const CONFIGURATION: &str = include_str!("../../scripts/edge/tunerd.conf");
const LIST: &str = "/hls/v100/index.m3u8";
const VIEWERS: usize = 500;
const AT_ONCE: usize = 25;

/// The proxy, until it is dropped.
struct Edge {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Edge {
    /// With the configuration that is offered, but for the lines that are to be adjusted. `None` where nginx is not installed.
    fn start(origin: u16) -> Option<Edge> {
        let program = ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|path| Path::new(path).exists());
        let Some(program) = program else {
            eprintln!("not tested: nginx is not installed");
            return None;
        };
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let place = folder.path().display().to_string();
        let adjusted = [
            ("/var/cache/nginx/tunerd", format!("{place}/cache")),
            ("server 127.0.0.1:5004;", format!("server 127.0.0.1:{origin};")),
            ("listen 8080;", format!("listen 127.0.0.1:{port};")),
        ];
        let configuration = adjusted.iter().fold(CONFIGURATION.to_owned(), |text, (line, ours)| {
            assert!(text.contains(line), "{line}");
            text.replace(line, ours)
        });
        let user = if nix::unistd::geteuid().is_root() { "user root;" } else { "" };
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {place}/{what};"))
            .concat();
        let whole = format!(
            "{user} daemon off; pid {place}/pid; error_log stderr; worker_processes 1; \
             events {{ worker_connections 4096; }}\nhttp {{ access_log off; {temporary}\n{configuration}\n}}\n"
        );
        fs::write(folder.path().join("nginx.conf"), whole).unwrap();
        let mut command = Command::new(program);
        command.args(["-e", "stderr", "-p", &place, "-c", &format!("{place}/nginx.conf")]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let edge = Edge { child, port, _folder: folder };
        until(LONG, "the proxy serves", || edge.try_get("/").ok());
        Some(edge)
    }

    fn try_get(&self, path: &str) -> std::io::Result<Answer> {
        exchange(
            self.port,
            format!("GET {path} HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n").as_bytes(),
        )
    }

    fn get(&self, path: &str) -> Answer {
        self.try_get(path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // Its workers end with it.
        let _gone = kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGTERM);
        let _gone = self.child.wait();
    }
}

/// Bytes of streams and segments that the server has sent.
fn sent_bytes(daemon: &Daemon) -> u64 {
    let text = String::from_utf8(daemon.get("/metrics").body).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("tunerd_core_sent_bytes_total"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn five_hundred_viewers_behind_a_proxy_cost_the_server_one() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[("VIEWERS_MAX", "2"), ("ENABLE_METRICS", "true")]);
    daemon.channel("100", &[upstream.url("/good/2000000/a")]);
    let Some(edge) = Edge::start(daemon.port()) else { return };
    // Every segment by its address, as each viewer got it, and how often.
    let fetched: Mutex<BTreeMap<String, (usize, usize)>> = Mutex::default();
    let watch = || {
        let list = edge.get(LIST);
        assert_eq!(list.status, 200, "{}", list.head);
        assert_eq!(list.header("access-control-allow-origin"), Some("*"), "{}", list.head);
        let list = String::from_utf8(list.body).unwrap();
        assert!(list.contains("#EXT-X-MEDIA-SEQUENCE:"), "everybody gets the one list: {list}");
        for name in list.lines().filter(|line| !line.starts_with('#')) {
            let segment = edge.get(&format!("/hls/v100/{name}"));
            assert_eq!(segment.status, 200, "{name}: {}", segment.head);
            assert!(segment.header("cache-control").unwrap().contains("immutable"), "{}", segment.head);
            let mut fetched = fetched.lock().unwrap();
            let (bytes, times) = fetched.entry(name.to_owned()).or_insert((segment.body.len(), 0));
            assert_eq!(*bytes, segment.body.len(), "{name}");
            *times += 1;
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| (0..VIEWERS / AT_ONCE).for_each(|_| watch()));
        }
    });
    let fetched = fetched.into_inner().unwrap();
    let once: usize = fetched.values().map(|(bytes, _)| bytes).sum();
    let all: usize = fetched.values().map(|(bytes, times)| bytes * times).sum();
    let (once, all, sent) = (once as u64, all as u64, sent_bytes(&daemon));
    let heads = fetched.len() as u64 * 512;
    assert!((once..=once + heads).contains(&sent), "{sent} bytes for {once} of {} segments", fetched.len());
    assert!(all > once * 100, "{all} of {once}");
    assert_eq!(daemon.viewers().len(), 1, "they are one viewer");
    for path in ["/", "/api/channels", "/hls/v100/other.txt", "/auto/v100", "/metrics"] {
        assert_eq!(edge.get(path).status, 404, "{path} does not leave the box");
    }
}

#[test]
fn a_proxy_keeps_those_out_who_do_not_bring_the_word() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[("STREAM_TOKEN", "let-me")]);
    daemon.channel("100", &[upstream.url("/good/2000000/a")]);
    let Some(edge) = Edge::start(daemon.port()) else { return };
    let list = edge.get(&format!("{LIST}?token=let-me"));
    assert_eq!(list.status, 200, "{}", list.head);
    let list = String::from_utf8(list.body).unwrap();
    let segment = format!("/hls/v100/{}", list.lines().find(|line| !line.starts_with('#')).unwrap());
    let answer = edge.get(&segment);
    assert!(answer.status == 200 && answer.body.len() > 10_000, "{}", answer.head);
    // What was cached for those who may is not for others.
    for path in [LIST, segment.split('?').next().unwrap()] {
        assert_eq!(edge.get(path).status, 403, "{path}");
    }
}
