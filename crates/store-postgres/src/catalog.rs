//! What is configured. Reads come from memory wherever they can; a change is one transaction, and leaves a row for the other nodes.

use std::sync::Arc;

use async_trait::async_trait;
use hookpost_domain::access::{Revocation, RevocationTarget};
use hookpost_domain::id::ApplicationKind;
use hookpost_domain::task::TaskStatus;
use hookpost_domain::{
    ApiKey, ApiKeyId, Application, ApplicationId, BackgroundTask, Endpoint, EndpointId, EventType, EventTypeName, OrgId, RowId, TaskId,
    Timestamp, limits,
};
use hookpost_store::catalog::TaskFilter;
use hookpost_store::{ApplicationView, Catalog, Change, Listed, PageRequest, Reference, Unavailable, WriteError};

use crate::PostgresStore;
use crate::error::unfinished;

#[async_trait]
impl Catalog for PostgresStore {
    fn version(&self) -> u64 {
        self.shared.catalog.version()
    }

    async fn application(
        &self,
        _org: &OrgId,
        _reference: Reference<'_, ApplicationKind>,
    ) -> Result<Option<Arc<ApplicationView>>, Unavailable> {
        Err(unfinished())
    }

    async fn application_by_id(&self, _id: ApplicationId) -> Result<Option<Arc<ApplicationView>>, Unavailable> {
        Err(unfinished())
    }

    async fn applications(&self, _org: &OrgId, _page: PageRequest<ApplicationId>) -> Result<Listed<Application>, Unavailable> {
        Err(unfinished())
    }

    async fn create_application(&self, _application: Application) -> Result<(), WriteError> {
        Err(unfinished().into())
    }

    async fn update_application(&self, _id: ApplicationId, _change: Change<Application>) -> Result<Application, WriteError> {
        Err(unfinished().into())
    }

    async fn delete_application(&self, _id: ApplicationId, _now: Timestamp) -> Result<(), WriteError> {
        Err(unfinished().into())
    }

    async fn create_endpoint(&self, _endpoint: Endpoint) -> Result<(), WriteError> {
        Err(unfinished().into())
    }

    async fn update_endpoint(
        &self,
        _application: ApplicationId,
        _id: EndpointId,
        _change: Change<Endpoint>,
    ) -> Result<Endpoint, WriteError> {
        Err(unfinished().into())
    }

    async fn delete_endpoint(&self, _application: ApplicationId, _id: EndpointId, _now: Timestamp) -> Result<(), WriteError> {
        Err(unfinished().into())
    }

    async fn event_type(&self, _org: &OrgId, _name: &str) -> Result<Option<Arc<EventType>>, Unavailable> {
        Err(unfinished())
    }

    async fn event_types(
        &self,
        _org: &OrgId,
        _include_archived: bool,
        _page: PageRequest<EventTypeName>,
    ) -> Result<Listed<EventType>, Unavailable> {
        Err(unfinished())
    }

    async fn create_event_type(&self, _event_type: EventType) -> Result<(), WriteError> {
        Err(unfinished().into())
    }

    async fn update_event_type(&self, _org: &OrgId, _name: &str, _change: Change<EventType>) -> Result<EventType, WriteError> {
        Err(unfinished().into())
    }

    async fn delete_event_type(&self, _org: &OrgId, _name: &str) -> Result<(), WriteError> {
        Err(unfinished().into())
    }

    async fn api_key_by_hash(&self, key_sha256: [u8; 32]) -> Result<Option<Arc<ApiKey>>, Unavailable> {
        Err(unfinished())
    }

    async fn api_keys(&self, _org: Option<&OrgId>, _page: PageRequest<ApiKeyId>) -> Result<Listed<ApiKey>, Unavailable> {
        Err(unfinished())
    }

    async fn create_api_key(&self, _key: ApiKey) -> Result<(), WriteError> {
        Err(unfinished().into())
    }

    async fn delete_api_key(&self, _org: Option<&OrgId>, _id: ApiKeyId) -> Result<(), WriteError> {
        Err(unfinished().into())
    }

    async fn revoke(&self, _revocation: Revocation) -> Result<(), Unavailable> {
        Err(unfinished())
    }

    async fn revoked_at(&self, _target: &RevocationTarget) -> Result<Option<Timestamp>, Unavailable> {
        Err(unfinished())
    }

    async fn create_task(&self, _task: BackgroundTask) -> Result<(), WriteError> {
        Err(unfinished().into())
    }

    async fn update_task(&self, _id: TaskId, _change: Change<BackgroundTask>) -> Result<BackgroundTask, WriteError> {
        Err(unfinished().into())
    }

    async fn task(&self, _id: TaskId) -> Result<Option<BackgroundTask>, Unavailable> {
        Err(unfinished())
    }

    async fn tasks(
        &self,
        _org: Option<&OrgId>,
        _filter: TaskFilter,
        _page: PageRequest<TaskId>,
    ) -> Result<Listed<BackgroundTask>, Unavailable> {
        Err(unfinished())
    }
}
