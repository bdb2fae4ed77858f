//! Which sources are one provider.

use std::fmt;
use std::sync::Arc;

use crate::base::address::{AddressParts, is_port, is_scheme, split_host};

/// What shares a provider's limit: a host and port, or one source when its address names none.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProviderScope(Arc<str>);

impl ProviderScope {
    /// The scope that is shown so.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(name.into())
    }

    /// The scope of a source's address.
    #[must_use]
    pub fn of(url: &str, source: i64) -> Self {
        match authority(url.trim()) {
            Some(host) => Self(host.to_ascii_lowercase().into()),
            None if source > 0 => Self(format!("source:{source}").into()),
            None => Self("global".into()),
        }
    }
}

impl fmt::Display for ProviderScope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// `host` or `host:port` of an address, with or without a scheme.
fn authority(url: &str) -> Option<&str> {
    let place = match AddressParts::split(url) {
        Some(parts) if is_scheme(parts.scheme) => parts.place,
        Some(_) | None => AddressParts::behind_scheme(url.strip_prefix("//").unwrap_or(url)).place,
    };
    let (_, port) = split_host(place);
    let is_good = !place.is_empty() && !place.chars().any(|c| c.is_whitespace() || c.is_control());
    (is_good && port.is_some_and(is_port)).then_some(place)
}
