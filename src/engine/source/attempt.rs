//! What is to be tried of a source.

use std::time::Duration;

use crate::base::Instant;
use crate::base::limits::LIST_NESTING_MAX;
use crate::lineup::Source;
use crate::source::body::Sound;
use crate::source::error::{Kind, SourceError};
use crate::source::ffmpeg::{Detection, Tracks};
use crate::source::{Opening, Remux, mode, startup};
use crate::ts::{ComponentState, StreamProfile};

/// How long an attempt waits for a child of before that still reads from the same provider: the time from SIGTERM to
/// SIGKILL, and what it takes to hear of it.
const CHILD_END_WAIT: Duration = Duration::from_millis(750);
/// The least time that one stream of a list is given.
const STREAM_SHARE_MIN: Duration = Duration::from_secs(2);

/// How long ffmpeg looks at a source before it starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Look {
    /// As configured.
    First,
    /// Longer, because the first look has not found everything.
    Relaxed(Detection),
    /// Longer, and what has been listed and does not come is left out.
    Heard(Detection),
    /// Longer, and ffmpeg takes what it thinks best.
    Best(Detection),
    /// Until the tables have come: the first look has found sound only, and pictures are taken when they are listed.
    Listed(Detection),
}

impl Look {
    /// True when streams are taken of which nothing has come yet.
    pub(crate) const fn takes_what_is_listed(self) -> bool {
        matches!(self, Self::Listed(_))
    }

    /// True when it is not the first.
    pub(crate) const fn is_second(self) -> bool {
        match self {
            Self::First => false,
            Self::Relaxed(_) | Self::Heard(_) | Self::Best(_) | Self::Listed(_) => true,
        }
    }
}

/// An attempt at a source.
#[derive(Clone)]
pub(crate) struct Attempt {
    pub(crate) source: Source,
    /// `initial_startup` or `recovery_cycle_<n>:<reason>`.
    pub(crate) selection_reason: String,
    pub(crate) in_recovery: bool,
    /// When it is given up.
    pub(crate) deadline: Instant,
    pub(crate) look: Look,
    /// Where the stream is: at the source's address, or where the list there says.
    pub(crate) address: String,
    /// The list's other streams, the next one last.
    others: Vec<String>,
    /// Lists that have led here.
    lists: u32,
    /// What the stream is known to be, and nothing else.
    pub(crate) sound: Option<Sound>,
    /// The programme that was found, of several.
    pub(crate) programme: Option<u16>,
    /// It is HLS.
    pub(crate) is_playlist: bool,
    /// It is DASH: each sound is there in several qualities.
    pub(crate) is_dash: bool,
    /// Its container is no transport stream: its subtitles are texts.
    pub(crate) is_foreign: bool,
    /// Its servers are believed whatever they show.
    pub(crate) is_unverified: bool,
}

impl Attempt {
    /// The first attempt at a source.
    pub(crate) fn new(
        source: Source,
        selection_reason: String,
        in_recovery: bool,
        deadline: Instant,
    ) -> Self {
        Self {
            address: source.url.clone(),
            source,
            selection_reason,
            in_recovery,
            deadline,
            look: Look::First,
            others: Vec::new(),
            lists: 0,
            sound: None,
            programme: None,
            is_playlist: false,
            is_dash: false,
            is_foreign: false,
            is_unverified: false,
        }
    }

    /// Which of its streams ffmpeg takes.
    pub(crate) const fn tracks(&self) -> Tracks {
        match self.look {
            Look::Best(_) => Tracks::Best,
            Look::First | Look::Relaxed(_) | Look::Heard(_) | Look::Listed(_) if self.is_dash => Tracks::Best,
            Look::Heard(_) => Tracks::Heard,
            Look::First | Look::Relaxed(_) | Look::Listed(_) if self.is_foreign => Tracks::Shown,
            Look::First | Look::Relaxed(_) | Look::Listed(_) => Tracks::All,
        }
    }

    /// ffmpeg need not look for long.
    fn may_be_quick(&self, remux: Remux) -> bool {
        !self.is_playlist && mode::may_be_quick(remux, &self.address)
    }

    /// When the stream that is tried now is given up for the next one of its list.
    pub(crate) fn stream_deadline(&self, now: Instant) -> Instant {
        let count = u32::try_from(self.others.len()).expect("a list has few entries") + 1;
        let share = (self.deadline - now) / count;
        self.deadline.min(now + share.max(STREAM_SHARE_MIN))
    }

    /// The same source with the next stream of its list.
    pub(crate) fn next_of_list(mut self, now: Instant) -> Option<Self> {
        let address = self.others.pop().filter(|_| now < self.deadline)?;
        let Self { source, selection_reason, in_recovery, deadline, others, lists, is_unverified, .. } = self;
        let anew = Self::new(source, selection_reason, in_recovery, deadline);
        Some(Self { address, others, lists, is_unverified, ..anew })
    }

