//! Making the catalog what a playlist says, in steps between which the store does other work.
//!
//! The entries come in the order of their keys, and so do the items that are known: each step merges a piece of both. Whatever is as
//! it was is not written, and no step takes long, however long the list is. That the whole list can be read, and is to be believed,
//! is found out before the first step; an end in the middle therefore leaves every item that is in both lists, each wholly as one of them
//! says. Every playlist is read when the program starts, and nothing is known of what the server has said before: that makes it right.

use std::collections::{BTreeSet, VecDeque};
use std::io;

use rusqlite::{Connection, OptionalExtension, Row, Statement, Transaction, params};

use super::Database;
use super::items::{KEPT_FOR, Reading, RefreshOutcome, Refreshed, folded};
use super::moves;
use super::order::{self, Loading};
use super::packs;
use super::playlists::{PRIMARY_PLAYLIST, note_items};
use crate::base::WallTime;
use crate::store::entry::{Entry, Field};
use crate::store::error::StoreError;
use crate::store::records::{NewItem, signed};

/// Entries that are taken in at once, and items that are looked at.
pub const STEP_ITEMS_MAX: usize = 2000;
/// The same for SQL.
const STEP_ROWS_MAX: u32 = 2000;
const _: () = assert!(STEP_ROWS_MAX as usize == STEP_ITEMS_MAX);
/// So many packs of what is searched are made at once.
const STEP_PACKS_MAX: usize = 64;
/// Entries of one key that are told apart by their addresses; of more the last one counts.
const TWINS_MAX: usize = 100;
/// A playlist that held so many items does not shrink to less than a quarter of them from one reading to the next.
pub(super) const MANY_ITEMS: u64 = 20;
/// The setting that counts readings.
const READING: &str = "catalog.reading";

/// An item that is new, and one that is known.
const INSERT: &str = "
INSERT INTO playlist_items (rowid, item_key, channel_key, name, group_name, stream_url, tvg_id, tvg_name, tvg_logo, attrs_json,
    first_seen_at, last_seen_at, active, search_text, headers_json, seen_in, appeared_in, playlist_id, content)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11, ?16, ?12, ?13, ?14, ?15, ?17, ?18)";
const UPDATE: &str = "
UPDATE playlist_items SET item_key = ?2, channel_key = ?3, name = ?4, group_name = ?5, stream_url = ?6, tvg_id = ?7, tvg_name = ?8,
    tvg_logo = ?9, attrs_json = ?10, last_seen_at = ?11, active = 1, search_text = ?12, headers_json = ?13, seen_in = ?14,
    appeared_in = iif(?16, ?15, appeared_in), playlist_id = ?17, content = ?18 WHERE rowid = ?1";

/// A reading that is under way.
#[derive(Clone, Debug)]
pub struct Refresh {
    playlist_id: i64,
    at: WallTime,
    /// Its number.
    number: i64,
    /// The playlist has never been read before: nothing can have come in the place of anything.
    is_first: bool,
    /// Its items are most of what there is, and are put in order when all are there.
    loading: Option<Loading>,
    /// How many have to be there when that is asked again.
    asked_from: u64,
    /// When it was read before.
    read_before: i64,
    /// The last key that was looked at, and the first that is not the playlist's any more.
    after: String,
    end: String,
    done: Refreshed,
}

/// What a step has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// There is more to do of what was given.
    Unfinished,
    /// All of it is done.
    Done,
}

/// An item that is known.
struct Known {
    row: i64,
    key: String,
    is_active: bool,
    content: i64,
}

/// The key of a playlist's item. Those of the primary one are what they always were.
#[must_use]
pub fn key_in(playlist_id: i64, item_key: &str) -> String {
    if playlist_id == PRIMARY_PLAYLIST { item_key.to_owned() } else { format!("~{playlist_id}/{item_key}") }
}

/// Behind which key a playlist's own begin, and in front of which they end.
fn bounds(playlist_id: i64) -> (String, String) {
    if playlist_id == PRIMARY_PLAYLIST {
        (String::new(), "~".to_owned())
    } else {
        (format!("~{playlist_id}/"), format!("~{playlist_id}0"))
    }
}

