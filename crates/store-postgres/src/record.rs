//! One group of outcomes as one transaction.

use std::sync::Arc;

use hookpost_domain::Timestamp;
use hookpost_store::queue::Backlog;
use hookpost_store::{Record, Recorded, Unavailable};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::error::unfinished;
use crate::shared::Shared;

/// One call, on its way into a group.
#[derive(Debug)]
pub(crate) struct RecordCommand {
    pub(crate) records: Arc<Vec<Record>>,
    pub(crate) now: Timestamp,
    pub(crate) reply: oneshot::Sender<Result<Vec<Recorded>, Unavailable>>,
}

pub(crate) async fn record(_shared: &Shared, _records: Arc<Vec<Record>>, _now: Timestamp) -> Result<Vec<Recorded>, Unavailable> {
    Err(unfinished())
}

pub(crate) fn backlog(_shared: &Shared) -> Backlog {
    Backlog::default()
}

/// Until the token is cancelled and what was queued is written.
pub(crate) async fn serve(_shared: Arc<Shared>, token: CancellationToken) {
    token.cancelled().await;
}
