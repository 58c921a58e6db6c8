//! Who is asking, and whether they may.
//!
//! A handler takes a [`Caller`] and cannot reach a tenant or an application except through it, naming the [`Right`] it needs: forgetting
//! the check does not compile into anything useful.

pub(crate) mod api_key;
pub(crate) mod key;
pub(crate) mod last_use;
pub(crate) mod portal;
mod streams;
pub(crate) mod token;

use std::sync::Arc;

use aide::OperationInput;
use axum::extract::FromRequestParts;
use hookpost_domain::access::{Capability, PortalSession};
use hookpost_domain::{ApplicationId, OrgId, Principal, Scope, Source};
use hookpost_store::{ApplicationView, Reference};
use http::request::Parts;

use crate::front::RequestNote;
use crate::problem::Problem;
use crate::state::Api;

/// What an operation needs; scopes of keys and capabilities of portal sessions grant it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    /// Reading, without secrets.
    Read,
    /// Creating messages.
    Send,
    /// Creating, changing and deleting what only the tenant may: applications, event types, contents of messages.
    Manage,
    /// Creating, changing and deleting endpoints, their headers included.
    ManageEndpoint,
    /// Seeing the signing secret of an endpoint.
    ReadSecret,
    /// Rotating it.
    ManageSecret,
    /// Sending again: resend, recover, replay.
    CreateAttempts,
    /// API keys and portal access.
    Admin,
}

/// Whoever presented a valid token.
#[derive(Debug, Clone)]
pub(crate) struct Caller(Arc<Principal>);

impl FromRequestParts<Api> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let principal = token::verify(api, &parts.headers).await?;
        if let Some(note) = parts.extensions.get::<RequestNote>() {
            note.set_org(principal.org());
        }
        Ok(Self(principal))
    }
}

/// The description names the scheme for all operations at once.
impl OperationInput for Caller {}

impl Caller {
    /// The tenant, for what concerns all of it. Portal sessions have no such rights.
    pub(crate) fn org(&self, right: Right) -> Result<&OrgId, Problem> {
        match &*self.0 {
            Principal::Org { org, scopes, .. } if scopes.iter().any(|scope| scope_grants(*scope, right)) => Ok(org),
            _ => Err(Problem::Forbidden),
        }
    }

    /// The tenant, for what a portal session may see of it too; with the session, which sees less.
    pub(crate) fn org_or_session(&self, right: Right) -> Result<(&OrgId, Option<&PortalSession>), Problem> {
        match &*self.0 {
            Principal::Org { .. } => self.org(right).map(|org| (org, None)),
            Principal::Application { org, session, .. } if session_grants(session, right) => Ok((org, Some(session))),
            _ => Err(Problem::Forbidden),
        }
    }

    /// An application of the tenant by id or uid. For a portal session no other than its own exists.
    pub(crate) async fn application(&self, api: &Api, reference: &str, right: Right) -> Result<Arc<ApplicationView>, Problem> {
        let (org, session) = self.org_or_session(right)?;
        let reference = Reference::parse(api.store.public_ids(), reference);
        let view = api.store.application(org, reference).await?.ok_or(Problem::APPLICATION_NOT_FOUND)?;
        match &*self.0 {
            Principal::Application { application, .. } if session.is_some() && view.application.id != *application => {
                Err(Problem::NOT_FOUND)
            }
            _ => Ok(view),
        }
    }

    /// A source of the tenant by id or uid. Portal sessions see none: what others send is the tenant's own affair.
    pub(crate) async fn source(&self, api: &Api, reference: &str, right: Right) -> Result<Arc<Source>, Problem> {
        let org = self.org(right)?;
        let reference = Reference::parse(api.store.public_ids(), reference);
        api.store.source(org, reference).await?.ok_or(Problem::NOT_FOUND)
    }

    /// The application that a source feeds; for a portal session, where it is its own.
    pub(crate) async fn application_of_source(&self, api: &Api, reference: &str, right: Right) -> Result<Arc<ApplicationView>, Problem> {
        let (org, _) = self.org_or_session(right)?;
        let reference = Reference::parse(api.store.public_ids(), reference);
        let source = api.store.source(org, reference).await?.ok_or(Problem::NOT_FOUND)?;
        if matches!(&*self.0, Principal::Application { application, .. } if *application != source.application) {
            return Err(Problem::NOT_FOUND);
        }
        api.store.application_by_id(source.application).await?.ok_or(Problem::NOT_FOUND)
    }

