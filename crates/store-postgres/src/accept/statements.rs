//! What a group says to the database.

use std::collections::BTreeMap;

use hookpost_domain::EndpointId;
use hookpost_store::AcceptError;
use hookpost_store::codec::encode_header;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::AcceptCommand;
use super::group::{Fate, Planned};
use super::keys::{KeyClass, KeyStatements, Keys};
use super::receipts::{INSERT_RECEIPTS, ReceiptRows};
use crate::batch::first_failure;
use crate::counts::{CountColumns, minute_of};
use crate::error::StoreError;

/// Keeps others from burying this node until the transaction ends. No row: one has, or a newer connection has closed the epoch.
const GUARD: &str = "SELECT 1 FROM hookpost.node WHERE holder = $1 AND accept_epoch = $2 FOR KEY SHARE";

/// Everything, if nothing stands against it: applications and endpoints are there, and nothing waits before the messages.
const AT_ONCE: &str = "
    WITH guard AS MATERIALIZED (SELECT 1 FROM hookpost.node WHERE holder = $1 AND accept_epoch = $2 FOR KEY SHARE),
    fit AS MATERIALIZED (
        SELECT 1 FROM guard
        WHERE NOT EXISTS (
            SELECT 1 FROM unnest($3::bigint[]) AS wanted (id)
            LEFT JOIN LATERAL (SELECT application.id FROM hookpost.application WHERE application.id = wanted.id LIMIT 1) AS found ON true
            WHERE found.id IS NULL
        ) AND NOT EXISTS (
            SELECT 1 FROM unnest($4::bigint[]) AS wanted (id)
            LEFT JOIN LATERAL (SELECT endpoint.id FROM hookpost.endpoint WHERE endpoint.id = wanted.id LIMIT 1) AS found ON true
            LEFT JOIN LATERAL (
                SELECT queue.message FROM hookpost.queue WHERE queue.endpoint = wanted.id AND queue.holder IS NULL AND queue.pending LIMIT 1
            ) AS waiting ON true
            WHERE found.id IS NULL OR waiting.message IS NOT NULL
        )
    ),
    messages AS (
        INSERT INTO hookpost.message (id, application, targets, header, payload)
        SELECT new.id, new.application, ($5::bigint[])[new.low : new.high], new.header, new.payload
        FROM fit, unnest($6::bigint[], $7::bigint[], $8::integer[], $9::integer[], $10::bytea[], $11::bytea[])
            AS new (id, application, low, high, header, payload)
    ),
    expiries AS (
        INSERT INTO hookpost.payload_expiry (minute, messages)
        SELECT expiry.minute, ($12::bigint[])[expiry.low : expiry.high]
        FROM fit, unnest($13::integer[], $14::integer[], $15::integer[]) AS expiry (minute, low, high)
    ),
    counts AS (
        INSERT INTO hookpost.count_change (endpoints, minutes, statuses, changes)
        SELECT $16::bigint[], $17::integer[], $18::smallint[], $19::integer[] FROM fit WHERE cardinality($16::bigint[]) > 0
    ),
    usages AS (
        INSERT INTO hookpost.usage_change (applications, spans, event_types, messages, deliveries, success, failure, canceled)
        SELECT $20::bigint[], $21::integer[], $22::text[], $23::integer[], $24::integer[], $25::integer[], $26::integer[], $27::integer[]
        FROM fit WHERE cardinality($20::bigint[]) > 0
    )
    SELECT EXISTS (SELECT 1 FROM guard), EXISTS (SELECT 1 FROM fit)";

/// 0: applications that are not there; 1: endpoints; 2: endpoints with a backlog.
const LOOK: &str = "
    SELECT 0, wanted.id FROM unnest($1::bigint[]) AS wanted (id)
    LEFT JOIN LATERAL (SELECT application.id FROM hookpost.application WHERE application.id = wanted.id LIMIT 1) AS found ON true
    WHERE found.id IS NULL
    UNION ALL
    SELECT CASE WHEN found.id IS NULL THEN 1 ELSE 2 END, wanted.id FROM unnest($2::bigint[]) AS wanted (id)
    LEFT JOIN LATERAL (SELECT endpoint.id FROM hookpost.endpoint WHERE endpoint.id = wanted.id LIMIT 1) AS found ON true
    LEFT JOIN LATERAL (
        SELECT queue.message FROM hookpost.queue WHERE queue.endpoint = wanted.id AND queue.holder IS NULL AND queue.pending LIMIT 1
    ) AS waiting ON true
    WHERE found.id IS NULL OR waiting.message IS NOT NULL";

