//! Signals that end the process, or have the playlist read, from a descriptor.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use tokio::io::unix::AsyncFd;

fn handled() -> SigSet {
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect()
}

/// Keeps the signals that we act on from ending the process on their own. To be called before the first thread
/// is started: threads inherit what is blocked, and one that does not would take the signal.
///
/// # Errors
/// When the kernel refuses.
pub fn block_signals() -> Result<(), nix::Error> {
    handled().thread_block()
}

/// The signals that have been blocked, as they come.
pub(super) struct Signals(AsyncFd<SignalFd>);

impl Signals {
    #[expect(
        deprecated,
        reason = "its successor asks for a promise the compiler cannot check; the descriptor here is owned, never exchanged"
    )]
    pub(super) fn new() -> Result<Self, std::io::Error> {
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self(AsyncFd::new(SignalFd::with_flags(&handled(), flags)?)?))
    }

    /// The next one that ends the process.
    pub(super) async fn next_end(&self) -> Result<Signal, std::io::Error> {
        loop {
            let signal = self.next().await?;
            if signal != Signal::SIGHUP {
                return Ok(signal);
            }
        }
    }

    /// The next one.
    pub(super) async fn next(&self) -> Result<Signal, std::io::Error> {
        loop {
            let mut ready = self.0.readable().await?;
            let Some(info) = ready.get_inner().read_signal()? else {
                ready.clear_ready();
                continue;
            };
            let number = i32::try_from(info.ssi_signo).map_err(std::io::Error::other)?;
            return Ok(Signal::try_from(number)?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::raise;

    #[test]
    fn a_blocked_signal_is_read_instead_of_ending_the_process() {
        block_signals().unwrap();
        raise(Signal::SIGTERM).unwrap();
        let signal = tokio_uring::start(async { Signals::new().unwrap().next().await.unwrap() });
        assert_eq!(signal, Signal::SIGTERM);
    }
}
