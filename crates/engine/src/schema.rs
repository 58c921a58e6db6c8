//! The JSON Schemas of event types, compiled and kept ready: for what arrives at sources, for what is asked for, and for messages of tenants that want them
//! checked. One place, so that an event is judged alike and in the same words whichever way it came.

use std::collections::HashMap;
use std::sync::Arc;

use hookpost_domain::receipt::{Rejection, Verdict};
use hookpost_domain::source::SchemaRule;
use hookpost_domain::{EventType, EventTypeName, OrgId, limits};
use hookpost_shaping::Incoming;
use hookpost_store::{Catalog, Unavailable};
use jsonschema::Validator;
use parking_lot::Mutex;
use serde_json::Value;

/// How much of what a validator says is kept: it quotes the value.
const DETAIL_CHARS_MAX: usize = 500;
/// The code of what is refused because it does not fit.
pub const SCHEMA_MISMATCH: &str = "schema_mismatch";

/// The schemas that were asked for lately, of one source or one tenant.
#[derive(Debug, Default)]
pub struct Schemas(Mutex<HashMap<EventTypeName, Compiled>>);

#[derive(Debug, Clone)]
struct Compiled {
    of: Arc<EventType>,
    /// `None`: the event type has no schema that can be used.
    validator: Option<Arc<Validator>>,
}

/// What that which does not fit is called.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    pub thing: &'static str,
    pub whole: &'static str,
}

/// What becomes of an event that does not fit its schema, with the first thing that does not and the path that leads to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    Rejected(String),
    /// Kept as a receipt, from which it can be replayed.
    Quarantined(String),
}

impl From<Misfit> for Verdict {
    fn from(misfit: Misfit) -> Self {
        match misfit {
            Misfit::Rejected(detail) => Self::Rejected(Rejection { code: SCHEMA_MISMATCH.to_owned(), detail, hint: None }),
            Misfit::Quarantined(detail) => Self::Quarantined { detail },
        }
    }
}

/// The first thing that does not fit, with the path that leads to it.
pub fn misfit_of(validator: &Validator, document: &Value, name: &EventTypeName, words: Words) -> Option<String> {
    let error = validator.validate(document).err()?;
    let place = error.instance_path.to_string();
    let place = if place.is_empty() { words.whole.to_owned() } else { format!("`{place}`") };
    let detail = format!("The {} does not fit the schema of `{name}`: at {place}: {error}", words.thing);
    Some(detail.chars().take(DETAIL_CHARS_MAX).collect())
}

impl Schemas {
    /// Checks what came in at a source, or was fetched by one, against the schema that the catalogue has for its event type now.
    pub async fn check<C: Catalog + ?Sized>(
        &self,
        catalog: &C,
        org: &OrgId,
        rule: SchemaRule,
        incoming: &Incoming<'_>,
        name: &EventTypeName,
    ) -> Result<Option<Misfit>, Unavailable> {
        let say = match rule {
            SchemaRule::Ignore => return Ok(None),
            SchemaRule::Reject => Misfit::Rejected,
            SchemaRule::Quarantine => Misfit::Quarantined,
        };
        let event_type = catalog.event_type(org, name.as_str()).await?.filter(|event_type| !event_type.archived);
        let validator = event_type.and_then(|event_type| self.compiled(&event_type));
        Ok(validator.and_then(|validator| misfit_of_body(&validator, name, incoming)).map(say))
    }

    pub fn compiled(&self, event_type: &Arc<EventType>) -> Option<Arc<Validator>> {
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

fn misfit_of_body(validator: &Validator, name: &EventTypeName, incoming: &Incoming<'_>) -> Option<String> {
    let document = match incoming.document() {
        Ok(Some(document)) => document,
        Ok(None) => return Some(format!("The body is no JSON document, and `{name}` has a schema.")),
        Err(unreadable) => return Some(unreadable.to_string()),
    };
    misfit_of(validator, document, name, Words { thing: "body", whole: "the whole body" })
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
