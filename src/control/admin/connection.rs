//! Connections that cores hand over: one request after the other, with limits on everything a client may
//! take its time for. A panic in a request ends that request.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_uring::net::TcpStream;

use crate::base::Instant;
use crate::base::limits::REQUEST_HEAD_TIMEOUT;
use crate::engine::{CoreCommand, HandedConnection, home};
use crate::http::{Dechunker, FileBody, Parsed, Request, Response, Route, parse, stream_route};
use crate::lineup::ChannelId;

use super::call::{Call, refusal};
use super::permits::{Holder, Permits};
use super::routes;
use crate::control::page::{OpenPage, PAGES_MAX, View};
use crate::control::rates::Household;
use crate::control::state::State;

/// Connections that are told at the same time that there is no permit for them. Full: the next one is closed without a word.
const REFUSALS_MAX: usize = 64;
/// How long telling them may take.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);
/// Refused connections are told of in the log this often at most.
const REFUSALS_LOGGED_EVERY: Duration = Duration::from_secs(10);
/// How long a connection may lie idle between two requests.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the client may take to send a body, or to take an answer.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long, and for how many bytes, a client that was refused is listened to: an answer that meets unread
/// bytes is thrown away by the client's kernel.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 256 * 1024;
/// How long a page hears nothing.
const EVENTS_IDLE: Duration = Duration::from_secs(15);
/// What stands before everything that a page is sent.
const EVENTS_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
      X-Accel-Buffering: no\r\nConnection: close\r\n\r\nretry: 2000\n\n";
const READ_BYTES: usize = 16 * 1024;
/// How much of a file is sent at once.
const FILE_PIECE_BYTES: usize = 64 * 1024;
/// Bytes of bodies of all connections together, or one of the largest. Full: 503 for the next one.
const BODIES_BYTES_MAX: usize = 16 * 1024 * 1024;

/// All connections.
pub(in crate::control) struct Connections {
    permits: Rc<RefCell<Permits>>,
    /// Bytes promised to bodies.
    bodies: Tally,
    /// Those who are being told that there is no permit.
    refusals: Tally,
    refused: Cell<Refused>,
}

/// How many were refused, and how many had been when that was logged last.
#[derive(Clone, Copy, Default)]
struct Refused {
    count: u64,
    logged: u64,
    logged_at: Option<Instant>,
}

impl Connections {
    /// So many at the same time.
    pub(in crate::control) fn with_max(max: usize) -> Self {
        Self {
            permits: Rc::new(RefCell::new(Permits::with_max(max))),
            bodies: Tally::default(),
            refusals: Tally::default(),
            refused: Cell::default(),
        }
    }

    /// Serves one more, or refuses it.
    pub(in crate::control) fn take(&self, handed: HandedConnection, state: &Rc<State>) {
        let HandedConnection { socket, bytes, peer, local } = handed;
        let socket = match Socket::new(socket) {
            Ok(socket) => socket,
            Err(error) => {
                log::warn!("a connection of {peer} was lost: {error}");
                return;
            }
        };
        let permit = Permit::take(&self.permits, holder(peer, local, state));
        let state = Rc::clone(state);
        if let Some(permit) = permit {
            let bodies = self.bodies.clone();
            let connection = Connection { socket, received: bytes, peer, local, state, permit, bodies };
            tokio_uring::spawn(async move {
                // Gone or too slow: nothing of that is worth a line in the log.
                let _ended = connection.serve().await;
            });
            return;
        }
        self.count_refused(peer, state.clock.now());
        let Some(share) = self.refusals.take(1, REFUSALS_MAX) else { return };
        tokio_uring::spawn(async move {
            let _share = share;
            let _ended = within(REFUSAL_TIMEOUT, refuse(socket, "too many connections")).await;
        });
    }

    fn count_refused(&self, peer: SocketAddr, now: Instant) {
        let mut refused = self.refused.get();
        refused.count += 1;
        if refused.logged_at.is_none_or(|at| now - at >= REFUSALS_LOGGED_EVERY) {
            let before = refused.count - refused.logged;
            log::warn!(
                "no permit for a connection of {peer}; refused since this was said last: {before}, so far: {}",
                refused.count
            );
            refused = Refused { logged: refused.count, logged_at: Some(now), ..refused };
        }
        self.refused.set(refused);
    }
}

