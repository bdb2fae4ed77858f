//! One attempt to start a source: from the first byte to the point where viewers may have it.
//!
//! A source is ready when its programme is known (PAT and PMT complete) and, if it has video, when a picture was
//! seen that a decoder can start with. What is found before that point is not shown to anybody. Where something is
//! found that decoders only may start with, something better is waited for as long as [`Grade::patience`] says.

use std::time::Duration;

use crate::base::Instant;
use crate::source::error::{Kind, SourceError};
use crate::ts::{ComponentState, Grade};

/// A fallback that could not be taken yet is looked at again after this.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// The limits of one attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StartupParams {
    /// `STARTUP_TIMEOUT`, or what is left of it.
    pub timeout: Duration,
    /// `MIN_PROBE_BYTES`: fewer bytes are no source. 0 acts as 1.
    pub bytes_min: u64,
    /// More bytes than this without a start are given up, even within the time.
    pub bytes_max: u64,
    /// Which programmes are taken.
    pub inventory: Inventory,
}

impl Default for StartupParams {
    /// 12 s; five packets; 32 MiB, six seconds at 40 Mbit/s, the longest distance between entry points on air.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(12),
            bytes_min: 940,
            bytes_max: 32 * 1024 * 1024,
            inventory: Inventory::AsDeclared,
        }
    }
}

/// Which programmes are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inventory {
    /// What the PMT declares: radio and cameras too.
    AsDeclared,
    /// Video with audio only. For the first look of ffmpeg, which may have been too short to find both.
    VideoAndAudio,
}

/// The streams a complete PMT declares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Programme {
    /// Video streams.
    pub video_streams: u32,
    /// Audio streams.
    pub audio_streams: u32,
}

impl Programme {
    /// The word for it in status and errors.
    #[must_use]
    pub const fn component_state(self) -> &'static str {
        ComponentState::of(self.video_streams > 0, self.audio_streams > 0).as_str()
    }
}

/// What has been seen of the source since it was opened. Positions count its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    /// Bytes received.
    pub bytes: u64,
    /// Where the first packet begins, once packets are locked to.
    pub first_packet: Option<u64>,
    /// The programme, once PAT and PMT are complete.
    pub programme: Option<Programme>,
    /// Where a decoder can start.
    pub entry_point: Option<u64>,
    /// Where it may, and how good that place is: the best that is still at hand.
    pub fallback: Option<(Grade, u64)>,
    /// Something of what there is to show has come, and clear.
    pub is_clear: bool,
    /// All that there is to show is scrambled.
    pub is_scrambled: bool,
}

/// What follows from what was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing yet.
    KeepGoing,
    /// The source has started; its bytes count from this position.
    Ready {
        /// Where viewers start.
        from: u64,
        /// How good a place that is.
        grade: Grade,
    },
    /// The attempt is over.
    Failed(SourceError),
}

/// One attempt.
#[derive(Clone, Debug)]
pub struct Startup {
    params: StartupParams,
    state: StartupState,
}

#[derive(Clone, Debug)]
enum StartupState {
    Probing {
        deadline: Instant,
        seen: Seen,
        /// The fallback's grade, and when something better is waited for no longer.
        patience: Option<(Grade, Instant)>,
    },
    Settled,
}

impl Startup {
    /// An attempt that begins now.
    #[must_use]
    pub fn new(params: StartupParams, now: Instant) -> Self {
        let state =
            StartupState::Probing { deadline: now + params.timeout, seen: Seen::default(), patience: None };
        Self { params, state }
    }

