//! What is remembered of a source between two looks, as bytes in the store: JSON with a version, so that fields can be added.

use hookpost_domain::SourceId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Stop;
use crate::engine::Engine;

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Kept<T> {
    version: u32,
    /// Which kind of source wrote it: a cron source that became a poll begins anew.
    kind: String,
    progress: T,
}

impl Engine {
    /// What cannot be read is as if it were not there: the keys of messages see to it that what is done again makes none twice.
    pub(super) async fn progress_of<T: DeserializeOwned + Default>(&self, id: SourceId, kind: &str) -> Result<T, Stop> {
        let Some(bytes) = self.store.source_state(id).await? else { return Ok(T::default()) };
        let kept: Option<Kept<T>> =
            serde_json::from_slice(&bytes).ok().filter(|kept: &Kept<T>| kept.version == VERSION && kept.kind == kind);
        if kept.is_none() {
            tracing::info!(
                source_id = self.store.public_ids().encode(id),
                kind,
                "what was remembered of a source is of another kind; it begins anew"
            );
        }
        Ok(kept.map(|kept| kept.progress).unwrap_or_default())
    }

    pub(super) async fn keep_progress<T: Serialize + Sync>(&self, id: SourceId, kind: &str, progress: &T) -> Result<(), Stop> {
        let kept = Kept { version: VERSION, kind: kind.to_owned(), progress };
        let bytes =
            serde_json::to_vec(&kept).map_err(|problem| hookpost_store::Unavailable(format!("progress cannot be written: {problem}")))?;
        Ok(self.store.set_source_state(id, bytes).await?)
    }
}
