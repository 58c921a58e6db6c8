//! What was sent, counted.

use hookpost_domain::{ApplicationId, EventTypeName, Timestamp};

use super::State;
use crate::usage::{FINE_S, Usage, UsageCounts, span_of};

impl State {
    pub(super) fn count_usage(&mut self, application: ApplicationId, event_type: &EventTypeName, at: Timestamp, counts: UsageCounts) {
        self.usage.entry((application, span_of(at, FINE_S), event_type.clone())).or_default().add(counts);
    }

    pub(super) fn usage_of(&self, application: ApplicationId, since: Timestamp, until: Timestamp) -> Vec<Usage> {
        let begin = |span: u64| Timestamp::from_unix_ms(span * FINE_S * 1000);
        let own = self.usage.iter().filter(|((owner, ..), _)| *owner == application);
        let usage = own.map(|((_, span, event_type), counts)| Usage { at: begin(*span), event_type: event_type.clone(), counts: *counts });
        usage.filter(|usage| (since..until).contains(&usage.at)).collect()
    }
}
