//! Sources: what clients say of one and see of it, and the life of one.
//!
//! `disabled`, `application` and `rules` are Hookpost's own: clients that do not know them cannot lose them by a `PUT`. The same goes for the
//! `config` and `type` of a `PATCH`.

mod fields;

use std::sync::Arc;

use axum::extract::State;
use hookpost_domain::application::Metadata;
use hookpost_domain::id::SourceKind as SourceIdKind;
use hookpost_domain::source::{Mistake, SourceKind, SourceTokens};
use hookpost_domain::{Application, OrgId, Source, limits};
use hookpost_store::{Cursor, Order, PageRequest, Reference};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::rules::{self, Rules};
use super::{SourcePath, kind, token};
use crate::auth::{Caller, Right};
use crate::door::PreparedSource;
use crate::extract::{Body, Created, CreatedOr, Json, NoContent, Path, Query, present};
use crate::page::{ListQuery, Page};
use crate::problem::Problem;
use crate::state::Api;
use crate::v1::Time;

use fields::{NewSource, SourceChange};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IngestSourceIn {
    /// A name for people.
    #[schemars(length(min = 2, max = 256))]
    name: String,
    /// Your own identifier; it stands wherever the id could.
    #[schemars(length(min = 1, max = 60), regex(pattern = r"^[a-zA-Z0-9_-]+$"))]
    uid: Option<String>,
    metadata: Option<Metadata>,
    /// Whose webhooks it takes, or how else messages come about: a type of Svix, the name of a provider, or `http-poll`.
    #[schemars(schema_with = "kind::schema_of_names")]
    r#type: String,
    /// Secrets and settings of the type: `secret`, `publicKey`, `verifyToken` and the like. `GET /ingest/api/v1/provider` says which.
    #[schemars(extend("type" = "object"))]
    config: Option<Map<String, Value>>,
    /// What is asked of a request beyond its signature, and what is made of it. (Hookpost's own.)
    rules: Option<Rules>,
    /// A disabled source turns every request away. (Hookpost's own.)
    disabled: Option<bool>,
    /// The id or uid of the application whose messages it makes. Left out: one is made for it, and goes with it. (Hookpost's own.)
    application: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IngestSourcePatch {
    #[schemars(length(min = 2, max = 256))]
    name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    uid: Option<Option<String>>,
    /// Replaces all metadata.
    metadata: Option<Metadata>,
    /// Another type, with its whole `config`. (Hookpost's own.)
    r#type: Option<String>,
    /// The settings to change; what is not named stays, `null` removes. (Hookpost's own.)
    #[schemars(extend("type" = "object"))]
    config: Option<Map<String, Value>>,
    /// Replaces all rules. (Hookpost's own.)
    rules: Option<Rules>,
    /// (Hookpost's own.)
    disabled: Option<bool>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IngestSourceOut {
    id: String,
    uid: Option<String>,
    name: String,
    r#type: String,
    /// What of the settings is not secret.
    config: Map<String, Value>,
    /// Where the provider sends its webhooks to. Whoever knows it may knock. `null` where nobody calls: `cron`, `http-poll`.
    ingest_url: Option<String>,
    metadata: Metadata,
    /// The application whose messages it makes. (Hookpost's own.)
    application_id: String,
    /// (Hookpost's own.)
    disabled: bool,
    /// (Hookpost's own.)
    rules: Rules,
    created_at: Time,
    updated_at: Time,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct UpsertQuery {
    /// Check everything and answer as if it had been done, but do nothing. `updatedAt` is another one where something would change. (Hookpost's own.)
    dry_run: Option<bool>,
}

pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<IngestSourceOut>>, Problem> {
    let org = caller.org(Right::Read)?;
    let Some(page) = query.request::<SourceIdKind>(api.store.public_ids(), Order::Ascending)? else {
        return Ok(Json(Page::empty()));
    };
    let listed = api.store.sources(org, page).await?;
    let items = listed.items.iter().map(|source| (api.public(source.id), IngestSourceOut::new(&api, source)));
    Ok(Json(Page::new(items, listed.done)))
}

pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Body(input): Body<IngestSourceIn>,
) -> Result<Created<IngestSourceOut>, Problem> {
    let org = caller.org(Right::Manage)?;
    let new = input.parse(None, &api.settings.address_presets)?;
    create_from(&api, org, new, Mode::Do).await.map(Created)
}

pub(crate) async fn get(State(api): State<Api>, caller: Caller, Path(path): Path<SourcePath>) -> Result<Json<IngestSourceOut>, Problem> {
    let source = caller.source(&api, &path.source_id, Right::Read).await?;
    Ok(Json(IngestSourceOut::new(&api, &source)))
}

pub(crate) async fn upsert(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<SourcePath>,
    Query(query): Query<UpsertQuery>,
    Body(input): Body<IngestSourceIn>,
) -> Result<CreatedOr<IngestSourceOut>, Problem> {
    let org = caller.org(Right::Manage)?;
    let mode = if query.dry_run == Some(true) { Mode::Pretend } else { Mode::Do };
    let reference = Reference::parse(api.store.public_ids(), &path.source_id);
    let old = api.store.source(org, reference).await?;
    let new = input.parse(old.as_deref(), &api.settings.address_presets)?;
    let Some(source) = old else { return create_from(&api, org, new, mode).await.map(CreatedOr::Created) };
    new.check_application(&api, org, &source).await?;
    change_source(&api, &source, new.into_change(), mode).await.map(CreatedOr::Existing)
}

pub(crate) async fn patch(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<SourcePath>,
    Body(input): Body<IngestSourcePatch>,
) -> Result<Json<IngestSourceOut>, Problem> {
    let source = caller.source(&api, &path.source_id, Right::Manage).await?;
    let change = input.parse(&source, &api.settings.address_presets)?;
    change_source(&api, &source, change, Mode::Do).await.map(Json)
}

pub(crate) async fn delete(State(api): State<Api>, caller: Caller, Path(path): Path<SourcePath>) -> Result<NoContent, Problem> {
    let source = caller.source(&api, &path.source_id, Right::Manage).await?;
    api.store.delete_source(source.id, api.now()).await?;
    Ok(NoContent)
}

/// Refuses to let an application go that a source feeds: its webhooks would have nowhere to go, and nobody would be told.
pub(crate) async fn refuse_fed(api: &Api, application: &Application) -> Result<(), Problem> {
    let mut cursor = None;
    loop {
        let page = PageRequest { limit: limits::PAGE_ITEMS_MAX, order: Order::Ascending, cursor };
        let listed = api.store.sources(&application.org, page).await?;
        if let Some(source) = listed.items.iter().find(|source| source.application == application.id) {
            let (name, id) = (&source.name, api.public(source.id));
            let rest = if source.owns_application { "the application was made for it, and goes with it" } else { "or let it feed another" };
            return Err(Problem::conflict(format!("The source `{name}` ({id}) feeds this application. Delete the source first; {rest}.")));
        }
        match listed.items.last().filter(|_| !listed.done) {
            Some(last) => cursor = Some(Cursor::After(last.id)),
            None => return Ok(()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Do,
    /// As if, for those who want to know beforehand.
    Pretend,
}

async fn create_from(api: &Api, org: &OrgId, new: NewSource, mode: Mode) -> Result<IngestSourceOut, Problem> {
    let now = api.now();
    let (application, made) = new.application(api, org, now).await?;
    let source = Source {
        id: api.new_id(now),
        org: org.clone(),
        uid: new.uid,
        name: new.name,
        kind: new.kind,
        application,
        owns_application: made.is_some(),
        tokens: SourceTokens { current: token::generate(api), old: Vec::new() },
        rules: new.rules.unwrap_or_default(),
        disabled: new.disabled.unwrap_or_default(),
        metadata: new.metadata,
        created_at: now,
        updated_at: now,
    };
    let source = check_as_a_whole(source)?;
    if mode == Mode::Do {
        api.store.create_source(Source::clone(&source), made).await?;
    }
    Ok(IngestSourceOut::new(api, &source))
}

/// Changes a source inside the transaction that writes it back, after the whole of what comes out was checked. Where nothing would be different,
/// nothing is written: whoever applies the same again and again sees by `updatedAt` that it was there.
async fn change_source(api: &Api, source: &Arc<Source>, change: SourceChange, mode: Mode) -> Result<IngestSourceOut, Problem> {
    let mut changed = Source::clone(source);
    change.clone().write_to(&mut changed);
    let now = api.now();
    if changed == **source {
        return Ok(IngestSourceOut::new(api, source));
    }
    changed.updated_at = now;
    let changed = check_as_a_whole(changed)?;
    if mode == Mode::Pretend {
        return Ok(IngestSourceOut::new(api, &changed));
    }
    let write = Box::new(move |source: &mut Source| {
        change.write_to(source);
        source.updated_at = now;
        Ok(())
    });
    let updated = api.store.update_source(source.id, write).await?;
    Ok(IngestSourceOut::new(api, &updated))
}

/// What shows only when all fields are seen together: paths and templates, and what depends on the type.
fn check_as_a_whole(source: Source) -> Result<Arc<Source>, Problem> {
    let type_name = kind::name(&source.kind);
    rules::check_with_type(&source.rules, type_name).map_err(|Mistake { field, rule }| Problem::body(&field, rule))?;
    let source = Arc::new(source);
    PreparedSource::new(&source).map_err(|mistake| Problem::body(&mistake.field, mistake.rule))?;
    Ok(source)
}

impl IngestSourceOut {
    pub(crate) fn new(api: &Api, source: &Source) -> Self {
        let (type_name, config) = kind::shown(&source.kind);
        Self {
            id: api.public(source.id),
            uid: source.uid.as_ref().map(ToString::to_string),
            name: source.name.clone(),
            r#type: type_name,
            config,
            ingest_url: matches!(source.kind, SourceKind::Webhook { .. }).then(|| token::url(api, &source.tokens.current)),
            metadata: source.metadata.clone(),
            application_id: api.public(source.application),
            disabled: source.disabled,
            rules: Rules::shown(&source.rules),
            created_at: Time(source.created_at),
            updated_at: Time(source.updated_at),
        }
    }
}
