//! Serves HTTP/1.1 and HTTP/2 on bound sockets: our own accept loop, so that every connection is counted, owned and ended.
//!
//! A connection that says nothing is closed after a while; when the server stops, idle connections are closed at once and busy ones
//! after their current answer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hookpost_api::PeerAddress;
use hookpost_threads::{ThreadId, Threads};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

use crate::connections::{Connection, Connections};

/// The kernel's queue of connections not yet accepted.
const ACCEPT_BACKLOG: u32 = 4096;
/// How long a connection may take for the head of a request, waiting for it included: bounds slow clients and idle ones alike.
const REQUEST_HEAD_TIMEOUT: Duration = Duration::from_secs(75);
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(60);
const HTTP2_STREAMS_MAX: u32 = 1024;
/// After an error of accept itself (no file descriptors left) there is no use in trying at once.
const ACCEPT_ERROR_PAUSE: Duration = Duration::from_millis(100);

/// An address that is taken, where nobody can connect yet: whoever can connect to a server finds it ready.
#[derive(Debug)]
pub(crate) struct Bound(TcpSocket);

/// Takes an address, with `SO_REUSEADDR`, so that a restart need not wait for old connections to time out. In a runtime.
pub(crate) fn bind(address: SocketAddr) -> io::Result<Bound> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(Bound(socket))
}

impl Bound {
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    pub(crate) fn listen(self) -> io::Result<TcpListener> {
        self.0.listen(ACCEPT_BACKLOG)
    }
}

/// Accepts until `stop`; then stops accepting and returns when every connection has ended.
pub(crate) async fn serve(listeners: Vec<TcpListener>, router: Router, allowed: Arc<Connections>, stop: CancellationToken) {
    let connections = TaskTracker::new();
    let acceptors = TaskTracker::new();
    let server = Arc::new(Server { http: http(&connections), router, connections: connections.clone(), allowed, stop });
    for listener in listeners {
        acceptors.spawn(Arc::clone(&server).accept_all(listener));
    }
    acceptors.close();
    acceptors.wait().await;
    connections.close();
    connections.wait().await;
}

#[derive(Debug)]
struct Server {
    http: auto::Builder<TrackedExecutor>,
    router: Router,
    connections: TaskTracker,
    allowed: Arc<Connections>,
    stop: CancellationToken,
}

impl Server {
    /// Connections go to the threads in turn.
    async fn accept_all(self: Arc<Self>, listener: TcpListener) {
        let threads = Threads::current();
        let mut thread = ThreadId::current();
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = self.accept(&listener) => accepted,
            };
            match accepted {
                Ok(Some((stream, peer, connection))) => {
                    let server = Arc::clone(&self);
                    thread = threads.after(thread);
                    let conversation = async move {
                        server.converse(stream, peer).await;
                        drop(connection);
                    };
                    self.connections.spawn_on(conversation, threads.handle(thread));
                }
                // It was closed, because its client has too many.
                Ok(None) => {}
                // The client went away before it was its turn.
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {}
                Err(error) => {
                    tracing::error!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_ERROR_PAUSE).await;
                }
            }
        }
    }

    async fn accept(&self, listener: &TcpListener) -> io::Result<Option<(std::net::TcpStream, PeerAddress, Connection)>> {
        let place = self.allowed.place().await.ok_or_else(|| io::Error::other("connections are not taken any more"))?;
        let (stream, peer) = listener.accept().await?;
        let connection = self.allowed.enter(place, peer.ip());
        // The thread that it goes to waits for it by itself.
        let stream = stream.into_std()?;
        Ok(connection.map(|connection| (stream, PeerAddress(peer.ip()), connection)))
    }

    async fn converse(&self, stream: std::net::TcpStream, peer: PeerAddress) {
        // Answers are small and whole: waiting for more to send would only add 40 ms.
        let stream = match stream.set_nodelay(true).and_then(|()| TcpStream::from_std(stream)) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(%error, "connection is gone");
                return;
            }
        };
        let router = self.router.clone();
        let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            // A router is always ready.
            router.clone().call(request)
        });
        let mut connection = std::pin::pin!(self.http.serve_connection_with_upgrades(TokioIo::new(stream), service));
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
    }
}

