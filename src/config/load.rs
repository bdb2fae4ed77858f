//! The whole way, from a parsed command line to settings.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use super::cli::CommandLine;
use super::problem::{Problem, Problems, Warning};
use super::raw::{Effective, Raw};
use super::resolve::resolve;
use super::settings::Settings;

/// Settings that can be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// What is probably not meant.
    pub warnings: Vec<Warning>,
    /// Every setting with what is used for it, fit to be shown.
    pub effective: Vec<Effective>,
}

/// Reads the settings file, if one is named, and makes settings of all there is. A flag beats the
/// environment, which beats the file, which beats the default.
///
/// # Errors
///
/// Everything that is wrong, together.
pub fn load(
    line: &CommandLine,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    read_file: impl Fn(&Path) -> io::Result<String>,
) -> Result<Loaded, Problems> {
    let mut unreadable = None;
    let file = line.config.as_deref().and_then(|path| match read_file(path) {
        Ok(text) => Some((path, text)),
        Err(error) => {
            unreadable = Some(Problem::Unreadable { file: path.to_owned(), why: error.to_string() });
            None
        }
    });
    let mut raw = Raw::gather(line, environment, file.as_ref().map(|(path, text)| (*path, text.as_str())));
    raw.problems.splice(0..0, unreadable);
    let effective = raw.effective();
    let (settings, warnings) = resolve(&raw)?;
    Ok(Loaded { settings, warnings, effective })
}
