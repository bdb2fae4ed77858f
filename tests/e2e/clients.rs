//! What clients of HDHomeRun tuners ask of the device, over the network.

use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use crate::kit::{Answer, Daemon, LONG, Upstream, exchange, free_port, judge, until};

/// Everything that is read, streams included.
const READ: &[&str] = &[
    "/discover.json",
    "/device.xml",
    "/upnp/device.xml",
    "/lineup.json",
    "/lineup.json?show=found&tuning",
    "/lineup.xml",
    "/lineup.m3u",
    "/lineup_status.json",
    "/status.json",
    "/tuner0/vstatus",
    "/healthz",
    "/auto/v999",
    "/auto/",
    "/tuner9/v100",
    "/nothing",
];

fn names(answer: &Answer) -> Vec<String> {
    let fields = answer.head.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields.map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn head_has_the_status_and_the_fields_of_get_everywhere() {
    let daemon = Daemon::start(&[]);
    for path in READ {
        let (get, head) = (daemon.get(path), daemon.ask("HEAD", path, ""));
        assert_eq!(head.status, get.status, "{path}");
        assert_eq!(names(&head), names(&get), "{path}");
        assert_eq!(head.header("Content-Length"), get.header("Content-Length"), "{path}");
        assert!(head.body.is_empty(), "{path}");
        assert_eq!(get.header("Content-Length"), Some(get.body.len().to_string().as_str()), "{path}");
    }
}

#[test]
fn whatever_is_asked_where_streams_are_gets_no_byte_of_a_body() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[]);
    daemon.channel("100", &[upstream.url("/good/4000000/a")]);
    for (path, reason) in [
        ("/auto", "channel_not_found"),
        ("/auto/", "channel_not_found"),
        ("/auto/v100/", "channel_not_found"),
        ("/auto/v1/v2", "channel_not_found"),
        ("/tuner0", "channel_not_found"),
        ("/tuner0/", "channel_not_found"),
        ("/tuner2/v100", "tuner_not_found"),
        ("/tuner99999999999/v100", "tuner_not_found"),
    ] {
        let answer = daemon.get(path);
        let told = (answer.status, answer.header("X-HDHomeRun-Error"), answer.header("X-Tunerd-Reason"));
        assert_eq!(told, (404, Some("801 Unknown Channel"), Some(reason)), "{path}");
        assert!(answer.body.is_empty(), "{path}");
    }
    assert_eq!(daemon.get("/tuner2/vstatus").status, 404);
    assert_eq!(upstream.requests_total(), 0);
}

#[test]
fn a_tuner_that_was_given_tells_what_it_shows() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[]);
    daemon.channel("100", &[upstream.url("/good/4000000/a")]);
    let viewer = daemon.open("/auto/v100");
    let tuner = viewer.head.lines().find_map(|line| line.strip_prefix("X-HDHomeRun-Resource: ")).unwrap();
    let shown = daemon.get("/status.json").json();
    let tuned: Vec<_> = shown.as_array().unwrap().iter().filter(|row| row["VctNumber"] == "100").collect();
    assert_eq!((tuned.len(), &tuned[0]["Resource"]), (1, &tuner.into()));
    assert_eq!(tuned[0]["TargetIP"], "127.0.0.1");
    assert_eq!(shown.as_array().unwrap().len(), 2);
    let status = String::from_utf8(daemon.get(&format!("/{tuner}/vstatus")).body).unwrap();
    assert!(status.starts_with("vch=100 name=entry-001- auth=subscribed "), "{status}");
}

#[test]
fn addresses_are_those_that_the_client_used_on_every_port() {
    let legacy = free_port();
    let address = format!("127.0.0.1:{legacy}");
    let daemon = Daemon::start(&[("HTTP_ADDR_LEGACY", &address), ("DEVICE_ID", "1234abc2")]);
    let main = daemon.port();
    let base = |port: u16, request: &str| {
        let answer = exchange(port, request.as_bytes()).unwrap();
        let found = answer.json();
        assert_eq!((answer.status, &found["DeviceID"]), (200, &"1234ABC2".into()));
        assert_eq!(found["LineupURL"], format!("{}/lineup.json", found["BaseURL"].as_str().unwrap()));
        found["BaseURL"].as_str().unwrap().to_owned()
    };
    for (port, host, expected) in [
        (main, "Host: tv.lan:5004\r\n", "http://tv.lan:5004".to_owned()),
        (legacy, "Host: tv.lan\r\n", "http://tv.lan".to_owned()),
        (main, "", format!("http://127.0.0.1:{main}")),
        (legacy, "", format!("http://127.0.0.1:{legacy}")),
        (legacy, "Host: tv\"<x>\r\n", format!("http://127.0.0.1:{legacy}")),
    ] {
        assert_eq!(base(port, &format!("GET /discover.json HTTP/1.0\r\n{host}\r\n")), expected);
    }
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, legacy)).is_ok());
}

