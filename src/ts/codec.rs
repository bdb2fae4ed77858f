//! What an elementary stream carries, told by its stream type and descriptors.

use std::fmt;

/// What kind of component a stream is to a viewer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Everything else: teletext, subtitles, data.
    Other,
}

macro_rules! codecs {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $kind:ident;)*) => {
        /// What an elementary stream carries. Ordered by [`Codec::as_str`].
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Codec {
            $($(#[$doc])* $name,)*
        }

        impl Codec {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name shown to operators.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// What kind of component it is.
            #[must_use]
            pub const fn kind(self) -> StreamKind {
                match self {
                    $(Self::$name => StreamKind::$kind,)*
                }
            }
        }
    };
}

codecs! {
    /// AAC in ADTS, or raw.
    Aac = "aac", Audio;
    /// AAC in LATM.
    AacLatm = "aac-latm", Audio;
    /// Dolby Digital.
    Ac3 = "ac3", Audio;
    /// Dolby AC-4.
    Ac4 = "ac4", Audio;
    /// AOMedia Video 1.
    Av1 = "av1", Video;
    /// Chinese AVS.
    Avs = "avs", Video;
    /// Chinese AVS2.
    Avs2 = "avs2", Video;
    /// Chinese AVS3.
    Avs3 = "avs3", Video;
    /// Dirac, SMPTE VC-2.
    Dirac = "dirac", Video;
    /// DTS and its extensions.
    Dts = "dts", Audio;
    /// Dolby Digital Plus.
    Eac3 = "eac3", Audio;
    /// MPEG-5 part 1.
    Evc = "evc", Video;
    /// AVC.
    H264 = "h264", Video;
    /// H.265.
    Hevc = "hevc", Video;
    /// JPEG 2000.
    Jpeg2000 = "jpeg2000", Video;
    /// JPEG XS.
    JpegXs = "jpegxs", Video;
    /// Linear PCM of discs.
    Lpcm = "lpcm", Audio;
    /// ISO/IEC 11172-3.
    Mpeg1Audio = "mpeg1audio", Audio;
    /// ISO/IEC 11172-2.
    Mpeg1Video = "mpeg1video", Video;
    /// ISO/IEC 13818-3.
    Mpeg2Audio = "mpeg2audio", Audio;
    /// ISO/IEC 13818-2.
    Mpeg2Video = "mpeg2video", Video;
    /// ISO/IEC 14496-2.
    Mpeg4Video = "mpeg4video", Video;
    /// MPEG-H 3D Audio.
    MpegH = "mpegh", Audio;
    /// Opus.
    Opus = "opus", Audio;
    /// Anything without a name of its own here.
    Other = "other", Other;
    /// Linear PCM of SMPTE 302M.
    S302m = "s302m", Audio;
    /// DVB subtitles.
    Subtitle = "subtitle", Other;
    /// DVB teletext.
    Teletext = "teletext", Other;
    /// Dolby TrueHD.
    TrueHd = "truehd", Audio;
    /// SMPTE VC-1.
    Vc1 = "vc1", Video;
    /// H.266.
    Vvc = "vvc", Video;
}

impl Codec {
    /// The codec of a stream, from its stream type and the descriptors of the stream and of its programme.
    #[must_use]
    pub fn of_stream(stream_type: u8, descriptors: &[u8], programme_descriptors: &[u8]) -> Self {
        match stream_type {
            0x01 => Self::Mpeg1Video,
            0x02 => Self::Mpeg2Video,
            0x03 => Self::Mpeg1Audio,
            0x04 => Self::Mpeg2Audio,
            // 0x1C is AAC without a transport syntax of its own.
            0x0F | 0x1C => Self::Aac,
            0x10 => Self::Mpeg4Video,
            0x11 => Self::AacLatm,
            0x1B => Self::H264,
            0x21 => Self::Jpeg2000,
            0x24 => Self::Hevc,
            0x2D | 0x2E => Self::MpegH,
            0x32 => Self::JpegXs,
            0x33 => Self::Vvc,
            0x35 => Self::Evc,
            0x42 => Self::Avs,
            0x81 => Self::Ac3,
            0x87 => Self::Eac3,
            0x8A => Self::Dts,
            0xD1 => Self::Dirac,
            0xD2 => Self::Avs2,
            0xD4 => Self::Avs3,
            0xEA => Self::Vc1,
            // The numbers discs use mean other things elsewhere (0x82 subtitles, 0x86 splice cues).
            0x80 | 0x82..=0x86 | 0xA1 | 0xA2 if is_disc(programme_descriptors) => Self::of_disc(stream_type),
            // Private data, in PES packets or user-defined: the descriptors know.
            0x06 | 0x80..=0xFF => of_descriptors(descriptors),
            _ => Self::Other,
        }
    }

    fn of_disc(stream_type: u8) -> Self {
        match stream_type {
            0x80 => Self::Lpcm,
            0x83 => Self::TrueHd,
            0x84 | 0xA1 => Self::Eac3,
            _ => Self::Dts,
        }
    }
}

/// The programme says that its stream types are those of discs: registration `HDMV`.
fn is_disc(programme_descriptors: &[u8]) -> bool {
    Descriptors::new(programme_descriptors).any(|descriptor| descriptor.registration() == Some(b"HDMV"))
}

/// The first codec the descriptors name.
fn of_descriptors(descriptors: &[u8]) -> Codec {
    Descriptors::new(descriptors).find_map(|descriptor| descriptor.codec()).unwrap_or(Codec::Other)
}

/// A set of codecs.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct CodecSet(u32);

const _: () = assert!(Codec::ALL.len() <= 32);

impl CodecSet {
    /// Adds a codec.
    pub const fn insert(&mut self, codec: Codec) {
        self.0 |= 1 << (codec as u32);
    }

    /// Whether there is none.
    #[must_use]
    #[cfg(test)]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The codecs in the order of their names.
    pub fn iter(self) -> impl Iterator<Item = Codec> {
        Codec::ALL.iter().copied().filter(move |codec| self.0 & (1 << (*codec as u32)) != 0)
    }
}

impl FromIterator<Codec> for CodecSet {
    fn from_iter<I: IntoIterator<Item = Codec>>(codecs: I) -> Self {
        let mut set = Self::default();
        for codec in codecs {
            set.insert(codec);
        }
        set
    }
}

impl fmt::Display for CodecSet {
    /// The names, joined with commas.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, codec) in self.iter().enumerate() {
            if index > 0 {
                formatter.write_str(",")?;
            }
            formatter.write_str(codec.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for CodecSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter()).finish()
    }
}

