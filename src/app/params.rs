//! Settings become each module's parameters.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tunerd::base::limits::PACKET_BYTES;
use tunerd::config::{BindAddress, Count, Settings};
use tunerd::engine::{
    self, Egress, SessionNumbers, SharedPlaces, SharedProviders, SharedTrials, Sources, TuneBackoff, ZeroCopy,
};
use tunerd::exit::ExitCode;
use tunerd::health;
use tunerd::http::{CookieJar, RequestHeaders};
use tunerd::ring::Segments;
use tunerd::session::history;
use tunerd::source::{self, Trust, direct, ffmpeg, pace, startup, trust};
use tunerd::uring::Probe;
use tunerd::{control, filler, session};

use super::{Failure, room};

/// As many cores as the setting takes.
const CORES_MAX: usize = 64;
/// Whether files in memory get huge pages.
const SHMEM_ENABLED: &str = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

/// Locked memory of a core: the two queues of its io_uring, which the kernel counts from Linux 6.14 on. Whoever may lock no more than
/// 64 KiB gets one core, whose queues are smaller.
const LOCKED_PER_CORE: u64 = 256 * 1024;

/// How many cores there are, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CoreCount {
    pub(crate) count: u8,
    pub(crate) because: CoresBecause,
}

/// What has said how many cores there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CoresBecause {
    /// The setting.
    Asked,
    /// The processors that this process may run on, and its share of their time.
    Processors,
    /// So much locked memory, for more processors than that.
    Locked { bytes: u64 },
}

impl CoreCount {
    /// Under these settings, where so many processors may be used and so much memory be locked.
    pub(crate) fn new(asked: Count, processors: usize, locked_bytes: Option<u64>) -> Self {
        if let Count::Exactly(count) = asked {
            return Self { count: count.max(1), because: CoresBecause::Asked };
        }
        let processors = u8::try_from(processors.clamp(1, CORES_MAX)).unwrap_or(1);
        let lockable = locked_bytes.map_or(u64::MAX, |bytes| (bytes / LOCKED_PER_CORE).max(1));
        match (u8::try_from(lockable), locked_bytes) {
            (Ok(count), Some(bytes)) if count < processors => {
                Self { count, because: CoresBecause::Locked { bytes } }
            }
            _ => Self { count: processors, because: CoresBecause::Processors },
        }
    }

    /// On this machine. The processors are those of `sched_getaffinity`, and no more than the control group's share of their time.
    pub(crate) fn here(settings: &Settings, locked_bytes: Option<u64>) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self::new(settings.engine.cores, processors, locked_bytes)
    }
}

impl fmt::Display for CoreCount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.count;
        match self.because {
            CoresBecause::Asked => write!(formatter, "{count} (CORES={count})"),
            CoresBecause::Processors => {
                write!(formatter, "{count} (CORES=auto: one for each processor that this process may run on)")
            }
            CoresBecause::Locked { bytes } => write!(
                formatter,
                "{count} (CORES=auto: no more, since locked memory is {} KiB and each wants {} KiB; ulimit -l, systemd: LimitMEMLOCK=infinity)",
                bytes / 1024,
                LOCKED_PER_CORE / 1024
            ),
        }
    }
}

/// Which servers are believed.
pub(crate) fn trust(settings: &Settings) -> Result<Trust, Failure> {
    let failed =
        |why: &dyn std::fmt::Display| Failure::new(ExitCode::Settings, format!("UPSTREAM_CA_FILE: {why}"));
    let own = settings.stream.ca_file.as_deref().map_or(Ok(Vec::new()), trust::certificates);
    let roots = Trust::public_and(own.map_err(|why| failed(&why))?);
    Trust::new(settings.stream.tls_verify, roots).map_err(|error| failed(&error))
}

