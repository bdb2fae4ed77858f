//! Runs of a group against scripted providers, in virtual time.

use std::collections::BTreeMap;

use super::*;
use crate::source::body::Sound as Bare;
use crate::source::hls::failure::Unreadable;
use crate::source::hls::merge::tests::{VIDEO, every, on, picture, sound_on, units};
use crate::source::hls::packed::tests::{aac, tag};
use crate::ts::Pts;

/// What the provider says.
enum Reply {
    Body(Vec<u8>),
    Status(u16),
    /// Nothing, for ever.
    Silence,
}

fn text(list: impl Into<String>) -> Reply {
    Reply::Body(list.into().into_bytes())
}

/// How it came out.
struct Outcome {
    asked: Vec<(u64, String)>,
    stream: Vec<u8>,
    starved_ms: i64,
    first_byte_at: Option<u64>,
    end: Option<HlsWant>,
    failure: Option<Failure>,
    remarks: Vec<Remark>,
}

impl Outcome {
    /// What the viewer has not seen yet; negative when it waits.
    fn ahead(&self, seen_ms: i64, now: u64) -> i64 {
        self.first_byte_at.map_or(0, |first| seen_ms + self.starved_ms - i64::try_from(now - first).unwrap())
    }

    fn pass(&mut self, seen_ms: i64, now: &mut u64, ms: u64) {
        *now += ms;
        self.starved_ms += (-self.ahead(seen_ms, *now)).max(0);
    }

    fn count(&self, part: &str) -> usize {
        self.asked.iter().filter(|(_, url)| url.contains(part)).count()
    }

    fn assert_once(&self, name: &str) {
        let mut times = BTreeMap::new();
        for (_, url) in self.asked.iter().filter(|(_, url)| url.ends_with(".ts")) {
            *times.entry(url).or_insert(0) += 1;
        }
        times.retain(|_, times| *times > 1);
        assert!(times.is_empty(), "{name}: asked for more than once: {times:?}");
    }

    /// Pictures follow each other without a hole, and so does the sound on this PID from the first picture on.
    fn assert_whole(&self, name: &str, pids: &[u16]) {
        let units = units(&self.stream);
        let seen = on(&units, VIDEO);
        assert!(seen.windows(2).all(|pair| pair[1] - pair[0] == 40), "{name}: pictures are missing");
        for pid in pids {
            let heard = on(&units, *pid);
            assert!(!heard.is_empty(), "{name}: {pid:#x} is not heard");
            assert!(heard[0] <= seen[0] + 24, "{name}: {pid:#x} begins at {}, not {}", heard[0], seen[0]);
            let hole = heard.windows(2).find(|pair| pair[1] - pair[0] != 24);
            assert_eq!(hole, None, "{name}: {pid:#x}");
            // What is at its end waits for the other.
            assert!(heard.last().unwrap() + 2100 > *seen.last().unwrap(), "{name}: {pid:#x} ends early");
        }
    }
}

const PIECE: usize = 30_000;

