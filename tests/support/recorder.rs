//! A viewer that writes down what it gets and when.

use std::io::ErrorKind;
use std::time::Duration;

use crate::kit::{End, Stopwatch, Viewer};

/// More than any recording here has.
const BYTES_MAX: usize = 512 * 1024 * 1024;
/// How often it is asked whether the recording is long enough.
const LOOK: Duration = Duration::from_millis(50);

/// What a viewer got.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    pub bytes: Vec<u8>,
    /// For each read: when it returned, and how many bytes there were then.
    pub reads: Vec<(Duration, usize)>,
    /// When the answer's head had come.
    pub opened: Duration,
    /// When it was over.
    pub closed: Duration,
    /// How the stream ended, when it did so before the viewer had enough.
    pub end: Option<End>,
}

impl Recording {
    /// When the byte at `position` had arrived.
    pub fn arrived(&self, position: usize) -> Duration {
        let index = self.reads.partition_point(|(_, bytes)| *bytes <= position);
        self.reads.get(index).or(self.reads.last()).map_or(self.opened, |(at, _)| *at)
    }

    /// When the first byte came, and the last.
    pub fn span(&self) -> Option<(Duration, Duration)> {
        Some((self.reads.first()?.0, self.reads.last()?.0))
    }
}

/// Watches until `enough` or for `limit`. Times are told by `clock`.
pub fn record(
    mut viewer: Viewer,
    clock: Stopwatch,
    limit: Duration,
    mut enough: impl FnMut(Duration) -> bool,
) -> Recording {
    let opened = clock.elapsed();
    let mut recording = Recording { opened, ..Recording::default() };
    let mut look_at = opened;
    loop {
        let now = clock.elapsed();
        recording.closed = now;
        if now >= opened + limit || recording.bytes.len() > BYTES_MAX {
            return recording;
        }
        if now >= look_at {
            look_at = now + LOOK;
            if enough(now) {
                return recording;
            }
        }
        match viewer.read(LOOK) {
            Ok(more) if more.is_empty() => {
                recording.end = Some(End::Finished);
                return recording;
            }
            Ok(more) => {
                recording.bytes.extend_from_slice(&more);
                recording.reads.push((clock.elapsed(), recording.bytes.len()));
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                recording.end = Some(End::Reset);
                return recording;
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(error) => panic!("{error}"),
        }
    }
}
