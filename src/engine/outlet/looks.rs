//! Viewers are looked after: whoever takes nothing, falls behind or has had what it wanted is found.

use std::time::Duration;

use crate::base::Instant;
use crate::engine::border::feed::View;
use crate::engine::context::cx::{CoreDriver, Cx};
use crate::engine::context::token::ViewerRef;
use crate::engine::port::params::SlowPolicy;
use crate::ring::Offset;
use crate::session::history::CloseReason;
use crate::uring::Hangup;

use super::{Goal, Outlet, Sending, Viewer, ViewerKey, Watching};

/// What is found to be done for a viewer.
enum Finding {
    Fine,
    /// It has watched for as long as it wanted to.
    Satisfied,
    /// The stream is over, and so is the time in which the rest of it may be had.
    Over,
    Blocked,
    Lagging,
}

impl Outlet {
    /// Looks at every viewer: ten times a second is often enough for limits of whole seconds.
    pub(crate) fn sweep<D: CoreDriver>(&mut self, cx: &mut Cx<D>, feed: &View) {
        let found: Vec<_> = self
            .viewers
            .iter()
            .filter_map(|(key, viewer)| viewer.watching().map(|watching| (key, look_at(cx, feed, watching))))
            .filter(|(_, finding)| !matches!(finding, Finding::Fine))
            .collect();
        for (key, finding) in found {
            match finding {
                Finding::Fine => {}
                Finding::Satisfied => self.end_after_packet(cx, key),
                Finding::Over => {
                    self.leave(cx, feed, key, Hangup::Finish, CloseReason::SessionClosed);
                }
                Finding::Blocked => {
                    self.writes.deadline_timeouts += 1;
                    cx.tallies_mut().timed_out();
                    self.leave(cx, feed, key, Hangup::Reset, CloseReason::StreamWriteError);
                }
                Finding::Lagging => self.end_or_skip_lagging(cx, feed, key),
            }
        }
    }

    /// When each of its viewers came. Whoever fetches a segment would only fetch it again.
    pub(crate) fn joined(&self) -> impl Iterator<Item = (Instant, ViewerRef)> {
        let viewers = self.viewers.iter().filter(|(_, viewer)| !viewer.is_fetch());
        viewers.map(|(key, viewer)| (viewer.joined_at, self.at(key)))
    }

    /// Ends a viewer's stream: the core has too many.
    pub(crate) fn shed<D: CoreDriver>(&mut self, cx: &mut Cx<D>, feed: &View, viewer: ViewerRef) {
        let key = ViewerKey::from_bits(viewer.viewer);
        self.leave(cx, feed, key, Hangup::Finish, CloseReason::CoreSaturated);
    }

    /// Ends a viewer's stream with a whole packet: what was on its way is cut short, and the packet it was cut in is completed.
    fn end_after_packet<D: CoreDriver>(&mut self, cx: &mut Cx<D>, key: ViewerKey) {
        let Some(viewer) = self.viewers.get_mut(key).and_then(Viewer::watching_mut) else { return };
        viewer.is_ending = true;
        match viewer.sending {
            Sending::Stream { op, .. } | Sending::Room(op) => cx.driver.cancel(op),
            Sending::Preamble(_) => {}
            Sending::Nothing => self.enqueue(cx, key),
        }
    }

    fn end_or_skip_lagging<D: CoreDriver>(&mut self, cx: &mut Cx<D>, feed: &View, key: ViewerKey) {
        let Some(viewer) = self.viewers.get_mut(key).and_then(Viewer::watching_mut) else { return };
        match (viewer.policy(cx.params.egress.slow_policy, cx.is_saturated()), viewer.sending) {
            (SlowPolicy::Skip, Sending::Stream { op, .. } | Sending::Room(op)) => {
                viewer.skip_wanted = true;
                cx.driver.cancel(op);
            }
            // What goes before the stream must arrive whole; the blocked-write limit bounds it.
            (SlowPolicy::Skip, Sending::Preamble(_)) => {}
            (SlowPolicy::Skip, Sending::Nothing) => {
                viewer.skip_wanted = true;
                self.enqueue(cx, key);
            }
            (SlowPolicy::Disconnect, _) => {
                self.leave(cx, feed, key, Hangup::Reset, CloseReason::SlowClientLagged);
            }
        }
    }

    /// The core could not run for so long. Viewers who had nothing left in their sockets have taken nothing meanwhile. Gives the
    /// pace of the latest of them.
    pub(crate) fn excuse(&mut self, lost: Duration) -> Option<Offset> {
        let lost_ms = u32::try_from(lost.as_millis()).unwrap_or(u32::MAX);
        let mut latest = None;
        for (_, viewer) in self.viewers.iter_mut() {
            let Some(watching) = viewer.watching_mut() else { continue };
            watching.excused_ms = watching.excused_ms.saturating_add(lost_ms);
            self.has_excused = true;
            latest = latest.max(watching.pace());
        }
        latest
    }

    /// Whoever has caught up is not late any more, and nothing need wait for it.
    fn end_excuses(&mut self, clock_now: Instant, feed: &View) {
        if !std::mem::take(&mut self.has_excused) {
            return;
        }
        for (_, viewer) in self.viewers.iter_mut() {
            let Some(watching) = viewer.watching_mut().filter(|watching| watching.excused_ms > 0) else {
                continue;
            };
            let late = feed.lateness(clock_now, watching.position, watching.promised);
            let late_ms = u32::try_from(late.as_millis()).unwrap_or(u32::MAX);
            self.promises_changed |= late_ms < watching.excused_ms;
            watching.excused_ms = watching.excused_ms.min(late_ms);
            self.has_excused |= watching.excused_ms > 0;
        }
    }

    /// The pace of the latest of those who are there, if what is promised has changed: what was promised to those who have left is
    /// not to be kept.
    pub(crate) fn promises(&mut self, clock_now: Instant, feed: &View) -> Option<Option<Offset>> {
        self.end_excuses(clock_now, feed);
        let changed = self.promises_changed.then(|| self.latest());
        self.promises_changed = false;
        changed
    }

    /// The pace of the latest of those who are there.
    pub(crate) fn latest(&self) -> Option<Offset> {
        self.viewers.iter().filter_map(|(_, viewer)| viewer.watching().and_then(Watching::pace)).max()
    }
}

fn look_at<D: CoreDriver>(cx: &Cx<D>, feed: &View, viewer: &Watching) -> Finding {
    if !viewer.is_ending && matches!(viewer.goal, Goal::Until(until) if until <= cx.now) {
        return Finding::Satisfied;
    }
    let blocked_for = cx.now - viewer.progress_at;
    let in_flight = viewer.sending != Sending::Nothing || viewer.is_ending;
    let is_over = |limit: Duration| blocked_for >= limit.max(feed.patience());
    if in_flight && cx.params.egress.max_blocked_write.is_some_and(is_over) {
        return Finding::Blocked;
    }
    if let Some(until) = feed.lingers_until() {
        // Nothing is written any more, so nobody can fall out of the ring.
        return if until <= cx.now { Finding::Over } else { Finding::Fine };
    }
    if feed.is_nearly_lost(viewer.position) {
        return Finding::Lagging;
    }
    Finding::Fine
}
