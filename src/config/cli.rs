//! The command line: what to do, and the settings as flags.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use super::setting::{Kind, Setting};
use super::table::{GROUPS, settings, unused};

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Default, Subcommand)]
pub enum Command {
    /// Serve (this is what happens without a command).
    #[default]
    Run,
    /// Serve a test picture, made here, on channels that need no provider.
    Demo {
        /// Watch it for a few seconds, say whether everything works, and end.
        #[arg(long)]
        check: bool,
    },
    /// Check the settings and this machine, print what would be used, and end.
    Check,
    /// Open a source as a channel would, say in plain words what it is, what is wrong with it and what to set, and end: with 1 when
    /// it cannot be played.
    Doctor {
        /// The source's address, as it would stand in a playlist.
        url: String,
    },
    /// Print what a running tunerd is doing, and end.
    Status {
        /// Where it is: http://host:port, with user:password@ before the host where ADMIN_AUTH is set. By default on this host, by
        /// HTTP_ADDR and ADMIN_AUTH.
        #[arg(long)]
        url: Option<String>,
    },
    /// Show what a running tunerd is doing, live in this terminal: channels, their sources and viewers, with keys to recover and to
    /// disconnect.
    Top {
        /// Where it is: http://host:port, with user:password@ before the host where ADMIN_AUTH is set. By default on this host, by
        /// HTTP_ADDR and ADMIN_AUTH.
        url: Option<String>,
    },
    /// Take channels, sources, their health, the playlist's items, the device's identity and settings from a database of hdhriptv
    /// into the one that DB_PATH names, and end. The file is only read.
    ImportHdhriptv {
        /// The database of hdhriptv, by default hdhr-iptv.db in its folder.
        file: PathBuf,
    },
    /// Start a program that ends with us.
    #[command(hide = true)]
    Child {
        /// The process that must still be our parent.
        parent_pid: u32,
        /// The program and its arguments.
        #[arg(last = true, required = true)]
        program: Vec<OsString>,
    },
}

#[derive(Debug, Parser)]
#[command(name = "tunerd", version, about = "IPTV sources as an HDHomeRun tuner, for many viewers")]
#[command(after_help = "Every setting is a flag and a variable of the environment: --stall-detect 4s is \
    STALL_DETECT=4s. A flag beats the environment, which beats the file of --config. --help lists them.")]
struct Arguments {
    /// Read settings from this file, as NAME=VALUE lines.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

/// A parsed command line.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CommandLine {
    /// What to do.
    pub command: Command,
    /// The settings file.
    pub config: Option<PathBuf>,
    /// The settings that were given as flags, by their name in the environment.
    pub(super) flags: BTreeMap<&'static str, String>,
}

impl CommandLine {
    /// Reads the arguments, of which the first is the program's name.
    ///
    /// # Errors
    ///
    /// Also when help or the version was asked for: the error is then what to print, and its `exit_code` is 0.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let matches = command().try_get_matches_from(arguments)?;
        let parsed = Arguments::from_arg_matches(&matches)?;
        let flags = settings().filter_map(|setting| Some((setting.env, typed(&matches, setting)?))).collect();
        Ok(Self { command: parsed.command.unwrap_or_default(), config: parsed.config, flags })
    }
}

/// What was typed for a setting. A list is what all its flags hold; of any other, the last counts.
fn typed(matches: &ArgMatches, setting: &Setting) -> Option<String> {
    let values: Vec<&String> = matches.get_many(setting.flag)?.collect();
    if setting.env == "PLAYLIST_SOURCES" {
        let lists: Vec<&str> = values.iter().map(|value| value.as_str()).collect();
        return Some(lists.join(";"));
    }
    values.last().map(|value| (*value).clone())
}

/// The arguments with all the settings, under their headings.
fn command() -> clap::Command {
    let flags = GROUPS
        .iter()
        .flat_map(|group| group.settings.iter().map(|setting| flag(setting).help_heading(group.heading)));
    Arguments::command().args(flags)
}

fn help(setting: &Setting) -> String {
    let default = if setting.default.is_empty() { "nothing" } else { setting.default };
    let effect = unused(setting.env).map(|unused| format!(" It {}.", unused.effect)).unwrap_or_default();
    format!("{}{effect}\nDefault: {default}. Allowed: {}.", setting.help, setting.kind)
}

