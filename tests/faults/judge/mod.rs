//! Judges recordings as a strict receiver and a player would.
//!
//! Everything is measured against the time of arrival: a clock may jump by as much as the viewer had to wait, and not by
//! more. Nothing of the judged program is used.

mod by_hand;
mod clocks;
mod decode;
mod leads;
mod tests;
mod vlc;
mod walk;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::recorder::Recording;
use crate::tsview::{Kind, PACKET_BYTES, PTS_WRAP, ahead};
pub(crate) use leads::Leads;
pub(crate) use vlc::complaints as vlc_complaints;
use walk::{Point, Walk};

/// Findings of one kind after which further ones are only counted.
const SHOWN: usize = 8;
/// A recording ends with picture and sound when some started in its last so many milliseconds.
const LAST_MOMENTS: Duration = Duration::from_millis(1000);
/// Sound and picture of the last moments are no further apart.
const SKEW_MAX: Duration = Duration::from_secs(1);

/// How strict to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rules {
    /// How much further than time itself a clock may go in one step.
    pub(crate) jump: Duration,
    /// How much later than it was made a byte may arrive because bytes are sent together.
    pub(crate) batching: Duration,
    /// The longest time without a byte, for who has nothing left to play.
    pub(crate) silence: Duration,
    /// The longest time without a newer PCR, picture or sound, for who has nothing left to play.
    pub(crate) still: Duration,
    /// Whether the stream plays for as long as it took to come; not so when a filler has no picture.
    pub(crate) is_complete: bool,
    /// Whether it may end by itself.
    pub(crate) may_end: bool,
    /// How far PTS are ahead of the PCR in what the sources send, where that is known.
    pub(crate) leads: Option<Leads>,
    /// How much later than it was due a source has sent something. A clock that is made in the place of its own goes on meanwhile.
    pub(crate) late: Duration,
    /// Whether all pictures come at one rate.
    pub(crate) has_one_rate: bool,
    /// What is in advance where a source begins may come slowly, and may be played out before more comes: a child reads what it has
    /// missed as fast as it can.
    pub(crate) catches_up: bool,
    /// When the sources behind the first one began to send.
    pub(crate) further: [Option<Duration>; 2],
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            jump: Duration::from_millis(100),
            batching: Duration::from_millis(20),
            silence: Duration::from_secs(2),
            still: Duration::from_secs(2),
            is_complete: true,
            may_end: false,
            leads: None,
            late: Duration::ZERO,
            has_one_rate: true,
            catches_up: false,
            further: [None; 2],
        }
    }
}

impl Rules {
    /// For sources that are that far ahead of their clocks, sent in this mode. What ffmpeg passes on has the clock that it makes.
    pub(crate) fn of_sources(mode: &str, leads: Leads) -> Rules {
        let usual = Rules::default();
        if mode != "direct" {
            // A pipe is emptied when it is full, and a child runs when it may.
            return Rules { batching: Duration::from_millis(150), catches_up: true, ..usual };
        }
        // Sound and pictures of a source stay as far apart as they are there: at a joint one of them is left empty for as long as it
        // comes later than the other.
        Rules { jump: usual.jump + leads.spread(), leads: Some(leads), ..usual }
    }
}

/// What can be wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Wrong {
    /// Not a packet where one should be.
    Sync,
    /// The first packet is no PAT.
    NotPatFirst,
    /// A continuity counter that does not follow, and no discontinuity is signalled.
    Continuity,
    /// A PCR earlier than the one before.
    PcrBack,
    /// A PCR later than time allows.
    PcrJump,
    /// No newer PCR, picture or sound for too long, whatever else comes.
    Still,
    /// A PES packet decoded no later than the one before.
    TimeBack,
    /// A PES packet decoded later than time allows.
    TimeJump,
    /// A PES packet that comes after it should have been decoded.
    Late,
    /// A PES packet shown further from its clock than in the source, or before it.
    Lead,
    /// Two pictures closer together than half of what is usual.
    Crowded,
    /// A PAT or PMT with a wrong CRC or that cannot be read.
    Table,
    /// A PES packet on a PID that no PMT names.
    UnknownPid,
    /// No bytes for too long.
    Silence,
    /// The stream ended.
    Ended,
    /// No picture or no sound at the end.
    Missing,
    /// Picture and sound are apart at the end.
    Skew,
    /// The decoder complains.
    Decoder,
    /// It plays for less or more than it took to come.
    Length,
}