/// What every core is told, on this kernel.
pub(crate) fn engine(
    settings: &Settings,
    capabilities: ffmpeg::Capabilities,
    trust: Arc<Trust>,
    probe: &Probe,
) -> Result<engine::Params, Failure> {
    let zero_copy = probe.zero_copy;
    let stream = &settings.stream;
    let tuners = u16::try_from(settings.tuner.count).unwrap_or(u16::MAX);
    Ok(engine::Params {
        session: session::Params {
            startup_timeout: stream.startup_timeout,
            failover_total_timeout: stream.failover_total_timeout,
            failovers_max: stream.max_failovers.unwrap_or(0),
            idle_timeout: settings.session.idle_timeout,
            viewers_max: settings.session.max_subscribers.unwrap_or(0),
            stall_detect: settings.recovery.stall_detect,
            stall_hard_deadline: settings.recovery.hard_deadline,
            stall_policy: settings.recovery.policy,
            stall_retries_max: settings.recovery.max_failovers_per_stall,
            min_health: settings.recovery.min_health.unwrap_or(Duration::ZERO),
            provider_cooldown: stream.overlimit_cooldown.unwrap_or(Duration::ZERO),
            place_wait: settings.tuner.wait.unwrap_or(Duration::ZERO),
            filler_enabled: settings.recovery.filler.is_some(),
        },
        history: history::Limits::new(
            settings.session.history_limit,
            settings.session.source_history_limit,
            settings.session.subscriber_history_limit,
        ),
        filler: settings.recovery.filler.as_ref().map(|filler| engine::Filling {
            filler: filler::Params {
                mode: filler.mode,
                interval: filler.interval,
                has_audio: filler.has_audio,
            },
            text: filler.text.clone(),
        }),
        egress: Egress {
            bytes: whole_packets(settings.engine.egress_bytes),
            delay: settings.engine.egress_delay,
            delay_max: settings.engine.egress_delay_max,
            zero_copy: match settings.engine.zero_copy {
                asked @ (ZeroCopy::Auto | ZeroCopy::SendZc) if zero_copy => asked,
                ZeroCopy::Auto | ZeroCopy::SendFile => ZeroCopy::SendFile,
                ZeroCopy::SendZc | ZeroCopy::Never => ZeroCopy::Never,
            },
            max_blocked_write: settings.subscriber.max_blocked_write,
            slow_policy: settings.subscriber.slow_policy,
            join_lag_bytes: settings.subscriber.join_lag_bytes as u64,
        },
        gate: gate(settings),
        sources: Sources {
            admission: source::admission::Admission::new(
                stream.schemes.iter().copied(),
                stream.allows_private,
            ),
            mode: stream.mode,
            direct: direct::Params {
                headers: RequestHeaders::NONE,
                cookies: CookieJar::default(),
                user_agent: stream.user_agent.clone(),
                via: None,
                connect_timeout: stream.connect_timeout,
                header_timeout: stream.startup_timeout,
                startup_timeout: stream.startup_timeout,
                tls: trust.client(settings.stream.tls_verify),
            },
            trust,
            hls: source::hls::HlsParams {
                variant_max: stream.hls_variant_max,
                ..source::hls::HlsParams::default()
            },
            udp: source::udp::DatagramParams { interface: stream.multicast_interface.clone() },
            ffmpeg: ffmpeg_params(settings),
            capabilities: Arc::new(capabilities),
            ffmpeg_path: settings.ffmpeg.path.clone().into_os_string(),
            ffprobe_path: settings.ffmpeg.ffprobe_path.clone().into_os_string(),
            pace: pace::PaceParams {
                rate: settings.ffmpeg.read_rate,
                catch_up: settings.ffmpeg.read_rate_catch_up,
                burst: Duration::from_secs(u64::from(settings.ffmpeg.initial_burst_seconds)),
            },
            startup: startup::StartupParams {
                timeout: stream.startup_timeout,
                bytes_min: stream.min_probe_bytes as u64,
                ..startup::StartupParams::default()
            },
        },
        tune_backoff: tune_backoff(settings),
        probes: health::Params {
            interval: settings.probe.interval.unwrap_or(Duration::ZERO),
            timeout: settings.probe.timeout,
            tune_delay: settings.probe.tune_delay,
        },
        room: engine::Room { rings: room::budget(settings), ..engine::Room::default() },
        own: engine::Own::default(),
        chunk_bytes: settings.buffer.chunk_bytes as u64,
        segments: Segments::where_shmem_is(&std::fs::read_to_string(SHMEM_ENABLED).unwrap_or_default()),
        cores: CoreCount::here(settings, room::locked_bytes(probe)).count,
        tuners,
        preempt_settle_delay: settings.tuner.settle_delay,
        places: SharedPlaces::default(),
        providers: SharedProviders::default(),
        trials: SharedTrials::default(),
        session_numbers: SessionNumbers::default(),
        tune_wait: settings.tuner.wait.unwrap_or(Duration::ZERO),
        health_drain_timeout: settings.session.health_drain_timeout,
    })
}

fn stream_token(settings: &Settings) -> Option<engine::StreamToken> {
    settings.subscriber.token.as_ref().map(|token| engine::StreamToken(token.expose().to_owned()))
}

