//! Documents, and what belongs to the ledger.

use async_trait::async_trait;
use hookpost_domain::{OrgId, RowId, Timestamp};

use super::{MemoryStore, State};
use crate::documents::{DocumentKind, DocumentRow, Documents, Named, RowChange, Shelf};
use crate::ledger::{Ledger, LogEntry, LogName, LogWindow, ProgressChange, ProgressKey};
use crate::{Listed, PageRequest, Unavailable, WriteError};

#[async_trait]
impl Documents for MemoryStore {
    async fn document(&self, shelf: &Shelf, named: Named<'_>) -> Result<Option<DocumentRow>, Unavailable> {
        let state = self.state.lock();
        let mut on_shelf = state.documents.values().filter(|row| row.shelf == *shelf);
        let found = match named {
            Named::Id(id) => on_shelf.find(|row| row.id == id),
            Named::Name(name) => on_shelf.find(|row| row.name.as_deref() == Some(name)),
        };
        Ok(found.cloned())
    }

    async fn documents(&self, shelf: &Shelf, page: PageRequest<RowId>) -> Result<Listed<DocumentRow>, Unavailable> {
        let state = self.state.lock();
        Ok(page.cut(state.documents.values().filter(|row| row.shelf == *shelf).map(|row| (row.id, row.clone()))))
    }

    async fn documents_of_kind(&self, kind: DocumentKind) -> Result<Vec<DocumentRow>, Unavailable> {
        let mut rows: Vec<_> = self.state.lock().documents.values().filter(|row| row.shelf.kind == kind).cloned().collect();
        rows.sort_by_key(|row| row.id);
        Ok(rows)
    }

    async fn create_document(&self, row: DocumentRow) -> Result<(), WriteError> {
        let mut state = self.state.lock();
        if state.documents.contains_key(&key(&row)) {
            return Err(WriteError::Conflict { field: "uid" });
        }
        state.check_name(&row)?;
        state.version += 1;
        state.documents.insert(key(&row), row);
        Ok(())
    }

    async fn update_document(&self, shelf: &Shelf, id: RowId, change: RowChange) -> Result<DocumentRow, WriteError> {
        let mut state = self.state.lock();
        let mut row = state.documents.get(&(shelf.kind, shelf.org.clone(), id)).cloned();
        let Some(row) = row.as_mut().filter(|row| row.shelf == *shelf) else { return Err(WriteError::NotFound) };
        change(row)?;
        state.check_name(row)?;
        state.version += 1;
        state.documents.insert(key(row), row.clone());
        Ok(row.clone())
    }

    async fn delete_document(&self, shelf: &Shelf, id: RowId) -> Result<(), WriteError> {
        let mut state = self.state.lock();
        let key = (shelf.kind, shelf.org.clone(), id);
        if state.documents.get(&key).is_none_or(|row| row.shelf != *shelf) {
            return Err(WriteError::NotFound);
        }
        state.version += 1;
        state.documents.remove(&key);
        state.delete_documents_of(id);
        Ok(())
    }
}

#[async_trait]
impl Ledger for MemoryStore {
    async fn progress(&self, key: &ProgressKey) -> Result<Option<Vec<u8>>, Unavailable> {
        Ok(self.state.lock().progress.get(key).cloned())
    }

    async fn advance(&self, key: ProgressKey, change: ProgressChange, entries: Vec<LogEntry>) -> Result<Option<Vec<u8>>, Unavailable> {
        let mut state = self.state.lock();
        if let Some(changed) = change(state.progress.get(&key).map(Vec::as_slice)) {
            state.progress.insert(key.clone(), changed);
        }
        state.append(entries);
        Ok(state.progress.get(&key).cloned())
    }

    async fn forget_progress(&self, of: RowId) -> Result<(), Unavailable> {
        self.state.lock().progress.retain(|key, _| key.of != of);
        Ok(())
    }

    async fn append(&self, entries: Vec<LogEntry>) -> Result<(), Unavailable> {
        self.state.lock().append(entries);
        Ok(())
    }

    async fn log(&self, log: &LogName, window: LogWindow, page: PageRequest<RowId>) -> Result<Listed<LogEntry>, Unavailable> {
        let state = self.state.lock();
        let entries = state.log.values().filter(|entry| entry.log == *log && window.contains(entry.id));
        Ok(page.cut(entries.map(|entry| (entry.id, entry.clone()))))
    }

    async fn log_entry(&self, log: &LogName, id: RowId) -> Result<Option<LogEntry>, Unavailable> {
        Ok(self.state.lock().log.get(&id).filter(|entry| entry.log == *log).cloned())
    }
}

/// There is one settings document per tenant, whatever its id.
fn key(row: &DocumentRow) -> (DocumentKind, OrgId, RowId) {
    (row.shelf.kind, row.shelf.org.clone(), row.id)
}

impl State {
    fn check_name(&self, row: &DocumentRow) -> Result<(), WriteError> {
        let mut others = self.documents.values().filter(|other| other.shelf == row.shelf && other.id != row.id);
        if row.name.is_some() && others.any(|other| other.name == row.name) {
            return Err(WriteError::Conflict { field: "uid" });
        }
        Ok(())
    }

    pub(super) fn delete_documents_of(&mut self, owner: RowId) {
        let owned: Vec<_> = self.documents.values().filter(|row| row.shelf.owner == owner).map(key).collect();
        for key in owned {
            self.documents.remove(&key);
            self.delete_documents_of(key.2);
        }
    }

    fn append(&mut self, entries: Vec<LogEntry>) {
        self.log.extend(entries.into_iter().map(|entry| (entry.id, entry)));
    }

    pub(super) fn forget_documents_and_logs(&mut self, before: Timestamp, now: Timestamp) {
        self.documents.retain(|_, row| row.forget_at.is_none_or(|at| at > now));
        self.log.retain(|id, _| id.created_at() > before);
    }
}
