//! Playlists, from bytes to items.
//!
//! An entry is an `#EXTINF:` line and the next line that is no comment, whatever that line holds: providers
//! write addresses that no standard knows. Nothing here is an error. What is of no use is left out and
//! counted, so that an operator can see why a playlist has fewer channels than expected.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use crate::http::RequestHeaders;

mod keys;
mod options;

pub use keys::{channel_key, item_key};
pub use options::split_address;

/// Lines longer than this are left out, and end the entry they may have belonged to.
pub const LINE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Addresses longer than this are left out with their entries: no request could carry them.
pub const URL_BYTES_MAX: usize = 8 * 1024;
/// Attributes of an entry behind this many are left out, and so are those longer than [`ATTRIBUTE_BYTES_MAX`].
pub const ATTRIBUTES_MAX: usize = 64;
/// The longest name or value of an attribute.
pub const ATTRIBUTE_BYTES_MAX: usize = 4 * 1024;
/// Entries behind this many are left out.
pub const ENTRIES_MAX: usize = 200_000;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// One entry of a playlist.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Item {
    /// Names the entry from one reading of the playlist to the next.
    pub item_key: String,
    /// Shared by the entries that are the same channel.
    pub channel_key: String,
    /// What the viewer reads. May be empty.
    pub name: String,
    /// `group-title`, else what `#EXTGRP:` says, else empty.
    pub group: String,
    /// Where the stream is read from. May hold credentials: never shown unredacted.
    pub url: String,
    /// `tvg-id`, or empty.
    pub tvg_id: String,
    /// `tvg-name`, or empty.
    pub tvg_name: String,
    /// `tvg-logo`, or empty.
    pub tvg_logo: String,
    /// All attributes, their names in lower case.
    pub attrs: BTreeMap<String, String>,
    /// What requests for the stream carry. May hold credentials.
    pub headers: RequestHeaders,
}

impl fmt::Debug for Item {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { item_key, name, .. } = self;
        formatter.debug_struct("Item").field("item_key", item_key).field("name", name).finish_non_exhaustive()
    }
}

/// What a playlist holds, and what of it was left out.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Playlist {
    /// The entries, in their order, those with equal keys included.
    pub items: Vec<Item>,
    /// Lines longer than [`LINE_BYTES_MAX`].
    pub long_lines: u64,
    /// Entries whose address is longer than [`URL_BYTES_MAX`].
    pub long_urls: u64,
    /// Entries behind the first [`ENTRIES_MAX`].
    pub excess_entries: u64,
    /// Entries that end without an address.
    pub entries_without_url: u64,
    /// Addresses that belong to no entry.
    pub urls_without_entry: u64,
    /// Lines that are not UTF-8, and were read as Latin-1.
    pub latin1_lines: u64,
}

/// Reads a playlist.
#[must_use]
pub fn parse(bytes: &[u8]) -> Playlist {
    parse_within(bytes, LINE_BYTES_MAX, ENTRIES_MAX)
}

fn parse_within(bytes: &[u8], line_bytes_max: usize, entries_max: usize) -> Playlist {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let mut reader = Reader {
        entries_max,
        entry: None,
        group: None,
        headers: RequestHeaders::default(),
        playlist: Playlist::default(),
    };
    for line in bytes.split(|&byte| byte == b'\n') {
        if line.len() > line_bytes_max {
            reader.playlist.long_lines += 1;
            reader.end_entry();
        } else {
            reader.line(line);
        }
    }
    reader.end_entry();
    reader.playlist
}

/// An `#EXTINF:` line whose address is still to come.
struct Entry {
    name: String,
    attrs: BTreeMap<String, String>,
}

struct Reader {
    entries_max: usize,
    entry: Option<Entry>,
    /// Of the open entry; of the next one when none is open.
    group: Option<String>,
    /// Of the open entry; of the next one when none is open.
    headers: RequestHeaders,
    playlist: Playlist,
}

impl Reader {
    fn line(&mut self, line: &[u8]) {
        let line = self.text(line);
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("#EXTINF:") {
            self.end_entry();
            self.entry = Some(Entry { name: name(rest).to_owned(), attrs: attributes(rest) });
        } else if let Some(group) = line.strip_prefix("#EXTGRP:") {
            self.group = Some(group.trim().to_owned());
        } else if line.starts_with('#') {
            options::read_line(line, &mut self.headers);
        } else if !line.is_empty() {
            self.url(line);
        }
    }

