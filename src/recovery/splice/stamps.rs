//! The time stamps that leave: what is added to those of a run so that nothing steps back.

use std::time::Duration;

use crate::base::Instant;
use crate::recovery::splice::lead::Lead;
use crate::ts::{PesTimes, Pts, StreamKind};

/// A source with more time between arrival and decoding than is left gets up to this much of it back.
const LEAD_TICKS_MAX: i64 = 8_100;
/// The first picture is shown after the last one of before, if that costs no more than this.
const PICTURE_TICKS_MAX: i64 = 7_200;
/// All that a splice may add to the time that has really passed.
const ADDED_TICKS_MAX: i64 = 9_000;
/// What comes without a clock and like nothing before it is decoded this much later than it leaves.
pub(super) const STRANGER_TICKS: i64 = 27_000;
/// A picture's time when nothing is known: 40 ms.
const FRAME_TICKS: i64 = 3_600;
/// A PID that has rested for longer than this is no measure of what is due.
const REST_MAX: Duration = Duration::from_secs(1);
/// What was written longer ago tells nothing about what comes now: times are compared modulo 26.5 hours.
const HISTORY_MAX: Duration = Duration::from_secs(6 * 3600);

/// 90 kHz ticks of a duration.
pub(super) fn pts_ticks(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos() * 9 / 100_000).unwrap_or(i64::MAX)
}

/// What has left of one kind of stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct History {
    /// The last decoding time.
    dts: Pts,
    /// When it left.
    at: Instant,
    /// The distance of the last two.
    frame: i64,
    /// The last presentation time so far.
    top: Pts,
}

impl History {
    /// The decoding time of what comes next if it comes now.
    fn due(&self, now: Instant) -> Pts {
        self.dts.plus(self.frame.max(pts_ticks(now - self.at)))
    }
}

/// What has left of video and of audio.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Histories {
    video: Option<History>,
    audio: Option<History>,
}

impl Histories {
    /// A PES packet leaves.
    pub(super) fn write(&mut self, now: Instant, kind: StreamKind, times: PesTimes, frame: Option<i64>) {
        let history = match kind {
            StreamKind::Video => &mut self.video,
            StreamKind::Audio => &mut self.audio,
            StreamKind::Other => return,
        };
        let dts = times.decoding();
        let fresh = History { dts, at: now, frame: frame.unwrap_or(FRAME_TICKS), top: times.pts };
        let Some(known) = history.as_mut().filter(|known| now - known.at <= HISTORY_MAX) else {
            *history = Some(fresh);
            return;
        };
        if dts.since(known.dts) > 0 {
            (known.dts, known.at) = (dts, now);
            known.frame = frame.unwrap_or(known.frame);
        }
        if times.pts.since(known.top) > 0 {
            known.top = times.pts;
        }
    }

    /// The decoding time of the next packet of a kind if it comes now.
    pub(super) fn due(&self, now: Instant, kind: StreamKind) -> Option<Pts> {
        self.of(now, kind).map(|history| history.due(now))
    }

    /// Whether its like has gone on for long after a PID rested at `since`. Its times then tell when the next is due, and not
    /// those of the PID: a source may have gone slower than time meanwhile.
    pub(super) fn outlives(&self, kind: StreamKind, since: Instant) -> bool {
        self.of(since, kind).is_some_and(|history| history.at - since > REST_MAX)
    }

    /// The last presentation time of all pictures so far.
    pub(super) fn top(&self, now: Instant) -> Option<Pts> {
        self.of(now, StreamKind::Video).map(|history| history.top)
    }

    /// The last decoding time of all that has left lately.
    pub(super) fn reached(&self, now: Instant) -> Option<Pts> {
        let times =
            [StreamKind::Video, StreamKind::Audio].map(|kind| self.of(now, kind).map(|last| last.dts));
        times.into_iter().flatten().reduce(|a, b| if b.since(a) > 0 { b } else { a })
    }

    /// The last decoding time of a kind.
    pub(super) fn last(&self, now: Instant, kind: StreamKind) -> Option<Pts> {
        self.of(now, kind).map(|history| history.dts)
    }

