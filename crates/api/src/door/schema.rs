//! Checks a body against the JSON Schema that the catalogue has for its event type, in the newest version.

use hookpost_domain::EventTypeName;
use hookpost_domain::source::SchemaRule;
use hookpost_shaping::Incoming;
use jsonschema::Validator;

use super::arrival::Arrival;
use super::refusal::Refusal;
use crate::schema::{Words, misfit_of};
use crate::state::Api;

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
    misfit_of(validator, document, name, Words { thing: "body", whole: "the whole body" })
}
