//! Endpoints: where and how the messages of an application are delivered.
//!
//! The older names of fields (`filterTypes`, `rateLimit`) are read and written beside the newer ones (`eventTypes`, `throttleRate`). `ordered`,
//! `concurrency` and `retrySchedule` are Hookpost's own: clients that do not know them cannot lose them by a `PUT`.

pub(crate) mod example;
pub(crate) mod fields;
pub(crate) mod headers;
pub(crate) mod named;
pub(crate) mod operational;
pub(crate) mod replay;
pub(crate) mod secret;
pub(crate) mod stats;
pub(crate) mod throttling;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use axum::extract::State;
use hookpost_domain::application::Metadata;
use hookpost_domain::endpoint::Disabled;
use hookpost_domain::id::EndpointKind;
use hookpost_domain::operational::{DisabledTrigger, EndpointFacts, OperationalEvent};
use hookpost_domain::secret::EndpointSecrets;
use hookpost_domain::{Endpoint, SigningSecret};
use hookpost_store::{ApplicationView, Order, PageRequest, Reference};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auth::{Caller, Right};
use crate::extract::{Body, Created, CreatedOr, Json, NoContent, Path, Query, present};
use crate::page::{ListQuery, Page};
use crate::problem::Problem;
use crate::state::Api;
use crate::tenant;
use crate::v1::Time;
use crate::v1::application::ApplicationPath;
use crate::v1::retry::{RetryScheduleIn, RetryScheduleOut};

