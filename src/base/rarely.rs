//! What happens often and is said rarely.

use std::time::Duration;

use super::Instant;

/// Counts what happens, and says when to speak of it.
#[derive(Debug)]
pub struct Rarely {
    every: Duration,
    said_at: Option<Instant>,
    unsaid: u64,
}

impl Rarely {
    /// It is to be said once in this time at most.
    #[must_use]
    pub const fn new(every: Duration) -> Self {
        Self { every, said_at: None, unsaid: 0 }
    }

    /// It has happened. Gives how often it has since it was said last, this time included, when it is to be said now.
    pub fn happened(&mut self, now: Instant) -> Option<u64> {
        self.unsaid += 1;
        if self.said_at.is_some_and(|at| now - at < self.every) {
            return None;
        }
        self.said_at = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_ten_times_a_second_is_said_once_a_minute_with_how_often_it_was() {
        let mut rarely = Rarely::new(Duration::from_secs(60));
        let said: Vec<_> =
            (0..1300).filter_map(|tenth| rarely.happened(Instant::from_millis(tenth * 100))).collect();
        assert_eq!(said, [1, 600, 600]);
    }
}
