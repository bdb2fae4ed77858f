//! From what was typed to what the program uses.

use std::path::PathBuf;
use std::time::Duration;

use crate::source::admission::SCHEMES;

use super::address::{BindAddress, parse_networks};
use super::checks;
use super::device_id::parse_device_id;
use super::duration::parse_duration;
use super::guide::parse_guide_sources;
use super::playlist::{parse_playlist_sources, parse_playlist_url};
use super::problem::{Problems, Warning};
use super::raw::Raw;
use super::reader::Reader;
use super::schedule::Schedule;
use super::secret::Secret;
use super::settings::{
    ANALYZE_DURATION_MIN, Admin, Buffer, Catalog, Count, Credentials, Discovery, Engine, Ffmpeg, Filler,
    Http, PROBE_BYTES_MIN, Probe, RateLimit, Reconnect, Recovery, Session, Settings, Store, Stream,
    Subscriber, TuneBackoff, Tuner, Upnp,
};
use super::words::StreamMode;

const PROBE_BYTES_DEFAULT: u64 = 1_000_000;
const ANALYZE_DURATION_DEFAULT: Duration = Duration::from_millis(1_500);
/// Per-session histories are kept between these, so that a busy channel stays readable and bounded.
const SESSION_HISTORIES: (usize, usize) = (16, 4_096);
/// The most characters of a text that others see.
const TEXT_BYTES_MAX: usize = 256;

/// Types for everything, or everything that is wrong.
pub(super) fn resolve(raw: &Raw) -> Result<(Settings, Vec<Warning>), Problems> {
    let mut reader = Reader::new(raw);
    let settings = read_all(&mut reader);
    checks::check(&mut reader, &settings);
    let problems: Vec<_> = raw.problems.iter().cloned().chain(reader.problems).collect();
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    Ok((settings, raw.warnings.iter().cloned().chain(reader.warnings).collect()))
}

/// Reads every setting of the table, each once.
pub(super) fn read_all(reader: &mut Reader<'_>) -> Settings {
    let stream = stream(reader);
    Settings {
        ffmpeg: ffmpeg(reader, stream.mode),
        recovery: recovery(reader),
        buffer: Buffer {
            chunk_bytes: reader.whole("BUFFER_CHUNK_BYTES"),
            flush_interval: reader.span("BUFFER_PUBLISH_FLUSH_INTERVAL"),
            is_packet_aligned: reader.switch("BUFFER_TS_ALIGN_188"),
        },
        subscriber: Subscriber {
            allow: reader.special("STREAM_ALLOW", parse_networks),
            token: reader.special_or_none("STREAM_TOKEN", |text| printable(text).map(Secret::new)),
            per_address_max: reader.whole_or_none("STREAM_MAX_PER_ADDRESS"),
            viewers_max: reader.whole_or_none("VIEWERS_MAX"),
            join_lag_bytes: reader.whole("SUBSCRIBER_JOIN_LAG_BYTES"),
            slow_policy: reader.word("SUBSCRIBER_SLOW_CLIENT_POLICY"),
            max_blocked_write: reader.span_or_off("SUBSCRIBER_MAX_BLOCKED_WRITE"),
        },
        session: session(reader),
        tuner: Tuner {
            count: reader.whole("TUNER_COUNT"),
            settle_delay: reader.span("PREEMPT_SETTLE_DELAY"),
            wait: reader.span_or_off("TUNE_WAIT"),
        },
        tune_backoff: tune_backoff(reader),
        probe: Probe {
            interval: reader.span_or_off("PROBE_INTERVAL"),
            timeout: reader.span("PROBE_TIMEOUT"),
            tune_delay: reader.span("AUTO_PRIORITIZE_PROBE_TUNE_DELAY"),
            workers: reader.special("AUTO_PRIORITIZE_WORKERS", count),
        },
        engine: Engine {
            cores: reader.special("CORES", count),
            zero_copy: reader.word("ZERO_COPY"),
            ring_memory_bytes: reader.whole_or_none("RING_MEMORY_BYTES"),
            egress_bytes: reader.whole("EGRESS_BYTES"),
            egress_delay: reader.span("EGRESS_DELAY"),
            egress_delay_max: reader.span("EGRESS_DELAY_MAX"),
        },
        http: http(reader),
        admin: Admin {
            credentials: reader.special_or_none("ADMIN_AUTH", credentials),
            body_bytes_max: reader.whole("ADMIN_JSON_BODY_LIMIT_BYTES"),
        },
        discovery: discovery(reader),
        catalog: catalog(reader),
        store: Store { path: reader.special("DB_PATH", path) },
        log_level: reader.word("LOG_LEVEL"),
        log_format: reader.word("LOG_FORMAT"),
        stream,
    }
}