    /// The same source with the streams of the list that it is, unless lists lead to lists for too long.
    pub(crate) fn of_list(self, mut streams: Vec<String>, now: Instant) -> Option<Self> {
        if self.lists == LIST_NESTING_MAX {
            return None;
        }
        streams.reverse();
        let others = [self.others, streams].concat();
        Self { others, lists: self.lists + 1, ..self }.next_of_list(now)
    }

    /// Which programmes are taken, and how long ffmpeg looks for them. A first look that may have been too short is
    /// repeated, unless what it finds is all that the source had before.
    pub(crate) fn terms(
        &self,
        opening: Opening,
        left: Duration,
        detection: Detection,
        stored: &StreamProfile,
    ) -> (startup::Inventory, Detection) {
        match (opening, self.look) {
            (Opening::Ffmpeg(_), _) if self.sound.is_some() => (startup::Inventory::AsDeclared, detection),
            (Opening::Direct | Opening::Hls | Opening::Udp, _) => (startup::Inventory::AsDeclared, detection),
            (Opening::Ffmpeg(remux), Look::First) if self.may_be_quick(remux) => {
                let quick = detection.quick(stored.bitrate_bps);
                let is_known =
                    matches!(stored.components(), ComponentState::VideoOnly | ComponentState::AudioOnly);
                let is_all = is_known || detection.after_quick(left).is_none();
                let inventory =
                    if is_all { startup::Inventory::AsDeclared } else { startup::Inventory::VideoAndAudio };
                (inventory, quick)
            }
            (
                Opening::Ffmpeg(_),
                Look::Relaxed(longer) | Look::Heard(longer) | Look::Best(longer) | Look::Listed(longer),
            ) => (startup::Inventory::AsDeclared, longer),
            (Opening::Ffmpeg(_), Look::First) => {
                let inventory = match stored.components() {
                    ComponentState::VideoOnly | ComponentState::AudioOnly => startup::Inventory::AsDeclared,
                    ComponentState::VideoAudio | ComponentState::Undetected => detection
                        .relaxed(left)
                        .map_or(startup::Inventory::AsDeclared, |_longer| startup::Inventory::VideoAndAudio),
                };
                (inventory, detection.effective())
            }
        }
    }

    /// The next look of ffmpeg at a source of which the one before has not found everything; `is_sound` says that it has found
    /// sound only.
    pub(crate) fn longer_look(
        &self,
        opening: Opening,
        left: Duration,
        detection: Detection,
        error: &SourceError,
        is_sound: bool,
    ) -> Option<Look> {
        let Opening::Ffmpeg(remux) = opening else { return None };
        let is_quick = self.may_be_quick(remux);
        match self.look {
            Look::First if error.kind() == Kind::Inventory && is_quick && is_sound => {
                detection.after_sound(left).map(Look::Listed)
            }
            Look::First if error.kind() == Kind::Inventory && is_quick => {
                detection.after_quick(left).map(Look::Relaxed)
            }
            Look::First if error.kind() == Kind::Inventory => detection.relaxed(left).map(Look::Relaxed),
            // Of sounds that are listed some may be silent for ever.
            Look::First if error.lacks_parameters() && self.sound.is_none() => {
                detection.for_silent(left).map(Look::Heard)
            }
            Look::Heard(_) | Look::Listed(_) if error.lacks_parameters() || error.finds_none() => {
                detection.after_quick(left).map(Look::Best)
            }
            Look::First | Look::Relaxed(_) | Look::Heard(_) | Look::Best(_) | Look::Listed(_) => None,
        }
    }
}

/// An attempt that begins when a child of the same provider has ended: providers count connections.
pub(crate) struct Awaited {
    attempt: Attempt,
    opening: Opening,
    /// Then it begins all the same, unless its provider allows a number of streams.
    until: Instant,
}

impl Awaited {
    /// `is_limited` says that the provider allows a number of streams: then the child's end is waited for as long as there is time.
    pub(crate) fn new(attempt: Attempt, opening: Opening, now: Instant, is_limited: bool) -> Self {
        let until = if is_limited { attempt.deadline } else { attempt.deadline.min(now + CHILD_END_WAIT) };
        Self { attempt, opening, until }
    }

    pub(crate) const fn until(&self) -> Instant {
        self.until
    }

    pub(crate) const fn source(&self) -> &Source {
        &self.attempt.source
    }

    pub(crate) fn begin(self) -> (Attempt, Opening) {
        (self.attempt, self.opening)
    }
}
