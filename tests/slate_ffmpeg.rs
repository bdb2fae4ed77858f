//! Slates that ffmpeg has encoded, looped by us and decoded by ffmpeg again.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tunerd::base::Instant;
use tunerd::filler::slate::{Slate, SlateSpec, ffmpeg_arguments, ffmpeg_arguments_without_text};
use tunerd::filler::{Due, Filler, KeepaliveTotals, Mode, Params as FillerParams};
use tunerd::ts::es::FrameRate;
use tunerd::ts::{Codec, StreamProfile};

fn run(program: &str, arguments: &[String], input: Vec<u8>) -> Output {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} cannot be started ({error}); scripts/test installs it"));
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        // Who decodes enough closes early.
        let _closed = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{program} {arguments:?}: {complaints}");
    output
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn encode(spec: &SlateSpec) -> Arc<Slate> {
    let output = run("ffmpeg", &ffmpeg_arguments(spec), Vec::new());
    Arc::new(Slate::parse(&output.stdout).unwrap_or_else(|error| panic!("{spec:?}: {error}")))
}

/// What the filler publishes in so many seconds, called whenever it wants to be.
fn play(slate: Arc<Slate>, seconds: u64) -> Vec<u8> {
    let params = FillerParams { mode: Mode::SlateAv, interval: Duration::from_millis(200), has_audio: true };
    let start = Instant::from_millis(12_345);
    let mut filler = Filler::start(start, params, Some(slate), None, KeepaliveTotals::default());
    let mut out = Vec::new();
    while let Some(now) = filler.next_deadline().filter(|now| *now - start < Duration::from_secs(seconds)) {
        let before = out.len();
        assert_eq!(filler.due(now, &mut out), Due::Slate);
        filler.published(now, u64::try_from(out.len() - before).unwrap());
    }
    let report = filler.report();
    assert_eq!((report.mode, report.guardrail_count), (Some(Mode::SlateAv), 0));
    out
}

/// Plays ten seconds, has ffmpeg decode them without a word, and counts the pictures and samples it decodes.
fn decoded(slate: Arc<Slate>) -> (usize, usize) {
    let played = play(slate, 10);
    let decode = words("-v warning -nostdin -xerror -f mpegts -i pipe:0 -f null -");
    run("ffmpeg", &decode, played.clone());
    let count = |what: &str, per: usize| {
        let decode = format!(
            "-v error -nostdin -f mpegts -i pipe:0 -map 0:{what} -fps_mode passthrough -f framemd5 pipe:1"
        );
        let output = run("ffmpeg", &words(&decode), played.clone());
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| if per == 0 { line.split(',').nth(3).unwrap().trim().parse().unwrap() } else { per })
            .sum::<usize>()
    };
    (count("v", 1), count("a", 0))
}

#[test]
fn the_built_in_slate_is_decoded_without_a_word_and_whole() {
    let (pictures, ticks) = decoded(Slate::built_in().unwrap());
    assert_eq!(pictures, 250);
    assert!(ticks.abs_diff(480_000) <= 2048, "{ticks} samples");
}

#[test]
fn the_built_in_slate_is_what_an_encoder_makes() {
    let profile = StreamProfile { frame_rate: FrameRate::new(25, 1), ..StreamProfile::default() };
    let (own, made) =
        (Slate::built_in().unwrap(), encode(&SlateSpec::of(&profile, "Channel recovering...", true)));
    let video = |slate: &Slate| (slate.video().codec, slate.video().rate, slate.video().pictures.len());
    let sound = |slate: &Slate| slate.sound().map(|sound| (sound.codec, sound.samples, sound.sample_rate));
    assert_eq!((video(&own), sound(&own)), (video(&made), sound(&made)));
    // Fonts differ from host to host.
    assert!(picture(own).iter().any(|pixel| *pixel > 180), "it says something");
}

