//! Receivers: one that speaks HTTP by a function from request to answer, one that says given bytes.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Ends with the value.
pub(crate) struct Receiver {
    pub(crate) port: u16,
    pub(crate) connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

pub(crate) type Answering = fn(Request<Bytes>) -> Response<Full<Bytes>>;

impl Receiver {
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook?token=secret", self.port)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// HTTP/1.1.
    pub(crate) async fn answering(answer: Answering) -> Self {
        Self::accepting(move |stream| serve_http(stream, answer)).await
    }

    /// HTTP/1.1 or HTTP/2 over TLS, as the acceptor agrees.
    pub(crate) async fn answering_tls(acceptor: TlsAcceptor, answer: Answering) -> Self {
        Self::accepting(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve_http(stream, answer).await;
                }
            }
        })
        .await
    }

    /// Reads a request and says these bytes; then closes, or waits for the client to do so.
    pub(crate) async fn saying(bytes: &'static [u8], closes: bool) -> Self {
        Self::accepting(move |mut stream| async move {
            read_request(&mut stream).await;
            let _ = stream.write_all(bytes).await;
            if !closes {
                let _ = stream.read(&mut [0; 64]).await;
            }
        })
        .await
    }

    pub(crate) async fn accepting<F, Fut>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                serving.spawn(serve(stream));
            }
        });
        Self { port, connections, _tasks: tasks }
    }
}

async fn serve_http<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, answer: Answering) {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| async move {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Ok::<_, Infallible>(answer(Request::from_parts(head, body)))
    });
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

/// Until the end of the test body, which has no line breaks.
pub(crate) async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"}") {
        let mut buffer = [0; 1024];
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => request.extend_from_slice(&buffer[..read]),
        }
    }
    String::from_utf8_lossy(&request).into_owned()
}
