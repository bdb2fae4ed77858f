//! Profiles from outside: what the provider is asked, and what viewers get, where a channel carries one.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::{Daemon, LONG, PROGRAMME, Upstream, judge, programme, run, until};

const RECORDING: Duration = Duration::from_millis(1500);
/// Channels end with their last viewer, and slates take no processor.
const SETTINGS: [(&str, &str); 2] = [("SESSION_IDLE_TIMEOUT", "0"), ("RECOVERY_FILLER_MODE", "psi")];

/// Width and height of what a viewer of the channel gets, and the channel's row in the status meanwhile.
fn watched(daemon: &Daemon, guide_number: &str) -> (String, Value) {
    let mut viewer = daemon.open(&format!("/auto/v{guide_number}"));
    let recording = viewer.watch(RECORDING);
    let rows = daemon.tuners()["tuners"].clone();
    let is_its = |row: &&Value| row["guide_number"] == guide_number;
    let row = rows.as_array().unwrap().iter().find(is_its).unwrap_or_else(|| panic!("{rows}")).clone();
    drop(viewer);
    until(LONG, "the channel ends", || (daemon.tuners_in_use() == 0).then_some(()));
    let findings = judge(&recording);
    assert!(findings.packets > 100 && findings.faults() == 0, "{guide_number}: {findings:?}");
    (size(&recording), row)
}

fn size(recording: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording.ts");
    fs::write(&path, recording).unwrap();
    let shown = ["-show_entries", "stream=width,height", "-of", "csv=p=0:s=x", path.to_str().unwrap()];
    let all = ["-v", "error", "-select_streams", "v:0"].into_iter().chain(shown).collect::<Vec<_>>();
    let (told, _) = run("ffprobe", &all);
    // A stream is told of again with its programme.
    told.lines().next().unwrap_or_default().trim_end_matches('x').to_owned()
}

fn done(daemon: &Daemon, method: &str, path: &str, body: &Value, status: u16) {
    let body = if *body == json!({}) { String::new() } else { body.to_string() };
    let answer = daemon.ask(method, path, &body);
    assert_eq!(answer.status, status, "{method} {path}: {}", String::from_utf8_lossy(&answer.body));
}

#[test]
fn a_channel_with_a_profile_is_asked_for_and_encoded_as_that_says_and_others_are_not() {
    let upstream = Upstream::start();
    for path in ["/file/a", "/file/b"] {
        upstream.offer(path, programme(), PROGRAMME);
    }
    let mut daemon = Daemon::start(&SETTINGS);
    let small = |width: u32, token: &str| {
        json!({
            "mode": "ffmpeg-transcode",
            "headers": {"X-Box": token, "User-Agent": "Box/9"},
            "ffmpeg_output": ["-vf", format!("scale={width}:-2"), "-b:v", "300k", "-preset", "ultrafast"],
        })
    };
    let mut profile = small(160, "seven");
    profile["name"] = json!("small");
    done(&daemon, "POST", "/api/profiles", &profile, 201);
    let channel = daemon.channel("100", &[upstream.url("/file/a")]);
    daemon.channel("200", &[upstream.url("/file/b")]);
    let path = format!("/api/channels/{channel}");
    done(&daemon, "PATCH", &path, &json!({"profile": "small"}), 200);

    let (size, row) = watched(&daemon, "100");
    assert_eq!((size.as_str(), &row["profile"]), ("160x90", &json!("small")), "{row}");
    assert!(row["producer"].as_str().unwrap().starts_with("ffmpeg-transcode:"), "{row}");
    let (size, row) = watched(&daemon, "200");
    assert_eq!((size.as_str(), &row["profile"]), ("320x180", &Value::Null), "{row}");
    assert!(row["producer"].as_str().unwrap().starts_with("direct:"), "{row}");
    let has_fields =
        |head: &String| head.contains("\r\nX-Box: seven\r\n") && head.contains("\r\nUser-Agent: Box/9\r\n");
    let (own, other) = (upstream.requests("/file/a"), upstream.requests("/file/b"));
    assert!(own.iter().all(has_fields), "{own:?}");
    assert!(other.iter().all(|head| !head.contains("Box")), "{other:?}");

    // What is hidden when it is shown stays when it is sent back.
    let watching = daemon.open("/auto/v100");
    done(&daemon, "PUT", "/api/profiles/small", &small(192, "***"), 200);
    drop(watching);
    until(LONG, "the channel ends", || (daemon.tuners_in_use() == 0).then_some(()));
    let (size, _) = watched(&daemon, "100");
    assert_eq!(size, "192x108", "from the next tune on");
    let own = upstream.requests("/file/a");
    assert!(own.len() >= 3 && own.iter().all(has_fields), "{own:?}");
    done(&daemon, "DELETE", "/api/profiles/small", &json!({}), 409);
    done(&daemon, "PATCH", &path, &json!({"profile": null}), 200);
    assert_eq!(watched(&daemon, "100").0, "320x180");
    done(&daemon, "DELETE", "/api/profiles/small", &json!({}), 204);
}

