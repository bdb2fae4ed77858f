//! `tunerd top`: what a running tunerd is doing, live in the terminal.
//!
//! [`State`] takes documents and keys and says what is to be done, [`draw`] draws it; neither knows a terminal or a server. Those are
//! here: one thread reads keys, one waits for signals and one asks the server; what they have to say comes through one queue.

mod canvas;
mod channel;
mod detail;
mod document;
mod draw;
mod header;
mod news;
mod overlay;
mod screen;
mod server_watch;
mod state;
mod table;
#[cfg(test)]
mod tests;

use std::io::{IsTerminal, stdout};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use tunerd::base::Clock;
use tunerd::config::Loaded;
use tunerd::exit::ExitCode;

use super::Failure;
use super::server::Server;
use draw::draw;
use news::News;
use screen::Screen;
use server_watch::{Wish, watch};
use state::{Action, State};

/// What has happened and is not yet drawn. Full: whoever has something to say waits.
const NEWS_MAX: usize = 16;
/// Wishes that the server has not been asked for. Full: it is said that one has to wait.
const WISHES_MAX: usize = 4;
/// Times that grow are drawn so often, whether anything has come or not.
const EVERY: Duration = Duration::from_secs(1);

/// Says that the thread that has it broke.
struct TellsOfPanic(SyncSender<News>);

impl Drop for TellsOfPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ended = self.0.send(News::Broken("a part of it broke".to_owned()));
        }
    }
}

/// Shows it until somebody quits.
pub(crate) fn top(loaded: &Loaded, url: Option<&str>) -> Result<ExitCode, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::because(ExitCode::Failure, error);
    let server = Server::of(loaded, url).map_err(|error| Failure::new(ExitCode::Failure, error))?;
    if !stdout().is_terminal() {
        let text = "top needs a terminal, and this is none; `tunerd status` prints the same once";
        return Err(Failure::new(ExitCode::Failure, text));
    }
    let has_colour = !std::env::vars_os().any(|(name, value)| name == "NO_COLOR" && !value.is_empty());
    let clock = Clock::start();
    let (news, came) = sync_channel(NEWS_MAX);
    let (wishes, wished) = sync_channel(WISHES_MAX);
    let mut state = State::new(server.name(), has_colour, clock.now());
    // Before the first thread: the signal is for the one that waits for it alone.
    let signals = screen::block_signals().map_err(|error| failed(&error))?;
    let mut screen = Screen::open().map_err(|error| failed(&error))?;
    spawn("signals", &news, move |news| screen::wait_for_signals(&signals, &news))?;
    spawn("keys", &news, |news| screen::read_keys(&news))?;
    spawn("server", &news, move |news| watch(&server, clock, &news, &wished))?;
    drop(news);
    loop {
        state.at(clock.now());
        screen.draw(|frame| draw(&state, frame)).map_err(|error| failed(&error))?;
        let news = match came.recv_timeout(EVERY) {
            Ok(news) => news,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Ok(ExitCode::Ok),
        };
        let now = clock.now();
        match news {
            News::Key(key) => match state.key(key) {
                Action::None => {}
                Action::Quit => return Ok(ExitCode::Ok),
                Action::Recover(channel) => wish(&mut state, &wishes, Wish::Recover(channel), now),
                Action::Kick(viewer) => wish(&mut state, &wishes, Wish::Kick(viewer), now),
            },
            News::Redraw => screen.forget().map_err(|error| failed(&error))?,
            News::Document(document) => {
                state.take(*document, now);
                // Whoever is behind with this is told the next time.
                let _full = wishes.try_send(Wish::Sources(state.wanted()));
            }
            News::Away(why) => state.lost(&why, now),
            News::Sources(channel, list) => state.take_sources(channel, list),
            News::Told(result) => state.told(result.as_ref().copied().map_err(String::as_str), now),
            News::End => return Ok(ExitCode::Ok),
            News::Broken(why) => return Err(Failure::new(ExitCode::Failure, why)),
        }
    }
}

fn wish(state: &mut State, wishes: &SyncSender<Wish>, wish: Wish, now: tunerd::base::Instant) {
    if wishes.try_send(wish).is_err() {
        state.told(Err("the server has not yet answered the last wish"), now);
    }
}

fn spawn(
    name: &str,
    news: &SyncSender<News>,
    run: impl FnOnce(SyncSender<News>) + Send + 'static,
) -> Result<(), Failure> {
    let (news, guard) = (news.clone(), TellsOfPanic(news.clone()));
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let _guard = guard;
        run(news);
    });
    thread.map(drop).map_err(|error| Failure::because(ExitCode::Failure, &error))
}
