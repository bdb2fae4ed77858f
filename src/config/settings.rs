//! The settings as the program uses them: plain typed data, grouped by who uses it.

use crate::base::Network;
use crate::source::hls::VariantMax;
use std::path::PathBuf;
use std::time::Duration;

use super::address::BindAddress;
use super::guide::GuideSource;
use super::playlist::PlaylistSource;
use super::schedule::Schedule;
use super::secret::Secret;
use super::words::{FfmpegLogLevel, FillerMode, LogFormat, SlowPolicy, StallPolicy, StreamMode, ZeroCopy};

/// ffmpeg finds no stream in less. Smaller settings are raised to it.
pub(super) const PROBE_BYTES_MIN: u64 = 128_000;
/// ffmpeg finds no frame rate in less. Smaller settings are raised to it.
pub(super) const ANALYZE_DURATION_MIN: Duration = Duration::from_secs(1);

/// What clients call this tuner when nobody has ever said otherwise.
pub const FRIENDLY_NAME_DEFAULT: &str = "HDHR IPTV";

/// Every setting.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How sources are opened.
    pub stream: Stream,
    /// How ffmpeg is run.
    pub ffmpeg: Ffmpeg,
    /// What happens when a source is lost.
    pub recovery: Recovery,
    /// How bytes are published.
    pub buffer: Buffer,
    /// How viewers are served.
    pub subscriber: Subscriber,
    /// How long sessions last, and what is remembered of them.
    pub session: Session,
    /// How many sources may be open.
    pub tuner: Tuner,
    /// When a channel that cannot be tuned is refused. `None` is never.
    pub tune_backoff: Option<TuneBackoff>,
    /// Trials in the background.
    pub probe: Probe,
    /// Cores and sends.
    pub engine: Engine,
    /// Listeners and limits.
    pub http: Http,
    /// The admin routes.
    pub admin: Admin,
    /// What the network sees.
    pub discovery: Discovery,
    /// Playlists and search.
    pub catalog: Catalog,
    /// The database.
    pub store: Store,
    /// The least important messages that are logged.
    pub log_level: log::LevelFilter,
    /// How they are written.
    pub log_format: LogFormat,
}

/// How sources are opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// By what.
    pub mode: StreamMode,
    /// The kinds of addresses that are opened.
    pub schemes: Vec<&'static str>,
    /// They may be in this network.
    pub allows_private: bool,
    /// What providers are told this is.
    pub user_agent: String,
    /// The best variant of HLS that is read.
    pub hls_variant_max: VariantMax,
    /// Servers have to show who they are.
    pub tls_verify: bool,
    /// Authorities that are believed besides the public ones.
    pub ca_file: Option<PathBuf>,
    /// For the connection to a source's host.
    pub connect_timeout: Duration,
    /// The interface by which groups of hosts are joined; `None` is the one that the routes name.
    pub multicast_interface: Option<String>,
    /// How long a provider that answered 429 is left alone. `None` is not at all.
    pub overlimit_cooldown: Option<Duration>,
    /// For the first usable bytes of one source.
    pub startup_timeout: Duration,
    /// Only recovery waits for a picture that decodes on its own.
    pub random_access_in_recovery_only: bool,
    /// Bytes after which a source counts as started.
    pub min_probe_bytes: usize,
    /// Sources tried after the first. `None` is all.
    pub max_failovers: Option<u32>,
    /// For all sources together.
    pub failover_total_timeout: Duration,
}

