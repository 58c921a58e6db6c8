//! Event types: the catalogue of what can happen, with optional JSON Schemas per version.

pub(crate) mod import;
mod openapi;
mod yaml;

use axum::extract::State;
use hookpost_domain::{EventType, EventTypeName, Invalid, OrgId, RetrySchedule, Uid};
use hookpost_store::{Listed, WriteError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::auth::{Caller, Right};
use crate::extract::{Body, Created, CreatedOr, Json, NoContent, Path, Query, present};
use crate::page::{self, Ordering, Page};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1::Time;
use crate::v1::retry::{RetryScheduleIn, RetryScheduleOut};

/// How the descriptions of JSON Schemas by version look.
pub(super) type Schemas = Option<serde_json::Map<String, serde_json::Value>>;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct EventTypePath {
    /// The name of the event type.
    event_type_name: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventTypeIn {
    /// `invoice.paid` and the like; groups are separated by dots.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[a-zA-Z0-9\-_.]+$"))]
    name: String,
    description: String,
    #[serde(default)]
    archived: bool,
    #[serde(default)]
    deprecated: bool,
    /// JSON Schemas (draft 7) by version: `{"1": {…}}`.
    schemas: Schemas,
    #[schemars(length(max = 256))]
    group_name: Option<String>,
    /// Portal sessions see the event type only if they have one of these flags.
    feature_flags: Option<Vec<String>>,
    /// The older form of `featureFlags`.
    feature_flag: Option<String>,
}

// The same without the name, which stands in the path. Not flattened into the other: serde would lose the places of errors.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventTypeUpsertIn {
    description: String,
    #[serde(default)]
    archived: bool,
    #[serde(default)]
    deprecated: bool,
    /// JSON Schemas (draft 7) by version: `{"1": {…}}`.
    schemas: Schemas,
    #[schemars(length(max = 256))]
    group_name: Option<String>,
    /// Portal sessions see the event type only if they have one of these flags.
    feature_flags: Option<Vec<String>>,
    /// The older form of `featureFlags`.
    feature_flag: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventTypePatch {
    description: Option<String>,
    archived: Option<bool>,
    deprecated: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    schemas: Option<Schemas>,
    #[serde(default, deserialize_with = "present")]
    group_name: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    feature_flags: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "present")]
    feature_flag: Option<Option<String>>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventTypeOut {
    name: String,
    description: String,
    archived: bool,
    deprecated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Schemas")]
    schemas: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    feature_flags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    feature_flag: Option<String>,
    created_at: Time,
    updated_at: Time,
}

/// What messages of an event type are retried by.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventTypeRetryIn {
    /// `null`: the schedule of the server.
    retry_schedule: Option<RetryScheduleIn>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventTypeRetryOut {
    retry_schedule: Option<RetryScheduleOut>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ListQuery {
    /// How many items a page has at most.
    #[schemars(range(min = 1, max = 250))]
    limit: Option<u64>,
    /// The `iterator` or `prevIterator` of an earlier page.
    iterator: Option<String>,
    /// Event types are always listed by name; taken for compatibility.
    #[expect(dead_code, reason = "read to refuse what is no order")]
    order: Option<Ordering>,
    /// List archived event types too.
    include_archived: Option<bool>,
    /// With the schemas.
    with_content: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct DeleteQuery {
    /// Delete for good. Otherwise the event type is archived.
    expunge: Option<bool>,
}

pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<EventTypeOut>>, Problem> {
    let (org, session) = caller.org_or_session(Right::Read)?;
    let page = page::request_by_name(query.limit, query.iterator.as_deref(), EventTypeName::parse)?;
    let Listed { items, done } = api.store.event_types(org, query.include_archived == Some(true), page).await?;
    // The page was cut before hidden types are left out, so its ends are those of what the store gave.
    let name_of = |event_type: Option<&EventType>| event_type.map(|event_type| event_type.name.to_string());
    let (first, last) = (name_of(items.first()), name_of(items.last()));
    let visible = items.iter().filter(|event_type| session.is_none_or(|session| is_visible(event_type, &session.feature_flags)));
    let data = visible.map(|event_type| EventTypeOut::new(event_type, query.with_content == Some(true))).collect();
    Ok(Json(Page { data, iterator: last, prev_iterator: first.map(|first| format!("-{first}")), done }))
}

pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Body(input): Body<EventTypeIn>,
) -> Result<Created<EventTypeOut>, Problem> {
    let org = caller.org(Right::Manage)?;
    let (name, fields) = input.parse()?;
    let created = match api.store.event_type(org, name.as_str()).await? {
        // Creating what is archived brings it back, as it is described now.
        Some(existing) if existing.archived => replace(&api, org, name.as_str(), fields).await,
        Some(_) => Err(WriteError::Conflict { field: "name" }),
        None => create_from(&api, org, name, fields).await,
    };
    match created {
        Err(WriteError::Conflict { .. }) => {
            Err(Problem::Conflict { code: "event_type_exists", detail: "An event type with this name exists already.".to_owned() })
        }
        created => Ok(Created(EventTypeOut::new(&created?, true))),
    }
}

pub(crate) async fn get(State(api): State<Api>, caller: Caller, Path(path): Path<EventTypePath>) -> Result<Json<EventTypeOut>, Problem> {
    let (org, session) = caller.org_or_session(Right::Read)?;
    let event_type = api.store.event_type(org, &path.event_type_name).await?.ok_or(Problem::NOT_FOUND)?;
    if session.is_some_and(|session| !is_visible(&event_type, &session.feature_flags)) {
        return Err(Problem::NOT_FOUND);
    }
    Ok(Json(EventTypeOut::new(&event_type, true)))
}

pub(crate) async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EventTypePath>,
    Body(input): Body<EventTypeUpsertIn>,
) -> Result<CreatedOr<EventTypeOut>, Problem> {
    let org = caller.org(Right::Manage)?;
    let fields = input.parse()?;
    match replace(&api, org, &path.event_type_name, fields.clone()).await {
        Err(WriteError::NotFound) => {
            let name = EventTypeName::parse(&path.event_type_name).map_err(|Invalid(rule)| Problem::path("event_type_name", rule))?;
            let created = create_from(&api, org, name, fields).await?;
            Ok(CreatedOr::Created(EventTypeOut::new(&created, true)))
        }
        updated => Ok(CreatedOr::Existing(EventTypeOut::new(&updated?, true))),
    }
}

pub(crate) async fn patch(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EventTypePath>,
    Body(input): Body<EventTypePatch>,
) -> Result<Json<EventTypeOut>, Problem> {
    let org = caller.org(Right::Manage)?;
    let fields = input.parse()?;
    let now = api.now();
    let change = Box::new(move |event_type: &mut EventType| {
        fields.write_to(event_type);
        event_type.updated_at = now;
        Ok(())
    });
    let updated = api.store.update_event_type(org, &path.event_type_name, change).await?;
    Ok(Json(EventTypeOut::new(&updated, true)))
}

pub(crate) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EventTypePath>,
    Query(query): Query<DeleteQuery>,
) -> Result<NoContent, Problem> {
    let org = caller.org(Right::Manage)?;
    if query.expunge == Some(true) {
        api.store.delete_event_type(org, &path.event_type_name).await?;
        return Ok(NoContent);
    }
    archive(&api, org, &path.event_type_name).await?;
    Ok(NoContent)
}

