//! Accepting: one row per message, its key and event id checked before anything is written.

use std::sync::Arc;

use async_trait::async_trait;
use hookpost_domain::{DeliveryKey, DeliveryState, Message, MessageId, Progress, RowId, Timestamp, Trigger, limits};
use hookpost_store::intake::KeptAnswer;
use hookpost_store::{
    AcceptError, Accepted, IdempotencyKey, Intake, LeasedDelivery, MadeOnce, NewMessage, NewReceipt, NewReceiptOutcome, Once, Received,
    Unavailable,
};
use hookpost_threads::ThreadId;
use parking_lot::MutexGuard;
use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::oneshot;

use crate::SqliteStore;
use crate::command::{AcceptCommand, Command, Failed, ReceiveCommand, Wanted, Written};
use crate::error::{StoreError, closed};
use crate::leases::Leases;
use crate::shared::Shared;
use crate::tail::TakenKey;
use crate::writer::{Batch, HotStatements, Scratch};
use hookpost_store::codec::{encode_delivery, encode_header, trigger_number};
use hookpost_store::rows::{open_answer, seal_answer};
use hookpost_store::vault::Vault;

#[async_trait]
impl Intake for SqliteStore {
    async fn accept(&self, message: NewMessage, now: Timestamp) -> Result<Accepted, AcceptError> {
        let (reply, answer) = oneshot::channel();
        let NewMessage { application, content, idempotency_key } = message;
        let message = Arc::new(Message { id: MessageId::from_row(RowId::MIN), application, content, created_at: now });
        let thread = self.thread_for(&message);
        let command = AcceptCommand { message, idempotency_key, thread, now, reply: Some(reply), outcome: None };
        self.shared.queue.push(Command::Accept(command))?;
        answer.await.unwrap_or_else(|_| Err(closed().into()))
    }

    async fn receive(&self, received: NewReceipt, now: Timestamp) -> Result<Received, AcceptError> {
        let (reply, answer) = oneshot::channel();
        let (arrival, outcome) = received.split();
        let wanted = match outcome {
            NewReceiptOutcome::Settled(verdict) => Wanted::Settled(verdict),
            NewReceiptOutcome::Message { message: NewMessage { application, content, .. }, once } => {
                let message = Message { id: MessageId::from_row(RowId::MIN), application, content, created_at: now };
                Wanted::Message { message: Arc::new(message), once }
            }
        };
        let thread = match &wanted {
            Wanted::Message { message, .. } => self.thread_for(message),
            Wanted::Settled(_) => ThreadId::current(),
        };
        let command = ReceiveCommand { arrival, wanted, thread, now, reply: Some(reply), outcome: None };
        self.shared.queue.push(Command::Receive(Box::new(command)))?;
        answer.await.unwrap_or_else(|_| Err(closed().into()))
    }

    async fn known_once(&self, keys: &[Once], now: Timestamp) -> Result<Vec<bool>, Unavailable> {
        let keys = keys.to_vec();
        self.read(move |connection, shared| {
            let is_known = |once: &Once| {
                let made = made_by(shared, connection, TakenKey::Event(*once))?;
                Ok(made.is_some_and(|made| made.answers(*once, now)))
            };
            keys.iter().map(is_known).collect()
        })
        .await
    }

    async fn begin_answer(&self, key: IdempotencyKey, now: Timestamp) -> Result<Option<KeptAnswer>, Unavailable> {
        let oldest = now - limits::IDEMPOTENCY_WINDOW;
        self.shared
            .write(move |context| -> Result<_, Failed<Unavailable>> {
                let begun = context
                    .connection
                    .prepare_cached(
                        "INSERT INTO kept_answer (key, at_ms, status, body) VALUES (?1, ?2, 0, x'')
                         ON CONFLICT DO UPDATE SET at_ms = ?2, status = 0, body = x'' WHERE at_ms <= ?3",
                    )?
                    .execute(params![key.0, now.unix_ms() as i64, oldest.unix_ms() as i64])?;
                let found = if begun == 1 { None } else { find_answer(context.connection, &context.shared.vault, key, oldest)? };
                Ok(Written::new(found))
            })
            .await
    }

