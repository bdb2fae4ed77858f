//! Playlist items: what the playlists hold, and what they once held.
//!
//! An item on which a channel stands is never deleted: a provider that forgets an item for a day has it again the
//! next, and the channel must not have lost its source by then. Others are kept for thirty days.

use std::borrow::Borrow;
use std::time::Duration;

use rusqlite::{OptionalExtension, Row, params};

use super::Database;
use super::filter::ItemFilter;
use super::moves::SourceMove;
use super::packs::{self, Page};
use super::playlists::PRIMARY_PLAYLIST;
use crate::base::WallTime;
use crate::store::error::StoreError;
use crate::store::records::{ItemRecord, NewItem, unsigned};

/// Items of one channel key that are listed.
const DUPLICATES_SHOWN_MAX: u32 = 100;
/// How long an item that is gone from its playlist is kept when no channel stands on it.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// What a refresh of the catalog came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefreshOutcome {
    /// The catalog is what the playlist says.
    Refreshed(Refreshed),
    /// The playlist held nothing, so nothing was changed: a provider that answers with an empty list has a
    /// bad hour, and does not mean that every channel is gone.
    EmptyIgnored,
    /// The playlist held so many fewer items than there were that nothing was changed, either.
    MuchSmallerIgnored { seen: u64, before: u64 },
}

/// A reading of a playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Whose.
    pub playlist_id: i64,
    pub at: WallTime,
    /// It is believed although it holds far fewer items than the one before.
    pub accepts_less: bool,
}

impl From<WallTime> for Reading {
    fn from(at: WallTime) -> Self {
        Self { playlist_id: PRIMARY_PLAYLIST, at, accepts_less: false }
    }
}

/// What was changed. An item is counted in `seen`, and in at most one of the others.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Refreshed {
    pub seen: u64,
    pub added: u64,
    pub reactivated: u64,
    pub deactivated: u64,
    /// Items that were gone for long, and are forgotten.
    pub removed: u64,
    /// What became of sources whose item is gone and may be another one now.
    pub moves: Vec<SourceMove>,
}

/// A group of items, and how many the playlist has in it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub count: u64,
}

/// Items of the playlist that share a channel key: they may be sources of one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicates {
    pub channel_key: String,
    /// All of them.
    pub count: u64,
    /// By name, and no more than a hundred.
    pub items: Vec<ItemRecord>,
}

/// Some of the items that match a filter, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemPage {
    pub items: Vec<ItemRecord>,
    /// All that match, on this page or not.
    pub total: u64,
}

