//! Reads the profile of a source from its packets.

use crate::source::profile::bitrate::ClockRate;
use crate::source::profile::cadence::Cadence;
use crate::source::profile::headers::Headers;
use crate::ts::es::{AUDIO_FRAME_BYTES_MAX, AudioFormat, FrameRate, Picture};
use crate::ts::psi::{Pmt, Programme};
use crate::ts::{
    AdaptationField, Codec, ContinuityCounter, Packet, PacketBytes, PcrSample, PesReader, Pid, PlainRun,
    StreamKind, StreamProfile,
};

/// Bytes of audio that are searched together: two of the longest frames.
const AUDIO_BYTES_MAX: usize = 2 * AUDIO_FRAME_BYTES_MAX;
/// Pieces of that size after which a stream without frames is given up.
const AUDIO_PIECES_MAX: u32 = 16;

/// Looks at a source's packets until it knows what they carry. Takes 20 KiB at most.
#[derive(Debug, Default)]
pub struct ProfileScanner {
    table: Option<(Pid, [u8; 4])>,
    video: Option<Video>,
    audio: Option<Audio>,
    rate: ClockRate,
}

impl ProfileScanner {
    /// A scanner that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at a packet of the source. Once all is known this costs a comparison, except for the first packets of
    /// key pictures: their size may change.
    pub fn packet(&mut self, bytes: &PacketBytes, programme: &Programme) {
        let table = programme.pmt.section_bytes().last_chunk().map(|crc| (programme.pmt_pid, *crc));
        if self.table != table {
            self.table = table;
            self.follow(&programme.pmt);
        }
        let Ok(packet) = Packet::parse(bytes) else { return };
        let pid = packet.pid();
        if let Some(video) = self.video.as_mut().filter(|video| video.pid == pid) {
            video.packet(packet);
        } else if let Some(audio) = self.audio.as_mut().filter(|audio| audio.pid == pid) {
            audio.packet(packet);
        }
    }

    /// Looks at a run of the source's packets, with which `packets` begin: at as many of them as may tell something.
    pub fn run(&mut self, run: PlainRun, packets: &[PacketBytes], programme: &Programme) {
        for packet in packets.iter().take(run.packets()) {
            self.packet(packet, programme);
            let is_video =
                self.video.as_ref().is_some_and(|video| video.pid == run.pid() && !video.is_idle());
            let is_audio =
                self.audio.as_ref().is_some_and(|audio| audio.pid == run.pid() && !audio.is_settled());
            if !is_video && !is_audio {
                return;
            }
        }
    }

    /// The programme's clock, after each read.
    pub fn clock(&mut self, sample: Option<PcrSample>) {
        if let Some(sample) = sample {
            self.rate.observe(sample);
        }
    }

    /// Nothing more will be learnt, though not everything may be known.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.table.is_some()
            && self.video.as_ref().is_none_or(Video::is_settled)
            && self.audio.as_ref().is_none_or(Audio::is_settled)
    }

    /// How many bits a second it has is known, which takes some of its time.
    #[must_use]
    pub fn has_rate(&self) -> bool {
        self.rate.bits_per_second() > 0
    }

    /// What is known by now.
    #[must_use]
    pub fn profile(&self) -> StreamProfile {
        let picture = self.video.as_ref().and_then(|video| video.picture);
        let format = self.audio.as_ref().and_then(|audio| audio.format);
        StreamProfile {
            width: picture.map_or(0, |picture| picture.width),
            height: picture.map_or(0, |picture| picture.height),
            frame_rate: self.video.as_ref().and_then(Video::rate),
            video_codec: self.video.as_ref().map(|video| video.codec.into()),
            audio_codec: self.audio.as_ref().map(|audio| audio.codec.into()),
            sample_rate: format.map_or(0, |format| format.sample_rate),
            channels: format.map_or(0, |format| format.channels),
            bitrate_bps: self.rate.bits_per_second(),
        }
    }

    /// The programme is another one, or made of something else. What stays as it was keeps its profile.
    fn follow(&mut self, pmt: &Pmt) {
        let video = pmt.first(StreamKind::Video).map(|stream| (stream.pid, stream.codec));
        if self.video.as_ref().map(|video| (video.pid, video.codec)) != video {
            self.video = video.map(|(pid, codec)| Video::new(pid, codec));
        }
        let audio = pmt.first(StreamKind::Audio).map(|stream| (stream.pid, stream.codec));
        if self.audio.as_ref().map(|audio| (audio.pid, audio.codec)) != audio {
            self.audio = audio.map(|(pid, codec)| Audio::new(pid, codec));
        }
    }
}

