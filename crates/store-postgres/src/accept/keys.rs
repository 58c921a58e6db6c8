//! The keys that requests and events are told apart by, as a group takes them: of all that have one, the first writes.

use std::collections::HashMap;

use deadpool_postgres::GenericClient;
use hookpost_domain::{MessageId, Timestamp, limits};
use hookpost_store::codec::{message_id, time};
use hookpost_store::{Accepted, IdempotencyKey, MadeOnce, Once};
use tokio_postgres::{Client, Row, Statement};

use super::AcceptCommand;
use super::group::{Course, Planned};
use crate::error::StoreError;
use crate::statements;

/// Returns the messages whose keys were new, or past their window.
const TAKE_OF_REQUESTS: &str = "
    INSERT INTO hookpost.idempotency_key AS old (key, message, created_at_ms, kept_at_ms)
    SELECT key, message, at_ms, at_ms
    FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[]) AS new (key, message, at_ms, window_ms)
    ON CONFLICT (key) DO UPDATE SET message = excluded.message, created_at_ms = excluded.created_at_ms, kept_at_ms = excluded.kept_at_ms
    WHERE old.created_at_ms <= excluded.created_at_ms - 12 * 3600 * 1000
    RETURNING message";
const KNOWN_OF_REQUESTS: &str =
    "SELECT key, message, created_at_ms, 12 * 3600 * 1000::bigint FROM hookpost.idempotency_key WHERE key = ANY($1::bytea[])";
const FREE_OF_REQUESTS: &str = "DELETE FROM hookpost.idempotency_key WHERE key = ANY($1::bytea[])";

/// Of two windows the shorter one counts.
const TAKE_OF_EVENTS: &str = "
    INSERT INTO hookpost.event_key AS old (key, message, created_at_ms, window_ms, until_ms)
    SELECT key, message, at_ms, window_ms, at_ms + window_ms
    FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[]) AS new (key, message, at_ms, window_ms)
    ON CONFLICT (key) DO UPDATE SET message = excluded.message, created_at_ms = excluded.created_at_ms, window_ms = excluded.window_ms,
        until_ms = excluded.until_ms
    WHERE old.created_at_ms <= excluded.created_at_ms - least(old.window_ms, excluded.window_ms)
    RETURNING message";
const KNOWN_OF_EVENTS: &str = "SELECT key, message, created_at_ms, window_ms FROM hookpost.event_key WHERE key = ANY($1::bytea[])";
const FREE_OF_EVENTS: &str = "DELETE FROM hookpost.event_key WHERE key = ANY($1::bytea[])";

const _: () = assert!(limits::IDEMPOTENCY_WINDOW.as_millis() == 12 * 3600 * 1000);

/// The key of a request to the API, or of an event at a source; they never meet.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TakenKey {
    Request(IdempotencyKey),
    Event(Once),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum KeyClass {
    Request,
    Event,
}

impl TakenKey {
    pub(super) fn class(&self) -> KeyClass {
        match self {
            Self::Request(_) => KeyClass::Request,
            Self::Event(_) => KeyClass::Event,
        }
    }

    pub(super) fn bytes(&self) -> &[u8; 16] {
        match self {
            Self::Request(key) | Self::Event(Once { key, .. }) => &key.0,
        }
    }

    fn window_s(&self) -> u32 {
        match self {
            Self::Request(_) => limits::IDEMPOTENCY_WINDOW.as_secs() as u32,
            Self::Event(once) => once.window_s(),
        }
    }

    pub(super) fn made(&self, message: MessageId, created_at: Timestamp) -> MadeOnce {
        MadeOnce { message, created_at, window_s: self.window_s() }
    }

    /// Whether a message that was made by it stands for one that comes now.
    pub(super) fn is_answered_by(&self, made: MadeOnce, now: Timestamp) -> bool {
        match self {
            Self::Request(_) => now < made.until(),
            Self::Event(once) => made.answers(*once, now),
        }
    }
}

/// Which of these events have made a message that still stands for them. Asked beside the groups: what one of them is writing is not known yet.
pub(crate) async fn known_once(client: &impl GenericClient, keys: &[Once], now: Timestamp) -> Result<Vec<bool>, StoreError> {
    let asked: Vec<&[u8]> = keys.iter().map(|once| once.key.0.as_slice()).collect();
    let rows = statements::query(client, KNOWN_OF_EVENTS, &[&asked]).await?;
    let made = rows.iter().map(made_by).collect::<Result<HashMap<_, _>, StoreError>>()?;
    Ok(keys.iter().map(|once| made.get(once.key.0.as_slice()).is_some_and(|made| made.answers(*once, now))).collect())
}

fn made_by(row: &Row) -> Result<(&[u8], MadeOnce), StoreError> {
    let window_s = u32::try_from(row.try_get::<_, i64>(3)? / 1000).unwrap_or(u32::MAX);
    Ok((row.try_get(0)?, MadeOnce { message: message_id(row.try_get(1)?), created_at: time(row.try_get(2)?), window_s }))
}

