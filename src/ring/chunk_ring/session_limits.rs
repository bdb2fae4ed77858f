//! How large a session's ring is.

/// A chunk when nothing else is said.
const DEFAULT_CHUNK_BYTES: usize = 64 * 1024;
/// Chunks a ring holds beside those of the join lag, so that who joins at the far end is not behind at once.
const MARGIN_CHUNKS: usize = 16;
/// The shortest chunk that comes regularly: a packet of filler.
const SHORTEST_CHUNK_BYTES: usize = 188;
const CHUNKS_MIN: usize = 32;
const CHUNKS_MAX: usize = 32 * 1024;

/// What [`super::ChunkRing::with_limits_and_startup_hint`] is to be given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionLimits {
    /// The most chunks.
    pub max_chunks: usize,
    /// The most bytes; 0 is any number.
    pub max_bytes: usize,
    /// The usual length of a chunk.
    pub startup_hint: usize,
}

/// A ring for chunks of `chunk_bytes` (0 is 64 KiB) and viewers who join `lag_bytes` behind. Without a lag
/// only the number of chunks is limited. There are so many that a lag of nothing but filler fits.
#[must_use]
pub fn session_limits(chunk_bytes: usize, lag_bytes: usize) -> SessionLimits {
    let chunk_bytes = if chunk_bytes == 0 { DEFAULT_CHUNK_BYTES } else { chunk_bytes };
    if lag_bytes == 0 {
        return SessionLimits {
            max_chunks: super::ring::DEFAULT_CHUNKS,
            max_bytes: 0,
            startup_hint: chunk_bytes,
        };
    }
    let max_bytes = lag_bytes.saturating_add(chunk_bytes.saturating_mul(MARGIN_CHUNKS));
    let of_usual = lag_bytes.div_ceil(chunk_bytes).saturating_add(MARGIN_CHUNKS);
    let of_shortest = max_bytes.div_ceil(chunk_bytes.min(SHORTEST_CHUNK_BYTES));
    let max_chunks = of_usual.max(of_shortest).clamp(CHUNKS_MIN, CHUNKS_MAX);
    SessionLimits { max_chunks, max_bytes, startup_hint: chunk_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn chunks_and_bytes_follow_from_chunk_length_and_lag() {
        let cases = [
            (65536, 2 * MIB, 16733, 3_145_728),
            (188, 2 * MIB, 11172, 2_100_160),
            (65536, 8 * MIB, 32768, 9_437_184),
            (65536, 0, 256, 0),
            (65536, 1, 5578, 1_048_577),
            (1, 100, 116, 116),
            (1, 1, 32, 17),
            (usize::MAX, 1, 32768, usize::MAX),
            (1, usize::MAX, 32768, usize::MAX),
        ];
        for (chunk_bytes, lag_bytes, max_chunks, max_bytes) in cases {
            let expected = SessionLimits { max_chunks, max_bytes, startup_hint: chunk_bytes };
            assert_eq!(session_limits(chunk_bytes, lag_bytes), expected, "{chunk_bytes}, {lag_bytes}");
        }
        assert_eq!(session_limits(0, 2 * MIB), session_limits(65536, 2 * MIB));
    }
}
