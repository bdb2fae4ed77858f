//! The sources of a channel, and the order in which they are preferred.

use rusqlite::{Connection, ToSql, params};

use super::{Database, profiles};
use crate::base::WallTime;
use crate::store::error::ChannelError;
use crate::store::records::SourceRecord;
use crate::store::rows::touch;

/// Sources that a channel gets by its key, those it has included.
const SOURCES_MAX: u32 = 64;
const JOINED: &str =
    "channel_sources LEFT JOIN playlist_items ON playlist_items.item_key = channel_sources.item_key
        LEFT JOIN playlists ON playlists.playlist_id = playlist_items.playlist_id";

impl Database {
    /// Gives a channel one more source, behind those it has. `program` is the number of the only programme that is
    /// taken of its stream.
    ///
    /// # Errors
    /// When there is no such channel or item, the item is a source of the channel already, or no programme has that
    /// number.
    pub fn add_source(
        &mut self,
        channel_id: i64,
        item_key: &str,
        program: Option<u16>,
        now: WallTime,
    ) -> Result<SourceRecord, ChannelError> {
        check_program(program)?;
        let transaction = self.writing()?;
        touch(&transaction, channel_id, now)?;
        let item = "SELECT 1 FROM playlist_items WHERE item_key = ?1";
        if !transaction.prepare_cached(item)?.exists([item_key])? {
            return Err(ChannelError::ItemNotFound { item_key: item_key.to_owned() });
        }
        let source = "SELECT 1 FROM channel_sources WHERE channel_id = ?1 AND item_key = ?2";
        if transaction.prepare_cached(source)?.exists(params![channel_id, item_key])? {
            return Err(ChannelError::SourceExists { channel_id, item_key: item_key.to_owned() });
        }
        let source_id = insert(&transaction, channel_id, item_key, program)?;
        transaction.commit()?;
        self.source(source_id)
    }

    /// Gives a channel all items of the playlist that share its key and are none of its sources yet, by name, behind those it
    /// has. How many that were: with them a channel has no more than 64.
    ///
    /// # Errors
    /// When there is no such channel.
    pub fn add_same_key_sources(&mut self, channel_id: i64, now: WallTime) -> Result<usize, ChannelError> {
        let transaction = self.writing()?;
        touch(&transaction, channel_id, now)?;
        // What has neither name nor identifier shares nothing.
        let sql = "INSERT INTO channel_sources (channel_id, item_key, association_type, priority_index)
            SELECT ?1, item_key, 'channel_key',
                row_number() OVER (ORDER BY name COLLATE NOCASE, item_key) + coalesce(
                    (SELECT max(priority_index) FROM channel_sources WHERE channel_id = ?1), -1)
            FROM playlist_items WHERE active = 1 AND channel_key <> 'name:'
                AND channel_key = (SELECT channel_key FROM published_channels WHERE channel_id = ?1)
                AND item_key NOT IN (SELECT item_key FROM channel_sources WHERE channel_id = ?1)
            ORDER BY name COLLATE NOCASE, item_key
            LIMIT max(0, ?2 - (SELECT count(*) FROM channel_sources WHERE channel_id = ?1))";
        let count = transaction.prepare_cached(sql)?.execute(params![channel_id, SOURCES_MAX])?;
        transaction.commit()?;
        Ok(count)
    }

    fn source(&self, source_id: i64) -> Result<SourceRecord, ChannelError> {
        let sql = format!("SELECT {} FROM {JOINED} WHERE source_id = ?1", SourceRecord::COLUMNS);
        Ok(self.connection.prepare_cached(&sql)?.query_row([source_id], SourceRecord::read)?)
    }

    /// Takes a source from a channel. The playlist item stays.
    ///
    /// # Errors
    /// When the channel has no such source.
    pub fn remove_source(
        &mut self,
        channel_id: i64,
        source_id: i64,
        now: WallTime,
    ) -> Result<(), ChannelError> {
        let transaction = self.writing()?;
        touch(&transaction, channel_id, now)?;
        let sql = "DELETE FROM channel_sources WHERE source_id = ?1 AND channel_id = ?2";
        if transaction.prepare_cached(sql)?.execute([source_id, channel_id])? == 0 {
            return Err(ChannelError::SourceNotFound { channel_id, source_id });
        }
        Ok(transaction.commit()?)
    }

