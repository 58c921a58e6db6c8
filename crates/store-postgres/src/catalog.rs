//! What is configured. Reads come from memory wherever they can; a change is one transaction, and leaves a row for the other nodes.

mod access;
mod applications;
mod endpoints;
mod event_types;
mod sources;
mod tasks;
mod walk;
mod writing;

use std::sync::Arc;

use async_trait::async_trait;
use hookpost_domain::access::{Revocation, RevocationTarget};
use hookpost_domain::id::{ApplicationKind, SourceKind};
use hookpost_domain::source::SourceToken;
use hookpost_domain::{
    ApiKey, ApiKeyId, Application, ApplicationId, BackgroundTask, Endpoint, EndpointId, EventType, EventTypeName, OrgId, Source, SourceId,
    TaskId, Timestamp,
};
use hookpost_store::cache::list_event_types;
use hookpost_store::catalog::TaskFilter;
use hookpost_store::{ApplicationView, Catalog, Change, Listed, PageRequest, Reference, Unavailable, WriteError};

pub(crate) use access::{load_revocations, remember};
pub(crate) use applications::by_id as application_by_id;
pub(crate) use writing::{Failed, commit};

use crate::PostgresStore;
use crate::shared::Shared;
use crate::statements::can_be_text;
use writing::carry_through;

impl PostgresStore {
    pub(crate) async fn change<T, E, C>(&self, change: impl FnOnce(Arc<Shared>) -> C) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Failed>,
        C: Future<Output = Result<T, Failed>> + Send + 'static,
    {
        Ok(carry_through(&self.shared, change(Arc::clone(&self.shared))).await?)
    }
}

#[async_trait]
impl Catalog for PostgresStore {
    fn version(&self) -> u64 {
        self.shared.catalog.version()
    }

    async fn application(
        &self,
        org: &OrgId,
        reference: Reference<'_, ApplicationKind>,
    ) -> Result<Option<Arc<ApplicationView>>, Unavailable> {
        let view = match reference {
            Reference::Id(id) => applications::by_id(&self.shared, id).await?,
            Reference::Uid(uid) if !can_be_text(uid) => None,
            Reference::Uid(uid) => applications::by_uid(&self.shared, org, uid).await?,
        };
        Ok(view.filter(|view| view.application.org == *org))
    }

    async fn application_by_id(&self, id: ApplicationId) -> Result<Option<Arc<ApplicationView>>, Unavailable> {
        Ok(applications::by_id(&self.shared, id).await?)
    }

    async fn applications(&self, org: &OrgId, page: PageRequest<ApplicationId>) -> Result<Listed<Application>, Unavailable> {
        Ok(applications::list(&self.shared, org, page).await?)
    }

    async fn create_application(&self, application: Application) -> Result<(), WriteError> {
        self.change(|shared| applications::create(shared, application)).await
    }

    async fn update_application(&self, id: ApplicationId, change: Change<Application>) -> Result<Application, WriteError> {
        self.change(|shared| applications::update(shared, id, change)).await
    }

    async fn delete_application(&self, id: ApplicationId, _now: Timestamp) -> Result<(), WriteError> {
        self.change(|shared| applications::delete(shared, id)).await
    }

    async fn create_endpoint(&self, endpoint: Endpoint) -> Result<(), WriteError> {
        self.change(|shared| endpoints::create(shared, endpoint)).await
    }

    async fn update_endpoint(&self, application: ApplicationId, id: EndpointId, change: Change<Endpoint>) -> Result<Endpoint, WriteError> {
        self.change(|shared| endpoints::update(shared, application, id, change)).await
    }

    async fn delete_endpoint(&self, application: ApplicationId, id: EndpointId, _now: Timestamp) -> Result<(), WriteError> {
        self.change(|shared| endpoints::delete(shared, application, id)).await
    }

    async fn source(&self, org: &OrgId, reference: Reference<'_, SourceKind>) -> Result<Option<Arc<Source>>, Unavailable> {
        let source = match reference {
            Reference::Id(id) => sources::by_id(&self.shared, id).await?,
            Reference::Uid(uid) if !can_be_text(uid) => None,
            Reference::Uid(uid) => sources::by_uid(&self.shared, org, uid).await?,
        };
        Ok(source.filter(|source| source.org == *org))
    }

    async fn source_by_id(&self, id: SourceId) -> Result<Option<Arc<Source>>, Unavailable> {
        Ok(sources::by_id(&self.shared, id).await?)
    }

    async fn source_by_token(&self, token: &SourceToken) -> Result<Option<Arc<Source>>, Unavailable> {
        Ok(sources::by_token(&self.shared, token).await?)
    }

    async fn sources(&self, org: &OrgId, page: PageRequest<SourceId>) -> Result<Listed<Source>, Unavailable> {
        Ok(sources::list(&self.shared, org, page).await?)
    }

