//! Encoded slates in files, so that a restart encodes none again. Blocks; called on a thread of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::base::limits::PACKET_BYTES;
use crate::ts::{NULL_PACKET, crc32};

/// Files that are kept; beyond that the oldest go.
const FILES_MAX: usize = 64;
/// A longer file is not ours.
const BYTES_MAX: u64 = 16 * 1024 * 1024;
const SUFFIX: &str = ".ts";
const UNFINISHED_SUFFIX: &str = ".part";

/// Where the seal's check sum is in its packet, behind a header that makes it a null packet to everybody else.
const SEAL_AT: usize = 4;

/// The bytes with a packet behind them that tells whether they are whole: a machine that lost its power may have
/// kept a file's length and not its content.
fn seal(bytes: &[u8]) -> Vec<u8> {
    let mut seal = NULL_PACKET;
    seal[SEAL_AT..SEAL_AT + 4].copy_from_slice(&crc32(bytes).to_be_bytes());
    [bytes, &seal].concat()
}

fn unseal(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let content = bytes.len().checked_sub(PACKET_BYTES)?;
    if content == 0 || seal(&bytes[..content])[content..] != bytes[content..] {
        return None;
    }
    bytes.truncate(content);
    Some(bytes)
}

fn path(folder: &Path, key: &str) -> PathBuf {
    folder.join(format!("{key}{SUFFIX}"))
}

/// The slate of this key, if there is a file of it that is whole.
pub(super) fn load(folder: &Path, key: &str) -> Option<Vec<u8>> {
    let path = path(folder, key);
    let length = fs::metadata(&path).ok()?.len();
    let sealed = if length <= BYTES_MAX { fs::read(&path).ok()? } else { Vec::new() };
    let bytes = unseal(sealed);
    if bytes.is_none() {
        log::warn!("{} is damaged and is made again", path.display());
    }
    bytes
}

/// Keeps a slate. The file is there whole or not at all.
pub(super) fn store(folder: &Path, key: &str, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let unfinished = folder.join(format!("{key}{UNFINISHED_SUFFIX}"));
    fs::write(&unfinished, seal(bytes))?;
    fs::rename(&unfinished, path(folder, key))?;
    prune(folder, key)
}

/// Removes the oldest files above the limit, though never the one just written, and what an earlier run has not
/// finished.
fn prune(folder: &Path, newest: &str) -> io::Result<()> {
    let mut kept = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.ends_with(UNFINISHED_SUFFIX) {
            fs::remove_file(entry.path())?;
        } else if name.strip_suffix(SUFFIX).is_some_and(|key| key != newest) {
            kept.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    kept.sort();
    let excess = (kept.len() + 1).saturating_sub(FILES_MAX);
    kept.iter().take(excess).try_for_each(|(_, path)| fs::remove_file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_is_loaded_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("slates");
        assert_eq!(load(&folder, "a"), None);
        store(&folder, "a", &[7; 376]).unwrap();
        assert_eq!(load(&folder, "a"), Some(vec![7; 376]));
        assert_eq!(load(&folder, "b"), None);
        store(&folder, "a", &[8; 188]).unwrap();
        assert_eq!(load(&folder, "a"), Some(vec![8; 188]));
    }

    #[test]
    fn any_damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let sealed = seal(&[7; 376]);
        let file = folder.path().join("a.ts");
        let mut damaged: Vec<Vec<u8>> =
            [0, 1, 188, 187, 376, 563].iter().map(|bytes| sealed[..*bytes].to_vec()).collect();
        damaged.extend((0..sealed.len()).step_by(47).map(|at| {
            let mut bytes = sealed.clone();
            bytes[at] ^= 0x10;
            bytes
        }));
        damaged.push([&sealed[..], &[0; 188]].concat());
        damaged.push(vec![0; 564]);
        for bytes in damaged {
            fs::write(&file, &bytes).unwrap();
            assert_eq!(load(folder.path(), "a"), None, "{} bytes", bytes.len());
        }
        fs::write(&file, &sealed).unwrap();
        assert!(load(folder.path(), "a").is_some());
    }

    #[test]
    fn the_oldest_files_go_and_others_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        fs::write(folder.path().join("old.part"), "half").unwrap();
        for number in 0..FILES_MAX + 3 {
            store(folder.path(), &format!("{number:03}"), &[7; 188]).unwrap();
            let file =
                fs::File::options().write(true).open(path(folder.path(), &format!("{number:03}"))).unwrap();
            let age = std::time::Duration::from_secs(u64::try_from(number).unwrap());
            file.set_modified(std::time::UNIX_EPOCH + age).unwrap();
        }
        let names: std::collections::BTreeSet<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(names.len(), FILES_MAX + 1, "{names:?}");
        assert!(names.contains("notes.txt") && !names.contains("old.part"));
        assert!(!names.contains("002.ts") && names.contains("003.ts") && names.contains("066.ts"));
    }
}
