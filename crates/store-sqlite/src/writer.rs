//! The one thread that writes: takes what is queued, writes it in one transaction, and only then changes what is in memory and tells anyone.
//!
//! Natural group commit: what queued up during the last fsync goes into the next one, without a timer. If a commit fails, memory is as it
//! was before; if one operation spoils a batch, the batch is tried again one by one.

use std::cell::Cell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use hookpost_domain::Timestamp;
use hookpost_store::{CommitFacts, MadeOnce, Unavailable};
use hookpost_threads::PerThread;
use rusqlite::{Connection, Statement, params};

use crate::backup::RunningBackup;
use crate::checkpoint::Checkpoints;
use crate::command::{Command, Completed, EndedLease, Finish, OPERATIONS_PER_COMMIT_MAX, OperationFailed, WriteContext};
use crate::error::StoreError;
use crate::flush::{Flush, Flushed};
use crate::keys::KeyClass;
use crate::leases::Persist;
use crate::shared::Shared;
use crate::tail::{Frozen, Journal};
use crate::{FastHash, intake, queue, receive, schema};

thread_local! {
    /// Set by SQLite's hook within COMMIT, read by the same thread after it.
    static WAL_PAGES: Cell<i32> = const { Cell::new(0) };
}

/// The statements of every message, prepared once.
pub(crate) struct HotStatements<'c> {
    pub(crate) insert_message: Statement<'c>,
    pub(crate) insert_receipt: Statement<'c>,
    pub(crate) insert_delivery: Statement<'c>,
    insert_tail: Statement<'c>,
    begin: Statement<'c>,
    commit: Statement<'c>,
}

impl<'c> HotStatements<'c> {
    fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            insert_message: connection.prepare("INSERT INTO message (id, application, header, payload) VALUES (?1, ?2, ?3, ?4)")?,
            insert_receipt: connection.prepare("INSERT INTO receipt (id, source, data, body) VALUES (?1, ?2, ?3, ?4)")?,
            insert_delivery: connection.prepare("INSERT INTO delivery (message, endpoint, data) VALUES (?1, ?2, ?3)")?,
            insert_tail: connection
                .prepare("INSERT INTO tail_log (seq, last_row_id, mark, unfinished, entries) VALUES (?1, ?2, ?3, ?4, ?5)")?,
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            commit: connection.prepare("COMMIT")?,
        })
    }
}

/// Buffers that are used again for every row.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) row: Vec<u8>,
    pub(crate) attempt: Vec<u8>,
}

/// The writer's own state; like everything in memory it follows the commits.
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    next_seq: i64,
    flush: Flush,
    scratch: Scratch,
    /// Why the last batch failed, so that it is logged once and not for every message.
    failing: Option<String>,
    checkpoints: Checkpoints,
}

/// What a batch did so far, to be made true in memory after the commit.
pub(crate) struct Batch {
    pub(crate) journal: Journal,
    pub(crate) ended: Vec<EndedLease>,
    finishes: Vec<Finish>,
    persist: Persist,
    pub(crate) new_keys: HashMap<(KeyClass, [u8; 16]), MadeOnce, FastHash>,
}

