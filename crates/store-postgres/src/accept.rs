//! One group of accepted messages as one transaction: keys and event ids first, then what won.

use std::sync::Arc;

use hookpost_domain::Message;
use hookpost_store::{AcceptError, Accepted, ApplicationView, IdempotencyKey};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::shared::Shared;

/// One message on its way into a group.
#[derive(Debug)]
pub(crate) struct AcceptCommand {
    /// Its id is given when its group is written.
    pub(crate) message: Arc<Message>,
    /// As it was when the command came; says which node serves what it is routed to.
    pub(crate) view: Option<Arc<ApplicationView>>,
    pub(crate) key: Option<IdempotencyKey>,
    pub(crate) reply: oneshot::Sender<Result<Accepted, AcceptError>>,
}

/// Until the token is cancelled and what was queued is written.
pub(crate) async fn serve(_shared: Arc<Shared>, token: CancellationToken) {
    token.cancelled().await;
}
