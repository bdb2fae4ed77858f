//! Sound without a container (RFC 8216, 3.4): a tag that says when it is heard, then frame behind frame. A transport stream
//! carries it in PES packets.

use crate::base::limits::{HLS_TAGS_BYTES_MAX, PACKET_BYTES};
use crate::ts::es::audio_frame;
use crate::ts::{Codec, ContinuityCounter, PacketBytes, Pid, Pts, SYNC_BYTE};

/// What a segment begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PackedStart {
    /// More of it will tell.
    Undecided,
    /// Something else.
    Other,
    /// Tags of so many bytes, and then sound.
    Packed { tags_bytes: usize, at: Pts, kind: PackedKind },
}

/// Sound that is carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PackedKind {
    /// AAC in ADTS.
    Aac,
    /// MPEG audio, of the first or the second standard.
    Mpeg { is_first: bool },
}

impl PackedKind {
    const fn codec(self) -> Codec {
        match self {
            Self::Aac => Codec::Aac,
            Self::Mpeg { .. } => Codec::Mpeg1Audio,
        }
    }

    /// Its type in the table (ISO/IEC 13818-1, 2.4.4.9).
    pub(super) const fn stream_type(self) -> u8 {
        match self {
            Self::Aac => 0x0F,
            Self::Mpeg { is_first: true } => 0x03,
            Self::Mpeg { is_first: false } => 0x04,
        }
    }

    /// What a frame that begins with these bytes is made of.
    const fn of_frame(first: u8, second: u8) -> Option<Self> {
        match (first, second) {
            (0xFF, second) if second & 0xF6 == 0xF0 => Some(Self::Aac),
            (0xFF, second) if second & 0xE0 == 0xE0 && second & 0x18 != 0x08 && second & 0x06 != 0 => {
                Some(Self::Mpeg { is_first: second & 0x18 == 0x18 })
            }
            (_, _) => None,
        }
    }

    /// Samples of a frame that begins with these bytes.
    fn samples(self, frame: &[u8]) -> u64 {
        match (self, frame) {
            (Self::Aac, [_, _, _, _, _, _, blocks, ..]) => 1024 * (u64::from(blocks & 3) + 1),
            (Self::Mpeg { is_first }, [_, second, ..]) => match (4 - (second >> 1 & 3), is_first) {
                (1, _) => 384,
                (3, false) => 576,
                (_, _) => 1152,
            },
            (Self::Aac | Self::Mpeg { .. }, _) => 0,
        }
    }
}

/// Tells by the first bytes of a segment whether it is sound that says when it is heard.
pub(super) fn start(bytes: &[u8]) -> PackedStart {
    let mut at = 0;
    let mut heard_at = None;
    loop {
        let rest = &bytes[at..];
        if rest.len() < TAG_HEAD_BYTES && rest.starts_with(&TAG[..rest.len().min(TAG.len())]) {
            return PackedStart::Undecided;
        }
        let Some(length) = tag_bytes(rest) else { break };
        if length > HLS_TAGS_BYTES_MAX.saturating_sub(at) {
            return PackedStart::Other;
        }
        let Some(tag) = rest.get(..length) else { return PackedStart::Undecided };
        heard_at = heard_at.or_else(|| stamp(tag));
        at += length;
    }
    match (heard_at, &bytes[at..]) {
        (None, _) => PackedStart::Other,
        (Some(_), [] | [_]) => PackedStart::Undecided,
        (Some(at_time), [first, second, ..]) => match PackedKind::of_frame(*first, *second) {
            Some(kind) => PackedStart::Packed { tags_bytes: at, at: at_time, kind },
            None => PackedStart::Other,
        },
    }
}

/// The length of an ID3 tag (ID3v2.4, 3.1), when there is one.
pub(super) fn tag_bytes(first: &[u8]) -> Option<usize> {
    let size = first.strip_prefix(TAG)?.get(3..7)?;
    let is_valid = size.iter().all(|byte| *byte < 0x80);
    is_valid.then(|| TAG_HEAD_BYTES + size.iter().fold(0, |sum, byte| sum << 7 | usize::from(*byte)))
}

/// The time in a tag. It is looked for by its owner's name alone: whatever the tag's version, the time follows that.
fn stamp(tag: &[u8]) -> Option<Pts> {
    let at = tag.windows(STAMP_OWNER.len()).position(|window| window == STAMP_OWNER)?;
    let time: &[u8; 8] = tag.get(at + STAMP_OWNER.len()..)?.first_chunk()?;
    Some(Pts::from_ticks(u64::from_be_bytes(*time) & (Pts::MODULUS - 1)))
}

/// Makes PES packets of one segment.
#[derive(Default)]
pub(super) struct Unpacker {
    bytes: Vec<u8>,
    begun: Option<Begun>,
}

struct Begun {
    kind: PackedKind,
    at: Pts,
    samples: u64,
}

