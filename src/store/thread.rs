//! The thread that owns the database, and the handle by which everybody else reaches it.
//!
//! A job that panics is rolled back and answered with an error; the thread goes on with the next one. Its
//! inbox therefore outlives every mistake in a job, which a thread that is started anew could not promise.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::database::Database;
use super::error::{CloseError, StoreBusy, StoreError};
use crate::base::limits::STORE_JOBS_MAX;

/// The way to the store's thread. Copies lead to the same thread.
///
/// When the last copy is dropped without [`Store::close`], the thread still does what is in its inbox and
/// closes the database, but nobody waits for it.
#[derive(Clone)]
pub struct Store {
    open: Arc<Mutex<Option<Inbox>>>,
    tally: Arc<Tally>,
}

/// What the store's thread has done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct StoreCounts {
    /// In the inbox, or being run.
    pub jobs_waiting: u64,
    /// Run, whatever came of it.
    pub jobs_run: u64,
    /// Not taken, because the inbox was full or the store closed.
    pub jobs_refused: u64,
    /// Panicked and rolled back; among those that were run.
    pub jobs_panicked: u64,
}

/// The handle's side of an open store.
struct Inbox {
    jobs: SyncSender<Job>,
    /// Gets one message: how closing went.
    closed: Receiver<Result<(), StoreError>>,
}

/// A job gets the database, or none when the store closes before its turn.
type Job = Box<dyn FnOnce(Option<&mut Database>) + Send>;

#[derive(Default)]
struct Tally {
    waiting: AtomicU64,
    run: AtomicU64,
    refused: AtomicU64,
    panicked: AtomicU64,
    /// Set when closing has taken too long: jobs that have not begun are answered with `Closed`.
    hurry: AtomicBool,
}

impl Store {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(database: Database) -> io::Result<Self> {
        Self::start_with(database, STORE_JOBS_MAX)
    }

    fn start_with(database: Database, jobs_max: usize) -> io::Result<Self> {
        let (jobs, inbox) = sync_channel(jobs_max);
        let (report, closed) = sync_channel(1);
        let tally = Arc::new(Tally::default());
        let of_thread = Arc::clone(&tally);
        std::thread::Builder::new().name("store".to_owned()).spawn(move || {
            let result = serve(database, &inbox, &of_thread);
            if let Err(unheard) = report.send(result)
                && let Err(error) = unheard.0
            {
                log::warn!("the store could not finish its files: {}", with_cause(&error));
            }
        })?;
        Ok(Self { open: Arc::new(Mutex::new(Some(Inbox { jobs, closed }))), tally })
    }

    /// Hands over a job whose result nobody waits for. Never blocks.
    ///
    /// # Errors
    /// When the inbox is full or the store closed; the job is then dropped, and counted as refused.
    #[cfg(test)]
    pub fn try_run(&self, job: impl FnOnce(&mut Database) + Send + 'static) -> Result<(), StoreBusy> {
        self.offer(Box::new(|database| {
            if let Some(database) = database {
                job(database);
            }
        }))
    }

    /// Hands over a job and how to answer. Never blocks. The answer is given on the store's thread, exactly
    /// once, also when the job panics or the store closes first; it should do no more than pass it on.
    ///
    /// # Errors
    /// When the inbox is full or the store closed; job and answer are then dropped, and counted as refused.
    pub fn submit<R, E: From<StoreError>>(
        &self,
        job: impl FnOnce(&mut Database) -> Result<R, E> + Send + 'static,
        answer: impl FnOnce(Result<R, E>) + Send + 'static,
    ) -> Result<(), StoreBusy> {
        let tally = Arc::clone(&self.tally);
        self.offer(Box::new(move |database| match database {
            Some(database) => {
                let result = guarded(database, &tally, job);
                answer(result.unwrap_or_else(|Panicked| Err(StoreError::Panicked.into())));
            }
            None => answer(Err(StoreError::Busy(StoreBusy::Closed).into())),
        }))
    }

    /// Runs a job and waits for its result. Not for a thread that serves anything, and not from within a job,
    /// which would wait for itself.
    ///
    /// # Errors
    /// The job's own, or that the store is full, closed, or the job panicked.
    pub fn call<R: Send + 'static, E: From<StoreError> + Send + 'static>(
        &self,
        job: impl FnOnce(&mut Database) -> Result<R, E> + Send + 'static,
    ) -> Result<R, E> {
        let (sender, answer) = sync_channel(1);
        let send = move |result| sender.send(result).expect("the caller waits for its answer");
        self.submit(job, send).map_err(StoreError::from)?;
        answer.recv().expect("every job that is taken is answered")
    }

