//! What a genuine request becomes: the pure mapping, with what this server adds.

use bytes::Bytes;
use hookpost_providers::Event;
use hookpost_shaping::{Incoming, Mapped, Said};

use super::arrival::Arrival;
use super::refusal::Refusal;
use crate::state::Api;

/// As the provider names them; what is longer than any id is none.
const NAME_BYTES_MAX: usize = 512;

pub(super) fn map(api: &Api, arrival: &Arrival, incoming: &Incoming<'_>, body: &Bytes, event: &Event) -> Result<Mapped, Refusal> {
    let said = Said { event_id: bounded(event.id.as_deref()), event_type: bounded(event.event_type.as_deref()) };
    let expires_at = api.now() + api.settings.payload_retention;
    Ok(arrival.prepared.mapping.message(incoming, body.clone(), said, arrival.source().id, expires_at)?)
}

pub(super) fn bounded(name: Option<&str>) -> Option<&str> {
    name.filter(|name| name.len() <= NAME_BYTES_MAX)
}
