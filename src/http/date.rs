//! Dates as servers write them.

/// Seconds since 1970 of a date in any of the forms that headers have (RFC 9110, 5.6.7; RFC 6265, 5.1.1): a time, a day, a month and
/// a year, in whatever order, with anything between them. `None` for what is no date, or one before 1970.
pub(super) fn parse(text: &str) -> Option<u64> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    let is_between = |character: char| !character.is_ascii_alphanumeric() && character != ':';
    for word in text.split(is_between).filter(|word| !word.is_empty()).take(WORDS_MAX) {
        if time.is_none() && word.contains(':') {
            time = Some(seconds_of(word)?);
        } else if day.is_none() && word.len() <= 2 && is_number(word) {
            day = word.parse::<u64>().ok();
        } else if month.is_none() && word.len() >= 3 && month_of(word).is_some() {
            month = month_of(word);
        } else if year.is_none() && (2..=4).contains(&word.len()) && is_number(word) {
            year = word.parse::<u64>().ok();
        }
    }
    let year = match year? {
        short @ 0..=69 => short + 2000,
        short @ 70..=99 => short + 1900,
        year => year,
    };
    let (day, month) = (day.filter(|day| (1..=31).contains(day))?, month?);
    if !(1970..=9999).contains(&year) {
        return (year >= 1601).then_some(0);
    }
    Some((days_before(year, month) + day - 1) * DAY_SECONDS + time?)
}

/// Days from the beginning of 1970 to that of a month, counted from 1.
const fn days_before(year: u64, month: u64) -> u64 {
    // Years that begin in March, so that a leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (month * 153 + 2) / 5 - DAYS_BEFORE_1970
}

fn seconds_of(word: &str) -> Option<u64> {
    let mut parts = word.split(':').map(|part| part.parse::<u64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    (hours < 24 && minutes < 60 && seconds <= 60).then_some((hours * 60 + minutes) * 60 + seconds)
}

fn month_of(word: &str) -> Option<u64> {
    let place =
        MONTHS.iter().position(|name| word.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(name)));
    place.and_then(|place| u64::try_from(place + 1).ok())
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAY_SECONDS: u64 = 24 * 60 * 60;
/// From the first of March of the year 0 to the beginning of 1970.
const DAYS_BEFORE_1970: u64 = 719_468;
/// A date has six at most, and a comment perhaps.
const WORDS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_are_read_in_every_form_that_servers_write() {
        for (text, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
            ("Sun Nov  6 08:49:37 1994", Some(784_111_777)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Thu, 01-Jan-1970 00:00:01 GMT", Some(1)),
            ("Tue, 29 Feb 2000 00:00:00 GMT", Some(951_782_400)),
            ("Wed, 01 Mar 2000 00:00:00 GMT", Some(951_868_800)),
            ("Sat, 01 Jan 2000 00:00:00 GMT", Some(946_684_800)),
            ("Mon, 01 Jan 2035 00:00:00 GMT", Some(2_051_222_400)),
            ("Mon, 01 Jan 1601 00:00:00 GMT", Some(0)),
            ("tomorrow", None),
            ("0", None),
            ("Sun, 06 Nov 1994", None),
            ("Sun, 06 Nov 1994 25:00:00 GMT", None),
            ("Sun, 36 Nov 1994 08:49:37 GMT", None),
            ("", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _date: Option<u64> = parse(&text);
        }
    }
}
