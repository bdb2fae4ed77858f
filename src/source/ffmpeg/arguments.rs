//! The argument list of one run of ffmpeg.

use std::time::Duration;

use crate::source::admission;
use crate::source::body::Sound;
use crate::source::error::SourceError;
use crate::source::ffmpeg::capabilities::{Capabilities, Feature};
use crate::source::ffmpeg::numbers::{decimal, micros_up, seconds_up, seconds_with_micros};
use crate::source::ffmpeg::options::{self, Needs, Options, Side};
use crate::source::ffmpeg::params::{Detection, FfmpegParams, LogLevel};
use crate::source::ffmpeg::pattern;
use crate::source::ffmpeg::verification::{self, Verification};
use crate::source::mode::{self, Mode, Remux};
use crate::source::relayed::RELAYED_ADDRESS;
use crate::source::scheme::Scheme;

/// What one run of ffmpeg is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// What to do with the streams.
    pub remux: Remux,
    /// How long to look at the input: what [`FfmpegParams::detection`] makes of an attempt.
    pub detection: Detection,
    /// What is added to all times of the output.
    pub timestamp_offset: Duration,
    /// The input is known to be nothing but this.
    pub sound: Option<Sound>,
    /// It may be radio, of which a PES packet would gather up to a second.
    pub may_be_radio: bool,
    /// Which of the input's streams are taken.
    pub tracks: Tracks,
    /// The only programme of the input that is taken.
    pub program: Option<u16>,
    /// The input is a playlist, whatever its name.
    pub playlist: bool,
    /// Whether its servers have to show who they are.
    pub verification: Verification,
    /// Options of the input that stand in for ours, as far as they have a meaning there.
    pub input: Options,
    /// Options of the output that stand in for ours.
    pub output: Options,
}

/// Which of an input's streams are taken: those of one programme.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Tracks {
    /// The picture, every sound, every subtitle and all data. ffmpeg gives up when nothing has come yet of a sound that is listed.
    #[default]
    All,
    /// Of sounds only those of which something has come. One is needed.
    Heard,
    /// The picture and all sounds: the input's subtitles and data are of a kind that a transport stream cannot carry.
    Shown,
    /// The picture and the sound that ffmpeg thinks best, from wherever, or a programme's first ones.
    Best,
}

impl Run {
    /// At which level ffmpeg is to speak so that it tells what it has found: nothing but that tells which programmes there are.
    #[must_use]
    pub fn listing(&self, url: &str, params: &FfmpegParams) -> Option<LogLevel> {
        let is_chosen = self.program.is_some() || self.sound.is_some() || self.tracks == Tracks::Best;
        (!is_chosen && Scheme::of(url.trim()) != Scheme::Test).then_some(params.log_level)
    }
}

/// The arguments for a source: each option is one that the installed ffmpeg knows and the source's protocol takes.
///
/// # Errors
/// When the address is a `test:` address that asks for the impossible, or an encoder is missing.
pub fn arguments(
    url: &str,
    run: &Run,
    params: &FfmpegParams,
    capabilities: &Capabilities,
) -> Result<Vec<String>, SourceError> {
    let url = url.trim();
    let scheme = Scheme::of(url);
    if scheme == Scheme::Test {
        return pattern::arguments(url, params.log_level.name(), capabilities);
    }
    let has_encoder = run.output.get("-c:v").is_some() || capabilities.has(Feature::X264);
    if run.remux == Remux::Transcode && !has_encoder {
        return Err(SourceError::spawn("the installed ffmpeg cannot encode H.264 (libx264)"));
    }
    let mut list = ArgumentList { arguments: Vec::new(), capabilities, own: &run.input };
    list.flags(&["-hide_banner"]);
    match run.listing(url, params) {
        // What it has found is said at this level. Figures about its progress would be, too.
        Some(level) => list.flags(&["-loglevel", level.listing_name(), "-nostats", "-nostdin"]),
        None => list.flags(&["-loglevel", params.log_level.name(), "-nostdin"]),
    }
    pacing(&mut list, params);
    socket_buffer(&mut list, params, scheme);
    let (probe_bytes, analyze) = match run.sound {
        None => (run.detection.probe_bytes, run.detection.analyze),
        Some(_) => (SOUND_PROBE_BYTES, SOUND_ANALYZE),
    };
    list.option("-probesize", probe_bytes);
    list.option("-analyzeduration", micros_up(analyze));
    let is_playlist = run.playlist || mode::is_playlist(url);
    reconnect(&mut list, params, scheme, is_playlist);
    let verification = verification::options(url, &run.verification, capabilities)?;
    list.arguments.extend(verification);
    read_timeout(&mut list, params, scheme);
    let has_transport = run.input.get("-rtsp_transport").is_some();
    if scheme == Scheme::Rtsp && capabilities.has(Feature::RtspPreferTcp) && !has_transport {
        // UDP is lost behind most home routers, and found out only after a timeout.
        list.option("-rtsp_flags", "prefer_tcp");
    }
    if scheme.is_http() {
        // It is read through us, and whatever a list hides from us is not asked for past us.
        list.option("-protocol_whitelist", "http,tcp,crypto,data");
    } else if let Some(protocols) = admission::protocols(url) {
        // What a list or a redirect names is opened by ffmpeg, without another word from us.
        list.option("-protocol_whitelist", protocols);
    }
    let flags = input_flags(run.remux, params);
    if !flags.is_empty() {
        list.option("-fflags", flags);
    }
    own_options(&mut list, Side::Input, run, scheme, url);
    if let Some(demuxer) = run.sound.and_then(Sound::demuxer) {
        list.option("-f", demuxer);
    }
    list.option("-i", if scheme.is_http() { RELAYED_ADDRESS } else { url });
    list.own = &run.output;
    output(&mut list, run);
    own_options(&mut list, Side::Output, run, scheme, url);
    list.flags(&["-f", "mpegts", "pipe:1"]);
    Ok(list.arguments)
}

