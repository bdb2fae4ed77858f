//! Real players open what the lineup says, and have nothing to complain of.

mod kodi;
mod stage;
mod table;
mod vlc;

use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use stage::Stage;
use vlc::vlc;

use crate::kit::{Daemon, PROGRAMME, Upstream, judge, programme};

/// What a player has shown.
struct Shown {
    seconds: f64,
    complaints: Vec<String>,
}

/// A program with two channels of real pictures and sound, as its lineup shows them.
struct Offer {
    daemon: Daemon,
    _upstream: Upstream,
}

impl Offer {
    fn new() -> Offer {
        let upstream = Upstream::start();
        let mut daemon = Daemon::start(&[]);
        for number in ["100", "5.1"] {
            let path = format!("/file/{number}");
            upstream.offer(&path, programme(), PROGRAMME);
            daemon.channel(number, &[upstream.url(&path)]);
        }
        Offer { daemon, _upstream: upstream }
    }

    fn playlist(&self) -> String {
        format!("http://127.0.0.1:{}/lineup.m3u", self.daemon.port())
    }

    /// The addresses of the lineup, each with the attributes that stand before it.
    fn entries(&self) -> Vec<(String, String)> {
        let text = String::from_utf8(self.daemon.get("/lineup.m3u").body).unwrap();
        let lines: Vec<_> = text.lines().skip(1).map(str::to_owned).collect();
        lines.chunks(2).map(|entry| (entry[0].clone(), entry[1].clone())).collect()
    }
}

/// A program that does not run for root, who can be nobody.
fn as_anybody(program: &str) -> Command {
    if !nix::unistd::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", program]);
    command
}

fn is_installed(program: &str) -> bool {
    let mut asked = Command::new(program);
    asked.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// What a player says that has half a minute; `None` where it is not installed.
pub(crate) fn play(program: &str, arguments: &[&str]) -> Option<Output> {
    if !is_installed(program) {
        eprintln!("not tested: {program} is not installed");
        return None;
    }
    Some(play_within(Duration::from_secs(30), program, arguments))
}

fn play_within(limit: Duration, program: &str, arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut command = if program == "cvlc" { as_anybody("timeout") } else { Command::new("timeout") };
    command.arg(limit.as_secs().to_string()).arg(program).args(arguments);
    command.stdin(Stdio::null()).env("HOME", home.path()).output().unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

/// Whether mpv says that something is wrong.
pub(crate) fn complains(said: &str) -> bool {
    said.lines().any(|line| line.contains("error") || line.contains("Fail"))
}

#[test]
fn the_lineup_tells_players_what_it_knows_of_each_channel() {
    let entries = Offer::new().entries();
    assert_eq!(entries.len(), 2);
    for ((attributes, url), number) in entries.iter().zip(["100", "5.1"]) {
        assert!(attributes.contains(&format!(" tvg-chno=\"{number}\",entry-00")), "{attributes}");
        assert!(attributes.starts_with("#EXTINF:-1 tvg-id=\"entry-00"), "{attributes}");
        assert!(url.ends_with(&format!("/auto/v{number}")), "{url}");
    }
}

#[test]
fn ffmpeg_plays_each_channel_of_the_lineup_without_a_word() {
    let offer = Offer::new();
    for (_, url) in offer.entries() {
        let arguments = ["-v", "warning", "-nostdin", "-xerror", "-i", &url, "-t", "2", "-f", "null", "-"];
        let output = play("ffmpeg", &arguments).expect("tests need ffmpeg");
        assert!(output.status.success() && said(&output).is_empty(), "{url}: {}", said(&output));
    }
}

#[test]
fn curl_records_each_channel_of_the_lineup_without_a_fault() {
    let offer = Offer::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("recording.ts");
    for (_, url) in offer.entries() {
        let arguments = ["-sS", "--max-time", "2", "-o", file.to_str().unwrap(), &url];
        let output = play("curl", &arguments).expect("tests need curl");
        // 28: its time was over, as it was to be.
        assert_eq!(output.status.code(), Some(28), "{}", said(&output));
        let findings = judge(&fs::read(&file).unwrap());
        assert!(findings.packets > 1000 && findings.faults() == 0, "{url}: {findings:?}");
        // A probe of whatever comes first is what recorders begin with.
        let head = play("curl", &["-sS", "-I", &url]).expect("tests need curl");
        assert!(said(&head).starts_with("HTTP/1.1 200 OK\r\n"), "{}", said(&head));
    }
}

#[test]
fn mpv_plays_the_playlist_without_a_complaint() {
    let offer = Offer::new();
    let playlist = offer.playlist();
    let arguments =
        ["--no-config", "--vo=null", "--ao=null", "--length=2", "--msg-level=all=warn", &playlist];
    let Some(output) = play("mpv", &arguments) else { return };
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    assert!(!complains(&said), "{said}");
}

#[test]
fn vlc_plays_the_playlist_without_a_complaint() {
    let offer = Offer::new();
    let playlist = offer.playlist();
    let arguments = [
        "-vv",
        "--no-color",
        "--intf",
        "dummy",
        "--vout",
        "dummy",
        "--aout",
        "dummy",
        "--play-and-exit",
        "--run-time",
        "2",
        &playlist,
    ];
    let output = play("cvlc", &arguments).expect("VLC, which scripts/prepare installs");
    let said = said(&output);
    for kind in ["video", "audio"] {
        let decoded = said.matches(&format!("using {kind} decoder module")).count();
        assert!(decoded >= 2, "{kind} of {decoded} channels was decoded: {said}");
    }
    for complaint in
        ["discontinuity received", "clock gap", "cannot open", "unable to open", "HTTP 4", "HTTP 5"]
    {
        let lines: Vec<_> = said.lines().filter(|line| line.contains(complaint)).collect();
        assert!(lines.is_empty(), "{lines:?}");
    }
}

/// Shows a channel of which two sources are lost, and judges what VLC has shown.
fn vlc_shows_all_of(path: &str, starts_within: f64) {
    let mut stage = Stage::new();
    stage.channel("100");
    let time = Duration::from_secs(25);
    let shown = std::thread::scope(|scope| {
        let shown = scope.spawn(|| vlc(&stage.url(path), time));
        stage.perform("100", Duration::from_secs(6));
        shown.join().unwrap()
    });
    assert!(shown.complaints.is_empty(), "{} s: {:?}", shown.seconds, shown.complaints);
    assert!(shown.seconds > time.as_secs_f64() - starts_within, "{} s", shown.seconds);
}

#[test]
fn vlc_shows_the_slate_and_the_next_source_and_the_one_after_it_without_a_complaint() {
    vlc_shows_all_of("/auto/v100", 4.0);
}

/// A player that has to wait for what is not there yet says that it comes too late.
#[test]
fn vlc_shows_lists_through_the_slate_and_two_other_sources_and_never_waits_for_more() {
    vlc_shows_all_of("/hls/v100/index.m3u8", 9.0);
}