    /// Lets a source be used, or not.
    ///
    /// # Errors
    /// When the channel has no such source.
    pub fn set_source_enabled(
        &mut self,
        channel_id: i64,
        source_id: i64,
        enabled: bool,
        now: WallTime,
    ) -> Result<SourceRecord, ChannelError> {
        self.set_of_source("enabled", channel_id, source_id, enabled, now)
    }

    /// Puts a channel's sources in another order, the preferred one first.
    ///
    /// # Errors
    /// When there is no such channel, or these are not all of its sources, each once.
    pub fn reorder_sources(
        &mut self,
        channel_id: i64,
        source_ids: &[i64],
        now: WallTime,
    ) -> Result<(), ChannelError> {
        let transaction = self.writing()?;
        touch(&transaction, channel_id, now)?;
        let sql = "SELECT source_id FROM channel_sources WHERE channel_id = ?1 ORDER BY source_id";
        let known = transaction
            .prepare_cached(sql)?
            .query_map([channel_id], |row| row.get(0))?
            .collect::<Result<Vec<i64>, _>>()?;
        check_order("source_ids", source_ids, &known)?;
        // No two may have the same place, not even for a moment: those below zero are free.
        let sql = "UPDATE channel_sources SET priority_index = -1 - ?2 WHERE source_id = ?1";
        for (place, source_id) in (0_i64..).zip(source_ids) {
            transaction.prepare_cached(sql)?.execute(params![source_id, place])?;
        }
        let sql = "UPDATE channel_sources SET priority_index = -1 - priority_index WHERE channel_id = ?1";
        transaction.prepare_cached(sql)?.execute([channel_id])?;
        Ok(transaction.commit()?)
    }

    /// Sets the only programme that is taken of a source's stream, or lets it be the first that can be shown.
    ///
    /// # Errors
    /// When the channel has no such source, or no programme has that number.
    pub fn set_source_program(
        &mut self,
        channel_id: i64,
        source_id: i64,
        program: Option<u16>,
        now: WallTime,
    ) -> Result<SourceRecord, ChannelError> {
        check_program(program)?;
        self.set_of_source("program", channel_id, source_id, program, now)
    }

    /// Sets whether the servers of a source have to show who they are, or lets it be as the setting says.
    ///
    /// # Errors
    /// When the channel has no such source.
    pub fn set_source_tls_verify(
        &mut self,
        channel_id: i64,
        source_id: i64,
        tls_verify: Option<bool>,
        now: WallTime,
    ) -> Result<SourceRecord, ChannelError> {
        self.set_of_source("tls_verify", channel_id, source_id, tls_verify, now)
    }

    /// Gives a source a profile, or takes it away.
    ///
    /// # Errors
    /// When the channel has no such source, or there is no such profile.
    pub fn set_source_profile(
        &mut self,
        channel_id: i64,
        source_id: i64,
        profile: Option<&str>,
        now: WallTime,
    ) -> Result<SourceRecord, ChannelError> {
        let transaction = self.writing()?;
        touch(&transaction, channel_id, now)?;
        profiles::check_name(&transaction, profile)?;
        set(&transaction, "profile", channel_id, source_id, profile)?;
        transaction.commit()?;
        self.source(source_id)
    }

    fn set_of_source(
        &mut self,
        column: &'static str,
        channel_id: i64,
        source_id: i64,
        value: impl ToSql,
        now: WallTime,
    ) -> Result<SourceRecord, ChannelError> {
        let transaction = self.writing()?;
        touch(&transaction, channel_id, now)?;
        set(&transaction, column, channel_id, source_id, value)?;
        transaction.commit()?;
        self.source(source_id)
    }
}

