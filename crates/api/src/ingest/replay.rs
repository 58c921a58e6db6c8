//! Letting in again what was turned away, after the secret or the schema was mended: one receipt, or all of a reason in a window. (Hookpost's own.)
//!
//! A replay is a request like any other, verified as of the time at which it arrived, and has a receipt of its own. The one that it replays stays as
//! it is. All of a reason go in pieces: an answer says where the next call goes on, so that no call takes long and a crash loses nothing.

use std::time::Duration;

use axum::extract::State;
use hookpost_domain::id::ReceiptKind;
use hookpost_domain::receipt::{ReceivedBody, Receipt, VerdictKind};
use hookpost_domain::{ReceiptId, RowId, Source, Timestamp};
use hookpost_store::history::ReceiptFilter;
use hookpost_store::{Cursor, Order, PageRequest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SourcePath;
use super::receipt::{self, ReceiptOut, ReceiptPath, ReceiptVerdict, Withheld};
use crate::auth::{Caller, Right};
use crate::door;
use crate::extract::{Body, Json, Path};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1;

/// A call answers after so many receipts, or so much time, whatever is left.
const RECEIPTS_PER_CALL_MAX: u64 = 500;
const CALL_MAX: Duration = Duration::from_secs(10);
const PAGE_ITEMS: usize = 50;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ReplayReceiptsIn {
    /// Requests that arrived from this time on.
    #[schemars(extend("format" = "date-time"))]
    since: String,
    /// Requests that arrived before this time; left out: until now.
    #[schemars(extend("format" = "date-time"))]
    until: Option<String>,
    /// `rejected` or `quarantined`; left out: both.
    verdict: Option<ReceiptVerdict>,
    /// Only rejections with this code, such as `bad_signature`.
    code: Option<String>,
    /// The `iterator` of the call before.
    iterator: Option<String>,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReplayReceiptsOut {
    /// How many were tried.
    replayed: u64,
    /// Of those that were tried: a message was made of it.
    accepted: u64,
    /// There was a message of it already.
    duplicate: u64,
    /// It was answered, and is no message.
    handshake: u64,
    /// It still does not fit its schema.
    quarantined: u64,
    /// It was turned away again.
    rejected: u64,
    /// Not tried, because the body was not kept.
    not_kept: u64,
    /// Give it with the next call, which goes on there. `null` when there is nothing to go on from.
    #[schemars(required)]
    iterator: Option<String>,
    /// All were tried.
    done: bool,
}

pub(crate) async fn one(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ReceiptPath>,
) -> Result<Json<ReceiptOut>, Problem> {
    let source = caller.source(&api, &path.source_id, Right::CreateAttempts).await?;
    let receipt = receipt::find(&api, &source, &path.receipt_id).await?;
    if !receipt.verdict.left_something() {
        let detail = "Nothing is left to be done with this request: only what was rejected or quarantined can be replayed.";
        return Err(Problem::bad_request("nothing_to_replay", detail));
    }
    if matches!(receipt.request.body, ReceivedBody::NotKept { .. }) {
        return Err(Problem::bad_request("missing_payload", "The body of this request was not kept, so it cannot be replayed."));
    }
    let replayed = door::replay(&api, &source, &receipt).await?;
    Ok(Json(ReceiptOut::new(&api, &replayed, &Withheld::of(&source))))
}

pub(crate) async fn all(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<SourcePath>,
    Body(input): Body<ReplayReceiptsIn>,
) -> Result<Json<ReplayReceiptsOut>, Problem> {
    let wanted = input.parse(&api)?;
    let source = caller.source(&api, &path.source_id, Right::CreateAttempts).await?;
    wanted.replay(&api, &source).await.map(Json)
}

/// [`ReplayReceiptsIn`] that keeps every rule.
#[derive(Debug)]
struct Wanted {
    filter: ReceiptFilter,
    from: Cursor<ReceiptId>,
}

impl ReplayReceiptsIn {
    fn parse(self, api: &Api) -> Result<Wanted, Problem> {
        let mut wrong = Wrong::in_body();
        let until = wrong.optional("until", self.until, v1::time).unwrap_or_else(|| api.now());
        let since = wrong.check("since", v1::time(&self.since)).unwrap_or(until);
        if since > until {
            wrong.add("since", "must not be after `until`");
        }
        let verdict = self.verdict.map(VerdictKind::from);
        if !matches!(verdict, None | Some(VerdictKind::Rejected | VerdictKind::Quarantined)) {
            wrong.add("verdict", "must be `rejected` or `quarantined`; of the others nothing is left to be done");
        }
        let before: Option<ReceiptId> = self.iterator.as_deref().and_then(|iterator| {
            let id = api.store.public_ids().decode::<ReceiptKind>(iterator);
            if id.is_none() {
                wrong.add("iterator", "must be the `iterator` of an earlier call");
            }
            id
        });
        wrong.nothing()?;
        let from = before.unwrap_or_else(|| just_before(since));
        let filter = ReceiptFilter { verdict, code: self.code, before: Some(until), ..ReceiptFilter::default() };
        Ok(Wanted { filter, from: Cursor::After(from) })
    }
}

/// The last id that can be of an earlier time.
fn just_before(since: Timestamp) -> ReceiptId {
    let first = RowId::first_at(since.min(Timestamp::MAX));
    ReceiptId::from_row(RowId::from_raw(first.raw().saturating_sub(1)))
}

impl Wanted {
    async fn replay(self, api: &Api, source: &Source) -> Result<ReplayReceiptsOut, Problem> {
        let started_at = api.now();
        let mut out = ReplayReceiptsOut::default();
        let mut cursor = self.from;
        loop {
            let page = PageRequest { limit: PAGE_ITEMS, order: Order::Ascending, cursor: Some(cursor) };
            let scanned = api.store.receipts(source.id, self.filter.clone(), page).await?;
            for found in &scanned.items {
                if found.verdict.left_something() && found.replay_of.is_none() {
                    out.try_again(api, source, found.id).await?;
                }
                cursor = Cursor::After(found.id);
                out.iterator = Some(api.public(found.id));
                if out.replayed >= RECEIPTS_PER_CALL_MAX || api.now().since(started_at) > CALL_MAX {
                    return Ok(out);
                }
            }
            if scanned.done {
                out.done = true;
                return Ok(out);
            }
            if let Some(next) = scanned.next {
                cursor = Cursor::After(next);
                out.iterator = Some(api.public(next));
            }
        }
    }
}

impl ReplayReceiptsOut {
    async fn try_again(&mut self, api: &Api, source: &Source, id: ReceiptId) -> Result<(), Problem> {
        // Forgotten since it was listed.
        let Some(receipt) = api.store.receipt(source.id, id).await? else { return Ok(()) };
        if matches!(receipt.request.body, ReceivedBody::NotKept { .. }) {
            self.not_kept += 1;
            return Ok(());
        }
        let replayed: Receipt = door::replay(api, source, &receipt).await?;
        self.replayed += 1;
        *match replayed.verdict.kind() {
            VerdictKind::Accepted => &mut self.accepted,
            VerdictKind::Duplicate => &mut self.duplicate,
            VerdictKind::Handshake => &mut self.handshake,
            VerdictKind::Quarantined => &mut self.quarantined,
            VerdictKind::Rejected => &mut self.rejected,
        } += 1;
        Ok(())
    }
}
