//! The ring: what is in it, who writes it, who waits for it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::base::WallTime;

use super::cancel::{Cancel, Cancelled, Unchanged, Waking};
use super::chunk::{Chunk, OwnedChunk, ReadResult, RingError};

/// Chunks in a ring when nothing is said.
pub(super) const DEFAULT_CHUNKS: usize = 256;
/// A longer startup hint is no hint.
const STARTUP_HINT_MAX: usize = 256 * 1024;
/// The ring has been closed: nothing can be published.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("chunk ring is closed")]
pub struct RingClosed;

/// See [the module](super).
pub struct ChunkRing {
    max_chunks: usize,
    max_bytes: usize,
    shared: Arc<SharedIndex>,
}

#[derive(Default)]
struct SharedIndex {
    index: Mutex<Index>,
    changed: Condvar,
}

#[derive(Default)]
struct Index {
    /// Oldest first, their numbers without gaps up to `next_seq`.
    chunks: VecDeque<Chunk>,
    next_seq: u64,
    /// Counts publishes and the close.
    wait_seq: u64,
    buffered_bytes: usize,
    phase: Phase,
    /// Threads in [`ChunkRing::wait_for_change`], so that a publish for nobody costs no system call.
    waiting: usize,
}

#[derive(Default)]
enum Phase {
    #[default]
    Open,
    Closed(Option<RingError>),
}

impl ChunkRing {
    /// A ring of at most `max_chunks` (0 is 256), however long they are.
    #[must_use]
    pub fn new(max_chunks: usize) -> Self {
        Self::with_limits(max_chunks, 0)
    }

    /// A ring of at most `max_chunks` (0 is 256) and `max_bytes` (0 is any number). A chunk that is longer
    /// than that by itself is kept alone.
    #[must_use]
    pub fn with_limits(max_chunks: usize, max_bytes: usize) -> Self {
        Self::with_limits_and_startup_hint(max_chunks, max_bytes, 0)
    }

    /// The same, for chunks that will mostly have `startup_hint` bytes: room to list as many as fit is made at once. 0 and
    /// more than 256 KiB say nothing.
    #[must_use]
    pub fn with_limits_and_startup_hint(max_chunks: usize, max_bytes: usize, startup_hint: usize) -> Self {
        let max_chunks = if max_chunks == 0 { DEFAULT_CHUNKS } else { max_chunks };
        let hint = if startup_hint > STARTUP_HINT_MAX { 0 } else { startup_hint };
        let expected = max_bytes.checked_div(hint).unwrap_or(0).min(max_chunks);
        let index = Index { chunks: VecDeque::with_capacity(expected), ..Index::default() };
        let shared = SharedIndex { index: Mutex::new(index), changed: Condvar::new() };
        Self { max_chunks, max_bytes, shared: Arc::new(shared) }
    }

    /// True: what is published is copied, so the caller may use its buffer again at once.
    #[must_use]
    pub const fn copies_published_chunk_data(&self) -> bool {
        true
    }

    /// Appends a copy of `data`, evicts what there is no room for, and wakes who waits. An empty chunk is no
    /// chunk. Without `published_at` it was published `now`.
    ///
    /// # Errors
    /// When the ring is closed, except for an empty chunk.
    pub fn publish(
        &self,
        data: &[u8],
        published_at: Option<WallTime>,
        now: WallTime,
    ) -> Result<(), RingClosed> {
        if data.is_empty() {
            return Ok(());
        }
        // Copied before the lock is taken, so that nobody waits for it.
        let bytes = Bytes::copy_from_slice(data);
        let mut index = self.shared.index();
        if let Phase::Closed(_) = index.phase {
            return Err(RingClosed);
        }
        while index.chunks.len() >= self.max_chunks
            || (self.max_bytes > 0 && index.buffered_bytes.saturating_add(data.len()) > self.max_bytes)
        {
            let Some(oldest) = index.chunks.pop_front() else { break };
            index.buffered_bytes -= oldest.bytes().len();
        }
        let seq = index.next_seq;
        index.chunks.push_back(Chunk::new(seq, published_at.unwrap_or(now), bytes));
        index.next_seq += 1;
        index.buffered_bytes += data.len();
        index.wait_seq += 1;
        self.shared.notify(&index);
        Ok(())
    }