/// The list while it grows.
struct ArgumentList<'a> {
    arguments: Vec<String>,
    capabilities: &'a Capabilities,
    /// The operator's options of the side that is written: those of ours that they replace are left out.
    own: &'a Options,
}

impl ArgumentList<'_> {
    fn flags(&mut self, flags: &[&str]) {
        self.arguments.extend(flags.iter().map(|&flag| flag.to_owned()));
    }

    fn option(&mut self, name: &str, value: impl ToString) {
        if !self.own.replace(name) {
            self.arguments.extend([name.to_owned(), value.to_string()]);
        }
    }

    /// An option that is left out where the installed ffmpeg does not know it.
    fn known(&mut self, feature: Feature, name: &str, value: impl ToString) {
        if self.capabilities.has(feature) {
            self.option(name, value);
        }
    }
}

fn pacing(list: &mut ArgumentList<'_>, params: &FfmpegParams) {
    let rate = if params.readrate.is_finite() && params.readrate > 0.0 { params.readrate } else { 1.0 };
    if !list.capabilities.has(Feature::Readrate) {
        // Before 5.0 there is real time or no pacing. A faster rate is better served by none.
        if rate <= 1.0 {
            list.flags(&["-re"]);
        }
        return;
    }
    let catchup = if params.readrate_catchup.is_finite() { params.readrate_catchup.max(rate) } else { rate };
    // Where the beginning cannot be left alone, sound that is a little later than pictures would be waited for by its clock, and
    // pictures with it. What comes faster than it is wanted is not taken from the pipe.
    let has_burst = list.capabilities.has(Feature::ReadrateInitialBurst);
    let rate = if has_burst { rate } else { rate.max(RATE_WITHOUT_BURST) };
    list.option("-readrate", decimal(rate));
    list.known(Feature::ReadrateCatchup, "-readrate_catchup", decimal(catchup));
    list.known(Feature::ReadrateInitialBurst, "-readrate_initial_burst", params.initial_burst_seconds.max(1));
}

fn socket_buffer(list: &mut ArgumentList<'_>, params: &FfmpegParams, scheme: Scheme) {
    let feature = match scheme {
        Scheme::Udp => Feature::UdpBufferSize,
        Scheme::Rtp => Feature::RtpBufferSize,
        Scheme::Rtsp => Feature::RtspBufferSize,
        Scheme::Http
        | Scheme::Https
        | Scheme::Rtmp
        | Scheme::Srt
        | Scheme::Tcp
        | Scheme::Test
        | Scheme::Other => return,
    };
    let bytes = params.input_buffer_bytes.min(INPUT_BUFFER_BYTES_MAX);
    if bytes > 0 {
        list.known(feature, "-buffer_size", bytes);
    }
}