async fn archive(api: &Api, org: &OrgId, name: &str) -> Result<(), WriteError> {
    let now = api.now();
    let archive = Box::new(move |event_type: &mut EventType| {
        event_type.archived = true;
        event_type.updated_at = now;
        Ok(())
    });
    api.store.update_event_type(org, name, archive).await.map(drop)
}

pub(crate) async fn get_retry_schedule(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EventTypePath>,
) -> Result<Json<EventTypeRetryOut>, Problem> {
    let org = caller.org(Right::Read)?;
    let event_type = api.store.event_type(org, &path.event_type_name).await?.ok_or(Problem::NOT_FOUND)?;
    Ok(Json(EventTypeRetryOut { retry_schedule: event_type.retry_schedule.clone().map(RetryScheduleOut) }))
}

pub(crate) async fn set_retry_schedule(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EventTypePath>,
    Body(input): Body<EventTypeRetryIn>,
) -> Result<Json<EventTypeRetryOut>, Problem> {
    let org = caller.org(Right::Manage)?;
    let retry_schedule = input.parse()?;
    let updated = write_retry_schedule(&api, org, &path.event_type_name, retry_schedule).await?;
    Ok(Json(EventTypeRetryOut { retry_schedule: updated.retry_schedule.map(RetryScheduleOut) }))
}

