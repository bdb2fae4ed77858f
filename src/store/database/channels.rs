//! Channels: what viewers see, each standing on one source or more.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, params};

use super::Database;
use super::{profiles, sources};
use crate::base::WallTime;
use crate::store::error::{ChannelError, StoreError};
use crate::store::records::{ChannelChange, ChannelRecord, ItemRecord, NewChannel, SourceRecord, signed};
use crate::store::rows::touch;

/// Characters in a guide number. Clients show it in a narrow column.
const GUIDE_NUMBER_CHARS_MAX: usize = 16;
const GUIDE_NUMBER_ALLOWED: &str = "1 to 16 letters, digits, '.' or '-', the first one a digit";
/// What playlists call an entry's number.
const NUMBER_ATTRIBUTES: [&str; 2] = ["tvg-chno", "channel-number"];
/// Characters in a channel's name.
const GUIDE_NAME_CHARS_MAX: usize = 200;
const GUIDE_NAME_ALLOWED: &str = "1 to 200 characters, not all blank, without control characters";

impl Database {
    /// Makes a channel from a playlist item, which becomes its first source, behind all other channels.
    /// Without a number of its own it gets that of the item (`tvg-chno`), and where there is none or another channel has it, the
    /// lowest free one from `guide_start` upward.
    ///
    /// # Errors
    /// When there is no such item or profile, the number is taken, or a value cannot be stored.
    pub fn create_channel(
        &mut self,
        new: &NewChannel,
        guide_start: u32,
        now: WallTime,
    ) -> Result<ChannelRecord, ChannelError> {
        let item = self.item(&new.item_key)?;
        let item = item.ok_or_else(|| ChannelError::ItemNotFound { item_key: new.item_key.clone() })?;
        let guide_name = match &new.guide_name {
            Some(name) => checked_name(name)?,
            None => name_of(&item),
        };
        sources::check_program(new.program)?;
        let transaction = self.writing()?;
        profiles::check_name(&transaction, new.profile.as_deref())?;
        let guide_number = match &new.guide_number {
            Some(number) => free_number(&transaction, number, None)?,
            None => number_for(&transaction, &item, guide_start)?,
        };
        let sql = "INSERT INTO published_channels
                (channel_key, guide_number, guide_name, order_index, created_at, updated_at, profile)
            VALUES (?1, ?2, ?3, (SELECT coalesce(max(order_index), -1) + 1 FROM published_channels), ?4, ?4, ?5)";
        let seconds = signed(now.unix_seconds());
        transaction.prepare_cached(sql)?.execute(params![
            new.channel_key.as_deref().map_or(item.item.channel_key.clone(), checked_key),
            guide_number,
            guide_name,
            seconds,
            new.profile
        ])?;
        let channel_id = transaction.last_insert_rowid();
        sources::insert(&transaction, channel_id, &new.item_key, new.program)?;
        transaction.commit()?;
        self.channel(channel_id)
    }

