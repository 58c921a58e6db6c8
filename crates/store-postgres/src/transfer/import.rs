//! Writing the sections.

use hookpost_domain::task::TaskStatus;
use hookpost_domain::{ApiKey, Application, BackgroundTask, EventType, Timestamp};
use hookpost_store::codec::Unreadable;
use hookpost_store::rows::{decode_endpoint, from_json};
use hookpost_store::transfer::{Batch, Cursor, MessageRow, PublicIdKey, ReceiptRow, Row};
use hookpost_store::vault::Vault;
use tokio_postgres::{Client, Transaction};

use super::doors::{self, SourceRow};
use super::{MOVING, PostgresTransfer, history, living_node, set_meta};
use crate::error::StoreError;
use crate::schema::{self, PUBLIC_ID_KEY, VAULT_CANARY};

/// Tables that only hold something where something was configured or accepted.
const DATA: [&str; 12] = [
    "application",
    "endpoint",
    "event_type",
    "api_key",
    "revocation",
    "task",
    "message",
    "idempotency_key",
    "kept_answer",
    "source",
    "receipt",
    "event_key",
];
/// What may be left in a store whose data is gone; and nodes that were silent for too long, which find out when they wake.
const CLEAR: &str = "DELETE FROM hookpost.delivery; DELETE FROM hookpost.attempt; DELETE FROM hookpost.queue; DELETE FROM hookpost.health;
    DELETE FROM hookpost.owner; DELETE FROM hookpost.change; DELETE FROM hookpost.event_id; DELETE FROM hookpost.payload_expiry;
    DELETE FROM hookpost.count_change; DELETE FROM hookpost.count_sum; DELETE FROM hookpost.node; DELETE FROM hookpost.source_token;
    DELETE FROM hookpost.source_state";

/// What came of making a database the target of a move.
pub(super) enum Begun {
    Yes,
    HasData,
    InUse(String),
}

/// Under the lock that nodes register with: either they see the mark, or they are seen here.
pub(super) async fn begin(client: &mut Client, key: PublicIdKey, canary: &[u8], cursor: &Cursor) -> Result<Begun, StoreError> {
    let transaction = client.transaction().await?;
    schema::lock(&transaction).await?;
    if let Some(by) = living_node(&transaction).await? {
        return Ok(Begun::InUse(by));
    }
    for table in DATA {
        if transaction.query_opt(&format!("SELECT 1 FROM hookpost.{table} LIMIT 1"), &[]).await?.is_some() {
            return Ok(Begun::HasData);
        }
    }
    transaction.batch_execute(CLEAR).await?;
    set_meta(&transaction, VAULT_CANARY, canary).await?;
    set_meta(&transaction, PUBLIC_ID_KEY, &key).await?;
    set_meta(&transaction, MOVING, &cursor.to_bytes()).await?;
    transaction.commit().await?;
    Ok(Begun::Yes)
}

pub(super) async fn import(end: &mut PostgresTransfer, batch: Batch, cursor: &Cursor) -> Result<(), StoreError> {
    let columns = Columns::of(batch.rows, &end.vault)?;
    let client = &mut end.connection.client;
    let messages: Vec<_> = columns.messages.iter().map(|message| message.id.row()).collect();
    end.partitions.make_for(client, &messages).await?;
    let receipts: Vec<_> = columns.receipts.iter().map(|receipt| receipt.id.row()).collect();
    end.receipt_partitions.make_for(client, &receipts).await?;
    let transaction = client.transaction().await?;
    let next = cursor.to_bytes();
    let go_on = "UPDATE hookpost.meta SET value = $2 WHERE name = $1 AND value = $3";
    if transaction.execute(go_on, &[&MOVING, &next, &end.cursor]).await? == 0 {
        return Err(StoreError::Away("another move into it is under way".to_owned()));
    }
    columns.insert(&transaction).await?;
    if !columns.messages.is_empty() {
        history::import(&transaction, &columns.messages).await?;
    }
    doors::import(&transaction, &columns.sources, &columns.receipts).await?;
    transaction.commit().await?;
    end.cursor = next;
    Ok(())
}

/// What can be asked for by id, tenant and the like.
#[derive(Default)]
struct Named {
    ids: Vec<i64>,
    orgs: Vec<String>,
    names: Vec<Option<String>>,
    flags: Vec<bool>,
    data: Vec<Vec<u8>>,
    more: Vec<Vec<u8>>,
}

/// Keys with times.
#[derive(Default)]
struct Keyed {
    keys: Vec<Vec<u8>>,
    numbers: Vec<i64>,
    times: Vec<i64>,
    bodies: Vec<Vec<u8>>,
}

