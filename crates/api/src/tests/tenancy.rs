//! Tenants never see each other: the same name is another thing for each. (What is not there for another: `strangers.rs`.)

use serde_json::json;

use crate::testing::{OTHER_ORG, TestServer};

#[tokio::test(start_paused = true)]
async fn names_are_per_tenant() {
    let server = TestServer::start();
    let other = server.token_of(OTHER_ORG);
    for token in [&server.token, &other] {
        assert_eq!(server.call_as(token, "POST", "/app", json!({ "name": "Acme", "uid": "acme" })).await.status, 201);
        assert_eq!(server.call_as(token, "POST", "/event-type", json!({ "name": "a.b", "description": "" })).await.status, 201);
    }
    assert_eq!(server.call_as(&other, "DELETE", "/event-type/a.b?expunge=true", None).await.status, 204);
    assert_eq!(server.call("GET", "/event-type/a.b", None).await.status, 200);
    assert_eq!(server.call_as(&other, "PUT", "/app/acme", json!({ "name": "Changed", "uid": "acme" })).await.status, 200);
    assert_eq!(server.call("GET", "/app/acme", None).await.json()["name"], json!("Acme"));
}
