//! The only place where mechanism meets policy: a core's loop and what it exchanges with other threads.
//!
//! ```text
//! core        the loop: reap, dispatch, timers, flush; owns everything below
//! connection  accept, request head, hand-over
//! channel     the writing side of a channel: session, source, filler, splice, ring
//! outlet      the reading side: the viewers of one channel on one core
//! probe       sources tried in the background
//! source      a source while it is opened and read, by a channel or by the prober
//! border      what crosses from a channel to its outlets
//! context     what a core gives to the parts that live on it
//! report      what is told in the log
//! port        what cores and control say to each other
//! ```
//!
//! Imports go downwards in this list, and none of connection, channel, outlet and probe knows another.
//!
//! The way of a completion: [`Core`] finds by its token whom it concerns and calls that one part, which does all that follows in
//! its own room; what it has to say to other parts waits in `context::post`, and is heard when it has done. A completed send goes
//! from `core` to `outlet`, the bytes of a source from `core` to `channel`, from there through `source` into the ring, and a message
//! to the outlet puts those who had caught up into the queue that the next turn serves.

mod border;
mod channel;
mod connection;
mod context;
mod core;
mod outlet;
mod port;
mod probe;
mod report;
mod source;

pub use self::core::{Core, Parts};
pub use context::token::Token;
pub use port::drain::Drained;
pub use port::gate::{Gate, StreamToken};
pub use port::heartbeat::Heartbeats;
pub use port::ids::{CoreId, SessionId, SessionNumbers, Ticket};
pub use port::mailbox::{Mailbox, MailboxFull, MailboxReader};
pub use port::messages::{
    ChildOwner, ChildRefused, ControlPort, ControlRequest, CoreCommand, HandedConnection, KickReply,
    TriggerRefusal, TriggerReply, TryOutcome, TryReply, TunerMessage,
};
pub use port::params::{Egress, Filling, Own, Params, SlowPolicy, Sources, TuneBackoff, ZeroCopy};
pub use port::placement::home;
pub use port::places::SharedPlaces;
pub use port::providers::SharedProviders;
pub use port::room::{Remarks, RingBudget, Room};
pub use port::snapshot;
pub use port::tallies::{RecoveryKind, Tallies};
pub use port::trials::SharedTrials;
