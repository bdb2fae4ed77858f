//! What ffmpeg and ffprobe are asked for, and how many connections that costs. Scripts stand in for them that note how
//! they are called and pass the call on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::{Daemon, LONG, PROGRAMME, Process, Stopwatch, Upstream, judge, programme, run, until};

const SHORT: Duration = Duration::from_secs(5);
/// What a listener waits at most, on a busy machine: two processes are started, one behind the other.
const FIRST_SOUND: Duration = Duration::from_secs(3);
const COPY: (&str, &str) = ("STREAM_MODE", "ffmpeg-copy");
/// Without a picture for recoveries ffmpeg is run for sources only.
const NO_SLATE: (&str, &str) = ("RECOVERY_FILLER_MODE", "psi");

/// Notes its call, and which of those before it still run, when it is called for a source.
const NOTING: &str = r#"#!/bin/sh
here=$(dirname "$0")
case " $* " in *" -probesize "*) ;; *) exec ffmpeg "$@" ;; esac
for before in $(cat "$here/numbers" 2>/dev/null); do
    if kill -0 "$before" 2>/dev/null; then echo "$before" >>"$here/overlaps"; fi
done
echo $$ >>"$here/numbers"
# Headers end lines of their own.
echo "$*" | tr -d '\r\n' >>"$here/calls"
echo >>"$here/calls"
"#;

/// A script in a folder of its own.
struct Script(TempDir);

impl Script {
    fn new(text: &str) -> Script {
        let script = Script(tempfile::tempdir().unwrap());
        let path = script.path();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        script
    }

