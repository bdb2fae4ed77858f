//! VLC, without a window: it is asked at the end what it has shown.

use std::fs::{self, File};
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use super::stage::pause;
use super::{Shown, as_anybody};
use crate::kit::{LONG, PROGRAMME_RATE, until};

/// What it says when a viewer sees or hears something. That the stream signals a discontinuity, as it has to, is not among it; that a
/// counter does not follow is. Pictures that it has no time for are the machine's fault as often.
const COMPLAINTS: [&str; 6] = [
    " error: ",
    "discontinuity received",
    "clock gap",
    "is called too late",
    "buffer too late",
    "unable to open",
];
/// There is no desktop.
const OF_DESKTOPS: [&str; 2] = ["interface error", "libvlc error: interface"];
const STATISTICS: &str = "begin of statistical info";

pub(super) fn vlc(address: &str, time: Duration) -> Shown {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("said");
    let said = File::create(&path).unwrap();
    let mut command = as_anybody("vlc");
    command.args(["-I", "oldrc", "--rc-fake-tty", "-vv", "--no-color", "--vout", "dummy", "--aout", "dummy"]);
    command.args(["--play-and-exit", address]).env("HOME", folder.path());
    command.stdin(Stdio::piped()).stdout(said.try_clone().unwrap()).stderr(said);
    let mut child = command.spawn().expect("VLC, which scripts/prepare installs");
    let mut input = child.stdin.take().unwrap();
    pause(time);
    // It may have ended before: then it says nothing of what it has shown.
    let _ended = input.write_all(b"stats\n");
    let text = || String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
    until(LONG, "VLC says what it has shown", || {
        (text().contains("stats: returned") || child.try_wait().unwrap().is_some()).then_some(())
    });
    let _ended = input.write_all(b"quit\n");
    drop(input);
    until(LONG, "VLC ends", || child.try_wait().unwrap());
    let text = text();
    let (said, statistics) = text.split_once(STATISTICS).unwrap_or((&text, ""));
    let count = |name: &str| -> u32 {
        let line = statistics.lines().find(|line| line.contains(name));
        line.and_then(|line| line.rsplit(':').next()?.trim().parse().ok()).unwrap_or(0)
    };
    let is_complaint = |line: &&str| {
        COMPLAINTS.iter().any(|words| line.contains(words))
            && !OF_DESKTOPS.iter().any(|words| line.contains(words))
    };
    let mut complaints: Vec<_> = said.lines().filter(is_complaint).map(str::to_owned).collect();
    for kind in ["video", "audio"] {
        if !said.contains(&format!("using {kind} decoder module")) {
            complaints.push(format!("{kind} was not decoded"));
        }
    }
    let lost = count("buffers lost");
    if lost > 0 {
        complaints.push(format!("{lost} buffers of sound were lost"));
    }
    Shown { seconds: f64::from(count("frames displayed")) / f64::from(PROGRAMME_RATE), complaints }
}
