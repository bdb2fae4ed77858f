//! A generator of live MPEG-TS: constant bitrate, one H.264 and one AAC stream, true PAT, PMT, PCR, PTS and DTS.
//!
//! Packet `n` belongs to the instant `n * 188 * 8 / bitrate`; whatever has nothing to carry is a null packet, so the
//! output has exactly the bitrate asked for. Pictures are made up (a valid SPS, PPS and slice start, then filler without
//! start codes), but every packet of video says which stream and which place it belongs to (`VideoTag`), so that a
//! checker sees a reordered, lost or overwritten packet that continuity counters would not show.

use std::time::Duration;

pub const PACKET_BYTES: usize = 188;
/// The size of a packet as a number of bits per second wants it.
const PACKET_BITS: u64 = 188 * 8;
const SYNC_BYTE: u8 = 0x47;
const NULL_PID: u16 = 0x1FFF;
const PCR_HZ: u64 = 27_000_000;
const PTS_HZ: u64 = 90_000;
const PTS_WRAP: u64 = 1 << 33;
const PSI_INTERVAL: Duration = Duration::from_millis(100);
/// PCR rides on a video packet from here on, or on a packet of its own when video is silent until the limit.
const PCR_WISH: Duration = Duration::from_millis(24);
const PCR_LIMIT: Duration = Duration::from_millis(32);
/// How much later than its PCR a frame is shown; covers the time a large IDR takes at a constant bitrate.
const DECODE_DELAY: Duration = Duration::from_millis(500);
/// Times the average frame that an IDR takes.
const IDR_WEIGHT: u64 = 4;
const AUDIO_SAMPLES_PER_FRAME: u64 = 1024;
const AUDIO_HZ: u64 = 48_000;

const AUD: [u8; 6] = [0, 0, 0, 1, 0x09, 0xF0];
/// 1280x720, 25 frames per second, High profile, level 3.1.
const SPS: [u8; 30] = [
    0, 0, 0, 1, 0x67, 0x64, 0x00, 0x1F, 0xAC, 0xD9, 0x40, 0x50, 0x05, 0xBB, 0x01, 0x10, 0x00, 0x00, 0x03,
    0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0x20, 0xF1, 0x83, 0x19, 0x60,
];
const PPS: [u8; 10] = [0, 0, 0, 1, 0x68, 0xEB, 0xE3, 0xCB, 0x22, 0xC0];
const IDR_SLICE: [u8; 7] = [0, 0, 1, 0x65, 0x88, 0x84, 0x21];
const P_SLICE: [u8; 7] = [0, 0, 1, 0x41, 0x9A, 0x24, 0x6C];
/// One AAC-LC stereo frame of silence behind its ADTS header (48 kHz, 16 bytes in all).
const SILENT_ADTS: [u8; 16] =
    [0xFF, 0xF1, 0x4C, 0x80, 0x02, 0x1F, 0xFC, 0x21, 0x00, 0x49, 0x90, 0x02, 0x19, 0x00, 0x23, 0x80];

const TAG_BYTES: usize = 8;
/// Bytes in front of the tag that are certain to be filler, however many headers a packet has.
const CHECKED_FILLER_BYTES: usize = 64;

/// What the stream is to look like.
#[derive(Clone, Debug)]
pub struct Params {
    /// Bits per second of the whole transport stream, null packets included.
    pub bitrate: u64,
    /// Part of the bitrate that video takes, in percent.
    pub video_percent: u64,
    pub frames_per_second: u64,
    /// An IDR comes every so many frames.
    pub idr_every: u64,
    pub transport_stream_id: u16,
    pub program: u16,
    pub pmt_pid: u16,
    pub video_pid: u16,
    pub audio_pid: u16,
    /// PCR of the first packet, in 90 kHz units; near `1 << 33` it wraps soon.
    pub first_pcr_90k: u64,
    /// Goes into every video packet: tells one stream from another.
    pub stream: u8,
}

