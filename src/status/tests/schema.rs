//! The second format is what its schema says, in each state, and the schema knows every field of the first.

use std::collections::BTreeSet;

use serde_json::Value;

use super::fields::TYPES;
use super::world::{closed, core, failed, first_core, json, lease, recovering, session, streaming};
use crate::base::json_schema::Schemas;
use crate::engine::snapshot::CoreSnapshot;
use crate::status::{TUNERS_SCHEMA, second_format};
use crate::tuner::pool::Kind;

fn schema() -> Value {
    serde_json::from_str(TUNERS_SCHEMA).unwrap()
}

/// What is wrong with a document in the second format.
fn check(value: &Value) -> Result<(), String> {
    Schemas::new([("tuners.schema.json", schema())]).check(value, "tuners.schema.json", "", "status")
}

fn second(cores: &[CoreSnapshot]) -> Value {
    let mut document = json(cores);
    second_format(&mut document);
    document
}

/// What cores may be doing.
fn states() -> [Vec<CoreSnapshot>; 5] {
    let mut past =
        first_core(vec![lease(1, Kind::Probe, "probe:a", 0)], vec![recovering(7, 0), session(8, None)]);
    past.closed = closed(9, [failed(3, "no source")]);
    [
        Vec::new(),
        vec![first_core(Vec::new(), Vec::new())],
        vec![first_core(vec![lease(0, Kind::Client, "101", 7)], vec![streaming(7, 0)])],
        vec![first_core(vec![lease(0, Kind::Client, "101", 9)], Vec::new())],
        vec![past, core(1, vec![streaming(9, 2), session(10, Some(3))])],
    ]
}

#[test]
fn the_second_format_is_what_its_schema_says_in_every_state() {
    for cores in states() {
        let document = second(&cores);
        check(&document).unwrap_or_else(|wrong| panic!("{wrong}\n{document:#}"));
    }
}

#[test]
fn the_schema_finds_what_is_wrong() {
    let good = second(&[first_core(vec![lease(0, Kind::Client, "101", 7)], vec![streaming(7, 0)])]);
    for (pointer, value) in [
        ("/format", Value::from(1)),
        ("/tuner_count", Value::from("2")),
        ("/generated_at", Value::from("0001-01-01")),
        ("/tuners/0/subscribers", Value::Null),
        ("/tuners/0/kind", Value::from(1)),
        ("/client_streams", Value::from("none")),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        assert!(check(&bad).is_err(), "{pointer}");
    }
    let mut more = good.clone();
    more["tuners"][0]["news"] = Value::from(1);
    assert!(check(&more).unwrap_err().contains("which nobody knows"));
    let mut less = good;
    less["tuners"][0].as_object_mut().unwrap().remove("kind");
    assert_eq!(check(&less).unwrap_err(), "status.tuners[0] lacks \"kind\"");
}

#[test]
fn the_schema_knows_every_field_and_no_other() {
    let schema = schema();
    for (name, fields) in TYPES {
        let part = if *name == "TunerStatusSnapshot" { &schema } else { &schema["$defs"][name] };
        let told: BTreeSet<&str> =
            part["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let renamed = |field: &'static str| match field {
            "SubscriberID" => "subscriber_id",
            "ClientAddr" => "client_addr",
            "StartedAt" => "connected_at",
            field => field,
        };
        let mut known: BTreeSet<&str> = fields.iter().map(|(field, ..)| renamed(field)).collect();
        // What a question adds.
        known.extend(told.contains("client_addr").then_some("client_host"));
        known.extend(told.contains("tuners").then_some("format"));
        assert_eq!(told, known, "{name}");
    }
}

#[test]
fn the_first_format_is_what_the_document_of_all_routes_says() {
    let routes: Value = serde_json::from_str(include_str!("../../control/admin/openapi.json")).unwrap();
    for (name, fields) in TYPES {
        let part = &routes["components"]["schemas"][name];
        let mut told: Vec<&str> =
            part["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        told.retain(|field| *field != "client_host");
        let known: Vec<&str> = fields.iter().map(|(field, ..)| *field).collect();
        assert_eq!(BTreeSet::from_iter(told), BTreeSet::from_iter(known), "{name}");
        let always: BTreeSet<&str> =
            fields.iter().filter(|(.., is_left_out)| !is_left_out).map(|(field, ..)| *field).collect();
        let required = part["required"].as_array().unwrap();
        assert_eq!(
            required.iter().map(|field| field.as_str().unwrap()).collect::<BTreeSet<_>>(),
            always,
            "{name}"
        );
        assert_eq!(part["additionalProperties"], Value::from(false), "{name}");
    }
    let schemas = Schemas::new([("openapi.json", routes)]);
    for cores in states() {
        let document = json(&cores);
        let first = "/components/schemas/TunerStatusSnapshot";
        schemas
            .check(&document, "openapi.json", first, "status")
            .unwrap_or_else(|wrong| panic!("{wrong}\n{document:#}"));
    }
}
