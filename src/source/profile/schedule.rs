//! When ffprobe may be asked about a source.

use std::time::Duration;

use crate::base::Instant;
use crate::source::mode::Opening;
use crate::ts::StreamProfile;

const RECOVERY_DELAY_MIN: Duration = Duration::from_millis(100);
const RECOVERY_DELAY_MAX: Duration = Duration::from_secs(5);
const COOLDOWN_MIN: Duration = Duration::from_millis(100);
const COOLDOWN_MAX: Duration = Duration::from_secs(2);

/// The settings that decide.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// How long the packets themselves may take to tell.
    pub patience: Duration,
    /// `CYCLE_FAILURE_MIN_HEALTH`; zero is none.
    pub min_health: Duration,
    /// `STALL_DETECT`; zero is off.
    pub stall_detect: Duration,
}

impl Timing {
    /// How long the packets are given by default: an entry point has passed by then, or none will.
    pub const PATIENCE: Duration = Duration::from_secs(10);

    /// A source chosen in recovery may be lost again at once.
    fn recovery_delay(&self) -> Duration {
        if self.min_health.is_zero() {
            return Duration::ZERO;
        }
        let stall = if self.stall_detect.is_zero() { Duration::MAX } else { self.stall_detect };
        self.min_health.min(stall).clamp(RECOVERY_DELAY_MIN, RECOVERY_DELAY_MAX)
    }

    /// Between the starts of two probes.
    fn cooldown(&self) -> Duration {
        if self.stall_detect.is_zero() {
            return Duration::ZERO;
        }
        (self.stall_detect / 2).clamp(COOLDOWN_MIN, COOLDOWN_MAX)
    }
}

/// Whether ffprobe should be asked: when packets did not tell the size of the pictures, and the second connection
/// that ffprobe opens takes nothing from a viewer. A source without pictures has none whose size is missing.
#[must_use]
pub fn needs_ffprobe(profile: &StreamProfile, opening: Opening, has_free_slot: bool) -> bool {
    let is_radio = profile.video_codec.is_none() && profile.audio_codec.is_some();
    let is_unknown = profile.width == 0 || profile.height == 0;
    is_unknown && !is_radio && has_free_slot && matches!(opening, Opening::Ffmpeg(_))
}

/// Decides for one session. A probe has a number; answers of others than the last one are void.
pub struct Schedule {
    timing: Timing,
    source: Option<(i64, Box<str>)>,
    due: Option<Instant>,
    probe: u64,
    is_running: bool,
    last_start: Option<Instant>,
}

impl Schedule {
    /// Of a session without a source.
    #[must_use]
    pub const fn new(timing: Timing) -> Self {
        Self { timing, source: None, due: None, probe: 0, is_running: false, last_start: None }
    }

    /// A source was selected, in recovery or not. A probe that is running is void. True when it is another source
    /// than before: then nothing of its profile is known.
    pub fn select(&mut self, now: Instant, id: i64, url: &str, in_recovery: bool, is_known: bool) -> bool {
        let is_other = self.source.as_ref().is_none_or(|(known, at)| (*known, &**at) != (id, url));
        self.cancel();
        if is_other {
            self.source = Some((id, url.into()));
        }
        if url.trim().is_empty() || is_known && !is_other {
            return is_other;
        }
        let delay = if in_recovery { self.timing.recovery_delay() } else { Duration::ZERO };
        let rested = self.last_start.map_or(now, |start| start + self.timing.cooldown());
        self.due = Some((now + delay.max(self.timing.patience)).max(rested));
        is_other
    }

    /// When [`Schedule::start`] will have a probe to start.
    #[must_use]
    pub const fn next_deadline(&self) -> Option<Instant> {
        self.due
    }

    /// The probe's number, when it is time to start it. It may still turn out not to be needed.
    pub fn start(&mut self, now: Instant) -> Option<u64> {
        if self.due.is_none_or(|due| now < due) {
            return None;
        }
        self.due = None;
        self.is_running = true;
        self.last_start = Some(now);
        Some(self.probe)
    }

    /// A probe answered. True when its answer is about the selected source.
    pub const fn finish(&mut self, probe: u64) -> bool {
        let is_current = self.is_running && probe == self.probe;
        if is_current {
            self.is_running = false;
        }
        is_current
    }

