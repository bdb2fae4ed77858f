//! What a core shows of itself: plain copies, made on request, consistent per session.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::Instant;
use crate::lineup::SourceId;
use crate::session::history::{ClosedSnapshot, SessionRecord};
use crate::tuner::pool::Kind;

pub use crate::filler::KeepaliveReport;
pub use crate::session::PlacesInUse;
pub use crate::source::udp::DatagramCounters;

use super::ids::{CoreId, SessionId};
use super::tallies::Tallies;

/// One viewer.
#[derive(Clone, Debug)]
pub struct ViewerSnapshot {
    /// Its number within the session, from 1.
    pub id: u64,
    /// Its address.
    pub peer: SocketAddr,
    /// The core that has accepted it and sends to it.
    pub core: CoreId,
    /// When it joined.
    pub joined_at: Instant,
    /// Bytes handed to its socket.
    pub bytes_sent: u64,
    /// Bytes of the stream it has yet to be sent.
    pub lag_bytes: u64,
    /// It asks for lists and segments; of these it is not known whose they are.
    pub hls: Option<HlsSnapshot>,
}

/// What is known of a viewer that asks for lists and segments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HlsSnapshot {
    /// What its player calls itself.
    pub user_agent: String,
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

/// How the stream was led from one source to the next.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct TransitionSnapshot {
    /// Of the last boundary: `disc`, `cc`, `pcr`, `psi_version` (tables with their version stand there), `stitch`, `idr`, comma-separated.
    pub signals_applied: String,
    /// What could not be done there, comma-separated.
    pub signal_skips: String,
    /// How often that changed.
    pub fallback_count: u64,
    /// The last of it: `default: <skip>`.
    pub fallback_reason: String,
    /// The clock went on at the last boundary.
    pub stitch_applied: bool,
}

/// How a session got over the loss of its source.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct RecoverySnapshot {
    /// Stalls, and recoveries that somebody asked for.
    pub stall_count: u64,
    /// Recoveries begun.
    pub cycle: u64,
    /// Why the last one was.
    pub reason: String,
    /// A recovery is going on.
    pub in_progress: bool,
    /// The boundaries.
    pub transition: TransitionSnapshot,
    /// What filled the gap, or fills it; `None` when there has been none.
    pub keepalive: Option<KeepaliveReport>,
}

/// Writes of sources' health that did not reach the database one by one.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct HealthPersistSnapshot {
    /// Replaced by a newer one of the same source.
    pub coalesced: BTreeMap<SourceId, u64>,
    /// Lost.
    pub dropped: BTreeMap<SourceId, u64>,
    /// All that were replaced, cleared ones included.
    pub coalesced_total: u64,
    /// All that were lost, cleared ones included.
    pub dropped_total: u64,
}

/// One session.
#[derive(Clone, Debug)]
pub struct SessionSnapshot {
    /// What will be remembered of it, as it is now.
    pub record: SessionRecord,
    /// Where it is in its life.
    pub phase: SessionPhase,
    /// Bytes read from upstream, over all sources.
    pub bytes_read: u64,
    /// Bytes committed to the ring, over all sources.
    pub bytes_pushed: u64,
    /// Reads that ended in a commit.
    pub chunks_pushed: u64,
    /// Bits per second of the selected source, over the last four seconds.
    pub bitrate_bps: u64,
    /// When a source last gave bytes.
    pub last_byte_at: Option<Instant>,
    /// When its bytes were last committed.
    pub last_push_at: Option<Instant>,
    /// What has come in datagrams, over all sources.
    pub datagrams: DatagramCounters,
    /// Holes in the streams of its sources, and in what viewers get.
    pub continuity: ContinuityErrors,
    /// How often the writer had to wait a turn for a lent span.
    pub writer_pauses: u64,
    /// Its recoveries.
    pub recovery: RecoverySnapshot,
    /// Its sources' health on the way to the database.
    pub health_persist: HealthPersistSnapshot,
    /// The viewers, those included who wait for the first picture.
    pub viewers: Vec<ViewerSnapshot>,
}