    /// When [`Startup::expire`] is to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        match &self.state {
            StartupState::Probing { deadline, patience: Some((_, until)), .. } => Some(*until.min(deadline)),
            StartupState::Probing { deadline, patience: None, .. } => Some(*deadline),
            StartupState::Settled => None,
        }
    }

    /// More was seen. Bytes that complete a start at the deadline still count: the timer only ends what is missing.
    pub fn observe(&mut self, now: Instant, seen: Seen) -> Verdict {
        let StartupState::Probing { seen: before, patience, .. } = &mut self.state else {
            return Verdict::KeepGoing;
        };
        assert!(seen.bytes >= before.bytes, "a source does not take bytes back: {before:?} then {seen:?}");
        *before = seen;
        let grade = seen.fallback.map(|(grade, _)| grade);
        if grade != patience.map(|(grade, _)| grade) {
            // A start that has less time than usual leaves some for what is found.
            let wait = |grade: Grade| grade.patience().min(self.params.timeout * 5 / 6);
            *patience = grade.map(|grade| (grade, now + wait(grade)));
        }
        let verdict = judge(&self.params, &seen);
        self.settle(verdict)
    }

    /// The source ended.
    pub fn ended(&mut self) -> Verdict {
        let StartupState::Probing { seen, .. } = &self.state else { return Verdict::KeepGoing };
        // Nothing better comes any more.
        let verdict =
            fall_back(&self.params, seen).unwrap_or_else(|| Verdict::Failed(ended_early(&self.params, seen)));
        self.settle(verdict)
    }

    /// The source failed.
    pub fn failed(&mut self, failure: SourceError) -> Verdict {
        match &self.state {
            StartupState::Probing { .. } => self.settle(Verdict::Failed(failure)),
            StartupState::Settled => Verdict::KeepGoing,
        }
    }

    /// Time passed.
    pub fn expire(&mut self, now: Instant) -> Verdict {
        match &self.state {
            StartupState::Probing { deadline, seen, patience } => {
                let is_over = now >= *deadline;
                let is_due = is_over || patience.is_some_and(|(_, until)| now >= until);
                let verdict = match fall_back(&self.params, seen).filter(|_| is_due) {
                    Some(ready) => ready,
                    None if is_over => timed_out(seen),
                    // A fallback alone is not enough, so more is waited for.
                    None => Verdict::KeepGoing,
                };
                if let (true, Verdict::KeepGoing, StartupState::Probing { patience, .. }) =
                    (is_due, &verdict, &mut self.state)
                {
                    *patience = patience.map(|(grade, _)| (grade, now + RETRY_AFTER));
                }
                self.settle(verdict)
            }
            // A timer that was armed for a deadline since withdrawn may still fire.
            StartupState::Settled => Verdict::KeepGoing,
        }
    }

    fn settle(&mut self, verdict: Verdict) -> Verdict {
        match &verdict {
            Verdict::KeepGoing => {}
            Verdict::Ready { .. } | Verdict::Failed(_) => self.state = StartupState::Settled,
        }
        verdict
    }
}

fn judge(params: &StartupParams, seen: &Seen) -> Verdict {
    if let Some(programme) = seen.programme
        && is_refused(params.inventory, programme)
    {
        return Verdict::Failed(missing_components(programme));
    }
    if seen.is_scrambled {
        return Verdict::Failed(scrambled());
    }
    if let Some(from) = start(seen)
        && suffices(params, seen, from)
    {
        return Verdict::Ready { from, grade: Grade::Certain };
    }
    if seen.bytes >= params.bytes_max {
        return fall_back(params, seen).unwrap_or_else(|| Verdict::Failed(nothing_found(seen)));
    }
    Verdict::KeepGoing
}

fn suffices(params: &StartupParams, seen: &Seen, from: u64) -> bool {
    // An entry point that the bytes end at has no picture yet.
    seen.bytes >= params.bytes_min.max(1) && seen.bytes > from
}

/// A start at what there is, although it is not what was looked for.
fn fall_back(params: &StartupParams, seen: &Seen) -> Option<Verdict> {
    let (grade, from) = seen.fallback?;
    let programme = seen.programme?;
    (suffices(params, seen, from) && !is_refused(params.inventory, programme))
        .then_some(Verdict::Ready { from, grade })
}

