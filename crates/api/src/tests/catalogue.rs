//! Background tasks, as they are followed and stopped.

use hookpost_domain::task::{TaskProgress, TaskStatus, TaskWork};
use hookpost_domain::{BackgroundTask, OrgId};
use serde_json::{Value, json};

use crate::testing::TestServer;

#[tokio::test(start_paused = true)]
async fn tasks_are_listed_newest_first_and_followed() {
    let server = TestServer::start();
    let app = server.app().await;
    let endpoint = server.endpoint(&app, json!({})).await;
    let window = json!({ "since": "2026-01-01T00:00:00Z" });
    let recover = server.call("POST", &format!("/app/{app}/endpoint/{endpoint}/recover"), window.clone()).await;
    assert_eq!(recover.status, 202, "{recover:?}");
    let missing = server.call("POST", &format!("/app/{app}/endpoint/{endpoint}/replay-missing"), window).await.id();
    let recover = recover.id();
    server.settle().await;

    assert_eq!(server.call("GET", "/background-task", None).await.column("id"), [json!(missing), json!(recover)]);
    assert_eq!(server.call("GET", "/background-task?order=ascending&limit=1", None).await.column("id"), [json!(recover)]);
    assert_eq!(server.call("GET", "/background-task?task=endpoint.recover", None).await.column("id"), [json!(recover)]);
    assert_eq!(server.call("GET", "/background-task?status=running", None).await.column("id"), [] as [Value; 0]);
    let task = server.call("GET", &format!("/background-task/{recover}"), None).await.json();
    assert_eq!((&task["status"], &task["task"]), (&json!("finished"), &json!("endpoint.recover")));
    assert_eq!((&task["data"]["appId"], &task["data"]["endpointId"]), (&json!(app), &json!(endpoint)));
    assert_eq!(server.call("POST", &format!("/background-task/{recover}/cancel"), None).await.summary(), "400 generic_error");
}

#[tokio::test(start_paused = true)]
async fn a_running_task_is_stopped() {
    let server = TestServer::start();
    let app = server.app().await;
    let endpoint = server.endpoint(&app, json!({})).await;
    // Nobody wakes the engine, so the task has not begun.
    let api = &server.api;
    let now = api.now();
    let ids = api.store.public_ids();
    let task = BackgroundTask {
        id: api.new_id(now),
        org: OrgId::parse(OrgId::DEFAULT).unwrap(),
        application: ids.decode(&app),
        work: TaskWork::Recover { endpoint: ids.decode(&endpoint).unwrap(), since: now, until: now },
        status: TaskStatus::Running,
        progress: TaskProgress::default(),
        result: None,
        created_at: now,
        updated_at: now,
    };
    let (task, row) = (api.public(task.id), task);
    api.store.create_task(row).await.unwrap();
    let canceled = server.call("POST", &format!("/background-task/{task}/cancel"), None).await;
    assert_eq!((&canceled.json()["status"], &canceled.json()["data"]["canceled"]), (&json!("failed"), &json!(true)), "{canceled:?}");
    server.settle().await;
    assert_eq!(server.call("GET", &format!("/background-task/{task}"), None).await.json()["data"]["canceled"], json!(true));
}
