//! What VLC says to a recording, where it is installed. It plays in real time, so this is for the long runs.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

const VLC: &str = "cvlc";
const QUIET: &[&str] =
    &["-vv", "--no-color", "--intf", "dummy", "--vout", "dummy", "--aout", "dummy", "--play-and-exit", "-"];
/// What it says when a viewer sees something. Pictures that are late are the machine's fault as often. That the stream
/// announces a discontinuity, as it has to, is not among it; that a counter does not follow is.
const COMPLAINTS: &[&str] =
    &["discontinuity received", "clock gap", "picture skipped", "dropping frame", "buffer too late"];

/// Plays a recording; `None` where there is no VLC. All of `codecs` must have been decoded.
pub(crate) fn complaints(recording: &Path, codecs: &[&str]) -> Option<Vec<String>> {
    // It does not play for root. Who that is can give it to nobody, and the recording as its input.
    let is_root = nix::unistd::geteuid().is_root();
    let as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", VLC];
    let words = if is_root { &as_nobody[..] } else { &as_nobody[4..] };
    Command::new(VLC).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
    let output = Command::new(words[0])
        .args(&words[1..])
        .args(QUIET)
        .env("HOME", std::env::temp_dir())
        .stdin(File::open(recording).unwrap())
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let is_complaint = |line: &&str| COMPLAINTS.iter().any(|complaint| line.contains(complaint));
    let mut complaints: Vec<_> =
        said.lines().filter(is_complaint).map(|line| format!("VLC: {}", line.trim())).collect();
    for codec in codecs {
        if !said.contains(&format!("codec ({codec}) started")) {
            complaints.push(format!("VLC has not decoded {codec}"));
        }
    }
    Some(complaints)
}
