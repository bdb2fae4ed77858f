//! What the start of a source has shown, for status and history.

use crate::source::cutover::Cutover;
use crate::ts::{
    Codec, CodecSet, ComponentState, Inventory, InventoryMethod, StreamKind, StreamProfile, codec_name,
};

/// Why ffmpeg was given a second, longer look.
const RELAXED_REASON: &str = "startup_detection_incomplete";

/// How the components of a source were come by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Method {
    /// From the programme's PMT.
    Pmt,
    /// From PES packets seen.
    Pes,
    /// Not at all.
    #[default]
    None,
    /// From what was stored of the source before.
    PersistedProfile,
}

impl Method {
    /// The word for it in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pmt => InventoryMethod::Pmt.as_str(),
            Self::Pes => InventoryMethod::Pes.as_str(),
            Self::None => InventoryMethod::None.as_str(),
            Self::PersistedProfile => "persisted_profile",
        }
    }
}

impl From<InventoryMethod> for Method {
    fn from(method: InventoryMethod) -> Self {
        match method {
            InventoryMethod::Pmt => Self::Pmt,
            InventoryMethod::Pes => Self::Pes,
            InventoryMethod::None => Self::None,
        }
    }
}

/// One start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StartupFacts {
    /// What was read and what was kept of it.
    pub cutover: Cutover,
    /// The codec of the pictures that viewers start with, once there is one to start with.
    pub random_access: Option<Codec>,
    /// How the components were come by.
    pub method: Method,
    /// Video streams.
    pub video_streams: u32,
    /// Audio streams.
    pub audio_streams: u32,
    /// Names, joined with commas.
    pub video_codecs: String,
    /// Names, joined with commas.
    pub audio_codecs: String,
    /// It took ffmpeg a second, longer look.
    pub relaxed_retry: bool,
}

impl StartupFacts {
    /// Of a start that succeeded. `entry` is the codec of the stream in which its entry point was found.
    #[must_use]
    pub fn new(cutover: Cutover, inventory: &Inventory, entry: Option<Codec>, relaxed_retry: bool) -> Self {
        let count = |streams: usize| u32::try_from(streams).unwrap_or(u32::MAX);
        let random_access = entry.filter(|codec| codec.kind() == StreamKind::Video);
        let found = random_access.filter(|_| inventory.video_streams > 0);
        let video_codecs: CodecSet = inventory.video_codecs.iter().chain(found).collect();
        Self {
            cutover,
            random_access,
            method: inventory.method.into(),
            video_streams: count(inventory.video_streams),
            audio_streams: count(inventory.audio_streams),
            video_codecs: video_codecs.to_string(),
            audio_codecs: inventory.audio_codecs.to_string(),
            relaxed_retry,
        }
    }

    /// The same, with what was stored of the source before when the start has not shown any component.
    #[must_use]
    pub fn enriched(self, stored: &StreamProfile) -> Self {
        let [video, audio] =
            [&stored.video_codec, &stored.audio_codec].map(|codec| codec_name(codec.as_ref()).to_owned());
        if self.component_state() != ComponentState::Undetected || video.is_empty() && audio.is_empty() {
            return self;
        }
        Self {
            method: if self.method == Method::None { Method::PersistedProfile } else { self.method },
            video_streams: u32::from(!video.is_empty()),
            audio_streams: u32::from(!audio.is_empty()),
            video_codecs: video,
            audio_codecs: audio,
            ..self
        }
    }

    /// Which kinds of components there are.
    #[must_use]
    pub const fn component_state(&self) -> ComponentState {
        ComponentState::of(self.video_streams > 0, self.audio_streams > 0)
    }

    /// Whether viewers start with a picture.
    #[must_use]
    pub const fn random_access_ready(&self) -> bool {
        self.random_access.is_some()
    }

    /// The name of the codec of the picture that viewers start with.
    #[must_use]
    pub fn random_access_codec(&self) -> Option<&'static str> {
        self.random_access.map(Codec::as_str)
    }

    /// Why ffmpeg was given a second look, if it was.
    #[must_use]
    pub fn relaxed_retry_reason(&self) -> Option<&'static str> {
        self.relaxed_retry.then_some(RELAXED_REASON)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::ProfileCodec;

    fn stored(video: &str, audio: &str) -> StreamProfile {
        StreamProfile {
            video_codec: ProfileCodec::of_name(video),
            audio_codec: ProfileCodec::of_name(audio),
            ..StreamProfile::default()
        }
    }

    fn of_pmt(video: &[Codec], audio: &[Codec]) -> Inventory {
        Inventory {
            method: InventoryMethod::Pmt,
            video_streams: video.len(),
            audio_streams: audio.len(),
            video_codecs: video.iter().copied().collect(),
            audio_codecs: audio.iter().copied().collect(),
        }
    }

    /// Method, counts, codecs and state.
    fn words(facts: &StartupFacts) -> String {
        let StartupFacts { method, video_streams, audio_streams, video_codecs, audio_codecs, .. } = facts;
        let state = facts.component_state().as_str();
        format!("{} {video_streams}/{audio_streams} {video_codecs}/{audio_codecs} {state}", method.as_str())
    }

    #[test]
    fn a_programme_is_told_by_its_pmt() {
        let inventory = of_pmt(&[Codec::H264], &[Codec::Ac3, Codec::Aac]);
        let facts = StartupFacts::new(Cutover::default(), &inventory, Some(Codec::H264), false);
        assert_eq!(words(&facts), "pmt 1/2 h264/aac,ac3 video_audio");
        assert!(facts.random_access_ready());
        assert_eq!(facts.random_access_codec(), Some("h264"));
        assert_eq!(facts.relaxed_retry_reason(), None);
        assert_eq!(facts.clone().enriched(&stored("hevc", "mp2")), facts, "what was detected stays");
    }

    #[test]
    fn the_start_of_radio_is_no_picture() {
        let inventory = of_pmt(&[], &[Codec::Aac]);
        let facts = StartupFacts::new(Cutover::default(), &inventory, Some(Codec::Aac), true);
        assert_eq!(words(&facts), "pmt 0/1 /aac audio_only");
        assert!(!facts.random_access_ready());
        assert_eq!(facts.random_access_codec(), None);
        assert_eq!(facts.relaxed_retry_reason(), Some("startup_detection_incomplete"));
    }

    #[test]
    fn pes_packets_have_the_codec_that_viewers_start_with() {
        let inventory = Inventory {
            method: InventoryMethod::Pes,
            video_streams: 1,
            audio_streams: 1,
            ..Inventory::default()
        };
        let facts = StartupFacts::new(Cutover::default(), &inventory, Some(Codec::H264), false);
        assert_eq!(words(&facts), "pes 1/1 h264/ video_audio");
        let nothing = StartupFacts::new(Cutover::default(), &Inventory::default(), Some(Codec::H264), false);
        assert_eq!(words(&nothing), "none 0/0 / undetected", "no stream, no codec");
    }

    #[test]
    fn what_was_stored_fills_in_for_what_was_not_detected() {
        for (video, audio, expected) in [
            ("h264", "aac", "persisted_profile 1/1 h264/aac video_audio"),
            (" HEVC ", "", "persisted_profile 1/0 hevc/ video_only"),
            ("", "aac", "persisted_profile 0/1 /aac audio_only"),
            ("", "", "none 0/0 / undetected"),
            (" \t", " ", "none 0/0 / undetected"),
        ] {
            assert_eq!(words(&StartupFacts::default().enriched(&stored(video, audio))), expected);
        }
    }
}
