//! The machine and the HTTP client together: an upstream that is many requests.

use std::time::Duration;

use crate::base::Instant;
use crate::http::{CookieJar, Url};
use crate::source::direct::{self, Client, Kept};
use crate::source::error::{Kind, SourceError};
use crate::source::hls::failure::Failure;
use crate::source::hls::group::{Group, Remark};
use crate::source::hls::list::ByteRange;
use crate::source::hls::machine::{Fetch, ForOthers, HlsParams, HlsWant, Item};

/// What is to be done next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// What [`Upstream::client`] wants.
    Client,
    /// Bytes wait: [`Upstream::take_body`].
    TakeBody,
    /// The connection is to be closed: [`Upstream::disconnected`].
    Close,
    /// Nothing, until [`Upstream::next_deadline`], or until the stream may be read on.
    Wait,
    /// The stream is at its end.
    Ended,
    /// [`Upstream::failure`] says why.
    Failed,
}

enum State {
    /// No request, and no connection but one that is kept.
    Idle,
    Requesting {
        client: Box<Client>,
        is_answered: bool,
    },
    /// The request is over; its connection is not closed yet.
    Over,
}

/// One run of HLS, as the engine drives it: it does for [`Upstream::client`] what it does for the client of a stream, and
/// takes every byte of a body by [`Upstream::body_in_place`] and [`Upstream::take_body`].
pub struct Upstream {
    source: Url,
    machine: Group,
    /// Those of the next request, with the cookies of all before.
    params: direct::Params,
    state: State,
    /// The connection of the request before, when another may follow on it, and since when nothing has.
    kept: Option<(Box<Kept>, Instant)>,
    /// When it is to be asked again, while it waits.
    waits_until: Option<Instant>,
}

impl Upstream {
    /// An upstream that has done nothing yet. `params` are those of its requests, the time to the first answer included.
    ///
    /// # Errors
    /// When the address is no HTTP(S) URL.
    pub fn new(
        url: &str,
        hls: HlsParams,
        params: direct::Params,
        seed: u64,
        now: Instant,
    ) -> Result<Self, SourceError> {
        let url = Url::parse(url).map_err(|error| {
            SourceError::new(Kind::Unusable, &format!("create upstream request: {error}"))
        })?;
        let machine = Group::new(url.clone(), hls, seed, now);
        Ok(Self { source: url, machine, params, state: State::Idle, kept: None, waits_until: None })
    }

    /// What is to be done next. Ask again after every report, and when a wait is over. `may_read` says whether more of the
    /// stream is wanted now.
    pub fn next(&mut self, now: Instant, may_read: bool) -> Next {
        loop {
            self.conclude(now);
            self.waits_until = None;
            let is_requesting = match &self.state {
                State::Over => return Next::Close,
                State::Idle => false,
                State::Requesting { .. } => true,
            };
            match self.machine.want(now, may_read) {
                HlsWant::TakeTail => return Next::TakeBody,
                HlsWant::Failed => return Next::Failed,
                HlsWant::Receive { .. } if is_requesting => return Next::Client,
                HlsWant::Abandon => {
                    self.machine.abandoned();
                    if is_requesting {
                        self.over();
                    }
                }
                want @ (HlsWant::Fetch(_) | HlsWant::Wait { .. } | HlsWant::Ended) if is_requesting => {
                    unreachable!("the machine wants {want:?} while a request is on its way")
                }
                HlsWant::Receive { .. } => unreachable!("the machine is told the end of every request"),
                HlsWant::Fetch(fetch) => self.request(now, fetch),
                HlsWant::Wait { until } => {
                    self.waits_until = until;
                    return Next::Wait;
                }
                HlsWant::Ended => return Next::Ended,
            }
        }
    }

    /// What others are to read instead, when the source is a master list.
    #[must_use]
    pub const fn for_others(&self) -> Option<&ForOthers> {
        self.machine.for_others()
    }

