//! Jobs: started, seen, cancelled, by hand and by a schedule.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::{Daemon, LONG, Stopwatch, Upstream, until};

const SYNC: &str = "/api/admin/jobs/playlist-sync/run";
const PRIORITIZE: &str = "/api/admin/jobs/auto-prioritize/run";
const QUICK: [(&str, &str); 3] =
    [("AUTO_PRIORITIZE_PROBE_TUNE_DELAY", "0"), ("PREEMPT_SETTLE_DELAY", "0"), ("SESSION_IDLE_TIMEOUT", "0")];

fn begin(daemon: &Daemon, path: &str) -> i64 {
    let answer = daemon.ask("POST", path, "");
    let run = answer.json();
    assert_eq!((answer.status, &run["status"]), (202, &json!("queued")), "{run}");
    run["run_id"].as_i64().unwrap()
}

fn run(daemon: &Daemon, run_id: i64) -> Value {
    daemon.get(&format!("/api/admin/jobs/{run_id}")).json()
}

/// The run, when it is over.
fn ended(daemon: &Daemon, run_id: i64) -> Value {
    until(LONG, "the run ends", || Some(run(daemon, run_id)).filter(|run| run["status"] != "running"))
}

/// The sources of a channel in their order.
fn sources(daemon: &Daemon, channel: i64) -> Vec<i64> {
    let answer = daemon.get(&format!("/api/channels/{channel}/sources"));
    let listed = answer.json();
    let rows = listed.as_array().or_else(|| listed["sources"].as_array()).unwrap().clone();
    rows.iter().map(|source| source["source_id"].as_i64().unwrap()).collect()
}

#[test]
fn a_run_is_begun_seen_and_remembered() {
    let mut daemon = Daemon::start(&[]);
    daemon.channel("100", &["http://h/a".to_owned()]);
    let first = begin(&daemon, SYNC);
    let seen = ended(&daemon, first);
    assert_eq!(
        (&seen["status"], &seen["job_name"], &seen["triggered_by"]),
        (&json!("success"), &json!("playlist_sync"), &json!("manual"))
    );
    assert!(seen["summary"].as_str().unwrap().starts_with("items=1 "), "{seen}");
    assert!(
        seen["finished_at"].as_i64() >= seen["started_at"].as_i64() && seen.get("error").is_none(),
        "{seen}"
    );

    fs::write(daemon.database().with_file_name("list.m3u"), "#EXTM3U\n").unwrap();
    let second = begin(&daemon, SYNC);
    let seen = ended(&daemon, second);
    assert_eq!(seen["status"], "error");
    assert!(seen["error"].as_str().unwrap().contains("no items"), "{seen}");

    let listed = daemon.get("/api/admin/jobs?name=playlist_sync&limit=1").json();
    assert_eq!(
        (&listed["name"], &listed["limit"], &listed["offset"]),
        (&json!("playlist_sync"), &json!(1), &json!(0))
    );
    assert_eq!(
        listed["runs"].as_array().unwrap().iter().map(|run| &run["run_id"]).collect::<Vec<_>>(),
        [&json!(second)]
    );
    let automation = daemon.get("/api/admin/automation").json();
    assert_eq!(automation["playlist_sync"]["last_run"]["run_id"], second);
    for (method, path, status) in [
        ("GET", "/api/admin/jobs/999".to_owned(), 404),
        ("GET", "/api/admin/jobs?name=x".to_owned(), 400),
        ("GET", "/api/admin/jobs?limit=x".to_owned(), 400),
        ("POST", format!("/api/admin/jobs/{second}/cancel"), 409),
        ("POST", "/api/admin/jobs/999/cancel".to_owned(), 404),
    ] {
        assert_eq!(daemon.ask(method, &path, "").status, status, "{path}");
    }
}

