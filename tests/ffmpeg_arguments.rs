//! The argument lists run: the installed ffmpeg takes each of them and delivers a transport stream.
//!
//! An option that no part of ffmpeg takes ends it only after the input was opened, so every protocol needs a
//! sender. Needs `ffmpeg` with libx264 on the path.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tunerd::source::ffmpeg::{
    Capabilities, Detection, Feature, FfmpegParams, Listing, LogLevel, Options, Reconnect, Run, Side, Tracks,
    Verification, arguments, levelled,
};
use tunerd::source::{RELAYED_ADDRESS, Remux};

const PACKET: usize = 188;

/// A child that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // A child that has ended by itself cannot be killed, and that is as good.
        self.0.kill().ok();
        self.0.wait().unwrap();
    }
}

fn output_of(arguments: &[&str]) -> String {
    let output =
        Command::new("ffmpeg").args(arguments).stdin(Stdio::null()).output().expect("ffmpeg is installed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn installed() -> Capabilities {
    Capabilities::parse(
        &output_of(&["-hide_banner", "-version"]),
        &output_of(&["-hide_banner", "-h", "full"]),
    )
}

/// Everything switched on.
fn params() -> FfmpegParams {
    FfmpegParams {
        readrate: 20.0,
        input_buffer_bytes: 400_000,
        reconnect: Reconnect { http_errors: "429,503".to_owned(), ..FfmpegParams::default().reconnect },
        ..FfmpegParams::default()
    }
}

fn run(remux: Remux) -> Run {
    Run {
        remux,
        detection: Detection::default(),
        timestamp_offset: Duration::from_millis(1500),
        sound: None,
        may_be_radio: false,
        tracks: Tracks::All,
        program: None,
        playlist: false,
        verification: Verification::default(),
        input: Options::default(),
        output: Options::default(),
    }
}

/// A small file with video and audio, and the folder it lies in.
fn small_file() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.ts").to_str().unwrap().to_owned();
    let status = Command::new("ffmpeg")
        .args([
            "-hide_banner",
            "-loglevel",
            "error",
            "-nostdin",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=160x90:rate=25",
        ])
        .args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", "4", "-c:v", "libx264"])
        .args([
            "-preset",
            "ultrafast",
            "-tune",
            "zerolatency",
            "-pix_fmt",
            "yuv420p",
            "-g",
            "25",
            "-c:a",
            "aac",
        ])
        .args(["-f", "mpegts", &path])
        .status()
        .unwrap();
    assert!(status.success());
    (folder, path)
}

fn ffmpeg(arguments: &[String]) -> Killed {
    let child = Command::new("ffmpeg")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    Killed(child)
}

/// The first packets of a source, or what ffmpeg said instead.
fn first_packets(url: &str, remux: Remux, count: usize) -> Result<Vec<u8>, String> {
    packets_of(url, &run(remux), count)
}

fn packets_of(url: &str, run: &Run, count: usize) -> Result<Vec<u8>, String> {
    let mut list = arguments(url, run, &params(), &installed()).unwrap();
    for argument in list.iter_mut().filter(|argument| *argument == RELAYED_ADDRESS) {
        url.clone_into(argument);
    }
    let mut child = ffmpeg(&list);
    let mut bytes = vec![0; count * PACKET];
    let outcome = child.0.stdout.take().unwrap().read_exact(&mut bytes);
    if outcome.is_ok() {
        return Ok(bytes);
    }
    let mut said = String::new();
    child.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    Err(format!("{list:?}\n{said}"))
}

#[track_caller]
fn assert_is_transport_stream(bytes: &[u8]) {
    assert!(!bytes.is_empty() && bytes.chunks(PACKET).all(|packet| packet[0] == 0x47), "packets are aligned");
}

/// A sender that loops over a file.
fn sender(path: &str, output: &[&str]) -> Killed {
    let head = [
        "-hide_banner",
        "-loglevel",
        "error",
        "-nostdin",
        "-re",
        "-stream_loop",
        "-1",
        "-i",
        path,
        "-c",
        "copy",
    ];
    let list: Vec<String> = head.iter().chain(output).map(|&argument| argument.to_owned()).collect();
    ffmpeg(&list)
}