impl Params {
    /// A stream of this bitrate, all else as usual.
    pub fn new(bitrate: u64) -> Self {
        Params {
            bitrate,
            // Tables, audio and PCR take some 110 kbit/s whatever the bitrate.
            video_percent: if bitrate >= 1_000_000 { 85 } else { 60 },
            frames_per_second: 25,
            idr_every: 25,
            transport_stream_id: 1,
            program: 1,
            pmt_pid: 0x1000,
            video_pid: 0x100,
            audio_pid: 0x101,
            first_pcr_90k: 10 * PTS_HZ,
            stream: 0,
        }
    }
}

/// What a video packet says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoTag {
    pub stream: u8,
    pub sequence: u64,
    /// False when the filler does not belong to this tag: the packet was overwritten in part.
    pub whole: bool,
}

impl VideoTag {
    /// The tag of a packet that this generator made; `None` for all other packets.
    pub fn read(packet: &[u8; PACKET_BYTES]) -> Option<VideoTag> {
        let (body, tag) = packet.split_at(PACKET_BYTES - TAG_BYTES);
        if packet[3] & 0x10 == 0 || tag.iter().any(|byte| byte & 0x80 == 0) {
            return None;
        }
        let value = tag.iter().fold(0_u64, |value, byte| (value << 7) | u64::from(byte & 0x7F));
        let stream = low_byte(value >> SEQUENCE_BITS);
        let sequence = value & SEQUENCE_MASK;
        let filler = filler_byte(sequence);
        (value == tag_value(stream, sequence)).then(|| VideoTag {
            stream,
            sequence,
            whole: body[body.len() - CHECKED_FILLER_BYTES..].iter().all(|byte| *byte == filler),
        })
    }

    fn bytes(stream: u8, sequence: u64) -> [u8; TAG_BYTES] {
        let value = tag_value(stream, sequence);
        let mut shift = 7 * TAG_BYTES;
        [(); TAG_BYTES].map(|()| {
            shift -= 7;
            0x80 | low_byte((value >> shift) & 0x7F)
        })
    }
}

const SEQUENCE_BITS: u32 = 40;
const SEQUENCE_MASK: u64 = (1 << SEQUENCE_BITS) - 1;

/// 56 bits: a check over the rest, so that stuffing and foreign video are not taken for a tag; stream; sequence.
fn tag_value(stream: u8, sequence: u64) -> u64 {
    let sequence = sequence & SEQUENCE_MASK;
    let check = sequence.to_be_bytes().iter().fold(stream ^ 0x5A, |check, byte| check ^ byte);
    (u64::from(check) << (SEQUENCE_BITS + 8)) | (u64::from(stream) << SEQUENCE_BITS) | sequence
}

/// Never zero, so that no start code can arise, and below 0x80, so that filler is no tag.
fn filler_byte(sequence: u64) -> u8 {
    low_byte(sequence % 0x7F + 1)
}

/// A picture of which some packets are still to be sent.
struct Frame {
    number: u64,
    packets_left: u64,
    /// PES header, AUD, parameter sets, slice header: what goes in front of the filler.
    head: Vec<u8>,
}

/// The generator. Its clock is the number of packets it has made.
pub struct TsGen {
    params: Params,
    packets: u64,
    counters: Counters,
    next_psi: Duration,
    last_pcr: Option<Duration>,
    psi_pending: Vec<[u8; PACKET_BYTES]>,
    frame: Option<Frame>,
    frames: u64,
    audio_frames: u64,
    video_sequence: u64,
    discontinuity: Discontinuity,
}

#[derive(Default)]
struct Counters {
    pat: u8,
    pmt: u8,
    video: u8,
    audio: u8,
}

/// Which PIDs still owe the discontinuity indicator.
#[derive(Default)]
struct Discontinuity {
    pat: bool,
    pmt: bool,
    video: bool,
    audio: bool,
}

impl TsGen {
    pub fn new(params: Params) -> Self {
        assert!(params.bitrate >= 100_000, "below 100 kbit/s the tables alone do not fit");
        TsGen {
            params,
            packets: 0,
            counters: Counters::default(),
            next_psi: Duration::ZERO,
            last_pcr: None,
            psi_pending: Vec::new(),
            frame: None,
            frames: 0,
            audio_frames: 0,
            video_sequence: 0,
            discontinuity: Discontinuity::default(),
        }
    }

