//! The ways in which the first of a channel's two providers goes wrong, and what its viewers may notice.

use std::time::Duration;

use super::STALL_DETECT;
use crate::provider::{Act, Fault, Make, Plan, Refusal, When};
use crate::tsview::PTS_WRAP;

/// Long enough for every way of opening a source to play by then.
const HEALTHY: Duration = Duration::from_secs(5);
/// The longest time without a byte when the loss is told by the connection itself.
const AT_ONCE: Duration = Duration::from_secs(1);
const PTS_HZ: u64 = 90_000;

/// One way, told as a name.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) primary: Plan,
    pub(crate) backup: Plan,
    /// The longest time without a byte.
    pub(crate) silence: Duration,
    /// Whether the backup must have played in the end. Where it need not, what matters is the picture.
    pub(crate) needs_backup: bool,
    /// The codecs that each part of the stream must have.
    pub(crate) codecs: &'static [&'static [&'static str]],
}

/// The cases that every mode has in the choice that is made by default.
pub(crate) const MINIMUM: &[&str] = &["silence", "eof"];

/// What two recordings the providers of a mode play.
fn makes(mode: &str) -> (Make, Make) {
    // Encoding nine channels at once takes what there is of the machine; small pictures do for that.
    if mode == "direct" { (Make::Primary, Make::Backup) } else { (Make::SmallPrimary, Make::SmallBackup) }
}

fn case(mode: &str, name: &'static str, script: &[Act]) -> Case {
    let (primary, backup) = makes(mode);
    // The backup's clock starts again while it plays.
    let backup = Plan { base: PTS_WRAP - 10 * PTS_HZ, ..Plan::new(backup, &[Act::Play]) };
    Case {
        name,
        primary: Plan::new(primary, script),
        backup,
        silence: STALL_DETECT + Duration::from_secs(1),
        needs_backup: true,
        codecs: &[],
    }
}

const fn after(fault: Fault) -> Act {
    Act::Fail(When::After(HEALTHY), fault)
}

/// The nine faults of every mode and filler.
pub(crate) fn faults(mode: &str) -> Vec<Case> {
    // ffmpeg asks the same provider again by itself, and gets what it wants.
    let is_lost = mode == "direct";
    let at_once = |case: Case| Case { silence: AT_ONCE, ..case };
    let ended = |name, refusal| at_once(case(mode, name, &[after(Fault::Eof), Act::Refuse(refusal)]));
    vec![
        case(mode, "silence", &[after(Fault::Silence), Act::Play]),
        Case { needs_backup: is_lost, ..at_once(case(mode, "eof", &[after(Fault::Eof), Act::Play])) },
        Case { needs_backup: is_lost, ..at_once(case(mode, "reset", &[after(Fault::Reset), Act::Play])) },
        ended("not-found", Refusal::NotFound),
        ended("too-many", Refusal::TooMany),
        ended("page", Refusal::Page),
        case(mode, "garbage", &[after(Fault::Garbage), Act::Play]),
        Case { needs_backup: false, ..case(mode, "frozen-pcr", &[after(Fault::FrozenPcr), Act::Play]) },
        case(mode, "no-video", &[after(Fault::NoVideo), Act::Play]),
    ]
}

/// What else may happen on a connection that goes on, or at its end. Nothing of it may be seen.
pub(crate) fn troubles(mode: &str) -> Vec<Case> {
    let goes_on = |name, fault| Case { needs_backup: false, ..case(mode, name, &[after(fault), Act::Play]) };
    let hour = i64::try_from(3600 * PTS_HZ).unwrap();
    let wrap = Case { needs_backup: false, ..case(mode, "clock-wraps", &[Act::Play]) };
    vec![
        goes_on("garbage-once", Fault::GarbageOnce),
        goes_on("an-hour-later", Fault::Jump(hour)),
        goes_on("ten-seconds-earlier", Fault::Jump(-10 * i64::try_from(PTS_HZ).unwrap())),
        Case { primary: Plan { base: PTS_WRAP - 7 * PTS_HZ, ..wrap.primary.clone() }, ..wrap },
        Case { silence: AT_ONCE, ..case(mode, "torn", &[after(Fault::Torn), Act::Play]) },
        case(mode, "only-nulls", &[after(Fault::OnlyNulls), Act::Play]),
        case(mode, "trickle", &[after(Fault::Trickle), Act::Play]),
    ]
}

/// Failover to a programme of another make-up, and one that changes by itself.
pub(crate) fn changes(mode: &str) -> Vec<Case> {
    let to = |name, make, codecs| {
        let case = case(mode, name, &[after(Fault::Eof), Act::Refuse(Refusal::NotFound)]);
        Case { backup: Plan::new(make, &[Act::Play]), codecs, ..case }
    };
    let by_itself = case(mode, "becomes-hevc", &[after(Fault::Change(Make::Hevc)), Act::Play]);
    // ffmpeg passes on what it has found at its start and nothing else, so that the source is silent then.
    let is_followed = mode == "direct";
    let becomes: &[&[&str]] =
        if is_followed { &[&["aac", "h264"], &["aac", "hevc"]] } else { &[&["aac", "h264"]] };
    vec![
        to("to-hevc", Make::Hevc, &[&["aac", "h264"], &["aac", "hevc"]]),
        to("to-ac3", Make::Ac3, &[&["aac", "h264"], &["ac3", "h264"]]),
        to("to-fifty", Make::Fifty, &[&["aac", "h264"]]),
        Case { needs_backup: !is_followed, codecs: becomes, ..by_itself },
    ]
}
