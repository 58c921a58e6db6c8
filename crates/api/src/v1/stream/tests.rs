use std::time::Duration;

use bytes::Bytes;
use hookpost_domain::id::StreamKind;
use hookpost_domain::{EventTypeName, OrgId, RowId, Stream};
use hookpost_store::{Named, Order, PageRequest};

use serde_json::{Value, json};

use super::event;
use crate::idempotency::{self, HEADER};
use crate::testing::{Answer, OTHER_ORG, START, TestServer};

pub(crate) async fn stream(server: &TestServer, fields: Value) -> String {
    let mut body = json!({ "name": "Orders" });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let answer = server.call("POST", "/stream", body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.id()
}

/// Puts events into a stream whose payloads are these.
pub(crate) async fn put(server: &TestServer, stream: &str, payloads: &[&str]) -> Answer {
    let events: Vec<Value> = payloads.iter().map(|payload| json!({ "eventType": "order.made", "payload": payload })).collect();
    let answer = server.call("POST", &format!("/stream/{stream}/events"), json!({ "events": events })).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (202, json!({})), "{answer:?}");
    answer
}

/// The applications of the management tenant: the logs.
async fn logs(server: &TestServer) -> usize {
    let page = PageRequest::first(250, Order::Ascending);
    server.api.store.applications(&OrgId::management(), page).await.unwrap().items.len()
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_made_changed_and_deleted() {
    let server = TestServer::start();
    let id = stream(&server, json!({ "uid": "orders", "metadata": { "a": "b" } })).await;
    assert_eq!((id.len(), logs(&server).await), (27, 1));
    let expected = json!({
        "id": id, "uid": "orders", "name": "Orders", "metadata": { "a": "b" }, "createdAt": START.to_string(), "updatedAt": START.to_string(),
    });
    for name in [id.as_str(), "orders"] {
        assert_eq!(server.call("GET", &format!("/stream/{name}"), None).await.json(), expected);
    }
    assert_eq!(server.call("GET", "/stream", None).await.column("id"), [json!(id)]);

    let patched = server.call("PATCH", "/stream/orders", json!({ "description": "All orders", "uid": null })).await;
    assert_eq!((&patched.json()["name"], &patched.json()["uid"]), (&json!("All orders"), &Value::Null));
    let replaced = server.call("PUT", &format!("/stream/{id}"), json!({ "name": "Again", "uid": "again" })).await;
    assert_eq!((replaced.status.as_u16(), &replaced.json()["metadata"]), (200, &json!({})));
    let other = server.call("PUT", "/stream/more", json!({ "name": "More", "uid": "more" })).await;
    assert_eq!((other.status.as_u16(), logs(&server).await), (201, 2));

    assert_eq!(server.call("POST", "/stream", json!({ "name": "x", "uid": "again" })).await.summary(), "409 conflict");
    assert_eq!(logs(&server).await, 2, "what was not made leaves nothing");
    put(&server, "again", &["1"]).await;
    assert_eq!(server.call("DELETE", "/stream/again", None).await.status, 204);
    assert_eq!(logs(&server).await, 1);
    assert_eq!(server.call("GET", &format!("/stream/{id}"), None).await.summary(), "404 not_found");
    assert_eq!(server.call("DELETE", "/stream/again", None).await.summary(), "404 not_found");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn says_what_is_wrong_with_a_stream() {
    let server = TestServer::start();
    for (body, summary) in [
        (json!({}), "422 body.name: This field is required."),
        (json!({ "name": "" }), "422 body.name: must not be empty"),
        (json!({ "name": "a", "uid": "strm_1" }), "422 body.uid: must not begin with `strm_`, which ids begin with"),
        (json!({ "name": "a", "uid": "a.b" }), "422 body.uid: has the character '.'; allowed are letters, digits and `-` `_`"),
        (json!({ "name": "a", "uid": "a".repeat(61) }), "422 body.uid: must be 1 to 60 characters long"),
    ] {
        assert_eq!(server.call("POST", "/stream", body).await.summary(), summary);
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn another_tenant_sees_nothing_of_it() {
    let server = TestServer::start();
    let id = stream(&server, json!({ "uid": "orders" })).await;
    let other = server.token_of(OTHER_ORG);
    for (method, path) in [("GET", ""), ("DELETE", ""), ("GET", "/events/latest"), ("GET", "/sink"), ("POST", "/sink")] {
        for name in [id.as_str(), "orders"] {
            let body = (method == "POST").then(|| json!({ "type": "poller" }));
            assert_eq!(server.call_as(&other, method, &format!("/stream/{name}{path}"), body).await.summary(), "404 not_found");
        }
    }
    assert!(server.call_as(&other, "GET", "/stream", None).await.column("id").is_empty());
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn events_are_kept_in_their_order_as_they_were_given() {
    let server = TestServer::start();
    let id = stream(&server, json!({})).await;
    put(&server, &id, &["1", "{\"b\": 2.50}", ""]).await;
    put(&server, &id, &["no JSON é"]).await;
    let latest = server.call("GET", &format!("/stream/{id}/events/latest"), None).await;
    assert_eq!(latest.column("payload"), ["no JSON é", "", "{\"b\": 2.50}", "1"]);
    assert_eq!(latest.json()["data"][0], json!({ "eventType": "order.made", "payload": "no JSON é", "timestamp": START.to_string() }));
    assert_eq!(server.call("GET", &format!("/stream/{id}/events/latest?limit=1"), None).await.column("payload"), ["no JSON é"]);
    let wrong = server.call("GET", &format!("/stream/{id}/events/latest?limit=51"), None).await;
    assert_eq!(wrong.summary(), "422 query.limit: must be between 1 and 50");

    let many: Vec<Value> = (0..1001).map(|_| json!({ "eventType": "a", "payload": "" })).collect();
    let answer = server.call("POST", &format!("/stream/{id}/events"), json!({ "events": many })).await;
    assert_eq!(answer.summary(), "422 body.events: has 1001 items; at most 1000 are allowed");
    let broken = json!({ "events": [{ "eventType": "a", "payload": "1" }, { "eventType": "a b", "payload": "2" }] });
    let answer = server.call("POST", &format!("/stream/{id}/events"), broken).await;
    assert!(answer.summary().starts_with("422 body.events.1.eventType: has the character ' '"), "{answer:?}");
    assert_eq!(server.call("GET", &format!("/stream/{id}/events/latest"), None).await.column("payload").len(), 4, "all or nothing");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_events_keep_their_order() {
    let server = TestServer::start();
    let id = stream(&server, json!({})).await;
    assert_eq!(server.call("POST", &format!("/stream/{id}/sink"), json!({ "type": "poller", "uid": "p" })).await.status, 201);
    let payloads: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    put(&server, &id, &payloads.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut read = Vec::new();
    let mut iterator = String::new();
    while read.len() < 1000 {
        let page = server.call("GET", &format!("/stream/{id}/sink/p/events?limit=250{iterator}"), None).await;
        iterator = format!("&iterator={}", page.json()["iterator"].as_str().unwrap());
        read.extend(page.column("payload"));
    }
    assert_eq!(read, payloads);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_log_of_a_stream_is_changed_by_nobody_else() {
    let server = TestServer::start();
    let id = stream(&server, json!({})).await;
    let management = server.token_of(OrgId::MANAGEMENT);
    let log = server.call_as(&management, "GET", "/app", None).await.column("id")[0].as_str().unwrap().to_owned();
    let body = json!({ "name": "x", "eventType": "a", "payload": {} });
    for (method, path) in [("DELETE", ""), ("PUT", ""), ("PATCH", ""), ("POST", "/msg")] {
        let answer = server.call_as(&management, method, &format!("/app/{log}{path}"), body.clone()).await;
        assert_eq!(answer.summary(), "409 conflict", "{method}");
    }
    let own = server.call_as(&management, "POST", "/app", json!({ "name": "Events of a stream of mine" })).await.id();
    assert_eq!(server.call_as(&management, "DELETE", &format!("/app/{own}"), None).await.status, 204);
    put(&server, &id, &["1"]).await;
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_broke_in_the_middle_is_completed_by_its_repetition() {
    let server = TestServer::start();
    let id = stream(&server, json!({})).await;
    let send = |payloads: Vec<&'static str>| {
        let events: Vec<Value> = payloads.iter().map(|payload| json!({ "eventType": "a", "payload": payload })).collect();
        let body = json!({ "events": events }).to_string();
        let mut request = server.request(&server.token, "POST", &format!("/stream/{id}/events"), body);
        request.headers_mut().insert(HEADER, "once".parse().unwrap());
        request
    };
    let answer = server.send(send(vec!["1", "2", "3"])).await;
    assert_eq!(answer.status, 202);
    let payloads = || async { server.call("GET", &format!("/stream/{id}/events/latest"), None).await.column("payload") };
    assert_eq!(server.send(send(vec!["1", "2", "3"])).await.status, 202);
    assert_eq!(payloads().await, ["3", "2", "1"]);

    // As after a crash in the middle: no answer was kept, and the key of the first two is known.
    let key = idempotency::key_of(send(vec![]).headers(), "/a").unwrap().unwrap();
    let org = OrgId::parse(OrgId::DEFAULT).unwrap();
    let found = server.api.store.find::<Stream>(&org, RowId::MIN, Named::parse::<StreamKind>(server.api.store.public_ids(), &id));
    let stream = found.await.unwrap().unwrap();
    let events = |payloads: &[&'static str]| {
        let name = EventTypeName::parse("a").unwrap();
        payloads.iter().map(|payload| (name.clone(), Bytes::from_static(payload.as_bytes()))).collect()
    };
    event::accept(&server.api, &stream, events(&["4", "5"]), Some(key)).await.unwrap();
    event::accept(&server.api, &stream, events(&["4", "5", "6"]), Some(key)).await.unwrap();
    assert_eq!(payloads().await, ["6", "5", "4", "3", "2", "1"]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn events_may_bring_their_stream_along() {
    let server = TestServer::start();
    let body = |uid: &str| json!({ "events": [{ "eventType": "a", "payload": "1" }], "stream": { "name": "New", "uid": uid } });
    let answer = server.call("POST", "/stream/new/events", body("other")).await;
    assert_eq!(answer.summary(), "422 body.stream.uid: must be the uid in the path, where the stream is to be created");
    for _ in 0..2 {
        assert_eq!(server.call("POST", "/stream/new/events", body("new")).await.status, 202);
    }
    assert_eq!(server.call("GET", "/stream/new/events/latest", None).await.column("payload"), ["1", "1"]);
    let answer = server.call("POST", "/stream/none/events", json!({ "events": [] })).await;
    assert_eq!(answer.summary(), "404 not_found");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn event_types_of_streams_are_a_catalogue_of_their_own() {
    let server = TestServer::start();
    let path = "/stream/event-type";
    for name in ["b.made", "a.made", "c.made"] {
        assert_eq!(server.call("POST", path, json!({ "name": name, "featureFlags": ["beta"] })).await.status, 201);
    }
    assert_eq!(server.call("POST", path, json!({ "name": "a.made" })).await.summary(), "409 event_type_exists");
    assert!(server.call("GET", "/event-type", None).await.column("name").is_empty());
    let first = server.call("GET", &format!("{path}?limit=2"), None).await;
    assert_eq!((first.column("name"), &first.json()["done"]), (vec![json!("a.made"), json!("b.made")], &json!(false)));
    let rest = server.call("GET", &format!("{path}?iterator={}", first.json()["iterator"].as_str().unwrap()), None).await;
    assert_eq!(rest.column("name"), ["c.made"]);
    assert_eq!(server.call("GET", &format!("{path}?order=descending&limit=1"), None).await.column("name"), ["c.made"]);

    assert_eq!(server.call("PATCH", &format!("{path}/a.made"), json!({ "description": "A", "deprecated": true })).await.status, 200);
    assert_eq!(server.call("DELETE", &format!("{path}/a.made"), None).await.status, 204);
    assert_eq!(server.call("GET", path, None).await.column("name"), ["b.made", "c.made"]);
    let archived = server.call("GET", &format!("{path}/a.made"), None).await.json();
    assert_eq!((&archived["archived"], &archived["deprecated"], &archived["featureFlags"]), (&json!(true), &json!(true), &json!(["beta"])));
    assert_eq!(server.call("POST", path, json!({ "name": "a.made" })).await.status, 201, "brought back");
    assert_eq!(server.call("PUT", &format!("{path}/d.made"), json!({ "name": "d.made" })).await.status, 201);
    assert_eq!(server.call("PUT", &format!("{path}/d.made"), json!({ "name": "e.made" })).await.status, 200);
    assert_eq!(server.call("DELETE", &format!("{path}/e.made?expunge=true"), None).await.status, 204);
    assert_eq!(server.call("GET", &format!("{path}/e.made"), None).await.summary(), "404 not_found");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_past_its_retention_is_shown_empty() {
    let server = TestServer::with_settings(|settings| settings.payload_retention = Duration::from_secs(60));
    let id = stream(&server, json!({})).await;
    put(&server, &id, &["1"]).await;
    server.after(Duration::from_secs(61)).await;
    assert_eq!(server.call("GET", &format!("/stream/{id}/events/latest"), None).await.column("payload"), [""]);
    server.stop().await;
}
