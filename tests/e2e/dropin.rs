//! Whoever comes from hdhriptv starts this program in its place, with what is there.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;

use crate::hdhriptv::{Version, alter, make};
use crate::kit::{Daemon, LONG, Upstream, binary, free_port, until};

/// Runs a command of the program to its end.
fn run(database: &Path, arguments: &[&str]) -> Output {
    Command::new(binary()).env_clear().env("DB_PATH", database).args(arguments).output().unwrap()
}

/// Starts the program with a database, and without a playlist of its own.
fn start(database: &Path) -> Daemon {
    let port = free_port();
    Daemon::start_with(port, &[], |command| {
        command.env("HTTP_ADDR", format!("127.0.0.1:{port}")).env("DB_PATH", database);
        command.env_remove("PLAYLIST_URL");
    })
}

/// The numbers and names of the channels that players see.
fn lineup(daemon: &Daemon) -> Vec<(String, String)> {
    let lineup = daemon.get("/lineup.json").json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    lineup
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (text(&row["GuideNumber"]), text(&row["GuideName"])))
        .collect()
}

fn expected_lineup() -> Vec<(String, String)> {
    [("101", "News, at last"), ("10000", "Film")].map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec()
}

#[test]
fn hdhriptvs_database_at_db_path_is_imported_at_the_first_start_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("hdhr-iptv.db");
    make(&database, Version::OneOne);
    let list = folder.path().join("remembered.m3u");
    fs::write(&list, "#EXTM3U\n#EXTINF:-1 tvg-id=\"remembered\",Remembered\nhttp://a.example/r.ts\n")
        .unwrap();
    let sql = format!("UPDATE settings SET value = 'file://{}' WHERE key = 'playlist.url'", list.display());
    alter(&database, &sql);
    let before = fs::read(&database).unwrap();
    for round in 0..2 {
        let daemon = start(&database);
        assert_eq!(lineup(&daemon), expected_lineup());
        let device = daemon.get("/discover.json").json();
        assert_eq!(device["DeviceID"], "1234ABCD");
        assert_eq!(device["FriendlyName"], "Living room");
        assert_eq!(device["DeviceAuth"], "tok");
        let sources = daemon.get("/api/channels/4/sources").json();
        assert_eq!(sources["sources"][0]["source_id"], 8);
        assert_eq!(sources["sources"][0]["success_count"], 12);
        assert_eq!(sources["sources"][1]["last_fail_reason"], "startup: HTTP 404");
        until(LONG, "the playlist that was remembered is read", || {
            let found = daemon.get("/api/items?q=Remembered").json();
            (found["total"] == 1).then_some(())
        });
        assert_eq!(daemon.log().contains("was hdhriptv's database: 3 channels"), round == 0);
        let kept = folder.path().join("hdhr-iptv.db.hdhriptv");
        assert!(fs::read(&kept).unwrap() == before, "it is kept as it was");
    }
}

#[test]
fn databases_of_the_first_versions_are_imported_too() {
    for version in [Version::Favorites, Version::Early] {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("hdhr-iptv.db");
        make(&database, version);
        let daemon = start(&database);
        assert_eq!(lineup(&daemon), expected_lineup()[..1], "{version:?}");
        assert_eq!(daemon.get("/discover.json").json()["DeviceID"], "1234ABCD", "{version:?}");
    }
}

