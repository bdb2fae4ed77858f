//! Starting one child: its pipes, its process, and the thread that waits for its end.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{AccessFlags, Pid, access, pipe2};
use tokio::sync::oneshot;

use super::stderr_tail::StderrTail;
use super::trampoline;

/// What a child's standard output can hold: seconds of a stream, while the core is busy or a writer waits.
const STDOUT_PIPE_BYTES: i32 = 1 << 20;
/// The size every process may have without asking.
const PIPE_BYTES_MIN: i32 = 1 << 16;
/// The thread that waits for a child's end does nothing else.
const WAITER_STACK_BYTES: usize = 64 * 1024;
/// All that children are told of our environment, where passwords stand: where programs, libraries, fonts and drivers are, which
/// proxy leads out, how times and letters are written.
const PASSED_ON: [&str; 16] = [
    "PATH",
    "LD_LIBRARY_PATH",
    "HOME",
    "TMPDIR",
    "TZ",
    "LANG",
    "LC_ALL",
    "FONTCONFIG_FILE",
    "FONTCONFIG_PATH",
    "LIBVA_DRIVER_NAME",
    "LIBVA_DRIVERS_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// A child that runs.
pub(super) struct Spawned {
    pub(super) process: Child,
    /// The reading end of its standard output.
    pub(super) stdout: OwnedFd,
    pub(super) stderr: StderrTail,
    /// Answers when the child has ended and is yet to be reaped.
    pub(super) ended: oneshot::Receiver<()>,
}

/// Starts `program` through the trampoline, or says why not. `environment` is what it is told besides.
pub(super) fn spawn(
    trampoline: &Path,
    environment: &[(&str, &OsStr)],
    program: &OsStr,
    arguments: &[OsString],
) -> Result<Spawned, String> {
    let failed = |reason: &dyn std::fmt::Display| format!("start {}: {reason}", program.to_string_lossy());
    // The trampoline can be started even when the program cannot; asking first makes it one clear error.
    find(program).map_err(|errno| failed(&errno.desc()))?;
    let (stdout, stdout_end) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| failed(&errno.desc()))?;
    widen(&stdout);
    let (stderr, stderr_end) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| failed(&errno.desc()))?;
    let stderr = StderrTail::new(stderr).map_err(|error| failed(&error))?;
    let mut command = Command::new(trampoline);
    command
        .args(trampoline::arguments(std::process::id(), program, arguments))
        .stdin(Stdio::null())
        .stdout(stdout_end)
        .stderr(stderr_end)
        .process_group(0);
    let passed_on = PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    command.env_clear().envs(passed_on).envs(environment.iter().copied());
    let mut process = command.spawn().map_err(|error| failed(&error))?;
    match wait_for_end(&process) {
        Ok(ended) => Ok(Spawned { process, stdout, stderr, ended }),
        Err(error) => {
            // A child whose end nobody would see must not run.
            let _gone = process.kill();
            let _reaped = process.wait();
            Err(failed(&error))
        }
    }
}

/// Finds the program as `execvp` will.
pub(in crate::control) fn find(program: &OsStr) -> Result<(), Errno> {
    let runnable = |path: &Path| access(path, AccessFlags::X_OK);
    if program.as_encoded_bytes().contains(&b'/') {
        return runnable(Path::new(program));
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let mut result = Err(Errno::ENOENT);
    for folder in std::env::split_paths(&path) {
        match runnable(&folder.join(program)) {
            Ok(()) => return Ok(()),
            // Found but forbidden says more than found nowhere.
            Err(Errno::EACCES) => result = Err(Errno::EACCES),
            Err(_) => {}
        }
    }
    result
}

/// As large as the system's limit for this user allows.
fn widen(pipe: &OwnedFd) {
    let mut size = STDOUT_PIPE_BYTES;
    while size > PIPE_BYTES_MIN && fcntl(pipe.as_fd(), FcntlArg::F_SETPIPE_SZ(size)).is_err() {
        size /= 2;
    }
}

/// A thread that waits until the child is a zombie, and leaves it one: only control reaps, so that a process
/// number it signals is never somebody else's.
fn wait_for_end(process: &Child) -> Result<oneshot::Receiver<()>, std::io::Error> {
    let number = Pid::from_raw(i32::try_from(process.id()).map_err(std::io::Error::other)?);
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new().name("child-wait".to_owned()).stack_size(WAITER_STACK_BYTES).spawn(
        move || {
            let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
            while waitid(Id::Pid(number), ended) == Err(Errno::EINTR) {}
            let _control_is_gone = sender.send(());
        },
    )?;
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_path_or_by_name() {
        assert_eq!(find(OsStr::new("sh")), Ok(()));
        assert_eq!(find(OsStr::new("/bin/sh")), Ok(()));
        assert_eq!(find(OsStr::new("no-such-program")), Err(Errno::ENOENT));
        assert_eq!(find(OsStr::new("/no/such/program")), Err(Errno::ENOENT));
    }

    #[test]
    fn a_pipe_is_widened_to_a_mebibyte_or_what_is_allowed() {
        let (reader, _writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
        widen(&reader);
        let size = fcntl(reader.as_fd(), FcntlArg::F_GETPIPE_SZ).unwrap();
        assert!((PIPE_BYTES_MIN..=STDOUT_PIPE_BYTES).contains(&size), "{size}");
    }
}