    /// Number and name that a channel of this item would get now.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn proposal(&self, item: &ItemRecord, guide_start: u32) -> Result<(String, String), ChannelError> {
        let wanted = wanted_number(item).map(|number| free_number(&self.connection, &number, None));
        let number = match wanted {
            Some(Ok(number)) => number,
            Some(Err(ChannelError::Store(error))) => return Err(ChannelError::Store(error)),
            Some(Err(_)) | None => lowest_free_number(&self.connection, guide_start)?,
        };
        Ok((number, name_of(item)))
    }

    /// Changes number, name, state or profile of a channel, all or nothing.
    ///
    /// # Errors
    /// When there is no such channel or profile, the number is taken, or a value cannot be stored.
    pub fn update_channel(
        &mut self,
        channel_id: i64,
        change: &ChannelChange,
        now: WallTime,
    ) -> Result<ChannelRecord, ChannelError> {
        let transaction = self.writing()?;
        touch(&transaction, channel_id, now)?;
        let guide_number = match &change.guide_number {
            Some(number) => Some(free_number(&transaction, number, Some(channel_id))?),
            None => None,
        };
        let guide_name = change.guide_name.as_deref().map(checked_name).transpose()?;
        let profile = change.profile.as_ref().and_then(Option::as_deref);
        profiles::check_name(&transaction, profile)?;
        let sql = "UPDATE published_channels SET guide_number = coalesce(?2, guide_number),
            guide_name = coalesce(?3, guide_name), enabled = coalesce(?4, enabled),
            profile = iif(?5, ?6, profile) WHERE channel_id = ?1";
        transaction.prepare_cached(sql)?.execute(params![
            channel_id,
            guide_number,
            guide_name,
            change.enabled,
            change.profile.is_some(),
            profile
        ])?;
        transaction.commit()?;
        self.channel(channel_id)
    }

    /// Puts the channels in another order.
    ///
    /// # Errors
    /// When these are not all channels, each once.
    pub fn reorder_channels(&mut self, channel_ids: &[i64]) -> Result<(), ChannelError> {
        let transaction = self.writing()?;
        let sql = "SELECT channel_id FROM published_channels ORDER BY channel_id";
        let known = transaction
            .prepare_cached(sql)?
            .query_map([], |row| row.get(0))?
            .collect::<Result<Vec<i64>, _>>()?;
        sources::check_order("channel_ids", channel_ids, &known)?;
        // No two may have the same place, not even for a moment: those below zero are free.
        let sql = "UPDATE published_channels SET order_index = -1 - ?2 WHERE channel_id = ?1";
        for (place, channel_id) in (0_i64..).zip(channel_ids) {
            transaction.prepare_cached(sql)?.execute(params![channel_id, place])?;
        }
        transaction
            .prepare_cached("UPDATE published_channels SET order_index = -1 - order_index")?
            .execute([])?;
        Ok(transaction.commit()?)
    }

    /// Deletes a channel with its sources. The playlist items stay.
    ///
    /// # Errors
    /// When there is no such channel.
    pub fn delete_channel(&mut self, channel_id: i64) -> Result<(), ChannelError> {
        let sql = "DELETE FROM published_channels WHERE channel_id = ?1";
        match self.connection.prepare_cached(sql)?.execute([channel_id])? {
            0 => Err(ChannelError::ChannelNotFound { channel_id }),
            _one => Ok(()),
        }
    }

    /// One channel with its sources.
    ///
    /// # Errors
    /// When there is no such channel.
    pub fn channel(&self, channel_id: i64) -> Result<ChannelRecord, ChannelError> {
        let sql = format!("SELECT {} FROM published_channels WHERE channel_id = ?1", ChannelRecord::COLUMNS);
        let mut channel = self
            .connection
            .prepare_cached(&sql)?
            .query_row([channel_id], ChannelRecord::read)
            .optional()?
            .ok_or(ChannelError::ChannelNotFound { channel_id })?;
        channel.sources = sources::of_channel(&self.connection, channel_id)?;
        Ok(channel)
    }

    /// All channels in their order, with all their sources.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn channels(&self) -> Result<Vec<ChannelRecord>, StoreError> {
        self.list("1")
    }

    /// What viewers may tune to: the enabled channels in their order, with their enabled sources. A channel
    /// without any is among them.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn lineup(&self) -> Result<Vec<ChannelRecord>, StoreError> {
        self.list("enabled = 1")
    }

    /// The channels for which a condition holds, with the sources for which it holds.
    fn list(&self, condition: &'static str) -> Result<Vec<ChannelRecord>, StoreError> {
        let mut of_channel: BTreeMap<i64, Vec<SourceRecord>> = BTreeMap::new();
        for source in sources::list(&self.connection, condition)? {
            of_channel.entry(source.channel_id).or_default().push(source);
        }
        let columns = ChannelRecord::COLUMNS;
        let sql = format!("SELECT {columns} FROM published_channels WHERE {condition} ORDER BY order_index");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut channels = statement.query_map([], ChannelRecord::read)?.collect::<Result<Vec<_>, _>>()?;
        for channel in &mut channels {
            channel.sources = of_channel.remove(&channel.channel_id).unwrap_or_default();
        }
        Ok(channels)
    }
}

