//! `tunerd check`: what was found on this machine, and what will be used.

use std::io::Write;
use std::sync::Arc;

use tunerd::base::limits::DATAGRAM_QUEUE_BYTES;
use tunerd::config::{Loaded, Word};
use tunerd::engine;
use tunerd::exit::ExitCode;
use tunerd::ring::Segments;
use tunerd::source::ffmpeg::Capabilities;
use tunerd::uring::{Files, Probe};

use super::params::CoreCount;
use super::room::{self, Plan};
use super::{Failure, ffmpeg, params, start};

/// Prints what `run` would work with.
pub(crate) fn check(loaded: &Loaded) -> Result<ExitCode, Failure> {
    start::raise_open_files_limit();
    let probe = start::kernel()?;
    let found = ffmpeg::detect(&loaded.settings.ffmpeg.path);
    let trust = Arc::new(params::trust(&loaded.settings)?);
    let engine = params::engine(&loaded.settings, Capabilities::default(), trust, &probe)?;
    let plan = Plan::new(&room::facts(&loaded.settings, &engine, &probe));
    let mut lines = findings(loaded, &probe, found.as_ref(), &engine, &plan);
    lines.push("settings:".to_owned());
    lines.extend(loaded.effective.iter().map(|effective| format!("  {effective}")));
    lines.push(String::new());
    // Whoever reads only the first lines and goes has what it wanted.
    let _closed = std::io::stdout().write_all(lines.join("\n").as_bytes());
    Ok(ExitCode::Ok)
}

/// What was found on this machine, a line each.
pub(crate) fn findings(
    loaded: &Loaded,
    probe: &Probe,
    found: Option<&Capabilities>,
    engine: &engine::Params,
    plan: &Plan,
) -> Vec<String> {
    let mut lines: Vec<_> = loaded.warnings.iter().map(|warning| format!("warning: {warning}")).collect();
    lines.extend(kernel(probe, loaded));
    lines.push(datagrams());
    let cores = CoreCount::here(&loaded.settings, room::locked_bytes(probe));
    lines.push(format!("cores: {cores}"));
    let once = if engine.cores > 1 { "once for all cores, " } else { "" };
    let pages = pages(engine.segments);
    lines.push(format!("ring per channel: {} KiB, {once}{pages}", engine.ring_bytes() / 1024));
    lines.extend(plan.lines());
    lines.extend(ffmpeg_lines(found, loaded));
    lines
}

fn kernel(probe: &Probe, loaded: &Loaded) -> [String; 4] {
    let zero_copy =
        if probe.zero_copy { "work and report what was copied" } else { "are not used: they need Linux 6.2" };
    let files = match probe.files {
        Files::Registered => "are registered with io_uring",
        Files::Plain => "are not registered with io_uring: before Linux 6.13 it lets them go too late",
    };
    let locked = probe
        .locked_memory_limit
        .map_or_else(|| "unlimited".to_owned(), |bytes| format!("{} KiB", bytes / 1024));
    [
        format!("kernel: Linux {}; io_uring has everything that is needed", probe.kernel_release),
        format!("zero-copy sends {zero_copy} (ZERO_COPY={})", loaded.settings.engine.zero_copy.as_str()),
        format!("sockets {files}"),
        format!("locked memory: {locked}; open files: {}", probe.open_files_limit),
    ]
}

/// What a ring's memory is made of.
const fn pages(segments: Segments) -> &'static str {
    match segments {
        Segments::Huge => "in huge pages",
        Segments::Small => {
            "in small pages: with shmem_enabled of /sys/kernel/mm/transparent_hugepage set to advise, viewers on this host cost less"
        }
    }
}

/// What the kernel keeps of datagrams that have yet to be received.
fn datagrams() -> String {
    let limit = std::fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap_or_default();
    let Ok(bytes) = limit.trim().parse::<usize>() else {
        return "datagrams: how many the kernel queues is not known".to_owned();
    };
    let advice = if bytes < DATAGRAM_QUEUE_BYTES {
        ": set net.core.rmem_max to 4194304 for bursts of UDP and RTP"
    } else {
        ""
    };
    format!("datagrams: the kernel queues up to {} KiB for each source{advice}", bytes / 1024)
}

fn ffmpeg_lines(found: Option<&Capabilities>, loaded: &Loaded) -> Vec<String> {
    let path = loaded.settings.ffmpeg.path.display();
    let Some(found) = found else {
        return vec![format!(
            "ffmpeg: {path} does not run; only sources that are MPEG-TS over HTTP, UDP or RTP can be read"
        )];
    };
    let missing: Vec<_> = found.missing().collect();
    let mut lines = vec![format!("ffmpeg: {} ({path})", found.version())];
    if !missing.is_empty() {
        lines.push(format!("ffmpeg lacks, and is not asked for: {}", missing.join(" ")));
    }
    lines
}
