//! Databases as hdhriptv makes them, in the versions that are about, each with the same channels in it.

use std::path::Path;

use rusqlite::Connection;

/// Which hdhriptv has made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Favorites were all there was.
    Favorites,
    /// Channels and sources, of whose streams nothing was kept.
    Early,
    /// 1.0.
    One,
    /// 1.1: several playlists.
    OneOne,
}

const SETTINGS: &str = "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);";

const FAVORITES: &str = "
CREATE TABLE favorites (fav_id INTEGER PRIMARY KEY AUTOINCREMENT,
    item_key TEXT NOT NULL REFERENCES playlist_items(item_key) ON DELETE CASCADE, order_index INTEGER NOT NULL,
    guide_number TEXT NOT NULL, guide_name TEXT NOT NULL, enabled INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL);
CREATE UNIQUE INDEX idx_favorites_order ON favorites(order_index);
CREATE UNIQUE INDEX idx_favorites_guidenum ON favorites(guide_number);
CREATE UNIQUE INDEX idx_favorites_item_key ON favorites(item_key);";

const OLD_ITEMS: &str = "
CREATE TABLE playlist_items (item_key TEXT PRIMARY KEY, name TEXT NOT NULL, group_name TEXT NOT NULL,
    stream_url TEXT NOT NULL, tvg_id TEXT, tvg_logo TEXT, attrs_json TEXT NOT NULL,
    updated_at INTEGER NOT NULL DEFAULT 0);";

const ITEMS: &str = "
CREATE TABLE playlist_items (item_key TEXT PRIMARY KEY, channel_key TEXT, name TEXT NOT NULL, group_name TEXT NOT NULL,
    stream_url TEXT NOT NULL, tvg_id TEXT, tvg_logo TEXT, attrs_json TEXT NOT NULL, first_seen_at INTEGER,
    last_seen_at INTEGER, active INTEGER NOT NULL DEFAULT 1, updated_at INTEGER NOT NULL DEFAULT 0);
CREATE INDEX idx_playlist_channel_key ON playlist_items(channel_key);
CREATE INDEX idx_playlist_active ON playlist_items(active);
ALTER TABLE playlist_items ADD COLUMN tvg_name TEXT NOT NULL DEFAULT '';";

const EARLY_CHANNELS: &str = "
CREATE TABLE published_channels (channel_id INTEGER PRIMARY KEY AUTOINCREMENT, channel_key TEXT,
    guide_number TEXT NOT NULL, guide_name TEXT NOT NULL, order_index INTEGER NOT NULL,
    enabled INTEGER NOT NULL DEFAULT 1, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL);
CREATE UNIQUE INDEX idx_published_channels_guide_number ON published_channels(guide_number);
CREATE UNIQUE INDEX idx_published_channels_order ON published_channels(order_index);
CREATE TABLE channel_sources (source_id INTEGER PRIMARY KEY AUTOINCREMENT,
    channel_id INTEGER NOT NULL REFERENCES published_channels(channel_id) ON DELETE CASCADE,
    item_key TEXT NOT NULL REFERENCES playlist_items(item_key) ON DELETE RESTRICT, priority_index INTEGER NOT NULL,
    enabled INTEGER NOT NULL DEFAULT 1, association_type TEXT NOT NULL DEFAULT 'manual', last_ok_at INTEGER,
    last_fail_at INTEGER, last_fail_reason TEXT, success_count INTEGER NOT NULL DEFAULT 0,
    fail_count INTEGER NOT NULL DEFAULT 0, cooldown_until INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL, UNIQUE(channel_id, item_key), UNIQUE(channel_id, priority_index));
CREATE INDEX idx_channel_sources_cooldown ON channel_sources(cooldown_until);";

const RULES_AND_PROFILES: &str = "
ALTER TABLE published_channels ADD COLUMN channel_class TEXT NOT NULL DEFAULT 'traditional';
ALTER TABLE published_channels ADD COLUMN dynamic_query_id INTEGER;
ALTER TABLE published_channels ADD COLUMN dynamic_item_key TEXT;
ALTER TABLE published_channels ADD COLUMN dynamic_source_identity TEXT NOT NULL DEFAULT '';
ALTER TABLE published_channels ADD COLUMN dynamic_sources_enabled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE published_channels ADD COLUMN dynamic_group_name TEXT NOT NULL DEFAULT '';
ALTER TABLE published_channels ADD COLUMN dynamic_group_names_json TEXT NOT NULL DEFAULT '[]';
ALTER TABLE published_channels ADD COLUMN dynamic_search_query TEXT NOT NULL DEFAULT '';
ALTER TABLE published_channels ADD COLUMN dynamic_search_regex INTEGER NOT NULL DEFAULT 0;
CREATE TABLE dynamic_channel_queries (query_id INTEGER PRIMARY KEY AUTOINCREMENT, enabled INTEGER NOT NULL DEFAULT 1,
    name TEXT NOT NULL DEFAULT '', group_name TEXT NOT NULL DEFAULT '', group_names_json TEXT NOT NULL DEFAULT '[]',
    search_query TEXT NOT NULL DEFAULT '', search_regex INTEGER NOT NULL DEFAULT 0, order_index INTEGER NOT NULL,
    last_count INTEGER NOT NULL DEFAULT 0, truncated_by INTEGER NOT NULL DEFAULT 0,
    next_slot_cursor INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL);
