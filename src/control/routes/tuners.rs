//! `GET /api/admin/tuners`: what every core is doing.

use crate::control::call::refusal;
use crate::control::state::State;
use crate::http::{Response, to_json};
use crate::status::{Moment, TunerStatusSnapshot};

/// All sessions of all cores.
pub(super) async fn status(state: &State) -> Result<Response, Response> {
    let at = state.clock.now();
    let moment = Moment { at, wall: state.clock.wall_at(at) };
    let Some(cores) = state.snapshots().await else {
        return Err(refusal(503, "a core did not answer in time").header("Retry-After", "1"));
    };
    let body = to_json(&TunerStatusSnapshot::new(&cores, moment)) + "\n";
    Ok(Response::new(200).body("application/json", body))
}
