//! What is known of how a playlist is read, besides what the store keeps.

use crate::base::{Instant, WallTime};
use crate::http::CookieJar;

use super::fetch::Validators;

/// How a playlist is read.
#[derive(Clone, Default, Debug)]
pub(super) struct Readings {
    /// It is being read.
    is_running: bool,
    /// It is read by the schedule.
    is_kept: bool,
    /// Of the list that is in the catalog.
    validators: Validators,
    /// What its servers have set.
    cookies: CookieJar,
    /// It has been much smaller since then.
    smaller_since: Option<Instant>,
    /// By the schedule, or because it could not be read.
    next_at: Option<WallTime>,
}

impl Readings {
    /// It is being read.
    pub(super) fn is_running(&self) -> bool {
        self.is_running
    }

    /// A run wants to begin: false while another one is under way.
    pub(super) fn begin(&mut self) -> bool {
        !std::mem::replace(&mut self.is_running, true)
    }

    /// The run is over.
    pub(super) fn end(&mut self) {
        self.is_running = false;
    }

    /// It is read by the schedule.
    pub(super) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// Somebody wants to read it by the schedule: false when somebody does.
    pub(super) fn keep(&mut self) -> bool {
        !std::mem::replace(&mut self.is_kept, true)
    }

    /// When it is read next.
    pub(super) fn next_at(&self) -> Option<WallTime> {
        self.next_at
    }

    /// It is read again then, or never of itself.
    pub(super) fn put_off(&mut self, at: Option<WallTime>) {
        (self.next_at, self.is_kept) = (at, at.is_some());
    }

    /// What its servers have set.
    pub(super) fn cookies(&self) -> &CookieJar {
        &self.cookies
    }

    /// What its servers have set now.
    pub(super) fn set_cookies(&mut self, cookies: CookieJar) {
        self.cookies = cookies;
    }

    /// Of the list that is in the catalog.
    pub(super) fn validators(&self) -> &Validators {
        &self.validators
    }

    /// It has been much smaller since then.
    pub(super) fn smaller_since(&self) -> Option<Instant> {
        self.smaller_since
    }

    /// It was much smaller, and was not believed.
    pub(super) fn smaller(&mut self, now: Instant) {
        self.smaller_since.get_or_insert(now);
    }

    /// A list was taken into the catalog.
    pub(super) fn taken(&mut self, validators: Validators) {
        (self.validators, self.smaller_since) = (validators, None);
    }

    /// Forgets what was true of another address.
    pub(super) fn moved(&mut self) {
        *self = Self {
            is_running: self.is_running,
            is_kept: self.is_kept,
            next_at: self.next_at,
            ..Self::default()
        };
    }
}
