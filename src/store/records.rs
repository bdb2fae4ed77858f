//! The rows as the rest of the program sees them.

use std::fmt;

use rusqlite::Row;
use serde::{Deserialize, Serialize};

use crate::base::WallTime;
use crate::http::RequestHeaders;
use crate::lineup::{Health, StoredProfile};
use crate::ts::es::FrameRate;
use crate::ts::{ProfileCodec, StreamProfile};

/// An entry of a playlist, as the catalog has read it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct NewItem {
    pub item_key: String,
    pub channel_key: String,
    pub name: String,
    pub group_name: String,
    pub stream_url: String,
    pub tvg_id: String,
    pub tvg_name: String,
    pub tvg_logo: String,
    /// All attributes of the entry, as a JSON object.
    pub attrs_json: String,
    /// What requests for its stream carry.
    pub headers: RequestHeaders,
}

/// An entry of a playlist, as the store remembers it.
#[derive(Clone, PartialEq, Eq)]
pub struct ItemRecord {
    pub item: NewItem,
    pub first_seen_at: WallTime,
    pub last_seen_at: WallTime,
    /// Whether the playlist held it when it was read last.
    pub active: bool,
    /// Whose it is.
    pub playlist_id: i64,
}

/// A playlist: where it is, and what holds for its streams.
#[derive(Clone, PartialEq, Eq)]
pub struct NewPlaylist {
    /// What people call it. In the settings it may be missing.
    pub name: String,
    /// Where it is. May hold credentials.
    pub url: String,
    /// Its streams that may be open at once; `None` is as many as the device has tuners without other playlists.
    pub tuners: Option<u32>,
    /// Who we are to its servers; `None` is as the settings say.
    pub user_agent: Option<String>,
    /// Whether it is read, and its streams are used.
    pub is_enabled: bool,
}

/// What is to change about a playlist; what is `None` stays.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct PlaylistChange {
    pub name: Option<String>,
    pub url: Option<String>,
    /// `Some(None)` is no number of its own.
    pub tuners: Option<Option<u32>>,
    /// `Some(None)` is as the settings say.
    pub user_agent: Option<Option<String>>,
    pub is_enabled: Option<bool>,
}

/// A playlist as the store has it.
#[derive(Clone, PartialEq, Eq)]
pub struct PlaylistRecord {
    pub playlist_id: i64,
    pub name: String,
    /// May hold credentials.
    pub url: String,
    pub tuners: Option<u32>,
    pub user_agent: Option<String>,
    pub is_enabled: bool,
    /// The settings say what it is: the API does not change it.
    pub is_set: bool,
    /// When it was read last, or tried to be.
    pub tried_at: Option<WallTime>,
    /// When it was read last.
    pub read_at: Option<WallTime>,
    /// Why it was not read the last time.
    pub failure: Option<String>,
    /// What it holds, as it was when it was read last.
    pub items: u64,
}

/// A rule that makes channels: which items, and which guide numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRule {
    /// What people call it.
    pub name: String,
    /// Of these groups alone, when there are some.
    pub groups: Vec<String>,
    /// As in a search of items; blank is all of the groups.
    pub query: String,
    /// `query` is a regular expression.
    pub is_regex: bool,
    /// Of this playlist alone.
    pub playlist_id: Option<i64>,
    /// The first guide number of its block.
    pub guide_start: u32,
    /// How many numbers the block has.
    pub block_size: u32,
    /// Whether it makes and removes channels.
    pub is_enabled: bool,
}

/// A rule as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleRecord {
    pub rule_id: i64,
    pub rule: NewRule,
    /// The channels that it has made and that are there.
    pub channels: u64,
    /// Channels for which its block had no room when it was applied last.
    pub left_out: u64,
    /// Seconds since 1970.
    pub created_at: u64,
    pub updated_at: u64,
}

/// What a channel is made from.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct NewChannel {
    /// The item that becomes its first source.
    pub item_key: String,
    /// Without one, the lowest number that is free.
    pub guide_number: Option<String>,
    /// Without one, the item's name.
    pub guide_name: Option<String>,
    /// The number of the only programme that is taken of its first source's stream.
    pub program: Option<u16>,
    /// The profile of all its sources.
    pub profile: Option<String>,
    /// Without one, the item's.
    pub channel_key: Option<String>,
}

/// By which a channel finds further sources in the playlist.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceRule {
    /// Without it nothing is found, nor taken away.
    pub enabled: bool,
    /// Of these groups alone; of all when there are none.
    pub group_names: Vec<String>,
    /// As items are searched.
    pub search_query: String,
    /// It is a regular expression.
    pub search_regex: bool,
}

/// What is to change about a channel; what is `None` stays.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ChannelChange {
    pub guide_number: Option<String>,
    pub guide_name: Option<String>,
    pub enabled: Option<bool>,
    /// `Some(None)` is no profile.
    pub profile: Option<Option<String>>,
}

