//! Opening: what was in memory is made again from the tail log, the low-water mark and the backlog rows.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use hookpost_domain::access::RevocationTarget;
use hookpost_domain::{DeliveryKey, DeliveryState, EndpointId, MessageId, RowId, Timestamp};
use rusqlite::{Connection, params};

use crate::OpenError;
use crate::claim::delivery_state;
use crate::error::StoreError;
use crate::flush::Flush;
use crate::leases::Leases;
use crate::messages;
use crate::rows;
use crate::schema::meta;
use crate::tail::{Frozen, Tails};
use hookpost_store::codec::{endpoint_id, message_id, time};

#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) tails: Tails,
    pub(crate) flush: Flush,
    pub(crate) leases: Leases,
    pub(crate) next_seq: i64,
    pub(crate) last_row_id: RowId,
    pub(crate) unfinished: i64,
    pub(crate) revocations: HashMap<RevocationTarget, (Timestamp, Timestamp)>,
    /// Endpoints with a backlog, to be settled before anyone sees them.
    pub(crate) backlogged: Vec<EndpointId>,
}

pub(crate) fn recover(connection: &mut Connection) -> Result<Recovered, OpenError> {
    let transaction = connection.transaction()?;
    let recovered = recover_in(&transaction)?;
    transaction.commit()?;
    Ok(recovered)
}

fn recover_in(connection: &Connection) -> Result<Recovered, StoreError> {
    let flushed_seq = meta::number(connection, meta::FLUSHED_SEQ)?;
    let frozen_seq = meta::number(connection, meta::FROZEN_SEQ)?;
    let mut tails = Tails { last_frozen_seq: frozen_seq, ..Tails::default() };
    let mut frozen = None;
    let (mut next_seq, mut deleted_seq, mut last_row_id, mut mark, mut unfinished) = (1, flushed_seq, 0, 0, 0);
    {
        let mut statement = connection.prepare("SELECT seq, last_row_id, mark, unfinished, entries FROM tail_log ORDER BY seq")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let seq: i64 = row.get(0)?;
            (next_seq, last_row_id, mark, unfinished) = (seq + 1, row.get(1)?, row.get(2)?, row.get(3)?);
            if seq <= flushed_seq {
                deleted_seq = deleted_seq.min(seq - 1);
                continue;
            }
            let entries = row.get_ref(4)?.as_blob().map_err(rusqlite::Error::from)?;
            let tail = if seq <= frozen_seq { &mut frozen.get_or_insert_with(Frozen::default).tail } else { &mut tails.live };
            tail.replay(entries)?;
        }
    }
    let mut flush = Flush::recovered(flushed_seq, deleted_seq);
    if let Some(frozen) = frozen {
        let frozen = Arc::new(Frozen { seq: frozen_seq, ..frozen });
        flush.resume(Arc::clone(&frozen), usize::try_from(meta::number(connection, meta::FROZEN_DONE)?).unwrap_or_default());
        tails.frozen = Some(frozen);
    }

    let newest: i64 = connection.query_row("SELECT coalesce(max(id), 0) FROM message", [], |row| row.get(0))?;
    let gone = connection
        .prepare("SELECT endpoint FROM endpoint_gone")?
        .query_map([], |row| Ok(endpoint_id(row.get(0)?)))?
        .collect::<Result<Vec<_>, _>>()?;
    let opened = meta::number(connection, meta::OPENED)? + 1;
    meta::set(connection, meta::OPENED, opened)?;
    let cursors = cover_pending(connection, mark)?;
    connection.execute(
        "INSERT INTO tail_log (seq, last_row_id, mark, unfinished, entries) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![next_seq, last_row_id.max(newest), newest, unfinished, crate::tail::Journal::new().bytes()],
    )?;

    let mut revocations = HashMap::new();
    let mut statement = connection.prepare("SELECT target, at_ms, forget_at_ms FROM revocation")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        revocations.insert(rows::json_column(row)?, (time(row.get(1)?), time(row.get(2)?)));
    }
    Ok(Recovered {
        tails,
        flush,
        backlogged: cursors.keys().copied().collect(),
        leases: Leases::recovered(opened as u64, message_id(newest), cursors, gone),
        next_seq: next_seq + 1,
        last_row_id: RowId::from_i64(last_row_id.max(newest)),
        unfinished,
        revocations,
    })
}

/// Puts every delivery that waits for its first attempt under the backlog of its endpoint: those above the mark, and those that were held. Returns
/// where each backlog begins.
fn cover_pending(connection: &Connection, mark: i64) -> Result<BTreeMap<EndpointId, MessageId>, StoreError> {
    let mut cursors: BTreeMap<EndpointId, MessageId> = connection
        .prepare("SELECT endpoint, cursor FROM backlog")?
        .query_map([], |row| Ok((endpoint_id(row.get(0)?), message_id(row.get(1)?))))?
        .collect::<Result<_, _>>()?;
    let mut cover = |key: DeliveryKey| -> Result<(), StoreError> {
        let covered = cursors.get(&key.endpoint).is_some_and(|cursor| *cursor <= key.message);
        if covered || !matches!(delivery_state(connection, key)?, None | Some((DeliveryState::Pending, _))) {
            return Ok(());
        }
        cursors.insert(key.endpoint, key.message);
        connection
            .prepare_cached("INSERT OR REPLACE INTO backlog (endpoint, cursor) VALUES (?1, ?2)")?
            .execute(params![key.endpoint.row().as_i64(), key.message.row().as_i64()])?;
        Ok(())
    };
    let above: Vec<MessageId> = connection
        .prepare("SELECT id FROM message WHERE id > ?1 ORDER BY id")?
        .query_map([mark], |row| Ok(message_id(row.get(0)?)))?
        .collect::<Result<_, _>>()?;
    for message in above {
        let Some(header) = messages::load_header(connection, message)? else { continue };
        for endpoint in header.content.routing.targets {
            cover(DeliveryKey { message, endpoint })?;
        }
    }
    let held: Vec<DeliveryKey> = connection
        .prepare("SELECT message, endpoint FROM held ORDER BY message")?
        .query_map([], |row| Ok(DeliveryKey { message: message_id(row.get(0)?), endpoint: endpoint_id(row.get(1)?) }))?
        .collect::<Result<_, _>>()?;
    for key in held {
        if messages::exists(connection, key.message)? {
            cover(key)?;
        }
    }
    connection.execute("DELETE FROM held", [])?;
    Ok(cursors)
}
