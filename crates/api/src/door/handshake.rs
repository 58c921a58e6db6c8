//! A provider makes sure that we are who it thinks. Answers as the provider wants it; nothing becomes a message.

use bytes::Bytes;
use hookpost_domain::Invalid;
use hookpost_domain::receipt::{ReceiptTiming, ReceivedBody, Verdict};
use hookpost_domain::source::{ProviderSettings, Source, SourceKind};
use hookpost_providers::{Handshake, Secret};
use hookpost_store::WriteError;
use hookpost_store::intake::NewReceiptOutcome;
use http::StatusCode;

use super::arrival::Arrival;
use super::refusal::Refusal;
use super::{Outcome, prepared, receipt};
use crate::state::Api;

pub(super) async fn answer(
    api: &Api,
    arrival: &Arrival,
    body: &Bytes,
    timing: ReceiptTiming,
    handshake: Handshake,
) -> Result<Outcome, Refusal> {
    if let Some(secret) = handshake.secret {
        keep_secret(api, arrival, secret).await?;
    }
    let status = StatusCode::from_u16(handshake.answer.status).unwrap_or(StatusCode::OK);
    let settled = NewReceiptOutcome::Settled(Verdict::Handshake);
    let receipt = arrival.receipt(ReceivedBody::Bytes(body.clone()), status, timing, Some(&handshake.event), settled);
    receipt::write_later(api, arrival, receipt);
    Ok(Outcome::Handshake(handshake.answer))
}

/// Stores the secret that the provider hands over, before it hears yes: everything that follows is signed with it.
async fn keep_secret(api: &Api, arrival: &Arrival, secret: Secret) -> Result<(), Refusal> {
    let now = api.now();
    let change = move |source: &mut Source| {
        let SourceKind::Webhook { settings, .. } = &mut source.kind else { return Err(Invalid::new("is no webhook")) };
        let mut read = prepared::read_settings(settings).unwrap_or_default();
        // Whoever came first stays: the verifier that took this secret knew of none.
        if read.secret.is_some() {
            return Err(Invalid::new("has a secret already"));
        }
        read.secret = Some(secret);
        *settings = ProviderSettings(serde_json::to_string(&read).map_err(|_| Invalid::new("cannot be written"))?);
        source.updated_at = now;
        Ok(())
    };
    match api.store.update_source(arrival.source().id, Box::new(change)).await {
        Ok(_) => Ok(()),
        Err(WriteError::Unavailable(error)) => Err(error.into()),
        Err(_) => Err(Refusal::handshake_refused()),
    }
}