/// Entries of one key, in their order: those of different addresses are different items, and have keys of their own from the second
/// on. Of those with one address the last one counts.
#[must_use]
pub fn told_apart(entries: impl IntoIterator<Item = Entry>) -> Vec<Entry> {
    let mut items: Vec<Entry> = Vec::new();
    for entry in entries {
        let place =
            items.iter().position(|item| item.field(Field::StreamUrl) == entry.field(Field::StreamUrl));
        match place.or_else(|| (items.len() == TWINS_MAX).then_some(TWINS_MAX - 1)) {
            Some(place) => items[place] = entry,
            None => items.push(entry),
        }
    }
    for (item, number) in items.iter_mut().zip(1..).skip(1) {
        item.item_key = format!("{}:{number}", item.item_key);
    }
    items
}

impl Database {
    /// Whether a list with so many items is to be believed.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn check_size(&self, seen: u64, reading: Reading) -> Result<Option<RefreshOutcome>, StoreError> {
        if seen == 0 {
            return Ok(Some(RefreshOutcome::EmptyIgnored));
        }
        let before = self.active_items(reading.playlist_id)?;
        let is_smaller = !reading.accepts_less && before >= MANY_ITEMS && seen < before / 4;
        Ok(is_smaller.then_some(RefreshOutcome::MuchSmallerIgnored { seen, before }))
    }

    /// A reading begins whose entries were read and are to be believed.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn begin_refresh(&mut self, reading: Reading) -> Result<Refresh, StoreError> {
        let Reading { playlist_id, at, accepts_less: _ } = reading;
        let transaction = self.writing()?;
        // What a reading that was cut off has brought is still as new as what this one brings.
        let sql = "SELECT CAST(value AS INTEGER) FROM settings WHERE key = ?1";
        let cut_off: Option<i64> = transaction
            .prepare_cached(sql)?
            .query_row([unfinished(playlist_id)], |row| row.get(0))
            .optional()?;
        let number = cut_off.map_or_else(|| next_reading(&transaction), Ok)?;
        let sql = "INSERT INTO settings (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO NOTHING";
        transaction.prepare_cached(sql)?.execute([unfinished(playlist_id), number.to_string()])?;
        let sql = "SELECT read_at FROM playlists WHERE playlist_id = ?1";
        let read_before: Option<i64> =
            transaction.prepare_cached(sql)?.query_row([playlist_id], |row| row.get(0)).optional()?;
        let read_before = read_before.unwrap_or(0);
        let is_known = "SELECT 1 FROM playlist_items WHERE playlist_id = ?1 LIMIT 1";
        let is_first = read_before == 0 && !transaction.prepare_cached(is_known)?.exists([playlist_id])?;
        transaction.commit()?;
        let (after, end) = bounds(playlist_id);
        Ok(Refresh {
            playlist_id,
            at,
            number,
            is_first,
            loading: None,
            asked_from: order::MANY_FROM,
            read_before,
            after,
            end,
            done: Refreshed::default(),
        })
    }

    /// Takes in entries, which come in the order of their keys and behind all that came before. What is left of them is to be given
    /// again. `are_last` says that none follow: known items behind them are gone.
    ///
    /// # Errors
    /// When SQLite refuses; of this step nothing is done then.
    pub fn merge(
        &mut self,
        refresh: &mut Refresh,
        entries: &mut VecDeque<Entry>,
        are_last: bool,
    ) -> Result<Progress, StoreError> {
        let last = if are_last { None } else { entries.back().map(|item| item.item_key.clone()) };
        if !are_last && last.is_none() {
            return Ok(Progress::Done);
        }
        self.ask_whether_most(refresh)?;
        let transaction = self.writing()?;
        let known = known(&transaction, refresh, last.as_deref())?;
        // Up to where both are known in this step.
        let is_cut = known.len() == STEP_ITEMS_MAX;
        let upto = if is_cut { known.last().map(|known| known.key.clone()) } else { last };
        let mut known = known.into_iter().peekable();
        let mut insert = transaction.prepare_cached(INSERT)?;
        let mut done = refresh.done.clone();
        let mut changed = Vec::new();
        // The last new item, when it does not fill its pack.
        let mut filling = None;
        let is_within = |item: &Entry| upto.as_ref().is_none_or(|upto| item.item_key <= *upto);
        while entries.front().is_some_and(is_within) {
            let Some(item) = entries.pop_front() else { break };
            while let Some(gone) = known.next_if(|known| known.key < item.item_key) {
                changed.extend(leave_out(&transaction, refresh, &gone, &mut done)?);
            }
            let before = known.next_if(|known| known.key == item.item_key);
            let row = take_in(&transaction, &mut insert, refresh, &item, before.as_ref(), &mut done)?;
            if before.is_none() {
                filling = row.filter(|row| !are_last && !packs::is_last_of_pack(*row)).map(packs::of_row);
            }
            changed.extend(row);
        }
        for gone in known {
            changed.extend(leave_out(&transaction, refresh, &gone, &mut done)?);
        }
        // Now, while the rows are at hand.
        for pack in changed.into_iter().map(packs::of_row).collect::<BTreeSet<_>>() {
            if filling == Some(pack) {
                // The next step fills it up; if none does, the end makes it.
                packs::empty(&transaction, pack)?;
            } else {
                packs::store(&transaction, pack)?;
            }
        }
        drop(insert);
        transaction.commit()?;
        refresh.done = done;
        match upto {
            Some(upto) => refresh.after = upto,
            None => refresh.after = refresh.end.clone(),
        }
        let is_done = entries.is_empty() && !is_cut;
        Ok(if is_done { Progress::Done } else { Progress::Unfinished })
    }

    /// Everything is taken in: sources whose item is gone follow it, and some of what was gone for long is forgotten.
    ///
    /// # Errors
    /// When SQLite refuses; of this step nothing is done then.
    pub fn finish_refresh(&mut self, refresh: &mut Refresh) -> Result<Progress, StoreError> {
        // That takes the longest of all, so others have their turn before and behind it.
        let has_loaded = refresh.loading.take().is_some();
        if !self.loadings.is_any() {
            let transaction = self.writing()?;
            order::make(&transaction)?;
            transaction.commit()?;
        }
        if has_loaded {
            return Ok(Progress::Unfinished);
        }
        let transaction = self.writing()?;
        let moves = moves::follow(&transaction, refresh.number, refresh.at)?;
        note_items(&transaction, refresh.playlist_id, refresh.done.seen)?;
        let forgotten = forget_old(&transaction, refresh.at)?;
        let sql = "DELETE FROM settings WHERE key = ?1";
        transaction.prepare_cached(sql)?.execute([unfinished(refresh.playlist_id)])?;
        let may_lack_packs = packs::store_empty(&transaction, STEP_PACKS_MAX)?;
        transaction.commit()?;
        refresh.done.moves.extend(moves);
        refresh.done.removed += forgotten as u64;
        let is_done = forgotten < STEP_ITEMS_MAX && !may_lack_packs;
        Ok(if is_done { Progress::Done } else { Progress::Unfinished })
    }

    /// Takes the order of items away for a first reading that brings most of them.
    fn ask_whether_most(&mut self, refresh: &mut Refresh) -> Result<(), StoreError> {
        if !refresh.is_first || refresh.loading.is_some() || refresh.done.added < refresh.asked_from {
            return Ok(());
        }
        if order::are_most(&self.connection, refresh.done.added)? {
            let transaction = self.writing()?;
            order::take_away(&transaction)?;
            transaction.commit()?;
            refresh.loading = Some(self.loadings.begin());
        }
        refresh.asked_from = refresh.done.added * 2;
        Ok(())
    }

    /// All steps at once, with entries that are at hand, in any order.
    ///
    /// # Errors
    /// When SQLite refuses or an entry cannot be read.
    pub fn refresh(
        &mut self,
        entries: impl IntoIterator<Item = io::Result<NewItem>>,
        how: impl Into<Reading>,
    ) -> Result<RefreshOutcome, StoreError> {
        let reading = how.into();
        let mut items = Vec::new();
        for entry in entries {
            let mut item = entry.map_err(|error| StoreError::Unreadable(error.to_string()))?;
            item.item_key = key_in(reading.playlist_id, &item.item_key);
            items.push(item);
        }
        items.sort_by(|one, other| one.item_key.cmp(&other.item_key));
        let mut items: VecDeque<_> = items
            .chunk_by(|one, other| one.item_key == other.item_key)
            .flat_map(|twins| told_apart(twins.iter().map(Entry::new)))
            .collect();
        items.make_contiguous().sort_by(|one, other| one.item_key.cmp(&other.item_key));
        if let Some(ignored) = self.check_size(items.len() as u64, reading)? {
            return Ok(ignored);
        }
        let mut refresh = self.begin_refresh(reading)?;
        while self.merge(&mut refresh, &mut items, true)? == Progress::Unfinished {}
        while self.finish_refresh(&mut refresh)? == Progress::Unfinished {}
        Ok(refresh.into_outcome())
    }
}

