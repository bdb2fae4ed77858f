//! Which bytes of a run may be shown: whole access units only, so that a source that dies in the middle of a picture
//! leaves no torn one.
//!
//! What comes behind the beginning of a PES packet waits for its end. How long that may take is for the stream to say: a
//! picture of 4 MB is as healthy as one of 4 kB. Nothing is ever taken from a PES packet of which more comes:
//!
//! | it | then |
//! |---|---|
//! | comes whole | it leaves, with all that has waited for it |
//! | goes on for longer than is worth waiting for | it leaves as it comes, and so do those of its stream while they are so long |
//! | does not go on, and nothing says that it should | it is taken for whole |
//! | does not go on and should | what else there is leaves, and it waits: it leaves when more of it comes |
//! | has not gone on when its stream is gone | it is shown to nobody |
//! | goes on with bytes missing | it leaves with the packet that tells; where the run ends before that, it is shown to nobody |
//!
//! Where a new time base begins (a file that begins again, an advertisement) all waits until each stream has come to it: only then is it
//! known how far sound and pictures reach on both sides.

use std::time::Duration;

use crate::base::limits::PACKET_BYTES;
use crate::ts::psi::{Programme, STREAMS_MAX};
use crate::ts::{
    AdaptationField, ContinuityCounter, NULL_PACKET, Packet, PacketBytes, PacketMut, PayloadDigest, Pcr,
    PesRest, PesTimes, Pid, PidTable, PlainRun, Pts, StreamKind,
};

/// The most bytes that are held back: key pictures of UHD have 2 to 5 MB. They lie in the ring; one that is small beside that has
/// a smaller bound, see [`Holdback::new`].
pub const HELD_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// What is held back of most streams.
pub const HELD_BYTES_USUAL: u64 = 512 * 1024;

/// Ticks of the source's clock, and of the time in which bytes come.
const fn millis(millis: i64) -> i64 {
    27_000 * millis
}

/// What a picture is waited for: decoders need it whole, whenever that is.
const PICTURE_TICKS_MAX: i64 = millis(2000);
/// What sound is waited for. Its frames are of use one by one, and pictures wait with it.
const SOUND_TICKS_MAX: i64 = millis(500);
/// Further apart two samples are of two clocks, or of one that tells no time.
const CLOCK_STEP_MAX: i64 = millis(500);
/// Of what nothing has come for this long, and of which nothing more need come, nothing more comes.
const ENDED_AFTER: i64 = millis(100);
/// Of what something has come within this time, more comes.
const GOES_ON_WITHIN: i64 = millis(250);
/// Of what nothing has come for this long, nothing comes for now.
const STUCK_AFTER: i64 = millis(500);
/// Nor when its stream has been silent for this many times as long as it usually is at most.
const STUCK_AFTER_CADENCES: i64 = 4;
/// Of what nothing has come for this long, nothing comes ever.
const GONE_AFTER: i64 = millis(10_000);

/// Times that advance by this more than time are of another time base.
const JUMP_TICKS: i64 = millis(1000);
/// A clock that steps back by no more is the same clock.
const SLIP_TICKS_MAX: i64 = millis(100);
/// Pictures that only say when they are shown step back by no more.
const REORDERED_TICKS_MAX: i64 = millis(1000);
/// And mostly by no more: where the others have come to a new time base, what steps back further has come to it.
const REORDERED_TICKS_USUAL: i64 = millis(250);
/// Streams are decoded no longer than this behind their clock.
const LEAD_TICKS_MAX: i64 = millis(10_000);
/// The streams of a new time base are waited for as long as this.
const JOINT_TICKS_MAX: i64 = millis(1200);
/// A stream of which nothing has come for this long is not waited for.
const SILENT_AFTER: i64 = millis(1500);

/// Tears that have not been let go.
const TEARS_MAX: usize = 16;

/// So many whole units wait for one that does not come before they are let go.
const WHOLE_UNITS_MIN: u32 = 4;

/// Not a stream of the programme.
const NO_INPUT: u8 = 0xFF;
const _: () = assert!(STREAMS_MAX < NO_INPUT as usize);

/// How far the run has come, by two clocks: neither is always there.
#[derive(Clone, Copy, Default, Debug)]
struct Time {
    /// By the source's clock.
    clock: i64,
    /// In which bytes have come.
    flow: i64,
}

impl Time {
    fn since(self, earlier: Self) -> i64 {
        (self.clock - earlier.clock).max(self.flow - earlier.flow)
    }
}

/// What is done with a PES packet that has not ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wait {
    /// It and what comes behind it are held back.
    All,
    /// It is held back, and what comes behind it is not.
    Alone,
    /// Nothing is.
    Nothing,
}

/// A PES packet that has not ended.
#[derive(Clone, Copy, Debug)]
struct Unit {
    start: u64,
    began: Time,
    /// The counter of its first packet.
    counter: ContinuityCounter,
    rest: PesRest,
    wait: Wait,
    /// Packets of it are missing.
    torn: bool,
}

/// A PES packet whose end is missing and the packet behind it that tells: they are let go together.
#[derive(Clone, Copy, Debug)]
struct Tear {
    pid: Pid,
    from: u64,
    until: u64,
}

/// Where a new time base begins.
#[derive(Clone, Copy, Debug)]
struct Joint {
    /// What is of it first.
    from: u64,
    /// What has come of it last for the first time.
    until: u64,
    began: Time,
    /// Its first time.
    at: Pts,
    /// The streams that have not come to it, one bit each.
    waits: u64,
}

/// The clock is waited for like a stream.
const CLOCK_BIT: u64 = 1 << 63;
const _: () = assert!(STREAMS_MAX < 63);

/// Packets that nobody is to see: what came of a PES packet whose rest never comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Discarded {
    pid: Pid,
    from: u64,
    until: u64,
}

/// How regularly the PES packets of a stream begin, and how long they go on, by the longest of the latest.
#[derive(Clone, Copy, Default, Debug)]
struct Habits {
    /// From one to the next, by the source's clock.
    apart: i64,
    /// How many of these have been seen.
    seen: u8,
    /// From the first packet of one to its last.
    lasts: i64,
}

/// Distances after which a stream is known.
const SEEN_MIN: u8 = 8;
/// Streams that begin more rarely have no rhythm.
const APART_MAX: i64 = millis(1000);

impl Habits {
    fn begins(&mut self, after: i64) {
        if (1..=APART_MAX).contains(&after) {
            self.apart = longest(self.apart, after);
            self.seen = self.seen.saturating_add(1);
        }
    }

    /// Whether the next is known to come sooner than what is silent has ended.
    const fn are_soon(self) -> bool {
        self.seen >= SEEN_MIN && self.apart < ENDED_AFTER
    }

    /// How long its stream can be silent and go on; `None` when that is not known.
    fn silence_max(self) -> Option<i64> {
        (self.seen >= SEEN_MIN).then_some(self.apart * STUCK_AFTER_CADENCES)
    }
}

/// The longest of the latest; it wears off.
fn longest(so_far: i64, ticks: i64) -> i64 {
    ticks.max(so_far - so_far / 16)
}

#[derive(Debug)]
struct HeldInput {
    pid: Pid,
    video: bool,
    habits: Habits,
    /// When its last PES packet began.
    began: Option<Time>,
    /// When its last packet came.
    last: Time,
    unit: Option<Unit>,
    counter: Option<ContinuityCounter>,
    /// By which its last packet is known again.
    digest: PayloadDigest,
    /// The decoding time of its last PES packet, and when that came.
    dts: Option<(Pts, Time)>,
    /// That, when the clock came last.
    dts_at_clock: Option<Pts>,
    /// Presentation and decoding times differ somewhere in the stream.
    has_dts: bool,
    /// How often in a row another packet has come with the same counter.
    stuck: u8,
}

