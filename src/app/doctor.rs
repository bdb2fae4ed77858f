//! `tunerd doctor URL`: a source is opened as a channel would open it, and judged as a viewer would.
//!
//! The service itself is started for it, with this source as its only channel: what is told is what the engine does, and not what
//! another reader would.

mod advice;
mod report;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use tunerd::base::limits::PACKET_BYTES;
use tunerd::base::{Clock, redact};
use tunerd::config::Loaded;
use tunerd::exit::ExitCode;
use tunerd::store::{Database, NewChannel, NewItem};
use tunerd::ts::{Aligner, Inspector};

use super::server::Server;
use super::{Failure, start, visit};
use report::{Played, Report};

/// How long it is watched.
const WATCH_TIME: Duration = Duration::from_secs(8);
/// How long the first byte may take, whatever the settings say.
const FIRST_BYTE_TIME: Duration = Duration::from_secs(120);
/// How long the reason of a failure may take to be written down.
const REASON_TIME: Duration = Duration::from_secs(3);
const GUIDE_NUMBER: &str = "1";

/// What came of a visit.
enum Visit {
    Played(Box<Played>),
    /// Why not.
    Failed(String),
}

/// Tries the source, and says what it is. Nothing of the service's own database is touched.
pub(crate) fn doctor(mut loaded: Loaded, url: &str) -> Result<ExitCode, Failure> {
    let held = visit::hide(&mut loaded)?;
    let address = held.address;
    let settings = &mut loaded.settings;
    settings.catalog.playlist_url = None;
    settings.catalog.playlist_sources.clear();
    settings.discovery.guide_sources.clear();
    settings.admin.credentials = None;
    settings.subscriber.token = None;
    settings.subscriber.allow.clear();
    settings.probe.interval = None;
    start::raise_open_files_limit();
    let database = database(url)?;
    let shown = redact::url(url);
    let (_code, visit) = visit::around(&loaded, database, move || watch(address))?;
    let report = match visit {
        Ok(Visit::Played(played)) => Report::played(&shown, &played),
        Ok(Visit::Failed(reason)) | Err(reason) => Report::failed(&shown, &reason),
    };
    // Whoever reads only the first line and goes has what it wanted.
    let _closed = std::io::stdout().write_all(report.text().as_bytes());
    Ok(if report.plays() { ExitCode::Ok } else { ExitCode::Failure })
}

/// A database in memory with the one source.
fn database(url: &str) -> Result<Database, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::because(ExitCode::Failure, error);
    let clock = Clock::start();
    let now = clock.wall_at(clock.now());
    let mut database = Database::in_memory().map_err(|error| failed(&error))?;
    let item_key = "doctor:source".to_owned();
    let item = NewItem {
        item_key: item_key.clone(),
        channel_key: "name:doctor".to_owned(),
        name: "doctor".to_owned(),
        stream_url: url.to_owned(),
        attrs_json: "{}".to_owned(),
        ..NewItem::default()
    };
    database.refresh_items(&[item], now).map_err(|error| failed(&error))?;
    let guide_number = Some(GUIDE_NUMBER.to_owned());
    let channel = NewChannel { item_key, guide_number, ..NewChannel::default() };
    database.create_channel(&channel, 1, now).map_err(|error| failed(&error))?;
    Ok(database)
}

