//! Connections that cores hand over: one request after the other, with limits on everything a client may
//! take its time for. A panic in a request ends that request.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_uring::net::TcpStream;

use crate::base::limits::REQUEST_HEAD_TIMEOUT;
use crate::engine::HandedConnection;
use crate::http::{Dechunker, Parsed, Request, Response, parse};

use super::call::{Call, refusal};
use super::routes;
use crate::control::state::State;

/// Connections at the same time. Full: 503, and the connection is closed.
const CONNECTIONS_MAX: usize = 1024;
/// How long a connection may lie idle between two requests.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// How long the client may take to send a body, or to take an answer.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long, and for how many bytes, a client that was refused is listened to: an answer that meets unread
/// bytes is thrown away by the client's kernel.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 256 * 1024;
const READ_BYTES: usize = 16 * 1024;

/// Counts the connections.
#[derive(Default)]
pub(in crate::control) struct Connections {
    open: Rc<Cell<usize>>,
}

impl Connections {
    /// Serves one more, or refuses it.
    pub(in crate::control) fn take(&self, handed: HandedConnection, state: &Rc<State>) {
        let HandedConnection { socket, bytes, peer, local } = handed;
        let wire = match Wire::new(socket) {
            Ok(wire) => wire,
            Err(error) => {
                log::warn!("a connection of {peer} was lost: {error}");
                return;
            }
        };
        let place = Place::take(&self.open);
        let state = Rc::clone(state);
        let connection = Connection { wire, received: bytes, peer, local, state };
        tokio_uring::spawn(async move {
            // Gone or too slow: nothing of that is worth a line in the log.
            let _ended = match place {
                Some(_place) => connection.serve().await,
                None => connection.refuse().await,
            };
        });
    }
}

/// A connection's place among [`CONNECTIONS_MAX`].
struct Place(Rc<Cell<usize>>);

impl Place {
    fn take(open: &Rc<Cell<usize>>) -> Option<Self> {
        if open.get() >= CONNECTIONS_MAX {
            return None;
        }
        open.set(open.get() + 1);
        Some(Self(Rc::clone(open)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A socket that is shut down when it is dropped: an operation that was given up keeps the descriptor open
/// until the kernel ends it.
struct Wire(TcpStream);

impl Wire {
    fn new(socket: OwnedFd) -> io::Result<Self> {
        let socket = std::net::TcpStream::from(socket);
        // In non-blocking mode the ring would answer "try again" instead of waiting.
        socket.set_nonblocking(false)?;
        Ok(Self(TcpStream::from_std(socket)))
    }

    /// Appends what comes next. An end is an error.
    async fn read(&self, received: &mut Vec<u8>) -> io::Result<()> {
        let (result, buffer) = self.0.read(Vec::with_capacity(READ_BYTES)).await;
        if result? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        received.extend_from_slice(&buffer);
        Ok(())
    }

    async fn write(&self, bytes: Vec<u8>) -> io::Result<()> {
        within(TRANSFER_TIMEOUT, async { self.0.write_all(bytes).await.0 }).await
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // Fails when the client is gone, which is as well.
        let _gone = self.0.shutdown(Shutdown::Both);
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

struct Connection {
    wire: Wire,
    /// Read, but not yet used.
    received: Vec<u8>,
    peer: SocketAddr,
    local: SocketAddr,
    state: Rc<State>,
}

impl Connection {
    async fn serve(mut self) -> io::Result<()> {
        loop {
            let next = match self.head().await? {
                Ok(request) => self.request(request).await?,
                Err(refused) => {
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

    /// Answers the request whose head is there, without reading any further.
    async fn refuse(self) -> io::Result<()> {
        self.write_last(&refusal(503, "too many connections").header("Retry-After", "1")).await?;
        self.linger().await
    }

    async fn write_last(&self, response: &Response) -> io::Result<()> {
        let mut bytes = Vec::new();
        response.write_last(&mut bytes);
        self.wire.write(bytes).await
    }

    /// The next request without its body, or the answer to what is none.
    async fn head(&mut self) -> io::Result<Result<Request, Response>> {
        if self.received.is_empty() {
            within(IDLE_TIMEOUT, self.wire.read(&mut self.received)).await?;
        }
        let (wire, received) = (&self.wire, &mut self.received);
        let rest = async {
            loop {
                match parse(received) {
                    Ok(Parsed::Complete { request, head_bytes }) => {
                        received.drain(..head_bytes);
                        return Ok(Ok(request));
                    }
                    Ok(Parsed::NeedMore) => wire.read(received).await?,
                    Err(error) => return Ok(Err(refusal(error.status(), &error.to_string()))),
                }
            }
        };
        within(REQUEST_HEAD_TIMEOUT, rest).await
    }

    /// One request, from behind its head.
    async fn request(&mut self, request: Request) -> io::Result<Next> {
        let mut call = Call { request, body: Vec::new(), peer: self.peer, local: self.local };
        let checked = routes::check(&call, &self.state).and_then(|()| self.body_bytes(&call.request));
        let body = match checked {
            Ok(body_bytes) => self.body(&call.request, body_bytes).await?,
            Err(refused) => Err(refused),
        };
        // Behind a body in chunks nothing is kept that may have come with its end.
        let mut is_last = call.request.is_chunked();
        let head = call.request.clone();
        let response = match body {
            Ok(body) => {
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
        self.wire.write(bytes).await?;
        Ok(match (kept, response.status()) {
            (true, _) => Next::GoOn,
            (false, 200..400) => Next::Close,
            (false, _) => Next::Linger,
        })
    }

    /// How many bytes of a body are to come, when they are stated.
    fn body_bytes(&self, request: &Request) -> Result<usize, Response> {
        let stated = request.content_length().unwrap_or(0);
        let limit = routes::body_bytes_max(request, &self.state);
        usize::try_from(stated).ok().filter(|stated| *stated <= limit).ok_or_else(|| {
            refusal(413, &format!("the body cannot have {stated} bytes; allowed: 0 to {limit}"))
        })
    }

    async fn body(&mut self, request: &Request, bytes: usize) -> io::Result<Result<Vec<u8>, Response>> {
        let waits = request.expects_continue() && self.received.len() < bytes.max(1);
        if waits && (bytes > 0 || request.is_chunked()) {
            self.wire.write(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()).await?;
        }
        if request.is_chunked() {
            let limit = routes::body_bytes_max(request, &self.state);
            return within(TRANSFER_TIMEOUT, chunks(&self.wire, &mut self.received, limit)).await;
        }
        let (wire, received) = (&self.wire, &mut self.received);
        let rest = async {
            while received.len() < bytes {
                wire.read(received).await?;
            }
            Ok(())
        };
        within(TRANSFER_TIMEOUT, rest).await?;
        let behind = self.received.split_off(bytes);
        Ok(Ok(std::mem::replace(&mut self.received, behind)))
    }

    async fn linger(mut self) -> io::Result<()> {
        self.wire.0.shutdown(Shutdown::Write)?;
        let (wire, received) = (&self.wire, &mut self.received);
        let rest = async {
            let mut left = LINGER_BYTES_MAX;
            loop {
                received.clear();
                wire.read(received).await?;
                left = left.checked_sub(received.len()).ok_or(io::ErrorKind::FileTooLarge)?;
            }
        };
        within(LINGER_TIMEOUT, rest).await
    }
}

/// A body in chunks. What came behind it is gone.
async fn chunks(wire: &Wire, received: &mut Vec<u8>, limit: usize) -> io::Result<Result<Vec<u8>, Response>> {
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
        wire.read(received).await?;
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
