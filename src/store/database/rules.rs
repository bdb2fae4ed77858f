//! Rules that make channels: each keeps one for every channel key among the items that it matches, in a block of guide numbers.
//!
//! A channel keeps its number, its name and what was changed about it for as long as there is something of it: while its items are gone
//! from the playlist it stays, and goes when they have been gone for thirty days. What the rule matches no longer, though it is in
//! the playlist, goes at once.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params, params_from_iter};

use super::Database;
use super::channels::{checked_name, name_of};
use super::filter::ItemFilter;
use super::items::KEPT_FOR;
use super::packs::{self, Selection};
use super::search::{Search, SearchLimits};
use crate::base::WallTime;
use crate::store::error::{ChannelError, StoreError};
use crate::store::records::{ChannelRecord, ItemRecord, NewRule, RuleRecord, signed, unsigned};

/// Rules that are kept.
const RULES_MAX: u32 = 64;
/// Channels of one rule, and sources of one of these.
const BLOCK_MAX: u32 = 1000;
const SOURCES_MAX: usize = 16;
const BLOCK_ALLOWED: &str = "guide_start from 1 to 9000000 and count from 1 to 1000";
const GUIDE_START_MAX: u32 = 9_000_000;
const GROUPS_MAX: usize = 64;
const TEXT_BYTES_MAX: usize = 512;
const COLUMNS: &str =
    "rule_id, rule_name, groups_json, query, is_regex, playlist_id, guide_start, block_size, is_enabled, left_out, created_at,
    updated_at, (SELECT count(*) FROM published_channels WHERE published_channels.rule_id = channel_rules.rule_id)";

/// What rules have done.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Applied {
    /// Channels that are new.
    pub made: u64,
    /// Channels that are gone.
    pub removed: u64,
    /// Sources that channels have got besides.
    pub sources: u64,
    /// What could not be done, in sentences.
    pub complaints: Vec<String>,
}

