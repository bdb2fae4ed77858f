//! The only place where mechanism meets policy: a core's loop and what it exchanges with other threads.

mod channel;
mod connection;
mod context;
mod core;
mod outlet;
mod port;
mod probe;
mod report;
mod source;
#[cfg(test)]
mod testing;

pub use self::core::{Core, Parts};
pub use channel::trigger::{TriggerRefusal, TriggerReply};
pub use context::token::Token;
pub use port::heartbeat::Heartbeats;
pub use port::mailbox::{Mailbox, MailboxFull, MailboxReader};
pub use port::messages::{
    ChildOwner, ControlPort, ControlRequest, CoreCommand, CoreId, HandedConnection, SessionId, Ticket,
    TunerMessage,
};
pub use port::params::{Egress, Filling, Own, Params, SlowPolicy, Sources, TuneBackoff, ZeroCopy};
pub use port::placement::home;
pub use port::snapshot;
