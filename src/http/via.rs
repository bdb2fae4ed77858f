//! `Via` (RFC 9110, 7.6.3): by it a server recognizes a request that it has itself, perhaps by way of others, sent out.

use super::request::Request;

/// What a tunerd calls itself in `Via` begins so; the rest is its own.
const NAME_PREFIX: &str = "tunerd-";
/// The longest name that is passed on.
const NAME_BYTES_MAX: usize = 64;
/// The most names that are passed on.
const NAMES_MAX: usize = 16;

/// The tunerds that a request came through, the nearest last.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Via(Vec<Box<str>>);

impl Via {
    /// What a request says.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        let mut via = Self::default();
        for step in request.headers("via").flat_map(|value| value.split(',')) {
            // The protocol, the name, and perhaps a comment.
            if let Some(name) = step.split_whitespace().nth(1) {
                via.add(name);
            }
        }
        via
    }

    /// Adds one, if it is a tunerd's name and there is room.
    pub fn add(&mut self, name: &str) {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_ours = name.starts_with(NAME_PREFIX) && name.bytes().all(is_plain);
        if is_ours && name.len() <= NAME_BYTES_MAX && self.0.len() < NAMES_MAX && !self.names(name) {
            self.0.push(name.into());
        }
    }

    /// Adds those of another.
    pub fn add_all(&mut self, other: &Self) {
        other.0.iter().for_each(|name| self.add(name));
    }

    /// True when this one is among them.
    #[must_use]
    pub fn names(&self, name: &str) -> bool {
        self.0.iter().any(|known| **known == *name)
    }

    /// True when there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of the header for a request that is sent on by `own`; `None` when nobody has a name. The sender's own
    /// is always there.
    #[must_use]
    pub fn sent_on_by(&self, own: &str) -> Option<String> {
        let others = self.0.iter().map(AsRef::as_ref).filter(|name| *name != own);
        let own = Some(own).filter(|own| !own.is_empty());
        let steps: Vec<_> = others.chain(own).map(|name| format!("1.1 {name}")).collect();
        (!steps.is_empty()).then(|| steps.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Parsed, parse};

    fn via(lines: &str) -> Via {
        let head = format!("GET /auto/v1 HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        let Ok(Parsed::Complete { request, .. }) = parse(head.as_bytes()) else { panic!("{head}") };
        Via::of(&request)
    }

    #[test]
    fn tunerds_are_found_among_other_proxies() {
        let via = via("Via: 1.0 fred, 1.1 tunerd-a (one) , 1.1 p.example.net\r\nvia: HTTP/1.1 tunerd-b\r\n");
        assert!(via.names("tunerd-a") && via.names("tunerd-b") && !via.names("fred") && !via.names("tunerd"));
        assert_eq!(via.sent_on_by("tunerd-c").unwrap(), "1.1 tunerd-a, 1.1 tunerd-b, 1.1 tunerd-c");
        assert_eq!(via.sent_on_by("tunerd-a").unwrap(), "1.1 tunerd-b, 1.1 tunerd-a");
    }

    #[test]
    fn what_is_no_name_is_not_passed_on() {
        for lines in [
            "",
            "Via: \r\n",
            "Via: 1.1\r\n",
            "Via: tunerd-a\r\n",
            "Via: 1.1 tunerd-a\u{e9}\r\n",
            "Via: ,,,\r\n",
        ] {
            assert!(via(lines).is_empty(), "{lines:?}");
        }
        assert_eq!(Via::default().sent_on_by(""), None);
        let many: String = (0..40).map(|number| format!("1.1 tunerd-{number}, ")).collect();
        assert_eq!(via(&format!("Via: {many}\r\n")).0.len(), NAMES_MAX);
    }
}
