use std::time::Duration;

use serde_json::{Value, json};

use crate::testing::{OTHER_ORG, TestServer};
use crate::v1::stream::tests::{put, stream};

const URL: &str = "https://example.com/batches";

/// Both owners, by the path to their sinks and the names of the types.
async fn owners(server: &TestServer) -> [(String, &'static str, &'static str); 2] {
    let stream = stream(server, json!({})).await;
    let app = server.app().await;
    [(format!("/stream/{stream}/sink"), "poller", "http"), (format!("/app/{app}/destination"), "pollingEndpoint", "fifoEndpoint")]
}

#[tokio::test(start_paused = true)]
async fn both_kinds_are_made_changed_and_deleted() {
    let server = TestServer::start();
    for (path, poller, http) in owners(&server).await {
        let created = server.call("POST", &path, json!({ "type": poller, "uid": "mine" })).await;
        assert_eq!(created.status, 201, "{created:?}");
        let sink = created.json();
        let shown = |field: &str| sink[field].clone();
        assert_eq!(
            (shown("type"), shown("status"), shown("batchSize"), shown("maxWaitSecs")),
            (json!(poller), json!("enabled"), json!(100), json!(0))
        );
        assert_eq!((shown("eventTypes"), shown("failureReason"), shown("nextRetryAt")), (json!([]), Value::Null, Value::Null));
        assert!(shown("currentIterator").as_str().unwrap().starts_with("iter_"));
        assert!(sink.get("config").is_none());

        let body = json!({ "type": http, "config": { "url": URL, "headers": { "x-a": "1", "authorization": "secret" } }, "batchSize": 5, "eventTypes": ["a"] });
        let created = server.call("POST", &path, body).await;
        assert_eq!(created.status, 201, "{created:?}");
        let id = created.id();
        let expected = json!({ "url": URL, "headers": { "headers": { "x-a": "1" }, "sensitive": ["authorization"] } });
        assert_eq!(created.json()["config"], expected);
        assert_eq!(server.call("GET", &path, None).await.column("type"), [json!(poller), json!(http)]);

        let change = json!({ "type": http, "config": { "url": "https://example.com/b" }, "status": "disabled", "channels": ["c"] });
        let patched = server.call("PATCH", &format!("{path}/{id}"), change).await.json();
        assert_eq!((&patched["status"], &patched["batchSize"], &patched["channels"]), (&json!("disabled"), &json!(5), &json!(["c"])));
        assert_eq!(patched["config"]["url"], "https://example.com/b");
        let key = server.call("GET", &format!("{path}/{id}/secret"), None).await.json();
        let replaced = server.call("PUT", &format!("{path}/{id}"), json!({ "type": http, "config": { "url": URL } })).await;
        assert_eq!((replaced.status.as_u16(), &replaced.json()["status"]), (200, &json!("enabled")));
        assert_eq!(server.call("GET", &format!("{path}/{id}/secret"), None).await.json(), key, "what signs stays");
        let put = server.call("PUT", &format!("{path}/other"), json!({ "type": poller, "uid": "other" })).await;
        assert_eq!(put.status, 201, "{put:?}");
        assert_eq!(server.call("POST", &path, json!({ "type": poller, "uid": "mine" })).await.summary(), "409 conflict");

        assert_eq!(server.call("DELETE", &format!("{path}/{id}"), None).await.status, 204);
        assert_eq!(server.call("GET", &format!("{path}/{id}"), None).await.summary(), "404 not_found");
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn says_what_is_wrong_with_a_sink() {
    let server = TestServer::start();
    let [(path, ..), (destinations, ..)] = owners(&server).await;
    let http = |config: Value| json!({ "type": "http", "config": config });
    for (body, summary) in [
        (json!({}), "422 body.type: This field is required."),
        (json!({ "type": "fifoEndpoint" }), "422 body.type: must be `poller` or `http`"),
        (
            json!({ "type": "amazonS3", "config": { "bucket": "b" } }),
            "422 body.type: `amazonS3` comes with the connectors, which are not there yet; there are `poller` and `http`",
        ),
        (json!({ "type": "http" }), "422 body.config: is required: its `url` says where batches are sent to"),
        (http(json!({})), "422 body.config: missing field `url`"),
        (http(json!({ "url": "ftp://x" })), "422 body.config.url: must begin with `https://` or `http://`, not with `ftp:`"),
        (json!({ "type": "poller", "batchSize": 0 }), "422 body.batchSize: must be between 1 and 1000"),
        (json!({ "type": "poller", "maxWaitSecs": 301 }), "422 body.maxWaitSecs: must be between 0 and 300"),
        (json!({ "type": "poller", "uid": "sink_a" }), "422 body.uid: must not begin with `sink_`, which ids begin with"),
    ] {
        assert_eq!(server.call("POST", &path, body).await.summary(), summary);
    }
    let answer = server.call("POST", &destinations, json!({ "type": "sqs" })).await.summary();
    assert!(answer.ends_with("there are `pollingEndpoint` and `fifoEndpoint`"), "{answer}");
    let id = server.call("POST", &path, json!({ "type": "poller" })).await.id();
    let answer = server.call("PATCH", &format!("{path}/{id}"), json!({ "type": "http" })).await;
    assert_eq!(answer.summary(), "422 body.type: is `poller` and cannot be changed to `http`");
    for (method, way, body) in [("GET", "secret", None), ("GET", "headers", None), ("PATCH", "headers", Some(json!({ "headers": {} })))] {
        assert_eq!(server.call(method, &format!("{path}/{id}/{way}"), body).await.summary(), "400 not_called");
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_called_has_headers_and_a_secret() {
    let server = TestServer::start();
    for (path, _, http) in owners(&server).await {
        let id = server.call("POST", &path, json!({ "type": http, "config": { "url": URL } })).await.id();
        let way = |way: &str| format!("{path}/{id}/{way}");
        let patched = server.call("PATCH", &way("headers"), json!({ "headers": { "X-A": "1", "x-b": "2" } })).await;
        assert_eq!(patched.json(), json!({ "headers": { "X-A": "1", "x-b": "2" }, "sensitive": [] }));
        server.call("PATCH", &way("headers"), json!({ "headers": { "x-a": null } })).await;
        assert_eq!(server.call("GET", &way("headers"), None).await.json()["headers"], json!({ "x-b": "2" }));
        let before = server.call("GET", &way("secret"), None).await.json();
        let rotated = server.call("POST", &way("secret/rotate"), json!({})).await;
        assert_eq!(rotated.status, 200);
        assert_ne!(rotated.json(), before);
        assert_eq!(server.call("GET", &way("secret"), None).await.json(), rotated.json());
        assert_eq!(server.call("GET", &way("transformation"), None).await.json(), json!({ "code": null, "enabled": false }));
        assert_eq!(server.call("PATCH", &way("transformation"), json!({ "code": null })).await.json(), json!({}));
        let code = json!({ "code": "function handler() {}" });
        assert_eq!(server.call("PATCH", &way("transformation"), code).await.summary(), "400 transformations_not_available");
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn old_clients_get_headers_as_they_can_read_them() {
    let server = TestServer::start();
    for (path, _, http) in owners(&server).await {
        let config = json!({ "url": URL, "headers": { "x-a": "1", "authorization": "secret" } });
        let id = server.call("POST", &path, json!({ "type": http, "config": config })).await.id();
        for (client, expected) in [
            ("svix-libs/1.99.1/python", json!({ "x-a": "1" })),
            ("svix-libs/2.9.1/python", json!({ "headers": { "x-a": "1" }, "sensitive": ["authorization"] })),
        ] {
            let mut request = server.request(&server.token, "GET", &format!("{path}/{id}"), "");
            request.headers_mut().insert("user-agent", client.parse().unwrap());
            assert_eq!(server.send(request).await.json()["config"]["headers"], expected, "{client}");
        }
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_is_sent_what_came_after_it_and_shows_how_it_went() {
    let server = TestServer::start();
    let stream = stream(&server, json!({})).await;
    put(&server, &stream, &["0"]).await;
    let path = format!("/stream/{stream}/sink");
    let id = server.call("POST", &path, json!({ "type": "http", "config": { "url": URL } })).await.id();
    let path = format!("{path}/{id}");
    assert_eq!(server.call("GET", &format!("{path}/last-acked-event"), None).await.summary(), "404 not_found");
    assert_eq!(server.call("GET", &format!("{path}/next-event"), None).await.summary(), "404 not_found", "the one before it is not for it");

    server.receiver.will_answer(500, "broken");
    put(&server, &stream, &["1", "2"]).await;
    server.settle().await;
    let failing = server.call("GET", &path, None).await.json();
    assert_eq!(failing["status"], "retrying", "{failing}");
    assert!(failing["failureReason"].is_string() && failing["nextRetryAt"].is_string(), "{failing}");
    let next = server.call("GET", &format!("{path}/next-event"), None).await.json();
    assert_eq!((&next["payload"], &next["eventType"]), (&json!("1"), &json!("order.made")));
    assert_eq!(server.call("POST", &format!("{path}/force-retry"), None).await.status, 204);
    server.settle().await;
    let healed = server.call("GET", &path, None).await.json();
    assert_eq!((&healed["status"], &healed["failureReason"]), (&json!("enabled"), &Value::Null));
    assert_ne!(healed["currentIterator"], failing["currentIterator"]);
    let last = server.call("GET", &format!("{path}/last-acked-event"), None).await.json();
    assert_eq!(last["payload"], "2");

    let attempts = server.call("GET", &format!("{path}/attempt"), None).await;
    assert_eq!(attempts.column("statusText"), ["success", "fail"], "{attempts:?}");
    let failed = attempts.json()["data"][1].clone();
    assert_eq!((&failed["numEvents"], &failed["responseStatusCode"], &failed["sinkId"]), (&json!(2), &json!(500), &json!(id)));
    let one = server.call("GET", &format!("{path}/attempt/{}", failed["id"].as_str().unwrap()), None).await;
    assert_eq!(one.json(), failed);
    assert_eq!(server.call("GET", &format!("{path}/attempt?status=2"), None).await.column("id"), [failed["id"].clone()]);
    let first = server.call("GET", &format!("{path}/attempt?limit=1"), None).await.json();
    assert_eq!(first["done"], false);
    let second = server.call("GET", &format!("{path}/attempt?limit=1&iterator={}", first["iterator"].as_str().unwrap()), None).await;
    assert_eq!((second.column("id"), &second.json()["done"]), (vec![failed["id"].clone()], &json!(true)));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_skipped_is_not_sent() {
    let server = TestServer::start();
    let app = server.app().await;
    let path = format!("/app/{app}/destination");
    let body = json!({ "type": "fifoEndpoint", "config": { "url": URL }, "batchSize": 1 });
    let id = server.call("POST", &path, body).await.id();
    let path = format!("{path}/{id}");
    server.receiver.will_answer(500, "broken");
    for total in 1..=3 {
        server.message(&app, json!({ "payload": { "total": total } })).await;
    }
    server.settle().await;
    assert_eq!(server.call("POST", &format!("{path}/skip"), None).await.status, 204);
    server.settle().await;
    assert_eq!(server.receiver.payloads(), [r#"{"total":1}"#, r#"{"total":2}"#, r#"{"total":3}"#], "the first is not tried again");
    let attempts = server.call("GET", &format!("{path}/attempt"), None).await;
    assert_eq!(attempts.column("statusText"), ["success", "success", "fail"]);
    assert_eq!(attempts.json()["data"][0]["destinationId"], json!(id));

    let foreign = server.call("POST", &format!("{path}/skip"), json!({ "iterator": "iter_0000000000000000000000" })).await;
    assert!(foreign.summary().starts_with("422 body.iterator: must be an iterator that was given here"), "{foreign:?}");
    assert_eq!(server.call("POST", &format!("{path}/skip"), None).await.summary(), "404 not_found", "there is nothing to skip");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sinks_go_with_their_owner() {
    let server = TestServer::start();
    let stream = stream(&server, json!({ "uid": "s" })).await;
    let app = server.app().await;
    for (owner, way, kind) in [(format!("/stream/{stream}"), "sink", "http"), (format!("/app/{app}"), "destination", "fifoEndpoint")] {
        let created = server.call("POST", &format!("{owner}/{way}"), json!({ "type": kind, "config": { "url": URL } })).await;
        let id: hookpost_domain::SinkId = server.api.store.public_ids().decode(&created.id()).unwrap();
        assert!(server.api.store.sink_progress(id, "").await.unwrap().after.is_some());
        let other = server.token_of(OTHER_ORG);
        let foreign = server.call_as(&other, "GET", &format!("{owner}/{way}/{}", created.id()), None).await;
        assert_eq!(foreign.summary(), "404 not_found");
        assert_eq!(server.call("DELETE", &owner, None).await.status, 204);
        server.after(Duration::from_secs(10)).await;
        assert!(server.api.store.sink_progress(id, "").await.unwrap().after.is_none(), "its progress is forgotten");
    }
    server.stop().await;
}
