//! Compares what a viewer got with what was sent.

use std::fmt;

use crate::stream::{Lane, MakeUp, Parts, Programme, Unit, packets, parts, programmes};
use crate::tsview::{NULL_PID, PCR_WRAP, PTS_WRAP, Packet, View, ahead};

/// Distances stay what they are up to this, in milliseconds.
const DISTANCE_MS: f64 = 1.0;
/// The same for the clock of a stream of which something is lost on the way: where nothing was sent in a packet's place,
/// what is between two marks of the clock is told less well.
const LOSSY_CLOCK_MS: f64 = 20.0;
/// How many units are looked at to find the place where a recording begins.
const LOOK_AHEAD: usize = 8;
/// How many units may be missing in one piece and the rest still be found.
const RESYNC: usize = 400;
/// Findings of one kind after which further ones are only counted.
const SHOWN: usize = 4;
/// PIDs of tables that belong to every stream: PAT, CAT, NIT, SDT, EIT, TDT.
const TABLES: [u16; 8] = [0, 1, 0x10, 0x11, 0x12, 0x14, 0x1E, 0x1F];

/// What is compared how.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    /// The programme, where one is asked for.
    pub(crate) programme: Option<u16>,
    /// Packets in one round of a file that is played several times; where one ends and the next begins a unit of each
    /// stream may be torn.
    pub(crate) round: Option<usize>,
    /// Behind the source something else may follow.
    pub(crate) ends: bool,
    /// The source begins with an entry point, and the recording has to begin there.
    pub(crate) from_start: bool,
}

/// What can be wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Wrong {
    /// No recording, or none with a programme.
    Nothing,
    /// Asked for more than once, or ended.
    Session,
    /// Units that did not come.
    Missing,
    /// Units that were never sent.
    Extra,
    /// Units with other bytes.
    Changed,
    /// Distances between streams.
    Distance,
    /// The distance between streams and clock.
    Clock,
    /// Times of decoding that do not grow.
    Back,
    /// Counters.
    Continuity,
    /// Packets that belong to nothing.
    ForeignPid,
    /// What the PMT says.
    Table,
    /// Decoded pictures or sound.
    Frames,
    /// What the decoder says.
    Decoder,
}

/// How one stream came through.
#[derive(Clone, Debug)]
pub(crate) struct LaneReport {
    pub(crate) pid: u16,
    pub(crate) number: u8,
    pub(crate) expected: usize,
    pub(crate) right: usize,
}

/// The judgement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) lanes: Vec<LaneReport>,
    /// Where the recording begins, in packets of the source, and how many units of its first stream were before that.
    pub(crate) start: (usize, usize),
    /// The largest change of a distance between streams, and of one between a stream and the clock.
    pub(crate) distance_ms: f64,
    pub(crate) clock_ms: f64,
    pub(crate) findings: Vec<(Wrong, String)>,
    /// The source's units that must be there, and the recording's, for a decoder.
    pub(crate) expected: Vec<u8>,
    pub(crate) got: Vec<u8>,
}

impl Report {
    pub(crate) fn wrong(&mut self, wrong: Wrong, text: String) {
        self.findings.push((wrong, text));
    }

    /// Findings as lines, the first few of each kind.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut kinds: Vec<Wrong> = self.findings.iter().map(|(kind, _)| *kind).collect();
        kinds.sort();
        kinds.dedup();
        let mut lines = Vec::new();
        for kind in kinds {
            let texts: Vec<_> = self.findings.iter().filter(|(of, _)| *of == kind).collect();
            lines.extend(texts.iter().take(SHOWN).map(|(_, text)| format!("{kind:?}: {text}")));
            if texts.len() > SHOWN {
                lines.push(format!("{kind:?}: {} more", texts.len() - SHOWN));
            }
        }
        lines
    }
}

impl fmt::Display for LaneReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LaneReport { pid, number, expected, right } = self;
        write!(formatter, "{pid:#x}({number:#04x}) {right}/{expected}")
    }
}

/// A unit of the source and the recording's with the same bytes.
type Pair = (usize, usize);