fn flag(setting: &'static Setting) -> Arg {
    let flag = Arg::new(setting.flag)
        .long(setting.flag)
        .value_name(setting.env)
        .help(help(setting))
        .action(ArgAction::Append)
        .global(true)
        .allow_negative_numbers(true)
        .hide_short_help(true);
    let flag = if setting.env == "PLAYLIST_SOURCES" { flag.alias("playlist-source") } else { flag };
    if matches!(setting.kind, Kind::Switch) {
        // `--enable-metrics run` must not take the command for the switch's value.
        flag.num_args(0..=1).require_equals(true).default_missing_value("true")
    } else {
        flag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<CommandLine, clap::Error> {
        CommandLine::parse(std::iter::once("tunerd").chain(text.split_ascii_whitespace()).map(OsString::from))
    }

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn commands_are_read() {
        for (text, command) in [
            ("", Command::Run),
            ("run", Command::Run),
            ("demo", Command::Demo { check: false }),
            ("demo --check", Command::Demo { check: true }),
            ("check", Command::Check),
            ("doctor http://host/1.ts", Command::Doctor { url: "http://host/1.ts".to_owned() }),
            ("status", Command::Status { url: None }),
            ("status --url http://a:1", Command::Status { url: Some("http://a:1".to_owned()) }),
            ("top", Command::Top { url: None }),
            ("top http://a:1", Command::Top { url: Some("http://a:1".to_owned()) }),
            (
                "child 42 -- ffmpeg -i --config",
                Command::Child {
                    parent_pid: 42,
                    program: ["ffmpeg", "-i", "--config"].map(OsString::from).to_vec(),
                },
            ),
        ] {
            assert_eq!(parse(text).unwrap().command, command, "{text}");
        }
    }

    #[test]
    fn flags_may_stand_before_and_after_the_command() {
        for text in [
            "--stall-detect 5s --enable-metrics --config a.env",
            "--stall-detect 5s --enable-metrics --config a.env run",
            "--enable-metrics=true run --stall-detect=5s --config a.env",
            "check --config=a.env --stall-detect 4s --enable-metrics --stall-detect 5s",
        ] {
            let line = parse(text).unwrap();
            assert_eq!(line.flags["STALL_DETECT"], "5s", "{text}");
            assert_eq!(line.flags["ENABLE_METRICS"], "true", "{text}");
            assert_eq!(line.flags.len(), 2, "{text}");
            assert_eq!(line.config, Some(PathBuf::from("a.env")), "{text}");
        }
    }

    #[test]
    fn a_negative_number_is_a_value() {
        let line = parse("--ffmpeg-reconnect-max-retries -1").unwrap();
        assert_eq!(line.flags["FFMPEG_RECONNECT_MAX_RETRIES"], "-1");
    }

    #[test]
    fn playlist_sources_add_up() {
        let line =
            parse("--playlist-source url=http://a/,tuners=1 --playlist-sources url=http://b/,tuners=2")
                .unwrap();
        assert_eq!(line.flags["PLAYLIST_SOURCES"], "url=http://a/,tuners=1;url=http://b/,tuners=2");
    }

    #[test]
    fn a_wrong_command_line_is_a_usage_error_and_help_is_not() {
        for (text, code) in [
            ("--stal-detect 5s", 2),
            ("--stall-detect", 2),
            ("serve", 2),
            ("child 42", 2),
            ("child x -- ffmpeg", 2),
            ("--enable-metrics=1 extra", 2),
            ("--help", 0),
            ("--version", 0),
        ] {
            assert_eq!(parse(text).unwrap_err().exit_code(), code, "{text}");
        }
    }

    #[test]
    fn long_help_lists_every_setting_with_default_and_range_and_short_help_none() {
        let long = command().render_long_help().to_string();
        let short = command().render_help().to_string();
        for setting in settings() {
            assert!(long.contains(&format!("<{}>", setting.env)), "{}", setting.env);
            assert!(!short.contains(&format!("<{}>", setting.env)), "{}", setting.env);
        }
        assert!(long.contains("Default: 4s. Allowed: a duration from 1ms"));
        assert!(!long.contains("child"));
    }
}