#[test]
fn the_playlists_profile_is_that_of_whatever_has_none() {
    let upstream = Upstream::start();
    let settings: Vec<_> = SETTINGS.into_iter().chain([("PLAYLIST_PROFILE", "list")]).collect();
    let mut daemon = Daemon::start(&settings);
    daemon.channel("100", &[upstream.url("/good/4000000/a")]);
    let missing = "PLAYLIST_PROFILE: there is no profile ";
    until(LONG, "it is said that there is none", || {
        (daemon.log().matches(missing).count() == 1).then_some(())
    });
    done(&daemon, "POST", "/api/profiles", &json!({"name": "list", "headers": {"X-Box": "list"}}), 201);
    assert_eq!(daemon.log().matches(missing).count(), 1, "it is said once");
    let play = || {
        let findings = judge(&daemon.open("/auto/v100").watch(RECORDING));
        assert!(findings.packets > 100 && findings.faults() == 0, "{findings:?}");
        until(LONG, "the channel ends", || (daemon.tuners_in_use() == 0).then_some(()));
        upstream.requests("/good/4000000/a").pop().unwrap()
    };
    assert!(play().contains("\r\nX-Box: list\r\n"));
    done(&daemon, "POST", "/api/profiles", &json!({"name": "own", "headers": {"X-Box": "own"}}), 201);
    done(&daemon, "PATCH", "/api/channels/1/sources/1", &json!({"profile": "own"}), 200);
    assert!(play().contains("\r\nX-Box: own\r\n"));
}

#[test]
fn a_profile_bounds_the_variant_that_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("programme.ts");
    fs::write(&source, programme()).unwrap();
    let list = folder.path().join("list.m3u8");
    let cut = ["-c", "copy", "-f", "hls", "-hls_time", "2", "-hls_list_size", "0", list.to_str().unwrap()];
    let all = ["-v", "error", "-nostdin", "-i", source.to_str().unwrap()].into_iter().chain(cut);
    run("ffmpeg", &all.collect::<Vec<_>>());
    let upstream = Upstream::start();
    let offer = |path: &str, bytes: Vec<u8>| upstream.offer_whole(path, "application/octet-stream", bytes);
    for entry in fs::read_dir(folder.path()).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_name().unwrap().to_str().unwrap();
        for variant in ["high", "low"] {
            offer(&format!("/whole/{variant}/{name}"), fs::read(&file).unwrap());
        }
    }
    let master = "#EXTM3U\n\
        #EXT-X-STREAM-INF:BANDWIDTH=5000000,RESOLUTION=1920x1080\nhigh/list.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=800000,RESOLUTION=640x360\nlow/list.m3u8\n";
    offer("/whole/master.m3u8", master.as_bytes().to_vec());
    let mut daemon = Daemon::start(&SETTINGS);
    daemon.channel("100", &[upstream.url("/whole/master.m3u8")]);
    let counts = || ["high", "low"].map(|name| upstream.requests(&format!("/whole/{name}/list.m3u8")).len());
    watched(&daemon, "100");
    assert!(counts()[0] > 0 && counts()[1] == 0, "{:?}", counts());
    done(&daemon, "POST", "/api/profiles", &json!({"name": "mobile", "variant_max": "480p"}), 201);
    done(&daemon, "PATCH", "/api/channels/1", &json!({"profile": "mobile"}), 200);
    let before = counts();
    let (_, row) = watched(&daemon, "100");
    assert_eq!((counts()[0], &row["profile"]), (before[0], &json!("mobile")), "{row}");
    assert!(counts()[1] > 0, "{:?}", counts());
}
