//! What the bytes of a segment are, and which of them are the stream's.
//!
//! Providers disguise segments as pictures, put ID3 tags in front, answer with a page when a token has expired, and send
//! what is no transport stream at all. What stands before the first packet is dropped; from there on every byte is passed on.

use crate::base::limits::{HLS_JUNK_BYTES_MAX, PACKET_BYTES};
use crate::source::body::Body;
use crate::source::hls::aes::{self, Decryption};
use crate::source::hls::delay::Delay;
use crate::source::hls::failure::{SegmentError, Unreadable};
use crate::source::hls::list::{ByteRange, is_gzip};
use crate::source::hls::packed::{PackedStart, start, tag_bytes};
use crate::source::sniff::Sniffer;
use crate::ts::SYNC_BYTE;

/// Bytes from one sync byte to the next: as they should be, with a time code, with parity.
const STRIDES: [usize; 3] = [PACKET_BYTES, 192, 204];
/// Sync bytes that must follow each other at one stride before they are believed: pictures hold some by accident.
const SYNCS: usize = 4;
/// Bytes that may wait until it is known whether a packet begins with them.
const UNDECIDED_BYTES_MAX: usize = (SYNCS - 1) * 204;
/// The most that a segment may still have to give when all of it has come.
pub const TAIL_BYTES_MAX: usize = UNDECIDED_BYTES_MAX + aes::HELD_BYTES_MAX;

/// Why a segment is given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Problem {
    /// All segments will be like this one.
    Unreadable(Unreadable),
    /// The next one may be better.
    Unusable(SegmentError),
}

/// Reads one segment.
pub(super) struct Reader {
    /// Bytes that come before the part that was asked for, since the server has sent them all the same.
    skipped: u64,
    is_whole_resource: bool,
    /// Bytes of that part which are still to come, when their number is known.
    left: Option<u64>,
    /// Bytes of that part which have come.
    received: u64,
    decryption: Option<Decryption>,
    head: Head,
}

impl Reader {
    /// `key` is a key and its initialization vector.
    pub(super) fn new(range: Option<ByteRange>, key: Option<(&[u8; 16], &[u8; 16])>) -> Self {
        let decryption = key.map(|(key, iv)| Decryption::new(key, iv));
        let head = Head::new(decryption.is_some());
        let left = range.and_then(|range| range.length);
        Self { skipped: 0, is_whole_resource: false, left, received: 0, decryption, head }
    }

    /// The same for a sound in segments of its own: frames without a container that say when they are heard are passed on, too, with
    /// the tags in front of them.
    pub(super) fn of_sound(mut self) -> Self {
        self.head.begun = Some(Vec::new());
        self
    }

    /// An answer has begun: what was asked for, or, with so many bytes in front, the whole resource.
    pub(super) const fn answered(&mut self, in_front: Option<u64>) {
        self.is_whole_resource = in_front.is_some();
        self.skipped = match in_front {
            Some(bytes) => bytes,
            None => 0,
        };
    }

    /// Bytes that have come.
    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    /// Nothing more is wanted, and the server will send more.
    pub(super) fn has_all(&self) -> bool {
        self.is_whole_resource && self.left == Some(0)
    }

    /// Takes the segment's next bytes. Those of the stream are then at the front of them; the result is their number.
    pub(super) fn push(&mut self, bytes: &mut [u8]) -> Result<usize, Problem> {
        let length = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let skipped = usize::try_from(self.skipped).map_or(bytes.len(), |skipped| skipped.min(bytes.len()));
        self.skipped -= length(skipped);
        let mut count = bytes.len() - skipped;
        if skipped > 0 {
            bytes.copy_within(skipped.., 0);
        }
        if let Some(left) = &mut self.left {
            count = usize::try_from(*left).map_or(count, |left| left.min(count));
            *left -= length(count);
        }
        self.received += length(count);
        if let Some(decryption) = &mut self.decryption {
            count = decryption.push(&mut bytes[..count]);
        }
        self.head.push(&mut bytes[..count])
    }

