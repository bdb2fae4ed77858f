//! Several playlists: each is read for itself, and its streams are asked for as it says.

use serde_json::{Value, json};

use crate::kit::{Daemon, LONG, Upstream, until};

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
    assert_eq!(daemon.ask("POST", "/api/channels", &channel).status, 201);
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
