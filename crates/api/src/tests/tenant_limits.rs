//! What a tenant may use, and the report of health.

use std::time::Duration;

use hookpost_domain::OrgId;
use hookpost_domain::tenant::TenantLimits;
use serde_json::{Value, json};

use crate::testing::{Answer, OTHER_ORG, TestServer};

async fn limit(server: &TestServer, org: &str, limits: Value) {
    let management = server.token_of(OrgId::MANAGEMENT);
    let answer = server.call_as(&management, "PUT", &format!("/management/limits/{org}"), limits).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn refusal(answer: &Answer) -> (u16, Value, u64) {
    let seconds = answer.headers.get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or_default();
    (answer.status.as_u16(), answer.json()["detail"].clone(), seconds)
}

#[tokio::test(start_paused = true)]
async fn messages_are_limited_by_rate_size_and_age() {
    let server = TestServer::start();
    let app = server.app().await;
    let send = async |fields: Value| {
        let mut body = json!({ "eventType": "a", "payload": {} });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        server.call("POST", &format!("/app/{app}/msg"), body).await
    };
    limit(&server, OrgId::DEFAULT, json!({ "messagesPerSecond": 5, "payloadBytes": 20, "storedDays": 7 })).await;
    for _ in 0..5 {
        assert_eq!(send(json!({})).await.status, 202);
    }
    let refused = send(json!({})).await;
    assert_eq!(refused.json()["code"], json!("tenant_limit_reached"));
    assert_eq!(refusal(&refused), (429, json!("Your organization may create 5 messages a second (`messagesPerSecond`)."), 1));
    // The other tenants go on.
    let other = server.token_of(OTHER_ORG);
    let theirs = server.call_as(&other, "POST", "/app", json!({ "name": "x" })).await.id();
    assert_eq!(server.call_as(&other, "POST", &format!("/app/{theirs}/msg"), json!({ "eventType": "a", "payload": {} })).await.status, 202);
    server.after(Duration::from_millis(200)).await;
    assert_eq!(send(json!({})).await.status, 202);
    assert_eq!(send(json!({})).await.status, 429, "one in a fifth of a second");
    // A change of the catalogue does not refill it.
    server.event_type("b", None).await;
    assert_eq!(send(json!({})).await.status, 429);

    server.after(Duration::from_secs(1)).await;
    let refused = send(json!({ "payload": { "a": "0123456789abcdef" } })).await;
    assert_eq!(refusal(&refused), (429, json!("Your organization may send payloads of 20 bytes; this one has 24 (`payloadBytes`)."), 3600));
    let refused = send(json!({ "payloadRetentionPeriod": 8 })).await;
    assert_eq!(refusal(&refused), (429, json!("Your organization may keep payloads for 7 days (`storedDays`)."), 3600));
    assert_eq!(send(json!({ "payloadRetentionPeriod": 7 })).await.status, 202);
    let kept = send(json!({})).await.id();
    server.after(Duration::from_secs(7 * 24 * 3600)).await;
    let payload = server.call("GET", &format!("/app/{app}/msg/{kept}/raw"), None).await;
    assert_eq!(payload.status, 404, "kept for as long as the limit says");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn whatever_makes_messages_is_limited() {
    let server = TestServer::start();
    let app = server.app().await;
    let endpoint = server.endpoint(&app, json!({})).await;
    server.call("POST", "/stream", json!({ "name": "x", "uid": "orders" })).await;
    limit(&server, OrgId::DEFAULT, json!({ "messagesPerSecond": 5, "payloadBytes": 20, "storedDays": 7 })).await;
    let large = json!({ "a": "0123456789abcdef" });
    let too_large = (429, json!("Your organization may send payloads of 20 bytes; this one has 24 (`payloadBytes`)."), 3600);
    let too_old = (429, json!("Your organization may keep payloads for 7 days (`storedDays`)."), 3600);
    let too_fast = (429, json!("Your organization may create 5 messages a second (`messagesPerSecond`)."), 1);

    let events = async |count: usize, payload: &str| {
        let events = vec![json!({ "eventType": "a", "payload": payload }); count];
        server.call("POST", "/stream/orders/events", json!({ "events": events })).await
    };
    assert_eq!(refusal(&events(1, &large.to_string()).await), too_large);
    let at_once = "Your organization may create 5 messages a second (`messagesPerSecond`); 6 at once are too many.";
    assert_eq!(refusal(&events(6, "").await), (429, json!(at_once), 3600));
    assert_eq!(events(4, "").await.status, 202);
    assert_eq!(refusal(&events(2, "").await), too_fast);
    assert_eq!((events(0, "").await.status.as_u16(), events(1, "").await.status.as_u16()), (202, 202));
    assert_eq!(server.call("GET", "/stream/orders/events/latest", None).await.column("payload").len(), 5);

    let path = format!("/app/{app}/endpoint/{endpoint}/msg/test-attempt");
    let trial = async |fields: Value| {
        let mut body = json!({ "eventType": "a", "payload": {} });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        server.call("POST", &path, body).await
    };
    assert_eq!(refusal(&trial(json!({})).await), too_fast);
    server.after(Duration::from_secs(1)).await;
    assert_eq!(refusal(&trial(json!({ "payload": large })).await), too_large);
    assert_eq!(refusal(&trial(json!({ "payloadRetentionPeriod": 8 })).await), too_old);
    assert_eq!(trial(json!({})).await.status, 201);

    let broadcast = async |fields: Value| {
        let mut body = json!({ "eventType": "a", "payload": {} });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        server.call("POST", "/msg/broadcast", body).await
    };
    assert_eq!(refusal(&broadcast(json!({ "payload": large })).await), too_large);
    assert_eq!(refusal(&broadcast(json!({ "payloadRetentionHours": 200 })).await), too_old);
    for _ in 0..10 {
        assert_eq!(broadcast(json!({})).await.status, 202, "a task, whose messages do not count");
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_must_fit_its_schema_must_do_so_wherever_it_is_made() {
    let server = TestServer::start();
    let app = server.app().await;
    let endpoint = server.endpoint(&app, json!({})).await;
    server.event_type("a", Some(json!({ "1": { "type": "object", "required": ["n"] } }))).await;
    server.call("PATCH", "/management/environment-settings", json!({ "validateMessages": true })).await;
    let body = |payload: Value| json!({ "eventType": "a", "payload": payload });
    for path in [format!("/app/{app}/msg"), format!("/app/{app}/endpoint/{endpoint}/msg/test-attempt"), "/msg/broadcast".to_owned()] {
        let refused = server.call("POST", &path, body(json!({}))).await;
        assert!(refused.summary().starts_with("422 body.payload"), "{path}: {refused:?}");
        assert!(server.call("POST", &path, body(json!({ "n": 1 }))).await.status.is_success(), "{path}");
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn endpoints_are_counted_over_all_applications() {
    let server = TestServer::with_settings(|settings| settings.limits = TenantLimits { endpoints: Some(2), ..TenantLimits::default() });
    let (one, two) = (server.app().await, server.app().await);
    let create = async |app: &str| server.call("POST", &format!("/app/{app}/endpoint"), json!({ "url": "https://example.com" })).await;
    assert_eq!(create(&one).await.status, 201);
    // At the same moment: there is room for one.
    let (a, b) = tokio::join!(create(&one), create(&two));
    let mut statuses = [a.status.as_u16(), b.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 429]);
    let refused = server.call("PUT", &format!("/app/{two}/endpoint/new"), json!({ "url": "https://example.com" })).await;
    let expected = "Your organization may have 2 endpoints in all its applications together (`endpoints`).";
    assert_eq!(refusal(&refused), (429, json!(expected), 3600));

    let path = format!("/management/limits/{}", OrgId::DEFAULT);
    assert_eq!(server.call("GET", &path, None).await.json()["own"], json!(false));
    limit(&server, OrgId::DEFAULT, json!({})).await;
    let shown = json!({ "orgId": OrgId::DEFAULT, "messagesPerSecond": null, "endpoints": null, "payloadBytes": null, "storedDays": null, "own": true });
    assert_eq!(server.call("GET", &path, None).await.json(), shown);
    assert_eq!(create(&two).await.status, 201, "its own limits go before those of the server");
    let management = server.token_of(OrgId::MANAGEMENT);
    assert_eq!(server.call_as(&management, "DELETE", &path, None).await.status, 204);
    assert_eq!(create(&two).await.status, 429);
    // Nobody sets his own, and to others a tenant is not there.
    assert_eq!(server.call("PUT", &path, json!({})).await.status, 403);
    let other = server.token_of(OTHER_ORG);
    for method in ["GET", "PUT", "DELETE"] {
        assert_eq!(server.call_as(&other, method, &path, json!({})).await.summary(), "404 not_found");
    }
}

#[tokio::test(start_paused = true)]
async fn health_is_reported_by_part() {
    let server = TestServer::start();
    let report = async || server.call_as("", "GET", "/health/report", None).await.json();
    let parts = |report: &Value| -> Vec<String> {
        report["parts"].as_array().unwrap().iter().map(|part| format!("{} {} {}", part["name"], part["status"], part["detail"])).collect()
    };
    let first = report().await;
    assert_eq!(first["status"], json!("ok"));
    assert_eq!(
        parts(&first),
        [
            r#""store" "ok" "It can be reached.""#,
            r#""engine" "ok" "0 deliveries are not finished.""#,
            r#""tasks" "ok" "0 are running.""#,
            r#""sinks" "ok" "0 sinks, of which 0 do not take what they are sent.""#,
        ]
    );
    server.stopping.cancel();
    let stopping = report().await;
    assert_eq!((&stopping["status"], &stopping["parts"][1]["status"]), (&json!("stopping"), &json!("degraded")));
}
