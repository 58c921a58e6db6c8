//! The catalogue of event types of streams. (Those of applications are another.)

use axum::extract::State;
use hookpost_domain::{EventTypeName, Invalid, OrgId, RowId, StreamEventType, limits};
use hookpost_store::{Cursor, Listed, Named, Order, PageRequest, WriteError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auth::{Caller, Right};
use crate::extract::{Body, Created, CreatedOr, Json, NoContent, Path, Query, present};
use crate::page::{self, Ordering, Page};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1::Time;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct EventTypePath {
    /// The name of the event type.
    name: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamEventTypeIn {
    #[schemars(length(max = 256), regex(pattern = r"^[a-zA-Z0-9\-_.]+$"))]
    name: String,
    description: Option<String>,
    /// Only portal sessions with one of these flags see it. Left out or empty: all do.
    feature_flags: Option<Vec<String>>,
    deprecated: Option<bool>,
    archived: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamEventTypePatch {
    #[serde(default, deserialize_with = "present")]
    description: Option<Option<String>>,
    /// Replaces all flags.
    #[serde(default, deserialize_with = "present")]
    feature_flags: Option<Option<Vec<String>>>,
    deprecated: Option<bool>,
    archived: Option<bool>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamEventTypeOut {
    name: String,
    description: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    feature_flags: Vec<String>,
    deprecated: bool,
    archived: bool,
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
    /// By name.
    order: Option<Ordering>,
    /// List archived event types too.
    include_archived: Option<bool>,
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
) -> Result<Json<Page<StreamEventTypeOut>>, Problem> {
    let (org, session) = caller.org_or_stream_session(Right::Read)?;
    let mut page = page::request_by_name(query.limit, query.iterator.as_deref(), EventTypeName::parse)?;
    page.order = query.order.map_or(Order::Ascending, Order::from);
    let mut found = all(&api, org).await?;
    found.retain(|event_type| {
        (query.include_archived == Some(true) || !event_type.archived)
            && session.is_none_or(|session| {
                event_type.feature_flags.is_empty() || event_type.feature_flags.iter().any(|flag| session.feature_flags.contains(flag))
            })
    });
    found.sort_by(|one, other| one.name.cmp(&other.name));
    let listed = page.cut(found.iter().map(|event_type| (event_type.name.clone(), event_type)));
    let items = listed.items.into_iter().map(|event_type| (event_type.name.to_string(), StreamEventTypeOut::new(event_type)));
    Ok(Json(Page::new(items, listed.done)))
}

pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Body(input): Body<StreamEventTypeIn>,
) -> Result<Created<StreamEventTypeOut>, Problem> {
    let org = caller.org(Right::Manage)?;
    let (name, change) = input.parse()?;
    let created = match find(&api, org, name.as_str()).await? {
        // Creating what is archived brings it back, as it is described now.
        Some(existing) if existing.archived => change_event_type(&api, &existing, change).await,
        Some(_) => Err(WriteError::Conflict { field: "name" }),
        None => create_from(&api, org, name, change).await,
    };
    match created {
        Err(WriteError::Conflict { .. }) => {
            Err(Problem::Conflict { code: "event_type_exists", detail: "An event type with this name exists already.".to_owned() })
        }
        created => Ok(Created(StreamEventTypeOut::new(&created?))),
    }
}

pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EventTypePath>,
) -> Result<Json<StreamEventTypeOut>, Problem> {
    let org = caller.org(Right::Read)?;
    let found = find(&api, org, &path.name).await?.ok_or(Problem::NOT_FOUND)?;
    Ok(Json(StreamEventTypeOut::new(&found)))
}

/// Replaces the event type of the path, or creates it. The name in the body may give it another.
pub(crate) async fn upsert(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EventTypePath>,
    Body(input): Body<StreamEventTypeIn>,
) -> Result<CreatedOr<StreamEventTypeOut>, Problem> {
    let org = caller.org(Right::Manage)?;
    let (name, mut change) = input.parse()?;
    match find(&api, org, &path.name).await? {
        Some(existing) => {
            change.name = Some(name);
            let changed = change_event_type(&api, &existing, change).await?;
            Ok(CreatedOr::Existing(StreamEventTypeOut::new(&changed)))
        }
        None if name.as_str() != path.name => {
            Err(Problem::body("name", "must be the name in the path, where the event type is to be created"))
        }
        None => {
            let created = create_from(&api, org, name, change).await?;
            Ok(CreatedOr::Created(StreamEventTypeOut::new(&created)))
        }
    }
}

pub(crate) async fn patch(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EventTypePath>,
    Body(input): Body<StreamEventTypePatch>,
) -> Result<Json<StreamEventTypeOut>, Problem> {
    let org = caller.org(Right::Manage)?;
    let change = input.parse()?;
    let existing = find(&api, org, &path.name).await?.ok_or(Problem::NOT_FOUND)?;
    let changed = change_event_type(&api, &existing, change).await?;
    Ok(Json(StreamEventTypeOut::new(&changed)))
}

pub(crate) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EventTypePath>,
    Query(query): Query<DeleteQuery>,
) -> Result<NoContent, Problem> {
    let org = caller.org(Right::Manage)?;
    let existing = find(&api, org, &path.name).await?.ok_or(Problem::NOT_FOUND)?;
    if query.expunge == Some(true) {
        api.store.delete::<StreamEventType>(org, RowId::MIN, existing.id.row()).await?;
    } else {
        change_event_type(&api, &existing, EventTypeChange { archived: Some(true), ..EventTypeChange::default() }).await?;
    }
    Ok(NoContent)
}

#[derive(Debug, Default)]
struct EventTypeChange {
    name: Option<EventTypeName>,
    description: Option<Option<String>>,
    feature_flags: Option<Vec<String>>,
    deprecated: Option<bool>,
    archived: Option<bool>,
}

impl StreamEventTypeIn {
    fn parse(self) -> Result<(EventTypeName, EventTypeChange), Problem> {
        let mut wrong = Wrong::in_body();
        let name = wrong.check("name", EventTypeName::parse(&self.name));
        let feature_flags = wrong.each("featureFlags", self.feature_flags.unwrap_or_default(), flag);
        let Some(name) = name else { return Err(wrong.problem()) };
        wrong.nothing()?;
        let change = EventTypeChange {
            name: None,
            description: Some(self.description),
            feature_flags: Some(feature_flags),
            deprecated: Some(self.deprecated.unwrap_or_default()),
            archived: Some(self.archived.unwrap_or_default()),
        };
        Ok((name, change))
    }
}

impl StreamEventTypePatch {
    fn parse(self) -> Result<EventTypeChange, Problem> {
        let mut wrong = Wrong::in_body();
        let feature_flags = self.feature_flags.map(|flags| wrong.each("featureFlags", flags.unwrap_or_default(), flag));
        wrong.nothing()?;
        Ok(EventTypeChange {
            name: None,
            description: self.description,
            feature_flags,
            deprecated: self.deprecated,
            archived: self.archived,
        })
    }
}

fn flag(text: String) -> Result<String, Invalid> {
    // The rule is the same as for names.
    EventTypeName::parse(&text).map(|_| text)
}

async fn find(api: &Api, org: &OrgId, name: &str) -> Result<Option<StreamEventType>, Problem> {
    Ok(api.store.find(org, RowId::MIN, Named::Name(name)).await?)
}

/// Shelves go by row, and this list by name. There are hundreds of them at most.
async fn all(api: &Api, org: &OrgId) -> Result<Vec<StreamEventType>, Problem> {
    let mut found: Vec<StreamEventType> = Vec::new();
    let mut page = PageRequest::first(limits::PAGE_ITEMS_MAX, Order::Ascending);
    loop {
        let listed: Listed<StreamEventType> = api.store.list(org, RowId::MIN, page.clone()).await?;
        let last = listed.items.last().map(|event_type| event_type.id.row());
        found.extend(listed.items);
        match last {
            Some(last) if !listed.done => page.cursor = Some(Cursor::After(last)),
            _ => return Ok(found),
        }
    }
}

async fn create_from(api: &Api, org: &OrgId, name: EventTypeName, change: EventTypeChange) -> Result<StreamEventType, WriteError> {
    let now = api.now();
    let mut event_type = StreamEventType {
        id: api.new_id(now),
        org: org.clone(),
        name,
        description: None,
        feature_flags: Vec::new(),
        archived: false,
        deprecated: false,
        created_at: now,
        updated_at: now,
    };
    change.write_to(&mut event_type);
    api.store.create(&event_type).await?;
    Ok(event_type)
}

async fn change_event_type(api: &Api, existing: &StreamEventType, change: EventTypeChange) -> Result<StreamEventType, WriteError> {
    let now = api.now();
    let write = move |event_type: &mut StreamEventType| {
        change.write_to(event_type);
        event_type.updated_at = now;
        Ok(())
    };
    api.store.update(&existing.org, RowId::MIN, existing.id.row(), write).await
}

impl EventTypeChange {
    fn write_to(self, event_type: &mut StreamEventType) {
        if let Some(name) = self.name {
            event_type.name = name;
        }
        if let Some(description) = self.description {
            event_type.description = description;
        }
        if let Some(feature_flags) = self.feature_flags {
            event_type.feature_flags = feature_flags;
        }
        if let Some(deprecated) = self.deprecated {
            event_type.deprecated = deprecated;
        }
        if let Some(archived) = self.archived {
            event_type.archived = archived;
        }
    }
}

impl StreamEventTypeOut {
    fn new(event_type: &StreamEventType) -> Self {
        Self {
            name: event_type.name.to_string(),
            description: event_type.description.clone(),
            feature_flags: event_type.feature_flags.clone(),
            deprecated: event_type.deprecated,
            archived: event_type.archived,
            created_at: Time(event_type.created_at),
            updated_at: Time(event_type.updated_at),
        }
    }
}
