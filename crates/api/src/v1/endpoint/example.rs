//! Example messages: what a receiver can be tried with before there is anything to send.

use axum::extract::State;
use bytes::Bytes;
use hookpost_domain::message::{PayloadType, Routing};
use hookpost_domain::{EventType, EventTypeName, Message, MessageContent};
use hookpost_store::NewMessage;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{EndpointPath, find, refuse_disabled};
use crate::auth::{Caller, Right};
use crate::extract::{Accepted, Body, Path};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1::message::MessageOut;

/// An event type that needs not be in the catalogue.
const PING: &str = "svix.ping";
const PING_PAYLOAD: &str = r#"{"success":true}"#;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventExampleIn {
    /// Its schema must have `examples`. `svix.ping` always works.
    event_type: String,
    /// Which of the examples to send; the first if left out.
    #[serde(default)]
    example_index: usize,
}

/// Sends to this endpoint alone, and whatever it subscribes to: somebody wants to see it arrive.
pub(crate) async fn send(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EndpointPath>,
    Body(input): Body<EventExampleIn>,
) -> Result<Accepted<MessageOut<'static>>, Problem> {
    let mut wrong = Wrong::in_body();
    let event_type = wrong.check("eventType", EventTypeName::parse(&input.event_type));
    let Some(event_type) = event_type else { return Err(wrong.problem()) };
    let org = caller.org(Right::Send)?;
    let (view, endpoint) = find(&api, &caller, &path, Right::Send).await?;
    refuse_disabled(&endpoint)?;
    let payload = match api.store.event_type(org, event_type.as_str()).await? {
        Some(known) => example_of(&known, input.example_index).ok_or_else(|| {
            let detail = format!("The event type `{event_type}` has no schema with such an example.");
            Problem::bad_request("invalid_scheme", detail)
        })?,
        None if event_type.as_str() == PING => PING_PAYLOAD.into(),
        None => return Err(Problem::NotFound("There is no such event type.")),
    };
    let now = api.now();
    let content = MessageContent {
        event_type,
        event_id: None,
        channels: Vec::new(),
        tags: Vec::new(),
        payload: Some(payload),
        content_type: PayloadType::Json,
        headers: Vec::new(),
        ordering_key: None,
        payload_expires_at: now + api.settings.payload_retention,
        deliver_at: None,
        routing: Routing::trial(endpoint.id),
    };
    let application = view.application.id;
    let accepted = api.store.accept(NewMessage { application, content: content.clone(), idempotency_key: None }, now).await?;
    api.engine.arrived(application);
    let message = Message { id: accepted.id, application, content, created_at: accepted.created_at };
    Ok(Accepted(MessageOut::new(&api, &message, false)))
}

/// From the first version of the schema; examples that are no objects cannot be sent.
fn example_of(event_type: &EventType, index: usize) -> Option<Bytes> {
    let schemas: Value = serde_json::from_str(event_type.schemas.as_deref()?).ok()?;
    let schemas = schemas.as_object()?;
    let version = |name: &&String| name.parse::<u64>().unwrap_or(u64::MAX);
    let schema = &schemas[schemas.keys().min_by_key(version)?];
    let example = match schema.get("examples").and_then(Value::as_array) {
        Some(examples) => examples.get(index)?,
        None => schema.get("example")?,
    };
    example.is_object().then(|| example.to_string().into())
}
