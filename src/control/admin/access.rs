//! Who may administer, and under which address a client knows us.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::base::Instant;
use crate::http::{Method, Response};

use super::call::{Call, refusal};
use super::client::client;
use crate::control::doors::Doors;
use crate::control::params::{AdminAuth, Network, Params};

/// What browsers show when they ask for the password.
const REALM: &str = "hdhriptv-admin";
/// Compares the password that was said with the right one.
fn check_password(
    call: &Call,
    auth: &AdminAuth,
    who: IpAddr,
    doors: &mut Doors,
    now: Instant,
) -> Result<(), Response> {
    let asked = || {
        refusal(401, "user and password of ADMIN_AUTH are asked for")
            .header("WWW-Authenticate", &format!("Basic realm=\"{REALM}\""))
    };
    // Browsers say nothing until they are asked.
    let said = call.header("authorization").ok_or_else(asked)?;
    let wait = doors.guess_wait(now, who);
    if !wait.is_zero() {
        return Err(too_many("too many wrong passwords came from this address", wait));
    }
    let expected = BASE64.encode(format!("{}:{}", auth.user, auth.password));
    let given = said
        .split_once(' ')
        .and_then(|(scheme, given)| scheme.eq_ignore_ascii_case("basic").then(|| given.trim()));
    if given.is_some_and(|given| same(given.as_bytes(), expected.as_bytes())) {
        return Ok(());
    }
    // As many lines as there are tries, of which there are few.
    let wait = doors.guessed_wrong(now, who);
    let next = if wait.is_zero() { "at once".to_owned() } else { format!("in {} s", wait.as_secs() + 1) };
    log::warn!("administration: a wrong password came from {who}; it may try another {next}");
    Err(asked())
}

/// Somebody asks too often.
pub(super) fn too_many(what: &str, wait: std::time::Duration) -> Response {
    let seconds = wait.as_millis().div_ceil(1000).max(1);
    refusal(429, &format!("{what}; try again in {seconds} s")).header("Retry-After", &seconds.to_string())
}

/// Checks that a request to `/api` or `/ui` may be served.
pub(super) fn admin(call: &Call, params: &Params, doors: &mut Doors, now: Instant) -> Result<(), Response> {
    let trusted = &params.trusted_proxies;
    let client = client(call, trusted);
    match &params.admin {
        Some(auth) => check_password(call, auth, client.address, doors, now)?,
        None if !client.is_here => {
            return Err(refusal(
                403,
                "administration is open to this host only; set ADMIN_AUTH to user:password to open it to the network",
            ));
        }
        // A page of another site may have its name lead here.
        None => {
            for host in [call.request.host(), forwarded_host(call, trusted)].into_iter().flatten() {
                if !is_own_name(call, host, &params.own_names) {
                    return Err(refusal(
                        403,
                        "without ADMIN_AUTH administration is open under localhost, this host's name and its addresses only",
                    ));
                }
            }
        }
    }
    if call.request.headers("origin").count() > 1 {
        return Err(refusal(400, "a request comes from one page: it has two Origin headers"));
    }
    if !is_same_origin(call, trusted) {
        return Err(refusal(403, "a page of another site may neither change nor read anything here"));
    }
    Ok(())
}

/// Browsers say in `Origin` and `Sec-Fetch-Site` whose page sends a request; everybody else says nothing. Following a link is no
/// request of that page.
fn is_same_origin(call: &Call, trusted: &[Network]) -> bool {
    let is = |name, words: &[&str]| {
        call.header(name).is_some_and(|value| words.iter().any(|word| value.eq_ignore_ascii_case(word)))
    };
    let reads = matches!(call.method(), Method::Get | Method::Head);
    let follows_link = reads && is("sec-fetch-mode", &["navigate"]);
    let is_own_page =
        call.header("sec-fetch-site").is_none() || is("sec-fetch-site", &["same-origin", "none"]);
    let origin = call.header("origin");
    (is_own_page || follows_link)
        && origin.is_none_or(|origin| origin.eq_ignore_ascii_case(&base_url(call, trusted)))
}

