//! The watchdog of a running source: notices when what viewers need has stopped coming.
//!
//! A stall is the end of programme, not of bytes. What was delivered lasts as long as its own times say: a source
//! that sends six seconds of programme every six seconds is silent most of the time and well. So each thing that
//! should keep moving has a *supply*, the moment at which what was delivered of it runs out, and stands still from
//! then on.
//!
//! | stall | what stands still |
//! |---|---|
//! | [`StallKind::Silence`] | bytes |
//! | [`StallKind::OnlyNull`] | clear packets of the programme, while null packets and tables go on |
//! | [`StallKind::Scrambled`] | any of these since scrambled packets have come in their place |
//! | [`StallKind::VideoSilent`] | pictures: clear packets of video whose time was not there before |
//! | [`StallKind::AudioSilent`] | the sound of a programme without pictures, in the same sense |
//! | [`StallKind::PcrFrozen`] | every time there is: the programme's clock, and those of pictures and sound |
//!
//! The supply of a thing ends at `max(supply, now) + programme received`, where the programme received is what
//! [`Inspector::media`] has added since the last read: times of pictures for pictures, of sound for sound, of
//! whichever is further for the rest, and the clock where nothing else has a time. What viewers cannot have yet counts
//! once they can, and lasts from when it came on: what waits for what comes next is no stock. Of two times that lie far apart
//! nobody knows whether something lasts so long or a hole is between them, until the third one tells. It never ends later than
//! half a minute from now, and of a thousandth nothing is counted, so that neither a clock that is a little fast nor
//! a burst of hours ago delays what is to be noticed now.
//!
//! What stands still counts while other programme is being shown or bytes come; of a longer time only a part does:
//! what the last read before a silence ends with must not look as if it had died. What has shown that it moves
//! rarely (pictures of a radio programme, a clock every few seconds) is given twice the longest gap it has survived.
//!
//! Deadlines are exact: nothing here wants to be polled.

mod pulse;

use std::time::Duration;

use crate::base::Instant;
use crate::ts::{Inspector, MediaSeen, Pcr, StreamKind};

use pulse::Pulse;

/// One part of so many of the programme received is not counted.
const LEAK_PARTS: u32 = 1000;
/// Of a time in which no bytes come and nothing delivered is left no more than this counts for one thing alone.
const FLOW_GAP_MAX: Duration = Duration::from_secs(1);
/// A camera without sound that has shown one picture so far may take this long for the next.
const SECOND_PICTURE_PATIENCE: Duration = Duration::from_secs(10);
/// Fewer pictures than this are the cover of a radio programme.
const PICTURES_MIN: u64 = 3;
/// Fewer pictures than this do not show how often they come.
const STEADY_PICTURES_MIN: u64 = 10;
/// After viewers came back, a source that was silent meanwhile has this long to say something.
const RESUME_GRACE: Duration = Duration::from_secs(1);
/// A gap between reads that counts as a read pause.
const READ_PAUSE_MIN: Duration = Duration::from_secs(1);

/// The limits of a cycle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WatchParams {
    /// `STALL_DETECT`. Zero turns the watchdog off.
    pub stall_detect: Duration,
    /// Whether more than silence is noticed.
    pub content: bool,
}

/// How far a source's run has come. All are totals since it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Bytes that became packets viewers can have.
    pub bytes: u64,
    /// The programme's clock.
    pub pcr: Option<Pcr>,
    /// How much programme there was.
    pub media: MediaSeen,
    /// Clear packets of the programme's video.
    pub video_packets: u64,
    /// Those of them that bring something new.
    pub video_news: u64,
    /// Pictures that began.
    pub pictures: u64,
    /// Clear packets of the programme's audio that bring something new.
    pub audio_news: u64,
    /// Clear packets of the programme; while it is unknown, or has neither video nor audio, all that are not null.
    pub payload_packets: u64,
    /// Scrambled packets of the programme.
    pub scrambled_packets: u64,
    /// The programme has video.
    pub has_video: bool,
    /// The programme has audio.
    pub has_audio: bool,
}

