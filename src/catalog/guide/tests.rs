//! Guides as they come, and what is made of them.

use std::io::{BufReader, Write};

use proptest::prelude::*;
use quick_xml::events::Event;

use super::*;

/// 2026-03-01T20:00:00Z.
const NOW: i64 = 1_772_395_200;

fn channel(number: &str, name: &str, ids: &[&str]) -> LineupChannel {
    LineupChannel {
        number: number.to_owned(),
        name: name.to_owned(),
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        ..LineupChannel::default()
    }
}

fn lineup() -> Vec<LineupChannel> {
    vec![channel("100", "News", &["news.tv"]), channel("101", "Kino & Co", &["kino.tv"])]
}

/// What is made of guides that come in pieces of so many bytes.
fn made_in(
    pieces: usize,
    guides: &[&[u8]],
    lineup: &[LineupChannel],
    has_placeholders: bool,
) -> (String, WriteCounts) {
    let reader = |bytes| Reader::new(BufReader::with_capacity(pieces, bytes));
    let mut digests = Vec::new();
    for guide in guides {
        let (mut digest, mut reader) = (Digest::default(), reader(*guide));
        while let Some(entry) = reader.next_entry(&mut |_| false).unwrap() {
            digest.add(&entry, NOW);
        }
        digests.push(digest);
    }
    let picks = choose(lineup, &digests);
    let logos: Vec<String> =
        picks.iter().map(|pick| pick.as_ref().map(|pick| pick.icon.clone()).unwrap_or_default()).collect();
    let mut writer = GuideWriter::begin(Vec::new(), lineup, &logos, NOW).unwrap();
    for (at, guide) in guides.iter().enumerate() {
        let mut reader = reader(*guide);
        while let Some(entry) = reader.next_entry(&mut |_| true).unwrap() {
            let GuideEntry::Programme(programme) = entry else { continue };
            for (place, pick) in picks.iter().enumerate() {
                if pick
                    .as_ref()
                    .is_some_and(|pick| pick.guide == at && pick.key == Digest::key(&programme.id))
                {
                    let shift = lineup[place].shift_seconds.unwrap_or_default();
                    writer.programme(place, &programme, shift).unwrap();
                }
            }
        }
    }
    let (bytes, counts) = writer.finish(has_placeholders).unwrap();
    (String::from_utf8(bytes).unwrap(), counts)
}

fn made(guides: &[&[u8]], lineup: &[LineupChannel]) -> String {
    let (whole, _) = made_in(64 * 1024, guides, lineup, false);
    for pieces in [1, 7] {
        assert_eq!(made_in(pieces, guides, lineup, false).0, whole, "in pieces of {pieces}");
    }
    whole
}

/// Number, start, stop and title of all programmes, by a reader that forgives nothing.
fn programmes(xml: &str) -> Vec<String> {
    let mut reader = quick_xml::Reader::from_str(xml);
    reader.config_mut().check_end_names = true;
    let (mut found, mut open, mut text) = (Vec::new(), Vec::new(), String::new());
    loop {
        match reader.read_event().unwrap_or_else(|error| panic!("{error} in {xml}")) {
            Event::Start(start) => {
                let name = start.name().as_ref().to_owned();
                if name == "programme" {
                    let value = |key: &str| {
                        let attribute = start.try_get_attribute(key).unwrap().unwrap();
                        attribute.value.into_owned()
                    };
                    let time = |key: &str| value(key)[6..12].to_owned();
                    found.push(format!("{} {}-{}", value("channel"), time("start"), time("stop")));
                }
                open.push(name);
                text.clear();
            }
            Event::End(_) => {
                if open.pop().as_deref() == Some("title") {
                    found.last_mut().unwrap().push_str(&format!(" {}", text.trim()));
                }
                text.clear();
            }
            Event::Text(piece) => text.push_str(&piece),
            Event::GeneralRef(name) => text.push_str(match &*name {
                "amp" => "&",
                "lt" => "<",
                "gt" => ">",
                "quot" => "\"",
                other => panic!("&{other}; is not ours"),
            }),
            Event::Eof => break,
            Event::Empty(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_) => {}
        }
    }
    assert!(open.is_empty(), "{open:?} is open in {xml}");
    found
}

