//! Event types: their life, and who sees them.

use serde_json::{Value, json};

use crate::testing::TestServer;

fn paid() -> Value {
    json!({ "name": "invoice.paid", "description": "An invoice was paid", "schemas": { "1": { "type": "object" } }, "groupName": "invoice" })
}

#[tokio::test(start_paused = true)]
async fn life_of_an_event_type() {
    let server = TestServer::start();
    let created = server.call("POST", "/event-type", paid()).await;
    assert_eq!(created.status, 201);
    assert_eq!(
        created.json(),
        json!({
            "name": "invoice.paid", "description": "An invoice was paid", "archived": false, "deprecated": false,
            "schemas": { "1": { "type": "object" } }, "groupName": "invoice",
            "createdAt": "2026-01-02T03:04:05.678000Z", "updatedAt": "2026-01-02T03:04:05.678000Z",
        })
    );
    assert_eq!(server.call("GET", "/event-type/invoice.paid", None).await.json(), created.json());
    assert_eq!(server.call("POST", "/event-type", paid()).await.summary(), "409 event_type_exists");

    let patched = server
        .call("PATCH", "/event-type/invoice.paid", json!({ "schemas": null, "featureFlags": ["beta"], "deprecated": true }))
        .await
        .json();
    assert_eq!((&patched["schemas"], &patched["featureFlags"], &patched["featureFlag"]), (&json!(null), &json!(["beta"]), &json!("beta")));
    assert_eq!((&patched["groupName"], &patched["deprecated"]), (&json!("invoice"), &json!(true)));

    assert_eq!(server.call("DELETE", "/event-type/invoice.paid", None).await.status, 204);
    assert_eq!(server.call("GET", "/event-type/invoice.paid", None).await.json()["archived"], json!(true));
    assert_eq!(server.call("GET", "/event-type", None).await.column("name"), [] as [Value; 0]);
    assert_eq!(server.call("GET", "/event-type?include_archived=true", None).await.column("name"), [json!("invoice.paid")]);
    let back = server.call("POST", "/event-type", paid()).await;
    assert_eq!((back.status.as_u16(), &back.json()["archived"], &back.json()["featureFlags"]), (201, &json!(false), &json!(null)));

    assert_eq!(server.call("DELETE", "/event-type/invoice.paid?expunge=true", None).await.status, 204);
    assert_eq!(server.call("DELETE", "/event-type/invoice.paid", None).await.summary(), "404 not_found");
}

#[tokio::test(start_paused = true)]
async fn putting_creates_under_the_name_in_the_path() {
    let server = TestServer::start();
    let put = |description: &'static str| server.call("PUT", "/event-type/user.signup", json!({ "description": description }));
    let created = put("first").await;
    assert_eq!((created.status.as_u16(), &created.json()["name"]), (201, &json!("user.signup")));
    let updated = put("second").await;
    assert_eq!((updated.status.as_u16(), &updated.json()["description"]), (200, &json!("second")));
}

#[tokio::test(start_paused = true)]
async fn lists_go_by_name_and_leave_schemas_out() {
    let server = TestServer::start();
    for name in ["c", "a", "b"] {
        server.call("POST", "/event-type", json!({ "name": name, "description": "", "schemas": { "1": {} } })).await;
    }
    let first = server.call("GET", "/event-type?limit=2&order=descending", None).await.json();
    assert_eq!(first["data"].as_array().unwrap().iter().map(|item| &item["name"]).collect::<Vec<_>>(), [&json!("a"), &json!("b")]);
    assert_eq!((&first["iterator"], &first["prevIterator"], &first["done"]), (&json!("b"), &json!("-a"), &json!(false)));
    assert_eq!(first["data"][0]["schemas"], json!(null));
    let rest = server.call("GET", "/event-type?limit=2&iterator=b&with_content=true", None).await;
    assert_eq!(rest.column("schemas"), [json!({ "1": {} })]);
    assert_eq!(server.call("GET", "/event-type?iterator=-c&limit=1", None).await.column("name"), [json!("b")]);
}

#[tokio::test(start_paused = true)]
async fn portal_sessions_see_what_their_flags_show() {
    let server = TestServer::start();
    for (name, flags) in [("open", json!([])), ("beta", json!(["beta"])), ("gamma", json!(["gamma", "delta"]))] {
        server.call("POST", "/event-type", json!({ "name": name, "description": "", "featureFlags": flags })).await;
    }
    let app = server.app().await;
    let token = server.portal_token(&app, |session| session.feature_flags = vec!["beta".to_owned()]);
    let list = server.call_as(&token, "GET", "/event-type", None).await;
    assert_eq!(list.column("name"), [json!("beta"), json!("open")]);
    assert_eq!(server.call_as(&token, "GET", "/event-type/gamma", None).await.summary(), "404 not_found");
    // A page of which nothing is visible still says where to go on.
    let hidden = server.call_as(&token, "GET", "/event-type?limit=1&iterator=beta", None).await.json();
    assert_eq!(hidden, json!({ "data": [], "iterator": "gamma", "prevIterator": "-gamma", "done": false }));
    for (method, path) in
        [("POST", "/event-type"), ("PUT", "/event-type/open"), ("PATCH", "/event-type/open"), ("DELETE", "/event-type/open")]
    {
        let answer = server.call_as(&token, method, path, json!({ "name": "x", "description": "" })).await;
        assert_eq!(answer.summary(), "403 insufficient access", "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_type_has_its_own_retry_schedule() {
    let server = TestServer::start();
    server.call("POST", "/event-type", paid()).await;
    let path = "/event-type/invoice.paid/retry-schedule";
    assert_eq!(server.call("GET", path, None).await.json(), json!({ "retrySchedule": null }));
    for (given, kept) in [
        (json!("5s, 5m"), json!("5s,5m")),
        (json!([1, 0.5]), json!("1s,500ms")),
        (json!("none"), json!("none")),
        (json!(null), json!(null)),
    ] {
        let answer = server.call("PUT", path, json!({ "retrySchedule": given })).await;
        assert_eq!(answer.json(), json!({ "retrySchedule": kept }), "{given}");
    }
    let wrong = server.call("PUT", path, json!({ "retrySchedule": "8d" })).await;
    assert_eq!(wrong.summary(), "422 body.retrySchedule: takes longer than 7 days in all");
}
