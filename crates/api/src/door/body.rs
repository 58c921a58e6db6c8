//! Reads a body: within its size, its time, and the memory that there is for bodies. Keeps the bytes as they come.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use hookpost_domain::limits;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::Body as _;
use http_body_util::{BodyExt, Limited};

use super::limits::Held;
use super::refusal::Refusal;
use crate::state::Api;

/// What is refused before a byte of the body is read.
pub(super) fn check_announced(headers: &HeaderMap, body: &Body, bytes_max: usize) -> Result<(), Refusal> {
    if announced(headers, body) > bytes_max as u64 { Err(Refusal::body_too_large(bytes_max)) } else { Ok(()) }
}

/// What a server in front of us takes, and no provider needs, is too much to keep.
pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), Refusal> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > limits::SOURCE_HEADERS_MAX || bytes > limits::SOURCE_HEADERS_BYTES_MAX {
        let (count_max, bytes_max) = (limits::SOURCE_HEADERS_MAX, limits::SOURCE_HEADERS_BYTES_MAX);
        return Err(Refusal::headers_too_large(format!("A request may have {count_max} headers of together {bytes_max} bytes.")));
    }
    Ok(())
}

/// Reads on beside the answer, within bounds, and keeps nothing. Most clients look for the answer only after they have sent everything: if the
/// connection closed under them they would see it broken.
pub(super) fn throw_away(api: &Api, body: Body) {
    if body.is_end_stream() {
        return;
    }
    api.tasks.spawn(async move {
        let mut body = Limited::new(body, limits::SOURCE_BODY_BYTES_DRAINED_MAX);
        let to_its_end = async { while let Some(Ok(_)) = body.frame().await {} };
        let _ = tokio::time::timeout(limits::REQUEST_BODY_DRAIN_MAX, to_its_end).await;
    });
}

/// How long the body says it is; 0 where it does not.
pub(super) fn announced(headers: &HeaderMap, body: &Body) -> u64 {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    length.unwrap_or_else(|| body.size_hint().lower())
}

pub(super) async fn read(body: &mut Body, bytes_max: usize, held: &mut Held) -> Result<Bytes, Refusal> {
    let read = tokio::time::timeout(limits::SOURCE_BODY_READ_MAX, read_all(body, bytes_max, held));
    read.await.unwrap_or_else(|_| Err(Refusal::slow_body(limits::SOURCE_BODY_READ_MAX.as_secs())))
}

async fn read_all(body: &mut Body, bytes_max: usize, held: &mut Held) -> Result<Bytes, Refusal> {
    // Nearly all bodies come in one piece, which is then the body: no copy.
    let Some(first) = next(body).await? else { return Ok(Bytes::new()) };
    take(&first, 0, bytes_max, held)?;
    let Some(second) = next(body).await? else { return Ok(first) };
    take(&second, first.len(), bytes_max, held)?;
    let mut whole = BytesMut::with_capacity((first.len() + second.len()) * 2);
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&second);
    while let Some(piece) = next(body).await? {
        take(&piece, whole.len(), bytes_max, held)?;
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

fn take(piece: &Bytes, before: usize, bytes_max: usize, held: &mut Held) -> Result<(), Refusal> {
    if before + piece.len() > bytes_max {
        return Err(Refusal::body_too_large(bytes_max));
    }
    held.add(piece.len())
}

/// The next piece that has bytes; trailers are no part of a body.
async fn next(body: &mut Body) -> Result<Option<Bytes>, Refusal> {
    while let Some(frame) = body.frame().await {
        match frame.map_err(|_| Refusal::incomplete_body())?.into_data() {
            Ok(data) if !data.is_empty() => return Ok(Some(data)),
            _ => {}
        }
    }
    Ok(None)
}
