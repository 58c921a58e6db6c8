//! Bodies of every kind, and hostile ones: a clear status, no panic, no memory without bound.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{StreamExt, stream};
use hookpost_domain::receipt::ReceivedBody;
use hookpost_domain::source::{DeduplicateBy, Deduplication, Extraction};

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

async fn by_path() -> Doorstep {
    Doorstep::open(SourceRules { event_type: Some(Extraction::Path("$.type".into())), ..SourceRules::default() }).await
}

impl Doorstep {
    /// Event types of the messages that were made, oldest first.
    async fn event_types(&self) -> Vec<String> {
        let mut types = Vec::new();
        for receipt in self.receipts().await {
            let Some(id) = receipt.verdict.message() else { continue };
            let application = self.stored().await.application;
            let message = self.server.api.store.message(application, hookpost_store::Reference::Id(id)).await.unwrap().unwrap();
            types.push(message.content.event_type.to_string());
        }
        types
    }
}

#[tokio::test(start_paused = true)]
async fn fields_are_found_in_every_kind_of_body_that_has_some() {
    let step = by_path().await;
    let multipart = "--B\r\nContent-Disposition: form-data; name=\"type\"\r\n\r\nin.parts\r\n--B--\r\n";
    for (content_type, body) in [
        ("application/json; charset=utf-8", &br#"{"type": "json"}"#[..]),
        ("application/x-www-form-urlencoded", b"type=a+form&x=1"),
        ("multipart/form-data; boundary=B", multipart.as_bytes()),
        ("text/plain", br#"{"type": "plain"}"#),
        ("application/xml", b"<type>xml</type>"),
        ("application/octet-stream", b"\x00\xff\xfe"),
    ] {
        assert_eq!(step.send(Knock::post(body).header("content-type", content_type)).await.status, 200, "{content_type}");
    }
    assert_eq!(step.event_types().await, ["json", "a_form", "in.parts", "plain", "webhook.received", "webhook.received"]);
    let last = step.server.receiver.requests.lock().pop().unwrap();
    assert_eq!((last.headers["content-type"].as_bytes(), &last.body[..]), (&b"application/octet-stream"[..], &b"\x00\xff\xfe"[..]));
    step.server.stop().await;
}

/// Mailgun sends mail as a form, with parts where something is attached to it; what it signs are three of its fields.
#[tokio::test(start_paused = true)]
async fn a_form_is_verified_by_its_fields_and_told_from_others_by_them() {
    let timestamp = (crate::testing::START.unix_ms() / 1000).to_string();
    let signed = |token: &str| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
        let tag = ring::hmac::sign(&key, format!("{timestamp}{token}").as_bytes());
        tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let parts = |token: &str, signature: &str| {
        let file = "--B\r\nContent-Disposition: form-data; name=\"attachment-1\"; filename=\"a.bin\"\r\n\r\n\0\u{ff}--B\r\n\r\n";
        let field = |(name, value): (&str, &str)| format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        let fields = [("event", "opened"), ("timestamp", &timestamp), ("token", token), ("signature", signature)].map(field).concat();
        format!("{file}{fields}--B--\r\n")
    };
    let rules = SourceRules {
        deduplicate: Deduplication { by: DeduplicateBy::Fields(vec![Extraction::Path("$.token".into())]), ..Deduplication::default() },
        ..SourceRules::default()
    };
    let step = Doorstep::of("mailgun", &format!(r#"{{"secret": "{SECRET}"}}"#), rules).await;
    let (one, two) = (signed("token 1"), signed("token 2"));
    for (token, signature, status) in
        [("token 1", &one, 200), ("token 1", &one, 200), ("token 2", &two, 200), ("token 2", &one, 401), ("token 3", &two, 401)]
    {
        let knock = Knock::post(parts(token, signature)).header("content-type", "multipart/form-data; boundary=B");
        assert_eq!(step.send(knock).await.status, status, "{token}");
    }
    let url_encoded = format!("event=clicked&timestamp={timestamp}&token=token+4&signature={}", signed("token 4"));
    let knock = Knock::post(url_encoded).header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(step.send(knock).await.status, 200);
    assert_eq!(step.verdicts().await, ["accepted", "accepted", "accepted", "bad_signature", "bad_signature", "duplicate"]);
    assert_eq!(step.event_types().await[..1], ["opened"]);
    assert!(step.payloads().await.contains(&parts("token 1", &one)), "its parts go on as they came");
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_encoded_body_goes_on_as_it_came_and_is_read_decoded() {
    let step = by_path().await;
    let encoded = gzip(br#"{"type": "zipped"}"#);
    assert_eq!(step.send(Knock::json(encoded.clone()).header("content-encoding", "gzip")).await.status, 200);
    assert_eq!(step.event_types().await, ["zipped"]);
    let sent = step.server.receiver.requests.lock().pop().unwrap();
    assert_eq!((&sent.body[..], sent.headers["content-encoding"].as_bytes()), (&encoded[..], &b"gzip"[..]));
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_signature_counts_over_the_bytes_as_sent_or_as_they_were_before_compression() {
    let step = Doorstep::of("stripe", r#"{"secret": "whsec_x"}"#, SourceRules::default()).await;
    let body = br#"{"id": "evt_1", "type": "invoice.paid"}"#;
    let over_encoded = Knock::json(gzip(body)).header("content-encoding", "gzip").signed("stripe", "whsec_x");
    let mut over_plain = Knock::json(body.to_vec()).signed("stripe", "whsec_x").header("content-encoding", "gzip");
    over_plain.body = gzip(body);
    assert_eq!(step.send(over_encoded).await.status, 200);
    assert_eq!(step.send(over_plain).await.status, 200);
    let mut forged = Knock::json(gzip(b"{}")).header("content-encoding", "gzip").signed("stripe", "whsec_x");
    forged.body = gzip(b"{ }");
    assert_eq!(step.send(forged).await.status, 401);
    assert_eq!(step.verdicts().await[0], "accepted");
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_decoded_is_refused() {
    let step = Doorstep::open(SourceRules::default()).await;
    let encoded = |body: Vec<u8>, encoding: &str| Knock::json(body).header("content-encoding", encoding);
    for (knock, summary) in [
        (encoded(b"not gzip".to_vec(), "gzip"), "400 broken_encoding"),
        (encoded(gzip(b"{}")[..8].to_vec(), "gzip"), "400 broken_encoding"),
        (encoded(gzip(&vec![b' '; 8 << 20]), "gzip"), "413 decoded_body_too_large"),
        (encoded(b"{}".to_vec(), "zstd"), "415 unknown_encoding"),
        (encoded(b"{}".to_vec(), "br, br, br, br"), "415 unknown_encoding"),
    ] {
        assert_eq!(step.send(knock).await.summary(), summary);
    }
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn malformed_json_is_refused_where_something_is_looked_for_in_it() {
    let step = by_path().await;
    for body in [&b"{"[..], b"", b"\xff\xff", &b"[".repeat(200_000)] {
        assert_eq!(step.send(Knock::json(body)).await.summary(), "400 malformed_body");
    }
    step.server.stop().await;
    let step = Doorstep::open(SourceRules::default()).await;
    assert_eq!(step.send(Knock::json("{")).await.status, 200);
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let step = Doorstep::open(SourceRules::default()).await;
    let announced = Knock::json("").header("content-length", "104857600").into_request();
    let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let answer = step.server.send(announced.map(|_| never)).await;
    assert_eq!(answer.summary(), "413 body_too_large");

    // Nobody announced it: it is read up to the limit, and what follows is not kept.
    let pieces = stream::iter(0..1600).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 64 << 10])));
    let answer = step.server.send(Knock::json("").into_request().map(|_| Body::from_stream(pieces))).await;
    assert_eq!(answer.summary(), "413 body_too_large");
    let receipts = step.receipts().await;
    assert_eq!(receipts[0].request.body, ReceivedBody::NotKept { bytes: 104_857_600 });
    assert_eq!(receipts.len(), 2);
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_has_its_time_and_one_that_breaks_off_is_incomplete() {
    let step = Doorstep::open(SourceRules::default()).await;
    let started = tokio::time::Instant::now();
    let slow = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{"))]).chain(stream::pending());
    let answer = step.server.send(Knock::json("").into_request().map(|_| Body::from_stream(slow))).await;
    assert_eq!(answer.summary(), "408 slow_body");
    assert_eq!(answer.headers["connection"], "close");
    assert!(started.elapsed() < Duration::from_secs(11));
    let broken = stream::iter([Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("gone"))]);
    let answer = step.server.send(Knock::json("").into_request().map(|_| Body::from_stream(broken))).await;
    assert_eq!(answer.summary(), "400 incomplete_body");
    assert_eq!(step.verdicts().await, ["incomplete_body", "slow_body"]);
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_in_pieces_is_put_together() {
    let step = Doorstep::open(SourceRules::default()).await;
    let pieces = stream::iter(["{\"a\"", ": ", "", "1}"]).map(|piece| Ok::<_, std::io::Error>(Bytes::from_static(piece.as_bytes())));
    assert_eq!(step.server.send(Knock::json("").into_request().map(|_| Body::from_stream(pieces))).await.status, 200);
    assert_eq!(step.payloads().await, ["{\"a\": 1}"]);
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn headers_without_number_or_meaning_do_no_harm() {
    let step = Doorstep::github(SourceRules::default()).await;
    let mut many = Knock::github("1", "push", "{}");
    for number in 0..1000 {
        many.headers.append(HeaderName::try_from(format!("x-{number}")).unwrap(), HeaderValue::from_static("1"));
    }
    assert_eq!(step.send(many).await.summary(), "431 headers_too_large");
    let large = Knock::github("1", "push", "{}").header("x-large", &"a".repeat(70_000));
    assert_eq!(step.send(large).await.summary(), "431 headers_too_large");
    let twice = Knock::github("1", "push", "{}").header("x-hub-signature-256", "sha256=00");
    assert_eq!(step.send(twice).await.status, 401);
    let mut foreign = Knock::github("1", "push", "{}");
    foreign.headers.insert("x-hub-signature-256", HeaderValue::from_bytes(b"\xff\xfe").unwrap());
    assert_eq!(step.send(foreign).await.status, 401);
    assert_eq!(step.receipts().await[0].request.headers.len(), hookpost_domain::limits::SOURCE_HEADERS_MAX);
    step.server.stop().await;
}
