//! The last line, which says what keys do or asks something, and the help.

use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

use super::canvas::{Canvas, cut};
use super::state::{Mode, State};

const KEYS: &str = "↑↓ choose  enter viewers  r recover  x disconnect  / filter  ? help  q quit";
const ANSWERS: &str = "  y: yes   any other key: no";
const HELP: [&str; 18] = [
    "↑ ↓ j k          choose a channel, or a viewer",
    "pgup pgdn g G    a page, the first, the last",
    "enter tab        go to the viewers, and back; esc too",
    "r                recover the channel: get it from another source",
    "x                disconnect the viewer that is chosen",
    "/                show channels with this in number or name",
    "esc              show all again",
    "q                quit, as Ctrl-C",
    "",
    "●  playing       ◐  waiting for a picture",
    "▲  its source is lost, and another one is tried",
    "○  nobody watches, and it closes soon",
    "",
    "KiB lag: what a viewer has yet to be sent",
    "Mbit/s of a channel: what came from its source in four seconds",
    "of a viewer: what it was sent since the last answer",
    "█ a source was shown, ▒ the slate, · nothing of it",
    "any key closes this",
];

pub(super) fn footer(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let area = Rect { x: area.x + 1, width: area.width - 2, ..area };
    match state.mode() {
        Mode::Ask { question, .. } => {
            let room = usize::from(area.width).saturating_sub(ANSWERS.width());
            canvas.line(area, 0, &format!("{}{ANSWERS}", cut(question, room)), canvas.wait());
        }
        Mode::Filter => {
            let text = format!("show channels with: {}▏  enter keeps it, esc shows all", state.filter());
            canvas.line(area, 0, &text, canvas.strong());
        }
        Mode::Browse | Mode::Help => match state.news() {
            Some(told) => {
                let style = if told.is_bad { canvas.bad() } else { canvas.strong() };
                let sign = if told.is_bad { "■ " } else { "" };
                canvas.line(area, 0, &format!("{sign}{}", told.text.as_str()), style);
            }
            None => canvas.line(area, 0, KEYS, canvas.quiet()),
        },
    }
}

pub(super) fn help(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    if *state.mode() != Mode::Help {
        return;
    }
    let lines = u16::try_from(HELP.len()).expect("a few");
    let width = HELP.iter().map(|line| line.width()).max().unwrap_or(0) + 4;
    let width = u16::try_from(width).unwrap_or(u16::MAX).min(area.width);
    let height = (lines + 2).min(area.height);
    let x = area.x + (area.width - width) / 2;
    let y = area.y + (area.height - height) / 2;
    let frame = Rect { x, y, width, height };
    canvas.clear(frame);
    canvas.rule(frame, 0, ("keys and signs", canvas.strong()), "");
    let inner = Rect { x: x + 2, width: width - 4, ..frame };
    for (text, line) in HELP.iter().zip(1..height.saturating_sub(1)) {
        canvas.line(inner, line, text, canvas.plain());
    }
    canvas.rule(frame, height - 1, ("", canvas.quiet()), "");
}
