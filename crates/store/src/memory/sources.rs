//! Sources.

use std::sync::Arc;

use hookpost_domain::source::SourceToken;
use hookpost_domain::{Application, OrgId, Source, SourceId};

use super::State;
use crate::{ApplicationView, Change, Reference, WriteError};

impl State {
    pub(super) fn source(&self, org: &OrgId, reference: Reference<'_, hookpost_domain::id::SourceKind>) -> Option<Arc<Source>> {
        let found = match reference {
            Reference::Id(id) => self.sources.get(&id),
            Reference::Uid(uid) => {
                self.sources.values().find(|source| source.uid.as_ref().is_some_and(|own| own.as_str() == uid && source.org == *org))
            }
        };
        found.filter(|source| source.org == *org).cloned()
    }

    pub(super) fn source_by_token(&self, token: &SourceToken) -> Option<Arc<Source>> {
        self.sources.values().find(|source| source.tokens.all().any(|own| own == token)).cloned()
    }

    pub(super) fn create_source(&mut self, source: Source, application: Option<Application>) -> Result<(), WriteError> {
        self.check_unique(&source)?;
        match application {
            Some(application) => {
                self.check_application_uid(&application)?;
                self.applications.insert(application.id, Arc::new(ApplicationView { application, endpoints: Vec::new() }));
            }
            None => self.check_leads_somewhere(&source)?,
        }
        self.version += 1;
        self.sources.insert(source.id, Arc::new(source));
        Ok(())
    }

    pub(super) fn update_source(&mut self, id: SourceId, change: Change<Source>) -> Result<Source, WriteError> {
        let before = self.sources.get(&id).ok_or(WriteError::NotFound)?;
        let (led_to, mut source) = (before.application, Source::clone(before));
        change(&mut source)?;
        self.check_unique(&source)?;
        if source.application != led_to {
            self.check_leads_somewhere(&source)?;
        }
        self.version += 1;
        self.sources.insert(id, Arc::new(source.clone()));
        Ok(source)
    }

    pub(super) fn delete_source(&mut self, id: SourceId) -> Result<(), WriteError> {
        let source = self.sources.remove(&id).ok_or(WriteError::NotFound)?;
        self.source_states.remove(&id);
        self.version += 1;
        if source.owns_application {
            self.delete_application(source.application);
        }
        Ok(())
    }

    fn check_unique(&self, source: &Source) -> Result<(), WriteError> {
        let others = || self.sources.values().filter(|other| other.id != source.id);
        if source.uid.is_some() && others().any(|other| other.org == source.org && other.uid == source.uid) {
            return Err(WriteError::Conflict { field: "uid" });
        }
        if others().any(|other| other.tokens.all().any(|taken| source.tokens.all().any(|own| own == taken))) {
            return Err(WriteError::Conflict { field: "token" });
        }
        Ok(())
    }

    fn check_leads_somewhere(&self, source: &Source) -> Result<(), WriteError> {
        let led_to = self.applications.get(&source.application).filter(|view| view.application.org == source.org);
        led_to.map(drop).ok_or(WriteError::NotFound)
    }
}
