//! Jobs that run by themselves, at the times that administrators have said.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;

use super::desk::{JobKind, Trigger};
use super::run::start;
use super::settings::{load, next_run};
use crate::base::WallTime;
use crate::control::state::State;
use crate::store::StoreError;

/// A wait for a time of the day is cut into pieces, since the clock may be set meanwhile and the host may sleep.
const WAIT_PIECE: Duration = Duration::from_secs(60);

/// Has the runs say so that an earlier end of the program has cut short. To be called before a run can be begun: the store does things
/// in the order of their asking.
pub(in crate::control) fn interrupt_earlier(state: &State) {
    let now = state.wall_now();
    let asked = state.tell_store::<_, StoreError>(move |database| {
        let count = database.interrupt_runs(now)?;
        if count > 0 {
            log::info!("runs of jobs that the end of the program has cut short: {count}");
        }
        Ok(())
    });
    if let Err(busy) = asked {
        log::warn!("what became of runs is not known: {busy}");
    }
}

/// Begins runs by their schedules for as long as the program runs.
pub(in crate::control) async fn keep(state: Rc<State>) {
    let mut before = state.wall_now();
    loop {
        let settings = match state.ask_store(|database| load(database)).await {
            Ok(settings) => settings,
            Err(error) => {
                log::warn!("the schedules of jobs cannot be read: {error}");
                sleep(WAIT_PIECE).await;
                continue;
            }
        };
        let now = state.wall_now();
        let due =
            |job: JobKind| next_run(settings.schedule(job), &settings.timezone, before).map(|at| (at, job));
        let mut next = None;
        for (at, job) in JobKind::ALL.into_iter().filter_map(due) {
            if at <= now
                && let Err(refused) = start(&state, job, Trigger::Schedule, false).await
            {
                log::warn!("{} is not begun by its schedule: {refused}", job.name());
            }
            next = Some(next.map_or(at, |other: WallTime| other.min(at)));
        }
        before = now;
        let left = next
            .map_or(WAIT_PIECE, |at| Duration::from_nanos(at.unix_nanos().saturating_sub(now.unix_nanos())));
        let left = left.clamp(Duration::from_millis(10), WAIT_PIECE);
        tokio::select! {
            () = sleep(left) => {}
            () = state.jobs().rescheduled() => before = state.wall_now(),
        }
    }
}
