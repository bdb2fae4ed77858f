//! What viewers get while a channel has no source: from the loss of one to the first bytes of the next.

use std::sync::Arc;
use std::time::Duration;

use crate::base::Instant;
use crate::base::limits::PACKET_BYTES;
use crate::ts::{NULL_PACKET, Pcr};

use super::guardrail::{Guardrail, Tripped};
use super::slate::{Player, Slate};

/// Bytes per second of a live stream of which nothing is known: 1.5 Mbit/s.
const RATE_UNKNOWN: f64 = 187_500.0;
/// How much of what a late call has missed is made up for. What is older is left out of real time: the slate
/// goes on later, without a jump in its own.
const BACKLOG_MAX_TICKS: u64 = Pcr::RATE;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Kinds of filler, from the best to the last resort.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// A picture and silence.
    SlateAv,
    /// PAT and PMT: a receiver stays tuned.
    Psi,
    /// Null packets: a connection stays open.
    Null,
}

impl Mode {
    /// The name operators know.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SlateAv => "slate_av",
            Self::Psi => "psi",
            Self::Null => "null",
        }
    }

    /// What is tried when this fails. There is nothing below null packets.
    const fn fallback(self) -> Option<Self> {
        match self {
            Self::SlateAv => Some(Self::Psi),
            Self::Psi => Some(Self::Null),
            Self::Null => None,
        }
    }
}

/// How channels are filled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Params {
    /// Which kind.
    pub mode: Mode,
    /// How often null packets or tables are sent. Zero acts as a millisecond.
    pub interval: Duration,
    /// The slate that is built in is played with its silence.
    pub has_audio: bool,
}

/// What is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// Nothing yet.
    Nothing,
    /// A null packet, which has been appended.
    Null,
    /// PAT and PMT of what viewers last saw, which the caller has.
    Psi,
    /// The slate's packets, which have been appended.
    Slate,
}

/// What is kept of all recoveries of a session.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeepaliveTotals {
    /// How often a mode gave way to a lesser one.
    pub fallback_count: u64,
    /// Why, the last time: `<from mode>: <error>`.
    pub fallback_reason: String,
}

/// What a filler has come to, as operators see it.
#[derive(Clone, PartialEq, Debug)]
pub struct KeepaliveReport {
    /// What is being done; `None` once stopped.
    pub mode: Option<Mode>,
    /// Of the whole session.
    pub totals: KeepaliveTotals,
    /// When it began.
    pub started_at: Instant,
    /// When it ended.
    pub stopped_at: Option<Instant>,
    /// When something was last published; at first, when it began.
    pub last_published_at: Instant,
    /// Published.
    pub bytes: u64,
    /// How often something was published.
    pub chunks: u64,
    /// Bytes per second of the channel; `None` when that is not known.
    pub channel_rate: Option<f64>,
    /// How often too much was produced.
    pub guardrail_count: u64,
    /// How much, the last time.
    pub guardrail_reason: String,
}

impl KeepaliveReport {
    /// From its beginning to its end, or to now.
    #[must_use]
    pub fn duration(&self, now: Instant) -> Duration {
        self.stopped_at.unwrap_or(now) - self.started_at
    }

    /// Bytes per second from the beginning to the last publishing, or to the end.
    #[must_use]
    pub fn rate_bytes_per_second(&self) -> f64 {
        let elapsed = self.duration(self.last_published_at).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate is no account")]
        let rate = if elapsed > 0.0 { self.bytes as f64 / elapsed } else { 0.0 };
        rate
    }

    /// What a live stream would have.
    #[must_use]
    pub fn expected_rate_bytes_per_second(&self) -> f64 {
        self.channel_rate.unwrap_or(RATE_UNKNOWN)
    }

    /// The rate in those of the channel; zero when that is unknown.
    #[must_use]
    pub fn realtime_multiplier(&self) -> f64 {
        self.channel_rate.map_or(0.0, |channel_rate| self.rate_bytes_per_second() / channel_rate)
    }
}

