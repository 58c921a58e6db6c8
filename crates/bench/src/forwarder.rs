//! The bare forwarder: the limit that everything is compared with. It takes a POST, parses it, answers 202, signs and POSTs it
//! on, with plain hyper on one thread, keep-alive and a bounded queue; it stores nothing and logs nothing.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use ring::hmac;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::sink::{SECRET, answer_with, serve_until};

const QUEUE_MESSAGES_MAX: usize = 4096;
/// Connections on which deliveries are sent, to all endpoints together.
const CONNECTIONS: usize = 64;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where to deliver; each message goes to `/ok/0`, `/ok/1` … there.
    #[arg(long)]
    to: Option<SocketAddr>,
    /// Deliveries of each message.
    #[arg(long, default_value_t = 1)]
    fan_out: u64,
    /// Answer only: the rate of hyper itself.
    #[arg(long)]
    answer_only: bool,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "eventType")]
    event_type: &'a str,
    #[serde(borrow)]
    payload: &'a RawValue,
}

struct Delivery {
    message: Rc<Message>,
    endpoint: u64,
}

struct Message {
    id: String,
    payload: Bytes,
}

/// Serves until its standard input ends, which it does with the process that started it. Prints its address first.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    println!("{}", listener.local_addr()?);
    let (stop, stopped) = oneshot::channel();
    std::thread::Builder::new().name("parent".into()).spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        drop(stop);
    })?;
    if arguments.answer_only {
        return serve_until(listener, stopped, |request: Request<Incoming>| async {
            let _ = request.into_body().collect().await;
            answer_with(StatusCode::ACCEPTED)
        });
    }
    let to = arguments.to.context("--to is missing")?;
    let fan_out = arguments.fan_out;
    let queue: Rc<std::cell::OnceCell<mpsc::Sender<Delivery>>> = Rc::default();
    let numbers = Rc::new(Cell::new(0_u64));
    serve_until(listener, stopped, move |request| {
        // Inside the runtime, so it is here that the senders can be started.
        let queue = queue.get_or_init(|| start_senders(to)).clone();
        let numbers = Rc::clone(&numbers);
        async move { accept(request, &queue, &numbers, fan_out).await.unwrap_or_else(answer_with) }
    })
}

async fn accept(
    request: Request<Incoming>,
    queue: &mpsc::Sender<Delivery>,
    numbers: &Cell<u64>,
    fan_out: u64,
) -> Result<hyper::Response<Full<Bytes>>, StatusCode> {
    let body = request.into_body().collect().await.map_err(|_| StatusCode::BAD_REQUEST)?.to_bytes();
    let event: Event<'_> = serde_json::from_slice(&body).map_err(|_| StatusCode::UNPROCESSABLE_ENTITY)?;
    if event.event_type.is_empty() {
        return Err(StatusCode::UNPROCESSABLE_ENTITY);
    }
    let number = numbers.replace(numbers.get() + 1);
    let message = Rc::new(Message { id: format!("msg_{number:027}"), payload: body.slice_ref(event.payload.get().as_bytes()) });
    for endpoint in 0..fan_out {
        let delivery = Delivery { message: Rc::clone(&message), endpoint };
        queue.send(delivery).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    }
    Ok(answer_with(StatusCode::ACCEPTED))
}

fn start_senders(to: SocketAddr) -> mpsc::Sender<Delivery> {
    let (queue, deliveries) = mpsc::channel(QUEUE_MESSAGES_MAX);
    let deliveries = Rc::new(Mutex::new(deliveries));
    for _ in 0..CONNECTIONS {
        let deliveries = Rc::clone(&deliveries);
        tokio::task::spawn_local(async move {
            if let Err(error) = deliver_all(to, &deliveries).await {
                eprintln!("the forwarder gave up a connection: {error:#}");
            }
        });
    }
    queue
}

async fn deliver_all(to: SocketAddr, deliveries: &Mutex<mpsc::Receiver<Delivery>>) -> Result<()> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(connection);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(SECRET.trim_start_matches("whsec_"))?);
    let host = HeaderValue::from_str(&to.to_string())?;
    loop {
        let Some(delivery) = deliveries.lock().await.recv().await else { return Ok(()) };
        sender.ready().await?;
        let response = sender.send_request(signed(&delivery, &key, &host)?).await?;
        response.into_body().collect().await?;
    }
}

fn signed(delivery: &Delivery, key: &hmac::Key, host: &HeaderValue) -> Result<Request<Full<Bytes>>> {
    let Message { id, payload } = &*delivery.message;
    let timestamp = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().to_string();
    let mut context = hmac::Context::with_key(key);
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", payload] {
        context.update(part);
    }
    let signature = format!("v1,{}", STANDARD.encode(context.sign()));
    let mut request = Request::new(Full::new(payload.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = format!("/ok/{}", delivery.endpoint).parse::<Uri>()?;
    let headers = request.headers_mut();
    headers.insert(HOST, host.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(HeaderName::from_static("webhook-id"), HeaderValue::from_str(id)?);
    headers.insert(HeaderName::from_static("webhook-timestamp"), HeaderValue::from_str(&timestamp)?);
    headers.insert(HeaderName::from_static("webhook-signature"), HeaderValue::from_str(&signature)?);
    Ok(request)
}
