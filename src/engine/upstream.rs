//! A session's source: opened, driven, stopped.

use std::time::Duration;

use crate::base::limits::READ_BYTES_MAX;
use crate::base::{ChildExit, Errno, HeapBytes, Instant};
use crate::ring::{Lent, ReserveError, WriteSpan};
use crate::source::Opening;
use crate::source::direct::{self, Client, Want};
use crate::source::error::SourceError;
use crate::source::startup::Startup;
use crate::uring::{Driver, Event, Handle, Hangup, Operation};

use crate::source::watch::Watch;

use super::client::SessionKey;
use super::core::Core;
use super::ingest::Ingest;
use super::opening::Attempt;
use super::port::{ControlRequest, Ticket};
use super::staging::Staging;
use super::token::{SourceStep, Token};

/// The longest rest between two reads of a source that gives little at a time: short beside the egress delay, long
/// enough that fifty channels do not wake the core for every packet of their upstreams.
const READ_REST_MAX: Duration = Duration::from_millis(50);

/// One attempt at, and then the life of, one source.
pub(crate) struct SourceRun {
    /// Which run of the session this is: completions of earlier ones are told apart by it.
    pub(crate) run: u32,
    /// What is tried, or has succeeded.
    pub(crate) attempt: Attempt,
    pub(crate) opening: Opening,
    pub(crate) io: Io,
    pub(crate) ingest: Ingest,
    /// What it has sent so far, while that is not in the ring.
    pub(crate) staging: Option<Staging>,
    pub(crate) startup: Startup,
    /// Its first packet has been given its place in the session's timeline.
    pub(crate) has_begun: bool,
    /// Once it is selected: notices when it stalls.
    pub(crate) watch: Option<Watch>,
    /// What its stream is made of has been noted.
    pub(crate) profile_used: bool,
    /// More is not read before this: what comes meanwhile gathers in the kernel, and is then read at once.
    pub(crate) rests_until: Option<Instant>,
    /// How long it had to wait for viewers since it last had nothing more to give.
    pub(crate) waited: Duration,
    /// How a child has ended whose pipe is not empty yet, and what it said last.
    pub(crate) child_end: Option<(ChildExit, Box<str>)>,
    /// When it was selected; `None` while it is being started.
    pub(crate) selected_at: Option<Instant>,
}

/// How bytes are had.
pub(crate) enum Io {
    /// From a socket of this core.
    Direct { client: Box<Client>, socket: Option<Handle>, is_busy: bool, spare: Option<HeapBytes> },
    /// From a child's standard output.
    Child { ticket: Ticket, pipe: Option<Handle>, is_busy: bool, has_ended: bool },
}

impl Io {
    /// An operation is on its way.
    pub(crate) const fn is_busy(&self) -> bool {
        match self {
            Self::Direct { is_busy, .. } | Self::Child { is_busy, .. } => *is_busy,
        }
    }
}

