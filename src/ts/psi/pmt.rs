//! The programme map table (2.4.4.8): what a programme is made of.

use std::ops::Range;

use crate::ts::codec::{Codec, StreamKind};
use crate::ts::packet::Pid;
use crate::ts::psi::section::{SECTION_BYTES_MAX, Section, SectionError};

/// Streams of a programme that are kept; further ones are left alone.
pub const STREAMS_MAX: usize = 16;

/// The table's own bytes before its programme descriptors.
const FIXED_BYTES: usize = 4;
/// A stream's bytes before its descriptors.
const STREAM_BYTES: usize = 5;
/// Bytes of a section's header, which the ranges below count from.
const SECTION_HEADER_BYTES: usize = 8;

/// One stream of a programme.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stream {
    /// Where its packets are.
    pub pid: Pid,
    /// What it is, by the standard's table.
    pub stream_type: u8,
    /// What it carries, by type and descriptors.
    pub codec: Codec,
    /// Where its descriptors are in the section.
    descriptors: Range<usize>,
}

impl Stream {
    /// What kind of component it is.
    #[must_use]
    pub const fn kind(&self) -> StreamKind {
        self.codec.kind()
    }
}

/// A programme map, with the section it was read from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pmt {
    /// The programme.
    pub program_number: u16,
    /// The table's version, 0 to 31.
    pub version: u8,
    /// Where the programme's clock is; `None` when it has none.
    pub pcr_pid: Option<Pid>,
    streams: Vec<Stream>,
    programme_descriptors: Range<usize>,
    section: Vec<u8>,
}

impl Pmt {
    /// The table's identifier.
    pub const TABLE_ID: u8 = 0x02;

    /// Reads a programme map.
    ///
    /// # Errors
    /// When it is another table or a length inside points outside.
    pub fn parse(section: Section<'_>) -> Result<Self, SectionError> {
        if section.table_id() != Self::TABLE_ID {
            return Err(SectionError::Table(section.table_id()));
        }
        assert!(section.bytes().len() <= SECTION_BYTES_MAX, "the assembler bounds sections");
        let body = section.body();
        let fixed: &[u8; FIXED_BYTES] = body.first_chunk().ok_or(SectionError::Length)?;
        let streams_at = FIXED_BYTES + length_field([fixed[2], fixed[3]]);
        let programme_descriptors = body.get(FIXED_BYTES..streams_at).ok_or(SectionError::Length)?;
        let mut streams = Vec::with_capacity(STREAMS_MAX);
        let mut at = streams_at;
        while let Some(&[stream_type, pid_high, pid_low, length_high, length_low]) =
            body.get(at..).and_then(<[u8]>::first_chunk::<STREAM_BYTES>)
        {
            let end = at + STREAM_BYTES + length_field([length_high, length_low]);
            let descriptors = body.get(at + STREAM_BYTES..end).ok_or(SectionError::Length)?;
            if streams.len() < STREAMS_MAX {
                streams.push(Stream {
                    pid: Pid::from_field([pid_high, pid_low]),
                    stream_type,
                    codec: Codec::of_stream(stream_type, descriptors, programme_descriptors),
                    descriptors: in_section(at + STREAM_BYTES..end),
                });
            }
            at = end;
        }
        let pcr_pid = Pid::from_field([fixed[0], fixed[1]]);
        Ok(Self {
            program_number: section.table_id_extension(),
            version: section.version_number(),
            pcr_pid: (pcr_pid != Pid::NULL).then_some(pcr_pid),
            streams,
            programme_descriptors: in_section(FIXED_BYTES..streams_at),
            section: section.bytes().to_vec(),
        })
    }

    /// The streams, in the table's order, at most [`STREAMS_MAX`].
    #[must_use]
    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// The descriptors of the programme.
    #[must_use]
    pub fn programme_descriptors(&self) -> &[u8] {
        &self.section[self.programme_descriptors.clone()]
    }

    /// The descriptors of one of its streams.
    #[must_use]
    pub fn stream_descriptors(&self, stream: &Stream) -> &[u8] {
        &self.section[stream.descriptors.clone()]
    }

    /// The section as it came.
    #[must_use]
    pub fn section_bytes(&self) -> &[u8] {
        &self.section
    }

    /// The first stream of a kind.
    #[must_use]
    pub fn first(&self, kind: StreamKind) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.kind() == kind)
    }
}

/// A length of twelve bits.
fn length_field([high, low]: [u8; 2]) -> usize {
    usize::from(u16::from_be_bytes([high & 0x0F, low]))
}

fn in_section(body: Range<usize>) -> Range<usize> {
    body.start + SECTION_HEADER_BYTES..body.end + SECTION_HEADER_BYTES
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ts::testing::section;

    fn parse(body: &[u8]) -> Result<Pmt, SectionError> {
        let bytes = section(0x02, 5, 9, body);
        Pmt::parse(Section::parse(&bytes).unwrap())
    }

    #[test]
    fn a_programme_is_read_with_all_its_descriptors() {
        let body = [
            &[0xE1, 0x00, 0xF0, 0x03, 0x0E, 1, 9][..],
            &[0x1B, 0xE1, 0x00, 0xF0, 0x00],
            &[0x06, 0xE1, 0x01, 0xF0, 0x09, 0x0A, 4, b'd', b'e', b'u', 0, 0x7A, 1, 0],
            &[0x06, 0xE1, 0x02, 0xF0, 0x02, 0x56, 0],
        ]
        .concat();
        let pmt = parse(&body).unwrap();
        assert_eq!((pmt.program_number, pmt.version), (5, 9));
        assert_eq!(pmt.pcr_pid, Pid::new(0x100));
        assert_eq!(pmt.programme_descriptors(), [0x0E, 1, 9]);
        let streams: Vec<_> = pmt
            .streams()
            .iter()
            .map(|stream| (stream.pid.get(), stream.codec, pmt.stream_descriptors(stream).len()))
            .collect();
        assert_eq!(streams, [(0x100, Codec::H264, 0), (0x101, Codec::Eac3, 9), (0x102, Codec::Teletext, 2)]);
        assert_eq!(pmt.first(StreamKind::Audio).unwrap().pid.get(), 0x101);
        assert_eq!(pmt.section_bytes(), section(0x02, 5, 9, &body));
    }

    #[test]
    fn no_pcr_pid_and_too_many_streams_are_both_fine() {
        let mut body = vec![0xFF, 0xFF, 0xF0, 0x00];
        for pid in 0..40 {
            body.extend([0x03, 0xE1, pid, 0xF0, 0x00]);
        }
        let pmt = parse(&body).unwrap();
        assert_eq!(pmt.pcr_pid, None);
        assert_eq!(pmt.streams().len(), STREAMS_MAX);
    }

    #[test]
    fn lengths_that_point_outside_are_refused() {
        for body in [
            &[0xE1, 0x00, 0xF0][..],
            &[0xE1, 0x00, 0xF0, 0x01],
            &[0xE1, 0x00, 0xF0, 0x00, 0x1B, 0xE1, 0x00, 0xF0, 0x01],
        ] {
            assert_eq!(parse(body), Err(SectionError::Length), "{body:x?}");
        }
    }

    proptest! {
        #[test]
        fn no_table_makes_the_parser_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(pmt) = parse(&body) {
                for stream in pmt.streams() {
                    prop_assert!(pmt.stream_descriptors(stream).len() <= body.len());
                }
            }
        }
    }
}