impl Database {
    /// Makes the catalog what a playlist with these items says.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn refresh_items<I: Borrow<NewItem>>(
        &mut self,
        items: impl IntoIterator<Item = I>,
        how: impl Into<Reading>,
    ) -> Result<RefreshOutcome, StoreError> {
        self.refresh(items.into_iter().map(|item| Ok(item.borrow().clone())), how)
    }

    /// How many items are in a playlist now.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn active_items(&self, playlist_id: i64) -> Result<u64, StoreError> {
        // Noted when it was read; of what was read before there were several nothing is.
        let sql = "SELECT items FROM playlists WHERE playlist_id = ?1 AND read_at > 0";
        let noted = self
            .connection
            .prepare_cached(sql)?
            .query_row([playlist_id], |row| unsigned(row, 0))
            .optional()?;
        if let Some(noted) = noted {
            return Ok(noted);
        }
        let sql = "SELECT count(*) FROM playlist_items WHERE active = 1 AND playlist_id = ?1";
        Ok(self.connection.prepare_cached(sql)?.query_row([playlist_id], |row| unsigned(row, 0))?)
    }

    /// Lists items by name.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn items(&self, filter: &ItemFilter) -> Result<ItemPage, StoreError> {
        let Page { rows, total } = packs::page(&self.connection, filter)?;
        let sql = format!("SELECT {} FROM playlist_items WHERE rowid = ?1", ItemRecord::COLUMNS);
        let mut statement = self.connection.prepare_cached(&sql)?;
        let items =
            rows.iter().map(|row| statement.query_row([row], ItemRecord::read)).collect::<Result<_, _>>()?;
        Ok(ItemPage { items, total })
    }

    /// The groups of what the playlist holds now, by name, and how many there are in all.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn groups(&self, limit: u32, offset: u32) -> Result<(Vec<Group>, u64), StoreError> {
        if let Some(groups) = packs::groups(&self.connection)? {
            let mut groups: Vec<_> = groups.into_iter().map(|(name, count)| Group { name, count }).collect();
            groups.sort_by_cached_key(|group| (group.name.to_ascii_lowercase(), group.name.clone()));
            let total = groups.len() as u64;
            let (limit, offset) = (usize::try_from(limit), usize::try_from(offset));
            let page = groups.into_iter().skip(offset.unwrap_or(usize::MAX));
            return Ok((page.take(limit.unwrap_or(usize::MAX)).collect(), total));
        }
        let sql = "SELECT count(DISTINCT group_name) FROM playlist_items WHERE active = 1";
        let total: u32 = self.connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        let sql = "SELECT group_name, count(*) FROM playlist_items WHERE active = 1
            GROUP BY group_name ORDER BY group_name COLLATE NOCASE, group_name LIMIT ?1 OFFSET ?2";
        let group = |row: &Row<'_>| Ok(Group { name: row.get(0)?, count: u64::from(row.get::<_, u32>(1)?) });
        let groups = self
            .connection
            .prepare_cached(sql)?
            .query_map([limit, offset], group)?
            .collect::<Result<_, _>>()?;
        Ok((groups, u64::from(total)))
    }

    /// The channel keys that at least `min` items of the playlist share and that hold `text`, those with the most first; and
    /// how many there are in all.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn duplicates(
        &self,
        min: u32,
        text: &str,
        limit: u32,
        offset: u32,
    ) -> Result<(Vec<Duplicates>, u64), StoreError> {
        // What has neither name nor identifier shares nothing. The key is made of either, in small letters.
        const GROUPED: &str = "FROM playlist_items WHERE active = 1 AND channel_key <> 'name:'
            AND instr(channel_key, ?2) > 0 GROUP BY channel_key HAVING count(*) >= ?1";
        let text = folded(text);
        let sql = format!("SELECT count(*) FROM (SELECT 1 {GROUPED})");
        let total: u32 =
            self.connection.prepare_cached(&sql)?.query_row(params![min, text], |row| row.get(0))?;
        let sql = format!(
            "SELECT channel_key, count(*) {GROUPED} ORDER BY count(*) DESC, channel_key LIMIT ?3 OFFSET ?4"
        );
        let keys = self
            .connection
            .prepare_cached(&sql)?
            .query_map(params![min, text, limit, offset], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<Vec<(String, u32)>, _>>()?;
        let sql = format!(
            "SELECT {} FROM playlist_items WHERE active = 1 AND channel_key = ?1
             ORDER BY name COLLATE NOCASE, item_key LIMIT ?2",
            ItemRecord::COLUMNS
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut groups = Vec::new();
        for (channel_key, count) in keys {
            let items = statement
                .query_map(params![channel_key, DUPLICATES_SHOWN_MAX], ItemRecord::read)?
                .collect::<Result<_, _>>()?;
            groups.push(Duplicates { channel_key, count: u64::from(count), items });
        }
        Ok((groups, u64::from(total)))
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

/// Lower case, with single spaces: how a name is searched.
pub(super) fn folded(text: &str) -> String {
    let lower = text.to_lowercase();
    // Most are so already.
    let is_single = |pair: &[u8]| pair[0] != b' ' || pair[1] != b' ';
    let has_other_blanks =
        |byte: u8| byte != b' ' && (byte.is_ascii_whitespace() || byte == 0x0B || byte >= 0x80);
    let bytes = lower.as_bytes();
    if !lower.starts_with(' ')
        && !lower.ends_with(' ')
        && bytes.windows(2).all(is_single)
        && !bytes.iter().copied().any(has_other_blanks)
    {
        return lower;
    }
    let mut folded = String::with_capacity(lower.len());
    for word in lower.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.push_str(word);
    }
    folded
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::store::database::refresh::MANY_ITEMS;
    use crate::store::database::search::{Search, SearchLimits};
    use crate::store::fixtures::{at, item, with_items};
    use crate::store::records::NewChannel;

    fn keys(database: &Database, filter: &ItemFilter) -> Vec<String> {
        database.items(filter).unwrap().items.into_iter().map(|record| record.item.item_key).collect()
    }

    #[test]
    fn an_item_that_is_not_seen_goes_inactive_and_comes_back_when_seen_again() {
        let mut database = Database::in_memory().unwrap();
        let both = [item("a", "News"), item("b", "Sport")];
        let outcome = |seen, added, reactivated, deactivated| {
            let done = Refreshed { seen, added, reactivated, deactivated, ..Refreshed::default() };
            Ok(RefreshOutcome::Refreshed(done))
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
        assert_eq!(database.refresh_items::<NewItem>([], at(200)), Ok(RefreshOutcome::EmptyIgnored));
        assert_eq!(database.items(&ItemFilter::default()).unwrap(), before);
        assert!(before.items.iter().all(|item| item.active));
    }

    #[test]
    fn a_playlist_that_shrinks_absurdly_changes_nothing_unless_it_is_to_be_believed() {
        let items: Vec<_> = (0..MANY_ITEMS).map(|n| item(&n.to_string(), "News")).collect();
        let read = |count: usize, how: Reading| {
            let mut database = Database::in_memory().unwrap();
            database.refresh_items(&items, at(1)).unwrap();
            let outcome = database.refresh_items(&items[..count], how).unwrap();
            (outcome, database.active_items(PRIMARY_PLAYLIST).unwrap())
        };
        let ignored = RefreshOutcome::MuchSmallerIgnored { seen: 4, before: MANY_ITEMS };
        assert_eq!(read(4, at(2).into()), (ignored, MANY_ITEMS));
        assert_eq!(read(5, at(2).into()).1, 5, "a quarter is not absurd");
        assert_eq!(read(4, Reading { accepts_less: true, ..at(2).into() }).1, 4);
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
            Ok(RefreshOutcome::Refreshed(Refreshed { seen: 1, added: 1, ..Refreshed::default() }))
        );
        assert_eq!(database.item("a").unwrap().unwrap().item.name, "second");
    }

    #[test]
    fn items_of_one_key_that_lead_to_different_addresses_are_different_ones_and_stay_so() {
        let token =
            |token: &str| NewItem { stream_url: format!("http://h/1?token={token}"), ..item("a", "News") };
        let mut database = Database::in_memory().unwrap();
        let mut read = |tokens: &[&str], seconds| {
            let items: Vec<_> = tokens.iter().map(|name| token(name)).collect();
            let Ok(RefreshOutcome::Refreshed(done)) = database.refresh_items(items, at(seconds)) else {
                panic!("read")
            };
            let active = ItemFilter { active: Some(true), ..ItemFilter::default() };
            let found = database.items(&active).unwrap().items;
            let shown: Vec<_> = found
                .into_iter()
                .map(|found| {
                    (found.item.item_key, found.item.stream_url.rsplit('=').next().unwrap().to_owned())
                })
                .collect();
            (done.added, shown)
        };
        let pairs = |pairs: &[(&str, &str)]| -> Vec<_> {
            pairs.iter().map(|(key, token)| ((*key).to_owned(), (*token).to_owned())).collect()
        };
        assert_eq!(read(&["x", "y", "x", "z"], 1), (3, pairs(&[("a", "x"), ("a:2", "y"), ("a:3", "z")])));
        assert_eq!(read(&["u", "v", "w"], 2), (0, pairs(&[("a", "u"), ("a:2", "v"), ("a:3", "w")])));
        assert_eq!(read(&["u"], 3), (0, pairs(&[("a", "u")])));
    }

    #[test]
    fn an_item_that_cannot_be_read_leaves_the_catalog_as_it_was() {
        let mut database = with_items(&[("a", "News")]);
        let items = [Ok(item("b", "Sport")), Err(io::Error::other("gone"))];
        assert_eq!(database.refresh(items, at(2)), Err(StoreError::Unreadable("gone".to_owned())));
        assert_eq!(keys(&database, &ItemFilter::default()), ["a"]);
    }

    #[test]
    fn items_that_share_a_channel_key_are_found_together() {
        let shared =
            |key: &str, channel_key: &str| NewItem { channel_key: channel_key.to_owned(), ..item(key, key) };
        let mut database = Database::in_memory().unwrap();
        let items = [
            shared("a", "tvg:cnn.us"),
            shared("b", "tvg:cnn.us"),
            shared("c", "tvg:bbc.uk"),
            shared("d", "tvg:bbc.uk"),
            shared("e", "tvg:bbc.uk"),
            shared("f", "name:alone"),
            shared("g", "name:"),
            shared("h", "name:"),
            shared("i", "tvg:cnn.us"),
        ];
        database.refresh_items(&items, at(1)).unwrap();
        database.refresh_items(&items[..8], at(2)).unwrap();
        let found = |min, text: &str, limit, offset| {
            let (groups, total) = database.duplicates(min, text, limit, offset).unwrap();
            let keys = |group: Duplicates| -> String {
                group.items.into_iter().map(|found| found.item.item_key).collect()
            };
            (groups.into_iter().map(|group| (group.count, keys(group))).collect::<Vec<_>>(), total)
        };
        let (bbc, cnn) = ((3, "cde".to_owned()), (2, "ab".to_owned()));
        assert_eq!(found(2, "", 9, 0), (vec![bbc.clone(), cnn.clone()], 2), "what is gone does not count");
        assert_eq!(found(2, "", 1, 1), (vec![cnn.clone()], 2));
        assert_eq!(found(3, "", 9, 0), (vec![bbc], 1));
        assert_eq!(found(2, "CNN", 9, 0), (vec![cnn], 1));
        assert_eq!(found(2, "alone", 9, 0), (Vec::new(), 0));
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
            Ok(RefreshOutcome::Refreshed(Refreshed {
                seen: 4000,
                deactivated: 1000,
                ..Refreshed::default()
            }))
        );
        let filter = |active| ItemFilter { active: Some(active), limit: 3, ..ItemFilter::default() };
        assert_eq!(database.items(&filter(true)).unwrap().total, 4000);
        assert_eq!(database.items(&filter(false)).unwrap().total, 1000);
        assert_eq!(database.items(&filter(true)).unwrap().items.len(), 3);
    }

    #[test]
    fn items_that_no_channel_stands_on_are_forgotten_thirty_days_after_they_were_seen_last() {
        const DAY: u64 = 24 * 3600;
        let mut database = with_items(&[("a", "News"), ("b", "Sport"), ("c", "Film")]);
        let of_b = NewChannel { item_key: "b".to_owned(), ..NewChannel::default() };
        database.create_channel(&of_b, 100, at(100)).unwrap();
        let mut left = |days: u64| {
            let Ok(RefreshOutcome::Refreshed(done)) =
                database.refresh_items(&[item("a", "News")], at(100 + days * DAY))
            else {
                panic!("refreshed")
            };
            (done.removed, keys(&database, &ItemFilter::default()))
        };
        assert_eq!(left(30), (0, ["c", "a", "b"].map(str::to_owned).to_vec()));
        assert_eq!(left(31), (1, ["a", "b"].map(str::to_owned).to_vec()));
        assert_eq!(left(365), (0, ["a", "b"].map(str::to_owned).to_vec()));
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
        let limits = SearchLimits { terms_max: 9, disjuncts_max: 9, term_chars_max: 99 };
        let search = |text: &str| Some(Search::terms(text, limits));
        let text = |text: &str| ItemFilter { search: search(text), ..ItemFilter::default() };
        let group = |group: &str| ItemFilter { groups: vec![group.to_owned()], ..ItemFilter::default() };
        let table: &[(ItemFilter, &[&str])] = &[
            (all.clone(), &["e", "c", "d", "a", "b"]),
            (text("čt"), &["a", "b"]),
            (text("ČT SPORT"), &["b"]),
            (text("  "), &["e", "c", "d", "a", "b"]),
            (text("bbc.two"), &["d"]),
            (text("second bbc"), &["d"]),
            (text("%"), &["e"]),
            (text("_"), &[]),
            (group("UK"), &["c", "d"]),
            (group(""), &["e"]),
            (group("uk"), &[]),
            (ItemFilter { groups: ["UK", ""].map(str::to_owned).to_vec(), ..all.clone() }, &["e", "c", "d"]),
            (ItemFilter { active: Some(false), ..all.clone() }, &["e"]),
            (ItemFilter { search: search("bbc"), limit: 1, ..group("UK") }, &["c"]),
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
        let groups = |limit, offset| {
            let (groups, total) = database.groups(limit, offset).unwrap();
            (groups.into_iter().map(|group| (group.name, group.count)).collect::<Vec<_>>(), total)
        };
        let named = |name: &str, count| (name.to_owned(), count);
        assert_eq!(groups(9, 0), (vec![named("CZ", 2), named("UK", 2)], 2), "what is gone does not count");
        assert_eq!(groups(1, 1), (vec![named("UK", 2)], 2));
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
