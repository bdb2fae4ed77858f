//! What runs between `fork` and the program of a child: the binary itself, for a moment, under the name
//! `child`. It ties the child's life to ours, which `std::process` cannot do without unsafe code, and bounds what it can take.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::getppid;

/// Memory of its own that a child may have: an encoder of 2160 lines on 32 processors takes half of it. Reserved and never written
/// memory does not count, of which threads have much.
const MEMORY_BYTES_MAX: u64 = 4 << 30;
/// Descriptors: a playlist's reader has a handful.
const FILES_MAX: u64 = 256;
/// The longest file: nothing is written but pipes, and a font cache.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Where memory runs out the kernel takes a child, which is a lost source, and not this program, which is all viewers.
const OUT_OF_MEMORY_SCORE: &str = "500";

/// Why there is no child. Success is not among them: then this process is the child.
#[derive(thiserror::Error, Debug)]
pub enum ExecError {
    /// It was not started by this program.
    #[error("`child` is started by this program itself, as: child <pid> -- <program> [<argument>...]")]
    Usage,
    /// Who started it has died meanwhile.
    #[error("the process that started this one is gone")]
    Orphaned,
    /// The kernel refused.
    #[error("start {program}: {errno}", errno = .source.desc())]
    Exec {
        /// What was to be started.
        program: String,
        /// What the kernel said.
        source: nix::errno::Errno,
    },
}

/// The arguments that follow the binary's own name, for a child of the process `parent`.
pub(super) fn arguments(parent: u32, program: &OsStr, arguments: &[OsString]) -> Vec<OsString> {
    let mut all = vec!["child".into(), parent.to_string().into(), "--".into(), program.to_owned()];
    all.extend_from_slice(arguments);
    all
}

/// Becomes the program in `arguments`, which are those after `child`. The kernel kills the child when the
/// thread that started it ends, and it starts with no signal blocked.
///
/// Returns only when it failed: print the error and exit with 127.
#[must_use]
pub fn exec_child(arguments: impl IntoIterator<Item = OsString>) -> ExecError {
    let mut arguments = arguments.into_iter();
    let parent = arguments.next().and_then(|pid| pid.to_str()?.parse::<i32>().ok());
    let (Some(parent), true, Some(program)) =
        (parent, arguments.next().is_some_and(|argument| argument == "--"), arguments.next())
    else {
        return ExecError::Usage;
    };
    let failed = |source| ExecError::Exec { program: program.to_string_lossy().into_owned(), source };
    if let Err(errno) = prctl::set_pdeathsig(Signal::SIGKILL) {
        return failed(errno);
    }
    // A parent that died before the line above sends nothing any more.
    if getppid().as_raw() != parent {
        return ExecError::Orphaned;
    }
    if let Err(errno) = SigSet::empty().thread_set_mask() {
        return failed(errno);
    }
    for (resource, max) in [
        (Resource::RLIMIT_DATA, MEMORY_BYTES_MAX),
        (Resource::RLIMIT_NOFILE, FILES_MAX),
        (Resource::RLIMIT_FSIZE, FILE_BYTES_MAX),
        (Resource::RLIMIT_CORE, 0),
    ] {
        if let Err(errno) = limit(resource, max) {
            return failed(errno);
        }
    }
    if let Err(errno) = prctl::set_no_new_privs() {
        return failed(errno);
    }
    // Anybody may offer itself first. Where /proc is not there, nothing is offered.
    let _not_offered = std::fs::write("/proc/self/oom_score_adj", OUT_OF_MEMORY_SCORE);
    let error = Command::new(&program).args(arguments).exec();
    failed(nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or(0)))
}

/// Lowers a limit; one that is lower stays.
fn limit(resource: Resource, max: u64) -> Result<(), nix::errno::Errno> {
    let (_soft, hard) = getrlimit(resource)?;
    setrlimit(resource, max.min(hard), max.min(hard))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_it_was_not_given_by_us_are_refused() {
        for arguments in [&[][..], &["1"], &["x", "--", "true"], &["1", "true"], &["1", "--"]] {
            let error = exec_child(arguments.iter().map(OsString::from));
            assert!(matches!(error, ExecError::Usage), "{arguments:?}: {error}");
        }
    }
}
