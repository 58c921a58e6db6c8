//! Creating a message: the hot path. The body is read once; what the producer wrote as payload is a slice of it from here to the receiver, and is not
//! parsed, copied or written anew on the way.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aide::generate::GenContext;
use aide::openapi::Operation;
use aide::{OperationInput, OperationOutput};
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hookpost_domain::id::{ApplicationKind, MessageKind};
use hookpost_domain::message::{PayloadType, Routing};
use hookpost_domain::{Channel, EventTypeName, Invalid, MessageContent, OrgId, Tag, Timestamp, limits, routing};
use hookpost_store::{ApplicationView, IdempotencyKey, NewMessage, Reference};
use http::StatusCode;
use http::request::Parts;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::{ContentQuery, MessageOut, expired, nothing};
use crate::auth::Caller;
use crate::extract::{Accepted, Path, Query, RawBody, json_response, parse_json};
use crate::idempotency;
use crate::problem::{FieldError, MISSING, Problem, Wrong};
use crate::state::{Api, ApiSettings};
use crate::tenant::{self, Wanted};
use crate::v1;
use crate::v1::application::{self, ApplicationIn, ApplicationPath};
use crate::v1::stream;

const RETENTION_DAYS_MAX: i64 = 90;
const RETENTION_HOURS_MAX: i64 = RETENTION_DAYS_MAX * 24;
const CONTENT_TYPE_BYTES_MAX: usize = 256;

/// A string of the body, borrowed where it has no escapes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "MessageIn")]
pub(crate) struct MessageIn<'a> {
    /// The event type; endpoints subscribe to it.
    #[serde(borrow)]
    #[schemars(length(max = 256), regex(pattern = r"^[a-zA-Z0-9\-_.]+$"))]
    event_type: Text<'a>,
    /// Your own identifier, unique in the application; it stands wherever the id could.
    #[serde(borrow)]
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[a-zA-Z0-9\-_.]+$"))]
    event_id: Option<Text<'a>>,
    /// The body of the webhook: an object, delivered byte for byte as it stands here.
    #[serde(borrow)]
    #[schemars(required, with = "serde_json::Map<String, serde_json::Value>")]
    payload: Option<&'a RawValue>,
    /// Another name of `payload`.
    #[serde(borrow)]
    #[schemars(skip)]
    data: Option<&'a RawValue>,
    /// A second dimension that endpoints can filter by.
    #[serde(borrow)]
    #[schemars(length(max = 10))]
    channels: Option<Vec<Text<'a>>>,
    /// Labels to find the message by.
    #[serde(borrow)]
    #[schemars(length(max = 5))]
    tags: Option<Vec<Text<'a>>>,
    /// Creates the application if it does not exist; its `uid` must be the one in the path.
    #[serde(borrow)]
    #[schemars(with = "Option<ApplicationIn>")]
    application: Option<&'a RawValue>,
    /// `rawPayload`: a string that is delivered instead of `payload`, whatever it is; `headers`: its `content-type`.
    #[serde(borrow)]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    transformations_params: Option<&'a RawValue>,
    /// No delivery before this time.
    #[serde(borrow)]
    #[schemars(extend("format" = "date-time"))]
    deliver_at: Option<Text<'a>>,
    /// Days that the payload is kept.
    #[schemars(range(min = 1, max = 90))]
    payload_retention_period: Option<i64>,
    /// Hours that the payload is kept.
    #[schemars(range(min = 1, max = 2160))]
    payload_retention_hours: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TransformationsParams<'a> {
    #[serde(borrow)]
    raw_payload: Option<Text<'a>>,
    #[serde(borrow)]
    headers: Option<BTreeMap<Text<'a>, Text<'a>>>,
}

/// The idempotency key of the request, for the store.
#[derive(Debug)]
pub(crate) struct OnceKey(pub(crate) Option<IdempotencyKey>);

impl FromRequestParts<Api> for OnceKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        idempotency::key_of(&parts.headers, parts.uri.path()).map(Self)
    }
}

