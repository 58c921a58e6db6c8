//! Keys and tokens that are for one thing: what they open, and how they end.

use std::time::Duration;

use hookpost_domain::OrgId;
use hookpost_domain::sink::SinkOwner;
use serde_json::{Value, json};

use super::things::{poller, stream};
use crate::testing::{OTHER_ORG, TestServer};

const TOKENS: &str = "/management/authentication/org_23rb8YdGqMT0qIzpgGwdXfHirMu/api-token";

async fn status(server: &TestServer, token: &str, path: &str) -> u16 {
    server.call_as(token, "GET", path, None).await.status.as_u16()
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("{value} has no {field}")).to_owned()
}

#[tokio::test(start_paused = true)]
async fn tokens_have_roles_and_ends() {
    let server = TestServer::start();
    assert_eq!(TOKENS.split('/').nth(3), Some(OrgId::DEFAULT));
    for (scopes, shown, read, manage, admin) in [
        (Value::Null, "owner", 200, 201, 200),
        (json!(["owner"]), "owner", 200, 201, 200),
        (json!(["developer"]), "developer", 200, 201, 403),
        (json!(["viewer"]), "viewer", 200, 403, 403),
        (json!(["send"]), "send", 403, 403, 403),
        (json!(["manage"]), "developer", 200, 201, 403),
    ] {
        let made = server.call("POST", TOKENS, json!({ "name": "ci", "scopes": scopes })).await;
        assert_eq!(made.status, 200, "{made:?}");
        let made = made.json();
        assert_eq!(made["scopes"], json!([shown]));
        let token = text(&made, "token");
        assert_eq!(status(&server, &token, "/app").await, read, "{scopes}");
        let created = server.call_as(&token, "POST", "/app", json!({ "name": "a" })).await;
        assert_eq!(created.status, manage, "{scopes}");
        assert_eq!(status(&server, &token, TOKENS).await, admin, "{scopes}");
    }
    let wrong = server.call("POST", TOKENS, json!({ "name": "x", "scopes": ["viewer", "king"] })).await;
    assert_eq!(wrong.summary(), "422 body.scopes.1: must be `owner`, `developer`, `viewer` or `send`");

    let made = server.call("POST", TOKENS, json!({ "name": "old", "scopes": ["viewer"] })).await.json();
    let (token, one) = (text(&made, "token"), format!("{TOKENS}/{}", text(&made, "id")));
    let shown = server.call("GET", &one, None).await;
    assert!(!String::from_utf8_lossy(&shown.bytes).contains(&token));
    assert_eq!(shown.json()["lastUsedAt"], Value::Null);
    assert_eq!(server.call("PUT", &one, json!({ "name": "new" })).await.json()["name"], json!("new"));
    assert_eq!(server.call("PATCH", &one, json!({ "scopes": ["developer"] })).await.json()["scopes"], json!(["developer"]));
    assert_eq!(server.call_as(&token, "POST", "/app", json!({ "name": "a" })).await.status, 201);

    assert_eq!(server.call("POST", &format!("{one}/expire"), json!({ "expiry": 60 })).await.summary(), "204");
    assert_eq!(status(&server, &token, "/app").await, 200, "not yet");
    server.after(Duration::from_secs(60)).await;
    assert_eq!(status(&server, &token, "/app").await, 401);
    // It cannot be made to live again.
    assert_eq!(server.call("POST", &format!("{one}/expire"), json!({ "expiry": 600 })).await.summary(), "204");
    assert_eq!(status(&server, &token, "/app").await, 401);

    let other = TOKENS.replace(OrgId::DEFAULT, OTHER_ORG);
    assert_eq!(server.call("GET", &other, None).await.summary(), "404 not_found");
    assert_eq!(server.call("POST", &other, json!({ "name": "x" })).await.summary(), "404 not_found");
}

