//! `GET /api/admin/tuners`: what every core is doing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use serde_json::Value;

use crate::control::admin::call::{Call, refusal};
use crate::control::client_names::names;
use crate::control::state::State;
use crate::http::{Response, to_json};
use crate::status::{Moment, TunerStatusSnapshot, second_format};

/// All sessions of all cores.
pub(super) async fn status(call: &Call, state: &Rc<State>) -> Result<Response, Response> {
    let (resolves, is_second) = (wants_names(call)?, wants_second_format(call)?);
    let at = state.clock.now();
    let moment = Moment { at, wall: state.clock.wall_at(at) };
    let Some(cores) = state.snapshots().await else {
        return Err(refusal(503, "a core did not answer in time").header("Retry-After", "1"));
    };
    let status = TunerStatusSnapshot::new(&cores, state.drain_wait.get(), moment);
    let status = status.unverified(!state.params.trust.verifies(None));
    let mut body = to_json(&status);
    if resolves || is_second {
        let mut document: Value = serde_json::from_str(&body).expect("it has just been written");
        if is_second {
            second_format(&mut document);
        }
        if resolves {
            let mut addresses = BTreeSet::new();
            each_client(&mut document, &mut |fields| addresses.extend(client(fields)));
            let names = names(state.client_names(), state.clock, addresses).await;
            each_client(&mut document, &mut |fields| add_name(fields, &names));
        }
        body = to_json(&document);
    }
    Ok(Response::new(200).body("application/json", body + "\n"))
}

type Fields = serde_json::Map<String, Value>;

/// Goes to everything in the document that has a client's address.
fn each_client(value: &mut Value, visit: &mut dyn FnMut(&mut Fields)) {
    match value {
        Value::Object(fields) => {
            if fields.contains_key("client_addr") {
                visit(fields);
            }
            fields.values_mut().for_each(|value| each_client(value, visit));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| each_client(value, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn client(fields: &Fields) -> Option<IpAddr> {
    let address: SocketAddr = fields.get("client_addr")?.as_str()?.parse().ok()?;
    Some(address.ip())
}

fn add_name(fields: &mut Fields, names: &BTreeMap<IpAddr, String>) {
    if let Some(name) = client(fields).and_then(|address| names.get(&address)) {
        fields.insert("client_host".to_owned(), name.as_str().into());
    }
}

/// Whether clients' names are asked for.
fn wants_names(call: &Call) -> Result<bool, Response> {
    let asked = call.query("resolve_ip").unwrap_or_default();
    match asked.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "" | "0" | "false" | "no" | "off" => Ok(false),
        _ => {
            let sentence = "resolve_ip cannot be what it is; allowed: 1, true, yes, on, 0, false, no, off";
            Err(Response::text(400, sentence))
        }
    }
}

/// Whether the second format is asked for.
fn wants_second_format(call: &Call) -> Result<bool, Response> {
    match call.query("format").unwrap_or_default().trim() {
        "" | "1" => Ok(false),
        "2" => Ok(true),
        _ => Err(refusal(400, "format cannot be what it is; allowed: 1, 2")),
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
                ("?format=1", 200),
                ("?format=2&resolve_ip=1", 200),
                ("?format=3", 400),
            ] {
                let path = format!("/api/admin/tuners{query}");
                let response = answer(call("GET", &path, ""), Rc::clone(&state)).await;
                assert_eq!(response.status(), status, "{path}");
            }
        });
    }
}
