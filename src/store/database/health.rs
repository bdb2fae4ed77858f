//! What is remembered of sources: written by the cores, forgotten by the operator.

use rusqlite::params;

use super::Database;
use crate::lineup::{HealthRow, SourceId, StoredProfile};
use crate::store::error::{ChannelError, StoreError};
use crate::store::records::signed;
use crate::ts::codec_name;

/// The six columns, as they are for a source that was never tried.
pub(super) const RESET: &str =
    "UPDATE channel_sources SET last_ok_at = 0, last_fail_at = 0, last_fail_reason = '',
    success_count = 0, fail_count = 0, cooldown_until = 0";

impl Database {
    /// Writes what has become of sources, all or nothing, and says which of them there are not. A profile that is
    /// older than the one stored is left out.
    ///
    /// # Errors
    /// When SQLite refuses, for instance because the disk is full.
    pub fn write_health(&mut self, rows: &[HealthRow<SourceId>]) -> Result<Vec<SourceId>, StoreError> {
        let mut missing = Vec::new();
        let transaction = self.writing()?;
        {
            let mut is_there =
                transaction.prepare_cached("SELECT 1 FROM channel_sources WHERE source_id = ?1")?;
            let mut health = transaction.prepare_cached(
                "UPDATE channel_sources SET last_ok_at = ?2, last_fail_at = ?3, last_fail_reason = ?4,
                    success_count = ?5, fail_count = ?6, cooldown_until = ?7 WHERE source_id = ?1",
            )?;
            let mut profile = transaction.prepare_cached(
                "UPDATE channel_sources SET last_probe_at = ?2, profile_width = ?3, profile_height = ?4,
                    profile_fps = ?5, profile_video_codec = ?6, profile_audio_codec = ?7,
                    profile_bitrate_bps = ?8
                WHERE source_id = ?1 AND (?2 = 0 OR last_probe_at <= ?2)",
            )?;
            for HealthRow { source, health: of_health, profile: of_profile } in rows {
                if !is_there.exists([source.0])? {
                    missing.push(*source);
                    continue;
                }
                if let Some(row) = of_health {
                    health.execute(params![
                        source.0,
                        signed(row.last_ok_at),
                        signed(row.last_fail_at),
                        row.last_fail_reason,
                        signed(row.success_count),
                        row.fail_count,
                        signed(row.cooldown_until),
                    ])?;
                }
                if let Some(StoredProfile { stream, probed_at }) = of_profile {
                    profile.execute(params![
                        source.0,
                        signed(*probed_at),
                        stream.width,
                        stream.height,
                        stream.fps(),
                        codec_name(stream.video_codec.as_ref()),
                        codec_name(stream.audio_codec.as_ref()),
                        signed(stream.bitrate_bps),
                    ])?;
                }
            }
        }
        transaction.commit()?;
        Ok(missing)
    }

    /// Forgets the health of a channel's sources, enabled or not. The number of them.
    ///
    /// # Errors
    /// When there is no such channel.
    pub fn reset_channel_health(&mut self, channel_id: i64) -> Result<usize, ChannelError> {
        let transaction = self.writing()?;
        let channel = "SELECT 1 FROM published_channels WHERE channel_id = ?1";
        if !transaction.prepare_cached(channel)?.exists([channel_id])? {
            return Err(ChannelError::ChannelNotFound { channel_id });
        }
        let sql = format!("{RESET} WHERE channel_id = ?1");
        let count = transaction.prepare_cached(&sql)?.execute([channel_id])?;
        transaction.commit()?;
        Ok(count)
    }

    /// Forgets the health of all sources. The number of them.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn reset_health(&mut self) -> Result<usize, StoreError> {
        Ok(self.connection.prepare_cached(RESET)?.execute([])?)
    }
}

