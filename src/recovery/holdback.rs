//! Which bytes of a run may be shown: whole access units only, so that a source that dies in the middle of a picture
//! leaves no torn one.

use std::collections::VecDeque;

use crate::base::limits::PACKET_BYTES;
use crate::ts::psi::{Programme, STREAMS_MAX};
use crate::ts::{AdaptationField, ContinuityCounter, Packet, PacketBytes, Pcr, Pid, StreamKind};

/// The most bytes that are held back.
pub const HELD_BYTES_MAX: u64 = 512 * 1024;
/// The most time, by the source's clock, that is held back: half a second.
const HELD_TICKS_MAX: i64 = 13_500_000;
/// Samples of the clock closer together than this are left out.
const SAMPLE_TICKS: i64 = 540_000;
/// Samples that cover more than is ever held back.
const SAMPLES_MAX: usize = 32;

const _: () = assert!(HELD_TICKS_MAX / SAMPLE_TICKS < 30 && SAMPLES_MAX >= 32);

/// Bytes of a PES packet up to and with its length.
const PREFIX_BYTES: u32 = 6;

/// So many whole units wait for one that does not come before they are let go.
const WHOLE_UNITS_MIN: u32 = 4;

/// Not a stream of the programme.
const NO_LANE: u8 = 0xFF;
const _: () = assert!(STREAMS_MAX < NO_LANE as usize);

/// What is left of the current PES packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rest {
    /// This many bytes.
    Bytes(u32),
    /// It ends where the next one starts.
    Unknown,
}

/// A PES packet that has not ended.
#[derive(Clone, Copy, Debug)]
struct Open {
    start: u64,
    rest: Rest,
    /// Packets of it are missing.
    torn: bool,
}

/// A PES packet that misses packets and the packet behind it that tells: they are let go together.
#[derive(Clone, Copy, Debug)]
struct Tear {
    from: u64,
    until: u64,
}

/// Packets that nobody is to see: what came of a PES packet whose rest does not come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Condemned {
    /// Of this stream.
    pub pid: Pid,
    /// From this position of the run on.
    pub from: u64,
    /// Up to this position; `None` until the stream's next PES packet begins.
    pub until: Option<u64>,
}

/// How regularly the PES packets of a stream begin, by the source's clock.
#[derive(Clone, Copy, Default, Debug)]
struct Cadence {
    last: Option<Pcr>,
    /// The longest of the latest distances; it wears off.
    ticks: i64,
    seen: u8,
}

/// Distances after which a stream is known.
const CADENCE_SEEN_MIN: u8 = 8;
/// A PES packet that lasts this many times as long as its stream's usual one is not going on.
const STUCK_AFTER: i64 = 4;

impl Cadence {
    fn begins(&mut self, now: Option<Pcr>) {
        let ticks = now.zip(self.last).map_or(0, |(now, last)| now.since(last));
        self.last = now;
        if (1..=HELD_TICKS_MAX).contains(&ticks) {
            self.ticks = ticks.max(self.ticks - self.ticks / 16);
            self.seen = self.seen.saturating_add(1);
        }
    }

    /// True when what has been going on for this long does not go on.
    fn is_stuck(self, ticks: i64) -> bool {
        self.seen >= CADENCE_SEEN_MIN && ticks > self.ticks.saturating_mul(STUCK_AFTER)
    }
}

#[derive(Debug)]
struct Lane {
    pid: Pid,
    video: bool,
    cadence: Cadence,
    /// Where its last packet was.
    last_at: u64,
    open: Option<Open>,
    tear: Option<Tear>,
    counter: Option<ContinuityCounter>,
}

/// Follows the packets of one run.
pub struct Holdback {
    table: Box<[u8; Pid::COUNT]>,
    lanes: Vec<Lane>,
    pcr_pid: Option<Pid>,
    /// The end of the last packet.
    position: u64,
    releasable: u64,
    /// Nothing is held back before the first picture is whole.
    at_once: bool,
    /// Position and clock, oldest first; the first one is not behind what is held back.
    samples: VecDeque<(u64, Pcr)>,
    last_pcr: Option<Pcr>,
    condemned: Vec<Condemned>,
    /// PES packets that have come whole since something could last be shown.
    whole_units: u32,
}

