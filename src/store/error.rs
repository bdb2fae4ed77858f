//! What can go wrong, by whom it must be told. No text here holds a stream's URL: an URL may hold a password.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::ErrorCode;
use thiserror::Error;

/// Why a database was not opened. The file is left as it was found.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The directory that should hold the file is missing.
    #[error("the database {} cannot be created: the directory {} does not exist", path.display(), directory.display())]
    NoDirectory { path: PathBuf, directory: PathBuf },
    /// The file, its directory or the file system may only be read.
    #[error("the database {} cannot be written: the file or its directory is read-only for this user", path.display())]
    ReadOnly { path: PathBuf },
    /// The file is not a SQLite database, or its pages contradict each other.
    #[error(
        "the database {} is damaged ({detail}); restore a copy of it, or move it away to start with an empty one",
        path.display()
    )]
    Damaged { path: PathBuf, detail: String },
    /// A later version of this program has written the file.
    #[error(
        "the database {} has version {found}, and this program knows versions up to {known}; use the newer program",
        path.display()
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    /// A SQLite database of another program.
    #[error("the database {} belongs to another program (application id {application_id:#010x})", path.display())]
    NotOurs { path: PathBuf, application_id: i64 },
    /// Another process holds the database locked.
    #[error("the database {} is locked by another process", path.display())]
    InUse { path: PathBuf },
    /// The file system cannot hold a write-ahead log, for instance because it cannot share memory.
    #[error("the database {} cannot have a write-ahead log here (its journal stays {journal:?})", path.display())]
    NoWriteAheadLog { path: PathBuf, journal: String },
    /// The operating system refused.
    #[error("the database {} cannot be opened", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// SQLite refused for another reason.
    #[error("the database {} cannot be opened", path.display())]
    Sqlite { path: PathBuf, source: rusqlite::Error },
}

impl OpenError {
    pub(super) fn from_io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        let read_only = [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem];
        if read_only.contains(&source.kind()) { Self::ReadOnly { path } } else { Self::Io { path, source } }
    }

    pub(super) fn from_sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        let code = source.sqlite_error_code();
        if code == Some(ErrorCode::NotADatabase) {
            Self::Damaged { path, detail: "it is not a SQLite database".to_owned() }
        } else if code == Some(ErrorCode::DatabaseCorrupt) {
            Self::Damaged { path, detail: source.to_string() }
        } else if code == Some(ErrorCode::ReadOnly) || code == Some(ErrorCode::PermissionDenied) {
            Self::ReadOnly { path }
        } else if code == Some(ErrorCode::DatabaseBusy) || code == Some(ErrorCode::DatabaseLocked) {
            Self::InUse { path }
        } else {
            Self::Sqlite { path, source }
        }
    }
}

/// Why a database of hdhriptv was not imported. It is left as it was found, and nothing has been written.
#[derive(Debug, Error)]
pub enum ImportError {
    /// It is not a database of hdhriptv.
    #[error("{} is not a database of hdhriptv: it has {found}", path.display())]
    NotHdhriptv { path: PathBuf, found: String },
    /// It is not a SQLite database, or its pages contradict each other.
    #[error("hdhriptv's database {} is damaged ({found}); restore a copy of it", path.display())]
    Damaged { path: PathBuf, found: String },
    /// A migration of it has not come to its end.
    #[error(
        "hdhriptv's database {} is half migrated: {found}; start hdhriptv on it once, or restore a copy of it",
        path.display()
    )]
    HalfMigrated { path: PathBuf, found: String },
    /// A later hdhriptv than those known here has written it.
    #[error(
        "hdhriptv's database {} is newer than what is known here: {found}; known are those of hdhriptv up to 1.1, which have none",
        path.display()
    )]
    Newer { path: PathBuf, found: String },
    /// A value that cannot be meant.
    #[error("hdhriptv's database {} is damaged: {row} has the {column} {value}; allowed: {allowed}", path.display())]
    BadValue { path: PathBuf, row: String, column: &'static str, value: String, allowed: &'static str },
    /// Another program has it open.
    #[error("hdhriptv's database {} is in use by another program; end hdhriptv first", path.display())]
    InUse { path: PathBuf },
    /// What is there already would be mixed with what comes.
    #[error("the database has {channels} channels already; import into one that has none (DB_PATH names it)")]
    NotEmpty { channels: u64 },
    /// The rows of a table cannot be read.
    #[error("hdhriptv's database {}: the table {table} cannot be read", path.display())]
    Unreadable { path: PathBuf, table: String, source: rusqlite::Error },
    /// The operating system refused.
    #[error("{} cannot be {what}", path.display())]
    Io { path: PathBuf, what: &'static str, source: io::Error },
    /// SQLite refused for another reason.
    #[error("hdhriptv's database {} cannot be read", path.display())]
    Sqlite { path: PathBuf, source: rusqlite::Error },
    /// What was read could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database that takes it could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl ImportError {
    pub(super) fn from_sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => {
                Self::Damaged { path, found: "it is not a SQLite database".to_owned() }
            }
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, found: source.to_string() },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse { path },
            Some(_) | None => Self::Sqlite { path, source },
        }
    }

    pub(super) fn from_io(path: &Path, what: &'static str, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), what, source }
    }
}

impl From<rusqlite::Error> for ImportError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(StoreError::Sqlite(error))
    }
}

/// Why the store did not take a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StoreBusy {
    /// Its inbox is full. The job may be offered again later.
    #[error("the store's inbox is full")]
    Full,
    /// It has been closed.
    #[error("the store is closed")]
    Closed,
}

