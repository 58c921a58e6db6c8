//! The server's side of the control socket.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hookpost_store_sqlite::{BackupProgress, SqliteStore};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Problem, REQUEST_BYTES_MAX, Reply, Request, answer_key_request, socket};

const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// The socket of a server, removed when it ends.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    path: PathBuf,
    listener: UnixListener,
    store: Arc<SqliteStore>,
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// `None` where the data directory can hold no socket: its path is too long, or its file system has none. That is no reason not to serve; backups
/// and keys then need the server stopped.
pub(crate) fn listen(data_dir: &Path, store: Arc<SqliteStore>) -> Option<ControlSocket> {
    let path = socket(data_dir);
    match bind(&path) {
        Ok(listener) => Some(ControlSocket { path, listener, store }),
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "no control socket: `hookpost backup` and `hookpost key` will not reach this server");
            None
        }
    }
}

/// The store is ours alone, so a socket that is there was left by a server that was killed.
fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers until `stop`, and finishes what was begun.
pub(crate) async fn serve(socket: Option<ControlSocket>, stop: CancellationToken) {
    let Some(socket) = socket else { return stop.cancelled().await };
    let conversations = TaskTracker::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = socket.listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    let store = Arc::clone(&socket.store);
                    conversations.spawn(async move {
                        if let Err(error) = converse(stream, &store).await {
                            tracing::debug!(%error, "control conversation ended");
                        }
                    });
                }
            }
        }
    }
    drop(socket);
    conversations.close();
    conversations.wait().await;
}

async fn converse(stream: UnixStream, store: &Arc<SqliteStore>) -> anyhow::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read).take(REQUEST_BYTES_MAX).read_line(&mut line).await?;
    let reply = match serde_json::from_str(&line)? {
        Request::Key(request) => answer_key_request(store.as_ref(), request).await.map_or_else(Reply::Failed, Reply::Done),
        Request::Backup { file } => back_up(store, file, &mut write).await?,
    };
    say(&mut write, &reply).await
}

/// Copies, and tells how far it is for as long as somebody listens; the copy is finished in any case.
async fn back_up(store: &Arc<SqliteStore>, file: PathBuf, write: &mut OwnedWriteHalf) -> anyhow::Result<Reply> {
    // Holds the newest progress only: the writer thread must not wait for whoever watches.
    let (sender, progress) = watch::channel(BackupProgress { pages_done: 0, pages: 0 });
    let mut copy = std::pin::pin!(store.backup(
        file.clone(),
        Box::new(move |now| {
            sender.send_replace(now);
        })
    ));
    let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
    let copied = loop {
        tokio::select! {
            copied = &mut copy => break copied,
            _ = ticks.tick() => {
                let BackupProgress { pages_done, pages } = *progress.borrow();
                // Whoever asked may have gone away; the copy goes on.
                let _ = say(write, &Reply::Progress { done: pages_done, total: pages }).await;
            }
        }
    };
    Ok(match copied {
        Ok(()) => {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
            Reply::Done(json!({"file": file, "bytes": std::fs::metadata(&file)?.len()}))
        }
        Err(error) => Reply::Failed(Problem { not_found: false, message: error.to_string() }),
    })
}

async fn say(write: &mut OwnedWriteHalf, reply: &Reply) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    write.write_all(&line).await?;
    Ok(())
}
