//! Child processes, from a core's request to their end, with real programs.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tunerd::base::ChildExit;
use tunerd::engine::{ChildOwner, ChildRefused, ControlRequest, CoreCommand, CoreId, Ticket};
use tunerd::source::ffmpeg::LogLevel;

use crate::control::{BINARY, Control};

/// A core that has children.
struct Core(Control);

impl Core {
    fn start() -> Self {
        Self(Control::start("ffmpeg", None))
    }

    fn start_child(&mut self, ticket: u64, program: &str, arguments: &[&str]) -> Result<File, ChildRefused> {
        self.start_listed(ticket, program, arguments, None)
    }

    fn start_listed(
        &mut self,
        ticket: u64,
        program: &str,
        arguments: &[&str],
        listing: Option<LogLevel>,
    ) -> Result<File, ChildRefused> {
        let request = ControlRequest::StartChild {
            core: CoreId(0),
            ticket: Ticket(ticket),
            program: program.into(),
            arguments: arguments.iter().map(Into::into).collect(),
            owner: ChildOwner { channel_id: 1, source_id: 1 },
            listing,
            relayed: None,
        };
        self.0.request(request);
        let CoreCommand::ChildStarted { ticket: answered, result } = self.0.next() else {
            panic!("another message than the answer");
        };
        assert_eq!(answered, Ticket(ticket));
        result.map(|pipe: OwnedFd| File::from(pipe))
    }

    /// A shell that runs a script.
    fn shell(&mut self, script: &str) -> File {
        self.start_child(1, "sh", &["-c", script]).unwrap()
    }

    fn stop(&self) {
        self.0.request(ControlRequest::StopChild { core: CoreId(0), ticket: Ticket(1) });
    }

    fn end(&mut self) -> (ChildExit, String) {
        let CoreCommand::ChildEnded { ticket: Ticket(1), exit, stderr_tail, cookies: None } = self.0.next()
        else {
            panic!("another message than the end");
        };
        (exit, stderr_tail)
    }
}

/// Waits for the word with which the scripts say that they run.
fn wait_until_ready(from: &mut impl Read) {
    let mut word = [0; 6];
    from.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"ready\n");
}

