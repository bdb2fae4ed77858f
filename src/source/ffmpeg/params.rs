//! The settings ffmpeg is run with.

use std::time::Duration;

use crate::source::mode::Mode;

/// The settings of sources that ffmpeg reads. Values outside their range act as the setting's documentation says;
/// nothing here can make an argument list invalid.
#[derive(Clone, PartialEq, Debug)]
pub struct FfmpegParams {
    /// What ffmpeg says on its standard error.
    pub log_level: LogLevel,
    /// `PRODUCER_READRATE`: how much faster than real time input is read. Not above zero acts as 1.
    pub readrate: f64,
    /// `PRODUCER_READRATE_CATCHUP`: the same while behind. Below `readrate` acts as `readrate`.
    pub readrate_catchup: f64,
    /// `PRODUCER_INITIAL_BURST`: seconds read unpaced at first. 0 acts as 1.
    pub initial_burst_seconds: u32,
    /// `FFMPEG_INPUT_BUFFER_SIZE`: socket buffer of datagram inputs; 0 leaves it to ffmpeg.
    pub input_buffer_bytes: u32,
    /// How long ffmpeg looks at an input before it starts.
    pub detection: Detection,
    /// What ffmpeg does when an HTTP input breaks.
    pub reconnect: Reconnect,
    /// `FFMPEG_RW_TIMEOUT`: no byte for this long ends ffmpeg; zero waits for ever.
    pub rw_timeout: Duration,
    /// `FFMPEG_COPY_REGENERATE_TIMESTAMPS`: unset means yes when copying.
    pub copy_regenerate_timestamps: Option<bool>,
    /// `FFMPEG_DISCARD_CORRUPT`
    pub discard_corrupt: bool,
}

impl Default for FfmpegParams {
    fn default() -> Self {
        Self {
            log_level: LogLevel::default(),
            readrate: 1.0,
            readrate_catchup: 1.75,
            initial_burst_seconds: 10,
            input_buffer_bytes: 0,
            detection: Detection::default(),
            reconnect: Reconnect {
                enabled: true,
                delay_max: Duration::from_secs(3),
                retries_max: 1,
                http_errors: String::new(),
            },
            rw_timeout: Duration::from_secs(3),
            copy_regenerate_timestamps: None,
            discard_corrupt: true,
        }
    }
}

/// The level of ffmpeg's log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum LogLevel {
    /// Failures alone.
    Error,
    /// Failures and what may become one.
    #[default]
    Warning,
    /// What ffmpeg prints by default.
    Info,
    /// Everything.
    Debug,
}

impl LogLevel {
    /// ffmpeg's word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    /// The same with every line's own level in front of it, and at least what ffmpeg says of its input. Repeated lines stay one.
    pub(super) const fn listing_name(self) -> &'static str {
        match self {
            Self::Error | Self::Warning | Self::Info => "+level+info",
            Self::Debug => "+level+debug",
        }
    }
}

/// `FFMPEG_STARTUP_PROBESIZE_BYTES` and `FFMPEG_STARTUP_ANALYZEDURATION`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Detection {
    /// Bytes looked at; 0 acts as 1,000,000, and less than 128,000 as 128,000.
    pub probe_bytes: u64,
    /// Time looked at; zero acts as 1.5 s, and less than 1 s as 1 s.
    pub analyze: Duration,
}

impl Default for Detection {
    fn default() -> Self {
        Self { probe_bytes: 1_000_000, analyze: Duration::from_millis(1500) }
    }
}

impl Detection {
    /// The values that are passed on.
    #[must_use]
    pub fn effective(self) -> Self {
        let default = Self::default();
        Self {
            probe_bytes: if self.probe_bytes == 0 {
                default.probe_bytes
            } else {
                self.probe_bytes.max(128_000)
            },
            analyze: if self.analyze.is_zero() {
                default.analyze
            } else {
                self.analyze.max(Duration::from_secs(1))
            },
        }
    }

    /// A look that suffices for most transport streams: their tables name the streams, and the first packets of each
    /// tell the rest. `bits_per_second` is what is known of the source, or zero.
    #[must_use]
    pub fn quick(self, bits_per_second: u64) -> Self {
        let full = self.effective();
        let millis = u64::try_from(QUICK_TIME.as_millis()).unwrap_or(u64::MAX);
        let wanted = (bits_per_second / 8).saturating_mul(millis) / 1000;
        Self {
            probe_bytes: full.probe_bytes.min(wanted.max(QUICK_BYTES)),
            analyze: full.analyze.min(QUICK_TIME),
        }
    }

    /// A longer look for a second attempt, after a quick one.
    #[must_use]
    pub fn after_quick(self, left: Duration) -> Option<Self> {
        (left > RELAXED_TIME_MIN).then(|| self.relaxed(left).unwrap_or_else(|| self.effective()))
    }

    /// A second look after a quick one that has seen sound only. It waits for the tables that say whether there are pictures, not
    /// for pictures: see [`Run::may_be_radio`](super::Run::may_be_radio).
    #[must_use]
    pub fn after_sound(self, left: Duration) -> Option<Self> {
        self.after_quick(left).map(|longer| Self { analyze: longer.analyze.min(LISTED_TIME), ..longer })
    }

    /// A second look when something listed had not come in the first: what goes on to be silent after it is taken for silent.
    #[must_use]
    pub fn for_silent(self, left: Duration) -> Option<Self> {
        self.after_quick(left).map(|longer| Self { analyze: longer.analyze.min(SILENT_TIME), ..longer })
    }