#[test]
fn every_codec_is_looped_and_decoded_without_a_word_and_whole() {
    for (video, size, frame_rate, audio, sample_rate, channels) in [
        (Codec::Hevc, (1920, 1080), 59.94, Codec::Ac3, 48_000, 2),
        (Codec::H264, (1920, 1080), 50.0, Codec::Eac3, 48_000, 6),
        (Codec::H264, (852, 480), 23.976, Codec::Aac, 44_100, 1),
        (Codec::Mpeg2Video, (720, 576), 25.0, Codec::Mpeg1Audio, 48_000, 2),
        (Codec::Mpeg2Video, (704, 480), 29.97, Codec::Ac3, 44_100, 6),
        (Codec::H264, (426, 240), 12.5, Codec::Aac, 48_000, 6),
        (Codec::H264, (320, 180), 5.0, Codec::Mpeg1Audio, 44_100, 1),
        (Codec::H264, (640, 360), 60.02, Codec::Aac, 48_000, 8),
    ] {
        let profile = StreamProfile {
            video_codec: Some(video.into()),
            width: size.0,
            height: size.1,
            frame_rate: FrameRate::of_f64(frame_rate),
            audio_codec: Some(audio.into()),
            sample_rate,
            channels,
            bitrate_bps: 0,
        };
        let slate = encode(&SlateSpec::of(&profile, "Channel recovering...", true));
        let (rate, sound) = (slate.video().rate, slate.sound().unwrap().clone());
        assert_eq!((slate.video().codec, sound.codec, sound.sample_rate), (video, audio, sample_rate));
        let (pictures, samples) = decoded(slate);
        let expected = usize::try_from(10 * rate.num / rate.den).unwrap();
        assert!(pictures.abs_diff(expected) <= 1, "{profile:?}: {pictures} pictures at {rate}");
        let expected = usize::try_from(10 * sample_rate).unwrap();
        assert!(samples.abs_diff(expected) <= 4096, "{profile:?}: {samples} samples");
    }
}

/// The brightness of the first picture, pixel by pixel.
fn picture(slate: Arc<Slate>) -> Vec<u8> {
    let decode = "-v error -nostdin -f mpegts -i pipe:0 -frames:v 1 -pix_fmt gray -f rawvideo pipe:1";
    run("ffmpeg", &words(decode), play(slate, 3)).stdout
}

#[test]
fn any_text_is_drawn_as_it_stands() {
    let profile = StreamProfile {
        width: 640,
        height: 360,
        frame_rate: FrameRate::new(25, 1),
        ..StreamProfile::default()
    };
    let drawn = |text: &str| picture(encode(&SlateSpec::of(&profile, text, false)));
    let black = {
        let spec = SlateSpec::of(&profile, "x", false);
        let output = run("ffmpeg", &ffmpeg_arguments_without_text(&spec), Vec::new());
        picture(Arc::new(Slate::parse(&output.stdout).unwrap()))
    };
    assert!(black.iter().all(|pixel| *pixel < 40));
    let mut seen = vec![black];
    for text in [
        "it's 100%: [x];,='y' \\n %{n} \"z\"",
        "its 100%: [x];,='y' \\n %{n} \"z\"",
        "it's 100: [x];,='y' \\n %{n} \"z\"",
        "it's 100% [x];,='y' \\n %{n} \"z\"",
        "it's 100%: x;,='y' \\n %{n} \"z\"",
        "it's 100%: [x]='y' \\n %{n} \"z\"",
        "it's 100%: [x];,y \\n %{n} \"z\"",
        "it's 100%: [x];,='y' n %{n} \"z\"",
        "it's 100%: [x];,='y' \\n n \"z\"",
        "'",
        "\\",
        "%",
        ":",
    ] {
        let picture = drawn(text);
        assert!(picture.iter().any(|pixel| *pixel > 180), "{text} is not drawn");
        assert!(!seen.contains(&picture), "{text} looks like another text");
        seen.push(picture);
    }
}