fn stream(reader: &mut Reader<'_>) -> Stream {
    Stream {
        mode: reader.word("STREAM_MODE"),
        schemes: reader.special("SOURCE_SCHEMES", schemes),
        allows_private: reader.switch("ALLOW_PRIVATE_SOURCES"),
        user_agent: reader.special("USER_AGENT", printable),
        hls_variant_max: reader.special("HLS_VARIANT_MAX", str::parse),
        tls_verify: reader.switch("UPSTREAM_TLS_VERIFY"),
        ca_file: reader.special_or_none("UPSTREAM_CA_FILE", path),
        connect_timeout: reader.span("UPSTREAM_CONNECT_TIMEOUT"),
        multicast_interface: reader.special_or_none("UPSTREAM_MULTICAST_INTERFACE", interface),
        overlimit_cooldown: reader.span_or_off("UPSTREAM_OVERLIMIT_COOLDOWN"),
        startup_timeout: reader.span("STARTUP_TIMEOUT"),
        random_access_in_recovery_only: reader.switch("STARTUP_RANDOM_ACCESS_RECOVERY_ONLY"),
        min_probe_bytes: reader.whole("MIN_PROBE_BYTES"),
        max_failovers: reader.whole_or_none("MAX_FAILOVERS"),
        failover_total_timeout: reader.span("FAILOVER_TOTAL_TIMEOUT"),
    }
}

/// Words between spaces or commas, each known.
fn schemes(text: &str) -> Result<Vec<&'static str>, String> {
    let words = text.split([' ', ',']).filter(|word| !word.is_empty());
    let known = |word: &str| {
        let found = SCHEMES.into_iter().find(|scheme| scheme.eq_ignore_ascii_case(word));
        found.ok_or_else(|| {
            format!("has the word {word:?}, which is no kind of address that a source may have")
        })
    };
    words.map(known).collect()
}

fn ffmpeg(reader: &mut Reader<'_>, mode: StreamMode) -> Ffmpeg {
    let is_passed_through = reader.switch("FFMPEG_SOURCE_STDERR_PASSTHROUGH_ENABLED");
    let stderr_log_level = reader.word("FFMPEG_SOURCE_STDERR_LOG_LEVEL");
    let probe_bytes = reader.whole_or_none("FFMPEG_STARTUP_PROBESIZE_BYTES").unwrap_or(PROBE_BYTES_DEFAULT);
    let analyze_duration =
        reader.span_or_off("FFMPEG_STARTUP_ANALYZEDURATION").unwrap_or(ANALYZE_DURATION_DEFAULT);
    Ffmpeg {
        path: reader.special("FFMPEG_PATH", path),
        ffprobe_path: reader.special("FFPROBE_PATH", path),
        reconnect: reconnect(reader, mode),
        rw_timeout: reader.span_or_off("FFMPEG_RW_TIMEOUT"),
        probe_bytes: probe_bytes.max(PROBE_BYTES_MIN),
        analyze_duration: analyze_duration.max(ANALYZE_DURATION_MIN),
        input_buffer_bytes: reader.whole_or_none("FFMPEG_INPUT_BUFFER_SIZE"),
        discard_corrupt: reader.switch("FFMPEG_DISCARD_CORRUPT"),
        copy_regenerate_timestamps: reader.switch("FFMPEG_COPY_REGENERATE_TIMESTAMPS"),
        log_level: reader.word("FFMPEG_SOURCE_LOG_LEVEL"),
        stderr_log_level: is_passed_through.then_some(stderr_log_level),
        stderr_line_bytes_max: reader.whole("FFMPEG_SOURCE_STDERR_MAX_LINE_BYTES"),
        read_rate: reader.real("PRODUCER_READRATE"),
        read_rate_catch_up: reader.real("PRODUCER_READRATE_CATCHUP"),
        initial_burst_seconds: reader.whole("PRODUCER_INITIAL_BURST"),
    }
}

fn reconnect(reader: &mut Reader<'_>, mode: StreamMode) -> Option<Reconnect> {
    let is_enabled = reader.switch("FFMPEG_RECONNECT_ENABLED");
    let max_retries: i64 = reader.whole("FFMPEG_RECONNECT_MAX_RETRIES");
    let reconnect = Reconnect {
        delay_max: reader.span("FFMPEG_RECONNECT_DELAY_MAX"),
        max_retries: u32::try_from(max_retries).ok(),
        http_errors: reader.special_or_none("FFMPEG_RECONNECT_HTTP_ERRORS", http_errors),
    };
    (is_enabled && mode != StreamMode::Direct).then_some(reconnect)
}

