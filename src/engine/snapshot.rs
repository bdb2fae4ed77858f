//! What a core shows of itself: plain copies, made on request, consistent per session.

use std::net::SocketAddr;
use std::time::Duration;

use crate::base::Instant;
use crate::tuner::{ChannelId, SourceId};

use super::port::CoreId;

/// One viewer.
#[derive(Clone, Debug)]
pub struct ViewerSnapshot {
    /// Its number within the session, from 1.
    pub id: u64,
    /// Its address.
    pub peer: SocketAddr,
    /// When it joined.
    pub joined_at: Instant,
    /// Bytes handed to its socket.
    pub bytes_sent: u64,
    /// Bytes of the stream it has yet to be sent.
    pub lag_bytes: u64,
}

/// Where a session is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionPhase {
    /// It waits for a tuner or its first picture.
    Starting,
    /// The picture moves.
    Live,
    /// Nobody watches; it ends unless somebody comes back.
    Idle,
    /// It is being taken down.
    Ending,
}

/// One session.
#[derive(Clone, Debug)]
pub struct SessionSnapshot {
    /// Unique in the process, from 1.
    pub id: u64,
    /// Its tuner, once granted.
    pub tuner: Option<u16>,
    /// Its channel.
    pub channel: ChannelId,
    /// The channel's guide number.
    pub guide_number: String,
    /// The channel's name.
    pub guide_name: String,
    /// Where it is in its life.
    pub phase: SessionPhase,
    /// When it was created.
    pub started_at: Instant,
    /// The selected source.
    pub source: Option<SourceSnapshot>,
    /// Bytes read from upstream, over all sources.
    pub bytes_read: u64,
    /// Bytes committed to the ring.
    pub bytes_pushed: u64,
    /// Reads that ended in a commit.
    pub chunks_pushed: u64,
    /// When the source last gave bytes.
    pub last_byte_at: Option<Instant>,
    /// When bytes were last committed.
    pub last_push_at: Option<Instant>,
    /// How often viewers were skipped forward.
    pub slow_skip_events: u64,
    /// Bytes they missed.
    pub slow_skip_lag_bytes: u64,
    /// Viewers ended because their socket took nothing for too long.
    pub write_timeouts: u64,
    /// How often the writer had to wait a turn for a lent span.
    pub writer_pauses: u64,
    /// Sources selected so far.
    pub source_selects: u64,
    /// The most viewers at once.
    pub viewers_peak: u64,
    /// Viewers that ever joined.
    pub viewers_total: u64,
    /// The viewers.
    pub viewers: Vec<ViewerSnapshot>,
}

/// The selected source of a session.
#[derive(Clone, Debug)]
pub struct SourceSnapshot {
    /// Its row.
    pub id: SourceId,
    /// Its playlist item.
    pub item_key: String,
    /// Its address, redacted.
    pub url: String,
    /// `direct`, `ffmpeg-copy` or `ffmpeg-transcode`.
    pub mode: &'static str,
    /// When it was selected.
    pub selected_at: Instant,
    /// Why.
    pub select_reason: String,
    /// Bytes read until it was selected.
    pub startup_bytes: u64,
    /// Names of the video codecs, comma-separated.
    pub video_codecs: String,
    /// Names of the audio codecs, comma-separated.
    pub audio_codecs: String,
    /// Video streams.
    pub video_streams: u32,
    /// Audio streams.
    pub audio_streams: u32,
    /// `video_audio`, `video_only`, `audio_only` or `undetected`.
    pub component_state: &'static str,
    /// Bytes committed since selection.
    pub bytes_since_select: u64,
    /// Bits per second over the last seconds.
    pub bitrate_bps: u64,
}

/// Counters of one core.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct CoreCounters {
    /// Turns of the loop.
    pub turns: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections handed to control.
    pub handed_to_control: u64,
    /// Connections handed to another core.
    pub handed_to_cores: u64,
    /// Sends completed.
    pub sends: u64,
    /// Of these, zero-copy.
    pub zero_copy_sends: u64,
    /// Zero-copy sends the kernel copied all the same.
    pub zero_copy_copied: u64,
    /// Bytes sent to viewers.
    pub bytes_sent: u64,
    /// Completions whose owner was gone.
    pub stale_completions: u64,
    /// Requests refused with an error status.
    pub refused: u64,
    /// Messages that found a queue full.
    pub queue_full: u64,
    /// Longest turn.
    pub turn_longest: Duration,
}

/// Everything that lives on a core.
#[derive(Clone, Debug)]
pub struct CoreSnapshot {
    /// Which core.
    pub core: CoreId,
    /// When the copy was made.
    pub at: Instant,
    /// Its counters.
    pub counters: CoreCounters,
    /// Its sessions, in creation order.
    pub sessions: Vec<SessionSnapshot>,
    /// Connections that are not viewers.
    pub connections: usize,
    /// Tuners leased, when this core counts them.
    pub tuners_in_use: Option<usize>,
    /// Tuners there are, when this core counts them.
    pub tuner_count: Option<usize>,
}
