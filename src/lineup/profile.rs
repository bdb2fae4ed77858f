//! When a source's stream was looked at, and what it was made of.

use crate::ts::StreamProfile;

/// What a source's stream was made of when it was last looked at.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct StoredProfile {
    /// What it was made of.
    pub stream: StreamProfile,
    /// When that was, in seconds since 1970; 0 is never.
    pub probed_at: u64,
}

impl StoredProfile {
    /// True when this one takes the place of `old`: it is not older, or it is to forget what was known.
    #[must_use]
    pub const fn replaces(&self, old: &Self) -> bool {
        self.probed_at == 0 || self.probed_at >= old.probed_at
    }
}
