//! Where playlists come from.

use thiserror::Error;

use super::secret::Secret;
use crate::base::address::AddressParts;

/// The most sources besides `PLAYLIST_URL`.
const SOURCES_MAX: usize = 64;
/// Characters of a name, and bytes of what a playlist's servers are told of us.
const NAME_CHARS_MAX: usize = 64;
const AGENT_BYTES_MAX: usize = 512;
/// The most tuners one source may have.
const SOURCE_TUNERS_MAX: u32 = 65_536;

/// A playlist and how many of its streams may be open at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaylistSource {
    /// Its address, which may hold a password or token.
    pub url: Secret,
    /// Streams that its provider allows at the same time.
    pub tuners: u32,
    /// What people call it.
    pub name: Option<String>,
    /// Who we are to its servers.
    pub user_agent: Option<String>,
    /// Whether it is used.
    pub is_enabled: bool,
}

/// Why a text does not name playlists. The texts never hold a part of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum PlaylistError {
    /// Not an address that can be fetched.
    #[error("is not an http://, https://, file:// or xtream:// address")]
    BadUrl,
    /// An entry without a usable `url=`.
    #[error("has an entry whose url is missing or is not an http://, https://, file:// or xtream:// address")]
    EntryUrl,
    /// An entry without a usable `tuners=`.
    #[error("has an entry whose tuners is missing or is not a number from 1 to 65536")]
    EntryTuners,
    /// An entry with `enabled=` something else.
    #[error("has an entry whose enabled is neither true nor false")]
    EntryEnabled,
    /// A key that is not known.
    #[error("has an entry with an unknown key (url, tuners, name, user_agent and enabled are known)")]
    UnknownKey,
    /// The same key again in one entry.
    #[error("has an entry with the same key twice")]
    KeyTwice,
    /// An entry with a name that is not its to have.
    #[error("has an entry named primary, as the playlist of PLAYLIST_URL is called")]
    NamePrimary,
    /// An entry with a name that is too long or cannot be shown.
    #[error("has an entry whose name has more than 64 characters, or control characters")]
    EntryName,
    /// An entry with a `user_agent=` that cannot be sent.
    #[error("has an entry whose user_agent has more than 512 bytes, or control characters")]
    EntryAgent,
    /// Two entries with one address.
    #[error("has the same url twice")]
    UrlTwice,
    /// Two entries with one name.
    #[error("has the same name twice")]
    NameTwice,
    /// More than [`SOURCES_MAX`].
    #[error("has more than 64 entries")]
    TooMany,
}

/// Reads the address of a playlist.
///
/// # Errors
///
/// When it cannot be one.
pub(super) fn parse_playlist_url(text: &str) -> Result<Secret, PlaylistError> {
    let parts = AddressParts::split(text).ok_or(PlaylistError::BadUrl)?;
    let (_, rest) = text.split_at(parts.scheme.len() + "://".len());
    // Header fields may follow, as in an entry of a list, and have blanks in them.
    let address = text.split_once('|').map_or(text, |(address, _fields)| address);
    let is_clean = !address.contains(char::is_whitespace) && !text.contains(char::is_control);
    let is_complete = match parts.scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => !parts.place.is_empty() && !parts.place.starts_with(':'),
        // A login: its name and password are needed.
        "xtream" | "xtreams" => {
            let login = rest.rsplit_once('@').filter(|(_, place)| !place.is_empty());
            let words = login.and_then(|(login, _)| login.split_once(':'));
            words.is_some_and(|(user, password)| !user.is_empty() && !password.is_empty())
        }
        "file" => rest.len() > 1 && rest.starts_with('/'),
        _other => false,
    };
    if is_clean && is_complete { Ok(Secret::new(text)) } else { Err(PlaylistError::BadUrl) }
}

/// The address of a playlist that another program remembered, if it is one.
#[must_use]
pub fn remembered_playlist(text: &str) -> Option<Secret> {
    parse_playlist_url(text.trim()).ok()
}

