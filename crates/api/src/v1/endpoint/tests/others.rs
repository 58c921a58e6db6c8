//! What others see of an endpoint, and may do to it.

use serde_json::{Value, json};

use crate::testing::{OTHER_ORG, START, TestServer};

#[tokio::test(start_paused = true)]
async fn others_see_nothing_of_it() {
    let server = TestServer::start();
    let (app, other_app) = (server.app().await, server.app().await);
    let id = server.endpoint(&app, json!({ "uid": "e" })).await;
    let other_tenant = server.token_of(OTHER_ORG);
    let since = json!({ "since": START.to_string() });
    let url = json!({ "url": "https://example.com" });
    let operations = [
        ("GET", "", Value::Null),
        ("PATCH", "", json!({})),
        ("DELETE", "", Value::Null),
        ("GET", "/headers", Value::Null),
        ("PUT", "/headers", json!({ "headers": {} })),
        ("PATCH", "/headers", json!({ "headers": {} })),
        ("GET", "/secret", Value::Null),
        ("POST", "/secret/rotate", json!({})),
        ("GET", "/stats", Value::Null),
        ("POST", "/recover", since.clone()),
        ("POST", "/replay-missing", since.clone()),
        ("POST", "/bulk-replay", since.clone()),
        ("POST", "/cancel-msgs", json!({ "createdBefore": START.to_string() })),
        ("POST", "/send-example", json!({ "eventType": "svix.ping" })),
        ("GET", "/msg", Value::Null),
    ];
    for (method, below, body) in operations {
        let foreign = server.call_as(&other_tenant, method, &format!("/app/{app}/endpoint/{id}{below}"), body.clone()).await;
        assert_eq!(foreign.summary(), "404 not_found", "{method} {below} of another tenant");
        for name in [id.as_str(), "e"] {
            let misplaced = server.call("GET", &format!("/app/{other_app}/endpoint/{name}"), None).await;
            assert_eq!(misplaced.summary(), "404 not_found", "{name} in another application");
        }
        let misplaced = server.call(method, &format!("/app/{other_app}/endpoint/{id}{below}"), body.clone()).await;
        assert_eq!(misplaced.summary(), "404 not_found", "{method} {below} in another application");
        let nobody = server.call_as("nonsense", method, &format!("/app/{app}/endpoint/{id}{below}"), body).await;
        assert_eq!(nobody.summary(), "401 authentication_failed", "{method} {below}");
    }
    assert_eq!(server.call_as(&other_tenant, "PUT", &format!("/app/{app}/endpoint/{id}"), url).await.summary(), "404 not_found");
    assert_eq!(server.call("GET", &format!("/app/{app}/endpoint/{id}"), None).await.status, 200);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn portal_sessions_do_what_they_may() {
    use hookpost_domain::access::Capability;
    let server = TestServer::start();
    let (app, other_app) = (server.app().await, server.app().await);
    let id = server.endpoint(&app, json!({})).await;
    let everything = server.portal_token(&app, |_| {});
    let viewer = server.portal_token(&app, |session| session.capabilities = Some(vec![Capability::ViewBase]));
    let since = json!({ "since": START.to_string() });
    for (method, below, body, may, viewer_may) in [
        ("GET", "", Value::Null, "200", "200"),
        ("GET", "/headers", Value::Null, "200", "200"),
        ("GET", "/stats", Value::Null, "200", "200"),
        ("PATCH", "", json!({ "description": "mine" }), "200", "403 insufficient access"),
        ("PUT", "", json!({ "url": "https://example.com" }), "200", "403 insufficient access"),
        ("PATCH", "/headers", json!({ "headers": {} }), "204", "403 insufficient access"),
        ("GET", "/secret", Value::Null, "200", "403 insufficient access"),
        ("POST", "/secret/rotate", json!({}), "204", "403 insufficient access"),
        ("POST", "/recover", since.clone(), "202", "403 insufficient access"),
        ("POST", "/send-example", json!({ "eventType": "svix.ping" }), "403 insufficient access", "403 insufficient access"),
        ("DELETE", "", Value::Null, "204", "403 insufficient access"),
    ] {
        let path = |app: &str| format!("/app/{app}/endpoint/{id}{below}");
        let denied = server.call_as(&viewer, method, &path(&app), body.clone()).await;
        assert_eq!(denied.summary(), viewer_may, "{method} {below}");
        let elsewhere = server.call_as(&everything, method, &path(&other_app), body.clone()).await;
        assert!(matches!(elsewhere.status.as_u16(), 403 | 404), "{method} {below} {elsewhere:?}");
        assert_eq!(server.call_as(&everything, method, &path(&app), body).await.summary(), may, "{method} {below}");
    }
    server.stop().await;
}
