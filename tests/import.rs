//! Databases of hdhriptv, made as its migrations make them, become ours: whole, unharmed, and only once.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use support::hdhriptv;

use std::fs;
use std::path::{Path, PathBuf};

use hdhriptv::{Version, alter, make};
use rusqlite::Connection;
use tempfile::TempDir;
use tunerd::lineup::{Health, StoredProfile, StreamProfile};
use tunerd::store::{
    ChannelRecord, Database, Hdhriptv, ImportError, ImportOutcome, Imported, TakenOver, take_over,
};
use tunerd::ts::Codec;
use tunerd::ts::es::FrameRate;

const VERSIONS: [Version; 4] = [Version::Favorites, Version::Early, Version::One, Version::OneOne];

/// A folder with the database of a version in it.
fn place(version: Version) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hdhr-iptv.db");
    make(&path, version);
    (folder, path)
}

/// The names in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn import(from: &Path) -> (TempDir, Database, Imported) {
    let folder = tempfile::tempdir().unwrap();
    let mut database = Database::open(&folder.path().join("tunerd.db")).unwrap();
    let from = Hdhriptv::open(from).unwrap();
    let ImportOutcome::Done(done) = database.import_hdhriptv(&from).unwrap() else {
        panic!("imported before")
    };
    (folder, database, done)
}

fn refusal(path: &Path) -> ImportError {
    let before = fs::read(path).unwrap();
    let error = Hdhriptv::open(path).err().unwrap_or_else(|| panic!("{} is refused", path.display()));
    assert!(fs::read(path).unwrap() == before, "{error}");
    error
}

/// Id, number, name, place and state, and the sources with their ids, keys and states.
type Told<'a> = (i64, &'a str, &'a str, u32, bool, Vec<(i64, &'a str, bool)>);

fn told(channels: &[ChannelRecord]) -> Vec<Told<'_>> {
    channels
        .iter()
        .map(|channel| {
            let sources = channel.sources.iter();
            let sources =
                sources.map(|source| (source.source_id, source.item_key.as_str(), source.enabled)).collect();
            (
                channel.channel_id,
                channel.guide_number.as_str(),
                channel.guide_name.as_str(),
                channel.order_index,
                channel.enabled,
                sources,
            )
        })
        .collect()
}

const NEWS: &str = "src:news:0a1b2c3d4e5f";
const SPORT: &str = "src:1122334455667788";
const FILM: &str = "src:film:aabbccddeeff";

#[test]
fn every_version_comes_over_with_its_numbers_keys_addresses_and_order() {
    for version in VERSIONS {
        let (_folder, path) = place(version);
        let before = fs::read(&path).unwrap();
        let (_ours, database, done) = import(&path);
        assert!(fs::read(&path).unwrap() == before, "{version:?}: the file is as it was");
        let channels = database.channels().unwrap();
        let told = told(&channels);
        if version == Version::Favorites {
            let expected = [
                (1, "101", "News, at last", 0, true, vec![(1, NEWS, true)]),
                (2, "100", "Sport", 1, false, vec![(2, SPORT, true)]),
            ];
            assert_eq!(told, expected);
        } else {
            let gone = "src:gone:000000000000";
            let mut expected = vec![
                (4, "101", "News, at last", 0, true, vec![(8, NEWS, true), (7, FILM, false)]),
                (9, "100", "Sport", 1, false, vec![(11, SPORT, true), (12, gone, true)]),
            ];
            if version != Version::Early {
                expected.push((20, "10000", "Film", 2, true, vec![(21, FILM, true)]));
            }
            assert_eq!(told, expected, "{version:?}");
        }
        let news = database.item(NEWS).unwrap().unwrap();
        assert_eq!(news.item.channel_key, "tvg:news", "{version:?}");
        assert_eq!(news.item.stream_url, "http://u:p@a.example/news.ts");
        assert_eq!((news.item.group_name.as_str(), news.active), ("Info", true));
        assert_eq!(news.first_seen_at.unix_seconds(), 1_700_000_000, "{version:?}");
        let sport = database.item(SPORT).unwrap().unwrap().item;
        assert_eq!((sport.channel_key.as_str(), sport.name.as_str()), ("name:sport one", "Sport  One"));
        assert_eq!(sport.attrs_json, "{}", "{version:?}");
        assert_eq!(sport.stream_url, "http://a.example/sport.ts?token=x");
        for (key, value) in [
            ("identity.friendly_name", Some("Living room")),
            ("identity.device_id", Some("1234ABCD")),
            ("identity.device_auth", Some("tok")),
            ("playlist.url", Some("http://lists.example/one.m3u")),
            ("jobs.timezone", Some("America/Chicago")),
            ("analyzer.sample_seconds", Some("3")),
            ("jobs.note", None),
            ("ui.theme", None),
        ] {
            assert_eq!(database.setting(key).unwrap().as_deref(), value, "{version:?}: {key}");
        }
        assert_eq!((done.items, done.settings), (3, 7), "{version:?}");
        assert_eq!(done.channels, channels.len(), "{version:?}");
        let remarks = done.remarks.join("; ");
        let is_late = matches!(version, Version::One | Version::OneOne);
        for (piece, is_told) in [
            ("ui.theme", true),
            ("1 sources were left out, whose channels are gone", version != Version::Favorites),
            ("1 blocks of channels", is_late),
            ("recorder", is_late),
            ("nothing is known", false),
        ] {
            assert_eq!(remarks.contains(piece), is_told, "{version:?}: {piece}: {remarks}");
        }
    }
}