/// A programme without video and audio is not refused yet: its next PMT may have them.
const fn is_refused(inventory: Inventory, programme: Programme) -> bool {
    match inventory {
        Inventory::AsDeclared => false,
        Inventory::VideoAndAudio => (programme.video_streams > 0) != (programme.audio_streams > 0),
    }
}

/// Where the source may start, if it may: at a picture, or for radio at its first packet once there is something to hear.
fn start(seen: &Seen) -> Option<u64> {
    let programme = seen.programme?;
    match (programme.video_streams > 0, programme.audio_streams > 0) {
        (true, _) => seen.entry_point,
        (false, true) => seen.entry_point.or(seen.first_packet.filter(|_| seen.is_clear)),
        (false, false) => None,
    }
}

fn awaits_entry_point(seen: &Seen) -> bool {
    seen.programme.is_some_and(|programme| programme.video_streams > 0) && seen.entry_point.is_none()
}

fn timed_out(seen: &Seen) -> Verdict {
    let what = if awaits_entry_point(seen) { "random-access source bytes" } else { "source bytes" };
    Verdict::Failed(SourceError::new(Kind::Timeout, &format!("startup timeout waiting for {what}")))
}

fn missing_components(programme: Programme) -> SourceError {
    let Programme { video_streams, audio_streams } = programme;
    let state = programme.component_state();
    let method = if state == "undetected" { "none" } else { "pmt" };
    SourceError::new(
        Kind::Inventory,
        &format!(
            "startup stream inventory missing required audio+video components \
             (state={state} method={method} video_streams={video_streams} audio_streams={audio_streams})"
        ),
    )
}

fn ended_early(params: &StartupParams, seen: &Seen) -> SourceError {
    let (bytes, min) = (seen.bytes, params.bytes_min.max(1));
    let text = if bytes == 0 {
        "source closed before startup bytes were received".to_owned()
    } else if bytes < min {
        format!("source closed early after {bytes} of {min} startup bytes")
    } else if awaits_entry_point(seen) {
        format!("source closed before random-access startup bytes were received ({bytes} bytes)")
    } else {
        return missing_components(
            seen.programme.unwrap_or(Programme { video_streams: 0, audio_streams: 0 }),
        );
    };
    SourceError::new(Kind::Closed, &text)
}

fn scrambled() -> SourceError {
    SourceError::new(Kind::Scrambled, "startup stream is scrambled: it has no clear pictures or sound")
}

