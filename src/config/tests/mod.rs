//! Settings from end to end: what is typed, and what the program gets or says.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::time::Duration;

use super::raw::Raw;
use super::reader::Reader;
use super::table::{UNUSED, find, settings, unused};
use super::words::{FillerMode, StallPolicy, StreamMode};
use super::*;

mod rules;

const EXAMPLE: &str = include_str!("../../../systemd/tunerd.env");

/// Loads from a command line, an environment and a file, all as text.
fn load_all(flags: &str, environment: &[(&str, &str)], file: &str) -> Result<Loaded, Vec<String>> {
    let arguments = ["tunerd", "--config", "a.env"].into_iter().chain(flags.split_ascii_whitespace());
    let line = CommandLine::parse(arguments.map(OsString::from)).unwrap();
    let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    load(&line, environment, |_path| Ok(file.to_owned()))
        .map_err(|problems| problems.0.iter().map(ToString::to_string).collect())
}

fn with_flags(flags: &str) -> Result<Loaded, Vec<String>> {
    load_all(flags, &[], "")
}

fn with_env(environment: &[(&str, &str)]) -> Result<Loaded, Vec<String>> {
    load_all("", environment, "")
}

fn warnings(flags: &str) -> Vec<String> {
    with_flags(flags).unwrap().warnings.iter().map(ToString::to_string).collect()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn every_setting_of_the_table_is_read_and_its_default_is_allowed_without_a_warning() {
    let raw = Raw::default();
    let mut reader = Reader::new(&raw);
    resolve::read_all(&mut reader);
    assert_eq!(reader.problems, []);
    let known: Vec<&str> = settings().map(|setting| setting.env).collect();
    let read: Vec<&str> = reader.read.iter().copied().collect();
    let mut sorted = known.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, read);
    assert_eq!(with_flags("").unwrap().warnings, []);
}

#[test]
fn the_example_file_has_every_setting_with_its_default_and_a_reason() {
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    let mut shown = BTreeMap::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(name_and_value) =
            line.strip_prefix('#').filter(|rest| rest.starts_with(char::is_alphanumeric))
        else {
            assert!(line.is_empty() || line.starts_with("# "), "{line}");
            continue;
        };
        let (name, value) = name_and_value.split_once('=').unwrap();
        assert!(shown.insert(name, value.trim_matches('"')).is_none(), "{name} twice");
        let reason = lines[index - 1];
        assert!(reason.starts_with("# ") && reason.ends_with('.') && reason.len() > 15, "{name}: {reason}");
        let effect = unused(name).map(|unused| format!(" It {}.", unused.effect));
        assert_eq!(effect.is_some(), reason.contains("no effect"), "{name}: {reason}");
        assert!(effect.is_none_or(|effect| reason.ends_with(effect.as_str())), "{name}: {reason}");
    }
    for setting in settings() {
        let value = shown.remove(setting.env).unwrap_or_else(|| panic!("{} is missing", setting.env));
        // The version would be out of date with every release.
        let expected = if setting.env == "USER_AGENT" { "" } else { setting.default };
        assert_eq!(value, expected, "{}", setting.env);
    }
    assert!(shown.is_empty(), "not settings: {shown:?}");
}

#[test]
fn the_example_file_without_its_signs_is_the_default() {
    let uncommented: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(char::is_alphanumeric) => format!("{rest}\n"),
            Some(_) | None => format!("{line}\n"),
        })
        .collect();
    let mut loaded = load_all("", &[], &uncommented).unwrap();
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.settings.discovery.friendly_name.take().as_deref(), Some(FRIENDLY_NAME_DEFAULT));
    assert_eq!(loaded.settings, with_flags("").unwrap().settings);
}

#[test]
fn defaults_are_the_documented_ones() {
    let settings = with_flags("").unwrap().settings;
    assert_eq!(settings.stream.mode, StreamMode::Auto);
    assert_eq!(settings.stream.user_agent, format!("tunerd/{}", env!("CARGO_PKG_VERSION")));
    assert_eq!(settings.stream.startup_timeout, seconds(12));
    assert_eq!(settings.stream.max_failovers, Some(3));
    assert!(settings.stream.random_access_in_recovery_only);
    assert_eq!(settings.recovery.stall_detect, seconds(4));
    assert_eq!(settings.recovery.hard_deadline, seconds(32));
    assert_eq!(settings.recovery.policy, StallPolicy::FailoverSource);
    let filler = settings.recovery.filler.unwrap();
    assert_eq!((filler.mode, filler.interval), (FillerMode::SlateAv, Duration::from_millis(200)));
    assert_eq!((filler.text.as_str(), filler.has_audio), ("Channel recovering...", true));
    assert!(settings.ffmpeg.copy_regenerate_timestamps && settings.ffmpeg.discard_corrupt);
    assert_eq!(settings.ffmpeg.reconnect, None);
    assert_eq!(settings.ffmpeg.rw_timeout, Some(seconds(3)));
    assert_eq!(settings.session.drain_timeout, seconds(2));
    assert_eq!(settings.session.max_subscribers, None);
    assert_eq!(settings.session.health_drain_timeout, Duration::from_millis(250));
    assert_eq!(settings.subscriber.join_lag_bytes, 8_388_608);
    assert_eq!(settings.buffer.flush_interval, Duration::from_millis(20));
    assert_eq!(settings.tuner.count, 2);
    assert_eq!(settings.http.listen, [BindAddress::All { port: 5004 }]);
    assert_eq!(settings.engine.cores, Count::Auto);
    assert_eq!(settings.discovery.lineup_max, Some(480));
    assert_eq!(settings.admin.credentials, None);
}

