//! Alignment: from bytes as they arrive to whole packets, in place.
//!
//! ```text
//!              four sync bytes at one stride            a packet without sync byte, and the next without
//!   searching ───────────────────────────────▶ locked ─────────────────────────────────────────────────▶ searching
//! ```
//!
//! Every decision depends on the bytes alone, never on how they were cut into pieces: where a decision needs
//! bytes that have not arrived, it waits for them.

use crate::base::limits::PACKET_BYTES;
use crate::ts::packet::SYNC_BYTE;

/// Bytes from one sync byte to the next: plain packets, packets with a time stamp of four bytes in front
/// (M2TS), packets with 16 bytes of Reed-Solomon code behind. Tried in this order.
const STRIDES: [usize; 3] = [PACKET_BYTES, 192, 204];
/// Sync bytes that must follow each other at one stride before they are believed.
const LOCK_PACKETS: usize = 4;
/// The most bytes that stay undecided between two calls: at the widest stride, all but the last sync byte
/// have been seen, or a locked packet without sync byte waits for the one after it.
pub const UNDECIDED_BYTES_MAX: usize = (LOCK_PACKETS - 1) * 204;

/// What [`Aligner::align`] left in the slice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Aligned {
    /// Bytes at the front that are whole packets, each beginning with the sync byte.
    pub packets_bytes: usize,
    /// Bytes right behind them that belong to the next call: receive after them, and hand both in.
    pub rest_bytes: usize,
}

/// What has been counted since the aligner was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AlignCounts {
    /// Whole packets delivered.
    pub packets: u64,
    /// Bytes that belonged to no packet, or to a packet without sync byte. Bytes between packets that the
    /// stride accounts for are not counted.
    pub bytes_dropped: u64,
    /// Packets without a sync byte that were dropped while the next one had its own.
    pub packets_damaged: u64,
    /// Times the lock was given up.
    pub sync_losses: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum SyncState {
    Searching,
    Locked { stride: usize },
}

/// What the bytes seen so far say about a sync byte's place.
enum SyncCandidate {
    Locks { stride: usize },
    Undecided,
    Refuted,
}

/// Finds packets in a stream of bytes and keeps hold of them.
#[derive(Debug)]
pub struct Aligner {
    state: SyncState,
    /// Bytes before the next sync byte that the stride accounts for.
    between: usize,
    counts: AlignCounts,
}

impl Default for Aligner {
    fn default() -> Self {
        Self::new()
    }
}

