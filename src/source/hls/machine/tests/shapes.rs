//! Lists as they should be and as providers make them: what is asked for, when, and what comes of it.

use std::io::Write;

use super::super::*;
use super::world::{Answer, Asked, Live, Outcome, PACKETS, Run, number_in, segment};
use crate::source::hls::aes::tests::encrypt;

/// Segments of two seconds, six of them in the list.
const LIVE: Live = Live { segment_ms: 2000, window: 6, ready: 6 };

fn ts(number: u64) -> String {
    format!("{number}.ts")
}

fn is_list(asked: &Asked) -> bool {
    asked.url.split('?').next().unwrap().ends_with(".m3u8")
}

/// Serves a live list, and its segments by the number in their name.
fn serve(live: Live, list: impl Fn(u64) -> String) -> impl Fn(&Asked, u64) -> Answer {
    move |asked, now| match number_in(&asked.url) {
        _ if is_list(asked) => Answer::new(list(now)),
        Some(number) if live.has(now, number) => Answer::new(segment(number)),
        _ => Answer::refused(404),
    }
}

/// A live channel goes on without a hole from three target durations before the end of the first list, the viewer always has
/// a picture, each segment is asked for once, and the list as often as the standard wants.
fn assert_flows(name: &str, live: Live, run: &Run, outcome: &Outcome) {
    assert_eq!(outcome.failure, None, "{name}");
    outcome.assert_once();
    let segments = outcome.segments();
    let first = segments[0];
    let (_, end) = live.window(run.run_ms);
    assert_eq!(
        segments,
        (first..first + segments.len() as u64).collect::<Vec<_>>(),
        "{name}: in order, without a hole"
    );
    assert_eq!(first, live.ready.saturating_sub(3), "{name}: three target durations from the end");
    assert!(segments.last().unwrap() + 3 >= end, "{name}: {} of {end}", segments.last().unwrap());
    assert!(outcome.first_byte_at.unwrap() < 1000, "{name}: {:?} ms", outcome.first_byte_at);
    assert_eq!(outcome.starved_ms, 0, "{name}: the viewer always has a picture");
    assert_eq!((outcome.counters.segments_lost, outcome.counters.segments_skipped), (0, 0), "{name}");
    assert_polls(name, live, outcome);
}

/// Lists are asked for every target duration, every half of one while they do not change.
fn assert_polls(name: &str, live: Live, outcome: &Outcome) {
    let target = live.segment_ms.div_ceil(1000) * 1000;
    let polls = outcome.polls();
    for pair in polls.windows(2) {
        let wait = pair[1] - pair[0];
        assert!(
            (target / 2..=target + 100).contains(&wait),
            "{name}: asked again after {wait} ms: {polls:?}"
        );
    }
}

