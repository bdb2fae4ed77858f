//! XML as it comes: a stray `<` or `&` is text, a tag that is cut off ends where the next one begins, and what a document declares of
//! itself (DTDs, entities) is passed over, so that nothing in it can grow.

use std::io::{self, BufRead};

use super::text::fill;

/// A tag longer than this keeps what stands in front.
const TAG_BYTES_MAX: usize = 16 * 1024;
/// Text between two tags longer than this keeps what stands in front.
const TEXT_BYTES_MAX: usize = 32 * 1024;
/// Attributes of a tag behind this many are left out.
const ATTRIBUTES_MAX: usize = 16;

/// What has been met. The reader holds the rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Token {
    /// `<name …>`; `is_empty`: `<name …/>`.
    Open { is_empty: bool },
    /// `</name>`.
    Close,
    /// Text, perhaps in several pieces.
    Text,
    /// There is no more.
    End,
}

/// The tokens of a document in UTF-8, or what claims to be that.
pub(super) struct Tokens<R> {
    from: R,
    /// The name of the tag that was met.
    name: String,
    /// Its attributes, unescaped.
    attributes: Vec<(String, String)>,
    /// The text that was met, unescaped.
    text: String,
    /// The bytes of what is being read.
    bytes: Vec<u8>,
    /// The last token is given once more.
    held: Option<Token>,
}

impl<R: BufRead> Tokens<R> {
    pub(super) const fn new(from: R) -> Self {
        Self {
            from,
            name: String::new(),
            attributes: Vec::new(),
            text: String::new(),
            bytes: Vec::new(),
            held: None,
        }
    }

    /// The name of the tag that was met last.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its attributes.
    pub(super) fn attributes(&self) -> &[(String, String)] {
        &self.attributes
    }

