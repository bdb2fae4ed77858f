//! Operations, carried out.

use std::collections::VecDeque;

use crate::base::Errno;
use crate::base::limits::DATAGRAMS_PER_READ_MAX;

use super::{Cqe, File, FileKind, Host, Occurrence, Op, Said, What};
use crate::uring::driver::OVER;
use crate::uring::sim::connection::{Near, PeerId};
use crate::uring::sim::flow::Piece;
use crate::uring::sim::span::{OpId, Span};

/// What `ENOTCONN` is.
const NOT_CONNECTED: Errno = Errno::from_positive(107);
/// What a poll notices when the peer has nothing more to say: `POLLRDHUP`.
const SAID_ALL: u32 = 0x2000;
/// What a poll notices when there is room: `POLLOUT`.
const ROOM: u32 = 0x4;
/// What a scribbling kernel writes.
const GARBAGE: u8 = 0x5a;

impl Host {
    /// Takes an operation over from its driver.
    pub(in crate::uring::sim) fn start(&mut self, id: OpId, op: Op) {
        let (number, what) = (op.file, op.what);
        let taken = self.operations.insert(id, op);
        assert!(taken.is_none(), "{id:?} is in flight already");
        self.files.get_mut(&number).expect("a driver's files are open").waiting.push(id);
        match what {
            What::Connect(address) => {
                let arrives = self.now + self.latency();
                let at = self.behind_others(address, arrives);
                self.schedule(at, Occurrence::Answered(id));
            }
            What::Accept
            | What::AwaitHangup
            | What::Receive
            | What::Read
            | What::Send
            | What::SendNow
            | What::AwaitRoom
            | What::SendZeroCopy
            | What::Gather => self.attempt(id),
        }
    }

    /// Carries an operation out if it need not wait.
    pub(in crate::uring::sim) fn attempt(&mut self, id: OpId) {
        let Some(op) = self.operations.get(&id) else { return };
        let (number, what) = (op.file, op.what);
        match what {
            What::Accept => self.accept(id, number),
            What::AwaitHangup => {
                let peer = self.peer_of(number).expect("only a connected socket is awaited to hang up");
                let connection = self.connection(peer);
                let over = if connection.is_over() { OVER } else { 0 };
                let events = if connection.is_hung_up() { SAID_ALL | over } else { 0 };
                let op = self.operations.get_mut(&id).expect("found above");
                if std::mem::replace(&mut op.noticed, events) != events {
                    self.post(id, Said::Noticed(events));
                }
            }
            What::Receive | What::Read => self.receive(id, number, what),
            What::Send | What::SendNow | What::SendZeroCopy => self.send(id, number, what),
            What::AwaitRoom => {
                let peer = self.peer_of(number).expect("only a connected socket has room");
                let connection = self.connection(peer);
                let over = if connection.is_over() { OVER } else { 0 };
                if connection.is_over() || connection.outgoing.has_room() {
                    self.finish(id, Ok(ROOM | over));
                }
            }
            What::Connect(_) => {}
            What::Gather => self.gather(id, number),
        }
        if let Some(op) = self.operations.get_mut(&id) {
            op.waited = true;
        }
    }

    fn peer_of(&self, number: u32) -> Option<PeerId> {
        match self.files[&number].kind {
            FileKind::Socket(peer) | FileKind::Pipe(peer) => Some(peer),
            FileKind::Listener { .. }
            | FileKind::Unconnected
            | FileKind::Wakeup { .. }
            | FileKind::Receiver { .. } => None,
        }
    }

    fn accept(&mut self, id: OpId, number: u32) {
        while let Some(&peer) = self.backlog(number).front() {
            let ends = self.random.happens(self.faults.accept_ends);
            if ends && self.random.below(2) == 0 {
                // The connection stays where it is, for the next accept.
                let errno = *self.random.pick(&[Errno::MFILE, Errno::NFILE, Errno::NOMEM]);
                return self.finish(id, Err(errno));
            }
            self.backlog(number).pop_front();
            let socket = self.open_file(FileKind::Socket(peer));
            self.connection(peer).near = Near::Open(socket);
            if ends {
                self.stop_waiting(id);
                self.post(id, Said::AcceptedLast(socket));
                self.operations.remove(&id);
                return;
            }
            self.post(id, Said::Accepted(socket));
        }
    }

    fn backlog(&mut self, number: u32) -> &mut VecDeque<PeerId> {
        match &mut self.file(number).kind {
            FileKind::Listener { backlog, .. } => backlog,
            kind @ (FileKind::Unconnected
            | FileKind::Socket(_)
            | FileKind::Pipe(_)
            | FileKind::Wakeup { .. }
            | FileKind::Receiver { .. }) => {
                unreachable!("{kind:?} accepts nothing")
            }
        }
    }