    /// All of the segment has come: what it still has to give, at most [`TAIL_BYTES_MAX`] bytes.
    pub(super) fn finish(self) -> Result<Vec<u8>, Problem> {
        let Self { received, decryption, mut head, .. } = self;
        if received == 0 {
            return Err(Problem::Unusable(SegmentError::Empty));
        }
        let mut tail = decryption.map(Decryption::finish).unwrap_or_default();
        let kept = head.push(&mut tail)?;
        tail.truncate(kept);
        tail.extend(head.finish()?);
        Ok(tail)
    }
}

/// Finds where the packets of a segment begin.
struct Head {
    is_encrypted: bool,
    /// Set until it is known whether it is sound without a container: what has come.
    begun: Option<Vec<u8>>,
    is_found: bool,
    delay: Delay,
    /// Bytes that are no part of the stream.
    dropped: usize,
    /// The first ones, which tell kinds apart.
    first: Vec<u8>,
    /// Bytes of an ID3 tag in front that are still to come.
    tag_left: usize,
    /// What comes behind the tag.
    sample: Vec<u8>,
}

impl Head {
    fn new(is_encrypted: bool) -> Self {
        Self {
            is_encrypted,
            begun: None,
            is_found: false,
            delay: Delay::default(),
            dropped: 0,
            tag_left: 0,
            first: Vec::new(),
            sample: Vec::new(),
        }
    }

    fn push(&mut self, bytes: &mut [u8]) -> Result<usize, Problem> {
        if self.is_found {
            // Only a segment that began with something else has anything waiting.
            self.delay.pass(bytes, bytes.len());
            return Ok(bytes.len());
        }
        if let Some(mut begun) = self.begun.take() {
            begun.extend_from_slice(bytes);
            return match start(&begun) {
                PackedStart::Undecided => {
                    self.begun = Some(begun);
                    Ok(0)
                }
                PackedStart::Packed { .. } => {
                    self.is_found = true;
                    self.delay.held_mut().append(&mut begun);
                    Ok(self.give(bytes))
                }
                PackedStart::Other => self.search(&begun, bytes),
            };
        }
        if self.delay.held().is_empty() && self.dropped == 0 && find(bytes) == Found::At(0) {
            self.is_found = true;
            return Ok(bytes.len());
        }
        let fresh = bytes.to_vec();
        self.search(&fresh, bytes)
    }

    /// Of what waits, what fits goes to the front of `into`.
    fn give(&mut self, into: &mut [u8]) -> usize {
        let held = self.delay.held_mut();
        let count = held.len().min(into.len());
        into[..count].copy_from_slice(&held[..count]);
        held.drain(..count);
        count
    }

    /// Looks for packets in what has come.
    fn search(&mut self, fresh: &[u8], into: &mut [u8]) -> Result<usize, Problem> {
        self.identify(fresh)?;
        let held = self.delay.held_mut();
        held.extend_from_slice(fresh);
        let found = find(held);
        let at = match found {
            Found::At(at) | Found::NotBefore(at) => at,
        };
        held.drain(..at);
        self.dropped += at;
        if matches!(found, Found::At(_)) {
            self.is_found = true;
            return Ok(self.give(into));
        }
        if self.dropped > HLS_JUNK_BYTES_MAX {
            return Err(self.problem());
        }
        Ok(0)
    }

    /// All bytes have come. A segment of less than four packets is believed by those it has.
    fn finish(mut self) -> Result<Vec<u8>, Problem> {
        if let Some(begun) = self.begun.take() {
            // Less than a tag and a frame.
            self.search(&begun, &mut [])?;
        }
        if self.is_found {
            return Ok(self.delay.into_held());
        }
        let held = self.delay.held();
        let begins = |at: &usize| {
            held.len() - at >= PACKET_BYTES
                && held[*at..].iter().step_by(PACKET_BYTES).all(|byte| *byte == SYNC_BYTE)
        };
        match (0..held.len()).find(begins) {
            Some(at) => Ok(held[at..].to_vec()),
            None => Err(self.problem()),
        }
    }