#[tokio::test(start_paused = true)]
async fn the_last_use_is_known_to_the_minute() {
    let server = TestServer::start();
    let made = server.call("POST", TOKENS, json!({ "name": "ci" })).await.json();
    let (token, one) = (text(&made, "token"), format!("{TOKENS}/{}", text(&made, "id")));
    let last = async || server.call("GET", &one, None).await.json()["lastUsedAt"].clone();
    assert_eq!(status(&server, &token, "/app").await, 200);
    server.settle().await;
    let first = last().await;
    assert_ne!(first, Value::Null);
    server.after(Duration::from_secs(30)).await;
    assert_eq!(status(&server, &token, "/app").await, 200);
    server.settle().await;
    assert_eq!(last().await, first, "within the minute");
    // Also across changes of the catalogue.
    server.app().await;
    assert_eq!(status(&server, &token, "/app").await, 200);
    server.settle().await;
    assert_eq!(last().await, first, "within the minute");
    server.after(Duration::from_secs(30)).await;
    assert_eq!(status(&server, &token, "/app").await, 200);
    server.settle().await;
    assert!(last().await.as_str() > first.as_str());
}

#[tokio::test(start_paused = true)]
async fn the_key_of_an_integration_acts_for_its_application_and_ends_with_it() {
    let server = TestServer::start();
    let (app, other) = (server.app().await, server.app().await);
    let made = server.call("POST", &format!("/app/{app}/integration"), json!({ "name": "Zap" })).await;
    assert_eq!(made.status, 201, "{made:?}");
    let path = format!("/app/{app}/integration/{}", made.id());
    assert_eq!(server.call("GET", &path, None).await.json()["name"], json!("Zap"));
    let key = text(&server.call("GET", &format!("{path}/key"), None).await.json(), "key");
    let endpoints = format!("/app/{app}/endpoint");
    assert_eq!(server.call_as(&key, "POST", &endpoints, json!({ "url": "https://example.com" })).await.status, 201);
    assert_eq!(server.call_as(&key, "GET", &format!("/app/{other}/endpoint"), None).await.summary(), "404 not_found");
    for (method, path) in [("GET", "/app"), ("GET", "/api-key"), ("GET", &*format!("{path}/key")), ("DELETE", &*path)] {
        assert_eq!(server.call_as(&key, method, path, None).await.status, 403, "{method} {path}");
    }
    // It is no portal session.
    assert_eq!(server.call_as(&key, "POST", "/auth/logout", None).await.summary(), "400 generic_error");
    assert_eq!(server.call("POST", &format!("/auth/app/{app}/expire-all"), json!({})).await.status, 204);
    assert_eq!(status(&server, &key, &endpoints).await, 200);
    assert_eq!(server.call("GET", "/api-key", None).await.column("id"), [] as [Value; 0]);

    let rotated = text(&server.call("POST", &format!("{path}/key/rotate"), None).await.json(), "key");
    assert_eq!((status(&server, &key, &endpoints).await, status(&server, &rotated, &endpoints).await), (401, 200));
    assert_eq!(server.call("PUT", &path, json!({ "name": "Zip" })).await.json()["name"], json!("Zip"));
    assert_eq!(server.call("GET", &format!("/app/{app}/integration"), None).await.column("name"), [json!("Zip")]);
    assert_eq!(server.call("GET", &path.replace(&app, &other), None).await.summary(), "404 not_found");
    assert_eq!(server.call("DELETE", &path, None).await.status, 204);
    assert_eq!(status(&server, &rotated, &endpoints).await, 401);

    server.call("POST", &format!("/app/{app}/integration"), json!({ "name": "Zap" })).await;
    let second = server.call("GET", &format!("/app/{app}/integration"), None).await.column("id")[0].clone();
    let key = server.call("GET", &format!("/app/{app}/integration/{}/key", second.as_str().unwrap()), None).await.json();
    let key = text(&key, "key");
    assert_eq!(status(&server, &key, "/auth/whoami").await, 200);
    assert_eq!(server.call("DELETE", &format!("/app/{app}"), None).await.status, 204);
    assert_eq!(status(&server, &key, "/auth/whoami").await, 401, "the application is gone");
}

#[tokio::test(start_paused = true)]
async fn a_message_token_creates_messages_of_its_application_only() {
    let server = TestServer::start();
    let (app, other) = (server.app().await, server.app().await);
    let made = server.call("POST", &format!("/auth/app/{app}/create-message-token"), json!({ "name": "till", "expiry": 60 })).await.json();
    let token = text(&made, "token");
    let message = json!({ "eventType": "a", "payload": {} });
    let send = async |app: &str| server.call_as(&token, "POST", &format!("/app/{app}/msg"), message.clone()).await.summary();
    assert_eq!(send(&app).await, "202");
    assert_eq!(send(&other).await, "404 not_found");
    assert_eq!(send("nobody").await, "404 not_found");
    let unborn = json!({ "eventType": "a", "payload": {}, "application": { "name": "x", "uid": "unborn" } });
    assert_eq!(server.call_as(&token, "POST", "/app/unborn/msg", unborn).await.status, 403);
    for path in [format!("/app/{app}"), format!("/app/{app}/msg"), "/app".to_owned(), "/event-type".to_owned()] {
        assert_eq!(status(&server, &token, &path).await, 403, "{path}");
    }
    server.after(Duration::from_secs(60)).await;
    assert_eq!(send(&app).await, "401 authentication_failed");
}

