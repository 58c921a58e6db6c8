//! Documents: sealed, by shelf.

use async_trait::async_trait;
use hookpost_domain::RowId;
use hookpost_store::documents::{DocumentKind, DocumentRow, Documents, Named, RowChange, Shelf};
use hookpost_store::{Listed, PageRequest, Unavailable, WriteError};

use crate::PostgresStore;

#[async_trait]
impl Documents for PostgresStore {
    async fn document(&self, _shelf: &Shelf, _named: Named<'_>) -> Result<Option<DocumentRow>, Unavailable> {
        Err(not_yet())
    }

    async fn documents(&self, _shelf: &Shelf, _page: PageRequest<RowId>) -> Result<Listed<DocumentRow>, Unavailable> {
        Err(not_yet())
    }

    async fn documents_of_kind(&self, _kind: DocumentKind) -> Result<Vec<DocumentRow>, Unavailable> {
        Ok(Vec::new())
    }

    async fn create_document(&self, _row: DocumentRow) -> Result<(), WriteError> {
        Err(not_yet().into())
    }

    async fn update_document(&self, _shelf: &Shelf, _id: RowId, _change: RowChange) -> Result<DocumentRow, WriteError> {
        Err(not_yet().into())
    }

    async fn delete_document(&self, _shelf: &Shelf, _id: RowId) -> Result<(), WriteError> {
        Err(not_yet().into())
    }
}

fn not_yet() -> Unavailable {
    Unavailable("not yet".to_owned())
}