#[test]
fn zero_means_what_its_help_says() {
    let settings = with_flags(
        "--subscriber-max-blocked-write 0 --session-idle-timeout 0 --preempt-settle-delay 0 --max-failovers 0 \
         --subscriber-join-lag-bytes 0 --stall-max-failovers-per-stall 0 --cycle-failure-min-health 0 \
         --upstream-overlimit-cooldown 0s --session-max-subscribers 0 --request-timeout 0 --lineup-max 0 \
         --rate-limit-rps 0 --rate-limit-burst 0 --tune-backoff-max-tunes 0 --tune-backoff-interval 0 \
         --upnp-notify-interval 0 --ffmpeg-rw-timeout 0 --producer-initial-burst 0 --ffmpeg-input-buffer-size 0",
    )
    .unwrap()
    .settings;
    assert_eq!(settings.subscriber.max_blocked_write, None);
    assert_eq!(settings.session.idle_timeout, Duration::ZERO);
    assert_eq!(settings.subscriber.join_lag_bytes, 0);
    assert_eq!(settings.stream.max_failovers, None);
    assert_eq!(settings.recovery.max_failovers_per_stall, 0);
    assert_eq!(settings.recovery.min_health, None);
    assert_eq!(settings.stream.overlimit_cooldown, None);
    assert_eq!(settings.session.max_subscribers, None);
    assert_eq!(settings.http.request_timeout, None);
    assert_eq!(settings.http.rate_limit, None);
    assert_eq!(settings.discovery.lineup_max, None);
    assert_eq!(settings.tune_backoff, None);
    assert_eq!(settings.discovery.upnp.unwrap().notify_interval, None);
    assert_eq!(settings.ffmpeg.rw_timeout, None);
    assert_eq!(settings.ffmpeg.initial_burst_seconds, 0);
    assert_eq!(settings.ffmpeg.input_buffer_bytes, None);
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let file = "STALL_DETECT=1s\nSTALL_HARD_DEADLINE=10s\nPROBE_TIMEOUT=1s\nTUNER_COUNT=7";
    let env = [
        ("STALL_DETECT", "2s"),
        ("STALL_HARD_DEADLINE", " 20s "),
        ("PROBE_TIMEOUT", ""),
        ("TUNER_COUNT", "8"),
    ];
    let loaded = load_all("--stall-detect 3500ms --ffmpeg-rw-timeout 1s --tuner-count=", &env, file).unwrap();
    assert_eq!(loaded.settings.recovery.stall_detect, Duration::from_millis(3_500));
    assert_eq!(loaded.settings.recovery.hard_deadline, seconds(20));
    assert_eq!(loaded.settings.probe.timeout, seconds(1), "an empty variable is none");
    assert_eq!(loaded.settings.tuner.count, 2, "an empty flag is the default");
    let origins: BTreeMap<_, _> = loaded.effective.iter().map(|one| (one.env, one.origin)).collect();
    assert_eq!(origins["STALL_DETECT"], Origin::Flag);
    assert_eq!(origins["STALL_HARD_DEADLINE"], Origin::Environment);
    assert_eq!(origins["PROBE_TIMEOUT"], Origin::File { line: 3 });
    assert_eq!(origins["STALL_POLICY"], Origin::Default);
    let shown: Vec<String> = loaded.effective.iter().map(ToString::to_string).collect();
    for line in [
        "STALL_DETECT=3500ms (flag)",
        "STALL_HARD_DEADLINE=20s (environment)",
        "PROBE_TIMEOUT=1s (file, line 3)",
        "STALL_POLICY=failover_source (default)",
    ] {
        assert!(shown.iter().any(|one| one == line), "{line}");
    }
}

