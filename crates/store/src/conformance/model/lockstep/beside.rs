//! Documents, the ledger, the feed and usage, one step at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use hookpost_domain::{ApplicationId, EventTypeName, MessageId, RowId, SinkId, Timestamp};

use super::compare::Facts;
use super::{Checked, Harness, Lockstep, first_page, fixture, pick, refuse_or_not, same};
use crate::documents::{DocumentKind, DocumentRow, Shelf};
use crate::ledger::{LogWindow, ProgressChange};
use crate::usage::{COARSE_S, UsageCounts, span_of};
use crate::{Documents, FeedLimits, History, Ledger, LogEntry, LogName, ProgressKey};

/// By the number of the hour: what is old may be told apart no further.
pub(super) type UsageByHour = BTreeMap<(u64, EventTypeName), UsageCounts>;

/// Those to whom something may have come.
const PROGRESS_OF: u8 = 3;

impl<H: Harness> Lockstep<H> {
    pub(super) async fn create_document(&mut self, owner: usize, name: Option<u8>, ends_s: Option<u64>) -> Checked {
        // Of the tenant, of an application, or of another document; whoever owns it may be gone.
        let (kind, owner) = match (owner % 3, pick(&self.applications, owner / 3), pick(&self.documents, owner / 3)) {
            (0, Some(application), _) => (DocumentKind::Integration, application.row()),
            (1, _, Some((_, document))) => (DocumentKind::Sink, document),
            _ => (DocumentKind::Stream, RowId::MIN),
        };
        let shelf = Shelf { kind, org: fixture::org('a'), owner };
        let id = self.store().new_row_id(self.now);
        let forget_at = ends_s.map(|seconds| self.now + Duration::from_secs(seconds));
        let row = DocumentRow { shelf: shelf.clone(), id, name: to_name(name), data: vec![0, self.steps as u8], forget_at };
        let model = self.model.create_document(row.clone()).await;
        same(&model, &self.store().create_document(row).await, "created document")?;
        self.documents.extend(model.is_ok().then_some((shelf, id)));
        Ok(())
    }

    pub(super) async fn update_document(&mut self, document: usize, name: Option<u8>, refuse: bool) -> Checked {
        let Some((shelf, id)) = pick(&self.documents, document) else { return Ok(()) };
        let change = || {
            Box::new(move |row: &mut DocumentRow| {
                row.name = to_name(name);
                row.data.push(1);
                refuse_or_not(refuse)
            })
        };
        let model = self.model.update_document(&shelf, id, change()).await;
        same(&model, &self.store().update_document(&shelf, id, change()).await, "changed document")
    }

    pub(super) async fn delete_document(&mut self, document: usize) -> Checked {
        let Some((shelf, id)) = pick(&self.documents, document) else { return Ok(()) };
        let model = self.model.delete_document(&shelf, id).await;
        same(&model, &self.store().delete_document(&shelf, id).await, "deleted document")
    }

    pub(super) async fn advance(&mut self, of: u8, value: Option<u8>, entries: u8) -> Checked {
        let key = progress_key(of);
        let change = || -> ProgressChange { Box::new(move |before| value.map(|value| [before.unwrap_or_default(), &[value]].concat())) };
        let new_entry = |_| LogEntry { log: log_name(of), id: self.store().new_row_id(self.now), data: vec![of] };
        let entries: Vec<_> = (0..entries).map(new_entry).collect();
        let model = self.model.advance(key.clone(), change(), entries.clone()).await;
        same(&model, &self.store().advance(key, change(), entries).await, "advanced")
    }

    pub(super) async fn forget_progress(&mut self, of: u8) -> Checked {
        let row = progress_key(of).of;
        let model = self.model.forget_progress(row).await;
        same(&model, &self.store().forget_progress(row).await, "forgotten progress")
    }

    /// What can be asked for of them.
    pub(super) async fn add_beside(&self, store: &(impl Documents + Ledger + ?Sized), facts: &mut Facts) {
        for kind in DocumentKind::ALL {
            facts.documents.extend(store.documents_of_kind(kind).await.expect("available"));
        }
        for of in 0..PROGRESS_OF {
            let progress = store.progress(&progress_key(of)).await.expect("available");
            let log = store.log(&log_name(of), LogWindow::default(), first_page()).await.expect("available");
            facts.ledger.push(format!("{progress:?} {log:?}"));
        }
    }
}

/// Message after message, until there are as many as there are messages: they may come a moment later than they were accepted.
pub(super) async fn feed(store: &(impl History + ?Sized), application: ApplicationId, count: usize) -> Vec<MessageId> {
    let mut fed: Vec<MessageId> = Vec::new();
    let all = async {
        loop {
            let limits = FeedLimits { messages: 3, payload_bytes: 20 };
            let feed = store.feed(application, fed.last().copied(), limits).await.expect("available");
            fed.extend(feed.messages.iter().map(|message| message.id));
            if fed.len() >= count && !feed.more {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    // What is still missing then shows as a difference.
    let _ = tokio::time::timeout(Duration::from_secs(5), all).await;
    fed
}

pub(super) async fn usage(store: &(impl History + ?Sized), application: ApplicationId, since: Timestamp) -> UsageByHour {
    let usage = store.usage(application, since, Timestamp::MAX).await.expect("available");
    let mut by_hour = UsageByHour::new();
    for one in usage {
        by_hour.entry((span_of(one.at, COARSE_S), one.event_type)).or_default().add(one.counts);
    }
    by_hour
}

/// The first hour that begins after a time.
pub(super) fn next_hour(time: Timestamp) -> Timestamp {
    Timestamp::from_unix_ms((span_of(time, COARSE_S) + 1) * COARSE_S * 1000)
}

fn progress_key(of: u8) -> ProgressKey {
    ProgressKey { of: RowId::from_raw(of.into()), name: "consumer".to_owned() }
}

fn log_name(of: u8) -> LogName {
    LogName::AttemptsOfSink(SinkId::from_row(RowId::from_raw(of.into())))
}

fn to_name(name: Option<u8>) -> Option<String> {
    name.map(|n| format!("name-{n}"))
}