/// `<programme>` of News from 20:00 to 21:00 UTC.
fn programme(inner: &str) -> String {
    format!(
        r#"<programme start="20260301200000 +0000" stop="20260301210000 +0000" channel="news.tv">{inner}</programme>"#
    )
}

fn utf16(text: &str, is_big_endian: bool, has_mark: bool) -> Vec<u8> {
    let mark = has_mark.then_some('\u{FEFF}');
    let text: String = mark.into_iter().chain(text.chars()).collect();
    text.encode_utf16()
        .flat_map(|unit| if is_big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() })
        .collect()
}

#[test]
fn odd_guides_are_read_as_far_as_they_make_sense() {
    let plain = programme("<title>Tagesschau</title>");
    let umlaut = programme("<title>Für Elise</title>");
    let latin1: Vec<u8> = umlaut.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let declared = |name: &str, bytes: &[u8]| {
        [format!("<?xml version='1.0' encoding='{name}'?><tv>").as_bytes(), bytes, b"</tv>"].concat()
    };
    let at = |start: &str, stop: &str, title: &str| {
        let stop = if stop.is_empty() { String::new() } else { format!(" stop=\"{stop}\"") };
        format!("<programme start=\"{start}\"{stop} channel=\"news.tv\"><title>{title}</title></programme>")
    };
    let deep = format!("{}x{}", "<a>".repeat(5000), "</a>".repeat(5000));
    let bomb = "<!DOCTYPE tv [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY x SYSTEM \"file:///etc/passwd\">]>";
    let usual = "100 012000-012100 Tagesschau";
    let rows: Vec<(&str, Vec<u8>, Vec<&str>)> = vec![
        ("a usual one", format!("<?xml version=\"1.0\"?>\n<!DOCTYPE tv SYSTEM \"xmltv.dtd\">\n<tv>{plain}</tv>").into(), vec![usual]),
        ("nothing", Vec::new(), vec![]),
        ("a page instead", b"<!DOCTYPE html><html><body>Not found & sorry</body></html>".to_vec(), vec![]),
        ("JSON instead", b"{\"error\":\"expired\"}".to_vec(), vec![]),
        ("a bare ampersand", format!("<tv>{}</tv>", programme("<title>Law & Order</title>")).into(), vec!["100 012000-012100 Law & Order"]),
        ("an ampersand with a word", format!("<tv>{}</tv>", programme("<title>A&E &B; C</title>")).into(), vec!["100 012000-012100 A&E &B; C"]),
        ("an address with ampersands", format!("<tv>{}</tv>", programme("<title>T</title><icon src=\"http://h/i?a=1&b=2\"/>")).into(), vec!["100 012000-012100 T"]),
        ("references of HTML and numbers", format!("<tv>{}</tv>", programme("<title>F&uuml;r &#69;&#x6c;ise &lt;3</title>")).into(), vec!["100 012000-012100 Für Elise <3"]),
        ("a bare less-than", format!("<tv>{}</tv>", programme("<title>1 < 2</title>")).into(), vec!["100 012000-012100 1 < 2"]),
        ("text as it is", format!("<tv>{}</tv>", programme("<title><![CDATA[A <b> & ]] C]]></title>")).into(), vec!["100 012000-012100 A <b> & ]] C"]),
        ("control characters", format!("<tv>{}</tv>", programme("<title>A\u{1a}B&#8;C\u{0}</title>")).into(), vec!["100 012000-012100 ABC"]),
        ("a mark in front", format!("\u{FEFF}<?xml version=\"1.0\" encoding=\"utf-8\"?><tv>{umlaut}</tv>").into(), vec!["100 012000-012100 Für Elise"]),
        ("Latin-1 that says so", declared("ISO-8859-1", &latin1), vec!["100 012000-012100 Für Elise"]),
        ("Latin-1 that says it is UTF-8", declared("UTF-8", &latin1), vec!["100 012000-012100 Für Elise"]),
        ("UTF-16 with a mark", utf16(&format!("<?xml version=\"1.0\" encoding=\"UTF-16\"?><tv>{umlaut}</tv>"), false, true), vec!["100 012000-012100 Für Elise"]),
        ("UTF-16 the other way round, without", utf16(&format!("<tv>{umlaut}</tv>"), true, false), vec!["100 012000-012100 Für Elise"]),
        ("UTF-8 that says it is UTF-16", declared("UTF-16", umlaut.as_bytes()), vec!["100 012000-012100 Für Elise"]),
        ("a code that nobody knows", declared("x-klingon", umlaut.as_bytes()), vec!["100 012000-012100 Für Elise"]),
        ("cut off in a programme", format!("<tv>{plain}<programme start=\"20260301210000\" channel=\"news.tv\"><title>Wet").into(), vec![usual]),
        ("cut off in a tag", format!("<tv>{plain}<programme start=\"2026030121").into(), vec![usual]),
        ("no end of the document", format!("<tv>{plain}").into(), vec![usual]),
        ("no end of a programme", format!("<tv>{}{}</tv>", plain.replace("</programme>", ""), at("20260301210000", "20260301220000", "Wetter")).into(), vec![usual, "100 012100-012200 Wetter"]),
        ("no end of a title", format!("<tv>{}</tv>", programme("<title>Tagesschau<desc>D</desc>")).into(), vec!["100 012000-012100 Tagesschau"]),
        ("ends that nothing began", format!("<tv></b></tv></x>{}</tv>", programme("</i><title>Tagesschau</title></p>")).into(), vec![usual]),
        ("a quote that is not closed", format!("<tv><programme start=\"20260301180000\" stop=\"20260301190000 channel=\"news.tv\"><title>A</title></programme>{plain}</tv>").into(), vec![usual]),
        ("attributes without quotes", b"<tv><programme start=20260301200000 stop=20260301210000 channel=news.tv><title>Tagesschau</title></programme></tv>".to_vec(), vec![usual]),
        ("single quotes and line ends in tags", b"<tv><programme\n start='20260301200000 +0000'\r\n\tstop='20260301210000 +0000' channel = 'news.tv' ><title lang='de'>Tagesschau</title></programme></tv>".to_vec(), vec![usual]),
        ("capital letters", b"<TV><PROGRAMME START=\"20260301200000\" STOP=\"20260301210000\" CHANNEL=\"NEWS.TV\"><title>Tagesschau</title></PROGRAMME></TV>".to_vec(), vec![usual]),
        ("entities that grow", format!("<?xml version=\"1.0\"?>{bomb}<tv>{}</tv>", programme("<title>&b;&x;</title>")).into(), vec!["100 012000-012100 &b;&x;"]),
        ("elements without an end", format!("<tv>{}</tv>", programme(&format!("<title>Tagesschau</title>{deep}"))).into(), vec![usual]),
        ("a comment with tags in it", format!("<tv><!-- <programme> -- {plain} --->{plain}</tv>").into(), vec![usual]),
        ("a text without an end", format!("<tv>{}{}</tv>", programme(&format!("<title>Tagesschau</title><desc>{}</desc>", "x".repeat(200_000))), at("20260301210000", "20260301220000", "Wetter")).into(), vec![usual, "100 012100-012200 Wetter"]),
        ("no title", format!("<tv>{}</tv>", programme("<title/><desc>D</desc>")).into(), vec!["100 012000-012100 News"]),
        ("times with zones", format!("<tv>{}{}{}</tv>", at("20260301210000 +0100", "20260301220000 +0100", "A"), at("20260301160000 -0500", "20260301170000 EST", "B"), at("2026-03-01T23:00:00+01:00", "2026-03-02T00:00:00+01:00", "C")).into(), vec!["100 012000-012100 A", "100 012100-012200 B", "100 012200-012300 C"]),
        ("times without zones and seconds", format!("<tv>{}</tv>", at("202603012000", "202603012100", "Tagesschau")).into(), vec![usual]),
        ("times that are none", format!("<tv>{}{}{plain}</tv>", at("soon", "later", "A"), at("20261341250000", "", "B")).into(), vec![usual]),
        ("an end before the start", format!("<tv>{}{}</tv>", at("20260301200000", "20260301190000", "A"), at("20260301203000", "20260301210000", "B")).into(), vec!["100 012000-012030 A", "100 012030-012100 B"]),
        ("no ends at all", format!("<tv>{}{}</tv>", at("20260301200000", "", "A"), at("20260301203000", "", "B")).into(), vec!["100 012000-012030 A", "100 012030-012130 B"]),
        ("years too late and too early", format!("<tv>{}{plain}{}</tv>", at("19700101000000", "19700101010000", "A"), at("29990101000000", "29990101010000", "B")).into(), vec![usual]),
        ("programmes that overlap", format!("<tv>{}{}{}</tv>", at("20260301200000", "20260301213000", "A"), at("20260301210000", "20260301220000", "B"), at("20260301203000", "20260301204000", "within")).into(), vec!["100 012000-012100 A", "100 012100-012200 B"]),
        ("the same twice", format!("<tv>{plain}{plain}</tv>").into(), vec![usual]),
        ("in the wrong order", format!("<tv>{}{plain}</tv>", at("20260301210000", "20260301220000", "Wetter")).into(), vec![usual, "100 012100-012200 Wetter"]),
        ("channels behind their programmes", format!("<tv>{}<channel id=\"x.1\"><display-name>DE: News HD</display-name></channel></tv>", plain.replace("news.tv", "x.1")).into(), vec![usual]),
        ("a channel without an id, one without a name", format!("<tv><channel><display-name>X</display-name></channel><channel id=\"news.tv\"/>{plain}</tv>").into(), vec![usual]),
        ("a prefix for everything", format!("<x:tv xmlns:x=\"u\">{plain}</x:tv>").into(), vec![usual]),
    ];
    assert!(rows.len() >= 40);
    for (name, guide, expected) in rows {
        assert_eq!(programmes(&made(&[&guide], &lineup())), expected, "{name}");
    }
}

