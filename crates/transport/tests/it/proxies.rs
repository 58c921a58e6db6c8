//! Through proxies: that the way, the names and the guard are as documented.

use std::net::Ipv4Addr;

use hookpost_domain::delivery::TransportErrorKind as Kind;
use hookpost_engine::Transport;
use hookpost_transport::{AddressPolicy, HttpTransport, Proxy, TransportSettings};
use http::Response;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

use crate::receiver::Receiver;
use crate::{assert_error, local, post};

/// Connects everything to one receiver, whatever was asked for, if the credentials are right.
async fn connect_proxy(to: u16) -> Receiver {
    Receiver::accepting(move |mut stream| async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        // base64 of "user:pa55"
        if !head.contains("Basic dXNlcjpwYTU1") {
            let _ = stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
        } else if !head.starts_with("CONNECT far.example:80 HTTP/1.1\r\n") {
            let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await;
        } else {
            let _ = stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await;
            let mut onward = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await.expect("the receiver");
            let _ = copy_bidirectional(&mut stream, &mut onward).await;
        }
    })
    .await
}

/// Says to the receiver's client what address it was asked for, by connecting only to that one.
async fn socks_proxy(to: u16, expected: &'static [u8]) -> Receiver {
    Receiver::accepting(move |mut stream| async move {
        let mut greeting = [0; 3];
        let _ = stream.read_exact(&mut greeting).await;
        let _ = stream.write_all(&[5, 0]).await;
        let mut asked = vec![0; 3 + expected.len() + 2];
        let _ = stream.read_exact(&mut asked).await;
        let allowed = asked.get(3..3 + expected.len()) == Some(expected);
        let _ = stream.write_all(&[5, if allowed { 0 } else { 2 }, 0, 1, 0, 0, 0, 0, 0, 0]).await;
        if allowed {
            let mut onward = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await.expect("the receiver");
            let _ = copy_bidirectional(&mut stream, &mut onward).await;
        }
    })
    .await
}

fn by(proxy: &str, no_proxy: &str, allow_private_networks: bool) -> HttpTransport {
    let proxy = Proxy::parse(proxy, no_proxy).expect("a proxy");
    let addresses = AddressPolicy { allow_private_networks, allowed_subnets: Vec::new() };
    HttpTransport::new(TransportSettings { proxy: Some(proxy), addresses, ..local() })
}

#[tokio::test]
async fn by_connect_the_proxy_resolves() {
    let receiver = Receiver::answering(|request| Response::new(Full::from(format!("{:?}", request.headers()["host"])))).await;
    let proxy = connect_proxy(receiver.port).await;

    let transport = by(&format!("http://user:pa55@127.0.0.1:{}", proxy.port), "", false);
    for _ in 0..3 {
        assert_eq!(transport.send(post("http://far.example/hook")).await.expect("an answer").body, "\"far.example\"");
    }
    assert_eq!(proxy.connections(), 1);

    // What can be known of an address without a lookup is still refused.
    for host in ["127.0.0.1", "0x7f.1", "localhost", "a.localhost", "[::1]"] {
        assert_error(transport.send(post(&format!("http://{host}/"))).await, Kind::BlockedAddress, "loopback");
    }
    assert_eq!(proxy.connections(), 1);

    assert_error(transport.send(post("http://other.example/")).await, Kind::Connect, "The proxy did not connect");
    let stranger = by(&format!("http://user:secret@127.0.0.1:{}", proxy.port), "", false);
    assert_error(stranger.send(post("http://far.example/")).await, Kind::Connect, "proxy authorization required");
}

#[tokio::test]
async fn excluded_hosts_are_reached_directly() {
    let receiver = Receiver::answering(|_| Response::new(Full::from("directly"))).await;
    let transport = by("http://127.0.0.1:1", "example.com,127.0.0.0/8", true);
    assert_eq!(transport.send(post(&receiver.url())).await.expect("an answer").body, "directly");
    assert_error(transport.send(post("http://far.example/")).await, Kind::Connect, "refused the connection");
}

#[tokio::test]
async fn by_socks_names_are_resolved_here_or_there() {
    let receiver = Receiver::answering(|_| Response::new(Full::from("ok"))).await;

    let given_address = socks_proxy(receiver.port, &[1, 127, 0, 0, 1]).await;
    let here = by(&format!("socks5://127.0.0.1:{}", given_address.port), "", true);
    here.send(post("http://127.0.0.1:9/")).await.expect("an answer");
    let guarded = by(&format!("socks5://127.0.0.1:{}", given_address.port), "", false);
    assert_error(guarded.send(post("http://localhost/")).await, Kind::BlockedAddress, "localhost leads to");

    let given_name = socks_proxy(receiver.port, b"\x03\x0bfar.example").await;
    let there = by(&format!("socks5h://127.0.0.1:{}", given_name.port), "", false);
    there.send(post("http://far.example/")).await.expect("an answer");
    assert_error(there.send(post("http://not.example/")).await, Kind::Connect, "The proxy did not connect");
}
