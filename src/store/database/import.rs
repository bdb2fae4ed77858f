//! What is in a database of hdhriptv comes into ours: whole, with its numbers and keys, or not at all.

use std::fmt;

use rusqlite::{Transaction, params};

use super::Database;
use super::items::folded;
use super::source_rules;
use crate::store::error::ImportError;
use crate::store::hdhriptv::{ForeignChannel, ForeignItem, ForeignSource, Hdhriptv};
use crate::store::records::SourceRule;

/// The setting that says that an import was made, and of what.
const IMPORTED: &str = "import.hdhriptv";
/// Settings that mean the same here begin with these.
const SETTINGS: [&str; 4] = ["identity.", "playlist.", "jobs.", "analyzer."];
const CLASSES: [&str; 2] = ["traditional", "dynamic_generated"];
const ASSOCIATIONS: [&str; 4] = ["manual", "channel_key", "dynamic_query", "dynamic_channel_item"];
const PLACES_ALLOWED: &str = "0 to 4294967295";

/// What an import came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportOutcome {
    /// All of it is here.
    Done(Imported),
    /// It had been made before, and nothing was changed. Holds what was imported then.
    DoneBefore(String),
}

/// What was imported.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Imported {
    pub channels: usize,
    pub sources: usize,
    pub items: usize,
    pub settings: usize,
    /// What was left behind, as sentences.
    pub remarks: Vec<String>,
}

impl fmt::Display for Imported {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channels, sources, items, settings, remarks: _ } = self;
        write!(
            formatter,
            "{channels} channels, {sources} sources, {items} playlist items and {settings} settings"
        )
    }
}

impl Database {
    /// Takes everything that counts here from a database of hdhriptv: channels with their numbers and order, sources with
    /// theirs, their health and what is known of their streams, playlist items with their keys, who the device is, settings.
    /// A second time changes nothing.
    ///
    /// # Errors
    /// When there are channels here already, or what is there cannot be read or cannot be meant; nothing is changed then.
    pub fn import_hdhriptv(&mut self, from: &Hdhriptv) -> Result<ImportOutcome, ImportError> {
        if let Some(before) = self.setting(IMPORTED)? {
            return Ok(ImportOutcome::DoneBefore(before));
        }
        let transaction = self.writing()?;
        let there = transaction
            .query_row("SELECT count(*) FROM published_channels", [], |row| row.get::<_, u32>(0))?;
        if there > 0 {
            return Err(ImportError::NotEmpty { channels: u64::from(there) });
        }
        let mut done = Imported::default();
        from.items(|item| {
            done.items += usize::from(take_item(&transaction, item)?);
            Ok(())
        })?;
        for channel in from.channels()? {
            take_channel(&transaction, from, channel)?;
            done.channels += 1;
        }
        let mut lost = 0;
        for source in from.sources()? {
            if take_source(&transaction, from, source)? { done.sources += 1 } else { lost += 1 }
        }
        let mut unknown = Vec::new();
        for (key, value) in from.settings()? {
            if !SETTINGS.iter().any(|known| key.starts_with(known)) {
                unknown.push(key);
            } else if !value.trim().is_empty() {
                set_setting(&transaction, &key, &value)?;
                done.settings += 1;
            }
        }
        done.remarks = remarks(from, lost, unknown)?;
        set_setting(&transaction, IMPORTED, &done.to_string())?;
        transaction.commit()?;
        Ok(ImportOutcome::Done(done))
    }
}

fn set_setting(transaction: &Transaction<'_>, key: &str, value: &str) -> rusqlite::Result<()> {
    let sql = "INSERT INTO settings (key, value) VALUES (?1, ?2)
        ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    transaction.prepare_cached(sql)?.execute([key, value]).map(drop)
}

/// True when it is new here.
fn take_item(transaction: &Transaction<'_>, item: ForeignItem) -> Result<bool, ImportError> {
    let channel_key = match item.channel_key.trim() {
        "" => made_key(&item),
        key => key.to_owned(),
    };
    // An item without attributes has `null`.
    let is_object = item.attrs_json.trim_start().starts_with('{')
        && serde_json::from_str::<serde::de::IgnoredAny>(&item.attrs_json).is_ok();
    let sql =
        "INSERT INTO playlist_items (item_key, channel_key, name, group_name, stream_url, tvg_id, tvg_name, tvg_logo,
            attrs_json, first_seen_at, last_seen_at, active, search_text)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT (item_key) DO NOTHING";
    let added = transaction.prepare_cached(sql)?.execute(params![
        item.item_key,
        channel_key,
        item.name,
        item.group_name,
        item.stream_url,
        item.tvg_id,
        item.tvg_name,
        item.tvg_logo,
        if is_object { item.attrs_json.as_str() } else { "{}" },
        item.first_seen_at,
        item.last_seen_at,
        item.active,
        format!("{}\n{}", folded(&item.name), folded(&item.tvg_id)),
    ])?;
    Ok(added > 0)
}

/// The channel key of an item that is older than channel keys are.
fn made_key(item: &ForeignItem) -> String {
    match item.tvg_id.trim() {
        "" => format!("name:{}", folded(&item.name)),
        tvg_id => format!("tvg:{}", tvg_id.to_lowercase()),
    }
}

