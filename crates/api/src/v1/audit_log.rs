//! Reading the audit log.

use axum::extract::State;
use hookpost_domain::RowId;
use hookpost_domain::access::{Actor, AuditEntry};
use hookpost_domain::id::AuditEntryKind;
use hookpost_store::ledger::LogWindow;
use hookpost_store::{Cursor, Listed, LogEntry, LogName, Order, PageRequest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auth::{Caller, Right};
use crate::extract::{Json, Query};
use crate::page::{self, Ordering, Page};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1::{self, Time};

/// Entries that are looked through for one page; a page of a rare actor may be short, and its iterator goes on from there.
const LOOKED_THROUGH_MAX: usize = 2000;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ListQuery {
    /// How many items a page has at most.
    #[schemars(range(min = 1, max = 250))]
    limit: Option<u64>,
    /// The `iterator` or `prevIterator` of an earlier page.
    iterator: Option<String>,
    /// Newest first, if not given.
    order: Option<Ordering>,
    /// Only entries from then on.
    #[schemars(with = "Option<Time>")]
    since: Option<String>,
    /// Only entries up to then.
    #[schemars(with = "Option<Time>")]
    until: Option<String>,
    /// Only what one actor did: the id of a key, an application or a stream, a session id, or `token`.
    actor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditEntryOut {
    id: String,
    timestamp: Time,
    actor: AuditActorOut,
    /// The id of the operation, as in the description of this API.
    operation: String,
    path: String,
    /// What was answered; 403 means that nothing was changed.
    status: u16,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditActorOut {
    r#type: AuditActorType,
    /// Of the key, the application or the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// Of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
}

#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AuditActorType {
    Key,
    /// A signed token of the organization.
    Token,
    Portal,
    StreamPortal,
}

pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<AuditEntryOut>>, Problem> {
    let org = caller.org(Right::Admin)?;
    let mut wrong = Wrong::in_query();
    let window =
        LogWindow { after: wrong.optional("since", query.since, v1::time), before: wrong.optional("until", query.until, v1::time) };
    wrong.nothing()?;
    let order = query.order.map_or(Order::Descending, Order::from);
    let page = page::request::<AuditEntryKind>(api.store.public_ids(), query.limit, query.iterator.as_deref(), order)?;
    let Some(page) = page.map(page::of_rows) else { return Ok(Json(Page::empty())) };
    let log = LogName::Audit(org.clone());
    let Some(actor) = query.actor else {
        let listed = api.store.log(&log, window, page).await?;
        return show(&api, &listed).map(Json);
    };
    let listed = of_actor(&api, &log, window, page, &actor).await?;
    Ok(Json(listed))
}

fn show(api: &Api, listed: &Listed<LogEntry>) -> Result<Page<AuditEntryOut>, Problem> {
    let mut items = Vec::with_capacity(listed.items.len());
    for entry in &listed.items {
        let out = AuditEntryOut::new(api, read(entry)?);
        items.push((out.id.clone(), out));
    }
    Ok(Page::new(items, listed.done))
}

/// Looks through the log until a page is full. Backwards it is one page of the log that is looked through.
async fn of_actor(
    api: &Api,
    log: &LogName,
    window: LogWindow,
    page: PageRequest<RowId>,
    actor: &str,
) -> Result<Page<AuditEntryOut>, Problem> {
    let (mut found, mut looked_at, mut next) = (Vec::new(), 0, page.clone());
    let (mut first, mut last) = (None, None);
    let done = loop {
        let listed = api.store.log(log, window, next.clone()).await?;
        looked_at += listed.items.len();
        first = first.or_else(|| listed.items.first().map(|entry| entry.id));
        let mut full = false;
        for entry in &listed.items {
            last = Some(entry.id);
            let out = AuditEntryOut::new(api, read(entry)?);
            if out.actor.is(actor) {
                found.push(out);
            }
            if found.len() == page.limit {
                full = listed.items.last().is_some_and(|end| end.id != entry.id);
                break;
            }
        }
        if full || found.len() == page.limit || looked_at >= LOOKED_THROUGH_MAX || matches!(page.cursor, Some(Cursor::Before(_))) {
            break listed.done && !full;
        }
        match last.filter(|_| !listed.done) {
            Some(last) => next.cursor = Some(Cursor::After(last)),
            None => break true,
        }
    };
    let name = |id: RowId| api.public(hookpost_domain::AuditEntryId::from_row(id));
    Ok(Page { data: found, iterator: last.map(name), prev_iterator: first.map(|first| format!("-{}", name(first))), done })
}

fn read(entry: &LogEntry) -> Result<AuditEntry, Problem> {
    entry.read().map_err(|error| {
        tracing::error!(target: "hookpost::store", %error, "an entry of the audit log cannot be read");
        Problem::Internal
    })
}

impl AuditEntryOut {
    fn new(api: &Api, entry: AuditEntry) -> Self {
        let nobody = AuditActorOut { r#type: AuditActorType::Token, id: None, name: None, session_id: None };
        let actor = match entry.actor {
            Actor::Token => nobody,
            Actor::Key { id, name } => AuditActorOut { r#type: AuditActorType::Key, id: Some(api.public(id)), name: Some(name), ..nobody },
            Actor::Portal { application, session_id } => {
                AuditActorOut { r#type: AuditActorType::Portal, id: Some(api.public(application)), session_id, ..nobody }
            }
            Actor::StreamPortal { stream, session_id } => {
                AuditActorOut { r#type: AuditActorType::StreamPortal, id: Some(api.public(stream)), session_id, ..nobody }
            }
        };
        Self {
            id: api.public(entry.id),
            timestamp: Time(entry.at),
            actor,
            operation: entry.operation,
            path: entry.path,
            status: entry.status,
        }
    }
}

impl AuditActorOut {
    fn is(&self, wanted: &str) -> bool {
        match (&self.id, &self.session_id) {
            (None, _) => wanted == "token",
            (Some(id), session) => id == wanted || session.as_deref() == Some(wanted),
        }
    }
}
