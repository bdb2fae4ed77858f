//! Log lines of the form `msg="what happened" key=value key="another value"`: one event per line, whatever
//! the values hold.

use std::fmt::{self, Display, Write};

/// A line that is being written.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub struct Line(String);

impl Line {
    /// Begins with what happened.
    pub fn new(message: &str) -> Self {
        let mut line = String::with_capacity(160);
        line.push_str("msg=");
        quote(&mut line, message);
        Self(line)
    }

    /// Adds a value under a name, in quotes when it needs them.
    pub fn field(mut self, key: &str, value: impl Display) -> Self {
        let value = value.to_string();
        self.0.push(' ');
        self.0.push_str(key);
        self.0.push('=');
        if value.is_empty() || value.chars().any(needs_quotes) {
            quote(&mut self.0, &value);
        } else {
            self.0.push_str(&value);
        }
        self
    }

    /// Adds a value if there is one.
    pub fn maybe(self, key: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.field(key, value),
            None => self,
        }
    }

    /// Adds a number unless it is zero.
    pub fn unless_zero(self, key: &str, count: u64) -> Self {
        self.maybe(key, Some(count).filter(|count| *count > 0))
    }

    /// Adds a text unless it is empty.
    pub fn unless_empty(self, key: &str, text: &str) -> Self {
        self.maybe(key, Some(text).filter(|text| !text.is_empty()))
    }
}

impl Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<Line> for String {
    fn from(line: Line) -> Self {
        line.0
    }
}

/// Everything that could end a value or a line, and what a terminal does not show as itself.
fn needs_quotes(character: char) -> bool {
    character == '"'
        || character == '\\'
        || character == '='
        || character.is_whitespace()
        || character.is_control()
        || is_format(character)
}

/// Characters that rearrange or hide the text around them.
const fn is_format(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    )
}

fn quote(line: &mut String, text: &str) {
    line.push('"');
    for character in text.chars() {
        match character {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            hidden if hidden.is_control() || is_format(hidden) => {
                write!(line, "\\u{:04x}", u32::from(hidden)).expect("a String takes everything");
            }
            shown => line.push(shown),
        }
    }
    line.push('"');
}

/// The names and values of a line, in their order.
#[must_use]
pub fn fields(line: &str) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let mut rest = line.trim_start();
    while let Some((key, behind)) = rest.split_once('=') {
        let (value, behind) = match behind.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let (value, behind) = behind.split_once(' ').unwrap_or((behind, ""));
                (value.to_owned(), behind)
            }
        };
        fields.push((key.to_owned(), value));
        rest = behind.trim_start();
    }
    fields
}

/// What stands before the closing quote, and what behind it.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &text[at + 1..]),
            '\\' => match characters.next().map(|(_, escaped)| escaped) {
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('t') => value.push('\t'),
                Some('u') => {
                    let digits: String = characters.by_ref().take(4).map(|(_, digit)| digit).collect();
                    let hidden = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                    value.extend(hidden);
                }
                Some(other) => value.push(other),
                None => {}
            },
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_when_they_could_be_taken_for_something_else() {
        for (value, written) in [
            ("101", "101"),
            ("192.168.1.10:40001", "192.168.1.10:40001"),
            ("Zürich", "Zürich"),
            ("", "\"\""),
            ("News One", "\"News One\""),
            ("a=b", "\"a=b\""),
            ("say \"no\"", r#""say \"no\"""#),
            (r"C:\", r#""C:\\""#),
            ("one\nmsg=two", r#""one\nmsg=two""#),
            ("\u{1b}[2J\u{7f}\u{9b}", r#""\u001b[2J\u007f\u009b""#),
            ("\u{202e}txt\u{2028}", r#""\u202etxt\u2028""#),
        ] {
            let line = Line::new("tuned").field("value", value).to_string();
            assert_eq!(line, format!("msg=\"tuned\" value={written}"));
        }
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        for value in [
            "101",
            "",
            "News One",
            "a=b",
            "say \"no\"",
            r"C:\",
            "one\nmsg=two",
            "\u{1b}[2J\u{202e}x",
            "Zürich",
        ] {
            let line = Line::new("a \"b\"").field("value", value).field("end", 7).to_string();
            let expected = [("msg", "a \"b\""), ("value", value), ("end", "7")];
            assert_eq!(fields(&line), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        }
        assert_eq!(fields("no fields"), []);
        assert_eq!(fields("open=\"never closed \\"), [("open".to_owned(), "never closed ".to_owned())]);
    }

    #[test]
    fn what_happened_is_always_in_quotes() {
        assert_eq!(Line::new("a \"b\"\n").to_string(), r#"msg="a \"b\"\n""#);
    }

    #[test]
    fn nothing_is_written_for_what_is_not_there() {
        let line = Line::new("x")
            .maybe("a", None::<u8>)
            .maybe("b", Some(0))
            .unless_zero("c", 0)
            .unless_zero("d", 4)
            .unless_empty("e", "")
            .unless_empty("f", "g h");
        assert_eq!(String::from(line), r#"msg="x" b=0 d=4 f="g h""#);
    }
}
