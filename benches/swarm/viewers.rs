//! A crowd that stays: rates, gaps, faults, and what they cost the server.

use crate::conn::{Conn, Role};
use crate::crowd::Crowd;
use crate::figures::{gib, kernel, millis, percentile, rounded};
use crate::net::{self, Target};
use crate::proc_stat::{self, Sample};
use serde::Serialize;
use std::io;
use std::time::{Duration, Instant};

/// How often a slow reader reads.
const SIP_INTERVAL: Duration = Duration::from_millis(100);
/// A viewer whose last bytes are older than this at the window's end is measured up to the end.
const QUIET: Duration = Duration::from_millis(500);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Stream addresses, used in turn.
    #[arg(long, required = true, num_args = 1..)]
    url: Vec<Target>,
    #[arg(long)]
    count: usize,
    /// So many of them read and check every packet.
    #[arg(long, default_value_t = 0)]
    check: usize,
    /// Connections opened per second.
    #[arg(long, default_value_t = 2000)]
    ramp: u32,
    /// Seconds between the last connection and the measured window.
    #[arg(long, default_value_t = 3)]
    warmup: u64,
    /// Length of the measured window.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Bits per second each viewer ought to get.
    #[arg(long, default_value_t = 8_000_000)]
    bitrate: u64,
    /// The server's process, to be charged.
    #[arg(long)]
    pid: Option<u32>,
    /// The server's core, whose whole busy time is reported beside the server's own.
    #[arg(long)]
    core: Option<usize>,
    /// So many more viewers that read at `--slow-bytes-per-s`.
    #[arg(long, default_value_t = 0)]
    slow: usize,
    #[arg(long, default_value_t = 10_000)]
    slow_bytes_per_s: usize,
    /// So many more viewers that stop reading when the window begins.
    #[arg(long, default_value_t = 0)]
    stop_reading: usize,
    /// Viewers per second that leave and are replaced by new ones, during the window.
    #[arg(long, default_value_t = 0)]
    churn: u32,
    /// Nap between two looks at the sockets.
    #[arg(long, default_value_t = 1000)]
    tick_us: u64,
    /// Said in the record of the run.
    #[arg(long, default_value = "viewers")]
    label: String,
    /// Bytes per send the server was set to, for the record.
    #[arg(long, default_value_t = 65_048)]
    bytes_per_send: u64,
}

#[derive(Serialize)]
struct Report {
    label: String,
    kernel: String,
    viewers: usize,
    bitrate: u64,
    bytes_per_send: u64,
    seconds: f64,
    bytes: u64,
    cpu_s: f64,
    cpu_s_per_gib: f64,
    core_busy_s_per_gib: f64,
    rate_min: f64,
    rate_p1: f64,
    rate_median: f64,
    below_99_percent: usize,
    first_byte_ms_p50: f64,
    first_byte_ms_p99: f64,
    first_byte_ms_max: f64,
    longest_gap_ms: f64,
    no_body: usize,
    ended_early: usize,
    bad_status: usize,
    checked: usize,
    checked_packets: u64,
    continuity_errors: u64,
    other_faults: u64,
    rss_before_kib: u64,
    anon_before_kib: u64,
    rss_start_kib: u64,
    anon_start_kib: u64,
    rss_end_kib: u64,
    anon_end_kib: u64,
    churned: usize,
    slow: usize,
    slow_ended: usize,
    slow_ended_s_max: f64,
    stopped: usize,
    stopped_ended: usize,
    stopped_ended_s_max: f64,
}

struct Run<'args> {
    args: &'args Args,
    crowd: Crowd,
    started: Instant,
    /// One entry per viewer that is meant to stay; churn puts a newer connection in its place.
    seats: Vec<usize>,
    slow: Vec<usize>,
    stopping: Vec<usize>,
    next_sip: Instant,
    churned: usize,
}

pub(crate) fn run(args: &Args) -> io::Result<()> {
    net::raise_descriptor_limit(args.count + args.slow + args.stop_reading)?;
    let before = proc_stat::sample(args.pid, args.core)?;
    let started = Instant::now();
    let mut run = Run {
        args,
        crowd: Crowd::new(Duration::from_micros(args.tick_us))?,
        started,
        seats: Vec::new(),
        slow: Vec::new(),
        stopping: Vec::new(),
        next_sip: started,
        churned: 0,
    };
    run.fill()?;
    run.turn_until(Instant::now() + Duration::from_secs(args.warmup))?;
    let window_start = run.begin_window()?;
    let at_start = proc_stat::sample(args.pid, args.core)?;
    run.churn_until(window_start, window_start + Duration::from_secs(args.seconds))?;
    let at_end = proc_stat::sample(args.pid, args.core)?;
    let report = run.report(window_start, Instant::now(), [before, at_start, at_end]);
    println!("{}", serde_json::to_string(&report)?);
    println!("{}", readable(&report));
    Ok(())
}

