//! The rules for the fields of a source, and how a change is applied.

use hookpost_domain::application::Metadata;
use hookpost_domain::id::SourceKind as SourceIdKind;
use hookpost_domain::source::{SourceKind, SourceRules};
use hookpost_domain::{Application, ApplicationId, Invalid, OrgId, Source, Timestamp, Uid};
use hookpost_store::Reference;

use super::{IngestSourceIn, IngestSourcePatch};
use crate::door::AddressPresets;
use crate::ingest::kind;
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1;

const NAME_CHARS: std::ops::RangeInclusive<usize> = 2..=256;

/// [`IngestSourceIn`] that keeps every rule which needs no store.
#[derive(Debug)]
pub(super) struct NewSource {
    pub(super) name: String,
    pub(super) uid: Option<Uid>,
    pub(super) metadata: Metadata,
    pub(super) kind: SourceKind,
    pub(super) rules: Option<SourceRules>,
    pub(super) disabled: Option<bool>,
    application: Option<String>,
}

/// Fields that keep every rule. `None` where a field stays as it is.
#[derive(Debug, Clone, Default)]
pub(super) struct SourceChange {
    name: Option<String>,
    uid: Option<Option<Uid>>,
    metadata: Option<Metadata>,
    kind: Option<SourceKind>,
    rules: Option<SourceRules>,
    disabled: Option<bool>,
}

impl IngestSourceIn {
    /// `old` is the source that it replaces.
    pub(super) fn parse(self, old: Option<&Source>, presets: &AddressPresets) -> Result<NewSource, Problem> {
        let mut wrong = Wrong::in_body();
        let name = wrong.check("name", name(self.name));
        let uid = wrong.optional("uid", self.uid, v1::short_uid::<SourceIdKind>);
        let metadata = wrong.optional("metadata", self.metadata, v1::metadata).unwrap_or_default();
        let kind = kind::parse(&mut wrong, &self.r#type, self.config.unwrap_or_default());
        let rules = self.rules.map(|rules| rules.parse(&mut wrong, old.map(|source| &source.rules), presets));
        let (Some(name), Some(kind)) = (name, kind) else { return Err(wrong.problem()) };
        wrong.nothing()?;
        Ok(NewSource { name, uid, metadata, kind, rules, disabled: self.disabled, application: self.application })
    }
}

impl IngestSourcePatch {
    pub(super) fn parse(self, old: &Source, presets: &AddressPresets) -> Result<SourceChange, Problem> {
        let mut wrong = Wrong::in_body();
        let kind = match (self.r#type, self.config) {
            (None, None) => None,
            (Some(r#type), config) => kind::parse(&mut wrong, &r#type, config.unwrap_or_default()),
            (None, Some(config)) => kind::parse_change(&mut wrong, &old.kind, config),
        };
        let change = SourceChange {
            name: wrong.optional("name", self.name, name),
            uid: self.uid.map(|given| wrong.optional("uid", given, v1::short_uid::<SourceIdKind>)),
            metadata: wrong.optional("metadata", self.metadata, v1::metadata),
            kind,
            rules: self.rules.map(|rules| rules.parse(&mut wrong, Some(&old.rules), presets)),
            disabled: self.disabled,
        };
        wrong.nothing()?;
        Ok(change)
    }
}

impl NewSource {
    /// The application that it feeds: the one that was named, or else a new one, to be created with it.
    pub(super) async fn application(
        &self,
        api: &Api,
        org: &OrgId,
        now: Timestamp,
    ) -> Result<(ApplicationId, Option<Application>), Problem> {
        if let Some(reference) = &self.application {
            return Ok((named_application(api, org, reference).await?, None));
        }
        let application = Application {
            id: api.new_id(now),
            org: org.clone(),
            uid: None,
            name: self.name.clone(),
            throttle_rate: None,
            metadata: Metadata::new(),
            created_at: now,
            updated_at: now,
        };
        Ok((application.id, Some(application)))
    }

    /// A source stays with its application: endpoints, messages and receipts would fall apart.
    pub(super) async fn check_application(&self, api: &Api, org: &OrgId, source: &Source) -> Result<(), Problem> {
        match &self.application {
            Some(reference) if named_application(api, org, reference).await? != source.application => {
                Err(Problem::body("application", "cannot be changed; create another source for another application"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn into_change(self) -> SourceChange {
        SourceChange {
            name: Some(self.name),
            uid: Some(self.uid),
            metadata: Some(self.metadata),
            kind: Some(self.kind),
            rules: self.rules,
            disabled: self.disabled,
        }
    }
}

async fn named_application(api: &Api, org: &OrgId, reference: &str) -> Result<ApplicationId, Problem> {
    let found = api.store.application(org, Reference::parse(api.store.public_ids(), reference)).await?;
    let view = found.ok_or_else(|| Problem::body("application", "is not the id or uid of an application of yours"))?;
    Ok(view.application.id)
}

impl SourceChange {
    pub(super) fn write_to(self, source: &mut Source) {
        replace(&mut source.name, self.name);
        replace(&mut source.uid, self.uid);
        replace(&mut source.metadata, self.metadata);
        replace(&mut source.kind, self.kind);
        replace(&mut source.rules, self.rules);
        replace(&mut source.disabled, self.disabled);
    }
}

fn replace<T>(old: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *old = new;
    }
}

fn name(name: String) -> Result<String, Invalid> {
    if NAME_CHARS.contains(&name.chars().count()) {
        Ok(name)
    } else {
        Err(Invalid::new(format!("must be {} to {} characters long", NAME_CHARS.start(), NAME_CHARS.end())))
    }
}
