//! A chunk ring takes its byte limit, and what readers hold, however much goes through it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;

use tunerd::base::WallTime;
use tunerd::ring::ChunkRing;
use tunerd::ring::chunk_ring::{ReadResult, session_limits};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const CHUNK_BYTES: usize = 64 * KIB;
const CHUNKS: u64 = 20_000;
/// What an allocator and a test's own doings may add.
const SLACK_BYTES: usize = MIB;

fn resident_bytes() -> usize {
    let pages: usize =
        fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let page_bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).unwrap().unwrap();
    pages * usize::try_from(page_bytes).unwrap()
}

/// Publishes [`CHUNKS`] chunks of so many bytes into a ring of default size, with `read` after each. Gives the
/// most by which the process has grown meanwhile.
fn growth(chunk_bytes: usize, mut read: impl FnMut(&ChunkRing, u64)) -> usize {
    let limits = session_limits(CHUNK_BYTES, 2 * MIB);
    let chunk = vec![0x47; chunk_bytes];
    let before = resident_bytes();
    let ring =
        ChunkRing::with_limits_and_startup_hint(limits.max_chunks, limits.max_bytes, limits.startup_hint);
    let mut most = before;
    for seq in 0..CHUNKS {
        ring.publish(&chunk, None, WallTime::from_unix_nanos(seq)).unwrap();
        read(&ring, seq);
        if seq % 50 == 0 {
            most = most.max(resident_bytes());
        }
    }
    most.max(resident_bytes()) - before
}

/// One test, so that nothing else happens in the process meanwhile.
#[test]
fn twenty_thousand_chunks_go_through_three_mebibytes() {
    let limit = session_limits(CHUNK_BYTES, 2 * MIB).max_bytes;
    assert_eq!(limit, 3 * MIB);

    let alone = growth(CHUNK_BYTES, |_ring, _seq| {});
    assert!((limit / 2..limit + SLACK_BYTES).contains(&alone), "nobody reads: {} KiB", alone / KIB);

    let mut held: Vec<ReadResult> = Vec::new();
    let followed = growth(CHUNK_BYTES, |ring, seq| {
        held.push(ring.read_from(seq));
        if held.len() > 8 {
            drop(held.remove(0));
        }
    });
    assert!(followed < limit + SLACK_BYTES, "a reader 8 chunks behind: {} KiB", followed / KIB);
    held.clear();

    let filler = growth(188, |_ring, _seq| {});
    assert!(
        filler < limit + 3 * SLACK_BYTES,
        "packets one by one, each with its entry: {} KiB",
        filler / KIB
    );
    let odd = growth(CHUNK_BYTES + 1, |_ring, _seq| {});
    assert!(odd < limit + SLACK_BYTES, "chunks that do not divide the limit: {} KiB", odd / KIB);

    // Last, since what the allocator keeps of it would hide what others take.
    let kept = growth(CHUNK_BYTES, |ring, seq| {
        if seq == 40 {
            held.push(ring.read_from(0));
        }
    });
    let bytes: usize = held[0].chunks.iter().map(|chunk| chunk.bytes().len()).sum();
    assert_eq!(bytes, 41 * CHUNK_BYTES);
    assert!(kept < limit + bytes + SLACK_BYTES, "a reader that never lets go: {} KiB", kept / KIB);
}