/// How ffmpeg is run.
#[derive(Clone, Debug, PartialEq)]
pub struct Ffmpeg {
    /// The program.
    pub path: PathBuf,
    /// Its companion.
    pub ffprobe_path: PathBuf,
    /// How it reconnects by itself. `None` is not at all; so it is in direct mode.
    pub reconnect: Option<Reconnect>,
    /// How long it waits on its input. `None` is for ever.
    pub rw_timeout: Option<Duration>,
    /// Bytes it inspects before it starts.
    pub probe_bytes: u64,
    /// How much of the stream it inspects before it starts.
    pub analyze_duration: Duration,
    /// Its socket buffer. `None` leaves it to ffmpeg.
    pub input_buffer_bytes: Option<u64>,
    /// It drops damaged packets.
    pub discard_corrupt: bool,
    /// In `ffmpeg-copy` it makes up missing timestamps.
    pub copy_regenerate_timestamps: bool,
    /// How much it says.
    pub log_level: FfmpegLogLevel,
    /// The level at which its lines enter the log. `None` is not at all.
    pub stderr_log_level: Option<log::Level>,
    /// Bytes of one line that enter the log.
    pub stderr_line_bytes_max: usize,
    /// How fast it reads, as a multiple of real time.
    pub read_rate: f64,
    /// How fast it reads when it is behind. Not below `read_rate`.
    pub read_rate_catch_up: f64,
    /// Seconds it reads as fast as it can at the start.
    pub initial_burst_seconds: u32,
}

/// How ffmpeg reconnects by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// The longest it waits.
    pub delay_max: Duration,
    /// How often. `None` leaves it to ffmpeg.
    pub max_retries: Option<u32>,
    /// After which answers, in ffmpeg's words. `None` is after none.
    pub http_errors: Option<String>,
}

/// What happens when a source is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// How long a source may give nothing that moves the picture.
    pub stall_detect: Duration,
    /// For one recovery.
    pub hard_deadline: Duration,
    /// What to do.
    pub policy: StallPolicy,
    /// Attempts on one source after the first, in one recovery.
    pub max_failovers_per_stall: u32,
    /// How long a source must have run well for its end to be held against it, and its failures forgiven.
    /// `None` is no such time.
    pub min_health: Option<Duration>,
    /// What viewers get meanwhile. `None` is nothing.
    pub filler: Option<Filler>,
}

/// What viewers get while a channel recovers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filler {
    /// Which kind.
    pub mode: FillerMode,
    /// How often null packets or tables are sent.
    pub interval: Duration,
    /// What the picture says.
    pub text: String,
    /// The picture comes with silence.
    pub has_audio: bool,
}

/// How bytes are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Bytes after which a chunk is published.
    pub chunk_bytes: usize,
    /// The age after which it is published though it is not full.
    pub flush_interval: Duration,
    /// Chunks hold whole packets.
    pub is_packet_aligned: bool,
}

/// How viewers are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriber {
    /// Who may watch. Empty is everybody.
    pub allow: Vec<Network>,
    /// What a request has to carry.
    pub token: Option<Secret>,
    /// Streams of one address. `None` is any number.
    pub per_address_max: Option<u32>,
    /// Viewers of all channels. `None` is any number.
    pub viewers_max: Option<u32>,
    /// How far behind live a viewer starts. Zero is live.
    pub join_lag_bytes: usize,
    /// What becomes of one who falls behind.
    pub slow_policy: SlowPolicy,
    /// How long one may take nothing at all. `None` is for ever.
    pub max_blocked_write: Option<Duration>,
}

/// How long sessions last, and what is remembered of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// How long a channel goes on without viewers. Zero ends it at once.
    pub idle_timeout: Duration,
    /// For the closing of a source.
    pub drain_timeout: Duration,
    /// Viewers per channel. `None` is no limit.
    pub max_subscribers: Option<u32>,
    /// Ended sessions that are remembered.
    pub history_limit: usize,
    /// Sources remembered per session.
    pub source_history_limit: usize,
    /// Viewers remembered per session.
    pub subscriber_history_limit: usize,
    /// How long the end of a session waits for its sources' health to be stored.
    pub health_drain_timeout: Duration,
}

/// How many sources may be open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuner {
    /// At once.
    pub count: u32,
    /// How long a freed tuner rests.
    pub settle_delay: Duration,
    /// How long a request waits for a tuner when all are in use. `None` is not at all.
    pub wait: Option<Duration>,
}

/// When a channel that cannot be tuned is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TuneBackoff {
    /// After so many failed tunes
    pub max_tunes: u32,
    /// within this time,
    pub interval: Duration,
    /// for so long.
    pub cooldown: Duration,
}

