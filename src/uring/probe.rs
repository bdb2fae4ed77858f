//! What the kernel offers, asked once at start: what is missing gets a sentence, not a failing stream.

use std::fmt;

use io_uring::{IoUring, opcode};
use thiserror::Error;

use crate::base::Errno;

use super::kernel::Files;

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Probe {
    /// The running kernel's release.
    pub kernel_release: String,
    /// Zero-copy sends from registered memory work and say whether they copied.
    pub zero_copy: bool,
    /// How descriptors are to be named here.
    pub files: Files,
    /// The limit on locked memory in bytes, `None` when there is none.
    pub locked_memory_limit: Option<u64>,
    /// The limit on open files.
    pub open_files_limit: u64,
}

/// One thing tunerd cannot do without.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Missing {
    /// Its name.
    pub what: &'static str,
    /// What it is needed for.
    pub needed_for: &'static str,
    /// The first kernel that has it.
    pub since: &'static str,
}

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} is missing: needed for {}, in Linux since {}",
            self.what, self.needed_for, self.since
        )
    }
}

/// Why tunerd cannot run here.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// io_uring as a whole is out of reach.
    #[error("io_uring cannot be used: {errno}. {likely_cause}")]
    Unavailable {
        /// The kernel's reason.
        errno: Errno,
        /// What usually lies behind it, and what to do.
        likely_cause: String,
    },
    /// The kernel is too old.
    #[error("Linux {release} is too old for tunerd, which needs 6.1 or newer: {}", join(missing))]
    TooOld {
        /// The running kernel's release.
        release: String,
        /// What it lacks.
        missing: Vec<Missing>,
    },
}

fn join(missing: &[Missing]) -> String {
    missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

const OPERATIONS: &[(u8, Missing)] = &[
    (
        opcode::AcceptMulti::CODE,
        Missing { what: "IORING_OP_ACCEPT", needed_for: "new connections", since: "5.5" },
    ),
    (
        opcode::PollAdd::CODE,
        Missing { what: "IORING_OP_POLL_ADD", needed_for: "noticing that a viewer left", since: "5.1" },
    ),
    (
        opcode::Recv::CODE,
        Missing { what: "IORING_OP_RECV", needed_for: "requests and direct sources", since: "5.6" },
    ),
    (
        opcode::ReadFixed::CODE,
        Missing { what: "IORING_OP_READ_FIXED", needed_for: "reading ffmpeg's pipe", since: "5.1" },
    ),
    (
        opcode::Read::CODE,
        Missing { what: "IORING_OP_READ", needed_for: "messages between threads", since: "5.6" },
    ),
    (opcode::Send::CODE, Missing { what: "IORING_OP_SEND", needed_for: "sending to viewers", since: "5.6" }),
    (
        opcode::Connect::CODE,
        Missing { what: "IORING_OP_CONNECT", needed_for: "direct sources", since: "5.5" },
    ),
    (
        opcode::AsyncCancel::CODE,
        Missing { what: "IORING_OP_ASYNC_CANCEL", needed_for: "closing connections", since: "5.5" },
    ),
    (
        opcode::SendZc::CODE,
        Missing { what: "IORING_OP_SEND_ZC", needed_for: "zero-copy sends", since: "6.0" },
    ),
];

/// Asks the kernel.
///
/// # Errors
/// When something tunerd cannot do without is not there, with the likely cause.
pub fn probe() -> Result<Probe, ProbeError> {
    let release = kernel_release();
    let plain = IoUring::new(8).map_err(|error| unavailable(Errno::from(error)))?;
    let mut found = io_uring::Probe::new();
    plain.submitter().register_probe(&mut found).map_err(|error| unavailable(Errno::from(error)))?;
    let mut missing: Vec<Missing> = OPERATIONS
        .iter()
        .filter(|(code, _)| !found.is_supported(*code))
        .map(|(_, missing)| missing.clone())
        .collect();
    let set_up = IoUring::builder().setup_single_issuer().setup_defer_taskrun().setup_coop_taskrun().build(8);
    let deferred: Result<IoUring, Errno> = set_up.map_err(Errno::from);
    match deferred {
        Ok(ring) => {
            if ring.submitter().register_files_sparse(8).is_err()
                || ring.submitter().register_buffers_sparse(8).is_err()
            {
                missing.push(Missing {
                    what: "IORING_RSRC_REGISTER_SPARSE",
                    needed_for: "registered files and buffers",
                    since: "5.19",
                });
            }
        }
        Err(Errno::INVAL) => missing.push(Missing {
            what: "IORING_SETUP_DEFER_TASKRUN",
            needed_for: "one system call per turn",
            since: "6.1",
        }),
        Err(errno) => return Err(unavailable(errno)),
    }
    if !missing.is_empty() {
        return Err(ProbeError::TooOld { release, missing });
    }
    Ok(Probe {
        zero_copy: reports_zero_copy_usage(&release),
        files: if lets_go_at_once(&release) { Files::Registered } else { Files::Plain },
        kernel_release: release,
        locked_memory_limit: limit(nix::sys::resource::Resource::RLIMIT_MEMLOCK),
        open_files_limit: limit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap_or(u64::MAX),
    })
}

fn limit(resource: nix::sys::resource::Resource) -> Option<u64> {
    let (soft, _hard) = nix::sys::resource::getrlimit(resource).ok()?;
    (soft != nix::libc::RLIM_INFINITY).then_some(soft)
}

fn kernel_release() -> String {
    // Not from /proc, of which a service may see its processes alone.
    let names = nix::sys::utsname::uname().ok();
    names
        .and_then(|names| names.release().to_str().map(str::to_owned))
        .unwrap_or_else(|| "unknown".to_owned())
}

/// `IORING_SEND_ZC_REPORT_USAGE` came with 6.2 and has no probe of its own: an older kernel refuses the flag.
fn reports_zero_copy_usage(release: &str) -> bool {
    is_at_least(release, (6, 2))
}

/// Registered files have counts of their own since 6.13, and nothing to ask for them by; see [`Files::Plain`].
fn lets_go_at_once(release: &str) -> bool {
    is_at_least(release, (6, 13))
}

fn is_at_least(release: &str, wanted: (u32, u32)) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => (major, minor) >= wanted,
        _unknown => false,
    }
}