#[test]
fn a_declared_code_is_read_as_it_says() {
    let (before, after) = (programme("<title>").replace("</programme>", ""), b"</title></programme></tv>");
    let guide = [
        b"<?xml version=\"1.0\" encoding=\"windows-1251\"?><tv>",
        before.as_bytes(),
        b"\xcd\xee\xe2\xee\xf1\xf2\xe8",
        after,
    ]
    .concat();
    assert_eq!(programmes(&made(&[&guide], &lineup())), ["100 012000-012100 Новости"]);
}

#[test]
fn channels_are_called_by_their_numbers_with_name_and_logo() {
    let guide = format!(
        "<tv><channel id=\"News.TV\"><display-name>Das Nachrichtenprogramm</display-name><icon src=\"http://l/a?x=1&amp;y=2\"/></channel>{}</tv>",
        programme(
            "<title lang=\"de\">T</title><episode-num system=\"xmltv_ns\">1.2.0/1</episode-num><icon src=\"http://u:hunter2@l/b\"/><url>http://h/?password=hunter2</url>"
        )
    );
    let xml = made(&[guide.as_bytes()], &lineup());
    assert!(!xml.contains("hunter2"), "{xml}");
    assert!(xml.contains("<channel id=\"100\"><display-name>News</display-name><display-name>100</display-name><icon src=\"http://l/a?x=1&amp;y=2\"/></channel>"), "{xml}");
    assert!(xml.contains("<channel id=\"101\"><display-name>Kino &amp; Co</display-name><display-name>101</display-name></channel>"), "{xml}");
    assert!(xml.contains("channel=\"100\"><title lang=\"de\">T</title><episode-num system=\"xmltv_ns\">1.2.0/1</episode-num><icon/>"), "{xml}");
}