/// Plays for so long; a viewer takes the pictures at their rate, and is read for ten seconds ahead.
fn play(run_ms: u64, provider: impl Fn(&str, u64) -> Reply) -> Outcome {
    let at = Instant::from_millis;
    let source = Url::parse("http://tv.example/master.m3u8").unwrap();
    let mut group = Group::new(source, HlsParams::default(), 7, at(0));
    let mut outcome = Outcome {
        asked: vec![],
        stream: vec![],
        starved_ms: 0,
        first_byte_at: None,
        end: None,
        failure: None,
        remarks: vec![],
    };
    let (mut now, mut seen_ms, mut counted, mut steps) = (0, 0, 0, 0);
    let mut answer: Option<(u64, Vec<u8>)> = None;
    while now < run_ms {
        steps += 1;
        assert!(steps < 200_000, "it goes round in a circle at {now} ms: {:?}", outcome.asked.last());
        let ahead = outcome.ahead(seen_ms, now);
        let may_read = ahead < 10_000;
        let mut came = Vec::new();
        match group.want(at(now), may_read) {
            HlsWant::Fetch(fetch) => {
                let url = fetch.url.text();
                let path = url.strip_prefix("http://tv.example/").unwrap();
                outcome.asked.push((now, path.to_owned()));
                let reply = provider(path, now);
                outcome.pass(seen_ms, &mut now, 20);
                match reply {
                    Reply::Body(body) => {
                        group.answered(fetch.url, 200);
                        answer = Some((u64::MAX, body));
                    }
                    Reply::Status(status) => group.failed(at(now), SourceError::status(status, "", None)),
                    Reply::Silence => {
                        let before = now;
                        let deadline =
                            group.next_deadline().expect("nothing is waited for for ever").as_millis();
                        outcome.pass(seen_ms, &mut now, deadline.saturating_sub(before).max(1));
                        group.expire(at(now));
                    }
                }
            }
            HlsWant::Receive { .. } => {
                let (_, body) = answer.as_mut().expect("an answer is on its way");
                let mut piece: Vec<u8> = body.drain(..body.len().min(PIECE)).collect();
                if piece.is_empty() {
                    answer = None;
                    group.complete(at(now));
                } else {
                    let count = group.body(at(now), &mut piece);
                    came.extend_from_slice(&piece[..count]);
                }
            }
            HlsWant::TakeTail => {
                let mut into = [0; 7000];
                let count = group.take_tail(&mut into);
                came.extend_from_slice(&into[..count]);
            }
            HlsWant::Abandon => {
                answer = None;
                group.abandoned();
            }
            HlsWant::Wait { until } => {
                let readable = (!may_read).then(|| now + u64::try_from(ahead - 9_999).unwrap());
                let until = until.map(|until| until.as_nanos().div_ceil(1_000_000));
                let until = [until, readable].into_iter().flatten().min().expect("it waits for something");
                assert!(until > now, "a wait that is over at {until}, at {now}");
                let wait = until - now;
                outcome.pass(seen_ms, &mut now, wait);
                group.expire(at(now));
            }
            end @ (HlsWant::Ended | HlsWant::Failed) => {
                outcome.failure = group.failure().cloned();
                outcome.end = Some(end);
                break;
            }
        }
        if !came.is_empty() {
            outcome.first_byte_at.get_or_insert(now);
            outcome.stream.extend_from_slice(&came);
            while let Some(packet) = outcome.stream.get(counted..counted + 188) {
                counted += 188;
                seen_ms += if packet[1] == 0x41 && packet[2] == 0 { 40 } else { 0 };
            }
        }
    }
    while let Some(remark) = group.take_remark() {
        outcome.remarks.push(remark);
    }
    outcome
}

/// A list whose segments are so long, of which there are some at the beginning.
#[derive(Clone, Copy)]
struct Live {
    segment_ms: u64,
    window: u64,
    /// The number that the list gives to the first segment of all.
    numbered_from: u64,
    has_dates: bool,
    /// So much later than it is made a segment is listed.
    late_ms: u64,
}

const LIVE: Live = Live { segment_ms: 2000, window: 6, numbered_from: 0, has_dates: false, late_ms: 0 };
/// The media there is at the beginning.
const READY_MS: u64 = 30_000;

impl Live {
    fn list(self, folder: &str, now: u64) -> String {
        let end = (READY_MS + now).saturating_sub(self.late_ms) / self.segment_ms;
        let first = end.saturating_sub(self.window);
        let number = first + self.numbered_from;
        let target = self.segment_ms.div_ceil(1000);
        let mut list = format!("#EXTM3U\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:{number}\n");
        for segment in first..end {
            if self.has_dates {
                let seconds = segment * self.segment_ms / 1000;
                let (minute, second) = (seconds / 60, seconds % 60);
                list += &format!("#EXT-X-PROGRAM-DATE-TIME:2026-11-28T20:{minute:02}:{second:02}.000Z\n");
            }
            let duration = f64::from(u32::try_from(self.segment_ms).unwrap()) / 1000.0;
            list += &format!("#EXTINF:{duration:.3},\n{folder}{segment}.ts\n");
        }
        list
    }

    fn times(self, segment: u64, step: i64) -> impl Iterator<Item = i64> + Clone {
        let from = i64::try_from(segment * self.segment_ms).unwrap();
        let to = from + i64::try_from(self.segment_ms).unwrap();
        every(step, (from + step - 1) / step * step, to)
    }