/// Reads `url=…,tuners=…[,name=…][,user_agent=…][,enabled=…]`, several of them separated by semicolons.
///
/// An address may itself hold commas and semicolons: a separator is one only before a key.
///
/// # Errors
///
/// Says what is wrong with the text.
pub(super) fn parse_playlist_sources(text: &str) -> Result<Vec<PlaylistSource>, PlaylistError> {
    let mut sources: Vec<PlaylistSource> = Vec::new();
    for entry in split_before_keys(text, ';') {
        let source = parse_entry(entry)?;
        let same_text = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
        if sources.iter().any(|other| same_text(other.url.expose(), source.url.expose())) {
            return Err(PlaylistError::UrlTwice);
        }
        let same_name = |other: &PlaylistSource| match (&other.name, &source.name) {
            (Some(one), Some(other)) => one.to_lowercase() == other.to_lowercase(),
            (None, _) | (_, None) => false,
        };
        if sources.iter().any(same_name) {
            return Err(PlaylistError::NameTwice);
        }
        if sources.len() == SOURCES_MAX {
            return Err(PlaylistError::TooMany);
        }
        sources.push(source);
    }
    Ok(sources)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Url,
    Tuners,
    Name,
    Agent,
    Enabled,
}

/// The key a piece starts with, and what follows its `=`.
fn key_of(piece: &str) -> Option<(Key, &str)> {
    let (key, value) = piece.trim_start().split_once('=')?;
    let key = match key.trim_end().to_ascii_lowercase().as_str() {
        "url" | "playlist_url" => Key::Url,
        "tuners" | "tuner_count" => Key::Tuners,
        "name" => Key::Name,
        "user_agent" => Key::Agent,
        "enabled" => Key::Enabled,
        _other => return None,
    };
    Some((key, value.trim()))
}

/// Cuts at the separators that stand before a key. Empty pieces are dropped.
fn split_before_keys(text: &str, separator: char) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices(separator) {
        let after = &text[at + separator.len_utf8()..];
        if key_of(after).is_some() || after.trim().is_empty() {
            pieces.push(&text[start..at]);
            start = at + separator.len_utf8();
        }
    }
    pieces.push(&text[start..]);
    pieces.retain(|piece| !piece.trim().is_empty());
    pieces
}

