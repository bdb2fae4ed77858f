//! The order of items by name, and how it is made of many at once.
//!
//! Items come in the order of their keys, so each has its place anywhere among the names: a million of them, entered one by one, write
//! most pages of that index again and again. While a first reading brings so many that they are most of what there is, the index
//! is therefore taken away, and made in one go when they are there; a page of items is sorted for itself meanwhile. The trigger that
//! empties the pack of a new item goes with it: each step makes the packs of its rows itself. A file that is opened without
//! them, after a kill, gets them then.

use std::sync::{Arc, Weak};

use rusqlite::Connection;

/// Entries behind which it is asked whether they are many.
pub(super) const MANY_FROM: u64 = 2_000;
/// New items are most of what there is while that is at most so many times as many.
const SHARE: u64 = 5;

/// `group_name` stands in it so that those of a group are found in their order without a look at other items.
const MAKE: &str = "
CREATE INDEX IF NOT EXISTS playlist_items_by_name ON playlist_items (name COLLATE NOCASE, item_key, group_name);
CREATE TRIGGER IF NOT EXISTS playlist_items_packed_new AFTER INSERT ON playlist_items BEGIN
    INSERT INTO item_packs (pack, item_rows, words) VALUES (NEW.rowid >> 9, x'', x'')
        ON CONFLICT (pack) DO UPDATE SET item_rows = x'', words = x'' WHERE length(item_rows) > 0;
END;
";

const TAKE_AWAY: &str = "
DROP INDEX IF EXISTS playlist_items_by_name;
DROP TRIGGER IF EXISTS playlist_items_packed_new;
";

/// A reading for which the order was taken away; when it is dropped that is so no more.
pub(super) type Loading = Arc<()>;

/// The readings for which the order is not there.
#[derive(Debug, Default)]
pub(super) struct Loadings(Vec<Weak<()>>);

impl Loadings {
    pub(super) fn begin(&mut self) -> Loading {
        let loading = Loading::default();
        self.0.retain(|other| other.strong_count() > 0);
        self.0.push(Arc::downgrade(&loading));
        loading
    }

    /// Whether one is under way.
    pub(super) fn is_any(&self) -> bool {
        self.0.iter().any(|loading| loading.strong_count() > 0)
    }
}

/// Whether so many new items are most of what there is.
pub(super) fn are_most(connection: &Connection, added: u64) -> rusqlite::Result<bool> {
    // At least as many as there are rows, and found at once.
    let sql = "SELECT coalesce(max(rowid), 0) FROM playlist_items";
    let rows: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(u64::try_from(rows).is_ok_and(|rows| rows <= added.saturating_mul(SHARE)))
}

pub(super) fn take_away(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(TAKE_AWAY)
}

/// Whether it is there, and the trigger with it.
pub(super) fn is_made(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) = 2 FROM sqlite_schema
        WHERE name IN ('playlist_items_by_name', 'playlist_items_packed_new')";
    connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
}