#[test]
fn a_database_is_imported_by_hand_once_and_only_read() {
    let folder = tempfile::tempdir().unwrap();
    let (theirs, ours) = (folder.path().join("theirs.db"), folder.path().join("ours.db"));
    make(&theirs, Version::One);
    let before = fs::read(&theirs).unwrap();
    let name = theirs.to_str().unwrap();
    let first = run(&ours, &["import-hdhriptv", name]);
    let said = String::from_utf8(first.stdout).unwrap();
    assert!(first.status.success(), "{said} {}", String::from_utf8_lossy(&first.stderr));
    assert!(
        said.starts_with("imported 3 channels, 5 sources, 3 playlist items and 7 settings into "),
        "{said}"
    );
    let second = run(&ours, &["import-hdhriptv", name]);
    let said = String::from_utf8(second.stdout).unwrap();
    assert!(second.status.success() && said.contains("nothing was changed"), "{said}");
    assert!(fs::read(&theirs).unwrap() == before);
    assert!(!folder.path().join("theirs.db-shm").exists(), "nothing is left beside it");
    let daemon = start(&ours);
    assert_eq!(lineup(&daemon), expected_lineup());
    assert_eq!(daemon.get("/discover.json").json()["DeviceID"], "1234ABCD");
    let own = run(&ours, &["import-hdhriptv", ours.to_str().unwrap()]);
    assert_eq!(own.status.code(), Some(1), "the running one is not disturbed");
    drop(daemon);
    let own = run(&ours, &["import-hdhriptv", ours.to_str().unwrap()]);
    let said = String::from_utf8(own.stdout).unwrap();
    assert!(own.status.success() && said.contains("tunerd's own database"), "{said}");
    // By hand in its own place, as at a start.
    let own = run(&theirs, &["import-hdhriptv", name]);
    let said = String::from_utf8(own.stdout).unwrap();
    assert!(own.status.success() && said.contains("is kept as"), "{said}");
    assert!(fs::read(folder.path().join("theirs.db.hdhriptv")).unwrap() == before);
}

#[test]
fn a_database_that_cannot_be_imported_ends_the_start_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("hdhr-iptv.db");
    make(&database, Version::One);
    let open = Connection::open(&database).unwrap();
    let count: u32 = open.query_row("SELECT count(*) FROM settings", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 9);
    let refused = |piece: &str| {
        for arguments in [&["run"][..], &["import-hdhriptv", database.to_str().unwrap()]] {
            let output = run(&database, arguments);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(5), "{said}");
            assert!(said.contains(piece), "{said}");
            assert!(!folder.path().join("hdhr-iptv.db.hdhriptv").exists(), "{said}");
        }
    };
    refused("is in use by another program; end hdhriptv first");
    drop(open);
    alter(&database, "ALTER TABLE channel_sources DROP COLUMN enabled");
    let before = fs::read(&database).unwrap();
    refused("half migrated: the table channel_sources has no column enabled; start hdhriptv on it once");
    assert!(fs::read(&database).unwrap() == before);
}

/// What hdhriptv's own check of a failover has in its environment.
const HARNESS: &[(&str, &str)] = &[
    ("STREAM_MODE", "ffmpeg-copy"),
    ("FFMPEG_RECONNECT_ENABLED", "false"),
    ("STARTUP_TIMEOUT", "12s"),
    ("FAILOVER_TOTAL_TIMEOUT", "20s"),
    ("MAX_FAILOVERS", "0"),
    ("STALL_POLICY", "failover_source"),
    ("STALL_DETECT", "1s"),
    ("STALL_HARD_DEADLINE", "12s"),
    ("STALL_MAX_FAILOVERS_PER_STALL", "3"),
    ("SUBSCRIBER_MAX_BLOCKED_WRITE", "15s"),
    ("RECOVERY_FILLER_ENABLED", "true"),
    ("RECOVERY_FILLER_MODE", "slate_av"),
    ("RECOVERY_FILLER_TEXT", "Slate AV recovery continuity test"),
    ("RECOVERY_FILLER_ENABLE_AUDIO", "true"),
    ("TUNER_COUNT", "1"),
    ("LOG_DIR", "."),
    ("LOG_LEVEL", "info"),
];

/// What ffplay says of a stream that is not whole: small letters.
const COMPLAINTS: [&str; 13] = [
    "continuity check failed",
    "ts discontinuity",
    "ts duplicate",
    "packet corrupt",
    "pes packet size mismatch",
    "non monotonically increasing dts",
    "invalid dropping",
    "decode_slice_header error",
    "error decoding the extradata",
    "non-existing pps",
    "out of range",
    "missing picture in access unit",
    "buffer deadlock prevented",
];

