//! JSON Schemas for editors, made of the very tables that documents are read by.

use serde_json::{Map, Value, json};

use super::grammar::{Built, Choice, Field, Object, Presence, Shape, Text};
use super::kind::Kind;

/// JSON Schema (2020-12) of one kind of document.
///
/// It accepts every document that [`super::read`] accepts. What it cannot say, such as references between documents and
/// what is not built yet, it leaves to `kastellan validate`.
pub fn schema(kind: Kind) -> Value {
    let Value::Object(object) = of_object(kind.table()) else { return Value::Null };
    let mut root = Map::new();
    root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    root.insert("title".to_owned(), json!(kind.as_str()));
    root.extend(object);
    Value::Object(root)
}

/// Name of the file that holds the schema of a kind, e.g. `kafkauser.schema.json`.
pub fn schema_file(kind: Kind) -> String {
    format!("{}.schema.json", kind.as_str().to_lowercase())
}

fn of_object(object: &Object) -> Value {
    let properties: Map<String, Value> =
        object.fields.iter().map(|field| (field.name.to_owned(), of_field(field))).collect();
    let required: Vec<&str> =
        object.fields.iter().filter(|field| field.presence == Presence::Required).map(|field| field.name).collect();
    let mut schema = json!({
        "type": "object",
        "description": object.about,
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if !object.one_of.is_empty() {
        schema["oneOf"] = object.one_of.iter().map(|name| json!({ "required": [name] })).collect();
    }
    schema
}

fn of_field(field: &Field) -> Value {
    let mut schema = of_shape(&field.shape);
    schema["description"] = match field.built {
        Built::Now => json!(field.about),
        Built::Later(instead) => json!(format!("Not built yet; {instead}. {}", field.about)),
    };
    schema
}

fn of_shape(shape: &Shape) -> Value {
    match shape {
        Shape::Text(text) => of_text(text),
        Shape::Switch => json!({ "type": "boolean" }),
        Shape::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::Positive => json!({ "type": "number", "exclusiveMinimum": 0 }),
        Shape::Choice(choices) => of_choices(choices),
        Shape::List { item, presence: Presence::Optional } => json!({ "type": "array", "items": of_shape(item) }),
        Shape::List { item, presence: Presence::Required } => {
            json!({ "type": "array", "items": of_shape(item), "minItems": 1 })
        }
        Shape::Object(object) | Shape::Reference(object) => of_object(object),
        Shape::Texts => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Shape::Open => json!({}),
    }
}

fn of_text(text: &Text) -> Value {
    match text.pattern {
        Some(pattern) => json!({ "type": "string", "pattern": pattern }),
        None => json!({ "type": "string", "minLength": 1 }),
    }
}

fn of_choices(choices: &[Choice]) -> Value {
    let texts: Vec<&str> = choices.iter().map(|choice| choice.text).collect();
    match texts.as_slice() {
        [only] => json!({ "type": "string", "const": only }),
        _ => json!({ "type": "string", "enum": texts }),
    }
}
