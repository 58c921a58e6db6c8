//! Every row of the route table, tried by everybody who has no business there: another tenant, another application's portal, viewers, and tokens that
//! are for something else, have expired or were revoked. They are told 401, 403 or 404 and nothing more, and change nothing.
//!
//! A new row fails here until [`operations`] says who may use it.

mod operations;

use std::collections::BTreeMap;
use std::time::Duration;

use hookpost_domain::{OrgId, SinkId};
use hookpost_store::documents::DocumentKind;
use http::Method;
use serde_json::{Value, json};

use crate::routes;
use crate::testing::{Answer, OTHER_ORG, TestServer};

/// Who has a way to an operation besides the tenant's own keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Nobody else.
    Tenant,
    /// Those who create messages of the application.
    Senders,
    /// Portal sessions of the application.
    Portal,
    /// Portal sessions of the stream.
    StreamPortal,
    /// Portal sessions of any application: they see what all may see.
    Catalog,
    /// The same for streams.
    StreamCatalog,
    /// Portal sessions of the application, and the token of the poller.
    Polls,
    /// Portal sessions of the stream, and the token of its poller.
    StreamPolls,
    /// Portal sessions of both kinds.
    Portals,
    /// Whoever has a token.
    Everyone,
    /// The session that it ends.
    Session,
    /// Needs no token.
    Open,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Viewer {
    May,
    Not,
}

/// Who tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stranger {
    /// Has no token that is good.
    Nobody,
    /// The owner of another tenant.
    Foreigner,
    Viewer,
    /// A portal session, or an integration, of another application of the same tenant.
    OtherPortal,
    OtherStream,
    OtherSender,
    OtherPoller,
    OtherStreamPoller,
}

/// Who tries what is his own, and what is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    Portal,
    StreamPortal,
    Sender,
    Poller,
    StreamPoller,
}

/// What a stranger is to be told.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Exactly(&'static str),
    /// It is his to do.
    Success,
    /// It concerns what is his own, or what he makes for himself.
    Anything,
}

const NAME: &str = "Zanzibar";
/// Asking moves the place of the consumer.
const MOVING: [&str; 2] = ["v1.message.poller.consumer-poll", "v1.message.pollerv2.consumer-poll"];

struct World {
    server: TestServer,
    /// The parameters of paths, with what exists.
    fill: BTreeMap<&'static str, String>,
    of_source: String,
    of_operational: String,
    poller: SinkId,
    /// What no answer to a stranger may contain.
    secrets: Vec<String>,
}

