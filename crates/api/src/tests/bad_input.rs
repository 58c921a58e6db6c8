//! Requests as they should not be: each gets a clear answer, none a 500.

use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use insta::assert_snapshot;
use serde_json::json;

use crate::testing::TestServer;

/// What the server says to each body, one line each.
async fn check(method: &str, path: &str, bodies: &[&str]) -> String {
    let server = TestServer::start();
    server.call("POST", "/app", json!({ "name": "Acme", "uid": "acme" })).await;
    let mut lines = Vec::new();
    for body in bodies {
        let request = server.request(&server.token, method, path, body.as_bytes().to_vec());
        lines.push(format!("{body}\n    {}", server.send(request).await.summary()));
    }
    lines.join("\n")
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_no_json_object() {
    assert_snapshot!(check("POST", "/app", &["", "{", "nonsense", "[]", r#"["Acme"]"#, "null", "1", r#"{"name":"x"} trailing"#, r#"{"name":"x",}"#]).await, @r#"
        422 body.?: The body is not valid JSON: EOF while parsing a value at line 1 column 0
    {
        422 body.?: The body is not valid JSON: EOF while parsing an object at line 1 column 1
    nonsense
        422 body.?: The body is not valid JSON: expected ident at line 1 column 2
    []
        422 body.?: The body must be a JSON object.
    ["Acme"]
        422 body.?: The body must be a JSON object.
    null
        422 body.?: The body must be a JSON object.
    1
        422 body.?: The body must be a JSON object.
    {"name":"x"} trailing
        422 body.?: The body is not valid JSON: trailing characters at line 1 column 14
    {"name":"x",}
        422 body.?: The body is not valid JSON: key must be a string at line 1 column 13
    "#);
}

#[tokio::test(start_paused = true)]
async fn applications_that_break_rules() {
    let bodies = [
        "{}",
        r#"{"name":1}"#,
        r#"{"name":null}"#,
        r#"{"name":""}"#,
        r#"{"name":["x"],"uid":5,"throttleRate":"fast","metadata":[]}"#,
        r#"{"name":"x","uid":5,"throttleRate":70000}"#,
        r#"{"name":"x","uid":"app_x","throttleRate":0}"#,
        r#"{"name":"x","uid":"a b"}"#,
        r#"{"name":"x","uid":"ü"}"#,
        r#"{"name":"x","uid":""}"#,
        r#"{"name":"x","metadata":{"a":1}}"#,
        r#"{"name":"x","name":"y"}"#,
        r#"{"name":"\ud800"}"#,
    ];
    assert_snapshot!(check("POST", "/app", &bodies).await, @r#"
    {}
        422 body.name: This field is required.
    {"name":1}
        422 body.name: must be a string, not integer `1`
    {"name":null}
        422 body.name: must be a string, not null
    {"name":""}
        422 body.name: must not be empty
    {"name":["x"],"uid":5,"throttleRate":"fast","metadata":[]}
        422 body.name: must be a string, not a list; body.metadata: must be an object, not a list; body.throttleRate: must be a whole number from 0 to 65535, not string "fast"; body.uid: must be a string, not integer `5`
    {"name":"x","uid":5,"throttleRate":70000}
        422 body.uid: must be a string, not integer `5`; body.throttleRate: must be a whole number from 0 to 65535, not integer `70000`
    {"name":"x","uid":"app_x","throttleRate":0}
        422 body.uid: must not begin with `app_`, which ids begin with; body.throttleRate: must be at least 1
    {"name":"x","uid":"a b"}
        422 body.uid: has the character ' '; allowed are letters, digits and `-` `_` `.`
    {"name":"x","uid":"ü"}
        422 body.uid: has the character 'ü'; allowed are letters, digits and `-` `_` `.`
    {"name":"x","uid":""}
        422 body.uid: must be 1 to 256 characters long
    {"name":"x","metadata":{"a":1}}
        422 body.metadata.a: must be a string, not integer `1`
    {"name":"x","name":"y"}
        422 body.name: This field stands twice.
    {"name":"\ud800"}
        422 body.name: unexpected end of hex escape at line 1 column 16
    "#);
    let long = format!(r#"{{"name":"x","uid":"{}","metadata":{{"k":"{}"}}}}"#, "u".repeat(257), "m".repeat(4096));
    assert!(
        check("POST", "/app", &[&long])
            .await
            .ends_with("422 body.uid: must be 1 to 256 characters long; body.metadata: must not be larger than 4096 bytes in total")
    );
}

#[tokio::test(start_paused = true)]
async fn event_types_that_break_rules() {
    let bodies = [
        "{}",
        r#"{"name":"a b","description":""}"#,
        r#"{"name":"a","description":"","archived":"yes","deprecated":1}"#,
        r#"{"name":"a","description":"","schemas":[]}"#,
        r#"{"name":"a","description":"","schemas":{"1":{"type":"nothing"},"2":{"properties":[]},"3":5}}"#,
        r#"{"name":"a","description":"","groupName":"ü","featureFlags":["fine","not fine"]}"#,
    ];
    assert_snapshot!(check("POST", "/event-type", &bodies).await, @r#"
    {}
        422 body.name: This field is required.; body.description: This field is required.
    {"name":"a b","description":""}
        422 body.name: has the character ' '; allowed are letters, digits and `-` `_` `.`
    {"name":"a","description":"","archived":"yes","deprecated":1}
        422 body.archived: must be a boolean, not string "yes"; body.deprecated: must be a boolean, not integer `1`
    {"name":"a","description":"","schemas":[]}
        422 body.schemas: must be an object, not a list
    {"name":"a","description":"","schemas":{"1":{"type":"nothing"},"2":{"properties":[]},"3":5}}
        422 body.schemas.1: is not a JSON Schema of draft 7: at `/type`: "nothing" is not valid under any of the schemas listed in the 'anyOf' keyword; body.schemas.2: is not a JSON Schema of draft 7: at `/properties`: [] is not of type "object"; body.schemas.3: is not a JSON Schema of draft 7: at ``: 5 is not of types "boolean", "object"
    {"name":"a","description":"","groupName":"ü","featureFlags":["fine","not fine"]}
        422 body.groupName: has the character 'ü'; allowed are letters, digits and `-` `_` `.`; body.featureFlags.1: has the character ' '; allowed are letters, digits and `-` `_` `.`
    "#);
}

#[tokio::test(start_paused = true)]
async fn api_keys_that_break_rules() {
    let bodies = [
        r#"{"name":""}"#,
        r#"{"name":"k","scopes":[]}"#,
        r#"{"name":"k","scopes":["root"]}"#,
        r#"{"name":"k","expiresAt":"tomorrow"}"#,
        r#"{"name":"k","expiresAt":"2020-01-01T00:00:00Z"}"#,
    ];
    assert_snapshot!(check("POST", "/api-key", &bodies).await, @r#"
    {"name":""}
        422 body.name: must be 1 to 256 characters long
    {"name":"k","scopes":[]}
        422 body.scopes: must not be empty: a key without scopes opens nothing
    {"name":"k","scopes":["root"]}
        422 body.scopes.0: unknown variant `root`, expected one of `admin`, `manage`, `send`, `read`
    {"name":"k","expiresAt":"tomorrow"}
        422 body.expiresAt: must be a time such as `2026-01-02T03:04:05Z`
    {"name":"k","expiresAt":"2020-01-01T00:00:00Z"}
        422 body.expiresAt: must be in the future
    "#);
}

#[tokio::test(start_paused = true)]
async fn portal_access_that_breaks_rules() {
    let bodies = [
        r#"{"expiry":10}"#,
        r#"{"expiry":604801,"sessionId":"a b","featureFlags":["x y"]}"#,
        r#"{"capabilities":["Everything"]}"#,
        r#"{"sessionId":""}"#,
    ];
    assert_snapshot!(check("POST", "/auth/app-portal-access/acme", &bodies).await, @r#"
    {"expiry":10}
        422 body.expiry: must be between 3600 and 604800 seconds
    {"expiry":604801,"sessionId":"a b","featureFlags":["x y"]}
        422 body.featureFlags.0: has the character ' '; allowed are letters, digits and `-` `_` `.`; body.expiry: must be between 3600 and 604800 seconds; body.sessionId: must be 1 to 64 letters, digits, `@`, `_` or `-`
    {"capabilities":["Everything"]}
        422 body.capabilities.0: unknown variant `Everything`, expected one of `ViewBase`, `ViewEndpointSecret`, `ManageEndpointSecret`, `ManageTransformations`, `CreateAttempts`, `ManageEndpoint`
    {"sessionId":""}
        422 body.sessionId: must be 1 to 64 letters, digits, `@`, `_` or `-`
    "#);
    let bodies = [
        r#"{"application":{"name":"x"}}"#,
        r#"{"application":{"name":"x","uid":"other"}}"#,
        r#"{"application":{"name":"","uid":"a b"}}"#,
        "{}",
    ];
    assert_snapshot!(check("POST", "/auth/app-portal-access/nobody", &bodies).await, @r#"
    {"application":{"name":"x"}}
        422 body.application.uid: is required to create the application, and must be the uid in the path
    {"application":{"name":"x","uid":"other"}}
        422 body.application.uid: must be the uid in the path
    {"application":{"name":"","uid":"a b"}}
        422 body.application.name: must not be empty; body.application.uid: has the character ' '; allowed are letters, digits and `-` `_` `.`
    {}
        404 not_found
    "#);
}

#[tokio::test(start_paused = true)]
async fn queries_that_break_rules() {
    let server = TestServer::start();
    let mut lines = Vec::new();
    for path in [
        "/app?limit=0",
        "/app?limit=251",
        "/app?limit=abc&order=sideways",
        "/app?limit=99999999999999999999",
        "/app?iterator=msg_000000000000000000000000000",
        "/app?iterator=%F0%9F%8E%89",
        "/app?iterator=--app_000000000000000000000000000",
        "/app?iterator=app_short",
        "/app?get_if_exists=perhaps",
        "/event-type?include_archived=2&with_content=yes",
        "/event-type?iterator=a%20b&limit=0",
        "/background-task?status=asleep&task=nothing",
    ] {
        lines.push(format!("{path}\n    {}", server.call("GET", path, None).await.summary()));
    }
    lines.push(format!(
        "POST get_if_exists=perhaps\n    {}",
        server.call("POST", "/app?get_if_exists=perhaps", json!({ "name": "x" })).await.summary()
    ));
    assert_snapshot!(lines.join("\n"), @r#"
    /app?limit=0
        422 query.limit: must be between 1 and 250
    /app?limit=251
        422 query.limit: must be between 1 and 250
    /app?limit=abc&order=sideways
        422 query.limit: must be a whole number, not `abc`; query.order: unknown variant `sideways`, expected `ascending` or `descending`
    /app?limit=99999999999999999999
        422 query.limit: must be a whole number, not `99999999999999999999`
    /app?iterator=msg_000000000000000000000000000
        422 query.iterator: must be the `iterator` or `prevIterator` of an earlier page: it begins with `app_` or `-app_`
    /app?iterator=%F0%9F%8E%89
        422 query.iterator: must be the `iterator` or `prevIterator` of an earlier page: it begins with `app_` or `-app_`
    /app?iterator=--app_000000000000000000000000000
        422 query.iterator: must be the `iterator` or `prevIterator` of an earlier page: it begins with `app_` or `-app_`
    /app?iterator=app_short
        200
    /app?get_if_exists=perhaps
        200
    /event-type?include_archived=2&with_content=yes
        422 query.include_archived: must be `true` or `false`, not `2`; query.with_content: must be `true` or `false`, not `yes`
    /event-type?iterator=a%20b&limit=0
        422 query.limit: must be between 1 and 250; query.iterator: has the character ' '; allowed are letters, digits and `-` `_` `.`
    /background-task?status=asleep&task=nothing
        422 query.status: unknown variant `asleep`, expected one of `running`, `finished`, `failed`; query.task: unknown variant `nothing`, expected one of `endpoint.replay`, `endpoint.recover`, `endpoint.bulk-replay`, `application.purge_content`, `application.stats`, `event-type.aggregate`, `message.broadcast`, `sdk.generate`
    POST get_if_exists=perhaps
        422 query.get_if_exists: must be `true` or `false`, not `perhaps`
    "#);
}

#[tokio::test(start_paused = true)]
async fn references_that_name_nothing() {
    let server = TestServer::start();
    for reference in [
        "nobody",
        "app_000000000000000000000000000",
        "app_",
        "%20",
        "%00",
        "%F0%9F%8E%89",
        "%FF",
        "..%2F..",
        "a%2Fb",
        "%25",
        &"x".repeat(5000),
    ] {
        for (method, path) in [
            ("GET", "/app/{}"),
            ("DELETE", "/app/{}"),
            ("GET", "/event-type/{}"),
            ("GET", "/background-task/{}"),
            ("DELETE", "/api-key/{}"),
            ("GET", "/app/{}/msg"),
        ] {
            let path = path.replace("{}", reference);
            assert_eq!(server.call(method, &path, None).await.summary(), "404 not_found", "{method} {path}");
        }
    }
    let put = server.call("PUT", "/event-type/a%20b", json!({ "description": "" })).await;
    assert_eq!(put.summary(), "422 path.event_type_name: has the character ' '; allowed are letters, digits and `-` `_` `.`");
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_too_large() {
    let server = TestServer::with_settings(|settings| settings.request_body_bytes_max = 1000);
    let app = server.app().await;
    let large = json!({ "name": "x".repeat(1000), "eventType": "a", "payload": {} }).to_string();
    for path in ["/app".to_owned(), format!("/app/{app}/msg")] {
        // Announced or not, and with an idempotency key or not.
        for (announced, key) in [(true, false), (false, false), (true, true), (false, true)] {
            let mut request = server.request(&server.token, "POST", &path, large.clone());
            if announced {
                request.headers_mut().insert(CONTENT_LENGTH, large.len().into());
            }
            if key {
                request.headers_mut().insert("idempotency-key", "k".parse().unwrap());
            }
            assert_eq!(server.send(request).await.summary(), "413 payload_too_large", "{path} {announced} {key}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn headers_that_are_hostile() {
    let server = TestServer::start();
    let latin1 = http::HeaderValue::from_bytes(b"caf\xe9").unwrap();
    for (name, value, expected) in [
        ("idempotency-key", latin1.clone(), "201"),
        ("idempotency-key", "x".repeat(256).parse().unwrap(), "201"),
        ("idempotency-key", "x".repeat(257).parse().unwrap(), "422 header.idempotency-key: must be at most 256 bytes long"),
        ("user-agent", latin1.clone(), "201"),
        ("content-length", "many".parse().unwrap(), "201"),
        ("content-type", latin1.clone(), "201"),
        ("accept", "\"".parse().unwrap(), "201"),
        ("authorization", latin1, "401 authentication_failed"),
        ("authorization", "Bearer ".parse().unwrap(), "401 authentication_failed"),
        ("authorization", "Basic dXNlcjpwYXNz".parse().unwrap(), "401 authentication_failed"),
        ("authorization", format!("Bearer {}", "x".repeat(100_000)).parse().unwrap(), "401 authentication_failed"),
    ] {
        let mut request = server.request(&server.token, "POST", "/app", r#"{"name":"x"}"#);
        request.headers_mut().insert(name, value);
        assert_eq!(server.send(request).await.summary(), expected, "{name}");
    }
    let mut request = server.request(&server.token, "GET", "/app", "");
    request.headers_mut().remove(AUTHORIZATION);
    assert_eq!(server.send(request).await.summary(), "401 authentication_failed");
}

#[tokio::test(start_paused = true)]
async fn unicode_is_text_like_any_other() {
    let server = TestServer::start();
    let name = "Zoë 🎉 \u{202e}אבג\u{0}";
    let created = server.call("POST", "/app", json!({ "name": name, "metadata": { "ключ": "значение" } })).await;
    assert_eq!((created.status.as_u16(), &created.json()["name"]), (201, &json!(name)));
    assert_eq!(created.json()["metadata"], json!({ "ключ": "значение" }));
}
