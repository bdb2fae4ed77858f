//! The database of hdhriptv, whose place this program takes: how it is known, and what is read of it.
//!
//! It says no version. Its migrations make what is missing, tables and columns, so what a file has is seen in its schema: a column
//! that came later has its default where it is missing. It is opened for reading and never written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use rusqlite::{Connection, OpenFlags, Row};

use super::error::ImportError;

/// Waits this long for hdhriptv, if it runs, to finish a write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// What has a meaning of its own in the URI of a file.
const NOT_IN_URI: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');
/// Tables in which other programs, and perhaps a later hdhriptv, note how far they have migrated. It has none so far.
const VERSION_TABLES: [&str; 4] = ["schema_migrations", "schema_version", "goose_db_version", "migrations"];
/// Times before this many are seconds: in nanoseconds it is two minutes past 1970, in seconds the year 5138.
const NANOSECONDS_FROM: i64 = 100_000_000_000;
const NANOSECONDS: i64 = 1_000_000_000;

/// A table that is read: the columns without which it is none, and those that came later or are of no use here.
struct KnownColumns {
    table: &'static str,
    needed: &'static [&'static str],
    further: &'static [&'static str],
}

/// What a whole database has. Older ones have `FAVORITES` in the place of the last two.
const KNOWN: &[KnownColumns] = &[
    KnownColumns { table: "settings", needed: &["key", "value"], further: &[] },
    KnownColumns {
        table: "playlist_items",
        needed: &["item_key", "name", "group_name", "stream_url", "attrs_json"],
        further: &[
            "channel_key",
            "tvg_id",
            "tvg_name",
            "tvg_logo",
            "first_seen_at",
            "last_seen_at",
            "active",
            "updated_at",
            "playlist_source_id",
        ],
    },
    CHANNELS,
    SOURCES,
];

const CHANNELS: KnownColumns = KnownColumns {
    table: "published_channels",
    needed: &["channel_id", "guide_number", "guide_name", "order_index", "enabled"],
    further: &[
        "channel_class",
        "channel_key",
        "dynamic_query_id",
        "dynamic_item_key",
        "dynamic_source_identity",
        "dynamic_sources_enabled",
        "dynamic_group_name",
        "dynamic_group_names_json",
        "dynamic_source_ids_json",
        "dynamic_search_query",
        "dynamic_search_regex",
        "created_at",
        "updated_at",
    ],
};

const SOURCES: KnownColumns = KnownColumns {
    table: "channel_sources",
    needed: &["source_id", "channel_id", "item_key", "priority_index", "enabled"],
    further: &[
        "association_type",
        "last_ok_at",
        "last_fail_at",
        "last_fail_reason",
        "success_count",
        "fail_count",
        "cooldown_until",
        "last_probe_at",
        "profile_width",
        "profile_height",
        "profile_fps",
        "profile_video_codec",
        "profile_audio_codec",
        "profile_bitrate_bps",
        "created_at",
        "updated_at",
    ],
};

const FAVORITES: KnownColumns = KnownColumns {
    table: "favorites",
    needed: &["item_key", "order_index", "guide_number", "guide_name", "enabled"],
    further: &["fav_id", "created_at", "updated_at"],
};

/// A database of hdhriptv, open for reading.
pub struct Hdhriptv {
    connection: Connection,
    path: PathBuf,
    /// The columns of each table.
    schema: BTreeMap<String, BTreeSet<String>>,
}

/// An item as hdhriptv has it. Times are nanoseconds since 1970, 0 where none is known.
pub(super) struct ForeignItem {
    pub(super) item_key: String,
    pub(super) channel_key: String,
    pub(super) name: String,
    pub(super) group_name: String,
    pub(super) stream_url: String,
    pub(super) tvg_id: String,
    pub(super) tvg_name: String,
    pub(super) tvg_logo: String,
    pub(super) attrs_json: String,
    pub(super) first_seen_at: i64,
    pub(super) last_seen_at: i64,
    pub(super) active: bool,
}

/// A channel as hdhriptv has it. Times are seconds since 1970.
pub(super) struct ForeignChannel {
    pub(super) channel_id: i64,
    pub(super) channel_class: String,
    pub(super) channel_key: String,
    pub(super) guide_number: String,
    pub(super) guide_name: String,
    pub(super) order_index: i64,
    pub(super) enabled: bool,
    pub(super) created_at: i64,
    pub(super) updated_at: i64,
    /// Whether it has a rule that is on, and the rule: a group, groups as JSON, a search, and whether that is a regular expression.
    pub(super) rule: (bool, [String; 3], bool),
}

