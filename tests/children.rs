//! Child processes, from a core's request to their end, with real programs.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use tunerd::base::{ChildExit, Clock};
use tunerd::control::{ControlError, Identity, Params, Parts, Port, port, run};
use tunerd::engine::{ControlPort, ControlRequest, CoreCommand, CoreId, Mailbox, MailboxReader, Ticket};
use tunerd::store::{Database, Store};

const BINARY: &str = env!("CARGO_BIN_EXE_tunerd");

/// Control on a thread of its own, and the one core it serves.
struct Core {
    port: Port,
    mailbox: MailboxReader,
    bell: File,
    control: JoinHandle<Result<(), ControlError>>,
}

impl Core {
    fn start() -> Self {
        let (port, inbox) = port();
        let (mailbox, reader) = Mailbox::new().unwrap();
        let control = std::thread::spawn(move || {
            let store = Store::start(Database::in_memory().unwrap()).unwrap();
            run(params(), Parts { inbox, mailboxes: vec![mailbox], store, clock: Clock::start() })
        });
        let bell = File::from(reader.bell_descriptor().unwrap());
        Self { port, mailbox: reader, bell, control }
    }

    /// The next message that is about a child.
    fn next(&mut self) -> CoreCommand {
        loop {
            match self.mailbox.take() {
                Some(CoreCommand::Lineup(_)) => {}
                Some(message) => return message,
                None => self.bell.read_exact(&mut [0; 8]).unwrap(),
            }
        }
    }

    fn start_child(&mut self, ticket: u64, program: &str, arguments: &[&str]) -> Result<File, String> {
        let request = ControlRequest::StartChild {
            core: CoreId(0),
            ticket: Ticket(ticket),
            program: program.into(),
            arguments: arguments.iter().map(Into::into).collect(),
        };
        self.port.request(request).unwrap();
        let CoreCommand::ChildStarted { ticket: answered, result } = self.next() else {
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
        self.port.request(ControlRequest::StopChild { core: CoreId(0), ticket: Ticket(1) }).unwrap();
    }

    fn end(&mut self) -> (ChildExit, String) {
        let CoreCommand::ChildEnded { ticket: Ticket(1), exit, stderr_tail } = self.next() else {
            panic!("another message than the end");
        };
        (exit, stderr_tail)
    }
}

fn params() -> Params {
    Params {
        identity: Identity {
            friendly_name: String::new(),
            device_id: String::new(),
            device_auth: String::new(),
            tuner_count: 1,
        },
        lineup_max: None,
        guide_start: 100,
        admin: None,
        trusted_proxies: Vec::new(),
        json_body_bytes_max: 1024,
        request_timeout: None,
        playlist: None,
        ffmpeg: "ffmpeg".into(),
        slates: None,
        trampoline: BINARY.into(),
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

#[test]
fn a_program_that_is_not_there_is_named() {
    let mut core = Core::start();
    let text = core.start_child(1, "no-such-program", &[]).unwrap_err();
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
    assert!(core.start_child(1, "true", &[]).unwrap_err().contains("in use"));
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
    drop(core.port);
    core.control.join().unwrap().unwrap();
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
