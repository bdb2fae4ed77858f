//! What must hold between settings.

use std::net::SocketAddr;

use super::address::BindAddress;
use super::device_id::{device_id_is_legacy, device_id_is_valid_hdhomerun, generate_device_id};
use super::raw::Origin;
use super::reader::{Reader, known};
use super::settings::{ANALYZE_DURATION_MIN, PROBE_BYTES_MIN, Settings};
use super::table::UNUSED;

/// Compares settings that are right one by one. What cannot work is a problem, what hardly works a warning.
pub(super) fn check(reader: &mut Reader<'_>, settings: &Settings) {
    check_what_cannot_work(reader, settings);
    check_timing(reader, settings);
    check_raised(reader, settings);
    check_identity(reader, settings);
    check_refresh(reader);
    check_effect(reader);
}

fn check_what_cannot_work(reader: &mut Reader<'_>, settings: &Settings) {
    if let Some(backoff) = &settings.tune_backoff {
        for (env, value) in
            [("TUNE_BACKOFF_INTERVAL", backoff.interval), ("TUNE_BACKOFF_COOLDOWN", backoff.cooldown)]
        {
            let fails = value.is_zero();
            conflict_if(
                reader,
                fails,
                [env, "TUNE_BACKOFF_MAX_TUNES"],
                "must be more than 0 while tunes are counted",
            );
        }
    }
    let probe = &settings.probe;
    let fails = probe.interval.is_some_and(|interval| probe.timeout > interval);
    conflict_if(reader, fails, ["PROBE_TIMEOUT", "PROBE_INTERVAL"], "must not be longer than the interval");
    let fails = settings.http.rate_limit.as_ref().is_some_and(|limit| limit.burst == 0);
    conflict_if(
        reader,
        fails,
        ["RATE_LIMIT_BURST", "RATE_LIMIT_RPS"],
        "must be at least 1 while rates are limited",
    );
    let fails = settings.ffmpeg.read_rate_catch_up < settings.ffmpeg.read_rate;
    conflict_if(
        reader,
        fails,
        ["PRODUCER_READRATE_CATCHUP", "PRODUCER_READRATE"],
        "must not be less than the ordinary rate",
    );
    let fails = matches!(settings.http.listen.as_slice(), [main, legacy] if overlap(*main, *legacy));
    conflict_if(
        reader,
        fails,
        ["HTTP_ADDR_LEGACY", "HTTP_ADDR"],
        "must be another place: one can be bound only once",
    );
    check_playlists(reader, settings);
}

/// The one playlist must not be among the further ones. Neither is shown.
fn check_playlists(reader: &mut Reader<'_>, settings: &Settings) {
    let catalog = &settings.catalog;
    let Some(main) = &catalog.playlist_url else { return };
    if catalog.playlist_sources.iter().any(|source| source.url.expose().eq_ignore_ascii_case(main.expose())) {
        reader.conflict(
            "PLAYLIST_SOURCES: holds the address of PLAYLIST_URL; each playlist is given once".to_owned(),
        );
    }
}

fn check_timing(reader: &mut Reader<'_>, settings: &Settings) {
    let (stream, recovery) = (&settings.stream, &settings.recovery);
    let checks = [
        (
            stream.failover_total_timeout < stream.startup_timeout,
            ["FAILOVER_TOTAL_TIMEOUT", "STARTUP_TIMEOUT"],
            "ends the first source before its own time is up, and no other is tried",
        ),
        (
            stream.startup_timeout < stream.connect_timeout,
            ["STARTUP_TIMEOUT", "UPSTREAM_CONNECT_TIMEOUT"],
            "ends a source before its connection may fail",
        ),
        (
            recovery.hard_deadline < recovery.stall_detect,
            ["STALL_HARD_DEADLINE", "STALL_DETECT"],
            "ends a recovery before a stall of the next source is noticed",
        ),
        (
            settings.session.idle_timeout < settings.tuner.settle_delay,
            ["SESSION_IDLE_TIMEOUT", "PREEMPT_SETTLE_DELAY"],
            "gives up a channel so soon that whoever comes right back waits for its tuner",
        ),
        (
            settings.ffmpeg.rw_timeout.is_some_and(|timeout| timeout >= recovery.stall_detect),
            ["FFMPEG_RW_TIMEOUT", "STALL_DETECT"],
            "lets a stall be declared before ffmpeg notices that its input is silent",
        ),
        (
            settings.engine.egress_delay >= recovery.stall_detect,
            ["EGRESS_DELAY", "STALL_DETECT"],
            "holds bytes back for longer than a stall lasts",
        ),
        (
            settings.engine.egress_delay_max >= recovery.stall_detect,
            ["EGRESS_DELAY_MAX", "STALL_DETECT"],
            "holds bytes back for longer than a stall lasts while a core is busy",
        ),
    ];
    for (is_doubtful, names, why) in checks {
        doubt_if(reader, is_doubtful, names, why);
    }
    if let Some(upnp) = &settings.discovery.upnp {
        let is_doubtful = upnp.notify_interval.is_some_and(|interval| interval >= upnp.max_age);
        let why = "is forgotten by the network before it is told again";
        doubt_if(reader, is_doubtful, ["UPNP_MAX_AGE", "UPNP_NOTIFY_INTERVAL"], why);
    }
}

