//! What holds between settings, and what is never shown.

use super::*;

#[test]
fn combinations_that_cannot_work_are_refused() {
    for (flags, problem) in [
        (
            "--tune-backoff-max-tunes 8 --tune-backoff-interval 0",
            "--tune-backoff-interval = 0 with --tune-backoff-max-tunes = 8: must be more than 0 while tunes are counted",
        ),
        (
            "--tune-backoff-cooldown 0",
            "--tune-backoff-cooldown = 0 with TUNE_BACKOFF_MAX_TUNES (default) = 8: must be more than 0 while tunes \
             are counted",
        ),
        (
            "--probe-interval 2s",
            "PROBE_TIMEOUT (default) = 3s with --probe-interval = 2s: must not be longer than the interval",
        ),
        (
            "--rate-limit-burst 0",
            "--rate-limit-burst = 0 with RATE_LIMIT_RPS (default) = 8: must be at least 1 while rates are limited",
        ),
        (
            "--producer-readrate 2",
            "PRODUCER_READRATE_CATCHUP (default) = 1.75 with --producer-readrate = 2: must not be less than the \
             ordinary rate",
        ),
        (
            "--http-addr 127.0.0.1:80 --http-addr-legacy :80",
            "--http-addr-legacy = :80 with --http-addr = 127.0.0.1:80: must be another place: one can be bound only \
             once",
        ),
        (
            "--refresh-schedule @daily --refresh-interval 1h",
            "--refresh-schedule = @daily with --refresh-interval = 1h: cannot both be given",
        ),
        (
            "--playlist-url http://u:hunter2@a/ --playlist-sources url=http://U:hunter2@A/,tuners=1",
            "PLAYLIST_SOURCES: holds the address of PLAYLIST_URL; each playlist is given once",
        ),
    ] {
        assert_eq!(with_flags(flags).unwrap_err(), [problem], "{flags}");
    }
}

#[test]
fn a_wrong_value_is_not_compared_with_others() {
    let problems = with_flags("--probe-interval 2s --probe-timeout soon").unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
}

#[test]
fn combinations_that_hardly_work_are_warned_of() {
    for (flags, start) in [
        (
            "--failover-total-timeout 5s",
            "--failover-total-timeout = 5s with STARTUP_TIMEOUT (default) = 12s: ends the",
        ),
        (
            "--startup-timeout 2s",
            "--startup-timeout = 2s with UPSTREAM_CONNECT_TIMEOUT (default) = 3s: ends a source",
        ),
        (
            "--stall-hard-deadline 3s",
            "--stall-hard-deadline = 3s with STALL_DETECT (default) = 4s: ends a recovery",
        ),
        (
            "--session-idle-timeout 0",
            "--session-idle-timeout = 0 with PREEMPT_SETTLE_DELAY (default) = 500ms: gives up",
        ),
        ("--ffmpeg-rw-timeout 4s", "--ffmpeg-rw-timeout = 4s with STALL_DETECT (default) = 4s: lets a stall"),
        ("--egress-delay 4s", "--egress-delay = 4s with STALL_DETECT (default) = 4s: holds bytes back"),
        ("--upnp-max-age 1m", "--upnp-max-age = 1m with UPNP_NOTIFY_INTERVAL (default) = 5m: is forgotten"),
        (
            "--ffmpeg-startup-probesize-bytes 5",
            "--ffmpeg-startup-probesize-bytes = 5 is too little for ffmpeg; 128000",
        ),
        (
            "--ffmpeg-startup-analyzeduration 10ms",
            "--ffmpeg-startup-analyzeduration = 10ms is too little for ffmpeg; 1s",
        ),
        ("--device-id 1234abcd", "--device-id = 1234abcd has a wrong check digit, so programs"),
    ] {
        let warnings = warnings(flags);
        assert_eq!(warnings.len(), 1, "{flags}: {warnings:?}");
        assert!(warnings[0].starts_with(start), "{}", warnings[0]);
    }
    assert!(warnings("--device-id 1234abcd")[0].ends_with("1234ABC2 would be right"));
    assert!(warnings("--device-id 1010c032")[0].contains(" is an id of devices without HTTP"));
    assert_eq!(warnings("--device-id 1234abc2"), [""; 0]);
    assert_eq!(warnings("--rate-limit-rps 0 --upnp-enabled=false --enable-metrics=false"), [""; 0]);
}

