//! Forgets what is past its time: in small pieces, so that writers wait little, and in a bounded share of the time that becomes larger only while
//! it does not keep up.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::Engine;

/// Between two looks when there is nothing to forget.
const IDLE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(5);
const REST_MIN: Duration = Duration::from_millis(2);
const REST_MAX: Duration = Duration::from_secs(1);
/// The rest after a piece, in times of what the piece took: at first nine (a tenth of the time); after many pieces in a row as long as the piece.
const REST_FACTOR_FIRST: u32 = 9;
/// Pieces in a row after which the rests become shorter.
const PIECES_PER_STEP: u32 = 25;

impl Engine {
    pub(crate) async fn serve_retention(self: Arc<Self>) {
        let mut pieces = 0_u32;
        loop {
            let started = Instant::now();
            let rest = match self.store.forget(self.settings.retention, self.clock.now()).await {
                Ok(forgotten) => {
                    self.metrics.forgotten(forgotten.messages + forgotten.payloads + forgotten.receipts);
                    pieces = if forgotten.more { pieces.saturating_add(1) } else { 0 };
                    if forgotten.more { rest_after(started.elapsed(), pieces) } else { IDLE }
                }
                Err(problem) => {
                    tracing::warn!(%problem, "cannot forget what is past its time; trying again");
                    RETRY
                }
            };
            tokio::select! {
                () = self.closing.cancelled() => return,
                () = tokio::time::sleep(rest) => {}
            }
        }
    }
}

fn rest_after(piece: Duration, pieces_in_a_row: u32) -> Duration {
    let factor = REST_FACTOR_FIRST.saturating_sub(pieces_in_a_row / PIECES_PER_STEP).max(1);
    (piece * factor).clamp(REST_MIN, REST_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_tenth_of_the_time_and_half_of_it_when_it_falls_behind() {
        let piece = Duration::from_millis(10);
        assert_eq!(rest_after(piece, 1), Duration::from_millis(90));
        assert_eq!(rest_after(piece, 5000), piece);
        assert_eq!(rest_after(Duration::ZERO, 1), REST_MIN);
    }
}
