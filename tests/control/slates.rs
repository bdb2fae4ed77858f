//! Slates, from a core's request to the answer, with a real encoder and with poor ones.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;
use tunerd::engine::{ControlRequest, CoreCommand, CoreId, Ticket};
use tunerd::filler::slate::{Slate, SlateSpec};
use tunerd::ts::es::FrameRate;
use tunerd::ts::{Codec, StreamProfile};

use crate::control::Control;

type Answer = Result<Arc<Slate>, String>;

/// A core that wants slates.
struct Core(Control);

impl Core {
    fn start(ffmpeg: impl AsRef<OsStr>, slates: Option<PathBuf>) -> Self {
        Self(Control::start(ffmpeg.as_ref(), slates))
    }

    fn ask(&self, ticket: u64, spec: &SlateSpec) {
        let request =
            ControlRequest::PrepareSlate { core: CoreId(0), ticket: Ticket(ticket), spec: spec.clone() };
        self.0.request(request);
    }

    fn answer(&mut self) -> (u64, Answer) {
        let CoreCommand::SlateReady { ticket, result } = self.0.next() else {
            panic!("another message than the answer");
        };
        (ticket.0, result)
    }

    fn slate(&mut self, spec: &SlateSpec) -> Answer {
        self.ask(7, spec);
        let (ticket, result) = self.answer();
        assert_eq!(ticket, 7);
        result
    }

    fn end(self) {
        self.0.end();
    }
}

fn spec(video: Codec) -> SlateSpec {
    let profile = StreamProfile {
        video_codec: Some(video.into()),
        width: 320,
        height: 180,
        frame_rate: FrameRate::new(25, 1),
        ..StreamProfile::default()
    };
    SlateSpec::of(&profile, "Channel recovering...", true)
}

/// A program that does what the script says. `$log` in it is a file it may write to.
fn encoder(folder: &TempDir, script: &str) -> (PathBuf, PathBuf) {
    let (text, program, log) =
        (folder.path().join("text"), folder.path().join("encoder"), folder.path().join("log"));
    fs::write(&text, format!("#!/bin/sh\nlog='{}'\n{script}\n", log.display())).unwrap();
    // Another process writes the program: while a test that runs beside this one forks, a file that is open for
    // writing here cannot be executed.
    let copied = Command::new("install").args(["-m", "755"]).args([&text, &program]).status().unwrap();
    assert!(copied.success());
    (program, log)
}

fn no_encoder() -> PathBuf {
    PathBuf::from("/no/such/ffmpeg")
}

#[test]
fn a_slate_is_encoded_once_and_found_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let slates = folder.path().join("slates");
    let (program, log) = encoder(&folder, "echo run >> \"$log\"; exec ffmpeg \"$@\"");
    let mut core = Core::start(&program, Some(slates.clone()));
    core.ask(1, &spec(Codec::Hevc));
    core.ask(2, &spec(Codec::Mpeg2Video));
    core.ask(3, &spec(Codec::Hevc));
    let answers = [core.answer(), core.answer(), core.answer()];
    let order = answers.each_ref().map(|(ticket, _)| *ticket);
    assert_eq!(order, [1, 3, 2], "one at a time, and the same one once");
    let codecs = answers.each_ref().map(|(_, slate)| slate.as_ref().unwrap().video().codec);
    assert_eq!(codecs, [Codec::Hevc, Codec::Hevc, Codec::Mpeg2Video]);
    assert!(core.slate(&spec(Codec::Hevc)).is_ok(), "it is in memory");
    core.end();
    assert_eq!(fs::read_to_string(&log).unwrap().lines().count(), 2);

    let mut core = Core::start(no_encoder(), Some(slates));
    assert_eq!(core.slate(&spec(Codec::Hevc)).unwrap().video().codec, Codec::Hevc);
    assert!(core.slate(&spec(Codec::H264)).is_err());
    core.end();
}

#[test]
fn a_damaged_file_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(format!("{}.ts", spec(Codec::H264).key()));
    fs::write(&file, [0x47; 1880]).unwrap();
    let mut core = Core::start(Path::new("ffmpeg"), Some(folder.path().to_owned()));
    assert!(core.slate(&spec(Codec::H264)).is_ok());
    core.end();
    assert_ne!(fs::read(&file).unwrap(), [0x47; 1880]);
    let mut core = Core::start(no_encoder(), Some(folder.path().to_owned()));
    assert!(core.slate(&spec(Codec::H264)).is_ok());
    core.end();
}

#[test]
fn without_a_folder_slates_are_in_memory_only() {
    let mut core = Core::start(Path::new("ffmpeg"), None);
    let first = core.slate(&spec(Codec::H264)).unwrap();
    assert!(Arc::ptr_eq(&first, &core.slate(&spec(Codec::H264)).unwrap()));
    core.end();
}

#[test]
fn a_folder_that_cannot_be_written_harms_nobody() {
    let mut core = Core::start(Path::new("ffmpeg"), Some(PathBuf::from("/proc/slates")));
    assert!(core.slate(&spec(Codec::H264)).is_ok());
    core.end();
}

#[test]
fn an_encoder_that_cannot_draw_text_draws_none() {
    let folder = tempfile::tempdir().unwrap();
    let script =
        "case \"$*\" in *drawtext*) echo 'Cannot find a valid font' >&2; exit 1;; esac; exec ffmpeg \"$@\"";
    let (program, _) = encoder(&folder, script);
    let mut core = Core::start(&program, None);
    assert_eq!(core.slate(&spec(Codec::H264)).unwrap().video().pictures.len(), 50);
    core.end();
}

#[test]
fn what_is_wrong_with_the_encoder_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = Core::start(no_encoder(), None);
    let reason = core.slate(&spec(Codec::H264)).unwrap_err();
    assert!(reason.starts_with("start /no/such/ffmpeg: "), "{reason}");
    core.end();
    for (script, expected) in [
        ("echo first >&2; echo Unknown encoder >&2; echo >&2; exit 3", ": Unknown encoder"),
        ("true", "what ffmpeg made is no slate: it is not a transport stream of reasonable length"),
        ("head -c 1880 /dev/zero", "what ffmpeg made is no slate: "),
        ("head -c 99999999 /dev/zero", "it is too much"),
    ] {
        let (program, _) = encoder(&folder, script);
        let mut core = Core::start(&program, None);
        let reason = core.slate(&spec(Codec::H264)).unwrap_err();
        assert!(reason.contains(expected), "{reason}");
        core.end();
    }
}

#[test]
fn an_encoder_that_hangs_does_not_outlive_the_service() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let script = format!("echo $$ > '{}'; trap '' TERM; while :; do sleep 1; done", pipe.display());
    let (program, _) = encoder(&folder, &script);
    let core = Core::start(&program, None);
    core.ask(1, &spec(Codec::H264));
    // Returns when the encoder has written it.
    let pid = fs::read_to_string(&pipe).unwrap();
    let pid = nix::unistd::Pid::from_raw(pid.trim().parse().unwrap());
    core.end();
    let gone = nix::sys::signal::kill(pid, None);
    assert_eq!(gone, Err(nix::errno::Errno::ESRCH), "neither running nor a zombie");
}
