//! Playlists, from bytes to items, one item after the other: a list of a million entries takes no more memory than one of ten.
//!
//! An entry is an `#EXTINF:` line and the next line that is no comment, whatever that line holds: providers
//! write addresses that no standard knows. Where no such line has come yet, an address by itself is an entry. Nothing here is an
//! error. What is of no use is left out and counted, so that an operator can see why a playlist has fewer channels than expected.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead};

use percent_encoding::percent_decode_str;

use crate::base::address::is_scheme;
use crate::http::RequestHeaders;

mod attributes;
mod keys;
mod lines;
mod options;

use lines::Lines;

pub use keys::{channel_key, item_key};
pub use options::split_address;

/// Lines longer than this are left out, and end the entry they may have belonged to.
pub const LINE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Addresses longer than this are left out with their entries: no request could carry them.
pub const URL_BYTES_MAX: usize = 8 * 1024;
/// Attributes of an entry behind this many are left out, and so are those longer than [`ATTRIBUTE_BYTES_MAX`].
pub const ATTRIBUTES_MAX: usize = 64;
/// The longest name or value of an attribute.
pub const ATTRIBUTE_BYTES_MAX: usize = 4 * 1024;

/// Guides that one playlist names; more are left out.
const GUIDES_MAX: usize = 8;
/// How they are named.
const GUIDE_KEYS: &[&str] = &["x-tvg-url", "url-tvg", "tvg-url", "url-epg"];

/// One entry of a playlist.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Item {
    /// Names the entry from one reading of the playlist to the next.
    pub item_key: String,
    /// Shared by the entries that are the same channel.
    pub channel_key: String,
    /// What the viewer reads: what stands behind the attributes, else `tvg-name`. May be empty.
    pub name: String,
    /// `group-title`, else what `#EXTGRP:` says, else empty.
    pub group: String,
    /// Where the stream is read from. May hold credentials: never shown unredacted.
    pub url: String,
    /// `tvg-id`, or empty.
    pub tvg_id: String,
    /// `tvg-name`, or empty.
    pub tvg_name: String,
    /// `tvg-logo`, or empty.
    pub tvg_logo: String,
    /// All attributes, their names in lower case.
    pub attrs: BTreeMap<String, String>,
    /// What requests for the stream carry. May hold credentials.
    pub headers: RequestHeaders,
}

impl fmt::Debug for Item {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { item_key, name, .. } = self;
        formatter.debug_struct("Item").field("item_key", item_key).field("name", name).finish_non_exhaustive()
    }
}

/// What of a playlist was left out, or read in another way than it says.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LeftOut {
    /// Lines longer than [`LINE_BYTES_MAX`].
    pub long_lines: u64,
    /// Entries whose address is longer than [`URL_BYTES_MAX`].
    pub long_urls: u64,
    /// Entries that end without an address.
    pub entries_without_url: u64,
    /// Addresses that belong to no entry.
    pub urls_without_entry: u64,
    /// Lines that are not UTF-8, and were read as Latin-1.
    pub latin1_lines: u64,
}

/// The entries of a playlist in their order, those with equal keys included.
pub struct Entries<R> {
    lines: Lines<R>,
    /// Kept from one line to the next, so that not each makes its own.
    buffer: Vec<u8>,
    entry: Option<Entry>,
    /// Some entry has been met.
    has_entries: bool,
    /// What `#EXTGRP:` says of the open entry.
    group: Option<String>,
    /// What it said in front of an entry: of all that follow.
    section: String,
    /// Of the open entry; of the next one when none is open.
    headers: RequestHeaders,
    guides: Guides,
    left_out: LeftOut,
}

/// What the first line of a playlist says of programme guides.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Guides {
    /// Where they are, as written. May hold credentials.
    pub urls: Vec<String>,
    /// By how much their programmes are late, where an entry does not say it: `tvg-shift`.
    pub shift: String,
}

impl fmt::Debug for Guides {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Guides").field("count", &self.urls.len()).finish_non_exhaustive()
    }
}

impl Guides {
    /// Takes what stands behind `#EXTM3U`.
    fn read(&mut self, line: &str) {
        let (_name, attrs) = attributes::read(line);
        for key in GUIDE_KEYS {
            let addresses = attrs.get(*key).map(String::as_str).unwrap_or_default();
            // Several are separated by commas, which stand in addresses, too.
            for address in addresses.split_whitespace().flat_map(split_addresses) {
                let is_new = is_address(address) && !self.urls.iter().any(|known| known == address);
                if is_new && self.urls.len() < GUIDES_MAX {
                    self.urls.push(address.to_owned());
                }
            }
        }
        if let Some(shift) = attrs.get("tvg-shift") {
            self.shift.clone_from(shift);
        }
    }
}

/// Cuts at the commas behind which an address begins.
fn split_addresses(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices(',') {
        if is_address(&text[at + 1..]) {
            pieces.push(&text[start..at]);
            start = at + 1;
        }
    }
    pieces.push(text[start..].trim_end_matches(','));
    pieces
}

/// An `#EXTINF:` line whose address is still to come.
struct Entry {
    name: String,
    /// The name as keys are made of it.
    key_name: String,
    attrs: BTreeMap<String, String>,
}

impl<R: BufRead> Entries<R> {
    /// Of what is read there.
    pub fn new(from: R) -> Self {
        Self::within(from, LINE_BYTES_MAX)
    }

    fn within(from: R, line_bytes_max: usize) -> Self {
        Self {
            lines: Lines::new(from, line_bytes_max),
            buffer: Vec::new(),
            entry: None,
            has_entries: false,
            group: None,
            section: String::new(),
            headers: RequestHeaders::default(),
            guides: Guides::default(),
            left_out: LeftOut::default(),
        }
    }

