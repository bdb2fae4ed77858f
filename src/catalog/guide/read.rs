//! Channels and programmes of a guide, one after the other.

use std::borrow::Cow;
use std::io::{self, BufRead};

use super::text::Utf8;
use super::times::parse_time;
use super::tokens::{Token, Tokens};
use crate::base::redact;

/// What is kept of a programme: elements that begin behind so many bytes are left out.
const BODY_BYTES_MAX: usize = 24 * 1024;
/// Elements within elements of a programme; deeper ones are left out.
const DEPTH_MAX: usize = 6;
/// Names of a channel; more are left out.
const NAMES_MAX: usize = 8;
/// The longest id and name.
const NAME_BYTES_MAX: usize = 256;

/// Elements that hold text and nothing else.
const TEXTS: &[&str] = &[
    "title",
    "sub-title",
    "desc",
    "date",
    "category",
    "keyword",
    "language",
    "orig-language",
    "country",
    "episode-num",
    "url",
    "director",
    "actor",
    "writer",
    "adapter",
    "producer",
    "composer",
    "editor",
    "presenter",
    "commentator",
    "guest",
    "value",
    "review",
    "present",
    "colour",
    "aspect",
    "quality",
    "stereo",
    "length",
    "premiere",
    "last-chance",
    "previously-shown",
];
/// Elements of a programme besides those.
const OTHERS: &[&str] =
    &["credits", "icon", "image", "video", "audio", "new", "subtitles", "rating", "star-rating"];

/// A channel of a guide.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GuideChannel {
    /// As programmes name it.
    pub id: String,
    /// What it is called.
    pub names: Vec<String>,
    /// Where its logo is, or empty.
    pub icon: String,
}

/// A programme of a guide.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Programme {
    /// Of its channel.
    pub id: String,
    /// Seconds since 1970.
    pub start: i64,
    /// Seconds since 1970, behind the start; `None` is not known.
    pub stop: Option<i64>,
    /// Whether it has a title.
    pub has_title: bool,
    /// What the guide says of it: elements, well-formed and without credentials. Empty when nobody wanted it.
    pub body: String,
}

/// What a guide is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GuideEntry {
    /// A channel.
    Channel(GuideChannel),
    /// A programme.
    Programme(Programme),
}

/// What was left out of a guide.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Skipped {
    /// Programmes without a channel, or whose start is no time.
    pub programmes: u64,
    /// Channels without an id.
    pub channels: u64,
    /// Entries that the end of the guide has cut off.
    pub cut_off: u64,
}

/// The entries of a guide in their order.
pub struct Reader<R> {
    tokens: Tokens<Utf8<R>>,
    skipped: Skipped,
}

impl<R: BufRead> Reader<R> {
    /// Of what is read there: XML, not compressed, in any encoding.
    pub fn new(from: R) -> Self {
        Self { tokens: Tokens::new(Utf8::new(from)), skipped: Skipped::default() }
    }

    /// What was left out so far.
    #[must_use]
    pub const fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// The next entry. What is said of a programme is read only when its channel `is_wanted`.
    ///
    /// # Errors
    /// When the reader fails.
    pub fn next_entry(&mut self, is_wanted: &mut dyn FnMut(&str) -> bool) -> io::Result<Option<GuideEntry>> {
        loop {
            match self.tokens.read()? {
                Token::End => return Ok(None),
                Token::Close | Token::Text => {}
                Token::Open { is_empty } => {
                    if let Some(entry) = self.entry(is_empty, is_wanted)? {
                        return Ok(Some(entry));
                    }
                }
            }
        }
    }

    fn entry(
        &mut self,
        is_empty: bool,
        is_wanted: &mut dyn FnMut(&str) -> bool,
    ) -> io::Result<Option<GuideEntry>> {
        if self.tokens.name().eq_ignore_ascii_case("channel") {
            return Ok(self.channel(is_empty)?.map(GuideEntry::Channel));
        }
        if self.tokens.name().eq_ignore_ascii_case("programme") {
            return Ok(self.programme(is_empty, is_wanted)?.map(GuideEntry::Programme));
        }
        Ok(None)
    }

    /// Whether an entry ends here although nobody has said so: another one begins.
    fn is_next_entry(&self) -> bool {
        let name = self.tokens.name();
        name.eq_ignore_ascii_case("channel") || name.eq_ignore_ascii_case("programme")
    }