/// The packets of one PID that belong together.
#[derive(Debug)]
struct Link {
    last: Option<ContinuityCounter>,
    pes: PesReader,
}

/// What a packet adds to a stream.
struct Arrival<'buf> {
    bytes: &'buf [u8],
    after_loss: bool,
}

impl Link {
    const fn new() -> Self {
        Self { last: None, pes: PesReader::new() }
    }

    /// `None` when the packet adds nothing.
    fn packet<'buf>(&mut self, packet: Packet<'buf>) -> Option<Arrival<'buf>> {
        if packet.transport_error_indicator() || packet.transport_scrambling_control() != 0 {
            return None;
        }
        let payload = packet.payload()?;
        let counter = packet.continuity_counter();
        let before = self.last.replace(counter);
        if before == Some(counter) {
            return None;
        }
        let after_loss = before.is_some_and(|before| before.next() != counter);
        if after_loss {
            self.pes.lose();
        }
        if packet.payload_unit_start_indicator() {
            self.pes.start();
        }
        Some(Arrival { bytes: self.pes.payload(payload), after_loss })
    }
}

#[derive(Debug)]
struct Video {
    pid: Pid,
    codec: Codec,
    link: Link,
    headers: Option<Headers>,
    /// The PES packet whose times have not been read yet.
    is_new: bool,
    /// All was known, and a key picture passes that may be of another size.
    is_key: bool,
    picture: Option<Picture>,
    cadence: Cadence,
}

impl Video {
    fn new(pid: Pid, codec: Codec) -> Self {
        Self {
            pid,
            codec,
            link: Link::new(),
            headers: Headers::new(codec),
            is_new: false,
            is_key: false,
            picture: None,
            cadence: Cadence::default(),
        }
    }

    fn is_settled(&self) -> bool {
        let has_rate = |picture: Picture| picture.rate.is_some() || self.cadence.is_done();
        self.headers.is_none() || self.picture.is_some_and(has_rate)
    }

    /// Packets in which no PES packet begins tell nothing.
    fn is_idle(&self) -> bool {
        self.headers.is_none() || self.is_settled() && !self.is_key
    }

    fn rate(&self) -> Option<FrameRate> {
        let picture = self.picture?;
        picture.rate.or_else(|| self.cadence.rate(picture.may_be_fields))
    }

    fn packet(&mut self, packet: Packet<'_>) {
        let starts = packet.payload_unit_start_indicator();
        let is_settled = self.is_settled();
        let Some(headers) = &mut self.headers else { return };
        if is_settled && starts {
            self.is_key = packet.adaptation_field().is_some_and(AdaptationField::random_access_indicator);
            // What came since the last key picture was not looked at.
            self.link = Link::new();
            headers.lose();
        }
        if is_settled && !self.is_key {
            return;
        }
        let Some(arrival) = self.link.packet(packet) else { return };
        if arrival.after_loss {
            headers.lose();
            self.cadence.lose();
        }
        self.is_new |= starts;
        if self.is_new && self.link.pes.in_data() {
            self.is_new = false;
            self.cadence.picture(self.link.pes.dts());
        }
        headers.feed(arrival.bytes);
        if let Some(picture) = headers.take_picture() {
            self.is_key = false;
            if self.picture.is_some_and(|before| before != picture) {
                self.cadence = Cadence::default();
            }
            self.picture = Some(picture);
        }
    }
}

#[derive(Debug)]
struct Audio {
    pid: Pid,
    codec: Codec,
    link: Link,
    bytes: Vec<u8>,
    pieces: u32,
    format: Option<AudioFormat>,
}

impl Audio {
    const fn new(pid: Pid, codec: Codec) -> Self {
        Self { pid, codec, link: Link::new(), bytes: Vec::new(), pieces: 0, format: None }
    }

    fn is_settled(&self) -> bool {
        self.format.is_some() || self.pieces >= AUDIO_PIECES_MAX || !AudioFormat::is_readable(self.codec)
    }

