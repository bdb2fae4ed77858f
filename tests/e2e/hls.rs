//! HLS from outside: what is read on the core, and what is left to ffmpeg.

use std::fs;
use std::time::Duration;

use crate::join::{programme, run};
use crate::kit::{Daemon, Upstream, children_of, judge};

const RECORDING: Duration = Duration::from_millis(2500);

/// How a provider cuts its programme, and whether it takes a process to read that.
const CUTS: &[(&str, &[&str], bool)] = &[
    ("plain", &[], false),
    ("encrypted", &["-hls_enc", "1", "-hls_enc_key", "0123456789abcdef"], false),
    // Its server does not know ranges and sends everything.
    ("ranges", &["-hls_flags", "single_file"], false),
    ("disguised", &["-hls_segment_filename", "%03d.jpg"], false),
    ("fragments", &["-bsf:a", "aac_adtstoasc", "-hls_segment_type", "fmp4"], true),
];

#[test]
fn segments_of_mpeg_ts_are_read_without_a_process_and_each_is_asked_for_once() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("programme.ts");
    fs::write(&source, programme()).unwrap();
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[]);
    for (number, (name, options, needs_process)) in (100..).zip(CUTS) {
        let place = folder.path().join(name);
        fs::create_dir(&place).unwrap();
        let mut arguments: Vec<String> = ["-v", "error", "-nostdin", "-i", source.to_str().unwrap()]
            .into_iter()
            .chain(["-c", "copy", "-f", "hls", "-hls_time", "2", "-hls_list_size", "0"])
            .map(str::to_owned)
            .collect();
        arguments.extend(options.iter().map(|option| match *option {
            file if file.contains('%') => place.join(file).to_str().unwrap().to_owned(),
            option => option.to_owned(),
        }));
        arguments.push(place.join("list.m3u8").to_str().unwrap().to_owned());
        run("ffmpeg", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let mut files = Vec::new();
        for entry in fs::read_dir(&place).unwrap() {
            let file = entry.unwrap().path();
            let path = format!("/whole/{name}/{}", file.file_name().unwrap().to_str().unwrap());
            let mut bytes = fs::read(&file).unwrap();
            if path.ends_with(".m3u8") {
                // ffmpeg names its key by where it lies on this machine.
                let place = format!("{}/", place.display());
                bytes = String::from_utf8(bytes).unwrap().replace(&place, "").into_bytes();
            }
            upstream.offer_whole(&path, "application/octet-stream", bytes);
            files.push(path);
        }
        daemon.channel(&number.to_string(), &[upstream.url(&format!("/whole/{name}/list.m3u8"))]);
        let mut viewer = daemon.open(&format!("/auto/v{number}"));
        let findings = judge(&viewer.watch(RECORDING));
        assert!(findings.packets > 500 && findings.faults() == 0, "{name}: {findings:?}");
        assert_eq!(!children_of(daemon.process()).is_empty(), *needs_process, "{name}: {}", daemon.log());
        let is_segment = |path: &&String| !path.contains("list.m3u8") && !path.ends_with(".mp4");
        for path in files.iter().filter(is_segment).filter(|_| !needs_process && *name != "ranges") {
            assert!(upstream.requests(path).len() <= 1, "{path} is asked for more than once");
        }
        drop(viewer);
    }
}
