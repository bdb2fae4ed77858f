//! The channels as the cores see them: an immutable table, replaced whole when the catalog changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::health::Health;
use super::profile::StoredProfile;
use super::treatment::Manner;
use crate::http::RequestHeaders;

/// A channel's row in the database.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChannelId(pub i64);

/// A source's row in the database.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct SourceId(pub i64);

/// A playlist's row in the database.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct PlaylistId(pub i64);

impl fmt::Display for ChannelId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What people call a source; blank is not known.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct SourceName {
    /// As its guide has it, or its playlist.
    pub title: String,
    /// What its playlist is called.
    pub playlist: String,
}

/// One way to get a channel's stream.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Source {
    /// Its row.
    pub id: SourceId,
    /// What it is called now, which is remembered when it is gone.
    pub name: Arc<SourceName>,
    /// The playlist item it stands for.
    pub item_key: String,
    /// The playlist that the item is of: its streams are counted together.
    pub playlist: PlaylistId,
    /// Where it is read from. May hold credentials: never shown unredacted.
    pub url: String,
    /// What requests for it carry. May hold credentials.
    pub headers: RequestHeaders,
    /// The number of the only programme of its stream that is taken; `None` for the first that can be shown.
    pub program: Option<u16>,
    /// Whether its servers have to show who they are; `None` is as the setting says.
    pub tls_verify: Option<bool>,
    /// How it is read, where its profiles say so.
    pub manner: Manner,
    /// Its place by the operator's wish, 0 first.
    pub priority: u32,
    /// Its health as the database had it; a core that has used the source knows better.
    pub health: Health,
    /// What its stream is made of, as the database had it.
    pub profile: StoredProfile,
}

/// A channel: a guide number and the sources that can serve it, the operator's choice first.
#[derive(Clone, PartialEq, Debug)]
pub struct Channel {
    /// Its row.
    pub id: ChannelId,
    /// What the viewer asks for.
    pub guide_number: String,
    /// What the viewer reads.
    pub name: String,
    /// Enabled sources in the operator's order.
    pub sources: Vec<Source>,
}

/// All enabled channels.
#[derive(Clone, Default, Debug)]
pub struct Lineup {
    by_guide_number: BTreeMap<String, Arc<Channel>>,
    /// The channel that has the source, and the source's place in it.
    by_source: BTreeMap<SourceId, (Arc<Channel>, usize)>,
    /// What there is and is not offered.
    disabled: (BTreeSet<ChannelId>, BTreeSet<SourceId>),
    tuners: Tuners,
}

/// How many streams may be open at once.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Tuners {
    /// Of all playlists together; `None` is as the settings say.
    pub count: Option<u16>,
    /// Of each playlist; those that are not named may have any number.
    pub of_playlists: BTreeMap<PlaylistId, u32>,
}

impl Lineup {
    /// A lineup of these channels. Of two with one guide number the first stays.
    #[must_use]
    pub fn new(channels: impl IntoIterator<Item = Channel>) -> Self {
        let mut by_guide_number = BTreeMap::new();
        for channel in channels {
            by_guide_number.entry(channel.guide_number.clone()).or_insert_with(|| Arc::new(channel));
        }
        let mut by_source = BTreeMap::new();
        for channel in by_guide_number.values() {
            for (place, source) in channel.sources.iter().enumerate() {
                by_source.entry(source.id).or_insert_with(|| (Arc::clone(channel), place));
            }
        }
        Self { by_guide_number, by_source, disabled: Default::default(), tuners: Tuners::default() }
    }

    /// The same, with what there is besides and is not offered: whoever looks for it learns that it is not gone.
    #[must_use]
    pub fn with_disabled(
        self,
        channels: impl IntoIterator<Item = ChannelId>,
        sources: impl IntoIterator<Item = SourceId>,
    ) -> Self {
        let disabled = (channels.into_iter().collect(), sources.into_iter().collect());
        Self { disabled, ..self }
    }

    /// The same, with what playlists allow.
    #[must_use]
    pub fn with_tuners(self, tuners: Tuners) -> Self {
        Self { tuners, ..self }
    }

