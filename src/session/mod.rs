//! A channel while somebody watches it: from the first viewer's request to the last one's leaving.

pub mod history;
mod machine;

pub use machine::{
    Action, Candidate, Event, Failure, Lost, Machine, Notice, Params, Record, Sources, StallPolicy, State,
    Status, Terminal, TriggerError,
};
