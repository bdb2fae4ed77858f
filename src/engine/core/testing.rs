//! A core in a simulated world, for tests of what it tells of itself.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use crate::base::Instant;
use crate::http::{CookieJar, RequestHeaders};
use crate::lineup::Health;
use crate::lineup::{Channel, ChannelId, Lineup, Manner, PlaylistId, Source, SourceId, StoredProfile};
use crate::ring::{Lent, Ring, Segments};
use crate::session;
use crate::session::history::Limits;
use crate::source;
use crate::uring::sim::{Faults, SimDescriptor, SimDriver, World};
use crate::uring::{Driver, Handle};

use crate::engine::context::cx::Cx;
use crate::engine::context::token::{ChannelRef, Token, ViewerRef};
use crate::engine::port::ids::{CoreId, SessionNumbers};
use crate::engine::port::mailbox::{Mailbox, MailboxReader};
use crate::engine::port::messages::{ControlPort, ControlRequest};
use crate::engine::port::params::{Egress, Own, Params, SlowPolicy, Sources, TuneBackoff, ZeroCopy};
use crate::engine::port::places::SharedPlaces;
use crate::engine::port::providers::SharedProviders;
use crate::engine::port::trials::SharedTrials;

use super::{Core, Parts};

pub(crate) type SimCore = Core<SimDriver<Token, Lent>>;

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
pub(crate) fn params() -> Params {
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
            place_wait: Duration::ZERO,
            filler_enabled: false,
        },
        history: Limits::default(),
        egress: Egress {
            bytes: 1,
            delay: Duration::ZERO,
            delay_max: Duration::ZERO,
            zero_copy: ZeroCopy::Never,
            max_blocked_write: None,
            slow_policy: SlowPolicy::Disconnect,
            join_lag_bytes: 0,
        },
        gate: crate::engine::Gate::default(),
        sources: Sources {
            admission: source::admission::Admission::new(source::admission::SCHEMES, true),
            mode: source::Mode::Auto,
            trust: Arc::new(source::Trust::new(true, Vec::new()).unwrap()),
            direct: source::direct::Params {
                user_agent: String::new(),
                via: None,
                headers: RequestHeaders::NONE,
                cookies: CookieJar::default(),
                connect_timeout: second,
                header_timeout: second,
                startup_timeout: second,
                tls: source::direct::tls_config(&[]).unwrap(),
            },
            hls: crate::source::hls::HlsParams::default(),
            udp: crate::source::udp::DatagramParams::default(),
            ffmpeg: source::ffmpeg::FfmpegParams::default(),
            capabilities: Arc::new(source::ffmpeg::Capabilities::parse("", "")),
            ffmpeg_path: OsString::new(),
            ffprobe_path: OsString::new(),
            pace: source::pace::PaceParams::default(),
            startup: source::startup::StartupParams::default(),
        },
        filler: None,
        health_drain_timeout: Duration::from_millis(250),
        tune_backoff: TuneBackoff { tunes_max: 0, interval: Duration::ZERO, cooldown: Duration::ZERO },
        probes: crate::health::Params {
            interval: Duration::ZERO,
            timeout: second,
            tune_delay: Duration::ZERO,
        },
        own: Own::default(),
        room: crate::engine::Room::default(),
        chunk_bytes: 65_536,
        segments: Segments::Small,
        cores: 1,
        tuners: 2,
        preempt_settle_delay: Duration::ZERO,
        places: SharedPlaces::default(),
        providers: SharedProviders::default(),
        trials: SharedTrials::default(),
        session_numbers: SessionNumbers::default(),
        tune_wait: Duration::ZERO,
    }
}

/// The only core, and a descriptor that stands for every client.
pub(crate) fn core() -> (SimCore, Handle) {
    core_in(&World::new(1, Faults::default()))
}

/// The same in a world of the test's own.
pub(crate) fn core_in(world: &World) -> (SimCore, Handle) {
    let mut core = core_with(world, params(), Vec::new(), Lineup::default());
    let (descriptor, _peer) = world.pipe();
    let Ok(handle) = core.cx.driver.adopt(descriptor) else { panic!("there is room") };
    (core, handle)
}

