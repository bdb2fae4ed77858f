//! PES packets (ISO/IEC 13818-1, 2.4.3.6): from payloads of one PID to the bytes of its elementary stream.

use crate::ts::clock_ref::Pts;

/// Bytes up to the header's own length.
const FIXED_BYTES: usize = 9;
/// Those and both time stamps.
const HEADER_BYTES_KEPT: usize = FIXED_BYTES + 2 * Pts::FIELD_BYTES;

/// Whether the PES packets of a stream id are video or audio, by the standard's ranges.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PesKind {
    Video,
    Audio,
    Other,
}

/// The kind of a PES packet that begins with these bytes; `None` when none begins here.
pub(crate) fn kind_of_start(payload: &[u8]) -> Option<PesKind> {
    match payload {
        [0, 0, 1, 0xE0..=0xEF, _, _, ..] => Some(PesKind::Video),
        [0, 0, 1, 0xC0..=0xDF, _, _, ..] => Some(PesKind::Audio),
        [0, 0, 1, _, _, _, ..] => Some(PesKind::Other),
        _ => None,
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ParseState {
    /// Until the next start.
    Idle,
    /// Inside the header, which may span packets.
    Header { filled: usize },
    /// Inside the rest of the header that nobody needs.
    Skipping { left: usize },
    /// Behind the header.
    Data,
}

/// Follows the PES packets of one PID.
#[derive(Debug)]
pub(crate) struct PesReader {
    state: ParseState,
    header: [u8; HEADER_BYTES_KEPT],
    pts: Option<Pts>,
    dts: Option<Pts>,
}

impl PesReader {
    pub(crate) const fn new() -> Self {
        Self { state: ParseState::Idle, header: [0; HEADER_BYTES_KEPT], pts: None, dts: None }
    }

    /// The next payload begins a PES packet.
    pub(crate) const fn start(&mut self) {
        self.state = ParseState::Header { filled: 0 };
        (self.pts, self.dts) = (None, None);
    }

    /// Bytes are missing: nothing can be used before the next start.
    pub(crate) const fn lose(&mut self) {
        self.state = ParseState::Idle;
    }

    /// The presentation time of the current PES packet, once its header has been read.
    pub(crate) const fn pts(&self) -> Option<Pts> {
        self.pts
    }

    /// Its decoding time: the presentation time, unless it has one of its own.
    pub(crate) fn dts(&self) -> Option<Pts> {
        self.dts.or(self.pts)
    }

    /// Whether the header of the current PES packet has been read and is sound.
    pub(crate) fn in_data(&self) -> bool {
        self.state == ParseState::Data
    }

    /// Whether the rest of the current PES packet is of no use, or none has begun.
    pub(crate) fn is_idle(&self) -> bool {
        self.state == ParseState::Idle
    }

    /// Takes a payload and returns the elementary stream's bytes in it.
    pub(crate) fn payload<'buf>(&mut self, mut payload: &'buf [u8]) -> &'buf [u8] {
        if let ParseState::Header { filled } = self.state {
            payload = self.read_header(filled, payload);
        }
        if let ParseState::Skipping { left } = self.state {
            let skipped = left.min(payload.len());
            payload = &payload[skipped..];
            self.state = if skipped == left {
                ParseState::Data
            } else {
                ParseState::Skipping { left: left - skipped }
            };
        }
        if self.in_data() { payload } else { &[] }
    }

    fn read_header<'buf>(&mut self, filled: usize, payload: &'buf [u8]) -> &'buf [u8] {
        let wanted =
            if filled < FIXED_BYTES { FIXED_BYTES } else { self.header_bytes().min(HEADER_BYTES_KEPT) };
        let (now, later) = payload.split_at(payload.len().min(wanted - filled));
        self.header[filled..filled + now.len()].copy_from_slice(now);
        let filled = filled + now.len();
        self.state = ParseState::Header { filled };
        if filled < wanted {
            return later;
        }
        if filled == FIXED_BYTES && !self.has_extended_header() {
            self.state = ParseState::Idle;
            return later;
        }
        if wanted < self.header_bytes().min(HEADER_BYTES_KEPT) {
            return self.read_header(filled, later);
        }
        let times = &self.header[FIXED_BYTES..filled];
        if self.header[7] & 0x80 != 0 {
            self.pts = times.first_chunk().and_then(Pts::from_field);
        }
        if self.header[7] & 0xC0 == 0xC0 {
            self.dts = times.get(Pts::FIELD_BYTES..).and_then(<[u8]>::first_chunk).and_then(Pts::from_field);
        }
        self.state = ParseState::Skipping { left: self.header_bytes() - filled };
        later
    }

    /// The length of the whole header, once its fixed part has been read.
    fn header_bytes(&self) -> usize {
        FIXED_BYTES + usize::from(self.header[8])
    }

    /// Stream ids of maps, padding, entitlements and directories have no flags behind the length.
    fn has_extended_header(&self) -> bool {
        self.header[..3] == [0, 0, 1]
            && !matches!(self.header[3], 0xBC | 0xBE | 0xBF | 0xF0 | 0xF1 | 0xF2 | 0xF8 | 0xFF)
            && self.header[6] & 0xC0 == 0x80
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ts::testing::pes;

    /// The elementary stream's bytes when the PES packet comes in pieces.
    fn read(reader: &mut PesReader, bytes: &[u8], pieces: &[usize]) -> Vec<u8> {
        reader.start();
        let mut left = bytes;
        let mut out = Vec::new();
        for piece in pieces.iter().copied().chain([usize::MAX]) {
            let (now, later) = left.split_at(piece.min(left.len()));
            out.extend_from_slice(reader.payload(now));
            left = later;
        }
        out
    }

    #[test]
    fn a_header_with_more_fields_than_are_read_is_skipped_whole() {
        let mut bytes = vec![0, 0, 1, 0xE0, 0, 0, 0x80, 0xC0, 40];
        bytes.extend([0x31, 0x00, 0x07, 0xD8, 0x61]);
        bytes.extend([0x11, 0x00, 0x05, 0xBF, 0x21]);
        bytes.extend([0xAA; 30]);
        bytes.extend([1, 2, 3]);
        for at in 0..bytes.len() {
            let mut reader = PesReader::new();
            assert_eq!(read(&mut reader, &bytes, &[at]), [1, 2, 3], "cut at {at}");
            assert_eq!(reader.pts(), Some(Pts::from_ticks(126_000)));
            assert_eq!(reader.dts(), Some(Pts::from_ticks(90_000)));
        }
    }

    #[test]
    fn what_is_no_pes_packet_yields_nothing() {
        for bytes in [
            &[0, 0, 2, 0xE0, 0, 0, 0x80, 0, 0, 9][..],
            &[0, 0, 1, 0xBE, 0, 9, 0xFF, 0xFF, 0xFF, 0xFF],
            &[0, 0, 1, 0xE0, 0, 0, 0x00, 0, 0, 9],
        ] {
            assert!(read(&mut PesReader::new(), bytes, &[]).is_empty(), "{bytes:x?}");
        }
    }

    #[test]
    fn after_a_loss_nothing_comes_before_the_next_start() {
        let mut reader = PesReader::new();
        assert!(reader.payload(&[1, 2, 3]).is_empty());
        assert_eq!(read(&mut reader, &pes(0xE0, None, &[7]), &[]), [7]);
        reader.lose();
        assert!(reader.payload(&[1, 2, 3]).is_empty());
    }

    #[test]
    fn kinds_follow_the_stream_id() {
        let table = [
            (0xE0, PesKind::Video),
            (0xEF, PesKind::Video),
            (0xC0, PesKind::Audio),
            (0xDF, PesKind::Audio),
            (0xBD, PesKind::Other),
            (0xFD, PesKind::Other),
        ];
        for (stream_id, kind) in table {
            assert_eq!(kind_of_start(&[0, 0, 1, stream_id, 0, 0]), Some(kind), "{stream_id:#x}");
        }
        assert_eq!(kind_of_start(&[0, 0, 1, 0xE0, 0]), None);
        assert_eq!(kind_of_start(&[0, 0, 0, 0xE0, 0, 0]), None);
    }

    proptest! {
        #[test]
        fn any_cut_yields_the_same_bytes(
            ticks in proptest::option::of(0..Pts::MODULUS),
            data in proptest::collection::vec(any::<u8>(), 0..300),
            pieces in proptest::collection::vec(0..30usize, 0..30),
        ) {
            let pts = ticks.map(Pts::from_ticks);
            let mut reader = PesReader::new();
            prop_assert_eq!(read(&mut reader, &pes(0xE0, pts, &data), &pieces), data);
            prop_assert_eq!((reader.pts(), reader.dts()), (pts, pts));
        }
    }
}
