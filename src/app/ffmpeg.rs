//! Asks the installed ffmpeg once what it can do.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use tunerd::source::ffmpeg::Capabilities;

/// What the installed ffmpeg can do, or `None` when there is none that runs.
pub(crate) fn detect(path: &Path) -> Option<Capabilities> {
    let version = output(path, &["-hide_banner", "-version"])?;
    let help = output(path, &["-hide_banner", "-h", "full"])?;
    Some(Capabilities::parse(&version, &help))
}

/// Nothing is waited for longer: a program that hangs is no ffmpeg, and the channels that need none can start.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer, `-h full`, has a tenth of this.
const ANSWER_BYTES_MAX: u64 = 8 << 20;

fn output(path: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(path);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let printed = child.stdout.take()?;
    let (told, read) = channel();
    let reader = std::thread::Builder::new().name("ffmpeg-detect".to_owned()).spawn(move || {
        let mut text = Vec::new();
        if printed.take(ANSWER_BYTES_MAX).read_to_end(&mut text).is_ok() {
            // Whoever has waited too long is gone.
            drop(told.send(text));
        }
    });
    let text = reader.ok().and_then(|_thread| read.recv_timeout(ANSWER_TIMEOUT).ok());
    if text.is_none() {
        // Ended already, or now.
        drop(child.kill());
    }
    let ended = child.wait().ok()?;
    text.filter(|_| ended.success()).map(|text| String::from_utf8_lossy(&text).into_owned())
}
