//! What is configured.

use std::sync::Arc;

use async_trait::async_trait;
use hookpost_domain::access::{Revocation, RevocationTarget};
use hookpost_domain::id::{ApplicationKind, SourceKind};
use hookpost_domain::source::SourceToken;
use hookpost_domain::{
    ApiKey, ApiKeyId, Application, ApplicationId, BackgroundTask, Endpoint, EndpointId, EventType, EventTypeName, OrgId, Reason, Source,
    SourceId, TaskId, Timestamp, limits,
};

use super::{MemoryStore, State};
use crate::catalog::TaskFilter;
use crate::{ApplicationView, Catalog, Change, Listed, PageRequest, Reference, Unavailable, WriteError};

#[async_trait]
impl Catalog for MemoryStore {
    fn version(&self) -> u64 {
        self.state.lock().version
    }

    async fn application(
        &self,
        org: &OrgId,
        reference: Reference<'_, ApplicationKind>,
    ) -> Result<Option<Arc<ApplicationView>>, Unavailable> {
        let state = self.state.lock();
        let found = match reference {
            Reference::Id(id) => state.applications.get(&id),
            Reference::Uid(uid) => state.applications.values().find(|view| has_uid(&view.application, org, uid)),
        };
        Ok(found.filter(|view| view.application.org == *org).cloned())
    }

    async fn application_by_id(&self, id: ApplicationId) -> Result<Option<Arc<ApplicationView>>, Unavailable> {
        Ok(self.state.lock().applications.get(&id).cloned())
    }

    async fn applications(&self, org: &OrgId, page: PageRequest<ApplicationId>) -> Result<Listed<Application>, Unavailable> {
        let state = self.state.lock();
        let own = state.applications.iter().filter(|(_, view)| view.application.org == *org);
        Ok(page.cut(own.map(|(id, view)| (*id, view.application.clone()))))
    }

    async fn create_application(&self, application: Application) -> Result<(), WriteError> {
        let mut state = self.state.lock();
        state.check_application_uid(&application)?;
        state.version += 1;
        state.applications.insert(application.id, Arc::new(ApplicationView { application, endpoints: Vec::new() }));
        Ok(())
    }

    async fn update_application(&self, id: ApplicationId, change: Change<Application>) -> Result<Application, WriteError> {
        let mut state = self.state.lock();
        let mut view = ApplicationView::clone(state.applications.get(&id).ok_or(WriteError::NotFound)?);
        change(&mut view.application)?;
        state.check_application_uid(&view.application)?;
        let changed = view.application.clone();
        state.version += 1;
        state.applications.insert(id, Arc::new(view));
        Ok(changed)
    }

    async fn delete_application(&self, id: ApplicationId, _now: Timestamp) -> Result<(), WriteError> {
        if self.state.lock().delete_application(id) { Ok(()) } else { Err(WriteError::NotFound) }
    }

    async fn create_endpoint(&self, endpoint: Endpoint) -> Result<(), WriteError> {
        let mut state = self.state.lock();
        let mut view = ApplicationView::clone(state.applications.get(&endpoint.application).ok_or(WriteError::NotFound)?);
        check_endpoint_uid(&view, &endpoint)?;
        if view.endpoints.len() >= limits::ENDPOINTS_PER_APPLICATION_MAX {
            return Err(WriteError::LimitReached(format!(
                "an application has at most {} endpoints",
                limits::ENDPOINTS_PER_APPLICATION_MAX
            )));
        }
        let place = view.endpoints.partition_point(|other| other.id < endpoint.id);
        let application = endpoint.application;
        view.endpoints.insert(place, Arc::new(endpoint));
        state.version += 1;
        state.applications.insert(application, Arc::new(view));
        Ok(())
    }

    async fn update_endpoint(&self, application: ApplicationId, id: EndpointId, change: Change<Endpoint>) -> Result<Endpoint, WriteError> {
        let mut state = self.state.lock();
        let mut view = ApplicationView::clone(state.applications.get(&application).ok_or(WriteError::NotFound)?);
        let place = view.endpoints.iter().position(|endpoint| endpoint.id == id).ok_or(WriteError::NotFound)?;
        let mut endpoint = Endpoint::clone(&view.endpoints[place]);
        change(&mut endpoint)?;
        check_endpoint_uid(&view, &endpoint)?;
        view.endpoints[place] = Arc::new(endpoint.clone());
        state.version += 1;
        state.applications.insert(application, Arc::new(view));
        Ok(endpoint)
    }

    async fn delete_endpoint(&self, application: ApplicationId, id: EndpointId, _now: Timestamp) -> Result<(), WriteError> {
        let mut state = self.state.lock();
        let mut view = ApplicationView::clone(state.applications.get(&application).ok_or(WriteError::NotFound)?);
        let place = view.endpoints.iter().position(|endpoint| endpoint.id == id).ok_or(WriteError::NotFound)?;
        view.endpoints.remove(place);
        state.version += 1;
        state.applications.insert(application, Arc::new(view));
        state.end_deliveries(id);
        Ok(())
    }

