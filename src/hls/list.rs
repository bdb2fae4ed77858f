//! The text of lists.

use std::fmt::Write;

use super::cutter::Listed;

/// How the parts of a channel are addressed, beside its list.
#[derive(Clone, Copy, Debug)]
pub struct ListAddress<'a> {
    /// What tells segments of this stream from those of the channel's earlier ones, which a cache may still have.
    pub stream: u64,
    /// The word that opens streams, as the request had it.
    pub token: Option<&'a str>,
}

/// The master list: one variant, whose list is the viewer's own.
#[must_use]
pub fn master_list(address: ListAddress<'_>, session: &str, bits_per_second: u64) -> String {
    let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:3\n");
    push(&mut text, format_args!("#EXT-X-STREAM-INF:BANDWIDTH={}\n", bits_per_second.max(1)));
    push(&mut text, format_args!("index.m3u8?session={session}"));
    if let Some(token) = address.token {
        push(&mut text, format_args!("&token={token}"));
    }
    text.push('\n');
    text
}

/// The list of a live stream's segments, whose addresses are the same for everybody.
#[must_use]
pub fn media_list<S>(address: ListAddress<'_>, listed: &Listed<'_, S>) -> String {
    let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:3\n");
    push(&mut text, format_args!("#EXT-X-TARGETDURATION:{}\n", listed.target_secs));
    let first = listed.segments.first().map_or(0, |segment| segment.sequence);
    push(&mut text, format_args!("#EXT-X-MEDIA-SEQUENCE:{first}\n"));
    if listed.discontinuities_before > 0 {
        push(&mut text, format_args!("#EXT-X-DISCONTINUITY-SEQUENCE:{}\n", listed.discontinuities_before));
    }
    for segment in &listed.segments {
        if segment.is_discontinuous {
            text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        let millis = segment.duration.as_millis();
        push(&mut text, format_args!("#EXTINF:{}.{:03},\n", millis / 1000, millis % 1000));
        push(&mut text, format_args!("{}-{}.ts", address.stream, segment.sequence));
        if let Some(token) = address.token {
            push(&mut text, format_args!("?token={token}"));
        }
        text.push('\n');
    }
    text
}

fn push(text: &mut String, more: std::fmt::Arguments<'_>) {
    text.write_fmt(more).expect("writing to memory does not fail");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::cutter::{Cutter, Place};
    use super::*;

    #[test]
    fn a_master_list_leads_to_the_viewers_own_list() {
        let address = |token| ListAddress { stream: 7, token };
        assert_eq!(
            master_list(address(None), "a-1", 8_000_000),
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-STREAM-INF:BANDWIDTH=8000000\nindex.m3u8?session=a-1\n"
        );
        assert!(
            master_list(address(Some("let%20me")), "a", 0)
                .ends_with("=1\nindex.m3u8?session=a&token=let%20me\n")
        );
    }

    #[test]
    fn a_media_list_names_numbers_times_and_discontinuities() {
        let mut cutter = Cutter::new(1_700_000_000);
        for (position, is_other) in [(0, false), (2500, false), (3700, true), (6700, false)] {
            cutter.entry(Place { position, time: Duration::from_millis(position), state: () }, is_other);
        }
        let mut list = |token| {
            let listed = cutter.list(0, u64::MAX, true).unwrap();
            media_list(ListAddress { stream: 42, token }, &listed)
        };
        assert_eq!(
            list(None),
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:3\n#EXT-X-MEDIA-SEQUENCE:1700000000\n\
             #EXTINF:2.500,\n42-1700000000.ts\n#EXTINF:1.200,\n42-1700000001.ts\n\
             #EXT-X-DISCONTINUITY\n#EXTINF:3.000,\n42-1700000002.ts\n"
        );
        assert!(list(Some("x")).ends_with("42-1700000002.ts?token=x\n"));
    }
}
