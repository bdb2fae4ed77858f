//! What a chunk costs on its way through a ring.
#![expect(clippy::unwrap_used, reason = "a bench may panic")]

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use tunerd::base::WallTime;
use tunerd::base::limits::PACKET_BYTES;
use tunerd::ring::chunk_ring::session_limits;
use tunerd::ring::{ChunkRing, Ring, Segments};

const NOW: WallTime = WallTime::from_unix_nanos(0);
/// Seven packets, as they come in a datagram, and the default chunk.
const CHUNK_BYTES: &[usize] = &[7 * PACKET_BYTES, 64 * 1024];
/// The same for the ring of packets, in whole ones.
const SPAN_BYTES: &[usize] = &[7 * PACKET_BYTES, 348 * PACKET_BYTES];
const LAG_BYTES: usize = 2 * 1024 * 1024;

fn main() {
    divan::main();
}

/// A ring that has been round twice, so that its memory is there.
fn chunk_ring(chunk: &[u8]) -> (ChunkRing, u64) {
    let limits = session_limits(chunk.len(), LAG_BYTES);
    let ring =
        ChunkRing::with_limits_and_startup_hint(limits.max_chunks, limits.max_bytes, limits.startup_hint);
    for _ in 0..2 * limits.max_bytes / chunk.len() {
        ring.publish(chunk, None, NOW).unwrap();
    }
    let seq = ring.start_seq_by_lag_bytes(0);
    (ring, seq)
}

#[divan::bench(args = CHUNK_BYTES)]
fn chunk_publish(bencher: Bencher<'_, '_>, bytes: usize) {
    let chunk = vec![0x47; bytes];
    let (ring, _seq) = chunk_ring(&chunk);
    bencher.counter(BytesCount::new(bytes)).bench_local(|| ring.publish(black_box(&chunk), None, NOW));
}

#[divan::bench(args = CHUNK_BYTES)]
fn chunk_publish_and_read(bencher: Bencher<'_, '_>, bytes: usize) {
    let chunk = vec![0x47; bytes];
    let (ring, mut seq) = chunk_ring(&chunk);
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        ring.publish(black_box(&chunk), None, NOW).unwrap();
        let result = ring.read_from(seq);
        seq = result.next_seq;
        result.chunks.len()
    });
}

#[divan::bench(args = CHUNK_BYTES)]
fn chunk_read_of_the_whole_lag(bencher: Bencher<'_, '_>, bytes: usize) {
    let (ring, _seq) = chunk_ring(&vec![0x47; bytes]);
    let seq = ring.start_seq_by_lag_bytes(LAG_BYTES);
    bencher.bench_local(|| ring.read_from(black_box(seq)).chunks.len());
}

fn write(ring: &mut Ring, bytes: usize) {
    let span = ring.reserve(bytes).unwrap();
    ring.received(span, bytes);
    black_box(ring.pending());
    ring.commit(bytes, 0);
}

#[divan::bench(args = SPAN_BYTES)]
fn ring_reserve_and_commit(bencher: Bencher<'_, '_>, bytes: usize) {
    let mut ring = Ring::new(LAG_BYTES, Segments::Small).unwrap();
    bencher.bench_local(|| write(&mut ring, bytes));
}

#[divan::bench(args = SPAN_BYTES)]
fn ring_lease_and_drop(bencher: Bencher<'_, '_>, bytes: usize) {
    let mut ring = Ring::new(LAG_BYTES, Segments::Small).unwrap();
    write(&mut ring, bytes);
    let reader = ring.reader();
    bencher.bench_local(|| drop(black_box(reader.lease(0, bytes))));
}
