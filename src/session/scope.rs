//! Which sources are one provider.

use std::fmt;
use std::sync::Arc;

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
    let is_scheme = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    };
    let rest = match url.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => rest,
        Some(_) | None => url.strip_prefix("//").unwrap_or(url),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end].rsplit_once('@').map_or(&rest[..end], |(_, host)| host);
    let port = match host.strip_prefix('[') {
        Some(literal) => literal.split_once(']')?.1,
        None => host.find(':').map_or("", |colon| &host[colon..]),
    };
    let has_good_port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let is_good = !host.is_empty() && !host.chars().any(|c| c.is_whitespace() || c.is_control());
    (is_good && has_good_port).then_some(host)
}
