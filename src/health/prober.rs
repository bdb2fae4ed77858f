//! Sources tried in the background, so that a viewer's tune finds a channel whose health is known.
//!
//! ```text
//!        time for a pass          candidates           leased
//! Resting ------> Looking(channel) ------> Leasing ------> Probing
//!    ^               ^    |  nothing to try   | refused       | ready, failed, preempted, too late
//!    |  list is      |    '--> next channel <-'               v
//!    '--through------'<---------- tune delay -------------- Pausing
//! ```
//!
//! One source per channel and pass, one at a time, and never one of a channel that somebody watches: a provider
//! counts connections. A pass goes on behind the channel at which the last one stopped, and ends with its
//! interval, so that the tail of a list that takes longer gets its turn in the next one.

use std::time::Duration;

use super::order::{Ranked, order};
use crate::base::Instant;

/// The first pass waits no longer than this: after a start health is oldest.
const FIRST_PASS_DELAY_MAX: Duration = Duration::from_secs(60);
/// A start has its own timer, which gives the reason of its failure. When even that says nothing, this ends it.
const OVERDUE: Duration = Duration::from_secs(2);

/// What the machine must know of the settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Params {
    /// From the beginning of one pass to that of the next; zero is never.
    pub interval: Duration,
    /// For one start.
    pub timeout: Duration,
    /// The pause after each start.
    pub tune_delay: Duration,
}

/// A source as the machine looks at it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate<S> {
    /// With the health that is in memory.
    pub ranked: Ranked<S>,
    /// Its provider has refused for being asked too often.
    pub is_limited: bool,
}

/// What can happen to the machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event<C, S> {
    /// The deadline of [`Prober::next_deadline`] has come.
    Deadline,
    /// The answer to [`Action::List`]: the channels, in the order of every day.
    Channels(Vec<C>),
    /// The answer to [`Action::Look`].
    Candidates {
        /// Somebody watches the channel or is about to.
        is_tuned: bool,
        /// Seconds since 1970.
        wall: u64,
        /// The channel's sources.
        sources: Vec<Candidate<S>>,
    },
    /// The answer to [`Action::Lease`]: there is a tuner.
    Leased,
    /// The answer to [`Action::Lease`]: there is none, or it could not be asked for.
    Refused,
    /// The source shows a picture.
    Ready,
    /// The source cannot be used, and why.
    Failed(String),
    /// A viewer needs the tuner.
    Preempted,
    /// A viewer has come for this channel.
    Tuned(C),
    /// Somebody asks for this source to be tried, out of turn. Only when [`Prober::is_free`].
    Wanted {
        /// Its channel.
        channel: C,
        /// The source.
        source: S,
    },
    /// The program is being stopped.
    Drain,
}