fn nothing_found(seen: &Seen) -> SourceError {
    let what = if awaits_entry_point(seen) {
        "random-access marker was"
    } else if seen.first_packet.is_some() {
        "programme tables were"
    } else {
        "transport stream packets were"
    };
    SourceError::new(
        Kind::NoEntryPoint,
        &format!("startup {what} not observed in first {} bytes", seen.bytes),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Instant = Instant::START;
    const TV: Programme = Programme { video_streams: 1, audio_streams: 1 };
    const RADIO: Programme = Programme { video_streams: 0, audio_streams: 2 };
    const CAMERA: Programme = Programme { video_streams: 1, audio_streams: 0 };
    const DATA: Programme = Programme { video_streams: 0, audio_streams: 0 };

    fn params() -> StartupParams {
        StartupParams { bytes_max: 10_000, ..StartupParams::default() }
    }

    fn seen(bytes: u64, programme: Option<Programme>, entry_point: Option<u64>) -> Seen {
        let first_packet = (bytes >= 188).then_some(0);
        Seen {
            bytes,
            first_packet,
            programme,
            entry_point,
            fallback: None,
            is_clear: bytes >= 188,
            is_scrambled: false,
        }
    }

    fn text(verdict: Verdict) -> String {
        match verdict {
            Verdict::Failed(failure) => failure.to_string(),
            Verdict::KeepGoing => "keep going".to_owned(),
            Verdict::Ready { from, .. } => format!("ready from {from}"),
        }
    }

    #[test]
    fn a_source_is_ready_when_its_programme_is_known_and_its_video_can_start() {
        for (seen, expected) in [
            (seen(0, None, None), "keep going"),
            (seen(5000, None, None), "keep going"),
            // A picture before the tables that say what it is cannot be decoded.
            (seen(5000, None, Some(188)), "keep going"),
            (seen(5000, Some(TV), None), "keep going"),
            (seen(5000, Some(TV), Some(1880)), "ready from 1880"),
            (seen(939, Some(TV), Some(188)), "keep going"),
            (seen(940, Some(TV), Some(188)), "ready from 188"),
            (seen(1880, Some(TV), Some(1880)), "keep going"),
            (seen(5000, Some(CAMERA), Some(376)), "ready from 376"),
            (seen(5000, Some(CAMERA), None), "keep going"),
            (seen(5000, Some(RADIO), None), "ready from 0"),
            (seen(5000, Some(RADIO), Some(564)), "ready from 564"),
            (seen(5000, Some(DATA), None), "keep going"),
            (seen(5000, Some(DATA), Some(188)), "keep going"),
        ] {
            assert_eq!(text(Startup::new(params(), T0).observe(T0, seen)), expected, "{seen:?}");
        }
    }

    #[test]
    fn fewer_bytes_than_one_are_never_enough() {
        let mut startup = Startup::new(StartupParams { bytes_min: 0, ..params() }, T0);
        assert_eq!(text(startup.ended()), "source closed before startup bytes were received");
    }

    #[test]
    fn the_first_look_of_ffmpeg_must_find_both() {
        let inventory = Inventory::VideoAndAudio;
        for (programme, entry, expected) in [
            (TV, Some(0), "ready from 0"),
            (
                CAMERA,
                Some(0),
                "startup stream inventory missing required audio+video components \
                 (state=video_only method=pmt video_streams=1 audio_streams=0)",
            ),
            (
                RADIO,
                None,
                "startup stream inventory missing required audio+video components \
                 (state=audio_only method=pmt video_streams=0 audio_streams=2)",
            ),
            (DATA, None, "keep going"),
        ] {
            let mut startup = Startup::new(StartupParams { inventory, ..params() }, T0);
            assert_eq!(text(startup.observe(T0, seen(1880, Some(programme), entry))), expected);
        }
    }

    #[test]
    fn an_end_is_told_by_how_far_the_source_came() {
        let undetected = "startup stream inventory missing required audio+video components \
                          (state=undetected method=none video_streams=0 audio_streams=0)";
        for (seen, expected) in [
            (seen(0, None, None), "source closed before startup bytes were received"),
            (seen(5, None, None), "source closed early after 5 of 940 startup bytes"),
            (seen(939, Some(TV), None), "source closed early after 939 of 940 startup bytes"),
            (seen(940, None, None), undetected),
            (seen(1880, Some(DATA), None), undetected),
            (
                seen(1880, Some(TV), None),
                "source closed before random-access startup bytes were received (1880 bytes)",
            ),
        ] {
            let mut startup = Startup::new(params(), T0);
            assert_eq!(startup.observe(T0, seen), Verdict::KeepGoing);
            assert_eq!(text(startup.ended()), expected);
        }
    }

    #[test]
    fn the_timeout_tells_what_was_missing() {
        for (seen, expected) in [
            (seen(0, None, None), "startup timeout waiting for source bytes"),
            (seen(5000, None, None), "startup timeout waiting for source bytes"),
            (seen(5000, Some(TV), None), "startup timeout waiting for random-access source bytes"),
        ] {
            let mut startup = Startup::new(params(), T0);
            let deadline = T0 + params().timeout;
            assert_eq!(startup.next_deadline(), Some(deadline));
            assert_eq!(startup.observe(T0, seen), Verdict::KeepGoing);
            assert_eq!(startup.expire(Instant::from_millis(11_999)), Verdict::KeepGoing);
            let verdict = startup.expire(deadline);
            assert!(matches!(&verdict, Verdict::Failed(failure) if failure.kind() == Kind::Timeout));
            assert_eq!(text(verdict), expected);
            assert_eq!(startup.next_deadline(), None);
        }
    }

    #[test]
    fn too_many_bytes_without_a_start_are_given_up() {
        let unlocked = Seen { bytes: 10_000, ..Seen::default() };
        for (seen, expected) in [
            (unlocked, "startup transport stream packets were not observed in first 10000 bytes"),
            (seen(10_000, None, None), "startup programme tables were not observed in first 10000 bytes"),
            (
                seen(10_188, Some(TV), None),
                "startup random-access marker was not observed in first 10188 bytes",
            ),
            (seen(9_999, Some(TV), None), "keep going"),
            (seen(12_000, Some(TV), Some(9_400)), "ready from 9400"),
        ] {
            assert_eq!(text(Startup::new(params(), T0).observe(T0, seen)), expected, "{seen:?}");
        }
    }

    #[test]
    fn what_is_scrambled_fails_at_once_and_says_so() {
        for programme in [TV, RADIO, CAMERA] {
            let mut startup = Startup::new(params(), T0);
            assert_eq!(startup.observe(T0, seen(1880, None, None)), Verdict::KeepGoing);
            let verdict =
                startup.observe(T0, Seen { is_scrambled: true, ..seen(3760, Some(programme), None) });
            assert!(matches!(&verdict, Verdict::Failed(failure) if failure.kind() == Kind::Scrambled));
            assert_eq!(text(verdict), "startup stream is scrambled: it has no clear pictures or sound");
        }
    }

    #[test]
    fn radio_is_not_ready_before_there_is_something_to_hear() {
        let unheard = |bytes| Seen { is_clear: false, ..seen(bytes, Some(RADIO), None) };
        let mut startup = Startup::new(params(), T0);
        assert_eq!(startup.observe(T0, unheard(1880)), Verdict::KeepGoing);
        let verdict = startup.observe(T0, Seen { is_scrambled: true, ..unheard(3760) });
        assert!(matches!(&verdict, Verdict::Failed(failure) if failure.kind() == Kind::Scrambled));
        let mut startup = Startup::new(params(), T0);
        assert_eq!(startup.observe(T0, unheard(1880)), Verdict::KeepGoing);
        assert_eq!(text(startup.observe(T0, seen(3760, Some(RADIO), None))), "ready from 0");
    }

    #[test]
    fn a_budget_of_nothing_is_spent_at_once() {
        let mut startup = Startup::new(StartupParams { timeout: Duration::ZERO, ..params() }, T0);
        assert_eq!(text(startup.expire(T0)), "startup timeout waiting for source bytes");
    }

    #[test]
    fn nothing_changes_an_attempt_that_is_settled() {
        let ready = || {
            let mut startup = Startup::new(params(), T0);
            assert_eq!(
                startup.observe(T0, seen(5000, Some(TV), Some(0))),
                Verdict::Ready { from: 0, grade: Grade::Certain }
            );
            startup
        };
        assert_eq!(ready().observe(T0, seen(6000, Some(TV), Some(0))), Verdict::KeepGoing);
        assert_eq!(ready().ended(), Verdict::KeepGoing);
        assert_eq!(ready().expire(Instant::from_millis(99_999)), Verdict::KeepGoing);
        let failure = || SourceError::status(404, "", None);
        assert_eq!(ready().failed(failure()), Verdict::KeepGoing);
        let mut failed = Startup::new(params(), T0);
        assert_eq!(failed.failed(failure()), Verdict::Failed(failure()));
        assert_eq!(failed.observe(T0, seen(5000, Some(TV), Some(0))), Verdict::KeepGoing);
    }

    /// Something came at each of these times, and what was said of it; then what time alone says.
    fn told(params: StartupParams, seen: &[(u64, Seen)]) -> Vec<(u64, String)> {
        let mut startup = Startup::new(params, T0);
        let mut said = Vec::new();
        for (millis, seen) in seen {
            while let Some(due) = startup.next_deadline().filter(|due| due.as_millis() <= *millis) {
                said.push((due.as_millis(), text(startup.expire(due))));
            }
            said.push((*millis, text(startup.observe(Instant::from_millis(*millis), *seen))));
        }
        while let Some(due) = startup.next_deadline() {
            said.push((due.as_millis(), text(startup.expire(due))));
        }
        said.retain(|(_, verdict)| verdict != "keep going");
        said
    }

    fn with(grade: Grade, from: u64) -> Seen {
        Seen { fallback: Some((grade, from)), ..seen(5000, Some(TV), None) }
    }

    #[test]
    fn what_a_decoder_may_start_with_is_taken_when_nothing_better_comes_in_its_time() {
        let better = Seen { entry_point: Some(3760), ..with(Grade::Probable, 188) };
        type Case = (&'static str, Vec<(u64, Seen)>, (u64, &'static str));
        let table: Vec<Case> = vec![
            (
                "said to be a random access point",
                vec![(500, with(Grade::Probable, 188))],
                (2500, "ready from 188"),
            ),
            ("of a codec nobody knows", vec![(0, with(Grade::Blind, 188))], (2000, "ready from 188")),
            ("sound alone", vec![(0, with(Grade::Sound, 188))], (5000, "ready from 188")),
            (
                "a picture that needs others",
                vec![(0, with(Grade::Possible, 188))],
                (10_000, "ready from 188"),
            ),
            ("in the last moment", vec![(11_000, with(Grade::Possible, 188))], (12_000, "ready from 188")),
            (
                "a key picture in time",
                vec![(0, with(Grade::Probable, 188)), (1999, better)],
                (1999, "ready from 3760"),
            ),
            (
                "what is better has its own time",
                vec![(0, with(Grade::Possible, 188)), (4000, with(Grade::Probable, 376))],
                (6000, "ready from 376"),
            ),
            (
                "sound is no longer alone",
                vec![(0, with(Grade::Sound, 188)), (1000, with(Grade::Possible, 376))],
                (11_000, "ready from 376"),
            ),
            (
                "sound is no longer alone, and nothing is known of the picture",
                vec![(0, with(Grade::Sound, 188)), (1000, seen(5000, Some(TV), None))],
                (12_000, "startup timeout waiting for random-access source bytes"),
            ),
            (
                "too much without anything better",
                vec![(0, Seen { bytes: 10_000, ..with(Grade::Possible, 188) })],
                (0, "ready from 188"),
            ),
        ];
        for (name, seen, (millis, expected)) in table {
            assert_eq!(told(params(), &seen), [(millis, expected.to_owned())], "{name}");
        }
    }

    #[test]
    fn a_short_start_has_short_patience() {
        let params = StartupParams { timeout: Duration::from_secs(3), ..params() };
        let said = told(params, &[(0, with(Grade::Possible, 188))]);
        assert_eq!(said, [(2500, "ready from 188".to_owned())]);
    }

    #[test]
    fn a_source_that_ends_is_shown_from_the_best_it_had() {
        let mut startup = Startup::new(params(), T0);
        assert_eq!(startup.observe(T0, with(Grade::Probable, 188)), Verdict::KeepGoing);
        assert_eq!(startup.ended(), Verdict::Ready { from: 188, grade: Grade::Probable });
    }

    #[test]
    fn a_fallback_is_no_programme() {
        let mut startup = Startup::new(params(), T0);
        let unknown = Seen { programme: None, ..with(Grade::Probable, 188) };
        assert_eq!(startup.observe(T0, unknown), Verdict::KeepGoing);
        assert_eq!(startup.expire(Instant::from_millis(2000)), Verdict::KeepGoing);
        assert!(startup.next_deadline().is_some_and(|due| due > Instant::from_millis(2000)));
    }
}