    /// One that stands in for ffmpeg: notes, and goes on like this.
    fn noting(rest: &str) -> Script {
        Self::new(&format!("{NOTING}{rest}"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("script")
    }

    fn name(&self) -> String {
        self.path().into_os_string().into_string().unwrap()
    }

    fn lines(&self, file: &str) -> Vec<String> {
        let text = fs::read_to_string(self.0.path().join(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// How often it was called for a source, never while an earlier one ran.
    fn calls(&self) -> Vec<String> {
        assert_eq!(self.lines("overlaps"), Vec::<String>::new(), "one after the other");
        self.lines("calls")
    }
}

fn row(daemon: &Daemon) -> Value {
    daemon.tuners()["tuners"][0].clone()
}

/// A stream of these parts that ffmpeg has encoded.
fn encoded(arguments: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("encoded.ts");
    let all = format!("-v error -nostdin {arguments} -f mpegts");
    let all: Vec<_> = all.split_whitespace().chain([path.to_str().unwrap()]).collect();
    run("ffmpeg", &all);
    fs::read(&path).unwrap()
}

#[test]
fn a_first_look_that_misses_the_sound_is_repeated_once_and_longer_when_its_process_is_gone() {
    // The first look finds no sound.
    let ffmpeg = Script::noting(
        r#"
case " $* " in *" -probesize 2000000 "*) exec ffmpeg "$@" ;; esac
count=$#
for word; do
    shift
    count=$((count - 1))
    if [ "$count" = 0 ]; then set -- "$@" -an; fi
    set -- "$@" "$word"
done
exec ffmpeg "$@"
"#,
    );
    let upstream = Upstream::start();
    upstream.offer("/file/a", programme(), PROGRAMME);
    let mut daemon = Daemon::start(&[COPY, NO_SLATE, ("FFMPEG_PATH", &ffmpeg.name())]);
    daemon.channel("100", &[upstream.url("/file/a")]);
    let mut viewer = daemon.open("/auto/v100");
    assert_eq!(judge(&viewer.watch(Duration::from_secs(1))).faults(), 0);
    let row = row(&daemon);
    for (field, expected) in [
        ("source_startup_retry_relaxed_probe", json!(true)),
        ("source_startup_retry_relaxed_probe_reason", json!("startup_detection_incomplete")),
        ("source_startup_component_state", json!("video_audio")),
        ("source_startup_inventory_method", json!("pmt")),
        ("source_startup_random_access_ready", json!(true)),
        ("source_startup_random_access_codec", json!("h264")),
    ] {
        assert_eq!(row[field], expected, "{field}: {row}");
    }
    let producer = row["producer"].as_str().unwrap();
    assert!(producer.ends_with(":startup_retry_relaxed_probe"), "{producer}");
    let number = |name: &str| row[name].as_u64().unwrap_or(0);
    let [raw, trimmed, dropped] = ["probe_raw_bytes", "probe_trimmed_bytes", "probe_dropped_bytes"]
        .map(|name| number(&format!("source_startup_{name}")));
    assert!(raw == trimmed + dropped && trimmed > 0, "{row}");
    let calls = ffmpeg.calls();
    let longer = |call: &String| call.contains(" -analyzeduration 3000000 ");
    assert_eq!(calls.iter().map(longer).collect::<Vec<_>>(), [false, true], "{calls:?}");
    assert_eq!(upstream.requests("/file/a").len(), 2);
}

#[test]
fn radio_is_looked_at_twice_until_it_is_known_to_be_radio() {
    let ffmpeg = Script::noting("exec ffmpeg \"$@\"\n");
    let upstream = Upstream::start();
    let sound = encoded("-f lavfi -i sine=frequency=440:sample_rate=48000:duration=40 -c:a aac -b:a 128k");
    upstream.offer("/file/a", sound, PROGRAMME);
    let settings = [COPY, NO_SLATE, ("FFMPEG_PATH", &*ffmpeg.name()), ("SESSION_IDLE_TIMEOUT", "0")];
    let mut daemon = Daemon::start(&settings);
    daemon.channel("100", &[upstream.url("/file/a")]);
    for calls in [2, 3] {
        let watch = Stopwatch::start();
        let mut viewer = daemon.open("/auto/v100");
        assert!(!viewer.read(LONG).unwrap().is_empty());
        assert!(watch.elapsed() < FIRST_SOUND, "{:?}", watch.elapsed());
        until(SHORT, "the sound is known", || (row(&daemon)["audio_codec"] == "aac").then_some(()));
        assert_eq!(row(&daemon)["source_startup_component_state"], "audio_only");
        std::thread::scope(|scope| {
            scope.spawn(|| viewer.watch(Duration::from_secs(1)));
        });
        assert_eq!(ffmpeg.calls().len(), calls);
        drop(viewer);
        until(SHORT, "the session has ended", || (daemon.tuners_in_use() == 0).then_some(()));
    }
}

#[test]
fn pictures_that_are_listed_and_come_late_are_not_left_out() {
    let ffmpeg = Script::noting("exec ffmpeg \"$@\"\n");
    let upstream = Upstream::start();
    // A camera with a picture every two seconds, and sound.
    let camera = encoded(
        "-f lavfi -i testsrc=size=320x180:rate=0.5:duration=40 \
         -f lavfi -i sine=frequency=440:sample_rate=48000:duration=40 \
         -c:v libx264 -tune zerolatency -g 1 -c:a aac -b:a 128k",
    );
    upstream.offer("/file/a", camera, PROGRAMME);
    let mut daemon = Daemon::start(&[COPY, NO_SLATE, ("FFMPEG_PATH", &ffmpeg.name())]);
    daemon.channel("100", &[upstream.url("/file/a")]);
    let mut viewer = daemon.open("/auto/v100");
    assert!(!viewer.read(LONG).unwrap().is_empty());
    assert_eq!(row(&daemon)["source_startup_component_state"], "video_audio");
    // What is listed is taken at the first look.
    assert_eq!(ffmpeg.calls().len(), 1);
}

#[test]
fn a_source_is_opened_anew_when_its_last_process_is_gone() {
    // It takes its time to end.
    let ffmpeg = Script::noting(
        r#"
ffmpeg "$@" &
trap 'sleep 0.3; exit 0' TERM
while kill -0 $! 2>/dev/null; do wait; done
sleep 60
"#,
    );
    let upstream = Upstream::start();
    upstream.offer("/file/a", programme(), PROGRAMME);
    let settings = [COPY, NO_SLATE, ("FFMPEG_PATH", &*ffmpeg.name()), ("STALL_POLICY", "restart_same")];
    let mut daemon = Daemon::start(&settings);
    let channel = daemon.channel("100", &[upstream.url("/file/a")]);
    let mut viewer = daemon.open("/auto/v100");
    viewer.watch(Duration::from_secs(1));
    let wish = json!({ "channel_id": channel }).to_string();
    assert_eq!(daemon.ask("POST", "/api/admin/tuners/recovery", &wish).status, 200);
    until(SHORT, "the source is shown again", || (row(&daemon)["source_select_count"] == 2).then_some(()));
    assert!(!viewer.read(LONG).unwrap().is_empty());
    assert_eq!(ffmpeg.calls().len(), 2);
    assert_eq!(upstream.requests("/file/a").len(), 2);
}

/// Claims to know what later versions know, and hides from the installed one what it does not.
const NEWER: &str = r#"#!/bin/sh
case " $* " in
*" -version "*) ffmpeg "$@" | sed 's/^ffmpeg version [^ ]*/ffmpeg version 7.1/'; exit ;;
*" -h full "*)
    ffmpeg "$@"
    printf 'Per-file main options:\n'
    printf -- '-readrate_initial_burst seconds  at first\n-readrate_catchup speed  when behind\n'
    printf 'http AVOptions:\n  -reconnect_max_retries <int> E.........\n'
    exit ;;
esac
echo "$*" | tr -d '\r\n' >>"$(dirname "$0")/calls"
echo >>"$(dirname "$0")/calls"
skips=
for word; do
    shift
    case "$skips$word" in
    -readrate_initial_burst | -readrate_catchup | -reconnect_max_retries) skips="skips " ;;
    "skips "*) skips= ;;
    *) set -- "$@" "$word" ;;
    esac