impl Holdback {
    /// For a run that begins. `at_once` says that nothing is to be held back before the first picture is whole: the first
    /// viewer's first byte need not wait for a key picture.
    #[must_use]
    pub fn new(at_once: bool) -> Self {
        Self {
            table: Box::new([NO_LANE; Pid::COUNT]),
            lanes: Vec::with_capacity(STREAMS_MAX),
            pcr_pid: None,
            position: 0,
            releasable: 0,
            at_once,
            samples: VecDeque::with_capacity(SAMPLES_MAX),
            last_pcr: None,
            condemned: Vec::new(),
            whole_units: 0,
        }
    }

    /// What of the bytes that may be shown is not to be: by far the most time nothing.
    #[must_use]
    pub fn condemned(&self) -> &[Condemned] {
        &self.condemned
    }

    /// What lies before this position has been shown.
    pub fn shown(&mut self, position: u64) {
        self.condemned.retain(|condemned| condemned.until.is_none_or(|until| until > position));
    }

    /// The run's programme is this from here on. Until one is known nothing is held back; while none is known any more
    /// the last one holds.
    pub fn set_programme(&mut self, programme: Option<&Programme>) {
        if programme.is_none() && !self.lanes.is_empty() {
            return;
        }
        self.table.fill(NO_LANE);
        let mut before = std::mem::take(&mut self.lanes);
        let streams = programme.iter().flat_map(|programme| programme.pmt.streams());
        for stream in streams.filter(|stream| stream.kind() != StreamKind::Other) {
            let known = before.iter().position(|lane| lane.pid == stream.pid);
            let lane = match known {
                Some(index) => before.swap_remove(index),
                None => Lane {
                    pid: stream.pid,
                    video: false,
                    cadence: Cadence::default(),
                    last_at: self.position,
                    open: None,
                    tear: None,
                    counter: None,
                },
            };
            self.table[stream.pid.index()] = u8::try_from(self.lanes.len()).unwrap_or(NO_LANE);
            self.lanes.push(Lane { video: stream.kind() == StreamKind::Video, ..lane });
        }
        // What is no stream any more does not go on in the middle of a picture.
        for (pid, open) in before.iter().filter_map(|lane| Some((lane.pid, lane.open?))) {
            let until = Some(self.position);
            self.condemned.push(Condemned { pid, from: open.start, until });
        }
        let pcr_pid = programme.and_then(|programme| programme.pmt.pcr_pid);
        if pcr_pid != self.pcr_pid {
            self.pcr_pid = pcr_pid;
            self.samples.clear();
            self.last_pcr = None;
        }
        if programme.is_some() && !self.lanes.iter().any(|lane| lane.video) {
            self.at_once = false;
        }
        self.advance();
    }

    /// Takes the run's next packet.
    pub fn packet(&mut self, bytes: &PacketBytes) {
        let start = self.position;
        self.position += PACKET_BYTES as u64;
        if let Ok(packet) = Packet::parse(bytes)
            && !packet.transport_error_indicator()
        {
            if Some(packet.pid()) == self.pcr_pid
                && let Some(pcr) = packet.adaptation_field().and_then(AdaptationField::pcr)
            {
                self.sample(start, pcr);
            }
            let index = usize::from(self.table[packet.pid().index()]);
            if let (Some(lane), Some(payload)) = (self.lanes.get_mut(index), packet.payload()) {
                let starts = packet.payload_unit_start_indicator();
                lane.last_at = start;
                if starts {
                    lane.cadence.begins(self.last_pcr);
                    for condemned in &mut self.condemned {
                        if condemned.pid == lane.pid && condemned.until.is_none() {
                            condemned.until = Some(start);
                        }
                    }
                }
                if lane.follows(packet.continuity_counter()) {
                    let is_torn = lane.open.is_some_and(|open| open.torn);
                    let has_ended = lane.take(start, starts, payload);
                    self.whole_units += u32::from(has_ended && !is_torn);
                    self.at_once &= !(has_ended && lane.video);
                }
            }
        }
        self.advance();
    }

    /// Bytes from the run's start that may be shown. Never less than before.
    #[must_use]
    pub const fn releasable(&self) -> u64 {
        self.releasable
    }

