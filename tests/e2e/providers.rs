//! Providers as they are: what they want to be told, what they answer, how they count.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::kit::{Daemon, LONG, Upstream, free_port, judge, until};

const SHORT: Duration = Duration::from_secs(5);

/// The channel plays without a fault. What ffmpeg has muxed anew is not packet for packet what the provider sent.
fn assert_plays(daemon: &Daemon, path: &str, what: &str) {
    let recording = daemon.open(path).watch(Duration::from_secs(1));
    let findings = judge(&recording);
    assert!(
        findings.packets > 300 && findings.continuity_errors == 0 && findings.no_pat_first == 0,
        "{what}: {findings:?}\n{}",
        daemon.log()
    );
}

/// Ways in which lists say the two fields that the provider wants; `{url}` stands for the address.
const NOTATIONS: [(&str, &str); 7] = [
    ("options behind the address", "{url}|User-Agent=Box/7.1 (TV)&Referer=http://portal.example/watch"),
    (
        "the same, percent-encoded",
        "{url}|User-Agent=Box%2F7.1%20%28TV%29&Referer=http%3A%2F%2Fportal.example%2Fwatch",
    ),
    (
        "lines for VLC",
        "#EXTVLCOPT:http-user-agent=Box/7.1 (TV)\n#EXTVLCOPT:http-referrer=http://portal.example/watch\n{url}",
    ),
    (
        "a property for Kodi",
        "#KODIPROP:inputstream.adaptive.stream_headers=\
         User-Agent=Box%2F7.1%20%28TV%29&Referer=http%3A%2F%2Fportal.example%2Fwatch\n{url}",
    ),
    (
        "fields as JSON",
        "#EXTHTTP:{\"User-Agent\":\"Box/7.1 (TV)\",\"Referer\":\"http://portal.example/watch\"}\n{url}",
    ),
    ("two ways", "#EXTVLCOPT:http-user-agent=Box/7.1 (TV)\n{url}|Referer=http://portal.example/watch"),
    (
        "the nearer wins",
        "#EXTVLCOPT:http-user-agent=other\n{url}|User-Agent=Box/7.1 (TV)&Referer=http://portal.example/watch",
    ),
];

#[test]
fn header_fields_of_an_entry_reach_the_provider_in_every_mode_however_they_are_said() {
    const CANARY: &str = "canary5512";
    for mode in ["direct", "ffmpeg-copy"] {
        let upstream = Upstream::start();
        let mut daemon =
            Daemon::start(&[("STREAM_MODE", mode), ("LOG_LEVEL", "trace"), ("TUNER_COUNT", "8")]);
        for (number, (what, notation)) in (100..).zip(NOTATIONS) {
            let path = format!("/box/4000000/{number}");
            let mut entry = notation.replace("{url}", &upstream.url(&path));
            if number == 100 {
                entry.push_str(&format!("&X-Key={CANARY}&Cookie=sid={CANARY}"));
            }
            daemon.channel(&number.to_string(), &[entry]);
            assert_plays(&daemon, &format!("/auto/v{number}"), &format!("{mode}, {what}"));
            if number == 100 {
                let request = upstream.requests(&path).pop().unwrap();
                for field in [format!("\r\nX-Key: {CANARY}\r\n"), format!("\r\nCookie: sid={CANARY}\r\n")] {
                    assert!(request.contains(&field), "{mode}: {request}");
                }
            }
        }
        let items = daemon.get("/api/items").json();
        let mut shown = items["items"].as_array().unwrap().iter().map(|item| &item["headers"]);
        assert!(shown.any(|headers| headers["User-Agent"] == "Box/7.1 (TV)" && headers["X-Key"] == "***"));
        for (place, text) in [
            ("the log", daemon.log()),
            ("items", items.to_string()),
            ("sources", String::from_utf8(daemon.get("/api/channels/1/sources").body).unwrap()),
            ("status", String::from_utf8(daemon.get("/api/admin/tuners").body).unwrap()),
        ] {
            assert_eq!(text.lines().find(|line| line.contains(CANARY)), None, "{mode}: {place}");
        }
    }
}

#[test]
fn what_players_open_is_opened() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[]);
    for (number, path) in (100..).zip(["/cookie/4000000/a", "/bare/4000000/a", "/odd/4000000/a"]) {
        daemon.channel(&number.to_string(), &[upstream.url(path)]);
        assert_plays(&daemon, &format!("/auto/v{number}"), path);
        until(SHORT, "nobody watches", || daemon.viewers().is_empty().then_some(()));
    }
}

#[test]
fn a_compressed_body_that_nobody_asked_for_is_told_as_such() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[]);
    daemon.channel("100", &[upstream.url("/gzip/a")]);
    assert_eq!(daemon.get("/auto/v100").status, 503);
    until(SHORT, "the log says why", || {
        daemon.log().contains("upstream sends its body compressed (gzip)").then_some(())
    });
}

#[test]
fn whoever_changes_the_channel_gets_a_picture_from_an_account_with_one_connection() {
    for refusal in ["458", "403", "404", "429", "503", "509", "empty", "close"] {
        let upstream = Upstream::start();
        let mut daemon = Daemon::start(&[("TUNER_COUNT", "1"), ("PREEMPT_SETTLE_DELAY", "0")]);
        for number in 0..2 {
            let path = format!("/account/4000000/{refusal}/700/{number}");
            daemon.channel(&format!("10{number}"), &[upstream.url(&path)]);
        }
        for change in 0..3 {
            assert_plays(
                &daemon,
                &format!("/auto/v10{}", change % 2),
                &format!("{refusal}, change {change}"),
            );
        }
        let account = upstream.account();
        assert_eq!(account.streams_max, 1, "{refusal}");
        assert!(account.refused > 0, "{refusal}: the provider has not noticed late");
    }
}

#[test]
fn how_long_a_provider_counts_is_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("kept.db");
    let upstream = Upstream::start();
    let start = || {
        let port = free_port();
        let settings = [("TUNER_COUNT", "1"), ("PREEMPT_SETTLE_DELAY", "0"), ("SESSION_IDLE_TIMEOUT", "0")];
        Daemon::start_with(port, &settings, |command| {
            command.env("DB_PATH", &database).env("HTTP_ADDR", format!("127.0.0.1:{port}"));
        })
    };
    let play = |daemon: &Daemon, number: u32| {
        assert_plays(daemon, &format!("/auto/v10{number}"), &format!("channel {number}"));
        upstream.account().refused
    };
    let mut daemon = start();
    for number in 0..2 {
        daemon
            .channel(&format!("10{number}"), &[upstream.url(&format!("/account/4000000/403/2000/{number}"))]);
    }
    assert_eq!(play(&daemon, 0), 0);
    let refused = play(&daemon, 1);
    assert!(refused > 0, "the provider has not noticed late");
    daemon.signal(Signal::SIGTERM);
    daemon.ended(LONG);
    // The connection of before is counted when the channel is tuned again.
    let daemon = start();
    let refused = {
        let now = play(&daemon, 0);
        assert!(now > refused, "it is not known that one was open");
        now
    };
    assert_eq!(play(&daemon, 1), refused, "the provider is asked when it is known not to count any more");
    assert_eq!(upstream.account().streams_max, 1);
}
