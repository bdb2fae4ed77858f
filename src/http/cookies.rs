//! Cookies that a source's servers set on the way to its stream (RFC 6265), as far as they matter there: who set what for
//! which hosts and paths, and for how long. They are kept as long as the process runs.

use std::fmt;
use std::time::Duration;

use super::date;
use super::url::{Scheme, Url};
use crate::base::Instant;

/// Cookies of one source behind this many push the oldest out.
pub const COOKIES_MAX: usize = 64;
/// Longer `Set-Cookie` fields are not kept.
pub const COOKIE_BYTES_MAX: usize = 4 * 1024;
/// So much of one source's cookies is kept for its next attempt. The newest stay.
pub const KEPT_BYTES_MAX: usize = 16 * 1024;
/// No cookie is kept for longer, whatever its server says: what browsers allow.
const LIFETIME_MAX: Duration = Duration::from_secs(400 * 24 * 60 * 60);

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
    /// When it is over; without it, with the process.
    until: Option<Instant>,
}

/// The cookies of one source. `Debug` shows their number alone: each may be a key to the stream.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CookieJar(Vec<Cookie>);

impl CookieJar {
    /// Takes what `url` has set with the value of one `Set-Cookie` field. What no rule allows is left out. `date` is the answer's
    /// own `Date`: by it an expiry is judged, for the clocks of servers differ.
    pub fn set(&mut self, now: Instant, url: &Url, field: &str, date: Option<&str>) {
        let Some((cookie, lifetime)) = parse(url, field, date) else { return };
        self.0.retain(|known| !known.is_same(&cookie));
        let until = match lifetime {
            Lifetime::Over => return,
            Lifetime::OfProcess => None,
            Lifetime::For(time) => Some(now + time.min(LIFETIME_MAX)),
        };
        if self.0.len() == COOKIES_MAX {
            self.0.remove(0);
        }
        self.0.push(Cookie { until, ..cookie });
    }

    /// The value of the `Cookie` field of a request for `url`.
    #[must_use]
    pub fn header(&self, now: Instant, url: &Url) -> Option<String> {
        let mut fit: Vec<_> =
            self.0.iter().filter(|cookie| !cookie.is_over(now) && cookie.is_for(url)).collect();
        // RFC 6265, 5.4: longer paths first.
        fit.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs: Vec<_> = fit.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// Takes what a request has learnt that began with `before` and ended with `after`. Others have been answered meanwhile.
    pub fn learn(&mut self, before: &Self, after: &Self) {
        if before == after {
            return;
        }
        self.0.retain(|known| {
            let is_gone = before.0.contains(known) && !after.0.contains(known);
            !is_gone && !after.0.iter().any(|new| new.is_same(known) && !before.0.contains(new))
        });
        for new in after.0.iter().filter(|new| !before.0.contains(new)) {
            if self.0.len() == COOKIES_MAX {
                self.0.remove(0);
            }
            self.0.push(new.clone());
        }
    }

    /// What of them is worth keeping for another attempt.
    #[must_use]
    pub fn kept(mut self, now: Instant) -> Self {
        let mut bytes = 0;
        self.0.retain(|cookie| !cookie.is_over(now));
        let fits = self.0.iter().rev().take_while(|cookie| {
            bytes += cookie.bytes();
            bytes <= KEPT_BYTES_MAX
        });
        let count = fits.count();
        self.0.drain(..self.0.len() - count);
        self
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

/// How long a cookie lasts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lifetime {
    /// It is taken away.
    Over,
    OfProcess,
    For(Duration),
}

impl Cookie {
    fn is_same(&self, other: &Self) -> bool {
        self.name == other.name && self.domain == other.domain && self.path == other.path
    }

    fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    const fn bytes(&self) -> usize {
        self.name.len() + self.value.len() + self.domain.len() + self.path.len()
    }

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

/// The cookie that a field sets, and for how long.
fn parse(url: &Url, field: &str, date: Option<&str>) -> Option<(Cookie, Lifetime)> {
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
        until: None,
    };
    // RFC 6265, 5.3: an age goes before a date.
    let (mut by_age, mut by_date) = (None, None);
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
                by_age = Some(u64::try_from(seconds).map_or(Lifetime::Over, lasting));
            }
        } else if key.eq_ignore_ascii_case("expires")
            && let Some(expiry) = date::parse(value)
        {
            by_date = match date.and_then(date::parse) {
                Some(date) => Some(lasting(expiry.saturating_sub(date))),
                // How a cookie is taken away: with a year in which no stream was sent.
                None if expiry < YEAR_2000 => Some(Lifetime::Over),
                None => None,
            };
        }
    }
    Some((cookie, by_age.or(by_date).unwrap_or(Lifetime::OfProcess)))
}