    /// One of them; without it, nothing.
    pub(super) fn attribute(&self, name: &str) -> &str {
        let found = self.attributes.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value.trim())
    }

    /// The text that was met last.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The last token is to be given once more.
    pub(super) const fn hold(&mut self, token: Token) {
        self.held = Some(token);
    }

    /// The next token.
    pub(super) fn read(&mut self) -> io::Result<Token> {
        if let Some(held) = self.held.take() {
            return Ok(held);
        }
        loop {
            self.bytes.clear();
            let stopped = self.copy_until(|byte| byte == b'<', TEXT_BYTES_MAX)?;
            if !self.bytes.is_empty() {
                self.text = unescaped(&self.bytes);
                return Ok(Token::Text);
            }
            if stopped.is_none() {
                return Ok(Token::End);
            }
            self.consume(1);
            if let Some(token) = self.markup()? {
                return Ok(token);
            }
        }
    }

    /// What a `<` begins. Nothing for what is passed over.
    fn markup(&mut self) -> io::Result<Option<Token>> {
        let next = self.peek()?;
        match next {
            Some(b'/') => {
                self.consume(1);
                self.read_tag()?;
                self.take_name();
                Ok(Some(Token::Close))
            }
            Some(b'?') => self.pass(b"?>").map(|()| None),
            Some(b'!') => {
                self.consume(1);
                self.declaration()
            }
            Some(byte) if byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80 => {
                self.read_tag()?;
                let is_empty = self.bytes.last() == Some(&b'/');
                if is_empty {
                    self.bytes.pop();
                }
                let rest_at = self.take_name();
                self.attributes = attributes(&self.bytes[rest_at..]);
                Ok(Some(Token::Open { is_empty }))
            }
            Some(_) | None => {
                self.text.clear();
                self.text.push('<');
                Ok(Some(Token::Text))
            }
        }
    }

    /// What `<!` begins: a comment, text as it is, or a word about the document.
    fn declaration(&mut self) -> io::Result<Option<Token>> {
        match self.peek()? {
            Some(b'-') => self.pass(b"-->").map(|()| None),
            Some(b'[') => {
                self.consume(1);
                self.bytes.clear();
                // The word `CDATA`, and its bracket.
                if self.copy_until(|byte| matches!(byte, b'[' | b'<' | b'>'), 16)? != Some(b'[') {
                    return Ok(None);
                }
                self.consume(1);
                self.bytes.clear();
                self.copy_through(b"]]>", TEXT_BYTES_MAX)?;
                self.text = allowed(&decoded(&self.bytes));
                Ok(Some(Token::Text))
            }
            Some(_) | None => self.pass_doctype().map(|()| None),
        }
    }

    /// A DTD: to the `>` that stands outside of its brackets and quotes.
    fn pass_doctype(&mut self) -> io::Result<()> {
        let mut brackets = 0_u32;
        loop {
            self.bytes.clear();
            let stops = |byte| matches!(byte, b'>' | b'[' | b']' | b'"' | b'\'');
            let Some(stopped) = self.copy_until(stops, 0)? else { return Ok(()) };
            self.consume(1);
            match stopped {
                b'[' => brackets += 1,
                b']' => brackets = brackets.saturating_sub(1),
                b'>' if brackets == 0 => return Ok(()),
                b'>' => {}
                quote => {
                    self.bytes.clear();
                    // A quote that stands alone must not swallow the guide.
                    let ended = self.copy_until(|byte| byte == quote || byte == b'<', 0)?;
                    if ended == Some(quote) {
                        self.consume(1);
                    }
                }
            }
        }
    }

    /// The inside of a tag: to its `>`, or to the `<` of the next one.
    fn read_tag(&mut self) -> io::Result<()> {
        self.bytes.clear();
        let mut quote = None;
        let mut last_visible = None;
        loop {
            let within = quote;
            let seen = self.bytes.len();
            let stops = |byte: u8| match within {
                Some(quote) => byte == quote || byte == b'<',
                None => matches!(byte, b'>' | b'<' | b'"' | b'\''),
            };
            let Some(stopped) = self.copy_until(stops, TAG_BYTES_MAX)? else { return Ok(()) };
            // Looked for in what is new alone, or a tag of blanks would be looked through for each quote behind it.
            let visible = self.bytes[seen..].iter().rev().find(|byte| !byte.is_ascii_whitespace());
            last_visible = visible.copied().or(last_visible);
            match stopped {
                b'<' => return Ok(()),
                b'>' if quote.is_none() => {
                    self.consume(1);
                    return Ok(());
                }
                other => {
                    // Quotes count where values begin; in names they are of no meaning.
                    let begins = last_visible == Some(b'=');
                    quote = if quote.is_some() { None } else { begins.then_some(other) };
                    if self.bytes.len() < TAG_BYTES_MAX {
                        self.bytes.push(other);
                        last_visible = Some(other);
                    }
                    self.consume(1);
                }
            }
        }
    }

    /// Takes the tag's name. Gives where the rest begins.
    fn take_name(&mut self) -> usize {
        let end = self.bytes.iter().position(|byte| byte.is_ascii_whitespace() || *byte == b'/');
        let end = end.unwrap_or(self.bytes.len());
        self.name = decoded(&self.bytes[..end]);
        end
    }

    fn pass(&mut self, end: &[u8]) -> io::Result<()> {
        self.bytes.clear();
        self.copy_through(end, 0)
    }

    /// Copies what stands in front of `end`, no more than `bytes_max` of it, and takes both.
    fn copy_through(&mut self, end: &[u8], bytes_max: usize) -> io::Result<()> {
        let last = end.last().copied();
        let mut tail: Vec<u8> = Vec::new();
        loop {
            let piece = fill(&mut self.from)?;
            if piece.is_empty() {
                return Ok(());
            }
            let found = piece.iter().position(|byte| Some(*byte) == last);
            let taken = found.map_or(piece.len(), |at| at + 1);
            let room = bytes_max.saturating_sub(self.bytes.len());
            self.bytes.extend_from_slice(&piece[..taken.min(room)]);
            tail.extend_from_slice(&piece[taken.saturating_sub(end.len())..taken]);
            tail.drain(..tail.len().saturating_sub(end.len()));
            self.from.consume(taken);
            if found.is_some() && tail == end {
                if self.bytes.ends_with(end) {
                    self.bytes.truncate(self.bytes.len() - end.len());
                }
                return Ok(());
            }
        }
    }

    /// Takes bytes up to one at which to stop, which is given and stays. What is beyond `bytes_max` is lost.
    fn copy_until(&mut self, stops: impl Fn(u8) -> bool, bytes_max: usize) -> io::Result<Option<u8>> {
        loop {
            let piece = fill(&mut self.from)?;
            if piece.is_empty() {
                return Ok(None);
            }
            let end = piece.iter().position(|byte| stops(*byte));
            let stopped = end.map(|end| piece[end]);
            let taken = end.unwrap_or(piece.len());
            let room = bytes_max.saturating_sub(self.bytes.len());
            self.bytes.extend_from_slice(&piece[..taken.min(room)]);
            self.from.consume(taken);
            if stopped.is_some() {
                return Ok(stopped);
            }
        }
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(fill(&mut self.from)?.first().copied())
    }

    fn consume(&mut self, count: usize) {
        self.from.consume(count);
    }
}

