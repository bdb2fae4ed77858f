//! Options of ffmpeg that an operator may set: which there are, and which values each takes.
//!
//! ffmpeg reads and writes whatever it is told to, so what may be told is listed here. Nothing on the list names an input, an
//! output, a file, a protocol, an address or a script, and each option has one value: what is left over would be an output.

use std::fmt;
use std::sync::Arc;

use crate::source::ffmpeg::capabilities::Feature;
use crate::source::ffmpeg::filters::{self, FilterError};

/// Options of one side at most.
const OPTIONS_MAX: usize = 32;
/// The longest value.
const OPTION_BYTES_MAX: usize = 512;
/// What an error shows of a text.
const SHOWN_CHARS_MAX: usize = 64;

/// To which side of `-i` options belong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// How the source is read.
    Input,
    /// What is made of it.
    Output,
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Input => "input",
            Self::Output => "output",
        })
    }
}

/// Why options are not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OptionError {
    /// More than are taken.
    #[error("there are more than {OPTIONS_MAX} options")]
    TooMany,
    /// Something stands where an option is expected: ffmpeg would write a file of that name.
    #[error(
        "{0:?} stands where an option is expected; allowed: options that begin with '-', each followed by its value"
    )]
    Positional(String),
    /// Nothing follows.
    #[error("{0} has no value; allowed: options that begin with '-', each followed by its value")]
    NoValue(String),
    /// Not on the list.
    #[error("{name} is no {side} option that may be set; allowed: {}", names(*side))]
    Unknown {
        /// As it was written.
        name: String,
        /// Of which side.
        side: Side,
    },
    /// It is not for such streams.
    #[error("{name} is not for such streams; allowed: {allowed}")]
    Streams {
        /// As it was written.
        name: String,
        /// What may be written.
        allowed: String,
    },
    /// The same again.
    #[error("{0} is set twice")]
    Twice(String),
    /// Not one of its values.
    #[error("{name} cannot be {value:?}; allowed: {allowed}")]
    Value {
        /// As it was written.
        name: String,
        /// The beginning of what was written.
        value: String,
        /// What may be written.
        allowed: String,
    },
}

/// Options that were checked, by the names this module has for them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options(Arc<[(String, String)]>);

impl Options {
    /// Reads options as they stand on a command line.
    ///
    /// # Errors
    /// Says which option or value is not taken, and what would be.
    pub fn parse(side: Side, arguments: &[String]) -> Result<Self, OptionError> {
        if arguments.len() > 2 * OPTIONS_MAX {
            return Err(OptionError::TooMany);
        }
        let mut options: Vec<(String, String)> = Vec::new();
        for pair in arguments.chunks(2) {
            let written = &pair[0];
            if !written.starts_with('-') {
                return Err(OptionError::Positional(shown(written)));
            }
            let name = own_name(written);
            let entry =
                entry(side, &name).ok_or_else(|| OptionError::Unknown { name: shown(written), side })?;
            entry
                .check_streams(&name)
                .map_err(|allowed| OptionError::Streams { name: shown(written), allowed })?;
            let value = pair.get(1).ok_or_else(|| OptionError::NoValue(shown(written)))?;
            entry.value.check(value).map_err(|allowed| OptionError::Value {
                name: written.clone(),
                value: shown(value),
                allowed,
            })?;
            if options.iter().any(|(other, _)| *other == name) {
                return Err(OptionError::Twice(written.clone()));
            }
            options.push((name, value.clone()));
        }
        Ok(Self(options.into()))
    }

    /// Names and values, in the order in which they were written.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of an option.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// True when an option of ours has no place beside these. Flags with a sign are added to those that are there.
    pub(super) fn replace(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !value.starts_with(['+', '-']))
    }

    /// Whether streams of a kind are encoded; `usually` is what is done with them without a word about it.
    pub(super) fn encode(&self, kind: char, usually: bool) -> bool {
        let codec =
            self.iter().filter(|(name, _)| name.strip_prefix("-c:").is_some_and(|of| of.starts_with(kind)));
        codec.last().map_or(usually, |(_, codec)| codec != "copy")
    }
}