    async fn release_answer(&self, key: IdempotencyKey) -> Result<(), Unavailable> {
        self.shared
            .write(move |context| -> Result<_, Failed<Unavailable>> {
                context.connection.prepare_cached("DELETE FROM kept_answer WHERE key = ?1 AND status = 0")?.execute([key.0])?;
                Ok(Written::new(()))
            })
            .await
    }

    async fn kept_answer(&self, key: IdempotencyKey, now: Timestamp) -> Result<Option<KeptAnswer>, Unavailable> {
        let oldest = now - limits::IDEMPOTENCY_WINDOW;
        self.read(move |connection, shared| find_answer(connection, &shared.vault, key, oldest)).await
    }

    async fn keep_answer(&self, key: IdempotencyKey, answer: KeptAnswer, now: Timestamp) -> Result<(), Unavailable> {
        let oldest = now - limits::IDEMPOTENCY_WINDOW;
        self.shared
            .write(move |context| -> Result<_, Failed<Unavailable>> {
                let body = seal_answer(&context.shared.vault, key, &answer.body);
                context
                    .connection
                    .prepare_cached(
                        "INSERT INTO kept_answer (key, at_ms, status, body) VALUES (?1, ?2, ?3, ?4)
                         ON CONFLICT DO UPDATE SET at_ms = ?2, status = ?3, body = ?4 WHERE at_ms <= ?5 OR status = 0",
                    )?
                    .execute(params![key.0, now.unix_ms() as i64, answer.status, body, oldest.unix_ms() as i64])?;
                Ok(Written::new(()))
            })
            .await
    }
}

impl SqliteStore {
    /// Where a message is handed over: to the thread that it came in on. Those that an endpoint in strict order gets all go by the first, so that none
    /// overtakes another on its way to the lane.
    fn thread_for(&self, message: &Message) -> ThreadId {
        let in_order = self.shared.catalog.application(message.application).is_none_or(|view| {
            let mut targets = message.content.routing.targets.iter();
            targets.any(|target| view.endpoint(*target).is_none_or(|endpoint| endpoint.ordered))
        });
        if in_order { ThreadId::default() } else { ThreadId::current() }
    }
}

