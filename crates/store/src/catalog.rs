//! What is configured. Reads are served from memory wherever they can be: every message asks for its application.

use std::sync::Arc;

use async_trait::async_trait;
use hookpost_domain::access::{Revocation, RevocationTarget};
use hookpost_domain::id::{Id, Kind, SourceKind};
use hookpost_domain::source::SourceToken;
use hookpost_domain::task::TaskStatus;
use hookpost_domain::{
    ApiKey, ApiKeyId, Application, ApplicationId, BackgroundTask, Endpoint, EndpointId, EventType, EventTypeName, Invalid, OrgId,
    PublicIds, Source, SourceId, TaskId, Timestamp,
};

use crate::page::{Listed, PageRequest};
use crate::{Unavailable, WriteError};

/// Changes a row in place, inside the transaction that writes it back; a refusal leaves it as it was.
pub type Change<T> = Box<dyn FnOnce(&mut T) -> Result<(), Invalid> + Send>;

/// How clients name things: by our id or by their uid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference<'a, K: Kind> {
    Id(Id<K>),
    Uid(&'a str),
}

impl<'a, K: Kind> Reference<'a, K> {
    pub fn parse(ids: &PublicIds, text: &'a str) -> Self {
        ids.decode(text).map_or(Self::Uid(text), Self::Id)
    }
}

/// An application with its endpoints, oldest first: all that routing and attempts need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationView {
    pub application: Application,
    pub endpoints: Vec<Arc<Endpoint>>,
}

impl ApplicationView {
    pub fn endpoint(&self, id: EndpointId) -> Option<&Arc<Endpoint>> {
        // Ids grow with time and endpoints stand oldest first.
        self.endpoints.binary_search_by_key(&id, |endpoint| endpoint.id).ok().map(|index| &self.endpoints[index])
    }

    pub fn endpoint_by_uid(&self, uid: &str) -> Option<&Arc<Endpoint>> {
        self.endpoints.iter().find(|endpoint| endpoint.uid.as_ref().is_some_and(|own| own.as_str() == uid))
    }
}

#[async_trait]
pub trait Catalog: Send + Sync + std::fmt::Debug {
    /// Changes whenever anything in the catalogue but tasks does, before the change is answered; whoever keeps a view compares it.
    fn version(&self) -> u64;

    async fn application(
        &self,
        org: &OrgId,
        reference: Reference<'_, hookpost_domain::id::ApplicationKind>,
    ) -> Result<Option<Arc<ApplicationView>>, Unavailable>;
    /// For the engine, which has the id from a delivery and acts for every tenant.
    async fn application_by_id(&self, id: ApplicationId) -> Result<Option<Arc<ApplicationView>>, Unavailable>;
    async fn applications(&self, org: &OrgId, page: PageRequest<ApplicationId>) -> Result<Listed<Application>, Unavailable>;
    /// `Conflict { field: "uid" }`.
    async fn create_application(&self, application: Application) -> Result<(), WriteError>;
    /// `NotFound`, `Conflict { field: "uid" }`, `Refused`.
    async fn update_application(&self, id: ApplicationId, change: Change<Application>) -> Result<Application, WriteError>;
    /// `NotFound`. Its uid is free again; its endpoints go with it, and their deliveries end as canceled.
    async fn delete_application(&self, id: ApplicationId, now: Timestamp) -> Result<(), WriteError>;

    /// `Conflict { field: "uid" }`, `NotFound` (the application), `LimitReached`.
    async fn create_endpoint(&self, endpoint: Endpoint) -> Result<(), WriteError>;
    /// `NotFound`, `Conflict { field: "uid" }`, `Refused`.
    async fn update_endpoint(&self, application: ApplicationId, id: EndpointId, change: Change<Endpoint>) -> Result<Endpoint, WriteError>;
    /// `NotFound`. Its unfinished deliveries end as canceled (`EndpointDeleted`); leases on them are lost.
    async fn delete_endpoint(&self, application: ApplicationId, id: EndpointId, now: Timestamp) -> Result<(), WriteError>;