/// A core with settings, listeners and channels.
pub(crate) fn core_with(
    world: &World,
    params: Params,
    listeners: Vec<SimDescriptor>,
    lineup: Lineup,
) -> SimCore {
    let (mailbox, reader) = Mailbox::new().unwrap();
    let parts =
        Parts { listeners, lineup: Arc::new(lineup), ..parts(params, CoreId(0), reader, vec![mailbox]) };
    Core::new(SimDriver::new(world), parts).unwrap()
}

/// One of several cores.
pub(super) fn core_of(
    world: &World,
    params: Params,
    id: CoreId,
    reader: MailboxReader<SimDescriptor>,
    cores: Vec<Mailbox<SimDescriptor>>,
) -> SimCore {
    Core::new(SimDriver::new(world), parts(params, id, reader, cores)).unwrap()
}

fn parts(
    params: Params,
    id: CoreId,
    mailbox: MailboxReader<SimDescriptor>,
    cores: Vec<Mailbox<SimDescriptor>>,
) -> Parts<SimDescriptor> {
    Parts {
        id,
        params,
        control: Box::new(Nobody),
        mailbox,
        wakeup: None,
        cores,
        listeners: Vec::new(),
        lineup: Arc::new(Lineup::default()),
    }
}

/// A context by itself, with nobody to be asked.
pub(crate) fn context() -> Cx<SimDriver<Token, Lent>> {
    let driver = SimDriver::new(&World::new(1, Faults::default()));
    Cx::new(CoreId(0), params(), driver, Box::new(Nobody), Vec::new(), Arc::default())
}

/// A channel with one source.
pub(crate) fn listing(channel: i64) -> Arc<Channel> {
    Arc::new(Channel {
        id: ChannelId(channel),
        guide_number: channel.to_string(),
        name: "News One".to_owned(),
        sources: vec![Source {
            id: SourceId(8),
            item_key: "src:8".to_owned(),
            name: std::sync::Arc::default(),
            playlist: PlaylistId(1),
            url: "http://user:hunter2@host/8.ts?token=hunter2".to_owned(),
            program: None,
            tls_verify: None,
            manner: Manner::default(),
            headers: RequestHeaders::NONE,
            priority: 0,
            health: Health::default(),
            profile: StoredProfile::default(),
        }],
    })
}

/// Adds a session that waits for its tuner.
pub(super) fn add_session(core: &mut SimCore, channel: i64) -> ChannelRef {
    let (id, ring) = (core.cx.session_id(), Ring::new(1 << 20, Segments::Small).unwrap());
    let (at, _asks_for_a_tuner) = core.stations.insert(&core.cx, id, &listing(channel), ring).unwrap();
    at
}

/// Adds somebody who watches it.
pub(super) fn add_viewer(core: &mut SimCore, at: ChannelRef, handle: Handle) -> ViewerRef {
    let now = core.cx.now;
    let (channel, outlet) = core.stations.get_mut(at).unwrap();
    let (viewer, promised) = outlet.own_mut().add_viewer(channel.feed().view(), now, handle);
    channel.promise(promised);
    assert!(core.cx.take_place());
    core.cx.viewer_joins([10, 0, 0, 1].into(), false).unwrap();
    viewer
}

impl SimCore {
    /// What is known of a source: from this core's memory, else from the database.
    pub(super) fn health_of(&self, source: SourceId) -> Health {
        let known = self.cx.health.registry().health(source);
        let stored = || self.cx.lineup.source(source).map(|(_, source)| &source.health);
        known.or_else(stored).cloned().unwrap_or_default()
    }
}

/// A channel without sources.
pub(crate) struct NoSources;

impl session::Sources for NoSources {
    fn candidates(&mut self) -> Vec<session::Candidate> {
        Vec::new()
    }

    fn failover_settle(&mut self, _now: Instant) -> Duration {
        Duration::ZERO
    }
}
