//! Profiles: how sources are read that carry their names.

use rusqlite::{Connection, OptionalExtension, params};

use super::Database;
use crate::store::error::{ChannelError, StoreError};
use crate::store::records::ProfileRecord;

/// Profiles that are kept.
const PROFILES_MAX: u32 = 64;
/// Characters in a profile's name.
const NAME_CHARS_MAX: usize = 64;
const NAME_ALLOWED: &str = "1 to 64 letters, digits, '.', '_' or '-', a letter or digit first";
/// Users that a refusal names.
const USERS_SHOWN_MAX: usize = 5;

impl Database {
    /// All profiles by name.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn profiles(&self) -> Result<Vec<ProfileRecord>, StoreError> {
        let sql = format!("SELECT {} FROM profiles ORDER BY name", ProfileRecord::COLUMNS);
        Ok(self
            .connection
            .prepare_cached(&sql)?
            .query_map([], ProfileRecord::read)?
            .collect::<Result<_, _>>()?)
    }

    /// The profile with a name.
    ///
    /// # Errors
    /// When there is none.
    pub fn profile(&self, name: &str) -> Result<ProfileRecord, ChannelError> {
        let sql = format!("SELECT {} FROM profiles WHERE name = ?1", ProfileRecord::COLUMNS);
        let found =
            self.connection.prepare_cached(&sql)?.query_row([name], ProfileRecord::read).optional()?;
        found.ok_or_else(|| not_found(name))
    }

    /// Keeps a new profile.
    ///
    /// # Errors
    /// When its name is taken or is none, or there is no room.
    pub fn create_profile(&mut self, profile: &ProfileRecord) -> Result<(), ChannelError> {
        let name = &profile.name;
        if !is_name(name) {
            let value = name.chars().take(NAME_CHARS_MAX).collect();
            return Err(ChannelError::Invalid { field: "name", value, allowed: NAME_ALLOWED });
        }
        let transaction = self.writing()?;
        if is_there(&transaction, name)? {
            return Err(ChannelError::ProfileExists { name: name.clone() });
        }
        let count: u32 =
            transaction.prepare_cached("SELECT count(*) FROM profiles")?.query_row([], |row| row.get(0))?;
        if count >= PROFILES_MAX {
            return Err(ChannelError::TooManyProfiles { max: PROFILES_MAX });
        }
        let sql = "INSERT INTO profiles (name) VALUES (?1)";
        transaction.prepare_cached(sql)?.execute([name])?;
        write(&transaction, profile)?;
        Ok(transaction.commit()?)
    }

    /// Makes a profile what it is now, all of it. Whatever carries its name goes on doing so.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn replace_profile(&mut self, profile: &ProfileRecord) -> Result<(), ChannelError> {
        match write(&self.connection, profile)? {
            0 => Err(not_found(&profile.name)),
            _one => Ok(()),
        }
    }

    /// Deletes a profile that nothing carries.
    ///
    /// # Errors
    /// When there is none of that name, or channels or sources carry it: they are named.
    pub fn delete_profile(&mut self, name: &str) -> Result<(), ChannelError> {
        let transaction = self.writing()?;
        let users = users(&transaction, name)?;
        if !users.is_empty() {
            let left = users.len().saturating_sub(USERS_SHOWN_MAX);
            let mut shown = users[..users.len() - left].join(", ");
            if left > 0 {
                shown.push_str(&format!(" and {left} more"));
            }
            return Err(ChannelError::ProfileInUse { name: name.to_owned(), users: shown });
        }
        if transaction.prepare_cached("DELETE FROM profiles WHERE name = ?1")?.execute([name])? == 0 {
            return Err(not_found(name));
        }
        Ok(transaction.commit()?)
    }

    /// Refuses the name of a profile that is not there.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn check_profile(&self, name: Option<&str>) -> Result<(), ChannelError> {
        check_name(&self.connection, name)
    }
}

