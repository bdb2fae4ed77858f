//! What is fetched next, and what becomes of it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::Instant;
use crate::base::limits::{HLS_LIST_BYTES_MAX, LIST_NESTING_MAX};
use crate::http::Url;
use crate::source::error::{Kind, SourceError};
use crate::source::hls::align::{Place, Taken};
use crate::source::hls::choose::{self, VariantMax};
use crate::source::hls::failure::{Failure, ListError, SegmentError, Unreadable};
use crate::source::hls::list::{self, ByteRange, List, Master, Media, Rendition, Variant};
use crate::source::hls::segment::{Problem, Reader};

/// The settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HlsParams {
    /// `HLS_VARIANT_MAX`.
    pub variant_max: VariantMax,
    /// How long nothing new need be listed; at least three target durations are waited.
    pub patience: Duration,
    /// Only what is to be read is looked for, by others.
    pub for_others: bool,
}

/// What others are to read instead of the source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForOthers {
    /// The list of the best variant, or the master list.
    pub list: Url,
    /// Of the master list the variant of this place, counted from 0.
    pub programme: Option<u16>,
}

impl Default for HlsParams {
    fn default() -> Self {
        Self { variant_max: VariantMax::Best, patience: Duration::from_secs(10), for_others: false }
    }
}

/// How a segment follows what was delivered before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Joint {
    /// Without a seam.
    Smooth,
    /// The list says that times, counters or streams change.
    Discontinuity,
    /// Something between is missing.
    Gap,
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Item {
    /// A list.
    List,
    /// The key of a segment.
    Key,
    /// A segment.
    Segment {
        /// Its number.
        sequence: u64,
        /// How it follows the one before.
        joint: Joint,
    },
}

/// One request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetch {
    /// Where.
    pub url: Url,
    /// The part that is wanted, for the `Range` header.
    pub range: Option<ByteRange>,
    /// What it is.
    pub item: Item,
}

/// What the machine waits for. The engine does it and reports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HlsWant {
    /// A request is to be sent. It is said once, and nothing else is asked for before its end.
    Fetch(Fetch),
    /// What comes of the request: [`Machine::answered`], [`Machine::body`], [`Machine::complete`], [`Machine::failed`]. At this
    /// time [`Machine::expire`].
    Receive {
        /// `None`: whether a segment flows is not judged here.
        until: Option<Instant>,
    },
    /// Bytes of the stream that have been held back are to be taken: [`Machine::take_tail`].
    TakeTail,
    /// The rest of the answer is of no use: the connection is to be given up, then [`Machine::abandoned`].
    Abandon,
    /// Nothing, until then; or, without a time, until the stream may be read on.
    Wait {
        /// When to ask again.
        until: Option<Instant>,
    },
    /// The stream is at its end.
    Ended,
    /// [`Machine::failure`] says why.
    Failed,
}

/// What has been done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Lists that were read.
    pub lists: u64,
    /// Keys that were fetched.
    pub keys: u64,
    /// Segments that were delivered.
    pub segments: u64,
    /// Segments that could not be had or were of no use.
    pub segments_skipped: u64,
    /// Segments that had gone from the list before they were asked for.
    pub segments_lost: u64,
    /// Times that the numbers have begun anew.
    pub resets: u64,
    /// Requests that were sent again.
    pub retries: u64,
}

/// The variant that is read.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    /// Where its list is.
    url: Url,
    /// Its sounds that are in segments of their own.
    pub(super) sounds: Vec<SoundList>,
    /// How many subtitles it has in segments of their own.
    pub(super) subtitles: usize,
}

/// A sound that is in segments of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SoundList {
    /// Where its list is.
    pub(super) url: Url,
    /// What viewers are shown.
    pub(super) name: String,
    /// RFC 5646.
    pub(super) language: Option<String>,
}

/// Where another list of the same programme is: at a segment that is next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct PictureAt {
    is_whole: bool,
    sequence: u64,
    /// Milliseconds since 1970.
    programme_time: Option<i64>,
    /// From there to its end.
    left: Duration,
    target: Duration,
}

/// One list on the way to the segments.
struct Level {
    /// As the source or the list before names it.
    given: Url,
    /// Where redirects have led.
    at: Option<Url>,
}

/// Where the next request for the list goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Address {
    /// Where it was found last: the same server has the same numbers, and a panel is not asked anew for every list.
    Found,
    /// Where it was said to be: what redirects once led to has expired.
    Given,
    /// Where the source is: the master list's addresses have expired too.
    Source,
}

/// A request on its way.
struct Flight {
    began: Instant,
    deadline: Option<Instant>,
    /// Where redirects have led.
    at: Url,
    range: Option<ByteRange>,
    cargo: Cargo,
}

enum Cargo {
    List(Vec<u8>),
    Key(Vec<u8>),
    Segment(Box<Reader>),
}

