//! `POST /api/admin/viewers/{id}/kick`: somebody is not to watch any more.

use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::control::admin::call::refusal;
use crate::control::state::State;
use crate::engine::{CoreCommand, SessionId};
use crate::http::Response;

/// How long the cores may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct Kicked {
    kicked: bool,
    viewer_id: String,
}

/// Ends a viewer's stream. It watches on the core that accepted it, which nobody else knows: all are asked.
pub(super) async fn kick(state: &State, session: u64, viewer: u64) -> Result<Response, Response> {
    let busy = || refusal(503, "a core did not answer in time").header("Retry-After", "1");
    let mut answers = Vec::new();
    for core in 0..state.outbox.cores() {
        let (sender, answer) = oneshot::channel();
        let reply = Box::new(move |is_gone| {
            // Nobody waits any more after the timeout.
            let _unheard = sender.send(is_gone);
        });
        let command = CoreCommand::Kick { session: SessionId(session), viewer, reply };
        state.outbox.try_send(core, command).map_err(|_full| busy())?;
        answers.push(answer);
    }
    let all = async {
        let mut is_gone = false;
        for answer in answers {
            is_gone |= answer.await.unwrap_or(false);
        }
        is_gone
    };
    let is_gone = timeout(ANSWER_TIMEOUT, all).await.map_err(|_elapsed| busy())?;
    let viewer_id = format!("{session}-{viewer}");
    if is_gone {
        log::info!("administration: viewer {viewer_id} was disconnected");
        return Ok(Response::json(200, &Kicked { kicked: true, viewer_id }));
    }
    Err(refusal(404, &format!("nobody watches as viewer {viewer_id}; client_streams names those who do")))
}
