//! Rules, as hdhriptv's requests call them: queries, each with a block of a thousand guide numbers from 10000 on.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::control::admin::call::{Call, refusal};
use crate::control::state::State;
use crate::http::Response;
use crate::store::{ChannelError, NewRule, RuleRecord, Search, SearchLimits};

use super::channels::{CHANNELS_PAGE_MAX, PAGE_DEFAULT, page, publish, shown_all};
use super::items::{SearchWarning, page_asked};
use super::rules::change;
use super::{channel_refusal, store_refusal};

/// The first number of the first block, and how many numbers each has.
const FIRST_BLOCK: u32 = 10_000;
const BLOCK_SIZE: u32 = 1000;
/// The most blocks there are room for, and thereby the most that are tried.
const BLOCKS_MAX: u32 = 1000;

/// What is not named is as it is at first, or stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QueryBody {
    enabled: Option<bool>,
    name: Option<String>,
    group_name: Option<String>,
    group_names: Option<Vec<String>>,
    /// Playlists: none is all of them.
    source_ids: Option<Vec<i64>>,
    search_query: Option<String>,
    search_regex: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderBody {
    channel_ids: Vec<i64>,
}

#[derive(Serialize)]
struct QueryList {
    queries: Vec<Block>,
    total: usize,
    limit: u32,
    offset: u32,
}

#[derive(Serialize)]
struct Block {
    query_id: i64,
    enabled: bool,
    name: String,
    group_name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    group_names: Vec<String>,
    source_ids: Vec<i64>,
    search_query: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    search_regex: bool,
    order_index: u32,
    block_start: u32,
    block_end: u32,
    generated_count: u64,
    truncated_by: u64,
    created_at: u64,
    updated_at: u64,
    search_warning: SearchWarning,
}

impl Block {
    fn new(record: RuleRecord, limits: SearchLimits) -> Self {
        let RuleRecord { rule_id, rule, channels, left_out, created_at, updated_at } = record;
        let search = match rule.is_regex {
            true => Search::regex(&rule.query).ok(),
            false => Some(Search::terms(&rule.query, limits)),
        };
        Self {
            query_id: rule_id,
            enabled: rule.is_enabled,
            name: rule.name,
            group_name: rule.groups.first().cloned().unwrap_or_default(),
            group_names: rule.groups,
            source_ids: rule.playlist_id.into_iter().collect(),
            search_warning: SearchWarning::new(search.as_ref(), limits),
            search_query: rule.query,
            search_regex: rule.is_regex,
            // A rule may have numbers below the blocks.
            order_index: rule.guide_start.saturating_sub(FIRST_BLOCK) / BLOCK_SIZE,
            block_start: rule.guide_start,
            block_end: rule.guide_start + rule.block_size - 1,
            generated_count: channels,
            truncated_by: left_out,
            created_at,
            updated_at,
        }
    }
}

impl QueryBody {
    /// What the rule is now.
    fn rule(self, before: NewRule) -> Result<NewRule, Response> {
        let groups = match (self.group_names, self.group_name) {
            (Some(names), one) if !names.is_empty() || one.is_none() => Some(names),
            (Some(_) | None, Some(one)) => Some(vec![one]),
            (Some(_) | None, None) => None,
        };
        let groups = groups.map(|names| {
            let mut groups: Vec<String> = Vec::new();
            for name in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
                if !groups.iter().any(|known| known == name) {
                    groups.push(name.to_owned());
                }
            }
            groups
        });
        let playlist_id = match self.source_ids.as_deref() {
            None => before.playlist_id,
            Some([]) => None,
            Some([playlist]) => Some(*playlist),
            Some(_several) => {
                return Err(refusal(
                    400,
                    "source_ids must contain one playlist; allowed: [] for all of them, or one",
                ));
            }
        };
        let groups = groups.unwrap_or(before.groups);
        let query = self.search_query.map_or(before.query, |query| query.trim().to_owned());
        let name = self.name.map_or(before.name, |name| name.trim().to_owned());
        let named = [name.as_str(), groups.first().map_or("", String::as_str), &query]
            .into_iter()
            .find(|name| !name.is_empty())
            .unwrap_or_default();
        Ok(NewRule {
            name: named.to_owned(),
            is_regex: self.search_regex.unwrap_or(before.is_regex),
            is_enabled: self.enabled.unwrap_or(before.is_enabled),
            guide_start: before.guide_start,
            block_size: before.block_size,
            playlist_id,
            groups,
            query,
        })
    }
}

