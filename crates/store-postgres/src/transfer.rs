//! The store of many nodes as one end of a move: a connection without a node, while no node lives.
//!
//! What is exported is what the rows say and what is implied: a target without a delivery row is pending. What a dead node had leased is as if it had been given
//! back. What is imported is written down, and in nobody's hands; the nodes that start afterwards find it in the queue.

mod beside;
mod doors;
mod export;
mod history;
mod import;

use async_trait::async_trait;
use hookpost_domain::MessageId;
use hookpost_store::codec::{Unreadable, message_id};
use hookpost_store::rows::RowError;
use hookpost_store::transfer::{Batch, Cursor, Key, PublicIdKey, Section, Transfer, TransferError};
use hookpost_store::vault::Vault;
use tokio_postgres::GenericClient;

use crate::connect::{DatabaseUrl, Dedicated, connect_first};
use crate::error::{OpenError, StoreError};
use crate::partitions::{self, Partitions};
use crate::schema::{self, CANARY, PUBLIC_ID_KEY, SCHEMA, VAULT_CANARY};

/// How far a move into this database has come, until it is complete.
const MOVING: &str = "moving";

#[derive(Debug)]
pub struct PostgresTransfer {
    place: String,
    connection: Dedicated,
    vault: Vault,
    partitions: Partitions,
    receipt_partitions: Partitions,
    /// As it was read or written last, so that of two moves at the same time one ends.
    cursor: Vec<u8>,
}

impl PostgresTransfer {
    /// The master key must be that of the database.
    pub async fn source(url: &DatabaseUrl, vault: Vault) -> Result<Self, OpenError> {
        let end = Self::open(url, vault, std::time::Duration::from_secs(1)).await?;
        let client = &end.connection.client;
        let checked = async {
            check_not_moving(client).await?;
            if let Some(canary) = meta(client, VAULT_CANARY).await? {
                end.vault.open(VAULT_CANARY.as_bytes(), &canary).map_err(RowError::from)?;
            }
            Ok(())
        };
        checked.await.map_err(|error| OpenError::explain(error, url))?;
        Ok(end)
    }

    /// Makes the tables if there are none. `partition`: as the nodes will have it.
    pub async fn target(url: &DatabaseUrl, vault: Vault, partition: std::time::Duration) -> Result<Self, OpenError> {
        Self::open(url, vault, partition).await
    }

    async fn open(url: &DatabaseUrl, vault: Vault, partition: std::time::Duration) -> Result<Self, OpenError> {
        let mut connection = connect_first(url).await?;
        schema::migrate_by(&mut connection.client, url, &SCHEMA).await?;
        Ok(Self {
            place: url.to_string(),
            connection,
            vault,
            partitions: Partitions::new(partitions::HISTORY, partition),
            receipt_partitions: Partitions::new(partitions::RECEIPTS, partition),
            cursor: Vec::new(),
        })
    }

    fn failed(&self) -> impl Fn(StoreError) -> TransferError + use<> {
        let place = self.place.clone();
        move |error| match error {
            StoreError::Row(error) => error.into(),
            other => TransferError::Store { place: place.clone(), why: other.to_string() },
        }
    }
}

/// For nodes: half a store must not be taken for a whole one. Under the lock of the schema's version nobody begins a move between this and what follows.
pub(crate) async fn check_not_moving(client: &impl GenericClient) -> Result<(), StoreError> {
    match meta(client, MOVING).await? {
        None => Ok(()),
        Some(cursor) => {
            let source_place = Cursor::from_bytes(&cursor).map_or_else(|_| "another store".to_owned(), |cursor| cursor.source);
            Err(StoreError::HalfMoved { source_place })
        }
    }
}