/// Refuses the name of a profile that is not there.
pub(in crate::store) fn check_name(connection: &Connection, name: Option<&str>) -> Result<(), ChannelError> {
    match name {
        Some(name) if !is_there(connection, name)? => Err(not_found(name)),
        Some(_) | None => Ok(()),
    }
}

fn not_found(name: &str) -> ChannelError {
    ChannelError::ProfileNotFound { name: name.chars().take(NAME_CHARS_MAX).collect() }
}

/// It stands in paths and logs.
fn is_name(name: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

fn is_there(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM profiles WHERE name = ?1")?.exists([name])
}

/// Writes all but the name, and says of how many profiles.
fn write(connection: &Connection, profile: &ProfileRecord) -> rusqlite::Result<usize> {
    let ProfileRecord { name, mode, variant_max, ffmpeg_input, ffmpeg_output, headers, program, tls_verify } =
        profile;
    let json = |arguments: &Option<Vec<String>>| {
        let written = arguments.as_ref().map(serde_json::to_string);
        written.transpose().expect("text can be written as JSON")
    };
    let sql =
        "UPDATE profiles SET mode = ?2, variant_max = ?3, ffmpeg_input_json = ?4, ffmpeg_output_json = ?5,
        headers_json = ?6, program = ?7, tls_verify = ?8 WHERE name = ?1";
    connection.prepare_cached(sql)?.execute(params![
        name,
        mode,
        variant_max,
        json(ffmpeg_input),
        json(ffmpeg_output),
        serde_json::to_string(headers).expect("text can be written as JSON"),
        program,
        tls_verify
    ])
}

/// Who carries a profile, channels first.
fn users(connection: &Connection, name: &str) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT 'channel ' || guide_number FROM published_channels WHERE profile = ?1
        UNION ALL SELECT 'source ' || source_id || ' of channel ' || guide_number
        FROM channel_sources JOIN published_channels USING (channel_id) WHERE channel_sources.profile = ?1";
    connection.prepare_cached(sql)?.query_map([name], |row| row.get(0))?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::RequestHeaders;
    use crate::store::fixtures::{at, with_items};
    use crate::store::records::{ChannelChange, NewChannel};

    fn named(name: &str) -> ProfileRecord {
        ProfileRecord { name: name.to_owned(), ..ProfileRecord::default() }
    }

    fn full(name: &str) -> ProfileRecord {
        let mut headers = RequestHeaders::default();
        headers.set("Cookie", "a=b").unwrap();
        ProfileRecord {
            mode: Some("ffmpeg-copy".to_owned()),
            variant_max: Some("720p".to_owned()),
            ffmpeg_input: Some(vec!["-probesize".to_owned(), "100000".to_owned()]),
            ffmpeg_output: Some(Vec::new()),
            headers,
            program: Some(3),
            tls_verify: Some(false),
            ..named(name)
        }
    }

    #[test]
    fn a_profile_is_kept_as_it_was_given_until_it_is_replaced() {
        let mut database = Database::in_memory().unwrap();
        database.create_profile(&full("b")).unwrap();
        database.create_profile(&named("a")).unwrap();
        assert_eq!(database.profiles(), Ok(vec![named("a"), full("b")]));
        assert_eq!(database.replace_profile(&full("a")), Ok(()));
        assert_eq!(database.replace_profile(&named("b")), Ok(()));
        assert_eq!((database.profile("a"), database.profile("b")), (Ok(full("a")), Ok(named("b"))));
        let gone = || ChannelError::ProfileNotFound { name: "c".to_owned() };
        assert_eq!(database.replace_profile(&named("c")), Err(gone()));
        assert_eq!(database.profile("c"), Err(gone()));
        assert_eq!(database.delete_profile("c"), Err(gone()));
        assert_eq!(database.delete_profile("a"), Ok(()));
        assert_eq!(database.profile("a"), Err(ChannelError::ProfileNotFound { name: "a".to_owned() }));
    }

    #[test]
    fn names_are_unique_and_fit_for_paths_and_their_number_is_bounded() {
        let mut database = Database::in_memory().unwrap();
        database.create_profile(&named("hd-1.2_x")).unwrap();
        let exists = ChannelError::ProfileExists { name: "hd-1.2_x".to_owned() };
        assert_eq!(database.create_profile(&named("hd-1.2_x")), Err(exists));
        for name in ["", "-a", ".", "a b", "a/b", "ü", "a\n", &"x".repeat(65)] {
            let refused = database.create_profile(&named(name)).unwrap_err();
            assert!(matches!(refused, ChannelError::Invalid { field: "name", .. }), "{name:?}: {refused}");
        }
        for number in 1..PROFILES_MAX {
            database.create_profile(&named(&number.to_string())).unwrap();
        }
        let full = ChannelError::TooManyProfiles { max: PROFILES_MAX };
        assert_eq!(database.create_profile(&named("more")), Err(full));
    }

    #[test]
    fn what_channels_and_sources_carry_is_there_and_stays() {
        let mut database = with_items(&[("a", "A"), ("b", "B")]);
        let missing = || ChannelError::ProfileNotFound { name: "p".to_owned() };
        let mut new =
            NewChannel { item_key: "a".to_owned(), profile: Some("p".to_owned()), ..NewChannel::default() };
        assert_eq!(database.create_channel(&new, 100, at(1)), Err(missing()));
        assert_eq!(database.channels(), Ok(Vec::new()), "what is refused leaves nothing");
        database.create_profile(&named("p")).unwrap();
        let channel = database.create_channel(&new, 100, at(1)).unwrap();
        let (id, source) = (channel.channel_id, channel.sources[0].source_id);
        assert_eq!((channel.profile_name.as_deref(), &channel.sources[0].profile_name), (Some("p"), &None));
        new.item_key = "b".to_owned();
        database.create_channel(&new, 100, at(1)).unwrap();
        let carries = database.set_source_profile(id, source, Some("p"), at(2)).unwrap();
        assert_eq!(carries.profile_name.as_deref(), Some("p"));

        let refused = database.delete_profile("p").unwrap_err().to_string();
        let users = format!("channel 100, channel 101, source {source} of channel 100");
        assert_eq!(refused, format!("the profile \"p\" is in use by {users}"));
        let unnamed = ChannelChange { profile: Some(None), ..ChannelChange::default() };
        let renamed = ChannelChange { guide_name: Some("X".to_owned()), ..ChannelChange::default() };
        assert_eq!(database.update_channel(id, &renamed, at(3)).unwrap().profile_name.as_deref(), Some("p"));
        assert_eq!(database.update_channel(id, &unnamed, at(3)).unwrap().profile_name, None);
        let wrong = ChannelChange { profile: Some(Some("x".to_owned())), ..ChannelChange::default() };
        assert!(database.update_channel(id, &wrong, at(3)).is_err());
        assert_eq!(database.set_source_profile(id, source, None, at(3)).unwrap().profile_name, None);
        assert!(database.set_source_profile(id, source, Some("x"), at(3)).is_err());
        database.delete_channel(id + 1).unwrap();
        assert_eq!(database.delete_profile("p"), Ok(()), "nothing carries it any more");
    }

    #[test]
    fn a_refusal_names_some_of_many_users() {
        let mut database = with_items(&[("a", "A")]);
        database.create_profile(&named("p")).unwrap();
        let new =
            NewChannel { item_key: "a".to_owned(), profile: Some("p".to_owned()), ..NewChannel::default() };
        for _ in 0..7 {
            database.create_channel(&new, 100, at(1)).unwrap();
        }
        let refused = database.delete_profile("p").unwrap_err().to_string();
        assert!(refused.ends_with("channel 103, channel 104 and 2 more"), "{refused}");
    }
}