fn parse_entry(entry: &str) -> Result<PlaylistSource, PlaylistError> {
    let (mut url, mut tuners, mut name, mut user_agent, mut is_enabled) = (None, None, None, None, None);
    for piece in split_before_keys(entry, ',') {
        let (key, value) = key_of(piece).ok_or(PlaylistError::UnknownKey)?;
        let was_there = match key {
            Key::Url => {
                let parsed = parse_playlist_url(value).map_err(|_bad| PlaylistError::EntryUrl)?;
                url.replace(parsed).is_some()
            }
            Key::Tuners => {
                let parsed = value.parse().map_err(|_not_a_number| PlaylistError::EntryTuners)?;
                tuners.replace(parsed).is_some()
            }
            Key::Name => {
                if value.chars().count() > NAME_CHARS_MAX || value.contains(char::is_control) {
                    return Err(PlaylistError::EntryName);
                }
                if value.eq_ignore_ascii_case("primary") {
                    return Err(PlaylistError::NamePrimary);
                }
                name.replace(value.to_owned()).is_some()
            }
            Key::Agent => {
                if value.len() > AGENT_BYTES_MAX || value.contains(char::is_control) {
                    return Err(PlaylistError::EntryAgent);
                }
                user_agent.replace(value.to_owned()).is_some()
            }
            Key::Enabled => {
                let parsed = match value.to_ascii_lowercase().as_str() {
                    "true" | "1" => true,
                    "false" | "0" => false,
                    _other => return Err(PlaylistError::EntryEnabled),
                };
                is_enabled.replace(parsed).is_some()
            }
        };
        if was_there {
            return Err(PlaylistError::KeyTwice);
        }
    }
    Ok(PlaylistSource {
        url: url.ok_or(PlaylistError::EntryUrl)?,
        tuners: tuners
            .filter(|tuners| (1..=SOURCE_TUNERS_MAX).contains(tuners))
            .ok_or(PlaylistError::EntryTuners)?,
        name: name.filter(|name| !name.is_empty()),
        user_agent: user_agent.filter(|agent| !agent.is_empty()),
        is_enabled: is_enabled.unwrap_or(true),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn playlist_addresses_can_be_fetched() {
        for text in [
            "http://example.com/a.m3u",
            "HTTPS://u:p@example.com:8443?x=1",
            "file:///srv/tv.m3u",
            "http://example.com/a.m3u|User-Agent=Box/7.1 (TV)",
            "xtream://u:p@h:80",
            "xtreams://u:p@h",
        ] {
            assert_eq!(parse_playlist_url(text).map(|url| url.expose().to_owned()).as_deref(), Ok(text));
        }
        for text in [
            "example.com/a.m3u",
            "ftp://example.com/a",
            "http://",
            "http://u:p@/a",
            "http://:80/",
            "file://a",
            "http://a b/",
            "xtream://h",
            "xtream://u@h",
            "xtream://u:p@",
        ] {
            assert_eq!(parse_playlist_url(text), Err(PlaylistError::BadUrl), "{text}");
        }
    }

    #[test]
    fn sources_are_lists_of_keys_and_values() {
        let text = "url=http://a.example/get.php?x=1,2;3&type=m3u,tuners=200, name=Backup A ; \
                    playlist_url=http://b.example/,tuner_count=1,user_agent=Box/7 (a; b),enabled=false;";
        let sources = parse_playlist_sources(text).unwrap();
        assert_eq!(
            sources,
            [
                PlaylistSource {
                    url: Secret::new("http://a.example/get.php?x=1,2;3&type=m3u"),
                    tuners: 200,
                    name: Some("Backup A".to_owned()),
                    user_agent: None,
                    is_enabled: true,
                },
                PlaylistSource {
                    url: Secret::new("http://b.example/"),
                    tuners: 1,
                    name: None,
                    user_agent: Some("Box/7 (a; b)".to_owned()),
                    is_enabled: false,
                },
            ]
        );
        assert_eq!(parse_playlist_sources(""), Ok(vec![]));
    }

    #[test]
    fn a_wrong_source_is_refused_with_the_reason() {
        for (text, error) in [
            ("http://a/", PlaylistError::UnknownKey),
            ("tuners=2", PlaylistError::EntryUrl),
            ("url=a,tuners=2", PlaylistError::EntryUrl),
            ("url=http://a/", PlaylistError::EntryTuners),
            ("url=http://a/,tuners=0", PlaylistError::EntryTuners),
            ("url=http://a/,tuners=70000", PlaylistError::EntryTuners),
            ("url=http://a/,tuners=two", PlaylistError::EntryTuners),
            ("url=http://a/,tuners=2,enabled=maybe", PlaylistError::EntryEnabled),
            ("url=http://a/,tuners=2,name=Primary", PlaylistError::NamePrimary),
            ("url=http://a/,tuners=2,name=a\u{7}", PlaylistError::EntryName),
            ("url=http://a/,tuners=2,user_agent=a\u{7}", PlaylistError::EntryAgent),
            ("url=http://a/,tuners=2,tuner_count=3", PlaylistError::KeyTwice),
            ("url=http://a/,tuners=2;url=HTTP://A/,tuners=3", PlaylistError::UrlTwice),
            ("url=http://a/,tuners=2,name=B;url=http://b/,tuners=3,name=b", PlaylistError::NameTwice),
        ] {
            assert_eq!(parse_playlist_sources(text), Err(error), "{text}");
        }
        let many: String = (0..=SOURCES_MAX).map(|n| format!("url=http://h{n}/,tuners=1;")).collect();
        assert_eq!(parse_playlist_sources(&many), Err(PlaylistError::TooMany));
    }
}
