//! Sources whose address has moved: their item is gone, and another one of the same name has come in its place.
//!
//! An item's key is made of its address, so a provider that moves its streams to another host, or puts another token into their
//! paths, gives each of them a new item. What stays is what it calls them.

use rusqlite::{Connection, params};

use super::health;
use crate::base::WallTime;
use crate::store::error::{ChannelError, StoreError};
use crate::store::rows::touch;

/// More candidates than these are not listed: it is as ambiguous.
const CANDIDATES_MAX: usize = 8;

/// What became of a source whose item is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceMove {
    pub channel_id: i64,
    pub guide_number: String,
    pub source_id: i64,
    /// The key of the item that is gone.
    pub from: String,
    pub to: Moved,
}

/// Where a source has moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// It stands on the item with this key now.
    To(String),
    /// Any of these may be it, so it stays where it was.
    Ambiguous(Vec<String>),
}

/// A source with its gone item, and the items that appeared since that was seen last and are called the same.
struct Gone {
    source: SourceMove,
    candidates: Vec<String>,
    /// One of them has appeared just now.
    is_news: bool,
}

/// Lets each source whose item is gone stand on the only item that has come in its place. Where there are several none is
/// guessed; this is told when it has just become so.
pub(super) fn follow(
    connection: &Connection,
    reading: i64,
    now: WallTime,
) -> Result<Vec<SourceMove>, StoreError> {
    let mut moves = Vec::new();
    for Gone { source, mut candidates, is_news } in gone(connection, reading)? {
        if candidates.len() > 1 {
            if is_news {
                candidates.truncate(CANDIDATES_MAX);
                moves.push(SourceMove { to: Moved::Ambiguous(candidates), ..source });
            }
            continue;
        }
        let Some(to) = candidates.pop() else { continue };
        if stand_on(connection, &source, &to, now)? {
            moves.push(SourceMove { to: Moved::To(to), ..source });
        }
    }
    Ok(moves)
}

/// The sources whose item is gone and for which something has come.
fn gone(connection: &Connection, reading: i64) -> rusqlite::Result<Vec<Gone>> {
    let sql = "SELECT source_id, channel_id, guide_number, gone.item_key, come.item_key,
            come.appeared_in = ?1
        FROM channel_sources JOIN published_channels USING (channel_id)
            JOIN playlist_items AS gone ON gone.item_key = channel_sources.item_key AND gone.active = 0
            JOIN playlist_items AS come ON come.channel_key = gone.channel_key AND come.search_text = gone.search_text
                AND come.active = 1 AND come.playlist_id = gone.playlist_id
                AND come.appeared_in > 0 AND come.appeared_in > gone.seen_in
        ORDER BY channel_id, priority_index, come.item_key";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([reading])?;
    // The preferred source of a channel is the first to move.
    let mut found: Vec<Gone> = Vec::new();
    while let Some(row) = rows.next()? {
        let source_id: i64 = row.get(0)?;
        if found.last().is_none_or(|last| last.source.source_id != source_id) {
            let source = SourceMove {
                source_id,
                channel_id: row.get(1)?,
                guide_number: row.get(2)?,
                from: row.get(3)?,
                to: Moved::Ambiguous(Vec::new()),
            };
            found.push(Gone { source, candidates: Vec::new(), is_news: false });
        }
        let last = found.last_mut().expect("it was put there");
        last.candidates.push(row.get(4)?);
        last.is_news |= row.get::<_, bool>(5)?;
    }
    Ok(found)
}

