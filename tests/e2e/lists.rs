//! Playlists that change.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::kit::{Daemon, LONG, Upstream, judge, until};

const RUN: &str = "/api/admin/jobs/playlist-sync/run";

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
