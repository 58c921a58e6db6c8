//! What is configured. Reads come from memory wherever they can; changes go through the writer, which patches what is in memory.

mod access;
mod applications;
mod event_types;

use std::sync::Arc;

use async_trait::async_trait;
use hookpost_domain::access::{Revocation, RevocationTarget};
use hookpost_domain::id::{ApplicationKind, SourceKind};
use hookpost_domain::source::SourceToken;
use hookpost_domain::task::TaskStatus;
use hookpost_domain::{
    ApiKey, ApiKeyId, Application, ApplicationId, BackgroundTask, Endpoint, EndpointId, EventType, EventTypeName, OrgId, RowId, Source,
    SourceId, TaskId, Timestamp, limits,
};
use hookpost_store::catalog::TaskFilter;
use hookpost_store::{ApplicationView, Catalog, Change, Listed, PageRequest, Reference, Unavailable, WriteError};
use rusqlite::{Connection, ToSql, params};

use crate::SqliteStore;
use crate::command::{Failed, Written};
use crate::error::StoreError;
use crate::{rows, sources, tasks};
use hookpost_store::cache::{EventTypes, Loading, list_event_types};
use hookpost_store::page::Walk;
use hookpost_store::rows::token_hash;

pub(crate) use applications::{delete_application_rows, forget_application, insert_application};

use applications::{application_id_of_uid, check_application_uid, check_endpoint_uid, forget_endpoint, load_view, put_endpoint};

pub(crate) type Refusal = Failed<WriteError>;

pub(crate) fn refuse<T>(error: WriteError) -> Result<T, Refusal> {
    Err(Failed::Refused(error))
}

#[async_trait]
impl Catalog for SqliteStore {
    fn version(&self) -> u64 {
        self.shared.catalog.version()
    }

    async fn application(
        &self,
        org: &OrgId,
        reference: Reference<'_, ApplicationKind>,
    ) -> Result<Option<Arc<ApplicationView>>, Unavailable> {
        let view = match reference {
            Reference::Id(id) => self.application_by_id(id).await?,
            Reference::Uid(uid) => match self.shared.catalog.application_of_uid(org, uid) {
                Some(view) => Some(view),
                None => {
                    let (org, uid) = (org.clone(), uid.to_owned());
                    let id = self.read(move |connection, _| application_id_of_uid(connection, &org, &uid)).await?;
                    match id {
                        Some(id) => self.application_by_id(id).await?,
                        None => None,
                    }
                }
            },
        };
        Ok(view.filter(|view| view.application.org == *org))
    }

    async fn application_by_id(&self, id: ApplicationId) -> Result<Option<Arc<ApplicationView>>, Unavailable> {
        if let Some(view) = self.shared.catalog.application(id) {
            return Ok(Some(view));
        }
        self.read(move |connection, shared| {
            let ticket = shared.catalog.begin(Loading::Application(id));
            let view = load_view(connection, &shared.vault, id);
            shared.catalog.loaded_application(ticket, id, view.as_ref().ok().and_then(Option::as_ref));
            view
        })
        .await
    }

    async fn applications(&self, org: &OrgId, page: PageRequest<ApplicationId>) -> Result<Listed<Application>, Unavailable> {
        let org = org.clone();
        self.read(move |connection, _| {
            let walk = ids(page.walk(), ApplicationId::row);
            Ok(page.listed(select_json(connection, "SELECT data FROM application WHERE org = ?1", &[&org.as_str()], walk)?))
        })
        .await
    }

    async fn create_application(&self, application: Application) -> Result<(), WriteError> {
        self.shared
            .write(move |context| {
                insert_application(context.connection, &application)?;
                // Not cached yet: the first who asks loads it. A load under way would keep its absence.
                Ok(Written::and((), move |shared| shared.catalog.patch_application(application.id, |_| Some(()))))
            })
            .await
    }

    async fn update_application(&self, id: ApplicationId, change: Change<Application>) -> Result<Application, WriteError> {
        self.shared
            .write(move |context| {
                let Some(mut application) = rows::application(context.connection, id)? else { return refuse(WriteError::NotFound) };
                change(&mut application).map_err(|refusal| Refusal::Refused(refusal.into()))?;
                check_application_uid(context.connection, &application)?;
                context.connection.prepare_cached("UPDATE application SET uid = ?2, data = ?3 WHERE id = ?1")?.execute(params![
                    id.row().as_i64(),
                    application.uid.as_ref().map(|uid| uid.as_str()),
                    hookpost_store::rows::to_json(&application)?
                ])?;
                let changed = application.clone();
                Ok(Written::and(application, move |shared| {
                    shared.catalog.patch_application(id, |view| {
                        view.application = changed;
                        Some(())
                    });
                }))
            })
            .await
    }

