//! Who may administer, and under which address a client knows us.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::http::{Method, Response};

use super::call::{Call, refusal};
use crate::control::params::{AdminAuth, Network};

/// What browsers show when they ask for the password.
const REALM: &str = "hdhriptv-admin";

/// Checks that a request to `/api` or `/ui` may be served.
pub(super) fn admin(call: &Call, auth: Option<&AdminAuth>, trusted: &[Network]) -> Result<(), Response> {
    match auth {
        Some(auth) => {
            let expected = format!("{}:{}", auth.user, auth.password);
            let expected = BASE64.encode(&expected);
            let given = call.header("authorization").and_then(|value| {
                let (scheme, credentials) = value.split_once(' ')?;
                scheme.eq_ignore_ascii_case("basic").then(|| credentials.trim())
            });
            if !given.is_some_and(|given| same(given.as_bytes(), expected.as_bytes())) {
                return Err(refusal(401, "user and password of ADMIN_AUTH are asked for")
                    .header("WWW-Authenticate", &format!("Basic realm=\"{REALM}\"")));
            }
        }
        None if !is_from_this_host(call) => {
            return Err(refusal(
                403,
                "administration is open to this host only; set ADMIN_AUTH to user:password to open it to the network",
            ));
        }
        None => {}
    }
    if changes(call) && !is_same_origin(call, trusted) {
        return Err(refusal(403, "a page of another site may not change anything here"));
    }
    Ok(())
}

/// A proxy on this host speaks for others.
fn is_from_this_host(call: &Call) -> bool {
    let forwarded =
        ["forwarded", "x-forwarded-for", "x-real-ip"].iter().any(|name| call.header(name).is_some());
    call.peer_address().is_loopback() && !forwarded
}

fn changes(call: &Call) -> bool {
    !matches!(call.method(), Method::Get | Method::Head)
}

/// Browsers say in `Origin` whose page sends a request; everybody else says nothing.
fn is_same_origin(call: &Call, trusted: &[Network]) -> bool {
    call.header("origin").is_none_or(|origin| origin.eq_ignore_ascii_case(&base_url(call, trusted)))
}

/// Compares without telling by the time taken where the difference is.
fn same(left: &[u8], right: &[u8]) -> bool {
    let differ = left.iter().zip(right).fold(0, |differ, (left, right)| differ | (left ^ right));
    left.len() == right.len() && std::hint::black_box(differ) == 0
}

/// Scheme and host under which the client reached us, as it has to be written into absolute addresses.
pub(super) fn base_url(call: &Call, trusted: &[Network]) -> String {
    let is_trusted = trusted.iter().any(|network| network.contains(call.peer_address()));
    let forwarded = |name| is_trusted.then(|| call.header(name)).flatten().map(first_of_list);
    let scheme = forwarded("x-forwarded-proto").filter(|scheme| matches!(*scheme, "http" | "https"));
    let host = forwarded("x-forwarded-host").filter(|host| is_host(host));
    let host = host.or_else(|| call.request.host().filter(|host| is_host(host)));
    let host = host.map_or_else(|| local_host(call.local), str::to_owned);
    format!("{}://{host}", scheme.unwrap_or("http"))
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

    fn with(method: &str, headers: &str) -> Call {
        call_with(method, "/api/channels", &format!("Host: box.lan:5004\r\n{headers}"), "")
    }

    fn from(mut call: Call, peer: &str) -> Call {
        call.peer = peer.parse().unwrap();
        call
    }

    #[test]
    fn with_a_password_only_the_password_opens() {
        let auth = AdminAuth { user: "admin".to_owned(), password: "s:cret".to_owned() };
        let status = |scheme: &str, credentials: &str| {
            let header = format!("Authorization: {scheme} {}\r\n", BASE64.encode(credentials));
            admin(&with("GET", &header), Some(&auth), &[]).map_err(|refused| refused.status())
        };
        assert_eq!(status("Basic", "admin:s:cret"), Ok(()));
        assert_eq!(status("basic", "admin:s:cret"), Ok(()));
        assert_eq!(status("Bearer", "admin:s:cret"), Err(401));
        assert_eq!(status("Basic", "admin:s:cre"), Err(401));
        assert_eq!(status("Basic", ""), Err(401));
        let refused = admin(&with("GET", ""), Some(&auth), &[]).unwrap_err();
        assert_eq!(refused.status(), 401);
        let (head, _) = written(&refused);
        assert!(head.contains("WWW-Authenticate: Basic realm=\"hdhriptv-admin\"\r\n"), "{head}");
    }

    #[test]
    fn without_a_password_only_this_host_may() {
        let status = |call: Call| admin(&call, None, &[]).map_err(|refused| refused.status());
        assert_eq!(status(with("POST", "")), Ok(()));
        assert_eq!(status(from(with("POST", ""), "[::1]:9")), Ok(()));
        assert_eq!(status(from(with("POST", ""), "[::ffff:127.0.0.1]:9")), Ok(()));
        assert_eq!(status(from(with("POST", ""), "192.168.1.7:9")), Err(403));
        assert_eq!(status(with("POST", "X-Forwarded-For: 192.168.1.7\r\n")), Err(403));
    }

    #[test]
    fn another_sites_page_may_look_but_not_change() {
        let status = |method, origin| {
            let call = with(method, &format!("Origin: {origin}\r\n"));
            admin(&call, None, &[]).map_err(|refused| refused.status())
        };
        assert_eq!(status("POST", "http://evil.example"), Err(403));
        assert_eq!(status("DELETE", "null"), Err(403));
        assert_eq!(status("GET", "http://evil.example"), Ok(()));
        assert_eq!(status("POST", "http://box.lan:5004"), Ok(()));
        assert_eq!(status("POST", "https://box.lan:5004"), Err(403));
        let proxy = [Network { address: "127.0.0.1".parse().unwrap(), prefix_bits: 32 }];
        let auth = AdminAuth { user: "u".to_owned(), password: "p".to_owned() };
        let proxied = with(
            "POST",
            "Authorization: Basic dTpw\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: tv.example\r\n\
             Origin: https://tv.example\r\n",
        );
        assert!(admin(&proxied, Some(&auth), &proxy).is_ok());
        assert!(admin(&proxied, Some(&auth), &[]).is_err());
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