/// All `POST`s are described as taking one.
impl OperationInput for OnceKey {}

/// 202 with the message, written already: it borrows from the body of the request.
#[derive(Debug)]
pub(crate) struct AcceptedMessage(Vec<u8>);

impl AcceptedMessage {
    fn new(message: &MessageOut<'_>) -> Result<Self, Problem> {
        let mut body = Vec::with_capacity(message.payload.get().len() + 320);
        serde_json::to_writer(&mut body, message).map_err(|_| Problem::Internal)?;
        Ok(Self(body))
    }
}

impl IntoResponse for AcceptedMessage {
    fn into_response(self) -> Response {
        json_response(StatusCode::ACCEPTED, self.0)
    }
}

impl OperationOutput for AcceptedMessage {
    type Inner = MessageOut<'static>;

    fn inferred_responses(ctx: &mut GenContext, operation: &mut Operation) -> Vec<(Option<u16>, aide::openapi::Response)> {
        Accepted::<MessageOut<'static>>::inferred_responses(ctx, operation)
    }
}

pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ApplicationPath>,
    Query(query): Query<ContentQuery>,
    OnceKey(idempotency_key): OnceKey,
    body: RawBody<MessageIn<'static>>,
) -> Result<AcceptedMessage, Problem> {
    let org = caller.sender()?;
    let now = api.now();
    let input: MessageIn<'_> = parse_json(&body.0).map_err(|error| Problem::Invalid(vec![error]))?;
    let ParsedMessage { mut content, echo } = input.parse(&body.0, &api.settings, now)?;
    let reference = Reference::<ApplicationKind>::parse(api.store.public_ids(), &path.app_id);
    input.admit(&api, org, &mut content, now).await?;
    let view = match api.store.application(org, reference).await? {
        Some(view) => view,
        None => create_application(&api, &caller, &path.app_id, input.application).await?,
    };
    caller.may_send_to(view.application.id)?;
    stream::refuse_log(&api, &view.application).await?;
    content.routing = routing::fan_out(&view.endpoints, &content.event_type, &content.channels);
    let with_content = query.with_content.unwrap_or(true);
    let payload = if with_content { echo } else { Cow::Borrowed(nothing()) };

    // Its id is not known yet.
    let mut out = MessageOut::with_payload(String::new(), now, &content, payload);
    let application = view.application.id;
    let woken_later = content.deliver_at.map(|_| content.routing.targets.clone());
    let started = Instant::now();
    let accepted = api.store.accept(NewMessage { application, content, idempotency_key }, now).await?;
    api.metrics.accept_seconds.observe(started.elapsed().as_secs_f64());
    if accepted.repeated {
        api.metrics.messages_repeated.inc();
        if let Some(first) = api.store.message(application, Reference::Id(accepted.id)).await? {
            return AcceptedMessage::new(&MessageOut::new(&api, &first, with_content));
        }
    } else {
        api.metrics.messages_accepted.inc();
        api.engine.arrived(application);
        // What is due later is not handed to the engine; it has to look when.
        woken_later.into_iter().flatten().for_each(|endpoint| api.engine.wake(application, endpoint));
    }
    out.id = api.public(accepted.id);
    out.timestamp = v1::Time(accepted.created_at);
    tracing::debug!(target: "hookpost::message", org = %view.application.org, message = out.id, repeated = accepted.repeated, "a message was accepted");
    AcceptedMessage::new(&out)
}

/// Of a message to an application that does not exist: creates it, if the message says how.
#[cold]
async fn create_application(
    api: &Api,
    caller: &Caller,
    reference: &str,
    given: Option<&RawValue>,
) -> Result<Arc<ApplicationView>, Problem> {
    let given = given.ok_or(Problem::APPLICATION_NOT_FOUND)?;
    let input = parse_json(given.get().as_bytes()).map_err(|error| Problem::Invalid(vec![error]).inside("application"))?;
    application::create_of_path(api, caller, reference, input).await
}

