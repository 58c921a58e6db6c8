//! The life of a source.

use serde_json::{Value, json};

use super::{SOURCES, at};
use crate::testing::{START, TestServer};

#[tokio::test(start_paused = true)]
async fn a_source_is_created_and_read_back() {
    let server = TestServer::start();
    let created = server.source(json!({ "name": "GitHub", "uid": "github", "metadata": { "team": "core" } })).await;
    let id = created["id"].as_str().unwrap();
    let url = created["ingestUrl"].as_str().unwrap();
    let expected = json!({
        "id": id, "uid": "github", "name": "GitHub", "type": "github", "config": {}, "ingestUrl": url, "metadata": { "team": "core" },
        "applicationId": created["applicationId"], "disabled": false, "rules": created["rules"],
        "createdAt": START.to_string(), "updatedAt": START.to_string(),
    });
    assert_eq!(created, expected);
    assert!(id.starts_with("src_"), "{id}");
    let token = url.strip_prefix("http://127.0.0.1:8071/in/").unwrap();
    assert!(token.len() >= 32 && token.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_'), "{token}");
    for name in [id, "github"] {
        assert_eq!(server.call("GET", &at(name), None).await.json(), created, "{name}");
    }
    assert_eq!(server.call("GET", SOURCES, None).await.column("id"), [json!(id)]);
    assert_eq!(server.call("DELETE", &at("github"), None).await.status, 204);
    assert_eq!(server.call("GET", &at(id), None).await.summary(), "404 not_found");
    assert_eq!(server.call("GET", SOURCES, None).await.column("id"), [] as [Value; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_put_replaces_or_creates() {
    let server = TestServer::start();
    let rules = json!({ "rateLimit": 7 });
    let created = server.source(json!({ "uid": "door", "metadata": { "a": "1" }, "rules": rules, "disabled": true })).await;
    let body = json!({ "name": "Other", "type": "stripe", "config": { "secret": "whsec_1" } });
    let answer = server.call("PUT", &at("door"), body.clone()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let put = answer.json();
    // What a client of another server cannot know stays, and so do application and URL.
    for field in ["id", "applicationId", "ingestUrl", "rules", "disabled", "createdAt"] {
        assert_eq!(put[field], created[field], "{field}");
    }
    assert_eq!((&put["name"], &put["type"], &put["uid"], &put["metadata"]), (&json!("Other"), &json!("stripe"), &Value::Null, &json!({})));

    let answer = server.call("PUT", &at("nobody-yet"), body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    // As with applications: the name in the path is not taken for its own.
    assert_eq!(answer.json()["uid"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn what_is_the_same_is_not_written() {
    let server = TestServer::start();
    let body = json!({ "name": "Door", "uid": "door", "type": "github", "config": { "secret": "one" }, "rules": { "rateLimit": 7 } });
    let first = server.call("PUT", &at("door"), body.clone()).await.json();
    server.settle().await;
    let again = server.call("PUT", &at("door"), body.clone()).await.json();
    assert_eq!(again, first);
    let mut other = body.clone();
    other["config"]["secret"] = json!("two");
    let pretended = server.call("PUT", &format!("{}?dry_run=true", at("door")), other.clone()).await.json();
    assert_ne!(pretended["updatedAt"], first["updatedAt"]);
    assert_eq!(server.call("GET", &at("door"), None).await.json(), first);
    let changed = server.call("PUT", &at("door"), other).await.json();
    assert_ne!(changed["updatedAt"], first["updatedAt"]);
    let new = server.call("PUT", &format!("{}?dry_run=true", at("other")), json!({ "name": "Other", "type": "generic-webhook" })).await;
    assert_eq!(new.status, 201);
    assert_eq!(server.call("GET", SOURCES, None).await.column("uid"), [json!("door")]);
}

#[tokio::test(start_paused = true)]
async fn a_patch_changes_what_it_names() {
    let server = TestServer::start();
    let before = server.source(json!({ "uid": "door", "metadata": { "a": "1" }, "rules": { "rateLimit": 7 } })).await;
    for (patch, field, value) in [
        (json!({ "name": "Renamed" }), "name", json!("Renamed")),
        (json!({ "metadata": { "b": "2" } }), "metadata", json!({ "b": "2" })),
        (json!({ "disabled": true }), "disabled", json!(true)),
        (json!({ "type": "stripe", "config": { "secret": "whsec_1" } }), "type", json!("stripe")),
    ] {
        let patched = server.call("PATCH", &at("door"), patch.clone()).await;
        assert_eq!(patched.status, 200, "{patch}: {patched:?}");
        assert_eq!(patched.json()[field], value, "{patch}");
    }
    let after = server.call("PATCH", &at("door"), json!({ "uid": null })).await.json();
    assert_eq!((&after["uid"], &after["rules"], &after["ingestUrl"]), (&Value::Null, &before["rules"], &before["ingestUrl"]));
    let id = before["id"].as_str().unwrap();
    let ruled = server.call("PATCH", &at(id), json!({ "rules": { "inFlightMax": 3 } })).await.json();
    assert_eq!((&ruled["rules"]["inFlightMax"], &ruled["rules"]["rateLimit"]), (&json!(3), &Value::Null));
}

#[tokio::test(start_paused = true)]
async fn pages_go_by_creation() {
    let server = TestServer::start();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(server.source(json!({})).await["id"].clone());
    }
    let first = server.call("GET", &format!("{SOURCES}?limit=2"), None).await;
    assert_eq!((first.column("id"), &first.json()["done"]), (ids[..2].to_vec(), &json!(false)));
    let iterator = first.json()["iterator"].as_str().unwrap().to_owned();
    let second = server.call("GET", &format!("{SOURCES}?limit=2&iterator={iterator}"), None).await;
    assert_eq!((second.column("id"), &second.json()["done"]), (ids[2..].to_vec(), &json!(true)));
    let newest = server.call("GET", &format!("{SOURCES}?limit=1&order=descending"), None).await;
    assert_eq!(newest.column("id"), ids[2..]);
    let wrong = server.call("GET", &format!("{SOURCES}?limit=0&iterator=app_1"), None).await;
    assert!(wrong.summary().starts_with("422 query.limit: must be between 1 and 250; query.iterator: must be"), "{wrong:?}");
}

#[tokio::test(start_paused = true)]
async fn a_repeated_create_with_a_key_makes_one() {
    let server = TestServer::start();
    let body = json!({ "name": "Door", "type": "generic-webhook" }).to_string();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut request = server.request(&server.token, "POST", SOURCES, body.clone());
        request.headers_mut().insert("idempotency-key", "once".parse().unwrap());
        ids.push(server.send(request).await.id());
    }
    assert_eq!(ids[0], ids[1]);
    assert_eq!(server.call("GET", SOURCES, None).await.column("id").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_rules_come_back_as_they_were_written() {
    let server = TestServer::start();
    let rules = json!({
        "bodyBytesMax": 1000, "rateLimit": 10, "inFlightMax": 2, "allowedNetworks": ["192.0.2.0/24", "2001:db8::/32", "github"],
        "eventType": { "header": "x-event" }, "channels": [{ "path": "$.project" }, { "value": "all" }], "orderingKey": { "path": "$.id" },
        "forwardHeaders": ["x-trace"], "deduplicate": { "by": { "fields": [{ "path": "$.id" }] }, "windowS": 60 }, "schema": "quarantine",
        "answer": { "status": 202, "headers": [["x-seen", "yes"]], "body": "ok" }, "acceptUnverified": true,
    });
    let shown = server.source(json!({ "rules": rules })).await["rules"].clone();
    for (name, rule) in rules.as_object().unwrap() {
        assert_eq!(shown[name], *rule, "{name}");
    }
}
