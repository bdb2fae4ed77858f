//! What operators look at and do: metrics, the second format of the status, the log, the page and its buttons.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::{Daemon, End, LONG, Stopwatch, Upstream, exchange, until};

const SHORT: Duration = Duration::from_secs(5);

fn metrics(daemon: &Daemon) -> String {
    let answer = daemon.get("/metrics");
    assert_eq!(answer.status, 200, "{}", answer.head);
    String::from_utf8(answer.body).unwrap()
}

/// What all series of this name come to.
fn sum(text: &str, name: &str) -> f64 {
    let series = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        (rest.starts_with(' ') || rest.starts_with('{')).then(|| rest.rsplit_once(' '))?
    });
    series.map(|(_, value)| value.parse::<f64>().unwrap()).sum()
}

/// What Prometheus itself finds wrong with metrics.
fn promtool(text: &str) -> String {
    let mut tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, which scripts/prepare installs");
    tool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { said } else { format!("{said}({})", output.status) }
}

#[test]
fn monitoring_is_answered_where_it_is_wanted_and_nowhere_else() {
    assert_eq!(Daemon::start(&[]).get("/metrics").status, 404);
    let daemon = Daemon::start(&[("ENABLE_METRICS", "true"), ("ADMIN_AUTH", "admin:s3cret")]);
    let answer = daemon.get("/metrics");
    assert_eq!(answer.status, 200, "it needs no password");
    assert_eq!(answer.header("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let request = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
         Accept: application/openmetrics-text;version=1.0.0,*/*;q=0.1\r\n\r\n";
    let answer = exchange(daemon.port(), request.as_bytes()).unwrap();
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.header("Content-Type"), Some(kind));
    assert!(answer.body.ends_with(b"# EOF\n"));
    let wrong = "GET /api/admin/tuners HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
         Authorization: Basic YWRtaW46Z3Vlc3M=\r\n\r\n";
    assert_eq!(exchange(daemon.port(), wrong.as_bytes()).unwrap().status, 401);
    assert_eq!(sum(&metrics(&daemon), "tunerd_wrong_passwords_total"), 1.0);
}

#[test]
fn metrics_count_what_viewers_got_and_what_they_were_refused() {
    let upstream = Upstream::start();
    let settings = [("ENABLE_METRICS", "true"), ("SESSION_IDLE_TIMEOUT", "0"), ("TUNER_COUNT", "1")];
    let mut daemon = Daemon::start(&[&settings[..], &[("TUNE_WAIT", "0")]].concat());
    daemon.channel("100", &[upstream.url("/good/4000000/a")]);
    daemon.channel("101", &[upstream.url("/good/4000000/b")]);

    let mut viewer = daemon.open("/auto/v100?duration=3");
    let mut got = viewer.head.len() + viewer.watch(Duration::from_millis(500)).len();
    assert_eq!(daemon.get("/auto/v101").status, 503);
    assert_eq!(daemon.get("/auto/v999").status, 404);
    let (text, status) = (metrics(&daemon), daemon.tuners());
    assert_eq!(promtool(&text), "", "{text}");
    for (name, expected) in [
        ("tunerd_tuners", &status["tuner_count"]),
        ("tunerd_tuners_in_use", &status["in_use_count"]),
        ("tunerd_sessions", &status["churn"]["session_count"]),
        ("tunerd_viewers", &json!(1)),
        ("tunerd_viewer_joins_total", &json!(2)),
        ("tunerd_viewer_first_byte_seconds_count", &json!(1)),
        ("tunerd_source_selections_total", &json!(1)),
        ("tunerd_tune_refusals_total{reason=\"no_tuners\"}", &json!(1)),
        ("tunerd_tune_refusals_total{reason=\"channel_not_found\"}", &json!(1)),
    ] {
        assert_eq!(Some(sum(&text, name)), expected.as_f64(), "{name}\n{text}");
    }
    assert!(text.contains("tunerd_channel_state{channel=\"100\",state=\"playing\"} 1"), "{text}");

    let (rest, end) = viewer.rest(LONG);
    assert_eq!(end, End::Finished);
    got += rest.len();
    assert!(got > 1_000_000, "{got}");
    until(SHORT, "the viewer is gone", || {
        (sum(&metrics(&daemon), "tunerd_viewer_ends_total") >= 2.0).then_some(())
    });
    let counted = sum(&metrics(&daemon), "tunerd_core_sent_bytes_total");
    let difference = (counted - f64::from(u32::try_from(got).unwrap())).abs();
    assert!(difference <= counted / 1000.0, "{counted} counted, {got} received");
    assert_eq!(sum(&metrics(&daemon), "tunerd_viewers"), 0.0);
}

#[test]
fn a_recovery_is_counted_by_its_reason_and_timed() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[("ENABLE_METRICS", "true")]);
    let channel = daemon.channel("100", &[upstream.url("/good/4000000/a"), upstream.url("/good/4000000/b")]);
    let mut viewer = daemon.open("/auto/v100");
    viewer.watch(Duration::from_millis(300));
    let wish = format!("{{\"channel_id\":{channel},\"reason\":\"I do not like it\"}}");
    assert_eq!(daemon.ask("POST", "/api/admin/tuners/recovery", &wish).status, 200);
    let text = until(LONG, "another source is shown", || {
        viewer.watch(Duration::from_millis(100));
        let text = metrics(&daemon);
        (sum(&text, "tunerd_recovery_seconds_count") >= 1.0).then_some(text)
    });
    assert_eq!(sum(&text, "tunerd_recoveries_total{reason=\"manual\"}"), 1.0, "{text}");
    assert_eq!(daemon.tuners()["churn"]["total_recovery_cycles"], 1);
    assert_eq!(sum(&text, "tunerd_channel_recoveries_total"), 1.0, "{text}");
}

#[test]
fn a_viewer_who_is_kicked_goes_and_nobody_else_does() {
    let upstream = Upstream::start();
    for cores in ["1", "2"] {
        let mut daemon = Daemon::start(&[("CORES", cores)]);
        daemon.channel("100", &[upstream.url("/good/4000000/a")]);
        let mut viewers: Vec<_> = (0..4).map(|_| daemon.open("/auto/v100")).collect();
        for viewer in &mut viewers {
            viewer.watch(Duration::from_millis(100));
        }
        let status = daemon.get("/api/admin/tuners?format=2").json();
        let unwanted = viewers.pop().unwrap();
        let streams = status["client_streams"].as_array().unwrap();
        let row = streams.iter().find(|row| row["client_addr"] == unwanted.address()).unwrap();
        let id = row["viewer_id"].as_str().unwrap();
        let path = format!("/api/admin/viewers/{id}/kick");
        let answer = daemon.ask("POST", &path, "");
        assert_eq!((answer.status, answer.json()), (200, json!({"kicked": true, "viewer_id": id})));
        let (_, end) = { unwanted }.rest(SHORT);
        assert_eq!(end, End::Finished);
        assert_eq!(daemon.ask("POST", &path, "").status, 404, "it is gone");
        let left = daemon.viewers();
        assert_eq!(left.len(), 3, "{left:?}");
        for viewer in &mut viewers {
            assert!(!viewer.watch(Duration::from_millis(300)).is_empty());
        }
        let history = &daemon.tuners()["session_history"][0]["subscribers"];
        let of = |row: &&Value| row["close_reason"] == "kicked";
        assert_eq!(history.as_array().unwrap().iter().filter(of).count(), 1, "{history}");
    }
}

#[test]
fn who_is_no_viewer_cannot_be_kicked() {
    let daemon = Daemon::start(&[]);
    for (id, status) in [("1-1", 404), ("1", 404), ("a-b", 404), ("-1-1", 404), ("1-1-1", 404)] {
        assert_eq!(daemon.ask("POST", &format!("/api/admin/viewers/{id}/kick"), "").status, status, "{id}");
    }
    assert_eq!(daemon.get("/api/admin/viewers/1-1/kick").status, 405);
}

#[test]
fn clients_are_shown_with_their_names_when_that_is_asked_for() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[]);
    daemon.channel("100", &[upstream.url("/good/4000000/a")]);
    let _viewer = daemon.open("/auto/v100");
    let plain = &daemon.get("/api/admin/tuners").json()["client_streams"][0];
    assert!(plain.get("client_host").is_none(), "{plain}");
    // What 127.0.0.1 is called stands in /etc/hosts.
    let named = &daemon.get("/api/admin/tuners?resolve_ip=1").json()["client_streams"][0];
    assert_eq!(named["client_host"], "localhost", "{named}");
}

/// The lines of the log about refused tunes: reason, guide number, and whether something is said that would help.
fn rejected(daemon: &Daemon) -> Vec<(String, String)> {
    let log = daemon.log();
    let lines = log.lines().filter(|line| line.contains("msg=\"stream tune rejected\""));
    let field = |line: &str, name: &str| {
        line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).unwrap_or("").to_owned()
    };
    lines
        .map(|line| {
            assert!(line.contains(" client_addr=127.0.0.1:") && line.contains(" hint=\""), "{line}");
            (field(line, "reason"), field(line, "guide_number"))
        })
        .collect()
}

#[test]
fn each_refused_tune_has_its_line_and_many_are_told_by_their_number() {
    let upstream = Upstream::start();
    let settings =
        [("TUNER_COUNT", "1"), ("TUNE_WAIT", "0"), ("CORES", "1"), ("SESSION_MAX_SUBSCRIBERS", "1")];
    let mut daemon = Daemon::start(&settings);
    for (number, path) in [("100", "/good/4000000/a"), ("101", "/good/4000000/b")] {
        daemon.channel(number, &[upstream.url(path)]);
    }
    let mut viewer = daemon.open("/auto/v100");
    viewer.watch(Duration::from_millis(100));
    let requests = [
        ("/auto/v101", 503, "no_tuners", "101"),
        ("/auto/v100", 503, "max_subscribers", "100"),
        ("/auto/v999", 404, "channel_not_found", "999"),
        ("/auto/%20", 400, "missing_guide_number", ""),
        ("/tuner7/v100", 404, "tuner_not_found", "100"),
    ];
    for (path, status, ..) in requests {
        assert_eq!(daemon.get(path).status, status, "{path}");
    }
    let expected = requests.map(|(_, _, reason, number)| (reason.to_owned(), number.to_owned()));
    until(SHORT, "every refusal is in the log", || (rejected(&daemon) == expected).then_some(()));
    for _ in 0..30 {
        assert_eq!(daemon.get("/auto/v998").status, 404);
    }
    // The last answer comes after the last line.
    assert_eq!(daemon.get("/auto/v101").status, 503);
    until(SHORT, "the last refusal is in the log", || {
        (rejected(&daemon).iter().filter(|(reason, _)| reason == "no_tuners").count() == 2).then_some(())
    });
    let unknown = rejected(&daemon).iter().filter(|(reason, _)| reason == "channel_not_found").count();
    assert_eq!(unknown, 10, "the others are told of in a minute");
}

#[test]
fn a_log_in_json_is_one_object_in_each_line_and_the_journal_is_told_the_level() {
    let daemon = Daemon::start(&[("LOG_FORMAT", "json")]);
    assert_eq!(daemon.get("/auto/v999").status, 404);
    let is_refusal = |value: &Value| value["msg"] == "stream tune rejected";
    let line = until(SHORT, "the refusal is in the log", || {
        let log = daemon.log();
        let lines = log.lines().filter(|line| line.starts_with('{'));
        let values = lines.map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")));
        values.into_iter().find(is_refusal)
    });
    assert_eq!((&line["level"], &line["reason"]), (&json!("WARN"), &json!("channel_not_found")));
    assert!(line["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");

    let daemon = Daemon::start(&[("JOURNAL_STREAM", "9:1")]);
    assert_eq!(daemon.get("/auto/v999").status, 404);
    until(SHORT, "the refusal is in the log", || {
        let log = daemon.log();
        log.lines()
            .any(|line| line.starts_with("<4>level=WARN target=tunerd::") && line.contains("rejected"))
            .then_some(())
    });
}

/// What a page is sent, event by event.
struct Events {
    stream: TcpStream,
    received: String,
}

impl Events {
    fn open(daemon: &Daemon) -> Self {
        Self::of(daemon, "")
    }

    /// The news of a page.
    fn of(daemon: &Daemon, query: &str) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", daemon.port())).unwrap();
        let request =
            format!("GET /api/admin/events{query} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", daemon.port());
        stream.write_all(request.as_bytes()).unwrap();
        stream.set_read_timeout(Some(SHORT)).unwrap();
        let mut events = Self { stream, received: String::new() };
        let head = events.piece("\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("text/event-stream"), "{head}");
        assert_eq!(events.piece("\n\n"), "retry: 2000");
        events
    }

    /// What comes up to the next end of this kind.
    fn piece(&mut self, end: &str) -> String {
        loop {
            if let Some((piece, rest)) = self.received.split_once(end) {
                let (piece, rest) = (piece.to_owned(), rest.to_owned());
                self.received = rest;
                return piece;
            }
            let mut buffer = [0; 65_536];
            let count = self.stream.read(&mut buffer).unwrap();
            assert!(count > 0, "the events have ended");
            self.received.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
    }

    fn next(&mut self) -> Value {
        loop {
            let event = self.piece("\n\n");
            // What is only there to show that the server lives has no data.
            if let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: ")) {
                return serde_json::from_str(data).unwrap();
            }
        }
    }

    /// Waits for news that hold all of this.
    fn until(&mut self, all: &[&str]) -> Value {
        let watch = Stopwatch::start();
        loop {
            let news = self.next();
            let text = news.to_string();
            if all.iter().all(|piece| text.contains(piece)) {
                return news;
            }
            watch.left_of(LONG).unwrap_or_else(|| panic!("{all:?} is not told: {text}"));
        }
    }
}

fn page(daemon: &Daemon) -> String {
    let answer = daemon.get("/ui/");
    assert_eq!(answer.status, 200, "{}", answer.head);
    assert!(answer.header("Content-Security-Policy").unwrap().starts_with("default-src 'self'"));
    String::from_utf8(answer.body).unwrap()
}

#[test]
fn the_page_shows_what_is_watched_without_scripts_and_leads_nowhere_else() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[]);
    for path in ["/", "/ui", "/lineup.html"] {
        let answer = daemon.get(path);
        assert_eq!((answer.status, answer.header("Location")), (302, Some("/ui/")), "{path}");
    }
    assert!(page(&daemon).contains("<h1>There is no channel yet.</h1>"));
    daemon.channel("100", &[upstream.url("/good/4000000/a")]);
    assert!(page(&daemon).contains("<h1>All quiet.</h1>"));
    let mut viewer = daemon.open("/auto/v100");
    viewer.watch(Duration::from_millis(300));
    let shown = page(&daemon);
    for piece in [
        "1 channel playing to 1 viewer.",
        "source 1 of 1",
        "● playing ",
        "Disconnect 127.0.0.1",
        "1 viewer sees",
    ] {
        assert!(shown.contains(piece), "{piece}: {shown}");
    }
    assert!(!shown.contains("http://") && !shown.contains("https://"), "{shown}");
    for (path, kind) in [
        ("/ui/now.css", "text/css; charset=utf-8"),
        ("/ui/now.js", "text/javascript; charset=utf-8"),
        ("/ui/icon.svg", "image/svg+xml"),
    ] {
        assert!(shown.contains(path), "{shown}");
        let answer = daemon.get(path);
        assert_eq!((answer.status, answer.header("Content-Type")), (200, Some(kind)));
    }
}

#[test]
fn a_page_hears_of_viewers_who_come_and_go_and_its_buttons_do_what_they_say() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[("SESSION_IDLE_TIMEOUT", "0")]);
    let channel = daemon.channel("100", &[upstream.url("/good/4000000/a"), upstream.url("/good/4000000/b")]);
    let mut events = Events::open(&daemon);
    let first = events.next();
    assert!(first.to_string().contains("All quiet."), "{first}");
    let mut viewer = daemon.open("/auto/v100");
    viewer.watch(Duration::from_millis(100));
    let watch = Stopwatch::start();
    events.until(&["1 channel playing to 1 viewer."]);
    assert!(watch.elapsed() < Duration::from_secs(4), "{:?}", watch.elapsed());

    let answer = daemon.ask("POST", &format!("/ui/channels/{channel}/recover"), "");
    assert_eq!((answer.status, answer.header("Location")), (303, Some("/ui/")));
    let other = std::thread::spawn(move || {
        viewer.watch(Duration::from_secs(4));
        viewer
    });
    events.until(&["source 2 of 2", "somebody wanted it"]);
    let viewer = other.join().unwrap();

    let status = daemon.get("/api/admin/tuners?format=2").json();
    let id = status["client_streams"][0]["viewer_id"].as_str().unwrap();
    assert_eq!(daemon.ask("POST", &format!("/ui/viewers/{id}/kick"), "").status, 303);
    assert_eq!({ viewer }.rest(SHORT).1, End::Finished);
    let news = events.until(&["All quiet."]);
    assert_eq!(news["order"].as_array().unwrap().len(), 3, "no channel is left: {news}");
}

#[test]
fn each_page_hears_of_what_it_shows() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[("SESSION_IDLE_TIMEOUT", "0")]);
    let channel = daemon.channel("100", &[upstream.url("/good/4000000/a")]);
    let shown = String::from_utf8(daemon.get(&format!("/ui/channels/{channel}?q=127")).body).unwrap();
    let address = format!("?view=channel&amp;id={channel}&amp;q=127&amp;offset=0");
    assert!(shown.contains(&format!("data-events=\"/api/admin/events{address}\"")), "{shown}");
    let mut pages = [
        (format!("?view=channel&id={channel}"), "○ idle", vec!["● playing", "to 1 viewer", "● shown now"]),
        ("?view=playlists".to_owned(), "0 of 2 in use", vec!["1 of 2 in use"]),
        ("?view=history".to_owned(), "Nothing like that is remembered", vec!["● goes on"]),
        ("?view=system".to_owned(), "MiB in memory", vec!["has time to spare"]),
    ]
    .map(|(query, first, then)| (Events::of(&daemon, &query), first, then));
    for (page, first, _) in &mut pages {
        let news = page.next().to_string();
        assert!(news.contains(*first), "{first}: {news}");
    }
    let mut viewer = daemon.open("/auto/v100");
    viewer.watch(Duration::from_millis(300));
    for (page, _, then) in &mut pages {
        page.until(then);
    }
    drop(viewer);
    assert_eq!(daemon.ask("DELETE", &format!("/api/channels/{channel}"), "").status, 204);
    pages[0].0.until(&["This channel is gone."]);
    for wrong in ["?view=add", "?view=channel", "?view=channel&id=x"] {
        let refused = daemon.get(&format!("/api/admin/events{wrong}"));
        assert_eq!(refused.status, 400, "{wrong}");
    }
}

#[test]
fn so_many_pages_are_live_and_the_next_one_is_told_and_one_that_closes_makes_room() {
    let daemon = Daemon::start(&[]);
    let mut pages: Vec<_> = (0..32).map(|_| Events::open(&daemon)).collect();
    let refused = daemon.get("/api/admin/events");
    assert_eq!(refused.status, 503);
    assert!(String::from_utf8_lossy(&refused.body).contains("32 pages are live already"));
    pages.pop();
    until(SHORT, "there is room again", || (daemon_has_room(&daemon)).then_some(()));
    assert_eq!(daemon.get("/healthz").status, 200);
}

fn daemon_has_room(daemon: &Daemon) -> bool {
    let mut stream = TcpStream::connect(("127.0.0.1", daemon.port())).unwrap();
    let request = format!("GET /api/admin/events HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", daemon.port());
    stream.write_all(request.as_bytes()).unwrap();
    stream.set_read_timeout(Some(SHORT)).unwrap();
    let mut status = [0; 13];
    stream.read_exact(&mut status).unwrap();
    &status == b"HTTP/1.1 200 "
}

#[test]
fn the_page_and_its_events_are_for_administrators_alone() {
    let daemon = Daemon::start(&[("ADMIN_AUTH", "admin:s3cret")]);
    for path in ["/ui/", "/ui/now.js", "/api/admin/events"] {
        assert_eq!(daemon.get(path).status, 401, "{path}");
    }
    for path in ["/ui/viewers/1-1/kick", "/ui/channels/1/recover", "/api/admin/viewers/1-1/kick"] {
        assert_eq!(daemon.ask("POST", path, "").status, 401, "{path}");
    }
}
