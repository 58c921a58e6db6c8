//! Receipts: every request that arrived at a source, with its verdict and why. (Hookpost's own.)
//!
//! Values that are secrets are withheld: headers that carry credentials, and whatever holds a live secret of the source, for schemes that send the
//! secret itself.

mod withheld;

use std::time::Duration;

use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookpost_domain::id::ReceiptKind;
use hookpost_domain::receipt::{Receipt, ReceivedBody, Rejection, Verdict, VerdictKind};
use hookpost_domain::{Invalid, Source};
use hookpost_store::history::ReceiptFilter;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SourcePath;
use crate::auth::{Caller, Right};
use crate::extract::{Json, Path, Query};
use crate::page::Page;
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1::window::{self, Window};
use crate::v1::{self, Time};

pub(super) use withheld::Withheld;

/// How far back is counted if the query does not say.
const WINDOW_DEFAULT: Duration = Duration::from_secs(28 * 24 * 3600);

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ReceiptPath {
    /// The id or uid of the source.
    pub(super) source_id: String,
    /// The id of the receipt.
    pub(super) receipt_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ListQuery {
    /// How many items a page has at most.
    #[schemars(range(min = 1, max = 250))]
    limit: Option<u64>,
    /// The `iterator` or `prevIterator` of an earlier page.
    iterator: Option<String>,
    /// Only receipts with this verdict.
    verdict: Option<ReceiptVerdict>,
    /// Only rejections with this code, such as `bad_signature`.
    code: Option<String>,
    /// Only receipts of this event type, as the provider names it.
    event_type: Option<String>,
    /// Only receipts of this event, as the provider names it.
    event_id: Option<String>,
    /// Only requests that have this somewhere in their URL, headers or body.
    text: Option<String>,
    /// Only requests that arrived before this time.
    #[schemars(extend("format" = "date-time"))]
    before: Option<String>,
    /// Only requests that arrived after this time. Without `before` and `iterator`, the page begins at the oldest of them.
    #[schemars(extend("format" = "date-time"))]
    after: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct CountsQuery {
    /// Requests that arrived from this time on; left out: in the last 28 days.
    #[schemars(extend("format" = "date-time"))]
    since: Option<String>,
    /// Requests that arrived until this time; left out: until now.
    #[schemars(extend("format" = "date-time"))]
    until: Option<String>,
}

/// What was made of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ReceiptVerdict {
    /// A message.
    Accepted,
    /// Nothing: an earlier request made the message already.
    Duplicate,
    /// An answer that proves who we are.
    Handshake,
    /// Nothing yet: it does not fit its schema.
    Quarantined,
    /// Nothing: it was turned away.
    Rejected,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReceiptOut {
    id: String,
    source_id: String,
    received_at: Time,
    method: String,
    url: String,
    /// The address that it came from.
    peer: Option<String>,
    verdict: ReceiptVerdict,
    /// It was taken although it is not believed, because a rule of the source says so; `code`, `detail` and `hint` say why it is not.
    unverified: bool,
    /// The word of a rejection: `bad_signature`, `rate_limited`, …
    code: Option<String>,
    /// What was wrong, as a sentence.
    detail: Option<String>,
    /// Which usual mistake it was, and what helps, where that could be found out.
    hint: Option<String>,
    /// The status that was answered.
    status_code: u16,
    /// As the provider names it.
    event_id: Option<String>,
    /// As the provider names it.
    event_type: Option<String>,
    /// The message that was made of it; of a duplicate, the one that was there.
    message_id: Option<String>,
    /// The receipt that this one is a replay of.
    replay_of: Option<String>,
    timing: ReceiptTimingOut,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReceiptTimingOut {
    /// Milliseconds from the head of the request to the end of its body.
    read_ms: f64,
    /// Milliseconds for signature, schema and extraction.
    verify_ms: f64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReceiptHeader {
    name: String,
    value: String,
}

/// A receipt with the whole request.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReceiptWithRequestOut {
    #[serde(flatten)]
    receipt: ReceiptOut,
    /// In the order and case in which they came.
    headers: Vec<ReceiptHeader>,
    /// The names of headers whose values are withheld.
    sensitive: Vec<String>,
    /// How the body is written here: `text`, or `base64` where it is not UTF-8. `null`: it was not kept.
    body_encoding: Option<BodyEncoding>,
    body: Option<String>,
    body_bytes: u64,
}

#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BodyEncoding {
    Text,
    Base64,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ReceiptCountsOut {
    accepted: u64,
    duplicate: u64,
    handshake: u64,
    quarantined: u64,
    rejected: u64,
}

pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<SourcePath>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<ReceiptOut>>, Problem> {
    let mut wrong = Wrong::in_query();
    let window = Window::parse(&mut wrong, query.before, query.after);
    wrong.nothing()?;
    let source = caller.source(&api, &path.source_id, Right::Read).await?;
    // A receipt is written down after its request has arrived, at the latest when that had to be answered.
    let delay = hookpost_domain::limits::SOURCE_ANSWER_DEADLINE;
    let Some(page) = window.request::<ReceiptKind>(&api, query.limit, query.iterator.as_deref(), delay)? else {
        return Ok(Json(Page::empty()));
    };
    let filter = ReceiptFilter {
        verdict: query.verdict.map(VerdictKind::from),
        code: query.code,
        event_type: query.event_type,
        event_id: query.event_id,
        text: query.text,
        before: window.before,
        after: window.after,
    };
    let backwards = window::goes_backwards(&page);
    let scanned = api.store.receipts(source.id, filter, page).await?;
    let withheld = Withheld::of(&source);
    Ok(Json(window::answer(&api, backwards, scanned, |receipt| (receipt.id, ReceiptOut::new(&api, &receipt, &withheld)))))
}

pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ReceiptPath>,
) -> Result<Json<ReceiptWithRequestOut>, Problem> {
    let source = caller.source(&api, &path.source_id, Right::Read).await?;
    let receipt = find(&api, &source, &path.receipt_id).await?;
    Ok(Json(ReceiptWithRequestOut::new(&api, &receipt, &Withheld::of(&source))))
}

pub(crate) async fn counts(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<SourcePath>,
    Query(query): Query<CountsQuery>,
) -> Result<Json<ReceiptCountsOut>, Problem> {
    let mut wrong = Wrong::in_query();
    let until = wrong.optional("until", query.until, v1::time).unwrap_or_else(|| api.now());
    let since = wrong.optional("since", query.since, v1::time).unwrap_or(until - WINDOW_DEFAULT);
    if since > until {
        wrong.check::<()>("since", Err(Invalid::new("must not be after `until`")));
    }
    wrong.nothing()?;
    let source = caller.source(&api, &path.source_id, Right::Read).await?;
    let counts = api.store.receipt_counts(source.id, since, until).await?;
    Ok(Json(ReceiptCountsOut {
        accepted: counts.accepted,
        duplicate: counts.duplicate,
        handshake: counts.handshake,
        quarantined: counts.quarantined,
        rejected: counts.rejected,
    }))
}

/// A receipt of a source, with the whole request.
pub(super) async fn find(api: &Api, source: &Source, id: &str) -> Result<Receipt, Problem> {
    let id = api.store.public_ids().decode::<ReceiptKind>(id).ok_or(Problem::NOT_FOUND)?;
    api.store.receipt(source.id, id).await?.ok_or(Problem::NOT_FOUND)
}

impl From<ReceiptVerdict> for VerdictKind {
    fn from(verdict: ReceiptVerdict) -> Self {
        match verdict {
            ReceiptVerdict::Accepted => Self::Accepted,
            ReceiptVerdict::Duplicate => Self::Duplicate,
            ReceiptVerdict::Handshake => Self::Handshake,
            ReceiptVerdict::Quarantined => Self::Quarantined,
            ReceiptVerdict::Rejected => Self::Rejected,
        }
    }
}

impl From<VerdictKind> for ReceiptVerdict {
    fn from(kind: VerdictKind) -> Self {
        match kind {
            VerdictKind::Accepted => Self::Accepted,
            VerdictKind::Duplicate => Self::Duplicate,
            VerdictKind::Handshake => Self::Handshake,
            VerdictKind::Quarantined => Self::Quarantined,
            VerdictKind::Rejected => Self::Rejected,
        }
    }
}

impl ReceiptOut {
    pub(super) fn new(api: &Api, receipt: &Receipt, withheld: &Withheld) -> Self {
        let rejection = match &receipt.verdict {
            Verdict::Rejected(rejection) => Some(rejection),
            _ => receipt.unverified.as_ref(),
        };
        let (code, detail, hint) = match (&receipt.verdict, rejection) {
            // What holds it back now goes before what was let pass.
            (Verdict::Quarantined { detail }, _) => (None, Some(detail.clone()), None),
            (_, Some(Rejection { code, detail, hint })) => (Some(code.clone()), Some(detail.clone()), hint.clone()),
            (_, None) => (None, None, None),
        };
        Self {
            id: api.public(receipt.id),
            source_id: api.public(receipt.source),
            received_at: Time(receipt.received_at),
            method: receipt.request.method.clone(),
            url: withheld.without_secrets(&receipt.request.url),
            peer: receipt.request.peer.map(|address| address.to_string()),
            verdict: receipt.verdict.kind().into(),
            unverified: receipt.unverified.is_some(),
            code,
            detail,
            hint,
            status_code: receipt.status_code,
            event_id: receipt.event_id.clone(),
            event_type: receipt.event_type.clone(),
            message_id: receipt.verdict.message().map(|message| api.public(message)),
            replay_of: receipt.replay_of.map(|id| api.public(id)),
            timing: ReceiptTimingOut { read_ms: milliseconds(receipt.timing.read), verify_ms: milliseconds(receipt.timing.verify) },
        }
    }
}

impl ReceiptWithRequestOut {
    fn new(api: &Api, receipt: &Receipt, withheld: &Withheld) -> Self {
        let mut headers = Vec::new();
        let mut sensitive = Vec::new();
        for (name, value) in &receipt.request.headers {
            if withheld.is_header(name, value) {
                sensitive.push(name.clone());
            } else {
                headers.push(ReceiptHeader { name: name.clone(), value: String::from_utf8_lossy(value).into_owned() });
            }
        }
        let (body_encoding, body, body_bytes) = match &receipt.request.body {
            ReceivedBody::Bytes(bytes) => {
                let (encoding, text) = text_or_base64(bytes);
                (Some(encoding), Some(text), bytes.len() as u64)
            }
            ReceivedBody::NotKept { bytes } => (None, None, *bytes),
            // A store answers with the bytes of the message, or that they are gone.
            ReceivedBody::InMessage => (None, None, 0),
        };
        Self { receipt: ReceiptOut::new(api, receipt, withheld), headers, sensitive, body_encoding, body, body_bytes }
    }
}

/// A body as JSON can carry it.
pub(super) fn text_or_base64(bytes: &[u8]) -> (BodyEncoding, String) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (BodyEncoding::Text, text.to_owned()),
        Err(_) => (BodyEncoding::Base64, STANDARD.encode(bytes)),
    }
}

/// To the microsecond, which is as exact as anybody wants to read.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}