    fn receive(&mut self, id: OpId, number: u32, what: What) {
        let span = self.operations[&id].span.expect("a receive has memory");
        if let FileKind::Wakeup { count } = &mut self.file(number).kind {
            assert_eq!(what, What::Read, "a wakeup is read");
            if *count > 0 {
                let rung = std::mem::take(count).to_ne_bytes();
                span.write(&rung);
                self.finish(id, Ok(8));
            }
            return;
        }
        match (&self.files[&number].kind, what) {
            (FileKind::Socket(_), What::Receive) | (FileKind::Pipe(_), What::Read) => {}
            (kind, what) => unreachable!("{what:?} on {kind:?}"),
        }
        let peer = self.peer_of(number).expect("matched above");
        if self.random.happens(self.faults.reset) {
            self.break_by_network(peer);
        }
        let there = self.connection(peer).incoming.bytes().min(span.bytes());
        if there == 0 {
            let connection = self.connection(peer);
            if let Some(errno) = connection.error.take() {
                self.finish(id, Err(errno));
            } else if connection.incoming_ended {
                self.finish(id, Ok(0));
            }
            return;
        }
        let bytes =
            if self.random.happens(self.faults.short_receive) { self.random.bytes(1, there) } else { there };
        let was_full = self.connection(peer).incoming.free() == 0;
        let mut at = 0;
        for piece in self.connection(peer).incoming.take(bytes) {
            let Piece::Copied(piece) = piece else { unreachable!("far ends lend nothing") };
            span.part(at, piece.len()).write(&piece);
            at += piece.len();
        }
        if self.random.happens(self.faults.scribble) {
            span.part(bytes, span.bytes() - bytes).write(&vec![GARBAGE; span.bytes() - bytes]);
        }
        if was_full {
            self.make_room_known(peer);
        }
        self.finish(id, Ok(u32::try_from(bytes).expect("an operation moves less than 4 GiB")));
    }

    /// Datagrams that wait are given, at least one; a kernel may be satisfied with few.
    fn gather(&mut self, id: OpId, number: u32) {
        let few = self.random.happens(self.faults.short_receive);
        let FileKind::Receiver { waiting, .. } = &self.files[&number].kind else {
            unreachable!("datagrams are gathered from receivers")
        };
        let there = waiting.len().min(usize::from(DATAGRAMS_PER_READ_MAX));
        if there == 0 {
            return;
        }
        let count = if few { self.random.bytes(1, there) } else { there };
        if let FileKind::Receiver { waiting, gathered, .. } = &mut self.file(number).kind {
            *gathered = waiting.drain(..count).collect();
        }
        self.finish(id, Ok(u32::try_from(count).expect("few")));
    }

    fn send(&mut self, id: OpId, number: u32, what: What) {
        let Some(peer) = self.peer_of(number) else { return self.send_failed(id, NOT_CONNECTED) };
        assert!(matches!(self.files[&number].kind, FileKind::Socket(_)), "only sockets are sent to");
        if self.random.happens(self.faults.reset) {
            self.break_by_network(peer);
        }
        let connection = self.connection(peer);
        if let Some(errno) = connection.error.take() {
            return self.send_failed(id, errno);
        }
        if connection.broken {
            return self.send_failed(id, Errno::PIPE);
        }
        let (free, capacity) = (connection.outgoing.free(), connection.outgoing.capacity());
        let op = &self.operations[&id];
        let span = op.span.expect("a send has memory");
        // As in Linux: who has waited is woken when a third of the queue is free.
        let enough = if op.waited { span.bytes().min(capacity / 3).max(1) } else { 1 };
        if free < enough {
            if what != What::Send {
                self.send_failed(id, Errno::AGAIN);
            }
            return;
        }
        if self.random.happens(self.faults.send_no_buffers) {
            return self.send_failed(id, Errno::NOBUFS);
        }
        self.assert_unchanged(id);
        let fits = span.bytes().min(free);
        let bytes = if fits > 0 && self.random.happens(self.faults.short_send) {
            self.random.bytes(1, fits)
        } else {
            fits
        };
        let count = u32::try_from(bytes).expect("an operation moves less than 4 GiB");
        let part = span.part(0, bytes);
        if what == What::SendZeroCopy {
            let held = self.connection(peer).outgoing.hold(Some(id), part);
            if held == 0 {
                return self.send_failed(id, Errno::AGAIN);
            }
            self.operations.get_mut(&id).expect("in flight").held = held;
            self.stop_waiting(id);
            self.post(id, Said::Taken(Ok(u32::try_from(held).expect("no more than was offered"))));
            self.let_go(Some(id), 0);
        } else {
            self.connection(peer).outgoing.push(Piece::Copied(part.read()));
            self.finish(id, Ok(count));
        }
        self.schedule_delivery(peer);
    }

    /// A failed zero-copy send has its notification too, unless it was ended before it was begun.
    fn send_failed(&mut self, id: OpId, errno: Errno) {
        let zero_copy = self.operations[&id].what == What::SendZeroCopy;
        if zero_copy && self.random.below(2) == 0 {
            self.stop_waiting(id);
            self.post(id, Said::Taken(Err(errno)));
            self.let_go(Some(id), 0);
        } else {
            self.finish(id, Err(errno));
        }
    }

