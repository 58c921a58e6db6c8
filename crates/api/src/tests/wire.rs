//! What every client sees, whatever it asks for: paths, methods, CORS, statuses and bodies of problems.

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use hookpost_domain::Invalid;
use hookpost_store::{AcceptError, Unavailable, WriteError};
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use insta::assert_snapshot;
use serde_json::json;

use crate::front;
use crate::problem::{Problem, Wrong};
use crate::testing::{Answer, TestServer};

fn plain(method: &str, path: &str) -> Request<Body> {
    Request::builder().method(method).uri(path).body(Body::empty()).unwrap()
}

fn header(headers: &HeaderMap, name: impl http::header::AsHeaderName) -> &str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

async fn answer_of(problem: Problem) -> Answer {
    let (parts, body) = problem.into_response().into_parts();
    Answer { status: parts.status, headers: parts.headers, bytes: body.collect().await.unwrap().to_bytes() }
}

#[tokio::test(start_paused = true)]
async fn health_needs_no_token() {
    let server = TestServer::start();
    for (method, path, status) in [
        ("GET", "/api/v1/health", 204),
        ("HEAD", "/api/v1/health", 204),
        ("GET", "/api/v1/health/", 204),
        ("GET", "/api/v1/health/ping", 204),
        ("HEAD", "/api/v1/health/ping", 204),
        ("GET", "/api/v1/health/report", 200),
    ] {
        let answer = server.send(plain(method, path)).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.bytes.is_empty(), status == 204, "{method} {path}");
    }
    let report = server.send(plain("GET", "/api/v1/health/report")).await.json();
    assert_eq!((&report["status"], &report["backlogDeliveries"]), (&json!("ok"), &json!(0)));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_about_to_stop_says_so_and_still_serves() {
    let server = TestServer::start();
    server.stopping.cancel();
    let answer = server.send(plain("GET", "/api/v1/health")).await;
    assert_eq!((answer.summary().as_str(), header(&answer.headers, RETRY_AFTER)), ("503 stopping", "5"));
    assert_eq!(server.send(plain("GET", "/api/v1/health/report")).await.json()["status"], "stopping");
    assert_eq!(server.send(plain("GET", "/api/v1/health/ping")).await.status, 204);
    let app = server.app().await;
    server.message(&app, json!({})).await;
}

