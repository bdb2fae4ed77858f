//! What is done with each PID of the current run: one byte each, looked up for every packet.

use crate::ts::psi::STREAMS_MAX;
use crate::ts::{Pid, PidTable};

/// What is done with the packets of a PID.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Route {
    /// They are of this stream of the run.
    InputStream(u8),
    /// They give way to the session's PAT.
    Pat,
    /// They give way to the session's PMT.
    Pmt,
    /// They leave on the same PID.
    Pass,
    /// No table lists them, and no section has begun among them.
    Unlisted,
    /// They do not leave.
    Drop,
}

/// The tables that every receiver knows the PIDs of: network, services, events, time.
pub(super) const STANDARD: std::ops::RangeInclusive<u16> = 0x10..=0x1F;

const UNLISTED: u8 = 0xFB;
const PAT: u8 = 0xFC;
const PMT: u8 = 0xFD;
const PASS: u8 = 0xFE;
const DROP: u8 = 0xFF;

const _: () = assert!(STREAMS_MAX + 1 < UNLISTED as usize);

/// All of them.
pub(super) struct Routes {
    table: PidTable<u8>,
    unlisted: Route,
}

impl Routes {
    pub(super) fn new() -> Self {
        Self { table: PidTable::new(PASS), unlisted: Route::Pass }
    }

    /// Forgets everything. `unlisted` is done with what is not of the programme.
    pub(super) fn clear(&mut self, unlisted: Route) {
        self.table.fill(coded(unlisted));
        self.unlisted = unlisted;
        for pid in STANDARD.filter_map(Pid::new) {
            self.set(pid, Route::Pass);
        }
        self.set(Pid::PAT, Route::Pat);
    }

    pub(super) fn set(&mut self, pid: Pid, route: Route) {
        *self.table.get_mut(pid) = coded(route);
    }

    /// The PID is none of the programme's any more.
    pub(super) fn reset(&mut self, pid: Pid) {
        self.set(pid, if STANDARD.contains(&pid.get()) { Route::Pass } else { self.unlisted });
    }

    /// What is not of the programme does not leave any more, the standards' tables excepted.
    pub(super) fn expel(&mut self) {
        self.unlisted = Route::Drop;
        let standard: Vec<_> = STANDARD.filter_map(Pid::new).map(|pid| (pid, self.of(pid))).collect();
        self.table.change(|route| if matches!(route, UNLISTED | PASS) { DROP } else { route });
        for (pid, route) in standard {
            self.set(pid, route);
        }
    }

    pub(super) fn of(&self, pid: Pid) -> Route {
        match self.table.get(pid) {
            UNLISTED => Route::Unlisted,
            PAT => Route::Pat,
            PMT => Route::Pmt,
            PASS => Route::Pass,
            DROP => Route::Drop,
            index => Route::InputStream(index),
        }
    }
}

const fn coded(route: Route) -> u8 {
    match route {
        Route::InputStream(index) => index,
        Route::Unlisted => UNLISTED,
        Route::Pat => PAT,
        Route::Pmt => PMT,
        Route::Pass => PASS,
        Route::Drop => DROP,
    }
}
