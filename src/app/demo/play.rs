//! Plays the demonstration as a viewer would, and judges it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tunerd::base::limits::PACKET_BYTES;
use tunerd::base::{Clock, Instant};
use tunerd::config::Loaded;
use tunerd::exit::ExitCode;
use tunerd::store::Database;
use tunerd::ts::{Aligner, Inspector};

use super::super::{Failure, visit};

const PLAY_TIME: Duration = Duration::from_secs(10);
/// The pattern is made at 8 Mbit/s; a viewer must see nearly that, on a machine that is busy too.
const BYTES_MIN: u64 = 8_000_000 / 8 * 9;

/// What a viewer saw.
#[derive(Debug, Default)]
struct Seen {
    bytes: u64,
    first_pid: Option<u16>,
    entry_points: u64,
    continuity_gaps: u64,
    bytes_out_of_sync: u64,
    video_and_audio: bool,
    first_byte_after: Duration,
}

/// Runs the service, plays the channel for ten seconds, ends the service.
pub(crate) fn play(
    loaded: &Loaded,
    address: SocketAddr,
    guide_number: &str,
    database: Database,
) -> Result<ExitCode, Failure> {
    let of_viewer = guide_number.to_owned();
    let (code, seen) = visit::around(loaded, database, move || watch(address, &of_viewer))?;
    let seen = seen.map_err(|error| {
        Failure::new(ExitCode::Failure, format!("the channel could not be played: {error}"))
    })?;
    let faults = faults(&seen);
    println!(
        "played {:.1} s of {}: {:.2} Mbit/s, first byte after {:.2} s, {} entry points, {} continuity gaps",
        PLAY_TIME.as_secs_f64(),
        super::url(address, "100"),
        seen.bytes as f64 * 8.0 / PLAY_TIME.as_secs_f64() / 1e6,
        seen.first_byte_after.as_secs_f64(),
        seen.entry_points,
        seen.continuity_gaps
    );
    if !faults.is_empty() {
        return Err(Failure::new(
            ExitCode::Failure,
            format!("the demonstration failed: {}", faults.join("; ")),
        ));
    }
    println!("ok");
    Ok(code)
}

fn faults(seen: &Seen) -> Vec<String> {
    let mut faults = Vec::new();
    let mut expect = |holds: bool, fault: String| {
        if !holds {
            faults.push(fault);
        }
    };
    expect(
        seen.first_pid == Some(0),
        format!("the first packet's PID is {:?}, not the PAT's", seen.first_pid),
    );
    expect(
        seen.bytes >= BYTES_MIN,
        format!("{} bytes in ten seconds are fewer than {BYTES_MIN}", seen.bytes),
    );
    expect(seen.entry_points >= 5, format!("{} entry points in ten seconds", seen.entry_points));
    expect(seen.continuity_gaps == 0, format!("{} continuity gaps", seen.continuity_gaps));
    expect(seen.bytes_out_of_sync == 0, format!("{} bytes outside packets", seen.bytes_out_of_sync));
    expect(seen.video_and_audio, "video and audio are not both there".to_owned());
    faults
}

fn watch(address: SocketAddr, guide_number: &str) -> Result<Seen, String> {
    let clock = Clock::start();
    let mut stream = visit::connect(&clock, address)?;
    let asked_at = clock.now();
    let request = format!("GET /auto/v{guide_number} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(visit::START_TIME)).map_err(|error| error.to_string())?;
    let begun = visit::head(&mut stream)?;
    if !begun.is_ok() {
        return Err(format!("the answer is {}", begun.status_line));
    }
    let mut seen = Seen { first_byte_after: clock.now() - asked_at, ..Seen::default() };
    judge(&mut stream, begun.body, &clock, &mut seen)?;
    Ok(seen)
}

fn judge(stream: &mut TcpStream, body: Vec<u8>, clock: &Clock, seen: &mut Seen) -> Result<(), String> {
    let started = clock.now();
    let mut aligner = Aligner::new();
    let mut inspector = Inspector::new();
    let mut held = body;
    let mut position = 0;
    let mut buffer = vec![0; 64 * 1024];
    while clock.now() - started < PLAY_TIME {
        let aligned = aligner.align(&mut held);
        let (packets, _) = held[..aligned.packets_bytes].as_chunks::<PACKET_BYTES>();
        for packet in packets {
            seen.first_pid.get_or_insert(u16::from_be_bytes([packet[1], packet[2]]) & 0x1FFF);
            inspector.packet(position, packet);
            position += PACKET_BYTES as u64;
            seen.entry_points += u64::from(inspector.take_entry_point().is_some());
        }
        seen.bytes += aligned.packets_bytes as u64;
        held.drain(..aligned.packets_bytes);
        held.truncate(aligned.rest_bytes);
        let count = stream.read(&mut buffer).map_err(|error| error.to_string())?;
        if count == 0 {
            return Err(format!("the stream ended after {:?}", since(clock, started)));
        }
        held.extend_from_slice(&buffer[..count]);
    }
    seen.bytes_out_of_sync = aligner.counts().bytes_dropped;
    seen.continuity_gaps = inspector.counts().continuity_gaps;
    let inventory = inspector.inventory();
    seen.video_and_audio = inventory.video_streams > 0 && inventory.audio_streams > 0;
    Ok(())
}

fn since(clock: &Clock, started: Instant) -> Duration {
    clock.now() - started
}
