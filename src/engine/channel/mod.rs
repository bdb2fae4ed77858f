//! The writing side of a channel.

pub(crate) mod candidates;
pub(crate) mod filling;
pub(crate) mod live;
pub(crate) mod pacing;
pub(crate) mod pouring;
pub(crate) mod profiles;
pub(crate) mod record;
pub(crate) mod recovering;
pub(crate) mod sessions;
pub(crate) mod showing;
pub(crate) mod slates;
pub(crate) mod trigger;