impl Unpacker {
    /// Takes the segment's next bytes, and gives the PES packets that are whole, each with its time.
    pub(super) fn push(&mut self, bytes: &[u8], mut pes: impl FnMut(PackedKind, Pts, &[u8])) {
        self.bytes.extend_from_slice(bytes);
        if self.begun.is_none() {
            match start(&self.bytes) {
                PackedStart::Packed { tags_bytes, at, kind } => {
                    self.bytes.drain(..tags_bytes);
                    self.begun = Some(Begun { kind, at, samples: 0 });
                }
                PackedStart::Undecided => return,
                // Whoever has read the segment has looked.
                PackedStart::Other => return self.bytes.clear(),
            }
        }
        let Some(begun) = &mut self.begun else { return };
        let mut taken = 0;
        let mut unit = Vec::new();
        let mut unit_at = begun.at;
        let mut frames = 0;
        loop {
            let rest = &self.bytes[taken..];
            let found = audio_frame(begun.kind.codec(), rest);
            let whole = found.and_then(|(format, length)| Some((format, rest.get(..length)?)));
            if frames > 0 && (whole.is_none() || frames == FRAMES_MAX) {
                pes(begun.kind, unit_at, &pes_packet(unit_at, &unit));
                unit.clear();
                frames = 0;
            }
            match (whole, found) {
                (Some((format, frame)), _) => {
                    if frames == 0 {
                        let passed = begun.samples * Pts::RATE / u64::from(format.sample_rate.max(1));
                        unit_at = begun.at.plus(i64::try_from(passed).unwrap_or(0));
                    }
                    unit.extend_from_slice(frame);
                    frames += 1;
                    begun.samples += begun.kind.samples(frame);
                    taken += frame.len();
                }
                (None, Some(_)) => break,
                // No frame begins here, or too little of it has come.
                (None, None) if rest.len() >= FRAME_HEAD_BYTES => taken += 1,
                (None, None) => break,
            }
        }
        self.bytes.drain(..taken);
    }
}

/// A PES packet of sound that is heard then (ISO/IEC 13818-1, 2.4.3.6).
fn pes_packet(at: Pts, data: &[u8]) -> Vec<u8> {
    // Behind the length: flags, the header's own length, the time.
    let length = u16::try_from(data.len() + 3 + Pts::FIELD_BYTES).unwrap_or(0);
    let [high, low] = length.to_be_bytes();
    let mut field = [0x21; Pts::FIELD_BYTES];
    at.write_field(&mut field);
    [&[0, 0, 1, 0xC0, high, low, 0x80, 0x80, 5][..], &field, data].concat()
}

/// Cuts a PES packet into those of a transport stream. Returned is the counter of the one that will follow.
pub(super) fn packetise(
    pes: &[u8],
    pid: Pid,
    counter: ContinuityCounter,
    mut sink: impl FnMut(&PacketBytes),
) -> ContinuityCounter {
    let mut counter = counter;
    for (number, data) in pes.chunks(PACKET_BYTES - 4).enumerate() {
        let mut packet = [0xFF; PACKET_BYTES];
        let [high, low] = pid.get().to_be_bytes();
        let start = if number == 0 { 0x40 } else { 0 };
        packet[..4].copy_from_slice(&[SYNC_BYTE, start | high, low, 0x10 | counter.get()]);
        let stuffing = PACKET_BYTES - 4 - data.len();
        if stuffing > 0 {
            // An adaptation field of a length, flags of nothing, and what fills it.
            packet[3] |= 0x20;
            packet[4] = u8::try_from(stuffing - 1).unwrap_or(0);
            if stuffing > 1 {
                packet[5] = 0;
            }
        }
        packet[4 + stuffing..].copy_from_slice(data);
        sink(&packet);
        counter = counter.next();
    }
    counter
}