    async fn delete_application(&self, id: ApplicationId, now: Timestamp) -> Result<(), WriteError> {
        self.shared
            .write(move |context| {
                let Some(endpoints) = delete_application_rows(context, id, now)? else { return refuse(WriteError::NotFound) };
                Ok(Written::and((), move |shared| forget_application(shared, id, &endpoints)))
            })
            .await
    }

    async fn create_endpoint(&self, endpoint: Endpoint) -> Result<(), WriteError> {
        self.shared
            .write(move |context| {
                let application = endpoint.application.row().as_i64();
                let connection = context.connection;
                if !connection.prepare_cached("SELECT 1 FROM application WHERE id = ?1")?.exists([application])? {
                    return refuse(WriteError::NotFound);
                }
                let count: i64 = connection
                    .prepare_cached("SELECT count(*) FROM endpoint WHERE application = ?1")?
                    .query_row([application], |row| row.get(0))?;
                if count >= limits::ENDPOINTS_PER_APPLICATION_MAX as i64 {
                    let max = limits::ENDPOINTS_PER_APPLICATION_MAX;
                    return refuse(WriteError::LimitReached(format!("an application has at most {max} endpoints")));
                }
                check_endpoint_uid(connection, &endpoint)?;
                let (data, sealed) = hookpost_store::rows::encode_endpoint(&context.shared.vault, &endpoint)?;
                connection
                    .prepare_cached("INSERT INTO endpoint (id, application, uid, data, sealed) VALUES (?1, ?2, ?3, ?4, ?5)")?
                    .execute(params![
                        endpoint.id.row().as_i64(),
                        application,
                        endpoint.uid.as_ref().map(|uid| uid.as_str()),
                        data,
                        sealed
                    ])?;
                Ok(Written::and((), move |shared| put_endpoint(shared, endpoint)))
            })
            .await
    }

    async fn update_endpoint(&self, application: ApplicationId, id: EndpointId, change: Change<Endpoint>) -> Result<Endpoint, WriteError> {
        self.shared
            .write(move |context| {
                let vault = &context.shared.vault;
                let Some(mut endpoint) = rows::endpoint(context.connection, vault, application, id)? else {
                    return refuse(WriteError::NotFound);
                };
                change(&mut endpoint).map_err(|refusal| Refusal::Refused(refusal.into()))?;
                check_endpoint_uid(context.connection, &endpoint)?;
                let (data, sealed) = hookpost_store::rows::encode_endpoint(vault, &endpoint)?;
                context
                    .connection
                    .prepare_cached("UPDATE endpoint SET uid = ?2, data = ?3, sealed = ?4 WHERE id = ?1")?
                    .execute(params![id.row().as_i64(), endpoint.uid.as_ref().map(|uid| uid.as_str()), data, sealed])?;
                let changed = endpoint.clone();
                Ok(Written::and(endpoint, move |shared| put_endpoint(shared, changed)))
            })
            .await
    }

    async fn delete_endpoint(&self, application: ApplicationId, id: EndpointId, now: Timestamp) -> Result<(), WriteError> {
        self.shared
            .write(move |context| {
                if rows::application_of_endpoint(context.connection, id)? != Some(application) {
                    return refuse(WriteError::NotFound);
                }
                forget_endpoint(context, id, now)?;
                Ok(Written::and((), move |shared| {
                    shared.leases.lock().forget_endpoint(id);
                    shared.catalog.patch_application(application, |view| {
                        view.endpoints.retain(|endpoint| endpoint.id != id);
                        Some(())
                    });
                }))
            })
            .await
    }

    async fn source(&self, org: &OrgId, reference: Reference<'_, SourceKind>) -> Result<Option<Arc<Source>>, Unavailable> {
        let source = match reference {
            Reference::Id(id) => self.source_by_id(id).await?,
            Reference::Uid(uid) => {
                let (org, uid) = (org.clone(), uid.to_owned());
                match self.read(move |connection, _| sources::id_of_uid(connection, &org, &uid)).await? {
                    Some(id) => self.source_by_id(id).await?,
                    None => None,
                }
            }
        };
        Ok(source.filter(|source| source.org == *org))
    }

