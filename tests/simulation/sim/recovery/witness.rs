//! What a viewer is entitled to whatever happens to sources: one sound transport stream on one timeline.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tunerd::base::Instant;

use crate::tsview::{
    Assembler, NULL_PID, PACKET_BYTES, PCR_WRAP, PTS_WRAP, Packet, Pmt, Section, View, ahead, read_pat,
};

use super::mark::{Mark, Of};
use super::truth::Truth;

/// What a viewer gets within this time of its first clock was there before it came. It comes through a queue of at least
/// 64 KiB that is emptied every 20 ms, and the most there can be is a group of 300 pictures of 6.5 packets each, 370 KB:
/// six times.
const STOCK_TIME: Duration = Duration::from_millis(120);
/// A clock may run ahead of real time by this between two samples: 100 ms, and what a source sends at once.
pub(super) const CLOCK_AHEAD_MAX: Duration = Duration::from_millis(1_100);
/// What leaves of a clock moves as far as its source's, to a tenth of a second.
const OWN_APART_MAX: i64 = 2_700_000;
/// A jump ahead by no more than this, in ticks of 27 MHz, may be a pause of the source.
const PAUSE_MAX: i64 = 3 * 27_000_000;
/// Decoding times are never further behind the clock or before it.
const DECODE_MIN: i64 = -90_000 * 2;
const DECODE_MAX: i64 = 90_000 * 12;
/// Pictures that only say when they are shown may be in another order than that of showing: a step back by less cannot be
/// told from that.
const REORDER_MAX: i64 = 90_000;
/// Packets that are told of when something is wrong with the next.
const TRAIL: usize = 40;

/// PID, counter, signal, clock, decoding time.
type Trace = (u16, u8, bool, Option<u64>, Option<u64>);

/// One viewer's view of packets.
#[derive(Default)]
pub(crate) struct Witness {
    packets: u64,
    /// It may be moved forward: it reads too slowly, and that is what is to happen then.
    pub(crate) may_miss: bool,
    /// See [`CLOCK_AHEAD_MAX`].
    pub(crate) clock_ahead_max: Duration,
    /// The connection takes everything at once: times tell something.
    pub(crate) is_prompt: bool,
    counters: BTreeMap<u16, u8>,
    tables: BTreeMap<u16, Assembler>,
    table_packets: BTreeMap<u16, Packet>,
    pmt_pid: Option<u16>,
    pmt: Option<Pmt>,
    /// The last clock and since when it has been that; what a viewer begins with is of unknown age.
    pcr: Option<(u64, Option<Instant>)>,
    /// What its source had it at when it last moved: run, time base, ticks of 90 kHz.
    moved_at: Option<(u32, u8, u64)>,
    /// When the first clock came.
    began: Instant,
    /// When something came last, and before that: what comes at once may have waited for the end of a picture since then.
    fed_at: Instant,
    fed_before: Instant,
    decoded: BTreeMap<u16, u64>,
    truth: Truth,
    /// The latest packets, the last one first.
    trail: VecDeque<Trace>,
    unread: Vec<u8>,
    live: Option<(u32, u32)>,
    pub(crate) live_at: Option<Instant>,
    pub(crate) live_packets: u64,
}

impl Witness {
    /// The run of the last packet of a source.
    pub(crate) fn live_run(&self) -> Option<u32> {
        self.live.map(|(run, _unit)| run)
    }

    pub(crate) fn packets(&self) -> u64 {
        self.packets
    }

    pub(crate) fn feed(&mut self, now: Instant, bytes: &[u8]) -> Result<(), String> {
        if self.fed_at < now {
            self.fed_before = std::mem::replace(&mut self.fed_at, now);
        }
        self.unread.extend_from_slice(bytes);
        let unread = std::mem::take(&mut self.unread);
        let (packets, rest) = unread.as_chunks::<PACKET_BYTES>();
        for packet in packets {
            self.packet(now, packet).map_err(|wrong| {
                let Self { packets, live, trail, .. } = &*self;
                let prompt = if self.is_prompt { "prompt" } else { "slow" };
                format!("{prompt}, packet {packets}, last live {live:?}: {wrong}\n{packet:02x?}\nbefore: {trail:x?}")
            })?;
            self.packets += 1;
            let view = View(packet);
            let decoded = view.pes().and_then(|pes| pes.decoded_at());
            self.trail.truncate(TRAIL - 1);
            self.trail.push_front((view.pid(), view.counter(), view.signals(), view.pcr(), decoded));
        }
        self.unread = rest.to_vec();
        Ok(())
    }

