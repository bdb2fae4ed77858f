//! A provider of HLS: one live programme, under as many names as there are channels.

use crate::net;
use crate::tsgen::{Params, TsGen};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

const SEGMENT: Duration = Duration::from_secs(2);
/// Segments in the list; as many again can still be had.
const WINDOW: usize = 6;
const HEAD_BYTES_MAX: usize = 16 * 1024;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    listen: SocketAddrV4,
    #[arg(long, default_value_t = 1)]
    channels: u8,
    #[arg(long, default_value_t = 4_000_000)]
    bitrate: u64,
    /// The provider ends after this.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
}

/// The segments that can be had.
#[derive(Default)]
struct Programme {
    /// The number of the first.
    first: usize,
    segments: VecDeque<Arc<Vec<u8>>>,
}

impl Programme {
    fn push(&mut self, segment: Vec<u8>) {
        if self.segments.len() == 2 * WINDOW {
            self.segments.pop_front();
            self.first += 1;
        }
        self.segments.push_back(Arc::new(segment));
    }

    fn list(&self) -> String {
        let end = self.first + self.segments.len();
        let listed = end.saturating_sub(WINDOW)..end;
        let seconds = SEGMENT.as_secs();
        let head =
            format!("#EXTM3U\n#EXT-X-TARGETDURATION:{seconds}\n#EXT-X-MEDIA-SEQUENCE:{}\n", listed.start);
        listed.fold(head, |list, number| list + &format!("#EXTINF:{seconds},\n{number}.ts\n"))
    }

    fn segment(&self, number: usize) -> Option<Arc<Vec<u8>>> {
        self.segments.get(number.checked_sub(self.first)?).cloned()
    }
}

pub(crate) fn run(args: &Args) -> io::Result<()> {
    let listener = net::listen_at(args.listen)?;
    listener.set_nonblocking(false)?;
    let programme = Arc::new(RwLock::new(Programme::default()));
    let mut generator = TsGen::new(Params::new(args.bitrate));
    let mut made = Duration::ZERO;
    let mut make = |programme: &RwLock<Programme>| {
        made += SEGMENT;
        let mut segment = Vec::new();
        generator.fill(made, &mut segment);
        programme.write().expect("no thread panics with it").push(segment);
    };
    (0..WINDOW).for_each(|_| make(&programme));
    let (served, listen, channels) = (Arc::clone(&programme), args.listen, args.channels);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let programme = Arc::clone(&served);
            // Ends with the connection; a client that goes away is no fault.
            std::thread::spawn(move || serve(stream.ok()?, &programme, listen, channels));
        }
    });
    let began = Instant::now();
    for number in 1.. {
        let due = began + SEGMENT * number;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if began.elapsed() >= Duration::from_secs(args.seconds) {
            break;
        }
        make(&programme);
    }
    Ok(())
}

fn serve(
    mut stream: TcpStream,
    programme: &RwLock<Programme>,
    listen: SocketAddrV4,
    channels: u8,
) -> Option<()> {
    let mut head = Vec::new();
    loop {
        let mut scratch = [0; 4096];
        let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") else {
            let count = stream.read(&mut scratch).ok().filter(|count| *count > 0)?;
            head.extend_from_slice(&scratch[..count]);
            if head.len() > HEAD_BYTES_MAX {
                return None;
            }
            continue;
        };
        let request = String::from_utf8_lossy(&head[..end]).into_owned();
        head.drain(..end + 4);
        let path = request.split(' ').nth(1)?;
        let name = path.rsplit('/').next()?;
        let body = {
            let programme = programme.read().ok()?;
            match name.strip_suffix(".ts").and_then(|number| number.parse().ok()) {
                Some(number) => programme.segment(number),
                None if name == "list.m3u8" => Some(Arc::new(programme.list().into_bytes())),
                None if name == "playlist.m3u" => Some(Arc::new(playlist(listen, channels).into_bytes())),
                None => None,
            }
        };
        let (status, body) = body.map_or(("404 Not Found", Arc::default()), |body| ("200 OK", body));
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len()).ok()?;
        stream.write_all(if request.starts_with("HEAD") { &[] } else { &body }).ok()?;
    }
}

fn playlist(listen: SocketAddrV4, channels: u8) -> String {
    (0..channels).fold("#EXTM3U\n".to_owned(), |text, number| {
        text + &format!(
            "#EXTINF:-1 tvg-id=\"bench.{number:03}\" group-title=\"Bench\",Bench {number:03}\nhttp://{listen}/ch/{number}/list.m3u8\n"
        )
    })
}
