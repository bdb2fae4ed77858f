//! Several playlists: each is read for itself, and its streams are asked for as it says.

use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::{Daemon, LONG, Upstream, judge, until};

const QUICK: [(&str, &str); 3] =
    [("STARTUP_TIMEOUT", "2s"), ("FAILOVER_TOTAL_TIMEOUT", "2s"), ("STREAM_MODE", "direct")];

fn listed(daemon: &Daemon) -> Vec<Value> {
    daemon.get("/api/playlists").json()["playlists"].as_array().unwrap().clone()
}

/// The playlist of this name, once it is so.
fn when(daemon: &Daemon, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    until(LONG, "a playlist is as it is to be", || {
        listed(daemon).into_iter().find(|playlist| playlist["name"] == name).filter(&is_so)
    })
}

#[test]
fn playlists_of_settings_and_api_are_read_each_for_itself_and_asked_as_each_says() {
    let upstream = Upstream::start();
    let list = |stream: &str| format!("#EXTM3U\n#EXTINF:-1,Same\n{}\n", upstream.url(stream));
    upstream.offer_raw("/raw/p.m3u", "HTTP/1.1 200 OK", list("/raw/p").as_bytes());
    upstream.offer_raw("/raw/b.m3u", "HTTP/1.1 200 OK", list("/raw/b").as_bytes());
    upstream.offer_raw("/raw/c.m3u", "HTTP/1.1 404 Not Found", b"");
    let (primary, b) = (upstream.url("/raw/p.m3u"), upstream.url("/raw/b.m3u?key=canary-qu-1"));
    upstream.offer_raw("/raw/b.m3u?key=canary-qu-1", "HTTP/1.1 200 OK", list("/raw/b").as_bytes());
    let sources = format!("url={b},tuners=3,name=B,user_agent=Box/7 (x; y)");
    let settings = [("PLAYLIST_URL", primary.as_str()), ("PLAYLIST_SOURCES", &sources), ("TUNER_COUNT", "2")];
    let daemon = Daemon::start(&[&QUICK[..], &settings].concat());
    when(&daemon, "primary", |playlist| playlist["items"] == 1);
    let of_b = when(&daemon, "B", |playlist| playlist["items"] == 1);
    assert_eq!((&of_b["tuners"], &of_b["origin"]), (&json!(3), &json!("settings")));
    let requests = upstream.requests("/raw/b.m3u?key=canary-qu-1");
    assert!(requests[0].contains("\r\nUser-Agent: Box/7 (x; y)\r\n"), "{requests:?}");
    assert!(!upstream.requests("/raw/p.m3u")[0].contains("Box/7"));

    let new = json!({"name": "C", "url": upstream.url("/raw/c.m3u"), "tuners": 1}).to_string();
    let made = daemon.ask("POST", "/api/playlists", &new);
    assert_eq!(made.status, 201);
    let failed = when(&daemon, "C", |playlist| playlist["last_error"].is_string());
    assert!(failed["last_error"].as_str().unwrap().contains("404") && failed["items"] == 0, "{failed}");
    upstream.offer_raw("/raw/c.m3u", "HTTP/1.1 200 OK", list("/raw/c").as_bytes());
    let path = format!("/api/playlists/{}", failed["playlist_id"]);
    let read = daemon.ask("POST", &format!("{path}/refresh"), "");
    assert_eq!((read.status, &read.json()["items"]), (200, &json!(1)));
    // One that goes on failing keeps what it held.
    upstream.offer_raw("/raw/c.m3u", "HTTP/1.1 500 Oh", b"");
    assert_eq!(daemon.ask("POST", &format!("{path}/refresh"), "").status, 502);
    assert_eq!(when(&daemon, "C", |playlist| playlist["last_error"].is_string())["items"], 1);
    assert_eq!(daemon.get("/api/items?active=true").json()["total"], 3);

    // A stream of B is asked for as B says.
    let items = daemon.get(&format!("/api/items?playlist_id={}", of_b["playlist_id"])).json();
    let channel = json!({"item_key": items["items"][0]["item_key"], "guide_number": "100"}).to_string();
    assert_eq!(daemon.ask("POST", "/api/channels", &channel).status, 200);
    let _turned_away = daemon.ask("GET", "/auto/v100", "");
    let asked = upstream.requests("/raw/b");
    assert!(!asked.is_empty() && asked[0].contains("\r\nUser-Agent: Box/7 (x; y)\r\n"), "{asked:?}");

    // Switched off, its streams are nobody's; removed, its items are gone.
    assert_eq!(daemon.ask("PATCH", &path, r#"{"enabled":false}"#).status, 200);
    assert_eq!(daemon.ask("POST", &format!("{path}/refresh"), "").status, 409);
    assert_eq!(daemon.ask("DELETE", &path, "").status, 204);
    assert_eq!(daemon.get("/api/items").json()["total"], 2);
    assert!(!daemon.log().contains("canary"));
}

#[test]
fn a_playlist_has_no_more_streams_than_its_provider_allows_and_who_left_makes_room() {
    let upstream = Upstream::start();
    let list = |streams: &[&str]| {
        let entry = |stream: &&str| {
            format!("#EXTINF:-1,{stream}\n{}\n", upstream.url(&format!("/good/4000000/{stream}")))
        };
        format!("#EXTM3U\n{}", streams.iter().map(entry).collect::<String>())
    };
    upstream.offer_raw("/raw/p.m3u", "HTTP/1.1 200 OK", list(&["one", "two"]).as_bytes());
    upstream.offer_raw("/raw/b.m3u", "HTTP/1.1 200 OK", list(&["three"]).as_bytes());
    let primary = upstream.url("/raw/p.m3u");
    let sources = format!("url={},tuners=2,name=B", upstream.url("/raw/b.m3u"));
    let settings = [
        ("PLAYLIST_URL", primary.as_str()),
        ("PLAYLIST_SOURCES", &sources),
        ("TUNER_COUNT", "1"),
        ("TUNE_WAIT", "300ms"),
        ("PREEMPT_SETTLE_DELAY", "0"),
        ("SESSION_IDLE_TIMEOUT", "1h"),
    ];
    let daemon = Daemon::start(&settings);
    when(&daemon, "B", |playlist| playlist["items"] == 1);
    when(&daemon, "primary", |playlist| playlist["items"] == 2);
    for (number, name) in [("101", "one"), ("102", "two"), ("103", "three")] {
        let key = daemon.get(&format!("/api/items?q={name}")).json()["items"][0]["item_key"].clone();
        let channel = json!({"item_key": key, "guide_number": number}).to_string();
        assert_eq!(daemon.ask("POST", "/api/channels", &channel).status, 200);
    }
    assert_eq!(daemon.get("/discover.json").json()["TunerCount"], 3);
    let mut one = daemon.open("/auto/v101");
    let mut of_one = one.watch(Duration::from_millis(500));
    assert_eq!(judge(&of_one).faults(), 0);
    let refused = daemon.get("/auto/v102");
    assert_eq!((refused.status, refused.header("X-HDHomeRun-Error")), (503, Some("805 All Tuners In Use")));
    assert!(upstream.requests("/good/4000000/two").is_empty(), "its provider is not asked");
    let mut three = daemon.open("/auto/v103");
    let mut of_three = three.watch(Duration::from_millis(500));
    assert_eq!(judge(&of_three).faults(), 0, "the other provider has room");
    of_one.extend(one.watch(Duration::from_millis(500)));
    assert_eq!(judge(&of_one).faults(), 0);
    // Nobody watches it any more, though it runs on for a while.
    drop(one);
    until(LONG, "it is left", || (daemon.viewers().len() == 1).then_some(()));
    let mut two = daemon.open("/auto/v102");
    assert_eq!(two.status(), 200, "{}", two.head);
    assert_eq!(judge(&two.watch(Duration::from_millis(500))).faults(), 0);
    of_three.extend(three.watch(Duration::from_millis(500)));
    assert_eq!(judge(&of_three).faults(), 0);
    assert_eq!(upstream.requests("/good/4000000/one").len(), 1);
}