    /// Looks whether a segment is of a kind that no search would find a packet in. Text is no such kind: it may be the
    /// disguise, and a page ends soon.
    fn identify(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let mut rest = bytes;
        if self.first.len() < FIRST_BYTES {
            let (first, later) = bytes.split_at(bytes.len().min(FIRST_BYTES - self.first.len()));
            self.first.extend_from_slice(first);
            if self.first.len() < FIRST_BYTES {
                return Ok(());
            }
            if is_gzip(&self.first) && self.first[2] == 8 {
                return Err(Problem::Unusable(self.unless_encrypted(SegmentError::Gzip)));
            }
            if BOXES.iter().any(|name| self.first[4..8] == **name) {
                return Err(Problem::Unreadable(Unreadable::FragmentedMp4));
            }
            self.tag_left = tag_bytes(&self.first).unwrap_or(0);
            let first = self.first.clone();
            self.collect(&first);
            rest = later;
        }
        let was_full = self.sample.len() == SAMPLE_BYTES;
        self.collect(rest);
        // Once: to look again at every piece would cost more than to read the stream.
        let is_full = self.sample.len() == SAMPLE_BYTES;
        match Some(&self.sample)
            .filter(|_| is_full && !was_full)
            .and_then(|sample| Sniffer::default().push(sample))
        {
            Some(body) => unreadable(body).map_or(Ok(()), Err),
            None => Ok(()),
        }
    }

    /// Keeps the beginning of what stands behind the tag.
    fn collect(&mut self, bytes: &[u8]) {
        let skipped = self.tag_left.min(bytes.len());
        self.tag_left -= skipped;
        let wanted = (SAMPLE_BYTES - self.sample.len()).min(bytes.len() - skipped);
        self.sample.extend_from_slice(&bytes[skipped..skipped + wanted]);
    }

    fn problem(&mut self) -> Problem {
        if self.first.len() < FIRST_BYTES {
            let first = self.first.clone();
            self.collect(&first);
        }
        let mut sniffer = Sniffer::default();
        sniffer.push(&self.sample);
        let body = sniffer.end();
        // A picture alone is what a provider shows when it has nothing to show.
        let named = if matches!(body, Body::TransportStream | Body::Empty) { Body::Unknown } else { body };
        let unusable = Problem::Unusable(self.unless_encrypted(SegmentError::NotTransportStream(named)));
        unreadable(body).unwrap_or(unusable)
    }

    const fn unless_encrypted(&self, error: SegmentError) -> SegmentError {
        if self.is_encrypted { SegmentError::WrongKey } else { error }
    }
}

/// What others can read.
const fn unreadable(body: Body) -> Option<Problem> {
    match body {
        Body::Sound(sound) => Some(Problem::Unreadable(Unreadable::PackedAudio(sound))),
        Body::OtherContainer(name) => Some(Problem::Unreadable(Unreadable::Container(name))),
        Body::TransportStream
        | Body::Hls
        | Body::List
        | Body::Dash
        | Body::Html
        | Body::Json
        | Body::Xml
        | Body::Text
        | Body::Empty
        | Body::Unknown => None,
    }
}

/// Where packets begin.
#[derive(PartialEq, Eq, Debug)]
enum Found {
    At(usize),
    /// No packet begins before here; whether one does here, or later, later bytes will tell.
    NotBefore(usize),
}

fn find(bytes: &[u8]) -> Found {
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == SYNC_BYTE) {
        for stride in STRIDES {
            let syncs = bytes[at..].iter().step_by(stride).take(SYNCS);
            let count = syncs.len();
            match (syncs.into_iter().all(|byte| *byte == SYNC_BYTE), count) {
                (true, SYNCS) => return Found::At(at),
                (true, _) => return Found::NotBefore(at),
                (false, _) => {}
            }
        }
    }
    Found::NotBefore(bytes.len())
}

