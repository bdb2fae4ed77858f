//! The only place where mechanism meets policy: a core's loop and what it exchanges with other threads.

mod candidates;
mod children;
mod client;
mod core;
mod egress;
pub mod events;
mod filling;
mod health;
pub mod heartbeat;
mod ingest;
mod intake;
mod live;
pub mod looking;
mod mailbox;
mod opening;
mod own;
mod pacing;
mod params;
mod placement;
pub mod port;
mod pouring;
mod probing;
mod profiles;
mod recovering;
mod report;
mod sessions;
mod showing;
mod slates;
pub mod snapshot;
mod staging;
mod tell;
#[cfg(test)]
mod testing;
mod token;
mod trigger;
mod tuners;
mod turn;
mod upstream;
mod viewers;

pub use self::core::{Core, Parts};
pub use heartbeat::Heartbeats;
pub use mailbox::{Mailbox, MailboxFull, MailboxReader};
pub use params::{Egress, Filling, Own, Params, SlowPolicy, Sources, TuneBackoff, ZeroCopy};
pub use placement::home;
pub use port::{
    ChildOwner, ControlPort, ControlRequest, CoreCommand, CoreId, HandedConnection, SessionId, Ticket,
    TunerMessage,
};
pub use token::Token;
pub use trigger::{TriggerRefusal, TriggerReply};
