//! Opening: look first, write only when the file is ours.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, MAIN_DB, OpenFlags, Transaction, TransactionBehavior};

use super::error::{OpenError, StoreError};
use super::migrations::{APPLICATION_ID, KNOWN_VERSION, migrate};

mod channels;
mod filter;
mod guide;
mod health;
mod import;
mod items;
mod jobs;
mod moves;
mod order;
mod packs;
mod playlists;
mod profiles;
mod providers;
mod refresh;
mod rules;
mod search;
mod settings;
mod source_rules;
mod sources;

pub use filter::{ITEMS_PAGE_MAX, ItemFilter};
pub use guide::GuideRow;
pub use import::{ImportOutcome, Imported};
pub use items::{Duplicates, Group, ItemPage, Reading, RefreshOutcome, Refreshed};
pub use jobs::JobRun;
pub use moves::{Moved, SourceMove};
pub use playlists::{PRIMARY_NAME, PRIMARY_PLAYLIST, UPLOADED};
pub use refresh::{Progress, Refresh, STEP_ITEMS_MAX, key_in, told_apart};
pub use rules::Applied;
pub use search::{Search, SearchCounts, SearchError, SearchLimits};

/// How long a statement waits for another process (an operator's `sqlite3`) to let go.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The same while closing: a log that stays behind costs nothing, a stop that waits does.
const BUSY_TIMEOUT_CLOSING: Duration = Duration::from_millis(250);
/// Statements kept ready. There are about as many in this module.
const STATEMENTS_MAX: usize = 64;
/// How a SQLite database begins, and the least it may have.
const MAGIC: &[u8] = b"SQLite format 3\0";
const PAGE_BYTES_MIN: usize = 512;

/// An open database. Its operations stand beside the records they are about.
pub struct Database {
    pub(super) connection: Connection,
    /// Readings that have taken the order of items away.
    loadings: order::Loadings,
}

impl Database {
    /// Opens the database at a path, or creates it there, readable by its owner alone: the URLs in it may
    /// hold passwords.
    ///
    /// # Errors
    /// When the file cannot be read and written, is damaged, too new, or another program's.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        // SQLite would take a relative path that starts with "file:" for an URI.
        let path = std::path::absolute(path).map_err(|source| OpenError::from_io(path, source))?;
        let created = create_private(&path)?;
        let refused = |source| OpenError::from_sqlite(&path, source);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&path, flags).map_err(refused)?;
        if connection.is_readonly(MAIN_DB).map_err(refused)? {
            return Err(OpenError::ReadOnly { path });
        }
        connection.busy_timeout(BUSY_TIMEOUT).map_err(refused)?;
        let version = recognise(&path, &connection)?;
        write_ahead(&path, &connection)?;
        prepare(&mut connection, version).map_err(refused)?;
        if created {
            log::info!("created the database {}", path.display());
        }
        Ok(Self { connection, loadings: order::Loadings::default() })
    }

    /// A database that ends with the process.
    ///
    /// # Errors
    /// When memory is short.
    pub fn in_memory() -> Result<Self, StoreError> {
        let mut connection = Connection::open_in_memory()?;
        prepare(&mut connection, 0)?;
        Ok(Self { connection, loadings: order::Loadings::default() })
    }

    /// How many rows have been changed by now. Whoever has read something and finds the same number again has read it as it is.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.connection.total_changes()
    }

    /// Moves the log into the file and closes. What is committed is safe without it; the next start is faster
    /// with it, and a copy of the file alone is then complete.
    ///
    /// # Errors
    /// The first thing SQLite refused. The connection is closed in any case.
    pub(super) fn close(self) -> Result<(), StoreError> {
        let finished = self.connection.busy_timeout(BUSY_TIMEOUT_CLOSING).and_then(|()| {
            self.connection.execute_batch("PRAGMA optimize")?;
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_row| Ok(()))
        });
        let closed = self.connection.close().map_err(|(_connection, error)| error);
        Ok(finished.and(closed)?)
    }

    /// Ends the transaction that nobody will commit any more, if there is one.
    pub(super) fn roll_back(&mut self) -> Result<(), StoreError> {
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        Ok(())
    }

    /// A transaction that may write from its first statement on.
    pub(super) fn writing(&mut self) -> rusqlite::Result<Transaction<'_>> {
        self.connection.transaction_with_behavior(TransactionBehavior::Immediate)
    }
}