    /// How many streams may be open at once.
    #[must_use]
    pub const fn tuners(&self) -> &Tuners {
        &self.tuners
    }

    /// The channel, if it is offered.
    #[must_use]
    pub fn channel(&self, id: ChannelId) -> Option<&Arc<Channel>> {
        self.channels().find(|channel| channel.id == id)
    }

    /// Why a channel is not offered.
    #[must_use]
    pub fn why_no_channel(&self, id: ChannelId) -> &'static str {
        if self.disabled.0.contains(&id) { "admin_channel_disabled" } else { "admin_channel_deleted" }
    }

    /// Why a source is not offered.
    #[must_use]
    pub fn why_no_source(&self, id: SourceId) -> &'static str {
        if self.disabled.1.contains(&id) { "admin_source_disabled" } else { "admin_source_deleted" }
    }

    /// All channels, by guide number.
    pub fn channels(&self) -> impl Iterator<Item = &Arc<Channel>> {
        self.by_guide_number.values()
    }

    /// A source of a channel that is offered, and the channel.
    #[must_use]
    pub fn source(&self, source: SourceId) -> Option<(&Arc<Channel>, &Source)> {
        let (channel, place) = self.by_source.get(&source)?;
        Some((channel, &channel.sources[*place]))
    }

    /// The channel with exactly this guide number.
    #[must_use]
    pub fn find(&self, guide_number: &str) -> Option<&Arc<Channel>> {
        self.by_guide_number.get(guide_number)
    }

    /// The number of channels.
    #[must_use]
    pub fn count(&self) -> usize {
        self.by_guide_number.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(id: i64, guide_number: &str) -> Channel {
        Channel {
            id: ChannelId(id),
            guide_number: guide_number.to_owned(),
            name: String::new(),
            sources: Vec::new(),
        }
    }

    #[test]
    fn guide_numbers_are_matched_exactly() {
        let lineup = Lineup::new([channel(1, "100"), channel(2, "5.1")]);
        assert_eq!(lineup.find("5.1").unwrap().id, ChannelId(2));
        assert!(lineup.find("0100").is_none());
        assert!(lineup.find("").is_none());
    }

    #[test]
    fn a_source_is_found_with_its_channel_while_that_is_offered() {
        let source = |id| Source {
            id: SourceId(id),
            item_key: String::new(),
            name: std::sync::Arc::default(),
            playlist: PlaylistId(1),
            url: String::new(),
            headers: RequestHeaders::NONE,
            program: None,
            tls_verify: None,
            manner: Manner::default(),
            priority: 0,
            health: Health::default(),
            profile: StoredProfile::default(),
        };
        let with = |channel: Channel, sources: &[i64]| Channel {
            sources: sources.iter().map(|id| source(*id)).collect(),
            ..channel
        };
        let lineup = Lineup::new([
            with(channel(1, "100"), &[11, 12]),
            with(channel(2, "101"), &[21]),
            with(channel(3, "100"), &[31]),
        ]);
        let found = |id| lineup.source(SourceId(id)).map(|(channel, source)| (channel.id.0, source.id.0));
        assert_eq!((found(12), found(21), found(31)), (Some((1, 12)), Some((2, 21)), None));
    }

    #[test]
    fn what_is_not_offered_is_disabled_or_gone() {
        let lineup = Lineup::new([channel(1, "100")]).with_disabled([ChannelId(2)], [SourceId(7)]);
        assert_eq!(lineup.channel(ChannelId(1)).unwrap().guide_number, "100");
        assert!(lineup.channel(ChannelId(2)).is_none());
        let channels = [2, 3].map(|id| lineup.why_no_channel(ChannelId(id)));
        assert_eq!(channels, ["admin_channel_disabled", "admin_channel_deleted"]);
        let sources = [7, 8].map(|id| lineup.why_no_source(SourceId(id)));
        assert_eq!(sources, ["admin_source_disabled", "admin_source_deleted"]);
    }

    #[test]
    fn the_first_of_two_channels_with_one_guide_number_stays() {
        let lineup = Lineup::new([channel(1, "100"), channel(2, "100")]);
        assert_eq!(lineup.count(), 1);
        assert_eq!(lineup.find("100").unwrap().id, ChannelId(1));
    }
}
