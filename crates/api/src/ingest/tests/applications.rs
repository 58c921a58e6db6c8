//! The application of a source.

use serde_json::{Value, json};

use super::at;
use crate::testing::TestServer;

#[tokio::test(start_paused = true)]
async fn one_is_made_for_a_source_and_goes_with_it() {
    let server = TestServer::start();
    let source = server.source(json!({ "name": "GitHub" })).await;
    let app = source["applicationId"].as_str().unwrap();
    assert_eq!(server.call("GET", &format!("/app/{app}"), None).await.json()["name"], json!("GitHub"));
    let refused = server.call("DELETE", &format!("/app/{app}"), None).await;
    assert_eq!(refused.summary(), "409 conflict");
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("The source `GitHub`") && detail.contains(source["id"].as_str().unwrap()), "{detail}");
    assert_eq!(server.call("DELETE", &at(source["id"].as_str().unwrap()), None).await.status, 204);
    assert_eq!(server.call("GET", &format!("/app/{app}"), None).await.summary(), "404 not_found");
}

#[tokio::test(start_paused = true)]
async fn one_that_was_there_stays() {
    let server = TestServer::start();
    let app = server.call("POST", "/app", json!({ "name": "Acme", "uid": "acme" })).await.id();
    let other = server.app().await;
    for reference in ["acme", app.as_str()] {
        let source = server.source(json!({ "application": reference })).await;
        assert_eq!(source["applicationId"], json!(app));
    }
    assert_eq!(server.call("DELETE", "/app/acme", None).await.summary(), "409 conflict");
    // Whom nobody feeds may go.
    assert_eq!(server.call("DELETE", &format!("/app/{other}"), None).await.status, 204);
    for source in server.call("GET", super::SOURCES, None).await.column("id") {
        assert_eq!(server.call("DELETE", &at(source.as_str().unwrap()), None).await.status, 204);
    }
    assert_eq!(server.call("GET", "/app", None).await.column("uid"), [json!("acme")]);
    assert_eq!(server.call("DELETE", "/app/acme", None).await.status, 204);
    assert_eq!(server.call("GET", "/app", None).await.column("uid"), [] as [Value; 0]);
}