fn reconnect(list: &mut ArgumentList<'_>, params: &FfmpegParams, scheme: Scheme, is_playlist: bool) {
    let reconnect = params.reconnect.normalised(Mode::Auto);
    if !scheme.is_http() || !reconnect.enabled {
        return;
    }
    list.known(Feature::Reconnect, "-reconnect", 1);
    list.known(Feature::ReconnectStreamed, "-reconnect_streamed", 1);
    // Every playlist and every segment has an end, and ffmpeg would ask for what follows it a thousand times a second
    // and never play. What is a playlist cannot always be told from its address, so the retries must be bounded too.
    let is_bounded = reconnect.retries_max >= 0 && list.capabilities.has(Feature::ReconnectMaxRetries);
    if is_bounded && !is_playlist {
        list.known(Feature::ReconnectAtEof, "-reconnect_at_eof", 1);
    }
    // Not on errors of the network: there is none between us and it, and what is refused for good would look like one.
    if !reconnect.http_errors.is_empty() {
        list.known(Feature::ReconnectOnHttpError, "-reconnect_on_http_error", &reconnect.http_errors);
    }
    if reconnect.retries_max >= 0 {
        list.known(Feature::ReconnectMaxRetries, "-reconnect_max_retries", reconnect.retries_max);
    }
    list.known(Feature::ReconnectDelayMax, "-reconnect_delay_max", seconds_up(reconnect.delay_max));
}

fn read_timeout(list: &mut ArgumentList<'_>, params: &FfmpegParams, scheme: Scheme) {
    let micros = micros_up(params.rw_timeout).min(READ_TIMEOUT_MICROS_MAX);
    if micros == 0 {
        return;
    }
    match scheme {
        Scheme::Http | Scheme::Https | Scheme::Udp | Scheme::Rtmp | Scheme::Srt | Scheme::Tcp => {
            list.known(Feature::RwTimeout, "-rw_timeout", micros);
        }
        // RTSP has a name of its own for it, and had another one before 5.0, when `-timeout` meant to listen.
        Scheme::Rtsp if list.capabilities.has(Feature::RtspStimeout) => list.option("-stimeout", micros),
        Scheme::Rtsp => list.known(Feature::RtspTimeout, "-timeout", micros),
        // RTP does not take it, and files never wait.
        Scheme::Rtp | Scheme::Test | Scheme::Other => {}
    }
}

fn input_flags(remux: Remux, params: &FfmpegParams) -> String {
    let copying = remux == Remux::Copy;
    let regenerate = copying && params.copy_regenerate_timestamps.unwrap_or(true);
    let mut flags = String::new();
    if regenerate {
        flags.push_str("+genpts");
    }
    if params.discard_corrupt {
        flags.push_str("+discardcorrupt");
    }
    flags
}

/// Which streams leave. Without a word about it ffmpeg takes the best of each kind, from wherever.
fn mapping(list: &mut ArgumentList<'_>, run: &Run) {
    let of_programme = run.program.map_or_else(String::new, |program| format!("p:{program}:"));
    // What is marked with a question may be absent. Were all of it, ffmpeg would take the best of anything.
    // A cover is no picture of a programme: sound would wait for the next one.
    let kinds: &[&str] = match (run.sound, run.tracks, run.program) {
        (Some(_), _, _) => &["a:0?"],
        (None, Tracks::All, None) => &["V:0?", "a?", "s?", "d?"],
        (None, Tracks::All, Some(_)) => &[""],
        // Builds differ in what may follow this: some take no question mark.
        (None, Tracks::Heard, _) => &["V:0?", "a:u", "s?", "d?"],
        (None, Tracks::Shown, _) => &["V:0?", "a?"],
        (None, Tracks::Best, None) => &[],
        (None, Tracks::Best, Some(_)) => &["V:0?", "a:0?"],
    };
    for kind in kinds {
        list.option("-map", format!("0:{of_programme}{kind}").trim_end_matches(':'));
    }
    if kinds == [""] {
        // All there is but what nobody knows.
        list.flags(&["-ignore_unknown"]);
    }
    if matches!(run.tracks, Tracks::All | Tracks::Heard) && run.sound.is_none() {
        if run.program.is_none() {
            // The guide of a whole multiplex is a stream to ffmpeg, by its PID.
            list.option("-map", "-0:i:18?");
        }
        // Where nothing is known to be sparse, what stays away has failed, and what is left is better held back than sent without a
        // clock.
        if run.program.is_some() || run.tracks == Tracks::Heard {
            list.option("-max_interleave_delta", INTERLEAVE_MICROS_MAX);
        }
    }
}

