//! A variant's picture and the sounds that it has in segments of their own: whose turn it is to ask, and what comes of it.
//!
//! A variant without such sounds is its [`Machine`] and nothing else. With them each list has a machine of its own, and a
//! [`Merger`] makes one programme of what they deliver.
//!
//! # One request at a time
//!
//! Also here: providers count connections. Lists come first, when they are due, the picture's before the sounds'. A segment of the
//! picture is asked for when the sounds reach to its end, as far as their lists have them: then it flows at the viewers' pace, and
//! nothing else is needed meanwhile. Sounds are read at once, however far ahead viewers are: they are small, and wait in memory.
//!
//! # When a sound fails or lags
//!
//! The picture goes on. A sound that is late in its list is waited for so long ([`LAG_MAX`]), and then no more until it has caught
//! up. One whose list or segments cannot be had, or do not come in time, is taken from the programme and tried again later. What
//! the picture lacks is lacking: that is a stall, as without sounds.
//!
//! Sound of a kind that is not read here is known before the picture is asked for, and is then as good as a picture of that kind.

use std::time::Duration;

use crate::base::Instant;
use crate::http::Url;
use crate::source::error::SourceError;
use crate::source::hls::failure::Failure;
use crate::source::hls::language;
use crate::source::hls::machine::{
    Chosen, Counters, Fetch, ForOthers, HlsParams, HlsWant, Item, Machine, SoundList,
};
use crate::source::hls::merge::Merger;
use crate::source::hls::segment::TAIL_BYTES_MAX;

/// Something that people may want to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Remark {
    /// So many subtitles are in segments of their own and cannot be carried.
    NoSubtitles(usize),
    /// The sound of this name is gone, for this reason.
    SoundLost(String, Failure),
    /// It is back.
    SoundBack(String),
}

/// What there is of a sound.
enum GroupState {
    Reading(Box<Machine>),
    /// All of it has been read.
    Ended,
    /// It is tried again then.
    Lost {
        until: Instant,
    },
}

struct GroupSound {
    list: SoundList,
    state: GroupState,
    /// How often in a row it was lost.
    losses: u32,
    is_waited_for: bool,
    has_delivered: bool,
}

impl GroupSound {
    const fn machine(&mut self) -> Option<&mut Machine> {
        match &mut self.state {
            GroupState::Reading(machine) => Some(machine),
            GroupState::Ended | GroupState::Lost { .. } => None,
        }
    }
}

/// Whose request is on its way, or was last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Turn {
    Picture,
    Sound {
        index: usize,
        /// When the sound is given up.
        until: Instant,
    },
    /// That of a sound that is lost.
    Nobody,
}

/// What is read beside a picture.
struct Beside {
    sounds: Vec<GroupSound>,
    merger: Merger,
    /// Until then sounds are waited for before the first picture.
    prepared_by: Instant,
    /// Since when a picture that could be asked for waits for a sound's list.
    lags_since: Option<Instant>,
}

/// One run of HLS.
pub struct Group {
    params: HlsParams,
    seed: u64,
    picture: Machine,
    beside: Option<Box<Beside>>,
    turn: Turn,
    /// A segment of the picture has been asked for.
    has_begun: bool,
    failure: Option<Failure>,
    remarks: Vec<Remark>,
}

impl Group {
    /// A run that has asked for nothing yet. `seed` makes its waits differ from those of others.
    #[must_use]
    pub fn new(source: Url, params: HlsParams, seed: u64, now: Instant) -> Self {
        Self {
            params,
            seed,
            picture: Machine::new(source, params, seed, now),
            beside: None,
            turn: Turn::Picture,
            has_begun: false,
            failure: None,
            remarks: Vec::new(),
        }
    }

    /// What is to be done next: see [`Machine::want`].
    pub fn want(&mut self, now: Instant, may_read: bool) -> HlsWant {
        loop {
            if let Some(chosen) = self.picture.take_chosen() {
                self.follow(now, chosen);
            }
            if self.failure.is_some() {
                return HlsWant::Failed;
            }
            let Some(beside) = &self.beside else {
                let want = self.picture.want(now, may_read);
                self.has_begun |= is_segment(&want);
                return want;
            };
            if beside.merger.waiting() > 0 {
                return HlsWant::TakeTail;
            }
            let want = match self.turn {
                Turn::Nobody => Some(HlsWant::Abandon),
                Turn::Sound { index, until } => self.sound_on_its_way(now, index, until),
                Turn::Picture if self.picture.is_idle() => self.decide(now, may_read),
                Turn::Picture => self.picture_on_its_way(now, may_read),
            };
            if let Some(want) = want {
                return want;
            }
        }
    }