fn free_udp_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn free_tcp_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Asks again until a sender that is itself only starting answers.
fn first_packets_once_up(url: &str) -> Vec<u8> {
    let mut last = String::new();
    for _attempt in 0..100 {
        match first_packets(url, Remux::Copy, 10) {
            Ok(bytes) => return bytes,
            Err(said) => last = said,
        }
        assert!(!last.contains("not found") && !last.contains("Unrecognized"), "{last}");
    }
    panic!("{last}");
}

#[test]
fn the_installed_ffmpeg_is_understood() {
    let capabilities = installed();
    assert_ne!(capabilities.version(), "unknown");
    for feature in
        [Feature::Reconnect, Feature::TlsVerify, Feature::RwTimeout, Feature::X264, Feature::RtspPreferTcp]
    {
        assert!(capabilities.has(feature), "{feature:?}");
    }
}

#[test]
fn files_are_copied_and_encoded() {
    let (_folder, path) = small_file();
    for remux in [Remux::Copy, Remux::Transcode] {
        for url in [path.clone(), format!("file://{path}")] {
            assert_is_transport_stream(&first_packets(&url, remux, 100).unwrap());
        }
    }
}

/// The first packets of a file when these streams of it are taken.
fn first_packets_of(path: &str, tracks: Tracks, program: Option<u16>) -> Result<Vec<u8>, String> {
    let run = Run { tracks, program, ..run(Remux::Copy) };
    let mut child = ffmpeg(&arguments(path, &run, &params(), &installed()).unwrap());
    let mut bytes = vec![0; 100 * PACKET];
    let outcome = child.0.stdout.take().unwrap().read_exact(&mut bytes);
    let mut said = String::new();
    if outcome.is_err() {
        child.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    }
    outcome.map(|()| bytes).map_err(|_end| said)
}

#[test]
fn streams_are_taken_as_they_are_named() {
    let (_folder, path) = small_file();
    for tracks in [Tracks::All, Tracks::Heard, Tracks::Shown, Tracks::Best] {
        for program in [None, Some(1)] {
            assert_is_transport_stream(&first_packets_of(&path, tracks, program).unwrap());
        }
    }
    let said = first_packets_of(&path, Tracks::All, Some(9)).map(drop).unwrap_err();
    assert!(said.contains("matches no streams"), "{said}");
}

#[test]
fn what_the_input_is_is_said_before_anything_is_written() {
    let (_folder, path) = small_file();
    let list = arguments(&path, &run(Remux::Copy), &params(), &installed()).unwrap();
    let mut child = ffmpeg(&list);
    // Open until the end of the process, which would say that its pipe is broken.
    let mut stdout = child.0.stdout.take().unwrap();
    stdout.read_exact(&mut [0; PACKET]).unwrap();
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    drop(stdout);
    let mut said = String::new();
    child.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let mut listing = Listing::default();
    for line in said.lines() {
        let (level, words) = levelled(line).unwrap_or_else(|| panic!("{line}"));
        assert!(level >= LogLevel::Warning, "{words}");
        listing.push(&words);
    }
    assert!(listing.is_complete() && !listing.needs_choice(), "{said}");
    assert_eq!(listing.choice(tunerd::source::hls::VariantMax::Best), Some(1), "{said}");
}

