//! A repeated POST gets the first answer and does nothing again.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::testing::{Answer, TestServer};

async fn post(server: &TestServer, token: &str, path: &str, key: &str, body: Value) -> Answer {
    let mut request = server.request(token, "POST", path, body.to_string());
    request.headers_mut().insert("idempotency-key", key.parse().unwrap());
    server.send(request).await
}

async fn count(server: &TestServer, path: &str) -> usize {
    server.call("GET", path, None).await.json()["data"].as_array().unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn the_first_answer_is_given_again_whatever_the_body() {
    let server = TestServer::start();
    let app = server.app().await;
    for (path, list, body, status) in [
        ("/app".to_owned(), "/app".to_owned(), json!({ "name": "x" }), 201),
        ("/event-type".to_owned(), "/event-type".to_owned(), json!({ "name": "x", "description": "" }), 201),
        (format!("/app/{app}/msg"), format!("/app/{app}/msg"), json!({ "eventType": "a.b", "payload": { "n": 1 } }), 202),
        (format!("/app/{app}/endpoint"), format!("/app/{app}/endpoint"), json!({ "url": "https://example.com" }), 201),
    ] {
        let before = count(&server, &list).await;
        let first = post(&server, &server.token, &path, "key", body).await;
        assert_eq!(first.status, status, "{path}: {first:?}");
        let again = post(
            &server,
            &server.token,
            &path,
            "key",
            json!({ "name": "other", "eventType": "c", "payload": {}, "description": "", "url": "https://other.example" }),
        )
        .await;
        assert_eq!((again.status, &again.bytes), (first.status, &first.bytes), "{path}");
        assert_eq!(again.headers.get("content-type"), first.headers.get("content-type"), "{path}");
        assert_eq!(count(&server, &list).await, before + 1, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_body_is_given_again_too() {
    let server = TestServer::start();
    let app = server.app().await;
    for _ in 0..2 {
        assert_eq!(post(&server, &server.token, &format!("/auth/app/{app}/expire-all"), "key", json!({})).await.summary(), "204");
    }
}

#[tokio::test(start_paused = true)]
async fn eight_at_once_run_once() {
    let server = TestServer::start();
    let app = server.app().await;
    for (path, list, body) in [
        ("/app".to_owned(), "/app".to_owned(), json!({ "name": "x" })),
        (format!("/app/{app}/msg"), format!("/app/{app}/msg"), json!({ "eventType": "a.b", "payload": {} })),
    ] {
        let before = count(&server, &list).await;
        let answers = join_all((0..8).map(|_| post(&server, &server.token, &path, "key", body.clone()))).await;
        assert!(answers[0].status.is_success(), "{:?}", answers[0]);
        assert!(answers.iter().all(|answer| answer.bytes == answers[0].bytes && answer.status == answers[0].status), "{answers:?}");
        assert_eq!(count(&server, &list).await, before + 1, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_releases_the_key() {
    let server = TestServer::start();
    assert_eq!(post(&server, &server.token, "/app", "key", json!({})).await.status, 422);
    assert_eq!(post(&server, &server.token, "/app", "key", json!({ "name": "x" })).await.status, 201);
}

#[tokio::test(start_paused = true)]
async fn keys_are_per_caller_path_and_time() {
    let server = TestServer::start();
    let body = || json!({ "name": "x", "description": "" });
    let first = post(&server, &server.token, "/app", "key", body()).await.id();
    let other_tenant = server.token_of(crate::testing::OTHER_ORG);
    assert_ne!(post(&server, &other_tenant, "/app", "key", body()).await.id(), first);
    assert_ne!(post(&server, &server.token, "/app", "other", body()).await.id(), first);
    assert_eq!(post(&server, &server.token, "/event-type", "key", body()).await.json()["name"], json!("x"));
    assert_eq!(post(&server, &server.token, "/app/", "key", body()).await.id(), first);
    server.after(hookpost_domain::limits::IDEMPOTENCY_WINDOW + std::time::Duration::from_secs(1)).await;
    assert_ne!(post(&server, &server.token, "/app", "key", body()).await.id(), first);
}

#[tokio::test(start_paused = true)]
async fn a_kept_answer_is_not_for_a_revoked_key() {
    let server = TestServer::start();
    let key = server.call("POST", "/api-key", json!({ "name": "k" })).await.json();
    let token = key["key"].as_str().unwrap();
    assert_eq!(post(&server, token, "/app", "key", json!({ "name": "x" })).await.status, 201);
    server.call("DELETE", &format!("/api-key/{}", key["id"].as_str().unwrap()), None).await;
    assert_eq!(post(&server, token, "/app", "key", json!({ "name": "x" })).await.summary(), "401 authentication_failed");
}

#[tokio::test(start_paused = true)]
async fn what_has_begun_is_finished_when_its_client_goes_away() {
    let server = TestServer::start();
    {
        let gone = post(&server, &server.token, "/app", "key", json!({ "name": "x" }));
        let mut gone = std::pin::pin!(gone);
        // Polled once: the work has begun, and nobody waits for it any more.
        assert!(futures_util::poll!(gone.as_mut()).is_pending());
    }
    assert_eq!(post(&server, &server.token, "/app", "key", json!({ "name": "y" })).await.json()["name"], json!("x"));
    assert_eq!(count(&server, "/app").await, 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_cut_off_is_not_done_again() {
    let server = TestServer::start();
    let token = server.token.clone();
    let key = crate::idempotency::key_of(&headers(&token, "key"), "/api/v1/app").unwrap().unwrap();
    // As the server leaves it that ends after the mark.
    assert_eq!(server.api.store.begin_answer(key, server.api.now()).await.unwrap(), None);
    let again = post(&server, &token, "/app", "key", json!({ "name": "x" })).await;
    assert_eq!(again.summary(), "409 conflict");
    assert_eq!(count(&server, "/app").await, 0);
    assert_eq!(post(&server, &token, "/app", "other", json!({ "name": "x" })).await.status, 201);
}

fn headers(token: &str, key: &str) -> http::HeaderMap {
    let pairs = [("authorization", format!("Bearer {token}")), ("idempotency-key", key.to_owned())];
    pairs.into_iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
}