/// Follows the packets of one run.
pub struct Holdback {
    table: PidTable<u8>,
    inputs: Vec<HeldInput>,
    pcr_pid: Option<Pid>,
    /// The end of the last packet.
    position: u64,
    /// What lies before has been shown.
    shown: u64,
    releasable: u64,
    bytes_max: u64,
    /// Nothing is held back before the first picture is whole.
    at_once: bool,
    /// Who has put it into packets may have been given part of the last picture.
    is_repacked: bool,
    last_pcr: Option<Pcr>,
    /// It was the one before once more.
    stands: bool,
    /// When that came.
    sampled: Time,
    /// When one has last not been behind the one before.
    slipped: Option<Time>,
    time: Time,
    discarded: Vec<Discarded>,
    /// When there are too many the oldest goes: what it says is said nowhere then.
    tears: Vec<Tear>,
    joint: Option<Joint>,
    /// PES packets that have come whole since something could last be shown.
    whole_units: u32,
}

impl Holdback {
    /// For a run that begins, of which `bytes_max` may be held back, as far as that is within [`HELD_BYTES_MAX`].
    /// `at_once` says that nothing is to be held back before the first picture is whole: the first viewer's first byte need not
    /// wait for a key picture.
    #[must_use]
    pub fn new(at_once: bool, bytes_max: u64) -> Self {
        Self {
            table: PidTable::new(NO_INPUT),
            inputs: Vec::with_capacity(STREAMS_MAX),
            pcr_pid: None,
            position: 0,
            shown: 0,
            releasable: 0,
            bytes_max: bytes_max.min(HELD_BYTES_MAX),
            at_once,
            is_repacked: false,
            last_pcr: None,
            stands: false,
            sampled: Time::default(),
            slipped: None,
            time: Time::default(),
            discarded: Vec::new(),
            tears: Vec::with_capacity(TEARS_MAX),
            joint: None,
            whole_units: 0,
        }
    }

    /// The run's programme is this from here on. Until one is known nothing is held back; while none is known any more
    /// the last one holds.
    pub fn set_programme(&mut self, programme: Option<&Programme>) {
        if programme.is_none() && !self.inputs.is_empty() {
            return;
        }
        self.table.fill(NO_INPUT);
        self.joint = None;
        let mut before = std::mem::take(&mut self.inputs);
        let streams = programme.iter().flat_map(|programme| programme.pmt.streams());
        for stream in streams.filter(|stream| stream.kind() != StreamKind::Other) {
            let known = before.iter().position(|input| input.pid == stream.pid);
            let input = match known {
                Some(index) => before.swap_remove(index),
                None => HeldInput::new(stream.pid, self.time),
            };
            *self.table.get_mut(stream.pid) = u8::try_from(self.inputs.len()).unwrap_or(NO_INPUT);
            self.inputs.push(HeldInput { video: stream.kind() == StreamKind::Video, ..input });
        }
        // What is no stream any more does not go on in the middle of a picture. One whose last packet is full has more to come.
        for (pid, unit) in before.iter().filter_map(|input| Some((input.pid, input.unit?))) {
            if unit.rest.is_torn() && unit.wait != Wait::Nothing {
                self.discarded.push(Discarded { pid, from: unit.start, until: self.position });
            }
        }
        let pcr_pid = programme.and_then(|programme| programme.pmt.pcr_pid);
        // On whatever PID it comes, it is the same clock.
        self.pcr_pid = pcr_pid;
        if programme.is_some() && !self.inputs.iter().any(|input| input.video) {
            self.at_once = false;
        }
    }

    /// The run's clock was this before its first packet.
    pub const fn has_had_clock(&mut self, pcr: Pcr) {
        self.last_pcr = Some(pcr);
        self.sampled = self.time;
    }

    /// Takes the run's next packet, of which nothing has been made.
    #[cfg(any(test, feature = "sim"))]
    pub fn packet(&mut self, bytes: &PacketBytes) {
        self.packet_with(bytes, PayloadDigest::of(bytes));
    }

    /// Takes the run's next packet. By the digest it is known again.
    pub fn packet_with(&mut self, bytes: &PacketBytes, digest: PayloadDigest) {
        let start = self.position;
        self.position += PACKET_BYTES as u64;
        let Ok(packet) = Packet::parse(bytes) else { return };
        if packet.transport_error_indicator() {
            return;
        }
        let pid = packet.pid();
        if Some(pid) == self.pcr_pid
            && let Some(pcr) = packet.adaptation_field().and_then(AdaptationField::pcr)
        {
            self.sample(start, pcr);
        }
        let index = usize::from(self.table.get(pid));
        let Some(input) = self.inputs.get_mut(index) else { return };
        if packet.payload_at().is_none() {
            return;
        }
        let Some(jumps) = input.jumps(packet, digest) else { return };
        let torn = input.unit.filter(|unit| unit.wait != Wait::Nothing && unit.rest.is_torn());
        if let (true, true, Some(unit)) = (jumps, packet.payload_unit_start_indicator(), torn) {
            if self.tears.len() == TEARS_MAX {
                self.tears.remove(0);
            }
            self.tears.push(Tear { pid, from: unit.start, until: start });
        }
        let times = input.times(packet);
        let is_awaited = self.joint.is_some_and(|joint| joint.waits & (1 << index) != 0);
        let turns = times.is_some_and(|times| input.turns(self.time, times, is_awaited));
        let (ended, whole) = input.take(self.time, start, packet);
        self.whole_units += u32::from(whole);
        if self.at_once && ended && input.video {
            self.at_once = false;
            let joint = self.joint.map_or(start, |joint| joint.from);
            self.releasable = self.releasable.max(start.min(joint));
        }
        if let Some(times) = times.filter(|_| turns) {
            self.turn(start, 1 << index, times.decoding());
        }
    }

    /// Takes a run, the next that comes, with which `packets` begin. By the digest its last packet is known again.
    pub fn run(&mut self, run: PlainRun, packets: &[PacketBytes], digest: PayloadDigest) {
        let index = usize::from(self.table.get(run.pid()));
        let mut left = Some(run);
        for packet in packets {
            let Some(run) = left else { return };
            let input = self.inputs.get_mut(index);
            if input.is_none_or(|input| input.take_run(self.time, run, digest)) {
                self.position += (run.packets() * PACKET_BYTES) as u64;
                return;
            }
            self.packet_with(packet, if run.packets() == 1 { digest } else { PayloadDigest::of(packet) });
            left = run.behind(1);
        }
    }

    /// What is whole waits for streams that have not come to a new time base.
    #[must_use]
    pub const fn is_at_joint(&self) -> bool {
        self.joint.is_some()
    }

    /// Bytes had been coming for so long since that was last said, and what comes now follows.
    pub fn pass(&mut self, flow: Duration) {
        self.time.flow += i64::try_from(flow.as_micros()).map_or(0, |micros| micros * 27);
    }

    /// The end of what may be shown, in the run. Never less than before.
    #[must_use]
    pub fn releasable(&mut self) -> u64 {
        self.judge();
        if self.at_once {
            self.releasable = self.position;
            return self.releasable;
        }
        self.bound();
        let waited = self.inputs.iter().filter_map(|input| input.unit).filter(|unit| unit.wait == Wait::All);
        let mut whole = waited.map(|unit| unit.start).min().unwrap_or(self.position);
        if let Some(joint) = self.joint {
            if joint.waits == 0 && whole > joint.until || self.time.since(joint.began) > JOINT_TICKS_MAX {
                self.joint = None;
            } else {
                whole = whole.min(joint.from);
            }
        }
        // Stepping back before one tear may step into another, each at most once.
        for _ in 0..self.tears.len() {
            let inside = |tear: &&Tear| tear.from < whole && whole <= tear.until;
            let Some(tear) = self.tears.iter().find(inside) else { break };
            whole = tear.from;
        }
        // What was let go stays so: a unit may have begun before its stream was known.
        if whole > self.releasable {
            self.releasable = whole;
            self.whole_units = 0;
            self.tears.retain(|tear| tear.until >= whole);
        }
        self.releasable
    }

