//! How long a status takes to come, asked for again and again over one connection.

use crate::figures::{millis, percentile};
use crate::net::Target;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// An answer that takes longer ends the run.
const LIMIT: Duration = Duration::from_secs(20);

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    url: Target,
    /// How often a second. What is late is asked for at once, and never twice at a time.
    #[arg(long, default_value_t = 10)]
    per_second: u32,
    /// Seconds before the first.
    #[arg(long, default_value_t = 0)]
    delay: u64,
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

pub(crate) fn run(args: &Args) -> io::Result<()> {
    std::thread::sleep(Duration::from_secs(args.delay));
    let stream = TcpStream::connect(args.url.address)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let (mut reader, mut body) = (BufReader::with_capacity(256 * 1024, stream), Vec::new());
    let (started, mut taken) = (Instant::now(), Vec::new());
    let mut due = started;
    while due - started < Duration::from_secs(args.seconds) {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let asked = Instant::now();
        reader.get_mut().write_all(args.url.request().as_bytes())?;
        read_answer(&mut reader, &mut body)?;
        taken.push(asked.elapsed());
        due = (due + Duration::from_secs(1) / args.per_second).max(asked);
    }
    taken.sort();
    let taken_ms = |percent| percentile(&taken, percent).map_or(f64::NAN, millis);
    let report = serde_json::json!({
        "label": "poll",
        "polls": taken.len(),
        "body_bytes": body.len(),
        "poll_ms_p50": taken_ms(50),
        "poll_ms_p99": taken_ms(99),
        "poll_ms_max": taken_ms(100),
    });
    println!("{report}");
    Ok(())
}

fn read_answer(reader: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    if !line.starts_with("HTTP/1.1 200 ") {
        return Err(io::Error::other(format!("answered with {line:?}")));
    }
    let mut length = None;
    while line != "\r\n" {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(stated) = line.strip_prefix("Content-Length: ") {
            length = stated.trim().parse().ok();
        }
    }
    body.resize(length.ok_or_else(|| io::Error::other("an answer without length"))?, 0);
    reader.read_exact(body)
}
