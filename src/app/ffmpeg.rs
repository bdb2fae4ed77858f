//! Asks the installed ffmpeg once what it can do.

use std::path::Path;
use std::process::{Command, Stdio};

use tunerd::source::ffmpeg::Capabilities;

/// What the installed ffmpeg can do, or `None` when there is none that runs.
pub(crate) fn detect(path: &Path) -> Option<Capabilities> {
    let version = output(path, &["-hide_banner", "-version"])?;
    let help = output(path, &["-hide_banner", "-h", "full"])?;
    Some(Capabilities::parse(&version, &help))
}

fn output(path: &Path, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(path).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
