//! The status document as far as it is shown. It comes from another process, perhaps from another host: what is missing is empty, and
//! no text of it can do anything to a terminal.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

/// Letters of one text, at most.
const LETTERS_MAX: usize = 200;

/// A text that may stand on a terminal: nothing in it moves the cursor, turns the direction of reading or cannot be seen.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(crate) struct Shown(String);

impl Shown {
    pub(crate) fn new(text: &str) -> Self {
        let shown = |letter| if moves_something(letter) { char::REPLACEMENT_CHARACTER } else { letter };
        Self(text.chars().take(LETTERS_MAX).map(shown).collect())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Control characters, those that turn the direction, joiners and marks that cannot be seen.
fn moves_something(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(letter, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        || matches!(letter, '\u{e0000}'..='\u{e007f}')
}

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self::new(&text))
    }
}

/// Milliseconds since 1970; 0 is never.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(super) struct Millis(pub(super) u64);

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let time = String::deserialize(from)?.parse::<Timestamp>();
        // A time before 1970 never was.
        Ok(time.ok().and_then(|time| u64::try_from(time.as_millisecond()).ok()).map_or(Self(0), Self))
    }
}

impl Millis {
    /// How long ago it was at another time; nothing when it never was.
    pub(super) fn before(self, now: Self) -> Option<std::time::Duration> {
        (self.0 > 0).then(|| std::time::Duration::from_millis(now.0.saturating_sub(self.0)))
    }
}

/// The whole document.
#[derive(Deserialize, Default, Debug)]
#[serde(default)]
pub(crate) struct Document {
    pub(super) generated_at: Millis,
    pub(super) started_at: Millis,
    pub(super) version: Shown,
    pub(super) tuner_count: usize,
    pub(super) in_use_count: usize,
    pub(super) tuners: Vec<Tuner>,
    pub(super) client_streams: Vec<Watching>,
    pub(super) session_history: Vec<Session>,
    pub(super) cores: Vec<CoreRow>,
}

/// A tuner in use.
#[derive(Deserialize, Clone, Default, Debug)]
#[serde(default)]
pub(crate) struct Tuner {
    pub(super) kind: Shown,
    pub(super) activity: Shown,
    pub(super) guide_number: Shown,
    pub(super) guide_name: Shown,
    pub(super) channel_id: i64,
    pub(super) source_id: i64,
    pub(super) source_stream_url: Shown,
    pub(super) resolution: Shown,
    pub(super) frame_rate: f64,
    pub(super) video_codec: Shown,
    pub(super) audio_codec: Shown,
    pub(super) current_bitrate_bps: u64,
    pub(super) session_started_at: Millis,
    pub(super) lease_started_at: Millis,
    pub(super) last_source_selected_at: Millis,
    pub(super) recovery_cycle: u64,
    pub(super) recovery_reason: Shown,
    pub(super) recovery_keepalive_mode: Shown,
    pub(super) recovery_keepalive_started_at: Millis,
    pub(super) recovery_keepalive_stopped_at: Millis,
}

/// A viewer.
#[derive(Deserialize, Clone, Default, Debug)]
#[serde(default)]
pub(crate) struct Watching {
    pub(super) channel_id: i64,
    pub(super) viewer_id: Shown,
    pub(super) client_addr: Shown,
    pub(super) connected_at: Millis,
    pub(super) delivery: Shown,
    pub(super) user_agent: Shown,
    pub(super) bytes_sent: u64,
    pub(super) lag_bytes: u64,
}

/// A session, of which only those that go on are looked at.
#[derive(Deserialize, Clone, Default, Debug)]
#[serde(default)]
pub(crate) struct Session {
    pub(super) channel_id: i64,
    pub(super) active: bool,
    pub(super) sources: Vec<Window>,
}

/// A time in which a source was shown.
#[derive(Deserialize, Clone, Default, Debug)]
#[serde(default)]
pub(crate) struct Window {
    pub(super) source_id: i64,
    pub(super) selected_at: Millis,
    pub(super) deselected_at: Millis,
    pub(super) selection_reason: Shown,
}

/// A core.
#[derive(Deserialize, Clone, Default, Debug)]
#[serde(default)]
pub(crate) struct CoreRow {
    pub(super) core: u64,
    pub(super) sent_bytes_total: u64,
    pub(super) busy_us_total: u64,
    pub(super) is_saturated: bool,
}

/// The sources of a channel.
#[derive(Deserialize, Default, Debug)]
#[serde(default)]
pub(crate) struct SourceList {
    pub(super) sources: Vec<Listed>,
}

/// A source in its place.
#[derive(Deserialize, Clone, Default, Debug)]
#[serde(default)]
pub(crate) struct Listed {
    pub(super) source_id: i64,
    pub(super) tvg_name: Shown,
    pub(super) enabled: bool,
    /// Seconds since 1970.
    pub(super) last_fail_at: u64,
    pub(super) last_fail_reason: Shown,
    pub(super) fail_count: u32,
    /// Seconds since 1970.
    pub(super) cooldown_until: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_a_cursor_is_left_of_a_text() {
        assert_eq!(Shown::new("\u{1b}[2JX\r\n\u{7}\u{9b}31m").as_str(), "�[2JX����31m");
        assert_eq!(Shown::new("a\u{202e}b\u{200b}c\u{feff}").as_str(), "a�b�c�");
        assert_eq!(Shown::new("Das Erste · 日本 é").as_str(), "Das Erste · 日本 é");
        assert_eq!(Shown::new(&"x".repeat(10_000)).as_str().len(), LETTERS_MAX);
    }

    #[test]
    fn what_a_document_lacks_is_empty_and_what_is_no_time_never_was() {
        let document: Document = serde_json::from_str(r#"{"tuners":[{"guide_number":"\u001b1"}]}"#).unwrap();
        assert_eq!(document.tuners[0].guide_number.as_str(), "\u{fffd}1");
        for text in ["\"0001-01-01T00:00:00Z\"", "\"soon\"", "\"\""] {
            assert_eq!(serde_json::from_str::<Millis>(text).unwrap(), Millis(0), "{text}");
        }
        assert_eq!(serde_json::from_str::<Millis>("\"1970-01-01T00:00:01.5Z\"").unwrap(), Millis(1_500));
        assert!(serde_json::from_str::<Document>("3").is_err(), "another server's answer");
    }
}
