//! How soon the server notices that a viewer closed its connection.

use crate::conn::Role;
use crate::crowd::Crowd;
use crate::figures::millis;
use crate::net::Target;
use crate::publish;
use std::io;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    url: Target,
    /// Address of a JSON status that lists viewers.
    #[arg(long)]
    status_url: String,
    /// Name of the list of viewers, anywhere in that JSON.
    #[arg(long, default_value = "client_streams")]
    list: String,
    /// How often to try.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
}

pub(crate) fn run(args: &Args) -> io::Result<()> {
    let mut worst = Duration::ZERO;
    for _ in 0..args.rounds {
        worst = worst.max(one_leave(args)?);
    }
    let report =
        serde_json::json!({ "label": "leave", "rounds": args.rounds, "noticed_ms_max": millis(worst) });
    println!("{report}");
    println!("leave: noticed after at most {:.1} ms in {} rounds", millis(worst), args.rounds);
    Ok(())
}

fn one_leave(args: &Args) -> io::Result<Duration> {
    let mut crowd = Crowd::new(Duration::from_millis(1))?;
    let before = viewers(args)?;
    let opened = Instant::now();
    let viewer = crowd.open(&args.url, Role::Plain, opened)?;
    while crowd.conns[viewer].first_byte.is_none() || viewers(args)? <= before {
        if crowd.turn()? - opened > LIMIT {
            return Err(io::Error::other("the viewer does not appear in the status"));
        }
    }
    let closed = Instant::now();
    crowd.conns[viewer].close();
    while viewers(args)? > before {
        if closed.elapsed() > LIMIT {
            return Err(io::Error::other("the viewer stays in the status"));
        }
    }
    Ok(closed.elapsed())
}

fn viewers(args: &Args) -> io::Result<usize> {
    let status = publish::get_json(&args.status_url)?;
    let mut count = 0;
    publish::visit(&status, &mut |key, value| {
        if key == args.list {
            count += value.as_array().map_or(0, Vec::len);
        }
    });
    Ok(count)
}