/// Changes one column of a channel's source.
fn set(
    connection: &Connection,
    column: &'static str,
    channel_id: i64,
    source_id: i64,
    value: impl ToSql,
) -> Result<(), ChannelError> {
    let sql = format!("UPDATE channel_sources SET {column} = ?3 WHERE source_id = ?1 AND channel_id = ?2");
    match connection.prepare_cached(&sql)?.execute(params![source_id, channel_id, value])? {
        0 => Err(ChannelError::SourceNotFound { channel_id, source_id }),
        _one => Ok(()),
    }
}

/// Refuses an order that is not one of all that there are; `known` is sorted.
pub(in crate::store) fn check_order(
    field: &'static str,
    asked: &[i64],
    known: &[i64],
) -> Result<(), ChannelError> {
    let mut sorted = asked.to_vec();
    sorted.sort_unstable();
    if sorted == known {
        return Ok(());
    }
    let value = asked.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    let shown = value.chars().take(64).collect();
    Err(ChannelError::Invalid { field, value: shown, allowed: "all that there are, each once" })
}

/// Refuses the number that no programme has.
pub(in crate::store) fn check_program(program: Option<u16>) -> Result<(), ChannelError> {
    match program {
        Some(0) => Err(ChannelError::no_program_number("0")),
        None | Some(_) => Ok(()),
    }
}

/// Adds a source behind those the channel has, and gives its id.
pub(in crate::store) fn insert(
    connection: &Connection,
    channel_id: i64,
    item_key: &str,
    program: Option<u16>,
) -> rusqlite::Result<i64> {
    let sql =
        "INSERT INTO channel_sources (channel_id, item_key, program, priority_index) VALUES (?1, ?2, ?3,
        (SELECT coalesce(max(priority_index), -1) + 1 FROM channel_sources WHERE channel_id = ?1))";
    connection.prepare_cached(sql)?.execute(params![channel_id, item_key, program])?;
    Ok(connection.last_insert_rowid())
}

/// The sources of one channel, the preferred one first.
pub(in crate::store) fn of_channel(
    connection: &Connection,
    channel_id: i64,
) -> rusqlite::Result<Vec<SourceRecord>> {
    let columns = SourceRecord::COLUMNS;
    let sql = format!("SELECT {columns} FROM {JOINED} WHERE channel_id = ?1 ORDER BY priority_index");
    connection.prepare_cached(&sql)?.query_map([channel_id], SourceRecord::read)?.collect()
}

