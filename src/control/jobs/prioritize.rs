//! The job that tries sources and puts the best of each channel first.
//!
//! A source is tried by the core on which its channel lives, with a tuner that is lent to probes: a viewer takes it back at once, a
//! channel that somebody watches is left alone, and when there is no tuner the job waits.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::desk::{Going, RunEnd};
use super::score::ordered;
use super::settings::load;
use crate::base::redact;
use crate::control::state::State;
use crate::engine::{CoreCommand, TryOutcome, home};
use crate::lineup::StoredProfile;
use crate::lineup::{ChannelId, SourceId};
use crate::store::{ChannelError, ChannelRecord, StoreError};

/// A source that was looked at so lately, in seconds, is not looked at again.
const FRESH_SECONDS: u64 = 24 * 3600;
/// Until it is asked again whether there is a tuner.
const BUSY_PAUSE: Duration = Duration::from_millis(250);
/// How long a source waits for a tuner, all in all. Viewers have them until then: the source is left as it is.
const TUNER_WAIT_MAX: Duration = Duration::from_secs(30);
/// A core that says nothing for so long does not live any more.
const ANSWER_MAX: Duration = Duration::from_secs(120);
/// What cores have learnt is written after a quarter of a second.
const SETTLE: Duration = Duration::from_millis(600);

/// What the job has done so far.
#[derive(Default)]
struct TrialCounts {
    tried: Cell<usize>,
    errors: Cell<usize>,
    skipped: Cell<usize>,
}

/// A source that is to be tried.
#[derive(Clone, Copy)]
struct Task {
    channel: i64,
    source: i64,
}

pub(super) async fn run(state: &Rc<State>, going: &Rc<Going>) -> RunEnd {
    match work(state, going).await {
        Ok(end) => end,
        Err(error) => RunEnd::Error(error.to_string()),
    }
}

async fn work(state: &Rc<State>, going: &Rc<Going>) -> Result<RunEnd, StoreError> {
    let settings = state.ask_store(|database| load(database)).await?;
    let channels = state.ask_store::<_, StoreError>(|database| database.channels()).await?;
    let channels: Vec<ChannelRecord> = channels.into_iter().filter(|channel| channel.enabled).collect();
    let now = state.wall_now().unix_seconds();
    let most = match settings.top_n_per_channel {
        0 => usize::MAX,
        count => count as usize,
    };
    let mut cached = 0;
    let mut tasks = VecDeque::new();
    for channel in &channels {
        // One alone is the best; a disabled one is offered to nobody, so that no core could try it.
        let usable: Vec<_> = channel.sources.iter().filter(|source| source.enabled).take(most).collect();
        if usable.len() < 2 {
            continue;
        }
        for source in usable {
            let StoredProfile { stream, probed_at } = &source.profile;
            let is_fresh = stream.height > 0 && now.saturating_sub(*probed_at) < FRESH_SECONDS;
            if is_fresh {
                cached += 1;
            } else {
                tasks.push_back(Task { channel: channel.channel_id, source: source.source_id });
            }
        }
    }
    let total = tasks.len() + channels.len();
    progress(state, going, 0, total);
    let workers = state.params.auto_prioritize_workers.min(tasks.len().max(1));
    let (tasks, counts) = (Rc::new(RefCell::new(tasks)), Rc::new(TrialCounts::default()));
    let failed = Rc::new(RefCell::new(BTreeMap::<i64, Vec<i64>>::new()));
    let mut running = Vec::new();
    for _worker in 0..workers {
        let (state, going) = (Rc::clone(state), Rc::clone(going));
        let (tasks, counts, failed) = (Rc::clone(&tasks), Rc::clone(&counts), Rc::clone(&failed));
        running.push(tokio_uring::spawn(async move {
            while !going.is_canceled() {
                let Some(task) = tasks.borrow_mut().pop_front() else { return };
                match try_one(&state, &going, task).await {
                    Some(Ok(())) => counts.tried.set(counts.tried.get() + 1),
                    Some(Err(reason)) => {
                        log::info!("source {} could not be tried: {}", task.source, redact::text(&reason));
                        counts.tried.set(counts.tried.get() + 1);
                        counts.errors.set(counts.errors.get() + 1);
                        failed.borrow_mut().entry(task.channel).or_default().push(task.source);
                    }
                    None => counts.skipped.set(counts.skipped.get() + 1),
                }
                progress(&state, &going, counts.tried.get() + counts.skipped.get(), total);
            }
        }));
    }
    for worker in running {
        // The panic hook has said what there is to be said; the others go on.
        let _panicked = worker.await;
    }
    let summary = |reordered: usize| {
        format!(
            "channels={} analyzed={} cache_hits={cached} reordered={reordered} skipped_sources={} analysis_errors={} \
             enabled_only={} top_n_per_channel={}",
            channels.len(),
            counts.tried.get(),
            counts.skipped.get(),
            counts.errors.get(),
            settings.enabled_only,
            settings.top_n_per_channel
        )
    };
    if going.is_canceled() {
        return Ok(RunEnd::Canceled(summary(0)));
    }
    sleep(SETTLE).await;
    let failed = failed.borrow().clone();
    let reordered = reorder(state, failed).await?;
    progress(state, going, total, total);
    Ok(RunEnd::Success(summary(reordered)))
}

