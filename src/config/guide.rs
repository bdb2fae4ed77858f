//! Where programme guides come from.

use thiserror::Error;

use super::duration::parse_duration;
use super::playlist::parse_playlist_url;
use super::secret::Secret;

/// The most guides.
const GUIDES_MAX: usize = 32;
/// No guide is wrong by more.
const SHIFT_SECONDS_MAX: u64 = 48 * 3600;

/// A programme guide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuideSource {
    /// Its address, which may hold a password or token.
    pub url: Secret,
    /// By how many seconds its programmes are put later; less than zero is earlier.
    pub shift_seconds: i64,
}

/// Why a text does not name guides. The texts never hold a part of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum GuideSourceError {
    /// Not an address that can be fetched.
    #[error("has an entry that is not an http://, https://, file:// or xtream:// address")]
    BadUrl,
    /// A `shift=` that is none.
    #[error("has an entry whose shift is not a duration such as 1h, -30m or +1h30m, up to 48h")]
    BadShift,
    /// Two entries with one address.
    #[error("has the same address twice")]
    UrlTwice,
    /// More than [`GUIDES_MAX`].
    #[error("has more than 32 entries")]
    TooMany,
}

/// Reads `url=…[,shift=…]`, several of them separated by semicolons; `url=` may be left out.
///
/// An address may itself hold commas and semicolons: a separator is one only in front of an address or a key.
///
/// # Errors
///
/// Says what is wrong with the text.
pub(super) fn parse_guide_sources(text: &str) -> Result<Vec<GuideSource>, GuideSourceError> {
    let mut sources: Vec<GuideSource> = Vec::new();
    for entry in entries(text) {
        let source = parse_entry(entry)?;
        if sources.iter().any(|other| other.url == source.url) {
            return Err(GuideSourceError::UrlTwice);
        }
        if sources.len() == GUIDES_MAX {
            return Err(GuideSourceError::TooMany);
        }
        sources.push(source);
    }
    Ok(sources)
}

/// Cuts at the semicolons behind which an entry begins, or nothing comes.
fn entries(text: &str) -> Vec<&str> {
    let begins = |rest: &str| {
        let rest = rest.trim_start();
        let starts =
            |word: &str| rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        rest.is_empty()
            || ["url=", "http://", "https://", "file://", "xtream://", "xtreams://"].into_iter().any(starts)
    };
    let mut pieces = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices(';') {
        if begins(&text[at + 1..]) {
            pieces.push(&text[start..at]);
            start = at + 1;
        }
    }
    pieces.push(&text[start..]);
    pieces.into_iter().map(str::trim).filter(|piece| !piece.is_empty()).collect()
}

fn parse_entry(entry: &str) -> Result<GuideSource, GuideSourceError> {
    let (address, shift) = match entry.rsplit_once(",shift=") {
        Some((address, shift)) => (address, Some(shift)),
        None => (entry, None),
    };
    let has_key = address.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("url="));
    let address = if has_key { &address[4..] } else { address };
    let url = parse_playlist_url(address.trim()).map_err(|_bad| GuideSourceError::BadUrl)?;
    let shift_seconds = match shift {
        Some(shift) => parse_shift(shift.trim()).ok_or(GuideSourceError::BadShift)?,
        None => 0,
    };
    Ok(GuideSource { url, shift_seconds })
}

fn parse_shift(text: &str) -> Option<i64> {
    let (sign, span) = match text.strip_prefix('-') {
        Some(span) => (-1, span),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let seconds = parse_duration(span).ok()?.as_secs();
    let seconds = i64::try_from(seconds).ok().filter(|_| seconds <= SHIFT_SECONDS_MAX)?;
    Some(sign * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(url: &str, shift_seconds: i64) -> GuideSource {
        GuideSource { url: Secret::new(url), shift_seconds }
    }

    #[test]
    fn guides_are_addresses_with_a_shift() {
        for (text, sources) in [
            ("", vec![]),
            ("http://h/g.xml.gz", vec![source("http://h/g.xml.gz", 0)]),
            ("url=https://u:p@h/x?a=1,2;3&b=4", vec![source("https://u:p@h/x?a=1,2;3&b=4", 0)]),
            (
                "url=http://a/,shift=-1h30m; file:///srv/g.xml ; xtream://u:p@h,shift=+2h;",
                vec![
                    source("http://a/", -5400),
                    source("file:///srv/g.xml", 0),
                    source("xtream://u:p@h", 7200),
                ],
            ),
        ] {
            assert_eq!(parse_guide_sources(text), Ok(sources), "{text}");
        }
    }

    #[test]
    fn a_wrong_guide_is_refused_with_the_reason() {
        for (text, error) in [
            ("guide.xml", GuideSourceError::BadUrl),
            ("ftp://h/g", GuideSourceError::BadUrl),
            ("http://h/,shift=soon", GuideSourceError::BadShift),
            ("http://h/,shift=49h", GuideSourceError::BadShift),
            ("http://h/;url=http://h/", GuideSourceError::UrlTwice),
        ] {
            assert_eq!(parse_guide_sources(text), Err(error), "{text}");
        }
        let many: String = (0..=GUIDES_MAX).map(|n| format!("http://h{n}/;")).collect();
        assert_eq!(parse_guide_sources(&many), Err(GuideSourceError::TooMany));
    }
}
