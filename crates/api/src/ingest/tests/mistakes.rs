//! Sources as they should not be: each mistake by its field and rule, and nothing is made.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{SOURCES, at};
use crate::testing::TestServer;

/// What the server says to each body, one line each; and that it made nothing of it.
async fn check(bodies: &[Value]) -> String {
    let server = TestServer::start();
    let mut lines = Vec::new();
    for body in bodies {
        let answer = server.call("POST", SOURCES, body.clone()).await;
        assert_eq!(answer.status, 422, "{body}: {answer:?}");
        lines.push(format!("{body}\n    {}", answer.summary()));
    }
    assert_eq!(server.call("GET", SOURCES, None).await.column("id"), [] as [Value; 0]);
    assert_eq!(server.call("GET", "/app", None).await.column("id"), [] as [Value; 0]);
    lines.join("\n")
}

/// One that asks for nothing, with a field of one's own.
fn source(field: &str, value: impl Into<Value>) -> Value {
    let mut body = json!({ "name": "Door", "type": "generic-webhook" });
    body[field] = value.into();
    body
}

fn rules(rules: impl Into<Value>) -> Value {
    source("rules", rules)
}

#[tokio::test(start_paused = true)]
async fn fields_that_break_rules() {
    let long = "u".repeat(61);
    let bodies = [
        json!({}),
        json!({ "name": "x", "type": "generic-webhook" }),
        source("uid", "src_x"),
        source("uid", "a.b"),
        source("uid", "a b"),
        source("uid", long),
        source("metadata", json!({ "a": 1 })),
        source("application", "nobody"),
        json!({ "name": "Door", "type": "generic-webhook", "disabled": "yes", "config": [], "rules": 1 }),
    ];
    assert_snapshot!(check(&bodies).await);
}

#[tokio::test(start_paused = true)]
async fn types_and_settings_that_break_rules() {
    let typed = |name: &str, config: Value| json!({ "name": "Door", "type": name, "config": config });
    let bodies = [
        typed("nothing-known", json!({})),
        typed("vgs", json!({ "secret": "x" })),
        json!({ "name": "Door", "type": "github" }),
        typed("github", json!({ "secret": null })),
        typed("github", json!({ "secret": "" })),
        typed("github", json!({ "secret": 5 })),
        typed("github", json!({ "secret": "x", "sekret": "y" })),
        typed("github", json!({ "secret": "x", "scheme": "md5" })),
        typed("svix", json!({ "secret": "whsec_not base64" })),
        typed("telnyx", json!({ "publicKey": "not a key" })),
        typed("telnyx", json!({})),
        typed("adobe-sign", json!({})),
        typed("generic_hmac", json!({ "secret": "x", "encoding": "rot13" })),
        typed("cron", json!({})),
        typed("cron", json!({ "schedule": "now and then", "payload": "{}" })),
        typed("http-poll", json!({ "everyS": 60 })),
        typed("http-poll", json!({ "url": "https://example.com", "everyS": 0 })),
    ];
    assert_snapshot!(check(&bodies).await);
}

#[tokio::test(start_paused = true)]
async fn rules_that_break_rules() {
    let bodies = [
        rules(json!({ "rateLimits": 1 })),
        rules(json!({ "bodyBytesMax": 0, "rateLimit": 0, "inFlightMax": 0 })),
        rules(json!({ "inFlightMax": 70_000 })),
        rules(json!({ "allowedNetworks": ["10.0.0.0/8", "everywhere"] })),
        rules(json!({ "eventType": { "heading": "x" } })),
        rules(json!({ "eventType": { "header": "no header" } })),
        rules(json!({ "eventType": { "path": "$.data[" } })),
        rules(json!({ "channels": [{ "value": "a" }, { "template": "{{" }] })),
        rules(json!({ "forwardHeaders": ["x-trace", "a b"] })),
        rules(json!({ "deduplicate": { "by": "luck" } })),
        rules(json!({ "deduplicate": { "windowS": 0 } })),
        rules(json!({ "deduplicate": { "windowS": 2_592_001 } })),
        rules(json!({ "schema": "maybe" })),
        rules(json!({ "answer": { "status": 99 } })),
        rules(json!({ "answer": { "headers": [["content-length", "1"], ["x", "a\r\nb"], ["a b", "c"]] } })),
        rules(json!({ "answer": { "body": "{{nothing}" } })),
        rules(json!({ "backFill": { "everyS": 60 } })),
        rules(json!({ "backFill": { "apiKey": "(withheld)", "everyS": 60 } })),
    ];
    assert_snapshot!(check(&bodies).await);
}

#[tokio::test(start_paused = true)]
async fn changes_that_break_rules_change_nothing() {
    let server = TestServer::start();
    let before = server.source(json!({ "uid": "door" })).await;
    server.source(json!({ "uid": "other" })).await;
    let app = server.app().await;
    let mut lines = Vec::new();
    for (method, body) in [
        ("PATCH", json!({ "name": "" })),
        ("PATCH", json!({ "uid": "other" })),
        ("PATCH", json!({ "config": { "tolerance": "long" } })),
        ("PATCH", json!({ "config": { "secret": null } })),
        ("PATCH", json!({ "type": "nobody" })),
        ("PATCH", json!({ "rules": { "rateLimit": 0 } })),
        ("PUT", json!({ "name": "Door", "type": "github", "config": { "secret": "x" }, "uid": "other" })),
        ("PUT", json!({ "name": "Door", "type": "github", "config": { "secret": "x" }, "application": app })),
    ] {
        let shown = body.to_string().replace(&app, "app_…");
        lines.push(format!("{method} {shown}\n    {}", server.call(method, &at("door"), body).await.summary()));
    }
    assert_snapshot!(lines.join("\n"));
    assert_eq!(server.call("GET", &at("door"), None).await.json(), before);
}

#[tokio::test(start_paused = true)]
async fn a_uid_is_taken_once() {
    let server = TestServer::start();
    server.source(json!({ "uid": "door" })).await;
    let again = server.call("POST", SOURCES, source("uid", "door")).await;
    assert_eq!(again.summary(), "409 conflict");
    // The application that would have been made for it is not left behind.
    assert_eq!(server.call("GET", "/app", None).await.column("id").len(), 1);
}