pub(crate) use fields::EndpointChange;
use fields::check_event_types;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct EndpointPath {
    /// The id or uid of the application.
    pub(crate) app_id: String,
    /// The id or uid of the endpoint.
    pub(crate) endpoint_id: String,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointIn {
    /// Where messages are sent to.
    #[schemars(length(min = 1, max = 65536), extend("format" = "uri"))]
    url: String,
    description: Option<String>,
    /// Your own identifier; it stands wherever the id could.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[a-zA-Z0-9\-_.]+$"))]
    uid: Option<String>,
    /// A number for your own use.
    #[schemars(range(min = 1), extend("deprecated" = true))]
    version: Option<u16>,
    /// Nothing is sent to a disabled endpoint, and no message waits for it.
    disabled: Option<bool>,
    /// The event types to send, or groups of them (`order.*`). Left out: all.
    #[schemars(length(min = 1))]
    event_types: Option<Vec<String>>,
    /// The older name of `eventTypes`.
    #[schemars(length(min = 1), extend("deprecated" = true))]
    filter_types: Option<Vec<String>>,
    /// Only messages that have one of these channels. Left out: all.
    #[schemars(length(min = 1, max = 10))]
    channels: Option<Vec<String>>,
    /// Deliveries a second at most.
    #[schemars(range(min = 1))]
    throttle_rate: Option<u16>,
    /// The older name of `throttleRate`.
    #[schemars(range(min = 1), extend("deprecated" = true))]
    rate_limit: Option<u16>,
    metadata: Option<Metadata>,
    /// Headers that every delivery carries.
    headers: Option<BTreeMap<String, String>>,
    /// The signing secret: `whsec_` or `whsk_` and base64. Better left out, and made by us. Not read where the endpoint exists already.
    secret: Option<String>,
    /// Strict order: a message is not attempted before those in front of it are delivered or given up. (Hookpost's own.)
    #[serde(default, deserialize_with = "present")]
    ordered: Option<Option<bool>>,
    /// Attempts under way at a time at most; left out: as the server is set. (Hookpost's own.)
    #[serde(default, deserialize_with = "present")]
    #[schemars(range(min = 1))]
    concurrency: Option<Option<u16>>,
    /// When failed deliveries are tried again; left out: as the event type or the server is set. (Hookpost's own.)
    #[serde(default, deserialize_with = "present")]
    retry_schedule: Option<Option<RetryScheduleIn>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointPatch {
    #[schemars(extend("format" = "uri"))]
    url: Option<String>,
    description: Option<String>,
    #[serde(default, deserialize_with = "present")]
    uid: Option<Option<String>>,
    #[schemars(range(min = 1), extend("deprecated" = true))]
    version: Option<u16>,
    disabled: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    event_types: Option<Option<Vec<String>>>,
    /// The older name of `eventTypes`.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("deprecated" = true))]
    filter_types: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "present")]
    channels: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "present")]
    throttle_rate: Option<Option<u16>>,
    /// The older name of `throttleRate`.
    #[serde(default, deserialize_with = "present")]
    #[schemars(extend("deprecated" = true))]
    rate_limit: Option<Option<u16>>,
    /// Replaces all metadata.
    metadata: Option<Metadata>,
    /// Replaces the signing secret at once. To let both sign for a while, rotate it.
    #[schemars(extend("deprecated" = true))]
    secret: Option<String>,
    /// (Hookpost's own.)
    ordered: Option<bool>,
    /// (Hookpost's own.)
    #[serde(default, deserialize_with = "present")]
    concurrency: Option<Option<u16>>,
    /// (Hookpost's own.)
    #[serde(default, deserialize_with = "present")]
    retry_schedule: Option<Option<RetryScheduleIn>>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointOut {
    id: String,
    uid: Option<String>,
    url: String,
    description: String,
    #[schemars(extend("deprecated" = true))]
    version: u16,
    disabled: bool,
    /// Who disabled it. (Hookpost's own.)
    disabled_by: Option<DisabledBy>,
    /// Where it was disabled because it failed: since when it had. (Hookpost's own.)
    failing_since: Option<Time>,
    event_types: Option<Vec<String>>,
    #[schemars(extend("deprecated" = true))]
    filter_types: Option<Vec<String>>,
    channels: Option<Vec<String>>,
    throttle_rate: Option<u16>,
    #[schemars(extend("deprecated" = true))]
    rate_limit: Option<u16>,
    metadata: Metadata,
    /// (Hookpost's own.)
    ordered: bool,
    /// (Hookpost's own.)
    concurrency: Option<u16>,
    /// (Hookpost's own.)
    retry_schedule: Option<RetryScheduleOut>,
    created_at: Time,
    updated_at: Time,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DisabledBy {
    User,
    /// It failed for too long, or answered 410.
    Failures,
}

pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ApplicationPath>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<EndpointOut>>, Problem> {
    let view = caller.application(&api, &path.app_id, Right::Read).await?;
    list_of(&api, &view, &query).map(Json)
}

pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ApplicationPath>,
    Body(input): Body<EndpointIn>,
) -> Result<Created<EndpointOut>, Problem> {
    let change = input.parse(&api)?;
    let view = caller.application(&api, &path.app_id, Right::ManageEndpoint).await?;
    create_in(&api, &view, change).await.map(Created)
}

pub(crate) async fn get(State(api): State<Api>, caller: Caller, Path(path): Path<EndpointPath>) -> Result<Json<EndpointOut>, Problem> {
    let (_, endpoint) = find(&api, &caller, &path, Right::Read).await?;
    Ok(Json(EndpointOut::new(&api, &endpoint)))
}

pub(crate) async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EndpointPath>,
    Body(input): Body<EndpointIn>,
) -> Result<CreatedOr<EndpointOut>, Problem> {
    let change = input.parse(&api)?;
    let view = caller.application(&api, &path.app_id, Right::ManageEndpoint).await?;
    update_in(&api, &view, &path.endpoint_id, change).await
}

pub(crate) async fn patch(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EndpointPath>,
    Body(input): Body<EndpointPatch>,
) -> Result<Json<EndpointOut>, Problem> {
    let change = input.parse(&api)?;
    if change.secret.is_some() {
        caller.org_or_session(Right::ManageSecret)?;
    }
    let (view, endpoint) = find(&api, &caller, &path, Right::ManageEndpoint).await?;
    check_event_types(&api, &view, &change).await?;
    change_endpoint(&api, &view, &endpoint, change).await.map(Json)
}

