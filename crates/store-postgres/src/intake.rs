//! The producer's side.

use std::sync::Arc;

use async_trait::async_trait;
use hookpost_domain::{DeliveryKey, DeliveryState, Message, MessageId, Progress, RowId, Timestamp, Trigger, limits};
use hookpost_store::intake::KeptAnswer;
use hookpost_store::{AcceptError, Accepted, IdempotencyKey, Intake, LeasedDelivery, NewMessage, Unavailable};
use parking_lot::MutexGuard;
use tokio::sync::oneshot;

use crate::PostgresStore;
use crate::error::unfinished;

#[async_trait]
impl Intake for PostgresStore {
    async fn accept(&self, _message: NewMessage, _now: Timestamp) -> Result<Accepted, AcceptError> {
        Err(unfinished().into())
    }

    async fn kept_answer(&self, _key: IdempotencyKey, _now: Timestamp) -> Result<Option<KeptAnswer>, Unavailable> {
        Err(unfinished())
    }

    async fn keep_answer(&self, _key: IdempotencyKey, _answer: KeptAnswer, _now: Timestamp) -> Result<(), Unavailable> {
        Err(unfinished())
    }
}