done
exec ffmpeg "$@"
"#;

/// Watches a channel in this mode, and gives the connections that has cost.
fn connections_of_a_tune(mode: &str, ffmpeg: &str) -> usize {
    let upstream = Upstream::start();
    upstream.offer("/file/a", programme(), PROGRAMME);
    let settings = [("STREAM_MODE", mode), ("FFMPEG_PATH", ffmpeg), ("FFMPEG_RECONNECT_ENABLED", "true")];
    let mut daemon = Daemon::start(&settings);
    daemon.channel("100", &[upstream.url("/file/a")]);
    let recording = daemon.open("/auto/v100").watch(Duration::from_secs(3));
    let findings = judge(&recording);
    assert!(findings.packets > 500 && findings.faults() == 0, "{mode} {ffmpeg}: {findings:?}");
    let producer = daemon.tuners()["session_history"][0]["sources"][0]["producer"].clone();
    assert!(producer.as_str().unwrap().starts_with(&format!("{mode}:")), "{producer}");
    upstream.requests_total()
}

#[test]
fn a_tune_is_one_connection_in_every_mode_with_an_old_ffmpeg_and_with_a_new_one() {
    let newer = Script::new(NEWER);
    for ffmpeg in ["ffmpeg", &newer.name()] {
        for mode in ["direct", "ffmpeg-copy", "ffmpeg-transcode"] {
            assert_eq!(connections_of_a_tune(mode, ffmpeg), 1, "{mode} {ffmpeg}");
        }
    }
    let sources: Vec<_> =
        newer.lines("calls").into_iter().filter(|call| call.contains("-probesize")).collect();
    assert_eq!(sources.len(), 2, "copied and encoded");
    for call in sources {
        for option in ["-readrate_initial_burst 10", "-readrate_catchup 1.75", "-reconnect_max_retries 1"] {
            assert!(call.contains(option), "{option} in {call}");
        }
    }
}

