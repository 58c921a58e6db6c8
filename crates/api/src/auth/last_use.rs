//! When a key was last used: to the minute, and written beside the requests, none of which waits for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hookpost_domain::{ApiKeyId, Timestamp};
use hookpost_store::{ProgressKey, Unavailable};

use crate::state::Api;

const NOTED_EVERY: Duration = Duration::from_secs(60);

/// What this process knows of the use of one key.
#[derive(Debug)]
pub(super) struct LastUse {
    key: ApiKeyId,
    noted_at_ms: AtomicU64,
}

impl LastUse {
    pub(super) fn of(key: ApiKeyId) -> Self {
        Self { key, noted_at_ms: AtomicU64::new(0) }
    }

    pub(super) fn note(&self, api: &Api, now: Timestamp) {
        let before = self.noted_at_ms.load(Ordering::Relaxed);
        if now.since(Timestamp::from_unix_ms(before)) < NOTED_EVERY {
            return;
        }
        // Of several requests at once, one writes.
        if self.noted_at_ms.compare_exchange(before, now.unix_ms(), Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let (api, key) = (api.clone(), self.key);
        let tasks = api.tasks.clone();
        tasks.spawn(async move {
            // Nodes note for themselves, and their clocks differ: it never goes back.
            let later = Box::new(move |known: Option<&[u8]>| {
                let known = known.and_then(read).unwrap_or(Timestamp::ZERO);
                (now > known).then(|| now.unix_ms().to_be_bytes().to_vec())
            });
            if let Err(error) = api.store.advance(place(key), later, Vec::new()).await {
                tracing::debug!(target: "hookpost::store", %error, "the last use of a key was not noted");
            }
        });
    }
}

pub(crate) async fn last_use_of(api: &Api, key: ApiKeyId) -> Result<Option<Timestamp>, Unavailable> {
    Ok(api.store.progress(&place(key)).await?.as_deref().and_then(read))
}

fn place(key: ApiKeyId) -> ProgressKey {
    ProgressKey { of: key.row(), name: String::new() }
}

fn read(bytes: &[u8]) -> Option<Timestamp> {
    Some(Timestamp::from_unix_ms(u64::from_be_bytes(bytes.try_into().ok()?)))
}