const TAKE_EVENT_IDS: &str = "
    INSERT INTO hookpost.event_id (application, event_id, message)
    SELECT application, event_id, message FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS new (application, event_id, message)
    ON CONFLICT DO NOTHING
    RETURNING message";

const INSERT_MESSAGES: &str = "
    INSERT INTO hookpost.message (id, application, targets, header, payload)
    SELECT new.id, new.application, ($1::bigint[])[new.low : new.high], new.header, new.payload
    FROM unnest($2::bigint[], $3::bigint[], $4::integer[], $5::integer[], $6::bytea[], $7::bytea[])
        AS new (id, application, low, high, header, payload)";
const INSERT_EXPIRIES: &str = "
    INSERT INTO hookpost.payload_expiry (minute, messages)
    SELECT expiry.minute, ($1::bigint[])[expiry.low : expiry.high]
    FROM unnest($2::integer[], $3::integer[], $4::integer[]) AS expiry (minute, low, high)";

/// So that no endpoint goes between the look at it and the commit of what waits for it.
const LOCK_ENDPOINTS: &str = "SELECT 1 FROM hookpost.endpoint WHERE id = ANY($1::bigint[]) ORDER BY id FOR KEY SHARE";
/// 4 and 6: canceled, because the endpoint was deleted.
const INSERT_ROWS: &str = "
    WITH new AS MATERIALIZED (
        SELECT new.*, found.id IS NOT NULL AS there
        FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS new (message, endpoint, application, due_at_ms)
        LEFT JOIN LATERAL (SELECT endpoint.id FROM hookpost.endpoint WHERE endpoint.id = new.endpoint LIMIT 1) AS found ON true
    ),
    deliveries AS (
        INSERT INTO hookpost.delivery (message, endpoint, state, reason, due_at_ms, attempts, scheduled_attempts)
        SELECT message, endpoint, CASE WHEN NOT there THEN 4 WHEN due_at_ms IS NULL THEN 0 ELSE 1 END,
            CASE WHEN NOT there THEN 6 END, CASE WHEN there THEN due_at_ms END, 0, 0
        FROM new
    )
    INSERT INTO hookpost.queue (endpoint, message, application, pending, scheduled_at_ms, next_at_ms, attempts, scheduled_attempts)
    SELECT endpoint, message, application, due_at_ms IS NULL, due_at_ms, due_at_ms, 0, 0 FROM new WHERE there";

/// Prepared once per connection.
pub(super) struct Statements {
    at_once: Statement,
    guard: Statement,
    look: Statement,
    request_keys: KeyStatements,
    event_keys: KeyStatements,
    take_event_ids: Statement,
    insert_messages: Statement,
    insert_expiries: Statement,
    lock_endpoints: Statement,
    insert_rows: Statement,
    insert_receipts: Statement,
}

/// Buffers that are used again for every group.
#[derive(Debug, Default)]
pub(super) struct Columns {
    headers: Vec<Vec<u8>>,
}

impl Statements {
    pub(super) async fn prepare(client: &Client) -> Result<Self, StoreError> {
        Ok(Self {
            at_once: client.prepare(AT_ONCE).await?,
            guard: client.prepare(GUARD).await?,
            look: client.prepare(LOOK).await?,
            request_keys: KeyStatements::prepare(client, KeyClass::Request).await?,
            event_keys: KeyStatements::prepare(client, KeyClass::Event).await?,
            take_event_ids: client.prepare(TAKE_EVENT_IDS).await?,
            insert_messages: client.prepare(INSERT_MESSAGES).await?,
            insert_expiries: client.prepare(INSERT_EXPIRIES).await?,
            lock_endpoints: client.prepare(LOCK_ENDPOINTS).await?,
            insert_rows: client.prepare(INSERT_ROWS).await?,
            insert_receipts: client.prepare(INSERT_RECEIPTS).await?,
        })
    }

    /// `false`: something stands against it, and nothing was written.
    pub(super) async fn at_once(
        &self,
        client: &Client,
        (holder, epoch): (i64, i32),
        commands: &[AcceptCommand],
        planned: &mut Planned,
        columns: &mut Columns,
    ) -> Result<bool, StoreError> {
        planned.count(commands);
        let new = NewRows::of(commands, planned, columns);
        let (applications, endpoints) = (applications(planned), endpoints(planned));
        let CountColumns { endpoints: counted, minutes, statuses, changes } = planned.counts.columns();
        let usage = planned.usage.columns();
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![
            &holder,
            &epoch,
            &applications,
            &endpoints,
            &new.targets,
            &new.ids,
            &new.applications,
            &new.lows,
            &new.highs,
            &new.headers,
            &new.payloads,
            &new.expiries.messages,
            &new.expiries.minutes,
            &new.expiries.lows,
            &new.expiries.highs,
            &counted,
            &minutes,
            &statuses,
            &changes,
        ];
        parameters.extend(usage.parameters());
        let row = client.query_one(&self.at_once, &parameters).await?;
        match (row.try_get(0)?, row.try_get(1)?) {
            (true, fit) => Ok(fit),
            (false, _) => Err(StoreError::NodeLost),
        }
    }