impl Refresh {
    /// What has been done.
    #[must_use]
    pub fn into_outcome(self) -> RefreshOutcome {
        RefreshOutcome::Refreshed(self.done)
    }
}

/// The setting that holds the number of a playlist's reading that has begun, until it is finished.
fn unfinished(playlist_id: i64) -> String {
    format!("catalog.unfinished.{playlist_id}")
}

/// The number of the reading that begins.
fn next_reading(connection: &Connection) -> rusqlite::Result<i64> {
    let sql = "INSERT INTO settings (key, value) VALUES (?1, '1')
        ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + 1
        RETURNING CAST(value AS INTEGER)";
    connection.prepare_cached(sql)?.query_row([READING], |row| row.get(0))
}

/// Known items behind those that were looked at, up to this key.
fn known(connection: &Connection, refresh: &Refresh, upto: Option<&str>) -> rusqlite::Result<Vec<Known>> {
    let sql = "SELECT rowid, item_key, active, content FROM playlist_items
        WHERE item_key > ?1 AND item_key < ?2 AND (?3 IS NULL OR item_key <= ?3) ORDER BY item_key LIMIT ?4";
    let known = |row: &Row<'_>| {
        Ok(Known { row: row.get(0)?, key: row.get(1)?, is_active: row.get(2)?, content: row.get(3)? })
    };
    let end = upto.unwrap_or(&refresh.end);
    // The upper bound is a range of the index only when it is one value.
    let values = params![refresh.after, refresh.end, end, STEP_ROWS_MAX];
    connection.prepare_cached(sql)?.query_map(values, known)?.collect()
}

