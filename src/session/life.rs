//! A session from its first viewer to its end.

use std::time::Duration;

use crate::base::Instant;
use crate::lineup::SourceId;

use super::actions::{Action, Failure, Notice};
use super::budget::Budget;
use super::events::{Event, Lost, Params, Sources};
use super::penalty::Penalties;
use super::record::{Record, Status, Terminal, TriggerLog};
use super::search::Search;
use super::selected::Selected;
use super::step::{End, Fault};
use super::turn::Turn;

mod cycle;
mod drive;

/// Why sessions were canceled.
const NO_VIEWERS: &str = "no viewers before the first picture";
const DRAINING: &str = "the program is being stopped";

/// Where a session is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It has asked for a tuner.
    AwaitingTuner,
    /// Its first source is looked for.
    Starting,
    /// The picture moves and somebody watches.
    Live,
    /// Its source was lost, and another one is looked for while viewers wait.
    Recovering,
    /// The picture moves and nobody watches.
    Idle {
        /// The session ends here unless somebody comes.
        until: Instant,
    },
    /// It is over.
    Ended,
}

#[derive(Clone, Debug)]
pub(super) enum Stage {
    AwaitingTuner,
    /// Without a source: at the start, or in recovery.
    Searching(Box<Search>),
    Live,
    Idle {
        until: Instant,
    },
    Ended,
}

/// One session's life.
#[derive(Clone, Debug)]
pub struct Machine {
    pub(super) params: Params,
    pub(super) stage: Stage,
    pub(super) viewers: u32,
    pub(super) selected: Option<Selected>,
    pub(super) filler_runs: bool,
    pub(super) penalties: Penalties<SourceId>,
    pub(super) budget: Budget,
    /// How long viewers were without a source since one last ran for long.
    pub(super) without_source: Duration,
    pub(super) trigger_log: TriggerLog,
    pub(super) record: Record,
    pub(super) terminal: Option<Terminal>,
}

impl Machine {
    /// A session, created by its first viewer's request.
    #[must_use]
    pub fn new(params: Params) -> (Self, Vec<Action>) {
        let machine = Self {
            params,
            stage: Stage::AwaitingTuner,
            viewers: 0,
            selected: None,
            filler_runs: false,
            penalties: Penalties::default(),
            budget: Budget::new(params.stall_retries_max, params.stall_detect, params.startup_timeout),
            without_source: Duration::ZERO,
            trigger_log: TriggerLog::default(),
            record: Record::default(),
            terminal: None,
        };
        (machine, vec![Action::AskForTuner])
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> State {
        match &self.stage {
            Stage::AwaitingTuner => State::AwaitingTuner,
            Stage::Searching(search) if search.is_recovery() => State::Recovering,
            Stage::Searching(_) => State::Starting,
            Stage::Live => State::Live,
            Stage::Idle { until } => State::Idle { until: *until },
            Stage::Ended => State::Ended,
        }
    }

    /// Viewers, waiting ones included.
    #[must_use]
    pub const fn viewers(&self) -> u32 {
        self.viewers
    }

    /// The source that runs or is being started.
    #[must_use]
    pub fn source(&self) -> Option<SourceId> {
        match &self.stage {
            Stage::Live | Stage::Idle { .. } => self.selected.as_ref().map(|selected| selected.id),
            Stage::Searching(search) => search.attempt.as_ref().map(|attempt| attempt.id),
            Stage::AwaitingTuner | Stage::Ended => None,
        }
    }

    /// True when another viewer may join.
    #[must_use]
    pub const fn has_room(&self) -> bool {
        self.params.viewers_max == 0 || self.viewers < self.params.viewers_max
    }

    /// What was counted of it.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// How it has ended; `None` while it lasts.
    #[must_use]
    pub const fn terminal(&self) -> Option<&Terminal> {
        self.terminal.as_ref()
    }

    /// True while viewers are to be given filler.
    #[must_use]
    #[cfg(test)]
    pub const fn filler_runs(&self) -> bool {
        self.filler_runs
    }

    /// When [`Event::Deadline`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let proven_at = self.selected.as_ref().and_then(|selected| selected.proven_at);
        match &self.stage {
            Stage::Searching(search) => Some(search.next_deadline()),
            Stage::Live => proven_at,
            Stage::Idle { until } => Some(proven_at.map_or(*until, |at| at.min(*until))),
            Stage::AwaitingTuner | Stage::Ended => None,
        }
    }