    async fn source_by_id(&self, id: SourceId) -> Result<Option<Arc<Source>>, Unavailable> {
        if let Some(source) = self.shared.catalog.source(id) {
            return Ok(Some(source));
        }
        self.read(move |connection, shared| sources::load_into_memory(connection, shared, id)).await
    }

    async fn source_by_token(&self, token: &SourceToken) -> Result<Option<Arc<Source>>, Unavailable> {
        let hash = token_hash(token);
        if let Some(source) = self.shared.catalog.source_of_token(&hash) {
            return Ok(Some(source));
        }
        let _turn = self.shared.catalog.token_lookup().await;
        self.read(move |connection, shared| sources::find_by_token(connection, shared, &hash)).await
    }

    async fn sources(&self, org: &OrgId, page: PageRequest<SourceId>) -> Result<Listed<Source>, Unavailable> {
        let org = org.clone();
        self.read(move |connection, shared| {
            Ok(page.listed(sources::list(connection, &shared.vault, &org, ids(page.walk(), SourceId::row))?))
        })
        .await
    }

    async fn pull_sources(&self) -> Result<Vec<Arc<Source>>, Unavailable> {
        self.read(|connection, shared| sources::pulled(connection, &shared.vault)).await
    }

    async fn create_source(&self, source: Source, application: Option<Application>) -> Result<(), WriteError> {
        self.shared.write(move |context| sources::create(context, source, application)).await
    }

    async fn update_source(&self, id: SourceId, change: Change<Source>) -> Result<Source, WriteError> {
        self.shared.write(move |context| sources::update(context, id, change)).await
    }

    async fn delete_source(&self, id: SourceId, now: Timestamp) -> Result<(), WriteError> {
        self.shared.write(move |context| sources::delete(context, id, now)).await
    }

    async fn source_state(&self, id: SourceId) -> Result<Option<Vec<u8>>, Unavailable> {
        self.read(move |connection, _| sources::state(connection, id)).await
    }

    async fn set_source_state(&self, id: SourceId, state: Vec<u8>) -> Result<(), Unavailable> {
        self.shared
            .write(move |context| -> Result<_, Failed<Unavailable>> {
                sources::set_state(context.connection, id, &state)?;
                Ok(Written::new(()))
            })
            .await
    }

    async fn event_type(&self, org: &OrgId, name: &str) -> Result<Option<Arc<EventType>>, Unavailable> {
        Ok(self.event_types_of(org).await?.get(name).cloned())
    }

    async fn event_types(
        &self,
        org: &OrgId,
        include_archived: bool,
        page: PageRequest<EventTypeName>,
    ) -> Result<Listed<EventType>, Unavailable> {
        Ok(list_event_types(&*self.event_types_of(org).await?, include_archived, &page))
    }

    async fn create_event_type(&self, event_type: EventType) -> Result<(), WriteError> {
        self.shared.write(move |context| event_types::create(context, event_type)).await
    }

    async fn update_event_type(&self, org: &OrgId, name: &str, change: Change<EventType>) -> Result<EventType, WriteError> {
        let (org, name) = (org.clone(), name.to_owned());
        self.shared.write(move |context| event_types::update(context, &org, &name, change)).await
    }

    async fn delete_event_type(&self, org: &OrgId, name: &str) -> Result<(), WriteError> {
        let org = org.clone();
        // A name that could not be given names nothing.
        let name = EventTypeName::parse(name).map_err(|_| WriteError::NotFound)?;
        self.shared.write(move |context| event_types::delete(context, org, name)).await
    }

    async fn api_key_by_hash(&self, key_sha256: [u8; 32]) -> Result<Option<Arc<ApiKey>>, Unavailable> {
        if let Some(key) = self.shared.catalog.api_key(&key_sha256) {
            return Ok(Some(key));
        }
        self.read(move |connection, shared| {
            let ticket = shared.catalog.begin(Loading::ApiKey(key_sha256));
            let key = access::key_of_hash(connection, key_sha256);
            shared.catalog.loaded_api_key(ticket, key_sha256, key.as_ref().ok().and_then(Option::as_ref));
            key
        })
        .await
    }

    async fn api_keys(&self, org: Option<&OrgId>, page: PageRequest<ApiKeyId>) -> Result<Listed<ApiKey>, Unavailable> {
        let org = org.cloned();
        self.read(move |connection, _| {
            let org = org.as_ref().map(OrgId::as_str);
            let walk = ids(page.walk(), ApiKeyId::row);
            Ok(page.listed(select_json(connection, "SELECT data FROM api_key WHERE (?1 IS NULL OR org = ?1)", &[&org], walk)?))
        })
        .await
    }

