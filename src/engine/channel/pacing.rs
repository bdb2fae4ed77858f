//! How fast the source is read and how large the ring is, so that nobody is overtaken who takes the programme at its own rate.

use std::time::Duration;

use crate::base::limits::{READ_BYTES_MAX, RING_GROWTH_BYTES_MAX};
use crate::engine::border::feed::GROWTH_SIXTEENTHS;
use crate::engine::context::cx::{CoreDriver, Cx};

use super::Channel;

/// The longest rest for the sake of viewers: then it is looked again.
const REST_MAX: Duration = Duration::from_millis(250);
/// A source that is behind by more than this, and has waited for as long because the ring is small, gets a larger one.
const BEHIND_MAX: Duration = Duration::from_secs(1);

impl Channel {
    /// How many bytes are read from the source at once.
    pub(super) fn room(&self) -> usize {
        self.upstream.run().map_or(READ_BYTES_MAX, |run| run.ingest().read_bytes())
    }

    /// True when the source would be read and is not yet to be: viewers are not that far.
    pub(super) fn is_paused<D: CoreDriver>(&mut self, cx: &mut Cx<D>) -> bool {
        let now = cx.clock_now();
        let Some(run) = self.upstream.run_mut() else { return false };
        if run.selected_at().is_none() || !run.wants_bytes() {
            return false;
        }
        if let Some(until) = run.ingest_mut().pacer().rests_until(now) {
            run.rest(Some(cx.time.of(until)));
            self.arm(cx);
            return true;
        }
        self.is_too_early(cx, self.room())
    }

    /// True when `bytes` more of the source would overwrite what viewers have a right to.
    pub(super) fn is_too_early<D: CoreDriver>(&mut self, cx: &mut Cx<D>, bytes: usize) -> bool {
        let now = cx.clock_now();
        let Some(free_at) = self.feed.free_at(bytes).filter(|free_at| *free_at > now) else { return false };
        let Some(run) = self.upstream.run_mut() else { return false };
        if run.ingest_mut().pacer().behind() > BEHIND_MAX && run.waited() > BEHIND_MAX {
            run.set_waited(Duration::ZERO);
            if self.enlarge(cx, self.feed.capacity() / 16 * (GROWTH_SIXTEENTHS + 3)) {
                return false;
            }
        }
        let Some(run) = self.upstream.run_mut() else { return false };
        let rest = (free_at - now).min(REST_MAX);
        run.rest(Some(cx.time.of(now + rest)));
        run.set_waited(run.waited() + rest);
        self.arm(cx);
        true
    }

    /// Sees to it that the ring is large enough for its stream.
    pub(super) fn fit_ring<D: CoreDriver>(&mut self, cx: &mut Cx<D>) {
        if let Some(bytes) = self.feed.larger(cx.params.egress.join_lag_bytes) {
            self.enlarge(cx, bytes);
        }
    }

    /// True when the ring has become larger.
    fn enlarge<D: CoreDriver>(&mut self, cx: &mut Cx<D>, wanted: u64) -> bool {
        let bytes = wanted.min(cx.params.ring_bytes().saturating_add(RING_GROWTH_BYTES_MAX));
        if bytes <= self.feed.capacity() || self.feed.ring().is_reserved() {
            return false;
        }
        if self.share.as_mut().is_some_and(|share| !share.grow_to(cx.params.ring_memory_bytes(bytes))) {
            if !std::mem::replace(&mut self.has_met_the_bound, true) {
                let text = "ring stays small: the rings of all channels have all memory they may (RING_MEMORY_BYTES)";
                log::warn!("{}", self.about().line(text).field("wanted_bytes", bytes));
            }
            return false;
        }
        let ring = match usize::try_from(bytes)
            .map_err(|_| nix::Error::ENOMEM)
            .and_then(|bytes| self.feed.ring().enlarged(bytes))
        {
            Ok(ring) => ring,
            Err(error) => {
                log::warn!("{}", self.about().line("no memory for a larger ring").field("error", error));
                return false;
            }
        };
        let line = self.about().line("ring is enlarged").field("from_bytes", self.feed.capacity());
        log::info!("{}", line.field("to_bytes", ring.capacity()));
        let old = self.feed.replace_ring(ring);
        cx.retire(old.reader());
        true
    }
}