const TAG: &[u8] = b"ID3";
/// Bytes of a tag before what it holds.
const TAG_HEAD_BYTES: usize = 10;
/// Whose frame of private data the time is, and the byte behind that.
const STAMP_OWNER: &[u8] = b"com.apple.streaming.transportStreamTimestamp\0";
/// What is needed to know the head of a frame.
const FRAME_HEAD_BYTES: usize = 16;
/// Frames of one PES packet: less than a tenth of a second.
const FRAMES_MAX: u32 = 4;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A tag that says when the sound behind it is heard.
    pub(in crate::source::hls) fn tag(at: Pts) -> Vec<u8> {
        let frame = [&b"PRIV\0\0\0\x35\0\0"[..], STAMP_OWNER, &at.ticks().to_be_bytes()].concat();
        let size = u8::try_from(frame.len()).unwrap();
        [&b"ID3\x04\0\0\0\0\0"[..], &[size], &frame].concat()
    }

    /// AAC of 48 kHz: frames of 100 bytes, each filled with its number.
    pub(in crate::source::hls) fn aac(frames: u8) -> Vec<u8> {
        let frame = |number| [b"\xFF\xF1\x4C\x80\x0C\x9F\xFC".as_slice(), &[number; 93]].concat();
        (0..frames).flat_map(frame).collect()
    }

    fn units(bytes: &[u8], piece: usize) -> Vec<(u64, Vec<u8>)> {
        let mut unpacker = Unpacker::default();
        let mut units = Vec::new();
        for piece in bytes.chunks(piece) {
            unpacker.push(piece, |_, at, pes| units.push((at.ticks(), pes.to_vec())));
        }
        units
    }

    #[test]
    fn a_segment_is_known_by_its_tag_and_its_first_frame() {
        let at = Pts::from_ticks(900_000);
        let tagged = |sound: &[u8]| [tag(at).as_slice(), sound].concat();
        let tags_bytes = tag(at).len();
        let packed = |kind| PackedStart::Packed { tags_bytes, at, kind };
        let mp3 = PackedKind::Mpeg { is_first: true };
        for (name, bytes, expected) in [
            ("AAC", tagged(&aac(1)), packed(PackedKind::Aac)),
            ("MP3", tagged(b"\xFF\xFB\x90\x00"), packed(mp3)),
            (
                "MP3 of half the rate",
                tagged(b"\xFF\xF3\x90\x00"),
                packed(PackedKind::Mpeg { is_first: false }),
            ),
            ("a transport stream", vec![0x47; 400], PackedStart::Other),
            ("a transport stream behind a tag", tagged(&[0x47; 400]), PackedStart::Other),
            ("AC-3", tagged(&[0x0B, 0x77, 0, 0]), PackedStart::Other),
            ("AAC that does not say when", aac(2), PackedStart::Other),
            (
                "a tag without a time",
                [b"ID3\x04\0\0\0\0\0\x03abc".as_slice(), &aac(1)].concat(),
                PackedStart::Other,
            ),
            ("a tag that is too long", b"ID3\x04\0\0\x7F\x7F\x7F\x7F".to_vec(), PackedStart::Other),
            ("a tag alone", tag(at), PackedStart::Undecided),
            ("a part of a tag", tag(at)[..40].to_vec(), PackedStart::Undecided),
            ("two letters", b"ID".to_vec(), PackedStart::Undecided),
            ("nothing", vec![], PackedStart::Undecided),
        ] {
            assert_eq!(start(&bytes), expected, "{name}");
        }
        let two = [b"ID3\x04\0\0\0\0\0\x03abc".as_slice(), &tagged(&aac(1))].concat();
        let expected = PackedStart::Packed { tags_bytes: tags_bytes + 13, at, kind: PackedKind::Aac };
        assert_eq!(start(&two), expected, "two tags");
    }

    #[test]
    fn frames_become_pes_packets_that_say_when_they_are_heard() {
        let bytes = [tag(Pts::from_ticks(Pts::MODULUS - 1000)).as_slice(), &aac(10)].concat();
        let whole = units(&bytes, usize::MAX);
        // Four frames of 1024 samples at 48 kHz are 7680 ticks.
        let times: Vec<u64> = whole.iter().map(|unit| unit.0).collect();
        assert_eq!(times, [Pts::MODULUS - 1000, 6680, 14_360]);
        for piece in [1, 100, 150, 1000] {
            let units = units(&bytes, piece);
            let data: Vec<u8> = units.iter().flat_map(|(_, pes)| pes[14..].to_vec()).collect();
            assert!(data == aac(10), "in pieces of {piece}");
        }
        assert_eq!(whole[0].1[..9], [0, 0, 1, 0xC0, 1, 152, 0x80, 0x80, 5]);
    }

    #[test]
    fn what_stands_between_frames_is_passed_over() {
        let bytes =
            [tag(Pts::from_ticks(0)).as_slice(), &aac(2), b"junk that is no frame at all", &aac(3)].concat();
        let data: Vec<u8> = units(&bytes, 700).iter().flat_map(|(_, pes)| pes[14..].to_vec()).collect();
        assert!(data == [aac(2), aac(3)].concat());
    }

    #[test]
    fn a_pes_packet_is_cut_into_whole_packets() {
        for length in [1, 182, 183, 184, 185, 367, 368, 1000] {
            let pes = vec![7; length];
            let mut data = Vec::new();
            let next = packetise(&pes, Pid::PAT, ContinuityCounter::new(15), |bytes| {
                let packet = crate::ts::Packet::parse(bytes).unwrap();
                assert_eq!(packet.payload_unit_start_indicator(), data.is_empty(), "{length}");
                data.extend_from_slice(packet.payload().unwrap());
            });
            assert!(data == pes, "{length}");
            assert_eq!(usize::from(next.get()), (15 + length.div_ceil(184)) % 16, "{length}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600), piece in 1_usize..300) {
            let _units = units(&bytes, piece);
            let _units = units(&[tag(Pts::from_ticks(5)).as_slice(), &[0xFF, 0xF1], &bytes].concat(), piece);
        }
    }
}
