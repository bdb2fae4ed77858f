//! The examples, as `cargo` has built them, each to its end.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use support::kit::{Upstream, binary};
use support::tsgen::{Params, TsGen};

/// An example. Cargo builds them for tests when it is not told which tests.
fn program(name: &str) -> PathBuf {
    let program = binary().with_file_name("examples").join(name);
    assert!(program.is_file(), "there is no {}; cargo build --examples", program.display());
    program
}

/// What an example has printed. It has to end well.
fn run(name: &str, arguments: &[&OsStr]) -> String {
    let output = Command::new(program(name)).args(arguments).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name}: {}\n{said}{complaint}", output.status);
    said
}

/// The number that stands before a word.
fn number_before(text: &str, word: &str) -> u64 {
    let (before, _) = text.split_once(word).unwrap_or_else(|| panic!("no {word:?} in {text}"));
    before.trim_end().rsplit([' ', '\n']).next().unwrap().parse().unwrap()
}

#[test]
fn the_embedded_engine_serves_a_source_and_says_so() {
    let upstream = Upstream::start();
    // By its name: the example looks it up.
    let url = upstream.url("/good/8000000/a").replace("127.0.0.1", "localhost");
    let said = run("embed", &[OsStr::new(&url)]);
    assert!(said.starts_with("http://127.0.0.1:") && said.ends_with("\nended\n"), "{said}");
    assert!(said.contains("\nchannel 101 News: h264, ") && said.contains(" 0 recoveries\n"), "{said}");
    let (watched, read) = (number_before(&said, "bytes\n"), number_before(&said, "bytes read"));
    assert!(watched >= 1024 * 1024 && read >= watched - 10_000, "{said}");
    assert!(number_before(&said, "bytes to viewers") >= watched - 10_000, "{said}");
    assert_eq!(upstream.requests("/good/8000000/a").len(), 1, "the engine asked once");
}

#[test]
fn an_example_that_cannot_be_served_says_why() {
    let output = Command::new(program("embed")).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("the address of a source is missing"));
}

#[test]
fn readers_of_a_ring_see_every_chunk_or_are_told_what_they_missed() {
    let said = run("ring", &[]);
    let lines: Vec<_> = said.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("quick: ") && lines[1].starts_with("slow: "), "{said}");
    for line in &lines {
        let (read, missed) = (number_before(line, "chunks read"), number_before(line, "missed"));
        assert_eq!(read + missed, 1000, "{line}");
    }
    // Held up from its first chunk until half of them were written, with 64 in the ring.
    assert!(number_before(lines[1], "missed") >= 400 && number_before(lines[1], "jumps") >= 1, "{said}");
}

#[test]
fn a_source_of_ones_own_is_read_as_fast_as_it_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("recording.ts");
    let mut bytes = Vec::new();
    TsGen::new(Params::new(8_000_000)).fill(Duration::from_secs(60), &mut bytes);
    fs::write(&recording, &bytes).unwrap();
    let said = run("custom_source", &[recording.as_os_str()]);
    let (watched, given) = (number_before(&said, "bytes of"), number_before(&said, "that the source"));
    assert!(watched >= 1024 * 1024 && given >= watched - 10_000, "{said}");
    assert!(given < bytes.len() as u64, "a minute was not taken at once: {said}");
    assert!(said.ends_with("\nended\n"), "{said}");
}
