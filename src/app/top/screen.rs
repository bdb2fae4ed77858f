//! The terminal: taken, and given back as it was on every way out.

use std::io;
use std::sync::mpsc::SyncSender;

use nix::sys::signal::{SigSet, Signal};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::{DefaultTerminal, Frame};

use super::news::News;
use super::state::Key;

/// Keys that are no letters.
const KEYS: [(KeyCode, Key); 10] = [
    (KeyCode::Up, Key::Up),
    (KeyCode::Down, Key::Down),
    (KeyCode::PageUp, Key::PageUp),
    (KeyCode::PageDown, Key::PageDown),
    (KeyCode::Home, Key::Home),
    (KeyCode::End, Key::End),
    (KeyCode::Enter, Key::Enter),
    (KeyCode::Tab, Key::Tab),
    (KeyCode::Esc, Key::Escape),
    (KeyCode::Backspace, Key::Backspace),
];

/// The terminal while it is ours. A panic gives it back before it says anything, on whichever thread.
pub(super) struct Screen(DefaultTerminal);

impl Screen {
    pub(super) fn open() -> io::Result<Self> {
        let opened = ratatui::try_init();
        if opened.is_err() {
            ratatui::restore();
        }
        opened.map(Self)
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.0.draw(draw).map(drop)
    }

    /// Draws everything anew the next time.
    pub(super) fn forget(&mut self) -> io::Result<()> {
        self.0.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // One that is gone needs nothing.
        let _gone = ratatui::try_restore();
    }
}

/// Keeps the signals that end us from ending us before the terminal is given back.
pub(super) fn block_signals() -> Result<SigSet, nix::Error> {
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect();
    signals.thread_block()?;
    Ok(signals)
}

/// Waits for one of them.
pub(super) fn wait_for_signals(signals: &SigSet, news: &SyncSender<News>) {
    let last = match signals.wait() {
        Ok(_signal) => News::End,
        Err(error) => News::Broken(format!("signals cannot be waited for: {error}")),
    };
    let _ended = news.send(last);
}

/// Reads keys until there is nobody left to tell.
pub(super) fn read_keys(news: &SyncSender<News>) {
    loop {
        let told = match event::read() {
            Ok(Event::Key(event)) => key(event).map(|key| news.send(key)),
            Ok(Event::Resize(..)) => Some(news.send(News::Redraw)),
            Ok(Event::FocusGained | Event::FocusLost | Event::Mouse(_) | Event::Paste(_)) => None,
            Err(error) => Some(news.send(News::Broken(format!("the terminal cannot be read: {error}")))),
        };
        if told.is_some_and(|told| told.is_err()) {
            return;
        }
    }
}

fn key(event: KeyEvent) -> Option<News> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    if event.modifiers.contains(KeyModifiers::CONTROL) {
        let known = [('c', News::End), ('l', News::Redraw)];
        let mut known = known.into_iter().filter(|(letter, _)| event.code == KeyCode::Char(*letter));
        return known.next().map(|(_, news)| news);
    }
    if let KeyCode::Char(letter) = event.code {
        return Some(News::Key(Key::Letter(letter)));
    }
    KEYS.iter().find(|(code, _)| *code == event.code).map(|(_, key)| News::Key(*key))
}
