//! What is known of how a playlist is read, besides what the store keeps.

use crate::base::{Instant, WallTime};
use crate::http::CookieJar;

use super::fetch::Validators;

/// How a playlist is read.
#[derive(Clone, Default, Debug)]
pub(super) struct Readings {
    /// It is being read.
    pub(super) is_running: bool,
    /// It is read by the schedule.
    pub(super) is_kept: bool,
    /// Of the list that is in the catalog.
    pub(super) validators: Validators,
    /// What its servers have set.
    pub(super) cookies: CookieJar,
    /// It has been much smaller since then.
    pub(super) smaller_since: Option<Instant>,
    /// By the schedule, or because it could not be read.
    pub(super) next_at: Option<WallTime>,
}

impl Readings {
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
