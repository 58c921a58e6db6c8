//! The embedded store as one end of a move: opened for it alone, without the writer and what it keeps in memory.
//!
//! What is exported is what the rows say: a pending delivery without a row, one that its deleted endpoint ended, a key that is only in the journal of the tail.
//! What is imported gets the lists, counters, cursors and due rows that the writer would have made.

mod export;
mod import;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use async_trait::async_trait;
use hookpost_domain::{EndpointId, EventTypeName, MessageId};
use hookpost_store::MadeOnce;
use hookpost_store::codec::{Unreadable, endpoint_id, message_id};
use hookpost_store::transfer::{Batch, Cursor, Key, PublicIdKey, Section, Transfer, TransferError};
use hookpost_store::usage::{FINE_S, UsageCounts};
use hookpost_store::vault::Vault;
use rusqlite::Connection;

use crate::error::StoreError;
use crate::flush::counter_chunk;
use crate::keys::{KeyClass, KeyIndex};
use crate::lock::DataDirLock;
use crate::schema::{self, meta};
use crate::tail::Tail;
use crate::usage::Bounds;
use crate::{DATABASE_FILE, OpenError, check_master_key, set_master_key};

/// For the target: attempts are put down in the order of their messages and read in their own.
const CACHE_KIB: i64 = 65_536;
const WAL_PAGES_MAX: i64 = 4096;

type TailKeys = BTreeMap<(KeyClass, [u8; 16]), MadeOnce>;
type TailUsage = BTreeMap<(u64, u64), BTreeMap<EventTypeName, UsageCounts>>;

pub struct SqliteTransfer {
    place: String,
    connection: Connection,
    vault: Vault,
    keys: KeyIndex,
    /// Keys that are only in the journal of the tail yet.
    tail_keys: TailKeys,
    /// The same of usage, by application and begin of the span in seconds.
    tail_usage: TailUsage,
    /// Deleted endpoints: what they left open has ended.
    gone: HashSet<EndpointId>,
    _lock: DataDirLock,
}

impl std::fmt::Debug for SqliteTransfer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SqliteTransfer({})", self.place)
    }
}

impl SqliteTransfer {
    /// The data directory must have a database, and be nobody's; the master key must be its own.
    pub fn source(data_dir: &Path, vault: Vault) -> Result<Self, OpenError> {
        if !data_dir.join(DATABASE_FILE).exists() {
            return Err(OpenError::DataDir { data_dir: data_dir.to_owned(), why: "it has no database".to_owned() });
        }
        let end = Self::open(data_dir, vault).map_err(|error| error.in_directory(data_dir))?;
        check_not_moving(&end.connection, data_dir)?;
        check_master_key(&end.connection, &end.vault)?;
        Ok(end)
    }

    /// Makes the data directory if there is none.
    pub fn target(data_dir: &Path, vault: Vault) -> Result<Self, OpenError> {
        let end = Self::open(data_dir, vault).map_err(|error| error.in_directory(data_dir))?;
        // Until the move is complete nothing has to survive a loss of power but what a transaction holds together.
        end.connection.pragma_update(None, "synchronous", "NORMAL")?;
        end.connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        end.connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES_MAX)?;
        Ok(end)
    }

    fn open(data_dir: &Path, vault: Vault) -> Result<Self, OpenError> {
        let lock = DataDirLock::take(data_dir)?;
        let mut connection = schema::open_writer(&data_dir.join(DATABASE_FILE))?;
        schema::migrate(&mut connection)?;
        let place = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned()).display().to_string();
        let keys = KeyIndex::load(&connection)?;
        let (tail_keys, tail_usage) = read_tail(&connection)?;
        let gone = gone(&connection)?;
        Ok(Self { place, connection, vault, keys, tail_keys, tail_usage, gone, _lock: lock })
    }

    fn failed(&self) -> impl Fn(StoreError) -> TransferError + use<> {
        let place = self.place.clone();
        move |error| match error {
            StoreError::Row(error) => error.into(),
            StoreError::Sqlite(_) => TransferError::Store { place: place.clone(), why: error.to_string() },
        }
    }
}

/// For servers: half a store must not be taken for a whole one.
pub(crate) fn check_not_moving(connection: &Connection, data_dir: &Path) -> Result<(), OpenError> {
    let Some(cursor) = meta::bytes(connection, meta::MOVING)? else { return Ok(()) };
    let source_place = Cursor::from_bytes(&cursor).map_or_else(|_| "another store".to_owned(), |cursor| cursor.source);
    Err(OpenError::HalfMoved { data_dir: data_dir.to_owned(), source_place })
}

