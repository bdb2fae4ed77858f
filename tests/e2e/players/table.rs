//! Every player that is installed shows a channel of which two sources are lost, and a table says what came of it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::kodi::{self, Way};
use super::stage::Stage;
use super::{Shown, complains, is_installed, play_within, said, vlc};
use crate::kit::{Daemon, Network, Stopwatch, Upstream, judge};

/// What each is given beside what it is to show.
const START: Duration = Duration::from_secs(20);
/// A player begins with what it has in stock, and that comes after a while: of lists after longer.
const STARTS_WITHIN: [f64; 2] = [5.0, 12.0];

/// One who watches.
struct Row {
    player: &'static str,
    /// What of, as the table has it.
    way: &'static str,
    guide_number: &'static str,
    watch: fn(&Stage, &Row, Duration) -> Shown,
}

impl Row {
    const fn new(
        player: &'static str,
        way: &'static str,
        guide_number: &'static str,
        watch: fn(&Stage, &Self, Duration) -> Shown,
    ) -> Self {
        Self { player, way, guide_number, watch }
    }

    fn url(&self, stage: &Stage) -> String {
        stage.url(&self.way.replace("{n}", self.guide_number))
    }

    fn is_list(&self) -> bool {
        self.way.ends_with("m3u8")
    }
}

const STREAM: &str = "/auto/v{n}";
const LIST: &str = "/hls/v{n}/index.m3u8";
const LINEUP: &str = "/lineup.m3u";
const CHROMIUM: &str = "/usr/bin/chromium";

/// Whether a player is installed, with what it needs here.
fn is_there(player: &str) -> bool {
    match player {
        "Kodi" => kodi::program().is_some(),
        "Chromium" => Path::new(CHROMIUM).is_file(),
        "mpv" => is_installed("mpv"),
        _ => true,
    }
}

fn by_ffmpeg(stage: &Stage, row: &Row, time: Duration) -> Shown {
    let (url, seconds) = (row.url(stage), time.as_secs().to_string());
    let arguments =
        ["-nostdin", "-v", "warning", "-progress", "pipe:1", "-i", &url, "-t", &seconds, "-f", "null", "-"];
    let output = play_within(time + START, "ffmpeg", &arguments);
    let progress = String::from_utf8_lossy(&output.stdout);
    let micros =
        progress.lines().rev().find_map(|line| line.strip_prefix("out_time_us=")?.parse::<f64>().ok());
    let errors = String::from_utf8_lossy(&output.stderr);
    Shown { seconds: micros.unwrap_or(0.0) / 1e6, complaints: errors.lines().map(str::to_owned).collect() }
}

fn by_mpv(stage: &Stage, row: &Row, time: Duration) -> Shown {
    let (url, length) = (row.url(stage), format!("--length={}", time.as_secs()));
    let arguments = ["--no-config", "--vo=null", "--ao=null", "--msg-level=all=warn", &length, &url];
    let watch = Stopwatch::start();
    let output = play_within(time + START, "mpv", &arguments);
    let said = said(&output);
    let mut complaints: Vec<_> = said.lines().filter(|line| complains(line)).map(str::to_owned).collect();
    if !output.status.success() {
        complaints.push(format!("{} after {:?}", output.status, watch.elapsed()));
    }
    // It ends by itself when it has shown as much as it was to show.
    let seconds = if output.status.success() { time.as_secs_f64() } else { 0.0 };
    Shown { seconds, complaints }
}

fn by_vlc(stage: &Stage, row: &Row, time: Duration) -> Shown {
    vlc(&row.url(stage), time)
}

fn by_curl(stage: &Stage, row: &Row, time: Duration) -> Shown {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("recording.ts");
    let (url, seconds) = (row.url(stage), time.as_secs().to_string());
    let output = play_within(
        time + START,
        "curl",
        &["-sS", "--max-time", &seconds, "-o", file.to_str().unwrap(), &url],
    );
    let findings = judge(&std::fs::read(&file).unwrap());
    let mut complaints = Vec::new();
    // 28: its time was over, as it was to be.
    if output.status.code() != Some(28) {
        complaints.push(said(&output));
    }
    if findings.faults() > 0 {
        complaints.push(format!("{findings:?}"));
    }
    Shown { seconds: time.as_secs_f64(), complaints }
}

