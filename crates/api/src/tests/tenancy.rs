//! Tenants never see each other: whatever one has, for another it is not there.

use serde_json::{Value, json};

use crate::testing::{OTHER_ORG, TestServer};

#[tokio::test(start_paused = true)]
async fn what_belongs_to_one_is_not_there_for_another() {
    let server = TestServer::start();
    server.call("POST", "/app", json!({ "name": "Acme", "uid": "acme" })).await;
    server.call("POST", "/event-type", json!({ "name": "a.b", "description": "" })).await;
    let endpoint = server.endpoint("acme", json!({ "uid": "hook" })).await;
    let message = server.message("acme", json!({ "eventType": "a.b", "eventId": "event-1" })).await;
    server.settle().await;
    let attempt = server.call("GET", &format!("/app/acme/attempt/msg/{message}"), None).await.column("id")[0].as_str().unwrap().to_owned();
    let key = server.call("POST", "/api-key", json!({ "name": "k" })).await.id();
    let task =
        server.call("POST", &format!("/app/acme/endpoint/{endpoint}/recover"), json!({ "since": "2026-01-01T00:00:00Z" })).await.id();

    let source = server.source(json!({ "uid": "door" })).await["id"].as_str().unwrap().to_owned();
    let of_source =
        server.call("POST", &format!("/ingest/api/v1/source/{source}/endpoint"), json!({ "url": "https://example.com" })).await.id();
    let receipt = server.receipt(&source, "rejected").await;

    server.call("POST", "/stream", json!({ "name": "Orders", "uid": "orders" })).await;
    server.call("POST", "/stream/event-type", json!({ "name": "a.b" })).await;
    let sink = server.call("POST", "/stream/orders/sink", json!({ "type": "poller" })).await.id();
    let destination = server.call("POST", "/app/acme/destination", json!({ "type": "pollingEndpoint" })).await.id();

    // Every path of the description, with what exists for the other.
    let document: Value = serde_json::from_str(&crate::openapi_document()).unwrap();
    let other = server.token_of(OTHER_ORG);
    let mut tried = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let filled = path
            .replace("{source_id}", "door")
            .replace("{receipt_id}", &receipt)
            .replace("{endpoint_id}", if path.contains("{source_id}") { &of_source } else { &endpoint })
            .replace("{app_id}", "acme")
            .replace("{msg_id}", &message)
            .replace("{attempt_id}", &attempt)
            .replace("{event_type_name}", "a.b")
            .replace("{key_id}", &key)
            .replace("{task_id}", &task)
            .replace("{stream_id}", "orders")
            .replace("{sink_id}", if path.contains("{stream_id}") { &sink } else { &destination })
            .replace("{destination_id}", &destination)
            .replace("{consumer_id}", "c")
            .replace("{name}", "a.b")
            .replace("/stats/attempts", "/stats/attempts?since=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00Z");
        let filled = filled.strip_prefix("/api/v1").unwrap_or(&filled);
        assert!(!filled.contains('{'), "{path} has a parameter that this test does not know");
        if filled == path.strip_prefix("/api/v1").unwrap_or(path) {
            continue;
        }
        // A PUT creates, and never touches what the other has.
        for method in methods.as_object().unwrap().keys().filter(|method| *method != "put") {
            let body = json!({
                "name": "x", "description": "x", "url": "https://example.com", "since": "2026-01-01T00:00:00Z", "headers": {},
                "eventType": "a.b", "payload": {}, "createdBefore": "2026-01-03T00:00:00Z", "after": "2026-01-01T00:00:00Z", "offset": 1, "events": [], "type": "github", "config": { "secret": "x" },
            });
            let answer = server.call_as(&other, &method.to_uppercase(), filled, body).await;
            assert_eq!(answer.summary(), "404 not_found", "{method} {path}: {answer:?}");
            tried += 1;
        }
    }
    assert!(tried > 60, "only {tried} operations were tried");
    for list in ["/app", "/event-type", "/background-task", "/api-key", "/ingest/api/v1/source"] {
        assert_eq!(server.call_as(&other, "GET", list, None).await.column("id"), [] as [Value; 0], "{list}");
    }
    assert_eq!(server.call("GET", "/ingest/api/v1/source/door", None).await.status, 200);
    assert_eq!(server.call("GET", "/app/acme", None).await.status, 200);
    assert_eq!(server.call("GET", &format!("/app/acme/endpoint/{endpoint}"), None).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn names_are_per_tenant() {
    let server = TestServer::start();
    let other = server.token_of(OTHER_ORG);
    for token in [&server.token, &other] {
        assert_eq!(server.call_as(token, "POST", "/app", json!({ "name": "Acme", "uid": "acme" })).await.status, 201);
        assert_eq!(server.call_as(token, "POST", "/event-type", json!({ "name": "a.b", "description": "" })).await.status, 201);
    }
    assert_eq!(server.call_as(&other, "DELETE", "/event-type/a.b?expunge=true", None).await.status, 204);
    assert_eq!(server.call("GET", "/event-type/a.b", None).await.status, 200);
    assert_eq!(server.call_as(&other, "PUT", "/app/acme", json!({ "name": "Changed", "uid": "acme" })).await.status, 200);
    assert_eq!(server.call("GET", "/app/acme", None).await.json()["name"], json!("Acme"));
}
