//! JSON as the reference writes it: characters that mean something in HTML are escaped.

use serde::Serialize;

/// Serializes a value. `<`, `>`, `&` and the two line separators of Unicode become `\u00XX` and `\u202X`:
/// outside strings they do not occur in JSON, so that the text may be searched without parsing it.
///
/// # Errors
/// When the value refuses to be serialized (a map with keys that are not strings).
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    let plain = serde_json::to_string(value)?;
    if !plain.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return Ok(plain);
    }
    let mut escaped = String::with_capacity(plain.len() + 64);
    for character in plain.chars() {
        match character {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            other => escaped.push(other),
        }
    }
    Ok(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_of_html_are_escaped_and_read_back_the_same() {
        let text = "A&B <c> \u{2028} \"d\" ü";
        let json = to_json(text).unwrap();
        assert_eq!(json, r#""A\u0026B \u003cc\u003e \u2028 \"d\" ü""#);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        assert_eq!(to_json(&[1, 2]).unwrap(), "[1,2]");
    }
}
