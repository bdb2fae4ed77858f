//! A slate in time: what its next packet is and when it is due. Time is counted in ticks of 27 MHz from the
//! player's start; no tick is lost between one loop and the next.

use std::sync::Arc;

use crate::ts::psi::packetise;
use crate::ts::{Codec, ContinuityCounter, Pcr, Pid, Pts};

use super::material::{AUDIO_PID, PMT_PID, Slate, TABLES_PER_SECOND, VIDEO_PID};
use super::pes::{AccessUnit, clock_packet};

/// The clock in the first packet that tells it.
pub const FIRST_PCR: Pcr = Pcr::from_ticks(0);
/// When the first picture is decoded, and the first frame of sound.
#[cfg(test)]
const FIRST_DTS: Pts = Pts::from_ticks(LEAD);

/// The clock is told at least this often: broadcasters' 40 ms, where ISO/IEC 13818-1 allows 100.
const CLOCK_INTERVAL: u64 = Pcr::RATE / 25;
/// How far ahead of its decoding a picture is sent, in ticks of 90 kHz: late by less than this harms nobody.
const LEAD: u64 = Pts::RATE / 5;
const VIDEO_STREAM_ID: u8 = 0xE0;
const AUDIO_STREAM_ID: u8 = 0xC0;
/// Dolby's codecs are no MPEG audio.
const PRIVATE_STREAM_ID: u8 = 0xBD;

/// What comes next. What stands first goes first when several are due at one time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Next {
    Tables,
    Picture,
    Sound,
    Clock,
}

/// Counters of the packets to come.
#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    pat: ContinuityCounter,
    pmt: ContinuityCounter,
    video: ContinuityCounter,
    audio: ContinuityCounter,
}

/// Plays a slate from its beginning, for ever.
#[derive(Debug)]
pub struct Player {
    slate: Arc<Slate>,
    /// So many have been played.
    tables: u64,
    pictures: u64,
    sounds: u64,
    /// When the clock was last told.
    clock_at: u64,
    counters: Counters,
}

impl Player {
    /// A player that has played nothing.
    #[must_use]
    pub fn new(slate: Arc<Slate>) -> Self {
        Self { slate, tables: 0, pictures: 0, sounds: 0, clock_at: 0, counters: Counters::default() }
    }

    /// What it plays.
    #[must_use]
    pub const fn slate(&self) -> &Arc<Slate> {
        &self.slate
    }

    /// When [`Player::play`] is to be called next, in ticks of 27 MHz since the start.
    #[must_use]
    pub fn next_at(&self) -> u64 {
        self.next().0
    }

    /// Appends the packets of what is next.
    pub fn play(&mut self, out: &mut Vec<u8>) {
        match self.next() {
            (_, Next::Tables) => self.play_tables(out),
            (at, Next::Picture) => self.play_picture(at, out),
            (_, Next::Sound) => self.play_sound(out),
            (at, Next::Clock) => {
                out.extend_from_slice(&clock_packet(VIDEO_PID, self.counters.video, clock(at)));
                self.clock_at = at;
            }
        }
    }

    fn next(&self) -> (u64, Next) {
        let picture_at = self.slate.video().rate.ticks(self.pictures, Pcr::RATE);
        let tables_at = self.tables.saturating_mul(Pcr::RATE / TABLES_PER_SECOND);
        let sound_at = self
            .slate
            .sound()
            .map(|sound| ticks_of_samples(self.sounds, sound.samples, sound.sample_rate, Pcr::RATE));
        // Before the first picture there is no clock to keep up.
        let clock_at = self.clock_at.saturating_add(CLOCK_INTERVAL);
        let clock_at = (self.pictures > 0 && clock_at < picture_at).then_some(clock_at);
        [
            Some((tables_at, Next::Tables)),
            Some((picture_at, Next::Picture)),
            sound_at.map(|at| (at, Next::Sound)),
            clock_at.map(|at| (at, Next::Clock)),
        ]
        .into_iter()
        .flatten()
        .min()
        .expect("there are always tables")
    }

    fn play_tables(&mut self, out: &mut Vec<u8>) {
        let counters = &mut self.counters;
        counters.pat =
            packetise(self.slate.pat(), Pid::PAT, counters.pat, |packet| out.extend_from_slice(packet));
        counters.pmt =
            packetise(self.slate.pmt(), PMT_PID, counters.pmt, |packet| out.extend_from_slice(packet));
        self.tables += 1;
    }

