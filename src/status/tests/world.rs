//! Snapshots to be shown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::super::{DrainWait, Moment, TunerStatusSnapshot};
use crate::base::{Instant, WallTime};
use crate::engine::snapshot::{
    ContinuityErrors, CoreCounters, CoreSnapshot, DatagramCounters, HealthPersistSnapshot, KeepaliveReport,
    LeaseSnapshot, PlacesInUse, RecoverySnapshot, SessionPhase, SessionSnapshot, TransitionSnapshot,
    TunersSnapshot, ViewerSnapshot,
};
use crate::engine::{CoreId, SessionId};
use crate::filler::{KeepaliveTotals, Mode};
use crate::lineup::{ChannelId, PlaylistId, SourceId, StreamProfile};
use crate::session::history::{
    CloseReason, ClosedSessions, ClosedSnapshot, Ended, Limits, Outcome, Selections, SessionRecord,
    SourceFacts, SourceWindow, SubscriberWindow, ViewerCounts, WriteCounters,
};
use crate::source::cutover::Cutover;
use crate::source::startup_facts::{Method, StartupFacts};
use crate::ts::Codec;
use crate::ts::es::FrameRate;
use crate::tuner::pool::Kind;

pub(super) fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// 20:15 of the day the clock was started at 20:00.
pub(super) fn moment() -> Moment {
    Moment { at: at(900_000), wall: WallTime::from_unix_nanos(1_772_396_100_000_000_000) }
}

pub(super) fn shown(cores: &[CoreSnapshot]) -> String {
    let is_unverified = cores.iter().any(|core| !core.sessions.is_empty());
    let answer = TunerStatusSnapshot::new(cores, DrainWait::default(), moment()).unverified(is_unverified);
    serde_json::to_string(&answer).unwrap()
}

pub(super) fn json(cores: &[CoreSnapshot]) -> Value {
    serde_json::from_str(&shown(cores)).unwrap()
}

pub(super) fn peer(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 168, 1, 10], port))
}

pub(super) fn viewer(id: u64, joined_millis: u64) -> ViewerSnapshot {
    let port = 40_000 + u16::try_from(id).unwrap();
    ViewerSnapshot {
        id,
        peer: peer(port),
        core: CoreId(0),
        joined_at: at(joined_millis),
        bytes_sent: 0,
        lag_bytes: 0,
        hls: None,
    }
}

pub(super) fn gone(id: u64, reason: CloseReason) -> SubscriberWindow {
    let left = Some((at(510_400), reason));
    SubscriberWindow { id, peer: peer(51_512), connected_at: at(360_000), left }
}

/// A source whose start has shown everything there is to see.
pub(super) fn source(id: i64) -> SourceFacts {
    SourceFacts {
        id: SourceId(id),
        item_key: "src:news.one:5b1f0c2d9a7e".to_owned(),
        url: "http://cdn-b.example:8080/live/news-one.ts".to_owned(),
        name: std::sync::Arc::default(),
        mode: "ffmpeg-copy",
        is_unverified: true,
        profile_name: Some("hd".into()),
        startup: StartupFacts {
            cutover: Cutover { raw: 188_000, trimmed: 150_400, offset: 37_600, dropped: 37_600 },
            random_access: Some(Codec::H264),
            method: Method::Pmt,
            video_streams: 1,
            audio_streams: 2,
            video_codecs: "h264".to_owned(),
            audio_codecs: "aac,ac3".to_owned(),
            relaxed_retry: true,
        },
        profile: StreamProfile {
            width: 1280,
            height: 720,
            frame_rate: FrameRate::of_f64(59.94),
            video_codec: Some(Codec::H264.into()),
            audio_codec: Some(Codec::Aac.into()),
            bitrate_bps: 4_500_000,
            ..StreamProfile::default()
        },
    }
}

pub(super) fn window(id: i64, selected: u64, deselected: Option<u64>, reason: &str) -> Arc<SourceWindow> {
    Arc::new(SourceWindow {
        source: source(id),
        selected_at: at(selected),
        deselected_at: deselected.map(at),
        reason: reason.to_owned(),
    })
}

/// A session that has just been created.
pub(super) fn session(id: u64, tuner: Option<u16>) -> SessionSnapshot {
    SessionSnapshot {
        record: SessionRecord {
            id,
            channel: ChannelId(42),
            guide_number: "101".to_owned(),
            guide_name: "News One".to_owned(),
            tuner,
            lost: std::time::Duration::ZERO,
            opened_at: at(100),
            ended: None,
            viewers: ViewerCounts::default(),
            writes: WriteCounters::default(),
            recovery_cycles: 0,
            recovery_reason: String::new(),
            selections: Selections::default(),
            sources: Vec::new(),
            sources_truncated: 0,
            subscribers: Vec::new(),
            subscribers_truncated: 0,
            limits: Limits::default(),
        },
        phase: SessionPhase::Starting,
        bytes_read: 0,
        bytes_pushed: 0,
        chunks_pushed: 0,
        bitrate_bps: 0,
        last_byte_at: None,
        last_push_at: None,
        datagrams: DatagramCounters::default(),
        continuity: ContinuityErrors::default(),
        writer_pauses: 0,
        recovery: RecoverySnapshot::default(),
        health_persist: HealthPersistSnapshot::default(),
        viewers: Vec::new(),
    }
}

