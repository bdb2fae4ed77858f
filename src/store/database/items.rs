//! Playlist items: what the playlists hold, and what they once held.
//!
//! An item is never deleted. A channel may stand on it, and a provider that forgets an item for a day has it
//! again the next: the channel must not have lost its source by then.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{OptionalExtension, Transaction, named_params, params};

use super::Database;
use crate::base::WallTime;
use crate::store::error::StoreError;
use crate::store::records::{ItemRecord, NewItem, signed};

/// The most items in one page.
pub const ITEMS_PAGE_MAX: u32 = 1000;

/// What a refresh of the catalog did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshOutcome {
    /// The catalog is what the playlist says. An item is counted in `seen`, and in at most one of the others.
    Refreshed { seen: usize, added: usize, reactivated: usize, deactivated: usize },
    /// The playlist held nothing, so nothing was changed: a provider that answers with an empty list has a
    /// bad hour, and does not mean that every channel is gone.
    EmptyIgnored,
}

/// Which items to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemFilter {
    /// Of this group alone, spelt as the playlist spells it.
    pub group: Option<String>,
    /// With this text in name or tvg-id, in whatever case. A blank text asks for nothing.
    pub text: Option<String>,
    /// Only those that are in the playlist now, or only those that are not.
    pub active: Option<bool>,
    /// At most [`ITEMS_PAGE_MAX`]; more is cut to that.
    pub limit: u32,
    /// How many to leave out before the first.
    pub offset: u32,
}

impl Default for ItemFilter {
    fn default() -> Self {
        Self { group: None, text: None, active: None, limit: ITEMS_PAGE_MAX, offset: 0 }
    }
}

/// Some of the items that match a filter, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemPage {
    pub items: Vec<ItemRecord>,
    /// All that match, on this page or not.
    pub total: u64,
}

const MATCHES: &str = "(:group IS NULL OR group_name = :group)
    AND (:active IS NULL OR active = :active)
    AND (:text IS NULL OR instr(search_text, :text) > 0)";

impl Database {
    /// Makes the catalog what a playlist says, all of it or nothing: new items are added, known ones brought
    /// up to date, the rest marked inactive. Of items with the same key the last one counts.
    ///
    /// # Errors
    /// When SQLite refuses; the catalog is then as it was.
    pub fn refresh_items(&mut self, items: &[NewItem], now: WallTime) -> Result<RefreshOutcome, StoreError> {
        if items.is_empty() {
            return Ok(RefreshOutcome::EmptyIgnored);
        }
        let transaction = self.writing()?;
        let known = known_items(&transaction)?;
        let seen: BTreeSet<&str> = items.iter().map(|item| item.item_key.as_str()).collect();
        upsert(&transaction, items, now)?;
        let gone = known.iter().filter(|(key, active)| **active && !seen.contains(key.as_str()));
        let mut deactivated = 0;
        {
            let sql = "UPDATE playlist_items SET active = 0 WHERE item_key = ?1";
            let mut statement = transaction.prepare_cached(sql)?;
            for (key, _active) in gone {
                deactivated += statement.execute([key])?;
            }
        }
        transaction.commit()?;
        Ok(RefreshOutcome::Refreshed {
            seen: seen.len(),
            added: seen.iter().filter(|key| !known.contains_key(**key)).count(),
            reactivated: seen.iter().filter(|key| known.get(**key) == Some(&false)).count(),
            deactivated,
        })
    }

    /// Lists items by name.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn items(&self, filter: &ItemFilter) -> Result<ItemPage, StoreError> {
        let text = filter.text.as_deref().map(folded).filter(|text| !text.is_empty());
        let (group, active) = (&filter.group, filter.active);
        let total: i64 = self
            .connection
            .prepare_cached(&format!("SELECT count(*) FROM playlist_items WHERE {MATCHES}"))?
            .query_row(named_params! { ":group": group, ":active": active, ":text": text }, |row| {
                row.get(0)
            })?;
        let sql = format!(
            "SELECT {} FROM playlist_items WHERE {MATCHES}
             ORDER BY name COLLATE NOCASE, item_key LIMIT :limit OFFSET :offset",
            ItemRecord::COLUMNS
        );
        let items = self
            .connection
            .prepare_cached(&sql)?
            .query_map(
                named_params! {
                    ":group": group, ":active": active, ":text": text,
                    ":limit": filter.limit.min(ITEMS_PAGE_MAX), ":offset": filter.offset,
                },
                ItemRecord::read,
            )?
            .collect::<Result<_, _>>()?;
        Ok(ItemPage { items, total: u64::try_from(total).expect("a count is not negative") })
    }

    /// The item with a key, active or not.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn item(&self, item_key: &str) -> Result<Option<ItemRecord>, StoreError> {
        let sql = format!("SELECT {} FROM playlist_items WHERE item_key = ?1", ItemRecord::COLUMNS);
        Ok(self.connection.prepare_cached(&sql)?.query_row([item_key], ItemRecord::read).optional()?)
    }
}