enum Exit {
    Closed,
    Reopen,
    BackupEnded,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, next_seq: i64, flush: Flush, checkpoints: Checkpoints) -> Self {
        Self { shared, next_seq, flush, scratch: Scratch::default(), failing: None, checkpoints }
    }

    /// If the writer should panic, nobody waits for it for ever: the store is closed.
    pub(crate) fn run_to_the_end(self, connection: Connection) {
        let shared = Arc::clone(&self.shared);
        if catch_unwind(AssertUnwindSafe(|| self.run(connection))).is_err() {
            tracing::error!("the writer of the store ended by a panic: this is a bug; the store is closed, restart Hookpost");
            shared.queue.close();
            let mut commands = Vec::new();
            while shared.queue.take(&mut commands, true).is_some() && !commands.is_empty() {
                // Their answers are dropped with them, which tells who asked.
                commands.clear();
            }
        }
    }

    /// Until the queue is closed and empty. The connection is opened anew when it is not usable any more.
    fn run(mut self, mut connection: Connection) {
        loop {
            match self.serve(&connection, None) {
                Exit::Closed | Exit::BackupEnded => break,
                Exit::Reopen => match schema::open_writer(&self.shared.file) {
                    Ok(opened) => connection = opened,
                    Err(error) => self.refuse_what_is_queued(&StoreError::from(error).into()),
                },
            }
        }
        self.checkpoints.finish(&connection);
    }

    fn serve(&mut self, connection: &Connection, backup: Option<&RunningBackup<'_, '_>>) -> Exit {
        connection.wal_hook(Some(|_, pages| {
            WAL_PAGES.set(pages);
            Ok(())
        }));
        let mut hot = match HotStatements::prepare(connection) {
            Ok(hot) => hot,
            Err(error) => {
                self.refuse_what_is_queued(&StoreError::from(error).into());
                return Exit::Reopen;
            }
        };
        let mut commands = Vec::new();
        loop {
            if self.shared.queue.take(&mut commands, backup.is_some()).is_none() {
                return Exit::Closed;
            }
            while !commands.is_empty() {
                let rest = commands.split_off(commands.len().min(OPERATIONS_PER_COMMIT_MAX));
                let batch = std::mem::replace(&mut commands, rest);
                if !self.write(connection, &mut hot, batch) {
                    self.fail(commands, &Unavailable("the database is being opened again".to_owned()));
                    return Exit::Reopen;
                }
                self.checkpoints.after_commit(connection, WAL_PAGES.get(), &self.shared.reader_gate);
            }
            match backup {
                Some(backup) => {
                    if backup.step() {
                        return Exit::BackupEnded;
                    }
                }
                None => {
                    let Some(request) = self.shared.backup_request.lock().take() else { continue };
                    let exit = request.run(connection, |running| self.serve(connection, Some(running)));
                    if let Some(exit @ (Exit::Closed | Exit::Reopen)) = exit {
                        return exit;
                    }
                }
            }
        }
    }

    /// `false`: the connection is not usable any more.
    fn write(&mut self, connection: &Connection, hot: &mut HotStatements<'_>, mut commands: Vec<Command>) -> bool {
        let started = measured_instant();
        let mut batch = Batch::new(self.shared.leases.lock().take_persist());
        match self.transact(connection, hot, &mut commands, &mut batch) {
            Ok(flushed) => {
                self.failing = None;
                let operations = commands.len();
                self.apply(commands, batch, flushed);
                if let Some(observer) = &self.shared.observer {
                    observer.committed(CommitFacts { operations, duration: started.elapsed() });
                }
                true
            }
            Err(error) => {
                let rolled_back = connection.is_autocommit() || connection.execute_batch("ROLLBACK").is_ok();
                let usable = rolled_back && !error.needs_new_connection();
                self.undo(batch, &error);
                if usable && !error.is_environment() && commands.len() > 1 {
                    tracing::error!(%error, "an operation spoiled its batch: trying again one by one");
                    return commands.into_iter().all(|command| self.write(connection, hot, vec![command]));
                }
                let why = error.to_string();
                if self.failing.as_ref() != Some(&why) {
                    tracing::error!(%error, "the store cannot write: {error}");
                    self.failing = Some(why);
                }
                self.fail(commands, &error.into());
                usable
            }
        }
    }

    fn transact(
        &mut self,
        connection: &Connection,
        hot: &mut HotStatements<'_>,
        commands: &mut [Command],
        batch: &mut Batch,
    ) -> Result<Flushed, StoreError> {
        hot.begin.execute([])?;
        for command in commands {
            match command {
                Command::Accept(accept) => intake::write(&self.shared, connection, hot, &mut self.scratch, batch, accept)?,
                Command::Receive(receive) => receive::write(&self.shared, connection, hot, &mut self.scratch, batch, receive)?,
                Command::Record(record) => queue::write(&self.shared, connection, hot, &mut self.scratch, batch, record)?,
                Command::Other(other) => {
                    if let Some(operation) = other.0.take() {
                        self.write_other(connection, batch, operation)?;
                    }
                }
            }
        }
        for (endpoint, cursor) in &batch.persist.cursors {
            match cursor {
                Some(cursor) => connection
                    .prepare_cached("INSERT OR REPLACE INTO backlog (endpoint, cursor) VALUES (?1, ?2)")?
                    .execute(params![endpoint.row().as_i64(), cursor.row().as_i64()])?,
                None => connection.prepare_cached("DELETE FROM backlog WHERE endpoint = ?1")?.execute(params![endpoint.row().as_i64()])?,
            };
        }
        for key in &batch.persist.held {
            connection
                .prepare_cached("INSERT OR IGNORE INTO held (message, endpoint) VALUES (?1, ?2)")?
                .execute(params![key.message.row().as_i64(), key.endpoint.row().as_i64()])?;
        }
        let rows_per_slice = self.shared.limits.rows_per_slice.load(Ordering::Relaxed);
        let counted_from = self.shared.counted_from.load(Ordering::Relaxed);
        let flushed = self.flush.write_slice(connection, &mut self.shared.keys.lock(), rows_per_slice, counted_from)?;
        batch.journal.close();
        hot.insert_tail.execute(params![
            self.next_seq,
            self.shared.new_row_id(Timestamp::ZERO).as_i64(),
            batch.persist.mark as i64,
            self.shared.unfinished.load(Ordering::Relaxed) + batch.journal.unfinished,
            batch.journal.bytes(),
        ])?;
        hot.commit.execute([])?;
        Ok(flushed)
    }

    /// Under a savepoint: what it wrote is undone if it fails, and its neighbours stay.
    fn write_other(&mut self, connection: &Connection, batch: &mut Batch, operation: crate::command::Operation) -> Result<(), StoreError> {
        let journal = batch.journal.clone();
        connection.execute_batch("SAVEPOINT operation")?;
        let mut context = WriteContext { connection, journal: &mut batch.journal, shared: &self.shared };
        let Some((finish, outcome)) = operation(Ok(&mut context)) else { return Ok(()) };
        batch.finishes.push(finish);
        match outcome {
            Ok(()) => {}
            Err(OperationFailed::Refused) => {
                connection.execute_batch("ROLLBACK TO operation")?;
                batch.journal = journal;
            }
            Err(OperationFailed::Environment(error)) => return Err(error),
        }
        connection.execute_batch("RELEASE operation")?;
        Ok(())
    }

    fn apply(&mut self, commands: Vec<Command>, batch: Batch, flushed: Flushed) {
        let mut completed = self.shared.completions.map(|_| Completed::default());
        let old_frozen = {
            let mut leases = self.shared.leases.lock();
            let mut tails = self.shared.tails.write();
            tails.live.replay(batch.journal.bytes()).expect("the tail reads what the writer wrote");
            for command in commands {
                let Completed { commands, ready } = completed.get_mut(command.thread());
                match &command {
                    Command::Accept(accept) => intake::hand_over(&mut leases, accept, ready),
                    Command::Receive(receive) => receive::hand_over(&mut leases, receive, ready),
                    Command::Record(_) | Command::Other(_) => {}
                }
                commands.push(command);
            }
            for ended in &batch.ended {
                leases.recorded(ended.key, ended.lease, ended.transition);
            }
            let old_frozen = if flushed.all { tails.frozen.take() } else { None };
            self.flush.committed(flushed, &mut self.shared.keys.lock());
            let flush_now = self.shared.flush_now.swap(false, Ordering::Relaxed);
            if tails.frozen.is_none()
                && (tails.live.weight >= self.shared.limits.tail_weight_max.load(Ordering::Relaxed) || flush_now && tails.live.weight > 0)
            {
                let frozen = Arc::new(Frozen { tail: std::mem::take(&mut tails.live), seq: self.next_seq });
                tails.frozen = Some(Arc::clone(&frozen));
                tails.last_frozen_seq = self.next_seq;
                drop((tails, leases));
                self.flush.start(frozen);
            }
            old_frozen
        };
        drop(old_frozen);
        self.next_seq += 1;
        self.shared.unfinished.fetch_add(batch.journal.unfinished, Ordering::Relaxed);
        for finish in batch.finishes {
            finish(&self.shared, Ok(()));
        }
        self.complete(completed);
    }

    /// Memory as it was before the batch.
    fn undo(&mut self, batch: Batch, error: &StoreError) {
        let why = Unavailable(error.to_string());
        for finish in batch.finishes {
            finish(&self.shared, Err(&why));
        }
        let mut leases = self.shared.leases.lock();
        for ended in &batch.ended {
            leases.undo_record(ended.key, ended.lease);
        }
        leases.persist_failed(&batch.persist);
    }

    fn complete(&self, completed: PerThread<Completed>) {
        for (thread, completed) in completed {
            if !completed.commands.is_empty() {
                self.shared.completions.get(thread).push(completed);
            }
        }
    }

    fn fail(&self, commands: Vec<Command>, why: &Unavailable) {
        let mut completed = self.shared.completions.map(|_| Completed::default());
        for mut command in commands {
            match &mut command {
                Command::Accept(accept) => accept.outcome = Some(Err(why.clone().into())),
                Command::Receive(receive) => receive.outcome = Some(Err(why.clone().into())),
                Command::Record(record) => record.outcome = Err(why.clone()),
                Command::Other(other) => {
                    if let Some(operation) = other.0.take() {
                        operation(Err(why));
                    }
                }
            }
            completed.get_mut(command.thread()).commands.push(command);
        }
        self.complete(completed);
    }

    fn refuse_what_is_queued(&self, why: &Unavailable) {
        let mut commands = Vec::new();
        if self.shared.queue.take(&mut commands, false).is_some() {
            self.fail(commands, why);
        }
    }
}

impl Batch {
    fn new(persist: Persist) -> Self {
        Self { journal: Journal::new(), ended: Vec::new(), finishes: Vec::new(), persist, new_keys: HashMap::default() }
    }
}

/// Measures how long a commit took, for metrics: nothing is decided by it.
#[expect(clippy::disallowed_methods, reason = "a duration of IO for metrics, on a thread without tokio's clock")]
fn measured_instant() -> Instant {
    Instant::now()
}
