//! Which channel of which guide tells what is on a channel of the lineup.

use std::collections::BTreeMap;

use super::names::normalised;
use super::read::{GuideChannel, GuideEntry, Programme};
use super::times::parse_shift;
use crate::base::redact;
use crate::store::GuideRow;

/// Channels of one guide; what comes behind so many is not known.
const CHANNELS_MAX: usize = 100_000;
/// Names by which channels of one guide are known; further ones are not.
const NAMES_MAX: usize = 2 * CHANNELS_MAX;
/// Channels of one guide that are called the same; no lineup tells more of them apart.
const NAMESAKES_MAX: usize = 32;

/// A channel of the lineup as guides look at it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LineupChannel {
    /// What it is called in the guide that is written.
    pub number: String,
    /// What people call it.
    pub name: String,
    /// The `tvg-id` of its sources, in their order, without empty ones.
    pub ids: Vec<String>,
    /// Further names, of its sources.
    pub names: Vec<String>,
    /// Where its logo is, unless a guide knows; or empty.
    pub logo: String,
    /// By how many seconds its programmes are put later, if its entry says that.
    pub shift_seconds: Option<i64>,
}

impl LineupChannel {
    /// The channels of these rows, which are in the order of channels and of their sources.
    #[must_use]
    pub fn all(rows: Vec<GuideRow>) -> Vec<Self> {
        let mut channels: Vec<Self> = Vec::new();
        let mut last = None;
        for row in rows {
            if last != Some(row.channel_id) {
                last = Some(row.channel_id);
                channels.push(Self { number: row.guide_number, name: row.guide_name, ..Self::default() });
            }
            let channel = channels.last_mut().expect("one was just there");
            if !row.tvg_id.trim().is_empty() {
                channel.ids.push(row.tvg_id);
            }
            channel.names.extend([row.tvg_name, row.name].into_iter().filter(|name| !name.trim().is_empty()));
            // A logo that can only be fetched with a password is not for everybody.
            if channel.logo.is_empty() && redact::url(&row.tvg_logo) == row.tvg_logo {
                channel.logo = row.tvg_logo;
            }
            channel.shift_seconds = channel.shift_seconds.or_else(|| parse_shift(&row.tvg_shift));
        }
        channels
    }
}

/// What a first reading of a guide finds: its channels, and whether anything is said of them.
#[derive(Clone, Debug, Default)]
pub struct Digest {
    channels: BTreeMap<String, Known>,
    /// By exact names in lower case, and by [`normalised`] ones.
    by_name: BTreeMap<String, Vec<String>>,
    programmes: u64,
    left_out: u64,
}

#[derive(Clone, Debug, Default)]
struct Known {
    icon: String,
    programmes: u32,
    /// Those that have not ended.
    coming: u32,
}

/// The channel of a guide that was chosen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pick {
    /// The guide's place among those that were looked at.
    pub guide: usize,
    /// Its channel, as [`Digest::key`] makes it of an id.
    pub key: String,
    /// Its logo, or empty.
    pub icon: String,
}

impl Digest {
    /// What ids are compared by: they differ in case from one list to the next.
    #[must_use]
    pub fn key(id: &str) -> String {
        id.trim().to_lowercase()
    }

    /// Takes an entry. `now`: seconds since 1970.
    pub fn add(&mut self, entry: &GuideEntry, now: i64) {
        match entry {
            GuideEntry::Channel(channel) => self.add_channel(channel),
            GuideEntry::Programme(programme) => self.add_programme(programme, now),
        }
    }

    /// Programmes of all channels.
    #[must_use]
    pub const fn programmes(&self) -> u64 {
        self.programmes
    }

    /// Channels that something is known of.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    /// Entries that were left out, since there are too many channels.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Names that are known, and how many channels they stand for.
    #[cfg(test)]
    pub(super) fn names(&self) -> (usize, usize) {
        (self.by_name.len(), self.by_name.values().map(Vec::len).sum())
    }

    fn known(&mut self, key: &str) -> Option<&mut Known> {
        if !self.channels.contains_key(key) {
            if self.channels.len() >= CHANNELS_MAX {
                self.left_out += 1;
                return None;
            }
            self.channels.insert(key.to_owned(), Known::default());
        }
        self.channels.get_mut(key)
    }

    fn add_channel(&mut self, channel: &GuideChannel) {
        let key = Self::key(&channel.id);
        let Some(known) = self.known(&key) else { return };
        if known.icon.is_empty() {
            known.icon.clone_from(&channel.icon);
        }
        for name in &channel.names {
            let exact = Self::key(name);
            let plain = normalised(name);
            for name in [exact, plain] {
                if self.by_name.len() >= NAMES_MAX && !self.by_name.contains_key(&name) {
                    continue;
                }
                let ids = self.by_name.entry(name).or_default();
                if ids.len() < NAMESAKES_MAX && !ids.contains(&key) {
                    ids.push(key.clone());
                }
            }
        }
    }

    fn add_programme(&mut self, programme: &Programme, now: i64) {
        let Some(known) = self.known(&Self::key(&programme.id)) else { return };
        known.programmes += 1;
        if programme.stop.unwrap_or(programme.start) > now {
            known.coming += 1;
        }
        self.programmes += 1;
    }

    /// The channels that a name may mean.
    fn named(&self, name: &str) -> &[String] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }
}

/// Chooses for each channel of a lineup where its programmes come from: by the ids of its sources first, by its names when no guide
/// knows these; in the order of the guides, but one that says what comes before one that does not.
#[must_use]
pub fn choose(lineup: &[LineupChannel], guides: &[Digest]) -> Vec<Option<Pick>> {
    lineup.iter().map(|channel| pick(channel, guides)).collect()
}

fn pick(channel: &LineupChannel, guides: &[Digest]) -> Option<Pick> {
    let mut candidates: Vec<(usize, String)> = Vec::new();
    let mut add = |guide: usize, key: &str| {
        if !candidates.iter().any(|(other, known)| *other == guide && known == key) {
            candidates.push((guide, key.to_owned()));
        }
    };
    for id in &channel.ids {
        let key = Digest::key(id);
        for (at, _) in guides.iter().enumerate().filter(|(_, guide)| guide.channels.contains_key(&key)) {
            add(at, &key);
        }
    }
    let names: Vec<&String> = [&channel.name].into_iter().chain(&channel.names).chain(&channel.ids).collect();
    let spellings =
        names.iter().map(|name| Digest::key(name)).chain(names.iter().map(|name| normalised(name)));
    for name in spellings.filter(|name| !name.is_empty()) {
        for (at, guide) in guides.iter().enumerate() {
            guide.named(&name).iter().for_each(|key| add(at, key));
        }
    }
    let known = |candidate: &&(usize, String)| guides[candidate.0].channels.get(&candidate.1);
    let best = candidates.iter().find(|candidate| known(candidate).is_some_and(|known| known.coming > 0));
    let best = best.or_else(|| {
        candidates.iter().find(|candidate| known(candidate).is_some_and(|known| known.programmes > 0))
    });
    let (guide, key) = best.or(candidates.first())?;
    // Whoever knows the channel may know its logo, too.
    let icon =
        candidates.iter().filter_map(|candidate| known(&candidate)).find(|known| !known.icon.is_empty());
    Some(Pick {
        guide: *guide,
        key: key.clone(),
        icon: icon.map(|known| known.icon.clone()).unwrap_or_default(),
    })
}
