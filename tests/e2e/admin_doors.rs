//! Every door of the administration from every side: who asks, from where, under which name, for which page, through whom, with what
//! password, and for what. What is to be answered is said here by a rule of its own, and all combinations are tried.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

use crate::kit::{Daemon, LONG, Network, free_port};

/// `admin:secret-word`.
const RIGHT: &str = "Authorization: Basic YWRtaW46c2VjcmV0LXdvcmQ=\r\n";
const WRONG: &str = "Authorization: Basic YWRtaW46Z3Vlc3M=\r\n";
const REBOUND: &str = "rebound.example";

/// Where a request comes from, and which address of ours it goes to.
struct Side {
    /// On another host than ours.
    is_far: bool,
    to: IpAddr,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Page {
    None,
    Own,
    Evil,
    Twice,
    OtherSite,
    Link,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Through {
    Nobody,
    ForThisHost,
    ForAnother,
    UnderAnotherName,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Wish {
    Channels,
    Change,
    Lineup,
}

#[derive(Clone, Copy, Debug)]
struct Asked<'a> {
    is_far: bool,
    host: &'a str,
    page: Page,
    through: Through,
    has_password: bool,
    wish: Wish,
}

impl Asked<'_> {
    fn request(self) -> String {
        let own = format!("Origin: http://{}\r\n", self.host);
        let page = match self.page {
            Page::None => String::new(),
            Page::Own => own,
            Page::Evil => "Origin: http://evil.example\r\n".to_owned(),
            Page::Twice => own.repeat(2),
            Page::OtherSite => "Sec-Fetch-Site: cross-site\r\n".to_owned(),
            Page::Link => "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n".to_owned(),
        };
        let through = match self.through {
            Through::Nobody => "",
            Through::ForThisHost => "X-Forwarded-For: 127.0.0.1\r\n",
            Through::ForAnother => "X-Forwarded-For: 203.0.113.9\r\n",
            Through::UnderAnotherName => "X-Forwarded-Host: rebound.example\r\nX-Forwarded-Proto: https\r\n",
        };
        let password = if self.has_password { RIGHT } else { "" };
        let fields = format!("Host: {}\r\n{page}{through}{password}Connection: close\r\n", self.host);
        match self.wish {
            Wish::Channels => format!("GET /api/channels HTTP/1.1\r\n{fields}\r\n"),
            Wish::Change => {
                format!(
                    "PATCH /api/channels/9999 HTTP/1.1\r\n{fields}Content-Length: 16\r\n\r\n{{\"enabled\":true}}"
                )
            }
            Wish::Lineup => format!("GET /lineup.json HTTP/1.1\r\n{fields}\r\n"),
        }
    }

    /// What is to be answered by one that asks for a password, or believes proxies on every side.
    fn expected(self, is_locked: bool, believes: bool) -> u16 {
        let names_another = believes && self.through == Through::UnderAnotherName;
        let is_here = !self.is_far
            && match self.through {
                Through::Nobody | Through::UnderAnotherName => true,
                Through::ForThisHost => believes,
                Through::ForAnother => false,
            };
        if self.wish == Wish::Lineup {
            return 200;
        }
        if is_locked && !self.has_password {
            return 401;
        }
        if !is_locked && (!is_here || self.host == REBOUND || names_another) {
            return 403;
        }
        match self.page {
            Page::Twice => 400,
            Page::Evil | Page::OtherSite => 403,
            Page::Own if names_another => 403,
            Page::Link if self.wish == Wish::Change => 403,
            Page::None | Page::Own | Page::Link if self.wish == Wish::Change => 404,
            Page::None | Page::Own | Page::Link => 200,
        }
    }
}

fn status(to: SocketAddr, request: &str) -> u16 {
    let mut stream = TcpStream::connect_timeout(&to, LONG).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    // Whoever is refused with a body unread may see the connection reset behind the answer.
    let _end = stream.read_to_end(&mut head);
    let head = String::from_utf8_lossy(&head);
    let is_open = head.contains("Access-Control-Allow-Origin");
    assert!(!is_open || request.starts_with("GET /lineup.json "), "{request}{head}");
    head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{request}{head:?}"))
}

/// How many requests were answered as they are to be; the first other answer ends it.
fn try_all(port: u16, sides: &[Side], is_locked: bool, believes: bool) -> usize {
    let mut tried = 0;
    for side in sides {
        let to = SocketAddr::new(side.to, port);
        let own = to.to_string();
        for host in ["localhost", own.as_str(), REBOUND] {
            for page in [Page::None, Page::Own, Page::Evil, Page::Twice, Page::OtherSite, Page::Link] {
                for through in
                    [Through::Nobody, Through::ForThisHost, Through::ForAnother, Through::UnderAnotherName]
                {
                    for has_password in [false, true].into_iter().filter(|has| is_locked || !has) {
                        for wish in [Wish::Channels, Wish::Change, Wish::Lineup] {
                            let asked =
                                Asked { is_far: side.is_far, host, page, through, has_password, wish };
                            let (given, expected) =
                                (status(to, &asked.request()), asked.expected(is_locked, believes));
                            assert_eq!(
                                given, expected,
                                "locked {is_locked}, believes {believes}, at {to}: {asked:?}"
                            );
                            tried += 1;
                        }
                    }
                }
            }
        }
        let wrong =
            format!("GET /api/channels HTTP/1.1\r\nHost: localhost\r\n{WRONG}Connection: close\r\n\r\n");
        if is_locked {
            assert_eq!(status(to, &wrong), 401);
        }
    }
    tried
}

#[test]
fn every_door_is_open_or_shut_from_every_side_as_the_rules_say() {
    let Some(network) = Network::with_others(1) else { return };
    let side = |is_far, to: &str| Side { is_far, to: to.parse().unwrap() };
    let near = [side(false, "127.0.0.1"), side(false, "::1")];
    let far = [side(true, &network.address(0)), side(true, "fd00:0::1")];
    let mut tried = 0;
    for (is_locked, believes) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut settings = vec![("RATE_LIMIT_RPS", "0"), ("LOG_LEVEL", "info")];
        if is_locked {
            settings.push(("ADMIN_AUTH", "admin:secret-word"));
        }
        if believes {
            settings.push(("RATE_LIMIT_TRUSTED_PROXIES", "127.0.0.0/8,::1/128,10.213.80.0/24,fd00::/16"));
        }
        let port = free_port();
        let daemon = network.at_home(|| {
            Daemon::start_with(port, &settings, |command| {
                command.env("HTTP_ADDR", format!(":{port}"));
            })
        });
        tried += network.at_home(|| try_all(port, &near, is_locked, believes));
        tried += network.at(0, || try_all(port, &far, is_locked, believes));
        drop(daemon);
    }
    assert_eq!(tried, (2 + 2 * 2) * 4 * 3 * 6 * 4 * 3);
}
