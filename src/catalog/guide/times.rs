//! Times as guides write them.

use jiff::Timestamp;
use jiff::civil::Date;

/// No zone is farther from Greenwich.
const ZONE_SECONDS_MAX: i64 = 15 * 3600;
/// Nobody's guide is wrong by more.
const SHIFT_HOURS_MAX: i64 = 48;

/// Names of zones that are still written, and their hours.
const ZONES: &[(&str, i64)] = &[
    ("BST", 1),
    ("CET", 1),
    ("MET", 1),
    ("CEST", 2),
    ("EET", 2),
    ("EEST", 3),
    ("MSK", 3),
    ("EST", -5),
    ("EDT", -4),
    ("CST", -6),
    ("CDT", -5),
    ("MST", -7),
    ("MDT", -6),
    ("PST", -8),
    ("PDT", -7),
];

/// Reads `20260301201500 +0100` and what is written in its place: without seconds, minutes or a zone, which is UTC then, and as
/// ISO 8601 has it. Seconds since 1970.
#[must_use]
pub fn parse_time(text: &str) -> Option<i64> {
    let text = text.trim();
    let (digits, zone) = digits_and_zone(text)?;
    let number = |from: usize, bytes: usize| match digits.get(from..from + bytes) {
        Some(piece) => piece.parse::<i64>().ok(),
        None => Some(0),
    };
    let short = |from: usize| i8::try_from(number(from, 2)?).ok();
    let year = i16::try_from(number(0, 4)?).ok()?;
    let date = Date::new(year, short(4)?, short(6)?).ok()?;
    let (hour, minute, second) = (number(8, 2)?, number(10, 2)?, number(12, 2)?);
    // The end of a day is written as its hour 24, too.
    if hour > 24 || minute > 59 || second > 60 || (hour == 24 && (minute, second) != (0, 0)) {
        return None;
    }
    let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
    Some(midnight + hour * 3600 + minute * 60 + second - zone_seconds(zone))
}

/// The digits of a time, 8 to 14 of them, and what stands behind.
fn digits_and_zone(text: &str) -> Option<(String, &str)> {
    let bytes = text.as_bytes();
    if bytes.get(4) == Some(&b'-') && bytes.get(7) == Some(&b'-') && text.is_ascii() {
        let mut digits: String = [&text[..4], &text[5..7], text.get(8..10)?].concat();
        let mut rest = text[10..].trim_start_matches(['T', 't', ' ']);
        while digits.len() < 14
            && let Some(pair) = rest.get(..2).filter(|pair| pair.bytes().all(|byte| byte.is_ascii_digit()))
        {
            digits.push_str(pair);
            rest = rest[2..].strip_prefix(':').unwrap_or(&rest[2..]);
        }
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        return is_number.then(|| (digits, without_fraction(rest)));
    }
    let count = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let kept = count.min(14) & !1;
    (kept >= 8).then(|| (text[..kept].to_owned(), without_fraction(&text[count..])))
}

fn without_fraction(text: &str) -> &str {
    text.strip_prefix('.').map_or(text, |rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// How far a zone is before UTC. One that nobody knows is UTC.
fn zone_seconds(zone: &str) -> i64 {
    let zone = zone.trim();
    let zone = zone.strip_prefix("UTC").or_else(|| zone.strip_prefix("GMT")).unwrap_or(zone);
    let (sign, digits) = match zone.as_bytes().first() {
        Some(b'+') => (1, &zone[1..]),
        Some(b'-') => (-1, &zone[1..]),
        Some(_) | None => {
            let known = ZONES.iter().find(|(name, _)| name.eq_ignore_ascii_case(zone));
            return known.map_or(0, |(_, hours)| hours * 3600);
        }
    };
    let digits: String = digits.chars().filter(|c| *c != ':').take_while(char::is_ascii_digit).collect();
    let (hours, minutes) = match digits.len() {
        1 | 2 => (digits.as_str(), "0"),
        3 => digits.split_at(1),
        4 => digits.split_at(2),
        _other => return 0,
    };
    let seconds = hours.parse::<i64>().unwrap_or(0) * 3600 + minutes.parse::<i64>().unwrap_or(0) * 60;
    if seconds <= ZONE_SECONDS_MAX { sign * seconds } else { 0 }
}

/// Reads by how many hours times are to be put later, as `tvg-shift` says it: `1`, `-2`, `+5.5`, `1:30`. Seconds.
#[must_use]
pub fn parse_shift(text: &str) -> Option<i64> {
    let text = text.trim();
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => (1, text),
    };
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { text.parse::<i64>().ok() } else { None }
    };
    let (hours, seconds) = if let Some((hours, minutes)) = rest.split_once(':') {
        (number(hours)?, number(minutes).filter(|minutes| *minutes < 60)? * 60)
    } else if let Some((hours, part)) = rest.split_once(['.', ',']) {
        let scale = 10_i64.pow(u32::try_from(part.len().min(4)).ok()?);
        (number(hours)?, number(part)? * 3600 / scale)
    } else {
        (number(rest)?, 0)
    };
    (hours <= SHIFT_HOURS_MAX).then_some(sign * (hours * 3600 + seconds))
}

/// A time as a guide writes it, in UTC. Nothing for one that no calendar has.
#[must_use]
pub fn shown_time(seconds: i64) -> Option<String> {
    let time = Timestamp::from_second(seconds).ok()?;
    Some(time.strftime("%Y%m%d%H%M%S +0000").to_string())
}