    /// Sends from a file, now.
    pub(in crate::uring::sim) fn send_file(&mut self, number: u32, span: Span) -> Result<u32, Errno> {
        let peer = self.peer_of(number).ok_or(NOT_CONNECTED)?;
        let is_send =
            |id: &OpId| matches!(self.operations[id].what, What::Send | What::SendNow | What::SendZeroCopy);
        assert!(
            !self.files[&number].waiting.iter().any(is_send),
            "a send from a file overtakes another send"
        );
        if self.random.happens(self.faults.reset) {
            self.break_by_network(peer);
        }
        let connection = self.connection(peer);
        if let Some(errno) = connection.error.take() {
            return Err(errno);
        }
        if connection.broken {
            return Err(Errno::PIPE);
        }
        let fits = span.bytes().min(connection.outgoing.free());
        if fits == 0 {
            return Err(Errno::AGAIN);
        }
        if self.random.happens(self.faults.send_no_buffers) {
            return Err(Errno::NOMEM);
        }
        let bytes =
            if self.random.happens(self.faults.short_send) { self.random.bytes(1, fits) } else { fits };
        let held = self.connection(peer).outgoing.hold(None, span.part(0, bytes));
        self.note([u64::from(number), held as u64]);
        self.schedule_delivery(peer);
        if held == 0 { Err(Errno::AGAIN) } else { Ok(u32::try_from(held).expect("no more than was offered")) }
    }

    /// So many bytes of a zero-copy send have left the queue. When none is left its memory will be let go.
    pub(in crate::uring::sim) fn let_go(&mut self, id: Option<OpId>, bytes: usize) {
        // Of what was sent from a file nobody is told, and a driver that was dropped has taken its operations with it.
        let Some((id, op)) = id.and_then(|id| Some((id, self.operations.get_mut(&id)?))) else { return };
        op.held -= bytes;
        if op.held == 0 {
            let mut at = self.now;
            if self.random.happens(self.faults.release_late) {
                at += self.random.time(self.faults.release_late_max);
            }
            self.schedule(at, Occurrence::Release(id));
        }
    }

    pub(in crate::uring::sim) fn release(&mut self, id: OpId) {
        if self.operations.contains_key(&id) {
            let copied = self.random.happens(self.faults.copied);
            self.post(id, Said::Released { copied });
            self.operations.remove(&id);
        }
    }

    /// The promise of everybody who lends bytes to be sent: they stay what they are until the send has taken them, or is over. The
    /// pages that it takes are looked at when they are read.
    fn assert_unchanged(&self, id: OpId) {
        let Some(op) = self.operations.get(&id) else { return };
        if !matches!(op.what, What::Send | What::SendNow | What::SendZeroCopy) {
            return;
        }
        let span = op.span.expect("a send has memory");
        assert_eq!(span.checksum(), op.checksum, "leased bytes changed under {id:?} ({:?})", op.what);
    }

    /// Ends an operation, if it has not ended already.
    pub(in crate::uring::sim) fn finish(&mut self, id: OpId, result: Result<u32, Errno>) {
        if self.operations.contains_key(&id) {
            self.assert_unchanged(id);
            self.stop_waiting(id);
            self.post(id, Said::Done(result));
            self.operations.remove(&id);
        }
    }

    fn stop_waiting(&mut self, id: OpId) {
        let number = self.operations[&id].file;
        self.file(number).waiting.retain(|&waiting| waiting != id);
    }

    fn post(&mut self, id: OpId, said: Said) {
        let mut at = self.now + self.lateness();
        let op = self.operations.get_mut(&id).expect("an operation in flight");
        // One that is due at this very moment may not have been seen yet.
        let is_first = op.seen_at < self.now;
        at = at.max(op.seen_at);
        op.seen_at = at;
        let cqe = Cqe { user_data: id.user_data, said };
        if is_first && at <= self.now {
            self.see(id.driver, cqe);
        } else {
            self.schedule(at, Occurrence::Seen(id.driver, cqe));
        }
    }

    /// Ends an operation early, unless it has been carried out already.
    pub(in crate::uring::sim) fn cancel(&mut self, id: OpId) {
        if self.operations.contains_key(&id) && self.random.happens(self.faults.cancel_loses) {
            self.attempt(id);
        }
        let Some(op) = self.operations.get(&id) else { return };
        let waits = self.files.get(&op.file).is_some_and(|file| file.waiting.contains(&id));
        if waits {
            self.send_failed(id, Errno::CANCELED);
        }
    }

    /// Ends everything a driver has in flight on a file.
    pub(in crate::uring::sim) fn cancel_all(&mut self, number: u32) {
        // The last operation may have ended, and the file been closed, since this was queued.
        let waiting = self.files.get(&number).map(|file| file.waiting.clone());
        for id in waiting.unwrap_or_default() {
            self.cancel(id);
        }
    }

    fn file(&mut self, number: u32) -> &mut File {
        self.files.get_mut(&number).expect("a file with operations in flight is open")
    }
}