/// As whom a connection is counted.
fn holder(peer: SocketAddr, local: SocketAddr, state: &State) -> Holder {
    let (address, own) = (peer.ip().to_canonical(), local.ip().to_canonical());
    let speaks_for_many = state.params.trusted_proxies.iter().any(|network| network.contains(address));
    if address.is_loopback() || address == own || speaks_for_many {
        Holder::Free
    } else {
        Holder::Household(Household::of(address))
    }
}

/// Answers the request whose head is there, without reading any further.
async fn refuse(socket: Socket, sentence: &str) -> io::Result<()> {
    let mut bytes = Vec::new();
    refusal(503, sentence).header("Retry-After", "1").write_last(&mut bytes);
    socket.write(bytes).await?;
    socket.linger().await
}

/// Something of which there is so much for all together.
#[derive(Clone, Default)]
struct Tally(Rc<Cell<usize>>);

/// A part of it, which is given back when this is dropped.
struct Share {
    of: Tally,
    amount: usize,
}

impl Tally {
    fn take(&self, amount: usize, max: usize) -> Option<Share> {
        let taken = self.0.get().checked_add(amount).filter(|taken| amount == 0 || *taken <= max)?;
        self.0.set(taken);
        Some(Share { of: self.clone(), amount })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.0.set(self.of.0.get() - self.amount);
    }
}

/// A connection's permit among all.
struct Permit {
    permits: Rc<RefCell<Permits>>,
    number: u64,
    leave: Rc<Notify>,
}

impl Permit {
    fn take(permits: &Rc<RefCell<Permits>>, holder: Holder) -> Option<Self> {
        let (number, leave) = permits.borrow_mut().take(holder)?;
        Some(Self { permits: Rc::clone(permits), number, leave })
    }

    fn set_waiting(&self, waits: bool) {
        self.permits.borrow_mut().set_waiting(self.number, waits);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.permits.borrow_mut().leave(self.number);
    }
}

/// A socket that is shut down when it is dropped: an operation that was given up keeps the descriptor open
/// until the kernel ends it.
struct Socket {
    stream: TcpStream,
    /// The same socket; none when it has moved on.
    socket: Option<std::net::TcpStream>,
}

impl Socket {
    fn new(socket: OwnedFd) -> io::Result<Self> {
        let socket = std::net::TcpStream::from(socket);
        // In non-blocking mode the ring would answer "try again" instead of waiting.
        socket.set_nonblocking(false)?;
        let same = socket.try_clone()?;
        Ok(Self { stream: TcpStream::from_std(socket), socket: Some(same) })
    }

    /// The socket as cores take it. Nothing may be under way on it.
    fn into_socket(mut self) -> io::Result<OwnedFd> {
        let socket = self.socket.take().expect("it moves on once");
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    }

    /// Appends what comes next. An end is an error.
    async fn read(&self, received: &mut Vec<u8>) -> io::Result<()> {
        let (result, buffer) = self.stream.read(Vec::with_capacity(READ_BYTES)).await;
        if result? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        received.extend_from_slice(&buffer);
        Ok(())
    }

    /// Returns when the client has closed its side. What it says until then is not read by anybody.
    async fn until_closed(&self) -> io::Result<()> {
        let mut received = Vec::new();
        loop {
            received.clear();
            self.read(&mut received).await?;
        }
    }

    async fn write(&self, bytes: Vec<u8>) -> io::Result<()> {
        within(TRANSFER_TIMEOUT, async { self.stream.write_all(bytes).await.0 }).await
    }

