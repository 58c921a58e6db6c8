//! What is shown of the requests that arrived.

use std::time::Duration;

use bytes::Bytes;
use hookpost_domain::receipt::ReceivedBody;
use serde_json::{Value, json};

use super::at;
use crate::testing::{START, TestServer};

#[tokio::test(start_paused = true)]
async fn a_receipt_has_the_whole_request_and_why() {
    let server = TestServer::start();
    let source = server.source(json!({ "uid": "door" })).await;
    let source_id = source["id"].as_str().unwrap();
    let id = server.receipt(source_id, "rejected").await;
    let listed = json!({
        "id": id, "sourceId": source_id, "receivedAt": START.to_string(), "method": "POST", "url": "https://hooks.example.com/in/…?team=core",
        "peer": "192.0.2.1", "verdict": "rejected", "unverified": false, "code": "bad_signature", "detail": "No signature matches.",
        "hint": "It was made with the secret of another endpoint.", "statusCode": 401, "eventId": "event-1", "eventType": "push",
        "messageId": null, "replayOf": null, "timing": { "readMs": 1.5, "verifyMs": 0.25 },
    });
    assert_eq!(server.call("GET", &format!("{}/receipt", at("door")), None).await.json()["data"], json!([listed]));
    let mut whole = listed;
    whole.as_object_mut().unwrap().extend(
        json!({
            "headers": [{ "name": "X-GitHub-Event", "value": "push" }], "sensitive": ["Authorization"],
            "bodyEncoding": "text", "body": "{\"a\": 1}", "bodyBytes": 8,
        })
        .as_object()
        .unwrap()
        .clone(),
    );
    assert_eq!(server.call("GET", &format!("{}/receipt/{id}", at("door")), None).await.json(), whole);
    for wrong in ["rcpt_1", "msg_1", "counts2"] {
        assert_eq!(server.call("GET", &format!("{}/receipt/{wrong}", at("door")), None).await.summary(), "404 not_found");
    }
    // A receipt belongs to one source.
    server.source(json!({ "uid": "other" })).await;
    assert_eq!(server.call("GET", &format!("{}/receipt/{id}", at("other")), None).await.summary(), "404 not_found");
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_no_text_and_bodies_that_are_gone() {
    let server = TestServer::start();
    let source = server.source(json!({ "uid": "door" })).await;
    let source = source["id"].as_str().unwrap();
    for (body, expected) in [
        (ReceivedBody::Bytes(Bytes::from_static(b"\xff\x00")), json!(["base64", "/wA=", 2])),
        (ReceivedBody::NotKept { bytes: 7 }, json!([null, null, 7])),
    ] {
        let id = server.receipt_with(source, "rejected", |receipt| receipt.request.body = body).await;
        let receipt = server.call("GET", &format!("{}/receipt/{id}", at("door")), None).await.json();
        assert_eq!(json!([receipt["bodyEncoding"], receipt["body"], receipt["bodyBytes"]]), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn the_secret_itself_is_never_shown() {
    let server = TestServer::start();
    let secret = "token of the hook+1";
    let source = server.source(json!({ "uid": "door", "type": "gitlab", "config": { "secret": secret } })).await;
    let id = server
        .receipt_with(source["id"].as_str().unwrap(), "rejected", |receipt| {
            receipt.request.url = "https://hooks.example.com/in/…?key=token%20of%20the%20hook%2B1&a=b".to_owned();
            receipt.request.headers =
                vec![("X-Gitlab-Token".to_owned(), Bytes::from(secret)), ("X-Gitlab-Event".to_owned(), "Push Hook".into())];
        })
        .await;
    for path in ["receipt".to_owned(), format!("receipt/{id}"), "log".to_owned()] {
        let answer = server.call("GET", &format!("{}/{path}", at("door")), None).await;
        let text = String::from_utf8_lossy(&answer.bytes).into_owned();
        assert!(answer.status == 200 && !text.contains("of the hook") && !text.contains("of%20the"), "{path}: {text}");
    }
    let receipt = server.call("GET", &format!("{}/receipt/{id}", at("door")), None).await.json();
    assert_eq!(receipt["sensitive"], json!(["X-Gitlab-Token"]));
    assert_eq!(receipt["url"], json!("https://hooks.example.com/in/…?key=(withheld)&a=b"));
}

#[tokio::test(start_paused = true)]
async fn lists_are_filtered_and_counted() {
    let server = TestServer::start();
    let source = server.source(json!({ "uid": "door" })).await;
    let source = source["id"].as_str().unwrap();
    let rejected = server.receipt(source, "rejected").await;
    server.after(Duration::from_secs(3600)).await;
    let quarantined = server.receipt_with(source, "quarantined", |receipt| receipt.event_id = Some("event-2".to_owned())).await;
    let handshake = server.receipt_with(source, "handshake", |receipt| receipt.event_type = None).await;
    let later = (START + Duration::from_secs(60)).to_string();
    for (query, expected) in [
        (String::new(), vec![&handshake, &quarantined, &rejected]),
        ("?verdict=rejected".to_owned(), vec![&rejected]),
        ("?code=bad_signature".to_owned(), vec![&rejected]),
        ("?event_id=event-2".to_owned(), vec![&quarantined]),
        ("?event_type=push".to_owned(), vec![&quarantined, &rejected]),
        ("?text=GITHUB-event".to_owned(), vec![&handshake, &quarantined, &rejected]),
        ("?text=nowhere".to_owned(), vec![]),
        (format!("?before={later}"), vec![&rejected]),
        (format!("?after={later}"), vec![&handshake, &quarantined]),
        ("?limit=1".to_owned(), vec![&handshake]),
    ] {
        let answer = server.call("GET", &format!("{}/receipt{query}", at("door")), None).await;
        let expected: Vec<Value> = expected.into_iter().map(|id| json!(id)).collect();
        assert_eq!(answer.column("id"), expected, "{query}");
    }
    let counts = server.call("GET", &format!("{}/receipt/counts", at("door")), None).await.json();
    assert_eq!(counts, json!({ "accepted": 0, "duplicate": 0, "handshake": 1, "quarantined": 1, "rejected": 1 }));
    let counts = server.call("GET", &format!("{}/receipt/counts?since={later}", at("door")), None).await.json();
    assert_eq!((&counts["rejected"], &counts["handshake"]), (&json!(0), &json!(1)));
    for (query, expected) in [
        ("receipt?verdict=bad", "422 query.verdict: "),
        ("receipt?before=now&limit=0", "422 query.before: must be a time"),
        ("receipt?iterator=msg_1", "422 query.iterator: must be"),
        ("receipt/counts?since=2026-02-01T00:00:00Z&until=2026-01-01T00:00:00Z", "422 query.since: must not be after `until`"),
    ] {
        let answer = server.call("GET", &format!("{}/{query}", at("door")), None).await.summary();
        assert!(answer.starts_with(expected), "{query}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_lists_what_was_turned_away() {
    let server = TestServer::start();
    let source = server.source(json!({ "uid": "door" })).await;
    let source = source["id"].as_str().unwrap();
    let first = server.receipt(source, "rejected").await;
    server.receipt(source, "handshake").await;
    let second = server.receipt(source, "rejected").await;
    let log = server.call("GET", &format!("{}/log", at("door")), None).await;
    assert_eq!(log.column("id"), [json!(second), json!(first)]);
    let expected = json!({
        "id": second, "source_id": source, "status_code": 401,
        "error_text": "No signature matches. It was made with the secret of another endpoint.", "headers": { "X-GitHub-Event": "push" },
        "payload": "{\"a\": 1}", "created_at": START.to_string(), "updated_at": START.to_string(),
    });
    assert_eq!(log.json()["data"][0], expected);
    let ascending = server.call("GET", &format!("{}/log?order=ascending&limit=1", at("door")), None).await;
    assert_eq!((ascending.column("id"), &ascending.json()["done"]), (vec![json!(first)], &json!(false)));
}
