//! Who has which tuner, as a pure machine.
//!
//! ```text
//!            claimed                 settled                 asked to yield
//! Free -----------------> Settling ----------> Leased <--------------------> Preempting
//!  ^  '--- nothing to wait for ------------------^ |        not idle              |
//!  |         claim withdrawn |                     |                              |
//!  '-------------------------'<--------------------'------------------------------'
//!                                               released
//! ```
//!
//! * Whoever asks gets a free tuner, or waits for one that somebody was asked to yield, or is refused.
//!   Requests wait in the order in which they came, and no more of them than there are tuners on their way.
//! * A request that nothing can be taken for waits a little too, when it is allowed to: a viewer who changes the channel
//!   often asks for the next one before the connection of the last is closed. It is refused when nothing has become
//!   free by then.
//! * A tuner that becomes free goes to the request that has waited longest, whoever was asked for it. When
//!   that leaves a preempted tuner over, the next request waits for it instead of ending another session.
//! * Nothing is called back: a session that is asked to yield answers with [`Event::Release`] or
//!   [`Event::NotIdle`]. One that does not answer costs the request that waits its place, and the tuner stays
//!   in use; it is asked again when the next request finds nobody else.
//!
//! The provider may go on counting a stream for a moment after it was closed. So a preempted tuner is not
//! used again before the settle time is over, and neither is the last free one after a full pool has lost a
//! lease. A tuner that settles for somebody counts as in use.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::Instant;

mod messages;

pub use messages::{Action, Event, Kind, Lease};

/// How long a request waits for a session to yield, beside the settle time.
const YIELD_WAIT: Duration = Duration::from_secs(2);

/// Requests that may hope at once.
const HOPING_MAX: usize = 64;

/// A request, until it is granted.
#[derive(Clone, Debug)]
struct Claim<H> {
    holder: H,
    label: String,
    kind: Kind,
}

#[derive(Debug)]
struct Waiter<H> {
    claim: Claim<H>,
    /// Refused here. Waiters come in order of time and all wait equally long, so the first one's is first.
    deadline: Instant,
    /// Until then it may hope for a tuner that nobody was asked for.
    hopes_until: Instant,
}

#[derive(Debug)]
enum State<H> {
    Free,
    Settling {
        claim: Claim<H>,
        until: Instant,
    },
    Leased {
        lease: Lease<H>,
        /// It may be asked to give the tuner up.
        yields: bool,
    },
    Preempting {
        lease: Lease<H>,
        asked_at: Instant,
        /// Nobody counts on it any more.
        overdue: bool,
    },
}

#[derive(Debug)]
struct Slot<H> {
    state: State<H>,
    /// Its last holder was preempted: not to be used before this.
    not_before: Instant,
}

/// The tuners and those who have them.
#[derive(Debug)]
pub struct Pool<H> {
    settle: Duration,
    /// Tuners from this number on are given to nobody any more.
    count: u16,
    slots: Vec<Slot<H>>,
    /// Free tuners in the order in which they will be given.
    free: VecDeque<u16>,
    /// Never more than tuners on their way, so never more than tuners.
    waiters: VecDeque<Waiter<H>>,
    /// Requests for which nobody could be asked. At most [`HOPING_MAX`].
    hoping: VecDeque<Waiter<H>>,
    /// How long a request hopes.
    wait: Duration,
    /// A full pool has lost a lease: the last free tuner is not to be used before this.
    refill_not_before: Instant,
}

impl<H: Copy + Eq> Pool<H> {
    /// A pool of `count` tuners, at least one, all free. A request for which there is none waits for `wait` until it is refused.
    #[must_use]
    pub fn new(count: u16, settle: Duration, wait: Duration) -> Self {
        let count = count.max(1);
        Self {
            settle,
            count,
            slots: (0..count).map(|_| Slot { state: State::Free, not_before: Instant::START }).collect(),
            free: (0..count).collect(),
            waiters: VecDeque::new(),
            hoping: VecDeque::new(),
            wait,
            refill_not_before: Instant::START,
        }
    }

    /// The number of tuners.
    #[must_use]
    pub fn capacity(&self) -> usize {
        usize::from(self.count)
    }

