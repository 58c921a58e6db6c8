//! Portal access: what a session may, and how it ends.

use std::time::Duration;

use serde_json::{Value, json};

use crate::testing::{Answer, TestServer};

async fn session(server: &TestServer, app: &str, options: Value) -> String {
    let answer = server.call("POST", &format!("/auth/app-portal-access/{app}"), options).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    let token = answer["token"].as_str().unwrap();
    assert_eq!(answer["url"], json!(format!("http://127.0.0.1:8071/portal#token={token}")));
    token.to_owned()
}

async fn get(server: &TestServer, token: &str, path: &str) -> Answer {
    server.call_as(token, "GET", path, None).await
}

#[tokio::test(start_paused = true)]
async fn a_session_sees_its_application_only() {
    let server = TestServer::start();
    let (mine, other) = (server.app().await, server.app().await);
    let token = session(&server, &mine, json!({ "sessionId": "user_1" })).await;
    assert_eq!(get(&server, &token, &format!("/app/{mine}")).await.id(), mine);
    assert_eq!(get(&server, &token, &format!("/app/{other}")).await.summary(), "404 not_found");
    assert_eq!(get(&server, &token, &format!("/app/{other}/endpoint")).await.summary(), "404 not_found");
    for (method, path, body) in [
        ("GET", "/app".to_owned(), json!({})),
        ("POST", "/app".to_owned(), json!({ "name": "x" })),
        ("PUT", format!("/app/{mine}"), json!({ "name": "x" })),
        ("PATCH", format!("/app/{mine}"), json!({ "name": "x" })),
        ("DELETE", format!("/app/{mine}"), json!({})),
        ("POST", format!("/app/{mine}/msg"), json!({ "eventType": "a", "payload": {} })),
        ("POST", format!("/auth/app-portal-access/{mine}"), json!({})),
        ("POST", format!("/auth/app/{mine}/expire-all"), json!({})),
        ("GET", "/api-key".to_owned(), json!({})),
        ("GET", "/background-task".to_owned(), json!({})),
    ] {
        assert_eq!(server.call_as(&token, method, &path, body).await.summary(), "403 insufficient access", "{method} {path}");
    }
    let whoami = get(&server, &token, "/auth/whoami").await.json();
    assert_eq!(
        whoami,
        json!({ "envId": hookpost_domain::OrgId::DEFAULT, "appId": mine, "permissionSource": "SvixJwt", "sessionId": "user_1" })
    );
}

#[tokio::test(start_paused = true)]
async fn capabilities_hold() {
    let server = TestServer::start();
    let app = server.app().await;
    let endpoint = server.endpoint(&app, json!({})).await;
    let endpoint = format!("/app/{app}/endpoint/{endpoint}");
    for (options, secret, rotate, patch) in [
        (json!({}), 200, 204, 200),
        (json!({ "readOnly": true }), 403, 403, 403),
        (json!({ "capabilities": ["ViewBase"] }), 403, 403, 403),
        (json!({ "capabilities": ["ViewBase", "ViewEndpointSecret"] }), 200, 403, 403),
        (json!({ "capabilities": ["ViewBase", "ManageEndpointSecret"] }), 200, 204, 403),
        (json!({ "capabilities": ["ViewBase", "ManageEndpoint"] }), 200, 204, 200),
        (json!({ "capabilities": ["ViewBase", "ManageEndpoint"], "readOnly": true }), 200, 403, 403),
    ] {
        let token = session(&server, &app, options.clone()).await;
        assert_eq!(get(&server, &token, &endpoint).await.status, 200, "{options}");
        assert_eq!(get(&server, &token, &format!("{endpoint}/secret")).await.status, secret, "{options}");
        assert_eq!(server.call_as(&token, "POST", &format!("{endpoint}/secret/rotate"), None).await.status, rotate, "{options}");
        assert_eq!(server.call_as(&token, "PATCH", &endpoint, json!({ "description": "x" })).await.status, patch, "{options}");
    }
}