/// What is being done.
#[derive(Debug)]
enum Work {
    /// Something small at intervals.
    Periodic {
        mode: Periodic,
        next: Instant,
    },
    /// The player's zero is at `began`.
    Slate {
        player: Box<Player>,
        began: Instant,
    },
    Ended,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Periodic {
    Psi,
    Null,
}

/// One recovery's filler, from its start to its end.
#[derive(Debug)]
pub struct Filler {
    params: Params,
    work: Work,
    guardrail: Guardrail,
    report: KeepaliveReport,
}

impl Filler {
    /// Begins now: the first of whatever it is is due at once. Without a slate the one that is built in is
    /// played. `totals` are those of the session's last filler.
    #[must_use]
    pub fn start(
        now: Instant,
        params: Params,
        slate: Option<Arc<Slate>>,
        profile_bitrate_bps: Option<u64>,
        totals: KeepaliveTotals,
    ) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a rate is no account")]
        let channel_rate = profile_bitrate_bps.filter(|rate| *rate > 0).map(|rate| rate as f64 / 8.0);
        let mut filler = Self {
            params,
            work: Work::Ended,
            guardrail: Guardrail::new(now, 0.0, 0.0),
            report: KeepaliveReport {
                mode: None,
                totals,
                started_at: now,
                stopped_at: None,
                last_published_at: now,
                bytes: 0,
                chunks: 0,
                channel_rate,
                guardrail_count: 0,
                guardrail_reason: String::new(),
            },
        };
        match params.mode {
            Mode::SlateAv => match slate.map_or_else(|| built_in(params.has_audio), Ok) {
                Ok(slate) => filler.play(now, slate),
                Err(reason) => filler.fall_back(now, Mode::SlateAv, &reason),
            },
            Mode::Psi => filler.begin_periodic(now, Periodic::Psi),
            Mode::Null => filler.begin_periodic(now, Periodic::Null),
        }
        filler
    }

    /// When [`Filler::due`] is to be called; never again once stopped.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        match &self.work {
            Work::Periodic { next, .. } => Some(*next),
            Work::Slate { player, began } => Some(*began + duration_of(player.next_at())),
            Work::Ended => None,
        }
    }

    /// What is due now. Packets are appended to `out`: everything whose time has come.
    pub fn due(&mut self, now: Instant, out: &mut Vec<u8>) -> Due {
        match &mut self.work {
            Work::Ended => Due::Nothing,
            Work::Periodic { next, .. } if *next > now => Due::Nothing,
            Work::Periodic { mode, next } => {
                // At even distances, unless a beat was missed.
                let interval = self.params.interval.max(Duration::from_millis(1));
                *next = if *next + interval > now { *next + interval } else { now + interval };
                match mode {
                    Periodic::Psi => Due::Psi,
                    Periodic::Null => {
                        out.extend_from_slice(&NULL_PACKET);
                        Due::Null
                    }
                }
            }
            Work::Slate { player, began } => {
                let missed = ticks_of(now - *began).saturating_sub(player.next_at());
                if missed > BACKLOG_MAX_TICKS {
                    *began += duration_of(missed - BACKLOG_MAX_TICKS);
                }
                let elapsed = ticks_of(now - *began);
                let before = out.len();
                while now >= *began && player.next_at() <= elapsed {
                    player.play(out);
                }
                if out.len() == before { Due::Nothing } else { Due::Slate }
            }
        }
    }

    /// What was due has been published. When that is too much, the next mode begins.
    pub fn published(&mut self, now: Instant, bytes: u64) {
        let Some(mode) = self.mode() else { return };
        let report = &mut self.report;
        report.bytes = report.bytes.saturating_add(bytes);
        report.chunks += 1;
        report.last_published_at = now;
        let Some(Tripped { rate, limit }) = self.guardrail.published(now, bytes) else { return };
        report.guardrail_count += 1;
        report.guardrail_reason = format!(
            "rate_bytes_per_second={rate:.0} exceeds_limit={limit:.0} expected_bytes_per_second={:.0}",
            report.expected_rate_bytes_per_second(),
        );
        if let Some(channel_rate) = report.channel_rate {
            report.guardrail_reason += &format!(" realtime_multiplier={:.2}", rate / channel_rate);
        }
        let reason =
            format!("recovery keepalive output exceeded realtime envelope: {}", report.guardrail_reason);
        self.fall_back(now, mode, &reason);
    }

    /// What is being done cannot be gone on with: the next mode begins.
    #[cfg(any(test, feature = "sim"))]
    pub fn failed(&mut self, now: Instant, reason: &str) {
        if let Some(mode) = self.mode() {
            self.fall_back(now, mode, reason);
        }
    }

    /// Ends. Another time changes nothing.
    pub fn stop(&mut self, now: Instant) {
        if self.report.stopped_at.is_none() {
            self.report.stopped_at = Some(now.max(self.report.started_at));
            self.report.mode = None;
            self.work = Work::Ended;
        }
    }

    /// What is being done; `None` once stopped.
    #[must_use]
    pub const fn mode(&self) -> Option<Mode> {
        self.report.mode
    }

    /// The slate that is being played, whose packets [`Due::Slate`] stands for.
    #[must_use]
    pub fn slate(&self) -> Option<&Arc<Slate>> {
        match &self.work {
            Work::Slate { player, .. } => Some(player.slate()),
            Work::Periodic { .. } | Work::Ended => None,
        }
    }

    /// What it has come to.
    #[must_use]
    pub const fn report(&self) -> &KeepaliveReport {
        &self.report
    }

    fn play(&mut self, now: Instant, slate: Arc<Slate>) {
        #[expect(clippy::cast_precision_loss, reason = "a rate is no account")]
        let own = slate.bytes_per_second() as f64;
        self.guardrail = Guardrail::new(now, self.report.expected_rate_bytes_per_second(), own);
        self.report.mode = Some(Mode::SlateAv);
        self.work = Work::Slate { player: Box::new(Player::new(slate)), began: now };
    }

    fn begin_periodic(&mut self, now: Instant, mode: Periodic) {
        // PAT and PMT are a packet each, rarely two.
        let (packets, shown) = match mode {
            Periodic::Psi => (2.0, Mode::Psi),
            Periodic::Null => (1.0, Mode::Null),
        };
        self.report.mode = Some(shown);
        #[expect(clippy::cast_precision_loss, reason = "188 is exact")]
        let bytes = packets * PACKET_BYTES as f64;
        let own = bytes / self.params.interval.max(Duration::from_millis(1)).as_secs_f64();
        self.guardrail = Guardrail::new(now, self.report.expected_rate_bytes_per_second(), own);
        self.work = Work::Periodic { mode, next: now };
    }

    /// Null packets have no fallback and go on: silence would be worse than too many of them.
    fn fall_back(&mut self, now: Instant, from: Mode, reason: &str) {
        match from.fallback() {
            Some(Mode::Psi) => self.begin_periodic(now, Periodic::Psi),
            Some(Mode::Null) => self.begin_periodic(now, Periodic::Null),
            Some(Mode::SlateAv) => unreachable!("nothing falls back to a slate"),
            None => {
                let next = now + self.params.interval;
                self.begin_periodic(next, Periodic::Null);
                return;
            }
        }
        self.report.totals.fallback_count += 1;
        self.report.totals.fallback_reason = format!("{}: {reason}", from.as_str());
    }
}

