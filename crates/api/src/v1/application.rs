//! Applications: one customer of a tenant each, with its endpoints and messages.

use std::sync::Arc;

use axum::extract::State;
use hookpost_domain::application::Metadata;
use hookpost_domain::id::ApplicationKind;
use hookpost_domain::{Application, ApplicationId, Endpoint, OrgId, Uid, limits};
use hookpost_store::history::ScannedPage;
use hookpost_store::{ApplicationView, Order, PageRequest, Reference, WriteError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auth::{Caller, Right};
use crate::extract::{Body, CreatedOr, Json, NoContent, Path, Query, present};
use crate::ingest::source;
use crate::page::{self, Ordering, Page};
use crate::problem::{FieldError, Problem, Wrong};
use crate::state::Api;
use crate::v1::sink::{self, Holder};
use crate::v1::statistics::is_play;
use crate::v1::{self, Time, stream, window};

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ApplicationPath {
    /// The id or uid of the application.
    pub(crate) app_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApplicationIn {
    /// A name for people.
    #[schemars(length(min = 1))]
    pub(crate) name: String,
    /// Messages a second that all endpoints of the application together may get.
    #[schemars(range(min = 1))]
    pub(crate) throttle_rate: Option<u16>,
    /// Your own identifier; it stands wherever the id could.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[a-zA-Z0-9\-_.]+$"))]
    pub(crate) uid: Option<String>,
    #[serde(default)]
    pub(crate) metadata: Option<Metadata>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApplicationPatch {
    pub(crate) name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) throttle_rate: Option<Option<u16>>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) uid: Option<Option<String>>,
    /// Replaces all metadata.
    pub(crate) metadata: Option<Metadata>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApplicationOut {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    throttle_rate: Option<u16>,
    metadata: Metadata,
    created_at: Time,
    updated_at: Time,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ListQuery {
    /// How many items a page has at most.
    #[schemars(range(min = 1, max = 250))]
    limit: Option<u64>,
    /// The `iterator` or `prevIterator` of an earlier page.
    iterator: Option<String>,
    order: Option<Ordering>,
    /// Leave out applications without endpoints. Default: false.
    exclude_apps_with_no_endpoints: Option<bool>,
    /// Leave out applications of which every endpoint is disabled. Default: false.
    exclude_apps_with_disabled_endpoints: Option<bool>,
    /// Leave out applications of which every endpoint is at `play.svix.com`. Default: false.
    exclude_apps_with_svix_play_endpoints: Option<bool>,
}

impl ListQuery {
    fn is_filter(&self) -> bool {
        let excludes =
            [self.exclude_apps_with_no_endpoints, self.exclude_apps_with_disabled_endpoints, self.exclude_apps_with_svix_play_endpoints];
        excludes.contains(&Some(true))
    }

    fn wants(&self, view: &ApplicationView) -> bool {
        let all = |is: fn(&Endpoint) -> bool| !view.endpoints.is_empty() && view.endpoints.iter().all(|endpoint| is(endpoint));
        !(self.exclude_apps_with_no_endpoints == Some(true) && view.endpoints.is_empty()
            || self.exclude_apps_with_disabled_endpoints == Some(true) && all(|endpoint| endpoint.disabled.is_disabled())
            || self.exclude_apps_with_svix_play_endpoints == Some(true) && all(is_play))
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct CreateQuery {
    /// Answer with the application that has this uid, if there is one.
    get_if_exists: Option<bool>,
}

pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<ApplicationOut>>, Problem> {
    let org = caller.org(Right::Read)?;
    let order = query.order.map_or(Order::Ascending, Order::from);
    let Some(page) = page::request::<ApplicationKind>(api.store.public_ids(), query.limit, query.iterator.as_deref(), order)? else {
        return Ok(Json(Page::empty()));
    };
    if query.is_filter() {
        return list_filtered(&api, org, &query, page).await.map(Json);
    }
    let listed = api.store.applications(org, page).await?;
    let items = listed.items.iter().map(|application| (api.public(application.id), ApplicationOut::new(&api, application)));
    Ok(Json(Page::new(items, listed.done)))
}

/// Looks at so many applications and no more. A page that ends before it is full says where to go on.
async fn list_filtered(
    api: &Api,
    org: &OrgId,
    query: &ListQuery,
    page: PageRequest<ApplicationId>,
) -> Result<Page<ApplicationOut>, Problem> {
    let backwards = window::goes_backwards(&page);
    let limit = page.limit;
    let mut listed = api.store.applications(org, PageRequest { limit: limits::PAGE_ITEMS_MAX, ..page }).await?;
    // From the cursor on, whichever way it goes.
    if backwards {
        listed.items.reverse();
    }
    let next = listed.items.last().map(|application| application.id).filter(|_| !listed.done);
    let mut found = ScannedPage { items: Vec::new(), done: listed.done, next };
    for application in listed.items {
        let Some(view) = api.store.application_by_id(application.id).await?.filter(|view| query.wants(view)) else { continue };
        if found.items.len() == limit {
            (found.done, found.next) = (false, None);
            break;
        }
        found.items.push(view);
    }
    if backwards {
        found.items.reverse();
    }
    Ok(window::answer(api, backwards, found, |view| (view.application.id, ApplicationOut::new(api, &view.application))))
}

pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<CreateQuery>,
    Body(input): Body<ApplicationIn>,
) -> Result<CreatedOr<ApplicationOut>, Problem> {
    let org = caller.org(Right::Manage)?;
    let fields = input.parse()?;
    let uid = fields.uid.clone().filter(|_| query.get_if_exists == Some(true));
    if let Some(existing) = find(&api, org, uid.as_ref()).await? {
        return Ok(CreatedOr::Existing(existing));
    }
    match create_from(&api, org, fields).await {
        // Somebody else was faster.
        Err(WriteError::Conflict { .. }) if uid.is_some() => match find(&api, org, uid.as_ref()).await? {
            Some(existing) => Ok(CreatedOr::Existing(existing)),
            None => Err(Problem::conflict("An application with this uid exists already.")),
        },
        created => Ok(CreatedOr::Created(ApplicationOut::new(&api, &created?))),
    }
}

async fn find(api: &Api, org: &OrgId, uid: Option<&Uid>) -> Result<Option<ApplicationOut>, Problem> {
    let Some(uid) = uid else { return Ok(None) };
    let view = api.store.application(org, Reference::Uid(uid.as_str())).await?;
    Ok(view.map(|view| ApplicationOut::new(api, &view.application)))
}

pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ApplicationPath>,
) -> Result<Json<ApplicationOut>, Problem> {
    let view = caller.application(&api, &path.app_id, Right::Read).await?;
    Ok(Json(ApplicationOut::new(&api, &view.application)))
}

pub(crate) async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ApplicationPath>,
    Body(input): Body<ApplicationIn>,
) -> Result<CreatedOr<ApplicationOut>, Problem> {
    let org = caller.org(Right::Manage)?;
    let fields = input.parse()?;
    let reference = Reference::parse(api.store.public_ids(), &path.app_id);
    let Some(view) = api.store.application(org, reference).await? else {
        let created = create_from(&api, org, fields).await?;
        return Ok(CreatedOr::Created(ApplicationOut::new(&api, &created)));
    };
    stream::refuse_log(&api, &view.application).await?;
    let now = api.now();
    let change = Box::new(move |application: &mut Application| {
        fields.write_to(application);
        application.updated_at = now;
        Ok(())
    });
    let updated = api.store.update_application(view.application.id, change).await?;
    Ok(CreatedOr::Existing(ApplicationOut::new(&api, &updated)))
}

pub(crate) async fn patch(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ApplicationPath>,
    Body(input): Body<ApplicationPatch>,
) -> Result<Json<ApplicationOut>, Problem> {
    caller.org(Right::Manage)?;
    let fields = input.parse()?;
    let view = caller.application(&api, &path.app_id, Right::Manage).await?;
    stream::refuse_log(&api, &view.application).await?;
    let now = api.now();
    let change = Box::new(move |application: &mut Application| {
        fields.write_to(application);
        application.updated_at = now;
        Ok(())
    });
    let updated = api.store.update_application(view.application.id, change).await?;
    Ok(Json(ApplicationOut::new(&api, &updated)))
}

pub(crate) async fn delete(State(api): State<Api>, caller: Caller, Path(path): Path<ApplicationPath>) -> Result<NoContent, Problem> {
    let view = caller.application(&api, &path.app_id, Right::Manage).await?;
    source::refuse_fed(&api, &view.application).await?;
    stream::refuse_log(&api, &view.application).await?;
    let destinations = sink::all(&api, &Holder::application(&view)).await?;
    api.store.delete_application(view.application.id, api.now()).await?;
    sink::forget(&api, destinations).await?;
    Ok(NoContent)
}

/// [`ApplicationIn`] that keeps every rule.
#[derive(Debug)]
struct ApplicationFields {
    name: String,
    uid: Option<Uid>,
    throttle_rate: Option<u16>,
    metadata: Metadata,
}

impl ApplicationIn {
    fn parse(self) -> Result<ApplicationFields, Problem> {
        let mut wrong = Wrong::in_body();
        if self.name.is_empty() {
            wrong.add("name", "must not be empty");
        }
        let uid = wrong.optional("uid", self.uid, v1::uid::<ApplicationKind>);
        let throttle_rate = wrong.optional("throttleRate", self.throttle_rate, v1::rate);
        let metadata = wrong.optional("metadata", self.metadata, v1::metadata).unwrap_or_default();
        wrong.nothing()?;
        Ok(ApplicationFields { name: self.name, uid, throttle_rate, metadata })
    }
}

impl ApplicationFields {
    fn write_to(self, application: &mut Application) {
        application.name = self.name;
        application.uid = self.uid;
        application.throttle_rate = self.throttle_rate;
        application.metadata = self.metadata;
    }
}

/// The application of a path; or, where it does not exist and the request describes it, a new one.
pub(crate) async fn get_or_create(
    api: &Api,
    caller: &Caller,
    reference: &str,
    right: Right,
    input: Option<ApplicationIn>,
) -> Result<Arc<ApplicationView>, Problem> {
    match (caller.application(api, reference, right).await, input) {
        (Err(Problem::APPLICATION_NOT_FOUND), Some(input)) => create_of_path(api, caller, reference, input).await,
        (found, _) => found,
    }
}

/// Creates the application that the path names by its uid, as the field `application` of the request describes it. Takes the right to.
pub(crate) async fn create_of_path(
    api: &Api,
    caller: &Caller,
    reference: &str,
    input: ApplicationIn,
) -> Result<Arc<ApplicationView>, Problem> {
    let org = caller.org(Right::Manage)?;
    let fields = input.parse().map_err(|problem| problem.inside("application"))?;
    check_uid_is_of_path(fields.uid.as_ref().map(Uid::as_str), reference)?;
    match create_from(api, org, fields).await {
        // A conflict means that somebody else was faster, and the application is there.
        Ok(_) | Err(WriteError::Conflict { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    api.store.application(org, Reference::Uid(reference)).await?.ok_or(Problem::APPLICATION_NOT_FOUND)
}

/// The types are those of Svix, which clients may look at.
fn check_uid_is_of_path(uid: Option<&str>, reference: &str) -> Result<(), Problem> {
    let (msg, r#type) = match uid {
        Some(uid) if uid == reference => return Ok(()),
        Some(_) => ("must be the uid in the path", "application_uid_mismatch"),
        None => ("is required to create the application, and must be the uid in the path", "application_uid_missing"),
    };
    let loc = ["body", "application", "uid"].map(str::to_owned).to_vec();
    Err(Problem::Invalid(vec![FieldError { loc, msg: msg.to_owned(), r#type }]))
}

async fn create_from(api: &Api, org: &OrgId, fields: ApplicationFields) -> Result<Application, WriteError> {
    let now = api.now();
    let application = Application {
        id: api.new_id(now),
        org: org.clone(),
        uid: fields.uid,
        name: fields.name,
        throttle_rate: fields.throttle_rate,
        metadata: fields.metadata,
        created_at: now,
        updated_at: now,
    };
    api.store.create_application(application.clone()).await?;
    Ok(application)
}

/// [`ApplicationPatch`] that keeps every rule.
#[derive(Debug)]
struct ApplicationChange {
    name: Option<String>,
    uid: Option<Option<Uid>>,
    throttle_rate: Option<Option<u16>>,
    metadata: Option<Metadata>,
}

impl ApplicationPatch {
    fn parse(self) -> Result<ApplicationChange, Problem> {
        let mut wrong = Wrong::in_body();
        if self.name.as_ref().is_some_and(String::is_empty) {
            wrong.add("name", "must not be empty");
        }
        let uid = self.uid.map(|uid| wrong.optional("uid", uid, v1::uid::<ApplicationKind>));
        let throttle_rate = self.throttle_rate.map(|rate| wrong.optional("throttleRate", rate, v1::rate));
        let metadata = wrong.optional("metadata", self.metadata, v1::metadata);
        wrong.nothing()?;
        Ok(ApplicationChange { name: self.name, uid, throttle_rate, metadata })
    }
}

impl ApplicationChange {
    fn write_to(self, application: &mut Application) {
        if let Some(name) = self.name {
            application.name = name;
        }
        if let Some(uid) = self.uid {
            application.uid = uid;
        }
        if let Some(throttle_rate) = self.throttle_rate {
            application.throttle_rate = throttle_rate;
        }
        if let Some(metadata) = self.metadata {
            application.metadata = metadata;
        }
    }
}

impl ApplicationOut {
    pub(crate) fn new(api: &Api, application: &Application) -> Self {
        Self {
            id: api.public(application.id),
            uid: application.uid.as_ref().map(ToString::to_string),
            name: application.name.clone(),
            throttle_rate: application.throttle_rate,
            metadata: application.metadata.clone(),
            created_at: Time(application.created_at),
            updated_at: Time(application.updated_at),
        }
    }
}