/// Values that are raised to what ffmpeg needs.
fn check_raised(reader: &mut Reader<'_>, settings: &Settings) {
    for (env, is_least, least) in [
        ("FFMPEG_STARTUP_PROBESIZE_BYTES", settings.ffmpeg.probe_bytes == PROBE_BYTES_MIN, "128000"),
        ("FFMPEG_STARTUP_ANALYZEDURATION", settings.ffmpeg.analyze_duration == ANALYZE_DURATION_MIN, "1s"),
    ] {
        if is_least && reader.is_given(env) && !reader.is_typed(env, least) {
            let text = format!("{} is too little for ffmpeg; {least} is used", reader.describe(env));
            reader.doubt(text);
        }
    }
}

fn check_identity(reader: &mut Reader<'_>, settings: &Settings) {
    let Some(id) = settings.discovery.device_id else { return };
    if !device_id_is_valid_hdhomerun(id) {
        let near = generate_device_id(id);
        let text = format!(
            "{} has a wrong check digit, so programs built on libhdhomerun overlook it; {near:08X} would be right",
            reader.describe("DEVICE_ID"),
        );
        reader.doubt(text);
    } else if device_id_is_legacy(id) {
        let near = generate_device_id(id);
        let text = format!(
            "{} is an id of devices without HTTP, of which clients show no channels; {near:08X} would not be",
            reader.describe("DEVICE_ID"),
        );
        reader.doubt(text);
    }
}

/// Of a schedule and an interval the nearer one counts. On one command line that can only be a slip; an
/// environment may hold an old interval beside the schedule, which then counts.
fn check_refresh(reader: &mut Reader<'_>) {
    let names = ["REFRESH_SCHEDULE", "REFRESH_INTERVAL"];
    let [schedule, interval] = names.map(|env| reader.origin(env));
    let is_same = matches!(
        (schedule, interval),
        (Origin::Environment, Origin::Environment) | (Origin::File { .. }, Origin::File { .. })
    );
    conflict_if(reader, (schedule, interval) == (Origin::Flag, Origin::Flag), names, "cannot both be given");
    doubt_if(reader, is_same, names, "are both given; the schedule counts");
}

fn conflict_if(reader: &mut Reader<'_>, fails: bool, names: [&str; 2], why: &str) {
    if fails && reader.are_right(&names) {
        let text = sentence(reader, names, why);
        reader.conflict(text);
    }
}

fn doubt_if(reader: &mut Reader<'_>, is_doubtful: bool, names: [&str; 2], why: &str) {
    if is_doubtful && reader.are_right(&names) {
        let text = sentence(reader, names, why);
        reader.doubt(text);
    }
}

fn sentence(reader: &Reader<'_>, [subject, other]: [&str; 2], why: &str) -> String {
    format!("{} with {}: {why}", reader.describe(subject), reader.describe(other))
}

/// Whether the second of two listeners would find its place taken.
fn overlap(one: BindAddress, other: BindAddress) -> bool {
    if one.port() != other.port() || one.port() == 0 {
        return false;
    }
    match (one, other) {
        (BindAddress::All { .. }, _) | (_, BindAddress::All { .. }) => true,
        (BindAddress::Loopback { .. }, BindAddress::Loopback { .. }) => true,
        (BindAddress::Loopback { .. }, BindAddress::One(address))
        | (BindAddress::One(address), BindAddress::Loopback { .. }) => {
            address.ip().is_loopback() || is_every_v4(address)
        }
        (BindAddress::One(one), BindAddress::One(other)) => {
            let one_covers = |one: SocketAddr, other: SocketAddr| is_every_v4(one) && other.is_ipv4();
            one == other || one_covers(one, other) || one_covers(other, one)
        }
    }
}

fn is_every_v4(address: SocketAddr) -> bool {
    address.is_ipv4() && address.ip().is_unspecified()
}

/// Who asks for something that has no effect is told, and not left to wait for it. The defaults stand in files that were
/// written for others, and what turns a thing off that is not there is obeyed.
fn check_effect(reader: &mut Reader<'_>) {
    for unused in UNUSED {
        let asks_for = |value: &str| reader.is_typed(unused.env, value);
        if !asks_for(unused.off) && !asks_for(known(unused.env).default) {
            reader.doubt(format!("{} {}", reader.name(unused.env), unused.effect));
        }
    }
}