impl Progress {
    /// What an inspector has seen. `bytes` are those committed.
    #[must_use]
    pub fn of(inspector: &Inspector, bytes: u64) -> Self {
        let counts = inspector.counts();
        let has = |kind| inspector.programme().is_some_and(|programme| programme.pmt.first(kind).is_some());
        let (has_video, has_audio) = (has(StreamKind::Video), has(StreamKind::Audio));
        let payload_packets = if has_video || has_audio {
            counts.video + counts.audio
        } else {
            counts.packets - counts.null - counts.transport_errors - counts.scrambled
        };
        Self {
            bytes,
            pcr: inspector.last_pcr().map(|sample| sample.pcr),
            media: inspector.media(),
            video_packets: counts.video,
            video_news: counts.video_news,
            pictures: counts.pictures,
            audio_news: counts.audio_news,
            payload_packets,
            scrambled_packets: counts.unreadable,
            has_video,
            has_audio,
        }
    }

    /// One picture has come, and there is no sound that would come in between.
    const fn awaits_second_picture(&self) -> bool {
        self.has_video && !self.has_audio && self.pictures == 1
    }
}

/// What stands still.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StallKind {
    /// Everything.
    Silence,
    /// The programme, while null packets or tables go on.
    OnlyNull,
    /// The programme, or its pictures, while scrambled packets come.
    Scrambled,
    /// The pictures.
    VideoSilent,
    /// The sound of a programme without pictures.
    AudioSilent,
    /// All times.
    PcrFrozen,
}

impl StallKind {
    /// The word for it in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Silence => "silence",
            Self::OnlyNull => "only_null",
            Self::Scrambled => "scrambled",
            Self::VideoSilent => "video_silent",
            Self::AudioSilent => "audio_silent",
            Self::PcrFrozen => "pcr_frozen",
        }
    }
}

/// A source that viewers cannot use any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stall {
    /// What stands still.
    pub kind: StallKind,
    /// When what had been delivered of it ran out.
    pub since: Instant,
}

/// A second or more without a byte, while somebody watched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadPause {
    /// How long it was, from the last byte on.
    pub length: Duration,
}

/// Watches one cycle.
#[derive(Clone, Debug)]
pub struct Watch {
    params: WatchParams,
    stalled: bool,
    paused: bool,
    resumed_at: Option<Instant>,
    last_byte_at: Instant,
    seen: Option<Progress>,
    /// What was there when the cycle began.
    media_before: MediaSeen,
    /// What had come at the last look, be it for viewers or held back.
    media_come: MediaSeen,
    /// Time in which bytes came since the cycle began, at the last byte: of a gap between two reads a part.
    flow: Duration,
    payload: Pulse,
    video: Pulse,
    audio: Pulse,
    times: Pulse,
    /// When a clear packet of video came last, with something new or without.
    video_packet_at: Instant,
    /// When a scrambled packet of the programme came last.
    scrambled_at: Option<Instant>,
}

impl Watch {
    /// A cycle begins now. What was read before it neither causes a stall nor hides one.
    #[must_use]
    pub fn new(params: WatchParams, now: Instant) -> Self {
        let pulse = Pulse::new(Duration::ZERO, now);
        Self {
            params,
            stalled: false,
            paused: false,
            resumed_at: None,
            last_byte_at: now,
            seen: None,
            media_before: MediaSeen::default(),
            media_come: MediaSeen::default(),
            flow: Duration::ZERO,
            payload: pulse,
            video: pulse,
            audio: pulse,
            times: pulse,
            video_packet_at: now,
            scrambled_at: None,
        }
    }

    /// Viewers are not shown the programme that had been seen by then, since the first byte came at `began`. But a source that
    /// sends in batches has sent as much at once, and is silent for as long.
    #[must_use]
    pub fn after(mut self, media_before: MediaSeen, began: Instant) -> Self {
        (self.media_before, self.media_come) = (media_before, media_before);
        let lasts = |media| began + received(media, None);
        self.video.begin_with(lasts(media_before.video));
        self.audio.begin_with(lasts(media_before.audio));
        let has_times = media_before.video.is_some() || media_before.audio.is_some();
        self.times.begin_with(lasts(media_before.clock.filter(|_| !has_times)));
        self.times.last_until(self.video.supply.max(self.audio.supply));
        self.payload.last_until(self.times.supply);
        self
    }