    /// The time up to which packets have been made.
    pub fn elapsed(&self) -> Duration {
        self.time_of(self.packets)
    }

    /// The next packet of each PID carries the discontinuity indicator.
    pub fn signal_discontinuity(&mut self) {
        self.discontinuity = Discontinuity { pat: true, pmt: true, video: true, audio: true };
    }

    /// Makes all packets that belong before `until`.
    pub fn fill(&mut self, until: Duration, out: &mut Vec<u8>) {
        while self.elapsed() < until {
            self.push_packet(out);
        }
    }

    /// Makes the next packet.
    pub fn push_packet(&mut self, out: &mut Vec<u8>) {
        let now = self.elapsed();
        let packet = self.next_packet(now);
        self.packets += 1;
        out.extend_from_slice(&packet);
    }

    fn time_of(&self, packet: u64) -> Duration {
        let nanos =
            u128::from(packet) * u128::from(PACKET_BITS) * 1_000_000_000 / u128::from(self.params.bitrate);
        Duration::from_nanos(u64::try_from(nanos).expect("584 years of stream"))
    }

    fn next_packet(&mut self, now: Duration) -> [u8; PACKET_BYTES] {
        if now >= self.next_psi {
            self.next_psi += PSI_INTERVAL;
            let pmt = self.pmt();
            self.psi_pending.push(pmt);
            return self.pat();
        }
        if let Some(packet) = self.psi_pending.pop() {
            return packet;
        }
        let pcr_age = self.last_pcr.map_or(PCR_LIMIT, |last| now - last);
        let audio_due = self.audio_frames * AUDIO_SAMPLES_PER_FRAME * PTS_HZ / AUDIO_HZ;
        let now_90k = ticks(now, PTS_HZ);
        if pcr_age >= PCR_LIMIT && !self.has_video(now_90k) {
            return self.pcr_alone(now);
        }
        if audio_due <= now_90k && pcr_age < PCR_LIMIT {
            return self.audio(audio_due);
        }
        if self.has_video(now_90k) {
            return self.video(now, pcr_age >= PCR_WISH);
        }
        null_packet()
    }

    /// Starts the next frame when its time has come and the one before it is out.
    fn has_video(&mut self, now_90k: u64) -> bool {
        if self.frame.is_none() && self.frames * PTS_HZ / self.params.frames_per_second <= now_90k {
            let number = self.frames;
            self.frames += 1;
            self.frame = Some(Frame {
                number,
                packets_left: self.packets_of(number),
                head: self.picture_head(number),
            });
        }
        self.frame.is_some()
    }

    /// An IDR weighs `IDR_WEIGHT` average frames; the others share what it leaves.
    fn packets_of(&self, frame: u64) -> u64 {
        let params = &self.params;
        let per_group = params.bitrate * params.video_percent * params.idr_every
            / (100 * PACKET_BITS * params.frames_per_second);
        let idr = (per_group * IDR_WEIGHT / params.idr_every).max(2);
        if frame.is_multiple_of(params.idr_every) {
            return idr;
        }
        (per_group.saturating_sub(idr) / (params.idr_every - 1)).max(1)
    }

    fn picture_head(&self, frame: u64) -> Vec<u8> {
        let dts = self.stamp(frame * PTS_HZ / self.params.frames_per_second);
        let pts = self.stamp((frame + 1) * PTS_HZ / self.params.frames_per_second);
        let mut head = vec![0, 0, 1, 0xE0, 0, 0, 0x84, 0xC0, 10];
        head.extend_from_slice(&time_stamp(0x3, pts));
        head.extend_from_slice(&time_stamp(0x1, dts));
        head.extend_from_slice(&AUD);
        if frame.is_multiple_of(self.params.idr_every) {
            head.extend_from_slice(&SPS);
            head.extend_from_slice(&PPS);
            head.extend_from_slice(&IDR_SLICE);
        } else {
            head.extend_from_slice(&P_SLICE);
        }
        head
    }

    /// A time of the stream as PTS or DTS.
    fn stamp(&self, media_90k: u64) -> u64 {
        (self.params.first_pcr_90k + media_90k + ticks(DECODE_DELAY, PTS_HZ)) % PTS_WRAP
    }