    /// Something has happened.
    pub fn handle(&mut self, now: Instant, event: Event, sources: &mut dyn Sources) -> Vec<Action> {
        let mut turn = Turn::new(now, sources);
        self.prove(&mut turn);
        match event {
            Event::Joined => self.joined(&mut turn),
            Event::Left => self.left(&mut turn),
            Event::TunerGranted => self.tuner_granted(&mut turn),
            Event::TunerRefused => self.tuner_refused(&mut turn),
            Event::SourceReady => self.source_ready(&mut turn),
            Event::SourceFailed { silent, hung_up, reason, status, retry_after } => {
                self.source_failed(&mut turn, Fault { text: reason, status, retry_after, silent, hung_up });
            }
            Event::NoPlace => self.no_place(&mut turn),
            Event::SourceLost { cause: Lost::Eof } => self.source_ended(&mut turn),
            Event::SourceLost { cause: Lost::Error { reason, status, retry_after } } => {
                self.source_broken(&mut turn, Fault { status, retry_after, ..Fault::text(&reason) });
            }
            Event::Stalled { what } => self.stalled(&mut turn, what),
            Event::Deadline => self.deadline(&mut turn),
            Event::Preempted => self.preempted(&mut turn),
            Event::Drain => self.drain(&mut turn),
            Event::SourceWithdrawn { id, reason } => self.source_withdrawn(&mut turn, id, reason),
            Event::ChannelWithdrawn { reason } => self.channel_withdrawn(&mut turn, reason),
        }
        turn.actions
    }

    fn joined(&mut self, turn: &mut Turn<'_>) {
        self.viewers += 1;
        match self.stage {
            Stage::Idle { .. } => {
                self.stage = Stage::Live;
                turn.push(Action::TunerIdle(false));
                turn.push(Action::Admit);
            }
            Stage::Live => turn.push(Action::Admit),
            // In recovery the stream goes on, with filler or without.
            Stage::Searching(ref search) if search.is_recovery() => turn.push(Action::Admit),
            Stage::AwaitingTuner | Stage::Searching(_) => {}
            Stage::Ended => unreachable!("the engine does not let viewers join a session that is over"),
        }
    }

    fn left(&mut self, turn: &mut Turn<'_>) {
        self.viewers = self.viewers.checked_sub(1).expect("a viewer leaves once");
        if self.viewers > 0 {
            return;
        }
        match &self.stage {
            Stage::Live if self.params.idle_timeout > Duration::ZERO => {
                self.stage = Stage::Idle { until: turn.now + self.params.idle_timeout };
                turn.push(Action::TunerIdle(true));
            }
            // Nobody is left for whom another source could be found, and nothing is held against any.
            Stage::Searching(search) if search.is_recovery() => self.end(turn, Status::Completed, ""),
            Stage::Live => {
                turn.note(Notice::CanceledWhileIdle { reason: "idle_timeout_disabled" });
                self.end(turn, Status::Completed, "");
            }
            Stage::Searching(_) => {
                turn.note(Notice::CanceledWhileIdle { reason: "no_subscribers_before_ready" });
                self.end(turn, Status::Canceled, NO_VIEWERS);
            }
            // The tuner is on its way: it is given back when it comes.
            Stage::AwaitingTuner => {}
            // Viewers are ended by the session's own end.
            Stage::Ended => {}
            Stage::Idle { .. } => unreachable!("an idle session has no viewer that could leave"),
        }
    }

    fn tuner_granted(&mut self, turn: &mut Turn<'_>) {
        match self.stage {
            Stage::AwaitingTuner if self.viewers > 0 => self.begin_startup(turn),
            Stage::AwaitingTuner => {
                turn.note(Notice::CanceledWhileIdle { reason: "no_subscribers_before_ready" });
                self.finish(turn, Status::Canceled, NO_VIEWERS);
            }
            Stage::Ended => turn.push(Action::Finish),
            Stage::Searching(_) | Stage::Live | Stage::Idle { .. } => {
                unreachable!("a tuner is granted once, not in {:?}", self.stage)
            }
        }
    }

    fn tuner_refused(&mut self, turn: &mut Turn<'_>) {
        match self.stage {
            Stage::AwaitingTuner => {
                turn.push(Action::Refuse(Failure::NoTuners));
                self.finish(turn, Status::Error, "no tuners available");
            }
            Stage::Ended => turn.push(Action::Finish),
            Stage::Searching(_) | Stage::Live | Stage::Idle { .. } => {
                unreachable!("a tuner is refused before it is granted, not in {:?}", self.stage)
            }
        }
    }

    fn deadline(&mut self, turn: &mut Turn<'_>) {
        match &self.stage {
            Stage::Searching(search) if search.next_deadline() <= turn.now => self.search_deadline(turn),
            Stage::Idle { until } if *until <= turn.now => {
                turn.note(Notice::CanceledWhileIdle { reason: "idle_timeout" });
                self.end(turn, Status::Completed, "");
            }
            // A deadline that has moved since the timer was set, or one that was met on the way in.
            Stage::Searching(_) | Stage::Idle { .. } | Stage::AwaitingTuner | Stage::Live | Stage::Ended => {}
        }
    }

