//! Every mode, every filler, every fault.

use crate::scenario::{Case, Group, MINIMUM, changes, faults, troubles};

const SLATE: &str = "slate_av";
const OTHER_FILLERS: [&str; 2] = ["psi", "null"];

/// Plays a mode with every filler and gives what is wrong. `further` cases are played with the slate alone.
fn play(mode: &str, further: Vec<Case>, by_default: impl Fn(&str) -> bool) -> Vec<String> {
    let cases = [faults(mode), further].concat();
    let mut wrong = Group { mode, filler: SLATE, cases }.choose(by_default).play();
    for filler in OTHER_FILLERS {
        wrong.extend(Group { mode, filler, cases: faults(mode) }.choose(|_name| false).play());
    }
    wrong
}

#[test]
fn what_is_read_directly_goes_on_whatever_its_provider_does() {
    let further = [troubles("direct"), changes("direct")].concat();
    let wrong = play("direct", further, |_name| true);
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn what_goes_through_ffmpeg_goes_on_whatever_its_provider_does() {
    let by_default = |name: &str| MINIMUM.contains(&name);
    let copying = std::thread::spawn(move || play("ffmpeg-copy", changes("ffmpeg-copy"), by_default));
    let mut wrong = play("ffmpeg-transcode", Vec::new(), by_default);
    wrong.extend(copying.join().unwrap());
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