    /// The clock of what has left without one: what comes next would be as early as any stranger.
    pub(super) fn clock(&self, now: Instant) -> Option<Pts> {
        let due = [StreamKind::Video, StreamKind::Audio].map(|kind| self.due(now, kind));
        let soonest = due.into_iter().flatten().reduce(|a, b| if b.since(a) < 0 { b } else { a })?;
        Some(soonest.plus(-STRANGER_TICKS))
    }

    /// Whether anything has left lately.
    pub(super) fn any(&self, now: Instant) -> bool {
        self.of(now, StreamKind::Video).or_else(|| self.of(now, StreamKind::Audio)).is_some()
    }

    fn of(&self, now: Instant, kind: StreamKind) -> Option<History> {
        let history = match kind {
            StreamKind::Video => self.video,
            StreamKind::Audio => self.audio,
            StreamKind::Other => None,
        };
        history.filter(|history| now - history.at <= HISTORY_MAX)
    }

    /// What is to be added to the times of a run that begins like this. `clock` is what the session's clock is now. `None` when
    /// neither says anything.
    pub(super) fn offset(&self, now: Instant, lead: &Lead, clock: Option<Pts>) -> Option<i64> {
        let (video, audio) = (self.of(now, StreamKind::Video), self.of(now, StreamKind::Audio));
        let (times, history) = match (lead.video.zip(video), lead.audio.zip(audio)) {
            (Some(video), _) => video,
            (None, Some(audio)) => audio,
            (None, None) => return self.offset_of_strangers(now, lead, clock),
        };
        let first = times.decoding();
        let due = history.due(now);
        let (mut offset, due_passed) = (due.since(first), pts_ticks(now - history.at));
        let room = (due_passed + ADDED_TICKS_MAX - history.frame.max(due_passed)).max(0);
        let mut late = false;
        if let Some(clock) = clock {
            let behind = clock.since(first.plus(offset));
            if behind > 0 {
                offset += behind;
                late = true;
            }
        }
        let mut added = 0;
        if let (Some(clock), Some(pcr)) = (clock, lead.pcr) {
            let left = first.plus(offset).since(clock);
            added = added.max((first.since(pcr.to_pts()) - left).min(LEAD_TICKS_MAX));
            if let Some(audio) = lead.audio {
                let late = clock.since(audio.decoding().plus(offset));
                added = added.max(late.min(LEAD_TICKS_MAX));
            }
        }
        if lead.video.is_some() && video.is_some() {
            // Frames of audio that come too early are left out, fewer of them when there is time.
            if let (Some(times), Some(audio)) = (lead.audio, audio) {
                let early = audio.due(now).since(times.decoding().plus(offset));
                added = added.max(early.min(LEAD_TICKS_MAX));
            }
            let hidden = history.top.since(times.pts.plus(offset)) + 1;
            added = added.max(hidden.min(PICTURE_TICKS_MAX));
        }
        Some(offset + if late { added } else { added.min(room) })
    }

