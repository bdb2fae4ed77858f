//! The channels as the cores see them: an immutable table, replaced whole when the catalog changes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A channel's row in the database.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChannelId(pub i64);

/// A source's row in the database.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SourceId(pub i64);

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

/// One way to get a channel's stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// Its row.
    pub id: SourceId,
    /// The playlist item it stands for.
    pub item_key: String,
    /// Where it is read from. May hold credentials: never shown unredacted.
    pub url: String,
}

/// A channel: a guide number and the sources that can serve it, best first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Channel {
    /// Its row.
    pub id: ChannelId,
    /// What the viewer asks for.
    pub guide_number: String,
    /// What the viewer reads.
    pub name: String,
    /// Enabled sources in the order they are to be tried.
    pub sources: Vec<Source>,
}

/// All enabled channels.
#[derive(Clone, Default, Debug)]
pub struct Lineup {
    by_guide_number: BTreeMap<String, Arc<Channel>>,
}

impl Lineup {
    /// A lineup of these channels. Of two with one guide number the first stays.
    #[must_use]
    pub fn new(channels: impl IntoIterator<Item = Channel>) -> Self {
        let mut by_guide_number = BTreeMap::new();
        for channel in channels {
            by_guide_number.entry(channel.guide_number.clone()).or_insert_with(|| Arc::new(channel));
        }
        Self { by_guide_number }
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
    fn the_first_of_two_channels_with_one_guide_number_stays() {
        let lineup = Lineup::new([channel(1, "100"), channel(2, "100")]);
        assert_eq!(lineup.count(), 1);
        assert_eq!(lineup.find("100").unwrap().id, ChannelId(1));
    }
}
