//! Rules that make channels of what they match.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::control::admin::call::Call;
use crate::control::playlist::report_applied;
use crate::control::state::State;
use crate::http::Response;
use crate::store::{Applied, ChannelError, Database, NewRule, RuleRecord};

use super::channels::publish;
use super::{channel_refusal, store_refusal};

/// Guide numbers of a block when the request does not say how many.
const COUNT_DEFAULT: u32 = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleBody {
    name: String,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    q: String,
    #[serde(default)]
    q_regex: bool,
    playlist_id: Option<i64>,
    guide_start: u32,
    count: Option<u32>,
    enabled: Option<bool>,
}

#[derive(Serialize)]
struct RuleList {
    rules: Vec<Rule>,
    total: usize,
}

#[derive(Serialize)]
struct Rule {
    rule_id: i64,
    name: String,
    /// Of these groups alone, when there are some.
    groups: Vec<String>,
    /// As in a search of items.
    q: String,
    q_regex: bool,
    /// Of this playlist alone.
    playlist_id: Option<i64>,
    /// The first guide number of its block, and how many there are.
    guide_start: u32,
    count: u32,
    enabled: bool,
}

/// A rule, and what has come of it.
#[derive(Serialize)]
struct AppliedRule {
    #[serde(flatten)]
    rule: Rule,
    channels_made: u64,
    channels_removed: u64,
    /// Numbers that were taken, and channels without room, in sentences.
    complaints: Vec<String>,
}

impl AppliedRule {
    fn new(rule: RuleRecord, applied: Applied) -> Self {
        let Applied { made, removed, sources: _, complaints } = applied;
        Self { rule: rule.into(), channels_made: made, channels_removed: removed, complaints }
    }
}

impl From<RuleBody> for NewRule {
    fn from(body: RuleBody) -> Self {
        Self {
            name: body.name,
            groups: body.groups,
            query: body.q,
            is_regex: body.q_regex,
            playlist_id: body.playlist_id,
            guide_start: body.guide_start,
            block_size: body.count.unwrap_or(COUNT_DEFAULT),
            is_enabled: body.enabled.unwrap_or(true),
        }
    }
}

impl From<RuleRecord> for Rule {
    fn from(RuleRecord { rule_id, rule, .. }: RuleRecord) -> Self {
        Self {
            rule_id,
            name: rule.name,
            groups: rule.groups,
            q: rule.query,
            q_regex: rule.is_regex,
            playlist_id: rule.playlist_id,
            guide_start: rule.guide_start,
            count: rule.block_size,
            enabled: rule.is_enabled,
        }
    }
}

/// `GET /api/rules`.
pub(super) async fn list(state: &State) -> Result<Response, Response> {
    let rules = state.ask_store(|database| database.rules()).await.map_err(|error| store_refusal(&error))?;
    let rules: Vec<_> = rules.into_iter().map(Rule::from).collect();
    Ok(Response::json(200, &RuleList { total: rules.len(), rules }))
}

/// `GET /api/rules/{id}`.
pub(super) async fn show(state: &State, rule_id: i64) -> Result<Response, Response> {
    let rule = state.ask_store(move |database| database.rule(rule_id)).await;
    Ok(Response::json(200, &Rule::from(rule.map_err(|error| channel_refusal(&error))?)))
}

/// `POST /api/rules`: its channels are there when this is answered.
pub(super) async fn create(call: &Call, state: &Rc<State>) -> Result<Response, Response> {
    let new = NewRule::from(call.json::<RuleBody>()?);
    let now = state.wall_now();
    let (rule, applied) = change(state, move |database| database.create_rule(&new, now)).await?;
    Ok(Response::json(201, &AppliedRule::new(rule, applied)))
}

/// `PUT /api/rules/{id}`: all of it is what the body says.
pub(super) async fn replace(call: &Call, state: &Rc<State>, rule_id: i64) -> Result<Response, Response> {
    let rule = NewRule::from(call.json::<RuleBody>()?);
    let now = state.wall_now();
    let (rule, applied) = change(state, move |database| database.replace_rule(rule_id, &rule, now)).await?;
    Ok(Response::json(200, &AppliedRule::new(rule, applied)))
}

/// `DELETE /api/rules/{id}`: with its channels.
pub(super) async fn delete(state: &Rc<State>, rule_id: i64) -> Result<Response, Response> {
    let deleted = state.ask_store(move |database| database.delete_rule(rule_id)).await;
    deleted.map_err(|error| channel_refusal(&error))?;
    publish(state).await?;
    Ok(Response::new(204))
}

/// Changes a rule, and applies all of them.
pub(super) async fn change(
    state: &Rc<State>,
    change: impl FnOnce(&mut Database) -> Result<RuleRecord, ChannelError> + Send + 'static,
) -> Result<(RuleRecord, Applied), Response> {
    let (limits, now) = (state.params.search, state.wall_now());
    let changed = state.ask_store(move |database| {
        let rule_id = change(database)?.rule_id;
        let applied = database.apply_rules(limits, now)?;
        Ok::<_, ChannelError>((database.rule(rule_id)?, applied))
    });
    let (rule, applied) = changed.await.map_err(|error| channel_refusal(&error))?;
    report_applied(&applied);
    publish(state).await?;
    Ok((rule, applied))
}