fn recovery(reader: &mut Reader<'_>) -> Recovery {
    let has_filler = reader.switch("RECOVERY_FILLER_ENABLED");
    let filler = Filler {
        mode: reader.word("RECOVERY_FILLER_MODE"),
        interval: reader.span("RECOVERY_FILLER_INTERVAL"),
        text: reader.special("RECOVERY_FILLER_TEXT", text),
        has_audio: reader.switch("RECOVERY_FILLER_ENABLE_AUDIO"),
    };
    Recovery {
        stall_detect: reader.span("STALL_DETECT"),
        hard_deadline: reader.span("STALL_HARD_DEADLINE"),
        policy: reader.word("STALL_POLICY"),
        max_failovers_per_stall: reader.whole("STALL_MAX_FAILOVERS_PER_STALL"),
        min_health: reader.span_or_off("CYCLE_FAILURE_MIN_HEALTH"),
        filler: has_filler.then_some(filler),
    }
}

fn session(reader: &mut Reader<'_>) -> Session {
    let history_limit = match reader.whole("SESSION_HISTORY_LIMIT") {
        0 => 256,
        limit => limit,
    };
    let (least, most) = SESSION_HISTORIES;
    let mut per_session = |env| match reader.whole(env) {
        0 => history_limit.clamp(least, most),
        limit => limit.clamp(least, most),
    };
    let source_history_limit = per_session("SESSION_SOURCE_HISTORY_LIMIT");
    let subscriber_history_limit = per_session("SESSION_SUBSCRIBER_HISTORY_LIMIT");
    Session {
        idle_timeout: reader.span("SESSION_IDLE_TIMEOUT"),
        drain_timeout: reader.span("SESSION_DRAIN_TIMEOUT"),
        max_subscribers: reader.whole_or_none("SESSION_MAX_SUBSCRIBERS"),
        history_limit,
        source_history_limit,
        subscriber_history_limit,
        health_drain_timeout: reader
            .span_or_off("SOURCE_HEALTH_DRAIN_TIMEOUT")
            .unwrap_or(Duration::from_millis(250)),
    }
}

fn tune_backoff(reader: &mut Reader<'_>) -> Option<TuneBackoff> {
    let max_tunes = reader.whole("TUNE_BACKOFF_MAX_TUNES");
    let interval = reader.span("TUNE_BACKOFF_INTERVAL");
    let cooldown = reader.span("TUNE_BACKOFF_COOLDOWN");
    (max_tunes > 0).then_some(TuneBackoff { max_tunes, interval, cooldown })
}

fn http(reader: &mut Reader<'_>) -> Http {
    let main = reader.special("HTTP_ADDR", BindAddress::parse);
    let legacy = reader.special_or_none("HTTP_ADDR_LEGACY", BindAddress::parse);
    let requests_per_second = reader.real("RATE_LIMIT_RPS");
    let rate_limit = RateLimit {
        requests_per_second,
        burst: reader.whole("RATE_LIMIT_BURST"),
        clients_max: reader.whole_or_none("RATE_LIMIT_MAX_CLIENTS").unwrap_or(1_000_000),
    };
    Http {
        listen: [Some(main), legacy].into_iter().flatten().collect(),
        request_timeout: reader.span_or_off("REQUEST_TIMEOUT"),
        rate_limit: (requests_per_second > 0.0).then_some(rate_limit),
        trusted_proxies: reader.special("RATE_LIMIT_TRUSTED_PROXIES", parse_networks),
        has_metrics: reader.switch("ENABLE_METRICS"),
    }
}

fn discovery(reader: &mut Reader<'_>) -> Discovery {
    let friendly_name = reader.special("FRIENDLY_NAME", text);
    let is_named = reader.is_given("FRIENDLY_NAME");
    let has_hdhomerun = reader.switch("HDHR_DISCOVERY_ENABLED");
    let hdhomerun = reader.special("HDHR_DISCOVERY_ADDR", BindAddress::parse);
    let is_enabled = reader.switch("UPNP_ENABLED");
    let upnp = Upnp {
        listen: reader.special("UPNP_ADDR", BindAddress::parse),
        notify_interval: reader.span_or_off("UPNP_NOTIFY_INTERVAL"),
        max_age: reader.span("UPNP_MAX_AGE"),
        update_id_cache_ttl: reader.span("UPNP_CONTENT_DIRECTORY_UPDATE_ID_CACHE_TTL"),
    };
    Discovery {
        friendly_name: is_named.then_some(friendly_name),
        device_id: reader.special_or_none("DEVICE_ID", parse_device_id),
        device_auth: reader.special_or_none("DEVICE_AUTH", |text| printable(text).map(Secret::new)),
        lineup_max: reader.whole_or_none("LINEUP_MAX"),
        guide_url: reader.special_or_none("GUIDE_URL", web_address),
        guide_sources: reader.special("GUIDE_URLS", parse_guide_sources),
        guide_refresh: reader.span_or_off("GUIDE_REFRESH_INTERVAL"),
        has_guide_placeholders: reader.switch("GUIDE_PLACEHOLDERS"),
        hdhomerun: has_hdhomerun.then_some(hdhomerun),
        upnp: is_enabled.then_some(upnp),
    }
}

