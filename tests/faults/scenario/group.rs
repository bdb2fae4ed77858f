//! One program, one mode and filler, many channels.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::cases::Case;
use super::leftovers::Baseline;
use super::{is_all, is_chosen};
use crate::judge::{Leads, Rules, Verdict, judge, vlc_complaints};
use crate::kit::{Daemon, Stopwatch, Viewer};
use crate::provider::{Act, Fault, Make, Plan, Provider};
use crate::recorder::{Recording, record};

/// Shorter than the default, so that an outage is over soon.
pub(crate) const STALL_DETECT: Duration = Duration::from_secs(1);
/// How long a recording goes on when the backup plays: ffmpeg needs some seconds until it passes on what it reads.
const AFTER_BACKUP: Duration = Duration::from_secs(6);
/// How long it goes on behind a fault that the backup is not needed for.
const AFTER_FAULT: Duration = Duration::from_secs(9);
/// The longest recording.
const LIMIT: Duration = Duration::from_secs(25);
/// The longest outage, which a filler without pictures shows as it is.
const OUTAGE: Duration = Duration::from_secs(6);
/// Recordings are judged by as many threads.
const JUDGES: usize = 2;

/// A mode and a filler, and the cases to play with them.
pub(crate) struct Group<'a> {
    pub(crate) mode: &'a str,
    pub(crate) filler: &'a str,
    pub(crate) cases: Vec<Case>,
}

/// The names of cases in front of their own.
pub(crate) fn names(mode: &str, filler: &str, case: &str) -> String {
    format!("{mode}/{filler}/{case}")
}

/// The settings of a mode and a filler.
pub(crate) fn settings<'a>(mode: &'a str, filler: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("STREAM_MODE", mode),
        ("RECOVERY_FILLER_MODE", filler),
        ("STALL_DETECT", "1s"),
        ("STARTUP_TIMEOUT", "6s"),
        ("SESSION_IDLE_TIMEOUT", "500ms"),
        ("EGRESS_DELAY", "20ms"),
        ("EGRESS_DELAY_MAX", "20ms"),
        ("TUNER_COUNT", "64"),
        ("PREEMPT_SETTLE_DELAY", "0"),
        ("TUNE_BACKOFF_MAX_TUNES", "0"),
        ("RATE_LIMIT_RPS", "0"),
    ]
}

pub(crate) fn start(mode: &str, filler: &str) -> Daemon {
    Daemon::start(&settings(mode, filler))
}

/// A channel of these providers; its path.
pub(crate) fn channel(daemon: &mut Daemon, number: usize, providers: &[&Provider]) -> (i64, String) {
    let guide_number = (100 + number).to_string();
    let urls: Vec<_> = providers.iter().map(|provider| provider.url()).collect();
    (daemon.channel(&guide_number, &urls), format!("/auto/v{guide_number}"))
}

/// Where what belongs to a case is written.
pub(crate) fn write_down(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("faults");
    fs::create_dir_all(&folder).unwrap();
    folder.join(name.replace('/', "-"))
}

/// Keeps the program's log when something is wrong.
pub(crate) fn keep_log(name: &str, daemon: &Daemon, wrong: &[String]) {
    if !wrong.is_empty() {
        let path = write_down(name).with_extension("log");
        fs::write(&path, daemon.log()).unwrap();
        eprintln!("{name}: the program's log is {}", path.display());
    }
}

/// A case while it is played.
struct Show {
    name: String,
    case: Case,
    path: String,
    primary: Provider,
    backup: Provider,
}

impl Group<'_> {
    /// Leaves the cases that are not to run; by default those of this list run.
    pub(crate) fn choose(mut self, by_default: impl Fn(&str) -> bool) -> Self {
        let (mode, filler) = (self.mode, self.filler);
        self.cases.retain(|case| is_chosen(&names(mode, filler, case.name), by_default(case.name)));
        self
    }

    /// Plays all cases and says what was wrong.
    pub(crate) fn play(self) -> Vec<String> {
        if self.cases.is_empty() {
            return Vec::new();
        }
        let clock = Stopwatch::start();
        let mut daemon = start(self.mode, self.filler);
        let (mode, filler) = (self.mode, self.filler);
        let shows: Vec<_> = (self.cases.into_iter().enumerate())
            .map(|(number, case)| {
                let provider = |plan: &Plan| Provider::start(clock, plan.clone());
                let (primary, backup) = (provider(&case.primary), provider(&case.backup));
                let (_, path) = channel(&mut daemon, number, &[&primary, &backup]);
                Show { name: names(mode, filler, case.name), case, path, primary, backup }
            })
            .collect();
        let baseline = Baseline::of(&daemon);
        let recordings = std::thread::scope(|scope| {
            let port = daemon.port();
            let watching: Vec<_> =
                shows.iter().map(|show| scope.spawn(move || show.record(port, clock))).collect();
            // Who could not watch has said why.
            watching.into_iter().map(|watching| watching.join().ok()).collect::<Vec<_>>()
        });
        let providers = shows.iter().flat_map(|show| [&show.primary, &show.backup]);
        let left = baseline.leftovers(&daemon, providers);
        let mut wrong: Vec<_> =
            left.into_iter().map(|left| format!("{}: {left}", names(mode, filler, "*"))).collect();
        let heard: Vec<_> = shows.iter().zip(recordings).collect();
        let next = AtomicUsize::new(0);
        let mut judged = std::thread::scope(|scope| {
            let judges: Vec<_> = (0..JUDGES)
                .map(|_| {
                    scope.spawn(|| {
                        let mut found = Vec::new();
                        while let Some((show, recording)) = heard.get(next.fetch_add(1, Ordering::Relaxed)) {
                            found.extend(show.judge(mode, filler, recording.as_ref()));
                        }
                        found
                    })
                })
                .collect();
            judges.into_iter().flat_map(|judge| judge.join().unwrap()).collect::<Vec<_>>()
        });
        judged.sort();
        wrong.append(&mut judged);
        keep_log(&format!("{mode}/{filler}"), &daemon, &wrong);
        wrong
    }
}