/// What is said to the database of the keys of one class; prepared once per connection.
pub(super) struct KeyStatements {
    class: KeyClass,
    take: Statement,
    known: Statement,
    free: Statement,
}

impl KeyStatements {
    pub(super) async fn prepare(client: &Client, class: KeyClass) -> Result<Self, StoreError> {
        let (take, known, free) = match class {
            KeyClass::Request => (TAKE_OF_REQUESTS, KNOWN_OF_REQUESTS, FREE_OF_REQUESTS),
            KeyClass::Event => (TAKE_OF_EVENTS, KNOWN_OF_EVENTS, FREE_OF_EVENTS),
        };
        Ok(Self { class, take: client.prepare(take).await?, known: client.prepare(known).await?, free: client.prepare(free).await? })
    }

    /// Returns the messages whose keys are theirs now.
    pub(super) async fn take(&self, client: &Client, keys: &Keys<'_>) -> Result<Vec<Row>, tokio_postgres::Error> {
        match keys.keys.is_empty() {
            true => Ok(Vec::new()),
            false => client.query(&self.take, &[&keys.keys, &keys.messages, &keys.times, &keys.windows]).await,
        }
    }

    /// Answers those whose keys are another's.
    pub(super) async fn repeat(
        &self,
        client: &Client,
        commands: &[AcceptCommand],
        planned: &mut Planned,
        keys: &Keys<'_>,
        taken: &[Row],
    ) -> Result<(), StoreError> {
        let new = super::statements::first_column(taken)?;
        let repeated: Vec<&[u8]> =
            keys.keys.iter().zip(&keys.messages).filter(|(_, message)| !new.contains(message)).map(|(key, _)| *key).collect();
        if repeated.is_empty() {
            return Ok(());
        }
        let known = client.query(&self.known, &[&repeated]).await?;
        self.answer(commands, planned, &repeated, &known)
    }

    fn answer(&self, commands: &[AcceptCommand], planned: &mut Planned, repeated: &[&[u8]], known: &[Row]) -> Result<(), StoreError> {
        let made = known.iter().map(made_by).collect::<Result<HashMap<_, _>, StoreError>>()?;
        for (command, course) in commands.iter().zip(&mut planned.courses).filter(|(_, course)| **course == Course::Write) {
            let (Some(key), Some(message)) = (command.key.filter(|key| key.class() == self.class), &command.message) else { continue };
            if !repeated.contains(&key.bytes().as_slice()) {
                continue;
            }
            let first = made.get(key.bytes().as_slice()).filter(|made| key.is_answered_by(**made, message.created_at));
            let Some(first) = first else {
                return Err(StoreError::Away("a key was forgotten while it was looked up".to_owned()));
            };
            *course = Course::Answer(Ok(Accepted { id: first.message, created_at: first.created_at, repeated: true }));
        }
        Ok(())
    }

    /// Those that were taken for messages which are not written after all.
    pub(super) async fn free(&self, client: &Client, commands: &[AcceptCommand], planned: &Planned) -> Result<(), StoreError> {
        let refused = commands.iter().zip(&planned.courses).filter(|(_, course)| matches!(course, Course::Answer(Err(_))));
        let keys = refused.filter_map(|(command, _)| command.key.as_ref()).filter(|key| key.class() == self.class);
        let keys: Vec<&[u8]> = keys.map(|key| key.bytes().as_slice()).collect();
        if !keys.is_empty() {
            client.execute(&self.free, &[&keys]).await?;
        }
        Ok(())
    }
}

/// The keys of a group, of one class, in one order everywhere, so that no two nodes wait for each other.
pub(super) struct Keys<'a> {
    keys: Vec<&'a [u8]>,
    messages: Vec<i64>,
    times: Vec<i64>,
    windows: Vec<i64>,
}

impl<'a> Keys<'a> {
    pub(super) fn of(commands: &'a [AcceptCommand], planned: &Planned, class: KeyClass) -> Self {
        let written = commands.iter().zip(&planned.courses).filter(|(_, course)| **course == Course::Write);
        let mut sorted: Vec<(&[u8], i64, i64, i64)> = written
            .filter_map(|(command, _)| {
                let key = command.key.as_ref().filter(|key| key.class() == class)?;
                let message = command.message.as_ref()?;
                let window_ms = i64::from(key.window_s()) * 1000;
                Some((key.bytes().as_slice(), message.id.row().as_i64(), message.created_at.unix_ms() as i64, window_ms))
            })
            .collect();
        sorted.sort_unstable();
        Self {
            keys: sorted.iter().map(|(key, ..)| *key).collect(),
            messages: sorted.iter().map(|(_, message, ..)| *message).collect(),
            times: sorted.iter().map(|(.., time, _)| *time).collect(),
            windows: sorted.iter().map(|(.., window)| *window).collect(),
        }
    }
}
