//! Lists as providers write them.

use std::io::Write;

use proptest::prelude::*;

use super::*;

fn media(text: &str) -> Media {
    match parse(text.as_bytes()) {
        Ok(List::Media(media)) => media,
        other => panic!("{text:?}: {other:?}"),
    }
}

fn master(text: &str) -> Master {
    match parse(text.as_bytes()) {
        Ok(List::Master(master)) => master,
        other => panic!("{text:?}: {other:?}"),
    }
}

fn uris(media: &Media) -> Vec<&str> {
    (0..media.len()).map(|index| media.uri(index)).collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(text.as_bytes()).unwrap();
    packer.finish().unwrap()
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_live_list_is_read_whatever_its_line_ends_and_spaces() {
    let plain = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:7\n\
                 #EXTINF:6.006,\na.ts\n#EXTINF:5.9,Title, with comma\nb.ts?t=1\n";
    for text in [
        plain.to_owned(),
        plain.replace('\n', "\r\n"),
        plain.replace('\n', "\r"),
        plain.replace('\n', "\n\n  "),
        format!("\u{FEFF}{plain}"),
        format!("\r\n \u{FEFF}{plain}"),
        format!("# made by a panel\n{plain}"),
        plain.trim_end().to_owned(),
        plain.replace("#EXTINF:", "#EXTINF: ").replace("TARGETDURATION:", "TARGETDURATION: "),
        plain.replace("#EXTM3U", "#extm3u"),
        plain.replace("#EXTM3U\n", ""),
        plain.replace("\na.ts", "\n#EXT-X-UNHEARD-OF:A=B\n## comment\na.ts"),
        plain.replace("b.ts?t=1", "b.ts?t=1\0"),
    ] {
        let media = media(&text);
        assert_eq!(uris(&media), ["a.ts", "b.ts?t=1"], "{text:?}");
        assert_eq!((media.sequence(), media.target()), (7, 6 * SECOND), "{text:?}");
        assert_eq!(media.duration(0), Duration::from_millis(6006), "{text:?}");
        assert!(!media.is_ended() && !media.is_whole() && media.has_hls_tags(), "{text:?}");
    }
}

#[test]
fn durations_that_are_missing_or_absurd_are_made_of_what_is_known() {
    for (target, durations, expected_target, expected_first) in [
        // What they should be.
        ("6", vec!["6.0", "5.5"], 6.0, 6.0),
        ("6.0", vec!["6"], 6.0, 6.0),
        (" 10 ", vec![" 10, 1:0"], 10.0, 10.0),
        // Title and comma left out.
        ("4", vec!["4"], 4.0, 4.0),
        // No target, one of 0, one that is no number: the longest segment's.
        ("", vec!["3.7", "4.2"], 4.0, 3.7),
        ("0", vec!["0.421333"], 1.0, 0.421_333),
        ("-1", vec!["2"], 2.0, 2.0),
        ("ten", vec!["9.8"], 10.0, 9.8),
        ("99999999", vec!["2"], 2.0, 2.0),
        // Far too long: a list would have slid away before it is asked for again.
        ("60", vec!["2", "2"], 2.0, 2.0),
        ("10", vec!["5", "5"], 10.0, 5.0),
        // Too short, as some servers round it down; one long segment among short ones.
        ("1", vec!["10", "10"], 10.0, 10.0),
        ("2", vec!["2", "2", "2", "14"], 5.0, 2.0),
        // No segment says how long it is.
        ("5", vec!["-1", "0", "nan"], 5.0, 5.0),
        ("", vec!["inf", "99999999"], 6.0, 6.0),
        ("", vec!["-1.6"], 6.0, 6.0),
    ] {
        let mut text = "#EXTM3U\n#EXT-X-VERSION:3\n".to_owned();
        if !target.is_empty() {
            text.push_str(&format!("#EXT-X-TARGETDURATION:{target}\n"));
        }
        for (index, duration) in durations.iter().enumerate() {
            text.push_str(&format!("#EXTINF:{duration}\n{index}.ts\n"));
        }
        let media = media(&text);
        let seconds = (media.target().as_secs_f64(), media.duration(0).as_secs_f64());
        assert_eq!(seconds, (expected_target, expected_first), "{target:?} {durations:?}");
        assert_eq!(media.len(), durations.len());
    }
    let without = media("#EXTM3U\n#EXT-X-TARGETDURATION:4\na.ts\n#EXTINF:3,\nb.ts\nc.ts\n");
    assert_eq!(uris(&without), ["a.ts", "b.ts", "c.ts"], "each address has its sequence number");
    assert_eq!(without.duration_from(0), 11 * SECOND);
}

#[test]
fn byte_ranges_without_an_offset_follow_the_one_before_of_the_same_resource() {
    let media = media(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n\
         #EXTINF:2,\n#EXT-X-BYTERANGE:100@50\na.ts\n\
         #EXTINF:2,\n#EXT-X-BYTERANGE: 70\na.ts\n\
         #EXT-X-BYTERANGE:30\n#EXTINF:2,\na.ts\n\
         #EXTINF:2,\n#EXT-X-BYTERANGE:10\nb.ts\n\
         #EXTINF:2,\nc.ts\n\
         #EXTINF:2,\n#EXT-X-BYTERANGE:10\nc.ts\n\
         #EXTINF:2,\n#EXT-X-BYTERANGE:0@5\nd.ts\n\
         #EXTINF:2,\n#EXT-X-BYTERANGE:9@18446744073709551615\ne.ts\n\
         #EXTINF:2,\n#EXT-X-BYTERANGE:\"7@1\"\nf.ts\n\
         #EXTINF:2,\n#EXT-X-BYTERANGE:x@1\ng.ts\n",
    );
    let ranges: Vec<_> = (0..media.len()).map(|index| media.range(index).map(ByteRange::header)).collect();
    let expected = [
        Some("bytes=50-149"),
        Some("bytes=150-219"),
        Some("bytes=220-249"),
        Some("bytes=0-9"),
        None,
        Some("bytes=0-9"),
        Some("bytes=5-5"),
        None,
        Some("bytes=1-7"),
        None,
    ];
    assert_eq!(ranges.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
    assert!(media.is_gap(6) && !media.is_gap(5), "a range of nothing is nothing");
    assert_ne!(media.identity(0), media.identity(1), "parts of one resource are told apart");
    assert_eq!(ByteRange { offset: 9, length: None }.header(), "bytes=9-");
}

#[test]
fn keys_hold_until_the_next_and_the_vector_is_the_lists_or_the_sequence_number() {
    let media = media(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7948\n\
         0.ts\n\
         #EXT-X-KEY:METHOD=AES-128,URI=\"k1\"\n1.ts\n2.ts\n\
         #EXT-X-KEY:METHOD=AES-128,URI=\"k2\",IV=0x00000000000000000000000000001F0C\n3.ts\n\
         #EXT-X-KEY:METHOD=aes-128,URI=k3?a=b,IV=1f0d\n4.ts\n\
         #EXT-X-KEY:METHOD=NONE\n5.ts\n\
         #EXT-X-KEY:METHOD=AES-128,URI=\"k4\",KEYFORMAT=\"identity\",KEYFORMATVERSIONS=\"1\"\n6.ts\n\
         #EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://x\",KEYFORMAT=\"com.apple.streamingkeydelivery\"\n\
         #EXT-X-KEY:METHOD=AES-128,URI=\"k5\"\n\
         #EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI=\"data:\",KEYFORMAT=\"urn:uuid:edef8ba9\"\n7.ts\n",
    );
    let vector = |number: u128| number.to_be_bytes();
    let key = |uri, iv| Some(Key { uri, iv: vector(iv) });
    let keys: Vec<_> = (0..media.len()).map(|index| media.key(index)).collect();
    let expected = [
        None,
        key("k1", 7949),
        key("k1", 7950),
        key("k2", 0x1f0c),
        key("k3?a=b", 0x1f0d),
        None,
        key("k4", 7954),
        key("k5", 7955),
    ];
    assert_eq!(keys, expected);
    assert!((0..media.len()).all(|index| media.obstacle(index).is_none()));
}

#[test]
fn what_is_not_read_here_says_why() {
    for (tags, why) in [
        ("#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k\"", Unreadable::SampleAes),
        (
            "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://k\",KEYFORMAT=\"com.apple.streamingkeydelivery\"",
            Unreadable::Drm,
        ),
        ("#EXT-X-KEY:METHOD=AES-128,URI=\"k\",KEYFORMAT=\"com.microsoft.playready\"", Unreadable::Drm),
        ("#EXT-X-KEY:METHOD=AES-128", Unreadable::KeyTag),
        ("#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0xnonsense", Unreadable::KeyTag),
        ("#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x111111111111111111111111111111111", Unreadable::KeyTag),
        ("#EXT-X-KEY:METHOD=ROT13,URI=\"k\"", Unreadable::KeyTag),
        ("#EXT-X-MAP:URI=\"init.mp4\"", Unreadable::FragmentedMp4),
        ("#EXT-X-I-FRAMES-ONLY", Unreadable::KeyPicturesOnly),
        ("#EXT-X-DEFINE:NAME=\"a\",VALUE=\"b\"\n{$a}/0.ts", Unreadable::Variables),
    ] {
        let media = media(&format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{tags}\n#EXTINF:2,\n1.ts\n"));
        assert_eq!(media.obstacle(media.len() - 1), Some(why), "{tags}");
    }
    let clear_again = media(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k\"\n0.ts\n\
         #EXT-X-KEY:METHOD=NONE\n1.ts\n",
    );
    assert_eq!((clear_again.obstacle(0), clear_again.obstacle(1)), (Some(Unreadable::SampleAes), None));
}

#[test]
fn discontinuities_gaps_and_times_belong_to_the_next_segment() {
    let media = media(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-DISCONTINUITY-SEQUENCE:453\n#EXT-X-START:TIME-OFFSET=-12.5\n\
         #EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:2021-05-28T03:46:47+02:00\n0.ts\n\
         1.ts\n#EXT-X-GAP\n#EXT-X-PROGRAM-DATE-TIME:2021-05-28T01:46:49.250Z\n2.ts\n\
         #EXT-X-DISCONTINUITY\n#EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:2021-05-28T01:46:51\n3.ts\n\
         #EXT-X-PROGRAM-DATE-TIME:2021-05-28T03:46:53+0200\n4.ts\n#EXT-X-PROGRAM-DATE-TIME:yesterday\n5.ts\n",
    );
    let flags: Vec<_> = (0..6).map(|index| (media.is_discontinuous(index), media.is_gap(index))).collect();
    assert_eq!(
        flags,
        [(true, false), (false, false), (false, true), (true, false), (false, false), (false, false)]
    );
    let base = 1_622_166_407_000;
    let times: Vec<_> = (0..6).map(|index| media.programme_time(index).map(|time| time - base)).collect();
    assert_eq!(times, [Some(0), None, Some(2250), Some(4000), Some(6000), None]);
    assert_eq!(media.start(), Some(-12.5));
}

#[test]
fn what_is_whole_is_told_from_what_is_live() {
    for (tags, is_ended, is_whole) in [
        ("", false, false),
        ("#EXT-X-ENDLIST", true, true),
        ("#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-ENDLIST", true, true),
        ("#EXT-X-PLAYLIST-TYPE:VOD", false, true),
        ("#EXT-X-PLAYLIST-TYPE:EVENT", false, false),
        ("#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-ENDLIST", true, true),
    ] {
        let media = media(&format!("#EXTM3U\n{tags}\n#EXTINF:2,\n0.ts\n"));
        assert_eq!((media.is_ended(), media.is_whole()), (is_ended, is_whole), "{tags}");
    }
    assert!(media("#EXTM3U\n").is_empty(), "a list that has just been begun");
}

#[test]
fn a_master_list_names_variants_and_groups() {
    let master = master(
        "#EXTM3U\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"Deutsch\",LANGUAGE=\"de\",DEFAULT=YES,URI=\"de.m3u8\"\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"English, commentary\",LANGUAGE=\"en\",AUTOSELECT=YES,DEFAULT=NO\n\
         #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"Deutsch\",LANGUAGE=\"de\",FORCED=NO,URI=\"s.m3u8\"\n\
         #EXT-X-MEDIA:TYPE=HOLOGRAM,GROUP-ID=\"h\",NAME=\"h\"\n\
         #EXT-X-STREAM-INF:PROGRAM-ID=1,BANDWIDTH=1280000,RESOLUTION=1280x720,CODECS=\"avc1.4d401f,mp4a.40.2\",\
         AUDIO=\"a\",SUBTITLES=\"s\"\n\
         # a comment, and then a line that is empty\n\n\
         hd/index.m3u8?t=a,b\n\
         #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"i.m3u8\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=lots\n\
         #EXT-X-STREAM-INF: BANDWIDTH=300000 , RESOLUTION=broken\nhttp://other.example/sd.m3u8\n",
    );
    let variants: Vec<_> = master
        .variants
        .iter()
        .map(|variant| (variant.uri.as_str(), variant.bandwidth, variant.resolution))
        .collect();
    assert_eq!(
        variants,
        [
            ("hd/index.m3u8?t=a,b", 1_280_000, Some((1280, 720))),
            ("http://other.example/sd.m3u8", 300_000, None)
        ]
    );
    assert_eq!(master.variants[0].audio.as_deref(), Some("a"));
    assert_eq!(master.variants[0].subtitles.as_deref(), Some("s"));
    assert_eq!(master.variants[0].codecs.as_deref(), Some("avc1.4d401f,mp4a.40.2"));
    let renditions: Vec<_> = master
        .renditions
        .iter()
        .map(|rendition| {
            let language = rendition.language.as_deref();
            (
                rendition.kind,
                rendition.name.as_str(),
                language,
                rendition.uri.as_deref(),
                rendition.is_default,
            )
        })
        .collect();
    assert_eq!(
        renditions,
        [
            (RenditionKind::Audio, "Deutsch", Some("de"), Some("de.m3u8"), true),
            (RenditionKind::Audio, "English, commentary", Some("en"), None, false),
            (RenditionKind::Subtitles, "Deutsch", Some("de"), Some("s.m3u8"), false),
        ]
    );
    assert!(master.renditions[0].is_autoselect && master.renditions[1].is_autoselect);
}

#[test]
fn what_is_no_list_says_what_it_is() {
    for (text, body) in [
        ("<html><body>403</body></html>", Body::Html),
        ("<!DOCTYPE html>", Body::Html),
        ("{\"error\":\"token expired\"}", Body::Json),
        ("too many connections", Body::Text),
        ("# nothing but a comment", Body::Text),
        ("", Body::Empty),
    ] {
        assert_eq!(parse(text.as_bytes()), Err(ListError::NotAList(body)), "{text:?}");
    }
    let stations = media("#EXTM3U\n#EXTINF:-1,TOP 100\nhttp://radio.example/top\n");
    assert!(!stations.has_hls_tags(), "a list of stations has none of the tags of HLS");
}

#[test]
fn lists_that_are_packed_although_nobody_asked_are_unpacked() {
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n0.ts\n";
    let packed = gzip(text);
    assert_eq!(parse(&packed), parse(text.as_bytes()));
    assert_eq!(parse(&packed[..packed.len() / 2]), Err(ListError::DamagedGzip));
    assert_eq!(parse(&[0x1F, 0x8B]), Err(ListError::DamagedGzip));
    let bomb = gzip(&format!("#EXTM3U\n{}", "#".repeat(HLS_LIST_BYTES_MAX)));
    assert!(bomb.len() < 64 * 1024);
    assert_eq!(parse(&bomb), Err(ListError::TooLong));
}

#[test]
fn a_list_has_a_bound_on_everything() {
    let long = format!("#EXTM3U\n{}", "#".repeat(HLS_LIST_BYTES_MAX));
    let segments = format!("#EXTM3U\n#EXT-X-VERSION:3\n{}", "a\n".repeat(HLS_SEGMENTS_MAX + 1));
    let variants = format!("#EXTM3U\n{}", "#EXT-X-STREAM-INF:\na\n".repeat(HLS_VARIANTS_MAX + 1));
    let renditions = format!("#EXTM3U\n{}", "#EXT-X-MEDIA:TYPE=AUDIO\n".repeat(HLS_RENDITIONS_MAX + 1));
    let keys: String = (0..=HLS_SEGMENTS_MAX + 1)
        .map(|number| format!("#EXT-X-KEY:METHOD=AES-128,URI={number}\n"))
        .collect();
    for text in [long, segments, variants, renditions, format!("#EXTM3U\n{keys}")] {
        assert_eq!(parse(text.as_bytes()), Err(ListError::TooLong), "{:.60}", text);
    }
}

#[test]
fn a_window_of_five_hours_is_read() {
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:1000000\n".to_owned();
    for number in 0..4575 {
        text.push_str(&format!("#EXTINF:4.0,\nsegments/long/path/{number}.ts?token={number}\n"));
    }
    let media = media(&text);
    assert_eq!((media.len(), media.uri(4574)), (4575, "segments/long/path/4574.ts?token=4574"));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        drop(parse(&bytes));
        drop(parse(&[b"#EXTM3U\n", bytes.as_slice()].concat()));
        drop(parse(&[&[0x1F, 0x8B, 8, 0], bytes.as_slice()].concat()));
    }

    #[test]
    fn no_mixture_of_tags_panics(
        parts in prop::collection::vec((0..TAGS.len(), "[-0-9a-zA-Z=\",.@: ]{0,24}", "[\r\n]{0,2}[a-z./?]{0,8}"), 0..60),
    ) {
        let text: String =
            parts.iter().map(|(tag, value, rest)| format!("{}:{value}\n{rest}\n", TAGS[*tag].0)).collect();
        if let Ok(List::Media(media)) = parse(format!("#EXTM3U\n{text}").as_bytes()) {
            for index in 0..media.len() {
                prop_assert!(!media.uri(index).is_empty());
                prop_assert!(media.duration(index) <= SEGMENT_MAX);
                let _read = (media.key(index), media.range(index).map(ByteRange::header), media.obstacle(index));
            }
            prop_assert!((TARGET_MIN..=TARGET_MAX).contains(&media.target()));
        }
    }
}