#[test]
fn a_guide_is_found_by_id_then_by_name_and_one_that_tells_what_comes_is_preferred() {
    let coming = |id: &str, title: &str| programme(&format!("<title>{title}</title>")).replace("news.tv", id);
    let over = |id: &str| coming(id, "over").replace("20260301", "20260201");
    let named =
        |id: &str, name: &str| format!("<channel id=\"{id}\"><display-name>{name}</display-name></channel>");
    for (name, guides, expected) in [
        (
            "by id, not by name",
            vec![named("x", "News") + &coming("x", "by name") + &coming("news.tv", "by id")],
            Some("by id"),
        ),
        ("the first guide", vec![coming("news.tv", "first"), coming("news.tv", "second")], Some("first")),
        ("not one that is over", vec![over("news.tv"), coming("news.tv", "second")], Some("second")),
        (
            "a name rather than an id that is over",
            vec![over("news.tv") + &named("x", "UK: NEWS FHD") + &coming("x", "by name")],
            Some("by name"),
        ),
        (
            "an id that is a name there",
            vec![named("1", "news.tv") + &coming("1", "by its id")],
            Some("by its id"),
        ),
        ("none", vec![named("x", "News +1") + &coming("x", "later")], None),
    ] {
        let guides: Vec<&[u8]> = guides.iter().map(String::as_bytes).collect();
        let lineup = [channel("100", "News", &["news.tv"])];
        let expected: Vec<String> =
            expected.iter().map(|title| format!("100 012000-012100 {title}")).collect();
        assert_eq!(programmes(&made(&guides, &lineup)), expected, "{name}");
    }
}

