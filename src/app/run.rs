//! `tunerd run`: every thread is started, and ended, here.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use tunerd::base::{Clock, Errno, Instant, heap};
use tunerd::config::{Effective, Loaded, Settings};
use tunerd::control::{self, ControlError};
use tunerd::engine::{self, ControlPort, Core, CoreId, Heartbeats, Mailbox, MailboxReader, Parts, Token};
use tunerd::exit::ExitCode;
use tunerd::lineup::Lineup;
use tunerd::ring::Lent;
use tunerd::source::Trust;
use tunerd::store::{Database, Store};
use tunerd::uring::{Files, KernelDriver};

use super::room::{self, Plan};
use super::{Failure, check, ffmpeg, listeners, log_queue, params, start};

/// Where the channels come from.
pub(crate) enum Catalog {
    /// From the database named in the settings.
    Database,
    /// From this one, which has been prepared.
    Prepared(Database),
}

/// Beside the database.
const SLATES_FOLDER: &str = "slates";
/// Beside it, too.
const GUIDES_FOLDER: &str = "guides";
/// Beside it, too.
const ROOTS_FILE: &str = "upstream-ca.pem";

/// A core that has not come round for this long starves the watchdog.
const HEARTBEAT_LIMIT: Duration = Duration::from_secs(3);

/// Which servers are believed. Programs that we start find the authorities in a file beside the database.
fn trust(settings: &Settings, has_place: bool) -> Result<Trust, Failure> {
    let trust = params::trust(settings)?;
    let file = settings.store.path.with_file_name(ROOTS_FILE);
    // A relative path leads nowhere else for those programs: they have our folder.
    let is_written = has_place && write_whole(&file, &trust.pem());
    Ok(if is_written { trust.in_file(file) } else { trust })
}

/// A setting, as the page shows it.
fn setting_now(effective: &Effective) -> control::SettingNow {
    control::SettingNow {
        name: effective.env,
        value: effective.value.clone(),
        default: effective.default(),
        from: effective.origin.to_string(),
        help: effective.help(),
    }
}

/// True when the file has this text. It is never there in part.
fn write_whole(file: &Path, text: &str) -> bool {
    let partial = file.with_extension("new");
    let written = std::fs::write(&partial, text).and_then(|()| std::fs::rename(&partial, file));
    if let Err(error) = &written {
        log::warn!("{}: {error}; ffmpeg believes the authorities that it was built with", file.display());
    }
    written.is_ok()
}

/// Runs until a signal.
pub(crate) fn run(loaded: &Loaded, catalog: Catalog) -> Result<ExitCode, Failure> {
    let settings = &loaded.settings;
    heap::keep_ends_short();
    control::block_signals().map_err(|error| Failure::because(ExitCode::Failure, &error))?;
    start::raise_open_files_limit();
    let clock = Clock::start();
    let probe = start::kernel()?;
    let found = ffmpeg::detect(&settings.ffmpeg.path);
    if found.is_none() {
        log::warn!(
            "{} does not run; only sources that are MPEG-TS over HTTP can be read",
            settings.ffmpeg.path.display()
        );
    }
    let capabilities = found.clone().unwrap_or_default();
    let trust = Arc::new(trust(settings, matches!(catalog, Catalog::Database))?);
    let mut engine = params::engine(settings, capabilities, Arc::clone(&trust), &probe)?;
    let plan = Plan::new(&room::facts(settings, &engine, &probe));
    log::info!("{plan}");
    for complaint in plan.complaints() {
        log::warn!("{complaint}");
    }
    plan.apply(&mut engine);
    let about = control::About {
        check: check::findings(loaded, &probe, found.as_ref(), &engine, &plan),
        settings: loaded.effective.iter().map(setting_now).collect(),
        log: log_queue::tail(),
    };
    // A catalog that is gone afterwards leaves nothing else behind.
    let slates = match &catalog {
        Catalog::Database => Some(settings.store.path.with_file_name(SLATES_FOLDER)),
        Catalog::Prepared(_) => None,
    };
    let guides = match &catalog {
        Catalog::Database => Some(settings.store.path.with_file_name(GUIDES_FOLDER)),
        Catalog::Prepared(_) => None,
    };
    let _lock = match &catalog {
        Catalog::Database => Some(start::lock(&settings.store.path)?),
        Catalog::Prepared(_) => None,
    };
    let mut database = match catalog {
        Catalog::Database => start::database(&settings.store.path)?,
        Catalog::Prepared(database) => database,
    };
    let settings = &start::with_remembered_playlist(settings.clone(), &database)?;
    let identity = start::identity(settings, &mut database, &clock)?;
    start::playlists(&mut database, settings)?;
    let (listed, lineup) = start::lineup(&mut database, settings)?;
    let lineup = Arc::new(lineup);
    let listeners = listeners::open(&settings.http.listen, engine.cores, engine.egress.max_blocked_write)?;
    let listens = listeners::addresses(&listeners);
    engine.own = engine::Own {
        name: start::own_name(&clock),
        listens: listens.clone(),
        started_unix_ms: clock.wall_at(Instant::START).unix_nanos() / 1_000_000,
    };
    let store = Store::start(database).map_err(|error| Failure::because(ExitCode::Failure, &error))?;

    let (port, inbox) = control::port();
    let cores = Cores::start(&engine, probe.files, listeners, &port, clock, &lineup)?;
    drop(port);
    log::info!(
        "listening on {}; {} core(s), {} tuner(s), kernel {}",
        settings.http.listen.iter().map(|address| address.to_string()).collect::<Vec<_>>().join(" "),
        engine.cores,
        engine.tuners,
        probe.kernel_release
    );
    let parts = control::Parts { inbox, mailboxes: cores.mailboxes.clone(), store, clock, listed };
    let told = params::control(settings, identity, slates, guides, trust, listens, plan.control);
    match control::run(control::Params { about: Arc::new(about), ..told }, parts) {
        Ok(()) => {}
        // Whoever sent a second signal does not wait for the cores, and without control nobody asks them to drain.
        Err(ControlError::Interrupted) => return Ok(ExitCode::Forced),
        Err(error) => return Err(Failure::because(ExitCode::Failure, &error)),
    }
    if cores.join()? { Ok(ExitCode::Ok) } else { Ok(ExitCode::Forced) }
}

