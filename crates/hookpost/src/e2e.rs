//! The whole server in this process, on a port of its own and in a directory of its own: what `serve` and `dev` wire, used as from outside.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use hookpost_domain::signature::VerificationKey;
use hookpost_domain::{Clock as _, OrgId, Scope};
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::{Client, path};
use crate::config::{Settings, resolve_for_test};
use crate::connections::{ConnectionLimits, Connections};
use crate::control::{self, KeyRequest};
use crate::dev::{self, DevFiles};
use crate::outside::SystemClock;
use crate::{listener, serve, wiring};

/// Longer than anything here takes, so that a test that waits in vain ends with a message.
const PATIENCE: Duration = Duration::from_secs(20);

struct TestServer {
    settings: Settings,
    url: String,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl TestServer {
    async fn start(data_dir: &std::path::Path) -> anyhow::Result<Self> {
        let data_dir = data_dir.to_str().expect("temporary directories are UTF-8");
        let settings = resolve_for_test(&[
            ("listen", "127.0.0.1:0"),
            ("data_dir", data_dir),
            ("allow_private_networks", "true"),
            ("shutdown_grace", "2s"),
        ]);
        let bound = serve::bind(&settings.listen)?;
        let url = serve::local_url(&bound)?;
        let parts = wiring::wire(&settings, &url).await?;
        let stop = CancellationToken::new();
        let router = parts.router.clone();
        let (sender, ready) = oneshot::channel();
        let say_ready = || {
            let _ = sender.send(());
            Ok(())
        };
        let task = TaskTracker::new().spawn({
            let (settings, stop) = (settings.clone(), stop.clone());
            async move { serve::serve(&settings, parts, router, bound, stop, say_ready).await }
        });
        ready.await?;
        Ok(Self { settings, url, stop, task })
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("the server does not panic").expect("the server stops in order");
    }

    /// A key made as an operator makes it, and a client with it.
    async fn client(&self) -> Client {
        let data_dir = self.settings.data_dir.clone();
        let org = OrgId::parse(OrgId::DEFAULT).unwrap();
        let request = KeyRequest::Create { org, name: "test".to_owned(), scopes: vec![Scope::Admin], expires_in: None };
        let key = blocking(move || control::ask(&data_dir, &control::Request::Key(request), |_, _| {})).await.unwrap();
        Client::to(&self.url, key.expect("the server listens on its control socket")["key"].as_str().unwrap())
    }
}

/// The commands' client and the control socket block, as commands do.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(work)).await.expect("it ends").expect("it does not panic")
}

/// A receiver that hands what it got to the test.
struct TestReceiver {
    url: String,
    received: mpsc::Receiver<(HeaderMap, Bytes)>,
    stop: CancellationToken,
}

impl TestReceiver {
    fn start() -> Self {
        let (sender, received) = mpsc::channel(16);
        let keep = async |State(sender): State<mpsc::Sender<(HeaderMap, Bytes)>>, headers: HeaderMap, body: Bytes| {
            sender.send((headers, body)).await.expect("the test takes what comes");
        };
        let router = Router::new().route("/", post(keep)).with_state(sender);
        let socket = listener::bind("127.0.0.1:0".parse().unwrap()).unwrap().listen().unwrap();
        let url = format!("http://{}/", socket.local_addr().unwrap());
        let stop = CancellationToken::new();
        let limits = ConnectionLimits { max: 100, per_address_max: 0, trusted_proxies: Vec::new() };
        drop(TaskTracker::new().spawn(listener::serve(vec![socket], router, Arc::new(Connections::new(limits)), stop.clone())));
        Self { url, received, stop }
    }

    async fn next(&mut self) -> (HeaderMap, Bytes) {
        tokio::time::timeout(PATIENCE, self.received.recv()).await.expect("something arrives").expect("the receiver runs")
    }
}