/// A session that shows a picture to two viewers.
pub(super) fn streaming(id: u64, tuner: u16) -> SessionSnapshot {
    let mut live = session(id, Some(tuner));
    live.phase = SessionPhase::Live;
    live.viewers = vec![viewer(1, 100), viewer(3, 432_250)];
    live.bytes_read = 492_310_400;
    live.bytes_pushed = 492_247_296;
    live.chunks_pushed = 9011;
    live.bitrate_bps = 4_400_000;
    live.last_byte_at = Some(at(899_980));
    live.last_push_at = Some(at(899_981));
    let record = &mut live.record;
    record.viewers = ViewerCounts { peak: 3, total: 3, completed: 1 };
    record.subscribers = vec![gone(2, CloseReason::HttpContextCanceled)];
    record.writes.blocked = Duration::from_micros(1_840_211);
    record.sources = vec![window(8, 609_500, None, "initial_startup")];
    record.selections = Selections {
        count: 1,
        same_source: 0,
        last_at: Some(at(609_500)),
        last_reason: "initial_startup".to_owned(),
    };
    live
}

/// A session whose source is lost, with everything that can be said about it.
pub(super) fn recovering(id: u64, tuner: u16) -> SessionSnapshot {
    let mut live = streaming(id, tuner);
    let record = &mut live.record;
    record.recovery_cycles = 2;
    record.recovery_reason = "stall".to_owned();
    record.sources = vec![
        window(8, 1_400, Some(609_500), "initial_startup"),
        window(8, 609_500, None, "recovery_cycle_1:stall"),
    ];
    record.selections = Selections {
        count: 5,
        same_source: 3,
        last_at: Some(at(609_500)),
        last_reason: "recovery_cycle_1:stall".to_owned(),
    };
    record.sources_truncated = 3;
    record.subscribers_truncated = 4;
    live.recovery = RecoverySnapshot {
        stall_count: 2,
        cycle: 2,
        reason: "stall".to_owned(),
        in_progress: true,
        transition: TransitionSnapshot {
            signals_applied: "disc,cc,pcr,psi_version,stitch".to_owned(),
            signal_skips: "idr_not_ready".to_owned(),
            fallback_count: 2,
            fallback_reason: "default: idr_not_ready".to_owned(),
            stitch_applied: true,
        },
        keepalive: Some(KeepaliveReport {
            mode: Some(Mode::Psi),
            totals: KeepaliveTotals {
                fallback_count: 1,
                fallback_reason: "slate_av: ffmpeg ended".to_owned(),
            },
            started_at: at(895_500),
            stopped_at: None,
            last_published_at: at(900_000),
            bytes: 2_475_000,
            chunks: 40,
            channel_rate: Some(500_000.0),
            guardrail_count: 1,
            guardrail_reason: "too fast".to_owned(),
        }),
    };
    live.continuity = ContinuityErrors { incoming: 41, outgoing: 40 };
    live.datagrams = DatagramCounters {
        datagrams: 374_102,
        dropped: 4,
        lost: 37,
        reordered: 12,
        late: 2,
        duplicate: 9,
        restarts: 1,
        strange: 5,
    };
    live.health_persist = HealthPersistSnapshot {
        coalesced: [(SourceId(8), 2)].into(),
        dropped: [(SourceId(7), 1), (SourceId(8), 3)].into(),
        coalesced_total: 5,
        dropped_total: 4,
    };
    live
}

/// A session that could not be started.
pub(super) fn failed(id: u64, error: &str) -> SessionRecord {
    let mut record = session(id, Some(1)).record;
    record.ended = Some(Ended { at: at(3_300), outcome: Outcome::Failed(error.to_owned()) });
    record.viewers = ViewerCounts { peak: 1, total: 1, completed: 1 };
    record.subscribers = vec![gone(1, CloseReason::SessionClosed)];
    record
}

pub(super) fn closed(limit: usize, records: impl IntoIterator<Item = SessionRecord>) -> ClosedSnapshot {
    let mut closed = ClosedSessions::new(limit);
    records.into_iter().for_each(|record| closed.push(record));
    closed.snapshot()
}

pub(super) fn lease(tuner: u16, kind: Kind, label: &str, session: u64) -> LeaseSnapshot {
    LeaseSnapshot { tuner, kind, label: label.to_owned(), session: SessionId(session), started_at: at(50) }
}

/// A core that counts the tuners.
pub(super) fn first_core(leases: Vec<LeaseSnapshot>, sessions: Vec<SessionSnapshot>) -> CoreSnapshot {
    let tuners = TunersSnapshot { count: 4, in_use: leases.len(), leases };
    let places = vec![
        PlacesInUse { playlist: PlaylistId(1), taken: sessions.len(), counted: 1, limit: Some(4) },
        PlacesInUse { playlist: PlaylistId(9), taken: 0, counted: 0, limit: None },
    ];
    CoreSnapshot { tuners: Some(tuners), places, ..core(0, sessions) }
}

pub(super) fn core(number: u8, sessions: Vec<SessionSnapshot>) -> CoreSnapshot {
    CoreSnapshot {
        away: Vec::new(),
        core: CoreId(number),
        counters: CoreCounters::default(),
        tallies: crate::engine::Tallies::default(),
        sessions,
        closed: closed(256, []),
        viewers: 0,
        connections: 0,
        ring_bytes: 0,
        turn_longest: Duration::ZERO,
        send_wait: Duration::ZERO,
        is_saturated: false,
        tuners: None,
        places: Vec::new(),
    }
}
