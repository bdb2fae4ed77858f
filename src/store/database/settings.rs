//! Settings that the program itself decides once and must remember, such as its device id.

use rusqlite::OptionalExtension;

use super::Database;
use crate::store::error::StoreError;

impl Database {
    /// The value of a setting, if it has ever been set.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT value FROM settings WHERE key = ?1";
        Ok(self.connection.prepare_cached(sql)?.query_row([key], |row| row.get(0)).optional()?)
    }

    /// Sets a setting, whether or not it was set before.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn set_setting(&mut self, key: &str, value: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO settings (key, value) VALUES (?1, ?2)
            ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        self.connection.prepare_cached(sql)?.execute([key, value])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_absent_until_set_and_then_the_last_value() {
        let mut database = Database::in_memory().unwrap();
        assert_eq!(database.setting("identity.device_id").unwrap(), None);
        database.set_setting("identity.device_id", "1234ABCD").unwrap();
        database.set_setting("identity.device_id", "FEDC4321").unwrap();
        database.set_setting("identity.device_auth", "").unwrap();
        assert_eq!(database.setting("identity.device_id").unwrap().as_deref(), Some("FEDC4321"));
        assert_eq!(database.setting("identity.device_auth").unwrap().as_deref(), Some(""));
    }
}
