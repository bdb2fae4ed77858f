//! What the commands do: the one place that knows the settings and every module.

mod check;
mod demo;
mod doctor;
mod ffmpeg;
mod import;
mod listeners;
mod log_format;
mod log_queue;
mod params;
mod room;
mod run;
mod server;
mod start;
mod status;
mod top;
mod visit;

use std::error::Error;
use std::ffi::OsString;
use std::io::Write as _;

use env_logger::Target;
use tunerd::config::{Command, CommandLine, Loaded};
use tunerd::exit::ExitCode;

/// Why a command failed: the number to end with and the sentence to end on.
#[derive(Debug)]
pub(crate) struct Failure {
    code: ExitCode,
    message: String,
}

impl Failure {
    pub(crate) fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// An error and all that lies behind it.
    pub(crate) fn because(code: ExitCode, error: &dyn Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message.push_str(": ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        Self { code, message }
    }
}

/// A program that could not be started, as shells say it.
const NOT_STARTED: u8 = 127;

pub(crate) fn main() -> std::process::ExitCode {
    let line = match CommandLine::parse(std::env::args_os()) {
        Ok(line) => line,
        Err(error) => {
            // Help and version are errors of the parser too; they go to standard output and end well.
            let _unprintable = error.print();
            return if error.exit_code() == 0 { ExitCode::Ok } else { ExitCode::Settings }.into();
        }
    };
    if let Command::Child { parent_pid, program } = &line.command {
        // What is printed here is read as if the child had said it: no name of ours before it.
        eprintln!("{}", become_child(*parent_pid, program));
        return NOT_STARTED.into();
    }
    let ended = execute(line);
    log_queue::flush();
    match ended {
        Ok(code) => code.into(),
        Err(failure) => {
            eprintln!("tunerd: {}", failure.message);
            failure.code.into()
        }
    }
}

/// Returns only when the program could not be started.
fn become_child(parent_pid: u32, program: &[OsString]) -> tunerd::control::ExecError {
    let arguments = [OsString::from(parent_pid.to_string()), OsString::from("--")];
    tunerd::control::exec_child(arguments.into_iter().chain(program.iter().cloned()))
}

fn execute(line: CommandLine) -> Result<ExitCode, Failure> {
    let loaded = tunerd::config::load(&line, std::env::vars_os(), |path| std::fs::read_to_string(path))
        .map_err(|problems| Failure::new(ExitCode::Settings, problems.to_string()))?;
    match line.command {
        Command::Run => run_service(loaded),
        Command::Demo { check } => demo::demo(loaded, check),
        Command::Check => check::check(&loaded),
        Command::Doctor { url } => doctor::doctor(loaded, &url),
        Command::Status { url } => status::status(&loaded, url.as_deref()),
        Command::Top { url } => top::top(&loaded, url.as_deref()),
        Command::ImportHdhriptv { file } => import::import(&loaded, &file),
        Command::Child { .. } => unreachable!("a child reads no settings"),
    }
}

fn run_service(loaded: Loaded) -> Result<ExitCode, Failure> {
    start_logging(&loaded);
    for warning in &loaded.warnings {
        log::warn!("{warning}");
    }
    run::run(&loaded, run::Catalog::Database)
}

pub(crate) fn start_logging(loaded: &Loaded) {
    let mut builder = env_logger::Builder::new();
    // What libraries say of their connections holds addresses and header fields as they are.
    let level = loaded.settings.log_level;
    builder.filter_level(level.min(log::LevelFilter::Warn)).filter_module("tunerd", level);
    // The journal stamps each line itself, and takes the level from its beginning.
    let is_journal = std::env::vars_os().any(|(name, _)| name == "JOURNAL_STREAM");
    let format = loaded.settings.log_format;
    builder.format(move |out, record| {
        let time = (!is_journal).then(|| out.timestamp_millis());
        let message = record.args().to_string();
        writeln!(out, "{}", log_format::line(format, time, record.level(), record.target(), &message))
    });
    match log_queue::start() {
        Ok(queue) => _ = builder.target(Target::Pipe(Box::new(queue))),
        // Without a thread to spare, lines are written where they arise.
        Err(_no_thread) => {}
    }
    builder.init();
}