fn options(side: Side, line: &str) -> Options {
    let arguments: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
    Options::parse(side, &arguments).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// An option that has no meaning for a source would end ffmpeg.
#[test]
fn an_operators_options_are_taken_whatever_the_source() {
    let (_folder, path) = small_file();
    let input = "-probesize 500000 -analyzeduration 500000 -fpsprobesize 2 -fflags +genpts+nobuffer -flags +low_delay \
        -err_detect +ignore_err -max_delay 500000 -thread_queue_size 64 -rw_timeout 5000000 -reconnect 1 \
        -reconnect_streamed 1 -reconnect_at_eof 1 -reconnect_on_network_error 1 -reconnect_on_http_error 5xx \
        -reconnect_max_retries 2 -reconnect_delay_max 2 -rtsp_transport tcp -hwaccel none -threads 1";
    for (remux, output) in [
        (
            Remux::Transcode,
            "-c:v libx264 -b:v 400k -maxrate 500k -bufsize 500k -preset ultrafast -tune zerolatency -profile:v main -level 4.1 \
             -g 25 -keyint_min 25 -sc_threshold 0 -bf 0 -refs 1 -r 25 -s 96x54 -aspect 16:9 -pix_fmt yuv420p \
             -field_order progressive -vf yadif,scale='min(128,iw)':-2 -c:a ac3 -b:a 96k -ac 1 -ar 44100 \
             -sample_fmt fltp -af volume=0.5,aresample=44100 -bsf:v dump_extra=freq=keyframe -threads 1",
        ),
        (Remux::Transcode, "-c:v mpeg2video -q:v 5 -c:a copy -b:a 64k"),
        (Remux::Transcode, "-crf 30 -qp 30 -q:a 2"),
        (Remux::Copy, "-c:a mp2 -b:a 96k -vf scale=96:54 -s 96x54 -crf 20 -bsf:v h264_metadata=level=4.1"),
        (Remux::Copy, "-af volume=0.5 -ac 1 -preset fast"),
    ] {
        let wish =
            Run { input: options(Side::Input, input), output: options(Side::Output, output), ..run(remux) };
        assert_is_transport_stream(&packets_of(&path, &wish, 100).unwrap());
    }
}

#[test]
fn http_is_read_from_whoever_stands_in_for_its_server() {
    let (_folder, path) = small_file();
    let body = fs::read(Path::new(&path)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/live.ts", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            head.extend_from_slice(&byte);
        }
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n").unwrap();
        // The reader leaves when it has seen enough.
        socket.write_all(&body).ok();
    });
    assert_is_transport_stream(&first_packets(&url, Remux::Copy, 50).unwrap());
    server.join().unwrap();
}

#[test]
fn tcp_is_read() {
    let (_folder, path) = small_file();
    let body = fs::read(Path::new(&path)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || listener.accept().unwrap().0.write_all(&body).ok());
    assert_is_transport_stream(&first_packets(&url, Remux::Copy, 50).unwrap());
    server.join().unwrap();
}

#[test]
fn datagrams_are_read_bare_and_in_rtp() {
    let (_folder, path) = small_file();
    for (scheme, muxer) in [("udp", "mpegts"), ("rtp", "rtp_mpegts")] {
        let url = format!("{scheme}://127.0.0.1:{}", free_udp_port());
        let _sender = sender(&path, &["-f", muxer, &url]);
        assert_is_transport_stream(&first_packets(&url, Remux::Copy, 10).unwrap());
    }
}

#[test]
fn srt_and_rtmp_are_read() {
    let (_folder, path) = small_file();
    let srt = format!("srt://127.0.0.1:{}", free_udp_port());
    let _srt_sender = sender(&path, &["-f", "mpegts", &format!("{srt}?mode=listener")]);
    let rtmp = format!("rtmp://127.0.0.1:{}/live/one", free_tcp_port());
    let _rtmp_sender = sender(&path, &["-bsf:a", "aac_adtstoasc", "-f", "flv", "-listen", "1", &rtmp]);
    for url in [srt, rtmp] {
        assert_is_transport_stream(&first_packets_once_up(&url));
    }
}

#[test]
fn the_test_pattern_has_its_bitrate_and_tables_in_front_of_pictures() {
    let url = "test://pattern?bitrate=3000000&size=320x180&rate=25";
    let bytes = first_packets(url, Remux::Copy, 2500).unwrap();
    assert_is_transport_stream(&bytes);
    let count = |pid: u16| {
        let of = |packet: &&[u8]| u16::from_be_bytes([packet[1] & 0x1F, packet[2]]) == pid;
        bytes.chunks(PACKET).filter(of).count()
    };
    // 2500 packets at 3 Mbit/s are 1.25 s: 31 pictures, each behind a PAT.
    assert!((28..=45).contains(&count(0)), "{} PATs", count(0));
    assert!(count(0x1FFF) < 250, "{} null packets of 2500", count(0x1FFF));
}