    /// The chunks from `seq` to the newest.
    pub fn read_from(&self, seq: u64) -> ReadResult {
        let index = self.shared.index();
        let oldest_seq = index.oldest_seq();
        let mut result = ReadResult {
            chunks: Vec::new(),
            next_seq: seq,
            behind: seq < oldest_seq,
            closed: false,
            error: None,
            wait_seq: index.wait_seq,
            requested_seq: seq,
            oldest_seq,
            ring_next_seq: index.next_seq,
            buffered_chunks: index.chunks.len(),
            buffered_bytes: index.buffered_bytes,
        };
        if result.behind {
            result.next_seq = oldest_seq;
        } else if seq < index.next_seq {
            let first = usize::try_from(seq - oldest_seq).expect("a chunk that is in the ring");
            result.chunks = index.chunks.range(first..).cloned().collect();
            result.next_seq = index.next_seq;
        } else if let Phase::Closed(error) = &index.phase {
            result.closed = true;
            result.error.clone_from(error);
        }
        result
    }

    /// Waits until something is published or the ring is closed, if that has not happened since `wait_seq`
    /// was read.
    ///
    /// # Errors
    /// When it is cancelled and nothing has changed.
    pub fn wait_for_change(&self, cancel: &Cancel, wait_seq: u64) -> Result<(), Cancelled> {
        self.wait(cancel, wait_seq, None).map_err(|unchanged| match unchanged {
            Unchanged::Cancelled => Cancelled,
            Unchanged::TimedOut => unreachable!("a wait without a limit ends by a change or a cancel"),
        })
    }

    /// The same, for at most `timeout`.
    ///
    /// # Errors
    /// When it is cancelled or its time is up, and nothing has changed.
    pub fn wait_for_change_within(
        &self,
        cancel: &Cancel,
        wait_seq: u64,
        timeout: Duration,
    ) -> Result<(), Unchanged> {
        self.wait(cancel, wait_seq, Some(timeout))
    }

    fn wait(&self, cancel: &Cancel, wait_seq: u64, timeout: Option<Duration>) -> Result<(), Unchanged> {
        let mut index = self.shared.index();
        if index.has_changed(wait_seq) {
            return Ok(());
        }
        // Under the index's lock: a cancel that comes now finds this thread asleep.
        let waking = Arc::clone(&self.shared) as Arc<dyn Waking>;
        let Some(registration) = cancel.register(waking) else { return Err(Unchanged::Cancelled) };
        index.waiting += 1;
        let goes_on = |index: &mut Index| !index.has_changed(wait_seq) && !cancel.is_cancelled();
        let changed = &self.shared.changed;
        index = match timeout {
            None => changed.wait_while(index, goes_on).unwrap_or_else(PoisonError::into_inner),
            Some(timeout) => {
                let woken = changed.wait_timeout_while(index, timeout, goes_on);
                woken.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        index.waiting -= 1;
        let has_changed = index.has_changed(wait_seq);
        // `register` takes the two locks in the other order.
        drop(index);
        drop(registration);
        if has_changed {
            Ok(())
        } else if cancel.is_cancelled() {
            Err(Unchanged::Cancelled)
        } else {
            Err(Unchanged::TimedOut)
        }
    }

    /// Where a reader begins who wants to be at least `lag_bytes` behind: at the newest chunk that gives it
    /// that, else at the oldest. Without a lag at the next chunk.
    #[must_use]
    pub fn start_seq_by_lag_bytes(&self, lag_bytes: usize) -> u64 {
        let index = self.shared.index();
        let (mut seq, mut bytes) = (index.next_seq, 0);
        for chunk in index.chunks.iter().rev() {
            if bytes >= lag_bytes {
                break;
            }
            bytes += chunk.bytes().len();
            seq = chunk.seq();
        }
        seq
    }

    /// Copies of all chunks, oldest first.
    #[must_use]
    pub fn snapshot(&self) -> Vec<OwnedChunk> {
        let held: Vec<Chunk> = self.shared.index().chunks.iter().cloned().collect();
        held.iter().map(Chunk::to_owned_chunk).collect()
    }

    /// Ends the ring: what is in it can still be read, then readers find it closed, with this error if any.
    /// Only the first close counts.
    pub fn close(&self, error: Option<RingError>) {
        let mut index = self.shared.index();
        if let Phase::Open = index.phase {
            index.phase = Phase::Closed(error);
            index.wait_seq += 1;
            self.shared.notify(&index);
        }
    }
}

impl fmt::Debug for ChunkRing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ChunkRing")
            .field("max_chunks", &self.max_chunks)
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}

impl Index {
    fn oldest_seq(&self) -> u64 {
        self.chunks.front().map_or(self.next_seq, Chunk::seq)
    }

