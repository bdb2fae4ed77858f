//! What a core has come to: where it had to refuse, how long it works at a time, and what its rings take.

use std::time::Duration;

use serde::Serialize;

use crate::engine::snapshot::CoreSnapshot;

/// One core. Not of the reference.
#[derive(Serialize, Debug)]
pub(super) struct CoreStatus {
    core: u8,
    /// Viewers whom it sends to, of whichever channel.
    viewers: usize,
    /// Connections that are not viewers.
    connections: usize,
    /// Memory that the rings of its channels take.
    ring_bytes: u64,
    /// Bytes of pages of rings that were left to the kernel because it may still have had to send them.
    given_bytes_total: u64,
    /// The longest that it has worked without looking up, of the last half minute to a minute.
    turn_longest_us: u64,
    /// How long those waited in the last quarter of a second who were to be sent to, at the least.
    send_wait_us: u64,
    /// It has more to do than it can, and takes nobody in.
    is_saturated: bool,
    /// How often that has come.
    saturations_total: u64,
    /// Viewers whose streams were ended because there were too many.
    shed_total: u64,
    /// Requests and connections that were refused.
    refused_total: u64,
    /// Of these, connections that were closed because there was no place for so many.
    refused_at_bound_total: u64,
    /// How often accepting was paused because descriptors or memory were missing.
    accept_pauses_total: u64,
    /// Bytes sent to viewers.
    sent_bytes_total: u64,
    /// How long it has worked, of the time since the start: what it is more after a second is its load.
    busy_us_total: u64,
}

impl CoreStatus {
    pub(super) fn new(core: &CoreSnapshot) -> Self {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Self {
            core: core.core.0,
            viewers: core.viewers,
            connections: core.connections,
            ring_bytes: core.ring_bytes,
            given_bytes_total: core.counters.given_bytes,
            turn_longest_us: micros(core.turn_longest),
            send_wait_us: micros(core.send_wait),
            is_saturated: core.is_saturated,
            saturations_total: core.counters.saturations,
            shed_total: core.counters.shed,
            refused_total: core.counters.refused,
            refused_at_bound_total: core.counters.refused_at_bound,
            accept_pauses_total: core.counters.accept_pauses,
            sent_bytes_total: core.counters.bytes_sent,
            busy_us_total: micros(
                Duration::try_from_secs_f64(core.tallies.turns().sum()).unwrap_or_default(),
            ),
        }
    }
}
