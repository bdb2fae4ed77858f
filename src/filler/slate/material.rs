//! What a slate is made of.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::base::limits::PACKET_BYTES;
use crate::ts::psi::{
    PatProgramme, PmtStream, Programme, PsiTracker, SectionBuffer, packetise, pat_section, pmt_section,
};
use crate::ts::{ContinuityCounter, Packet, Pid};

use super::demux::{self, SlateError};
use super::streams::{Sound, Video};

/// What [`super::ffmpeg_arguments`] makes with ffmpeg 5.1 for 1280x720, 25 pictures per second and 48 kHz stereo:
///
/// ```text
/// ffmpeg -nostdin -f lavfi -i color=c=black:s=1280x720:r=25 -f lavfi -t 1 -i anullsrc=r=48000:cl=stereo
///   -vf "drawtext=expansion=none:text='Channel recovering...':x=(w-text_w)/2:y=(h-text_h)/2:fontsize=42:
///        fontcolor=white:box=1:boxcolor=black@0.45:boxborderw=12"
///   -frames:v 50 -c:v libx264 -preset veryfast -tune stillimage -profile:v high -sc_threshold 0
///   -x264-params keyint=50:min-keyint=50:scenecut=0:open-gop=0:repeat-headers=1:aud=1
///   -pix_fmt yuv420p -bf 0 -g 50 -keyint_min 50 -c:a aac -b:a 96k -ar 48000 -ac 2
///   -muxpreload 0 -muxdelay 0 -mpegts_flags +resend_headers -f mpegts src/filler/slate/builtin.ts
/// ```
const BUILT_IN: &[u8] = include_bytes!("builtin.ts");

/// How often the tables are sent.
pub(super) const TABLES_PER_SECOND: u64 = 10;

const PROGRAM_NUMBER: u16 = 1;
pub(super) const PMT_PID: Pid = pid(0x1000);
pub(super) const VIDEO_PID: Pid = pid(0x100);
pub(super) const AUDIO_PID: Pid = pid(0x101);

const fn pid(number: u16) -> Pid {
    match Pid::new(number) {
        Some(pid) => pid,
        None => panic!("it has thirteen bits"),
    }
}

/// A slate. See the module.
pub struct Slate {
    video: Video,
    sound: Option<Sound>,
    programme: Programme,
    pat: SectionBuffer,
    pmt: SectionBuffer,
}

impl Slate {
    /// Takes apart a transport stream of one GOP, as ffmpeg makes it.
    ///
    /// # Errors
    /// When it cannot be looped.
    pub fn parse(bytes: &[u8]) -> Result<Self, SlateError> {
        let (video, sound) = demux::demux(bytes)?;
        Self::new(video, sound)
    }

    /// The slate that is always there: 1280x720, H.264 and AAC. Parsed once.
    ///
    /// # Errors
    /// When it cannot be looped, which would be a fault of this program.
    pub fn built_in() -> Result<Arc<Self>, SlateError> {
        static PARSED: OnceLock<Result<Arc<Slate>, SlateError>> = OnceLock::new();
        PARSED.get_or_init(|| Self::parse(BUILT_IN).map(Arc::new)).clone()
    }

    /// The same without its silence. Made once, for all that play it.
    ///
    /// # Errors
    /// When it cannot be looped, which would be a fault of this program.
    pub fn built_in_without_sound() -> Result<Arc<Self>, SlateError> {
        static MADE: OnceLock<Result<Arc<Slate>, SlateError>> = OnceLock::new();
        MADE.get_or_init(|| Self::built_in()?.without_sound().map(Arc::new)).clone()
    }

    /// The same pictures without sound.
    ///
    /// # Errors
    /// When it cannot be looped.
    pub fn without_sound(&self) -> Result<Self, SlateError> {
        Self::new(self.video.clone(), None)
    }

    pub(super) fn new(video: Video, sound: Option<Sound>) -> Result<Self, SlateError> {
        let pat = pat_section(1, 0, &[PatProgramme { program_number: PROGRAM_NUMBER, pmt_pid: PMT_PID }]);
        let streams = [
            Some(PmtStream {
                pid: VIDEO_PID,
                stream_type: video.stream_type,
                descriptors: &video.descriptors,
            }),
            sound.as_ref().map(|sound| PmtStream {
                pid: AUDIO_PID,
                stream_type: sound.stream_type,
                descriptors: &sound.descriptors,
            }),
        ];
        let pmt = pmt_section(PROGRAM_NUMBER, 0, Some(VIDEO_PID), &[], streams.into_iter().flatten());
        let (Ok(pat), Ok(pmt)) = (pat, pmt) else { return Err(SlateError::Programme) };
        let programme = read_programme(&pat, &pmt).ok_or(SlateError::Programme)?;
        Ok(Self { video, sound, programme, pat, pmt })
    }

