//! The endpoints of a source are those of its application.

use serde_json::{Value, json};

use super::at;
use crate::testing::TestServer;

#[tokio::test(start_paused = true)]
async fn they_are_the_endpoints_of_the_application() {
    let server = TestServer::start();
    let source = server.source(json!({ "uid": "door" })).await;
    let app = source["applicationId"].as_str().unwrap();
    let endpoints = format!("{}/endpoint", at("door"));
    let body = json!({ "url": "https://example.com/a", "uid": "a", "headers": { "X-A": "1" }, "description": "first" });
    let created = server.call("POST", &endpoints, body).await;
    assert_eq!(created.status, 201, "{created:?}");
    let id = created.id();
    assert_eq!(server.call("GET", &format!("/app/{app}/endpoint/{id}"), None).await.json(), created.json());
    assert_eq!(server.call("GET", &format!("{endpoints}/a"), None).await.json(), created.json());
    assert_eq!(server.call("GET", &endpoints, None).await.column("id"), [json!(id)]);

    // What clients of other servers do not know stays.
    server.event_type("push", None).await;
    server.call("PATCH", &format!("/app/{app}/endpoint/a"), json!({ "eventTypes": ["push"], "channels": ["c"], "ordered": true })).await;
    let put = server.call("PUT", &format!("{endpoints}/a"), json!({ "url": "https://example.com/b", "uid": "a" })).await;
    assert_eq!(put.status, 200, "{put:?}");
    let put = put.json();
    assert_eq!((&put["url"], &put["description"]), (&json!("https://example.com/b"), &json!("")));
    assert_eq!((&put["eventTypes"], &put["channels"], &put["ordered"]), (&json!(["push"]), &json!(["c"]), &json!(true)));
    let new = server.call("PUT", &format!("{endpoints}/b"), json!({ "url": "https://example.com/b" })).await;
    assert_eq!((new.status.as_u16(), &new.json()["uid"]), (201, &Value::Null));

    assert_eq!(server.call("DELETE", &format!("{endpoints}/a"), None).await.status, 204);
    assert_eq!(server.call("GET", &format!("{endpoints}/a"), None).await.summary(), "404 not_found");
    let wrong = server.call("POST", &endpoints, json!({ "url": "nowhere", "throttleRate": 0 })).await.summary();
    assert!(wrong.starts_with("422 body.url: must be a URL") && wrong.contains("body.throttleRate: must be at least 1"), "{wrong}");
}

#[tokio::test(start_paused = true)]
async fn headers_and_secrets() {
    let server = TestServer::start();
    server.source(json!({ "uid": "door" })).await;
    let endpoint = format!("{}/endpoint/a", at("door"));
    server.call("POST", &format!("{}/endpoint", at("door")), json!({ "url": "https://example.com", "uid": "a" })).await;

    let headers = json!({ "headers": { "X-A": "1", "Authorization": "Bearer x" } });
    assert_eq!(server.call("PUT", &format!("{endpoint}/headers"), headers).await.status, 204);
    let shown = server.call("GET", &format!("{endpoint}/headers"), None).await.json();
    assert_eq!(shown, json!({ "headers": { "X-A": "1" }, "sensitive": ["Authorization"] }));
    let wrong = server.call("PUT", &format!("{endpoint}/headers"), json!({ "headers": { "a b": "1" } })).await;
    assert!(wrong.summary().starts_with("422 body.headers: has the header name"), "{wrong:?}");

    let secret = server.call("GET", &format!("{endpoint}/secret"), None).await.json()["key"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"), "{secret}");
    for body in [None, Some(json!({ "gracePeriodSeconds": 0 }))] {
        assert_eq!(server.call("POST", &format!("{endpoint}/secret/rotate"), body).await.status, 204);
    }
    assert_ne!(server.call("GET", &format!("{endpoint}/secret"), None).await.json()["key"], json!(secret));
    let wrong = server.call("POST", &format!("{endpoint}/secret/rotate"), json!({ "gracePeriodSeconds": 604_801, "key": "x" })).await;
    assert!(wrong.summary().starts_with("422 body.key: "), "{wrong:?}");
}

#[tokio::test(start_paused = true)]
async fn a_transformation_that_is_not_there_is_not_taken_either() {
    let server = TestServer::start();
    server.source(json!({ "uid": "door" })).await;
    server.call("POST", &format!("{}/endpoint", at("door")), json!({ "url": "https://example.com", "uid": "a" })).await;
    let transformation = format!("{}/endpoint/a/transformation", at("door"));
    let nothing = json!({ "code": null, "enabled": false, "variables": null });
    assert_eq!(server.call("GET", &transformation, None).await.json(), nothing);
    for body in [json!({}), nothing.clone(), json!({ "enabled": false })] {
        assert_eq!(server.call("PATCH", &transformation, body.clone()).await.status, 204, "{body}");
    }
    for body in [json!({ "code": "function handler(w) { return w }" }), json!({ "enabled": true }), json!({ "variables": { "a": "1" } })] {
        assert_eq!(server.call("PATCH", &transformation, body.clone()).await.summary(), "400 transformations_not_available", "{body}");
    }
    assert_eq!(server.call("GET", &transformation, None).await.json(), nothing);
}