    /// Hears out whoever has been refused.
    async fn linger(self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)?;
        let rest = async {
            let mut received = Vec::new();
            let mut left = LINGER_BYTES_MAX;
            loop {
                received.clear();
                self.read(&mut received).await?;
                left = left.checked_sub(received.len()).ok_or(io::ErrorKind::FileTooLarge)?;
            }
        };
        within(LINGER_TIMEOUT, rest).await
    }

    /// Sends a file piece by piece. A client may take as long as it wants, as long as it takes something.
    async fn write_file(&self, body: &FileBody) -> io::Result<()> {
        let file = tokio_uring::fs::File::from_std(body.file().try_clone()?);
        let mut at = 0;
        while at < body.bytes() {
            let (read, mut piece) = file.read_at(Vec::with_capacity(FILE_PIECE_BYTES), at).await;
            let count = read?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let left = usize::try_from(body.bytes() - at).unwrap_or(usize::MAX);
            piece.truncate(count.min(left));
            at += piece.len() as u64;
            self.write(piece).await?;
        }
        Ok(())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(socket) = &self.socket {
            // Fails when the client is gone, which is as well.
            let _gone = socket.shutdown(Shutdown::Both);
        }
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, work).await.map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))?
}

/// What a request came to.
enum Next {
    /// The client may ask again.
    GoOn,
    /// The connection is done, and nothing of the client's is unread.
    Close,
    /// The connection is done, and the client may still be sending.
    Linger,
}

/// What stands at the beginning of what was received.
enum Head {
    /// A request without its body, and how many bytes it has.
    Whole(Request, usize),
    /// What is none, and the answer to it.
    Wrong(Response),
}

struct Connection {
    socket: Socket,
    /// Read, but not yet used.
    received: Vec<u8>,
    peer: SocketAddr,
    local: SocketAddr,
    state: Rc<State>,
    permit: Permit,
    bodies: Tally,
}

impl Connection {
    async fn serve(mut self) -> io::Result<()> {
        loop {
            self.permit.set_waiting(true);
            let leave = Rc::clone(&self.permit.leave);
            let head = tokio::select! {
                head = self.head() => head?,
                () = leave.notified() => return Ok(()),
            };
            self.permit.set_waiting(false);
            let next = match head {
                Head::Whole(request, _) if stream_route(&request) != Route::Control => {
                    return self.hand_over(&request).await;
                }
                Head::Whole(request, _) if routes::is_events(&request) => {
                    return self.events(request).await;
                }
                Head::Whole(request, head_bytes) => {
                    self.received.drain(..head_bytes);
                    self.request(request).await?
                }
                Head::Wrong(refused) => {
                    self.write_last(&refused).await?;
                    Next::Linger
                }
            };
            match next {
                Next::GoOn => {}
                Next::Close => return Ok(()),
                Next::Linger => return self.linger().await,
            }
        }
    }

    /// Hears out whoever has its answer, as long as nobody else wants the place.
    async fn linger(self) -> io::Result<()> {
        let Self { socket, permit, .. } = self;
        permit.set_waiting(true);
        tokio::select! {
            ended = socket.linger() => ended,
            () = permit.leave.notified() => Ok(()),
        }
    }

    /// Sends a page what is new, until it is closed or somebody else needs the place.
    async fn events(self, request: Request) -> io::Result<()> {
        let call = Call { request, body: Vec::new(), peer: self.peer, local: self.local };
        let checked = routes::admit(&call, &self.state).and_then(|()| routes::check(&call, &self.state));
        let view = checked.and_then(|()| {
            View::of_events(&|name| call.query(name)).ok_or_else(|| {
                refusal(400, "view is none that has news; allowed: now, channel with its id, playlists, history, system")
            })
        });
        let page = view.and_then(|view| {
            OpenPage::new(&self.state, view).ok_or_else(|| {
                refusal(503, &format!("{PAGES_MAX} pages are live already; close one"))
                    .header("Retry-After", "5")
            })
        });
        let mut page = match page {
            Ok(page) => page,
            Err(refused) => {
                self.write_last(&refused).await?;
                return self.linger().await;
            }
        };
        self.socket.write(EVENTS_HEAD.to_vec()).await?;
        self.permit.set_waiting(true);
        let leave = Rc::clone(&self.permit.leave);
        let sends = async {
            loop {
                let event = match timeout(EVENTS_IDLE, page.next()).await {
                    Ok(event) => event,
                    // Whoever is gone is noticed by this.
                    Err(_nothing_new) => ": nothing new\n\n".to_owned(),
                };
                self.socket.write(event.into_bytes()).await?;
            }
        };
        tokio::select! {
            ended = sends => ended,
            ended = self.socket.until_closed() => ended,
            () = leave.notified() => Ok(()),
        }
    }