ALTER TABLE channel_sources ADD COLUMN last_probe_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE channel_sources ADD COLUMN profile_width INTEGER NOT NULL DEFAULT 0;
ALTER TABLE channel_sources ADD COLUMN profile_height INTEGER NOT NULL DEFAULT 0;
ALTER TABLE channel_sources ADD COLUMN profile_fps REAL NOT NULL DEFAULT 0;
ALTER TABLE channel_sources ADD COLUMN profile_video_codec TEXT NOT NULL DEFAULT '';
ALTER TABLE channel_sources ADD COLUMN profile_audio_codec TEXT NOT NULL DEFAULT '';
ALTER TABLE channel_sources ADD COLUMN profile_bitrate_bps INTEGER NOT NULL DEFAULT 0;
CREATE TABLE job_runs (run_id INTEGER PRIMARY KEY AUTOINCREMENT, job_name TEXT NOT NULL, triggered_by TEXT NOT NULL,
    started_at INTEGER NOT NULL, finished_at INTEGER, status TEXT NOT NULL, progress_cur INTEGER NOT NULL DEFAULT 0,
    progress_max INTEGER NOT NULL DEFAULT 0, summary TEXT, error TEXT);
CREATE TABLE stream_metrics (item_key TEXT PRIMARY KEY, analyzed_at INTEGER NOT NULL, width INTEGER, height INTEGER,
    fps REAL, bitrate_bps INTEGER, variant_bps INTEGER, video_codec TEXT, audio_codec TEXT, score_hint REAL, error TEXT);
CREATE TABLE dvr_instances (id INTEGER PRIMARY KEY AUTOINCREMENT, singleton_key INTEGER NOT NULL DEFAULT 1,
    provider TEXT NOT NULL, base_url TEXT NOT NULL, updated_at INTEGER NOT NULL);";

const PLAYLISTS: &str = "
CREATE TABLE playlist_sources (source_id INTEGER PRIMARY KEY AUTOINCREMENT, source_key TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE, playlist_url TEXT NOT NULL DEFAULT '' UNIQUE, tuner_count INTEGER NOT NULL,
    enabled INTEGER NOT NULL DEFAULT 1, order_index INTEGER NOT NULL, created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL);
ALTER TABLE playlist_items ADD COLUMN playlist_source_id INTEGER NOT NULL DEFAULT 1;
ALTER TABLE dynamic_channel_queries ADD COLUMN source_ids_json TEXT NOT NULL DEFAULT '[]';
ALTER TABLE published_channels ADD COLUMN dynamic_source_ids_json TEXT NOT NULL DEFAULT '[]';
INSERT INTO playlist_sources VALUES (1, 'primary', 'Primary', 'http://lists.example/one.m3u', 2, 1, 0, 5, 5);";

/// What every version knows of its three entries. Old ones count seconds, later ones nanoseconds.
const OLD_ROWS: &str = r#"
INSERT INTO playlist_items (item_key, name, group_name, stream_url, tvg_id, tvg_logo, attrs_json, updated_at) VALUES
    ('src:news:0a1b2c3d4e5f', 'News', 'Info', 'http://u:p@a.example/news.ts', 'News', 'http://a.example/n.png',
        '{"tvg-id":"News","tvg-name":"The News"}', 1700000000),
    ('src:1122334455667788', 'Sport  One', 'Sport', 'http://a.example/sport.ts?token=x', NULL, NULL, 'null', 1700000000),
    ('src:film:aabbccddeeff', 'Film', '', 'http://b.example/film.ts', 'film', '', '{}', 1700000001);"#;

const ROWS: &str = r#"
INSERT INTO playlist_items (item_key, channel_key, name, group_name, stream_url, tvg_id, tvg_name, tvg_logo, attrs_json,
    first_seen_at, last_seen_at, active) VALUES
    ('src:news:0a1b2c3d4e5f', 'tvg:news', 'News', 'Info', 'http://u:p@a.example/news.ts', 'News', 'The News',
        'http://a.example/n.png', '{"tvg-id":"News","tvg-name":"The News"}', 1700000000000000001, 1700000900000000002, 1),
    ('src:1122334455667788', 'name:sport one', 'Sport  One', 'Sport', 'http://a.example/sport.ts?token=x', NULL, '', NULL,
        'null', 1700000000000000001, 1700000900000000002, 1),
    ('src:film:aabbccddeeff', 'tvg:film', 'Film', '', 'http://b.example/film.ts', 'film', '', '', '{}',
        1700000000000000001, 1700000100000000000, 0);