pub(crate) async fn write_retry_schedule(
    api: &Api,
    org: &OrgId,
    name: &str,
    retry_schedule: Option<RetrySchedule>,
) -> Result<EventType, WriteError> {
    let now = api.now();
    let change = Box::new(move |event_type: &mut EventType| {
        event_type.retry_schedule = retry_schedule;
        event_type.updated_at = now;
        Ok(())
    });
    api.store.update_event_type(org, name, change).await
}

/// Says whether anything had to be changed.
pub(crate) async fn create_or_replace(api: &Api, org: &OrgId, name: EventTypeName, fields: EventTypeFields) -> Result<bool, WriteError> {
    match api.store.event_type(org, name.as_str()).await? {
        Some(existing) if fields.are_of(&existing) => Ok(false),
        Some(_) => replace(api, org, name.as_str(), fields).await.map(|_| true),
        None => match create_from(api, org, name.clone(), fields.clone()).await {
            // Somebody else was faster.
            Err(WriteError::Conflict { .. }) => replace(api, org, name.as_str(), fields).await.map(|_| true),
            created => created.map(|_| true),
        },
    }
}

/// A type without flags is for everyone.
fn is_visible(event_type: &EventType, flags: &[String]) -> bool {
    event_type.feature_flags.is_empty() || event_type.feature_flags.iter().any(|flag| flags.contains(flag))
}

async fn create_from(api: &Api, org: &OrgId, name: EventTypeName, fields: EventTypeFields) -> Result<EventType, WriteError> {
    let now = api.now();
    let event_type = EventType {
        id: api.new_id(now),
        org: org.clone(),
        name,
        description: fields.description,
        archived: fields.archived,
        deprecated: fields.deprecated,
        schemas: fields.schemas,
        group_name: fields.group_name,
        feature_flags: fields.feature_flags,
        retry_schedule: None,
        created_at: now,
        updated_at: now,
    };
    api.store.create_event_type(event_type.clone()).await?;
    Ok(event_type)
}

async fn replace(api: &Api, org: &OrgId, name: &str, fields: EventTypeFields) -> Result<EventType, WriteError> {
    let now = api.now();
    let change = Box::new(move |event_type: &mut EventType| {
        event_type.description = fields.description;
        event_type.archived = fields.archived;
        event_type.deprecated = fields.deprecated;
        event_type.schemas = fields.schemas;
        event_type.group_name = fields.group_name;
        event_type.feature_flags = fields.feature_flags;
        event_type.updated_at = now;
        Ok(())
    });
    api.store.update_event_type(org, name, change).await
}

/// [`EventTypeUpsertIn`] that keeps every rule.
#[derive(Debug, Clone)]
pub(crate) struct EventTypeFields {
    pub(super) description: String,
    pub(super) archived: bool,
    pub(super) deprecated: bool,
    pub(super) schemas: Option<String>,
    pub(super) group_name: Option<String>,
    pub(super) feature_flags: Vec<String>,
}

impl EventTypeFields {
    pub(crate) fn are_of(&self, event_type: &EventType) -> bool {
        self.description == event_type.description
            && self.archived == event_type.archived
            && self.deprecated == event_type.deprecated
            && self.schemas == event_type.schemas
            && self.group_name == event_type.group_name
            && self.feature_flags == event_type.feature_flags
    }
}

impl EventTypeIn {
    pub(super) fn parse(self) -> Result<(EventTypeName, EventTypeFields), Problem> {
        let mut wrong = Wrong::in_body();
        let name = wrong.check("name", EventTypeName::parse(&self.name));
        let rest = EventTypeUpsertIn {
            description: self.description,
            archived: self.archived,
            deprecated: self.deprecated,
            schemas: self.schemas,
            group_name: self.group_name,
            feature_flags: self.feature_flags,
            feature_flag: self.feature_flag,
        };
        let fields = rest.check(&mut wrong);
        match name {
            Some(name) => wrong.nothing().map(|()| (name, fields)),
            None => Err(wrong.problem()),
        }
    }
}

