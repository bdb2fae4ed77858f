//! What a core gives to the parts that live on it.

pub(crate) mod children;
pub(crate) mod cookies;
pub(crate) mod cx;
pub(crate) mod health;
pub(crate) mod load;
pub(crate) mod post;
pub(crate) mod providers;
pub(crate) mod sends;
pub(crate) mod timers;
pub(crate) mod token;
