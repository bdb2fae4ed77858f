//! What ffmpeg makes of a recording and of the source, and what it says to them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::compare::{Report, Wrong};

/// What came of decoding.
#[derive(Default)]
struct Decoded {
    /// Digests of pictures and sound of each stream, in their order.
    frames: BTreeMap<String, Vec<String>>,
    /// What was said, without the numbers in it, and how often.
    said: BTreeMap<String, usize>,
    /// The first line of each kind as it was.
    lines: BTreeMap<String, String>,
}

/// Decodes what was expected and what was got, and tells the differences. Both stay in files whose names begin with `path`.
pub(crate) fn decode(report: &mut Report, path: &Path) {
    let (expected, got) = (path.with_extension("expected.ts"), path.with_extension("got.ts"));
    fs::write(&expected, &report.expected).unwrap();
    fs::write(&got, &report.got).unwrap();
    let pids = decodable(&expected);
    if pids.is_empty() {
        return;
    }
    let (before, after) = (run(&expected, &pids), run(&got, &pids));
    for (index, pid) in pids.iter().enumerate() {
        let of = |decoded: &Decoded| decoded.frames.get(&index.to_string()).cloned().unwrap_or_default();
        let (before, after) = (of(&before), of(&after));
        let differ = different(&before, &after);
        if differ > 0 {
            let text = format!("{pid}: {differ} of {} frames differ, {} came", before.len(), after.len());
            report.wrong(Wrong::Frames, text);
        }
    }
    for (line, count) in &after.said {
        let own = before.said.get(line).copied().unwrap_or(0);
        if *count > own {
            let text = format!("{} times, {own} in the source: {}", count, after.lines[line]);
            report.wrong(Wrong::Decoder, text);
        }
    }
}

/// How many of `before` are not in `after`, in their order, or the other way round.
fn different(before: &[String], after: &[String]) -> usize {
    let (mut same, mut next) = (0, 0);
    for frame in before {
        if let Some(at) = after[next..].iter().take(250).position(|other| other == frame) {
            same += 1;
            next += at + 1;
        }
    }
    before.len().max(after.len()) - same
}

/// The PIDs of pictures and sound that ffmpeg can decode.
fn decodable(path: &Path) -> Vec<String> {
    let entries = "stream=id,codec_name,codec_type,width,sample_rate";
    let output = Command::new("ffprobe")
        .args(["-v", "quiet", "-show_entries", entries, "-of", "compact=p=0", path.to_str().unwrap()])
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("ffprobe cannot be started: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut pids = Vec::new();
    for line in text.lines() {
        let has = |what: &str| line.split('|').any(|field| field == what);
        let field = |name: &str| line.split('|').find_map(|field| field.strip_prefix(name));
        let is_known = field("codec_name=").is_some_and(|name| name != "unknown" && name != "none");
        let is_there = field("width=").is_some_and(|width| width != "0")
            || field("sample_rate=").is_some_and(|rate| rate != "0");
        let is_shown = has("codec_type=video") || has("codec_type=audio");
        if let Some(pid) = field("id=").filter(|_| is_known && is_there && is_shown) {
            pids.push(pid.to_owned());
        }
    }
    pids.sort();
    pids.dedup();
    pids
}

fn run(path: &Path, pids: &[String]) -> Decoded {
    let maps: Vec<String> = pids.iter().flat_map(|pid| ["-map".to_owned(), format!("0:#{pid}")]).collect();
    // What is watched meanwhile comes first.
    let output = Command::new("nice")
        .args(["-n", "10", "ffmpeg", "-hide_banner", "-v", "warning", "-nostdin", "-threads", "1", "-i"])
        .arg(path)
        .args(&maps)
        .args(["-fps_mode", "passthrough", "-f", "framemd5", "-"])
        .args(&maps)
        .args(["-f", "null", "-"])
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("ffmpeg cannot be started: {error}"));
    let mut decoded = Decoded::default();
    for line in String::from_utf8_lossy(&output.stdout).lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.split(',').map(str::trim);
        let Some(stream) = fields.next() else { continue };
        let digest = fields.next_back().unwrap_or_default().to_owned();
        decoded.frames.entry(stream.to_owned()).or_default().push(digest);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for line in said.lines().filter(|line| !line.contains("Last message repeated")) {
        let line = line.replace(path.to_str().unwrap(), "the stream");
        let kind = without_numbers(&line);
        *decoded.said.entry(kind.clone()).or_default() += 1;
        decoded.lines.entry(kind).or_insert(line);
    }
    decoded
}

/// A line as others of its kind are: addresses and numbers are not what matters.
fn without_numbers(line: &str) -> String {
    let mut kind = String::new();
    let mut is_number = false;
    for word in line.split(' ') {
        let is_address = word.starts_with("0x");
        for letter in word.chars() {
            let is_digit = letter.is_ascii_digit() || (is_address && letter.is_ascii_hexdigit());
            if !is_digit {
                kind.push(letter);
            } else if !is_number {
                kind.push('#');
            }
            is_number = is_digit;
        }
        kind.push(' ');
        is_number = false;
    }
    kind
}
