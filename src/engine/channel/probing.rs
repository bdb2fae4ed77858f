//! When ffprobe is asked about a source's stream.

use crate::base::Instant;
use crate::engine::port::ids::Ticket;
use crate::session::{self, Place};
use crate::source::profile::{Schedule, Timing};

/// A channel's questions to ffprobe.
pub(super) struct StreamProbe {
    schedule: Schedule,
    /// The probe for which a place at the provider is asked for.
    asked: Option<u64>,
    /// The probe that runs, and its place at the provider.
    question: Option<(Ticket, u64, Place)>,
}

impl StreamProbe {
    pub(super) const fn new(params: session::Params) -> Self {
        let timing = Timing {
            patience: Timing::PATIENCE,
            min_health: params.min_health,
            stall_detect: params.stall_detect,
        };
        Self { schedule: Schedule::new(timing), asked: None, question: None }
    }

    pub(super) const fn next_deadline(&self) -> Option<Instant> {
        self.schedule.next_deadline()
    }

    /// A source is selected.
    pub(super) fn select(&mut self, now: Instant, source: i64, url: &str, in_recovery: bool, is_known: bool) {
        self.schedule.select(now, source, url, in_recovery, is_known);
    }

    /// The number of the probe whose time has come.
    pub(super) fn start(&mut self, now: Instant) -> Option<u64> {
        self.schedule.start(now)
    }

    /// A probe is over, or was not needed. True when it was the current one.
    pub(super) fn finish(&mut self, number: u64) -> bool {
        self.schedule.finish(number)
    }

    /// It is asked whether there is a place at the provider for a probe.
    pub(super) const fn ask_for_room(&mut self, number: u64) {
        self.asked = Some(number);
    }

    /// The probe for which there is a place, or not.
    pub(super) const fn take_asked(&mut self) -> Option<u64> {
        self.asked.take()
    }

    /// It runs.
    pub(super) fn runs(&mut self, ticket: Ticket, number: u64, place: Place) {
        self.question = Some((ticket, number, place));
    }

    /// The probe that this answer is of, if it is still waited for, and its place.
    pub(super) fn take_answered(&mut self, ticket: Ticket) -> Option<(u64, Place)> {
        self.question.take_if(|(asked, ..)| *asked == ticket).map(|(_, number, place)| (number, place))
    }

    /// Nothing is asked any more. Gives the question whose answer is not waited for, and its place.
    pub(super) fn cancel(&mut self) -> Option<(Ticket, Place)> {
        self.schedule.cancel();
        self.asked = None;
        self.question.take().map(|(ticket, _, place)| (ticket, place))
    }
}
