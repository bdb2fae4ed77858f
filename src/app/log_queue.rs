//! Log lines on their way to standard error. Whoever reads it may stop reading, and a thread that serves viewers
//! must not wait for that: lines are queued, and a thread of their own writes them.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tunerd::base::LogTail;

/// Lines that wait to be written. More are lost, and how many is said.
const LINES_MAX: usize = 1024;
/// The end of the program waits this long for its last lines.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// The queue of this process, for [`flush`].
static QUEUE: OnceLock<SyncSender<Message>> = OnceLock::new();

/// The last lines that were written, for [`tail`].
static TAIL: OnceLock<Arc<LogTail>> = OnceLock::new();

enum Message {
    Line(Vec<u8>),
    /// Everything before this is written; whoever waits for that is told.
    Written(SyncSender<()>),
}

/// Takes lines, each written at once, and never waits.
pub(crate) struct Queue {
    messages: SyncSender<Message>,
    lost: u64,
}

/// Starts the thread that writes to standard error.
///
/// # Errors
/// When there can be no other thread.
pub(crate) fn start() -> io::Result<Queue> {
    // A thread that was there before they are blocked would take them, and end the program without a drain.
    tunerd::control::block_signals()?;
    let (messages, received) = sync_channel(LINES_MAX);
    let tail = tail();
    std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write_all(&received, io::stderr(), &tail))?;
    // The first one stays: a process has one log.
    let _first = QUEUE.set(messages.clone());
    Ok(Queue { messages, lost: 0 })
}

/// The last lines of this process; none where nothing is logged.
pub(crate) fn tail() -> Arc<LogTail> {
    Arc::clone(TAIL.get_or_init(Arc::default))
}

/// Waits until what was logged is written, but not for long.
pub(crate) fn flush() {
    let Some(messages) = QUEUE.get() else { return };
    let (told, written) = sync_channel(1);
    // A full queue is not being read, and waiting for it is no use.
    if messages.try_send(Message::Written(told)).is_ok() {
        let _in_time = written.recv_timeout(FLUSH_TIMEOUT);
    }
}

fn write_all(received: &Receiver<Message>, mut to: impl Write, tail: &LogTail) {
    for message in received {
        match message {
            Message::Line(line) => {
                tail.push(&String::from_utf8_lossy(&line));
                // Nobody is left to be told that the log cannot be written.
                drop(to.write_all(&line));
            }
            Message::Written(told) => drop(told.try_send(())),
        }
    }
}

impl Queue {
    fn push(&mut self, line: Vec<u8>) {
        match self.messages.try_send(Message::Line(line)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.lost += 1,
        }
    }
}

impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.lost > 0 {
            let sentence = format!("{} log lines were lost: nobody read standard error\n", self.lost);
            if self.messages.try_send(Message::Line(sentence.into_bytes())).is_ok() {
                self.lost = 0;
            }
        }
        self.push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_nobody_reads_are_counted_and_nobody_waits_for_them() {
        let (messages, received) = sync_channel(2);
        let mut queue = Queue { messages, lost: 0 };
        for line in ["a\n", "b\n", "c\n", "d\n"] {
            queue.write_all(line.as_bytes()).unwrap();
        }
        let next = || match received.try_recv() {
            Ok(Message::Line(line)) => String::from_utf8(line).unwrap(),
            Ok(Message::Written(_)) | Err(_) => String::new(),
        };
        assert_eq!([next(), next(), next()], ["a\n", "b\n", ""]);
        queue.write_all(b"e\n").unwrap();
        assert_eq!([next(), next()], ["2 log lines were lost: nobody read standard error\n", "e\n"]);
        queue.write_all(b"f\n").unwrap();
        assert_eq!(next(), "f\n");
    }

    #[test]
    fn whoever_waits_is_told_when_everything_before_is_written() {
        let (messages, received) = sync_channel(4);
        let mut queue = Queue { messages: messages.clone(), lost: 0 };
        queue.write_all(b"a\n").unwrap();
        let (told, written) = sync_channel(1);
        messages.send(Message::Written(told)).unwrap();
        drop((queue, messages));
        let (mut out, tail) = (Vec::new(), LogTail::default());
        write_all(&received, &mut out, &tail);
        assert_eq!(tail.lines(), [(1, "a".to_owned())]);
        assert_eq!((written.try_recv(), out.as_slice()), (Ok(()), &b"a\n"[..]));
    }
}
