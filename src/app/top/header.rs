//! The first lines: whether everything is all right, and what the server is doing in all.

use ratatui::layout::Rect;

use tunerd::status::words::{Mark, count, long};

use super::canvas::Canvas;
use super::channel::Channel;
use super::document::Document;
use super::state::State;

/// Cores whose load is shown. Of more the number is.
const CORES_MAX: usize = 16;

pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let area = Rect { x: area.x + 1, width: area.width - 2, ..area };
    let document = state.document();
    let said = document.map_or_else(|| "Waiting for the first answer.".to_owned(), |_| sentence(state));
    let about = document.map(about).unwrap_or_default();
    canvas.both(area, 0, (&said, canvas.strong()), (&about, canvas.quiet()));
    if let Some((why, since)) = state.away() {
        let since = if since.as_secs() == 0 { String::new() } else { format!(" for {}", long(since)) };
        let text = format!("■ No answer{since}, trying again: {}", why.as_str());
        canvas.both(area, 1, (&text, canvas.bad()), (state.server().as_str(), canvas.quiet()));
    } else if let Some(document) = document {
        let facts = facts(state, document);
        canvas.both(area, 1, (&facts, canvas.plain()), (state.server().as_str(), canvas.quiet()));
    }
    if let Some(core) = document.and_then(|document| document.cores.iter().find(|core| core.is_saturated)) {
        let text = format!("■ Core {} has more to do than it can, and takes nobody in.", core.core);
        canvas.line(area, 2, &text, canvas.bad());
    }
}

/// Whether everything is all right.
fn sentence(state: &State) -> String {
    let channels = state.channels();
    let playing = channels.iter().filter(|channel| channel.viewers() > 0).count();
    if playing == 0 {
        return "All quiet.".to_owned();
    }
    let viewers = channels.iter().map(Channel::viewers).sum();
    let bad = channels.iter().filter(|channel| channel.mark() == Mark::Recovering).count();
    let attention = match bad {
        0 => String::new(),
        1 => " 1 needs attention.".to_owned(),
        bad => format!(" {bad} need attention."),
    };
    let (channels, viewers) = (count(playing, "channel", "channels"), count(viewers, "viewer", "viewers"));
    format!("{channels} playing to {viewers}.{attention}")
}

fn about(document: &Document) -> String {
    let up = document.started_at.before(document.generated_at);
    let up = up.map(|up| format!(" · up {}", long(up))).unwrap_or_default();
    format!("tunerd {}{up}", document.version.as_str())
}

fn facts(state: &State, document: &Document) -> String {
    let flow = state.flow();
    let tuners = count(document.tuner_count, "tuner", "tuners");
    let out = flow.bytes_per_second.map_or_else(|| "–".to_owned(), megabytes);
    let loads: Vec<_> = flow.loads.iter().take(CORES_MAX).map(|load| format!("{load} %")).collect();
    let loads = if loads.is_empty() { "–".to_owned() } else { loads.join(" ") };
    let more = if flow.loads.len() > CORES_MAX { " …" } else { "" };
    let cores = count(document.cores.len(), "core", "cores");
    format!("{} of {tuners} in use · {out} out · load of {cores} {loads}{more}", document.in_use_count)
}

fn megabytes(bytes_per_second: u64) -> String {
    format!("{}.{} MB/s", bytes_per_second / 1_000_000, bytes_per_second / 100_000 % 10)
}
