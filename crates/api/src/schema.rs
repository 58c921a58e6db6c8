//! The JSON Schemas of event types, compiled and kept ready: for what arrives at sources, and for messages of tenants that want them checked.

use std::collections::HashMap;
use std::sync::Arc;

use hookpost_domain::{EventType, EventTypeName, limits};
use jsonschema::Validator;
use parking_lot::Mutex;
use serde_json::Value;

/// How much of what a validator says is kept: it quotes the value.
const DETAIL_CHARS_MAX: usize = 500;

/// The schemas that were asked for lately, of one source or one tenant.
#[derive(Debug, Default)]
pub(crate) struct Schemas(Mutex<HashMap<EventTypeName, Compiled>>);

#[derive(Debug, Clone)]
struct Compiled {
    of: Arc<EventType>,
    /// `None`: the event type has no schema that can be used.
    validator: Option<Arc<Validator>>,
}

/// What that which does not fit is called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    pub(crate) thing: &'static str,
    pub(crate) whole: &'static str,
}

/// The first thing that does not fit, with the path that leads to it.
pub(crate) fn misfit_of(validator: &Validator, document: &Value, name: &EventTypeName, words: Words) -> Option<String> {
    let error = validator.validate(document).err()?;
    let place = error.instance_path.to_string();
    let place = if place.is_empty() { words.whole.to_owned() } else { format!("`{place}`") };
    let detail = format!("The {} does not fit the schema of `{name}`: at {place}: {error}", words.thing);
    Some(detail.chars().take(DETAIL_CHARS_MAX).collect())
}

impl Schemas {
    pub(crate) fn compiled(&self, event_type: &Arc<EventType>) -> Option<Arc<Validator>> {
        let mut known = self.0.lock();
        if let Some(compiled) = known.get(&event_type.name).filter(|known| Arc::ptr_eq(&known.of, event_type) || known.of == *event_type) {
            return compiled.validator.clone();
        }
        let validator = newest(event_type).and_then(|schema| compile(event_type, &schema)).map(Arc::new);
        // Rarely needed, so it may be blunt.
        if known.len() >= limits::SOURCE_SCHEMAS_PREPARED_MAX {
            known.clear();
        }
        known.insert(event_type.name.clone(), Compiled { of: Arc::clone(event_type), validator: validator.clone() });
        validator
    }
}

/// Versions are numbers written as text; `10` is newer than `9`.
fn newest(event_type: &EventType) -> Option<Value> {
    let schemas: serde_json::Map<String, Value> = serde_json::from_str(event_type.schemas.as_deref()?).ok()?;
    schemas.into_iter().max_by_key(|(version, _)| (version.parse::<u64>().ok(), version.clone())).map(|(_, schema)| schema)
}

fn compile(event_type: &EventType, schema: &Value) -> Option<Validator> {
    // The catalogue takes schemas of draft 7 only, so this says what it does with one from before that rule.
    let validator = jsonschema::draft7::new(schema);
    if let Err(error) = &validator {
        tracing::warn!(target: "hookpost::schema", event_type = %event_type.name, %error, "a schema cannot be used; nothing is checked against it");
    }
    validator.ok()
}