#[test]
fn sources_are_tried_and_the_best_comes_first() {
    let (mut daemon, upstream) = (Daemon::start(&QUICK), Upstream::start());
    let urls = [upstream.url("/missing/a"), upstream.url("/good/4000000/b"), upstream.url("/good/4000000/c")];
    let channel = daemon.channel("100", &urls);
    let alone = daemon.channel("200", &[upstream.url("/good/4000000/alone")]);
    let before = sources(&daemon, channel);
    let seen = ended(&daemon, begin(&daemon, PRIORITIZE));
    assert_eq!(seen["status"], "success", "{seen}");
    let summary = seen["summary"].as_str().unwrap();
    assert!(
        summary.starts_with("channels=2 analyzed=3 cache_hits=0 reordered=1 ")
            && summary.contains(" analysis_errors=1 "),
        "{summary}"
    );
    assert_eq!(sources(&daemon, channel), [before[1], before[2], before[0]]);
    assert_eq!((daemon.tuners_in_use(), sources(&daemon, alone).len()), (0, 1));
    assert_eq!(seen["progress_cur"], seen["progress_max"]);
    assert!(upstream.requests("/good/4000000/alone").is_empty(), "there is nothing to choose from");
}

#[test]
fn viewers_have_their_tuner_whatever_is_tried() {
    let settings: Vec<_> =
        QUICK.into_iter().chain([("TUNER_COUNT", "1"), ("PROBE_TIMEOUT", "20s")]).collect();
    let (mut daemon, upstream) = (Daemon::start(&settings), Upstream::start());
    daemon.channel("100", &[upstream.url("/silent/a"), upstream.url("/silent/b")]);
    daemon.channel("200", &[upstream.url("/good/4000000/c")]);
    let run_id = begin(&daemon, PRIORITIZE);
    until(LONG, "a source is tried", || (daemon.tuners()["tuners"][0]["kind"] == "probe").then_some(()));
    assert_eq!(daemon.ask("POST", PRIORITIZE, "").status, 409);
    let watch = Stopwatch::start();
    let mut viewer = daemon.open("/auto/v200");
    assert!(!viewer.watch(Duration::from_millis(300)).is_empty());
    assert!(watch.elapsed() < Duration::from_secs(10), "{:?}", watch.elapsed());
    // The job waits meanwhile, and ends when nobody wants it any more.
    assert_eq!(run(&daemon, run_id)["status"], "running");
    assert_eq!(daemon.ask("POST", &format!("/api/admin/jobs/{run_id}/cancel"), "").status, 202);
    assert_eq!(ended(&daemon, run_id)["status"], "canceled");
    assert!(!viewer.watch(Duration::from_millis(300)).is_empty());
}

#[test]
fn a_run_that_the_end_of_the_program_cuts_short_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start();
    let list = folder.path().join("list.m3u");
    let entries = ["a", "b"]
        .map(|name| format!("#EXTINF:-1 tvg-id=\"one\",One\n{}\n", upstream.url(&format!("/silent/{name}"))));
    fs::write(&list, entries.concat()).unwrap();
    let start = |port: u16| {
        Daemon::start_with(port, &[("PROBE_TIMEOUT", "20s")], |command| {
            command.env("HTTP_ADDR", format!("127.0.0.1:{port}"));
            command.env("DB_PATH", folder.path().join("kept.db"));
            command.env("PLAYLIST_URL", format!("file://{}", list.display()));
        })
    };
    let daemon = start(crate::kit::free_port());
    let key = until(LONG, "the list is read", || {
        daemon.get("/api/items").json()["items"][0]["item_key"].as_str().map(str::to_owned)
    });
    let channel = daemon.ask("POST", "/api/channels", &json!({"item_key": key}).to_string()).json();
    let path = format!("/api/channels/{}/sources/same-key", channel["channel_id"]);
    assert_eq!(daemon.ask("POST", &path, "").status / 100, 2);
    let run_id = begin(&daemon, PRIORITIZE);
    until(LONG, "a source is tried", || (daemon.tuners_in_use() > 0).then_some(()));
    drop(daemon);
    let daemon = start(crate::kit::free_port());
    let seen = ended(&daemon, run_id);
    assert_eq!(seen["status"], "error");
    assert!(seen["error"].as_str().unwrap().starts_with("interrupted"), "{seen}");
}

