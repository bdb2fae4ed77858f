//! What was typed, and where: flags, environment, file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use super::cli::CommandLine;
use super::file::parse_file;
use super::problem::{Problem, Warning};
use super::setting::Setting;
use super::table::{WITHOUT_EFFECT, find, settings, unused};
use super::typo::meant_by;

/// Where a value comes from. A later one beats an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody gave one.
    Default,
    /// The settings file.
    File {
        /// The line, from 1.
        line: usize,
    },
    /// The environment.
    Environment,
    /// The command line.
    Flag,
}

/// What was typed. Nothing is understood yet.
#[derive(Debug, Default)]
pub(super) struct Raw {
    given: BTreeMap<&'static str, (Origin, String)>,
    file: PathBuf,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
}

impl Raw {
    /// Gathers the layers. An empty value in the file or the environment is as good as none; an empty flag
    /// asks for the default, whatever the others say.
    pub(super) fn gather(
        line: &CommandLine,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        file: Option<(&Path, &str)>,
    ) -> Self {
        let mut raw = Self::default();
        if let Some((path, text)) = file {
            raw.add_file(path, text);
        }
        raw.add_environment(environment);
        for (&name, value) in &line.flags {
            raw.given.remove(name);
            raw.add(name, Origin::Flag, value);
        }
        raw
    }

    fn add(&mut self, name: &'static str, origin: Origin, value: &str) {
        let value = value.trim();
        if !value.is_empty() {
            self.given.insert(name, (origin, value.to_owned()));
        }
    }

    fn add_file(&mut self, path: &Path, text: &str) {
        path.clone_into(&mut self.file);
        let found = parse_file(path, text);
        self.problems.extend(found.problems);
        self.warnings.extend(found.without_effect.iter().map(|&name| Warning::WithoutEffect { name }));
        for (name, (line, value)) in found.values {
            self.add(name, Origin::File { line }, &value);
        }
    }

    fn add_environment(&mut self, environment: impl IntoIterator<Item = (OsString, OsString)>) {
        // Sorted, so that messages come in the same order on every start.
        let environment: BTreeMap<OsString, OsString> = environment.into_iter().collect();
        for (name, value) in environment {
            let Some(name) = name.to_str() else { continue };
            if let Some(setting) = find(name) {
                match value.to_str() {
                    Some(value) => self.add(setting.env, Origin::Environment, value),
                    None => self.problems.push(Problem::NotUtf8 { name: name.to_owned() }),
                }
            } else if let Some(&name) = WITHOUT_EFFECT.iter().find(|known| **known == name) {
                self.warnings.push(Warning::WithoutEffect { name });
            } else if let Some(meant) = meant_by(name) {
                self.warnings.push(Warning::Typo { name: name.to_owned(), meant });
            }
        }
    }

    /// The value of a setting, and where it comes from.
    pub(super) fn value(&self, setting: &Setting) -> (Origin, &str) {
        self.given
            .get(setting.env)
            .map_or((Origin::Default, setting.default), |(origin, value)| (*origin, value))
    }

    /// The name of a setting as whoever gave it knows it.
    pub(super) fn name(&self, setting: &Setting) -> String {
        match self.value(setting).0 {
            Origin::Default => format!("{} (default)", setting.env),
            Origin::Flag => format!("--{}", setting.flag),
            Origin::Environment => setting.env.to_owned(),
            Origin::File { line } => format!("{} ({} line {line})", setting.env, self.file.display()),
        }
    }

    /// Every setting with what is used for it. Private values are replaced.
    pub(super) fn effective(&self) -> Vec<Effective> {
        settings()
            .map(|setting| {
                let (origin, value) = self.value(setting);
                let is_hidden = setting.is_private() && !value.is_empty();
                let value = if is_hidden { super::secret::NOT_SHOWN } else { value };
                Effective { env: setting.env, value: value.to_owned(), origin }
            })
            .collect()
    }
}

/// A setting and what is used for it, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Its name.
    pub env: &'static str,
    /// The value as it may be shown.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

impl Effective {
    /// What is used when nobody says anything.
    #[must_use]
    pub fn default(&self) -> &'static str {
        find(self.env).map_or("", |setting| setting.default)
    }

    /// What it does.
    #[must_use]
    pub fn help(&self) -> &'static str {
        find(self.env).map_or("", |setting| setting.help)
    }
}

impl fmt::Display for Effective {
    /// `STALL_DETECT=4s (default)`
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}={} ({})", self.env, self.value, self.origin)?;
        unused(self.env).map_or(Ok(()), |unused| write!(formatter, " {}", unused.effect))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File { line } => write!(formatter, "file, line {line}"),
            Self::Environment => formatter.write_str("environment"),
            Self::Flag => formatter.write_str("flag"),
        }
    }
}
