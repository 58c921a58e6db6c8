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
    if endpoint.event_types.as_ref().is_some_and(|wanted| !wanted.iter().any(|pattern| pattern.matches(event_type))) {
        return Some(Reason::EventTypeNotSubscribed);
    }
    if endpoint.channels.as_ref().is_some_and(|wanted| !wanted.iter().any(|channel| channels.contains(channel))) {
        return Some(Reason::ChannelNotSubscribed);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Disabled;
    use crate::endpoint::tests::endpoint;
    use crate::name::EventTypePattern;

    fn route(endpoints: &[Arc<Endpoint>], event_type: &str, channels: &[&str]) -> Routing {
        let channels: Vec<_> = channels.iter().map(|channel| Channel::parse(channel).unwrap()).collect();
        fan_out(endpoints, &EventTypeName::parse(event_type).unwrap(), &channels)
    }

    fn wanting(number: u64, event_types: Option<&[&str]>, channels: Option<&[&str]>) -> Arc<Endpoint> {
        Arc::new(Endpoint {
            event_types: event_types.map(|all| all.iter().map(|one| EventTypePattern::parse(one).unwrap()).collect()),
            channels: channels.map(|all| all.iter().map(|one| Channel::parse(one).unwrap()).collect()),
            ..endpoint(number)
        })
    }

    #[test]
    fn a_message_goes_where_its_type_and_one_of_its_channels_are_wanted() {
        use Reason::{ChannelNotSubscribed as Channel, EventTypeNotSubscribed as Type};
        for (event_types, channels, event_type, message_channels, skipped) in [
            (None, None, "order.paid", &[][..], None),
            (None, None, "order.paid", &["a"], None),
            (Some(&["order.paid", "user.new"][..]), None, "order.paid", &[], None),
            (Some(&["order.*"]), None, "order.paid", &[], None),
            (Some(&["order.made"]), None, "order.paid", &[], Some(Type)),
            (Some(&[]), None, "order.paid", &[], Some(Type)),
            (None, Some(&["a", "b"][..]), "order.paid", &["b", "c"], None),
            (None, Some(&["a"]), "order.paid", &["b"], Some(Channel)),
            (None, Some(&["a"]), "order.paid", &[], Some(Channel)),
            (Some(&["order.made"]), Some(&["a"]), "order.paid", &["b"], Some(Type)),
        ] {
            let endpoint = wanting(1, event_types, channels);
            let routing = route(std::slice::from_ref(&endpoint), event_type, message_channels);
            assert_eq!(routing.targets.contains(&endpoint.id), skipped.is_none());
            assert_eq!(routing.skips.first().map(|skip| skip.reason), skipped, "{event_types:?} {channels:?}");
        }
    }

    #[test]
    fn disabled_endpoints_are_skipped_whatever_they_want() {
        for disabled in [Disabled::ByUser, Disabled::Automatically { failing_since: None }] {
            let routing = route(&[Arc::new(Endpoint { disabled, event_types: Some(vec![]), ..endpoint(1) })], "a", &[]);
            assert_eq!(routing.skips[0].reason, Reason::EndpointDisabled);
        }
    }

    #[test]
    fn keeps_the_order_and_a_bounded_number_of_skips() {
        let endpoints: Vec<_> =
            (0..100).map(|number| wanting(number, if number % 2 == 0 { None } else { Some(&["other"]) }, None)).collect();
        let routing = route(&endpoints, "a", &[]);
        assert_eq!(routing.targets.len(), 50);
        assert!(routing.targets.is_sorted());
        assert_eq!(routing.skips.len(), limits::SKIPS_PER_MESSAGE_MAX);
        assert_eq!(routing.skips[0].endpoint, endpoints[1].id);
    }
}