impl Database {
    /// All rules, in the order in which they were made.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn rules(&self) -> Result<Vec<RuleRecord>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM channel_rules ORDER BY rule_id");
        Ok(self.connection.prepare_cached(&sql)?.query_map([], read)?.collect::<Result<_, _>>()?)
    }

    /// One rule.
    ///
    /// # Errors
    /// When there is no such rule.
    pub fn rule(&self, rule_id: i64) -> Result<RuleRecord, ChannelError> {
        let sql = format!("SELECT {COLUMNS} FROM channel_rules WHERE rule_id = ?1");
        let found = self.connection.prepare_cached(&sql)?.query_row([rule_id], read).optional()?;
        found.ok_or(ChannelError::RuleNotFound { rule_id })
    }

    /// Keeps a new rule. It makes no channel yet.
    ///
    /// # Errors
    /// When a value cannot be, or there is no room.
    pub fn create_rule(&mut self, new: &NewRule, now: WallTime) -> Result<RuleRecord, ChannelError> {
        check(new)?;
        let sql = "SELECT count(*) FROM channel_rules";
        let count: u32 = self.connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        if count >= RULES_MAX {
            return Err(ChannelError::TooManyRules { max: RULES_MAX });
        }
        let sql = "INSERT INTO channel_rules (rule_name, groups_json, query, is_regex, playlist_id, guide_start, block_size,
            is_enabled, created_at, updated_at) VALUES (?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10) RETURNING rule_id, ?1";
        let rule_id = write(&self.connection, sql, 0, new, now)?.unwrap_or_default();
        self.rule(rule_id)
    }

    /// Makes a rule what it is now, all of it. Its channels change when it is applied.
    ///
    /// # Errors
    /// When there is none, or a value cannot be.
    pub fn replace_rule(
        &mut self,
        rule_id: i64,
        rule: &NewRule,
        now: WallTime,
    ) -> Result<RuleRecord, ChannelError> {
        check(rule)?;
        let sql = "UPDATE channel_rules SET rule_name = ?2, groups_json = ?3, query = ?4, is_regex = ?5, playlist_id = ?6,
            guide_start = ?7, block_size = ?8, is_enabled = ?9, updated_at = ?10 WHERE rule_id = ?1 RETURNING rule_id";
        write(&self.connection, sql, rule_id, rule, now)?.ok_or(ChannelError::RuleNotFound { rule_id })?;
        self.rule(rule_id)
    }

    /// Removes a rule with all channels that it has made.
    ///
    /// # Errors
    /// When there is none.
    pub fn delete_rule(&mut self, rule_id: i64) -> Result<(), ChannelError> {
        let transaction = self.writing()?;
        transaction
            .prepare_cached("DELETE FROM published_channels WHERE rule_id = ?1")?
            .execute([rule_id])?;
        if transaction.prepare_cached("DELETE FROM channel_rules WHERE rule_id = ?1")?.execute([rule_id])?
            == 0
        {
            return Err(ChannelError::RuleNotFound { rule_id });
        }
        Ok(transaction.commit()?)
    }

    /// The channels that a rule has made, in their order.
    ///
    /// # Errors
    /// When there is no such rule.
    pub fn rule_channels(&self, rule_id: i64) -> Result<Vec<ChannelRecord>, ChannelError> {
        self.rule(rule_id)?;
        let of_rule: BTreeSet<i64> = self
            .connection
            .prepare_cached("SELECT channel_id FROM published_channels WHERE rule_id = ?1")?
            .query_map([rule_id], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let channels = self.channels()?;
        Ok(channels.into_iter().filter(|channel| of_rule.contains(&channel.channel_id)).collect())
    }

    /// Puts the channels that a rule has made in another order: they share their places, and have the first numbers of the
    /// block that no other channel has.
    ///
    /// # Errors
    /// When there is no such rule, these are not all of its channels, or its block has become too small.
    pub fn reorder_rule_channels(
        &mut self,
        rule_id: i64,
        channel_ids: &[i64],
        now: WallTime,
    ) -> Result<(), ChannelError> {
        let rule = self.rule(rule_id)?.rule;
        let transaction = self.writing()?;
        let sql =
            "SELECT channel_id, order_index FROM published_channels WHERE rule_id = ?1 ORDER BY channel_id";
        let known: Vec<(i64, i64)> = transaction
            .prepare_cached(sql)?
            .query_map([rule_id], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let (ids, mut places): (Vec<_>, Vec<_>) = known.into_iter().unzip();
        super::sources::check_order("channel_ids", channel_ids, &ids)?;
        places.sort_unstable();
        let sql = "SELECT guide_number FROM published_channels WHERE rule_id IS NOT ?1";
        let of_others: BTreeSet<String> = transaction
            .prepare_cached(sql)?
            .query_map([rule_id], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let numbers = (rule.guide_start..rule.guide_start + rule.block_size).map(|number| number.to_string());
        let numbers: Vec<_> =
            numbers.filter(|number| !of_others.contains(number)).take(channel_ids.len()).collect();
        if numbers.len() < channel_ids.len() {
            let value = format!("{} from {}", rule.block_size, rule.guide_start);
            let allowed = "a block with a free number for each of its channels";
            return Err(ChannelError::Invalid { field: "the block", value, allowed });
        }
        // No two may have the same number or place, not even for a moment.
        let sql =
            "UPDATE published_channels SET guide_number = '~' || channel_id, order_index = -1 - order_index
            WHERE rule_id = ?1";
        transaction.prepare_cached(sql)?.execute([rule_id])?;
        let sql = "UPDATE published_channels SET guide_number = ?2, order_index = ?3, updated_at = ?4 WHERE channel_id = ?1";
        for ((channel_id, number), place) in channel_ids.iter().zip(numbers).zip(places) {
            let values = params![channel_id, number, place, signed(now.unix_seconds())];
            transaction.prepare_cached(sql)?.execute(values)?;
        }
        Ok(transaction.commit()?)
    }

    /// Makes and removes channels as the rules that are used say, each rule wholly or not at all.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn apply_rules(&mut self, limits: SearchLimits, now: WallTime) -> Result<Applied, StoreError> {
        let mut applied = Applied::default();
        for rule in self.rules()?.into_iter().filter(|rule| rule.rule.is_enabled) {
            let matched = self.matched(&rule.rule, limits)?;
            let transaction = self.writing()?;
            let of_rule = apply(&transaction, &rule, matched, now)?;
            transaction.commit()?;
            applied.made += of_rule.made;
            applied.removed += of_rule.removed;
            applied.sources += of_rule.sources;
            applied.complaints.extend(of_rule.complaints);
        }
        Ok(applied)
    }

    /// The items of the playlists that a rule matches, by name, in their channels.
    fn matched(&self, rule: &NewRule, limits: SearchLimits) -> Result<Vec<Vec<ItemRecord>>, StoreError> {
        let search = match (rule.query.as_str(), rule.is_regex) {
            ("", _) => None,
            (words, false) => Some(Search::terms(words, limits)),
            (pattern, true) => {
                Some(Search::regex(pattern).map_err(|error| StoreError::Unreadable(error.to_string()))?)
            }
        };
        let filter = ItemFilter {
            groups: rule.groups.clone(),
            search,
            playlist: rule.playlist_id,
            active: Some(true),
            ..ItemFilter::default()
        };
        let Selection { sql: place, values } = packs::select(&self.connection, &filter)?;
        let sql = format!(
            "SELECT {} {place} ORDER BY name COLLATE NOCASE, item_key LIMIT {}",
            ItemRecord::COLUMNS,
            BLOCK_MAX as usize * SOURCES_MAX
        );
        let mut channels: Vec<Vec<ItemRecord>> = Vec::new();
        let mut by_key: BTreeMap<String, usize> = BTreeMap::new();
        let mut statement = self.connection.prepare(&sql)?;
        for item in statement.query_map(params_from_iter(&values), ItemRecord::read)? {
            let item = item?;
            // What has neither name nor identifier is a channel by itself.
            let key = &item.item.channel_key;
            let key = if matches!(key.as_str(), "" | "name:") { &item.item.item_key } else { key };
            let place = *by_key.entry(key.clone()).or_insert(channels.len());
            if place == channels.len() {
                channels.push(Vec::new());
            }
            if channels[place].len() < SOURCES_MAX {
                channels[place].push(item);
            }
        }
        Ok(channels)
    }
}

/// A channel that a rule has made.
struct Made {
    channel_id: i64,
    channel_key: String,
    items: BTreeSet<String>,
}

fn apply(
    transaction: &Transaction<'_>,
    record: &RuleRecord,
    matched: Vec<Vec<ItemRecord>>,
    now: WallTime,
) -> Result<Applied, StoreError> {
    let (rule, mut applied) = (&record.rule, Applied::default());
    let mut made = made_by(transaction, record.rule_id)?;
    let mut numbers = Numbers::of(transaction, rule)?;
    let (mut without_number, mut taken) = (0_u32, BTreeSet::new());
    for items in matched {
        let place = made.iter().position(|channel| channel.is_of(&items));
        let (channel_id, known) = match place {
            Some(place) => {
                let Made { channel_id, items, channel_key: _ } = made.swap_remove(place);
                (channel_id, items)
            }
            None => match numbers.next(&mut taken) {
                Some(number) => {
                    applied.made += 1;
                    (make(transaction, record.rule_id, &items[0], number, now)?, BTreeSet::new())
                }
                None => {
                    without_number += 1;
                    continue;
                }
            },
        };
        let more = items
            .iter()
            .filter(|item| !known.contains(&item.item.item_key))
            .take(SOURCES_MAX - known.len().min(SOURCES_MAX));
        for item in more {
            let sql = "INSERT INTO channel_sources (channel_id, item_key, association_type, priority_index)
                VALUES (?1, ?2, 'dynamic_channel_item',
                    (SELECT coalesce(max(priority_index), -1) + 1 FROM channel_sources WHERE channel_id = ?1))";
            transaction.prepare_cached(sql)?.execute(params![channel_id, item.item.item_key])?;
            applied.sources += u64::from(!known.is_empty());
        }
    }
    let sql = "UPDATE channel_rules SET left_out = ?2 WHERE rule_id = ?1 AND left_out <> ?2";
    transaction.prepare_cached(sql)?.execute(params![record.rule_id, without_number])?;
    let name = &rule.name;
    if !taken.is_empty() {
        let numbers = taken.into_iter().map(|number| number.to_string()).collect::<Vec<_>>().join(", ");
        applied
            .complaints
            .push(format!("the rule {name:?} leaves out guide numbers that other channels have: {numbers}"));
    }
    if without_number > 0 {
        applied.complaints.push(format!(
            "the rule {name:?} matches {without_number} channels more than its block of {} numbers from {} has room for",
            rule.block_size, rule.guide_start
        ));
    }
    for channel in made {
        if !is_only_gone(transaction, channel.channel_id, now)? {
            let sql = "DELETE FROM published_channels WHERE channel_id = ?1";
            transaction.prepare_cached(sql)?.execute([channel.channel_id])?;
            applied.removed += 1;
        }
    }
    Ok(applied)
}

/// The channels that a rule has made, with the items that they stand on.
fn made_by(connection: &Connection, rule_id: i64) -> rusqlite::Result<Vec<Made>> {
    let sql = "SELECT channel_id, item_key, channel_key FROM published_channels LEFT JOIN channel_sources USING (channel_id)
        WHERE rule_id = ?1 ORDER BY channel_id";
    let mut made: Vec<Made> = Vec::new();
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement
        .query_map([rule_id], |row| Ok((row.get(0)?, row.get::<_, Option<String>>(1)?, row.get(2)?)))?;
    for row in rows {
        let (channel_id, item, channel_key) = row?;
        if made.last().is_none_or(|last| last.channel_id != channel_id) {
            made.push(Made { channel_id, channel_key, items: BTreeSet::new() });
        }
        made.last_mut().expect("it was put there").items.extend(item);
    }
    Ok(made)
}

impl Made {
    /// True when these are the channel's items: they share its key, or it stands on one of them.
    fn is_of(&self, items: &[ItemRecord]) -> bool {
        items.iter().any(|ItemRecord { item, .. }| {
            (item.channel_key == self.channel_key && item.channel_key != "name:")
                || self.items.contains(&item.item_key)
        })
    }
}

/// True when all items of a channel are gone from their playlists, and not for so long that it is not waited for any more.
fn is_only_gone(connection: &Connection, channel_id: i64, now: WallTime) -> rusqlite::Result<bool> {
    let kept_for = u64::try_from(KEPT_FOR.as_nanos()).expect("thirty days are few nanoseconds");
    let before = signed(now.unix_nanos().saturating_sub(kept_for));
    let sql = "SELECT count(*) > 0 AND max(active) = 0 AND max(last_seen_at) >= ?2
        FROM channel_sources JOIN playlist_items USING (item_key) WHERE channel_id = ?1";
    let is_gone = connection.prepare_cached(sql)?.query_row(params![channel_id, before], |row| row.get(0));
    is_gone.map(|is_gone: Option<bool>| is_gone.unwrap_or(false))
}

fn make(
    transaction: &Transaction<'_>,
    rule_id: i64,
    item: &ItemRecord,
    number: u32,
    now: WallTime,
) -> rusqlite::Result<i64> {
    let sql = "INSERT INTO published_channels
            (channel_class, channel_key, guide_number, guide_name, order_index, created_at, updated_at, rule_id)
        VALUES ('dynamic_generated', ?1, ?2, ?3,
            (SELECT coalesce(max(order_index), -1) + 1 FROM published_channels), ?4, ?4, ?5)";
    let (name, seconds) = (name_of(item), signed(now.unix_seconds()));
    let values = params![item.item.channel_key, number.to_string(), name, seconds, rule_id];
    transaction.prepare_cached(sql)?.execute(values)?;
    Ok(transaction.last_insert_rowid())
}

/// The numbers of a rule's block that its channels do not have.
struct Numbers {
    left: std::ops::Range<u32>,
    /// Those of all channels, and whether they are the rule's own.
    given: BTreeMap<String, bool>,
}

impl Numbers {
    fn of(connection: &Connection, rule: &NewRule) -> rusqlite::Result<Self> {
        let sql = "SELECT guide_number, channel_class = 'dynamic_generated' FROM published_channels";
        let given = connection
            .prepare_cached(sql)?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        Ok(Self { left: rule.guide_start..rule.guide_start + rule.block_size, given })
    }

    /// The lowest that nobody has. Those that somebody has chosen are noted.
    fn next(&mut self, taken: &mut BTreeSet<u32>) -> Option<u32> {
        for number in self.left.by_ref() {
            match self.given.get(&number.to_string()) {
                None => return Some(number),
                Some(true) => {}
                Some(false) => _ = taken.insert(number),
            }
        }
        None
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<RuleRecord> {
    let groups: String = row.get(2)?;
    Ok(RuleRecord {
        rule_id: row.get(0)?,
        rule: NewRule {
            name: row.get(1)?,
            groups: serde_json::from_str(&groups).map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, Box::new(error))
            })?,
            query: row.get(3)?,
            is_regex: row.get(4)?,
            playlist_id: row.get(5)?,
            guide_start: row.get(6)?,
            block_size: row.get(7)?,
            is_enabled: row.get(8)?,
        },
        left_out: unsigned(row, 9)?,
        created_at: unsigned(row, 10)?,
        updated_at: unsigned(row, 11)?,
        channels: unsigned(row, 12)?,
    })
}