impl World {
    async fn new() -> Self {
        let server = TestServer::start();
        server.call("POST", "/app", json!({ "name": NAME, "uid": "acme" })).await;
        server.call("POST", "/event-type", json!({ "name": "a.b", "description": "" })).await;
        let endpoint = server.endpoint("acme", json!({ "uid": "hook", "description": NAME })).await;
        let message = server.message("acme", json!({ "eventType": "a.b", "eventId": "event-1", "payload": { "a": NAME } })).await;
        server.settle().await;
        let attempts = server.call("GET", &format!("/app/acme/attempt/msg/{message}"), None).await.column("id");
        let attempt = attempts[0].as_str().unwrap().to_owned();
        let key = server.call("POST", "/api-key", json!({ "name": NAME })).await.json();
        let window = json!({ "since": "2026-01-01T00:00:00Z" });
        let task = server.call("POST", &format!("/app/acme/endpoint/{endpoint}/recover"), window).await.id();
        let source = server.source(json!({ "uid": "door", "name": NAME, "application": "acme" })).await["id"].as_str().unwrap().to_owned();
        let body = json!({ "url": "https://example.com", "description": NAME });
        let of_source = server.call("POST", &format!("/ingest/api/v1/source/{source}/endpoint"), body.clone()).await.id();
        let receipt = server.receipt(&source, "rejected").await;
        let integration = server.call("POST", "/app/acme/integration", json!({ "name": NAME })).await.id();
        let of_operational = server.call("POST", "/operational-webhook/endpoint", body).await.id();
        server.call("PUT", "/management/environment-settings", json!({ "customFontFamily": "Sans" })).await;
        let stream = server.call("POST", "/stream", json!({ "name": NAME, "uid": "orders" })).await.id();
        server.call("POST", "/stream/event-type", json!({ "name": "s.t" })).await;
        let of_destination = sinks(&server, "/app/acme/destination", ["pollingEndpoint", "fifoEndpoint"], async || {
            server.message("acme", json!({ "eventType": "a.b", "payload": { "a": NAME } })).await;
        });
        let (destination, destination_attempt) = of_destination.await;
        let of_stream = sinks(&server, "/stream/orders/sink", ["poller", "http"], async || {
            let events = json!({ "events": [{ "eventType": "s.t", "payload": NAME }] });
            assert_eq!(server.call("POST", "/stream/orders/events", events).await.status, 202);
        });
        let (sink, sink_attempt) = of_stream.await;
        let mut secrets = vec![key["key"].as_str().unwrap().to_owned(), "what GitHub was told".to_owned()];
        for (path, field) in [
            (format!("/app/acme/endpoint/{endpoint}/secret"), "key"),
            (format!("/ingest/api/v1/source/door/endpoint/{of_source}/secret"), "key"),
            (format!("/operational-webhook/endpoint/{of_operational}/secret"), "key"),
            (format!("/app/acme/integration/{integration}/key"), "key"),
            ("/app/acme/destination/h/secret".to_owned(), "key"),
            ("/stream/orders/sink/h/secret".to_owned(), "key"),
            ("/auth/app/acme/poller/p/token".to_owned(), "token"),
            ("/auth/stream/orders/sink/p/poller/token".to_owned(), "token"),
        ] {
            secrets.push(server.call("GET", &path, None).await.json()[field].as_str().unwrap().to_owned());
        }
        let fill = [
            ("app_id", "acme".to_owned()),
            ("endpoint_id", endpoint),
            ("msg_id", message),
            ("attempt_id", attempt),
            ("event_type_name", "a.b".to_owned()),
            ("key_id", key["id"].as_str().unwrap().to_owned()),
            ("task_id", task),
            ("source_id", "door".to_owned()),
            ("receipt_id", receipt),
            ("integ_id", integration),
            ("stream_id", "orders".to_owned()),
            ("sink_id", "h".to_owned()),
            ("destination_id", "h".to_owned()),
            ("consumer_id", "c".to_owned()),
            ("name", "s.t".to_owned()),
            // These stand in no path by these names.
            ("stream", stream),
            ("sink", sink),
            ("destination", destination),
            ("attempt of sink", sink_attempt),
            ("attempt of destination", destination_attempt),
            ("env_id", OrgId::DEFAULT.to_owned()),
            ("org_id", OrgId::DEFAULT.to_owned()),
        ];
        let poller = server.call("GET", "/app/acme/destination/p", None).await.id();
        let poller = server.api.store.public_ids().decode(&poller).unwrap();
        Self { server, fill: fill.into(), of_source, of_operational, poller, secrets }
    }

    /// The path of a row, with what exists.
    fn path(&self, route: &str) -> String {
        let is_of_poller = ["/poller/", "/polling-endpoint/", "/{sink_id}/events"].iter().any(|part| route.contains(part));
        let parts = route.trim_start_matches("/api/v1").split('/').map(|part| {
            let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else { return part };
            match name {
                "endpoint_id" if route.contains("{source_id}") => &self.of_source,
                "endpoint_id" if route.contains("/operational-webhook/") => &self.of_operational,
                "attempt_id" if route.contains("{sink_id}") => &self.fill["attempt of sink"],
                "attempt_id" if route.contains("{destination_id}") => &self.fill["attempt of destination"],
                "endpoint_id" | "sink_id" if is_of_poller => "p",
                name => self.fill.get(name).unwrap_or_else(|| panic!("{route} has a parameter that this test does not know")),
            }
        });
        let mut path = parts.collect::<Vec<_>>().join("/");
        if route.ends_with("/stats/attempts") {
            path.push_str("?since=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00Z");
        }
        if path.starts_with("ingest/") { format!("/{path}") } else { path }
    }

