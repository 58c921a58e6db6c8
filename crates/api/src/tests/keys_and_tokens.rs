//! API keys with their scopes, and signed tokens.

use std::time::Duration;

use serde_json::{Value, json};

use crate::auth::token::{Claims, TokenSecret, sign};
use crate::testing::{OTHER_ORG, START, TestServer};

async fn key(server: &TestServer, scopes: Value) -> String {
    let created = server.call("POST", "/api-key", json!({ "name": "k", "scopes": scopes })).await;
    assert_eq!(created.status, 201, "{created:?}");
    created.json()["key"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn life_of_a_key() {
    let server = TestServer::start();
    let created =
        server.call("POST", "/api-key", json!({ "name": "CI", "scopes": ["send", "read"], "expiresAt": "2026-01-02T04:04:05Z" })).await;
    let created = created.json();
    let (id, key) = (created["id"].as_str().unwrap(), created["key"].as_str().unwrap());
    assert!(key.starts_with("hp_") && key.len() == 35 && id.starts_with("key_"));
    assert_eq!(created["hint"], json!(&key[..7]));

    let list = server.call("GET", "/api-key", None).await;
    assert_eq!(list.column("scopes"), [json!(["send", "read"])]);
    assert!(!String::from_utf8_lossy(&list.bytes).contains(key), "a key is shown once");

    let whoami = server.call_as(key, "GET", "/auth/whoami", None).await.json();
    assert_eq!(
        whoami,
        json!({ "envId": hookpost_domain::OrgId::DEFAULT, "permissionSource": "RegionalAuthToken", "scopes": ["send", "read"] })
    );
    assert_eq!(server.call_as(key, "GET", "/app", None).await.status, 200);

    server.after(Duration::from_secs(3600)).await;
    assert_eq!(server.call_as(key, "GET", "/app", None).await.summary(), "401 authentication_failed", "expired");

    let other = self::key(&server, json!(["read"])).await;
    assert_eq!(server.call_as(&other, "GET", "/app", None).await.status, 200);
    let other_id = server.call("GET", "/api-key", None).await.column("id")[1].as_str().unwrap().to_owned();
    assert_eq!(server.call("DELETE", &format!("/api-key/{other_id}"), None).await.status, 204);
    assert_eq!(server.call_as(&other, "GET", "/app", None).await.summary(), "401 authentication_failed", "revoked");
    assert_eq!(server.call("DELETE", &format!("/api-key/{other_id}"), None).await.summary(), "404 not_found");
}

#[tokio::test(start_paused = true)]
async fn scopes_open_what_they_say() {
    let server = TestServer::start();
    let app = server.app().await;
    let endpoint = server.endpoint(&app, json!({})).await;
    let endpoint = format!("/app/{app}/endpoint/{endpoint}");
    let message = json!({ "eventType": "a.b", "payload": {} });
    let cases = [
        // What is asked for, and who may: admin, manage, send, read.
        ("GET", "/app".to_owned(), json!(null), [200, 200, 403, 200]),
        ("POST", "/app".to_owned(), json!({ "name": "x" }), [201, 201, 403, 403]),
        ("POST", format!("/app/{app}/msg"), message, [202, 202, 202, 403]),
        ("GET", format!("/app/{app}/msg"), json!(null), [200, 200, 403, 200]),
        ("GET", format!("{endpoint}/secret"), json!(null), [200, 403, 403, 403]),
        ("POST", format!("{endpoint}/secret/rotate"), json!({}), [204, 403, 403, 403]),
        ("PATCH", endpoint.clone(), json!({ "description": "x" }), [200, 200, 403, 403]),
        ("GET", "/api-key".to_owned(), json!(null), [200, 403, 403, 403]),
        ("POST", "/api-key".to_owned(), json!({ "name": "x" }), [201, 403, 403, 403]),
        ("POST", format!("/auth/app-portal-access/{app}"), json!({}), [200, 403, 403, 403]),
        ("GET", "/event-type".to_owned(), json!(null), [200, 200, 403, 200]),
        ("GET", "/background-task".to_owned(), json!(null), [200, 200, 403, 200]),
    ];
    for (index, scope) in ["admin", "manage", "send", "read"].into_iter().enumerate() {
        let key = key(&server, json!([scope])).await;
        for (method, path, body, statuses) in &cases {
            let answer = server.call_as(&key, method, path, Some(body.clone()).filter(|body| !body.is_null())).await;
            assert_eq!(answer.status, statuses[index], "{scope}: {method} {path} {answer:?}");
        }
    }
}

fn token(change: impl FnOnce(&mut Claims)) -> String {
    let mut claims = Claims::new(OTHER_ORG, START, START + Duration::from_secs(3600));
    change(&mut claims);
    sign(&TokenSecret::new(b"a secret for tests"), &claims)
}

#[tokio::test(start_paused = true)]
async fn signed_tokens_are_what_they_say() {
    let server = TestServer::start();
    let seconds = START.unix_seconds();
    let forged = sign(&TokenSecret::new(b"another secret"), &Claims::new(OTHER_ORG, START, START + Duration::from_secs(3600)));
    // {"alg":"none"} and no signature.
    let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", token(|_| {}).split('.').nth(1).unwrap());
    for (name, token, expected) in [
        ("an organization", token(|_| {}), "200"),
        ("issued elsewhere", token(|claims| claims.iss = "svix-server".to_owned()), "200"),
        ("without dates but the end", token(|claims| (claims.iat, claims.nbf, claims.iat_ms) = (0, 0, None)), "200"),
        ("a clock that is ahead", token(|claims| claims.nbf = seconds + 50), "200"),
        ("not yet valid", token(|claims| claims.nbf = seconds + 90), "401 authentication_failed"),
        ("expired", token(|claims| claims.exp = seconds), "401 authentication_failed"),
        ("another secret", forged, "401 authentication_failed"),
        ("unsigned", unsigned, "401 authentication_failed"),
        ("no token", "x.y.z".to_owned(), "401 authentication_failed"),
        ("no such key", format!("hp_{}", "a".repeat(32)), "401 authentication_failed"),
        ("an unknown subject", token(|claims| claims.sub = "user_1".to_owned()), "400 bad_token"),
        ("half an organization", token(|claims| claims.sub = "org_1".to_owned()), "400 bad_token"),
        ("an application without its organization", token(|claims| claims.sub = "app_1".to_owned()), "400 bad_token"),
        (
            "an application of somewhere else",
            token(|claims| (claims.sub, claims.org) = ("app_2aBcDeFgHiJkLmNoPqRsTuVwXyZ".to_owned(), Some(OTHER_ORG.to_owned()))),
            "401 authentication_failed",
        ),
    ] {
        assert_eq!(server.call_as(&token, "GET", "/app", None).await.summary(), expected, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_remembered_token_ends_in_time() {
    let server = TestServer::start();
    let token = token(|_| {});
    assert_eq!(server.call_as(&token, "GET", "/app", None).await.status, 200);
    // Remembered also across changes of the catalogue.
    server.app().await;
    assert_eq!(server.call_as(&token, "GET", "/app", None).await.status, 200);
    server.after(Duration::from_secs(3600)).await;
    assert_eq!(server.call_as(&token, "GET", "/app", None).await.summary(), "401 authentication_failed");
}