/// Creates the file if there is none. True when it did.
fn create_private(path: &Path) -> Result<bool, OpenError> {
    let failed = |source| OpenError::from_io(path, source);
    if let Some(directory) = path.parent()
        && !fs::exists(directory).map_err(failed)?
    {
        return Err(OpenError::NoDirectory { path: path.to_owned(), directory: directory.to_owned() });
    }
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_file) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check_head(path).map(|()| false),
        Err(error) => Err(failed(error)),
    }
}

/// Refuses what SQLite would take for an empty database and write over: any file shorter than a page, and a
/// file cut to nothing whose log is still there. A file of no bytes without a log holds nothing to lose, and
/// is what a kill in the middle of creating one leaves.
fn check_head(path: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::from_io(path, source);
    let damaged = |detail: &str| OpenError::Damaged { path: path.to_owned(), detail: detail.to_owned() };
    let mut head = Vec::with_capacity(PAGE_BYTES_MIN);
    // Opening a FIFO would wait for somebody to write to it.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("it is not a regular file")));
    }
    let limit = u64::try_from(PAGE_BYTES_MIN).expect("a page is small");
    File::open(path).map_err(failed)?.take(limit).read_to_end(&mut head).map_err(failed)?;
    if head.is_empty() {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let has_log = fs::metadata(&log).is_ok_and(|log| log.len() > 0);
        return if has_log { Err(damaged("it is empty, but its write-ahead log is not")) } else { Ok(()) };
    }
    if !head.starts_with(MAGIC) {
        return Err(damaged("it is not a SQLite database"));
    }
    if head.len() < PAGE_BYTES_MIN { Err(damaged("it ends within its first page")) } else { Ok(()) }
}

/// The version of a sound database of ours, 0 for an empty file. Writes nothing.
fn recognise(path: &Path, connection: &Connection) -> Result<i64, OpenError> {
    let refused = |source| OpenError::from_sqlite(path, source);
    let path = || -> PathBuf { path.to_owned() };
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let application_id = number("application_id").map_err(refused)?;
    let version = number("user_version").map_err(refused)?;
    let is_empty = connection
        .query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get::<_, bool>(0))
        .map_err(refused)?;
    if is_empty && application_id == 0 && version == 0 {
        return Ok(0);
    }
    if application_id != APPLICATION_ID || version < 1 {
        return Err(OpenError::NotOurs { path: path(), application_id });
    }
    if version > KNOWN_VERSION {
        return Err(OpenError::Newer { path: path(), found: version, known: KNOWN_VERSION });
    }
    let verdict =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)).map_err(refused)?;
    if verdict != "ok" {
        return Err(OpenError::Damaged { path: path(), detail: verdict });
    }
    Ok(version)
}

fn write_ahead(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    let journal = connection
        .query_row("PRAGMA journal_mode=WAL", [], |row| row.get::<_, String>(0))
        .map_err(|source| OpenError::from_sqlite(path, source))?;
    if journal != "wal" {
        return Err(OpenError::NoWriteAheadLog { path: path.to_owned(), journal });
    }
    Ok(())
}