/// A number that the channel `own` may have.
fn free_number(connection: &Connection, number: &str, own: Option<i64>) -> Result<String, ChannelError> {
    let number = number.trim();
    let fits = (1..=GUIDE_NUMBER_CHARS_MAX).contains(&number.len())
        && number.starts_with(|first: char| first.is_ascii_digit())
        && number.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-');
    if !fits {
        return Err(invalid("guide_number", number, GUIDE_NUMBER_ALLOWED));
    }
    let sql = "SELECT channel_id FROM published_channels WHERE guide_number = ?1";
    let holder: Option<i64> =
        connection.prepare_cached(sql)?.query_row([number], |row| row.get(0)).optional()?;
    match holder {
        Some(channel_id) if own != Some(channel_id) => {
            Err(ChannelError::GuideNumberTaken { guide_number: number.to_owned(), channel_id })
        }
        Some(_) | None => Ok(number.to_owned()),
    }
}

/// The number that the item's playlist wants for it, else the lowest that is free.
fn number_for(connection: &Connection, item: &ItemRecord, guide_start: u32) -> Result<String, ChannelError> {
    let Some(wanted) = wanted_number(item) else { return lowest_free_number(connection, guide_start) };
    match free_number(connection, &wanted, None) {
        Ok(number) => Ok(number),
        Err(ChannelError::Store(error)) => Err(ChannelError::Store(error)),
        Err(refused) => {
            let number = lowest_free_number(connection, guide_start)?;
            log::warn!("the channel of {} gets the guide number {number}: {refused}", item.item.item_key);
            Ok(number)
        }
    }
}

/// The number that an item's playlist gives it.
fn wanted_number(item: &ItemRecord) -> Option<String> {
    let attrs: BTreeMap<String, String> = serde_json::from_str(&item.item.attrs_json).ok()?;
    let number = NUMBER_ATTRIBUTES.iter().find_map(|name| attrs.get(*name))?.trim();
    // What has no number of its own is given none or zero.
    (!number.is_empty() && number != "0").then(|| number.to_owned())
}

fn lowest_free_number(connection: &Connection, guide_start: u32) -> Result<String, ChannelError> {
    let mut statement = connection.prepare_cached("SELECT guide_number FROM published_channels")?;
    let taken = statement.query_map([], |row| row.get(0))?.collect::<Result<BTreeSet<String>, _>>()?;
    let free = (u64::from(guide_start)..).map(|number| number.to_string()).find(|text| !taken.contains(text));
    Ok(free.expect("there are more numbers than channels"))
}

/// A channel key as items have theirs: in small letters.
fn checked_key(key: &str) -> String {
    key.trim().to_lowercase().chars().take(GUIDE_NAME_CHARS_MAX).collect()
}

pub(super) fn checked_name(name: &str) -> Result<String, ChannelError> {
    let name = name.trim();
    let fits = (1..=GUIDE_NAME_CHARS_MAX).contains(&name.chars().count()) && !name.contains(char::is_control);
    if fits { Ok(name.to_owned()) } else { Err(invalid("guide_name", name, GUIDE_NAME_ALLOWED)) }
}

/// A name for the channel of an item: the item's, made fit to be stored, or its key when it has none.
pub(super) fn name_of(item: &ItemRecord) -> String {
    let item = &item.item;
    let fit = |name: &str| -> String {
        let printable = name.replace(char::is_control, " ");
        printable.trim().chars().take(GUIDE_NAME_CHARS_MAX).collect()
    };
    [&item.name, &item.tvg_name]
        .into_iter()
        .map(|name| fit(name))
        .find(|name| !name.is_empty())
        .unwrap_or_else(|| fit(&item.item_key))
}

