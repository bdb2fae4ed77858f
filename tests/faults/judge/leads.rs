//! How far what is shown is ahead of the clock, and how far pictures are apart.

use std::time::Duration;

use super::walk::{Point, Walk};
use super::{Finding, Rules, Wrong, at_point};
use crate::tsview::{Kind, PCR_WRAP, PTS_WRAP, Packet, Pmt, View, ahead};

/// How much further than in the source, or less, it may be.
const OFF: i64 = 100 * 90;
/// Two PCRs further apart than they may be do not tell what time it was in between: something was waited for. It was no
/// earlier than the first of them.
const PCRS_APART: u64 = 27_000 * 100;
/// Pictures on either side that say how far they are apart here.
const NEIGHBOURS: usize = 12;

/// The least and the most that PTS are ahead of the PCR, in ticks of 90 kHz.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Range {
    least: i64,
    most: i64,
}

/// The same of pictures and of sound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Leads {
    video: Option<Range>,
    audio: Option<Range>,
}

fn both(a: Option<Range>, b: Option<Range>) -> Option<Range> {
    let (Some(first), Some(second)) = (a, b) else { return a.or(b) };
    Some(Range { least: first.least.min(second.least), most: first.most.max(second.most) })
}

impl Leads {
    /// What a stream has that is never interrupted.
    pub(crate) fn of(packets: &[Packet], programme: &Pmt) -> Leads {
        let points = |ticks: &dyn Fn(View<'_>) -> Option<u64>| -> Vec<Point> {
            let ticks_of = |(position, packet)| {
                Some(Point { position, arrived: Duration::ZERO, ticks: ticks(View(packet))? })
            };
            packets.iter().enumerate().filter_map(ticks_of).collect()
        };
        let pcrs = points(&|packet| packet.pcr());
        let of_kind = |kind: Kind| {
            let pid = programme.pid(kind)?;
            let shown = points(&|packet| packet.pes().filter(|_| packet.pid() == pid)?.pts);
            range(&pcrs, &shown)
        };
        Leads { video: of_kind(Kind::Video), audio: of_kind(Kind::Audio) }
    }

    /// By how much one of them may come later than another.
    pub(crate) fn spread(self) -> Duration {
        let ranges = || [self.video, self.audio].into_iter().flatten();
        let ends = ranges().map(|range| range.least).min().zip(ranges().map(|range| range.most).max());
        let ticks = ends.map_or(0, |(least, most)| most - least);
        Duration::from_millis(u64::try_from(ticks / 90).unwrap_or(0))
    }

    /// What has the one or the other.
    pub(crate) fn or(self, other: Leads) -> Leads {
        Leads { video: both(self.video, other.video), audio: both(self.audio, other.audio) }
    }

    fn of_kind(self, kind: Kind) -> Option<Range> {
        match kind {
            Kind::Video => self.video,
            Kind::Audio => self.audio,
            Kind::Other => None,
        }
    }
}

fn range(pcrs: &[Point], shown: &[Point]) -> Option<Range> {
    let leads = || shown.iter().filter_map(|point| lead(pcrs, point));
    Some(Range { least: leads().min()?, most: leads().max()? })
}

/// How far a PES packet is shown after the clock's time where it begins.
fn lead(pcrs: &[Point], point: &Point) -> Option<i64> {
    let next = pcrs.partition_point(|pcr| pcr.position <= point.position);
    let (before, after) = (pcrs.get(next.checked_sub(1)?)?, pcrs.get(next)?);
    let step = u64::try_from(ahead(before.ticks, after.ticks, PCR_WRAP)).ok()?;
    let part = (point.position - before.position) as u128;
    let since = u128::from(step) * part / (after.position - before.position) as u128;
    let since = if step > PCRS_APART { 0 } else { u64::try_from(since).ok()? };
    let clock = (before.ticks / 300 + since / 300) % PTS_WRAP;
    Some(ahead(clock, point.ticks, PTS_WRAP))
}

pub(super) fn check(walk: &Walk, rules: &Rules) -> Vec<Finding> {
    let mut findings = Vec::new();
    let off = OFF + i64::try_from(rules.late.as_micros() * 9 / 100).unwrap_or(i64::MAX / 2);
    for kind in [Kind::Video, Kind::Audio] {
        // Where nothing is known of the sources, nothing is shown before its clock all the same.
        let usual = rules.leads.and_then(|leads| leads.of_kind(kind));
        for point in &walk.shown_of(kind) {
            let Some(lead) = lead(&walk.pcrs, point) else { continue };
            let is_off = usual.is_some_and(|usual| lead < usual.least - off || lead > usual.most + off);
            if lead < 0 || is_off {
                let of_source = usual.map_or(String::new(), |usual| {
                    format!("; {} to {} ms is usual", usual.least / 90, usual.most / 90)
                });
                let text = format!("{kind:?} is shown {} ms after its clock{of_source}", lead / 90);
                findings.push(at_point(Wrong::Lead, point, walk.opened, text));
            }
        }
    }
    findings.extend(check_pictures(walk));
    findings
}

/// Whether two pictures are shown less than half as far apart as those around them.
fn check_pictures(walk: &Walk) -> Vec<Finding> {
    let shown = walk.shown_of(Kind::Video);
    let Some(first) = shown.first() else { return Vec::new() };
    // A recording is shorter than half of what the clock can count.
    let mut order: Vec<(i64, &Point)> =
        shown.iter().map(|point| (ahead(first.ticks, point.ticks, PTS_WRAP), point)).collect();
    order.sort_by_key(|(at, _)| *at);
    let steps: Vec<i64> = order.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    let mut findings = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let before = usual(&steps[index.saturating_sub(NEIGHBOURS)..index]);
        let after = usual(&steps[index + 1..(index + 1 + NEIGHBOURS).min(steps.len())]);
        let Some(usual) = before.into_iter().chain(after).min() else { continue };
        if step * 2 < usual {
            let text = format!(
                "two pictures are {}.{:02} ms apart; {} ms is usual",
                step / 90,
                step % 90 * 100 / 90,
                usual / 90
            );
            findings.push(at_point(Wrong::Crowded, order[index + 1].1, walk.opened, text));
        }
    }
    findings
}

fn usual(steps: &[i64]) -> Option<i64> {
    let mut steps = steps.to_vec();
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied()
}