async fn meta(client: &impl GenericClient, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let row = client.query_opt("SELECT value FROM hookpost.meta WHERE name = $1", &[&name]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

async fn set_meta(client: &impl GenericClient, name: &str, value: &[u8]) -> Result<(), StoreError> {
    let upsert = "INSERT INTO hookpost.meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    client.execute(upsert, &[&name, &value]).await?;
    Ok(())
}

/// A node that has not been silent for the time of its lease, in words.
async fn living_node(client: &impl GenericClient) -> Result<Option<String>, StoreError> {
    let find = "SELECT name, ceil(extract(epoch FROM alive_until - clock_timestamp()))::bigint FROM hookpost.node
        WHERE alive_until >= clock_timestamp() ORDER BY alive_until DESC LIMIT 1";
    let Some(row) = client.query_opt(find, &[]).await? else { return Ok(None) };
    let (name, seconds): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
    let name = if name.is_empty() { "a node".to_owned() } else { format!("the node {name}") };
    Ok(Some(format!("{name} (if it was killed, it counts as running for another {seconds} s)")))
}

#[async_trait]
impl Transfer for PostgresTransfer {
    fn place(&self) -> String {
        self.place.clone()
    }

    async fn check_unused(&mut self) -> Result<(), TransferError> {
        match living_node(&self.connection.client).await.map_err(self.failed())? {
            None => Ok(()),
            Some(by) => Err(TransferError::InUse { place: self.place.clone(), by }),
        }
    }

    async fn public_id_key(&mut self) -> Result<PublicIdKey, TransferError> {
        let key = meta(&self.connection.client, PUBLIC_ID_KEY).await.map_err(self.failed())?;
        let key = key.ok_or_else(|| TransferError::NoData(self.place.clone()))?;
        Ok(key.try_into().map_err(|_| Unreadable { what: "key of the public ids", why: "it has another length".to_owned() })?)
    }

    async fn messages_span(&mut self) -> Result<Option<(MessageId, MessageId)>, TransferError> {
        let read = async {
            let row = self.connection.client.query_one("SELECT min(id), max(id) FROM hookpost.message", &[]).await?;
            let (first, last): (Option<i64>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
            Ok(first.map(message_id).zip(last.map(message_id)))
        };
        read.await.map_err(self.failed())
    }

    async fn export(&mut self, section: Section, after: Option<&Key>) -> Result<Batch, TransferError> {
        export::export(&self.connection.client, section, after).await.map_err(self.failed())
    }

    async fn begin(&mut self, source: String, key: PublicIdKey) -> Result<Cursor, TransferError> {
        if let Some(stored) = meta(&self.connection.client, MOVING).await.map_err(self.failed())? {
            let cursor = Cursor::from_bytes(&stored)?;
            self.cursor = stored;
            return match cursor.source == source && self.public_id_key().await? == key {
                true => Ok(cursor),
                false => Err(TransferError::OfAnotherMove { place: self.place.clone(), other: cursor.source }),
            };
        }
        let cursor = Cursor::begin(source);
        let canary = self.vault.seal(VAULT_CANARY.as_bytes(), CANARY);
        match import::begin(&mut self.connection.client, key, &canary, &cursor).await.map_err(self.failed())? {
            import::Begun::Yes => {}
            import::Begun::HasData => return Err(TransferError::NotEmpty(self.place.clone())),
            import::Begun::InUse(by) => return Err(TransferError::InUse { place: self.place.clone(), by }),
        }
        self.cursor = cursor.to_bytes();
        Ok(cursor)
    }

    async fn import(&mut self, batch: Batch, cursor: &Cursor) -> Result<(), TransferError> {
        import::import(self, batch, cursor).await.map_err(self.failed())
    }

    async fn finish(&mut self, cursor: &Cursor) -> Result<(), TransferError> {
        import::finish(&self.connection.client, cursor).await.map_err(self.failed())
    }

    async fn complete(&mut self) -> Result<(), TransferError> {
        let delete = "DELETE FROM hookpost.meta WHERE name = $1";
        let done = self.connection.client.execute(delete, &[&MOVING]).await;
        done.map(drop).map_err(StoreError::from).map_err(self.failed())
    }
}