    fn text<'line>(&mut self, line: &'line [u8]) -> Cow<'line, str> {
        std::str::from_utf8(line).map_or_else(
            |_not_utf8| {
                self.playlist.latin1_lines += 1;
                Cow::Owned(line.iter().copied().map(char::from).collect())
            },
            Cow::Borrowed,
        )
    }

    /// The open entry, if there is one, has no address.
    fn end_entry(&mut self) {
        if self.entry.take().is_some() {
            self.playlist.entries_without_url += 1;
            self.group = None;
            self.headers = RequestHeaders::default();
        }
    }

    fn url(&mut self, url: &str) {
        let group = self.group.take();
        let of_lines = std::mem::take(&mut self.headers);
        let Some(Entry { name, attrs }) = self.entry.take() else {
            self.playlist.urls_without_entry += 1;
            return;
        };
        if url.len() > URL_BYTES_MAX {
            self.playlist.long_urls += 1;
            return;
        }
        if self.playlist.items.len() == self.entries_max {
            self.playlist.excess_entries += 1;
            return;
        }
        let attribute = |key| attrs.get(key).cloned().unwrap_or_default();
        let tvg_id = attribute("tvg-id");
        let title = attribute("group-title");
        // What stands nearest to the address wins.
        let (address, of_address) = options::split_address(url);
        let headers = of_address.or(&of_lines).or(&options::of_attributes(|name| attrs.get(name)));
        self.playlist.items.push(Item {
            item_key: item_key(&tvg_id, &name, url),
            channel_key: channel_key(&tvg_id, &name),
            group: if title.is_empty() { group.unwrap_or_default() } else { title },
            url: address.to_owned(),
            headers,
            tvg_name: attribute("tvg-name"),
            tvg_logo: attribute("tvg-logo"),
            tvg_id,
            name,
            attrs,
        });
    }
}

/// The text after the last comma: keys of channels without an identifier depend on it, so that a name with a
/// comma in it stays cut as it always was.
fn name(line: &str) -> &str {
    line.rsplit_once(',').map_or("", |(_before, name)| name.trim())
}

