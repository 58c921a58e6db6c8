//! Sinks of streams and destinations of applications: one thing, kept by two owners under two sets of names. What both can do is here; their paths, and who may
//! take them, are in `stream` and `destination`.

pub(crate) mod attempt;
mod fields;
pub(crate) mod http;
pub(crate) mod models;
pub(crate) mod named;
pub(crate) mod position;

#[cfg(test)]
mod tests;

use hookpost_domain::id::SinkKind;
use hookpost_domain::sink::{SinkOwner, SinkTarget};
use hookpost_domain::{ApplicationId, MessageId, OrgId, Sink, SinkId, Stream};
use hookpost_store::{ApplicationView, Listed, Named, Order, PageRequest};

use crate::client::Client;
use crate::extract::CreatedOr;
use crate::page::{self, ListQuery, Page};
use crate::problem::Problem;
use crate::state::Api;

pub(crate) use fields::{SinkChange, SinkFields};
use models::SinkOut;

/// Who has sinks, and where what they take comes from.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) org: OrgId,
    pub(crate) owner: SinkOwner,
    pub(crate) log: ApplicationId,
}

impl Holder {
    pub(crate) fn stream(stream: &Stream) -> Self {
        Self { org: stream.org.clone(), owner: SinkOwner::Stream(stream.id), log: stream.log }
    }

    pub(crate) fn application(view: &ApplicationView) -> Self {
        let application = view.application.id;
        Self { org: view.application.org.clone(), owner: SinkOwner::Application(application), log: application }
    }
}

pub(crate) async fn list(api: &Api, client: Client, holder: &Holder, query: ListQuery) -> Result<Page<SinkOut>, Problem> {
    let page = query.request::<SinkKind>(api.store.public_ids(), Order::Ascending)?;
    let Some(page) = page else { return Ok(Page::empty()) };
    let listed: Listed<Sink> = api.store.list(&holder.org, holder.owner.row(), page::by_row(page)).await?;
    let mut items = Vec::with_capacity(listed.items.len());
    for sink in &listed.items {
        items.push((api.public(sink.id), SinkOut::load(api, client, sink).await?));
    }
    Ok(Page::new(items, listed.done))
}

pub(crate) async fn create(api: &Api, client: Client, holder: &Holder, fields: SinkFields) -> Result<SinkOut, Problem> {
    let now = api.now();
    let id: SinkId = api.new_id(now);
    let sink = fields.into_sink(api, holder, id, now);
    // Before the sink is there, so that nobody takes it for one that stands at the beginning.
    let begin = beginning(id);
    api.store.advance_sink(id, "", move |progress| progress.after = Some(begin), Vec::new()).await?;
    if let Err(refused) = api.store.create(&sink).await {
        api.store.forget_progress(id.row()).await?;
        return Err(refused.into());
    }
    api.engine.wake_sinks();
    SinkOut::load(api, client, &sink).await
}

/// Replaces the sink that `reference` names, or creates it.
pub(crate) async fn upsert(
    api: &Api,
    client: Client,
    holder: &Holder,
    reference: &str,
    fields: SinkFields,
) -> Result<CreatedOr<SinkOut>, Problem> {
    match find(api, holder, reference).await? {
        Some(sink) => change(api, client, &sink, fields.into_change(api)).await.map(CreatedOr::Existing),
        None => create(api, client, holder, fields).await.map(CreatedOr::Created),
    }
}

/// Changes a sink inside the transaction that writes it back.
pub(crate) async fn change(api: &Api, client: Client, sink: &Sink, change: SinkChange) -> Result<SinkOut, Problem> {
    let now = api.now();
    let write = move |sink: &mut Sink| {
        change.write_to(sink)?;
        sink.updated_at = now;
        Ok(())
    };
    let updated = api.store.update(&sink.org, sink.owner.row(), sink.id.row(), write).await?;
    api.engine.wake_sinks();
    SinkOut::load(api, client, &updated).await
}

/// What it has not been sent is not sent any more.
pub(crate) async fn delete(api: &Api, sink: &Sink) -> Result<(), Problem> {
    api.store.delete::<Sink>(&sink.org, sink.owner.row(), sink.id.row()).await?;
    api.engine.wake_sinks();
    Ok(api.store.forget_progress(sink.id.row()).await?)
}

/// All sinks of an owner that is about to be deleted.
pub(crate) async fn all(api: &Api, holder: &Holder) -> Result<Vec<SinkId>, Problem> {
    let mut found = Vec::new();
    let mut page = PageRequest::first(hookpost_domain::limits::PAGE_ITEMS_MAX, Order::Ascending);
    loop {
        let listed: Listed<Sink> = api.store.list(&holder.org, holder.owner.row(), page.clone()).await?;
        found.extend(listed.items.iter().map(|sink| sink.id));
        match listed.items.last() {
            Some(last) if !listed.done => page.cursor = Some(hookpost_store::Cursor::After(last.id.row())),
            _ => return Ok(found),
        }
    }
}

pub(crate) async fn forget(api: &Api, sinks: Vec<SinkId>) -> Result<(), Problem> {
    api.engine.wake_sinks();
    for sink in sinks {
        api.store.forget_progress(sink.row()).await?;
    }
    Ok(())
}

async fn find(api: &Api, holder: &Holder, reference: &str) -> Result<Option<Sink>, Problem> {
    let named = Named::parse::<SinkKind>(api.store.public_ids(), reference);
    Ok(api.store.find(&holder.org, holder.owner.row(), named).await?)
}

/// A sink takes what is accepted after it was made; ids of all kinds come from one sequence.
pub(crate) fn beginning(sink: SinkId) -> MessageId {
    MessageId::from_row(sink.row())
}

pub(crate) fn refuse_unless_poller(sink: &Sink) -> Result<(), Problem> {
    match sink.target {
        SinkTarget::Poller if sink.disabled => {
            Err(Problem::bad_request("sink_disabled", "The sink is disabled: nothing is handed out. Enable it first."))
        }
        SinkTarget::Poller => Ok(()),
        SinkTarget::Http(_) => {
            let detail = "This one is called at its URL and cannot be polled; only sinks of the types `poller` and `pollingEndpoint` can.";
            Err(Problem::bad_request("not_a_poller", detail))
        }
    }
}