/// Whether a host of a URL can be nobody else's: a name that leads to loopback everywhere, a name of this machine, or the address by
/// which it was reached.
fn is_own_name(call: &Call, host: &str, own_names: &[String]) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(address, _port)| address);
    let name = bare.unwrap_or_else(|| host.split(':').next().unwrap_or_default()).trim_end_matches('.');
    if let Ok(address) = name.parse::<IpAddr>() {
        let address = address.to_canonical();
        return address.is_loopback() || address == call.local.ip().to_canonical();
    }
    let name = name.to_ascii_lowercase();
    let is_own = |own: &String| {
        let own = own.to_ascii_lowercase();
        let short = own.split('.').next().unwrap_or_default();
        !short.is_empty() && (name == own || name == short || name == format!("{short}.local"))
    };
    name == "localhost" || name.ends_with(".localhost") || own_names.iter().any(is_own)
}

/// Compares without telling by the time taken where the difference is.
fn same(left: &[u8], right: &[u8]) -> bool {
    let differ = left.iter().zip(right).fold(0, |differ, (left, right)| differ | (left ^ right));
    left.len() == right.len() && std::hint::black_box(differ) == 0
}

/// Scheme and host under which the client reached us, as it has to be written into absolute addresses.
pub(super) fn base_url(call: &Call, trusted: &[Network]) -> String {
    let scheme =
        forwarded(call, "x-forwarded-proto", trusted).filter(|scheme| matches!(*scheme, "http" | "https"));
    let host = forwarded_host(call, trusted).filter(|host| is_host(host));
    let host = host.or_else(|| call.request.host().filter(|host| is_host(host)));
    let host = host.map_or_else(|| local_host(call.local), str::to_owned);
    format!("{}://{host}", scheme.unwrap_or("http"))
}

fn forwarded_host<'call>(call: &'call Call, trusted: &[Network]) -> Option<&'call str> {
    forwarded(call, "x-forwarded-host", trusted)
}

/// What a proxy says that is believed.
fn forwarded<'call>(call: &'call Call, name: &str, trusted: &[Network]) -> Option<&'call str> {
    let is_trusted = trusted.iter().any(|network| network.contains(call.peer_address()));
    is_trusted.then(|| call.header(name)).flatten().map(first_of_list)
}

/// Of several proxies the one nearest to the client wrote first.
fn first_of_list(value: &str) -> &str {
    value.split(',').next().unwrap_or_default().trim()
}

/// A name or an address, and perhaps a port: nothing that means something in JSON, XML or a playlist, and nothing that a
/// client could not open.
fn is_host(host: &str) -> bool {
    let (is_name, port) = if let Some(rest) = host.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        (address.parse::<Ipv6Addr>().is_ok(), port)
    } else {
        let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        (!name.is_empty() && name.chars().all(allowed), port)
    };
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_port = |digits: &str| is_number(digits) && digits.parse::<u16>().is_ok_and(|port| port > 0);
    host.len() <= 255 && is_name && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