    fn play_picture(&mut self, at: u64, out: &mut Vec<u8>) {
        let video = self.slate.video();
        let count = u64::try_from(video.pictures.len()).expect("pictures are bounded");
        let index = usize::try_from(self.pictures % count).expect("less than the number of pictures");
        let picture = &video.pictures[index];
        let stamp = |number: u64| Pts::from_ticks(LEAD.saturating_add(video.rate.ticks(number, Pts::RATE)));
        let unit = AccessUnit {
            pid: VIDEO_PID,
            stream_id: VIDEO_STREAM_ID,
            // A picture later than needed: who plays it may have it shown later than the pictures before it, and decoded
            // in time.
            pts: stamp(self.pictures + picture.delay + 1),
            dts: stamp(self.pictures),
            pcr: Some(clock(at)),
            is_entry: picture.is_entry,
            data: &picture.bytes,
        };
        self.counters.video = unit.write(self.counters.video, out);
        self.pictures += 1;
        self.clock_at = at;
    }

    fn play_sound(&mut self, out: &mut Vec<u8>) {
        let sound = self.slate.sound().expect("only a slate with sound has one next");
        let ticks = ticks_of_samples(self.sounds, sound.samples, sound.sample_rate, Pts::RATE);
        let pts = Pts::from_ticks(LEAD.saturating_add(ticks));
        let unit = AccessUnit {
            pid: AUDIO_PID,
            stream_id: if matches!(sound.codec, Codec::Ac3 | Codec::Eac3) {
                PRIVATE_STREAM_ID
            } else {
                AUDIO_STREAM_ID
            },
            pts,
            dts: pts,
            pcr: None,
            is_entry: true,
            data: &sound.frame,
        };
        self.counters.audio = unit.write(self.counters.audio, out);
        self.sounds += 1;
    }
}

fn clock(at: u64) -> Pcr {
    Pcr::from_ticks(FIRST_PCR.ticks().saturating_add(at))
}

