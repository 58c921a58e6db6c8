//! Backups of a store that works, and putting them back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hookpost_domain::{ApplicationId, MessageId};
use hookpost_store::conformance::Harness;
use hookpost_store::conformance::fixture::*;
use hookpost_store::{Order, PageRequest, SharedStore};
use tokio::task::JoinSet;

use super::harness::{SqliteHarness, open, open_with_key};
use crate::{BackupError, DATABASE_FILE, OpenError, RestoreError, restore};

async fn all_messages(store: &SharedStore, application: ApplicationId) -> Vec<MessageId> {
    let page = store.messages(application, Default::default(), PageRequest::first(10_000, Order::Ascending)).await.unwrap();
    page.items.iter().map(|message| message.id).collect()
}

#[tokio::test]
async fn a_backup_made_under_load_can_be_restored() {
    let mut harness = SqliteHarness::open().await;
    let scene = scene(harness.store(), 1).await;
    let mut before = Vec::new();
    for _ in 0..300 {
        before.push(accept(harness.store(), scene.message(), NOW).await.id);
    }
    let mut load = JoinSet::new();
    for _ in 0..4 {
        let (store, new) = (harness.store().clone(), scene.message());
        load.spawn(async move {
            for _ in 0..200 {
                accept(&store, new.clone(), at(1)).await;
            }
        });
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("backup.db");
    let pages = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&pages);
    let on_progress = Box::new(move |progress: crate::BackupProgress| seen.store(progress.pages_done, Ordering::Relaxed));
    harness.sqlite().backup(file.clone(), on_progress).await.unwrap();
    load.join_all().await;
    assert!(pages.load(Ordering::Relaxed) > 10);
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions()) & 0o777, 0o600);
    assert!(matches!(harness.sqlite().backup(file.clone(), Box::new(|_| {})).await, Err(BackupError::Exists(_))));

    let data_dir = elsewhere.path().join("data");
    restore(&file, &data_dir).unwrap();
    assert!(matches!(restore(&file, &data_dir), Err(RestoreError::NotEmpty(_))));
    assert!(matches!(open_with_key(&data_dir, &[9; 32]), Err(OpenError::WrongMasterKey(_))));
    let (restored, _ready) = open(&data_dir);
    let restored: SharedStore = restored;
    let messages = all_messages(&restored, scene.application).await;
    assert_eq!(messages[..300], before);
    // It goes on where the backup ended, with the same public ids.
    assert_eq!(restored.public_ids().encode(before[0]), harness.store().public_ids().encode(before[0]));
    assert!(accept(&restored, scene.message(), NOW).await.id > messages[messages.len() - 1]);
    harness.ready().close();
}

#[tokio::test]
async fn what_is_no_backup_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("backup.db");
    for bytes in [b"".as_slice(), b"something else entirely", &[7; 8192]] {
        std::fs::write(&file, bytes).unwrap();
        let data_dir = directory.path().join("data");
        assert!(matches!(restore(&file, &data_dir), Err(RestoreError::NotABackup { .. })));
        assert!(!data_dir.join(DATABASE_FILE).exists());
    }
}
