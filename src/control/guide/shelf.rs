//! What is known of guides: where they are, how they were read, and where the one that players read lies.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use tokio::sync::Notify;

use super::make::{self, GuideError, GuideOutcome};
use crate::base::WallTime;
use crate::catalog::guide::WriteCounts;
use crate::control::fetch::Validators;
use crate::control::params::Guides;
use crate::source::direct;

/// A guide that a playlist names.
#[derive(Clone)]
pub(in crate::control) struct Hint {
    /// Where it is.
    pub(in crate::control) url: String,
    /// How the playlist was asked for; the guide is, too, where it is on the same host.
    pub(in crate::control) params: direct::Params,
    /// By how many seconds its programmes are late, where an entry says nothing of that.
    pub(in crate::control) shift_seconds: i64,
}

/// How a guide was read.
#[derive(Clone, Default)]
pub(in crate::control) struct GuideReading {
    pub(in crate::control) last_tried_at: Option<WallTime>,
    pub(in crate::control) last_read_at: Option<WallTime>,
    /// Why it was not read the last time.
    pub(in crate::control) last_error: Option<String>,
    pub(in crate::control) channels: usize,
    pub(in crate::control) programmes: u64,
    /// Of the state that is kept.
    validators: Validators,
}

/// A guide that is to be had.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) url: String,
    /// Of the playlist that names it.
    pub(super) params: Option<direct::Params>,
    pub(super) shift_seconds: i64,
    pub(super) default_shift_seconds: i64,
}

/// A guide as the status shows it.
pub(in crate::control) struct ShownGuide {
    pub(in crate::control) url: String,
    pub(in crate::control) is_of_playlist: bool,
    pub(in crate::control) reading: GuideReading,
}

/// What players read, open.
pub(in crate::control) struct Made {
    pub(in crate::control) file: Arc<File>,
    pub(in crate::control) bytes: u64,
    /// Changes with the guide.
    pub(in crate::control) tag: String,
}

#[derive(Default)]
struct Inner {
    /// By the playlist that names them. Empty for one that names none.
    hints: BTreeMap<i64, Vec<Hint>>,
    /// The playlists there are; not known at first.
    playlists: Option<Vec<i64>>,
    readings: BTreeMap<String, GuideReading>,
    made: Option<(WallTime, WriteCounts)>,
    next_at: Option<WallTime>,
}

/// All of it. One thread, so no locks.
#[derive(Default)]
pub(in crate::control) struct Shelf {
    inner: RefCell<Inner>,
    changed: Notify,
}

impl Shelf {
    /// A playlist was read, and names these guides.
    pub(in crate::control) fn set_hints(&self, playlist_id: i64, hints: Vec<Hint>) {
        self.inner.borrow_mut().hints.insert(playlist_id, hints);
        self.changed.notify_one();
    }

    /// These playlists there are. What others have named is forgotten.
    pub(super) fn set_playlists(&self, playlists: Vec<i64>) {
        let mut inner = self.inner.borrow_mut();
        inner.hints.retain(|playlist_id, _| playlists.contains(playlist_id));
        inner.playlists = Some(playlists);
    }

    /// The channels may have changed.
    pub(in crate::control) fn wake(&self) {
        self.changed.notify_one();
    }

    /// Waits until a playlist was read or the channels may have changed.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The guides there are, those of the settings first.
    pub(super) fn wanted(&self, params: &Guides) -> Vec<Wanted> {
        let configured = params.sources.iter().map(|source| Wanted {
            url: source.url.clone(),
            params: None,
            shift_seconds: source.shift_seconds,
            default_shift_seconds: 0,
        });
        let mut all: Vec<Wanted> = configured.collect();
        for hint in self.inner.borrow().hints.values().flatten() {
            if !all.iter().any(|wanted| wanted.url == hint.url) {
                all.push(Wanted {
                    url: hint.url.clone(),
                    params: Some(hint.params.clone()),
                    shift_seconds: 0,
                    default_shift_seconds: hint.shift_seconds,
                });
            }
        }
        all
    }

    /// True for one that was never asked for.
    pub(super) fn is_new(&self, url: &str) -> bool {
        self.inner.borrow().readings.get(url).is_none_or(|reading| reading.last_tried_at.is_none())
    }

    pub(super) fn validators(&self, url: &str) -> Validators {
        let inner = self.inner.borrow();
        inner.readings.get(url).map(|reading| reading.validators.clone()).unwrap_or_default()
    }

    /// A guide was looked at.
    pub(super) fn looked_at(&self, url: &str, outcome: GuideOutcome, now: WallTime) {
        let mut inner = self.inner.borrow_mut();
        let reading = inner.readings.entry(url.to_owned()).or_default();
        (reading.channels, reading.programmes) = (outcome.channels, outcome.programmes);
        let Some(fetched) = outcome.fetched else { return };
        reading.last_tried_at = Some(now);
        match fetched {
            Ok(()) => {
                reading.validators = outcome.validators;
                (reading.last_read_at, reading.last_error) = (Some(now), None);
            }
            Err(error) => reading.last_error = Some(GuideError::to_string(&error)),
        }
    }

    pub(super) fn set_made(&self, at: WallTime, counts: WriteCounts) {
        self.inner.borrow_mut().made = Some((at, counts));
    }

    pub(super) fn set_next(&self, at: Option<WallTime>) {
        self.inner.borrow_mut().next_at = at;
    }

    /// When the guide was made, what is in it, and when it is read again.
    pub(in crate::control) fn made(&self) -> (Option<(WallTime, WriteCounts)>, Option<WallTime>) {
        let inner = self.inner.borrow();
        (inner.made, inner.next_at)
    }

    /// There is none and none is to come: all playlists were read, and nobody names one.
    pub(in crate::control) fn has_none(&self, params: &Guides) -> bool {
        let may_come = {
            let inner = self.inner.borrow();
            inner.playlists.as_ref().is_none_or(|playlists| inner.hints.len() < playlists.len())
        };
        params.folder.is_none() || !params.has_placeholders && !may_come && self.wanted(params).is_empty()
    }

    /// There is a guide, or there will be one.
    pub(in crate::control) fn is_offered(&self, params: &Guides) -> bool {
        let Some(folder) = &params.folder else { return false };
        params.has_placeholders || !self.wanted(params).is_empty() || make::made(folder, false).exists()
    }

    /// What players read; nothing while there is none.
    pub(in crate::control) fn open(&self, params: &Guides, is_packed: bool) -> Option<Made> {
        let file = File::open(make::made(params.folder.as_ref()?, is_packed)).ok()?;
        let about = file.metadata().ok()?;
        let tag = format!("\"{:x}-{:x}-{:x}\"", about.ino(), about.mtime(), about.len());
        Some(Made { file: Arc::new(file), bytes: about.len(), tag })
    }

    /// How all of them were read.
    pub(in crate::control) fn shown(&self, params: &Guides) -> Vec<ShownGuide> {
        let wanted = self.wanted(params);
        let inner = self.inner.borrow();
        let shown = |wanted: Wanted| ShownGuide {
            reading: inner.readings.get(&wanted.url).cloned().unwrap_or_default(),
            is_of_playlist: wanted.params.is_some(),
            url: wanted.url,
        };
        wanted.into_iter().map(shown).collect()
    }
}
