//! Messages: what happened, as the producer said it. Creating them is in [`create`]; here they are read, and their contents removed.

pub(crate) mod broadcast;
pub(crate) mod create;
pub(crate) mod search;
pub(crate) mod trial;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use hookpost_domain::id::MessageKind;
use hookpost_domain::task::TaskWork;
use hookpost_domain::{Channel, EventTypeName, Message, MessageContent, Tag, Timestamp, Uid, routing};
use hookpost_store::history::MessageFilter;
use hookpost_store::{ApplicationView, Reference};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::auth::{Caller, Right};
use crate::extract::{Accepted, Body, Json, NoContent, Path, Query};
use crate::page::Page;
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1::Time;
use crate::v1::application::ApplicationPath;
use crate::v1::endpoint::replay::{TaskStarted, start_task};
use crate::v1::window::{self, Window};

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct MessagePath {
    /// The id or uid of the application.
    pub(crate) app_id: String,
    /// The id or `eventId` of the message.
    pub(crate) msg_id: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "MessageOut")]
pub(crate) struct MessageOut<'a> {
    id: String,
    #[schemars(with = "Option<String>")]
    event_id: Option<Uid>,
    #[schemars(with = "String")]
    event_type: EventTypeName,
    /// The bytes as they were given; `{}` without `with_content`, and `{"expired":true}` where they are gone or are not JSON.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    payload: Cow<'a, RawValue>,
    #[schemars(with = "Option<Vec<String>>")]
    channels: Option<Vec<Channel>>,
    #[schemars(with = "Option<Vec<String>>")]
    tags: Option<Vec<Tag>>,
    deliver_at: Option<Time>,
    timestamp: Time,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ListQuery {
    /// How many items a page has at most.
    #[schemars(range(min = 1, max = 250))]
    limit: Option<u64>,
    /// The `iterator` or `prevIterator` of an earlier page.
    iterator: Option<String>,
    channel: Option<String>,
    tag: Option<String>,
    /// Only messages accepted before this time.
    #[schemars(extend("format" = "date-time"))]
    before: Option<String>,
    /// Only messages accepted after this time. Without `before` and `iterator`, the page begins at the oldest of them.
    #[schemars(extend("format" = "date-time"))]
    after: Option<String>,
    /// Whether payloads are shown. Default: true.
    with_content: Option<bool>,
    /// Only messages of these event types.
    #[serde(default)]
    event_types: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ContentQuery {
    /// Whether the payload is shown. Default: true.
    pub(crate) with_content: Option<bool>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct MessageRawPayloadOut {
    /// The payload, whatever it is.
    payload: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessagePrecheckIn {
    event_type: String,
    channels: Option<Vec<String>>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct MessagePrecheckOut {
    /// Whether there is an endpoint that such a message would go to.
    active: bool,
}

const EXPUNGED_AT_ONCE_MAX: usize = 1000;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct BulkExpungeContentsIn {
    /// The ids or `eventId`s of the messages; at most 1000.
    #[schemars(length(max = 1000))]
    ids: Option<Vec<String>>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct BulkExpungeContentsOut {
    /// What became of each, by what it was called in the request.
    results: BTreeMap<String, BulkExpungeStatus>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BulkExpungeStatus {
    Expunged,
    NotFound,
}

/// The removal of all payloads, which was started.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ExpungeAllContentsOut {
    #[serde(flatten)]
    task: TaskStarted,
}

pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ApplicationPath>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<MessageOut<'static>>>, Problem> {
    let mut wrong = Wrong::in_query();
    let window = Window::parse(&mut wrong, query.before, query.after);
    let filter = window::message_filter(&mut wrong, &query.event_types, query.channel, query.tag);
    wrong.nothing()?;
    let view = caller.application(&api, &path.app_id, Right::Read).await?;
    let Some(page) = window.request::<MessageKind>(&api, query.limit, query.iterator.as_deref(), Duration::ZERO)? else {
        return Ok(Json(Page::empty()));
    };
    let filter = MessageFilter { before: window.before, after: window.after, ..filter };
    let backwards = window::goes_backwards(&page);
    let scanned = api.store.messages(view.application.id, filter, page).await?;
    let with_content = query.with_content.unwrap_or(true);
    Ok(Json(window::answer(&api, backwards, scanned, |message| (message.id, MessageOut::new(&api, &message, with_content)))))
}

pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<MessagePath>,
    Query(query): Query<ContentQuery>,
) -> Result<Json<MessageOut<'static>>, Problem> {
    let (_, message) = find(&api, &caller, &path, Right::Read).await?;
    Ok(Json(MessageOut::new(&api, &message, query.with_content.unwrap_or(true))))
}

pub(crate) async fn raw(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<MessagePath>,
) -> Result<Json<MessageRawPayloadOut>, Problem> {
    let (_, message) = find(&api, &caller, &path, Right::Read).await?;
    let payload = live_payload(&message.content, api.now()).ok_or(Problem::NotFound("The payload of the message is gone."))?;
    Ok(Json(MessageRawPayloadOut { payload: String::from_utf8_lossy(payload).into_owned() }))
}

pub(crate) async fn expunge(State(api): State<Api>, caller: Caller, Path(path): Path<MessagePath>) -> Result<NoContent, Problem> {
    caller.org(Right::Manage)?;
    let (view, message) = find(&api, &caller, &path, Right::Manage).await?;
    if api.store.expunge_message(view.application.id, message.id).await? { Ok(NoContent) } else { Err(Problem::NOT_FOUND) }
}

pub(crate) async fn bulk_expunge(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ApplicationPath>,
    Body(input): Body<BulkExpungeContentsIn>,
) -> Result<Json<BulkExpungeContentsOut>, Problem> {
    let references = input.ids.unwrap_or_default();
    if references.len() > EXPUNGED_AT_ONCE_MAX {
        return Err(Problem::body("ids", format!("has {} items; at most {EXPUNGED_AT_ONCE_MAX} are allowed", references.len())));
    }
    caller.org(Right::Manage)?;
    let view = caller.application(&api, &path.app_id, Right::Manage).await?;
    let mut results = BTreeMap::new();
    for reference in references {
        let found = match in_application(&api, &view, &reference).await {
            Ok(message) => api.store.expunge_message(view.application.id, message.id).await?,
            Err(Problem::NotFound(_)) => false,
            Err(problem) => return Err(problem),
        };
        results.insert(reference, if found { BulkExpungeStatus::Expunged } else { BulkExpungeStatus::NotFound });
    }
    Ok(Json(BulkExpungeContentsOut { results }))
}

pub(crate) async fn expunge_all(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ApplicationPath>,
) -> Result<Accepted<ExpungeAllContentsOut>, Problem> {
    caller.org(Right::Manage)?;
    let view = caller.application(&api, &path.app_id, Right::Manage).await?;
    let work = TaskWork::ExpungeAllContents { application: view.application.id };
    let task = start_task(&api, &view, work).await?;
    Ok(Accepted(ExpungeAllContentsOut { task }))
}

pub(crate) async fn precheck(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ApplicationPath>,
    Body(input): Body<MessagePrecheckIn>,
) -> Result<Json<MessagePrecheckOut>, Problem> {
    let mut wrong = Wrong::in_body();
    let event_type = wrong.check("eventType", EventTypeName::parse(&input.event_type));
    let channels = wrong.each("channels", input.channels.unwrap_or_default(), |text| Channel::parse(&text));
    let Some(event_type) = event_type else { return Err(wrong.problem()) };
    wrong.nothing()?;
    caller.org(Right::Send)?;
    let view = caller.application(&api, &path.app_id, Right::Send).await?;
    let active = view.endpoints.iter().any(|endpoint| routing::reason_to_skip(endpoint, &event_type, &channels).is_none());
    Ok(Json(MessagePrecheckOut { active }))
}

/// The message that a path names, with its application.
pub(crate) async fn find(api: &Api, caller: &Caller, path: &MessagePath, right: Right) -> Result<(Arc<ApplicationView>, Message), Problem> {
    let view = caller.application(api, &path.app_id, right).await?;
    let message = in_application(api, &view, &path.msg_id).await?;
    Ok((view, message))
}

/// A message of an application by id or `eventId`.
pub(crate) async fn in_application(api: &Api, view: &ApplicationView, reference: &str) -> Result<Message, Problem> {
    let reference = Reference::parse(api.store.public_ids(), reference);
    api.store.message(view.application.id, reference).await?.ok_or(Problem::NOT_FOUND)
}

/// The payload, unless it was expunged or its time is over: the row may outlive it for a while.
pub(crate) fn live_payload(content: &MessageContent, now: Timestamp) -> Option<&bytes::Bytes> {
    content.payload.as_ref().filter(|_| now < content.payload_expires_at)
}

impl<'a> MessageOut<'a> {
    fn with_payload(id: String, created_at: Timestamp, content: &MessageContent, payload: Cow<'a, RawValue>) -> Self {
        Self {
            id,
            event_id: content.event_id.clone(),
            event_type: content.event_type.clone(),
            payload,
            channels: Some(content.channels.clone()).filter(|channels| !channels.is_empty()),
            tags: Some(content.tags.clone()).filter(|tags| !tags.is_empty()),
            deliver_at: content.deliver_at.map(Time),
            timestamp: Time(created_at),
        }
    }
}

impl MessageOut<'static> {
    pub(crate) fn new(api: &Api, message: &Message, with_content: bool) -> Self {
        let payload = if with_content { shown_payload(&message.content, api.now()) } else { Cow::Borrowed(nothing()) };
        Self::with_payload(api.public(message.id), message.created_at, &message.content, payload)
    }
}

fn shown_payload(content: &MessageContent, now: Timestamp) -> Cow<'static, RawValue> {
    let json = live_payload(content, now).and_then(|payload| serde_json::from_slice::<Box<RawValue>>(payload).ok());
    json.map_or_else(|| Cow::Borrowed(expired()), Cow::Owned)
}

/// Stands for a payload that was not asked for.
fn nothing() -> &'static RawValue {
    serde_json::from_str("{}").expect("is JSON")
}

/// Stands for a payload that is gone or cannot be shown.
fn expired() -> &'static RawValue {
    serde_json::from_str(r#"{"expired":true}"#).expect("is JSON")
}