    /// A stream is for a core: whoever has asked for channels may go on with one of them on the same connection.
    async fn hand_over(self, request: &Request) -> io::Result<()> {
        let Self { socket, received: bytes, peer, local, state, permit: _place, .. } = self;
        let core = core_for(request, &state);
        let connection = HandedConnection { socket: socket.into_socket()?, bytes, peer, local };
        let Err(refused) = state.outbox.try_send(core, CoreCommand::Viewer(connection)) else {
            return Ok(());
        };
        let CoreCommand::Viewer(connection) = refused.0 else { unreachable!("a viewer was sent") };
        refuse(Socket::new(connection.socket)?, "the channel's core is busy").await
    }

    async fn write_last(&self, response: &Response) -> io::Result<()> {
        let mut bytes = Vec::new();
        response.write_last(&mut bytes);
        self.socket.write(bytes).await
    }

    /// The next request.
    async fn head(&mut self) -> io::Result<Head> {
        if self.received.is_empty() {
            within(IDLE_TIMEOUT, self.socket.read(&mut self.received)).await?;
        }
        let (socket, received) = (&self.socket, &mut self.received);
        let rest = async {
            loop {
                match parse(received) {
                    Ok(Parsed::Complete { request, head_bytes }) => {
                        return Ok(Head::Whole(request, head_bytes));
                    }
                    Ok(Parsed::NeedMore) => socket.read(received).await?,
                    Err(error) => return Ok(Head::Wrong(refusal(error.status(), &error.to_string()))),
                }
            }
        };
        within(REQUEST_HEAD_TIMEOUT, rest).await
    }

    /// One request, from behind its head.
    async fn request(&mut self, request: Request) -> io::Result<Next> {
        let mut call = Call { request, body: Vec::new(), peer: self.peer, local: self.local };
        let checked = routes::admit(&call, &self.state)
            .and_then(|()| routes::check(&call, &self.state))
            .and_then(|()| routes::body(&call, &self.state))
            .and_then(|body| Ok((body, self.promise(&call.request, body)?)));
        let body = match checked {
            Ok((body, share)) => self.body(&call.request, body).await?.map(|body| (body, share)),
            Err(refused) => Err(refused),
        };
        // Behind a body in chunks nothing is kept that may have come with its end.
        let mut is_last = call.request.is_chunked();
        let head = call.request.clone();
        let response = match body {
            Ok((body, _share)) => {
                call.body = body;
                let (response, whole) = answer(call, &self.state).await;
                is_last |= !whole;
                response
            }
            Err(refused) => {
                is_last |= head.content_length().is_some_and(|length| length > 0);
                refused
            }
        };
        let response = if is_last { response.close() } else { response };
        let mut bytes = Vec::new();
        let kept = response.write_to(&mut bytes, &head);
        self.socket.write(bytes).await?;
        if let Some(body) = response.file_body(&head) {
            self.socket.write_file(body).await?;
        }
        Ok(match (kept, response.status()) {
            (true, _) => Next::GoOn,
            (false, 200..400) => Next::Close,
            (false, _) => Next::Linger,
        })
    }

    /// Room for a body, before any of it is read.
    fn promise(&self, request: &Request, body: routes::Body) -> Result<Share, Response> {
        let limit = routes::body_bytes_max(request, &self.state);
        let bytes = match body {
            routes::Body::Stated(bytes) => bytes,
            routes::Body::Chunks => limit,
        };
        // Whoever reaches us may send bodies to what is open to all: those of administrators find room all the same.
        let is_open_to_all = !routes::is_administration(request.path());
        let all = if is_open_to_all { BODIES_BYTES_MAX / 2 } else { BODIES_BYTES_MAX };
        self.bodies
            .take(bytes, all.max(limit))
            .ok_or_else(|| refusal(503, "too many bodies are being received").header("Retry-After", "1"))
    }

