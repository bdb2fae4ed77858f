//! How many pages are open, and what they are shown.

use std::cell::{Cell, Ref, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use tokio::sync::watch;

use crate::engine::snapshot::CoreSnapshot;

use super::html::Piece;
use super::render::{RATES_MAX, RateHistory};
use super::view::View;

/// Pages that are sent news at the same time. Full: the next one is told so, and shows what it had when it was loaded.
pub(in crate::control) const PAGES_MAX: usize = 32;
pub(super) type Picture = Rc<Vec<Piece>>;

/// Open pages that show the same.
struct Viewed {
    pages: usize,
    newest: watch::Sender<Picture>,
}

/// All open pages.
#[derive(Default)]
pub(in crate::control) struct Pages {
    is_running: Cell<bool>,
    /// Without those that no page shows.
    views: RefCell<BTreeMap<View, Viewed>>,
    rates: RefCell<RateHistory>,
}

impl Pages {
    /// One more, if there is room. What others like it were shown last is news for it.
    pub(super) fn open(&self, view: &View) -> Option<watch::Receiver<Picture>> {
        let mut views = self.views.borrow_mut();
        if views.values().map(|viewed| viewed.pages).sum::<usize>() >= PAGES_MAX {
            return None;
        }
        let viewed = views
            .entry(view.clone())
            .or_insert_with(|| Viewed { pages: 0, newest: watch::Sender::new(Picture::default()) });
        viewed.pages += 1;
        let mut newest = viewed.newest.subscribe();
        if !newest.borrow().is_empty() {
            newest.mark_changed();
        }
        Some(newest)
    }

    /// One is closed.
    pub(super) fn close(&self, view: &View) {
        let mut views = self.views.borrow_mut();
        let Some(viewed) = views.get_mut(view) else { unreachable!("{view:?} was opened") };
        viewed.pages -= 1;
        if viewed.pages == 0 {
            views.remove(view);
        }
    }

    /// What open pages show, each once.
    pub(super) fn views(&self) -> Vec<View> {
        self.views.borrow().keys().cloned().collect()
    }

    pub(super) fn are_open(&self) -> bool {
        !self.views.borrow().is_empty()
    }

    /// True when nobody takes pictures yet: whoever asks is to.
    pub(super) fn begins(&self) -> bool {
        !self.is_running.replace(true)
    }

    /// Nobody takes pictures any more.
    pub(super) fn ends(&self) {
        self.is_running.set(false);
    }

    /// Shows a picture to all of them that are of this kind and show another one.
    pub(super) fn show(&self, view: &View, picture: Vec<Piece>) {
        let views = self.views.borrow();
        // The last of them may have been closed while it was made.
        let Some(viewed) = views.get(view) else { return };
        viewed.newest.send_if_modified(|shown| {
            let is_new = **shown != picture;
            if is_new {
                *shown = Rc::new(picture);
            }
            is_new
        });
    }

    pub(super) fn rates(&self) -> Ref<'_, RateHistory> {
        self.rates.borrow()
    }

    /// Remembers what the rates of all sessions are now.
    pub(super) fn remember_rates(&self, cores: &[CoreSnapshot]) {
        let mut rates = self.rates.borrow_mut();
        let sessions = || cores.iter().flat_map(|core| &core.sessions);
        rates.retain(|id, _| sessions().any(|session| session.record.id == *id));
        for session in sessions() {
            let of_session = rates.entry(session.record.id).or_default();
            of_session.push_back(session.bitrate_bps);
            if of_session.len() > RATES_MAX {
                of_session.pop_front();
            }
        }
    }
}
