//! Which variant of a master list is read.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use crate::base::limits::HLS_SOUNDS_MAX;
use crate::source::hls::failure::Unreadable;
use crate::source::hls::list::{Master, Rendition, RenditionKind, Variant};

/// The setting `HLS_VARIANT_MAX`: no better variant than this is read, if there is another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum VariantMax {
    /// The best there is.
    #[default]
    Best,
    /// So many lines.
    Height(u32),
    /// So many bits per second.
    Bandwidth(u64),
}

impl VariantMax {
    fn allows(self, variant: &Variant) -> bool {
        self.has_room_for(variant.resolution.map(|(_, height)| height), variant.bandwidth)
    }

    /// True when a picture of so many lines, if that is known, and so many bits per second is read.
    #[must_use]
    pub const fn has_room_for(self, height: Option<u32>, bandwidth: u64) -> bool {
        match (self, height) {
            (Self::Best, _) | (Self::Height(_), None) => true,
            (Self::Height(max), Some(height)) => height <= max,
            (Self::Bandwidth(max), _) => bandwidth <= max,
        }
    }
}

/// A text that is no bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("neither a height, as 720 or 720p, nor a bandwidth, as 2500k or 5M")]
pub struct VariantMaxError;

impl FromStr for VariantMax {
    type Err = VariantMaxError;

    /// `720` and `720p` are heights, `2500k`, `5M` and numbers that no height has are bandwidths. Nothing, or 0, is no bound.
    fn from_str(text: &str) -> Result<Self, VariantMaxError> {
        let text = text.trim();
        let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        if text.is_empty() {
            return Ok(Self::Best);
        }
        let number: u64 = digits.parse().map_err(|_no_number| VariantMaxError)?;
        let scaled = |factor| number.checked_mul(factor).map(Self::Bandwidth).ok_or(VariantMaxError);
        match (unit, u32::try_from(number)) {
            ("" | "p" | "P", Ok(0)) => Ok(Self::Best),
            ("", Ok(height)) if height <= HEIGHT_MAX => Ok(Self::Height(height)),
            ("p" | "P", Ok(height)) => Ok(Self::Height(height)),
            ("", _) => Ok(Self::Bandwidth(number)),
            ("k" | "K", _) => scaled(1000),
            ("m" | "M", _) => scaled(1_000_000),
            _ => Err(VariantMaxError),
        }
    }
}

impl fmt::Display for VariantMax {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Best => Ok(()),
            Self::Height(lines) => write!(formatter, "{lines}p"),
            Self::Bandwidth(bits) if bits % 1000 == 0 => write!(formatter, "{}k", bits / 1000),
            Self::Bandwidth(bits) => write!(formatter, "{bits}"),
        }
    }
}

/// The variants in the order in which they are to be tried: the best that is allowed first, and of those that are all too
/// good the least. What follows takes its place when its list cannot be had.
#[must_use]
pub(super) fn ranked(master: &Master, max: VariantMax) -> Vec<&Variant> {
    // Sizes order variants only when all have one: else a variant would be lesser for what its list does not say.
    let are_sized = master.variants.iter().all(|variant| variant.resolution.is_some() || is_sound(variant));
    let quality = |variant: &Variant| {
        let pixels = variant.resolution.map_or(0, |(width, height)| u64::from(width) * u64::from(height));
        let sized = if are_sized { pixels } else { 0 };
        (!is_sound(variant), sized, variant.bandwidth, pixels)
    };
    let (mut allowed, mut others): (Vec<_>, Vec<_>) =
        master.variants.iter().partition(|variant| max.allows(variant));
    // Both sorts are stable: of equals the first one of the list is the one that the provider prefers.
    allowed.sort_by_key(|variant| Reverse(quality(variant)));
    others.sort_by_key(|variant| (is_sound(variant), quality(variant)));
    // A picture that is too good is better than none.
    let pictures = allowed.iter().take_while(|variant| !is_sound(variant)).count();
    let sounds = allowed.split_off(pictures);
    [allowed, others, sounds].concat()
}

/// What others are to read of a master list of which this is the best variant. Its own list, without the other qualities, unless
/// its sound is elsewhere: then the master, and of that the programme whose number is the variant's place.
#[must_use]
pub(super) fn for_others(master: &Master, best: &Variant) -> Handover {
    let place = master.variants.iter().position(|variant| std::ptr::eq(variant, best));
    match place.and_then(|place| u16::try_from(place).ok()) {
        Some(place) if !sounds(master, best).is_empty() || master.locked == Some(Unreadable::Variables) => {
            Handover::Programme(place)
        }
        Some(_) | None => Handover::List(best.uri.clone()),
    }
}