/// A profile: how sources are read that carry its name. What is `None` is left to the next that has a say.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ProfileRecord {
    pub name: String,
    /// As `STREAM_MODE`.
    pub mode: Option<String>,
    /// As `HLS_VARIANT_MAX`.
    pub variant_max: Option<String>,
    /// Options of ffmpeg's input, each followed by its value.
    pub ffmpeg_input: Option<Vec<String>>,
    /// Options of ffmpeg's output, each followed by its value.
    pub ffmpeg_output: Option<Vec<String>>,
    /// What requests carry.
    pub headers: RequestHeaders,
    /// The number of the only programme that is taken.
    pub program: Option<u16>,
    /// Whether servers have to show who they are.
    pub tls_verify: Option<bool>,
}

/// A channel with its sources, the preferred one first.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelRecord {
    pub channel_id: i64,
    pub channel_class: String,
    pub channel_key: String,
    pub guide_number: String,
    pub guide_name: String,
    pub order_index: u32,
    pub enabled: bool,
    /// Seconds since 1970.
    pub created_at: u64,
    /// Seconds since 1970.
    pub updated_at: u64,
    /// The profile of all its sources.
    pub profile_name: Option<String>,
    pub sources: Vec<SourceRecord>,
}

/// A source of a channel.
#[derive(Clone, PartialEq)]
pub struct SourceRecord {
    pub source_id: i64,
    pub channel_id: i64,
    pub item_key: String,
    /// What the playlist calls it; blank when the item is missing.
    pub item_name: String,
    /// The item's; blank when the item is missing.
    pub tvg_name: String,
    /// The item's; blank when the item is missing.
    pub tvg_id: String,
    /// The item's; blank when the item is missing.
    pub tvg_logo: String,
    /// The item's; blank when the item is missing.
    pub group_name: String,
    /// The item's; blank when the item is missing.
    pub stream_url: String,
    /// The item's; none when the item is missing.
    pub headers: RequestHeaders,
    /// 0 is the preferred one.
    pub priority_index: u32,
    /// The item's playlist; none when the item is missing.
    pub playlist_id: Option<i64>,
    /// What that playlist is called; blank when the item is missing.
    pub playlist_name: String,
    /// Whether that playlist is used.
    pub is_playlist_enabled: bool,
    /// Who we are to that playlist's servers; `None` is as the settings say.
    pub user_agent: Option<String>,
    /// The number of the only programme that is taken of its stream.
    pub program: Option<u16>,
    /// Whether its servers have to show who they are; `None` is as the setting says.
    pub tls_verify: Option<bool>,
    /// Its profile.
    pub profile_name: Option<String>,
    pub enabled: bool,
    pub association_type: String,
    pub health: Health,
    pub profile: StoredProfile,
}

// The records below print their keys alone: an URL or an attribute may hold a password.

impl fmt::Debug for NewItem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { item_key, name, .. } = self;
        formatter
            .debug_struct("NewItem")
            .field("item_key", item_key)
            .field("name", name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ItemRecord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { item, first_seen_at, last_seen_at, active, playlist_id } = self;
        formatter
            .debug_struct("ItemRecord")
            .field("item", item)
            .field("first_seen_at", first_seen_at)
            .field("last_seen_at", last_seen_at)
            .field("active", active)
            .field("playlist_id", playlist_id)
            .finish()
    }
}

impl fmt::Debug for NewPlaylist {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NewPlaylist").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for PlaylistChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PlaylistChange").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for PlaylistRecord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PlaylistRecord")
            .field("playlist_id", &self.playlist_id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SourceRecord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SourceRecord")
            .field("source_id", &self.source_id)
            .field("channel_id", &self.channel_id)
            .field("item_key", &self.item_key)
            .field("priority_index", &self.priority_index)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

impl ItemRecord {
    pub(super) const COLUMNS: &str = "item_key, channel_key, name, group_name, stream_url, tvg_id, tvg_name, \
        tvg_logo, attrs_json, first_seen_at, \
        iif(active, max(last_seen_at, coalesce((SELECT read_at FROM playlists \
            WHERE playlists.playlist_id = playlist_items.playlist_id), 0)), last_seen_at), \
        active, headers_json, playlist_id";

    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            item: NewItem {
                item_key: row.get(0)?,
                channel_key: row.get(1)?,
                name: row.get(2)?,
                group_name: row.get(3)?,
                stream_url: row.get(4)?,
                tvg_id: row.get(5)?,
                tvg_name: row.get(6)?,
                tvg_logo: row.get(7)?,
                attrs_json: row.get(8)?,
                headers: headers(row, 12)?,
            },
            first_seen_at: WallTime::from_unix_nanos(unsigned(row, 9)?),
            last_seen_at: WallTime::from_unix_nanos(unsigned(row, 10)?),
            active: row.get(11)?,
            playlist_id: row.get(13)?,
        })
    }
}

impl ChannelRecord {
    pub(super) const COLUMNS: &str = "channel_id, channel_class, channel_key, guide_number, guide_name, \
        order_index, enabled, created_at, updated_at, profile";

    /// Reads the channel; its sources are in another table.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            channel_id: row.get(0)?,
            channel_class: row.get(1)?,
            channel_key: row.get(2)?,
            guide_number: row.get(3)?,
            guide_name: row.get(4)?,
            order_index: row.get(5)?,
            enabled: row.get(6)?,
            created_at: unsigned(row, 7)?,
            updated_at: unsigned(row, 8)?,
            profile_name: row.get(9)?,
            sources: Vec::new(),
        })
    }
}

