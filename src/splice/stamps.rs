//! The time stamps that leave: what is added to those of a run so that nothing steps back.

use std::time::Duration;

use crate::base::Instant;
use crate::splice::first_timestamps::{FirstTimestamps, sooner};
use crate::ts::{Pcr, PesTimes, Pts, StreamKind};

/// Where a run takes over, frames of its sound that come too early are left out, but for so many as this is long: it may be later
/// than time for their sake by no more.
const SOUND_TICKS_MAX: i64 = 8_100;
/// The first sample of a run's clock follows that of its boundary after this.
const STEP_TICKS: i64 = 90;
/// Inside a run sound is lost to none: the pictures wait for as long as sound of before has reached further, up to this.
const REACH_TICKS_MAX: i64 = 900_000;
/// What follows on a source that has never been later than it is now by this is where it would be without a pause.
const PAUSE_TICKS_MIN: i64 = 22_500;
/// What comes without a clock and like nothing before it is decoded this much later than it leaves.
pub(super) const STRANGER_TICKS: i64 = 27_000;
/// A filler's pictures leave at least this long before their time.
const FILLER_TICKS_MIN: i64 = 3_600;
/// Frames that last no longer are counted where a run takes over.
const WHOLE_TICKS_MAX: i64 = 6_000;
/// A picture's time when nothing is known: 40 ms.
const FRAME_TICKS: i64 = 3_600;
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
    /// How long what is decoded then lasts.
    lasts: i64,
    /// The last presentation time so far.
    top: Pts,
    /// What has left the latest for its time, of this run: which time, and when.
    latest: Option<(Pts, Instant)>,
}

impl History {
    /// The decoding time of what comes next.
    fn next(&self) -> Pts {
        self.dts.plus(self.lasts)
    }

    /// The decoding time of what comes next if it comes now.
    fn due(&self, now: Instant) -> Pts {
        self.dts.plus(self.lasts.max(pts_ticks(now - self.at)))
    }

    /// What is added to times that begin with `first` and follow these pictures, where it should be about `offset` and must lead no
    /// less far than `lowest`. What is between is a whole number of frames: who plays it counts in frames.
    fn whole_frames(&self, first: Pts, offset: i64, lowest: Option<i64>) -> i64 {
        if !(1..=WHOLE_TICKS_MAX).contains(&self.lasts) {
            return offset;
        }
        let begins = self.next().since(first);
        let over = further(begins, offset).rem_euclid(self.lasts);
        let before = offset - over;
        let may_be = |offset: i64| lowest.is_none_or(|lowest| further(lowest, offset) >= 0);
        if over == 0 || (over * 2 <= self.lasts && may_be(before)) { before } else { before + self.lasts }
    }

    /// The time of what would come now and be as late as anything so far.
    fn at_latest(&self, now: Instant) -> Option<Pts> {
        self.latest.map(|(dts, at)| dts.plus(pts_ticks(now - at)))
    }

    fn arrives(&mut self, now: Instant, dts: Pts) {
        let latest = self.at_latest(now).filter(|latest| dts.since(*latest) >= 0);
        self.latest = Some((latest.unwrap_or(dts), now));
    }
}

/// Sound that is further than pictures by more than this goes on without them.
const ALONE_TICKS_MIN: i64 = 90_000;

/// The last decoding times of pictures and of sound.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Reached {
    pub(super) video: Option<Pts>,
    pub(super) audio: Option<Pts>,
}

impl Reached {
    pub(super) const fn is_nowhere(self) -> bool {
        self.video.is_none() && self.audio.is_none()
    }

    /// So much further.
    pub(super) fn plus(self, ticks: i64) -> Self {
        let further = |pts: Option<Pts>| pts.map(|pts| pts.plus(ticks));
        Self { video: further(self.video), audio: further(self.audio) }
    }

    /// How far the streams have come since then. Pictures tell: they come one by one, and sound in PES packets of many frames. Sound
    /// that was missing and is where they are has not gone on without them.
    pub(super) fn since(self, before: Self) -> Option<i64> {
        let step = |now: Option<Pts>, before: Option<Pts>| Some(now?.since(before?));
        let is_further = self.audio.zip(self.video).is_some_and(|(audio, video)| audio.since(video) > 0);
        match (step(self.video, before.video), step(self.audio, before.audio)) {
            (Some(video), Some(audio)) if is_further && audio - video > ALONE_TICKS_MIN => Some(audio),
            (video, audio) => video.or(audio),
        }
    }
}

/// The session's clock in the ticks of stamps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ClockNow {
    /// What left last.
    pub(super) written: Pts,
    /// That, advanced by the time since.
    pub(super) due: Pts,
}