impl Show {
    fn record(&self, port: u16, clock: Stopwatch) -> Recording {
        record(Viewer::open(port, &self.path), clock, LIMIT, |now| {
            let passed = |since: Option<Duration>, time| since.is_some_and(|since| now >= since + time);
            let is_backed_up = passed(self.backup.played(), AFTER_BACKUP);
            // Where nothing fails, what is to be seen is seen in the time that a fault takes.
            let fault = self.primary.failed().or(self.primary.played().filter(|_| !self.fails()));
            is_backed_up
                || (!self.case.needs_backup && passed(fault, AFTER_FAULT) && self.backup.played().is_none())
        })
    }

    /// What its sources have, whatever they become.
    fn leads(&self) -> Leads {
        let plans = [&self.case.primary, &self.case.backup];
        let becomes = plans.iter().flat_map(|plan| &plan.script).filter_map(|act| match act {
            Act::Fail(_, Fault::Change(make)) => Some(*make),
            Act::Fail(..) | Act::Play | Act::Refuse(_) => None,
        });
        let makes = plans.iter().map(|plan| plan.make).chain(becomes);
        makes.map(|make| make.media().leads).fold(Leads::default(), Leads::or)
    }

    fn fails(&self) -> bool {
        !matches!(self.case.primary.act(0), Act::Play)
    }

    /// What is wrong with it, each line with the case's name.
    fn judge(&self, mode: &str, filler: &str, recording: Option<&Recording>) -> Vec<String> {
        let Some(recording) = recording else { return vec![format!("{}: nobody could watch", self.name)] };
        let is_complete = filler == "slate_av";
        let rules = Rules {
            silence: self.case.silence,
            still: if is_complete { STALL_DETECT + Duration::from_secs(1) } else { OUTAGE },
            is_complete,
            has_one_rate: self.case.backup.make != Make::Fifty,
            further: [self.backup.played(), None],
            late: self.primary.late().max(self.backup.late()),
            ..Rules::of_sources(mode, self.leads())
        };
        let path = write_down(&self.name);
        let verdict = judge(recording, &rules, &path);
        let mut wrong = verdict.lines();
        if self.case.needs_backup && self.backup.played().is_none() {
            wrong.push("the backup was not asked for".to_owned());
        }
        let codecs = self.case.codecs;
        if !codecs.is_empty() && verdict.codecs != codecs {
            wrong.push(format!("the codecs are {:?}, not {codecs:?}", verdict.codecs));
        }
        if !codecs.is_empty() && is_all() {
            wrong.extend(self.show_to_vlc(recording));
        }
        self.tell(&verdict, wrong.len());
        for part in 0..verdict.codecs.len() {
            if wrong.is_empty() {
                fs::remove_file(format!("{}-{part}.ts", path.display())).unwrap();
            }
        }
        wrong.into_iter().map(|line| format!("{}: {line}", self.name)).collect()
    }

    /// What another player says to a stream that changes its make-up.
    fn show_to_vlc(&self, recording: &Recording) -> Vec<String> {
        let path = write_down(&self.name).with_extension("ts");
        fs::write(&path, &recording.bytes).unwrap();
        let codecs = self.case.codecs.concat();
        let pictures: Vec<_> = codecs.into_iter().filter(|codec| ["h264", "hevc"].contains(codec)).collect();
        let complaints = vlc_complaints(&path, &pictures);
        if complaints.is_none() {
            eprintln!("{}: not shown to VLC, which is not installed", self.name);
        }
        fs::remove_file(path).unwrap();
        complaints.unwrap_or_default()
    }

    fn tell(&self, verdict: &Verdict, wrong: usize) {
        let (gap, gap_at) = verdict.longest_gap;
        eprintln!(
            "{}: {wrong} wrong; {:.1} s, plays for {:.1} s, at most {} ms without a byte (at {:.1} s), asked {}+{} times",
            self.name,
            verdict.wall.as_secs_f64(),
            verdict.plays.as_secs_f64(),
            gap.as_millis(),
            gap_at.as_secs_f64(),
            self.primary.connections().len(),
            self.backup.connections().len(),
        );
    }
}