fn find_answer(connection: &Connection, vault: &Vault, key: IdempotencyKey, oldest: Timestamp) -> Result<Option<KeptAnswer>, StoreError> {
    let found: Option<(u16, Vec<u8>)> = connection
        .prepare_cached("SELECT status, body FROM kept_answer WHERE key = ?1 AND at_ms > ?2")?
        .query_row(params![key.0, oldest.unix_ms() as i64], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    found.map(|(status, sealed)| Ok(KeptAnswer { status, body: open_answer(vault, key, &sealed)? })).transpose()
}

/// Writes one accepted message, or decides why not; an error means that nothing can be written at all.
pub(crate) fn write(
    shared: &Shared,
    connection: &Connection,
    hot: &mut HotStatements<'_>,
    scratch: &mut Scratch,
    batch: &mut Batch,
    accept: &mut AcceptCommand,
) -> Result<(), StoreError> {
    let key = accept.idempotency_key.map(TakenKey::Request);
    accept.outcome = Some(match repeated(shared, connection, batch, key, accept.now)? {
        Some(repeated) => Ok(repeated),
        None => write_message(shared, connection, hot, scratch, batch, &mut accept.message, key)?,
    });
    Ok(())
}

/// The message that a key stands for already.
pub(crate) fn repeated(
    shared: &Shared,
    connection: &Connection,
    batch: &Batch,
    key: Option<TakenKey>,
    now: Timestamp,
) -> Result<Option<Accepted>, StoreError> {
    let Some(key) = key else { return Ok(None) };
    let known = match batch.new_keys.get(&(key.class(), key.bytes())) {
        Some(known) => Some(*known),
        None => made_by(shared, connection, key)?,
    };
    let answer = |made: MadeOnce| Accepted { id: made.message, created_at: made.created_at, repeated: true };
    Ok(known.filter(|made| key.is_answered_by(*made, now)).map(answer))
}

fn made_by(shared: &Shared, connection: &Connection, key: TakenKey) -> Result<Option<MadeOnce>, StoreError> {
    if let Some(known) = shared.tails.read().made_by(key.class(), &key.bytes()) {
        return Ok(Some(known));
    }
    shared.keys.lock().find(connection, key.class(), &key.bytes())
}

/// Writes a message that repeats none, unless something else stands against it.
pub(crate) fn write_message(
    shared: &Shared,
    connection: &Connection,
    hot: &mut HotStatements<'_>,
    scratch: &mut Scratch,
    batch: &mut Batch,
    message: &mut Arc<Message>,
    key: Option<TakenKey>,
) -> Result<Result<Accepted, AcceptError>, StoreError> {
    if let Some(refusal) = refusal(shared, connection, message)? {
        return Ok(Err(refusal));
    }
    let message = Arc::get_mut(message).expect("nobody shares a message before it is committed");
    let now = message.created_at;
    let id = MessageId::from_row(shared.new_row_id(now));
    message.id = id;
    encode_header(message, &mut scratch.row);
    let content = &message.content;
    hot.insert_message.execute(params![id.row().as_i64(), message.application.row().as_i64(), scratch.row, content.payload.as_deref()])?;
    if let Some(event_id) = &content.event_id {
        connection.prepare_cached("INSERT INTO event_id (application, event_id, message) VALUES (?1, ?2, ?3)")?.execute(params![
            message.application.row().as_i64(),
            event_id.as_str(),
            id.row().as_i64()
        ])?;
    }
    if let Some(at) = content.deliver_at.filter(|at| *at > now) {
        encode_delivery(DeliveryState::Waiting { at }, Progress::default(), None, &mut scratch.row);
        for endpoint in &content.routing.targets {
            hot.insert_delivery.execute(params![id.row().as_i64(), endpoint.row().as_i64(), scratch.row])?;
            insert_due(connection, DeliveryKey { message: id, endpoint: *endpoint }, at, Trigger::Scheduled)?;
        }
    }
    if let Some(key) = key {
        batch.new_keys.insert((key.class(), key.bytes()), key.made(id, now));
    }
    batch.journal.message(message, key);
    Ok(Ok(Accepted { id, created_at: now, repeated: false }))
}

fn refusal(shared: &Shared, connection: &Connection, message: &Message) -> Result<Option<AcceptError>, StoreError> {
    let application = message.application;
    if !shared.catalog.knows_application(application) {
        let exists = connection.prepare_cached("SELECT 1 FROM application WHERE id = ?1")?.exists([application.row().as_i64()])?;
        if !exists {
            return Ok(Some(AcceptError::ApplicationNotFound));
        }
        shared.catalog.remember_application(application);
    }
    if let Some(event_id) = &message.content.event_id {
        let taken = connection
            .prepare_cached("SELECT 1 FROM event_id WHERE application = ?1 AND event_id = ?2")?
            .exists(params![application.row().as_i64(), event_id.as_str()])?;
        if taken {
            return Ok(Some(AcceptError::DuplicateEventId));
        }
    }
    Ok(None)
}

pub(crate) fn insert_due(connection: &Connection, key: DeliveryKey, at: Timestamp, trigger: Trigger) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO due (endpoint, at_ms, message, trigger) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![key.endpoint.row().as_i64(), at.unix_ms() as i64, key.message.row().as_i64(), trigger_number(trigger)])?;
    Ok(())
}

/// After the commit: leases what can be attempted at once.
pub(crate) fn hand_over(leases: &mut MutexGuard<'_, Leases>, accept: &AcceptCommand, ready: &mut Vec<LeasedDelivery>) {
    if let Some(Ok(accepted)) = accept.outcome {
        hand_over_message(leases, &accept.message, accepted, ready);
    }
}

pub(crate) fn hand_over_message(
    leases: &mut MutexGuard<'_, Leases>,
    message: &Arc<Message>,
    accepted: Accepted,
    ready: &mut Vec<LeasedDelivery>,
) {
    if accepted.repeated {
        return;
    }
    let id = accepted.id;
    leases.committed(id);
    if message.content.deliver_at.is_some_and(|at| at > message.created_at) {
        return;
    }
    for endpoint in &message.content.routing.targets {
        let key = DeliveryKey { message: id, endpoint: *endpoint };
        if let Some(lease) = leases.hand_over(key, message.created_at) {
            ready.push(LeasedDelivery {
                key,
                lease,
                application: message.application,
                message: Arc::clone(message),
                state: DeliveryState::Pending,
                progress: Progress::default(),
                trigger: Trigger::Scheduled,
            });
        }
    }
}