/// Every `key="value"`. The last one of a key counts.
fn attributes(line: &str) -> BTreeMap<String, String> {
    let mut attributes = BTreeMap::new();
    let mut rest = line;
    while attributes.len() < ATTRIBUTES_MAX
        && let Some((before, after)) = rest.split_once("=\"")
    {
        let key_bytes = before
            .bytes()
            .rev()
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
            .count();
        if key_bytes == 0 {
            rest = after;
            continue;
        }
        let Some((value, behind)) = after.split_once('"') else { break };
        let key = before[before.len() - key_bytes..].to_ascii_lowercase();
        if key.len() <= ATTRIBUTE_BYTES_MAX && value.len() <= ATTRIBUTE_BYTES_MAX {
            attributes.insert(key, value.trim().to_owned());
        }
        rest = behind;
    }
    attributes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The only item of a playlist.
    fn only(text: &str) -> Item {
        let mut playlist = parse(text.as_bytes());
        assert_eq!(playlist.items.len(), 1, "{text:?}");
        playlist.items.remove(0)
    }

    #[test]
    fn an_entry_with_an_identifier_has_the_known_keys() {
        let item = only(
            "#EXTM3U\n#EXTINF:-1 tvg-id=\"BBC.news\" group-title=\"News\",BBC, News\n\
             http://example.com/a%20b.ts?token=one\n",
        );
        assert_eq!(item.name, "News");
        assert_eq!(item.group, "News");
        assert_eq!(item.item_key, "src:bbc.news:555d057b9597");
        assert_eq!(item.channel_key, "tvg:bbc.news");
        assert_eq!(item.tvg_id, "BBC.news");
        assert_eq!(item.url, "http://example.com/a%20b.ts?token=one");
    }

    #[test]
    fn an_entry_without_usable_attributes_has_the_known_keys() {
        let item = only(
            "#EXTINF:-1 group-title='Sports' tvg-name=One,Sports   One\nhttp://u:p@example.com:80/s.m3u8#f\n",
        );
        assert_eq!(item.name, "Sports   One");
        assert_eq!(item.group, "");
        assert_eq!(item.item_key, "src:88f98c1c577b1882");
        assert_eq!(item.channel_key, "name:sports one");
        assert!(item.attrs.is_empty());
    }

    #[test]
    fn any_line_that_is_no_comment_is_an_address() {
        let item = only("#EXTINF:-1,Only\n#EXTGRP:Some\nnot a url\n");
        assert_eq!(item.url, "not a url");
        assert_eq!(item.item_key, "src:3429a82bf5f2c841");
    }

    #[test]
    fn header_fields_are_of_one_entry_and_the_nearest_to_the_address_wins() {
        let playlist = parse(
            b"#EXTVLCOPT:http-referrer=http://early/\n\
              #EXTINF:-1 user-agent=\"attribute\" http-referrer=\"http://attribute/\",One\n\
              #EXTVLCOPT:http-user-agent=line\nhttp://h/1|User-Agent=address\n\
              #EXTINF:-1,Two\nhttp://h/2\n\
              #EXTINF:-1,Nothing\n#EXTVLCOPT:http-user-agent=lost\n#EXTINF:-1,Three\nhttp://h/3\n",
        );
        let fields = |at: usize| -> Vec<_> { playlist.items[at].headers.iter().collect() };
        assert_eq!(fields(0), [("User-Agent", "address"), ("Referer", "http://early/")]);
        assert_eq!((fields(1), fields(2)), (vec![], vec![]));
        assert_eq!(playlist.items[0].url, "http://h/1");
        // The key is of what the playlist holds, as it always was.
        assert_eq!(playlist.items[0].item_key, item_key("", "One", "http://h/1|User-Agent=address"));
    }

    #[test]
    fn attributes_are_what_stands_in_double_quotes() {
        let cases: &[(&str, &[(&str, &str)])] = &[
            (r#"-1 tvg-ID="a" Tvg_Name=" b ",n"#, &[("tvg-id", "a"), ("tvg_name", "b")]),
            (r#"-1 a="1" a="2",n"#, &[("a", "2")]),
            (r#"-1 a="1"b="2",n"#, &[("a", "1"), ("b", "2")]),
            (r#"-1 a="x, y=z",n"#, &[("a", "x, y=z")]),
            (r#"-1 a='1' b=2,n"#, &[]),
            (r#"-1 ="1" b="2",n"#, &[("b", "2")]),
            (r#"-1 a="open,n"#, &[]),
            (r#"-1 a = "1",n"#, &[]),
            ("-1 ü=\"1\" üb=\"2\",n", &[("b", "2")]),
        ];
        for (line, expected) in cases {
            let expected: BTreeMap<_, _> =
                expected.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
            assert_eq!(attributes(line), expected, "{line}");
        }
    }

    #[test]
    fn the_specially_used_attributes_are_kept_among_the_others_too() {
        let item = only(
            "#EXTINF:-1 tvg-id=\"i\" tvg-name=\"n\" tvg-logo=\"l\" group-title=\"g\" catchup=\"c\",Name\nu\n",
        );
        assert_eq!(
            (item.tvg_id.as_str(), item.tvg_name.as_str(), item.tvg_logo.as_str(), item.group.as_str()),
            ("i", "n", "l", "g")
        );
        let keys: Vec<_> = item.attrs.keys().map(String::as_str).collect();
        assert_eq!(keys, ["catchup", "group-title", "tvg-id", "tvg-logo", "tvg-name"]);
    }

    #[test]
    fn a_name_may_be_missing() {
        for line in ["#EXTINF:-1", "#EXTINF:", "#EXTINF:-1,", "#EXTINF:-1 ,  "] {
            let item = only(&format!("{line}\nhttp://h/p\n"));
            assert_eq!((item.name.as_str(), item.channel_key.as_str()), ("", "name:"), "{line}");
        }
    }

    #[test]
    fn extgrp_counts_where_there_is_no_group_title() {
        let cases = [
            ("#EXTINF:-1,n\n#EXTGRP:Late\nu", "Late"),
            ("#EXTGRP: Early \n#EXTINF:-1,n\nu", "Early"),
            ("#EXTINF:-1 group-title=\"Title\",n\n#EXTGRP:Late\nu", "Title"),
            ("#EXTINF:-1 group-title=\" \",n\n#EXTGRP:Late\nu", "Late"),
            ("#EXTINF:-1,first\n#EXTGRP:Of the first\n#EXTINF:-1,n\nu", ""),
            ("#EXTGRP:Of nobody\nhttp://stray\n#EXTINF:-1,n\nu", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(only(text).group, expected, "{text}");
        }
        let two = parse(b"#EXTINF:-1,a\n#EXTGRP:One\nu\n#EXTINF:-1,b\nv\n");
        assert_eq!(two.items[1].group, "", "a group is of one entry");
    }

    #[test]
    fn comments_blank_lines_and_strays_are_passed_over() {
        let playlist = parse(
            b"http://stray\n#EXTINF:-1,replaced\n#EXTVLCOPT:x\n\n#EXTINF:-1,a\n # comment\n\nhttp://h/a\nhttp://stray\n#EXTINF:-1,last",
        );
        let names: Vec<_> = playlist.items.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, ["a"]);
        assert_eq!((playlist.urls_without_entry, playlist.entries_without_url), (2, 2));
    }

    #[test]
    fn byte_order_mark_and_carriage_returns_change_nothing() {
        let plain = parse(b"#EXTINF:-1 tvg-id=\"x\",One\nhttp://h/p\n");
        assert_eq!(parse(b"\xEF\xBB\xBF#EXTINF:-1 tvg-id=\"x\",One\r\nhttp://h/p\r\n"), plain);
        assert_eq!(plain.items.len(), 1);
    }

    #[test]
    fn a_line_that_is_not_utf8_is_latin1() {
        let playlist = parse(b"#EXTINF:-1,T\xE9l\xE9\nhttp://h/p\n");
        assert_eq!(playlist.items[0].name, "Télé");
        assert_eq!(playlist.latin1_lines, 1);
    }

    #[test]
    fn a_line_over_the_limit_is_left_out_with_its_entry() {
        let long = "x".repeat(40);
        let text =
            format!("#EXTINF:-1,a\n{long}\nhttp://h/1\n#EXTINF:-1,{long}\nhttp://h/2\n#EXTINF:-1,b\nu\n");
        let playlist = parse_within(text.as_bytes(), 40, 10);
        let names: Vec<_> = playlist.items.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, ["a", "b"], "exactly the limit is not over it");
        assert_eq!((playlist.long_lines, playlist.urls_without_entry), (1, 2));

        let playlist = parse_within(text.as_bytes(), 39, 10);
        let names: Vec<_> = playlist.items.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, ["b"]);
        assert_eq!((playlist.long_lines, playlist.entries_without_url), (2, 1));
    }

    #[test]
    fn the_longest_line_is_two_mebibytes() {
        for (bytes, expected) in [(LINE_BYTES_MAX, 1), (LINE_BYTES_MAX + 1, 0)] {
            let line = format!("#EXTINF:-1,{}", "n".repeat(bytes - "#EXTINF:-1,".len()));
            let playlist = parse(format!("{line}\nhttp://h/p\n").as_bytes());
            assert_eq!(playlist.items.len(), expected, "{bytes} bytes");
        }
    }

    #[test]
    fn entries_over_the_limit_are_counted_and_left_out() {
        let text = "#EXTINF:-1,n\nhttp://h/p\n".repeat(5);
        let playlist = parse_within(text.as_bytes(), 100, 3);
        assert_eq!((playlist.items.len(), playlist.excess_entries), (3, 2));
        assert_eq!(playlist.urls_without_entry, 0);
    }

    #[test]
    fn what_no_request_could_carry_is_left_out_and_attributes_have_a_bound() {
        let address = format!("http://h/{}", "p".repeat(URL_BYTES_MAX));
        let playlist = parse(format!("#EXTINF:-1,n\n{address}\n#EXTINF:-1,n\nhttp://h/p\n").as_bytes());
        assert_eq!((playlist.items.len(), playlist.long_urls), (1, 1));
        let many: String = (0..100).map(|n| format!("a{n}=\"\" ")).collect();
        let long = format!("b=\"{}\" c=\"d\"", "x".repeat(ATTRIBUTE_BYTES_MAX + 1));
        assert_eq!(only(&format!("#EXTINF:-1 {many},n\nhttp://h/p\n")).attrs.len(), ATTRIBUTES_MAX);
        assert_eq!(only(&format!("#EXTINF:-1 {long},n\nhttp://h/p\n")).attrs.keys().next().unwrap(), "c");
    }

    #[test]
    fn what_is_printed_of_an_item_holds_no_address() {
        let item = only("#EXTINF:-1,n\nhttp://user:secret@h/p\n");
        assert!(!format!("{item:?}").contains("secret"));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let playlist = parse(&bytes);
            prop_assert!(playlist.items.len() <= bytes.len());
        }

        #[test]
        fn nearly_playlists_never_panic(
            lines in proptest::collection::vec(
                "(#EXTINF:|#EXTGRP:|http://|#)?[-a-z0-9 ,=\"'%?&#:@/\\[\\]é\u{0}]{0,40}", 0..20,
            ),
        ) {
            for item in parse(lines.join("\n").as_bytes()).items {
                prop_assert!(item.item_key.starts_with("src:"));
                prop_assert!(!item.url.is_empty());
            }
        }
    }
}