/// Compares a recording with the source's bytes.
pub(crate) fn compare(source: &[u8], recording: &[u8], rules: Rules) -> Report {
    let mut report = Report::default();
    let (source, recording) = (packets(source), packets(recording));
    if recording.lost > 0 {
        report.wrong(Wrong::Continuity, format!("{} bytes belong to no packet", recording.lost));
    }
    let got = programmes(&recording.packets);
    let offered = programmes(&source.packets);
    if got.len() > 1 {
        report.wrong(Wrong::Table, format!("{} programmes", got.len()));
    }
    let Some(got) = got.first() else {
        report.wrong(Wrong::Nothing, "no programme".to_owned());
        return report;
    };
    let Some(wanted) = choose(&offered, got, rules.programme) else {
        report.wrong(Wrong::Nothing, format!("not a programme of the source: {}", got.number));
        return report;
    };
    let sent = parts(&source.packets, wanted, rules.round);
    let came = parts(&recording.packets, got, None);
    if !rules.ends {
        check_programme(&mut report, &sent, &came);
    }
    check_packets(&mut report, &came);
    let comparison = Comparison { sent: &sent, came: &came, rules };
    let pairs = comparison.pairs(&mut report);
    comparison.check_times(&pairs, &mut report);
    comparison.write(&pairs, &source.packets, &recording.packets, &mut report);
    report
}

/// The programme that was to come.
fn choose<'a>(offered: &'a [Programme], got: &Programme, asked: Option<u16>) -> Option<&'a Programme> {
    let pids = |programme: &Programme| -> Vec<u16> {
        let all = programme.make_ups.iter().flat_map(|(_, make_up)| &make_up.streams);
        all.map(|stream| stream.pid).collect()
    };
    let of_got = pids(got);
    let common = |programme: &&Programme| pids(programme).iter().filter(|pid| of_got.contains(pid)).count();
    let asked = asked.and_then(|asked| offered.iter().find(|programme| programme.number == asked));
    asked.or_else(|| offered.iter().rev().max_by_key(common)).filter(|found| common(found) > 0)
}

fn check_programme(report: &mut Report, sent: &Parts, came: &Parts) {
    let (before, after) = (&sent.programme, &came.programme);
    if before.number != after.number {
        report.wrong(Wrong::Table, format!("programme {} became {}", before.number, after.number));
    }
    // Where the source takes other PIDs for what is the same in kind, the first ones stay.
    let name = |pid: u16| sent.names.get(&pid).copied().unwrap_or(pid);
    let mut before: Vec<MakeUp> = before.make_ups.iter().map(|(_, make_up)| make_up.renamed(name)).collect();
    before.dedup();
    let after: Vec<MakeUp> = after.make_ups.iter().map(|(_, make_up)| make_up.clone()).collect();
    // The recording may begin behind a change.
    if !before.ends_with(&after) {
        report.wrong(Wrong::Table, format!("the PMT says {after:x?}, the source's {before:x?}"));
    }
}

fn check_packets(report: &mut Report, came: &Parts) {
    for (packet, pid, before, counter) in &came.breaks {
        report.wrong(Wrong::Continuity, format!("packet {packet}, PID {pid:#x}: {counter} after {before}"));
    }
    let programme = &came.programme;
    let is_named = |pid: u16| {
        TABLES.contains(&pid)
            || pid == NULL_PID
            || pid == programme.pmt_pid
            || programme.make_ups.iter().any(|(_, make_up)| {
                make_up.pcr_pid == pid || make_up.streams.iter().any(|stream| stream.pid == pid)
            })
    };
    for (pid, count) in came.counts.iter().filter(|(pid, _)| !is_named(**pid)) {
        report.wrong(Wrong::ForeignPid, format!("{count} packets of {pid:#x}"));
    }
}

struct Comparison<'a> {
    sent: &'a Parts,
    came: &'a Parts,
    rules: Rules,
}

