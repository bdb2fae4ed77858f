//! The measuring kit: an exact upstream, a raw sending loop to compare with, and a crowd of viewers.
//!
//! `scripts/bench` puts these together; each also works alone, see `--help`.
#![expect(clippy::disallowed_methods, reason = "a bench measures time")]

use clap::{Parser, Subcommand};
use support::{tscheck, tsgen};

mod broadcast;
mod ceiling;
mod conn;
mod crowd;
mod doubled;
mod figures;
mod flood;
mod joins;
mod leave;
mod net;
mod poll;
mod probe;
mod proc_stat;
mod publish;
mod segments;
mod upstream;
mod viewers;
mod watchers;

#[derive(Parser)]
#[command(name = "swarm", about = "Upstream, raw ceiling and viewers for measuring tunerd")]
struct Cli {
    /// What `cargo bench` adds; without meaning here.
    #[arg(long, hide = true, global = true)]
    bench: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve live MPEG-TS at an exact pace under /ch/{i}, and /playlist.m3u with all of them.
    Upstream(upstream::Args),
    /// Serve one live programme in HLS under /ch/{i}/list.m3u8, and /playlist.m3u with all of them.
    Segments(segments::Args),
    /// Send live MPEG-TS in RTP to groups of hosts, at an exact pace.
    Broadcast(broadcast::Args),
    /// Send without HTTP or index: what the kernel allows.
    Ceiling(ceiling::Args),
    /// Hold many viewers and measure them and the server.
    Viewers(viewers::Args),
    /// Hold many viewers of HLS, and measure what they cost the server.
    Watchers(watchers::Args),
    /// Open viewers at a steady rate, whatever the server does.
    Joins(joins::Args),
    /// How soon the server notices that a viewer has gone.
    Leave(leave::Args),
    /// Ask for a status again and again.
    Poll(poll::Args),
    /// Want the server to go down.
    Flood(flood::Args),
    /// Come anew while the server is busy: how long its word and a channel are waited for.
    Probe(probe::Args),
    /// Make a channel of every playlist item and print the stream URLs.
    Publish(publish::Args),
}

fn main() -> Result<(), String> {
    let outcome = match Cli::parse().command {
        // `cargo bench` starts every bench without arguments.
        None => {
            println!("swarm: started by scripts/bench; see --help");
            Ok(())
        }
        Some(Command::Upstream(args)) => upstream::run(&args),
        Some(Command::Segments(args)) => segments::run(&args),
        Some(Command::Broadcast(args)) => broadcast::run(&args),
        Some(Command::Ceiling(args)) => ceiling::run(&args),
        Some(Command::Viewers(args)) => viewers::run(&args),
        Some(Command::Watchers(args)) => watchers::run(&args),
        Some(Command::Joins(args)) => joins::run(&args),
        Some(Command::Leave(args)) => leave::run(&args),
        Some(Command::Poll(args)) => poll::run(&args),
        Some(Command::Flood(args)) => flood::run(&args),
        Some(Command::Probe(args)) => probe::run(&args),
        Some(Command::Publish(args)) => publish::run(&args),
    };
    outcome.map_err(|error| error.to_string())
}