/// A source as hdhriptv has it. Times are seconds since 1970, 0 is never.
pub(super) struct ForeignSource {
    pub(super) source_id: i64,
    pub(super) channel_id: i64,
    pub(super) item_key: String,
    pub(super) priority_index: i64,
    pub(super) enabled: bool,
    pub(super) association_type: String,
    pub(super) last_fail_reason: String,
    /// `last_ok_at`, `last_fail_at`, `success_count`, `fail_count`, `cooldown_until`, `last_probe_at`, width, height, bits a second.
    pub(super) numbers: [i64; 9],
    pub(super) profile_fps: f64,
    pub(super) profile_video_codec: String,
    pub(super) profile_audio_codec: String,
}

impl Hdhriptv {
    /// Whether a file is a database of hdhriptv, whole or not.
    ///
    /// # Errors
    /// When SQLite cannot read it.
    pub fn is_one(path: &Path) -> Result<bool, ImportError> {
        // What is not there, or is empty, is nobody's yet.
        if !fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() > 0) {
            return Ok(false);
        }
        let Ok(connection) = open(path) else { return Ok(false) };
        match (application_id(&connection), schema(&connection)) {
            (Ok(0), Ok(schema)) => Ok(is_known_by(&schema)),
            // Whoever opens it as ours says what is wrong with it.
            (Ok(_) | Err(_), _) => Ok(false),
        }
    }

    /// Opens a database of hdhriptv and looks whether it is whole.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, not migrated to its end, newer than what is known here, or another program's.
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        let refused = |source| ImportError::from_sqlite(path, source);
        let path_owned = || -> PathBuf { path.to_owned() };
        let file = fs::metadata(path).map_err(|error| ImportError::from_io(path, "read", error))?;
        if !file.is_file() {
            return Err(ImportError::NotHdhriptv {
                path: path_owned(),
                found: "no content of its own".to_owned(),
            });
        }
        let connection = open(path).map_err(refused)?;
        if application_id(&connection).map_err(refused)? != 0 {
            return Err(ImportError::NotHdhriptv {
                path: path_owned(),
                found: "another program's mark".to_owned(),
            });
        }
        let schema = schema(&connection).map_err(refused)?;
        if !is_known_by(&schema) {
            return Err(ImportError::NotHdhriptv { path: path_owned(), found: tables(&schema) });
        }
        let version: i64 =
            connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(refused)?;
        if version != 0 {
            return Err(ImportError::Newer {
                path: path_owned(),
                found: format!("it has the version {version}"),
            });
        }
        if let Some(table) = VERSION_TABLES.iter().find(|table| schema.contains_key(**table)) {
            return Err(ImportError::Newer { path: path_owned(), found: format!("it has a table {table}") });
        }
        let verdict = connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
            .map_err(refused)?;
        if verdict != "ok" {
            return Err(ImportError::Damaged { path: path_owned(), found: verdict });
        }
        let found = Self { connection, path: path_owned(), schema };
        found.check_whole()?;
        Ok(found)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses what a migration has left half made.
    fn check_whole(&self) -> Result<(), ImportError> {
        let old = !self.has_channels();
        let needed: Vec<&KnownColumns> = KNOWN
            .iter()
            .filter(|known| !old || ![CHANNELS.table, SOURCES.table].contains(&known.table))
            .chain(old.then_some(&FAVORITES))
            .collect();
        for known in needed {
            let half = |found: String| ImportError::HalfMigrated { path: self.path.clone(), found };
            let Some(columns) = self.schema.get(known.table) else {
                return Err(half(format!("there is no table {}", known.table)));
            };
            if let Some(column) = known.needed.iter().find(|column| !columns.contains(**column)) {
                return Err(half(format!("the table {} has no column {column}", known.table)));
            }
        }
        Ok(())
    }

    /// Whether it knows channels; the first versions knew favorites alone.
    fn has_channels(&self) -> bool {
        self.schema.contains_key(CHANNELS.table) || self.schema.contains_key(SOURCES.table)
    }

    /// Columns of the tables that are read of which nothing is known here: `table.column`.
    pub(super) fn unknown_columns(&self) -> Vec<String> {
        let mut unknown = Vec::new();
        for known in KNOWN {
            let columns = self.schema.get(known.table).into_iter().flatten();
            let is_known = |column: &str| known.needed.contains(&column) || known.further.contains(&column);
            unknown.extend(
                columns.filter(|column| !is_known(column)).map(|column| format!("{}.{column}", known.table)),
            );
        }
        unknown
    }

    /// Keys and values of its settings.
    pub(super) fn settings(&self) -> Result<Vec<(String, String)>, ImportError> {
        let sql = "SELECT CAST(key AS TEXT), CAST(value AS TEXT) FROM settings ORDER BY key";
        self.all("settings", sql, |row| Ok((text(row, 0)?, text(row, 1)?)))
    }

    /// Gives each item of its playlist to `take`.
    pub(super) fn items(
        &self,
        take: impl FnMut(ForeignItem) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        let updated = self.number("playlist_items", "updated_at");
        let seen =
            |column| format!("coalesce(nullif({}, 0), {updated})", self.number("playlist_items", column));
        let texts = [
            "item_key",
            "channel_key",
            "name",
            "group_name",
            "stream_url",
            "tvg_id",
            "tvg_name",
            "tvg_logo",
            "attrs_json",
        ]
        .map(|column| self.text("playlist_items", column))
        .join(", ");
        let active = self.expression("playlist_items", "active", "INTEGER", "1");
        let sql = format!(
            "SELECT {texts}, {}, {}, {active} FROM playlist_items ORDER BY item_key",
            seen("first_seen_at"),
            seen("last_seen_at")
        );
        let read = |row: &Row<'_>| {
            Ok(ForeignItem {
                item_key: text(row, 0)?,
                channel_key: text(row, 1)?,
                name: text(row, 2)?,
                group_name: text(row, 3)?,
                stream_url: text(row, 4)?,
                tvg_id: text(row, 5)?,
                tvg_name: text(row, 6)?,
                tvg_logo: text(row, 7)?,
                attrs_json: text(row, 8)?,
                first_seen_at: nanoseconds(row.get(9)?),
                last_seen_at: nanoseconds(row.get(10)?),
                active: row.get::<_, i64>(11)? != 0,
            })
        };
        self.each("playlist_items", &sql, read, take)
    }

    /// Its channels in their order; of a database that knows none, its favorites.
    pub(super) fn channels(&self) -> Result<Vec<ForeignChannel>, ImportError> {
        if self.takes_favorites()? {
            return self.favorites();
        }
        let table = CHANNELS.table;
        let texts = ["channel_class", "channel_key", "guide_number", "guide_name"]
            .map(|column| self.text(table, column))
            .join(", ");
        let numbers = ["order_index", "enabled", "created_at", "updated_at"]
            .map(|column| self.number(table, column))
            .join(", ");
        let rule = ["dynamic_group_name", "dynamic_group_names_json", "dynamic_search_query"]
            .map(|column| self.text(table, column))
            .join(", ");
        let switches = ["dynamic_sources_enabled", "dynamic_search_regex"]
            .map(|column| self.number(table, column))
            .join(", ");
        let sql = format!(
            "SELECT channel_id, {texts}, {numbers}, {rule}, {switches} FROM {table} ORDER BY order_index, channel_id"
        );
        self.all(table, &sql, |row| {
            Ok(ForeignChannel {
                channel_id: row.get(0)?,
                channel_class: text(row, 1)?,
                channel_key: text(row, 2)?,
                guide_number: text(row, 3)?,
                guide_name: text(row, 4)?,
                order_index: row.get(5)?,
                enabled: row.get::<_, i64>(6)? != 0,
                created_at: row.get(7)?,
                updated_at: row.get(8)?,
                rule: (
                    row.get::<_, i64>(12)? != 0,
                    [text(row, 9)?, text(row, 10)?, text(row, 11)?],
                    row.get::<_, i64>(13)? != 0,
                ),
            })
        })
    }

    /// The sources of its channels, each channel's in their order.
    pub(super) fn sources(&self) -> Result<Vec<ForeignSource>, ImportError> {
        if self.takes_favorites()? {
            return self.sources_of_favorites();
        }
        let table = SOURCES.table;
        let texts = [
            "item_key",
            "association_type",
            "last_fail_reason",
            "profile_video_codec",
            "profile_audio_codec",
        ]
        .map(|column| self.text(table, column))
        .join(", ");
        let numbers = [
            "last_ok_at",
            "last_fail_at",
            "success_count",
            "fail_count",
            "cooldown_until",
            "last_probe_at",
            "profile_width",
            "profile_height",
            "profile_bitrate_bps",
        ]
        .map(|column| self.number(table, column))
        .join(", ");
        let fps = self.expression(table, "profile_fps", "REAL", "0.0");
        let sql = format!(
            "SELECT source_id, channel_id, {}, {}, {texts}, {fps}, {numbers} FROM {table}
             ORDER BY channel_id, priority_index, source_id",
            self.number(table, "priority_index"),
            self.number(table, "enabled")
        );
        self.all(table, &sql, |row| {
            let mut numbers = [0; 9];
            for (place, number) in numbers.iter_mut().enumerate() {
                *number = row.get(10 + place)?;
            }
            Ok(ForeignSource {
                source_id: row.get(0)?,
                channel_id: row.get(1)?,
                priority_index: row.get(2)?,
                enabled: row.get::<_, i64>(3)? != 0,
                item_key: text(row, 4)?,
                association_type: text(row, 5)?,
                last_fail_reason: text(row, 6)?,
                profile_video_codec: text(row, 7)?,
                profile_audio_codec: text(row, 8)?,
                profile_fps: row.get(9)?,
                numbers,
            })
        })
    }

    /// How many rows there are of what has no counterpart here: blocks of channels, recorders.
    pub(super) fn left_behind(&self) -> Result<[u64; 2], ImportError> {
        let count = |table: &str, column: &str, condition: &str| {
            let has = self.schema.get(table).is_some_and(|columns| columns.contains(column));
            if !has {
                return Ok(0);
            }
            let sql = format!("SELECT count(*) FROM {table} WHERE {condition}");
            let count = self.connection.query_row(&sql, [], |row| row.get::<_, u32>(0));
            count.map(u64::from).map_err(|source| self.unreadable(table, source))
        };
        Ok([
            count("dynamic_channel_queries", "query_id", "1")?,
            count("dvr_instances", "base_url", "trim(coalesce(base_url, '')) <> ''")?,
        ])
    }

    /// Channels made of favorites are what hdhriptv itself would make at its next start.
    fn takes_favorites(&self) -> Result<bool, ImportError> {
        if !self.has_channels() {
            return Ok(true);
        }
        if !self
            .schema
            .get(FAVORITES.table)
            .is_some_and(|columns| FAVORITES.needed.iter().all(|column| columns.contains(*column)))
        {
            return Ok(false);
        }
        let sql = "SELECT NOT EXISTS (SELECT 1 FROM published_channels)";
        self.connection
            .query_row(sql, [], |row| row.get(0))
            .map_err(|source| self.unreadable(CHANNELS.table, source))
    }

    fn favorites(&self) -> Result<Vec<ForeignChannel>, ImportError> {
        let table = FAVORITES.table;
        let key = if self.schema["playlist_items"].contains("channel_key") {
            "coalesce(CAST(playlist_items.channel_key AS TEXT), '')"
        } else {
            "''"
        };
        let numbers = ["order_index", "enabled", "created_at", "updated_at"]
            .map(|column| self.expression(table, column, "INTEGER", "0"))
            .join(", ");
        let sql = format!(
            "SELECT row_number() OVER (ORDER BY favorites.order_index), {key},
                coalesce(CAST(favorites.guide_number AS TEXT), ''),
                coalesce(CAST(favorites.guide_name AS TEXT), ''), {numbers}
             FROM favorites LEFT JOIN playlist_items ON playlist_items.item_key = favorites.item_key
             ORDER BY favorites.order_index"
        );
        self.all(table, &sql, |row| {
            Ok(ForeignChannel {
                channel_id: row.get(0)?,
                channel_class: String::new(),
                channel_key: text(row, 1)?,
                guide_number: text(row, 2)?,
                guide_name: text(row, 3)?,
                order_index: row.get(4)?,
                enabled: row.get::<_, i64>(5)? != 0,
                created_at: row.get(6)?,
                updated_at: row.get(7)?,
                rule: (false, [String::new(), String::new(), String::new()], false),
            })
        })
    }

    fn sources_of_favorites(&self) -> Result<Vec<ForeignSource>, ImportError> {
        let sql = "SELECT row_number() OVER (ORDER BY order_index), CAST(item_key AS TEXT)
            FROM favorites ORDER BY order_index";
        self.all(FAVORITES.table, sql, |row| {
            let number = row.get(0)?;
            Ok(ForeignSource {
                source_id: number,
                channel_id: number,
                item_key: text(row, 1)?,
                priority_index: 0,
                enabled: true,
                association_type: String::new(),
                last_fail_reason: String::new(),
                numbers: [0; 9],
                profile_fps: 0.0,
                profile_video_codec: String::new(),
                profile_audio_codec: String::new(),
            })
        })
    }

    /// Runs through the rows of a table.
    fn each<T>(
        &self,
        table: &str,
        sql: &str,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
        mut take: impl FnMut(T) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        let refused = |source| self.unreadable(table, source);
        let mut statement = self.connection.prepare(sql).map_err(refused)?;
        let mut rows = statement.query([]).map_err(refused)?;
        while let Some(row) = rows.next().map_err(refused)? {
            take(read(row).map_err(refused)?)?;
        }
        Ok(())
    }

    /// All rows of a table.
    fn all<T>(
        &self,
        table: &str,
        sql: &str,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, ImportError> {
        let mut rows = Vec::new();
        self.each(table, sql, read, |row| {
            rows.push(row);
            Ok(())
        })?;
        Ok(rows)
    }

    fn unreadable(&self, table: &str, source: rusqlite::Error) -> ImportError {
        ImportError::Unreadable { path: self.path.clone(), table: table.to_owned(), source }
    }

    fn text(&self, table: &str, column: &str) -> String {
        self.expression(table, column, "TEXT", "''")
    }

    fn number(&self, table: &str, column: &str) -> String {
        self.expression(table, column, "INTEGER", "0")
    }

    /// The value of a column, or its default where the column or the value is missing. Its tables are not strict: a cell of one
    /// kind may hold another.
    fn expression(&self, table: &str, column: &str, kind: &str, default: &str) -> String {
        if self.schema.get(table).is_some_and(|columns| columns.contains(column)) {
            format!("coalesce(CAST({table}.{column} AS {kind}), {default})")
        } else {
            default.to_owned()
        }
    }
}