    fn video(&mut self, now: Duration, with_pcr: bool) -> [u8; PACKET_BYTES] {
        let mut frame = self.frame.take().expect("asked only when there is a frame");
        let starts = !frame.head.is_empty();
        let random_access = starts && frame.number.is_multiple_of(self.params.idr_every);
        let discontinuity = std::mem::take(&mut self.discontinuity.video);
        let mut field = Vec::with_capacity(8);
        if with_pcr || random_access || discontinuity {
            field.push(
                (u8::from(discontinuity) << 7) | (u8::from(random_access) << 6) | (u8::from(with_pcr) << 4),
            );
            if with_pcr {
                self.last_pcr = Some(now);
                field.extend_from_slice(&self.pcr(now));
            }
        }
        let mut packet = [filler_byte(self.video_sequence); PACKET_BYTES];
        let header =
            PacketHeader { pid: self.params.video_pid, starts, counter: bump(&mut self.counters.video) };
        let at = header.write(&mut packet, &field);
        packet[at..at + frame.head.len()].copy_from_slice(&frame.head);
        packet[PACKET_BYTES - TAG_BYTES..]
            .copy_from_slice(&VideoTag::bytes(self.params.stream, self.video_sequence));
        self.video_sequence += 1;
        frame.head.clear();
        frame.packets_left -= 1;
        if frame.packets_left > 0 {
            self.frame = Some(frame);
        }
        packet
    }

    fn audio(&mut self, media_90k: u64) -> [u8; PACKET_BYTES] {
        self.audio_frames += 1;
        let mut payload = vec![0, 0, 1, 0xC0, 0, low_byte(8 + 16), 0x84, 0x80, 5];
        payload.extend_from_slice(&time_stamp(0x2, self.stamp(media_90k)));
        payload.extend_from_slice(&SILENT_ADTS);
        let discontinuity = std::mem::take(&mut self.discontinuity.audio);
        let counter = bump(&mut self.counters.audio);
        stuffed(PacketHeader { pid: self.params.audio_pid, starts: true, counter }, discontinuity, &payload)
    }

    /// A PCR on a packet without payload: its counter does not move.
    fn pcr_alone(&mut self, now: Duration) -> [u8; PACKET_BYTES] {
        self.last_pcr = Some(now);
        let discontinuity = std::mem::take(&mut self.discontinuity.video);
        let mut field = vec![(u8::from(discontinuity) << 7) | 0x10];
        field.extend_from_slice(&self.pcr(now));
        field.resize(PACKET_BYTES - 5, 0xFF);
        let mut packet = [0xFF; PACKET_BYTES];
        let counter = self.counters.video.wrapping_sub(1) & 0x0F;
        PacketHeader { pid: self.params.video_pid, starts: false, counter }.write(&mut packet, &field);
        packet[3] = 0x20 | counter;
        packet
    }

    fn pcr(&self, now: Duration) -> [u8; 6] {
        let ticks = ticks(now, PCR_HZ);
        let base = (self.params.first_pcr_90k + ticks / 300) % PTS_WRAP;
        let extension = ticks % 300;
        [
            low_byte(base >> 25),
            low_byte(base >> 17),
            low_byte(base >> 9),
            low_byte(base >> 1),
            low_byte(base << 7) | 0x7E | low_byte(extension >> 8),
            low_byte(extension),
        ]
    }

    fn pat(&mut self) -> [u8; PACKET_BYTES] {
        let params = &self.params;
        let mut body = vec![0xC1, 0, 0];
        body.extend_from_slice(&params.program.to_be_bytes());
        body.extend_from_slice(&(0xE000 | params.pmt_pid).to_be_bytes());
        let section = section(0x00, params.transport_stream_id, &body);
        let counter = bump(&mut self.counters.pat);
        psi_packet(
            PacketHeader { pid: 0, starts: true, counter },
            std::mem::take(&mut self.discontinuity.pat),
            &section,
        )
    }