    /// More was read, or nothing was. Returns the read pause that it ended.
    pub fn observe(&mut self, now: Instant, seen: &Progress) -> Option<ReadPause> {
        let (before, media_before) = match &self.seen {
            Some(before) => (*before, before.media),
            None => (Progress::default(), self.media_before),
        };
        self.come(now, seen.media);
        if seen.bytes == before.bytes {
            return None;
        }
        self.seen = Some(*seen);
        let read_pause = self.read_pause(now);
        let (last_byte_at, supply, gap_max) = (self.last_byte_at, self.payload.supply, self.flow_gap_max());
        self.flow += (now - last_byte_at).min(gap_max);
        for pulse in [&mut self.payload, &mut self.video, &mut self.audio, &mut self.times] {
            pulse.wait(last_byte_at, supply, now, gap_max);
        }
        self.last_byte_at = now;

        let (flow, limit) = (self.flow, self.params.stall_detect);
        let video = received(seen.media.video, media_before.video);
        let audio = received(seen.media.audio, media_before.audio);
        if seen.has_video && !before.has_video {
            self.video = self.video.begun_anew(flow, now);
        }
        if seen.video_news != before.video_news {
            self.video.moved(flow, now, limit);
        }
        if seen.audio_news != before.audio_news {
            self.audio.moved(flow, now, limit);
        }
        if seen.pcr != before.pcr || !video.is_zero() || !audio.is_zero() {
            self.times.moved(flow, now, limit);
            self.times.last_until(self.video.supply.max(self.audio.supply));
        }
        if seen.payload_packets != before.payload_packets {
            self.payload.moved(flow, now, limit);
            self.payload.last_until(self.video.supply.max(self.audio.supply).max(self.times.supply));
        }
        if seen.video_packets != before.video_packets {
            self.video_packet_at = now;
        }
        if seen.scrambled_packets != before.scrambled_packets {
            self.scrambled_at = Some(now);
        }
        read_pause
    }

    /// So much programme has come in all.
    fn come(&mut self, now: Instant, media: MediaSeen) {
        let before = std::mem::replace(&mut self.media_come, media);
        self.video.came(now, received(media.video, before.video));
        self.audio.came(now, received(media.audio, before.audio));
        if media.video.is_none() && media.audio.is_none() {
            self.times.came(now, received(media.clock, before.clock));
        }
        self.was_less(now, before, media);
    }

    /// Less has come than was said before: what was a step for all that anybody knew was a hole.
    fn was_less(&mut self, now: Instant, before: MediaSeen, media: MediaSeen) {
        let video = received(before.video, media.video);
        let audio = received(before.audio, media.audio);
        let has_times = media.video.is_some() || media.audio.is_some();
        let clock = if has_times { Duration::ZERO } else { received(before.clock, media.clock) };
        if [video, audio, clock].iter().all(Duration::is_zero) {
            return;
        }
        self.video.lasts_less(now, video);
        self.audio.lasts_less(now, audio);
        self.times.lasts_less(now, clock);
        if has_times {
            self.times.lasts_no_longer(self.video.supply.max(self.audio.supply).max(now));
        }
        self.payload.lasts_no_longer(self.times.supply.max(now));
    }