/// Why a job gave no result.
#[derive(Debug, PartialEq, Error)]
pub enum StoreError {
    /// The store did not take the job.
    #[error(transparent)]
    Busy(#[from] StoreBusy),
    /// The job panicked. What it had begun was rolled back.
    #[error("a job of the store panicked and was rolled back")]
    Panicked,
    /// What was to be stored could not be read.
    #[error("what was to be stored cannot be read: {0}")]
    Unreadable(String),
    /// SQLite refused, for instance because the disk is full.
    #[error("the database refused the operation")]
    Sqlite(#[from] rusqlite::Error),
}

/// Why a change of channels, sources, profiles or playlists was not made.
#[derive(Debug, PartialEq, Error)]
pub enum ChannelError {
    /// The playlist has never held such an item.
    #[error("there is no playlist item with the key {item_key:?}")]
    ItemNotFound { item_key: String },
    /// There is no such channel.
    #[error("there is no channel {channel_id}")]
    ChannelNotFound { channel_id: i64 },
    /// The channel has no such source.
    #[error("channel {channel_id} has no source {source_id}")]
    SourceNotFound { channel_id: i64, source_id: i64 },
    /// Another channel has the number.
    #[error("the guide number {guide_number} is taken by channel {channel_id}")]
    GuideNumberTaken { guide_number: String, channel_id: i64 },
    /// The item is a source of this channel already.
    #[error("the item {item_key:?} is a source of channel {channel_id} already")]
    SourceExists { channel_id: i64, item_key: String },
    /// There is no such profile.
    #[error("there is no profile {name:?}")]
    ProfileNotFound { name: String },
    /// Another profile has the name.
    #[error("there is a profile {name:?} already")]
    ProfileExists { name: String },
    /// Something carries the profile.
    #[error("the profile {name:?} is in use by {users}")]
    ProfileInUse { name: String, users: String },
    /// There is no room for another profile.
    #[error("there are {max} profiles already, and no more are kept")]
    TooManyProfiles { max: u32 },
    /// There is no such playlist.
    #[error("there is no playlist {playlist_id}")]
    PlaylistNotFound { playlist_id: i64 },
    /// Another playlist has the name or the address.
    #[error("there is a playlist with this {what} already (playlist {name:?})")]
    PlaylistExists { what: &'static str, name: String },
    /// The settings say what the playlist is.
    #[error("the playlist {name:?} is set by PLAYLIST_URL or PLAYLIST_SOURCES; it is changed there")]
    PlaylistIsSet { name: String },
    /// There is no room for another playlist.
    #[error("there are {max} playlists already, and no more are kept")]
    TooManyPlaylists { max: u32 },
    /// There is no such rule.
    #[error("there is no rule {rule_id}")]
    RuleNotFound { rule_id: i64 },
    /// There is no room for another rule.
    #[error("there are {max} rules already, and no more are kept")]
    TooManyRules { max: u32 },
    /// A regular expression that cannot be used.
    #[error("{0}")]
    Pattern(String),
    /// A value that cannot be stored.
    #[error("{field} cannot be {value:?}; allowed: {allowed}")]
    Invalid { field: &'static str, value: String, allowed: &'static str },
    /// The store itself failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ChannelError {
    /// No programme can have this number.
    #[must_use]
    pub fn no_source_change() -> Self {
        Self::Invalid {
            field: "the change",
            value: String::new(),
            allowed: "enabled, program, tls_verify, profile",
        }
    }

    #[must_use]
    pub fn no_program_number(value: &str) -> Self {
        Self::Invalid { field: "program", value: value.to_owned(), allowed: "1 to 65535" }
    }
}

impl From<rusqlite::Error> for ChannelError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(StoreError::Sqlite(error))
    }
}

/// Why the store did not close in order. What was committed is in the write-ahead log and not lost.
#[derive(Debug, PartialEq, Error)]
pub enum CloseError {
    /// Somebody has closed it before.
    #[error("the store has been closed before")]
    AlreadyClosed,
    /// Jobs were still running or waiting.
    #[error("the store did not finish within {limit:?}; {jobs_waiting} jobs were left")]
    TimedOut { limit: Duration, jobs_waiting: u64 },
    /// The last operations failed.
    #[error("the store could not finish its files")]
    Failed(#[source] StoreError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_only_file_system_is_told_apart_from_other_refusals() {
        let path = Path::new("/nowhere/tunerd.db");
        for (errno, is_read_only) in [(30, true), (13, true), (1, true), (28, false), (5, false)] {
            let error = OpenError::from_io(path, io::Error::from_raw_os_error(errno));
            assert_eq!(matches!(error, OpenError::ReadOnly { .. }), is_read_only, "errno {errno}: {error}");
        }
    }

    #[test]
    fn an_error_of_sqlite_becomes_what_an_operator_can_act_on() {
        use rusqlite::ffi;
        let kind = |code| {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            OpenError::from_sqlite(Path::new("/nowhere/tunerd.db"), error)
        };
        assert!(matches!(kind(ffi::SQLITE_NOTADB), OpenError::Damaged { .. }));
        assert!(matches!(kind(ffi::SQLITE_CORRUPT_VTAB), OpenError::Damaged { .. }));
        assert!(matches!(kind(ffi::SQLITE_READONLY_DIRECTORY), OpenError::ReadOnly { .. }));
        assert!(matches!(kind(ffi::SQLITE_BUSY), OpenError::InUse { .. }));
        assert!(matches!(kind(ffi::SQLITE_FULL), OpenError::Sqlite { .. }));
    }
}
