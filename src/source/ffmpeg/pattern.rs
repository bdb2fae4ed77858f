//! The built-in test pattern: `test://pattern?bitrate=8000000&size=1280x720&rate=25`.
//!
//! A source that needs no provider, with what a broadcast has: a constant rate, a picture that moves, a tone, an
//! entry point every second and tables in front of every picture.

use crate::source::error::{Kind, SourceError};
use crate::source::ffmpeg::capabilities::{Capabilities, Feature};

/// What the address asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Pattern {
    bitrate: u64,
    width: u32,
    height: u32,
    rate: u32,
}

/// The argument list that makes the pattern of a `test:` address.
///
/// # Errors
/// When the address asks for what cannot be made, or ffmpeg cannot make it.
pub(super) fn arguments(
    url: &str,
    log_level: &str,
    capabilities: &Capabilities,
) -> Result<Vec<String>, SourceError> {
    let pattern = parse(url).map_err(|what| SourceError::new(Kind::Unusable, &what))?;
    if !capabilities.has(Feature::X264) {
        return Err(SourceError::spawn("the installed ffmpeg cannot encode H.264 (libx264)"));
    }
    let Pattern { width, height, rate, bitrate } = pattern;
    let video = pattern.video_bitrate().to_string();
    let picture = format!("testsrc2=size={width}x{height}:rate={rate}");
    let tone = "sine=frequency=1000:sample_rate=48000";
    let gop = rate.to_string();
    let buffer = (pattern.video_bitrate() / 2).to_string();
    let total = bitrate.to_string();
    let mut list = vec!["-hide_banner", "-loglevel", log_level, "-nostdin"];
    list.extend(["-re", "-f", "lavfi", "-i", &picture, "-re", "-f", "lavfi", "-i", tone]);
    list.extend(["-map", "0:v:0", "-map", "1:a:0"]);
    list.extend(["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p"]);
    list.extend(["-g", &gop, "-keyint_min", &gop, "-sc_threshold", "0"]);
    // The encoder fills up what the picture does not need, so that the rate is made of video, as on air, and the
    // multiplexer adds next to no null packets.
    list.extend(["-x264-params", "nal-hrd=cbr:force-cfr=1:open-gop=0"]);
    list.extend(["-b:v", &video, "-maxrate", &video, "-bufsize", &buffer]);
    list.extend(["-c:a", "aac", "-b:a", "128k", "-ar", "48000", "-ac", "2"]);
    list.extend(["-muxrate", &total]);
    let flags =
        [(Feature::ResendHeaders, "+resend_headers"), (Feature::PatPmtAtFrames, "+pat_pmt_at_frames")]
            .into_iter()
            .filter(|&(feature, _)| capabilities.has(feature))
            .map(|(_, flag)| flag)
            .collect::<String>();
    if !flags.is_empty() {
        list.extend(["-mpegts_flags", &flags]);
    }
    list.extend(["-f", "mpegts", "pipe:1"]);
    Ok(list.into_iter().map(str::to_owned).collect())
}

impl Pattern {
    /// What remains for the video: 5 % is packet headers; the tone takes 170 kbit/s with its packets, and each
    /// picture two packets of tables and, on average, one of stuffing.
    fn video_bitrate(self) -> u64 {
        const TONE: u64 = 170_000;
        const PER_PICTURE: u64 = 3 * 188 * 8;
        self.bitrate.saturating_sub(TONE + u64::from(self.rate) * PER_PICTURE) / 100 * 95
    }
}

/// Reads the address, or says what is wrong with it.
fn parse(url: &str) -> Result<Pattern, String> {
    let mut pattern = Pattern { bitrate: 8_000_000, width: 1280, height: 720, rate: 25 };
    let query = url.trim().split_once('?').map_or("", |(_, query)| query.split('#').next().unwrap_or(""));
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match key {
            "bitrate" => pattern.bitrate = number(key, value, 1_000_000, 100_000_000)?,
            "rate" => pattern.rate = side(key, value, 1, 60)?,
            "size" => {
                let (width, height) = value.split_once('x').unwrap_or((value, ""));
                pattern.width = side("size", width, 16, 3840)?;
                pattern.height = side("size", height, 16, 2160)?;
                if pattern.width % 2 == 1 || pattern.height % 2 == 1 {
                    return Err(format!("test pattern: size {value} is odd"));
                }
            }
            _unknown => return Err(format!("test pattern: unknown setting {key:?}")),
        }
    }
    Ok(pattern)
}

fn number(key: &str, text: &str, min: u64, max: u64) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| format!("test pattern: {key} {text:?} is outside {min}..={max}"))
}

fn side(key: &str, text: &str, min: u32, max: u32) -> Result<u32, String> {
    let number = number(key, text, u64::from(min), u64::from(max))?;
    Ok(u32::try_from(number).expect("within max, which is a u32"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused_with_a_sentence() {
        let default = Pattern { bitrate: 8_000_000, width: 1280, height: 720, rate: 25 };
        for (url, expected) in [
            ("test://pattern", Ok(default)),
            ("test:", Ok(default)),
            (
                "test://pattern?bitrate=2000000&size=640x360&rate=50#x",
                Ok(Pattern { bitrate: 2_000_000, width: 640, height: 360, rate: 50 }),
            ),
            ("test://pattern?bitrate=99", Err("test pattern: bitrate \"99\" is outside 1000000..=100000000")),
            ("test://pattern?rate=0", Err("test pattern: rate \"0\" is outside 1..=60")),
            ("test://pattern?size=641x360", Err("test pattern: size 641x360 is odd")),
            ("test://pattern?size=640", Err("test pattern: size \"\" is outside 16..=2160")),
            (
                "test://pattern?size=640x360,drawbox",
                Err("test pattern: size \"360,drawbox\" is outside 16..=2160"),
            ),
            ("test://pattern?colour=red", Err("test pattern: unknown setting \"colour\"")),
        ] {
            assert_eq!(parse(url), expected.map_err(str::to_owned), "{url}");
        }
    }

    #[test]
    fn every_allowed_pattern_leaves_bits_for_the_video() {
        for (bitrate, rate) in [(1_000_000, 60), (1_000_000, 1), (100_000_000, 25)] {
            let video = Pattern { bitrate, width: 1280, height: 720, rate }.video_bitrate();
            assert!(video > bitrate / 2 && video < bitrate, "{video} of {bitrate}");
        }
    }
}
