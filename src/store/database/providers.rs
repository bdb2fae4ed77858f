//! How long providers count a connection that is closed.

use std::time::Duration;

use rusqlite::{Row, params};

use super::Database;
use crate::base::WallTime;
use crate::store::error::StoreError;
use crate::store::records::signed;

/// Providers remembered. Full: the one that was seen least lately goes.
const PROVIDERS_MAX: i64 = 256;
/// What was seen longer ago says nothing any more, in seconds.
const AGE_MAX: u64 = 30 * 24 * 60 * 60;

impl Database {
    /// Writes how long a provider was seen to count, or that it does not.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn set_counted(
        &mut self,
        provider: &str,
        time: Option<Duration>,
        now: WallTime,
    ) -> Result<(), StoreError> {
        let transaction = self.writing()?;
        transaction.prepare_cached("DELETE FROM providers WHERE scope = ?1")?.execute([provider])?;
        if let Some(time) = time {
            let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX).max(1);
            let sql = "INSERT INTO providers (scope, counted_ms, seen_at) VALUES (?1, ?2, ?3)";
            let seen_at = signed(now.unix_seconds());
            transaction.prepare_cached(sql)?.execute(params![provider, millis, seen_at])?;
        }
        let sql = "DELETE FROM providers WHERE seen_at < ?1 OR scope NOT IN
            (SELECT scope FROM providers ORDER BY seen_at DESC, scope LIMIT ?2)";
        transaction.prepare_cached(sql)?.execute([oldest(now), PROVIDERS_MAX])?;
        Ok(transaction.commit()?)
    }

    /// Which providers were seen to count, and how long, as far as that may still be so.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn counted(&self, now: WallTime) -> Result<Vec<(String, Duration)>, StoreError> {
        let sql =
            "SELECT scope, counted_ms FROM providers WHERE seen_at >= ?1 ORDER BY seen_at DESC LIMIT ?2";
        let read = |row: &Row<'_>| {
            let millis: i64 = row.get(1)?;
            Ok((row.get(0)?, Duration::from_millis(millis.unsigned_abs())))
        };
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([oldest(now), PROVIDERS_MAX], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn oldest(now: WallTime) -> i64 {
    signed(now.unix_seconds().saturating_sub(AGE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> WallTime {
        WallTime::from_unix_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn what_was_seen_last_of_a_provider_is_known_for_a_month() {
        let mut database = Database::in_memory().unwrap();
        let day = 24 * 60 * 60;
        let millis = Duration::from_millis;
        database.set_counted("a:80", Some(millis(900)), at(day)).unwrap();
        database.set_counted("a:80", Some(millis(2600)), at(2 * day)).unwrap();
        database.set_counted("b", Some(millis(100)), at(20 * day)).unwrap();
        database.set_counted("c", Some(millis(100)), at(20 * day)).unwrap();
        database.set_counted("c", None, at(21 * day)).unwrap();
        let (a, b) = (("a:80".to_owned(), millis(2600)), ("b".to_owned(), millis(100)));
        assert_eq!(database.counted(at(32 * day)).unwrap(), [b.clone(), a]);
        assert_eq!(database.counted(at(33 * day)).unwrap(), [b]);
    }

    #[test]
    fn the_number_of_providers_is_bounded() {
        let mut database = Database::in_memory().unwrap();
        for number in 0..300 {
            database.set_counted(&format!("h{number}"), Some(Duration::from_secs(1)), at(number)).unwrap();
        }
        let known = database.counted(at(300)).unwrap();
        assert_eq!((known.len(), known[0].0.as_str()), (256, "h299"));
    }
}
