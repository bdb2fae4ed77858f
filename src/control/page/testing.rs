//! What the tests of pages start from.

use std::sync::Arc;

use crate::base::{Instant, WallTime};
use crate::engine::CoreId;
use crate::engine::snapshot::{ContinuityErrors, DatagramCounters};
use crate::engine::snapshot::{
    HealthPersistSnapshot, RecoverySnapshot, SessionPhase, SessionSnapshot, ViewerSnapshot,
};
use crate::lineup::{ChannelId, SourceId};
use crate::session::history::{
    Limits, Selections, SessionRecord, SourceFacts, SourceWindow, ViewerCounts, WriteCounters,
};
use crate::store::{ChannelRecord, Database, NewChannel, NewItem};

fn seconds(seconds: u64) -> WallTime {
    WallTime::from_unix_nanos(seconds * 1_000_000_000)
}

/// A database in memory with items of these keys and names.
pub(super) fn with_items(items: &[(&str, &str)]) -> Database {
    let mut database = Database::in_memory().unwrap();
    let items: Vec<_> = items
        .iter()
        .map(|(key, name)| NewItem {
            item_key: (*key).to_owned(),
            name: (*name).to_owned(),
            stream_url: format!("http://user:hunter2@host/{key}.ts"),
            attrs_json: "{}".to_owned(),
            ..NewItem::default()
        })
        .collect();
    database.refresh_items(&items, seconds(100)).unwrap();
    database
}

/// Channels 100, 101 and so on of items of these keys and names.
pub(super) fn channels_of(items: &[(&str, &str)]) -> Vec<ChannelRecord> {
    let mut database = with_items(items);
    for (key, _name) in items {
        let new = NewChannel { item_key: (*key).to_owned(), ..NewChannel::default() };
        database.create_channel(&new, 100, seconds(1)).unwrap();
    }
    database.channels().unwrap()
}

/// A source that was shown between these seconds.
pub(in crate::control) fn window(id: i64, from: u64, to: Option<u64>, reason: &str) -> Arc<SourceWindow> {
    let at = |seconds: u64| Instant::from_millis(seconds * 1_000);
    Arc::new(SourceWindow {
        source: SourceFacts {
            id: SourceId(id),
            item_key: String::new(),
            url: String::new(),
            name: std::sync::Arc::default(),
            mode: "direct",
            is_unverified: false,
            profile_name: None,
            startup: crate::source::startup_facts::StartupFacts::default(),
            profile: crate::ts::StreamProfile::default(),
        },
        selected_at: at(from),
        deselected_at: to.map(at),
        reason: reason.to_owned(),
    })
}

/// A session of the first channel that has shown these sources.
pub(super) fn record(id: u64, windows: Vec<Arc<SourceWindow>>) -> SessionRecord {
    SessionRecord {
        id,
        channel: ChannelId(1),
        guide_number: "100".to_owned(),
        guide_name: "News & <b>".to_owned(),
        tuner: Some(0),
        lost: std::time::Duration::ZERO,
        opened_at: windows.first().map_or(Instant::START, |window| window.selected_at),
        ended: None,
        viewers: ViewerCounts { peak: 2, total: 3, completed: 1 },
        writes: WriteCounters::default(),
        recovery_cycles: windows.len().saturating_sub(1) as u64,
        recovery_reason: String::new(),
        selections: Selections::default(),
        sources: windows,
        sources_truncated: 0,
        subscribers: Vec::new(),
        subscribers_truncated: 0,
        limits: Limits::default(),
    }
}

/// A session that goes on, with so many viewers.
pub(in crate::control) fn session(id: u64, windows: Vec<Arc<SourceWindow>>, viewers: u64) -> SessionSnapshot {
    let viewer = |id: u64| ViewerSnapshot {
        id,
        peer: format!("192.0.2.{}:4000", id % 250).parse().unwrap(),
        core: CoreId(0),
        joined_at: Instant::from_millis(3_000_000),
        bytes_sent: 3 << 20,
        lag_bytes: 2048,
        hls: None,
    };
    SessionSnapshot {
        record: record(id, windows),
        phase: SessionPhase::Live,
        bytes_read: 0,
        bytes_pushed: 0,
        chunks_pushed: 0,
        bitrate_bps: 8_100_000,
        last_byte_at: None,
        last_push_at: None,
        datagrams: DatagramCounters::default(),
        continuity: ContinuityErrors::default(),
        writer_pauses: 0,
        recovery: RecoverySnapshot::default(),
        health_persist: HealthPersistSnapshot::default(),
        viewers: (1..=viewers).map(viewer).collect(),
    }
}
