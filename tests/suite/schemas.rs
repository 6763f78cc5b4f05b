//! The JSON Schemas under `deploy/schemas`: current, true to what the reader knows, and accepting what it accepts.

use std::path::{Path, PathBuf};

use kastellan::spec::{Kind, schema, schema_file};
use serde_json::Value;

use crate::documents::{cases, example};

fn committed(kind: Kind) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/schemas").join(schema_file(kind))
}

/// With `UPDATE_CASES=1` in the environment it writes them instead.
#[test]
fn committed_schemas_are_current() {
    for kind in Kind::ALL {
        let file = committed(kind);
        if std::env::var_os("UPDATE_CASES").is_some() {
            let mut text = serde_json::to_string_pretty(&schema(kind)).unwrap();
            text.push('\n');
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, text).unwrap();
        }
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let is_current = serde_json::from_str::<Value>(&text).is_ok_and(|value| value == schema(kind));
        assert!(is_current, "{} is not current: run `kastellan schemas`", file.display());
    }
}

/// Says why a value does not fit a schema; knows the keywords that ours use, except `pattern`.
fn misfit(schema: &Value, value: &Value, path: &str) -> Option<String> {
    let no = |why: &str| Some(format!("{path}: {why}"));
    let is_type = match schema["type"].as_str() {
        None => true,
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some(other) => return no(&format!("schema with the type {other}")),
    };
    if !is_type {
        return no(&format!("{value} is not of the type {}", schema["type"]));
    }
    if schema.get("const").is_some_and(|only| only != value)
        || schema.get("enum").is_some_and(|values| !values.as_array().unwrap().contains(value))
        || schema["minimum"].as_i64().is_some_and(|minimum| value.as_i64().unwrap() < minimum)
        || schema["maximum"].as_i64().is_some_and(|maximum| value.as_i64().unwrap() > maximum)
        || schema["minLength"].as_u64().is_some_and(|length| (value.as_str().unwrap().len() as u64) < length)
        || schema["minItems"].as_u64().is_some_and(|items| (value.as_array().unwrap().len() as u64) < items)
    {
        return no(&format!("{value} does not fit {schema}"));
    }
    if let Some(items) = value.as_array() {
        return items.iter().enumerate().find_map(|(n, item)| misfit(&schema["items"], item, &format!("{path}[{n}]")));
    }
    let fields = value.as_object()?;
    let required = schema["required"].as_array();
    if let Some(name) =
        required.and_then(|names| names.iter().find(|name| !fields.contains_key(name.as_str().unwrap())))
    {
        return no(&format!("lacks {name}"));
    }
    let alternatives = schema["oneOf"].as_array();
    if alternatives.is_some_and(|all| all.iter().filter(|one| misfit(one, value, path).is_none()).count() != 1) {
        return no("does not fit exactly one alternative");
    }
    fields.iter().find_map(|(name, field)| match (&schema["properties"][name], &schema["additionalProperties"]) {
        (Value::Null, Value::Null | Value::Bool(true)) => None,
        (Value::Null, Value::Bool(false)) => no(&format!("unknown field {name}")),
        (Value::Null, additional) => misfit(additional, field, &format!("{path}.{name}")),
        (known, _) => misfit(known, field, &format!("{path}.{name}")),
    })
}

/// The documents of a text with the schemas of their kinds.
fn with_schemas(text: &str) -> Vec<(Value, Value)> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    let schema_of = |document: &Value| Kind::ALL.into_iter().find(|kind| document["kind"] == kind.as_str()).map(schema);
    documents.into_iter().filter_map(|document| Some((schema_of(&document)?, document))).collect()
}

#[test]
fn schemas_accept_what_the_reader_accepts() {
    let mut count = 0;
    for source in example() {
        for (schema, document) in with_schemas(std::str::from_utf8(&source.bytes).unwrap()) {
            assert_eq!(misfit(&schema, &document, ""), None);
            count += 1;
        }
    }
    assert_eq!(count, 7);
}

/// The schemas know the fields that are not built yet, and refuse what the reader would call unknown.
#[test]
fn schemas_know_the_whole_grammar_and_nothing_more() {
    let read = |name: &str| std::fs::read_to_string(cases("errors").join(name)).unwrap();
    let whole = read("not_built.yaml").replace("in-palce", "in-place");
    for (schema, document) in with_schemas(&whole) {
        assert_eq!(misfit(&schema, &document, ""), None);
    }
    for (schema, document) in with_schemas(&read("unknown_fields.yaml")) {
        assert!(misfit(&schema, &document, "").is_some());
    }
}
