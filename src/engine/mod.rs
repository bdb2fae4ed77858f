//! The only place where mechanism meets policy: a core's loop and what it exchanges with other threads.

pub mod heartbeat;
pub mod mailbox;
pub mod port;
pub mod snapshot;

pub use heartbeat::Heartbeats;
pub use mailbox::{Mailbox, MailboxFull, MailboxReader};
pub use port::{
    ControlPort, ControlRequest, CoreCommand, CoreId, HandedConnection, SessionId, Ticket, TunerMessage,
};