enum Phase {
    Idle,
    Flying(Box<Flight>),
    Tail { bytes: Vec<u8>, is_complete: bool },
    Abandoning,
    Ended,
    Failed(Failure),
}

/// The list that is played, and the place in it.
struct Play {
    list: Media,
    /// Where the list was: its addresses are relative to that.
    base: Url,
    next: usize,
    taken: Option<Taken>,
    /// When something new was listed, or the last segment came.
    moved_at: Instant,
    /// When a list came, or a request for one failed.
    heard_at: Instant,
    /// When the list is to be asked for; never again once it is whole.
    list_due: Option<Instant>,
    /// Lists in a row that were older than what was taken.
    doubts: u32,
    /// Something is missing before the next segment, or the list says that something changes there.
    joint: Joint,
    has_delivered: bool,
    skipped_in_row: u32,
    trial: Trial,
}

/// The next segment, or its key, was asked for in vain.
#[derive(Default)]
struct Trial {
    count: u32,
    not_before: Option<Instant>,
    /// Its address was refused, and the list has been asked for another.
    has_refreshed: bool,
    /// What has come of it.
    reader: Option<Box<Reader>>,
}

/// One run of HLS.
pub struct Machine {
    params: HlsParams,
    levels: Vec<Level>,
    /// The other variants, for when the chosen one cannot be had.
    others: VecDeque<Chosen>,
    /// Set when a variant has been chosen, until somebody wants to know.
    chosen: Option<Chosen>,
    /// Where the programme's picture is, when this is its sound.
    beside: Option<PictureAt>,
    /// The segment that was asked for last had begun to come before.
    goes_on: bool,
    address: Address,
    /// Requests for lists in a row that have failed, and why the first has.
    list_failures: u32,
    list_failure: Option<Failure>,
    /// Set until there is a list of segments.
    first_list_due: Instant,
    play: Option<Play>,
    for_others: Option<ForOthers>,
    keys: VecDeque<(String, [u8; 16])>,
    phase: Phase,
    random: u64,
    counters: Counters,
}

impl Machine {
    /// A run that has asked for nothing yet. `seed` makes its waits differ from those of others.
    #[must_use]
    pub fn new(source: Url, params: HlsParams, seed: u64, now: Instant) -> Self {
        Self {
            params,
            levels: vec![Level { given: source, at: None }],
            others: VecDeque::new(),
            chosen: None,
            beside: None,
            goes_on: false,
            address: Address::Given,
            list_failures: 0,
            list_failure: None,
            first_list_due: now,
            play: None,
            for_others: None,
            keys: VecDeque::new(),
            phase: Phase::Idle,
            random: seed | 1,
            counters: Counters::default(),
        }
    }

    /// What is to be done next. Ask again after every report, and when a wait is over. `may_read` says whether more of the
    /// stream is wanted now: a list is asked for in any case, or it would slide away.
    pub fn want(&mut self, now: Instant, may_read: bool) -> HlsWant {
        loop {
            match &self.phase {
                Phase::Flying(flight) => return HlsWant::Receive { until: flight.deadline },
                Phase::Tail { .. } => return HlsWant::TakeTail,
                Phase::Abandoning => return HlsWant::Abandon,
                Phase::Ended => return HlsWant::Ended,
                Phase::Failed(_) => return HlsWant::Failed,
                Phase::Idle => {
                    if let Some(want) = self.decide(now, may_read) {
                        return want;
                    }
                }
            }
        }
    }

    /// What others are to read instead, when the source is a master list.
    #[must_use]
    pub const fn for_others(&self) -> Option<&ForOthers> {
        self.for_others.as_ref()
    }

