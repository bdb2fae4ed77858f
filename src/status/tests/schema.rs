//! The second format is what its schema says, in each state, and the schema knows every field of the first.

use std::collections::BTreeSet;

use serde_json::Value;

use super::fields::TYPES;
use super::world::{closed, core, failed, first_core, json, lease, recovering, session, streaming};
use crate::engine::snapshot::CoreSnapshot;
use crate::status::{TUNERS_SCHEMA, second_format};
use crate::tuner::pool::Kind;

fn schema() -> Value {
    serde_json::from_str(TUNERS_SCHEMA).unwrap()
}

/// What is wrong with a value, by the parts of JSON Schema that our schema uses; any other part is an error, too.
fn check(value: &Value, part: &Value, root: &Value, place: &str) -> Result<(), String> {
    for (word, rule) in part.as_object().unwrap() {
        let wrong = || Err(format!("{place} is {value}, against {word}: {rule}"));
        match word.as_str() {
            "$schema" | "$defs" | "title" | "description" => {}
            "$ref" => {
                let pointer = rule.as_str().unwrap().strip_prefix('#').unwrap();
                check(value, root.pointer(pointer).unwrap(), root, place)?;
            }
            "const" if value == rule => {}
            "enum" if rule.as_array().unwrap().contains(value) => {}
            "type" => {
                let holds = match rule.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "number" => value.is_number(),
                    other => return Err(format!("the schema has a type {other}")),
                };
                if !holds {
                    return wrong();
                }
            }
            "format" => {
                let is_time = value.as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok());
                if rule != "date-time" || !is_time {
                    return wrong();
                }
            }
            "minimum" if value.as_i64() >= rule.as_i64() => {}
            "required" => {
                for name in rule.as_array().unwrap() {
                    if value.get(name.as_str().unwrap()).is_none() {
                        return Err(format!("{place} lacks {name}"));
                    }
                }
            }
            "properties" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    if let Some(part) = rule.get(name) {
                        check(value, part, root, &format!("{place}.{name}"))?;
                    }
                }
            }
            "additionalProperties" => {
                let known = part.get("properties").and_then(Value::as_object);
                for (name, value) in value.as_object().into_iter().flatten() {
                    if known.is_some_and(|known| known.contains_key(name)) {
                        continue;
                    }
                    if rule.as_bool() == Some(false) {
                        return Err(format!("{place} has {name}, which nobody knows"));
                    }
                    check(value, rule, root, &format!("{place}.{name}"))?;
                }
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(item, rule, root, &format!("{place}[{index}]"))?;
                }
            }
            _ => return wrong(),
        }
    }
    Ok(())
}

fn second(cores: &[CoreSnapshot]) -> Value {
    let mut document = json(cores);
    second_format(&mut document);
    document
}

#[test]
fn the_second_format_is_what_its_schema_says_in_every_state() {
    let schema = schema();
    let mut past =
        first_core(vec![lease(1, Kind::Probe, "probe:a", 0)], vec![recovering(7, 0), session(8, None)]);
    past.closed = closed(9, [failed(3, "no source")]);
    let states = [
        Vec::new(),
        vec![first_core(Vec::new(), Vec::new())],
        vec![first_core(vec![lease(0, Kind::Client, "101", 7)], vec![streaming(7, 0)])],
        vec![first_core(vec![lease(0, Kind::Client, "101", 9)], Vec::new())],
        vec![past, core(1, vec![streaming(9, 2), session(10, Some(3))])],
    ];
    for cores in states {
        let document = second(&cores);
        check(&document, &schema, &schema, "status").unwrap_or_else(|wrong| panic!("{wrong}\n{document:#}"));
    }
}

#[test]
fn the_schema_finds_what_is_wrong() {
    let schema = schema();
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
        assert!(check(&bad, &schema, &schema, "status").is_err(), "{pointer}");
    }
    let mut more = good.clone();
    more["tuners"][0]["news"] = Value::from(1);
    assert!(check(&more, &schema, &schema, "status").unwrap_err().contains("which nobody knows"));
    let mut less = good;
    less["tuners"][0].as_object_mut().unwrap().remove("kind");
    assert_eq!(check(&less, &schema, &schema, "status").unwrap_err(), "status.tuners[0] lacks \"kind\"");
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
