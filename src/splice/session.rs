//! The splice itself: begins runs and re-stamps their packets.

use crate::base::Instant;
use crate::base::limits::PACKET_BYTES;
use crate::splice::clock::{STEP_TICKS, SessionClock};
use crate::splice::counters::OutCounters;
use crate::splice::edit;
use crate::splice::first_timestamps::FirstTimestamps;
use crate::splice::input_streams::InputStreams;
use crate::splice::outlook::Behind;
use crate::splice::output_streams::{OutputStreams, Wanted};
use crate::splice::report::{BoundaryReport, SpliceCounts};
use crate::splice::routes::Routes;
use crate::splice::source::SourceTables;
use crate::splice::stamps::ClockNow;
use crate::splice::tables::Tables;
use crate::ts::psi::Programme;
use crate::ts::{
    ContinuityCounter, ContinuityTable, PayloadDigest, Pcr, Pid, PlainRun, discontinuity_packet,
};

mod packets;
mod programme;
mod timing;

/// A clock further behind the first units of its run than this, in ticks of 27 MHz, is not theirs.
const CLOCK_BEHIND_TICKS_MAX: i64 = 10 * 27_000_000;

/// Who delivers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RunKind {
    /// A source of the channel.
    Live,
    /// What is shown while there is none.
    Filler,
}

/// What is known of a run when it begins.
pub struct Run<'a> {
    /// Who delivers.
    pub kind: RunKind,
    /// The run's programme by its own tables.
    pub programme: &'a Programme,
    /// The first times in it.
    pub lead: FirstTimestamps,
}

/// A packet that has left and is to say that something behind it is missing.
pub(super) struct Hole {
    pub(super) at: usize,
    pub(super) pid: Pid,
    pub(super) counter: ContinuityCounter,
}

/// One session's timeline.
pub struct Splice {
    /// Something has left.
    pub(super) started: bool,
    /// The run is the first thing that leaves: tables and data that are not of its programme pass too.
    pub(super) first_run: bool,
    /// The run's tables pass as they are.
    pub(super) transparent: bool,
    pub(super) kind: RunKind,
    /// A source of the channel has been shown.
    pub(super) live_seen: bool,
    /// The run's own PIDs are those of the session: it is the first of a source.
    pub(super) canonical: bool,
    /// The run's programme has found its PIDs once.
    pub(super) is_followed: bool,
    pub(super) source: Option<SourceTables>,
    /// The clock's PID in the source.
    pub(super) source_pcr: Option<Pid>,
    /// The run's PAT lists its programme and no other.
    pub(super) alone: bool,
    /// PIDs of the standards' tables on which no section has begun in this run, from the lowest bit on.
    pub(super) si_awaited: u16,
    pub(super) routes: Routes,
    pub(super) outputs: OutputStreams,
    pub(super) inputs: InputStreams,
    pub(super) tables: Tables,
    pub(super) clock: SessionClock,
    pub(super) came: ContinuityTable,
    pub(super) counters: OutCounters,
    /// When what is restamped next has begun to come, if it has been held back.
    held_since: Option<Instant>,
    /// When what is restamped has begun to come.
    pub(super) came_at: Instant,
    /// How often packets were restamped.
    pub(super) restampings: u64,
    pub(super) report: BoundaryReport,
    pub(super) counts: SpliceCounts,
}

impl Default for Splice {
    fn default() -> Self {
        Self::new()
    }
}

