//! What goes wrong at providers, and that it costs as little as it must.

use super::super::*;
use super::world::{Answer, Asked, Live, PACKETS, Run, number_in, segment};
use crate::source::body::{Body, Sound};

const LIVE: Live = Live { segment_ms: 2000, window: 6, ready: 6 };

fn ts(number: u64) -> String {
    format!("{number}.ts")
}

fn healthy(asked: &Asked, now: u64) -> Answer {
    match (asked.item, number_in(&asked.url)) {
        (Item::List, _) => Answer::new(LIVE.list(now, ts)),
        (Item::Segment { .. }, Some(number)) if LIVE.has(now, number) => {
            Answer::new(segment(number)).part(asked.range)
        }
        _ => Answer::refused(404),
    }
}

fn of_segment(asked: &Asked) -> Option<u64> {
    matches!(asked.item, Item::Segment { .. }).then(|| number_in(&asked.url)).flatten()
}

/// All from the third before the end of the first list on, but these.
fn without(missing: &[u64], last: u64) -> Vec<u64> {
    (3..=last).filter(|number| !missing.contains(number)).collect()
}

#[test]
fn a_segment_that_is_not_there_is_passed_over_and_not_asked_for_again() {
    type Fault = (&'static str, fn() -> Answer);
    let faults: [Fault; 8] = [
        ("404", || Answer::refused(404)),
        ("410", || Answer::refused(410)),
        ("a page", || Answer::new("<html><body>Not found</body></html>")),
        ("JSON", || Answer::new("{\"error\":\"gone\"}")),
        ("nothing", || Answer::new("")),
        ("a picture", || Answer::new(b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR".to_vec())),
        ("gzip", || Answer::new([b"\x1F\x8B\x08\0".as_slice(), &[7; 500]].concat())),
        ("noise without an end", || Answer::new(vec![0xEE; 2_000_000])),
    ];
    for (name, fault) in faults {
        let run = Run::default();
        let outcome = run.play(|asked, now| match of_segment(asked) {
            Some(10) => fault(),
            Some(_) | None => healthy(asked, now),
        });
        let segments = outcome.segments();
        assert_eq!(segments, without(&[10], *segments.last().unwrap()), "{name}");
        assert_eq!(outcome.joints, [(11, Joint::Gap)], "{name}");
        assert_eq!((outcome.counters.segments_skipped, outcome.failure.clone()), (1, None), "{name}");
        outcome.assert_once();
    }
}

#[test]
fn a_segment_that_may_come_yet_is_asked_for_again_for_a_while() {
    for status in [500, 502, 503, 429, 408] {
        for times in [1, 2, 3] {
            let run = Run::default();
            let counted = std::cell::Cell::new(0);
            let outcome = run.play(|asked, now| match of_segment(asked) {
                Some(10) if counted.get() < times => {
                    counted.set(counted.get() + 1);
                    Answer::refused(status)
                }
                Some(_) | None => healthy(asked, now),
            });
            let segments = outcome.segments();
            let missing = if times == 3 { &[10][..] } else { &[] };
            assert_eq!(segments, without(missing, *segments.last().unwrap()), "{status}, {times} times");
            assert_eq!(outcome.starved_ms, 0);
            let asked: Vec<_> = outcome
                .asked
                .iter()
                .filter(|asked| of_segment(asked) == Some(10))
                .map(|asked| asked.at)
                .collect();
            let waits: Vec<_> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(waits.iter().all(|wait| *wait >= 187) && waits.is_sorted(), "they grow: {waits:?}");
        }
    }
}

#[test]
fn a_segment_that_is_cut_off_is_gone_on_with_where_it_was_cut() {
    for cut in [0, 1, 100, 188, 700, 1503] {
        for knows_ranges in [true, false] {
            let run = Run::default();
            let counted = std::cell::Cell::new(0);
            let outcome = run.play(|asked, now| match of_segment(asked) {
                Some(10) => {
                    counted.set(counted.get() + 1);
                    match (counted.get(), knows_ranges) {
                        (1, _) => Answer::new(segment(10)).cut(cut),
                        (_, true) => Answer::new(segment(10)).part(asked.range),
                        (_, false) => Answer::new(segment(10)),
                    }
                }
                Some(_) | None => healthy(asked, now),
            });
            let segments = outcome.segments();
            assert_eq!(
                segments,
                without(&[], *segments.last().unwrap()),
                "cut at {cut}, ranges {knows_ranges}"
            );
            assert_eq!((outcome.joints.len(), outcome.failure), (0, None));
        }
    }
}

#[test]
fn a_window_that_slides_faster_than_it_is_read_is_gone_on_with_at_its_beginning() {
    // Twice as fast as the viewer sees it.
    let live = Live { segment_ms: 1000, window: 6, ready: 6 };
    let run = Run { segment_ms: 2000, ..Run::default() };
    let outcome = run.play(|asked, now| match (asked.item, number_in(&asked.url)) {
        (Item::List, _) => Answer::new(live.list(now, ts)),
        (Item::Segment { .. }, Some(number)) if live.has(now, number) => Answer::new(segment(number)),
        _ => Answer::refused(404),
    });
    let segments = outcome.segments();
    assert!(segments.is_sorted() && outcome.failure.is_none() && outcome.starved_ms == 0, "{segments:?}");
    assert!(outcome.counters.segments_lost > 10, "{:?}", outcome.counters);
    let holes = segments.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert_eq!(outcome.joints.len(), holes);
    assert!(outcome.joints.iter().all(|(_, joint)| *joint == Joint::Gap));
    outcome.assert_once();
}

#[test]
fn media_that_is_slower_than_its_clock_is_followed() {
    // A segment of 2 s every 3 s: the viewer must wait, and nothing is lost.
    let live = Live { segment_ms: 3000, window: 6, ready: 6 };
    let run = Run { segment_ms: 2000, ..Run::default() };
    let outcome = run.play(|asked, now| match (asked.item, number_in(&asked.url)) {
        (Item::List, _) => {
            Answer::new(live.list(now, ts).replace("INF:3", "INF:2").replace("DURATION:3", "DURATION:2"))
        }
        (Item::Segment { .. }, Some(number)) if live.has(now, number) => Answer::new(segment(number)),
        _ => Answer::refused(404),
    });
    let segments = outcome.segments();
    assert_eq!(segments, without(&[], *segments.last().unwrap()));
    assert_eq!(outcome.failure, None);
    outcome.assert_once();
    let polls = outcome.polls();
    assert!(polls.windows(2).all(|pair| (1000..=2100).contains(&(pair[1] - pair[0]))), "{polls:?}");
}

#[test]
fn numbers_that_begin_anew_are_followed_at_once() {
    let restart = 21_000;
    let after = Live { ready: 4, ..LIVE };
    type Shape = (&'static str, fn(u64) -> String, fn(u64) -> String);
    let shapes: [Shape; 2] = [
        ("other names", ts, |number| format!("new{}.ts", number + 1000)),
        (
            "times of day",
            |number| {
                format!(
                    "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:{:02}:{:02}Z\n{number}.ts",
                    number * 2 / 60,
                    number * 2 % 60
                )
            },
            |number| {
                let second = 200 + number * 2;
                format!(
                    "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:{:02}:{:02}Z\n{}.ts",
                    second / 60,
                    second % 60,
                    number + 1000
                )
            },
        ),
    ];
    for (name, before_line, after_line) in shapes {
        let run = Run::default();
        let outcome =
            run.play(|asked, now| match (asked.item, number_in(&asked.url), now.checked_sub(restart)) {
                (Item::List, _, None) => Answer::new(LIVE.list(now, before_line)),
                (Item::List, _, Some(now)) => Answer::new(after.list(now, after_line)),
                (Item::Segment { .. }, Some(number), _) => Answer::new(segment(number)),
                _ => Answer::refused(404),
            });
        let segments = outcome.segments();
        let old = segments.iter().filter(|number| **number < 1000).count();
        let new: Vec<_> = segments[old..].to_vec();
        assert_eq!(segments[..old], (3..3 + old as u64).collect::<Vec<_>>(), "{name}");
        assert_eq!(new, (new[0]..new[0] + new.len() as u64).collect::<Vec<_>>(), "{name}");
        assert!(new[0] <= 1001 && new.len() >= 18, "{name}: {new:?}");
        assert_eq!(
            (outcome.counters.resets, outcome.failure.clone(), outcome.starved_ms),
            (1, None, 0),
            "{name}"
        );
        assert_eq!(outcome.joints.len(), 1, "{name}");
        outcome.assert_once();
    }
}

#[test]
fn an_older_copy_of_the_list_changes_nothing() {
    // One server of two is six seconds behind.
    let run = Run::default();
    let outcome = run.play(|asked, now| match asked.item {
        Item::List if now > 5000 && now / 1000 % 3 == 0 => Answer::new(LIVE.list(now - 6000.min(now), ts)),
        Item::List | Item::Key | Item::Segment { .. } => healthy(asked, now),
    });
    let segments = outcome.segments();
    assert_eq!(segments, without(&[], *segments.last().unwrap()));
    assert_eq!((outcome.counters.resets, outcome.failure.clone()), (0, None));
    outcome.assert_once();
}

#[test]
fn lists_without_segments_in_between_are_passed_over() {
    for text in ["#EXTM3U\n#EXT-X-TARGETDURATION:2\n", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-ENDLIST\n"] {
        let run = Run::default();
        let outcome = run.play(|asked, now| match asked.item {
            Item::List if (10_000..14_000).contains(&now) => Answer::new(text),
            Item::List | Item::Key | Item::Segment { .. } => healthy(asked, now),
        });
        let segments = outcome.segments();
        assert_eq!(segments, without(&[], *segments.last().unwrap()));
        assert_eq!((outcome.ended_at, outcome.starved_ms), (None, 0));
    }
}

#[test]
fn a_list_that_goes_stale_is_given_up_when_patience_is_over() {
    let run = Run { run_ms: 120_000, ..Run::default() };
    let outcome = run.play(|asked, now| match asked.item {
        Item::List => Answer::new(LIVE.list(now.min(9000), ts)),
        Item::Key | Item::Segment { .. } => healthy(asked, now),
    });
    assert_eq!(outcome.failure, Some(Failure::Stale(Duration::from_secs(10))));
    assert_eq!(outcome.segments(), (3..10).collect::<Vec<_>>(), "all that was listed was delivered");
    let waits: Vec<_> = outcome.polls().windows(2).map(|pair| pair[1] - pair[0]).skip(6).collect();
    assert!(waits.iter().all(|wait| *wait == 1000), "half a target duration: {waits:?}");
    let slow = Live { segment_ms: 6000, window: 5, ready: 5 };
    let run = Run { segment_ms: 6000, run_ms: 200_000, ..Run::default() };
    let outcome = run.play(|asked, now| match asked.item {
        Item::List => Answer::new(slow.list(now.min(9000), ts)),
        Item::Key | Item::Segment { .. } => Answer::new(segment(number_in(&asked.url).unwrap())),
    });
    assert_eq!(outcome.failure, Some(Failure::Stale(Duration::from_secs(18))), "three target durations");
}

#[test]
fn a_list_that_cannot_be_had_for_a_while_is_asked_for_in_growing_waits() {
    for (name, fault, is_slow) in [
        ("503", Answer::refused(503), false),
        ("404", Answer::refused(404), false),
        ("a page", Answer::new("<html>maintenance</html>"), false),
        ("silence", Answer::new("").takes(60_000), true),
    ] {
        let run = Run::default();
        let outcome = run.play(|asked, now| match asked.item {
            Item::List if (10_000..13_000).contains(&now) => fault.clone(),
            Item::List | Item::Key | Item::Segment { .. } => healthy(asked, now),
        });
        let segments = outcome.segments();
        assert!(segments.is_sorted() && outcome.failure.is_none(), "{name}: {segments:?}");
        if !is_slow {
            assert_eq!(segments, without(&[], *segments.last().unwrap()), "{name}");
            assert_eq!(outcome.starved_ms, 0, "{name}");
            let polls: Vec<_> =
                outcome.polls().into_iter().filter(|at| (10_000..14_500).contains(at)).collect();
            assert!((3..=7).contains(&polls.len()), "{name}: {polls:?}");
        }
    }
    let run = Run { run_ms: 120_000, ..Run::default() };
    let outcome = run.play(|asked, now| match asked.item {
        Item::List if now > 10_000 => Answer::refused(403),
        Item::List | Item::Key | Item::Segment { .. } => healthy(asked, now),
    });
    assert_eq!(outcome.failure, Some(Failure::Request(SourceError::status(403, "", None))));
    assert!(outcome.ended_at.is_some_and(|at| at < 30_000), "{:?}", outcome.ended_at);
}

#[test]
fn a_provider_that_says_when_to_come_again_is_left_alone_until_then() {
    let run = Run::default();
    let outcome = run.play(|asked, now| match asked.item {
        Item::List if (10_000..10_500).contains(&now) => Answer::refused(503).retry_after(3),
        Item::List | Item::Key | Item::Segment { .. } => healthy(asked, now),
    });
    let refused = outcome.asked.iter().position(|asked| asked.status == 503).unwrap();
    let next = outcome.asked[refused + 1..].iter().find(|asked| asked.item == Item::List).unwrap();
    assert_eq!(next.at - outcome.asked[refused].at, 3020);
}

#[test]
fn what_redirects_led_to_may_expire() {
    // The panel gives each visitor an edge for 20 s.
    let run = Run { source: "panel.example/1.m3u8", ..Run::default() };
    let outcome = run.play(|asked, now| {
        let era = now / 20_000;
        match asked.url.strip_prefix("panel.example/1.m3u8") {
            Some(_) => Answer::new(LIVE.list(now, ts)).at(&format!("edge.example/t{era}/index.m3u8")),
            None if asked.url.starts_with(&format!("edge.example/t{era}/")) => healthy(asked, now),
            None => Answer::refused(403),
        }
    });
    let segments = outcome.segments();
    assert_eq!(segments, without(&[], *segments.last().unwrap()));
    assert_eq!((outcome.failure, outcome.starved_ms), (None, 0));
    let panel = outcome.asked.iter().filter(|asked| asked.url.starts_with("panel")).count();
    assert!((3..=4).contains(&panel), "once for each era: {panel}");
}

#[test]
fn what_a_master_list_led_to_may_expire() {
    let run = Run { source: "tv.example/master.m3u8", ..Run::default() };
    let outcome = run.play(|asked, now| {
        let era = now / 15_000;
        match asked.url.as_str() {
            "tv.example/master.m3u8" => {
                Answer::new(format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nt{era}/index.m3u8\n"))
            }
            url if url.starts_with(&format!("tv.example/t{era}/")) => healthy(asked, now),
            _ => Answer::refused(410),
        }
    });
    let segments = outcome.segments();
    // A segment that was listed before its address expired, and asked for behind, is gone.
    let missing: Vec<u64> =
        (3..=*segments.last().unwrap()).filter(|number| !segments.contains(number)).collect();
    assert!(missing.len() <= 3, "{missing:?}");
    assert_eq!((outcome.failure, outcome.starved_ms), (None, 0));
}

#[test]
fn a_segment_whose_token_has_expired_is_asked_for_by_the_address_of_a_new_list() {
    // The tokens of a list hold for 3 s; segments are asked for later than that when the viewer is slow.
    let run = Run { burst_ms: 4000, ..Run::default() };
    let outcome = run.play(|asked, now| match (asked.item, number_in(&asked.url)) {
        (Item::List, _) => Answer::new(LIVE.list(now, |number| format!("{number}.ts?t={now}"))),
        (Item::Segment { .. }, Some(number)) => {
            let made: u64 = asked.url.rsplit_once('=').unwrap().1.parse().unwrap();
            if now <= made + 700 { Answer::new(segment(number)) } else { Answer::refused(403) }
        }
        _ => Answer::refused(404),
    });
    let segments = outcome.segments();
    assert_eq!(segments, without(&[], *segments.last().unwrap()));
    assert_eq!((outcome.failure, outcome.counters.segments_skipped), (None, 0));
}

#[test]
fn what_is_read_by_others_is_said_before_a_segment_is_asked_for() {
    for (name, text, why, requests) in [
        ("fragmented MP4", LIVE.list(0, |number| format!("#EXT-X-MAP:URI=\"i.mp4\"\n{number}.m4s")), Unreadable::FragmentedMp4, 1),
        ("samples", LIVE.list(0, |number| format!("#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k\"\n{number}.ts")), Unreadable::SampleAes, 1),
        ("DRM", LIVE.list(0, |number| format!("#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://k\",KEYFORMAT=\"com.apple.streamingkeydelivery\"\n{number}.ts")), Unreadable::Drm, 1),
        ("a key in the list", LIVE.list(0, |number| format!("#EXT-X-KEY:METHOD=AES-128,URI=\"data:text/plain;base64,AA\"\n{number}.ts")), Unreadable::KeyTag, 1),
        ("AAC", LIVE.list(0, |number| format!("{number}.aac")), Unreadable::PackedAudio(Sound::Adts), 2),
        ("boxes", LIVE.list(0, |number| format!("{number}.mp4")), Unreadable::FragmentedMp4, 2),
    ] {
        let run = Run::default();
        let frame = [b"\xFF\xF1\x50\x80\x0C\x9F\xFC".as_slice(), &[0x21; 93]].concat();
        let outcome = run.play(|asked, _| match asked.url.rsplit('.').next().unwrap() {
            "m3u8" => Answer::new(text.clone()),
            "aac" => Answer::new(frame.repeat(30)),
            _ => Answer::new(b"\0\0\0\x18styp\0\0\0\0\0\0\0\0".to_vec()),
        });
        assert_eq!(outcome.failure, Some(Failure::Unreadable(why)), "{name}");
        assert_eq!(outcome.asked.len(), requests, "{name}");
        assert!(outcome.packets.is_empty());
    }
}

#[test]
fn a_source_that_is_no_hls_says_what_it_is_at_once() {
    let list = |error| Some(Failure::List(error));
    for (name, answer, expected) in [
        ("a page", Answer::new("<html></html>"), list(ListError::NotAList(Body::Html))),
        ("JSON", Answer::new("{}"), list(ListError::NotAList(Body::Json))),
        ("nothing", Answer::new(""), list(ListError::NotAList(Body::Empty))),
        ("stations", Answer::new("#EXTM3U\n#EXTINF:-1,One\nhttp://a.example/\n"), list(ListError::Plain)),
        ("too much", Answer::new("#EXTM3U\n".repeat(1_000_000)), list(ListError::TooLong)),
        ("404", Answer::refused(404), Some(Failure::Request(SourceError::status(404, "", None)))),
        ("silence", Answer::new("").takes(60_000), Some(Failure::Slow)),
        (
            "no variant",
            Answer::new("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nrtmp://a.example/\n"),
            Some(Failure::NoVariant),
        ),
        (
            "itself",
            Answer::new("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nindex.m3u8\n"),
            Some(Failure::Nested),
        ),
    ] {
        let outcome = Run::default().play(|_, _| answer.clone());
        assert_eq!(outcome.failure, expected, "{name}");
        assert!(outcome.asked.len() <= 4, "{name}");
    }
}

#[test]
fn segments_that_are_all_of_no_use_end_the_run() {
    for (name, answer, failure) in [
        ("404", Answer::refused(404), Failure::Request(SourceError::status(404, "", None))),
        ("403", Answer::refused(403), Failure::Request(SourceError::status(403, "", None))),
        (
            "pages",
            Answer::new("<html></html>"),
            Failure::Segments(SegmentError::NotTransportStream(Body::Html)),
        ),
    ] {
        let run = Run::default();
        let at_once =
            run.play(|asked, now| of_segment(asked).map_or_else(|| healthy(asked, now), |_| answer.clone()));
        assert_eq!(at_once.failure, Some(failure.clone()), "{name}");
        assert!(at_once.ended_at.is_some_and(|at| at < 3000), "{name}: {:?}", at_once.ended_at);
        let later = run.play(|asked, now| match of_segment(asked) {
            Some(10..) => answer.clone(),
            Some(_) | None => healthy(asked, now),
        });
        assert_eq!(later.segments(), (3..10).collect::<Vec<_>>());
        assert_eq!(later.failure, Some(failure), "{name}");
    }
}

#[test]
fn keys_are_what_they_are_sent_as() {
    use crate::source::hls::aes::tests::encrypt;
    let key = *b"0123456789abcdef";
    for (name, answer, expected) in [
        ("16 bytes", Answer::new(key), None),
        ("an end of line", Answer::new([key.as_slice(), b"\n"].concat()), None),
        ("a refusal in words", Answer::new("Forbidden"), Some(Failure::Key { bytes: 9 })),
        ("a page", Answer::new("<html>".repeat(1000)), Some(Failure::Key { bytes: 1400 })),
        ("403", Answer::refused(403), Some(Failure::Request(SourceError::status(403, "", None)))),
        ("another key", Answer::new([1; 16]), Some(Failure::Segments(SegmentError::WrongKey))),
    ] {
        let run = Run { run_ms: 20_000, ..Run::default() };
        let outcome = run.play(|asked, now| match (asked.item, number_in(&asked.url)) {
            (Item::List, _) => Answer::new(
                LIVE.list(now, |number| format!("#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n{number}.ts")),
            ),
            (Item::Key, _) => answer.clone(),
            (Item::Segment { .. }, Some(number)) => {
                Answer::new(encrypt(&segment(number), &key, &u128::from(number).to_be_bytes(), true))
            }
            (Item::Segment { .. }, None) => Answer::refused(404),
        });
        assert_eq!(outcome.failure, expected, "{name}");
    }
}

#[test]
fn a_key_that_changes_at_its_address_is_fetched_again() {
    use crate::source::hls::aes::tests::encrypt;
    let run = Run::default();
    let outcome = run.play(|asked, now| match (asked.item, number_in(&asked.url)) {
        (Item::List, _) => {
            Answer::new(LIVE.list(now, |number| format!("#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n{number}.ts")))
        }
        (Item::Key, _) => Answer::new([u8::try_from(now / 16_000).unwrap(); 16]),
        // The key changes when its first segment is listed.
        (Item::Segment { .. }, Some(number)) => {
            let era = u8::try_from((number.saturating_sub(5)) / 8).unwrap();
            Answer::new(encrypt(&segment(number), &[era; 16], &u128::from(number).to_be_bytes(), true))
        }
        (Item::Segment { .. }, None) => Answer::refused(404),
    });
    // Segments of the old key that were read ahead of the change, and those behind it, cost a request each, no picture.
    let segments = outcome.segments();
    assert!(outcome.failure.is_none() && segments.is_sorted(), "{segments:?}");
    assert!(segments.len() >= 24, "{segments:?}");
}

#[test]
fn a_list_that_answers_slowly_holds_up_nobody() {
    let run = Run::default();
    let outcome = run.play(|asked, now| match asked.item {
        Item::List => healthy(asked, now).takes(1500),
        Item::Key | Item::Segment { .. } => healthy(asked, now).takes(300),
    });
    let segments = outcome.segments();
    assert_eq!(segments, without(&[], *segments.last().unwrap()));
    assert_eq!((outcome.failure, outcome.starved_ms), (None, 0));
}

#[test]
fn two_channels_do_not_come_back_at_the_same_time() {
    let source = Url::parse("http://tv.example/").unwrap();
    let waits = |seed| {
        let mut machine = Machine::new(source.clone(), HlsParams::default(), seed, Instant::START);
        (1..12).map(|failures| machine.wait_after(failures)).collect::<Vec<_>>()
    };
    let (one, other) = (waits(1), waits(12_345));
    assert_ne!(one, other);
    for wait in one.iter().chain(&other) {
        assert!(*wait >= RETRY_MIN * 3 / 4 && *wait <= RETRY_MAX * 5 / 4, "{wait:?}");
    }
    assert_eq!(PACKETS, 8);
}
