//! What open pages are sent. One picture of the cores is taken for all of them, and only while there are some; what several show is
//! made once. A page that takes its time gets the newest when it is ready, and never one in between.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::control::state::State;
use crate::http::{Response, to_json};

use super::html::{Piece, live_page};
use super::moments::{Catalog, Moments, Unshown};
use super::pages::Picture;
use super::view::View;

/// How often they are.
const EVERY: Duration = Duration::from_secs(1);

/// A page that is open, until this is dropped.
pub(in crate::control) struct OpenPage {
    state: Rc<State>,
    view: View,
    newest: watch::Receiver<Picture>,
    /// What it shows.
    shown: Picture,
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
    pub(in crate::control) fn new(state: &Rc<State>, view: View) -> Option<Self> {
        let pages = state.pages();
        let newest = pages.open(&view)?;
        if pages.begins() {
            tokio_uring::spawn(run(Rc::clone(state)));
        }
        Some(Self { state: Rc::clone(state), view, newest, shown: Picture::default(), events: 0 })
    }

    /// Waits until there is something new, and gives it as an event. The first one holds the whole page, so that whoever comes back
    /// misses nothing.
    pub(in crate::control) async fn next(&mut self) -> String {
        loop {
            if self.newest.changed().await.is_err() {
                // Its place is among the pages as long as this is.
                std::future::pending::<()>().await;
            }
            let picture = Rc::clone(&self.newest.borrow_and_update());
            if let Some(event) = self.event(picture) {
                return event;
            }
        }
    }

    fn event(&mut self, picture: Picture) -> Option<String> {
        let shown: BTreeMap<&str, &str> =
            self.shown.iter().map(|piece| (piece.name.as_str(), piece.html.as_str())).collect();
        let is_new = |piece: &&Piece| shown.get(piece.name.as_str()) != Some(&piece.html.as_str());
        let pieces: Vec<_> = picture
            .iter()
            .filter(is_new)
            .map(|piece| NewPiece { name: &piece.name, html: &piece.html })
            .collect();
        let names = |picture: &'_ Picture| picture.iter().map(|piece| piece.name.clone()).collect::<Vec<_>>();
        if pieces.is_empty() && names(&self.shown) == names(&picture) {
            return None;
        }
        self.events += 1;
        let order = picture.iter().map(|piece| piece.name.as_str()).collect();
        let event = format!("id: {}\ndata: {}\n\n", self.events, to_json(&News { pieces, order }));
        self.shown = picture;
        Some(event)
    }
}

impl Drop for OpenPage {
    fn drop(&mut self) {
        self.state.pages().close(&self.view);
    }
}

/// Takes pictures as long as a page is open.
async fn run(state: Rc<State>) {
    let mut catalog = None;
    while state.pages().are_open() {
        take(&state, &mut catalog).await;
        sleep(EVERY).await;
    }
    state.pages().ends();
}

/// Shows all pages how it is now. Those for which a core, or the store, would have to be waited for go on showing what they do.
async fn take(state: &State, catalog: &mut Option<Catalog>) {
    let views = state.pages().views();
    let cores = state.snapshots().await;
    if let Some(cores) = &cores {
        state.pages().remember_rates(cores);
    }
    match Catalog::read(state, views, catalog.as_ref()).await {
        Ok(None) => {}
        Ok(Some(newer)) => *catalog = Some(newer),
        Err(_asked_again_soon) => return,
    }
    let Some(catalog) = catalog else { return };
    for view in &catalog.views {
        match Moments::new(state, cores.as_deref(), catalog).pieces(view) {
            Ok(picture) => state.pages().show(view, picture),
            Err(Unshown::Channel(error)) => state.pages().show(view, vec![gone(&error.to_string())]),
            Err(Unshown::Busy) => {}
        }
        // Whoever asks for something else is not to wait for all of them.
        yield_now().await;
    }
}

/// What is left of a page whose channel is there no more.
fn gone(sentence: &str) -> Piece {
    let sentence = super::html::escaped(sentence);
    Piece::new(
        "gone",
        format!(
            "<h1>This channel is gone.</h1><p>{sentence}</p><p><a href=/ui/channels>All channels</a></p>"
        ),
    )
}

/// A page as it is now.
pub(in crate::control) async fn show(state: &State, view: View) -> Result<Response, Unshown> {
    let cores = state.snapshots().await;
    let read = Catalog::read(state, vec![view.clone()], None).await;
    let catalog = read.map_err(|error| Unshown::Channel(error.into()))?.unwrap_or_default();
    let pieces = Moments::new(state, cores.as_deref(), &catalog).pieces(&view)?;
    Ok(live_page(&state.params.identity.friendly_name, view.place(), &view.events(), &pieces))
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
            let mut page = OpenPage::new(&state(), View::Now).unwrap();
            let first = page.event(Rc::new(vec![piece("a", "1"), piece("b", "<2>\n")])).unwrap();
            assert_eq!(
                first,
                "id: 1\ndata: {\"pieces\":[{\"name\":\"a\",\"html\":\"1\"},{\"name\":\"b\",\"html\":\"\\u003c2\\u003e\\n\"}],\
                 \"order\":[\"a\",\"b\"]}\n\n"
            );
            assert_eq!(page.event(Rc::new(vec![piece("a", "1"), piece("b", "<2>\n")])), None);
            let second = page.event(Rc::new(vec![piece("b", "3"), piece("a", "1")])).unwrap();
            assert!(
                second.starts_with(
                    "id: 2\ndata: {\"pieces\":[{\"name\":\"b\",\"html\":\"3\"}],\"order\":[\"b\",\"a\"]}"
                ),
                "{second}"
            );
            let gone = page.event(Rc::new(vec![piece("b", "3")])).unwrap();
            assert!(gone.contains("{\"pieces\":[],\"order\":[\"b\"]}"), "{gone}");
        });
    }

    #[test]
    fn there_are_no_more_pages_than_the_bound_and_a_place_is_given_back() {
        tokio_uring::start(async {
            let state = state();
            let mut pages: Vec<_> =
                (0..PAGES_MAX).map(|_| OpenPage::new(&state, View::Now).unwrap()).collect();
            assert!(OpenPage::new(&state, View::System).is_none());
            pages.pop();
            assert!(OpenPage::new(&state, View::System).is_some());
        });
    }
}