    fn packet(&mut self, packet: Packet<'_>) {
        if self.is_settled() {
            return;
        }
        let Some(arrival) = self.link.packet(packet) else { return };
        if arrival.after_loss {
            self.bytes.clear();
        }
        self.bytes.extend_from_slice(arrival.bytes);
        let is_full = self.bytes.len() >= AUDIO_BYTES_MAX;
        // Frames mostly end with their PES packet.
        if is_full || packet.payload_unit_start_indicator() {
            self.format = AudioFormat::find(self.codec, &self.bytes);
        }
        if is_full {
            self.pieces += 1;
            self.bytes.drain(..AUDIO_FRAME_BYTES_MAX);
        }
        if self.is_settled() {
            self.bytes = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::ts::testing::{Fields, Stream, pes, pmt, programme};
    use crate::ts::{Inspector, Pts};

    /// 1280x720, 25 frames in a second.
    const SPS: &[u8] = &[
        0, 0, 0, 1, 0x67, 0x64, 0x00, 0x1F, 0xAC, 0xD9, 0x40, 0x50, 0x05, 0xBB, 0x01, 0x10, 0x00, 0x00, 0x03,
        0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0x20, 0xF1, 0x83, 0x19, 0x60, 0, 0, 1, 0x68, 0xEB,
    ];
    /// The same without its usability information.
    const BARE_SPS: &[u8] =
        &[0, 0, 0, 1, 0x67, 0x42, 0x00, 0x1F, 0xD9, 0x40, 0x50, 0x05, 0xB2, 0, 0, 1, 0x68, 0xEB];
    /// 48 kHz, stereo, sixteen bytes.
    const ADTS: [u8; 16] =
        [0xFF, 0xF1, 0x4C, 0x80, 0x02, 0x1F, 0xFC, 0x21, 0x00, 0x49, 0x90, 0x02, 0x19, 0x00, 0x23, 0x80];
    const VIDEO: Fields = Fields { pid: 0x100, ..Fields::NONE };
    const AUDIO: Fields = Fields { pid: 0x101, ..Fields::NONE };

    fn scan(scanner: &mut ProfileScanner, inspector: &mut Inspector, stream: &Stream) {
        for packet in &stream.packets {
            inspector.packet(0, packet);
            if let Some(programme) = inspector.programme() {
                scanner.packet(packet, programme);
            }
        }
    }

    fn scanned(stream: &Stream) -> ProfileScanner {
        let mut scanner = ProfileScanner::new();
        scan(&mut scanner, &mut Inspector::new(), stream);
        scanner
    }

    fn size(scanner: &ProfileScanner) -> (u32, u32, u32, u32) {
        let StreamProfile { width, height, frame_rate, .. } = scanner.profile();
        let (num, den) = frame_rate.map_or((0, 0), |rate| (rate.num, rate.den));
        (width, height, num, den)
    }

    #[test]
    fn all_is_known_after_one_picture_and_two_frames() {
        let mut stream = programme(&[0x1B, 0x0F]);
        stream.push_pes(VIDEO, &pes(0xE0, None, SPS), 184);
        stream.push_pes(AUDIO, &pes(0xC0, None, &ADTS), 184);
        assert!(!scanned(&stream).is_complete());
        stream.push_pes(AUDIO, &pes(0xC0, None, &ADTS), 184);
        let scanner = scanned(&stream);
        assert!(scanner.is_complete());
        let expected = StreamProfile {
            width: 1280,
            height: 720,
            frame_rate: FrameRate::new(25, 1),
            video_codec: Some(Codec::H264.into()),
            audio_codec: Some(Codec::Aac.into()),
            sample_rate: 48_000,
            channels: 2,
            bitrate_bps: 0,
        };
        assert_eq!(scanner.profile(), expected);
        assert!(!ProfileScanner::new().is_complete(), "without a programme nothing is complete");
    }

    #[test]
    fn the_times_of_pictures_tell_a_rate_that_no_header_tells() {
        let mut stream = programme(&[0x1B]);
        for picture in 0..31u64 {
            assert!(!scanned(&stream).is_complete());
            let pts = Some(Pts::from_ticks(picture * 3600));
            stream.push_pes(VIDEO, &pes(0xE0, pts, if picture == 3 { BARE_SPS } else { &[9; 300] }), 184);
        }
        let scanner = scanned(&stream);
        assert!(scanner.is_complete());
        assert_eq!(size(&scanner), (1280, 720, 25, 1));
    }

    #[test]
    fn what_cannot_be_read_does_not_keep_the_scanner_waiting() {
        for stream_types in [&[0x10u8, 0x11][..], &[0x33], &[0x8A]] {
            assert!(scanned(&programme(stream_types)).is_complete(), "{stream_types:x?}");
        }
    }

    #[test]
    fn audio_without_frames_is_given_up_and_takes_little_memory() {
        let mut scanner = ProfileScanner::new();
        let mut inspector = Inspector::new();
        scan(&mut scanner, &mut inspector, &programme(&[0x0F]));
        let mut stream = Stream::default();
        stream.push_pes(VIDEO, &pes(0xC0, None, &[0x55; 20_000]), 184);
        for _ in 0..20 {
            scan(&mut scanner, &mut inspector, &stream);
            assert!(scanner.audio.as_ref().unwrap().bytes.capacity() < 3 * AUDIO_BYTES_MAX);
        }
        assert!(scanner.is_complete());
        let profile = scanner.profile();
        assert_eq!((profile.audio_codec, profile.sample_rate), (Some(Codec::Aac.into()), 0));
    }

    #[test]
    fn a_new_table_keeps_what_is_known_of_streams_that_stay() {
        let mut stream = programme(&[0x1B, 0x0F]);
        stream.push_pes(VIDEO, &pes(0xE0, None, SPS), 184);
        stream.push_section(0x1000, &pmt(1, &[0x1B, 0x81]));
        let profile = scanned(&stream).profile();
        assert_eq!((profile.width, profile.audio_codec), (1280, Some(Codec::Ac3.into())));
        stream.push_section(0x1000, &pmt(2, &[0x24]));
        let profile = scanned(&stream).profile();
        assert_eq!(
            (profile.width, profile.video_codec, profile.audio_codec),
            (0, Some(Codec::Hevc.into()), None)
        );
    }

    #[test]
    fn key_pictures_are_looked_at_again_and_others_are_not() {
        let mut stream = programme(&[0x1B]);
        stream.push_pes(VIDEO, &pes(0xE0, None, SPS), 184);
        assert_eq!(size(&scanned(&stream)), (1280, 720, 25, 1));
        // 640x368 at 25 frames, first where no picture may begin, then where one does.
        let mut small = SPS.to_vec();
        small[11] = 0x28;
        small.splice(12..14, [0x0B, 0xFE]);
        let small_size = {
            let mut alone = programme(&[0x1B]);
            alone.push_pes(VIDEO, &pes(0xE0, None, &small), 184);
            size(&scanned(&alone))
        };
        assert_ne!(small_size, (1280, 720, 25, 1));
        stream.push_pes(VIDEO, &pes(0xE0, None, &small), 184);
        assert_eq!(size(&scanned(&stream)), (1280, 720, 25, 1));
        stream.push_pes(Fields { random_access: true, ..VIDEO }, &pes(0xE0, None, &small), 100);
        assert_eq!(size(&scanned(&stream)), small_size);
    }

    #[test]
    fn scrambled_repeated_and_damaged_packets_add_nothing() {
        let mut stream = programme(&[0x1B]);
        stream.push_pes(Fields { scrambling: 2, ..VIDEO }, &pes(0xE0, None, SPS), 184);
        assert_eq!(size(&scanned(&stream)).0, 0);
        let mut stream = programme(&[0x1B]);
        stream.push_pes(VIDEO, &pes(0xE0, None, SPS), 20);
        let repeated = stream.packets[3];
        stream.packets.insert(3, repeated);
        assert_eq!(size(&scanned(&stream)), (1280, 720, 25, 1));
        stream.packets.remove(4);
        stream.packets.remove(3);
        assert_eq!(size(&scanned(&stream)).0, 0, "a part is missing");
    }

    proptest! {
        #[test]
        fn damage_of_any_kind_does_not_make_it_panic(
            damage in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..60),
            stream_types in proptest::collection::vec(prop_oneof![Just(0x1Bu8), Just(0x24), Just(2), Just(0x0F), Just(0x81), Just(3)], 1..3),
        ) {
            let mut stream = programme(&stream_types);
            for ticks in 0..20 {
                let pts = Some(Pts::from_ticks(ticks * 3600));
                stream.push_pes(Fields { random_access: true, ..VIDEO }, &pes(0xE0, pts, &[SPS, &[3; 400]].concat()), 120);
                stream.push_pes(AUDIO, &pes(0xC0, pts, &ADTS.repeat(4)), 184);
            }
            for (at, byte) in damage {
                let at = at.index(stream.packets.len() * 188);
                stream.packets[at / 188][at % 188] = byte;
            }
            let profile = scanned(&stream).profile();
            prop_assert_eq!(profile.width == 0, profile.height == 0);
        }
    }
}