#[tokio::test(start_paused = true)]
async fn pages_for_people_and_programs_are_there() {
    let server = TestServer::start();
    let root = server.send(plain("GET", "/")).await;
    assert_eq!((root.status.as_u16(), header(&root.headers, LOCATION)), (307, "/docs"));
    for (path, content_type, begins) in [
        ("/docs", "text/html; charset=utf-8", "<!doctype html>"),
        ("/api/v1/openapi.json", "application/json", "{"),
        ("/metrics", "application/openmetrics-text; version=1.0.0; charset=utf-8", "# HELP"),
    ] {
        let answer = server.send(plain("GET", path)).await;
        assert_eq!((answer.status.as_u16(), header(&answer.headers, CONTENT_TYPE)), (200, content_type), "{path}");
        assert!(answer.bytes.starts_with(begins.as_bytes()), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn metrics_count_requests_and_messages() {
    let server = TestServer::start();
    let app = server.app().await;
    server.message(&app, json!({})).await;
    server.call("GET", "/app/nobody", None).await;
    let text = String::from_utf8(server.send(plain("GET", "/metrics")).await.bytes.to_vec()).unwrap();
    for line in [
        r#"hookpost_http_requests_total{method="POST",status="201"} 1"#,
        r#"hookpost_http_requests_total{method="POST",status="202"} 1"#,
        r#"hookpost_http_requests_total{method="GET",status="404"} 1"#,
        "hookpost_messages_accepted_total 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
    }
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let mut unique = names.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), names.len(), "a name is registered twice: {names:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_says_so_in_json() {
    let server = TestServer::start();
    for (method, path, expected) in [
        ("GET", "/nowhere", "404 not_found"),
        ("GET", "/api/v1", "404 not_found"),
        ("GET", "/api/v1/", "404 not_found"),
        ("GET", "/api/v2/app", "404 not_found"),
        ("POST", "/api/v1/stream", "401 authentication_failed"),
        ("GET", "/api/v1/connector", "404 not_found"),
        ("GET", "/ingest/api/v1/stream", "404 not_found"),
        ("GET", "/ingest/api/v1/source", "401 authentication_failed"),
        ("PUT", "/ingest/api/v1/source", "405 method_not_allowed"),
        ("DELETE", "/api/v1/app", "405 method_not_allowed"),
        ("PATCH", "/api/v1/app/x/msg", "405 method_not_allowed"),
        ("OPTIONS", "/api/v1/app", "405 method_not_allowed"),
        ("POST", "/docs", "405 method_not_allowed"),
        ("BREW", "/api/v1/app", "405 method_not_allowed"),
    ] {
        let answer = server.send(plain(method, path)).await;
        assert_eq!(answer.summary(), expected, "{method} {path}");
        assert_eq!(header(&answer.headers, CONTENT_TYPE), "application/json", "{method} {path}");
        assert_eq!(header(&answer.headers, ACCESS_CONTROL_ALLOW_ORIGIN), "*", "{method} {path}");
        assert!(answer.json()["detail"].is_string(), "{method} {path}");
    }
    assert_eq!(header(&server.send(plain("DELETE", "/api/v1/app")).await.headers, ALLOW), "GET,HEAD,POST");
}

#[tokio::test(start_paused = true)]
async fn a_trailing_slash_and_a_query_change_nothing() {
    let server = TestServer::start();
    let source = server.source(json!({})).await;
    for path in ["/source", "/source/", "/source?limit=10", "/source/?limit=10"] {
        assert_eq!(server.call("GET", &format!("/ingest/api/v1{path}"), None).await.column("id"), [source["id"].clone()], "{path}");
    }
    server.call("DELETE", &format!("/ingest/api/v1/source/{}", source["id"].as_str().unwrap()), None).await;
    let app = server.app().await;
    for path in ["/app", "/app/", "/app?limit=10", "/app/?limit=10"] {
        assert_eq!(server.call("GET", path, None).await.column("id"), [json!(app)], "{path}");
    }
    assert_eq!(server.call("POST", "/app/", json!({ "name": "x" })).await.status, 201);
    let body = json!({ "eventType": "a.b", "payload": {} });
    assert_eq!(server.call("POST", &format!("/app/{app}/msg/"), body).await.status, 202);
}

#[tokio::test(start_paused = true)]
async fn any_page_may_call() {
    let server = TestServer::start();
    let preflight = Request::builder()
        .method("OPTIONS")
        .uri("/api/v1/app/x/msg")
        .header("origin", "https://example.com")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,idempotency-key")
        .body(Body::empty())
        .unwrap();
    let answer = server.send(preflight).await;
    assert_eq!(answer.status, 200);
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "POST"),
        ("access-control-allow-headers", "authorization,idempotency-key"),
        ("access-control-max-age", "600"),
    ] {
        assert_eq!(header(&answer.headers, name), value, "{name}");
    }
    assert_eq!(header(&server.call("GET", "/app", None).await.headers, ACCESS_CONTROL_ALLOW_ORIGIN), "*");
}