impl Run<'_> {
    fn target(&self, number: usize) -> Target {
        self.args.url[number % self.args.url.len()].clone()
    }

    /// Opens all connections at the pace asked for, slow ones spread among the others.
    fn fill(&mut self) -> io::Result<()> {
        let (count, slow, stopping) = (self.args.count, self.args.slow, self.args.stop_reading);
        let total = count + slow + stopping;
        for number in 0..total {
            let due =
                self.started + Duration::from_secs(1) * u32::try_from(number).expect("few") / self.args.ramp;
            self.turn_until(due)?;
            let role = match number {
                number if number < self.args.check => Role::Checking,
                number if number < count => Role::Plain,
                number if number < count + slow => Role::Slow,
                _ => Role::Stopping,
            };
            let index = self.crowd.open(&self.target(number), role, Instant::now())?;
            match role {
                Role::Plain | Role::Checking => self.seats.push(index),
                Role::Slow => self.slow.push(index),
                Role::Stopping => self.stopping.push(index),
            }
        }
        Ok(())
    }

    fn turn_until(&mut self, until: Instant) -> io::Result<()> {
        while Instant::now() < until {
            let now = self.crowd.turn()?;
            if now < self.next_sip {
                continue;
            }
            self.next_sip = now + SIP_INTERVAL;
            for &index in &self.slow {
                self.crowd.sip(index, self.args.slow_bytes_per_s / 10, now);
            }
        }
        Ok(())
    }

    fn begin_window(&mut self) -> io::Result<Instant> {
        for &index in &self.stopping {
            self.crowd.stop_reading(index)?;
        }
        self.crowd.conns.iter_mut().for_each(Conn::begin_window);
        Ok(Instant::now())
    }

    fn churn_until(&mut self, start: Instant, end: Instant) -> io::Result<()> {
        if self.args.churn == 0 || self.seats.len() <= self.args.check {
            return self.turn_until(end);
        }
        let changeable = self.seats.len() - self.args.check;
        for number in 0.. {
            let due = start + Duration::from_secs(1) * number / self.args.churn;
            self.turn_until(due.min(end))?;
            if due >= end {
                break;
            }
            let seat = self.args.check + self.churned % changeable;
            self.crowd.conns[self.seats[seat]].close();
            self.seats[seat] = self.crowd.open(&self.target(seat), Role::Plain, due)?;
            self.churned += 1;
        }
        Ok(())
    }

    fn report(&self, start: Instant, end: Instant, [before, first, last]: [Sample; 3]) -> Report {
        let conns = &self.crowd.conns;
        let staying = || self.seats.iter().map(|&index| &conns[index]);
        let full_speed = || conns.iter().filter(|conn| matches!(conn.role, Role::Plain | Role::Checking));
        let mut rates: Vec<f64> = staying()
            .filter(|conn| self.churned == 0 || conn.bytes_before_window > 0)
            .map(|conn| self.rate(conn, start, end))
            .collect();
        rates.sort_by(f64::total_cmp);
        let mut first_bytes: Vec<Duration> = full_speed().filter_map(|conn| conn.first_byte).collect();
        first_bytes.sort();
        let first_byte = |percent| percentile(&first_bytes, percent).map_or(f64::NAN, millis);
        let bytes: u64 = conns.iter().map(|conn| conn.bytes - conn.bytes_before_window).sum();
        let findings: Vec<_> =
            conns.iter().filter_map(|conn| Some(conn.checker.as_ref()?.findings())).collect();
        let continuity_errors = findings.iter().map(|found| found.continuity_errors).sum();
        let ended = |indices: &[usize], since: Instant| -> Vec<f64> {
            indices.iter().filter_map(|&index| Some((conns[index].ended? - since).as_secs_f64())).collect()
        };
        let slow_ended = ended(&self.slow, self.started);
        let stopped_ended = ended(&self.stopping, start);
        let latest = |ends: &[f64]| rounded(ends.iter().copied().fold(0.0, f64::max));
        let cpu_s = last.cpu_s - first.cpu_s;
        Report {
            label: self.args.label.clone(),
            kernel: kernel(),
            viewers: self.seats.len(),
            bitrate: self.args.bitrate,
            bytes_per_send: self.args.bytes_per_send,
            seconds: rounded((end - start).as_secs_f64()),
            bytes,
            cpu_s: rounded(cpu_s),
            cpu_s_per_gib: rounded(cpu_s / gib(bytes)),
            core_busy_s_per_gib: rounded((last.core_busy_s - first.core_busy_s) / gib(bytes)),
            rate_min: rounded(rates.first().copied().unwrap_or(0.0)),
            rate_p1: rounded(percentile(&rates, 1).unwrap_or(0.0)),
            rate_median: rounded(percentile(&rates, 50).unwrap_or(0.0)),
            below_99_percent: rates.iter().filter(|rate| **rate < 0.99).count(),
            first_byte_ms_p50: first_byte(50),
            first_byte_ms_p99: first_byte(99),
            first_byte_ms_max: first_byte(100),
            longest_gap_ms: staying().map(|conn| gap(conn, start, end)).max().map_or(0.0, millis),
            no_body: full_speed().filter(|conn| conn.first_byte.is_none()).count(),
            ended_early: full_speed().filter(|conn| conn.ended.is_some()).count(),
            bad_status: conns.iter().filter(|conn| conn.status.is_some_and(|status| status != 200)).count(),
            checked: findings.len(),
            checked_packets: findings.iter().map(|found| found.packets).sum(),
            continuity_errors,
            other_faults: findings.iter().map(|found| found.faults()).sum::<u64>() - continuity_errors,
            rss_before_kib: before.rss_kib,
            anon_before_kib: before.anon_kib,
            rss_start_kib: first.rss_kib,
            anon_start_kib: first.anon_kib,
            rss_end_kib: last.rss_kib,
            anon_end_kib: last.anon_kib,
            churned: self.churned,
            slow: self.slow.len(),
            slow_ended: slow_ended.len(),
            slow_ended_s_max: latest(&slow_ended),
            stopped: self.stopping.len(),
            stopped_ended: stopped_ended.len(),
            stopped_ended_s_max: latest(&stopped_ended),
        }
    }

    /// Rate of one viewer as a part of the bitrate, from its first to its last arrival in the window, so that a send
    /// that falls on one side of the window's edge or the other does not count as a change of rate.
    fn rate(&self, conn: &Conn, start: Instant, end: Instant) -> f64 {
        let (Some(mark), Some(last)) = (conn.mark, conn.last) else { return 0.0 };
        let from = if mark.at - start > QUIET { start } else { mark.at };
        let to = if end.saturating_duration_since(last.at) > QUIET { end } else { last.at };
        let bits = 8.0 * (last.bytes - mark.bytes) as f64;
        bits / to.saturating_duration_since(from).as_secs_f64().max(1e-3) / self.args.bitrate as f64
    }
}

