//! Brings the log into the database beside the writer, so that no commit waits for it.
//!
//! A thread of its own takes over what was written since the last time; the writer goes on meanwhile. SQLite begins the log anew only when
//! all of it has been taken over and nobody writes, so now and then, when little is left, the writer does the rest itself.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use parking_lot::RwLock;
use rusqlite::Connection;

use crate::schema;

/// What the log grows by between two rounds of the thread.
const ROUND_PAGES: i32 = 1000;
/// From this size on the writer does the rest, once per so many pages.
const REST_PAGES: i32 = 8192;
/// Where readers keep the log from beginning anew for so long that it has grown to this, the writer waits for them.
const LOG_PAGES_MAX: i32 = 32_768;

/// The writer's end.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    rounds: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    progress: Arc<Progress>,
    /// How much of the log is in the database already.
    done_pages: i32,
    /// Where the writer last did the rest.
    rest_at: i32,
}

#[derive(Debug, Default)]
struct Progress {
    running: AtomicBool,
    /// Of the last round; -1 where it failed.
    done_pages: AtomicI32,
}

impl Checkpoints {
    pub(crate) fn start(file: &Path) -> std::io::Result<Self> {
        let (rounds, asked) = sync_channel::<()>(1);
        let progress = Arc::new(Progress::default());
        let (file, seen) = (file.to_owned(), Arc::clone(&progress));
        let thread = std::thread::Builder::new().name("store-checkpoint".to_owned()).spawn(move || {
            let mut connection = None;
            while asked.recv().is_ok() {
                let outcome = round(&file, &mut connection);
                if let Err(error) = &outcome {
                    tracing::warn!(%error, "a checkpoint failed; the log grows until one succeeds");
                    // Whatever it was, a new connection does not carry it on.
                    connection = None;
                }
                seen.done_pages.store(outcome.unwrap_or(-1), Ordering::Relaxed);
                seen.running.store(false, Ordering::Release);
            }
        })?;
        Ok(Self { rounds: Some(rounds), thread: Some(thread), progress, done_pages: 0, rest_at: 0 })
    }

    /// After the answers of a commit, with the size of the log.
    pub(crate) fn after_commit(&mut self, connection: &Connection, log_pages: i32, readers: &RwLock<()>) {
        if self.progress.running.load(Ordering::Acquire) {
            return;
        }
        let done = self.progress.done_pages.swap(0, Ordering::Relaxed);
        // After a failure the next try comes when as much again was written.
        self.done_pages = if done < 0 { log_pages } else { self.done_pages.max(done) };
        if log_pages < self.done_pages {
            // The log began anew.
            (self.done_pages, self.rest_at) = (0, 0);
        }
        if log_pages - self.rest_at >= REST_PAGES && log_pages - self.done_pages < ROUND_PAGES {
            self.do_the_rest(connection, log_pages, readers);
        } else if log_pages - self.done_pages >= ROUND_PAGES {
            self.progress.running.store(true, Ordering::Relaxed);
            if self.rounds.as_ref().is_none_or(|rounds| rounds.try_send(()).is_err()) {
                self.progress.running.store(false, Ordering::Relaxed);
            }
        }
    }

    fn do_the_rest(&mut self, connection: &Connection, log_pages: i32, readers: &RwLock<()>) {
        let outcome = if log_pages < LOG_PAGES_MAX {
            checkpoint(connection, "PASSIVE")
        } else {
            let _no_readers = readers.write();
            checkpoint(connection, "RESTART")
        };
        self.rest_at = log_pages;
        match outcome {
            Ok(done) => self.done_pages = done,
            Err(error) => tracing::warn!(%error, "a checkpoint failed; the log grows until one succeeds"),
        }
    }

    /// A tidy file: everything in the database, an empty log. Not needed for anything.
    pub(crate) fn finish(&mut self, connection: &Connection) {
        drop(self.rounds.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if let Err(error) = checkpoint(connection, "TRUNCATE") {
            tracing::debug!(%error, "the last checkpoint was not made");
        }
    }
}

fn round(file: &Path, connection: &mut Option<Connection>) -> rusqlite::Result<i32> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(schema::open_writer(file)?),
    };
    checkpoint(connection, "PASSIVE")
}

/// Returns how many pages of the log are in the database now.
fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<i32> {
    // Not by the functions for pragmas: they take this one only in another form, without a mode.
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(2))
}
