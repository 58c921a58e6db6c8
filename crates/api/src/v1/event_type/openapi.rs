//! From an OpenAPI document to event types. Each webhook becomes one, and its schema is made to stand by itself: what it refers to comes with it.

use std::collections::BTreeSet;

use hookpost_domain::Invalid;
use serde_json::{Map, Value, json};

/// References of references are followed this far.
const REFERENCES_MAX: usize = 16;
const METHODS: [&str; 5] = ["post", "put", "patch", "get", "delete"];

/// What the document says of one webhook.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Webhook {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) deprecated: bool,
    pub(super) schemas: Option<Map<String, Value>>,
    pub(super) group_name: Option<String>,
    pub(super) feature_flags: Vec<String>,
}

/// The webhook of this name, or what is wrong with it.
pub(super) type Found = (String, Result<Webhook, Invalid>);

pub(super) fn webhooks(document: &Value) -> Result<Vec<Found>, Invalid> {
    let found = ["webhooks", "x-webhooks"].into_iter().filter_map(|field| document[field].as_object());
    let all: Vec<_> = found.flatten().map(|(name, item)| (name.clone(), webhook(document, name, item))).collect();
    if all.is_empty() && document["webhooks"].is_null() && document["x-webhooks"].is_null() {
        return Err(Invalid::new("has neither `webhooks` nor `x-webhooks`"));
    }
    Ok(all)
}

fn webhook(document: &Value, name: &str, item: &Value) -> Result<Webhook, Invalid> {
    let item = resolved(document, item)?;
    let Some(operation) = METHODS.iter().map(|method| &item[*method]).find(|operation| operation.is_object()) else {
        return Err(Invalid::new("has no operation, such as `post`"));
    };
    let body = resolved(document, &operation["requestBody"])?;
    // What stands at the operation goes before what stands around it.
    let text = |field: &str| [operation, item].into_iter().find_map(|place| place[field].as_str()).map(str::to_owned);
    let description = text("description").or_else(|| text("summary")).or_else(|| body["description"].as_str().map(str::to_owned));
    Ok(Webhook {
        name: name.to_owned(),
        description: description.unwrap_or_default(),
        deprecated: operation["deprecated"] == Value::Bool(true),
        schemas: schema_of(document, body)?.map(|schema| [("1".to_owned(), schema)].into_iter().collect()),
        group_name: text("x-svix-group-name"),
        feature_flags: feature_flags(operation).or_else(|| feature_flags(item)).unwrap_or_default(),
    })
}

fn feature_flags(place: &Value) -> Option<Vec<String>> {
    if let Some(flags) = place["x-svix-feature-flags"].as_array() {
        return Some(flags.iter().filter_map(Value::as_str).map(str::to_owned).collect());
    }
    place["x-svix-feature-flag"].as_str().map(|flag| vec![flag.to_owned()])
}

fn schema_of(document: &Value, body: &Value) -> Result<Option<Value>, Invalid> {
    let Some(content) = body["content"].as_object() else { return Ok(None) };
    let is_json = |name: &str| name == "application/json" || name.ends_with("+json");
    let media = content.get("application/json").or_else(|| content.iter().find(|(name, _)| is_json(name)).map(|(_, media)| media));
    let Some(media) = media.filter(|media| media["schema"].is_object()) else { return Ok(None) };
    let mut schema = standing_alone(document, &media["schema"])?;
    if let Some(fields) = schema.as_object_mut().filter(|fields| !fields.contains_key("examples")) {
        let examples = examples(document, media);
        if !examples.is_empty() {
            fields.insert("examples".to_owned(), Value::Array(examples));
        }
    }
    Ok(Some(schema))
}

/// Those of the body; the schema may have its own.
fn examples(document: &Value, media: &Value) -> Vec<Value> {
    let one = media.get("example").cloned();
    let several = media["examples"].as_object().into_iter().flatten();
    let several = several.filter_map(|(_, example)| resolved(document, example).ok()?.get("value").cloned());
    one.into_iter().chain(several).collect()
}

/// A schema of draft 7 with all that it refers to below `definitions`.
fn standing_alone(document: &Value, schema: &Value) -> Result<Value, Invalid> {
    let mut needed = BTreeSet::new();
    let mut whole = translated(resolved(document, schema)?, &mut needed);
    let (mut definitions, mut done) = (Map::new(), BTreeSet::new());
    while let Some(pointer) = needed.iter().find(|pointer| !done.contains(*pointer)).cloned() {
        let definition = translated(found(document, &pointer)?, &mut needed);
        definitions.insert(definition_name(&pointer), definition);
        done.insert(pointer);
    }
    if let (false, Some(fields)) = (definitions.is_empty(), whole.as_object_mut()) {
        fields.insert("definitions".to_owned(), Value::Object(definitions));
    }
    Ok(whole)
}