    /// Shows what may be shown of what is `held`, which are the packets behind those that have been. It is then the first so many
    /// bytes; what nobody is to see has become null packets, and what waits alone has given way to the rest.
    pub fn release(&mut self, held: &mut [u8]) -> usize {
        let whole = self.releasable().saturating_sub(self.shown);
        let whole = usize::try_from(whole).unwrap_or(usize::MAX).min(held.len());
        let (packets, _) = held[..whole].as_chunks_mut::<PACKET_BYTES>();
        if !self.discarded.is_empty() {
            self.blank(packets);
        }
        let alone = self.part(packets);
        let shown = whole - alone * PACKET_BYTES;
        self.shown += shown as u64;
        if alone > 0 {
            // All that is left before is what waits alone.
            self.releasable = self.shown;
        }
        if !self.discarded.is_empty() {
            let shown = self.shown;
            self.discarded.retain(|discarded| discarded.until > shown);
        }
        shown
    }

    /// The run is put into packets anew on its way here: where that ends in the middle of a picture, what there is of it looks whole.
    pub const fn doubt_ends(&mut self) {
        self.is_repacked = true;
    }

    /// The run has ended by itself. Where its ends are doubted that may have been in the middle of the last picture.
    pub fn has_ended(&mut self) {
        let pictures = self.inputs.iter_mut().filter(|input| self.is_repacked && input.video);
        let pictures = pictures.filter_map(|input| input.unit.as_mut());
        for unit in pictures.filter(|unit| unit.rest == PesRest::Perhaps) {
            unit.rest = PesRest::More;
        }
    }

    /// Nothing follows of the run: what waits alone or has only just begun is not going on any more, and what was torn is shown with
    /// what tells of it, if that is shown. What is whole may be shown, and where `is_last`, with nothing of another run behind it,
    /// what may be whole too: it tears nothing.
    pub fn end(&mut self, is_last: bool) {
        self.at_once = false;
        for input in &mut self.inputs {
            if let Some(unit) = &mut input.unit
                && unit.wait != Wait::Nothing
            {
                let may_be_whole = unit.rest == PesRest::More && is_last && unit.wait == Wait::All;
                let is_torn = unit.rest.is_torn() && !may_be_whole;
                unit.wait = if is_torn { Wait::Alone } else { Wait::Nothing };
            }
        }
        // The latest first: what tells of one may itself be the beginning of another.
        for Tear { pid, from, until } in self.tears.drain(..).rev() {
            let waits = |input: &HeldInput| {
                let unit = input.unit.filter(|unit| unit.wait == Wait::Alone && unit.start == until);
                input.pid == pid && unit.is_some()
            };
            let is_discarded = |discarded: &Discarded| discarded.pid == pid && discarded.from == until;
            if self.inputs.iter().any(waits) || self.discarded.iter().any(is_discarded) {
                self.discarded.push(Discarded { pid, from, until });
            }
        }
        self.joint = None;
    }

    /// A stream, or the clock, has come to a new time base with what begins here, at a time of its own.
    fn turn(&mut self, start: u64, bit: u64, at: Pts) {
        let time = self.time;
        // One that the programme has just got is about to come.
        let goes_on = |input: &HeldInput| time.since(input.last) <= SILENT_AFTER;
        let others = (0..).zip(&self.inputs).filter(|(_, input)| goes_on(input));
        let clock = if self.awaits_clock() { CLOCK_BIT } else { 0 };
        let waits = others.fold(clock, |bits, (index, _)| bits | 1 << index) & !bit;
        // One to which all have come is as good as over.
        if let Some(joint) = self.joint.as_mut().filter(|joint| joint.waits != 0) {
            if (at.since(joint.at) * 300).abs() > LEAD_TICKS_MAX {
                // It ends before all have come to it: those come to the next one.
                (joint.at, joint.waits, joint.until) = (at, waits, start);
            } else if joint.waits & bit != 0 {
                joint.waits &= !bit;
                joint.until = start;
            }
            return;
        }
        self.joint = Some(Joint { from: start, until: start, began: time, at, waits });
    }

    /// Whether the clock is still to come to a time base that begins now. There may be none, and one that stands, or has stepped back
    /// by so little that it might be the same, has come to it as like as not.
    fn awaits_clock(&self) -> bool {
        let has_slipped = self.slipped.is_some_and(|slipped| self.time.since(slipped) <= JOINT_TICKS_MAX);
        self.last_pcr.is_some() && !has_slipped
    }

    fn blank(&self, packets: &mut [PacketBytes]) {
        for (packet, position) in packets.iter_mut().zip((self.shown..).step_by(PACKET_BYTES)) {
            let pid = Packet::parse(packet).ok().map(Packet::pid);
            let is_discarded = |discarded: &Discarded| {
                Some(discarded.pid) == pid && discarded.from <= position && position < discarded.until
            };
            if self.discarded.iter().any(is_discarded) {
                *packet = NULL_PACKET;
            }
        }
    }

    /// Moves what waits alone behind what does not. Returns how many packets that are.
    fn part(&mut self, packets: &mut [PacketBytes]) -> usize {
        let shown = self.shown;
        let mut alone = 0;
        for input in &mut self.inputs {
            let Some(unit) = input.unit.as_mut().filter(|unit| unit.wait == Wait::Alone) else { continue };
            let from = usize::try_from(unit.start.saturating_sub(shown)).unwrap_or(usize::MAX) / PACKET_BYTES;
            // Those of other streams have moved behind it.
            let Some(packets) = packets.get_mut(from.saturating_sub(alone)..) else { continue };
            // A packet without payload does not count, and now comes before those that do.
            let counter = unit.counter.before(1);
            for packet in packets.iter_mut() {
                let Ok(mut packet) = PacketMut::parse(packet) else { continue };
                if packet.view().pid() != input.pid {
                    continue;
                }
                if packet.view().has_payload() {
                    // When it leaves, later samples have left.
                    packet.remove_pcr();
                } else {
                    packet.set_continuity_counter(counter);
                }
            }
            let is_of_it = |packet: &PacketBytes| {
                Packet::parse(packet).is_ok_and(|packet| packet.pid() == input.pid && packet.has_payload())
            };
            alone += move_behind(packets, &is_of_it);
        }
        if alone > 0 {
            let start = shown + ((packets.len() - alone) * PACKET_BYTES) as u64;
            let units = self.inputs.iter_mut().filter_map(|input| input.unit.as_mut());
            for unit in units.filter(|unit| unit.wait == Wait::Alone && unit.start < start) {
                unit.start = start;
            }
        }
        alone
    }

    /// What is held back stays within its bound. What waits alone is not seen to go on any more then, and what has begun first
    /// leaves as it comes.
    fn bound(&mut self) {
        if self.position - self.shown <= self.bytes_max {
            return;
        }
        self.joint = None;
        for input in &mut self.inputs {
            if let Some(unit) = input.unit.take_if(|unit| unit.wait == Wait::Alone) {
                self.discarded.push(Discarded { pid: input.pid, from: unit.start, until: self.position });
            }
        }
        loop {
            let waited = self.inputs.iter_mut().filter_map(|input| input.unit.as_mut());
            let first = waited.filter(|unit| unit.wait == Wait::All).min_by_key(|unit| unit.start);
            let Some(unit) = first else { return };
            if self.position - unit.start <= self.bytes_max {
                return;
            }
            unit.wait = Wait::Nothing;
        }
    }

