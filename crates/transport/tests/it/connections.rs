//! How connections are kept, used again and let go.

use std::time::Duration;

use hookpost_engine::Transport;
use hookpost_transport::{HttpTransport, TransportSettings};
use http::Response;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::receiver::{Receiver, read_request};
use crate::{local, post};

#[tokio::test]
async fn one_connection_carries_many_deliveries() {
    let with_body = Receiver::answering(|_| Response::new(Full::from("ok"))).await;
    let without_body = Receiver::answering(|_| Response::builder().status(204).body(Full::default()).expect("valid")).await;
    let chunked = Receiver::accepting(|mut stream| async move {
        while !read_request(&mut stream).await.is_empty() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").await;
        }
    })
    .await;
    let transport = HttpTransport::new(local());
    for receiver in [with_body, without_body, chunked] {
        for _ in 0..20 {
            transport.send(post(&receiver.url())).await.expect("an answer");
        }
        assert_eq!(receiver.connections(), 1);
    }
}

#[tokio::test]
async fn deliveries_at_a_time_have_a_connection_each_and_share_them_later() {
    let receiver = Receiver::answering(|_| Response::new(Full::from("ok"))).await;
    let transport = HttpTransport::new(local());
    for _ in 0..5 {
        let sending = (0..8).map(|_| transport.send(post(&receiver.url())));
        for result in futures_util::future::join_all(sending).await {
            result.expect("an answer");
        }
    }
    assert_eq!(receiver.connections(), 8);
}

#[tokio::test]
async fn what_the_receiver_closed_is_not_used_again() {
    // Says so.
    let closing = Receiver::answering(|_| Response::builder().header("connection", "close").body(Full::from("ok")).expect("valid")).await;
    // Says nothing, and closes after an answer that could be followed by another.
    let silent = Receiver::saying(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", true).await;
    let transport = HttpTransport::new(local());
    for receiver in [closing, silent] {
        for sent in 1..=5 {
            let answer = transport.send(post(&receiver.url())).await.expect("an answer");
            assert_eq!(answer.body, "ok");
            assert_eq!(receiver.connections(), sent);
            // The close has to arrive, as it will have between two deliveries: then nothing is lost on it.
            until_closed(&receiver).await;
        }
    }
}

/// A connection of our own goes the same way as the one before, and its end is seen after the other's.
async fn until_closed(receiver: &Receiver) {
    let before = receiver.connections();
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", receiver.port)).await.expect("connected");
    let _ = stream.write_all(b"POST / HTTP/1.1\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}").await;
    let _ = stream.read_to_end(&mut Vec::new()).await;
    receiver.connections.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(receiver.connections(), before);
}

#[tokio::test]
async fn idle_connections_are_closed_after_their_time() {
    let (closed, mut was_closed) = tokio::sync::mpsc::channel(1);
    let receiver = Receiver::accepting(move |mut stream| {
        let closed = closed.clone();
        async move {
            read_request(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            let end = stream.read(&mut [0; 64]).await;
            let _ = closed.send(matches!(end, Ok(0))).await;
        }
    })
    .await;
    let transport = HttpTransport::new(TransportSettings { idle_timeout: Duration::from_millis(20), ..local() });
    transport.send(post(&receiver.url())).await.expect("an answer");
    assert_eq!(was_closed.recv().await, Some(true));
    // Alive until now: it was not its end that closed the connection.
    drop(transport);
}

#[tokio::test]
async fn no_more_is_kept_than_allowed() {
    let receiver = Receiver::answering(|_| Response::new(Full::from("ok"))).await;
    let transport = HttpTransport::new(TransportSettings { idle_connections_per_host_max: 2, ..local() });
    for _ in 0..2 {
        for result in futures_util::future::join_all((0..8).map(|_| transport.send(post(&receiver.url())))).await {
            result.expect("an answer");
        }
    }
    assert_eq!(receiver.connections(), 8 + 6);
}