    async fn body(&mut self, request: &Request, body: routes::Body) -> io::Result<Result<Vec<u8>, Response>> {
        let is_there = match body {
            routes::Body::Stated(bytes) => self.received.len() >= bytes,
            routes::Body::Chunks => !self.received.is_empty(),
        };
        if request.expects_continue() && !is_there {
            self.socket.write(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()).await?;
        }
        let (socket, received) = (&self.socket, &mut self.received);
        match body {
            routes::Body::Chunks => {
                let limit = routes::body_bytes_max(request, &self.state);
                within(TRANSFER_TIMEOUT, chunks(socket, received, limit)).await
            }
            routes::Body::Stated(bytes) => {
                let rest = async {
                    while received.len() < bytes {
                        socket.read(received).await?;
                    }
                    Ok(())
                };
                within(TRANSFER_TIMEOUT, rest).await?;
                let behind = received.split_off(bytes);
                Ok(Ok(std::mem::replace(received, behind)))
            }
        }
    }
}

/// The core on which the channel lives that is asked for. Any other would pass the request on, or knows as well that there is no such
/// channel.
fn core_for(request: &Request, state: &State) -> usize {
    let cores = u8::try_from(state.outbox.cores()).unwrap_or(u8::MAX);
    match stream_route(request) {
        Route::Stream { guide_number, .. } | Route::Hls { guide_number, .. } if cores > 0 => {
            let listed = state.listed.borrow();
            let channel = listed.iter().find(|channel| channel.guide_number == guide_number);
            channel.map_or(0, |channel| usize::from(home(ChannelId(channel.channel_id), cores).0))
        }
        Route::Stream { .. }
        | Route::Hls { .. }
        | Route::StreamError(_)
        | Route::MethodNotAllowed
        | Route::Control => 0,
    }
}

/// A body in chunks. What came behind it is gone.
async fn chunks(
    socket: &Socket,
    received: &mut Vec<u8>,
    limit: usize,
) -> io::Result<Result<Vec<u8>, Response>> {
    let (mut decoder, mut body) = (Dechunker::new(), Vec::new());
    loop {
        match decoder.decode(received) {
            Ok(decoded) => {
                body.extend_from_slice(&received[..decoded.body_bytes]);
                received.clear();
                if body.len() > limit {
                    let sentence = format!("the body is too long; allowed: 0 to {limit} bytes");
                    return Ok(Err(refusal(413, &sentence)));
                }
                if decoded.finished {
                    return Ok(Ok(body));
                }
            }
            Err(error) => return Ok(Err(refusal(400, &error.to_string()))),
        }
        socket.read(received).await?;
    }
}

/// Answers a request. False when the connection should not be used again.
async fn answer(call: Call, state: &Rc<State>) -> (Response, bool) {
    let what = format!("{:?} {}", call.method(), call.request.path());
    let limit = state.params.request_timeout.filter(|_| !routes::has_own_timeout(&call));
    guarded(&what, limit, routes::answer(call, Rc::clone(state)), &state.panics).await
}

/// Runs the work in a task of its own: it may panic, and it is not torn apart when its time is up, since a
/// change must reach the cores once it is made.
async fn guarded(
    what: &str,
    limit: Option<Duration>,
    work: impl Future<Output = Response> + 'static,
    panics: &Cell<u64>,
) -> (Response, bool) {
    let task = tokio_uring::spawn(work);
    let ended = match limit {
        Some(limit) => timeout(limit, task).await,
        None => Ok(task.await),
    };
    match ended {
        Ok(Ok(response)) => (response, true),
        Ok(Err(_panicked)) => {
            // The panic hook has printed the message and the place.
            panics.set(panics.get() + 1);
            log::error!("{what:?} ended in a panic; requests that did so far: {}", panics.get());
            (refusal(500, "the request ended in a panic"), false)
        }
        Err(_elapsed) => (refusal(503, "request timed out").header("Retry-After", "1"), false),
    }
}

#[cfg(test)]
mod tests;