    const fn has_changed(&self, wait_seq: u64) -> bool {
        self.wait_seq != wait_seq || matches!(self.phase, Phase::Closed(_))
    }
}

impl SharedIndex {
    fn index(&self) -> MutexGuard<'_, Index> {
        // No state is left halfway by a panic under this lock, so one costs nobody else the ring.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self, index: &Index) {
        if index.waiting > 0 {
            self.changed.notify_all();
        }
    }
}

impl Waking for SharedIndex {
    fn wake(&self) {
        // Whoever has just looked is asleep when this has the lock.
        let _nobody_is_between = self.index();
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::thread;

    use proptest::prelude::*;

    use super::super::session_limits;
    use super::*;

    const NOW: WallTime = WallTime::from_unix_nanos(1_000);

    fn publish(ring: &ChunkRing, data: &[u8]) {
        ring.publish(data, None, NOW).unwrap();
    }

    fn filled(ring: ChunkRing, chunks: &[&str]) -> ChunkRing {
        for chunk in chunks {
            publish(&ring, chunk.as_bytes());
        }
        ring
    }

    fn text(chunks: &[Chunk]) -> Vec<(u64, &str)> {
        chunks.iter().map(|chunk| (chunk.seq(), std::str::from_utf8(chunk.bytes()).unwrap())).collect()
    }

    fn snapshot(ring: &ChunkRing) -> Vec<(u64, String)> {
        let chunks = ring.snapshot().into_iter();
        chunks.map(|chunk| (chunk.seq, String::from_utf8(chunk.bytes).unwrap())).collect()
    }

    fn owned(chunks: &[(u64, &str)]) -> Vec<(u64, String)> {
        chunks.iter().map(|&(seq, text)| (seq, text.to_owned())).collect()
    }

    fn end_of_file() -> RingError {
        Arc::new(io::Error::from(io::ErrorKind::UnexpectedEof))
    }

    /// Lets other threads run until so many are asleep in the ring.
    fn until_waiting(ring: &ChunkRing, count: usize) {
        while ring.shared.index().waiting != count {
            thread::yield_now();
        }
    }

    #[test]
    fn the_oldest_chunks_go_when_there_are_too_many() {
        let ring = filled(ChunkRing::new(3), &["a", "b", "c", "d", "e"]);
        let expected = [(2, "c"), (3, "d"), (4, "e")];
        assert_eq!(snapshot(&ring), owned(&expected));
        let result = ring.read_from(2);
        assert_eq!(text(&result.chunks), expected);
        assert_eq!((result.next_seq, result.behind, result.closed), (5, false, false));
    }

    #[test]
    fn a_reader_that_fell_behind_is_told_where_it_can_go_on() {
        let ring = filled(ChunkRing::new(2), &["a", "b", "c", "d"]);
        let result = ring.read_from(0);
        assert!(result.behind && result.chunks.is_empty());
        assert_eq!((result.requested_seq, result.next_seq, result.oldest_seq), (0, 2, 2));
        assert_eq!((result.ring_next_seq, result.buffered_chunks, result.buffered_bytes), (4, 2, 2));
        let result = ring.read_from(2);
        assert_eq!(text(&result.chunks), [(2, "c"), (3, "d")]);
        assert_eq!(result.next_seq, 4);
    }

    #[test]
    fn a_joiner_starts_with_the_fewest_chunks_that_give_its_lag() {
        let ring = filled(ChunkRing::new(4), &["12", "123", "1234", "12345", "123456"]);
        for (lag, expected) in [(0, 5), (1, 4), (6, 4), (7, 3), (11, 3), (12, 2), (100, 1), (usize::MAX, 1)] {
            assert_eq!(ring.start_seq_by_lag_bytes(lag), expected, "lag {lag}");
        }
        let ring = filled(ChunkRing::new(9), &["1234", "12", "123456"]);
        for (lag, expected) in [(1, 2), (6, 2), (7, 1), (8, 1), (9, 0), (12, 0), (13, 0)] {
            assert_eq!(ring.start_seq_by_lag_bytes(lag), expected, "lag {lag}");
        }
        assert_eq!(ChunkRing::new(4).start_seq_by_lag_bytes(5), 0);
    }

    #[test]
    fn the_oldest_chunks_go_when_there_are_too_many_bytes() {
        let ring = filled(ChunkRing::with_limits(12, 7), &["AAAA", "b", "c", "d", "EEEE"]);
        assert_eq!(snapshot(&ring), owned(&[(1, "b"), (2, "c"), (3, "d"), (4, "EEEE")]));
        let result = ring.read_from(0);
        assert_eq!((result.behind, result.next_seq, result.buffered_bytes), (true, 1, 7));
    }

    #[test]
    fn a_chunk_longer_than_all_that_is_allowed_is_kept_alone() {
        let ring = filled(ChunkRing::with_limits(8, 3), &["ab", "c", "WXYZ"]);
        assert_eq!(snapshot(&ring), owned(&[(2, "WXYZ")]));
        assert_eq!(ring.read_from(2).buffered_bytes, 4);
        publish(&ring, b"v");
        assert_eq!(snapshot(&ring), owned(&[(3, "v")]));
    }

    #[test]
    fn what_was_published_does_not_change_with_the_callers_buffer() {
        for hint in [0, 16] {
            let ring = ChunkRing::with_limits_and_startup_hint(4, 0, hint);
            let mut buffer = *b"before";
            publish(&ring, &buffer);
            buffer.fill(b'x');
            assert_eq!(text(&ring.read_from(0).chunks), [(0, "before")], "hint {hint}");
            assert!(ring.copies_published_chunk_data());
        }
    }

    #[test]
    fn what_a_reader_holds_stays_when_it_is_evicted() {
        for hint in [0, 16] {
            let ring = ChunkRing::with_limits_and_startup_hint(1, 0, hint);
            publish(&ring, b"first");
            let held = ring.read_from(0);
            publish(&ring, b"second");
            assert_eq!(text(&held.chunks), [(0, "first")], "hint {hint}");
            assert_eq!(text(&ring.read_from(1).chunks), [(1, "second")], "hint {hint}");
        }
    }

    #[test]
    fn releasing_an_old_result_twice_does_not_touch_a_newer_one() {
        let ring = filled(ChunkRing::new(1), &["A"]);
        let mut first = ring.read_from(0);
        let mut copy = first.clone();
        first.release();
        first.release();
        assert!(first.chunks.is_empty());
        publish(&ring, b"B");
        let held = ring.read_from(1);
        assert_eq!(text(&copy.chunks), [(0, "A")], "a copy holds its chunks itself");
        copy.release();
        publish(&ring, b"C");
        assert_eq!(text(&held.chunks), [(1, "B")]);
    }

    #[test]
    fn a_short_chunk_has_nothing_of_the_longer_one_before_it() {
        let ring = filled(ChunkRing::new(1), &["LONGPAYLOAD", "xy"]);
        assert_eq!(ring.read_from(1).chunks[0].bytes(), b"xy");
    }

    #[test]
    fn a_ring_without_limits_has_256_chunks() {
        let ring = ChunkRing::new(0);
        for _ in 0..300 {
            publish(&ring, b"x");
        }
        assert_eq!(ring.read_from(300).buffered_chunks, 256);
    }

    #[test]
    fn a_reader_at_the_end_waits_where_it_is() {
        let ring = filled(ChunkRing::new(4), &["a"]);
        let result = ring.read_from(1);
        assert!(result.chunks.is_empty() && !result.behind && !result.closed && !result.is_ahead());
        assert_eq!((result.next_seq, result.oldest_seq, result.ring_next_seq), (1, 0, 1));
        let result = ring.read_from(99);
        assert!(result.chunks.is_empty() && !result.behind && !result.closed && result.is_ahead());
        assert_eq!(result.next_seq, 99);
    }

    #[test]
    fn an_empty_ring_is_at_its_own_beginning() {
        let result = ChunkRing::new(4).read_from(0);
        assert_eq!((result.oldest_seq, result.ring_next_seq, result.next_seq, result.wait_seq), (0, 0, 0, 0));
        assert!(!result.behind && !result.closed);
    }

    #[test]
    fn a_chunk_is_published_when_it_says_and_else_now() {
        let ring = ChunkRing::new(4);
        let earlier = WallTime::from_unix_nanos(5);
        ring.publish(b"a", Some(earlier), NOW).unwrap();
        ring.publish(b"b", None, NOW).unwrap();
        let times: Vec<_> = ring.read_from(0).chunks.iter().map(Chunk::published_at).collect();
        assert_eq!(times, [earlier, NOW]);
        assert_eq!(ring.snapshot()[0].published_at, earlier);
    }

    #[test]
    fn a_close_wakes_who_waits_and_is_found_after_the_last_chunk() {
        let ring = filled(ChunkRing::new(4), &["a"]);
        let result = ring.read_from(1);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| ring.wait_for_change(&Cancel::new(), result.wait_seq));
            until_waiting(&ring, 1);
            ring.close(Some(end_of_file()));
            assert_eq!(waiter.join().unwrap(), Ok(()));
        });
        let result = ring.read_from(0);
        assert!(!result.closed && result.error.is_none(), "first what is left");
        assert_eq!(text(&result.chunks), [(0, "a")]);
        let result = ring.read_from(1);
        assert!(result.closed);
        let error = result.error.unwrap();
        assert_eq!(error.downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_reader_behind_a_closed_ring_is_behind_first() {
        let ring = filled(ChunkRing::new(1), &["a", "b"]);
        ring.close(None);
        let result = ring.read_from(0);
        assert!(result.behind && !result.closed);
        let result = ring.read_from(2);
        assert!(result.closed && result.error.is_none(), "closed cleanly");
    }

    #[test]
    fn nothing_but_nothing_can_be_published_after_the_first_close() {
        let ring = filled(ChunkRing::new(4), &["a"]);
        ring.close(Some(end_of_file()));
        let closed = ring.read_from(1);
        assert_eq!(ring.publish(b"b", None, NOW), Err(RingClosed));
        assert_eq!(ring.publish(b"", None, NOW), Ok(()));
        ring.close(None);
        let later = ring.read_from(1);
        assert!(later.error.is_some(), "the first close counts");
        assert_eq!((later.wait_seq, later.ring_next_seq), (closed.wait_seq, 1));
    }

    #[test]
    fn a_refused_chunk_evicts_nothing() {
        let ring = filled(ChunkRing::new(1), &["a"]);
        ring.close(None);
        assert_eq!(ring.publish(b"b", None, NOW), Err(RingClosed));
        assert_eq!(snapshot(&ring), owned(&[(0, "a")]));
    }

    #[test]
    fn an_empty_chunk_is_no_chunk() {
        let ring = ChunkRing::new(4);
        publish(&ring, b"");
        let result = ring.read_from(0);
        assert_eq!((result.wait_seq, result.ring_next_seq), (0, 0));
    }

    #[test]
    fn one_chunk_wakes_all_who_wait() {
        let ring = ChunkRing::new(4);
        let cancel = Cancel::new();
        thread::scope(|scope| {
            let wait = || ring.wait_for_change(&cancel, 0);
            let waiters: Vec<_> = (0..4).map(|_| scope.spawn(wait)).collect();
            until_waiting(&ring, 4);
            publish(&ring, b"x");
            for waiter in waiters {
                assert_eq!(waiter.join().unwrap(), Ok(()));
            }
        });
        assert_eq!(ring.shared.index().waiting, 0);
    }

    #[test]
    fn who_is_cancelled_while_it_waits_returns() {
        let ring = ChunkRing::new(4);
        let (cancel, other) = (Cancel::new(), Cancel::new());
        thread::scope(|scope| {
            let cancelled = scope.spawn(|| ring.wait_for_change(&cancel, 0));
            let waiting = scope.spawn(|| ring.wait_for_change(&other, 0));
            until_waiting(&ring, 2);
            cancel.cancel();
            assert_eq!(cancelled.join().unwrap(), Err(Cancelled));
            until_waiting(&ring, 1);
            publish(&ring, b"x");
            assert_eq!(waiting.join().unwrap(), Ok(()), "the other went on waiting");
        });
    }

    #[test]
    fn a_chunk_between_read_and_wait_is_not_missed() {
        let ring = ChunkRing::new(4);
        let result = ring.read_from(0);
        publish(&ring, b"x");
        assert_eq!(ring.wait_for_change(&Cancel::new(), result.wait_seq), Ok(()));
    }

    #[test]
    fn a_change_counts_more_than_a_cancel() {
        let ring = filled(ChunkRing::new(4), &["a"]);
        let cancel = Cancel::new();
        cancel.cancel();
        let wait_seq = ring.read_from(1).wait_seq;
        assert_eq!(ring.wait_for_change(&cancel, wait_seq - 1), Ok(()));
        assert_eq!(ring.wait_for_change(&cancel, wait_seq), Err(Cancelled));
        ring.close(None);
        let wait_seq = ring.read_from(1).wait_seq;
        assert_eq!(ring.wait_for_change(&cancel, wait_seq), Ok(()), "a closed ring never keeps anybody");
    }

    #[test]
    fn a_wait_with_a_limit_ends_with_it() {
        let ring = ChunkRing::new(4);
        let cancel = Cancel::new();
        let short = Duration::from_millis(1);
        assert_eq!(ring.wait_for_change_within(&cancel, 0, short), Err(Unchanged::TimedOut));
        publish(&ring, b"x");
        assert_eq!(ring.wait_for_change_within(&cancel, 0, Duration::MAX), Ok(()));
        cancel.cancel();
        assert_eq!(ring.wait_for_change_within(&cancel, 1, Duration::MAX), Err(Unchanged::Cancelled));
    }

    /// 96 packets every 2 ms, then 150 ms more of them: nobody has to wait for that to count them.
    #[test]
    fn filler_alone_stays_for_as_long_as_the_lag_allows() {
        let limits = session_limits(65536, 2 * 1024 * 1024);
        let ring =
            ChunkRing::with_limits_and_startup_hint(limits.max_chunks, limits.max_bytes, limits.startup_hint);
        for _ in 0..96 + 75 {
            publish(&ring, &[0xFF; 188]);
        }
        let result = ring.read_from(0);
        assert!(!result.behind && result.chunks.len() == 171);
        drop(result);
        for _ in 171..limits.max_bytes / 188 {
            publish(&ring, &[0xFF; 188]);
        }
        assert!(!ring.read_from(0).behind, "a whole lag of filler fits");
        publish(&ring, &[0xFF; 188]);
        assert!(ring.read_from(0).behind);
    }

    #[test]
    fn a_reader_that_holds_everything_does_not_stop_the_writer() {
        let ring = ChunkRing::with_limits(1000, 16 * 4096);
        let mut held = Vec::new();
        for round in 0..4u64 {
            for _ in 0..16 {
                publish(&ring, &[u8::try_from(round).unwrap(); 4096]);
            }
            held.push(ring.read_from(round * 16));
        }
        let buffered = ring.read_from(0).buffered_bytes;
        assert_eq!(buffered, 16 * 4096, "what is held beyond that is the reader's");
        for (fill, result) in (0..4u8).zip(&held) {
            assert_eq!(result.chunks.len(), 16);
            assert!(result.chunks.iter().all(|chunk| chunk.bytes().iter().all(|&byte| byte == fill)));
        }
    }

    #[test]
    fn chunks_outlive_their_ring() {
        let ring = filled(ChunkRing::new(2), &["a"]);
        let held = ring.read_from(0);
        drop(ring);
        assert_eq!(text(&held.chunks), [(0, "a")]);
    }

    #[test]
    fn a_chunk_of_the_ring_can_be_published_again() {
        let ring = filled(ChunkRing::with_limits(1, 4096), &["again"]);
        for seq in 0..5000 {
            let read = ring.read_from(seq);
            publish(&ring, read.chunks[0].bytes());
        }
        assert_eq!(snapshot(&ring), owned(&[(5000, "again")]));
    }

    /// A chunk whose every byte follows from its number.
    fn numbered(seq: u64, bytes: usize) -> Vec<u8> {
        vec![u8::try_from(seq % 251).unwrap(); bytes]
    }

    fn assert_numbered(chunk: &Chunk) {
        let expected = u8::try_from(chunk.seq() % 251).unwrap();
        assert!(chunk.bytes().iter().all(|&byte| byte == expected), "chunk {} has changed", chunk.seq());
    }

    #[test]
    fn readers_on_other_threads_find_every_chunk_as_it_was_published() {
        let ring = ChunkRing::with_limits(40, 20 * 4096);
        let chunks = 20_000;
        let read = |hold: usize| {
            let (mut next_seq, mut held, mut seen) = (0, VecDeque::new(), 0u64);
            loop {
                let result = ring.read_from(next_seq);
                next_seq = result.next_seq;
                if result.closed {
                    return seen;
                }
                if result.chunks.is_empty() && !result.behind {
                    ring.wait_for_change(&Cancel::new(), result.wait_seq).unwrap();
                }
                seen += result.chunks.len() as u64;
                held.push_back(result);
                while held.len() > hold {
                    held.pop_front().into_iter().flat_map(|r| r.chunks).for_each(|c| assert_numbered(&c));
                }
            }
        };
        thread::scope(|scope| {
            let readers = [0, 1, 7].map(|hold| scope.spawn(move || read(hold)));
            for seq in 0..chunks {
                publish(&ring, &numbered(seq, 1 + usize::try_from(seq * 37 % 9000).unwrap()));
            }
            ring.close(None);
            for reader in readers {
                assert!(reader.join().unwrap() >= 1, "at least the last chunks were read");
            }
        });
        assert!(ring.read_from(0).buffered_bytes <= 20 * 4096, "nobody holds anything but the ring");
    }

    proptest! {
        #[test]
        fn a_ring_is_what_its_limits_say_and_nothing_held_ever_changes(
            max_chunks in 1usize..12,
            max_bytes in prop_oneof![Just(0usize), 1usize..40_000],
            hint in 0usize..5000,
            steps in proptest::collection::vec((0u8..6, 1usize..6000), 1..150),
        ) {
            let ring = ChunkRing::with_limits_and_startup_hint(max_chunks, max_bytes, hint);
            let mut model: VecDeque<(u64, usize)> = VecDeque::new();
            let (mut held, mut seq) = (Vec::new(), 0u64);
            for (what, number) in steps {
                if what < 4 {
                    publish(&ring, &numbered(seq, number));
                    let total = |model: &VecDeque<(u64, usize)>| model.iter().map(|&(_, b)| b).sum::<usize>();
                    while !model.is_empty() && max_bytes > 0 && total(&model) + number > max_bytes {
                        model.pop_front();
                    }
                    if model.len() == max_chunks {
                        model.pop_front();
                    }
                    model.push_back((seq, number));
                    seq += 1;
                } else if what == 4 {
                    held.push(ring.read_from(seq.saturating_sub(number as u64 % 10)));
                } else if !held.is_empty() {
                    drop(held.swap_remove(number % held.len()));
                }
                let all = ring.read_from(model.front().map_or(seq, |&(seq, _)| seq));
                prop_assert!(!all.behind);
                let found: Vec<_> = all.chunks.iter().map(|c| (c.seq(), c.bytes().len())).collect();
                prop_assert_eq!(&found, &Vec::from(model.clone()));
                prop_assert_eq!(all.buffered_bytes, found.iter().map(|&(_, bytes)| bytes).sum::<usize>());
                held.iter().chain([&all]).flat_map(|result| &result.chunks).for_each(assert_numbered);
            }
        }
    }
}
