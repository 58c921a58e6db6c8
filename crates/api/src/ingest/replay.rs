//! Letting in again what was turned away, after the secret or the schema was mended: one receipt, or all of a reason in a window. (Hookpost's own.)
//!
//! A replay is a request like any other, verified as of the time at which it arrived, and has a receipt of its own. The one that it replays stays as
//! it is. All of a reason go in pieces: an answer says where the next call goes on, so that no call takes long and a crash loses nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use hookpost_domain::id::ReceiptKind;
use hookpost_domain::receipt::VerdictKind;
use hookpost_domain::{ReceiptId, RowId, Source, Timestamp};
use hookpost_store::history::ReceiptFilter;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SourcePath;
use super::receipt::{ReceiptOut, ReceiptPath, ReceiptVerdict, Withheld};
use crate::auth::{Caller, Right};
use crate::door;
use crate::extract::{Body, Json, Path};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1;

/// A call answers after so much, or so much time, whatever is left.
const REPLAYED_PER_CALL_MAX: u64 = 500;
const CALL_MAX: Duration = Duration::from_secs(10);

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
pub(crate) struct ReplayReceiptsOut {
    /// A message was made of so many.
    accepted: u64,
    /// So many were a message already.
    duplicate: u64,
    /// So many were turned away or quarantined again.
    refused: u64,
    /// Of so many nothing is left that could be replayed: the body was not kept.
    skipped: u64,
    /// Give it with the next call, which goes on there. `null`: this was the last.
    #[schemars(schema_with = "crate::page::text_or_null")]
    iterator: Option<String>,
    /// There is nothing more.
    done: bool,
}

pub(crate) async fn one(State(api): State<Api>, caller: Caller, Path(path): Path<ReceiptPath>) -> Result<Json<ReceiptOut>, Problem> {
    let source = caller.source(&api, &path.source_id, Right::CreateAttempts).await?;
    let id = api.store.public_ids().decode::<ReceiptKind>(&path.receipt_id).ok_or(Problem::NOT_FOUND)?;
    let replayed = door::replay::replay(&api, &source, id).await?;
    let Some(made) = replayed.receipt else {
        return Err(Problem::conflict("Nothing is left to replay: the request is a handshake, and its time is over."));
    };
    let receipt = api.store.receipt(source.id, made).await?.ok_or(Problem::NOT_FOUND)?;
    Ok(Json(ReceiptOut::new(&api, &receipt, &Withheld::of(&source))))
}

pub(crate) async fn all(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<SourcePath>,
    Body(input): Body<ReplayReceiptsIn>,
) -> Result<Json<ReplayReceiptsOut>, Problem> {
    let (filter, after) = input.parse(&api)?;
    let source = caller.source(&api, &path.source_id, Right::CreateAttempts).await?;
    replay_for_a_while(&api, &source, filter, after).await.map(Json)
}

impl ReplayReceiptsIn {
    /// Which receipts, and behind which one to begin.
    fn parse(self, api: &Api) -> Result<(ReceiptFilter, ReceiptId), Problem> {
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
        let last = self.iterator.as_deref().and_then(|iterator| {
            let id = api.store.public_ids().decode::<ReceiptKind>(iterator);
            if id.is_none() {
                wrong.add("iterator", "must be the `iterator` of an earlier call");
            }
            id
        });
        wrong.nothing()?;
        let filter = ReceiptFilter { verdict, code: self.code, before: Some(until), ..ReceiptFilter::default() };
        Ok((filter, last.unwrap_or_else(|| just_before(since))))
    }
}

/// The last id that can be of an earlier time.
fn just_before(since: Timestamp) -> ReceiptId {
    let first = RowId::first_at(since.min(Timestamp::MAX));
    ReceiptId::from_row(RowId::from_raw(first.raw().saturating_sub(1)))
}

async fn replay_for_a_while(
    api: &Api,
    source: &Arc<Source>,
    filter: ReceiptFilter,
    after: ReceiptId,
) -> Result<ReplayReceiptsOut, Problem> {
    let started_at = api.now();
    let mut out = ReplayReceiptsOut::default();
    let mut after = after;
    loop {
        let step = door::replay::replay_many(api, source, filter.clone(), Some(after)).await?;
        out.accepted += step.accepted;
        out.duplicate += step.duplicate;
        out.refused += step.refused;
        out.skipped += step.skipped;
        let Some(next) = step.next else {
            out.done = true;
            return Ok(out);
        };
        let replayed = out.accepted + out.duplicate + out.refused;
        if replayed >= REPLAYED_PER_CALL_MAX || api.now().since(started_at) >= CALL_MAX {
            out.iterator = Some(api.public(next));
            return Ok(out);
        }
        after = next;
    }
}
