//! A provider with one live stream that it sends in a manner of its own.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::kit::Stopwatch;
use crate::tsgen::{Params, TsGen};

/// How often what is due is sent.
const STEP: Duration = Duration::from_millis(10);
/// What is made at once.
const PIECE: Duration = Duration::from_millis(40);

/// How the stream is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    /// As it is made.
    Live,
    /// So many bytes at once, and then as it is made.
    Prefilled(u64),
    /// As fast as it is taken.
    Film,
    /// So much at once, as often.
    Batches(Duration),
}

struct Shared {
    manner: Manner,
    params: Params,
    requests: AtomicUsize,
    ends: AtomicBool,
}

/// The provider, until it is dropped.
pub(crate) struct Provider {
    port: u16,
    shared: Arc<Shared>,
}

impl Provider {
    pub(crate) fn start(manner: Manner, rate: u64, pictures: u64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let params = Params { idr_every: pictures, ..Params::new(rate) };
        let shared = Shared { manner, params, requests: AtomicUsize::new(0), ends: AtomicBool::new(false) };
        let shared = Arc::new(shared);
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&of_thread);
                if shared.ends.load(Ordering::Relaxed) {
                    return;
                }
                // Ends with the connection; whoever goes away is no fault here.
                std::thread::spawn(move || serve(stream.ok()?, &shared));
            }
        });
        Self { port, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/live", self.port)
    }

    pub(crate) fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        // The listener's thread looks at the flag when somebody comes.
        let _refused = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    shared.requests.fetch_add(1, Ordering::Relaxed);
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n").ok()?;
    let mut generator = TsGen::new(shared.params.clone());
    let ahead = match shared.manner {
        Manner::Prefilled(bytes) => Duration::from_millis(bytes * 8000 / shared.params.bitrate),
        Manner::Live | Manner::Film | Manner::Batches(_) => Duration::ZERO,
    };
    let clock = Stopwatch::start();
    let mut bytes = Vec::new();
    while !shared.ends.load(Ordering::Relaxed) {
        let due = match shared.manner {
            Manner::Live | Manner::Prefilled(_) => ahead + clock.elapsed(),
            Manner::Film => Duration::MAX,
            Manner::Batches(each) => {
                let begun = clock.elapsed().as_millis() / each.as_millis() + 1;
                each * u32::try_from(begun).unwrap()
            }
        };
        let made = generator.elapsed();
        if made >= due {
            std::thread::park_timeout(STEP);
            continue;
        }
        generator.fill(due.min(made + PIECE), &mut bytes);
        stream.write_all(&bytes).ok()?;
        bytes.clear();
    }
    None
}