    /// Tuners that are granted or settle for somebody.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.slots.iter().filter(|slot| !matches!(slot.state, State::Free)).count()
    }

    /// What is granted, by tuner.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Lease<H>> {
        let lease = |slot: &Slot<H>| match &slot.state {
            State::Leased { lease, .. } | State::Preempting { lease, .. } => Some(lease.clone()),
            State::Free | State::Settling { .. } => None,
        };
        self.slots.iter().filter_map(lease).collect()
    }

    /// How long a session that has a tuner should wait before it opens another stream in the place of the one
    /// it lost: as long as the provider may still count more streams than there are tuners.
    #[must_use]
    pub fn failover_settle(&self, now: Instant) -> Duration {
        let capacity = self.capacity();
        if capacity <= 1 {
            Duration::ZERO
        } else if self.in_use() >= capacity {
            self.settle
        } else if self.in_use() == capacity - 1 {
            self.refill_not_before.since(now)
        } else {
            Duration::ZERO
        }
    }

    /// When [`Event::Deadline`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let settled = self.slots.iter().filter_map(|slot| match slot.state {
            State::Settling { until, .. } => Some(until),
            State::Free | State::Leased { .. } | State::Preempting { .. } => None,
        });
        let hoping = self.hoping.front().map(|waiter| waiter.hopes_until);
        settled.chain(self.waiters.front().map(|waiter| waiter.deadline)).chain(hoping).min()
    }

    /// Something has happened.
    pub fn handle(&mut self, now: Instant, event: Event<H>) -> Vec<Action<H>> {
        match event {
            Event::Request { holder, label, kind } => self.request(now, Claim { holder, label, kind }),
            Event::Cancel { holder } => self.cancel(now, holder),
            Event::Release { tuner } => self.release(now, tuner),
            Event::Idle { tuner, idle } => self.idle(now, tuner, idle),
            Event::NotIdle { tuner } => self.not_idle(now, tuner),
            Event::Deadline => self.deadline(now),
        }
    }

    fn request(&mut self, now: Instant, claim: Claim<H>) -> Vec<Action<H>> {
        if let Some(tuner) = self.free.pop_front() {
            return self.claim(now, tuner, claim);
        }
        let refused = vec![Action::Refuse { holder: claim.holder }];
        if claim.kind == Kind::Probe {
            return refused;
        }
        let claim = match self.overtake(claim) {
            Ok(overtaken) => return vec![overtaken],
            Err(claim) => claim,
        };
        self.give_up_on_spare(now);
        let waiter = Waiter { claim, deadline: now + self.patience(), hopes_until: now + self.wait };
        match self.wait_for_somebody(now, waiter) {
            Ok(actions) => actions,
            Err(waiter) if !self.wait.is_zero() && self.hoping.len() < HOPING_MAX => {
                self.hoping.push_back(waiter);
                Vec::new()
            }
            Err(_) => refused,
        }
    }

    /// Lets a request wait for a tuner that somebody is asked for; gives it back when there is nobody to ask.
    fn wait_for_somebody(&mut self, now: Instant, waiter: Waiter<H>) -> Result<Vec<Action<H>>, Waiter<H>> {
        let mut actions = Vec::new();
        if self.coming() <= self.waiters.len() {
            match self.preempt(now) {
                Some(action) => actions.push(action),
                None => return Err(waiter),
            }
        }
        self.waiters.push_back(waiter);
        Ok(actions)
    }

    /// Whoever has viewers gets what settles for a probe.
    fn overtake(&mut self, claim: Claim<H>) -> Result<Action<H>, Claim<H>> {
        for slot in &mut self.slots {
            match &mut slot.state {
                State::Settling { claim: of_probe, .. } if of_probe.kind == Kind::Probe => {
                    let holder = std::mem::replace(of_probe, claim).holder;
                    return Ok(Action::Refuse { holder });
                }
                State::Settling { .. } | State::Free | State::Leased { .. } | State::Preempting { .. } => {}
            }
        }
        Err(claim)
    }

    fn patience(&self) -> Duration {
        YIELD_WAIT + self.settle
    }

    /// Gives a tuner, already taken from the free ones, to a request: now, or when it has settled.
    fn claim(&mut self, now: Instant, tuner: u16, claim: Claim<H>) -> Vec<Action<H>> {
        // This one is counted only when it has a state.
        let fills = self.in_use() + 1 >= self.capacity();
        let refill = if fills { self.refill_not_before } else { Instant::START };
        let slot = &mut self.slots[usize::from(tuner)];
        let until = slot.not_before.max(refill);
        if until > now {
            slot.state = State::Settling { claim, until };
            return Vec::new();
        }
        vec![slot.grant(now, tuner, claim)]
    }

    fn cancel(&mut self, now: Instant, holder: H) -> Vec<Action<H>> {
        self.waiters.retain(|waiter| waiter.claim.holder != holder);
        self.hoping.retain(|waiter| waiter.claim.holder != holder);
        for (slot, tuner) in self.slots.iter_mut().zip(0..) {
            match &slot.state {
                State::Settling { claim, .. } if claim.holder == holder => {
                    // How long it has to settle does not depend on who waits for it.
                    slot.state = State::Free;
                    self.put_back(tuner);
                    return self.serve(now);
                }
                // A holder that has its tuner releases it when it hears of it.
                State::Settling { .. } | State::Free | State::Leased { .. } | State::Preempting { .. } => {}
            }
        }
        Vec::new()
    }

    fn release(&mut self, now: Instant, tuner: u16) -> Vec<Action<H>> {
        let was_full = self.in_use() >= self.capacity();
        let settled = now + self.settle;
        let slot = self.slot(tuner);
        match slot.state {
            State::Leased { .. } => {}
            State::Preempting { .. } => slot.not_before = slot.not_before.max(settled),
            // Released before. A tuner that settles was not given to anybody yet.
            State::Free | State::Settling { .. } => return Vec::new(),
        }
        slot.state = State::Free;
        if was_full {
            self.refill_not_before = self.refill_not_before.max(settled);
        }
        self.put_back(tuner);
        self.serve(now)
    }

    /// A tuner that is free may be given, unless there are to be fewer.
    fn put_back(&mut self, tuner: u16) {
        if tuner < self.count {
            self.free.push_back(tuner);
        }
    }

    /// There are so many tuners from now on, at least one. Whoever has one above that keeps it until it is released.
    pub fn resize(&mut self, now: Instant, count: u16) -> Vec<Action<H>> {
        let count = count.max(1);
        let before = std::mem::replace(&mut self.count, count);
        self.free.retain(|tuner| *tuner < count);
        for tuner in before..count {
            match self.slots.get(usize::from(tuner)) {
                None => self.slots.push(Slot { state: State::Free, not_before: Instant::START }),
                Some(Slot { state: State::Free, .. }) => {}
                // It was to be given up, and is not any more.
                Some(_) => continue,
            }
            self.free.push_back(tuner);
        }
        let mut actions = Vec::new();
        while !(self.free.is_empty() || self.waiters.is_empty() && self.hoping.is_empty()) {
            actions.extend(self.serve(now));
        }
        actions
    }

    /// A tuner has become free: it goes to the first who waits.
    fn serve(&mut self, now: Instant) -> Vec<Action<H>> {
        // One that has just become free may be one too many.
        let Some(tuner) = self.free.pop_front() else { return Vec::new() };
        let Some(waiter) = self.waiters.pop_front().or_else(|| self.hoping.pop_front()) else {
            self.free.push_front(tuner);
            return Vec::new();
        };
        self.claim(now, tuner, waiter.claim)
    }

    fn idle(&mut self, now: Instant, tuner: u16, idle: bool) -> Vec<Action<H>> {
        match &mut self.slot(tuner).state {
            State::Leased { yields, .. } => *yields = idle,
            // Said before the question arrived; its answer is still to come.
            State::Preempting { .. } => {}
            // Said by a holder that has released the tuner since.
            State::Free | State::Settling { .. } => {}
        }
        let Some(first) = self.hoping.pop_front() else { return Vec::new() };
        let deadline = now + self.patience();
        self.wait_for_somebody(now, Waiter { deadline, ..first }).unwrap_or_else(|first| {
            self.hoping.push_front(first);
            Vec::new()
        })
    }

    fn not_idle(&mut self, now: Instant, tuner: u16) -> Vec<Action<H>> {
        let slot = self.slot(tuner);
        match std::mem::replace(&mut slot.state, State::Free) {
            State::Preempting { lease, .. } => slot.state = State::Leased { lease, yields: false },
            // An answer to a question that nobody has asked of this lease.
            other @ (State::Free | State::Settling { .. } | State::Leased { .. }) => {
                slot.state = other;
                return Vec::new();
            }
        }
        if self.coming() >= self.waiters.len() {
            return Vec::new();
        }
        if let Some(action) = self.preempt(now) {
            return vec![action];
        }
        // Whoever waits longest gets what still comes, so it is the last who goes without.
        let last = self.waiters.pop_back().expect("more wait than tuners come");
        if now < last.hopes_until && self.hoping.len() < HOPING_MAX {
            // It has asked before all who hope. What comes next is its.
            self.hoping.push_front(last);
            return Vec::new();
        }
        vec![Action::Refuse { holder: last.claim.holder }]
    }

    fn deadline(&mut self, now: Instant) -> Vec<Action<H>> {
        let mut actions = Vec::new();
        for (slot, tuner) in self.slots.iter_mut().zip(0..) {
            match std::mem::replace(&mut slot.state, State::Free) {
                State::Settling { claim, until } if until <= now => {
                    actions.push(slot.grant(now, tuner, claim));
                }
                other @ (State::Free
                | State::Settling { .. }
                | State::Leased { .. }
                | State::Preempting { .. }) => slot.state = other,
            }
        }
        while self.waiters.front().is_some_and(|waiter| waiter.deadline <= now) {
            let waiter = self.waiters.pop_front().expect("there is a first one");
            actions.push(Action::Refuse { holder: waiter.claim.holder });
            self.give_up_on_oldest();
        }
        while self.hoping.front().is_some_and(|waiter| waiter.hopes_until <= now) {
            let waiter = self.hoping.pop_front().expect("there is a first one");
            actions.push(Action::Refuse { holder: waiter.claim.holder });
        }
        actions
    }

    /// Preempted tuners somebody may count on.
    fn coming(&self) -> usize {
        self.slots.iter().filter(|slot| slot.asked_at(false).is_some()).count()
    }

    /// The one that was asked first of those nobody has given up on (or all have).
    fn oldest_asked(&self, overdue: bool) -> Option<(Instant, usize)> {
        let asked = self.slots.iter().enumerate();
        asked.filter_map(|(index, slot)| Some((slot.asked_at(overdue)?, index))).min()
    }

    fn give_up_on_oldest(&mut self) {
        let Some((_asked_at, index)) = self.oldest_asked(false) else { return };
        match &mut self.slots[index].state {
            State::Preempting { overdue, .. } => *overdue = true,
            State::Free | State::Settling { .. } | State::Leased { .. } => {
                unreachable!("only a preempted tuner was asked for")
            }
        }
    }

    /// A preempted tuner that is left over must not make a new request wait when it is late already.
    fn give_up_on_spare(&mut self, now: Instant) {
        while self.coming() > self.waiters.len()
            && self.oldest_asked(false).is_some_and(|(asked_at, _)| asked_at + self.patience() <= now)
        {
            self.give_up_on_oldest();
        }
    }

    /// Asks somebody to yield: the oldest probe, else the oldest session without viewers, else the one that
    /// has owed an answer for longest, since the question may have been lost.
    fn preempt(&mut self, now: Instant) -> Option<Action<H>> {
        let yielding = self.slots.iter().enumerate().filter_map(|(index, slot)| match &slot.state {
            State::Leased { lease, yields: true } => {
                Some((lease.kind != Kind::Probe, lease.started_at, index))
            }
            State::Free | State::Settling { .. } | State::Leased { .. } | State::Preempting { .. } => None,
        });
        let yielding = yielding.min().map(|(_, _, index)| index);
        let index = yielding.or_else(|| self.oldest_asked(true).map(|(_, index)| index))?;
        let slot = &mut self.slots[index];
        match std::mem::replace(&mut slot.state, State::Free) {
            State::Leased { lease, .. } | State::Preempting { lease, .. } => {
                let action = Action::Preempt { holder: lease.holder, tuner: lease.tuner };
                slot.state = State::Preempting { lease, asked_at: now, overdue: false };
                Some(action)
            }
            State::Free | State::Settling { .. } => unreachable!("only somebody's tuner can be yielded"),
        }
    }

    fn slot(&mut self, tuner: u16) -> &mut Slot<H> {
        self.slots.get_mut(usize::from(tuner)).expect("tuners are named as they were granted")
    }
}

