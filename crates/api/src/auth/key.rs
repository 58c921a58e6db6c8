//! What an opaque key opens, and whether it still does. Keys that are for one thing end with that thing, whether or not their own row went too.

use hookpost_domain::access::{KeyReach, PollerToken, PortalSession};
use hookpost_domain::{ApiKey, ApplicationId, Integration, IntegrationId, OrgId, Principal, SinkId, Timestamp};
use hookpost_store::{Named, Unavailable};

use crate::state::Api;

/// Who has the key, and until when it opens. `None`: it does not any more.
pub(super) async fn open(api: &Api, key: &ApiKey) -> Result<Option<(Principal, Option<Timestamp>)>, Unavailable> {
    let org = key.org.clone();
    let opened = match key.reach {
        KeyReach::Organization => {
            let principal = Principal::Org { org, scopes: key.scopes.clone(), key: Some(key.id) };
            Some((principal, key.expires_at))
        }
        KeyReach::MessagesOf(application) => {
            let is_there = api.store.application_by_id(application).await?.is_some_and(|view| view.application.org == org);
            is_there.then(|| (Principal::Sender { org, application, key: key.id }, key.expires_at))
        }
        KeyReach::PollsOf(sink) => open_poller(api, key, org, sink).await?,
        KeyReach::Integration { application, integration } => open_integration(api, key, org, application, integration).await?,
    };
    Ok(opened)
}

async fn open_poller(api: &Api, key: &ApiKey, org: OrgId, sink: SinkId) -> Result<Option<(Principal, Option<Timestamp>)>, Unavailable> {
    let token: Option<PollerToken> = api.store.find(&org, sink.row(), Named::Id(sink.row())).await?;
    let end = token.and_then(|token| token.end_of(key.id));
    Ok(end.map(|end| (Principal::Poller { org, sink, key: key.id }, end)))
}

async fn open_integration(
    api: &Api,
    key: &ApiKey,
    org: OrgId,
    application: ApplicationId,
    integration: IntegrationId,
) -> Result<Option<(Principal, Option<Timestamp>)>, Unavailable> {
    let integration: Option<Integration> = api.store.find(&org, application.row(), Named::Id(integration.row())).await?;
    Ok(integration.filter(|integration| integration.key.id == key.id).map(|integration| {
        let session = PortalSession {
            feature_flags: integration.feature_flags,
            key: Some(key.id),
            issued_at: key.created_at,
            expires_at: Timestamp::MAX,
            ..PortalSession::default()
        };
        (Principal::Application { org, application, session }, None)
    }))
}
