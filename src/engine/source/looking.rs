//! How long ffmpeg looks at a source, and when it looks again.

use crate::ring::Lent;
use crate::source::error::{Kind, SourceError};
use crate::source::ffmpeg::Detection;
use crate::source::telemetry::component_hint;
use crate::source::{Opening, mode, startup};
use crate::ts::ComponentState;
use crate::uring::Driver;

use crate::engine::channel::profiles::stored_profile;
use crate::engine::context::token::Token;
use crate::engine::core::Core;
use crate::engine::source::opening::Attempt;

/// How long ffmpeg looks at a source before it starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Look {
    /// As configured.
    First,
    /// Longer, because the first look has not found everything.
    Relaxed(Detection),
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
        matches!(self, Self::Relaxed(_) | Self::Listed(_))
    }
}

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    /// Which programmes are taken, and how long ffmpeg looks for them. A first look that may have been too short is
    /// repeated, unless what it finds is all that the source had before.
    pub(crate) fn terms_of(&self, attempt: &Attempt, opening: Opening) -> (startup::Inventory, Detection) {
        let detection = self.params.sources.ffmpeg.detection;
        let left = attempt.deadline - self.now;
        match (opening, attempt.look) {
            (Opening::Ffmpeg(_), _) if attempt.sound.is_some() => (startup::Inventory::AsDeclared, detection),
            (Opening::Direct, _) => (startup::Inventory::AsDeclared, detection),
            (Opening::Ffmpeg(remux), Look::First) if mode::may_be_quick(remux, &attempt.address) => {
                let stored = stored_profile(&self.health.book, &attempt.source);
                let quick = detection.quick(stored.bitrate_bps);
                let is_known =
                    matches!(component_hint(&stored), ComponentState::VideoOnly | ComponentState::AudioOnly);
                let is_all = is_known || detection.after_quick(left).is_none();
                let inventory =
                    if is_all { startup::Inventory::AsDeclared } else { startup::Inventory::VideoAndAudio };
                (inventory, quick)
            }
            (Opening::Ffmpeg(_), Look::Relaxed(longer) | Look::Listed(longer)) => {
                (startup::Inventory::AsDeclared, longer)
            }
            (Opening::Ffmpeg(_), Look::First) => {
                let stored = stored_profile(&self.health.book, &attempt.source);
                let inventory = match component_hint(&stored) {
                    ComponentState::VideoOnly | ComponentState::AudioOnly => startup::Inventory::AsDeclared,
                    ComponentState::VideoAudio | ComponentState::Undetected => detection
                        .relaxed(left)
                        .map_or(startup::Inventory::AsDeclared, |_longer| startup::Inventory::VideoAndAudio),
                };
                (inventory, detection.effective())
            }
        }
    }

    /// The second look of ffmpeg at a source of which the first has not found everything; `is_sound` says that it has found
    /// sound only.
    pub(crate) fn longer_look(
        &self,
        attempt: &Attempt,
        opening: Opening,
        error: &SourceError,
        is_sound: bool,
    ) -> Option<Look> {
        let is_first = matches!(opening, Opening::Ffmpeg(_)) && attempt.look == Look::First;
        let detection = self.params.sources.ffmpeg.detection;
        let left = attempt.deadline - self.now;
        match opening {
            Opening::Ffmpeg(remux) if is_first && mode::may_be_quick(remux, &attempt.address) => {
                let is_incomplete = error.kind() == Kind::Inventory || error.lacks_parameters();
                match is_incomplete {
                    true if is_sound => detection.after_sound(left).map(Look::Listed),
                    true => detection.after_quick(left).map(Look::Relaxed),
                    false => None,
                }
            }
            Opening::Ffmpeg(_) if is_first && error.kind() == Kind::Inventory => {
                detection.relaxed(left).map(Look::Relaxed)
            }
            Opening::Ffmpeg(_) | Opening::Direct => None,
        }
    }
}