#[cfg(test)]
impl Database {
    /// From now on every write fails, as it does when the file system has become read-only.
    pub(crate) fn refuse_writes(&self) -> Result<(), StoreError> {
        Ok(self.connection.pragma_update(None, "query_only", true)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineup::{Health, StreamProfile};
    use crate::store::fixtures::{at, with_items};
    use crate::store::records::{NewChannel, SourceRecord};
    use crate::ts::ProfileCodec;
    use crate::ts::es::FrameRate;

    /// A database with a channel of two sources and a channel of one, and their ids.
    fn with_sources() -> (Database, [i64; 2], [i64; 3]) {
        let mut database = with_items(&[("a", "A"), ("b", "B"), ("c", "C")]);
        let new = |key: &str| NewChannel { item_key: key.to_owned(), ..NewChannel::default() };
        let first = database.create_channel(&new("a"), 100, at(1)).unwrap();
        let added = database.add_source(first.channel_id, "b", None, at(1)).unwrap();
        let second = database.create_channel(&new("c"), 100, at(1)).unwrap();
        let sources = [first.sources[0].source_id, added.source_id, second.sources[0].source_id];
        (database, [first.channel_id, second.channel_id], sources)
    }

    fn failed(source_id: i64, fail_count: u32) -> HealthRow<SourceId> {
        let health = Health {
            last_ok_at: 5,
            last_fail_at: 10,
            last_fail_reason: "refused".to_owned(),
            success_count: 7,
            fail_count,
            cooldown_until: 20,
        };
        HealthRow { source: SourceId(source_id), health: Some(health), profile: None }
    }

    fn looked_at(source_id: i64, probed_at: u64, width: u32) -> HealthRow<SourceId> {
        let stream = StreamProfile {
            width,
            height: 1080,
            frame_rate: FrameRate::of_f64(29.97),
            video_codec: ProfileCodec::of_name("h264"),
            audio_codec: ProfileCodec::of_name("aac"),
            bitrate_bps: 8_000_000,
            ..StreamProfile::default()
        };
        let profile = StoredProfile { stream, probed_at };
        HealthRow { source: SourceId(source_id), health: None, profile: Some(profile) }
    }

    fn stored(database: &Database, source_id: i64) -> SourceRecord {
        let channels = database.channels().unwrap();
        let mut sources = channels.into_iter().flat_map(|channel| channel.sources);
        sources.find(|source| source.source_id == source_id).unwrap()
    }

    #[test]
    fn a_row_is_written_whole_and_the_rest_of_the_source_stays() {
        let (mut database, _, [a, b, _]) = with_sources();
        let before = stored(&database, a);
        assert_eq!(database.write_health(&[failed(a, 2)]).unwrap(), [SourceId(0); 0]);
        let expected = SourceRecord { health: failed(a, 2).health.unwrap(), ..before };
        assert_eq!(stored(&database, a), expected);
        assert_eq!(stored(&database, b).health, Health::default());
    }

    #[test]
    fn sources_that_are_gone_are_named_and_the_others_written() {
        let (mut database, [channel, _], [a, b, c]) = with_sources();
        database.remove_source(channel, b, at(2)).unwrap();
        let missing = database.write_health(&[failed(a, 1), failed(b, 1), failed(c, 3), failed(99, 1)]);
        assert_eq!(missing.unwrap(), [b, 99].map(SourceId));
        assert_eq!((stored(&database, a).health.fail_count, stored(&database, c).health.fail_count), (1, 3));
    }

    #[test]
    fn a_profile_that_is_older_than_the_stored_one_is_left_out() {
        let (mut database, _, [a, ..]) = with_sources();
        for (probed_at, width, expected) in
            [(100, 1, (100, 1)), (99, 2, (100, 1)), (100, 3, (100, 3)), (101, 4, (101, 4)), (0, 0, (0, 0))]
        {
            assert_eq!(database.write_health(&[looked_at(a, probed_at, width)]).unwrap(), [SourceId(0); 0]);
            let source = stored(&database, a);
            assert_eq!(
                (source.profile.probed_at, source.profile.stream.width),
                expected,
                "{probed_at} {width}"
            );
            assert_eq!(source.health, Health::default());
        }
    }

    #[test]
    fn health_and_profile_of_one_source_go_together() {
        let (mut database, _, [a, ..]) = with_sources();
        let both = HealthRow { profile: looked_at(a, 50, 1920).profile, ..failed(a, 1) };
        database.write_health(&[both]).unwrap();
        let source = stored(&database, a);
        let profile = &source.profile;
        assert_eq!((source.health.fail_count, profile.probed_at, profile.stream.fps()), (1, 50, 29.97));
    }

    #[test]
    fn a_reset_forgets_six_columns_of_the_channel_or_of_all() {
        let (mut database, [first, _], [a, b, c]) = with_sources();
        let all = [failed(a, 1), failed(b, 2), failed(c, 3), looked_at(a, 50, 1920)];
        database.write_health(&all).unwrap();
        database.set_source_enabled(first, b, false, at(2)).unwrap();
        assert_eq!(database.reset_channel_health(first), Ok(2));
        for source in [a, b] {
            assert_eq!(stored(&database, source).health, Health::default());
        }
        assert_eq!(stored(&database, a).profile.probed_at, 50, "what it is made of is still so");
        assert_eq!(stored(&database, c).health.fail_count, 3);
        assert_eq!(database.reset_health(), Ok(3));
        assert_eq!(stored(&database, c).health, Health::default());
        let gone = ChannelError::ChannelNotFound { channel_id: 99 };
        assert_eq!(database.reset_channel_health(99), Err(gone));
    }

    #[test]
    fn a_database_that_may_only_be_read_refuses_and_works_again_afterwards() {
        let (mut database, _, [a, ..]) = with_sources();
        database.refuse_writes().unwrap();
        let refused = database.write_health(&[failed(a, 1)]).unwrap_err();
        assert!(matches!(refused, StoreError::Sqlite(_)), "{refused}");
        assert_eq!(stored(&database, a).health.fail_count, 0, "and is read all the same");
        database.connection.pragma_update(None, "query_only", false).unwrap();
        database.write_health(&[failed(a, 2)]).unwrap();
        assert_eq!(stored(&database, a).health.fail_count, 2);
    }

    #[test]
    fn of_a_batch_that_does_not_fit_on_the_disk_nothing_is_written() {
        let (mut database, [channel, _], [a, ..]) = with_sources();
        let items: Vec<_> =
            (0..200).map(|n| crate::store::fixtures::item(&format!("key {n}"), "N")).collect();
        database.refresh_items(&items, at(2)).unwrap();
        let sources: Vec<i64> = (0..200)
            .map(|n| database.add_source(channel, &format!("key {n}"), None, at(3)).unwrap().source_id)
            .collect();
        let pages: i64 =
            database.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        database.connection.pragma_update(None, "max_page_count", pages).unwrap();
        let mut changes: Vec<_> = sources.iter().map(|source| failed(*source, 1)).collect();
        for change in &mut changes {
            change.health.as_mut().unwrap().last_fail_reason = "x".repeat(240);
        }
        changes.insert(0, failed(a, 9));
        let refused = database.write_health(&changes).unwrap_err();
        let StoreError::Sqlite(error) = refused else { panic!("{refused}") };
        assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DiskFull));
        assert_eq!(stored(&database, a).health.fail_count, 0);
        database.connection.pragma_update(None, "max_page_count", 1_000_000).unwrap();
        assert_eq!(database.write_health(&changes).unwrap(), [SourceId(0); 0]);
        assert_eq!(stored(&database, sources[199]).health.fail_count, 1);
    }
}