fn take_channel(
    transaction: &Transaction<'_>,
    from: &Hdhriptv,
    channel: ForeignChannel,
) -> Result<(), ImportError> {
    let row = || format!("channel {}", channel.channel_id);
    check_place(from, row, "order_index", channel.order_index)?;
    if channel.guide_number.is_empty() {
        let path = from.path().to_owned();
        let allowed = "a number that no other channel has";
        return Err(ImportError::BadValue {
            path,
            row: row(),
            column: "guide_number",
            value: "\"\"".to_owned(),
            allowed,
        });
    }
    let class = one_of(&CLASSES, &channel.channel_class);
    let sql = "INSERT INTO published_channels (channel_id, channel_class, channel_key, guide_number, guide_name, order_index,
            enabled, created_at, updated_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, max(?8, 0), max(?9, 0))";
    transaction.prepare_cached(sql)?.execute(params![
        channel.channel_id,
        class,
        channel.channel_key,
        channel.guide_number,
        channel.guide_name,
        channel.order_index,
        channel.enabled,
        channel.created_at,
        channel.updated_at,
    ])?;
    let (enabled, [group, groups, search_query], search_regex) = channel.rule;
    let mut group_names: Vec<String> = serde_json::from_str(&groups).unwrap_or_default();
    if group_names.is_empty() && !group.is_empty() {
        group_names.push(group);
    }
    let rule = SourceRule { enabled, group_names, search_query, search_regex };
    // What hdhriptv has taken for a rule may be none here, as a pattern in another dialect: it is kept, and off.
    let is_meant = source_rules::check(&rule).is_ok();
    source_rules::put(transaction, channel.channel_id, &SourceRule { enabled: enabled && is_meant, ..rule })?;
    Ok(())
}

/// False when its channel is gone: hdhriptv does not have SQLite look after that.
fn take_source(
    transaction: &Transaction<'_>,
    from: &Hdhriptv,
    source: ForeignSource,
) -> Result<bool, ImportError> {
    check_place(from, || format!("source {}", source.source_id), "priority_index", source.priority_index)?;
    let known = "SELECT 1 FROM published_channels WHERE channel_id = ?1";
    if !transaction.prepare_cached(known)?.exists([source.channel_id])? {
        return Ok(false);
    }
    let [ok, fail, successes, failures, cooldown, probed, width, height, rate] =
        source.numbers.map(|number| number.max(0));
    let pixels = |count| if u32::try_from(count).is_ok() { count } else { 0 };
    let fps = if source.profile_fps.is_finite() { source.profile_fps.max(0.0) } else { 0.0 };
    let sql = "INSERT INTO channel_sources (source_id, channel_id, item_key, priority_index, enabled, association_type,
            last_fail_reason, last_ok_at, last_fail_at, success_count, fail_count, cooldown_until, last_probe_at,
            profile_width, profile_height, profile_bitrate_bps, profile_fps, profile_video_codec, profile_audio_codec)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)";
    transaction.prepare_cached(sql)?.execute(params![
        source.source_id,
        source.channel_id,
        source.item_key,
        source.priority_index,
        source.enabled,
        one_of(&ASSOCIATIONS, &source.association_type),
        source.last_fail_reason,
        ok,
        fail,
        successes,
        failures,
        cooldown,
        probed,
        pixels(width),
        pixels(height),
        rate,
        fps,
        source.profile_video_codec,
        source.profile_audio_codec,
    ])?;
    Ok(true)
}

/// The word, or the first that is allowed.
fn one_of(allowed: &[&'static str], word: &str) -> &'static str {
    allowed.iter().copied().find(|known| *known == word.trim()).unwrap_or(allowed[0])
}

fn check_place(
    from: &Hdhriptv,
    row: impl FnOnce() -> String,
    column: &'static str,
    place: i64,
) -> Result<(), ImportError> {
    if u32::try_from(place).is_ok() {
        return Ok(());
    }
    let path = from.path().to_owned();
    Err(ImportError::BadValue { path, row: row(), column, value: place.to_string(), allowed: PLACES_ALLOWED })
}

/// What whoever looks after it should know.
fn remarks(from: &Hdhriptv, lost: u64, unknown: Vec<String>) -> Result<Vec<String>, ImportError> {
    let [blocks, recorders] = from.left_behind()?;
    let mut remarks = Vec::new();
    if lost > 0 {
        remarks.push(format!("{lost} sources were left out, whose channels are gone"));
    }
    if blocks > 0 {
        remarks.push(format!(
            "{blocks} blocks of channels were made by a search: their channels stay as they are now"
        ));
    }
    if recorders > 0 {
        remarks.push(
            "the recorder's connection was left out: recorders find this device by themselves".to_owned(),
        );
    }
    if !unknown.is_empty() {
        remarks.push(format!("these settings were left out: {}", unknown.join(", ")));
    }
    let columns = from.unknown_columns();
    if !columns.is_empty() {
        remarks.push(format!("nothing is known of these columns: {}", columns.join(", ")));
    }
    Ok(remarks)
}
