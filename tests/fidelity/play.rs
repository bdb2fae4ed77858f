//! Plays many files at once, each on a channel of its own of one program, and compares what comes.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::compare::{Report, Rules, Wrong, compare};
use crate::decode::decode;
use crate::kit::{Daemon, LONG, Stopwatch, Viewer};
use crate::made::Made;
use crate::recorder::{Recording, record};
use crate::stream::packets;
use crate::upstream::{Manner, Paced, Upstream};

/// How long a viewer stays behind the last byte that was sent.
const BEHIND: Duration = Duration::from_millis(1500);
const JUDGES: usize = 2;
/// Viewers come one after the other, so that not all start in one moment.
const APART: Duration = Duration::from_millis(30);

/// A file to play.
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) manner: Manner,
    pub(crate) programme: Option<u16>,
    /// It begins with an entry point.
    pub(crate) from_start: bool,
}

impl From<Made> for Item {
    fn from(made: Made) -> Item {
        let Made { name, bytes, programme, rounds, from_start } = made;
        let manner = Manner { rounds, ..Manner::default() };
        Item { name, bytes, manner, programme, from_start }
    }
}

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) length: Duration,
    /// From the request to the first byte.
    pub(crate) waited: Duration,
    pub(crate) report: Report,
}

impl Outcome {
    pub(crate) fn is_right(&self) -> bool {
        self.report.findings.is_empty()
    }

    /// A row of the table, and under it what is wrong.
    pub(crate) fn row(&self) -> String {
        let Report { lanes, start, distance_ms, clock_ms, .. } = &self.report;
        let lanes: Vec<_> = lanes.iter().map(ToString::to_string).collect();
        let verdict = if self.is_right() { "ok" } else { "WRONG" };
        let mut row = format!(
            "{verdict:5} {} {:.1} s | after {:.2} s start packet {} unit {} | {} | distance {distance_ms:+.2} ms clock {clock_ms:+.2} ms",
            self.name,
            self.length.as_secs_f64(),
            self.waited.as_secs_f64(),
            start.0,
            start.1,
            lanes.join(" ")
        );
        for line in self.report.lines() {
            row.push_str("\n        ");
            row.push_str(&line);
        }
        row
    }
}

/// The settings of the program that plays.
pub(crate) fn settings(mode: &str) -> Vec<(&str, &str)> {
    vec![
        ("STREAM_MODE", mode),
        ("STALL_DETECT", "3s"),
        ("SESSION_IDLE_TIMEOUT", "500ms"),
        ("TUNER_COUNT", "100"),
        ("PREEMPT_SETTLE_DELAY", "0"),
        ("TUNE_BACKOFF_MAX_TUNES", "0"),
        ("RATE_LIMIT_RPS", "0"),
    ]
}

/// Plays all of them at once.
pub(crate) fn play(items: Vec<Item>, settings: &[(&str, &str)]) -> Vec<Outcome> {
    let clock = Stopwatch::start();
    let mut daemon = Daemon::start(settings);
    let shows: Vec<Show> =
        items.into_iter().enumerate().map(|(n, item)| Show::new(&mut daemon, n, item, clock)).collect();
    let port = daemon.port();
    let recordings: Vec<_> = std::thread::scope(|scope| {
        let mut watching = Vec::new();
        for show in &shows {
            watching.push(scope.spawn(move || show.record(port, clock)));
            std::thread::park_timeout(APART);
        }
        watching
            .into_iter()
            .map(|watching| watching.join().unwrap_or_else(|_| Err("it did not answer".to_owned())))
            .collect()
    });
    let played = clock.elapsed();
    let heard: Vec<_> = shows.iter().zip(&recordings).collect();
    let next = AtomicUsize::new(0);
    let mut outcomes: Vec<_> = std::thread::scope(|scope| {
        let judge = || {
            let mut found = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some((show, recording)) = heard.get(index) else { return found };
                found.push((index, show.judge(recording)));
            }
        };
        let judges: Vec<_> = (0..JUDGES).map(|_| scope.spawn(judge)).collect();
        judges.into_iter().flat_map(|judge| judge.join().unwrap()).collect()
    });
    eprintln!("{} played in {:?}, judged by {:?}", shows.len(), played, clock.elapsed());
    outcomes.sort_by_key(|(index, _)| *index);
    if keeps() || outcomes.iter().any(|(_, outcome)| !outcome.is_right()) {
        let path = folder().join("log");
        fs::write(&path, daemon.log()).unwrap();
        eprintln!("the program's log is {}", path.display());
    }
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Whether recordings are kept that are right.
fn keeps() -> bool {
    crate::asked("FIDELITY_KEEP").is_some()
}