/// What the engine is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action<C, S> {
    /// Say which channels there are.
    List,
    /// Describe a channel's sources.
    Look(C),
    /// Ask for a tuner for a probe.
    Lease {
        /// Of this channel,
        channel: C,
        /// to try this source.
        source: S,
    },
    /// Start the source, as a session would but without viewers.
    Start {
        /// Its channel.
        channel: C,
        /// The source.
        source: S,
        /// The start ends then.
        timeout: Duration,
    },
    /// Stop the source.
    Stop,
    /// Give the tuner back.
    Release,
    /// Remember that the source streams.
    RecordOk {
        /// Its channel.
        channel: C,
        /// The source.
        source: S,
    },
    /// Remember that the source has failed.
    RecordFailure {
        /// Its channel.
        channel: C,
        /// The source.
        source: S,
        /// Why.
        reason: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State<C, S> {
    Off,
    Resting {
        until: Instant,
    },
    Listing,
    Looking {
        channel: C,
    },
    /// `is_wanted` is unset when a viewer has come meanwhile: the tuner is given back when it comes.
    Leasing {
        channel: C,
        source: S,
        is_wanted: bool,
    },
    Probing {
        channel: C,
        source: S,
        deadline: Instant,
    },
    Pausing {
        until: Instant,
    },
}

/// Tries sources of channels `C`, one at a time.
#[derive(Debug)]
pub struct Prober<C, S> {
    params: Params,
    state: State<C, S>,
    /// Channels of this pass that are yet to be visited, the next one last.
    left: Vec<C>,
    /// The channel that was visited last.
    last: Option<C>,
    pass_ends: Instant,
}

impl<C: Copy + Eq, S: Copy + Eq> Prober<C, S> {
    /// A machine that has just started.
    #[must_use]
    pub fn new(params: Params, now: Instant) -> Self {
        let state = if params.interval.is_zero() {
            State::Off
        } else {
            State::Resting { until: now + params.interval.min(FIRST_PASS_DELAY_MAX) }
        };
        Self { params, state, left: Vec::new(), last: None, pass_ends: now }
    }

    /// True when it will never do anything.
    #[must_use]
    #[cfg(test)]
    pub const fn is_off(&self) -> bool {
        matches!(self.state, State::Off)
    }

    /// When [`Event::Deadline`] is due.
    #[must_use]
    pub const fn next_deadline(&self) -> Option<Instant> {
        match self.state {
            State::Resting { until } | State::Pausing { until } => Some(until),
            State::Probing { deadline, .. } => Some(deadline),
            State::Off | State::Listing | State::Looking { .. } | State::Leasing { .. } => None,
        }
    }

    /// Something has happened.
    pub fn handle(&mut self, now: Instant, event: Event<C, S>) -> Vec<Action<C, S>> {
        match event {
            Event::Deadline => self.deadline(now),
            Event::Channels(channels) => self.channels(now, channels),
            Event::Candidates { is_tuned, wall, sources } => self.candidates(now, is_tuned, wall, sources),
            Event::Leased => self.leased(now),
            Event::Refused => self.refused(now),
            Event::Ready => self.ended(now, Ok(())),
            Event::Failed(reason) => self.ended(now, Err(reason)),
            Event::Preempted => self.preempted(now),
            Event::Tuned(channel) => self.tuned(now, channel),
            Event::Wanted { channel, source } => {
                assert!(self.is_free(), "one source is tried at a time");
                self.state = State::Leasing { channel, source, is_wanted: true };
                vec![Action::Lease { channel, source }]
            }
            Event::Drain => self.drain(),
        }
    }

    /// True when a source may be tried out of turn: none is, and none has just been.
    #[must_use]
    pub const fn is_free(&self) -> bool {
        matches!(self.state, State::Off | State::Resting { .. })
    }

    /// True from the question for a tuner to the end of the trial.
    #[must_use]
    pub const fn is_trying(&self) -> bool {
        matches!(self.state, State::Leasing { .. } | State::Probing { .. })
    }

    fn deadline(&mut self, now: Instant) -> Vec<Action<C, S>> {
        match self.state {
            State::Resting { until } if until <= now => {
                self.pass_ends = now + self.params.interval;
                self.state = State::Listing;
                vec![Action::List]
            }
            State::Pausing { until } if until <= now => self.go_on(now),
            State::Probing { deadline, .. } if deadline <= now => {
                self.ended(now, Err(format!("startup timeout after {:?}", self.params.timeout)))
            }
            // A deadline that has been overtaken by what it was for.
            State::Resting { .. }
            | State::Pausing { .. }
            | State::Probing { .. }
            | State::Off
            | State::Listing
            | State::Looking { .. }
            | State::Leasing { .. } => Vec::new(),
        }
    }

    fn channels(&mut self, now: Instant, mut channels: Vec<C>) -> Vec<Action<C, S>> {
        if self.state != State::Listing {
            return Vec::new();
        }
        if let Some(place) = self.last.and_then(|last| channels.iter().position(|channel| *channel == last)) {
            channels.rotate_left(place + 1);
        }
        channels.reverse();
        self.left = channels;
        self.go_on(now)
    }

    fn candidates(
        &mut self,
        now: Instant,
        is_tuned: bool,
        wall: u64,
        sources: Vec<Candidate<S>>,
    ) -> Vec<Action<C, S>> {
        let State::Looking { channel } = self.state else { return Vec::new() };
        match choose(wall, sources) {
            Some(source) if !is_tuned => {
                self.state = State::Leasing { channel, source, is_wanted: true };
                vec![Action::Lease { channel, source }]
            }
            Some(_) | None => self.go_on(now),
        }
    }

    fn leased(&mut self, now: Instant) -> Vec<Action<C, S>> {
        match self.state {
            State::Leasing { channel, source, is_wanted: true } => {
                let timeout = self.params.timeout;
                self.state = State::Probing { channel, source, deadline: now + timeout + OVERDUE };
                vec![Action::Start { channel, source, timeout }]
            }
            State::Leasing { is_wanted: false, .. } => {
                let mut actions = vec![Action::Release];
                actions.extend(self.go_on(now));
                actions
            }
            // The tuner that a drained machine had asked for.
            State::Off => vec![Action::Release],
            State::Resting { .. }
            | State::Listing
            | State::Looking { .. }
            | State::Probing { .. }
            | State::Pausing { .. } => unreachable!("a tuner is granted once for each lease asked for"),
        }
    }

    fn refused(&mut self, now: Instant) -> Vec<Action<C, S>> {
        match self.state {
            State::Leasing { .. } => self.go_on(now),
            State::Off
            | State::Resting { .. }
            | State::Listing
            | State::Looking { .. }
            | State::Probing { .. }
            | State::Pausing { .. } => Vec::new(),
        }
    }

    fn ended(&mut self, now: Instant, result: Result<(), String>) -> Vec<Action<C, S>> {
        let State::Probing { channel, source, .. } = self.state else { return Vec::new() };
        self.state = State::Pausing { until: now + self.params.tune_delay };
        let record = match result {
            Ok(()) => Action::RecordOk { channel, source },
            Err(reason) => Action::RecordFailure { channel, source, reason },
        };
        let mut actions = vec![Action::Stop, Action::Release, record];
        if self.params.tune_delay.is_zero() {
            actions.extend(self.go_on(now));
        }
        actions
    }

    /// What a start that was cut short would have come to says nothing about the source.
    fn preempted(&mut self, now: Instant) -> Vec<Action<C, S>> {
        let State::Probing { .. } = self.state else { return Vec::new() };
        let mut actions = vec![Action::Stop, Action::Release];
        actions.extend(self.go_on(now));
        actions
    }

    fn tuned(&mut self, now: Instant, tuned: C) -> Vec<Action<C, S>> {
        match &mut self.state {
            State::Probing { channel, .. } if *channel == tuned => self.preempted(now),
            State::Leasing { channel, is_wanted, .. } if *channel == tuned => {
                *is_wanted = false;
                Vec::new()
            }
            State::Probing { .. }
            | State::Leasing { .. }
            | State::Off
            | State::Resting { .. }
            | State::Listing
            | State::Looking { .. }
            | State::Pausing { .. } => Vec::new(),
        }
    }

    fn drain(&mut self) -> Vec<Action<C, S>> {
        let is_probing = matches!(self.state, State::Probing { .. });
        self.state = State::Off;
        self.left.clear();
        if is_probing { vec![Action::Stop, Action::Release] } else { Vec::new() }
    }

    /// To the next channel, or to rest.
    fn go_on(&mut self, now: Instant) -> Vec<Action<C, S>> {
        let Some(channel) = self.left.pop().filter(|_| now < self.pass_ends) else {
            self.left.clear();
            self.state = if self.params.interval.is_zero() {
                State::Off
            } else {
                State::Resting { until: self.pass_ends.max(now) }
            };
            return Vec::new();
        };
        self.last = Some(channel);
        self.state = State::Looking { channel };
        vec![Action::Look(channel)]
    }
}

/// The source about which the oldest is known, of those that may be tried; of equals the one that a session would
/// try first. The best one alone would never tell whether the others could stand in for it.
fn choose<S: Copy>(wall: u64, sources: Vec<Candidate<S>>) -> Option<S> {
    let may_be_tried =
        |candidate: &Candidate<S>| !candidate.is_limited && !candidate.ranked.health.is_cooling(wall);
    let mut ranked: Vec<_> =
        sources.into_iter().filter(may_be_tried).map(|candidate| candidate.ranked).collect();
    order(wall, &mut ranked);
    let known_at = |ranked: &Ranked<S>| ranked.health.last_ok_at.max(ranked.health.last_fail_at);
    ranked.iter().min_by_key(|ranked| known_at(ranked)).map(|ranked| ranked.source)
}

#[cfg(test)]
mod tests;