/// A batch as the columns of tables. It is of one section: the others are empty.
#[derive(Default)]
struct Columns {
    applications: Named,
    endpoints: Named,
    of_applications: Vec<i64>,
    event_types: Named,
    api_keys: Named,
    tasks: Named,
    health: Named,
    revoked: Vec<String>,
    revocations: Keyed,
    idempotency_keys: Keyed,
    kept_answers: Keyed,
    event_keys: Keyed,
    windows: Vec<i64>,
    source_states: Named,
    sources: Vec<SourceRow>,
    receipts: Vec<ReceiptRow>,
    messages: Vec<MessageRow>,
}

impl Columns {
    fn of(rows: Vec<Row>, vault: &Vault) -> Result<Self, StoreError> {
        let mut columns = Self::default();
        rows.into_iter().try_for_each(|row| columns.push(row, vault))?;
        Ok(columns)
    }

    fn push(&mut self, row: Row, vault: &Vault) -> Result<(), StoreError> {
        let ms = |time: Timestamp| time.unix_ms() as i64;
        match row {
            Row::Application { data } => {
                let Application { id, org, uid, .. } = from_json(&data)?;
                let into = &mut self.applications;
                into.ids.push(id.row().as_i64());
                into.orgs.push(org.as_str().to_owned());
                into.names.push(uid.map(|uid| uid.as_str().to_owned()));
                into.data.push(data);
            }
            Row::Endpoint { id, data, sealed } => {
                // Opened, so that a secret which the master key does not open is found now.
                let endpoint = decode_endpoint(vault, id, &data, &sealed)?;
                self.of_applications.push(endpoint.application.row().as_i64());
                let into = &mut self.endpoints;
                into.ids.push(id.row().as_i64());
                into.names.push(endpoint.uid.map(|uid| uid.as_str().to_owned()));
                into.data.push(data);
                into.more.push(sealed);
            }
            Row::EventType { data } => {
                let EventType { org, name, archived, .. } = from_json(&data)?;
                let into = &mut self.event_types;
                into.orgs.push(org.as_str().to_owned());
                into.names.push(Some(name.as_str().to_owned()));
                into.flags.push(archived);
                into.data.push(data);
            }
            Row::ApiKey { data } => {
                let ApiKey { id, org, key_sha256, .. } = from_json(&data)?;
                let into = &mut self.api_keys;
                into.ids.push(id.row().as_i64());
                into.orgs.push(org.as_str().to_owned());
                into.more.push(key_sha256.to_vec());
                into.data.push(data);
            }
            Row::Task { data } => {
                let BackgroundTask { id, org, status, .. } = from_json(&data)?;
                let into = &mut self.tasks;
                into.ids.push(id.row().as_i64());
                into.orgs.push(org.as_str().to_owned());
                into.flags.push(status.is_shown_as(TaskStatus::Running));
                into.data.push(data);
            }
            Row::Health { endpoint, data } => {
                self.health.ids.push(endpoint.row().as_i64());
                self.health.data.push(data);
            }
            Row::Revocation { target, at, forget_at } => {
                let target = String::from_utf8(target).map_err(|_| schema::damaged("a revocation is no text"))?;
                self.revoked.push(target);
                self.revocations.times.push(ms(at));
                self.revocations.numbers.push(ms(forget_at));
            }
            Row::IdempotencyKey { key, message, created_at } => {
                let into = &mut self.idempotency_keys;
                into.keys.push(key.0.to_vec());
                into.numbers.push(message.row().as_i64());
                into.times.push(ms(created_at));
            }
            Row::KeptAnswer { key, kept_at, status, body } => {
                let into = &mut self.kept_answers;
                into.keys.push(key.0.to_vec());
                into.numbers.push(status.into());
                into.times.push(ms(kept_at));
                into.bodies.push(body);
            }
            Row::EventKey { key, made } => {
                let into = &mut self.event_keys;
                into.keys.push(key.0.to_vec());
                into.numbers.push(made.message.row().as_i64());
                into.times.push(ms(made.created_at));
                self.windows.push(i64::from(made.window_s) * 1000);
            }
            Row::Document(_) | Row::Progress { .. } | Row::LogEntry { .. } | Row::Usage { .. } => {
                return Err(
                    Unreadable { what: "move", why: "this store takes no documents, logs and counts of usage yet".to_owned() }.into()
                );
            }
            Row::SourceState { source, data } => {
                self.source_states.ids.push(source.row().as_i64());
                self.source_states.data.push(data);
            }
            Row::Source { id, data, sealed } => self.sources.push(SourceRow::open(vault, id, data, sealed)?),
            Row::Receipt(receipt) => self.receipts.push(receipt),
            Row::Message(message) => self.messages.push(message),
        }
        Ok(())
    }