#[test]
fn lists_in_every_shape_flow() {
    type Shape = (&'static str, Box<dyn Fn(u64) -> String>);
    let shapes: Vec<Shape> = vec![
        ("plain", Box::new(|now| LIVE.list(now, ts))),
        ("carriage returns", Box::new(|now| LIVE.list(now, ts).replace('\n', "\r\n"))),
        ("a byte order mark", Box::new(|now| format!("\u{FEFF}{}", LIVE.list(now, ts)))),
        (
            "relative to the server's root",
            Box::new(|now| LIVE.list(now, |number| format!("/other/{number}.ts"))),
        ),
        (
            "whole addresses",
            Box::new(|now| LIVE.list(now, |number| format!("http://cdn.example:81/x/{number}.ts"))),
        ),
        ("without a scheme", Box::new(|now| LIVE.list(now, |number| format!("//cdn.example/x/{number}.ts")))),
        ("up and down", Box::new(|now| LIVE.list(now, |number| format!("../x/./{number}.ts")))),
        (
            "tokens that change with every list",
            Box::new(|now| LIVE.list(now, |number| format!("{number}.ts?t={now}"))),
        ),
        ("tokens in the path", Box::new(|now| LIVE.list(now, |number| format!("t{}/{number}.ts", now * 7)))),
        ("disguised as pictures", Box::new(|now| LIVE.list(now, |number| format!("{number}.jpg")))),
        ("without names", Box::new(|now| LIVE.list(now, |number| format!("x/{number:032}")))),
        (
            "times of day",
            Box::new(|now| {
                LIVE.list(now, |number| {
                    let (minute, second) = (number * 2 / 60, number * 2 % 60);
                    format!("#EXT-X-PROGRAM-DATE-TIME:2026-11-28T20:{minute:02}:{second:02}.000+01:00\n{number}.ts")
                })
            }),
        ),
        ("no target duration", Box::new(|now| LIVE.list(now, ts).replace("#EXT-X-TARGETDURATION:2\n", ""))),
        ("a target duration of 0", Box::new(|now| LIVE.list(now, ts).replace("DURATION:2", "DURATION:0"))),
        (
            "a target duration that is much too long",
            Box::new(|now| LIVE.list(now, ts).replace("DURATION:2", "DURATION:60")),
        ),
        (
            "a target duration that is too short",
            Box::new(|now| LIVE.list(now, ts).replace("DURATION:2", "DURATION:1")),
        ),
        ("no duration of segments", Box::new(|now| LIVE.list(now, ts).replace("#EXTINF:2.000,\n", ""))),
        (
            "durations of nonsense",
            Box::new(|now| LIVE.list(now, ts).replace("#EXTINF:2.000,", "#EXTINF:-1,")),
        ),
        (
            "spaces and decimals",
            Box::new(|now| {
                LIVE.list(now, ts).replace("DURATION:2", "DURATION: 2.0").replace("INF:", "INF: ")
            }),
        ),
        (
            "no sequence number",
            Box::new(|now| {
                let number = format!("#EXT-X-MEDIA-SEQUENCE:{}\n", LIVE.window(now).0);
                LIVE.list(now, ts).replace(&number, "")
            }),
        ),
        (
            "a sequence number that stays the same",
            Box::new(|now| {
                let number = format!("SEQUENCE:{}\n", LIVE.window(now).0);
                LIVE.list(now, ts).replace(&number, "SEQUENCE:1\n")
            }),
        ),
        (
            "random sequence numbers, and others for discontinuities",
            Box::new(|now| {
                let number = format!("SEQUENCE:{}\n", LIVE.window(now).0);
                let random =
                    format!("SEQUENCE:{}\n#EXT-X-DISCONTINUITY-SEQUENCE:{}\n", now * 7919 % 4001, now % 3);
                LIVE.list(now, ts).replace(&number, &random)
            }),
        ),
        (
            "EVENT",
            Box::new(|now| {
                let all = Live { window: 1000, ..LIVE };
                all.list(now, ts).replace("#EXT-X-VERSION:3", "#EXT-X-PLAYLIST-TYPE:EVENT")
            }),
        ),
        (
            "low latency, parts beside segments",
            Box::new(|now| {
                LIVE.list(now, |number| format!("#EXT-X-PART:DURATION=0.5,URI=\"p{number}.ts\"\n{number}.ts"))
                    + "#EXT-X-PART:DURATION=0.5,URI=\"p.ts\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"q.ts\"\n"
            }),
        ),
        ("packed by gzip", Box::new(|now| LIVE.list(now, ts))),
    ];
    for (name, list) in shapes {
        let run = Run::default();
        let answer = serve(LIVE, list);
        let outcome = run.play(|asked, now| {
            let answer = answer(asked, now);
            if name == "packed by gzip" && is_list(asked) { packed(&LIVE.list(now, ts)) } else { answer }
        });
        assert_flows(name, LIVE, &run, &outcome);
        assert_eq!(outcome.joints, [], "{name}");
    }
}

fn packed(text: &str) -> Answer {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text.as_bytes()).unwrap();
    Answer::new(packer.finish().unwrap())
}

#[test]
fn segments_of_every_length_flow_in_windows_of_every_size() {
    for (segment_ms, window) in
        [(1000, 3), (1000, 10), (2000, 3), (4000, 5), (6000, 3), (6000, 20), (10_000, 3), (10_000, 6)]
    {
        let live = Live { segment_ms, window, ready: window };
        for piece in [188, 1000, 64 * 1024] {
            let run = Run { segment_ms, piece, run_ms: 40 * segment_ms, ..Run::default() };
            let outcome = run.play(serve(live, |now| live.list(now, ts)));
            assert_flows(&format!("{segment_ms} ms, {window} segments"), live, &run, &outcome);
        }
    }
}

