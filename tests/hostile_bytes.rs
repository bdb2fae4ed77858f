//! Bytes from outside never panic, and nothing that is made of them is larger than it may be: what parses them is given what
//! providers and clients send (`tests/corpus`), cut, repeated, spliced and changed, a hundred thousand times each. A failure prints
//! the number of the input; each is a function of its number.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use support::tsgen;
use tunerd::base::{Instant, redact};
use tunerd::catalog::m3u;
use tunerd::http::{Dechunker, Parsed, Url, parse, parse_response, stream_route};
use tunerd::source::hls;
use tunerd::source::list;
use tunerd::ts::psi::{Pat, Pmt, Section, SectionAssembler};
use tunerd::ts::{Aligner, Inspector, Packet, PacketBytes, PesStart, PesTimes, pes_bytes};

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

fn corpus(names: &[&str]) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    names.iter().map(|name| std::fs::read(folder.join(name)).unwrap()).collect()
}

/// Gives each input to `take`.
fn play(seeds: &[Vec<u8>], inputs: u64, mut take: impl FnMut(Vec<u8>)) {
    for seed in seeds {
        take(seed.clone());
    }
    for number in 0..inputs {
        let input = mutated(seeds, &mut Random(number));
        let taken = catch_unwind(AssertUnwindSafe(|| take(input.clone())));
        assert!(taken.is_ok(), "input {number} panics: {:?}", String::from_utf8_lossy(&input));
    }
}

#[test]
fn request_heads() {
    play(&corpus(&["request-get.txt", "request-post.txt"]), INPUTS, |bytes| {
        if let Ok(Parsed::Complete { request, head_bytes }) = parse(&bytes) {
            assert!(head_bytes <= bytes.len());
            let _route = stream_route(&request);
            assert!(request.query_pairs().count() <= bytes.len());
        }
    });
}

#[test]
fn upstream_heads() {
    play(&corpus(&["answer-stream.txt", "answer-icy.txt"]), INPUTS, |bytes| {
        let _parsed = parse_response(&bytes);
    });
}

#[test]
fn chunked_bodies() {
    play(&corpus(&["chunked.txt"]), INPUTS, |mut bytes| {
        let (whole, half) = (bytes.clone(), bytes.len() / 2);
        let mut at_once = Dechunker::new();
        let decoded = at_once.decode(&mut bytes);
        let mut in_two = Dechunker::new();
        let (mut first, mut second) = (whole[..half].to_vec(), whole[half..].to_vec());
        let pieces = in_two.decode(&mut first).and_then(|one| Ok((one, in_two.decode(&mut second)?)));
        match (decoded, pieces) {
            (Ok(whole), Ok((one, two))) => {
                assert_eq!(whole.body_bytes, one.body_bytes + two.body_bytes);
                let joined = [&first[..one.body_bytes], &second[..two.body_bytes]].concat();
                assert_eq!(bytes[..whole.body_bytes], joined);
            }
            (Err(_), Err(_)) => {}
            (whole, pieces) => panic!("at once {whole:?}, in two {pieces:?}"),
        }
    });
}

#[test]
fn urls_and_what_is_shown_of_them() {
    let base = Url::parse("http://u:p@h:8080/a/b?c").unwrap();
    play(&corpus(&["url-plain.txt", "url-relative.txt"]), INPUTS, |bytes| {
        let text = String::from_utf8_lossy(&bytes);
        for url in [Url::parse(&text), base.join(&text)].into_iter().flatten() {
            // What is sent in a request's first line cannot end it.
            assert!(
                url.target().starts_with('/') && url.target().bytes().all(|byte| byte.is_ascii_graphic())
            );
            assert_eq!(Url::parse(&url.text()).map(|again| again.text()), Ok(url.text()));
        }
        assert!(
            !redact::url(&text).contains(char::is_control) && !redact::text(&text).contains(char::is_control)
        );
    });
}

#[test]
fn playlists() {
    let base = Url::parse("http://h/x.m3u").unwrap();
    play(&corpus(&["list.m3u", "stations.pls"]), INPUTS / 4, |bytes| {
        for item in m3u::Entries::new(&bytes[..]) {
            let item = item.expect("memory can be read");
            assert!(item.url.len() <= m3u::URL_BYTES_MAX && item.attrs.len() <= m3u::ATTRIBUTES_MAX);
            // No header field can begin another one.
            assert!(
                item.headers
                    .iter()
                    .all(|(name, value)| !name.contains(['\r', '\n', ':']) && !value.contains(['\r', '\n']))
            );
        }
        assert!(list::entries(&bytes, &base).len() <= 8);
    });
}

#[test]
fn hls_lists() {
    let url = Url::parse("http://h/live/x.m3u8").unwrap();
    let now = Instant::from_millis(1000);
    play(&corpus(&["master.m3u8", "media.m3u8"]), INPUTS / 4, |bytes| {
        let _rewritten = hls::rewritten(&bytes, &url, |url| format!("http://127.0.0.1/{}", url.target()));
        let mut machine = hls::Machine::new(url.clone(), hls::HlsParams::default(), 7, now);
        // Lists, a key and the beginning of a segment, all of them the same bytes.
        for turn in 0..4 {
            let hls::HlsWant::Fetch(fetch) = machine.want(now + Duration::from_secs(turn), true) else {
                break;
            };
            machine.answered(fetch.url, 200);
            let mut body = bytes.clone();
            assert!(machine.body(now, &mut body) <= body.len());
            machine.complete(now);
        }
    });
}

#[test]
fn packets_tables_and_pes_headers() {
    let mut stream = Vec::new();
    tsgen::TsGen::new(tsgen::Params::new(2_000_000)).fill(Duration::from_millis(200), &mut stream);
    // Tables, and beginnings of pictures and sound: runs of some packets each.
    let seeds: Vec<Vec<u8>> = stream.chunks_exact(188 * 5).map(<[u8]>::to_vec).collect();
    let mut inspector = Inspector::new();
    let mut position = 0;
    play(&seeds, INPUTS / 4, |mut bytes| {
        let mut aligner = Aligner::new();
        assert!(aligner.align(&mut bytes.clone()).packets_bytes <= bytes.len());
        let mut assembler = SectionAssembler::new();
        let (mut starts, mut sections) = (true, 0);
        for packet in bytes.chunks_exact_mut(188) {
            packet[0] = 0x47;
            let packet: &PacketBytes = (&*packet).try_into().unwrap();
            // One inspector for all: what it remembers of one input meets the next.
            inspector.packet(position, packet);
            position += 188;
            assembler.feed(&packet[4..], starts, true, |section| {
                sections += 1;
                if let Ok(section) = Section::parse(section) {
                    let _programmes = Pat::parse(section).map(|pat| pat.programmes().count());
                    let _streams = Pmt::parse(section).map(|pmt| pmt.streams().len());
                }
            });
            starts = !starts;
            let payload = &packet[4..];
            let _start = (pes_bytes(payload), PesStart::read(payload));
            let _times = Packet::parse(packet).ok().and_then(PesTimes::begun_in);
        }
        let _inventory = inspector.inventory();
        assert!(sections <= bytes.len());
    });
}