/// One thing that is wrong, where and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Finding {
    pub(crate) wrong: Wrong,
    /// Time since the recording was opened.
    pub(crate) at: Duration,
    /// The byte's number.
    pub(crate) position: usize,
    pub(crate) text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { wrong, at, position, text } = self;
        write!(
            formatter,
            "{wrong:?} at {:.3} s, packet {}: {text}",
            at.as_secs_f64(),
            position / PACKET_BYTES
        )
    }
}

/// The judgement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) findings: Vec<Finding>,
    pub(crate) packets: usize,
    /// The longest time without a byte, and when it began.
    pub(crate) longest_gap: (Duration, Duration),
    /// From the first byte to the last.
    pub(crate) wall: Duration,
    /// What it plays for.
    pub(crate) plays: Duration,
    /// Codecs of each part of the stream with a make-up of its own.
    pub(crate) codecs: Vec<Vec<String>>,
}

impl Verdict {
    pub(crate) fn has(&self, wrong: Wrong) -> bool {
        self.findings.iter().any(|finding| finding.wrong == wrong)
    }

    /// The findings as lines, the first few of each kind.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut kinds: Vec<_> = self.findings.iter().map(|finding| finding.wrong).collect();
        kinds.sort();
        kinds.dedup();
        for kind in kinds {
            let of_kind: Vec<_> = self.findings.iter().filter(|finding| finding.wrong == kind).collect();
            lines.extend(of_kind.iter().take(SHOWN).map(|finding| finding.to_string()));
            if of_kind.len() > SHOWN {
                lines.push(format!("{kind:?}: {} more", of_kind.len() - SHOWN));
            }
        }
        lines
    }
}

/// Judges a recording; what is decoded is written to files whose names begin with `path`.
pub(crate) fn judge(recording: &Recording, rules: &Rules, path: &Path) -> Verdict {
    let mut walk = walk::walk(recording);
    let mut findings = std::mem::take(&mut walk.findings);
    findings.extend(clocks::check(&walk, rules));
    findings.extend(leads::check(&walk, rules));
    findings.extend(check_end(recording, rules, &walk));
    let (longest_gap, silence) = check_silence(recording, rules, &walk);
    findings.extend(silence);
    let parts = decode::parts(recording, &walk);
    let decoded = decode::decode(&parts, rules.has_one_rate, path);
    findings.extend(decoded.complaints.into_iter().map(|(part, text)| Finding {
        wrong: Wrong::Decoder,
        at: recording.arrived(parts[part].position).saturating_sub(recording.opened),
        position: parts[part].position,
        text,
    }));
    let (begin, end) = recording.span().unwrap_or_default();
    let wall = end - begin;
    findings.extend(check_stills(recording, rules, &walk));
    if rules.is_complete {
        findings.extend(check_length(recording, rules, &walk, wall, decoded.plays));
    }
    for finding in &mut findings {
        finding.at = finding.at.min(recording.closed - recording.opened);
    }
    Verdict {
        findings,
        packets: walk.packets,
        longest_gap,
        wall,
        plays: decoded.plays,
        codecs: decoded.codecs,
    }
}

fn check_silence(recording: &Recording, rules: &Rules, walk: &Walk) -> ((Duration, Duration), Vec<Finding>) {
    let mut last = (recording.opened, 0_usize);
    let mut longest = (Duration::ZERO, Duration::ZERO);
    let mut findings = Vec::new();
    // The viewer's leaving is no byte, but ends a silence all the same.
    let closing = (recording.closed, recording.bytes.len());
    for read in recording.reads.iter().copied().chain([closing]) {
        let gap = read.0.saturating_sub(last.0);
        if gap > longest.0 {
            longest = (gap, last.0 - recording.opened);
        }
        if gap > rules.silence && gap > rules.silence + clocks::stored(walk, last.0) {
            let text = format!("{} ms without a byte", gap.as_millis());
            findings.push(finding(recording, Wrong::Silence, last.1.saturating_sub(1), text));
        }
        last = read;
    }
    (longest, findings)
}

