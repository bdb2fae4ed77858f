//! A world in virtual time: scripted sources that start, fail, run and end, and viewers who come and go. Whatever
//! the machine asks for is checked against what runs.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::base::Instant;
use crate::lineup::{SourceId, cooldown_after};
use crate::session::{ProviderCooldowns, ProviderScope};

use super::super::{
    Action, Candidate, Event, Lost, Machine, Notice, Params, Sources, StallPolicy, State, TriggerError,
};

pub(crate) const MS: fn(u64) -> Duration = Duration::from_millis;

pub(crate) const PARAMS: Params = Params {
    startup_timeout: Duration::from_secs(12),
    failover_total_timeout: Duration::from_secs(32),
    failovers_max: 3,
    idle_timeout: Duration::from_secs(5),
    viewers_max: 0,
    stall_detect: Duration::from_secs(4),
    stall_hard_deadline: Duration::from_secs(32),
    stall_policy: StallPolicy::FailoverSource,
    stall_retries_max: 3,
    min_health: Duration::from_secs(20),
    provider_cooldown: Duration::from_secs(3),
    place_wait: Duration::from_secs(3),
    filler_enabled: true,
};

pub(crate) fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

/// A healthy source on a host of its own.
pub(crate) fn candidate(id: i64) -> Candidate {
    Candidate {
        index: 0,
        id: SourceId(id),
        provider: ProviderScope::of(&format!("http://host{id}/live"), id),
        has_url: true,
        cooling_until: None,
        persisted_cooling_until: None,
        fails: 0,
        last_fail_at: 0,
        priority: u32::try_from(id).unwrap(),
        provider_free_at: None,
        is_full: false,
        is_place_given_up: false,
        release: None,
    }
}

/// How an attempt ends.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    /// With a picture after so many milliseconds.
    Ready(u64),
    /// In failure after so many, perhaps with a status.
    Fails(u64, Option<u16>),
    /// Not by itself.
    Hangs,
}

/// What becomes of the source then, after so many milliseconds.
#[derive(Clone, Debug)]
pub(crate) enum Life {
    Runs,
    Ends(u64),
    Stalls(u64),
    Breaks(u64, Option<u16>),
}

pub(crate) type Play = (Start, Life);

pub(crate) const GOOD: Play = (Start::Ready(100), Life::Runs);
pub(crate) const REFUSED: Play = (Start::Fails(10, None), Life::Runs);

/// One source of the world.
#[derive(Debug)]
pub(crate) struct Scripted {
    pub(super) candidate: Candidate,
    pub(super) is_enabled: bool,
    plays: VecDeque<Play>,
    /// When it was started.
    pub(super) hits: Vec<u64>,
    /// The reasons with which it failed and that count.
    pub(super) failures: Vec<String>,
    /// The reasons with which it failed and that do not.
    pub(super) told: Vec<String>,
    /// When its success was recorded.
    pub(super) successes: Vec<u64>,
}

impl Scripted {
    /// The next play; the last one is given for ever.
    fn play(&mut self) -> Play {
        if self.plays.len() > 1 { self.plays.pop_front().unwrap() } else { self.plays[0].clone() }
    }
}

/// The sources as the machine asks for them.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub(super) sources: BTreeMap<i64, Scripted>,
    pub(super) providers: ProviderCooldowns,
    pub(super) settle: Duration,
    pub(super) lists: u32,
    now: Instant,
}

impl Sources for Shelf {
    fn candidates(&mut self) -> Vec<Candidate> {
        self.lists += 1;
        let (now, providers) = (self.now, &self.providers);
        let listed = self.sources.values().enumerate().filter(|(_, source)| source.is_enabled);
        let mut list: Vec<_> = listed
            .map(|(index, source)| Candidate {
                index,
                provider_free_at: providers
                    .free_at(now, &source.candidate.provider)
                    .max(source.candidate.provider_free_at),
                release: providers.release(now, &source.candidate.provider),
                ..source.candidate.clone()
            })
            .collect();
        list.sort_by_key(|candidate| {
            (candidate.cooling_until.is_some_and(|until| until > now), candidate.fails, candidate.priority)
        });
        list
    }

    fn failover_settle(&mut self, _now: Instant) -> Duration {
        self.settle
    }
}

/// A session, its sources and its viewers.
pub(crate) struct World {
    pub(super) machine: Machine,
    pub(super) shelf: Shelf,
    pub(super) now: Instant,
    pub(super) log: Vec<(u64, Action)>,
    /// What will happen, by time and order; to the run that was then current.
    coming: BTreeMap<(Instant, u64), (u64, Event)>,
    order: u64,
    run: u64,
    pub(super) running: Option<i64>,
    pub(super) filler: bool,
    pub(super) finished: bool,
    /// A failure counts in the list of candidates, as the health of sources does.
    keeps_health: bool,
}

