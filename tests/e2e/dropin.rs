//! Whoever comes from hdhriptv starts this program in its place, with what is there.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use rusqlite::Connection;

use crate::hdhriptv::{Version, alter, make};
use crate::kit::{Daemon, LONG, binary, free_port, until};

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
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
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
