//! Cookies that a source's servers set on the way to its stream (RFC 6265), as far as they matter there: who set what for
//! which hosts and paths. They are kept while the source is tried and read, and not beyond; an expiry in the future is not looked at.

use std::fmt;

use super::url::{Scheme, Url};

/// Cookies of one source behind this many push the oldest out.
pub const COOKIES_MAX: usize = 64;
/// Longer `Set-Cookie` fields are not kept.
pub const COOKIE_BYTES_MAX: usize = 4 * 1024;

#[derive(Clone, PartialEq, Eq)]
struct Cookie {
    name: String,
    value: String,
    /// The host that set it, or the domain it named.
    domain: String,
    /// It is for the hosts below the domain too.
    has_subdomains: bool,
    path: String,
    is_secure: bool,
}

/// The cookies of one source. `Debug` shows their number alone: each may be a key to the stream.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CookieJar(Vec<Cookie>);

impl CookieJar {
    /// Takes what `url` has set with the value of one `Set-Cookie` field. What no rule allows is left out.
    pub fn set(&mut self, url: &Url, field: &str) {
        let Some((cookie, is_over)) = parse(url, field) else { return };
        let is_same = |known: &Cookie| {
            known.name == cookie.name && known.domain == cookie.domain && known.path == cookie.path
        };
        self.0.retain(|known| !is_same(known));
        if is_over {
            return;
        }
        if self.0.len() == COOKIES_MAX {
            self.0.remove(0);
        }
        self.0.push(cookie);
    }

    /// The value of the `Cookie` field of a request for `url`.
    #[must_use]
    pub fn header(&self, url: &Url) -> Option<String> {
        let mut fit: Vec<_> = self.0.iter().filter(|cookie| cookie.is_for(url)).collect();
        // RFC 6265, 5.4: longer paths first.
        fit.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs: Vec<_> = fit.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// The cookies as `Set-Cookie` would say them, one a line, for programs that take them so.
    #[must_use]
    pub fn lines(&self) -> String {
        let line = |cookie: &Cookie| {
            let Cookie { name, value, domain, path, is_secure, .. } = cookie;
            let secure = if *is_secure { "; secure" } else { "" };
            format!("{name}={value}; path={path}; domain={domain}{secure}\n")
        };
        self.0.iter().map(line).collect()
    }

    /// True when there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for CookieJar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CookieJar({})", self.0.len())
    }
}

