//! Who watches, as a table with a button for each.

use crate::base::Instant;
use crate::engine::snapshot::ViewerSnapshot;

use super::html::{button, escaped, push};
use super::words::long;

/// Viewers that are shown at once. Of more the number is.
pub(in crate::control) const VIEWERS_SHOWN_MAX: usize = 100;

/// The first of a session's viewers. Whoever ends one comes back to this page.
pub(super) fn viewers<'a>(
    session: u64,
    viewers: impl IntoIterator<Item = &'a ViewerSnapshot>,
    now: Instant,
    back: &str,
) -> String {
    let mut viewers = viewers.into_iter();
    let mut html = String::new();
    for viewer in viewers.by_ref().take(VIEWERS_SHOWN_MAX) {
        html.push_str(&row(session, viewer, now, back));
    }
    if html.is_empty() {
        return html;
    }
    let mut html = format!(
        "<h3>Viewers</h3><table><thead><tr><th>Address<th class=n>Watching<th class=n>Behind, KiB<th class=\"n wide\">Got, MiB<th></tr></thead><tbody>{html}</tbody></table>"
    );
    let more = viewers.count();
    if more > 0 {
        push(
            &mut html,
            format_args!("<p class=quiet>The first {VIEWERS_SHOWN_MAX} of {}.</p>", more + VIEWERS_SHOWN_MAX),
        );
    }
    html
}

fn row(session: u64, viewer: &ViewerSnapshot, now: Instant, back: &str) -> String {
    let address = viewer.peer.ip().to_canonical();
    let id = format!("{session}-{}", viewer.id);
    let how = viewer.hls.as_ref().map_or_else(String::new, |hls| {
        format!(" <span class=quiet>HLS {}</span>", escaped(&hls.user_agent))
    });
    let really =
        button(&format!("/ui/viewers/{id}/kick"), &[("back", back)], &format!("Disconnect {address}"), "");
    format!(
        "<tr id=v-{id}><td>{address}{how}<td class=n>{}<td class=n>{}<td class=\"n wide\">{}<td class=acts>\
         <details class=ask data-open=\"kick-{id}\"><summary>Disconnect…</summary>{really}</details></tr>",
        long(now - viewer.joined_at),
        viewer.lag_bytes / 1024,
        viewer.bytes_sent / (1024 * 1024),
    )
}