    /// What others are to read instead, when the source is a master list.
    #[must_use]
    pub const fn for_others(&self) -> Option<&ForOthers> {
        self.picture.for_others()
    }

    /// Why it failed, when it did.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref().or_else(|| self.picture.failure())
    }

    /// What people may want to know, once.
    pub fn take_remark(&mut self) -> Option<Remark> {
        if self.remarks.is_empty() { None } else { Some(self.remarks.remove(0)) }
    }

    /// When [`Group::expire`] is to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        match (self.turn, &self.beside) {
            (Turn::Sound { index, until }, Some(beside)) => match &beside.sounds[index].state {
                GroupState::Reading(machine) => {
                    Some(machine.next_deadline().map_or(until, |at| at.min(until)))
                }
                GroupState::Ended | GroupState::Lost { .. } => None,
            },
            (Turn::Picture | Turn::Sound { .. }, _) => self.picture.next_deadline(),
            (Turn::Nobody, _) => None,
        }
    }

    /// True while a segment of the picture is on its way, or part of the programme waits to be taken.
    #[must_use]
    pub fn is_reading_segment(&self) -> bool {
        let waits = self.beside.as_ref().is_some_and(|beside| beside.merger.waiting() > 0);
        waits || (self.turn == Turn::Picture && self.picture.is_reading_segment())
    }

    /// What has been done so far for the picture.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.picture.counters()
    }

    /// The request was accepted: see [`Machine::answered`].
    pub fn answered(&mut self, at: Url, status: u16) {
        if let Some(machine) = self.on_its_way() {
            machine.answered(at, status);
        }
    }

    /// Bytes of the answer's body have come. Those of the stream are then at the front; the result is their number.
    pub fn body(&mut self, now: Instant, bytes: &mut [u8]) -> usize {
        let count = self.on_its_way().map_or(0, |machine| machine.body(now, bytes));
        let Some(beside) = &mut self.beside else { return count };
        match self.turn {
            Turn::Picture => beside.merger.push_picture(&bytes[..count]),
            Turn::Sound { index, .. } if count > 0 => {
                beside.sounds[index].has_delivered = true;
                beside.merger.list(index, true);
                beside.merger.push_sound(index, &bytes[..count]);
            }
            Turn::Sound { .. } => {}
            Turn::Nobody => {}
        }
        beside.merger.take(bytes)
    }

    /// The body is complete.
    pub fn complete(&mut self, now: Instant) {
        if let Some(machine) = self.on_its_way() {
            machine.complete(now);
        }
    }

    /// The request failed, or its answer was cut off.
    pub fn failed(&mut self, now: Instant, error: SourceError) {
        if let Some(machine) = self.on_its_way() {
            machine.failed(now, error);
        }
    }

    /// Bytes of the stream that wait. Ask until none come.
    pub fn take_tail(&mut self, into: &mut [u8]) -> usize {
        match &mut self.beside {
            None => self.picture.take_tail(into),
            Some(beside) => beside.merger.take(into),
        }
    }

    /// The connection whose answer was of no use has been given up.
    pub fn abandoned(&mut self) {
        match self.on_its_way() {
            Some(machine) => machine.abandoned(),
            None => self.turn = Turn::Picture,
        }
    }

    /// Time passed.
    pub fn expire(&mut self, now: Instant) {
        let turn = self.turn;
        let Some(machine) = self.on_its_way() else { return };
        match turn {
            Turn::Sound { index, until } if until <= now && !machine.is_idle() => {
                self.lose(now, index, Failure::Slow);
            }
            Turn::Sound { .. } | Turn::Picture | Turn::Nobody => machine.expire(now),
        }
    }

    /// The machine whose request is on its way, if one is.
    fn on_its_way(&mut self) -> Option<&mut Machine> {
        match (self.turn, &mut self.beside) {
            (Turn::Nobody, _) => None,
            (Turn::Sound { index, .. }, Some(beside)) => beside.sounds[index].machine(),
            (Turn::Picture | Turn::Sound { .. }, _) => Some(&mut self.picture),
        }
    }
}

