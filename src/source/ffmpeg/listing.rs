//! What ffmpeg finds in its input, as it says so on its standard error before it writes anything.
//!
//! A multiplex has several programmes, and each quality of HLS is one to ffmpeg. Which numbers they have is known only then.

use crate::source::ffmpeg::params::LogLevel;
use crate::source::hls::VariantMax;

/// What ffmpeg has said of its input.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listing {
    programmes: Vec<ListedProgramme>,
    place: Section,
}

/// Where in ffmpeg's words a line stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Section {
    #[default]
    Before,
    /// Among what belongs to the input, and to the last programme if there is one.
    Programme,
    /// What belongs to none.
    Loose,
    After,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct ListedProgramme {
    number: u16,
    has_picture: bool,
    has_sound: bool,
    /// Subtitles or data, of which nothing may come for long.
    has_sparse: bool,
    height: u32,
    /// What its list says; nothing else than HLS does.
    bandwidth: Option<u64>,
}

impl ListedProgramme {
    const fn is_shown(&self) -> bool {
        self.has_picture || self.has_sound
    }
}

impl Listing {
    /// The next line, without the level in front of it.
    pub fn push(&mut self, line: &str) {
        let words = line.trim();
        match self.place {
            Section::After => {}
            _ if ["Output #", "Stream mapping:"].iter().any(|head| words.starts_with(head)) => {
                self.place = Section::After;
            }
            Section::Before if words.starts_with("Input #") => self.place = Section::Loose,
            Section::Before => {}
            Section::Programme | Section::Loose => self.listed(words),
        }
    }

    fn listed(&mut self, words: &str) {
        if words == "No Program" {
            self.place = Section::Loose;
        } else if let Some(rest) = words.strip_prefix("Program ") {
            let number = rest.split_whitespace().next().and_then(|word| word.parse().ok());
            if let Some(number) = number.filter(|_| self.programmes.len() < PROGRAMMES_MAX) {
                self.programmes.push(ListedProgramme { number, ..ListedProgramme::default() });
                self.place = Section::Programme;
            }
        } else if let (Section::Programme, Some(programme)) = (self.place, self.programmes.last_mut()) {
            if let Some(rest) = words.strip_prefix("variant_bitrate") {
                programme.bandwidth = rest.trim_start_matches([' ', ':']).parse().ok();
            } else if words.starts_with("Stream #") {
                programme.has_sound |= words.contains(": Audio: ");
                programme.has_sparse |= [": Subtitle: ", ": Data: "].iter().any(|kind| words.contains(kind));
                if words.contains(": Video: ") && !words.contains("(attached pic)") {
                    programme.has_picture = true;
                    programme.height = programme.height.max(height(words).unwrap_or(0));
                }
            }
        }
    }

    /// Everything has been said of the input.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        matches!(self.place, Section::After)
    }

    /// A programme has to be asked for by its number: there are several, or the only one has streams for which ffmpeg would hold the
    /// others back unless it is told not to.
    #[must_use]
    pub fn needs_choice(&self) -> bool {
        let mut shown = self.programmes.iter().filter(|programme| programme.is_shown());
        shown.next().is_some_and(|first| first.has_sparse || shown.next().is_some())
    }

    /// The number of the programme that is taken: of HLS the best quality that is allowed, of a multiplex the first one with
    /// pictures.
    #[must_use]
    pub fn choice(&self, max: VariantMax) -> Option<u16> {
        let shown = || self.programmes.iter().filter(|programme| programme.is_shown());
        if shown().all(|programme| programme.bandwidth.is_none()) {
            let first = shown().find(|programme| programme.has_picture).or_else(|| shown().next());
            return first.map(|programme| programme.number);
        }
        let quality = |programme: &&ListedProgramme| {
            (programme.has_picture, programme.height, programme.bandwidth.unwrap_or(0))
        };
        let is_allowed = |programme: &&ListedProgramme| {
            let height = Some(programme.height).filter(|height| *height > 0);
            max.has_room_for(height, programme.bandwidth.unwrap_or(0))
        };
        let allowed =
            shown().filter(is_allowed).filter(|programme| programme.has_picture).max_by_key(quality);
        // A picture that is too good is better than none.
        let pictures = || shown().filter(|programme| programme.has_picture);
        let least = allowed.or_else(|| pictures().min_by_key(quality));
        least.or_else(|| shown().max_by_key(quality)).map(|programme| programme.number)
    }
}

/// The height in `yuv420p, 1280x720 [SAR 1:1 DAR 16:9], 25 fps`.
fn height(words: &str) -> Option<u32> {
    words.split([' ', ',']).find_map(|word| {
        let (width, height) = word.split_once('x')?;
        let _is_a_number: u32 = width.parse().ok()?;
        height.parse().ok()
    })
}

/// A line and the level that `-loglevel level+…` has put into it: `[mpegts @ 0x55] [warning] words`.
#[must_use]
pub fn levelled(line: &str) -> Option<(LogLevel, String)> {
    let mut rest = line;
    loop {
        let (mark, behind) = rest.trim_start().strip_prefix('[')?.split_once(']')?;
        let level = match mark {
            "panic" | "fatal" | "error" => LogLevel::Error,
            "warning" => LogLevel::Warning,
            "info" => LogLevel::Info,
            "verbose" | "debug" | "trace" => LogLevel::Debug,
            owner if owner.contains(" @ ") => {
                rest = behind;
                continue;
            }
            _other => return None,
        };
        let owners = &line[..line.len() - rest.len()];
        let words = behind.strip_prefix(' ').unwrap_or(behind);
        return Some((
            level,
            format!("{}{}{words}", owners.trim_end(), if owners.trim().is_empty() { "" } else { " " }),
        ));
    }
}