/// Opens a file so that nothing of it or beside it is changed.
fn open(path: &Path) -> rusqlite::Result<Connection> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let has_log = fs::metadata(&log).is_ok_and(|log| log.len() > 0);
    let connection = match path.to_str() {
        // Nobody writes to it: otherwise there were a log. So it needs no shared memory beside it, which would stay behind.
        Some(text) if !has_log => {
            let uri = format!("file:{}?immutable=1", utf8_percent_encode(text, NOT_IN_URI));
            Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)?
        }
        Some(_) | None => Connection::open_with_flags(path, flags)?,
    };
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

fn application_id(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "application_id", |row| row.get(0))
}

/// The tables and their columns.
fn schema(connection: &Connection) -> rusqlite::Result<BTreeMap<String, BTreeSet<String>>> {
    let sql = "SELECT tables.name, columns.name
        FROM sqlite_schema AS tables JOIN pragma_table_info(tables.name) AS columns
        WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite_%'";
    let mut schema: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        schema.entry(text(row, 0)?.to_lowercase()).or_default().insert(text(row, 1)?.to_lowercase());
    }
    Ok(schema)
}

/// The items of its playlist, and channels or what was there before them.
fn is_known_by(schema: &BTreeMap<String, BTreeSet<String>>) -> bool {
    let has_items = schema
        .get("playlist_items")
        .is_some_and(|columns| columns.contains("item_key") && columns.contains("attrs_json"));
    has_items
        && [CHANNELS.table, SOURCES.table, FAVORITES.table].iter().any(|table| schema.contains_key(*table))
}

fn tables(schema: &BTreeMap<String, BTreeSet<String>>) -> String {
    match schema.keys().map(String::as_str).collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => "no table".to_owned(),
        names => format!("the tables {}", names.chars().take(200).collect::<String>()),
    }
}

/// A text, whatever its bytes are.
fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    let bytes = row.get_ref(column)?.as_bytes_or_null()?.unwrap_or_default();
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

/// Old versions kept seconds in the place of nanoseconds.
fn nanoseconds(time: i64) -> i64 {
    if (1..NANOSECONDS_FROM).contains(&time) { time.saturating_mul(NANOSECONDS) } else { time.max(0) }
}