/// Decisions.
impl Group {
    /// A variant has been chosen, for the first time or since its addresses have expired.
    fn follow(&mut self, now: Instant, chosen: Chosen) {
        let Chosen { sounds: lists, subtitles, .. } = chosen;
        if self.has_begun {
            let Some(beside) = &mut self.beside else { return };
            for list in lists {
                let same = |sound: &&mut GroupSound| {
                    sound.list.name == list.name && sound.list.language == list.language
                };
                if let Some(sound) = beside.sounds.iter_mut().find(same) {
                    if let GroupState::Reading(machine) = &mut sound.state {
                        machine.relocate(list.url.clone());
                    }
                    sound.list = list;
                }
            }
            return;
        }
        if subtitles > 0 && !self.remarks.contains(&Remark::NoSubtitles(subtitles)) {
            self.remarks.push(Remark::NoSubtitles(subtitles));
        }
        self.beside = None;
        if lists.is_empty() {
            return;
        }
        let languages: Vec<_> =
            lists.iter().map(|list| list.language.as_deref().and_then(language::of_tag)).collect();
        let sounds = lists.into_iter().map(|list| {
            let machine = Box::new(Machine::new(list.url.clone(), self.params, self.seed, now));
            let state = GroupState::Reading(machine);
            GroupSound { list, state, losses: 0, is_waited_for: true, has_delivered: false }
        });
        self.beside = Some(Box::new(Beside {
            sounds: sounds.collect(),
            merger: Merger::new(languages),
            prepared_by: now + PREPARATION_MAX,
            lags_since: None,
        }));
    }

    /// The picture's request goes on.
    fn picture_on_its_way(&mut self, now: Instant, may_read: bool) -> Option<HlsWant> {
        let want = self.picture.want(now, may_read);
        let Some(beside) = self.beside.as_mut().filter(|_| want == HlsWant::TakeTail) else {
            return Some(want);
        };
        let mut bytes = [0; TAIL_BYTES_MAX];
        let count = self.picture.take_tail(&mut bytes);
        beside.merger.push_picture(&bytes[..count]);
        None
    }

    /// The request of a sound goes on.
    fn sound_on_its_way(&mut self, now: Instant, index: usize, until: Instant) -> Option<HlsWant> {
        let beside = self.beside.as_mut().expect("a sound is beside a picture");
        let merger = &mut beside.merger;
        let sound = &mut beside.sounds[index];
        let Some(machine) = sound.machine() else {
            self.turn = Turn::Picture;
            return None;
        };
        if machine.is_idle() {
            self.turn = Turn::Picture;
            return None;
        }
        match machine.want(now, false) {
            HlsWant::TakeTail => {
                let mut bytes = [0; TAIL_BYTES_MAX];
                let count = machine.take_tail(&mut bytes);
                merger.push_sound(index, &bytes[..count]);
                None
            }
            HlsWant::Receive { until: own } => {
                Some(HlsWant::Receive { until: Some(own.map_or(until, |own| own.min(until))) })
            }
            HlsWant::Abandon => Some(HlsWant::Abandon),
            want @ (HlsWant::Fetch(_) | HlsWant::Wait { .. } | HlsWant::Ended | HlsWant::Failed) => {
                let failure = machine.failure().cloned();
                match failure {
                    Some(failure) => self.lose(now, index, failure),
                    None => unreachable!("a machine that is not idle wants {want:?}"),
                }
                None
            }
        }
    }