    fn sample(&mut self, start: u64, pcr: Pcr) {
        let Some(ticks) = self.last_pcr.replace(pcr).map(|last| pcr.since(last)) else {
            self.sampled = self.time;
            return;
        };
        let passed = self.time.flow - self.sampled.flow;
        // A clock that comes rarely goes as far at once as pictures have gone since; sound that reaches further is often sent before
        // the clock jumps.
        let gone = |input: &mut HeldInput| {
            let (now, _) = input.dts?;
            Some((input.video, now.since(input.dts_at_clock.replace(now)?) * 300))
        };
        let streams = self.inputs.iter_mut().filter_map(gone).max().map_or(0, |(_, ticks)| ticks);
        let turns = match self.joint {
            Some(_) => ticks < 0 || ticks > passed + JUMP_TICKS,
            None => ticks < -SLIP_TICKS_MAX || ticks > passed.max(streams) + JUMP_TICKS,
        };
        // One that stood still is where its streams are when it goes on.
        let is_with = |input: &HeldInput| {
            input.dts.is_some_and(|(dts, _)| (0..=LEAD_TICKS_MAX).contains(&(dts.since(pcr.to_pts()) * 300)))
        };
        let goes_on = self.stands && ticks > 0 && self.inputs.iter().any(is_with);
        if turns && !goes_on {
            self.turn(start, CLOCK_BIT, pcr.to_pts());
        }
        self.sampled = self.time;
        self.stands = ticks == 0;
        if ticks <= 0 {
            self.slipped = Some(self.time);
        }
        if (1..=CLOCK_STEP_MAX).contains(&ticks) {
            self.time.clock += ticks;
            self.judge();
        }
    }

    /// Time has passed: what has been waited for long enough?
    fn judge(&mut self) {
        let time = self.time;
        let others = self.whole_units >= WHOLE_UNITS_MIN;
        for input in &mut self.inputs {
            let Some(unit) = &mut input.unit else { continue };
            let silence = time.since(input.last);
            let usual = input.habits.silence_max();
            // The next picture is overdue: this may be the last one.
            let is_doubted = self.is_repacked && input.video && input.habits.are_soon();
            let ended_after = if is_doubted { STUCK_AFTER } else { ENDED_AFTER };
            match unit.wait {
                Wait::Nothing => {}
                Wait::Alone => {
                    if silence > GONE_AFTER {
                        let discarded = Discarded { pid: input.pid, from: unit.start, until: self.position };
                        self.discarded.push(discarded);
                        input.unit = None;
                    }
                }
                Wait::All if unit.rest == PesRest::Perhaps && silence >= ended_after => {
                    input.unit = None;
                    self.whole_units += 1;
                }
                Wait::All
                    if others && silence > usual.map_or(STUCK_AFTER, |usual| usual.max(STUCK_AFTER)) =>
                {
                    let should_go_on = match unit.rest {
                        PesRest::Bytes(left) => left > 0,
                        PesRest::More => usual.is_some(),
                        PesRest::Perhaps => false,
                    };
                    unit.wait = if should_go_on { Wait::Alone } else { Wait::Nothing };
                }
                Wait::All => {
                    let ticks_max = if input.video { PICTURE_TICKS_MAX } else { SOUND_TICKS_MAX };
                    let goes_on = silence < GOES_ON_WITHIN && (others || !unit.torn);
                    if goes_on && time.since(unit.began) > ticks_max {
                        unit.wait = Wait::Nothing;
                    }
                }
            }
        }
    }
}

/// Moves the packets of a kind behind the others, each kind in its order. Returns how many there are.
fn move_behind(packets: &mut [PacketBytes], is_of_it: &impl Fn(&PacketBytes) -> bool) -> usize {
    match packets {
        [] => 0,
        [packet] => usize::from(is_of_it(packet)),
        packets => {
            let middle = packets.len() / 2;
            let left = move_behind(&mut packets[..middle], is_of_it);
            let right = move_behind(&mut packets[middle..], is_of_it);
            let end = packets.len() - right;
            packets[middle - left..end].rotate_left(left);
            left + right
        }
    }
}

impl HeldInput {
    fn new(pid: Pid, time: Time) -> Self {
        Self {
            pid,
            video: false,
            habits: Habits::default(),
            began: None,
            last: time,
            unit: None,
            counter: None,
            digest: PayloadDigest::default(),
            dts: None,
            dts_at_clock: None,
            has_dts: false,
            stuck: 0,
        }
    }

    /// Takes a run that goes on with a PES packet and does not end it, or goes on with none. False, and nothing changed, for any
    /// other. `digest` is of its last packet.
    fn take_run(&mut self, time: Time, run: PlainRun, digest: PayloadDigest) -> bool {
        if self.counter.map(ContinuityCounter::next) != Some(run.first_counter()) {
            return false;
        }
        if let Some(unit) = &mut self.unit {
            let rest = unit.rest.behind_run(run);
            if rest == PesRest::Bytes(0) {
                return false;
            }
            unit.rest = rest;
            if unit.wait == Wait::Alone {
                // It goes on after all.
                (unit.wait, unit.began) = (Wait::All, time);
            }
        }
        (self.counter, self.digest, self.stuck) = (Some(run.last_counter()), digest, 0);
        self.last = time;
        true
    }

    /// Whether the counter of a packet with payload does not follow; `None` for a repetition.
    fn jumps(&mut self, packet: Packet<'_>, digest: PayloadDigest) -> Option<bool> {
        let counter = packet.continuity_counter();
        let same = std::mem::replace(&mut self.digest, digest) == digest;
        let Some(last) = self.counter.replace(counter) else { return Some(false) };
        if counter == last && same {
            return None;
        }
        self.stuck = if counter == last { self.stuck.saturating_add(1) } else { 0 };
        // Twice in a row is no accident: nobody counts there.
        let jumps = counter != last.next() && self.stuck < 2;
        if let Some(unit) = &mut self.unit {
            // Where another one begins nothing of this one need be missing.
            unit.torn |= jumps && (!packet.payload_unit_start_indicator() || unit.rest.is_torn());
        }
        Some(jumps)
    }

    /// The times of a PES packet that begins.
    fn times(&mut self, packet: Packet<'_>) -> Option<PesTimes> {
        let times = PesTimes::begun_in(packet)?;
        self.has_dts |= times.dts.is_some();
        Some(times)
    }

    /// Whether the times of a PES packet do not follow those of the last one.
    fn turns(&mut self, time: Time, times: PesTimes, is_awaited: bool) -> bool {
        let dts = times.decoding();
        self.dts_at_clock.get_or_insert(dts);
        let before = self.dts.replace((dts, time));
        let Some((before, at)) = before else { return is_awaited };
        let step = dts.since(before) * 300;
        let reordered = if is_awaited { REORDERED_TICKS_USUAL } else { REORDERED_TICKS_MAX };
        let back = if self.video && !self.has_dts { reordered } else { 0 };
        step < -back || step > time.since(at) + JUMP_TICKS
    }

    /// Takes a packet with payload. Whether a PES packet has ended, with this packet or before it, and whether it was whole.
    fn take(&mut self, time: Time, position: u64, packet: Packet<'_>) -> (bool, bool) {
        let starts = packet.payload_unit_start_indicator();
        let mut ended = false;
        let mut whole = false;
        if starts {
            if let Some(began) = self.began.replace(time) {
                ended = true;
                self.habits.begins(time.clock - began.clock);
            }
            if let Some(unit) = self.unit.take() {
                whole = !unit.torn;
                self.ended(unit);
            }
            let lasts_long = self.habits.lasts > if self.video { PICTURE_TICKS_MAX } else { SOUND_TICKS_MAX };
            self.unit = Some(Unit {
                start: position,
                began: time,
                counter: packet.continuity_counter(),
                rest: PesRest::behind(PesRest::Perhaps, packet),
                wait: if lasts_long { Wait::Nothing } else { Wait::All },
                torn: false,
            });
        } else if let Some(unit) = &mut self.unit {
            unit.rest = PesRest::behind(unit.rest, packet);
            if unit.wait == Wait::Alone {
                // It goes on after all.
                (unit.wait, unit.began) = (Wait::All, time);
            }
        }
        self.last = time;
        if let Some(unit) = self.unit.take_if(|unit| unit.rest == PesRest::Bytes(0)) {
            self.ended(unit);
            return (true, whole || !unit.torn);
        }
        (ended, whole)
    }

