//! `GET /api/items`, `GET /api/groups` and `GET /api/suggestions/duplicates`: what the playlist holds.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::redact;
use crate::control::admin::call::{Call, refusal};
use crate::control::state::State;
use crate::http::Response;
use crate::status::go_time::rfc3339;
use crate::store::{Duplicates, Group, ITEMS_PAGE_MAX, ItemFilter, ItemRecord, Search, SearchLimits};

use super::store_refusal;

/// Items of a page when the request does not say how many.
const LIMIT_DEFAULT: u32 = 100;
/// The same for groups.
const GROUPS_DEFAULT: u32 = 200;
/// One item is no duplicate.
const DUPLICATES_MIN: u32 = 2;
const DUPLICATES_MIN_MAX: u32 = 100;
/// Channel keys of a page, at most.
const DUPLICATES_PAGE_MAX: u32 = 500;
/// Groups behind this many are not asked for.
const GROUPS_ASKED_MAX: usize = 256;

#[derive(Serialize)]
struct Page {
    items: Vec<Item>,
    total: u64,
    limit: u32,
    offset: u32,
    q_regex: bool,
    search_warning: SearchWarning,
}

/// What of the search counts.
#[derive(Serialize)]
pub(super) struct SearchWarning {
    mode: &'static str,
    truncated: bool,
    max_terms: usize,
    max_disjuncts: usize,
    max_term_runes: usize,
    terms_applied: usize,
    terms_dropped: usize,
    disjuncts_applied: usize,
    disjuncts_dropped: usize,
    term_rune_truncations: usize,
}

impl SearchWarning {
    pub(super) fn new(search: Option<&Search>, limits: SearchLimits) -> Self {
        let counts = search.map(Search::counts).unwrap_or_default();
        let dropped = counts.terms_dropped + counts.disjuncts_dropped + counts.term_rune_truncations;
        Self {
            mode: if matches!(search, Some(Search::Regex(_))) { "regex" } else { "token" },
            truncated: dropped > 0,
            max_terms: limits.terms_max,
            max_disjuncts: limits.disjuncts_max,
            max_term_runes: limits.term_chars_max,
            terms_applied: counts.terms_applied,
            terms_dropped: counts.terms_dropped,
            disjuncts_applied: counts.disjuncts_applied,
            disjuncts_dropped: counts.disjuncts_dropped,
            term_rune_truncations: counts.term_rune_truncations,
        }
    }
}

/// Items that may be sources of one channel.
#[derive(Serialize)]
struct Suggestions {
    groups: Vec<SameKey>,
    total: u64,
    limit: u32,
    offset: u32,
    min: u32,
    q: String,
}

#[derive(Serialize)]
struct SameKey {
    channel_key: String,
    count: u64,
    items: Vec<Item>,
}

#[derive(Serialize)]
struct Groups {
    groups: Vec<GroupOfItems>,
    total: u64,
    limit: u32,
    offset: u32,
    include_counts: bool,
}

