//! A core's turns: what is due is done, what follows is submitted, and what has happened meanwhile is handled.
//!
//! The clock is read after the wait, and what came meanwhile is handled before anything is found to be due: a deadline that passed
//! while the core could not run has not been missed by anybody.

use std::time::Duration;

use crate::base::{Clock, Errno, Instant, OwnTime};
use crate::ring::Lent;
use crate::uring::Driver;

use super::core::Core;
use super::token::Token;

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    /// Runs until drained. `beat` is called each time the loop comes round, at least twice a second.
    ///
    /// # Errors
    /// When the kernel refuses to go on.
    pub fn run(&mut self, clock: &Clock, mut beat: impl FnMut(Instant)) -> Result<(), Errno> {
        let started = clock.now();
        self.time = OwnTime::starting(started);
        self.now = started;
        while !self.is_drained() {
            self.health.read_wall(self.now, |_own| clock.wall_at(clock.now()));
            self.turn_by(|| clock.now())?;
            beat(clock.now());
        }
        Ok(())
    }

    /// One turn by a clock: what took longer than it was meant to is lost time, and nobody is judged by it.
    ///
    /// # Errors
    /// When the kernel refuses to go on.
    pub fn turn_by(&mut self, clock: impl Fn() -> Instant) -> Result<(), Errno> {
        self.read_clock(&clock, Duration::ZERO);
        self.act();
        let wait = self.wait();
        // What acting took is counted apart from the wait.
        self.read_clock(&clock, Duration::ZERO);
        self.driver.turn(wait)?;
        // What happened while the core waited, or could not run, happened before anything is due.
        self.read_clock(&clock, wait);
        self.dispatch_all();
        Ok(())
    }

    /// One turn at a time of the caller's own, which passes as the caller likes: acts on what is due, submits, waits
    /// for the next thing, and handles what has happened.
    ///
    /// # Errors
    /// When the kernel refuses to go on.
    #[cfg(any(test, feature = "sim"))]
    pub fn turn(&mut self, now: Instant) -> Result<(), Errno> {
        self.now = self.now.max(now);
        self.act();
        let wait = self.wait();
        self.driver.turn(wait)?;
        self.dispatch_all();
        Ok(())
    }

    /// The time by the clock. A programme and those who watch it go on by this one, also while the core cannot run.
    pub(crate) fn clock_now(&self) -> Instant {
        self.now + self.time.lost()
    }

    fn read_clock(&mut self, clock: &impl Fn() -> Instant, asked: Duration) {
        let lost = self.time.lost();
        self.now = self.now.max(self.time.read(clock(), asked));
        let lost = self.time.lost().saturating_sub(lost);
        if !lost.is_zero() {
            self.excuse_viewers(lost);
        }
    }

    fn act(&mut self) {
        self.counters.turns += 1;
        self.read_mail();
        self.expire();
        self.retry_blocked_sources();
        self.flush();
        self.listen_for_bell();
        let patience = self.patience();
        self.driver.set_patience(patience);
    }

    fn dispatch_all(&mut self) {
        while let Some(completion) = self.driver.next() {
            self.dispatch(completion);
        }
    }
}
