//! A response that refuses the stream: its status, and what its body says.

use std::time::Duration;

use crate::base::Instant;
use crate::base::limits::PREVIEW_BYTES_MAX;
use crate::source::direct::exchange::Exchange;
use crate::source::error::SourceError;
use crate::source::sniff::preview;

/// A refusal whose words are being collected.
pub(super) struct Refusal {
    status: u16,
    retry_after: Option<Duration>,
    body: Vec<u8>,
    deadline: Instant,
}

impl Refusal {
    /// `budget` is the time left for the whole start.
    pub(super) fn new(status: u16, retry_after: Option<Duration>, now: Instant, budget: Duration) -> Self {
        let wait = budget.clamp(PREVIEW_WAIT_MIN, PREVIEW_WAIT_MAX);
        Self { status, retry_after, body: Vec::new(), deadline: now + wait }
    }

    pub(super) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Takes what waits. True when nothing more is needed.
    pub(super) fn collect(&mut self, exchange: &mut Exchange) -> bool {
        while self.body.len() < BODY_BYTES_MAX {
            let start = self.body.len();
            self.body.resize(BODY_BYTES_MAX, 0);
            // A refusal that cannot be read is still a refusal.
            let part = exchange.take(&mut self.body[start..]);
            self.body.truncate(start + part.as_ref().map_or(0, |part| part.kept));
            match part {
                Ok(part) if part.finished => return true,
                Ok(_) if exchange.waiting() > 0 => {}
                Ok(_) => return false,
                Err(_) => return true,
            }
        }
        true
    }

    /// The failure it is.
    pub(super) fn failure(&self) -> SourceError {
        SourceError::status(self.status, &preview(&self.body), self.retry_after)
    }
}

/// More than is shown: redaction and white space shorten it.
const BODY_BYTES_MAX: usize = 2 * PREVIEW_BYTES_MAX;
/// The words come with the head or right after it; the next source is waiting to be tried.
const PREVIEW_WAIT_MAX: Duration = Duration::from_millis(500);
/// Given even when the time is up: the status is known, and 50 ms for the reason are well spent.
const PREVIEW_WAIT_MIN: Duration = Duration::from_millis(50);