/// What is left to whoever can read what is not read here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Handover {
    /// The list of this address, as written.
    List(String),
    /// Of the master list the variant of this place, counted from 0.
    Programme(u16),
}

/// The sounds of a variant that are in segments of their own, the one that is played unless somebody chooses in front. One without
/// an address is within the variant's own segments (RFC 8216, 4.3.4.2.1).
#[must_use]
pub(super) fn sounds<'list>(master: &'list Master, variant: &Variant) -> Vec<(&'list Rendition, &'list str)> {
    let mut sounds: Vec<(&Rendition, &str)> = Vec::new();
    for (rendition, uri) in renditions(master, RenditionKind::Audio, variant.audio.as_deref()) {
        if uri != variant.uri && !sounds.iter().any(|(_, known)| *known == uri) {
            sounds.push((rendition, uri));
        }
    }
    sounds.sort_by_key(|(rendition, _)| Reverse((rendition.is_default, rendition.is_autoselect)));
    sounds.truncate(HLS_SOUNDS_MAX);
    sounds
}

/// How many subtitles of a variant are in segments of their own. A transport stream cannot carry WebVTT by whatever means.
#[must_use]
pub(super) fn subtitles(master: &Master, variant: &Variant) -> usize {
    renditions(master, RenditionKind::Subtitles, variant.subtitles.as_deref()).count()
}

/// The renditions of a group that have an address.
fn renditions<'list>(
    master: &'list Master,
    kind: RenditionKind,
    group: Option<&str>,
) -> impl Iterator<Item = (&'list Rendition, &'list str)> {
    let is_meant = move |rendition: &&Rendition| rendition.kind == kind && Some(&*rendition.group) == group;
    let addressed = |rendition: &'list Rendition| Some((rendition, rendition.uri.as_deref()?));
    master.renditions.iter().filter(is_meant).filter_map(addressed)
}

/// True when the list says that there is no picture.
fn is_sound(variant: &Variant) -> bool {
    let Some(codecs) = &variant.codecs else { return false };
    variant.resolution.is_none()
        && codecs.split(',').all(|codec| {
            let family = codec.trim().split('.').next().unwrap_or("").to_ascii_lowercase();
            SOUND_CODECS.contains(&family.as_str())
        })
}

