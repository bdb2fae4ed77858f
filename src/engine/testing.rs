//! A core in a simulated world, for tests of what it tells of itself.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::Instant;
use crate::http::{CookieJar, RequestHeaders};
use crate::lineup::{Channel, ChannelId, Lineup, Source, SourceId};
use crate::ring::{Lent, Ring};
use crate::session;
use crate::session::history::Limits;
use crate::source;
use crate::uring::sim::{Faults, SimDescriptor, SimDriver, World};
use crate::uring::{Driver, Handle};

use super::client::{Client, ClientKey, ClientState, Sending, SessionKey, Viewer, ZeroCopyState};
use super::core::{Core, Parts};
use super::live::LiveSession;
use super::mailbox::Mailbox;
use super::params::{Egress, Params, SlowPolicy, Sources, TuneBackoff, ZeroCopy};
use super::port::{ControlPort, ControlRequest, CoreId, SessionId};
use super::token::Token;

pub(super) type SimCore = Core<SimDriver<Token, Lent>>;

/// Nobody is there to be asked.
struct Nobody;

impl ControlPort<SimDescriptor> for Nobody {
    fn request(
        &self,
        request: ControlRequest<SimDescriptor>,
    ) -> Result<(), Box<ControlRequest<SimDescriptor>>> {
        Err(Box::new(request))
    }
}

/// Everything that can be off is.
pub(super) fn params() -> Params {
    let second = Duration::from_secs(1);
    Params {
        session: session::Params {
            startup_timeout: second,
            failover_total_timeout: second,
            failovers_max: 0,
            idle_timeout: second,
            viewers_max: 0,
            stall_detect: second,
            stall_hard_deadline: second,
            stall_policy: session::StallPolicy::CloseSession,
            stall_retries_max: 0,
            min_health: second,
            provider_cooldown: Duration::ZERO,
            filler_enabled: false,
        },
        history: Limits::default(),
        egress: Egress {
            bytes: 1,
            delay: Duration::ZERO,
            zero_copy: ZeroCopy::Never,
            max_blocked_write: None,
            slow_policy: SlowPolicy::Disconnect,
            join_lag_bytes: 0,
        },
        sources: Sources {
            mode: source::Mode::Auto,
            direct: source::direct::Params {
                headers: RequestHeaders::NONE,
                cookies: CookieJar::default(),
                user_agent: String::new(),
                via: None,
                connect_timeout: second,
                header_timeout: second,
                startup_timeout: second,
                tls: source::direct::tls_config(&[]).unwrap(),
            },
            ffmpeg: source::ffmpeg::Params::default(),
            capabilities: Arc::new(source::ffmpeg::Capabilities::parse("", "")),
            ffmpeg_path: OsString::new(),
            ffprobe_path: OsString::new(),
            pace: source::pace::Params::default(),
            startup: source::startup::Params::default(),
        },
        filler: None,
        health_drain_timeout: Duration::from_millis(250),
        tune_backoff: TuneBackoff { tunes_max: 0, interval: Duration::ZERO, cooldown: Duration::ZERO },
        probes: crate::health::Params {
            interval: Duration::ZERO,
            timeout: second,
            tune_delay: Duration::ZERO,
        },
        own: super::params::Own::default(),
        chunk_bytes: 65_536,
        cores: 1,
        tuners: 2,
        preempt_settle_delay: Duration::ZERO,
    }
}

/// The only core, and a descriptor that stands for every client.
pub(super) fn core() -> (SimCore, Handle) {
    core_in(&World::new(1, Faults::default()))
}

/// The same in a world of the test's own.
pub(super) fn core_in(world: &World) -> (SimCore, Handle) {
    let (mailbox, reader) = Mailbox::new().unwrap();
    let parts = Parts {
        id: CoreId(0),
        params: params(),
        control: Box::new(Nobody),
        mailbox: reader,
        bell: None,
        cores: vec![mailbox],
        listeners: Vec::new(),
        lineup: Arc::new(Lineup::default()),
    };
    let mut core = Core::new(SimDriver::new(world), parts).unwrap();
    let (descriptor, _peer) = world.pipe();
    let Ok(handle) = core.driver.adopt(descriptor) else { panic!("there is room") };
    (core, handle)
}

/// Adds a session that waits for its tuner.
pub(super) fn add_session(core: &mut SimCore, channel: i64) -> SessionKey {
    let channel = Arc::new(Channel {
        id: ChannelId(channel),
        guide_number: channel.to_string(),
        name: "News One".to_owned(),
        sources: vec![Source {
            id: SourceId(8),
            item_key: "src:8".to_owned(),
            url: "http://user:hunter2@host/8.ts?token=hunter2".to_owned(),
            headers: RequestHeaders::NONE,
            program: None,
            priority: 0,
            health: crate::lineup::Health::default(),
            profile: crate::lineup::StoredProfile::default(),
        }],
    });
    let ring = Ring::new(1 << 20).unwrap();
    let id = SessionId(core.next_session + 1);
    core.next_session += 1;
    let (params, limits, now) = (core.params.session, core.params.history, core.now);
    let (live, _asks_for_a_tuner) = LiveSession::new(id, Arc::clone(&channel), params, limits, ring, now);
    let Ok(key) = core.sessions.insert(live) else { panic!("there is room") };
    core.by_channel.insert(channel.id, key);
    core.by_id.insert(id, key);
    key
}

/// Adds somebody who watches it.
pub(super) fn add_viewer(core: &mut SimCore, session: SessionKey, handle: Handle) -> ClientKey {
    let number = core.sessions.get_mut(session).unwrap().history.attach();
    let now = core.now;
    let promised = core.sessions.get_mut(session).unwrap().pace_line.promise(now, 0);
    let viewer = Viewer {
        session,
        number,
        position: 0,
        preamble: Vec::new(),
        sending: Sending::Nothing,
        is_queued: false,
        held: Vec::new(),
        zero_copy: ZeroCopyState::Off,
        progress_at: Instant::START,
        joined_at: Instant::START,
        promised,
        excused_ms: 0,
        until: None,
        bytes_sent: number,
        skip_wanted: false,
    };
    let peer = SocketAddr::from(([10, 0, 0, 1], 4000));
    let client = Client { handle, peer, is_local: false, state: ClientState::Viewing(viewer) };
    let Ok(key) = core.clients.insert(client) else { panic!("there is room") };
    key
}

/// A channel without sources.
pub(super) struct NoSources;

impl session::Sources for NoSources {
    fn candidates(&mut self) -> Vec<session::Candidate> {
        Vec::new()
    }

    fn failover_settle(&mut self, _now: Instant) -> Duration {
        Duration::ZERO
    }
}
