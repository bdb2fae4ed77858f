//! Filters that options of ffmpeg may name: none of them opens anything.
//!
//! Left out are all that read or write files or talk to others (`movie`, `subtitles`, `drawtext`, `lut3d`, `metadata`, `sendcmd`,
//! `zmq`, `loudnorm` and the like), and those with several inputs or outputs: a chain has one of each.

/// Filters for pictures.
pub(super) const VIDEO: &[&str] = &[
    "bwdif",
    "bwdif_cuda",
    "colorspace",
    "crop",
    "decimate",
    "deinterlace_qsv",
    "deinterlace_vaapi",
    "delogo",
    "detelecine",
    "eq",
    "estdif",
    "field",
    "fieldorder",
    "format",
    "fps",
    "framerate",
    "fieldmatch",
    "hflip",
    "hqdn3d",
    "hwdownload",
    "hwmap",
    "hwupload",
    "hwupload_cuda",
    "idet",
    "kerndeint",
    "nlmeans",
    "null",
    "pad",
    "pullup",
    "scale",
    "scale_cuda",
    "scale_qsv",
    "scale_vaapi",
    "setdar",
    "setfield",
    "setsar",
    "tinterlace",
    "tonemap",
    "transpose",
    "unsharp",
    "vflip",
    "vpp_qsv",
    "w3fdif",
    "yadif",
    "yadif_cuda",
    "zscale",
];

/// Filters for sound.
pub(super) const AUDIO: &[&str] = &[
    "acompressor",
    "aformat",
    "alimiter",
    "anull",
    "aresample",
    "asetnsamples",
    "bass",
    "compand",
    "dynaudnorm",
    "equalizer",
    "highpass",
    "lowpass",
    "pan",
    "speechnorm",
    "treble",
    "volume",
];

/// Filters for what is encoded already.
pub(super) const BITSTREAM: &[&str] = &[
    "aac_adtstoasc",
    "dump_extra",
    "extract_extradata",
    "filter_units",
    "h264_metadata",
    "h264_mp4toannexb",
    "h264_redundant_pps",
    "hevc_metadata",
    "hevc_mp4toannexb",
    "mpeg2_metadata",
    "null",
    "remove_extra",
];

/// How filters are written.
pub(super) const FORM: &str = "filters separated by commas, as yadif,scale=1280:-2; commas within values stand between single quotes; \
    without spaces, brackets, semicolons and backslashes";

/// Characters of a value besides letters and digits. A backslash would hide what follows from us, a bracket names other streams.
const SIGNS: &str = "_.+-*/()|^=:";

/// Why filters are not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum FilterError {
    /// Not on the list.
    Unknown(String),
    /// Not written as [`FORM`] says.
    Form,
}

/// Checks a chain of filters.
pub(super) fn check(chain: &str, known: &[&str], is_bitstream: bool) -> Result<(), FilterError> {
    for filter in split(chain, is_bitstream)? {
        let (name, values) = filter.split_once('=').unwrap_or((&filter, ""));
        if !known.contains(&name) {
            return Err(FilterError::Unknown(name.chars().take(32).collect()));
        }
        // A name with a slash in front has its value read from a file.
        if values.split(':').any(|value| value.starts_with('/') || value.contains("=/")) {
            return Err(FilterError::Form);
        }
    }
    Ok(())
}

/// The filters of a chain without their quotes, as ffmpeg divides it.
fn split(chain: &str, is_bitstream: bool) -> Result<Vec<String>, FilterError> {
    let mut filters = vec![String::new()];
    let mut is_quoted = false;
    for c in chain.chars() {
        let last = filters.last_mut().expect("there is one from the beginning");
        match c {
            '\'' if !is_bitstream => is_quoted = !is_quoted,
            ',' if !is_quoted => filters.push(String::new()),
            ',' => last.push(c),
            c if c.is_ascii_alphanumeric() || SIGNS.contains(c) => last.push(c),
            _ => return Err(FilterError::Form),
        }
    }
    if is_quoted { Err(FilterError::Form) } else { Ok(filters) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_of_known_filters_are_taken() {
        for chain in [
            "scale=1280:720",
            "yadif=mode=send_frame:deint=interlaced,scale=w=1280:h=-2:flags=lanczos,setsar=1/1",
            "scale='min(1280,iw)':-2,fps=30000/1001",
            "hwupload,scale_vaapi=w=1280:h=720",
            "format=pix_fmts=yuv420p|nv12",
        ] {
            assert_eq!(check(chain, VIDEO, false), Ok(()), "{chain}");
        }
        assert_eq!(check("dynaudnorm=f=250:g=31,aresample=48000", AUDIO, false), Ok(()));
        assert_eq!(check("filter_units=remove_types=35|38-40,dump_extra", BITSTREAM, true), Ok(()));
    }

    #[test]
    fn what_could_open_something_is_refused() {
        let unknown = |name: &str| Err(FilterError::Unknown(name.to_owned()));
        for (chain, expected) in [
            ("movie=/etc/passwd", unknown("movie")),
            ("scale=1:1,subtitles=x.srt", unknown("subtitles")),
            ("null,ass=x", unknown("ass")),
            ("lut3d=x", unknown("lut3d")),
            ("drawtext=textfile=x", unknown("drawtext")),
            ("metadata=print:file=x", unknown("metadata")),
            ("scale=min(1280,iw):-2", unknown("iw):-2")),
            ("volume=1", unknown("volume")),
            ("scale@a=1:1", Err(FilterError::Form)),
            ("", unknown("")),
            ("null,", unknown("")),
            ("scale=/w=/etc/passwd", Err(FilterError::Form)),
            ("scale='/w=x'", Err(FilterError::Form)),
            ("scale=1:/h=x", Err(FilterError::Form)),
            ("scale=w=/x", Err(FilterError::Form)),
            ("null[a];movie=x[b]", Err(FilterError::Form)),
            ("[in]null", Err(FilterError::Form)),
            ("null;movie=x", Err(FilterError::Form)),
            ("nul\\l", Err(FilterError::Form)),
            ("scale='1:1", Err(FilterError::Form)),
            ("null, null", Err(FilterError::Form)),
            ("null\nnull", Err(FilterError::Form)),
            ("nüll", Err(FilterError::Form)),
        ] {
            assert_eq!(check(chain, VIDEO, false), expected, "{chain}");
        }
        assert_eq!(check("dump_extra='a,null'", BITSTREAM, true), Err(FilterError::Form));
    }
}
