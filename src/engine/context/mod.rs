//! What a core gives to the parts that live on it.

pub(crate) mod health;
pub(crate) mod token;
pub(crate) mod tuners;
