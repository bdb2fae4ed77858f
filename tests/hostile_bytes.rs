//! Bytes from outside never panic, and nothing that is made of them is larger than it may be: what parses them is given what
//! providers and clients send (`tests/corpus`), cut, repeated, spliced and changed, a hundred thousand times each. A failure prints
//! the number of the input; each is a function of its number. `scripts/fuzz` looks further, and adds what it finds to the corpus.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use support::tsgen;

const INPUTS: u64 = 100_000;
const BYTES_MAX: usize = 2 * 1024;

/// A small generator (SplitMix64): the same numbers everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }
}

/// What parsers decide by.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\0",
    b" ",
    b":",
    b"=",
    b",",
    b"\"",
    b"%",
    b"%00",
    b"/",
    b"//",
    b"://",
    b"@",
    b"?",
    b"#",
    b"|",
    b";",
    b"..",
    b"[",
    b"]",
    b"-1",
    b"0",
    b"18446744073709551616",
    b"4294967295",
    b"ffffffffffffffff",
    b"HTTP/1.1",
    b"chunked",
    b"Content-Length: ",
    b"#EXTINF:",
    b"#EXT-X-KEY:",
    b"URI=\"",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\x47",
    b"\x00\x00\x01",
    b"\x1f\x8b\x08",
    b"http:",
    b"file:",
    b"udp://@",
    b"<",
    b"</",
    b"/>",
    b"&",
    b"<![CDATA[",
    b"<!DOCTYPE x [<!ENTITY a \"b\">]>",
    b"xmlns:a=",
    b"{",
    b"}",
    b"null",
    b"\\u0000",
    b"1e999",
    b"ST: ssdp:all",
    b"<programme channel=\"",
    b"<?xml version=\"1.0\" encoding=\"UTF-16\"?>",
];

fn mutated(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _change in 0..=random.below(8) {
        let at = random.below(bytes.len() + 1);
        match random.below(8) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.next().to_le_bytes()[0]),
            2 => {
                let word = WORDS[random.below(WORDS.len())];
                bytes.splice(at..at, word.iter().copied());
            }
            3 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            4 if at < bytes.len() => bytes[at] = random.next().to_le_bytes()[0],
            5 => {
                let end = (at + random.below(64)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            6 => {
                let end = (at + random.below(64)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
        bytes.truncate(BYTES_MAX);
    }
    bytes
}

/// What is kept for a target: what somebody has written down, and what was found by changing it (`grown.hex`, an input a line).
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut inputs = Vec::new();
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        if file.extension().is_some_and(|extension| extension == "hex") {
            inputs.extend(bytes.trim_ascii().split(|byte| *byte == b'\n').map(unhex));
        } else {
            inputs.push(bytes);
        }
    }
    inputs
}

fn unhex(digits: &[u8]) -> Vec<u8> {
    let pairs = digits.as_chunks::<2>().0.iter();
    pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Gives the target each of the seeds, and what is made of them.
fn play(seeds: &[Vec<u8>], target: fn(&[u8])) {
    for seed in seeds {
        target(seed);
    }
    for number in 0..INPUTS {
        let input = mutated(seeds, &mut Random(number));
        let taken = catch_unwind(AssertUnwindSafe(|| target(&input)));
        assert!(taken.is_ok(), "input {number} panics: {:?}", String::from_utf8_lossy(&input));
    }
}

/// Tables, and beginnings of pictures and sound: runs of some packets each.
fn streams() -> Vec<Vec<u8>> {
    let mut stream = Vec::new();
    tsgen::TsGen::new(tsgen::Params::new(2_000_000)).fill(Duration::from_millis(200), &mut stream);
    stream.chunks_exact(188 * 5).map(<[u8]>::to_vec).collect()
}

#[test]
fn request_heads() {
    play(&corpus("request_head"), hostile::request_head);
}

#[test]
fn upstream_heads_and_cookies() {
    play(&corpus("upstream_head"), hostile::upstream_head);
}

#[test]
fn chunked_bodies() {
    play(&corpus("chunked"), hostile::chunked);
}

#[test]
fn addresses_and_what_is_shown_of_them() {
    play(&corpus("address"), hostile::address);
}

#[test]
fn playlists() {
    play(&corpus("playlist"), hostile::playlist);
}

#[test]
fn hls_lists() {
    play(&corpus("hls_list"), hostile::hls_list);
}

#[test]
fn dash_manifests() {
    play(&corpus("manifest"), hostile::manifest);
}

#[test]
fn programme_guides() {
    play(&corpus("guide"), hostile::guide);
}

#[test]
fn datagrams_of_discovery() {
    play(&corpus("discovery"), hostile::discovery);
}

#[test]
fn upnp_actions() {
    play(&corpus("soap"), hostile::soap);
}

#[test]
fn json_of_clients_providers_and_ffprobe() {
    play(&corpus("json"), hostile::json);
}

#[test]
fn datagrams_of_sources() {
    play(&corpus("datagrams"), hostile::datagrams);
}

#[test]
fn packets_tables_and_pes_headers() {
    play(&[corpus("transport_stream"), streams()].concat(), hostile::transport_stream);
}

#[test]
fn splices() {
    let runs = streams().into_iter().map(|packets| [&[2, 1, 4, 0][..], &packets].concat());
    play(&[corpus("splice"), runs.collect()].concat(), hostile::splice);
}