fn watch(address: SocketAddr) -> Result<Visit, String> {
    let clock = Clock::start();
    let mut stream = visit::connect(&clock, address)?;
    let asked_at = clock.now();
    let request = format!("GET /auto/v{GUIDE_NUMBER} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(FIRST_BYTE_TIME)).map_err(|error| error.to_string())?;
    let begun = visit::head(&mut stream)?;
    if !begun.is_ok() {
        let mut said = begun.body;
        let _cut = stream.take(4096).read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        let failure = failure(&clock, address).or_else(|| failed_session(&clock, address));
        return Ok(Visit::Failed(failure.unwrap_or(said)));
    }
    let mut played = Played { first_byte_after: clock.now() - asked_at, ..Played::default() };
    judge(&mut stream, begun.body, &clock, &mut played)?;
    let status = ask(&clock, address, "/api/admin/tuners?format=2")?;
    played.row = status["tuners"][0].clone();
    // A source that was lost before anybody looked has a reason all the same.
    played.failure =
        failure_now(&clock, address)?.filter(|_| played.row["recovery_cycle"].as_u64() > Some(0));
    Ok(Visit::Played(Box::new(played)))
}

fn ask(clock: &Clock, address: SocketAddr, path: &str) -> Result<Value, String> {
    Server::local(address).get(clock, visit::START_TIME, path)
}

/// Why the last session ended, when it failed.
fn failed_session(clock: &Clock, address: SocketAddr) -> Option<String> {
    let status = ask(clock, address, "/api/admin/tuners?format=2").ok()?;
    let error = status["session_history"][0]["terminal_error"].as_str()?;
    (!error.is_empty()).then(|| error.to_owned())
}

fn failure_now(clock: &Clock, address: SocketAddr) -> Result<Option<String>, String> {
    let channels = ask(clock, address, "/api/channels")?;
    let Some(id) = channels["channels"][0]["channel_id"].as_i64() else { return Ok(None) };
    let sources = ask(clock, address, &format!("/api/channels/{id}/sources"))?;
    let reason = sources["sources"][0]["last_fail_reason"].as_str().unwrap_or_default();
    Ok((!reason.is_empty()).then(|| reason.to_owned()))
}

/// Why the source could not be started: that is written down a moment after the viewer was told that it could not.
fn failure(clock: &Clock, address: SocketAddr) -> Option<String> {
    let began = clock.now();
    loop {
        match failure_now(clock, address) {
            Ok(Some(reason)) => return Some(reason),
            Ok(None) if clock.now() - began < REASON_TIME => {
                std::thread::park_timeout(Duration::from_millis(100));
            }
            Ok(None) | Err(_) => return None,
        }
    }
}

fn judge(stream: &mut impl Read, body: Vec<u8>, clock: &Clock, played: &mut Played) -> Result<(), String> {
    let started = clock.now();
    let mut aligner = Aligner::new();
    let mut inspector = Inspector::new();
    let (mut entry, mut sample) = (None, None);
    let mut held = body;
    let mut position = 0;
    let mut buffer = vec![0; 64 * 1024];
    while clock.now() - started < WATCH_TIME {
        let aligned = aligner.align(&mut held);
        let (packets, _) = held[..aligned.packets_bytes].as_chunks::<PACKET_BYTES>();
        for packet in packets {
            inspector.packet(position, packet);
            position += PACKET_BYTES as u64;
            if let Some(found) = inspector.take_entry_point() {
                let before = entry.replace(found.pts).flatten();
                played
                    .entry_points
                    .note(found.pts.zip(before).map(|(now, before)| now.since(before)), 90_000);
            }
            let now = inspector.last_pcr();
            if now != sample {
                let ticks = now.zip(sample).map(|(now, before)| now.pcr.since(before.pcr));
                played.clock.note(ticks, 27_000_000);
                sample = now;
            }
        }
        held.drain(..aligned.packets_bytes);
        held.truncate(aligned.rest_bytes);
        let count = stream.read(&mut buffer).map_err(|error| error.to_string())?;
        if count == 0 {
            played.ended_after = Some(clock.now() - started);
            break;
        }
        played.bytes += count as u64;
        held.extend_from_slice(&buffer[..count]);
    }
    played.watched = clock.now() - started;
    played.continuity_gaps = inspector.counts().continuity_gaps;
    let inventory = inspector.inventory();
    (played.video_streams, played.audio_streams) = (inventory.video_streams, inventory.audio_streams);
    played.programme = inspector.programme().map(|programme| programme.pmt.program_number);
    let counts = inspector.counts();
    (played.has_picture, played.has_sound) = (counts.video > 0, counts.audio > 0);
    Ok(())
}
