//! How far somebody came, and logs.

use async_trait::async_trait;
use hookpost_domain::RowId;
use hookpost_store::ledger::{Ledger, LogEntry, LogName, LogWindow, ProgressChange, ProgressKey};
use hookpost_store::{Listed, PageRequest, Unavailable};

use crate::PostgresStore;

#[async_trait]
impl Ledger for PostgresStore {
    async fn progress(&self, _key: &ProgressKey) -> Result<Option<Vec<u8>>, Unavailable> {
        Err(not_yet())
    }

    async fn advance(&self, _key: ProgressKey, _change: ProgressChange, _entries: Vec<LogEntry>) -> Result<Option<Vec<u8>>, Unavailable> {
        Err(not_yet())
    }

    async fn forget_progress(&self, _of: RowId) -> Result<(), Unavailable> {
        Err(not_yet())
    }

    async fn append(&self, _entries: Vec<LogEntry>) -> Result<(), Unavailable> {
        Err(not_yet())
    }

    async fn log(&self, _log: &LogName, _window: LogWindow, _page: PageRequest<RowId>) -> Result<Listed<LogEntry>, Unavailable> {
        Err(not_yet())
    }

    async fn log_entry(&self, _log: &LogName, _id: RowId) -> Result<Option<LogEntry>, Unavailable> {
        Err(not_yet())
    }
}

fn not_yet() -> Unavailable {
    Unavailable("not yet".to_owned())
}