impl World {
    /// A channel with these sources, in the operator's order by id.
    pub(crate) fn new(params: Params, scripts: &[(i64, &[Play])]) -> Self {
        let (machine, actions) = Machine::new(params);
        assert_eq!(actions, [Action::AskForTuner]);
        let scripted = |(id, plays): &(i64, &[Play])| {
            let source = Scripted {
                candidate: candidate(*id),
                is_enabled: true,
                plays: plays.iter().cloned().collect(),
                hits: Vec::new(),
                failures: Vec::new(),
                told: Vec::new(),
                successes: Vec::new(),
            };
            (*id, source)
        };
        let shelf = Shelf {
            sources: scripts.iter().map(scripted).collect(),
            providers: ProviderCooldowns::new(params.provider_cooldown),
            settle: Duration::ZERO,
            lists: 0,
            now: Instant::START,
        };
        Self {
            machine,
            shelf,
            now: Instant::START,
            log: Vec::new(),
            coming: BTreeMap::new(),
            order: 0,
            run: 0,
            running: None,
            filler: false,
            finished: false,
            keeps_health: true,
        }
    }

    /// The same, watched by one viewer from the beginning.
    pub(crate) fn watched(params: Params, scripts: &[(i64, &[Play])]) -> Self {
        let mut world = Self::new(params, scripts);
        world.begin();
        world
    }

    /// The same with the usual settings, a second later, when a source is shown.
    pub(crate) fn live(scripts: &[(i64, &[Play])]) -> Self {
        let mut world = Self::watched(PARAMS, scripts);
        world.run_to(1000);
        assert_eq!(world.machine.state(), State::Live);
        world
    }

    /// The first viewer comes and the tuner is granted.
    pub(crate) fn begin(&mut self) {
        self.event(Event::Joined);
        self.event(Event::TunerGranted);
    }

    pub(crate) fn source(&mut self, id: i64) -> &mut Scripted {
        self.shelf.sources.get_mut(&id).unwrap()
    }

    pub(crate) fn hits(&self, id: i64) -> &[u64] {
        &self.shelf.sources[&id].hits
    }

    pub(crate) fn event(&mut self, event: Event) {
        let actions = self.machine.handle(self.now, event, &mut self.shelf);
        self.perform(actions);
    }

    pub(crate) fn trigger(&mut self, reason: &str) -> Result<(), TriggerError> {
        let actions = self.machine.trigger(self.now, reason, &mut self.shelf)?;
        self.perform(actions);
        Ok(())
    }

