//! What was shown when, as one picture: a row for each source, solid where it was shown, hatched where the slate was, and nothing
//! where nothing was.

use std::time::Duration;

use super::html::{escaped, push};
use super::words::long;

/// The width of the picture, and the height of a row.
const WIDTH: u64 = 1000;
const ROW: u64 = 20;
/// How far it goes back at the least, and at the most.
const SHORTEST: Duration = Duration::from_secs(10 * 60);
const LONGEST: Duration = Duration::from_secs(6 * 3600);
/// Stretches that are drawn, the newest.
const STRETCHES_MAX: usize = 500;

/// Something that was shown. Times are how long ago.
pub(super) struct Stretch {
    pub(super) row: String,
    pub(super) from: Duration,
    pub(super) to: Duration,
    /// What is said of it.
    pub(super) said: String,
    pub(super) is_slate: bool,
}

/// The picture. What is hatched in it is so by the pattern of this name, of which a page has no other.
pub(super) fn band(all: &[Stretch], hatch: &str) -> String {
    let all = &all[all.len().saturating_sub(STRETCHES_MAX)..];
    let oldest = all.iter().map(|stretch| stretch.from).max().unwrap_or_default();
    let span = oldest.clamp(SHORTEST, LONGEST);
    let mut rows: Vec<&str> = Vec::new();
    for stretch in all.iter().filter(|stretch| stretch.to < span) {
        if !rows.contains(&stretch.row.as_str()) {
            rows.push(&stretch.row);
        }
    }
    rows.sort_unstable();
    if rows.is_empty() {
        return String::new();
    }
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let across = |ago: Duration| WIDTH - millis(ago.min(span)).saturating_mul(WIDTH) / millis(span);
    let height = ROW * rows.len() as u64;
    let mut html = format!("<h3>The last {}</h3><div class=bands><div class=names>", long(span));
    for row in &rows {
        push(&mut html, format_args!("<span>{}</span>", escaped(row)));
    }
    push(
        &mut html,
        format_args!(
            "</div><svg viewBox=\"0 0 {WIDTH} {height}\" height={height} preserveAspectRatio=none role=img aria-label=\"Which source was shown when; the newest is on the right\">\
             <defs><pattern id=\"{hatch}\" class=hatch width=6 height=6 patternUnits=userSpaceOnUse patternTransform=\"rotate(45)\"><rect class=ground width=6 height=6 /><rect class=line width=3 height=6 /></pattern></defs>"
        ),
    );
    for stretch in all.iter().filter(|stretch| stretch.to < span) {
        let row = rows.iter().position(|row| *row == stretch.row).unwrap_or(0) as u64;
        let (from, to) = (across(stretch.from), across(stretch.to));
        let class = if stretch.is_slate {
            format!("class=slate fill=\"url(#{hatch})\"")
        } else {
            "class=shown".to_owned()
        };
        push(
            &mut html,
            format_args!(
                "<rect {class} x={from} y={} width={} height={}><title>{}</title></rect>",
                row * ROW + 3,
                (to - from).max(2),
                ROW - 6,
                escaped(&stretch.said)
            ),
        );
    }
    push(
        &mut html,
        format_args!(
            "</svg></div><p class=\"quiet axis\"><span>{} ago</span><span>solid: shown · hatched: slate · gap: nothing</span><span>now</span></p>",
            long(span)
        ),
    );
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(row: &str, from: u64, to: u64, is_slate: bool) -> Stretch {
        let (from, to) = (Duration::from_secs(from), Duration::from_secs(to));
        Stretch { row: row.to_owned(), from, to, said: format!("<{row}>"), is_slate }
    }

    #[test]
    fn what_was_shown_stands_where_its_time_is() {
        let html = band(
            &[stretch("A", 1_200, 600, false), stretch("B", 600, 0, false), stretch("B", 300, 240, true)],
            "hatch-7",
        );
        for piece in [
            "The last 20 min",
            "viewBox=\"0 0 1000 40\"",
            "<rect class=shown x=0 y=3 width=500 height=14><title>&lt;A&gt;</title></rect>",
            "<rect class=shown x=500 y=23 width=500 height=14>",
            "<pattern id=\"hatch-7\" ",
            "<rect class=slate fill=\"url(#hatch-7)\" x=750 y=23 width=50 height=14>",
        ] {
            assert!(html.contains(piece), "{piece}: {html}");
        }
    }

    #[test]
    fn what_is_too_old_is_left_out_and_a_moment_can_be_seen() {
        let html = band(&[stretch("old", 30_000, 29_000, false), stretch("A", 10, 10, false)], "hatch");
        assert!(
            !html.contains("old") && html.contains("The last 6 h 0 min") && html.contains("width=2 "),
            "{html}"
        );
        assert_eq!(band(&[], "hatch"), "");
    }
}