/// One descriptor of a programme or a stream.
#[derive(Clone, Copy, Debug)]
pub struct Descriptor<'buf> {
    /// What it describes.
    pub tag: u8,
    /// Its bytes after the length.
    pub data: &'buf [u8],
}

impl<'buf> Descriptor<'buf> {
    /// The format identifier of a registration descriptor (ISO/IEC 13818-1, 2.6.8).
    #[must_use]
    pub fn registration(self) -> Option<&'buf [u8; 4]> {
        if self.tag == 0x05 { self.data.first_chunk() } else { None }
    }

    /// The codec this descriptor alone tells (ISO/IEC 13818-1 registrations, ETSI EN 300 468 tags).
    fn codec(self) -> Option<Codec> {
        match self.tag {
            0x05 => match self.registration()? {
                b"AC-3" => Some(Codec::Ac3),
                b"EAC3" => Some(Codec::Eac3),
                b"AC-4" => Some(Codec::Ac4),
                b"DTS1" | b"DTS2" | b"DTS3" => Some(Codec::Dts),
                b"BSSD" => Some(Codec::S302m),
                b"Opus" => Some(Codec::Opus),
                b"HEVC" => Some(Codec::Hevc),
                b"VVC " => Some(Codec::Vvc),
                b"AV01" => Some(Codec::Av1),
                b"VC-1" => Some(Codec::Vc1),
                b"drac" => Some(Codec::Dirac),
                b"AVSV" => Some(Codec::Avs2),
                b"AVS3" => Some(Codec::Avs3),
                b"JXSV" => Some(Codec::JpegXs),
                _ => None,
            },
            0x56 => Some(Codec::Teletext),
            0x59 => Some(Codec::Subtitle),
            0x6A => Some(Codec::Ac3),
            0x7A => Some(Codec::Eac3),
            0x7B => Some(Codec::Dts),
            0x7C => Some(Codec::Aac),
            0x7F => match self.data.first()? {
                0x0E | 0x0F => Some(Codec::Dts),
                0x15 => Some(Codec::Ac4),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The descriptors in a loop of them. A malformed one ends the loop.
pub struct Descriptors<'buf> {
    rest: &'buf [u8],
}

impl<'buf> Descriptors<'buf> {
    /// The descriptors in the bytes of a descriptor loop.
    #[must_use]
    pub const fn new(bytes: &'buf [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'buf> Iterator for Descriptors<'buf> {
    type Item = Descriptor<'buf>;

    fn next(&mut self) -> Option<Descriptor<'buf>> {
        let [tag, length, rest @ ..] = self.rest else { return None };
        let (data, rest) = rest.split_at_checked(usize::from(*length))?;
        self.rest = rest;
        Some(Descriptor { tag: *tag, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISC: &[u8] = &[0x05, 4, b'H', b'D', b'M', b'V'];

    #[test]
    fn codecs_are_ordered_by_their_names() {
        assert!(Codec::ALL.is_sorted_by(|a, b| a.as_str() < b.as_str()));
    }

    #[test]
    fn each_stream_type_has_its_codec() {
        use StreamKind::{Audio, Other, Video};
        let table = [
            (0x01, "mpeg1video", Video),
            (0x02, "mpeg2video", Video),
            (0x10, "mpeg4video", Video),
            (0x1B, "h264", Video),
            (0x24, "hevc", Video),
            (0x33, "vvc", Video),
            (0x42, "avs", Video),
            (0xEA, "vc1", Video),
            (0x03, "mpeg1audio", Audio),
            (0x04, "mpeg2audio", Audio),
            (0x0F, "aac", Audio),
            (0x1C, "aac", Audio),
            (0x11, "aac-latm", Audio),
            (0x81, "ac3", Audio),
            (0x87, "eac3", Audio),
            (0x8A, "dts", Audio),
            (0x06, "other", Other),
            (0x05, "other", Other),
            (0x80, "other", Other),
            (0x82, "other", Other),
            (0x86, "other", Other),
            (0x15, "other", Other),
        ];
        for (stream_type, name, kind) in table {
            let codec = Codec::of_stream(stream_type, &[], &[]);
            assert_eq!((codec.as_str(), codec.kind()), (name, kind), "stream type {stream_type:#x}");
        }
    }

    #[test]
    fn discs_have_stream_types_of_their_own() {
        for (stream_type, codec) in [
            (0x80, Codec::Lpcm),
            (0x82, Codec::Dts),
            (0x83, Codec::TrueHd),
            (0x84, Codec::Eac3),
            (0x86, Codec::Dts),
            (0x1B, Codec::H264),
        ] {
            assert_eq!(Codec::of_stream(stream_type, &[], DISC), codec, "stream type {stream_type:#x}");
        }
    }

    #[test]
    fn private_data_is_what_its_descriptors_say() {
        let registered = |id: &[u8; 4]| [&[0x05, 4][..], id].concat();
        let table = [
            (vec![0x6A, 1, 0], Codec::Ac3),
            (vec![0x7A, 1, 0], Codec::Eac3),
            (vec![0x7B, 0], Codec::Dts),
            (vec![0x7C, 1, 0x58], Codec::Aac),
            (vec![0x7F, 2, 0x15, 0], Codec::Ac4),
            (vec![0x7F, 1, 0x0E], Codec::Dts),
            (vec![0x56, 5, b'e', b'n', b'g', 9, 0], Codec::Teletext),
            (vec![0x59, 8, b'e', b'n', b'g', 0x10, 0, 1, 0, 1], Codec::Subtitle),
            (registered(b"AC-3"), Codec::Ac3),
            (registered(b"EAC3"), Codec::Eac3),
            (registered(b"Opus"), Codec::Opus),
            (registered(b"AV01"), Codec::Av1),
            (registered(b"HEVC"), Codec::Hevc),
            (registered(b"KLVA"), Codec::Other),
            // A language first, then what matters; and a descriptor longer than its loop.
            (vec![0x0A, 4, b'd', b'e', b'u', 0, 0x6A, 0], Codec::Ac3),
            (vec![0x6A, 9, 0], Codec::Other),
            (vec![0x7F, 0], Codec::Other),
            (vec![0x05, 2, b'A', b'C'], Codec::Other),
        ];
        for (descriptors, codec) in table {
            assert_eq!(Codec::of_stream(0x06, &descriptors, &[]), codec, "{descriptors:x?}");
        }
    }

    #[test]
    fn a_set_lists_names_once_and_in_order() {
        let set: CodecSet = [Codec::Mpeg2Video, Codec::H264, Codec::Mpeg2Video].into_iter().collect();
        assert_eq!(set.to_string(), "h264,mpeg2video");
        assert_eq!(CodecSet::default().to_string(), "");
    }
}