    /// The run has only kinds of streams that have not been seen so far: its distance from the clock stays, or it follows
    /// what else there was.
    fn offset_of_strangers(&self, now: Instant, lead: &Lead, clock: Option<Pts>) -> Option<i64> {
        if let (Some(clock), Some(pcr)) = (clock, lead.pcr) {
            return Some(clock.since(pcr.to_pts()));
        }
        let first = lead.video.or(lead.audio)?.decoding();
        let due = clock.map(|clock| clock.plus(STRANGER_TICKS));
        let due =
            due.or_else(|| self.due(now, StreamKind::Video)).or_else(|| self.due(now, StreamKind::Audio))?;
        Some(due.since(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::Pcr;

    const SECOND: Instant = Instant::from_millis(1000);

    fn times(pts: u64, dts: u64) -> PesTimes {
        PesTimes { pts: Pts::from_ticks(pts), dts: Some(Pts::from_ticks(dts)) }
    }

    /// Video was decoded last at 100 s and shown until 100.08 s, sound at 99.9 s; both left at one second.
    fn known() -> Histories {
        let mut histories = Histories::default();
        histories.write(SECOND, StreamKind::Video, times(9_007_200, 9_000_000), Some(3600));
        histories.write(SECOND, StreamKind::Audio, times(8_991_000, 8_991_000), Some(1920));
        histories
    }

    fn lead(pcr: Option<u64>, video: Option<PesTimes>, audio: Option<PesTimes>) -> Lead {
        Lead { pcr: pcr.map(|ticks| Pcr::from_ticks(ticks * 300)), video, audio }
    }

    #[test]
    fn a_run_goes_on_where_the_last_one_was() {
        let video = Some(times(57_200, 50_000));
        let audio = |dts| Some(times(dts, dts));
        // What it begins with, milliseconds since the last packet, the clock -> where the run's zero lands.
        type Case = (&'static str, Lead, u64, Option<u64>, Option<i64>);
        let table: Vec<Case> = vec![
            ("a frame later", lead(None, video, None), 0, None, Some(9_003_600 - 50_000)),
            ("after the time that has passed", lead(None, video, None), 500, None, Some(9_045_000 - 50_000)),
            ("sound alone", lead(None, None, audio(50_000)), 500, None, Some(8_991_000 + 45_000 - 50_000)),
            ("pictures before sound", lead(None, video, audio(50_000)), 500, None, Some(9_045_000 - 50_000)),
            (
                "sound that is a little early moves everything a little",
                lead(None, video, audio(50_000 - 12_000)),
                500,
                None,
                Some(9_045_000 - 50_000 + 3_000),
            ),
            (
                "sound that is much too early is left out",
                lead(None, video, audio(50_000 - 45_000)),
                500,
                None,
                Some(9_045_000 - 50_000 + LEAD_TICKS_MAX),
            ),
            (
                "the first picture is shown after the last",
                lead(None, Some(times(50_000, 50_000)), None),
                0,
                None,
                Some(9_007_201 - 50_000),
            ),
            (
                "never decoded before it is sent",
                lead(None, video, None),
                0,
                Some(9_100_000),
                Some(9_100_000 - 50_000),
            ),
            (
                "some of the source's own distance is given back",
                lead(Some(10_000), video, None),
                500,
                Some(9_040_000),
                Some(9_045_000 - 50_000 + LEAD_TICKS_MAX),
            ),
            (
                "but no more than there was",
                lead(Some(43_000), video, None),
                500,
                Some(9_040_000),
                Some(9_045_000 - 50_000 + 2_000),
            ),
            ("nothing at all", lead(Some(5), None, None), 500, None, None),
        ];
        for (name, lead, passed, clock, expected) in table {
            let now = Instant::from_millis(1000 + passed);
            let offset = known().offset(now, &lead, clock.map(Pts::from_ticks));
            assert_eq!(offset, expected, "{name}");
        }
    }

    #[test]
    fn a_kind_that_is_new_keeps_its_distance_from_the_clock() {
        let mut histories = Histories::default();
        let first = lead(Some(10_000), Some(times(57_200, 50_000)), None);
        assert_eq!(histories.offset(SECOND, &first, None), None);
        assert_eq!(histories.offset(SECOND, &first, Some(Pts::from_ticks(70_000))), Some(60_000));
        histories.write(SECOND, StreamKind::Audio, times(900_000, 900_000), Some(1920));
        let unclocked = lead(None, first.video, None);
        assert_eq!(histories.offset(SECOND, &unclocked, None), Some(901_920 - 50_000));
        let clock = Some(Pts::from_ticks(70_000));
        assert_eq!(histories.offset(SECOND, &unclocked, clock), Some(70_000 + STRANGER_TICKS - 50_000));
    }

    #[test]
    fn a_clock_nobody_has_sent_is_a_moment_before_what_comes_next() {
        assert_eq!(Histories::default().clock(SECOND), None);
        // Sound is due first.
        let clock = known().clock(Instant::from_millis(1500));
        assert_eq!(clock, Some(Pts::from_ticks(8_991_000 + 45_000 - 27_000)));
        let mut pictures = Histories::default();
        pictures.write(SECOND, StreamKind::Video, times(9_007_200, 9_000_000), Some(3600));
        assert_eq!(pictures.clock(SECOND), Some(Pts::from_ticks(9_003_600 - 27_000)));
    }

    #[test]
    fn what_left_hours_ago_is_forgotten() {
        let histories = known();
        let later = Instant::from_millis(1000 + 7 * 3_600_000);
        assert_eq!(histories.due(later, StreamKind::Video), None);
        assert!(!histories.any(later));
    }
}