#[test]
fn whoever_gives_a_setting_without_effect_is_told() {
    for unused in UNUSED {
        let setting = find(unused.env).unwrap();
        let other = match setting.kind {
            Kind::Switch => if setting.default == "true" { "false" } else { "true" }.to_owned(),
            Kind::Whole { min, .. } => (min + 3).to_string(),
            Kind::Real { min, .. } => (min + 3.0).to_string(),
            Kind::Span { .. } => "41m".to_owned(),
            Kind::Special(_) | Kind::Private(_) | Kind::Choice(_) => match unused.env {
                "PLAYLIST_SOURCES" => "url=http://a/,tuners=1".to_owned(),
                other => panic!("what to give for {other}?"),
            },
        };
        let is_off = other == unused.off;
        let expected = format!("{} {}", unused.env, unused.effect);
        let loaded = with_env(&[(unused.env, &other)]).unwrap();
        let told = loaded.warnings.iter().any(|warning| warning.to_string() == expected);
        assert_eq!(told, !is_off, "{}={other}", unused.env);
        let shown = loaded.effective.iter().find(|effective| effective.env == unused.env).unwrap();
        assert!(shown.to_string().ends_with(unused.effect), "{shown}");
    }
}

#[test]
fn what_ffmpeg_inspects_has_a_floor() {
    for (flags, probe_bytes, analyze_ms) in [
        ("", 1_000_000, 1_500),
        ("--ffmpeg-startup-probesize-bytes 0 --ffmpeg-startup-analyzeduration 0", 1_000_000, 1_500),
        ("--ffmpeg-startup-probesize-bytes 5 --ffmpeg-startup-analyzeduration 10ms", 128_000, 1_000),
        ("--ffmpeg-startup-probesize-bytes 128000 --ffmpeg-startup-analyzeduration 1s", 128_000, 1_000),
        ("--ffmpeg-startup-probesize-bytes 2000000 --ffmpeg-startup-analyzeduration 3s", 2_000_000, 3_000),
    ] {
        let ffmpeg = with_flags(flags).unwrap().settings.ffmpeg;
        assert_eq!(ffmpeg.probe_bytes, probe_bytes, "{flags}");
        assert_eq!(ffmpeg.analyze_duration, Duration::from_millis(analyze_ms), "{flags}");
    }
}

#[test]
fn ffmpeg_reconnects_as_told_and_never_in_direct_mode() {
    let reconnect = |flags: &str| with_flags(flags).unwrap().settings.ffmpeg.reconnect;
    assert_eq!(reconnect("--stream-mode direct --ffmpeg-reconnect-enabled=true"), None);
    assert_eq!(reconnect("--ffmpeg-reconnect-enabled=false"), None);
    let as_documented = Reconnect { delay_max: seconds(3), max_retries: Some(1), http_errors: None };
    assert_eq!(reconnect("--ffmpeg-reconnect-enabled=true"), Some(as_documented));
    assert_eq!(
        reconnect(
            "--ffmpeg-reconnect-enabled=true --ffmpeg-reconnect-delay-max 0 --ffmpeg-reconnect-max-retries 0 --ffmpeg-reconnect-http-errors 404,5xx"
        ),
        Some(Reconnect {
            delay_max: seconds(0),
            max_retries: Some(0),
            http_errors: Some("404,5xx".to_owned())
        })
    );
    assert_eq!(
        reconnect("--ffmpeg-reconnect-enabled=true --ffmpeg-reconnect-max-retries -1").unwrap().max_retries,
        None
    );
}

#[test]
fn histories_follow_the_session_history_within_their_bounds() {
    for (flags, expected) in [
        ("", (256, 256, 256)),
        ("--session-history-limit 5", (5, 16, 16)),
        ("--session-history-limit 9000", (9_000, 4_096, 4_096)),
        ("--session-source-history-limit 3 --session-subscriber-history-limit 5000", (256, 16, 4_096)),
        ("--session-history-limit 300 --session-source-history-limit 128", (300, 128, 300)),
    ] {
        let session = with_flags(flags).unwrap().settings.session;
        let limits = (session.history_limit, session.source_history_limit, session.subscriber_history_limit);
        assert_eq!(limits, expected, "{flags}");
    }
}