/// Waits until nobody can write to the pipe any more.
fn rest(mut pipe: impl Read) -> String {
    let mut text = String::new();
    pipe.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn output_comes_through_the_pipe_and_the_end_with_what_was_complained() {
    let mut core = Core::start();
    let pipe = core.shell("echo output; echo http://user:secret@host/x is bad >&2; exit 3");
    assert_eq!(rest(pipe), "output\n");
    let (exit, stderr_tail) = core.end();
    assert_eq!(exit, ChildExit::Code(3));
    assert_eq!(stderr_tail, "http://host/x is bad\n");
}

/// Lines of a file of /proc as a child sees its own.
fn own(core: &mut Core, script: &str) -> String {
    let said = rest(core.shell(script));
    assert_eq!(core.end().0, ChildExit::Code(0));
    said
}

#[test]
fn a_child_knows_nothing_and_can_take_little() {
    // The test's own environment, as a service's: what is not for children stands in it.
    assert!(std::env::vars_os().any(|(name, _)| name == "CARGO_MANIFEST_DIR"), "started by cargo");
    let mut core = Core::start();
    let environment = own(&mut core, "tr '\\0' '\\n' </proc/$$/environ");
    let passed_on = ["PATH", "LD_LIBRARY_PATH", "HOME", "TMPDIR", "TZ", "LANG", "LC_ALL"];
    for variable in environment.lines() {
        let name = variable.split('=').next().unwrap();
        let is_for_ffmpeg = name.ends_with("_proxy") || name.starts_with("SSL_CERT_");
        assert!(passed_on.contains(&name) || is_for_ffmpeg, "{variable}");
    }
    assert!(environment.contains("PATH="), "{environment}");
    let limits = own(&mut core, "cat /proc/$$/limits");
    for (name, value) in [
        ("Max data size", "4294967296"),
        ("Max open files", "256"),
        ("Max file size", "67108864"),
        ("Max core file size", "0"),
    ] {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        let words: Vec<_> = line[name.len()..].split_whitespace().collect();
        assert_eq!(words[..2], [value, value], "{line}");
    }
    assert_eq!(own(&mut core, "cat /proc/$$/oom_score_adj"), "500\n");
    let status = own(&mut core, "cat /proc/$$/status");
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let mut core = Core::start();
    let ChildRefused::NotStarted(text) = core.start_child(1, "no-such-program", &[]).unwrap_err() else {
        panic!("another refusal");
    };
    assert_eq!(text, "start no-such-program: No such file or directory");
    // The ticket is free: nothing was started under it.
    let pipe = core.shell("exit 0");
    assert_eq!(rest(pipe), "");
    assert_eq!(core.end().0, ChildExit::Code(0));
}

#[test]
fn one_ticket_is_one_child() {
    let mut core = Core::start();
    let mut pipe = core.shell("echo ready; exec sleep 1000");
    wait_until_ready(&mut pipe);
    let refused = core.start_child(1, "true", &[]).unwrap_err();
    assert!(matches!(refused, ChildRefused::NotStarted(text) if text.contains("in use")));
}

#[test]
fn a_stopped_child_gets_sigterm_with_all_it_has_started() {
    let mut core = Core::start();
    let mut pipe = core.shell("sleep 1000 & echo ready; wait");
    wait_until_ready(&mut pipe);
    core.stop();
    core.stop();
    assert_eq!(core.end().0, ChildExit::Signal(15));
    assert_eq!(rest(pipe), "");
}

#[test]
fn a_child_that_will_not_go_is_killed() {
    let mut core = Core::start();
    let mut pipe = core.shell("trap '' TERM; echo ready; while :; do sleep 1000; done");
    wait_until_ready(&mut pipe);
    core.stop();
    assert_eq!(core.end().0, ChildExit::Signal(9));
    assert_eq!(rest(pipe), "");
}

#[test]
fn a_probe_that_is_stopped_is_told_of_when_it_is_gone() {
    let mut core = Core::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("open");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let script = format!("exec 3>'{}'; echo ready >&3; exec sleep 1000", path.display());
    core.0.request(ControlRequest::Probe {
        core: CoreId(0),
        ticket: Ticket(1),
        program: "sh".into(),
        arguments: vec!["-c".into(), script.into()],
        relayed: None,
    });
    let mut open = File::open(&path).unwrap();
    wait_until_ready(&mut open);
    core.stop();
    let CoreCommand::Probed { ticket: Ticket(1), .. } = core.0.next() else {
        panic!("another message than the end");
    };
    fcntl(&open, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    assert_eq!(open.read(&mut [0]).unwrap(), 0, "nobody has it open any more");
}

#[test]
fn what_a_child_leaves_behind_goes_with_it() {
    let mut core = Core::start();
    let pipe = core.shell("sleep 1000 & exit 0");
    assert_eq!(core.end().0, ChildExit::Code(0));
    assert_eq!(rest(pipe), "");
}

#[test]
fn a_child_may_write_more_than_the_pipe_holds_and_loses_nothing() {
    let mut core = Core::start();
    let pipe = core.shell("head -c 5000000 /dev/zero; head -c 100000 /dev/zero >&2");
    assert_eq!(rest(pipe).len(), 5_000_000);
    assert_eq!(core.end().0, ChildExit::Code(0));
}

#[test]
fn no_child_outlives_control() {
    let mut core = Core::start();
    let mut pipe = core.shell("trap '' TERM; echo ready; while :; do sleep 1000; done");
    wait_until_ready(&mut pipe);
    core.0.end();
    assert_eq!(rest(pipe), "");
}

#[test]
fn a_child_dies_with_a_parent_that_was_killed() {
    let script = "\"$0\" child $$ -- sh -c 'echo ready; exec sleep 1000' & wait";
    let mut parent = Command::new("sh");
    parent.args(["-c", script, BINARY]).stdout(Stdio::piped());
    let mut parent = parent.spawn().unwrap();
    let mut pipe = parent.stdout.take().unwrap();
    wait_until_ready(&mut pipe);
    parent.kill().unwrap();
    parent.wait().unwrap();
    assert_eq!(rest(pipe), "");
}

#[test]
fn the_trampoline_says_what_went_wrong() {
    let own = std::process::id().to_string();
    for (arguments, text) in [
        (
            ["child", own.as_str(), "--", "/no/such/program"],
            "start /no/such/program: No such file or directory\n",
        ),
        (["child", "2147483647", "--", "true"], "the process that started this one is gone\n"),
    ] {
        let output = Command::new(BINARY).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(127));
        assert_eq!(String::from_utf8(output.stderr).unwrap(), text);
    }
}

#[test]
fn a_child_starts_with_no_signal_blocked_and_no_descriptor_of_ours() {
    let mut core = Core::start();
    let script = "grep SigBlk /proc/self/status; ls /proc/self/fd | wc -l; cat";
    let text = rest(core.shell(script));
    // Who runs the tests may have left descriptors open for all of us; `cat` ends because its input is empty.
    let plain = Command::new("sh").args(["-c", script]).stdin(Stdio::null()).output().unwrap();
    assert!(text.starts_with("SigBlk:\t0000000000000000\n"), "{text}");
    assert_eq!(text.lines().nth(1), String::from_utf8(plain.stdout).unwrap().lines().nth(1));
}

/// What a ffmpeg says that finds these programmes, and then its output.
fn lister(programmes: &[u32]) -> String {
    let listed =
        |number: &u32| format!("echo '[info]   Program {number}'; echo '[info]   Stream #0:0: Video: h264';");
    let listed: String = programmes.iter().map(listed).collect();
    format!(
        "{{ echo '[warning] odd'; echo '[info] Input #0'; {listed} }} >&2; echo output; echo '[info] Output #0' >&2; sleep 60"
    )
}

#[test]
fn the_output_of_one_programme_is_handed_over_and_that_of_several_is_not() {
    for (programmes, several) in [(&[][..], false), (&[5], false), (&[5, 6], true)] {
        let mut core = Core::start();
        let listing = Some(LogLevel::Warning);
        match core.start_listed(1, "sh", &["-c", &lister(programmes)], listing) {
            Ok(mut pipe) => {
                let mut word = [0; 7];
                pipe.read_exact(&mut word).unwrap();
                assert_eq!((&word, several), (b"output\n", false), "{programmes:?}");
                core.stop();
                assert_eq!(core.end().1, "odd\n");
            }
            Err(ChildRefused::Several(listing)) => {
                assert!(several && listing.needs_choice(), "{programmes:?}");
                assert_eq!(core.end(), (ChildExit::Signal(9), "odd\n".to_owned()));
            }
            Err(ChildRefused::NotStarted(why)) => panic!("{why}"),
        }
    }
}

#[test]
fn who_says_nothing_of_its_input_is_read_all_the_same() {
    let mut core = Core::start();
    let pipe = core.start_listed(1, "sh", &["-c", "echo output; sleep 60"], Some(LogLevel::Warning)).unwrap();
    let mut word = [0; 7];
    (&pipe).read_exact(&mut word).unwrap();
    assert_eq!(&word, b"output\n");
    core.stop();
    assert_eq!(core.end(), (ChildExit::Signal(15), String::new()));
    let pipe = core.start_listed(1, "sh", &["-c", "echo why >&2; exit 3"], Some(LogLevel::Warning)).unwrap();
    assert_eq!(rest(pipe), "");
    assert_eq!(core.end(), (ChildExit::Code(3), "why\n".to_owned()));
}