    /// Everything that the tenant can see, and what the store has beside it.
    async fn everything(&self) -> Vec<(String, String)> {
        let mut seen = Vec::new();
        let operations = routes::operations();
        let mut rows: Vec<_> = operations.iter().filter(|(method, _, _)| *method == Method::GET).collect();
        rows.sort_by_key(|(_, path, _)| path.to_string());
        for (_, route, id) in rows {
            // What was refused stands in the audit log, and the operational events tell of the tasks that count.
            if ["hookpost.audit-log.list", "v1.events.stream"].contains(&id) || MOVING.contains(&id) || reach_of(id).0 == Reach::Open {
                continue;
            }
            let answer = self.server.call("GET", &self.path(route), None).await;
            assert!(answer.status.is_success(), "the owner does not get {id}: {answer:?}");
            let mut body: Value = serde_json::from_slice(&answer.bytes).unwrap_or_default();
            forget_what_is_no_change(&mut body);
            seen.push((id.to_owned(), body.to_string()));
        }
        for consumer in ["", "c"] {
            let progress = self.server.api.store.sink_progress(self.poller, consumer).await.unwrap();
            seen.push((format!("the place of {consumer:?}"), format!("{progress:?}")));
        }
        for kind in DocumentKind::ALL {
            let rows = self.server.api.store.documents_of_kind(kind).await.unwrap();
            let own = rows.iter().filter(|row| row.shelf.org.as_str() == OrgId::DEFAULT);
            seen.extend(own.map(|row| (format!("{row:?}"), String::from_utf8_lossy(&row.data).into_owned())));
        }
        seen
    }
}

/// When a key was used, and the tasks that count for whoever may read.
fn forget_what_is_no_change(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("lastUsedAt");
            fields.remove("prevIterator");
            fields.values_mut().for_each(forget_what_is_no_change);
        }
        Value::Array(items) => {
            items.retain(|item| !matches!(item["task"].as_str(), Some("event-type.aggregate" | "application.stats")));
            items.iter_mut().for_each(forget_what_is_no_change);
        }
        _ => {}
    }
}

/// A poller `p` and a sink that is called `h`, which took one message and has another before it. Gives the latter's id and that of its attempt.
async fn sinks(server: &TestServer, path: &str, [poller, called]: [&str; 2], send: impl AsyncFn()) -> (String, String) {
    let metadata = json!({ "a": NAME });
    let answer = server.call("POST", path, json!({ "type": poller, "uid": "p", "metadata": metadata })).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let url = json!({ "url": "https://example.com" });
    let sink = server.call("POST", path, json!({ "type": called, "uid": "h", "metadata": metadata, "config": url })).await.id();
    send().await;
    server.settle().await;
    let attempt = server.call("GET", &format!("{path}/h/attempt"), None).await.column("id")[0].as_str().unwrap().to_owned();
    server.call("PATCH", &format!("{path}/h"), json!({ "type": called, "maxWaitSecs": 300 })).await;
    send().await;
    (sink, attempt)
}

fn reach_of(id: &str) -> (Reach, Viewer) {
    let known = operations::OPERATIONS.iter().find(|(known, _, _)| *known == id);
    known.map_or_else(|| panic!("tests/strangers/operations.rs does not say who may use {id}"), |(_, reach, viewer)| (*reach, *viewer))
}

/// A body that the operation can read.
fn body(route: &str) -> Value {
    let (kind, uid) = match () {
        () if route.contains("/sink") => ("poller", Some("h")),
        () if route.contains("/destination") => ("pollingEndpoint", Some("h")),
        () => ("github", None),
    };
    json!({
        "name": "x", "description": "x", "url": "https://example.com", "since": "2026-01-01T00:00:00Z", "headers": {}, "eventType": "a.b",
        "payload": {}, "createdBefore": "2026-01-03T00:00:00Z", "type": kind, "uid": uid, "config": { "secret": "x" }, "oneTimeToken": "x",
        "spec": { "webhooks": {} }, "until": "2026-01-02T00:00:00Z", "after": "2026-01-01T00:00:00Z", "offset": 1, "events": [],
    })
}

fn told(stranger: Stranger, reach: Reach, viewer: Viewer, method: &Method, has_object: bool) -> Told {
    use Told::{Anything, Exactly, Success};
    const UNKNOWN: Told = Exactly("401 authentication_failed");
    const REFUSED: Told = Exactly("403 insufficient access");
    const NOT_THERE: Told = Exactly("404 not_found");
    match (reach, stranger) {
        (Reach::Open, _) => Anything,
        (_, Stranger::Nobody) => UNKNOWN,
        (Reach::Everyone, _) => Success,
        // Those whose own session it is are left out.
        (Reach::Session, _) => Exactly("400 generic_error"),
        // A PUT creates for whoever asks, and never touches what another has.
        (_, Stranger::Foreigner) if !has_object || *method == Method::PUT => Anything,
        (_, Stranger::Foreigner) => NOT_THERE,
        (_, Stranger::Viewer) if viewer == Viewer::May => Success,
        (Reach::Portal | Reach::Polls, Stranger::OtherPortal) | (Reach::StreamPortal | Reach::StreamPolls, Stranger::OtherStream) => {
            NOT_THERE
        }
        (Reach::Polls | Reach::StreamPolls, Stranger::OtherPoller | Stranger::OtherStreamPoller) => NOT_THERE,
        (Reach::Catalog | Reach::Portals, Stranger::OtherPortal) => Success,
        (Reach::StreamCatalog | Reach::Portals, Stranger::OtherStream) => Success,
        (Reach::Senders, Stranger::OtherSender) => NOT_THERE,
        _ => REFUSED,
    }
}

