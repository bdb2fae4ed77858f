//! A channel while somebody watches it: from the first viewer's request to the last one's leaving, as a pure machine.
//!
//! ```text
//! AwaitingTuner --granted--> Starting --ready--> Live <--joined/all left--> Idle
//!       |                       |               ^  |                          |
//!    refused             no source works   ready|  |lost, stalled, asked      | time is up, preempted,
//!       |                       |               |  v                          | source lost
//!       v                       v             Recovering                      v
//!     Ended <-----------------------------------'-----------------------------'
//!                                      nobody watches, no source works
//! ```
//!
//! The engine asks, then does: every event gives back a list of [`Action`]s in the order in which they are to
//! happen, and [`Machine::next_deadline`] says when to send [`Event::Deadline`].
//!
//! While a source is looked for, at the start and in recovery, the machine holds a `Search`: a list of
//! candidates and a plan by which they are tried.

mod actions;
mod budget;
mod choose;
mod events;
pub mod history;
mod life;
mod pass;
mod penalty;
mod places;
mod provider;
mod record;
mod release;
mod retry;
mod scope;
mod search;
mod selected;
mod step;
mod turn;

pub use actions::{Action, Failure, Notice};
pub use events::{Candidate, Event, Lost, Params, Sources, StallPolicy, TriggerError};
pub use life::{Machine, State};
pub use places::{Occupant, Place, Places, PlacesInUse, Purpose};
pub use provider::ProviderCooldowns;
pub use record::{Record, Status, Terminal};
pub use release::{COUNTED_MAX, Counted, Release};
pub use scope::ProviderScope;

#[cfg(test)]
mod tests;
