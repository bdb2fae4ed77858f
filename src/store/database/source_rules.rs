//! Rules by which channels find their sources in the playlist: what matches now is a source, and what does no more is none.
//!
//! A rule is kept among the settings, under the channel's id: it came with the requests of hdhriptv, and so does not need a column.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::Database;
use super::filter::ItemFilter;
use super::packs::{self, Selection};
use super::search::{Search, SearchLimits};
use crate::store::error::{ChannelError, StoreError};
use crate::store::records::SourceRule;

const PREFIX: &str = "source_rule.";
/// Sources that a rule finds for a channel, at most.
const FOUND_MAX: u32 = 512;
/// Characters of what is searched, and of a group's name.
const TEXT_CHARS_MAX: usize = 256;
const GROUPS_MAX: usize = 256;
const QUERY_ALLOWED: &str = "1 to 256 characters that say what to look for";
const GROUPS_ALLOWED: &str = "256 names of 256 characters";

impl Database {
    /// Gives a channel a rule, or takes it away. Its sources follow with the next [`apply_source_rules`](Self::apply_source_rules).
    ///
    /// # Errors
    /// When there is no such channel, or the rule cannot be meant.
    pub fn set_source_rule(&mut self, channel_id: i64, rule: &SourceRule) -> Result<(), ChannelError> {
        let known = "SELECT 1 FROM published_channels WHERE channel_id = ?1";
        if !self.connection.prepare_cached(known)?.exists([channel_id])? {
            return Err(ChannelError::ChannelNotFound { channel_id });
        }
        check(rule)?;
        put(&self.connection, channel_id, rule)?;
        Ok(())
    }

    /// Says what is wrong with a rule before anything is changed.
    ///
    /// # Errors
    /// When it cannot be meant.
    pub fn check_source_rule(&self, rule: &SourceRule) -> Result<(), ChannelError> {
        check(rule)
    }

    /// The rules of all channels that have one, by the channels' ids. One that is off is kept as it was.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn source_rules(&self) -> Result<BTreeMap<i64, SourceRule>, StoreError> {
        Ok(rules(&self.connection)?)
    }

    /// Gives each channel that has a rule the items of the playlist that match it, behind the sources it has, and takes those from it
    /// that a rule has found before and that match no more. True when something has changed.
    ///
    /// # Errors
    /// When SQLite refuses; nothing is changed then.
    pub fn apply_source_rules(&mut self, limits: SearchLimits) -> Result<bool, StoreError> {
        let transaction = self.writing()?;
        let mut changed = 0;
        for (channel_id, rule) in rules(&transaction)? {
            let known = "SELECT 1 FROM published_channels WHERE channel_id = ?1";
            if !transaction.prepare_cached(known)?.exists([channel_id])? {
                transaction.execute("DELETE FROM settings WHERE key = ?1", [key(channel_id)])?;
                continue;
            }
            if rule.enabled {
                changed += follow(&transaction, channel_id, &rule, limits)?;
            }
        }
        transaction.commit()?;
        Ok(changed > 0)
    }
}

fn key(channel_id: i64) -> String {
    format!("{PREFIX}{channel_id}")
}

/// Keeps a rule, or forgets one that says nothing.
pub(super) fn put(connection: &Connection, channel_id: i64, rule: &SourceRule) -> rusqlite::Result<()> {
    if *rule == SourceRule::default() {
        return connection.execute("DELETE FROM settings WHERE key = ?1", [key(channel_id)]).map(drop);
    }
    let sql = "INSERT INTO settings (key, value) VALUES (?1, ?2)
        ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    let text = serde_json::to_string(rule).expect("text can be written as JSON");
    connection.prepare_cached(sql)?.execute([key(channel_id), text]).map(drop)
}