#[test]
fn a_live_list_is_asked_for_by_the_clock_of_the_standard() {
    let live = Live { segment_ms: 6000, window: 5, ready: 5 };
    let run = Run { segment_ms: 6000, run_ms: 40_000, ..Run::default() };
    // The provider is late once: one list is the same as the one before.
    let late = |now: u64| if (12_000..13_500).contains(&now) { 11_999 } else { now };
    let outcome = run.play(serve(live, |now| live.list(late(now), ts)));
    assert_eq!(outcome.polls(), [0, 6000, 12_000, 15_000, 21_000, 27_000, 33_000, 39_000]);
}

#[test]
fn the_first_segment_of_a_channel_that_is_just_being_made_is_delivered_within_a_second() {
    for (name, early) in [
        ("an empty list", Answer::new("#EXTM3U\n#EXT-X-TARGETDURATION:6\n")),
        ("a bare list", Answer::new("#EXTM3U\n")),
    ] {
        for first_at in [100, 1490, 5000] {
            let live = Live { segment_ms: 6000, window: 5, ready: 1 };
            let run = Run { segment_ms: 6000, run_ms: 30_000, ..Run::default() };
            let outcome = run.play(|asked, now| match now.checked_sub(first_at) {
                None => early.clone(),
                Some(now) => serve(live, |now| live.list(now, ts))(asked, now),
            });
            let at = outcome.first_byte_at.unwrap();
            assert!(at < first_at + 1000, "{name}: there at {first_at}, delivered at {at}");
            assert_eq!(outcome.segments()[..2], [0, 1]);
        }
    }
}

#[test]
fn a_list_of_a_single_segment_loses_none() {
    let live = Live { segment_ms: 10_000, window: 1, ready: 1 };
    let run = Run { segment_ms: 10_000, run_ms: 200_000, ..Run::default() };
    let outcome = run.play(|asked, now| serve(live, |now| live.list(now, ts))(asked, now + 7300));
    let segments = outcome.segments();
    assert_eq!(segments, (segments[0]..segments[0] + segments.len() as u64).collect::<Vec<_>>());
    assert_eq!((outcome.counters.segments_lost, outcome.failure), (0, None));
}

fn master(variants: &[&str]) -> String {
    let lines = variants.iter().map(|variant| {
        let (attributes, name) = variant.rsplit_once(' ').unwrap();
        format!("#EXT-X-STREAM-INF:{attributes}\n{name}\n")
    });
    "#EXTM3U\n".to_owned() + &lines.collect::<String>()
}

const SD: &str = "BANDWIDTH=200000,RESOLUTION=192x108 sd/index.m3u8";
const HD: &str = "BANDWIDTH=400000,RESOLUTION=320x180 hd/index.m3u8";

#[test]
fn one_variant_is_read_and_no_other_whatever_the_order() {
    for (variants, max, wanted) in [
        ([SD, HD], "", "/hd/"),
        ([HD, SD], "", "/hd/"),
        ([SD, HD], "108p", "/sd/"),
        ([HD, SD], "300k", "/sd/"),
    ] {
        let params = HlsParams { variant_max: max.parse().unwrap(), ..HlsParams::default() };
        let run = Run { source: "tv.example/master.m3u8", params, ..Run::default() };
        let outcome = run.play(|asked, now| match asked.url.as_str() {
            "tv.example/master.m3u8" => Answer::new(master(&variants)),
            _ => serve(LIVE, |now| LIVE.list(now, ts))(asked, now),
        });
        let name = format!("{variants:?} {max}");
        assert_flows(&name, LIVE, &run, &outcome);
        assert_eq!(outcome.count(|asked| !asked.url.contains(wanted)), 1, "{name}: the master list, once");
    }
}

#[test]
fn subtitles_and_captions_beside_a_variant_are_no_obstacle() {
    let text = "#EXTM3U\n\
         #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"Deutsch\",LANGUAGE=\"de\",URI=\"s.m3u8\"\n\
         #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"c\",NAME=\"English\",INSTREAM-ID=\"CC1\"\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"Deutsch\",LANGUAGE=\"de\",DEFAULT=YES\n\
         #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"i.m3u8\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\",SUBTITLES=\"s\",CLOSED-CAPTIONS=\"c\"\nhd/index.m3u8\n";
    let run = Run { source: "tv.example/master.m3u8", ..Run::default() };
    let outcome = run.play(|asked, now| match asked.url.as_str() {
        "tv.example/master.m3u8" => Answer::new(text),
        _ => serve(LIVE, |now| LIVE.list(now, ts))(asked, now),
    });
    assert_flows("subtitles", LIVE, &run, &outcome);
}

