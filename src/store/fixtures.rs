//! What the tests of this module start from.

use super::database::Database;
use super::records::NewItem;
use crate::base::WallTime;

/// A number of seconds after 1970.
pub(super) fn at(seconds: u64) -> WallTime {
    WallTime::from_unix_nanos(seconds * 1_000_000_000)
}

pub(super) fn item(item_key: &str, name: &str) -> NewItem {
    NewItem {
        item_key: item_key.to_owned(),
        channel_key: format!("name:{}", name.to_lowercase()),
        name: name.to_owned(),
        group_name: "Group".to_owned(),
        stream_url: format!("http://example.com/{item_key}.ts"),
        tvg_name: format!("tvg {name}"),
        attrs_json: "{}".to_owned(),
        ..NewItem::default()
    }
}

/// A database in memory with items of these keys and names, seen at second 100.
pub(super) fn with_items(items: &[(&str, &str)]) -> Database {
    let mut database = Database::in_memory().expect("memory suffices");
    let items: Vec<_> = items.iter().map(|(key, name)| item(key, name)).collect();
    database.refresh_items(&items, at(100)).expect("a fresh database takes items");
    database
}