/// What is needed to know sound: its frames begin within half of it.
const SAMPLE_BYTES: usize = 16 * 1024;
/// What is needed to know boxes and tags.
const FIRST_BYTES: usize = 12;
/// Boxes that segments of fragmented MP4 begin with (ISO/IEC 14496-12).
const BOXES: [&[u8; 4]; 9] =
    [b"ftyp", b"styp", b"moof", b"moov", b"sidx", b"emsg", b"prft", b"mdat", b"free"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::body::Sound;
    use crate::source::hls::aes::tests::encrypt;

    /// Packets without a sync byte inside.
    fn packets(count: usize, stride: usize) -> Vec<u8> {
        (0..count)
            .flat_map(|number| {
                let mut packet = vec![u8::try_from(number % 64).unwrap(); stride];
                packet[0] = SYNC_BYTE;
                packet
            })
            .collect()
    }

    fn read(mut reader: Reader, bytes: &[u8], piece: usize) -> Result<Vec<u8>, Problem> {
        let mut stream = Vec::new();
        for piece in bytes.chunks(piece) {
            let mut piece = piece.to_vec();
            let count = reader.push(&mut piece)?;
            stream.extend_from_slice(&piece[..count]);
        }
        let tail = reader.finish()?;
        assert!(tail.len() <= TAIL_BYTES_MAX, "{} bytes", tail.len());
        stream.extend(tail);
        Ok(stream)
    }

    fn plain(bytes: &[u8], piece: usize) -> Result<Vec<u8>, Problem> {
        read(Reader::new(None, None), bytes, piece)
    }

    const PIECES: [usize; 5] = [1, 7, 188, 1000, 1_000_000];
    const PNG: &[u8] =
        b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xDE\0\0\0\x0CIDATx\x9Cc``\
        `\0\0\0\x04\0\x01\xF6\x178U\0\0\0\0IEND\xAEB`\x82";

    fn id3(content: usize) -> Vec<u8> {
        let size = [0, 0, u8::try_from(content >> 7).unwrap(), u8::try_from(content & 0x7F).unwrap()];
        [b"ID3\x04\0\0".as_slice(), &size, &vec![0; content]].concat()
    }

    #[test]
    fn a_segment_is_passed_on_whole_and_what_disguises_it_is_dropped() {
        let stream = packets(40, 188);
        let jpeg = [b"\xFF\xD8\xFF\xE0\0\x10JFIF\0".as_slice(), &[0x47; 300], &vec![0x5A; 20_000]].concat();
        for (name, front) in [
            ("nothing", vec![]),
            ("a picture", PNG.to_vec()),
            ("a large picture with sync bytes", jpeg),
            ("GIF", b"GIF89a\x01\0\x01\0\0\0\0;".to_vec()),
            ("BMP", [b"BM".as_slice(), &[0; 60]].concat()),
            ("the magic alone", b"\x89PNG\r\n\x1A\n".to_vec()),
            ("ID3", id3(200)),
            ("a style sheet", b"body { color: red }\n".repeat(10)),
            ("the end of another packet", vec![0xFF; 187]),
        ] {
            for piece in PIECES {
                let bytes = [front.as_slice(), &stream].concat();
                assert_eq!(
                    plain(&bytes, piece).as_deref(),
                    Ok(stream.as_slice()),
                    "{name} in pieces of {piece}"
                );
            }
        }
        for stride in [192, 204] {
            let stream = packets(10, stride);
            assert_eq!(plain(&[&[1, 2, 3, 4], stream.as_slice()].concat(), 100), Ok(stream), "{stride}");
        }
        for count in 1..4 {
            let stream = packets(count, 188);
            assert_eq!(plain(&[PNG, &stream].concat(), 50), Ok(stream), "{count} packets");
        }
    }

    #[test]
    fn a_segment_that_is_no_transport_stream_says_what_it_is() {
        let unreadable = |why| Problem::Unreadable(why);
        let not = |body| Problem::Unusable(SegmentError::NotTransportStream(body));
        // ADTS: 7 bytes of head, frames of 100 bytes.
        let frame = [b"\xFF\xF1\x50\x80\x0C\x9F\xFC".as_slice(), &[0x21; 93]].concat();
        let sound = frame.repeat(20);
        for (name, bytes, expected) in [
            (
                "styp",
                [b"\0\0\0\x18stypmsdh".as_slice(), &[0; 2000]].concat(),
                unreadable(Unreadable::FragmentedMp4),
            ),
            (
                "moof",
                [b"\0\0\0\x18moof\0\0\0\0".as_slice(), &[0x47; 2000]].concat(),
                unreadable(Unreadable::FragmentedMp4),
            ),
            ("AAC", sound.clone(), unreadable(Unreadable::PackedAudio(Sound::Adts))),
            ("AAC behind ID3", [id3(63), sound].concat(), unreadable(Unreadable::PackedAudio(Sound::Adts))),
            (
                "FLV",
                [b"FLV\x01\x05".as_slice(), &[0; 500]].concat(),
                unreadable(Unreadable::Container("FLV")),
            ),
            (
                "gzip",
                [b"\x1F\x8B\x08\0".as_slice(), &[7; 500]].concat(),
                Problem::Unusable(SegmentError::Gzip),
            ),
            ("a page", b"<html><body>403 Forbidden</body></html>".to_vec(), not(Body::Html)),
            ("JSON", b"{\"error\":\"expired\"}".to_vec(), not(Body::Json)),
            ("a list", b"#EXTM3U\n#EXT-X-VERSION:3\n".to_vec(), not(Body::Hls)),
            ("a picture alone", PNG.to_vec(), not(Body::Unknown)),
            ("subtitles", b"WEBVTT\n\n00:00.000 --> 00:01.000\nHello\n".to_vec(), not(Body::Text)),
            ("noise", vec![0xEE; HLS_JUNK_BYTES_MAX + 70_000], not(Body::Unknown)),
            ("one sync byte", vec![SYNC_BYTE, 0xFF], not(Body::Unknown)),
            ("nothing", vec![], Problem::Unusable(SegmentError::Empty)),
        ] {
            for piece in [64, 1000, 1_000_000] {
                assert_eq!(plain(&bytes, piece), Err(expected), "{name} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn an_encrypted_segment_is_decrypted_and_a_wrong_key_is_told() {
        let (key, iv) = ([3; 16], [5; 16]);
        let stream = packets(40, 188);
        for piece in PIECES {
            for (front, is_padded) in [(&[][..], true), (&[], false), (PNG, true)] {
                let encrypted = encrypt(&[front, &stream].concat(), &key, &iv, is_padded);
                let reader = Reader::new(None, Some((&key, &iv)));
                assert_eq!(read(reader, &encrypted, piece).as_deref(), Ok(stream.as_slice()), "{piece}");
            }
        }
        let encrypted = encrypt(&stream, &key, &iv, true);
        let reader = Reader::new(None, Some((&[4; 16], &iv)));
        assert_eq!(read(reader, &encrypted, 1000), Err(Problem::Unusable(SegmentError::WrongKey)));
    }

    #[test]
    fn a_server_that_does_not_know_ranges_gives_the_part_that_was_asked_for() {
        let (before, stream, behind) = (packets(7, 188), packets(40, 188), packets(9, 188));
        let length = u64::try_from(stream.len()).unwrap();
        for piece in PIECES {
            let range = ByteRange { offset: u64::try_from(before.len()).unwrap(), length: Some(length) };
            let mut reader = Reader::new(Some(range), None);
            reader.answered(Some(range.offset));
            let bytes = [before.as_slice(), &stream, &behind].concat();
            assert_eq!(read(reader, &bytes, piece).as_deref(), Ok(stream.as_slice()), "{piece}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            bytes in prop::collection::vec(prop_oneof![3 => any::<u8>(), 1 => Just(SYNC_BYTE)], 0..1500),
            start in prop::sample::select(vec![&b""[..], b"ID3\x04\0\0\x7F\x7F\x7F\x7F", b"\x1F\x8B\x08", PNG]),
            piece in 1_usize..400,
        ) {
            let bytes = [start, &bytes].concat();
            if let Ok(stream) = plain(&bytes, piece) {
                prop_assert!(bytes.ends_with(&stream), "nothing but the front is dropped");
            }
        }

        #[test]
        fn pieces_of_any_size_give_the_same(
            front in 0_usize..400,
            count in 1_usize..12,
            piece in 1_usize..900,
        ) {
            let bytes = [vec![0xEE; front], packets(count, 188)].concat();
            prop_assert_eq!(plain(&bytes, piece), Ok(packets(count, 188)));
        }
    }
}
