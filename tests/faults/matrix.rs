//! Every mode, every filler, every fault.

use crate::scenario::{Group, MINIMUM, changes, faults, troubles};

const FILLERS: [&str; 3] = ["slate_av", "psi", "null"];
const SLATE: &str = "slate_av";

fn play_all(mode: &str, by_default: impl Fn(&str) -> bool) {
    let mut wrong = Vec::new();
    for filler in FILLERS {
        let group = Group { mode, filler, cases: faults(mode) };
        wrong.extend(group.choose(|name| filler == SLATE && by_default(name)).play());
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn what_is_read_directly_goes_on_whatever_its_provider_does() {
    play_all("direct", |_name| true);
}

#[test]
fn what_ffmpeg_copies_goes_on_whatever_its_provider_does() {
    play_all("ffmpeg-copy", |name| MINIMUM.contains(&name));
}

#[test]
fn what_ffmpeg_encodes_goes_on_whatever_its_provider_does() {
    play_all("ffmpeg-transcode", |name| MINIMUM.contains(&name));
}

#[test]
fn what_happens_on_a_connection_that_goes_on_is_not_seen() {
    let wrong =
        Group { mode: "direct", filler: SLATE, cases: troubles("direct") }.choose(|_name| true).play();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_backup_may_be_of_another_make_up() {
    let mut wrong = Vec::new();
    for mode in ["direct", "ffmpeg-copy"] {
        let group = Group { mode, filler: SLATE, cases: changes(mode) };
        wrong.extend(group.choose(|_name| mode == "direct").play());
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
