//! Letting in again what was turned away.

use std::time::Duration;

use bytes::Bytes;
use hookpost_domain::receipt::ReceivedBody;
use hookpost_store::intake::NewReceipt;
use serde_json::json;

use super::at;
use crate::testing::TestServer;

/// HMAC-SHA256 of the body, as GitHub writes it.
fn signature(secret: &str, body: &str) -> Bytes {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let hex: String = ring::hmac::sign(&key, body.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}").into()
}

/// A push of GitHub, signed with this secret.
fn push(secret: &'static str, delivery: usize) -> impl FnOnce(&mut NewReceipt) {
    move |receipt| {
        let body = format!("{{\"n\": {delivery}}}");
        receipt.request.headers = vec![
            ("Content-Type".to_owned(), "application/json".into()),
            ("X-GitHub-Event".to_owned(), "push".into()),
            ("X-GitHub-Delivery".to_owned(), format!("delivery-{delivery}").into()),
            ("X-Hub-Signature-256".to_owned(), signature(secret, &body)),
        ];
        receipt.request.body = ReceivedBody::Bytes(body.into());
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_turned_away_is_let_in_after_the_secret_was_mended() {
    let server = TestServer::start();
    let source = server.source(json!({ "uid": "door", "config": { "secret": "wrong one" } })).await;
    let id = server.receipt_with(source["id"].as_str().unwrap(), "rejected", push("right one", 1)).await;
    let replay = format!("{}/receipt/{id}/replay", at("door"));
    let still = server.call("POST", &replay, None).await;
    assert_eq!(still.status, 200, "{still:?}");
    assert_eq!((&still.json()["verdict"], &still.json()["replayOf"]), (&json!("rejected"), &json!(id)));

    server.call("PATCH", &at("door"), json!({ "config": { "secret": "right one" } })).await;
    let replayed = server.call("POST", &replay, json!({})).await.json();
    assert_eq!((&replayed["verdict"], &replayed["eventType"], &replayed["replayOf"]), (&json!("accepted"), &json!("push"), &json!(id)));
    let app = source["applicationId"].as_str().unwrap();
    let message = server.call("GET", &format!("/app/{app}/msg/{}", replayed["messageId"].as_str().unwrap()), None).await.json();
    assert_eq!((&message["eventType"], &message["payload"]), (&json!("push"), &json!({ "n": 1 })));
    // The same event makes no second message, however often it is replayed.
    let again = server.call("POST", &replay, None).await.json();
    assert_eq!((&again["verdict"], &again["messageId"]), (&json!("duplicate"), &replayed["messageId"]));
    assert_eq!(server.call("GET", &format!("/app/{app}/msg"), None).await.column("id").len(), 1);
    // What was let in has nothing left.
    let accepted = format!("{}/receipt/{}/replay", at("door"), replayed["id"].as_str().unwrap());
    assert_eq!(server.call("POST", &accepted, None).await.summary(), "409 conflict");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_replayed_says_so() {
    let server = TestServer::start();
    let source = server.source(json!({ "uid": "door" })).await;
    let source = source["id"].as_str().unwrap();
    let gone = server.receipt_with(source, "rejected", |receipt| receipt.request.body = ReceivedBody::NotKept { bytes: 9 }).await;
    let handshake = server.receipt(source, "handshake").await;
    for (id, expected) in [(gone.as_str(), "409 conflict"), (&handshake, "409 conflict"), ("rcpt_x", "404 not_found")] {
        assert_eq!(server.call("POST", &format!("{}/receipt/{id}/replay", at("door")), None).await.summary(), expected, "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn all_of_a_reason_are_replayed_in_order_and_once() {
    let server = TestServer::start();
    let source = server.source(json!({ "uid": "door", "config": { "secret": "right one" } })).await;
    let app = source["applicationId"].as_str().unwrap();
    let source = source["id"].as_str().unwrap();
    let before = server.receipt_with(source, "rejected", push("right one", 0)).await;
    server.after(Duration::from_secs(60)).await;
    let since =
        server.call("GET", &format!("{}/receipt/{before}", at("door")), None).await.json()["receivedAt"].as_str().unwrap().to_owned();
    let since = since.replace(":05.", ":35.");
    for n in 1..=60 {
        server.receipt_with(source, "rejected", push(if n == 7 { "another" } else { "right one" }, n)).await;
    }
    server.receipt_with(source, "rejected", |receipt| receipt.request.body = ReceivedBody::NotKept { bytes: 9 }).await;
    server.receipt(source, "handshake").await;
    server.settle().await;

    let replay = format!("{}/receipt/replay", at("door"));
    let answer = server.call("POST", &replay, json!({ "since": since, "code": "bad_signature" })).await.json();
    assert_eq!(answer, json!({ "accepted": 59, "duplicate": 0, "refused": 1, "skipped": 1, "iterator": null, "done": true }));
    assert_eq!(server.call("GET", &format!("/app/{app}/msg?limit=250"), None).await.column("id").len(), 59);
    // Replays are not replayed, and what was let in is known.
    server.settle().await;
    let again = server.call("POST", &replay, json!({ "since": since })).await.json();
    assert_eq!(again, json!({ "accepted": 0, "duplicate": 59, "refused": 1, "skipped": 1, "iterator": null, "done": true }));
    for (body, expected) in [
        (json!({}), "422 body.since: This field is required."),
        (json!({ "since": "yesterday", "verdict": "accepted", "iterator": "x" }), "422 body.since: must be a time"),
        (json!({ "since": since, "verdict": "accepted" }), "422 body.verdict: must be `rejected` or `quarantined`"),
        (json!({ "since": since, "iterator": "x" }), "422 body.iterator: must be the `iterator`"),
    ] {
        let answer = server.call("POST", &replay, body.clone()).await.summary();
        assert!(answer.starts_with(expected), "{body}: {answer}");
    }
}
