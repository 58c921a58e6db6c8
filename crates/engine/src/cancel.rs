//! Ending deliveries that a user does not want any more.

use std::sync::Arc;
use std::time::Duration;

use hookpost_domain::{ApplicationId, EndpointId, Reason};
use hookpost_store::Unavailable;
use hookpost_store::queue::CancelFilter;

use crate::engine::Engine;
use crate::lanes::LaneCell;

/// Deliveries that are ended in one transaction.
const PIECE: usize = 500;
const CLAIM_CHECKED_EVERY: Duration = Duration::from_millis(1);

impl Engine {
    /// Ends the unfinished deliveries of an endpoint that `which` names, and returns how many they were. What waits in memory goes back to the store first, so
    /// that it is found there; what other nodes hold is called back from them. Attempts that are under way are not interrupted.
    pub async fn cancel(
        self: &Arc<Self>,
        application: ApplicationId,
        endpoint: EndpointId,
        which: CancelFilter,
    ) -> Result<usize, Unavailable> {
        let held = Held::new(self, self.lane(application, endpoint));
        let cell = &held.cell;
        // What is claimed already comes into memory before it can be given back.
        while cell.lane.lock().is_claiming() {
            tokio::time::sleep(CLAIM_CHECKED_EVERY).await;
        }
        let given_back = cell.lane.lock().give_back();
        let count = given_back.len();
        if count > 0 {
            let released = self.store.release(given_back.iter().map(|work| (work.leased.key, work.leased.lease)).collect()).await;
            if let Err(problem) = released {
                // The recorder tries until it succeeds.
                self.recorder.release(given_back.into_iter().map(|work| (Arc::clone(cell), work)).collect());
                return Err(problem);
            }
            cell.lane.lock().released(count);
        }
        let mut ended = 0;
        loop {
            let piece = self.store.cancel_everywhere(endpoint, which.clone(), Reason::CanceledByUser, PIECE, self.clock.now()).await?;
            ended += piece.count;
            if !piece.more {
                return Ok(ended);
            }
        }
    }
}

/// A lane that stands still as long as this lives.
struct Held {
    engine: Arc<Engine>,
    cell: Arc<LaneCell>,
}

impl Held {
    fn new(engine: &Arc<Engine>, cell: Arc<LaneCell>) -> Self {
        cell.lane.lock().hold();
        Self { engine: Arc::clone(engine), cell }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.cell.lane.lock().let_go();
        // What held up the lane may be gone.
        self.engine.wake(self.cell.application, self.cell.endpoint);
    }
}
