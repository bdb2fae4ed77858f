//! The catalog between playlist, store and cores.

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::sync::Arc;

use crate::lineup::{
    Channel, ChannelId, Lineup, PlaylistId, Source, SourceId, SourceName, Treatment, Tuners,
};
use crate::store::{ChannelRecord, NewItem, PlaylistRecord, SourceRecord};

use super::m3u::{Entries, Guides, Item, LeftOut};
use super::profiles::{Profiles, manner};

/// The entries of a playlist as the store takes them.
pub struct NewItems<R>(Entries<R>);

impl<R: BufRead> NewItems<R> {
    /// Of the playlist that is read there.
    pub fn new(from: R) -> Self {
        Self(Entries::new(from))
    }

    /// What was left out so far.
    #[must_use]
    pub const fn left_out(&self) -> LeftOut {
        self.0.left_out()
    }

    /// The programme guides that were named so far.
    #[must_use]
    pub const fn guides(&self) -> &Guides {
        self.0.guides()
    }
}

impl<R: BufRead> Iterator for NewItems<R> {
    type Item = io::Result<NewItem>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|item| item.map(new_item))
    }
}

fn new_item(item: Item) -> NewItem {
    NewItem {
        attrs_json: serde_json::to_string(&item.attrs).expect("text can be written as JSON"),
        headers: item.headers,
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
pub fn lineup(records: &[ChannelRecord], profiles: &Profiles) -> Lineup {
    let offered = records.iter().filter(|record| record.enabled).map(|record| channel(record, profiles));
    let channels = records.iter().filter(|record| !record.enabled).map(|record| ChannelId(record.channel_id));
    let sources = records.iter().flat_map(|record| &record.sources).filter(|source| !source.is_offered());
    Lineup::new(offered).with_disabled(channels, sources.map(|source| SourceId(source.source_id)))
}

/// How many streams may be open at once: as many as the playlists that are used allow together, each no more than its own. `count` is
/// for what says nothing of that. A single playlist is not counted for itself, but with whatever else is open.
#[must_use]
pub fn tuners(playlists: &[PlaylistRecord], count: u32) -> Tuners {
    let used: Vec<_> = playlists
        .iter()
        .filter(|playlist| playlist.is_enabled)
        .map(|playlist| (PlaylistId(playlist.playlist_id), playlist.tuners.unwrap_or(count)))
        .collect();
    let total = match used.iter().map(|(_, tuners)| u64::from(*tuners)).sum() {
        0 => u64::from(count),
        total => total,
    };
    let of_playlists = if used.len() > 1 { used.into_iter().collect() } else { BTreeMap::new() };
    Tuners { count: Some(u16::try_from(total).unwrap_or(u16::MAX)), of_playlists }
}

fn channel(record: &ChannelRecord, profiles: &Profiles) -> Channel {
    let of_channel = record.profile_name.as_deref();
    let usable = record.sources.iter().filter(|source| source.is_offered() && !source.stream_url.is_empty());
    Channel {
        id: ChannelId(record.channel_id),
        guide_number: record.guide_number.clone(),
        name: record.guide_name.clone(),
        sources: usable.map(|record| source(record, of_channel, profiles)).collect(),
    }
}

fn source(record: &SourceRecord, of_channel: Option<&str>, profiles: &Profiles) -> Source {
    let own = Treatment {
        headers: record.headers.clone(),
        program: record.program,
        tls_verify: record.tls_verify,
        ..Treatment::default()
    };
    let (treatment, nearest) =
        profiles.resolve(own, record.profile_name.as_deref(), of_channel, record.user_agent.as_deref());
    let title = [&record.tvg_name, &record.item_name].into_iter().find(|name| !name.is_empty());
    let name =
        SourceName { title: title.cloned().unwrap_or_default(), playlist: record.playlist_name.clone() };
    Source {
        id: SourceId(record.source_id),
        name: Arc::new(name),
        item_key: record.item_key.clone(),
        playlist: PlaylistId(record.playlist_id.unwrap_or_default()),
        url: record.stream_url.clone(),
        manner: manner(&treatment, nearest),
        headers: treatment.headers,
        program: treatment.program,
        tls_verify: treatment.tls_verify,
        priority: record.priority_index,
        health: record.health.clone(),
        profile: record.profile.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::WallTime;
    use crate::lineup::{Health, HealthRow, StoredProfile, StreamProfile};
    use crate::store::{ChannelChange, Database, NewChannel, NewItem};
    use crate::ts::ProfileCodec;
    use crate::ts::es::FrameRate;

    #[test]
    fn playlists_that_are_used_add_up_and_several_are_counted_each_for_itself() {
        let playlist = |playlist_id, tuners, is_enabled| PlaylistRecord {
            playlist_id,
            name: String::new(),
            url: String::new(),
            tuners,
            user_agent: None,
            is_enabled,
            is_set: true,
            tried_at: None,
            read_at: None,
            failure: None,
            items: 0,
        };
        let pair = |id, tuners| (PlaylistId(id), tuners);
        for (playlists, count, of_playlists) in [
            (vec![], 2, vec![]),
            (vec![playlist(1, Some(2), true)], 2, vec![]),
            (vec![playlist(2, Some(7), true)], 7, vec![]),
            (vec![playlist(2, Some(7), false)], 2, vec![]),
            (vec![playlist(1, Some(2), true), playlist(2, Some(4), true)], 6, vec![pair(1, 2), pair(2, 4)]),
            (vec![playlist(2, None, true), playlist(3, Some(1), true)], 3, vec![pair(2, 2), pair(3, 1)]),
            (vec![playlist(2, Some(65_536), true)], u16::MAX, vec![]),
        ] {
            let expected = Tuners { count: Some(count), of_playlists: of_playlists.into_iter().collect() };
            assert_eq!(tuners(&playlists, 2), expected, "{playlists:?}");
        }
    }

    #[test]
    fn an_entry_keeps_everything_the_playlist_says() {
        let text = b"#EXTM3U\n#EXTINF:-1 tvg-id=\"A.b\" tvg-logo=\"http://l/\" group-title=\"G\" x=\"1\",News\nhttp://h/a?token=1\n";
        let items: Vec<_> = NewItems::new(&text[..]).map(Result::unwrap).collect();
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
    fn what_a_core_has_learned_comes_back_with_the_next_lineup() {
        let now = WallTime::from_unix_nanos(1);
        let item = NewItem {
            item_key: "a".to_owned(),
            stream_url: "http://h/a".to_owned(),
            attrs_json: "{}".to_owned(),
            ..NewItem::default()
        };
        let mut database = Database::in_memory().unwrap();
        database.refresh_items(&[item], now).unwrap();
        let new = NewChannel { item_key: "a".to_owned(), ..NewChannel::default() };
        let source = SourceId(database.create_channel(&new, 100, now).unwrap().sources[0].source_id);
        let health = Health {
            last_ok_at: 1,
            last_fail_at: 2,
            last_fail_reason: "r".to_owned(),
            success_count: 3,
            fail_count: 4,
            cooldown_until: 5,
        };
        let stream = StreamProfile {
            width: 7,
            height: 8,
            frame_rate: FrameRate::of_f64(29.97),
            video_codec: ProfileCodec::of_name("h264"),
            audio_codec: ProfileCodec::of_name("aac"),
            bitrate_bps: 9,
            ..StreamProfile::default()
        };
        let profile = StoredProfile { stream, probed_at: 6 };
        let row = HealthRow { source, health: Some(health.clone()), profile: Some(profile.clone()) };
        assert_eq!(database.write_health(&[row]), Ok(Vec::new()));
        let lineup = lineup(&database.lineup().unwrap(), &Profiles::default());
        let (_, offered) = lineup.source(source).unwrap();
        assert_eq!((&offered.health, &offered.profile, offered.priority), (&health, &profile, 0));
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
        database.add_source(first.channel_id, "none", None, now).unwrap();
        let unused = database.add_source(first.channel_id, "b", None, now).unwrap();
        database.set_source_enabled(first.channel_id, unused.source_id, false, now).unwrap();
        database.add_source(first.channel_id, "c", None, now).unwrap();
        let off = ChannelChange { enabled: Some(false), ..ChannelChange::default() };
        database.update_channel(second.channel_id, &off, now).unwrap();

        let lineup = lineup(&database.channels().unwrap(), &Profiles::default());
        assert_eq!(lineup.count(), 1);
        let channel = lineup.find("100").unwrap();
        assert_eq!((channel.id, channel.name.as_str()), (ChannelId(first.channel_id), "a"));
        let urls: Vec<_> = channel.sources.iter().map(|source| source.url.as_str()).collect();
        assert_eq!(urls, ["http://h/a", "http://h/c"]);
        assert_eq!(lineup.why_no_channel(ChannelId(second.channel_id)), "admin_channel_disabled");
        assert_eq!(lineup.why_no_source(SourceId(unused.source_id)), "admin_source_disabled");
    }
}