fn prepare(connection: &mut Connection, version: i64) -> rusqlite::Result<()> {
    connection.execute_batch("PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    search::install(connection)?;
    migrate(connection, version)?;
    // Those of a database that had none, and what a kill has left undone.
    order::make(connection)?;
    packs::store_missing(connection)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use nix::unistd::{Uid, setfsuid};

    use super::*;
    use crate::store::fixtures::{at, item};

    struct Place {
        folder: tempfile::TempDir,
        path: PathBuf,
    }

    fn place() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tunerd.db");
        Place { folder, path }
    }

    /// A closed database of ours that spans some pages.
    fn filled() -> Place {
        let place = place();
        let mut database = Database::open(&place.path).unwrap();
        let items: Vec<_> = (0..200).map(|n| item(&format!("key {n}"), &format!("Name {n}"))).collect();
        database.refresh_items(&items, at(1)).unwrap();
        database.close().unwrap();
        place
    }

    fn refusal(path: &Path) -> OpenError {
        Database::open(path).err().expect("it is refused")
    }

    /// Refuses the file, and leaves every byte of it as it was.
    fn refusal_of_unchanged(path: &Path) -> OpenError {
        let before = fs::read(path).unwrap();
        let error = refusal(path);
        assert!(fs::read(path).unwrap() == before, "a refused file is not written: {error}");
        error
    }

    #[test]
    fn a_new_database_is_its_owners_alone_and_is_there_the_next_time() {
        let Place { folder: _folder, path } = place();
        let mut database = Database::open(&path).unwrap();
        database.set_setting("a", "b").unwrap();
        let pragma =
            |name| database.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(pragma("user_version"), KNOWN_VERSION);
        assert_eq!(pragma("application_id"), APPLICATION_ID);
        assert_eq!((pragma("synchronous"), pragma("foreign_keys"), pragma("busy_timeout")), (1, 1, 5000));
        let wal = path.with_file_name("tunerd.db-wal");
        for file in [&path, &wal] {
            assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
        }
        database.close().unwrap();
        assert_eq!(Database::open(&path).unwrap().setting("a").unwrap().as_deref(), Some("b"));
    }

    #[test]
    fn what_was_committed_survives_a_kill() {
        let Place { folder, path } = place();
        let mut database = Database::open(&path).unwrap();
        database.set_setting("a", "b").unwrap();
        // A killed process leaves its files as they are at that moment.
        let left = folder.path().join("left.db");
        fs::copy(&path, &left).unwrap();
        fs::copy(path.with_file_name("tunerd.db-wal"), left.with_file_name("left.db-wal")).unwrap();
        assert_eq!(Database::open(&left).unwrap().setting("a").unwrap().as_deref(), Some("b"));
    }

    #[test]
    fn closing_empties_the_log_also_while_somebody_else_looks_at_the_database() {
        let Place { folder: _folder, path } = place();
        let mut database = Database::open(&path).unwrap();
        let onlooker = Connection::open(&path).unwrap();
        let count =
            || onlooker.query_row("SELECT count(*) FROM settings", [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(count(), 0);
        database.set_setting("a", "b").unwrap();
        database.close().unwrap();
        assert_eq!(fs::metadata(path.with_file_name("tunerd.db-wal")).unwrap().len(), 0);
        assert_eq!(count(), 1);
    }

    #[test]
    fn an_empty_file_becomes_a_database() {
        let Place { folder: _folder, path } = place();
        fs::write(&path, "").unwrap();
        Database::open(&path).unwrap().set_setting("a", "b").unwrap();
    }

    #[test]
    fn a_missing_directory_is_named() {
        let Place { folder, path: _ } = place();
        let directory = folder.path().join("missing");
        let error = refusal(&directory.join("tunerd.db"));
        assert!(
            matches!(&error, OpenError::NoDirectory { directory: named, .. } if *named == directory),
            "{error}"
        );
        assert!(!directory.exists());
    }

    #[test]
    fn what_is_no_regular_file_is_no_database() {
        let Place { folder, path } = place();
        let error = refusal(folder.path());
        assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = refusal(&fifo);
        assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
        fs::write(&path, "").unwrap();
        let error = refusal(&path.join("below.db"));
        assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
    }

    #[test]
    fn a_file_that_is_no_database_is_damaged() {
        let Place { folder: _folder, path } = place();
        for text in ["x", "#EXTM3U\n#EXTINF:-1,News\nhttp://example.com/1\n", &"text ".repeat(4000)] {
            fs::write(&path, text).unwrap();
            let error = refusal_of_unchanged(&path);
            assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
        }
    }

    #[test]
    fn a_truncated_or_garbled_database_is_damaged() {
        let Place { folder: _folder, path } = filled();
        let whole = fs::read(&path).unwrap();
        assert!(whole.len() > 10 * 4096, "the damage is beyond the first page");
        let mut garbled = whole.clone();
        garbled[3 * 4096..whole.len() - 4096].fill(0xa5);
        for (what, bytes) in [
            ("half", &whole[..whole.len() / 2]),
            ("a header", &whole[..100]),
            ("less", &whole[..40]),
            ("garbled", &garbled[..]),
        ] {
            fs::write(&path, bytes).unwrap();
            let error = refusal_of_unchanged(&path);
            assert!(matches!(error, OpenError::Damaged { .. }), "{what}: {error:?}");
        }
        fs::write(&path, &whole).unwrap();
        let mut database = Database::open(&path).unwrap();
        database.set_setting("a", "b").unwrap();
        let log = fs::read(path.with_file_name("tunerd.db-wal")).unwrap();
        drop(database);
        fs::write(&path, "").unwrap();
        fs::write(path.with_file_name("tunerd.db-wal"), &log).unwrap();
        let error = refusal_of_unchanged(&path);
        assert!(matches!(error, OpenError::Damaged { .. }), "nothing but the log: {error:?}");
    }

    #[test]
    fn a_database_of_a_newer_program_is_refused() {
        let Place { folder: _folder, path } = filled();
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", KNOWN_VERSION + 3).unwrap();
        connection.close().unwrap();
        let error = refusal_of_unchanged(&path);
        let OpenError::Newer { found, known, .. } = error else { panic!("{error:?}") };
        assert_eq!((found, known), (KNOWN_VERSION + 3, KNOWN_VERSION));
    }

    #[test]
    fn a_database_of_another_program_is_refused() {
        for (sql, id) in [
            ("CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT)", 0),
            ("CREATE TABLE notes (text TEXT); PRAGMA user_version=1", 0),
            ("PRAGMA application_id=252006675; PRAGMA user_version=1", 252_006_675),
            ("CREATE TABLE notes (text TEXT); PRAGMA application_id=1953395300", APPLICATION_ID),
        ] {
            let Place { folder: _folder, path } = place();
            let connection = Connection::open(&path).unwrap();
            connection.execute_batch(sql).unwrap();
            connection.close().unwrap();
            let error = refusal_of_unchanged(&path);
            assert!(
                matches!(error, OpenError::NotOurs { application_id, .. } if application_id == id),
                "{sql}: {error:?}"
            );
        }
    }

    /// Runs something on a thread that may not pass over permissions, as root otherwise may.
    fn unprivileged<R: Send>(work: impl FnOnce() -> R + Send) -> R {
        let run = || {
            if Uid::effective().is_root() {
                setfsuid(Uid::from_raw(65_534));
            }
            work()
        };
        std::thread::scope(|scope| scope.spawn(run).join().unwrap())
    }

    #[test]
    fn what_may_only_be_read_is_refused_as_such() {
        let Place { folder, path } = filled();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        set(folder.path(), 0o777);
        set(&path, 0o444);
        let error = unprivileged(|| refusal(&path));
        assert!(matches!(error, OpenError::ReadOnly { .. }), "file: {error:?}");
        set(&path, 0o666);
        set(folder.path(), 0o555);
        let error = unprivileged(|| refusal(&path));
        assert!(matches!(error, OpenError::ReadOnly { .. }), "directory of a file: {error:?}");
        let error = unprivileged(|| refusal(&folder.path().join("new.db")));
        assert!(matches!(error, OpenError::ReadOnly { .. }), "directory: {error:?}");
        set(folder.path(), 0o777);
        unprivileged(|| Database::open(&path).map(drop)).unwrap();
    }
}