/// References lead to `definitions`; what earlier versions of OpenAPI say in words of their own is said in those of JSON Schema.
fn translated(schema: &Value, needed: &mut BTreeSet<String>) -> Value {
    match schema {
        Value::Array(items) => Value::Array(items.iter().map(|item| translated(item, needed)).collect()),
        Value::Object(fields) => {
            if let Some(pointer) = fields.get("$ref").and_then(Value::as_str) {
                needed.insert(pointer.to_owned());
                let reference = json!({ "$ref": format!("#/definitions/{}", escaped(&definition_name(pointer))) });
                return if fields.get("nullable") == Some(&Value::Bool(true)) {
                    json!({ "anyOf": [reference, { "type": "null" }] })
                } else {
                    reference
                };
            }
            let mut new: Map<String, Value> = fields
                .iter()
                .map(|(name, value)| match name.as_str() {
                    // These hold values, not schemas.
                    "example" | "examples" | "default" | "const" | "enum" => (name.clone(), value.clone()),
                    "properties" | "patternProperties" | "definitions" | "$defs" => (name.clone(), translated_each(value, needed)),
                    _ => (name.clone(), translated(value, needed)),
                })
                .collect();
            in_words_of_json_schema(&mut new);
            Value::Object(new)
        }
        other => other.clone(),
    }
}

/// Schemas by name: the names are the sender's, whatever they are.
fn translated_each(schemas: &Value, needed: &mut BTreeSet<String>) -> Value {
    match schemas.as_object() {
        Some(schemas) => Value::Object(schemas.iter().map(|(name, schema)| (name.clone(), translated(schema, needed))).collect()),
        None => schemas.clone(),
    }
}

fn in_words_of_json_schema(fields: &mut Map<String, Value>) {
    if fields.get("nullable").is_some_and(Value::is_boolean) {
        let nullable = fields.remove("nullable") == Some(Value::Bool(true));
        if let Some(Value::String(kind)) = fields.get("type").cloned().filter(|_| nullable) {
            fields.insert("type".to_owned(), json!([kind, "null"]));
            if let Some(Value::Array(values)) =
                fields.get_mut("enum").filter(|values| values.as_array().is_some_and(|v| !v.contains(&Value::Null)))
            {
                values.push(Value::Null);
            }
        }
    }
    for (exclusive, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        if let Some(Value::Bool(is_exclusive)) = fields.get(exclusive).cloned() {
            fields.remove(exclusive);
            if let Some(value) = fields.remove(bound) {
                fields.insert(if is_exclusive { exclusive } else { bound }.to_owned(), value);
            }
        }
    }
    let is_schema = fields.contains_key("type") || fields.contains_key("properties");
    if is_schema
        && !fields.contains_key("examples")
        && let Some(example) = fields.remove("example")
    {
        fields.insert("examples".to_owned(), json!([example]));
    }
}

/// `#/components/schemas/Pet` is called `Pet`; anything else by its whole way.
fn definition_name(pointer: &str) -> String {
    pointer.strip_prefix("#/components/schemas/").unwrap_or_else(|| pointer.trim_start_matches("#/")).replace("~1", ".").replace('/', ".")
}

/// As it stands in the fragment of a URI.
fn escaped(name: &str) -> String {
    let pointer = name.replace('~', "~0").replace('/', "~1");
    percent_encoding::utf8_percent_encode(&pointer, percent_encoding::NON_ALPHANUMERIC)
        .to_string()
        .replace("%5F", "_")
        .replace("%2E", ".")
        .replace("%2D", "-")
}

/// Follows references until there is none.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> Result<&'a Value, Invalid> {
    let mut value = value;
    for _ in 0..REFERENCES_MAX {
        match value["$ref"].as_str() {
            None => return Ok(value),
            Some(pointer) => value = found(document, pointer)?,
        }
    }
    Err(Invalid::new("has references that lead to each other without end"))
}

fn found<'a>(document: &'a Value, reference: &str) -> Result<&'a Value, Invalid> {
    let pointer =
        reference.strip_prefix('#').ok_or_else(|| Invalid::new(format!("refers to `{reference}`, which is not in this document")))?;
    let decoded = percent_encoding::percent_decode_str(pointer).decode_utf8_lossy();
    document.pointer(&decoded).ok_or_else(|| Invalid::new(format!("refers to `{reference}`, which is not there")))
}