/// Every item's key, and whether it is active.
fn known_items(transaction: &Transaction<'_>) -> rusqlite::Result<BTreeMap<String, bool>> {
    transaction
        .prepare_cached("SELECT item_key, active FROM playlist_items")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

fn upsert(transaction: &Transaction<'_>, items: &[NewItem], now: WallTime) -> rusqlite::Result<()> {
    let sql =
        "INSERT INTO playlist_items (item_key, channel_key, name, group_name, stream_url, tvg_id, tvg_name,
            tvg_logo, attrs_json, first_seen_at, last_seen_at, active, search_text, headers_json)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10, 1, ?11, ?12)
        ON CONFLICT (item_key) DO UPDATE SET channel_key = excluded.channel_key, name = excluded.name,
            group_name = excluded.group_name, stream_url = excluded.stream_url, tvg_id = excluded.tvg_id,
            tvg_name = excluded.tvg_name, tvg_logo = excluded.tvg_logo, attrs_json = excluded.attrs_json,
            last_seen_at = excluded.last_seen_at, active = 1, search_text = excluded.search_text,
            headers_json = excluded.headers_json";
    let mut statement = transaction.prepare_cached(sql)?;
    let now = signed(now.unix_nanos());
    for item in items {
        // A line break cannot be typed into a search, so no text is found across the two.
        let search_text = format!("{}\n{}", folded(&item.name), folded(&item.tvg_id));
        statement.execute(params![
            item.item_key,
            item.channel_key,
            item.name,
            item.group_name,
            item.stream_url,
            item.tvg_id,
            item.tvg_name,
            item.tvg_logo,
            item.attrs_json,
            now,
            search_text,
            serde_json::to_string(&item.headers).expect("text can be written as JSON"),
        ])?;
    }
    Ok(())
}

