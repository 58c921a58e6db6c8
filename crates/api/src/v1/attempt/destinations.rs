//! Deliveries: the messages of an endpoint, and the endpoints of a message, each with how far it came.

use std::time::Duration;

use axum::extract::State;
use hookpost_domain::id::{EndpointKind, MessageKind};
use hookpost_domain::task::DeliveryStatus;
use hookpost_domain::{Delivery, DeliveryState};
use hookpost_store::Order;
use hookpost_store::history::{DeliveryFilter, MessageFilter};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{schema_of_status_texts, schema_of_statuses, status};
use crate::auth::{Caller, Right};
use crate::extract::{Json, Path, Query};
use crate::page::{self, Page};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1::Time;
use crate::v1::endpoint::{self, EndpointOut, EndpointPath};
use crate::v1::message::{self, MessageOut, MessagePath};
use crate::v1::window::{self, Window};

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct AttemptedMessagesQuery {
    /// How many items a page has at most.
    #[schemars(range(min = 1, max = 250))]
    limit: Option<u64>,
    /// The `iterator` or `prevIterator` of an earlier page.
    iterator: Option<String>,
    channel: Option<String>,
    tag: Option<String>,
    /// Only messages that are delivered (0), pending (1), failed (2), sending (3) or canceled (4). Left out: all that were attempted.
    #[schemars(range(max = 4))]
    status: Option<u8>,
    /// Only messages accepted before this time.
    #[schemars(extend("format" = "date-time"))]
    before: Option<String>,
    /// Only messages accepted after this time. Without `before` and `iterator`, the page begins at the oldest of them.
    #[schemars(extend("format" = "date-time"))]
    after: Option<String>,
    /// Whether payloads are shown. Default: true.
    with_content: Option<bool>,
    /// Whether canceled deliveries are shown as such (4). Otherwise they are shown as failed (2), for clients that know only four states. Default: false.
    expanded_statuses: Option<bool>,
    /// Only messages of these event types.
    #[serde(default)]
    event_types: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct DestinationsQuery {
    /// How many items a page has at most.
    #[schemars(range(min = 1, max = 250))]
    limit: Option<u64>,
    /// The `iterator` or `prevIterator` of an earlier page.
    iterator: Option<String>,
    /// Whether canceled deliveries are shown as such (4). Otherwise they are shown as failed (2), for clients that know only four states. Default: false.
    expanded_statuses: Option<bool>,
}

/// How far a delivery came.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct DeliveryOut {
    /// Success (0), pending (1), fail (2), sending (3) or canceled (4).
    #[schemars(schema_with = "schema_of_statuses")]
    status: u8,
    #[schemars(schema_with = "schema_of_status_texts")]
    status_text: &'static str,
    next_attempt: Option<Time>,
}

/// A message with how far it came at an endpoint.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EndpointMessageOut {
    #[serde(flatten)]
    message: MessageOut<'static>,
    #[serde(flatten)]
    delivery: DeliveryOut,
}

/// An endpoint with how far a message came there.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct MessageEndpointOut {
    #[serde(flatten)]
    endpoint: EndpointOut,
    #[serde(flatten)]
    delivery: DeliveryOut,
}

pub(crate) async fn messages_of_endpoint(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EndpointPath>,
    Query(query): Query<AttemptedMessagesQuery>,
) -> Result<Json<Page<EndpointMessageOut>>, Problem> {
    let mut wrong = Wrong::in_query();
    let window = Window::parse(&mut wrong, query.before, query.after);
    let message = window::message_filter(&mut wrong, &query.event_types, query.channel, query.tag);
    let status = wrong.optional("status", query.status, status);
    wrong.nothing()?;
    let (_, endpoint) = endpoint::find(&api, &caller, &path, Right::Read).await?;
    let Some(page) = window.request::<MessageKind>(&api, query.limit, query.iterator.as_deref(), Duration::ZERO)? else {
        return Ok(Json(Page::empty()));
    };
    let message = MessageFilter { before: window.before, after: window.after, ..message };
    let filter = DeliveryFilter { message, status, attempted: status.is_none() };
    let backwards = window::goes_backwards(&page);
    let scanned = api.store.messages_of_endpoint(endpoint.id, filter, page).await?;
    let (with_content, expanded) = (query.with_content.unwrap_or(true), query.expanded_statuses.unwrap_or_default());
    Ok(Json(window::answer(&api, backwards, scanned, |(message, delivery)| {
        let out =
            EndpointMessageOut { message: MessageOut::new(&api, &message, with_content), delivery: DeliveryOut::new(&delivery, expanded) };
        (message.id, out)
    })))
}

pub(crate) async fn endpoints_of_message(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<MessagePath>,
    Query(query): Query<DestinationsQuery>,
) -> Result<Json<Page<MessageEndpointOut>>, Problem> {
    let page = page::request::<EndpointKind>(api.store.public_ids(), query.limit, query.iterator.as_deref(), Order::Descending)?;
    let (view, message) = message::find(&api, &caller, &path, Right::Read).await?;
    let Some(page) = page else { return Ok(Json(Page::empty())) };
    let listed = api.store.deliveries_of_message(message.id, page).await?;
    let expanded = query.expanded_statuses.unwrap_or_default();
    // Of endpoints that were deleted nothing is left to show. They count for the iterators, or a page without any other would be the end.
    let shown = listed.items.iter().filter_map(|delivery| {
        let endpoint = view.endpoint(delivery.key.endpoint)?;
        Some(MessageEndpointOut { endpoint: EndpointOut::new(&api, endpoint), delivery: DeliveryOut::new(delivery, expanded) })
    });
    let iterator = |delivery: &Delivery| api.public(delivery.key.endpoint);
    Ok(Json(Page {
        data: shown.collect(),
        iterator: listed.items.last().map(iterator),
        prev_iterator: listed.items.first().map(|delivery| format!("-{}", iterator(delivery))),
        done: listed.done,
    }))
}

impl DeliveryOut {
    fn new(delivery: &Delivery, expanded: bool) -> Self {
        let status = match delivery.status() {
            DeliveryStatus::Canceled if !expanded => DeliveryStatus::Fail,
            status => status,
        };
        let next_attempt = match delivery.state {
            DeliveryState::Waiting { at } => Some(Time(at)),
            _ => None,
        };
        Self { status: status.code(), status_text: status.as_str(), next_attempt }
    }
}
