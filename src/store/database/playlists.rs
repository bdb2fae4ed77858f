//! Playlists: where items come from, and how many of a playlist's streams its provider lets be open at once.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::Database;
use crate::base::{WallTime, redact};
use crate::store::error::{ChannelError, StoreError};
use crate::store::records::{NewPlaylist, PlaylistChange, PlaylistRecord, signed, unsigned};

/// The playlist of `PLAYLIST_URL`, and of every item that was read before there could be several.
pub const PRIMARY_PLAYLIST: i64 = 1;
/// What that one is called.
pub const PRIMARY_NAME: &str = "primary";
/// How the address of a playlist begins whose list is handed over.
pub const UPLOADED: &str = "upload:";
/// Playlists that are kept.
const PLAYLISTS_MAX: u32 = 128;
const NAME_CHARS_MAX: usize = 64;
const NAME_ALLOWED: &str = "1 to 64 characters, not all blank, without control characters";
/// Streams of one playlist that may be open at once, at most.
const TUNERS_MAX: u32 = 65_536;
const TUNERS_ALLOWED: &str = "1 to 65536, or null for as many as TUNER_COUNT says";
const AGENT_BYTES_MAX: usize = 512;
const AGENT_ALLOWED: &str = "up to 512 bytes without control characters";
const COLUMNS: &str = "playlist_id, playlist_name, playlist_url, tuners, user_agent, is_enabled, is_set, tried_at, \
    read_at, failure, items";