#[test]
fn a_made_up_identity_has_a_right_check_digit_and_outlives_a_restart() {
    let daemon = Daemon::start(&[]);
    let first = daemon.get("/discover.json").json();
    let id = u32::from_str_radix(first["DeviceID"].as_str().unwrap(), 16).unwrap();
    assert!(tunerd::config::device_id_is_valid_hdhomerun(id), "{id:08X}");
    let kept = tempfile::tempdir().unwrap();
    let database = kept.path().join("tunerd.db");
    let path = database.to_str().unwrap();
    let identity = || {
        let found = Daemon::start(&[("DB_PATH", path)]).get("/discover.json").json();
        (found["DeviceID"].clone(), found["DeviceAuth"].clone())
    };
    let (before, after) = (identity(), identity());
    assert_eq!(before, after);
    assert_ne!(before.0, first["DeviceID"], "two devices with one id hide one another");
}

#[test]
fn the_device_and_its_lineup_have_nothing_that_clients_trip_over() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[("TUNER_COUNT", "3")]);
    for number in ["5.1", "100", "101"] {
        daemon.channel(number, &[upstream.url(&format!("/good/4000000/{number}"))]);
    }
    let device = daemon.get("/discover.json");
    assert_eq!((device.status, device.header("Location")), (200, None));
    let device = device.json();
    let model = device["ModelNumber"].as_str().unwrap().to_lowercase();
    assert!(!model.contains("hdtc"), "Jellyfin would ask for a transcoder: {model}");
    assert_eq!(device["TunerCount"], 3);
    // Clients send whatever they have ever sent to a tuner.
    for query in ["", "?show=found", "?show=favorites", "?show=unprotected", "?tuning=1&x"] {
        let lineup = daemon.get(&format!("/lineup.json{query}")).json();
        let rows = lineup.as_array().unwrap();
        assert_eq!(rows.len(), 3, "{query}");
        for row in rows {
            let number = row["GuideNumber"].as_str().unwrap();
            assert!(!number.contains('_') && number.len() <= 8, "{number}");
            assert_eq!(
                (&row["HD"], row.get("DRM")),
                (&1.into(), None),
                "Jellyfin guesses a rate without it: {row}"
            );
            let url = row["URL"].as_str().unwrap();
            let base = device["BaseURL"].as_str().unwrap();
            assert_eq!(url, format!("{base}/auto/v{number}"), "absolute, and without a query");
        }
    }
    assert_eq!(daemon.get("/lineup.json?show=demo").json(), serde_json::json!([]));
}

#[test]
fn a_wizards_scan_begins_progresses_and_can_be_ended() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[]);
    daemon.channel("100", &[upstream.url("/good/4000000/a")]);
    let status = || daemon.get("/lineup_status.json").json();
    let resting = serde_json::json!({
        "ScanInProgress": 0, "ScanPossible": 1, "Source": "Antenna", "SourceList": ["Antenna", "Cable"]
    });
    assert_eq!(status(), resting);
    for source in ["Antenna", "Cable"] {
        let begun = daemon.ask("POST", &format!("/lineup.post?scan=start&source={source}"), "");
        assert_eq!((begun.status, begun.body.len()), (200, 0));
        let scanning = status();
        assert_eq!((&scanning["ScanInProgress"], &scanning["Source"]), (&1.into(), &source.into()));
        assert!(scanning["Progress"].is_u64() && scanning["Found"].is_u64(), "{scanning}");
        assert_eq!(daemon.ask("POST", "/lineup.post?scan=abort", "").status, 200);
        assert_eq!(status()["ScanInProgress"], 0);
    }
    daemon.ask("POST", "/lineup.post?scan=start", "");
    until(LONG, "the scan ends by itself", || (status()["ScanInProgress"] == 0).then_some(()));
    assert_eq!(upstream.requests_total(), 0, "nobody is asked for anything");
}

#[test]
fn players_that_open_twice_or_again_at_once_need_one_tuner() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[("TUNER_COUNT", "1")]);
    daemon.channel("100", &[upstream.url("/good/4000000/a")]);
    // Kodi reads the head, closes, and opens again; Plex opens twice.
    let first = daemon.open("/auto/v100");
    assert_eq!(first.status(), 200);
    drop(first);
    let mut again = daemon.open("/auto/v100");
    let mut twice = daemon.open("/auto/v100?transcode=none");
    for viewer in [&mut again, &mut twice] {
        assert_eq!(viewer.status(), 200, "{}", viewer.head);
        assert_eq!(judge(&viewer.watch(Duration::from_millis(500))).faults(), 0);
    }
    assert_eq!(daemon.tuners_in_use(), 1);
    assert_eq!(upstream.requests_total(), 1, "the source was asked once");
}