pub(crate) async fn delete(State(api): State<Api>, caller: Caller, Path(path): Path<EndpointPath>) -> Result<NoContent, Problem> {
    let (view, endpoint) = find(&api, &caller, &path, Right::ManageEndpoint).await?;
    delete_from(&api, &view, &endpoint).await
}

/// A page of the endpoints of an application, which may be that of a source.
pub(crate) fn list_of(api: &Api, view: &ApplicationView, query: &ListQuery) -> Result<Page<EndpointOut>, Problem> {
    let page: Option<PageRequest<_>> = query.request::<EndpointKind>(api.store.public_ids(), Order::Descending)?;
    let Some(page) = page else { return Ok(Page::empty()) };
    let listed = page.cut(view.endpoints.iter().map(|endpoint| (endpoint.id, endpoint)));
    let items = listed.items.into_iter().map(|endpoint| (api.public(endpoint.id), EndpointOut::new(api, endpoint)));
    Ok(Page::new(items, listed.done))
}

pub(crate) async fn create_in(api: &Api, view: &ApplicationView, change: EndpointChange) -> Result<EndpointOut, Problem> {
    check_event_types(api, view, &change).await?;
    create_from(api, view, change).await
}

/// Replaces the endpoint that `reference` names, or creates it.
pub(crate) async fn update_in(
    api: &Api,
    view: &ApplicationView,
    reference: &str,
    mut change: EndpointChange,
) -> Result<CreatedOr<EndpointOut>, Problem> {
    check_event_types(api, view, &change).await?;
    match in_application(api, view, reference) {
        Some(endpoint) => {
            change.secret = None;
            change_endpoint(api, view, &endpoint, change).await.map(CreatedOr::Existing)
        }
        None => create_from(api, view, change).await.map(CreatedOr::Created),
    }
}

pub(crate) async fn delete_from(api: &Api, view: &ApplicationView, endpoint: &Endpoint) -> Result<NoContent, Problem> {
    api.store.delete_endpoint(view.application.id, endpoint.id, api.now()).await?;
    api.engine.wake(view.application.id, endpoint.id);
    api.engine.publish(&view.application.org, OperationalEvent::EndpointDeleted(facts(view, endpoint)));
    Ok(NoContent)
}

/// The endpoint that a path names, with its application.
pub(crate) async fn find(
    api: &Api,
    caller: &Caller,
    path: &EndpointPath,
    right: Right,
) -> Result<(Arc<ApplicationView>, Arc<Endpoint>), Problem> {
    let view = caller.application(api, &path.app_id, right).await?;
    let endpoint = in_application(api, &view, &path.endpoint_id).ok_or(Problem::NOT_FOUND)?;
    Ok((view, endpoint))
}

/// An endpoint of an application by id or uid.
pub(crate) fn in_application(api: &Api, view: &ApplicationView, reference: &str) -> Option<Arc<Endpoint>> {
    match Reference::<EndpointKind>::parse(api.store.public_ids(), reference) {
        Reference::Id(id) => view.endpoint(id).cloned(),
        Reference::Uid(uid) => view.endpoint_by_uid(uid).cloned(),
    }
}

/// What is sent by hand to a disabled endpoint would end without a try: whoever asks for it should know.
pub(crate) fn refuse_disabled(endpoint: &Endpoint) -> Result<(), Problem> {
    if endpoint.disabled.is_disabled() {
        return Err(Problem::bad_request("endpoint_disabled", "The endpoint is disabled: nothing is sent to it. Enable it first."));
    }
    Ok(())
}

fn facts(view: &ApplicationView, endpoint: &Endpoint) -> EndpointFacts {
    EndpointFacts {
        application: view.application.id,
        application_uid: view.application.uid.clone(),
        endpoint: endpoint.id,
        endpoint_uid: endpoint.uid.clone(),
    }
}