/// More than any multiplex has.
const PROGRAMMES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(text: &str) -> Listing {
        let mut listing = Listing::default();
        text.lines().for_each(|line| listing.push(line));
        listing
    }

    const MULTIPLEX: &str = "\
Input #0, mpegts, from 'udp://@239.0.0.1:1':
  Duration: N/A, start: 1.400000, bitrate: N/A
  Program 7
    Metadata:
      service_name    : Radio
  Stream #0:4[0x104](fra): Audio: mp2 ([3][0][0][0] / 0x0003), 48000 Hz, stereo, s16p, 384 kb/s
  Program 11
    Metadata:
      service_name    : Stream #0:9: Video: of its name
  Stream #0:0[0x100]: Video: h264 (Main) ([27][0][0][0] / 0x001B), yuv420p(progressive), 320x180 [SAR 1:1 DAR 16:9], 25 fps
  Stream #0:1[0x101](eng): Audio: aac (LC) ([15][0][0][0] / 0x000F), 48000 Hz, stereo, fltp, 66 kb/s
  Program 22
  Stream #0:3[0x103]: Video: h264 (Main) ([27][0][0][0] / 0x001B), yuv420p, 640x360, 25 fps
  Program 23
  No Program
  Stream #0:10[0x12]: Data: epg
";

    #[test]
    fn of_a_multiplex_the_first_programme_with_pictures_is_taken() {
        let multiplex = listing(MULTIPLEX);
        assert!(multiplex.needs_choice() && !multiplex.is_complete());
        assert_eq!(multiplex.choice(VariantMax::Best), Some(11));
        for (end, expected) in
            [("Stream mapping:\n", true), ("Output #0, mpegts, to 'pipe:1':\n", true), ("x", false)]
        {
            assert_eq!(listing(&format!("{MULTIPLEX}{end}")).is_complete(), expected, "{end}");
        }
    }

    #[test]
    fn one_programme_is_no_choice() {
        for text in [
            "",
            "  Program 1\n  Stream #0:0: Video: h264\n  Program 2\n  Stream #0:1: Video: h264\n",
            "Input #0, mpegts, from 'x':\n  Program 1\n  Stream #0:0[0x100]: Video: h264, yuv420p, 320x180\n  Program 2\n",
            "Input #0, flv, from 'x':\n  Stream #0:0: Video: h264\n  Stream #0:1: Audio: aac\n",
            "Input #0, hls, from 'x':\n  Program 0\n    Metadata:\n      variant_bitrate : 0\n  Stream #0:0: Audio: aac\n",
        ] {
            assert!(!listing(text).needs_choice(), "{text}");
        }
        for sparse in ["Subtitle: dvb_subtitle (dvbsub)", "Data: scte_35"] {
            let text = format!(
                "Input #0, mpegts, from 'x':\n  Program 3\n  Stream #0:0: Video: h264\n  Stream #0:1[0x102](deu): {sparse}\n"
            );
            assert!(listing(&text).needs_choice(), "{sparse}");
            assert_eq!(listing(&text).choice(VariantMax::Best), Some(3), "{sparse}");
        }
        assert_eq!(listing("").choice(VariantMax::Best), None);
    }

    #[test]
    fn of_qualities_the_best_that_is_allowed_is_taken() {
        let text = "\
Input #0, hls, from 'http://h/m.m3u8':
  Program 0
    Metadata:
      variant_bitrate : 800000
  Stream #0:0: Video: h264 (Main), yuv420p(tv, bt709), 640x360 [SAR 1:1 DAR 16:9], 25 fps
    Metadata:
      variant_bitrate : 800000
  Stream #0:1: Audio: aac (LC)
  Program 1
    Metadata:
      variant_bitrate : 5000000
  Stream #0:2: Video: h264 (High), yuv420p, 1920x1080, 25 fps
  Program 2
    Metadata:
      variant_bitrate : 2500000
  Stream #0:4: Video: h264 (High), yuv420p, 1280x720, 25 fps
  Program 3
    Metadata:
      variant_bitrate : 9000000
  Stream #0:6: Audio: aac (LC)
";
        for (max, expected) in
            [("", 1), ("1080p", 1), ("720p", 2), ("719", 0), ("2500k", 2), ("100k", 0), ("240p", 0)]
        {
            assert_eq!(listing(text).choice(max.parse().unwrap()), Some(expected), "{max:?}");
        }
    }

    #[test]
    fn a_level_is_found_behind_the_names_of_who_speaks() {
        for (line, expected) in [
            ("[info] Input #0, hls, from 'x':", Some((LogLevel::Info, "Input #0, hls, from 'x':"))),
            ("[info]   Program 1 ", Some((LogLevel::Info, "  Program 1 "))),
            (
                "[hls @ 0x1] [http @ 0x2] [error] HTTP error 404",
                Some((LogLevel::Error, "[hls @ 0x1] [http @ 0x2] HTTP error 404")),
            ),
            ("[mpegts @ 0x1] [warning] [x] y", Some((LogLevel::Warning, "[mpegts @ 0x1] [x] y"))),
            ("[fatal] ", Some((LogLevel::Error, ""))),
            ("[verbose] a", Some((LogLevel::Debug, "a"))),
            ("sh: 1: no [error] such", None),
            ("[x] y", None),
            ("", None),
        ] {
            assert_eq!(levelled(line), expected.map(|(level, words)| (level, words.to_owned())), "{line}");
        }
    }
}
