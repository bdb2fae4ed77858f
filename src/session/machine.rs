//! The life of a session, as a pure machine.
//!
//! ```text
//! AwaitingTuner --granted--> Starting(source 0) --ready--> Live <--joined/all left--> Idle
//!       |                       |      ^ failed, another source           |            |
//!    refused                    |      '-------'                     source lost    time is up,
//!       |                  none left                                     |         preempted
//!       v                       v                                        v            v
//!     Ended <------------------------------------------------------------'------------'
//! ```
//!
//! The engine asks, then does: every event gives back a list of [`Action`]s in the order in which they are to
//! happen, and [`Machine::next_deadline`] says when to send [`Event::Deadline`].

use std::time::Duration;

use crate::base::Instant;

/// What the machine must know of the settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Params {
    /// One source may take this long to its first picture.
    pub startup_timeout: Duration,
    /// All sources together may take this long.
    pub failover_total_timeout: Duration,
    /// Sources tried after the first; 0 is all of them.
    pub failovers_max: u32,
    /// How long the source goes on after the last viewer has left; zero ends it at once.
    pub idle_timeout: Duration,
    /// Viewers at once, at most; 0 is any number.
    pub viewers_max: u32,
}

/// Where a session is in its life.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// It has asked for a tuner.
    AwaitingTuner,
    /// A source is being started.
    Starting {
        /// Its place in the list of sources.
        source: usize,
        /// The attempt ends here.
        deadline: Instant,
        /// All attempts end here.
        total_deadline: Instant,
    },
    /// The picture moves and somebody watches.
    Live,
    /// The picture moves and nobody watches.
    Idle {
        /// The session ends here unless somebody comes.
        until: Instant,
    },
    /// It is over.
    Ended,
}

/// Why a session's viewers get no picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// All tuners are in use.
    NoTuners,
    /// The channel has no enabled source.
    NoSources,
    /// Every source failed to start.
    SourcesFailed,
    /// Sources were reached, but no picture came in time.
    NoVideo,
    /// The program is being stopped.
    Draining,
}

/// What can happen to a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// It has its tuner.
    TunerGranted,
    /// There is no tuner for it.
    TunerRefused,
    /// The source that is being started shows a picture.
    SourceReady,
    /// The source that is being started cannot be used.
    SourceFailed {
        /// It was reached, but gave no picture in time.
        silent: bool,
    },
    /// The selected source has ended.
    SourceLost,
    /// A viewer has come.
    Joined,
    /// A viewer has gone.
    Left,
    /// The deadline of [`Machine::next_deadline`] has come.
    Deadline,
    /// Another channel needs the tuner.
    Preempted,
    /// The program is being stopped.
    Drain,
}

/// What the engine is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Ask for a tuner.
    AskForTuner,
    /// Tell the pool whether the tuner may be taken away.
    TunerIdle(bool),
    /// Start the source at this place in the list.
    StartSource(usize),
    /// Stop the source, started or starting.
    StopSource,
    /// Let the waiting viewers in.
    Admit,
    /// Turn the waiting viewers away.
    Refuse(Failure),
    /// End the streams of all viewers now; what has been sent still arrives.
    EndViewers,
    /// Give the tuner back. Viewers who are left get the rest of the stream, then the session is forgotten.
    Finish,
}

/// One session's life.
#[derive(Clone, Debug)]
pub struct Machine {
    params: Params,
    sources: usize,
    state: State,
    viewers: u32,
    has_tuner: bool,
    any_silent: bool,
}

