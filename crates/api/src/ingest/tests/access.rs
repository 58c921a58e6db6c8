//! Who may do what with sources: scopes of keys, and portal sessions.

use serde_json::{Value, json};

use super::{SOURCES, at};
use crate::testing::TestServer;

async fn key(server: &TestServer, scope: &str) -> String {
    let answer = server.call("POST", "/api-key", json!({ "name": "k", "scopes": [scope] })).await;
    answer.json()["key"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

/// Every operation with the statuses for keys that may read, send, manage, and everything.
#[tokio::test(start_paused = true)]
async fn keys_do_what_their_scopes_say() {
    let server = TestServer::start();
    let mut keys = Vec::new();
    for scope in ["read", "send", "manage", "admin"] {
        keys.push(key(&server, scope).await);
    }
    let new = json!({ "name": "Door", "type": "generic-webhook" });
    let put = json!({ "name": "Door", "uid": "door", "type": "generic-webhook" });
    let endpoint = json!({ "url": "https://example.com", "uid": "a" });
    for (method, path, body, statuses) in [
        ("GET", SOURCES.to_owned(), Value::Null, [200, 403, 200, 200]),
        ("POST", SOURCES.to_owned(), new, [403, 403, 201, 201]),
        ("GET", at("door"), Value::Null, [200, 403, 200, 200]),
        ("PUT", at("door"), put, [403, 403, 200, 200]),
        ("PATCH", at("door"), json!({ "disabled": false }), [403, 403, 200, 200]),
        ("POST", format!("{}/token/rotate", at("door")), Value::Null, [403, 403, 200, 200]),
        ("POST", format!("{}/dashboard", at("door")), Value::Null, [403, 403, 403, 200]),
        ("GET", format!("{}/log", at("door")), Value::Null, [200, 403, 200, 200]),
        ("GET", format!("{}/receipt", at("door")), Value::Null, [200, 403, 200, 200]),
        ("GET", format!("{}/receipt/counts", at("door")), Value::Null, [200, 403, 200, 200]),
        ("POST", format!("{}/receipt/replay", at("door")), json!({ "since": "2026-01-01T00:00:00Z" }), [403, 403, 200, 200]),
        ("GET", format!("{}/endpoint", at("door")), Value::Null, [200, 403, 200, 200]),
        ("PUT", format!("{}/endpoint/a", at("door")), endpoint, [403, 403, 200, 200]),
        ("GET", format!("{}/endpoint/a/secret", at("door")), Value::Null, [403, 403, 403, 200]),
        ("POST", format!("{}/endpoint/a/secret/rotate", at("door")), Value::Null, [403, 403, 403, 204]),
        ("GET", format!("{}/endpoint/a/headers", at("door")), Value::Null, [200, 403, 200, 200]),
        ("PUT", format!("{}/endpoint/a/headers", at("door")), json!({ "headers": {} }), [403, 403, 204, 204]),
        ("GET", format!("{}/endpoint/a/transformation", at("door")), Value::Null, [200, 403, 200, 200]),
        ("PATCH", format!("{}/endpoint/a/transformation", at("door")), json!({}), [403, 403, 204, 204]),
        ("GET", "/ingest/api/v1/provider".to_owned(), Value::Null, [200, 403, 200, 200]),
        ("DELETE", format!("{}/endpoint/a", at("door")), Value::Null, [403, 403, 204, 204]),
        ("DELETE", at("door"), Value::Null, [403, 403, 204, 204]),
    ] {
        for (key, status) in keys.iter().zip(statuses) {
            // What the one before may have taken away.
            server.call("PUT", &at("door"), json!({ "name": "Door", "uid": "door", "type": "generic-webhook" })).await;
            server.call("PUT", &format!("{}/endpoint/a", at("door")), json!({ "url": "https://example.com", "uid": "a" })).await;
            let body = Some(body.clone()).filter(|body| !body.is_null());
            let answer = server.call_as(key, method, &path, body).await;
            assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_sees_the_endpoints_of_its_application_and_nothing_else() {
    let server = TestServer::start();
    server.source(json!({ "uid": "door" })).await;
    let other = server.source(json!({ "uid": "other" })).await;
    let dashboard = |body: Value| server.call("POST", "/ingest/api/v1/source/door/dashboard", body);
    let access = dashboard(json!({ "expiry": 3600 })).await.json();
    let token = access["token"].as_str().unwrap();
    assert_eq!(access["url"], json!(format!("http://127.0.0.1:8071/portal#token={token}")));
    for (method, path, status) in [
        ("GET", format!("{}/endpoint", at("door")), 200),
        ("GET", format!("{}/endpoint", at("other")), 404),
        ("GET", at("door"), 403),
        ("GET", SOURCES.to_owned(), 403),
        ("GET", format!("{}/receipt", at("door")), 403),
        ("GET", format!("{}/log", at("door")), 403),
        ("GET", format!("/app/{}", other["applicationId"].as_str().unwrap()), 404),
    ] {
        assert_eq!(server.call_as(token, method, &path, None).await.status, status, "{method} {path}");
    }
    let endpoint = json!({ "url": "https://example.com" });
    assert_eq!(server.call_as(token, "POST", &format!("{}/endpoint", at("door")), endpoint.clone()).await.status, 201);
    let read_only = dashboard(json!({ "readOnly": true })).await.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(server.call_as(&read_only, "GET", &format!("{}/endpoint", at("door")), None).await.status, 200);
    assert_eq!(server.call_as(&read_only, "POST", &format!("{}/endpoint", at("door")), endpoint).await.status, 403);
    assert_eq!(dashboard(json!({ "expiry": 5 })).await.summary(), "422 body.expiry: must be between 3600 and 604800 seconds");
}
