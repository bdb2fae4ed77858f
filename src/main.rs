//! tunerd's command line.

use std::process::ExitCode;

/// What shells say when a program cannot be started.
const NOT_STARTED: u8 = 127;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == "child") {
        eprintln!("{}", tunerd::control::exec_child(arguments));
        return ExitCode::from(NOT_STARTED);
    }
    ExitCode::SUCCESS
}
