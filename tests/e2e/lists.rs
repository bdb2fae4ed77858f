//! Playlists that change.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::kit::{Daemon, LONG, Upstream, judge, until};

const RUN: &str = "/api/admin/jobs/playlist-sync/run?wait=true";

/// Puts these entries into the program's playlist.
fn write(daemon: &Daemon, entries: &[(&str, String)]) {
    let text: String = entries
        .iter()
        .map(|(name, url)| format!("#EXTINF:-1 tvg-id=\"{name}\" group-title=\"G\",{name}\n{url}\n"))
        .collect();
    // At once: the program may be reading.
    let (new, list) = (daemon.database().with_file_name("new"), daemon.database().with_file_name("list.m3u"));
    fs::write(&new, format!("#EXTM3U\n{text}")).unwrap();
    fs::rename(&new, &list).unwrap();
}

fn names(daemon: &Daemon) -> Vec<Value> {
    let items = daemon.get("/api/items?active=true").json();
    items["items"].as_array().unwrap().iter().map(|item| item["name"].clone()).collect()
}

#[test]
fn the_playlist_is_read_again_by_its_schedule_and_what_goes_wrong_changes_nothing() {
    let daemon = Daemon::start(&[("REFRESH_SCHEDULE", "@every 1s")]);
    let entries = ["one", "two"].map(|name| (name, format!("http://h/{name}")));
    write(&daemon, &entries[..1]);
    until(LONG, "it is read", || (names(&daemon) == ["one"]).then_some(()));
    write(&daemon, &entries);
    until(LONG, "it is read again", || (names(&daemon) == ["one", "two"]).then_some(()));
    write(&daemon, &[]);
    until(LONG, "it is said that it is empty", || {
        let status = daemon.get("/api/playlists").json();
        status["playlists"][0]["last_error"].as_str()?.contains("no items").then_some(())
    });
    assert_eq!(names(&daemon), ["one", "two"]);
}

#[test]
fn a_channel_plays_on_when_its_provider_moves() {
    let (mut daemon, upstream) = (Daemon::start(&[("SESSION_IDLE_TIMEOUT", "100ms")]), Upstream::start());
    daemon.channel("100", &[upstream.url("/good/4000000/a")]);
    let mut viewer = daemon.open("/auto/v100");
    let mut recording = viewer.watch(Duration::from_millis(300));
    write(&daemon, &[("entry-001-", upstream.url("/good/4000000/moved"))]);
    let answer = daemon.ask("POST", RUN, "");
    assert_eq!((answer.status, &answer.json()["moved"]), (200, &Value::from(1)));
    recording.extend(viewer.watch(Duration::from_secs(1)));
    let findings = judge(&recording);
    assert!(findings.packets > 500 && findings.faults() == 0 && findings.signalled == 0, "{findings:?}");
    drop(viewer);
    until(LONG, "nobody watches", || (daemon.tuners_in_use() == 0).then_some(()));
    daemon.open("/auto/v100").watch(Duration::from_millis(300));
    let asked = ["a", "moved"].map(|name| upstream.requests(&format!("/good/4000000/{name}")).len());
    assert_eq!(asked, [1, 1]);
}

#[test]
fn a_list_of_many_entries_takes_no_memory_of_its_own_and_disturbs_nobody() {
    const ENTRIES: usize = 20_000;
    let (mut daemon, upstream) = (Daemon::start(&[]), Upstream::start());
    daemon.channel("100", &[upstream.url("/good/4000000/a")]);
    let mut viewer = daemon.open("/auto/v100");
    let mut recording = viewer.watch(Duration::from_secs(1));
    let idle = daemon.process().resident_kib();
    let list = daemon.database().with_file_name("list.m3u");
    let mut text = fs::read_to_string(&list).unwrap();
    for n in 0..ENTRIES {
        text.push_str(&format!(
            "#EXTINF:-1 tvg-id=\"ch{n}.example\" tvg-logo=\"http://logos.example/pictures/{n}.png\" group-title=\"Group {}\",Channel {n}\nhttp://provider.example:8080/live/name/word/{n}.ts\n",
            n % 200
        ));
    }
    fs::write(&list, text).unwrap();
    let port = daemon.port();
    let reading = std::thread::spawn(move || {
        let request = format!(
            "POST {RUN} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        crate::kit::exchange_within(port, request.as_bytes(), LONG * 9).unwrap()
    });
    let mut most = 0;
    while !reading.is_finished() {
        recording.extend(viewer.watch(Duration::from_millis(20)));
        most = most.max(daemon.process().resident_kib());
    }
    let answer = reading.join().unwrap();
    assert_eq!((answer.status, &answer.json()["items"]), (200, &Value::from(ENTRIES + 1)));
    // The text alone has four MiB, and its entries take four times as much.
    assert!(most < idle + 6 * 1024, "{most} KiB instead of {idle}");
    let findings = judge(&recording);
    assert!(findings.faults() == 0 && findings.signalled == 0, "{findings:?}");
}

#[test]
fn a_playlist_that_is_handed_over_is_taken_in_as_one_that_was_fetched() {
    let daemon = Daemon::start(&[]);
    let new = r#"{"name":"Mine","url":"upload:mine"}"#;
    assert_eq!(daemon.ask("POST", "/api/playlists", new).status, 201);
    let list = |name: &str| format!("#EXTM3U\n#EXTINF:-1 tvg-id=\"{name}\",{name}\nhttp://h/{name}\n");
    let taken = daemon.ask("PUT", "/api/playlists/2/list", &list("one"));
    assert_eq!((taken.status, &taken.json()["items"]), (200, &Value::from(1)), "{:?}", taken.head);
    assert_eq!(names(&daemon), ["one"]);
    let own = format!("{}#EXTINF:-1,Secret\nfile:///etc/passwd\n", list("two"));
    let taken = daemon.ask("PUT", "/api/playlists/2/list", &own).json();
    assert_eq!((&taken["items"], &taken["inactive"]), (&Value::from(1), &Value::from(1)));
    assert_eq!(names(&daemon), ["two"], "files of this host are left out");

    for (path, body, status, word) in [
        ("/api/playlists/2/list", "", 400, "the body is empty"),
        ("/api/playlists/2/list", "#EXTM3U\n", 502, "no items"),
        ("/api/playlists/9/list", "#EXTM3U\n", 404, "9"),
        ("/api/playlists/1/list", "#EXTM3U\n", 400, "upload:NAME"),
    ] {
        let refused = daemon.ask("PUT", path, body);
        let said = String::from_utf8(refused.body.clone()).unwrap();
        assert!(refused.status == status && said.contains(word), "{path} {body}: {} {said}", refused.status);
    }
    for url in ["upload:", "upload:a b"] {
        let refused = daemon.ask("POST", "/api/playlists", &format!(r#"{{"name":"No","url":"{url}"}}"#));
        assert_eq!(refused.status, 400, "{url}");
    }
    // What was handed over last is kept, and read again when somebody wants it.
    assert_eq!(daemon.ask("PUT", "/api/playlists/2/list", &list("three")).status, 200);
    assert_eq!(daemon.ask("POST", "/api/playlists/2/refresh", "").status, 200);
    assert_eq!(names(&daemon), ["three"]);
}
