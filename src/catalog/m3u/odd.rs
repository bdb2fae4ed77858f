//! Lists as providers write them and people report them.

use super::tests::read;

/// What is expected of an entry: name, group, identifier, address.
type Expected = &'static [(&'static str, &'static str, &'static str, &'static str)];

/// What is odd about a list, the list, its entries.
type Row = (&'static str, &'static [u8], Expected);

const ONE: Expected = &[("One", "", "", "http://h/1")];
const NEWS: Expected = &[("One", "News", "one", "http://h/1")];

#[rustfmt::skip]
const LISTS: &[Row] = &[
    // Encodings and line ends.
    ("nothing is", b"#EXTM3U\n#EXTINF:-1 tvg-id=\"one\" group-title=\"News\",One\nhttp://h/1\n", NEWS),
    ("no header", b"#EXTINF:-1,One\nhttp://h/1", ONE),
    ("a header without its sign", b"EXTM3U\n#EXTINF:-1,One\nhttp://h/1", ONE),
    ("a byte order mark", b"\xEF\xBB\xBF#EXTM3U\n#EXTINF:-1,One\nhttp://h/1\n", ONE),
    ("a byte order mark and no header", b"\xEF\xBB\xBF#EXTINF:-1,One\nhttp://h/1\n", ONE),
    ("UTF-16, little end first", b"\xFF\xFE#\0E\0X\0T\0I\0N\0F\0:\0-\x001\0,\0O\0n\0e\0\r\0\n\0h\0t\0t\0p\0:\0/\0/\0h\0/\x001\0", ONE),
    ("UTF-16, big end first", b"\xFE\xFF\0#\0E\0X\0T\0I\0N\0F\0:\0-\x001\0,\0O\0n\0e\0\n\0h\0t\0t\0p\0:\0/\0/\0h\0/\x001\0\n", ONE),
    ("UTF-16 without a mark, little end first", b"#\0E\0X\0T\0I\0N\0F\0:\0-\x001\0,\0O\0n\0e\0\n\0h\0t\0t\0p\0:\0/\0/\0h\0/\x001\0", ONE),
    ("UTF-16 without a mark, big end first", b"\0#\0E\0X\0T\0I\0N\0F\0:\0-\x001\0,\0O\0n\0e\0\n\0h\0t\0t\0p\0:\0/\0/\0h\0/\x001", ONE),
    ("UTF-16 with a character of two units", b"\xFF\xFE#\0E\0X\0T\0I\0N\0F\0:\0,\0\x3D\xD8\xFB\xDC\n\0u\0", &[("\u{1F4FB}", "", "", "u")]),
    ("UTF-16 cut within a character", b"\xFF\xFE#\0E\0X\0T\0I\0N\0F\0:\0,\0\x3D\xD8\n\0u\0\x3D", &[("\u{FFFD}", "", "", "u")]),
    ("Latin-1", b"#EXTINF:-1 group-title=\"Espa\xF1a\",T\xE9l\xE9\nhttp://h/1\n", &[("T\u{e9}l\u{e9}", "Espa\u{f1}a", "", "http://h/1")]),
    ("UTF-8 and Latin-1 by turns", b"#EXTINF:-1,T\xC3\xA9\nu\n#EXTINF:-1,T\xE9\nv\n", &[("T\u{e9}", "", "", "u"), ("T\u{e9}", "", "", "v")]),
    ("carriage returns and line feeds", b"#EXTM3U\r\n#EXTINF:-1,One\r\nhttp://h/1\r\n", ONE),
    ("carriage returns alone", b"#EXTM3U\r#EXTINF:-1,One\rhttp://h/1\r", ONE),
    ("a carriage return too many", b"#EXTM3U\r\r\n#EXTINF:-1,One\r\r\nhttp://h/1\r\r\n", ONE),
    ("blank lines and blanks around lines", b"\n\n  #EXTINF:-1,One  \n\n\thttp://h/1 \n\n", ONE),
    // A name is shown to everybody.
    ("a login and nothing behind the host", b"http://user:secret@h.example\nhttp://user:secret@h.example/\n",
        &[("h.example", "", "", "http://user:secret@h.example"), ("h.example", "", "", "http://user:secret@h.example/")]),
    // Directives.
    ("small letters", b"#extm3u\n#extinf:-1 tvg-id=\"one\",One\n#extgrp:News\nhttp://h/1\n", NEWS),
    ("mixed letters", b"#ExtInf:-1,One\nhttp://h/1\n", ONE),
    ("a group on a line of its own", b"#EXTINF:0 tvg-id=\"one\" tvg-rec=\"0\", One\n#EXTGRP:News\nhttp://h/1\n", NEWS),
    ("a group in front of its entries", b"#EXTM3U\n#EXTGRP:News\n#EXTINF:-1,A\na\n#EXTINF:-1,B\n#EXTGRP:Own\nb\n#EXTINF:-1,C\nc\n#EXTGRP:Else\n#EXTINF:-1,D\nd\n",
        &[("A", "News", "", "a"), ("B", "Own", "", "b"), ("C", "News", "", "c"), ("D", "Else", "", "d")]),
    ("both kinds of group", b"#EXTINF:-1 group-title=\"Title\",A\n#EXTGRP:Group\na\n", &[("A", "Title", "", "a")]),
    ("directives nobody knows", b"#EXTM3U url-tvg=\"http://e/\"\n#PLAYLIST:x\n#EXT-X-SESSION-DATA:DATA-ID=\"com.xui.1_5_5r2\"\n#EXTINF:-1,One\n#EXTIMG:y\nhttp://h/1\n", ONE),
    ("a comment between", b"#EXTINF:-1,One\n# http://h/0\nhttp://h/1\n", ONE),
    ("no duration", b"#EXTINF:,One\nhttp://h/1\n", ONE),
    ("a duration with a fraction", b"#EXTINF:-1.000,One\nhttp://h/1\n", ONE),
    ("a blank behind the colon", b"#EXTINF: -1 , One\nhttp://h/1\n", ONE),
    ("attributes in the place of the duration", b"#EXTINF:tvg-id=\"one\" group-title=\"News\",One\nhttp://h/1\n", NEWS),
    // Quotes.
    ("single quotes", b"#EXTINF:-1 tvg-id='one' group-title='News',One\nhttp://h/1\n", NEWS),
    ("no quotes", b"#EXTINF:-1 tvg-id=one group-title=News,One\nhttp://h/1\n", NEWS),
    ("all kinds of quotes", b"#EXTINF:-1 tvg-id='one' group-title=\"News\" tvg-logo=x,One\nhttp://h/1\n", NEWS),
    ("single quotes in double ones", b"#EXTINF:-1 group-title=\"Kid's TV\",One\nu\n", &[("One", "Kid's TV", "", "u")]),
    ("double quotes in single ones", b"#EXTINF:-1 group-title='The \"News\"',One\nu\n", &[("One", "The \"News\"", "", "u")]),
    ("quotes in quotes", b"#EXTINF:-1 tvg-id=\"\" tvg-name=\"This is \"a test\"\" tvg-logo=\"http://l/\" group-title=\"TEST\",This is \"a test\"\nu\n",
        &[("This is \"a test\"", "TEST", "", "u")]),
    ("a quote that is not closed", b"#EXTINF:-1 group-title=\"News,One\nu\n", &[("One", "", "", "u")]),
    ("a quote that only the next attribute's would close", b"#EXTINF:-1 tvg-id=\"one tvg-name=\"x\",One\nu\n", &[("One", "", "", "u")]),
    ("no blanks between", b"#EXTINF:-1 tvg-name=\"R | T\"tvg-id=\"one\"tvg-logo=\"https://l/T.png\"tvg-chno=\"763\"group-title=\"News\",One\nhttp://h/1\n", NEWS),
    ("blanks around the equals sign", b"#EXTINF:-1 tvg-id = \"one\" group-title= \"News\",One\nhttp://h/1\n", NEWS),
    ("an empty value without quotes", b"#EXTINF:-1 tvg-logo= tvg-id=one group-title=News,One\nhttp://h/1\n", NEWS),
    ("names of attributes in capitals", b"#EXTINF:-1 TVG-ID=\"one\" Group-Title=\"News\",One\nhttp://h/1\n", NEWS),
    ("blanks within values", b"#EXTINF:-1 tvg-id=\" one \" group-title=\" News\",One\nhttp://h/1\n", NEWS),
    ("the same attribute twice", b"#EXTINF:-1 tvg-id=\"two\" tvg-id=\"one\" group-title=\"News\",One\nhttp://h/1\n", NEWS),
    ("a picture in an attribute", b"#EXTINF:-1 tvg-logo=\"data:image/jpeg;base64,/9j/4A==\" tvg-id=\"one\" group-title=\"News\",One\nhttp://h/1\n", NEWS),
    ("words between attributes", b"#EXTINF:-1 tvg-id=\"one\" rubbish group-title=\"News\",One\nhttp://h/1\n", NEWS),
    // Commas.
    ("a comma behind the duration", b"#EXTINF:-1, tvg-id=\"one\" group-title=\"News\",One\nhttp://h/1\n", NEWS),
    ("commas between attributes", b"#EXTINF:-1 tvg-id=\"one\", group-title=\"News\", tvg-logo=\"l\", One\nhttp://h/1\n", NEWS),
    ("commas in a name", b"#EXTINF:-1 tvg-name=\"The Good, the Bad\" group-title=\"G\",The Good, the Bad\nu\n", &[("The Good, the Bad", "G", "", "u")]),
    ("commas in a value", b"#EXTINF:-1 group-title=\"(.*),(.*),\",Ahla FM\nu\n", &[("Ahla FM", "(.*),(.*),", "", "u")]),
    ("a comma and no attributes", b"#EXTINF:-1,TiNGL - Pitch, Please\nu\n", &[("TiNGL - Pitch, Please", "", "", "u")]),
    ("two commas", b"#EXTINF:-1,,One\nu\n", &[(",One", "", "", "u")]),
    ("no comma at all", b"#EXTINF:-1  1 $  CHANNEL 1\nu\n", &[("1 $ CHANNEL 1", "", "", "u")]),
    ("no name, but tvg-name", b"#EXTINF:-1 tvg-name=\"One\",\nhttp://h/1\n", ONE),
    ("no comma, but tvg-name", b"#EXTINF:-1 tvg-name=\"One\"\nhttp://h/1\n", ONE),
    ("no name at all", b"#EXTINF:-1\nu\n", &[("", "", "", "u")]),
    ("attributes behind the name", b"#EXTINF:-1,One tvg-id=\"one\" group-title=\"News\"\nhttp://h/1\n", NEWS),
    ("an equals sign in a name", b"#EXTINF:-1,1+1=2\nu\n", &[("1+1=2", "", "", "u")]),
    // Addresses.
    ("addresses alone", b"http://h/one.ts\nhttp://h/tv/BBC%20Two/\n\nudp://@239.1.1.1:1234\nhttps://tv.example?x=1\n",
        &[("one", "", "", "http://h/one.ts"), ("BBC Two", "", "", "http://h/tv/BBC%20Two/"), ("@239.1.1.1:1234", "", "", "udp://@239.1.1.1:1234"), ("tv.example", "", "", "https://tv.example?x=1")]),
    ("addresses under a header", b"#EXTM3U\nhttp://h/one.ts\n", &[("one", "", "", "http://h/one.ts")]),
    ("an address with options alone", b"http://h/one|User-Agent=x\n", &[("one", "", "", "http://h/one")]),
    ("a second address", b"#EXTINF:-1,One\nhttp://h/1\nhttp://h/backup\n", ONE),
    ("the address on the entry's line", b"#EXTINF:-1,DE: One http://h/1\n#EXTINF:-1,Two http://h/2\n", &[("DE: One", "", "", "http://h/1"), ("Two", "", "", "http://h/2")]),
    ("an entry without an address", b"#EXTINF:-1,Lost\n#EXTINF:-1,One\nhttp://h/1\n#EXTINF:-1,Last\n", ONE),
    ("an address no standard knows", b"#EXTINF:-1,One\nplugin://x/play?id=1\n#EXTINF:-1,Two\nrtp:239.1.1.1\n#EXTINF:-1,Three\nC:\\tv.ts\n",
        &[("One", "", "", "plugin://x/play?id=1"), ("Two", "", "", "rtp:239.1.1.1"), ("Three", "", "", "C:\\tv.ts")]),
    ("blanks in an address", b"#EXTINF:-1,One\nhttp://h/a b.ts\n", &[("One", "", "", "http://h/a b.ts")]),
    // What is no list.
    ("nothing", b"", &[]),
    ("a mark and nothing", b"\xEF\xBB\xBF", &[]),
    ("a page", b"<!DOCTYPE html>\n<html><body>\n<a href=\"http://h/\">expired</a>\nhttp is missing\n</body></html>\n", &[]),
    ("an error in JSON", b"{\"user_info\":{\"auth\":0},\"url\":\"http://h/\"}", &[]),
    ("zeros", b"\0\0\0\0\0\0\0\0", &[]),
];

#[test]
fn odd_lists_are_read_as_they_are_meant() {
    assert!(LISTS.len() > 60);
    let mut wrong = Vec::new();
    for (what, bytes, expected) in LISTS {
        let (items, _) = read(bytes);
        let found: Vec<_> = items
            .iter()
            .map(|item| (item.name.as_str(), item.group.as_str(), item.tvg_id.as_str(), item.url.as_str()))
            .collect();
        if found != *expected {
            wrong.push(format!("{what}: {found:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn odd_lists_are_the_same_however_they_come_in_pieces() {
    for (what, bytes, _) in LISTS {
        let (whole, _) = read(bytes);
        for piece in [4, 5, 7] {
            let entries = super::Entries::new(std::io::BufReader::with_capacity(piece, *bytes));
            let items: Vec<_> = entries.map(Result::unwrap).collect();
            assert_eq!(items, whole, "{what}, in pieces of {piece}");
        }
    }
}