#[tokio::test(start_paused = true)]
async fn sessions_expire() {
    let server = TestServer::start();
    let app = server.app().await;
    let path = format!("/app/{app}");
    let short = session(&server, &app, json!({ "expiry": 3600 })).await;
    let usual = session(&server, &app, json!({})).await;
    assert_eq!(get(&server, &short, &path).await.status, 200);
    server.after(Duration::from_secs(3600)).await;
    assert_eq!(get(&server, &short, &path).await.summary(), "401 authentication_failed");
    server.after(Duration::from_secs(27 * 24 * 3600)).await;
    assert_eq!(get(&server, &usual, &path).await.status, 200);
    server.after(Duration::from_secs(24 * 3600)).await;
    assert_eq!(get(&server, &usual, &path).await.summary(), "401 authentication_failed");
}

#[tokio::test(start_paused = true)]
async fn logging_out_ends_one_session() {
    let server = TestServer::start();
    let app = server.app().await;
    let path = format!("/app/{app}");
    let (one, other) = (session(&server, &app, json!({})).await, session(&server, &app, json!({})).await);
    assert_eq!(get(&server, &one, &path).await.status, 200);
    assert_eq!(server.call_as(&one, "POST", "/auth/logout", None).await.summary(), "204");
    assert_eq!(get(&server, &one, &path).await.summary(), "401 authentication_failed");
    assert_eq!(get(&server, &other, &path).await.status, 200);
    assert_eq!(server.call("POST", "/auth/logout", None).await.summary(), "400 generic_error");
}

#[tokio::test(start_paused = true)]
async fn expiring_all_ends_what_was_issued_until_then() {
    let server = TestServer::start();
    let app = server.app().await;
    let (path, expire) = (format!("/app/{app}"), format!("/auth/app/{app}/expire-all"));
    let one = session(&server, &app, json!({ "sessionId": "one" })).await;
    let two = session(&server, &app, json!({ "sessionId": "two" })).await;
    assert_eq!(server.call("POST", &expire, json!({ "sessionIds": ["one"] })).await.status, 204);
    assert_eq!(get(&server, &one, &path).await.status, 401);
    assert_eq!(get(&server, &two, &path).await.status, 200);

    assert_eq!(server.call("POST", &expire, json!({ "expiry": 60 })).await.status, 204);
    assert_eq!(get(&server, &two, &path).await.status, 200, "not yet");
    server.after(Duration::from_secs(60)).await;
    assert_eq!(get(&server, &two, &path).await.status, 401, "now");

    server.after(Duration::from_secs(1)).await;
    let new = session(&server, &app, json!({})).await;
    assert_eq!(get(&server, &new, &path).await.status, 200);
    // A second delay would bring the first ones back until it is over.
    assert_eq!(server.call("POST", &expire, json!({ "expiry": 60 })).await.status, 204);
    assert_eq!((get(&server, &two, &path).await.status.as_u16(), get(&server, &new, &path).await.status.as_u16()), (401, 401));
    let wrong = server.call("POST", &expire, json!({ "expiry": 259_201, "sessionIds": ["a b"] })).await;
    assert!(wrong.summary().starts_with("422 body.expiry: must be between 0 and 259200 seconds; body.sessionIds.0: "), "{wrong:?}");
}

#[tokio::test(start_paused = true)]
async fn access_may_create_the_application() {
    let server = TestServer::start();
    let body = json!({ "application": { "name": "Acme", "uid": "acme" } });
    session(&server, "acme", body.clone()).await;
    assert_eq!(server.call("GET", "/app/acme", None).await.json()["name"], json!("Acme"));
    // Where it exists, what is said about it is not looked at.
    session(&server, "acme", json!({ "application": { "name": "Other", "uid": "other" } })).await;
    assert_eq!(server.call("GET", "/app/acme", None).await.json()["name"], json!("Acme"));
}