fn ends_own_session(stranger: Stranger, id: &str) -> bool {
    matches!(
        (stranger, id),
        (Stranger::OtherPortal, "v1.authentication.logout") | (Stranger::OtherStream, "v1.authentication.stream-logout")
    )
}

#[tokio::test(start_paused = true)]
async fn strangers_are_told_nothing_and_change_nothing() {
    let world = World::new().await;
    let server = &world.server;
    let text = |answer: &Answer, field: &str| answer.json()[field].as_str().unwrap().to_owned();

    // Another application of the same tenant, with what may be done there, and another stream.
    let other_app = server.app().await;
    let portal = server.portal_token(&other_app, |_| {});
    let made = server.call("POST", &format!("/app/{other_app}/integration"), json!({ "name": "x" })).await.id();
    let integration = text(&server.call("GET", &format!("/app/{other_app}/integration/{made}/key"), None).await, "key");
    let sender = text(&server.call("POST", &format!("/auth/app/{other_app}/create-message-token"), json!({ "name": "x" })).await, "token");
    server.call("POST", &format!("/app/{other_app}/destination"), json!({ "type": "pollingEndpoint", "uid": "q" })).await;
    let other_poller = text(&server.call("GET", &format!("/auth/app/{other_app}/poller/q/token"), None).await, "token");
    server.call("POST", "/stream", json!({ "name": "x", "uid": "other" })).await;
    server.call("POST", "/stream/other/sink", json!({ "type": "poller", "uid": "q" })).await;
    let other_stream_poller = text(&server.call("GET", "/auth/stream/other/sink/q/poller/token", None).await, "token");
    let other_stream = text(&server.call("POST", "/auth/stream-portal-access/other", None).await, "token");
    let key = async |fields: Value| {
        let mut body = json!({ "name": "x" });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        server.call("POST", "/api-key", body).await.json()
    };
    let viewer = key(json!({ "scopes": ["read"] })).await["key"].as_str().unwrap().to_owned();
    let revoked = key(json!({ "scopes": ["admin"] })).await;
    server.call("DELETE", &format!("/api-key/{}", revoked["id"].as_str().unwrap()), None).await;
    let end = (server.api.now() + Duration::from_secs(60)).to_string();
    let expired = key(json!({ "scopes": ["admin"], "expiresAt": end })).await;
    let acme = server.call("GET", "/app/acme", None).await.id();
    let expired_portal = server.portal_token(&acme, |session| session.life = Some(Duration::from_secs(60)));
    let revoked_portal = server.portal_token(&acme, |_| {});
    server.call_as(&revoked_portal, "POST", "/auth/logout", None).await;
    server.after(Duration::from_secs(61)).await;

    let strangers = [
        ("no token", Stranger::Nobody, String::new()),
        ("nonsense", Stranger::Nobody, "hp_nonsense".to_owned()),
        ("an expired key", Stranger::Nobody, expired["key"].as_str().unwrap().to_owned()),
        ("a revoked key", Stranger::Nobody, revoked["key"].as_str().unwrap().to_owned()),
        ("an expired portal token", Stranger::Nobody, expired_portal),
        ("a revoked portal token", Stranger::Nobody, revoked_portal),
        ("another tenant", Stranger::Foreigner, server.token_of(OTHER_ORG)),
        ("a viewer", Stranger::Viewer, viewer),
        ("the portal of another application", Stranger::OtherPortal, portal),
        ("the integration of another application", Stranger::OtherPortal, integration),
        ("the portal of another stream", Stranger::OtherStream, other_stream),
        ("the message token of another application", Stranger::OtherSender, sender),
        ("the token of another poller", Stranger::OtherPoller, other_poller),
        ("the token of another poller of a stream", Stranger::OtherStreamPoller, other_stream_poller),
    ];
    let operations = routes::operations();
    let mut rows: Vec<_> = operations.iter().collect();
    rows.sort_by_key(|(_, _, id)| *id);
    assert_eq!(rows.len(), operations::OPERATIONS.len(), "tests/strangers/operations.rs names operations that are no more");
    let names: Vec<String> = world.fill.values().filter(|value| value.len() > 20 && !value.starts_with("org_")).cloned().collect();
    let before = world.everything().await;
    let mut wrong = Vec::new();
    for (who, stranger, token) in &strangers {
        for (method, route, id) in rows.iter().copied().filter(|(_, _, id)| !ends_own_session(*stranger, id)) {
            let (reach, may_view) = reach_of(id);
            let answer = server.call_as(token, method.as_str(), &world.path(route), body(route)).await;
            let as_expected = match told(*stranger, reach, may_view, method, route.contains('{')) {
                Told::Exactly(expected) => answer.summary() == expected,
                Told::Success => answer.status.is_success(),
                Told::Anything => !answer.status.is_server_error() && (answer.status != 401 || reach == Reach::Open),
            };
            if !as_expected {
                wrong.push(format!("{who}: {id}: {answer:?}"));
            }
            let said = String::from_utf8_lossy(&answer.bytes);
            for secret in &world.secrets {
                assert!(!said.contains(secret), "{who} learns a secret from {id}");
            }
            if *stranger != Stranger::Viewer {
                assert!(!said.contains(NAME), "{who} learns a name from {id}: {said}");
                assert!(names.iter().all(|name| !said.contains(name)), "{who} learns an id from {id}: {said}");
            }
        }
        assert_eq!(wrong, [] as [String; 0], "{}", wrong.join("\n"));
        let after = world.everything().await;
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(before, after, "{who} changed something");
        }
        assert_eq!(before.len(), after.len(), "{who} changed something");
    }
    // Who was refused a change stands in the log.
    let refused = server.call("GET", "/audit-log?limit=250", None).await.column("status");
    assert!(refused.iter().filter(|status| **status == json!(403)).count() > 100);
}