#[tokio::test(start_paused = true)]
async fn the_token_of_a_poller_is_rotated_with_a_grace_period() {
    let server = TestServer::start();
    let app = server.app().await;
    let of_app = SinkOwner::Application(server.api.store.public_ids().decode(&app).unwrap());
    let of_stream = SinkOwner::Stream(stream(&server, "orders").await);
    poller(&server, of_app, "p").await;
    poller(&server, of_stream, "p").await;
    for path in [format!("/auth/app/{app}/poller/p/token"), "/auth/stream/orders/sink/p/poller/token".to_owned()] {
        let first = server.call("GET", &path, None).await.json();
        assert_eq!(server.call("GET", &path, None).await.json(), first, "shown again");
        let first = text(&first, "token");
        assert_eq!(status(&server, &first, "/auth/whoami").await, 200);
        assert_eq!(status(&server, &first, "/app").await, 403);
        let rotated = server.call("POST", &format!("{path}/rotate"), json!({ "oldTokenExpiry": 60, "expiry": 3600 })).await;
        assert_eq!(rotated.status, 201, "{rotated:?}");
        let second = text(&rotated.json(), "token");
        assert_eq!(text(&server.call("GET", &path, None).await.json(), "token"), second);
        assert_eq!((status(&server, &first, "/auth/whoami").await, status(&server, &second, "/auth/whoami").await), (200, 200));
        server.after(Duration::from_secs(60)).await;
        assert_eq!((status(&server, &first, "/auth/whoami").await, status(&server, &second, "/auth/whoami").await), (401, 200));
        let third = text(&server.call("POST", &format!("{path}/rotate"), json!({ "oldTokenExpiry": 0 })).await.json(), "token");
        assert_eq!((status(&server, &second, "/auth/whoami").await, status(&server, &third, "/auth/whoami").await), (401, 200));
    }
    let viewer = text(&server.call("POST", TOKENS, json!({ "name": "v", "scopes": ["viewer"] })).await.json(), "token");
    assert_eq!(status(&server, &viewer, &format!("/auth/app/{app}/poller/p/token")).await, 403);
    assert_eq!(status(&server, &server.token, "/auth/app/nobody/poller/p/token").await, 404);
}