    fn channel(&mut self, is_empty: bool) -> io::Result<Option<GuideChannel>> {
        let mut channel = GuideChannel { id: short(self.tokens.attribute("id")), ..GuideChannel::default() };
        if !is_empty {
            self.inside_channel(&mut channel)?;
        }
        if channel.id.is_empty() {
            self.skipped.channels += 1;
            return Ok(None);
        }
        Ok(Some(channel))
    }

    fn inside_channel(&mut self, channel: &mut GuideChannel) -> io::Result<()> {
        let mut name: Option<String> = None;
        loop {
            match self.tokens.read()? {
                // What a channel is called is known all the same.
                Token::End => break,
                token @ Token::Open { .. } if self.is_next_entry() => {
                    self.tokens.hold(token);
                    break;
                }
                Token::Open { is_empty } => {
                    if self.tokens.name().eq_ignore_ascii_case("icon") && channel.icon.is_empty() {
                        let icon = self.tokens.attribute("src");
                        channel.icon = if is_open(icon) { icon.to_owned() } else { String::new() };
                    } else if self.tokens.name().eq_ignore_ascii_case("display-name") && !is_empty {
                        take_name(channel, name.replace(String::new()));
                    }
                }
                Token::Text => {
                    if let Some(name) = name.as_mut().filter(|name| name.len() < NAME_BYTES_MAX) {
                        name.push_str(self.tokens.text());
                    }
                }
                Token::Close if self.tokens.name().eq_ignore_ascii_case("channel") => break,
                Token::Close => take_name(channel, name.take()),
            }
        }
        take_name(channel, name);
        Ok(())
    }

    fn programme(
        &mut self,
        is_empty: bool,
        is_wanted: &mut dyn FnMut(&str) -> bool,
    ) -> io::Result<Option<Programme>> {
        let id = short(self.tokens.attribute("channel"));
        let start = parse_time(self.tokens.attribute("start"));
        let stop = parse_time(self.tokens.attribute("stop"));
        let Some(start) = start.filter(|_| !id.is_empty()) else {
            self.skipped.programmes += 1;
            return Ok(None);
        };
        let stop = stop.filter(|stop| *stop > start);
        let mut body = if is_wanted(&id) { Some(Body::default()) } else { None };
        if !is_empty && !self.inside_programme(&mut body)? {
            self.skipped.cut_off += 1;
            return Ok(None);
        }
        let (body, has_title) = body.map(Body::finish).unwrap_or_default();
        Ok(Some(Programme { id, start, stop, has_title, body }))
    }

    /// False when the guide ends in it.
    fn inside_programme(&mut self, body: &mut Option<Body>) -> io::Result<bool> {
        loop {
            match self.tokens.read()? {
                Token::End => return Ok(false),
                token @ Token::Open { .. } if self.is_next_entry() => {
                    self.tokens.hold(token);
                    return Ok(true);
                }
                Token::Close if self.tokens.name().eq_ignore_ascii_case("programme") => return Ok(true),
                // The end of the guide ends what is open in it, too.
                token @ Token::Close if self.tokens.name().eq_ignore_ascii_case("tv") => {
                    self.tokens.hold(token);
                    return Ok(true);
                }
                Token::Open { is_empty } => {
                    if let Some(body) = body {
                        body.open(self.tokens.name(), self.tokens.attributes(), is_empty);
                    }
                }
                Token::Text => {
                    if let Some(body) = body {
                        body.text(self.tokens.text());
                    }
                }
                Token::Close => {
                    if let Some(body) = body {
                        body.close(self.tokens.name());
                    }
                }
            }
        }
    }
}

fn take_name(channel: &mut GuideChannel, name: Option<String>) {
    let Some(name) = name else { return };
    let name = short(name.trim());
    if !name.is_empty() && channel.names.len() < NAMES_MAX {
        channel.names.push(name);
    }
}

fn short(text: &str) -> String {
    let mut text = text.trim().to_owned();
    redact::truncate(&mut text, NAME_BYTES_MAX);
    text
}

/// What the parameters of an address are called that let somebody in.
const SECRETS: &[&str] =
    &["auth", "key", "login", "pass", "pwd", "secret", "session", "sig", "token", "user"];

