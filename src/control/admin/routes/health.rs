//! Forgetting what is known of sources.

use std::rc::Rc;

use serde::Serialize;

use crate::control::admin::call::refusal;
use crate::control::health::cleared;
use crate::control::state::State;
use crate::http::Response;
use crate::lineup::ChannelId;

use super::{channel_refusal, store_refusal};

#[derive(Serialize)]
struct Cleared {
    cleared: usize,
}

/// `POST /api/channels/{id}/sources/health/clear`.
pub(super) async fn clear(state: &Rc<State>, channel: i64) -> Result<Response, Response> {
    if channel <= 0 {
        return Err(refusal(400, "the channel's id must be a whole number above zero"));
    }
    let of_task = Rc::clone(state);
    to_its_end(async move {
        let reset = of_task.ask_store(move |database| database.reset_channel_health(channel)).await;
        let count = reset.map_err(|error| channel_refusal(&error))?;
        cleared(&of_task, Some(ChannelId(channel))).await;
        Ok(count)
    })
    .await
}

/// `POST /api/channels/sources/health/clear`.
pub(super) async fn clear_all(state: &Rc<State>) -> Result<Response, Response> {
    let of_task = Rc::clone(state);
    to_its_end(async move {
        let reset = of_task.ask_store(|database| database.reset_health()).await;
        let count = reset.map_err(|error| store_refusal(&error))?;
        cleared(&of_task, None).await;
        Ok(count)
    })
    .await
}

/// A request may be given up while the store works. What has been reset there must be told to the cores all the
/// same: they would write the old state once more.
async fn to_its_end(
    clearing: impl Future<Output = Result<usize, Response>> + 'static,
) -> Result<Response, Response> {
    let Ok(result) = tokio_uring::spawn(clearing).await else {
        return Err(refusal(500, "the health of the sources may not have been cleared"));
    };
    Ok(Response::json(200, &Cleared { cleared: result? }))
}