    fn picture(self, path: &str) -> Reply {
        Reply::Body(picture(self.times(number(path), 40)))
    }

    fn sound(self, path: &str) -> Reply {
        Reply::Body(sound_on(VIDEO, &[], self.times(number(path), 24)))
    }
}

fn number(path: &str) -> u64 {
    path.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

fn master(sounds: &[&str]) -> Reply {
    let sounds: String = sounds
        .iter()
        .map(|name| {
            format!("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"{name}\",LANGUAGE=\"{name}\",URI=\"{name}.m3u8\"\n")
        })
        .collect();
    text(format!("#EXTM3U\n{sounds}#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\nv.m3u8\n"))
}

/// A provider of a picture and of sounds, one of which may be odd.
fn provider<'run>(
    names: &'run [&'run str],
    of_picture: Live,
    of_sound: Live,
    odd: impl Fn(&str, u64) -> Option<Reply> + 'run,
) -> impl Fn(&str, u64) -> Reply + 'run {
    move |path, now| {
        odd(path, now).unwrap_or_else(|| match path {
            "master.m3u8" => master(names),
            "v.m3u8" => text(of_picture.list("v/", now)),
            list if list.ends_with(".m3u8") => text(of_sound.list(&list.replace(".m3u8", "/"), now)),
            segment if segment.starts_with("v/") => of_picture.picture(segment),
            segment => of_sound.sound(segment),
        })
    }
}

#[test]
fn a_picture_and_its_sounds_flow_and_each_segment_is_asked_for_once() {
    for (name, of_picture, of_sound) in [
        ("alike", LIVE, LIVE),
        ("longer sound", LIVE, Live { segment_ms: 5000, window: 4, ..LIVE }),
        ("shorter sound", Live { segment_ms: 6000, window: 4, ..LIVE }, Live { window: 12, ..LIVE }),
        ("other numbers", LIVE, Live { numbered_from: 500, ..LIVE }),
        (
            "other numbers, the same times of day",
            Live { has_dates: true, ..LIVE },
            Live { has_dates: true, numbered_from: 9, ..LIVE },
        ),
        ("a longer window", LIVE, Live { window: 12, ..LIVE }),
        ("sound is listed later", LIVE, Live { late_ms: 700, ..LIVE }),
        ("the picture is listed later", Live { late_ms: 700, ..LIVE }, LIVE),
    ] {
        for names in [&["en"][..], &["de", "en", "fr"]] {
            let outcome = play(60_000, provider(names, of_picture, of_sound, |_, _| None));
            assert_eq!((&outcome.end, &outcome.failure, &outcome.remarks), (&None, &None, &vec![]), "{name}");
            outcome.assert_once(name);
            let pids: Vec<u16> = (1..).map(|number| VIDEO + number).take(names.len()).collect();
            outcome.assert_whole(name, &pids);
            assert!(outcome.starved_ms < 100, "{name}: the viewer waited for {} ms", outcome.starved_ms);
            assert!(outcome.first_byte_at.unwrap() < 1000, "{name}: {:?}", outcome.first_byte_at);
            let last = *on(&units(&outcome.stream), VIDEO).last().unwrap();
            assert!(last > 80_000, "{name}: {last}");
            assert_eq!(outcome.count("master.m3u8"), 1, "{name}");
        }
    }
}

#[test]
fn what_is_whole_is_delivered_whole() {
    let list = |folder: &str, ms: u64, count: u64| {
        let lines = (0..count).map(|number| format!("#EXTINF:{},\n{folder}{number}.ts\n", ms / 1000));
        text(format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:{}\n{}#EXT-X-ENDLIST\n",
            ms / 1000,
            lines.collect::<String>()
        ))
    };
    let long = Live { segment_ms: 6000, ..LIVE };
    for (of_sound, count) in [(LIVE, 15), (long, 5), (LIVE, 16)] {
        let outcome = play(100_000, |path, _| match path {
            "master.m3u8" => master(&["en", "de"]),
            "v.m3u8" => list("v/", 2000, 15),
            path if path.ends_with(".m3u8") => list(&path.replace(".m3u8", "/"), of_sound.segment_ms, count),
            path if path.starts_with("v/") => LIVE.picture(path),
            path => of_sound.sound(path),
        });
        assert_eq!((outcome.end, outcome.failure, outcome.starved_ms), (Some(HlsWant::Ended), None, 0));
        let units = units(&outcome.stream);
        let heard_ms = i64::try_from(of_sound.segment_ms * count).unwrap();
        assert_eq!(on(&units, VIDEO), every(40, 0, 30_000).collect::<Vec<_>>());
        for pid in [VIDEO + 1, VIDEO + 2] {
            assert_eq!(on(&units, pid), every(24, 0, heard_ms).collect::<Vec<_>>(), "{pid:#x}");
        }
    }
}

