//! Which items are meant.

use rusqlite::types::Value;

use super::search::Search;

/// The most items in one page.
pub const ITEMS_PAGE_MAX: u32 = 1000;

/// Which items to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemFilter {
    /// Of these groups alone, spelt as the playlist spells them; of all when there are none.
    pub groups: Vec<String>,
    pub search: Option<Search>,
    /// Of this playlist alone.
    pub playlist: Option<i64>,
    /// Only those that are in the playlist now, or only those that are not.
    pub active: Option<bool>,
    /// At most [`ITEMS_PAGE_MAX`]; more is cut to that.
    pub limit: u32,
    /// How many to leave out before the first.
    pub offset: u32,
}

impl Default for ItemFilter {
    fn default() -> Self {
        Self {
            groups: Vec::new(),
            search: None,
            playlist: None,
            active: None,
            limit: ITEMS_PAGE_MAX,
            offset: 0,
        }
    }
}

impl ItemFilter {
    /// The condition on an item's row, and the values of its question marks.
    pub(super) fn condition(&self) -> (String, Vec<Value>) {
        let mut conditions = vec!["1".to_owned()];
        let mut values = Vec::new();
        if !self.groups.is_empty() {
            conditions.push(format!("group_name IN ({})", vec!["?"; self.groups.len()].join(", ")));
            values.extend(self.groups.iter().cloned().map(Value::from));
        }
        if let Some(playlist) = self.playlist {
            conditions.push("playlist_id = ?".to_owned());
            values.push(Value::from(playlist));
        }
        if let Some(active) = self.active {
            conditions.push("active = ?".to_owned());
            values.push(Value::from(active));
        }
        if let Some(search) = &self.search {
            let (condition, of_search) = search.condition();
            conditions.push(condition);
            values.extend(of_search);
        }
        (conditions.join(" AND "), values)
    }
}
