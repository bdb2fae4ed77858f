//! Jobs, as administrators start, see and cancel them, and what they do by themselves.

use std::collections::BTreeMap;
use std::rc::Rc;

use croner::Cron;
use serde::{Deserialize, Serialize};

use crate::base::redact;
use crate::control::admin::call::{Call, refusal};
use crate::control::jobs::{
    AutomationSettings, JobKind, JobSchedule, StartRefusal, Trigger, keys, load, next_run, start, zone,
};
use crate::control::state::State;
use crate::http::Response;
use crate::store::{Database, JobRun, PRIMARY_PLAYLIST, StoreError};

use super::store_refusal;

const RUNS_SHOWN: u32 = 50;
const RUNS_SHOWN_MAX: u32 = 500;
/// What other analysers of sources are told; it is kept for whoever reads it again.
const BITRATE_MODES: [&str; 3] = ["metadata", "sample", "metadata_then_sample"];

#[derive(Serialize)]
struct Begun {
    run_id: i64,
    status: &'static str,
}

/// `POST /api/admin/jobs/{job}/run`: answers when it has begun.
pub(super) async fn run(state: &Rc<State>, job: JobKind, accepts_less: bool) -> Result<Response, Response> {
    match start(state, job, Trigger::Manual, accepts_less).await {
        Ok(run_id) => Ok(Response::json(202, &Begun { run_id, status: "queued" })),
        Err(refused @ StartRefusal::Running { .. }) => Err(refusal(409, &refused.to_string())),
        Err(StartRefusal::Store(error)) => Err(store_refusal(&error)),
    }
}

/// `POST /api/admin/jobs/{run_id}/cancel`.
pub(super) async fn cancel_run(state: &State, run_id: i64) -> Result<Response, Response> {
    if state.jobs().cancel(run_id) {
        return Ok(Response::json(202, &Begun { run_id, status: "canceling" }));
    }
    find(state, run_id).await?;
    Err(refusal(409, "job run is not running"))
}