#[tokio::test(start_paused = true)]
async fn content_types_are_not_looked_at() {
    let server = TestServer::start();
    for content_type in [None, Some("text/plain"), Some("application/json; charset=utf-8"), Some("nonsense")] {
        let mut request = server.request(&server.token, "POST", "/app", r#"{"name":"x","unknown":[1]}"#);
        if let Some(content_type) = content_type {
            request.headers_mut().insert(CONTENT_TYPE, content_type.parse().unwrap());
        }
        assert_eq!(server.send(request).await.status, 201, "{content_type:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn posts_without_a_body_take_an_empty_object_too() {
    let server = TestServer::start();
    let app = server.app().await;
    for body in ["", " ", "{}"] {
        let request = server.request(&server.token, "POST", &format!("/auth/app/{app}/expire-all"), body);
        assert_eq!(server.send(request).await.status, 204, "{body:?}");
        let request = server.request(&server.token, "POST", &format!("/auth/dashboard-access/{app}"), body);
        assert_eq!(server.send(request).await.status, 200, "{body:?}");
    }
}

#[tokio::test]
async fn a_panic_is_one_requests_problem() {
    async fn fail() {
        std::panic::resume_unwind(Box::new("on purpose"));
    }
    let handlers = Router::new().route("/", axum::routing::get(fail));
    let response = front::dispatch(handlers, plain("GET", "/")).await;
    assert_eq!(response.status(), 500);
    assert_eq!(header(response.headers(), CONTENT_TYPE), "application/json");
}

#[tokio::test]
async fn bodies_of_problems() {
    let mut wrong = Wrong::in_body();
    wrong.add("uid", "must not be empty");
    wrong.add("channels.2", "must be shorter");
    let mut lines = Vec::new();
    for problem in [
        Problem::bad_request("missing_payload", "The payload is gone."),
        Problem::Unauthenticated,
        Problem::Forbidden,
        Problem::NOT_FOUND,
        Problem::APPLICATION_NOT_FOUND,
        Problem::MethodNotAllowed,
        WriteError::NotFound.into(),
        WriteError::Conflict { field: "uid" }.into(),
        WriteError::LimitReached("An application has at most 20000 endpoints.".to_owned()).into(),
        WriteError::Refused(Invalid::new("The task has ended already.")).into(),
        AcceptError::DuplicateEventId.into(),
        AcceptError::ApplicationNotFound.into(),
        Problem::PayloadTooLarge { bytes_max: 1024 },
        wrong.problem(),
        Unavailable("disk full: /secret/path".to_owned()).into(),
        Problem::Internal,
    ] {
        let answer = answer_of(problem).await;
        assert_eq!(header(&answer.headers, RETRY_AFTER), if answer.status == 503 { "5" } else { "" });
        lines.push(format!("{} {}", answer.status.as_u16(), String::from_utf8_lossy(&answer.bytes)));
    }
    assert_snapshot!(lines.join("\n"), @r#"
    400 {"code":"missing_payload","detail":"The payload is gone."}
    401 {"code":"authentication_failed","detail":"Invalid token"}
    403 {"code":"insufficient access","detail":"Insufficient access for the given operation."}
    404 {"code":"not_found","detail":"Entity not found"}
    404 {"code":"not_found","detail":"Application not found"}
    405 {"code":"method_not_allowed","detail":"This path does not have this method; the Allow header names those it has."}
    404 {"code":"not_found","detail":"Entity not found"}
    409 {"code":"conflict","detail":"Another one with this uid exists"}
    400 {"code":"limit_reached","detail":"An application has at most 20000 endpoints."}
    400 {"code":"generic_error","detail":"The task has ended already."}
    409 {"code":"conflict","detail":"A message with this eventId exists already."}
    404 {"code":"not_found","detail":"Application not found"}
    413 {"code":"payload_too_large","detail":"Request payload is too large: at most 1024 bytes are taken."}
    422 {"detail":[{"loc":["body","uid"],"msg":"must not be empty","type":"value_error"},{"loc":["body","channels","2"],"msg":"must be shorter","type":"value_error"}]}
    503 {"code":"unavailable","detail":"The store cannot do this now. Nothing was changed; try again later."}
    500 {"code":"internal_error","detail":"Something went wrong on our side; the log of the server says what."}
    "#);
}
