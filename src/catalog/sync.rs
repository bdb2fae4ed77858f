//! The catalog between playlist, store and cores.

use crate::store::{ChannelRecord, NewItem};
use crate::tuner::{Channel, ChannelId, Lineup, Source, SourceId};

use super::m3u::{Item, Playlist};

/// The entries of a playlist as the store takes them.
#[must_use]
pub fn new_items(playlist: Playlist) -> Vec<NewItem> {
    playlist.items.into_iter().map(new_item).collect()
}

fn new_item(item: Item) -> NewItem {
    NewItem {
        attrs_json: serde_json::to_string(&item.attrs).expect("text can be written as JSON"),
        item_key: item.item_key,
        channel_key: item.channel_key,
        name: item.name,
        group_name: item.group,
        stream_url: item.url,
        tvg_id: item.tvg_id,
        tvg_name: item.tvg_name,
        tvg_logo: item.tvg_logo,
    }
}

/// The channels of the store as the cores see them. A source whose item has no address is none.
#[must_use]
pub fn lineup(records: &[ChannelRecord]) -> Lineup {
    Lineup::new(records.iter().filter(|record| record.enabled).map(channel))
}

fn channel(record: &ChannelRecord) -> Channel {
    let usable = record.sources.iter().filter(|source| source.enabled && !source.stream_url.is_empty());
    Channel {
        id: ChannelId(record.channel_id),
        guide_number: record.guide_number.clone(),
        name: record.guide_name.clone(),
        sources: usable
            .map(|source| Source {
                id: SourceId(source.source_id),
                item_key: source.item_key.clone(),
                url: source.stream_url.clone(),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::WallTime;
    use crate::store::{ChannelChange, Database, NewChannel, NewItem};

    #[test]
    fn an_entry_keeps_everything_the_playlist_says() {
        let text = b"#EXTM3U\n#EXTINF:-1 tvg-id=\"A.b\" tvg-logo=\"http://l/\" group-title=\"G\" x=\"1\",News\nhttp://h/a?token=1\n";
        let items = new_items(crate::catalog::m3u::parse(text));
        let [item] = items.as_slice() else { panic!("{items:?}") };
        assert_eq!(
            (item.name.as_str(), item.group_name.as_str(), item.tvg_id.as_str()),
            ("News", "G", "A.b")
        );
        assert_eq!((item.stream_url.as_str(), item.channel_key.as_str()), ("http://h/a?token=1", "tvg:a.b"));
        assert!(item.item_key.starts_with("src:a.b:"));
        assert_eq!(item.attrs_json, r#"{"group-title":"G","tvg-id":"A.b","tvg-logo":"http://l/","x":"1"}"#);
        assert_eq!(item.tvg_logo, "http://l/");
    }

    #[test]
    fn only_what_is_enabled_and_has_an_address_is_offered() {
        let now = WallTime::from_unix_nanos(1);
        let item = |key: &str, url: &str| NewItem {
            item_key: key.to_owned(),
            name: key.to_owned(),
            stream_url: url.to_owned(),
            attrs_json: "{}".to_owned(),
            ..NewItem::default()
        };
        let items =
            [item("a", "http://h/a"), item("b", "http://h/b"), item("c", "http://h/c"), item("none", "")];
        let mut database = Database::in_memory().unwrap();
        database.refresh_items(&items, now).unwrap();
        let mut create = |key: &str| {
            let new = NewChannel { item_key: key.to_owned(), ..NewChannel::default() };
            database.create_channel(&new, 100, now).unwrap()
        };
        let (first, second) = (create("a"), create("b"));
        database.add_source(first.channel_id, "none", now).unwrap();
        let unused = database.add_source(first.channel_id, "b", now).unwrap();
        database.set_source_enabled(first.channel_id, unused.source_id, false, now).unwrap();
        database.add_source(first.channel_id, "c", now).unwrap();
        let off = ChannelChange { enabled: Some(false), ..ChannelChange::default() };
        database.update_channel(second.channel_id, &off, now).unwrap();

        let lineup = lineup(&database.channels().unwrap());
        assert_eq!(lineup.count(), 1);
        let channel = lineup.find("100").unwrap();
        assert_eq!((channel.id, channel.name.as_str()), (ChannelId(first.channel_id), "a"));
        let urls: Vec<_> = channel.sources.iter().map(|source| source.url.as_str()).collect();
        assert_eq!(urls, ["http://h/a", "http://h/c"]);
    }
}