    /// One statement for the one section that there are rows of.
    async fn insert(&self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        let Named { ids, orgs, names, data, .. } = &self.applications;
        if !ids.is_empty() {
            let insert = "INSERT INTO hookpost.application (id, org, uid, data)
                SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bytea[])";
            transaction.execute(insert, &[ids, orgs, names, data]).await?;
        }
        let Named { ids, names, data, more, .. } = &self.endpoints;
        if !ids.is_empty() {
            let insert = "INSERT INTO hookpost.endpoint (id, application, uid, data, sealed)
                SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bytea[], $5::bytea[])";
            transaction.execute(insert, &[ids, &self.of_applications, names, data, more]).await?;
        }
        let Named { orgs, names, flags, data, .. } = &self.event_types;
        if !orgs.is_empty() {
            let insert = "INSERT INTO hookpost.event_type (org, name, archived, data)
                SELECT * FROM unnest($1::text[], $2::text[], $3::boolean[], $4::bytea[])";
            transaction.execute(insert, &[orgs, names, flags, data]).await?;
        }
        let Named { ids, orgs, data, more, .. } = &self.api_keys;
        if !ids.is_empty() {
            let insert = "INSERT INTO hookpost.api_key (id, org, key_sha256, data)
                SELECT * FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::bytea[])";
            transaction.execute(insert, &[ids, orgs, more, data]).await?;
        }
        let Named { ids, orgs, flags, data, .. } = &self.tasks;
        if !ids.is_empty() {
            let insert = "INSERT INTO hookpost.task (id, org, running, data)
                SELECT * FROM unnest($1::bigint[], $2::text[], $3::boolean[], $4::bytea[])";
            transaction.execute(insert, &[ids, orgs, flags, data]).await?;
        }
        self.insert_rest(transaction).await
    }

    async fn insert_rest(&self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        let Named { ids, data, .. } = &self.health;
        if !ids.is_empty() {
            let insert = "INSERT INTO hookpost.health (endpoint, application, data)
                SELECT moved.endpoint, endpoint.application, moved.data
                FROM unnest($1::bigint[], $2::bytea[]) AS moved (endpoint, data) JOIN hookpost.endpoint ON endpoint.id = moved.endpoint";
            transaction.execute(insert, &[ids, data]).await?;
        }
        let Keyed { times, numbers, .. } = &self.revocations;
        if !times.is_empty() {
            let insert = "INSERT INTO hookpost.revocation (target, at_ms, forget_at_ms)
                SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])";
            transaction.execute(insert, &[&self.revoked, times, numbers]).await?;
        }
        let Keyed { keys, numbers, times, .. } = &self.idempotency_keys;
        if !keys.is_empty() {
            let insert = "INSERT INTO hookpost.idempotency_key (key, message, created_at_ms, kept_at_ms)
                SELECT key, message, at, at FROM unnest($1::bytea[], $2::bigint[], $3::bigint[]) AS moved (key, message, at)";
            transaction.execute(insert, &[keys, numbers, times]).await?;
        }
        let Keyed { keys, numbers, times, bodies } = &self.kept_answers;
        if !keys.is_empty() {
            let insert = "INSERT INTO hookpost.kept_answer (key, status, kept_at_ms, body)
                SELECT key, status::smallint, at, body
                FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bytea[]) AS moved (key, status, at, body)";
            transaction.execute(insert, &[keys, numbers, times, bodies]).await?;
        }
        let Keyed { keys, numbers, times, .. } = &self.event_keys;
        if !keys.is_empty() {
            let insert = "INSERT INTO hookpost.event_key (key, message, created_at_ms, window_ms, until_ms)
                SELECT key, message, at, length, at + length
                FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[]) AS moved (key, message, at, length)";
            transaction.execute(insert, &[keys, numbers, times, &self.windows]).await?;
        }
        let Named { ids, data, .. } = &self.source_states;
        if !ids.is_empty() {
            let insert = "INSERT INTO hookpost.source_state (source, data) SELECT * FROM unnest($1::bigint[], $2::bytea[])";
            transaction.execute(insert, &[ids, data]).await?;
        }
        Ok(())
    }
}

/// New row ids come after all that were moved; and the planner learns what is there now.
pub(super) async fn finish(client: &Client, cursor: &Cursor) -> Result<(), StoreError> {
    let keep = "INSERT INTO hookpost.node_number (number, last_row_id, freed_at) VALUES (0, $1, now() - interval '1 day')
        ON CONFLICT (number) DO UPDATE SET last_row_id = greatest(node_number.last_row_id, excluded.last_row_id)";
    client.execute(keep, &[&(cursor.last_row_id as i64)]).await?;
    for table in
        ["application", "endpoint", "message", "delivery", "attempt", "queue", "count_sum", "idempotency_key", "event_key", "receipt"]
    {
        client.batch_execute(&format!("ANALYZE hookpost.{table}")).await?;
    }
    Ok(())
}
