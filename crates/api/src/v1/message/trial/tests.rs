use serde_json::json;

use crate::testing::TestServer;

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_tried_out_and_nobody_else_hears_of_it() {
    let server = TestServer::start();
    let app = server.app().await;
    let endpoint = server.endpoint(&app, json!({ "url": "https://example.com/tried", "channels": ["none"] })).await;
    server.endpoint(&app, json!({})).await;
    let sink = server.call("POST", &format!("/app/{app}/destination"), json!({ "type": "pollingEndpoint" })).await.id();
    server.receiver.will_answer(418, "short and stout");
    let path = format!("/app/{app}/endpoint/{endpoint}/msg/test-attempt");
    let body = json!({ "eventType": "a", "payload": { "b": 1 } });
    let answer = server.call("POST", &path, body.clone()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let attempt = answer.json();
    assert_eq!(
        (&attempt["responseStatusCode"], &attempt["response"], &attempt["statusText"]),
        (&json!(418), &json!("short and stout"), &json!("fail"))
    );
    assert_eq!((&attempt["endpointId"], &attempt["msg"]["payload"]), (&json!(endpoint), &json!({ "b": 1 })));
    assert_eq!(server.receiver.requests.lock().len(), 1);
    assert!(server.call("GET", &format!("/app/{app}/poller/{sink}"), None).await.column("id").is_empty(), "sinks take none of it");
    server.message(&app, json!({})).await;
    assert_eq!(server.call("GET", &format!("/app/{app}/poller/{sink}"), None).await.column("id").len(), 1);

    let late = json!({ "eventType": "a", "payload": {}, "deliverAt": "2027-01-01T00:00:00Z" });
    assert_eq!(
        server.call("POST", &path, late).await.summary(),
        "422 body.deliverAt: must be before the payload is removed; see `payloadRetentionPeriod`"
    );
    server.call("PATCH", &format!("/app/{app}/endpoint/{endpoint}"), json!({ "disabled": true })).await;
    assert_eq!(server.call("POST", &path, body).await.summary(), "400 endpoint_disabled");
    server.stop().await;
}
