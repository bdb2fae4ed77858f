//! An outlet on another core than its channel's. What it must know of the channel it is told; the bytes it reads where they are.

use std::time::Duration;

use crate::base::Instant;
use crate::engine::border::feed::View;
use crate::engine::context::cx::{CoreDriver, Cx};
use crate::engine::context::token::ChannelRef;
use crate::engine::port::ids::{CoreId, SessionId};
use crate::engine::port::outlets::{News, Sight, ToHome, ToOutlet};
use crate::engine::port::snapshot::AwaySnapshot;
use crate::session::history::{CloseReason, Limits};

use super::{Newcomer, Outlet};

/// The outlet, and what it sees.
pub(crate) struct Away {
    outlet: Outlet,
    view: View,
    /// Where the channel is.
    home: CoreId,
    /// And which it is there.
    at: ChannelRef,
    /// Viewers who have joined and of whom it has not been told that they have left.
    counted: usize,
}

impl Away {
    /// Its name here is `me`; its channel is `at` on the core `home`.
    pub(crate) fn new<D: CoreDriver>(
        cx: &Cx<D>,
        me: ChannelRef,
        (home, at): (CoreId, ChannelRef),
        sight: Sight,
    ) -> Self {
        let mut outlet = Outlet::new(me, Limits::default());
        outlet.note_elsewhere(0);
        Self { outlet, view: View::of(sight, &cx.time), home, at, counted: 0 }
    }

    pub(crate) const fn session(&self) -> SessionId {
        self.view.session()
    }

    pub(crate) const fn view(&self) -> &View {
        &self.view
    }

    /// True when its channel knows of no viewer here.
    pub(crate) const fn is_empty(&self) -> bool {
        self.counted == 0
    }

    pub(crate) const fn outlet(&self) -> &Outlet {
        &self.outlet
    }

    pub(crate) const fn parts_mut(&mut self) -> (&mut Outlet, &View) {
        (&mut self.outlet, &self.view)
    }

    /// Tells the channel that a viewer has left, and before that what the slow ones have cost.
    pub(crate) fn tell_left<D: CoreDriver>(&mut self, cx: &mut Cx<D>, number: u64, reason: CloseReason) {
        self.counted = self.counted.checked_sub(1).expect("a viewer leaves once");
        self.tell_writes(cx);
        self.tell_home(cx, ToHome::Left(number, reason));
    }

    /// Tells the channel something.
    pub(crate) fn tell_home<D: CoreDriver>(&self, cx: &mut Cx<D>, word: ToHome) {
        cx.post.tell_home(self.home, self.at, word);
    }

    /// What there is to see now.
    pub(crate) fn see<D: CoreDriver>(&mut self, cx: &mut Cx<D>, sight: Sight) {
        for buffer in self.view.update(&cx.time, sight) {
            cx.driver.unregister_memory(buffer);
        }
    }

    /// Somebody who has asked for the channel is its viewer.
    pub(crate) fn join<D: CoreDriver>(&mut self, cx: &mut Cx<D>, newcomer: Newcomer, is_reused: bool) {
        self.outlet.join(cx, &self.view, newcomer, is_reused);
        self.counted += 1;
    }

    /// The channel has told something; who has joined is a viewer already.
    pub(crate) fn hear<D: CoreDriver>(&mut self, cx: &mut Cx<D>, news: &News) {
        self.outlet.note_elsewhere(news.connected);
        if news.admits {
            let reply = self.outlet.tell(cx, &self.view, ToOutlet::Admit);
            self.tell_home(cx, ToHome::Admitted(reply));
        }
        let refuses = news.refuses.map(ToOutlet::Refuse);
        let others = [
            news.is_over.then_some(ToOutlet::Over),
            news.ends.then_some(ToOutlet::End),
            news.has_moved.then_some(ToOutlet::Moved),
        ];
        for word in refuses.into_iter().chain(others.into_iter().flatten()) {
            let _nothing_comes_of_it = self.outlet.tell(cx, &self.view, word);
        }
    }

    /// Looks at the viewers, ten times a second.
    pub(crate) fn sweep<D: CoreDriver>(&mut self, cx: &mut Cx<D>, clock_now: Instant) {
        // What waits for room is not made more.
        if !cx.post.waits_for_room() {
            if let Some(latest) = self.outlet.promises(clock_now, &self.view) {
                self.tell_home(cx, ToHome::Promises(latest));
            }
            self.tell_writes(cx);
        }
        self.outlet.sweep(cx, &self.view);
        for buffer in self.view.ring().take_outdated() {
            cx.driver.unregister_memory(buffer);
        }
    }

    /// The core could not run for so long.
    pub(crate) fn excuse<D: CoreDriver>(&mut self, cx: &mut Cx<D>, lost: Duration) {
        if let Some(latest) = self.outlet.excuse(lost) {
            self.tell_home(cx, ToHome::Promised(latest));
        }
    }

    /// Tells what the slow ones have cost since that was told last.
    fn tell_writes<D: CoreDriver>(&mut self, cx: &mut Cx<D>) {
        if let Some(writes) = self.outlet.take_writes() {
            self.tell_home(cx, ToHome::Writes(writes));
        }
    }

    /// What those have got who watch here.
    pub(crate) fn snapshot(&self, core: CoreId) -> AwaySnapshot {
        AwaySnapshot { session: self.session(), viewers: self.outlet.snapshot(core, &self.view) }
    }
}