    /// The pictures.
    #[must_use]
    pub const fn video(&self) -> &Video {
        &self.video
    }

    /// The silence, if it has any.
    #[must_use]
    pub const fn sound(&self) -> Option<&Sound> {
        self.sound.as_ref()
    }

    /// The programme its packets belong to, on PIDs of its own.
    #[must_use]
    pub const fn programme(&self) -> &Programme {
        &self.programme
    }

    pub(super) const fn pat(&self) -> &SectionBuffer {
        &self.pat
    }

    pub(super) const fn pmt(&self) -> &SectionBuffer {
        &self.pmt
    }

    /// What it comes to as packets: an estimate that is a little high.
    #[must_use]
    pub fn bytes_per_second(&self) -> u64 {
        let packets = |bytes: usize| u64::try_from(bytes / (PACKET_BYTES - 4 - 8) + 2).unwrap_or(u64::MAX);
        let count = u64::try_from(self.video.pictures.len()).unwrap_or(u64::MAX).max(1);
        let of_gop: u64 = self.video.pictures.iter().map(|picture| packets(picture.bytes.len())).sum();
        let rate = self.video.rate;
        let of_video = of_gop * u64::from(rate.num) / (count * u64::from(rate.den));
        let of_sound = self.sound.as_ref().map_or(0, |sound| {
            packets(sound.frame.len()) * u64::from(sound.sample_rate) / u64::from(sound.samples.max(1))
        });
        let of_tables = 2 * TABLES_PER_SECOND;
        (of_video + of_sound + of_tables) * PACKET_BYTES as u64
    }
}

impl fmt::Debug for Slate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Slate")
            .field("video", &self.video.codec)
            .field("rate", &self.video.rate)
            .field("pictures", &self.video.pictures.len())
            .field("sound", &self.sound.as_ref().map(|sound| (sound.codec, sound.sample_rate)))
            .finish_non_exhaustive()
    }
}

/// The programme as a reader of these tables would find it.
fn read_programme(pat: &SectionBuffer, pmt: &SectionBuffer) -> Option<Programme> {
    let mut tracker = PsiTracker::default();
    for (section, pid) in [(pat, Pid::PAT), (pmt, PMT_PID)] {
        packetise(section, pid, ContinuityCounter::default(), |bytes| {
            if let Ok(packet) = Packet::parse(bytes) {
                tracker.packet(packet, true);
            }
        });
    }
    tracker.programme().cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::Codec;
    use crate::ts::StreamKind;

    #[test]
    fn the_built_in_slate_is_two_seconds_of_h264_with_silence() {
        let slate = Slate::built_in().unwrap();
        let (video, sound) = (slate.video(), slate.sound().unwrap());
        assert_eq!(
            (video.codec, video.rate.to_string().as_str(), video.pictures.len()),
            (Codec::H264, "25", 50)
        );
        assert!(video.pictures[0].is_entry);
        assert!(video.pictures[1..].iter().all(|picture| !picture.is_entry && picture.delay == 0));
        assert_eq!((sound.codec, sound.samples, sound.sample_rate), (Codec::Aac, 1024, 48_000));
        assert!(BUILT_IN.len() < 100 * 1024, "{} bytes", BUILT_IN.len());
    }

    #[test]
    fn its_programme_is_that_of_its_own_pids() {
        let slate = Slate::built_in().unwrap();
        let programme = slate.programme();
        assert_eq!(programme.pmt_pid, PMT_PID);
        assert_eq!(programme.pmt.pcr_pid, Some(VIDEO_PID));
        let streams: Vec<_> =
            programme.pmt.streams().iter().map(|stream| (stream.pid, stream.codec)).collect();
        assert_eq!(streams, [(VIDEO_PID, Codec::H264), (AUDIO_PID, Codec::Aac)]);

        let mute = slate.without_sound().unwrap();
        assert!(mute.sound().is_none());
        assert!(mute.programme().pmt.first(StreamKind::Audio).is_none());
        assert_eq!(mute.video(), slate.video());
    }
}
