//! The same message for every application of the tenant: a background task, which survives restarts.

use std::time::Duration;

use axum::extract::State;
use hookpost_domain::id::MessageKind;
use hookpost_domain::task::{BroadcastMessage, TaskWork};
use hookpost_domain::{Channel, EventTypeName, limits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::create::{Text, asked_hours, missing, parse_list, parse_retention};
use crate::auth::{Caller, Right};
use crate::extract::{Accepted, RawBody, parse_json};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::tenant::{self, Wanted};
use crate::v1;
use crate::v1::endpoint::replay::TaskStarted;
use crate::v1::statistics;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "MessageBroadcastIn")]
pub(crate) struct MessageBroadcastIn<'a> {
    #[serde(borrow)]
    #[schemars(length(max = 256), regex(pattern = r"^[a-zA-Z0-9\-_.]+$"))]
    event_type: Text<'a>,
    /// Unique in each application; one that has a message with it gets none.
    #[serde(borrow)]
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[a-zA-Z0-9\-_.]+$"))]
    event_id: Option<Text<'a>>,
    /// The body of the webhook: an object, delivered byte for byte as it stands here.
    #[serde(borrow)]
    #[schemars(required, with = "serde_json::Map<String, serde_json::Value>")]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    #[schemars(length(max = 10))]
    channels: Option<Vec<Text<'a>>>,
    /// Days that the payload is kept.
    #[schemars(range(min = 1, max = 90))]
    payload_retention_period: Option<i64>,
    /// Hours that the payload is kept.
    #[schemars(range(min = 1, max = 2160))]
    payload_retention_hours: Option<i64>,
}

/// The task that was started.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct MessageBroadcastOut {
    #[serde(flatten)]
    task: TaskStarted,
}

/// The message is held to the rules of the tenant once, here; its copies do not count against the rate.
pub(crate) async fn broadcast(
    State(api): State<Api>,
    caller: Caller,
    body: RawBody<MessageBroadcastIn<'static>>,
) -> Result<Accepted<MessageBroadcastOut>, Problem> {
    let org = caller.org(Right::Send)?;
    let input: MessageBroadcastIn<'_> = parse_json(&body.0).map_err(|error| Problem::Invalid(vec![error]))?;
    let mut message = input.parse(&api)?;
    let now = api.now();
    let wanted = Wanted {
        payload: message.payload.as_bytes(),
        fits: Some(&message.event_type),
        counted: 0,
        asked_hours: asked_hours(input.payload_retention_period, input.payload_retention_hours),
        keep_until: now + Duration::from_secs(message.payload_retention_s),
    };
    message.payload_retention_s = tenant::admit(&api, org, now, wanted).await?.since(now).as_secs();
    let task = statistics::start(&api, org, TaskWork::Broadcast { message }).await?;
    Ok(Accepted(MessageBroadcastOut { task }))
}

impl MessageBroadcastIn<'_> {
    fn parse(&self, api: &Api) -> Result<BroadcastMessage, Problem> {
        let Some(payload) = self.payload else { return Err(Problem::Invalid(vec![missing("payload")])) };
        let mut wrong = Wrong::in_body();
        let event_type = wrong.check("eventType", EventTypeName::parse(self.event_type.as_ref()));
        let event_id = wrong.optional("eventId", self.event_id.as_ref(), v1::uid::<MessageKind>);
        let channels = parse_list(&mut wrong, "channels", self.channels.as_deref(), limits::CHANNELS_PER_MESSAGE_MAX, Channel::parse);
        let retention = parse_retention(&mut wrong, self.payload_retention_period, self.payload_retention_hours);
        if !payload.get().starts_with('{') {
            wrong.add("payload", "must be a JSON object");
        }
        let Some(event_type) = event_type else { return Err(wrong.problem()) };
        wrong.nothing()?;
        let payload_retention_s = retention.unwrap_or(api.settings.payload_retention).as_secs();
        Ok(BroadcastMessage { event_type, event_id, channels, payload: payload.get().to_owned(), payload_retention_s })
    }
}