fn invalid(field: &'static str, value: &str, allowed: &'static str) -> ChannelError {
    let shown = value.chars().take(64).collect();
    ChannelError::Invalid { field, value: shown, allowed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixtures::{at, item, with_items};
    use crate::store::records::NewItem;

    fn new(item_key: &str) -> NewChannel {
        NewChannel { item_key: item_key.to_owned(), ..NewChannel::default() }
    }

    fn numbered(item_key: &str, number: &str) -> NewChannel {
        NewChannel { guide_number: Some(number.to_owned()), ..new(item_key) }
    }

    fn renumber(number: &str) -> ChannelChange {
        ChannelChange { guide_number: Some(number.to_owned()), ..ChannelChange::default() }
    }

    fn rename(name: &str) -> ChannelChange {
        ChannelChange { guide_name: Some(name.to_owned()), ..ChannelChange::default() }
    }

    #[test]
    fn a_channel_made_from_an_item_has_it_as_its_first_source() {
        let mut database = with_items(&[("a", "News")]);
        let channel = database.create_channel(&new("a"), 100, at(7)).unwrap();
        assert_eq!((channel.guide_number.as_str(), channel.guide_name.as_str()), ("100", "News"));
        assert_eq!(
            (channel.channel_class.as_str(), channel.channel_key.as_str()),
            ("traditional", "name:news")
        );
        assert_eq!((channel.order_index, channel.enabled), (0, true));
        assert_eq!((channel.created_at, channel.updated_at), (7, 7));
        let [source] = &channel.sources[..] else { panic!("one source, not {:?}", channel.sources) };
        assert_eq!((source.item_key.as_str(), source.priority_index, source.enabled), ("a", 0, true));
        assert_eq!((source.association_type.as_str(), source.tvg_name.as_str()), ("manual", "tvg News"));
        assert_eq!(source.stream_url, "http://example.com/a.ts");
        assert_eq!(database.channels().unwrap(), [channel]);
    }

    #[test]
    fn a_channel_of_no_item_is_refused_and_leaves_nothing() {
        let mut database = with_items(&[("a", "News")]);
        let result = database.create_channel(&new("nobody"), 100, at(1));
        assert_eq!(result, Err(ChannelError::ItemNotFound { item_key: "nobody".to_owned() }));
        assert_eq!(database.channels().unwrap(), []);
    }

    #[test]
    fn the_lowest_free_number_is_given() {
        let items = [("a", "A"), ("b", "B"), ("c", "C"), ("d", "D"), ("e", "E")];
        let mut database = with_items(&items);
        let mut number = |new: &NewChannel| database.create_channel(new, 100, at(1)).unwrap().guide_number;
        assert_eq!(number(&numbered("a", "101")), "101");
        assert_eq!(number(&numbered("b", "99")), "99");
        assert_eq!(number(&new("c")), "100");
        assert_eq!(number(&new("d")), "102");
        assert_eq!(number(&numbered("e", " 5.1 ")), "5.1");
    }

    #[test]
    fn what_is_proposed_is_what_is_given() {
        let numbers = [("a", "5.1"), ("b", "5.1"), ("c", "0"), ("d", "one")];
        let mut database = Database::in_memory().unwrap();
        let items = numbers.map(|(key, number)| NewItem {
            attrs_json: format!("{{\"tvg-chno\":\"{number}\"}}"),
            ..item(key, key)
        });
        database.refresh_items(&items, at(100)).unwrap();
        for (key, _number) in numbers {
            let record = database.item(key).unwrap().unwrap();
            let proposed = database.proposal(&record, 100).unwrap();
            let made = database.create_channel(&new(key), 100, at(1)).unwrap();
            assert_eq!(proposed, (made.guide_number, made.guide_name));
        }
    }

    #[test]
    fn the_playlists_own_number_is_given_unless_another_channel_has_it() {
        let mut database = Database::in_memory().unwrap();
        let numbers = [("a", "5.1"), ("b", " 12 "), ("c", "5.1"), ("d", "0"), ("e", "one"), ("f", "100")];
        let items = numbers.map(|(key, number)| NewItem {
            attrs_json: format!("{{\"tvg-chno\":\"{number}\"}}"),
            ..item(key, key)
        });
        database.refresh_items(&items, at(1)).unwrap();
        let given =
            numbers.map(|(key, _)| database.create_channel(&new(key), 100, at(1)).unwrap().guide_number);
        assert_eq!(given, ["5.1", "12", "100", "101", "102", "103"], "the first keeps what two want");
    }

    #[test]
    fn a_number_that_is_taken_is_refused_by_name() {
        let mut database = with_items(&[("a", "A"), ("b", "B")]);
        let first = database.create_channel(&numbered("a", "7"), 100, at(1)).unwrap();
        let taken =
            ChannelError::GuideNumberTaken { guide_number: "7".to_owned(), channel_id: first.channel_id };
        let second = database.create_channel(&numbered("b", "7"), 100, at(1));
        assert_eq!(second.unwrap_err().to_string(), taken.to_string());
        let second = database.create_channel(&new("b"), 100, at(1)).unwrap();
        assert_eq!(database.update_channel(second.channel_id, &renumber("7"), at(2)), Err(taken));
        assert_eq!(database.channel(second.channel_id).unwrap(), second, "nothing of it was changed");
        let same = database.update_channel(first.channel_id, &renumber("7"), at(1)).unwrap();
        assert_eq!(same, first, "a channel may keep its own number");
    }

    #[test]
    fn channels_are_put_in_an_order_of_all_of_them() {
        let mut database = with_items(&[("a", "A"), ("b", "B"), ("c", "C")]);
        let ids =
            ["a", "b", "c"].map(|key| database.create_channel(&new(key), 100, at(1)).unwrap().channel_id);
        let order = |database: &Database| -> Vec<_> {
            database
                .channels()
                .unwrap()
                .into_iter()
                .map(|channel| (channel.channel_id, channel.order_index))
                .collect()
        };
        database.reorder_channels(&[ids[2], ids[0], ids[1]]).unwrap();
        assert_eq!(order(&database), [(ids[2], 0), (ids[0], 1), (ids[1], 2)]);
        for wrong in [&ids[..2], &[ids[0], ids[1], ids[2], ids[2]], &[ids[0], ids[1], 99]] {
            let refused = database.reorder_channels(wrong);
            assert!(
                matches!(refused, Err(ChannelError::Invalid { field: "channel_ids", .. })),
                "{refused:?}"
            );
        }
        assert_eq!(order(&database)[0].0, ids[2], "what is refused changes nothing");
    }

    #[test]
    fn a_change_touches_only_what_it_names() {
        let mut database = with_items(&[("a", "News")]);
        let before = database.create_channel(&new("a"), 100, at(1)).unwrap();
        let id = before.channel_id;
        let renamed = database.update_channel(id, &rename(" Welt "), at(2)).unwrap();
        assert_eq!(renamed, ChannelRecord { guide_name: "Welt".to_owned(), updated_at: 2, ..before.clone() });
        let renumbered = database.update_channel(id, &renumber("5-1"), at(3)).unwrap();
        assert_eq!(renumbered, ChannelRecord { guide_number: "5-1".to_owned(), updated_at: 3, ..renamed });
        let disabled = ChannelChange { enabled: Some(false), ..ChannelChange::default() };
        let changed = database.update_channel(id, &disabled, at(4)).unwrap();
        assert_eq!(changed, ChannelRecord { enabled: false, updated_at: 4, ..renumbered });
        let missing = database.update_channel(99, &rename("x"), at(5));
        assert_eq!(missing, Err(ChannelError::ChannelNotFound { channel_id: 99 }));
    }

    #[test]
    fn values_that_clients_cannot_show_are_refused() {
        let mut database = with_items(&[("a", "News")]);
        let id = database.create_channel(&new("a"), 100, at(1)).unwrap().channel_id;
        let long = "9".repeat(17);
        for number in ["", " ", "v5", "5_1", "5/1", "5 1", "٥", ".5", long.as_str()] {
            let result = database.update_channel(id, &renumber(number), at(2));
            assert!(
                matches!(result, Err(ChannelError::Invalid { field: "guide_number", .. })),
                "{number:?}: {result:?}"
            );
        }
        let long = "x".repeat(201);
        for name in ["", "\t", "a\nb", long.as_str()] {
            let result = database.update_channel(id, &rename(name), at(2));
            assert!(
                matches!(result, Err(ChannelError::Invalid { field: "guide_name", .. })),
                "{name:?}: {result:?}"
            );
        }
        assert_eq!(database.channel(id).unwrap().updated_at, 1);
    }

    #[test]
    fn an_items_name_is_made_fit_for_its_channel() {
        let mut database = Database::in_memory().unwrap();
        let nameless = NewItem { tvg_name: String::new(), ..item("src:12", " ") };
        let items = [item("a", " News\n24 "), item("b", &"ž".repeat(300)), item("c", ""), nameless];
        database.refresh_items(&items, at(1)).unwrap();
        let mut name = |key| database.create_channel(&new(key), 100, at(1)).unwrap().guide_name;
        assert_eq!(name("a"), "News 24");
        assert_eq!(name("b"), "ž".repeat(200));
        assert_eq!(name("c"), "tvg");
        assert_eq!(name("src:12"), "src:12");
    }

    #[test]
    fn deleting_a_channel_takes_its_sources_and_leaves_the_items() {
        let mut database = with_items(&[("a", "A"), ("b", "B")]);
        let first = database.create_channel(&new("a"), 100, at(1)).unwrap();
        let second = database.create_channel(&new("b"), 100, at(1)).unwrap();
        database.delete_channel(second.channel_id).unwrap();
        assert_eq!(database.channels().unwrap(), [first]);
        let left: i64 = database
            .connection
            .query_row("SELECT count(*) FROM channel_sources", [], |row| row.get(0))
            .unwrap();
        assert_eq!(left, 1);
        assert!(database.item("b").unwrap().is_some());
        let again = database.delete_channel(second.channel_id);
        assert_eq!(again, Err(ChannelError::ChannelNotFound { channel_id: second.channel_id }));
        let later = database.create_channel(&new("b"), 100, at(2)).unwrap();
        assert!(later.channel_id > second.channel_id, "an id is not given twice");
        assert!(later.sources[0].source_id > second.sources[0].source_id, "an id is not given twice");
    }

    #[test]
    fn the_lineup_is_what_is_enabled_in_order() {
        let mut database = with_items(&[("a", "A"), ("b", "B"), ("c", "C"), ("d", "D")]);
        let [a, b, c] =
            ["a", "b", "c"].map(|key| database.create_channel(&new(key), 100, at(1)).unwrap().channel_id);
        let spare = database.add_source(a, "d", None, at(1)).unwrap().source_id;
        let preferred = database.channel(a).unwrap().sources[0].source_id;
        database.set_source_enabled(a, preferred, false, at(1)).unwrap();
        let disabled = ChannelChange { enabled: Some(false), ..ChannelChange::default() };
        database.update_channel(b, &disabled, at(1)).unwrap();
        for (place, channel) in [(10, c), (11, b), (12, a)] {
            let sql = "UPDATE published_channels SET order_index = ?2 WHERE channel_id = ?1";
            database.connection.execute(sql, params![channel, place]).unwrap();
        }

        let ids = |channels: Vec<ChannelRecord>| -> Vec<(i64, Vec<i64>)> {
            let sources = |channel: &ChannelRecord| channel.sources.iter().map(|s| s.source_id).collect();
            channels.iter().map(|channel| (channel.channel_id, sources(channel))).collect()
        };
        let of = |database: &Database, id| database.channel(id).unwrap().sources[0].source_id;
        assert_eq!(ids(database.lineup().unwrap()), [(c, vec![of(&database, c)]), (a, vec![spare])]);
        assert_eq!(
            ids(database.channels().unwrap()),
            [(c, vec![of(&database, c)]), (b, vec![of(&database, b)]), (a, vec![preferred, spare])]
        );
    }
}
