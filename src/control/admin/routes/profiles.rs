//! Profiles: how sources are read that carry their names.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::base::redact;
use crate::catalog;
use crate::control::admin::call::{Call, refusal};
use crate::control::state::State;
use crate::http::{RequestHeaders, Response};
use crate::store::{ChannelError, ProfileRecord};

use super::channel_refusal;
use super::channels::{program_number, publish};
use super::store_refusal;

const PREFIX: &str = "/api/profiles/";
/// Names and values of all header fields together. Every source that carries the profile holds them, and few servers read longer heads.
const HEADER_BYTES_MAX: usize = 8 * 1024;

/// What is not named, or `null`, is left to the next that has a say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewProfileBody {
    name: String,
    mode: Option<String>,
    variant_max: Option<String>,
    ffmpeg_input: Option<Vec<String>>,
    ffmpeg_output: Option<Vec<String>>,
    headers: Option<BTreeMap<String, String>>,
    program: Option<u64>,
    tls_verify: Option<bool>,
}

/// The same, of a profile that has its name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileBody {
    mode: Option<String>,
    variant_max: Option<String>,
    ffmpeg_input: Option<Vec<String>>,
    ffmpeg_output: Option<Vec<String>>,
    headers: Option<BTreeMap<String, String>>,
    program: Option<u64>,
    tls_verify: Option<bool>,
}

#[derive(Serialize)]
struct ProfileList {
    profiles: Vec<Profile>,
    total: usize,
}

#[derive(Serialize)]
struct Profile {
    name: String,
    mode: Option<String>,
    variant_max: Option<String>,
    ffmpeg_input: Option<Vec<String>>,
    ffmpeg_output: Option<Vec<String>>,
    /// Without credentials.
    headers: BTreeMap<String, String>,
    program: Option<u16>,
    tls_verify: Option<bool>,
}

impl From<ProfileRecord> for Profile {
    fn from(record: ProfileRecord) -> Self {
        Self {
            name: record.name,
            mode: record.mode,
            variant_max: record.variant_max,
            ffmpeg_input: record.ffmpeg_input,
            ffmpeg_output: record.ffmpeg_output,
            headers: record.headers.redacted(),
            program: record.program,
            tls_verify: record.tls_verify,
        }
    }
}

impl ProfileBody {
    /// The profile that it makes of one that has these headers now.
    fn record(self, name: String, now: &RequestHeaders) -> Result<ProfileRecord, Response> {
        let record = ProfileRecord {
            name,
            mode: self.mode,
            variant_max: self.variant_max,
            ffmpeg_input: self.ffmpeg_input,
            ffmpeg_output: self.ffmpeg_output,
            headers: headers(&self.headers.unwrap_or_default(), now)?,
            program: program_number(self.program)?,
            tls_verify: self.tls_verify,
        };
        if record.program == Some(0) {
            return Err(channel_refusal(&ChannelError::no_program_number("0")));
        }
        catalog::treatment(&record).map_err(|error| refusal(400, &error.to_string()))?;
        Ok(record)
    }
}

/// The fields as they are to be kept. A value as it is shown stands for the one that is kept: what was shown may come back.
fn headers(fields: &BTreeMap<String, String>, now: &RequestHeaders) -> Result<RequestHeaders, Response> {
    let shown = now.redacted();
    let mut headers = RequestHeaders::default();
    for (name, value) in fields {
        let is_shown = shown.get(name) == Some(value);
        if value == redact::HIDDEN && !is_shown {
            let sentence =
                "is what is shown of a secret; it stands for a value that is kept, and there is none";
            return Err(refusal(400, &format!("headers: {name:?}: {value:?} {sentence}")));
        }
        let value = now.get(name).filter(|_| is_shown).unwrap_or(value);
        headers.set(name, value).map_err(|error| refusal(400, &format!("headers: {name:?}: {error}")))?;
    }
    if headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > HEADER_BYTES_MAX {
        return Err(refusal(400, &format!("headers: they have at most {HEADER_BYTES_MAX} bytes together")));
    }
    Ok(headers)
}

fn name_in(call: &Call) -> String {
    call.request.path().strip_prefix(PREFIX).unwrap_or_default().to_owned()
}

/// `GET /api/profiles`.
pub(super) async fn list(state: &State) -> Result<Response, Response> {
    let profiles =
        state.ask_store(|database| database.profiles()).await.map_err(|error| store_refusal(&error))?;
    let profiles: Vec<_> = profiles.into_iter().map(Profile::from).collect();
    Ok(Response::json(200, &ProfileList { total: profiles.len(), profiles }))
}

/// `POST /api/profiles`.
pub(super) async fn create(call: &Call, state: &Rc<State>) -> Result<Response, Response> {
    let NewProfileBody { name, mode, variant_max, ffmpeg_input, ffmpeg_output, headers, program, tls_verify } =
        call.json()?;
    let body = ProfileBody { mode, variant_max, ffmpeg_input, ffmpeg_output, headers, program, tls_verify };
    let record = body.record(name, &RequestHeaders::NONE)?;
    let kept = record.clone();
    state
        .ask_store(move |database| database.create_profile(&kept))
        .await
        .map_err(|error| channel_refusal(&error))?;
    // The playlist may have waited for it.
    publish(state).await?;
    Ok(Response::json(201, &Profile::from(record)))
}

/// `GET /api/profiles/{name}`.
pub(super) async fn show(call: &Call, state: &State) -> Result<Response, Response> {
    Ok(Response::json(200, &Profile::from(read(call, state).await?)))
}

/// `PUT /api/profiles/{name}`: all of it is what the body says.
pub(super) async fn replace(call: &Call, state: &Rc<State>) -> Result<Response, Response> {
    let body: ProfileBody = call.json()?;
    let before = read(call, state).await?;
    let record = body.record(before.name, &before.headers)?;
    let kept = record.clone();
    state
        .ask_store(move |database| database.replace_profile(&kept))
        .await
        .map_err(|error| channel_refusal(&error))?;
    publish(state).await?;
    Ok(Response::json(200, &Profile::from(record)))
}

/// `DELETE /api/profiles/{name}`.
pub(super) async fn delete(call: &Call, state: &Rc<State>) -> Result<Response, Response> {
    let name = name_in(call);
    if state.params.playlist_profile.as_deref() == Some(name.as_str()) {
        let users = "the playlist (PLAYLIST_PROFILE)".to_owned();
        return Err(channel_refusal(&ChannelError::ProfileInUse { name, users }));
    }
    state
        .ask_store(move |database| database.delete_profile(&name))
        .await
        .map_err(|error| channel_refusal(&error))?;
    publish(state).await?;
    Ok(Response::new(204))
}

async fn read(call: &Call, state: &State) -> Result<ProfileRecord, Response> {
    let name = name_in(call);
    state.ask_store(move |database| database.profile(&name)).await.map_err(|error| channel_refusal(&error))
}

/// Whether a route of profiles takes this body.
#[cfg(any(test, feature = "sim"))]
pub(super) fn takes(body: &[u8]) -> bool {
    let record = |body: ProfileBody| body.record("any".to_owned(), &RequestHeaders::NONE);
    let is_new = serde_json::from_slice::<NewProfileBody>(body).is_ok();
    serde_json::from_slice(body).is_ok_and(|body| record(body).is_ok()) || is_new
}
