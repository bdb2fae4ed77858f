//! Whether JSON is what a schema says, by the parts of JSON Schema that our documents use; any other part is an error, too.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Documents that may refer to each other by their names, and which of their properties have been seen in values.
pub(crate) struct Schemas {
    documents: BTreeMap<&'static str, Value>,
    seen: RefCell<BTreeSet<String>>,
}

/// A part of a document.
#[derive(Clone, Copy)]
struct Part<'a> {
    document: &'a str,
    pointer: &'a str,
}

impl Part<'_> {
    fn name(self, deeper: &str) -> String {
        format!("{}/{}", self.pointer, deeper.replace('~', "~0").replace('/', "~1"))
    }
}

impl Schemas {
    pub(crate) fn new(documents: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        Self { documents: documents.into_iter().collect(), seen: RefCell::default() }
    }

    /// What is wrong with a value by the part of this document under this pointer. It is called `place` in what is said.
    pub(crate) fn check(
        &self,
        value: &Value,
        document: &str,
        pointer: &str,
        place: &str,
    ) -> Result<(), String> {
        self.part(value, Part { document, pointer }, place)
    }

    /// Properties of a document that some value had, as pointers.
    pub(crate) fn seen(&self) -> BTreeSet<String> {
        self.seen.borrow().clone()
    }

    fn part(&self, value: &Value, part: Part<'_>, place: &str) -> Result<(), String> {
        let schema = self.documents[part.document].pointer(part.pointer);
        let schema = schema.unwrap_or_else(|| panic!("{} leads nowhere", part.pointer));
        for (word, rule) in schema.as_object().unwrap() {
            let wrong = || Err(format!("{place} is {value}, against {word}: {rule}"));
            match word.as_str() {
                "$schema" | "$defs" | "title" | "description" | "example" => {}
                "$ref" => self.refers(value, part, rule.as_str().unwrap(), place)?,
                "anyOf" => {
                    let each = (0..rule.as_array().unwrap().len()).map(|index| {
                        let pointer = format!("{}/anyOf/{index}", part.pointer);
                        self.part(value, Part { pointer: &pointer, ..part }, place)
                    });
                    let wrong: Vec<String> = each.map_while(Result::err).collect();
                    if wrong.len() == rule.as_array().unwrap().len() {
                        return Err(wrong.join("; and "));
                    }
                }
                "const" if value == rule => {}
                "enum" if rule.as_array().unwrap().contains(value) => {}
                "type" if is_of_type(value, rule) => {}
                "format" if !value.is_string() && !value.is_null() => return wrong(),
                "format" if rule == "date-time" && is_time(value) => {}
                "minimum" if !value.is_number() || value.as_i64() >= rule.as_i64() => {}
                "maximum" if !value.is_number() || value.as_i64() <= rule.as_i64() => {}
                "maxItems"
                    if value.as_array().is_none_or(|all| all.len() as u64 <= rule.as_u64().unwrap()) => {}
                "required" => {
                    for name in rule.as_array().unwrap() {
                        if value.is_object() && value.get(name.as_str().unwrap()).is_none() {
                            return Err(format!("{place} lacks {name}"));
                        }
                    }
                }
                "properties" => self.properties(value, part, rule, place)?,
                "additionalProperties" => {
                    let known = schema.get("properties").and_then(Value::as_object);
                    for (name, value) in value.as_object().into_iter().flatten() {
                        if known.is_some_and(|known| known.contains_key(name)) {
                            continue;
                        }
                        if rule.as_bool() == Some(false) {
                            return Err(format!("{place} has {name}, which nobody knows"));
                        }
                        let pointer = part.name(word);
                        self.part(value, Part { pointer: &pointer, ..part }, &format!("{place}.{name}"))?;
                    }
                }
                "items" => {
                    let pointer = part.name(word);
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.part(item, Part { pointer: &pointer, ..part }, &format!("{place}[{index}]"))?;
                    }
                }
                _ => return wrong(),
            }
        }
        Ok(())
    }

    fn refers(&self, value: &Value, part: Part<'_>, to: &str, place: &str) -> Result<(), String> {
        let (document, pointer) = to.split_once('#').unwrap_or((to, ""));
        let document = if document.is_empty() { part.document } else { document };
        self.part(value, Part { document, pointer }, place)
    }

    fn properties(&self, value: &Value, part: Part<'_>, rule: &Value, place: &str) -> Result<(), String> {
        let all = part.name("properties");
        for (name, value) in value.as_object().into_iter().flatten() {
            if rule.get(name).is_none() {
                continue;
            }
            let pointer = Part { pointer: &all, ..part }.name(name);
            self.part(value, Part { pointer: &pointer, ..part }, &format!("{place}.{name}"))?;
            self.seen.borrow_mut().insert(format!("{}#{pointer}", part.document));
        }
        Ok(())
    }
}

fn is_of_type(value: &Value, rule: &Value) -> bool {
    if let Some(several) = rule.as_array() {
        return several.iter().any(|one| is_of_type(value, one));
    }
    match rule.as_str().unwrap() {
        "null" => value.is_null(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("the schema has a type {other}"),
    }
}

fn is_time(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wrong_is_found_and_what_was_seen_is_known() {
        let schemas = Schemas::new([
            (
                "a",
                json!({"type": "object", "properties": {
                    "kind": {"enum": ["x", "y"]}, "at": {"type": ["string", "null"], "format": "date-time"},
                    "list": {"type": "array", "items": {"$ref": "b#/$defs/part"}},
                }, "required": ["kind"], "additionalProperties": false}),
            ),
            (
                "b",
                json!({"$defs": {"part": {"anyOf": [{"type": "integer", "minimum": 1}, {"const": "none"}]}}}),
            ),
        ]);
        let check = |value: Value| schemas.check(&value, "a", "", "it");
        assert_eq!(check(json!({"kind": "x", "at": null, "list": [1, "none"]})), Ok(()));
        let seen = ["a#/properties/at", "a#/properties/kind", "a#/properties/list"];
        assert!(schemas.seen().iter().eq(seen.iter()));
        for (wrong, said) in [
            (json!({}), "it lacks \"kind\""),
            (json!({"kind": "z"}), "it.kind is \"z\""),
            (json!({"kind": "x", "at": "soon"}), "it.at is \"soon\""),
            (json!({"kind": "x", "list": [1, 0]}), "it.list[1] is 0"),
            (json!({"kind": "x", "more": 1}), "it has more, which nobody knows"),
            (json!([]), "it is [], against"),
        ] {
            assert!(check(wrong).unwrap_err().starts_with(said), "{said}");
        }
    }
}