impl Splice {
    /// The timeline of a session that has shown nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            started: false,
            first_run: false,
            transparent: false,
            kind: RunKind::Live,
            live_seen: false,
            canonical: false,
            is_followed: false,
            source: None,
            source_pcr: None,
            alone: true,
            si_awaited: 0,
            routes: Routes::new(),
            outputs: OutputStreams::default(),
            inputs: InputStreams::default(),
            tables: Tables::new(),
            clock: SessionClock::default(),
            came: ContinuityTable::new(),
            counters: OutCounters::new(),
            held_since: None,
            came_at: Instant::START,
            restampings: 0,
            report: BoundaryReport::default(),
            counts: SpliceCounts::default(),
        }
    }

    /// A run takes over. Returns the packets to be written before its first one: none when nothing has been written
    /// in this session, else PAT, PMT and the clock that goes on.
    pub fn begin(&mut self, now: Instant, run: &Run<'_>) -> Vec<u8> {
        self.first_run = !self.started;
        self.started = true;
        self.kind = run.kind;
        self.came = ContinuityTable::new();
        let known = self.clock.at(now);
        let in_order = run.kind == RunKind::Filler;
        let lead = run.lead.with_its_clock();
        let offset = self.inputs.begin(now, &lead, self.clock_now(now), in_order);
        let first = lead.pcr;
        // A filler's clock is nobody's: it is the session's that goes on.
        let own = known.zip(first).filter(|_| in_order);
        let own = own.map(|(known, first)| known.plus(STEP_TICKS).since(first));
        let offset = own.or_else(|| offset.map(|offset| offset * 300));
        self.clock.begin(now, offset, run.lead.pcr.filter(|_| !in_order));
        if first != run.lead.pcr {
            self.clock.stray_from(now, first.zip(offset).map(|(first, offset)| first.plus(offset)));
        }
        self.take_programme(run.programme);
        // What has the clock ahead of time by more than it was is said here.
        let begins = first.zip(offset).map(|(first, offset)| first.plus(offset));
        // Nothing of it is decoded before that.
        let begins = begins.map(|begins| {
            let units = [lead.video, lead.audio].into_iter().flatten();
            let early = units.map(|times| Pcr::from_ticks(times.decoding().ticks() * 300));
            let early = early.filter_map(|dts| Some(dts.plus(offset?).since(begins)));
            begins.plus(early.filter(|ticks| *ticks > -CLOCK_BEHIND_TICKS_MAX).fold(0, i64::min))
        });
        let clock = match (self.clock.written(), begins) {
            (Some(written), Some(begins)) => Some(written.plus((begins.since(written) - STEP_TICKS).max(0))),
            (_, begins) => known.or(begins),
        };
        if self.first_run { Vec::new() } else { self.write_boundary(now, known.is_some(), clock) }
    }

    /// How the packets of the run that has begun are counted, if that is known.
    pub fn counts_by(&mut self, habits: ContinuityTable) {
        self.came = habits;
    }

    /// Nobody delivers any more, and what follows is no run: null packets, or PAT and PMT alone. Returns the boundary
    /// to be written before.
    pub fn pause(&mut self, now: Instant) -> Vec<u8> {
        self.started = true;
        let known = self.clock.at(now);
        // Viewers may have pictures and sound without a clock so far.
        let made_up = || self.inputs.histories().clock(now).map(|time| Pcr::from_ticks(time.ticks() * 300));
        let clock = known.or_else(made_up).or(Some(Pcr::from_ticks(0)));
        self.write_boundary(now, known.is_some(), clock)
    }

    /// Changes whole packets where they lie. What may not leave becomes a null packet.
    ///
    /// # Panics
    /// When the bytes are not whole packets.
    pub fn restamp(&mut self, now: Instant, packets: &mut [u8]) {
        self.restamp_before(now, packets, &[]);
    }

    /// The same, where it is known what has come behind them and does not leave yet.
    ///
    /// # Panics
    /// When the bytes are not whole packets.
    pub fn restamp_before(&mut self, now: Instant, packets: &mut [u8], held: &[u8]) {
        let (packets, rest) = packets.as_chunks_mut::<PACKET_BYTES>();
        assert!(rest.is_empty(), "{} bytes are no packet", rest.len());
        let (held, _) = held.as_chunks::<PACKET_BYTES>();
        self.restampings += 1;
        self.came_at = self.held_since.take().map_or(now, |since| since.min(now));
        let mut at = 0;
        let mut run = None;
        while at < packets.len() {
            run = run.or_else(|| PlainRun::at_front(&packets[at..]));
            if let Some(whole) = run
                && self.run(at, whole, &mut packets[at..])
            {
                at += whole.packets();
                run = None;
                continue;
            }
            let (packet, rest) = packets[at..].split_first_mut().expect("one is at hand");
            let digest = PayloadDigest::of(packet);
            if let Some(hole) = self.packet(now, at, packet, digest, Behind { rest, held }) {
                edit::hole(&mut packets[hole.at], hole.pid, hole.counter);
            }
            at += 1;
            run = run.and_then(|run| run.behind(1));
        }
    }

    /// What is restamped next has come since then, and was held back: how far its times have gone since what came before it is to be
    /// told by that.
    pub const fn has_held(&mut self, since: Instant) {
        self.held_since = Some(since);
    }

    /// PAT and PMT as they are now.
    pub fn psi(&mut self) -> Vec<u8> {
        self.started = true;
        self.synthesize_psi();
        let mut out = Vec::new();
        self.tables.write(false, &mut self.counters, &mut out);
        out
    }

    /// The session's clock now: the last one that left, advanced by the time since.
    #[must_use]
    #[cfg(any(test, feature = "sim"))]
    pub fn clock(&self, now: Instant) -> Option<Pcr> {
        self.clock.at(now)
    }

    /// What the last boundary has signalled.
    #[must_use]
    pub const fn boundary(&self) -> &BoundaryReport {
        &self.report
    }

    /// The programme as viewers know it.
    #[must_use]
    #[cfg(any(test, feature = "sim"))]
    pub fn programme(&self) -> Option<Programme> {
        self.tables.programme()
    }

    /// Discontinuities of counters that those who read it are told of.
    #[must_use]
    pub const fn gaps_signalled(&self) -> u64 {
        self.counts.gaps_signalled
    }

    /// What has been counted.
    #[must_use]
    #[cfg(any(test, feature = "sim"))]
    pub const fn counts(&self) -> SpliceCounts {
        let mut counts = self.counts;
        counts.reanchorings = self.clock.reanchorings() + self.inputs.reanchorings();
        counts
    }

    /// The session's clock in the ticks of stamps.
    pub(super) fn clock_now(&self, now: Instant) -> Option<ClockNow> {
        let (written, due) = self.clock.written().zip(self.clock.at(now))?;
        Some(ClockNow { written: written.to_pts(), due: due.to_pts() })
    }

    /// Before any programme is known there is one made up, and its PIDs are taken.
    fn synthesize_psi(&mut self) {
        let wanted = self.tables.synthesize_psi().iter().map(|(number, carried)| {
            let own = Pid::new(*number).expect("the numbers fit");
            Wanted { carried: *carried, language: None, own }
        });
        let wanted: Vec<_> = wanted.collect();
        self.outputs.assign(&wanted, true, |_, _| true);
    }

    fn write_boundary(&mut self, now: Instant, stitch: bool, clock: Option<Pcr>) -> Vec<u8> {
        self.synthesize_psi();
        let mut out = Vec::with_capacity(3 * PACKET_BYTES);
        self.tables.write(true, &mut self.counters, &mut out);
        let pcr = self.tables.pcr_pid().zip(clock);
        if let Some((pid, pcr)) = pcr {
            out.extend_from_slice(&discontinuity_packet(pid, self.counters.repeat(pid), Some(pcr)));
            self.clock.write(now, pcr);
        }
        self.report = BoundaryReport {
            made: true,
            pcr: pcr.is_some(),
            psi_version: self.tables.any(),
            stitch: stitch && pcr.is_some(),
        };
        out
    }
}
