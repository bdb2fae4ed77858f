//! A channel whose sources are lost in turn while players show it.

use std::time::Duration;

use serde_json::Value;

use crate::kit::{Daemon, LONG, PROGRAMME, Stopwatch, Upstream, programme, until};

/// A source that is silent is given up soon, and none is left alone for long.
const SETTINGS: [(&str, &str); 5] = [
    ("TUNER_COUNT", "8"),
    ("STALL_DETECT", "1s"),
    ("STARTUP_TIMEOUT", "2s"),
    ("STALL_MAX_FAILOVERS_PER_STALL", "100"),
    ("SESSION_IDLE_TIMEOUT", "1s"),
];
/// For how long no source has anything, and the slate is shown.
pub(super) const SLATE: Duration = Duration::from_secs(4);

/// A provider, and a program with channels of three sources each.
pub(super) struct Stage {
    pub(super) daemon: Daemon,
    upstream: Upstream,
    ids: Vec<(String, i64)>,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self::of(|| (Daemon::start(&SETTINGS), Upstream::start()))
    }

    /// As `make` makes it, with these settings.
    pub(super) fn of(make: impl FnOnce() -> (Daemon, Upstream)) -> Self {
        let (daemon, upstream) = make();
        Self { daemon, upstream, ids: Vec::new() }
    }

    pub(super) const fn settings() -> &'static [(&'static str, &'static str)] {
        &SETTINGS
    }

    /// A channel. Of its sources the first one alone has something to send, until the others are wanted.
    pub(super) fn channel(&mut self, number: &str) {
        let paths = paths(number);
        for path in &paths {
            self.upstream.offer(path, programme(), PROGRAMME);
        }
        paths[1..].iter().for_each(|path| self.upstream.hush(path));
        let id = self.daemon.channel(number, &paths.map(|path| self.upstream.url(&path)));
        self.ids.push((number.to_owned(), id));
    }

    pub(super) fn id_of(&self, number: &str) -> i64 {
        self.ids.iter().find(|(known, _)| known == number).unwrap().1
    }

    /// How often the channel has shown another source than before.
    pub(super) fn failovers(&self, number: &str) -> usize {
        let number = format!(" guide_number={number} ");
        let log = self.daemon.log();
        let is_it =
            |line: &&str| line.contains("\"shared session selected source\"") && line.contains(&number);
        log.lines().filter(is_it).count().saturating_sub(1)
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.daemon.port())
    }

    /// From when somebody watches the channel: its first source is shown for a while and ends, and there is none; then the second one is
    /// there, is shown for a while and ends, and the third one is there at once.
    pub(super) fn perform(&self, number: &str, each: Duration) {
        let paths = paths(number);
        let is_asked = |path: &String| !self.upstream.requests(path).is_empty();
        until(LONG * 6, "somebody watches", || is_asked(&paths[0]).then_some(()));
        pause(each);
        self.lose(&paths[0]);
        pause(SLATE);
        self.upstream.speak(&paths[1]);
        until(LONG, "the second source is shown", || (self.source_of(number)? == 2).then_some(()));
        pause(each);
        self.upstream.speak(&paths[2]);
        self.lose(&paths[1]);
        until(LONG, "the third source is shown", || (self.source_of(number)? == 3).then_some(()));
    }

    /// A source ends, and has nothing for whoever asks for it again.
    fn lose(&self, path: &str) {
        self.upstream.hush(path);
        self.upstream.cut(path);
    }

    /// Which of its sources the channel shows.
    fn source_of(&self, number: &str) -> Option<usize> {
        let tuners = self.daemon.tuners();
        let of_channel = |row: &&Value| row["guide_number"] == number;
        let row = tuners["tuners"].as_array()?.iter().find(of_channel)?;
        let url = row["source_stream_url"].as_str()?;
        paths(number).iter().position(|path| url.ends_with(path)).map(|at| at + 1)
    }
}

fn paths(number: &str) -> [String; 3] {
    ["a", "b", "c"].map(|name| format!("/file/{number}/{name}"))
}

/// Players take their time, and nobody can give it to them.
pub(super) fn pause(time: Duration) {
    let watch = Stopwatch::start();
    until(time + LONG, "time passes", || (watch.elapsed() >= time).then_some(()));
}
