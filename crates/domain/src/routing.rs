//! Which endpoints of an application a message goes to.

use std::sync::Arc;

use crate::endpoint::Endpoint;
use crate::limits;
use crate::message::{Routing, Skip};
use crate::name::{Channel, EventTypeName};
use crate::reason::Reason;

/// Decides for every endpoint; the order of the targets is the order of `endpoints`.
pub fn fan_out(endpoints: &[Arc<Endpoint>], event_type: &EventTypeName, channels: &[Channel]) -> Routing {
    let mut routing = Routing::default();
    for endpoint in endpoints {
        match reason_to_skip(endpoint, event_type, channels) {
            None => routing.targets.push(endpoint.id),
            Some(reason) if routing.skips.len() < limits::SKIPS_PER_MESSAGE_MAX => {
                routing.skips.push(Skip { endpoint: endpoint.id, reason });
            }
            Some(_) => {}
        }
    }
    routing
}

/// `None`: the message goes to this endpoint.
pub fn reason_to_skip(endpoint: &Endpoint, event_type: &EventTypeName, channels: &[Channel]) -> Option<Reason> {
    if endpoint.disabled.is_disabled() {
        return Some(Reason::EndpointDisabled);
    }
    if endpoint.event_types.as_ref().is_some_and(|wanted| !wanted.contains(event_type)) {
        return Some(Reason::EventTypeNotSubscribed);
    }
    if endpoint.channels.as_ref().is_some_and(|wanted| !wanted.iter().any(|channel| channels.contains(channel))) {
        return Some(Reason::ChannelNotSubscribed);
    }
    None
}
