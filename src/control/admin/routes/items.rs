//! `GET /api/items`: what the playlist holds.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Serialize;

use crate::base::redact;
use crate::control::admin::call::{Call, refusal};
use crate::control::playlist::{self, SyncError};
use crate::control::state::State;
use crate::http::Response;
use crate::status::go_time::rfc3339;
use crate::store::{ITEMS_PAGE_MAX, ItemFilter, ItemRecord};

use super::store_refusal;

/// Items of a page when the request does not say how many.
const LIMIT_DEFAULT: u32 = 100;

#[derive(Serialize)]
struct Page {
    items: Vec<Item>,
    total: u64,
    limit: u32,
    offset: u32,
}

#[derive(Serialize)]
struct Item {
    item_key: String,
    channel_key: String,
    name: String,
    group_name: String,
    /// Without credentials, whoever asks: pages are photographed and logs are copied.
    stream_url: String,
    /// What requests for it carry, without credentials.
    headers: BTreeMap<String, String>,
    tvg_id: String,
    tvg_name: String,
    tvg_logo: String,
    active: bool,
    first_seen_at: String,
    last_seen_at: String,
}

impl From<ItemRecord> for Item {
    fn from(record: ItemRecord) -> Self {
        let ItemRecord { item, first_seen_at, last_seen_at, active } = record;
        Self {
            stream_url: redact::url(&item.stream_url),
            headers: item.headers.redacted(),
            tvg_logo: redact::url(&item.tvg_logo),
            item_key: item.item_key,
            channel_key: item.channel_key,
            name: item.name,
            group_name: item.group_name,
            tvg_id: item.tvg_id,
            tvg_name: item.tvg_name,
            active,
            first_seen_at: rfc3339(first_seen_at),
            last_seen_at: rfc3339(last_seen_at),
        }
    }
}

/// One page of the items that match.
pub(super) async fn list(call: &Call, state: &State) -> Result<Response, Response> {
    let filter = filter(call)?;
    let (limit, offset) = (filter.limit, filter.offset);
    let page = state
        .ask_store(move |database| database.items(&filter))
        .await
        .map_err(|error| store_refusal(&error))?;
    let items = page.items.into_iter().map(Item::from).collect();
    Ok(Response::json(200, &Page { items, total: page.total, limit, offset }))
}

fn filter(call: &Call) -> Result<ItemFilter, Response> {
    let active = switch(call, "active")?;
    let limit = number(call, "limit", LIMIT_DEFAULT, "1 to 1000")?;
    if !(1..=ITEMS_PAGE_MAX).contains(&limit) {
        return Err(bad("limit", &limit.to_string(), "1 to 1000"));
    }
    let offset = number(call, "offset", 0, "0 to 4294967295")?;
    Ok(ItemFilter { group: text_of(call, "group"), text: text_of(call, "q"), active, limit, offset })
}

/// Yes, no, or nothing at all.
fn switch(call: &Call, name: &str) -> Result<Option<bool>, Response> {
    match call.query(name).as_deref() {
        None | Some("") => Ok(None),
        Some("true" | "1") => Ok(Some(true)),
        Some("false" | "0") => Ok(Some(false)),
        Some(other) => Err(bad(name, other, "true, false, 1, 0")),
    }
}

/// A value that is there and not empty.
fn text_of(call: &Call, name: &str) -> Option<String> {
    call.query(name).filter(|value| !value.is_empty())
}

const _: () = assert!(ITEMS_PAGE_MAX == 1000, "the sentences above name it");

fn number(call: &Call, name: &str, default: u32, allowed: &str) -> Result<u32, Response> {
    match text_of(call, name) {
        None => Ok(default),
        Some(value) => value.parse().map_err(|_not_a_number| bad(name, &value, allowed)),
    }
}

fn bad(name: &str, value: &str, allowed: &str) -> Response {
    refusal(400, &format!("{name} cannot be {value:?}; allowed: {allowed}"))
}

/// `POST /api/admin/jobs/playlist-sync/run`: answers when it is done.
pub(super) async fn read_playlist(call: &Call, state: &Rc<State>) -> Result<Response, Response> {
    let accepts_less = switch(call, "accept_smaller")?.unwrap_or(false);
    match playlist::read_now(state, accepts_less).await {
        Ok(counts) => Ok(Response::json(200, &counts)),
        Err(error) => {
            let status = match error {
                SyncError::NoPlaylist | SyncError::Running => 409,
                SyncError::Panicked => 500,
                SyncError::Unreadable(_) | SyncError::Empty | SyncError::MuchSmaller { .. } => 502,
                SyncError::Store(_) => 503,
            };
            Err(refusal(status, &error.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::admin::call::tests::{call, written};

    #[test]
    fn a_query_becomes_a_filter() {
        let filter = |query: &str| super::filter(&call("GET", &format!("/api/items?{query}"), ""));
        assert_eq!(filter("").unwrap(), ItemFilter { limit: 100, ..ItemFilter::default() });
        assert_eq!(
            filter("q=news&group=A&active=true&limit=7&offset=3").unwrap(),
            ItemFilter {
                group: Some("A".to_owned()),
                text: Some("news".to_owned()),
                active: Some(true),
                limit: 7,
                offset: 3
            }
        );
        assert_eq!(filter("active=0&q=&group=").unwrap().active, Some(false));
        for (query, sentence) in [
            ("limit=0", r#"limit cannot be \"0\"; allowed: 1 to 1000"#),
            ("limit=1001", r#"limit cannot be \"1001\"; allowed: 1 to 1000"#),
            ("offset=-1", r#"offset cannot be \"-1\"; allowed: 0 to 4294967295"#),
            ("active=maybe", r#"active cannot be \"maybe\"; allowed: true, false, 1, 0"#),
        ] {
            let refused = filter(query).unwrap_err();
            assert_eq!(refused.status(), 400);
            assert_eq!(written(&refused).1, format!("{{\"error\":\"{sentence}\"}}"));
        }
    }
}
