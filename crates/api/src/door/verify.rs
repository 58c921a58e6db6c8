//! Whether a request is what its provider signed: over the bytes as they arrived or, where something compressed them on their way, as they were before.

use std::borrow::Cow;

use hookpost_domain::receipt::Rejection;
use hookpost_providers::{Event, Handshake, Verified};
use http::header::CONTENT_ENCODING;

use super::arrival::Arrival;
use super::refusal::Refusal;
use crate::state::Api;

#[derive(Debug)]
pub(super) enum Believed {
    Handshake(Handshake),
    Event(Proof),
}

#[derive(Debug)]
pub(super) struct Proof {
    pub(super) event: Event,
    /// Why it is not believed, where the source takes it all the same.
    pub(super) unverified: Option<Rejection>,
}

pub(super) fn verify(api: &Api, arrival: &Arrival, body: &[u8]) -> Result<Believed, Refusal> {
    let Some(verifier) = &arrival.prepared.verifier else { return Err(Refusal::no_such_source()) };
    let verify = |body: &[u8]| verifier.verify(&arrival.request(body), arrival.verified_at);
    let mut verified = verify(body);
    if arrival.headers.contains_key(CONTENT_ENCODING) {
        match arrival.incoming(api, body).decoded() {
            Ok(Cow::Owned(decoded)) => verified = better(verified, verify(&decoded)),
            Ok(Cow::Borrowed(_)) => {}
            Err(unreadable) if verified.is_ok() => return Err(unreadable.into()),
            // Whoever sent it is not believed in the first place.
            Err(_) => {}
        }
    }
    match verified {
        Ok(Verified::Handshake(handshake)) => Ok(Believed::Handshake(handshake)),
        Ok(Verified::Event(event)) => Ok(Believed::Event(Proof { event, unverified: None })),
        Err(rejection) if arrival.source().rules.accept_unverified => {
            let unverified = Some(Refusal::from(rejection).rejection(None));
            Ok(Believed::Event(Proof { event: Event::default(), unverified }))
        }
        Err(rejection) => Err(rejection.into()),
    }
}

type Verdict = Result<Verified, hookpost_providers::Rejection>;

/// Of the verdicts over the bytes as they came and as they read: one that believes, with the event id and type that only the second can find.
fn better(as_came: Verdict, decoded: Verdict) -> Verdict {
    match (as_came, decoded) {
        (Ok(Verified::Event(mut event)), Ok(Verified::Event(read))) => {
            event.id = event.id.or(read.id);
            event.event_type = event.event_type.or(read.event_type);
            Ok(Verified::Event(event))
        }
        (Err(_), Ok(decoded)) => Ok(decoded),
        (as_came, _) => as_came,
    }
}
