//! Who may ask, and where.

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::base::{Clock, redact};
use crate::http::CookieJar;
use crate::source::{RELAYED_ADDRESS, Relayed};

use super::fetch::LOOK;
use super::origin::{Origin, Origins};
use super::serve;

/// Connections of all children. Full: a new one is closed unanswered.
const CONNECTIONS_MAX: usize = 1024;
/// A handshake needs a third of it in a debug build; what is not used is not there.
const STACK_BYTES: usize = 512 * 1024;
/// Where it listens, in addresses.
const RELAY_HOST: &str = "127.0.0.1";
/// Nobody else finds the relay.
pub(in crate::control) const NO_PROXY: (&str, &str) = ("no_proxy", RELAY_HOST);
const TOKEN_BYTES: usize = 16;

/// What connections share.
struct Shared {
    clock: Clock,
    origins: Origins,
    connections: AtomicUsize,
}

/// Says in a child's words what stands behind addresses of the relay.
#[derive(Clone)]
pub(in crate::control) struct Shown(Arc<Origin>);

/// Listens from the first need on.
#[derive(Default)]
pub(in crate::control) struct Relay {
    listening: OnceLock<(u16, Arc<Shared>)>,
}

/// A child's leave to ask, until this is dropped.
pub(in crate::control) struct Lease {
    origin: Arc<Origin>,
    shared: Arc<Shared>,
}

impl Relay {
    /// Lets a child ask for what is relayed, if something is, and puts its address where that stands among the arguments.
    pub(in crate::control) fn lend(
        &self,
        relayed: Option<Box<Relayed>>,
        arguments: &mut [OsString],
        clock: Clock,
    ) -> io::Result<Option<Lease>> {
        let Some(relayed) = relayed else { return Ok(None) };
        let lease = self.lease(*relayed, clock)?;
        for argument in arguments.iter_mut().filter(|argument| *argument == RELAYED_ADDRESS) {
            *argument = lease.address().into();
        }
        Ok(Some(lease))
    }

    /// Lets a child ask for a source, and for what its lists name.
    fn lease(&self, relayed: Relayed, clock: Clock) -> io::Result<Lease> {
        let (port, shared) = match self.listening.get() {
            Some(listening) => listening,
            None => {
                let listening = listen(clock)?;
                self.listening.get_or_init(|| listening)
            }
        };
        let place = format!("http://{RELAY_HOST}:{port}/");
        let origin = shared.origins.add(&place, token()?, relayed);
        Ok(Lease { origin, shared: Arc::clone(shared) })
    }
}

impl Lease {
    /// Where the child finds its source.
    fn address(&self) -> String {
        format!("{}{}", self.origin.folder(), self.origin.first_file())
    }

    /// How the child's words are to be shown.
    pub(in crate::control) fn shown(&self) -> Shown {
        Shown(Arc::clone(&self.origin))
    }

    /// What the source's servers have set, before and for the child.
    pub(in crate::control) fn cookies(&self) -> CookieJar {
        self.origin.cookies()
    }

    /// What has failed last in a way that the child cannot tell.
    pub(in crate::control) fn failure(&self) -> Option<String> {
        self.origin.failure()
    }
}

impl Shown {
    /// A line with the addresses that lists have named, which are not redacted yet, and without the token.
    pub(in crate::control) fn line(&self, line: &str) -> String {
        let mut parts = line.split(self.0.folder());
        let mut shown = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            // What a manifest has named has a path; what a list has named is a number and an ending.
            let is_of_server = part.starts_with('d');
            let end = part.find(|character: char| match is_of_server {
                true => character.is_whitespace() || matches!(character, '\'' | '"'),
                false => !character.is_ascii_alphanumeric() && character != '.',
            });
            let (file, rest) = part.split_at(end.unwrap_or(part.len()));
            let url = self.0.url_of(file).map(|url| url.text());
            shown.push_str(url.as_deref().unwrap_or(redact::HIDDEN));
            shown.push_str(rest);
        }
        shown.replace(self.0.token(), redact::HIDDEN)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.origins.remove(&self.origin);
    }
}

