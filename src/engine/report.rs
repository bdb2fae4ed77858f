//! A core's snapshot of itself.

use std::collections::BTreeMap;

use crate::base::redact;
use crate::ring::Lent;
use crate::session::State;
use crate::uring::Driver;

use super::core::Core;
use super::live::LiveSession;
use super::snapshot::{CoreSnapshot, SessionPhase, SessionSnapshot, SourceSnapshot, ViewerSnapshot};
use super::token::Token;

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    pub(crate) fn snapshot(&self) -> CoreSnapshot {
        let mut viewers: BTreeMap<u64, Vec<ViewerSnapshot>> = BTreeMap::new();
        let mut connections = 0;
        for (_, client) in self.clients.iter() {
            let Some(viewer) = client.viewer() else {
                connections += 1;
                continue;
            };
            let head = self.sessions.get(viewer.session).map_or(viewer.position, |live| live.ring.head());
            viewers.entry(viewer.session.to_bits()).or_default().push(ViewerSnapshot {
                id: viewer.number,
                peer: client.peer,
                joined_at: viewer.joined_at,
                bytes_sent: viewer.bytes_sent,
                lag_bytes: head.saturating_sub(viewer.position),
            });
        }
        let mut sessions: Vec<_> = self
            .sessions
            .iter()
            .map(|(key, live)| {
                self.session_snapshot(live, viewers.remove(&key.to_bits()).unwrap_or_default())
            })
            .collect();
        sessions.sort_by_key(|session| session.id);
        CoreSnapshot {
            core: self.id,
            at: self.now,
            counters: self.counters,
            sessions,
            connections,
            tuners_in_use: self.tuners.as_ref().map(|tuners| tuners.pool.in_use()),
            tuner_count: self.tuners.as_ref().map(|tuners| tuners.pool.capacity()),
        }
    }

    fn session_snapshot(&self, live: &LiveSession, mut viewers: Vec<ViewerSnapshot>) -> SessionSnapshot {
        viewers.sort_by_key(|viewer| viewer.id);
        let stats = &live.stats;
        SessionSnapshot {
            id: live.id.0,
            tuner: live.tuner,
            channel: live.channel.id,
            guide_number: live.channel.guide_number.clone(),
            guide_name: live.channel.name.clone(),
            phase: match live.machine.state() {
                State::AwaitingTuner | State::Starting => SessionPhase::Starting,
                State::Live | State::Recovering => SessionPhase::Live,
                State::Idle { .. } => SessionPhase::Idle,
                State::Ended => SessionPhase::Ending,
            },
            started_at: live.started_at,
            source: self.source_snapshot(live),
            bytes_read: stats.bytes_read,
            bytes_pushed: live.ring.head(),
            chunks_pushed: stats.chunks_pushed,
            last_byte_at: stats.last_byte_at,
            last_push_at: stats.last_push_at,
            slow_skip_events: stats.slow_skip_events,
            slow_skip_lag_bytes: stats.slow_skip_lag_bytes,
            write_timeouts: stats.write_timeouts,
            writer_pauses: stats.writer_pauses,
            source_selects: stats.source_selects,
            viewers_peak: stats.viewers_peak,
            viewers_total: stats.viewers_total,
            viewers,
        }
    }

    fn source_snapshot(&self, live: &LiveSession) -> Option<SourceSnapshot> {
        let run = live.source.as_ref()?;
        let selected_at = run.selected_at?;
        let source = &live.channel.sources[run.index];
        let inventory = run.ingest.inspector.inventory();
        let elapsed_ms = u64::try_from((self.now - selected_at).as_millis()).unwrap_or(u64::MAX).max(1);
        Some(SourceSnapshot {
            id: source.id,
            item_key: source.item_key.clone(),
            url: redact::url(&source.url),
            mode: run.opening.name(),
            selected_at,
            select_reason: live.machine.record().last_select_reason.clone().unwrap_or_default(),
            startup_bytes: run.startup_bytes,
            video_codecs: inventory.video_codecs.to_string(),
            audio_codecs: inventory.audio_codecs.to_string(),
            video_streams: u32::try_from(inventory.video_streams).unwrap_or(u32::MAX),
            audio_streams: u32::try_from(inventory.audio_streams).unwrap_or(u32::MAX),
            component_state: inventory.component_state().as_str(),
            bytes_since_select: run.ingest.bytes_committed,
            bitrate_bps: run.ingest.bytes_committed.saturating_mul(8000) / elapsed_ms,
        })
    }
}