fn unavailable(errno: Errno) -> ProbeError {
    let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok();
    ProbeError::Unavailable { errno, likely_cause: likely_cause(errno, disabled.as_deref().map(str::trim)) }
}

/// What usually lies behind a refusal. `disabled` is the value of `kernel.io_uring_disabled`.
fn likely_cause(errno: Errno, disabled: Option<&str>) -> String {
    const PERM: Errno = Errno::from_positive(1);
    const ACCES: Errno = Errno::from_positive(13);
    const NOSYS: Errno = Errno::from_positive(38);
    match (errno, disabled) {
        (PERM | ACCES, Some(value @ ("1" | "2"))) => format!(
            "kernel.io_uring_disabled is {value}: set it to 0 (sysctl -w kernel.io_uring_disabled=0), or to 1 with \
             tunerd's group in kernel.io_uring_group"
        ),
        (PERM | ACCES, _) => "A seccomp filter forbids it: allow io_uring_setup, io_uring_enter and io_uring_register \
                              (systemd: SystemCallFilter=@io-event io_uring_setup io_uring_enter io_uring_register; \
                              containers: the seccomp profile)"
            .to_owned(),
        (NOSYS, _) => "The kernel was built without it (CONFIG_IO_URING) or is older than 5.1; tunerd needs 6.1".to_owned(),
        (Errno::NOMEM, _) => "RLIMIT_MEMLOCK is too low: raise it (ulimit -l, systemd: LimitMEMLOCK=infinity)".to_owned(),
        (Errno::MFILE | Errno::NFILE, _) => "No file descriptors are left: raise RLIMIT_NOFILE (systemd: LimitNOFILE=)".to_owned(),
        (_, _) => "tunerd needs Linux 6.1 or newer with io_uring enabled".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_likely_cause() {
        for (number, disabled, word) in [
            (1, Some("2"), "kernel.io_uring_disabled is 2"),
            (1, Some("0"), "seccomp"),
            (13, None, "seccomp"),
            (38, None, "CONFIG_IO_URING"),
            (12, Some("0"), "RLIMIT_MEMLOCK"),
            (24, Some("0"), "RLIMIT_NOFILE"),
            (22, Some("0"), "6.1"),
        ] {
            let cause = likely_cause(Errno::from_positive(number), disabled);
            assert!(cause.contains(word), "{number} {disabled:?}: {cause}");
        }
    }

    #[test]
    fn what_has_no_probe_goes_by_the_release() {
        for (release, zero_copy, at_once) in [
            ("6.1.0-18-amd64", false, false),
            ("6.2.0", true, false),
            ("6.12.100+deb12-amd64", true, false),
            ("6.13-rc1", true, true),
            ("6.18.44-x", true, true),
            ("5.15.0", false, false),
            ("7.0", true, true),
            ("?", false, false),
        ] {
            assert_eq!(
                (reports_zero_copy_usage(release), lets_go_at_once(release)),
                (zero_copy, at_once),
                "{release}"
            );
        }
    }

    #[test]
    fn this_kernel_has_what_tunerd_needs() {
        let probe = probe().unwrap();
        assert!(probe.open_files_limit > 0);
    }
}