    /// What is held back has been for too long in real time, which the source's clock does not tell when it comes with
    /// the stream that is missing. Where nothing else is whole either, nobody waits for anything.
    pub fn let_go(&mut self) {
        if self.whole_units >= WHOLE_UNITS_MIN {
            self.hold_nothing(HELD_TICKS_MAX);
        }
    }

    /// Everything may be shown but what does not go on: what has been held for `ticks`, longer than its stream usually
    /// needs, or behind which much else has come.
    fn hold_nothing(&mut self, ticks: i64) {
        let mut condemned = Vec::new();
        for lane in &mut self.lanes {
            let is_quiet = self.position - lane.last_at >= HELD_BYTES_MAX / 2;
            if let Some(open) = lane.open.filter(|_| is_quiet || lane.cadence.is_stuck(ticks)) {
                condemned.push((lane.pid, open.start));
            }
            lane.open = None;
            lane.tear = None;
        }
        for (pid, from) in condemned {
            self.condemn(pid, from);
        }
        self.samples.clear();
        self.releasable = self.position;
        self.whole_units = 0;
    }

    fn sample(&mut self, position: u64, pcr: Pcr) {
        self.last_pcr = Some(pcr);
        let far = self.samples.back().map(|(_, last)| pcr.since(*last));
        // A clock that steps back or jumps is another one.
        if far.is_some_and(|ticks| !(0..=HELD_TICKS_MAX).contains(&ticks)) {
            self.samples.clear();
        }
        if self.samples.back().is_none_or(|(_, last)| pcr.since(*last) >= SAMPLE_TICKS) {
            if self.samples.len() == SAMPLES_MAX {
                self.samples.pop_front();
            }
            self.samples.push_back((position, pcr));
        }
    }

    /// The time, by the source's clock, since a position.
    fn held_ticks(&mut self, from: u64) -> i64 {
        while self.samples.get(1).is_some_and(|(position, _)| *position <= from) {
            self.samples.pop_front();
        }
        match (self.samples.front(), self.last_pcr) {
            (Some((_, first)), Some(last)) => last.since(*first),
            _ => 0,
        }
    }

    fn condemn(&mut self, pid: Pid, from: u64) {
        self.condemned.retain(|condemned| condemned.pid != pid || condemned.until.is_some());
        self.condemned.push(Condemned { pid, from, until: None });
    }

    fn advance(&mut self) {
        let open = self.lanes.iter().filter_map(|lane| lane.open).map(|open| open.start).min();
        let mut whole = open.unwrap_or(self.position);
        // Stepping back before one tear may step into another, each at most once.
        for _ in 0..self.lanes.len() {
            let inside = |tear: &Tear| tear.from < whole && whole <= tear.until;
            let Some(tear) = self.lanes.iter().filter_map(|lane| lane.tear).find(inside) else { break };
            whole = tear.from;
        }
        let too_much = self.position - whole > HELD_BYTES_MAX || self.held_ticks(whole) > HELD_TICKS_MAX;
        if self.at_once {
            self.releasable = self.position;
        } else if too_much {
            let ticks = self.held_ticks(whole);
            self.hold_nothing(ticks);
        } else {
            // What was let go stays so: a unit may have begun before its stream was known.
            if whole > self.releasable {
                self.releasable = whole;
                self.whole_units = 0;
            }
        }
    }
}

impl Lane {
    /// False for a repetition.
    fn follows(&mut self, counter: ContinuityCounter) -> bool {
        let Some(last) = self.counter.replace(counter) else { return true };
        if let Some(open) = &mut self.open {
            open.torn |= counter != last && counter != last.next();
        }
        counter != last
    }

