mod again;
mod headers_and_secrets;
mod others;

use std::time::Duration;

use serde_json::{Value, json};

use crate::testing::{START, TestServer};

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

#[tokio::test(start_paused = true)]
async fn life_of_an_endpoint() {
    let server = TestServer::start();
    let app = server.app().await;
    server.event_type("invoice.paid", None).await;
    let all = json!({
        "url": "https://example.com/hook?a=b", "description": "ours", "uid": "ep.1", "version": 3, "disabled": true,
        "disabledBy": "user", "failingSince": null, "eventTypes": ["invoice.paid", "order.*", "invoice.paid"], "channels": ["a", "b:1"], "throttleRate": 7, "metadata": { "k": "v" },
        "headers": { "X-Shop": "7" }, "secret": SECRET, "ordered": true, "concurrency": 2, "retrySchedule": "1s,2s",
    });
    let created = server.call("POST", &format!("/app/{app}/endpoint"), all).await;
    assert_eq!(created.status, 201, "{created:?}");
    let id = created.id();
    let expected = json!({
        "id": id, "uid": "ep.1", "url": "https://example.com/hook?a=b", "description": "ours", "version": 3, "disabled": true,
        "disabledBy": "user", "failingSince": null, "eventTypes": ["invoice.paid", "order.*"], "filterTypes": ["invoice.paid", "order.*"], "channels": ["a", "b:1"],
        "throttleRate": 7, "rateLimit": 7, "metadata": { "k": "v" }, "ordered": true, "concurrency": 2, "retrySchedule": "1s,2s",
        "createdAt": START.to_string(), "updatedAt": START.to_string(),
    });
    assert_eq!(created.json(), expected);
    let path = format!("/app/{app}/endpoint/ep.1");
    assert_eq!(server.call("GET", &path, None).await.json(), expected);
    assert_eq!(server.call("GET", &format!("{path}/secret"), None).await.json(), json!({ "key": SECRET }));
    assert_eq!(server.call("GET", &format!("{path}/headers"), None).await.json()["headers"], json!({ "X-Shop": "7" }));

    // A PUT sets back what it does not name, but for what other clients cannot know.
    let put = server.call("PUT", &path, json!({ "url": "https://example.com/2", "uid": "ep.2", "secret": "ignored".repeat(9) })).await;
    assert_eq!(put.summary(), "422 body.secret: invalid prefix: a signing secret starts with `whsec_` or `whsk_`");
    let put = server.call("PUT", &path, json!({ "url": "https://example.com/2" })).await;
    assert_eq!(put.status, 200, "{put:?}");
    let expected = json!({
        "id": id, "uid": null, "url": "https://example.com/2", "description": "", "version": 1, "disabled": false,
        "disabledBy": null, "failingSince": null, "eventTypes": null, "filterTypes": null, "channels": null, "throttleRate": null, "rateLimit": null, "metadata": {},
        "ordered": true, "concurrency": 2, "retrySchedule": "1s,2s",
        "createdAt": START.to_string(), "updatedAt": START.to_string(),
    });
    assert_eq!(put.json(), expected);
    let path = format!("/app/{app}/endpoint/{id}");
    let put =
        server.call("PUT", &path, json!({ "url": "https://example.com/2", "ordered": null, "concurrency": null, "retrySchedule": null }));
    let put = put.await.json();
    assert_eq!([&put["ordered"], &put["concurrency"], &put["retrySchedule"]], [&json!(false), &Value::Null, &Value::Null]);
    assert_eq!(server.call("GET", &format!("{path}/secret"), None).await.json(), json!({ "key": SECRET }));

    // Of an endpoint that is not there it makes one, which does not take the name in the path.
    let made = server.call("PUT", &format!("/app/{app}/endpoint/no-such"), json!({ "url": "https://example.com/3" })).await;
    assert_eq!((made.status.as_u16(), &made.json()["uid"]), (201, &Value::Null));

    assert_eq!(server.call("DELETE", &path, None).await.status, 204);
    assert_eq!(server.call("GET", &path, None).await.summary(), "404 not_found");
    assert_eq!(server.call("DELETE", &path, None).await.summary(), "404 not_found");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_patch_changes_what_it_names() {
    let server = TestServer::start();
    let app = server.app().await;
    server.event_type("a.b", None).await;
    let fields =
        json!({ "uid": "x", "description": "d", "eventTypes": ["a.b"], "channels": ["c"], "rateLimit": 5, "metadata": { "k": "v" } });
    let id = server.endpoint(&app, fields).await;
    let path = format!("/app/{app}/endpoint/{id}");
    for (patch, field, expected) in [
        (json!({}), "description", json!("d")),
        (json!({ "description": null }), "description", json!("d")),
        (json!({ "description": "e" }), "description", json!("e")),
        (json!({ "url": "http://example.org" }), "url", json!("http://example.org")),
        (json!({ "uid": "y" }), "uid", json!("y")),
        (json!({ "uid": null }), "uid", Value::Null),
        (json!({ "version": 9 }), "version", json!(9)),
        (json!({ "disabled": true }), "disabled", json!(true)),
        (json!({ "disabled": false }), "disabled", json!(false)),
        (json!({ "filterTypes": null }), "eventTypes", Value::Null),
        (json!({ "filterTypes": ["a.b"] }), "eventTypes", json!(["a.b"])),
        (json!({ "eventTypes": null }), "filterTypes", Value::Null),
        (json!({ "channels": null }), "channels", Value::Null),
        (json!({ "rateLimit": 6 }), "throttleRate", json!(6)),
        (json!({ "throttleRate": null }), "rateLimit", Value::Null),
        (json!({ "metadata": { "l": "w" } }), "metadata", json!({ "l": "w" })),
        (json!({ "ordered": true }), "ordered", json!(true)),
        (json!({ "concurrency": 3 }), "concurrency", json!(3)),
        (json!({ "retrySchedule": [5, 0.5] }), "retrySchedule", json!("5s,500ms")),
        (json!({ "retrySchedule": null }), "retrySchedule", Value::Null),
    ] {
        let answer = server.call("PATCH", &path, patch.clone()).await;
        assert_eq!((answer.status.as_u16(), &answer.json()[field]), (200, &expected), "{patch}");
    }
    server.call("PATCH", &path, json!({ "secret": SECRET })).await;
    assert_eq!(server.call("GET", &format!("{path}/secret"), None).await.json(), json!({ "key": SECRET }));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn says_what_is_wrong_with_an_endpoint() {
    let server = TestServer::start();
    let app = server.app().await;
    let cases = [
        (json!({}), "422 body.url: This field is required."),
        (json!({ "url": 7 }), "422 body.url: must be a string, not integer `7`"),
        (json!({ "url": "" }), "422 body.url: must be 1 to 65536 characters long"),
        (json!({ "url": "nowhere" }), "422 body.url: must be a URL such as `https://example.com/webhooks`: relative URL without a base"),
        (json!({ "url": "ftp://example.com" }), "422 body.url: must begin with `https://` or `http://`, not with `ftp:`"),
        (json!({ "url": "file:///etc/passwd" }), "422 body.url: must begin with `https://` or `http://`, not with `file:`"),
        (json!({ "uid": "ep_1" }), "422 body.uid: must not begin with `ep_`, which ids begin with"),
        (json!({ "version": 0 }), "422 body.version: must be at least 1"),
        (json!({ "eventTypes": ["zzz", "yyy", "order.*"] }), "422 body.eventTypes: The following event types don't exist: zzz, yyy"),
        (json!({ "filterTypes": ["zzz"] }), "422 body.filterTypes: The following event types don't exist: zzz"),
        (json!({ "eventTypes": [] }), "422 body.eventTypes: must not be empty; leave it out, or give null, for all event types"),
        (json!({ "eventTypes": ["a b"] }), "422 body.eventTypes.0: has the character ' '; allowed are letters, digits and `-` `_` `.`"),
        (json!({ "channels": [] }), "422 body.channels: must be 1 to 10 channels; leave it out, or give null, for messages of any"),
        (json!({ "channels": ["a", ""] }), "422 body.channels.1: must be 1 to 128 characters long"),
        (json!({ "throttleRate": 0 }), "422 body.throttleRate: must be at least 1"),
        (json!({ "rateLimit": 0 }), "422 body.rateLimit: must be at least 1"),
        (json!({ "concurrency": 0 }), "422 body.concurrency: must be between 1 and 512"),
        (json!({ "retrySchedule": "8d" }), "422 body.retrySchedule: takes longer than 7 days in all"),
        (json!({ "secret": "c2VjcmV0" }), "422 body.secret: invalid prefix: a signing secret starts with `whsec_` or `whsk_`"),
        (json!({ "metadata": { "k": "v".repeat(4096) } }), "422 body.metadata: must not be larger than 4096 bytes in total"),
        (
            json!({ "headers": { "svix-id": "x" } }),
            "422 body.headers: has the header `svix-id`; names that start with `svix-` cannot be set by an endpoint",
        ),
        (json!({ "headers": { "X-A": "1", "x-a": "2" } }), "422 body.headers: has the header `x-a` twice"),
        (
            json!({ "uid": "a b", "throttleRate": 0, "version": 0 }),
            "422 body.uid: has the character ' '; allowed are letters, digits and `-` `_` `.`; body.version: must be at least 1; \
             body.throttleRate: must be at least 1",
        ),
    ];
    for (fields, expected) in cases {
        let mut body = fields.clone();
        if fields != json!({}) && fields.get("url").is_none() {
            body["url"] = json!("https://example.com");
        }
        let answer = server.call("POST", &format!("/app/{app}/endpoint"), body).await;
        assert_eq!(answer.summary().split(" at line").next(), Some(expected), "{fields}");
    }
    let first = server.endpoint(&app, json!({ "uid": "taken" })).await;
    let twice = server.call("POST", &format!("/app/{app}/endpoint"), json!({ "url": "https://example.com", "uid": "taken" })).await;
    assert_eq!(twice.summary(), "409 conflict");
    let other = server.endpoint(&app, json!({})).await;
    let path = format!("/app/{app}/endpoint/{other}");
    assert_eq!(server.call("PATCH", &path, json!({ "uid": "taken" })).await.summary(), "409 conflict");
    assert_eq!(server.call("PATCH", &path, json!({ "url": "x" })).await.status, 422);
    assert_ne!(first, other);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn https_is_required_where_the_server_says_so() {
    let server = TestServer::with_settings(|settings| settings.https_only = true);
    let app = server.app().await;
    let path = format!("/app/{app}/endpoint");
    let refused = server.call("POST", &path, json!({ "url": "http://example.com" })).await;
    assert_eq!(
        refused.summary(),
        "422 body.url: must begin with `https://`: this server sends nothing in the clear (`HOOKPOST_HTTPS_ONLY`)"
    );
    server.endpoint(&app, json!({})).await;
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn forbidden_addresses_are_refused_where_they_can_be_seen() {
    let server = TestServer::start();
    let app = server.app().await;
    let path = format!("/app/{app}/endpoint");
    let create = async |server: &TestServer, path: &str, url: &str| server.call("POST", path, json!({ "url": url })).await.summary();
    let private = |address: &str, what: &str| {
        format!("422 body.url: leads to {address}, {what}, which this server does not deliver to (`HOOKPOST_ALLOW_PRIVATE_NETWORKS`)")
    };
    for (url, expected) in [
        ("http://127.1:8080/x", private("127.0.0.1", "a loopback address")),
        ("http://2130706433/", private("127.0.0.1", "a loopback address")),
        ("http://[::1]/", private("::1", "a loopback address")),
        ("http://[::ffff:10.0.0.1]/", private("::ffff:10.0.0.1", "a private address")),
        ("http://169.254.169.254/latest", private("169.254.169.254", "a link-local address")),
        (
            "http://224.0.0.1/",
            "422 body.url: leads to 224.0.0.1, a multicast address, which this server does not deliver to (`HOOKPOST_ALLOWED_SUBNETS`)"
                .to_owned(),
        ),
        ("http://localhost/", "201".to_owned()),
        ("http://1.1.1.1/", "201".to_owned()),
    ] {
        assert_eq!(create(&server, &path, url).await, expected, "{url}");
    }
    server.stop().await;
    let server = TestServer::with_settings(|settings| settings.addresses.allow_private_networks = true);
    let path = format!("/app/{}/endpoint", server.app().await);
    assert_eq!(create(&server, &path, "http://127.0.0.1:1/").await, "201");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn lists_go_both_ways() {
    let server = TestServer::start();
    let app = server.app().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(json!(server.endpoint(&app, json!({})).await));
    }
    let path = format!("/app/{app}/endpoint");
    assert_eq!(server.call("GET", &format!("{path}?order=ascending"), None).await.column("id"), made);
    made.reverse();
    let first = server.call("GET", &format!("{path}?limit=3"), None).await;
    assert_eq!((first.column("id").as_slice(), &first.json()["done"]), (&made[..3], &json!(false)));
    let next = first.json()["iterator"].as_str().unwrap().to_owned();
    let second = server.call("GET", &format!("{path}?limit=3&iterator={next}"), None).await;
    assert_eq!((second.column("id").as_slice(), &second.json()["done"]), (&made[3..], &json!(true)));
    let back = second.json()["prevIterator"].as_str().unwrap().to_owned();
    let again = server.call("GET", &format!("{path}?limit=3&iterator={back}"), None).await;
    assert_eq!((again.column("id").as_slice(), &again.json()["done"]), (&made[..3], &json!(true)));
    let empty = server.call("GET", &format!("/app/{}/endpoint", server.app().await), None).await;
    assert_eq!(empty.json(), json!({ "data": [], "iterator": null, "done": true }));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn examples_come_from_the_schema() {
    let server = TestServer::start();
    let app = server.app().await;
    let schemas = json!({ "2": { "examples": [{ "v": 2 }] }, "1": { "examples": [{ "v": 1 }, { "v": 1.5 }, 7] } });
    server.event_type("with.examples", Some(schemas)).await;
    server.event_type("without", Some(json!({ "1": {} }))).await;
    server.event_type("bare", None).await;
    // Whatever the endpoint subscribes to.
    let id = server.endpoint(&app, json!({ "eventTypes": ["bare"], "channels": ["none"] })).await;
    let path = format!("/app/{app}/endpoint/{id}/send-example");
    for (body, expected) in [
        (json!({ "eventType": "svix.ping" }), Ok(r#"{"success":true}"#)),
        (json!({ "eventType": "with.examples" }), Ok(r#"{"v":1}"#)),
        (json!({ "eventType": "with.examples", "exampleIndex": 1 }), Ok(r#"{"v":1.5}"#)),
        (json!({ "eventType": "with.examples", "exampleIndex": 2 }), Err("400 invalid_scheme")),
        (json!({ "eventType": "with.examples", "exampleIndex": 9 }), Err("400 invalid_scheme")),
        (json!({ "eventType": "without" }), Err("400 invalid_scheme")),
        (json!({ "eventType": "bare" }), Err("400 invalid_scheme")),
        (json!({ "eventType": "unknown" }), Err("404 not_found")),
        (json!({ "eventType": "a b" }), Err("422 body.eventType: has the character ' '; allowed are letters, digits and `-` `_` `.`")),
    ] {
        server.receiver.requests.lock().clear();
        let answer = server.call("POST", &path, body.clone()).await;
        server.settle().await;
        match expected {
            Ok(payload) => {
                assert_eq!((answer.status.as_u16(), &answer.json()["payload"]), (202, &json!({})), "{body}");
                assert_eq!(server.receiver.payloads(), [payload], "{body}");
            }
            Err(summary) => assert_eq!(answer.summary(), summary, "{body}"),
        }
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_tenant_hears_of_changes() {
    let server = TestServer::start();
    let management = server.token_of(hookpost_domain::OrgId::MANAGEMENT);
    let body = json!({ "name": "ours", "uid": hookpost_domain::OrgId::DEFAULT });
    let own = server.call_as(&management, "POST", "/app", body).await.id();
    let body = json!({ "url": "https://example.com/ops", "eventTypes": ["endpoint.created", "endpoint.*"] });
    assert_eq!(server.call_as(&management, "POST", &format!("/app/{own}/endpoint"), body).await.status, 201);

    let app = server.app().await;
    let id = server.endpoint(&app, json!({ "uid": "e" })).await;
    let path = format!("/app/{app}/endpoint/{id}");
    let steps: [(&str, &str, Value, &[&str]); 6] = [
        ("PATCH", "", json!({ "disabled": true }), &["endpoint.updated", "endpoint.disabled"]),
        ("PATCH", "", json!({ "description": "x" }), &["endpoint.updated"]),
        ("PUT", "", json!({ "url": "https://example.com", "uid": "e" }), &["endpoint.updated", "endpoint.enabled"]),
        ("PUT", "/headers", json!({ "headers": {} }), &["endpoint.updated"]),
        ("POST", "/secret/rotate", json!({}), &["endpoint.updated"]),
        ("DELETE", "", Value::Null, &["endpoint.deleted"]),
    ];
    server.settle().await;
    let told = || -> Vec<Value> { server.receiver.payloads().iter().map(|payload| serde_json::from_str(payload).unwrap()).collect() };
    let data = json!({ "appId": app, "appUid": null, "endpointId": id, "endpointUid": "e" });
    assert_eq!(told(), [json!({ "type": "endpoint.created", "data": data })]);
    for (method, below, body, expected) in steps {
        server.receiver.requests.lock().clear();
        let answer = server.call(method, &format!("{path}{below}"), body).await;
        assert!(answer.status.is_success(), "{answer:?}");
        server.settle().await;
        let types: Vec<Value> = told().iter().map(|event| event["type"].clone()).collect();
        assert_eq!(types, expected, "{method} {below}");
        assert!(told().iter().all(|event| event["data"]["endpointId"] == json!(id)));
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_says_whether_it_is_held_back() {
    let server = TestServer::start();
    let app = server.app().await;
    let id = server.endpoint(&app, json!({ "throttleRate": 1 })).await;
    let path = format!("/app/{app}/endpoint/{id}/rate-limit-status");
    let expected = json!({ "status": "Ok", "throttledSince": null, "throttledUntil": null });
    assert_eq!(server.call("GET", &path, None).await.json(), expected);
    for _ in 0..5 {
        server.message(&app, json!({})).await;
    }
    server.after(Duration::from_millis(1_500)).await;
    let held = server.call("GET", &path, None).await.json();
    assert_eq!(held["status"], "RateLimited");
    assert!(held["throttledUntil"].is_string());
    let stats = server.call("GET", &format!("/app/{app}/endpoint/{id}/attempt-stats"), None).await.json();
    assert!(stats["success"].as_u64().unwrap() >= 1, "{stats}");
    assert_eq!((&stats["fail"], &stats["canceled"]), (&json!(0), &json!(0)));
    server.stop().await;
}
