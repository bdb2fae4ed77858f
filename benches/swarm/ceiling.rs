//! The raw loop to compare with: sockets, one io_uring, sends of one size. No HTTP, no index, no viewers' state but a
//! position, and memory that is never written, but where each round is to have pages of its own.
#![expect(unsafe_code, reason = "hands the memory of the ring to io_uring")]

use crate::doubled::Doubled;
use crate::figures::{gib, kernel, rounded};
use crate::net;
use crate::tsgen::{PACKET_BYTES, Params, TsGen};
use clap::ValueEnum;
use io_uring::types::{Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode};
use nix::libc;
use nix::time::{ClockId, clock_gettime};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// The most sends that one `io_uring_enter` submits.
const SENDS_PER_ENTER: u32 = 256;
const SPREAD_TICK: Duration = Duration::from_millis(1);
/// `IORING_SEND_ZC_REPORT_USAGE`: the notification says whether the kernel copied after all.
const REPORT_USAGE: u16 = 1 << 3;
/// Marks a poll for room.
const ROOM: u64 = 1 << 63;
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n";
/// How long the crowd is waited for, and how long it may take to leave after the window.
const GATHER_LIMIT: Duration = Duration::from_secs(60);
const LEAVE_LIMIT: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    Send,
    SendZc,
    /// From the file, whose pages stay: a writer would change what lies in the sockets' queues.
    Sendfile,
    /// From the file, which gets new pages before they are written to.
    SendfileRenew,
}

impl Mode {
    const fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::SendZc => "send-zc",
            Self::Sendfile => "sendfile",
            Self::SendfileRenew => "sendfile-renew",
        }
    }
}

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    listen: SocketAddrV4,
    #[arg(long)]
    viewers: usize,
    #[arg(long, default_value_t = 8_000_000)]
    bitrate: u64,
    /// Bytes per send.
    #[arg(long, default_value_t = 65_048)]
    bytes: u32,
    /// Seconds of sending before the measured window.
    #[arg(long, default_value_t = 3)]
    warmup: u64,
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    #[arg(long, default_value = "send")]
    mode: Mode,
    /// Spread the sends evenly over the period; without it all viewers are due at once, as viewers of one live edge are.
    #[arg(long)]
    spread: bool,
    /// Memory the sends walk through.
    #[arg(long, default_value_t = 10)]
    memory_mib: usize,
}

struct Viewer {
    position: u64,
    /// What the clock allows it to have by now.
    granted: u64,
    /// A send is in flight, or it waits in the list of those due.
    busy: bool,
}

struct Loop<'args> {
    args: &'args Args,
    // Dropped before the memory that its operations point into.
    uring: IoUring,
    memory: Doubled,
    /// What the memory is filled with again, and up to which position it is.
    content: Vec<u8>,
    written: u64,
    sockets: Vec<TcpStream>,
    viewers: Vec<Viewer>,
    due: VecDeque<u32>,
    /// Pieces granted so far, to all viewers together.
    grants: u64,
    alive: usize,
    sent: u64,
    copied: u64,
}

pub(crate) fn run(args: &Args) -> io::Result<()> {
    net::raise_descriptor_limit(args.viewers)?;
    let listener = net::listen_at(args.listen)?;
    let memory = Doubled::new(args.memory_mib << 20)?;
    let content = content(args.bitrate, memory.len());
    memory.write(&content)?;
    let sockets = gather(&listener, args.viewers)?;
    let mut sending = Loop::new(args, memory, content, sockets)?;
    let start = Instant::now();
    let window = start + Duration::from_secs(args.warmup);
    let end = window + Duration::from_secs(args.seconds);
    sending.run_until(start, window)?;
    let (cpu_start, sent_start) = (cpu()?, sending.sent);
    sending.run_until(start, end)?;
    let (cpu_s, bytes) = ((cpu()? - cpu_start).as_secs_f64(), sending.sent - sent_start);
    let report = serde_json::json!({
        "label": format!("ceiling-{}", args.mode.name()),
        "kernel": kernel(), "viewers": args.viewers, "bitrate": args.bitrate, "bytes_per_send": args.bytes,
        "spread": args.spread, "bytes": bytes, "cpu_s": rounded(cpu_s), "cpu_s_per_gib": rounded(cpu_s / gib(bytes)),
        "alive": sending.alive, "copied": sending.copied,
    });
    println!("{report}");
    io::stdout().flush()?;
    sending.run_until(start, end + LEAVE_LIMIT)
}