    /// Why it failed, when it did.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        match &self.phase {
            Phase::Failed(failure) => Some(failure),
            Phase::Idle | Phase::Flying(_) | Phase::Tail { .. } | Phase::Abandoning | Phase::Ended => None,
        }
    }

    /// When [`Machine::expire`] is to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Flying(flight) => flight.deadline,
            Phase::Idle | Phase::Tail { .. } | Phase::Abandoning | Phase::Ended | Phase::Failed(_) => None,
        }
    }

    /// True while a segment is on its way.
    #[must_use]
    pub fn is_reading_segment(&self) -> bool {
        match &self.phase {
            Phase::Flying(flight) => matches!(flight.cargo, Cargo::Segment(_)),
            Phase::Tail { .. } => true,
            Phase::Idle | Phase::Abandoning | Phase::Ended | Phase::Failed(_) => false,
        }
    }

    /// The variant that has been chosen, once each time.
    pub(super) const fn take_chosen(&mut self) -> Option<Chosen> {
        self.chosen.take()
    }

    /// Nothing is on its way.
    pub(super) const fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle | Phase::Ended)
    }

    /// Where the segment is that is next, or will be; once there is a list of segments.
    pub(super) fn place(&self) -> Option<PictureAt> {
        let Play { list, next, .. } = self.play.as_ref()?;
        let next_is_listed = *next < list.len();
        Some(PictureAt {
            is_whole: list.is_whole(),
            sequence: list.sequence().saturating_add(u64::try_from(*next).unwrap_or(u64::MAX)),
            programme_time: if next_is_listed { list.programme_time(*next) } else { None },
            left: list.duration_from(*next),
            target: list.target(),
        })
    }

    /// This is a sound, and its picture is there: that is where it begins when its list comes.
    pub(super) const fn begin_beside(&mut self, picture: PictureAt) {
        self.beside = Some(picture);
    }

    /// The segment that was asked for last goes on where it was cut off.
    pub(super) const fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// The list is named elsewhere from now on.
    pub(super) fn relocate(&mut self, source: Url) {
        self.levels = vec![Level { given: source, at: None }];
        self.address = Address::Given;
    }

    /// How long the next segment is, if it is listed.
    pub(super) fn next_duration(&self) -> Option<Duration> {
        let Play { list, next, .. } = self.play.as_ref()?;
        (*next < list.len()).then(|| list.duration(*next))
    }

    /// How long all segments that are listed and have not been read are.
    pub(super) fn left(&self) -> Option<Duration> {
        self.play.as_ref().map(|play| play.list.duration_from(play.next))
    }

    /// The target duration of its list.
    pub(super) fn target(&self) -> Option<Duration> {
        self.play.as_ref().map(|play| play.list.target())
    }

    /// When its list is to be asked for.
    pub(super) fn list_due(&self) -> Option<Instant> {
        self.play.as_ref().map_or(Some(self.first_list_due), |play| play.list_due)
    }

    /// What has been done so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// The request was accepted, with a status of success. `at` is where redirects have led.
    pub fn answered(&mut self, at: Url, status: u16) {
        let Phase::Flying(flight) = &mut self.phase else { return };
        flight.at = at;
        if let Cargo::Segment(reader) = &mut flight.cargo {
            // A server that does not know ranges sends everything.
            let whole = flight.range.filter(|_| status != STATUS_PARTIAL);
            reader.answered(whole.map(|range| range.offset));
        }
    }

    /// Bytes of the answer's body have come. Those of the stream are then at the front; the result is their number.
    pub fn body(&mut self, now: Instant, bytes: &mut [u8]) -> usize {
        // What comes of an answer that is not wanted any more is dropped.
        let Phase::Flying(flight) = &mut self.phase else { return 0 };
        let collected = match &mut flight.cargo {
            Cargo::Segment(reader) => match reader.push(bytes) {
                Ok(count) => {
                    if reader.has_all() {
                        self.land(now, false);
                    }
                    return count;
                }
                Err(problem) => {
                    self.phase = Phase::Abandoning;
                    self.segment_unusable(now, problem);
                    return 0;
                }
            },
            Cargo::List(collected) => (collected, HLS_LIST_BYTES_MAX),
            Cargo::Key(collected) => (collected, KEY_ANSWER_BYTES_MAX),
        };
        let (collected, bytes_max) = collected;
        let is_list = bytes_max == HLS_LIST_BYTES_MAX;
        if collected.len() + bytes.len() <= bytes_max {
            let before = collected.len();
            collected.extend_from_slice(bytes);
            // A stream that has the name of a list would not end.
            if is_list
                && before < LIST_SAMPLE_BYTES
                && collected.len() >= LIST_SAMPLE_BYTES
                && let Some(body) = list::other_body(collected)
            {
                self.phase = Phase::Abandoning;
                self.list_failed(now, Failure::List(ListError::NotAList(body)), None);
            }
            return 0;
        }
        let length = collected.len() + bytes.len();
        self.phase = Phase::Abandoning;
        if is_list {
            self.list_failed(now, Failure::List(ListError::TooLong), None);
        } else {
            self.phase = Phase::Failed(Failure::Key { bytes: length });
        }
        0
    }

    /// The body is complete.
    pub fn complete(&mut self, now: Instant) {
        // The end of an answer that is not wanted any more says nothing.
        if matches!(self.phase, Phase::Flying(_)) {
            self.land(now, true);
        }
    }

    /// The request failed, or its answer was cut off.
    pub fn failed(&mut self, now: Instant, error: SourceError) {
        // An answer that is not wanted any more may fail as it likes.
        if !matches!(self.phase, Phase::Flying(_)) {
            return;
        }
        let Phase::Flying(flight) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            unreachable!("it was looked at above");
        };
        let retry_after = error.retry_after();
        match flight.cargo {
            Cargo::List(_) => self.list_failed(now, Failure::Request(error), retry_after),
            Cargo::Key(_) => self.key_failed(now, Failure::Request(error), retry_after),
            Cargo::Segment(reader) => self.segment_failed(now, reader, error),
        }
    }

    /// Bytes of the stream that were held back. Ask until none come.
    pub fn take_tail(&mut self, into: &mut [u8]) -> usize {
        let Phase::Tail { bytes, is_complete } = &mut self.phase else { return 0 };
        let count = bytes.len().min(into.len());
        into[..count].copy_from_slice(&bytes[..count]);
        bytes.drain(..count);
        if bytes.is_empty() {
            self.phase = if *is_complete { Phase::Idle } else { Phase::Abandoning };
        }
        count
    }

    /// The connection whose answer was of no use has been given up.
    pub fn abandoned(&mut self) {
        if matches!(self.phase, Phase::Abandoning) {
            self.phase = Phase::Idle;
        }
    }

    /// Time passed.
    pub fn expire(&mut self, now: Instant) {
        let Phase::Flying(flight) = &self.phase else { return };
        if flight.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        let is_key = matches!(flight.cargo, Cargo::Key(_));
        self.phase = Phase::Abandoning;
        if is_key {
            self.key_failed(now, Failure::Slow, None);
        } else {
            self.list_failed(now, Failure::Slow, None);
        }
    }
}

