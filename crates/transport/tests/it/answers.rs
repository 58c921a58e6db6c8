//! What receivers answer, and fail to answer.

use std::time::Duration;

use bytes::Bytes;
use hookpost_domain::delivery::TransportErrorKind as Kind;
use hookpost_domain::limits;
use hookpost_engine::Transport;
use hookpost_transport::{HttpTransport, TransportSettings};
use http::{Method, Response};
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::receiver::{Receiver, read_request};
use crate::{assert_error, local, post, send};

#[tokio::test]
async fn carries_request_and_answer_unchanged() {
    let receiver = Receiver::answering(|request| {
        let seen = format!(
            "{} {} {:?} {:?} {:?} {:?}",
            request.method(),
            request.uri(),
            request.headers().get("host").map(|host| host.to_str().unwrap_or_default().starts_with("127.0.0.1:")),
            request.headers().get("webhook-id"),
            request.headers().get("content-length"),
            request.body(),
        );
        Response::builder().status(418).header("x-answer", "yes").body(Full::from(seen)).expect("valid")
    })
    .await;
    let answer = send(&receiver.url()).await.expect("an answer");
    assert_eq!(answer.status_code, 418);
    assert_eq!(answer.headers["x-answer"], "yes");
    assert_eq!(answer.body, r#"POST /hook?token=secret Some(true) Some("msg_1") Some("20") b"{\"secret\":\"payload\"}""#);
}

#[tokio::test]
async fn user_information_stays_out_of_the_request() {
    let receiver = Receiver::accepting(|mut stream| async move {
        let request = read_request(&mut stream).await;
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{request}", request.len());
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    let answer = send(&format!("http://user:pa55@127.0.0.1:{}/", receiver.port)).await.expect("an answer");
    let request = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(request.starts_with("POST / HTTP/1.1\r\n"), "{request}");
    assert!(!request.contains("pa55"), "{request}");
}

#[tokio::test]
async fn a_request_without_body_is_framed_as_its_method_asks() {
    let receiver = Receiver::answering(|request| Response::new(Full::from(format!("{:?}", request.headers().get("content-length"))))).await;
    let transport = HttpTransport::new(local());
    for (method, expected) in
        [(Method::POST, r#"Some("0")"#), (Method::PUT, r#"Some("0")"#), (Method::GET, "None"), (Method::DELETE, "None")]
    {
        let request = hookpost_engine::OutgoingRequest { method: method.clone(), body: Bytes::new(), ..post(&receiver.url()) };
        assert_eq!(transport.send(request).await.expect("an answer").body, expected, "{method}");
    }
}

#[tokio::test]
async fn scripted_answers() {
    for (bytes, expected) in [
        (&b"HTTP/1.1 204 No Content\r\n\r\n"[..], Ok((204, ""))),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", Ok((200, "until the end"))),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", Ok((200, "abcde"))),
        (
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            Ok((200, "ok")),
        ),
        // A redirect is an answer; nobody goes there.
        (b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", Ok((302, ""))),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", Err((Kind::Protocol, "not HTTP"))),
        (b"\x00\x01\x02\x03garbage\xff\xfe\r\n\r\n", Err((Kind::Protocol, "not HTTP"))),
        (b"", Err((Kind::Protocol, "closed the connection before its answer was complete"))),
        (b"HTTP/1.1 200 OK\r\ncontent-le", Err((Kind::Protocol, "closed the connection before its answer was complete"))),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort", Err((Kind::Protocol, "closed the connection"))),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", Err((Kind::Protocol, "connection"))),
    ] {
        let receiver = Receiver::saying(bytes, true).await;
        let result = send(&receiver.url()).await;
        match expected {
            Ok((status, body)) => {
                let answer = result.expect("an answer");
                assert_eq!((answer.status_code, &answer.body[..]), (status, body.as_bytes()));
            }
            Err((kind, words)) => assert_error(result, kind, words),
        }
    }
}

#[tokio::test]
async fn too_many_headers_are_the_receivers_error() {
    let receiver = Receiver::accepting(|mut stream| async move {
        read_request(&mut stream).await;
        let line = format!("x-long: {}\r\n", "a".repeat(1000));
        let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{}\r\n", line.repeat(60)).as_bytes()).await;
        let _ = stream.read(&mut [0; 64]).await;
    })
    .await;
    assert_error(send(&receiver.url()).await, Kind::Protocol, "headers of the answer are too large");
}

#[tokio::test]
async fn a_reset_connection_says_so() {
    let receiver = Receiver::accepting(|stream| async move {
        // Unread data makes the kernel answer the close with a reset.
        let _ = stream.readable().await;
        drop(stream);
    })
    .await;
    assert_error(send(&receiver.url()).await, Kind::Protocol, "connection");
}

#[tokio::test]
async fn keeps_the_beginning_of_a_long_body() {
    for (length, connections) in [(1500, 1), (limits::RESPONSE_BODY_BYTES_READ_MAX, 1), (16 << 20, 2)] {
        let receiver = Receiver::accepting(move |mut stream| async move {
            loop {
                if read_request(&mut stream).await.is_empty() {
                    return;
                }
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                let _ = stream.write_all(head.as_bytes()).await;
                for _ in 0..length / 100 {
                    if stream.write_all(&[b'x'; 100]).await.is_err() {
                        return;
                    }
                }
                let _ = stream.write_all(&vec![b'x'; length % 100]).await;
            }
        })
        .await;
        let transport = HttpTransport::new(local());
        for _ in 0..2 {
            let answer = transport.send(post(&receiver.url())).await.expect("an answer");
            assert_eq!((answer.status_code, answer.body), (200, Bytes::from(vec![b'x'; 1000])));
        }
        // What was too long to read to its end cost the connection.
        assert_eq!(receiver.connections(), connections, "{length}");
    }
}

#[tokio::test]
async fn timeouts_say_what_did_not_happen() {
    let hanging = Receiver::saying(b"", false).await;
    let slow_body = Receiver::saying(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", false).await;
    let slow_head = Receiver::saying(b"HTTP/1.1 200 OK\r\ncontent-", false).await;
    // Its queue of connections is full, so that no other is accepted.
    let full = tokio::net::TcpSocket::new_v4().expect("a socket");
    full.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let full_url = format!("http://{}/", full.local_addr().expect("bound"));
    let full = full.listen(1).expect("listening");
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(20), tokio::net::TcpStream::connect(full.local_addr().expect("bound"))).await
    {
        waiting.push(stream);
    }

    for (url, words) in [
        (hanging.url(), "did not answer within 0.05 s"),
        (slow_head.url(), "did not answer within 0.05 s"),
        (slow_body.url(), "began to answer, but did not end within 0.05 s"),
        (full_url.clone(), "The connection was not established within 0.05 s"),
    ] {
        let request = hookpost_engine::OutgoingRequest { timeout: Duration::from_millis(50), ..post(&url) };
        assert_error(HttpTransport::new(local()).send(request).await, Kind::Timeout, words);
    }
    let impatient = HttpTransport::new(TransportSettings { connect_timeout: Duration::from_millis(50), ..local() });
    assert_error(impatient.send(post(&full_url)).await, Kind::Timeout, "within 0.05 s");
}

#[tokio::test]
async fn urls_that_lead_nowhere() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/?secret", closed.local_addr().expect("bound"));
    drop(closed);
    assert_error(send(&url).await, Kind::Connect, "refused the connection");
    assert_error(send("http://does-not-exist.invalid/?secret").await, Kind::Dns, "The name does-not-exist.invalid could not be resolved");
    assert_error(send("ftp://127.0.0.1/secret").await, Kind::InvalidUrl, "https://");
    assert_error(send("http://256.256.256.256/secret").await, Kind::InvalidUrl, "host");
    let https_only = HttpTransport::new(TransportSettings { https_only: true, ..local() });
    assert_error(https_only.send(post(&url)).await, Kind::InvalidUrl, "HOOKPOST_HTTPS_ONLY");
}
