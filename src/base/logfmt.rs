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
