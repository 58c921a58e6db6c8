use std::time::Duration;

use serde_json::{Value, json};

use crate::testing::{OTHER_ORG, START, TestServer};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn a_message_is_accepted_and_read_back() {
    let server = TestServer::start();
    let app = server.app().await;
    let path = format!("/app/{app}/msg");
    let body =
        json!({ "eventType": "invoice.paid", "eventId": "e-1", "payload": { "a": 1 }, "channels": ["c", "d", "c"], "tags": ["t/1"] });
    let created = server.call("POST", &path, body).await;
    assert_eq!(created.status, 202, "{created:?}");
    let id = created.id();
    let expected = json!({
        "id": id, "eventId": "e-1", "eventType": "invoice.paid", "payload": { "a": 1 }, "channels": ["c", "d"], "tags": ["t/1"],
        "deliverAt": null, "timestamp": START.to_string(),
    });
    assert_eq!(created.json(), expected);
    for name in [id.as_str(), "e-1"] {
        assert_eq!(server.call("GET", &format!("{path}/{name}"), None).await.json(), expected);
    }
    let without = server.call("GET", &format!("{path}/{id}?with_content=false"), None).await.json();
    assert_eq!(without["payload"], json!({}));
    assert_eq!(server.call("GET", &path, None).await.column("payload"), [json!({ "a": 1 })]);
    assert_eq!(server.call("GET", &format!("{path}?with_content=false"), None).await.column("payload"), [json!({})]);
    let created = server.call("POST", &format!("{path}?with_content=false"), json!({ "eventType": "a", "payload": { "b": 2 } })).await;
    assert_eq!((created.status.as_u16(), &created.json()["payload"]), (202, &json!({})));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn payloads_travel_byte_for_byte() {
    let server = TestServer::start();
    let app = server.app().await;
    server.endpoint(&app, json!({})).await;
    for payload in [
        r#"{"b": 1.50, "a": 2}"#,
        "{ \"spaces\" :\t[ 1 , 2 ]\n}",
        r#"{"escape": "\u00e9\/\n", "raw": "é"}"#,
        r#"{"big": 12345678901234567890123, "tiny": 1e-400, "twice": 1, "twice": 2}"#,
        "{}",
    ] {
        for field in ["payload", "data"] {
            server.receiver.requests.lock().clear();
            let body = format!(r#" {{"{field}" :  {payload} , "eventType":"a"}}"#);
            let answer = server.send(server.request(&server.token, "POST", &format!("/app/{app}/msg"), body)).await;
            assert_eq!(answer.status, 202, "{answer:?}");
            let echo = String::from_utf8(answer.bytes.to_vec()).unwrap();
            assert!(echo.contains(&format!(r#""payload":{payload},"#)), "{echo}");
            server.settle().await;
            assert_eq!(server.receiver.payloads(), [payload]);
            let raw = server.call("GET", &format!("/app/{app}/msg/{}/raw", answer.id()), None).await;
            assert_eq!(raw.json(), json!({ "payload": payload }));
        }
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn raw_payloads_are_anything() {
    let server = TestServer::start();
    let app = server.app().await;
    server.endpoint(&app, json!({})).await;
    let expired = || json!({ "expired": true });
    for (raw, headers, shown, content_type) in [
        (r#"{"x":  1}"#, None, json!({ "x": 1 }), "application/json"),
        ("[1]", None, json!([1]), "application/json"),
        ("<a>é</a>", Some(json!({ "Content-Type": "application/xml" })), expired(), "application/xml"),
        ("plain text\r\n", Some(json!({ "x-other": "y" })), expired(), "application/json"),
        ("", None, expired(), "application/json"),
    ] {
        server.receiver.requests.lock().clear();
        let mut params = json!({ "rawPayload": raw });
        if let Some(headers) = headers {
            params["headers"] = headers;
        }
        // Some clients always send an empty payload beside it.
        for body in [
            json!({ "eventType": "a", "payload": {}, "transformationsParams": params }),
            json!({ "eventType": "a", "transformationsParams": params }),
        ] {
            let created = server.call("POST", &format!("/app/{app}/msg"), body).await;
            assert_eq!((created.status.as_u16(), &created.json()["payload"]), (202, &shown), "{raw}");
            let path = format!("/app/{app}/msg/{}", created.id());
            assert_eq!(server.call("GET", &path, None).await.json()["payload"], shown, "{raw}");
            assert_eq!(server.call("GET", &format!("{path}/raw"), None).await.json()["payload"], raw);
        }
        server.settle().await;
        assert_eq!(server.receiver.payloads(), [raw, raw]);
        assert_eq!(server.receiver.requests.lock()[0].headers["content-type"], content_type);
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn says_what_is_wrong_with_a_message() {
    let server = TestServer::start();
    let app = server.app().await;
    let letters = "has the character ' '; allowed are letters, digits and `-` `_` `.`";
    let cases = [
        (json!({ "eventType": null }), "422 body.eventType: must be a string, not null".to_owned()),
        (json!({ "eventType": "a b" }), format!("422 body.eventType: {letters}")),
        (json!({ "eventType": "x".repeat(257) }), "422 body.eventType: must be 1 to 256 characters long".to_owned()),
        (json!({ "payload": null }), "422 body.payload: This field is required.".to_owned()),
        (
            json!({ "payload": [1] }),
            "422 body.payload: must be a JSON object; anything else goes as text into `transformationsParams.rawPayload`".to_owned(),
        ),
        (
            json!({ "payload": null, "data": "text" }),
            "422 body.data: must be a JSON object; anything else goes as text into `transformationsParams.rawPayload`".to_owned(),
        ),
        (json!({ "eventId": "msg_1" }), "422 body.eventId: must not begin with `msg_`, which ids begin with".to_owned()),
        (json!({ "eventId": "" }), "422 body.eventId: must be 1 to 256 characters long".to_owned()),
        (
            json!({ "channels": ["a", "b c"] }),
            "422 body.channels.1: has the character ' '; allowed are letters, digits and `-` `_` `.` `:` `+`".to_owned(),
        ),
        (json!({ "channels": vec!["a"; 11] }), "422 body.channels: has 11 items; at most 10 are allowed".to_owned()),
        (json!({ "channels": "a" }), r#"422 body.channels: must be a list, not string "a""#.to_owned()),
        (json!({ "tags": vec!["a"; 6] }), "422 body.tags: has 6 items; at most 5 are allowed".to_owned()),
        (json!({ "deliverAt": "soon" }), "422 body.deliverAt: must be a time such as `2026-01-02T03:04:05Z`".to_owned()),
        (
            json!({ "deliverAt": "2026-02-02T03:04:05Z", "payloadRetentionPeriod": 5 }),
            "422 body.deliverAt: must be before the payload is removed; see `payloadRetentionPeriod`".to_owned(),
        ),
        (json!({ "payloadRetentionPeriod": 0 }), "422 body.payloadRetentionPeriod: must be between 1 and 90".to_owned()),
        (json!({ "payloadRetentionPeriod": 91 }), "422 body.payloadRetentionPeriod: must be between 1 and 90".to_owned()),
        (json!({ "payloadRetentionHours": -1 }), "422 body.payloadRetentionHours: must be between 1 and 2160".to_owned()),
        (
            json!({ "payloadRetentionPeriod": 5, "payloadRetentionHours": 5 }),
            "422 body.payloadRetentionHours: cannot be given together with `payloadRetentionPeriod`".to_owned(),
        ),
        (json!({ "transformationsParams": [] }), "422 body.transformationsParams.?: The body must be a JSON object.".to_owned()),
        (
            json!({ "transformationsParams": { "rawPayload": 7 } }),
            "422 body.transformationsParams.rawPayload: must be a string, not integer `7`".to_owned(),
        ),
        (
            json!({ "transformationsParams": { "headers": { "content-type": "a\r\nb" } } }),
            "422 body.transformationsParams.headers.content-type: must be 1 to 256 visible ASCII characters, such as `application/xml`"
                .to_owned(),
        ),
        (
            json!({ "eventId": "a b", "tags": ["ö"], "payloadRetentionHours": 0 }),
            format!(
                "422 body.eventId: {letters}; body.tags.0: has the character 'ö'; allowed are letters, digits and `-` `_` `.` `/` `\\` `#`; \
                 body.payloadRetentionHours: must be between 1 and 2160"
            ),
        ),
    ];
    for (fields, expected) in cases {
        let mut body = json!({ "eventType": "a", "payload": {} });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let answer = server.call("POST", &format!("/app/{app}/msg"), body).await;
        assert_eq!(answer.summary().split(" at line").next(), Some(expected.as_str()), "{fields}");
    }
    for (raw, expected) in [
        ("", "422 body.?: The body is not valid JSON: EOF while parsing a value"),
        ("[]", "422 body.?: The body must be a JSON object."),
        ("{", "422 body.?: The body is not valid JSON: EOF while parsing an object"),
        (r#"{"payload": {}}"#, "422 body.eventType: This field is required."),
        (r#"{"eventType": "a"}"#, "422 body.payload: This field is required."),
    ] {
        let answer = server.send(server.request(&server.token, "POST", &format!("/app/{app}/msg"), raw)).await;
        assert_eq!(answer.summary().split(" at line").next(), Some(expected), "{raw}");
    }
    let missing = server.call("POST", "/app/nowhere/msg", json!({ "eventType": "a", "payload": {} })).await;
    assert_eq!(missing.json(), json!({ "code": "not_found", "detail": "Application not found" }));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_event_id_is_taken_once() {
    let server = TestServer::start();
    let app = server.app().await;
    server.message(&app, json!({ "eventId": "once" })).await;
    let again = server.call("POST", &format!("/app/{app}/msg"), json!({ "eventType": "a", "payload": {}, "eventId": "once" })).await;
    assert_eq!(again.summary(), "409 conflict");
    let elsewhere = server.app().await;
    server.message(&elsewhere, json!({ "eventId": "once" })).await;
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_repeated_key_makes_no_second_message() {
    let server = TestServer::start();
    let app = server.app().await;
    server.endpoint(&app, json!({})).await;
    let send = async |key: &str, body: Value, query: &str| {
        let mut request = server.request(&server.token, "POST", &format!("/app/{app}/msg{query}"), body.to_string());
        request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        server.send(request).await
    };
    let body = |n: u64| json!({ "eventType": "a", "payload": { "n": n }, "eventId": format!("event-{n}") });
    let refused = send("key", json!({ "eventType": "a b", "payload": {} }), "").await;
    assert_eq!(refused.status, 422, "and the key is free again");
    let first = send("key", body(1), "").await;
    assert_eq!(first.status, 202);
    server.after(HOUR).await;
    for n in [1, 2] {
        let again = send("key", body(n), "").await;
        assert_eq!((again.status, again.json()), (first.status, first.json()), "whatever the body");
    }
    assert_eq!(send("key", body(1), "?with_content=false").await.json()["payload"], json!({}));
    let all = futures_util::future::join_all((0..8).map(|_| send("at once", body(3), ""))).await;
    assert!(all.iter().all(|answer| answer.json() == all[0].json()), "{all:?}");
    assert_ne!(all[0].id(), first.id());

    let id = first.id();
    server.call("DELETE", &format!("/app/{app}/msg/{id}/content"), None).await;
    let again = send("key", body(1), "").await.json();
    assert_eq!((&again["id"], &again["payload"]), (&json!(id), &json!({ "expired": true })));

    server.after(12 * HOUR).await;
    assert_ne!(send("key", body(4), "").await.id(), first.id(), "the window is over");
    assert_eq!(server.call("GET", &format!("/app/{app}/msg"), None).await.column("id").len(), 3);
    server.settle().await;
    assert_eq!(server.receiver.payloads().len(), 3);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_may_bring_its_application() {
    let server = TestServer::start();
    let message = |application: Value| json!({ "eventType": "a", "payload": {}, "application": application });
    let mismatch = "422 body.application.uid: must be the uid in the path";
    for (path, application, expected) in [
        ("new", Value::Null, "404 not_found"),
        ("new", json!({}), "422 body.application.name: This field is required."),
        ("new", json!({ "name": "" , "uid": "new" }), "422 body.application.name: must not be empty"),
        (
            "new",
            json!({ "name": "New" }),
            "422 body.application.uid: is required to create the application, and must be the uid in the path",
        ),
        ("new", json!({ "name": "New", "uid": "other" }), mismatch),
        ("new", json!({ "name": "New", "uid": "new" }), "202"),
        // It exists by now: nobody looks at what is wrong.
        ("new", json!({ "uid": "a b" }), "202"),
    ] {
        let answer = server.call("POST", &format!("/app/{path}/msg"), message(application.clone())).await;
        assert_eq!(answer.summary(), expected, "{application}");
    }
    assert_eq!(server.call("GET", "/app/new", None).await.json()["name"], "New");
    assert_eq!(server.call("GET", "/app/new/msg", None).await.column("eventType").len(), 2);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn deliver_at_holds_a_message_back() {
    let server = TestServer::start();
    let app = server.app().await;
    server.endpoint(&app, json!({})).await;
    let later = (START + HOUR).to_string();
    let id = server.message(&app, json!({ "deliverAt": later })).await;
    server.message(&app, json!({ "payload": { "n": 2 }, "deliverAt": (START - HOUR).to_string() })).await;
    server.settle().await;
    assert_eq!(server.receiver.payloads(), [r#"{"n":2}"#]);
    assert_eq!(server.call("GET", &format!("/app/{app}/msg/{id}"), None).await.json()["deliverAt"], later);
    let path = format!("/app/{app}/msg/{id}/endpoint");
    let destination = server.call("GET", &path, None).await.json()["data"][0].take();
    assert_eq!([&destination["statusText"], &destination["nextAttempt"]], [&json!("pending"), &json!(later)]);
    server.after(HOUR).await;
    assert_eq!(server.receiver.payloads().len(), 2);
    assert_eq!(server.call("GET", &path, None).await.column("statusText"), ["success"]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn payloads_expire_and_are_expunged() {
    let server = TestServer::start();
    let app = server.app().await;
    let endpoint = server.endpoint(&app, json!({})).await;
    let one_day = server.message(&app, json!({ "payloadRetentionPeriod": 1 })).await;
    let two_hours = server.message(&app, json!({ "payloadRetentionHours": 2 })).await;
    let expunged = server.message(&app, json!({})).await;
    let kept = server.message(&app, json!({})).await;
    server.settle().await;
    assert_eq!(server.call("DELETE", &format!("/app/{app}/msg/{expunged}/content"), None).await.status, 204);
    let payload = json!({ "total": 1.5 });
    let gone = json!({ "expired": true });
    for (hours, expected) in [(0, [&payload, &payload]), (2, [&payload, &gone]), (22, [&gone, &gone])] {
        server.after(hours * HOUR).await;
        for (id, expected) in [(&one_day, expected[0]), (&two_hours, expected[1]), (&expunged, &gone), (&kept, &payload)] {
            let path = format!("/app/{app}/msg/{id}");
            assert_eq!(server.call("GET", &path, None).await.json()["payload"], *expected);
            let (raw, resend) = if *expected == gone { ("404 not_found", "400 missing_payload") } else { ("200", "202") };
            assert_eq!(server.call("GET", &format!("{path}/raw"), None).await.summary(), raw);
            assert_eq!(server.call("POST", &format!("{path}/endpoint/{endpoint}/resend"), None).await.summary(), resend);
        }
    }
    let task = server.call("POST", &format!("/app/{app}/msg/expunge-all-contents"), None).await;
    assert_eq!((task.status.as_u16(), &task.json()["task"]), (202, &json!("application.purge_content")));
    server.after(Duration::from_secs(60)).await;
    assert_eq!(server.call("GET", &format!("/app/{app}/msg/{kept}"), None).await.json()["payload"], gone);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn lists_are_filtered_and_go_both_ways_in_time() {
    let server = TestServer::start();
    let app = server.app().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let fields = json!({ "eventType": format!("type.{}", n % 2), "channels": [format!("c{n}")], "tags": [format!("t{}", n / 2)] });
        ids.push(server.message(&app, fields).await);
        server.after(Duration::from_secs(10)).await;
    }
    let at = |seconds: u64| (START + Duration::from_secs(seconds)).to_string();
    let cases: [(String, &[usize], bool); 14] = [
        (String::new(), &[4, 3, 2, 1, 0], true),
        ("limit=2".into(), &[4, 3], false),
        ("event_types=type.1".into(), &[3, 1], true),
        ("event_types=type.1,type.0&limit=1".into(), &[4], false),
        ("event_types[]=type.1&event_types[]=none".into(), &[3, 1], true),
        ("channel=c2".into(), &[2], true),
        ("tag=t1".into(), &[3, 2], true),
        (format!("before={}", at(20)), &[1, 0], true),
        (format!("after={}", at(20)), &[4, 3], true),
        (format!("after={}&limit=2", at(0)), &[2, 1], false),
        (format!("after={}&before={}&limit=2", at(0), at(40)), &[3, 2], false),
        (format!("after={}&iterator={}", at(0), ids[3]), &[2, 1], true),
        (format!("before={}&iterator=-{}", at(40), ids[1]), &[3, 2], true),
        (format!("after={}", at(1000)), &[], true),
    ];
    for (query, expected, done) in cases {
        let answer = server.call("GET", &format!("/app/{app}/msg?{query}"), None).await;
        let expected: Vec<&String> = expected.iter().map(|n| &ids[*n]).collect();
        assert_eq!((answer.column("id"), &answer.json()["done"]), (expected.iter().map(|id| json!(id)).collect(), &json!(done)), "{query}");
        assert_eq!(answer.json()["iterator"], expected.last().map_or(Value::Null, |id| json!(id)), "{query}");
    }
    for (query, expected) in [
        ("limit=0", "422 query.limit: must be between 1 and 250"),
        ("limit=251", "422 query.limit: must be between 1 and 250"),
        ("before=x", "422 query.before: must be a time such as `2026-01-02T03:04:05Z`"),
        ("event_types=a%20b", "422 query.event_types.0: has the character ' '; allowed are letters, digits and `-` `_` `.`"),
        ("with_content=perhaps", "422 query.with_content: must be `true` or `false`, not `perhaps`"),
    ] {
        assert_eq!(server.call("GET", &format!("/app/{app}/msg?{query}"), None).await.summary(), expected);
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn precheck_asks_the_endpoints() {
    let server = TestServer::start();
    let app = server.app().await;
    server.event_type("a", None).await;
    let active =
        async |body: Value| server.call("POST", &format!("/app/{app}/msg/precheck/active"), body).await.json()["active"].to_string();
    assert_eq!(active(json!({ "eventType": "a" })).await, "false");
    let id = server.endpoint(&app, json!({ "eventTypes": ["a"], "channels": ["c"] })).await;
    assert_eq!(active(json!({ "eventType": "a" })).await, "false");
    assert_eq!(active(json!({ "eventType": "a", "channels": ["b", "c"] })).await, "true");
    assert_eq!(active(json!({ "eventType": "b", "channels": ["c"] })).await, "false");
    server.call("PATCH", &format!("/app/{app}/endpoint/{id}"), json!({ "disabled": true })).await;
    assert_eq!(active(json!({ "eventType": "a", "channels": ["c"] })).await, "false");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn others_see_nothing_of_it() {
    let server = TestServer::start();
    let (app, other_app) = (server.app().await, server.app().await);
    let id = server.message(&app, json!({ "eventId": "e" })).await;
    let other_tenant = server.token_of(OTHER_ORG);
    let session = server.portal_token(&app, |_| {});
    let message = json!({ "eventType": "a", "payload": {} });
    for (method, below, body, in_portal) in [
        ("GET", format!("/msg/{id}"), Value::Null, "200"),
        ("GET", "/msg/e".to_owned(), Value::Null, "200"),
        ("GET", format!("/msg/{id}/raw"), Value::Null, "200"),
        ("DELETE", format!("/msg/{id}/content"), Value::Null, "403 insufficient access"),
        ("POST", "/msg".to_owned(), message, "403 insufficient access"),
        ("POST", "/msg/precheck/active".to_owned(), json!({ "eventType": "a" }), "403 insufficient access"),
        ("POST", "/msg/expunge-all-contents".to_owned(), json!({}), "403 insufficient access"),
        ("GET", "/msg".to_owned(), Value::Null, "200"),
    ] {
        let foreign = server.call_as(&other_tenant, method, &format!("/app/{app}{below}"), body.clone()).await;
        assert_eq!(foreign.summary(), "404 not_found", "{method} {below}");
        let own = server.call_as(&session, method, &format!("/app/{app}{below}"), body).await;
        assert_eq!(own.summary(), in_portal, "{method} {below}");
    }
    for name in [id.as_str(), "e"] {
        assert_eq!(server.call("GET", &format!("/app/{other_app}/msg/{name}"), None).await.summary(), "404 not_found");
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_payloads_of_some_messages_are_removed() {
    let server = TestServer::start();
    let app = server.app().await;
    let first = server.message(&app, json!({})).await;
    server.message(&app, json!({ "eventId": "e-2" })).await;
    let kept = server.message(&app, json!({})).await;
    let answer = server.call("POST", &format!("/app/{app}/msg/bulk-expunge"), json!({ "ids": [first, "e-2", "nothing"] })).await;
    let expected = json!({ "results": { first.as_str(): "expunged", "e-2": "expunged", "nothing": "not-found" } });
    assert_eq!((answer.status.as_u16(), answer.json()), (200, expected));
    assert_eq!(server.call("GET", &format!("/app/{app}/msg/e-2"), None).await.json()["payload"], json!({ "expired": true }));
    assert_eq!(server.call("GET", &format!("/app/{app}/msg/{kept}"), None).await.json()["payload"], json!({ "total": 1.5 }));
    assert_eq!(server.call("POST", &format!("/app/{app}/msg/bulk-expunge"), json!({})).await.json(), json!({ "results": {} }));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn messages_are_found_by_what_is_in_them() {
    let server = TestServer::start();
    let app = server.app().await;
    for number in 0..5 {
        let name = if number % 2 == 0 { "Ada" } else { "Grace" };
        let event_type = if number < 3 { "early" } else { "late" };
        let fields = json!({ "eventId": format!("e-{number}"), "eventType": event_type, "payload": { "name": name }, "tags": ["t"] });
        server.message(&app, fields).await;
    }
    let search = async |body: Value| server.call("POST", &format!("/app/{app}/msg/search"), body).await;
    let found = async |body: Value| search(body).await.column("eventId");
    assert_eq!(found(json!({})).await, ["e-4", "e-3", "e-2", "e-1", "e-0"]);
    assert_eq!(found(json!({ "text": "aDa" })).await, ["e-4", "e-2", "e-0"]);
    assert_eq!(found(json!({ "text": "ada", "event_types": ["early"], "tag": "t" })).await, ["e-2", "e-0"]);
    assert_eq!(found(json!({ "eventId": "e-3" })).await, ["e-3"]);
    assert!(found(json!({ "eventId": "e-3", "text": "Ada" })).await.is_empty());
    assert_eq!(search(json!({ "text": "Ada" })).await.column("payload")[0], json!({}));
    assert_eq!(search(json!({ "text": "Ada", "with_content": true })).await.column("payload")[0], json!({ "name": "Ada" }));

    let first = search(json!({ "text": "ada", "limit": 2 })).await.json();
    assert_eq!((first["data"].as_array().unwrap().len(), &first["done"]), (2, &json!(false)));
    let rest = search(json!({ "text": "ada", "limit": 2, "iterator": first["iterator"] })).await;
    assert_eq!((rest.column("eventId"), &rest.json()["done"]), (vec![json!("e-0")], &json!(true)));
    let back = search(json!({ "text": "ada", "limit": 1, "iterator": rest.json()["prevIterator"] })).await;
    assert_eq!(back.column("eventId"), ["e-2"]);
    assert_eq!(search(json!({ "text": "" })).await.summary(), "422 body.text: must be 1 to 1024 bytes long");
    assert_eq!(search(json!({ "limit": 0 })).await.summary(), "422 body.limit: must be between 1 and 250");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn every_application_gets_a_broadcast() {
    let server = TestServer::start();
    let (one, other) = (server.app().await, server.app().await);
    server.endpoint(&one, json!({})).await;
    server.endpoint(&other, json!({})).await;
    let body = r#"{"eventType": "news", "eventId": "n-1", "payload": {"a":  1.50}}"#;
    let answer = server.send(server.request(&server.token, "POST", "/msg/broadcast", body)).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["task"]), (202, &json!("message.broadcast")));
    server.after(Duration::from_secs(10)).await;
    assert_eq!(server.receiver.payloads(), [r#"{"a":  1.50}"#; 2], "byte for byte");
    for app in [one, other] {
        assert_eq!(server.call("GET", &format!("/app/{app}/msg/n-1"), None).await.json()["eventType"], "news");
    }
    let wrong = json!({ "eventType": "a b", "payload": [], "payloadRetentionPeriod": 1, "payloadRetentionHours": 1 });
    let summary = server.call("POST", "/msg/broadcast", wrong).await.summary();
    for field in ["eventType", "payload: must be a JSON object", "payloadRetentionHours: cannot be given"] {
        assert!(summary.contains(&format!("body.{field}")), "{summary}");
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_is_delivered_when_it_is_to_be() {
    let server = TestServer::start();
    let app = server.app().await;
    server.endpoint(&app, json!({})).await;
    let now = server.api.now();
    let at = |time: Duration| json!({ "deliverAt": (now + time).to_string(), "payload": { "s": time.as_secs() } });
    server.message(&app, at(72 * HOUR)).await;
    server.message(&app, at(HOUR)).await;
    server.message(&app, json!({ "deliverAt": "2001-01-01T00:00:00Z", "payload": { "s": 0 } })).await;
    server.settle().await;
    assert_eq!(server.receiver.payloads(), [r#"{"s":0}"#], "what is past is now");
    server.after(HOUR - Duration::from_secs(2)).await;
    assert_eq!(server.receiver.payloads().len(), 1);
    server.after(Duration::from_secs(2)).await;
    assert_eq!(server.receiver.payloads().len(), 2);
    server.after(72 * HOUR).await;
    assert_eq!(server.receiver.payloads().len(), 3);
    server.stop().await;
}