impl Aligner {
    /// An aligner that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: SyncState::Searching,
            between: 0,
            counts: AlignCounts { packets: 0, bytes_dropped: 0, packets_damaged: 0, sync_losses: 0 },
        }
    }

    /// Whether packets are being found where they are expected.
    #[must_use]
    #[cfg(test)]
    pub const fn locked(&self) -> bool {
        matches!(self.state, SyncState::Locked { .. })
    }

    /// What has been counted.
    #[must_use]
    pub const fn counts(&self) -> AlignCounts {
        self.counts
    }

    /// Moves the whole packets in `bytes` to its front and what is undecided right behind them. `bytes` are the
    /// `rest_bytes` of the call before, then what has arrived since. When the bytes are aligned already, none is moved.
    pub fn align(&mut self, bytes: &mut [u8]) -> Aligned {
        let mut read = 0;
        let mut write = 0;
        loop {
            let more = match self.state {
                SyncState::Searching => self.search(bytes, &mut read),
                SyncState::Locked { stride } => self.follow(bytes, stride, &mut read, &mut write),
            };
            if !more {
                break;
            }
        }
        let rest_bytes = bytes.len() - read;
        if read != write {
            bytes.copy_within(read.., write);
        }
        debug_assert!(rest_bytes <= UNDECIDED_BYTES_MAX, "{rest_bytes} bytes are undecided");
        Aligned { packets_bytes: write, rest_bytes }
    }

    /// Looks for a place to lock. True when it was found, false when more bytes are needed.
    fn search(&mut self, bytes: &[u8], read: &mut usize) -> bool {
        let from = *read;
        let found = loop {
            let Some(offset) = bytes[*read..].iter().position(|byte| *byte == SYNC_BYTE) else {
                *read = bytes.len();
                break false;
            };
            *read += offset;
            match judge(&bytes[*read..]) {
                SyncCandidate::Locks { stride } => {
                    self.state = SyncState::Locked { stride };
                    self.between = 0;
                    break true;
                }
                SyncCandidate::Undecided => break false,
                SyncCandidate::Refuted => *read += 1,
            }
        };
        self.counts.bytes_dropped += counted(*read - from);
        found
    }

    /// Takes packets at the stride. True when the lock was lost, false when more bytes are needed.
    fn follow(&mut self, bytes: &mut [u8], stride: usize, read: &mut usize, write: &mut usize) -> bool {
        loop {
            if stride == PACKET_BYTES && self.between == 0 {
                self.follow_plain(bytes, read, write);
            }
            let skipped = self.between.min(bytes.len() - *read);
            self.between -= skipped;
            *read += skipped;
            let left = bytes.len() - *read;
            if left < PACKET_BYTES {
                return false;
            }
            if bytes[*read] == SYNC_BYTE {
                if *read != *write {
                    bytes.copy_within(*read..*read + PACKET_BYTES, *write);
                }
                *write += PACKET_BYTES;
                self.counts.packets += 1;
            } else {
                let Some(next) = bytes.get(*read + stride) else { return false };
                if *next != SYNC_BYTE {
                    self.state = SyncState::Searching;
                    self.counts.sync_losses += 1;
                    return true;
                }
                self.counts.packets_damaged += 1;
                self.counts.bytes_dropped += counted(PACKET_BYTES);
            }
            *read += PACKET_BYTES;
            self.between = stride - PACKET_BYTES;
        }
    }
}

impl Aligner {
    /// Takes packets that lie side by side, as long as they have their sync bytes.
    fn follow_plain(&mut self, bytes: &mut [u8], read: &mut usize, write: &mut usize) {
        let (packets, _) = bytes[*read..].as_chunks::<PACKET_BYTES>();
        let sound = packets.iter().take_while(|packet| packet[0] == SYNC_BYTE).count();
        let length = sound * PACKET_BYTES;
        if read != write {
            bytes.copy_within(*read..*read + length, *write);
        }
        (*read, *write) = (*read + length, *write + length);
        self.counts.packets += counted(sound);
    }
}

/// Judges a sync byte at the start of `bytes`. The strides are tried in order, and a narrower one that is still
/// undecided holds back the wider ones: the result must not depend on how much has arrived.
fn judge(bytes: &[u8]) -> SyncCandidate {
    for stride in STRIDES {
        let mut refuted = false;
        for packet in 1..LOCK_PACKETS {
            match bytes.get(packet * stride) {
                None => return SyncCandidate::Undecided,
                Some(byte) if *byte == SYNC_BYTE => {}
                Some(_) => {
                    refuted = true;
                    break;
                }
            }
        }
        if !refuted {
            return SyncCandidate::Locks { stride };
        }
    }
    SyncCandidate::Refuted
}