fn by_chromium(stage: &Stage, row: &Row, time: Duration) -> Shown {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    let output = Command::new("node")
        .arg(folder.join("plays.mjs"))
        .env("ADDRESS", stage.url(""))
        .env("CHROMIUM", CHROMIUM)
        .env("CHANNEL", stage.id_of(row.guide_number).to_string())
        .env("SECONDS", time.as_secs().to_string())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let shown: Value =
        text.lines().rev().find_map(|line| serde_json::from_str(line).ok()).unwrap_or_default();
    let mut complaints = Vec::new();
    if !output.status.success() {
        complaints.push(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    if !shown["wrong"].is_null() {
        complaints.push(shown["wrong"].to_string());
    }
    Shown { seconds: shown["seconds"].as_f64().unwrap_or(0.0), complaints }
}

fn by_kodi(stage: &Stage, row: &Row, time: Duration) -> Shown {
    let url = row.url(stage);
    kodi::play(&if row.way == LINEUP { Way::Playlist(&url) } else { Way::Address(&url) }, time)
}

/// A row of the table, and what is wrong with it.
fn tell(row: &Row, time: Duration, failovers: usize, shown: &Shown) -> Vec<String> {
    let (player, way) = (row.player, row.way.replace("{n}", row.guide_number));
    let Shown { seconds, complaints } = shown;
    println!(
        "{player:10} {way:24} {seconds:6.1} of {:3} s {failovers:3} failovers  {}",
        time.as_secs(),
        complaints.len()
    );
    complaints.iter().for_each(|line| println!("  {line}"));
    let mut wrong: Vec<_> = complaints.iter().map(|line| format!("{player} {way}: {line}")).collect();
    let least = time.as_secs_f64() - STARTS_WITHIN[usize::from(row.is_list())];
    if *seconds < least || failovers < 2 {
        wrong.push(format!("{player} {way}: {seconds} s shown, through {failovers} failovers"));
    }
    wrong
}

/// Some watch at the same time, and their channels lose their sources. Gives what was wrong.
fn together(stage: &mut Stage, rows: &[Row], time: Duration) -> Vec<String> {
    let rows = rows.iter().filter(|row| is_wanted(row.player));
    let (rows, missing): (Vec<_>, Vec<_>) = rows.partition(|row| is_there(row.player));
    missing.iter().for_each(|row| println!("{:10} {:24} not installed", row.player, row.way));
    let mut numbers: Vec<_> = rows.iter().map(|row| row.guide_number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.iter().for_each(|number| stage.channel(number));
    let stage = &*stage;
    // Four parts: three sources, and the slate with what it takes to look for them.
    let each = (time - Duration::from_secs(6)) / 3;
    std::thread::scope(|scope| {
        let watching: Vec<_> =
            rows.iter().map(|&row| (row, scope.spawn(move || (row.watch)(stage, row, time)))).collect();
        let performed: Vec<_> =
            numbers.iter().map(|number| scope.spawn(move || stage.perform(number, each))).collect();
        let shown: Vec<_> = watching.into_iter().map(|(row, thread)| (row, thread.join().unwrap())).collect();
        let mut wrong = Vec::new();
        for (row, shown) in shown {
            wrong.extend(tell(row, time, stage.failovers(row.guide_number), &shown));
        }
        performed.into_iter().for_each(|thread| thread.join().unwrap());
        wrong
    })
}

/// Kodi in another host, which finds the tuner by a broadcast.
fn kodi_by_broadcast(time: Duration) -> Vec<String> {
    if !is_there("Kodi") || !is_wanted("Kodi") {
        return Vec::new();
    }
    let Some(network) = Network::with_others(1) else { return Vec::new() };
    // It is told what to do by its own host.
    network.run(0, 5, "ip", &["link", "set", "lo", "up"]);
    let port = 5004;
    let mut settings = Stage::settings().to_vec();
    settings.push(("HDHR_DISCOVERY_ENABLED", "true"));
    let row = Row::new("Kodi", "HDHomeRun", "100", |_, _, time| kodi::play(&Way::Tuner, time));
    let mut stage = network.at_home(|| {
        Stage::of(|| {
            let daemon = Daemon::start_with(port, &settings, |command| {
                command.env("HTTP_ADDR", format!("0.0.0.0:{port}"));
            });
            (daemon, Upstream::start())
        })
    });
    network.at_home(|| stage.channel("100"));
    let stage = &stage;
    let each = (time - Duration::from_secs(6)) / 3;
    std::thread::scope(|scope| {
        let performing = scope.spawn(|| network.at_home(|| stage.perform("100", each)));
        let shown = network.at(0, || (row.watch)(stage, &row, time));
        performing.join().unwrap();
        tell(&row, time, stage.failovers("100"), &shown)
    })
}

/// Who is to show everything for long: `all`, or names with commas between them. Without it a few do, for a short time.
#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says how much of them")]
fn wanted() -> Option<String> {
    std::env::var("PLAYERS").ok().filter(|wanted| !wanted.is_empty())
}

fn is_wanted(player: &str) -> bool {
    wanted().is_none_or(|wanted| wanted == "all" || wanted.split(',').any(|name| name == player))
}

#[test]
fn players_show_the_slate_and_the_next_source_and_the_one_after_it_without_a_complaint() {
    let mut streams = vec![
        Row::new("ffmpeg", STREAM, "103", by_ffmpeg),
        Row::new("mpv", STREAM, "102", by_mpv),
        Row::new("curl", STREAM, "104", by_curl),
    ];
    if wanted().is_none() {
        let wrong = together(&mut Stage::new(), &streams, Duration::from_secs(24));
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        return;
    }
    streams.push(Row::new("VLC", STREAM, "101", by_vlc));
    // Of a list with more channels players show one after the other.
    let lineup = [Row::new("VLC", LINEUP, "100", by_vlc), Row::new("mpv", LINEUP, "100", by_mpv)];
    let lists = [
        Row::new("ffmpeg", LIST, "100", by_ffmpeg),
        Row::new("VLC", LIST, "101", by_vlc),
        Row::new("mpv", LIST, "102", by_mpv),
        Row::new("Chromium", LIST, "103", by_chromium),
    ];
    let (short, long) = (Duration::from_secs(30), Duration::from_secs(60));
    let mut wrong = together(&mut Stage::new(), &streams, short);
    wrong.extend(together(&mut Stage::new(), &lineup, short));
    wrong.extend(together(&mut Stage::new(), &lists, long));
    for (way, time) in [(STREAM, short), (LINEUP, short), (LIST, long)] {
        wrong.extend(together(&mut Stage::new(), &[Row::new("Kodi", way, "100", by_kodi)], time));
    }
    wrong.extend(kodi_by_broadcast(short));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