impl EventTypeUpsertIn {
    fn parse(self) -> Result<EventTypeFields, Problem> {
        let mut wrong = Wrong::in_body();
        let fields = self.check(&mut wrong);
        wrong.nothing().map(|()| fields)
    }

    fn check(self, wrong: &mut Wrong) -> EventTypeFields {
        EventTypeFields {
            description: self.description,
            archived: self.archived,
            deprecated: self.deprecated,
            schemas: check_schemas(wrong, self.schemas),
            group_name: wrong.optional("groupName", self.group_name, name),
            feature_flags: check_flags(wrong, self.feature_flags, self.feature_flag),
        }
    }
}

/// [`EventTypePatch`] that keeps every rule.
#[derive(Debug)]
struct EventTypeChange {
    description: Option<String>,
    archived: Option<bool>,
    deprecated: Option<bool>,
    schemas: Option<Option<String>>,
    group_name: Option<Option<String>>,
    feature_flags: Option<Vec<String>>,
}

impl EventTypePatch {
    fn parse(self) -> Result<EventTypeChange, Problem> {
        let mut wrong = Wrong::in_body();
        let flags_given = self.feature_flags.is_some() || self.feature_flag.is_some();
        let flags = check_flags(&mut wrong, self.feature_flags.flatten(), self.feature_flag.flatten());
        let change = EventTypeChange {
            description: self.description,
            archived: self.archived,
            deprecated: self.deprecated,
            schemas: self.schemas.map(|schemas| check_schemas(&mut wrong, schemas)),
            group_name: self.group_name.map(|group| wrong.optional("groupName", group, name)),
            feature_flags: flags_given.then_some(flags),
        };
        wrong.nothing().map(|()| change)
    }
}

impl EventTypeChange {
    fn write_to(self, event_type: &mut EventType) {
        if let Some(description) = self.description {
            event_type.description = description;
        }
        if let Some(archived) = self.archived {
            event_type.archived = archived;
        }
        if let Some(deprecated) = self.deprecated {
            event_type.deprecated = deprecated;
        }
        if let Some(schemas) = self.schemas {
            event_type.schemas = schemas;
        }
        if let Some(group_name) = self.group_name {
            event_type.group_name = group_name;
        }
        if let Some(feature_flags) = self.feature_flags {
            event_type.feature_flags = feature_flags;
        }
    }
}

impl EventTypeRetryIn {
    fn parse(self) -> Result<Option<RetrySchedule>, Problem> {
        let mut wrong = Wrong::in_body();
        let schedule = wrong.optional("retrySchedule", self.retry_schedule, RetryScheduleIn::parse);
        wrong.nothing().map(|()| schedule)
    }
}

/// Groups and flags are written like uids.
pub(super) fn name(text: String) -> Result<String, Invalid> {
    Uid::parse(&text).map(|_| text)
}

fn check_flags(wrong: &mut Wrong, flags: Option<Vec<String>>, flag: Option<String>) -> Vec<String> {
    match (flags, flag) {
        (Some(flags), _) => wrong.each("featureFlags", flags, name),
        (None, flag) => wrong.optional("featureFlag", flag, name).into_iter().collect(),
    }
}

pub(super) fn check_schemas(wrong: &mut Wrong, schemas: Schemas) -> Option<String> {
    let schemas = schemas?;
    for (version, schema) in &schemas {
        if let Err(error) = jsonschema::draft7::meta::validate(schema) {
            let place = error.instance_path.to_string();
            wrong.add(&format!("schemas.{version}"), format!("is not a JSON Schema of draft 7: at `{place}`: {error}"));
        }
    }
    serde_json::to_string(&schemas).ok()
}

impl EventTypeOut {
    pub(super) fn new(event_type: &EventType, with_schemas: bool) -> Self {
        let schemas = event_type.schemas.as_ref().filter(|_| with_schemas);
        Self {
            name: event_type.name.to_string(),
            description: event_type.description.clone(),
            archived: event_type.archived,
            deprecated: event_type.deprecated,
            schemas: schemas.and_then(|schemas| RawValue::from_string(schemas.clone()).ok()),
            group_name: event_type.group_name.clone(),
            feature_flags: event_type.feature_flags.clone(),
            feature_flag: event_type.feature_flags.first().cloned(),
            created_at: Time(event_type.created_at),
            updated_at: Time(event_type.updated_at),
        }
    }
}