impl SourceRecord {
    /// True when its streams may be used.
    #[must_use]
    pub const fn is_offered(&self) -> bool {
        self.enabled && self.is_playlist_enabled
    }

    /// Of `channel_sources` with `playlist_items` joined.
    pub(super) const COLUMNS: &str = "source_id, channel_id, channel_sources.item_key, \
        coalesce(tvg_name, ''), coalesce(stream_url, ''), priority_index, enabled, association_type, \
        last_ok_at, last_fail_at, last_fail_reason, success_count, fail_count, cooldown_until, last_probe_at, \
        profile_width, profile_height, profile_fps, profile_video_codec, profile_audio_codec, profile_bitrate_bps, \
        program, coalesce(headers_json, '{}'), tls_verify, profile, \
        coalesce(tvg_id, ''), coalesce(tvg_logo, ''), coalesce(group_name, ''), \
        playlist_items.playlist_id, coalesce(is_enabled, 1), user_agent, coalesce(playlist_items.name, ''), \
        coalesce(playlist_name, '')";

    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            source_id: row.get(0)?,
            channel_id: row.get(1)?,
            item_key: row.get(2)?,
            item_name: row.get(31)?,
            tvg_name: row.get(3)?,
            tvg_id: row.get(25)?,
            tvg_logo: row.get(26)?,
            group_name: row.get(27)?,
            stream_url: row.get(4)?,
            headers: headers(row, 22)?,
            priority_index: row.get(5)?,
            playlist_id: row.get(28)?,
            playlist_name: row.get(32)?,
            is_playlist_enabled: row.get(29)?,
            user_agent: row.get(30)?,
            program: row.get(21)?,
            tls_verify: row.get(23)?,
            profile_name: row.get(24)?,
            enabled: row.get(6)?,
            association_type: row.get(7)?,
            health: Health {
                last_ok_at: unsigned(row, 8)?,
                last_fail_at: unsigned(row, 9)?,
                last_fail_reason: row.get(10)?,
                success_count: unsigned(row, 11)?,
                fail_count: u32::try_from(unsigned(row, 12)?).unwrap_or(u32::MAX),
                cooldown_until: unsigned(row, 13)?,
            },
            profile: StoredProfile {
                probed_at: unsigned(row, 14)?,
                stream: StreamProfile {
                    width: row.get(15)?,
                    height: row.get(16)?,
                    frame_rate: FrameRate::of_f64(row.get(17)?),
                    video_codec: ProfileCodec::of_name(row.get_ref(18)?.as_str()?),
                    audio_codec: ProfileCodec::of_name(row.get_ref(19)?.as_str()?),
                    bitrate_bps: unsigned(row, 20)?,
                    ..StreamProfile::default()
                },
            },
        })
    }
}

#[cfg(test)]
impl SourceRecord {
    /// A source of channel 1 of which nothing is known but what it shows.
    pub(crate) fn showing(source_id: i64, stream: StreamProfile) -> Self {
        Self {
            source_id,
            channel_id: 1,
            item_key: String::new(),
            item_name: String::new(),
            tvg_name: String::new(),
            tvg_id: String::new(),
            tvg_logo: String::new(),
            group_name: String::new(),
            stream_url: String::new(),
            headers: RequestHeaders::NONE,
            priority_index: 0,
            playlist_id: Some(1),
            playlist_name: String::new(),
            is_playlist_enabled: true,
            user_agent: None,
            program: None,
            tls_verify: None,
            profile_name: None,
            enabled: true,
            association_type: String::new(),
            health: Health::default(),
            profile: StoredProfile { stream, probed_at: 0 },
        }
    }
}

impl ProfileRecord {
    pub(super) const COLUMNS: &str =
        "name, mode, variant_max, ffmpeg_input_json, ffmpeg_output_json, headers_json, program, tls_verify";

    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            name: row.get(0)?,
            mode: row.get(1)?,
            variant_max: row.get(2)?,
            ffmpeg_input: arguments(row, 3)?,
            ffmpeg_output: arguments(row, 4)?,
            headers: headers(row, 5)?,
            program: row.get(6)?,
            tls_verify: row.get(7)?,
        })
    }
}

fn arguments(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Vec<String>>> {
    let Some(text) = row.get_ref(column)?.as_str_or_null()? else { return Ok(None) };
    serde_json::from_str(text).map(Some).map_err(|error| unreadable(column, error))
}

fn headers(row: &Row<'_>, column: usize) -> rusqlite::Result<RequestHeaders> {
    let text = row.get_ref(column)?.as_str()?;
    // Most sources have none.
    if text == "{}" {
        return Ok(RequestHeaders::NONE);
    }
    serde_json::from_str(text).map_err(|error| unreadable(column, error))
}

fn unreadable(column: usize, error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
}

/// SQLite's integers are signed; all of ours that are times or counts are not.
pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_negative| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// A time or count as SQLite stores it. The end of its range is the year 2262.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