/// When an option of the input has a meaning; elsewhere it would end ffmpeg, and is left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Needs {
    /// Always.
    Nothing,
    /// An address of HTTP, and a build that knows it.
    Http(Feature),
    /// The same, and no playlist: each of those has an end.
    HttpStream(Feature),
    /// An address of RTSP.
    Rtsp,
    /// A protocol that waits for its peer in this way.
    ReadTimeout,
    /// What is read is decoded.
    Decoder,
    /// Streams of this kind are encoded.
    Encoder(char),
}

/// What an option that was checked needs.
pub(super) fn needs(side: Side, name: &str) -> Needs {
    entry(side, name).map_or(Needs::Nothing, |entry| entry.needs)
}

/// An option.
struct KnownOption {
    name: &'static str,
    streams: Streams,
    value: Value,
    needs: Needs,
}

/// Which streams may be named behind an option.
#[derive(Clone, Copy)]
enum Streams {
    /// None.
    None,
    /// This kind, and the number of one of it.
    Kind(char),
    /// The number of one: the kind belongs to the name.
    Number,
}

/// What stands behind an option.
#[derive(Clone, Copy)]
enum Value {
    /// A whole number from the first to the second.
    Whole(i64, i64),
    /// A number from the first to the second.
    Real(f64, f64),
    /// Bits, or bits per second.
    Bits,
    /// Pictures per second.
    Rate,
    /// Width and height.
    Size,
    /// Width to height.
    Aspect,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// Some of these, each with a sign in front of it.
    Flags(&'static [&'static str]),
    /// A name in ffmpeg's own lists.
    Name,
    /// Statuses of HTTP.
    Statuses,
    /// A chain of filters for pictures.
    VideoFilters,
    /// A chain of filters for sound.
    AudioFilters,
    /// A chain of bitstream filters.
    BitstreamFilters,
}

impl KnownOption {
    const fn plain(name: &'static str, value: Value) -> Self {
        Self { name, streams: Streams::None, value, needs: Needs::Nothing }
    }

    const fn when(name: &'static str, value: Value, needs: Needs) -> Self {
        Self { needs, ..Self::plain(name, value) }
    }

    /// What is said of streams of a kind, encoded or not.
    const fn numbered(name: &'static str, value: Value) -> Self {
        Self { streams: Streams::Number, ..Self::plain(name, value) }
    }

    /// An option of encoders whose name holds the kind of stream.
    const fn named(name: &'static str, kind: char, value: Value) -> Self {
        Self { needs: Needs::Encoder(kind), ..Self::numbered(name, value) }
    }

    /// An option of encoders of pictures.
    const fn video(name: &'static str, value: Value) -> Self {
        Self { streams: Streams::Kind('v'), ..Self::when(name, value, Needs::Encoder('v')) }
    }

    /// An option of encoders of sound.
    const fn audio(name: &'static str, value: Value) -> Self {
        Self { streams: Streams::Kind('a'), ..Self::when(name, value, Needs::Encoder('a')) }
    }

    /// Refuses what is named behind the option with what could be.
    fn check_streams(&self, name: &str) -> Result<(), String> {
        let behind = name.strip_prefix(self.name).unwrap_or_default();
        let is_number = |text: &str| text.strip_prefix(':').is_some_and(|number| is_whole(number, 0, 31));
        let own = self.name;
        let (is_right, allowed) = match self.streams {
            Streams::None => (false, own.to_owned()),
            Streams::Number => (is_number(behind), format!("{own}, {own}:0")),
            Streams::Kind(kind) => {
                let of_kind = behind.strip_prefix(':').and_then(|text| text.strip_prefix(kind));
                let is_right = of_kind.is_some_and(|number| number.is_empty() || is_number(number));
                (is_right, format!("{own}, {own}:{kind}, {own}:{kind}:0"))
            }
        };
        if behind.is_empty() || is_right { Ok(()) } else { Err(allowed) }
    }
}