/// Makes what is not there. More memory for that, or another thread, makes it slower.
pub(super) fn make(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(MAKE)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::store::database::filter::ItemFilter;
    use crate::store::database::items::Reading;
    use crate::store::database::refresh::{Progress, Refresh, key_in};
    use crate::store::database::{Database, PRIMARY_PLAYLIST};
    use crate::store::entry::Entry;
    use crate::store::fixtures::{at, item};

    const PIECE: u64 = MANY_FROM / 2;

    fn count(database: &Database, of: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {of}");
        database.connection.query_row(&sql, [], |row| row.get(0)).unwrap()
    }

    fn is_in_order(database: &Database) -> bool {
        let made = count(
            database,
            "sqlite_schema WHERE name IN ('playlist_items_by_name', 'playlist_items_packed_new')",
        );
        assert!(made == 0 || made == 2, "both are there, or none: {made}");
        made == 2
    }

    /// A piece of a playlist whose names have another order than its keys.
    fn piece(playlist_id: i64, number: u64) -> VecDeque<Entry> {
        let item = |n: u64| {
            let name = n * 7919 % 99_991;
            Entry::new(&item(&key_in(playlist_id, &format!("k{n:06}")), &format!("Name {name:06}")))
        };
        (number * PIECE..(number + 1) * PIECE).map(item).collect()
    }

    fn begun(database: &mut Database, playlist_id: i64) -> Refresh {
        database.begin_refresh(Reading { playlist_id, ..at(1).into() }).unwrap()
    }

    fn take(database: &mut Database, refresh: &mut Refresh, playlist_id: i64, numbers: std::ops::Range<u64>) {
        for number in numbers {
            let mut entries = piece(playlist_id, number);
            while database.merge(refresh, &mut entries, false).unwrap() == Progress::Unfinished {}
        }
    }

    fn finish(database: &mut Database, refresh: &mut Refresh) {
        while database.finish_refresh(refresh).unwrap() == Progress::Unfinished {}
    }

    fn check_pages(database: &Database, total: u64) {
        let page = database.items(&ItemFilter { offset: 5, limit: 900, ..ItemFilter::default() }).unwrap();
        assert_eq!((page.total, page.items.len()), (total, 900));
        assert!(page.items.is_sorted_by_key(|record| record.item.name.clone()));
        let active = ItemFilter { active: Some(true), limit: 1, ..ItemFilter::default() };
        assert_eq!(database.items(&active).unwrap().total, total);
    }

    #[test]
    fn a_first_reading_of_many_is_put_in_order_when_all_are_there() {
        let mut database = Database::in_memory().unwrap();
        let mut refresh = begun(&mut database, PRIMARY_PLAYLIST);
        take(&mut database, &mut refresh, PRIMARY_PLAYLIST, 0..2);
        assert!(is_in_order(&database), "they are not many yet");
        take(&mut database, &mut refresh, PRIMARY_PLAYLIST, 2..5);
        assert!(!is_in_order(&database));
        check_pages(&database, PIECE * 5);
        finish(&mut database, &mut refresh);
        assert!(is_in_order(&database));
        check_pages(&database, PIECE * 5);
        let sql = "INSERT INTO playlist_items SELECT 'new', channel_key, name, group_name, stream_url, tvg_id, tvg_name,
            tvg_logo, attrs_json, first_seen_at, last_seen_at, active, search_text, headers_json, appeared_in, seen_in,
            playlist_id, content FROM playlist_items LIMIT 1";
        database.connection.execute(sql, []).unwrap();
        assert_eq!(
            count(&database, "item_packs WHERE item_rows = x''"),
            1,
            "the pack of a new item is made anew"
        );
        // Another reading of the same changes nothing.
        let mut again = begun(&mut database, PRIMARY_PLAYLIST);
        take(&mut database, &mut again, PRIMARY_PLAYLIST, 0..5);
        assert!(is_in_order(&database));
    }

    #[test]
    fn what_was_cut_off_is_put_in_order_when_the_file_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tunerd.db");
        let mut database = Database::open(&path).unwrap();
        let mut refresh = begun(&mut database, PRIMARY_PLAYLIST);
        take(&mut database, &mut refresh, PRIMARY_PLAYLIST, 0..4);
        assert!(!is_in_order(&database));
        drop(database);
        let database = Database::open(&path).unwrap();
        assert!(is_in_order(&database));
        check_pages(&database, PIECE * 4);
    }

    #[test]
    fn the_last_of_several_that_load_makes_the_order_and_one_that_was_given_up_holds_nobody() {
        let mut database = Database::in_memory().unwrap();
        let [mut first, mut second, mut third] = [1, 2, 3].map(|id| begun(&mut database, id));
        take(&mut database, &mut first, 1, 0..3);
        take(&mut database, &mut second, 2, 0..3);
        take(&mut database, &mut third, 3, 0..3);
        finish(&mut database, &mut first);
        assert!(!is_in_order(&database), "others go on");
        drop(third);
        finish(&mut database, &mut second);
        assert!(is_in_order(&database));
        check_pages(&database, PIECE * 9);
    }

    #[test]
    fn few_beside_many_are_put_in_their_places_one_by_one() {
        let mut database = Database::in_memory().unwrap();
        database.refresh_items(&[item("a", "News")], at(1)).unwrap();
        for (rows, are_most_of_them) in [(MANY_FROM * SHARE, true), (MANY_FROM * SHARE + 1, false)] {
            let rowid = i64::try_from(rows).unwrap();
            database.connection.execute("UPDATE playlist_items SET rowid = ?1", [rowid]).unwrap();
            assert_eq!(are_most(&database.connection, MANY_FROM).unwrap(), are_most_of_them, "{rows}");
        }
    }
}
