//! What the kernel says about the measured process.

use std::fs;
use std::io;

/// Clock ticks per second of `/proc/PID/stat`; a constant of the Linux user interface.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// User and system time of all threads.
    pub(crate) cpu_s: f64,
    pub(crate) rss_kib: u64,
    pub(crate) anon_kib: u64,
    /// Busy time of the whole core that was named, whoever caused it.
    pub(crate) core_busy_s: f64,
}

/// Looks at a process and, if given, at the core it is pinned to.
pub(crate) fn sample(pid: Option<u32>, core: Option<usize>) -> io::Result<Sample> {
    let mut sample = Sample::default();
    if let Some(pid) = pid {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name in parentheses may hold spaces; what follows it may not.
        let (_, fields) = stat.rsplit_once(')').unwrap_or_default();
        let ticks: f64 =
            fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        sample.cpu_s = ticks / TICKS_PER_SECOND;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        sample.rss_kib = kib(&status, "VmRSS:");
        sample.anon_kib = kib(&status, "RssAnon:");
    }
    if let Some(core) = core {
        sample.core_busy_s = core_busy(&fs::read_to_string("/proc/stat")?, core);
    }
    Ok(sample)
}

fn kib(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// All columns of `cpuN` but idle and iowait.
fn core_busy(stat: &str, core: usize) -> f64 {
    let name = format!("cpu{core} ");
    let Some(line) = stat.lines().find_map(|line| line.strip_prefix(&name)) else { return 0.0 };
    let columns = line.split_whitespace().enumerate().filter(|(column, _)| ![3, 4].contains(column)).take(6);
    columns.filter_map(|(_, value)| value.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND
}