/// A message that keeps every rule and is not routed yet.
pub(super) struct ParsedMessage<'a> {
    pub(super) content: MessageContent,
    /// The payload as it is shown in the answer.
    echo: Cow<'a, RawValue>,
}

impl<'a> MessageIn<'a> {
    pub(super) fn parse(&self, body: &'a Bytes, settings: &ApiSettings, now: Timestamp) -> Result<ParsedMessage<'a>, Problem> {
        let mut wrong = Wrong::in_body();
        let event_type = wrong.check("eventType", EventTypeName::parse(self.event_type.as_ref()));
        let event_id = wrong.optional("eventId", self.event_id.as_ref(), v1::uid::<MessageKind>);
        let channels = parse_list(&mut wrong, "channels", self.channels.as_deref(), limits::CHANNELS_PER_MESSAGE_MAX, Channel::parse);
        let tags = parse_list(&mut wrong, "tags", self.tags.as_deref(), limits::TAGS_PER_MESSAGE_MAX, Tag::parse);
        let retention = parse_retention(&mut wrong, self.payload_retention_period, self.payload_retention_hours);
        let payload_expires_at = now + retention.unwrap_or(settings.payload_retention);
        let deliver_at = wrong.optional("deliverAt", self.deliver_at.as_ref(), v1::time).filter(|at| *at > now);
        if deliver_at.is_some_and(|at| at >= payload_expires_at) {
            wrong.add("deliverAt", "must be before the payload is removed; see `payloadRetentionPeriod`");
        }
        let payload = self.payload(&mut wrong, body)?;
        let (Some(event_type), Some(payload)) = (event_type, payload) else { return Err(wrong.problem()) };
        wrong.nothing()?;
        let content = MessageContent {
            event_type,
            event_id,
            channels,
            tags,
            payload: Some(payload.bytes),
            content_type: payload.content_type,
            headers: Vec::new(),
            ordering_key: None,
            payload_expires_at,
            deliver_at,
            routing: Routing::default(),
        };
        Ok(ParsedMessage { content, echo: payload.echo })
    }

    /// Holds it to the rules of its tenant.
    pub(super) async fn admit(&self, api: &Api, org: &OrgId, content: &mut MessageContent, now: Timestamp) -> Result<(), Problem> {
        let wanted = Wanted {
            payload: content.payload.as_deref().unwrap_or_default(),
            fits: Some(&content.event_type),
            counted: 1,
            asked_hours: asked_hours(self.payload_retention_period, self.payload_retention_hours),
            keep_until: content.payload_expires_at,
        };
        content.payload_expires_at = tenant::admit(api, org, now, wanted).await?;
        if content.deliver_at.is_some_and(|at| at >= content.payload_expires_at) {
            return Err(Problem::body("deliverAt", "must be before the payload is removed, which your organization's `storedDays` says"));
        }
        Ok(())
    }

    /// `None` where it is wrong, which is noted.
    fn payload(&self, wrong: &mut Wrong, body: &'a Bytes) -> Result<Option<ParsedPayload<'a>>, Problem> {
        let mut content_type = PayloadType::Json;
        if let Some(given) = self.transformations_params {
            let params: TransformationsParams<'a> = parse_json(given.get().as_bytes()).map_err(|mut error| {
                error.loc.insert(1, "transformationsParams".to_owned());
                Problem::Invalid(vec![error])
            })?;
            let header = params.headers.iter().flatten().find(|(name, _)| name.0.eq_ignore_ascii_case("content-type"));
            if let Some((_, value)) = header {
                content_type = wrong.check("transformationsParams.headers.content-type", parse_content_type(&value.0)).unwrap_or_default();
            }
            if let Some(raw) = params.raw_payload {
                return Ok(Some(ParsedPayload::raw(raw.0, body, content_type)));
            }
        }
        let (field, payload) = match (self.payload, self.data) {
            (None, Some(data)) => ("data", data),
            (Some(payload), _) => ("payload", payload),
            (None, None) => return Err(Problem::Invalid(vec![missing("payload")])),
        };
        if !payload.get().starts_with('{') {
            wrong.add(field, "must be a JSON object; anything else goes as text into `transformationsParams.rawPayload`");
            return Ok(None);
        }
        Ok(Some(ParsedPayload { bytes: body.slice_ref(payload.get().as_bytes()), content_type, echo: Cow::Borrowed(payload) }))
    }
}