/// Viewers of a session whose channel is on another core.
#[derive(Clone, Debug)]
pub struct AwaySnapshot {
    /// The session.
    pub session: SessionId,
    /// Those who watch it on this core.
    pub viewers: Vec<ViewerSnapshot>,
}

/// A tuner that has been granted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaseSnapshot {
    /// The tuner.
    pub tuner: u16,
    /// What for.
    pub kind: Kind,
    /// What the request called it: a guide number, or `probe:` and an item.
    pub label: String,
    /// Who has it.
    pub session: SessionId,
    /// Since when.
    pub started_at: Instant,
}

/// The tuners, as the core knows that counts them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TunersSnapshot {
    /// How many there are.
    pub count: usize,
    /// Those granted, and those that settle for somebody.
    pub in_use: usize,
    /// Those granted.
    pub leases: Vec<LeaseSnapshot>,
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
    /// Sends completed.
    pub sends: u64,
    /// Of these, zero-copy.
    pub zero_copy_sends: u64,
    /// Zero-copy sends the kernel copied all the same.
    pub zero_copy_copied: u64,
    /// Sends from a ring's file.
    pub file_sends: u64,
    /// Bytes of pages of rings that were left to the kernel, which held them or may have.
    pub given_bytes: u64,
    /// Bytes sent to viewers.
    pub bytes_sent: u64,
    /// Completions whose owner was gone.
    pub stale_completions: u64,
    /// Requests refused with an error status, and connections closed without a word.
    pub refused: u64,
    /// Of these, connections that were closed because there was no place for so many.
    pub refused_at_bound: u64,
    /// How often accepting had to be paused.
    pub accept_pauses: u64,
    /// How often it came to have more to do than it could.
    pub saturations: u64,
    /// Viewers whose streams were ended because there were too many.
    pub shed: u64,
    /// Messages that found a queue full.
    pub queue_full: u64,
}

/// Holes: places where packets are missing, as continuity counters tell. Each breaks the picture or the sound up on every player.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ContinuityErrors {
    /// In what came from its sources, all of them together.
    pub incoming: u64,
    /// In what leaves, where each is marked as one.
    pub outgoing: u64,
}

/// Everything that lives on a core.
#[derive(Clone, Debug)]
pub struct CoreSnapshot {
    /// Which core.
    pub core: CoreId,
    /// Its counters.
    pub counters: CoreCounters,
    /// What it has counted besides.
    pub tallies: Tallies,
    /// Its sessions, in creation order.
    pub sessions: Vec<SessionSnapshot>,
    /// Those who watch sessions of other cores here.
    pub away: Vec<AwaySnapshot>,
    /// Sessions that have ended here.
    pub closed: ClosedSnapshot,
    /// Viewers whom it sends to, of whichever channel.
    pub viewers: usize,
    /// Connections that are not viewers.
    pub connections: usize,
    /// Memory that the rings of its channels take.
    pub ring_bytes: u64,
    /// The longest that it has worked without looking up, of the last half minute to a minute.
    pub turn_longest: Duration,
    /// How long those waited in the last quarter of a second who were to be sent to, at the least.
    pub send_wait: Duration,
    /// It has more to do than it can, and takes nobody in.
    pub is_saturated: bool,
    /// The tuners, when this core counts them.
    pub tuners: Option<TunersSnapshot>,
    /// Connections to the providers of playlists, of all cores, when this core counts the tuners.
    pub places: Vec<PlacesInUse>,
}

/// What viewers have got who watch on another core than their session's is known there: it comes to their sessions.
pub fn gather(cores: &mut [CoreSnapshot]) {
    let away: BTreeMap<_, _> = cores
        .iter_mut()
        .flat_map(|core| std::mem::take(&mut core.away))
        .flat_map(|away| away.viewers.into_iter().map(move |viewer| ((away.session, viewer.id), viewer)))
        .collect();
    for session in cores.iter_mut().flat_map(|core| &mut core.sessions) {
        let id = session.record.id;
        for viewer in &mut session.viewers {
            if let Some(away) = away.get(&(SessionId(id), viewer.id)) {
                (viewer.bytes_sent, viewer.lag_bytes) = (away.bytes_sent, away.lag_bytes);
            }
        }
    }
}