fn output(list: &mut ArgumentList<'_>, run: &Run) {
    mapping(list, run);
    match run.remux {
        Remux::Copy => list.flags(&["-c", "copy"]),
        Remux::Transcode => {
            list.option("-c:v", "libx264");
            // Other encoders have other words for these.
            if run.output.get("-c:v").is_none_or(|encoder| ["libx264", "libx265"].contains(&encoder)) {
                list.option("-preset", "veryfast");
                list.option("-tune", "zerolatency");
            }
            list.option("-c:a", "aac");
            list.option("-ar", "48000");
            list.option("-ac", "2");
            list.option("-c:s", "copy");
            list.option("-c:d", "copy");
        }
    }
    if !run.timestamp_offset.is_zero() {
        list.option("-output_ts_offset", seconds_with_micros(run.timestamp_offset));
    }
    if run.sound.is_some() || run.may_be_radio {
        list.option("-pes_payload_size", SOUND_PES_BYTES);
    }
}

/// The operator's options, as far as they have a meaning for this source: ffmpeg ends when one has none.
fn own_options(list: &mut ArgumentList<'_>, side: Side, run: &Run, scheme: Scheme, url: &str) {
    for (name, value) in list.own.iter() {
        let is_usual = run.remux == Remux::Transcode;
        let is_wanted = match options::needs(side, name) {
            Needs::Nothing => true,
            Needs::Http(feature) => scheme.is_http() && list.capabilities.has(feature),
            Needs::HttpStream(feature) => {
                scheme.is_http() && !run.playlist && !mode::is_playlist(url) && list.capabilities.has(feature)
            }
            Needs::Rtsp => scheme == Scheme::Rtsp,
            Needs::ReadTimeout => has_read_timeout(scheme) && list.capabilities.has(Feature::RwTimeout),
            Needs::Decoder => ['v', 'a'].into_iter().any(|kind| run.output.encode(kind, is_usual)),
            Needs::Encoder(kind) => run.output.encode(kind, is_usual),
        };
        if is_wanted {
            list.arguments.extend([name.to_owned(), value.to_owned()]);
        }
    }
}

/// Protocols that wait for their peer as `-rw_timeout` says.
const fn has_read_timeout(scheme: Scheme) -> bool {
    match scheme {
        Scheme::Http | Scheme::Https | Scheme::Udp | Scheme::Rtmp | Scheme::Srt | Scheme::Tcp => true,
        Scheme::Rtp | Scheme::Rtsp | Scheme::Test | Scheme::Other => false,
    }
}

/// What is known to be sound needs a few frames to be understood. At its own rate it comes slowly.
const SOUND_PROBE_BYTES: u64 = 8192;
const SOUND_ANALYZE: Duration = Duration::from_millis(200);
const SOUND_PES_BYTES: u32 = 512;
/// A subtitle may not come for minutes, and ffmpeg would hold everything else back for up to ten seconds of it. Less than what a
/// quick look has gathered, so that no start waits for it.
const INTERLEAVE_MICROS_MAX: u32 = 200_000;
const RATE_WITHOUT_BURST: f64 = 4.0;
/// 64 MiB, the setting's limit.
const INPUT_BUFFER_BYTES_MAX: u32 = 64 * 1024 * 1024;
/// A day. More overflows ffmpeg's own sums.
const READ_TIMEOUT_MICROS_MAX: u64 = 86_400_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ffmpeg::params::{LogLevel, Reconnect};

    /// A build that knows everything.
    const NEW: &str = "\
Advanced per-file options:
-readrate speed
-readrate_initial_burst seconds
-readrate_catchup speed

URLContext AVOptions:
  -rw_timeout <int64>

http AVOptions:
  -user_agent <string>
  -reconnect <boolean>
  -reconnect_at_eof <boolean>
  -reconnect_on_network_error <boolean>
  -reconnect_on_http_error <string>
  -reconnect_streamed <boolean>
  -reconnect_delay_max <int>
  -reconnect_max_retries <int>

udp AVOptions:
  -buffer_size <int>

RTP demuxer AVOptions:
  -buffer_size <int>

RTSP demuxer AVOptions:
  -rtsp_flags <flags>
     prefer_tcp
  -timeout <int64> of socket I/O operations
  -buffer_size <int>

libx264 AVOptions:
  -preset <string>

tls AVOptions:
  -tls_verify <boolean> (default true)