    /// Where the source is.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.source
    }

    /// What people may want to know, once.
    pub fn take_remark(&mut self) -> Option<Remark> {
        self.machine.take_remark()
    }

    /// The client of the request that is on its way.
    #[must_use]
    pub fn client(&self) -> Option<&Client> {
        match &self.state {
            State::Requesting { client, .. } => Some(client),
            State::Idle | State::Over => None,
        }
    }

    /// The same, to be told what came of what it wanted. Its body is taken by [`Upstream::take_body`] and
    /// [`Upstream::body_in_place`].
    pub fn client_mut(&mut self) -> Option<&mut Client> {
        match &mut self.state {
            State::Requesting { client, .. } => Some(client),
            State::Idle | State::Over => None,
        }
    }

    /// True while what is read is the stream itself: lists and keys are read however far ahead of viewers the stream is.
    #[must_use]
    pub fn is_streaming(&self) -> bool {
        self.machine.is_reading_segment()
    }

    /// Why it failed, when it did.
    #[must_use]
    pub fn failure(&self) -> Option<SourceError> {
        self.machine.failure().map(Failure::to_source_error)
    }

    /// What the source's servers have set, before and on this way.
    #[must_use]
    pub fn cookies(&self) -> &CookieJar {
        self.client().map_or(&self.params.cookies, Client::cookies)
    }

    /// Bytes of a body came into the stream's memory. Those of the stream are then at the front; the result is their number.
    pub fn body_in_place(&mut self, now: Instant, bytes: &mut [u8]) -> usize {
        self.note_answer();
        let State::Requesting { client, .. } = &mut self.state else { return 0 };
        let count = client.body_in_place(bytes).kept;
        self.machine.body(now, &mut bytes[..count])
    }

    /// Copies bytes that wait to where the stream goes. None may be the stream's.
    pub fn take_body(&mut self, now: Instant, into: &mut [u8]) -> usize {
        let tail = self.machine.take_tail(into);
        if tail > 0 {
            return tail;
        }
        self.note_answer();
        let State::Requesting { client, .. } = &mut self.state else { return 0 };
        let count = client.take_body(into);
        self.machine.body(now, &mut into[..count])
    }

    /// The socket that was to be closed is closed.
    pub fn disconnected(&mut self, now: Instant) {
        self.kept = None;
        match &mut self.state {
            State::Over => self.state = State::Idle,
            State::Requesting { client, .. } => client.disconnected(now),
            // There was none.
            State::Idle => {}
        }
    }

    /// When [`Upstream::expire`] is to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        [self.client().and_then(Client::next_deadline), self.machine.next_deadline(), self.waits_until]
            .into_iter()
            .flatten()
            .min()
    }

    /// Time passed.
    pub fn expire(&mut self, now: Instant) {
        if let Some(client) = self.client_mut() {
            client.expire(now);
        }
        self.conclude(now);
        self.machine.expire(now);
        // It is said once: whether it can be asked again now depends on others too.
        self.waits_until = self.waits_until.filter(|until| *until > now);
    }
}

impl Upstream {
    fn request(&mut self, now: Instant, fetch: Fetch) {
        // Once something has been listed, a server that does not answer soon is one that holds up the stream.
        let is_first = self.machine.counters().lists == 0;
        let startup_timeout =
            if is_first { self.params.startup_timeout } else { self.params.startup_timeout.min(ANSWER_TIME) };
        let params = direct::Params { startup_timeout, ..self.params.clone() };
        match Client::new(&fetch.url.text(), params, now) {
            Ok(client) => {
                let part = direct::Part {
                    origin: Some(self.source.host().to_owned()),
                    range: fetch.range.map(ByteRange::header),
                    may_be_packed: matches!(fetch.item, Item::List | Item::Key),
                    keeps: true,
                    asks_for_packed: false,
                };
                let client = client.with_part(part);
                // What serves another server is closed when this one is connected to: never are there two.
                let kept = self
                    .kept
                    .take()
                    .filter(|(kept, since)| kept.serves(&fetch.url) && now - *since <= KEPT_TIME);
                let client = Box::new(match kept {
                    Some((kept, _)) => client.resume(kept, now),
                    None => client,
                });
                self.state = State::Requesting { client, is_answered: false };
            }
            Err(error) => self.machine.failed(now, error),
        }
    }

    /// The machine hears that there is an answer.
    fn note_answer(&mut self) {
        let State::Requesting { client, is_answered } = &mut self.state else { return };
        if let Some(status) = client.status().filter(|_| !*is_answered) {
            *is_answered = true;
            self.machine.answered(client.url().clone(), status);
        }
    }

    /// The request is over, and what servers have set on its way is kept for the next. Its connection is closed, unless it is
    /// kept, too.
    fn over(&mut self) {
        if let State::Requesting { client, .. } = &self.state {
            self.params.cookies.clone_from(client.cookies());
        }
        self.state = if self.kept.is_some() { State::Idle } else { State::Over };
    }