fn counted(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("a slice's length fits 64 bits")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Packets that tell themselves apart and hold no sync byte but their first.
    fn packet(number: usize) -> Vec<u8> {
        let mut bytes = vec![0x10; PACKET_BYTES];
        bytes[0] = SYNC_BYTE;
        bytes[4] = u8::try_from(number % 64).unwrap();
        bytes[5] = u8::try_from(number / 64).unwrap();
        bytes
    }

    /// Packets `first..first + count` with what the stride puts around them.
    fn stream(first: usize, count: usize, prefix: usize, suffix: usize) -> Vec<u8> {
        (first..first + count)
            .flat_map(|number| [vec![0xEE; prefix], packet(number), vec![0xEE; suffix]].concat())
            .collect()
    }

    fn numbers(packets: &[u8]) -> Vec<usize> {
        packets
            .chunks(PACKET_BYTES)
            .map(|packet| {
                assert_eq!(packet[0], SYNC_BYTE);
                usize::from(packet[4]) + 64 * usize::from(packet[5])
            })
            .collect()
    }

    /// Feeds the stream in pieces the way the engine does: into one buffer, the rest staying in place.
    fn feed(aligner: &mut Aligner, stream: &[u8], pieces: impl IntoIterator<Item = usize>) -> Vec<u8> {
        let mut ring = Vec::new();
        let mut committed = 0;
        let mut left = stream;
        for piece in pieces.into_iter().chain([usize::MAX]) {
            let (now, later) = left.split_at(piece.min(left.len()));
            left = later;
            ring.extend_from_slice(now);
            let aligned = aligner.align(&mut ring[committed..]);
            committed += aligned.packets_bytes;
            assert!(aligned.rest_bytes <= UNDECIDED_BYTES_MAX);
            ring.truncate(committed + aligned.rest_bytes);
        }
        ring.truncate(committed);
        ring
    }

    fn run(stream: &[u8]) -> (Vec<usize>, AlignCounts) {
        let mut aligner = Aligner::new();
        let packets = feed(&mut aligner, stream, []);
        (numbers(&packets), aligner.counts())
    }

    #[test]
    fn aligned_bytes_stay_where_they_are() {
        let mut bytes = stream(0, 10, 0, 0);
        let before = bytes.clone();
        let mut aligner = Aligner::new();
        assert_eq!(aligner.align(&mut bytes), Aligned { packets_bytes: 1880, rest_bytes: 0 });
        assert_eq!(bytes, before);
        assert!(aligner.locked());
        assert_eq!(aligner.counts(), AlignCounts { packets: 10, ..AlignCounts::default() });
    }

    #[test]
    fn the_rest_lies_right_behind_the_packets() {
        let mut bytes = [vec![1, 2, 3], stream(0, 4, 0, 0), packet(4)[..50].to_vec()].concat();
        let mut aligner = Aligner::new();
        assert_eq!(aligner.align(&mut bytes), Aligned { packets_bytes: 752, rest_bytes: 50 });
        assert_eq!(bytes[..752], stream(0, 4, 0, 0));
        assert_eq!(bytes[752..802], packet(4)[..50]);
        assert_eq!(aligner.counts().bytes_dropped, 3);
    }

    #[test]
    fn packets_with_a_prefix_or_a_suffix_come_out_plain() {
        for (prefix, suffix) in [(4, 0), (0, 16)] {
            let (numbers, counts) = run(&stream(0, 9, prefix, suffix));
            assert_eq!(numbers, (0..9).collect::<Vec<_>>(), "prefix {prefix}, suffix {suffix}");
            assert_eq!(counts.sync_losses, 0);
            // The first prefix comes before the lock and is dropped like any other byte.
            assert_eq!(counts.bytes_dropped, counted(prefix));
        }
    }

    #[test]
    fn three_sync_bytes_are_not_believed() {
        let (numbers, counts) = run(&stream(0, 3, 0, 0));
        assert!(numbers.is_empty());
        assert_eq!(counts, AlignCounts::default());
        assert_eq!(run(&[stream(0, 3, 0, 0), vec![SYNC_BYTE]].concat()).0, [0, 1, 2]);
    }

    #[test]
    fn one_damaged_packet_is_dropped_without_losing_the_lock() {
        let mut bytes = stream(0, 10, 0, 0);
        bytes[5 * PACKET_BYTES] = 0;
        let (numbers, counts) = run(&bytes);
        assert_eq!(numbers, [0, 1, 2, 3, 4, 6, 7, 8, 9]);
        let expected = AlignCounts { packets: 9, bytes_dropped: 188, packets_damaged: 1, sync_losses: 0 };
        assert_eq!(counts, expected);
    }

    #[test]
    fn two_damaged_packets_lose_the_lock_and_the_rest_is_found_again() {
        let mut bytes = stream(0, 12, 0, 0);
        bytes[5 * PACKET_BYTES] = 0;
        bytes[6 * PACKET_BYTES] = 0;
        let (numbers, counts) = run(&bytes);
        assert_eq!(numbers, [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]);
        let expected = AlignCounts { packets: 10, bytes_dropped: 376, packets_damaged: 0, sync_losses: 1 };
        assert_eq!(counts, expected);
    }

    #[test]
    fn a_stream_may_change_its_stride() {
        let (found, counts) = run(&[stream(0, 6, 0, 0), stream(6, 6, 4, 0)].concat());
        assert_eq!(found, (0..12).collect::<Vec<_>>());
        assert_eq!((counts.sync_losses, counts.bytes_dropped), (1, 4));
    }

    #[test]
    fn bytes_without_packets_are_dropped_and_never_pile_up() {
        let mut aligner = Aligner::new();
        for fill in [SYNC_BYTE - 1, 0] {
            let mut bytes = vec![fill; 5000];
            let aligned = aligner.align(&mut bytes);
            assert_eq!(aligned, Aligned { packets_bytes: 0, rest_bytes: 0 });
        }
        assert_eq!(aligner.counts().bytes_dropped, 10_000);
        assert!(!aligner.locked());
    }

    fn garbage(max: usize) -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(any::<u8>(), 0..max)
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_packets_of_one_piece(
            bytes in proptest::collection::vec(prop_oneof![
                4 => (1..9usize, 0..3usize).prop_map(|(count, kind)| {
                    stream(0, count, [0, 4, 0][kind], [0, 0, 16][kind])
                }),
                1 => garbage(900),
                1 => proptest::collection::vec(prop_oneof![Just(SYNC_BYTE), any::<u8>()], 0..900),
            ], 1..6).prop_map(|parts| parts.concat()),
            pieces in proptest::collection::vec(1..700usize, 0..40),
        ) {
            let mut whole = Aligner::new();
            let expected = feed(&mut whole, &bytes, []);
            let mut cut = Aligner::new();
            prop_assert_eq!(feed(&mut cut, &bytes, pieces), expected);
            prop_assert_eq!(cut.counts(), whole.counts());
        }

        #[test]
        fn a_split_at_any_byte_changes_nothing(at in 0..2256usize) {
            let bytes = stream(0, 12, 0, 0);
            let mut aligner = Aligner::new();
            let packets = feed(&mut aligner, &bytes, [at]);
            prop_assert_eq!(numbers(&packets), (0..12).collect::<Vec<_>>());
        }

        #[test]
        fn garbage_is_dropped_and_every_later_packet_is_recovered(
            front in garbage(PACKET_BYTES),
            middle in garbage(PACKET_BYTES),
            pieces in proptest::collection::vec(1..700usize, 0..40),
        ) {
            // Where garbage begins with a sync byte it cannot be told from a packet.
            prop_assume!(middle.first() != Some(&SYNC_BYTE));
            let bytes = [front, stream(0, 8, 0, 0), middle, stream(8, 8, 0, 0)].concat();
            let mut aligner = Aligner::new();
            let packets = feed(&mut aligner, &bytes, pieces);
            prop_assert_eq!(numbers(&packets), (0..16).collect::<Vec<_>>());
        }

        #[test]
        fn after_long_garbage_packets_are_found_again(middle in garbage(3000)) {
            let bytes = [stream(0, 8, 0, 0), middle, stream(8, 12, 0, 0)].concat();
            let packets = feed(&mut Aligner::new(), &bytes, []);
            // A sync byte in the garbage at a multiple of the stride may cost the packet after it.
            let found: Vec<_> = packets.chunks(PACKET_BYTES).collect();
            let tail = stream(9, 11, 0, 0);
            prop_assert!(found.ends_with(&tail.chunks(PACKET_BYTES).collect::<Vec<_>>()));
        }
    }
}