    fn packet(&mut self, now: Instant, packet: &Packet) -> Result<(), String> {
        let view = View(packet);
        if !view.is_in_sync() {
            return Err("no sync byte".to_owned());
        }
        let pid = view.pid();
        if self.packets == 0 && pid != 0 {
            return Err(format!("the stream begins with PID {pid:#x}, not with a PAT"));
        }
        if self.packets == 0 {
            // Whoever comes first in a session, where nothing may be missing, is prompt.
            (self.truth.may_lack_sound, self.truth.may_be_moved) = (view.signals(), !self.is_prompt);
        }
        if pid == NULL_PID {
            return Ok(());
        }
        self.continuity(pid, view)?;
        if pid == 0 || Some(pid) == self.pmt_pid {
            self.table_packets.insert(pid, *packet);
            return self.table(pid, view);
        }
        self.belongs(pid)?;
        let mark = if view.has_payload() { Mark::of_payload(packet) } else { Mark::of_clock(packet) };
        if let Some(pcr) = view.pcr() {
            self.clock(now, pcr, mark.as_ref(), view.signals())?;
            if let Some(mark) = &mark {
                self.truth.clock(mark, pcr)?;
            }
        }
        let mark = mark.filter(|mark| mark.of != Of::Clock);
        if let Some(mark) = &mark {
            self.truth.packet(mark, packet, self.may_miss)?;
        }
        let pes = view.pes();
        if let Some((decoded, pes)) = pes.and_then(|pes| Some((pes.decoded_at()?, pes))) {
            let may_step = if pes.id & 0xF0 == 0xE0 && pes.dts.is_none() { REORDER_MAX } else { 0 };
            self.decoding(now, pid, decoded, may_step)?;
            let pcr = self.pcr.map(|(pcr, _)| pcr);
            if mark.is_none_or(|mark| mark.is_clock_sound) {
                Truth::is_due(&pes, pcr)?;
            }
            if let Some(mark) = &mark {
                self.truth.times(mark, &pes, pcr)?;
            }
            if pes.id & 0xF0 == 0xE0 {
                self.truth.picture(&pes)?;
            } else {
                self.truth.sound(mark.as_ref(), pid, &pes)?;
            }
        }
        if let Some(mark) = mark.filter(|mark| mark.of == Of::Video) {
            self.live = Some((mark.run, mark.unit));
            self.live_at = Some(now);
            self.live_packets += 1;
        }
        Ok(())
    }

    fn continuity(&mut self, pid: u16, view: View<'_>) -> Result<(), String> {
        let counter = view.counter();
        let Some(last) = self.counters.insert(pid, counter) else { return Ok(()) };
        if counter == last && self.table_packets.get(&pid) == Some(view.0) {
            // A table's packet may come twice, and one that a source counts as if it did looks the same.
            return Ok(());
        }
        let expected = if view.has_payload() { (last + 1) % 16 } else { last };
        if counter != expected && !view.signals() {
            return Err(format!("PID {pid:#x} counts {counter} after {last}, and nothing was signalled"));
        }
        Ok(())
    }

    fn table(&mut self, pid: u16, view: View<'_>) -> Result<(), String> {
        for section in self.tables.entry(pid).or_default().feed(view) {
            let Section::Whole(section) = section else { return Err("a table with a wrong CRC".to_owned()) };
            match section.first() {
                Some(0) => self.pmt_pid = Some(read_pat(&section).ok_or("a PAT without a programme")?),
                Some(2) => self.pmt = Some(Pmt::read(&section).ok_or("a PMT that cannot be read")?),
                other => return Err(format!("a table {other:?}")),
            }
        }
        Ok(())
    }

