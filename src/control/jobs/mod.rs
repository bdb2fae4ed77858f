//! Jobs: work that is started, seen and cancelled by administrators, or begun by a schedule of theirs.
//!
//! One run of a kind at a time. What has become of runs is in the store, which keeps the last ones.

mod desk;
mod prioritize;
mod run;
mod schedules;
mod score;
mod settings;

pub(super) use desk::{JobDesk, JobKind, Trigger};
pub(super) use run::{StartRefusal, start};
pub(super) use schedules::{interrupt_earlier, keep};
pub(super) use settings::{AutomationSettings, JobSchedule, keys, load, next_run, zone};
