//! A provider that plays files as live streams: each as fast as its own clock says.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::kit::{LONG, Stopwatch};
use crate::stream::{Packets, packets, programmes};
use crate::tsview::{PCR_WRAP, PTS_WRAP, View, ahead};

/// How often what is due is sent.
const PACE: Duration = Duration::from_millis(10);
const LOOK: Duration = Duration::from_millis(50);
/// A clock that steps further than this, or back, has been set anew: what is behind it follows at once.
const STEP_27M: i64 = 12 * 27_000_000;
/// The rate of what has no clock.
const UNCLOCKED_BYTES_PER_SECOND: u64 = 125_000;

/// A file, and when what is in front of each of its bytes has been sent.
pub(crate) struct Paced {
    pub(crate) bytes: Vec<u8>,
    /// Offset and time; the last pair is the end.
    marks: Vec<(usize, Duration)>,
}

impl Paced {
    pub(crate) fn new(bytes: Vec<u8>) -> Paced {
        let found = packets(&bytes);
        let mut marks = marks(&found);
        let end = (bytes.len(), end_of(&marks, bytes.len()));
        marks.push(end);
        Paced { bytes, marks }
    }

    pub(crate) fn length(&self) -> Duration {
        self.marks.last().map_or(Duration::ZERO, |(_, at)| *at)
    }

    /// How many bytes are due by `time`.
    fn due_by(&self, time: Duration) -> usize {
        let next = self.marks.partition_point(|(_, at)| *at <= time);
        let Some(&(to, end)) = self.marks.get(next) else { return self.bytes.len() };
        let (from, begin) = self.marks[next - 1];
        let part = (time - begin).as_nanos() * (to - from) as u128 / (end - begin).as_nanos().max(1);
        from + usize::try_from(part).unwrap().min(to - from)
    }
}

/// Where the clock of the programme that has most of it stands.
fn marks(found: &Packets) -> Vec<(usize, Duration)> {
    let programmes = programmes(&found.packets);
    let mut clocks: BTreeMap<u16, Vec<(usize, u64)>> = BTreeMap::new();
    for (packet, begin) in found.packets.iter().zip(&found.begins) {
        if let Some(pcr) = View(packet).pcr() {
            clocks.entry(View(packet).pid()).or_default().push((*begin, pcr % PCR_WRAP));
        }
    }
    let is_named = |pid: &u16| {
        programmes
            .iter()
            .flat_map(|programme| &programme.make_ups)
            .any(|(_, make_up)| make_up.pcr_pid == *pid)
    };
    let clock = clocks.iter().filter(|(pid, _)| is_named(pid)).max_by_key(|(_, marks)| marks.len());
    let clock = clock.map(|(_, marks)| marks.clone()).filter(|marks| marks.len() > 1);
    let clock = clock.unwrap_or_else(|| stamps(found));
    let mut marks = vec![(0, Duration::ZERO)];
    let Some(&(mut last_at, mut last)) = clock.first() else { return marks };
    let mut time = Duration::ZERO;
    if last_at > 0 {
        // What is in front of the first mark takes as long as as many bytes behind it.
        let &(at, pcr) = clock.get(1).unwrap_or(&clock[0]);
        let step = u64::try_from(ahead(last, pcr, PCR_WRAP)).unwrap_or(0);
        let nanos = step * 1000 / 27 * last_at as u64 / (at - last_at).max(1) as u64;
        time = Duration::from_nanos(nanos).min(Duration::from_secs(1));
        marks.push((last_at, time));
    }
    let mut rate = None;
    for &(at, pcr) in &clock[1..] {
        let step = ahead(last, pcr, PCR_WRAP);
        let bytes = (at - last_at) as u64;
        let nanos = if (0..=STEP_27M).contains(&step) {
            let nanos = u64::try_from(step).unwrap() * 1000 / 27;
            rate = Some((nanos, bytes));
            nanos
        } else {
            rate.map_or(0, |(nanos, of)| nanos * bytes / of.max(1))
        };
        time += Duration::from_nanos(nanos);
        marks.push((at, time));
        (last_at, last) = (at, pcr);
    }
    marks
}