#[test]
fn one_channel_of_a_guide_serves_several_each_with_its_own_shift() {
    let mut lineup = [channel("100", "News", &["news.tv"]), channel("101", "News later", &["news.tv"])];
    lineup[1].shift_seconds = parse_shift("+1.5");
    let xml = made(&[programme("<title>T</title>").as_bytes()], &lineup);
    assert_eq!(programmes(&xml), ["100 012000-012100 T", "101 012130-012230 T"]);
}

#[test]
fn channels_without_a_guide_get_placeholders_if_wished() {
    let (xml, counts) = made_in(4096, &[programme("<title>T</title>").as_bytes()], &lineup(), true);
    let all = programmes(&xml);
    assert_eq!(
        all[..3],
        ["100 012000-012100 T", "101 011500-011800 Kino & Co", "101 011800-012100 Kino & Co"]
    );
    assert_eq!((all.len(), counts.channels_with_programmes), (26, 1));
}

#[test]
fn times_are_read_in_every_spelling() {
    for (text, expected) in [
        ("20260301200000 +0000", Some(NOW)),
        (" 20260301200000", Some(NOW)),
        ("20260301200000Z", Some(NOW)),
        ("20260301200000 UTC", Some(NOW)),
        ("20260301200000 Mars", Some(NOW)),
        ("20260301200000.123 +0000", Some(NOW)),
        ("20260301200000123", Some(NOW)),
        ("202603012000", Some(NOW)),
        ("2026030120", Some(NOW)),
        ("20260301", Some(NOW - 20 * 3600)),
        ("20260301210000 +01:00", Some(NOW)),
        ("20260301210000 +01", Some(NOW)),
        ("20260301210000 CET", Some(NOW)),
        ("20260301210000 GMT+1", Some(NOW)),
        ("20260302013000 +0530", Some(NOW)),
        ("20260301240000", Some(NOW + 4 * 3600)),
        ("20260301200000 +9900", Some(NOW)),
        ("2026-03-01 20:00", Some(NOW)),
        ("2026-03-01T20:00:00.000Z", Some(NOW)),
        ("2026-03-01T22:00:00+0200", Some(NOW)),
        ("20240229200000", Some(1_709_236_800)),
        ("20260229200000", None),
        ("20260301206000", None),
        ("20261301000000", None),
        ("2026030", None),
        ("", None),
        ("now", None),
        ("20260301é", Some(NOW - 20 * 3600)),
    ] {
        assert_eq!(parse_time(text), expected, "{text}");
    }
    assert_eq!(shown_time(NOW).as_deref(), Some("20260301200000 +0000"));
    for (text, expected) in [
        ("1", Some(3600)),
        ("+2", Some(7200)),
        ("-1.5", Some(-5400)),
        ("0,25", Some(900)),
        ("1:30", Some(5400)),
        ("", None),
        ("x", None),
        ("1.", None),
        ("99", None),
        ("-", None),
    ] {
        assert_eq!(parse_shift(text), expected, "{text}");
    }
}