/// Decisions.
impl Machine {
    /// One step; `None` when the next one is to be asked for.
    fn decide(&mut self, now: Instant, may_read: bool) -> Option<HlsWant> {
        let Some(play) = &mut self.play else {
            let due = self.first_list_due;
            return Some(if now < due { HlsWant::Wait { until: Some(due) } } else { self.fetch_list(now) });
        };
        let patience = self.params.patience.max(3 * play.list.target());
        let has_all = play.next == play.list.len();
        // Judged by what lists have said: while none could be asked for, none was stale.
        if has_all && !play.list.is_ended() && play.heard_at - play.moved_at >= patience {
            self.phase = match self.list_failure.take() {
                // A film whose list lacks its last line.
                None if play.list.is_whole() => Phase::Ended,
                None => Phase::Failed(Failure::Stale(patience)),
                Some(failure) => Phase::Failed(failure),
            };
            return None;
        }
        if play.list_due.is_some_and(|due| due <= now) {
            return Some(self.fetch_list(now));
        }
        if play.next < play.list.len() {
            if play.list.is_gap(play.next) {
                play.pass_over();
                return None;
            }
            if let Some(why) = play.list.obstacle(play.next) {
                self.phase = Phase::Failed(Failure::Unreadable(why));
                return None;
            }
            let not_before = play.trial.not_before.filter(|at| *at > now);
            if !may_read || not_before.is_some() {
                let ready = not_before.filter(|_| may_read);
                return Some(HlsWant::Wait { until: [ready, play.list_due].into_iter().flatten().min() });
            }
            return self.fetch_segment(now);
        }
        if play.list.is_ended() {
            self.phase = Phase::Ended;
            return None;
        }
        Some(HlsWant::Wait { until: play.list_due })
    }

    fn fly(
        &mut self,
        now: Instant,
        within: Option<Duration>,
        at: Url,
        range: Option<ByteRange>,
        cargo: Cargo,
    ) {
        let deadline = within.map(|within| now + within);
        self.phase = Phase::Flying(Box::new(Flight { began: now, deadline, at, range, cargo }));
    }

    fn fetch_list(&mut self, now: Instant) -> HlsWant {
        if self.address == Address::Source {
            self.levels.truncate(1);
            self.others.clear();
        }
        let level = self.levels.last().expect("the source itself is a level");
        let found = level.at.as_ref().filter(|_| self.address == Address::Found);
        let url = found.unwrap_or(&level.given).clone();
        let within = if self.play.is_none() { FIRST_LIST_TIME } else { ANSWER_TIME };
        self.fly(now, Some(within), url.clone(), None, Cargo::List(Vec::new()));
        HlsWant::Fetch(Fetch { url, range: None, item: Item::List })
    }