    /// Nothing is to be started, and no answer is waited for: the session ended, or its source was lost.
    pub const fn cancel(&mut self) {
        self.due = None;
        self.is_running = false;
        self.probe += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::mode::Remux;
    use crate::ts::Codec;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn schedule(stall_ms: u64, health_ms: u64) -> Schedule {
        Schedule::new(Timing {
            patience: Duration::ZERO,
            min_health: Duration::from_millis(health_ms),
            stall_detect: Duration::from_millis(stall_ms),
        })
    }

    #[test]
    fn delays_are_clamped() {
        for (stall_ms, health_ms, delay_ms, cooldown_ms) in [
            (4000, 20_000, 4000, 2000),
            (0, 20_000, 5000, 0),
            (4000, 0, 0, 2000),
            (50, 20_000, 100, 100),
            (60_000, 60_000, 5000, 2000),
            (120, 140, 120, 100),
        ] {
            let timing = schedule(stall_ms, health_ms).timing;
            let found = (timing.recovery_delay().as_millis(), timing.cooldown().as_millis());
            assert_eq!(found, (delay_ms, cooldown_ms), "{stall_ms} {health_ms}");
        }
    }

    #[test]
    fn without_limits_every_selection_is_probed_at_once() {
        let mut schedule = schedule(0, 0);
        for id in [10, 11, 10] {
            assert!(schedule.select(at(5), id, "http://h/a", true, false));
            let probe = schedule.start(at(5)).unwrap();
            assert!(schedule.finish(probe));
        }
    }

    #[test]
    fn a_selection_that_is_replaced_is_not_probed() {
        let mut schedule = schedule(120, 140);
        schedule.select(at(0), 1, "http://h/a", true, false);
        schedule.select(at(40), 2, "http://h/b", true, false);
        assert_eq!(schedule.next_deadline(), Some(at(160)));
        assert_eq!(schedule.start(at(159)), None);
        assert!(schedule.start(at(160)).is_some());
        assert_eq!((schedule.start(at(9999)), schedule.next_deadline()), (None, None));
    }

    #[test]
    fn probes_rest_between_each_other() {
        let mut schedule = schedule(220, 0);
        schedule.select(at(0), 1, "http://h/a", false, false);
        let first = schedule.start(at(0)).unwrap();
        schedule.select(at(1), 2, "http://h/b", false, false);
        assert!(!schedule.finish(first), "its source was deselected");
        assert_eq!(schedule.next_deadline(), Some(at(110)));
        let second = schedule.start(at(110)).unwrap();
        assert_ne!(first, second);
        assert!(schedule.finish(second));
        assert!(!schedule.finish(second), "one answer each");
    }

    #[test]
    fn what_is_known_is_not_asked_again() {
        let mut schedule = schedule(0, 0);
        assert!(schedule.select(at(0), 1, "http://h/a", false, false));
        assert!(!schedule.select(at(1), 1, "http://h/a", false, true));
        assert_eq!(schedule.next_deadline(), None);
        assert!(!schedule.select(at(2), 1, "http://h/a", false, false), "still unknown");
        assert_eq!(schedule.next_deadline(), Some(at(2)));
        assert!(schedule.select(at(3), 1, "http://h/b", false, true), "another address");
        assert_eq!(schedule.next_deadline(), Some(at(3)));
        assert!(schedule.select(at(4), 2, "  ", false, false));
        assert_eq!(schedule.next_deadline(), None, "no address");
    }

    #[test]
    fn the_end_of_a_session_voids_its_probe() {
        let mut schedule = schedule(0, 0);
        schedule.select(at(0), 1, "http://h/a", false, false);
        let probe = schedule.start(at(0)).unwrap();
        schedule.cancel();
        assert!(!schedule.finish(probe));
        assert_eq!(schedule.next_deadline(), None);
    }

    #[test]
    fn packets_are_given_time_to_tell() {
        let timing = Timing { patience: Timing::PATIENCE, ..schedule(4000, 20_000).timing };
        let mut schedule = Schedule::new(timing);
        schedule.select(at(0), 1, "http://h/a", true, false);
        assert_eq!(schedule.next_deadline(), Some(at(10_000)));
    }

    #[test]
    fn ffprobe_is_asked_for_a_missing_size_and_a_spare_connection_alone() {
        let ffmpeg = Opening::Ffmpeg(Remux::Copy);
        let unknown = StreamProfile { video_codec: Some(Codec::Av1.into()), ..StreamProfile::default() };
        let known = StreamProfile { width: 1920, height: 1080, ..unknown.clone() };
        let radio = StreamProfile { audio_codec: Some(Codec::Aac.into()), ..StreamProfile::default() };
        for (profile, opening, has_free_slot, expected) in [
            (unknown.clone(), ffmpeg, true, true),
            (unknown.clone(), Opening::Ffmpeg(Remux::Transcode), true, true),
            (StreamProfile::default(), ffmpeg, true, true),
            (unknown.clone(), ffmpeg, false, false),
            (unknown, Opening::Direct, true, false),
            (known, ffmpeg, true, false),
            (radio, ffmpeg, true, false),
        ] {
            assert_eq!(needs_ffprobe(&profile, opening, has_free_slot), expected, "{profile:?} {opening:?}");
        }
    }
}