#[test]
fn names_that_mean_the_same_are_the_same() {
    for (one, other, is_same) in [
        ("BBC One", "UK: BBC ONE FHD", true),
        ("BBC One", "|UK| BBC One ᴴᴰ", true),
        ("ZDF neo", "DE - ZDFneo [backup]", true),
        ("A&E", "A and E", true),
        ("L'Équipe", "L’ÉQUIPE 21", false),
        ("L'Équipe", "L’ÉQUIPE", true),
        ("ITV", "ITV +1", false),
        ("ITV+1", "ITV +1 HD", true),
        ("HD", "4K", false),
        ("RTL", "RTL II", false),
        ("TNT: Drama", "Drama", true),
        ("M6", "M6 Music", false),
    ] {
        assert_eq!(normalised(one) == normalised(other), is_same, "{one} and {other}");
    }
    assert_eq!((normalised(""), normalised("!?")), (String::new(), String::new()));
}

#[test]
fn a_long_guide_needs_no_memory_of_its_own() {
    /// Counts, and keeps nothing.
    struct Sink(usize);
    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lineup = lineup();
    let logos = vec![String::new(); 2];
    let mut writer = GuideWriter::begin(Sink(0), &lineup, &logos, NOW).unwrap();
    for minute in 0..20_000 {
        let start = NOW + minute * 60;
        let body = format!("<title>{}</title>", "x".repeat(1000));
        let programme =
            Programme { id: "news.tv".to_owned(), start, stop: Some(start + 60), has_title: true, body };
        writer.programme(0, &programme, 0).unwrap();
    }
    let (sink, counts) = writer.finish(false).unwrap();
    assert_eq!(counts.programmes, 20_000);
    assert!(sink.0 > 20_000_000);
}

#[test]
fn a_guide_has_so_many_programmes_for_a_channel_and_no_more() {
    let lineup = lineup();
    let mut writer =
        GuideWriter::begin(std::io::sink(), &lineup, &[String::new(), String::new()], NOW).unwrap();
    for second in (0..40_000).rev() {
        let programme =
            Programme { id: "news.tv".to_owned(), start: NOW + second, stop: None, ..Programme::default() };
        writer.programme(0, &programme, 0).unwrap();
    }
    let (_sink, counts) = writer.finish(false).unwrap();
    assert_eq!((counts.programmes, counts.out_of_range), (30_000, 10_000));
}

#[test]
fn names_of_a_guide_have_a_bound_however_many_it_gives_one_channel_or_one_name_has() {
    let channel = |id: usize, name: String| {
        GuideEntry::Channel(GuideChannel {
            id: format!("c{id}"),
            names: vec![name],
            ..GuideChannel::default()
        })
    };
    let mut many_names = Digest::default();
    (0..250_000).for_each(|number| many_names.add(&channel(0, format!("n{number}")), NOW));
    let mut one_name = Digest::default();
    (0..50_000).for_each(|number| one_name.add(&channel(number, "News".to_owned()), NOW));
    assert_eq!((many_names.names(), one_name.names()), ((200_000, 200_000), (1, 32)));
    // The first ones are known.
    let found = |digest: Digest, name: &str| {
        choose(&[LineupChannel { name: name.to_owned(), ..LineupChannel::default() }], &[digest])
    };
    assert!(found(many_names, "n7")[0].is_some());
    assert!(found(one_name, "News")[0].as_ref().is_some_and(|pick| pick.key == "c0"));
}

proptest! {
    #[test]
    fn whatever_comes_something_well_formed_is_written(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just("<tv>".to_owned()), Just("</tv>".to_owned()), Just("<programme ".to_owned()),
                Just("start=\"20260301200000\" ".to_owned()), Just("channel='news.tv'".to_owned()), Just(">".to_owned()),
                Just("<title>".to_owned()), Just("</title>".to_owned()), Just("</programme>".to_owned()),
                Just("<channel id=\"news.tv\">".to_owned()), Just("<![CDATA[".to_owned()), Just("]]>".to_owned()),
                Just("<!--".to_owned()), Just("-->".to_owned()), Just("<!DOCTYPE x [".to_owned()), Just("\"".to_owned()),
                Just("&#x".to_owned()), Just("&amp;".to_owned()), Just("<?".to_owned()), Just("/>".to_owned()), "\\PC{0,12}",
            ],
            0..60,
        ),
        bytes in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let text = pieces.concat().into_bytes();
        for guide in [text.clone(), [&text[..], &bytes].concat(), [&bytes[..], &text].concat()] {
            programmes(&made(&[&guide], &lineup()));
        }
    }
}