/// What has left of video and of audio.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Histories {
    video: Option<History>,
    audio: Option<History>,
}

impl Histories {
    /// A PES packet leaves, whose contents last so long.
    pub(super) fn write(&mut self, now: Instant, kind: StreamKind, times: PesTimes, lasts: Option<i64>) {
        let history = match kind {
            StreamKind::Video => &mut self.video,
            StreamKind::Audio => &mut self.audio,
            StreamKind::Other => return,
        };
        let dts = times.decoding();
        let mut fresh =
            History { dts, at: now, lasts: lasts.unwrap_or(FRAME_TICKS), top: times.pts, latest: None };
        fresh.arrives(now, dts);
        let Some(known) = history.as_mut().filter(|known| now - known.at <= HISTORY_MAX) else {
            *history = Some(fresh);
            return;
        };
        if dts.since(known.dts) > 0 {
            (known.dts, known.at) = (dts, now);
            known.lasts = lasts.unwrap_or(known.lasts);
            known.arrives(now, dts);
        }
        if times.pts.since(known.top) > 0 {
            known.top = times.pts;
        }
    }

    /// A run begins: when its packets come says nothing of when those of the last one came.
    pub(super) fn begin(&mut self) {
        for history in [&mut self.video, &mut self.audio].into_iter().flatten() {
            history.latest = None;
        }
    }

    /// The decoding time of the next packet of a kind if it comes now.
    pub(super) fn due(&self, now: Instant, kind: StreamKind) -> Option<Pts> {
        self.of(now, kind).map(|history| history.due(now))
    }

    /// The presentation time of the next picture that is shown behind all so far.
    pub(super) fn shown(&self, now: Instant) -> Option<Pts> {
        self.of(now, StreamKind::Video).map(|history| history.top.plus(history.lasts))
    }

    /// The last decoding times of what has left lately.
    pub(super) fn reached(&self, now: Instant) -> Reached {
        Reached { video: self.last(now, StreamKind::Video), audio: self.last(now, StreamKind::Audio) }
    }