fn local_host(local: SocketAddr) -> String {
    match local.ip().to_canonical() {
        IpAddr::V4(address) => format!("{address}:{}", local.port()),
        IpAddr::V6(address) => format!("[{address}]:{}", local.port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::admin::call::tests::{call, call_with, written};
    use crate::control::doors::WRONG_AT_ONCE;
    use crate::control::state::tests::params;

    fn with(method: &str, headers: &str) -> Call {
        call_with(method, "/api/channels", &format!("Host: box.lan:5004\r\n{headers}"), "")
    }

    fn guarded() -> Params {
        let auth = AdminAuth { user: "admin".to_owned(), password: "s:cret".to_owned() };
        Params { admin: Some(auth), ..params() }
    }

    fn basic(credentials: &str) -> String {
        format!("Authorization: Basic {}\r\n", BASE64.encode(credentials))
    }

    fn status(call: &Call, params: &Params) -> u16 {
        admin(call, params, &mut Doors::new(params), Instant::START)
            .map_or_else(|refused| refused.status(), |()| 200)
    }

    #[test]
    fn with_a_password_only_the_password_opens() {
        let status = |scheme: &str, credentials: &str| {
            let header = format!("Authorization: {scheme} {}\r\n", BASE64.encode(credentials));
            status(&with("GET", &header), &guarded())
        };
        assert_eq!(status("Basic", "admin:s:cret"), 200);
        assert_eq!(status("basic", "admin:s:cret"), 200);
        assert_eq!(status("Bearer", "admin:s:cret"), 401);
        assert_eq!(status("Basic", "admin:s:cre"), 401);
        assert_eq!(status("Basic", ""), 401);
        let refused =
            admin(&with("GET", ""), &guarded(), &mut Doors::new(&guarded()), Instant::START).unwrap_err();
        assert_eq!(refused.status(), 401);
        let (head, _) = written(&refused);
        assert!(head.contains("WWW-Authenticate: Basic realm=\"hdhriptv-admin\"\r\n"), "{head}");
    }

    #[test]
    fn whoever_guesses_passwords_is_slowed_down_and_nobody_else() {
        let (params, mut doors) = (guarded(), Doors::new(&guarded()));
        let mut at = |ms: u64, peer: &str, headers: &str| {
            let mut call = with("GET", headers);
            call.peer = peer.parse().unwrap();
            admin(&call, &params, &mut doors, Instant::from_millis(ms))
                .map_or_else(|refused| refused.status(), |()| 200)
        };
        let (wrong, right) = (basic("admin:guess"), basic("admin:s:cret"));
        for _ in 0..WRONG_AT_ONCE {
            assert_eq!(at(0, "192.0.2.7:9", ""), 401, "whoever says nothing has not guessed");
            assert_eq!(at(0, "192.0.2.7:9", &wrong), 401);
        }
        assert_eq!(at(0, "192.0.2.7:9", &wrong), 429);
        assert_eq!(at(0, "192.0.2.7:9", &right), 429, "a right guess is not told from a wrong one");
        assert_eq!(at(0, "192.0.2.8:9", &right), 200);
        assert_eq!(at(6_001, "192.0.2.7:9", &wrong), 401);
        assert_eq!(at(6_002, "192.0.2.7:9", &wrong), 429);
        assert_eq!(at(60_000, "192.0.2.7:9", &right), 200);
    }

    /// Everything that decides about a request of administration, and what is decided.
    #[test]
    fn peer_host_origin_forwarded_headers_and_password_decide_together() {
        const HERE: &str = "127.0.0.1";
        const LAN: &str = "192.0.2.7";
        let proxy = |address: &str, prefix_bits| Network { address: address.parse().unwrap(), prefix_bits };
        let open = params();
        let behind = Params { trusted_proxies: vec![proxy(HERE, 32), proxy("192.0.2.1", 32)], ..params() };
        let locked = guarded();
        let locked_behind = Params { trusted_proxies: behind.trusted_proxies.clone(), ..guarded() };
        let key = basic("admin:s:cret");
        let page = |headers: &str| format!("{key}{headers}");
        let own = "Origin: http://localhost:5004\r\n";
        let foreign = "Origin: http://evil.example\r\n";
        for (params, peer, host, method, headers, expected) in [
            // Without a password: this host, by a name that is nobody else's.
            (&open, HERE, "localhost:5004", "POST", "", 200),
            (&open, HERE, "LOCALHOST", "POST", "", 200),
            (&open, HERE, "tv.localhost.:5004", "POST", "", 200),
            (&open, HERE, "127.9.9.9:5004", "POST", "", 200),
            (&open, HERE, "[::1]:5004", "POST", "", 200),
            (&open, HERE, "[::ffff:127.0.0.1]", "POST", "", 200),
            (&open, HERE, "192.0.2.200:5004", "POST", "", 200),
            (&open, HERE, "box.lan:5004", "POST", "", 200),
            (&open, HERE, "box:5004", "POST", "", 200),
            (&open, HERE, "box.local", "POST", "", 200),
            (&open, HERE, "", "POST", "", 200),
            (&open, "[::1]", "localhost", "POST", "", 200),
            (&open, "[::ffff:127.0.0.1]", "localhost", "POST", "", 200),
            (&open, "192.0.2.200", "192.0.2.200:5004", "POST", "", 200),
            // A page whose name was made to lead here.
            (&open, HERE, "evil.example:5004", "GET", "", 403),
            (&open, HERE, "evil.example:5004", "POST", "Origin: http://evil.example:5004\r\n", 403),
            (&open, HERE, "localhost.evil.example", "GET", "", 403),
            (&open, HERE, "box.evil.example", "GET", "", 403),
            (&open, HERE, "127.0.0.1.evil.example", "GET", "", 403),
            (&open, HERE, "0.0.0.0:5004", "GET", "", 403),
            (&open, HERE, "192.0.2.7", "GET", "", 403),
            (&open, "[::1]", "evil.example", "GET", "", 403),
            // Others.
            (&open, LAN, "localhost", "GET", "", 403),
            (&open, LAN, "192.0.2.200", "POST", "", 403),
            (&open, "[2001:db8::7]", "[2001:db8::1]", "GET", "", 403),
            // For whom proxies speak that are not believed nobody knows.
            (&open, HERE, "localhost", "GET", "X-Forwarded-For: 127.0.0.1\r\n", 403),
            (&open, HERE, "localhost", "GET", "Forwarded: for=127.0.0.1\r\n", 403),
            (&open, HERE, "localhost", "GET", "X-Real-IP: ::1\r\n", 403),
            (&open, LAN, "localhost", "GET", "X-Forwarded-For: 127.0.0.1\r\n", 403),
            (&open, HERE, "localhost", "GET", "X-Forwarded-Host: evil.example\r\n", 200),
            (&behind, HERE, "localhost", "GET", "X-Forwarded-For: 127.0.0.1\r\n", 200),
            (&behind, "[::1]", "localhost", "GET", "X-Forwarded-For: ::1\r\n", 403),
            (&behind, HERE, "localhost", "GET", "X-Forwarded-For: 192.0.2.7\r\n", 403),
            (&behind, HERE, "localhost", "GET", "X-Forwarded-For: 127.0.0.1, 192.0.2.7\r\n", 403),
            (&behind, "192.0.2.1", "localhost", "GET", "X-Forwarded-For: 127.0.0.1\r\n", 403),
            (
                &behind,
                HERE,
                "localhost",
                "GET",
                "X-Forwarded-Host: evil.example\r\nX-Forwarded-For: 127.0.0.1\r\n",
                403,
            ),
            // Pages.
            (&open, HERE, "localhost:5004", "POST", own, 200),
            (&open, HERE, "localhost:5004", "POST", "Origin: https://localhost:5004\r\n", 403),
            (&open, HERE, "localhost:5004", "POST", "Origin: http://localhost:3000\r\n", 403),
            (&open, HERE, "localhost:5004", "POST", foreign, 403),
            (&open, HERE, "localhost:5004", "GET", foreign, 403),
            (&open, HERE, "localhost:5004", "DELETE", "Origin: null\r\n", 403),
            (
                &open,
                HERE,
                "localhost:5004",
                "POST",
                "Origin: http://localhost:5004\r\nOrigin: http://evil.example\r\n",
                400,
            ),
            (&open, HERE, "localhost:5004", "POST", "Sec-Fetch-Site: same-origin\r\n", 200),
            (&open, HERE, "localhost:5004", "POST", "Sec-Fetch-Site: none\r\n", 200),
            (&open, HERE, "localhost:5004", "POST", "Sec-Fetch-Site: cross-site\r\n", 403),
            (&open, HERE, "localhost:5004", "POST", "Sec-Fetch-Site: same-site\r\n", 403),
            (
                &open,
                HERE,
                "localhost:5004",
                "GET",
                "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n",
                403,
            ),
            (
                &open,
                HERE,
                "localhost:5004",
                "GET",
                "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n",
                200,
            ),
            (
                &open,
                HERE,
                "localhost:5004",
                "POST",
                "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n",
                403,
            ),
            // With a password any host and any name will do; pages of others still do not.
            (&locked, HERE, "localhost", "GET", "", 401),
            (&locked, LAN, "tv.example", "POST", &page(""), 200),
            (
                &locked,
                "[2001:db8::7]",
                "[2001:db8::1]:5004",
                "POST",
                &page("Origin: http://[2001:db8::1]:5004\r\n"),
                200,
            ),
            (&locked, LAN, "tv.example", "POST", &page("X-Forwarded-For: 192.0.2.9\r\n"), 200),
            (&locked, LAN, "tv.example", "POST", &page(foreign), 403),
            (&locked, LAN, "tv.example", "GET", &page(foreign), 403),
            (&locked, LAN, "tv.example", "POST", &page("Sec-Fetch-Site: cross-site\r\n"), 403),
            (
                &locked_behind,
                HERE,
                "inner",
                "POST",
                &page(
                    "X-Forwarded-Proto: https\r\nX-Forwarded-Host: tv.example\r\nOrigin: https://tv.example\r\n",
                ),
                200,
            ),
            (
                &locked,
                HERE,
                "inner",
                "POST",
                &page(
                    "X-Forwarded-Proto: https\r\nX-Forwarded-Host: tv.example\r\nOrigin: https://tv.example\r\n",
                ),
                403,
            ),
        ] {
            let host = if host.is_empty() { String::new() } else { format!("Host: {host}\r\n") };
            let mut call = call_with(method, "/api/channels", &format!("{host}{headers}"), "");
            call.peer = format!("{peer}:9").parse().unwrap();
            call.local = "192.0.2.200:5004".parse().unwrap();
            assert_eq!(status(&call, params), expected, "{peer} {method} {host}{headers}");
        }
    }

    #[test]
    fn the_base_url_is_what_the_client_used() {
        let proxy = [Network { address: "127.0.0.1".parse().unwrap(), prefix_bits: 32 }];
        let plain = call("GET", "/discover.json", "");
        assert_eq!(base_url(&plain, &[]), "http://box.lan:5004");
        let forwarded = with("GET", "X-Forwarded-Proto: https\r\nX-Forwarded-Host: tv.example, inner\r\n");
        assert_eq!(base_url(&forwarded, &[]), "http://box.lan:5004");
        assert_eq!(base_url(&forwarded, &proxy), "https://tv.example");
        for (headers, local, base) in [
            ("", "[::ffff:192.168.1.2]:5004", "http://192.168.1.2:5004"),
            ("", "[2001:db8::2]:80", "http://[2001:db8::2]:80"),
            ("Host: a\"b<c>\r\n", "192.168.1.2:80", "http://192.168.1.2:80"),
        ] {
            let mut call = call_with("GET", "/discover.json", headers, "");
            call.local = local.parse().unwrap();
            assert_eq!(base_url(&call, &[]), base);
        }
    }

    #[test]
    fn a_host_that_nobody_could_open_is_not_repeated() {
        for (host, is_repeated) in [
            ("tv", true),
            ("tv.example:5004", true),
            ("192.168.1.2:80", true),
            ("[2001:db8::2]", true),
            ("[2001:db8::2]:5004", true),
            ("tv:0", false),
            ("tv:65536", false),
            ("tv:+80", false),
            ("tv:", false),
            (":5004", false),
            ("a:b:c", false),
            ("2001:db8::2", false),
            ("[2001:db8::2", false),
            ("[tv]:80", false),
            ("[::1]x", false),
            ("tv/x", false),
            ("u@tv", false),
        ] {
            let call = call_with("GET", "/discover.json", &format!("Host: {host}\r\n"), "");
            let expected = if is_repeated { host } else { "127.0.0.1:5004" };
            assert_eq!(base_url(&call, &[]), format!("http://{expected}"));
        }
    }
}
