//! `POST /api/admin/tuners/recovery`: somebody does not like the picture.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::control::admin::call::Call;
use crate::control::state::State;
use crate::engine::{CoreCommand, TriggerRefusal, home};
use crate::http::{Response, to_json};
use crate::lineup::ChannelId;

/// How long the channel's core may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// The reason of a request that gives none.
pub(super) const REASON_DEFAULT: &str = "ui_manual_trigger";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    channel_id: i64,
    #[serde(default)]
    reason: String,
}

#[derive(Serialize)]
struct Accepted<'a> {
    accepted: bool,
    channel_id: i64,
    recovery_reason: &'a str,
}

/// Has the channel's session recover.
pub(super) async fn trigger(call: &Call, state: &State) -> Result<Response, Response> {
    let Wish { channel_id, reason } = serde_json::from_slice(&call.body)
        .map_err(|error| Response::text(400, &format!("the body is not what this route takes: {error}")))?;
    if channel_id <= 0 {
        return Err(Response::text(400, "channel_id must be greater than zero"));
    }
    let reason = Some(reason.trim()).filter(|reason| !reason.is_empty()).unwrap_or(REASON_DEFAULT);
    ask(state, ChannelId(channel_id), reason).await?;
    let body = to_json(&Accepted { accepted: true, channel_id, recovery_reason: reason }) + "\n";
    Ok(Response::new(200).body("application/json", body))
}

/// Has the channel's session recover, for this reason.
pub(super) async fn ask(state: &State, channel: ChannelId, reason: &str) -> Result<(), Response> {
    let cores = u8::try_from(state.outbox.cores()).unwrap_or(u8::MAX);
    if cores == 0 {
        return Err(Response::text(503, "session recovery is not available"));
    }
    let (sender, answer) = oneshot::channel();
    let reply = Box::new(move |result| {
        // Nobody waits any more after the timeout.
        let _unheard = sender.send(result);
    });
    let command = CoreCommand::TriggerRecovery { channel, reason: reason.to_owned(), reply };
    let busy = || Response::text(503, "a core did not answer in time").header("Retry-After", "1");
    state.outbox.try_send(usize::from(home(channel, cores).0), command).map_err(|_full| busy())?;
    match timeout(ANSWER_TIMEOUT, answer).await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(refusal))) => Err(refused(refusal)),
        Ok(Err(_dropped)) => Err(Response::text(500, "the channel's core has ended")),
        Err(_elapsed) => Err(busy()),
    }
}

fn refused(refusal: TriggerRefusal) -> Response {
    let status = match refusal {
        TriggerRefusal::NotFound => 404,
        TriggerRefusal::AlreadyPending => 409,
    };
    Response::text(status, &refusal.to_string())
}

/// Whether the route takes this body.
#[cfg(any(test, feature = "sim"))]
pub(super) fn takes(body: &[u8]) -> bool {
    serde_json::from_slice::<Wish>(body).is_ok_and(|wish| wish.channel_id > 0)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::rc::Rc;

    use super::*;
    use crate::control::admin::call::tests::{call, written};
    use crate::control::admin::routes::answer;
    use crate::control::state::tests::{params, state, with};
    use crate::engine::Mailbox;

    const PATH: &str = "/api/admin/tuners/recovery";

    async fn post(state: &Rc<State>, body: &str) -> (u16, String) {
        let response = answer(call("POST", PATH, body), Rc::clone(state)).await;
        let (head, body) = written(&response);
        let is_text = head.contains("Content-Type: text/plain");
        assert_eq!(is_text, response.status() != 200, "{head}");
        (response.status(), body)
    }

    /// The answer when the channel's core answers so, and the reason that core was told.
    fn triggered(body: &'static str, result: Result<(), TriggerRefusal>) -> ((u16, String), String) {
        let (mailbox, mut core) = Mailbox::new().unwrap();
        let answering = std::thread::spawn(move || {
            let mut wakeup = std::fs::File::from(core.wakeup_descriptor().unwrap());
            wakeup.read_exact(&mut [0; 8]).unwrap();
            let Some(CoreCommand::TriggerRecovery { channel, reason, reply }) = core.take() else {
                panic!("asked for something else")
            };
            assert_eq!(channel, ChannelId(42));
            reply(result);
            reason
        });
        let mut found = None;
        tokio_uring::start(async { found = Some(post(&with(params(), vec![mailbox]), body).await) });
        (found.unwrap(), answering.join().unwrap())
    }

    #[test]
    fn a_wish_that_is_taken_is_answered_with_its_reason_as_it_was_given() {
        for (body, reason) in [
            (r#"{"channel_id":42,"reason":"  Operator  <Click> "}"#, r"Operator  \u003cClick\u003e"),
            (r#"{"channel_id":42,"reason":" "}"#, "ui_manual_trigger"),
            (r#"{"channel_id":42}"#, "ui_manual_trigger"),
        ] {
            let ((status, answer), told) = triggered(body, Ok(()));
            let expected =
                format!("{{\"accepted\":true,\"channel_id\":42,\"recovery_reason\":\"{reason}\"}}\n");
            assert_eq!((status, answer), (200, expected));
            assert_eq!(told, reason.replace(r"\u003c", "<").replace(r"\u003e", ">"));
        }
    }

    #[test]
    fn a_wish_that_cannot_be_fulfilled_says_why() {
        for (refusal, status) in [(TriggerRefusal::NotFound, 404), (TriggerRefusal::AlreadyPending, 409)] {
            let (answer, _) = triggered(r#"{"channel_id":42}"#, Err(refusal));
            assert_eq!(answer, (status, format!("{refusal}\n")));
        }
    }

    #[test]
    fn a_body_is_read_strictly() {
        tokio_uring::start(async {
            let state = state();
            for (body, status, piece) in [
                (r#"{"channel_id":0}"#, 400, "greater than zero"),
                (r#"{"channel_id":-4,"reason":"x"}"#, 400, "greater than zero"),
                (r#"{"reason":"x"}"#, 400, "greater than zero"),
                (r#"{"channel_id":42,"extra":1}"#, 400, "unknown field `extra`"),
                (r#"{"channel_id":42} {}"#, 400, "trailing"),
                (r#"{"channel_id":"42"}"#, 400, "invalid type"),
                ("", 400, "EOF"),
                (r#"{"channel_id":42}"#, 503, "not available"),
            ] {
                let (found, text) = post(&state, body).await;
                assert_eq!(found, status, "{body}: {text}");
                assert!(text.contains(piece), "{body}: {text}");
            }
        });
    }

    #[test]
    fn a_core_that_has_ended_is_told_apart_from_a_wish_that_is_refused() {
        let (mailbox, core) = Mailbox::new().unwrap();
        drop(core);
        tokio_uring::start(async {
            let (status, _) = post(&with(params(), vec![mailbox]), r#"{"channel_id":42}"#).await;
            assert_eq!(status, 503);
        });
    }
}