fn catalog(reader: &mut Reader<'_>) -> Catalog {
    let schedule = reader.special_or_none("REFRESH_SCHEDULE", Schedule::parse);
    let interval = reader.special_or_none("REFRESH_INTERVAL", |text| match parse_duration(text) {
        // Existing files say 0 for "not at all".
        Ok(interval) if interval.is_zero() => Ok(None),
        Ok(interval) => Schedule::from_interval(interval).map(Some).map_err(|why| why.to_string()),
        Err(why) => Err(why.to_string()),
    });
    let interval_wins =
        interval.is_some() && reader.origin("REFRESH_INTERVAL") > reader.origin("REFRESH_SCHEDULE");
    Catalog {
        playlist_url: reader.special_or_none("PLAYLIST_URL", parse_playlist_url),
        playlist_profile: reader.special_or_none("PLAYLIST_PROFILE", printable),
        playlist_sources: reader.special("PLAYLIST_SOURCES", parse_playlist_sources),
        refresh: if interval_wins || schedule.is_none() { interval.flatten() } else { schedule },
        guide_start: reader.whole("TRADITIONAL_GUIDE_START"),
        search_terms_max: reader.whole_or_none("CATALOG_SEARCH_MAX_TERMS").unwrap_or(12),
        search_disjuncts_max: reader.whole_or_none("CATALOG_SEARCH_MAX_DISJUNCTS").unwrap_or(6),
        search_term_chars_max: reader.whole_or_none("CATALOG_SEARCH_MAX_TERM_RUNES").unwrap_or(64),
    }
}

fn count(text: &str) -> Result<Count, &'static str> {
    if text.eq_ignore_ascii_case("auto") {
        return Ok(Count::Auto);
    }
    let count = text.parse().map_err(|_not_a_number| "is neither auto nor such a number")?;
    if (1..=64).contains(&count) { Ok(Count::Exactly(count)) } else { Err("is out of range") }
}

fn credentials(text: &str) -> Result<Credentials, &'static str> {
    match text.split_once(':') {
        Some((user, password)) if !user.is_empty() && !password.is_empty() => {
            Ok(Credentials { user: user.to_owned(), password: Secret::new(password) })
        }
        Some(_) | None => Err("is not a name and a password with a colon between them"),
    }
}

fn path(text: &str) -> Result<PathBuf, &'static str> {
    if text.contains('\0') { Err("holds a zero byte") } else { Ok(PathBuf::from(text)) }
}

fn text(text: &str) -> Result<String, &'static str> {
    if text.len() > TEXT_BYTES_MAX {
        return Err("is too long");
    }
    if text.chars().any(char::is_control) { Err("holds control characters") } else { Ok(text.to_owned()) }
}

/// What may stand in a header or a discovery packet.
fn printable(text: &str) -> Result<String, &'static str> {
    if text.len() > TEXT_BYTES_MAX {
        return Err("is too long");
    }
    let is_printable = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if is_printable { Ok(text.to_owned()) } else { Err("holds other characters") }
}

/// An address for others to open.
fn web_address(text: &str) -> Result<Secret, &'static str> {
    let text = printable(text)?;
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') => Ok(Secret::new(text)),
        Some(_) | None => Err("is no such address"),
    }
}

/// An interface's name, as long as Linux lets one be, or an address.
fn interface(text: &str) -> Result<String, &'static str> {
    let is_name = text.len() < 16 && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
    if is_name || text.parse::<std::net::IpAddr>().is_ok() { Ok(text.to_owned()) } else { Err("is neither") }
}

/// Codes such as 404 and classes such as 5xx.
fn http_errors(text: &str) -> Result<String, &'static str> {
    let is_code = |code: &str| match code.as_bytes() {
        [b'4' | b'5', b'x' | b'X', b'x' | b'X'] => true,
        [b'4' | b'5', tens, ones] => tens.is_ascii_digit() && ones.is_ascii_digit(),
        _other => false,
    };
    let codes: Vec<&str> = text.split(',').map(str::trim).collect();
    if codes.iter().all(|code| is_code(code)) {
        Ok(codes.join(","))
    } else {
        Err("has an entry that is neither a code such as 404 nor a class such as 5xx")
    }
}