/// Trials in the background.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// How often. `None` is never.
    pub interval: Option<Duration>,
    /// For one trial.
    pub timeout: Duration,
    /// The pause after each trial that held a tuner.
    pub tune_delay: Duration,
    /// Sources measured at once when they are put in order.
    pub workers: Count,
}

/// A number, or as many as there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// As many as there are: processors, or free tuners.
    Auto,
    /// So many, 1 to 64.
    Exactly(u8),
}

/// Cores and sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// Threads that send.
    pub cores: Count,
    /// How to send without copying.
    pub zero_copy: ZeroCopy,
    /// Memory for all rings. `None` is half of what there is.
    pub ring_memory_bytes: Option<u64>,
    /// Bytes that gather for a viewer before they are sent.
    pub egress_bytes: usize,
    /// How long they may wait for more.
    pub egress_delay: Duration,
    /// How long while the core is busy.
    pub egress_delay_max: Duration,
}

/// Listeners and limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    /// Where to listen: one or two places.
    pub listen: Vec<BindAddress>,
    /// For an answer other than a stream. `None` is for ever.
    pub request_timeout: Option<Duration>,
    /// How much one client may ask. `None` is without limit.
    pub rate_limit: Option<RateLimit>,
    /// The proxies whose word is taken for who a client is.
    pub trusted_proxies: Vec<Network>,
    /// `/metrics` answers.
    pub has_metrics: bool,
}

/// How much one client may ask.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimit {
    /// For long.
    pub requests_per_second: f64,
    /// At once.
    pub burst: u32,
    /// Clients that are remembered; the one not seen for longest makes room.
    pub clients_max: u32,
}

/// The admin routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Who may use them. `None` is this host.
    pub credentials: Option<Credentials>,
    /// The largest request body.
    pub body_bytes_max: usize,
}

/// A name and a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// What the network sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// What clients call this tuner, if it was said now; else what was remembered, else
    /// [`FRIENDLY_NAME_DEFAULT`].
    pub friendly_name: Option<String>,
    /// Which HDHomeRun this is, if it was said now; else what was remembered, else a made-up one.
    pub device_id: Option<u32>,
    /// The token that discovery hands out, likewise.
    pub device_auth: Option<Secret>,
    /// Channels in the lineup. `None` is all.
    pub lineup_max: Option<u32>,
    /// The programme guide that players are sent to.
    pub guide_url: Option<Secret>,
    /// The guides that make up the one that is served, besides those that playlists name.
    pub guide_sources: Vec<GuideSource>,
    /// How often they are read again. `None` is only when something is new.
    pub guide_refresh: Option<Duration>,
    /// Channels without a guide get programmes with their name.
    pub has_guide_placeholders: bool,
    /// Where HDHomeRun clients find this tuner. `None` is not at all.
    pub hdhomerun: Option<BindAddress>,
    /// How UPnP clients find this tuner. `None` is not at all.
    pub upnp: Option<Upnp>,
}

/// How UPnP clients find this tuner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upnp {
    /// Where searches arrive.
    pub listen: BindAddress,
    /// How often the network is told. `None` is never.
    pub notify_interval: Option<Duration>,
    /// How long others may believe it.
    pub max_age: Duration,
    /// How long the answer to `GetSystemUpdateID` is reused.
    pub update_id_cache_ttl: Duration,
}

/// Playlists and search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    /// The playlist.
    pub playlist_url: Option<Secret>,
    /// The name of its profile.
    pub playlist_profile: Option<String>,
    /// Further ones, each with its own tuners.
    pub playlist_sources: Vec<PlaylistSource>,
    /// When they are fetched again. `None` is only when asked.
    pub refresh: Option<Schedule>,
    /// The first channel number that is given out.
    pub guide_start: u32,
    /// Words of a search that count.
    pub search_terms_max: usize,
    /// Alternatives of a search that count.
    pub search_disjuncts_max: usize,
    /// Characters of a word that count.
    pub search_term_chars_max: usize,
}

/// The database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Its file. What else must be kept lies beside it.
    pub path: PathBuf,
}