#[test]
fn identity_is_only_what_was_said() {
    let discovery = with_flags("").unwrap().settings.discovery;
    assert_eq!((discovery.friendly_name, discovery.device_id, discovery.device_auth), (None, None, None));
    let said = with_env(&[("FRIENDLY_NAME", "HDHR IPTV"), ("DEVICE_ID", "deadbeef"), ("DEVICE_AUTH", "tok")]);
    let discovery = said.unwrap().settings.discovery;
    assert_eq!(discovery.friendly_name.as_deref(), Some(FRIENDLY_NAME_DEFAULT));
    assert_eq!(discovery.device_id, Some(0xDEAD_BEEF));
    assert_eq!(discovery.device_auth, Some(Secret::new("tok")));
}

#[test]
fn the_nearer_of_schedule_and_interval_counts() {
    let text =
        |loaded: Result<Loaded, _>| loaded.unwrap().settings.catalog.refresh.map(|schedule| schedule.text);
    assert_eq!(text(with_env(&[("REFRESH_INTERVAL", "2h")])).as_deref(), Some("0 */2 * * *"));
    assert_eq!(text(with_env(&[("REFRESH_INTERVAL", "0")])), None);
    let env = [("REFRESH_SCHEDULE", "@daily")];
    assert_eq!(text(load_all("--refresh-interval 30m", &env, "")).as_deref(), Some("*/30 * * * *"));
    assert_eq!(text(load_all("", &env, "REFRESH_INTERVAL=30m")).as_deref(), Some("@daily"));
    let both = with_env(&[("REFRESH_SCHEDULE", "@daily"), ("REFRESH_INTERVAL", "30m")]).unwrap();
    let doubts = both.warnings.iter().map(ToString::to_string);
    assert_eq!(doubts.count(), 1);
    assert_eq!(text(Ok(both)).as_deref(), Some("@daily"));
}

#[test]
fn secrets_are_never_shown() {
    let shown = |problems: Vec<String>| problems.join("\n");
    let wrong = with_env(&[
        ("ADMIN_AUTH", "hunter2"),
        ("DEVICE_AUTH", "hunter2\u{e4}"),
        ("PLAYLIST_URL", "ftp://u:hunter2@a/"),
        ("PLAYLIST_SOURCES", "url=http://u:hunter2@a/"),
    ]);
    let wrong = shown(wrong.unwrap_err());
    assert_eq!(wrong.lines().count(), 4);
    assert!(!wrong.contains("hunter2"), "{wrong}");
    assert!(wrong.contains("ADMIN_AUTH: (not shown) is not a name and a password"), "{wrong}");

    let right = with_env(&[
        ("ADMIN_AUTH", "admin:hunter2"),
        ("DEVICE_AUTH", "hunter2"),
        ("PLAYLIST_URL", "http://u:hunter2@a/"),
        ("PLAYLIST_SOURCES", "url=http://u:hunter2@b/,tuners=1"),
    ]);
    let right = right.unwrap();
    assert!(!format!("{right:?}").contains("hunter2"));
    let credentials = right.settings.admin.credentials.unwrap();
    assert_eq!((credentials.user.as_str(), credentials.password.expose()), ("admin", "hunter2"));
}

#[test]
fn foreign_variables_are_ignored_and_near_misses_noticed() {
    let loaded =
        with_env(&[("PATH", "/bin"), ("STAL_DETECT", "1s"), ("LOG_DIR", "/tmp"), ("HTTP_PROXY", "x")]);
    let warnings: Vec<String> = loaded.unwrap().warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "LOG_DIR has no effect: tunerd has no need of it",
            "STAL_DETECT is not a setting; is STALL_DETECT meant?",
        ]
    );
}

#[test]
fn a_variable_that_is_not_text_is_refused_only_if_it_is_a_setting() {
    let bytes = || OsString::from_vec(vec![0xFF]);
    let line = CommandLine::default();
    let no_file = |_: &Path| Err(io::Error::other("there is none"));
    let environment = [(OsString::from("STALL_DETECT"), bytes()), (OsString::from("OTHER"), bytes())];
    let problems = load(&line, environment, no_file).unwrap_err();
    assert_eq!(problems.to_string(), "STALL_DETECT: the value is not UTF-8");
}

#[test]
fn an_unreadable_file_is_a_problem_among_the_others() {
    let arguments = ["tunerd", "--config", "/none.env", "--tuner-count", "x"];
    let line = CommandLine::parse(arguments.map(OsString::from)).unwrap();
    let problems = load(&line, [], |_| Err(io::Error::other("it is away"))).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "--config: /none.env cannot be read: it is away\n--tuner-count: \"x\" is not a whole number; allowed: a \
         whole number from 1 to 65536"
    );
}
