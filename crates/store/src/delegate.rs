//! For stores of tests that are the reference store but for a few operations.

/// Documents and ledger are those of the field `inner`.
#[macro_export]
macro_rules! delegate_documents_and_ledger {
    ($store:ty) => {
        #[async_trait::async_trait]
        impl $crate::documents::Documents for $store {
            async fn document(
                &self,
                shelf: &$crate::documents::Shelf,
                named: $crate::Named<'_>,
            ) -> Result<Option<$crate::documents::DocumentRow>, $crate::Unavailable> {
                self.inner.document(shelf, named).await
            }

            async fn documents(
                &self,
                shelf: &$crate::documents::Shelf,
                page: $crate::PageRequest<hookpost_domain::RowId>,
            ) -> Result<$crate::Listed<$crate::documents::DocumentRow>, $crate::Unavailable> {
                self.inner.documents(shelf, page).await
            }

            async fn documents_of_kind(
                &self,
                kind: $crate::documents::DocumentKind,
            ) -> Result<Vec<$crate::documents::DocumentRow>, $crate::Unavailable> {
                self.inner.documents_of_kind(kind).await
            }

            async fn create_document(&self, row: $crate::documents::DocumentRow) -> Result<(), $crate::WriteError> {
                self.inner.create_document(row).await
            }

            async fn update_document(
                &self,
                shelf: &$crate::documents::Shelf,
                id: hookpost_domain::RowId,
                change: $crate::documents::RowChange,
            ) -> Result<$crate::documents::DocumentRow, $crate::WriteError> {
                self.inner.update_document(shelf, id, change).await
            }

            async fn delete_document(
                &self,
                shelf: &$crate::documents::Shelf,
                id: hookpost_domain::RowId,
            ) -> Result<(), $crate::WriteError> {
                self.inner.delete_document(shelf, id).await
            }
        }

        #[async_trait::async_trait]
        impl $crate::Ledger for $store {
            async fn progress(&self, key: &$crate::ProgressKey) -> Result<Option<Vec<u8>>, $crate::Unavailable> {
                self.inner.progress(key).await
            }

            async fn advance(
                &self,
                key: $crate::ProgressKey,
                change: $crate::ledger::ProgressChange,
                entries: Vec<$crate::LogEntry>,
            ) -> Result<Option<Vec<u8>>, $crate::Unavailable> {
                self.inner.advance(key, change, entries).await
            }

            async fn forget_progress(&self, of: hookpost_domain::RowId) -> Result<(), $crate::Unavailable> {
                self.inner.forget_progress(of).await
            }

            async fn append(&self, entries: Vec<$crate::LogEntry>) -> Result<(), $crate::Unavailable> {
                self.inner.append(entries).await
            }

            async fn log(
                &self,
                log: &$crate::LogName,
                window: $crate::ledger::LogWindow,
                page: $crate::PageRequest<hookpost_domain::RowId>,
            ) -> Result<$crate::Listed<$crate::LogEntry>, $crate::Unavailable> {
                self.inner.log(log, window, page).await
            }

            async fn log_entry(
                &self,
                log: &$crate::LogName,
                id: hookpost_domain::RowId,
            ) -> Result<Option<$crate::LogEntry>, $crate::Unavailable> {
                self.inner.log_entry(log, id).await
            }
        }
    };
}
