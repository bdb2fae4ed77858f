//! The second format of the status document: the same without what surprises in the first. A time that never was is left out, a list
//! without entries is empty, and all names are in snake case.

use serde_json::Value;

use super::go_time::NEVER;

/// What it is, as JSON Schema (2020-12).
pub const TUNERS_SCHEMA: &str = include_str!("tuners.schema.json");

/// What the first format calls otherwise than everything else.
const RENAMED: [(&str, &str); 3] =
    [("SubscriberID", "subscriber_id"), ("ClientAddr", "client_addr"), ("StartedAt", "connected_at")];

/// Makes the second format of a document of the first.
pub fn second_format(document: &mut Value) {
    tidy(document);
    if let Value::Object(fields) = document {
        fields.insert("format".to_owned(), 2.into());
        fields.entry("session_history").or_insert_with(|| Value::Array(Vec::new()));
    }
}

fn tidy(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| value != NEVER);
            for (from, to) in RENAMED {
                if let Some(value) = fields.remove(from) {
                    fields.insert(to.to_owned(), value);
                }
            }
            if let Some(subscribers) = fields.get_mut("subscribers").filter(|value| value.is_null()) {
                *subscribers = Value::Array(Vec::new());
            }
            fields.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