impl Value {
    /// Refuses a text with what it could be.
    fn check(self, text: &str) -> Result<(), String> {
        if text.len() > OPTION_BYTES_MAX {
            return Err(format!("at most {OPTION_BYTES_MAX} bytes"));
        }
        let filters = |known, is_bitstream| {
            filters::check(text, known, is_bitstream).map_err(|error| match error {
                FilterError::Unknown(name) => {
                    format!("{name:?} is no filter that may be used, but {}", known.join(", "))
                }
                FilterError::Form => filters::FORM.to_owned(),
            })
        };
        let (is_right, allowed) = match self {
            Self::Whole(min, max) => (is_whole(text, min, max), format!("{min} to {max}")),
            Self::Real(min, max) => (is_real(text, min, max), format!("{min} to {max}")),
            Self::Bits => (is_bits(text), "1000 to 400000000, as 2500k or 2.5M too".to_owned()),
            Self::Rate => (is_rate(text), "1 to 120, as 25, 29.97 or 30000/1001".to_owned()),
            Self::Size => (is_size(text), "16x16 to 7680x4320, as 1280x720".to_owned()),
            Self::Aspect => (is_aspect(text), "a ratio, as 16:9, or a number from 0.1 to 10".to_owned()),
            Self::OneOf(words) => (words.contains(&text), words.join(", ")),
            Self::Flags(words) => {
                (are_flags(text, words), format!("{}, each with + or - in front", words.join(", ")))
            }
            Self::Name => {
                (is_name(text), "letters, digits, '_', '-' and '.', a letter or digit first".to_owned())
            }
            Self::Statuses => (are_statuses(text), "statuses such as 403,5xx".to_owned()),
            Self::VideoFilters => return filters(filters::VIDEO, false),
            Self::AudioFilters => return filters(filters::AUDIO, false),
            Self::BitstreamFilters => return filters(filters::BITSTREAM, true),
        };
        if is_right { Ok(()) } else { Err(allowed) }
    }
}

const INPUT: &[KnownOption] = &[
    KnownOption::plain("-probesize", Value::Whole(32, 50_000_000)),
    KnownOption::plain("-analyzeduration", Value::Whole(0, 30_000_000)),
    KnownOption::plain("-fpsprobesize", Value::Whole(0, 1000)),
    KnownOption::plain(
        "-fflags",
        Value::Flags(&[
            "genpts",
            "igndts",
            "ignidx",
            "discardcorrupt",
            "nobuffer",
            "sortdts",
            "nofillin",
            "noparse",
        ]),
    ),
    KnownOption::plain("-flags", Value::Flags(&["low_delay", "output_corrupt", "gray"])),
    KnownOption::plain(
        "-err_detect",
        Value::Flags(&[
            "crccheck",
            "bitstream",
            "buffer",
            "explode",
            "ignore_err",
            "careful",
            "compliant",
            "aggressive",
        ]),
    ),
    KnownOption::plain("-max_delay", Value::Whole(0, 30_000_000)),
    KnownOption::plain("-thread_queue_size", Value::Whole(1, 65_536)),
    KnownOption::when("-rw_timeout", Value::Whole(1, 86_400_000_000), Needs::ReadTimeout),
    KnownOption::when("-reconnect", Value::Whole(0, 1), Needs::Http(Feature::Reconnect)),
    KnownOption::when("-reconnect_streamed", Value::Whole(0, 1), Needs::Http(Feature::ReconnectStreamed)),
    KnownOption::when("-reconnect_at_eof", Value::Whole(0, 1), Needs::HttpStream(Feature::ReconnectAtEof)),
    KnownOption::when(
        "-reconnect_on_network_error",
        Value::Whole(0, 1),
        Needs::Http(Feature::ReconnectOnNetworkError),
    ),
    KnownOption::when(
        "-reconnect_on_http_error",
        Value::Statuses,
        Needs::Http(Feature::ReconnectOnHttpError),
    ),
    KnownOption::when(
        "-reconnect_max_retries",
        Value::Whole(0, 1000),
        Needs::Http(Feature::ReconnectMaxRetries),
    ),
    KnownOption::when("-reconnect_delay_max", Value::Whole(0, 600), Needs::Http(Feature::ReconnectDelayMax)),
    KnownOption::when(
        "-rtsp_transport",
        Value::OneOf(&["udp", "tcp", "udp_multicast", "http", "https"]),
        Needs::Rtsp,
    ),
    KnownOption::when(
        "-hwaccel",
        Value::OneOf(&["none", "auto", "vaapi", "qsv", "cuda", "vdpau", "vulkan", "drm"]),
        Needs::Decoder,
    ),
    KnownOption::when("-hwaccel_output_format", Value::Name, Needs::Decoder),
    KnownOption::when("-hwaccel_device", Value::Whole(0, 15), Needs::Decoder),
    KnownOption::when("-threads", Value::Whole(0, 64), Needs::Decoder),
];