    async fn source(&self, org: &OrgId, reference: Reference<'_, SourceKind>) -> Result<Option<Arc<Source>>, Unavailable> {
        Ok(self.state.lock().source(org, reference))
    }

    async fn source_by_id(&self, id: SourceId) -> Result<Option<Arc<Source>>, Unavailable> {
        Ok(self.state.lock().sources.get(&id).cloned())
    }

    async fn source_by_token(&self, token: &SourceToken) -> Result<Option<Arc<Source>>, Unavailable> {
        Ok(self.state.lock().source_by_token(token))
    }

    async fn sources(&self, org: &OrgId, page: PageRequest<SourceId>) -> Result<Listed<Source>, Unavailable> {
        let state = self.state.lock();
        let own = state.sources.iter().filter(|(_, source)| source.org == *org);
        Ok(page.cut(own.map(|(id, source)| (*id, Source::clone(source)))))
    }

    async fn pull_sources(&self) -> Result<Vec<Arc<Source>>, Unavailable> {
        Ok(self.state.lock().sources.values().filter(|source| source.is_pulled()).cloned().collect())
    }

    async fn create_source(&self, source: Source, application: Option<Application>) -> Result<(), WriteError> {
        self.state.lock().create_source(source, application)
    }

    async fn update_source(&self, id: SourceId, change: Change<Source>) -> Result<Source, WriteError> {
        self.state.lock().update_source(id, change)
    }

    async fn delete_source(&self, id: SourceId, _now: Timestamp) -> Result<(), WriteError> {
        self.state.lock().delete_source(id)
    }

    async fn source_state(&self, id: SourceId) -> Result<Option<Vec<u8>>, Unavailable> {
        Ok(self.state.lock().source_states.get(&id).cloned())
    }

    async fn set_source_state(&self, id: SourceId, value: Vec<u8>) -> Result<(), Unavailable> {
        let mut state = self.state.lock();
        if state.sources.contains_key(&id) {
            state.source_states.insert(id, value);
        }
        Ok(())
    }

    async fn event_type(&self, org: &OrgId, name: &str) -> Result<Option<Arc<EventType>>, Unavailable> {
        let Some(key) = event_type_key(org, name) else { return Ok(None) };
        Ok(self.state.lock().event_types.get(&key).cloned())
    }

    async fn event_types(
        &self,
        org: &OrgId,
        include_archived: bool,
        page: PageRequest<EventTypeName>,
    ) -> Result<Listed<EventType>, Unavailable> {
        let state = self.state.lock();
        let shown = state.event_types.values().filter(|own| own.org == *org && (include_archived || !own.archived));
        Ok(page.cut(shown.map(|event_type| (event_type.name.clone(), EventType::clone(event_type)))))
    }

    async fn create_event_type(&self, event_type: EventType) -> Result<(), WriteError> {
        let mut state = self.state.lock();
        let key = (event_type.org.clone(), event_type.name.clone());
        if state.event_types.contains_key(&key) {
            return Err(WriteError::Conflict { field: "name" });
        }
        state.version += 1;
        state.event_types.insert(key, Arc::new(event_type));
        Ok(())
    }

    async fn update_event_type(&self, org: &OrgId, name: &str, change: Change<EventType>) -> Result<EventType, WriteError> {
        let mut state = self.state.lock();
        let key = event_type_key(org, name).ok_or(WriteError::NotFound)?;
        let mut event_type = EventType::clone(state.event_types.get(&key).ok_or(WriteError::NotFound)?);
        change(&mut event_type)?;
        state.version += 1;
        state.event_types.insert(key, Arc::new(event_type.clone()));
        Ok(event_type)
    }

    async fn delete_event_type(&self, org: &OrgId, name: &str) -> Result<(), WriteError> {
        let mut state = self.state.lock();
        let key = event_type_key(org, name).ok_or(WriteError::NotFound)?;
        state.event_types.remove(&key).ok_or(WriteError::NotFound)?;
        state.version += 1;
        Ok(())
    }

    async fn api_key_by_hash(&self, key_sha256: [u8; 32]) -> Result<Option<Arc<ApiKey>>, Unavailable> {
        Ok(self.state.lock().api_keys.values().find(|key| key.key_sha256 == key_sha256).cloned())
    }

    async fn api_keys(&self, org: Option<&OrgId>, page: PageRequest<ApiKeyId>) -> Result<Listed<ApiKey>, Unavailable> {
        let state = self.state.lock();
        let own = state.api_keys.iter().filter(|(_, key)| org.is_none_or(|org| key.org == *org));
        Ok(page.cut(own.map(|(id, key)| (*id, ApiKey::clone(key)))))
    }

