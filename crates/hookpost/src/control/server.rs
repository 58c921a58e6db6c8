//! The server's side of the control socket.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use hookpost_store::memory::MemoryStore;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Problem, REQUEST_BYTES_MAX, Reply, Request, answer_key_request, socket};

/// Listens until `stop`. A data directory that can hold no socket (its path is too long, or its file system has none) is no reason
/// not to serve: then backups and keys need the server stopped.
pub(crate) async fn serve(data_dir: &Path, store: Arc<MemoryStore>, stop: CancellationToken) {
    let path = socket(data_dir);
    let listener = match listen(&path) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "no control socket: `hookpost backup` and `hookpost key` will not reach this server");
            return stop.cancelled().await;
        }
    };
    let conversations = TaskTracker::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    let store = Arc::clone(&store);
                    conversations.spawn(async move {
                        if let Err(error) = converse(stream, &store).await {
                            tracing::debug!(%error, "control conversation ended");
                        }
                    });
                }
            }
        }
    }
    conversations.close();
    conversations.wait().await;
    let _ = std::fs::remove_file(&path);
}

/// The store is ours alone, so a socket that is there was left by a server that was killed.
fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn converse(stream: UnixStream, store: &Arc<MemoryStore>) -> anyhow::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read).take(REQUEST_BYTES_MAX).read_line(&mut line).await?;
    let reply = match serde_json::from_str(&line)? {
        Request::Key(request) => answer_key_request(store.as_ref(), request).await.map_or_else(Reply::Failed, Reply::Done),
        Request::Backup { .. } => Reply::Failed(Problem {
            not_found: false,
            message: "this server keeps its data in memory: there is nothing to back up".to_owned(),
        }),
    };
    let mut line = serde_json::to_vec(&reply)?;
    line.push(b'\n');
    write.write_all(&line).await?;
    Ok(())
}