INSERT INTO published_channels (channel_id, channel_key, guide_number, guide_name, order_index, enabled, created_at,
    updated_at) VALUES
    (4, 'tvg:news', '101', 'News, at last', 0, 1, 1700000010, 1700000020),
    (9, 'name:sport one', '100', 'Sport', 1, 0, 1700000011, 1700000021);
INSERT INTO channel_sources (source_id, channel_id, item_key, priority_index, enabled, association_type, last_ok_at,
    last_fail_at, last_fail_reason, success_count, fail_count, cooldown_until, created_at, updated_at) VALUES
    (7, 4, 'src:film:aabbccddeeff', 1, 0, 'manual', NULL, 1700000500, 'startup: HTTP 404', 0, 3, 1700000600, 1, 1),
    (8, 4, 'src:news:0a1b2c3d4e5f', 0, 1, 'channel_key', 1700000700, 1700000400, '', 12, 0, 0, 1, 1),
    (11, 9, 'src:1122334455667788', 0, 1, 'manual', NULL, NULL, NULL, 0, 0, 0, 1, 1),
    (12, 9, 'src:gone:000000000000', 1, 1, 'manual', NULL, NULL, NULL, 0, 0, 0, 1, 1),
    (13, 77, 'src:film:aabbccddeeff', 0, 1, 'manual', NULL, NULL, NULL, 0, 0, 0, 1, 1);"#;

const FAVORITE_ROWS: &str = "
INSERT INTO favorites (item_key, order_index, guide_number, guide_name, enabled, created_at, updated_at) VALUES
    ('src:1122334455667788', 1, '100', 'Sport', 0, 1700000011, 1700000021),
    ('src:news:0a1b2c3d4e5f', 0, '101', 'News, at last', 1, 1700000010, 1700000020);";

const LATER_ROWS: &str = "
UPDATE channel_sources SET last_probe_at = 1700000800, profile_width = 1920, profile_height = 1080, profile_fps = 25.0,
    profile_video_codec = 'h264', profile_audio_codec = 'aac', profile_bitrate_bps = 4500000 WHERE source_id = 8;
UPDATE published_channels SET dynamic_sources_enabled = 1, dynamic_search_query = 'news' WHERE channel_id = 4;
INSERT INTO published_channels (channel_id, channel_class, channel_key, guide_number, guide_name, order_index, enabled,
    dynamic_query_id, dynamic_item_key, created_at, updated_at)
    VALUES (20, 'dynamic_generated', 'tvg:film', '10000', 'Film', 2, 1, 1, 'src:film:aabbccddeeff', 2, 2);
INSERT INTO channel_sources (source_id, channel_id, item_key, priority_index, association_type, created_at, updated_at)
    VALUES (21, 20, 'src:film:aabbccddeeff', 0, 'dynamic_channel_item', 2, 2);
INSERT INTO dynamic_channel_queries (query_id, name, search_query, order_index, created_at, updated_at)
    VALUES (1, 'Films', 'film', 0, 2, 2);
INSERT INTO dvr_instances (singleton_key, provider, base_url, updated_at)
    VALUES (1, 'channels', 'http://dvr.example:8089', 2);";

const SETTING_ROWS: &str = "
INSERT INTO settings VALUES ('identity.friendly_name', 'Living room'), ('identity.device_id', '1234ABCD'),
    ('identity.device_auth', 'tok'), ('playlist.url', 'http://lists.example/one.m3u'),
    ('jobs.timezone', 'America/Chicago'), ('jobs.playlist_sync.cron', '*/30 * * * *'), ('analyzer.sample_seconds', '3'),
    ('jobs.note', ''), ('ui.theme', 'dark');";

/// Makes the database of a version.
pub fn make(path: &Path, version: Version) {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=OFF;")
        .unwrap();
    let steps: &[&str] = match version {
        Version::Favorites => &[SETTINGS, OLD_ITEMS, FAVORITES, OLD_ROWS, FAVORITE_ROWS],
        Version::Early => &[SETTINGS, ITEMS, EARLY_CHANNELS, ROWS],
        Version::One => &[SETTINGS, ITEMS, EARLY_CHANNELS, FAVORITES, RULES_AND_PROFILES, ROWS, LATER_ROWS],
        Version::OneOne => {
            &[SETTINGS, ITEMS, EARLY_CHANNELS, FAVORITES, RULES_AND_PROFILES, PLAYLISTS, ROWS, LATER_ROWS]
        }
    };
    for step in steps.iter().chain([&SETTING_ROWS]) {
        connection.execute_batch(step).unwrap();
    }
    connection.close().unwrap();
}

/// Changes a database with SQL.
pub fn alter(path: &Path, sql: &str) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("PRAGMA foreign_keys=OFF").unwrap();
    connection.execute_batch(sql).unwrap();
    connection.close().unwrap();
}