fn built_in(has_audio: bool) -> Result<Arc<Slate>, String> {
    let failed = |error| format!("the slate that is built in cannot be played: {error}");
    if has_audio { Slate::built_in() } else { Slate::built_in_without_sound() }.map_err(failed)
}

/// Whole ticks of 27 MHz.
fn ticks_of(duration: Duration) -> u64 {
    let ticks = duration.as_nanos() * u128::from(Pcr::RATE) / u128::from(NANOS_PER_SECOND);
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// The shortest duration that has so many ticks.
fn duration_of(ticks: u64) -> Duration {
    let nanos = (u128::from(ticks) * u128::from(NANOS_PER_SECOND)).div_ceil(u128::from(Pcr::RATE));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEGABIT: Option<u64> = Some(1_000_000);

    fn params(mode: Mode, millis: u64) -> Params {
        Params { mode, interval: Duration::from_millis(millis), has_audio: true }
    }

    fn started(mode: Mode, millis: u64, bitrate: Option<u64>) -> Filler {
        Filler::start(Instant::START, params(mode, millis), None, bitrate, KeepaliveTotals::default())
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    /// Does what is due, whenever it is, until `end`; each piece with its time in milliseconds.
    fn run(filler: &mut Filler, end: u64) -> Vec<(u64, Due, usize)> {
        let mut pieces = Vec::new();
        while let Some(now) = filler.next_deadline().filter(|now| *now <= at(end)) {
            let mut out = Vec::new();
            let due = filler.due(now, &mut out);
            assert_ne!(due, Due::Nothing, "a deadline has something to do");
            let bytes = if due == Due::Psi { 376 } else { out.len() };
            filler.published(now, u64::try_from(bytes).unwrap());
            pieces.push((now.as_millis(), due, bytes));
        }
        pieces
    }

    #[test]
    fn null_packets_come_at_once_and_then_at_the_interval() {
        let mut filler = started(Mode::Null, 60, None);
        let mut out = Vec::new();
        assert_eq!(filler.due(Instant::START, &mut out), Due::Null);
        assert_eq!(out, NULL_PACKET);
        assert_eq!(filler.due(at(59), &mut out), Due::Nothing);
        let times: Vec<_> = run(&mut filler, 300).iter().map(|piece| (piece.0, piece.1)).collect();
        assert_eq!(times, [60, 120, 180, 240, 300].map(|time| (time, Due::Null)));
    }

    #[test]
    fn tables_come_at_once_and_a_missed_beat_is_not_made_up_for() {
        let mut filler = started(Mode::Psi, 200, None);
        let mut out = Vec::new();
        assert_eq!(filler.due(Instant::START, &mut out), Due::Psi);
        assert_eq!(filler.due(at(5000), &mut out), Due::Psi);
        assert_eq!(filler.due(at(5000), &mut out), Due::Nothing);
        assert_eq!(filler.next_deadline(), Some(at(5200)));
        assert!(out.is_empty(), "the caller has the tables");
    }

    #[test]
    fn the_slate_begins_at_once_and_comes_in_real_time() {
        let mut filler = started(Mode::SlateAv, 200, MEGABIT);
        assert_eq!((filler.mode(), filler.next_deadline()), (Some(Mode::SlateAv), Some(Instant::START)));
        let pieces = run(&mut filler, 60_000);
        assert_eq!(pieces[0].0, 0);
        assert!(pieces.windows(2).all(|pair| pair[1].0 - pair[0].0 <= 40), "no gap is longer than a picture");
        let report = filler.report();
        assert_eq!((report.guardrail_count, report.totals.fallback_count), (0, 0));
        assert!(report.realtime_multiplier() > 0.0 && report.realtime_multiplier() < 2.5);
        assert_eq!(
            filler.slate().map(|slate| slate.programme()).map(|programme| programme.pmt_pid.get()),
            Some(0x1000)
        );
    }

    #[test]
    fn a_late_call_gets_a_second_at_most_and_the_slate_goes_on_without_a_jump() {
        let mut filler = started(Mode::SlateAv, 200, None);
        let (mut early, mut late, mut after) = (Vec::new(), Vec::new(), Vec::new());
        filler.due(at(1000), &mut early);
        filler.due(at(61_000), &mut late);
        let second = early.len();
        assert!(late.len() <= second * 2, "{} bytes after a minute, {second} in a second", late.len());
        assert!(filler.next_deadline().unwrap() > at(61_000));
        filler.due(at(62_000), &mut after);
        let mut inspector = crate::ts::Inspector::new();
        let all = [early, late, after].concat();
        let mut last = None::<Pcr>;
        for packet in all.as_chunks::<PACKET_BYTES>().0 {
            inspector.packet(0, packet);
            let pcr = inspector.last_pcr().map(|sample| sample.pcr);
            if let (Some(last), Some(pcr)) = (last, pcr) {
                assert!((0..=1_080_000).contains(&pcr.since(last)), "a jump of {}", pcr.since(last));
            }
            last = pcr;
        }
        assert_eq!(inspector.counts().continuity_gaps, 0);
    }

    #[test]
    fn a_given_slate_is_played_and_one_that_is_built_in_stands_in_for_it() {
        let given = Arc::new(Slate::built_in().unwrap().without_sound().unwrap());
        let with = params(Mode::SlateAv, 200);
        let totals = KeepaliveTotals::default;
        let filler = Filler::start(Instant::START, with, Some(Arc::clone(&given)), None, totals());
        assert!(Arc::ptr_eq(filler.slate().unwrap(), &given));
        let filler = Filler::start(Instant::START, with, None, None, totals());
        assert!(filler.slate().unwrap().sound().is_some());
        let without = Params { has_audio: false, ..with };
        let filler = Filler::start(Instant::START, without, None, None, totals());
        assert!(filler.slate().unwrap().sound().is_none());
    }

    #[test]
    fn a_failure_falls_to_the_next_mode_with_its_reason_and_null_packets_go_on() {
        let mut filler = started(Mode::SlateAv, 200, None);
        filler.failed(at(10), "no room");
        assert_eq!((filler.mode(), filler.next_deadline()), (Some(Mode::Psi), Some(at(10))));
        assert_eq!(filler.report().totals.fallback_reason, "slate_av: no room");
        filler.failed(at(20), "no programme is known");
        assert_eq!((filler.mode(), filler.next_deadline()), (Some(Mode::Null), Some(at(20))));
        assert_eq!(filler.report().totals.fallback_reason, "psi: no programme is known");
        filler.failed(at(30), "x");
        assert_eq!(filler.mode(), Some(Mode::Null));
        assert_eq!(filler.report().totals.fallback_count, 2);
        assert_eq!(run(&mut filler, 1000).len(), 4);

        let totals = filler.report().totals.clone();
        let next = Filler::start(at(2000), params(Mode::Null, 200), None, None, totals);
        assert_eq!(next.report().totals.fallback_count, 2, "it is the session's");
    }

    #[test]
    fn a_slate_that_produces_too_much_gives_way_to_tables_which_go_on() {
        let mut filler = started(Mode::SlateAv, 200, MEGABIT);
        let tripped = (0..4000).step_by(20).find(|time| {
            filler.published(at(*time), 18_000_000 / 50);
            filler.mode() == Some(Mode::Psi)
        });
        assert!(tripped.is_some());
        let report = filler.report();
        assert_eq!(report.guardrail_count, 1);
        assert!(report.guardrail_reason.contains("rate_bytes_per_second=18"), "{}", report.guardrail_reason);
        assert!(report.guardrail_reason.contains(" expected_bytes_per_second=125000 realtime_multiplier="));
        let reason = &report.totals.fallback_reason;
        assert!(reason.starts_with("slate_av: recovery keepalive output exceeded realtime envelope: rate"));

        let pieces = run(&mut filler, 60_000);
        assert_eq!(filler.mode(), Some(Mode::Psi));
        assert!(pieces.iter().all(|piece| piece.1 == Due::Psi));
        assert!(pieces.windows(2).all(|pair| pair[1].0 - pair[0].0 == 200));
        assert_eq!(filler.report().guardrail_count, 1);
    }

    #[test]
    fn a_channel_of_few_bits_is_no_reason_to_end_a_healthy_filler() {
        for (mode, millis) in [(Mode::SlateAv, 200), (Mode::Psi, 10), (Mode::Null, 1)] {
            let mut filler = started(mode, millis, Some(8000));
            run(&mut filler, 20_000);
            assert_eq!((filler.mode(), filler.report().guardrail_count), (Some(mode), 0));
        }
    }

    #[test]
    fn null_packets_that_are_too_many_are_counted_and_go_on() {
        let mut filler = started(Mode::Null, 200, MEGABIT);
        (0..10_000).step_by(20).for_each(|time| filler.published(at(time), 18_000_000 / 50));
        let report = filler.report();
        assert!(report.guardrail_count >= 3, "{}", report.guardrail_count);
        assert_eq!((report.mode, report.totals.fallback_count), (Some(Mode::Null), 0));
        assert!(filler.next_deadline().is_some());
    }

    #[test]
    fn operators_see_what_was_published() {
        let mut filler = Filler::start(
            at(500),
            params(Mode::Null, 100),
            None,
            Some(2_000_000),
            KeepaliveTotals::default(),
        );
        run(&mut filler, 2400);
        let running = filler.report();
        assert_eq!((running.mode, running.stopped_at), (Some(Mode::Null), None));
        assert_eq!(
            (running.chunks, running.bytes, running.duration(at(2450))),
            (20, 3760, Duration::from_millis(1950))
        );
        filler.stop(at(2500));
        let report = filler.report();
        assert_eq!((report.started_at, report.stopped_at), (at(500), Some(at(2500))));
        assert_eq!((report.mode, report.duration(at(9000))), (None, Duration::from_secs(2)));
        assert!((report.rate_bytes_per_second() - 1880.0).abs() < 0.001);
        assert!((report.expected_rate_bytes_per_second() - 250_000.0).abs() < 0.001);
        assert!((report.realtime_multiplier() - 1880.0 / 250_000.0).abs() < 1e-9);
    }

    #[test]
    fn an_unknown_channel_is_expected_to_have_a_megabit_and_a_half_and_no_multiplier() {
        for bitrate in [None, Some(0)] {
            let mut filler = started(Mode::Null, 100, bitrate);
            run(&mut filler, 1000);
            let report = filler.report();
            assert!((report.expected_rate_bytes_per_second() - 187_500.0).abs() < 0.001);
            assert!(report.realtime_multiplier() == 0.0);
        }
    }

    #[test]
    fn after_the_stop_nothing_comes_and_a_second_one_changes_nothing() {
        for mode in [Mode::Null, Mode::Psi, Mode::SlateAv] {
            let mut filler = started(mode, 100, None);
            run(&mut filler, 1000);
            filler.stop(at(1500));
            let report = filler.report().clone();
            let mut out = Vec::new();
            assert_eq!((filler.due(at(9000), &mut out), filler.next_deadline()), (Due::Nothing, None));
            filler.published(at(9000), 188);
            filler.failed(at(9000), "late");
            filler.stop(at(9000));
            assert_eq!(filler.report(), &report);
            assert!(out.is_empty());
        }
    }
}