/// Decoding times in place of a clock, of the stream that has most of them.
fn stamps(found: &Packets) -> Vec<(usize, u64)> {
    let mut stamps: BTreeMap<u16, Vec<(usize, u64)>> = BTreeMap::new();
    for (packet, begin) in found.packets.iter().zip(&found.begins) {
        let stamp = View(packet).pes().and_then(|pes| pes.decoded_at());
        if let Some(stamp) = stamp {
            stamps.entry(View(packet).pid()).or_default().push((*begin, stamp % PTS_WRAP * 300));
        }
    }
    stamps.into_values().max_by_key(Vec::len).unwrap_or_default()
}

/// The last part goes at the rate of the whole.
fn end_of(marks: &[(usize, Duration)], length: usize) -> Duration {
    let &(last_at, last) = marks.last().expect("the beginning is a mark");
    let left = (length - last_at) as u64;
    let nanos = if last.is_zero() {
        left * 1_000_000_000 / UNCLOCKED_BYTES_PER_SECOND
    } else {
        u64::try_from(last.as_nanos() * u128::from(left) / last_at.max(1) as u128).unwrap()
    };
    last + Duration::from_nanos(nanos)
}

/// How a file is played.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// How many times it is played, one behind the other.
    pub(crate) rounds: u32,
    /// Times its own rate.
    pub(crate) speed: f64,
    /// Whether the connection ends with the file. If not it stays, silent.
    pub(crate) ends: bool,
}

impl Default for Manner {
    fn default() -> Manner {
        Manner { rounds: 1, speed: 1.0, ends: false }
    }
}

#[derive(Default)]
struct State {
    asked: u32,
    /// When everything was sent.
    sent: Option<Duration>,
}

struct Shared {
    paced: Arc<Paced>,
    manner: Manner,
    clock: Stopwatch,
    state: Mutex<State>,
    over: AtomicBool,
}

/// A provider of one file, until it is dropped.
pub(crate) struct Upstream {
    address: SocketAddrV4,
    shared: Arc<Shared>,
}

impl Upstream {
    /// Times are told by `clock`.
    pub(crate) fn start(paced: Arc<Paced>, manner: Manner, clock: Stopwatch) -> Upstream {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port());
        let shared =
            Arc::new(Shared { paced, manner, clock, state: Mutex::default(), over: AtomicBool::new(false) });
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if of_thread.over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&of_thread);
                // Ends with the connection; a client that goes away is no fault.
                std::thread::spawn(move || serve(stream.ok()?, &shared));
            }
        });
        Upstream { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/live.ts", self.address)
    }

    /// How often the file was asked for.
    pub(crate) fn asked(&self) -> u32 {
        self.shared.state.lock().unwrap().asked
    }

    /// When everything had been sent.
    pub(crate) fn sent(&self) -> Option<Duration> {
        self.shared.state.lock().unwrap().sent
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // The listener's thread looks at the flag when somebody comes.
        let _refused = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) -> Option<()> {
    stream.set_read_timeout(Some(LONG)).ok()?;
    stream.set_write_timeout(Some(LONG)).ok()?;
    stream.set_nodelay(true).ok()?;
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        head.extend_from_slice(&buffer[..count]);
    }
    shared.state.lock().unwrap().asked += 1;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n").ok()?;
    let watch = Stopwatch::start();
    let (paced, manner) = (&shared.paced, shared.manner);
    for round in 0..manner.rounds {
        let begin = paced.length() * round;
        let mut sent = 0;
        while sent < paced.bytes.len() {
            if shared.over.load(Ordering::Relaxed) {
                return None;
            }
            let now = watch.elapsed().mul_f64(manner.speed);
            let due = now.checked_sub(begin).map_or(0, |now| paced.due_by(now));
            stream.write_all(&paced.bytes[sent..due.max(sent)]).ok()?;
            sent = due.max(sent);
            std::thread::park_timeout(PACE);
        }
    }
    shared.state.lock().unwrap().sent = Some(shared.clock.elapsed());
    stream.set_read_timeout(Some(LOOK)).ok()?;
    while !manner.ends && !shared.over.load(Ordering::Relaxed) {
        if stream.read(&mut [0; 16]).is_ok_and(|count| count == 0) {
            return Some(());
        }
    }
    None
}
