//! What components a source has: for operators, and for the decision whether it is worth showing.

use crate::ts::codec::{CodecSet, StreamKind};
use crate::ts::packet::Pid;
use crate::ts::pes::PesKind;
use crate::ts::psi::Pmt;

/// PIDs told apart by their PES packets alone, per kind. Further ones are not counted.
const PES_PIDS_MAX: usize = 16;

/// How an inventory was come by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum InventoryMethod {
    /// From the programme's PMT: complete.
    Pmt,
    /// From PES packets seen: what was there, not what it was.
    Pes,
    /// Nothing was seen.
    #[default]
    None,
}

impl InventoryMethod {
    /// The name shown to operators.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pmt => "pmt",
            Self::Pes => "pes",
            Self::None => "none",
        }
    }
}

/// Which kinds of components there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ComponentState {
    /// Pictures and sound.
    VideoAudio,
    /// Pictures alone.
    VideoOnly,
    /// Sound alone.
    AudioOnly,
    /// Neither was found.
    Undetected,
}

impl ComponentState {
    /// The state of a source that has, or has not, each kind.
    #[must_use]
    pub const fn of(has_video: bool, has_audio: bool) -> Self {
        match (has_video, has_audio) {
            (true, true) => Self::VideoAudio,
            (true, false) => Self::VideoOnly,
            (false, true) => Self::AudioOnly,
            (false, false) => Self::Undetected,
        }
    }

    /// The name shown to operators.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VideoAudio => "video_audio",
            Self::VideoOnly => "video_only",
            Self::AudioOnly => "audio_only",
            Self::Undetected => "undetected",
        }
    }
}

/// The components of a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Inventory {
    /// How it was come by.
    pub method: InventoryMethod,
    /// Video streams.
    pub video_streams: usize,
    /// Audio streams.
    pub audio_streams: usize,
    /// What the video streams carry; empty unless the PMT told.
    pub video_codecs: CodecSet,
    /// What the audio streams carry; empty unless the PMT told.
    pub audio_codecs: CodecSet,
}

impl Inventory {
    /// The inventory of a programme. A PMT without pictures and sound says as little as none.
    #[must_use]
    pub fn of_pmt(pmt: &Pmt) -> Self {
        let codecs = |kind| {
            pmt.streams().iter().filter(move |stream| stream.kind() == kind).map(|stream| stream.codec)
        };
        let video_streams = codecs(StreamKind::Video).count();
        let audio_streams = codecs(StreamKind::Audio).count();
        Self {
            method: if video_streams + audio_streams > 0 {
                InventoryMethod::Pmt
            } else {
                InventoryMethod::None
            },
            video_streams,
            audio_streams,
            video_codecs: codecs(StreamKind::Video).collect(),
            audio_codecs: codecs(StreamKind::Audio).collect(),
        }
    }

    /// Which kinds of components there are.
    #[must_use]
    #[cfg(any(test, feature = "sim"))]
    pub const fn component_state(&self) -> ComponentState {
        ComponentState::of(self.video_streams > 0, self.audio_streams > 0)
    }
}

/// PIDs on which PES packets were seen to start, for sources whose PMT does not come.
#[derive(Debug, Default)]
pub(crate) struct PesSightings {
    video: PidSet,
    audio: PidSet,
}

#[derive(Debug)]
struct PidSet {
    pids: [Pid; PES_PIDS_MAX],
    used: usize,
}

impl Default for PidSet {
    fn default() -> Self {
        Self { pids: [Pid::NULL; PES_PIDS_MAX], used: 0 }
    }
}

impl PidSet {
    fn insert(&mut self, pid: Pid) {
        if self.used < PES_PIDS_MAX && !self.pids[..self.used].contains(&pid) {
            self.pids[self.used] = pid;
            self.used += 1;
        }
    }
}

impl PesSightings {
    pub(crate) fn saw(&mut self, pid: Pid, kind: PesKind) {
        match kind {
            PesKind::Video => self.video.insert(pid),
            PesKind::Audio => self.audio.insert(pid),
            PesKind::Other => {}
        }
    }

    pub(crate) fn inventory(&self) -> Inventory {
        let seen = self.video.used + self.audio.used > 0;
        Inventory {
            method: if seen { InventoryMethod::Pes } else { InventoryMethod::None },
            video_streams: self.video.used,
            audio_streams: self.audio.used,
            ..Inventory::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::psi::Section;
    use crate::ts::testing::section;

    fn of_types(stream_types: &[u8]) -> Inventory {
        let mut body = vec![0xE1, 0x00, 0xF0, 0x00];
        for (stream_type, pid) in stream_types.iter().zip(0u8..) {
            body.extend([*stream_type, 0xE1, pid, 0xF0, 0x00]);
        }
        let bytes = section(0x02, 1, 0, &body);
        Inventory::of_pmt(&Pmt::parse(Section::parse(&bytes).unwrap()).unwrap())
    }

    #[test]
    fn a_pmt_tells_components_and_codecs() {
        let table: &[(&[u8], &str, &str, &str, &str)] = &[
            (&[0x1B, 0x0F], "pmt", "video_audio", "h264", "aac"),
            (&[0x24, 0x87, 0x03, 0x0F], "pmt", "video_audio", "hevc", "aac,eac3,mpeg1audio"),
            (&[0x1B, 0x1B], "pmt", "video_only", "h264", ""),
            (&[0x04], "pmt", "audio_only", "", "mpeg2audio"),
            (&[0x05, 0x06], "none", "undetected", "", ""),
        ];
        for (stream_types, method, state, video, audio) in table {
            let inventory = of_types(stream_types);
            let found = (
                inventory.method.as_str(),
                inventory.component_state().as_str(),
                inventory.video_codecs.to_string(),
                inventory.audio_codecs.to_string(),
            );
            assert_eq!(
                found,
                (*method, *state, (*video).to_owned(), (*audio).to_owned()),
                "{stream_types:x?}"
            );
        }
        assert_eq!(of_types(&[0x1B, 0x1B]).video_streams, 2);
    }

    #[test]
    fn pes_packets_tell_distinct_pids_without_codecs() {
        let mut sightings = PesSightings::default();
        assert_eq!(sightings.inventory(), Inventory::default());
        for (pid, kind) in [
            (0x100, PesKind::Video),
            (0x101, PesKind::Audio),
            (0x101, PesKind::Audio),
            (0x102, PesKind::Audio),
            (0x103, PesKind::Other),
        ] {
            sightings.saw(Pid::new(pid).unwrap(), kind);
        }
        let inventory = sightings.inventory();
        assert_eq!(inventory.method.as_str(), "pes");
        assert_eq!((inventory.video_streams, inventory.audio_streams), (1, 2));
        assert!(inventory.video_codecs.is_empty() && inventory.audio_codecs.is_empty());
    }
}
