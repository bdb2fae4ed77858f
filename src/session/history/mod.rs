//! What is remembered of a session: the sources it had, who watched it, and how it ended.
//!
//! What is current (the selected source, those who watch) is kept by whoever runs the session or in one
//! place; only what is past gathers here, and that is bounded.

mod audience;
mod closed;
mod facts;
mod timeline;

pub use audience::Audience;
pub use closed::{ClosedSessions, ClosedSnapshot, Merged, merge};
pub use facts::{
    CloseReason, Ended, Limits, Outcome, Selections, SessionRecord, SourceFacts, SourceWindow,
    SubscriberWindow, ViewerCounts, WriteCounters,
};
pub use timeline::{RESELECT_ALERT_THRESHOLD, Selection, SourceTimeline};

#[cfg(test)]
mod tests;
