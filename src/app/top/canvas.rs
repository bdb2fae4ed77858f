//! What is drawn on, and with which looks. Every text is cut to its place by the width of its letters, and none wraps.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use tunerd::status::words::Mark;

/// What is drawn on.
pub(super) struct Canvas<'a> {
    buffer: &'a mut Buffer,
    has_colour: bool,
}

impl<'a> Canvas<'a> {
    pub(super) const fn new(buffer: &'a mut Buffer, has_colour: bool) -> Self {
        Self { buffer, has_colour }
    }

    /// A text in a line of an area, cut to it.
    pub(super) fn line(&mut self, area: Rect, line: u16, text: &str, style: Style) {
        self.cell(area, line, 0, area.width, text, style);
    }

    /// A text at a place in a line of an area, cut to so many columns.
    pub(super) fn cell(&mut self, area: Rect, line: u16, from: u16, columns: u16, text: &str, style: Style) {
        if line >= area.height || from >= area.width {
            return;
        }
        let columns = columns.min(area.width - from);
        let text = cut(text, usize::from(columns));
        self.buffer.set_stringn(area.x + from, area.y + line, text, usize::from(columns), style);
    }

    /// The same, with its end at the end of its place.
    pub(super) fn right(&mut self, area: Rect, line: u16, from: u16, columns: u16, text: &str, style: Style) {
        let width = u16::try_from(text.width()).unwrap_or(u16::MAX).min(columns);
        self.cell(area, line, from + (columns - width), width, text, style);
    }

    /// Two texts, of which the second stands at the line's end, if there is room for it behind the first.
    pub(super) fn both(&mut self, area: Rect, line: u16, text: (&str, Style), end: (&str, Style)) {
        let is_room = text.0.width() + end.0.width() + 2 <= usize::from(area.width);
        self.line(area, line, text.0, text.1);
        if is_room {
            self.right(area, line, 0, area.width, end.0, end.1);
        }
    }

    /// A line across with a title in it, and something at its end.
    pub(super) fn rule(&mut self, area: Rect, line: u16, title: (&str, Style), end: &str) {
        self.line(area, line, &"─".repeat(usize::from(area.width)), self.quiet());
        let end = if end.is_empty() { String::new() } else { format!(" {end} ") };
        let left = usize::from(area.width).saturating_sub(end.width() + 6);
        if !title.0.is_empty() {
            let text = format!(" {} ", cut(title.0, left));
            self.cell(area, line, 2, area.width.saturating_sub(2), &text, title.1);
        }
        self.right(area, line, 0, area.width.saturating_sub(2), &end, self.quiet());
    }

    /// Gives a line of an area another look.
    pub(super) fn look(&mut self, area: Rect, line: u16, style: Style) {
        if line < area.height {
            self.buffer.set_style(Rect { y: area.y + line, height: 1, ..area }, style);
        }
    }

    /// Empties an area.
    pub(super) fn clear(&mut self, area: Rect) {
        for line in 0..area.height {
            self.look(area, line, Style::reset());
            self.line(area, line, &" ".repeat(usize::from(area.width)), Style::reset());
        }
    }

    const fn coloured(&self, colour: Color, without: Modifier) -> Style {
        if self.has_colour { Style::new().fg(colour) } else { Style::new().add_modifier(without) }
    }

    pub(super) const fn plain(&self) -> Style {
        Style::new()
    }

    pub(super) const fn strong(&self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) const fn quiet(&self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// What is chosen in the list in which the arrows move.
    pub(super) const fn chosen(&self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(super) const fn bad(&self) -> Style {
        self.coloured(Color::Red, Modifier::BOLD)
    }

    pub(super) const fn wait(&self) -> Style {
        self.coloured(Color::Yellow, Modifier::BOLD)
    }

    pub(super) const fn mark(&self, mark: Mark) -> Style {
        match mark {
            Mark::Playing => self.coloured(Color::Green, Modifier::empty()),
            Mark::Starting => self.coloured(Color::Blue, Modifier::empty()),
            Mark::Recovering => self.wait(),
            Mark::Idle => self.quiet(),
        }
    }
}

/// A text in at most so many columns; one that is cut ends in `…`.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut left = columns.saturating_sub(1);
    let fits = |letter: &char| {
        let rest = left.checked_sub(letter.width().unwrap_or(0));
        left = rest.unwrap_or(left);
        rest.is_some()
    };
    text.chars().take_while(fits).chain((columns > 0).then_some('…')).collect()
}

/// Bits per second in Mbit/s, to the tenth; `–` when nothing is known.
pub(super) fn mbit(bits_per_second: Option<u64>) -> String {
    bits_per_second
        .map_or_else(|| "–".to_owned(), |rate| format!("{}.{}", rate / 1_000_000, rate / 100_000 % 10))
}

/// The first of so many that is shown when there is room for fewer: the chosen one is always among them.
pub(super) const fn first_shown(chosen: usize, count: usize, room: usize) -> usize {
    if count <= room {
        return 0;
    }
    let first = chosen.saturating_sub(room / 2);
    let last = count - room;
    if first < last { first } else { last }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_by_the_width_of_its_letters() {
        for (text, columns, expected) in [
            ("News One", 8, "News One"),
            ("News One", 7, "News O…"),
            ("日本放送", 8, "日本放送"),
            ("日本放送", 7, "日本放…"),
            ("日本放送", 6, "日本…"),
            ("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…"),
            ("News", 1, "…"),
            ("News", 0, ""),
        ] {
            assert_eq!(cut(text, columns), expected, "{text} in {columns}");
            assert!(cut(text, columns).width() <= columns);
        }
    }

    #[test]
    fn what_is_chosen_is_shown_wherever_it_stands() {
        for count in 0..30 {
            for room in 1..12 {
                for chosen in 0..count {
                    let first = first_shown(chosen, count, room);
                    assert!(
                        first <= chosen && chosen < first + room,
                        "{chosen} of {count} in {room}: {first}"
                    );
                    assert!(first + room <= count.max(room), "no empty rows while there are others");
                }
            }
        }
    }
}
