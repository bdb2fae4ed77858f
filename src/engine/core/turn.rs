//! A core's turns: what is due is done, what follows is submitted, and what has happened meanwhile is handled.
//!
//! The clock is read after the wait, and what came meanwhile is handled before anything is found to be due: a deadline that passed
//! while the core could not run has not been missed by anybody.

use std::time::Duration;

use crate::base::{Clock, Errno, Instant, OwnTime};
use crate::ring::Lent;
use crate::uring::Driver;

use crate::base::limits::SENDS_PER_TURN;
use crate::base::logfmt::Line;
use crate::engine::context::token::Token;
use crate::engine::outlet::Outlet;

use super::Core;

/// Bytes a core hands to the kernel in one turn: about 1 ms of work. Somebody new waits for one or two such turns, and shares of
/// this size cost no more for each byte than larger ones.
const BYTES_PER_TURN: u64 = 6 * 1024 * 1024;
/// How many sends ahead a viewer is fetched into the cache.
const TOUCH_AHEAD: usize = 4;

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    /// Runs until drained. `beat` is called each time the loop comes round, at least twice a second.
    ///
    /// # Errors
    /// When the kernel refuses to go on.
    pub fn run(&mut self, clock: &Clock, mut beat: impl FnMut(Instant)) -> Result<(), Errno> {
        let started = clock.now();
        self.cx.time = OwnTime::starting(started);
        self.cx.now = started;
        while !self.is_drained() {
            self.cx.health.read_wall(self.cx.now, |_own| clock.wall_at(clock.now()));
            // Nobody waits for a core that cannot go on.
            self.turn_by(|| clock.now()).inspect_err(|_errno| self.drained.note(true))?;
            beat(clock.now());
        }
        Ok(())
    }

    /// One turn by a clock: what took longer than it was meant to is lost time, and nobody is judged by it.
    ///
    /// # Errors
    /// When the kernel refuses to go on.
    pub fn turn_by(&mut self, clock: impl Fn() -> Instant) -> Result<(), Errno> {
        let begun = clock();
        self.read_clock(&clock, Duration::ZERO);
        self.act();
        let wait = self.wait();
        // What acting took is counted apart from the wait.
        self.read_clock(&clock, Duration::ZERO);
        let from = clock();
        self.cx.driver.turn(wait)?;
        let woke = clock();
        // What happened while the core waited, or could not run, happened before anything is due.
        self.read_clock(&clock, wait);
        self.dispatch_all();
        // To hand over its work is work, too, where it does not wait for more.
        let waited = if wait.is_zero() { Duration::ZERO } else { woke - from };
        self.note_turn((clock() - begun).saturating_sub(waited), waited);
        Ok(())
    }

    /// A turn was work for so long, and waiting for more for so long.
    pub(super) fn note_turn(&mut self, worked: Duration, waited: Duration) {
        let was_saturated = self.cx.is_saturated();
        self.cx.turned(worked, waited);
        if !self.cx.is_saturated() {
            return;
        }
        self.shed();
        if was_saturated {
            return;
        }
        self.cx.counters.saturations += 1;
        let Some(times) = self.saturations.happened(self.cx.now) else { return };
        let line = Line::new("core is saturated").field("core", self.cx.id.0).field("times", times);
        let line = line.field("send_wait_ms", self.cx.send_wait().as_millis());
        log::warn!(
            "{}",
            line.field("remedy", "it takes nobody in until it has time again: more CORES carry more")
        );
    }

    /// Ends the streams of those who came last, as many as there are too many: all others would get less and less of theirs.
    fn shed(&mut self) {
        let count = self.stations.outlets().map(Outlet::count).sum::<usize>();
        let too_many = usize::try_from(self.cx.take_too_many(count as u64)).unwrap_or(count);
        if too_many == 0 {
            return;
        }
        let mut viewers: Vec<_> = self.stations.outlets().flat_map(Outlet::joined).collect();
        viewers.sort_unstable_by_key(|(joined_at, _)| std::cmp::Reverse(*joined_at));
        for (_, viewer) in viewers.into_iter().take(too_many) {
            if let Some((outlet, view)) = self.stations.outlet_mut(viewer.channel) {
                outlet.shed(&mut self.cx, view, viewer);
            }
            self.settle();
        }
        self.cx.counters.shed += too_many as u64;
        let line = Line::new("saturated core ends streams of its newest viewers").field("core", self.cx.id.0);
        log::warn!("{}", line.field("ended", too_many).field("left", count - too_many));
    }

    /// One turn at a time of the caller's own, which passes as the caller likes: acts on what is due, submits, waits
    /// for the next thing, and handles what has happened.
    ///
    /// # Errors
    /// When the kernel refuses to go on.
    #[cfg(any(test, feature = "sim"))]
    pub fn turn(&mut self, now: Instant) -> Result<(), Errno> {
        self.cx.now = self.cx.now.max(now);
        self.act();
        let wait = self.wait();
        self.cx.driver.turn(wait)?;
        self.dispatch_all();
        Ok(())
    }

    fn read_clock(&mut self, clock: &impl Fn() -> Instant, asked: Duration) {
        let lost = self.cx.time.lost();
        self.cx.now = self.cx.now.max(self.cx.time.read(clock(), asked));
        let lost = self.cx.time.lost().saturating_sub(lost);
        if !lost.is_zero() {
            self.excuse_viewers(lost);
        }
    }

    /// The core could not run for so long, which no viewer is judged by.
    pub(super) fn excuse_viewers(&mut self, lost: Duration) {
        for (channel, outlets) in self.stations.iter_mut() {
            if let Some(latest) = outlets.own_mut().excuse(lost) {
                channel.promise(latest);
            }
        }
        for away in self.stations.iter_away_mut() {
            away.excuse(&mut self.cx, lost);
        }
    }

    fn act(&mut self) {
        self.cx.counters.turns += 1;
        self.cx.log_refusals();
        self.tell_untold();
        self.read_mail();
        self.expire();
        self.retry_blocked();
        self.flush();
        self.vote();
        self.await_wakeup();
        let batch_wait = self.batch_wait();
        self.cx.driver.set_batch_wait(batch_wait);
    }

    /// Says whether anything is left here, once the core is to end.
    fn vote(&mut self) {
        let has_drained = self.draining.is_some() && self.is_empty() && self.cx.health.is_over();
        self.drained.note(has_drained);
    }

    /// Serves those who wait to be sent to, newcomers first, within this turn's share.
    fn flush(&mut self) {
        let mut bytes_left = BYTES_PER_TURN;
        for _ in 0..SENDS_PER_TURN {
            if bytes_left == 0 {
                return;
            }
            let Some(viewer) = self.cx.sends.pop(self.cx.now) else { return };
            if let Some(ahead) = self.cx.sends.ahead(TOUCH_AHEAD)
                && let Some(outlet) = self.stations.outlet(ahead.channel)
            {
                outlet.touch(ahead);
            }
            bytes_left = bytes_left.saturating_sub(self.send_next(viewer));
        }
    }

    fn dispatch_all(&mut self) {
        while let Some(completion) = self.cx.driver.next() {
            self.dispatch(completion);
        }
    }
}
