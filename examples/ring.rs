//! A ring of chunks between threads of one's own: one writes, and each reader follows at its own pace.
//!
//! ```sh
//! cargo run --example ring
//! ```
//!
//! A reader that is held up so long that the ring has gone on without it is told so, and goes on where it chooses, here so many bytes
//! behind the newest. Chunks that somebody holds stay as they are however far the ring has gone.

use std::error::Error;
use std::sync::{Arc, Barrier};

use tunerd::base::Clock;
use tunerd::ring::ChunkRing;
use tunerd::ring::chunk_ring::Cancel;

const CHUNK_BYTES: usize = 1316;
const CHUNKS: u64 = 1000;
/// What the ring holds.
const CHUNKS_MAX: usize = 64;
/// So far behind the newest a reader goes on that has missed something.
const LAG_BYTES: usize = 16 * CHUNK_BYTES;

/// What a reader has seen.
#[derive(Default)]
struct Seen {
    chunks: u64,
    missed: u64,
    jumps: u64,
}

/// Reads to the end of the ring.
fn follow(ring: &ChunkRing, held_up: impl Fn(u64)) -> Result<Seen, Box<dyn Error + Send + Sync>> {
    let (mut seen, mut next) = (Seen::default(), 0);
    let cancel = Cancel::new();
    loop {
        let found = ring.read_from(next);
        if found.behind {
            let at = ring.start_seq_by_lag_bytes(LAG_BYTES);
            (seen.jumps, seen.missed, next) = (seen.jumps + 1, seen.missed + (at - next), at);
            continue;
        }
        for chunk in &found.chunks {
            if chunk.bytes() != content(chunk.seq()) {
                return Err(format!("chunk {} is not what was written", chunk.seq()).into());
            }
            seen.chunks += 1;
            held_up(seen.chunks);
        }
        next = found.next_seq;
        if found.closed {
            return Ok(seen);
        }
        ring.wait_for_change(&cancel, found.wait_seq)?;
    }
}

/// What is written as this chunk.
fn content(seq: u64) -> Vec<u8> {
    seq.to_be_bytes().into_iter().cycle().take(CHUNK_BYTES).collect()
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let ring = Arc::new(ChunkRing::new(CHUNKS_MAX));
    let clock = Clock::start();
    // The second reader stops after its first chunk until the writer has gone round the ring.
    let (has_one, has_gone_round) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let quick = std::thread::spawn({
        let ring = Arc::clone(&ring);
        move || follow(&ring, |_| {})
    });
    let slow = std::thread::spawn({
        let (ring, stops, goes_on) = (Arc::clone(&ring), Arc::clone(&has_one), Arc::clone(&has_gone_round));
        move || {
            follow(&ring, |chunks| {
                if chunks == 1 {
                    stops.wait();
                    goes_on.wait();
                }
            })
        }
    });
    for seq in 0..CHUNKS {
        ring.publish(&content(seq), None, clock.wall_at(clock.now()))?;
        if seq == 0 {
            has_one.wait();
        }
        if seq == CHUNKS / 2 {
            has_gone_round.wait();
        }
    }
    ring.close(None);
    let broke = |_panic| "a reader broke";
    for (name, reader) in [("quick", quick), ("slow", slow)] {
        let Seen { chunks, missed, jumps } = reader.join().map_err(broke)??;
        println!("{name}: {chunks} chunks read, {missed} missed in {jumps} jumps");
    }
    Ok(())
}