    async fn pull_sources(&self) -> Result<Vec<Arc<Source>>, Unavailable> {
        Ok(sources::pulled(&self.shared).await?)
    }

    async fn create_source(&self, source: Source, application: Option<Application>) -> Result<(), WriteError> {
        self.change(|shared| sources::create(shared, source, application)).await
    }

    async fn update_source(&self, id: SourceId, change: Change<Source>) -> Result<Source, WriteError> {
        self.change(|shared| sources::update(shared, id, change)).await
    }

    async fn delete_source(&self, id: SourceId, _now: Timestamp) -> Result<(), WriteError> {
        self.change(|shared| sources::delete(shared, id)).await
    }

    async fn source_state(&self, id: SourceId) -> Result<Option<Vec<u8>>, Unavailable> {
        Ok(sources::state(&self.shared, id).await?)
    }

    async fn set_source_state(&self, id: SourceId, state: Vec<u8>) -> Result<(), Unavailable> {
        Ok(sources::set_state(&self.shared, id, &state).await?)
    }

    async fn event_type(&self, org: &OrgId, name: &str) -> Result<Option<Arc<EventType>>, Unavailable> {
        Ok(event_types::of_org(&self.shared, org).await?.get(name).cloned())
    }

    async fn event_types(
        &self,
        org: &OrgId,
        include_archived: bool,
        page: PageRequest<EventTypeName>,
    ) -> Result<Listed<EventType>, Unavailable> {
        Ok(list_event_types(&*event_types::of_org(&self.shared, org).await?, include_archived, &page))
    }

    async fn create_event_type(&self, event_type: EventType) -> Result<(), WriteError> {
        self.change(|shared| event_types::create(shared, event_type)).await
    }

    async fn update_event_type(&self, org: &OrgId, name: &str, change: Change<EventType>) -> Result<EventType, WriteError> {
        let (org, name) = (org.clone(), name.to_owned());
        self.change(|shared| event_types::update(shared, org, name, change)).await
    }

    async fn delete_event_type(&self, org: &OrgId, name: &str) -> Result<(), WriteError> {
        let (org, name) = (org.clone(), name.to_owned());
        self.change(|shared| event_types::delete(shared, org, name)).await
    }

    async fn api_key_by_hash(&self, key_sha256: [u8; 32]) -> Result<Option<Arc<ApiKey>>, Unavailable> {
        Ok(access::key_by_hash(&self.shared, key_sha256).await?)
    }

    async fn api_keys(&self, org: Option<&OrgId>, page: PageRequest<ApiKeyId>) -> Result<Listed<ApiKey>, Unavailable> {
        Ok(access::list_keys(&self.shared, org, page).await?)
    }

    async fn create_api_key(&self, key: ApiKey) -> Result<(), WriteError> {
        self.change(|shared| access::create_key(shared, key)).await
    }

    async fn api_key(&self, org: &OrgId, id: ApiKeyId) -> Result<Option<ApiKey>, Unavailable> {
        Ok(access::key(&self.shared, org, id).await?)
    }

    async fn update_api_key(&self, org: &OrgId, id: ApiKeyId, change: Change<ApiKey>) -> Result<ApiKey, WriteError> {
        let org = org.clone();
        self.change(|shared| access::update_key(shared, org, id, change)).await
    }

    async fn delete_api_key(&self, org: Option<&OrgId>, id: ApiKeyId) -> Result<(), WriteError> {
        let org = org.cloned();
        self.change(|shared| access::delete_key(shared, org, id)).await
    }

    async fn revoke(&self, revocation: Revocation) -> Result<(), Unavailable> {
        self.change(|shared| access::revoke(shared, revocation)).await
    }

    async fn revoked_at(&self, target: &RevocationTarget) -> Result<Option<Timestamp>, Unavailable> {
        Ok(self.shared.catalog.revocations.read().get(target).map(|(at, _)| *at))
    }

    async fn create_task(&self, task: BackgroundTask) -> Result<(), WriteError> {
        self.change(|shared| tasks::create(shared, task)).await
    }

    async fn update_task(&self, id: TaskId, change: Change<BackgroundTask>) -> Result<BackgroundTask, WriteError> {
        self.change(|shared| tasks::update(shared, id, change)).await
    }

    async fn task(&self, id: TaskId) -> Result<Option<BackgroundTask>, Unavailable> {
        Ok(tasks::get(&self.shared, id).await?)
    }

    async fn tasks(
        &self,
        org: Option<&OrgId>,
        filter: TaskFilter,
        page: PageRequest<TaskId>,
    ) -> Result<Listed<BackgroundTask>, Unavailable> {
        Ok(tasks::list(&self.shared, org, &filter, page).await?)
    }
}
