//! How pages are made of what the cores and the store say: once when one is loaded, and again and again for as long as it is open.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::calendar::Calendar;
use super::channel::{ChannelPage, ViewersAsked};
use super::history::{HistoryAsked, HistoryPage};
use super::html::{Piece, Rows};
use super::playlists::{ConnectionsInUse, PlaylistRow, PlaylistsPage};
use super::render::{Facts, pieces};
use super::system::SystemPage;
use super::view::{ROWS_SHOWN, View};
use crate::control::readings::Readings;
use crate::control::state::State;
use crate::engine::snapshot::CoreSnapshot;
use crate::session::history::merge;
use crate::status::Moment;
use crate::store::{ChannelError, ChannelRecord, Database, PlaylistRecord, StoreError};

/// Why a page cannot be shown.
#[derive(Debug)]
pub(in crate::control) enum Unshown {
    /// A core did not answer in time.
    Busy,
    Channel(ChannelError),
}

impl From<ChannelError> for Unshown {
    fn from(error: ChannelError) -> Self {
        Self::Channel(error)
    }
}

/// What the store says for some pages.
#[derive(Default)]
pub(super) struct Catalog {
    /// How often the store had been changed by then.
    changes: u64,
    /// Those that it was asked for.
    pub(super) views: Vec<View>,
    channels: BTreeMap<i64, ChannelRecord>,
    playlists: Vec<PlaylistRecord>,
}

impl Catalog {
    /// What the store says for these pages; nothing when that is what is known already.
    pub(super) async fn read(
        state: &State,
        views: Vec<View>,
        known: Option<&Self>,
    ) -> Result<Option<Self>, StoreError> {
        let needs_store = |view: &View| match view {
            View::Channel { .. } | View::Playlists { .. } | View::History(_) => true,
            View::Now | View::System => false,
        };
        if !views.iter().any(needs_store) {
            return Ok(Some(Self { views, ..Self::default() }));
        }
        let known = known.filter(|known| known.views == views).map(|known| known.changes);
        let read = move |database: &mut Database| {
            let changes = database.changes();
            if known == Some(changes) {
                return Ok(None);
            }
            let has_history = views.iter().any(|view| matches!(view, View::History(_)));
            let mut channels = BTreeMap::new();
            if has_history {
                channels
                    .extend(database.channels()?.into_iter().map(|channel| (channel.channel_id, channel)));
            } else {
                for view in &views {
                    let View::Channel { channel, .. } = view else { continue };
                    let found = database.channel(*channel);
                    if let Err(ChannelError::Store(error)) = found {
                        return Err(error);
                    }
                    // Of one that is gone its page says so.
                    channels.extend(found.ok().map(|record| (*channel, record)));
                }
            }
            Ok(Some(Self { changes, channels, playlists: database.playlists()?, views }))
        };
        state.ask_store(read).await
    }
}

/// What pages are made of at one moment.
pub(super) struct Moments<'a> {
    pub(super) state: &'a State,
    /// Nothing when one of them did not answer in time.
    pub(super) cores: Option<&'a [CoreSnapshot]>,
    pub(super) catalog: &'a Catalog,
    calendar: Calendar,
}

impl<'a> Moments<'a> {
    pub(super) fn new(state: &'a State, cores: Option<&'a [CoreSnapshot]>, catalog: &'a Catalog) -> Self {
        let at = state.clock.now();
        let calendar = Calendar::new(Moment { at, wall: state.clock.wall_at(at) }, TimeZone::system());
        Self { state, cores, catalog, calendar }
    }

    /// A page as it is now.
    pub(super) fn pieces(&self, view: &View) -> Result<Vec<Piece>, Unshown> {
        let cores = || self.cores.ok_or(Unshown::Busy);
        Ok(match view {
            View::Now => self.now(cores()?),
            View::Channel { channel, viewers } => self.channel(cores()?, *channel, viewers)?,
            // Playlists are read, and told of, whatever cores do.
            View::Playlists { offset } => self.playlists(*offset),
            View::History(asked) => self.history(cores()?, asked),
            View::System => self.system(cores()?),
        })
    }

    fn now(&self, cores: &[CoreSnapshot]) -> Vec<Piece> {
        let (rates, listed) = (self.state.pages().rates(), self.state.listed.borrow());
        pieces(&Facts { cores, listed: &listed, rates: &rates, now: self.calendar.now() })
    }

    fn channel(
        &self,
        cores: &[CoreSnapshot],
        channel_id: i64,
        viewers: &ViewersAsked,
    ) -> Result<Vec<Piece>, ChannelError> {
        let channel = self.catalog.channels.get(&channel_id);
        let channel = channel.ok_or(ChannelError::ChannelNotFound { channel_id })?;
        let is_this = |id: crate::lineup::ChannelId| id.0 == channel_id;
        let session =
            cores.iter().flat_map(|core| &core.sessions).rfind(|session| is_this(session.record.channel));
        let mut past: Vec<_> =
            cores.iter().flat_map(|core| &core.closed.sessions).map(AsRef::as_ref).collect();
        past.retain(|record| is_this(record.channel));
        past.sort_by_key(|record| std::cmp::Reverse(record.id));
        let playlists = &self.catalog.playlists;
        let names = playlists.iter().map(|playlist| (playlist.playlist_id, playlist.name.clone())).collect();
        let page =
            ChannelPage { channel, session, past, playlists: &names, calendar: &self.calendar, viewers };
        Ok(page.pieces())
    }

    fn playlists(&self, offset: usize) -> Vec<Piece> {
        let records = &self.catalog.playlists;
        let rows = Rows { total: records.len(), offset, limit: ROWS_SHOWN };
        let places: Option<BTreeMap<_, _>> = self.cores.map(|cores| {
            cores
                .iter()
                .flat_map(|core| &core.places)
                .map(|places| (places.playlist.0, (places.taken, places.counted)))
                .collect()
        });
        let count = u32::try_from(self.state.params.identity.tuner_count).unwrap_or(u32::MAX);
        let readings = self.state.readings.borrow();
        let row = |record: &PlaylistRecord| {
            let of_this = readings.get(&record.playlist_id);
            let taken =
                places.as_ref().map(|places| places.get(&record.playlist_id).copied().unwrap_or_default());
            PlaylistRow {
                is_reading: of_this.is_some_and(Readings::is_running),
                next_at: of_this.and_then(Readings::next_at),
                connections: ConnectionsInUse { taken, max: record.tuners.unwrap_or(count) },
                record: record.clone(),
            }
        };
        let playlists = rows.of(records.iter().collect()).into_iter().map(row).collect();
        PlaylistsPage { rows, playlists, calendar: &self.calendar }.pieces()
    }

    fn history(&self, cores: &[CoreSnapshot], asked: &HistoryAsked) -> Vec<Piece> {
        let going_on = cores.iter().flat_map(|core| &core.sessions).map(|session| &session.record);
        let merged = merge(going_on, cores.iter().map(|core| &core.closed));
        let page = HistoryPage {
            asked,
            sessions: merged.sessions,
            forgotten: merged.truncated,
            channels: &self.catalog.channels,
            calendar: &self.calendar,
            rows_max: ROWS_SHOWN,
        };
        page.pieces()
    }

    fn system(&self, cores: &[CoreSnapshot]) -> Vec<Piece> {
        let page = SystemPage {
            about: &self.state.params.about,
            cores,
            resident_kib: resident_kib(),
            uptime: self.calendar.now() - crate::base::Instant::START,
        };
        page.pieces()
    }
}

/// What this process has in memory, as the kernel says.
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}
