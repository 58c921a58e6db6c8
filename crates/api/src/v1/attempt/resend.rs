//! Sending one message to one endpoint again, at once and by hand. The schedule of its retries stays as it is.

use axum::extract::State;
use hookpost_domain::DeliveryKey;
use schemars::JsonSchema;
use serde::Serialize;

use super::DeliveryPath;
use crate::auth::{Caller, Right};
use crate::extract::{Accepted, Path};
use crate::problem::Problem;
use crate::state::Api;
use crate::v1::{endpoint, message};

/// An object without anything: some clients read every answer.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EmptyResponse {}

pub(crate) async fn resend(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<DeliveryPath>,
) -> Result<Accepted<EmptyResponse>, Problem> {
    let view = caller.application(&api, &path.app_id, Right::CreateAttempts).await?;
    let message = message::in_application(&api, &view, &path.msg_id).await?;
    let endpoint = endpoint::in_application(&api, &view, &path.endpoint_id).ok_or(Problem::NOT_FOUND)?;
    endpoint::refuse_disabled(&endpoint)?;
    let now = api.now();
    let gone = || Problem::bad_request("missing_payload", "The payload of the message is gone; it cannot be sent any more.");
    message::live_payload(&message.content, now).ok_or_else(gone)?;
    let key = DeliveryKey { message: message.id, endpoint: endpoint.id };
    if api.store.send_again(vec![key], now).await? == 0 {
        return Err(gone());
    }
    api.engine.wake(view.application.id, endpoint.id);
    Ok(Accepted(EmptyResponse {}))
}