    /// Sources here have nothing but their programme: all that comes is listed.
    fn belongs(&self, pid: u16) -> Result<(), String> {
        let pmt = self.pmt.as_ref().ok_or_else(|| format!("PID {pid:#x} before a PMT"))?;
        if pmt.pcr_pid == pid || pmt.streams.iter().any(|stream| stream.pid == pid) {
            return Ok(());
        }
        Err(format!("PID {pid:#x} is not in {pmt:x?}"))
    }

    fn clock(&mut self, now: Instant, pcr: u64, mark: Option<&Mark>, signals: bool) -> Result<(), String> {
        let before = self.moved_at;
        if self.pcr.is_none_or(|(last, _)| last != pcr) {
            self.moved_at = mark.map(|mark| (mark.run, mark.base, mark.clock));
        }
        let Some((last, at)) = self.pcr else {
            self.pcr = Some((pcr, None));
            self.began = now;
            return Ok(());
        };
        // What a viewer is given when it joins is as old as the stock of the ring, and that may be older than a filler
        // without a clock.
        let is_stock = now - self.began < STOCK_TIME;
        // One that stood still may make up for it.
        self.pcr = Some((pcr, if pcr == last { at } else { (!is_stock).then_some(self.fed_before) }));
        let moved = ahead(last, pcr, PCR_WRAP);
        if moved < 0 {
            return Err(format!("the clock steps back by {} ms", -moved / 27_000));
        }
        let Some(at) = at else { return Ok(()) };
        let passed = i64::try_from(((now - at) + self.clock_ahead_max).as_micros()).unwrap() * 27;
        // A source whose clock is rare, or stood still, may send all that comes between two samples at once.
        let own =
            mark.filter(|mark| mark.is_clock_sound).zip(before).map_or(0, |(mark, (run, base, clock))| {
                let own = ahead(clock, mark.clock, PTS_WRAP) * 300 + OWN_APART_MAX;
                match (mark.run == run, mark.base == base) {
                    (true, true) => own,
                    // Its jump ahead is no longer than a pause might be: it is passed on, and signalled.
                    (true, false) if signals => own.min(passed + PAUSE_MAX),
                    _closed_up => 0,
                }
            });
        // A run, or a time base, that sends its pictures a shorter time before they are due than the last one did has them follow
        // those, and its sound the sound: its clock is as much ahead, and not beyond what has come.
        let is_boundary =
            mark.is_none_or(|mark| before.is_none_or(|(run, base, _)| (run, base) != (mark.run, mark.base)));
        let reached = |decoded: &u64| ahead(last / 300, *decoded, PTS_WRAP) * 300;
        let reached = self.decoded.values().map(reached).max().filter(|_| is_boundary).unwrap_or(0);
        if self.is_prompt && moved > passed.max(own).max(reached) {
            let passed = now - at;
            return Err(format!("the clock moves by {} ms in {passed:?}", moved / 27_000));
        }
        Ok(())
    }

    fn decoding(&mut self, now: Instant, pid: u16, decoded: u64, may_step: i64) -> Result<(), String> {
        if let Some(last) = self.decoded.insert(pid, decoded)
            && ahead(last, decoded, PTS_WRAP) < -may_step
        {
            return Err(format!(
                "PID {pid:#x} is decoded {} ms before the last one",
                -ahead(last, decoded, PTS_WRAP) / 90
            ));
        }
        let moves = |at: Option<Instant>| at.is_some_and(|at| now - at < CLOCK_AHEAD_MAX);
        let Some((clock, _)) = self.pcr.filter(|(_, at)| moves(*at)) else { return Ok(()) };
        let distance = ahead(clock / 300, decoded, PTS_WRAP);
        if !(DECODE_MIN..=DECODE_MAX).contains(&distance) {
            return Err(format!("PID {pid:#x} is decoded {} ms from the clock", distance / 90));
        }
        Ok(())
    }
}