async fn create_from(api: &Api, view: &ApplicationView, mut change: EndpointChange) -> Result<EndpointOut, Problem> {
    let _counted = tenant::admit_endpoint(api, &view.application.org).await?;
    let now = api.now();
    let secret = change.secret.take().unwrap_or_else(|| SigningSecret::generate(api.settings.default_signature, &*api.entropy));
    let mut endpoint = Endpoint {
        id: api.new_id(now),
        application: view.application.id,
        uid: None,
        url: String::new(),
        description: String::new(),
        version: 1,
        disabled: Disabled::No,
        event_types: None,
        channels: None,
        throttle_rate: None,
        concurrency: None,
        ordered: false,
        retry_schedule: None,
        headers: Vec::new(),
        secrets: EndpointSecrets::new(secret),
        metadata: Metadata::new(),
        created_at: now,
        updated_at: now,
    };
    change.write_to(&mut endpoint);
    api.store.create_endpoint(endpoint.clone()).await?;
    api.engine.publish(&view.application.org, OperationalEvent::EndpointCreated(facts(view, &endpoint)));
    Ok(EndpointOut::new(api, &endpoint))
}

/// Changes an endpoint inside the transaction that writes it back, so that changes at the same time do not undo each other.
async fn change_endpoint(api: &Api, view: &ApplicationView, endpoint: &Endpoint, change: EndpointChange) -> Result<EndpointOut, Problem> {
    let now = api.now();
    let was_disabled = Arc::new(OnceLock::new());
    let seen = Arc::clone(&was_disabled);
    let write = Box::new(move |endpoint: &mut Endpoint| {
        // A transaction runs its change once.
        let _ = seen.set(endpoint.disabled.is_disabled());
        change.write_to(endpoint);
        endpoint.updated_at = now;
        Ok(())
    });
    let updated = api.store.update_endpoint(view.application.id, endpoint.id, write).await?;
    api.engine.wake(view.application.id, updated.id);
    let publish = |event| api.engine.publish(&view.application.org, event);
    publish(OperationalEvent::EndpointUpdated(facts(view, &updated)));
    match (was_disabled.get().copied().unwrap_or_default(), updated.disabled.is_disabled()) {
        (true, false) => publish(OperationalEvent::EndpointEnabled(facts(view, &updated))),
        (false, true) => publish(OperationalEvent::EndpointDisabled {
            endpoint: facts(view, &updated),
            fail_since: None,
            trigger: DisabledTrigger::Manual,
        }),
        _ => {}
    }
    Ok(EndpointOut::new(api, &updated))
}

impl EndpointOut {
    pub(crate) fn new(api: &Api, endpoint: &Endpoint) -> Self {
        let event_types: Option<Vec<String>> =
            endpoint.event_types.as_ref().map(|patterns| patterns.iter().map(ToString::to_string).collect());
        Self {
            id: api.public(endpoint.id),
            uid: endpoint.uid.as_ref().map(ToString::to_string),
            url: endpoint.url.clone(),
            description: endpoint.description.clone(),
            version: endpoint.version,
            disabled: endpoint.disabled.is_disabled(),
            disabled_by: match endpoint.disabled {
                Disabled::No => None,
                Disabled::ByUser => Some(DisabledBy::User),
                Disabled::Automatically { .. } => Some(DisabledBy::Failures),
            },
            failing_since: match endpoint.disabled {
                Disabled::Automatically { failing_since } => failing_since.map(Time),
                _ => None,
            },
            filter_types: event_types.clone(),
            event_types,
            channels: endpoint.channels.as_ref().map(|channels| channels.iter().map(ToString::to_string).collect()),
            throttle_rate: endpoint.throttle_rate,
            rate_limit: endpoint.throttle_rate,
            metadata: endpoint.metadata.clone(),
            ordered: endpoint.ordered,
            concurrency: endpoint.concurrency,
            retry_schedule: endpoint.retry_schedule.clone().map(RetryScheduleOut),
            created_at: Time(endpoint.created_at),
            updated_at: Time(endpoint.updated_at),
        }
    }
}