#[test]
fn health_and_what_is_known_of_streams_come_over() {
    let (_folder, path) = place(Version::One);
    let (_ours, database, _done) = import(&path);
    let channels = database.channels().unwrap();
    let [news, film] = &channels[0].sources[..] else { panic!("two sources") };
    assert_eq!(news.association_type, "channel_key");
    let health = Health {
        last_ok_at: 1_700_000_700,
        last_fail_at: 1_700_000_400,
        success_count: 12,
        ..Health::default()
    };
    assert_eq!(news.health, health);
    let health = Health {
        last_fail_at: 1_700_000_500,
        last_fail_reason: "startup: HTTP 404".to_owned(),
        fail_count: 3,
        cooldown_until: 1_700_000_600,
        ..Health::default()
    };
    assert_eq!(film.health, health);
    let stream = StreamProfile {
        width: 1920,
        height: 1080,
        frame_rate: FrameRate::new(25, 1),
        video_codec: Some(Codec::H264.into()),
        audio_codec: Some(Codec::Aac.into()),
        bitrate_bps: 4_500_000,
        ..StreamProfile::default()
    };
    assert_eq!(news.profile, StoredProfile { stream, probed_at: 1_700_000_800 });
    assert_eq!(film.profile, StoredProfile::default());
    assert_eq!((channels[0].created_at, channels[0].updated_at), (1_700_000_010, 1_700_000_020));
    let rules = database.source_rules().unwrap();
    assert_eq!(rules.keys().collect::<Vec<_>>(), [&4]);
    assert_eq!((rules[&4].enabled, rules[&4].search_query.as_str()), (true, "news"));
    assert_eq!(channels[2].channel_class, "dynamic_generated");
    assert_eq!(channels[2].sources[0].association_type, "dynamic_channel_item");
}

#[test]
fn a_second_import_changes_nothing_and_channels_that_are_there_are_not_mixed_with_others() {
    let (_folder, path) = place(Version::OneOne);
    let (ours, mut database, done) = import(&path);
    let channel = database.channels().unwrap()[0].channel_id;
    database.delete_channel(channel).unwrap();
    let before = database.channels().unwrap();
    let from = Hdhriptv::open(&path).unwrap();
    assert_eq!(database.import_hdhriptv(&from).unwrap(), ImportOutcome::DoneBefore(done.to_string()));
    assert_eq!(database.channels().unwrap(), before);
    drop(database);
    let file = ours.path().join("tunerd.db");
    alter(&file, "DELETE FROM settings WHERE key = 'import.hdhriptv'");
    let mut database = Database::open(&file).unwrap();
    let error = database.import_hdhriptv(&from).unwrap_err();
    assert!(matches!(error, ImportError::NotEmpty { channels: 2 }), "{error}");
    assert_eq!(database.channels().unwrap(), before);
}

