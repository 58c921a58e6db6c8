//! The rules for the fields of an event type, and how a change is applied.

use hookpost_domain::{EventType, EventTypeName, Invalid, Uid};

use super::{EventTypeIn, EventTypePatch, EventTypeUpsertIn, Schemas};
use crate::problem::{Problem, Wrong};

/// [`EventTypeUpsertIn`] that keeps every rule.
#[derive(Debug, Clone)]
pub(crate) struct EventTypeFields {
    pub(in crate::v1) description: String,
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
    pub(crate) fn parse(self) -> Result<(EventTypeName, EventTypeFields), Problem> {
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
    pub(super) fn parse(self) -> Result<EventTypeFields, Problem> {
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
pub(super) struct EventTypeChange {
    description: Option<String>,
    archived: Option<bool>,
    deprecated: Option<bool>,
    schemas: Option<Option<String>>,
    group_name: Option<Option<String>>,
    feature_flags: Option<Vec<String>>,
}

impl EventTypePatch {
    pub(super) fn parse(self) -> Result<EventTypeChange, Problem> {
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
    pub(super) fn write_to(self, event_type: &mut EventType) {
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