impl SourceRun {
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let client = match &self.io {
            Io::Direct { client, .. } => client.next_deadline(),
            Io::Child { .. } => None,
        };
        let watch = self.watch.as_ref().and_then(Watch::next_deadline);
        [client, self.startup.next_deadline(), self.rests_until, watch].into_iter().flatten().min()
    }
}

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    /// Does what the source needs next, as far as that goes without waiting.
    pub(crate) fn drive(&mut self, session: SessionKey) {
        loop {
            let Some(live) = self.sessions.get_mut(session) else { return };
            if let Some(source) = &mut live.source {
                if source.rests_until.is_some_and(|until| until > self.now) {
                    return;
                }
                source.rests_until = None;
                if source.selected_at.is_some() && source.staging.is_some() && !self.pour(session) {
                    return;
                }
            }
            let Some(live) = self.sessions.get_mut(session) else { return };
            let goes_on = match live.source.as_ref().map(|source| &source.io) {
                None => false,
                Some(Io::Direct { is_busy: true, .. } | Io::Child { is_busy: true, .. }) => false,
                Some(Io::Child { pipe: None, .. } | Io::Child { has_ended: true, .. }) => false,
                Some(Io::Child { pipe: Some(pipe), .. }) => {
                    let pipe = *pipe;
                    if self.is_paused(session) {
                        return;
                    }
                    self.fill(session, |into| Operation::Read { file: pipe, into })
                }
                Some(Io::Direct { .. }) => self.drive_direct(session),
            };
            if !goes_on {
                return;
            }
        }
    }

    /// One step of the HTTP client. True when it may have another.
    fn drive_direct(&mut self, session: SessionKey) -> bool {
        if self.is_paused(session) {
            return false;
        }
        let Some(live) = self.sessions.get_mut(session) else { return false };
        let Some(SourceRun { run, io: Io::Direct { client, socket, is_busy, spare }, .. }) = &mut live.source
        else {
            return false;
        };
        let token = |step| Token::Source { session: session.into(), run: *run, step };
        let (operation, step) = match client.want() {
            Want::Resolve { host, port } => {
                let (host, run) = (host.to_owned(), *run);
                *is_busy = true;
                self.look_up(session, run, host, port);
                return false;
            }
            Want::Connect(address) => {
                if super::own::is_own(&self.params.own, address) {
                    client.refuse(SourceError::own_server(address));
                    return true;
                }
                if let Some(old) = socket.take() {
                    self.driver.close(old, Hangup::Finish);
                }
                match self.driver.open_socket(&address) {
                    Ok(handle) => {
                        *socket = Some(handle);
                        (Operation::Connect { socket: handle, address }, SourceStep::Connect)
                    }
                    Err(errno) => {
                        client.connected(self.now, Err(errno));
                        return true;
                    }
                }
            }
            Want::Send => {
                let bytes = HeapBytes::from_vec(client.outgoing().to_vec());
                let socket = socket.expect("the client sends on a connection");
                (Operation::Send { socket, from: Lent::Heap(bytes) }, SourceStep::Send)
            }
            Want::ReceivePrivate => {
                let bytes = spare.take().unwrap_or_else(|| HeapBytes::zeroed(direct::RECEIVE_BYTES_MAX));
                let socket = socket.expect("the client receives on a connection");
                (Operation::Receive { socket, into: Lent::Heap(bytes) }, SourceStep::ReceivePrivate)
            }
            Want::TakeBody => return self.take_body(session),
            Want::ReceiveBody => {
                let socket = socket.expect("the client receives on a connection");
                return self.fill(session, |into| Operation::Receive { socket, into });
            }
            Want::Reconnect => {
                if let Some(old) = socket.take() {
                    self.driver.close(old, Hangup::Finish);
                }
                client.disconnected(self.now);
                return true;
            }
            Want::Finished => {
                self.source_ended(session);
                return false;
            }
            Want::Failed => {
                let error = client.failure().cloned().expect("a failed client says why");
                self.source_failed(session, &error);
                return false;
            }
        };
        match self.driver.push(operation, token(step)) {
            Ok(_) => *is_busy = true,
            Err(_full) => client.lost(Errno::NOBUFS),
        }
        true
    }

    /// Copies body bytes that the client holds (behind the head, or decrypted) into the ring.
    fn take_body(&mut self, session: SessionKey) -> bool {
        if let Some(goes_on) = self.stage_body(session) {
            return goes_on;
        }
        let Some(span) = self.reserve(session, self.room(session)) else { return false };
        let Some(live) = self.sessions.get_mut(session) else { return false };
        let room = crate::base::KernelBytes::len(&span);
        let before = live.ring.pending_bytes();
        live.ring.received(span, room);
        let Some(SourceRun { io: Io::Direct { client, .. }, .. }) = &mut live.source else { return false };
        let offset = usize::try_from(before).expect("less than the ring");
        let taken = client.take_body(&mut live.ring.pending()[offset..]);
        self.ingest(session, offset, taken);
        true
    }

    /// Takes body bytes that the client holds, when the stream is staged.
    fn stage_body(&mut self, session: SessionKey) -> Option<bool> {
        let live = self.sessions.get_mut(session)?;
        let SourceRun { io: Io::Direct { client, .. }, staging: Some(staging), .. } = live.source.as_mut()?
        else {
            return None;
        };
        let mut room = staging.room();
        let taken = client.take_body(room.as_mut_slice());
        staging.push(&room.as_slice()[..taken]);
        staging.keep(room);
        self.ingest_staged(session, taken);
        Some(true)
    }

    /// Lends the ring's next bytes to the kernel, to be filled by `operation`; while the stream is staged, memory of
    /// its own.
    fn fill(&mut self, session: SessionKey, operation: impl FnOnce(Lent) -> Operation<Lent>) -> bool {
        let Some(live) = self.sessions.get_mut(session) else { return false };
        let staged = live.source.as_mut().and_then(|source| source.staging.as_mut()).map(Staging::room);
        let into = match staged {
            Some(room) => Lent::Heap(room),
            None => {
                let Some(span) = self.reserve(session, self.room(session)) else { return false };
                Lent::Span(span)
            }
        };
        let Some(live) = self.sessions.get_mut(session) else { return false };
        let Some(source) = &mut live.source else { return false };
        let token = Token::Source { session: session.into(), run: source.run, step: SourceStep::Fill };
        match self.driver.push(operation(into), token) {
            Ok(_) => {
                match &mut source.io {
                    Io::Direct { is_busy, .. } | Io::Child { is_busy, .. } => *is_busy = true,
                }
                true
            }
            Err(refused) => {
                // No room for an operation: the memory goes back and the source is tried again next turn.
                if let Some(span) = span_of(refused.0) {
                    live.ring.received(span, 0);
                }
                self.counters.queue_full += 1;
                self.block(session);
                false
            }
        }
    }

    pub(crate) fn reserve(&mut self, session: SessionKey, bytes: usize) -> Option<WriteSpan> {
        let live = self.sessions.get_mut(session)?;
        match live.ring.reserve(bytes) {
            Ok(span) => {
                let tail = live.ring.tail();
                live.entries.evict_below(tail);
                live.pace_line.evict_below(tail);
                Some(span)
            }
            Err(ReserveError::Pinned { below }) => {
                self.free_spans(session, below);
                self.block(session);
                None
            }
            // An earlier run's span is still with the kernel; its return drives the source on.
            Err(ReserveError::Lent) => None,
        }
    }

    /// A session's writer waits for spans that are lent.
    fn block(&mut self, session: SessionKey) {
        if !self.blocked_sources.contains(&session) {
            self.blocked_sources.push(session);
        }
    }

    pub(crate) fn retry_blocked_sources(&mut self) {
        for session in std::mem::take(&mut self.blocked_sources) {
            self.fill_in(session);
            self.drive(session);
        }
    }

    /// An operation of a source has ended.
    pub(crate) fn on_source(
        &mut self,
        session: SessionKey,
        run: u32,
        step: SourceStep,
        event: Event<Lent, D::Descriptor>,
    ) {
        let Event::Done { result, memory } = event else {
            unreachable!("a source's operations end in one piece")
        };
        let Some(live) = self.sessions.get_mut(session) else { return };
        let is_current = live.source.as_ref().is_some_and(|source| source.run == run);
        if !is_current {
            if let Some(Lent::Span(span)) = memory {
                live.ring.received(span, 0);
                // What an earlier run left half received is no part of this one.
                live.ring.drop_pending();
                self.fill_in(session);
                self.drive(session);
            }
            return;
        }
        let Some(source) = &mut live.source else { unreachable!("it is the current one") };
        match &mut source.io {
            Io::Direct { is_busy, .. } | Io::Child { is_busy, .. } => *is_busy = false,
        }
        match (step, memory) {
            (SourceStep::Fill, Some(Lent::Span(span))) => self.filled(session, span, result),
            (SourceStep::Fill, Some(Lent::Heap(bytes))) => self.filled_staged(session, bytes, result),
            (SourceStep::Connect | SourceStep::Send | SourceStep::ReceivePrivate, memory) => {
                self.on_private_step(session, step, result, memory);
            }
            (SourceStep::Fill, memory) => unreachable!("the ring is filled by spans, not by {memory:?}"),
        }
        self.drive(session);
        self.arm(session);
    }

    fn on_private_step(
        &mut self,
        session: SessionKey,
        step: SourceStep,
        result: Result<u32, Errno>,
        memory: Option<Lent>,
    ) {
        let Some(live) = self.sessions.get_mut(session) else { return };
        let Some(SourceRun { io: Io::Direct { client, spare, .. }, .. }) = &mut live.source else { return };
        match (step, result, memory) {
            (SourceStep::Connect, result, _) => client.connected(self.now, result.map(drop)),
            (_, Err(errno), _) => client.lost(errno),
            (SourceStep::Send, Ok(count), _) => client.sent(count as usize),
            (SourceStep::ReceivePrivate, Ok(0), _) => client.closed(),
            (SourceStep::ReceivePrivate, Ok(count), Some(Lent::Heap(bytes))) => {
                client.received(self.now, &bytes.as_slice()[..count as usize]);
                *spare = Some(bytes);
            }
            (SourceStep::ReceivePrivate | SourceStep::Fill, Ok(_), memory) => {
                unreachable!("private bytes are received into memory of their own, not {memory:?}")
            }
        }
    }

    fn filled(&mut self, session: SessionKey, span: WriteSpan, result: Result<u32, Errno>) {
        let Some(live) = self.sessions.get_mut(session) else { return };
        let count = result.map_or(0, |count| count as usize);
        let rest = READ_REST_MAX.min(self.params.egress.delay / 2);
        let is_all = count < crate::base::KernelBytes::len(&span);
        let offset = usize::try_from(live.ring.pending_bytes()).expect("less than the ring");
        live.ring.received(span, count);
        let Some(source) = &mut live.source else { return };
        if is_all {
            source.waited = Duration::ZERO;
        }
        let is_steady = source.selected_at.is_some() && count > 0 && count < READ_BYTES_MAX / 2;
        source.rests_until = is_steady.then(|| self.now + rest);
        match (&mut source.io, result) {
            (Io::Direct { client, .. }, Ok(0)) => client.closed(),
            (Io::Direct { client, .. }, Err(errno)) => client.lost(errno),
            (Io::Direct { client, .. }, Ok(_)) => {
                let part = client.body_in_place(&mut live.ring.pending()[offset..]);
                self.ingest(session, offset, part.kept);
            }
            (Io::Child { .. }, Ok(0) | Err(_)) => self.source_ended(session),
            (Io::Child { .. }, Ok(_)) => self.ingest(session, offset, count),
        }
    }

    fn filled_staged(&mut self, session: SessionKey, mut memory: HeapBytes, result: Result<u32, Errno>) {
        let Some(live) = self.sessions.get_mut(session) else { return };
        let Some(SourceRun { io, staging: Some(staging), .. }) = &mut live.source else {
            unreachable!("a stream is staged until all that was read is in the ring")
        };
        let count = match (io, result) {
            (Io::Direct { client, .. }, Ok(0)) => return client.closed(),
            (Io::Direct { client, .. }, Err(errno)) => return client.lost(errno),
            (Io::Direct { client, .. }, Ok(count)) => {
                client.body_in_place(&mut memory.as_mut_slice()[..count as usize]).kept
            }
            (Io::Child { .. }, Ok(0) | Err(_)) => return self.source_ended(session),
            (Io::Child { .. }, Ok(count)) => count as usize,
        };
        staging.push(&memory.as_slice()[..count]);
        staging.keep(memory);
        self.ingest_staged(session, count);
    }

    fn look_up(&mut self, session: SessionKey, run: u32, host: String, port: u16) {
        let ticket = self.ticket();
        self.lookups.insert(ticket, (session, run));
        let core = self.id;
        if self.control.request(ControlRequest::Resolve { core, ticket, host, port }).is_err() {
            self.counters.queue_full += 1;
            self.on_resolved(ticket, Err("too many names are being looked up".to_owned()));
        }
    }

    pub(crate) fn on_resolved(&mut self, ticket: Ticket, result: Result<Vec<std::net::SocketAddr>, String>) {
        let Some((session, run)) = self.lookups.remove(&ticket) else { return };
        let Some(live) = self.sessions.get_mut(session) else { return };
        let Some(source) = live.source.as_mut().filter(|source| source.run == run) else { return };
        let Io::Direct { client, is_busy, .. } = &mut source.io else { return };
        *is_busy = false;
        client.resolved(self.now, result);
        self.drive(session);
        self.arm(session);
    }
}

fn span_of(operation: Operation<Lent>) -> Option<WriteSpan> {
    match operation {
        Operation::Receive { into: Lent::Span(span), .. }
        | Operation::Read { into: Lent::Span(span), .. } => Some(span),
        Operation::Receive { .. }
        | Operation::Read { .. }
        | Operation::Accept { .. }
        | Operation::AwaitHangup { .. }
        | Operation::Send { .. }
        | Operation::SendZeroCopy { .. }
        | Operation::Connect { .. } => None,
    }
}