/// The longest time without bytes, also when it is not over yet or began with the window.
fn gap(conn: &Conn, start: Instant, end: Instant) -> Duration {
    let since = conn.last.map_or(start, |last| last.at.max(start));
    conn.longest_gap.max(conn.ended.unwrap_or(end).saturating_duration_since(since))
}

fn readable(report: &Report) -> String {
    format!(
        "{}: {} viewers x {:.1} Mbit/s, {} bytes per send, Linux {}: {:.3} CPU s/GiB over {:.2} GiB; rate min {:.4} p1 \
         {:.4} ({} below 99 %); first byte p50 {:.1} p99 {:.1} ms; longest gap {:.0} ms; {} ended early, {} without \
         body, {} bad status; {} checked: {} continuity errors, {} other faults",
        report.label,
        report.viewers,
        report.bitrate as f64 / 1e6,
        report.bytes_per_send,
        report.kernel,
        report.cpu_s_per_gib,
        gib(report.bytes),
        report.rate_min,
        report.rate_p1,
        report.below_99_percent,
        report.first_byte_ms_p50,
        report.first_byte_ms_p99,
        report.longest_gap_ms,
        report.ended_early,
        report.no_body,
        report.bad_status,
        report.checked,
        report.continuity_errors,
        report.other_faults,
    )
}