fn reaches(own: Own, reach: Reach, id: &str) -> bool {
    match own {
        Own::Portal => matches!(reach, Reach::Portal | Reach::Polls | Reach::Catalog | Reach::Portals) || id == "v1.authentication.logout",
        Own::StreamPortal => {
            matches!(reach, Reach::StreamPortal | Reach::StreamPolls | Reach::StreamCatalog | Reach::Portals)
                || id == "v1.authentication.stream-logout"
        }
        Own::Sender => reach == Reach::Senders,
        Own::Poller => reach == Reach::Polls,
        Own::StreamPoller => reach == Reach::StreamPolls,
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_open_what_is_their_own_and_nothing_else() {
    for (own, method, path) in [
        (Own::Portal, "POST", "/auth/app-portal-access/acme"),
        (Own::StreamPortal, "POST", "/auth/stream-portal-access/orders"),
        (Own::Sender, "POST", "/auth/app/acme/create-message-token"),
        (Own::Poller, "GET", "/auth/app/acme/poller/p/token"),
        (Own::StreamPoller, "GET", "/auth/stream/orders/sink/p/poller/token"),
    ] {
        let world = World::new().await;
        let token = world.server.call(method, path, (method == "POST").then(|| json!({ "name": "x" }))).await.json()["token"].clone();
        let token = token.as_str().unwrap();
        let operations = routes::operations();
        let mut rows: Vec<_> = operations.iter().filter(|(_, _, id)| reach_of(id).0 != Reach::Open).collect();
        // What ends something comes last.
        rows.sort_by_key(|(method, _, id)| (id.ends_with("logout") && reaches(own, Reach::Session, id), *method == Method::DELETE, *id));
        let mut opened = 0;
        for (method, route, id) in rows {
            let reach = reach_of(id).0;
            let answer = world.server.call_as(token, method.as_str(), &world.path(route), body(route)).await;
            let is_right = match reach {
                Reach::Everyone => answer.status.is_success(),
                _ if reaches(own, reach, id) => {
                    opened += 1;
                    !answer.status.is_server_error() && ![401, 403, 404].contains(&answer.status.as_u16())
                }
                Reach::Session => answer.summary() == "400 generic_error",
                Reach::Polls | Reach::StreamPolls if matches!(own, Own::Poller | Own::StreamPoller) => answer.summary() == "404 not_found",
                _ => answer.summary() == "403 insufficient access",
            };
            assert!(is_right, "{own:?}: {id}: {answer:?}");
        }
        assert!(opened > 0, "{own:?}");
    }
}
