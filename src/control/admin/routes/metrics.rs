//! `GET /metrics`: what monitoring reads.

use std::fs;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::unistd::{SysconfVar, sysconf};

use crate::base::{Instant, WallTime};
use crate::control::admin::call::{Call, refusal};
use crate::control::state::State;
use crate::http::Response;
use crate::status::{ControlMetrics, Metrics, MetricsFormat, PlaylistMetrics};
use crate::store::PlaylistRecord;

/// All metrics of all cores.
pub(super) async fn show(call: &Call, state: &State) -> Result<Response, Response> {
    let Some(cores) = state.snapshots().await else {
        return Err(refusal(503, "a core did not answer in time").header("Retry-After", "1"));
    };
    // Streams go on without the store, and so does what is told of them.
    let playlists = state.ask_store(|database| database.playlists()).await.unwrap_or_default();
    let metrics = Metrics::new(&cores, &of_control(state, &playlists));
    let format = format(call);
    Ok(Response::new(200).body(format.content_type(), metrics.write(format)))
}

/// Who knows OpenMetrics says so, as Prometheus does.
fn format(call: &Call) -> MetricsFormat {
    let accepts = call.header("accept").is_some_and(|accept| accept.contains("application/openmetrics-text"));
    if accepts { MetricsFormat::OpenMetrics } else { MetricsFormat::Text }
}

fn of_control(state: &State, playlists: &[PlaylistRecord]) -> ControlMetrics {
    let (limited, wrong_passwords) = state.doors.borrow().counts();
    let now = state.wall_now();
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok();
    let cpu = usage.map_or(0, |usage| (usage.user_time() + usage.system_time()).num_microseconds());
    let started = state.clock.wall_at(Instant::START).unix_nanos();
    ControlMetrics {
        wrong_passwords,
        limited,
        panics: state.panics.get(),
        playlists: playlists.iter().map(|record| of_playlist(record, now)).collect(),
        cpu_seconds: Duration::from_micros(u64::try_from(cpu).unwrap_or(0)).as_secs_f64(),
        resident_bytes: resident_bytes().unwrap_or(0),
        open_descriptors: fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64),
        started_at: Duration::from_nanos(started).as_secs_f64(),
    }
}

fn of_playlist(record: &PlaylistRecord, now: WallTime) -> PlaylistMetrics {
    let since = |at: WallTime| Duration::from_nanos(now.unix_nanos().saturating_sub(at.unix_nanos()));
    PlaylistMetrics {
        id: record.playlist_id,
        age: record.read_at.map(since),
        is_read: record.read_at.is_some() && record.failure.is_none(),
        items: record.items,
    }
}

/// Pages of this process that are in memory, as the kernel counts them.
fn resident_bytes() -> Option<u64> {
    let pages = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = pages.split(' ').nth(1)?.parse().ok()?;
    let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten()?;
    pages.checked_mul(u64::try_from(page).ok()?)
}
