//! What open pages are sent. One picture of the cores is taken for all of them, and only while there are some; a page that takes its
//! time gets the newest when it is ready, and never one in between.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::control::state::State;
use crate::http::to_json;

use super::pages::Picture;
use super::render::{Facts, Piece, pieces};

/// How often they are.
const EVERY: Duration = Duration::from_secs(1);

/// A page that is open, until this is dropped.
pub(in crate::control) struct OpenPage {
    state: Rc<State>,
    newest: watch::Receiver<Picture>,
    /// What it shows.
    shown: BTreeMap<String, String>,
    order: Vec<String>,
    events: u64,
}

#[derive(Serialize)]
struct News<'a> {
    pieces: Vec<NewPiece<'a>>,
    order: Vec<&'a str>,
}

#[derive(Serialize)]
struct NewPiece<'a> {
    name: &'a str,
    html: &'a str,
}

impl OpenPage {
    /// One page more, if there is room for it.
    pub(in crate::control) fn new(state: &Rc<State>) -> Option<Self> {
        let pages = state.pages();
        let newest = pages.open()?;
        if pages.begins() {
            tokio_uring::spawn(run(Rc::clone(state)));
        }
        Some(Self { state: Rc::clone(state), newest, shown: BTreeMap::new(), order: Vec::new(), events: 0 })
    }

    /// Waits until there is something new, and gives it as an event. The first one holds the whole page, so that whoever comes back
    /// misses nothing.
    pub(in crate::control) async fn next(&mut self) -> String {
        loop {
            if self.newest.changed().await.is_err() {
                // The pages live as long as the state, which this holds.
                std::future::pending::<()>().await;
            }
            let picture = Rc::clone(&self.newest.borrow_and_update());
            if let Some(event) = self.event(&picture) {
                return event;
            }
        }
    }

    fn event(&mut self, picture: &[Piece]) -> Option<String> {
        let order: Vec<String> = picture.iter().map(|piece| piece.name.clone()).collect();
        let is_new = |piece: &&Piece| self.shown.get(&piece.name) != Some(&piece.html);
        let new: Vec<&Piece> = picture.iter().filter(is_new).collect();
        if new.is_empty() && order == self.order {
            return None;
        }
        self.events += 1;
        let pieces = new.iter().map(|piece| NewPiece { name: &piece.name, html: &piece.html }).collect();
        let news = News { pieces, order: order.iter().map(String::as_str).collect() };
        let event = format!("id: {}\ndata: {}\n\n", self.events, to_json(&news));
        self.shown = picture.iter().map(|piece| (piece.name.clone(), piece.html.clone())).collect();
        self.order = order;
        Some(event)
    }
}

impl Drop for OpenPage {
    fn drop(&mut self) {
        self.state.pages().close();
    }
}

/// Takes pictures as long as a page is open.
async fn run(state: Rc<State>) {
    while state.pages().are_open() {
        if let Some(picture) = picture(&state, true).await {
            state.pages().show(Rc::new(picture));
        }
        sleep(EVERY).await;
    }
    state.pages().ends();
}

/// The page as it is now; nothing when a core does not answer in time.
pub(super) async fn picture(state: &State, keeps_rates: bool) -> Option<Vec<Piece>> {
    let cores = state.snapshots().await?;
    if keeps_rates {
        state.pages().remember_rates(&cores);
    }
    let (rates, listed) = (state.pages().rates(), state.listed.borrow());
    let now = state.clock.now();
    Some(pieces(&Facts { cores: &cores, listed: &listed, rates: &rates, now }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::page::PAGES_MAX;
    use crate::control::state::tests::state;

    fn piece(name: &str, html: &str) -> Piece {
        Piece { name: name.to_owned(), html: html.to_owned() }
    }

    #[test]
    fn a_page_is_sent_what_has_changed_and_nothing_when_nothing_has() {
        tokio_uring::start(async {
            let mut page = OpenPage::new(&state()).unwrap();
            let first = page.event(&[piece("a", "1"), piece("b", "<2>\n")]).unwrap();
            assert_eq!(
                first,
                "id: 1\ndata: {\"pieces\":[{\"name\":\"a\",\"html\":\"1\"},{\"name\":\"b\",\"html\":\"\\u003c2\\u003e\\n\"}],\
                 \"order\":[\"a\",\"b\"]}\n\n"
            );
            assert_eq!(page.event(&[piece("a", "1"), piece("b", "<2>\n")]), None);
            let second = page.event(&[piece("b", "3"), piece("a", "1")]).unwrap();
            assert!(
                second.starts_with(
                    "id: 2\ndata: {\"pieces\":[{\"name\":\"b\",\"html\":\"3\"}],\"order\":[\"b\",\"a\"]}"
                ),
                "{second}"
            );
            let gone = page.event(&[piece("b", "3")]).unwrap();
            assert!(gone.contains("{\"pieces\":[],\"order\":[\"b\"]}"), "{gone}");
        });
    }

    #[test]
    fn there_are_no_more_pages_than_the_bound_and_a_place_is_given_back() {
        tokio_uring::start(async {
            let state = state();
            let mut pages: Vec<_> = (0..PAGES_MAX).map(|_| OpenPage::new(&state).unwrap()).collect();
            assert!(OpenPage::new(&state).is_none());
            pages.pop();
            assert!(OpenPage::new(&state).is_some());
        });
    }
}
