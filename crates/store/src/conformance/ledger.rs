//! The ledger: what several change at once, and logs.

use hookpost_domain::{RowId, SinkId, Timestamp};
use tokio::task::JoinSet;

use super::Harness;
use super::fixture::*;
use crate::ledger::{LogWindow, ProgressChange};
use crate::{LogEntry, LogName, Order, PageRequest, ProgressKey, SharedStore};

fn key(of: RowId, name: &str) -> ProgressKey {
    ProgressKey { of, name: name.to_owned() }
}

fn set(value: &[u8]) -> ProgressChange {
    let value = value.to_vec();
    Box::new(move |_| Some(value))
}

fn new_entry(store: &SharedStore, log: &LogName, seconds: u64) -> LogEntry {
    let id = store.new_row_id(at(seconds));
    LogEntry { log: log.clone(), id, data: format!("\0\u{ff} {id:?}").into_bytes() }
}

async fn all_of(store: &SharedStore, log: &LogName) -> Vec<LogEntry> {
    store.log(log, LogWindow::default(), PageRequest::first(1000, Order::Ascending)).await.unwrap().items
}

pub async fn progress_is_changed_where_it_stands(harness: &mut dyn Harness) {
    let store = harness.store();
    let (one, other) = (store.new_row_id(NOW), store.new_row_id(NOW));
    let log = LogName::AttemptsOfSink(SinkId::from_row(one));
    let entries = [new_entry(store, &log, 1), new_entry(store, &log, 2), new_entry(store, &log, 3)];
    let version = store.version();
    assert_eq!(store.progress(&key(one, "")).await, Ok(None));
    let leave: ProgressChange = Box::new(|before| {
        assert_eq!(before, None);
        None
    });
    assert_eq!(store.advance(key(one, ""), leave, vec![entries[0].clone()]).await, Ok(None));
    assert_eq!(store.advance(key(one, ""), set(b""), vec![]).await, Ok(Some(vec![])));
    let append: ProgressChange = Box::new(|before| Some([before.unwrap(), b"\0\xff"].concat()));
    assert_eq!(store.advance(key(one, ""), append, entries[1..].to_vec()).await, Ok(Some(b"\0\xff".to_vec())));
    assert_eq!(store.advance(key(one, "b"), set(b"b"), vec![]).await, Ok(Some(b"b".to_vec())));
    assert_eq!(store.advance(key(one, ""), Box::new(|_| None), vec![]).await, Ok(Some(b"\0\xff".to_vec())));
    assert_eq!(store.version(), version, "it is no part of the catalogue");
    for _ in 0..2 {
        let store = harness.store();
        for (key, value) in [(key(one, ""), Some(b"\0\xff".to_vec())), (key(one, "b"), Some(b"b".to_vec())), (key(other, ""), None)] {
            assert_eq!(store.progress(&key).await, Ok(value), "{key:?}");
        }
        assert_eq!(all_of(store, &log).await, entries);
        harness.reopen().await;
    }
}

pub async fn nothing_is_lost_when_several_advance_at_once(harness: &mut dyn Harness) {
    let store = harness.store();
    let of = store.new_row_id(NOW);
    let log = LogName::AttemptsOfSink(SinkId::from_row(of));
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let (store, log) = (store.clone(), log.clone());
        tasks.spawn(async move {
            for _ in 0..8 {
                let append: ProgressChange = Box::new(|before| Some([before.unwrap_or_default(), b"."].concat()));
                let entry = new_entry(&store, &log, 1);
                let (elsewhere, here) = tokio::join!(
                    store.advance(key(of, "other"), Box::new(|_| Some(vec![1])), vec![]),
                    store.advance(key(of, ""), append, vec![entry])
                );
                assert_eq!(elsewhere, Ok(Some(vec![1])));
                assert!(here.unwrap().is_some_and(|value| !value.is_empty()));
            }
        });
    }
    tasks.join_all().await;
    for _ in 0..2 {
        assert_eq!(harness.store().progress(&key(of, "")).await, Ok(Some(vec![b'.'; 64])));
        assert_eq!(all_of(harness.store(), &log).await.len(), 64);
        harness.reopen().await;
    }
}