#[test]
fn a_picture_goes_on_without_a_sound_that_fails_and_has_it_again_when_it_is_back() {
    type Odd = fn(&str, u64) -> Option<Reply>;
    let is_out = |now: u64| (10_000..25_000).contains(&now);
    let list_gone: Odd =
        |path, now| (path == "de.m3u8" && (10_000..25_000).contains(&now)).then_some(Reply::Status(404));
    let silent: Odd =
        |path, now| (path.starts_with("de") && (10_000..25_000).contains(&now)).then_some(Reply::Silence);
    let stale: Odd = |path, now| {
        (path == "de.m3u8" && (10_000..25_000).contains(&now)).then(|| text(LIVE.list("de/", 10_000)))
    };
    let segments_gone: Odd = |path, now| {
        (path.starts_with("de/") && (10_000..25_000).contains(&now)).then_some(Reply::Status(404))
    };
    let page: Odd = |path, now| {
        (path.starts_with("de/") && (10_000..25_000).contains(&now))
            .then(|| text("<html><body>x</body></html>"))
    };
    assert!(is_out(10_000) && !is_out(25_000));
    for (name, odd) in [
        ("its list is gone", list_gone),
        ("its server says nothing", silent),
        ("its list is stale", stale),
        ("its segments are gone", segments_gone),
        ("its segments are a page", page),
    ] {
        let outcome = play(90_000, provider(&["en", "de"], LIVE, LIVE, odd));
        assert_eq!((&outcome.end, &outcome.failure), (&None, &None), "{name}");
        // The other one has no hole, nor has the picture.
        outcome.assert_whole(name, &[VIDEO + 1]);
        assert!(outcome.starved_ms < 4500, "{name}: the viewer waited for {} ms", outcome.starved_ms);
        let units = units(&outcome.stream);
        let heard = on(&units, VIDEO + 2);
        let holes: Vec<i64> =
            heard.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap != 24).collect();
        let lost: i64 = holes.iter().sum();
        assert!((1..=8).contains(&holes.len()) && lost > 5000 && lost < 60_000, "{name}: {holes:?}");
        assert!(heard.last().unwrap() + 3000 > *on(&units, VIDEO).last().unwrap(), "{name}: it is back");
        let lasts = on(&units, VIDEO).last().copied();
        assert!(lasts > Some(105_000), "{name}: {lasts:?}");
    }
}

#[test]
fn a_sound_that_cannot_be_had_from_the_first_holds_up_nobody() {
    for (name, reply) in [("gone", 404), ("refused", 403), ("silent", 0)] {
        let odd = move |path: &str, _: u64| {
            path.starts_with("de").then_some(if reply == 0 { Reply::Silence } else { Reply::Status(reply) })
        };
        let outcome = play(40_000, provider(&["en", "de"], LIVE, LIVE, odd));
        outcome.assert_whole(name, &[VIDEO + 1]);
        assert!(outcome.first_byte_at.unwrap() < 5000, "{name}: {:?}", outcome.first_byte_at);
        assert!(outcome.starved_ms < 3500, "{name}: {}", outcome.starved_ms);
        assert!(outcome.count("de.m3u8") < 5, "{name}: it is tried in growing waits");
        assert!(
            matches!(&outcome.remarks[0], Remark::SoundLost(name, _) if name == "de"),
            "{:?}",
            outcome.remarks
        );
    }
}