/// A recording of pictures and sound that runs for so many seconds.
fn recording(folder: &Path, seconds: u32) -> Vec<u8> {
    let file = folder.join(format!("{seconds}.ts"));
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i"])
        .arg(format!("testsrc2=size=640x360:rate=30:duration={seconds}"))
        .args(["-f", "lavfi", "-i"])
        .arg(format!("sine=frequency=440:sample_rate=48000:duration={seconds}"))
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "30", "-b:v", "900k"])
        .args(["-c:a", "aac", "-b:a", "96k", "-ac", "2", "-f", "mpegts"])
        .arg(&file)
        .status()
        .unwrap();
    assert!(status.success());
    fs::read(file).unwrap()
}

/// The decoding times of the pictures of a recording.
fn decoding_times(file: &Path) -> Vec<f64> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries", "packet=dts_time", "-of", "csv=p=0"])
        .arg(file)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect()
}

#[test]
fn hdhriptvs_own_check_of_a_failover_to_the_slate_passes_strictly() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start();
    for (name, seconds) in [("primary", 6), ("backup", 40)] {
        upstream.offer(
            &format!("/file/{name}"),
            recording(folder.path(), seconds),
            Duration::from_secs(seconds.into()),
        );
    }
    let list = folder.path().join("list.m3u");
    let entry = |name: &str| {
        let url = upstream.url(&format!("/file/{name}"));
        format!("#EXTINF:-1 tvg-id=\"slate.test.{name}\" group-title=\"Test\",Slate Failover {name}\n{url}\n")
    };
    fs::write(&list, format!("#EXTM3U\n{}{}", entry("primary"), entry("backup"))).unwrap();
    let playlist = format!("file://{}", list.display());
    let settings = [HARNESS, &[("PLAYLIST_URL", playlist.as_str())]].concat();
    let daemon = Daemon::start(&settings);
    let keys = until(LONG, "both entries are there", || {
        let items = daemon.get("/api/items?limit=100").json()["items"].as_array().unwrap().clone();
        let key = |start: &str| {
            let mut keys = items.iter().filter_map(|item| item["item_key"].as_str());
            keys.find(|key| key.starts_with(start)).map(str::to_owned)
        };
        key("src:slate.test.primary:").zip(key("src:slate.test.backup:"))
    });
    let channel = daemon.ask("POST", "/api/channels", &format!("{{\"item_key\":\"{}\"}}", keys.0)).json();
    let (id, number) = (channel["channel_id"].as_i64().unwrap(), channel["guide_number"].as_str().unwrap());
    let body = format!("{{\"item_key\":\"{}\",\"allow_cross_channel\":true}}", keys.1);
    let added = daemon.ask("POST", &format!("/api/channels/{id}/sources"), &body);
    assert_eq!(added.status / 100, 2, "{}", String::from_utf8_lossy(&added.body));

    let url = format!("http://127.0.0.1:{}/auto/v{number}", daemon.port());
    let recorded = folder.path().join("recorded.ts");
    let mut player = Command::new("timeout");
    player.args([
        "--signal=INT",
        "24",
        "ffplay",
        "-hide_banner",
        "-loglevel",
        "info",
        "-stats",
        "-nodisp",
        "-autoexit",
    ]);
    player.args(["-f", "mpegts", &url]).env("SDL_AUDIODRIVER", "dummy").env("SDL_VIDEODRIVER", "dummy");
    let player = player.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut recorder = Command::new("timeout");
    recorder.args([
        "60",
        "ffmpeg",
        "-hide_banner",
        "-loglevel",
        "error",
        "-nostdin",
        "-y",
        "-t",
        "16",
        "-i",
        &url,
    ]);
    recorder.args(["-map", "0", "-c", "copy", "-f", "mpegts"]).arg(&recorded);
    let recorder = recorder.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();

    // The first that is told of a boundary.
    let row = until(LONG, "a boundary is told", || {
        let row = daemon.tuners()["tuners"][0].clone();
        row["recovery_transition_signals_applied"].is_string().then_some(row)
    });
    let signals: Vec<_> = row["recovery_transition_signals_applied"].as_str().unwrap().split(',').collect();
    for signal in ["disc", "cc", "pcr", "psi_version"] {
        assert!(signals.contains(&signal), "{signals:?}");
    }
    assert_eq!(row["recovery_keepalive_guardrail_count"].as_u64().unwrap_or(0), 0);
    assert!(row["recovery_keepalive_realtime_multiplier"].as_f64().unwrap_or(0.0) <= 2.5);
    let recorder = recorder.wait_with_output().unwrap();
    assert!(recorder.status.success(), "{}", String::from_utf8_lossy(&recorder.stderr));
    let player = player.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[player.stdout, player.stderr].concat()).replace('\r', "\n");
    assert!(matches!(player.status.code(), Some(0 | 124 | 130)), "{:?}: {said}", player.status);
    let playing = said.find("Input #0, mpegts").map(|at| said[at..].to_lowercase()).expect("it plays");
    for complaint in COMPLAINTS {
        assert!(!playing.contains(complaint), "{complaint}: {said}");
    }
    let times = decoding_times(&recorded);
    assert!(times.len() > 300 && times.is_sorted(), "{} pictures", times.len());

    let log = daemon.log();
    let lines = |text: &str| log.lines().filter(|line| line.contains(text)).collect::<Vec<_>>();
    assert!(
        lines("shared session recovery keepalive started").iter().any(|line| line.contains("mode=slate_av"))
    );
    let selected = lines("shared session selected source");
    for source in ["source_id=1", "source_id=2"] {
        assert!(selected.iter().any(|line| line.contains(source)), "{source}: {selected:?}");
    }
    assert!(lines("shared stream session stopped with error").is_empty());
    assert!(lines("stream subscriber ended with error").is_empty());
    assert!(
        !lines("shared session subscriber disconnected")
            .iter()
            .any(|line| line.contains("reason=session_closed"))
    );
}