    /// The guides that were named so far.
    #[must_use]
    pub const fn guides(&self) -> &Guides {
        &self.guides
    }

    /// What was left out so far.
    #[must_use]
    pub const fn left_out(&self) -> LeftOut {
        self.left_out
    }

    fn line(&mut self, line: &[u8]) -> Option<Item> {
        let line = self.text(line);
        let line = line.trim();
        if let Some(rest) = options::after(line, "#EXTINF:") {
            let before = self.end_entry();
            self.has_entries = true;
            let (name, attrs) = attributes::read(rest);
            self.entry = Some(Entry { name, key_name: key_name(rest).to_owned(), attrs });
            return before;
        }
        if let Some(group) = options::after(line, "#EXTGRP:") {
            if self.entry.is_some() {
                self.group = Some(group.trim().to_owned());
            } else {
                group.trim().clone_into(&mut self.section);
            }
        } else if let Some(header) = options::after(line, "#EXTM3U") {
            self.guides.read(header);
        } else if line.starts_with('#') {
            options::read_line(line, &mut self.headers);
        } else if !line.is_empty() {
            return self.url(line);
        }
        None
    }

    fn text<'line>(&mut self, line: &'line [u8]) -> Cow<'line, str> {
        std::str::from_utf8(line).map_or_else(
            |_not_utf8| {
                self.left_out.latin1_lines += 1;
                Cow::Owned(line.iter().copied().map(char::from).collect())
            },
            Cow::Borrowed,
        )
    }

    /// The open entry, if there is one, has no line with its address. It may stand behind the name.
    fn end_entry(&mut self) -> Option<Item> {
        let mut entry = self.entry.take()?;
        if let Some((name, url)) =
            entry.name.rsplit_once(char::is_whitespace).filter(|(_, url)| is_address(url))
        {
            let (name, url) = (name.trim().to_owned(), url.to_owned());
            if let Some(of_key) = entry.key_name.strip_suffix(url.as_str()) {
                entry.key_name = of_key.trim().to_owned();
            }
            entry.name = name;
            return self.item(entry, &url);
        }
        self.left_out.entries_without_url += 1;
        self.group = None;
        self.headers = RequestHeaders::default();
        None
    }

    fn url(&mut self, url: &str) -> Option<Item> {
        if let Some(entry) = self.entry.take() {
            return self.item(entry, url);
        }
        if self.has_entries || !is_address(url) {
            self.headers = RequestHeaders::default();
            self.left_out.urls_without_entry += 1;
            return None;
        }
        let name = name_of_address(url);
        self.item(Entry { key_name: name.clone(), name, attrs: BTreeMap::new() }, url)
    }

    fn item(&mut self, entry: Entry, url: &str) -> Option<Item> {
        let Entry { name, key_name, attrs } = entry;
        let group = self.group.take();
        let of_lines = std::mem::take(&mut self.headers);
        if url.len() > URL_BYTES_MAX {
            self.left_out.long_urls += 1;
            return None;
        }
        let attribute = |key| attrs.get(key).cloned().unwrap_or_default();
        let (tvg_id, tvg_name, title) =
            (attribute("tvg-id"), attribute("tvg-name"), attribute("group-title"));
        // What stands nearest to the address wins.
        let (address, of_address) = options::split_address(url);
        let headers = of_address.or(&of_lines).or(&options::of_attributes(|name| attrs.get(name)));
        Some(Item {
            item_key: item_key(&tvg_id, &key_name, url),
            channel_key: channel_key(&tvg_id, &key_name),
            name: if name.is_empty() { tvg_name.clone() } else { name },
            group: if title.is_empty() { group.unwrap_or_else(|| self.section.clone()) } else { title },
            url: address.to_owned(),
            headers,
            tvg_name,
            tvg_logo: attribute("tvg-logo"),
            tvg_id,
            attrs,
        })
    }
}

impl<R: BufRead> Iterator for Entries<R> {
    type Item = io::Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut line = std::mem::take(&mut self.buffer);
            let read = self.lines.read(&mut line);
            let item = match read {
                Err(error) => return Some(Err(error)),
                Ok(lines::Read::Line) => self.line(&line),
                Ok(lines::Read::TooLong) => {
                    // It may have been an entry.
                    self.has_entries = true;
                    self.left_out.long_lines += 1;
                    self.end_entry()
                }
                Ok(lines::Read::End) => return self.end_entry().map(Ok),
            };
            self.buffer = line;
            if let Some(item) = item {
                return Some(Ok(item));
            }
        }
    }
}

/// The text after the last comma: keys of channels without an identifier depend on it, so that a name with a comma in it stays
/// cut there, though it is shown whole.
fn key_name(line: &str) -> &str {
    line.rsplit_once(',').map_or("", |(_before, name)| name.trim())
}

fn is_address(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty())
}

/// What an address calls itself: the last piece of its path without its extension, else its host.
fn name_of_address(url: &str) -> String {
    let (address, _) = options::split_address(url);
    let behind = address.split_once("://").map_or(address, |(_, rest)| rest);
    let path = behind.split(['?', '#']).next().unwrap_or(behind);
    // A name is shown to everybody, and a login stands in front of the host.
    let authority = path.split('/').next().unwrap_or(path).len();
    let path = path[..authority].rfind('@').filter(|at| *at > 0).map_or(path, |at| &path[at + 1..]);
    let path = path.trim_end_matches('/');
    let last = path.rsplit('/').next().unwrap_or(path);
    let last = percent_decode_str(last).decode_utf8_lossy().into_owned();
    match last.rsplit_once('.') {
        Some((stem, _extension)) if path.contains('/') && !stem.is_empty() => stem.to_owned(),
        Some(_) | None => last,
    }
}

#[cfg(test)]
mod odd;
#[cfg(test)]
mod tests;