    /// What was begun has its end in the last packet.
    fn ended(&mut self, unit: Unit) {
        self.habits.lasts = longest(self.habits.lasts, self.last.since(unit.began));
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
            let mut holdback = Holdback::new(at_once, HELD_BYTES_MAX);
            holdback.set_programme(Some(&programme(stream_types)));
            assert_eq!(released(&mut holdback, &stream), expected, "{stream_types:x?}, at once: {at_once}");
        }
        assert_eq!(
            released(&mut Holdback::new(false, HELD_BYTES_MAX), &stream),
            [1, 2, 3, 4, 5, 6, 7, 8],
            "no programme"
        );
    }

    #[test]
    fn a_torn_unit_leaves_together_with_the_packet_that_tells() {
        let mut stream = Stream::default();
        stream.push_pes(AUDIO, &bounded(300), 184);
        stream.push_pes(AUDIO, &bounded(300), 184);
        stream.push_pes(AUDIO, &bounded(300), 184);
        stream.packets.remove(1);
        let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
        holdback.set_programme(Some(&programme(&[0x06, 0x0F])));
        assert_eq!(released(&mut holdback, &stream), [0, 0, 3, 3, 5]);
    }

    #[test]
    fn a_clock_that_goes_on_after_it_stood_where_its_streams_are_begins_no_time_base_and_any_other_does() {
        let sample = |millis: u64| Some(Pcr::from_ticks((900_000 + millis * 90) * 300));
        // Whether it stood before, where it goes on two seconds later, in milliseconds.
        for (stands, goes_on, is_joint) in
            [(true, 2000, false), (true, 2_000_000, true), (false, 2000, true), (true, 9000, true)]
        {
            let mut stream = Stream::default();
            stream.push(Fields { pcr: sample(0), ..CLOCK }, &[]);
            for at in 0..50 {
                frame(&mut stream, AUDIO, at + 10);
                if stands {
                    stream.push(Fields { pcr: sample(0), ..CLOCK }, &[]);
                }
            }
            let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
            holdback.set_programme(Some(&with_clock(&[0x06, 0x0F])));
            for packet in &stream.packets {
                holdback.packet(packet);
                holdback.pass(Duration::from_millis(1));
            }
            let mut last = Stream::default();
            let goes_on = if stands { goes_on } else { goes_on + 3_000 };
            last.push(Fields { pcr: sample(goes_on), ..CLOCK }, &[]);
            holdback.packet(&last.packets[0]);
            assert_eq!(holdback.is_at_joint(), is_joint, "stands: {stands}, goes on at {goes_on}");
        }
    }

    #[test]
    fn the_first_clock_of_a_run_may_be_of_the_next_time_base_and_so_may_that_of_a_new_table() {
        let sample = |millis: u64| Pcr::from_ticks((900_000 + millis * 90) * 300);
        for (before, table_is_new, expected) in
            [(None, false, 3), (Some(0), false, 1), (Some(1_000_000), false, 3), (None, true, 2)]
        {
            let mut stream = Stream::default();
            frame(&mut stream, AUDIO, 1);
            if table_is_new {
                stream.push(Fields { pcr: Some(sample(0)), ..CLOCK }, &[]);
            }
            let known = stream.packets.len();
            stream.push(Fields { pcr: Some(sample(1_000_000)), ..CLOCK }, &[]);
            stream.push_pes(AUDIO, &bounded(100), 184);
            let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
            holdback.set_programme(Some(&with_clock(&[0x06, 0x0F])));
            if let Some(before) = before {
                holdback.has_had_clock(sample(before));
            }
            stream.packets[..known].iter().for_each(|packet| holdback.packet(packet));
            if table_is_new {
                holdback.set_programme(Some(&with_clock(&[0x06, 0x0F, 0x1B])));
            }
            stream.packets[known..].iter().for_each(|packet| holdback.packet(packet));
            assert_eq!(holdback.releasable() / 188, expected, "{before:?}, new table: {table_is_new}");
        }
    }

    #[test]
    fn a_time_base_that_ends_before_all_have_come_to_it_waits_with_the_next_one() {
        let mut stream = Stream::default();
        for (of, at) in [(VIDEO, 0), (AUDIO, 0), (AUDIO, 5000), (VIDEO, 9000), (VIDEO, 9001), (AUDIO, 9000)] {
            frame(&mut stream, of, at);
        }
        frame(&mut stream, VIDEO, 9002);
        let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
        let mut programme = programme(&[0x1B, 0x0F]);
        programme.pmt.pcr_pid = Pid::new(VIDEO.pid);
        holdback.set_programme(Some(&programme));
        assert_eq!(released(&mut holdback, &stream), [1, 2, 2, 2, 2, 6, 7]);
    }

    /// Pictures and sound of 40 ms each, one packet each, with clock: `at` is when, in frames.
    fn frame(stream: &mut Stream, of: Fields, at: u64) {
        let stamp = Some(Pts::from_ticks(900_000 + at * 3600));
        let stream_id = if of.pid == VIDEO.pid { 0xE0 } else { 0xC0 };
        let mut bytes = pes(stream_id, stamp, &[7; 100]);
        let length = u16::try_from(bytes.len() - 6).unwrap();
        bytes[4..6].copy_from_slice(&length.to_be_bytes());
        let pcr = (of.pid == VIDEO.pid).then(|| Pcr::from_ticks((900_000 + at * 3600) * 300));
        stream.push_pes(Fields { pcr, ..of }, &bytes, 184);
    }

    #[test]
    fn where_a_time_base_begins_all_waits_for_the_last_stream_that_comes_to_it() {
        // Pictures and sound by turns; then the pictures are of another time, and sound is three frames later. What may be shown
        // after each packet.
        type Case = (&'static str, [u64; 5], Option<u64>, [u64; 9]);
        let table: [Case; 4] = [
            ("sound goes on", [2, 3, 4, 5, 6], None, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
            ("sound comes later", [2, 3, 4, 0, 1], Some(1000), [1, 2, 3, 4, 4, 4, 4, 4, 4]),
            ("sound comes back", [2, 1000, 1001, 1002, 1003], Some(1000), [1, 2, 3, 4, 4, 4, 4, 8, 9]),
            ("sound comes first", [1000, 1001, 1002, 1003, 1004], Some(1000), [1, 2, 3, 3, 5, 6, 7, 8, 9]),
        ];
        for (name, sound, pictures, expected) in table {
            let mut stream = Stream::default();
            frame(&mut stream, VIDEO, 0);
            frame(&mut stream, AUDIO, 0);
            frame(&mut stream, VIDEO, 1);
            frame(&mut stream, AUDIO, if sound[0] == 1000 { sound[0] } else { 1 });
            let sound = if sound[0] == 1000 { &sound[1..] } else { &sound[..] };
            let first = pictures.unwrap_or(2);
            frame(&mut stream, VIDEO, first);
            frame(&mut stream, AUDIO, sound[0]);
            frame(&mut stream, VIDEO, first + 1);
            frame(&mut stream, AUDIO, sound[1]);
            frame(&mut stream, VIDEO, first + 2);
            let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
            let mut programme = programme(&[0x1B, 0x0F]);
            programme.pmt.pcr_pid = Pid::new(VIDEO.pid);
            holdback.set_programme(Some(&programme));
            assert_eq!(released(&mut holdback, &stream), expected, "{name}");
        }
    }

    #[test]
    fn a_clock_that_comes_rarely_in_a_burst_is_no_joint() {
        let mut stream = Stream::default();
        for at in 0..100 {
            if at % 36 == 0 {
                stream.push(Fields { pcr: pcr(at * 40), ..CLOCK }, &[]);
            }
            frame(&mut stream, VIDEO, at);
            frame(&mut stream, AUDIO, at);
        }
        let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
        holdback.set_programme(Some(&with_clock(&[0x1B, 0x0F])));
        assert_eq!(released(&mut holdback, &stream).last(), Some(&(stream.packets.len() as u64)));
    }

    #[test]
    fn a_time_base_that_begins_before_anything_was_let_go_of_the_last_is_one_too() {
        let mut stream = Stream::default();
        for at in [5, 6, 3, 4, 1, 2] {
            frame(&mut stream, VIDEO, at);
            frame(&mut stream, AUDIO, at);
        }
        let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
        holdback.set_programme(Some(&programme(&[0x0F, 0x0F])));
        let (first, last) = stream.packets.split_at(9);
        first.iter().for_each(|packet| holdback.packet(packet));
        assert_eq!(holdback.releasable() / 188, 8, "the third waits for its second stream");
        last.iter().for_each(|packet| holdback.packet(packet));
        assert_eq!(holdback.releasable() / 188, 12);
    }

    #[test]
    fn pictures_without_decoding_times_that_step_back_by_less_than_a_second_come_to_a_joint_that_others_have_found()
     {
        let mut stream = Stream::default();
        for at in [50, 51, 40, 41] {
            frame(&mut stream, AUDIO, at);
            frame(&mut stream, VIDEO, at);
        }
        let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
        holdback.set_programme(Some(&programme(&[0x1B, 0x0F])));
        assert_eq!(released(&mut holdback, &stream), [1, 2, 3, 4, 4, 6, 7, 8]);
    }

    #[test]
    fn a_clock_that_has_hardly_stepped_back_or_is_not_there_is_not_waited_for() {
        // Two streams of sound, the first with the clock.
        for (pcr_pid, back) in [(Some(VIDEO.pid), 2), (None, 2), (None, 3)] {
            let mut stream = Stream::default();
            for at in [0, 1, 2, 3, 4 - back, 5 - back] {
                frame(&mut stream, VIDEO, at);
                frame(&mut stream, AUDIO, at);
            }
            let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
            let mut programme = programme(&[0x0F, 0x0F]);
            programme.pmt.pcr_pid = pcr_pid.and_then(Pid::new);
            holdback.set_programme(Some(&programme));
            let expected = [1, 2, 3, 4, 5, 6, 7, 8, 8, 10, 11, 12];
            assert_eq!(released(&mut holdback, &stream), expected, "{pcr_pid:?} {back}");
        }
    }

    #[test]
    fn a_joint_that_a_stream_never_comes_to_is_waited_for_a_moment_only() {
        let mut stream = Stream::default();
        for (sound, at) in (0..).zip([0, 1, 1000, 1001]) {
            frame(&mut stream, VIDEO, at);
            frame(&mut stream, AUDIO, sound);
        }
        let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
        holdback.set_programme(Some(&programme(&[0x1B, 0x0F])));
        assert_eq!(released(&mut holdback, &stream).last(), Some(&4));
        let mut waits = holdback;
        waits.pass(Duration::from_millis(1200));
        assert_eq!(waits.releasable() / 188, 4);
        waits.pass(Duration::from_millis(1));
        assert_eq!(waits.releasable() / 188, 8);
        // Nor is it when nothing follows.
        let mut ends = Holdback::new(false, HELD_BYTES_MAX);
        ends.set_programme(Some(&programme(&[0x1B, 0x0F])));
        released(&mut ends, &stream);
        ends.end(false);
        assert_eq!(ends.releasable() / 188, 8);
    }

    /// The clock so many milliseconds after a time at which it wraps soon.
    fn pcr(millis: u64) -> Option<Pcr> {
        Some(Pcr::from_ticks(Pcr::MODULUS - 2_700_000 + millis * 27_000))
    }

    const CLOCK: Fields = Fields { pid: 0x1FF, ..Fields::NONE };

    /// A programme whose clock is on a PID of its own.
    fn with_clock(stream_types: &[u8]) -> Programme {
        let mut programme = programme(stream_types);
        programme.pmt.pcr_pid = Pid::new(CLOCK.pid);
        programme
    }

    /// What viewers get, and what they have not got in the end.
    fn play(holdback: &mut Holdback, stream: &Stream) -> (Vec<PacketBytes>, Vec<PacketBytes>) {
        let mut held: Vec<u8> = Vec::new();
        let mut shown: Vec<u8> = Vec::new();
        for packet in &stream.packets {
            holdback.packet(packet);
            held.extend(packet);
            let free = holdback.release(&mut held);
            shown.extend(held.drain(..free));
        }
        (shown.as_chunks().0.to_vec(), held.as_chunks().0.to_vec())
    }

    fn of(pid: u16, packets: &[PacketBytes]) -> Vec<PacketBytes> {
        let [high, low] = pid.to_be_bytes();
        packets.iter().filter(|packet| [packet[1] & 0x1F, packet[2]] == [high, low]).copied().collect()
    }

    /// A picture every 40 ms and sound every 20 ms, both whole, from one time to another. The clock comes every 20 ms.
    fn steady(stream: &mut Stream, millis: std::ops::Range<u64>, with_video: bool) {
        for millis in millis.step_by(20) {
            stream.push(Fields { pcr: pcr(millis), ..CLOCK }, &[]);
            if with_video && millis.is_multiple_of(40) {
                stream.push_pes(VIDEO, &pes(0xE0, None, &[1; 300]), 184);
            }
            stream.push_pes(AUDIO, &bounded(300), 184);
        }
    }

    #[test]
    fn a_picture_is_waited_for_as_long_as_more_of_it_comes_whatever_its_size() {
        let mut stream = Stream::default();
        steady(&mut stream, 0..400, true);
        // A key picture that takes 1.6 s and 4 MB, with sound in between.
        stream.push(Fields { unit_start: true, ..VIDEO }, &pes(0xE0, None, &[2; 184 - 9]));
        for millis in (400..2000).step_by(20) {
            stream.push(Fields { pcr: pcr(millis), ..CLOCK }, &[]);
            (0..280).for_each(|_| stream.push(VIDEO, &[3; 184]));
            stream.push_pes(AUDIO, &bounded(300), 184);
        }
        let whole = stream.packets.len();
        steady(&mut stream, 2000..2400, true);
        let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
        holdback.set_programme(Some(&with_clock(&[0x1B, 0x0F])));
        let mut released = released(&mut holdback, &stream);
        assert!(released[whole - 1] < 200, "{}", released[whole - 1]);
        assert!(released.pop().unwrap() > u64::try_from(whole).unwrap());
        let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
        holdback.set_programme(Some(&with_clock(&[0x1B, 0x0F])));
        let (shown, held) = play(&mut holdback, &stream);
        assert_eq!([shown, held].concat(), stream.packets);
    }

    #[test]
    fn what_is_not_worth_waiting_for_leaves_as_it_comes_and_nothing_is_taken_from_it() {
        // Sound that takes 600 ms, again and again, and pictures that take 40.
        let mut stream = Stream::default();
        for millis in (0..6000).step_by(20) {
            stream.push(Fields { pcr: pcr(millis), ..CLOCK }, &[]);
            if millis % 40 == 0 {
                stream.push_pes(VIDEO, &pes(0xE0, None, &[1; 300]), 184);
            }
            if millis % 600 == 0 {
                stream.push(Fields { unit_start: true, ..AUDIO }, &bounded(30 * 184 - 9)[..184]);
            } else {
                stream.push(AUDIO, &[7; 184]);
            }
        }
        let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
        holdback.set_programme(Some(&with_clock(&[0x1B, 0x0F])));
        let waits: Vec<_> =
            (1..).zip(released(&mut holdback, &stream)).map(|(came, released)| came - released).collect();
        let per_second = stream.packets.len() / 6;
        let longest = |packets: &[u64]| *packets.iter().max().unwrap();
        assert!(longest(&waits[..per_second]) < u64::try_from(per_second).unwrap() * 6 / 10);
        // Once that is known, sound is not waited for, and pictures are.
        assert!((4..=8).contains(&longest(&waits[per_second..])), "{}", longest(&waits[per_second..]));
        let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
        holdback.set_programme(Some(&with_clock(&[0x1B, 0x0F])));
        let (shown, held) = play(&mut holdback, &stream);
        assert_eq!([shown, held].concat(), stream.packets);
    }

    #[test]
    fn no_more_is_held_back_than_its_bytes() {
        const HELD: u64 = 50 * 188;
        let mut stream = Stream::default();
        stream.push_pes(VIDEO, &pes(0xE0, None, &vec![1; 60_000]), 184);
        let mut holdback = Holdback::new(false, HELD);
        holdback.set_programme(Some(&programme(&[0x1B])));
        let released = released(&mut holdback, &stream);
        for (packets, released) in (1..).zip(released) {
            assert_eq!(released, if packets <= HELD / 188 { 0 } else { packets }, "after {packets} packets");
        }
    }

    /// A picture stops in its middle, and sound goes on.
    fn stuck(going_on: u64) -> (Stream, PacketBytes) {
        let mut stream = Stream::default();
        steady(&mut stream, 0..1000, true);
        let whole_pictures = of(VIDEO.pid, &stream.packets).len();
        stream.push(Fields { unit_start: true, ..VIDEO }, &pes(0xE0, None, &[2; 184 - 9]));
        stream.push(VIDEO, &[3; 184]);
        steady(&mut stream, 1000..1000 + going_on, false);
        let torn = of(VIDEO.pid, &stream.packets)[whole_pictures];
        (stream, torn)
    }

    #[test]
    fn sound_does_not_wait_for_a_picture_that_does_not_go_on_and_nobody_sees_that() {
        for (going_on, lost) in [(5000, false), (12_000, true)] {
            let (stream, torn) = stuck(going_on);
            let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
            holdback.set_programme(Some(&with_clock(&[0x1B, 0x0F])));
            let (shown, held) = play(&mut holdback, &stream);
            assert_eq!(of(AUDIO.pid, &shown), of(AUDIO.pid, &stream.packets), "{going_on}");
            assert!(!shown.contains(&torn), "{going_on}");
            assert_eq!(held.first() == Some(&torn), !lost, "{going_on}");
        }
    }

    #[test]
    fn a_picture_that_goes_on_after_all_is_seen_whole() {
        for begins_anew in [false, true] {
            let (mut stream, _) = stuck(3000);
            if !begins_anew {
                stream.push(VIDEO, &[4; 100]);
            }
            steady(&mut stream, 4000..4400, true);
            let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
            holdback.set_programme(Some(&with_clock(&[0x1B, 0x0F])));
            let (shown, held) = play(&mut holdback, &stream);
            for pid in [VIDEO.pid, AUDIO.pid] {
                let came = [of(pid, &shown), of(pid, &held)].concat();
                assert_eq!(came, of(pid, &stream.packets), "{pid:#x}, begins anew: {begins_anew}");
            }
        }
    }

    #[test]
    fn what_waits_alone_does_not_take_the_clock_back() {
        let mut stream = Stream::default();
        let picture = |stream: &mut Stream, millis: u64, pes: &[u8]| {
            stream.push(Fields { unit_start: true, pcr: pcr(millis), ..VIDEO }, pes);
            stream.push_pes(AUDIO, &bounded(300), 184);
        };
        (0..400).step_by(40).for_each(|at| picture(&mut stream, at, &pes(0xE0, None, &[1; 100])));
        // Its packet is full.
        picture(&mut stream, 400, &pes(0xE0, None, &[1; 184 - 8 - 9]));
        for millis in (440..3000).step_by(40) {
            stream.push(Fields { pcr: pcr(millis), ..VIDEO }, &[]);
            stream.push_pes(AUDIO, &bounded(300), 184);
        }
        (3000..3400).step_by(40).for_each(|at| picture(&mut stream, at, &pes(0xE0, None, &[1; 100])));
        let mut programme = programme(&[0x1B, 0x0F]);
        programme.pmt.pcr_pid = Pid::new(VIDEO.pid);
        let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
        holdback.set_programme(Some(&programme));
        let (shown, held) = play(&mut holdback, &stream);
        let pictures = of(VIDEO.pid, &[shown.clone(), held].concat());
        assert_eq!(pictures.iter().filter(|packet| packet[1] & 0x40 != 0).count(), 21, "all have come");
        let clock = |packet: &PacketBytes| Packet::parse(packet).ok()?.adaptation_field()?.pcr();
        let clocks: Vec<_> = shown.iter().filter_map(clock).collect();
        assert!(clocks.windows(2).all(|pair| pair[1].since(pair[0]) > 0), "{clocks:?}");
        assert!(clocks.len() > 80);
    }

    #[test]
    fn a_still_picture_that_has_come_whole_holds_up_nothing() {
        let mut stream = Stream::default();
        steady(&mut stream, 0..400, true);
        let pictures = of(VIDEO.pid, &stream.packets);
        steady(&mut stream, 400..700, false);
        let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
        holdback.set_programme(Some(&with_clock(&[0x1B, 0x0F])));
        let (shown, held) = play(&mut holdback, &stream);
        assert_eq!((of(VIDEO.pid, &shown), held), (pictures, Vec::new()));
    }

    #[test]
    fn without_a_clock_the_time_tells_in_which_bytes_come() {
        let (stream, torn) = stuck(1000);
        let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
        holdback.set_programme(Some(&programme(&[0x1B, 0x0F])));
        let (mut held, mut shown) = (Vec::new(), Vec::new());
        for packet in &stream.packets {
            holdback.packet(packet);
            holdback.pass(Duration::from_millis(4));
            held.extend(packet);
            let free = holdback.release(&mut held);
            shown.extend(held.drain(..free));
        }
        assert!(held.len() < 3 * 188);
        // Nothing says that it should go on: how often it comes is not known.
        assert!(shown.as_chunks().0.contains(&torn));
    }

    #[test]
    fn where_nothing_becomes_whole_nothing_is_let_go() {
        let mut stream = Stream::default();
        stream.push(Fields { unit_start: true, ..VIDEO }, &pes(0xE0, None, &[1; 184 - 9]));
        stream.push_pes(AUDIO, &bounded(10), 184);
        let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
        holdback.set_programme(Some(&programme(&[0x1B, 0x0F])));
        assert_eq!(released(&mut holdback, &stream), [0, 0]);
        (0..100).for_each(|_| holdback.pass(Duration::from_millis(100)));
        assert_eq!(holdback.releasable(), 0);
    }

    #[test]
    fn at_the_end_what_is_whole_leaves_and_what_is_torn_does_not() {
        let mut stream = Stream::default();
        stream.push_pes(VIDEO, &pes(0xE0, None, &[1; 300]), 184);
        stream.push_pes(AUDIO, &bounded(10), 184);
        let whole = stream.packets.clone();
        let mut torn = Stream::default();
        torn.push(Fields { unit_start: true, ..VIDEO }, &pes(0xE0, None, &[2; 184 - 9]));
        let sound = &whole[2..];
        for (packets, expected) in
            [(whole.clone(), whole.clone()), ([&torn.packets, sound].concat(), sound.to_vec())]
        {
            let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
            holdback.set_programme(Some(&programme(&[0x1B, 0x0F])));
            packets.iter().for_each(|packet| holdback.packet(packet));
            let mut held = packets.concat();
            assert_eq!(holdback.release(&mut held), 0);
            holdback.end(false);
            let free = holdback.release(&mut held);
            assert_eq!(held[..free].as_chunks::<188>().0, expected);
        }
    }

    #[test]
    fn at_the_end_of_all_what_may_be_whole_leaves_and_what_lacks_bytes_does_not() {
        let first = Fields { unit_start: true, ..VIDEO };
        // Filled to its end, as one whole picture in 184 is, too.
        let filled = pes(0xE0, None, &[2; 184 - 9]);
        let mut lacking = filled.clone();
        lacking[4..6].copy_from_slice(&500_u16.to_be_bytes());
        for (last, is_last, is_seen) in [
            (&filled, true, true),
            (&filled, false, false),
            (&lacking, true, false),
            (&lacking, false, false),
        ] {
            let mut stream = Stream::default();
            stream.push_pes(VIDEO, &pes(0xE0, None, &[1; 300]), 184);
            stream.push(first, last);
            stream.push_pes(AUDIO, &bounded(10), 184);
            let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
            holdback.set_programme(Some(&programme(&[0x1B, 0x0F])));
            stream.packets.iter().for_each(|packet| holdback.packet(packet));
            let mut held = stream.packets.concat();
            let before = holdback.release(&mut held);
            holdback.end(is_last);
            let free = before + holdback.release(&mut held[before..]);
            let missing = if is_seen { 0 } else { 1 };
            assert_eq!(free, (stream.packets.len() - missing) * PACKET_BYTES, "{is_last} {is_seen}");
            // In their order.
            assert!(!is_seen || held[..free] == stream.packets.concat());
        }
    }

    #[test]
    fn what_was_let_go_is_not_taken_back() {
        let mut stream = Stream::default();
        stream.push_pes(VIDEO, &pes(0xE0, None, &[1; 500]), 184);
        let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
        holdback.packet(&stream.packets[0]);
        holdback.set_programme(Some(&programme(&[0x1B])));
        holdback.packet(&stream.packets[1]);
        assert_eq!(holdback.releasable(), 2 * 188);
        holdback.set_programme(None);
        assert_eq!(holdback.releasable(), 2 * 188);
    }

    #[test]
    fn of_a_stream_that_is_gone_a_torn_picture_is_seen_by_nobody_and_a_whole_one_is() {
        let torn = pes(0xE0, None, &[1; 2 * 184 - 9]);
        let whole = pes(0xE0, None, &[1; 300]);
        for (last, is_seen) in [(torn, false), (whole, true)] {
            let mut stream = Stream::default();
            stream.push_pes(VIDEO, &pes(0xE0, None, &[1; 300]), 184);
            stream.push_pes(VIDEO, &last, 184);
            let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
            holdback.set_programme(Some(&programme(&[0x1B, 0x0F])));
            let (shown, mut held) = play(&mut holdback, &stream);
            assert_eq!((shown.len(), held.len()), (2, 2));
            // A missing table says nothing.
            holdback.set_programme(None);
            assert_eq!(holdback.release(held.as_flattened_mut()), 0);
            holdback.set_programme(Some(&programme(&[])));
            assert_eq!(holdback.release(held.as_flattened_mut()), 2 * 188);
            let expected = if is_seen { stream.packets[2..].to_vec() } else { vec![NULL_PACKET; 2] };
            assert_eq!(held, expected);
        }
    }

    #[test]
    fn of_what_was_put_into_packets_anew_the_last_picture_is_seen_only_where_nothing_follows() {
        let mut stream = Stream::default();
        stream.push_pes(VIDEO, &pes(0xE0, None, &[1; 300]), 184);
        stream.push_pes(AUDIO, &bounded(300), 184);
        stream.push_pes(VIDEO, &pes(0xE0, None, &[2; 100]), 184);
        stream.push_pes(AUDIO, &bounded(300), 184);
        for (is_last, seen) in [(false, 6), (true, 7)] {
            let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
            holdback.set_programme(Some(&programme(&[0x1B, 0x0F])));
            let (shown, held) = play(&mut holdback, &stream);
            let mut held = held.concat();
            holdback.doubt_ends();
            holdback.has_ended();
            holdback.end(is_last);
            let free = holdback.release(&mut held);
            assert_eq!(shown.len() + free / PACKET_BYTES, seen, "{is_last}");
            assert_eq!(of(AUDIO.pid, held[..free].as_chunks().0), of(AUDIO.pid, &stream.packets)[2..]);
        }
    }

    #[test]
    fn what_is_torn_where_the_run_ends_is_seen_by_nobody_whatever_has_told() {
        // Of each PES packet its first packet alone, as of a source that gives little.
        let mut stream = Stream::default();
        stream.push_pes(VIDEO, &pes(0xE0, None, &[1; 300]), 184);
        let whole = stream.packets.len();
        (0..3).for_each(|_| stream.push_pes(AUDIO, &bounded(500), 184));
        let starts = |packet: &PacketBytes| packet[1] & 0x40 > 0;
        let pictures = stream.packets[..whole].to_vec();
        stream.packets.retain(|packet| starts(packet) || pictures.contains(packet));
        let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
        holdback.set_programme(Some(&programme(&[0x1B, 0x0F])));
        let (shown, held) = play(&mut holdback, &stream);
        let mut held = held.concat();
        holdback.end(false);
        let free = holdback.release(&mut held);
        let seen = [&shown[..], held[..free].as_chunks().0].concat();
        assert_eq!(of(AUDIO.pid, &seen), Vec::<PacketBytes>::new());
        assert_eq!(of(VIDEO.pid, &seen), pictures);
    }

    #[test]
    fn where_the_run_ends_behind_the_packet_that_tells_what_was_torn_leaves_with_it() {
        // A picture whose last packet is full, and the next one, which is counted otherwise; all wait for sound that does not come to
        // the new time base. The next one is whole, or torn itself: then nothing of it is shown that tells.
        for (is_whole, seen) in [(true, 4), (false, 2)] {
            let mut stream = Stream::default();
            frame(&mut stream, VIDEO, 0);
            frame(&mut stream, AUDIO, 0);
            let mut picture = |at: u64, data: usize| {
                let stamp = Some(Pts::from_ticks(900_000 + at * 3600));
                stream.push(Fields { unit_start: true, ..VIDEO }, &pes(0xE0, stamp, &vec![7; data]));
            };
            picture(1, 184 - 14);
            picture(1000, if is_whole { 100 } else { 184 - 14 });
            let counted_anew = stream.packets.last_mut().unwrap();
            counted_anew[3] ^= 0x08;
            let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
            holdback.set_programme(Some(&programme(&[0x1B, 0x0F])));
            let (shown, held) = play(&mut holdback, &stream);
            assert_eq!(shown.len(), 2, "whole: {is_whole}");
            let mut held = held.concat();
            holdback.end(false);
            let free = holdback.release(&mut held);
            let pictures = of(VIDEO.pid, held[..free].as_chunks().0).len();
            assert_eq!(shown.len() + pictures, seen, "whole: {is_whole}");
        }
    }

    #[test]
    fn what_has_just_come_has_not_been_waited_for() {
        let mut stream = Stream::default();
        stream.push_pes(VIDEO, &pes(0xE0, None, &[1; 300]), 184);
        stream.push_pes(VIDEO, &pes(0xE0, None, &[2; 100]), 184);
        let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
        holdback.set_programme(Some(&programme(&[0x1B, 0x0F])));
        let mut came = |millis, packets: &[PacketBytes]| {
            holdback.pass(Duration::from_millis(millis));
            packets.iter().for_each(|packet| holdback.packet(packet));
            holdback.releasable() / 188
        };
        // Whether it has ended is told by what comes behind it, or by nothing.
        assert_eq!(came(200, &stream.packets), 2);
        assert_eq!(came(50, &[]), 2);
        assert_eq!(came(50, &[]), 3);
    }

    #[test]
    fn the_last_picture_of_what_was_put_into_packets_anew_is_awaited_longer_where_the_next_is_overdue() {
        for (is_repacked, is_rare, millis) in
            [(false, false, 100), (true, false, 500), (true, true, 100), (false, true, 100)]
        {
            let mut stream = Stream::default();
            for picture in 0..12 {
                let at = picture * if is_rare { 400 } else { 40 };
                stream.push(Fields { pcr: pcr(at), ..CLOCK }, &[]);
                stream.push_pes(VIDEO, &pes(0xE0, None, &[1; 300]), 184);
            }
            let all = u64::try_from(stream.packets.len()).unwrap();
            let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
            holdback.set_programme(Some(&with_clock(&[0x1B, 0x0F])));
            if is_repacked {
                holdback.doubt_ends();
            }
            stream.packets.iter().for_each(|packet| holdback.packet(packet));
            let left = (10..=600).step_by(10).find(|_| {
                holdback.pass(Duration::from_millis(10));
                holdback.releasable() == all * 188
            });
            assert_eq!(left, Some(millis), "anew: {is_repacked}, rare: {is_rare}");
        }
    }
}
