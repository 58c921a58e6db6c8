//! What holds a lane back: somebody who works on it, doubted leases, pauses, the circuit, the order; and what goes all the same.

use hookpost_domain::Timestamp;
use hookpost_domain::health::Permit;

use super::order::Order;
use super::{Lane, Plan};

pub(super) enum Gate {
    Open,
    Until(Timestamp),
    /// Something will happen that makes a new plan.
    Event,
}

impl Lane {
    /// Whether deliveries may be attempted at all.
    pub(super) fn gate(&self, now: Timestamp) -> Gate {
        if self.stands_still() {
            return Gate::Event;
        }
        if self.place.leases_doubted_until > now {
            return Gate::Until(self.place.leases_doubted_until);
        }
        if self.ends_untried() {
            return Gate::Open;
        }
        let mut until = self.pace.until();
        match self.health.permit(now) {
            Permit::Go => {}
            Permit::NotBefore(time) => until = until.max(time),
            // What was under way when the circuit opened ends first, so that its failures are not taken for the probe's.
            Permit::Probe(_) if self.in_flight > 0 => return Gate::Event,
            Permit::Probe(_) => {}
            Permit::AwaitProbe => return Gate::Event,
        }
        if until > now { Gate::Until(until) } else { Gate::Open }
    }

    fn stands_still(&self) -> bool {
        let by_order = self.order.as_ref().is_some_and(Order::stands_still);
        self.holds > 0 || self.shared.is_halted() || (by_order && !self.ends_untried())
    }

    /// The endpoint is gone or disabled: deliveries only end, and nothing that protects the receiver holds them up.
    pub(super) fn ends_untried(&self) -> bool {
        self.target.as_ref().is_some_and(|target| target.ends_untried())
    }

    /// What somebody has just asked for by hand does not wait for the end of a pause: it is tried, one at a time, and if it succeeds the pause is over.
    pub(super) fn plan_by_hand(&mut self, now: Timestamp, plan: &mut Plan) {
        if !self.goes_by_hand(now) || self.claims.under_way {
            return;
        }
        if self.queue.place_of_manual().is_some() {
            plan.start = usize::from(self.workers == 0);
        } else if self.claims.next_due.is_some_and(|due| due <= now) {
            plan.claim = Some(self.begin_claim());
        } else {
            self.by_hand = 0;
        }
    }

    pub(super) fn goes_by_hand(&self, now: Timestamp) -> bool {
        self.by_hand > 0
            && self.in_flight == 0
            && self.pace.throttled_until <= now
            && self.place.leases_doubted_until <= now
            && !self.stands_still()
            && self.health.permit(now) != Permit::AwaitProbe
    }
}