const OUTPUT: &[KnownOption] = &[
    KnownOption::numbered("-c:v", Value::Name),
    KnownOption::numbered("-c:a", Value::Name),
    KnownOption::numbered("-c:s", Value::Name),
    KnownOption::numbered("-bsf:v", Value::BitstreamFilters),
    KnownOption::numbered("-bsf:a", Value::BitstreamFilters),
    KnownOption::named("-b:v", 'v', Value::Bits),
    KnownOption::named("-b:a", 'a', Value::Bits),
    KnownOption::named("-q:v", 'v', Value::Real(0.0, 255.0)),
    KnownOption::named("-q:a", 'a', Value::Real(0.0, 255.0)),
    KnownOption::named("-profile:v", 'v', Value::Name),
    KnownOption::named("-profile:a", 'a', Value::Name),
    KnownOption::named("-filter:v", 'v', Value::VideoFilters),
    KnownOption::named("-filter:a", 'a', Value::AudioFilters),
    KnownOption::video("-maxrate", Value::Bits),
    KnownOption::video("-minrate", Value::Bits),
    KnownOption::video("-bufsize", Value::Bits),
    KnownOption::video("-preset", Value::Name),
    KnownOption::video("-tune", Value::Name),
    KnownOption::video("-crf", Value::Real(0.0, 63.0)),
    KnownOption::video("-qp", Value::Whole(0, 255)),
    KnownOption::video("-level", Value::Name),
    KnownOption::video("-g", Value::Whole(1, 1000)),
    KnownOption::video("-keyint_min", Value::Whole(1, 1000)),
    KnownOption::video("-sc_threshold", Value::Whole(0, 1_000_000_000)),
    KnownOption::video("-bf", Value::Whole(0, 16)),
    KnownOption::video("-refs", Value::Whole(0, 16)),
    KnownOption::video("-r", Value::Rate),
    KnownOption::video("-s", Value::Size),
    KnownOption::video("-aspect", Value::Aspect),
    KnownOption::video("-pix_fmt", Value::Name),
    KnownOption::video("-field_order", Value::OneOf(&["progressive", "tt", "bb", "tb", "bt"])),
    KnownOption::audio("-ac", Value::Whole(1, 16)),
    KnownOption::audio("-ar", Value::Whole(8000, 192_000)),
    KnownOption::audio("-sample_fmt", Value::Name),
    KnownOption::plain("-threads", Value::Whole(0, 64)),
];

/// Other names that ffmpeg has for options.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("-vcodec", "-c:v"),
    ("-acodec", "-c:a"),
    ("-scodec", "-c:s"),
    ("-ab", "-b:a"),
    ("-vf", "-filter:v"),
    ("-af", "-filter:a"),
];

