//! Numbers in paths.

/// Digits alone: `+7` and `007` are other paths.
pub(super) fn number(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    (number >= 0 && number.to_string() == text).then_some(number)
}

/// A viewer's id: its session's number and its own.
pub(super) fn viewer(id: &str) -> Option<(u64, u64)> {
    let (session, viewer) = id.split_once('-')?;
    let whole = |text| number(text).and_then(|number| u64::try_from(number).ok());
    Some((whole(session)?, whole(viewer)?))
}
