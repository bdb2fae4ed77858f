//! Viewers: in, out, and looked after.

use std::time::Duration;

use crate::http::stream_head;
use crate::ring::Lent;
use crate::session::Event;
use crate::session::history::{CloseReason, SubscriberWindow};
use crate::ts;
use crate::uring::{Driver, Hangup};

use crate::engine::connection::client::{ClientKey, ClientState, Sending, SessionKey, Viewer, ZeroCopyState};
use crate::engine::context::token::Token;
use crate::engine::core::Core;
use crate::engine::port::params::{SlowPolicy, ZeroCopy};

/// What the sweep finds to do for a viewer.
enum Finding {
    Fine,
    DurationOver,
    Blocked,
    Lagging,
}

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    /// Lets those who wait for a session watch it.
    pub(crate) fn admit(&mut self, session: SessionKey) {
        let Some(live) = self.sessions.get_mut(session) else { return };
        if live.start_of_joiner(self.params.egress.join_lag_bytes).is_none() {
            // Key pictures lie further apart than the ring is long: who comes between two of them waits for the next.
            return;
        }
        for client in std::mem::take(&mut live.waiting) {
            self.admit_one(session, client);
        }
    }

    fn admit_one(&mut self, session: SessionKey, key: ClientKey) {
        let Some(client) = self.clients.get(key) else { return };
        let ClientState::Waiting { session: waits_for, duration, number, joined_at } = client.state else {
            return;
        };
        if waits_for != session {
            return;
        }
        let zero_copy = match self.params.egress.zero_copy {
            ZeroCopy::Always => ZeroCopyState::On { copied_in_a_row: 0 },
            ZeroCopy::Auto if !client.is_local => ZeroCopyState::On { copied_in_a_row: 0 },
            ZeroCopy::Auto | ZeroCopy::Never => ZeroCopyState::Off,
        };
        let until = self.duration_limit(duration);
        let clock_now = self.clock_now();
        let Some(live) = self.sessions.get_mut(session) else { return };
        let Some(entry) = live.start_of_joiner(self.params.egress.join_lag_bytes) else {
            unreachable!("a session admits viewers once it has an entry point, and its ring keeps the newest")
        };
        let mut preamble = Vec::with_capacity(1024);
        stream_head(&mut preamble, live.tuner.unwrap_or_default());
        ts::write_join(&entry.state, &mut preamble);
        let position = entry.position;
        let promised = live.pace_line.promise(clock_now, position);
        let viewer = Viewer {
            session,
            number,
            position,
            preamble,
            sending: Sending::Nothing,
            is_queued: false,
            held: Vec::new(),
            zero_copy,
            progress_at: self.now,
            joined_at,
            promised,
            excused_ms: 0,
            until,
            bytes_sent: 0,
            skip_wanted: false,
        };
        if live.mark < position {
            // A joiner at the live edge does not wait for the next step of the mark.
            live.advance_mark();
        }
        if let Some(client) = self.clients.get_mut(key) {
            client.state = ClientState::Viewing(viewer);
        }
        self.tell_started(session, key);
        self.enqueue(key);
    }

    /// A client leaves its session, or is made to. The session may be forgotten with it.
    pub(crate) fn leave(&mut self, key: ClientKey, how: Hangup, reason: CloseReason) {
        self.note_gone(key, reason);
        let Some(client) = self.clients.remove(key) else { return };
        // What a zero-copy send left in the socket's queue would stay lent until an unknown peer acknowledges it,
        // and the writer would wait for that. When the stream is over there is no writer.
        let is_written = |viewer: &Viewer| {
            self.sessions.get(viewer.session).is_some_and(|live| live.lingers_until.is_none())
        };
        let holds = |viewer: &Viewer| {
            !viewer.held.is_empty() || matches!(viewer.sending, Sending::Stream { zero_copy: true, .. })
        };
        let holds_ring = client.viewer().is_some_and(|viewer| holds(viewer) && is_written(viewer));
        self.driver.close(client.handle, if holds_ring { Hangup::Reset } else { how });
        if let Some(session) = client.session() {
            self.forget_restreamer(session, key);
            self.uncount_viewer(session);
            self.session_event(session, Event::Left);
        }
    }

    /// Writes into its session's history that a viewer goes.
    pub(crate) fn note_gone(&mut self, key: ClientKey, reason: CloseReason) {
        let Some((session, viewer)) = self.clients.get(key).and_then(|client| client.subscriber()) else {
            return;
        };
        let Some(live) = self.sessions.get_mut(session) else { return };
        live.history.detach(SubscriberWindow { left: Some((self.now, reason)), ..viewer });
        self.tell_gone(session, key, reason);
    }

    pub(crate) fn uncount_viewer(&mut self, session: SessionKey) {
        if let Some(live) = self.sessions.get_mut(session) {
            live.stats.viewers_now = live.stats.viewers_now.saturating_sub(1);
            live.promises_changed = true;
        }
        self.forget_if_over(session);
    }

    /// Looks at every viewer: ten times a second is often enough for limits of whole seconds.
    pub(crate) fn sweep(&mut self) {
        self.keep_promises();
        let found: Vec<_> = self
            .clients
            .iter()
            .filter_map(|(key, client)| client.viewer().map(|viewer| (key, self.look_at(viewer))))
            .filter(|(_, finding)| !matches!(finding, Finding::Fine))
            .collect();
        for (key, finding) in found {
            match finding {
                Finding::Fine => {}
                Finding::DurationOver => self.leave(key, Hangup::Finish, CloseReason::SessionClosed),
                Finding::Blocked => self.end_blocked(key),
                Finding::Lagging => self.end_or_skip_lagging(key),
            }
        }
        self.retire_rings();
        self.repeat_child_stops();
        self.use_profiles();
    }

    fn look_at(&self, viewer: &Viewer) -> Finding {
        if viewer.until.is_some_and(|until| until <= self.now) {
            return Finding::DurationOver;
        }
        let Some(live) = self.sessions.get(viewer.session) else { return Finding::Fine };
        let blocked_for = self.now - viewer.progress_at;
        let in_flight = viewer.sending != Sending::Nothing;
        let is_over = |limit: Duration| blocked_for >= limit.max(live.patience);
        if in_flight && self.params.egress.max_blocked_write.is_some_and(is_over) {
            return Finding::Blocked;
        }
        if let Some(until) = live.lingers_until {
            // Nothing is written any more, so nobody can fall out of the ring.
            return if until <= self.now { Finding::DurationOver } else { Finding::Fine };
        }
        if live.ring.filled().saturating_sub(viewer.position) + live.swept_bytes() > live.ring.capacity() {
            return Finding::Lagging;
        }
        Finding::Fine
    }

    fn end_blocked(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get(key) else { return };
        let Some(viewer) = client.viewer() else { return };
        if let Some(live) = self.sessions.get_mut(viewer.session) {
            live.stats.writes.deadline_timeouts += 1;
        }
        self.leave(key, Hangup::Reset, CloseReason::StreamWriteError);
    }

    fn end_or_skip_lagging(&mut self, key: ClientKey) {
        let policy = self.params.egress.slow_policy;
        let Some(viewer) = self.clients.get_mut(key).and_then(|client| client.viewer_mut()) else { return };
        match (policy, viewer.sending) {
            (SlowPolicy::Skip, Sending::Stream { op, .. }) => {
                viewer.skip_wanted = true;
                self.driver.cancel(op);
            }
            // What goes before the stream must arrive whole; the blocked-write limit bounds it.
            (SlowPolicy::Skip, Sending::Preamble(_)) => {}
            (SlowPolicy::Skip, Sending::Nothing) => {
                viewer.skip_wanted = true;
                self.enqueue(key);
            }
            (SlowPolicy::Disconnect, _) => {
                self.leave(key, Hangup::Reset, CloseReason::SlowClientLagged);
            }
        }
    }

    /// The writer of a session cannot go on because spans that begin before `below` are lent: their holders are a
    /// ring behind. Sends are cancelled; what lies in a socket's queue can only be had back by a reset.
    pub(crate) fn free_spans(&mut self, session: SessionKey, below: u64) {
        if let Some(live) = self.sessions.get_mut(session) {
            live.stats.writer_pauses += 1;
        }
        let holders: Vec<_> = self
            .clients
            .iter()
            .filter_map(|(key, client)| client.viewer().map(|viewer| (key, viewer)))
            .filter(|(_, viewer)| viewer.session == session)
            .filter_map(|(key, viewer)| match viewer.sending {
                _ if viewer.held.iter().any(|&held| held < below) => Some((key, None)),
                Sending::Stream { op, .. } if viewer.position < below => Some((key, Some(op))),
                Sending::Stream { .. } | Sending::Preamble(_) | Sending::Nothing => None,
            })
            .collect();
        for (key, op) in holders {
            match op {
                Some(op) => {
                    if self.params.egress.slow_policy == SlowPolicy::Skip
                        && let Some(viewer) = self.clients.get_mut(key).and_then(|client| client.viewer_mut())
                    {
                        viewer.skip_wanted = true;
                    }
                    self.driver.cancel(op);
                }
                None => {
                    self.leave(key, Hangup::Reset, CloseReason::SlowClientLagged);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Instant;
    use crate::engine::testing::{add_session, add_viewer, core};
    use crate::uring::Operation;

    #[test]
    fn whoever_could_be_sent_nothing_while_the_core_stood_still_is_late_for_as_long_until_it_has_caught_up() {
        let (mut core, handle) = core();
        let session = add_session(&mut core, 1);
        let key = add_viewer(&mut core, session, handle);
        let live = core.sessions.get_mut(session).unwrap();
        for second in 0..60 {
            live.pace_line.note(second * 100_000, Duration::from_secs(second));
        }
        let free_at = |core: &mut Core<_>| {
            let live = core.sessions.get_mut(session).unwrap();
            live.pace_line.free_at(1_000_000).unwrap().as_millis()
        };
        core.now = Instant::from_millis(4000);
        core.clients.get_mut(key).unwrap().viewer_mut().unwrap().position = 400_000;
        core.sweep();
        assert_eq!(free_at(&mut core), 10_300);
        core.excuse_viewers(Duration::from_secs(7));
        core.now = Instant::from_millis(11_000);
        assert_eq!(free_at(&mut core), 17_300, "it has had nothing for so long");
        core.sweep();
        assert_eq!(free_at(&mut core), 17_300);
        core.now = Instant::from_millis(12_000);
        core.clients.get_mut(key).unwrap().viewer_mut().unwrap().position = 1_000_000;
        core.sweep();
        assert_eq!(free_at(&mut core), 12_300, "it takes it faster than it is played");
        core.clients.get_mut(key).unwrap().viewer_mut().unwrap().position = 1_400_000;
        core.sweep();
        assert_eq!(free_at(&mut core), 10_300, "it has caught up");
    }

    #[test]
    fn patience_with_a_blocked_viewer_follows_the_rate_of_its_programme() {
        // 64 kbit/s, of which a socket's step lasts for 24 s; and 8 Mbit/s.
        for (bytes_per_second, goes_after) in [(8000, 25), (1_000_000, 2)] {
            let (mut core, handle) = core();
            core.params.egress.max_blocked_write = Some(Duration::from_secs(2));
            let session = add_session(&mut core, 1);
            let key = add_viewer(&mut core, session, handle);
            let poll = Operation::AwaitHangup { socket: handle };
            let Ok(op) = core.driver.push(poll, Token::Send(key.into())) else { panic!("there is room") };
            core.clients.get_mut(key).unwrap().viewer_mut().unwrap().sending = Sending::Preamble(op);
            let live = core.sessions.get_mut(session).unwrap();
            live.machine.handle(Instant::START, Event::Joined, &mut crate::engine::testing::NoSources);
            live.pace_line.note(0, Duration::ZERO);
            live.pace_line.note(bytes_per_second, Duration::from_secs(1));
            for second in 1..goes_after + 2 {
                core.now = Instant::from_millis(second * 1000);
                core.sweep();
                let is_there = core.clients.get(key).is_some();
                assert_eq!(is_there, second < goes_after, "{bytes_per_second} B/s after {second} s");
            }
        }
    }
}
