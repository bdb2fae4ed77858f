//! The screen, from the state and nothing else.

use ratatui::Frame;
use ratatui::layout::Rect;

use super::canvas::Canvas;
use super::state::State;
use super::{detail, header, overlay, table};

/// A terminal that is smaller is told so.
const WIDTH_MIN: u16 = 40;
const HEIGHT_MIN: u16 = 10;
/// The lines of the header, and the last one, which says what keys do.
const HEADER: u16 = 3;
const FOOTER: u16 = 1;
/// Lines that what is known of the chosen channel has at the least, where there is room for any.
const DETAIL_MIN: u16 = 10;

/// Draws everything.
pub(crate) fn draw(state: &State, frame: &mut Frame<'_>) {
    let area = frame.area();
    let mut canvas = Canvas::new(frame.buffer_mut(), state.has_colour());
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        canvas.line(area, 0, "The terminal is too small.", canvas.strong());
        canvas.line(area, 1, &format!("It needs {WIDTH_MIN}x{HEIGHT_MIN}; q quits."), canvas.plain());
        return;
    }
    let header = Rect { height: HEADER, ..area };
    let footer = Rect { y: area.bottom() - FOOTER, height: FOOTER, ..area };
    let body = Rect { y: area.y + HEADER, height: area.height - HEADER - FOOTER, ..area };
    header::draw(state, &mut canvas, header);
    if state.document().is_some() {
        draw_body(state, &mut canvas, body);
    }
    overlay::footer(state, &mut canvas, footer);
    overlay::help(state, &mut canvas, area);
}

/// The channels, and what is known of the chosen one.
fn draw_body(state: &State, canvas: &mut Canvas<'_>, body: Rect) {
    let rows = u16::try_from(state.listed().len()).unwrap_or(u16::MAX).max(1).saturating_add(1);
    let detail = if body.height >= 2 * DETAIL_MIN { body.height / 2 } else { DETAIL_MIN };
    let most = body.height.checked_sub(detail).filter(|rest| *rest >= 4).unwrap_or(body.height);
    let table = Rect { height: rows.min(most), ..body };
    table::draw(state, canvas, table);
    let detail = Rect { y: table.bottom(), height: body.bottom() - table.bottom(), ..body };
    detail::draw(state, canvas, detail);
}