#[test]
fn administrators_say_when_jobs_run_and_wrong_words_change_nothing() {
    let mut daemon = Daemon::start(&[]);
    daemon.channel("100", &["http://h/a".to_owned()]);
    let automation = daemon.get("/api/admin/automation").json();
    assert_eq!(
        (&automation["auto_prioritize"]["enabled"], &automation["auto_prioritize"]["cron_spec"]),
        (&json!(false), &json!("30 3 * * *"))
    );
    assert!(automation["auto_prioritize"].get("next_run").is_none(), "{automation}");
    let put = |body: &Value| daemon.ask("PUT", "/api/admin/automation", &body.to_string());
    for (body, word) in [
        (json!({"auto_prioritize": {"enabled": true, "cron_spec": "often"}}), "auto_prioritize"),
        (json!({"auto_prioritize": {"enabled": true, "cron_spec": ""}}), "required"),
        (json!({"timezone": "Nowhere/At_All"}), "timezone"),
        (json!({"playlist_url": "http://other/"}), "PLAYLIST_URL"),
        (json!({"analyzer": {"bitrate_mode": "loud"}}), "metadata_then_sample"),
        (json!({"analyzer": {"sample_seconds": 0}}), "sample_seconds"),
        (json!({"unknown": 1}), "unknown"),
    ] {
        let answer = put(&body);
        assert!(answer.status == 400 && String::from_utf8_lossy(&answer.body).contains(word), "{body}");
    }
    assert_eq!(daemon.get("/api/admin/automation").json(), automation);
    let answer = put(&json!({
        "timezone": "Europe/Berlin",
        "auto_prioritize": {"enabled": true, "cron_spec": "* * * * * *"},
        "analyzer": {"top_n_per_channel": 2, "bitrate_mode": "sample", "probe_timeout_ms": 5000}
    }));
    let changed = answer.json();
    assert_eq!(
        (answer.status, &changed["timezone"], &changed["analyzer"]["top_n_per_channel"]),
        (200, &json!("Europe/Berlin"), &json!(2))
    );
    assert!(changed["auto_prioritize"]["next_run"].is_u64(), "{changed}");
    let runs = until(LONG, "a run is begun by its schedule", || {
        let runs = daemon.get("/api/admin/jobs?name=auto_prioritize").json()["runs"].clone();
        (!runs.as_array()?.is_empty()).then_some(runs)
    });
    assert_eq!(runs[0]["triggered_by"], "schedule");
    let cleared = daemon.ask("POST", "/api/admin/jobs/auto-prioritize/cache/clear", "");
    assert_eq!((cleared.status, cleared.json()), (200, json!({"deleted": 0})));
}

/// A picture of this size with a tone, as a stream.
fn picture(size: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.ts");
    let arguments = format!(
        "-v error -nostdin -f lavfi -i testsrc2=size={size}:rate=25:duration=8 -f lavfi -i sine=frequency=440:sample_rate=48000:duration=8 \
         -c:v libx264 -preset ultrafast -g 25 -b:v 400k -c:a aac -b:a 96k -muxrate 900k -f mpegts"
    );
    let mut arguments: Vec<_> = arguments.split_whitespace().collect();
    arguments.push(path.to_str().unwrap());
    crate::kit::run("ffmpeg", &arguments);
    fs::read(&path).unwrap()
}

#[test]
fn the_largest_picture_comes_first_and_is_not_looked_at_again_the_same_day() {
    let (mut daemon, upstream) = (Daemon::start(&QUICK), Upstream::start());
    for (name, size) in [("small", "320x240"), ("large", "1280x720")] {
        upstream.offer(&format!("/file/{name}"), picture(size), Duration::from_secs(8));
    }
    let channel = daemon.channel("100", &[upstream.url("/file/small"), upstream.url("/file/large")]);
    let before = sources(&daemon, channel);
    let seen = ended(&daemon, begin(&daemon, PRIORITIZE));
    assert_eq!(sources(&daemon, channel), [before[1], before[0]], "{seen}");
    let connection = rusqlite::Connection::open(daemon.database()).unwrap();
    let query = "SELECT profile_height FROM channel_sources WHERE source_id = ?1";
    let height = |source: i64| connection.query_row(query, [source], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((height(before[0]), height(before[1])), (240, 720));
    let again = ended(&daemon, begin(&daemon, PRIORITIZE));
    assert!(
        again["summary"].as_str().unwrap().starts_with("channels=1 analyzed=0 cache_hits=2 reordered=0 "),
        "{again}"
    );
    assert_eq!(
        daemon.ask("POST", "/api/admin/jobs/auto-prioritize/cache/clear", "").json(),
        json!({"deleted": 2})
    );
}