#[derive(Serialize)]
struct GroupOfItems {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

#[derive(Serialize)]
struct Item {
    item_key: String,
    channel_key: String,
    name: String,
    group_name: String,
    /// The same, as the reference calls it here.
    group: String,
    /// Without credentials, whoever asks: pages are photographed and logs are copied.
    stream_url: String,
    /// What requests for it carry, without credentials.
    headers: BTreeMap<String, String>,
    tvg_id: String,
    tvg_name: String,
    tvg_logo: String,
    /// The same, as the reference calls it here.
    logo: String,
    /// Whose it is.
    playlist_id: i64,
    active: bool,
    first_seen_at: String,
    last_seen_at: String,
}

impl From<ItemRecord> for Item {
    fn from(record: ItemRecord) -> Self {
        let ItemRecord { item, first_seen_at, last_seen_at, active, playlist_id } = record;
        let logo = redact::url(&item.tvg_logo);
        Self {
            stream_url: redact::url(&item.stream_url),
            headers: item.headers.redacted(),
            tvg_logo: logo.clone(),
            logo,
            group: item.group_name.clone(),
            item_key: item.item_key,
            channel_key: item.channel_key,
            name: item.name,
            group_name: item.group_name,
            tvg_id: item.tvg_id,
            tvg_name: item.tvg_name,
            playlist_id,
            active,
            first_seen_at: rfc3339(first_seen_at),
            last_seen_at: rfc3339(last_seen_at),
        }
    }
}

/// One page of the items that match.
pub(super) async fn list(call: &Call, state: &State) -> Result<Response, Response> {
    let limits = state.params.search;
    let filter = filter(call, limits)?;
    let (limit, offset) = (filter.limit, filter.offset);
    let search_warning = SearchWarning::new(filter.search.as_ref(), limits);
    let q_regex = switch(call, "q_regex")?.unwrap_or(false);
    let page = state
        .ask_store(move |database| database.items(&filter))
        .await
        .map_err(|error| store_refusal(&error))?;
    let items = page.items.into_iter().map(Item::from).collect();
    Ok(Response::json(200, &Page { items, total: page.total, limit, offset, q_regex, search_warning }))
}

/// `GET /api/groups`.
pub(super) async fn groups(call: &Call, state: &State) -> Result<Response, Response> {
    let with_counts = switch(call, "include_counts")?.unwrap_or(true);
    let (limit, offset) = page_asked(call, GROUPS_DEFAULT, ITEMS_PAGE_MAX)?;
    let (groups, total) = state
        .ask_store(move |database| database.groups(limit, offset))
        .await
        .map_err(|error| store_refusal(&error))?;
    let shown = |group: Group| GroupOfItems { name: group.name, count: with_counts.then_some(group.count) };
    let groups = groups.into_iter().map(shown).collect();
    Ok(Response::json(200, &Groups { groups, total, limit, offset, include_counts: with_counts }))
}

/// `GET /api/suggestions/duplicates`.
pub(super) async fn duplicates(call: &Call, state: &State) -> Result<Response, Response> {
    let min = number(call, "min", DUPLICATES_MIN, "2 to 100")?.clamp(DUPLICATES_MIN, DUPLICATES_MIN_MAX);
    let (limit, offset) = page_asked(call, LIMIT_DEFAULT, DUPLICATES_PAGE_MAX)?;
    let q = text_of(call, "q").or_else(|| text_of(call, "tvg_id")).unwrap_or_default();
    let text = q.clone();
    let (groups, total) = state
        .ask_store(move |database| database.duplicates(min, &text, limit, offset))
        .await
        .map_err(|error| store_refusal(&error))?;
    let shown = |group: Duplicates| SameKey {
        channel_key: group.channel_key,
        count: group.count,
        items: group.items.into_iter().map(Item::from).collect(),
    };
    let groups = groups.into_iter().map(shown).collect();
    Ok(Response::json(200, &Suggestions { groups, total, limit, offset, min, q }))
}

fn filter(call: &Call, limits: SearchLimits) -> Result<ItemFilter, Response> {
    let search = match (text_of(call, "q"), switch(call, "q_regex")?.unwrap_or(false)) {
        (None, _) => None,
        (Some(text), false) => Some(Search::terms(&text, limits)),
        (Some(pattern), true) => {
            Some(Search::regex(&pattern).map_err(|error| refusal(400, &error.to_string()))?)
        }
    };
    let active = switch(call, "active")?;
    // As the reference does here, and here alone: what is no number, or none that there can be, is the nearest that there is.
    let asked = |name| call.query(name).and_then(|text| text.trim().parse::<i64>().ok());
    let limit = match asked("limit") {
        Some(limit @ 1..) => u32::try_from(limit).unwrap_or(ITEMS_PAGE_MAX).min(ITEMS_PAGE_MAX),
        Some(_) | None => LIMIT_DEFAULT,
    };
    let offset = u32::try_from(asked("offset").unwrap_or(0).max(0)).unwrap_or(u32::MAX);
    let playlist = text_of(call, "playlist_id");
    let wrong = |text: &String| bad("playlist_id", text, "the number of a playlist");
    let playlist = playlist.map(|text| text.parse().map_err(|_no_number| wrong(&text))).transpose()?;
    Ok(ItemFilter { groups: groups_of(call), search, playlist, active, limit, offset })
}

/// The groups that are asked for: several fields, or names with commas between them. A name may have a comma in it.
fn groups_of(call: &Call) -> Vec<String> {
    let asked = [call.query_all("group"), call.query_all("group_names")].concat();
    let mut groups = Vec::new();
    for names in asked.into_iter().filter(|names| !names.is_empty()) {
        if names.contains(',') {
            groups.extend(names.split(',').map(|name| name.trim().to_owned()));
        }
        groups.push(names);
    }
    groups.truncate(GROUPS_ASKED_MAX);
    groups
}

/// Yes, no, or nothing at all.
pub(super) fn switch(call: &Call, name: &str) -> Result<Option<bool>, Response> {
    match call.query(name).as_deref() {
        None | Some("") => Ok(None),
        Some("true" | "1" | "yes" | "on") => Ok(Some(true)),
        Some("false" | "0" | "no" | "off") => Ok(Some(false)),
        Some(other) => Err(bad(name, other, "true, false, yes, no, on, off, 1, 0")),
    }
}

/// A value that is there and not empty.
fn text_of(call: &Call, name: &str) -> Option<String> {
    call.query(name).filter(|value| !value.is_empty())
}

/// How many rows are asked for, and how many before them are left out.
pub(super) fn page_asked(call: &Call, default: u32, max: u32) -> Result<(u32, u32), Response> {
    let limit = match number(call, "limit", default, "0 to 4294967295")? {
        0 => default,
        limit => limit.min(max),
    };
    Ok((limit, number(call, "offset", 0, "0 to 4294967295")?))
}

fn number(call: &Call, name: &str, default: u32, allowed: &str) -> Result<u32, Response> {
    match text_of(call, name) {
        None => Ok(default),
        Some(value) => value.parse().map_err(|_not_a_number| bad(name, &value, allowed)),
    }
}

fn bad(name: &str, value: &str, allowed: &str) -> Response {
    refusal(400, &format!("{name} cannot be {value:?}; allowed: {allowed}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::admin::call::tests::{call, written};

    #[test]
    fn a_query_becomes_a_filter() {
        let limits = SearchLimits { terms_max: 2, disjuncts_max: 2, term_chars_max: 9 };
        let filter = |query: &str| super::filter(&call("GET", &format!("/api/items?{query}"), ""), limits);
        assert_eq!(filter("").unwrap(), ItemFilter { limit: 100, ..ItemFilter::default() });
        assert_eq!(
            filter("q=news&group=A&active=true&limit=7&offset=3&playlist_id=2").unwrap(),
            ItemFilter {
                groups: vec!["A".to_owned()],
                search: Some(Search::terms("news", limits)),
                playlist: Some(2),
                active: Some(true),
                limit: 7,
                offset: 3
            }
        );
        assert_eq!(filter("active=0&q=&group=").unwrap().active, Some(false));
        assert_eq!(filter("group=A,%20B&group=C&group_names=").unwrap().groups, ["A", "B", "A, B", "C"]);
        assert_eq!(filter("q=%5Ea&q_regex=on").unwrap().search, Some(Search::regex("^a").unwrap()));
        assert!(written(&filter("q=(&q_regex=1").unwrap_err()).1.contains("unclosed group"));
        for (query, limit, offset) in [
            ("limit=0", 100, 0),
            ("limit=-5&offset=-5", 100, 0),
            ("limit=1001&offset=x", 1000, 0),
            ("limit=many&offset=99999999999", 100, u32::MAX),
        ] {
            let found = filter(query).unwrap();
            assert_eq!((found.limit, found.offset), (limit, offset), "{query}");
        }
        for (query, sentence) in [
            ("playlist_id=x", r#"playlist_id cannot be \"x\"; allowed: the number of a playlist"#),
            ("active=maybe", r#"active cannot be \"maybe\"; allowed: true, false, yes, no, on, off, 1, 0"#),
        ] {
            let refused = filter(query).unwrap_err();
            assert_eq!(refused.status(), 400);
            assert_eq!(written(&refused).1, format!("{{\"error\":\"{sentence}\"}}"));
        }
    }
}