/// Puts a source on another item; what the old address has done is not held against it. False when that is a source of the channel already.
fn stand_on(
    connection: &Connection,
    source: &SourceMove,
    item_key: &str,
    now: WallTime,
) -> Result<bool, StoreError> {
    let sql = format!(
        "{}, item_key = ?2 WHERE source_id = ?1 AND NOT EXISTS
            (SELECT 1 FROM channel_sources WHERE channel_id = ?3 AND item_key = ?2)",
        health::RESET
    );
    let count =
        connection.prepare_cached(&sql)?.execute(params![source.source_id, item_key, source.channel_id])?;
    if count == 0 {
        return Ok(false);
    }
    match touch(connection, source.channel_id, now) {
        Ok(()) => Ok(true),
        Err(ChannelError::Store(error)) => Err(error),
        Err(_no_channel) => unreachable!("the source was joined with its channel"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Database;
    use crate::store::database::items::RefreshOutcome;
    use crate::store::fixtures::{at, item};
    use crate::store::records::{NewChannel, NewItem};

    /// An item of this key that is called so, and has an identifier or none.
    fn called(key: &str, name: &str, id: &str) -> NewItem {
        let words = name.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        let channel_key = if id.is_empty() { format!("name:{words}") } else { format!("tvg:{id}") };
        NewItem { channel_key, tvg_id: id.to_owned(), ..item(key, name) }
    }

    /// A database that has read a list with the first of these, of which a channel was made.
    fn standing_on(items: &[NewItem]) -> (Database, i64) {
        let mut database = Database::in_memory().unwrap();
        database.refresh_items(items, at(1)).unwrap();
        let new = NewChannel { item_key: items[0].item_key.clone(), ..NewChannel::default() };
        let id = database.create_channel(&new, 100, at(1)).unwrap().channel_id;
        (database, id)
    }

    fn read(database: &mut Database, items: &[NewItem], seconds: u64) -> Vec<Moved> {
        let Ok(RefreshOutcome::Refreshed(done)) = database.refresh_items(items, at(seconds)) else {
            panic!("it was refreshed")
        };
        done.moves.into_iter().map(|moved| moved.to).collect()
    }

    fn stands_on(database: &Database, channel_id: i64) -> Vec<(String, String)> {
        let sources = database.channel(channel_id).unwrap().sources;
        sources.into_iter().map(|source| (source.item_key, source.stream_url)).collect()
    }

    fn to(key: &str) -> Vec<Moved> {
        vec![Moved::To(key.to_owned())]
    }

    #[test]
    fn a_source_goes_on_with_the_item_that_has_come_in_the_place_of_its_own() {
        for id in ["news.one", ""] {
            let (mut database, channel_id) = standing_on(&[called("old", "News One", id)]);
            let before = database.channel(channel_id).unwrap().sources[0].source_id;
            assert_eq!(read(&mut database, &[called("new", "News  one", id)], 2), to("new"));
            let source = &database.channel(channel_id).unwrap().sources[0];
            assert_eq!((source.source_id, source.stream_url.as_str()), (before, "http://example.com/new.ts"));
            assert_eq!(database.channel(channel_id).unwrap().updated_at, 2);
            assert_eq!(read(&mut database, &[called("new", "News One", id)], 3), [], "once");
            assert_eq!(read(&mut database, &[called("old", "News One", id)], 4), to("old"), "and back again");
        }
    }

    #[test]
    fn what_is_not_certainly_the_same_is_not_followed() {
        let old = called("old", "News One", "news.one");
        let cases: &[(&str, &[NewItem])] = &[
            ("another name", &[called("new", "News Two", "news.one")]),
            ("another id", &[called("new", "News One", "news.two")]),
            ("no id any more", &[called("new", "News One", "")]),
            ("it is still there", &[old.clone(), called("new", "News One", "news.one")]),
        ];
        for (what, items) in cases {
            let (mut database, channel_id) = standing_on(std::slice::from_ref(&old));
            assert_eq!(read(&mut database, items, 2), [], "{what}");
            assert_eq!(stands_on(&database, channel_id)[0].0, "old", "{what}");
        }
    }

    #[test]
    fn an_item_that_was_there_beside_the_old_one_is_another_stream() {
        let both = [called("old", "News One", "n"), called("other", "News One", "n")];
        let (mut database, channel_id) = standing_on(&both);
        assert_eq!(read(&mut database, &both[1..], 2), []);
        assert_eq!(stands_on(&database, channel_id)[0].0, "old");
        let moved = [both[1].clone(), called("new", "News One", "n")];
        assert_eq!(read(&mut database, &moved, 3), to("new"), "that it came a reading later does not matter");
    }

    #[test]
    fn of_two_that_may_be_it_none_is_guessed_and_it_is_told_once() {
        let (mut database, channel_id) = standing_on(&[called("old", "News One", "n")]);
        let two = ["a", "b"].map(|key| called(key, "News One", "n"));
        let ambiguous = vec![Moved::Ambiguous(vec!["a".to_owned(), "b".to_owned()])];
        assert_eq!(read(&mut database, &two, 2), ambiguous);
        assert_eq!(read(&mut database, &two, 3), []);
        assert_eq!(
            stands_on(&database, channel_id),
            [("old".to_owned(), "http://example.com/old.ts".to_owned())]
        );
        assert_eq!(read(&mut database, &two[1..], 4), to("b"), "one is left");
    }

    #[test]
    fn two_sources_of_a_channel_do_not_move_to_one_item() {
        let both = ["old", "older"].map(|key| called(key, "News One", "n"));
        let (mut database, channel_id) = standing_on(&both);
        database.add_source(channel_id, "older", None, at(1)).unwrap();
        assert_eq!(read(&mut database, &[called("new", "News One", "n")], 2), to("new"));
        let keys: Vec<_> = stands_on(&database, channel_id).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["new", "older"], "the preferred one is the one that moves");
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_hide_what_has_come() {
        let (mut database, channel_id) = standing_on(&[called("old", "News One", "n")]);
        database.refresh_items(&[called("old", "News One", "n")], at(900)).unwrap();
        assert_eq!(read(&mut database, &[called("new", "News One", "n")], 5), to("new"));
        assert_eq!(stands_on(&database, channel_id)[0].0, "new");
    }

    #[test]
    fn a_source_follows_its_item_also_when_the_reading_that_brought_it_was_cut_off() {
        let mut database = Database::in_memory().unwrap();
        database.refresh_items(&[item("b", "News")], at(1)).unwrap();
        let new = NewChannel { item_key: "b".to_owned(), ..NewChannel::default() };
        database.create_channel(&new, 100, at(1)).unwrap();
        let mut refresh = database.begin_refresh(at(2).into()).unwrap();
        let mut entries = std::collections::VecDeque::from([crate::store::Entry::new(&item("a", "News"))]);
        database.merge(&mut refresh, &mut entries, false).unwrap();
        assert!(database.item("a").unwrap().is_some() && database.item("b").unwrap().unwrap().active);
        // The program ends here, and reads the list again when it has started.
        let outcome = database.refresh_items(&[item("a", "News")], at(3)).unwrap();
        let RefreshOutcome::Refreshed(done) = outcome else { panic!("{outcome:?}") };
        assert!(
            matches!(&done.moves[..], [SourceMove { to: Moved::To(to), .. }] if to == "a"),
            "{:?}",
            done.moves
        );
        assert_eq!(database.channels().unwrap()[0].sources[0].item_key, "a");
    }
}
