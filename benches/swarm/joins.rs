//! Viewers that come at a steady rate, look for a while and go.

use crate::conn::Role;
use crate::crowd::Crowd;
use crate::figures::{kernel, millis, percentile};
use crate::net::{self, Target};
use serde::Serialize;
use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

/// How long the channel is given to start for the viewer that keeps it running.
const START_LIMIT: Duration = Duration::from_secs(15);
/// The keeper watches this long first, so that joins find a ring with something in it.
const SETTLE: Duration = Duration::from_secs(3);

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    url: Target,
    /// Joins per second.
    #[arg(long, default_value_t = 2000)]
    rate: u32,
    /// For so many seconds.
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// Each join stays this long after it was due.
    #[arg(long, default_value_t = 1000)]
    hold_ms: u64,
    /// So many of them check what they get.
    #[arg(long, default_value_t = 20)]
    check: u32,
    #[arg(long, default_value_t = 200)]
    tick_us: u64,
}

#[derive(Serialize)]
struct Report {
    label: &'static str,
    kernel: String,
    rate: u32,
    joins: usize,
    first_byte_ms_p50: f64,
    first_byte_ms_p99: f64,
    first_byte_ms_max: f64,
    no_body: usize,
    ended_early: usize,
    bad_status: usize,
    checked: usize,
    faults: u64,
    most_behind_ms: f64,
}

pub(crate) fn run(args: &Args) -> io::Result<()> {
    let joins = args.rate * args.seconds;
    let held = u64::from(args.rate) * args.hold_ms / 1000;
    net::raise_descriptor_limit(usize::try_from(held).map_err(io::Error::other)?)?;
    let mut crowd = Crowd::new(Duration::from_micros(args.tick_us))?;
    keep_running(&mut crowd, &args.url)?;
    let start = Instant::now();
    let hold = Duration::from_millis(args.hold_ms);
    let mut staying: VecDeque<(Instant, usize)> = VecDeque::new();
    let mut most_behind = Duration::ZERO;
    let mut opened = 0;
    while opened < joins || !staying.is_empty() {
        let now = crowd.turn()?;
        // Times count from when a join was due, not from when this loop came to it.
        while opened < joins {
            let due = start + Duration::from_secs(1) * opened / args.rate;
            if due > now {
                break;
            }
            most_behind = most_behind.max(now - due);
            let checks = opened % joins.div_ceil(args.check.max(1)) == 0 && args.check > 0;
            let index = crowd.open(&args.url, if checks { Role::Checking } else { Role::Plain }, due)?;
            staying.push_back((due + hold, index));
            opened += 1;
        }
        while let Some(&(_, index)) = staying.front().filter(|(until, _)| *until <= now) {
            staying.pop_front();
            crowd.conns[index].close();
        }
    }
    let report = report(args, &crowd, most_behind);
    println!("{}", serde_json::to_string(&report)?);
    println!(
        "joins: {} at {} per second: first byte p50 {:.1} p99 {:.1} max {:.1} ms; {} without body, {} ended early, {} \
         bad status, {} faults in {} checked",
        report.joins,
        report.rate,
        report.first_byte_ms_p50,
        report.first_byte_ms_p99,
        report.first_byte_ms_max,
        report.no_body,
        report.ended_early,
        report.bad_status,
        report.faults,
        report.checked,
    );
    Ok(())
}

/// The first connection of the crowd stays to the end.
fn keep_running(crowd: &mut Crowd, url: &Target) -> io::Result<()> {
    let start = Instant::now();
    let keeper = crowd.open(url, Role::Plain, start)?;
    while crowd.conns[keeper].first_byte.is_none() {
        if crowd.turn()? - start > START_LIMIT || crowd.conns[keeper].ended.is_some() {
            return Err(io::Error::other("the channel did not start"));
        }
    }
    let settled = Instant::now() + SETTLE;
    while crowd.turn()? < settled {}
    Ok(())
}

fn report(args: &Args, crowd: &Crowd, most_behind: Duration) -> Report {
    let joins = &crowd.conns[1..];
    let mut first_bytes: Vec<Duration> = joins.iter().filter_map(|conn| conn.first_byte).collect();
    first_bytes.sort();
    let first_byte = |percent| percentile(&first_bytes, percent).map_or(f64::NAN, millis);
    let findings: Vec<_> = joins.iter().filter_map(|conn| Some(conn.checker.as_ref()?.findings())).collect();
    Report {
        label: "joins",
        kernel: kernel(),
        rate: args.rate,
        joins: joins.len(),
        first_byte_ms_p50: first_byte(50),
        first_byte_ms_p99: first_byte(99),
        first_byte_ms_max: first_byte(100),
        no_body: joins.len() - first_bytes.len(),
        ended_early: joins.iter().filter(|conn| conn.ended.is_some()).count(),
        bad_status: joins.iter().filter(|conn| conn.status.is_some_and(|status| status != 200)).count(),
        checked: findings.len(),
        faults: findings.iter().map(|found| found.faults()).sum(),
        most_behind_ms: millis(most_behind),
    }
}