    /// Lets time pass.
    pub(crate) fn run_to(&mut self, ms: u64) {
        loop {
            let happening = self.coming.keys().next().copied();
            let deadline = self.machine.next_deadline();
            let next = [happening.map(|(at, _)| at), deadline].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= at(ms)) else { break };
            self.set_now(next.max(self.now));
            // What the world does comes first, as a source's own timeout does in the engine.
            match happening {
                Some(key) if key.0 <= next => {
                    let (run, event) = self.coming.remove(&key).unwrap();
                    if run == self.run {
                        self.event(event);
                    }
                }
                Some(_) | None => self.event(Event::Deadline),
            }
        }
        self.set_now(at(ms));
    }

    fn set_now(&mut self, now: Instant) {
        self.now = now;
        self.shelf.now = now;
    }

    fn later(&mut self, after_ms: u64, event: Event) {
        self.order += 1;
        self.coming.insert((self.now + MS(after_ms), self.order), (self.run, event));
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            assert!(!self.finished, "{action:?} after the end");
            self.log.push((self.now.as_millis(), action.clone()));
            match action {
                Action::StartSource { index, .. } => self.start(index),
                Action::StopSource => {
                    assert!(self.running.take().is_some(), "nothing runs that could be stopped");
                    self.run += 1;
                }
                Action::StartFiller => {
                    assert!(!self.filler, "filler runs");
                    self.filler = true;
                }
                Action::StopFiller { back_to_live } => {
                    assert!(self.filler, "no filler runs");
                    assert_eq!(back_to_live, self.running.is_some(), "back to live is back to a source");
                    self.filler = false;
                }
                Action::Finish => {
                    assert!(self.running.is_none() && !self.filler, "everything is stopped before the end");
                    self.finished = true;
                }
                Action::RecordFailure { id, reason, persist } => self.failed(id, reason, persist),
                Action::RecordSuccess { id } => self.succeeded(id),
                Action::ArmProvider { scope, retry_after } => {
                    self.shelf.providers.arm(self.now, &scope, retry_after);
                }
                Action::AwaitRelease { scope, until } => {
                    self.shelf.providers.await_release(self.now, &scope, until);
                }
                Action::ClearProvider { scope, since } => {
                    let _learnt = self.shelf.providers.clear(&scope, since);
                }
                Action::AskForTuner
                | Action::TunerIdle(_)
                | Action::Admit
                | Action::Refuse(_)
                | Action::EndViewers
                | Action::Note(_) => {}
            }
        }
        if !self.finished {
            self.check();
        }
    }

    /// What is true between any two calls.
    fn check(&self) {
        let has_deadline = self.machine.next_deadline().is_some();
        match self.machine.state() {
            State::Live | State::Idle { .. } => {
                assert!(self.running.is_some(), "a live session has a source");
                assert!(!self.filler, "a live session has no filler");
            }
            State::Starting | State::Recovering => assert!(has_deadline, "a search waits for ever"),
            State::AwaitingTuner | State::Ended => assert_eq!(self.running, None),
        }
        assert_eq!(self.filler, self.machine.filler_runs());
    }

    fn start(&mut self, index: usize) {
        assert_eq!(self.running, None, "one source at a time");
        let now = self.now.as_millis();
        let (id, source) = self.shelf.sources.iter_mut().nth(index).unwrap();
        assert!(source.is_enabled, "a disabled source is never started");
        source.hits.push(now);
        let (start, life) = source.play();
        self.running = Some(*id);
        let fails = |status: Option<u16>| {
            let reason = status.map_or("refused".to_owned(), |s| format!("upstream returned status {s}"));
            (reason, status)
        };
        match start {
            Start::Hangs => {}
            Start::Fails(after, status) => {
                let (reason, status) = fails(status);
                self.later(
                    after,
                    Event::SourceFailed { silent: false, hung_up: false, reason, status, retry_after: None },
                );
            }
            Start::Ready(after) => {
                self.later(after, Event::SourceReady);
                match life {
                    Life::Runs => {}
                    Life::Ends(ms) => self.later(after + ms, Event::SourceLost { cause: Lost::Eof }),
                    Life::Stalls(ms) => self.later(after + ms, Event::Stalled { what: "bytes" }),
                    Life::Breaks(ms, status) => {
                        let (reason, status) = fails(status);
                        let cause = Lost::Error { reason, status, retry_after: None };
                        self.later(after + ms, Event::SourceLost { cause });
                    }
                }
            }
        }
    }

    fn failed(&mut self, id: SourceId, reason: String, persist: bool) {
        let (now, keeps_health) = (self.now, self.keeps_health);
        let source = self.source(id.0);
        if !persist {
            source.told.push(reason);
            return;
        }
        source.failures.push(reason);
        if keeps_health {
            let candidate = &mut source.candidate;
            candidate.fails += 1;
            candidate.last_fail_at = now.as_millis() / 1000;
            candidate.cooling_until = Some(now + cooldown_after(candidate.fails));
        }
    }

    fn succeeded(&mut self, id: SourceId) {
        let now = self.now.as_millis();
        let source = self.source(id.0);
        source.successes.push(now);
        source.candidate.fails = 0;
        source.candidate.cooling_until = None;
    }

    /// What was logged.
    pub(crate) fn notices(&self) -> Vec<Notice> {
        let notice = |(_, action): &(u64, Action)| {
            let Action::Note(notice) = action else { return None };
            Some(notice.clone())
        };
        self.log.iter().filter_map(notice).collect()
    }

    /// When an action was asked for.
    pub(crate) fn times(&self, wanted: &Action) -> Vec<u64> {
        self.log.iter().filter(|(_, action)| action == wanted).map(|(at, _)| *at).collect()
    }

    /// Why sources were selected or tried, in order.
    pub(crate) fn selection_reasons(&self) -> Vec<&str> {
        fn reason((_, action): &(u64, Action)) -> Option<&str> {
            let Action::StartSource { selection_reason, .. } = action else { return None };
            Some(selection_reason)
        }
        self.log.iter().filter_map(reason).collect()
    }

    pub(crate) fn recovery_reason(&self) -> Option<&str> {
        self.machine.record().recovery_reason.as_deref()
    }

    /// The status and the text of the end.
    pub(crate) fn terminal(&self) -> (&'static str, &str) {
        let terminal = self.machine.terminal().expect("it has ended");
        (terminal.status.as_str(), &terminal.error)
    }
}
