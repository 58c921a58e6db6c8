//! Event types: the catalogue of what can happen, with optional JSON Schemas per version.

mod fields;
pub(crate) mod import;
mod openapi;
pub(crate) mod retry_schedule;
mod yaml;

use axum::extract::State;
use hookpost_domain::{EventType, EventTypeName, Invalid, OrgId};
use hookpost_store::{Listed, WriteError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub(crate) use self::fields::EventTypeFields;
use crate::auth::{Caller, Right};
use crate::extract::{Body, Created, CreatedOr, Json, NoContent, Path, Query, present};
use crate::page::{self, Ordering, Page};
use crate::problem::Problem;
use crate::state::Api;
use crate::v1::Time;

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