/// Runs a statement that writes a rule; gives its id.
fn write(
    connection: &Connection,
    sql: &str,
    rule_id: i64,
    rule: &NewRule,
    now: WallTime,
) -> rusqlite::Result<Option<i64>> {
    let groups = serde_json::to_string(&rule.groups).expect("text can be written as JSON");
    let values = params![
        rule_id,
        rule.name.trim(),
        groups,
        rule.query,
        rule.is_regex,
        rule.playlist_id,
        rule.guide_start,
        rule.block_size,
        rule.is_enabled,
        signed(now.unix_seconds()),
    ];
    connection.prepare_cached(sql)?.query_row(values, |row| row.get(0)).optional()
}

fn check(rule: &NewRule) -> Result<(), ChannelError> {
    checked_name(&rule.name)?;
    let invalid = |field, value: &str, allowed| {
        Err(ChannelError::Invalid { field, value: value.chars().take(64).collect(), allowed })
    };
    let is_block =
        (1..=GUIDE_START_MAX).contains(&rule.guide_start) && (1..=BLOCK_MAX).contains(&rule.block_size);
    if !is_block {
        return invalid(
            "the block",
            &format!("{} from {}", rule.block_size, rule.guide_start),
            BLOCK_ALLOWED,
        );
    }
    if rule.query.len() > TEXT_BYTES_MAX || rule.query.contains(char::is_control) {
        return invalid("q", &rule.query, "up to 512 bytes without control characters");
    }
    if rule.groups.len() > GROUPS_MAX || rule.groups.iter().any(|group| group.len() > TEXT_BYTES_MAX) {
        return invalid("groups", "", "up to 64 names of up to 512 bytes");
    }
    if rule.groups.is_empty() && rule.query.trim().is_empty() {
        return invalid("the rule", "", "groups, q, or both: one that matches everything is no rule");
    }
    if rule.is_regex
        && let Err(error) = Search::regex(&rule.query)
    {
        return Err(ChannelError::Pattern(error.to_string()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixtures::{at, item};
    use crate::store::records::{ChannelChange, NewChannel, NewItem};

    const LIMITS: SearchLimits = SearchLimits { terms_max: 9, disjuncts_max: 9, term_chars_max: 99 };
    const DAY: u64 = 24 * 3600;

    fn rule(groups: &[&str], query: &str, guide_start: u32, block_size: u32) -> NewRule {
        NewRule {
            name: "Rule".to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            query: query.to_owned(),
            is_regex: false,
            playlist_id: None,
            guide_start,
            block_size,
            is_enabled: true,
        }
    }

    fn of(key: &str, name: &str, group: &str) -> NewItem {
        NewItem { group_name: group.to_owned(), ..item(key, name) }
    }

    fn lineup(database: &Database) -> Vec<(String, String, usize)> {
        let shown = |channel: crate::store::ChannelRecord| {
            (channel.guide_number, channel.guide_name, channel.sources.len())
        };
        database.channels().unwrap().into_iter().map(shown).collect()
    }

    fn row(number: &str, name: &str, sources: usize) -> (String, String, usize) {
        (number.to_owned(), name.to_owned(), sources)
    }

    fn counts(applied: &Applied) -> (u64, u64, u64, usize) {
        (applied.made, applied.removed, applied.sources, applied.complaints.len())
    }

    #[test]
    fn channels_of_a_rule_keep_their_numbers_whatever_comes_and_goes() {
        let mut database = Database::in_memory().unwrap();
        let items =
            [of("b", "Bravo", "UK"), of("a", "Alpha", "UK"), of("x", "Xray", "FR"), of("b2", "Bravo", "UK")];
        database.refresh_items(&items, at(1)).unwrap();
        let made = database.create_rule(&rule(&["UK"], "", 500, 10), at(1)).unwrap();
        assert_eq!(database.rules().unwrap(), std::slice::from_ref(&made));
        assert_eq!(counts(&database.apply_rules(LIMITS, at(1)).unwrap()), (2, 0, 0, 0));
        assert_eq!(lineup(&database), [row("500", "Alpha", 1), row("501", "Bravo", 2)]);
        assert_eq!(
            counts(&database.apply_rules(LIMITS, at(2)).unwrap()),
            (0, 0, 0, 0),
            "again it does nothing"
        );

        // One is gone, one is new and would come first, one has another source.
        let more =
            [of("b", "Bravo", "UK"), of("0", "Aaa", "UK"), of("b2", "Bravo", "UK"), of("b3", "Bravo", "UK")];
        database.refresh_items(&more, at(DAY)).unwrap();
        assert_eq!(counts(&database.apply_rules(LIMITS, at(DAY)).unwrap()), (1, 0, 1, 0));
        let expected = [row("500", "Alpha", 1), row("501", "Bravo", 3), row("502", "Aaa", 1)];
        assert_eq!(lineup(&database), expected);

        // It comes back as what it was, with what was changed about it.
        let channels = database.channels().unwrap();
        let renamed = ChannelChange { guide_name: Some("A!".to_owned()), ..ChannelChange::default() };
        database.update_channel(channels[0].channel_id, &renamed, at(DAY)).unwrap();
        database.refresh_items([&items[..], &more[..]].concat(), at(2 * DAY)).unwrap();
        assert_eq!(counts(&database.apply_rules(LIMITS, at(2 * DAY)).unwrap()), (0, 0, 0, 0));
        assert_eq!(lineup(&database)[0], row("500", "A!", 1));

        // Gone for long it goes, and so does at once what is in the playlist and matched no longer.
        let moved =
            [of("b", "Bravo", "FR"), of("0", "Aaa", "UK"), of("b2", "Bravo", "FR"), of("b3", "Bravo", "FR")];
        database.refresh_items(&moved, at(3 * DAY)).unwrap();
        assert_eq!(counts(&database.apply_rules(LIMITS, at(3 * DAY)).unwrap()), (0, 1, 0, 0));
        assert_eq!(counts(&database.apply_rules(LIMITS, at(40 * DAY)).unwrap()), (0, 1, 0, 0));
        assert_eq!(lineup(&database), [row("502", "Aaa", 1)]);
        database.delete_rule(made.rule_id).unwrap();
        assert_eq!((lineup(&database), database.rules().unwrap().len()), (vec![], 0));
    }

    #[test]
    fn a_number_that_another_channel_has_is_left_out_and_so_is_what_has_no_room_and_both_are_said() {
        let mut database = Database::in_memory().unwrap();
        let items = ["a", "b", "c", "d"].map(|key| of(key, key, "UK"));
        database.refresh_items(&items, at(1)).unwrap();
        let own = NewChannel {
            item_key: "a".to_owned(),
            guide_number: Some("501".to_owned()),
            ..NewChannel::default()
        };
        database.create_channel(&own, 100, at(1)).unwrap();
        database.create_rule(&rule(&[], "a|b|c|d", 500, 3), at(1)).unwrap();
        let applied = database.apply_rules(LIMITS, at(1)).unwrap();
        let numbers: Vec<_> = lineup(&database).into_iter().map(|(number, ..)| number).collect();
        assert_eq!((numbers.as_slice(), applied.made), (&["501", "500", "502"].map(str::to_owned)[..], 2));
        let [taken, full] = applied.complaints.as_slice() else { panic!("{applied:?}") };
        assert!(taken.ends_with("other channels have: 501"), "{taken}");
        assert!(full.contains("matches 2 channels more than its block of 3 numbers from 500"), "{full}");
    }

    #[test]
    fn rules_that_cannot_be_are_refused_with_what_could() {
        let mut database = Database::in_memory().unwrap();
        for (new, word) in [
            (rule(&[], " ", 1, 1), "groups, q, or both"),
            (rule(&["a"], "", 0, 1), "guide_start from 1"),
            (rule(&["a"], "", 1, 1001), "count from 1 to 1000"),
            (NewRule { is_regex: true, ..rule(&[], "(", 1, 1) }, "unclosed group"),
            (NewRule { name: " ".to_owned(), ..rule(&["a"], "", 1, 1) }, "guide_name"),
        ] {
            let refused = database.create_rule(&new, at(1)).unwrap_err().to_string();
            assert!(refused.contains(word), "{refused}");
        }
        let not_found = |error| assert_eq!(error, ChannelError::RuleNotFound { rule_id: 9 });
        not_found(database.replace_rule(9, &rule(&["a"], "", 1, 1), at(1)).unwrap_err());
        not_found(database.delete_rule(9).unwrap_err());
        not_found(database.rule(9).unwrap_err());
        let made = database.create_rule(&rule(&["a"], "", 1, 1), at(1)).unwrap();
        let off = NewRule { is_enabled: false, ..rule(&[], "x", 7, 2) };
        assert_eq!(database.replace_rule(made.rule_id, &off, at(2)).unwrap().rule, off);
        assert_eq!(database.apply_rules(LIMITS, at(1)).unwrap(), Applied::default());
    }

    #[test]
    fn channels_of_a_rule_are_put_in_another_order_within_its_block() {
        let mut database = Database::in_memory().unwrap();
        let items = ["a", "b", "c", "own"].map(|key| of(key, key, "UK"));
        database.refresh_items(&items, at(1)).unwrap();
        let own = NewChannel {
            item_key: "own".to_owned(),
            guide_number: Some("501".to_owned()),
            ..NewChannel::default()
        };
        database.create_channel(&own, 100, at(1)).unwrap();
        let made = database.create_rule(&rule(&[], "a|b|c", 500, 4), at(1)).unwrap();
        database.apply_rules(LIMITS, at(1)).unwrap();
        let ids = |database: &Database| -> Vec<i64> {
            let channels = database.rule_channels(made.rule_id).unwrap();
            channels.into_iter().map(|channel| channel.channel_id).collect()
        };
        let before = ids(&database);
        let turned: Vec<i64> = before.iter().rev().copied().collect();
        database.reorder_rule_channels(made.rule_id, &turned, at(7)).unwrap();
        assert_eq!(ids(&database), turned);
        let expected = [row("501", "own", 1), row("500", "c", 1), row("502", "b", 1), row("503", "a", 1)];
        assert_eq!(lineup(&database), expected);
        assert_eq!(database.rule_channels(made.rule_id).unwrap()[0].updated_at, 7);
        assert_eq!(counts(&database.apply_rules(LIMITS, at(8)).unwrap()).0, 0, "they keep what they have");

        for wrong in [&turned[1..], &[turned[0], turned[0], turned[1]]] {
            let refused = database.reorder_rule_channels(made.rule_id, wrong, at(9)).unwrap_err();
            assert!(refused.to_string().contains("each once"), "{refused}");
        }
        database.replace_rule(made.rule_id, &rule(&[], "a|b|c", 500, 2), at(9)).unwrap();
        let refused = database.reorder_rule_channels(made.rule_id, &turned, at(9)).unwrap_err();
        assert!(refused.to_string().contains("a free number for each"), "{refused}");
        assert_eq!(lineup(&database), expected, "nothing has changed");
    }

    #[test]
    fn a_rule_says_how_many_channels_it_has_and_how_many_had_no_room() {
        let mut database = Database::in_memory().unwrap();
        let items = ["a", "b", "c"].map(|key| of(key, key, "UK"));
        database.refresh_items(&items, at(1)).unwrap();
        let made = database.create_rule(&rule(&["UK"], "", 500, 2), at(3)).unwrap();
        assert_eq!((made.channels, made.left_out, made.created_at, made.updated_at), (0, 0, 3, 3));
        database.apply_rules(LIMITS, at(4)).unwrap();
        let applied = database.rule(made.rule_id).unwrap();
        assert_eq!((applied.channels, applied.left_out), (2, 1));
        let changed = database.replace_rule(made.rule_id, &rule(&["UK"], "", 500, 9), at(5)).unwrap();
        assert_eq!((changed.created_at, changed.updated_at), (3, 5));
        database.apply_rules(LIMITS, at(6)).unwrap();
        assert_eq!(database.rule(made.rule_id).unwrap().left_out, 0);
    }
}
