//! Messages on their way to the cores. A core's mailbox may be full for a moment; what control has to say
//! is kept in order until it fits.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::engine::{CoreCommand, CoreId, Mailbox, MailboxFull, Ticket};
use crate::lineup::Lineup;

/// Messages kept per core while its mailbox is full. Children and lookups a core has asked for are bounded
/// well below this; a core that lets so many lie has stopped. Full: the message is dropped and logged.
const WAITING_MESSAGES_MAX: usize = 8192;
/// How long until a full mailbox is tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Who asked for something: a core, and its number for what it asked.
pub(super) type Asker = (CoreId, Ticket);

/// The way to all cores.
pub(super) struct Outbox {
    mailboxes: Vec<Mailbox>,
    waiting: RefCell<Vec<VecDeque<CoreCommand>>>,
    some_wait: Notify,
}

impl Outbox {
    pub(super) fn new(mailboxes: Vec<Mailbox>) -> Self {
        let waiting = mailboxes.iter().map(|_| VecDeque::new()).collect();
        Self { mailboxes, waiting: RefCell::new(waiting), some_wait: Notify::new() }
    }

    /// The number of cores.
    pub(super) fn cores(&self) -> usize {
        self.mailboxes.len()
    }

    /// Sends now or as soon as it fits, after everything that already waits for this core.
    pub(super) fn send(&self, core: CoreId, message: CoreCommand) {
        self.send_to(usize::from(core.0), message);
    }

    /// Sends to every core.
    pub(super) fn send_all(&self, message: impl Fn() -> CoreCommand) {
        for index in 0..self.mailboxes.len() {
            self.send_to(index, message());
        }
    }

    /// Sends the channels to every core. One that still waits is replaced: only the newest counts.
    pub(super) fn send_lineup(&self, lineup: &Arc<Lineup>) {
        for queue in self.waiting.borrow_mut().iter_mut() {
            queue.retain(|message| !matches!(message, CoreCommand::Lineup(_)));
        }
        self.send_all(|| CoreCommand::Lineup(Arc::clone(lineup)));
    }

    /// Sends now or not at all.
    pub(super) fn try_send(&self, index: usize, message: CoreCommand) -> Result<(), MailboxFull> {
        match self.mailboxes.get(index) {
            Some(mailbox) => mailbox.send(message),
            None => Err(MailboxFull(message)),
        }
    }

    fn send_to(&self, index: usize, message: CoreCommand) {
        let mut waiting = self.waiting.borrow_mut();
        let Some(queue) = waiting.get_mut(index) else {
            log::error!("a message for core {index}, which there is not, is dropped");
            return;
        };
        if queue.len() >= WAITING_MESSAGES_MAX {
            log::error!("core {index} takes no messages; one is dropped");
            return;
        }
        queue.push_back(message);
        if !self.deliver(index, queue) {
            self.some_wait.notify_one();
        }
    }

    /// Moves what fits into the mailbox. True when nothing is left.
    fn deliver(&self, index: usize, queue: &mut VecDeque<CoreCommand>) -> bool {
        while let Some(message) = queue.pop_front() {
            if let Err(MailboxFull(message)) = self.try_send(index, message) {
                queue.push_front(message);
                return false;
            }
        }
        true
    }

    fn deliver_all(&self) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        waiting.iter_mut().enumerate().fold(true, |all, (index, queue)| self.deliver(index, queue) && all)
    }

    /// Delivers what waits, for as long as it is polled.
    pub(super) async fn keep_delivering(&self) -> ! {
        loop {
            self.some_wait.notified().await;
            while !self.deliver_all() {
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::MAILBOX_MESSAGES_MAX;
    use crate::engine::{MailboxReader, Ticket};

    fn resolved(number: u64) -> CoreCommand {
        CoreCommand::Resolved { ticket: Ticket(number), result: Ok(Vec::new()) }
    }

    fn tickets(reader: &mut MailboxReader) -> Vec<u64> {
        std::iter::from_fn(|| reader.take())
            .filter_map(|message| {
                if let CoreCommand::Resolved { ticket, .. } = message { Some(ticket.0) } else { None }
            })
            .collect()
    }

    #[test]
    fn what_did_not_fit_follows_in_order() {
        let (mailbox, mut reader) = Mailbox::new().unwrap();
        let outbox = Outbox::new(vec![mailbox]);
        let count = u64::try_from(MAILBOX_MESSAGES_MAX).unwrap() + 3;
        for number in 0..count {
            outbox.send(CoreId(0), resolved(number));
        }
        assert_eq!(reader.take().map(|_| ()), Some(()));
        // One place is free, but three are in front of this one.
        outbox.send(CoreId(0), resolved(count));
        let mut seen = tickets(&mut reader);
        assert!(outbox.deliver_all());
        seen.extend(tickets(&mut reader));
        assert_eq!(seen, (1..=count).collect::<Vec<_>>());
    }

    #[test]
    fn of_lineups_that_wait_only_the_newest_stays() {
        let (mailbox, mut reader) = Mailbox::new().unwrap();
        let outbox = Outbox::new(vec![mailbox]);
        for number in 0..u64::try_from(MAILBOX_MESSAGES_MAX).unwrap() {
            outbox.send(CoreId(0), resolved(number));
        }
        for _ in 0..5 {
            outbox.send_lineup(&Arc::new(Lineup::default()));
        }
        assert_eq!(tickets(&mut reader).len(), MAILBOX_MESSAGES_MAX);
        assert!(outbox.deliver_all());
        let lineups = std::iter::from_fn(|| reader.take()).count();
        assert_eq!(lineups, 1);
    }
}