/// `key="value"`, with either quote or none.
fn attributes(bytes: &[u8]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while found.len() < ATTRIBUTES_MAX {
        rest = rest.trim_ascii_start();
        let key_bytes = rest.iter().position(|byte| byte.is_ascii_whitespace() || *byte == b'=');
        let Some(key_bytes) = key_bytes else { return found };
        let key = decoded(&rest[..key_bytes]);
        let behind = rest[key_bytes..].trim_ascii_start();
        let Some(value) = behind.strip_prefix(b"=") else {
            rest = if behind.len() < rest.len() { behind } else { return found };
            continue;
        };
        let value = value.trim_ascii_start();
        let (value, behind) = match value.first() {
            Some(quote @ (b'"' | b'\'')) => {
                let inside = &value[1..];
                let end = inside.iter().position(|byte| byte == quote).unwrap_or(inside.len());
                (&inside[..end], inside.get(end + 1..).unwrap_or_default())
            }
            Some(_) | None => {
                let end = value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len());
                value.split_at(end)
            }
        };
        if !key.is_empty() {
            found.push((key, unescaped(value)));
        }
        rest = behind;
    }
    found
}

/// Bytes as text: UTF-8, or what most take for the code of Windows.
fn decoded(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(
        |error| {
            // A piece that was cut off in the middle of a character is no other code.
            let is_cut = error.error_len().is_none() && bytes.len() - error.valid_up_to() < 4;
            if is_cut {
                String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned()
            } else {
                encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned()
            }
        },
        str::to_owned,
    )
}

/// Text without the characters that XML forbids.
fn allowed(text: &str) -> String {
    text.chars().filter(|character| is_allowed(*character)).collect()
}

const fn is_allowed(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// Text with its references resolved. What is none stays as it is written.
fn unescaped(bytes: &[u8]) -> String {
    let text = decoded(bytes);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        // No reference that is known is longer.
        let end = behind.bytes().take(10).position(|byte| byte == b';');
        match end.and_then(|end| reference(&behind[..end]).map(|character| (character, end))) {
            Some((character, end)) => {
                out.push(character);
                rest = &behind[end + 1..];
            }
            None => {
                out.push('&');
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    if out.chars().all(is_allowed) { out } else { allowed(&out) }
}

/// What stands between `&` and `;`. Besides those of XML a few of HTML, which guides are made from.
fn reference(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => number.parse(),
        };
        return code.ok().and_then(char::from_u32);
    }
    Some(match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{A0}',
        "eacute" => 'é',
        "egrave" => 'è',
        "agrave" => 'à',
        "ccedil" => 'ç',
        "auml" => 'ä',
        "ouml" => 'ö',
        "uuml" => 'ü',
        "Auml" => 'Ä',
        "Ouml" => 'Ö',
        "Uuml" => 'Ü',
        "szlig" => 'ß',
        "ntilde" => 'ñ',
        "hellip" => '…',
        "ndash" => '–',
        "mdash" => '—',
        "lsquo" => '‘',
        "rsquo" => '’',
        "ldquo" => '“',
        "rdquo" => '”',
        _other => return None,
    })
}