    async fn source(&self, org: &OrgId, reference: Reference<'_, SourceKind>) -> Result<Option<Arc<Source>>, Unavailable>;
    async fn source_by_id(&self, id: SourceId) -> Result<Option<Arc<Source>>, Unavailable>;
    /// Whose URL it is, by its current token or one from before a rotation (the caller looks whether that is still good). From memory: every request asks.
    async fn source_by_token(&self, token: &SourceToken) -> Result<Option<Arc<Source>>, Unavailable>;
    async fn sources(&self, org: &OrgId, page: PageRequest<SourceId>) -> Result<Listed<Source>, Unavailable>;
    /// Of every tenant, those that are asked instead of calling (cron, polls, back-fill), disabled ones too, oldest first: for the engine. Not from
    /// memory; [`Self::version`] says when to ask again.
    async fn pull_sources(&self) -> Result<Vec<Arc<Source>>, Unavailable>;
    /// With the application that is made for it, in one transaction. `Conflict { field: "uid" }`, `Conflict { field: "token" }`, `NotFound` (the
    /// application, of the same tenant).
    async fn create_source(&self, source: Source, application: Option<Application>) -> Result<(), WriteError>;
    /// `NotFound` (also the application, if it leads to another), `Conflict { field: "uid" }`, `Conflict { field: "token" }`, `Refused`.
    async fn update_source(&self, id: SourceId, change: Change<Source>) -> Result<Source, WriteError>;
    /// `NotFound`. Its application goes with it if it was made for it, its state too. Receipts stay for their retention.
    async fn delete_source(&self, id: SourceId, now: Timestamp) -> Result<(), WriteError>;
    /// How far a pull source came: its own bytes, which change often and are no part of the catalogue's version.
    async fn source_state(&self, id: SourceId) -> Result<Option<Vec<u8>>, Unavailable>;
    /// Nothing where the source is gone.
    async fn set_source_state(&self, id: SourceId, state: Vec<u8>) -> Result<(), Unavailable>;

    async fn event_type(&self, org: &OrgId, name: &str) -> Result<Option<Arc<EventType>>, Unavailable>;
    async fn event_types(
        &self,
        org: &OrgId,
        include_archived: bool,
        page: PageRequest<EventTypeName>,
    ) -> Result<Listed<EventType>, Unavailable>;
    /// `Conflict { field: "name" }`.
    async fn create_event_type(&self, event_type: EventType) -> Result<(), WriteError>;
    /// `NotFound`, `Refused`.
    async fn update_event_type(&self, org: &OrgId, name: &str, change: Change<EventType>) -> Result<EventType, WriteError>;
    /// `NotFound`. For good; archiving is an update.
    async fn delete_event_type(&self, org: &OrgId, name: &str) -> Result<(), WriteError>;

    async fn api_key_by_hash(&self, key_sha256: [u8; 32]) -> Result<Option<Arc<ApiKey>>, Unavailable>;
    async fn api_keys(&self, org: Option<&OrgId>, page: PageRequest<ApiKeyId>) -> Result<Listed<ApiKey>, Unavailable>;
    async fn create_api_key(&self, key: ApiKey) -> Result<(), WriteError>;
    async fn api_key(&self, org: &OrgId, id: ApiKeyId) -> Result<Option<ApiKey>, Unavailable>;
    /// `NotFound`, `Refused`. The hash stays.
    async fn update_api_key(&self, org: &OrgId, id: ApiKeyId, change: Change<ApiKey>) -> Result<ApiKey, WriteError>;
    /// `NotFound`.
    async fn delete_api_key(&self, org: Option<&OrgId>, id: ApiKeyId) -> Result<(), WriteError>;

    async fn revoke(&self, revocation: Revocation) -> Result<(), Unavailable>;
    /// When tokens of this target were last revoked.
    async fn revoked_at(&self, target: &RevocationTarget) -> Result<Option<Timestamp>, Unavailable>;

    async fn create_task(&self, task: BackgroundTask) -> Result<(), WriteError>;
    /// `NotFound`, `Refused`.
    async fn update_task(&self, id: TaskId, change: Change<BackgroundTask>) -> Result<BackgroundTask, WriteError>;
    async fn task(&self, id: TaskId) -> Result<Option<BackgroundTask>, Unavailable>;
    async fn tasks(
        &self,
        org: Option<&OrgId>,
        filter: TaskFilter,
        page: PageRequest<TaskId>,
    ) -> Result<Listed<BackgroundTask>, Unavailable>;
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskFilter {
    pub status: Option<TaskStatus>,
    /// `endpoint.recover` and the like.
    pub kind: Option<String>,
}

impl TaskFilter {
    pub fn matches(&self, task: &BackgroundTask) -> bool {
        self.status.is_none_or(|wanted| task.status.is_shown_as(wanted))
            && self.kind.as_ref().is_none_or(|wanted| task.work.kind() == wanted)
    }
}