struct Cores {
    mailboxes: Vec<Mailbox>,
    threads: Vec<JoinHandle<Result<bool, Errno>>>,
}

impl Cores {
    fn start(
        params: &engine::Params,
        files: Files,
        listeners: Vec<Vec<OwnedFd>>,
        port: &(impl ControlPort + Clone + 'static),
        clock: Clock,
        lineup: &Arc<Lineup>,
    ) -> Result<Self, Failure> {
        let failed = |error: &dyn std::error::Error| Failure::because(ExitCode::Failure, error);
        let mut mailboxes = Vec::new();
        let mut readers = Vec::new();
        for _core in 0..params.cores {
            let (mailbox, reader) = Mailbox::new().map_err(|error| failed(&error))?;
            mailboxes.push(mailbox);
            readers.push(reader);
        }
        let heartbeats = Arc::new(Heartbeats::new(usize::from(params.cores)));
        let mut threads = Vec::new();
        let (sender, begun) = mpsc::channel();
        for ((id, reader), listeners) in (0..params.cores).zip(readers).zip(listeners) {
            let parts = Seed {
                id: CoreId(id),
                files,
                params: params.clone(),
                control: Box::new(port.clone()),
                reader,
                cores: mailboxes.clone(),
                listeners,
                lineup: Arc::clone(lineup),
                heartbeats: Arc::clone(&heartbeats),
                clock,
            };
            let thread = std::thread::Builder::new().name(format!("core-{id}"));
            let begun = sender.clone();
            threads.push(thread.spawn(move || parts.run(&begun)).map_err(|error| failed(&error))?);
        }
        // A core that is missing would leave its channels, and those who connect to it, without an answer.
        for result in begun.iter().take(mailboxes.len()) {
            result.map_err(|errno| cannot_begin(errno, params.cores))?;
        }
        Ok(Self { mailboxes, threads })
    }

    /// Waits for every core. True when each had drained in time.
    fn join(self) -> Result<bool, Failure> {
        let mut in_time = true;
        for thread in self.threads {
            match thread.join() {
                Ok(Ok(drained)) => in_time &= drained,
                Ok(Err(errno)) => {
                    return Err(Failure::new(ExitCode::Failure, format!("a core could not go on: {errno}")));
                }
                Err(_panic) => unreachable!("a core that panics aborts the process"),
            }
        }
        Ok(in_time)
    }
}

fn cannot_begin(errno: Errno, cores: u8) -> Failure {
    let remedy = if errno == Errno::NOMEM {
        ": each needs locked memory for its io_uring; raise it (ulimit -l, systemd: LimitMEMLOCK=infinity), or set CORES to fewer"
    } else {
        ""
    };
    Failure::new(ExitCode::Failure, format!("{cores} cores cannot begin, {errno}{remedy}"))
}

/// What a core's thread grows from.
struct Seed {
    id: CoreId,
    files: Files,
    params: engine::Params,
    control: Box<dyn ControlPort>,
    reader: MailboxReader,
    cores: Vec<Mailbox>,
    listeners: Vec<OwnedFd>,
    lineup: Arc<Lineup>,
    heartbeats: Arc<Heartbeats>,
    clock: Clock,
}

/// The kernel holds addresses in a core's memory: unwinding would free it under the kernel's hands.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            log_queue::flush();
            std::process::abort();
        }
    }
}

impl Seed {
    /// Says whether it has begun, and runs until it is drained. True when that was in time.
    fn run(self, begun: &mpsc::Sender<Result<(), Errno>>) -> Result<bool, Errno> {
        let _guard = AbortOnPanic;
        let (heartbeats, id, clock) = (Arc::clone(&self.heartbeats), self.id, self.clock);
        let made = self.core();
        // Whoever waits for it hears of the first that fails, and of no other.
        let _unheard = begun.send(made.as_ref().map(drop).map_err(|errno| *errno));
        let mut core = made?;
        let mut watchdog = (id == CoreId(0)).then(control::watchdog_feeder).flatten();
        let mut fed_at = Instant::START;
        let ran = core.run(&clock, |now| {
            heartbeats.beat(id, now);
            if let Some((interval, feed)) = &mut watchdog
                && now - fed_at >= *interval / 2
                && heartbeats.all_within(now, HEARTBEAT_LIMIT)
            {
                fed_at = now;
                feed();
            }
        });
        if ran.is_err() {
            // Without it some channels have no core: all end, and whoever has started the program starts it again.
            let _asked = kill(Pid::this(), Signal::SIGTERM);
        }
        ran.map(|()| core.is_empty())
    }

    fn core(self) -> Result<Core<KernelDriver<Token, Lent>>, Errno> {
        let wakeup = self.reader.wakeup_descriptor().map_err(Errno::from)?;
        let parts = Parts {
            id: self.id,
            params: self.params,
            control: self.control,
            mailbox: self.reader,
            wakeup: Some(wakeup),
            cores: self.cores,
            listeners: self.listeners,
            lineup: self.lineup,
        };
        Core::new(KernelDriver::new(self.files)?, parts)
    }
}
