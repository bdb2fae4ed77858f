//! A transport stream in which every packet can be recognised.
//!
//! Packet `index` of run `run` is a function of the two: a programme of H.264 video and audio at 2000 packets a
//! second, with tables every 64 packets, and a key picture
//! behind them. Each packet of a stream carries its run and index, and
//! the rest of it follows from these, so that one wrong byte is seen wherever it is.

use std::time::Duration;

use tunerd::uring::sim::Random;

pub(crate) const PACKET: usize = 188;
pub(crate) const PMT_PID: u16 = 0x1000;
pub(crate) const VIDEO_PID: u16 = 0x100;
pub(crate) const AUDIO_PID: u16 = 0x101;
/// Packets from one key picture to the next.
pub(crate) const PERIOD: u64 = 64;
pub(crate) const PACKETS_PER_SECOND: u64 = 2000;

/// Bytes at a packet's end that say which one it is: 16 digits, eight of the run and eight of the index.
const NAME: usize = 16;
/// The upper half of such a digit's byte.
const DIGIT: u8 = 0xA0;

/// H.264 parameter sets and the beginning of an IDR picture.
pub(crate) const KEY_PICTURE: &[u8] =
    &[0, 0, 1, 0x67, 1, 0x80, 0, 0, 1, 0x68, 1, 0x80, 0, 0, 1, 0x65, 0x88, 0x80];
/// The beginning of a picture that needs others.
const PICTURE: &[u8] = &[0, 0, 1, 0x41, 0x9A];

/// In some runs a key picture is rare: they lie further apart than a small ring is long.
const SPARSE_PERIODS: u64 = 128;

/// True for runs with rare key pictures.
pub(crate) const fn is_sparse(run: u32) -> bool {
    run.is_multiple_of(8)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    Pat,
    Pmt,
    Video { starts: bool, key: bool },
    Audio,
}

impl Kind {
    pub(crate) fn of(run: u32, index: u64) -> Self {
        let is_key = !is_sparse(run) || (index / PERIOD).is_multiple_of(SPARSE_PERIODS);
        match index % PERIOD {
            0 => Self::Pat,
            1 => Self::Pmt,
            at if at % 8 == 7 => Self::Audio,
            at => Self::Video { starts: at % 16 == 2, key: at == 2 && is_key },
        }
    }

    pub(crate) const fn pid(self) -> u16 {
        match self {
            Self::Pat => 0,
            Self::Pmt => PMT_PID,
            Self::Video { .. } => VIDEO_PID,
            Self::Audio => AUDIO_PID,
        }
    }

    pub(crate) const fn is_table(self) -> bool {
        matches!(self, Self::Pat | Self::Pmt)
    }

    const fn starts_unit(self) -> bool {
        !matches!(self, Self::Video { starts: false, .. })
    }
}

/// How many packets of a PID come before an index, which is what its continuity counter counts.
fn count_before(index: u64) -> u64 {
    let (period, at) = (index / PERIOD, index % PERIOD);
    // One in eight is sound, from the eighth on, and two are tables.
    let sounds = PERIOD / 8;
    match Kind::of(1, index) {
        Kind::Pat | Kind::Pmt => period,
        Kind::Audio => period * sounds + at / 8,
        Kind::Video { .. } => period * (PERIOD - sounds - 2) + at - at / 8 - 2,
    }
}

/// A section in the long form, with its CRC.
pub(crate) fn section(table_id: u8, version: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 9).unwrap();
    let mut bytes = vec![table_id];
    bytes.extend((0xB000 | length).to_be_bytes());
    bytes.extend([0, 1, 0xC1 | version << 1, 0, 0]);
    bytes.extend(body);
    let crc = crc32(&bytes);
    bytes.extend(crc.to_be_bytes());
    bytes
}

/// The CRC of ISO/IEC 13818-1, annex A; zero over a section that ends with its own.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            crc = (crc << 1) ^ if crc >> 31 == 1 { 0x04C1_1DB7 } else { 0 };
        }
    }
    crc
}

pub(crate) fn pat() -> Vec<u8> {
    let [high, low] = (0xE000 | PMT_PID).to_be_bytes();
    section(0, 0, &[0, 1, high, low])
}

pub(crate) fn pmt() -> Vec<u8> {
    let [video_high, video_low] = (0xE000 | VIDEO_PID).to_be_bytes();
    let [audio_high, audio_low] = (0xE000 | AUDIO_PID).to_be_bytes();
    let mut body = vec![video_high, video_low, 0xF0, 0];
    body.extend([0x1B, video_high, video_low, 0xF0, 0]);
    body.extend([0x0F, audio_high, audio_low, 0xF0, 0]);
    section(2, 0, &body)
}

/// The time of a packet in units of 90 kHz, from a beginning of the run's own that may be close to the wrap.
fn ticks(run: u32, index: u64) -> u64 {
    let base = Random::new(u64::from(run)).below(1 << 33);
    (base + index * 90_000 / PACKETS_PER_SECOND) % (1 << 33)
}

pub(crate) fn pcr_field(ticks: u64) -> [u8; 6] {
    let [_, _, field @ ..] = (ticks << 15 | 0x7E00).to_be_bytes();
    field
}

/// A time as PES headers have it.
fn pts_field(ticks: u64) -> [u8; 5] {
    let bits = |shift: u32, mask: u64| u8::try_from((ticks >> shift) & mask).unwrap();
    [0x21 | bits(30, 7) << 1, bits(22, 0xFF), bits(15, 0x7F) << 1 | 1, bits(7, 0xFF), bits(0, 0x7F) << 1 | 1]
}