/// The names of an object's fields.
fn fields(value: &Value) -> Vec<&str> {
    value.as_object().map(|object| object.keys().map(String::as_str).collect()).unwrap_or_default()
}

/// Asserts that a value is an object with at least these fields, which stand in one text between blanks.
fn assert_fields(what: &str, value: &Value, names: &str) {
    let found = fields(value);
    for name in names.split_whitespace() {
        assert!(found.contains(&name), "{what}: no {name} in {found:?}");
    }
}

const CHANNEL: &str = "channel_id channel_class channel_key guide_number guide_name order_index enabled dynamic_rule \
    source_total source_enabled source_dynamic source_manual";
const SOURCE: &str = "source_id channel_id item_key tvg_name stream_url priority_index enabled association_type \
    last_ok_at last_fail_at last_fail_reason success_count fail_count cooldown_until last_probe_at profile_width \
    profile_height profile_fps profile_video_codec profile_audio_codec profile_bitrate_bps";
const QUERY: &str = "query_id enabled name group_name source_ids search_query order_index block_start block_end \
    generated_count truncated_by created_at updated_at search_warning";
const WARNING: &str = "mode truncated max_terms max_disjuncts max_term_runes terms_applied terms_dropped \
    disjuncts_applied disjuncts_dropped term_rune_truncations";

