//! How long somebody waits who comes anew while a server is busy: for a word from it, and for a channel that nobody watches.

use crate::figures::{millis, percentile};
use crate::net::Target;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Who waits longer goes without.
const LIMIT: Duration = Duration::from_secs(5);
const HEALTH_INTERVAL: Duration = Duration::from_millis(200);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Asked for on a connection of its own each time.
    #[arg(long)]
    health: Target,
    /// Channels, tuned to in turn. They are many enough when each has ended before its next turn.
    #[arg(long, required = true, num_args = 1..)]
    tune: Vec<Target>,
    /// Milliseconds between two tunes.
    #[arg(long, default_value_t = 1000)]
    tune_interval_ms: u64,
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

pub(crate) fn run(args: &Args) -> io::Result<()> {
    let until = Instant::now() + Duration::from_secs(args.seconds);
    let (health, tunes) = std::thread::scope(|scope| {
        let health = scope.spawn(|| again(until, HEALTH_INTERVAL, |_| answer(&args.health)));
        let tune = |number: usize| first_byte(&args.tune[number % args.tune.len()]);
        let tunes = again(until, Duration::from_millis(args.tune_interval_ms), tune);
        (health.join().unwrap_or_default(), tunes)
    });
    let report = serde_json::json!({
        "label": "probe",
        "health": health.taken.len(),
        "health_failed": health.failed,
        "health_ms_p50": health.millis(50),
        "health_ms_max": health.millis(100),
        "tunes": tunes.taken.len(),
        "tunes_failed": tunes.failed,
        "tune_ms_p50": tunes.millis(50),
        "tune_ms_max": tunes.millis(100),
    });
    println!("{report}");
    Ok(())
}

#[derive(Default)]
struct Waits {
    taken: Vec<Duration>,
    failed: usize,
}

impl Waits {
    fn millis(&self, percent: usize) -> f64 {
        percentile(&self.taken, percent).map_or(f64::NAN, millis)
    }
}

/// Waits for something again and again. What is late is waited for at once.
fn again(until: Instant, interval: Duration, mut wait: impl FnMut(usize) -> io::Result<()>) -> Waits {
    let mut waits = Waits::default();
    let mut due = Instant::now();
    for number in 0.. {
        if due >= until {
            break;
        }
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let asked = Instant::now();
        match wait(number) {
            Ok(()) => waits.taken.push(asked.elapsed()),
            Err(_) => waits.failed += 1,
        }
        due = (due + interval).max(asked);
    }
    waits.taken.sort();
    waits
}

fn asked(target: &Target) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&target.address.into(), LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(target.request().replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes())?;
    Ok(stream)
}

/// The whole answer, which is a good one.
fn answer(target: &Target) -> io::Result<()> {
    let mut text = Vec::new();
    asked(target)?.read_to_end(&mut text)?;
    if text.starts_with(b"HTTP/1.1 200 ") { Ok(()) } else { Err(io::Error::other("another answer")) }
}

/// The first byte behind a head that is a good one.
fn first_byte(target: &Target) -> io::Result<()> {
    let mut stream = asked(target)?;
    let (mut head, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let bytes = stream.read(&mut piece)?;
        head.extend_from_slice(&piece[..bytes]);
        let end = head.windows(4).position(|window| window == b"\r\n\r\n");
        if bytes == 0 || end.is_some() && !head.starts_with(b"HTTP/1.1 200 ") {
            return Err(io::Error::other("no stream"));
        }
        if end.is_some_and(|end| head.len() > end + 4) {
            return Ok(());
        }
    }
}
