//! The pages as people see them: a real Chromium opens them, presses their buttons and plays their picture.
//!
//! Each test is a script beside this file. The program, its provider and its other viewers stand here; a script asks for
//! something of them by a line `world: …` and reads the answer, one line as well.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use support::kit::{Daemon, LONG, PROGRAMME, Stopwatch, Upstream, Viewer, programme, until};

/// What a script may take. A page that never shows what is waited for says so itself, and sooner.
const SCRIPT_TIME: Duration = Duration::from_secs(120);
const CHROMIUM: &str = "chromium";
/// Where the provider has its programmes, with a secret that no page may show.
const PROGRAMMES: [&str; 2] = ["/file/a?token=hunter2", "/file/b?token=hunter2"];

/// What there is around the browser.
struct World {
    daemon: Daemon,
    upstream: Upstream,
    watching: Option<Watching>,
}

/// Somebody with a player.
struct Watching {
    address: String,
    leave: Sender<()>,
    /// Whether the stream ended before they left.
    thread: JoinHandle<bool>,
}

impl Watching {
    fn start(viewer: Viewer) -> Self {
        let address = viewer.address();
        let (leave, left) = channel();
        let thread = std::thread::spawn(move || is_ended(viewer, &left));
        Self { address, leave, thread }
    }
}

/// Reads until the stream ends, or until somebody wants to leave.
fn is_ended(mut viewer: Viewer, left: &Receiver<()>) -> bool {
    while left.try_recv().is_err() {
        if viewer.read(Duration::from_millis(50)).is_ok_and(|bytes| bytes.is_empty()) {
            return true;
        }
    }
    false
}

impl World {
    /// A program, and a provider with two programmes.
    fn new(settings: &[(&str, &str)]) -> Self {
        let upstream = Upstream::start();
        for path in PROGRAMMES {
            upstream.offer(path, programme(), PROGRAMME);
        }
        let list = format!(
            "#EXTM3U\n#EXTINF:-1 tvg-id=\"one\" group-title=\"World\",News One\n{}\n\
             #EXTINF:-1 tvg-id=\"two\" group-title=\"World\",News Two\n{}\n",
            upstream.url(PROGRAMMES[0]),
            upstream.url(PROGRAMMES[1]),
        );
        upstream.offer_whole("/whole/list.m3u", "audio/x-mpegurl", list.into_bytes());
        Self { daemon: Daemon::start(settings), upstream, watching: None }
    }

    /// Does what a script wants of the world, and says what came of it.
    fn does(&mut self, wish: &str) -> String {
        match wish.split_once(' ').unwrap_or((wish, "")) {
            ("hush", number) => self.upstream.hush(PROGRAMMES[number.parse::<usize>().unwrap() - 1]),
            ("speak", number) => self.upstream.speak(PROGRAMMES[number.parse::<usize>().unwrap() - 1]),
            ("list", "") => return self.upstream.url("/whole/list.m3u"),
            ("watch", path) => {
                let watching = Watching::start(self.daemon.open(path));
                let address = watching.address.clone();
                assert!(self.watching.replace(watching).is_none(), "there is a viewer already");
                return address;
            }
            ("leave", "") => {
                let watching = self.watching.take().expect("somebody watches");
                watching.leave.send(()).unwrap();
                assert!(!watching.thread.join().unwrap(), "the viewer was sent away");
            }
            ("ends", "") => {
                let watching = self.watching.take().expect("somebody watches");
                until(LONG, "the viewer's stream ends", || watching.thread.is_finished().then_some(()));
                assert!(watching.thread.join().unwrap());
            }
            _ => panic!("nothing in the world does {wish:?}"),
        }
        "done".to_owned()
    }