    fn fetch_segment(&mut self, now: Instant) -> Option<HlsWant> {
        let play = self.play.as_mut().expect("segments are fetched of a list");
        let index = play.next;
        let Ok(url) = play.base.join(play.list.uri(index)) else {
            let body = SegmentError::NotTransportStream(crate::source::body::Body::Unknown);
            self.skip(now, Failure::Segments(body));
            return None;
        };
        let mut secret = None;
        if let Some(key) = play.list.key(index) {
            let Ok(url) = play.base.join(key.uri) else {
                self.phase = Phase::Failed(Failure::Unreadable(Unreadable::KeyTag));
                return None;
            };
            let text = url.text();
            let Some((_, known)) = self.keys.iter().find(|(known, _)| *known == text) else {
                self.fly(now, Some(ANSWER_TIME), url.clone(), None, Cargo::Key(Vec::new()));
                return Some(HlsWant::Fetch(Fetch { url, range: None, item: Item::Key }));
            };
            secret = Some((*known, key.iv));
        }
        let whole = play.list.range(index);
        let is_begun = play.trial.reader.is_some();
        self.goes_on = is_begun;
        let reader = play.trial.reader.take().unwrap_or_else(|| {
            let reader = Reader::new(whole, secret.as_ref().map(|(key, iv)| (key, iv)));
            Box::new(if self.beside.is_some() { reader.of_sound() } else { reader })
        });
        let range = rest_of(whole, reader.received());
        let joint = match play.joint {
            // Nothing was delivered that this could follow; or its own beginning was.
            _ if !play.has_delivered || is_begun => Joint::Smooth,
            Joint::Gap => Joint::Gap,
            _ if play.list.is_discontinuous(index) => Joint::Discontinuity,
            joint @ (Joint::Smooth | Joint::Discontinuity) => joint,
        };
        let sequence = play.list.sequence().saturating_add(u64::try_from(index).unwrap_or(u64::MAX));
        self.fly(now, None, url.clone(), range, Cargo::Segment(reader));
        Some(HlsWant::Fetch(Fetch { url, range, item: Item::Segment { sequence, joint } }))
    }

    /// What was asked for has come.
    fn land(&mut self, now: Instant, is_complete: bool) {
        let Phase::Flying(flight) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            unreachable!("what is complete was on its way");
        };
        let Flight { began, at, cargo, .. } = *flight;
        if !is_complete {
            self.phase = Phase::Abandoning;
        }
        match cargo {
            Cargo::List(bytes) => self.list_came(now, began, at, &bytes),
            Cargo::Key(bytes) => self.key_came(&at, &bytes),
            Cargo::Segment(reader) => match reader.finish() {
                Ok(bytes) => {
                    if !bytes.is_empty() {
                        self.phase = Phase::Tail { bytes, is_complete };
                    }
                    self.segment_delivered(now);
                }
                Err(problem) => self.segment_unusable(now, problem),
            },
        }
    }
}

/// Lists.
impl Machine {
    fn list_came(&mut self, now: Instant, began: Instant, at: Url, bytes: &[u8]) {
        let is_first = self.play.is_none();
        match list::parse(bytes) {
            Ok(List::Media(media)) if is_first && !media.is_empty() && !media.has_hls_tags() => {
                self.list_failed(now, Failure::List(ListError::Plain), None);
            }
            Ok(List::Media(media)) => self.media_came(now, began, at, media),
            Ok(List::Master(master)) => self.master_came(now, at, &master),
            Err(error) => self.list_failed(now, Failure::List(error), None),
        }
    }

    fn master_came(&mut self, now: Instant, at: Url, master: &Master) {
        if self.levels.len() > LIST_NESTING_MAX as usize {
            self.phase = Phase::Failed(Failure::Nested);
            return;
        }
        self.counters.lists += 1;
        let ranked = choose::ranked(master, self.params.variant_max);
        let best = ranked.first().map(|best| choose::for_others(master, best));
        self.for_others = best.and_then(|best| match best {
            choose::Handover::List(uri) => Some(ForOthers { list: at.join(&uri).ok()?, programme: None }),
            choose::Handover::Programme(place) => {
                let list = self.levels.last()?.given.clone();
                Some(ForOthers { list, programme: Some(place) })
            }
        });
        if self.params.for_others {
            self.phase = Phase::Failed(Failure::Unreadable(Unreadable::Elsewhere));
            return;
        }
        if let Some(why) = master.locked {
            self.phase = Phase::Failed(Failure::Unreadable(why));
            return;
        }
        let variants = ranked.into_iter();
        let mut variants: VecDeque<Chosen> =
            variants.filter_map(|variant| Chosen::new(master, variant, &at)).collect();
        let Some(first) = variants.pop_front() else {
            self.phase = Phase::Failed(Failure::NoVariant);
            return;
        };
        self.others = variants;
        if let Some(level) = self.levels.last_mut() {
            level.at = Some(at);
        }
        self.follow(now, first);
    }

    /// The list of a variant is asked for now.
    fn follow(&mut self, now: Instant, variant: Chosen) {
        self.levels.push(Level { given: variant.url.clone(), at: None });
        self.chosen = Some(variant);
        self.address = Address::Given;
        self.first_list_due = now;
        if let Some(play) = &mut self.play {
            play.list_due = Some(now);
        }
    }

