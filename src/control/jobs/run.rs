//! Runs of jobs: begun, watched over and ended.

use std::rc::Rc;

use super::desk::{Going, JobKind, RunEnd, Trigger};
use super::prioritize;
use crate::control::playlist;
use crate::control::state::State;
use crate::store::StoreError;

/// Why a run was not begun.
#[derive(thiserror::Error, Debug)]
pub(in crate::control) enum StartRefusal {
    #[error("job \"{name}\" is already running, as run {run_id}")]
    Running { name: &'static str, run_id: i64 },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Begins a run, which goes on by itself. Gives its number.
pub(in crate::control) async fn start(
    state: &Rc<State>,
    job: JobKind,
    trigger: Trigger,
    accepts_less: bool,
) -> Result<i64, StartRefusal> {
    let going =
        state.jobs().begin(job).map_err(|run_id| StartRefusal::Running { name: job.name(), run_id })?;
    let now = state.wall_now();
    let begun = state
        .ask_store::<_, StoreError>(move |database| database.begin_run(job.name(), trigger.name(), now))
        .await;
    let run_id = match begun {
        Ok(run_id) => run_id,
        Err(error) => {
            state.jobs().end(job);
            return Err(error.into());
        }
    };
    going.set_run_id(run_id);
    let of_run = Rc::clone(state);
    tokio_uring::spawn(async move {
        let work = Rc::clone(&of_run);
        let ended = tokio_uring::spawn(async move { run(&work, job, &going, accepts_less).await }).await;
        let end = ended.unwrap_or_else(|_panicked| RunEnd::Error("the run ended in a panic".to_owned()));
        finish(&of_run, job, run_id, end).await;
    });
    Ok(run_id)
}

async fn run(state: &Rc<State>, job: JobKind, going: &Rc<Going>, accepts_less: bool) -> RunEnd {
    match job {
        JobKind::PlaylistSync => tokio::select! {
            // What has begun is ended by itself: a list is taken whole or not at all.
            read = playlist::read_all(state, accepts_less) => match read {
                Ok(counts) => RunEnd::Success(counts.summary()),
                Err(error) => RunEnd::Error(error.to_string()),
            },
            () = going.canceled() => RunEnd::Canceled("nobody waits for the list any more".to_owned()),
        },
        JobKind::AutoPrioritize => prioritize::run(state, going).await,
    }
}

async fn finish(state: &State, job: JobKind, run_id: i64, end: RunEnd) {
    let (status, summary, error) = match end {
        RunEnd::Success(summary) => ("success", summary, String::new()),
        RunEnd::Error(error) => ("error", String::new(), error),
        RunEnd::Canceled(summary) => ("canceled", summary, String::new()),
    };
    log::info!("job {} ended, run {run_id}: {status} {summary}{error}", job.name());
    let now = state.wall_now();
    let noted = state
        .ask_store::<_, StoreError>(move |database| {
            database.finish_run(run_id, status, &summary, &error, now)
        })
        .await;
    if let Err(error) = noted {
        log::warn!("what became of run {run_id} was not written: {error}");
    }
    state.jobs().end(job);
}