    fn pmt(&mut self) -> [u8; PACKET_BYTES] {
        let params = &self.params;
        let mut body = vec![0xC1, 0, 0];
        body.extend_from_slice(&(0xE000 | params.video_pid).to_be_bytes());
        body.extend_from_slice(&[0xF0, 0]);
        for (kind, pid) in [(0x1B, params.video_pid), (0x0F, params.audio_pid)] {
            body.push(kind);
            body.extend_from_slice(&(0xE000 | pid).to_be_bytes());
            body.extend_from_slice(&[0xF0, 0]);
        }
        let section = section(0x02, params.program, &body);
        let header =
            PacketHeader { pid: params.pmt_pid, starts: true, counter: bump(&mut self.counters.pmt) };
        psi_packet(header, std::mem::take(&mut self.discontinuity.pmt), &section)
    }
}

/// A packet that says nothing.
pub fn null_packet() -> [u8; PACKET_BYTES] {
    let mut packet = [0xFF; PACKET_BYTES];
    PacketHeader { pid: NULL_PID, starts: false, counter: 0 }.write(&mut packet, &[]);
    packet
}

struct PacketHeader {
    pid: u16,
    starts: bool,
    counter: u8,
}

impl PacketHeader {
    /// Writes the header and, unless it is empty, the adaptation field; says where the payload starts.
    fn write(&self, packet: &mut [u8; PACKET_BYTES], field: &[u8]) -> usize {
        let [high, low] = self.pid.to_be_bytes();
        let control = if field.is_empty() { 0x10 } else { 0x30 };
        packet[..4].copy_from_slice(&[
            SYNC_BYTE,
            (u8::from(self.starts) << 6) | high,
            low,
            control | self.counter,
        ]);
        if field.is_empty() {
            return 4;
        }
        packet[4] = u8::try_from(field.len()).expect("an adaptation field fits into its packet");
        packet[5..5 + field.len()].copy_from_slice(field);
        5 + field.len()
    }
}

/// A packet whose short payload stands at its end, behind stuffing in the adaptation field.
fn stuffed(header: PacketHeader, discontinuity: bool, payload: &[u8]) -> [u8; PACKET_BYTES] {
    let mut field = vec![0xFF; PACKET_BYTES - 5 - payload.len()];
    field[0] = u8::from(discontinuity) << 7;
    let mut packet = [0xFF; PACKET_BYTES];
    let at = header.write(&mut packet, &field);
    packet[at..].copy_from_slice(payload);
    packet
}

fn psi_packet(header: PacketHeader, discontinuity: bool, section: &[u8]) -> [u8; PACKET_BYTES] {
    let mut packet = [0xFF; PACKET_BYTES];
    let at = header.write(&mut packet, if discontinuity { &[0x80] } else { &[] });
    packet[at] = 0;
    packet[at + 1..at + 1 + section.len()].copy_from_slice(section);
    packet
}

/// A whole PSI section: header, body (from the version byte on) and CRC.
fn section(table: u8, extension: u16, body: &[u8]) -> Vec<u8> {
    let bytes_after_length = u16::try_from(2 + body.len() + 4).expect("our tables are short");
    let mut section = vec![table];
    section.extend_from_slice(&(0xB000 | bytes_after_length).to_be_bytes());
    section.extend_from_slice(&extension.to_be_bytes());
    section.extend_from_slice(body);
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_MPEG_2).checksum(&section);
    section.extend_from_slice(&crc.to_be_bytes());
    section
}

/// The five bytes of a PTS or DTS behind its four-bit prefix.
fn time_stamp(prefix: u8, value: u64) -> [u8; 5] {
    [
        (prefix << 4) | (low_byte(value >> 29) & 0x0E) | 1,
        low_byte(value >> 22),
        low_byte(value >> 14) | 1,
        low_byte(value >> 7),
        low_byte(value << 1) | 1,
    ]
}

fn ticks(time: Duration, hz: u64) -> u64 {
    u64::try_from(time.as_nanos() * u128::from(hz) / 1_000_000_000).expect("584 years of stream")
}

fn bump(counter: &mut u8) -> u8 {
    let value = *counter;
    *counter = (value + 1) & 0x0F;
    value
}

fn low_byte(value: u64) -> u8 {
    value.to_le_bytes()[0]
}
