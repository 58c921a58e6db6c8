//! Applications: their life, their lists, and what stands in their fields.

use serde_json::json;

use crate::testing::TestServer;

#[tokio::test(start_paused = true)]
async fn life_of_an_application() {
    let server = TestServer::start();
    let body = json!({ "name": "Acme", "uid": "acme", "throttleRate": 7, "metadata": { "plan": "gold" } });
    let created = server.call("POST", "/app", body).await;
    assert_eq!(created.status, 201);
    let id = created.id();
    assert_eq!(
        created.json(),
        json!({
            "id": id, "uid": "acme", "name": "Acme", "throttleRate": 7, "metadata": { "plan": "gold" },
            "createdAt": "2026-01-02T03:04:05.678000Z", "updatedAt": "2026-01-02T03:04:05.678000Z",
        })
    );
    for reference in [id.as_str(), "acme"] {
        assert_eq!(server.call("GET", &format!("/app/{reference}"), None).await.json(), created.json());
    }

    server.settle().await;
    let patched = server.call("PATCH", "/app/acme", json!({ "uid": null, "metadata": {} })).await.json();
    assert_eq!(
        patched,
        json!({
            "id": id, "name": "Acme", "throttleRate": 7, "metadata": {},
            "createdAt": "2026-01-02T03:04:05.678000Z", "updatedAt": "2026-01-02T03:04:06.678000Z",
        })
    );
    assert_eq!(server.call("GET", "/app/acme", None).await.summary(), "404 not_found");

    let replaced = server.call("PUT", &format!("/app/{id}"), json!({ "name": "New", "uid": "new" })).await;
    assert_eq!(replaced.status, 200);
    assert_eq!(
        (&replaced.json()["name"], &replaced.json()["uid"], &replaced.json()["throttleRate"]),
        (&json!("New"), &json!("new"), &json!(null))
    );

    assert_eq!(server.call("DELETE", "/app/new", None).await.summary(), "204");
    assert_eq!(server.call("DELETE", "/app/new", None).await.summary(), "404 not_found");
    assert_eq!(server.call("POST", "/app", json!({ "name": "Again", "uid": "new" })).await.status, 201);
}

#[tokio::test(start_paused = true)]
async fn a_uid_is_taken_once() {
    let server = TestServer::start();
    let body = json!({ "name": "Acme", "uid": "acme" });
    let first = server.call("POST", "/app", body.clone()).await;
    assert_eq!(server.call("POST", "/app", body.clone()).await.summary(), "409 conflict");
    let existing = server.call("POST", "/app?get_if_exists=true", body).await;
    assert_eq!((existing.status.as_u16(), existing.json()), (200, first.json()));
    let other = server.call("POST", "/app?get_if_exists=true", json!({ "name": "Other", "uid": "other" })).await;
    assert_eq!(other.status, 201);
    assert_eq!(server.call("PATCH", "/app/other", json!({ "uid": "acme" })).await.summary(), "409 conflict");
}

#[tokio::test(start_paused = true)]
async fn putting_what_is_not_there_creates_it_without_the_name_in_the_path() {
    let server = TestServer::start();
    let created = server.call("PUT", "/app/unknown", json!({ "name": "Acme" })).await;
    assert_eq!((created.status.as_u16(), &created.json()["uid"]), (201, &json!(null)));
    assert_eq!(server.call("GET", "/app/unknown", None).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn lists_go_both_ways() {
    let server = TestServer::start();
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(server.call("POST", "/app", json!({ "name": format!("{n}") })).await.id());
    }
    let page = |query: String| {
        let server = &server;
        async move { server.call("GET", &format!("/app?{query}"), None).await.json() }
    };
    let names =
        |page: &serde_json::Value| -> String { page["data"].as_array().unwrap().iter().map(|app| app["name"].as_str().unwrap()).collect() };

    let first = page("limit=2".to_owned()).await;
    assert_eq!((names(&first), &first["done"]), ("01".to_owned(), &json!(false)));
    assert_eq!((&first["iterator"], &first["prevIterator"]), (&json!(ids[1]), &json!(format!("-{}", ids[0]))));
    let second = page(format!("limit=2&iterator={}", ids[1])).await;
    assert_eq!((names(&second), &second["done"]), ("23".to_owned(), &json!(false)));
    let last = page(format!("limit=2&iterator={}", ids[3])).await;
    assert_eq!((names(&last), &last["done"]), ("4".to_owned(), &json!(true)));
    let beyond = page(format!("limit=2&iterator={}", ids[4])).await;
    assert_eq!(beyond, json!({ "data": [], "iterator": null, "done": true }));

    let back = page(format!("limit=2&iterator={}", second["prevIterator"].as_str().unwrap())).await;
    assert_eq!((names(&back), &back["done"]), ("01".to_owned(), &json!(true)));
    let down = page("limit=3&order=descending".to_owned()).await;
    assert_eq!((names(&down), &down["done"]), ("432".to_owned(), &json!(false)));
    let unknown = page("iterator=app_000000000000000000000000000".to_owned()).await;
    assert_eq!(unknown, json!({ "data": [], "iterator": null, "done": true }));
    assert_eq!(page("limit=250".to_owned()).await["done"], json!(true));
}