    fn preempted(&mut self, turn: &mut Turn<'_>) {
        match self.stage {
            Stage::Idle { .. } => {
                turn.note(Notice::CanceledWhileIdle { reason: "idle_preempted" });
                self.end(turn, Status::Completed, "");
            }
            // Somebody came back meanwhile, or it is over anyway.
            Stage::AwaitingTuner | Stage::Searching(_) | Stage::Live | Stage::Ended => {}
        }
    }

    fn drain(&mut self, turn: &mut Turn<'_>) {
        match &self.stage {
            Stage::AwaitingTuner => {
                // Finished when the pool answers.
                turn.push(Action::Refuse(Failure::Draining));
                self.conclude(Status::Canceled, DRAINING);
            }
            Stage::Searching(search) if search.is_recovery() => {
                self.end(turn, Status::Canceled, DRAINING);
            }
            Stage::Searching(_) => {
                self.stop_source(turn);
                turn.push(Action::Refuse(Failure::Draining));
                self.finish(turn, Status::Canceled, DRAINING);
            }
            Stage::Live | Stage::Idle { .. } => self.end(turn, Status::Completed, ""),
            Stage::Ended => {}
        }
    }

    /// A source that nobody may use any more is left at once.
    fn source_withdrawn(&mut self, turn: &mut Turn<'_>, id: SourceId, reason: &'static str) {
        if self.source() != Some(id) {
            return;
        }
        match &mut self.stage {
            Stage::Live => self.withdrawn_while_watched(turn, reason),
            Stage::Idle { .. } => {
                turn.note(Notice::CanceledWhileIdle { reason });
                self.end(turn, Status::Completed, "");
            }
            Stage::Searching(search) => {
                search.attempt = None;
                turn.push(Action::StopSource);
                self.advance(turn);
            }
            Stage::AwaitingTuner | Stage::Ended => unreachable!("no source is used in {:?}", self.stage),
        }
    }

    /// Nobody may watch the channel any more.
    fn channel_withdrawn(&mut self, turn: &mut Turn<'_>, reason: &'static str) {
        match &self.stage {
            Stage::Searching(search) if search.is_recovery() => self.end(turn, Status::Canceled, reason),
            // Should the tuner be granted all the same, it is given back.
            Stage::AwaitingTuner | Stage::Searching(_) => {
                self.stop_source(turn);
                turn.push(Action::Refuse(Failure::NotOffered));
                self.finish(turn, Status::Canceled, reason);
            }
            Stage::Live | Stage::Idle { .. } => self.end(turn, Status::Canceled, reason),
            Stage::Ended => {}
        }
    }

    /// No source could be had.
    pub(super) fn search_over(&mut self, turn: &mut Turn<'_>, end: End) {
        let Stage::Searching(search) = &self.stage else {
            unreachable!("only a search ends without a source")
        };
        let (failure, text) = match end {
            End::NoSources => (Failure::NoSources, "no enabled sources".to_owned()),
            End::NoPlaces => (Failure::NoTuners, "no places at the providers of its sources".to_owned()),
            End::Failed(text) if search.any_silent => (Failure::NoVideo, text),
            End::Failed(text) => (Failure::SourcesFailed, text),
        };
        // In recovery there is nobody to be refused but who has just come; whoever watches gets the rest.
        if !search.is_recovery() {
            turn.push(Action::Refuse(failure));
        }
        self.finish(turn, Status::Error, &text);
    }

    /// Ends the session and its viewers.
    fn end(&mut self, turn: &mut Turn<'_>, status: Status, error: &str) {
        self.stop_source(turn);
        self.stop_filler(turn, false);
        turn.push(Action::EndViewers);
        self.finish(turn, status, error);
    }

    /// Ends the session. Viewers are not ended: they get the rest of what came.
    pub(super) fn finish(&mut self, turn: &mut Turn<'_>, status: Status, error: &str) {
        self.stop_source(turn);
        self.stop_filler(turn, false);
        turn.push(Action::Finish);
        self.conclude(status, error);
    }

    fn conclude(&mut self, status: Status, error: &str) {
        self.stage = Stage::Ended;
        self.terminal = Some(Terminal { status, error: error.to_owned() });
    }

    /// Stops whatever runs of a source. Afterwards the stage must be another one.
    fn stop_source(&mut self, turn: &mut Turn<'_>) {
        let runs = match &mut self.stage {
            Stage::Live | Stage::Idle { .. } => true,
            Stage::Searching(search) => search.attempt.take().is_some(),
            Stage::AwaitingTuner | Stage::Ended => false,
        };
        if runs {
            turn.push(Action::StopSource);
            self.stage = Stage::Ended;
        }
    }

    pub(super) fn stop_filler(&mut self, turn: &mut Turn<'_>, back_to_live: bool) {
        if std::mem::take(&mut self.filler_runs) {
            turn.push(Action::StopFiller { back_to_live });
        }
    }
}
