//! Exporting an environment into one document, and importing such a document: each item is taken as a whole or not at all, nothing is deleted, and doing
//! it again changes nothing.

use std::collections::BTreeMap;

use axum::extract::State;
use hookpost_domain::{EventType, EventTypeName, OrgId, RetrySchedule};
use hookpost_store::{Cursor, Order, PageRequest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::settings::{self, SettingsInternal};
use crate::auth::{Caller, Right};
use crate::extract::{Body, Json, NoContent, parse_json};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1::Time;
use crate::v1::event_type::{self, EventTypeFields, EventTypeIn, EventTypeOut};
use crate::v1::retry::{RetryScheduleIn, RetryScheduleOut};

const PAGE: usize = 250;

/// Everything that an environment says of itself.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnvironmentOut {
    version: u32,
    created_at: Time,
    /// Archived ones too, with their schemas.
    event_types: Vec<EventTypeOut>,
    settings: Map<String, Value>,
    connectors: Vec<Value>,
    /// Of the event types that have one, by name. (Hookpost's own.)
    retry_schedules: BTreeMap<String, RetryScheduleOut>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnvironmentIn {
    /// Created, or replaced where they exist.
    event_types: Option<Vec<EventTypeIn>>,
    /// Put in the place of those there are.
    settings: Option<Map<String, Value>>,
    /// Taken for compatibility; connectors are not kept.
    #[expect(dead_code, reason = "read to refuse what is no list")]
    connectors: Option<Vec<Value>>,
    /// Of event types, by name. (Hookpost's own.)
    retry_schedules: Option<BTreeMap<String, RetryScheduleIn>>,
}

pub(crate) async fn export(State(api): State<Api>, caller: Caller) -> Result<Json<EnvironmentOut>, Problem> {
    let org = caller.org(Right::Read)?;
    let event_types = all_event_types(&api, org).await?;
    let schedule = |event_type: &EventType| Some((event_type.name.to_string(), RetryScheduleOut(event_type.retry_schedule.clone()?)));
    Ok(Json(EnvironmentOut {
        version: 1,
        created_at: Time(api.now()),
        retry_schedules: event_types.iter().filter_map(schedule).collect(),
        event_types: event_types.iter().map(|event_type| EventTypeOut::new(event_type, true)).collect(),
        settings: settings::read_object(&settings::stored(&api, org).await?),
        connectors: Vec::new(),
    }))
}

pub(crate) async fn import(State(api): State<Api>, caller: Caller, Body(input): Body<EnvironmentIn>) -> Result<NoContent, Problem> {
    let org = caller.org(Right::Manage)?;
    let ParsedEnvironment { event_types, settings, retry_schedules } = input.parse()?;
    for (name, fields) in event_types {
        event_type::create_or_replace(&api, org, name, fields).await?;
    }
    for (name, schedule) in retry_schedules {
        let current = api.store.event_type(org, name.as_str()).await?;
        let Some(current) = current else {
            return Err(Problem::body("retrySchedules", format!("There is no event type `{name}`.")));
        };
        if current.retry_schedule.as_ref() != Some(&schedule) {
            event_type::retry_schedule::write(&api, org, name.as_str(), Some(schedule)).await?;
        }
    }
    if let Some(new) = settings
        && settings::read_object(&settings::stored(&api, org).await?) != new
    {
        settings::replace(&api, org, new).await?;
    }
    Ok(NoContent)
}

pub(crate) async fn all_event_types(api: &Api, org: &OrgId) -> Result<Vec<EventType>, Problem> {
    let mut page = PageRequest::first(PAGE, Order::Ascending);
    let mut all: Vec<EventType> = Vec::new();
    loop {
        let listed = api.store.event_types(org, true, page.clone()).await?;
        all.extend(listed.items);
        match all.last().filter(|_| !listed.done) {
            Some(last) => page.cursor = Some(Cursor::After(last.name.clone())),
            None => return Ok(all),
        }
    }
}

/// [`EnvironmentIn`] that keeps every rule.
struct ParsedEnvironment {
    event_types: Vec<(EventTypeName, EventTypeFields)>,
    settings: Option<Map<String, Value>>,
    retry_schedules: Vec<(EventTypeName, RetrySchedule)>,
}

impl EnvironmentIn {
    fn parse(self) -> Result<ParsedEnvironment, Problem> {
        let mut errors = Vec::new();
        let mut event_types = Vec::new();
        for (index, input) in self.event_types.into_iter().flatten().enumerate() {
            match input.parse() {
                Ok(parsed) => event_types.push(parsed),
                Err(problem) => match problem.inside(&index.to_string()).inside("eventTypes") {
                    Problem::Invalid(found) => errors.extend(found),
                    other => return Err(other),
                },
            }
        }
        let settings = match self.settings.map(|settings| check_settings(&settings)).transpose() {
            Ok(settings) => settings,
            Err(problem) => match problem.inside("settings") {
                Problem::Invalid(found) => {
                    errors.extend(found);
                    None
                }
                other => return Err(other),
            },
        };
        let mut wrong = Wrong::in_body();
        let mut retry_schedules = Vec::new();
        for (name, schedule) in self.retry_schedules.into_iter().flatten() {
            let field = format!("retrySchedules.{name}");
            let parsed = (wrong.check(&field, EventTypeName::parse(&name)), wrong.check(&field, schedule.parse()));
            if let (Some(name), Some(schedule)) = parsed {
                retry_schedules.push((name, schedule));
            }
        }
        if let Err(Problem::Invalid(found)) = wrong.nothing() {
            errors.extend(found);
        }
        if errors.is_empty() { Ok(ParsedEnvironment { event_types, settings, retry_schedules }) } else { Err(Problem::Invalid(errors)) }
    }
}

fn check_settings(given: &Map<String, Value>) -> Result<Map<String, Value>, Problem> {
    let bytes = serde_json::to_vec(given).map_err(|_| Problem::Internal)?;
    let settings: SettingsInternal = parse_json(&bytes).map_err(|error| Problem::Invalid(vec![error]))?;
    settings.check()
}
