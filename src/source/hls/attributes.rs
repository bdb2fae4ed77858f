//! Attribute lists of tags (RFC 8216, 4.2).

/// One `NAME=value`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Attribute<'text> {
    pub(super) name: &'text str,
    /// Without its quotation marks.
    pub(super) value: &'text str,
}

impl<'text> Attribute<'text> {
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value, unless it is empty.
    pub(super) fn text(&self) -> Option<&'text str> {
        Some(self.value).filter(|value| !value.is_empty())
    }

    /// `YES`, in whatever case.
    pub(super) fn is_yes(&self) -> bool {
        self.value.eq_ignore_ascii_case("yes")
    }
}

/// The attributes of a tag. What is written wrongly costs its own attribute, not the others: a quotation mark that is never
/// closed takes the rest of the line, a part without `=` is passed over.
pub(super) fn attributes(text: &str) -> impl Iterator<Item = Attribute<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_start_matches([',', ' ', '\t']);
            if rest.is_empty() {
                return None;
            }
            let end_of_name = rest.find(['=', ',']).unwrap_or(rest.len());
            let (name, behind) = rest.split_at(end_of_name);
            let Some(behind) = behind.strip_prefix('=') else {
                rest = behind;
                continue;
            };
            let behind = behind.trim_start_matches([' ', '\t']);
            let (value, after) = match behind.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
                None => behind.split_at(behind.find(',').unwrap_or(behind.len())),
            };
            // What stands between a closing quotation mark and the next comma belongs to nothing.
            rest = after.find(',').map_or("", |comma| &after[comma..]);
            return Some(Attribute { name: name.trim(), value: value.trim() });
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Vec<(&str, &str)> {
        attributes(text).map(|attribute| (attribute.name, attribute.value)).collect()
    }

    #[test]
    fn attributes_are_read_as_leniently_as_players_read_them() {
        for (text, expected) in [
            ("BANDWIDTH=1280000,RESOLUTION=1x2", vec![("BANDWIDTH", "1280000"), ("RESOLUTION", "1x2")]),
            (r#"CODECS="avc1,mp4a",URI="a,b=c""#, vec![("CODECS", "avc1,mp4a"), ("URI", "a,b=c")]),
            (r#" METHOD = AES-128 , URI = "k" "#, vec![("METHOD", "AES-128"), ("URI", "k")]),
            (r#"URI="never closed,IV=0x1"#, vec![("URI", "never closed,IV=0x1")]),
            (r#"URI=k.bin?a=b,IV=0x1"#, vec![("URI", "k.bin?a=b"), ("IV", "0x1")]),
            (r#"NAME="",X"#, vec![("NAME", "")]),
            (r#"URI="k"junk,IV=0x1"#, vec![("URI", "k"), ("IV", "0x1")]),
            ("PROGRAM-ID=1,,BANDWIDTH=", vec![("PROGRAM-ID", "1"), ("BANDWIDTH", "")]),
            (",,,", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(of(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_or_goes_on_for_ever(text in "[A-Z=,\" ü]{0,60}") {
            prop_assert!(attributes(&text).count() <= text.len());
        }
    }
}
