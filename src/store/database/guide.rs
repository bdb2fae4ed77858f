//! The channels as programme guides look at them.

use super::Database;
use crate::store::error::StoreError;

/// A channel and one of its sources; without a source, its fields are empty.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct GuideRow {
    pub channel_id: i64,
    pub guide_number: String,
    pub guide_name: String,
    /// The item's.
    pub tvg_id: String,
    /// The item's.
    pub tvg_name: String,
    /// The item's own name.
    pub name: String,
    /// The item's.
    pub tvg_logo: String,
    /// The item's attribute `tvg-shift`.
    pub tvg_shift: String,
}

impl Database {
    /// The enabled channels in their order, each with its enabled sources in theirs.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn guide_rows(&self) -> Result<Vec<GuideRow>, StoreError> {
        let sql = "
            SELECT channels.channel_id, guide_number, guide_name, coalesce(tvg_id, ''), coalesce(tvg_name, ''),
                coalesce(name, ''), coalesce(tvg_logo, ''), coalesce(attrs_json ->> '$.\"tvg-shift\"', '')
            FROM published_channels channels
            LEFT JOIN channel_sources sources
                ON sources.channel_id = channels.channel_id AND sources.enabled = 1
            LEFT JOIN playlist_items items ON items.item_key = sources.item_key
            WHERE channels.enabled = 1
            ORDER BY order_index, priority_index";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| {
            Ok(GuideRow {
                channel_id: row.get(0)?,
                guide_number: row.get(1)?,
                guide_name: row.get(2)?,
                tvg_id: row.get(3)?,
                tvg_name: row.get(4)?,
                name: row.get(5)?,
                tvg_logo: row.get(6)?,
                tvg_shift: row.get(7)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::WallTime;
    use crate::store::{NewChannel, NewItem};

    #[test]
    fn channels_come_with_what_their_entries_say_for_guides() {
        let now = WallTime::from_unix_nanos(1);
        let item = |key: &str, attrs: &str| NewItem {
            item_key: key.to_owned(),
            name: format!("Name {key}"),
            stream_url: "http://h/".to_owned(),
            tvg_id: format!("{key}.id"),
            attrs_json: attrs.to_owned(),
            ..NewItem::default()
        };
        let items = [item("a", "{\"tvg-shift\":\"-1.5\"}"), item("b", "{}")];
        let mut database = Database::in_memory().unwrap();
        database.refresh_items(&items, now).unwrap();
        for key in ["b", "a"] {
            let new = NewChannel { item_key: key.to_owned(), ..NewChannel::default() };
            database.create_channel(&new, 100, now).unwrap();
        }
        database.add_source(1, "a", None, now).unwrap();
        let rows = database.guide_rows().unwrap();
        let seen: Vec<_> = rows
            .iter()
            .map(|row| (row.guide_number.as_str(), row.tvg_id.as_str(), row.tvg_shift.as_str()))
            .collect();
        assert_eq!(seen, [("100", "b.id", ""), ("100", "a.id", "-1.5"), ("101", "a.id", "-1.5")]);
        assert_eq!((rows[0].guide_name.as_str(), rows[1].name.as_str()), ("Name b", "Name a"));
    }
}