    fn media_came(&mut self, now: Instant, began: Instant, at: Url, media: Media) {
        self.counters.lists += 1;
        if self.params.for_others {
            self.phase = Phase::Failed(Failure::Unreadable(Unreadable::Elsewhere));
            return;
        }
        self.list_failures = 0;
        self.list_failure = None;
        self.address = Address::Found;
        if let Some(level) = self.levels.last_mut() {
            level.at = Some(at.clone());
        }
        match &mut self.play {
            None => self.play = Some(Play::new(media, at, began, now, self.beside)),
            Some(play) => play.reload(media, at, began, now, &mut self.counters),
        }
    }

    fn list_failed(&mut self, now: Instant, failure: Failure, retry_after: Option<Duration>) {
        self.list_failures += 1;
        let failure = self.list_failure.take().unwrap_or(failure);
        if self.play.is_none() {
            match self.others.pop_front() {
                Some(variant) => {
                    self.levels.pop();
                    self.list_failure = Some(failure);
                    self.for_others = Some(ForOthers { list: variant.url.clone(), programme: None });
                    self.follow(now, variant);
                }
                None => self.phase = Phase::Failed(failure),
            }
            return;
        }
        self.list_failure = Some(failure);
        self.counters.retries += 1;
        let is_elsewhere = self.change_address();
        let wait = match retry_after {
            Some(wait) => wait.min(self.params.patience),
            // Another address is tried at once, but not in a circle.
            None if is_elsewhere && self.list_failures == 1 => Duration::ZERO,
            None => self.wait_after(self.list_failures),
        };
        if let Some(play) = &mut self.play {
            play.heard_at = now;
            play.list_due = Some(now + wait);
        }
    }

    /// The list is asked for at another address, if there is one.
    fn change_address(&mut self) -> bool {
        let level = self.levels.last().expect("the source itself is a level");
        let was_redirected = level.at.as_ref().is_some_and(|at| *at != level.given);
        self.address = match self.address {
            Address::Found if was_redirected => Address::Given,
            Address::Found | Address::Given | Address::Source => Address::Source,
        };
        was_redirected || self.levels.len() > 1
    }

    /// Grows with every failure, and differs from channel to channel: a provider that comes back is not asked by all at once.
    fn wait_after(&mut self, failures: u32) -> Duration {
        // xorshift64 (Marsaglia, 2003).
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let full = RETRY_MIN.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(RETRY_MAX);
        let part = u32::try_from(self.random % 512).expect("below 512");
        full * 3 / 4 + full * part / 1024
    }
}

/// Keys.
impl Machine {
    fn key_came(&mut self, at: &Url, bytes: &[u8]) {
        let Some(key) = key_of(bytes) else {
            self.phase = Phase::Failed(Failure::Key { bytes: bytes.len() });
            return;
        };
        let play = self.play.as_mut().expect("keys are those of a list's segments");
        // By the address that the list gives: that is what the next segment will be looked up by.
        let asked = play.list.key(play.next).and_then(|key| play.base.join(key.uri).ok());
        let text = asked.as_ref().unwrap_or(at).text();
        if self.keys.len() == KEYS_MAX {
            self.keys.pop_front();
        }
        self.keys.push_back((text, key));
        self.counters.keys += 1;
    }

    fn key_failed(&mut self, now: Instant, failure: Failure, retry_after: Option<Duration>) {
        let play = self.play.as_mut().expect("keys are those of a list's segments");
        if play.trial.count >= TRIALS_MAX {
            self.phase = Phase::Failed(failure);
            return;
        }
        self.try_again(now, retry_after);
    }
}

/// Segments.
impl Machine {
    fn segment_delivered(&mut self, now: Instant) {
        self.counters.segments += 1;
        let play = self.play.as_mut().expect("segments are those of a list");
        play.advance();
        play.joint = Joint::Smooth;
        play.has_delivered = true;
        play.skipped_in_row = 0;
        play.moved_at = now;
    }

    fn segment_unusable(&mut self, now: Instant, problem: Problem) {
        let error = match problem {
            Problem::Unreadable(why) => {
                self.phase = Phase::Failed(Failure::Unreadable(why));
                return;
            }
            Problem::Unusable(error) => error,
        };
        let play = self.play.as_mut().expect("segments are those of a list");
        // Some change a key and leave its address.
        if error == SegmentError::WrongKey && play.trial.count == 0 {
            self.keys.clear();
            play.trial.count = 1;
            self.counters.retries += 1;
            return;
        }
        self.skip(now, Failure::Segments(error));
    }