/// Where the first block begins in which no rule has a number.
fn free_block(rules: &[RuleRecord]) -> Option<u32> {
    let is_free = |start: &u32| {
        rules.iter().all(|RuleRecord { rule, .. }| {
            rule.guide_start >= start + BLOCK_SIZE || rule.guide_start + rule.block_size <= *start
        })
    };
    (0..BLOCKS_MAX).map(|place| FIRST_BLOCK + place * BLOCK_SIZE).find(is_free)
}

/// `GET /api/dynamic-channels`.
pub(super) async fn list(call: &Call, state: &State) -> Result<Response, Response> {
    let (limit, offset) = page_asked(call, PAGE_DEFAULT, CHANNELS_PAGE_MAX)?;
    let mut rules =
        state.ask_store(|database| database.rules()).await.map_err(|error| store_refusal(&error))?;
    rules.sort_by_key(|record| (record.rule.guide_start, record.rule_id));
    let total = rules.len();
    let queries = page(rules, limit, offset).map(|rule| Block::new(rule, state.params.search)).collect();
    Ok(Response::json(200, &QueryList { queries, total, limit, offset }))
}

/// `GET /api/dynamic-channels/{id}`.
pub(super) async fn show(state: &State, rule_id: i64) -> Result<Response, Response> {
    let rule = state.ask_store(move |database| database.rule(rule_id)).await;
    Ok(Response::json(200, &Block::new(rule.map_err(|error| channel_refusal(&error))?, state.params.search)))
}

/// `POST /api/dynamic-channels`: its channels are there when this is answered.
pub(super) async fn create(call: &Call, state: &Rc<State>) -> Result<Response, Response> {
    let body: QueryBody = call.json()?;
    let at_first = NewRule {
        name: String::new(),
        groups: Vec::new(),
        query: String::new(),
        is_regex: false,
        playlist_id: None,
        guide_start: FIRST_BLOCK,
        block_size: BLOCK_SIZE,
        is_enabled: true,
    };
    let mut rule = body.rule(at_first)?;
    let now = state.wall_now();
    let (rule, _applied) = change(state, move |database| {
        let no_room = ChannelError::TooManyRules { max: BLOCKS_MAX };
        rule.guide_start = free_block(&database.rules()?).ok_or(no_room)?;
        database.create_rule(&rule, now)
    })
    .await?;
    Ok(Response::json(200, &Block::new(rule, state.params.search)))
}

/// `PATCH /api/dynamic-channels/{id}`.
pub(super) async fn patch(call: &Call, state: &Rc<State>, rule_id: i64) -> Result<Response, Response> {
    let body: QueryBody = call.json()?;
    let before = state.ask_store(move |database| database.rule(rule_id)).await;
    let rule = body.rule(before.map_err(|error| channel_refusal(&error))?.rule)?;
    let now = state.wall_now();
    let (rule, _applied) = change(state, move |database| database.replace_rule(rule_id, &rule, now)).await?;
    Ok(Response::json(200, &Block::new(rule, state.params.search)))
}

/// `GET /api/dynamic-channels/{id}/channels`.
pub(super) async fn channels(call: &Call, state: &State, rule_id: i64) -> Result<Response, Response> {
    let (limit, offset) = page_asked(call, PAGE_DEFAULT, CHANNELS_PAGE_MAX)?;
    let channels = state.ask_store(move |database| database.rule_channels(rule_id)).await;
    Ok(shown_all(channels.map_err(|error| channel_refusal(&error))?, limit, offset))
}

/// `PATCH /api/dynamic-channels/{id}/channels/reorder`.
pub(super) async fn reorder(call: &Call, state: &Rc<State>, rule_id: i64) -> Result<Response, Response> {
    let OrderBody { channel_ids } = call.json()?;
    let now = state.wall_now();
    state
        .ask_store(move |database| database.reorder_rule_channels(rule_id, &channel_ids, now))
        .await
        .map_err(|error| channel_refusal(&error))?;
    publish(state).await?;
    Ok(Response::new(204))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_free_when_no_rule_has_a_number_in_it() {
        let record = |guide_start, block_size| RuleRecord {
            rule_id: 1,
            rule: NewRule {
                name: "R".to_owned(),
                groups: Vec::new(),
                query: String::new(),
                is_regex: false,
                playlist_id: None,
                guide_start,
                block_size,
                is_enabled: true,
            },
            channels: 0,
            left_out: 0,
            created_at: 0,
            updated_at: 0,
        };
        for (rules, expected) in [
            (vec![], 10_000),
            (vec![record(500, 1000)], 10_000),
            (vec![record(9_001, 1000)], 11_000),
            (vec![record(10_999, 1)], 11_000),
            (vec![record(10_000, 1000), record(12_000, 5)], 11_000),
        ] {
            assert_eq!(free_block(&rules), Some(expected), "{rules:?}");
        }
    }
}
