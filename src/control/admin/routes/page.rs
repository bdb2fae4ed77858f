//! `/ui/`: the page, and its buttons for whoever has no scripts.

use crate::control::admin::call::refusal;
use crate::control::page;
use crate::control::state::State;
use crate::http::Response;
use crate::lineup::ChannelId;

use super::{recovery, viewers};

/// The page as it is now.
pub(super) async fn now(state: &State) -> Result<Response, Response> {
    page::now(state)
        .await
        .ok_or_else(|| refusal(503, "a core did not answer in time").header("Retry-After", "1"))
}

/// Back to the page, which shows what has come of it.
fn back() -> Response {
    Response::new(303).header("Location", "/ui/")
}

/// Has a channel recover.
pub(super) async fn recover(state: &State, channel: i64) -> Result<Response, Response> {
    recovery::ask(state, ChannelId(channel), recovery::REASON_DEFAULT).await?;
    Ok(back())
}

/// Ends a viewer's stream.
pub(super) async fn kick(state: &State, session: u64, viewer: u64) -> Result<Response, Response> {
    viewers::kick(state, session, viewer).await?;
    Ok(back())
}