    fn segment_failed(&mut self, now: Instant, reader: Box<Reader>, error: SourceError) {
        let play = self.play.as_mut().expect("segments are those of a list");
        let has_begun = reader.received() > 0;
        let may_pass = match error.kind() {
            Kind::Status(401 | 403) if !play.trial.has_refreshed && !play.list.is_ended() => {
                // The token in its address has expired; a new list has new ones.
                play.trial.has_refreshed = true;
                play.list_due = Some(now);
                self.counters.retries += 1;
                self.change_address();
                return;
            }
            Kind::Status(408 | 425 | 429) => true,
            Kind::Status(400..=499) => false,
            Kind::Status(_)
            | Kind::Unusable
            | Kind::OwnServer
            | Kind::UnsupportedMode
            | Kind::Unresolved
            | Kind::Connection
            | Kind::Tls
            | Kind::Protocol
            | Kind::Redirect
            | Kind::NotTransportStream(_)
            | Kind::Closed
            | Kind::Timeout
            | Kind::Inventory
            | Kind::NoEntryPoint
            | Kind::Scrambled
            | Kind::NoProgramme
            | Kind::Spawn => true,
        };
        if may_pass && play.trial.count < TRIALS_MAX {
            play.trial.reader = has_begun.then_some(reader);
            self.try_again(now, error.retry_after());
            return;
        }
        play.has_delivered |= has_begun;
        self.skip(now, Failure::Request(error));
    }

    fn try_again(&mut self, now: Instant, retry_after: Option<Duration>) {
        let play = self.play.as_mut().expect("a segment is tried again");
        play.trial.count += 1;
        let count = play.trial.count;
        let wait = match retry_after {
            Some(wait) => wait.min(self.params.patience),
            None => self.wait_after(count),
        };
        let play = self.play.as_mut().expect("a segment is tried again");
        play.trial.not_before = Some(now + wait);
        self.counters.retries += 1;
    }

    /// The next segment is passed over, unless too many were.
    fn skip(&mut self, now: Instant, failure: Failure) {
        self.counters.segments_skipped += 1;
        let play = self.play.as_mut().expect("segments are those of a list");
        play.pass_over();
        play.skipped_in_row += 1;
        play.moved_at = now;
        if play.skipped_in_row >= if play.has_delivered { SKIPS_MAX } else { FIRST_SKIPS_MAX } {
            self.phase = Phase::Failed(failure);
        }
    }
}

impl Chosen {
    fn new(master: &Master, variant: &Variant, at: &Url) -> Option<Self> {
        let sounds = choose::sounds(master, variant).into_iter().filter_map(|(rendition, uri)| {
            let Rendition { name, language, .. } = rendition;
            Some(SoundList { url: at.join(uri).ok()?, name: name.clone(), language: language.clone() })
        });
        let subtitles = choose::subtitles(master, variant);
        Some(Self { url: at.join(&variant.uri).ok()?, sounds: sounds.collect(), subtitles })
    }
}

impl Play {
    fn new(list: Media, base: Url, began: Instant, now: Instant, beside: Option<PictureAt>) -> Self {
        let next = beside.map_or_else(|| start_of(&list), |picture| start_beside(&list, picture));
        let mut play = Self {
            list,
            base,
            next,
            taken: None,
            moved_at: now,
            heard_at: now,
            list_due: None,
            doubts: 0,
            joint: Joint::Smooth,
            has_delivered: false,
            skipped_in_row: 0,
            trial: Trial::default(),
        };
        play.list_due = play.due_after(began, true);
        play
    }

    /// When the list is to be asked for next (RFC 8216, 6.3.4): after a target duration when it has changed, else after half
    /// of it, counted from when it was asked for.
    fn due_after(&self, began: Instant, has_changed: bool) -> Option<Instant> {
        if self.list.is_ended() {
            return None;
        }
        let target = self.list.target();
        // Lists that hold less than they must, sometimes a single segment, would slide away between two looks.
        let is_short = self.list.duration_from(0) < 2 * target;
        let wait = match (self.list.is_empty(), has_changed && !is_short) {
            (true, _) => EMPTY_LIST_WAIT,
            (false, true) => target,
            (false, false) => target / 2,
        };
        Some(began + wait)
    }

    /// The list has been loaded again.
    fn reload(&mut self, list: Media, base: Url, began: Instant, now: Instant, counters: &mut Counters) {
        self.heard_at = now;
        // Some send a list without segments between two good ones, and even say that it is the last.
        if list.is_empty() {
            self.list_due = self.due_after(began, false);
            return;
        }
        let unread = self.list.len() - self.next;
        let place = match &mut self.taken {
            None => Place::At(start_of(&list)),
            Some(taken) => taken.place(&list, self.doubts),
        };
        self.doubts = if place == Place::Old { self.doubts + 1 } else { 0 };
        let (next, is_continuous) = match place {
            Place::At(next) => (next, true),
            Place::Lost(count) => {
                counters.segments_lost = counters.segments_lost.saturating_add(count);
                (0, false)
            }
            Place::Old => {
                self.list_due = self.due_after(began, false);
                return;
            }
            Place::Anew(next) => {
                counters.resets += 1;
                (next.unwrap_or_else(|| start_of(&list)), false)
            }
        };
        if !is_continuous {
            self.joint = Joint::Gap;
            self.trial = Trial::default();
        }
        let has_changed =
            !is_continuous || list.len() - next > unread || list.is_ended() != self.list.is_ended();
        if has_changed {
            self.moved_at = now;
        }
        (self.list, self.base, self.next) = (list, base, next);
        self.list_due = self.due_after(began, has_changed);
    }