/// The one name that we have for an option.
fn own_name(written: &str) -> String {
    if let Some((_, own)) = OTHER_NAMES.iter().find(|(other, _)| *other == written) {
        return (*own).to_owned();
    }
    written.strip_prefix("-codec:").map_or_else(|| written.to_owned(), |streams| format!("-c:{streams}"))
}

const fn entries(side: Side) -> &'static [KnownOption] {
    match side {
        Side::Input => INPUT,
        Side::Output => OUTPUT,
    }
}

fn entry(side: Side, name: &str) -> Option<&'static KnownOption> {
    let is_it = |entry: &&KnownOption| {
        name.strip_prefix(entry.name).is_some_and(|streams| streams.is_empty() || streams.starts_with(':'))
    };
    entries(side).iter().find(is_it)
}

fn names(side: Side) -> String {
    entries(side).iter().map(|entry| entry.name).collect::<Vec<_>>().join(" ")
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

/// Digits alone: ffmpeg would take `0x10` and `1K` too.
fn is_whole(text: &str, min: i64, max: i64) -> bool {
    let are_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    are_digits && text.parse().is_ok_and(|number: i64| (min..=max).contains(&number))
}

/// Digits with at most one point between them.
fn real(text: &str) -> Option<f64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_plain.then(|| text.parse().ok()).flatten()
}

fn is_real(text: &str, min: f64, max: f64) -> bool {
    real(text).is_some_and(|number| (min..=max).contains(&number))
}

fn is_bits(text: &str) -> bool {
    let (number, factor) = match text.strip_suffix(['k', 'K']) {
        Some(number) => (number, 1e3),
        None => text.strip_suffix('M').map_or((text, 1.0), |number| (number, 1e6)),
    };
    real(number).is_some_and(|number| (1e3..=4e8).contains(&(number * factor)))
}

fn is_rate(text: &str) -> bool {
    let rate = match text.split_once('/') {
        Some((over, under)) if is_whole(over, 1, 1_000_000) && is_whole(under, 1, 10_000) => {
            real(over).zip(real(under)).map(|(over, under)| over / under)
        }
        Some(_) => None,
        None => real(text),
    };
    rate.is_some_and(|rate| (1.0..=120.0).contains(&rate))
}

fn is_size(text: &str) -> bool {
    text.split_once('x')
        .is_some_and(|(width, height)| is_whole(width, 16, 7680) && is_whole(height, 16, 4320))
}

fn is_aspect(text: &str) -> bool {
    match text.split_once(':') {
        Some((width, height)) => is_whole(width, 1, 10_000) && is_whole(height, 1, 10_000),
        None => is_real(text, 0.1, 10.0),
    }
}

fn are_flags(text: &str, words: &[&str]) -> bool {
    text.starts_with(['+', '-']) && text[1..].split(['+', '-']).all(|flag| words.contains(&flag))
}

fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