impl Drop for TestReceiver {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[tokio::test]
async fn an_event_arrives_signed_and_byte_for_byte() {
    let directory = tempfile::tempdir().unwrap();
    let mut receiver = TestReceiver::start();
    let server = TestServer::start(directory.path()).await.unwrap();
    let client = server.client().await;
    let receiver_url = receiver.url.clone();
    let (message, secret) = blocking(move || {
        client.post(&path("/app", &[]), &json!({"name": "Acme", "uid": "acme"})).unwrap();
        client.post(&path("/app/{}/endpoint", &["acme"]), &json!({"url": receiver_url, "uid": "one"})).unwrap();
        let body: Box<serde_json::value::RawValue> =
            serde_json::from_str(r#"{"eventType": "invoice.paid", "payload": {"b":  1.50, "a": "\u00e4"}}"#).unwrap();
        let message = client.post(&path("/app/{}/msg", &["acme"]), &body).unwrap();
        (message, client.get(&path("/app/{}/endpoint/{}/secret", &["acme", "one"])).unwrap())
    })
    .await;
    let (headers, body) = receiver.next().await;
    assert_eq!(body, r#"{"b":  1.50, "a": "\u00e4"}"#);
    let verification = VerificationKey::parse(secret["key"].as_str().unwrap()).unwrap();
    let id = verification.verify(&headers, &body, SystemClock.now(), Duration::from_secs(60)).unwrap();
    assert_eq!(id, message["id"]);
    server.stop().await;
}

#[tokio::test]
async fn metrics_of_all_parts_have_names_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let server = TestServer::start(directory.path()).await.unwrap();
    let client = server.client().await;
    let metrics = blocking(move || client.get_without_key("/metrics")).await.unwrap();
    let mut names: Vec<&str> =
        metrics.as_str().unwrap().lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(names.iter().all(|name| name.starts_with("hookpost_") && !name.starts_with("hookpost_hookpost_")), "{names:?}");
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert!(all == names.len() && all > 10, "a name stands twice: {metrics}");
    server.stop().await;
}

#[tokio::test]
async fn dev_makes_its_demo_once() {
    let directory = tempfile::tempdir().unwrap();
    let settings = resolve_for_test(&[("data_dir", directory.path().to_str().unwrap()), ("allow_private_networks", "true")]);
    let parts = wiring::wire(&settings, "http://127.0.0.1:1").await.unwrap();
    let files = DevFiles::in_directory(directory.path());
    let key = dev::ensure_key(&parts, &files).await.unwrap();
    for url in ["http://127.0.0.1:1", "http://127.0.0.1:1", "http://127.0.0.1:2"] {
        assert_eq!(dev::ensure_key(&parts, &files).await.unwrap(), key);
        dev::ensure_demo(&parts.router, &key, url).await.unwrap();
        let endpoints = dev::LocalApi { router: &parts.router, key: &key };
        let endpoints = endpoints.call(http::Method::GET, "/api/v1/app/demo/endpoint", None).await.unwrap();
        let urls: Vec<&Value> = endpoints["data"].as_array().unwrap().iter().map(|endpoint| &endpoint["url"]).collect();
        assert_eq!(urls, [&json!(format!("{url}/dev/receiver"))]);
    }
}

#[tokio::test]
async fn keys_are_managed_beside_a_running_server_and_end_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let server = TestServer::start(directory.path()).await.unwrap();
    let client = server.client().await;
    let data_dir = server.settings.data_dir.clone();
    blocking(move || {
        client.get(&path("/app", &[])).unwrap();
        let ask = |request| control::ask(&data_dir, &control::Request::Key(request), |_, _| {}).map(Option::unwrap);
        let keys = ask(KeyRequest::List { org: None }).unwrap();
        let id = keys["data"][0]["id"].as_str().unwrap().to_owned();
        assert!(keys["data"][0]["key"].is_null(), "a list shows a key");
        ask(KeyRequest::Revoke { org: None, id: id.clone() }).unwrap();
        assert_eq!(ask(KeyRequest::Revoke { org: None, id: id.clone() }).unwrap_err().to_string(), format!("there is no key {id}"));
        let refused = client.get(&path("/app", &[])).unwrap_err().to_string();
        assert!(refused.contains("(401)"), "{refused}");
    })
    .await;
    server.stop().await;
}