fn token() -> io::Result<String> {
    let mut bytes = [0; TOKEN_BYTES];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_none| io::Error::other("the system has no random bytes"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn listen(clock: Clock) -> io::Result<(u16, Arc<Shared>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let shared = Arc::new(Shared { clock, origins: Origins::default(), connections: AtomicUsize::new(0) });
    let of_thread = Arc::clone(&shared);
    let accept = move || {
        for connection in listener.incoming() {
            match connection {
                Ok(connection) => take(&of_thread, connection),
                // Too many files are open: another try at once would not be better.
                Err(_) => std::thread::park_timeout(LOOK),
            }
        }
    };
    std::thread::Builder::new().name("relay".to_owned()).stack_size(STACK_BYTES).spawn(accept)?;
    Ok((port, shared))
}

fn take(shared: &Arc<Shared>, connection: TcpStream) {
    if shared.connections.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
        shared.connections.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let of_thread = Counted(Arc::clone(shared));
    // What cannot be started is closed.
    let _refused = std::thread::Builder::new()
        .name("relay".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || serve::connection(of_thread.0.clock, &of_thread.0.origins, connection));
}

/// A connection that counts until it is over.
struct Counted(Arc<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::thread::JoinHandle;
    use std::time::Duration;

    use super::*;
    use crate::http::{RequestHeaders, Url};
    use crate::source::Trust;
    use crate::source::admission::Admission;
    use crate::source::direct::Params;

    const TIME: Duration = Duration::from_secs(10);

    /// Serves one request after another, each on a connection of its own, and gives back their heads.
    fn serve(host: &str, answers: Vec<String>) -> (u16, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let serve = |answer: String| {
                let (stream, _) = listener.accept().unwrap();
                let lines = BufReader::new(&stream).lines();
                let head: Vec<_> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                (&stream).write_all(answer.as_bytes()).unwrap();
                head.join("\n")
            };
            answers.into_iter().map(serve).collect()
        });
        (port, server)
    }

    fn lease(relay: &Relay, url: &str) -> Lease {
        lease_within(relay, url, true)
    }

    fn lease_within(relay: &Relay, url: &str, has_private: bool) -> Lease {
        let mut headers = RequestHeaders::NONE;
        headers.set("Authorization", "Bearer 7").unwrap();
        let params = Params {
            user_agent: "tv/1".to_owned(),
            via: Some("1.1 tunerd-x".to_owned()),
            headers,
            cookies: CookieJar::default(),
            connect_timeout: TIME,
            header_timeout: TIME,
            startup_timeout: TIME,
            tls: Trust::new(true, Vec::new()).unwrap().client(true),
        };
        let url = Url::parse(url).unwrap();
        let host = url.host().to_owned();
        let admission = Admission::new(["http"], has_private);
        relay.lease(Relayed { url, host, params, admission }, Clock::start()).unwrap()
    }

    fn port_of(lease: &Lease) -> u16 {
        Url::parse(&lease.address()).unwrap().port_or_default()
    }

    /// A child's connection, which it keeps.
    struct Child(BufReader<TcpStream>);

    impl Child {
        fn of(lease: &Lease) -> Self {
            let socket = TcpStream::connect((RELAY_HOST, port_of(lease))).unwrap();
            socket.set_read_timeout(Some(TIME)).unwrap();
            Self(BufReader::new(socket))
        }

        /// The answer's head in lower case, and so much of its body as the head says.
        fn ask(&mut self, path: &str, fields: &str) -> (String, String) {
            write!(self.0.get_mut(), "GET {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n").unwrap();
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert!(self.0.read_line(&mut head).unwrap() > 0, "{head}");
            }
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
            self.0.read_exact(&mut body).unwrap();
            (head, String::from_utf8(body).unwrap())
        }

        /// A body in chunks, as it comes.
        fn chunks(&mut self) -> String {
            let mut chunks = String::new();
            while !chunks.ends_with("0\r\n\r\n") {
                assert!(self.0.read_line(&mut chunks).unwrap() > 0);
            }
            chunks
        }
    }

    #[test]
    fn a_child_is_given_what_its_lists_name_and_nothing_else_as_long_as_it_lives() {
        let answers = [
            "HTTP/1.1 302 -\r\nLocation: /moved/list.m3u8\r\nSet-Cookie: sid=1; Path=/\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n#EXTM3U\n#EXTINF:1,\n0.ts\n",
            "HTTP/1.1 206 -\r\nContent-Range: bytes 4-6/9\r\nContent-Type: video/x\r\nContent-Length: 3\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n",
            "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno",
        ];
        let (port, server) = serve(RELAY_HOST, answers.map(str::to_owned).to_vec());
        let relay = Relay::default();
        let lease = lease(&relay, &format!("http://127.0.0.1:{port}/a/list.m3u8?t=secret"));
        let address = lease.address();
        let folder = lease.origin.folder().to_owned();
        assert_eq!(address, format!("{folder}0.m3u8"));
        let path = |file: &str| format!("/{}/{file}", lease.origin.token());
        let mut child = Child::of(&lease);
        let (head, list) = child.ask(&path("0.m3u8"), "");
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        assert_eq!(list, format!("#EXTM3U\n#EXTINF:1,\n{}\n", path("1.ts")));
        let (head, body) = child.ask(&path("1.ts"), "Range: bytes=4-6\r\n");
        assert!(head.starts_with("http/1.1 206 ") && body == "abc", "{head}{body}");
        assert!(head.contains("content-type: video/x\r\n"), "{head}");
        assert!(head.contains("content-range: bytes 4-6/9\r\n"), "{head}");
        let (head, _) = child.ask(&path("1.ts"), "");
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        assert_eq!(child.chunks(), "2\r\nde\r\n0\r\n\r\n");
        assert!(child.ask(&path("1.ts"), "").0.starts_with("http/1.1 403 "));
        assert!(child.ask(&path("2.ts"), "").0.starts_with("http/1.1 404 "), "no list has named it");
        assert_eq!(lease.failure(), None, "a status tells by itself");
        let heads = server.join().unwrap();
        assert!(heads[1].starts_with("GET /moved/list.m3u8 ") && heads[2].starts_with("GET /moved/0.ts "));
        for (at, field) in [
            (1, "Cookie: sid=1"),
            (2, "Cookie: sid=1"),
            (2, "Range: bytes=4-6"),
            (2, "Authorization: Bearer 7"),
            (2, "Via: 1.1 tunerd-x"),
        ] {
            assert!(heads[at].contains(&format!("\n{field}")), "{field}: {}", heads[at]);
        }
        let said = lease.shown().line(&format!("a '{folder}1.ts': b {folder}9.ts {}", lease.origin.token()));
        assert_eq!(said, format!("a 'http://127.0.0.1:{port}/moved/0.ts': b *** ***"));
        let mut late = Child::of(&lease);
        let (dead, token) = (path("0.m3u8"), lease.origin.token().to_owned());
        drop(lease);
        assert!(late.ask(&dead, "").0.starts_with("http/1.1 404 "));
        assert_eq!(child.0.read(&mut [0]).unwrap(), 0, "its connections are closed");
        assert_eq!(token.len(), 2 * TOKEN_BYTES);
    }

    #[test]
    fn what_only_this_network_reaches_is_not_asked_for_when_it_must_not_be() {
        let relay = Relay::default();
        // Nobody is connected to: there would be an answer to wait for.
        let listener = TcpListener::bind((RELAY_HOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let lease = lease_within(&relay, &format!("http://localhost:{port}/a.m3u8"), false);
        let mut child = Child::of(&lease);
        write!(child.0.get_mut(), "GET /{}/0.m3u8 HTTP/1.1\r\nHost: h\r\n\r\n", lease.origin.token())
            .unwrap();
        assert_eq!(child.0.read(&mut [0]).unwrap(), 0, "it is closed");
        let failure = lease.failure().unwrap();
        assert!(failure.contains("which only this network reaches"), "{failure}");
        assert!(listener.accept().is_err());
    }

    #[test]
    fn credentials_go_to_no_other_host_and_what_cannot_be_had_is_closed_and_told() {
        let (other, other_server) = serve("127.0.0.2", vec![EMPTY.to_owned()]);
        let nobody = TcpListener::bind((RELAY_HOST, 0)).unwrap().local_addr().unwrap().port();
        let text = format!("#EXTM3U\nhttp://127.0.0.2:{other}/x\nhttp://127.0.0.1:{nobody}/y?k=secret\n");
        let list = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        let (port, list_server) = serve(RELAY_HOST, vec![list]);
        let relay = Relay::default();
        let lease = lease(&relay, &format!("http://127.0.0.1:{port}/list"));
        let path = |number: u32| format!("/{}/{number}", lease.origin.token());
        let mut child = Child::of(&lease);
        for number in 0..2 {
            assert!(child.ask(&path(number), "").0.starts_with("http/1.1 200 "));
        }
        assert!(list_server.join().unwrap()[0].contains("\nAuthorization: "));
        assert!(!other_server.join().unwrap()[0].contains("Authorization"));
        write!(child.0.get_mut(), "GET {} HTTP/1.1\r\nHost: h\r\n\r\n", path(2)).unwrap();
        assert_eq!(child.0.read(&mut [0]).unwrap(), 0, "closed without an answer");
        let failure = lease.failure().unwrap();
        assert!(failure.contains("/y") && !failure.contains("secret"), "{failure}");
    }

    const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
}
