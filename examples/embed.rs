//! The engine in a program of one's own: one channel, one core, and a viewer.
//!
//! ```sh
//! cargo run --example embed -- http://provider.example/news.ts 5004
//! ```
//!
//! It serves the source as channel 101 at `http://127.0.0.1:5004/auto/v101`, watches that itself for a few seconds, prints what the
//! engine says of it, and ends as a server should: nobody is cut off in the middle of a packet.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tunerd::base::Clock;
use tunerd::engine::snapshot::CoreSnapshot;
use tunerd::engine::{
    ControlPort, ControlRequest, Core, CoreCommand, CoreId, Mailbox, MailboxReader, Params, Parts,
};
use tunerd::lineup::{Channel, ChannelId, Lineup, Source, SourceId};
use tunerd::uring::{self, KernelDriver};

/// What is watched before it ends.
const WATCHED_BYTES: usize = 1024 * 1024;
/// What is still there then is cut off.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// What a core cannot do itself, since it may not wait. `tunerd run` has a thread for it; this one looks names up, and refuses the
/// rest: programs, a database and an administration are not here.
struct Control {
    core: Mailbox,
}

impl ControlPort for Control {
    fn request(&self, request: ControlRequest) -> Result<(), Box<ControlRequest>> {
        let ControlRequest::Resolve { ticket, host, port, .. } = request else {
            return Err(Box::new(request));
        };
        let core = self.core.clone();
        std::thread::spawn(move || {
            let found = (host.as_str(), port).to_socket_addrs().map_err(|error| error.to_string());
            let result = found.map(Iterator::collect::<Vec<SocketAddr>>);
            // A core that has ended does not ask any more.
            let _ended = core.send(CoreCommand::Resolved { ticket, result });
        });
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("the address of a source is missing")?;
    let port = arguments.next().map_or(Ok(0), |port| port.parse())?;

    let source = Source { id: SourceId(1), url, ..Source::default() };
    let channel = Channel {
        id: ChannelId(1),
        guide_number: "101".to_owned(),
        name: "News".to_owned(),
        sources: vec![source],
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let address = listener.local_addr()?;
    let (mailbox, reader) = Mailbox::new()?;
    let clock = Clock::start();
    let core = std::thread::spawn({
        let mailbox = mailbox.clone();
        move || run(reader, mailbox, listener, channel, &clock).map_err(|error| error.to_string())
    });

    println!("http://{address}/auto/v101");
    let watched = watch(address)?;
    println!("watched {watched} bytes");
    tell(&snapshot(&mailbox)?);
    let drain = CoreCommand::Drain { deadline: clock.now() + DRAIN_TIME };
    mailbox.send(drain).map_err(|_full| "the core does not listen")?;
    core.join().map_err(|_panic| "the core broke")??;
    println!("ended");
    Ok(())
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
        control: Box::new(Control { core: own.clone() }),
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

/// What the core says of itself.
fn snapshot(core: &Mailbox) -> Result<CoreSnapshot, Box<dyn Error>> {
    let (sender, answer) = mpsc::channel();
    let reply = move |snapshot| {
        // Nobody waits any more when this program is about to fail.
        let _unheard = sender.send(snapshot);
    };
    core.send(CoreCommand::Snapshot(Box::new(reply))).map_err(|_full| "the core does not listen")?;
    Ok(answer.recv_timeout(Duration::from_secs(5))?)
}

fn tell(core: &CoreSnapshot) {
    for session in &core.sessions {
        let record = &session.record;
        let stream = record.source().map(|window| &window.source.profile);
        let codec = stream.and_then(|stream| stream.video_codec.as_ref()).map_or("?", |codec| codec.as_str());
        println!(
            "channel {} {}: {codec}, {} bytes read, {} recoveries",
            record.guide_number, record.guide_name, session.bytes_read, session.recovery.cycle
        );
    }
    println!("sent {} bytes to viewers", core.counters.bytes_sent);
}