#[test]
fn bad_values_are_all_reported_at_once_under_the_names_they_were_given_by() {
    let env =
        [("STALL_POLICY", "x"), ("TUNER_COUNT", "0"), ("PROBE_TIMEOUT", "0"), ("UPNP_ENABLED", "maybe")];
    let problems =
        load_all("--stall-detect 5 --device-id 1234567 --producer-readrate NaN", &env, "CORES=65\nx\n");
    assert_eq!(
        problems.unwrap_err(),
        [
            "a.env line 2: is not NAME=VALUE",
            "--producer-readrate: \"NaN\" is out of range; allowed: a number from 0.01 to 100",
            "--stall-detect: \"5\" has no unit (ns, us, ms, s, m or h); allowed: a duration from 1ms to 744h0m0s",
            "STALL_POLICY: \"x\" is not one of its words; allowed: failover_source, restart_same or close_session",
            "TUNER_COUNT: \"0\" is out of range; allowed: a whole number from 1 to 65536",
            "PROBE_TIMEOUT: \"0\" is out of range; allowed: a duration from 1ms to 744h0m0s",
            "CORES (a.env line 1): \"65\" is out of range; allowed: auto, or a whole number from 1 to 64",
            "UPNP_ENABLED: \"maybe\" is neither true nor false; allowed: true or false",
            "--device-id: \"1234567\" is not eight hexadecimal digits; allowed: eight hexadecimal digits, or nothing",
        ].map(str::to_owned)
    );
}

#[test]
fn values_outside_their_range_are_refused() {
    for (name, value) in [
        ("STREAM_MODE", "hls"),
        ("STARTUP_TIMEOUT", "-1s"),
        ("STARTUP_TIMEOUT", "0s"),
        ("MIN_PROBE_BYTES", "0"),
        ("MAX_FAILOVERS", "-1"),
        ("FFMPEG_RECONNECT_MAX_RETRIES", "-2"),
        ("FFMPEG_RECONNECT_HTTP_ERRORS", "404,abc"),
        ("FFMPEG_INPUT_BUFFER_SIZE", "67108865"),
        ("STALL_MAX_FAILOVERS_PER_STALL", "-1"),
        ("CYCLE_FAILURE_MIN_HEALTH", "-1s"),
        ("SESSION_DRAIN_TIMEOUT", "-1s"),
        ("SESSION_MAX_SUBSCRIBERS", "-3"),
        ("SUBSCRIBER_JOIN_LAG_BYTES", "-1"),
        ("SUBSCRIBER_JOIN_LAG_BYTES", "8MiB"),
        ("PROBE_TIMEOUT", "-0.5s"),
        ("AUTO_PRIORITIZE_PROBE_TUNE_DELAY", "-1s"),
        ("AUTO_PRIORITIZE_WORKERS", "0"),
        ("RATE_LIMIT_RPS", "inf"),
        ("RATE_LIMIT_TRUSTED_PROXIES", "proxy.lan"),
        ("EGRESS_BYTES", "1315"),
        ("EGRESS_BYTES", "262145"),
        ("EGRESS_DELAY", "5001ms"),
        ("EGRESS_DELAY_MAX", "5001ms"),
        ("CORES", "0"),
        ("ZERO_COPY", "yes"),
        ("LOG_LEVEL", "verbose"),
        ("USER_AGENT", "tünerd"),
        ("FRIENDLY_NAME", "a\nb"),
        ("HTTP_ADDR", "5004"),
        ("DEVICE_ID", "FFFFFFFF"),
        ("TRADITIONAL_GUIDE_START", "0"),
        ("TRADITIONAL_GUIDE_START", "10000"),
        ("CATALOG_SEARCH_MAX_TERMS", "257"),
        ("REFRESH_SCHEDULE", "not-a-cron"),
        ("REFRESH_INTERVAL", "7m"),
        ("UPNP_MAX_AGE", "500ms"),
    ] {
        let problems = with_env(&[(name, value)]).unwrap_err();
        assert_eq!(problems.len(), 1, "{name}={value}: {problems:?}");
        assert!(problems[0].starts_with(&format!("{name}: ")), "{problems:?}");
    }
}

#[test]
fn words_and_switches_are_read_in_every_usual_spelling() {
    let settings = with_env(&[
        ("STREAM_MODE", " FFMPEG-Copy "),
        ("RECOVERY_FILLER_MODE", "slate-av"),
        ("ENABLE_METRICS", "T"),
        ("UPNP_ENABLED", "off"),
        ("LOG_LEVEL", "TRACE"),
        ("CORES", "auto"),
        ("AUTO_PRIORITIZE_WORKERS", "Auto"),
    ])
    .unwrap()
    .settings;
    assert_eq!(settings.stream.mode, StreamMode::FfmpegCopy);
    assert_eq!(settings.recovery.filler.unwrap().mode, FillerMode::SlateAv);
    assert!(settings.http.has_metrics);
    assert_eq!(settings.discovery.upnp, None);
    assert_eq!(settings.log_level, log::LevelFilter::Trace);
    assert_eq!((settings.engine.cores, settings.probe.workers), (Count::Auto, Count::Auto));
}