/// Where recordings are kept.
pub(crate) fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fidelity");
    fs::create_dir_all(&folder).unwrap();
    folder
}

struct Show {
    name: String,
    programme: Option<u16>,
    from_start: bool,
    manner: Manner,
    paced: Arc<Paced>,
    upstream: Upstream,
    path: String,
}

impl Show {
    fn new(daemon: &mut Daemon, number: usize, item: Item, clock: Stopwatch) -> Show {
        let paced = Arc::new(Paced::new(item.bytes));
        let upstream = Upstream::start(Arc::clone(&paced), item.manner, clock);
        let guide_number = (100 + number).to_string();
        daemon.channel(&guide_number, &[upstream.url()]);
        Show {
            name: item.name,
            programme: item.programme,
            from_start: item.from_start,
            manner: item.manner,
            paced,
            upstream,
            path: format!("/auto/v{guide_number}"),
        }
    }

    /// What a viewer gets, and how long it waited for the first byte.
    fn record(&self, port: u16, clock: Stopwatch) -> Result<(Recording, Duration), String> {
        let asked = clock.elapsed();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, LONG).map_err(|error| error.to_string())?;
        let request = format!("GET {} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n", self.path);
        let viewer = Viewer::ask(stream, &request);
        if viewer.status() != 200 {
            return Err(viewer.head.lines().next().unwrap_or_default().to_owned());
        }
        let limit = self.paced.length() * self.manner.rounds + LONG;
        let recording =
            record(viewer, clock, limit, |now| self.upstream.sent().is_some_and(|sent| now >= sent + BEHIND));
        let first = recording.span().map_or(recording.closed, |(first, _)| first);
        Ok((recording, first - asked))
    }

    fn judge(&self, recording: &Result<(Recording, Duration), String>) -> Outcome {
        let bytes = &self.paced.bytes;
        let rounds = usize::try_from(self.manner.rounds).unwrap();
        let source = bytes.repeat(rounds);
        let rules = Rules {
            programme: self.programme,
            round: (rounds > 1).then(|| packets(bytes).packets.len()),
            ends: self.manner.ends,
            from_start: self.from_start,
        };
        let path = folder().join(self.name.replace('/', "-"));
        let mut report = match recording {
            Ok((recording, _)) => {
                let mut report = compare(&source, &recording.bytes, rules);
                if let Some(end) = recording.end.filter(|_| !self.manner.ends) {
                    report.wrong(Wrong::Session, format!("the stream ended: {end:?}"));
                }
                decode(&mut report, &path);
                if !report.findings.is_empty() || keeps() {
                    fs::write(path.with_extension("recording.ts"), &recording.bytes).unwrap();
                    fs::write(path.with_extension("source.ts"), &source).unwrap();
                }
                report
            }
            Err(answer) => {
                let mut report = Report::default();
                report.wrong(Wrong::Nothing, answer.clone());
                report
            }
        };
        let asked = self.upstream.asked();
        if asked != 1 && !self.manner.ends {
            report.wrong(Wrong::Session, format!("asked for {asked} times"));
        }
        let waited = recording.as_ref().map_or(Duration::ZERO, |(_, waited)| *waited);
        Outcome { name: self.name.clone(), length: self.paced.length(), waited, report }
    }
}
