//! `tunerd demo`: a generated live channel on guide number 100, with a database that is gone afterwards.

mod play;

use std::net::SocketAddr;

use tunerd::base::Clock;
use tunerd::config::Loaded;
use tunerd::exit::ExitCode;
use tunerd::store::{Database, NewChannel, NewItem};

use super::{Failure, run, visit};

/// The demonstration's channel: a moving picture and a tone.
const PATTERN_URL: &str = "test://pattern?bitrate=8000000&size=1280x720&rate=25";
const GUIDE_NUMBER: &str = "100";

/// Runs the demonstration; with `check` it is played for ten seconds, and the answer is the exit code.
pub(crate) fn demo(mut loaded: Loaded, check: bool) -> Result<ExitCode, Failure> {
    super::start_logging(&loaded);
    loaded.settings.catalog.playlist_url = None;
    loaded.settings.stream.schemes = vec!["test"];
    if check {
        // A free port: the demonstration may be running already.
        let held = visit::hide(&mut loaded)?;
        return play::play(&loaded, held.address, GUIDE_NUMBER, database()?);
    }
    for address in &loaded.settings.http.listen {
        let port = address.port();
        println!(
            "Open one of these in a player (VLC, mpv, ffplay) or point Plex, Jellyfin or Kodi at the host:"
        );
        println!("  http://127.0.0.1:{port}/auto/v{GUIDE_NUMBER}");
        println!("  http://127.0.0.1:{port}/lineup.json    http://127.0.0.1:{port}/discover.json");
        println!("  http://127.0.0.1:{port}/lineup.m3u     http://127.0.0.1:{port}/api/admin/tuners");
    }
    println!("Ctrl-C ends it.");
    run::run(&loaded, run::Catalog::Prepared(database()?))
}

/// A database in memory with the one channel.
fn database() -> Result<Database, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::because(ExitCode::Database, error);
    let clock = Clock::start();
    let now = clock.wall_at(clock.now());
    let mut database = Database::in_memory().map_err(|error| failed(&error))?;
    let item = NewItem {
        item_key: "demo:pattern".to_owned(),
        channel_key: "name:demo".to_owned(),
        name: "tunerd demo".to_owned(),
        group_name: "Demo".to_owned(),
        stream_url: PATTERN_URL.to_owned(),
        ..NewItem::default()
    };
    database.refresh_items(&[item], now).map_err(|error| failed(&error))?;
    let channel = NewChannel {
        item_key: "demo:pattern".to_owned(),
        guide_number: Some(GUIDE_NUMBER.to_owned()),
        ..NewChannel::default()
    };
    database.create_channel(&channel, 100, now).map_err(|error| failed(&error))?;
    Ok(database)
}

pub(crate) fn url(address: SocketAddr, guide_number: &str) -> String {
    format!("http://{address}/auto/v{guide_number}")
}
