use std::time::Duration;

use hookpost_domain::delivery::TransportErrorKind;
use hookpost_engine::TransportError;
use serde_json::{Value, json};

use crate::testing::{OTHER_ORG, START, TestServer};

const HOUR: Duration = Duration::from_secs(3600);

/// An application with an endpoint where the first attempt at the first message fails with 502, and the second succeeds.
async fn failed_once(server: &TestServer) -> (String, String, String) {
    let app = server.app().await;
    let endpoint = server.endpoint(&app, json!({ "uid": "e", "headers": { "X-Shop": "7", "Authorization": "Bearer s" } })).await;
    server.receiver.will_answer(502, "not yet");
    let message = server.message(&app, json!({ "eventId": "m", "channels": ["c"], "tags": ["t"] })).await;
    server.after(Duration::from_secs(60)).await;
    (app, endpoint, message)
}

#[tokio::test(start_paused = true)]
async fn every_view_of_an_attempt() {
    let server = TestServer::start();
    let (app, endpoint, message) = failed_once(&server).await;
    let attempts = server.call("GET", &format!("/app/{app}/attempt/msg/{message}"), None).await;
    let (newest, oldest) = (attempts.json()["data"][0].take(), attempts.json()["data"][1].take());
    let expected = json!({
        "id": oldest["id"], "msgId": message, "endpointId": endpoint, "url": "https://example.com/hook", "response": "not yet",
        "responseStatusCode": 502, "responseDurationMs": 0, "status": 2, "statusText": "fail", "triggerType": 0, "timestamp": START.to_string(),
    });
    assert_eq!(oldest, expected);
    assert_eq!([&newest["status"], &newest["statusText"], &newest["response"]], [&json!(0), &json!("success"), &json!("thanks")]);
    let id = oldest["id"].as_str().unwrap();

    for path in [
        format!("attempt/msg/{message}?limit=250"),
        "attempt/msg/m".to_owned(),
        "attempt/msg/m?endpoint_id=e".to_owned(),
        format!("attempt/endpoint/{endpoint}"),
        "attempt/endpoint/e?expanded_statuses=true".to_owned(),
        format!("msg/{message}/attempt"),
        "msg/m/endpoint/e/attempt".to_owned(),
    ] {
        assert_eq!(server.call("GET", &format!("/app/{app}/{path}"), None).await.column("id"), [newest["id"].clone(), json!(id)], "{path}");
    }
    assert_eq!(server.call("GET", &format!("/app/{app}/msg/m/attempt/{id}"), None).await.json(), expected);
    let without = server.call("GET", &format!("/app/{app}/attempt/endpoint/e?with_content=false&with_msg=true"), None).await;
    assert_eq!(without.column("response"), ["{}", "{}"]);
    let shown = without.json()["data"][0]["msg"].take();
    assert_eq!([&shown["id"], &shown["payload"], &shown["eventId"]], [&json!(message), &json!({}), &json!("m")]);

    let headers = server.call("GET", &format!("/app/{app}/msg/m/attempt/{id}/headers"), None).await.json();
    assert_eq!(headers["responseHeaders"], json!([["server", "receiver"]]));
    assert_eq!(headers["sensitive"], json!(["authorization"]));
    let sent = headers["sentHeaders"].as_object().unwrap();
    assert_eq!([&sent["webhook-id"], &sent["svix-id"], &sent["x-shop"]], [&json!(message), &json!(message), &json!("7")]);
    let really = server.receiver.requests.lock()[0].headers.clone();
    assert_eq!(sent["webhook-signature"], really["webhook-signature"].to_str().unwrap());
    assert_eq!(sent["webhook-timestamp"], really["webhook-timestamp"].to_str().unwrap());

    assert_eq!(server.call("DELETE", &format!("/app/{app}/msg/m/attempt/{id}/content"), None).await.status, 204);
    assert_eq!(server.call("GET", &format!("/app/{app}/msg/m/attempt/{id}"), None).await.json()["response"], "EXPUNGED");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn lists_of_attempts_are_filtered() {
    let server = TestServer::start();
    let (app, _, _) = failed_once(&server).await;
    server.receiver.will_fail(TransportError { kind: TransportErrorKind::Connect, message: "could not connect".to_owned() });
    server.message(&app, json!({ "eventType": "other" })).await;
    server.settle().await;
    let at = |seconds: u64| (START + Duration::from_secs(seconds)).to_string();
    // Newest first: no answer at 60 s, success at about 10 s, 502 at 0 s.
    let cases: [(String, &[u16]); 19] = [
        (String::new(), &[0, 200, 502]),
        ("status=0".into(), &[200]),
        ("status=2".into(), &[0, 502]),
        ("status=1".into(), &[]),
        ("status=3".into(), &[]),
        ("status=4".into(), &[]),
        ("status_code_class=500".into(), &[502]),
        ("status_code_class=0".into(), &[0]),
        ("status_code_class=100".into(), &[]),
        ("event_types=other".into(), &[0]),
        ("event_types=invoice.paid&status=2".into(), &[502]),
        ("channel=c".into(), &[200, 502]),
        ("tag=t".into(), &[200, 502]),
        ("tag=u".into(), &[]),
        (format!("before={}", at(30)), &[200, 502]),
        (format!("before={}&limit=1", at(30)), &[200]),
        (format!("after={}", at(30)), &[0]),
        (format!("after={}&limit=1", at(1)), &[200]),
        (format!("after={}&before={}", at(1), at(30)), &[200]),
    ];
    for (query, expected) in cases {
        let path = format!("/app/{app}/attempt/endpoint/e");
        let listed = server.call("GET", &format!("{path}?{query}"), None).await;
        assert_eq!(listed.column("responseStatusCode"), expected, "{query}");
        if !query.contains("limit") {
            let counted = server.call("GET", &format!("{path}/count?{query}"), None).await.json();
            assert_eq!(counted, json!({ "count": expected.len(), "approximated": false }), "{query}");
        }
    }
    for (query, expected) in [
        ("status=5", "422 query.status: must be 0 (success), 1 (pending), 2 (fail), 3 (sending) or 4 (canceled)"),
        ("status=x", "422 query.status: must be a whole number, not `x`"),
        ("status_code_class=404", "422 query.status_code_class: must be 0 (no answer), 100, 200, 300, 400 or 500"),
        ("after=7", "422 query.after: must be a time such as `2026-01-02T03:04:05Z`"),
        (
            "iterator=msg_1",
            "422 query.iterator: must be the `iterator` or `prevIterator` of an earlier page: it begins with `atmpt_` or `-atmpt_`",
        ),
    ] {
        for list in ["endpoint/e", "msg/m"] {
            assert_eq!(server.call("GET", &format!("/app/{app}/attempt/{list}?{query}"), None).await.summary(), expected);
        }
    }
    let refused = server.call("GET", &format!("/app/{app}/attempt/endpoint/e?limit=1"), None).await;
    assert_eq!(refused.column("response"), ["could not connect"]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn deliveries_have_their_state() {
    let server = TestServer::start();
    let app = server.app().await;
    let endpoint = server.endpoint(&app, json!({ "description": "mine", "retrySchedule": "1h" })).await;
    let delivered = server.message(&app, json!({})).await;
    server.settle().await;
    server.receiver.will_answer(500, "no");
    let sending = server.message(&app, json!({})).await;
    server.settle().await;
    let pending = server.message(&app, json!({ "deliverAt": (START + 2 * HOUR).to_string() })).await;
    let path = format!("/app/{app}/endpoint/{endpoint}/msg");
    let states = async |query: &str| {
        let answer = server.call("GET", &format!("{path}{query}"), None).await;
        answer
            .column("id")
            .into_iter()
            .zip(answer.column("statusText"))
            .map(|(id, text)| format!("{id} {text}").replace('"', ""))
            .collect::<Vec<_>>()
    };
    assert_eq!(states("").await, [format!("{sending} sending"), format!("{delivered} success")]);
    assert_eq!(states("?status=0").await, [format!("{delivered} success")]);
    assert_eq!(states("?status=1").await, [format!("{pending} pending")]);
    assert_eq!(states("?status=2").await, Vec::<String>::new());
    assert_eq!(states("?status=3").await, [format!("{sending} sending")]);
    let first = server.call("GET", &format!("{path}?limit=1"), None).await.json();
    assert_eq!(
        [&first["data"][0]["status"], &first["data"][0]["payload"], &first["done"]],
        [&json!(3), &json!({ "total": 1.5 }), &json!(false)]
    );
    let next_attempt = first["data"][0]["nextAttempt"].as_str().unwrap().to_owned();

    let destinations = server.call("GET", &format!("/app/{app}/msg/{sending}/endpoint"), None).await.json();
    let shown = &destinations["data"][0];
    let expected = json!([endpoint, "mine", "https://example.com/hook", 3, "sending", next_attempt]);
    assert_eq!(
        json!([shown["id"], shown["description"], shown["url"], shown["status"], shown["statusText"], shown["nextAttempt"]]),
        expected
    );

    server.call("PATCH", &format!("/app/{app}/endpoint/{endpoint}"), json!({ "disabled": true })).await;
    server.after(2 * HOUR).await;
    assert_eq!(states("?status=4&expanded_statuses=true").await, [format!("{pending} canceled"), format!("{sending} canceled")]);
    assert_eq!(states("?status=4").await, [format!("{pending} fail"), format!("{sending} fail")]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn destinations_come_in_pages_that_end() {
    let server = TestServer::start();
    let app = server.app().await;
    let mut endpoints = Vec::new();
    for _ in 0..3 {
        endpoints.push(server.endpoint(&app, json!({})).await);
    }
    let message = server.message(&app, json!({})).await;
    server.settle().await;
    server.call("DELETE", &format!("/app/{app}/endpoint/{}", endpoints[1]), None).await;
    let path = format!("/app/{app}/msg/{message}/endpoint?limit=1");
    let (mut query, mut seen) = (String::new(), Vec::new());
    for _ in 0..3 {
        let page = server.call("GET", &format!("{path}{query}"), None).await;
        seen.extend(page.column("id"));
        query = format!("&iterator={}", page.json()["iterator"].as_str().unwrap());
        assert_eq!(page.json()["done"], seen.len() == 2);
    }
    assert_eq!(seen, [json!(endpoints[2]), json!(endpoints[0])], "what was deleted is not shown, and not the end either");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_resend_is_by_hand_and_leaves_the_schedule_alone() {
    let server = TestServer::start();
    let app = server.app().await;
    let endpoint = server.endpoint(&app, json!({ "retrySchedule": "1h" })).await;
    for _ in 0..2 {
        server.receiver.will_answer(500, "no");
    }
    let message = server.message(&app, json!({})).await;
    server.settle().await;
    let resend = format!("/app/{app}/msg/{message}/endpoint/{endpoint}/resend");
    let answer = server.call("POST", &resend, None).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (202, json!({})));
    server.settle().await;
    let attempts = format!("/app/{app}/attempt/msg/{message}");
    assert_eq!(server.call("GET", &attempts, None).await.column("triggerType"), [1, 0]);
    server.after(2 * HOUR).await;
    assert_eq!(server.call("GET", &attempts, None).await.column("triggerType"), [0, 1, 0]);

    // Also to an endpoint that it was not routed to.
    let other = server.endpoint(&app, json!({ "channels": ["none"] })).await;
    let path = format!("/app/{app}/msg/{message}/endpoint/{other}/resend");
    assert_eq!(server.call("POST", &path, None).await.status, 202);
    server.settle().await;
    assert_eq!(server.call("GET", &format!("/app/{app}/attempt/endpoint/{other}"), None).await.column("status"), [0]);

    server.call("PATCH", &format!("/app/{app}/endpoint/{endpoint}"), json!({ "disabled": true })).await;
    let refused = server.call("POST", &resend, None).await;
    assert_eq!(
        refused.json(),
        json!({ "code": "endpoint_disabled", "detail": "The endpoint is disabled: nothing is sent to it. Enable it first." })
    );
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn why_has_an_answer_for_everything() {
    let server = TestServer::start();
    let app = server.app().await;
    server.event_type("other", None).await;
    let endpoint = server.endpoint(&app, json!({ "retrySchedule": "1h" })).await;
    let picky = server.endpoint(&app, json!({ "uid": "picky", "eventTypes": ["other"] })).await;
    server.receiver.will_answer(503, "down");
    let message = server.message(&app, json!({ "eventId": "m" })).await;
    server.settle().await;
    let later = server.endpoint(&app, json!({})).await;
    let why = async |endpoint: &str| server.call("GET", &format!("/app/{app}/msg/m/endpoint/{endpoint}/why"), None).await.json();

    let waiting = why(&endpoint).await;
    let explained = "Attempt 1 of 2 failed with status 503 (\"down\"); the next one is at ";
    assert!(waiting["explanation"].as_str().unwrap().starts_with(explained), "{waiting}");
    assert_eq!(waiting["until"], waiting["nextAttemptAt"]);
    let expected = json!({ "made": 1, "scheduled": 1, "scheduledMax": 2, "lastAt": START.to_string(), "lastStatusCode": 503 });
    assert_eq!(waiting["attempts"], expected);
    assert_eq!(
        [&waiting["msgId"], &waiting["endpointId"], &waiting["url"]],
        [&json!(message), &json!(endpoint), &json!("https://example.com/hook")]
    );
    let mut found = vec![(waiting["state"].clone(), waiting["reason"].clone())];
    server.after(2 * HOUR).await;
    for endpoint in [&endpoint, &picky, &later] {
        let why = why(endpoint).await;
        found.push((why["state"].clone(), why["reason"].clone()));
    }
    server.call("DELETE", &format!("/app/{app}/endpoint/{endpoint}"), None).await;
    let deleted = why(&endpoint).await;
    found.push((deleted["state"].clone(), deleted["reason"].clone()));
    let expected = [
        ("waiting", "retry_scheduled"),
        ("delivered", "delivered"),
        ("not_routed", "event_type_not_subscribed"),
        ("not_routed", "endpoint_created_later"),
        ("delivered", "delivered"),
    ];
    assert_eq!(found, expected.map(|(state, reason)| (json!(state), json!(reason))));
    assert_eq!(deleted["url"], Value::Null);
    server.call("DELETE", &format!("/app/{app}/endpoint/{picky}"), None).await;
    for nothing in ["picky", &picky] {
        let path = format!("/app/{app}/msg/m/endpoint/{nothing}/why");
        assert_eq!(server.call("GET", &path, None).await.summary(), "404 not_found");
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn others_see_nothing_of_it() {
    let server = TestServer::start();
    let (app, endpoint, message) = failed_once(&server).await;
    let other_app = server.app().await;
    let attempt = server.call("GET", &format!("/app/{app}/attempt/msg/m"), None).await.column("id")[0].as_str().unwrap().to_owned();
    let other_tenant = server.token_of(OTHER_ORG);
    let session = server.portal_token(&app, |_| {});
    let viewer = server.portal_token(&app, |session| session.read_only = true);
    for (method, below, in_portal, for_viewer) in [
        ("GET", format!("/attempt/endpoint/{endpoint}"), "200", "200"),
        ("GET", format!("/attempt/endpoint/{endpoint}/count"), "200", "200"),
        ("GET", format!("/attempt/msg/{message}"), "200", "200"),
        ("GET", format!("/endpoint/{endpoint}/msg"), "200", "200"),
        ("GET", format!("/msg/{message}/endpoint"), "200", "200"),
        ("GET", format!("/msg/{message}/attempt/{attempt}"), "200", "200"),
        ("GET", format!("/msg/{message}/attempt/{attempt}/headers"), "200", "200"),
        ("DELETE", format!("/msg/{message}/attempt/{attempt}/content"), "403 insufficient access", "403 insufficient access"),
        ("POST", format!("/msg/{message}/endpoint/{endpoint}/resend"), "202", "403 insufficient access"),
        ("GET", format!("/msg/{message}/endpoint/{endpoint}/why"), "200", "200"),
        ("GET", format!("/msg/{message}/attempt"), "200", "200"),
        ("GET", format!("/msg/{message}/endpoint/{endpoint}/attempt"), "200", "200"),
    ] {
        for (token, app, expected) in [
            (&other_tenant, &app, "404 not_found"),
            (&server.token, &other_app, "404 not_found"),
            (&session, &app, in_portal),
            (&viewer, &app, for_viewer),
        ] {
            let answer = server.call_as(token, method, &format!("/app/{app}{below}"), None).await;
            assert_eq!(answer.summary(), expected, "{method} {below}");
        }
    }
    // An attempt belongs to its message.
    let other = server.message(&app, json!({})).await;
    let misplaced = server.call("GET", &format!("/app/{app}/msg/{other}/attempt/{attempt}"), None).await;
    assert_eq!(misplaced.summary(), "404 not_found");
    server.stop().await;
}
