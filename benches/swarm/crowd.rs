//! Many connections on one thread.

use crate::conn::{Conn, Role};
use crate::net::{self, Target};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::io;
use std::time::{Duration, Instant};

/// What one read takes at most.
const READ_BYTES_MAX: usize = 1 << 20;
const EVENTS_MAX: usize = 4096;

pub(crate) struct Crowd {
    epoll: Epoll,
    pub(crate) conns: Vec<Conn>,
    scratch: Vec<u8>,
    events: Vec<EpollEvent>,
    tick: Duration,
}

impl Crowd {
    /// Between two looks at its sockets the crowd naps for `tick`: bytes gather, and the server is not charged for
    /// waking a reader with every segment, as it would not be by viewers on other machines.
    pub(crate) fn new(tick: Duration) -> io::Result<Self> {
        Ok(Crowd {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            conns: Vec::new(),
            scratch: vec![0; READ_BYTES_MAX],
            events: vec![EpollEvent::empty(); EVENTS_MAX],
            tick,
        })
    }

    /// Opens one more connection; its times count from `opened`.
    pub(crate) fn open(&mut self, target: &Target, role: Role, opened: Instant) -> io::Result<usize> {
        let index = self.conns.len();
        let stream = net::connect_to(target.address, index)?;
        // A slow reader is not told about data: it reads when its own clock says so.
        let read = if role == Role::Slow { EpollFlags::empty() } else { EpollFlags::EPOLLIN };
        let flags = read | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        self.epoll
            .add(&stream, EpollEvent::new(flags, u64::try_from(index).expect("usize fits into u64")))?;
        let mut conn = Conn::new(stream, role, target.request(), opened);
        if conn.send_request().is_err() {
            conn.lost(opened);
        }
        self.conns.push(conn);
        Ok(index)
    }

    /// From here on the connection is only watched for its end.
    pub(crate) fn stop_reading(&mut self, index: usize) -> io::Result<()> {
        if let Some(stream) = self.conns[index].stream() {
            let mut event = EpollEvent::new(
                EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET,
                u64::try_from(index).expect("usize fits into u64"),
            );
            self.epoll.modify(stream, &mut event)?;
        }
        Ok(())
    }

    /// Lets a slow reader take up to `bytes`.
    pub(crate) fn sip(&mut self, index: usize, bytes: usize, now: Instant) {
        let bytes = bytes.min(READ_BYTES_MAX);
        self.conns[index].ready(now, false, &mut self.scratch[..bytes]);
    }

    /// One nap and one look at all sockets that have something.
    pub(crate) fn turn(&mut self) -> io::Result<Instant> {
        if !self.tick.is_zero() {
            std::thread::sleep(self.tick);
        }
        let count = match self.epoll.wait(&mut self.events, EpollTimeout::ZERO) {
            Ok(count) => count,
            Err(nix::errno::Errno::EINTR) => 0,
            Err(errno) => return Err(errno.into()),
        };
        let now = Instant::now();
        for event in &self.events[..count] {
            let Ok(index) = usize::try_from(event.data()) else { continue };
            let conn = &mut self.conns[index];
            let flags = event.events();
            let over = flags.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP);
            let ends = over || flags.contains(EpollFlags::EPOLLRDHUP);
            match conn.role {
                // What is still queued is not worth reading; that the server ended it is all we ask.
                Role::Slow | Role::Stopping if ends => conn.lost(now),
                Role::Slow => conn.ready(now, false, &mut self.scratch[..0]),
                Role::Plain | Role::Checking | Role::Stopping => conn.ready(now, ends, &mut self.scratch),
            }
        }
        Ok(now)
    }
}