    /// Nothing is on its way: who asks next.
    fn decide(&mut self, now: Instant, may_read: bool) -> Option<HlsWant> {
        let of_picture = match self.picture.want(now, false) {
            want @ (HlsWant::Fetch(_) | HlsWant::Failed) => return Some(want),
            HlsWant::Ended => return self.finish(now, may_read),
            HlsWant::Wait { until } => until,
            want @ (HlsWant::Receive { .. } | HlsWant::TakeTail | HlsWant::Abandon) => {
                unreachable!("an idle machine wants {want:?}")
            }
        };
        // Nothing is known before the picture's first list.
        if self.picture.place().is_none() {
            return Some(HlsWant::Wait { until: of_picture });
        }
        let until = match self.poll_sounds(now) {
            Polled::Fetch(fetch) => return Some(HlsWant::Fetch(fetch)),
            Polled::Lost => return None,
            Polled::Wait(until) => [of_picture, until].into_iter().flatten().min(),
        };
        if !may_read {
            return Some(HlsWant::Wait { until });
        }
        // While there is no next one, sounds that are behind catch up.
        let duration = self.picture.next_duration();
        match self.read_sounds(now, duration.unwrap_or_default()) {
            Read::Fetch(fetch) => return Some(HlsWant::Fetch(fetch)),
            Read::Lost => return None,
            Read::Wait(lag) => {
                return Some(HlsWant::Wait { until: until.map_or(Some(lag), |at| Some(at.min(lag))) });
            }
            Read::Enough if duration.is_none() => return Some(HlsWant::Wait { until }),
            Read::Enough => {}
        }
        match self.picture.want(now, true) {
            HlsWant::Wait { until: own } => {
                Some(HlsWant::Wait { until: [own, until].into_iter().flatten().min() })
            }
            want @ (HlsWant::Fetch(_)
            | HlsWant::Receive { .. }
            | HlsWant::TakeTail
            | HlsWant::Abandon
            | HlsWant::Ended
            | HlsWant::Failed) => {
                if is_segment(&want) {
                    self.begin();
                }
                Some(want)
            }
        }
    }

