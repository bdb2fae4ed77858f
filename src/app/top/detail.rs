//! What is known of the chosen channel: what it does, its sources and what was shown when, and who watches.

use std::time::Duration;

use ratatui::layout::Rect;

use tunerd::status::words::long;

use super::canvas::{Canvas, first_shown, mbit};
use super::channel::{Channel, Known, Stretch};
use super::document::Watching;
use super::state::{Focus, State};

/// From this width on viewers and sources stand beside one another.
const WIDE: u16 = 140;
/// How far the timeline goes back at the least, and at the most.
const SHORTEST: Duration = Duration::from_secs(10 * 60);
const LONGEST: Duration = Duration::from_secs(6 * 3600);
/// The name of a source, what is said of it behind its band, and the widest band.
const NAME: u16 = 10;
const HEALTH: u16 = 24;
const BAND_MAX: u16 = 120;
/// Lines that viewers have at the least where sources stand below: a head and three.
const VIEWERS_MIN: u16 = 4;

pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    if area.height == 0 {
        return;
    }
    let Some(channel) = state.chosen() else {
        canvas.rule(area, 0, ("", canvas.quiet()), "");
        return;
    };
    let title = format!("{} {}", channel.number(), channel.name());
    canvas.rule(area, 0, (&title, canvas.strong()), &of_how_many(state));
    let inner = Rect { x: area.x + 1, width: area.width - 2, ..area };
    let sign = format!("{} {}", channel.mark().sign(), channel.sentence());
    canvas.both(inner, 1, (&sign, canvas.mark(channel.mark())), (&channel.stream(), canvas.quiet()));
    canvas.line(inner, 2, &shown(state.known(channel), channel), canvas.quiet());
    let rest = Rect { y: area.y + 4, height: area.height.saturating_sub(4), ..inner };
    if area.width >= WIDE {
        let half = rest.width / 2;
        viewers(state, canvas, Rect { width: half - 2, ..rest });
        let right = Rect { x: rest.x + half, width: rest.width - half, ..rest };
        sources(state, canvas, right, channel);
        let below = u16::try_from(rows(state.known(channel), channel).len()).unwrap_or(u16::MAX) + 2;
        let below = below.min(right.height);
        let below = Rect { y: right.y + below, height: right.height - below, ..right };
        switches(state, canvas, below, channel);
    } else {
        let rest = Rect { y: area.y + 3, height: area.height.saturating_sub(3), ..inner };
        let wanted = u16::try_from(rows(state.known(channel), channel).len()).unwrap_or(u16::MAX);
        let below = wanted.saturating_add(1).min(rest.height.saturating_sub(VIEWERS_MIN));
        viewers(state, canvas, Rect { height: rest.height - below, ..rest });
        sources(state, canvas, Rect { y: rest.bottom() - below, height: below, ..rest }, channel);
    }
}

fn of_how_many(state: &State) -> String {
    let (listed, all) = (state.listed().len(), state.channels().len());
    if state.filter().is_empty() {
        format!("{} of {all}", state.channel_place() + 1)
    } else {
        format!("{} of {listed} with “{}”, {all} in all", state.channel_place() + 1, state.filter())
    }
}

/// Which source is shown, and where it is read.
fn shown(known: Option<&Known>, channel: &Channel) -> String {
    if channel.source() == 0 {
        return "No source is shown yet.".to_owned();
    }
    let place = known.and_then(|known| known.place(channel.source()));
    let place = place.map_or_else(
        || format!("source #{}", channel.source()),
        |(place, count)| format!("source {place} of {count}"),
    );
    format!("{place}: {}", channel.address())
}

fn viewers(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let viewers = state.viewers();
    let head = match viewers.len() {
        0 => "no viewers".to_owned(),
        count => format!("viewers ({count})"),
    };
    let (watching, numbers) = (11, 7);
    let address = area.width.saturating_sub(watching + 3 * (numbers + 1) + 1).min(46);
    let line = |canvas: &mut Canvas<'_>, line: u16, cells: [&str; 6], style| {
        let mut from = address + 1;
        canvas.cell(area, line, 0, address, cells[0], style);
        for (cell, width) in cells[1..5].iter().zip([watching, numbers, numbers, numbers]) {
            canvas.right(area, line, from, width, cell, style);
            from += width + 1;
        }
        canvas.cell(area, line, from, area.width.saturating_sub(from), cells[5], style);
    };
    let focused = state.focus() == Focus::Viewers;
    let style = if focused { canvas.strong() } else { canvas.quiet() };
    if viewers.is_empty() {
        canvas.line(area, 0, &head, style);
        return;
    }
    line(canvas, 0, [&format!("  {head}"), "watching", "Mbit/s", "KiB lag", "MiB got", "player"], style);
    let room = usize::from(area.height.saturating_sub(1));
    let first = first_shown(state.viewer_place(), viewers.len(), room.max(1));
    let now = state.document().map(|document| document.generated_at).unwrap_or_default();
    for ((place, viewer), row) in viewers.iter().enumerate().skip(first).take(room).zip(1..) {
        let is_chosen = place == state.viewer_place();
        let sign = if is_chosen { "› " } else { "  " };
        let since = viewer.connected_at.before(now).map(long).unwrap_or_default();
        let cells = [
            &format!("{sign}{}", viewer.client_addr.as_str()),
            &since,
            &mbit(state.viewer_rate(viewer)),
            &(viewer.lag_bytes / 1024).to_string(),
            &(viewer.bytes_sent / (1024 * 1024)).to_string(),
            &player(viewer),
        ];
        line(canvas, row, cells.map(String::as_str), canvas.plain());
        if is_chosen && focused {
            canvas.look(area, row, canvas.chosen());
        }
    }
}

