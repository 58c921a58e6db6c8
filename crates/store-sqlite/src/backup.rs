//! A consistent copy while the store runs, and putting it back.
//!
//! The copy is made by the writer's own connection, some pages after every commit: SQLite then keeps what is already copied up to date with
//! what is written, and no reader holds the log back for as long as it takes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hookpost_store::Unavailable;
use parking_lot::Mutex;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::command::{Failed, Written};
use crate::error::closed;
use crate::lock::DataDirLock;
use crate::schema::{SCHEMA_VERSION, schema_version};
use crate::{DATABASE_FILE, OpenError, SqliteStore};

const PAGES_PER_STEP: i32 = 128;

/// How far a backup has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupProgress {
    pub pages_done: u64,
    pub pages: u64,
}

pub type OnProgress = Box<dyn Fn(BackupProgress) + Send>;

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BackupError {
    #[error("{} exists: choose another name, a backup never replaces a file", .0.display())]
    Exists(PathBuf),
    #[error("a backup is being made already")]
    AlreadyRunning,
    #[error("the backup to {} failed: {why}", path.display())]
    Failed { path: PathBuf, why: String },
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

#[derive(Debug, Error)]
pub enum RestoreError {
    #[error("{} is not a backup that can be restored: {why}", path.display())]
    NotABackup { path: PathBuf, why: String },
    #[error("the data directory {} has a database: restore into an empty one", .0.display())]
    NotEmpty(PathBuf),
    #[error(transparent)]
    DataDir(#[from] OpenError),
    #[error("the backup could not be copied: {0}")]
    Io(#[from] std::io::Error),
}

/// What the writer is asked for.
pub(crate) struct BackupRequest {
    path: PathBuf,
    on_progress: OnProgress,
    reply: oneshot::Sender<Result<(), BackupError>>,
}

impl std::fmt::Debug for BackupRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BackupRequest({})", self.path.display())
    }
}

/// A backup between two of its steps.
pub(crate) struct RunningBackup<'a, 'b> {
    backup: Backup<'a, 'b>,
    on_progress: &'a OnProgress,
    outcome: Mutex<Option<Result<(), String>>>,
}

impl RunningBackup<'_, '_> {
    /// Copies some pages; `true` when it has ended.
    pub(crate) fn step(&self) -> bool {
        let outcome = match self.backup.step(PAGES_PER_STEP) {
            Ok(StepResult::More | StepResult::Busy | StepResult::Locked) => None,
            Ok(_) => Some(Ok(())),
            Err(error) => Some(Err(error.to_string())),
        };
        let progress = self.backup.progress();
        let pages = u64::try_from(progress.pagecount).unwrap_or_default();
        let left = u64::try_from(progress.remaining).unwrap_or_default();
        (self.on_progress)(BackupProgress { pages_done: pages.saturating_sub(left), pages });
        let ended = outcome.is_some();
        *self.outcome.lock() = outcome;
        ended
    }
}

impl BackupRequest {
    /// `serve` goes on writing and calls [`RunningBackup::step`] in between, until that says that it has ended.
    pub(crate) fn run<R>(self, connection: &Connection, serve: impl FnOnce(&RunningBackup<'_, '_>) -> R) -> Option<R> {
        let Self { path, on_progress, reply } = self;
        let failed = |why: String| BackupError::Failed { path: path.clone(), why };
        let mut result = None;
        if let Err(error) = create_for_owner(&path) {
            let exists = error.kind() == std::io::ErrorKind::AlreadyExists;
            let _ = reply.send(Err(if exists { BackupError::Exists(path) } else { failed(error.to_string()) }));
            return None;
        }
        let outcome = (|| {
            let mut target =
                Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|error| failed(error.to_string()))?;
            target.busy_timeout(Duration::from_secs(5)).map_err(|error| failed(error.to_string()))?;
            let ended = {
                let backup = Backup::new(connection, &mut target).map_err(|error| failed(error.to_string()))?;
                let running = RunningBackup { backup, on_progress: &on_progress, outcome: Mutex::new(None) };
                result = Some(serve(&running));
                running.outcome.into_inner()
            };
            target.close().map_err(|(_, error)| failed(error.to_string()))?;
            ended.unwrap_or_else(|| Err("the store was closed meanwhile".to_owned())).map_err(failed)
        })();
        if outcome.is_err() {
            // Half a copy is of no use to anyone.
            let _ = std::fs::remove_file(&path);
        }
        let _ = reply.send(outcome);
        result
    }
}

/// The file has payloads in it: it is nobody else's from its first byte on.
fn create_for_owner(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

impl SqliteStore {
    /// Writes a consistent copy of everything to a new file while the store goes on working. The file has the secrets sealed as they are here: restoring needs
    /// the same master key.
    pub async fn backup(&self, path: PathBuf, on_progress: OnProgress) -> Result<(), BackupError> {
        if path.exists() {
            return Err(BackupError::Exists(path));
        }
        let (reply, answer) = oneshot::channel();
        {
            let mut request = self.shared.backup_request.lock();
            if request.is_some() || self.shared.backup_running.swap(true, std::sync::atomic::Ordering::AcqRel) {
                return Err(BackupError::AlreadyRunning);
            }
            *request = Some(BackupRequest { path, on_progress, reply });
        }
        // Wakes the writer, which looks for requests after each commit.
        let woken = self.shared.write(|_| -> Result<_, Failed<Unavailable>> { Ok(Written::new(())) }).await;
        let outcome = match woken {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(closed().into())),
            Err(error) => {
                *self.shared.backup_request.lock() = None;
                Err(error.into())
            }
        };
        self.shared.backup_running.store(false, std::sync::atomic::Ordering::Release);
        outcome
    }
}

/// Checks a backup and puts it into an empty (or missing) data directory.
pub fn restore(backup: &Path, data_dir: &Path) -> Result<(), RestoreError> {
    let not_a_backup = |why: String| RestoreError::NotABackup { path: backup.to_owned(), why };
    let database_error = |error: rusqlite::Error| not_a_backup(error.to_string());
    let source = Connection::open_with_flags(backup, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(database_error)?;
    let version = schema_version(&source).map_err(database_error)?;
    if version == 0 || version > SCHEMA_VERSION {
        return Err(not_a_backup(format!("it has schema version {version}; this program knows 1 to {SCHEMA_VERSION}")));
    }
    let verdict: String = source.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(database_error)?;
    if verdict != "ok" {
        return Err(not_a_backup(format!("it is damaged: {verdict}")));
    }
    drop(source);

    let _lock = DataDirLock::take(data_dir)?;
    let database = data_dir.join(DATABASE_FILE);
    if database.exists() {
        return Err(RestoreError::NotEmpty(data_dir.to_owned()));
    }
    // Under another name first: a copy that was cut short is not taken for a database.
    let unfinished = data_dir.join("restoring.db");
    std::fs::copy(backup, &unfinished)?;
    std::fs::File::open(&unfinished)?.sync_all()?;
    std::fs::rename(&unfinished, &database)?;
    std::fs::File::open(data_dir)?.sync_all()?;
    Ok(())
}
