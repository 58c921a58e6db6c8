//! Sending again, and not at all: recovery, replays, canceling.

use std::time::Duration;

use serde_json::json;

use crate::testing::{START, TestServer};

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
