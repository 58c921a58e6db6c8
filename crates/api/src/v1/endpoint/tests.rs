use std::time::Duration;

use serde_json::{Value, json};

use crate::testing::{OTHER_ORG, START, TestServer};

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
async fn headers_are_set_changed_and_withheld() {
    let server = TestServer::start();
    let app = server.app().await;
    let id = server.endpoint(&app, json!({})).await;
    let path = format!("/app/{app}/endpoint/{id}/headers");
    let steps = [
        ("PUT", json!({ "headers": { "X-A": "1", "X-B": "2", "Authorization": "Bearer s" } }), "204", json!({ "X-A": "1", "X-B": "2" })),
        ("PATCH", json!({ "headers": { "x-a": "3", "X-C": "4" } }), "204", json!({ "x-a": "3", "X-B": "2", "X-C": "4" })),
        ("PATCH", json!({ "headers": { "X-B": null }, "deleteHeaders": ["x-c"] }), "204", json!({ "x-a": "3" })),
        (
            "PATCH",
            json!({ "headers": { "Host": "x" } }),
            "422 body.headers: has the header `Host`, which cannot be set by an endpoint",
            json!({ "x-a": "3" }),
        ),
        ("PUT", json!({}), "422 body.headers: This field is required.", json!({ "x-a": "3" })),
    ];
    for (method, body, summary, headers) in steps {
        let answer = server.call(method, &path, body.clone()).await;
        assert_eq!(answer.summary(), summary, "{body}");
        assert_eq!(server.call("GET", &path, None).await.json(), json!({ "headers": headers, "sensitive": ["Authorization"] }), "{body}");
    }
    let many: serde_json::Map<String, Value> = (0..50).map(|number| (format!("X-{number}"), json!("v"))).collect();
    let refused = server.call("PATCH", &path, json!({ "headers": many })).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    let gone = server.call("PUT", &path, json!({ "headers": {} })).await;
    assert_eq!(gone.status, 204);
    assert_eq!(server.call("GET", &path, None).await.json(), json!({ "headers": {}, "sensitive": [] }));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn secrets_rotate() {
    let server = TestServer::start();
    let app = server.app().await;
    let id = server.endpoint(&app, json!({ "secret": SECRET })).await;
    let path = format!("/app/{app}/endpoint/{id}/secret");
    let new = "whsec_FxYVFBMSERAPDg0MCwoJCAcGBQQDAgEA";
    let rotate = format!("{path}/rotate");
    for (body, expected) in [
        (json!({ "key": "x" }), "422 body.key: invalid prefix: a signing secret starts with `whsec_` or `whsk_`"),
        (json!({ "gracePeriodSeconds": 604_801 }), "422 body.gracePeriodSeconds: Duration must be between 0 and 7 days"),
        (json!({ "key": new, "gracePeriodSeconds": 604_800 }), "204"),
    ] {
        assert_eq!(server.call("POST", &rotate, body).await.summary(), expected);
    }
    assert_eq!(server.call("GET", &path, None).await.json(), json!({ "key": new }));

    let mut request = server.request(&server.token, "POST", &rotate, "");
    request.headers_mut().insert("user-agent", "svix-libs/2.7.0/python".parse().unwrap());
    let answer = server.send(request).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json(), server.call("GET", &path, None).await.json());
    assert_ne!(answer.json(), json!({ "key": new }));

    for _ in 0..8 {
        assert_eq!(server.call("POST", &rotate, json!({})).await.status, 204);
    }
    assert_eq!(server.call("POST", &rotate, None).await.summary(), "400 limit_reached");

    // A delivery is signed by all of them; the private half of an ed25519 secret is never shown.
    server.message(&app, json!({})).await;
    server.settle().await;
    let signatures = server.receiver.requests.lock()[0].headers["webhook-signature"].to_str().unwrap().split(' ').count();
    assert_eq!(signatures, 11);
    let keys = TestServer::with_settings(|settings| settings.default_signature = hookpost_domain::secret::SignatureKind::Ed25519);
    let app = keys.app().await;
    let id = keys.endpoint(&app, json!({})).await;
    let key = keys.call("GET", &format!("/app/{app}/endpoint/{id}/secret"), None).await.json()["key"].clone();
    assert!(key.as_str().unwrap().starts_with("whpk_"), "{key}");
    keys.stop().await;
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn tasks_start_with_a_checked_window() {
    let server = TestServer::start();
    let app = server.app().await;
    let id = server.endpoint(&app, json!({ "uid": "e" })).await;
    let ago = |hours: u64| (START - Duration::from_secs(hours * 3600)).to_string();
    let cases = [
        ("recover", json!({ "since": ago(1) }), "202"),
        ("recover", json!({ "since": ago(13 * 24), "until": ago(1) }), "202"),
        ("recover", json!({ "since": ago(15 * 24) }), "422 body.since: must not be more than 14 days ago"),
        ("recover", json!({ "since": ago(1), "until": ago(2) }), "422 body.since: must not be after `until`"),
        ("recover", json!({ "since": "today" }), "422 body.since: must be a time such as `2026-01-02T03:04:05Z`"),
        ("recover", json!({}), "422 body.since: This field is required."),
        ("replay-missing", json!({ "since": ago(1000) }), "202"),
        ("replay-missing", json!({ "since": ago(1), "until": "x" }), "422 body.until: must be a time such as `2026-01-02T03:04:05Z`"),
        (
            "bulk-replay",
            json!({ "since": ago(1), "eventTypes": ["a"], "channel": "c", "tag": "t", "status": 2, "statusCodeClass": 500 }),
            "202",
        ),
        (
            "bulk-replay",
            json!({ "since": ago(1), "status": 5, "statusCodeClass": 404 }),
            "422 body.status: must be 0 (success), 1 (pending), 2 (fail), 3 (sending) or 4 (canceled); body.statusCodeClass: must be 0 (no answer), \
             100, 200, 300, 400 or 500",
        ),
        ("cancel-msgs", json!({ "createdBefore": ago(0) }), "204"),
        ("cancel-msgs", json!({ "createdBefore": 7 }), "422 body.createdBefore: must be a string, not integer `7`"),
    ];
    for (operation, body, expected) in cases {
        let answer = server.call("POST", &format!("/app/{app}/endpoint/{id}/{operation}"), body.clone()).await;
        let summary = answer.summary();
        assert_eq!(summary.split(" at line").next().unwrap(), expected, "{operation} {body}");
        if answer.status == 202 {
            let task = answer.json();
            assert_eq!((&task["status"], task["id"].as_str().unwrap().len()), (&json!("running"), 33), "{task}");
        }
    }
    let path = format!("/app/{app}/endpoint/e");
    server.call("PATCH", &path, json!({ "disabled": true })).await;
    for operation in ["recover", "replay-missing", "bulk-replay"] {
        let answer = server.call("POST", &format!("{path}/{operation}"), json!({ "since": ago(1) })).await;
        assert_eq!(answer.summary(), "400 endpoint_disabled");
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn recovery_and_replays_send_what_they_promise() {
    let server = TestServer::start();
    let app = server.app().await;
    let since = json!({ "since": START.to_string() });
    server.message(&app, json!({ "payload": { "n": 1 } })).await;
    let id = server.endpoint(&app, json!({ "retrySchedule": "none" })).await;
    let path = format!("/app/{app}/endpoint/{id}");
    server.receiver.will_answer(500, "no");
    server.message(&app, json!({ "payload": { "n": 2 } })).await;
    server.settle().await;
    for (operation, arrived) in [("recover", vec![2]), ("recover", vec![]), ("replay-missing", vec![1]), ("bulk-replay", vec![1, 2])] {
        server.receiver.requests.lock().clear();
        assert_eq!(server.call("POST", &format!("{path}/{operation}"), since.clone()).await.status, 202);
        server.after(Duration::from_secs(60)).await;
        let mut payloads = server.receiver.payloads();
        payloads.sort();
        assert_eq!(payloads, arrived.iter().map(|n| format!(r#"{{"n":{n}}}"#)).collect::<Vec<_>>(), "{operation}");
    }
    let stats = server.call("GET", &format!("{path}/stats"), None).await.json();
    assert_eq!(stats, json!({ "success": 2, "pending": 0, "sending": 0, "fail": 0, "canceled": 0 }));
    let earlier = format!("{path}/stats?until={}", (START - Duration::from_secs(3600)));
    assert_eq!(server.call("GET", &earlier, None).await.json()["success"], 0);
    let backwards = format!("{path}/stats?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z");
    assert_eq!(server.call("GET", &backwards, None).await.summary(), "422 query.since: must not be after `until`");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn canceling_ends_what_waits() {
    let server = TestServer::start();
    let app = server.app().await;
    let id = server.endpoint(&app, json!({})).await;
    server.receiver.will_answer(500, "no");
    let message = server.message(&app, json!({})).await;
    server.settle().await;
    let path = format!("/app/{app}/endpoint/{id}/cancel-msgs");
    server.call("POST", &path, json!({ "createdBefore": (START + Duration::from_secs(60)).to_string() })).await;
    server.after(Duration::from_secs(3600)).await;
    assert_eq!(server.receiver.payloads().len(), 1);
    let shown = |expanded: &'static str| format!("/app/{app}/msg/{message}/endpoint{expanded}");
    assert_eq!(server.call("GET", &shown("?expanded_statuses=true"), None).await.column("status"), [4]);
    assert_eq!(server.call("GET", &shown(""), None).await.column("statusText"), ["fail"]);
    let why = server.call("GET", &format!("/app/{app}/msg/{message}/endpoint/{id}/why"), None).await.json();
    assert_eq!((&why["state"], &why["reason"]), (&json!("canceled"), &json!("canceled_by_user")));
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
