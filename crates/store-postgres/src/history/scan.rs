//! Looking through long lists, some rows at a time.

use hookpost_domain::id::Id;
use hookpost_domain::{RowId, limits};
use hookpost_store::PageRequest;
use hookpost_store::history::ScannedPage;
use hookpost_store::page::Walk;

use crate::error::StoreError;

/// Rows that are read at a time, once it shows that a page needs more than its own.
const CHUNK: usize = 1000;

/// Rows of a list: the id of each, and itself if it is wanted.
pub(super) type Chunk<T> = Vec<(i64, Option<T>)>;

/// A list of rows by id.
pub(super) trait Rows: Sync {
    type Item: Send;

    /// The next rows in the direction of the walk. Fewer than asked for: there are no more.
    fn chunk(&self, walk: Walk<i64>) -> impl Future<Output = Result<Chunk<Self::Item>, StoreError>> + Send;
}

pub(super) async fn scan<R: Rows, K>(rows: &R, page: &PageRequest<Id<K>>) -> Result<ScannedPage<R::Item, Id<K>>, StoreError> {
    let whole = page.walk();
    let mut from = whole.from.map(|id| id.row().as_i64());
    // One more than the page: often all that is needed.
    let mut count = whole.count.min(CHUNK);
    let mut found = page.begin_scan(limits::PAGE_ROWS_SCANNED_MAX);
    loop {
        let chunk = rows.chunk(Walk { from, ascending: whole.ascending, count }).await?;
        let is_last = chunk.len() < count;
        for (id, item) in chunk {
            from = Some(id);
            let flow = found.look(Id::from_row(RowId::from_i64(id)), || Ok::<_, StoreError>(item))?;
            if flow.is_break() {
                return Ok(found.end(false));
            }
        }
        if is_last {
            return Ok(found.end(true));
        }
        count = CHUNK;
    }
}
