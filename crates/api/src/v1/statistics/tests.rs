use std::time::Duration;

use serde_json::{Value, json};

use crate::testing::TestServer;

const MINUTE: Duration = Duration::from_secs(60);

async fn send(server: &TestServer, app: &str, event_type: &str, count: usize) {
    for _ in 0..count {
        server.message(app, json!({ "eventType": event_type })).await;
    }
    server.settle().await;
}

#[tokio::test(start_paused = true)]
async fn attempts_are_counted_by_event_type_and_time() {
    let server = TestServer::start();
    let app = server.app().await;
    server.endpoint(&app, json!({})).await;
    // To the beginning of an hour, so that the buckets are what they seem.
    let since = server.api.now();
    server.after(Duration::from_millis(3_600_000 - since.unix_ms() % 3_600_000)).await;
    let start = server.api.now();
    send(&server, &app, "a", 2).await;
    server.after(6 * MINUTE).await;
    server.receiver.will_answer(500, "broken");
    send(&server, &app, "b", 1).await;
    server.after(14 * MINUTE).await;

    let until = server.api.now();
    let path = format!("/app/{app}/stats/attempts?since={start}&until={until}");
    let totals = server.call("GET", &path, None).await.json();
    // `b` was tried again after its failure.
    let expected = json!({
        "by_event_type": { "a": { "success": 2, "failure": 0, "canceled": 0 }, "b": { "success": 1, "failure": 1, "canceled": 0 } },
        "total_success": 3, "total_failure": 1, "total_canceled": 0, "since": start.to_string(), "until": until.to_string(),
    });
    assert_eq!(totals, expected);
    assert_eq!(server.call("GET", &format!("{path}&event_types=a"), None).await.json()["total_failure"], 0);

    let path = format!("/stats/app/{app}/attempt?startDate={start}&endDate={until}");
    let fine = server.call("GET", &format!("{path}&period=FiveMinutes"), None).await.json();
    let data = &fine["data"];
    assert_eq!((&fine["startDate"], &fine["period"]), (&json!(start.to_string()), &json!("FiveMinutes")));
    assert_eq!((&data["successCount"], &data["failureCount"]), (&json!([2, 1, 0, 0, 0]), &json!([0, 1, 0, 0, 0])));
    let hours = server.call("GET", &format!("{path}&period=OneHour&event_types=b"), None).await.json();
    assert_eq!((&hours["data"]["successCount"], &hours["data"]["canceledCount"]), (&json!([1]), &json!([0])));
    let days = server.call("GET", &format!("/stats/app/{app}/attempt"), None).await.json();
    let counts: Vec<u64> = days["data"]["successCount"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect();
    assert_eq!((counts.len(), counts.iter().sum::<u64>()), (29, 3));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn says_what_is_wrong_with_a_time() {
    let server = TestServer::start();
    let app = server.app().await;
    let now = server.api.now();
    let ago = |days: u64| now - Duration::from_secs(days * 24 * 3600);
    for (query, summary) in [
        (format!("stats/app/{app}/attempt?startDate={now}&endDate={}", ago(1)), "422 query.startDate: must not be after `endDate`"),
        (
            format!("stats/app/{app}/attempt?period=FiveMinutes&startDate={}&endDate={}", ago(4), ago(3)),
            "422 query.startDate: must not be more than three days ago for `FiveMinutes`; what is older is counted by the hour",
        ),
        (
            format!("stats/app/{app}/attempt?period=OneHour&startDate={}", ago(90)),
            "422 query.startDate: makes 2161 buckets of this period; at most 2000 are given",
        ),
        (
            format!("stats/app/{app}/attempt?period=Always"),
            "422 query.period: unknown variant `Always`, expected one of `OneDay`, `OneHour`, `FiveMinutes`",
        ),
        (format!("app/{app}/stats/attempts?until={now}"), "422 query.since: This parameter is required."),
        (format!("app/{app}/stats/attempts?since={now}&until={}", ago(1)), "422 query.since: must not be after `until`"),
    ] {
        assert_eq!(server.call("GET", &format!("/{query}"), None).await.summary(), summary);
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn endpoints_and_those_who_have_them_are_counted() {
    let server = TestServer::start();
    let (full, disabled, play, empty) = (server.app().await, server.app().await, server.app().await, server.app().await);
    server.endpoint(&full, json!({})).await;
    server.endpoint(&full, json!({ "disabled": true })).await;
    server.endpoint(&disabled, json!({ "disabled": true })).await;
    server.endpoint(&play, json!({ "url": "https://play.svix.com/in/e_1/" })).await;
    let get = async |path: &str| server.call("GET", path, None).await;
    assert_eq!(get("/stats/endpoint/count").await.json(), json!({ "active": 1, "disabled": 2 }));
    assert_eq!(get("/stats/endpoint/count?exclude_svix_play=false").await.json(), json!({ "active": 2, "disabled": 2 }));
    assert_eq!(get("/app/stats/count-active").await.json(), json!({ "count": 1 }));
    assert_eq!(get("/app/stats/count-active?exclude_disabled=false&exclude_svix_play=false").await.json(), json!({ "count": 3 }));

    let listed = async |query: &str| get(&format!("/app?{query}")).await.column("id");
    let ids = |ids: &[&String]| -> Vec<Value> { ids.iter().map(|id| json!(id)).collect() };
    assert_eq!(listed("exclude_apps_with_no_endpoints=true").await, ids(&[&full, &disabled, &play]));
    assert_eq!(listed("exclude_apps_with_disabled_endpoints=true").await, ids(&[&full, &play, &empty]));
    assert_eq!(listed("exclude_apps_with_svix_play_endpoints=true&limit=2").await, ids(&[&full, &disabled]));
    let first = get("/app?exclude_apps_with_no_endpoints=true&limit=2").await.json();
    assert_eq!(first["done"], false);
    let next = first["iterator"].as_str().unwrap();
    assert_eq!(listed(&format!("exclude_apps_with_no_endpoints=true&limit=2&iterator={next}")).await, ids(&[&play]));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_needs_a_look_at_everything_is_a_task() {
    let server = TestServer::start();
    let app = server.app().await;
    server.endpoint(&app, json!({})).await;
    send(&server, &app, "a", 3).await;
    let since = server.api.now() - Duration::from_secs(7200);
    let until = server.api.now() + Duration::from_secs(60);
    let body = json!({ "since": since.to_string(), "until": until.to_string(), "appIds": [app, app, "nobody"] });
    let started = server.call("POST", "/stats/usage/app", body).await;
    assert_eq!((started.status.as_u16(), &started.json()["unresolvedAppIds"]), (202, &json!(["nobody"])));
    assert_eq!((&started.json()["task"], &started.json()["status"]), (&json!("application.stats"), &json!("running")));
    let types = server.call("PUT", "/stats/usage/event-types", None).await;
    assert_eq!((types.status.as_u16(), &types.json()["task"]), (202, &json!("event-type.aggregate")));
    server.after(Duration::from_secs(10)).await;
    for task in [started, types] {
        let task = server.call("GET", &format!("/background-task/{}", task.id()), None).await.json();
        assert_eq!(task["status"], "finished", "{task}");
    }
    let wrong = server.call("POST", "/stats/usage/app", json!({ "since": until.to_string(), "until": since.to_string() })).await;
    assert_eq!(wrong.summary(), "422 body.since: must not be after `until`");
    server.stop().await;
}