    /// Takes a payload. True when a PES packet has ended, with this packet or before it.
    fn take(&mut self, position: u64, starts: bool, payload: &[u8]) -> bool {
        let bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        if starts {
            let ended = self.open.is_some();
            let rest = match payload {
                [0, 0, 1, _, high, low, ..] if [*high, *low] != [0, 0] => {
                    let whole = PREFIX_BYTES + u32::from(u16::from_be_bytes([*high, *low]));
                    Rest::Bytes(whole.saturating_sub(bytes))
                }
                _ => Rest::Unknown,
            };
            if let Some(torn) = self.open.filter(|open| open.torn || open.rest != Rest::Unknown) {
                let from =
                    self.tear.filter(|tear| tear.until >= torn.start).map_or(torn.start, |tear| tear.from);
                self.tear = Some(Tear { from, until: position });
            }
            self.open = (rest != Rest::Bytes(0)).then_some(Open { start: position, rest, torn: false });
            return ended || self.open.is_none();
        }
        let Some(Open { rest: Rest::Bytes(left), .. }) = &mut self.open else { return false };
        *left = left.saturating_sub(bytes);
        let ended = *left == 0;
        if ended {
            self.open = None;
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::psi::{Pmt, Section};
    use crate::ts::testing::{Fields, Stream, pes, pmt};

    const VIDEO: Fields = Fields { pid: 0x100, ..Fields::NONE };
    const AUDIO: Fields = Fields { pid: 0x101, ..Fields::NONE };

    fn programme(stream_types: &[u8]) -> Programme {
        let section = pmt(0, stream_types);
        Programme {
            transport_stream_id: 1,
            pat_version: 0,
            alone: true,
            pmt_pid: Pid::new(0x1000).unwrap(),
            pmt: Pmt::parse(Section::parse(&section).unwrap()).unwrap(),
        }
    }

    /// A PES packet that says how long it is.
    fn bounded(data: usize) -> Vec<u8> {
        let mut bytes = pes(0xC0, None, &vec![7; data]);
        let length = u16::try_from(bytes.len() - 6).unwrap();
        bytes[4..6].copy_from_slice(&length.to_be_bytes());
        bytes
    }

    /// How many packets may be shown after each.
    fn released(holdback: &mut Holdback, stream: &Stream) -> Vec<u64> {
        stream
            .packets
            .iter()
            .map(|packet| {
                holdback.packet(packet);
                holdback.releasable() / 188
            })
            .collect()
    }

    #[test]
    fn a_picture_leaves_when_the_next_one_begins_and_sound_when_it_has_its_length() {
        let mut stream = Stream::default();
        stream.push_pes(VIDEO, &pes(0xE0, None, &[1; 300]), 184);
        stream.push_pes(AUDIO, &bounded(300), 184);
        stream.push_pes(VIDEO, &pes(0xE0, None, &[1; 10]), 184);
        stream.push_pes(AUDIO, &bounded(300), 184);
        stream.push_pes(VIDEO, &pes(0xE0, None, &[1; 10]), 184);
        for (stream_types, at_once, expected) in [
            (&[0x1B, 0x0F][..], false, [0, 0, 0, 0, 4, 4, 4, 7]),
            (&[0x1B, 0x0F], true, [1, 2, 3, 4, 4, 4, 4, 7]),
            (&[0x0F], true, [0, 0, 0, 0, 4, 4, 4, 7]),
            (&[0x06, 0x0F], true, [1, 2, 2, 4, 5, 5, 7, 8]),
            (&[0x06], false, [1, 2, 3, 4, 5, 6, 7, 8]),
        ] {
            let mut holdback = Holdback::new(at_once);
            holdback.set_programme(Some(&programme(stream_types)));
            assert_eq!(released(&mut holdback, &stream), expected, "{stream_types:x?}, at once: {at_once}");
        }
        assert_eq!(released(&mut Holdback::new(false), &stream), [1, 2, 3, 4, 5, 6, 7, 8], "no programme");
    }

    #[test]
    fn a_torn_unit_leaves_together_with_the_packet_that_tells() {
        let mut stream = Stream::default();
        stream.push_pes(AUDIO, &bounded(300), 184);
        stream.push_pes(AUDIO, &bounded(300), 184);
        stream.push_pes(AUDIO, &bounded(300), 184);
        stream.packets.remove(1);
        let mut holdback = Holdback::new(false);
        holdback.set_programme(Some(&programme(&[0x06, 0x0F])));
        assert_eq!(released(&mut holdback, &stream), [0, 0, 3, 3, 5]);
    }

    #[test]
    fn no_more_is_held_back_than_half_a_second_by_the_clock() {
        let mut stream = Stream::default();
        for tenths in 0..8 {
            let pcr = Some(Pcr::from_ticks(Pcr::MODULUS - 2_700_000 + tenths * 2_700_000));
            stream.push(Fields { unit_start: tenths == 0, pcr, ..VIDEO }, &[0, 0, 1, 0xE0, 0, 0, 9]);
        }
        let mut holdback = Holdback::new(false);
        holdback.set_programme(Some(&programme(&[0x1B])));
        assert_eq!(released(&mut holdback, &stream), [0, 0, 0, 0, 0, 0, 7, 8]);
    }

    #[test]
    fn what_is_let_go_may_be_shown_with_all_that_follows_until_the_next_picture() {
        let mut stream = Stream::default();
        stream.push_pes(VIDEO, &pes(0xE0, None, &[1; 300]), 184);
        for _ in 0..WHOLE_UNITS_MIN {
            stream.push_pes(AUDIO, &bounded(10), 184);
        }
        let mut holdback = Holdback::new(false);
        holdback.set_programme(Some(&programme(&[0x1B, 0x0F])));
        assert_eq!(released(&mut holdback, &stream), [0; 6]);
        holdback.let_go();
        assert_eq!(holdback.releasable(), 6 * 188);
        stream.packets.clear();
        stream.push_pes(AUDIO, &bounded(10), 184);
        stream.push_pes(VIDEO, &pes(0xE0, None, &[1; 10]), 184);
        assert_eq!(released(&mut holdback, &stream), [7, 7]);
    }

    #[test]
    fn where_nothing_becomes_whole_nothing_is_let_go() {
        let mut stream = Stream::default();
        stream.push_pes(VIDEO, &pes(0xE0, None, &[1; 300]), 184);
        stream.push_pes(AUDIO, &bounded(10), 184);
        let mut holdback = Holdback::new(false);
        holdback.set_programme(Some(&programme(&[0x1B, 0x0F])));
        assert_eq!(released(&mut holdback, &stream), [0, 0, 0]);
        holdback.let_go();
        assert_eq!(holdback.releasable(), 0);
    }

    #[test]
    fn no_more_is_held_back_than_its_bytes() {
        let mut stream = Stream::default();
        stream.push_pes(VIDEO, &pes(0xE0, None, &vec![1; 600_000]), 184);
        let mut holdback = Holdback::new(false);
        holdback.set_programme(Some(&programme(&[0x1B])));
        let released = released(&mut holdback, &stream);
        let held = HELD_BYTES_MAX / 188;
        for (packets, released) in (1..).zip(released) {
            assert_eq!(released, if packets <= held { 0 } else { packets }, "after {packets} packets");
        }
    }

    #[test]
    fn what_was_let_go_is_not_taken_back() {
        let mut stream = Stream::default();
        stream.push_pes(VIDEO, &pes(0xE0, None, &[1; 500]), 184);
        let mut holdback = Holdback::new(false);
        holdback.packet(&stream.packets[0]);
        holdback.set_programme(Some(&programme(&[0x1B])));
        holdback.packet(&stream.packets[1]);
        assert_eq!(holdback.releasable(), 2 * 188);
        holdback.set_programme(None);
        assert_eq!(holdback.releasable(), 2 * 188);
    }

    #[test]
    fn a_picture_of_a_stream_that_is_gone_is_condemned_and_a_missing_table_says_nothing() {
        let mut stream = Stream::default();
        stream.push_pes(VIDEO, &pes(0xE0, None, &[1; 300]), 184);
        stream.push_pes(VIDEO, &pes(0xE0, None, &[1; 300]), 184);
        let mut holdback = Holdback::new(false);
        holdback.set_programme(Some(&programme(&[0x1B, 0x0F])));
        let shown = released(&mut holdback, &stream).pop().unwrap();
        holdback.set_programme(None);
        assert_eq!((holdback.releasable() / 188, holdback.condemned()), (shown, &[][..]));
        holdback.set_programme(Some(&programme(&[])));
        let condemned =
            Condemned { pid: Pid::new(0x100).unwrap(), from: shown * 188, until: Some(holdback.position) };
        assert_eq!(holdback.condemned(), [condemned]);
        holdback.shown(holdback.position);
        assert_eq!(holdback.condemned(), []);
        assert_eq!(holdback.releasable(), holdback.position);
    }
}
