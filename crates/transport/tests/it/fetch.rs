//! Whole answers: for those who cannot do with the beginning of one.

use hookpost_domain::delivery::TransportErrorKind as Kind;
use hookpost_domain::limits;
use hookpost_engine::{OutgoingRequest, Transport};
use hookpost_transport::{HttpTransport, TransportSettings};
use http::{Method, Response};
use http_body_util::Full;

use crate::receiver::Receiver;
use crate::{assert_error, local, post};

const LARGE: usize = limits::RESPONSE_BODY_BYTES_READ_MAX * 2;

fn get(url: &str, body_bytes_kept: usize) -> OutgoingRequest {
    OutgoingRequest { method: Method::GET, body_bytes_kept, ..post(url) }
}

#[tokio::test]
async fn an_answer_comes_whole_or_not_at_all() {
    let receiver = Receiver::answering(|_| Response::new(Full::from(vec![b'x'; LARGE]))).await;
    let transport = HttpTransport::new(local());
    for room in [LARGE, LARGE + 1, limits::PULL_ANSWER_BYTES_MAX] {
        assert_eq!(transport.fetch(get(&receiver.url(), room)).await.expect("an answer").body.len(), LARGE);
    }
    for room in [LARGE - 1, 1000, 0] {
        let words = format!("The answer has more than the {room} bytes");
        assert_error(transport.fetch(get(&receiver.url(), room)).await, Kind::Protocol, &words);
    }
    // The next one is whole again, and a delivery keeps the beginning as ever.
    assert_eq!(transport.fetch(get(&receiver.url(), LARGE)).await.expect("an answer").body.len(), LARGE);
    assert_eq!(transport.send(get(&receiver.url(), 10)).await.expect("an answer").body.len(), 10);
}

#[tokio::test]
async fn the_guard_is_the_same() {
    let receiver = Receiver::answering(|_| Response::default()).await;
    let transport = HttpTransport::new(TransportSettings::default());
    for host in ["127.0.0.1", "localhost", "[::1]", "169.254.169.254"] {
        let request = get(&format!("http://{host}:{}/secret", receiver.port), 1000);
        assert_error(transport.fetch(request).await, Kind::BlockedAddress, "HOOKPOST_ALLOW_PRIVATE_NETWORKS");
    }
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let receiver = Receiver::answering(|request| match request.uri().path() {
        "/hook" => Response::builder().status(302).header("location", "/elsewhere").body(Full::default()).expect("valid"),
        _ => Response::new(Full::from("followed")),
    })
    .await;
    let answer = HttpTransport::new(local()).fetch(get(&receiver.url(), 1000)).await.expect("an answer");
    assert_eq!((answer.status_code, answer.body.len()), (302, 0));
    assert_eq!(receiver.connections(), 1);
}
