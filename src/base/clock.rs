//! Time as an argument.
//!
//! Policy never reads a clock: it is handed an [`Instant`]. [`Clock`] is the one place that asks the
//! operating system, once per turn of a core's loop, so that everything in one turn sees one time.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// Monotonic time, in nanoseconds since the process's clock was started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The moment the clock was started.
    pub const START: Self = Self(0);

    /// An instant a number of milliseconds after the start. For tests and simulations.
    #[must_use]
    #[cfg(any(test, feature = "sim"))]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }

    /// An instant a number of nanoseconds after the start.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the start.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the start.
    #[must_use]
    #[cfg(any(test, feature = "sim"))]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// Saturates at zero, as [`Instant::since`] does.
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{:06}ms", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// A turn that took this much longer than it was meant to has come late: neither work nor the scheduler of a machine
/// that keeps up takes so long.
const LATE_MIN: Duration = Duration::from_millis(100);

/// The time of one thread that judges others by theirs: it stands still while the thread cannot run.
///
/// A process that is stopped, a machine that sleeps or is overloaded loses time, and in it nobody could be heard.
/// Judged by the clock of the wall every source would have been silent and every viewer blocked; by this one nothing
/// has happened. The thread says how long it wanted to wait; whatever passes beyond that, and a little, is lost.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnTime {
    read_at: Instant,
    lost: Duration,
}

impl OwnTime {
    /// A thread that begins now.
    #[must_use]
    pub const fn starting(now: Instant) -> Self {
        Self { read_at: now, lost: Duration::ZERO }
    }

    /// The thread's time when the clock shows `now`; since the last reading it wanted to wait for `asked` at most.
    pub fn read(&mut self, now: Instant, asked: Duration) -> Instant {
        let passed = now - self.read_at;
        self.lost += passed.saturating_sub(asked.saturating_add(LATE_MIN));
        self.read_at = self.read_at.max(now);
        self.of(self.read_at)
    }

    /// The thread's time that belongs to a moment by the clock.
    #[must_use]
    pub fn of(&self, clock: Instant) -> Instant {
        Instant(clock.0.saturating_sub(u64::try_from(self.lost.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long it has stood still so far.
    #[must_use]
    pub const fn lost(&self) -> Duration {
        self.lost
    }
}

/// Wall-clock time: nanoseconds since 1970-01-01 UTC. For logs, JSON and the database, never for deadlines.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct WallTime(u64);

impl WallTime {
    /// A wall time from nanoseconds since the epoch.
    #[must_use]
    pub const fn from_unix_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn unix_nanos(self) -> u64 {
        self.0
    }

    /// So much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Whole seconds since the epoch.
    #[must_use]
    pub const fn unix_seconds(self) -> u64 {
        self.0 / 1_000_000_000
    }
}

/// Reads the operating system's clocks. Copies share one start, so their instants compare.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: std::time::Instant,
}

impl Clock {
    /// Starts the process's clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn start() -> Self {
        Self { started: std::time::Instant::now() }
    }

    /// Now, monotonic.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant(u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// The wall time that belongs to a monotonic instant, by the wall clock of this moment: an appliance
    /// without a battery learns the true time minutes after its start, and what it shows then is right.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn wall_at(&self, at: Instant) -> WallTime {
        let wall = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
        let now = self.now();
        WallTime(if at > now { wall.saturating_add(at.0 - now.0) } else { wall.saturating_sub(now.0 - at.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_of_instants_never_goes_below_zero() {
        let early = Instant::from_millis(5);
        let late = Instant::from_millis(9);
        assert_eq!(late - early, Duration::from_millis(4));
        assert_eq!(early - late, Duration::ZERO);
    }

    #[test]
    fn a_thread_that_cannot_run_has_a_time_that_stands_still() {
        let millis = Duration::from_millis;
        let mut time = OwnTime::starting(Instant::from_millis(1000));
        for (now, asked, own) in [
            (1000, 0, 1000),
            // It worked, and then waited as long as it wanted to, or shorter.
            (1003, 0, 1003),
            (1503, 500, 1503),
            (1510, 500, 1510),
            // A little late is no loss.
            (1610, 0, 1610),
            (2200, 500, 2200),
            // Stopped for seven seconds in a wait of half a second.
            (9700, 500, 2800),
            (9701, 0, 2801),
            // Overloaded: each turn takes a second.
            (10_701, 0, 2901),
            (11_701, 0, 3001),
            // The clock does not go back, nor does this.
            (11_000, 0, 3001),
            (11_801, 0, 3101),
        ] {
            assert_eq!(
                time.read(Instant::from_millis(now), millis(asked)),
                Instant::from_millis(own),
                "{now}"
            );
        }
        assert_eq!(time.lost(), millis(8700));
        assert_eq!(time.of(Instant::from_millis(12_000)), Instant::from_millis(3300));
    }

    #[test]
    fn adding_a_huge_duration_stays_at_the_end_of_time() {
        assert_eq!(Instant::from_millis(1) + Duration::MAX, Instant::from_nanos(u64::MAX));
    }
}
