//! `tunerd check`: what was found on this machine, and what will be used.

use tunerd::config::Loaded;
use tunerd::exit::ExitCode;
use tunerd::source::ffmpeg::Feature;

use super::{Failure, ffmpeg, params, start};

/// Prints what `run` would work with.
pub(crate) fn check(loaded: &Loaded) -> Result<ExitCode, Failure> {
    let settings = &loaded.settings;
    for warning in &loaded.warnings {
        println!("warning: {warning}");
    }
    start::raise_open_files_limit();
    let probe = start::kernel()?;
    let locked = probe
        .locked_memory_limit
        .map_or_else(|| "unlimited".to_owned(), |bytes| format!("{} KiB", bytes / 1024));
    println!("kernel: Linux {}, io_uring has everything that is needed", probe.kernel_release);
    let zero_copy =
        if probe.zero_copy { "works and reports what it copied" } else { "is not used: it needs Linux 6.2" };
    println!("zero-copy sends: {zero_copy} (ZERO_COPY={})", settings.engine.zero_copy.as_str());
    println!("locked memory: {locked}; open files: {}", probe.open_files_limit);
    println!("cores: {}", params::core_count(settings));
    let engine = params::engine(settings, tunerd::source::ffmpeg::Capabilities::default(), probe.zero_copy)?;
    println!("ring per channel: {} KiB", engine.ring_bytes() / 1024);
    match ffmpeg::detect(&settings.ffmpeg.path) {
        Some(found) => {
            let missing: Vec<_> = Feature::ALL
                .iter()
                .filter(|feature| !found.has(**feature))
                .map(|feature| feature.option())
                .collect();
            println!("ffmpeg: {} ({})", found.version(), settings.ffmpeg.path.display());
            if !missing.is_empty() {
                println!("ffmpeg options it does not have, and that are left out: {}", missing.join(" "));
            }
        }
        None => println!(
            "ffmpeg: {} does not run; only sources that are MPEG-TS over HTTP can be read",
            settings.ffmpeg.path.display()
        ),
    }
    println!("settings:");
    for effective in &loaded.effective {
        println!("  {effective}");
    }
    Ok(ExitCode::Ok)
}
