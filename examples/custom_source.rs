//! A source of one's own: whatever can be read becomes a channel.
//!
//! ```sh
//! cargo run --example custom_source -- recording.ts
//! ```
//!
//! The engine has no interface for sources in the same process: what it reads comes from a socket, so that the kernel puts it into the
//! channel's ring and nothing waits for anybody's code. The nearest is a server on this host: anything that implements [`Read`] is
//! given out over HTTP here, and the engine reads it as it would read a provider. It takes no more than it needs, so that a source which is
//! faster than its picture, as a file is, waits in its `write`.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tunerd::base::Clock;
use tunerd::engine::{
    ControlPort, ControlRequest, Core, CoreCommand, CoreId, Mailbox, MailboxReader, Params, Parts,
};
use tunerd::lineup::{Channel, ChannelId, Lineup, Source, SourceId};
use tunerd::uring::{self, KernelDriver};

/// What is watched before it ends.
const WATCHED_BYTES: usize = 1024 * 1024;
/// What is still there then is cut off.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// A file, as it could be a card, a pipe or something that is decoded on the way: it counts what it has given.
struct Recording {
    file: File,
    given: Arc<AtomicU64>,
}

impl Read for Recording {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.given.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Gives a source to whoever connects, each time from its beginning, and tells where.
fn serve<S: Read>(open: impl Fn() -> io::Result<S> + Send + 'static) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // One that goes away in the middle has what it wanted.
            let _gone = stream.and_then(|stream| give(stream, open()?));
        }
    });
    Ok(address)
}

fn give(mut stream: TcpStream, mut source: impl Read) -> io::Result<u64> {
    let mut request = BufReader::new(&stream);
    let mut line = String::new();
    // Which path is asked for is of no interest: there is one source.
    while request.read_line(&mut line)? > 2 {
        line.clear();
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n")?;
    io::copy(&mut source, &mut stream)
}

/// There is nobody to be asked: the source's address needs no name, and nothing is stored.
struct NoControl;

impl ControlPort for NoControl {
    fn request(&self, request: ControlRequest) -> Result<(), Box<ControlRequest>> {
        Err(Box::new(request))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("the path of a transport stream is missing")?;
    let given = Arc::new(AtomicU64::new(0));
    let of_source = Arc::clone(&given);
    let source = serve(move || Ok(Recording { file: File::open(&path)?, given: Arc::clone(&of_source) }))?;

    let clock = Clock::start();
    let (address, mailbox, core) = start(&format!("http://{source}/"), clock)?;
    let watched = watch(address)?;
    println!("watched {watched} bytes of {} that the source has given", given.load(Ordering::Relaxed));
    let drain = CoreCommand::Drain { deadline: clock.now() + DRAIN_TIME };
    mailbox.send(drain).map_err(|_full| "the core does not listen")?;
    core.join().map_err(|_panic| "the core broke")??;
    println!("ended");
    Ok(())
}

type CoreThread = JoinHandle<Result<(), String>>;

/// An engine with one channel, 101, which is read from there.
fn start(url: &str, clock: Clock) -> Result<(SocketAddr, Mailbox, CoreThread), Box<dyn Error>> {
    let source = Source { id: SourceId(1), url: url.to_owned(), ..Source::default() };
    let (guide_number, name) = ("101".to_owned(), "My own".to_owned());
    let channel = Channel { id: ChannelId(1), guide_number, name, sources: vec![source] };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let (mailbox, reader) = Mailbox::new()?;
    let own = mailbox.clone();
    let run = move || run(reader, own, listener, channel, &clock).map_err(|error| error.to_string());
    Ok((address, mailbox, std::thread::spawn(run)))
}

/// The core. Its thread does nothing else.
fn run(
    mailbox: MailboxReader,
    own: Mailbox,
    listener: TcpListener,
    channel: Channel,
    clock: &Clock,
) -> Result<(), Box<dyn Error>> {
    let files = uring::probe()?.files;
    let parts = Parts {
        id: CoreId(0),
        params: Params::default(),
        control: Box::new(NoControl),
        wakeup: Some(mailbox.wakeup_descriptor()?),
        mailbox,
        cores: vec![own],
        listeners: vec![listener.into()],
        lineup: Arc::new(Lineup::new([channel])),
    };
    let mut core = Core::new(KernelDriver::new(files)?, parts)?;
    core.run(clock, |_now| {})?;
    Ok(())
}

/// Watches as any player does.
fn watch(address: SocketAddr) -> Result<usize, Box<dyn Error>> {
    let mut viewer = TcpStream::connect(address)?;
    viewer.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(viewer, "GET /auto/v101 HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
    let (mut buffer, mut bytes) = (vec![0; 64 * 1024], 0);
    while bytes < WATCHED_BYTES {
        let count = viewer.read(&mut buffer)?;
        if bytes == 0 && !buffer[..count].starts_with(b"HTTP/1.1 200 ") {
            return Err(String::from_utf8_lossy(&buffer[..count]).into());
        }
        if count == 0 {
            return Err("the stream ended".into());
        }
        bytes += count;
    }
    Ok(bytes)
}
