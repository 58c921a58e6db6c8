//! The way to streams, sinks and pollers.

use std::sync::Arc;

use hookpost_domain::access::PortalSession;
use hookpost_domain::id::{SinkKind, StreamKind};
use hookpost_domain::{OrgId, Principal, RowId, Sink, SinkId, Stream};
use hookpost_store::{ApplicationView, Named, Reference};

use super::{Caller, Right, scope_grants, session_grants};
use crate::problem::Problem;
use crate::state::Api;

impl Caller {
    /// The tenant, for what a portal session of a stream may see of it too; with the session, which sees less.
    pub(crate) fn org_or_stream_session(&self, right: Right) -> Result<(&OrgId, Option<&PortalSession>), Problem> {
        match self.principal() {
            Principal::Org { org, scopes, .. } if scopes.iter().any(|scope| scope_grants(*scope, right)) => Ok((org, None)),
            Principal::Stream { org, session, .. } if session_grants(session, right) => Ok((org, Some(session))),
            _ => Err(Problem::Forbidden),
        }
    }

    /// A stream of the tenant by id or uid. For a portal session no other than its own exists.
    pub(crate) async fn stream(&self, api: &Api, reference: &str, right: Right) -> Result<Stream, Problem> {
        let (org, _) = self.org_or_stream_session(right)?;
        let stream = find_stream(api, org, reference).await?;
        match self.principal() {
            Principal::Stream { stream: own, .. } if *own != stream.id => Err(Problem::NOT_FOUND),
            _ => Ok(stream),
        }
    }

    /// A sink of a stream, by ids or uids.
    pub(crate) async fn sink_of_stream(&self, api: &Api, stream: &str, sink: &str, right: Right) -> Result<(Stream, Sink), Problem> {
        let stream = self.stream(api, stream, right).await?;
        let sink = find_sink(api, &stream.org, stream.id.row(), sink).await?;
        Ok((stream, sink))
    }

    /// A sink (a destination, a poller) of an application, by ids or uids.
    pub(crate) async fn sink_of_application(
        &self,
        api: &Api,
        application: &str,
        sink: &str,
        right: Right,
    ) -> Result<(Arc<ApplicationView>, Sink), Problem> {
        let view = self.application(api, application, right).await?;
        let sink = find_sink(api, &view.application.org, view.application.id.row(), sink).await?;
        Ok((view, sink))
    }

    /// The sink of a stream that is polled: by its token, or by whoever has `right` on the stream.
    pub(crate) async fn poller_of_stream(&self, api: &Api, stream: &str, sink: &str, right: Right) -> Result<Sink, Problem> {
        let Principal::Poller { org, sink: own, .. } = self.principal() else {
            return self.sink_of_stream(api, stream, sink, right).await.map(|(_, sink)| sink);
        };
        let stream = find_stream(api, org, stream).await?;
        only(*own, find_sink(api, org, stream.id.row(), sink).await?)
    }

    /// The same for a sink of an application.
    pub(crate) async fn poller_of_application(&self, api: &Api, application: &str, sink: &str, right: Right) -> Result<Sink, Problem> {
        let Principal::Poller { org, sink: own, .. } = self.principal() else {
            return self.sink_of_application(api, application, sink, right).await.map(|(_, sink)| sink);
        };
        let reference = Reference::parse(api.store.public_ids(), application);
        let view = api.store.application(org, reference).await?.ok_or(Problem::NOT_FOUND)?;
        only(*own, find_sink(api, org, view.application.id.row(), sink).await?)
    }
}

async fn find_stream(api: &Api, org: &OrgId, reference: &str) -> Result<Stream, Problem> {
    let named = Named::parse::<StreamKind>(api.store.public_ids(), reference);
    api.store.find::<Stream>(org, RowId::MIN, named).await?.ok_or(Problem::NOT_FOUND)
}

async fn find_sink(api: &Api, org: &OrgId, owner: RowId, reference: &str) -> Result<Sink, Problem> {
    let named = Named::parse::<SinkKind>(api.store.public_ids(), reference);
    api.store.find::<Sink>(org, owner, named).await?.ok_or(Problem::NOT_FOUND)
}

/// For the token of another poller it is not there.
fn only(own: SinkId, sink: Sink) -> Result<Sink, Problem> {
    if sink.id == own { Ok(sink) } else { Err(Problem::NOT_FOUND) }
}