/// The beginning of a PES packet with a presentation time.
pub(crate) fn pes(stream_id: u8, ticks: u64, data_bytes: u16) -> Vec<u8> {
    let [high, low] = if data_bytes == 0 { [0, 0] } else { (data_bytes + 8).to_be_bytes() };
    let mut bytes = vec![0, 0, 1, stream_id, high, low, 0x80, 0x80, 5];
    bytes.extend(pts_field(ticks));
    bytes
}

/// What identifies a packet, as it stands at its end.
fn name(run: u32, index: u64) -> [u8; NAME] {
    let name = u64::from(run) << 32 | u64::from(u32::try_from(index).expect("a run is shorter than weeks"));
    std::array::from_fn(|at| DIGIT | u8::try_from(name >> (60 - 4 * at) & 0xF).unwrap())
}

/// Which packet a packet says it is.
pub(crate) fn read_name(packet: &[u8; PACKET]) -> Option<(u32, u64)> {
    let mut name = 0;
    for digit in &packet[PACKET - NAME..] {
        if digit & 0xF0 != DIGIT {
            return None;
        }
        name = name << 4 | u64::from(digit & 0x0F);
    }
    Some((u32::try_from(name >> 32).unwrap(), name & 0xFFFF_FFFF))
}

/// Packet `index` of run `run`.
pub(crate) fn packet(run: u32, index: u64) -> [u8; PACKET] {
    let kind = Kind::of(run, index);
    let mut packet = [0xFF; PACKET];
    let [high, low] = kind.pid().to_be_bytes();
    packet[0] = 0x47;
    packet[1] = u8::from(kind.starts_unit()) << 6 | high;
    packet[2] = low;
    packet[3] = 0x10 | u8::try_from(count_before(index) % 16).unwrap();
    if kind.is_table() {
        let section = if kind == Kind::Pat { pat() } else { pmt() };
        packet[4] = 0;
        packet[5..5 + section.len()].copy_from_slice(&section);
        return packet;
    }
    let mut at = 4;
    if let Kind::Video { starts: true, key } = kind {
        packet[3] |= 0x20;
        packet[4] = 7;
        packet[5] = 0x10 | u8::from(key) << 6;
        packet[6..12].copy_from_slice(&pcr_field(ticks(run, index)));
        at = 12;
    }
    let begin = match kind {
        Kind::Video { starts: true, key } => {
            let mut begin = pes(0xE0, ticks(run, index) + 9000, 0);
            begin.extend(if key { KEY_PICTURE } else { PICTURE });
            begin
        }
        Kind::Audio => pes(0xC0, ticks(run, index) + 9000, 170),
        Kind::Video { starts: false, .. } | Kind::Pat | Kind::Pmt => Vec::new(),
    };
    packet[at..at + begin.len()].copy_from_slice(&begin);
    at += begin.len();
    let mut filling = Random::new(u64::from(run) << 32 | index);
    for bytes in packet[at..PACKET - NAME].chunks_mut(8) {
        let random = filling.bits().to_le_bytes();
        for (byte, random) in bytes.iter_mut().zip(random) {
            // Never zero: nothing in it looks like the start of a unit.
            *byte = random.max(1);
        }
    }
    packet[PACKET - NAME..].copy_from_slice(&name(run, index));
    packet
}

/// True where the times of a packet are, which whoever joins streams may change.
pub(crate) fn is_time(kind: Kind, at: usize) -> bool {
    match kind {
        Kind::Video { starts: true, .. } => (6..12).contains(&at) || (21..26).contains(&at),
        Kind::Audio => (13..18).contains(&at),
        Kind::Video { starts: false, .. } | Kind::Pat | Kind::Pmt => false,
    }
}

/// How many packets a run has after a time.
pub(crate) fn packets_after(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap() * PACKETS_PER_SECOND / 1_000_000
}

#[test]
fn packets_of_a_pid_are_counted_without_a_gap() {
    let mut counts = std::collections::BTreeMap::new();
    for index in 0..3 * PERIOD {
        let count = counts.entry(Kind::of(1, index).pid()).or_insert(0);
        assert_eq!(count_before(index), *count, "packet {index}");
        *count += 1;
    }
}

#[test]
fn a_packet_says_which_one_it_is() {
    for index in [2, 3, 7, 63, 66, 1_000_002] {
        assert_eq!(read_name(&packet(77, index)), Some((77, index)));
    }
    assert_eq!(read_name(&packet(77, 64)), None);
}

#[test]
fn the_stream_is_one_that_tunerd_can_start_with() {
    assert_eq!(crc32(&pat()), 0);
    assert_eq!(crc32(&pmt()), 0);
    assert_eq!(pts_field(0), [0x21, 0, 1, 0, 1]);
    assert_eq!(pts_field((1 << 33) - 1), [0x2F, 0xFF, 0xFF, 0xFF, 0xFF]);
    let video = packet(1, 2);
    assert_eq!(video[6..12], pcr_field(ticks(1, 2)));
    assert_eq!(&video[12..16], &[0, 0, 1, 0xE0]);
    assert_eq!(video[21..26], pts_field(ticks(1, 2) + 9000));
    assert_eq!(packet(1, 7)[13..18], pts_field(ticks(1, 7) + 9000));
}