impl<H: Copy> Slot<H> {
    fn grant(&mut self, now: Instant, tuner: u16, claim: Claim<H>) -> Action<H> {
        let Claim { holder, label, kind } = claim;
        let lease = Lease { tuner, kind, label, holder, started_at: now };
        self.state = State::Leased { lease, yields: kind == Kind::Probe };
        Action::Grant { holder, tuner }
    }

    fn asked_at(&self, wanted_overdue: bool) -> Option<Instant> {
        match self.state {
            State::Preempting { asked_at, overdue, .. } => (overdue == wanted_overdue).then_some(asked_at),
            State::Free | State::Settling { .. } | State::Leased { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Actions = Vec<Action<u32>>;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn pool(count: u16, settle_ms: u64) -> Pool<u32> {
        Pool::new(count, Duration::from_millis(settle_ms), Duration::ZERO)
    }

    fn hopeful(count: u16, settle_ms: u64, wait_ms: u64) -> Pool<u32> {
        Pool::new(count, Duration::from_millis(settle_ms), Duration::from_millis(wait_ms))
    }

    fn ask(pool: &mut Pool<u32>, millis: u64, holder: u32) -> Actions {
        let label = format!("shared:{holder}");
        pool.handle(at(millis), Event::Request { holder, label, kind: Kind::Client })
    }

    fn probe(pool: &mut Pool<u32>, millis: u64, holder: u32) -> Actions {
        let label = format!("probe:{holder}");
        pool.handle(at(millis), Event::Request { holder, label, kind: Kind::Probe })
    }

    fn release(pool: &mut Pool<u32>, millis: u64, tuner: u16) -> Actions {
        pool.handle(at(millis), Event::Release { tuner })
    }

    fn idle(pool: &mut Pool<u32>, millis: u64, tuner: u16) {
        assert_eq!(pool.handle(at(millis), Event::Idle { tuner, idle: true }), []);
    }

    fn grant(holder: u32, tuner: u16) -> Action<u32> {
        Action::Grant { holder, tuner }
    }

    fn preempt(holder: u32, tuner: u16) -> Action<u32> {
        Action::Preempt { holder, tuner }
    }

    fn refuse(holder: u32) -> Action<u32> {
        Action::Refuse { holder }
    }

    /// Asserts when the pool next has something to do, and what.
    fn next(pool: &mut Pool<u32>, millis: u64, actions: &[Action<u32>]) {
        assert_eq!(pool.next_deadline(), Some(at(millis)));
        assert_eq!(pool.handle(at(millis - 1), Event::Deadline), [], "not before its time");
        assert_eq!(pool.handle(at(millis), Event::Deadline), actions);
    }

    #[test]
    fn one_tuner_serves_one_and_a_second_release_of_it_changes_nothing() {
        let mut pool = pool(1, 0);
        assert_eq!(ask(&mut pool, 0, 1), [grant(1, 0)]);
        assert_eq!(pool.in_use(), 1);
        assert_eq!(ask(&mut pool, 0, 2), [refuse(2)], "a client with viewers keeps its tuner");
        assert_eq!(release(&mut pool, 1, 0), []);
        assert_eq!(release(&mut pool, 1, 0), []);
        assert_eq!(pool.in_use(), 0);
        assert_eq!(ask(&mut pool, 2, 3), [grant(3, 0)]);
        assert_eq!(ask(&mut pool, 2, 4), [refuse(4)], "the second release has made no second tuner");
    }

    #[test]
    fn tuners_are_added_for_whoever_waits_and_taken_away_when_they_are_released() {
        let mut pool = hopeful(1, 0, 3000);
        assert_eq!(ask(&mut pool, 0, 1), [grant(1, 0)]);
        assert_eq!(ask(&mut pool, 0, 2), []);
        assert_eq!(pool.resize(at(1), 3), [grant(2, 1)]);
        assert_eq!(ask(&mut pool, 1, 3), [grant(3, 2)]);
        assert_eq!((pool.resize(at(2), 1).len(), pool.capacity(), pool.in_use()), (0, 1, 3));
        assert_eq!(ask(&mut pool, 2, 4), [], "it hopes");
        assert_eq!(release(&mut pool, 3, 2), [], "that one is one too many");
        assert_eq!(release(&mut pool, 4, 0), [grant(4, 0)]);
        assert_eq!(pool.resize(at(5), 2), [], "the second one is still somebody's");
        assert_eq!(release(&mut pool, 6, 1), []);
        assert_eq!(ask(&mut pool, 7, 5), [grant(5, 1)]);
        assert_eq!(pool.in_use(), 2);
    }

    #[test]
    fn who_asks_a_full_pool_hopes_for_a_while_and_gets_what_is_released() {
        let mut pool = hopeful(1, 500, 3000);
        assert_eq!(ask(&mut pool, 0, 1), [grant(1, 0)]);
        assert_eq!(ask(&mut pool, 1000, 2), []);
        assert_eq!(ask(&mut pool, 1100, 3), []);
        assert_eq!(release(&mut pool, 2000, 0), []);
        next(&mut pool, 2500, &[grant(2, 0)]);
        next(&mut pool, 4100, &[refuse(3)]);
        assert_eq!(pool.next_deadline(), None);
    }

    #[test]
    fn who_hopes_takes_the_tuner_of_a_session_that_nobody_watches_any_more() {
        let mut pool = hopeful(1, 0, 3000);
        assert_eq!(ask(&mut pool, 0, 1), [grant(1, 0)]);
        assert_eq!(ask(&mut pool, 1000, 2), []);
        assert_eq!(pool.handle(at(1500), Event::Idle { tuner: 0, idle: true }), [preempt(1, 0)]);
        // Its viewer was quicker. The request hopes on, for as long as it may.
        assert_eq!(pool.handle(at(1600), Event::NotIdle { tuner: 0 }), []);
        assert_eq!(pool.handle(at(2000), Event::Idle { tuner: 0, idle: true }), [preempt(1, 0)]);
        assert_eq!(release(&mut pool, 2100, 0), [grant(2, 0)]);
        assert_eq!(pool.next_deadline(), None);
    }

    #[test]
    fn who_hopes_and_gives_up_is_forgotten_and_no_more_hope_than_there_is_room_for() {
        let mut pool = hopeful(1, 0, 3000);
        assert_eq!(ask(&mut pool, 0, 1), [grant(1, 0)]);
        assert_eq!(ask(&mut pool, 0, 2), []);
        assert_eq!(pool.handle(at(10), Event::Cancel { holder: 2 }), []);
        assert_eq!(pool.next_deadline(), None);
        for holder in 0..HOPING_MAX {
            assert_eq!(ask(&mut pool, 20, 100 + u32::try_from(holder).unwrap()), []);
        }
        assert_eq!(ask(&mut pool, 20, 9), [refuse(9)]);
        assert_eq!(probe(&mut pool, 20, 8), [refuse(8)], "a probe has time");
    }

    #[test]
    fn a_pool_has_at_least_one_tuner() {
        assert_eq!(pool(0, 0).capacity(), 1);
    }

    #[test]
    fn giving_up_what_was_never_asked_leaves_the_pool_untouched() {
        let mut pool = pool(1, 0);
        assert_eq!(pool.handle(at(0), Event::Cancel { holder: 1 }), []);
        assert_eq!(ask(&mut pool, 0, 2), [grant(2, 0)]);
        assert_eq!(pool.handle(at(1), Event::Cancel { holder: 2 }), [], "it is released, not cancelled");
        assert_eq!(pool.in_use(), 1);
    }

    #[test]
    fn a_probe_yields_to_a_client() {
        let mut pool = pool(1, 0);
        assert_eq!(probe(&mut pool, 0, 1), [grant(1, 0)]);
        assert_eq!(ask(&mut pool, 5, 2), [preempt(1, 0)]);
        assert_eq!(release(&mut pool, 9, 0), [grant(2, 0)]);
        assert_eq!(pool.snapshot()[0].started_at, at(9));
    }

    #[test]
    fn a_probe_that_waits_for_a_tuner_to_settle_yields_to_a_client() {
        let mut pool = pool(1, 100);
        ask(&mut pool, 0, 1);
        release(&mut pool, 10, 0);
        assert_eq!(probe(&mut pool, 20, 2), [], "its provider may still count the stream that has ended");
        assert_eq!(ask(&mut pool, 30, 3), [refuse(2)]);
        next(&mut pool, 110, &[grant(3, 0)]);
    }

    #[test]
    fn an_idle_client_yields_to_the_next_one() {
        let mut pool = pool(1, 0);
        ask(&mut pool, 0, 1);
        idle(&mut pool, 1, 0);
        assert_eq!(ask(&mut pool, 2, 2), [preempt(1, 0)]);
        assert_eq!(release(&mut pool, 3, 0), [grant(2, 0)]);
    }

    #[test]
    fn victims_are_taken_probes_first_and_oldest_first() {
        let mut pool = pool(5, 0);
        ask(&mut pool, 0, 1);
        ask(&mut pool, 1, 2);
        probe(&mut pool, 2, 3);
        probe(&mut pool, 3, 4);
        ask(&mut pool, 4, 5);
        idle(&mut pool, 5, 1);
        idle(&mut pool, 6, 0);
        let victims: Vec<Actions> = (6..11).map(|holder| ask(&mut pool, 10, holder)).collect();
        assert_eq!(
            victims,
            [
                vec![preempt(3, 2)],
                vec![preempt(4, 3)],
                vec![preempt(1, 0)],
                vec![preempt(2, 1)],
                vec![refuse(10)]
            ],
            "the client with viewers is not asked"
        );
    }

    #[test]
    fn what_a_former_holder_said_does_not_touch_the_present_one() {
        let mut pool = pool(1, 0);
        ask(&mut pool, 0, 1);
        idle(&mut pool, 1, 0);
        release(&mut pool, 2, 0);
        idle(&mut pool, 3, 0);
        assert_eq!(ask(&mut pool, 4, 2), [grant(2, 0)]);
        assert_eq!(ask(&mut pool, 5, 3), [refuse(3)], "the new lease is not idle");
        idle(&mut pool, 6, 0);
        assert_eq!(pool.handle(at(7), Event::NotIdle { tuner: 0 }), [], "nobody has asked yet");
        assert_eq!(ask(&mut pool, 8, 4), [preempt(2, 0)], "it still yields");
    }

    #[test]
    fn a_preempted_tuner_settles_before_it_is_used_again() {
        let mut pool = pool(1, 120);
        probe(&mut pool, 0, 1);
        ask(&mut pool, 10, 2);
        assert_eq!(release(&mut pool, 20, 0), []);
        assert_eq!(pool.in_use(), 1, "it settles for somebody");
        assert_eq!(pool.snapshot(), [], "but nobody has it yet");
        next(&mut pool, 140, &[grant(2, 0)]);
        assert_eq!(pool.snapshot()[0].label, "shared:2");
    }

    #[test]
    fn filling_the_pool_again_waits_after_any_release() {
        let mut pool = pool(2, 220);
        ask(&mut pool, 0, 1);
        probe(&mut pool, 0, 2);
        release(&mut pool, 10, 1);
        assert_eq!(ask(&mut pool, 20, 3), []);
        next(&mut pool, 230, &[grant(3, 1)]);
        assert_eq!(pool.next_deadline(), None);
    }

    #[test]
    fn a_pool_that_does_not_become_full_does_not_wait() {
        let mut pool = pool(2, 220);
        ask(&mut pool, 0, 1);
        ask(&mut pool, 0, 2);
        release(&mut pool, 10, 0);
        release(&mut pool, 20, 1);
        assert_eq!(ask(&mut pool, 30, 3), [grant(3, 0)]);
        assert_eq!(ask(&mut pool, 30, 4), [], "this one would fill it");
        next(&mut pool, 230, &[grant(4, 1)]);
    }

    #[test]
    fn a_failover_waits_as_long_as_the_provider_may_count_too_many_streams() {
        let settle = Duration::from_millis(220);
        let mut pair = pool(2, 220);
        ask(&mut pair, 0, 1);
        assert_eq!(pair.failover_settle(at(0)), Duration::ZERO);
        ask(&mut pair, 0, 2);
        assert_eq!(pair.failover_settle(at(0)), settle);
        release(&mut pair, 10, 0);
        for (millis, expected) in [(10, 220), (80, 150), (229, 1), (230, 0), (270, 0)] {
            let expected = Duration::from_millis(expected);
            assert_eq!(pair.failover_settle(at(millis)), expected, "at {millis} ms");
        }

        let mut single = pool(1, 220);
        ask(&mut single, 0, 1);
        assert_eq!(single.failover_settle(at(0)), Duration::ZERO, "a single tuner has nothing to wait for");
    }

    #[test]
    fn who_gives_up_while_the_pool_settles_leaves_the_tuner_and_the_waiting_to_the_next() {
        let mut pool = pool(2, 300);
        ask(&mut pool, 0, 1);
        ask(&mut pool, 0, 2);
        release(&mut pool, 10, 0);
        assert_eq!(ask(&mut pool, 10, 3), []);
        assert_eq!(pool.handle(at(80), Event::Cancel { holder: 3 }), []);
        assert_eq!((pool.in_use(), pool.next_deadline()), (1, None));
        assert_eq!(ask(&mut pool, 90, 4), []);
        next(&mut pool, 310, &[grant(4, 0)]);
    }

    #[test]
    fn who_gives_up_while_a_preempted_tuner_settles_leaves_it_to_the_next() {
        let mut pool = pool(1, 300);
        probe(&mut pool, 0, 1);
        ask(&mut pool, 0, 2);
        release(&mut pool, 0, 0);
        assert_eq!(pool.handle(at(60), Event::Cancel { holder: 2 }), []);
        assert_eq!(pool.in_use(), 0);
        assert_eq!(ask(&mut pool, 60, 3), []);
        next(&mut pool, 300, &[grant(3, 0)]);
        release(&mut pool, 310, 0);
        assert_eq!(ask(&mut pool, 310, 4), []);
        next(&mut pool, 610, &[grant(4, 0)]);
    }

    #[test]
    fn a_tuner_released_before_the_preempted_one_is_used_and_the_other_is_left_for_the_next() {
        let mut pool = pool(2, 220);
        ask(&mut pool, 0, 1);
        ask(&mut pool, 0, 2);
        idle(&mut pool, 0, 0);
        assert_eq!(ask(&mut pool, 0, 3), [preempt(1, 0)]);
        assert_eq!(release(&mut pool, 10, 1), []);
        assert_eq!(ask(&mut pool, 20, 4), [], "the victim's tuner is on its way: nobody else has to go");
        assert_eq!(release(&mut pool, 40, 0), []);
        next(&mut pool, 230, &[grant(3, 1)]);
        next(&mut pool, 260, &[grant(4, 0)]);
    }

    #[test]
    fn a_probe_takes_only_what_is_free() {
        let mut pool = pool(2, 0);
        probe(&mut pool, 0, 1);
        ask(&mut pool, 0, 2);
        idle(&mut pool, 0, 1);
        assert_eq!(probe(&mut pool, 1, 3), [refuse(3)]);
        assert_eq!(pool.next_deadline(), None);
    }

    #[test]
    fn a_victim_with_viewers_keeps_its_tuner_and_the_next_is_asked() {
        let mut pool = pool(2, 0);
        ask(&mut pool, 0, 1);
        ask(&mut pool, 1, 2);
        idle(&mut pool, 2, 0);
        idle(&mut pool, 2, 1);
        assert_eq!(ask(&mut pool, 3, 3), [preempt(1, 0)]);
        assert_eq!(pool.handle(at(4), Event::NotIdle { tuner: 0 }), [preempt(2, 1)]);
        assert_eq!(pool.handle(at(5), Event::NotIdle { tuner: 1 }), [refuse(3)]);
        assert_eq!((pool.in_use(), pool.next_deadline()), (2, None));
        assert_eq!(release(&mut pool, 6, 0), [], "nobody waits any more");
    }

    #[test]
    fn a_victim_with_viewers_whose_claimant_has_gone_costs_nobody_else_anything() {
        let mut pool = pool(2, 0);
        ask(&mut pool, 0, 1);
        ask(&mut pool, 0, 2);
        idle(&mut pool, 0, 0);
        idle(&mut pool, 0, 1);
        ask(&mut pool, 1, 3);
        assert_eq!(pool.handle(at(2), Event::Cancel { holder: 3 }), []);
        assert_eq!(pool.handle(at(3), Event::NotIdle { tuner: 0 }), []);
        assert_eq!(pool.snapshot().len(), 2);
    }

    #[test]
    fn a_tuner_that_comes_free_while_a_victim_refuses_is_had() {
        for (freed, what) in [(1, "another tuner"), (0, "the victim's own")] {
            let mut pool = pool(2, 0);
            ask(&mut pool, 0, 1);
            ask(&mut pool, 0, 2);
            idle(&mut pool, 0, 0);
            assert_eq!(ask(&mut pool, 1, 3), [preempt(1, 0)]);
            assert_eq!(release(&mut pool, 2, freed), [grant(3, freed)], "{what}");
            assert_eq!(pool.handle(at(3), Event::NotIdle { tuner: 0 }), [], "{what}");
            assert_eq!((pool.in_use(), pool.next_deadline()), (2, None), "{what}");
        }
    }

    #[test]
    fn a_victim_that_does_not_yield_costs_the_request_its_place_after_two_seconds_and_the_settle_time() {
        let mut pool = pool(1, 500);
        probe(&mut pool, 0, 1);
        assert_eq!(ask(&mut pool, 100, 2), [preempt(1, 0)]);
        next(&mut pool, 2600, &[refuse(2)]);
        assert_eq!(pool.in_use(), 1);
        assert_eq!(ask(&mut pool, 2700, 3), [preempt(1, 0)], "it is asked again: the question may be lost");
        assert_eq!(release(&mut pool, 2800, 0), []);
        next(&mut pool, 3300, &[grant(3, 0)]);
    }

    #[test]
    fn a_victim_that_is_late_and_spare_makes_nobody_wait() {
        let mut pool = pool(2, 0);
        probe(&mut pool, 0, 1);
        ask(&mut pool, 0, 2);
        ask(&mut pool, 10, 3);
        pool.handle(at(20), Event::Cancel { holder: 3 });
        idle(&mut pool, 20, 1);
        assert_eq!(ask(&mut pool, 2010, 4), [preempt(2, 1)]);
    }

    #[test]
    fn a_claimant_that_gives_up_leaves_the_victims_tuner_to_the_next() {
        let mut pool = pool(1, 0);
        probe(&mut pool, 0, 1);
        ask(&mut pool, 0, 2);
        assert_eq!(pool.handle(at(80), Event::Cancel { holder: 2 }), []);
        assert_eq!(pool.next_deadline(), None);
        assert_eq!(ask(&mut pool, 100, 3), [], "the probe is asked once");
        assert_eq!(ask(&mut pool, 100, 4), [refuse(4)], "one tuner is on its way, not two");
        assert_eq!(release(&mut pool, 200, 0), [grant(3, 0)]);
    }

    #[test]
    fn the_wait_for_a_slow_victim_includes_the_settle_time() {
        let mut pool = pool(1, 500);
        probe(&mut pool, 0, 1);
        ask(&mut pool, 0, 2);
        assert_eq!(pool.handle(at(2100), Event::Deadline), []);
        assert_eq!(release(&mut pool, 2100, 0), []);
        next(&mut pool, 2600, &[grant(2, 0)]);
    }

    #[test]
    fn two_who_wait_are_served_in_the_order_in_which_they_came() {
        let mut pool = pool(2, 0);
        ask(&mut pool, 0, 1);
        ask(&mut pool, 1, 2);
        idle(&mut pool, 2, 0);
        idle(&mut pool, 2, 1);
        assert_eq!(ask(&mut pool, 3, 3), [preempt(1, 0)]);
        assert_eq!(ask(&mut pool, 4, 4), [preempt(2, 1)]);
        assert_eq!(
            release(&mut pool, 5, 1),
            [grant(3, 1)],
            "the second victim's tuner, for the first in line"
        );
        assert_eq!(pool.next_deadline(), Some(at(2004)));
        assert_eq!(release(&mut pool, 6, 0), [grant(4, 0)]);
    }

    #[test]
    fn free_tuners_are_used_in_the_order_in_which_they_became_free() {
        let mut pool = pool(3, 0);
        for holder in 0..3 {
            assert_eq!(ask(&mut pool, 0, holder), [grant(holder, u16::try_from(holder).unwrap())]);
        }
        release(&mut pool, 1, 1);
        release(&mut pool, 2, 0);
        assert_eq!(ask(&mut pool, 3, 8), [grant(8, 1)]);
        assert_eq!(ask(&mut pool, 3, 9), [grant(9, 0)]);
    }

    #[test]
    fn the_snapshot_lists_leases_by_tuner() {
        let mut pool = pool(2, 0);
        ask(&mut pool, 3, 7);
        probe(&mut pool, 4, 8);
        release(&mut pool, 5, 0);
        ask(&mut pool, 6, 9);
        let expected = [(0, Kind::Client, "shared:9", 9, at(6)), (1, Kind::Probe, "probe:8", 8, at(4))];
        let leases = pool.snapshot();
        let found: Vec<_> =
            leases.iter().map(|l| (l.tuner, l.kind, l.label.as_str(), l.holder, l.started_at)).collect();
        assert_eq!(found, expected);
    }

    /// Everybody who talks to the pool, and what the pool owes them.
    struct World {
        pool: Pool<u32>,
        now: u64,
        asked: Vec<u32>,
        held: BTreeMap<u16, u32>,
        next_holder: u32,
    }

    impl World {
        fn tell(&mut self, event: Event<u32>) {
            let actions = self.pool.handle(at(self.now), event);
            for action in actions {
                match action {
                    Action::Grant { holder, tuner } => {
                        self.answered(holder);
                        assert_eq!(self.held.insert(tuner, holder), None, "tuner {tuner} was somebody's");
                    }
                    Action::Refuse { holder } => self.answered(holder),
                    Action::Preempt { holder, tuner } => assert_eq!(self.held.get(&tuner), Some(&holder)),
                }
            }
            let capacity = self.pool.capacity();
            assert!(self.pool.in_use() <= capacity && self.held.len() <= self.pool.in_use());
            if self.pool.wait.is_zero() {
                assert!(self.asked.len() <= capacity, "nobody waits without a tuner on its way");
            }
            assert_eq!(
                self.pool.next_deadline().is_some(),
                !self.asked.is_empty(),
                "who waits has a deadline"
            );
        }

        fn answered(&mut self, holder: u32) {
            let place = self.asked.iter().position(|&asked| asked == holder).expect("answered once");
            self.asked.remove(place);
        }

        fn act(&mut self, what: u8, which: u16) {
            self.now += u64::from(which % 400);
            let tuner = which % 3;
            match what {
                0..3 => {
                    self.next_holder += 1;
                    let kind = if what == 0 { Kind::Probe } else { Kind::Client };
                    self.asked.push(self.next_holder);
                    self.tell(Event::Request { holder: self.next_holder, label: String::new(), kind });
                }
                3 => {
                    if let Some(holder) = self.asked.first().copied() {
                        self.asked.remove(0);
                        self.tell(Event::Cancel { holder });
                    }
                }
                4 | 5 => {
                    self.held.remove(&tuner);
                    self.tell(Event::Release { tuner });
                }
                6 | 7 => self.tell(Event::Idle { tuner, idle: what == 6 }),
                8 => self.tell(Event::NotIdle { tuner }),
                _later => self.tell(Event::Deadline),
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_happens_a_tuner_has_one_holder_and_everybody_is_answered(
            steps in proptest::collection::vec((0u8..10, any::<u16>()), 0..200),
            wait in 0u64..2,
        ) {
            let pool = hopeful(3, 150, wait * 1000);
            let mut world = World { pool, now: 0, asked: Vec::new(), held: BTreeMap::new(), next_holder: 0 };
            for (what, which) in steps {
                world.act(what, which);
            }
            world.now += 5000;
            world.tell(Event::Deadline);
            prop_assert!(world.asked.is_empty());
        }
    }
}