impl Database {
    /// All playlists, in the order in which they were made.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn playlists(&self) -> Result<Vec<PlaylistRecord>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM playlists ORDER BY playlist_id");
        Ok(self.connection.prepare_cached(&sql)?.query_map([], read)?.collect::<Result<_, _>>()?)
    }

    /// One playlist.
    ///
    /// # Errors
    /// When there is no such playlist.
    pub fn playlist(&self, playlist_id: i64) -> Result<PlaylistRecord, ChannelError> {
        find(&self.connection, playlist_id)
    }

    /// Keeps a playlist that the API has made.
    ///
    /// # Errors
    /// When another one has its name or address, a value cannot be, or there is no room.
    pub fn create_playlist(&mut self, new: &NewPlaylist) -> Result<PlaylistRecord, ChannelError> {
        let transaction = self.writing()?;
        let count: u32 =
            transaction.prepare_cached("SELECT count(*) FROM playlists")?.query_row([], |row| row.get(0))?;
        if count >= PLAYLISTS_MAX {
            return Err(ChannelError::TooManyPlaylists { max: PLAYLISTS_MAX });
        }
        let playlist_id = insert(&transaction, new, None, false)?;
        let record = find(&transaction, playlist_id)?;
        transaction.commit()?;
        Ok(record)
    }

    /// Changes a playlist, all or nothing.
    ///
    /// # Errors
    /// When there is none, it is set by the settings, another one has the name or address, or a value cannot be.
    pub fn update_playlist(
        &mut self,
        playlist_id: i64,
        change: &PlaylistChange,
    ) -> Result<PlaylistRecord, ChannelError> {
        let transaction = self.writing()?;
        let PlaylistRecord { name, url, tuners, user_agent, is_enabled, .. } =
            changeable(&transaction, playlist_id)?;
        let changed = NewPlaylist {
            name: change.name.clone().unwrap_or(name),
            url: change.url.clone().unwrap_or(url),
            tuners: change.tuners.unwrap_or(tuners),
            user_agent: change.user_agent.clone().unwrap_or(user_agent),
            is_enabled: change.is_enabled.unwrap_or(is_enabled),
        };
        write(&transaction, playlist_id, &changed, false)?;
        let record = find(&transaction, playlist_id)?;
        transaction.commit()?;
        Ok(record)
    }

    /// Removes a playlist with its items, and the sources that stand on them. Channels stay.
    ///
    /// # Errors
    /// When there is none, or it is set by the settings.
    pub fn delete_playlist(&mut self, playlist_id: i64) -> Result<(), ChannelError> {
        let transaction = self.writing()?;
        changeable(&transaction, playlist_id)?;
        let sql = "DELETE FROM channel_sources WHERE item_key IN
            (SELECT item_key FROM playlist_items WHERE playlist_id = ?1)";
        transaction.prepare_cached(sql)?.execute([playlist_id])?;
        transaction
            .prepare_cached("DELETE FROM playlist_items WHERE playlist_id = ?1")?
            .execute([playlist_id])?;
        transaction.prepare_cached("DELETE FROM playlists WHERE playlist_id = ?1")?.execute([playlist_id])?;
        Ok(transaction.commit()?)
    }

    /// Keeps a list that was handed over for a playlist, in the place of the one before.
    ///
    /// # Errors
    /// When there is no such playlist, or it is read from elsewhere.
    pub fn keep_uploaded_list(&mut self, playlist_id: i64, list: &[u8]) -> Result<(), ChannelError> {
        let transaction = self.writing()?;
        let PlaylistRecord { url, .. } = find(&transaction, playlist_id)?;
        if !url.starts_with(UPLOADED) {
            let value = redact::url(&url).chars().take(64).collect();
            return Err(ChannelError::Invalid { field: "url", value, allowed: "upload:NAME" });
        }
        let sql = "INSERT OR REPLACE INTO uploaded_lists (playlist_id, list) VALUES (?1, ?2)";
        transaction.prepare_cached(sql)?.execute(params![playlist_id, list])?;
        Ok(transaction.commit()?)
    }

    /// The list that was handed over for a playlist, if one was.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn uploaded_list(&self, playlist_id: i64) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT list FROM uploaded_lists WHERE playlist_id = ?1";
        Ok(self.connection.prepare_cached(sql)?.query_row([playlist_id], |row| row.get(0)).optional()?)
    }

    /// Takes over what the settings say: `primary`, and further ones whose names may be missing. One that they name no longer is
    /// kept and switched off, but for the primary: what was read from that goes on being served.
    ///
    /// Gives the names of those that were switched off.
    ///
    /// # Errors
    /// When two of them have one name, or SQLite refuses.
    pub fn set_playlists(
        &mut self,
        primary: Option<&NewPlaylist>,
        others: &[NewPlaylist],
    ) -> Result<Vec<String>, ChannelError> {
        let transaction = self.writing()?;
        let sql = "UPDATE playlists SET is_set = 0 WHERE is_set = 1";
        let before: Vec<i64> = transaction
            .prepare_cached("SELECT playlist_id FROM playlists WHERE is_set = 1 AND playlist_id <> ?1")?
            .query_map([PRIMARY_PLAYLIST], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        transaction.prepare_cached(sql)?.execute([])?;
        match primary {
            Some(primary) => put(&transaction, Some(PRIMARY_PLAYLIST), primary)?,
            None => {
                let sql = "DELETE FROM playlists WHERE playlist_id = ?1";
                transaction.prepare_cached(sql)?.execute([PRIMARY_PLAYLIST])?;
            }
        }
        // What has a name is not to lose its place to what has none.
        let (named, unnamed): (Vec<_>, Vec<_>) = others.iter().partition(|other| !other.name.is_empty());
        for other in named.into_iter().chain(unnamed) {
            let known = known(&transaction, other)?;
            let name = match &known {
                _ if !other.name.is_empty() => other.name.clone(),
                Some(record) => record.name.clone(),
                None => free_name(&transaction, &place_of(&other.url))?,
            };
            put(
                &transaction,
                known.map(|record| record.playlist_id),
                &NewPlaylist { name, ..other.clone() },
            )?;
        }
        let mut dropped = Vec::new();
        for playlist_id in before {
            let sql = "UPDATE playlists SET is_enabled = 0 WHERE playlist_id = ?1 AND is_set = 0 RETURNING playlist_name";
            let name =
                transaction.prepare_cached(sql)?.query_row([playlist_id], |row| row.get(0)).optional()?;
            dropped.extend(name);
        }
        transaction.commit()?;
        Ok(dropped)
    }

    /// Notes how reading a playlist went: `failure` is why it was not read.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn note_reading(
        &mut self,
        playlist_id: i64,
        at: WallTime,
        failure: Option<&str>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE playlists SET tried_at = ?2, read_at = iif(?3 IS NULL, ?2, read_at), failure = ?3
            WHERE playlist_id = ?1";
        self.connection.prepare_cached(sql)?.execute(params![
            playlist_id,
            signed(at.unix_nanos()),
            failure
        ])?;
        Ok(())
    }
}