fn http(connections: &TaskTracker) -> auto::Builder<TrackedExecutor> {
    let mut http = auto::Builder::new(TrackedExecutor(connections.clone()));
    // Not `pipeline_flush`: with it hyper keeps back the answer to a head that it cannot read, because it has read nothing to its end.
    http.http1().timer(TokioTimer::new()).header_read_timeout(REQUEST_HEAD_TIMEOUT);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HTTP2_PING_INTERVAL)
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .adaptive_window(true);
    http
}

/// Puts the streams of an HTTP/2 connection among the tasks that are waited for.
#[derive(Debug, Clone)]
struct TrackedExecutor(TaskTracker);

impl<F> hyper::rt::Executor<F> for TrackedExecutor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

#[cfg(test)]
mod tests {
    use axum::Extension;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::Notify;

    use super::*;
    use crate::connections::ConnectionLimits;

    fn start() -> (SocketAddr, Arc<Notify>, Arc<Notify>, CancellationToken, tokio::task::JoinHandle<()>) {
        start_with(ConnectionLimits { max: 100, per_address_max: 0, trusted_proxies: Vec::new() })
    }

    /// Starts a server whose `/slow` says when it was reached and answers when it is allowed to.
    fn start_with(limits: ConnectionLimits) -> (SocketAddr, Arc<Notify>, Arc<Notify>, CancellationToken, tokio::task::JoinHandle<()>) {
        let (reached, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let slow = {
            let (reached, go_on) = (Arc::clone(&reached), Arc::clone(&go_on));
            async move || {
                reached.notify_one();
                go_on.notified().await;
                "done"
            }
        };
        let peer = async |Extension(PeerAddress(peer)): Extension<PeerAddress>| peer.to_string();
        let router = Router::new().route("/slow", get(slow)).route("/", get(async || "hello")).route("/peer", get(peer));
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap().listen().unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let task = TaskTracker::new().spawn(serve(vec![listener], router, Arc::new(Connections::new(limits)), stop.clone()));
        (address, reached, go_on, stop, task)
    }

    #[tokio::test]
    async fn requests_know_who_opened_their_connection() {
        let (address, _, _, stop, task) = start();
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET /peer HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("127.0.0.1"), "{answer}");
        stop.cancel();
        task.await.unwrap();
    }

    #[tokio::test]
    async fn stopping_lets_a_request_finish_and_closes_idle_connections() {
        let (address, reached, go_on, stop, task) = start();
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut head = [0; 12];
        idle.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");

        let mut busy = TcpStream::connect(address).await.unwrap();
        busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        reached.notified().await;
        stop.cancel();
        let mut rest = Vec::new();
        idle.read_to_end(&mut rest).await.unwrap();

        go_on.notify_one();
        let mut answer = String::new();
        busy.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
        task.await.unwrap();
    }

    /// A connection from another address of this machine, and what a request on it is answered; nothing where it was closed.
    async fn ask(server: SocketAddr, from: [u8; 4]) -> (TcpStream, String) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let mut client = socket.connect(server).await.unwrap();
        let mut head = [0; 12];
        // A connection that is closed may be so before or after something was written to it.
        let asked = async {
            client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await?;
            client.read_exact(&mut head).await
        };
        let answered = asked.await.is_ok();
        (client, if answered { String::from_utf8_lossy(&head).into_owned() } else { String::new() })
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_client_that_opens_too_many_connections_hinders_no_other() {
        let limits = ConnectionLimits { max: 20, per_address_max: 3, trusted_proxies: vec!["127.0.0.9/32".parse().unwrap()] };
        let (address, _, _, stop, task) = start_with(limits);
        let (greedy, other, proxy) = ([127, 0, 0, 2], [127, 0, 0, 3], [127, 0, 0, 9]);
        let mut open = Vec::new();
        for number in 0..30 {
            let (client, answer) = ask(address, greedy).await;
            assert_eq!(answer, if number < 3 { "HTTP/1.1 200" } else { "" }, "connection {number}");
            open.push(client);
        }
        assert_eq!(ask(address, other).await.1, "HTTP/1.1 200");
        for _ in 0..5 {
            let (client, answer) = ask(address, proxy).await;
            assert_eq!(answer, "HTTP/1.1 200");
            open.push(client);
        }
        drop(open);
        // The server hears of the end of a connection when it next looks at it.
        while ask(address, greedy).await.1.is_empty() {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        task.await.unwrap();
    }
}