    /// A segment of the picture is asked for.
    fn begin(&mut self) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        let Some(beside) = &mut self.beside else { return };
        for (index, sound) in beside.sounds.iter_mut().enumerate().filter(|(_, sound)| !sound.has_delivered) {
            sound.is_waited_for = false;
            beside.merger.wait_for(index, false);
        }
    }

    /// The lists of the sounds.
    fn poll_sounds(&mut self, now: Instant) -> Polled {
        let Some(picture) = self.picture.place() else { return Polled::Wait(None) };
        let has_begun = self.has_begun;
        let Some(beside) = &mut self.beside else { return Polled::Wait(None) };
        let is_late = !has_begun && beside.prepared_by <= now;
        let mut until: Option<Instant> = None;
        for index in 0..beside.sounds.len() {
            let sound = &mut beside.sounds[index];
            if let GroupState::Lost { until: again } = sound.state {
                if again > now {
                    until = Some(until.map_or(again, |at| at.min(again)));
                    continue;
                }
                let machine = Machine::new(sound.list.url.clone(), self.params, self.seed, now);
                sound.state = GroupState::Reading(Box::new(machine));
            }
            let GroupState::Reading(machine) = &mut sound.state else { continue };
            if machine.place().is_none() {
                // What takes longer than viewers wait is read when they have a picture.
                if is_late {
                    continue;
                }
                machine.begin_beside(picture);
            }
            match machine.want(now, false) {
                HlsWant::Fetch(fetch) => {
                    self.turn = Turn::Sound { index, until: now + LIST_TIME };
                    return Polled::Fetch(fetch);
                }
                HlsWant::Wait { until: own } => until = [until, own].into_iter().flatten().min(),
                HlsWant::Ended => {
                    sound.state = GroupState::Ended;
                    beside.merger.wait_for(index, false);
                }
                HlsWant::Failed => {
                    let failure = machine.failure().cloned().unwrap_or(Failure::Slow);
                    self.lose(now, index, failure);
                    return Polled::Lost;
                }
                want @ (HlsWant::Receive { .. } | HlsWant::TakeTail | HlsWant::Abandon) => {
                    unreachable!("an idle machine wants {want:?}")
                }
            }
        }
        Polled::Wait(until)
    }

    /// The segments of the sounds that are heard with the picture's next one, which lasts so long; or with what has come of it.
    fn read_sounds(&mut self, now: Instant, duration: Duration) -> Read {
        let is_prepared = self.has_begun;
        let left_of_picture = self.picture.left().unwrap_or_default().saturating_sub(duration);
        let Some(beside) = &mut self.beside else { return Read::Enough };
        let is_late = !is_prepared && beside.prepared_by <= now;
        let mut lag: Option<Instant> = None;
        let mut lacking = Vec::new();
        let mut patience = self.picture.target().unwrap_or_default();
        for index in 0..beside.sounds.len() {
            let sound = &mut beside.sounds[index];
            let GroupState::Reading(machine) = &mut sound.state else { continue };
            let ahead = beside.merger.ahead(index);
            // Where their lists end does not tell where they begin: the first segment is read in any case.
            let left = machine.left().filter(|_| sound.has_delivered);
            let missing = missing(ahead, left, left_of_picture, duration);
            if !sound.is_waited_for && ahead.is_some_and(|ahead| ahead >= -SLACK_TICKS) {
                sound.is_waited_for = true;
                beside.merger.wait_for(index, true);
                if std::mem::take(&mut sound.losses) > 0 && self.remarks.len() < REMARKS_MAX {
                    self.remarks.push(Remark::SoundBack(sound.list.name.clone()));
                }
            }
            if (missing <= SLACK && !beside.merger.is_missing(index)) || is_late {
                continue;
            }
            if let Some(own) = machine.next_duration() {
                match machine.want(now, true) {
                    HlsWant::Fetch(fetch) => {
                        if is_segment_item(fetch.item) && !machine.goes_on() {
                            beside.merger.begin_segment(index);
                        }
                        let time = own.clamp(SEGMENT_TIME_MIN, SEGMENT_TIME_MAX);
                        self.turn = Turn::Sound { index, until: now + time };
                        return Read::Fetch(fetch);
                    }
                    HlsWant::Wait { until: Some(until) } => lag = Some(lag.map_or(until, |at| at.min(until))),
                    HlsWant::Failed => {
                        let failure = machine.failure().cloned().unwrap_or(Failure::Slow);
                        self.lose(now, index, failure);
                        return Read::Lost;
                    }
                    HlsWant::Wait { until: None } | HlsWant::Ended => {}
                    want @ (HlsWant::Receive { .. } | HlsWant::TakeTail | HlsWant::Abandon) => {
                        unreachable!("an idle machine wants {want:?}")
                    }
                }
            } else if let Some(due) = machine.list_due() {
                lag = Some(lag.map_or(due, |at| at.min(due)));
            }
            // A little less than a segment is no sign that a list is late: they are never cut at the same time.
            if sound.is_waited_for && !duration.is_zero() && missing > duration / 2 {
                lacking.push(index);
                patience = patience.max(machine.target().unwrap_or_default());
            }
        }
        let (Some(lag), false) = (lag, lacking.is_empty()) else {
            // Without a picture that waits nothing is said of whether one does.
            beside.lags_since = beside.lags_since.filter(|_| duration.is_zero());
            return Read::Enough;
        };
        let since = *beside.lags_since.get_or_insert(now);
        let until = since + LAG_MAX.min(patience);
        if now < until {
            return Read::Wait(lag.min(until).max(now + LAG_LOOK));
        }
        beside.lags_since = None;
        for index in lacking {
            beside.sounds[index].is_waited_for = false;
            beside.merger.wait_for(index, false);
        }
        Read::Enough
    }

    /// The picture is at its end: what is left of sounds that are at theirs, and what waits.
    fn finish(&mut self, now: Instant, may_read: bool) -> Option<HlsWant> {
        match self.poll_sounds(now) {
            Polled::Fetch(fetch) => return Some(HlsWant::Fetch(fetch)),
            Polled::Lost => return None,
            Polled::Wait(_) => {}
        }
        let beside = self.beside.as_mut()?;
        for index in 0..beside.sounds.len() {
            let GroupState::Reading(machine) = &mut beside.sounds[index].state else { continue };
            let is_last =
                machine.left().zip(machine.target()).is_some_and(|(left, target)| left <= 2 * target);
            if !is_last || machine.next_duration().is_none() {
                continue;
            }
            match machine.want(now, may_read) {
                HlsWant::Fetch(fetch) => {
                    if is_segment_item(fetch.item) && !machine.goes_on() {
                        beside.merger.begin_segment(index);
                    }
                    self.turn = Turn::Sound { index, until: now + SEGMENT_TIME_MIN };
                    return Some(HlsWant::Fetch(fetch));
                }
                HlsWant::Wait { .. } if !may_read => return Some(HlsWant::Wait { until: None }),
                HlsWant::Wait { .. } | HlsWant::Ended | HlsWant::Failed => {}
                want @ (HlsWant::Receive { .. } | HlsWant::TakeTail | HlsWant::Abandon) => {
                    unreachable!("an idle machine wants {want:?}")
                }
            }
        }
        beside.merger.finish();
        (beside.merger.waiting() == 0).then_some(HlsWant::Ended)
    }

    /// A sound cannot be had. Before the picture has begun, what others can read is left to them.
    fn lose(&mut self, now: Instant, index: usize, failure: Failure) {
        if matches!(self.turn, Turn::Sound { .. }) {
            self.turn = Turn::Nobody;
        }
        if let (Failure::Unreadable(_), false) = (&failure, self.has_begun) {
            self.failure = Some(failure);
            return;
        }
        let Some(beside) = &mut self.beside else { return };
        let sound = &mut beside.sounds[index];
        let wait = LOST_WAIT_MIN.saturating_mul(1 << sound.losses.min(10)).min(LOST_WAIT_MAX);
        sound.losses += 1;
        sound.state = GroupState::Lost { until: now + wait };
        sound.is_waited_for = false;
        beside.merger.wait_for(index, false);
        beside.merger.list(index, false);
        if self.remarks.len() < REMARKS_MAX {
            self.remarks.push(Remark::SoundLost(sound.list.name.clone(), failure));
        }
    }
}

