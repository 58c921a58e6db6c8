//! The audit log: every change and every refused one, and nothing else.

use std::time::Duration;

use serde_json::{Value, json};

use crate::testing::{OTHER_ORG, START, TestServer};

async fn operations(server: &TestServer, query: &str) -> Vec<Value> {
    let answer = server.call("GET", &format!("/audit-log{query}"), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.column("operation")
}

#[tokio::test(start_paused = true)]
async fn changes_are_written_down_with_who_made_them() {
    let server = TestServer::start();
    let app = server.app().await;
    server.message(&app, json!({})).await;
    server.call("GET", "/app", None).await;
    server.call("POST", &format!("/app/{app}/msg/precheck/active"), json!({ "eventType": "a" })).await;
    assert_eq!(server.call("POST", "/app", json!({})).await.status, 422, "changes nothing");
    let key = server.call("POST", "/api-key", json!({ "name": "ci", "scopes": ["read"] })).await.json();
    let viewer = key["key"].as_str().unwrap();
    assert_eq!(server.call_as(viewer, "DELETE", &format!("/app/{app}"), None).await.status, 403);
    let portal = server.portal_token(&app, |session| session.session_id = Some("user_1".to_owned()));
    server.call_as(&portal, "POST", &format!("/app/{app}/endpoint"), json!({ "url": "https://example.com" })).await;
    assert_eq!(server.call_as("nonsense", "DELETE", &format!("/app/{app}"), None).await.status, 401);

    let entries = server.call("GET", "/audit-log", None).await;
    let shown: Vec<String> = entries.json()["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| format!("{} {} {} {}", entry["operation"], entry["status"], entry["actor"]["type"], entry["path"]))
        .collect();
    assert_eq!(
        shown,
        [
            format!(r#""v1.endpoint.create" 201 "portal" "/api/v1/app/{app}/endpoint""#),
            format!(r#""v1.application.delete" 403 "key" "/api/v1/app/{app}""#),
            r#""v1.api-key.create" 201 "token" "/api/v1/api-key""#.to_owned(),
            r#""v1.application.create" 201 "token" "/api/v1/app""#.to_owned(),
        ]
    );
    assert_eq!(entries.json()["data"][1]["actor"], json!({ "type": "key", "id": key["id"], "name": "ci" }));
    assert_eq!(entries.json()["data"][0]["actor"], json!({ "type": "portal", "id": app, "sessionId": "user_1" }));
    // It is the owners' own.
    assert_eq!(server.call_as(viewer, "GET", "/audit-log", None).await.status, 403);
    assert_eq!(server.call_as(&portal, "GET", "/audit-log", None).await.status, 403);
    let other = server.token_of(OTHER_ORG);
    assert_eq!(server.call_as(&other, "GET", "/audit-log", None).await.column("id"), [] as [Value; 0]);
}

#[tokio::test(start_paused = true)]
async fn it_is_read_by_page_by_time_and_by_actor() {
    let server = TestServer::start();
    let key = server.call("POST", "/api-key", json!({ "name": "ci" })).await.json();
    let (key, id) = (key["key"].as_str().unwrap(), key["id"].as_str().unwrap());
    for n in 0..6 {
        server.after(Duration::from_secs(10)).await;
        let token = if n % 2 == 0 { key } else { &server.token };
        assert_eq!(server.call_as(token, "POST", "/event-type", json!({ "name": format!("t{n}"), "description": "" })).await.status, 201);
    }
    assert_eq!(operations(&server, "").await.len(), 7);
    assert_eq!(operations(&server, &format!("?actor={id}")).await.len(), 3);
    assert_eq!(operations(&server, "?actor=token").await.len(), 4);
    assert_eq!(operations(&server, "?actor=key_000000000000000000000000000").await.len(), 0);
    let (since, until) = (START + Duration::from_secs(15), START + Duration::from_secs(45));
    assert_eq!(operations(&server, &format!("?since={since}&until={until}")).await.len(), 3);
    for filter in ["", "&actor=token"] {
        let (mut seen, mut iterator) = (Vec::new(), String::new());
        loop {
            let page = server.call("GET", &format!("/audit-log?limit=2{filter}{iterator}"), None).await.json();
            seen.extend(page["data"].as_array().unwrap().iter().map(|entry| entry["id"].clone()));
            if page["done"] == json!(true) {
                break;
            }
            iterator = format!("&iterator={}", page["iterator"].as_str().unwrap());
        }
        let all = server.call("GET", &format!("/audit-log?limit=250{filter}"), None).await.column("id");
        assert_eq!(seen, all, "{filter}");
    }
    let wrong = server.call("GET", "/audit-log?since=yesterday", None).await;
    assert_eq!(wrong.summary(), "422 query.since: must be a time such as `2026-01-02T03:04:05Z`");
}