/// Whether clock, picture and sound keep moving.
fn check_stills(recording: &Recording, rules: &Rules, walk: &Walk) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut check = |name: &str, points: &[Point]| {
        let mut last: Option<&Point> = None;
        for point in points {
            if last.is_some_and(|last| last.ticks == point.ticks) {
                continue;
            }
            let still = last.map_or(Duration::ZERO, |last| point.arrived - last.arrived);
            let since = last.map_or(recording.opened, |last| last.arrived);
            if still > rules.still && still > rules.still + clocks::stored(walk, since) {
                let text = format!("{name} stood still for {} ms", still.as_millis());
                findings.push(at_point(Wrong::Still, point, recording.opened, text));
            }
            last = Some(point);
        }
        let closing = last.map_or(recording.opened, |last| last.arrived);
        if recording.closed.saturating_sub(closing) > rules.still {
            let text = format!("{name} stands still at the end");
            findings.push(finding(recording, Wrong::Still, recording.bytes.len().saturating_sub(1), text));
        }
    };
    check("the PCR", &walk.pcrs);
    check("the picture", &walk.all_of(Kind::Video));
    check("the sound", &walk.all_of(Kind::Audio));
    findings
}

/// What the last moments show.
fn check_end(recording: &Recording, rules: &Rules, walk: &Walk) -> Vec<Finding> {
    let mut findings = Vec::new();
    let position = recording.bytes.len().saturating_sub(1);
    if let Some(end) = recording.end.filter(|_| !rules.may_end) {
        findings.push(finding(recording, Wrong::Ended, position, format!("the stream ended: {end:?}")));
    }
    let mut last = Vec::new();
    for kind in [Kind::Video, Kind::Audio] {
        let newest = walk.all_of(kind).last().copied();
        let is_recent = newest.is_some_and(|point| point.arrived + LAST_MOMENTS >= recording.closed);
        if !is_recent {
            let when = newest.map_or("never came".to_owned(), |point| {
                format!("came last at {:.3} s", (point.arrived - recording.opened).as_secs_f64())
            });
            findings.push(finding(recording, Wrong::Missing, position, format!("{kind:?} {when}")));
        }
        last.extend(newest.filter(|_| is_recent));
    }
    if let [video, audio] = last[..] {
        let skew = ticks_90k(ahead(video.ticks, audio.ticks, PTS_WRAP));
        if skew.0 > SKEW_MAX {
            let text = format!("the sound is {} ms {} the picture", skew.0.as_millis(), skew.1);
            findings.push(finding(recording, Wrong::Skew, position, text));
        }
    }
    findings
}

fn ticks_90k(ticks: i64) -> (Duration, &'static str) {
    let nanos = ticks.unsigned_abs() * 100_000 / 9;
    (Duration::from_nanos(nanos), if ticks < 0 { "behind" } else { "ahead of" })
}

/// It plays for as long as it took to come, give or take 2 % and what came in advance where a source began.
fn check_length(
    recording: &Recording,
    rules: &Rules,
    walk: &Walk,
    wall: Duration,
    plays: Duration,
) -> Option<Finding> {
    const PART: u32 = 50;
    /// A picture and a packet of sound at either end.
    const EDGES: Duration = Duration::from_millis(300);
    let expected = wall + clocks::advance(walk, rules);
    let tolerance = (wall / PART).max(EDGES);
    // What came in advance may have been waited for behind it.
    let least = if rules.catches_up { wall } else { expected };
    let is_right = plays + tolerance >= least && plays <= expected + tolerance;
    (!is_right).then(|| {
        let text = format!(
            "it plays for {} ms and took {} ms, {} ms of it in advance",
            plays.as_millis(),
            wall.as_millis(),
            (expected - wall).as_millis()
        );
        finding(recording, Wrong::Length, recording.bytes.len().saturating_sub(1), text)
    })
}

fn finding(recording: &Recording, wrong: Wrong, position: usize, text: String) -> Finding {
    Finding { wrong, at: recording.arrived(position).saturating_sub(recording.opened), position, text }
}

fn at_point(wrong: Wrong, point: &Point, opened: Duration, text: String) -> Finding {
    Finding { wrong, at: point.arrived.saturating_sub(opened), position: point.position, text }
}