    /// Takes no more jobs, does those in the inbox, moves the write-ahead log into the database file and
    /// closes it. Waits until then, but not longer than `limit`; jobs that have not begun by then are
    /// answered with `Closed`, and the thread ends behind the caller's back or with the process.
    ///
    /// # Errors
    /// When the store was closed before, is not done in time, or SQLite refuses.
    pub fn close(&self, limit: Duration) -> Result<(), CloseError> {
        let Inbox { jobs, closed } = self.inbox().take().ok_or(CloseError::AlreadyClosed)?;
        drop(jobs);
        match closed.recv_timeout(limit) {
            Ok(result) => result.map_err(CloseError::Failed),
            Err(RecvTimeoutError::Timeout) => {
                self.tally.hurry.store(true, Ordering::Relaxed);
                Err(CloseError::TimedOut { limit, jobs_waiting: self.counts().jobs_waiting })
            }
            Err(RecvTimeoutError::Disconnected) => Err(CloseError::Failed(StoreError::Panicked)),
        }
    }

    /// What the thread has done so far.
    #[must_use]
    pub fn counts(&self) -> StoreCounts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreCounts {
            jobs_waiting: count(&self.tally.waiting),
            jobs_run: count(&self.tally.run),
            jobs_refused: count(&self.tally.refused),
            jobs_panicked: count(&self.tally.panicked),
        }
    }

    fn offer(&self, job: Job) -> Result<(), StoreBusy> {
        // Counted before it is sent: afterwards the thread may have counted it off already.
        self.tally.waiting.fetch_add(1, Ordering::Relaxed);
        let offered = match &*self.inbox() {
            Some(open) => open.jobs.try_send(job),
            None => Err(TrySendError::Disconnected(job)),
        };
        // The lock is free again here, where a refused job is dropped with whatever it holds.
        let refused = match offered {
            Ok(()) => return Ok(()),
            Err(TrySendError::Full(_job)) => StoreBusy::Full,
            Err(TrySendError::Disconnected(_job)) => StoreBusy::Closed,
        };
        self.tally.waiting.fetch_sub(1, Ordering::Relaxed);
        self.tally.refused.fetch_add(1, Ordering::Relaxed);
        Err(refused)
    }

    /// Held for no longer than it takes to try a send.
    fn inbox(&self) -> MutexGuard<'_, Option<Inbox>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread: one job after the other, until every handle is gone or the store is closed.
fn serve(mut database: Database, inbox: &Receiver<Job>, tally: &Tally) -> Result<(), StoreError> {
    while let Ok(job) = inbox.recv() {
        let in_time = !tally.hurry.load(Ordering::Relaxed);
        // Guarded once more than in `submit`: an answer may panic as well, and so may a job without one.
        let ran = guarded(&mut database, tally, |database| job(in_time.then_some(database)));
        if in_time || ran.is_err() {
            tally.run.fetch_add(1, Ordering::Relaxed);
        }
        tally.waiting.fetch_sub(1, Ordering::Relaxed);
    }
    database.close()
}

struct Panicked;

/// Runs work on the database such that neither a panic nor a transaction survives it.
fn guarded<R>(
    database: &mut Database,
    tally: &Tally,
    work: impl FnOnce(&mut Database) -> R,
) -> Result<R, Panicked> {
    // What a panic may leave behind in the database is its transaction, and that is ended below.
    let result = catch_unwind(AssertUnwindSafe(|| work(database)));
    if let Err(error) = database.roll_back() {
        log::error!("a transaction of the store could not be rolled back: {}", with_cause(&error));
    }
    result.map_err(|_payload| {
        // The panic hook has printed the payload and the place.
        log::error!("a job of the store panicked; what it had begun was rolled back");
        tally.panicked.fetch_add(1, Ordering::Relaxed);
        Panicked
    })
}

