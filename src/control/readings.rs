//! How the playlist was read so far.

use crate::base::{Instant, WallTime};

use super::fetch::Validators;

/// What is known of how the playlist was read.
#[derive(Clone, Default, Debug)]
pub(super) struct Readings {
    /// Of the list that is in the catalog.
    pub(super) validators: Validators,
    /// It has been much smaller since then.
    pub(super) smaller_since: Option<Instant>,
    pub(super) last_tried_at: Option<WallTime>,
    pub(super) last_read_at: Option<WallTime>,
    /// Why it was not read the last time.
    pub(super) last_error: Option<String>,
    /// By the schedule, or because it could not be read.
    pub(super) next_at: Option<WallTime>,
}
