//! Trying an endpoint out: a message for it alone, and what it answered.

#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::extract::State;
use hookpost_domain::MessageId;
use hookpost_domain::message::Routing;
use hookpost_store::history::{AttemptFilter, StoredAttempt};
use hookpost_store::{NewMessage, Order, PageRequest, Reference};
use tokio::time::Instant;

use super::MessageOut;
use super::create::{MessageIn, ParsedMessage};
use crate::auth::{Caller, Right};
use crate::extract::{Created, Path, RawBody, parse_json};
use crate::problem::Problem;
use crate::state::Api;
use crate::v1::attempt::MessageAttemptOut;
use crate::v1::endpoint::{self, EndpointPath};

/// Beyond the time that a request may take: for a lane that is not idle.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOKED_EVERY: Duration = Duration::from_millis(50);

pub(crate) async fn test_attempt(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EndpointPath>,
    body: RawBody<MessageIn<'static>>,
) -> Result<Created<MessageAttemptOut>, Problem> {
    let now = api.now();
    let input: MessageIn<'_> = parse_json(&body.0).map_err(|error| Problem::Invalid(vec![error]))?;
    let ParsedMessage { mut content, .. } = input.parse(&body.0, &api.settings, now)?;
    let (view, endpoint) = endpoint::find(&api, &caller, &path, Right::CreateAttempts).await?;
    endpoint::refuse_disabled(&endpoint)?;
    // It is tried now.
    content.deliver_at = None;
    input.admit(&api, &view.application.org, &mut content, now).await?;
    content.routing = Routing::trial(endpoint.id);
    let application = view.application.id;
    let accepted = api.store.accept(NewMessage { application, content, idempotency_key: None }, now).await?;
    api.engine.arrived(application);
    let attempt = wait_for_attempt(&api, accepted.id).await?;
    let message = api.store.message(application, Reference::Id(accepted.id)).await?;
    let message = message.map(|message| MessageOut::new(&api, &message, true));
    Ok(Created(MessageAttemptOut::new(&api, attempt, true, message)))
}

async fn wait_for_attempt(api: &Api, message: MessageId) -> Result<StoredAttempt, Problem> {
    let deadline = Instant::now() + api.engine.settings().request_timeout + PATIENCE;
    loop {
        let page = PageRequest::first(1, Order::Ascending);
        let found = api.store.attempts_of_message(message, AttemptFilter::default(), page).await?;
        if let Some(attempt) = found.items.into_iter().next() {
            return Ok(attempt);
        }
        if Instant::now() >= deadline || api.stopping.is_cancelled() {
            let detail =
                format!("The message {} was made, and waits: the endpoint is throttled, or others are before it.", api.public(message));
            return Err(Problem::bad_request("not_attempted_yet", detail));
        }
        tokio::time::sleep(LOOKED_EVERY).await;
    }
}
