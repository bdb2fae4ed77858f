//! What describes the interface to machines: each is one text, in the program itself.

use crate::http::Response;

/// A description.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ApiDocument {
    /// All routes, as OpenAPI 3.1.
    Routes,
    /// The second format of the tuners, as JSON Schema.
    Tuners,
}

impl ApiDocument {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Routes => include_str!("../openapi.json"),
            Self::Tuners => crate::status::TUNERS_SCHEMA,
        }
    }

    pub(super) fn answer(self) -> Response {
        Response::new(200).header("Cache-Control", "no-cache").body("application/json", self.text())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::rc::Rc;

    use serde_json::Value;

    use super::super::{Route, answer, described, name};
    use super::ApiDocument;
    use crate::control::admin::call::tests::{call, written};
    use crate::control::state::tests::{params, state, with};
    use crate::http::{self, Method};

    fn document() -> Value {
        serde_json::from_str(ApiDocument::Routes.text()).unwrap()
    }

    const METHODS: [Method; 5] = [Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete];

    /// Each path of the document with its item, and the same path as somebody would ask for it.
    fn paths(document: &Value) -> Vec<(String, Value, String)> {
        let paths = document["paths"].as_object().unwrap().clone();
        let asked = |(path, item): (String, Value)| {
            let mut asked = path.clone();
            for parameter in item["parameters"].as_array().into_iter().flatten() {
                let example = &parameter["example"];
                let example = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
                asked = asked.replace(&format!("{{{}}}", parameter["name"].as_str().unwrap()), &example);
            }
            assert!(!asked.contains('{'), "{path} has parameters that are not described");
            (path, item, asked)
        };
        paths.into_iter().map(asked).collect()
    }

    fn is_stream(path: &str) -> bool {
        http::stream_route(&call("GET", path, "").request) != http::Route::Control
    }

    #[test]
    fn each_documented_route_is_known_with_its_methods_and_bodies() {
        for (path, item, asked) in paths(&document()) {
            if is_stream(&asked) {
                continue;
            }
            let route = Route::find(&asked).unwrap_or_else(|| panic!("nothing is served under {path}"));
            let of_router: Vec<_> =
                route.methods().iter().filter(|method| **method != Method::Head).copied().collect();
            let is_told = |method: &Method| item.get(name(*method).to_lowercase()).is_some();
            let told: Vec<_> = METHODS.into_iter().filter(is_told).collect();
            assert_eq!(told, of_router, "{path}");
            for method in told {
                let body = item[name(method).to_lowercase()].get("requestBody").is_some();
                assert_eq!(body, route.takes_body(method), "{} {path}", name(method));
            }
        }
    }

    /// The paths that a function matches against, with `{}` for what is taken from them.
    fn matched(code: &str, folder: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let (_, rest) = code.split_once("match *pieces").unwrap();
        let (arms, _) = rest.split_once("            _ => return None,\n        })\n    }").unwrap();
        for pattern in arms.split('[').skip(1).filter_map(|rest| rest.split_once(']')) {
            let (pieces, behind) = pattern;
            let is_pattern = behind.trim_start().starts_with(['=', '|']);
            if !is_pattern || pieces.contains("..") {
                continue;
            }
            let mut paths = vec![folder.to_owned()];
            for piece in pieces.split(", ") {
                let words: Vec<String> = if piece.starts_with('"') {
                    piece.split(" | ").map(|word| word.trim_matches('"').to_owned()).collect()
                } else {
                    vec!["{}".to_owned()]
                };
                paths = paths
                    .iter()
                    .flat_map(|path| words.iter().map(move |word| format!("{path}/{word}")))
                    .collect();
            }
            found.extend(paths);
        }
        found
    }

    /// What is served under paths, as the code of the router says it itself.
    fn of_router() -> BTreeSet<String> {
        let mut all = matched(include_str!("mod.rs"), "");
        all.extend(matched(include_str!("page.rs"), "/ui"));
        all
    }

    #[test]
    fn each_route_of_the_router_is_documented() {
        let plain = |path: &str| {
            let piece = |piece: &str| if piece.contains('{') { "{}" } else { piece }.to_owned();
            path.split('/').map(piece).collect::<Vec<_>>().join("/")
        };
        let told: BTreeSet<String> = paths(&document())
            .iter()
            .filter(|(_, _, asked)| !is_stream(asked))
            .map(|(path, ..)| plain(path))
            .collect();
        let served = of_router();
        assert!(served.len() > 60, "{served:?}");
        assert_eq!(served.difference(&told).collect::<Vec<_>>(), [""; 0], "served, but not documented");
        assert_eq!(told.difference(&served).collect::<Vec<_>>(), [""; 0], "documented, but not served");
    }

    #[test]
    fn each_documented_route_is_answered_with_a_status_that_is_told() {
        tokio_uring::start(async {
            let state = with(crate::control::params::Params { has_metrics: true, ..params() }, Vec::new());
            for (path, item, asked) in paths(&document()) {
                let told = METHODS.into_iter().filter_map(|method| {
                    Some((method, item.get(name(method).to_lowercase())?.as_object()?.clone()))
                });
                for (method, operation) in told {
                    // What has no end, or asks servers, is called elsewhere.
                    let is_elsewhere =
                        path.contains("/events") || path.contains("/list") || path.contains("/run");
                    if is_stream(&asked) || is_elsewhere {
                        continue;
                    }
                    let answered = answer(call(name(method), &asked, "{}"), Rc::clone(&state)).await;
                    described::check(name(method), &asked, &answered);
                    let answered = answered.status();
                    let responses = operation["responses"].as_object().unwrap();
                    let is_told = responses.contains_key(&answered.to_string())
                        || (responses.contains_key("default") && answered >= 400 && answered != 405);
                    assert!(is_told, "{} {path} is answered with {answered}", name(method));
                }
            }
        });
    }

    #[test]
    fn the_document_is_whole_and_its_references_lead_somewhere() {
        let document = document();
        assert_eq!(document["openapi"], "3.1.0");
        let mut names = BTreeMap::<String, usize>::new();
        for (_, item, _) in paths(&document) {
            for operation in METHODS.iter().filter_map(|method| item.get(name(*method).to_lowercase())) {
                *names.entry(operation["operationId"].as_str().unwrap().to_owned()).or_default() += 1;
                assert!(operation["summary"].as_str().unwrap().ends_with(['.', '!']), "{operation}");
            }
        }
        assert!(names.values().all(|count| *count == 1), "{names:?}");
        check_references(&document, &document);
        tokio_uring::start(async {
            for path in ["/api/openapi.json", "/api/tuners.schema.json"] {
                let answered = answer(call("GET", path, ""), state()).await;
                assert!(serde_json::from_str::<Value>(&written(&answered).1).is_ok(), "{path}");
            }
        });
    }

    fn check_references(value: &Value, document: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(to) = fields.get("$ref").and_then(Value::as_str) {
                    let is_there = match to.strip_prefix('#') {
                        Some(pointer) => document.pointer(pointer).is_some(),
                        None => to == "tuners.schema.json",
                    };
                    assert!(is_there, "{to} leads nowhere");
                }
                fields.values().for_each(|value| check_references(value, document));
            }
            Value::Array(items) => items.iter().for_each(|value| check_references(value, document)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}
