//! Attempts: every try at a delivery, with what was answered.

pub(crate) mod destinations;
pub(crate) mod headers;
pub(crate) mod resend;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use hookpost_domain::delivery::{AttemptOutcome, ResponseBody};
use hookpost_domain::id::{AttemptKind, EndpointKind};
use hookpost_domain::task::DeliveryStatus;
use hookpost_domain::{AttemptId, EndpointId, Invalid, Message, MessageId, Trigger};
use hookpost_store::history::{AttemptFilter, ScannedPage, StoredAttempt};
use hookpost_store::{ApplicationView, PageRequest, Reference};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::auth::{Caller, Right};
use crate::extract::{Json, NoContent, Path, Query};
use crate::page::Page;
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1::Time;
use crate::v1::endpoint::{self, EndpointPath};
use crate::v1::message::{self, MessageOut, MessagePath};
use crate::v1::window::{self, Window};

/// An attempt gets its id when it is recorded, after its end: at most this long after its beginning, which the bounds of lists are about.
const RECORDED_AFTER_MAX: Duration = Duration::from_secs(3600);
/// Attempts that are counted at most: each is looked at.
const COUNTED_MAX: u64 = 10_000;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct AttemptPath {
    /// The id or uid of the application.
    app_id: String,
    /// The id or `eventId` of the message.
    msg_id: String,
    attempt_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct DeliveryPath {
    /// The id or uid of the application.
    pub(crate) app_id: String,
    /// The id or `eventId` of the message.
    pub(crate) msg_id: String,
    /// The id or uid of the endpoint.
    pub(crate) endpoint_id: String,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct AttemptsQuery {
    /// How many items a page has at most.
    #[schemars(range(min = 1, max = 250))]
    limit: Option<u64>,
    /// The `iterator` or `prevIterator` of an earlier page.
    iterator: Option<String>,
    /// Only attempts that succeeded (0) or failed (2). An attempt is never in another state.
    #[schemars(range(max = 4))]
    status: Option<u8>,
    /// Only attempts with an answer of this class: 0 (none), 100, 200, 300, 400 or 500.
    status_code_class: Option<u16>,
    channel: Option<String>,
    tag: Option<String>,
    /// Only attempts at this endpoint, by id or uid (in lists of a message).
    endpoint_id: Option<String>,
    /// Only attempts that began before this time.
    #[schemars(extend("format" = "date-time"))]
    before: Option<String>,
    /// Only attempts that began after this time. Without `before` and `iterator`, the page begins at the oldest of them.
    #[schemars(extend("format" = "date-time"))]
    after: Option<String>,
    /// Whether answers are shown. Default: true.
    with_content: Option<bool>,
    /// Whether the message is shown with each attempt, without its payload. Default: false.
    with_msg: Option<bool>,
    /// Attempts are never canceled, only deliveries are: it changes nothing here.
    #[expect(dead_code, reason = "clients send it, and it is described")]
    expanded_statuses: Option<bool>,
    /// Only attempts at messages of these event types.
    #[serde(default)]
    event_types: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct AttemptQuery {
    /// Attempts are never canceled, only deliveries are: it changes nothing here.
    #[expect(dead_code, reason = "clients send it, and it is described")]
    expanded_statuses: Option<bool>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageAttemptOut {
    id: String,
    msg_id: String,
    endpoint_id: String,
    /// Where it went: the URL that the endpoint had then.
    url: String,
    /// The beginning of the body that was answered, or why there was no answer; `{}` without `with_content`.
    response: String,
    /// 0: there was no answer.
    response_status_code: u16,
    response_duration_ms: u32,
    /// Success (0) or fail (2).
    #[schemars(schema_with = "schema_of_statuses")]
    status: u8,
    #[schemars(schema_with = "schema_of_status_texts")]
    status_text: &'static str,
    /// By the schedule (0) or by hand (1).
    #[schemars(extend("enum" = [0, 1]))]
    trigger_type: u8,
    timestamp: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    msg: Option<MessageOut<'static>>,
}

/// The numbers of [`DeliveryStatus`].
pub(crate) fn schema_of_statuses(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "enum": DeliveryStatus::ALL.map(DeliveryStatus::code) })
}

/// Its words.
pub(crate) fn schema_of_status_texts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": DeliveryStatus::ALL.map(DeliveryStatus::as_str) })
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CountOut {
    count: u64,
    /// There are more than were counted.
    approximated: bool,
}

/// A query that keeps every rule.
struct Asked {
    filter: AttemptFilter,
    /// `None`: there can be no such attempts.
    page: Option<PageRequest<AttemptId>>,
    with_content: bool,
    with_msg: bool,
}

pub(crate) async fn list_by_endpoint(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EndpointPath>,
    Query(query): Query<AttemptsQuery>,
) -> Result<Json<Page<MessageAttemptOut>>, Problem> {
    let Asked { filter, page, with_content, with_msg } = query.parse(&api, None)?;
    let (view, endpoint) = endpoint::find(&api, &caller, &path, Right::Read).await?;
    let Some(page) = page else { return Ok(Json(Page::empty())) };
    let backwards = window::goes_backwards(&page);
    let scanned = api.store.attempts_of_endpoint(endpoint.id, filter, page).await?;
    answer(&api, &view, backwards, scanned, with_content, with_msg).await
}

pub(crate) async fn list_by_msg(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<MessagePath>,
    Query(query): Query<AttemptsQuery>,
) -> Result<Json<Page<MessageAttemptOut>>, Problem> {
    of_message(&api, &caller, &path, None, query).await
}

/// An older operation; the newer one filters by a parameter.
pub(crate) async fn list_by_msg_and_endpoint(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<DeliveryPath>,
    Query(query): Query<AttemptsQuery>,
) -> Result<Json<Page<MessageAttemptOut>>, Problem> {
    let DeliveryPath { app_id, msg_id, endpoint_id } = path;
    of_message(&api, &caller, &MessagePath { app_id, msg_id }, Some(endpoint_id), query).await
}

async fn of_message(
    api: &Api,
    caller: &Caller,
    path: &MessagePath,
    endpoint: Option<String>,
    mut query: AttemptsQuery,
) -> Result<Json<Page<MessageAttemptOut>>, Problem> {
    let wanted = endpoint.or(query.endpoint_id.take());
    let (view, message) = message::find(api, caller, path, Right::Read).await?;
    let endpoint = wanted.map(|wanted| any_endpoint(api, &view, &wanted).ok_or(Problem::NOT_FOUND)).transpose()?;
    let Asked { filter, page, with_content, with_msg } = query.parse(api, endpoint)?;
    let Some(page) = page else { return Ok(Json(Page::empty())) };
    let backwards = window::goes_backwards(&page);
    let scanned = api.store.attempts_of_message(message.id, filter, page).await?;
    answer(api, &view, backwards, scanned, with_content, with_msg).await
}

pub(crate) async fn count_by_endpoint(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EndpointPath>,
    Query(query): Query<AttemptsQuery>,
) -> Result<Json<CountOut>, Problem> {
    let query = AttemptsQuery { limit: Some(hookpost_domain::limits::PAGE_ITEMS_MAX as u64), iterator: None, ..query };
    let Asked { filter, mut page, .. } = query.parse(&api, None)?;
    let (_, endpoint) = endpoint::find(&api, &caller, &path, Right::Read).await?;
    let mut count = 0;
    while let Some(asked) = page {
        let backwards = window::goes_backwards(&asked);
        let scanned = api.store.attempts_of_endpoint(endpoint.id, filter.clone(), asked.clone()).await?;
        count += scanned.items.len() as u64;
        if count >= COUNTED_MAX {
            return Ok(Json(CountOut { count: COUNTED_MAX, approximated: count > COUNTED_MAX || !scanned.done }));
        }
        page = next_page(&asked, &scanned, backwards);
    }
    Ok(Json(CountOut { count, approximated: false }))
}

fn next_page(
    asked: &PageRequest<AttemptId>,
    scanned: &ScannedPage<StoredAttempt, AttemptId>,
    backwards: bool,
) -> Option<PageRequest<AttemptId>> {
    use hookpost_store::Cursor::{After, Before};
    let farthest = if backwards { scanned.items.first() } else { scanned.items.last() };
    let at = scanned.next.or(farthest.map(|attempt| attempt.id)).filter(|_| !scanned.done)?;
    Some(PageRequest { cursor: Some(if backwards { Before(at) } else { After(at) }), ..asked.clone() })
}

pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<AttemptPath>,
    Query(_): Query<AttemptQuery>,
) -> Result<Json<MessageAttemptOut>, Problem> {
    let (_, _, stored) = find(&api, &caller, &path, Right::Read).await?;
    Ok(Json(MessageAttemptOut::new(&api, stored, true, None)))
}

pub(crate) async fn expunge(State(api): State<Api>, caller: Caller, Path(path): Path<AttemptPath>) -> Result<NoContent, Problem> {
    caller.org(Right::Manage)?;
    let (_, message, stored) = find(&api, &caller, &path, Right::Manage).await?;
    if api.store.expunge_attempt(message.id, stored.id).await? { Ok(NoContent) } else { Err(Problem::NOT_FOUND) }
}

/// The attempt that a path names, with its application and message.
async fn find(
    api: &Api,
    caller: &Caller,
    path: &AttemptPath,
    right: Right,
) -> Result<(Arc<ApplicationView>, Message, StoredAttempt), Problem> {
    let view = caller.application(api, &path.app_id, right).await?;
    let message = message::in_application(api, &view, &path.msg_id).await?;
    let id = api.store.public_ids().decode::<AttemptKind>(&path.attempt_id).ok_or(Problem::NOT_FOUND)?;
    let stored = api.store.attempt(message.id, id).await?.ok_or(Problem::NOT_FOUND)?;
    Ok((view, message, stored))
}

/// An endpoint by uid or id; one that was deleted has an id still, and attempts.
pub(crate) fn any_endpoint(api: &Api, view: &ApplicationView, reference: &str) -> Option<EndpointId> {
    match Reference::<EndpointKind>::parse(api.store.public_ids(), reference) {
        Reference::Id(id) => Some(id),
        Reference::Uid(uid) => view.endpoint_by_uid(uid).map(|endpoint| endpoint.id),
    }
}

async fn answer(
    api: &Api,
    view: &ApplicationView,
    backwards: bool,
    scanned: ScannedPage<StoredAttempt, AttemptId>,
    with_content: bool,
    with_msg: bool,
) -> Result<Json<Page<MessageAttemptOut>>, Problem> {
    let mut messages: HashMap<MessageId, Message> = HashMap::new();
    if with_msg {
        for id in scanned.items.iter().map(|attempt| attempt.key.message) {
            if !messages.contains_key(&id)
                && let Some(message) = api.store.message(view.application.id, Reference::Id(id)).await?
            {
                messages.insert(id, message);
            }
        }
    }
    Ok(Json(window::answer(api, backwards, scanned, |stored| {
        let message = messages.get(&stored.key.message).map(|message| MessageOut::new(api, message, false));
        (stored.id, MessageAttemptOut::new(api, stored, with_content, message))
    })))
}

impl AttemptsQuery {
    fn parse(self, api: &Api, endpoint: Option<EndpointId>) -> Result<Asked, Problem> {
        let mut wrong = Wrong::in_query();
        let window = Window::parse(&mut wrong, self.before, self.after);
        let message = window::message_filter(&mut wrong, &self.event_types, self.channel, self.tag);
        let status = wrong.optional("status", self.status, status);
        let filter = AttemptFilter {
            message,
            endpoint,
            success: status.map(|status| status == DeliveryStatus::Success),
            status_code_class: wrong.optional("status_code_class", self.status_code_class, status_code_class),
            before: window.before,
            after: window.after,
        };
        wrong.nothing()?;
        let possible = status.is_none_or(|status| matches!(status, DeliveryStatus::Success | DeliveryStatus::Fail));
        let page = window.request::<AttemptKind>(api, self.limit, self.iterator.as_deref(), RECORDED_AFTER_MAX)?;
        Ok(Asked {
            filter,
            page: page.filter(|_| possible),
            with_content: self.with_content.unwrap_or(true),
            with_msg: self.with_msg.unwrap_or_default(),
        })
    }
}

pub(crate) fn status(code: u8) -> Result<DeliveryStatus, Invalid> {
    DeliveryStatus::from_code(code).ok_or_else(|| Invalid::new("must be 0 (success), 1 (pending), 2 (fail), 3 (sending) or 4 (canceled)"))
}

pub(crate) fn status_code_class(class: u16) -> Result<u16, Invalid> {
    if matches!(class, 0 | 100 | 200 | 300 | 400 | 500) {
        Ok(class)
    } else {
        Err(Invalid::new("must be 0 (no answer), 100, 200, 300, 400 or 500"))
    }
}

impl MessageAttemptOut {
    pub(crate) fn new(api: &Api, stored: StoredAttempt, with_content: bool, msg: Option<MessageOut<'static>>) -> Self {
        let StoredAttempt { id, key, attempt } = stored;
        let status = if attempt.outcome.is_success() { DeliveryStatus::Success } else { DeliveryStatus::Fail };
        Self {
            id: api.public(id),
            msg_id: api.public(key.message),
            endpoint_id: api.public(key.endpoint),
            url: attempt.url,
            response_status_code: attempt.outcome.status_code(),
            response: if with_content { shown_response(attempt.outcome) } else { "{}".to_owned() },
            response_duration_ms: attempt.duration_ms,
            status: status.code(),
            status_text: status.as_str(),
            trigger_type: match attempt.trigger {
                Trigger::Scheduled => 0,
                Trigger::Manual => 1,
            },
            timestamp: Time(attempt.started_at),
            msg,
        }
    }
}

fn shown_response(outcome: AttemptOutcome) -> String {
    match outcome {
        AttemptOutcome::Response(response) => match response.body {
            ResponseBody::Text(body) | ResponseBody::Base64(body) => body,
            ResponseBody::Expunged => "EXPUNGED".to_owned(),
        },
        AttemptOutcome::Error { message, .. } => message,
    }
}