/// What has come of looking after the sounds' lists.
enum Polled {
    Fetch(Fetch),
    /// Nothing, until then.
    Wait(Option<Instant>),
    /// One is lost, and all is to be looked at anew.
    Lost,
}

/// What has come of looking after the sounds' segments.
enum Read {
    Fetch(Fetch),
    /// One is late: until then.
    Wait(Instant),
    Lost,
    /// The picture may be asked for.
    Enough,
}

const fn is_segment_item(item: Item) -> bool {
    match item {
        Item::Segment { .. } => true,
        Item::List | Item::Key => false,
    }
}

const fn is_segment(want: &HlsWant) -> bool {
    match want {
        HlsWant::Fetch(fetch) => is_segment_item(fetch.item),
        HlsWant::Receive { .. }
        | HlsWant::TakeTail
        | HlsWant::Abandon
        | HlsWant::Wait { .. }
        | HlsWant::Ended
        | HlsWant::Failed => false,
    }
}

/// How much of a sound is missing to the end of the picture's next segment: by their times, else by what their lists still have.
fn missing(
    ahead: Option<i64>,
    left: Option<Duration>,
    left_of_picture: Duration,
    duration: Duration,
) -> Duration {
    match (ahead, left) {
        (Some(ahead), _) => {
            let ahead_by = Duration::from_micros(ahead.unsigned_abs() * 100 / 9);
            if ahead < 0 { duration + ahead_by } else { duration.saturating_sub(ahead_by) }
        }
        (None, Some(left)) => left.saturating_sub(left_of_picture),
        (None, None) => duration,
    }
}

/// So long viewers wait for sounds before they have a picture.
const PREPARATION_MAX: Duration = Duration::from_secs(5);
/// So long a picture waits at most for a sound that its list does not have yet: as long as a segment of either lasts, which viewers
/// are behind.
const LAG_MAX: Duration = Duration::from_secs(6);
/// How often it is looked after such a list at most.
const LAG_LOOK: Duration = Duration::from_millis(50);
/// So much of a sound may be missing when the picture is asked for: the rest waits for the next segment.
const SLACK: Duration = Duration::from_millis(300);
/// The same in ticks of 90 kHz.
const SLACK_TICKS: i64 = 27_000;
/// The most time for the list of a sound: the picture waits meanwhile.
const LIST_TIME: Duration = Duration::from_secs(3);
/// The most time for a segment or key of a sound, which is as long as the segment lasts.
const SEGMENT_TIME_MIN: Duration = Duration::from_secs(4);
const SEGMENT_TIME_MAX: Duration = Duration::from_secs(10);
/// The first wait before a sound that was lost is tried again, and the longest.
const LOST_WAIT_MIN: Duration = Duration::from_secs(10);
const LOST_WAIT_MAX: Duration = Duration::from_secs(120);
/// Remarks that nobody has taken.
const REMARKS_MAX: usize = 16;

#[cfg(test)]
mod tests;