/// An address that may be shown to everybody: without credentials. Pictures are asked for with parameters of all kinds.
fn is_open(address: &str) -> bool {
    let (place, query) = address.split_once('?').unwrap_or((address, ""));
    let authority =
        place.split_once("://").map_or("", |(_, rest)| rest).split('/').next().unwrap_or_default();
    let is_secret = |name: &str| {
        let name = name.to_ascii_lowercase();
        SECRETS.iter().any(|secret| name.contains(secret))
    };
    let mut names = query.split(['&', ';']).map(|pair| pair.split('=').next().unwrap_or_default());
    !address.contains(char::is_control) && !authority.contains('@') && !names.any(is_secret)
}

/// Text for everybody: what may be an address with credentials is shown without.
fn open_text(text: &str) -> Cow<'_, str> {
    let is_address_open = |word: &str| !word.contains("://") || is_open(word);
    if text.split_whitespace().all(is_address_open) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(redact::text(text))
    }
}

/// What is said of a programme, written again such that it is well-formed.
#[derive(Default)]
struct Body {
    text: String,
    /// The elements that are open.
    open: Vec<String>,
    /// Elements within those that are left out.
    left_out: usize,
    /// Where the last element ended that belongs to the programme itself.
    whole_bytes: usize,
    has_title: bool,
    /// No more fits.
    is_full: bool,
}

impl Body {
    fn open(&mut self, name: &str, attributes: &[(String, String)], is_empty: bool) {
        self.is_full |= self.text.len() > 2 * BODY_BYTES_MAX;
        if self.is_full {
            return;
        }
        if self.left_out == 0 && self.open.last().is_some_and(|inner| TEXTS.contains(&inner.as_str())) {
            if !TEXTS.contains(&name) && !OTHERS.contains(&name) {
                // Markup of a text: its words are kept. Its end is one that nothing begins.
                return;
            }
            // Its end is missing.
            self.end_innermost();
            self.ended();
        }
        if self.left_out > 0 || self.open.len() >= DEPTH_MAX || !is_name(name) {
            self.left_out += usize::from(!is_empty);
            return;
        }
        self.text.push('<');
        self.text.push_str(name);
        for (at, (key, value)) in attributes.iter().enumerate() {
            let is_first = !attributes[..at].iter().any(|(other, _)| other == key);
            if is_name(key) && is_first && (!value.contains("://") || is_open(value)) {
                self.text.push_str(&format!(" {key}=\""));
                push_escaped(&mut self.text, value);
                self.text.push('"');
            }
        }
        if is_empty {
            self.text.push_str("/>");
            self.ended();
        } else {
            self.text.push('>');
            self.open.push(name.to_owned());
        }
    }

    fn text(&mut self, text: &str) {
        if self.is_full || self.left_out > 0 {
            return;
        }
        // One long element is no reason to read without an end.
        if self.text.len() > 2 * BODY_BYTES_MAX {
            self.is_full = true;
            return;
        }
        let Some(inner) = self.open.last() else { return };
        self.has_title |= self.open.len() == 1 && inner == "title" && !text.trim().is_empty();
        push_escaped(&mut self.text, &open_text(text));
    }

    fn close(&mut self, name: &str) {
        if self.is_full {
            return;
        }
        if self.left_out > 0 {
            self.left_out -= 1;
            return;
        }
        // An end that nothing begins is none; one that ends something outside ends what is inside, too.
        let Some(at) = self.open.iter().rposition(|open| open == name) else { return };
        while self.open.len() > at {
            self.end_innermost();
        }
        self.ended();
    }

    fn end_innermost(&mut self) {
        if let Some(name) = self.open.pop() {
            self.text.push_str(&format!("</{name}>"));
        }
    }

    /// An element has ended.
    fn ended(&mut self) {
        if !self.open.is_empty() {
            return;
        }
        if self.text.len() > BODY_BYTES_MAX {
            self.is_full = true;
        } else {
            self.whole_bytes = self.text.len();
        }
    }

    fn finish(mut self) -> (String, bool) {
        while !self.is_full && !self.open.is_empty() {
            self.end_innermost();
            self.ended();
        }
        self.text.truncate(self.whole_bytes);
        self.text.shrink_to_fit();
        let has_title = self.has_title && self.text.contains("<title");
        (self.text, has_title)
    }
}

/// A name that any reader takes.
fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Text as it stands in XML, in an attribute, too.
pub(super) fn push_escaped(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
}
