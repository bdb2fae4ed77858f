//! What providers and ffmpeg say in confidence is told to nobody: not in the log, not in an answer, not in the database.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use crate::kit::{Daemon, LONG, Stopwatch, Viewer, exchange};
use crate::provider::{Act, Fault, Make, Plan, Provider, Refusal, When};
use crate::recorder::record;
use crate::scenario::{is_chosen, keep_log, settings};

/// In a source's address, which the database must keep.
const PASSWORD: &str = "canary-pw-5519";
const TOKEN: &str = "canary-tk-7102";
/// The password in base 64, as it is sent: `user:canary-pw-5519`.
const AUTHORIZATION: &str = "dXNlcjpjYW5hcnktcHctNTUxOQ==";
/// In a provider's answers.
const HEADER: &str = "canary-hd-3388";
const BODY: &str = "canary-bd-9214";
/// In what ffmpeg writes to its standard error.
const SAID: &str = "canary-ff-4407";

/// How long it may take until a failure is in the database.
const WRITTEN: Duration = Duration::from_secs(5);

/// Says everything in confidence and is ffmpeg then.
fn wrapper(folder: &Path) -> String {
    let path = folder.join("ffmpeg");
    let script = format!(
        "#!/bin/sh\n\
         echo \"Opening '$*' for reading\" >&2\n\
         echo 'http://user:{SAID}@provider/live/user/{SAID}/1.ts?token={SAID}: Server returned 403' >&2\n\
         echo 'Authorization: Basic {SAID}' >&2\n\
         echo 'Set-Cookie: sid={SAID}; path=/' >&2\n\
         echo 'password={SAID} token={SAID}' >&2\n\
         exec ffmpeg \"$@\"\n"
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn plan(script: &[Act]) -> Plan {
    Plan {
        headers: format!("Set-Cookie: sid={HEADER}\r\nX-Api-Key: {HEADER}\r\n"),
        body: format!(
            "{{\"error\":\"no such line\",\"password\":\"{BODY}\",\"url\":\"http://user:{BODY}@provider/x?token={BODY}\"}}"
        ),
        ..Plan::new(Make::SmallPrimary, script)
    }
}

/// Everything that can be asked for.
fn answers(daemon: &Daemon) -> Vec<(String, String)> {
    let paths = [
        "/api/admin/tuners",
        "/api/admin/tuners?resolve_ip=1",
        "/api/channels",
        "/api/channels/1/sources",
        "/api/channels/2/sources",
        "/api/items",
        "/lineup.json",
        "/lineup.m3u",
        "/lineup.xml",
        "/discover.json",
        "/healthz",
        "/metrics",
    ];
    let ask = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = exchange(daemon.port(), request.as_bytes()).unwrap();
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        (path.to_owned(), answer.head + &body)
    };
    paths.into_iter().map(ask).collect()
}

/// The places in which a secret is to be read.
fn leaks(places: &[(String, String)], secrets: &[&str]) -> Vec<String> {
    let mut leaks = Vec::new();
    for (place, text) in places {
        for line in text.lines() {
            leaks.extend(
                secrets.iter().filter(|secret| line.contains(*secret)).map(|_| format!("{place}: {line}")),
            );
        }
    }
    leaks
}

/// Plays a channel whose first provider goes wrong twice, and gives what is wrong.
fn play(mode: &str) -> Vec<String> {
    let clock = Stopwatch::start();
    let folder = tempfile::tempdir().unwrap();
    let ffmpeg = wrapper(folder.path());
    let mut settings = settings(mode, "slate_av");
    settings.extend([("FFMPEG_PATH", ffmpeg.as_str()), ("LOG_LEVEL", "trace"), ("ENABLE_METRICS", "true")]);
    let mut daemon = Daemon::start(&settings);
    let soon = Act::Fail(When::After(Duration::from_secs(5)), Fault::Eof);
    let providers = [
        Provider::start(clock, plan(&[Act::Refuse(Refusal::NotFound)])),
        Provider::start(clock, plan(&[soon, Act::Refuse(Refusal::TooMany)])),
        Provider::start(clock, plan(&[Act::Play])),
    ];
    let urls = providers
        .each_ref()
        .map(|provider| provider.url_with(&format!("user:{PASSWORD}"), &format!("token={TOKEN}&x=1")));
    daemon.channel("100", &urls);
    daemon.channel("200", &[format!("rtsp://user:{PASSWORD}@127.0.0.1:9/x?token={TOKEN}")]);
    let failed = exchange(daemon.port(), b"GET /auto/v200 HTTP/1.1\r\nHost: tv\r\n\r\n").unwrap();
    let viewer = Viewer::open(daemon.port(), "/auto/v100");
    let mut places =
        vec![("the answer to a tune".to_owned(), failed.head), ("another".to_owned(), viewer.head.clone())];
    let [.., last] = &providers;
    let mut during = Vec::new();
    record(viewer, clock, LONG, |now| {
        let is_over = last.played().is_some_and(|played| now > played + Duration::from_secs(2));
        if is_over {
            during = answers(&daemon);
        }
        is_over
    });
    let mut wrong = Vec::new();
    if during.is_empty() {
        wrong.push("the last provider did not play".to_owned());
    }
    places.append(&mut during);
    // A failure of a source is written down, and says what the provider answered.
    let is_reason =
        |(place, text): &(String, String)| place.ends_with("last_fail_reason") && !text.is_empty();
    let watch = Stopwatch::start();
    let mut written = Vec::new();
    while !written.iter().any(is_reason) && watch.left_of(WRITTEN).is_some() {
        std::thread::park_timeout(Duration::from_millis(20));
        written = daemon.texts();
        // An address of a source is kept as it is.
        written.retain(|(place, _)| !place.ends_with(".stream_url"));
    }
    if !written.iter().any(is_reason) {
        wrong.push("no failure was written down".to_owned());
    }
    places.append(&mut written);
    places.extend(answers(&daemon));
    places.push(("the log".to_owned(), daemon.log()));
    let everything = [PASSWORD, TOKEN, AUTHORIZATION, HEADER, BODY, SAID];
    wrong.extend(leaks(&places, &everything));
    for suffix in ["", "-wal"] {
        let path = format!("{}{suffix}", daemon.database().display());
        let bytes = fs::read(path).unwrap_or_default();
        let file = (format!("the database{suffix}"), String::from_utf8_lossy(&bytes).into_owned());
        wrong.extend(leaks(&[file], &[AUTHORIZATION, HEADER, BODY, SAID]));
    }
    // What is not told was there to be told. ffmpeg sends a password to those only who ask for one.
    let heads: String =
        providers.iter().flat_map(Provider::connections).map(|connection| connection.head).collect();
    let told = if mode == "direct" { AUTHORIZATION } else { TOKEN };
    if !heads.contains(told) || !heads.contains(TOKEN) {
        wrong.push(format!("the providers were not told who asks: {heads}"));
    }
    keep_log(&format!("secrets-{mode}"), &daemon, &wrong);
    wrong
}

#[test]
fn what_is_said_in_confidence_is_told_to_nobody() {
    if !is_chosen("secrets", true) {
        return;
    }
    let playing = ["direct", "ffmpeg-copy"].map(|mode| (mode, std::thread::spawn(move || play(mode))));
    let wrong: Vec<_> = playing
        .into_iter()
        .flat_map(|(mode, thread)| {
            thread.join().unwrap().into_iter().map(move |line| format!("{mode}: {line}"))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