    /// Runs a script to its end, which must be a good one.
    fn plays(&mut self, script: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
        assert!(
            folder.join("node_modules/playwright-core").is_dir()
                && folder.join("node_modules/axe-core").is_dir(),
            "what drives the browser is not installed: scripts/prepare does that"
        );
        let mut script = Script::start(&folder.join(script), self.daemon.port());
        let watch = Stopwatch::start();
        loop {
            let left = watch.left_of(SCRIPT_TIME).unwrap_or_else(|| script.fails("it takes too long"));
            match script.lines.recv_timeout(left) {
                Ok(line) => match line.strip_prefix("world: ") {
                    Some(wish) => {
                        let answer = self.does(wish);
                        // A script that has ended is told of by its code.
                        let _gone = writeln!(script.input, "{answer}");
                    }
                    None => println!("{line}"),
                },
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let (status, said) = script.ended();
        assert!(status.success(), "{status}\n{said}");
    }
}

/// A script, and with it its browser, which goes when the script's end of the line is closed.
struct Script {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    errors: Option<JoinHandle<String>>,
}

impl Script {
    fn start(script: &Path, port: u16) -> Self {
        let found = program(CHROMIUM);
        let mut child = Command::new("node")
            .arg(script)
            .env("ADDRESS", format!("http://127.0.0.1:{port}"))
            .env("CHROMIUM", found)
            .env("SHOTS", shots())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("node, which scripts/prepare installs: {error}"));
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut errors = child.stderr.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let errors = std::thread::spawn(move || {
            let mut said = Vec::new();
            errors.read_to_end(&mut said).unwrap();
            String::from_utf8_lossy(&said).into_owned()
        });
        Self { child, input, lines, errors: Some(errors) }
    }

    fn ended(&mut self) -> (ExitStatus, String) {
        let status = until(LONG, "the script ends", || self.child.try_wait().unwrap());
        (status, self.errors.take().unwrap().join().unwrap())
    }

    fn fails(&mut self, why: &str) -> ! {
        self.child.kill().unwrap();
        panic!("{why}; it said so far: {}", self.ended().1)
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // Gone already, unless the test has failed.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// Where a program is; tests of pages need it.
fn program(name: &str) -> PathBuf {
    let places = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&places)
        .map(|place| place.join(name))
        .find(|place| place.is_file())
        .unwrap_or_else(|| panic!("{name}, which scripts/prepare installs, is not there"))
}

/// Where pictures of the pages are left.
fn shots() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn a_stranger_comes_from_an_empty_database_to_a_picture_that_plays_in_the_page() {
    World::new(&[("PLAYLIST_URL", "")]).plays("stranger.mjs");
}

#[test]
fn a_picture_goes_on_through_a_failover_and_the_pages_tell_who_watches_and_what_happened() {
    // A source that is silent is given up soon.
    let settings = [
        ("STALL_DETECT", "1s"),
        ("STARTUP_TIMEOUT", "2s"),
        ("STALL_MAX_FAILOVERS_PER_STALL", "100"),
        ("SESSION_IDLE_TIMEOUT", "1s"),
    ];
    let mut world = World::new(&settings);
    let sources = PROGRAMMES.map(|path| world.upstream.url(path));
    world.daemon.channel("100", &sources);
    world.plays("failover.mjs");
}

#[test]
fn pages_follow_what_happens_and_leave_alone_what_somebody_is_doing_on_them() {
    let mut world = World::new(&[("STALL_DETECT", "5s"), ("SESSION_IDLE_TIMEOUT", "1s")]);
    let sources = PROGRAMMES.map(|path| world.upstream.url(path));
    world.daemon.channel("100", &sources);
    world.plays("follows.mjs");
}

#[test]
fn a_picture_that_cannot_be_had_says_why_in_the_page_and_is_tried_again_there() {
    let settings = [("TUNER_COUNT", "1"), ("STARTUP_TIMEOUT", "2s"), ("SESSION_IDLE_TIMEOUT", "0")];
    let mut world = World::new(&settings);
    let sources = PROGRAMMES.map(|path| world.upstream.url(path));
    world.daemon.channel("100", &sources[..1]);
    world.daemon.channel("101", &sources[1..]);
    world.daemon.channel("102", &[world.upstream.url("/404/a")]);
    world.plays("refused.mjs");
}

#[test]
fn every_page_can_be_used_by_everybody_in_every_light_and_size() {
    let mut world = World::new(&[("STALL_DETECT", "1s")]);
    let sources = PROGRAMMES.map(|path| world.upstream.url(path));
    world.daemon.channel("100", &sources);
    for number in 101..=112 {
        world.daemon.channel(&number.to_string(), &sources[..1]);
    }
    world.plays("looks.mjs");
}