pub async fn progress_is_forgotten_whatever_its_name(harness: &mut dyn Harness) {
    let store = harness.store();
    let (gone, kept) = (store.new_row_id(NOW), store.new_row_id(NOW));
    for key in [key(gone, ""), key(gone, "a"), key(kept, "a")] {
        store.advance(key, set(b"x"), vec![]).await.unwrap();
    }
    store.forget_progress(gone).await.unwrap();
    store.forget_progress(store.new_row_id(NOW)).await.unwrap();
    for _ in 0..2 {
        for (key, value) in [(key(gone, ""), None), (key(gone, "a"), None), (key(kept, "a"), Some(b"x".to_vec()))] {
            assert_eq!(harness.store().progress(&key).await, Ok(value), "{key:?}");
        }
        harness.reopen().await;
    }
}

pub async fn logs_are_listed_in_pages(harness: &mut dyn Harness) {
    let store = harness.store();
    let (log, other) = (LogName::Audit(org('a')), LogName::Audit(org('b')));
    let mut entries = Vec::new();
    for seconds in 0..6 {
        entries.push(new_entry(store, &log, 10 * seconds));
        let foreign = new_entry(store, &other, 10 * seconds);
        store.append(vec![entries[seconds as usize].clone(), foreign]).await.unwrap();
    }
    store.append(vec![]).await.unwrap();
    let ids: Vec<_> = entries.iter().map(|entry| entry.id).collect();
    let unknown = [store.new_row_id(at(99))];
    for _ in 0..2 {
        let store = harness.store();
        let list = async |window, page| {
            let listed = store.log(&log, window, page).await.unwrap();
            (listed.items.iter().map(|entry| entry.id).collect::<Vec<_>>(), listed.done)
        };
        check_pages(&ids, &unknown, async |page| list(LogWindow::default(), page).await).await;
        // A window within which there are pages.
        let window = LogWindow { after: Some(at(10)), before: Some(at(40)) };
        check_pages(&ids[1..5], &[ids[0], ids[5]], async |page| list(window, page).await).await;
        let check = async |after: Option<Timestamp>, before: Option<Timestamp>, expected: &[RowId]| {
            let page = PageRequest::first(9, Order::Ascending);
            assert_eq!(list(LogWindow { after, before }, page).await, (expected.to_vec(), true), "{after:?} to {before:?}");
        };
        check(Some(at(10)), None, &ids[1..]).await;
        check(None, Some(at(10)), &ids[..2]).await;
        check(Some(at(11)), Some(at(19)), &[]).await;
        check(Some(at(20)), Some(at(20)), &ids[2..3]).await;
        check(Some(Timestamp::MAX), None, &[]).await;
        check(Some(Timestamp::ZERO), Some(Timestamp::MAX), &ids).await;
        assert_eq!(all_of(store, &log).await, entries);
        harness.reopen().await;
    }
}

pub async fn entries_are_found_in_their_log_only(harness: &mut dyn Harness) {
    let store = harness.store();
    let sink = SinkId::from_row(store.new_row_id(NOW));
    let logs = [LogName::AttemptsOfSink(sink), LogName::Audit(org('a')), LogName::Audit(org('b'))];
    let entry = new_entry(store, &logs[0], 1);
    store.append(vec![entry.clone()]).await.unwrap();
    for _ in 0..2 {
        let store = harness.store();
        assert_eq!(store.log_entry(&logs[0], entry.id).await, Ok(Some(entry.clone())));
        assert_eq!(store.log_entry(&logs[0], store.new_row_id(NOW)).await, Ok(None));
        for other in &logs[1..] {
            assert_eq!(store.log_entry(other, entry.id).await, Ok(None));
        }
        harness.reopen().await;
    }
}

/// With the messages of their time; how far somebody came stays.
pub async fn old_entries_are_forgotten(harness: &mut dyn Harness) {
    let store = harness.store();
    let log = LogName::Audit(org('a'));
    let entries = [new_entry(store, &log, 0), new_entry(store, &log, 3600)];
    let progress = key(store.new_row_id(NOW), "");
    store.advance(progress.clone(), set(b"x"), entries.to_vec()).await.unwrap();
    forget_all(store, DAY, NOW + DAY - std::time::Duration::from_millis(1)).await;
    assert_eq!(all_of(store, &log).await, entries);
    forget_all(store, DAY, NOW + DAY).await;
    for _ in 0..2 {
        let store = harness.store();
        assert_eq!(all_of(store, &log).await, entries[1..]);
        assert_eq!(store.log_entry(&log, entries[0].id).await, Ok(None));
        assert_eq!(store.progress(&progress).await, Ok(Some(b"x".to_vec())));
        harness.reopen().await;
    }
}