fn are_statuses(text: &str) -> bool {
    let is_status =
        |text: &str| ["4xx", "5xx"].contains(&text) || text.len() == 3 && is_whole(text, 400, 599);
    text.split(',').all(is_status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(side: Side, line: &str) -> Result<Options, OptionError> {
        let arguments: Vec<_> = line.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        Options::parse(side, &arguments)
    }

    /// What is taken, in our names.
    fn taken(side: Side, line: &str) -> String {
        let options = parse(side, line).unwrap_or_else(|error| panic!("{line}: {error}"));
        options.iter().flat_map(|(name, value)| [name, value]).collect::<Vec<_>>().join(" ")
    }

    fn refusal(side: Side, line: &str) -> String {
        parse(side, line).expect_err(line).to_string()
    }

    #[test]
    fn what_changes_how_a_source_is_read_is_taken() {
        for line in [
            "",
            "-probesize 5000000 -analyzeduration 0 -fpsprobesize 0",
            "-fflags +genpts-igndts+nobuffer -flags +low_delay -err_detect +ignore_err",
            "-rw_timeout 5000000 -max_delay 500000 -thread_queue_size 1024 -threads 2",
            "-reconnect 1 -reconnect_streamed 1 -reconnect_at_eof 1 -reconnect_on_network_error 0",
            "-reconnect_on_http_error 403,404,5xx -reconnect_max_retries 5 -reconnect_delay_max 10",
            "-rtsp_transport tcp -hwaccel vaapi -hwaccel_output_format vaapi -hwaccel_device 0",
        ] {
            assert_eq!(taken(Side::Input, line), line);
        }
    }

    #[test]
    fn what_changes_what_is_made_of_a_source_is_taken_by_one_name() {
        for (line, expected) in [
            ("-c:v libx265 -c:a copy -c:s dvbsub", "-c:v libx265 -c:a copy -c:s dvbsub"),
            ("-vcodec h264_vaapi -codec:a ac3 -codec:a:1 aac", "-c:v h264_vaapi -c:a ac3 -c:a:1 aac"),
            (
                "-b:v 2.5M -ab 128k -maxrate 3M -bufsize:v 6000k",
                "-b:v 2.5M -b:a 128k -maxrate 3M -bufsize:v 6000k",
            ),
            (
                "-preset fast -tune:v film -crf 23 -profile:v high -level 4.1",
                "-preset fast -tune:v film -crf 23 -profile:v high -level 4.1",
            ),
            ("-g 50 -r 30000/1001 -bf 0", "-g 50 -r 30000/1001 -bf 0"),
            (
                "-s 640x360 -aspect 16:9 -pix_fmt yuv420p -threads 0",
                "-s 640x360 -aspect 16:9 -pix_fmt yuv420p -threads 0",
            ),
            ("-vf yadif,scale=640:-2 -af volume=1.5", "-filter:v yadif,scale=640:-2 -filter:a volume=1.5"),
            (
                "-ac 2 -ar:a 44100 -bsf:v h264_metadata=level=4.1",
                "-ac 2 -ar:a 44100 -bsf:v h264_metadata=level=4.1",
            ),
        ] {
            assert_eq!(taken(Side::Output, line), expected, "{line}");
        }
    }

    #[test]
    fn nothing_names_another_input_output_file_protocol_or_script() {
        for line in [
            "-i /etc/passwd",
            "-f lavfi",
            "-f concat",
            "-protocol_whitelist file",
            "-headers X",
            "-user_agent x",
            "-cookies x",
            "-http_proxy http://h",
            "-ca_file /etc/x",
            "-dump x",
            "-report 1",
            "-progress http://h",
            "-filter_complex_script x",
            "-vstats_file x",
            "-passlogfile x",
            "-safe 0",
            "-stream_loop -1",
            "-re 1",
            "-attach x",
            "-init_hw_device vaapi=/dev/x",
            "-vaapi_device /dev/x",
            "-seekable 0",
            "-listen 1",
        ] {
            for side in [Side::Input, Side::Output] {
                let refused = refusal(side, line);
                assert!(refused.contains("option that may be set"), "{line}: {refused}");
            }
        }
        for line in [
            "-map 0",
            "-f mpegts",
            "-x264-params stats=/tmp/x",
            "-x265-params x",
            "-filter_complex movie=x",
            "-lavfi x",
            "-/filter:v /etc/passwd",
            "-filter_script:v x",
            "-sdp_file x",
            "-y 1",
            "-c copy",
            "-b 1M",
            "-metadata x=y",
        ] {
            let refused = refusal(Side::Output, line);
            assert!(refused.contains("option that may be set"), "{line}: {refused}");
        }
    }

    #[test]
    fn what_is_refused_is_named_with_what_is_allowed() {
        for (side, line, expected) in [
            (Side::Output, "/tmp/x.ts", r#""/tmp/x.ts" stands where an option is expected"#),
            (Side::Output, "-g 50 /tmp/x.ts", r#""/tmp/x.ts" stands where an option is expected"#),
            (Side::Output, "-g", "-g has no value; allowed: options that begin with '-'"),
            (Side::Output, "-g 50 -g 25", "-g is set twice"),
            (Side::Output, "-vf null -filter:v null", "-filter:v is set twice"),
            (Side::Output, "-g 5000", r#"-g cannot be "5000"; allowed: 1 to 1000"#),
            (Side::Output, "-g 0x10", r#"-g cannot be "0x10"; allowed: 1 to 1000"#),
            (
                Side::Output,
                "-b:v fast",
                r#"-b:v cannot be "fast"; allowed: 1000 to 400000000, as 2500k or 2.5M too"#,
            ),
            (Side::Output, "-b:v 2Mi", "-b:v cannot be"),
            (Side::Output, "-b:v 900M", "-b:v cannot be"),
            (Side::Output, "-b:v 1.2.3M", "-b:v cannot be"),
            (Side::Output, "-crf -1", "-crf cannot be"),
            (Side::Output, "-crf nan", "-crf cannot be"),
            (Side::Output, "-r 25/0", "-r cannot be"),
            (Side::Output, "-r 1000/1", "-r cannot be"),
            (Side::Output, "-s 640", "-s cannot be"),
            (Side::Output, "-s 64000x36000", "-s cannot be"),
            (Side::Output, "-s hd720", r#"-s cannot be "hd720"; allowed: 16x16 to 7680x4320, as 1280x720"#),
            (Side::Output, "-c:v ../x", "-c:v cannot be"),
            (Side::Output, "-preset /etc/x.ffpreset", "-preset cannot be"),
            (Side::Output, "-b:v:x 1M", "-b:v:x is not for such streams; allowed: -b:v, -b:v:0"),
            (Side::Output, "-maxrate:a 1M", "allowed: -maxrate, -maxrate:v, -maxrate:v:0"),
            (Side::Output, "-threads:v 1", "allowed: -threads"),
            (
                Side::Output,
                "-vf movie=/etc/passwd",
                r#"-vf cannot be "movie=/etc/passwd"; allowed: "movie" is no filter"#,
            ),
            (Side::Input, "-fflags genpts", "allowed: genpts, igndts"),
            (Side::Input, "-fflags +", "-fflags cannot be"),
            (Side::Input, "-fflags +fastseek", "each with + or - in front"),
            (Side::Input, "-hwaccel x", "allowed: none, auto, vaapi"),
            (Side::Input, "-hwaccel_device /dev/dri/card0", "allowed: 0 to 15"),
            (Side::Input, "-reconnect_on_http_error 200", "allowed: statuses such as 403,5xx"),
            (Side::Input, "-probesize -1", "allowed: 32 to 50000000"),
        ] {
            let refused = refusal(side, line);
            assert!(refused.contains(expected), "{line}: {refused}");
        }
    }

    #[test]
    fn their_number_and_length_are_bounded() {
        let pairs = |count: usize| vec!["-g".to_owned(); 2 * count];
        assert_eq!(Options::parse(Side::Output, &pairs(OPTIONS_MAX + 1)), Err(OptionError::TooMany));
        assert_ne!(Options::parse(Side::Output, &pairs(OPTIONS_MAX)), Err(OptionError::TooMany));
        let long = format!("-vf {}null", "null,".repeat(OPTION_BYTES_MAX / 5));
        assert!(refusal(Side::Output, &long).ends_with("allowed: at most 512 bytes"), "{long}");
        let shown = refusal(Side::Input, &"x".repeat(10_000));
        assert!(shown.len() < 250, "{shown}");
    }

    #[test]
    fn whether_streams_are_encoded_follows_the_last_word_about_them() {
        for (line, video, audio) in [
            ("", true, true),
            ("-c:v copy", false, true),
            ("-c:v libx264 -c:a copy", true, false),
            ("-c:a copy -c:a:1 aac", true, true),
        ] {
            let options = parse(Side::Output, line).unwrap();
            assert_eq!((options.encode('v', true), options.encode('a', true)), (video, audio), "{line}");
        }
        assert!(!Options::default().encode('v', false));
    }
}