    /// The machine hears of the end of a request.
    fn conclude(&mut self, now: Instant) {
        self.note_answer();
        let State::Requesting { client, .. } = &mut self.state else { return };
        match client.want() {
            direct::Want::Finished => {
                self.kept = client.take_kept().map(|kept| (kept, now));
                self.machine.complete(now);
            }
            direct::Want::Failed => {
                let error = client.failure().cloned().expect("a failed client says why");
                self.machine.failed(now, error);
            }
            direct::Want::Resolve { .. }
            | direct::Want::Connect(_)
            | direct::Want::Send
            | direct::Want::ReceivePrivate
            | direct::Want::TakeBody
            | direct::Want::ReceiveBody
            | direct::Want::Reconnect
            | direct::Want::Wait => return,
        }
        self.over();
    }
}

/// A connection on which nothing was asked for longer is not believed to be there.
const KEPT_TIME: Duration = Duration::from_secs(30);
/// The most time until a server answers, once it has answered before.
const ANSWER_TIME: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::SocketAddr;

    use super::*;
    use crate::base::Errno;
    use crate::http::RequestHeaders;
    use crate::source::direct::tls_config;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn upstream(url: &str) -> Upstream {
        let params = direct::Params {
            user_agent: "tv/1".to_owned(),
            via: None,
            headers: RequestHeaders::default(),
            cookies: CookieJar::default(),
            connect_timeout: Duration::from_secs(3),
            header_timeout: Duration::from_secs(5),
            startup_timeout: Duration::from_secs(12),
            tls: tls_config(&[]).unwrap(),
        };
        Upstream::new(url, HlsParams::default(), params, 1, at(0)).unwrap()
    }

    fn packets(number: u8) -> Vec<u8> {
        (0..6)
            .flat_map(|packet| {
                let mut bytes = vec![number; 188];
                (bytes[0], bytes[1]) = (0x47, packet);
                bytes
            })
            .collect()
    }

    /// Does what the upstream wants, with a server that answers each request in pieces of a size, until there is nothing to
    /// do but wait.
    struct Rig<'server> {
        upstream: Upstream,
        server: &'server dyn Fn(&str) -> Vec<u8>,
        piece: usize,
        requests: Vec<String>,
        stream: Vec<u8>,
        /// Those that were made, of which the last may be open.
        connections: u32,
        is_open: bool,
        answer: Vec<u8>,
    }

    impl<'server> Rig<'server> {
        fn new(url: &str, piece: usize, server: &'server dyn Fn(&str) -> Vec<u8>) -> Self {
            let upstream = upstream(url);
            Self {
                upstream,
                server,
                piece,
                requests: vec![],
                stream: vec![],
                connections: 0,
                is_open: false,
                answer: vec![],
            }
        }

        fn drive(&mut self, now: Instant) -> Next {
            loop {
                match self.upstream.next(now, true) {
                    Next::Client => self.step(now),
                    Next::TakeBody => self.take(now),
                    Next::Close => {
                        self.is_open = false;
                        self.upstream.disconnected(now);
                    }
                    end @ (Next::Wait | Next::Ended | Next::Failed) => return end,
                }
            }
        }

        fn take(&mut self, now: Instant) {
            let mut memory = [0; 150];
            let count = self.upstream.take_body(now, &mut memory);
            self.keep(&memory[..count]);
        }

        fn keep(&mut self, bytes: &[u8]) {
            if !bytes.is_empty() {
                self.stream.extend_from_slice(bytes);
            }
        }

        fn piece_of_answer(&mut self) -> Vec<u8> {
            let rest = self.answer.split_off(self.piece.min(self.answer.len()));
            std::mem::replace(&mut self.answer, rest)
        }

        fn step(&mut self, now: Instant) {
            let client = self.upstream.client_mut().expect("it was said");
            match client.want() {
                direct::Want::Resolve { .. } => {
                    client.resolved(now, Ok(vec![SocketAddr::from(([10, 0, 0, 1], 80))]));
                }
                direct::Want::Connect(_) => {
                    // One that was kept is closed first.
                    self.connections += 1;
                    self.is_open = true;
                    client.connected(now, Ok(()));
                }
                direct::Want::Send => {
                    assert!(self.is_open, "a request is sent on a connection");
                    let request = String::from_utf8(client.outgoing().to_vec()).unwrap();
                    client.sent(request.len());
                    self.answer = (self.server)(&request);
                    self.requests.push(request);
                }
                direct::Want::ReceivePrivate => {
                    let bytes = self.piece_of_answer();
                    let client = self.upstream.client_mut().unwrap();
                    if bytes.is_empty() { client.closed() } else { client.received(now, &bytes) }
                }
                direct::Want::TakeBody => self.take(now),
                direct::Want::ReceiveBody => {
                    let mut bytes = self.piece_of_answer();
                    if bytes.is_empty() {
                        return self.upstream.client_mut().unwrap().closed();
                    }
                    let count = self.upstream.body_in_place(now, &mut bytes);
                    self.keep(&bytes[..count]);
                }
                direct::Want::Reconnect => {
                    self.is_open = false;
                    self.upstream.disconnected(now);
                }
                want @ (direct::Want::Wait | direct::Want::Finished | direct::Want::Failed) => {
                    unreachable!("{want:?} is concluded")
                }
            }
        }

        fn targets(&self) -> Vec<&str> {
            self.requests.iter().map(|request| request.split(' ').nth(1).unwrap()).collect()
        }
    }

    fn ok(body: &[u8]) -> Vec<u8> {
        [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
    }

    fn chunked(body: &[u8]) -> Vec<u8> {
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in body.chunks(77) {
            answer.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            answer.extend_from_slice(chunk);
            answer.extend_from_slice(b"\r\n");
        }
        answer.extend_from_slice(b"0\r\n\r\n");
        answer
    }

    #[test]
    fn a_list_becomes_a_stream_whatever_the_answers_look_like() {
        let list = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n1.ts\n#EXT-X-DISCONTINUITY\n#EXTINF:2,\nhttp://cdn.example/2.ts\n\
                     #EXT-X-BYTERANGE:1128@1128\n#EXTINF:2,\nall.ts\n#EXT-X-ENDLIST\n";
        let junk = [b"\x89PNG\r\n\x1A\n0000".as_slice(), &packets(2)].concat();
        let whole = [packets(9), packets(3), packets(9)].concat();
        let server = |request: &str| match request.split(' ').nth(1).unwrap() {
            "/1.m3u8" => b"HTTP/1.1 302 Found\r\nLocation: http://edge.example/a/list.m3u8\r\n\r\n".to_vec(),
            "/a/list.m3u8" => chunked(list),
            "/a/1.ts" => [b"HTTP/1.0 200 OK\r\n\r\n".as_slice(), &packets(1)].concat(),
            "/2.ts" => chunked(&junk),
            "/a/all.ts" => {
                assert!(request.contains("\r\nRange: bytes=1128-2255\r\n"), "{request}");
                ok(&whole)
            }
            target => panic!("{target}"),
        };
        for piece in [1, 50, 1000, 60_000] {
            let mut rig = Rig::new("http://panel.example/1.m3u8", piece, &server);
            assert_eq!(rig.drive(at(10)), Next::Ended, "{:?}", rig.upstream.failure());
            assert!(rig.stream == [packets(1), packets(2), packets(3)].concat(), "pieces of {piece}");
            assert_eq!(rig.targets(), ["/1.m3u8", "/a/list.m3u8", "/a/1.ts", "/2.ts", "/a/all.ts"]);
            // The list's is kept for the first segment, whose end is that of its connection.
            assert_eq!(rig.connections, 4);
        }
    }

    /// An answer that the server ends with its connection.
    fn last(body: &[u8]) -> Vec<u8> {
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        [head.as_bytes(), body].concat()
    }

    #[test]
    fn one_connection_is_enough_for_a_server_that_keeps_it() {
        const LIST: &[u8] = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n1.ts\n2.ts\n3.ts\n4.ts\n#EXT-X-ENDLIST\n";
        let more = |body: &[u8]| [ok(body).as_slice(), b"HTTP/1.1 408 Request Timeout\r\n\r\n"].concat();
        type Reply<'reply> = &'reply dyn Fn(&[u8]) -> Vec<u8>;
        for (name, reply, connections) in [
            ("lengths", &ok as Reply, 1),
            ("chunks", &chunked, 1),
            ("says that it closes", &last, 5),
            ("is of an older version", &|body| [b"HTTP/1.0 200 OK\r\n\r\n", body].concat(), 5),
            ("sends more than it says", &more, 5),
        ] {
            let server = |request: &str| {
                assert!(request.contains("\r\nConnection: keep-alive\r\n"), "{request}");
                match request.split(' ').nth(1).unwrap() {
                    "/1.m3u8" => reply(LIST),
                    target => reply(&packets(target[1..2].parse().unwrap())),
                }
            };
            let mut rig = Rig::new("http://tv.example/1.m3u8", 60_000, &server);
            assert_eq!(rig.drive(at(10)), Next::Ended, "{name}: {:?}", rig.upstream.failure());
            assert!(rig.stream == (1..5).flat_map(packets).collect::<Vec<_>>(), "{name}");
            assert_eq!((rig.requests.len(), rig.connections), (5, connections), "{name}");
        }
    }

    #[test]
    fn a_connection_that_was_closed_meanwhile_is_replaced_once_and_nothing_is_lost() {
        let server = |request: &str| match request.split(' ').nth(1).unwrap() {
            "/1.m3u8" => ok(b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n1.ts\n"),
            target => ok(&packets(target[1..2].parse().unwrap())),
        };
        for silence in ["closed", "broken", "silent"] {
            let mut rig = Rig::new("http://tv.example/1.m3u8", 500, &server);
            assert_eq!(rig.drive(at(10)), Next::Wait);
            let due = rig.upstream.next_deadline().unwrap();
            rig.upstream.expire(due);
            assert_eq!(rig.upstream.next(due, true), Next::Client);
            let client = rig.upstream.client_mut().unwrap();
            assert_eq!(client.want(), direct::Want::Send, "the connection is used again");
            client.sent(client.outgoing().len());
            assert_eq!(client.want(), direct::Want::ReceivePrivate);
            let mut now = due;
            match silence {
                "closed" => client.closed(),
                "broken" => client.lost(Errno::CONNRESET),
                _silent => {
                    now = rig.upstream.next_deadline().unwrap();
                    assert_eq!(now, due + Duration::from_millis(2500), "half of the time for an answer");
                    rig.upstream.expire(now);
                }
            }
            assert_eq!(rig.upstream.client().unwrap().want(), direct::Want::Reconnect, "{silence}");
            assert_eq!(rig.drive(now), Next::Wait, "{silence}: {:?}", rig.upstream.failure());
            assert_eq!(rig.connections, 2, "{silence}");
            assert_eq!(rig.targets(), ["/1.m3u8", "/1.ts", "/1.m3u8"], "{silence}");
        }
    }

    #[test]
    fn a_new_connection_that_is_closed_is_not_replaced() {
        let mut upstream = upstream("http://10.0.0.1/1.m3u8");
        assert_eq!(upstream.next(at(0), true), Next::Client);
        let client = upstream.client_mut().unwrap();
        client.connected(at(5), Ok(()));
        client.sent(client.outgoing().len());
        client.closed();
        assert_eq!(upstream.next(at(5), true), Next::Close);
        upstream.disconnected(at(5));
        assert_eq!(upstream.next(at(5), true), Next::Failed);
    }

    #[test]
    fn what_belongs_to_the_channel_goes_with_every_request() {
        let list = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-KEY:METHOD=NONE\n1.ts\nhttp://cdn.example/2.ts\n#EXT-X-ENDLIST\n";
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(list).unwrap();
        let packed = packer.finish().unwrap();
        let gzip =
            format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", packed.len());
        let server = |request: &str| {
            assert!(request.contains("\r\nReferer: http://portal.example/\r\n"), "{request}");
            let is_own = request.contains("\r\nHost: tv.example\r\n");
            assert_eq!(request.contains("Authorization: Bearer x"), is_own, "{request}");
            match request.split(' ').nth(1).unwrap() {
                "/1.m3u8" => {
                    b"HTTP/1.1 302 Found\r\nSet-Cookie: sid=abc; Path=/\r\nLocation: /a/list.m3u8\r\n\r\n"
                        .to_vec()
                }
                target => {
                    assert_eq!(request.contains("\r\nCookie: sid=abc\r\n"), is_own, "{request}");
                    match target {
                        "/a/list.m3u8" => [gzip.as_bytes(), &packed].concat(),
                        "/a/1.ts" => ok(&packets(1)),
                        "/2.ts" => ok(&packets(2)),
                        target => panic!("{target}"),
                    }
                }
            }
        };
        let mut rig = Rig::new("http://tv.example/1.m3u8", 300, &server);
        rig.upstream.params.headers.set("Referer", "http://portal.example/").unwrap();
        rig.upstream.params.headers.set("Authorization", "Bearer x").unwrap();
        assert_eq!(rig.drive(at(10)), Next::Ended, "{:?}", rig.upstream.failure());
        assert!(rig.stream == [packets(1), packets(2)].concat());
        assert!(!rig.upstream.cookies().is_empty());
    }

    #[test]
    fn a_segment_that_is_packed_is_no_stream() {
        let server = |request: &str| match request.split(' ').nth(1).unwrap() {
            "/1.m3u8" => ok(b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n1.ts\n2.ts\n3.ts\n"),
            _ => b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1F\x8B".to_vec(),
        };
        let mut rig = Rig::new("http://tv.example/1.m3u8", 300, &server);
        let mut now = 10;
        while rig.drive(at(now)) == Next::Wait {
            now = rig.upstream.next_deadline().unwrap().as_millis() + 1;
        }
        let failure = rig.upstream.failure().unwrap().to_string();
        assert!(failure.contains("compressed (gzip)"), "{failure}");
        assert!(now < 10_000, "{now}");
    }

    #[test]
    fn a_live_stream_waits_between_its_requests_with_one_connection() {
        let server = |request: &str| match request.split(' ').nth(1).unwrap() {
            "/1.m3u8" => ok(b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n1.ts\n"),
            "/1.ts" => ok(&packets(1)),
            target => panic!("{target}"),
        };
        let mut rig = Rig::new("http://tv.example/1.m3u8", 500, &server);
        assert_eq!((rig.drive(at(10)), rig.upstream.next_deadline()), (Next::Wait, Some(at(3010))));
        assert_eq!((rig.connections, rig.stream == packets(1)), (1, true));
        assert!(!rig.upstream.is_streaming());
        rig.upstream.expire(at(3010));
        assert_eq!(rig.upstream.next_deadline(), None, "once is enough");
        assert_eq!((rig.drive(at(3010)), rig.upstream.next_deadline()), (Next::Wait, Some(at(6010))));
        assert_eq!(rig.targets(), ["/1.m3u8", "/1.ts", "/1.m3u8"]);
        assert_eq!(rig.upstream.machine.counters().segments, 1);
    }

    #[test]
    fn why_a_stream_cannot_be_had_is_told() {
        for (answer, kind, text) in [
            (
                b"HTTP/1.1 456 x\r\n\r\nin use".to_vec(),
                Kind::Status(456),
                "upstream returned status 456: in use",
            ),
            (
                ok(b"<html>"),
                Kind::NotTransportStream(crate::source::body::Body::Html),
                "the answer is no HLS playlist (HTML)",
            ),
            (
                ok(b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-MAP:URI=\"i\"\n1.m4s\n"),
                Kind::NotTransportStream(crate::source::body::Body::Hls),
                "HLS is not read directly: its segments are fragmented MP4",
            ),
        ] {
            let server = |_: &str| answer.clone();
            let mut rig = Rig::new("http://tv.example/1.m3u8", 500, &server);
            assert_eq!(rig.drive(at(10)), Next::Failed);
            let failure = rig.upstream.failure().unwrap();
            assert_eq!((failure.kind(), failure.to_string().as_str()), (kind, text));
        }
        assert!(
            Upstream::new("rtsp://a/", HlsParams::default(), upstream("http://a/").params, 1, at(0)).is_err()
        );
    }

    #[test]
    fn a_server_that_falls_silent_or_breaks_off_is_given_up_in_time() {
        let mut upstream = upstream("http://10.0.0.1/1.m3u8");
        assert_eq!(upstream.next(at(0), true), Next::Client);
        upstream.client_mut().unwrap().connected(at(5), Err(Errno::CONNREFUSED));
        assert_eq!(upstream.next(at(5), true), Next::Close);
        upstream.disconnected(at(5));
        assert_eq!(upstream.next(at(5), true), Next::Failed);
        assert_eq!(upstream.failure().unwrap().kind(), Kind::Connection);

        let mut upstream = super::tests::upstream("http://10.0.0.1/1.m3u8");
        assert_eq!(upstream.next(at(0), true), Next::Client);
        let deadline = upstream.next_deadline().unwrap();
        assert_eq!(deadline, at(3000), "the time to connect");
        upstream.expire(deadline);
        assert_eq!(upstream.next(deadline, true), Next::Close);
        upstream.disconnected(deadline);
        assert_eq!(upstream.next(deadline, true), Next::Failed);
    }
}
