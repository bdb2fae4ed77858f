//! The schema, step by step. A step that has been released is never edited: a change is a new step.

use rusqlite::{Connection, TransactionBehavior};

/// Marks a file as ours in its header: "tnrd".
pub(super) const APPLICATION_ID: i64 = 0x746e_7264;

/// Step `n` (counted from 1) leads from version `n - 1` to version `n`.
const STEPS: &[&str] = &[
    FIRST, PROGRAM, HEADERS, TLS_VERIFY, PROFILES, READINGS, PROVIDERS, PLAYLISTS, CONTENT, RULES, JOB_RUNS,
    PACKS, RULE_TIMES, UPLOADS, ORDER, WORDS,
];

/// The version this program writes.
pub(super) const KNOWN_VERSION: i64 = {
    assert!(STEPS.len() < 1000);
    #[expect(clippy::cast_possible_wrap, reason = "fewer than a thousand steps")]
    let version = STEPS.len() as i64;
    version
};

/// Times are seconds since 1970, those of `playlist_items` nanoseconds; 0 is never.
///
/// * `item_key` of a source refers to no row on purpose: an item may be missing, its source then has no URL.
/// * `AUTOINCREMENT`: the id of a deleted source is not given to another one, so that a health report which is
///   still on its way finds nobody instead of somebody else.
/// * `search_text` is what a search looks in, folded to lower case by us: SQLite folds ASCII only.
const FIRST: &str = "
CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE playlist_items (
    item_key TEXT PRIMARY KEY,
    channel_key TEXT NOT NULL,
    name TEXT NOT NULL,
    group_name TEXT NOT NULL,
    stream_url TEXT NOT NULL,
    tvg_id TEXT NOT NULL,
    tvg_name TEXT NOT NULL,
    tvg_logo TEXT NOT NULL,
    attrs_json TEXT NOT NULL,
    first_seen_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    active INTEGER NOT NULL CHECK (active IN (0, 1)),
    search_text TEXT NOT NULL
) STRICT;
CREATE INDEX playlist_items_by_name ON playlist_items (name COLLATE NOCASE, item_key);
CREATE INDEX playlist_items_by_group ON playlist_items (group_name, name COLLATE NOCASE, item_key);

