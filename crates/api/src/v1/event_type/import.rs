//! Importing event types from an OpenAPI document, and asking for such a document.

use std::collections::BTreeSet;

use axum::extract::State;
use hookpost_domain::task::{TaskProgress, TaskStatus, TaskWork};
use hookpost_domain::{BackgroundTask, EventType, EventTypeName, Invalid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::fields::{check_schemas, name};
use super::openapi::{Webhook, webhooks};
use super::{EventTypeFields, Schemas, create_or_replace, yaml};
use crate::auth::{Caller, Right};
use crate::extract::{Accepted, Body, Json};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1::Time;
use crate::v1::environment::transfer::all_event_types;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventTypeImportOpenApiIn {
    /// Say what would be changed, and change nothing.
    #[serde(default)]
    dry_run: bool,
    /// Archive all event types that are not in the document.
    #[serde(default)]
    replace_all: bool,
    /// The document as JSON. Either this or `specRaw`.
    spec: Option<Map<String, Value>>,
    /// The document as text, in YAML or JSON.
    spec_raw: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EventTypeImportOpenApiOut {
    data: EventTypeImportOpenApiOutData,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EventTypeImportOpenApiOutData {
    /// The names of those that were created or changed.
    modified: Vec<String>,
    /// In a dry run: those that would be.
    #[serde(skip_serializing_if = "Option::is_none")]
    to_modify: Option<Vec<EventTypeFromOpenApi>>,
    /// The names of those that were archived, or would be in a dry run. (Hookpost's own.)
    archived: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventTypeFromOpenApi {
    name: String,
    description: String,
    #[schemars(with = "Schemas")]
    #[serde(skip_serializing_if = "Option::is_none")]
    schemas: Option<Value>,
    deprecated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    feature_flags: Vec<String>,
}

/// A task that was started.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExportEventTypeOut {
    /// Ask `GET /background-task/{task_id}` what came of it.
    id: String,
    /// `running`, `finished` or `failed`.
    status: &'static str,
    /// What kind of work it is.
    task: &'static str,
    updated_at: Time,
}

pub(crate) async fn import(
    State(api): State<Api>,
    caller: Caller,
    Body(input): Body<EventTypeImportOpenApiIn>,
) -> Result<Json<EventTypeImportOpenApiOut>, Problem> {
    let org = caller.org(Right::Manage)?;
    let (dry_run, replace_all) = (input.dry_run, input.replace_all);
    let imported = input.parse()?;
    let known = all_event_types(&api, org).await?;
    let of = |name: &EventTypeName| known.iter().find(|known| known.name == *name);
    let changed: Vec<(EventTypeName, EventTypeFields)> =
        imported.iter().filter(|(name, fields)| of(name).is_none_or(|known| !fields.are_of(known))).cloned().collect();
    let kept: BTreeSet<&EventTypeName> = imported.iter().map(|(name, _)| name).collect();
    let gone: Vec<&EventType> = known.iter().filter(|known| replace_all && !known.archived && !kept.contains(&known.name)).collect();
    let archived = gone.iter().map(|event_type| event_type.name.to_string()).collect();
    if dry_run {
        let to_modify = changed.into_iter().map(EventTypeFromOpenApi::from).collect();
        let data = EventTypeImportOpenApiOutData { modified: Vec::new(), to_modify: Some(to_modify), archived };
        return Ok(Json(EventTypeImportOpenApiOut { data }));
    }
    let mut modified = Vec::with_capacity(changed.len());
    for (name, fields) in changed {
        modified.push(name.to_string());
        create_or_replace(&api, org, name, fields).await?;
    }
    for event_type in gone {
        super::archive(&api, org, event_type.name.as_str()).await?;
    }
    Ok(Json(EventTypeImportOpenApiOut { data: EventTypeImportOpenApiOutData { modified, to_modify: None, archived } }))
}

pub(crate) async fn export(State(api): State<Api>, caller: Caller) -> Result<Accepted<ExportEventTypeOut>, Problem> {
    let org = caller.org(Right::Manage)?;
    let now = api.now();
    let task = BackgroundTask {
        id: api.new_id(now),
        org: org.clone(),
        application: None,
        work: TaskWork::ExportEventTypes,
        status: TaskStatus::Running,
        progress: TaskProgress::default(),
        result: None,
        created_at: now,
        updated_at: now,
    };
    let out = ExportEventTypeOut { id: api.public(task.id), status: task.status.as_str(), task: task.work.kind(), updated_at: Time(now) };
    api.store.create_task(task).await?;
    api.engine.wake_tasks();
    Ok(Accepted(out))
}

impl EventTypeImportOpenApiIn {
    /// All webhooks of the document, or everything that is wrong with them.
    fn parse(self) -> Result<Vec<(EventTypeName, EventTypeFields)>, Problem> {
        let (field, document) = match (self.spec, self.spec_raw) {
            (Some(spec), None) => ("spec", Ok(Value::Object(spec))),
            (None, Some(text)) => ("specRaw", yaml::parse(&text)),
            _ => return Err(Problem::bad_request("generic_error", "Give the document as `spec` or as `specRaw`, not both.")),
        };
        let found = document.and_then(|document| webhooks(&document)).map_err(|Invalid(rule)| Problem::body(field, rule))?;
        let mut wrong = Wrong::in_body();
        let mut event_types = Vec::with_capacity(found.len());
        for (key, webhook) in found {
            // Dots in the name would look like a way into it.
            let place = format!("{field}.webhooks.{}", key.replace('.', "_"));
            if let Some(webhook) = wrong.check(&place, webhook) {
                event_types.extend(fields_of(&mut wrong, &place, webhook));
            }
        }
        wrong.nothing().map(|()| event_types)
    }
}

fn fields_of(wrong: &mut Wrong, place: &str, webhook: Webhook) -> Option<(EventTypeName, EventTypeFields)> {
    let parsed = wrong.check(place, EventTypeName::parse(&webhook.name));
    let mut inside = Wrong::in_body();
    let schemas = check_schemas(&mut inside, webhook.schemas);
    if let Err(Problem::Invalid(errors)) = inside.nothing() {
        errors.into_iter().for_each(|error| wrong.add(place, error.msg));
    }
    let fields = EventTypeFields {
        description: webhook.description,
        archived: false,
        deprecated: webhook.deprecated,
        schemas,
        group_name: wrong.optional(place, webhook.group_name, name),
        feature_flags: wrong.each(place, webhook.feature_flags, name),
    };
    parsed.map(|name| (name, fields))
}

impl From<(EventTypeName, EventTypeFields)> for EventTypeFromOpenApi {
    fn from((name, fields): (EventTypeName, EventTypeFields)) -> Self {
        Self {
            name: name.to_string(),
            description: fields.description,
            schemas: fields.schemas.and_then(|schemas| serde_json::from_str(&schemas).ok()),
            deprecated: fields.deprecated,
            group_name: fields.group_name,
            feature_flags: fields.feature_flags,
        }
    }
}
