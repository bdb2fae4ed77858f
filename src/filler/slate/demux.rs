//! From the transport stream an encoder has made to pictures and one frame of silence.

use crate::base::limits::PACKET_BYTES;
use crate::ts::psi::Stream;
use crate::ts::{AdaptationField, Codec, Inspector, Packet, Pid, Pts, StreamKind};

use super::frame_rate::of_times;
use super::sound::steady_frame;
use super::streams::{Picture, Sound, Video};

/// The longest stream that is taken: two seconds of a black picture have a hundredth of this.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// The most pictures between decoding and showing one that codecs allow.
const DELAY_MAX: u64 = 16;
/// Bytes of a PES header before its optional fields.
const PES_FIXED_BYTES: usize = 9;

/// Why a stream is no slate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SlateError {
    /// Empty, too long, or not whole packets.
    #[error("it is not a transport stream of reasonable length")]
    Length,
    /// Packets are missing or marked as broken.
    #[error("packets of it are damaged or missing")]
    Damaged,
    /// No PAT and PMT, or none with video.
    #[error("it has no programme with pictures")]
    Programme,
    /// Coded in something that cannot be looped.
    #[error("it is coded in {}, which cannot be looped", .0.as_str())]
    Codec(Codec),
    /// A PES header is not what it should be.
    #[error("a picture's header is malformed")]
    Header,
    /// A decoder cannot start with the first picture.
    #[error("it does not begin with an entry point")]
    EntryPoint,
    /// The pictures are too few or not evenly spaced.
    #[error("its pictures are not evenly spaced")]
    Timing,
    /// No whole frame of sound.
    #[error("it has no whole frame of sound")]
    Sound,
}

/// One PES packet, put together.
struct Unit {
    is_entry: bool,
    bytes: Vec<u8>,
}

/// Its times and where its data begins.
struct Times {
    pts: Pts,
    dts: Pts,
    data_at: usize,
}

/// Takes a stream apart.
pub(super) fn demux(bytes: &[u8]) -> Result<(Video, Option<Sound>), SlateError> {
    let (packets, rest) = bytes.as_chunks::<PACKET_BYTES>();
    if packets.is_empty() || !rest.is_empty() || bytes.len() > BYTES_MAX {
        return Err(SlateError::Length);
    }
    let mut inspector = Inspector::new();
    let mut begins_with_entry = None;
    for (packet, position) in packets.iter().zip((0u64..).step_by(PACKET_BYTES)) {
        inspector.packet(position, packet);
        if let (None, Some(entry)) = (begins_with_entry, inspector.take_entry_point()) {
            begins_with_entry = Some(entry.parameter_sets && inspector.counts().video > 0);
        }
    }
    let counts = inspector.counts();
    if counts.transport_errors + counts.continuity_gaps + counts.scrambled + counts.duplicates > 0 {
        return Err(SlateError::Damaged);
    }
    let pmt = &inspector.programme().ok_or(SlateError::Programme)?.pmt;
    let video = pmt.first(StreamKind::Video).ok_or(SlateError::Programme)?;
    if begins_with_entry != Some(true) {
        return Err(SlateError::EntryPoint);
    }
    let sound = pmt
        .first(StreamKind::Audio)
        .map(|stream| sound(packets, stream, pmt.stream_descriptors(stream).to_vec()));
    let video = pictures(packets, video, pmt.stream_descriptors(video).to_vec())?;
    Ok((video, sound.transpose()?))
}

fn pictures(
    packets: &[[u8; PACKET_BYTES]],
    stream: &Stream,
    descriptors: Vec<u8>,
) -> Result<Video, SlateError> {
    if !matches!(stream.codec, Codec::H264 | Codec::Hevc | Codec::Mpeg2Video) {
        return Err(SlateError::Codec(stream.codec));
    }
    let units = units(packets, stream.pid);
    let headers: Option<Vec<_>> = units.iter().map(|unit| times(&unit.bytes)).collect();
    let headers = headers.ok_or(SlateError::Header)?;
    let first = headers.first().ok_or(SlateError::Timing)?.dts;
    if !units[0].is_entry {
        return Err(SlateError::EntryPoint);
    }
    let decoded: Result<Vec<_>, _> =
        headers.iter().map(|times| u64::try_from(times.dts.since(first))).collect();
    let decoded = decoded.map_err(|_backwards| SlateError::Timing)?;
    let rate = of_times(&decoded).ok_or(SlateError::Timing)?;
    let mut pictures = Vec::with_capacity(units.len());
    for (unit, times) in units.into_iter().zip(headers) {
        let wait = u64::try_from(times.pts.since(times.dts)).map_err(|_backwards| SlateError::Timing)?;
        let delay = (0..=DELAY_MAX).find(|count| rate.ticks(*count, Pts::RATE).abs_diff(wait) <= 2);
        pictures.push(Picture {
            bytes: unit.bytes[times.data_at..].to_vec(),
            delay: delay.ok_or(SlateError::Timing)?,
            is_entry: unit.is_entry,
        });
    }
    Ok(Video { codec: stream.codec, stream_type: stream.stream_type, descriptors, rate, pictures })
}

fn sound(packets: &[[u8; PACKET_BYTES]], stream: &Stream, descriptors: Vec<u8>) -> Result<Sound, SlateError> {
    let data: Option<Vec<_>> = units(packets, stream.pid)
        .into_iter()
        .map(|unit| times(&unit.bytes).map(|times| unit.bytes[times.data_at..].to_vec()))
        .collect();
    let data = data.ok_or(SlateError::Header)?.concat();
    let (header, frame) = steady_frame(stream.codec, &data).ok_or(SlateError::Sound)?;
    Ok(Sound {
        codec: stream.codec,
        stream_type: stream.stream_type,
        descriptors,
        frame: frame.to_vec(),
        samples: header.samples,
        sample_rate: header.sample_rate,
    })
}