#[test]
fn a_variant_that_cannot_be_had_gives_way_to_the_next() {
    let run = Run { source: "tv.example/master.m3u8", ..Run::default() };
    let outcome = run.play(|asked, now| match asked.url.as_str() {
        "tv.example/master.m3u8" => Answer::new(master(&[SD, HD])),
        url if url.contains("/hd/") => Answer::refused(404),
        _ => serve(LIVE, |now| LIVE.list(now, ts))(asked, now),
    });
    assert_flows("the lesser variant", LIVE, &run, &outcome);
    let none = run.play(|asked, _| match asked.url.as_str() {
        "tv.example/master.m3u8" => Answer::new(master(&[SD, HD])),
        url if url.contains("/hd/") => Answer::refused(403),
        _ => Answer::refused(404),
    });
    assert_eq!(
        none.failure,
        Some(Failure::Request(SourceError::status(403, "", None))),
        "why the best one cannot be had"
    );
    assert_eq!(none.asked.len(), 3);
}

#[test]
fn what_is_whole_is_delivered_from_its_beginning_to_its_end_at_the_viewers_pace() {
    let text = |kind: &str, end: &str| {
        let lines: String = (0..30).map(|number| format!("#EXTINF:2,\n{number}.ts\n")).collect();
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{kind}{lines}{end}")
    };
    for (kind, end, lists) in [
        ("#EXT-X-PLAYLIST-TYPE:VOD\n", "#EXT-X-ENDLIST\n", 1),
        ("", "#EXT-X-ENDLIST", 1),
        ("#EXT-X-PLAYLIST-TYPE:EVENT\n", "#EXT-X-ENDLIST", 1),
        // The last line is missing: it is known by its kind, and asked for until that is certain.
        ("#EXT-X-PLAYLIST-TYPE:VOD\n", "", 60),
    ] {
        let run = Run { run_ms: 120_000, ..Run::default() };
        let outcome = run.play(|asked, _| match number_in(&asked.url) {
            _ if is_list(asked) => Answer::new(text(kind, end)),
            Some(number) => Answer::new(segment(number)),
            None => Answer::refused(404),
        });
        assert_eq!(outcome.segments(), (0..30).collect::<Vec<_>>(), "{kind}{end}");
        assert_eq!((outcome.failure.clone(), outcome.starved_ms), (None, 0));
        assert!(
            outcome.ended_at.is_some_and(|at| at >= 48_000),
            "not faster than it is read: {:?}",
            outcome.ended_at
        );
        assert!(outcome.polls().len() <= lists, "{kind}{end}: {} lists", outcome.polls().len());
        outcome.assert_once();
    }
}

#[test]
fn a_live_list_that_says_that_it_has_ended_is_read_to_its_end() {
    let run = Run { run_ms: 120_000, ..Run::default() };
    let text = |now: u64| {
        let list = LIVE.list(now.min(20_000), ts);
        if now >= 20_000 { list + "#EXT-X-ENDLIST\n" } else { list }
    };
    let outcome = run.play(serve(LIVE, text));
    assert_eq!(outcome.segments(), (3..16).collect::<Vec<_>>());
    assert!(outcome.failure.is_none() && outcome.ended_at.is_some());
    let last = outcome.polls().last().copied();
    assert!(last.is_some_and(|at| at < 24_000), "and not asked for again: {last:?}");
}

