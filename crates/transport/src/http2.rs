//! HTTP/2: many exchanges on one connection, which has a task of its own.

use bytes::Bytes;
use hookpost_domain::limits;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::{AnswerBody, Unsent};
use crate::stream::Stream;

#[derive(Debug, Clone)]
pub(crate) struct Http2Connection {
    sender: http2::SendRequest<Full<Bytes>>,
}

/// Where the tasks of connections live and what ends them.
#[derive(Debug, Clone)]
pub(crate) struct Tasks {
    pub(crate) tracker: TaskTracker,
    pub(crate) stop: CancellationToken,
}

impl Tasks {
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            stop.run_until_cancelled(task).await;
        });
    }
}

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.spawn(task);
    }
}

impl Http2Connection {
    /// The connection ends when all clones of it are gone.
    pub(crate) async fn handshake(stream: Stream, tasks: &Tasks) -> hyper::Result<Self> {
        let mut builder = http2::Builder::new(tasks.clone());
        builder.max_header_list_size(u32::try_from(limits::RESPONSE_HEADERS_BYTES_READ_MAX).unwrap_or(u32::MAX));
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an HTTP/2 connection ended with an error");
            }
        });
        Ok(Self { sender })
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// The URI of the request has scheme and authority, and there is no `host` header.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Unsent> {
        self.sender.try_send_request(request).await.map_err(Unsent::from)
    }

    pub(crate) async fn read_body(&self, mut body: Incoming, into: &mut AnswerBody) -> hyper::Result<()> {
        while let Some(frame) = body.frame().await {
            if let Some(data) = frame?.data_ref()
                && into.push(data).is_break()
            {
                // Dropping the body resets the stream; the connection goes on.
                break;
            }
        }
        Ok(())
    }
}