/// The PES packets of one PID.
fn units(packets: &[[u8; PACKET_BYTES]], pid: Pid) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    for packet in packets.iter().filter_map(|bytes| Packet::parse(bytes).ok()) {
        if packet.pid() != pid {
            continue;
        }
        let payload = packet.payload().unwrap_or(&[]);
        if packet.payload_unit_start_indicator() {
            let is_entry = packet.adaptation_field().is_some_and(AdaptationField::random_access_indicator);
            units.push(Unit { is_entry, bytes: payload.to_vec() });
        } else if let Some(unit) = units.last_mut() {
            unit.bytes.extend_from_slice(payload);
        }
    }
    units
}

/// Reads a PES header with a presentation time.
fn times(bytes: &[u8]) -> Option<Times> {
    let fixed: &[u8; PES_FIXED_BYTES] = bytes.first_chunk()?;
    if fixed[..3] != [0, 0, 1] || fixed[6] & 0xC0 != 0x80 || fixed[7] & 0x80 == 0 {
        return None;
    }
    let data_at = PES_FIXED_BYTES + usize::from(fixed[8]);
    // Data that ends before it begins, or before its own length says, is cut.
    let length = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    if bytes.len() <= data_at || (length > 0 && bytes.len() != length + 6) {
        return None;
    }
    let field = |at: usize| bytes.get(at..).and_then(<[u8]>::first_chunk).and_then(Pts::from_field);
    let pts = field(PES_FIXED_BYTES)?;
    let dts = if fixed[7] & 0x40 == 0 { pts } else { field(PES_FIXED_BYTES + Pts::FIELD_BYTES)? };
    Some(Times { pts, dts, data_at })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::super::material::Slate;
    use super::*;

    const GOOD: &[u8] = include_bytes!("builtin.ts");

    fn error(bytes: &[u8]) -> Option<SlateError> {
        Slate::parse(bytes).err()
    }

    /// The stream without the packet for which `leave_out` is true first.
    fn without(leave_out: impl Fn(Packet<'_>) -> bool) -> Vec<u8> {
        let (packets, _) = GOOD.as_chunks::<PACKET_BYTES>();
        let index = packets.iter().position(|bytes| leave_out(Packet::parse(bytes).unwrap())).unwrap();
        packets.iter().enumerate().filter(|(at, _)| *at != index).flat_map(|(_, bytes)| *bytes).collect()
    }

    #[test]
    fn what_is_no_transport_stream_is_refused() {
        assert_eq!(error(&[]), Some(SlateError::Length));
        assert_eq!(error(&GOOD[..GOOD.len() - 1]), Some(SlateError::Length));
        assert_eq!(error(&vec![0x47; 188 * 45_000]), Some(SlateError::Length));
        assert_eq!(error(&GOOD[..188 * 2]), Some(SlateError::Programme));
    }

    #[test]
    fn a_missing_or_broken_packet_is_noticed() {
        let video = Pid::new(0x100).unwrap();
        let inner = without(|packet| packet.pid() == video && !packet.payload_unit_start_indicator());
        assert_eq!(error(&inner), Some(SlateError::Damaged));
        let mut marked = GOOD.to_vec();
        marked[188 * 40 + 1] |= 0x80;
        assert_eq!(error(&marked), Some(SlateError::Damaged));
    }

    #[test]
    fn a_stream_that_begins_in_the_middle_of_a_gop_is_refused() {
        let (packets, _) = GOOD.as_chunks::<PACKET_BYTES>();
        let video = Pid::new(0x100).unwrap();
        let starts: Vec<_> = (0..packets.len())
            .filter(|index| {
                let packet = Packet::parse(&packets[*index]).unwrap();
                packet.pid() == video && packet.payload_unit_start_indicator()
            })
            .collect();
        let tables = packets[..starts[0]].concat();
        let rest = [tables, packets[starts[1]..].concat()].concat();
        assert_eq!(error(&rest), Some(SlateError::EntryPoint));
        let one = packets[..starts[1]].concat();
        assert_eq!(error(&one), Some(SlateError::Timing), "one picture has no rate");
    }

    #[test]
    fn pictures_that_are_not_evenly_spaced_are_refused() {
        let mut bytes = GOOD.to_vec();
        let (packets, _) = bytes.as_chunks_mut::<PACKET_BYTES>();
        let video = Pid::new(0x100).unwrap();
        let third = packets
            .iter_mut()
            .filter(|bytes| {
                let packet = Packet::parse(bytes).unwrap();
                packet.pid() == video && packet.payload_unit_start_indicator()
            })
            .nth(2)
            .unwrap();
        let at = Packet::parse(third).unwrap().payload_at().unwrap() + PES_FIXED_BYTES;
        let field: &mut [u8; 5] = (&mut third[at..at + 5]).try_into().unwrap();
        Pts::from_field(field).unwrap().plus(900).write_field(field);
        assert_eq!(error(&bytes), Some(SlateError::Timing));
    }

    proptest! {
        #[test]
        fn no_damage_makes_it_panic(
            changes in proptest::collection::vec((any::<Index>(), any::<u8>()), 1..40),
            cut in any::<Index>(),
        ) {
            let mut bytes = GOOD.to_vec();
            for (at, byte) in changes {
                *at.get_mut(&mut bytes) = byte;
            }
            bytes.truncate(cut.index(bytes.len() / PACKET_BYTES) * PACKET_BYTES);
            if let Ok(slate) = Slate::parse(&bytes) {
                prop_assert!(slate.video().pictures.len() >= 2);
            }
        }
    }
}
