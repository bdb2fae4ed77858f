//! Percent-encoding, both ways.

/// The byte that `%xy` at the start of `bytes` stands for.
fn escape(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else { return None };
    Some(digit(*high)? << 4 | digit(*low)?)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Decodes every valid escape and keeps the rest as it is.
#[must_use]
pub fn decode(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if let Some(byte) = escape(rest) {
            decoded.push(byte);
            rest = &rest[3..];
        } else {
            decoded.push(first);
            rest = tail;
        }
    }
    decoded
}

/// Whether every `%` begins a valid escape.
pub(super) fn is_valid(text: &str) -> bool {
    text.match_indices('%').all(|(index, _)| escape(&text.as_bytes()[index..]).is_some())
}

/// Appends `byte` as `%XY`.
pub fn push_escape(out: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(DIGITS[usize::from(byte >> 4)]));
    out.push(char::from(DIGITS[usize::from(byte & 15)]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_valid_escapes_are_decoded() {
        for (text, decoded, valid) in [
            ("a%20b", "a b", true),
            ("%2f%2F", "//", true),
            ("100%", "100%", false),
            ("%zz%4", "%zz%4", false),
            ("%%41", "%A", false),
            ("", "", true),
        ] {
            assert_eq!(decode(text), decoded.as_bytes(), "{text}");
            assert_eq!(is_valid(text), valid, "{text}");
        }
    }
}