CREATE TABLE published_channels (
    channel_id INTEGER PRIMARY KEY AUTOINCREMENT,
    channel_class TEXT NOT NULL DEFAULT 'traditional'
        CHECK (channel_class IN ('traditional', 'dynamic_generated')),
    channel_key TEXT NOT NULL,
    guide_number TEXT NOT NULL UNIQUE,
    guide_name TEXT NOT NULL,
    order_index INTEGER NOT NULL UNIQUE,
    enabled INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE channel_sources (
    source_id INTEGER PRIMARY KEY AUTOINCREMENT,
    channel_id INTEGER NOT NULL REFERENCES published_channels (channel_id) ON DELETE CASCADE,
    item_key TEXT NOT NULL,
    priority_index INTEGER NOT NULL,
    enabled INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    association_type TEXT NOT NULL DEFAULT 'manual'
        CHECK (association_type IN ('manual', 'channel_key', 'dynamic_query', 'dynamic_channel_item')),
    last_ok_at INTEGER NOT NULL DEFAULT 0,
    last_fail_at INTEGER NOT NULL DEFAULT 0,
    last_fail_reason TEXT NOT NULL DEFAULT '',
    success_count INTEGER NOT NULL DEFAULT 0,
    fail_count INTEGER NOT NULL DEFAULT 0,
    cooldown_until INTEGER NOT NULL DEFAULT 0,
    last_probe_at INTEGER NOT NULL DEFAULT 0,
    profile_width INTEGER NOT NULL DEFAULT 0,
    profile_height INTEGER NOT NULL DEFAULT 0,
    profile_fps REAL NOT NULL DEFAULT 0,
    profile_video_codec TEXT NOT NULL DEFAULT '',
    profile_audio_codec TEXT NOT NULL DEFAULT '',
    profile_bitrate_bps INTEGER NOT NULL DEFAULT 0,
    UNIQUE (channel_id, item_key),
    UNIQUE (channel_id, priority_index)
) STRICT;
";

/// Which programme of its stream a source is; NULL is the first that can be shown. 0 is the network's, and no programme's.
const PROGRAM: &str = "
ALTER TABLE channel_sources ADD COLUMN program INTEGER CHECK (program BETWEEN 1 AND 65535);
";

/// What requests for an item's stream carry, as a JSON object.
const HEADERS: &str = "
ALTER TABLE playlist_items ADD COLUMN headers_json TEXT NOT NULL DEFAULT '{}';
";

/// Whether the servers of a source have to show who they are; NULL is as the setting says.
const TLS_VERIFY: &str = "
ALTER TABLE channel_sources ADD COLUMN tls_verify INTEGER CHECK (tls_verify IN (0, 1));
";

/// How sources are read that carry a profile's name; NULL is left to the next that has a say. Of a source its own profile has,
/// then its channel's. A profile that is in use cannot be deleted.
const PROFILES: &str = "
CREATE TABLE profiles (
    name TEXT PRIMARY KEY,
    mode TEXT,
    variant_max TEXT,
    ffmpeg_input_json TEXT,
    ffmpeg_output_json TEXT,
    headers_json TEXT NOT NULL DEFAULT '{}',
    program INTEGER CHECK (program BETWEEN 1 AND 65535),
    tls_verify INTEGER CHECK (tls_verify IN (0, 1))
) STRICT, WITHOUT ROWID;
ALTER TABLE published_channels ADD COLUMN profile TEXT REFERENCES profiles (name);
ALTER TABLE channel_sources ADD COLUMN profile TEXT REFERENCES profiles (name);
CREATE INDEX published_channels_by_profile ON published_channels (profile) WHERE profile IS NOT NULL;
CREATE INDEX channel_sources_by_profile ON channel_sources (profile) WHERE profile IS NOT NULL;
";

/// In which reading of a playlist an item appeared, and in which it was seen last. Readings are numbered, since a clock may be set
/// back. The indices find the item that has come in the place of one that is gone, and the sources that stand on it.
const READINGS: &str = "
ALTER TABLE playlist_items ADD COLUMN appeared_in INTEGER NOT NULL DEFAULT 0;
ALTER TABLE playlist_items ADD COLUMN seen_in INTEGER NOT NULL DEFAULT 0;
CREATE INDEX playlist_items_by_channel_key ON playlist_items (channel_key);
CREATE INDEX channel_sources_by_item ON channel_sources (item_key);
";

/// How long providers, by host and port, were seen to count a connection that is closed, and when that was seen last.
const PROVIDERS: &str = "
CREATE TABLE providers (
    scope TEXT PRIMARY KEY,
    counted_ms INTEGER NOT NULL CHECK (counted_ms > 0),
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Where items come from. Columns have names that no table has that is joined with this one; times are nanoseconds since 1970. An
/// item of a playlist without a row is served all the same: its settings are gone, and what was read is still right.
const PLAYLISTS: &str = "
CREATE TABLE playlists (
    playlist_id INTEGER PRIMARY KEY AUTOINCREMENT,
    playlist_name TEXT NOT NULL COLLATE NOCASE UNIQUE,
    playlist_url TEXT NOT NULL,
    tuners INTEGER CHECK (tuners BETWEEN 1 AND 65536),
    user_agent TEXT,
    is_enabled INTEGER NOT NULL DEFAULT 1 CHECK (is_enabled IN (0, 1)),
    is_set INTEGER NOT NULL DEFAULT 0 CHECK (is_set IN (0, 1)),
    tried_at INTEGER NOT NULL DEFAULT 0,
    read_at INTEGER NOT NULL DEFAULT 0,
    failure TEXT,
    items INTEGER NOT NULL DEFAULT 0
) STRICT;
ALTER TABLE playlist_items ADD COLUMN playlist_id INTEGER NOT NULL DEFAULT 1;
";

/// `content` is a number made of all that is said of an item, by which one that has not changed is known. What may have come in the
/// place of something is found by an index of what was not there from the beginning: a playlist of a million items has none of
/// them there.
const CONTENT: &str = "
ALTER TABLE playlist_items ADD COLUMN content INTEGER NOT NULL DEFAULT 0;
DROP INDEX playlist_items_by_channel_key;
CREATE INDEX playlist_items_late ON playlist_items (channel_key) WHERE appeared_in > 0;
CREATE INDEX playlist_items_gone ON playlist_items (last_seen_at) WHERE active = 0;
";

/// Rules that make channels, and which rule has made a channel.
const RULES: &str = "
CREATE TABLE channel_rules (
    rule_id INTEGER PRIMARY KEY AUTOINCREMENT,
    rule_name TEXT NOT NULL,
    groups_json TEXT NOT NULL,
    query TEXT NOT NULL,
    is_regex INTEGER NOT NULL CHECK (is_regex IN (0, 1)),
    playlist_id INTEGER,
    guide_start INTEGER NOT NULL,
    block_size INTEGER NOT NULL,
    is_enabled INTEGER NOT NULL CHECK (is_enabled IN (0, 1))
) STRICT;
ALTER TABLE published_channels ADD COLUMN rule_id INTEGER REFERENCES channel_rules (rule_id);
CREATE INDEX published_channels_by_rule ON published_channels (rule_id) WHERE rule_id IS NOT NULL;
";

/// What jobs have done. Times are seconds since 1970; 0 is not yet.
const JOB_RUNS: &str = "
CREATE TABLE job_runs (
    run_id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_name TEXT NOT NULL,
    triggered_by TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    finished_at INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL CHECK (status IN ('running', 'success', 'error', 'canceled')),
    progress_cur INTEGER NOT NULL DEFAULT 0,
    progress_max INTEGER NOT NULL DEFAULT 0,
    summary TEXT NOT NULL DEFAULT '',
    error TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX job_runs_by_name ON job_runs (job_name, run_id);
";

/// What is searched of 512 items, in one value. It is made of the items, and gone when one of them changes.
const PACKS: &str = "
CREATE TABLE item_packs (
    pack INTEGER PRIMARY KEY,
    texts BLOB NOT NULL
) STRICT;
CREATE TRIGGER playlist_items_packed_new AFTER INSERT ON playlist_items BEGIN
    DELETE FROM item_packs WHERE pack = NEW.rowid >> 9;
END;
CREATE TRIGGER playlist_items_packed_gone AFTER DELETE ON playlist_items BEGIN
    DELETE FROM item_packs WHERE pack = OLD.rowid >> 9;
END;
CREATE TRIGGER playlist_items_packed
AFTER UPDATE OF name, search_text, active, playlist_id, group_name ON playlist_items BEGIN
    DELETE FROM item_packs WHERE pack = OLD.rowid >> 9;
END;
";

/// When a rule was made and changed, in seconds since 1970, and how many channels its block had no room for.
const RULE_TIMES: &str = "
ALTER TABLE channel_rules ADD COLUMN created_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE channel_rules ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE channel_rules ADD COLUMN left_out INTEGER NOT NULL DEFAULT 0;
";

/// Lists that were handed over, as they came, perhaps compressed.
const UPLOADS: &str = "
CREATE TABLE uploaded_lists (
    playlist_id INTEGER PRIMARY KEY REFERENCES playlists (playlist_id) ON DELETE CASCADE,
    list BLOB NOT NULL
) STRICT;
";

/// The order by name, which is made wherever it is missing, has groups in it: one index instead of two.
const ORDER: &str = "
DROP INDEX playlist_items_by_group;
DROP INDEX playlist_items_by_name;
";

/// What is searched, with each word once for 512 items. A pack that holds nothing has to be made of its items; one that holds something
/// is right, and so are its groups and names. Where there are items there is a pack, which is why triggers empty it rather than remove it.
const WORDS: &str = "
DROP TRIGGER IF EXISTS playlist_items_packed_new;
DROP TRIGGER playlist_items_packed_gone;
DROP TRIGGER playlist_items_packed;
DROP TABLE item_packs;
CREATE TABLE item_packs (
    pack INTEGER PRIMARY KEY,
    item_rows BLOB NOT NULL,
    words BLOB NOT NULL
) STRICT;
CREATE TABLE pack_groups (
    pack INTEGER PRIMARY KEY,
    item_groups BLOB NOT NULL
) STRICT;
CREATE TABLE pack_names (
    pack INTEGER PRIMARY KEY,
    names BLOB NOT NULL
) STRICT;
CREATE TRIGGER playlist_items_packed_gone AFTER DELETE ON playlist_items BEGIN
    UPDATE item_packs SET item_rows = x'', words = x'' WHERE pack = OLD.rowid >> 9 AND length(item_rows) > 0;
END;
CREATE TRIGGER playlist_items_packed
AFTER UPDATE OF name, search_text, active, playlist_id, group_name ON playlist_items BEGIN
    UPDATE item_packs SET item_rows = x'', words = x'' WHERE pack = OLD.rowid >> 9 AND length(item_rows) > 0;
END;
";

/// Brings a database of ours, or an empty one, from version `found` to [`KNOWN_VERSION`]. Each step is one
/// transaction together with its version, so that a kill between two lines of it leaves the version before.
pub(super) fn migrate(connection: &mut Connection, found: i64) -> rusqlite::Result<()> {
    for (version, step) in (1i64..).zip(STEPS).skip_while(|(version, _)| *version <= found) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(connection: &Connection, sql: &str) -> i64 {
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn an_up_to_date_database_is_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, 0).unwrap();
        let changes = connection.total_changes();
        migrate(&mut connection, KNOWN_VERSION).unwrap();
        assert_eq!(connection.total_changes(), changes);
        assert_eq!(count(&connection, "SELECT user_version FROM pragma_user_version"), KNOWN_VERSION);
    }

    #[test]
    fn a_database_of_each_version_before_keeps_everything() {
        for version in 1..STEPS.len() {
            let mut connection = Connection::open_in_memory().unwrap();
            connection.pragma_update(None, "foreign_keys", 1).unwrap();
            for step in &STEPS[..version] {
                connection.execute_batch(step).unwrap();
            }
            let rows = "
                INSERT INTO settings VALUES ('a', 'b');
                INSERT INTO playlist_items (item_key, channel_key, name, group_name, stream_url, tvg_id, tvg_name, tvg_logo,
                    attrs_json, first_seen_at, last_seen_at, active, search_text)
                    VALUES ('i', 'k', 'n', 'g', 'http://h/1', '', '', '', '{}', 1, 2, 1, 'n');
                INSERT INTO published_channels (channel_id, channel_class, channel_key, guide_number, guide_name, order_index,
                    enabled, created_at, updated_at) VALUES (7, 'traditional', 'k', '100', 'News', 0, 1, 3, 4);
                INSERT INTO channel_sources (source_id, channel_id, item_key, priority_index, fail_count)
                    VALUES (9, 7, 'i', 0, 5);";
            connection.execute_batch(rows).unwrap();
            migrate(&mut connection, i64::try_from(version).unwrap()).unwrap();
            for (sql, expected) in [
                ("SELECT count(*) FROM settings WHERE value = 'b'", 1),
                (
                    "SELECT count(*) FROM playlist_items WHERE stream_url = 'http://h/1' AND headers_json = '{}'",
                    1,
                ),
                (
                    "SELECT channel_id FROM published_channels WHERE guide_name = 'News' AND profile IS NULL",
                    7,
                ),
                ("SELECT fail_count FROM channel_sources WHERE program IS NULL AND profile IS NULL", 5),
                ("SELECT count(*) FROM profiles", 0),
                ("SELECT count(*) FROM playlist_items WHERE appeared_in = 0 AND seen_in = 0", 1),
                ("SELECT count(*) FROM providers", 0),
                ("SELECT count(*) FROM playlists", 0),
                ("SELECT count(*) FROM channel_rules", 0),
                ("SELECT count(*) FROM playlist_items WHERE playlist_id = 1", 1),
                ("SELECT count(*) FROM job_runs", 0),
                ("SELECT count(*) FROM item_packs", 0),
                ("SELECT count(*) FROM uploaded_lists", 0),
                ("SELECT count(*) FROM pragma_foreign_key_check", 0),
                ("SELECT user_version FROM pragma_user_version", KNOWN_VERSION),
            ] {
                assert_eq!(count(&connection, sql), expected, "from version {version}: {sql}");
            }
        }
    }

    #[test]
    fn a_step_that_fails_leaves_the_version_before() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE published_channels (in_the_way)").unwrap();
        assert!(migrate(&mut connection, 0).is_err());
        assert_eq!(count(&connection, "SELECT user_version FROM pragma_user_version"), 0);
        assert_eq!(count(&connection, "SELECT application_id FROM pragma_application_id"), 0);
        assert_eq!(count(&connection, "SELECT count(*) FROM sqlite_schema"), 1);
    }
}