impl Machine {
    /// A session for a channel with this many sources, created by its first viewer's request.
    #[must_use]
    pub fn new(params: Params, sources: usize) -> (Self, Vec<Action>) {
        let mut machine = Self {
            params,
            sources,
            state: State::AwaitingTuner,
            viewers: 0,
            has_tuner: false,
            any_silent: false,
        };
        if sources == 0 {
            machine.state = State::Ended;
            return (machine, vec![Action::Refuse(Failure::NoSources), Action::Finish]);
        }
        (machine, vec![Action::AskForTuner])
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Viewers, waiting ones included.
    #[must_use]
    pub const fn viewers(&self) -> u32 {
        self.viewers
    }

    /// True when another viewer may join.
    #[must_use]
    pub const fn has_room(&self) -> bool {
        self.params.viewers_max == 0 || self.viewers < self.params.viewers_max
    }

    /// When [`Event::Deadline`] is due.
    #[must_use]
    pub const fn next_deadline(&self) -> Option<Instant> {
        match self.state {
            State::Starting { deadline, .. } => Some(deadline),
            State::Idle { until } => Some(until),
            State::AwaitingTuner | State::Live | State::Ended => None,
        }
    }

    /// Something has happened.
    pub fn handle(&mut self, now: Instant, event: Event) -> Vec<Action> {
        match event {
            Event::Joined => self.joined(),
            Event::Left => self.left(now),
            Event::TunerGranted => self.tuner_granted(now),
            Event::TunerRefused => self.tuner_refused(),
            Event::SourceReady => self.source_ready(now),
            Event::SourceFailed { silent } => self.source_failed(now, silent),
            Event::SourceLost => self.source_lost(),
            Event::Deadline => self.deadline(now),
            Event::Preempted => self.preempted(),
            Event::Drain => self.drain(),
        }
    }

    fn joined(&mut self) -> Vec<Action> {
        self.viewers += 1;
        match self.state {
            State::Idle { .. } => {
                self.state = State::Live;
                vec![Action::TunerIdle(false), Action::Admit]
            }
            State::Live => vec![Action::Admit],
            State::AwaitingTuner | State::Starting { .. } => Vec::new(),
            State::Ended => unreachable!("the engine does not let viewers join a session that is over"),
        }
    }

    fn left(&mut self, now: Instant) -> Vec<Action> {
        self.viewers = self.viewers.checked_sub(1).expect("a viewer leaves once");
        if self.viewers > 0 {
            return Vec::new();
        }
        match self.state {
            State::Live if self.params.idle_timeout > Duration::ZERO => {
                self.state = State::Idle { until: now + self.params.idle_timeout };
                vec![Action::TunerIdle(true)]
            }
            State::Live | State::Starting { .. } => self.end(Action::StopSource),
            // The tuner is on its way: it is given back when it comes.
            State::AwaitingTuner => Vec::new(),
            // Viewers are ended by the session's own end.
            State::Ended => Vec::new(),
            State::Idle { .. } => unreachable!("an idle session has no viewer that could leave"),
        }
    }

    fn tuner_granted(&mut self, now: Instant) -> Vec<Action> {
        self.has_tuner = true;
        match self.state {
            State::AwaitingTuner if self.viewers > 0 => {
                let total_deadline = now + self.params.failover_total_timeout;
                self.start(now, 0, total_deadline)
            }
            State::AwaitingTuner => {
                self.state = State::Ended;
                vec![Action::Finish]
            }
            State::Ended => vec![Action::Finish],
            State::Starting { .. } | State::Live | State::Idle { .. } => {
                unreachable!("a tuner is granted once, not in {:?}", self.state)
            }
        }
    }

    fn tuner_refused(&mut self) -> Vec<Action> {
        match self.state {
            State::AwaitingTuner => {
                self.state = State::Ended;
                vec![Action::Refuse(Failure::NoTuners), Action::Finish]
            }
            State::Ended => vec![Action::Finish],
            State::Starting { .. } | State::Live | State::Idle { .. } => {
                unreachable!("a tuner is refused before it is granted, not in {:?}", self.state)
            }
        }
    }

    fn start(&mut self, now: Instant, source: usize, total_deadline: Instant) -> Vec<Action> {
        let deadline = (now + self.params.startup_timeout).min(total_deadline);
        self.state = State::Starting { source, deadline, total_deadline };
        vec![Action::StartSource(source)]
    }

    fn source_ready(&mut self, now: Instant) -> Vec<Action> {
        match self.state {
            State::Starting { .. } if self.viewers > 0 => {
                self.state = State::Live;
                vec![Action::Admit]
            }
            State::Starting { .. } => {
                self.state = State::Idle { until: now + self.params.idle_timeout };
                vec![Action::TunerIdle(true)]
            }
            // A source that was just stopped may still have had its first picture on the way.
            State::Ended => Vec::new(),
            State::AwaitingTuner | State::Live | State::Idle { .. } => {
                unreachable!("no source is being started in {:?}", self.state)
            }
        }
    }

    fn source_failed(&mut self, now: Instant, silent: bool) -> Vec<Action> {
        self.any_silent |= silent;
        match self.state {
            State::Starting { source, total_deadline, .. } => {
                let next = source + 1;
                let tried_enough = self.params.failovers_max > 0 && next > self.params.failovers_max as usize;
                if next < self.sources && !tried_enough && now < total_deadline {
                    let mut actions = vec![Action::StopSource];
                    actions.extend(self.start(now, next, total_deadline));
                    return actions;
                }
                let failure = if self.any_silent { Failure::NoVideo } else { Failure::SourcesFailed };
                self.state = State::Ended;
                vec![Action::StopSource, Action::Refuse(failure), Action::Finish]
            }
            State::Ended => Vec::new(),
            State::AwaitingTuner | State::Live | State::Idle { .. } => {
                unreachable!("no source is being started in {:?}", self.state)
            }
        }
    }

    fn source_lost(&mut self) -> Vec<Action> {
        match self.state {
            State::Live | State::Idle { .. } => {
                self.state = State::Ended;
                // Viewers are not ended: they get the rest of what came.
                vec![Action::StopSource, Action::Finish]
            }
            State::Ended => Vec::new(),
            State::AwaitingTuner | State::Starting { .. } => {
                unreachable!("no source is selected in {:?}", self.state)
            }
        }
    }

    fn deadline(&mut self, now: Instant) -> Vec<Action> {
        match self.state {
            State::Starting { deadline, .. } if now >= deadline => self.source_failed(now, true),
            State::Idle { until } if now >= until => self.end(Action::StopSource),
            // A deadline that has moved since the timer was set.
            State::Starting { .. }
            | State::Idle { .. }
            | State::AwaitingTuner
            | State::Live
            | State::Ended => Vec::new(),
        }
    }

    fn preempted(&mut self) -> Vec<Action> {
        match self.state {
            State::Idle { .. } => self.end(Action::StopSource),
            // Somebody came back meanwhile, or it is over anyway.
            State::AwaitingTuner | State::Starting { .. } | State::Live | State::Ended => Vec::new(),
        }
    }

    fn drain(&mut self) -> Vec<Action> {
        match self.state {
            State::AwaitingTuner => {
                // Finished when the pool answers.
                self.state = State::Ended;
                vec![Action::Refuse(Failure::Draining)]
            }
            State::Starting { .. } => {
                self.state = State::Ended;
                vec![Action::StopSource, Action::Refuse(Failure::Draining), Action::Finish]
            }
            State::Live | State::Idle { .. } => self.end(Action::StopSource),
            State::Ended => Vec::new(),
        }
    }

    fn end(&mut self, first: Action) -> Vec<Action> {
        debug_assert!(self.has_tuner, "only a session with a tuner has a source");
        self.state = State::Ended;
        vec![first, Action::EndViewers, Action::Finish]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMS: Params = Params {
        startup_timeout: Duration::from_secs(12),
        failover_total_timeout: Duration::from_secs(32),
        failovers_max: 3,
        idle_timeout: Duration::from_secs(5),
        viewers_max: 0,
    };

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    fn starting(params: Params, sources: usize) -> Machine {
        let (mut machine, actions) = Machine::new(params, sources);
        assert_eq!(actions, [Action::AskForTuner]);
        assert_eq!(machine.handle(at(0), Event::Joined), []);
        assert_eq!(machine.handle(at(0), Event::TunerGranted), [Action::StartSource(0)]);
        machine
    }

    fn live(params: Params) -> Machine {
        let mut machine = starting(params, 1);
        assert_eq!(machine.handle(at(1), Event::SourceReady), [Action::Admit]);
        machine
    }

    #[test]
    fn a_channel_without_sources_refuses_and_takes_no_tuner() {
        let (machine, actions) = Machine::new(PARAMS, 0);
        assert_eq!(actions, [Action::Refuse(Failure::NoSources), Action::Finish]);
        assert_eq!(machine.state(), &State::Ended);
    }

    #[test]
    fn sources_are_tried_in_order_until_one_shows_a_picture() {
        let mut machine = starting(PARAMS, 3);
        let failed = Event::SourceFailed { silent: false };
        assert_eq!(machine.handle(at(1), failed), [Action::StopSource, Action::StartSource(1)]);
        assert_eq!(machine.handle(at(2), failed), [Action::StopSource, Action::StartSource(2)]);
        assert_eq!(machine.handle(at(3), Event::SourceReady), [Action::Admit]);
        assert_eq!(machine.state(), &State::Live);
    }

    #[test]
    fn when_the_last_source_has_failed_the_tuner_is_free_before_anybody_could_ask_again() {
        let mut machine = starting(PARAMS, 1);
        let actions = machine.handle(at(1), Event::SourceFailed { silent: false });
        assert_eq!(actions, [Action::StopSource, Action::Refuse(Failure::SourcesFailed), Action::Finish]);
    }

    #[test]
    fn a_silent_source_is_told_apart_from_one_that_cannot_be_reached() {
        let mut machine = starting(PARAMS, 2);
        assert_eq!(machine.next_deadline(), Some(at(12)));
        assert_eq!(machine.handle(at(12), Event::Deadline), [Action::StopSource, Action::StartSource(1)]);
        let actions = machine.handle(at(13), Event::SourceFailed { silent: false });
        assert_eq!(actions[1], Action::Refuse(Failure::NoVideo));
    }

    #[test]
    fn failovers_and_their_total_time_are_limited() {
        let mut machine = starting(Params { failovers_max: 1, ..PARAMS }, 5);
        machine.handle(at(1), Event::SourceFailed { silent: false });
        let actions = machine.handle(at(2), Event::SourceFailed { silent: false });
        assert_eq!(actions[1], Action::Refuse(Failure::SourcesFailed), "one failover was allowed");

        let mut machine = starting(Params { failovers_max: 0, ..PARAMS }, 9);
        machine.handle(at(12), Event::Deadline);
        machine.handle(at(24), Event::Deadline);
        assert_eq!(machine.next_deadline(), Some(at(32)), "the third attempt gets what is left");
        assert_eq!(machine.handle(at(32), Event::Deadline)[1], Action::Refuse(Failure::NoVideo));
    }

    #[test]
    fn after_the_last_viewer_the_session_idles_and_ends() {
        let mut machine = live(PARAMS);
        assert_eq!(machine.handle(at(10), Event::Left), [Action::TunerIdle(true)]);
        assert_eq!(machine.handle(at(14), Event::Deadline), [], "not before its time");
        assert_eq!(
            machine.handle(at(15), Event::Deadline),
            [Action::StopSource, Action::EndViewers, Action::Finish]
        );
    }

    #[test]
    fn a_viewer_who_comes_back_in_time_finds_the_picture_moving() {
        let mut machine = live(PARAMS);
        machine.handle(at(10), Event::Left);
        assert_eq!(machine.handle(at(14), Event::Joined), [Action::TunerIdle(false), Action::Admit]);
        assert_eq!(machine.next_deadline(), None);
        assert_eq!(machine.handle(at(15), Event::Preempted), [], "a late preemption finds a viewer");
    }

    #[test]
    fn when_the_source_is_lost_the_session_finishes_and_viewers_get_the_rest() {
        let mut machine = live(PARAMS);
        assert_eq!(machine.handle(at(10), Event::SourceLost), [Action::StopSource, Action::Finish]);
        assert_eq!(machine.handle(at(11), Event::Left), []);
    }

    #[test]
    fn no_grace_at_all_ends_the_session_with_its_last_viewer() {
        let mut machine = live(Params { idle_timeout: Duration::ZERO, ..PARAMS });
        assert_eq!(
            machine.handle(at(10), Event::Left),
            [Action::StopSource, Action::EndViewers, Action::Finish]
        );
    }

    #[test]
    fn viewers_who_give_up_before_the_picture_end_the_session_at_once() {
        let mut machine = starting(PARAMS, 2);
        assert_eq!(
            machine.handle(at(1), Event::Left),
            [Action::StopSource, Action::EndViewers, Action::Finish]
        );
        assert_eq!(machine.handle(at(1), Event::SourceReady), []);
    }

    #[test]
    fn a_tuner_that_comes_for_nobody_is_given_back() {
        let (mut machine, _) = Machine::new(PARAMS, 1);
        machine.handle(at(0), Event::Joined);
        assert_eq!(machine.handle(at(0), Event::Left), []);
        assert_eq!(machine.handle(at(1), Event::TunerGranted), [Action::Finish]);
    }

    #[test]
    fn draining_ends_every_state() {
        let (mut machine, _) = Machine::new(PARAMS, 1);
        machine.handle(at(0), Event::Joined);
        assert_eq!(machine.handle(at(0), Event::Drain), [Action::Refuse(Failure::Draining)]);
        assert_eq!(machine.handle(at(0), Event::TunerGranted), [Action::Finish]);

        let drained = starting(PARAMS, 1).handle(at(1), Event::Drain);
        assert_eq!(drained, [Action::StopSource, Action::Refuse(Failure::Draining), Action::Finish]);
        assert_eq!(
            live(PARAMS).handle(at(1), Event::Drain),
            [Action::StopSource, Action::EndViewers, Action::Finish]
        );
    }

    #[test]
    fn a_limit_on_viewers_counts_waiting_ones_too() {
        let mut machine = starting(Params { viewers_max: 2, ..PARAMS }, 1);
        assert!(machine.has_room());
        machine.handle(at(0), Event::Joined);
        assert!(!machine.has_room());
    }
}