/// The sources of all channels for which a condition holds, each channel's preferred one first.
pub(in crate::store) fn list(
    connection: &Connection,
    condition: &'static str,
) -> rusqlite::Result<Vec<SourceRecord>> {
    let columns = SourceRecord::COLUMNS;
    let sql = format!("SELECT {columns} FROM {JOINED} WHERE {condition} ORDER BY channel_id, priority_index");
    connection.prepare_cached(&sql)?.query_map([], SourceRecord::read)?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixtures::{at, item, with_items};
    use crate::store::records::{NewChannel, NewItem};

    /// A database with a channel of item `a`, and the channel's id.
    fn with_channel() -> (Database, i64) {
        let mut database = with_items(&[("a", "A"), ("b", "B"), ("c", "C")]);
        let new = NewChannel { item_key: "a".to_owned(), ..NewChannel::default() };
        let channel_id = database.create_channel(&new, 100, at(1)).unwrap().channel_id;
        (database, channel_id)
    }

    fn order(database: &Database, channel_id: i64) -> Vec<(String, u32)> {
        let sources = database.channel(channel_id).unwrap().sources;
        sources.into_iter().map(|source| (source.item_key, source.priority_index)).collect()
    }

    fn placed(keys: &[(&str, u32)]) -> Vec<(String, u32)> {
        keys.iter().map(|(key, place)| ((*key).to_owned(), *place)).collect()
    }

    #[test]
    fn sources_are_added_behind_the_others_once_each() {
        let (mut database, id) = with_channel();
        let added = database.add_source(id, "b", None, at(5)).unwrap();
        assert_eq!((added.priority_index, added.stream_url.as_str()), (1, "http://example.com/b.ts"));
        assert_eq!(database.add_source(id, "c", None, at(6)).unwrap().priority_index, 2);
        let exists = ChannelError::SourceExists { channel_id: id, item_key: "b".to_owned() };
        assert_eq!(database.add_source(id, "b", None, at(7)), Err(exists));
        let missing = ChannelError::ItemNotFound { item_key: "x".to_owned() };
        assert_eq!(database.add_source(id, "x", None, at(7)), Err(missing));
        assert_eq!(
            database.add_source(99, "b", None, at(7)),
            Err(ChannelError::ChannelNotFound { channel_id: 99 })
        );
        assert_eq!(order(&database, id), placed(&[("a", 0), ("b", 1), ("c", 2)]));
        assert_eq!(database.channel(id).unwrap().updated_at, 6, "what is refused changes nothing");
    }

    #[test]
    fn one_item_may_be_a_source_of_two_channels() {
        let (mut database, id) = with_channel();
        let new = NewChannel { item_key: "a".to_owned(), ..NewChannel::default() };
        let other = database.create_channel(&new, 100, at(1)).unwrap().channel_id;
        assert_ne!(id, other);
        assert_eq!(order(&database, other), placed(&[("a", 0)]));
    }

    #[test]
    fn a_removed_source_leaves_the_others_in_their_order() {
        let (mut database, id) = with_channel();
        let b = database.add_source(id, "b", None, at(1)).unwrap().source_id;
        database.add_source(id, "c", None, at(1)).unwrap();
        database.remove_source(id, b, at(2)).unwrap();
        assert_eq!(order(&database, id), placed(&[("a", 0), ("c", 2)]));
        let gone = ChannelError::SourceNotFound { channel_id: id, source_id: b };
        assert_eq!(database.remove_source(id, b, at(3)), Err(gone));
        assert_eq!(database.add_source(id, "b", None, at(4)).unwrap().priority_index, 3);
    }

    #[test]
    fn items_that_share_the_channels_key_become_its_sources() {
        let mut database = Database::in_memory().unwrap();
        let called =
            |key: &str, channel_key: &str| NewItem { channel_key: channel_key.to_owned(), ..item(key, key) };
        let mut items = vec![
            called("m", "k"),
            called("z", "k"),
            called("b", "k"),
            called("x", "other"),
            called("gone", "k"),
        ];
        items.extend(["n", "o"].map(|key| called(key, "name:")));
        database.refresh_items(&items, at(1)).unwrap();
        items.remove(4);
        database.refresh_items(&items, at(2)).unwrap();
        let mut make = |key: &str| {
            let new = NewChannel { item_key: key.to_owned(), ..NewChannel::default() };
            database.create_channel(&new, 100, at(3)).unwrap().channel_id
        };
        let (id, nameless) = (make("m"), make("n"));
        assert_eq!(database.add_same_key_sources(id, at(4)), Ok(2));
        assert_eq!(order(&database, id), placed(&[("m", 0), ("b", 1), ("z", 2)]));
        let kinds: Vec<_> =
            database.channel(id).unwrap().sources.into_iter().map(|source| source.association_type).collect();
        assert_eq!(kinds, ["manual", "channel_key", "channel_key"]);
        assert_eq!(database.add_same_key_sources(id, at(5)), Ok(0), "once each");
        assert_eq!(database.add_same_key_sources(nameless, at(5)), Ok(0), "no name is no key");
        assert_eq!(
            database.add_same_key_sources(99, at(5)),
            Err(ChannelError::ChannelNotFound { channel_id: 99 })
        );
        let many: Vec<_> = (0..100).map(|n| called(&format!("{n:03}"), "k")).collect();
        database.refresh_items(&many, at(6)).unwrap();
        assert_eq!(database.add_same_key_sources(id, at(7)), Ok(61));
        assert_eq!(order(&database, id).last(), Some(&("060".to_owned(), 63)));
    }

    #[test]
    fn sources_are_put_in_an_order_of_all_of_them() {
        let (mut database, id) = with_channel();
        let first = database.channel(id).unwrap().sources[0].source_id;
        let [second, third] =
            ["b", "c"].map(|key| database.add_source(id, key, None, at(1)).unwrap().source_id);
        database.reorder_sources(id, &[third, first, second], at(2)).unwrap();
        assert_eq!(order(&database, id), placed(&[("c", 0), ("a", 1), ("b", 2)]));
        for wrong in [&[first, second][..], &[first, second, third, third], &[first, second, 99], &[]] {
            let refused = database.reorder_sources(id, wrong, at(3));
            assert!(matches!(refused, Err(ChannelError::Invalid { field: "source_ids", .. })), "{refused:?}");
        }
        assert_eq!(
            database.reorder_sources(99, &[], at(3)),
            Err(ChannelError::ChannelNotFound { channel_id: 99 })
        );
        assert_eq!(database.channel(id).unwrap().updated_at, 2, "what is refused changes nothing");
        database.reorder_sources(id, &[first, second, third], at(4)).unwrap();
        assert_eq!(order(&database, id), placed(&[("a", 0), ("b", 1), ("c", 2)]));
    }

    #[test]
    fn a_source_of_another_channel_is_not_found() {
        let (mut database, id) = with_channel();
        let new = NewChannel { item_key: "b".to_owned(), ..NewChannel::default() };
        let other = database.create_channel(&new, 100, at(1)).unwrap();
        let source_id = other.sources[0].source_id;
        let gone = || Err(ChannelError::SourceNotFound { channel_id: id, source_id });
        assert_eq!(database.remove_source(id, source_id, at(2)), gone());
        assert_eq!(database.set_source_enabled(id, source_id, false, at(2)).map(|_| ()), gone());
        assert_eq!(database.channel(other.channel_id).unwrap(), other);
    }

    #[test]
    fn a_source_keeps_its_url_when_its_item_goes_inactive_and_follows_a_new_one() {
        let (mut database, id) = with_channel();
        database.refresh_items(&[item("b", "B")], at(200)).unwrap();
        assert_eq!(database.channel(id).unwrap().sources[0].stream_url, "http://example.com/a.ts");
        let mut moved = item("a", "A");
        moved.stream_url = "http://example.com/moved.ts".to_owned();
        database.refresh_items(&[moved], at(300)).unwrap();
        assert_eq!(database.lineup().unwrap()[0].sources[0].stream_url, "http://example.com/moved.ts");
    }

    #[test]
    fn a_source_whose_item_is_missing_has_a_blank_url() {
        let (database, id) = with_channel();
        database.connection.execute("DELETE FROM playlist_items WHERE item_key = 'a'", []).unwrap();
        let source = database.channel(id).unwrap().sources.remove(0);
        assert_eq!((source.stream_url.as_str(), source.tvg_name.as_str()), ("", ""));
        assert_eq!(source.item_key, "a");
    }

    #[test]
    fn health_and_profile_are_read_as_they_stand() {
        let (database, id) = with_channel();
        let fresh = database.channel(id).unwrap().sources.remove(0);
        assert_eq!((fresh.health, fresh.profile.probed_at), (Default::default(), 0));
        assert_eq!(fresh.profile, Default::default());
        let sql = "UPDATE channel_sources SET last_ok_at = 1, last_fail_at = 2, last_fail_reason = 'r',
            success_count = 3, fail_count = 4, cooldown_until = 5, last_probe_at = 6, profile_width = 7,
            profile_height = 8, profile_fps = 29.97, profile_video_codec = 'h264', profile_audio_codec = 'aac',
            profile_bitrate_bps = 9";
        database.connection.execute(sql, []).unwrap();
        let source = database.lineup().unwrap().remove(0).sources.remove(0);
        let health = &source.health;
        assert_eq!((health.last_ok_at, health.last_fail_at, health.last_fail_reason.as_str()), (1, 2, "r"));
        assert_eq!((health.success_count, health.fail_count, health.cooldown_until), (3, 4, 5));
        let (profile, stream) = (&source.profile, &source.profile.stream);
        assert_eq!((profile.probed_at, stream.width, stream.height, stream.fps()), (6, 7, 8, 29.97));
        let codecs =
            [&stream.video_codec, &stream.audio_codec].map(|codec| crate::ts::codec_name(codec.as_ref()));
        assert_eq!((codecs, stream.bitrate_bps), (["h264", "aac"], 9));
    }
}