    /// When [`Watch::expire`] is to be called, unless something is observed before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines().map(|(deadline, _stall)| deadline).min()
    }

    /// Time passed: the stall, if there is one. At most one in a cycle.
    pub fn expire(&mut self, now: Instant) -> Option<Stall> {
        if self.next_deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        // What has died together is told by its gravest sign, though the last packets of each may have come in
        // another order.
        let soon = now + self.flow_gap_max() / 2;
        let stall = self.deadlines().find(|(deadline, _)| *deadline <= soon).map(|(_, stall)| stall);
        self.stalled = true;
        stall
    }

    /// Nobody watches, or somebody does again. Meanwhile nothing is a stall; a source that died meanwhile is
    /// noticed a second after.
    pub fn pause(&mut self, on: bool, now: Instant) {
        if self.paused && !on {
            self.resumed_at = Some(now);
        }
        self.paused = on;
    }

    fn read_pause(&self, now: Instant) -> Option<ReadPause> {
        let began = self.resumed_at.map_or(self.last_byte_at, |resumed| resumed.max(self.last_byte_at));
        let length = now - began;
        (!self.paused && length >= READ_PAUSE_MIN).then_some(ReadPause { length })
    }

    fn flow_gap_max(&self) -> Duration {
        FLOW_GAP_MAX.min(self.params.stall_detect / 4)
    }

    /// What is a stall at which time, the gravest first.
    fn deadlines(&self) -> impl Iterator<Item = (Instant, Stall)> {
        let is_on = !self.params.stall_detect.is_zero() && !self.stalled && !self.paused;
        let floor = self
            .resumed_at
            .map(|resumed| resumed + RESUME_GRACE.min(self.params.stall_detect))
            .unwrap_or_default();
        let seen = self.seen.unwrap_or_default();
        let content = |kind, armed: bool, pulse: &Pulse| {
            let at = self.content_deadline(pulse).filter(|_| armed && self.params.content)?;
            Some((at, Stall { kind, since: pulse.supply }))
        };
        let instead = |kind, pulse: &Pulse| {
            let is_scrambled = self.scrambled_at.is_some_and(|at| at > pulse.moved_at);
            if is_scrambled { StallKind::Scrambled } else { kind }
        };
        // What has been scrambled from its first packet on need not have run to be missed.
        let is_unread = seen.payload_packets == 0 && seen.scrambled_packets > 0;
        let payload = self.payload.steady_if(self.payload.steady || is_unread);
        let has_pictures = seen.has_video && seen.video_packets > 0;
        let has_video = has_pictures && seen.pictures >= PICTURES_MIN;
        let is_steady = self.video.steady && seen.pictures >= STEADY_PICTURES_MIN;
        let moving = self.video.steady_if(is_steady);
        // A clock that never ran steadily is none.
        let times = content(StallKind::PcrFrozen, self.times.steady, &self.times);
        let video = content(instead(StallKind::VideoSilent, &moving), has_video, &moving);
        // Pictures that are sent again and again stand still because time does, not the other way round.
        let repeats = self.video_packet_at > self.video.moved_at;
        let [graver, other] = if repeats { [times, video] } else { [video, times] };
        [
            Some(self.silence(&seen, instead(StallKind::Silence, &payload))),
            content(instead(StallKind::OnlyNull, &payload), is_unread || seen.payload_packets > 0, &payload),
            graver,
            other,
            content(
                instead(StallKind::AudioSilent, &self.audio),
                !has_pictures && seen.audio_news > 0,
                &self.audio,
            ),
        ]
        .into_iter()
        .flatten()
        .filter(move |_| is_on)
        .map(move |(at, stall)| (at.max(floor), stall))
    }

    fn silence(&self, seen: &Progress, kind: StallKind) -> (Instant, Stall) {
        let since = self.last_byte_at.max(self.payload.supply);
        let limit = self.params.stall_detect;
        let limit = if seen.awaits_second_picture() { limit.max(SECOND_PICTURE_PATIENCE) } else { limit };
        (since + limit, Stall { kind, since })
    }

    /// When the time that something has stood still reaches its limit; `None` when bytes must come before that.
    fn content_deadline(&self, pulse: &Pulse) -> Option<Instant> {
        let left = pulse.limit(self.params.stall_detect).saturating_sub(pulse.stood);
        let at = self.last_byte_at.max(pulse.supply) + left;
        (at <= self.last_byte_at.max(self.payload.supply) + self.flow_gap_max()).then_some(at)
    }
}

/// The programme that came between two looks.
fn received(now: Option<Duration>, before: Option<Duration>) -> Duration {
    let received = now.unwrap_or_default().saturating_sub(before.unwrap_or_default());
    received - received / LEAK_PARTS
}