#[test]
fn sound_that_others_can_read_is_left_to_them_with_its_picture() {
    let frame = [b"\xFF\xF1\x50\x80\x0C\x9F\xFC".as_slice(), &[0x21; 93]].concat();
    for (body, why) in [
        // It does not say when it is heard.
        (frame.repeat(400), Unreadable::PackedAudio(Bare::Adts)),
        ([b"\0\0\0\x18stypmsdh".as_slice(), &[0; 2000]].concat(), Unreadable::FragmentedMp4),
    ] {
        let odd = move |path: &str, _: u64| path.starts_with("en/").then(|| Reply::Body(body.clone()));
        let outcome = play(20_000, provider(&["en"], LIVE, LIVE, odd));
        assert_eq!(
            (&outcome.end, outcome.failure.clone()),
            (&Some(HlsWant::Failed), Some(Failure::Unreadable(why)))
        );
        assert_eq!(
            (outcome.count("v/"), outcome.count("en/")),
            (0, 1),
            "known before a picture is asked for"
        );
    }
}

#[test]
fn sound_without_a_container_flows_beside_its_picture() {
    // 375 frames of 1024 samples at 48 kHz are eight seconds.
    let times = |number: u64| (number * 375).div_ceil(4)..((number + 1) * 375).div_ceil(4);
    let odd = move |path: &str, _: u64| {
        path.starts_with("en/").then(|| {
            let frames = times(number(path));
            let at = Pts::from_ticks(frames.start * 1920);
            Reply::Body([tag(at), aac(u8::try_from(frames.count()).unwrap())].concat())
        })
    };
    let outcome = play(60_000, provider(&["en"], LIVE, LIVE, odd));
    assert_eq!((&outcome.end, &outcome.failure, &outcome.remarks), (&None, &None, &vec![]));
    outcome.assert_once("");
    let units = units(&outcome.stream);
    let (seen, heard) = (on(&units, VIDEO), on(&units, VIDEO + 1));
    assert!(seen.windows(2).all(|pair| pair[1] - pair[0] == 40));
    assert!(heard[0] <= seen[0] + 90 && heard.last().unwrap() + 2100 > *seen.last().unwrap(), "{heard:?}");
    assert!(heard.windows(2).all(|pair| (20..90).contains(&(pair[1] - pair[0]))), "{heard:?}");
    assert!(units.is_sorted_by_key(|(_, ms)| *ms) && outcome.starved_ms < 100);
}

#[test]
fn a_picture_that_is_lost_is_lost_whatever_the_sound_does() {
    let odd =
        |path: &str, now: u64| (path == "v.m3u8" && now > 10_000).then(|| text(LIVE.list("v/", 10_000)));
    let outcome = play(60_000, provider(&["en"], LIVE, LIVE, odd));
    assert_eq!(outcome.failure, Some(Failure::Stale(Duration::from_secs(10))));
}

#[test]
fn when_the_master_list_is_asked_for_anew_sounds_are_where_it_says() {
    let outcome = play(60_000, |path, now| {
        let age = if now < 20_000 { "" } else { "new" };
        match path {
            "master.m3u8" => text(format!(
                "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x\",URI=\"{age}en.m3u8\"\n\
                 #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\n{age}v.m3u8\n"
            )),
            path if now >= 20_000 && path.ends_with(".m3u8") && !path.starts_with("new") => {
                Reply::Status(403)
            }
            path if path.ends_with("v.m3u8") => text(LIVE.list("v/", now)),
            path if path.ends_with("en.m3u8") => text(LIVE.list("en/", now)),
            path if path.starts_with("v/") => LIVE.picture(path),
            path => LIVE.sound(path),
        }
    });
    assert_eq!((&outcome.end, &outcome.failure), (&None, &None));
    outcome.assert_whole("", &[VIDEO + 1]);
    outcome.assert_once("");
}

#[test]
fn subtitles_in_segments_of_their_own_are_left_out_and_that_is_said_once() {
    let outcome = play(30_000, |path, now| match path {
        "master.m3u8" => text(
            "#EXTM3U\n#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"x\",URI=\"s.m3u8\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=1,SUBTITLES=\"s\"\nv.m3u8\n",
        ),
        path if path.ends_with("v.m3u8") => text(LIVE.list("v/", now)),
        path => LIVE.picture(path),
    });
    outcome.assert_whole("", &[]);
    assert_eq!((outcome.remarks.as_slice(), outcome.count("s.m3u8")), (&[Remark::NoSubtitles(1)][..], 0));
}
