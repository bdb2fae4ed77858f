use proptest::prelude::*;

use super::*;

/// The entries of a playlist, and what of it was left out.
pub(super) fn read(bytes: &[u8]) -> (Vec<Item>, LeftOut) {
    read_within(bytes, LINE_BYTES_MAX)
}

fn read_within(bytes: &[u8], line_bytes_max: usize) -> (Vec<Item>, LeftOut) {
    let mut entries = Entries::within(bytes, line_bytes_max);
    let items = entries.by_ref().map(Result::unwrap).collect();
    (items, entries.left_out())
}

fn items(text: &str) -> Vec<Item> {
    read(text.as_bytes()).0
}

/// The only item of a playlist.
fn only(text: &str) -> Item {
    let mut items = items(text);
    assert_eq!(items.len(), 1, "{text:?}");
    items.remove(0)
}

#[test]
fn an_entry_with_an_identifier_has_the_known_keys() {
    let item = only(
        "#EXTM3U\n#EXTINF:-1 tvg-id=\"BBC.news\" group-title=\"News\",BBC, News\n\
         http://example.com/a%20b.ts?token=one\n",
    );
    assert_eq!(item.name, "BBC, News", "it is shown whole");
    assert_eq!(item.group, "News");
    assert_eq!(item.item_key, "src:bbc.news:555d057b9597");
    assert_eq!(item.channel_key, "tvg:bbc.news");
    assert_eq!(item.tvg_id, "BBC.news");
    assert_eq!(item.url, "http://example.com/a%20b.ts?token=one");
}

#[test]
fn an_entry_without_an_identifier_has_the_known_keys() {
    let item = only(
        "#EXTINF:-1 group-title='Sports' tvg-name=One,Sports   One\nhttp://u:p@example.com:80/s.m3u8#f\n",
    );
    assert_eq!((item.name.as_str(), item.tvg_name.as_str()), ("Sports   One", "One"));
    assert_eq!(item.group, "Sports");
    assert_eq!(item.item_key, "src:88f98c1c577b1882");
    assert_eq!(item.channel_key, "name:sports one");
}

#[test]
fn any_line_that_is_no_comment_is_an_address() {
    let item = only("#EXTINF:-1,Only\n#EXTGRP:Some\nnot a url\n");
    assert_eq!(item.url, "not a url");
    assert_eq!(item.item_key, "src:3429a82bf5f2c841");
}

#[test]
fn header_fields_are_of_one_entry_and_the_nearest_to_the_address_wins() {
    let (items, _) = read(
        b"#EXTVLCOPT:http-referrer=http://early/\n\
          #EXTINF:-1 user-agent=\"attribute\" http-referrer=\"http://attribute/\",One\n\
          #EXTVLCOPT:http-user-agent=line\nhttp://h/1|User-Agent=address\n\
          #EXTINF:-1,Two\nhttp://h/2\n\
          #EXTINF:-1,Nothing\n#EXTVLCOPT:http-user-agent=lost\n#EXTINF:-1,Three\nhttp://h/3\n",
    );
    let fields = |at: usize| -> Vec<_> { items[at].headers.iter().collect() };
    assert_eq!(fields(0), [("User-Agent", "address"), ("Referer", "http://early/")]);
    assert_eq!((fields(1), fields(2)), (vec![], vec![]));
    assert_eq!(items[0].url, "http://h/1");
    // The key is of what the playlist holds, as it always was.
    assert_eq!(items[0].item_key, item_key("", "One", "http://h/1|User-Agent=address"));
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
        ("#EXTGRP:Of all\nstray\n#EXTINF:-1,n\nu", "Of all"),
    ];
    for (text, expected) in cases {
        assert_eq!(only(text).group, expected, "{text}");
    }
    let two = items("#EXTINF:-1,a\n#EXTGRP:One\nu\n#EXTINF:-1,b\nv\n");
    assert_eq!(two[1].group, "", "a group within an entry is of that one");
}

#[test]
fn comments_blank_lines_and_strays_are_passed_over_and_counted() {
    let (items, left_out) = read(
        b"stray\n#EXTINF:-1,replaced\n#EXTVLCOPT:x\n\n#EXTINF:-1,a\n # comment\n\nhttp://h/a\nhttp://stray\n#EXTINF:-1,last",
    );
    let names: Vec<_> = items.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["a"]);
    assert_eq!((left_out.urls_without_entry, left_out.entries_without_url), (2, 2));
}

#[test]
fn a_line_that_is_not_utf8_is_latin1() {
    let (items, left_out) = read(b"#EXTINF:-1,T\xE9l\xE9\nhttp://h/p\n");
    assert_eq!(items[0].name, "T\u{e9}l\u{e9}");
    assert_eq!(left_out.latin1_lines, 1);
}

#[test]
fn a_line_over_the_limit_is_left_out_with_its_entry() {
    let long = "x".repeat(40);
    let text = format!("#EXTINF:-1,a\n{long}\nhttp://h/1\n#EXTINF:-1,{long}\nhttp://h/2\n#EXTINF:-1,b\nu\n");
    let (items, left_out) = read_within(text.as_bytes(), 40);
    let names: Vec<_> = items.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["a", "b"], "exactly the limit is not over it");
    assert_eq!((left_out.long_lines, left_out.urls_without_entry), (1, 2));

    let (items, left_out) = read_within(text.as_bytes(), 39);
    let names: Vec<_> = items.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["b"]);
    assert_eq!((left_out.long_lines, left_out.entries_without_url), (2, 1));
}

#[test]
fn the_longest_line_is_two_mebibytes() {
    for (bytes, expected) in [(LINE_BYTES_MAX, 1), (LINE_BYTES_MAX + 1, 0)] {
        let line = format!("#EXTINF:-1,{}", "n".repeat(bytes - "#EXTINF:-1,".len()));
        assert_eq!(items(&format!("{line}\nhttp://h/p\n")).len(), expected, "{bytes} bytes");
    }
}

#[test]
fn what_no_request_could_carry_is_left_out_and_attributes_have_a_bound() {
    let address = format!("http://h/{}", "p".repeat(URL_BYTES_MAX));
    let (items, left_out) = read(format!("#EXTINF:-1,n\n{address}\n#EXTINF:-1,n\nhttp://h/p\n").as_bytes());
    assert_eq!((items.len(), left_out.long_urls), (1, 1));
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
        prop_assert!(read(&bytes).0.len() <= bytes.len());
    }

    #[test]
    fn nearly_playlists_never_panic(
        lines in proptest::collection::vec(
            "(#EXTINF:|#extinf:-1 a=|#EXTGRP:|http://|#)?[-a-z0-9 ,=\"'%?&#:@/\\[\\]é\u{0}]{0,40}", 0..20,
        ),
    ) {
        for item in items(&lines.join("\n")) {
            prop_assert!(item.item_key.starts_with("src:"));
            prop_assert!(!item.url.is_empty());
        }
    }
}