    /// The tenant, for creating messages: a key may be for those of one application. Ask [`Self::may_send_to`] when the application is known.
    pub(crate) fn sender(&self) -> Result<&OrgId, Problem> {
        match &*self.0 {
            Principal::Sender { org, .. } => Ok(org),
            _ => self.org(Right::Send),
        }
    }

    /// For a key of another application it is not there.
    pub(crate) fn may_send_to(&self, application: ApplicationId) -> Result<(), Problem> {
        match &*self.0 {
            Principal::Sender { application: own, .. } if *own != application => Err(Problem::APPLICATION_NOT_FOUND),
            Principal::Sender { .. } => Ok(()),
            _ => self.org(Right::Send).map(drop),
        }
    }

    pub(crate) fn principal(&self) -> &Principal {
        &self.0
    }
}

fn scope_grants(scope: Scope, right: Right) -> bool {
    match scope {
        Scope::Admin => true,
        Scope::Manage => !matches!(right, Right::ReadSecret | Right::ManageSecret | Right::Admin),
        Scope::Send => right == Right::Send,
        Scope::Read => right == Right::Read,
    }
}

fn session_grants(session: &PortalSession, right: Right) -> bool {
    let has = |capability| match &session.capabilities {
        // A read-only session of the older kind names no capabilities.
        None => !session.read_only || capability == Capability::ViewBase,
        Some(capabilities) => capabilities.contains(&capability),
    };
    match right {
        Right::Read => true,
        Right::ReadSecret => {
            has(Capability::ViewEndpointSecret) || has(Capability::ManageEndpointSecret) || has(Capability::ManageEndpoint)
        }
        _ if session.read_only => false,
        Right::ManageSecret => has(Capability::ManageEndpointSecret) || has(Capability::ManageEndpoint),
        Right::ManageEndpoint => has(Capability::ManageEndpoint),
        Right::CreateAttempts => has(Capability::CreateAttempts),
        Right::Send | Right::Manage | Right::Admin => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHTS: [Right; 8] = [
        Right::Read,
        Right::Send,
        Right::Manage,
        Right::ManageEndpoint,
        Right::ReadSecret,
        Right::ManageSecret,
        Right::CreateAttempts,
        Right::Admin,
    ];

    fn granted(grants: impl Fn(Right) -> bool) -> Vec<Right> {
        RIGHTS.into_iter().filter(|right| grants(*right)).collect()
    }

    #[test]
    fn scopes_grant_what_they_say() {
        assert_eq!(granted(|right| scope_grants(Scope::Admin, right)), RIGHTS);
        assert_eq!(
            granted(|right| scope_grants(Scope::Manage, right)),
            [Right::Read, Right::Send, Right::Manage, Right::ManageEndpoint, Right::CreateAttempts]
        );
        assert_eq!(granted(|right| scope_grants(Scope::Send, right)), [Right::Send]);
        assert_eq!(granted(|right| scope_grants(Scope::Read, right)), [Right::Read]);
    }

    #[test]
    fn sessions_grant_what_their_capabilities_say() {
        let everything = PortalSession::default();
        assert_eq!(
            granted(|right| session_grants(&everything, right)),
            [Right::Read, Right::ManageEndpoint, Right::ReadSecret, Right::ManageSecret, Right::CreateAttempts]
        );
        let read_only = PortalSession { read_only: true, ..PortalSession::default() };
        assert_eq!(granted(|right| session_grants(&read_only, right)), [Right::Read]);
        for (capability, rights) in [
            (Capability::ViewBase, vec![Right::Read]),
            (Capability::ViewEndpointSecret, vec![Right::Read, Right::ReadSecret]),
            (Capability::ManageEndpointSecret, vec![Right::Read, Right::ReadSecret, Right::ManageSecret]),
            (Capability::CreateAttempts, vec![Right::Read, Right::CreateAttempts]),
            (Capability::ManageEndpoint, vec![Right::Read, Right::ManageEndpoint, Right::ReadSecret, Right::ManageSecret]),
        ] {
            let session = PortalSession { capabilities: Some(vec![capability]), ..PortalSession::default() };
            assert_eq!(granted(|right| session_grants(&session, right)), rights, "{capability:?}");
        }
    }
}
