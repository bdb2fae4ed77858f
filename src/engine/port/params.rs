//! What a core must know of the settings.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::Instant;
use crate::base::limits::{READ_BYTES_MAX, SEND_BYTES_MAX};
use crate::filler::Params as FillerParams;
use crate::health;
use crate::http::{CookieJar, RequestHeaders};
use crate::lineup::Source;
use crate::ring::Segments;
use crate::session;
use crate::session::history::Limits;
use crate::source;
use crate::source::ffmpeg::Verification;
use crate::splice::HELD_BYTES_USUAL;

use super::gate::Gate;
use super::ids::SessionNumbers;
use super::places::SharedPlaces;
use super::providers::SharedProviders;
use super::room::Room;
use super::trials::SharedTrials;

/// How bytes are sent without copying.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ZeroCopy {
    /// As `SendZc` to peers that are not on this host, unless the kernel keeps copying for them; else as `SendFile`, or
    /// as `Never` where few watch and pages are small.
    Auto,
    /// To everybody by operations whose end tells that the memory is free.
    SendZc,
    /// To everybody from the ring's file.
    SendFile,
    /// Not at all.
    Never,
}

/// What happens to a viewer that falls out of the ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlowPolicy {
    /// It is disconnected.
    Disconnect,
    /// It goes on at the newest entry point, with the gap signalled.
    Skip,
}

/// How viewers are served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Egress {
    /// A viewer is sent to when this much waits for it, in whole packets; twice as much while the core is busy.
    pub bytes: u64,
    /// Or when the oldest waiting byte is this old.
    pub delay: Duration,
    /// The same while the core is busy.
    pub delay_max: Duration,
    /// Zero copy or not.
    pub zero_copy: ZeroCopy,
    /// A viewer whose socket takes nothing for this long is ended; `None` is never.
    pub max_blocked_write: Option<Duration>,
    /// What happens to one that falls out of the ring.
    pub slow_policy: SlowPolicy,
    /// How far behind the live edge a viewer starts, if there is an entry point.
    pub join_lag_bytes: u64,
}

/// How sources are opened.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Which addresses may be opened at all.
    pub admission: source::admission::Admission,
    /// Direct, through ffmpeg, or as the source demands.
    pub mode: source::Mode,
    /// Which servers are believed.
    pub trust: Arc<source::Trust>,
    /// The built-in HTTP client.
    pub direct: source::direct::Params,
    /// Which variant of HLS is read, and how long one is waited for.
    pub hls: source::hls::HlsParams,
    /// By which interface groups are joined.
    pub udp: source::udp::DatagramParams,
    /// ffmpeg's arguments.
    pub ffmpeg: source::ffmpeg::FfmpegParams,
    /// What the installed ffmpeg can do.
    pub capabilities: Arc<source::ffmpeg::Capabilities>,
    /// The program.
    pub ffmpeg_path: OsString,
    /// The program that is asked about streams whose packets do not tell what they are.
    pub ffprobe_path: OsString,
    /// How far ahead of viewers they are read.
    pub pace: source::pace::PaceParams,
    /// When a start has succeeded or failed.
    pub startup: source::startup::StartupParams,
}

impl Sources {
    /// What ffmpeg is told about the servers of a source that wishes this.
    #[must_use]
    pub fn verification(&self, wish: Option<bool>) -> Verification {
        match (self.trust.verifies(wish), self.trust.file()) {
            (false, _) => Verification::Off,
            (true, None) => Verification::On,
            (true, Some(file)) => Verification::ByRoots(file.to_string_lossy().into_owned()),
        }
    }

    /// The mode of a source: its own, or the setting.
    #[must_use]
    pub fn mode_of(&self, source: &Source) -> source::Mode {
        source.manner.mode.unwrap_or(self.mode)
    }

    /// How HLS of a source is read.
    #[must_use]
    pub fn hls_of(&self, source: &Source) -> source::hls::HlsParams {
        let variant_max = source.manner.variant_max.unwrap_or(self.hls.variant_max);
        source::hls::HlsParams { variant_max, ..self.hls }
    }
}

/// What viewers get while a session has no source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filling {
    /// Which kind, and how often.
    pub filler: FillerParams,
    /// What the picture says.
    pub text: String,
}

/// When a channel that cannot be tuned is refused. Anything zero is never.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TuneBackoff {
    /// After so many failed tunes
    pub tunes_max: u32,
    /// within this time,
    pub interval: Duration,
    /// for so long.
    pub cooldown: Duration,
}

/// What this server is to others.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Own {
    /// Its name in `Via` headers; no other has it. Empty is none.
    pub name: String,
    /// Where it listens.
    pub listens: Vec<SocketAddr>,
    /// The wall time in milliseconds when its clock was started: what is numbered by time is numbered on after a restart.
    pub started_unix_ms: u64,
}

impl Own {
    /// The wall time in milliseconds when its clock shows `now`. If the wall clock was set meanwhile, this one was not.
    #[must_use]
    pub fn unix_ms(&self, now: Instant) -> u64 {
        self.started_unix_ms.saturating_add(now.as_nanos() / 1_000_000)
    }
}