    /// Begins the transaction and finds out what will be written.
    pub(super) async fn prepare_in_steps(
        &self,
        client: &Client,
        (holder, epoch): (i64, i32),
        commands: &[AcceptCommand],
        planned: &mut Planned,
    ) -> Result<(), StoreError> {
        let request_keys = Keys::of(commands, planned, KeyClass::Request);
        let event_keys = Keys::of(commands, planned, KeyClass::Event);
        let (applications, endpoints) = (applications(planned), endpoints(planned));
        let (begun, guard, requests, events, found) = tokio::join!(
            biased;
            client.batch_execute("BEGIN"),
            async { client.query(&self.guard, &[&holder, &epoch]).await },
            self.request_keys.take(client, &request_keys),
            self.event_keys.take(client, &event_keys),
            async { client.query(&self.look, &[&applications, &endpoints]).await },
        );
        // In the order in which they were sent: what follows a failure says only that the transaction has failed.
        begun?;
        let (guard, requests, events, found) = (guard?, requests?, events?, found?);
        if guard.is_empty() {
            return Err(StoreError::NodeLost);
        }
        self.request_keys.repeat(client, commands, planned, &request_keys, &requests).await?;
        self.event_keys.repeat(client, commands, planned, &event_keys, &events).await?;
        self.apply_look(commands, planned, &found)?;
        self.take_event_ids(client, commands, planned).await
    }

    fn apply_look(&self, commands: &[AcceptCommand], planned: &mut Planned, found: &[Row]) -> Result<(), StoreError> {
        for row in found {
            let (what, id): (i32, i64) = (row.try_get(0)?, row.try_get(1)?);
            match what {
                0 => planned.refuse(commands, &AcceptError::ApplicationNotFound, |message| message.application.row().as_i64() == id),
                1 => planned.places.change(endpoint(id), |place| place.gone = true),
                _ => planned.places.change(endpoint(id), |place| place.backlog = true),
            }
        }
        Ok(())
    }

    async fn take_event_ids(&self, client: &Client, commands: &[AcceptCommand], planned: &mut Planned) -> Result<(), StoreError> {
        // In one order everywhere, so that no two nodes wait for each other.
        let wanted: BTreeMap<(i64, &str), i64> = planned
            .written(commands)
            .filter_map(|message| {
                let event_id = message.content.event_id.as_ref()?;
                Some(((message.application.row().as_i64(), event_id.as_str()), message.id.row().as_i64()))
            })
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let (names, messages): (Vec<_>, Vec<i64>) = wanted.into_iter().unzip();
        let (applications, event_ids): (Vec<i64>, Vec<&str>) = names.into_iter().unzip();
        let taken = client.query(&self.take_event_ids, &[&applications, &event_ids, &messages]).await?;
        let taken = first_column(&taken)?;
        planned.refuse(commands, &AcceptError::DuplicateEventId, |message| {
            message.content.event_id.is_some() && !taken.contains(&message.id.row().as_i64())
        });
        Ok(())
    }

    /// Writes what is left to be written, and commits.
    pub(super) async fn finish(
        &self,
        client: &Client,
        commands: &[AcceptCommand],
        planned: &mut Planned,
        columns: &mut Columns,
    ) -> Result<(), StoreError> {
        planned.settle_repeated(commands);
        planned.count(commands);
        let new = NewRows::of(commands, planned, columns);
        let waiting = WaitingRows::of(commands, planned);
        let receipts = ReceiptRows::of(commands, planned);
        let messages = async {
            if !new.ids.is_empty() {
                let parameters: [&(dyn ToSql + Sync); 7] =
                    [&new.targets, &new.ids, &new.applications, &new.lows, &new.highs, &new.headers, &new.payloads];
                client.execute(&self.insert_messages, &parameters).await?;
            }
            Ok::<_, StoreError>(())
        };
        let expiries = async {
            if !new.expiries.minutes.is_empty() {
                let Expiries { messages, minutes, lows, highs } = &new.expiries;
                client.execute(&self.insert_expiries, &[messages, minutes, lows, highs]).await?;
            }
            Ok(())
        };
        let lock = async {
            if !waiting.messages.is_empty() {
                client.query(&self.lock_endpoints, &[&waiting.endpoints]).await?;
            }
            Ok(())
        };
        let rows = async {
            if !waiting.messages.is_empty() {
                let WaitingRows { messages, endpoints, applications, due } = &waiting;
                client.execute(&self.insert_rows, &[messages, endpoints, applications, due]).await?;
            }
            Ok(())
        };
        let received = async {
            if !receipts.ids.is_empty() {
                let ReceiptRows { ids, sources, data, bodies } = &receipts;
                client.execute(&self.insert_receipts, &[ids, sources, data, bodies]).await?;
            }
            Ok(())
        };
        let freed_requests = self.request_keys.free(client, commands, planned);
        let freed_events = self.event_keys.free(client, commands, planned);
        let (counts, usage) = (planned.counts.insert(client), planned.usage.insert(client));
        let commit = async { Ok(client.batch_execute("COMMIT").await?) };
        // Sent together, in this order. If one fails, the commit undoes them all.
        let answers = tokio::join!(biased; lock, freed_requests, freed_events, messages, rows, received, expiries, counts, usage, commit);
        first_failure(answers.into())
    }
}