fn gate(settings: &Settings) -> engine::Gate {
    engine::Gate {
        allow: settings.subscriber.allow.clone(),
        token: stream_token(settings),
        per_address_max: settings.subscriber.per_address_max.unwrap_or(0),
        viewers_max: settings.subscriber.viewers_max.unwrap_or(0),
        watching: Arc::default(),
        by_address: Arc::default(),
    }
}

fn tune_backoff(settings: &Settings) -> TuneBackoff {
    let off = TuneBackoff { tunes_max: 0, interval: Duration::ZERO, cooldown: Duration::ZERO };
    settings.tune_backoff.as_ref().map_or(off, |backoff| TuneBackoff {
        tunes_max: backoff.max_tunes,
        interval: backoff.interval,
        cooldown: backoff.cooldown,
    })
}

fn ffmpeg_params(settings: &Settings) -> ffmpeg::FfmpegParams {
    let from = &settings.ffmpeg;
    ffmpeg::FfmpegParams {
        log_level: from.log_level,
        readrate: from.read_rate,
        readrate_catchup: from.read_rate_catch_up,
        initial_burst_seconds: from.initial_burst_seconds,
        input_buffer_bytes: u32::try_from(from.input_buffer_bytes.unwrap_or(0)).unwrap_or(u32::MAX),
        detection: ffmpeg::Detection { probe_bytes: from.probe_bytes, analyze: from.analyze_duration },
        reconnect: from.reconnect.as_ref().map_or_else(
            || ffmpeg::Reconnect {
                enabled: false,
                delay_max: Duration::ZERO,
                retries_max: -1,
                http_errors: String::new(),
            },
            |reconnect| ffmpeg::Reconnect {
                enabled: true,
                delay_max: reconnect.delay_max,
                retries_max: reconnect
                    .max_retries
                    .map_or(-1, |count| i32::try_from(count).unwrap_or(i32::MAX)),
                http_errors: reconnect.http_errors.clone().unwrap_or_default(),
            },
        ),
        rw_timeout: from.rw_timeout.unwrap_or(Duration::ZERO),
        copy_regenerate_timestamps: Some(from.copy_regenerate_timestamps),
        discard_corrupt: from.discard_corrupt,
    }
}

/// The whole packets in so many bytes.
const fn whole_packets(bytes: usize) -> u64 {
    (bytes - bytes % PACKET_BYTES) as u64
}

/// What this machine is called.
fn own_names() -> Vec<String> {
    let name = nix::sys::utsname::uname().ok().and_then(|names| names.nodename().to_str().map(str::to_owned));
    name.into_iter().filter(|name| !name.is_empty()).collect()
}

/// A port for datagrams.
fn listen(address: BindAddress) -> control::Listen {
    let (port, only) = match address {
        BindAddress::All { port } => (port, None),
        BindAddress::Loopback { port } => (port, Some(IpAddr::V4(Ipv4Addr::LOCALHOST))),
        BindAddress::One(address) => (address.port(), Some(address.ip())),
    };
    control::Listen { port, only }
}

fn guide_source(source: &tunerd::config::GuideSource) -> control::GuideSource {
    let url = source.url.expose().to_owned();
    control::GuideSource { url, shift_seconds: source.shift_seconds }
}

