//! What is known of sources is handed to the store, in the background.

use crate::engine::context::token::Token;
use crate::engine::port::messages::ControlRequest;
use crate::health::News;
use crate::ring::Lent;
use crate::uring::Driver;

use super::Core;

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    /// Hands over what is due, and ends when everything else has ended.
    pub(super) fn flush_health(&mut self) {
        self.end_health();
        let cx = &mut self.cx;
        if let Some(batch) = cx.health.take_batch(cx.now) {
            let seq = batch.seq;
            let request = ControlRequest::PersistHealth { core: cx.id, seq, rows: batch.rows };
            if cx.request(request).is_err() {
                cx.health.refused(cx.now, seq);
            }
        }
        self.log_health_news();
    }

    /// The end of a drain: nothing can happen to a source any more, and what has is written now or never.
    fn end_health(&mut self) {
        let Some(deadline) = self.draining else { return };
        if !self.is_empty() && self.cx.now < deadline {
            return;
        }
        let (id, timeout) = (self.cx.id.0, self.cx.params.health_drain_timeout);
        let Some(written) = self.cx.health.end(self.cx.now, deadline, timeout) else { return };
        let is_whole = !written.timed_out && written.dropped == 0;
        log::log!(
            if is_whole { log::Level::Info } else { log::Level::Warn },
            "msg=\"source health stored\" core={id} drained={} dropped={} timed_out={} duration={:?}",
            written.drained,
            written.dropped,
            written.timed_out,
            written.duration,
        );
    }

    pub(super) fn log_health_news(&mut self) {
        let remarks = &self.cx.params.room.remarks;
        match self.cx.health.take_news() {
            Some(News::Failing { reason }) if remarks.store_fails() => {
                log::error!("the health of sources cannot be stored and is kept in memory only: {reason}");
            }
            Some(News::WorksAgain) if remarks.store_works() => {
                log::info!("the health of sources is stored again");
            }
            // Another core has said it.
            Some(News::Failing { .. } | News::WorksAgain) | None => {}
        }
    }
}

#[cfg(test)]
mod tests;
