//! `GET /api/admin/tuners`: what every core is doing.

use crate::control::admin::call::{Call, refusal};
use crate::control::state::State;
use crate::http::{Response, to_json};
use crate::status::{Moment, TunerStatusSnapshot};

/// All sessions of all cores.
pub(super) async fn status(call: &Call, state: &State) -> Result<Response, Response> {
    check_resolve_ip(call)?;
    let at = state.clock.now();
    let moment = Moment { at, wall: state.clock.wall_at(at) };
    let Some(cores) = state.snapshots().await else {
        return Err(refusal(503, "a core did not answer in time").header("Retry-After", "1"));
    };
    let status = TunerStatusSnapshot::new(&cores, state.drain_wait.get(), moment);
    let status = status.unverified(!state.params.trust.verifies(None));
    let body = to_json(&status) + "\n";
    Ok(Response::new(200).body("application/json", body))
}

/// Names of clients are not looked up, asked for or not; what is no answer to the question is refused as ever.
fn check_resolve_ip(call: &Call) -> Result<(), Response> {
    let asked = call.query("resolve_ip").unwrap_or_default();
    match asked.trim().to_ascii_lowercase().as_str() {
        "" | "1" | "true" | "yes" | "on" | "0" | "false" | "no" | "off" => Ok(()),
        _ => {
            let sentence = "resolve_ip cannot be what it is; allowed: 1, true, yes, on, 0, false, no, off";
            Err(Response::text(400, sentence))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use crate::control::admin::call::tests::call;
    use crate::control::admin::routes::answer;
    use crate::control::state::tests::state;

    #[test]
    fn the_question_for_names_is_answered_yes_or_no() {
        tokio_uring::start(async {
            let state = state();
            for (query, status) in [
                ("", 200),
                ("?resolve_ip=", 200),
                ("?resolve_ip=YES", 200),
                ("?resolve_ip=%20on%20", 200),
                ("?resolve_ip=0", 200),
                ("?resolve_ip=2", 400),
                ("?resolve_ip=maybe", 400),
            ] {
                let path = format!("/api/admin/tuners{query}");
                let response = answer(call("GET", &path, ""), Rc::clone(&state)).await;
                assert_eq!(response.status(), status, "{path}");
            }
        });
    }
}