fn applications(planned: &Planned) -> Vec<i64> {
    planned.applications.iter().map(|application| application.row().as_i64()).collect()
}

fn endpoints(planned: &Planned) -> Vec<i64> {
    planned.places.of.keys().map(|endpoint| endpoint.row().as_i64()).collect()
}

fn endpoint(raw: i64) -> EndpointId {
    hookpost_store::codec::endpoint_id(raw)
}

pub(super) fn first_column(rows: &[Row]) -> Result<std::collections::HashSet<i64>, StoreError> {
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// The messages of a group by column.
struct NewRows<'a> {
    ids: Vec<i64>,
    applications: Vec<i64>,
    /// Of all messages, one after the other; each has a slice of it, counted from one.
    targets: Vec<i64>,
    lows: Vec<i32>,
    highs: Vec<i32>,
    headers: Vec<&'a [u8]>,
    payloads: Vec<Option<&'a [u8]>>,
    expiries: Expiries,
}

#[derive(Default)]
struct Expiries {
    messages: Vec<i64>,
    minutes: Vec<i32>,
    lows: Vec<i32>,
    highs: Vec<i32>,
}

impl<'a> NewRows<'a> {
    fn of(commands: &'a [AcceptCommand], planned: &Planned, columns: &'a mut Columns) -> Self {
        let (mut ids, mut applications, mut targets, mut lows, mut highs, mut payloads) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for message in planned.written(commands) {
            if columns.headers.len() == ids.len() {
                columns.headers.push(Vec::new());
            }
            encode_header(message, &mut columns.headers[ids.len()]);
            ids.push(message.id.row().as_i64());
            applications.push(message.application.row().as_i64());
            lows.push(targets.len() as i32 + 1);
            targets.extend(message.content.routing.targets.iter().map(|endpoint| endpoint.row().as_i64()));
            highs.push(targets.len() as i32);
            payloads.push(message.content.payload.as_deref());
        }
        let headers = columns.headers[..ids.len()].iter().map(Vec::as_slice).collect();
        Self { expiries: Expiries::of(commands, planned), ids, applications, targets, lows, highs, headers, payloads }
    }
}

impl Expiries {
    fn of(commands: &[AcceptCommand], planned: &Planned) -> Self {
        let mut minutes: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
        for message in planned.written(commands).filter(|message| message.content.payload.is_some()) {
            minutes.entry(minute_of(message.content.payload_expires_at)).or_default().push(message.id.row().as_i64());
        }
        let mut expiries = Self::default();
        for (minute, messages) in minutes {
            expiries.minutes.push(minute);
            expiries.lows.push(expiries.messages.len() as i32 + 1);
            expiries.messages.extend(messages);
            expiries.highs.push(expiries.messages.len() as i32);
        }
        expiries
    }
}

/// Deliveries that need a row from the start.
#[derive(Default)]
struct WaitingRows {
    messages: Vec<i64>,
    endpoints: Vec<i64>,
    applications: Vec<i64>,
    due: Vec<Option<i64>>,
}

impl WaitingRows {
    fn of(commands: &[AcceptCommand], planned: &Planned) -> Self {
        let mut rows = Self::default();
        for message in planned.written(commands) {
            for endpoint in &message.content.routing.targets {
                let due = match planned.fate(message, *endpoint) {
                    Fate::HandOver => continue,
                    Fate::Row { due } => due.map(|at| at.unix_ms() as i64),
                    Fate::Gone => None,
                };
                rows.messages.push(message.id.row().as_i64());
                rows.endpoints.push(endpoint.row().as_i64());
                rows.applications.push(message.application.row().as_i64());
                rows.due.push(due);
            }
        }
        rows
    }
}