impl Comparison<'_> {
    /// For each stream of the source: which unit came as which.
    fn pairs(&self, report: &mut Report) -> Vec<Vec<Pair>> {
        let main = self.main_lane();
        let start = main.and_then(|lane| {
            let came = self.lane_of(lane.pid)?;
            let first = find_start(&lane.units, &came.units, None)?;
            Some((
                lane.units[first].packet,
                first,
                lane.units[first].decoded_at(),
                came.units[0].decoded_at(),
            ))
        });
        let shift = start.and_then(|(_, _, sent, came)| Some(ahead(sent?, came?, PTS_WRAP)));
        if let Some((packet, unit, ..)) = start {
            report.start = (packet, unit);
            if self.rules.from_start && unit > 0 {
                report.wrong(Wrong::Missing, format!("the first {unit} units of the first stream"));
            }
        } else {
            report.wrong(Wrong::Nothing, "nothing of its first stream is in the source".to_owned());
        }
        let mut all = Vec::new();
        for lane in &self.sent.lanes {
            let nothing = Lane { pid: lane.pid, number: lane.number, units: Vec::new(), orphans: 0 };
            let came = self.lane_of(lane.pid).unwrap_or(&nothing);
            // What has begun by the start of the recording need not be there.
            let first_needed = lane.units.partition_point(|unit| unit.packet < report.start.0);
            let from = find_start(&lane.units, &came.units, shift).unwrap_or(first_needed).min(first_needed);
            let pairs = self.follow(lane, came, from, report);
            all.push(pairs);
        }
        all
    }

    /// The first stream of pictures, or else of anything.
    fn main_lane(&self) -> Option<&Lane> {
        const PICTURES: [u8; 8] = [0x01, 0x02, 0x10, 0x1B, 0x24, 0x33, 0x42, 0xD2];
        let has_come = |lane: &&Lane| self.lane_of(lane.pid).is_some_and(|came| !came.units.is_empty());
        let lanes = || self.sent.lanes.iter().filter(has_come);
        lanes()
            .find(|lane| PICTURES.contains(&lane.number))
            .or_else(|| lanes().max_by_key(|lane| lane.units.len()))
    }

    fn lane_of(&self, pid: u16) -> Option<&Lane> {
        self.came.lanes.iter().find(|lane| lane.pid == pid)
    }

    /// Goes through a stream and finds what came, what is missing, and what never was.
    fn follow(&self, lane: &Lane, came: &Lane, from: usize, report: &mut Report) -> Vec<Pair> {
        let (sent, got) = (&lane.units[..], &came.units[..]);
        let (mut i, mut j) = (from, 0);
        let mut pairs = Vec::new();
        let mut missing = 0;
        let name = lane.pid;
        while i < sent.len() && j < got.len() {
            if is_same(&sent[i], &got[j]) {
                if sent[i].head != got[j].head {
                    report.wrong(Wrong::Changed, format!("{name:#x}: the head of unit {i} is another"));
                }
                pairs.push((i, j));
                (i, j) = (i + 1, j + 1);
                continue;
            }
            let is_end = j + 1 == got.len();
            if is_end && sent[i].body.starts_with(&got[j].body) {
                // Torn by the viewer's leaving.
                j += 1;
                break;
            }
            match resync(&sent[i..], &got[j..]) {
                Some((0, extra)) => {
                    report.wrong(
                        Wrong::Extra,
                        format!("{name:#x}: {extra} units before unit {i} were never sent"),
                    );
                    j += extra;
                }
                Some((gone, other)) => {
                    let lost = (i..i + gone).filter(|index| !self.may_miss(lane, *index)).count();
                    if lost > 0 {
                        let kind = if other == gone { Wrong::Changed } else { Wrong::Missing };
                        let at = sent[i].packet;
                        report.wrong(
                            kind,
                            format!("{name:#x}: {lost} units from unit {i} (packet {at}) on, {other} others"),
                        );
                    }
                    missing += lost;
                    (i, j) = (i + gone, j + other);
                }
                None => break,
            }
        }
        if j < got.len() && !(self.rules.ends && i + 1 >= sent.len()) {
            let rest = got.len() - j;
            report.wrong(Wrong::Extra, format!("{name:#x}: {rest} units at the end are not what was sent"));
        }
        let needed = self.needed(lane).max(i);
        let lost = (i..needed).filter(|index| !self.may_miss(lane, *index)).count();
        if lost > 0 {
            let at = sent[i].packet;
            report.wrong(
                Wrong::Missing,
                format!("{name:#x}: the last {lost} units, from unit {i} (packet {at}) on"),
            );
        }
        report.lanes.push(LaneReport {
            pid: lane.pid,
            number: lane.number,
            expected: pairs.len() + missing + lost,
            right: pairs.len(),
        });
        pairs
    }

    /// How many units of a stream must have come when the source falls silent or ends.
    ///
    /// The last one may go on as long as nothing says that it has ended. While the connection stays, what was sent behind
    /// the beginning of such a unit of any stream waits for it, and so does what has begun before and ends behind it.
    fn needed(&self, lane: &Lane) -> usize {
        let open = |lane: &Lane| lane.units.last().filter(|unit| !unit.is_whole).map(|unit| unit.packet);
        if self.rules.ends {
            return lane.units.partition_point(|unit| open(lane).is_none_or(|torn| unit.packet < torn));
        }
        let mut torn = self.sent.lanes.iter().filter_map(open).min();
        loop {
            let waits = |unit: &&Unit| unit.packets.last().zip(torn).is_some_and(|(last, torn)| *last > torn);
            let waiting = self.sent.lanes.iter().flat_map(|lane| &lane.units).filter(waits);
            let earlier =
                waiting.map(|unit| unit.packet).min().filter(|begin| torn.is_none_or(|torn| *begin < torn));
            match earlier {
                Some(earlier) => torn = Some(earlier),
                None => return lane.units.partition_point(|unit| torn.is_none_or(|torn| unit.packet < torn)),
            }
        }
    }

    /// What the source itself has damaged need not come, nor what is torn where the file begins again.
    fn may_miss(&self, lane: &Lane, index: usize) -> bool {
        let unit = &lane.units[index];
        let is_torn = self.rules.round.is_some_and(|round| {
            let next = lane.units.get(index + 1).map_or(usize::MAX, |next| next.packet);
            unit.packet / round != next / round
        });
        unit.is_damaged || is_torn
    }

    fn check_times(&self, pairs: &[Vec<Pair>], report: &mut Report) {
        let main = self.main_lane().map(|lane| lane.pid);
        let is_lossy = self.sent.lanes.iter().flat_map(|lane| &lane.units).any(|unit| unit.is_damaged);
        let clock_limit = if is_lossy { LOSSY_CLOCK_MS } else { DISTANCE_MS };
        let mut references: Vec<Option<i64>> = Vec::new();
        let by_lane = || self.sent.lanes.iter().zip(pairs);
        // The main stream tells how far each run was moved.
        let main_first = by_lane().filter(|(lane, _)| Some(lane.pid) == main);
        for (lane, pairs) in main_first.chain(by_lane().filter(|(lane, _)| Some(lane.pid) != main)) {
            let Some(came) = self.lane_of(lane.pid) else { continue };
            let mut last: Option<u64> = None;
            for &(sent, got) in pairs {
                let (unit, other) = (&lane.units[sent], &came.units[got]);
                let name = format!("{:#x} unit {sent} (packet {})", lane.pid, unit.packet);
                references.resize(references.len().max(unit.run + 1), None);
                for (before, after) in [(unit.pts, other.pts), (unit.dts, other.dts)] {
                    let (Some(before), Some(after)) = (before, after) else {
                        if before.is_some() != after.is_some() {
                            report.wrong(Wrong::Changed, format!("{name}: a time stamp came or went"));
                        }
                        continue;
                    };
                    let moved = ahead(before, after, PTS_WRAP);
                    let reference = *references[unit.run].get_or_insert(moved);
                    let off = millis(modular(moved - reference, PTS_WRAP), 90);
                    report.distance_ms = larger(report.distance_ms, off);
                    if off.abs() > DISTANCE_MS {
                        report.wrong(Wrong::Distance, format!("{name}: {off:+.1} ms"));
                    }
                }
                if let (Some(at), Some(before)) = (other.decoded_at(), last) {
                    let step = ahead(before, at, PTS_WRAP);
                    let source = sent.checked_sub(1).and_then(|index| lane.units[index].decoded_at());
                    let own = source.and_then(|own| Some(ahead(own, unit.decoded_at()?, PTS_WRAP)));
                    let is_own = own.is_some_and(|own| own <= 0 && own == step);
                    if step <= 0 && !is_own {
                        report.wrong(
                            Wrong::Back,
                            format!("{name}: {:+.1} ms after the one before", millis(step, 90)),
                        );
                    }
                }
                last = other.decoded_at().or(last);
                let far = |unit: &Unit| Some(ahead(unit.clock?, unit.pts.or(unit.dts)? * 300, PCR_WRAP));
                if let (Some(before), Some(after), false) = (far(unit), far(other), self.rules.ends) {
                    let off = millis(after - before, 27_000);
                    report.clock_ms = larger(report.clock_ms, off);
                    if off.abs() > clock_limit {
                        let own = millis(before, 27_000);
                        report.wrong(
                            Wrong::Clock,
                            format!("{name}: {off:+.1} ms from the clock; it was {own:.1}"),
                        );
                    }
                }
            }
        }
    }

    /// Cuts both down to the units that are compared, for a decoder.
    fn write(&self, pairs: &[Vec<Pair>], source: &[Packet], recording: &[Packet], report: &mut Report) {
        let mut sent = vec![false; source.len()];
        let mut came = vec![false; recording.len()];
        for (lane, pairs) in self.sent.lanes.iter().zip(pairs) {
            let (Some(first), Some(last)) = (pairs.first(), pairs.last()) else { continue };
            let Some(other) = self.lane_of(lane.pid) else { continue };
            // What is damaged and did not come says nothing about what did.
            let has_come = |index: usize| pairs.binary_search_by_key(&index, |pair| pair.0).is_ok();
            let needed = |index: &usize| has_come(*index) || !self.may_miss(lane, *index);
            keep(&mut sent, (first.0..=last.0).filter(needed).map(|index| &lane.units[index]));
            // Nor does what came of it.
            let is_damaged = lane.units[first.0..=last.0].iter().any(|unit| unit.is_damaged);
            let was_sent = |index: usize| pairs.binary_search_by_key(&index, |pair| pair.1).is_ok();
            let counts = |index: &usize| !is_damaged || was_sent(*index);
            keep(&mut came, (first.1..=last.1).filter(counts).map(|index| &other.units[index]));
        }
        report.expected = written(source, &sent, self.sent, report.start.0);
        report.got = written(recording, &came, self.came, 0);
    }
}