/// Refuses what would find everything, or nothing.
pub(super) fn check(rule: &SourceRule) -> Result<(), ChannelError> {
    let shown = |text: &str| text.chars().take(64).collect();
    let query = rule.search_query.trim();
    let fits = query.chars().count() <= TEXT_CHARS_MAX && (!rule.enabled || !query.is_empty());
    if !fits {
        let field = "dynamic_rule.search_query";
        return Err(ChannelError::Invalid { field, value: shown(query), allowed: QUERY_ALLOWED });
    }
    let long = rule.group_names.iter().find(|name| name.chars().count() > TEXT_CHARS_MAX);
    if let Some(name) = long.or_else(|| rule.group_names.get(GROUPS_MAX)) {
        let field = "dynamic_rule.group_names";
        return Err(ChannelError::Invalid { field, value: shown(name), allowed: GROUPS_ALLOWED });
    }
    if rule.search_regex && Search::regex(query).is_err() {
        let field = "dynamic_rule.search_query";
        return Err(ChannelError::Invalid { field, value: shown(query), allowed: "a regular expression" });
    }
    Ok(())
}

fn rules(connection: &Connection) -> rusqlite::Result<BTreeMap<i64, SourceRule>> {
    let sql = "SELECT substr(key, length(?1) + 1), value FROM settings WHERE substr(key, 1, length(?1)) = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([PREFIX])?;
    let mut rules = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (id, text): (String, String) = (row.get(0)?, row.get(1)?);
        if let (Ok(id), Ok(rule)) = (id.parse(), serde_json::from_str(&text)) {
            rules.insert(id, rule);
        }
    }
    Ok(rules)
}