/// Lower case, with single spaces: how a name is searched.
fn folded(text: &str) -> String {
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixtures::{at, item, with_items};

    fn keys(database: &Database, filter: &ItemFilter) -> Vec<String> {
        database.items(filter).unwrap().items.into_iter().map(|record| record.item.item_key).collect()
    }

    #[test]
    fn an_item_that_is_not_seen_goes_inactive_and_comes_back_when_seen_again() {
        let mut database = Database::in_memory().unwrap();
        let both = [item("a", "News"), item("b", "Sport")];
        let outcome = |seen, added, reactivated, deactivated| {
            Ok(RefreshOutcome::Refreshed { seen, added, reactivated, deactivated })
        };
        assert_eq!(database.refresh_items(&both, at(100)), outcome(2, 2, 0, 0));
        assert_eq!(database.refresh_items(&both[..1], at(200)), outcome(1, 0, 0, 1));
        let gone = database.item("b").unwrap().unwrap();
        assert_eq!((gone.active, gone.first_seen_at, gone.last_seen_at), (false, at(100), at(100)));
        assert_eq!(gone.item, both[1], "everything about it is still known");
        assert_eq!(database.refresh_items(&both[..1], at(250)), outcome(1, 0, 0, 0));

        assert_eq!(database.refresh_items(&both, at(300)), outcome(2, 0, 1, 0));
        let back = database.item("b").unwrap().unwrap();
        assert_eq!((back.active, back.first_seen_at, back.last_seen_at), (true, at(100), at(300)));
    }

    #[test]
    fn an_empty_playlist_changes_nothing() {
        let mut database = with_items(&[("a", "News"), ("b", "Sport")]);
        let before = database.items(&ItemFilter::default()).unwrap();
        assert_eq!(database.refresh_items(&[], at(200)), Ok(RefreshOutcome::EmptyIgnored));
        assert_eq!(database.items(&ItemFilter::default()).unwrap(), before);
        assert!(before.items.iter().all(|item| item.active));
    }

    #[test]
    fn a_clock_that_steps_back_does_not_make_items_inactive() {
        let mut database = Database::in_memory().unwrap();
        database.refresh_items(&[item("a", "News")], at(500)).unwrap();
        database.refresh_items(&[item("a", "News")], at(3)).unwrap();
        assert!(database.item("a").unwrap().unwrap().active);
    }

    #[test]
    fn of_two_items_with_one_key_the_last_counts_once() {
        let mut database = Database::in_memory().unwrap();
        let outcome = database.refresh_items(&[item("a", "first"), item("a", "second")], at(1));
        assert_eq!(
            outcome,
            Ok(RefreshOutcome::Refreshed { seen: 1, added: 1, reactivated: 0, deactivated: 0 })
        );
        assert_eq!(database.item("a").unwrap().unwrap().item.name, "second");
    }

    #[test]
    fn five_thousand_items_are_refreshed_together() {
        let mut database = Database::in_memory().unwrap();
        let items: Vec<_> =
            (0..5000).map(|n| item(&format!("src:{n:05}"), &format!("Channel {n}"))).collect();
        database.refresh_items(&items, at(1)).unwrap();
        let outcome = database.refresh_items(&items[1000..], at(2));
        assert_eq!(
            outcome,
            Ok(RefreshOutcome::Refreshed { seen: 4000, added: 0, reactivated: 0, deactivated: 1000 })
        );
        let filter = |active| ItemFilter { active: Some(active), limit: 3, ..ItemFilter::default() };
        assert_eq!(database.items(&filter(true)).unwrap().total, 4000);
        assert_eq!(database.items(&filter(false)).unwrap().total, 1000);
        assert_eq!(database.items(&filter(true)).unwrap().items.len(), 3);
    }

    #[test]
    fn a_refresh_that_fails_half_way_leaves_the_catalog_as_it_was() {
        let mut database = with_items(&[("a", "News")]);
        database
            .connection
            .execute_batch(
                "CREATE TRIGGER refuse BEFORE INSERT ON playlist_items WHEN NEW.item_key = 'c'
                 BEGIN SELECT RAISE(ABORT, 'no'); END",
            )
            .unwrap();
        let result = database.refresh_items(&[item("b", "Sport"), item("c", "Film")], at(200));
        assert!(matches!(result, Err(StoreError::Sqlite(_))), "{result:?}");
        assert_eq!(keys(&database, &ItemFilter::default()), ["a"]);
        assert!(database.item("a").unwrap().unwrap().active);
    }

    #[test]
    fn filters_narrow_and_pages_follow_each_other() {
        let mut database = Database::in_memory().unwrap();
        let grouped = |key, name, group: &str| NewItem { group_name: group.to_owned(), ..item(key, name) };
        let items = [
            grouped("a", "ČT1 HD", "CZ"),
            grouped("b", "čt  Sport", "CZ"),
            grouped("c", "BBC One", "UK"),
            NewItem { tvg_id: "BBC.Two.uk".to_owned(), ..grouped("d", "Second", "UK") },
            grouped("e", "100% Rock", ""),
        ];
        database.refresh_items(&items, at(1)).unwrap();
        database.refresh_items(&items[..4], at(2)).unwrap();
        let all = ItemFilter::default();
        let text = |text: &str| ItemFilter { text: Some(text.to_owned()), ..ItemFilter::default() };
        let group = |group: &str| ItemFilter { group: Some(group.to_owned()), ..ItemFilter::default() };
        let table: &[(ItemFilter, &[&str])] = &[
            (all.clone(), &["e", "c", "d", "a", "b"]),
            (text("čt"), &["a", "b"]),
            (text("ČT SPORT"), &["b"]),
            (text("  "), &["e", "c", "d", "a", "b"]),
            (text("bbc.two"), &["d"]),
            (text("second bbc"), &[]),
            (text("%"), &["e"]),
            (text("_"), &[]),
            (group("UK"), &["c", "d"]),
            (group(""), &["e"]),
            (group("uk"), &[]),
            (ItemFilter { active: Some(false), ..all.clone() }, &["e"]),
            (ItemFilter { text: Some("bbc".to_owned()), limit: 1, ..group("UK") }, &["c"]),
            (ItemFilter { limit: 2, offset: 0, ..all.clone() }, &["e", "c"]),
            (ItemFilter { limit: 2, offset: 2, ..all.clone() }, &["d", "a"]),
            (ItemFilter { limit: 2, offset: 4, ..all.clone() }, &["b"]),
            (ItemFilter { limit: u32::MAX, offset: u32::MAX, ..all.clone() }, &[]),
        ];
        for (filter, expected) in table {
            assert_eq!(keys(&database, filter), *expected, "{filter:?}");
        }
        let page = database.items(&ItemFilter { limit: 1, offset: 3, ..all }).unwrap();
        assert_eq!(page.total, 5, "the total counts what other pages hold");
    }

    #[test]
    fn printing_an_item_does_not_print_its_url() {
        let mut database = Database::in_memory().unwrap();
        let secret = NewItem { stream_url: "http://user:hunter2@host/1".to_owned(), ..item("a", "News") };
        database.refresh_items(std::slice::from_ref(&secret), at(1)).unwrap();
        let printed = format!("{secret:?} {:?}", database.items(&ItemFilter::default()).unwrap());
        assert!(printed.contains("News") && !printed.contains("hunter2"), "{printed}");
    }
}
