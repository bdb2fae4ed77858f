//! What was staged of a selected source moves into the ring.

use crate::base::limits::{PACKET_BYTES, READ_BYTES_MAX};
use crate::ring::Lent;
use crate::uring::Driver;

use crate::engine::connection::client::SessionKey;
use crate::engine::context::token::Token;
use crate::engine::core::Core;
use crate::engine::source::upstream::SourceRun;

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    /// Writes what comes before a run's first packet. True when nothing of it is left.
    fn write_prologue(&mut self, session: SessionKey) -> bool {
        let Some(live) = self.sessions.get_mut(session) else { return false };
        let prologue = std::mem::take(&mut live.prologue);
        if prologue.is_empty() || self.write(session, &prologue) {
            return true;
        }
        if let Some(live) = self.sessions.get_mut(session) {
            live.prologue = prologue;
        }
        false
    }

    /// Moves what was staged of a selected source into the ring. True when nothing of it is left.
    pub(crate) fn pour(&mut self, session: SessionKey) -> bool {
        let now = self.now;
        let Some(live) = self.sessions.get_mut(session) else { return false };
        if live.filling.is_some() {
            // It is about to be stopped.
            return false;
        }
        live.begin_run(now);
        if !self.write_prologue(session) {
            return false;
        }
        loop {
            let Some(live) = self.sessions.get_mut(session) else { return false };
            let Some(source) = &mut live.source else { return false };
            let Some(staging) = &mut source.staging else { return true };
            // A start that time alone has decided finds a read on its way, and what it brings belongs here: behind what is undecided,
            // which has not moved then.
            let is_read = source.io.is_busy();
            let left = if is_read { staging.packets().len() } else { staging.left() };
            let count = left.min(READ_BYTES_MAX);
            if count == 0 {
                if is_read {
                    return false;
                }
                source.staging = None;
                return true;
            }
            if self.is_too_early(session, count) {
                return false;
            }
            let Some(span) = self.reserve(session, count) else { return false };
            let now = self.now;
            let Some(live) = self.sessions.get_mut(session) else { return false };
            let Some(SourceRun { ingest, staging: Some(staging), .. }) = &mut live.source else {
                return false;
            };
            let offset = usize::try_from(live.ring.pending_bytes()).expect("less than the ring");
            live.ring.received(span, count);
            let pending = live.ring.pending();
            staging.pour(&mut pending[offset..]);
            let held = usize::try_from(ingest.held()).map_or(usize::MAX, |held| held).min(offset + count);
            let packets = held - held % PACKET_BYTES;
            live.release(now, packets, offset + count - packets);
            // Else the first bytes after it, whatever they are, would pass for what this was.
            live.observe(now);
            self.admit_late(session);
            self.publish(session);
        }
    }
}