#[test]
fn a_file_that_is_damaged_half_migrated_or_newer_is_refused_and_the_reason_is_named() {
    let table: &[(&str, &str)] = &[
        ("DROP TABLE channel_sources", "half migrated: there is no table channel_sources"),
        ("DROP TABLE settings", "half migrated: there is no table settings"),
        (
            "ALTER TABLE published_channels DROP COLUMN enabled",
            "half migrated: the table published_channels has no column enabled",
        ),
        ("PRAGMA user_version = 8", "newer than what is known here: it has the version 8"),
        (
            "CREATE TABLE schema_migrations (version INTEGER)",
            "newer than what is known here: it has a table schema_migrations",
        ),
        ("DROP TABLE playlist_items", "is not a database of hdhriptv: it has the tables channel_sources, "),
        ("PRAGMA application_id = 77", "is not a database of hdhriptv: it has another program's mark"),
    ];
    for (sql, piece) in table {
        let (_folder, path) = place(Version::One);
        alter(&path, sql);
        let error = refusal(&path).to_string();
        assert!(error.contains(piece), "{sql}: {error}");
        assert!(error.contains("hdhr-iptv.db"), "{sql}: {error}");
    }
    let (_folder, path) = place(Version::One);
    let whole = fs::read(&path).unwrap();
    let mut garbled = whole.clone();
    garbled[2 * 4096..6 * 4096].fill(0xa5);
    for (what, bytes) in
        [("garbled", &garbled[..]), ("cut", &whole[..whole.len() - 8192]), ("text", b"#EXTM3U\n")]
    {
        fs::write(&path, bytes).unwrap();
        let error = refusal(&path);
        assert!(matches!(error, ImportError::Damaged { .. }), "{what}: {error}");
    }
    fs::remove_file(&path).unwrap();
    assert!(Hdhriptv::open(&path).is_err_and(|error| matches!(error, ImportError::Io { .. })));
}

#[test]
fn a_value_that_cannot_be_meant_is_named_with_its_row_and_nothing_is_imported() {
    for (sql, piece) in [
        (
            "UPDATE published_channels SET order_index = -3 WHERE channel_id = 9",
            "channel 9 has the order_index -3",
        ),
        (
            "UPDATE published_channels SET guide_number = '' WHERE channel_id = 4",
            "channel 4 has the guide_number \"\"",
        ),
        (
            "UPDATE channel_sources SET priority_index = -1 WHERE source_id = 7",
            "source 7 has the priority_index -1",
        ),
    ] {
        let (_folder, path) = place(Version::One);
        alter(&path, sql);
        let mut database = Database::in_memory().unwrap();
        let error = database.import_hdhriptv(&Hdhriptv::open(&path).unwrap()).unwrap_err().to_string();
        assert!(error.contains(piece), "{sql}: {error}");
        assert_eq!(database.channels().unwrap(), []);
        assert_eq!(database.active_items(tunerd::store::PRIMARY_PLAYLIST).unwrap(), 0);
    }
}

#[test]
fn columns_that_nothing_is_known_of_are_told_and_cells_of_another_kind_are_read() {
    let (_folder, path) = place(Version::One);
    alter(
        &path,
        "ALTER TABLE published_channels ADD COLUMN mood TEXT NOT NULL DEFAULT 'blue';
         UPDATE channel_sources SET success_count = '12', fail_count = -4, profile_width = 99999999999 WHERE source_id = 8;
         UPDATE playlist_items SET name = CAST(x'4ec3a9ff' AS TEXT) WHERE item_key = 'src:news:0a1b2c3d4e5f';",
    );
    let (_ours, database, done) = import(&path);
    assert!(
        done.remarks.iter().any(|remark| remark.contains("published_channels.mood")),
        "{:?}",
        done.remarks
    );
    let source = &database.channels().unwrap()[0].sources[0];
    assert_eq!(
        (source.health.success_count, source.health.fail_count, source.profile.stream.width),
        (12, 0, 0)
    );
    assert_eq!(database.item(NEWS).unwrap().unwrap().item.name, "N\u{e9}\u{fffd}");
}

