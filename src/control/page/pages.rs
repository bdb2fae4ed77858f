//! How many pages are open, and what they are shown.

use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;

use tokio::sync::watch;

use crate::engine::snapshot::CoreSnapshot;

use super::render::{Piece, RATES_MAX, RateHistory};

/// Pages that are sent news at the same time. Full: the next one is told so, and shows what it had when it was loaded.
pub(in crate::control) const PAGES_MAX: usize = 16;
pub(super) type Picture = Rc<Vec<Piece>>;

/// All open pages.
pub(in crate::control) struct Pages {
    open: Cell<usize>,
    is_running: Cell<bool>,
    newest: watch::Sender<Picture>,
    rates: RefCell<RateHistory>,
}

impl Default for Pages {
    fn default() -> Self {
        Self {
            open: Cell::new(0),
            is_running: Cell::new(false),
            newest: watch::Sender::new(Rc::new(Vec::new())),
            rates: RefCell::default(),
        }
    }
}

impl Pages {
    /// One more, if there is room.
    pub(super) fn open(&self) -> Option<watch::Receiver<Picture>> {
        let open = self.open.get();
        (open < PAGES_MAX).then(|| {
            self.open.set(open + 1);
            self.newest.subscribe()
        })
    }

    /// One is closed.
    pub(super) fn close(&self) {
        self.open.set(self.open.get() - 1);
    }

    pub(super) fn are_open(&self) -> bool {
        self.open.get() > 0
    }

    /// True when nobody takes pictures yet: whoever asks is to.
    pub(super) fn begins(&self) -> bool {
        !self.is_running.replace(true)
    }

    /// Nobody takes pictures any more.
    pub(super) fn ends(&self) {
        self.is_running.set(false);
    }

    /// Shows all of them a picture.
    pub(super) fn show(&self, picture: Picture) {
        self.newest.send_replace(picture);
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