    async fn create_api_key(&self, key: ApiKey) -> Result<(), WriteError> {
        let mut state = self.state.lock();
        state.version += 1;
        state.api_keys.insert(key.id, Arc::new(key));
        Ok(())
    }

    async fn api_key(&self, org: &OrgId, id: ApiKeyId) -> Result<Option<ApiKey>, Unavailable> {
        Ok(self.state.lock().api_keys.get(&id).filter(|key| key.org == *org).map(|key| ApiKey::clone(key)))
    }

    async fn update_api_key(&self, org: &OrgId, id: ApiKeyId, change: Change<ApiKey>) -> Result<ApiKey, WriteError> {
        let mut state = self.state.lock();
        let found = state.api_keys.get(&id).filter(|key| key.org == *org).ok_or(WriteError::NotFound)?;
        let mut key = ApiKey::clone(found);
        change(&mut key)?;
        state.version += 1;
        state.api_keys.insert(id, Arc::new(key.clone()));
        Ok(key)
    }

    async fn delete_api_key(&self, org: Option<&OrgId>, id: ApiKeyId) -> Result<(), WriteError> {
        let mut state = self.state.lock();
        let owned = state.api_keys.get(&id).is_some_and(|key| org.is_none_or(|org| key.org == *org));
        if !owned {
            return Err(WriteError::NotFound);
        }
        state.version += 1;
        state.api_keys.remove(&id);
        Ok(())
    }

    async fn revoke(&self, revocation: Revocation) -> Result<(), Unavailable> {
        let mut state = self.state.lock();
        state.version += 1;
        let kept = state.revocations.entry(revocation.target).or_default();
        *kept = (kept.0.max(revocation.at), kept.1.max(revocation.forget_at));
        Ok(())
    }

    async fn revoked_at(&self, target: &RevocationTarget) -> Result<Option<Timestamp>, Unavailable> {
        Ok(self.state.lock().revocations.get(target).map(|(at, _)| *at))
    }

    async fn create_task(&self, task: BackgroundTask) -> Result<(), WriteError> {
        self.state.lock().tasks.insert(task.id, task);
        Ok(())
    }

    async fn update_task(&self, id: TaskId, change: Change<BackgroundTask>) -> Result<BackgroundTask, WriteError> {
        let mut state = self.state.lock();
        let mut task = state.tasks.get(&id).ok_or(WriteError::NotFound)?.clone();
        change(&mut task)?;
        state.tasks.insert(id, task.clone());
        Ok(task)
    }

    async fn task(&self, id: TaskId) -> Result<Option<BackgroundTask>, Unavailable> {
        Ok(self.state.lock().tasks.get(&id).cloned())
    }

    async fn tasks(
        &self,
        org: Option<&OrgId>,
        filter: TaskFilter,
        page: PageRequest<TaskId>,
    ) -> Result<Listed<BackgroundTask>, Unavailable> {
        let state = self.state.lock();
        let shown = state.tasks.iter().filter(|(_, task)| org.is_none_or(|org| task.org == *org) && filter.matches(task));
        Ok(page.cut(shown.map(|(id, task)| (*id, task.clone()))))
    }
}

impl State {
    /// `false`: there is none.
    pub(super) fn delete_application(&mut self, id: ApplicationId) -> bool {
        let Some(view) = self.applications.remove(&id) else { return false };
        self.version += 1;
        view.endpoints.iter().for_each(|endpoint| self.end_deliveries(endpoint.id));
        self.delete_documents_of(id.row());
        true
    }

    pub(super) fn check_application_uid(&self, application: &Application) -> Result<(), WriteError> {
        let Some(uid) = &application.uid else { return Ok(()) };
        let mut others = self.applications.values().filter(|view| view.application.id != application.id);
        match others.any(|view| has_uid(&view.application, &application.org, uid.as_str())) {
            true => Err(WriteError::Conflict { field: "uid" }),
            false => Ok(()),
        }
    }

    fn end_deliveries(&mut self, endpoint: EndpointId) {
        if let Some(lane) = self.lanes.get_mut(&endpoint) {
            lane.cancel_all(Reason::EndpointDeleted);
        }
    }
}

fn has_uid(application: &Application, org: &OrgId, uid: &str) -> bool {
    application.org == *org && application.uid.as_ref().is_some_and(|own| own.as_str() == uid)
}

fn check_endpoint_uid(view: &ApplicationView, endpoint: &Endpoint) -> Result<(), WriteError> {
    let Some(uid) = &endpoint.uid else { return Ok(()) };
    match view.endpoint_by_uid(uid.as_str()) {
        Some(other) if other.id != endpoint.id => Err(WriteError::Conflict { field: "uid" }),
        _ => Ok(()),
    }
}

/// `None` for what cannot be a name.
fn event_type_key(org: &OrgId, name: &str) -> Option<(OrgId, EventTypeName)> {
    Some((org.clone(), EventTypeName::parse(name).ok()?))
}
