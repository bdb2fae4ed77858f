//! What a decoder says to a recording.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::walk::Walk;
use crate::recorder::Recording;
use crate::tsview::{PACKET_BYTES, View};

/// A part of a recording in which the make-up of the programme stays what it is.
pub(super) struct Part {
    /// Where it begins.
    pub(super) position: usize,
    bytes: Vec<u8>,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Decoded {
    /// What the decoder complains about, and in which part.
    pub(super) complaints: Vec<(usize, String)>,
    /// How long all parts together play, each for as long as the longest of its streams: what is sent together of picture
    /// and sound is not shown at one time, so that both together are longer.
    pub(super) plays: Duration,
    pub(super) codecs: Vec<Vec<String>>,
}

/// Cuts the recording where its make-up changes, as decoders that are told at their start what to decode want it.
/// The packets of the last picture and sound are left out: the viewer left in the middle of them.
pub(super) fn parts(recording: &Recording, walk: &Walk) -> Vec<Part> {
    let whole = recording.bytes.len() / PACKET_BYTES * PACKET_BYTES;
    let begins: Vec<_> = walk.make_ups.iter().map(|make_up| make_up.pat_position).collect();
    let mut parts = Vec::new();
    for (index, &begin) in begins.iter().enumerate() {
        // The first part is judged from the very first byte.
        let begin = if index == 0 { 0 } else { begin };
        let next = begins.get(index + 1).copied();
        let bytes = &recording.bytes[begin..next.unwrap_or(whole)];
        let bytes = if next.is_none() { without_torn_ends(bytes, begin, walk) } else { bytes.to_vec() };
        parts.push(Part { position: begin, bytes });
    }
    parts
}

/// Without each stream's last PES packet.
fn without_torn_ends(bytes: &[u8], begin: usize, walk: &Walk) -> Vec<u8> {
    let last_start: BTreeMap<u16, usize> =
        walk.stamps.iter().filter_map(|(pid, points)| Some((*pid, points.last()?.position))).collect();
    let mut kept = Vec::with_capacity(bytes.len());
    for (index, packet) in bytes.as_chunks::<PACKET_BYTES>().0.iter().enumerate() {
        let position = begin + index * PACKET_BYTES;
        let is_torn = last_start.get(&View(packet).pid()).is_some_and(|start| position >= *start);
        if !is_torn {
            kept.extend_from_slice(packet);
        }
    }
    kept
}

pub(super) fn decode(parts: &[Part], has_one_rate: bool, path: &Path) -> Decoded {
    let mut decoded = Decoded::default();
    for (index, part) in parts.iter().enumerate() {
        let file = PathBuf::from(format!("{}-{index}.ts", path.display()));
        fs::write(&file, &part.bytes).unwrap();
        let name = file.to_str().unwrap();
        let inputs = ["-v", "warning", "-nostdin", "-threads", "1", "-i", name];
        // Without a finer clock pictures are put on the grid of the first ones' rate, and ffmpeg complains about its own
        // rounding where another rate follows.
        let clock: &[&str] = if has_one_rate { &[] } else { &["-enc_time_base:v", "1:90000"] };
        let outputs = [&["-map", "0:v?", "-map", "0:a?"], clock, &["-f", "null", "-"]].concat();
        let (status, _, said) = run("ffmpeg", &[&inputs[..], &outputs[..]].concat());
        decoded.complaints.extend(said.lines().map(|line| (index, line.to_owned())));
        if !status {
            decoded.complaints.push((index, "it cannot be decoded".to_owned()));
        }
        let entries = "stream=duration,codec_name";
        let arguments = ["-v", "error", "-show_entries", entries, "-of", "default=noprint_wrappers=1", name];
        let (_, shown, _) = run("ffprobe", &arguments);
        let (mut codecs, mut longest) = (Vec::new(), Duration::ZERO);
        for line in shown.lines() {
            match line.split_once('=') {
                Some(("duration", seconds)) => {
                    longest = longest.max(Duration::from_secs_f64(seconds.parse().unwrap_or(0.0)));
                }
                Some(("codec_name", codec)) => codecs.push(codec.to_owned()),
                Some(_) | None => {}
            }
        }
        decoded.plays += longest;
        codecs.sort();
        codecs.dedup();
        decoded.codecs.push(codecs);
    }
    decoded
}

/// Whether it went well, what was shown, and what was complained about.
fn run(program: &str, arguments: &[&str]) -> (bool, String, String) {
    // What is watched meanwhile comes first.
    let output = Command::new("nice")
        .args(["-n", "10", program])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}
