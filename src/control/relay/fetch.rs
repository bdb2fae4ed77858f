//! One address, asked for by the client of sources on a thread that may wait.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use crate::base::{Clock, Errno, Instant};
use crate::http::Url;
use crate::source::direct::{Client, RECEIVE_BYTES_MAX, Want};
use crate::source::{Kind, SourceError};

/// How often whoever waits looks whether the answer is still wanted.
pub(super) const LOOK: Duration = Duration::from_millis(250);
/// A server that says nothing for so long says nothing more.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Whoever asks.
pub(in crate::control) trait Requester {
    /// The answer is still wanted.
    fn is_wanted(&self) -> bool;

    /// Whether a server at this address may be asked for this.
    ///
    /// # Errors
    /// Why not.
    fn admits(&self, url: &Url, address: IpAddr) -> Result<(), SourceError>;

    /// A server that says nothing for so long says nothing more.
    fn silence_max(&self) -> Duration;

    /// This connection is asked on.
    fn connected(&self, socket: &Arc<TcpStream>);
}

/// A request, and its answer as it comes.
pub(in crate::control) struct Fetch<'asker> {
    client: Client,
    socket: Option<Arc<TcpStream>>,
    clock: Clock,
    /// Since when nothing has come.
    quiet_since: Instant,
    buffer: Vec<u8>,
    asker: &'asker dyn Requester,
}

/// What a step has brought.
enum Stepped {
    /// The client may want something else now.
    On,
    /// So many bytes of the body.
    Body(usize),
    /// The body is complete.
    End,
}

impl<'asker> Fetch<'asker> {
    /// The request, answered: bytes of its body follow.
    pub(in crate::control) fn begin(
        client: Client,
        clock: Clock,
        asker: &'asker dyn Requester,
    ) -> Result<Self, Box<(SourceError, Client)>> {
        let (socket, buffer, quiet_since) = (None, vec![0; RECEIVE_BYTES_MAX], clock.now());
        let mut fetch = Self { client, socket, clock, quiet_since, buffer, asker };
        while fetch.client.status().is_none() {
            if let Err(error) = fetch.step(&mut []) {
                return Err(Box::new((error, fetch.client)));
            }
        }
        Ok(fetch)
    }

    /// The client, which tells of the answer.
    pub(in crate::control) const fn client(&self) -> &Client {
        &self.client
    }

    /// Bytes of the body; 0 at its end.
    pub(in crate::control) fn read(&mut self, into: &mut [u8]) -> Result<usize, SourceError> {
        loop {
            match self.step(into)? {
                Stepped::On | Stepped::Body(0) => {}
                Stepped::Body(count) => return Ok(count),
                Stepped::End => return Ok(0),
            }
        }
    }

    fn step(&mut self, into: &mut [u8]) -> Result<Stepped, SourceError> {
        match self.client.want() {
            Want::Resolve { host, port } => {
                let found = (host, port).to_socket_addrs();
                let found = found.map(Iterator::collect).map_err(|error| error.to_string());
                self.client.resolved(self.clock.now(), found);
                self.expire();
            }
            Want::Connect(address) => {
                if let Err(refused) = self.asker.admits(self.client.url(), address.ip()) {
                    self.client.refuse(refused);
                    return Ok(Stepped::On);
                }
                let now = self.clock.now();
                let left = self.client.next_deadline().map_or(LOOK, |deadline| deadline.since(now));
                let connected = TcpStream::connect_timeout(&address, left.max(LOOK)).and_then(|socket| {
                    socket.set_nodelay(true)?;
                    socket.set_read_timeout(Some(LOOK))?;
                    socket.set_write_timeout(Some(LOOK))?;
                    Ok(socket)
                });
                let outcome = match connected {
                    Ok(socket) => {
                        let socket = Arc::new(socket);
                        self.asker.connected(&socket);
                        self.socket = Some(socket);
                        Ok(())
                    }
                    Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(Errno::TIMEDOUT),
                    Err(error) => Err(Errno::from(error)),
                };
                self.client.connected(self.clock.now(), outcome);
            }
            Want::Send => {
                let mut socket = &**self.socket.as_ref().expect("the client sends on a connection");
                match socket.write(self.client.outgoing()) {
                    Ok(count) => self.client.sent(count),
                    Err(error) if is_wait(&error) => self.waited()?,
                    Err(error) => self.client.lost(Errno::from(error)),
                }
            }
            Want::ReceivePrivate => {
                let mut socket = &**self.socket.as_ref().expect("the client receives on a connection");
                match socket.read(&mut self.buffer) {
                    Ok(0) => self.client.closed(),
                    Ok(count) => {
                        self.quiet_since = self.clock.now();
                        self.client.received(self.quiet_since, &self.buffer[..count]);
                    }
                    Err(error) if is_wait(&error) => self.waited()?,
                    Err(error) => self.client.lost(Errno::from(error)),
                }
            }
            Want::TakeBody => return Ok(Stepped::Body(self.client.take_body(into))),
            Want::ReceiveBody => {
                let mut socket = &**self.socket.as_ref().expect("the client receives on a connection");
                match socket.read(into) {
                    Ok(0) => self.client.closed(),
                    Ok(count) => {
                        self.quiet_since = self.clock.now();
                        return Ok(Stepped::Body(self.client.body_in_place(&mut into[..count]).kept));
                    }
                    Err(error) if is_wait(&error) => self.waited()?,
                    Err(error) => self.client.lost(Errno::from(error)),
                }
            }
            Want::Reconnect => {
                self.socket = None;
                self.client.disconnected(self.clock.now());
            }
            Want::Wait => unreachable!("a request does not wait for others"),
            Want::Finished => return Ok(Stepped::End),
            Want::Failed => {
                return Err(self.client.failure().cloned().expect("a failed client says why"));
            }
        }
        Ok(Stepped::On)
    }

    fn expire(&mut self) {
        self.client.expire(self.clock.now());
    }

    /// Nothing has come for a while.
    fn waited(&mut self) -> Result<(), SourceError> {
        self.expire();
        if !self.asker.is_wanted() {
            return Err(SourceError::new(Kind::Closed, "nobody reads it any more"));
        }
        if self.client.is_streaming() && self.clock.now() - self.quiet_since >= self.asker.silence_max() {
            return Err(SourceError::new(Kind::Timeout, "the server has fallen silent"));
        }
        Ok(())
    }
}

/// True when nothing has happened yet.
pub(super) fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
