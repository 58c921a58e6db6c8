//! What goes along with what is sent: the headers of an endpoint, and the secrets that sign.

use serde_json::{Value, json};

use super::SECRET;
use crate::testing::TestServer;

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