    async fn create_api_key(&self, key: ApiKey) -> Result<(), WriteError> {
        self.shared.write(move |context| access::create_key(context, &key)).await
    }

    async fn api_key(&self, org: &OrgId, id: ApiKeyId) -> Result<Option<ApiKey>, Unavailable> {
        let org = org.clone();
        self.read(move |connection, _| access::key(connection, &org, id)).await
    }

    async fn update_api_key(&self, org: &OrgId, id: ApiKeyId, change: Change<ApiKey>) -> Result<ApiKey, WriteError> {
        let org = org.clone();
        self.shared.write(move |context| access::update_key(context, &org, id, change)).await
    }

    async fn delete_api_key(&self, org: Option<&OrgId>, id: ApiKeyId) -> Result<(), WriteError> {
        let org = org.cloned();
        self.shared.write(move |context| access::delete_key(context, org.as_ref(), id)).await
    }

    async fn revoke(&self, revocation: Revocation) -> Result<(), Unavailable> {
        self.shared.write(move |context| access::revoke(context, revocation)).await
    }

    async fn revoked_at(&self, target: &RevocationTarget) -> Result<Option<Timestamp>, Unavailable> {
        Ok(self.shared.catalog.revocations.read().get(target).map(|(at, _)| *at))
    }

    async fn create_task(&self, task: BackgroundTask) -> Result<(), WriteError> {
        self.shared.write(move |context| tasks::create(context, &task)).await
    }

    async fn update_task(&self, id: TaskId, change: Change<BackgroundTask>) -> Result<BackgroundTask, WriteError> {
        self.shared.write(move |context| tasks::update(context, id, change)).await
    }

    async fn task(&self, id: TaskId) -> Result<Option<BackgroundTask>, Unavailable> {
        self.read(move |connection, _| tasks::get(connection, id)).await
    }

    async fn tasks(
        &self,
        org: Option<&OrgId>,
        filter: TaskFilter,
        page: PageRequest<TaskId>,
    ) -> Result<Listed<BackgroundTask>, Unavailable> {
        let org = org.cloned();
        self.read(move |connection, _| {
            let status = filter.status.map(TaskStatus::as_str);
            let org = org.as_ref().map(OrgId::as_str);
            let select =
                "SELECT data FROM task WHERE (?1 IS NULL OR org = ?1) AND (?2 IS NULL OR status = ?2) AND (?3 IS NULL OR kind = ?3)";
            let walk = ids(page.walk(), TaskId::row);
            Ok(page.listed(select_json(connection, select, &[&org, &status, &filter.kind], walk)?))
        })
        .await
    }
}

impl SqliteStore {
    async fn event_types_of(&self, org: &OrgId) -> Result<Arc<EventTypes>, Unavailable> {
        if let Some(types) = self.shared.catalog.event_types(org) {
            return Ok(types);
        }
        let org = org.clone();
        self.read(move |connection, shared| {
            let ticket = shared.catalog.begin(Loading::EventTypes(org.clone()));
            let types = Arc::new(event_types::load(connection, &org)?);
            shared.catalog.loaded_event_types(ticket, &org, &types);
            Ok(types)
        })
        .await
    }
}

fn ids<C>(walk: Walk<C>, row: impl Fn(C) -> RowId) -> Walk<i64> {
    walk.map(|id| row(id).as_i64())
}

/// Rows of a table with `id` and `data`, where `select` ends in its conditions.
fn select_json<T: serde::de::DeserializeOwned>(
    connection: &Connection,
    select: &str,
    conditions: &[&dyn ToSql],
    walk: Walk<i64>,
) -> Result<Vec<T>, StoreError> {
    let (comparison, order) = walk.comparison();
    let count = conditions.len();
    let sql = format!("{select} AND id {comparison} ?{} ORDER BY id {order} LIMIT ?{}", count + 1, count + 2);
    let mut statement = connection.prepare_cached(&sql)?;
    let (bound, limit) = (walk.bound(), walk.count as i64);
    let parameters: Vec<&dyn ToSql> = conditions.iter().copied().chain([&bound as &dyn ToSql, &limit]).collect();
    let mut rows = statement.query(parameters.as_slice())?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(rows::json_column(row)?);
    }
    Ok(items)
}
