//! When which lane wants to be looked at again. One heap and one task for all lanes; entries are not taken back, a lane that is looked at too early
//! only sets the timer anew.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use hookpost_domain::{Clock, EndpointId, Timestamp};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The wall clock may jump: it is read at least this often.
const SLEEP_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(crate) struct Timer {
    heap: Mutex<BinaryHeap<Reverse<(Timestamp, EndpointId)>>>,
    earlier: Notify,
}

impl Timer {
    pub(crate) fn set(&self, at: Timestamp, endpoint: EndpointId) {
        let mut heap = self.heap.lock();
        let is_first = heap.peek().is_none_or(|Reverse((first, _))| at < *first);
        heap.push(Reverse((at, endpoint)));
        drop(heap);
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// Returns when something is due, with all that is.
    pub(crate) async fn due(&self, clock: &dyn Clock, due: &mut Vec<(Timestamp, EndpointId)>) {
        loop {
            let now = clock.now();
            let next = {
                let mut heap = self.heap.lock();
                while let Some(Reverse((at, endpoint))) = heap.peek().copied().filter(|Reverse((at, _))| *at <= now) {
                    heap.pop();
                    due.push((at, endpoint));
                }
                heap.peek().map(|Reverse((at, _))| *at)
            };
            if !due.is_empty() {
                return;
            }
            let sleep = next.map_or(SLEEP_MAX, |at| at.since(now).min(SLEEP_MAX));
            tokio::select! {
                () = self.earlier.notified() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }
}