/// When frame `number` of `samples` each begins, in ticks of a clock of `rate`.
fn ticks_of_samples(number: u64, samples: u32, sample_rate: u32, rate: u64) -> u64 {
    let ticks = u128::from(number) * u128::from(samples) * u128::from(rate) / u128::from(sample_rate.max(1));
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::demux::SlateError;
    use super::super::frame_rate::of_hertz;
    use super::super::streams::{Picture, Sound, Video};
    use super::*;
    use crate::base::limits::PACKET_BYTES;
    use crate::ts::es::FrameRate;
    use crate::ts::{AdaptationField, Inspector, Packet};

    fn made_of(
        rate: FrameRate,
        delay: u64,
        samples: u32,
        sample_rate: u32,
    ) -> Result<Arc<Slate>, SlateError> {
        let picture = |index: u8| Picture {
            bytes: vec![index; 150 + usize::from(index) * 40],
            delay,
            is_entry: index == 0,
        };
        let video = Video {
            codec: Codec::Mpeg2Video,
            stream_type: 2,
            descriptors: Vec::new(),
            rate,
            pictures: (0..7).map(picture).collect(),
        };
        let sound = Sound {
            codec: Codec::Ac3,
            stream_type: 0x81,
            descriptors: b"\x05\x04AC-3".to_vec(),
            frame: vec![7; 384],
            samples,
            sample_rate,
        };
        Slate::new(video, Some(sound)).map(Arc::new)
    }

    /// The decoding time in a PES header.
    fn dts(payload: &[u8]) -> Pts {
        let at = if payload[7] & 0x40 == 0 { 9 } else { 14 };
        Pts::from_field(payload[at..at + 5].try_into().unwrap()).unwrap()
    }

    /// Plays for so many seconds and checks every packet against its time. Returns the pictures and the frames
    /// of sound that were played.
    fn check(slate: Arc<Slate>, seconds: u64) -> (u64, u64) {
        let mut player = Player::new(slate);
        let mut inspector = Inspector::new();
        let mut out = Vec::new();
        let (mut last_clock, mut last_tables, mut last_dts) = (None::<Pcr>, None::<u64>, [None::<Pts>; 2]);
        let (mut pictures, mut sounds, mut position, mut at) = (0, 0, 0, 0);
        while player.next_at() <= seconds * Pcr::RATE {
            assert!(player.next_at() >= at, "time goes back");
            at = player.next_at();
            out.clear();
            player.play(&mut out);
            let (packets, rest) = out.as_chunks::<PACKET_BYTES>();
            assert!(rest.is_empty() && !packets.is_empty());
            for bytes in packets {
                inspector.packet(position, bytes);
                position += 188;
                let packet = Packet::parse(bytes).unwrap();
                if let Some(pcr) = packet.adaptation_field().and_then(AdaptationField::pcr) {
                    assert_eq!(packet.pid(), VIDEO_PID);
                    assert_eq!(pcr, FIRST_PCR.plus(i64::try_from(at).unwrap()), "the clock is real time");
                    let gap = last_clock.map_or(0, |last| pcr.since(last));
                    assert!((0..=1_080_000).contains(&gap), "{gap} ticks between two clocks");
                    last_clock = Some(pcr);
                }
                if packet.pid() == Pid::PAT {
                    assert!(last_tables.is_none_or(|last| at - last == 2_700_000));
                    last_tables = Some(at);
                }
                if packet.pid() != Pid::PAT
                    && packet.pid() != PMT_PID
                    && packet.payload_unit_start_indicator()
                {
                    let dts = dts(packet.payload().unwrap());
                    let ahead = dts.since(Pcr::from_ticks(at).to_pts());
                    assert!(ahead.abs_diff(FIRST_DTS.since(FIRST_PCR.to_pts())) <= 1, "{ahead} ahead");
                    let index = usize::from(packet.pid() == AUDIO_PID);
                    assert!(last_dts[index].is_none_or(|last| dts.since(last) > 0), "decoding goes back");
                    last_dts[index] = Some(dts);
                    *(if index == 0 { &mut pictures } else { &mut sounds }) += 1;
                }
            }
        }
        let counts = inspector.counts();
        assert_eq!((counts.continuity_gaps, counts.duplicates, counts.transport_errors), (0, 0, 0));
        (pictures, sounds)
    }

    #[test]
    fn ten_minutes_are_ten_minutes_of_pictures_and_of_sound() {
        let (pictures, sounds) = check(Slate::built_in().unwrap(), 600);
        assert_eq!((pictures, sounds), (600 * 25 + 1, 600 * 48_000 / 1024 + 1));
    }

    #[test]
    fn odd_rates_keep_exact_time_for_minutes() {
        for (hertz, delay, samples, sample_rate) in [
            (23.976, 1, 1536, 44_100),
            (59.94, 0, 1152, 24_000),
            (5.0, 0, 1536, 48_000),
            (60.02, 2, 256, 32_000),
        ] {
            let rate = of_hertz(hertz);
            let (pictures, sounds) = check(made_of(rate, delay, samples, sample_rate).unwrap(), 300);
            let expected = 300 * u64::from(rate.num) / u64::from(rate.den);
            assert!(pictures.abs_diff(expected) <= 1, "{hertz}: {pictures} pictures");
            let expected = 300 * u64::from(sample_rate) / u64::from(samples);
            assert!(sounds.abs_diff(expected) <= 1, "{sample_rate}: {sounds} frames");
        }
    }

    #[test]
    fn every_loop_begins_with_an_entry_point() {
        let mut player = Player::new(Slate::built_in().unwrap());
        let mut inspector = Inspector::new();
        let (mut found, mut position, mut out) = (Vec::new(), 0, Vec::new());
        while player.next_at() < 20 * Pcr::RATE {
            out.clear();
            player.play(&mut out);
            for packet in out.as_chunks::<PACKET_BYTES>().0 {
                inspector.packet(position, packet);
                position += 188;
                found.extend(inspector.take_entry_point().map(|entry| (entry.pts, entry.parameter_sets)));
            }
        }
        let shown = |number: i64| FIRST_DTS.plus(number * 180_000 + 3600);
        let expected: Vec<_> = (0..10).map(|number| (Some(shown(number)), true)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_it_says_it_comes_to_is_what_it_comes_to() {
        for slate in [Slate::built_in().unwrap(), made_of(of_hertz(50.0), 0, 1536, 48_000).unwrap()] {
            let mut player = Player::new(Arc::clone(&slate));
            let mut out = Vec::new();
            while player.next_at() < 20 * Pcr::RATE {
                player.play(&mut out);
            }
            let actual = u64::try_from(out.len()).unwrap() / 20;
            let said = slate.bytes_per_second();
            assert!((actual..actual * 3).contains(&said), "{said} said, {actual} bytes per second");
        }
    }

    #[test]
    fn without_sound_there_is_none() {
        let slate = Slate::built_in().unwrap().without_sound().unwrap();
        assert_eq!(check(Arc::new(slate), 60), (60 * 25 + 1, 0));
    }
}