/// Notes how far the run is. What the store does not take is said again with the next step.
fn progress(state: &State, going: &Going, current: usize, most: usize) {
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let (run_id, current, most) = (going.run_id(), count(current), count(most));
    let _unheard =
        state.tell_store::<_, StoreError>(move |database| database.progress_run(run_id, current, most));
}

/// Has a source tried. Nothing when it was not, since somebody watches or no tuner became free.
async fn try_one(state: &State, going: &Going, task: Task) -> Option<Result<(), String>> {
    let (channel, source) = (ChannelId(task.channel), SourceId(task.source));
    let cores = u8::try_from(state.outbox.cores()).unwrap_or(u8::MAX);
    if cores == 0 {
        return None;
    }
    let core = usize::from(home(channel, cores).0);
    let until = state.clock.now() + TUNER_WAIT_MAX;
    loop {
        let (sender, answer) = oneshot::channel();
        let reply = Box::new(move |outcome| {
            // Nobody waits any more after the timeout.
            let _unheard = sender.send(outcome);
        });
        if state.outbox.try_send(core, CoreCommand::TrySource { channel, source, reply }).is_ok() {
            let answered = tokio::select! {
                answered = timeout(ANSWER_MAX, answer) => answered.ok()?.ok()?,
                // What is tried is ended by its own time-out.
                () = going.canceled() => return None,
            };
            match answered {
                TryOutcome::Ready => return Some(Ok(())),
                TryOutcome::Failed(reason) => return Some(Err(reason)),
                TryOutcome::Watched => return None,
                TryOutcome::Busy => {}
            }
        }
        if state.clock.now() >= until || going.is_canceled() {
            return None;
        }
        sleep(BUSY_PAUSE).await;
    }
}

/// Puts the sources of all channels in their order, by what is known of them now. Gives how many channels have changed.
async fn reorder(state: &State, failed: BTreeMap<i64, Vec<i64>>) -> Result<usize, StoreError> {
    let now = state.wall_now();
    let changed = state
        .ask_store::<_, StoreError>(move |database| {
            let mut changed = 0;
            for channel in database.channels()?.into_iter().filter(|channel| channel.enabled) {
                let failed = failed.get(&channel.channel_id).map_or(&[][..], Vec::as_slice);
                let order = ordered(&channel.sources, failed, now.unix_seconds());
                if order.iter().eq(channel.sources.iter().map(|source| &source.source_id)) {
                    continue;
                }
                match database.reorder_sources(channel.channel_id, &order, now) {
                    Ok(()) => changed += 1,
                    Err(ChannelError::Store(error)) => return Err(error),
                    // It is not there any more.
                    Err(error) => {
                        log::debug!("channel {} is not put in order: {error}", channel.guide_number)
                    }
                }
            }
            Ok(changed)
        })
        .await?;
    if changed > 0 {
        state.publish_lineup().await?;
    }
    Ok(changed)
}
