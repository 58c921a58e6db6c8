//! What a source turned away, in the words of Svix. Receipts say the same and more.

use std::collections::BTreeMap;

use axum::extract::State;
use hookpost_domain::id::ReceiptKind;
use hookpost_domain::receipt::{Receipt, ReceivedBody, Rejection, Verdict, VerdictKind};
use hookpost_store::Order;
use hookpost_store::history::ReceiptFilter;
use schemars::JsonSchema;
use serde::Serialize;

use super::SourcePath;
use super::receipt::{Withheld, text_or_base64};
use crate::auth::{Caller, Right};
use crate::extract::{Json, Path, Query};
use crate::page::{ListQuery, Page};
use crate::problem::Problem;
use crate::state::Api;
use crate::v1::{Time, window};

/// Written with underscores, unlike everything else, because clients expect it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct IngestLogOut {
    /// The id of the receipt.
    id: String,
    source_id: String,
    status_code: u16,
    error_text: String,
    /// Without those that carry credentials.
    headers: BTreeMap<String, String>,
    /// As text, or as base64 where it is not UTF-8; empty where it was not kept.
    payload: String,
    created_at: Time,
    updated_at: Time,
}

pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<SourcePath>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<IngestLogOut>>, Problem> {
    let source = caller.source(&api, &path.source_id, Right::Read).await?;
    let Some(page) = query.request::<ReceiptKind>(api.store.public_ids(), Order::Descending)? else {
        return Ok(Json(Page::empty()));
    };
    let backwards = window::goes_backwards(&page);
    let filter = ReceiptFilter { verdict: Some(VerdictKind::Rejected), ..ReceiptFilter::default() };
    let mut scanned = api.store.receipts(source.id, filter, page).await?;
    // Lists come without bodies, and what was turned away is little.
    for receipt in &mut scanned.items {
        if let Some(whole) = api.store.receipt(source.id, receipt.id).await? {
            *receipt = whole;
        }
    }
    let withheld = Withheld::of(&source);
    Ok(Json(window::answer(&api, backwards, scanned, |receipt| (receipt.id, IngestLogOut::new(&api, &receipt, &withheld)))))
}

impl IngestLogOut {
    fn new(api: &Api, receipt: &Receipt, withheld: &Withheld) -> Self {
        let error_text = match &receipt.verdict {
            Verdict::Rejected(Rejection { detail, hint: Some(hint), .. }) => format!("{detail} {hint}"),
            Verdict::Rejected(Rejection { detail, .. }) => detail.clone(),
            _ => String::new(),
        };
        let shown = receipt.request.headers.iter().filter(|(name, value)| !withheld.is_header(name, value));
        Self {
            id: api.public(receipt.id),
            source_id: api.public(receipt.source),
            status_code: receipt.status_code,
            error_text,
            headers: shown.map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned())).collect(),
            payload: match &receipt.request.body {
                ReceivedBody::Bytes(bytes) => text_or_base64(bytes).1,
                ReceivedBody::InMessage | ReceivedBody::NotKept { .. } => String::new(),
            },
            created_at: Time(receipt.received_at),
            updated_at: Time(receipt.received_at),
        }
    }
}