";

    fn capabilities(help: &str) -> Capabilities {
        Capabilities::parse("ffmpeg version n", help)
    }

    fn run(remux: Remux) -> Run {
        Run {
            remux,
            detection: Detection::default(),
            timestamp_offset: Duration::ZERO,
            sound: None,
            may_be_radio: false,
            tracks: Tracks::All,
            program: None,
            playlist: false,
            verification: Verification::Off,
            input: Options::default(),
            output: Options::default(),
        }
    }

    fn line_with(url: &str, run: &Run, params: &FfmpegParams, help: &str) -> String {
        arguments(url, run, params, &capabilities(help)).unwrap().join(" ")
    }

    fn line(url: &str, params: &FfmpegParams) -> String {
        line_with(url, &run(Remux::Copy), params, NEW)
    }

    #[test]
    fn the_whole_list_has_its_order() {
        let params = FfmpegParams { input_buffer_bytes: 65_536, ..FfmpegParams::default() };
        assert_eq!(
            line("http://h/1", &params),
            "-hide_banner -loglevel +level+info -nostats -nostdin -readrate 1 -readrate_catchup 1.75 \
             -readrate_initial_burst 10 -probesize 1000000 -analyzeduration 1500000 -reconnect 1 \
             -reconnect_streamed 1 -reconnect_at_eof 1 -reconnect_max_retries 1 \
             -reconnect_delay_max 3 -rw_timeout 3000000 -protocol_whitelist http,tcp,crypto,data \
             -fflags +genpts+discardcorrupt -i http://127.0.0.1/relayed -map 0:V:0? -map 0:a? -map 0:s? -map 0:d? -map -0:i:18? \
             -c copy -f mpegts pipe:1"
        );
        let recovery =
            Run { timestamp_offset: Duration::from_nanos(90_001_234_600), ..run(Remux::Transcode) };
        assert_eq!(
            line_with("udp://@239.0.0.1:1", &recovery, &params, NEW),
            "-hide_banner -loglevel +level+info -nostats -nostdin -readrate 1 -readrate_catchup 1.75 \
             -readrate_initial_burst 10 -buffer_size 65536 -probesize 1000000 -analyzeduration 1500000 \
             -rw_timeout 3000000 -protocol_whitelist udp -fflags +discardcorrupt -i udp://@239.0.0.1:1 -map 0:V:0? -map 0:a? -map 0:s? -map 0:d? -map -0:i:18? \
             -c:v libx264 -preset veryfast -tune zerolatency -c:a aac -ar 48000 -ac 2 -c:s copy -c:d copy \
             -output_ts_offset 90.001235 -f mpegts pipe:1"
        );
    }

    fn with_own(remux: Remux, input: &str, output: &str) -> Run {
        let options = |side, line: &str| {
            let arguments: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            Options::parse(side, &arguments).unwrap()
        };
        Run { input: options(Side::Input, input), output: options(Side::Output, output), ..run(remux) }
    }

    #[test]
    fn an_operators_options_stand_in_for_ours_where_they_have_a_meaning() {
        let (http, udp, rtsp) = ("http://h/1", "udp://h:1", "rtsp://h/1");
        let (copy, transcode) = (Remux::Copy, Remux::Transcode);
        for (url, remux, input, output, present, absent) in [
            (http, copy, "-probesize 5000", "", " -probesize 5000 -i", "-probesize 1000000"),
            (http, copy, "-fflags +nobuffer", "", "-fflags +genpts+discardcorrupt -fflags +nobuffer -i", "x"),
            (http, copy, "-reconnect_delay_max 9", "", "-reconnect_delay_max 9 -i", "-reconnect_delay_max 3"),
            (udp, copy, "-reconnect 1 -rw_timeout 7", "", "-rw_timeout 7 -i", "-reconnect"),
            ("http://h/1.m3u8", copy, "-reconnect_at_eof 1", "", "-i", "-reconnect_at_eof"),
            (rtsp, copy, "-rtsp_transport udp", "", "-rtsp_transport udp -i", "prefer_tcp"),
            (http, copy, "-rtsp_transport udp", "", "-i", "-rtsp_transport"),
            (http, copy, "-hwaccel vaapi", "", "-i", "-hwaccel"),
            (http, copy, "-hwaccel vaapi", "-c:a aac", "-hwaccel vaapi -i", "x"),
            (http, transcode, "-hwaccel vaapi", "", "-hwaccel vaapi -i", "x"),
            (
                http,
                copy,
                "",
                "-c:a aac -b:a 96k -vf null",
                "-c copy -c:a aac -b:a 96k -f mpegts",
                "-filter:v",
            ),
            (
                http,
                transcode,
                "",
                "-b:v 2M -vf scale=640:-2",
                " -b:v 2M -filter:v scale=640:-2 -f mpegts",
                "x",
            ),
            (http, transcode, "", "-preset slow", "-tune zerolatency", "veryfast"),
            (http, transcode, "", "-c:v h264_vaapi -ac 6", " -c:v h264_vaapi -ac 6 -f", "libx264"),
            (http, transcode, "", "-c:v h264_vaapi", "-c:v h264_vaapi", "-preset"),
            (http, transcode, "", "-c:v libx265", "-preset veryfast", "libx264"),
            (http, transcode, "", "-c:v copy -crf 20", "-c:v copy", "-crf"),
        ] {
            let line = line_with(url, &with_own(remux, input, output), &reconnecting(), NEW);
            assert!(line.contains(present), "{input} {output}: {line}");
            assert!(!line.contains(absent) || absent == "x", "{input} {output}: {line}");
            assert!(line.ends_with(" -f mpegts pipe:1"), "{line}");
        }
    }

    #[test]
    fn an_encoder_of_the_operators_stands_in_for_one_that_is_missing() {
        let with = |output| {
            let run = with_own(Remux::Transcode, "", output);
            arguments("http://h/1", &run, &FfmpegParams::default(), &capabilities("")).is_ok()
        };
        assert!(!with("-b:v 2M"));
        assert!(with("-c:v mpeg2video"));
    }

    fn reconnecting() -> FfmpegParams {
        let reconnect = Reconnect {
            enabled: true,
            delay_max: Duration::from_secs(3),
            retries_max: 1,
            http_errors: String::new(),
        };
        FfmpegParams { reconnect, ..FfmpegParams::default() }
    }

    #[test]
    fn http_is_read_through_us_and_nothing_of_the_source_is_told() {
        for url in ["https://u:secret@h/1.m3u8?t=secret", " HTTP://h/secret", "http://h/secret.mpd"] {
            let line = line_with(url, &run(Remux::Copy), &reconnecting(), NEW);
            assert!(line.contains("-protocol_whitelist http,tcp,crypto,data "), "{line}");
            assert!(line.contains(&format!(" -i {RELAYED_ADDRESS} ")), "{line}");
            assert!(line.contains("-reconnect 1 ") && line.contains("-rw_timeout"), "{line}");
            for absent in ["secret", "-headers", "-tls_verify", "-reconnect_on_network_error"] {
                assert!(!line.contains(absent), "{absent}: {line}");
            }
        }
    }

    #[test]
    fn each_setting_has_its_rule() {
        let params = FfmpegParams::default;
        let reconnect = |retries_max, millis, list: &str| Reconnect {
            enabled: true,
            delay_max: Duration::from_millis(millis),
            retries_max,
            http_errors: list.to_owned(),
        };
        for (params, present, absent) in [
            (
                FfmpegParams { readrate: 1.25, readrate_catchup: 1.0, ..params() },
                "-readrate 1.25 -readrate_catchup 1.25 ",
                "1.75",
            ),
            (
                FfmpegParams { readrate: -2.0, readrate_catchup: f64::NAN, ..params() },
                "-readrate 1 -readrate_catchup 1 ",
                "-2",
            ),
            (FfmpegParams { initial_burst_seconds: 0, ..params() }, "-readrate_initial_burst 1 ", "burst 0"),
            (
                FfmpegParams {
                    detection: Detection { probe_bytes: 5, analyze: Duration::from_millis(10) },
                    ..params()
                },
                "-probesize 1000000",
                "128000",
            ),
            (
                FfmpegParams { rw_timeout: Duration::from_nanos(1500), ..params() },
                "-rw_timeout 2 ",
                "3000000",
            ),
            (FfmpegParams { rw_timeout: Duration::ZERO, ..params() }, "-i http", "-rw_timeout"),
            (
                FfmpegParams { rw_timeout: Duration::MAX, ..params() },
                "-rw_timeout 86400000000 ",
                "18446744073709551615",
            ),
            (FfmpegParams { discard_corrupt: false, ..params() }, "-fflags +genpts -i", "discard"),
            (
                FfmpegParams { copy_regenerate_timestamps: Some(false), ..params() },
                "-fflags +discardcorrupt -i",
                "genpts",
            ),
            (
                FfmpegParams { copy_regenerate_timestamps: Some(false), discard_corrupt: false, ..params() },
                "-i http",
                "-fflags",
            ),
            (FfmpegParams { log_level: LogLevel::Error, ..params() }, "-loglevel +level+info ", "warning"),
            (FfmpegParams { log_level: LogLevel::Debug, ..params() }, "-loglevel +level+debug ", "info"),
            (
                FfmpegParams { reconnect: reconnect(0, 1500, "404,429"), ..params() },
                "-reconnect_on_http_error 404,429 -reconnect_max_retries 0 -reconnect_delay_max 2 ",
                "delay_max 1 ",
            ),
            (
                FfmpegParams { reconnect: reconnect(-1, 0, ""), ..params() },
                "-reconnect_streamed 1 -reconnect_delay_max 0 ",
                "max_retries",
            ),
            (
                FfmpegParams { reconnect: reconnect(-1, 0, ""), ..params() },
                "-reconnect_streamed 1 ",
                "at_eof",
            ),
            (
                FfmpegParams {
                    reconnect: Reconnect { enabled: false, ..reconnect(5, 5, "404") },
                    ..params()
                },
                "-i http",
                "-reconnect",
            ),
        ] {
            let line = line("http://h/1", &params);
            assert!(line.contains(present), "{present:?} in {line}");
            assert!(!line.contains(absent), "{absent:?} not in {line}");
        }
    }

    #[test]
    fn the_end_of_a_playlist_is_no_reason_to_connect_again() {
        let old: String = NEW
            .lines()
            .filter(|line| !line.contains("reconnect_max_retries"))
            .flat_map(|line| [line, "\n"])
            .collect();
        for (url, help, has_it) in [
            ("http://h/1", NEW, true),
            ("http://h/1.ts?x=.m3u8", NEW, true),
            ("http://h/list.m3u8?token=1", NEW, false),
            ("https://h/manifest.mpd", NEW, false),
            ("http://h/1", old.as_str(), false),
        ] {
            let line = line_with(url, &run(Remux::Copy), &FfmpegParams::default(), help);
            assert_eq!(line.contains("-reconnect_at_eof"), has_it, "{line}");
            assert!(line.contains("-reconnect_streamed 1"), "{line}");
        }
    }

    #[test]
    fn a_run_brings_its_own_detection_and_offset() {
        for (detection, offset, expected) in [
            (
                Detection { probe_bytes: 16_384, analyze: Duration::from_millis(100) }.effective(),
                0,
                "-probesize 128000 -analyzeduration 1000000",
            ),
            (Detection { probe_bytes: 0, analyze: Duration::ZERO }, 400, "-output_ts_offset 0.000000 -f"),
            (Detection::default().quick(0), 0, "-probesize 200000 -analyzeduration 400000"),
            (
                Detection::default().relaxed(Duration::MAX).unwrap(),
                0,
                "-probesize 2000000 -analyzeduration 3000000",
            ),
            (
                Detection::default().after_sound(Duration::MAX).unwrap(),
                0,
                "-probesize 2000000 -analyzeduration 200000",
            ),
        ] {
            let run = Run { detection, timestamp_offset: Duration::from_nanos(offset), ..run(Remux::Copy) };
            let line = line_with("http://h/1", &run, &FfmpegParams::default(), NEW);
            assert!(line.contains(expected), "{expected} in {line}");
        }
    }

    #[test]
    fn every_track_of_one_programme_is_taken() {
        let all = "-map 0:V:0? -map 0:a? -map 0:s? -map 0:d? -map -0:i:18? -c copy";
        let heard =
            "-map 0:V:0? -map 0:a:u -map 0:s? -map 0:d? -map -0:i:18? -max_interleave_delta 200000 -c copy";
        let of_two =
            "-i http://127.0.0.1/relayed -map 0:p:2 -ignore_unknown -max_interleave_delta 200000 -c copy";
        for (tracks, program, sound, is_listed, expected) in [
            (Tracks::All, None, None, true, all),
            (Tracks::Heard, None, None, true, heard),
            (Tracks::All, Some(2), None, false, of_two),
            (Tracks::Shown, None, None, true, "-map 0:V:0? -map 0:a? -c copy"),
            (Tracks::Shown, Some(0), None, false, "-map 0:p:0:V:0? -map 0:p:0:a? -c copy"),
            (Tracks::Best, None, None, false, "-i http://127.0.0.1/relayed -c copy"),
            (
                Tracks::Best,
                Some(2),
                None,
                false,
                "-i http://127.0.0.1/relayed -map 0:p:2:V:0? -map 0:p:2:a:0? -c copy",
            ),
            (Tracks::All, None, Some(Sound::Mp3), false, "-i http://127.0.0.1/relayed -map 0:a:0? -c copy"),
        ] {
            let run = Run { tracks, program, sound, ..run(Remux::Copy) };
            let line = line_with("http://h/1", &run, &FfmpegParams::default(), NEW);
            assert!(line.contains(expected), "{expected} in {line}");
            assert_eq!(line.contains("-loglevel +level+info -nostats "), is_listed, "{line}");
            assert_eq!(run.listing("http://h/1", &FfmpegParams::default()).is_some(), is_listed, "{line}");
        }
        assert_eq!(run(Remux::Copy).listing("test://pattern", &FfmpegParams::default()), None);
    }

    #[test]
    fn a_playlist_is_one_whatever_its_name() {
        let run = Run { playlist: true, ..run(Remux::Copy) };
        assert!(!line_with("http://h/1", &run, &FfmpegParams::default(), NEW).contains("-reconnect_at_eof"));
    }

    #[test]
    fn an_option_is_given_only_to_protocols_that_take_it() {
        let params = FfmpegParams { input_buffer_bytes: u32::MAX, ..FfmpegParams::default() };
        for (url, expected) in [
            ("http://h/1", &["-reconnect", "-rw_timeout"][..]),
            ("HTTPS://h/1", &["-reconnect", "-rw_timeout"]),
            ("udp://@239.0.0.1:1", &["-buffer_size", "-rw_timeout"]),
            ("rtp://239.0.0.1:1", &["-buffer_size"]),
            ("rtsp://h/1", &["-buffer_size", "-timeout", "-rtsp_flags"]),
            ("rtmp://h/1", &["-rw_timeout"]),
            ("rtmps://h/1", &["-tls_verify", "-rw_timeout"]),
            ("srt://h:1", &["-rw_timeout"]),
            ("tcp://h:1", &["-rw_timeout"]),
            ("/srv/x.ts", &[]),
            ("file:///srv/x.ts", &[]),
        ] {
            let list = arguments(url, &run(Remux::Copy), &params, &capabilities(NEW)).unwrap();
            let special = [
                "-buffer_size",
                "-reconnect",
                "-tls_verify",
                "-rw_timeout",
                "-timeout",
                "-stimeout",
                "-rtsp_flags",
            ];
            let found: Vec<&str> =
                list.iter().map(String::as_str).filter(|argument| special.contains(argument)).collect();
            assert_eq!(found, expected, "{url}");
            assert_eq!(list.contains(&"67108864".to_owned()), expected.contains(&"-buffer_size"), "{url}");
        }
    }

    #[test]
    fn an_option_the_build_lacks_is_left_out() {
        let old = "URLContext AVOptions:\n  -rw_timeout\nhttp AVOptions:\n  -reconnect\n";
        assert_eq!(
            line_with("http://h/1", &run(Remux::Copy), &FfmpegParams::default(), old),
            "-hide_banner -loglevel +level+info -nostats -nostdin -re -probesize 1000000 -analyzeduration 1500000 -reconnect 1 \
             -rw_timeout 3000000 -protocol_whitelist http,tcp,crypto,data -fflags +genpts+discardcorrupt -i http://127.0.0.1/relayed -map 0:V:0? -map 0:a? -map 0:s? -map 0:d? -map -0:i:18? \
             -c copy -f mpegts pipe:1"
        );
        let fast = FfmpegParams { readrate: 4.0, ..FfmpegParams::default() };
        assert!(!line_with("http://h/1", &run(Remux::Copy), &fast, old).contains("-re "));
        let unburst = format!("-readrate speed\n{old}");
        let line = |rate| {
            let params = FfmpegParams { readrate: rate, ..FfmpegParams::default() };
            line_with("http://h/1", &run(Remux::Copy), &params, &unburst)
        };
        assert!(line(1.0).contains("-readrate 4 -probesize"), "its beginning is not held back");
        assert!(line(20.0).contains("-readrate 20 -probesize"));
        let rtsp = "RTSP demuxer AVOptions:\n  -stimeout <int64>\n  -timeout <int> to wait for incoming\n";
        assert!(
            line_with("rtsp://h/1", &run(Remux::Copy), &FfmpegParams::default(), rtsp)
                .contains("-stimeout 3000000")
        );
        for (url, remux) in [("http://h/1", Remux::Transcode), ("test://pattern", Remux::Copy)] {
            let error =
                arguments(url, &run(remux), &FfmpegParams::default(), &capabilities(old)).unwrap_err();
            assert_eq!(error.to_string(), "start ffmpeg: the installed ffmpeg cannot encode H.264 (libx264)");
        }
    }
}