#[tokio::test(start_paused = true)]
async fn sessions_of_streams_end_like_those_of_applications() {
    let server = TestServer::start();
    let id = server.api.public(stream(&server, "orders").await);
    let session = async |body: Value| {
        let answer = server.call("POST", "/auth/stream-portal-access/orders", body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        text(&answer.json(), "token")
    };
    let (one, two) = (session(json!({ "sessionId": "one" })).await, session(json!({ "expiry": 3600 })).await);
    let whoami = server.call_as(&one, "GET", "/auth/whoami", None).await.json();
    assert_eq!(whoami, json!({ "envId": OrgId::DEFAULT, "streamAppId": id, "permissionSource": "SvixJwt", "sessionId": "one" }));
    assert_eq!(status(&server, &one, "/app").await, 403);
    assert_eq!(server.call("POST", "/auth/stream/orders/expire-all", json!({ "sessionIds": ["one"] })).await.status, 204);
    assert_eq!((status(&server, &one, "/auth/whoami").await, status(&server, &two, "/auth/whoami").await), (401, 200));
    assert_eq!(server.call_as(&two, "POST", "/auth/logout", None).await.summary(), "400 generic_error");
    assert_eq!(server.call_as(&two, "POST", "/auth/stream-logout", None).await.summary(), "204");
    assert_eq!(status(&server, &two, "/auth/whoami").await, 401);
    let three = session(json!({})).await;
    server.after(Duration::from_secs(1)).await;
    assert_eq!(server.call("POST", "/auth/stream/orders/expire-all", json!({})).await.status, 204);
    assert_eq!(status(&server, &three, "/auth/whoami").await, 401);
    assert_eq!(server.call("POST", "/auth/stream-portal-access/nobody", json!({})).await.summary(), "404 not_found");
}

#[tokio::test(start_paused = true)]
async fn a_one_time_token_works_once() {
    let server = TestServer::start();
    let app = server.app().await;
    let access = format!("/auth/app-portal-access/{app}");
    let ticket = async || {
        let body = json!({ "oneTime": true, "capabilities": ["ViewBase"] });
        let answer = server.call("POST", &access, body).await.json();
        (text(&answer, "token"), text(&answer, "url").split_once("#oneTimeToken=").expect("has a ticket").1.to_owned())
    };
    let (token, text) = ticket().await;
    let exchange = async |text: &str| server.call_as("", "POST", "/auth/one-time-token", json!({ "oneTimeToken": text })).await;
    // At the same moment.
    let (one, two) = tokio::join!(exchange(&text), exchange(&text));
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401]);
    let won = if one.status == 200 { one } else { two };
    assert_eq!(won.json(), json!({ "token": token, "capabilities": ["ViewBase"] }));
    assert_eq!(exchange(&text).await.summary(), "401 authentication_failed");
    assert_eq!(exchange("ott_x").await.summary(), "401 authentication_failed");
    let (_, late) = ticket().await;
    server.after(Duration::from_secs(300)).await;
    assert_eq!(exchange(&late).await.summary(), "401 authentication_failed");
}

#[tokio::test(start_paused = true)]
async fn operational_webhooks_are_each_tenants_own() {
    let server = TestServer::start();
    let path = "/operational-webhook/endpoint";
    assert_eq!(server.call("GET", path, None).await.column("id"), [] as [Value; 0]);
    assert_eq!(server.call("GET", &format!("{path}/x"), None).await.summary(), "404 not_found");
    let body = json!({ "url": "https://example.com/ops", "uid": "ops", "eventTypes": ["endpoint.created"], "headers": { "x-a": "1" } });
    let made = server.call("POST", path, body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.id();
    let other = server.token_of(OTHER_ORG);
    for (method, below) in [("GET", ""), ("DELETE", ""), ("GET", "/secret"), ("POST", "/secret/rotate"), ("GET", "/headers")] {
        for name in [id.as_str(), "ops"] {
            assert_eq!(server.call_as(&other, method, &format!("{path}/{name}{below}"), None).await.summary(), "404 not_found");
        }
    }
    assert_eq!(server.call_as(&other, "PUT", &format!("{path}/ops"), json!({ "url": "https://other.example" })).await.status, 200);
    assert_eq!(server.call("GET", &format!("{path}/ops"), None).await.json()["url"], json!("https://example.com/ops"));
    assert_eq!(
        server.call("GET", &format!("{path}/ops/headers"), None).await.json(),
        json!({ "headers": { "x-a": "1" }, "sensitive": [] })
    );
    let unknown = server.call("POST", path, json!({ "url": "https://example.com", "eventTypes": ["no.such"] })).await;
    assert_eq!(unknown.summary(), "422 body.eventTypes: The following event types don't exist: no.such");

    let app = server.app().await;
    server.endpoint(&app, json!({})).await;
    server.settle().await;
    assert_eq!(server.receiver.payloads().len(), 1, "told to the tenant, and not to the other");
    let secret = text(&server.call("GET", &format!("{path}/{id}/secret"), None).await.json(), "key");
    assert_eq!(server.call("POST", &format!("{path}/{id}/secret/rotate"), None).await.summary(), "204");
    assert_ne!(text(&server.call("GET", &format!("{path}/{id}/secret"), None).await.json(), "key"), secret);
    assert_eq!(server.call("PUT", &format!("{path}/{id}/headers"), json!({ "headers": {} })).await.summary(), "204");
    assert_eq!(server.call("PUT", &format!("{path}/{id}"), json!({ "url": "https://example.com/new" })).await.status, 200);
    assert_eq!(server.call("DELETE", &format!("{path}/{id}"), None).await.summary(), "204");
    assert_eq!(server.call("GET", "/app", None).await.column("id"), [json!(app)], "its application is not the tenant's");
    server.stop().await;
}