/// Everything together.
#[derive(Clone, Debug)]
pub struct Params {
    /// The life of a session.
    pub session: session::Params,
    /// What is remembered of sessions.
    pub history: Limits,
    /// How viewers are served.
    pub egress: Egress,
    /// Who may watch.
    pub gate: Gate,
    /// How sources are opened.
    pub sources: Sources,
    /// What viewers get while a session has no source; `None` is nothing.
    pub filler: Option<Filling>,
    /// When a channel that cannot be tuned is refused.
    pub tune_backoff: TuneBackoff,
    /// How sources are tried in the background.
    pub probes: health::Params,
    /// Bytes of a chunk: the ring holds 16 of them beside the join lag.
    pub chunk_bytes: u64,
    /// How rings are cut.
    pub segments: Segments,
    /// What there is room for.
    pub room: Room,
    /// How this server is known to itself when it meets itself as a source.
    pub own: Own,
    /// How many cores there are.
    pub cores: u8,
    /// How many tuners there are.
    pub tuners: u16,
    /// The places at providers, of all cores.
    pub places: SharedPlaces,
    /// What is known of providers, on all cores.
    pub providers: SharedProviders,
    /// Whose turn it is to try a source in the background.
    pub trials: SharedTrials,
    /// The numbers of sessions, of all cores.
    pub session_numbers: SessionNumbers,
    /// A tuner that was taken from its session, or that would make the pool full again, rests for this long.
    pub preempt_settle_delay: Duration,
    /// How long a request waits for a tuner when none is free and nobody can be asked for one.
    pub tune_wait: Duration,
    /// How long a core that has nothing else left waits for its sources' health to be stored.
    pub health_drain_timeout: Duration,
}

impl Default for Params {
    /// What `tunerd run` uses where no setting says otherwise: one core, two tuners, sources that are read without ffmpeg, since
    /// nothing is known of one.
    ///
    /// # Panics
    /// When the roots that are built in cannot be used, which is a mistake of ours.
    fn default() -> Self {
        let trust = source::Trust::new(true, source::Trust::public_and(Vec::new()));
        let trust = trust.expect("the public roots can be used");
        let startup = source::startup::StartupParams::default();
        Self {
            session: session::Params {
                startup_timeout: startup.timeout,
                failover_total_timeout: Duration::from_secs(32),
                failovers_max: 3,
                idle_timeout: Duration::from_secs(5),
                viewers_max: 0,
                stall_detect: Duration::from_secs(4),
                stall_hard_deadline: Duration::from_secs(32),
                stall_policy: session::StallPolicy::FailoverSource,
                stall_retries_max: 3,
                min_health: Duration::from_secs(20),
                provider_cooldown: Duration::from_secs(3),
                place_wait: Duration::from_secs(3),
                filler_enabled: true,
            },
            history: Limits::default(),
            egress: Egress {
                bytes: 65_048,
                delay: Duration::from_millis(100),
                delay_max: Duration::from_millis(200),
                zero_copy: ZeroCopy::SendFile,
                max_blocked_write: Some(Duration::from_secs(6)),
                slow_policy: SlowPolicy::Disconnect,
                join_lag_bytes: 8 * 1024 * 1024,
            },
            gate: Gate::default(),
            sources: Sources {
                admission: source::admission::Admission::new(source::admission::SCHEMES, true),
                mode: source::Mode::Auto,
                direct: source::direct::Params {
                    user_agent: concat!("tunerd/", env!("CARGO_PKG_VERSION")).to_owned(),
                    via: None,
                    headers: RequestHeaders::NONE,
                    cookies: CookieJar::default(),
                    connect_timeout: Duration::from_secs(3),
                    header_timeout: startup.timeout,
                    startup_timeout: startup.timeout,
                    tls: trust.client(true),
                },
                trust: Arc::new(trust),
                hls: source::hls::HlsParams::default(),
                udp: source::udp::DatagramParams::default(),
                ffmpeg: source::ffmpeg::FfmpegParams::default(),
                capabilities: Arc::default(),
                ffmpeg_path: "ffmpeg".into(),
                ffprobe_path: "ffprobe".into(),
                pace: source::pace::PaceParams::default(),
                startup,
            },
            filler: Some(Filling {
                filler: FillerParams {
                    mode: crate::filler::Mode::SlateAv,
                    interval: Duration::from_millis(200),
                    has_audio: true,
                },
                text: "Channel recovering...".to_owned(),
            }),
            tune_backoff: TuneBackoff {
                tunes_max: 8,
                interval: Duration::from_secs(60),
                cooldown: Duration::from_secs(20),
            },
            probes: health::Params {
                interval: Duration::ZERO,
                timeout: Duration::from_secs(3),
                tune_delay: Duration::from_secs(1),
            },
            chunk_bytes: 65_536,
            segments: Segments::Small,
            room: Room::default(),
            own: Own::default(),
            cores: 1,
            tuners: 2,
            places: SharedPlaces::default(),
            providers: SharedProviders::default(),
            trials: SharedTrials::default(),
            session_numbers: SessionNumbers::default(),
            preempt_settle_delay: Duration::from_millis(500),
            tune_wait: Duration::from_secs(3),
            health_drain_timeout: Duration::from_millis(250),
        }
    }
}

impl Params {
    /// The size of a channel's ring: what a joiner may want, 16 chunks for those who are a little slow, and
    /// room for what is lent and being received.
    #[must_use]
    pub const fn ring_bytes(&self) -> u64 {
        let slack = 2 * (SEND_BYTES_MAX + READ_BYTES_MAX) as u64 + HELD_BYTES_USUAL;
        self.egress.join_lag_bytes.saturating_add(16 * self.chunk_bytes).saturating_add(slack)
    }

    /// What a ring of so many bytes takes of the memory: whole segments, and one that is being written.
    #[must_use]
    pub const fn ring_memory_bytes(&self, ring_bytes: u64) -> u64 {
        let segment = self.segments.bytes() as u64;
        ring_bytes.div_ceil(segment).saturating_add(1).saturating_mul(segment)
    }
}