const fn lasting(seconds: u64) -> Lifetime {
    if seconds == 0 { Lifetime::Over } else { Lifetime::For(Duration::from_secs(seconds)) }
}

/// In seconds since 1970.
const YEAR_2000: u64 = 946_684_800;

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

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    /// What is asked with after one field was set.
    fn asked(set_by: &str, field: &str, asked: &str) -> Option<String> {
        let mut jar = CookieJar::default();
        jar.set(at(0), &url(set_by), field, None);
        jar.header(at(1), &url(asked))
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
    fn a_cookie_lasts_as_long_as_its_server_says_by_that_servers_clock() {
        const NOON: &str = "Wed, 01 Jan 2025 12:00:00 GMT";
        for (field, date, lasts) in [
            ("a=1", Some(NOON), None),
            ("a=1; Max-Age=60", None, Some(60)),
            ("a=1; Max-Age=60; Expires=Wed, 01 Jan 2025 13:00:00 GMT", Some(NOON), Some(60)),
            ("a=1; Expires=Wed, 01 Jan 2025 12:01:00 GMT", Some(NOON), Some(60)),
            ("a=1; expires=Wednesday, 01-Jan-25 12:01:00 GMT", Some(NOON), Some(60)),
            ("a=1; Expires=Wed, 01 Jan 2025 12:01:00 GMT", None, None),
            ("a=1; Expires=tomorrow", Some(NOON), None),
            ("a=1; Max-Age=99999999999", None, Some(LIFETIME_MAX.as_secs())),
            ("a=1; Expires=Wed, 01 Jan 2025 11:59:59 GMT", Some(NOON), Some(0)),
            ("a=1; Max-Age=-1", None, Some(0)),
        ] {
            let mut jar = CookieJar::default();
            jar.set(at(1000), &url("http://h/"), field, date);
            let is_sent = |seconds| jar.header(at(1000 + seconds), &url("http://h/")).is_some();
            match lasts {
                None => assert!(is_sent(0) && is_sent(1_000_000_000), "{field}"),
                Some(0) => assert!(!is_sent(0), "{field}"),
                Some(seconds) => assert!(is_sent(seconds - 1) && !is_sent(seconds), "{field}"),
            }
            assert_eq!(
                jar.clone().kept(at(1000 + lasts.unwrap_or(0))).is_empty(),
                lasts.is_some(),
                "{field}"
            );
        }
    }

    #[test]
    fn a_cookie_is_replaced_and_taken_away_by_its_name() {
        let here = url("http://h/");
        let mut jar = CookieJar::default();
        for field in ["a=1", "b=2; path=/x", "a=3"] {
            jar.set(at(0), &here, field, None);
        }
        assert_eq!(jar.header(at(0), &url("http://h/x/y")).as_deref(), Some("b=2; a=3"));
        jar.set(at(0), &here, "a=; Max-Age=0", None);
        assert_eq!(jar.header(at(0), &here), None);
    }

    #[test]
    fn what_requests_have_learnt_at_the_same_time_is_joined() {
        let here = url("http://h/");
        let with = |jar: &CookieJar, fields: &[&str]| {
            let mut jar = jar.clone();
            fields.iter().for_each(|field| jar.set(at(0), &here, field, None));
            jar
        };
        let before = with(&CookieJar::default(), &["a=1", "b=1", "c=1"]);
        let mut jar = before.clone();
        jar.learn(&before, &with(&before, &["a=2", "d=1"]));
        jar.learn(&before, &with(&before, &["b=; Max-Age=0", "e=1"]));
        jar.learn(&before, &before);
        assert_eq!(jar.header(at(0), &here).as_deref(), Some("c=1; a=2; d=1; e=1"));
    }

    #[test]
    fn the_number_of_cookies_is_bounded() {
        let here = url("http://h/");
        let mut jar = CookieJar::default();
        for number in 0..=COOKIES_MAX {
            jar.set(at(0), &here, &format!("c{number}=1"), None);
        }
        let header = jar.header(at(0), &here).unwrap();
        assert_eq!(header.split("; ").count(), COOKIES_MAX);
        assert!(!header.contains("c0="), "{header}");
        jar.set(at(0), &here, &format!("long={}", "a".repeat(COOKIE_BYTES_MAX)), None);
        assert!(!jar.header(at(0), &here).unwrap().contains("long"));
        assert_eq!(format!("{jar:?}"), format!("CookieJar({COOKIES_MAX})"));
        for number in 0..8 {
            jar.set(at(0), &here, &format!("long{number}={}", "a".repeat(COOKIE_BYTES_MAX / 2)), None);
        }
        let header = jar.kept(at(0)).header(at(0), &here).unwrap();
        assert!(header.len() <= KEPT_BYTES_MAX && header.starts_with("long1="), "the newest stay");
    }
}
