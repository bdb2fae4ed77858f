//! What may go wrong, and how often.

use std::time::Duration;

use super::random::{Chance, Random};

/// The faults of a world. None by default: a perfect kernel, and a network that is merely not instant.
#[derive(Clone, Debug)]
pub struct Faults {
    /// A completion is seen late, by up to `late_max`.
    pub late: Chance,
    /// See `late`.
    pub late_max: Duration,
    /// A receive or read gives fewer bytes than are there.
    pub short_receive: Chance,
    /// A send takes fewer bytes than there is room for.
    pub short_send: Chance,
    /// A send finds no buffer space and takes nothing.
    pub send_no_buffers: Chance,
    /// The connection breaks under a receive or a send.
    pub reset: Chance,
    /// A multishot accept ends by itself: with an error, or with a last connection.
    pub accept_ends: Chance,
    /// A connection cannot be established although the server would take it.
    pub connect_fails: Chance,
    /// An operation that could just have succeeded does so instead of being cancelled.
    pub cancel_loses: Chance,
    /// The notification of a zero-copy send comes late, by up to `release_late_max`.
    pub release_late: Chance,
    /// See `release_late`.
    pub release_late_max: Duration,
    /// A notification says that the kernel copied.
    pub copied: Chance,
    /// A receive writes garbage behind the bytes it counts, within what it was lent.
    pub scribble: Chance,
    /// Memory cannot be registered.
    pub register_fails: Chance,
    /// A socket cannot be opened, or a descriptor not be adopted.
    pub files_full: Chance,
    /// An operation is refused as if the table were full.
    pub operations_full: Chance,
    /// The thread does not get the processor for up to `stall_max`.
    pub stall: Chance,
    /// See `stall`.
    pub stall_max: Duration,
    /// A turn ends early with nothing.
    pub interrupted: Chance,
    /// What the far end sends arrives in pieces.
    pub fragment: Chance,
    /// On top of the network's least latency, each time anew.
    pub latency_max: Duration,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            late: Chance::NEVER,
            late_max: Duration::ZERO,
            short_receive: Chance::NEVER,
            short_send: Chance::NEVER,
            send_no_buffers: Chance::NEVER,
            reset: Chance::NEVER,
            accept_ends: Chance::NEVER,
            connect_fails: Chance::NEVER,
            cancel_loses: Chance::NEVER,
            release_late: Chance::NEVER,
            release_late_max: Duration::ZERO,
            copied: Chance::NEVER,
            scribble: Chance::NEVER,
            register_fails: Chance::NEVER,
            files_full: Chance::NEVER,
            operations_full: Chance::NEVER,
            stall: Chance::NEVER,
            stall_max: Duration::ZERO,
            interrupted: Chance::NEVER,
            fragment: Chance::NEVER,
            latency_max: Duration::ZERO,
        }
    }
}

impl Faults {
    /// Faults that take nothing away: late, short, in pieces, out of order, but in the end everything works.
    #[must_use]
    pub fn harmless(random: &mut Random) -> Self {
        Self {
            late: often(random),
            late_max: random.time(Duration::from_millis(8)),
            short_receive: often(random),
            short_send: often(random),
            cancel_loses: often(random),
            release_late: often(random),
            release_late_max: random.time(Duration::from_millis(400)),
            copied: often(random),
            scribble: often(random),
            stall: seldom(random),
            stall_max: random.time(Duration::from_millis(30)),
            interrupted: often(random),
            fragment: often(random),
            latency_max: random.time(Duration::from_millis(20)),
            ..Self::default()
        }
    }

    /// Any subset of all faults, each as strong as it happens to be. A subset, because faults hide each other:
    /// a connection that is reset early never sees the late notification.
    #[must_use]
    pub fn drawn(random: &mut Random) -> Self {
        Self {
            send_no_buffers: seldom(random),
            reset: seldom(random),
            accept_ends: seldom(random),
            connect_fails: seldom(random),
            register_fails: seldom(random),
            files_full: seldom(random),
            operations_full: seldom(random),
            ..Self::harmless(random)
        }
    }
}

/// Off in half of the worlds, else once in 2 to 64 times.
fn often(random: &mut Random) -> Chance {
    draw(random, 2, 64)
}

/// Off in half of the worlds, else once in 50 to 2000 times.
fn seldom(random: &mut Random) -> Chance {
    draw(random, 50, 2000)
}

fn draw(random: &mut Random, least: u64, most: u64) -> Chance {
    let times = random.between(least, most);
    if random.below(2) == 0 { Chance::NEVER } else { Chance::one_in(times) }
}
