//! `tunerd top` in a real terminal: what it shows, what its keys do, and that the terminal is as before when it has ended.

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::kit::{Daemon, End, LONG, Process, Stopwatch, Upstream, binary, children_of};

/// The sizes at which it is looked at.
const SIZES: [(u16, u16); 2] = [(80, 24), (200, 60)];
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A terminal of tmux, with a server of its own that ends with this.
struct Pane {
    folder: tempfile::TempDir,
}

impl Pane {
    /// A shell of this size.
    fn open((width, height): (u16, u16)) -> Self {
        let pane = Self { folder: tempfile::tempdir().unwrap() };
        let (width, height) = (width.to_string(), height.to_string());
        // A shell without start files and with a prompt that is known.
        let shell = "exec env -i PATH=/usr/bin:/bin TERM=screen-256color LC_ALL=C.UTF-8 PS1='ready> ' sh -i";
        pane.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", &width, "-y", &height, shell]);
        pane.tmux(&["set-option", "-g", "status", "off"]);
        pane.tmux(&["resize-window", "-x", &width, "-y", &height]);
        pane.sees("the shell is there", "ready>");
        pane
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let socket = self.folder.path().join("tmux");
        let output = Command::new("tmux")
            .env_clear()
            .envs([("PATH", "/usr/local/bin:/usr/bin:/bin"), ("LC_ALL", "C.UTF-8")])
            .arg("-u")
            .arg("-S")
            .arg(socket)
            .args(arguments)
            .output()
            .expect("tmux, which scripts/prepare installs");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {arguments:?}: {complaint}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen has this on it.
    fn sees(&self, what: &str, piece: &str) -> String {
        let watch = Stopwatch::start();
        loop {
            let screen = self.screen();
            if screen.contains(piece) {
                return screen;
            }
            assert!(watch.left_of(LONG).is_some(), "{what}: no {piece:?} on\n{screen}");
            std::thread::park_timeout(LOOK_AGAIN);
        }
    }

    /// Types this and the key that ends a line.
    fn enter(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
        self.tmux(&["send-keys", "Enter"]);
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// What the terminal is set to, as `stty` says it, and whether the other screen is on.
    fn manner(&self, mark: &str) -> (String, String) {
        self.enter(&format!("clear; stty -a | tr '\\n' ' ' | md5sum; echo {mark}-$?"));
        let screen = self.sees("stty has said it", &format!("{mark}-0"));
        let sum = screen.lines().find(|line| line.contains("  -")).unwrap_or_default().to_owned();
        assert!(sum.len() >= 32, "{screen}");
        (sum, self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]).trim().to_owned())
    }

    /// Starts the program on a server.
    fn top(&self, who: &str, daemon: &Daemon) {
        let (program, port) = (binary().display(), daemon.port());
        self.enter(&format!("clear; {program} top http://{who}127.0.0.1:{port}; echo ended-$?"));
    }
}

impl Drop for Pane {
    fn drop(&mut self) {
        let socket = self.folder.path().join("tmux");
        let _gone = Command::new("tmux").arg("-S").arg(socket).arg("kill-server").output();
    }
}

#[test]
fn it_shows_a_channel_and_its_viewer_disconnects_it_and_leaves_the_terminal_as_it_was() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[]);
    daemon.channel("100", &[upstream.url("/good/4000000/a")]);
    for size in SIZES {
        let mut viewer = daemon.open("/auto/v100");
        viewer.watch(Duration::from_millis(300));
        let address = viewer.address();
        let pane = Pane::open(size);
        let before = pane.manner("before");
        assert_eq!(before.1, "0 1", "the first screen, with a cursor");
        pane.top("", &daemon);
        pane.sees("the sentence", "1 channel playing to 1 viewer.");
        pane.sees("what it costs is known after the second answer", " MB/s out · load of ");
        let screen = pane.sees("the viewer", &format!("› {address}"));
        assert!(screen.contains("100 entry-001-") && screen.contains("● playing"), "{screen}");
        assert!(screen.lines().last().unwrap().contains("q quit"), "{screen}");
        pane.press("x");
        pane.sees("it is asked", &format!("Disconnect {address}?"));
        pane.press("y");
        let (_, end) = viewer.rest(LONG);
        assert_eq!(end, End::Finished);
        pane.sees("it is told", "It is disconnected.");
        pane.sees("nobody watches", "no viewers");
        pane.press("q");
        pane.sees("it has ended well", "ended-0");
        assert_eq!(pane.manner("after"), before);
    }
}

#[test]
fn a_server_that_wants_a_password_is_shown_to_who_has_it() {
    let daemon = Daemon::start(&[("ADMIN_AUTH", "admin:s3cret")]);
    let pane = Pane::open(SIZES[1]);
    pane.top("", &daemon);
    let screen = pane.sees("it is refused", "401");
    assert!(screen.contains("http://user:password@host:port"), "what would help: {screen}");
    pane.press("q");
    pane.sees("it has ended well", "ended-0");
    pane.top("admin:s3cret@", &daemon);
    let screen = pane.sees("it is let in", "All quiet.");
    assert!(!screen.contains("s3cret"), "{screen}");
}

#[test]
fn signals_end_it_also_while_the_server_is_away_and_the_terminal_is_as_it_was() {
    let pane = Pane::open(SIZES[0]);
    let before = pane.manner("before");
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut daemon = Daemon::start(&[]);
        pane.top("", &daemon);
        pane.sees("nobody watches", "All quiet.");
        daemon.signal(Signal::SIGTERM);
        daemon.ended(LONG);
        let screen = pane.sees("the server is away", "■ No answer");
        assert!(screen.contains("All quiet."), "what was known stays: {screen}");
        let shell = pane.tmux(&["display-message", "-p", "#{pane_pid}"]).trim().parse().unwrap();
        let program = children_of(Process(shell)).into_iter().next().expect("the shell has started it");
        kill(Pid::from_raw(program.0.try_into().unwrap()), signal).unwrap();
        pane.sees("it has ended well", "ended-0");
        assert_eq!(pane.manner("after"), before);
    }
}

#[test]
fn without_a_terminal_it_names_what_prints_the_same() {
    let output = Command::new(binary()).args(["top", "http://127.0.0.1:9"]).env_clear().output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("`tunerd status`"), "{said}");
    assert!(output.stdout.is_empty());
}
