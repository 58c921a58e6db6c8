//! How far somebody came, and what happened on the way: small rows that change often, and logs that only grow. No change of them shows in the version of
//! the catalogue.

use async_trait::async_trait;
use hookpost_domain::access::AuditEntry;
use hookpost_domain::sink::{SinkAttempt, SinkProgress};
use hookpost_domain::{OrgId, RowId, SinkId, Timestamp};
use serde::de::DeserializeOwned;

use crate::page::{Listed, PageRequest};
use crate::rows::{RowError, from_json, to_json};
use crate::{Store, Unavailable};

#[async_trait]
pub trait Ledger: Send + Sync + std::fmt::Debug {
    async fn progress(&self, key: &ProgressKey) -> Result<Option<Vec<u8>>, Unavailable>;

    /// Changes how far somebody came, and adds to logs, in one transaction. Of several who change the same at once, one after the other sees what the one
    /// before left. Returns what stands there now.
    async fn advance(&self, key: ProgressKey, change: ProgressChange, entries: Vec<LogEntry>) -> Result<Option<Vec<u8>>, Unavailable>;

    /// Of a thing that is gone, whatever the name.
    async fn forget_progress(&self, of: RowId) -> Result<(), Unavailable>;

    /// In one transaction.
    async fn append(&self, entries: Vec<LogEntry>) -> Result<(), Unavailable>;

    /// A page of a log, of entries from `since` to `until` by their ids. They are kept as long as messages.
    async fn log(&self, log: &LogName, window: LogWindow, page: PageRequest<RowId>) -> Result<Listed<LogEntry>, Unavailable>;

    async fn log_entry(&self, log: &LogName, id: RowId) -> Result<Option<LogEntry>, Unavailable>;
}

/// Whose it is, and where one has several (the consumers of a poller), which.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProgressKey {
    pub of: RowId,
    pub name: String,
}

/// From what is there to what shall be; `None`: leave it as it is.
pub type ProgressChange = Box<dyn FnOnce(Option<&[u8]>) -> Option<Vec<u8>> + Send>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogName {
    /// Who changed what of a tenant.
    Audit(OrgId),
    AttemptsOfSink(SinkId),
}

impl LogName {
    /// As stores keep it.
    pub fn key(&self) -> String {
        match self {
            Self::Audit(org) => format!("audit:{org}"),
            Self::AttemptsOfSink(sink) => format!("sink:{}", sink.row().raw()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    pub log: LogName,
    pub id: RowId,
    pub data: Vec<u8>,
}

/// Both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogWindow {
    pub after: Option<Timestamp>,
    pub before: Option<Timestamp>,
}

impl LogWindow {
    pub fn contains(self, id: RowId) -> bool {
        let at = id.created_at();
        self.after.is_none_or(|after| at >= after) && self.before.is_none_or(|before| at <= before)
    }
}

impl ProgressKey {
    /// A sink that is called has one, without a name; a poller has one for each of its consumers.
    pub fn of_sink(sink: SinkId, consumer: &str) -> Self {
        Self { of: sink.row(), name: consumer.to_owned() }
    }
}

impl LogEntry {
    pub fn of_attempt(attempt: &SinkAttempt) -> Result<Self, RowError> {
        Ok(Self { log: LogName::AttemptsOfSink(attempt.sink), id: attempt.id.row(), data: to_json(attempt)? })
    }

    pub fn of_audit(entry: &AuditEntry) -> Result<Self, RowError> {
        Ok(Self { log: LogName::Audit(entry.org.clone()), id: entry.id.row(), data: to_json(entry)? })
    }

    pub fn read<T: DeserializeOwned>(&self) -> Result<T, RowError> {
        from_json(&self.data)
    }
}

impl dyn Store {
    /// Where nothing is known the sink stands at the beginning.
    pub async fn sink_progress(&self, sink: SinkId, consumer: &str) -> Result<SinkProgress, Unavailable> {
        read_progress(self.progress(&ProgressKey::of_sink(sink, consumer)).await?.as_deref())
    }

    /// As [`Ledger::advance`].
    pub async fn advance_sink(
        &self,
        sink: SinkId,
        consumer: &str,
        change: impl FnOnce(&mut SinkProgress) + Send + 'static,
        entries: Vec<LogEntry>,
    ) -> Result<SinkProgress, Unavailable> {
        let change = Box::new(move |bytes: Option<&[u8]>| {
            // What cannot be read stays as it is, and is an error below.
            let before = read_progress(bytes).ok()?;
            let mut progress = before.clone();
            change(&mut progress);
            if progress == before { None } else { to_json(&progress).ok() }
        });
        read_progress(self.advance(ProgressKey::of_sink(sink, consumer), change, entries).await?.as_deref())
    }
}

fn read_progress(bytes: Option<&[u8]>) -> Result<SinkProgress, Unavailable> {
    let Some(bytes) = bytes else { return Ok(SinkProgress::default()) };
    from_json(bytes).map_err(|error| Unavailable(error.to_string()))
}