/// A stream that may be repeated: each round begins with a signalled discontinuity.
fn content(bitrate: u64, bytes: usize) -> Vec<u8> {
    let mut generator = TsGen::new(Params::new(bitrate));
    generator.signal_discontinuity();
    let mut content = Vec::with_capacity(bytes + PACKET_BYTES);
    while content.len() < bytes {
        generator.push_packet(&mut content);
    }
    content
}

fn cpu() -> io::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}

/// Waits for the whole crowd and answers each of them; sends nothing more.
fn gather(listener: &TcpListener, wanted: usize) -> io::Result<Vec<TcpStream>> {
    let deadline = Instant::now() + GATHER_LIMIT;
    let mut sockets = Vec::with_capacity(wanted);
    while sockets.len() < wanted {
        match listener.accept() {
            Ok((mut socket, _)) => {
                socket.set_nonblocking(true)?;
                socket.write_all(HEAD)?;
                sockets.push(socket);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if Instant::now() > deadline {
                    return Err(io::Error::other(format!("{} of {wanted} viewers came", sockets.len())));
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error),
        }
    }
    // Requests are read and forgotten; one that comes later stays in its socket, which does no harm.
    std::thread::sleep(Duration::from_millis(100));
    let mut scratch = [0; 4096];
    for socket in &sockets {
        net::read(socket, &mut scratch)?;
    }
    Ok(sockets)
}

impl<'args> Loop<'args> {
    fn new(
        args: &'args Args,
        memory: Doubled,
        content: Vec<u8>,
        sockets: Vec<TcpStream>,
    ) -> io::Result<Self> {
        // Two completions for each zero-copy send, and room for those of the turn before.
        let completions = u32::try_from(sockets.len() * 4).map_err(io::Error::other)?;
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_coop_taskrun()
            .setup_cqsize(completions.max(2 * SENDS_PER_ENTER))
            .build(SENDS_PER_ENTER)?;
        let files: Vec<_> = sockets.iter().map(AsRawFd::as_raw_fd).collect();
        // The ring's table keeps the sockets open from here on.
        uring.submitter().register_files(&files)?;
        if args.mode == Mode::SendZc {
            // SAFETY: the mapping lives in `Loop` beside the ring, which is dropped first.
            unsafe { uring.submitter().register_buffers(&[memory.iovec()]) }?;
        }
        let viewers: Vec<_> =
            sockets.iter().map(|_| Viewer { position: 0, granted: 0, busy: false }).collect();
        let alive = viewers.len();
        Ok(Loop {
            args,
            uring,
            memory,
            content,
            written: 0,
            sockets,
            viewers,
            due: VecDeque::new(),
            grants: 0,
            alive,
            sent: 0,
            copied: 0,
        })
    }

    /// Sends at the bitrate, counted from `start`, until the time has come or the last viewer has gone.
    fn run_until(&mut self, start: Instant, until: Instant) -> io::Result<()> {
        let period = Duration::from_secs_f64(8.0 * f64::from(self.args.bytes) / self.args.bitrate as f64);
        let viewers = u128::try_from(self.viewers.len()).map_err(io::Error::other)?;
        let mut now = Instant::now();
        while now < until && self.alive > 0 {
            let elapsed = (now - start).as_nanos();
            let periods = elapsed / period.as_nanos();
            let (grants, next) = if self.args.spread {
                (viewers + elapsed * viewers / period.as_nanos(), now + SPREAD_TICK)
            } else {
                let next = start + period * u32::try_from(periods + 1).map_err(io::Error::other)?;
                ((periods + 1) * viewers, next)
            };
            self.write_up_to(u64::try_from(periods + 1).map_err(io::Error::other)?)?;
            self.grant(u64::try_from(grants).map_err(io::Error::other)?)?;
            self.submit_due()?;
            self.wait(next.min(until).saturating_duration_since(Instant::now()))?;
            self.reap();
            now = Instant::now();
        }
        Ok(())
    }

    /// Writes what is sent in this many periods, where the memory is written to at all.
    fn write_up_to(&mut self, periods: u64) -> io::Result<()> {
        let end = periods * u64::from(self.args.bytes);
        while self.args.mode == Mode::SendfileRenew && self.written < end {
            self.written = self.memory.renew(self.written, &self.content)?;
        }
        Ok(())
    }

    /// Sends from the file, and waits for room where there is none.
    fn send_from_file(&mut self, index: u32) -> io::Result<()> {
        let at = usize::try_from(index).expect("a usize has 32 bits");
        let viewer = &mut self.viewers[at];
        while viewer.position < viewer.granted {
            let piece = u64::from(self.args.bytes);
            let rest = usize::try_from(piece - viewer.position % piece).expect("at most a piece");
            match self.memory.send(&self.sockets[at], viewer.position, rest) {
                Ok(sent) => {
                    let sent = u64::try_from(sent).expect("usize fits into u64");
                    viewer.position += sent;
                    self.sent += sent;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let poll =
                        opcode::PollAdd::new(Fixed(index), u32::from(libc::POLLOUT.unsigned_abs())).build();
                    // SAFETY: a poll has no memory.
                    let pushed =
                        unsafe { self.uring.submission().push(&poll.user_data(ROOM | u64::from(index))) };
                    return pushed.map_err(io::Error::other);
                }
                Err(_gone) => {
                    // It stays busy, so nothing more is sent to it.
                    self.alive -= 1;
                    return Ok(());
                }
            }
        }
        viewer.busy = false;
        Ok(())
    }

    /// Grants pieces, viewer after viewer, until there have been `grants` of them.
    fn grant(&mut self, grants: u64) -> io::Result<()> {
        while self.grants < grants {
            let index = usize::try_from(self.grants).map_err(io::Error::other)? % self.viewers.len();
            let viewer = &mut self.viewers[index];
            viewer.granted += u64::from(self.args.bytes);
            if !viewer.busy {
                viewer.busy = true;
                self.due.push_back(u32::try_from(index).map_err(io::Error::other)?);
            }
            self.grants += 1;
        }
        Ok(())
    }

    fn submit_due(&mut self) -> io::Result<()> {
        while let Some(index) = self.due.pop_front() {
            let piece = u64::from(self.args.bytes);
            let position = self.viewers[usize::try_from(index).expect("a usize has 32 bits")].position;
            // After a short send only the rest of the piece, so that all sends stay in step.
            let rest = u32::try_from(piece - position % piece).expect("at most a piece");
            let memory = self.memory.address(position);
            let entry = match self.args.mode {
                Mode::Sendfile | Mode::SendfileRenew => {
                    self.send_from_file(index)?;
                    if self.uring.submission().is_full() {
                        self.uring.submit()?;
                        self.reap();
                    }
                    continue;
                }
                Mode::Send => opcode::Send::new(Fixed(index), memory, rest).build(),
                Mode::SendZc => opcode::SendZc::new(Fixed(index), memory, rest)
                    .buf_index(Some(0))
                    .zc_flags(REPORT_USAGE)
                    .build(),
            };
            // SAFETY: the memory outlives the ring (see `Loop`) and is never written while the loop runs.
            let pushed = unsafe { self.uring.submission().push(&entry.user_data(u64::from(index))) };
            pushed.map_err(io::Error::other)?;
            if self.uring.submission().is_full() {
                self.uring.submit()?;
                self.reap();
            }
        }
        Ok(())
    }

    fn wait(&self, limit: Duration) -> io::Result<()> {
        let limit = Timespec::from(limit);
        let patience = SubmitArgs::new().timespec(&limit);
        match self.uring.submitter().submit_with_args(1, &patience) {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR | libc::EBUSY)) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn reap(&mut self) {
        for completion in self.uring.completion() {
            if cqueue::notif(completion.flags()) {
                self.copied += u64::from(completion.result() != 0);
                continue;
            }
            let index = u32::try_from(completion.user_data() & !ROOM).expect("an index was given");
            if completion.user_data() & ROOM != 0 {
                self.due.push_back(index);
                continue;
            }
            let viewer = &mut self.viewers[usize::try_from(index).expect("a usize has 32 bits")];
            let Ok(sent) = u64::try_from(completion.result()) else {
                // The viewer is gone; it stays busy, so nothing more is sent to it.
                self.alive -= 1;
                continue;
            };
            viewer.position += sent;
            self.sent += sent;
            viewer.busy = viewer.position < viewer.granted;
            if viewer.busy {
                self.due.push_back(index);
            }
        }
    }
}