/// Notes its call, and finds what nothing else would.
const FFPROBE: &str = r#"#!/bin/sh
here=$(dirname "$0")
echo $$ >>"$here/numbers"
echo "$*" >>"$here/calls"
"#;
const FOUND: &str = r#"cat <<END
{"streams": [{"codec_type": "video", "codec_name": "mpeg4", "width": 1234, "height": 566,
  "avg_frame_rate": "25/1"}], "format": {"bit_rate": "777000"}}
END
"#;

#[test]
fn ffprobe_is_asked_once_when_the_packets_do_not_tell_and_a_tuner_is_free() {
    // No header of this codec is read by tunerd.
    let stream = encoded(
        "-f lavfi -i testsrc2=size=320x180:rate=25:duration=40 \
         -f lavfi -i sine=frequency=440:sample_rate=48000:duration=40 \
         -c:v mpeg4 -g 12 -b:v 700k -c:a aac -b:a 96k -muxrate 1200k",
    );
    let upstream = Upstream::start();
    upstream.offer("/file/a", stream, PROGRAMME);
    upstream.offer("/file/b", programme(), PROGRAMME);
    let finds = Script::new(&format!("{FFPROBE}{FOUND}"));
    let (no_room, not_needed) = (Script::new(FFPROBE), Script::new(FFPROBE));
    let hangs = Script::new(&format!("{FFPROBE}exec sleep 60\n"));
    let play = |probe: &Script, path: &str, tuners: &str| {
        let settings = [
            COPY,
            NO_SLATE,
            ("FFPROBE_PATH", &*probe.name()),
            ("TUNER_COUNT", tuners),
            // Nobody reads while the others are being opened.
            ("SUBSCRIBER_MAX_BLOCKED_WRITE", "0"),
            ("SESSION_IDLE_TIMEOUT", "0"),
        ];
        let mut daemon = Daemon::start(&settings);
        daemon.channel("100", &[upstream.url(path)]);
        let viewer = daemon.open("/auto/v100");
        (daemon, viewer)
    };
    // Those whose ffprobe is not to be asked first: by the time of the others' it would have been.
    let mut plays = [
        play(&no_room, "/file/a", "1"),
        play(&not_needed, "/file/b", "2"),
        play(&finds, "/file/a", "2"),
        play(&hangs, "/file/a", "2"),
    ];
    for (_, viewer) in &mut plays {
        assert_eq!(judge(&viewer.watch(Duration::from_millis(500))).faults(), 0);
    }
    assert_eq!(row(&plays[2].0)["resolution"], Value::Null, "not told by the packets");
    let found = until(Duration::from_secs(20), "the size is known", || {
        plays.iter_mut().for_each(|(_, viewer)| drop(viewer.watch(Duration::from_millis(100))));
        let row = row(&plays[2].0);
        (row["resolution"] == "1234x566").then_some(row)
    });
    assert_eq!((&found["video_codec"], &found["audio_codec"]), (&json!("mpeg4"), &json!("aac")));
    let [_full, _told, _finding, (hanging, viewer)] = plays;
    let number = until(SHORT, "the other is asked", || hangs.lines("numbers").first().cloned());
    drop(viewer);
    // Its time is four seconds.
    until(Duration::from_secs(2), "the probe has ended", || {
        (!Process(number.parse().unwrap()).is_alive()).then_some(())
    });
    assert_eq!(hanging.tuners_in_use(), 0);
    assert_eq!(finds.lines("calls").len(), 1);
    // It is given an address of ours.
    let call = &finds.lines("calls")[0];
    assert!(call.contains(" http://127.0.0.1:") && !call.contains(&upstream.url("/file/a")), "{call}");
    for silent in [no_room, not_needed] {
        assert_eq!(silent.lines("calls"), Vec::<String>::new());
    }
}
