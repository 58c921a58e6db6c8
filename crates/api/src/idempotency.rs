//! `idempotency-key`: a repeated `POST` gets the answer of the first and does nothing again, also after a restart and also when both come at once.
//!
//! Creating a message hands its key to the store, which keeps it in the same transaction. Every other `POST` goes through [`once`]: the first with a key
//! runs while the others wait; a 2xx answer is kept, anything else releases the key. The body is not compared.
//!
//! The first leaves a mark in the store before it runs. Whoever finds the mark without an answer, because the server ended in between, is told so with a
//! 409: nobody knows whether it was done, and doing it twice would be worse.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use hookpost_domain::limits::IDEMPOTENCY_KEY_BYTES_MAX;
use hookpost_store::IdempotencyKey;
use hookpost_store::intake::KeptAnswer;
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use parking_lot::Mutex;

use crate::auth::token;
use crate::extract::json_response;
use crate::front;
use crate::problem::{FieldError, Problem, VALUE_ERROR};
use crate::state::Api;

pub(crate) const HEADER: &str = "idempotency-key";

const LOOKED_FOR_ANSWER_EVERY: Duration = Duration::from_millis(100);
const LOOKS_FOR_ANSWER: usize = 50;
const RELEASED_AGAIN_EVERY: Duration = Duration::from_secs(1);
const RELEASED: &str = "Another request with this idempotency key failed at this moment: send it again.";
const UNFINISHED: &str = "A request with this idempotency key was begun and did not come to its end. Look whether it did its work; to do it again, use another key.";

/// The key of a request, if it has one: a hash over the credentials, the client's key and the path.
pub(crate) fn key_of(headers: &HeaderMap, path: &str) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(key) = headers.get(HEADER).map(http::HeaderValue::as_bytes).filter(|key| !key.is_empty()) else { return Ok(None) };
    if key.len() > IDEMPOTENCY_KEY_BYTES_MAX {
        return Err(Problem::Invalid(vec![FieldError {
            loc: vec!["header".to_owned(), HEADER.to_owned()],
            msg: format!("must be at most {IDEMPOTENCY_KEY_BYTES_MAX} bytes long"),
            r#type: VALUE_ERROR,
        }]));
    }
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    // With lengths before them, no two triples make the same bytes.
    for part in [headers.get(AUTHORIZATION).map_or(&[][..], http::HeaderValue::as_bytes), key, path.as_bytes()] {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut short = [0; 16];
    short.copy_from_slice(&hash.finish().as_ref()[..16]);
    Ok(Some(IdempotencyKey(short)))
}

/// Keys whose first request is under way.
#[derive(Debug, Default)]
pub(crate) struct InFlight(Mutex<HashMap<IdempotencyKey, Arc<tokio::sync::Mutex<()>>>>);

/// A place in the queue of one key; the last to leave removes the queue.
struct Place<'a> {
    in_flight: &'a InFlight,
    key: IdempotencyKey,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl InFlight {
    fn line_up(&self, key: IdempotencyKey) -> Place<'_> {
        let turn = Arc::clone(self.0.lock().entry(key).or_default());
        Place { in_flight: self, key, turn }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.in_flight.0.lock();
        // Ours and the map's: nobody else waits. New ones need the lock that we hold.
        if Arc::strong_count(&self.turn) == 2 {
            waiting.remove(&self.key);
        }
    }
}

/// Answers with what was kept under the key, or lets the handlers answer and keeps that.
///
/// What runs is finished even if the client goes away: otherwise its retry would do it again.
pub(crate) async fn once(api: Api, key: IdempotencyKey, request: Request, handlers: Router) -> Response {
    // A kept answer is not for whoever has lost their access since.
    if let Err(problem) = token::verify(&api, request.headers()).await {
        return problem.into_response();
    }
    let tasks = api.tasks.clone();
    let task = tasks.spawn(async move {
        let place = api.in_flight.line_up(key);
        let _turn = place.turn.lock().await;
        match api.store.begin_answer(key, api.now()).await {
            Ok(None) => keep(&api, key, front::dispatch(handlers, request).await).await,
            Ok(Some(found)) => answer_of_first(&api, key, found).await.map_or_else(|problem| problem.into_response(), replay),
            Err(error) => Problem::from(error).into_response(),
        }
    });
    task.await.unwrap_or_else(|_| Problem::Internal.into_response())
}

/// Another node may be about to give it.
async fn answer_of_first(api: &Api, key: IdempotencyKey, mut found: KeptAnswer) -> Result<KeptAnswer, Problem> {
    for _ in 0..LOOKS_FOR_ANSWER {
        if !found.is_begun() {
            return Ok(found);
        }
        tokio::time::sleep(LOOKED_FOR_ANSWER_EVERY).await;
        found = api.store.kept_answer(key, api.now()).await?.ok_or(Problem::conflict(RELEASED))?;
    }
    Err(Problem::conflict(UNFINISHED))
}

fn replay(kept: KeptAnswer) -> Response {
    let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    if kept.body.is_empty() { status.into_response() } else { json_response(status, kept.body) }
}

async fn keep(api: &Api, key: IdempotencyKey, response: Response) -> Response {
    if !response.status().is_success() {
        release(api.clone(), key).await;
        return response;
    }
    let (parts, body) = response.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Problem::Internal.into_response(),
    };
    let answer = KeptAnswer { status: parts.status.as_u16(), body: body.to_vec() };
    // The work is done and durable. Failing now would make the client repeat it.
    if let Err(error) = api.store.keep_answer(key, answer, api.now()).await {
        tracing::warn!(target: "hookpost::store", error = %error, "the answer to a request could not be kept: its repetition will be refused");
    }
    Response::from_parts(parts, body.into())
}

/// Nothing was done, so that a repetition may do it. Where the store is away, that is said once it is back.
async fn release(api: Api, key: IdempotencyKey) {
    if api.store.release_answer(key).await.is_ok() {
        return;
    }
    let tasks = api.tasks.clone();
    tasks.spawn(async move {
        while !api.stopping.is_cancelled() && api.store.release_answer(key).await.is_err() {
            tokio::time::sleep(RELEASED_AGAIN_EVERY).await;
        }
    });
}