/// How long a payload is kept, by days or by hours. `None`: it is not said.
pub(super) fn parse_retention(wrong: &mut Wrong, days: Option<i64>, hours: Option<i64>) -> Option<Duration> {
    let between = |max: i64| {
        move |given: i64| match u64::try_from(given) {
            Ok(number) if (1..=max).contains(&given) => Ok(number),
            _ => Err(Invalid::new(format!("must be between 1 and {max}"))),
        }
    };
    let days = wrong.optional("payloadRetentionPeriod", days, between(RETENTION_DAYS_MAX));
    let hours = wrong.optional("payloadRetentionHours", hours, between(RETENTION_HOURS_MAX));
    if days.is_some() && hours.is_some() {
        wrong.add("payloadRetentionHours", "cannot be given together with `payloadRetentionPeriod`");
    }
    let hours = hours.or(days.map(|days| days * 24));
    hours.map(|hours| Duration::from_secs(hours * 3600))
}

/// For how long a payload is to be kept, if that is said and right.
pub(super) fn asked_hours(days: Option<i64>, hours: Option<i64>) -> Option<u64> {
    hours.or(days.map(|days| days.saturating_mul(24))).and_then(|hours| u64::try_from(hours).ok())
}

struct ParsedPayload<'a> {
    bytes: Bytes,
    content_type: PayloadType,
    echo: Cow<'a, RawValue>,
}

impl<'a> ParsedPayload<'a> {
    fn raw(text: Cow<'a, str>, body: &'a Bytes, content_type: PayloadType) -> Self {
        let bytes = match text {
            Cow::Borrowed(text) => body.slice_ref(text.as_bytes()),
            Cow::Owned(text) => text.into(),
        };
        let json = serde_json::from_slice::<Box<RawValue>>(&bytes).ok();
        Self { echo: json.map_or_else(|| Cow::Borrowed(expired()), Cow::Owned), bytes, content_type }
    }
}

pub(super) fn parse_list<T: PartialEq>(
    wrong: &mut Wrong,
    field: &'static str,
    given: Option<&[Text<'_>]>,
    items_max: usize,
    parse: impl Fn(&str) -> Result<T, Invalid>,
) -> Vec<T> {
    let Some(given) = given else { return Vec::new() };
    if given.len() > items_max {
        wrong.add(field, format!("has {} items; at most {items_max} are allowed", given.len()));
        return Vec::new();
    }
    let mut items = Vec::with_capacity(given.len());
    for item in wrong.each(field, given, |text| parse(text.as_ref())) {
        if !items.contains(&item) {
            items.push(item);
        }
    }
    items
}

pub(super) fn missing(field: &str) -> FieldError {
    let loc = vec!["body".to_owned(), field.to_owned()];
    FieldError { loc, msg: "This field is required.".to_owned(), r#type: MISSING }
}

fn parse_content_type(text: &str) -> Result<PayloadType, Invalid> {
    let text = text.trim();
    if text.is_empty() || text.len() > CONTENT_TYPE_BYTES_MAX || !text.bytes().all(|c| matches!(c, b' '..=b'~')) {
        return Err(Invalid::new(format!("must be 1 to {CONTENT_TYPE_BYTES_MAX} visible ASCII characters, such as `application/xml`")));
    }
    Ok(if text.eq_ignore_ascii_case(PayloadType::Json.as_str()) { PayloadType::Json } else { PayloadType::Other(text.to_owned()) })
}