/// Notes how many items a playlist holds now.
pub(super) fn note_items(connection: &Connection, playlist_id: i64, items: u64) -> rusqlite::Result<()> {
    let sql = "UPDATE playlists SET items = ?2 WHERE playlist_id = ?1";
    connection.prepare_cached(sql)?.execute(params![playlist_id, signed(items)])?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<PlaylistRecord> {
    let time = |column| {
        let nanos = unsigned(row, column)?;
        Ok::<_, rusqlite::Error>((nanos > 0).then(|| WallTime::from_unix_nanos(nanos)))
    };
    Ok(PlaylistRecord {
        playlist_id: row.get(0)?,
        name: row.get(1)?,
        url: row.get(2)?,
        tuners: row.get(3)?,
        user_agent: row.get(4)?,
        is_enabled: row.get(5)?,
        is_set: row.get(6)?,
        tried_at: time(7)?,
        read_at: time(8)?,
        failure: row.get(9)?,
        items: unsigned(row, 10)?,
    })
}

fn find(connection: &Connection, playlist_id: i64) -> Result<PlaylistRecord, ChannelError> {
    let sql = format!("SELECT {COLUMNS} FROM playlists WHERE playlist_id = ?1");
    let found = connection.prepare_cached(&sql)?.query_row([playlist_id], read).optional()?;
    found.ok_or(ChannelError::PlaylistNotFound { playlist_id })
}

/// A playlist that the settings do not set.
fn changeable(connection: &Connection, playlist_id: i64) -> Result<PlaylistRecord, ChannelError> {
    let record = find(connection, playlist_id)?;
    if record.is_set {
        return Err(ChannelError::PlaylistIsSet { name: record.name });
    }
    Ok(record)
}

/// Writes what the settings say, over the playlist that is known or as a new one.
fn put(
    transaction: &Transaction<'_>,
    known: Option<i64>,
    playlist: &NewPlaylist,
) -> Result<(), ChannelError> {
    let is_there = match known {
        Some(playlist_id) => transaction
            .prepare_cached("SELECT 1 FROM playlists WHERE playlist_id = ?1")?
            .exists([playlist_id])?,
        None => false,
    };
    match known {
        Some(playlist_id) if is_there => write(transaction, playlist_id, playlist, true),
        Some(_) | None => insert(transaction, playlist, known, true).map(|_id| ()),
    }
}

fn insert(
    transaction: &Transaction<'_>,
    playlist: &NewPlaylist,
    playlist_id: Option<i64>,
    is_set: bool,
) -> Result<i64, ChannelError> {
    check(transaction, playlist, playlist_id, is_set)?;
    // The first id is the primary's alone.
    let sql = "INSERT INTO playlists (playlist_id, playlist_name, playlist_url, tuners, user_agent, is_enabled, is_set)
        VALUES (coalesce(?1, (SELECT max(max(coalesce(max(playlist_id), 0), ?8),
            coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'playlists'), 0)) + 1 FROM playlists)),
            ?2, ?3, ?4, ?5, ?6, ?7)";
    transaction.prepare_cached(sql)?.execute(params![
        playlist_id,
        playlist.name.trim(),
        playlist.url,
        playlist.tuners,
        playlist.user_agent,
        playlist.is_enabled,
        is_set,
        PRIMARY_PLAYLIST,
    ])?;
    Ok(transaction.last_insert_rowid())
}

fn write(
    transaction: &Transaction<'_>,
    playlist_id: i64,
    playlist: &NewPlaylist,
    is_set: bool,
) -> Result<(), ChannelError> {
    check(transaction, playlist, Some(playlist_id), is_set)?;
    let sql = "UPDATE playlists SET playlist_name = ?2, playlist_url = ?3, tuners = ?4, user_agent = ?5, is_enabled = ?6,
        is_set = ?7 WHERE playlist_id = ?1";
    transaction.prepare_cached(sql)?.execute(params![
        playlist_id,
        playlist.name.trim(),
        playlist.url,
        playlist.tuners,
        playlist.user_agent,
        playlist.is_enabled,
        is_set,
    ])?;
    Ok(())
}

