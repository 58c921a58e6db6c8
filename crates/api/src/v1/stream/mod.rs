//! Streams: events in their order, for sinks that take all of them.
//!
//! The events of a stream are the messages of an application of the management tenant, its log. That is made before the stream and deleted after it, so a crash
//! between the two leaves an empty application that nobody sees.

pub(crate) mod event;
pub(crate) mod event_type;
pub(crate) mod sink;

#[cfg(test)]
pub(crate) mod tests;

use axum::extract::State;
use hookpost_domain::application::Metadata;
use hookpost_domain::id::StreamKind;
use hookpost_domain::{Application, Invalid, OrgId, RowId, Stream, Uid, limits};
use hookpost_store::{Cursor, Listed, Named, Order, PageRequest, WriteError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auth::{Caller, Right};
use crate::extract::{Body, Created, CreatedOr, Json, NoContent, Path, Query, present};
use crate::page::{self, ListQuery, Page};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1::sink::{self as sinks, Holder};
use crate::v1::{self, Time};

/// The name of every log, before that of its tenant.
const LOG_OF: &str = "Events of a stream of ";

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct StreamPath {
    /// The id or uid of the stream.
    pub(crate) stream_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamIn {
    /// A name for people.
    #[schemars(length(min = 1))]
    name: String,
    /// Your own identifier; it stands wherever the id could.
    #[schemars(length(min = 1, max = 60), regex(pattern = r"^(?!strm_)[a-zA-Z0-9_-]+$"))]
    uid: Option<String>,
    metadata: Option<Metadata>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamPatch {
    /// (Hookpost's own.)
    name: Option<String>,
    /// The published word for `name` here.
    description: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schemars(length(min = 1, max = 60), regex(pattern = r"^(?!strm_)[a-zA-Z0-9_-]+$"))]
    uid: Option<Option<String>>,
    /// Replaces all metadata.
    metadata: Option<Metadata>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamOut {
    id: String,
    uid: Option<String>,
    name: String,
    metadata: Metadata,
    created_at: Time,
    updated_at: Time,
}

pub(crate) async fn list(State(api): State<Api>, caller: Caller, Query(query): Query<ListQuery>) -> Result<Json<Page<StreamOut>>, Problem> {
    let org = caller.org(Right::Read)?;
    let page = query.request::<StreamKind>(api.store.public_ids(), Order::Ascending)?;
    let Some(page) = page else { return Ok(Json(Page::empty())) };
    let listed: Listed<Stream> = api.store.list(org, RowId::MIN, page::by_row(page)).await?;
    let items = listed.items.iter().map(|stream| (api.public(stream.id), StreamOut::new(&api, stream)));
    Ok(Json(Page::new(items, listed.done)))
}

pub(crate) async fn create(State(api): State<Api>, caller: Caller, Body(input): Body<StreamIn>) -> Result<Created<StreamOut>, Problem> {
    let org = caller.org(Right::Manage)?;
    let fields = input.parse()?;
    let created = create_from(&api, org, fields).await?;
    Ok(Created(StreamOut::new(&api, &created)))
}

pub(crate) async fn get(State(api): State<Api>, caller: Caller, Path(path): Path<StreamPath>) -> Result<Json<StreamOut>, Problem> {
    let stream = caller.stream(&api, &path.stream_id, Right::Read).await?;
    Ok(Json(StreamOut::new(&api, &stream)))
}

pub(crate) async fn upsert(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<StreamPath>,
    Body(input): Body<StreamIn>,
) -> Result<CreatedOr<StreamOut>, Problem> {
    let org = caller.org(Right::Manage)?;
    let fields = input.parse()?;
    match find(&api, org, &path.stream_id).await? {
        Some(stream) => {
            let StreamFields { name, uid, metadata } = fields;
            let change = StreamChange { name: Some(name), uid: Some(uid), metadata: Some(metadata) };
            change_stream(&api, &stream, change).await.map(CreatedOr::Existing)
        }
        None => {
            let created = create_from(&api, org, fields).await?;
            Ok(CreatedOr::Created(StreamOut::new(&api, &created)))
        }
    }
}

pub(crate) async fn patch(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<StreamPath>,
    Body(input): Body<StreamPatch>,
) -> Result<Json<StreamOut>, Problem> {
    let change = input.parse()?;
    caller.org(Right::Manage)?;
    let stream = caller.stream(&api, &path.stream_id, Right::Manage).await?;
    change_stream(&api, &stream, change).await.map(Json)
}

/// With its sinks, and all its events.
pub(crate) async fn delete(State(api): State<Api>, caller: Caller, Path(path): Path<StreamPath>) -> Result<NoContent, Problem> {
    caller.org(Right::Manage)?;
    let stream = caller.stream(&api, &path.stream_id, Right::Manage).await?;
    let gone = sinks::all(&api, &Holder::stream(&stream)).await?;
    api.store.delete::<Stream>(&stream.org, RowId::MIN, stream.id.row()).await?;
    forget_log(&api, &stream).await?;
    sinks::forget(&api, gone).await?;
    Ok(NoContent)
}

/// [`StreamIn`] that keeps every rule.
#[derive(Debug)]
struct StreamFields {
    name: String,
    uid: Option<Uid>,
    metadata: Metadata,
}

#[derive(Debug)]
struct StreamChange {
    name: Option<String>,
    uid: Option<Option<Uid>>,
    metadata: Option<Metadata>,
}

impl StreamIn {
    fn parse(self) -> Result<StreamFields, Problem> {
        let mut wrong = Wrong::in_body();
        let name = wrong.check("name", not_empty(self.name));
        let uid = wrong.optional("uid", self.uid, v1::short_uid::<StreamKind>);
        let metadata = wrong.optional("metadata", self.metadata, v1::metadata).unwrap_or_default();
        let Some(name) = name else { return Err(wrong.problem()) };
        wrong.nothing()?;
        Ok(StreamFields { name, uid, metadata })
    }
}

impl StreamPatch {
    fn parse(self) -> Result<StreamChange, Problem> {
        let mut wrong = Wrong::in_body();
        let (field, name) = match self.name {
            Some(name) => ("name", Some(name)),
            None => ("description", self.description),
        };
        let name = wrong.optional(field, name, not_empty);
        let uid = self.uid.map(|uid| wrong.optional("uid", uid, v1::short_uid::<StreamKind>));
        let metadata = wrong.optional("metadata", self.metadata, v1::metadata);
        wrong.nothing()?;
        Ok(StreamChange { name, uid, metadata })
    }
}

fn not_empty(name: String) -> Result<String, Invalid> {
    if name.is_empty() { Err(Invalid::new("must not be empty")) } else { Ok(name) }
}

async fn find(api: &Api, org: &OrgId, reference: &str) -> Result<Option<Stream>, Problem> {
    let named = Named::parse::<StreamKind>(api.store.public_ids(), reference);
    Ok(api.store.find(org, RowId::MIN, named).await?)
}

async fn create_from(api: &Api, org: &OrgId, fields: StreamFields) -> Result<Stream, WriteError> {
    let now = api.now();
    let log = Application {
        id: api.new_id(now),
        org: OrgId::management(),
        uid: None,
        name: format!("{LOG_OF}{org}"),
        throttle_rate: None,
        metadata: Metadata::new(),
        created_at: now,
        updated_at: now,
    };
    let stream = Stream {
        id: api.new_id(now),
        org: org.clone(),
        uid: fields.uid,
        name: fields.name,
        log: log.id,
        metadata: fields.metadata,
        created_at: now,
        updated_at: now,
    };
    api.store.create_application(log).await?;
    if let Err(refused) = api.store.create(&stream).await {
        forget_log(api, &stream).await?;
        return Err(refused);
    }
    Ok(stream)
}

async fn forget_log(api: &Api, stream: &Stream) -> Result<(), WriteError> {
    match api.store.delete_application(stream.log, api.now()).await {
        // Somebody else came first.
        Err(WriteError::NotFound) => Ok(()),
        deleted => deleted,
    }
}

/// To the management tenant the log of a stream is an application; only the stream's own operations may change it.
pub(crate) async fn refuse_log(api: &Api, application: &Application) -> Result<(), Problem> {
    if application.org.as_str() != OrgId::MANAGEMENT {
        return Ok(());
    }
    let Some(org) = application.name.strip_prefix(LOG_OF).and_then(|org| OrgId::parse(org).ok()) else { return Ok(()) };
    let mut page = PageRequest::first(limits::PAGE_ITEMS_MAX, Order::Ascending);
    loop {
        let listed: Listed<Stream> = api.store.list(&org, RowId::MIN, page.clone()).await?;
        if let Some(stream) = listed.items.iter().find(|stream| stream.log == application.id) {
            return Err(Problem::conflict(format!("This application holds the events of the stream {}.", api.public(stream.id))));
        }
        match listed.items.last() {
            Some(last) if !listed.done => page.cursor = Some(Cursor::After(last.id.row())),
            _ => return Ok(()),
        }
    }
}

async fn change_stream(api: &Api, stream: &Stream, change: StreamChange) -> Result<StreamOut, Problem> {
    let now = api.now();
    let write = move |stream: &mut Stream| {
        if let Some(name) = change.name {
            stream.name = name;
        }
        if let Some(uid) = change.uid {
            stream.uid = uid;
        }
        if let Some(metadata) = change.metadata {
            stream.metadata = metadata;
        }
        stream.updated_at = now;
        Ok(())
    };
    let updated = api.store.update(&stream.org, RowId::MIN, stream.id.row(), write).await?;
    Ok(StreamOut::new(api, &updated))
}

impl StreamOut {
    fn new(api: &Api, stream: &Stream) -> Self {
        Self {
            id: api.public(stream.id),
            uid: stream.uid.as_ref().map(ToString::to_string),
            name: stream.name.clone(),
            metadata: stream.metadata.clone(),
            created_at: Time(stream.created_at),
            updated_at: Time(stream.updated_at),
        }
    }
}