#[test]
fn hdhriptvs_database_in_our_place_is_kept_and_ours_takes_its_place_once() {
    for version in VERSIONS {
        let (folder, path) = place(version);
        let before = fs::read(&path).unwrap();
        let TakenOver { kept, imported } = take_over(&path).unwrap().unwrap();
        assert_eq!(names(folder.path()), ["hdhr-iptv.db", "hdhr-iptv.db.hdhriptv"], "{version:?}");
        assert_eq!(kept, folder.path().join("hdhr-iptv.db.hdhriptv"));
        assert!(fs::read(&kept).unwrap() == before, "{version:?}: the copy is the same, byte for byte");
        let database = Database::open(&path).unwrap();
        assert_eq!(imported.channels, database.channels().unwrap().len());
        drop(database);
        assert_eq!(take_over(&path).unwrap(), None, "ours is left alone");
        // Whoever went back to hdhriptv comes again with another database, and perhaps with the same.
        fs::copy(&kept, &path).unwrap();
        assert_eq!(take_over(&path).unwrap().unwrap().kept, kept, "the copy is there already");
        make_other(&path, &kept);
        assert_eq!(take_over(&path).unwrap().unwrap().kept, folder.path().join("hdhr-iptv.db.hdhriptv.2"));
        assert!(fs::read(&kept).unwrap() == before);
    }
}

/// hdhriptv's database again, in which something has changed since.
fn make_other(path: &Path, kept: &Path) {
    fs::copy(kept, path).unwrap();
    alter(path, "UPDATE settings SET value = 'Kitchen' WHERE key = 'identity.friendly_name'");
}

#[test]
fn what_hdhriptv_left_in_its_log_when_it_was_killed_comes_over_too() {
    let (folder, path) = place(Version::One);
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch("UPDATE published_channels SET guide_name = 'Late' WHERE channel_id = 4")
        .unwrap();
    // A killed process leaves its files as they are at that moment.
    let killed = folder.path().join("killed.db");
    fs::copy(&path, &killed).unwrap();
    fs::copy(folder.path().join("hdhr-iptv.db-wal"), folder.path().join("killed.db-wal")).unwrap();
    drop(connection);
    let (_ours, database, _done) = import(&killed);
    assert_eq!(database.channels().unwrap()[0].guide_name, "Late");
    take_over(&killed).unwrap().unwrap();
    assert_eq!(Database::open(&killed).unwrap().channels().unwrap()[0].guide_name, "Late");
    let kept = Hdhriptv::open(&folder.path().join("killed.db.hdhriptv")).unwrap();
    let mut again = Database::in_memory().unwrap();
    again.import_hdhriptv(&kept).unwrap();
    assert_eq!(again.channels().unwrap()[0].guide_name, "Late", "the copy is whole alone");
}

#[test]
fn leftovers_of_an_import_that_was_killed_are_in_nobodys_way() {
    let (folder, path) = place(Version::One);
    for name in ["hdhr-iptv.db.importing", "hdhr-iptv.db.importing-wal", "hdhr-iptv.db.hdhriptv.partial"] {
        fs::write(folder.path().join(name), "half").unwrap();
    }
    take_over(&path).unwrap().unwrap();
    assert_eq!(names(folder.path()), ["hdhr-iptv.db", "hdhr-iptv.db.hdhriptv"]);
}

#[test]
fn nothing_is_taken_over_where_there_is_nothing_of_hdhriptv() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tunerd.db");
    assert_eq!(take_over(&path).unwrap(), None, "nothing there");
    fs::write(&path, "").unwrap();
    assert_eq!(take_over(&path).unwrap(), None, "an empty file");
    fs::write(&path, "some text that is no database at all").unwrap();
    assert_eq!(take_over(&path).unwrap(), None, "a text");
    fs::remove_file(&path).unwrap();
    alter(&path, "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL)");
    assert_eq!(take_over(&path).unwrap(), None, "another program's");
    assert_eq!(names(folder.path()), ["tunerd.db"]);
}
