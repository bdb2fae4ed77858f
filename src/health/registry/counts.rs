//! What becomes of events on their way into the database.

/// Of one source.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Events that went with another one's row.
    pub coalesced: u64,
    /// Rows that were not written after all attempts. What they said stays in memory.
    pub dropped: u64,
}

/// Of all sources since the start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Totals {
    /// Events that went with another one's row.
    pub coalesced: u64,
    /// Rows that were not written after all attempts.
    pub dropped: u64,
    /// Rows that were written.
    pub written: u64,
}

impl Totals {
    pub(super) const fn new() -> Self {
        Self { coalesced: 0, dropped: 0, written: 0 }
    }
}

/// What somebody should read once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// Rows cannot be written.
    Failing {
        /// Why the last attempt failed.
        reason: String,
    },
    /// They can again, and what was dropped is being written.
    WorksAgain,
}