fn with_cause(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::error::ChannelError;

    const LONG: Duration = Duration::from_secs(60);

    fn store(jobs_max: usize) -> Store {
        Store::start_with(Database::in_memory().unwrap(), jobs_max).unwrap()
    }

    /// Keeps the store's thread in a job until the sender given back is dropped.
    fn occupy(store: &Store) -> SyncSender<()> {
        let (release, released) = sync_channel::<()>(0);
        let (entered, inside) = sync_channel(1);
        store
            .try_run(move |_database| {
                entered.send(()).unwrap();
                assert!(released.recv().is_err());
            })
            .unwrap();
        inside.recv().unwrap();
        release
    }

    fn set(database: &mut Database, key: &str) -> Result<(), StoreError> {
        database.set_setting(key, "set")
    }

    #[test]
    fn a_call_gives_the_jobs_own_result() {
        let store = store(4);
        assert_eq!(store.call(|database| set(database, "a")), Ok(()));
        assert_eq!(store.call(|database| database.setting("a")), Ok(Some("set".to_owned())));
        let error: Result<(), ChannelError> = store.call(|database| database.delete_channel(7));
        assert_eq!(error, Err(ChannelError::ChannelNotFound { channel_id: 7 }));
    }

    #[test]
    fn a_panic_in_a_job_is_rolled_back_and_the_next_job_runs() {
        let store = store(4);
        let result: Result<(), StoreError> = store.call(|database| {
            database.connection.execute_batch("BEGIN IMMEDIATE")?;
            set(database, "half")?;
            panic!("for the test");
        });
        assert_eq!(result, Err(StoreError::Panicked));
        assert_eq!(store.call(|database| database.setting("half")), Ok(None));
        assert_eq!(store.call(|database| set(database, "whole")), Ok(()));
        store.close(LONG).unwrap();
        let counts = StoreCounts { jobs_run: 3, jobs_panicked: 1, ..StoreCounts::default() };
        assert_eq!(store.counts(), counts);
    }

    #[test]
    fn a_panic_in_an_answer_or_in_a_job_without_one_is_survived() {
        let store = store(4);
        store.submit(|database| set(database, "a"), |_result| panic!("for the test")).unwrap();
        store.try_run(|_database| panic!("for the test")).unwrap();
        assert_eq!(store.call(|database| database.setting("a")), Ok(Some("set".to_owned())));
        store.close(LONG).unwrap();
        let counts = StoreCounts { jobs_run: 3, jobs_panicked: 2, ..StoreCounts::default() };
        assert_eq!(store.counts(), counts);
    }

    #[test]
    fn a_full_inbox_refuses_and_counts() {
        let store = store(2);
        let release = occupy(&store);
        store.try_run(|_database| ()).unwrap();
        store.try_run(|_database| ()).unwrap();
        assert_eq!(store.try_run(|_database| ()), Err(StoreBusy::Full));
        let refused: Result<(), StoreError> = store.call(|_database| Ok(()));
        assert_eq!(refused, Err(StoreError::Busy(StoreBusy::Full)));
        assert_eq!(store.counts().jobs_waiting, 3, "one is being run");
        drop(release);
        store.close(LONG).unwrap();
        let counts = StoreCounts { jobs_run: 3, jobs_refused: 2, ..StoreCounts::default() };
        assert_eq!(store.counts(), counts);
    }

    #[test]
    fn closing_does_what_is_in_the_inbox_and_leaves_one_complete_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tunerd.db");
        let store = Store::start(Database::open(&path).unwrap()).unwrap();
        let release = occupy(&store);
        for n in 0..50 {
            store.try_run(move |database| set(database, &n.to_string()).unwrap()).unwrap();
        }
        drop(release);
        store.close(LONG).unwrap();
        let names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["tunerd.db"], "the log is in the file");
        let database = Database::open(&path).unwrap();
        assert!((0..50).all(|n| database.setting(&n.to_string()).unwrap().is_some()));
    }

    #[test]
    fn a_closed_store_takes_nothing() {
        let store = store(2);
        let copy = store.clone();
        store.close(LONG).unwrap();
        assert_eq!(copy.try_run(|_database| ()), Err(StoreBusy::Closed));
        assert_eq!(copy.call(|database| database.setting("a")), Err(StoreError::Busy(StoreBusy::Closed)));
        assert_eq!(copy.close(LONG), Err(CloseError::AlreadyClosed));
    }

    #[test]
    fn closing_gives_up_in_time_and_answers_what_it_leaves() {
        let store = store(8);
        let release = occupy(&store);
        let (sender, answers) = sync_channel(2);
        store.submit(|database| set(database, "a"), move |result| sender.send(result).unwrap()).unwrap();
        let late = store.close(Duration::ZERO);
        assert_eq!(late, Err(CloseError::TimedOut { limit: Duration::ZERO, jobs_waiting: 2 }));
        drop(release);
        assert_eq!(answers.recv(), Ok(Err(StoreError::Busy(StoreBusy::Closed))));
    }

    #[test]
    fn jobs_are_done_although_the_last_handle_is_gone() {
        let store = store(4);
        let release = occupy(&store);
        let (sender, answers) = sync_channel(1);
        store.submit(|database| set(database, "a"), move |result| sender.send(result).unwrap()).unwrap();
        drop(store);
        drop(release);
        assert_eq!(answers.recv(), Ok(Ok(())));
    }
}
