//! What stands in the file of documents.

use hookpost_domain::RowId;
use hookpost_store::conformance::Harness;
use hookpost_store::conformance::fixture::{NOW, org};
use hookpost_store::documents::{DocumentKind, DocumentRow, Shelf};

use super::harness::SqliteHarness;

#[tokio::test]
async fn the_data_of_documents_cannot_be_read_in_the_files() {
    let mut harness = SqliteHarness::open().await;
    let store = harness.store().clone();
    let shelf = Shelf { kind: DocumentKind::Sink, org: org('a'), owner: RowId::MIN };
    let row =
        DocumentRow { shelf, id: store.new_row_id(NOW), name: Some("whispering".into()), data: b"whisper-1".to_vec(), forget_at: None };
    store.create_document(row.clone()).await.unwrap();
    let change = |row: &mut DocumentRow| {
        row.data = b"whisper-2".to_vec();
        Ok(())
    };
    store.update_document(&row.shelf, row.id, Box::new(change)).await.unwrap();
    drop(store);
    harness.drop_store();
    for file in std::fs::read_dir(harness.directory.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(8).any(|window| window == b"whisper-"), "a secret can be read");
    }
}