fn check(
    connection: &Connection,
    playlist: &NewPlaylist,
    own: Option<i64>,
    is_set: bool,
) -> Result<(), ChannelError> {
    let name = playlist.name.trim();
    let shown = |text: &str| text.chars().take(NAME_CHARS_MAX).collect::<String>();
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Err(ChannelError::Invalid { field: "name", value: shown(name), allowed: NAME_ALLOWED });
    }
    if let Some(tuners) = playlist.tuners
        && !(1..=TUNERS_MAX).contains(&tuners)
    {
        return Err(ChannelError::Invalid {
            field: "tuners",
            value: tuners.to_string(),
            allowed: TUNERS_ALLOWED,
        });
    }
    if let Some(agent) = &playlist.user_agent
        && (agent.len() > AGENT_BYTES_MAX || agent.chars().any(char::is_control))
    {
        return Err(ChannelError::Invalid {
            field: "user_agent",
            value: shown(agent),
            allowed: AGENT_ALLOWED,
        });
    }
    let same = |column: &str, value: &str| {
        let sql = format!("SELECT 1 FROM playlists WHERE {column} = ?1 AND playlist_id IS NOT ?2");
        connection.prepare_cached(&sql)?.exists(params![value, own])
    };
    let is_reserved = own != Some(PRIMARY_PLAYLIST) && name.eq_ignore_ascii_case(PRIMARY_NAME);
    if is_reserved || same("playlist_name", name)? {
        return Err(ChannelError::PlaylistExists { what: "name", name: name.to_owned() });
    }
    // Among the settings that has been looked for, and what they say goes before what the API has made.
    if !is_set && same("playlist_url", &playlist.url)? {
        return Err(ChannelError::PlaylistExists { what: "url", name: name.to_owned() });
    }
    Ok(())
}

/// The playlist that an entry of the settings has become before: the one of its name, else the one of its address; without a
/// name the one of its address, else the one that is called after its host.
fn known(connection: &Connection, playlist: &NewPlaylist) -> Result<Option<PlaylistRecord>, ChannelError> {
    let is_named = !playlist.name.is_empty();
    let name = if is_named { playlist.name.clone() } else { place_of(&playlist.url) };
    let sql = format!(
        "SELECT {COLUMNS} FROM playlists WHERE is_set = 0 AND playlist_id <> ?3
            AND (playlist_url = ?1 OR playlist_name = ?2) ORDER BY iif(?4, playlist_name = ?2, playlist_url = ?1) DESC LIMIT 1"
    );
    let values = params![playlist.url, name, PRIMARY_PLAYLIST, is_named];
    Ok(connection.prepare_cached(&sql)?.query_row(values, read).optional()?)
}

/// A name that nobody has: this one, or with a number behind it.
fn free_name(connection: &Connection, name: &str) -> Result<String, ChannelError> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM playlists WHERE playlist_name = ?1")?;
    let mut candidate = name.to_owned();
    let mut number = 1;
    while statement.exists([&candidate])? {
        number += 1;
        candidate = format!("{name} {number}");
    }
    Ok(candidate)
}

