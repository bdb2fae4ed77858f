//! What an `#EXTINF:` line says: attributes, and the name behind the comma that ends them.
//!
//! Values stand in double quotes, in single ones or in none; quotes stand inside quotes; blanks are missing, and commas are
//! where none belong. What cannot be told apart is read as most players do.

use std::collections::BTreeMap;

use super::{ATTRIBUTE_BYTES_MAX, ATTRIBUTES_MAX};

/// A line, as far as it has been read.
#[derive(Default)]
struct Line {
    name: String,
    attrs: BTreeMap<String, String>,
}

/// Reads what stands behind `#EXTINF:`: the name behind the comma that ends the attributes, and these, their names in lower
/// case. The last one of a name counts.
pub(super) fn read(text: &str) -> (String, BTreeMap<String, String>) {
    let mut line = Line::default();
    let mut rest = text.trim_start();
    // The duration, whatever it is.
    let duration_bytes = rest.find(|c: char| c.is_whitespace() || c == ',').unwrap_or(rest.len());
    if !rest[..duration_bytes].contains('=') {
        rest = &rest[duration_bytes..];
    }
    // Words that are no attributes: a name, when no comma comes.
    let mut words = String::new();
    loop {
        rest = rest.trim_start();
        if let Some(behind) = rest.strip_prefix(',') {
            if attribute(behind.trim_start()).is_none() {
                line.take_name(behind);
                return (line.name, line.attrs);
            }
            rest = behind;
        } else if let Some((key, value, behind)) = attribute(rest) {
            line.insert(key, value);
            rest = behind;
        } else if rest.is_empty() {
            return (words.trim().to_owned(), line.attrs);
        } else {
            let word_bytes = rest.find(|c: char| c.is_whitespace() || c == ',').unwrap_or(rest.len());
            words.push_str(&rest[..word_bytes]);
            words.push(' ');
            rest = &rest[word_bytes..];
        }
    }
}

impl Line {
    fn insert(&mut self, key: &str, value: &str) {
        let (key, value) = (key.to_ascii_lowercase(), value.trim());
        let fits = key.len() <= ATTRIBUTE_BYTES_MAX && value.len() <= ATTRIBUTE_BYTES_MAX;
        if fits && (self.attrs.len() < ATTRIBUTES_MAX || self.attrs.contains_key(&key)) {
            self.attrs.insert(key, value.to_owned());
        }
    }

    /// The rest of the line, without attributes that stand behind the name.
    fn take_name(&mut self, text: &str) {
        let mut name = text;
        for (at, _) in text.match_indices("=\"") {
            let key_bytes = text[..at].bytes().rev().take_while(|byte| is_key(*byte)).count();
            let before = &text[..at - key_bytes];
            if key_bytes > 0 && before.ends_with(char::is_whitespace) {
                name = before;
                break;
            }
        }
        let mut rest = text[name.len()..].trim_start();
        while let Some((key, value, behind)) = attribute(rest) {
            self.insert(key, value);
            rest = behind.trim_start();
        }
        self.name = name.trim().to_owned();
    }
}

const fn is_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// An attribute that begins here, and what stands behind it.
fn attribute(text: &str) -> Option<(&str, &str, &str)> {
    let (key, value) = key_and_equals(text)?;
    match value.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let inside = &value[1..];
            let end = closing(inside, quote)?;
            Some((key, &inside[..end], &inside[end + 1..]))
        }
        Some(_) | None => {
            let end = value.find(|c: char| c.is_whitespace() || c == ',').unwrap_or(value.len());
            Some((key, &value[..end], &value[end..]))
        }
    }
}

/// The key in front of an equals sign, and what stands behind that. Blanks around it are allowed where a quote follows.
fn key_and_equals(text: &str) -> Option<(&str, &str)> {
    let key_bytes = text.bytes().take_while(|byte| is_key(*byte)).count();
    if key_bytes == 0 {
        return None;
    }
    let (key, rest) = text.split_at(key_bytes);
    if let Some(value) = rest.strip_prefix('=')
        && !value.starts_with(char::is_whitespace)
    {
        return Some((key, value));
    }
    let value = rest.trim_start().strip_prefix('=')?.trim_start();
    value.starts_with(['"', '\'']).then_some((key, value))
}

/// Where a value ends: at the first quote behind which another attribute, a comma or nothing comes, else at the first one.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut first = None;
    for (at, _) in text.match_indices(quote) {
        let next = text[at + 1..].trim_start();
        if next.is_empty() || next.starts_with(',') || key_and_equals(next).is_some() {
            return Some(at);
        }
        if text[..at].ends_with('=') {
            // It opens the value of another attribute.
            break;
        }
        first = first.or(Some(at));
    }
    first
}