fn keep<'a>(kept: &mut [bool], units: impl Iterator<Item = &'a Unit>) {
    for packet in units.flat_map(|unit| &unit.packets) {
        kept[*packet] = true;
    }
}

/// The packets that are kept, with the clocks between them. The last tables before `start` come first.
fn written(packets: &[Packet], kept: &[bool], parts: &Parts, start: usize) -> Vec<u8> {
    let first = kept.iter().position(|kept| *kept).unwrap_or(0).min(start);
    let last = kept.iter().rposition(|kept| *kept).unwrap_or(0);
    let mut bytes = Vec::new();
    for table in [0, parts.programme.pmt_pid] {
        let begins = |packet: &&Packet| View(packet).pid() == table && View(packet).starts();
        let before = packets[..first].iter().rfind(begins).or_else(|| packets.iter().find(begins));
        bytes.extend_from_slice(before.map_or(&[][..], |packet| &packet[..]));
    }
    let clocks: Vec<u16> = parts.programme.make_ups.iter().map(|(_, make_up)| make_up.pcr_pid).collect();
    for (index, packet) in packets.iter().enumerate().take(last + 1).skip(first) {
        let view = View(packet);
        let is_clock = clocks.contains(&view.pid()) && view.pcr().is_some() && !view.has_payload();
        if kept[index] || is_clock {
            let mut packet = *packet;
            let [high, low] = parts.names.get(&view.pid()).copied().unwrap_or(view.pid()).to_be_bytes();
            packet[1] = packet[1] & 0xE0 | high;
            packet[2] = low;
            bytes.extend_from_slice(&packet);
        }
    }
    bytes
}