    /// The last decoding time of all that has left lately.
    pub(super) fn furthest(&self, now: Instant) -> Option<Pts> {
        let Reached { video, audio } = self.reached(now);
        [video, audio].into_iter().flatten().reduce(later)
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

    /// What is to be added to all times of a run that begins like this, its clock's too. `None` when nothing tells.
    ///
    /// Its pictures follow those that have left, its clock that of the session. Where it has less time between the two
    /// than there is now, its clock is ahead, and where it has more, its pictures are: that is the source's own.
    pub(super) fn offset(
        &self,
        now: Instant,
        lead: &FirstTimestamps,
        clock: Option<ClockNow>,
    ) -> Option<i64> {
        let (video, audio) = (self.of(now, StreamKind::Video), self.of(now, StreamKind::Audio));
        let (video, audio) = (lead.video.zip(video), lead.audio.zip(audio));
        let pcr = lead.pcr.map(Pcr::to_pts);
        // What leads, and what it must not be earlier than.
        let (by_streams, bounds) = match (video, audio) {
            (Some((first, video)), _) => {
                let shown = lead.shown.unwrap_or(first.pts);
                let bounds = [
                    Some(video.next().since(first.decoding())),
                    Some(video.top.plus(video.lasts).since(shown)),
                ];
                (Some(video.due(now).since(first.decoding())), bounds)
            }
            (None, Some((first, audio))) => {
                let bounds = [Some(audio.next().since(first.decoding())), None];
                (Some(audio.due(now).since(first.decoding())), bounds)
            }
            (None, None) => (None, [None, None]),
        };
        let by_clock = clock.zip(pcr).map(|(clock, pcr)| clock.due.since(pcr));
        let by_time = match (by_streams, by_clock) {
            (Some(streams), Some(clock)) => Some(streams + further(streams, clock).min(0)),
            (streams, clock) => streams.or(clock),
        };
        let by_time = by_time.or_else(|| self.offset_of_strangers(now, lead, clock))?;
        let clock_bound = clock.zip(pcr).map(|(clock, pcr)| clock.written.since(pcr) + STEP_TICKS);
        // Without a clock of its own it is decoded no sooner than it comes.
        let firsts = [lead.video, lead.audio].into_iter().flatten().map(PesTimes::decoding);
        let first = firsts.reduce(sooner);
        let unclocked = clock.zip(first).filter(|_| pcr.is_none());
        let unclocked = unclocked.map(|(clock, first)| clock.due.since(first));
        let bounds = bounds.into_iter().chain([clock_bound, unclocked]);
        let lowest = bounds.flatten().reduce(larger);
        let offset = lowest.map_or(by_time, |lowest| larger(by_time, lowest));
        // Sound that comes a little too early is waited for.
        let early = audio.filter(|_| video.is_some() || lead.video.is_some());
        let early = early.map_or(0, |(first, audio)| audio.next().since(first.decoding().plus(offset)));
        let early = early.clamp(0, SOUND_TICKS_MAX);
        let Some((first, video)) = video else { return Some(offset + early) };
        let lowest = if early > 0 { Some(offset + early) } else { lowest };
        let whole = video.whole_frames(first.decoding(), offset + early, lowest);
        let is_far = early > 0 && further(offset, whole) > SOUND_TICKS_MAX;
        Some(if is_far { whole - video.lasts } else { whole })
    }

    /// What is to be added to the times of a filler, which has no time of its own: its pictures go on, its clock does, and
    /// the time between the two stays what it is.
    pub(super) fn offset_of_filler(
        &self,
        now: Instant,
        lead: &FirstTimestamps,
        clock: Option<ClockNow>,
    ) -> Option<i64> {
        let Some((first, video)) = lead.video.zip(self.of(now, StreamKind::Video)) else {
            return self.offset(now, lead, clock);
        };
        let due = video.due(now);
        let soonest = clock.map_or(due, |clock| later(clock.due.plus(FILLER_TICKS_MIN), due));
        let offset = soonest.since(first.decoding());
        Some(video.whole_frames(first.decoding(), offset, Some(offset)))
    }

    /// What is to be added to all times of a new time base inside a run, of which this is known. Nothing of it is lost: its
    /// pictures follow the pictures, its sound the sound, and the clock does not step back. What is further than that is left
    /// empty. It has come at `came_at`: what it has waited since is no pause.
    pub(super) fn joint(
        &self,
        now: Instant,
        came_at: Instant,
        lead: &FirstTimestamps,
        written: Option<Pts>,
    ) -> Option<i64> {
        let (video, audio) = (self.of(now, StreamKind::Video), self.of(now, StreamKind::Audio));
        let picture = lead.video.zip(video).map(|(first, video)| {
            let shown = lead.shown.unwrap_or(first.pts);
            larger(video.next().since(first.decoding()), video.top.plus(video.lasts).since(shown))
        });
        let sound = lead.audio.zip(audio).map(|(first, audio)| audio.next().since(first.decoding()));
        let clock = written.zip(lead.pcr).map(|(written, pcr)| written.since(pcr.to_pts()));
        let paused = |first: Option<PesTimes>, history: Option<History>| {
            let (first, latest) = (first?.decoding(), history?.at_latest(came_at)?);
            Some(latest.since(first))
        };
        let paused = paused(lead.video, video).or_else(|| paused(lead.audio, audio));
        let base = [picture, clock].into_iter().flatten().reduce(larger);
        let offset = match (base, sound) {
            (Some(base), Some(sound)) => base + further(base, sound).clamp(0, REACH_TICKS_MAX),
            (base, sound) => base.or(sound)?,
        };
        let pause = paused.map_or(0, |paused| further(offset, paused));
        Some(if pause > PAUSE_TICKS_MIN { offset + pause } else { offset })
    }

    /// The run has only kinds of streams that have not been seen so far, and no clock that is known: it follows what else there
    /// was.
    fn offset_of_strangers(
        &self,
        now: Instant,
        lead: &FirstTimestamps,
        clock: Option<ClockNow>,
    ) -> Option<i64> {
        let first = lead.video.or(lead.audio)?.decoding();
        let due = clock.map(|clock| clock.due.plus(STRANGER_TICKS));
        let due =
            due.or_else(|| self.due(now, StreamKind::Video)).or_else(|| self.due(now, StreamKind::Audio))?;
        Some(due.since(first))
    }
}

/// How much further than `from` an offset leads. What is added to times counts modulo their range, as they do.
pub(super) fn further(from: i64, offset: i64) -> i64 {
    const RANGE: i64 = Pts::MODULUS.cast_signed();
    (offset - from + RANGE / 2).rem_euclid(RANGE) - RANGE / 2
}

fn larger(a: i64, b: i64) -> i64 {
    a + further(a, b).max(0)
}

fn later(a: Pts, b: Pts) -> Pts {
    if b.since(a) > 0 { b } else { a }
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

    fn lead(pcr: Option<u64>, video: Option<PesTimes>, audio: Option<PesTimes>) -> FirstTimestamps {
        let shown = video.map(|times| times.pts);
        let pcr = pcr.map(|ticks| Pcr::from_ticks(ticks * 300));
        FirstTimestamps { pcr, video, audio, shown, closed: None }
    }

    /// What left last, and what is due.
    fn clock(written: u64, due: u64) -> Option<ClockNow> {
        Some(ClockNow { written: Pts::from_ticks(written), due: Pts::from_ticks(due) })
    }

    #[test]
    fn a_run_goes_on_where_the_last_one_was() {
        let video = Some(times(57_200, 50_000));
        let audio = |dts| Some(times(dts, dts));
        // What it begins with, milliseconds since the last packet, the clock -> where the run's zero lands.
        type Case = (&'static str, FirstTimestamps, u64, Option<ClockNow>, Option<i64>);
        let table: Vec<Case> = vec![
            ("a frame later", lead(None, video, None), 0, None, Some(9_003_600 - 50_000)),
            ("after the time that has passed", lead(None, video, None), 480, None, Some(9_043_200 - 50_000)),
            ("in whole frames", lead(None, video, None), 490, None, Some(9_043_200 - 50_000)),
            ("the nearest", lead(None, video, None), 510, None, Some(9_046_800 - 50_000)),
            ("sound alone", lead(None, None, audio(50_000)), 500, None, Some(8_991_000 + 45_000 - 50_000)),
            ("pictures before sound", lead(None, video, audio(50_000)), 500, None, Some(9_043_200 - 50_000)),
            (
                "sound that is a little early moves everything a little",
                lead(None, video, audio(2_000)),
                0,
                None,
                Some(9_003_600 - 50_000 + SOUND_TICKS_MAX / 3600 * 3600),
            ),
            (
                "the first picture is shown after the last",
                lead(None, Some(times(50_000, 50_000)), None),
                0,
                None,
                Some(9_007_200 + 3600 - 50_000),
            ),
            (
                "so is one that comes behind it",
                FirstTimestamps { shown: Some(Pts::from_ticks(50_000)), ..lead(None, video, None) },
                0,
                None,
                Some(9_007_200 + 3600 - 50_000),
            ),
            (
                "without a clock never decoded before it is sent",
                lead(None, video, None),
                0,
                clock(9_100_000, 9_100_000),
                Some(9_000_000 + 28 * 3600 - 50_000),
            ),
            (
                "the clock is ahead when it has less time before its pictures",
                lead(Some(46_000), video, None),
                0,
                clock(8_990_000, 8_990_000),
                Some(9_003_600 - 50_000),
            ),
            (
                "the pictures are when they have more",
                lead(Some(10_000), video, None),
                0,
                clock(8_990_000, 8_990_000),
                Some(9_000_000 + 9 * 3600 - 50_000),
            ),
            (
                "but not by more than the clock needs",
                lead(Some(10_000), video, None),
                500,
                clock(8_990_000, 9_035_000),
                Some(9_043_200 - 50_000),
            ),
            ("nothing at all", lead(Some(5), None, None), 500, None, None),
        ];
        for (name, lead, passed, clock, expected) in table {
            let now = Instant::from_millis(1000 + passed);
            assert_eq!(known().offset(now, &lead, clock), expected, "{name}");
        }
    }

    #[test]
    fn an_offset_is_as_good_as_one_that_is_more_or_less_by_the_range_of_times() {
        let half = 1 << 32;
        let lead =
            lead(Some(9_000_000 + half - 5_000), Some(times(9_003_700 + half, 9_003_700 + half)), None);
        let offset = known().offset(SECOND, &lead, clock(8_998_700, 8_998_700)).unwrap();
        let landed = Pts::from_ticks(9_003_700 + half).plus(offset);
        assert_eq!(landed, Pts::from_ticks(9_007_200 + 3600));
    }

    #[test]
    fn a_new_time_base_inside_a_run_waits_for_whatever_has_reached_furthest() {
        // When its pictures and its sound begin, when its clock does -> where its zero lands.
        let at = |ticks| Some(times(ticks, ticks));
        let table = [
            ("pictures behind those before", at(50_000), at(50_000), None, 9_007_200 + 3600 - 50_000),
            ("sound behind that before", at(50_000), at(20_000), None, 8_991_000 + 1920 - 20_000),
            ("the clock not back", at(50_000), at(50_000), Some(10_000), 8_980_000 - 10_000),
        ];
        for (name, video, audio, pcr, expected) in table {
            let lead = lead(pcr, video, audio);
            let offset = known().joint(SECOND, SECOND, &lead, Some(Pts::from_ticks(8_980_000)));
            assert_eq!(offset, Some(expected), "{name}");
        }
        // Sound of a time that nothing else is of is not waited for.
        let far = lead(None, at(9_050_000), at(1_000));
        let limit = 9_007_200 + 3600 - 9_050_000 + REACH_TICKS_MAX;
        assert_eq!(known().joint(SECOND, SECOND, &far, None), Some(limit));
    }

    #[test]
    fn what_has_always_come_in_good_time_is_not_late_for_a_pause() {
        let mut histories = Histories::default();
        let mut feed = |millis: u64, ticks: u64| {
            histories.write(Instant::from_millis(millis), StreamKind::Video, times(ticks, ticks), Some(3600));
            histories
        };
        // Six seconds at once, and the next after six seconds.
        (0..150).for_each(|frame| {
            feed(0, 900_000 + frame * 3600);
        });
        let all = feed(0, 900_000 + 150 * 3600);
        let next = lead(None, Some(times(0, 0)), None);
        let leaves = |came: u64, millis: u64| {
            all.joint(Instant::from_millis(millis), Instant::from_millis(came), &next, None)
        };
        let at = |millis| leaves(millis, millis);
        assert_eq!(at(6000), Some(900_000 + 151 * 3600));
        assert_eq!(at(6200), Some(900_000 + 151 * 3600), "a moment is nothing");
        assert_eq!(at(16_000), Some(900_000 + 16_000 * 90), "ten seconds are missing");
        assert_eq!(leaves(6000, 7200), Some(900_000 + 151 * 3600), "it has come in time and was held back");
    }

    #[test]
    fn a_kind_that_is_new_keeps_its_distance_from_the_clock() {
        let mut histories = Histories::default();
        let first = lead(Some(10_000), Some(times(57_200, 50_000)), None);
        assert_eq!(histories.offset(SECOND, &first, None), None);
        assert_eq!(histories.offset(SECOND, &first, clock(69_000, 70_000)), Some(60_000));
        histories.write(SECOND, StreamKind::Audio, times(900_000, 900_000), Some(1920));
        let unclocked = lead(None, first.video, None);
        assert_eq!(histories.offset(SECOND, &unclocked, None), Some(901_920 - 50_000));
        let offset = histories.offset(SECOND, &unclocked, clock(70_000, 70_000));
        assert_eq!(offset, Some(70_000 + STRANGER_TICKS - 50_000));
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
    fn pictures_go_on_after_whole_frames_and_a_slow_camera_after_the_time_that_has_passed() {
        let now = Instant::from_millis(1510);
        let lead = lead(Some(46_000), Some(times(57_200, 50_000)), None);
        let due = 9_000_000 + 510 * 90;
        for (lasts, live, filler) in [(3600, due + 900, due + 900), (90_000, 9_090_000, 9_090_000)] {
            let mut histories = Histories::default();
            histories.write(SECOND, StreamKind::Video, times(9_007_200, 9_000_000), Some(lasts));
            assert_eq!(histories.offset(now, &lead, None), Some(live - 50_000), "{lasts}");
            assert_eq!(histories.offset_of_filler(now, &lead, None), Some(filler - 50_000), "{lasts}");
        }
        // A filler's pictures never leave later than they may.
        let clock = clock(9_040_000, 9_043_300);
        let offset = known().offset_of_filler(now, &lead, clock).unwrap();
        assert_eq!(offset, 9_000_000 + 14 * 3600 - 50_000);
        assert!(offset + 50_000 - 9_043_300 >= FILLER_TICKS_MIN);
    }

    #[test]
    fn sound_goes_on_without_pictures_where_it_is_further_and_not_where_it_is_back() {
        let at = |video, audio| Reached {
            video: Some(Pts::from_ticks(video)),
            audio: Some(Pts::from_ticks(audio)),
        };
        // How far pictures and sound had come, how far they have -> how far the streams have since.
        let table = [
            (at(900_000, 890_000), at(903_600, 893_600), 3_600),
            (at(900_000, 890_000), at(903_600, 954_800), 3_600),
            // Pictures are missing.
            (at(900_000, 890_000), at(903_600, 993_600), 103_600),
            // Sound was missing, and is back where the pictures are.
            (at(900_000, 750_000), at(940_000, 930_000), 40_000),
        ];
        for (before, now, since) in table {
            assert_eq!(now.since(before), Some(since), "{before:?} {now:?}");
        }
    }

    #[test]
    fn what_left_hours_ago_is_forgotten() {
        let histories = known();
        let later = Instant::from_millis(1000 + 7 * 3_600_000);
        assert_eq!(histories.due(later, StreamKind::Video), None);
        assert!(!histories.any(later));
    }
}