    /// A longer look for a second attempt, when the first missed the video or the audio of a programme. `None`
    /// when the first look was as long already, or too little time is left for a second.
    #[must_use]
    pub fn relaxed(self, left: Duration) -> Option<Self> {
        let first = self.effective();
        let second = Self {
            probe_bytes: first.probe_bytes.max(2_000_000),
            analyze: first.analyze.max(Duration::from_secs(3)),
        };
        (second != first && left > RELAXED_TIME_MIN).then_some(second)
    }
}

/// What a quick look takes in, at least, unless that is more than this time.
const QUICK_BYTES: u64 = 200_000;
const QUICK_TIME: Duration = Duration::from_millis(400);
/// A look that begins when the tables have come, and need not see pictures.
const LISTED_TIME: Duration = Duration::from_millis(200);
/// What has not come in this time of a stream that is sent at its own rate does not come.
const SILENT_TIME: Duration = Duration::from_secs(1);
/// A second attempt with less time than this would end in a timeout and hide what the first one found.
const RELAXED_TIME_MIN: Duration = Duration::from_millis(250);

/// `FFMPEG_RECONNECT_*`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reconnect {
    /// Whether ffmpeg reconnects at all.
    pub enabled: bool,
    /// The longest pause between attempts.
    pub delay_max: Duration,
    /// Attempts; −1 leaves it to ffmpeg.
    pub retries_max: i32,
    /// HTTP statuses after which to reconnect, as ffmpeg lists them.
    pub http_errors: String,
}

impl Reconnect {
    /// The values in effect for a mode. All unset in a mode of ffmpeg is off, 3 s, one attempt; `direct` has none.
    #[must_use]
    pub fn normalised(&self, mode: Mode) -> Self {
        let off =
            Self { enabled: false, delay_max: Duration::ZERO, retries_max: 0, http_errors: String::new() };
        let given = Self {
            enabled: self.enabled,
            delay_max: self.delay_max,
            retries_max: self.retries_max.max(-1),
            http_errors: self.http_errors.trim().to_owned(),
        };
        match mode {
            Mode::Direct => off,
            Mode::Auto | Mode::FfmpegCopy | Mode::FfmpegTranscode if given == off => {
                Self { delay_max: Duration::from_secs(3), retries_max: 1, ..off }
            }
            Mode::Auto | Mode::FfmpegCopy | Mode::FfmpegTranscode => given,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconnecting_is_normalised_by_mode() {
        let reconnect = |enabled, seconds, retries_max, list: &str| Reconnect {
            enabled,
            delay_max: Duration::from_secs(seconds),
            retries_max,
            http_errors: list.to_owned(),
        };
        for (mode, given, expected) in [
            (Mode::FfmpegCopy, reconnect(false, 0, 0, ""), reconnect(false, 3, 1, "")),
            (Mode::Auto, reconnect(false, 0, 0, " "), reconnect(false, 3, 1, "")),
            (Mode::FfmpegCopy, reconnect(false, 3, 2, "404,429,5xx"), reconnect(false, 3, 2, "404,429,5xx")),
            (Mode::FfmpegCopy, reconnect(true, 0, 0, ""), reconnect(true, 0, 0, "")),
            (Mode::Direct, reconnect(true, 9, 9, "404"), reconnect(false, 0, 0, "")),
            (Mode::FfmpegTranscode, reconnect(true, 0, -3, "  429,503  "), reconnect(true, 0, -1, "429,503")),
        ] {
            assert_eq!(given.normalised(mode), expected, "{mode} {given:?}");
        }
    }

    #[test]
    fn detection_has_floors_and_grows_once() {
        let detection =
            |probe_bytes, millis| Detection { probe_bytes, analyze: Duration::from_millis(millis) };
        for (given, effective, relaxed) in [
            (detection(0, 0), detection(1_000_000, 1500), Some(detection(2_000_000, 3000))),
            (detection(5, 10), detection(128_000, 1000), Some(detection(2_000_000, 3000))),
            (detection(16_384, 100), detection(128_000, 1000), Some(detection(2_000_000, 3000))),
            (detection(3_000_000, 1500), detection(3_000_000, 1500), Some(detection(3_000_000, 3000))),
            (detection(2_000_000, 3000), detection(2_000_000, 3000), None),
        ] {
            assert_eq!(given.effective(), effective, "{given:?}");
            assert_eq!(given.relaxed(Duration::from_secs(5)), relaxed, "{given:?}");
        }
        for (left_ms, expected) in [(250, false), (251, true)] {
            assert_eq!(
                Detection::default().relaxed(Duration::from_millis(left_ms)).is_some(),
                expected,
                "{left_ms} ms"
            );
        }
    }

    #[test]
    fn a_quick_look_follows_the_rate_and_is_never_longer_than_the_usual_one() {
        let usual = Detection::default();
        for (given, rate, expected) in [
            (usual, 0, 200_000),
            (usual, 4_000_000, 200_000),
            (usual, 16_000_000, 800_000),
            (usual, 80_000_000, 1_000_000),
            (Detection { probe_bytes: 150_000, ..usual }, 0, 150_000),
        ] {
            let quick = given.quick(rate);
            assert_eq!((quick.probe_bytes, quick.analyze), (expected, QUICK_TIME), "{given:?} at {rate}");
        }
        let left = Duration::from_secs(5);
        assert_eq!(usual.after_quick(left), usual.relaxed(left));
        let long = Detection { probe_bytes: 3_000_000, analyze: Duration::from_secs(4) };
        assert_eq!(long.after_quick(left), Some(long), "it is longer than a quick one");
        assert_eq!(long.after_quick(RELAXED_TIME_MIN), None);
    }
}