fn is_same(sent: &Unit, came: &Unit) -> bool {
    sent.body == came.body
}

/// Where in the source a recording begins: where most of its first units are, and of several such places the one whose
/// times were moved by about `shift`.
fn find_start(sent: &[Unit], came: &[Unit], shift: Option<i64>) -> Option<usize> {
    let first = came.first()?;
    let score = |from: usize| {
        let pairs = sent[from..].iter().zip(came).take(LOOK_AHEAD);
        pairs.filter(|(sent, came)| is_same(sent, came)).count()
    };
    let off = |from: usize| {
        let moved = sent[from]
            .decoded_at()
            .zip(first.decoded_at())
            .map(|(before, after)| ahead(before, after, PTS_WRAP));
        moved.zip(shift).map_or(0, |(moved, shift)| modular(moved - shift, PTS_WRAP).abs())
    };
    let places = (0..sent.len()).filter(|from| score(*from) > 0);
    places.max_by_key(|from| (score(*from), std::cmp::Reverse(off(*from)), std::cmp::Reverse(*from)))
}

/// How many units of either have to be left out so that they are the same again.
fn resync(sent: &[Unit], came: &[Unit]) -> Option<(usize, usize)> {
    for total in 1..RESYNC {
        for gone in (0..=total).rev() {
            let other = total - gone;
            let (Some(a), Some(b)) = (sent.get(gone), came.get(other)) else { continue };
            let is_next_same = match (sent.get(gone + 1), came.get(other + 1)) {
                (Some(a), Some(b)) => is_same(a, b) || other + 2 >= came.len(),
                (None, _) | (_, None) => true,
            };
            if is_same(a, b) && is_next_same {
                return Some((gone, other));
            }
        }
    }
    None
}

/// A difference on a clock that starts again at `wrap`, the short way round.
fn modular(difference: i64, wrap: u64) -> i64 {
    let wrap = i64::try_from(wrap).expect("both clocks have less than 63 bits");
    let forward = difference.rem_euclid(wrap);
    if forward < wrap / 2 { forward } else { forward - wrap }
}

#[expect(clippy::cast_precision_loss, reason = "a time to be read by people")]
fn millis(ticks: i64, per_ms: i64) -> f64 {
    ticks as f64 / per_ms as f64
}

fn larger(largest: f64, value: f64) -> f64 {
    if value.abs() > largest.abs() { value } else { largest }
}