/// What a playlist is called that has no name: the host of its address, or the name of its file.
fn place_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#', '|']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let file =
        || rest.split(['?', '#', '|']).next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    let name = if host.is_empty() { file() } else { host };
    let name: String = name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX - 4).collect();
    if name.trim().is_empty() { "playlist".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::database::filter::ItemFilter;
    use crate::store::database::items::{Reading, RefreshOutcome};
    use crate::store::fixtures::{at, item};
    use crate::store::records::{NewChannel, NewItem};

    fn playlist(name: &str, url: &str) -> NewPlaylist {
        NewPlaylist {
            name: name.to_owned(),
            url: url.to_owned(),
            tuners: Some(2),
            user_agent: None,
            is_enabled: true,
        }
    }

    fn names(database: &Database) -> Vec<(i64, String, bool, bool)> {
        let shown =
            |record: PlaylistRecord| (record.playlist_id, record.name, record.is_set, record.is_enabled);
        database.playlists().unwrap().into_iter().map(shown).collect()
    }

    fn row(id: i64, name: &str, is_set: bool, is_enabled: bool) -> (i64, String, bool, bool) {
        (id, name.to_owned(), is_set, is_enabled)
    }

    #[test]
    fn what_the_settings_name_keeps_its_place_and_what_they_drop_is_switched_off() {
        let mut database = Database::in_memory().unwrap();
        let primary = playlist(PRIMARY_NAME, "http://p/");
        let mut set = |others: &[NewPlaylist]| {
            let dropped = database.set_playlists(Some(&primary), others).unwrap();
            (names(&database), dropped)
        };
        let unnamed = |url: &str| playlist("", url);
        let first =
            [playlist("B", "http://b/"), unnamed("http://u:p@c.example/1"), unnamed("http://c.example/2")];
        let (rows, dropped) = set(&first);
        let expected = [
            row(1, PRIMARY_NAME, true, true),
            row(2, "B", true, true),
            row(3, "c.example", true, true),
            row(4, "c.example 2", true, true),
        ];
        assert_eq!((rows.as_slice(), dropped.len()), (&expected[..], 0));
        assert_eq!(set(&first).0, expected, "a restart makes none anew");
        // Another password and another case of the name are the same playlists.
        let again =
            [unnamed("http://c.example/2"), unnamed("http://u:new@c.example/1"), playlist("b", "http://b/2")];
        let (rows, dropped) = set(&again);
        assert_eq!((rows[1].1.as_str(), rows.len(), dropped.len()), ("b", 4, 0));
        // Two change their addresses, and one its name.
        let swapped = [playlist("b", "http://c.example/2"), playlist("D", "http://b/2")];
        let (rows_swapped, _) = set(&[&again[1..2], &swapped[..]].concat());
        assert_eq!(rows_swapped.iter().filter(|row| row.3).count(), 4, "{rows_swapped:?}");
        let (rows, dropped) = set(&again);
        assert_eq!((rows.len(), dropped), (5, vec!["D".to_owned()]));
        let (rows, dropped) = set(&again[..2]);
        assert_eq!((rows[1].clone(), dropped), (row(2, "b", false, false), vec!["b".to_owned()]));
        assert_eq!(database.set_playlists(None, &[]).unwrap().len(), 2);
        assert_eq!(
            names(&database)[0],
            row(2, "b", false, false),
            "the primary is gone, what it held is served"
        );
    }

    #[test]
    fn a_playlist_of_the_api_is_changed_and_one_of_the_settings_is_not() {
        let mut database = Database::in_memory().unwrap();
        database.set_playlists(None, &[playlist("Set", "http://s/")]).unwrap();
        let made = database.create_playlist(&playlist(" Made ", "http://m/")).unwrap();
        assert_eq!((made.name.as_str(), made.is_set, made.tuners), ("Made", false, Some(2)));
        let change = PlaylistChange {
            tuners: Some(None),
            user_agent: Some(Some("tv/2".to_owned())),
            is_enabled: Some(false),
            ..PlaylistChange::default()
        };
        let changed = database.update_playlist(made.playlist_id, &change).unwrap();
        assert_eq!(
            (changed.tuners, changed.user_agent.as_deref(), changed.is_enabled),
            (None, Some("tv/2"), false)
        );
        assert_eq!((changed.name, changed.url), (made.name, made.url));
        let set = database.playlists().unwrap()[0].clone();
        let refused = database.update_playlist(set.playlist_id, &change).unwrap_err();
        assert!(matches!(refused, ChannelError::PlaylistIsSet { .. }), "{refused}");
        assert_eq!(database.delete_playlist(set.playlist_id), Err(refused));
        assert_eq!(database.delete_playlist(99), Err(ChannelError::PlaylistNotFound { playlist_id: 99 }));
        for (new, why) in [
            (playlist("made", "http://x/"), "name"),
            (playlist("Primary", "http://x/"), "name"),
            (playlist("x", "http://m/"), "url"),
            (playlist(" ", "http://x/"), "name cannot be"),
            (NewPlaylist { tuners: Some(0), ..playlist("x", "http://x/") }, "tuners cannot be"),
            (NewPlaylist { user_agent: Some("a\nb".to_owned()), ..playlist("x", "http://x/") }, "user_agent"),
        ] {
            let refused = database.create_playlist(&new).unwrap_err().to_string();
            assert!(refused.contains(why) && !refused.contains("http"), "{refused}");
        }
        database.delete_playlist(made.playlist_id).unwrap();
        let next = database.create_playlist(&playlist("Next", "http://n/")).unwrap();
        assert!(next.playlist_id > made.playlist_id, "an id is given once");
    }

    #[test]
    fn each_playlist_has_its_own_items_and_a_bad_reading_of_one_leaves_all_alone() {
        let mut database = Database::in_memory().unwrap();
        let other = database.create_playlist(&playlist("Other", "http://o/")).unwrap().playlist_id;
        let of = |playlist_id, seconds| Reading { playlist_id, ..at(seconds).into() };
        let mut read = |playlist_id, items: &[NewItem], seconds| match database
            .refresh_items(items, of(playlist_id, seconds))
            .unwrap()
        {
            RefreshOutcome::Refreshed(done) => (done.seen, done.added, done.deactivated),
            RefreshOutcome::EmptyIgnored | RefreshOutcome::MuchSmallerIgnored { .. } => (0, 0, 0),
        };
        let moved = |key: &str| NewItem { stream_url: "http://o/x".to_owned(), ..item(key, "News") };
        assert_eq!(read(PRIMARY_PLAYLIST, &[item("a", "News"), item("b", "Sport")], 1), (2, 2, 0));
        // The same key is another item, since it is another provider's.
        assert_eq!(read(other, &[moved("a"), item("c", "Film")], 2), (2, 2, 0));
        assert_eq!(read(other, &[], 3), (0, 0, 0));
        assert_eq!(read(PRIMARY_PLAYLIST, &[item("a", "News")], 4), (1, 0, 1), "the other's items stay");
        assert_eq!(read(other, &[moved("a"), item("c", "Film")], 5), (2, 0, 0), "and keep their keys");
        let active = ItemFilter { active: Some(true), ..ItemFilter::default() };
        let found = database.items(&active).unwrap().items;
        let found: Vec<_> = found.into_iter().map(|found| (found.item.item_key, found.playlist_id)).collect();
        let key = |key: &str, id| (key.to_owned(), id);
        assert_eq!(found, [key("~2/c", other), key("a", PRIMARY_PLAYLIST), key("~2/a", other)]);
        let of_other = ItemFilter { playlist: Some(other), ..ItemFilter::default() };
        assert_eq!(database.items(&of_other).unwrap().total, 2);
        assert_eq!(database.playlist(other).unwrap().items, 2);
    }

    #[test]
    fn a_playlist_goes_with_its_items_and_their_sources_and_channels_stay() {
        let mut database = Database::in_memory().unwrap();
        let other = database.create_playlist(&playlist("Other", "http://o/")).unwrap().playlist_id;
        database.refresh_items(&[item("a", "News")], at(1)).unwrap();
        let reading = Reading { playlist_id: other, ..at(1).into() };
        database.refresh_items(&[item("b", "News")], reading).unwrap();
        let new = NewChannel { item_key: "~2/b".to_owned(), ..NewChannel::default() };
        let channel = database.create_channel(&new, 100, at(1)).unwrap();
        database.add_source(channel.channel_id, "a", None, at(1)).unwrap();
        let playlists: Vec<_> = database.channel(channel.channel_id).unwrap().sources;
        let shown: Vec<_> =
            playlists.iter().map(|source| (source.playlist_id, source.is_offered())).collect();
        assert_eq!(shown, [(Some(other), true), (Some(PRIMARY_PLAYLIST), true)]);
        let off = PlaylistChange { is_enabled: Some(false), ..PlaylistChange::default() };
        database.update_playlist(other, &off).unwrap();
        assert!(!database.channel(channel.channel_id).unwrap().sources[0].is_offered());
        database.delete_playlist(other).unwrap();
        let left: Vec<_> = database.channel(channel.channel_id).unwrap().sources;
        assert_eq!(left.iter().map(|source| source.item_key.as_str()).collect::<Vec<_>>(), ["a"]);
        assert_eq!(database.item("~2/b").unwrap(), None);
    }

    #[test]
    fn how_a_reading_went_is_kept() {
        let mut database = Database::in_memory().unwrap();
        let id = database.create_playlist(&playlist("P", "http://p/")).unwrap().playlist_id;
        let times = |record: PlaylistRecord| (record.tried_at, record.read_at, record.failure);
        assert_eq!(times(database.playlist(id).unwrap()), (None, None, None));
        database.note_reading(id, at(5), None).unwrap();
        database.note_reading(id, at(9), Some("gone")).unwrap();
        let expected = (Some(at(9)), Some(at(5)), Some("gone".to_owned()));
        assert_eq!(times(database.playlist(id).unwrap()), expected);
        database.note_reading(id, at(11), None).unwrap();
        assert_eq!(times(database.playlist(id).unwrap()), (Some(at(11)), Some(at(11)), None));
        assert!(!format!("{:?}", database.playlist(id).unwrap()).contains("http"));
    }
}