/// What only the journal of the tail has yet.
fn read_tail(connection: &Connection) -> Result<(TailKeys, TailUsage), StoreError> {
    let [flushed, frozen, frozen_done] = [
        meta::number(connection, meta::FLUSHED_SEQ)?,
        meta::number(connection, meta::FROZEN_SEQ)?,
        meta::number(connection, meta::FROZEN_DONE)?,
    ];
    let bounds = Bounds::load(connection)?;
    let mut statement = connection.prepare("SELECT seq, entries FROM tail_log WHERE seq > ?1 ORDER BY seq")?;
    let mut rows = statement.query([flushed])?;
    let (mut keys, mut usage) = (TailKeys::new(), TailUsage::new());
    while let Some(row) = rows.next()? {
        let is_frozen = row.get::<_, i64>(0)? <= frozen;
        let mut tail = Tail::default();
        tail.replay(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?)?;
        for class in KeyClass::ALL {
            keys.extend(tail.keys(class).iter().map(|(key, made)| ((class, *key), *made)));
        }
        for ((application, span, event_type), counts) in tail.usage {
            let is_stored = is_frozen && counter_chunk(application) < frozen_done as usize;
            if let Some(at_s) = bounds.place(span * FINE_S).filter(|_| !is_stored) {
                usage.entry((application, at_s)).or_default().entry(event_type).or_default().add(counts);
            }
        }
    }
    Ok((keys, usage))
}

fn gone(connection: &Connection) -> Result<HashSet<EndpointId>, StoreError> {
    let mut statement = connection.prepare("SELECT endpoint FROM endpoint_gone")?;
    Ok(statement.query_map([], |row| Ok(endpoint_id(row.get(0)?)))?.collect::<Result<_, _>>()?)
}

#[async_trait]
impl Transfer for SqliteTransfer {
    fn place(&self) -> String {
        self.place.clone()
    }

    /// The lock of the directory says so for as long as it is held.
    async fn check_unused(&mut self) -> Result<(), TransferError> {
        Ok(())
    }

    async fn public_id_key(&mut self) -> Result<PublicIdKey, TransferError> {
        let key = meta::bytes(&self.connection, meta::PUBLIC_ID_KEY).map_err(StoreError::from).map_err(self.failed())?;
        let key = key.ok_or_else(|| TransferError::NoData(self.place.clone()))?;
        Ok(key.try_into().map_err(|_| Unreadable { what: "key of the public ids", why: "it has another length".to_owned() })?)
    }

    async fn messages_span(&mut self) -> Result<Option<(MessageId, MessageId)>, TransferError> {
        let bound = |which: &str| -> Result<Option<i64>, StoreError> {
            Ok(self.connection.query_row(&format!("SELECT {which}(id) FROM message"), [], |row| row.get(0))?)
        };
        let (first, last) = (bound("min").map_err(self.failed())?, bound("max").map_err(self.failed())?);
        Ok(first.map(message_id).zip(last.map(message_id)))
    }

    async fn export(&mut self, section: Section, after: Option<&Key>) -> Result<Batch, TransferError> {
        export::export(self, section, after).map_err(self.failed())
    }

    async fn begin(&mut self, source: String, key: PublicIdKey) -> Result<Cursor, TransferError> {
        if let Some(stored) = meta::bytes(&self.connection, meta::MOVING).map_err(StoreError::from).map_err(self.failed())? {
            let cursor = Cursor::from_bytes(&stored)?;
            return match cursor.source == source && self.public_id_key().await? == key {
                true => Ok(cursor),
                false => Err(TransferError::OfAnotherMove { place: self.place.clone(), other: cursor.source }),
            };
        }
        if import::has_data(self).map_err(self.failed())? {
            return Err(TransferError::NotEmpty(self.place.clone()));
        }
        let cursor = Cursor::begin(source);
        import::begin(self, key, &cursor).map_err(self.failed())?;
        Ok(cursor)
    }

    async fn import(&mut self, batch: Batch, cursor: &Cursor) -> Result<(), TransferError> {
        import::import(self, batch, cursor).map_err(self.failed())
    }

    async fn finish(&mut self, cursor: &Cursor) -> Result<(), TransferError> {
        import::finish(self, cursor).map_err(self.failed())
    }

    async fn complete(&mut self) -> Result<(), TransferError> {
        import::complete(self).map_err(self.failed())
    }
}