/// How it is served.
fn player(viewer: &Watching) -> String {
    if viewer.delivery.is_empty() {
        return "stream".to_owned();
    }
    format!("{} {}", viewer.delivery.as_str().to_uppercase(), viewer.user_agent.as_str())
}

/// The sources in their places, and such as are listed no more and were shown.
fn rows(known: Option<&Known>, channel: &Channel) -> Vec<(i64, String, bool)> {
    let listed = known.map(|known| known.all(channel)).unwrap_or_default();
    let mut rows: Vec<_> = listed
        .into_iter()
        .map(|(id, name, health)| {
            let words = if health.is_bad || name.is_empty() {
                health.words
            } else {
                format!("{}, {name}", health.words)
            };
            (id, words, health.is_bad)
        })
        .collect();
    for stretch in channel.timeline() {
        if !rows.iter().any(|(id, ..)| *id == stretch.source) {
            rows.push((stretch.source, String::new(), false));
        }
    }
    rows
}

/// A band for each source.
fn sources(state: &State, canvas: &mut Canvas<'_>, area: Rect, channel: &Channel) {
    let known = state.known(channel);
    let (all, timeline) = (rows(known, channel), channel.timeline());
    if area.height < 2 || all.is_empty() {
        return;
    }
    let oldest = timeline.iter().map(|stretch| stretch.from).max().unwrap_or_default();
    let span = oldest.clamp(SHORTEST, LONGEST);
    let band = area.width.saturating_sub(NAME + HEALTH + 1).min(BAND_MAX);
    let behind = NAME + band + 1;
    canvas.cell(area, 0, 0, NAME, "sources", canvas.quiet());
    canvas.cell(area, 0, NAME, band, &format!("{} ago", long(span)), canvas.quiet());
    canvas.right(area, 0, NAME, band, "now", canvas.quiet());
    canvas.cell(area, 0, behind, area.width - behind, "█ shown  ▒ slate", canvas.quiet());
    let room = usize::from(area.height - 1);
    let current = all.iter().position(|(id, ..)| *id == channel.source()).unwrap_or(0);
    let first = first_shown(current, all.len(), room);
    for ((id, words, is_bad), line) in all.iter().skip(first).take(room).zip(1..) {
        let mark = if *id == channel.source() { canvas.strong() } else { canvas.plain() };
        canvas.cell(area, line, 0, NAME - 1, &Known::called(known, *id), mark);
        let of_source: Vec<_> = timeline.iter().filter(|stretch| stretch.source == *id).collect();
        canvas.cell(area, line, NAME, band, &drawn(&of_source, span, usize::from(band)), canvas.plain());
        let style = if *is_bad { canvas.wait() } else { canvas.quiet() };
        canvas.cell(area, line, behind, area.width - behind, words, style);
    }
}

/// What was shown when, in so many columns. A moment can be seen.
fn drawn(stretches: &[&Stretch], span: Duration, columns: usize) -> String {
    let mut letters = vec!['·'; columns];
    let mut draw = |stretch: &Stretch, letter: char| {
        let column = |ago: Duration| {
            let part = ago.min(span).as_millis() * columns as u128 / span.as_millis().max(1);
            columns - usize::try_from(part).unwrap_or(columns).min(columns)
        };
        let from = column(stretch.from).min(columns.saturating_sub(1));
        let to = column(stretch.to).max(from + 1);
        if stretch.to < span {
            letters.iter_mut().take(to).skip(from).for_each(|place| *place = letter);
        }
    };
    stretches.iter().filter(|stretch| !stretch.is_slate).for_each(|stretch| draw(stretch, '█'));
    stretches.iter().filter(|stretch| stretch.is_slate).for_each(|stretch| draw(stretch, '▒'));
    letters.into_iter().collect()
}

/// The last switches in words.
fn switches(state: &State, canvas: &mut Canvas<'_>, area: Rect, channel: &Channel) {
    canvas.line(area, 0, "what happened", canvas.quiet());
    let room = usize::from(area.height.saturating_sub(1));
    for ((ago, source, why), line) in channel.switches().take(room).zip(1..) {
        let text = format!("{}, {why}", Known::called(state.known(channel), source));
        canvas.right(area, line, 0, 12, &format!("{} ago", long(ago)), canvas.quiet());
        canvas.cell(area, line, 13, area.width.saturating_sub(13), &text, canvas.plain());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_shown_stands_where_its_time_is_and_a_moment_can_be_seen() {
        let stretch = |from: u64, to: u64, is_slate| {
            let (from, to) = (Duration::from_secs(from), Duration::from_secs(to));
            Stretch { source: 1, from, to, is_slate }
        };
        let span = Duration::from_secs(100);
        for (stretches, expected) in [
            (vec![stretch(100, 50, false)], "█████·····"),
            (vec![stretch(500, 0, false)], "██████████"),
            (vec![stretch(100, 0, false), stretch(30, 10, true)], "███████▒▒█"),
            (vec![stretch(0, 0, false)], "·········█"),
            (vec![stretch(900, 100, false)], "··········"),
            (vec![], "··········"),
        ] {
            assert_eq!(drawn(&stretches.iter().collect::<Vec<_>>(), span, 10), expected);
        }
        assert_eq!(drawn(&[&stretch(10, 0, false)], span, 0), "");
    }
}