impl Cookie {
    fn is_for(&self, url: &Url) -> bool {
        let host = url.host();
        let is_host = host == self.domain || (self.has_subdomains && is_below(host, &self.domain));
        let path = path_of(url);
        let rest = path.strip_prefix(self.path.as_str());
        let is_path =
            rest.is_some_and(|rest| rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/'));
        is_host && is_path && (!self.is_secure || url.scheme() == Scheme::Https)
    }
}

/// The cookie that a field sets, and whether it takes it away instead.
fn parse(url: &Url, field: &str) -> Option<(Cookie, bool)> {
    if field.len() > COOKIE_BYTES_MAX
        || field.chars().any(|character| character.is_control() && character != '\t')
    {
        return None;
    }
    let mut parts = field.split(';');
    let (name, value) = parts.next()?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() {
        return None;
    }
    let mut cookie = Cookie {
        name: name.to_owned(),
        value: value.to_owned(),
        domain: url.host().to_owned(),
        has_subdomains: false,
        path: default_path(url),
        is_secure: false,
    };
    let mut is_over = None;
    for part in parts {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let (key, value) = (key.trim(), value.trim());
        if key.eq_ignore_ascii_case("domain") {
            let domain = value.trim_start_matches('.').to_ascii_lowercase();
            if domain.is_empty() {
                continue;
            }
            // A server speaks for itself and for what stands above it, not for others; a domain without a dot is everybody's.
            let may = domain == url.host() || (domain.contains('.') && is_below(url.host(), &domain));
            if !may {
                return None;
            }
            cookie.has_subdomains = true;
            cookie.domain = domain;
        } else if key.eq_ignore_ascii_case("path") && value.starts_with('/') {
            value.clone_into(&mut cookie.path);
        } else if key.eq_ignore_ascii_case("secure") {
            cookie.is_secure = true;
        } else if key.eq_ignore_ascii_case("max-age") {
            if let Ok(seconds) = value.parse::<i64>() {
                is_over = Some(seconds <= 0);
            }
        } else if key.eq_ignore_ascii_case("expires") && is_over.is_none() && is_long_ago(value) {
            is_over = Some(true);
        }
    }
    Some((cookie, is_over.unwrap_or(false)))
}

/// `Expires` with a year in which no stream was sent: how a cookie is taken away.
fn is_long_ago(date: &str) -> bool {
    date.split(|character: char| !character.is_ascii_digit())
        .filter(|digits| digits.len() == 4)
        .any(|year| year.parse::<u32>().is_ok_and(|year| (1601..2000).contains(&year)))
}

/// True for a name below the domain. Addresses have no names below them.
fn is_below(host: &str, domain: &str) -> bool {
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    !is_address && host.strip_suffix(domain).is_some_and(|front| front.ends_with('.'))
}

fn path_of(url: &Url) -> &str {
    url.target().split('?').next().unwrap_or("/")
}

/// RFC 6265, 5.1.4: the folder of what was asked for.
fn default_path(url: &Url) -> String {
    let path = path_of(url);
    match path.rfind('/') {
        None | Some(0) => "/".to_owned(),
        Some(at) => path[..at].to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    /// What is asked with after one field was set.
    fn asked(set_by: &str, field: &str, asked: &str) -> Option<String> {
        let mut jar = CookieJar::default();
        jar.set(&url(set_by), field);
        jar.header(&url(asked))
    }

    #[test]
    fn a_cookie_goes_where_it_was_set_for() {
        for (set_by, field, to, expected) in [
            ("http://h/a", "sid=1", "http://h/b", Some("sid=1")),
            ("http://h/a", "sid=1; Path=/; HttpOnly", "http://h/b/c", Some("sid=1")),
            ("http://h:80/a/b", "sid=1", "http://h:8080/a/c?x", Some("sid=1")),
            ("http://h/a/b", "sid=1", "http://h/c", None),
            ("http://h/a/b", "sid=1", "http://h/abc", None),
            ("http://h/", "sid=1; path=/live", "http://h/live", Some("sid=1")),
            ("http://h/", "sid=1; path=/live", "http://h/lively", None),
            ("http://h/", "sid=1", "http://other/", None),
            ("http://a.example.com/", "sid=1", "http://b.example.com/", None),
            ("http://a.example.com/", "sid=1; Domain=.example.com", "http://b.example.com/", Some("sid=1")),
            ("http://a.example.com/", "sid=1; Domain=example.com", "http://example.com/", Some("sid=1")),
            ("http://a.example.com/", "sid=1; Domain=com", "http://b.com/", None),
            ("http://a.example.com/", "sid=1; Domain=other.com", "http://other.com/", None),
            ("http://10.0.0.1/", "sid=1; Domain=0.0.1", "http://10.0.0.1/", None),
            ("https://h/", "sid=1; Secure", "http://h/", None),
            ("https://h/", "sid=1; Secure", "https://h/", Some("sid=1")),
            ("http://h/", "sid=a=b; Expires=Thu, 01 Jan 2099 00:00:00 GMT", "http://h/", Some("sid=a=b")),
            ("http://h/", "sid=1; Max-Age=0", "http://h/", None),
            ("http://h/", "sid=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "http://h/", None),
            (
                "http://h/",
                "sid=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60",
                "http://h/",
                Some("sid=1"),
            ),
            ("http://h/", "sid", "http://h/", None),
            ("http://h/", "=1", "http://h/", None),
            ("http://h/", "a=1\r\nX: y", "http://h/", None),
        ] {
            assert_eq!(asked(set_by, field, to).as_deref(), expected, "{field:?} of {set_by} for {to}");
        }
    }

    #[test]
    fn a_cookie_is_replaced_and_taken_away_by_its_name() {
        let here = url("http://h/");
        let mut jar = CookieJar::default();
        for field in ["a=1", "b=2; path=/x", "a=3"] {
            jar.set(&here, field);
        }
        assert_eq!(jar.header(&url("http://h/x/y")).as_deref(), Some("b=2; a=3"));
        assert_eq!(jar.lines(), "b=2; path=/x; domain=h\na=3; path=/; domain=h\n");
        jar.set(&here, "a=; Max-Age=0");
        assert_eq!(jar.header(&here), None);
    }

    #[test]
    fn the_number_of_cookies_is_bounded() {
        let here = url("http://h/");
        let mut jar = CookieJar::default();
        for number in 0..=COOKIES_MAX {
            jar.set(&here, &format!("c{number}=1"));
        }
        let header = jar.header(&here).unwrap();
        assert_eq!(header.split("; ").count(), COOKIES_MAX);
        assert!(!header.contains("c0="), "{header}");
        jar.set(&here, &format!("long={}", "a".repeat(COOKIE_BYTES_MAX)));
        assert!(!jar.header(&here).unwrap().contains("long"));
        assert_eq!(format!("{jar:?}"), format!("CookieJar({COOKIES_MAX})"));
    }
}