/// How many sources have come and gone.
fn follow(
    connection: &Connection,
    channel_id: i64,
    rule: &SourceRule,
    limits: SearchLimits,
) -> rusqlite::Result<usize> {
    let search = if rule.search_regex {
        // It was looked at when it was given; what cannot be read any more changes nothing.
        let Ok(search) = Search::regex(rule.search_query.trim()) else { return Ok(0) };
        search
    } else {
        Search::terms(&rule.search_query, limits)
    };
    let filter = ItemFilter {
        groups: rule.group_names.clone(),
        search: Some(search),
        active: Some(true),
        ..ItemFilter::default()
    };
    let Selection { sql: place, mut values } = packs::select(connection, &filter)?;
    let sql = format!("SELECT item_key {place} ORDER BY name COLLATE NOCASE, item_key LIMIT ?");
    values.push(Value::from(FOUND_MAX));
    let matching = connection
        .prepare(&sql)?
        .query_map(params_from_iter(&values), |row| row.get(0))?
        .collect::<Result<Vec<String>, _>>()?;
    let is_matching: BTreeSet<&str> = matching.iter().map(String::as_str).collect();
    let sql = "SELECT source_id, item_key FROM channel_sources
        WHERE channel_id = ?1 AND association_type = 'dynamic_query'";
    let found = connection
        .prepare_cached(sql)?
        .query_map([channel_id], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<Vec<(i64, String)>, _>>()?;
    let mut changed = 0;
    for (source_id, item_key) in found {
        if !is_matching.contains(item_key.as_str()) {
            let sql = "DELETE FROM channel_sources WHERE source_id = ?1";
            changed += connection.prepare_cached(sql)?.execute([source_id])?;
        }
    }
    let sql = "INSERT INTO channel_sources (channel_id, item_key, association_type, priority_index)
        VALUES (?1, ?2, 'dynamic_query',
            (SELECT coalesce(max(priority_index), -1) + 1 FROM channel_sources WHERE channel_id = ?1))
        ON CONFLICT (channel_id, item_key) DO NOTHING";
    for item_key in matching {
        changed += connection.prepare_cached(sql)?.execute(params![channel_id, item_key])?;
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixtures::{at, item, with_items};
    use crate::store::records::NewChannel;

    const LIMITS: SearchLimits = SearchLimits { terms_max: 9, disjuncts_max: 9, term_chars_max: 99 };

    fn rule(query: &str) -> SourceRule {
        SourceRule { enabled: true, search_query: query.to_owned(), ..SourceRule::default() }
    }

    fn keys(database: &Database) -> Vec<(String, String)> {
        let sources = database.channels().unwrap().remove(0).sources;
        sources.into_iter().map(|source| (source.item_key, source.association_type)).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, kind)| ((*key).to_owned(), (*kind).to_owned())).collect()
    }

    #[test]
    fn a_channels_sources_follow_its_rule_and_those_that_somebody_chose_stay() {
        let items = [("a", "News"), ("b", "News HD"), ("c", "Sport")];
        let mut database = with_items(&items);
        let new = NewChannel { item_key: "c".to_owned(), ..NewChannel::default() };
        let channel = database.create_channel(&new, 100, at(1)).unwrap().channel_id;
        database.set_source_rule(channel, &rule("news")).unwrap();
        assert!(database.apply_source_rules(LIMITS).unwrap());
        let (manual, dynamic) = ("manual", "dynamic_query");
        assert_eq!(keys(&database), pairs(&[("c", manual), ("a", dynamic), ("b", dynamic)]));
        assert!(!database.apply_source_rules(LIMITS).unwrap(), "a second time changes nothing");
        // The playlist has another one, and one less.
        let now = [item("b", "News HD"), item("c", "Sport"), item("d", "Late news")];
        database.refresh_items(&now, at(2)).unwrap();
        assert!(database.apply_source_rules(LIMITS).unwrap());
        assert_eq!(keys(&database), pairs(&[("c", manual), ("b", dynamic), ("d", dynamic)]));
        database.set_source_rule(channel, &rule("news -late")).unwrap();
        database.apply_source_rules(LIMITS).unwrap();
        assert_eq!(keys(&database), pairs(&[("c", manual), ("b", dynamic)]));
        let regex = SourceRule { search_regex: true, ..rule("^late") };
        database.set_source_rule(channel, &regex).unwrap();
        database.apply_source_rules(LIMITS).unwrap();
        assert_eq!(keys(&database), pairs(&[("c", manual), ("d", dynamic)]));
        let elsewhere = SourceRule { group_names: vec!["Nobody".to_owned()], ..rule("news") };
        database.set_source_rule(channel, &elsewhere).unwrap();
        database.apply_source_rules(LIMITS).unwrap();
        assert_eq!(keys(&database), pairs(&[("c", manual)]));
        // One that is off changes nothing, and is kept as it was.
        let off = SourceRule { enabled: false, ..rule("news") };
        database.set_source_rule(channel, &off).unwrap();
        assert!(!database.apply_source_rules(LIMITS).unwrap());
        assert_eq!(database.source_rules().unwrap()[&channel], off);
        database.delete_channel(channel).unwrap();
        database.apply_source_rules(LIMITS).unwrap();
        assert!(database.source_rules().unwrap().is_empty(), "a rule goes with its channel");
    }

    #[test]
    fn a_rule_that_cannot_be_meant_is_refused() {
        let mut database = with_items(&[("a", "News")]);
        let new = NewChannel { item_key: "a".to_owned(), ..NewChannel::default() };
        let channel = database.create_channel(&new, 100, at(1)).unwrap().channel_id;
        let mut refused = |id: i64, rule: &SourceRule| database.set_source_rule(id, rule).unwrap_err();
        assert_eq!(refused(99, &rule("x")), ChannelError::ChannelNotFound { channel_id: 99 });
        let many = SourceRule { group_names: vec!["g".to_owned(); 257], ..rule("x") };
        let regex = SourceRule { search_regex: true, ..rule("(") };
        for wrong in [rule(" "), rule(&"x".repeat(257)), many, regex] {
            assert!(matches!(refused(channel, &wrong), ChannelError::Invalid { .. }), "{wrong:?}");
        }
    }
}