#[test]
fn every_request_of_hdhriptv_is_taken_word_for_word_and_answered_in_its_shape() {
    let mut daemon = Daemon::start(&[]);
    daemon.channel("100", &["http://127.0.0.1:9/a".to_owned(), "http://127.0.0.1:9/b".to_owned()]);
    daemon.channel("101", &["tvg-logo=\"http://l/1\" group-title=\"News\"\thttp://127.0.0.1:9/c".to_owned()]);
    let keys: Vec<String> = (1..=3)
        .map(|n| {
            let found = daemon.get(&format!("/api/items?q=entry-00{n}-")).json();
            found["items"][0]["item_key"].as_str().unwrap().to_owned()
        })
        .collect();
    let [a, b, c] = &keys[..] else { panic!("three") };
    // Method, path, body, status, what is looked at in the answer (a path of JSON), the fields that it has.
    let create = format!("{{\"item_key\":\"{a}\",\"guide_name\":\"\",\"channel_key\":\"\"}}");
    let create_with_rule = format!(
        "{{\"item_key\":\"{b}\",\"guide_name\":\"US News\",\"channel_key\":\"tvg:Own\",\"dynamic_rule\":{{\"enabled\":false,\
         \"group_name\":\"US News\",\"group_names\":[\"US News\"],\"source_ids\":[],\"search_query\":\"news\",\"search_regex\":false}}}}"
    );
    let cross = format!("{{\"item_key\":\"{c}\",\"allow_cross_channel\":true}}");
    let not_cross = format!("{{\"item_key\":\"{c}\",\"allow_cross_channel\":false}}");
    let table: &[(&str, &str, &str, u16, &str, &str)] = &[
        ("GET", "/api/groups", "", 200, "", "groups total limit offset include_counts"),
        ("GET", "/api/groups?limit=1&offset=0&include_counts=true", "", 200, "/groups/0", "name count"),
        ("GET", "/api/groups?include_counts=off", "", 200, "/groups/0", "name"),
        ("GET", "/api/groups?include_counts=maybe", "", 400, "", ""),
        ("GET", "/api/groups?limit=-1", "", 400, "", ""),
        ("GET", "/api/items", "", 200, "", "items total limit offset q_regex search_warning"),
        (
            "GET",
            "/api/items?group=News&group_names=News&q=entry&q_regex=0&limit=5000&offset=-1",
            "",
            200,
            "/items/0",
            "item_key channel_key name group stream_url logo active",
        ),
        ("GET", "/api/items?q=fox%20-spanish%20%7C%20cnn", "", 200, "/search_warning", WARNING),
        ("GET", "/api/items?q=%5Eentry&q_regex=yes&limit=x", "", 200, "/search_warning", WARNING),
        ("GET", "/api/items?q=(&q_regex=1", "", 400, "", ""),
        ("GET", "/api/channels", "", 200, "", "channels total limit offset"),
        ("GET", "/api/channels?limit=1&offset=1", "", 200, "/channels/0", CHANNEL),
        ("GET", "/api/channels?offset=no", "", 400, "", ""),
        ("POST", "/api/channels", &create, 200, "", CHANNEL),
        ("POST", "/api/channels", &create_with_rule, 200, "/dynamic_rule", "enabled group_name search_query"),
        ("POST", "/api/channels", r#"{"item_key":"nobody"}"#, 404, "", ""),
        ("POST", "/api/channels", r#"{"item_key":"a","unknown":1}"#, 400, "", ""),
        ("POST", "/api/channels", r#"{"item_key":"a"} {}"#, 400, "", ""),
        ("PATCH", "/api/channels/1", r#"{"guide_name":"One","enabled":true}"#, 200, "", CHANNEL),
        (
            "PATCH",
            "/api/channels/1",
            r#"{"dynamic_rule":{"enabled":false,"group_name":"","search_query":""}}"#,
            200,
            "",
            CHANNEL,
        ),
        (
            "PATCH",
            "/api/channels/1",
            r#"{"dynamic_rule":{"enabled":true,"group_name":"None","search_query":"x"}}"#,
            200,
            "/dynamic_rule",
            "enabled group_name group_names search_query",
        ),
        ("PATCH", "/api/channels/1", r#"{"dynamic_rule":{"enabled":true,"search_query":""}}"#, 400, "", ""),
        (
            "PATCH",
            "/api/channels/1",
            r#"{"dynamic_rule":{"enabled":true,"search_query":"(","search_regex":true}}"#,
            400,
            "",
            "",
        ),
        ("PATCH", "/api/channels/99", r#"{"enabled":false}"#, 404, "", ""),
        ("PATCH", "/api/channels/reorder", r#"{"channel_ids":[2,1,4,3]}"#, 204, "", ""),
        ("PATCH", "/api/channels/reorder", r#"{"channel_ids":[2,1]}"#, 400, "", ""),
        ("GET", "/api/channels/1/sources", "", 200, "", "sources total limit offset"),
        ("GET", "/api/channels/1/sources?limit=1", "", 200, "/sources/0", SOURCE),
        ("POST", "/api/channels/1/sources", &cross, 200, "", SOURCE),
        ("POST", "/api/channels/1/sources", &cross, 409, "", ""),
        ("POST", "/api/channels/4/sources", &not_cross, 200, "", SOURCE),
        ("POST", "/api/channels/99/sources", &cross, 404, "", ""),
        ("PATCH", "/api/channels/1/sources/2", r#"{"enabled":false}"#, 200, "", SOURCE),
        ("PATCH", "/api/channels/1/sources/77", r#"{"enabled":false}"#, 404, "", ""),
        ("PATCH", "/api/channels/1/sources/2", "{}", 400, "", ""),
        ("PATCH", "/api/channels/2/sources/reorder", r#"{"source_ids":[3]}"#, 204, "", ""),
        ("POST", "/api/channels/1/sources/health/clear", "", 200, "", "cleared"),
        ("POST", "/api/channels/sources/health/clear", "", 200, "", "cleared"),
        ("DELETE", "/api/channels/1/sources/2", "", 204, "", ""),
        ("DELETE", "/api/channels/1/sources/2", "", 404, "", ""),
        (
            "GET",
            "/api/suggestions/duplicates?min=2&q=cnn.us&limit=100&offset=0",
            "",
            200,
            "",
            "groups total limit offset min q",
        ),
        (
            "GET",
            "/api/suggestions/duplicates?tvg_id=x&limit=0",
            "",
            200,
            "",
            "groups total limit offset min q",
        ),
        ("GET", "/api/suggestions/duplicates?limit=-4", "", 400, "", ""),
        (
            "GET",
            "/api/admin/tuners",
            "",
            200,
            "",
            "generated_at tuner_count in_use_count idle_count churn drain_wait probe_close tuners client_streams",
        ),
        ("POST", "/api/admin/tuners/recovery", r#"{"channel_id":1,"reason":"blocky"}"#, 404, "", ""),
        ("POST", "/api/admin/tuners/recovery", r#"{"reason":"blocky"}"#, 400, "", ""),
        ("DELETE", "/api/channels/4", "", 204, "", ""),
        ("DELETE", "/api/channels/4", "", 404, "", ""),
        ("GET", "/api/dynamic-channels", "", 200, "", "queries total limit offset"),
        ("GET", "/api/dynamic-channels?limit=-1", "", 400, "", ""),
        (
            "POST",
            "/api/dynamic-channels",
            r#"{"enabled":true,"name":"All","group_name":"News","group_names":["News"],"source_ids":[],"search_query":"entry","search_regex":false}"#,
            200,
            "",
            QUERY,
        ),
        ("POST", "/api/dynamic-channels", r#"{"search_query":"(","search_regex":true}"#, 400, "", ""),
        ("POST", "/api/dynamic-channels", r#"{"search_query":"x","unknown":1}"#, 400, "", ""),
        ("GET", "/api/dynamic-channels", "", 200, "/queries/0", QUERY),
        ("GET", "/api/dynamic-channels/1", "", 200, "/search_warning", WARNING),
        ("GET", "/api/dynamic-channels/99", "", 404, "", ""),
        ("PATCH", "/api/dynamic-channels/1", r#"{"name":"Some","enabled":true}"#, 200, "", QUERY),
        ("PATCH", "/api/dynamic-channels/99", r#"{"name":"Some"}"#, 404, "", ""),
        ("GET", "/api/dynamic-channels/1/channels", "", 200, "", "channels total limit offset"),
        ("GET", "/api/dynamic-channels/1/channels?limit=1", "", 200, "/channels/0", CHANNEL),
        ("PATCH", "/api/dynamic-channels/1/channels/reorder", r#"{"channel_ids":[1]}"#, 400, "", ""),
        ("DELETE", "/api/dynamic-channels/1", "", 204, "", ""),
        ("DELETE", "/api/dynamic-channels/1", "", 404, "", ""),
        (
            "GET",
            "/api/admin/automation",
            "",
            200,
            "",
            "playlist_url timezone playlist_sync auto_prioritize analyzer",
        ),
        (
            "PUT",
            "/api/admin/automation",
            r#"{"timezone":"America/Chicago","playlist_sync":{"enabled":true,"cron_spec":"*/30 * * * *"},"auto_prioritize":{"enabled":false},"analyzer":{"bitrate_mode":"metadata_then_sample","sample_seconds":3,"enabled_only":true,"top_n_per_channel":0}}"#,
            200,
            "/playlist_sync",
            "enabled cron_spec",
        ),
        ("POST", "/api/admin/jobs/playlist-sync/run", "", 202, "", "run_id status"),
        (
            "GET",
            "/api/admin/jobs/1",
            "",
            200,
            "",
            "run_id job_name triggered_by started_at status progress_cur progress_max",
        ),
        ("GET", "/api/admin/jobs/99", "", 404, "", ""),
        (
            "GET",
            "/api/admin/jobs?name=dvr_lineup_sync&limit=20&offset=0",
            "",
            200,
            "",
            "name limit offset runs",
        ),
        ("GET", "/api/admin/jobs?name=other", "", 400, "", ""),
        ("POST", "/api/admin/jobs/auto-prioritize/cache/clear", "", 200, "", "deleted"),
        (
            "GET",
            "/api/admin/dvr",
            "",
            200,
            "/instance",
            "id provider base_url sync_enabled sync_mode pre_sync_refresh_devices updated_at",
        ),
        ("GET", "/api/admin/dvr/lineups?refresh=1", "", 200, "", "lineups refresh"),
        (
            "GET",
            "/api/channels/dvr?enabled_only=1&include_dynamic=1&limit=0",
            "",
            200,
            "",
            "mappings total limit offset enabled_only include_dynamic",
        ),
        (
            "GET",
            "/api/channels/dvr",
            "",
            200,
            "/mappings/0",
            "channel_id guide_number guide_name enabled dvr_instance_id",
        ),
        (
            "GET",
            "/api/channels/1/dvr",
            "",
            200,
            "",
            "channel_id guide_number guide_name enabled dvr_instance_id",
        ),
        ("GET", "/api/channels/99/dvr", "", 404, "", ""),
        // What would write into a recorder.
        ("PUT", "/api/admin/dvr", r#"{"base_url":"http://recorder:8089"}"#, 501, "", "error"),
        ("POST", "/api/admin/dvr/test", "", 501, "", "error"),
        ("POST", "/api/admin/dvr/sync", "", 501, "", "error"),
        ("POST", "/api/admin/dvr/sync", r#"{"dry_run":true}"#, 501, "", "error"),
        ("POST", "/api/admin/dvr/reverse-sync", "", 501, "", "error"),
        ("PUT", "/api/channels/1/dvr", r#"{"dvr_lineup_id":"USA"}"#, 501, "", "error"),
        ("POST", "/api/channels/1/dvr/reverse-sync", r#"{"dry_run":false}"#, 501, "", "error"),
        ("GET", "/healthz", "", 200, "", "status"),
        (
            "GET",
            "/discover.json",
            "",
            200,
            "",
            "FriendlyName DeviceID DeviceAuth BaseURL LineupURL ModelNumber FirmwareName FirmwareVersion TunerCount",
        ),
        ("GET", "/lineup.json", "", 200, "/0", "GuideNumber GuideName URL"),
        ("GET", "/lineup.json?show=demo", "", 200, "", ""),
        ("GET", "/lineup_status.json", "", 200, "", "ScanInProgress ScanPossible Source SourceList"),
        ("GET", "/lineup.xml", "", 200, "", ""),
        ("GET", "/lineup.m3u", "", 200, "", ""),
        ("GET", "/device.xml", "", 200, "", ""),
        ("GET", "/upnp/device.xml", "", 200, "", ""),
        ("GET", "/upnp/scpd/connection-manager.xml", "", 200, "", ""),
        ("GET", "/upnp/scpd/content-directory.xml", "", 200, "", ""),
        ("GET", "/auto/v999", "", 404, "", ""),
        ("GET", "/lineup.html", "", 302, "", ""),
    ];
    for (method, path, body, status, at, names) in table {
        let what = format!("{method} {path} {body}");
        let answer = daemon.ask(method, path, body);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, *status, "{what}: {text}");
        if names.is_empty() {
            continue;
        }
        let document = answer.json();
        let value = document.pointer(at).unwrap_or_else(|| panic!("{what}: nothing at {at:?}: {text}"));
        assert_fields(&what, value, names);
    }
}

#[test]
fn what_requests_of_hdhriptv_say_is_done() {
    let mut daemon = Daemon::start(&[]);
    daemon.channel("100", &["http://127.0.0.1:9/a".to_owned(), "http://127.0.0.1:9/b".to_owned()]);
    let key =
        daemon.get("/api/items?q=entry-001-").json()["items"][0]["item_key"].as_str().unwrap().to_owned();
    let body = format!("{{\"item_key\":\"{key}\",\"guide_name\":\" \",\"channel_key\":\"TVG:Own\"}}");
    let made = daemon.ask("POST", "/api/channels", &body).json();
    assert_eq!((&made["guide_name"], &made["channel_key"]), (&"entry-001-".into(), &"tvg:own".into()));
    assert_eq!(
        made["dynamic_rule"],
        serde_json::json!({"enabled": false, "group_name": "", "search_query": ""})
    );
    // A rule finds the other entry, and loses it again.
    let rule = |query: &str| {
        let body = format!("{{\"dynamic_rule\":{{\"enabled\":true,\"search_query\":\"{query}\"}}}}");
        daemon.ask("PATCH", "/api/channels/2", &body).json()
    };
    let found = rule("entry-002");
    assert_eq!(
        (&found["source_total"], &found["source_dynamic"], &found["source_manual"]),
        (&2.into(), &1.into(), &1.into())
    );
    assert_eq!(found["dynamic_rule"]["search_query"], "entry-002");
    assert_eq!(rule("nobody")["source_total"], 1);
    let page = daemon.get("/api/channels?limit=1&offset=1").json();
    assert_eq!((&page["total"], &page["limit"], &page["offset"]), (&2.into(), &1.into(), &1.into()));
    assert_eq!(page["channels"].as_array().unwrap().len(), 1);
    assert_eq!(page["channels"][0]["channel_id"], 2);
    let sources = daemon.get("/api/channels/1/sources?limit=1&offset=1").json();
    assert_eq!((&sources["total"], &sources["sources"][0]["priority_index"]), (&2.into(), &1.into()));
    let none = daemon.get("/api/channels?limit=0").json();
    assert_eq!((&none["limit"], none["channels"].as_array().unwrap().len()), (&200.into(), 2));
    let capped = daemon.get("/api/channels?limit=5000").json();
    assert_eq!(capped["limit"], 1000);
    let items = daemon.get("/api/items?limit=0&offset=-3").json();
    assert_eq!(
        (&items["limit"], &items["offset"], &items["q_regex"]),
        (&100.into(), &0.into(), &false.into())
    );
}
