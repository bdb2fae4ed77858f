//! The dashboard and the alerts that are given along: a real Prometheus scrapes the program with them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use regex::Regex;
use serde_json::Value;

use crate::kit::{Daemon, LONG, Upstream, exchange, free_port, run, until};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/grafana")
}

/// What the panels of the dashboard ask, with each panel's title.
fn questions() -> Vec<(String, String)> {
    let text = fs::read_to_string(folder().join("tunerd.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut questions = Vec::new();
    let mut places = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(places.insert(panel["gridPos"].to_string()), "{title} stands where another one does");
        let targets = panel["targets"].as_array();
        assert_eq!(targets.is_none(), panel["type"] == "row", "{title}");
        for target in targets.into_iter().flatten() {
            questions.push((title.to_owned(), target["expr"].as_str().unwrap().to_owned()));
        }
    }
    for note in dashboard["annotations"]["list"].as_array().unwrap() {
        questions
            .push((note["name"].as_str().unwrap().to_owned(), note["expr"].as_str().unwrap().to_owned()));
    }
    assert!(questions.len() > 40, "{} questions were found", questions.len());
    questions
}

/// The metrics that an expression names.
fn named(expression: &str) -> Vec<String> {
    let name = Regex::new(r"\b(?:tunerd|stream|process)_[a-z_]+\b").unwrap();
    name.find_iter(expression).map(|found| found.as_str().to_owned()).collect()
}

/// The names of all series of a scrape.
fn names(text: &str) -> BTreeSet<&str> {
    let series = text.lines().filter(|line| !line.starts_with('#'));
    series.map(|line| line.split(['{', ' ']).next().unwrap()).collect()
}

#[test]
fn alerts_are_what_prometheus_takes_and_fire_when_they_should_and_not_before() {
    let (rules, tests) = (folder().join("tunerd.rules.yml"), folder().join("tunerd.rules_test.yml"));
    run("promtool", &["check", "rules", "--lint=all", "--lint-fatal", rules.to_str().unwrap()]);
    run("promtool", &["test", "rules", tests.to_str().unwrap()]);
    let tested = fs::read_to_string(tests).unwrap();
    let rules = fs::read_to_string(rules).unwrap();
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    for alert in alerts {
        let fires = tested.contains(&format!("\n        alertname: {alert}\n        exp_alerts:\n"));
        assert!(fires && tested.contains(&format!("alertname: {alert} }}")), "{alert} is not tested");
    }
}

/// A Prometheus that scrapes one program, until it is dropped.
struct Prometheus {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Prometheus {
    fn start(target: u16) -> Self {
        let (port, place) = (free_port(), tempfile::tempdir().unwrap());
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
             rule_files: ['{}/tunerd.rules.yml']\n\
             scrape_configs:\n  - {{ job_name: tunerd, static_configs: [{{ targets: ['127.0.0.1:{target}'] }}] }}\n",
            folder().display()
        );
        let file = place.path().join("prometheus.yml");
        fs::write(&file, config).unwrap();
        let log = fs::File::create(place.path().join("log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", place.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("prometheus, which scripts/prepare installs");
        let prometheus = Self { child, port, folder: place };
        until(LONG, "Prometheus is ready", || {
            prometheus.get("/-/ready").is_some_and(|(status, _)| status == 200).then_some(())
        });
        prometheus
    }

    /// Answers are whole for whoever speaks the first HTTP.
    fn get(&self, path: &str) -> Option<(u16, Vec<u8>)> {
        let answer = exchange(self.port, format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).ok()?;
        Some((answer.status, answer.body))
    }

    fn ask(&self, path: &str) -> Value {
        let (status, body) = self.get(path).unwrap();
        let text = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// How many series are the answer.
    fn series(&self, expression: &str) -> usize {
        let asked = utf8_percent_encode(expression, NON_ALPHANUMERIC);
        self.ask(&format!("/api/v1/query?query={asked}"))["data"]["result"].as_array().unwrap().len()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Gone already when it could not be started.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            eprintln!("--- Prometheus's log\n{log}---");
        }
    }
}

/// What only shows when it has happened: a viewer who has gone, a tune that was refused, a recovery.
fn live_through_all(daemon: &mut Daemon, upstream: &Upstream) -> crate::kit::Viewer {
    let id = daemon.channel("100", &[upstream.url("/good/4000000/a"), upstream.url("/good/4000000/b")]);
    drop(daemon.open("/auto/v100"));
    assert_eq!(daemon.get("/auto/v999").status, 404);
    let mut viewer = daemon.open("/auto/v100");
    let wish = format!("{{\"channel_id\":{id},\"reason\":\"to see it counted\"}}");
    assert_eq!(daemon.ask("POST", "/api/admin/tuners/recovery", &wish).status, 200);
    until(LONG, "another source is shown, and a viewer is counted as gone", || {
        viewer.watch(Duration::from_millis(100));
        let answer = daemon.get("/metrics");
        let text = String::from_utf8(answer.body).unwrap();
        (text.contains("tunerd_recovery_seconds_count 1\n") && text.contains("tunerd_viewer_ends_total{"))
            .then_some(())
    });
    viewer
}

#[test]
fn a_prometheus_that_scrapes_the_program_answers_every_panel_and_evaluates_every_alert() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[("ENABLE_METRICS", "true")]);
    let mut viewer = live_through_all(&mut daemon, &upstream);
    let prometheus = Prometheus::start(daemon.port());
    // Of every second there is a scrape; a rate needs two.
    until(LONG, "it has been scraped twice", || {
        viewer.watch(Duration::from_millis(100));
        (prometheus.series("count_over_time(up{job=\"tunerd\"}[1m]) >= 3") == 1).then_some(())
    });
    let rules = until(LONG, "all alerts are evaluated", || {
        viewer.watch(Duration::from_millis(100));
        let groups = prometheus.ask("/api/v1/rules")["data"]["groups"].clone();
        let rules: Vec<Value> =
            groups.as_array()?.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect();
        (!rules.is_empty() && rules.iter().all(|rule| rule["health"] != "unknown")).then_some(rules)
    });
    let text = String::from_utf8(daemon.get("/metrics").body).unwrap();
    let known = names(&text);
    let is_known = |expression: &str| {
        let all = named(expression);
        let missing: Vec<_> = all.iter().filter(|name| !known.contains(name.as_str())).collect();
        assert!(missing.is_empty(), "there is no {missing:?}: {expression}");
    };
    for rule in &rules {
        is_known(rule["query"].as_str().unwrap());
        assert_eq!(rule["health"], "ok", "{rule}");
        assert_eq!(rule["state"], "inactive", "nothing is wrong: {rule}");
    }
    for (title, question) in questions() {
        is_known(&question);
        assert!(!named(&question).is_empty(), "{title}: {question}");
        let asked = question.replace("$__rate_interval", "1m").replace("$instance", ".*");
        assert!(!asked.contains('$'), "{title}: {asked}");
        // Starts are seldom, and there are none to be marked.
        let is_mark = title == "Starts";
        viewer.watch(Duration::from_millis(1));
        assert!(prometheus.series(&asked) > 0 || is_mark, "{title}: nothing answers {asked}");
    }
}