#[cfg(test)]
mod sources;
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STALL_MS: u64 = 4000;
    const PARAMS: WatchParams = WatchParams { stall_detect: Duration::from_millis(STALL_MS), content: true };

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    /// What a read brings.
    #[derive(Clone, Copy, Debug)]
    enum Read {
        Nulls,
        Audio,
        /// Audio and the clock.
        Radio,
        Video,
        /// Video, audio and the clock.
        All,
        /// Video and audio with the clock as it was.
        Frozen,
    }

    /// A source that is read at given times, its watchdog's timer firing exactly when it is due.
    struct Source {
        watch: Watch,
        progress: Progress,
        stall: Option<(u64, Stall)>,
        read_pauses: Vec<(u64, u128)>,
    }

    impl Source {
        fn new(params: WatchParams, has_video: bool) -> Self {
            let progress = Progress { has_video, ..Progress::default() };
            Self { watch: Watch::new(params, at(0)), progress, stall: None, read_pauses: Vec::new() }
        }

        fn wait(&mut self, until_ms: u64) {
            if let Some(due) = self.watch.next_deadline().filter(|due| *due <= at(until_ms)) {
                let stall = self.watch.expire(due).expect("a deadline is the time of a stall");
                assert_eq!(self.stall, None, "at most one stall in a cycle");
                self.stall = Some((due.as_millis(), stall));
            }
            assert_eq!(self.watch.expire(at(until_ms)), None, "nothing is due before its deadline");
        }

        fn read(&mut self, now_ms: u64, read: Read) {
            self.wait(now_ms.saturating_sub(1));
            let Progress {
                bytes, pcr, video_packets, video_news, audio_news, pictures, payload_packets, ..
            } = &mut self.progress;
            *bytes += 1880;
            let (video, audio, clock) = match read {
                Read::Nulls => (0, 0, false),
                Read::Audio => (0, 1, false),
                Read::Radio => (0, 1, true),
                Read::Video => (6, 0, false),
                Read::All => (6, 1, true),
                Read::Frozen => (6, 1, false),
            };
            *video_packets += video;
            *payload_packets += video + audio;
            *video_news += video;
            *audio_news += audio;
            *pictures += video / 6;
            if clock {
                // So near its end that it wraps in every test.
                let start = Pcr::from_ticks(Pcr::MODULUS - 1000);
                *pcr = Some(start.plus(i64::try_from(now_ms * 27_000).unwrap()));
            }
            let paused = self.watch.observe(at(now_ms), &self.progress);
            self.read_pauses.extend(paused.map(|pause| (now_ms, pause.length.as_millis())));
        }

        /// Reads every 40 ms in a span.
        fn flow(&mut self, from_ms: u64, to_ms: u64, read: Read) {
            (from_ms..to_ms).step_by(40).for_each(|now| self.read(now, read));
        }

        fn stalled(mut self, until_ms: u64) -> Option<(StallKind, u64, u64)> {
            self.wait(until_ms);
            self.stall.map(|(due, stall)| (stall.kind, due, stall.since.as_millis()))
        }
    }

    #[test]
    fn silence_for_exactly_the_limit_is_a_stall() {
        let mut watch = Watch::new(PARAMS, at(1000));
        assert_eq!(watch.next_deadline(), Some(at(5000)), "a source that never delivers stalls too");
        let seen = Progress { bytes: 188, ..Progress::default() };
        assert_eq!(watch.observe(at(3000), &seen).map(|pause| pause.length), Some(Duration::from_secs(2)));
        assert_eq!(watch.observe(at(6000), &seen), None, "nothing was read");
        assert_eq!(watch.expire(at(6999)), None);
        assert_eq!(watch.expire(at(7000)), Some(Stall { kind: StallKind::Silence, since: at(3000) }));
        assert_eq!(watch.next_deadline(), None, "one stall in a cycle");
        assert_eq!(watch.expire(at(99_999)), None);
    }

    #[test]
    fn a_source_of_batches_is_silent_for_as_long_as_the_batch_lasts_though_little_of_it_is_shown() {
        let media = |millis| Some(Duration::from_millis(millis));
        // When the first byte came, how much there was before the first key picture and behind it -> when silence is a stall.
        for (began, before, behind, due) in [
            (10_000, 5000, 300, 19_295),
            // As fast as it is shown.
            (4000, 6000, 300, 14_300),
            (10_000, 0, 300, 14_300),
            // Nobody believes in a stock for ever.
            (10_000, 300_000, 300, 44_000),
        ] {
            let seen = |millis| MediaSeen { video: media(millis), audio: None, clock: media(millis) };
            let mut watch = Watch::new(PARAMS, at(10_000)).after(seen(before), at(began));
            let first = Progress {
                bytes: 188,
                video_news: 1,
                video_packets: 1,
                payload_packets: 1,
                has_video: true,
                media: seen(before + behind),
                ..Progress::default()
            };
            watch.observe(at(10_000), &first);
            let stalls_at = watch.next_deadline().unwrap().as_millis();
            assert!(stalls_at.abs_diff(due) <= 10, "{before} ms and {behind} ms: at {stalls_at} ms");
        }
    }

    #[test]
    fn what_makes_nothing_whole_is_silence_and_what_it_shows_counts_once_something_is() {
        let mut watch = Watch::new(PARAMS, at(0));
        let first = Progress {
            bytes: 188,
            video_packets: 1,
            video_news: 1,
            payload_packets: 1,
            has_video: true,
            ..Progress::default()
        };
        watch.observe(at(0), &first);
        for seconds in 1..4 {
            let held = Progress { pcr: Some(Pcr::from_ticks(seconds)), video_news: 1 + seconds, ..first };
            watch.observe(at(seconds * 1000), &held);
            assert_eq!(watch.next_deadline(), Some(at(4000)), "after {seconds} s");
        }
        let whole = Progress { bytes: 376, video_news: 4, payload_packets: 4, ..first };
        watch.observe(at(3500), &whole);
        assert_eq!((watch.video.moved_at, watch.payload.moved_at), (at(3500), at(3500)));
        assert_eq!(watch.next_deadline(), Some(at(7500)));
    }

    #[test]
    fn what_has_waited_for_what_comes_next_lasts_from_when_it_came_on() {
        // Sound that reaches this much further than pictures comes, and is held back until the next part begins.
        const LONGER_MS: u64 = 2700;
        let media = |video, audio| MediaSeen {
            video: Some(Duration::from_millis(video)),
            audio: Some(Duration::from_millis(audio)),
            clock: None,
        };
        let mut watch = Watch::new(PARAMS, at(0));
        let mut seen = Progress { has_video: true, has_audio: true, ..Progress::default() };
        let mut come = |seen: &mut Progress, now_ms, media| {
            seen.media = media;
            (seen.video_packets, seen.video_news, seen.audio_news) =
                (seen.video_packets + 1, seen.video_news + 1, seen.audio_news + 1);
            (seen.pictures, seen.payload_packets) = (seen.pictures + 1, seen.payload_packets + 2);
            watch.observe(at(now_ms), seen);
            watch.next_deadline().map(Instant::as_millis)
        };
        for now in (0..5000).step_by(40) {
            seen.bytes += 376;
            come(&mut seen, now, media(now, now));
        }
        come(&mut seen, 5000, media(5000, 5000 + LONGER_MS));
        let goes_on = 5000 + LONGER_MS;
        let mut deadline = None;
        for now in (goes_on..20_000).step_by(40) {
            seen.bytes += 376;
            deadline = come(&mut seen, now, media(now - LONGER_MS, now));
        }
        let last = 19_980;
        let late = deadline.unwrap() - STALL_MS - last;
        assert!(late <= 60, "silence is a stall {late} ms later than what has come lasts");
    }

    #[test]
    fn a_hole_behind_the_first_unit_is_no_programme() {
        type Of = fn(Option<Duration>) -> MediaSeen;
        const ONE: Option<Duration> = Some(Duration::ZERO);
        let pictures: Of = |video| MediaSeen { video, audio: ONE, clock: ONE };
        let sound: Of = |audio| MediaSeen { video: ONE, audio, clock: ONE };
        let clock_alone: Of = |clock| MediaSeen { video: None, audio: None, clock };
        // What comes 3.6 s after its first unit, and then every 320 ms; and whether the third one is held back for a while.
        for (name, of, waits) in [
            ("pictures", pictures, false),
            ("pictures", pictures, true),
            ("sound", sound, false),
            ("sound", sound, true),
            ("a clock", clock_alone, false),
        ] {
            let mut watch = Watch::new(PARAMS, at(0));
            let mut seen = Progress { has_video: true, has_audio: true, ..Progress::default() };
            let mut come = |now_ms, millis, is_shown| {
                seen.bytes += 188 * u64::from(is_shown);
                (seen.media, seen.pcr) =
                    (of(Some(Duration::from_millis(millis))), Some(Pcr::from_ticks(now_ms)));
                (seen.video_packets, seen.video_news) = (seen.video_packets + 1, seen.video_news + 1);
                (seen.audio_news, seen.payload_packets) = (seen.audio_news + 1, seen.payload_packets + 2);
                watch.observe(at(now_ms), &seen);
                watch.next_deadline().map(Instant::as_millis).unwrap()
            };
            come(0, 0, true);
            let stalls_at = come(3600, 3600, true);
            assert!(
                stalls_at.abs_diff(7200 + STALL_MS) <= 5,
                "{name}: it may last so long, but {stalls_at} ms"
            );
            // The third tells that it was 640 ms at most.
            let mut stalls_at = come(3920, 640 + 320, !waits);
            if waits {
                stalls_at = come(4000, 640 + 320, true);
            }
            assert!(stalls_at.abs_diff(3600 + 640 + 320 + STALL_MS) <= 5, "{name}, {waits}: {stalls_at} ms");
        }
    }

    #[test]
    fn a_limit_of_zero_turns_the_watchdog_off() {
        let mut source = Source::new(WatchParams { stall_detect: Duration::ZERO, content: true }, true);
        source.flow(0, 9000, Read::All);
        source.flow(9000, 99_000, Read::Nulls);
        assert_eq!(source.stalled(u64::MAX / 2_000_000), None);
    }

    #[test]
    fn what_stands_still_while_bytes_flow_is_told_after_the_limit() {
        for (has_video, before, after, expected) in [
            (true, Read::All, Read::Nulls, StallKind::OnlyNull),
            (true, Read::All, Read::Audio, StallKind::VideoSilent),
            (true, Read::All, Read::Radio, StallKind::VideoSilent),
            (true, Read::All, Read::Frozen, StallKind::PcrFrozen),
            (false, Read::Radio, Read::Nulls, StallKind::OnlyNull),
            (false, Read::Radio, Read::Audio, StallKind::PcrFrozen),
        ] {
            let mut source = Source::new(PARAMS, has_video);
            source.flow(0, 1001, before);
            source.flow(1040, 6000, after);
            assert_eq!(source.stalled(6000), Some((expected, 5000, 1000)), "{before:?} then {after:?}");
            let mut source = Source::new(WatchParams { content: false, ..PARAMS }, has_video);
            source.flow(0, 1001, before);
            source.flow(1040, 20_000, after);
            assert_eq!(source.stalled(20_000), None, "only silence is to be noticed");
        }
    }

    #[test]
    fn what_lives_without_a_part_is_no_stall() {
        for (has_video, read) in [
            (false, Read::Radio),
            (false, Read::Audio),
            (true, Read::All),
            (true, Read::Video),
            (true, Read::Frozen),
            // Declared, but never sent.
            (true, Read::Radio),
            (true, Read::Nulls),
        ] {
            let mut source = Source::new(PARAMS, has_video);
            source.flow(0, 120_000, read);
            assert_eq!(source.stalled(120_000), None, "{read:?}, video declared: {has_video}");
        }
    }

    #[test]
    fn a_clock_that_came_once_or_never_ran_is_none() {
        let mut source = Source::new(PARAMS, true);
        source.read(0, Read::All);
        source.flow(40, 60_000, Read::Frozen);
        assert_eq!(source.stalled(60_000), None);
    }

    #[test]
    fn slow_radio_and_slow_pictures_are_no_stall() {
        for every_ms in [300, 1500, 3000, 3900] {
            let mut radio = Source::new(PARAMS, false);
            (0..100).for_each(|n| radio.read(n * every_ms, Read::Radio));
            assert_eq!(radio.stalled(100 * every_ms), None, "radio every {every_ms} ms");
        }
        for every_ms in [1500, 3900, 5000, 10_000, 25_000] {
            let mut source = Source::new(PARAMS, true);
            for step in 0..10 {
                source.flow(step * every_ms, step * every_ms + 120, Read::All);
                source.flow(step * every_ms + 120, (step + 1) * every_ms, Read::Radio);
            }
            assert_eq!(source.stalled(10 * every_ms), None, "a picture every {every_ms} ms");
        }
    }

    #[test]
    fn a_source_of_bursts_is_judged_by_its_bursts() {
        let burst = |source: &mut Source, from_ms: u64, read: Read| {
            source.flow(from_ms, from_ms + 200, read);
            source.read(from_ms + 220, Read::Audio);
        };
        let mut source = Source::new(PARAMS, true);
        (0..50).for_each(|n| burst(&mut source, n * 4100, Read::All));
        assert_eq!(source.stall, None);
        // Its pictures stop: that needs more bursts to be sure of than a steady flow needs time.
        (50..60).for_each(|n| burst(&mut source, n * 4100, Read::Radio));
        let (kind, due, _) = source.stalled(60 * 4100).unwrap();
        assert_eq!(kind, StallKind::VideoSilent);
        assert!((52 * 4100..54 * 4100).contains(&due), "{due}");
    }

    #[test]
    fn death_of_everything_is_told_as_silence_whatever_came_last() {
        let mut source = Source::new(PARAMS, true);
        source.flow(0, 2000, Read::All);
        source.read(2040, Read::Audio);
        source.read(2080, Read::Nulls);
        assert_eq!(source.stalled(9000), Some((StallKind::Silence, 6080, 2080)));
    }

    #[test]
    fn a_gap_once_survived_is_forgotten_after_two_minutes() {
        let mut source = Source::new(PARAMS, true);
        source.flow(0, 2000, Read::All);
        source.flow(2000, 5000, Read::Radio);
        source.flow(5000, 20_000, Read::All);
        let mut late = Source { watch: source.watch.clone(), read_pauses: Vec::new(), ..source };
        source.flow(20_000, 30_000, Read::Radio);
        let (_, due, since) = source.stalled(30_000).unwrap();
        assert!((6000..6200).contains(&(due - since)), "twice the gap: {due} {since}");
        late.flow(20_000, 150_000, Read::All);
        late.flow(150_000, 160_000, Read::Radio);
        let (_, due, since) = late.stalled(160_000).unwrap();
        assert_eq!(due - since, STALL_MS);
    }

    #[test]
    fn pictures_that_come_later_are_waited_for_from_then_on() {
        let mut source = Source::new(PARAMS, true);
        source.flow(0, 2000, Read::All);
        source.progress.has_video = false;
        source.flow(2000, 60_000, Read::Radio);
        source.progress.has_video = true;
        source.flow(60_000, 61_000, Read::Radio);
        source.flow(61_000, 62_000, Read::All);
        source.flow(62_000, 70_000, Read::Radio);
        assert_eq!(source.stalled(70_000), Some((StallKind::VideoSilent, 65_960, 61_960)));
    }

    #[test]
    fn without_viewers_nothing_is_a_stall_and_death_is_noticed_soon_after() {
        for (dead_from, back_at, expected) in [
            // Dead long since: one second of grace.
            (2000, 60_000, 61_000),
            // Just silent: the rest of the limit.
            (59_000, 60_000, 63_000),
            (56_500, 60_000, 61_000),
        ] {
            let mut source = Source::new(PARAMS, true);
            source.flow(0, 1000, Read::All);
            source.watch.pause(true, at(1000));
            source.watch.pause(true, at(1500));
            source.flow(1000, dead_from, Read::All);
            source.read(dead_from, Read::All);
            source.wait(back_at);
            assert_eq!(source.watch.next_deadline(), None);
            source.watch.pause(false, at(back_at));
            source.watch.pause(false, at(back_at + 500));
            assert_eq!(source.stalled(99_000), Some((StallKind::Silence, expected, dead_from)));
        }
        let mut source = Source::new(PARAMS, true);
        source.flow(0, 1000, Read::All);
        source.watch.pause(true, at(1000));
        source.flow(1000, 20_000, Read::Radio);
        source.watch.pause(false, at(20_000));
        source.flow(20_000, 30_000, Read::Radio);
        assert_eq!(source.stalled(30_000), Some((StallKind::VideoSilent, 21_000, 960)));
    }

    #[test]
    fn a_source_that_speaks_after_the_viewers_return_is_alive() {
        let mut source = Source::new(PARAMS, true);
        source.flow(0, 1000, Read::All);
        source.watch.pause(true, at(1000));
        source.watch.pause(false, at(60_000));
        source.flow(60_900, 80_000, Read::All);
        assert_eq!(source.stall, None);
        assert_eq!(source.read_pauses, [], "a pause that nobody saw is none");
    }

    #[test]
    fn gaps_of_a_second_are_read_pauses() {
        let mut source = Source::new(PARAMS, true);
        for now in [0, 999, 1999, 2500, 5500] {
            source.read(now, Read::All);
        }
        assert_eq!(source.read_pauses, [(1999, 1000), (5500, 3000)]);
    }

    #[test]
    fn the_words_are_those_of_logs_and_metrics() {
        use StallKind::{AudioSilent, OnlyNull, PcrFrozen, Scrambled, Silence, VideoSilent};
        let kinds =
            [Silence, OnlyNull, VideoSilent, PcrFrozen, Scrambled, AudioSilent].map(StallKind::as_str);
        let words = ["silence", "only_null", "video_silent", "pcr_frozen", "scrambled", "audio_silent"];
        assert_eq!(kinds, words);
    }

    proptest! {
        /// Each read of a burst may hold any part, but the burst as a whole holds all of them.
        #[test]
        fn no_source_of_bursts_closer_than_the_limit_is_ever_stalled(
            stall_ms in 200u64..6000,
            bursts in proptest::collection::vec((1u64..1000, proptest::collection::vec(0u64..40, 1..8)), 1..80),
        ) {
            let params = WatchParams { stall_detect: Duration::from_millis(stall_ms), content: true };
            let mut source = Source::new(params, true);
            let mut now = 0;
            for (gap, reads) in bursts {
                // At most the limit less the burst itself.
                let longest: u64 = reads.iter().sum();
                now += (gap * stall_ms.saturating_sub(longest + 1) / 1000).max(1);
                for (index, later) in reads.iter().enumerate() {
                    now += later.min(&(stall_ms / 10));
                    source.read(now, [Read::Audio, Read::Video, Read::Nulls][index % 3]);
                }
                source.read(now, Read::All);
                source.read(now, Read::Audio);
            }
            prop_assert_eq!(source.stall, None);
        }
    }
}