#[test]
fn keys_are_fetched_once_each_and_segments_decrypted() {
    let key = |number: u64| [u8::try_from(number % 251).unwrap(); 16];
    type Shape = (&'static str, fn(u64) -> String, fn(u64) -> (u64, [u8; 16]));
    let shapes: [Shape; 4] = [
        // Each: what stands before a segment, and the number of its key and its vector.
        (
            "one key, by sequence number",
            |_| "#EXT-X-KEY:METHOD=AES-128,URI=\"k0\"".to_owned(),
            |number| (0, u128::from(number).to_be_bytes()),
        ),
        (
            "one key, a vector for each",
            |number| format!("#EXT-X-KEY:METHOD=AES-128,URI=\"k0\",IV=0x{:032x}", number * 3),
            |number| (0, u128::from(number * 3).to_be_bytes()),
        ),
        (
            "another key every four segments",
            |number| format!("#EXT-X-KEY:METHOD=AES-128,URI=\"/keys/k{}\"", number / 4),
            |number| (number / 4, u128::from(number).to_be_bytes()),
        ),
        (
            "another key every segment",
            |number| {
                format!("#EXT-X-KEY:METHOD=AES-128,URI=\"http://keys.example/k{number}?t=1\",IV=0x{number:x}")
            },
            |number| (number, u128::from(number).to_be_bytes()),
        ),
    ];
    for (name, tag, secret) in shapes {
        let run = Run::default();
        let outcome = run.play(|asked, now| match (asked.item, number_in(&asked.url)) {
            (Item::List, _) => Answer::new(LIVE.list(now, |number| format!("{}\n{number}.ts", tag(number)))),
            (Item::Key, Some(number)) => Answer::new(key(number)),
            (Item::Segment { .. }, Some(number)) if LIVE.has(now, number) => {
                let (of, iv) = secret(number);
                Answer::new(encrypt(&segment(number), &key(of), &iv, number % 2 == 0))
            }
            _ => Answer::refused(404),
        });
        assert_flows(name, LIVE, &run, &outcome);
        let keys: std::collections::BTreeSet<_> =
            outcome.segments().into_iter().map(|number| secret(number).0).collect();
        let fetched = outcome.count(|asked| asked.item == Item::Key);
        assert!((keys.len()..=keys.len() + 1).contains(&fetched), "{name}: {fetched} of {}", keys.len());
    }
}

#[test]
fn a_stream_that_is_encrypted_in_part_flows() {
    let run = Run::default();
    let outcome = run.play(|asked, now| match (asked.item, number_in(&asked.url)) {
        (Item::List, _) => Answer::new(LIVE.list(now, |number| {
            let method = if number % 3 == 0 { "METHOD=NONE" } else { "METHOD=AES-128,URI=\"k\"" };
            format!("#EXT-X-KEY:{method}\n{number}.ts")
        })),
        (Item::Key, _) => Answer::new([9; 16]),
        (Item::Segment { .. }, Some(number)) if number % 3 == 0 => Answer::new(segment(number)),
        (Item::Segment { .. }, Some(number)) => {
            Answer::new(encrypt(&segment(number), &[9; 16], &u128::from(number).to_be_bytes(), true))
        }
        _ => Answer::refused(404),
    });
    assert_flows("NONE between AES-128", LIVE, &run, &outcome);
    assert_eq!(outcome.counters.keys, 1);
}

#[test]
fn parts_of_one_resource_are_asked_for_by_range() {
    let size = PACKETS * 188;
    let whole: Vec<u8> = (0..60).flat_map(segment).collect();
    type Shape = (&'static str, fn(u64, u64) -> String, bool);
    let shapes: [Shape; 3] = [
        ("with offsets", |number, size| format!("#EXT-X-BYTERANGE:{size}@{}\nall.ts", number * size), true),
        (
            "without",
            |number, size| match number % 4 {
                0 => format!("#EXT-X-BYTERANGE:{size}@{}\nall.ts", number * size),
                _ => format!("#EXT-X-BYTERANGE:{size}\nall.ts"),
            },
            true,
        ),
        (
            "a server that does not know them",
            |number, size| format!("#EXT-X-BYTERANGE:{size}@{}\nall.ts", number * size),
            false,
        ),
    ];
    for (name, line, knows_ranges) in shapes {
        let run = Run { run_ms: 120_000, ..Run::default() };
        let lines: String = (0..40).map(|number| format!("#EXTINF:2,\n{}\n", line(number, size))).collect();
        let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-VERSION:4\n{lines}#EXT-X-ENDLIST\n");
        let outcome = run.play(|asked, _| match asked.item {
            Item::List => Answer::new(text.clone()),
            Item::Key | Item::Segment { .. } if knows_ranges => Answer::new(whole.clone()).part(asked.range),
            Item::Key | Item::Segment { .. } => Answer::new(whole.clone()),
        });
        assert_eq!(outcome.segments(), (0..40).collect::<Vec<_>>(), "{name}");
        assert_eq!(outcome.failure, None);
        outcome.assert_once();
    }
}

#[test]
fn discontinuities_are_given_on_with_the_segment_they_precede() {
    type Shape = (&'static str, fn(u64) -> bool);
    let shapes: [Shape; 3] = [
        ("now and then", |number| number % 7 == 0),
        ("before every segment", |_| true),
        ("before the first one of all", |number| number == 3),
    ];
    for (name, is_discontinuous) in shapes {
        let run = Run::default();
        let outcome = run.play(serve(LIVE, |now| {
            LIVE.list(now, |number| {
                let tag = if is_discontinuous(number) { "#EXT-X-DISCONTINUITY\n" } else { "" };
                format!("{tag}{number}.ts")
            })
        }));
        assert_flows(name, LIVE, &run, &outcome);
        let expected: Vec<_> = outcome
            .segments()
            .into_iter()
            // Nothing comes before the first one.
            .skip(1)
            .filter(|number| is_discontinuous(*number))
            .map(|number| (number, Joint::Discontinuity))
            .collect();
        assert_eq!(outcome.joints, expected, "{name}");
    }
}

#[test]
fn what_stands_before_the_packets_is_dropped() {
    let png = b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01IEND\xAEB`\x82".to_vec();
    let id3 = b"ID3\x04\0\0\0\0\0\x3F".iter().copied().chain([0; 63]).collect();
    for (name, front) in
        [("a picture", png), ("a poster", vec![0xFE; 100_000]), ("ID3", id3), ("one byte", vec![0])]
    {
        for piece in [13, 188, 64 * 1024] {
            let run = Run { piece, ..Run::default() };
            let outcome = run.play(|asked, now| match number_in(&asked.url) {
                _ if is_list(asked) => Answer::new(LIVE.list(now, ts)),
                Some(number) => Answer::new([front.as_slice(), &segment(number)].concat()),
                None => Answer::refused(404),
            });
            assert_flows(name, LIVE, &run, &outcome);
        }
    }
}

#[test]
fn addresses_are_relative_to_where_redirects_have_led() {
    let run = Run { source: "panel.example/live/user/pass/1.m3u8", ..Run::default() };
    let outcome = run.play(|asked, now| match asked.url.as_str() {
        "panel.example/live/user/pass/1.m3u8" => {
            Answer::new(LIVE.list(now, ts)).at("edge7.example/hls/abc/index.m3u8")
        }
        url if url.starts_with("edge7.example/hls/abc/") => serve(LIVE, |now| LIVE.list(now, ts))(asked, now),
        url => panic!("{url}"),
    });
    assert_flows("a redirected list", LIVE, &run, &outcome);
    assert_eq!(
        outcome.count(|asked| asked.url.starts_with("panel")),
        1,
        "the panel is asked once, not for every list"
    );
    let outcome = run.play(|asked, now| match number_in(&asked.url) {
        _ if is_list(asked) => Answer::new(LIVE.list(now, ts)),
        Some(number) => Answer::new(segment(number)).at("cdn.example/somewhere/else.ts"),
        None => Answer::refused(404),
    });
    assert_flows("redirected segments", LIVE, &run, &outcome);
}

#[test]
fn a_list_that_wants_to_be_played_from_somewhere_is() {
    for (tag, first) in [
        ("TIME-OFFSET=-4.0", 4),
        ("TIME-OFFSET=-11,PRECISE=YES", 0),
        ("TIME-OFFSET=0.01", 3),
        ("TIME-OFFSET=-0.1", 5),
        ("TIME-OFFSET=x", 3),
    ] {
        let run = Run::default();
        let outcome =
            run.play(serve(LIVE, |now| LIVE.list(now, ts).replace("VERSION:3", &format!("START:{tag}"))));
        assert_eq!((outcome.segments()[0], outcome.failure), (first, None), "{tag}");
    }
}

#[test]
fn a_list_with_five_hours_in_it_is_begun_near_its_end() {
    let live = Live { segment_ms: 4000, window: 4500, ready: 4500 };
    let run = Run { segment_ms: 4000, run_ms: 60_000, ..Run::default() };
    let outcome = run.play(serve(live, |now| live.list(now, ts)));
    assert_flows("five hours", live, &run, &outcome);
}