/// No picture is higher: what is more is a bandwidth.
const HEIGHT_MAX: u32 = 10_000;
const SOUND_CODECS: [&str; 6] = ["mp4a", "ac-3", "ec-3", "ac-4", "mp3", "opus"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::hls::list::{List, parse};

    fn master(text: &str) -> Master {
        match parse(format!("#EXTM3U\n{text}").as_bytes()) {
            Ok(List::Master(master)) => master,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    /// Variants, each `attributes name`.
    fn order(variants: &[&str], max: &str) -> String {
        let text: String = variants
            .iter()
            .map(|variant| {
                let (attributes, name) = variant.rsplit_once(' ').unwrap();
                format!("#EXT-X-STREAM-INF:{attributes}\n{name}\n")
            })
            .collect();
        let master = master(&text);
        let names: Vec<_> =
            ranked(&master, max.parse().unwrap()).iter().map(|variant| variant.uri.clone()).collect();
        names.join(" ")
    }

    #[test]
    fn the_best_allowed_variant_is_tried_first_whatever_the_lists_order() {
        let three = [
            "BANDWIDTH=800000,RESOLUTION=640x360 sd",
            "BANDWIDTH=5000000,RESOLUTION=1920x1080 fhd",
            "BANDWIDTH=2500000,RESOLUTION=1280x720 hd",
        ];
        let mut backwards = three;
        backwards.reverse();
        for (max, expected) in [
            ("", "fhd hd sd"),
            ("0", "fhd hd sd"),
            ("1080p", "fhd hd sd"),
            ("720", "hd sd fhd"),
            ("719", "sd hd fhd"),
            ("2500k", "hd sd fhd"),
            ("2499999", "sd hd fhd"),
            ("5M", "fhd hd sd"),
            // All are too good: the least of them.
            ("240p", "sd hd fhd"),
        ] {
            assert_eq!(order(&three, max), expected, "{max}");
            assert_eq!(order(&backwards, max), expected, "{max}, the other way round");
        }
    }

    #[test]
    fn what_a_list_does_not_say_does_not_make_a_variant_lesser() {
        for (variants, expected) in [
            // Without sizes the bandwidth decides.
            (vec!["BANDWIDTH=1 a", "BANDWIDTH=3 b", "BANDWIDTH=2 c"], "b c a"),
            // With sizes for some, too.
            (vec!["BANDWIDTH=1000,RESOLUTION=640x360 a", "BANDWIDTH=5000 b"], "b a"),
            // The same bandwidth for all, as panels write it.
            (vec!["BANDWIDTH=1,RESOLUTION=640x360 a", "BANDWIDTH=1,RESOLUTION=1280x720 b"], "b a"),
            // Nothing at all: the provider's order.
            (vec!["PROGRAM-ID=1 a", "PROGRAM-ID=1 b"], "a b"),
            // The same twice: the second is there for when the first fails.
            (
                vec![
                    "BANDWIDTH=2,RESOLUTION=1x1 a",
                    "BANDWIDTH=2,RESOLUTION=1x1 b",
                    "BANDWIDTH=1,RESOLUTION=1x1 c",
                ],
                "a b c",
            ),
            // Sound alone comes last, and does not unmake the order of the others.
            (
                vec![
                    "BANDWIDTH=64000,CODECS=\"mp4a.40.2\" radio",
                    "BANDWIDTH=9,RESOLUTION=2x2,CODECS=\"avc1.1,mp4a.40.2\" a",
                    "BANDWIDTH=8,RESOLUTION=3x3 b",
                ],
                "b a radio",
            ),
        ] {
            assert_eq!(order(&variants, ""), expected, "{variants:?}");
        }
        assert_eq!(
            order(&["BANDWIDTH=1,CODECS=\"mp4a\" radio", "BANDWIDTH=9,RESOLUTION=640x360 a"], "240p"),
            "a radio"
        );
    }

    #[test]
    fn the_sounds_of_a_variant_are_those_of_its_group_that_have_an_address() {
        let audio = |rest: &str| format!("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",{rest}\n");
        let many: String = (0..HLS_SOUNDS_MAX + 3)
            .map(|number| audio(&format!("NAME=\"{number}\",URI=\"{number}\"")))
            .collect();
        for (renditions, expected) in [
            (String::new(), ""),
            (audio("NAME=\"x\""), ""),
            (audio("NAME=\"x\",URI=\"v.m3u8\""), ""),
            (audio("NAME=\"x\",URI=\"x\""), "x"),
            (audio("NAME=\"own\",DEFAULT=YES") + &audio("NAME=\"x\",LANGUAGE=\"fr\",URI=\"x\""), "x"),
            (
                audio("NAME=\"x\",URI=\"x\"")
                    + &audio("NAME=\"y\",AUTOSELECT=YES,URI=\"y\"")
                    + &audio("NAME=\"z\",DEFAULT=YES,URI=\"z\""),
                "z y x",
            ),
            (audio("NAME=\"x\",URI=\"x\"") + &audio("NAME=\"again\",URI=\"x\""), "x"),
            ("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"other\",NAME=\"x\",URI=\"o\"".to_owned(), ""),
            ("#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"x\",URI=\"s\"".to_owned(), ""),
            ("#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"a\",NAME=\"x\",URI=\"o\"".to_owned(), ""),
            (many, "0 1 2 3 4 5 6 7"),
        ] {
            let master = master(&format!(
                "{renditions}\n#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\",SUBTITLES=\"s\"\nv.m3u8\n"
            ));
            let found: Vec<&str> = sounds(&master, &master.variants[0]).iter().map(|(_, uri)| *uri).collect();
            assert_eq!(found.join(" "), expected, "{renditions}");
            let count = usize::from(renditions.contains("SUBTITLES"));
            assert_eq!(subtitles(&master, &master.variants[0]), count, "{renditions}");
        }
    }

    #[test]
    fn what_is_locked_is_known_from_the_master_list() {
        for (key, expected) in [
            (
                "METHOD=SAMPLE-AES,URI=\"skd://x\",KEYFORMAT=\"com.apple.streamingkeydelivery\"",
                Some(Unreadable::Drm),
            ),
            ("METHOD=AES-128,URI=\"k\"", None),
        ] {
            let list = format!("#EXT-X-SESSION-KEY:{key}\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n");
            assert_eq!(master(&list).locked, expected, "{key}");
        }
    }

    #[test]
    fn the_bound_is_a_height_or_a_bandwidth() {
        for (text, expected) in [
            (" 1080 ", VariantMax::Height(1080)),
            ("720P", VariantMax::Height(720)),
            ("10000", VariantMax::Height(10_000)),
            ("10001", VariantMax::Bandwidth(10_001)),
            ("5000000000", VariantMax::Bandwidth(5_000_000_000)),
            ("800K", VariantMax::Bandwidth(800_000)),
            ("5k", VariantMax::Bandwidth(5000)),
            ("6m", VariantMax::Bandwidth(6_000_000)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
            assert_eq!(expected.to_string().parse(), Ok(expected));
        }
        for text in ["best", "-1", "720i", "1280x720", "99999999999999999999", "99999999999999999M", "p"] {
            assert_eq!(text.parse::<VariantMax>(), Err(VariantMaxError), "{text}");
        }
    }
}