/// What control is told. `slates` is where slates are kept over a restart, `guides` where guides are, `listens` where HTTP listens.
pub(crate) fn control(
    settings: &Settings,
    identity: control::Identity,
    slates: Option<PathBuf>,
    guides: Option<PathBuf>,
    trust: Arc<Trust>,
    listens: Vec<SocketAddr>,
    connections_max: usize,
) -> control::Params {
    control::Params {
        identity,
        listens,
        legacy_port: settings.http.listen.get(1).map(|address| address.port()),
        hdhomerun_discovery: settings.discovery.hdhomerun.map(listen),
        upnp: settings.discovery.upnp.as_ref().map(|upnp| control::Upnp {
            listen: listen(upnp.listen),
            notify_interval: upnp.notify_interval,
            max_age: upnp.max_age,
        }),
        update_id_cache_ttl: settings
            .discovery
            .upnp
            .as_ref()
            .map_or(Duration::ZERO, |upnp| upnp.update_id_cache_ttl),
        connections_max,
        lineup_max: settings.discovery.lineup_max.map(|count| count as usize),
        guide_url: settings.discovery.guide_url.as_ref().map(|url| url.expose().to_owned()),
        guides: control::Guides {
            folder: guides,
            sources: settings.discovery.guide_sources.iter().map(guide_source).collect(),
            refresh: settings.discovery.guide_refresh,
            has_placeholders: settings.discovery.has_guide_placeholders,
        },
        guide_start: settings.catalog.guide_start,
        search: tunerd::store::SearchLimits {
            terms_max: settings.catalog.search_terms_max,
            disjuncts_max: settings.catalog.search_disjuncts_max,
            term_chars_max: settings.catalog.search_term_chars_max,
        },
        admin: settings.admin.credentials.as_ref().map(|credentials| control::AdminAuth {
            user: credentials.user.clone(),
            password: credentials.password.expose().to_owned(),
        }),
        own_names: own_names(),
        rate_limit: settings.http.rate_limit.as_ref().map(|limit| control::RateLimit {
            per_second: limit.requests_per_second,
            burst: limit.burst,
            clients_max: limit.clients_max as usize,
        }),
        trusted_proxies: settings.http.trusted_proxies.clone(),
        has_metrics: settings.http.has_metrics,
        stream_token: stream_token(settings),
        json_body_bytes_max: settings.admin.body_bytes_max,
        request_timeout: settings.http.request_timeout,
        playlist_profile: settings.catalog.playlist_profile.clone(),
        refresh: settings.catalog.refresh.as_ref().map(|schedule| schedule.timing.clone()),
        auto_prioritize_workers: match settings.probe.workers {
            tunerd::config::Count::Auto => settings.tuner.count as usize,
            tunerd::config::Count::Exactly(count) => usize::from(count),
        },
        user_agent: settings.stream.user_agent.clone(),
        trust,
        ffmpeg: settings.ffmpeg.path.clone().into_os_string(),
        slates,
        passthrough: settings.ffmpeg.stderr_log_level.map(|level| control::Passthrough {
            level,
            line_bytes_max: settings.ffmpeg.stderr_line_bytes_max,
        }),
        trampoline: PathBuf::from("/proc/self/exe"),
        about: Arc::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_as_many_as_are_asked_for_or_as_processors_and_locked_memory_allow() {
        use CoresBecause::{Asked, Locked, Processors};
        for (asked, processors, locked, count, because) in [
            (Count::Exactly(3), 1, Some(0), 3, Asked),
            (Count::Auto, 1, None, 1, Processors),
            (Count::Auto, 4, None, 4, Processors),
            (Count::Auto, 200, None, 64, Processors),
            (Count::Auto, 4, Some(8 << 20), 4, Processors),
            (Count::Auto, 4, Some(1 << 20), 4, Processors),
            (Count::Auto, 4, Some((1 << 20) - 1), 3, Locked { bytes: (1 << 20) - 1 }),
            (Count::Auto, 64, Some(8 << 20), 32, Locked { bytes: 8 << 20 }),
            (Count::Auto, 4, Some(64 << 10), 1, Locked { bytes: 64 << 10 }),
            (Count::Auto, 1, Some(64 << 10), 1, Processors),
        ] {
            let cores = CoreCount::new(asked, processors, locked);
            assert_eq!(cores, CoreCount { count, because }, "{asked:?} {processors} {locked:?}");
        }
    }

    #[test]
    fn an_engine_in_another_program_has_the_defaults_of_the_settings() {
        let nothing = |_path: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        let loaded = tunerd::config::load(&tunerd::config::CommandLine::default(), [], nothing).unwrap();
        let probe = Probe {
            kernel_release: "6.1.0".to_owned(),
            zero_copy: false,
            files: tunerd::uring::Files::Registered,
            locked_memory_limit: None,
            open_files_limit: 1024,
        };
        let (capabilities, trust) = (ffmpeg::Capabilities::default(), trust(&loaded.settings).unwrap());
        let set = engine(&loaded.settings, capabilities, Arc::new(trust), &probe).unwrap();
        let own = engine::Params::default();
        // What is found on this host is not among them, nor ffmpeg, of which nothing is known there.
        let told = |params: &engine::Params| {
            let sources = &params.sources;
            let engine = format!(
                "{:#?} {:#?} {:#?} {:#?} {:#?} {:#?}",
                params.session,
                params.history,
                params.egress,
                params.filler,
                params.tune_backoff,
                params.probes,
            );
            let numbers = format!(
                "{} {} {:?} {:?} {:?}",
                params.chunk_bytes,
                params.tuners,
                params.preempt_settle_delay,
                params.tune_wait,
                params.health_drain_timeout
            );
            let (pace, startup, mode) = (sources.pace, &sources.startup, sources.mode);
            let direct = (sources.direct.connect_timeout, sources.direct.header_timeout);
            format!("{engine} {numbers} {:#?} {pace:#?} {startup:#?} {mode:?} {direct:?}", sources.hls)
        };
        assert_eq!(told(&own), told(&set));
    }
}