/// An item is not in the playlist any more. Gives its row if that has changed.
fn leave_out(
    transaction: &Transaction<'_>,
    refresh: &Refresh,
    gone: &Known,
    done: &mut Refreshed,
) -> rusqlite::Result<Option<i64>> {
    if gone.is_active {
        let sql = "UPDATE playlist_items SET active = 0, seen_in = ?2, last_seen_at = max(last_seen_at, ?3) WHERE rowid = ?1";
        let values = params![gone.row, refresh.number - 1, refresh.read_before];
        transaction.prepare_cached(sql)?.execute(values)?;
        done.deactivated += 1;
        return Ok(Some(gone.row));
    }
    Ok(None)
}

/// Adds an item, or brings it up to date. What is as it was is not written. Gives its row if that has changed.
fn take_in(
    transaction: &Transaction<'_>,
    insert: &mut Statement<'_>,
    refresh: &Refresh,
    item: &Entry,
    before: Option<&Known>,
    done: &mut Refreshed,
) -> rusqlite::Result<Option<i64>> {
    done.seen += 1;
    let content = item.content();
    // What is there from the beginning has come in the place of nothing.
    let appeared_in = if refresh.is_first { 0 } else { refresh.number };
    let (row, appears) = match before {
        None => {
            done.added += 1;
            (None, true)
        }
        Some(known) if !known.is_active => {
            done.reactivated += 1;
            (Some(known.row), true)
        }
        Some(known) if known.content == content => return Ok(None),
        Some(known) => (Some(known.row), false),
    };
    // A line break cannot be typed into a search, so no text is found across the two.
    let search_text =
        [folded(item.field(Field::Name)).as_str(), &folded(item.field(Field::TvgId))].join("\n");
    let values = params![
        row,
        item.item_key,
        item.field(Field::ChannelKey),
        item.field(Field::Name),
        item.field(Field::GroupName),
        item.field(Field::StreamUrl),
        item.field(Field::TvgId),
        item.field(Field::TvgName),
        item.field(Field::TvgLogo),
        item.field(Field::Attributes),
        signed(refresh.at.unix_nanos()),
        search_text,
        item.field(Field::Headers),
        refresh.number,
        appeared_in,
        appears,
        refresh.playlist_id,
        content,
    ];
    let Some(row) = row else {
        insert.execute(values)?;
        return Ok(Some(transaction.last_insert_rowid()));
    };
    transaction.prepare_cached(UPDATE)?.execute(values)?;
    Ok(Some(row))
}

/// Removes some of the items that have been gone for long and on which no channel stands.
fn forget_old(transaction: &Transaction<'_>, now: WallTime) -> rusqlite::Result<usize> {
    let kept_for = u64::try_from(KEPT_FOR.as_nanos()).expect("thirty days are few nanoseconds");
    let before = signed(now.unix_nanos().saturating_sub(kept_for));
    let sql = "DELETE FROM playlist_items WHERE rowid IN (SELECT rowid FROM playlist_items
        WHERE active = 0 AND last_seen_at < ?1 AND NOT EXISTS
            (SELECT 1 FROM channel_sources WHERE channel_sources.item_key = playlist_items.item_key) LIMIT ?2)";
    transaction.prepare_cached(sql)?.execute(params![before, STEP_ROWS_MAX])
}
