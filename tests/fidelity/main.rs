//! What a viewer gets is what the source sent: every unit of every stream, with unchanged distances, and the same pictures.
//!
//! ```text
//! cargo test --test fidelity                                    generated streams
//! FIDELITY_MADE=clock cargo test --test fidelity made           those whose names hold the word
//! FIDELITY=a.ts:folder cargo test --test fidelity given -- --nocapture   these files, and those of these folders, in a table
//! FIDELITY_ROUNDS=2 …                                           each of them twice, one behind the other
//! FIDELITY_MODE=ffmpeg-copy …                                   in another mode
//! FIDELITY_PROGRAMME=2 …                                        the programme that is to come
//! FIDELITY_END=close …                                          the connection ends with the file; if not it stays, silent
//! FIDELITY_KEEP=1 …                                             recordings are kept in any case
//! ```
//!
//! What belongs to a stream that did not come through is kept in `target/tmp/fidelity`.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use support::{kit, recorder, tsedit, tsview};

mod compare;
mod decode;
mod made;
mod mux;
mod odd;
mod play;
mod stream;
mod tests;
mod upstream;

use std::fs;
use std::path::{Path, PathBuf};

use play::{Item, Outcome, play, settings};
use upstream::Manner;

/// So many files are played at once.
const AT_ONCE: usize = 90;

#[expect(clippy::disallowed_methods, reason = "the setting of a test run, not of the program")]
fn asked(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|asked| !asked.is_empty())
}

/// The files that are asked for, in the order of their names.
fn files(paths: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in paths.split(':').map(Path::new) {
        if path.is_dir() {
            let inside = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
            let mut inside: Vec<_> = inside.filter(|path| is_stream(path)).collect();
            inside.sort();
            files.append(&mut inside);
        } else {
            files.push(path.to_owned());
        }
    }
    files
}

fn is_stream(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    path.is_file() && ["ts", "m2ts", "mts", "trp", "mpg", "m2t", "tp"].contains(&extension)
}

/// Shows them, and gives the names of those that are wrong.
fn shown(outcomes: &[Outcome]) -> Vec<String> {
    for outcome in outcomes {
        println!("{}", outcome.row());
    }
    outcomes.iter().filter(|outcome| !outcome.is_right()).map(|outcome| outcome.name.clone()).collect()
}

#[test]
fn what_is_made_comes_as_it_was_sent() {
    let only = asked("FIDELITY_MADE").unwrap_or_default();
    let mut items: Vec<_> = made::all(&only).into_iter().map(Item::from).collect();
    let mut wrong = Vec::new();
    while !items.is_empty() {
        let rest = items.split_off(items.len().min(AT_ONCE));
        wrong.extend(shown(&play(items, &settings("direct"))));
        items = rest;
    }
    assert!(wrong.is_empty(), "not as they were sent: {}", wrong.join(", "));
}

#[test]
fn what_is_given_comes_as_it_was_sent() {
    let Some(paths) = asked("FIDELITY") else { return };
    let rounds = asked("FIDELITY_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap());
    let programme = asked("FIDELITY_PROGRAMME").map(|number| number.parse().unwrap());
    let ends = asked("FIDELITY_END").is_some_and(|end| end == "close");
    let mode = asked("FIDELITY_MODE").unwrap_or("direct".to_owned());
    let mut wrong = Vec::new();
    for files in files(&paths).chunks(AT_ONCE) {
        let item = |path: &PathBuf| Item {
            name: path.file_name().unwrap().to_string_lossy().into_owned(),
            bytes: fs::read(path).unwrap(),
            manner: Manner { rounds, ends, ..Manner::default() },
            programme,
            from_start: false,
        };
        wrong.extend(shown(&play(files.iter().map(item).collect(), &settings(&mode))));
    }
    assert!(wrong.is_empty(), "not as they were sent: {}", wrong.join(", "));
}
