//! The producer's side.

use std::sync::Arc;

use async_trait::async_trait;
use hookpost_domain::{ApplicationId, Message, MessageId, ReceiptId, RowId, Timestamp, limits};
use hookpost_store::intake::KeptAnswer;
use hookpost_store::rows::{open_answer, seal_answer};
use hookpost_store::{
    AcceptError, Accepted, ApplicationView, Catalog as _, IdempotencyKey, Intake, NewMessage, NewReceipt, NewReceiptOutcome, Once,
    Received, Unavailable,
};
use tokio::sync::oneshot;

use crate::accept::{AcceptCommand, Receiving, Reply, TakenKey};
use crate::error::{StoreError, closed};
use crate::{PostgresStore, accept};

#[async_trait]
impl Intake for PostgresStore {
    async fn accept(&self, message: NewMessage, now: Timestamp) -> Result<Accepted, AcceptError> {
        let (reply, answer) = oneshot::channel();
        let NewMessage { application, content, idempotency_key } = message;
        let view = self.view(application).await?;
        let message = Arc::new(Message { id: MessageId::from_row(RowId::MIN), application, content, created_at: now });
        let key = idempotency_key.map(TakenKey::Request);
        self.shared.accepts.push(AcceptCommand { message: Some(message), view, key, reply: Reply::Accept(reply) }).await?;
        answer.await.unwrap_or_else(|_| Err(closed().into()))
    }

    async fn receive(&self, received: NewReceipt, now: Timestamp) -> Result<Received, AcceptError> {
        let (reply, answer) = oneshot::channel();
        let (arrival, outcome) = received.split();
        let (message, view, key, settled) = match outcome {
            NewReceiptOutcome::Settled(verdict) => (None, None, None, Some(verdict)),
            NewReceiptOutcome::Message { message: NewMessage { application, content, .. }, once } => {
                let view = self.view(application).await?;
                let message = Message { id: MessageId::from_row(RowId::MIN), application, content, created_at: now };
                (Some(Arc::new(message)), view, once.map(TakenKey::Event), None)
            }
        };
        let receiving = Receiving { id: ReceiptId::from_row(RowId::MIN), now, arrival, settled };
        let reply = Reply::Receive(Box::new(receiving), reply);
        self.shared.accepts.push(AcceptCommand { message, view, key, reply }).await?;
        answer.await.unwrap_or_else(|_| Err(closed().into()))
    }

    async fn known_once(&self, keys: &[Once], now: Timestamp) -> Result<Vec<bool>, Unavailable> {
        let client = self.shared.connections.get().await?;
        Ok(accept::known_once(&client, keys, now).await?)
    }

    async fn begin_answer(&self, key: IdempotencyKey, now: Timestamp) -> Result<Option<KeptAnswer>, Unavailable> {
        let oldest = now - limits::IDEMPOTENCY_WINDOW;
        loop {
            if self.put_mark(key, now, oldest).await? {
                return Ok(None);
            }
            // What stood in the way may be gone by now.
            if let Some(found) = self.find_answer(key, oldest).await? {
                return Ok(Some(found));
            }
        }
    }

    async fn release_answer(&self, key: IdempotencyKey) -> Result<(), Unavailable> {
        Ok(self.remove_mark(key).await?)
    }

    async fn kept_answer(&self, key: IdempotencyKey, now: Timestamp) -> Result<Option<KeptAnswer>, Unavailable> {
        let oldest = now - limits::IDEMPOTENCY_WINDOW;
        Ok(self.find_answer(key, oldest).await?)
    }

    async fn keep_answer(&self, key: IdempotencyKey, answer: KeptAnswer, now: Timestamp) -> Result<(), Unavailable> {
        let oldest = now - limits::IDEMPOTENCY_WINDOW;
        Ok(self.put_answer(key, answer, now, oldest).await?)
    }
}

impl PostgresStore {
    /// Where it has to be read, one at a time: what a source hands over in its order, all at once, goes on in its order. (And it is read once.)
    async fn view(&self, application: ApplicationId) -> Result<Option<Arc<ApplicationView>>, Unavailable> {
        if let Some(view) = self.shared.catalog.application(application) {
            return Ok(Some(view));
        }
        let _turn = tokio::task::unconstrained(self.shared.reading.of(application)).await;
        self.application_by_id(application).await
    }

    async fn find_answer(&self, key: IdempotencyKey, oldest: Timestamp) -> Result<Option<KeptAnswer>, StoreError> {
        let client = self.shared.connections.get().await?;
        let statement = client.prepare_cached("SELECT status, body FROM hookpost.kept_answer WHERE key = $1 AND kept_at_ms > $2").await?;
        let row = client.query_opt(&statement, &[&key.0.as_slice(), &(oldest.unix_ms() as i64)]).await?;
        let answer = |row: tokio_postgres::Row| {
            let body = open_answer(&self.shared.vault, key, row.try_get(1)?)?;
            Ok(KeptAnswer { status: row.try_get::<_, i16>(0)? as u16, body })
        };
        row.map(answer).transpose()
    }

    async fn put_mark(&self, key: IdempotencyKey, now: Timestamp, oldest: Timestamp) -> Result<bool, StoreError> {
        let client = self.shared.connections.get().await?;
        let statement = client
            .prepare_cached(
                "INSERT INTO hookpost.kept_answer AS old (key, status, body, kept_at_ms) VALUES ($1, 0, '', $2)
                 ON CONFLICT (key) DO UPDATE SET status = 0, body = '', kept_at_ms = excluded.kept_at_ms WHERE old.kept_at_ms <= $3",
            )
            .await?;
        let marked = client.execute(&statement, &[&key.0.as_slice(), &(now.unix_ms() as i64), &(oldest.unix_ms() as i64)]).await?;
        Ok(marked == 1)
    }

    async fn remove_mark(&self, key: IdempotencyKey) -> Result<(), StoreError> {
        let client = self.shared.connections.get().await?;
        let statement = client.prepare_cached("DELETE FROM hookpost.kept_answer WHERE key = $1 AND status = 0").await?;
        client.execute(&statement, &[&key.0.as_slice()]).await?;
        Ok(())
    }

    async fn put_answer(&self, key: IdempotencyKey, answer: KeptAnswer, now: Timestamp, oldest: Timestamp) -> Result<(), StoreError> {
        let client = self.shared.connections.get().await?;
        let statement = client
            .prepare_cached(
                "INSERT INTO hookpost.kept_answer AS old (key, status, body, kept_at_ms) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (key) DO UPDATE SET status = excluded.status, body = excluded.body, kept_at_ms = excluded.kept_at_ms
                 WHERE old.kept_at_ms <= $5 OR old.status = 0",
            )
            .await?;
        let body = seal_answer(&self.shared.vault, key, &answer.body);
        let (kept_at, oldest) = (now.unix_ms() as i64, oldest.unix_ms() as i64);
        client.execute(&statement, &[&key.0.as_slice(), &(answer.status as i16), &body, &kept_at, &oldest]).await?;
        Ok(())
    }
}