    /// The next segment has been dealt with.
    fn advance(&mut self) {
        self.taken = Some(Taken::note(self.taken.take(), &self.list, self.next));
        self.next += 1;
        self.trial = Trial::default();
    }

    /// The next segment is not delivered.
    fn pass_over(&mut self) {
        self.advance();
        self.joint = Joint::Gap;
    }
}

/// Where a list is begun: what is whole at its beginning, what is live three target durations before its end (RFC 8216,
/// 6.3.3), or where it says itself.
fn start_of(list: &Media) -> usize {
    if list.is_whole() {
        return 0;
    }
    let wished = list.start().filter(|seconds| *seconds < 0.0);
    let wished = wished.and_then(|seconds| Duration::try_from_secs_f64(-seconds).ok());
    let distance = wished.unwrap_or(3 * list.target()).max(list.target());
    let mut behind = Duration::ZERO;
    (0..list.len())
        .rev()
        .find(|index| {
            behind += list.duration(*index);
            behind >= distance
        })
        .unwrap_or(0)
}

/// Where the list of a sound is begun: at the segment that is heard with the picture's next one, or before it. Where nothing says which
/// one that is, one more is read than seems to be needed: what is heard before the picture is dropped, what is missing is missing.
fn start_beside(list: &Media, picture: PictureAt) -> usize {
    if picture.is_whole && list.is_whole() && picture.sequence == 0 && list.sequence() == 0 {
        return 0;
    }
    if let Some(time) = picture.programme_time
        && let Some(index) = (0..list.len()).rev().find(|index| {
            let begins = list.programme_time(*index);
            begins.is_some_and(|begins| begins <= time.saturating_add(SAME_TIME_MS))
        })
    {
        return index;
    }
    let same = picture.sequence.checked_sub(list.sequence()).and_then(|index| usize::try_from(index).ok());
    let tolerated = list.target().max(picture.target) * 3 / 2;
    if let Some(index) = same.filter(|index| *index < list.len())
        && list.duration_from(index).abs_diff(picture.left) <= tolerated
    {
        return index;
    }
    let reaches = (0..list.len()).rev().find(|index| list.duration_from(*index) >= picture.left);
    reaches.map_or(0, |index| index.saturating_sub(1))
}

/// The part of a segment that has not come yet; `None` for all of a whole resource.
fn rest_of(whole: Option<ByteRange>, received: u64) -> Option<ByteRange> {
    match whole {
        None if received == 0 => None,
        None => Some(ByteRange { offset: received, length: None }),
        Some(whole) => Some(ByteRange {
            offset: whole.offset.saturating_add(received),
            length: whole.length.map(|length| length.saturating_sub(received)),
        }),
    }
}

/// The key that an answer holds: 16 bytes. Some servers put an end of line behind them, or pack them.
fn key_of(bytes: &[u8]) -> Option<[u8; 16]> {
    let unpacked;
    let bytes = if list::is_gzip(bytes) && bytes.len() != 16 {
        unpacked = list::unpack(bytes, KEY_ANSWER_BYTES_MAX)?;
        unpacked.as_slice()
    } else {
        bytes
    };
    let (key, rest) = bytes.split_first_chunk()?;
    rest.iter().all(u8::is_ascii_whitespace).then_some(*key)
}

const STATUS_PARTIAL: u16 = 206;
/// Segments that begin together are said to do so to within this.
const SAME_TIME_MS: i64 = 500;
/// The most time for the first list: some make it only when they are asked for it, and films have long ones.
const FIRST_LIST_TIME: Duration = Duration::from_secs(10);
/// The most time for other lists, and for keys: while they are waited for, no segment comes.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// The beginning of a list that tells whether it is one.
const LIST_SAMPLE_BYTES: usize = 4096;
/// The most that an answer may have that should have 16 bytes.
const KEY_ANSWER_BYTES_MAX: usize = 1024;
/// Keys that are remembered: a list of segments in turn uses a few.
const KEYS_MAX: usize = 8;
/// A channel that has just been asked for has no segments yet; its first is to be seen soon.
const EMPTY_LIST_WAIT: Duration = Duration::from_millis(500);
/// How often a segment or key is asked for again.
const TRIALS_MAX: u32 = 2;
/// Segments in a row that may be missing.
const SKIPS_MAX: u32 = 8;
/// The same before there was any: others are waiting to be tried.
const FIRST_SKIPS_MAX: u32 = 3;
/// The first wait before something is asked for again, and the longest.
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests;