#[derive(Serialize)]
struct RunView {
    run_id: i64,
    job_name: String,
    triggered_by: String,
    started_at: i64,
    #[serde(skip_serializing_if = "is_zero")]
    finished_at: i64,
    status: String,
    progress_cur: i64,
    progress_max: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    summary: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives references")]
const fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl From<JobRun> for RunView {
    fn from(run: JobRun) -> Self {
        let JobRun { run_id, job_name, triggered_by, started_at, finished_at, status, .. } = run;
        let (progress_cur, progress_max, summary, error) =
            (run.progress_cur, run.progress_max, run.summary, run.error);
        Self {
            run_id,
            job_name,
            triggered_by,
            started_at,
            finished_at,
            status,
            progress_cur,
            progress_max,
            summary,
            error,
        }
    }
}

async fn find(state: &State, run_id: i64) -> Result<JobRun, Response> {
    let found = state.ask_store::<_, StoreError>(move |database| database.job_run(run_id)).await;
    found.map_err(|error| store_refusal(&error))?.ok_or_else(|| refusal(404, "job run not found"))
}

/// `GET /api/admin/jobs/{run_id}`.
pub(super) async fn show(state: &State, run_id: i64) -> Result<Response, Response> {
    Ok(Response::json(200, &RunView::from(find(state, run_id).await?)))
}

#[derive(Serialize)]
struct RunsView {
    name: String,
    limit: u32,
    offset: u32,
    runs: Vec<RunView>,
}

/// `GET /api/admin/jobs?name=&limit=&offset=`.
pub(super) async fn list(call: &Call, state: &State) -> Result<Response, Response> {
    let name = call.query("name").unwrap_or_default().trim().to_owned();
    // What others name so never runs here.
    let known: Vec<&str> = JobKind::ALL.iter().map(|job| job.name()).chain(["dvr_lineup_sync"]).collect();
    if !name.is_empty() && !known.contains(&name.as_str()) {
        return Err(refusal(400, &format!("name cannot be {name:?}; allowed: {}", known.join(", "))));
    }
    let number = |key: &str, usual: u32| match call.query(key) {
        None => Ok(usual),
        Some(text) => text.trim().parse::<u32>().map_err(|_not_a_number| {
            refusal(400, &format!("{key} cannot be {text:?}; allowed: whole numbers"))
        }),
    };
    let (limit, offset) = (number("limit", RUNS_SHOWN)?.clamp(1, RUNS_SHOWN_MAX), number("offset", 0)?);
    let of = (!name.is_empty()).then(|| name.clone());
    let runs = state
        .ask_store::<_, StoreError>(move |database| database.job_runs(of.as_deref(), limit, offset))
        .await
        .map_err(|error| store_refusal(&error))?;
    Ok(Response::json(
        200,
        &RunsView { name, limit, offset, runs: runs.into_iter().map(RunView::from).collect() },
    ))
}

#[derive(Serialize)]
struct ClearedCache {
    deleted: usize,
}

/// `POST /api/admin/jobs/auto-prioritize/cache/clear`: all sources are tried again by the next run.
pub(super) async fn clear_cache(state: &State) -> Result<Response, Response> {
    let deleted = state.ask_store::<_, StoreError>(|database| database.forget_probes()).await;
    Ok(Response::json(200, &ClearedCache { deleted: deleted.map_err(|error| store_refusal(&error))? }))
}

#[derive(Serialize)]
struct AutomationView {
    playlist_url: String,
    timezone: String,
    playlist_sync: ScheduleView,
    auto_prioritize: ScheduleView,
    analyzer: AnalyzerView,
}

#[derive(Serialize)]
struct ScheduleView {
    enabled: bool,
    cron_spec: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_run: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_run: Option<RunView>,
}

#[derive(Serialize)]
struct AnalyzerView {
    probe_timeout_ms: i64,
    analyzeduration_us: i64,
    probesize_bytes: i64,
    bitrate_mode: String,
    sample_seconds: i64,
    enabled_only: bool,
    top_n_per_channel: u32,
}

/// Numbers that other analysers are told: their names in the store and in requests, and what they are at first.
const ANALYZER_NUMBERS: [(&str, &str, i64); 4] = [
    ("analyzer.probe_timeout_ms", "probe_timeout_ms", 7_000),
    ("analyzer.analyzeduration_us", "analyzeduration_us", 1_500_000),
    ("analyzer.probesize_bytes", "probesize_bytes", 1_000_000),
    ("analyzer.sample_seconds", "sample_seconds", 3),
];
const BITRATE_MODE: &str = "analyzer.bitrate_mode";

/// What is stored, and the last run of each job.
struct Stored {
    settings: AutomationSettings,
    numbers: Vec<i64>,
    bitrate_mode: String,
    playlist_url: String,
    last_runs: Vec<Option<JobRun>>,
}

fn stored(database: &Database) -> Result<Stored, StoreError> {
    let mut numbers = Vec::new();
    for (key, _, at_first) in ANALYZER_NUMBERS {
        numbers.push(database.setting(key)?.and_then(|text| text.parse().ok()).unwrap_or(at_first));
    }
    let mut last_runs = Vec::new();
    for job in JobKind::ALL {
        last_runs.push(database.job_runs(Some(job.name()), 1, 0)?.into_iter().next());
    }
    let bitrate_mode = database.setting(BITRATE_MODE)?.unwrap_or_else(|| BITRATE_MODES[2].to_owned());
    Ok(Stored {
        settings: load(database)?,
        numbers,
        bitrate_mode,
        playlist_url: primary(database)?,
        last_runs,
    })
}

/// Where the playlist of the settings is. May hold credentials.
fn primary(database: &Database) -> Result<String, StoreError> {
    let known = database.playlists()?.into_iter().find(|playlist| playlist.playlist_id == PRIMARY_PLAYLIST);
    Ok(known.map(|playlist| playlist.url).unwrap_or_default())
}

/// `GET /api/admin/automation`.
pub(super) async fn automation(state: &State) -> Result<Response, Response> {
    let stored = state.ask_store(|database| stored(database)).await.map_err(|error| store_refusal(&error))?;
    let Stored { settings, numbers, bitrate_mode, playlist_url, mut last_runs } = stored;
    let now = state.wall_now();
    let mut schedule = |job: JobKind| {
        let of: &JobSchedule = settings.schedule(job);
        ScheduleView {
            enabled: of.is_enabled,
            cron_spec: of.cron.clone(),
            next_run: next_run(of, &settings.timezone, now).map(|at| at.unix_seconds()),
            last_run: last_runs.remove(0).map(RunView::from),
        }
    };
    let (playlist_sync, auto_prioritize) =
        (schedule(JobKind::PlaylistSync), schedule(JobKind::AutoPrioritize));
    let view = AutomationView {
        playlist_url: redact::url(&playlist_url),
        timezone: settings.timezone.clone(),
        playlist_sync,
        auto_prioritize,
        analyzer: AnalyzerView {
            probe_timeout_ms: numbers[0],
            analyzeduration_us: numbers[1],
            probesize_bytes: numbers[2],
            sample_seconds: numbers[3],
            bitrate_mode,
            enabled_only: settings.enabled_only,
            top_n_per_channel: settings.top_n_per_channel,
        },
    };
    Ok(Response::json(200, &view))
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct AutomationChange {
    playlist_url: Option<String>,
    timezone: Option<String>,
    playlist_sync: Option<ScheduleChange>,
    auto_prioritize: Option<ScheduleChange>,
    analyzer: Option<AnalyzerChange>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScheduleChange {
    enabled: Option<bool>,
    cron_spec: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnalyzerChange {
    probe_timeout_ms: Option<i64>,
    analyzeduration_us: Option<i64>,
    probesize_bytes: Option<i64>,
    bitrate_mode: Option<String>,
    sample_seconds: Option<i64>,
    enabled_only: Option<bool>,
    top_n_per_channel: Option<u32>,
}

/// `PUT /api/admin/automation`: what is not named stays.
pub(super) async fn change_automation(call: &Call, state: &State) -> Result<Response, Response> {
    let change: AutomationChange = call.json()?;
    let before = state.ask_store(|database| load(database)).await.map_err(|error| store_refusal(&error))?;
    let own = state.ask_store(|database| primary(database)).await.map_err(|error| store_refusal(&error))?;
    if change
        .playlist_url
        .as_ref()
        .map(|url| url.trim())
        .is_some_and(|url| url != own && url != redact::url(&own))
    {
        return Err(refusal(
            400,
            "playlist_url cannot be changed here; set PLAYLIST_URL, or use /api/playlists",
        ));
    }
    let mut values: BTreeMap<&'static str, String> = BTreeMap::new();
    if let Some(name) = change.timezone.map(|name| name.trim().to_owned()) {
        if zone(&name).is_none() {
            return Err(refusal(
                400,
                &format!(
                    "timezone cannot be {name:?}; allowed: a name such as Europe/Berlin, or \"\" for this host's"
                ),
            ));
        }
        values.insert(keys::TIMEZONE, name);
    }
    take_schedule(
        &mut values,
        "playlist_sync",
        keys::PLAYLIST_SYNC,
        change.playlist_sync,
        &before.playlist_sync,
    )?;
    take_schedule(
        &mut values,
        "auto_prioritize",
        keys::AUTO_PRIORITIZE,
        change.auto_prioritize,
        &before.auto_prioritize,
    )?;
    if let Some(analyzer) = change.analyzer {
        take_analyzer(&mut values, analyzer)?;
    }
    let written = state
        .ask_store::<_, StoreError>(move |database| {
            values.iter().try_for_each(|(key, value)| database.set_setting(key, value))
        })
        .await;
    written.map_err(|error| store_refusal(&error))?;
    state.jobs().reschedule();
    automation(state).await
}

fn take_schedule(
    values: &mut BTreeMap<&'static str, String>,
    name: &str,
    (enabled_key, cron_key): (&'static str, &'static str),
    change: Option<ScheduleChange>,
    before: &JobSchedule,
) -> Result<(), Response> {
    let Some(change) = change else { return Ok(()) };
    let is_enabled = change.enabled.unwrap_or(before.is_enabled);
    let cron = change.cron_spec.map_or_else(|| before.cron.clone(), |cron| cron.trim().to_owned());
    if is_enabled && cron.is_empty() {
        return Err(refusal(400, &format!("{name} cron_spec is required when schedule is enabled")));
    }
    if is_enabled && let Err(error) = cron.parse::<Cron>() {
        return Err(refusal(
            400,
            &format!("invalid {name} cron {cron:?}: {error}; allowed: such as \"30 3 * * *\""),
        ));
    }
    values.insert(enabled_key, is_enabled.to_string());
    values.insert(cron_key, cron);
    Ok(())
}

fn take_analyzer(
    values: &mut BTreeMap<&'static str, String>,
    change: AnalyzerChange,
) -> Result<(), Response> {
    let numbers =
        [change.probe_timeout_ms, change.analyzeduration_us, change.probesize_bytes, change.sample_seconds];
    for ((key, name, _), number) in ANALYZER_NUMBERS.into_iter().zip(numbers) {
        let Some(number) = number else { continue };
        if number <= 0 {
            return Err(refusal(
                400,
                &format!("analyzer.{name} cannot be {number}; allowed: more than zero"),
            ));
        }
        values.insert(key, number.to_string());
    }
    if let Some(mode) = change.bitrate_mode {
        let mode = mode.trim().to_ascii_lowercase();
        if !BITRATE_MODES.contains(&mode.as_str()) {
            let allowed = BITRATE_MODES.join(", ");
            return Err(refusal(
                400,
                &format!("analyzer.bitrate_mode cannot be {mode:?}; allowed: {allowed}"),
            ));
        }
        values.insert(BITRATE_MODE, mode);
    }
    if let Some(enabled_only) = change.enabled_only {
        values.insert(keys::ENABLED_ONLY, enabled_only.to_string());
    }
    if let Some(count) = change.top_n_per_channel {
        values.insert(keys::TOP_N, count.to_string());
    }
    Ok(())
}
