//! A core's mailbox: bounded, and with a file descriptor the core's io_uring can wait on.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::base::limits::MAILBOX_MESSAGES_MAX;

use super::messages::CoreCommand;

/// The message came back: the core has [`MAILBOX_MESSAGES_MAX`] waiting, or is gone.
pub struct MailboxFull<F = OwnedFd>(pub CoreCommand<F>);

/// The sending side, one clone per sender.
pub struct Mailbox<F = OwnedFd> {
    messages: SyncSender<CoreCommand<F>>,
    wakeup: Arc<EventFd>,
}

impl<F> Clone for Mailbox<F> {
    fn clone(&self) -> Self {
        Self { messages: self.messages.clone(), wakeup: Arc::clone(&self.wakeup) }
    }
}

/// The core's side.
pub struct MailboxReader<F = OwnedFd> {
    messages: Receiver<CoreCommand<F>>,
    wakeup: Arc<EventFd>,
}

impl<F> Mailbox<F> {
    /// A mailbox for one core.
    ///
    /// # Errors
    /// When the process is out of file descriptors.
    pub fn new() -> Result<(Self, MailboxReader<F>), nix::Error> {
        let (sender, receiver) = sync_channel(MAILBOX_MESSAGES_MAX);
        let wakeup = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?);
        Ok((
            Self { messages: sender, wakeup: Arc::clone(&wakeup) },
            MailboxReader { messages: receiver, wakeup },
        ))
    }

    /// Puts a message in and wakes the core.
    ///
    /// # Errors
    /// The message, when the mailbox is full or its core has returned.
    pub fn send(&self, message: CoreCommand<F>) -> Result<(), MailboxFull<F>> {
        self.put(message).map_err(|error| match error {
            TrySendError::Full(message) | TrySendError::Disconnected(message) => MailboxFull(message),
        })
    }

    /// As [`Self::send`], for whoever wants no answer: a core that has returned needs no word, and nobody is to wait until it has
    /// room for one.
    ///
    /// # Errors
    /// The message, when the mailbox is full.
    pub(crate) fn tell(&self, message: CoreCommand<F>) -> Result<(), MailboxFull<F>> {
        match self.put(message) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
            Err(TrySendError::Full(message)) => Err(MailboxFull(message)),
        }
    }

    fn put(&self, message: CoreCommand<F>) -> Result<(), TrySendError<CoreCommand<F>>> {
        self.messages.try_send(message)?;
        // The counter can only be refused at u64::MAX - 1; the core is then awake anyway.
        let _refused = self.wakeup.write(1);
        Ok(())
    }
}

impl<F> MailboxReader<F> {
    /// The oldest message.
    pub fn take(&mut self) -> Option<CoreCommand<F>> {
        self.messages.try_recv().ok()
    }

    /// Becomes readable when a message is there.
    #[must_use]
    #[cfg(any(test, feature = "sim"))]
    pub fn wakeup(&self) -> std::os::fd::BorrowedFd<'_> {
        self.wakeup.as_fd()
    }

    /// The wakeup under a descriptor of its own, for the core's io_uring.
    ///
    /// # Errors
    /// When the process is out of file descriptors.
    pub fn wakeup_descriptor(&self) -> Result<OwnedFd, std::io::Error> {
        self.wakeup.as_fd().try_clone_to_owned()
    }
}
