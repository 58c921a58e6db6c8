//! Whether this node serves the lane. With a store of several nodes some lanes (those with an order, a limit or an open circuit) are served by one of
//! them, and leases may be lost; with an embedded store nothing of this ever happens.

use hookpost_domain::Timestamp;
use hookpost_domain::health::Health;
use hookpost_store::queue::LaneState;

use super::{Lane, Next, Work};

#[derive(Debug, Default)]
pub(super) struct Place {
    /// Another node serves it: nothing is held, attempted or claimed here.
    pub(super) elsewhere: bool,
    /// This node has attempted something: what it knows of the endpoint's health is newer than what the store knows.
    pub(super) served: bool,
    /// Whether the leases of this node hold is asked again at this time; before it nothing is attempted or claimed.
    pub(super) leases_doubted_until: Timestamp,
}

impl Lane {
    /// What the store says of it: at start, after the ready channel was full, or because of what other nodes did.
    pub(crate) fn restore(&mut self, state: &LaneState, with_health: bool) {
        if state.elsewhere {
            self.go_elsewhere();
        } else {
            self.place.elsewhere = false;
        }
        if with_health && !self.place.served {
            self.take_over(state.health);
        }
        if state.ready {
            self.claims.expect_backlog();
        }
        self.claims.due_at(state.next_due);
    }

    /// The health as another node left it, or this one before its start: the probe that was under way ended with it.
    pub(super) fn take_over(&mut self, health: Health) {
        self.health = health.probe_abandoned(Timestamp::ZERO);
        self.stored_health = self.health;
    }

    /// What is in memory is given back with the next plan; attempts in flight end and are recorded as ever, since their leases hold.
    fn go_elsewhere(&mut self) {
        self.place.elsewhere = true;
        self.forget_what_was_learnt();
    }

    /// Others have taken over what was leased to this node. It is given back all the same, for what was leased since then.
    pub(crate) fn leases_lost(&mut self) -> Vec<Work> {
        self.forget_what_was_learnt();
        self.give_back()
    }

    fn forget_what_was_learnt(&mut self) {
        self.place.served = false;
        if let Some(order) = &mut self.order {
            order.begin_again();
        }
    }

    /// The answer to a worker that asks while it is not certain that the leases hold.
    pub(crate) fn doubt_leases(&mut self, until: Timestamp) -> Next {
        self.place.leases_doubted_until = until;
        self.stop()
    }
}
