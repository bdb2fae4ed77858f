//! A database of hdhriptv in the place where ours belongs: it is kept as a copy beside it, and ours takes its place.
//!
//! A kill at any moment leaves hdhriptv's database or ours in that place, whole, and never loses what was in the former.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rusqlite::{Connection, OpenFlags};

use super::database::{Database, ImportOutcome, Imported};
use super::error::ImportError;
use super::hdhriptv::Hdhriptv;

/// The copy is called as the database is, and then this.
const KEPT: &str = ".hdhriptv";
/// Copies of different databases that may lie beside one another.
const COPIES_MAX: u32 = 99;
/// While it is being made.
const PARTIAL: &str = ".partial";
/// Ours, while it is being made.
const IMPORTING: &str = ".importing";
/// SQLite's files beside a database.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];
/// Where in a database file SQLite locks bytes, and how many.
const LOCK_BYTES: (i64, i64) = (0x4000_0000, 512);
const COMPARED_BYTES: usize = 64 * 1024;

/// What became of a database of hdhriptv.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenOver {
    /// The copy that is kept of it.
    pub kept: PathBuf,
    pub imported: Imported,
}

/// Puts a database of ours in the place of one of hdhriptv's, with everything of it that counts here, and keeps that beside it.
/// Does nothing where there is none.
///
/// # Errors
/// When it cannot be read whole, is in use, or a file cannot be written; it is then where it was.
pub fn take_over(path: &Path) -> Result<Option<TakenOver>, ImportError> {
    if !Hdhriptv::is_one(path)? {
        return Ok(None);
    }
    refuse_in_use(path)?;
    // Says what is wrong before anything is copied.
    drop(Hdhriptv::open(path)?);
    let kept = keep(path)?;
    // Whoever has opened it meanwhile may have written while it was copied.
    refuse_in_use(path)?;
    let new = with_suffix(path, IMPORTING);
    for suffix in ["", COMPANIONS[0], COMPANIONS[1]] {
        remove(&with_suffix(&new, suffix))?;
    }
    let from = Hdhriptv::open(&kept)?;
    let mut database = Database::open(&new)?;
    let ImportOutcome::Done(imported) = database.import_hdhriptv(&from)? else {
        unreachable!("a new database has had no import")
    };
    database.close()?;
    drop(from);
    // A log that stays beside it would be taken for ours.
    fold_log_in(path)?;
    let failed = |source| ImportError::from_io(path, "replaced", source);
    File::open(&new).and_then(|file| file.sync_all()).map_err(failed)?;
    fs::rename(&new, path).map_err(failed)?;
    sync_folder(path).map_err(failed)?;
    Ok(Some(TakenOver { kept, imported }))
}

/// Whether two paths lead to one file.
#[must_use]
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        (Ok(_) | Err(_), _) => false,
    }
}

/// Keeps a copy of a database, which is whole alone, and gives its place.
fn keep(path: &Path) -> Result<PathBuf, ImportError> {
    let mut number = 1;
    let kept = loop {
        let suffix = if number == 1 { KEPT.to_owned() } else { format!("{KEPT}.{number}") };
        let kept = with_suffix(path, &suffix);
        if !kept.exists() {
            break kept;
        }
        if !has_log(path)
            && same_bytes(path, &kept).map_err(|error| ImportError::from_io(&kept, "read", error))?
        {
            return Ok(kept);
        }
        number += 1;
        if number > COPIES_MAX {
            let many = io::Error::other(format!("there are {COPIES_MAX} copies beside it already"));
            return Err(ImportError::from_io(path, "copied", many));
        }
    };
    let partial = with_suffix(&kept, PARTIAL);
    let failed = |source| ImportError::from_io(&partial, "written", source);
    for suffix in ["", COMPANIONS[0], COMPANIONS[1]] {
        remove(&with_suffix(&partial, suffix))?;
    }
    fs::copy(path, &partial).map_err(failed)?;
    if has_log(path) {
        fs::copy(with_suffix(path, COMPANIONS[0]), with_suffix(&partial, COMPANIONS[0])).map_err(failed)?;
        fold_log_in(&partial)?;
    }
    File::open(&partial).and_then(|file| file.sync_all()).map_err(failed)?;
    fs::rename(&partial, &kept).map_err(failed)?;
    sync_folder(&kept).map_err(failed)?;
    Ok(kept)
}

/// Moves what is in a database's log into the database, as its own program would at its end.
fn fold_log_in(path: &Path) -> Result<(), ImportError> {
    if has_log(path) {
        let refused = |source| ImportError::from_sqlite(path, source);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(refused)?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_row| Ok(())).map_err(refused)?;
        connection.close().map_err(|(_connection, source)| refused(source))?;
        if has_log(path) {
            return Err(ImportError::InUse { path: path.to_owned() });
        }
    }
    // Empty, or of the index of a log that is gone.
    COMPANIONS.iter().try_for_each(|suffix| remove(&with_suffix(path, suffix)))
}

/// Refuses a database that another program has open: it would go on with a file that has no name any more.
fn refuse_in_use(path: &Path) -> Result<(), ImportError> {
    let failed = |source| ImportError::from_io(path, "read", source);
    let file = File::options().read(true).write(true).open(path).map_err(failed)?;
    let (l_start, l_len) = LOCK_BYTES;
    let kind = |kind: i32| i16::try_from(kind).expect("kinds of locks are small");
    let mut lock =
        libc::flock { l_type: kind(libc::F_WRLCK), l_whence: kind(libc::SEEK_SET), l_start, l_len, l_pid: 0 };
    fcntl(file.as_fd(), FcntlArg::F_GETLK(&mut lock)).map_err(|errno| failed(errno.into()))?;
    if lock.l_type == kind(libc::F_UNLCK) {
        Ok(())
    } else {
        Err(ImportError::InUse { path: path.to_owned() })
    }
}

fn has_log(path: &Path) -> bool {
    fs::metadata(with_suffix(path, COMPANIONS[0])).is_ok_and(|log| log.len() > 0)
}

fn same_bytes(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let mut buffers = [vec![0; COMPARED_BYTES], vec![0; COMPARED_BYTES]];
    let [of_one, of_other] = &mut buffers;
    loop {
        let count = one.read(of_one)?;
        if count == 0 {
            return Ok(true);
        }
        other.read_exact(&mut of_other[..count])?;
        if of_one[..count] != of_other[..count] {
            return Ok(false);
        }
    }
}

fn remove(path: &Path) -> Result<(), ImportError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(ImportError::from_io(path, "removed", error)),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        None => Path::new("/"),
        Some(here) if here.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
    };
    File::open(folder)?.sync_all()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
