//! Those who fetch a segment: a span of the ring behind a head and the tables, and then the next request or the end.
//!
//! They are sent to as viewers are, by the same ways. They are nobody's viewers: who asks for segments is told from who asks for lists.

use crate::engine::border::feed::View;
use crate::engine::context::cx::{CoreDriver, Cx};
use crate::engine::context::post::{Taken, ToChannel, Word};
use crate::hls::Segment;
use crate::http::{Persistence, hls_segment_head};
use crate::ts;
use crate::uring::Hangup;

use super::{Goal, Outlet, Viewer, ViewerKey, ViewerState, Watching, Way};

/// The bytes of a segment with the tables before it, which are not in the ring.
pub(crate) fn segment_bytes(segment: &Segment<ts::Snapshot>) -> u64 {
    tables(segment).len() as u64 + (segment.end - segment.start)
}

fn tables(segment: &Segment<ts::Snapshot>) -> Vec<u8> {
    let mut tables = Vec::with_capacity(512);
    ts::write_join(&segment.state, &mut tables);
    tables
}

impl Outlet {
    /// Somebody gets a segment, and then may ask for more where its connection is kept.
    pub(crate) fn fetch<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        feed: &View,
        (taken, persistence): (Taken, Persistence),
        viewers: usize,
        segment: &Segment<ts::Snapshot>,
    ) {
        let Taken { handle, peer, is_local } = taken;
        let mut preamble = Vec::with_capacity(1024);
        hls_segment_head(&mut preamble, persistence, segment_bytes(segment));
        preamble.extend_from_slice(&tables(segment));
        let way = Way::first(cx.params.egress.zero_copy, cx.params.segments, is_local, viewers);
        let promised = feed.offset(cx.clock_now(), segment.start);
        let goal = Goal::Span(segment.end, persistence);
        let watching = Watching::from(segment.start, preamble, way, goal, promised, cx.now);
        let state = ViewerState::Watching(watching);
        // It has no number: those who have one begin with 1.
        let viewer =
            Viewer { handle, peer, is_local, takes_interim: false, number: 0, joined_at: cx.now, state };
        let Ok(key) = self.viewers.insert(viewer) else {
            unreachable!("there are as many places as the core counts")
        };
        // Nobody waits for its hang-up: until it has everything something is being sent to it, and that fails.
        self.enqueue(cx, key);
    }

    /// Somebody has a segment, or does not get it.
    pub(super) fn end_fetch<D: CoreDriver>(&mut self, cx: &mut Cx<D>, key: ViewerKey, how: Hangup) {
        let Some(fetch) = self.viewers.remove(key) else { return };
        let Viewer { handle, peer, is_local, .. } = fetch;
        if fetch.watching().is_some_and(Watching::may_ask_for_more) {
            cx.post.say(Word::Served(Taken { handle, peer, is_local }));
        } else {
            cx.driver.close(handle, how);
            cx.free_place();
        }
        // A session that is over lasts until nothing of its ring is sent any more.
        cx.post.say(Word::Channel(self.channel, ToChannel::Fetched));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Instant;
    use crate::engine::port::params::SlowPolicy;
    use crate::ring::PaceLine;

    #[test]
    fn whoever_fetches_a_segment_is_promised_nothing_and_never_skips() {
        let promised = PaceLine::new(1 << 20).offset(Instant::from_millis(5), 0);
        let begun = |goal| Watching::from(0, Vec::new(), Way::Copy, goal, promised, Instant::from_millis(5));
        let (fetch, viewer) = (begun(Goal::Span(1880, Persistence::Close)), begun(Goal::Endless));
        assert_eq!((fetch.pace(), viewer.pace()), (None, Some(promised)));
        for (persistence, position, asks) in [
            (Persistence::KeepAlive, 1880, true),
            // Not all of it has been sent.
            (Persistence::KeepAlive, 1692, false),
            (Persistence::Close, 1880, false),
        ] {
            let fetch = Watching { position, ..begun(Goal::Span(1880, persistence)) };
            assert_eq!(fetch.may_ask_for_more(), asks, "{persistence:?} at {position}");
            let behind_its_head = Watching { preamble: vec![0], ..fetch };
            assert!(!behind_its_head.may_ask_for_more(), "{persistence:?} at {position}");
        }
        assert!(!viewer.may_ask_for_more());
        for is_saturated in [false, true] {
            assert_eq!(fetch.policy(SlowPolicy::Skip, is_saturated), SlowPolicy::Disconnect);
            assert_eq!(viewer.policy(SlowPolicy::Disconnect, is_saturated), SlowPolicy::Skip);
        }
    }
}
