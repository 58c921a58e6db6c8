//! Receives webhooks: verifies, drops what came before, answers at once, works afterwards.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use standardwebhooks::Webhook;
use tokio::sync::mpsc;

const BODY_BYTES_MAX: usize = 2 << 20;
const IDS_REMEMBERED_MAX: usize = 100_000;

struct Receiver {
    webhook: Webhook,
    seen: Mutex<Seen>,
    jobs: mpsc::Sender<(String, Bytes)>,
}

/// The last ids, in the order in which they came.
#[derive(Default)]
struct Seen {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    fn is_new(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > IDS_REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let secret = std::env::var("WEBHOOK_SECRET").map_err(|_| "set WEBHOOK_SECRET to the secret of the endpoint (whsec_…)")?;
    let port: u16 = std::env::var("PORT").unwrap_or_else(|_| "9000".to_owned()).parse()?;
    let (jobs, queue) = mpsc::channel(1000);
    let receiver = Arc::new(Receiver { webhook: Webhook::new(&secret)?, seen: Mutex::default(), jobs });
    let worker = tokio::spawn(work(queue));

    let app = Router::new().fallback(post(receive)).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(receiver);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}/", listener.local_addr()?);
    axum::serve(listener, app).await?;
    worker.await?;
    Ok(())
}

async fn receive(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if let Err(error) = receiver.webhook.verify(&body, &headers) {
        println!("refused {error}");
        return StatusCode::UNAUTHORIZED;
    }
    // The signature covers the id, so it is there and is text.
    let id = headers.get("webhook-id").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_new = receiver.seen.lock().is_ok_and(|mut seen| seen.is_new(id));
    if !is_new {
        println!("again {id}");
    } else if receiver.jobs.send((id.to_owned(), body)).await.is_err() {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    StatusCode::NO_CONTENT
}

/// What the webhook is for. It may take its time: the answer has been given.
async fn work(mut queue: mpsc::Receiver<(String, Bytes)>) {
    while let Some((id, body)) = queue.recv().await {
        println!("new {id} {}", String::from_utf8_lossy(&body));
    }
}
