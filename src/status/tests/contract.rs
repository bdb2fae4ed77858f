//! Every field of the published API can appear, in its place and with its type, and no other does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::fields::{Field, Kind, TYPES, fields};
use super::world::{closed, core, failed, first_core, lease, recovering, session, shown, streaming};
use crate::engine::snapshot::{CoreSnapshot, HlsSnapshot, SessionPhase};
use crate::tuner::pool;

/// JSON that remembers the order of its fields.
#[derive(Debug)]
enum Json {
    Scalar(Value),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

struct AnyJson;

impl<'de> Visitor<'de> for AnyJson {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("anything")
    }
    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Scalar(Value::Null))
    }
    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Scalar(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Scalar(value.into()))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Scalar(value.into()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Scalar(value.into()))
    }
    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Scalar(value.into()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Json::Object(entries))
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyJson)
    }
}

/// Which fields of each type have been seen.
type Seen = BTreeMap<&'static str, BTreeSet<String>>;

fn check_object(name: &'static str, object: &Json, seen: &mut Seen) {
    let Json::Object(entries) = object else { panic!("{name} is {object:?}") };
    let expected = fields(name);
    let mut next = 0;
    for (field, value) in entries {
        let place = expected.iter().position(|(known, ..)| known == field);
        let place = place.unwrap_or_else(|| panic!("{name} has a field {field} that nobody knows"));
        assert!(place >= next, "{name}.{field} is not in its place");
        check_left_out(name, &expected[next..place]);
        next = place + 1;
        check_value(name, expected[place], value, seen);
        seen.entry(name).or_default().insert(field.clone());
    }
    check_left_out(name, &expected[next..]);
}

/// A time is never left out, whatever the API says.
fn check_left_out(name: &str, fields: &[Field]) {
    for (field, kind, may_be_left_out) in fields {
        assert!(*may_be_left_out && *kind != Kind::Time, "{name}.{field} is left out");
    }
}

fn check_value(name: &str, field: Field, value: &Json, seen: &mut Seen) {
    let (field, kind, may_be_left_out) = field;
    let is_empty = match (kind, value) {
        (Kind::Whole, Json::Scalar(value)) if value.is_i64() || value.is_u64() => *value == 0,
        (Kind::Number, Json::Scalar(value)) if value.is_number() => *value == 0,
        (Kind::Text, Json::Scalar(Value::String(text))) => text.is_empty(),
        (Kind::Flag, Json::Scalar(Value::Bool(flag))) => !flag,
        (Kind::Time, Json::Scalar(Value::String(time))) => {
            assert!(time.ends_with('Z') && time.as_bytes()[10] == b'T', "{name}.{field} is {time}");
            false
        }
        (Kind::Map, Json::Object(entries)) => {
            for (key, count) in entries {
                assert!(key.parse::<i64>().is_ok(), "{name}.{field} has a key {key}");
                assert!(matches!(count, Json::Scalar(count) if count.is_u64()), "{name}.{field}");
            }
            entries.is_empty()
        }
        (Kind::List("SubscriberStats"), Json::Scalar(Value::Null)) => false,
        (Kind::List(of), Json::List(items)) => {
            items.iter().for_each(|item| check_object(of, item, seen));
            assert!(of != "SubscriberStats" || !items.is_empty(), "{name}.{field} is not null");
            items.is_empty()
        }
        (Kind::Object(of), object) => {
            check_object(of, object, seen);
            false
        }
        (kind, other) => panic!("{name}.{field} is no {kind:?} but {other:?}"),
    };
    assert!(!(is_empty && may_be_left_out), "{name}.{field} is empty and not left out");
}

fn check(cores: &[CoreSnapshot], seen: &mut Seen) {
    let json: Json = serde_json::from_str(&shown(cores)).unwrap();
    check_object("TunerStatusSnapshot", &json, seen);
}

/// All states a tuner and a session can be in.
fn states() -> Vec<Vec<CoreSnapshot>> {
    let mut idle = streaming(3, 0);
    idle.phase = SessionPhase::Idle;
    idle.viewers.clear();
    let mut ending = streaming(4, 0);
    ending.record.ended = failed(4, "source ended").ended;
    let mut by_segments = streaming(6, 0);
    by_segments.viewers[0].hls = Some(HlsSnapshot { user_agent: "AppleCoreMedia/1.0".to_owned() });
    let client = |session| vec![lease(0, pool::Kind::Client, "101", session)];
    let mut after_failures = first_core(Vec::new(), Vec::new());
    after_failures.closed = closed(2, (1..=3).map(|id| failed(id, "upstream returned status 404: gone")));
    vec![
        Vec::new(),
        vec![first_core(Vec::new(), Vec::new())],
        vec![first_core(client(1), Vec::new())],
        vec![first_core(client(1), vec![session(1, Some(0))])],
        vec![first_core(client(2), Vec::new()), core(1, vec![streaming(2, 0)])],
        vec![first_core(client(3), vec![idle])],
        vec![first_core(client(5), vec![recovering(5, 0)])],
        vec![first_core(vec![lease(1, pool::Kind::Probe, "probe:src:sports.one", 9)], Vec::new())],
        vec![first_core(client(4), vec![ending])],
        vec![first_core(client(6), vec![by_segments])],
        vec![after_failures],
    ]
}

#[test]
fn every_field_of_the_published_api_can_appear_and_no_other_does() {
    let mut seen = Seen::new();
    for cores in states() {
        check(&cores, &mut seen);
    }
    let mut missing = Vec::new();
    for (name, fields) in TYPES {
        for (field, ..) in *fields {
            if !seen.get(name).is_some_and(|seen| seen.contains(*field)) {
                missing.push(format!("{name}.{field}"));
            }
        }
    }
    assert!(missing.is_empty(), "never shown: {missing:?}");
}
