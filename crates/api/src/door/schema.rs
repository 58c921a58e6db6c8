//! Checks a body against the JSON Schema that the catalogue has for its event type, in the newest version.

use std::collections::HashMap;
use std::sync::Arc;

use hookpost_domain::source::SchemaRule;
use hookpost_domain::{EventType, EventTypeName, limits};
use hookpost_shaping::Incoming;
use jsonschema::Validator;
use parking_lot::Mutex;
use serde_json::Value;

use super::arrival::Arrival;
use super::refusal::Refusal;
use crate::state::Api;

/// How much of what a validator says is kept: it quotes the value.
const DETAIL_CHARS_MAX: usize = 500;

/// The schemas of one source that were asked for lately.
#[derive(Debug, Default)]
pub(super) struct Schemas(Mutex<HashMap<EventTypeName, Compiled>>);

#[derive(Debug, Clone)]
struct Compiled {
    of: Arc<EventType>,
    /// `None`: the event type has no schema that can be used.
    validator: Option<Arc<Validator>>,
}

/// What does not fit, where the source keeps such requests apart; where it refuses them, the refusal.
pub(super) async fn check(api: &Api, arrival: &Arrival, incoming: &Incoming<'_>, name: &EventTypeName) -> Result<Option<String>, Refusal> {
    let rule = arrival.source().rules.schema;
    if rule == SchemaRule::Ignore {
        return Ok(None);
    }
    let event_type = api.store.event_type(&arrival.source().org, name.as_str()).await?;
    let schema = event_type.filter(|event_type| !event_type.archived).and_then(|event_type| arrival.prepared.schemas.compiled(&event_type));
    match (rule, schema.and_then(|schema| misfit(&schema, name, incoming))) {
        (SchemaRule::Reject, Some(detail)) => Err(Refusal::schema_mismatch(detail)),
        (_, misfit) => Ok(misfit),
    }
}

/// The first thing that does not fit, with the path that leads to it.
fn misfit(validator: &Validator, name: &EventTypeName, incoming: &Incoming<'_>) -> Option<String> {
    let document = match incoming.document() {
        Ok(Some(document)) => document,
        Ok(None) => return Some(format!("The body is no JSON document, and `{name}` has a schema.")),
        Err(unreadable) => return Some(unreadable.to_string()),
    };
    let error = validator.validate(document).err()?;
    let place = error.instance_path.to_string();
    let place = if place.is_empty() { "the whole body".to_owned() } else { format!("`{place}`") };
    let detail = format!("The body does not fit the schema of `{name}`: at {place}: {error}");
    Some(detail.chars().take(DETAIL_CHARS_MAX).collect())
}

impl Schemas {
    fn compiled(&self, event_type: &Arc<EventType>) -> Option<Arc<Validator>> {
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
        tracing::warn!(target: "hookpost::receive", event_type = %event_type.name, %error, "a schema cannot be used; nothing is checked against it");
    }
    validator.ok()
}
