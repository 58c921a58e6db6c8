//! The deliveries of one endpoint, with what can be claimed of them kept in order.

use std::collections::{BTreeMap, BTreeSet};

use hookpost_domain::health::Health;
use hookpost_domain::{ApplicationId, Delivery, DeliveryKey, DeliveryState, EndpointId, MessageId, Progress, Reason, Timestamp, Trigger};

use crate::queue::LeaseId;

#[derive(Debug, Clone)]
pub(super) struct Lane {
    pub(super) application: ApplicationId,
    pub(super) health: Health,
    rows: BTreeMap<MessageId, Row>,
    /// Unleased deliveries that were never scheduled for a time: pending since they were accepted.
    backlog: BTreeSet<MessageId>,
    /// Unleased deliveries that have a time: retries, later messages, attempts by hand.
    timed: BTreeSet<(Timestamp, MessageId, Trigger)>,
}

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) state: DeliveryState,
    pub(super) progress: Progress,
    /// Somebody asked for an attempt at this time.
    pub(super) manual: Option<Timestamp>,
    pub(super) lease: Option<Lease>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    pub(super) id: LeaseId,
    /// The request that this lease serves; `None` where it serves the schedule.
    pub(super) manual: Option<Timestamp>,
}

impl Lease {
    pub(super) fn trigger(self) -> Trigger {
        if self.manual.is_some() { Trigger::Manual } else { Trigger::Scheduled }
    }
}

impl Row {
    pub(super) fn new(state: DeliveryState) -> Self {
        Self { state, progress: Progress::default(), manual: None, lease: None }
    }

    pub(super) fn delivery(&self, message: MessageId, endpoint: EndpointId) -> Delivery {
        Delivery { key: DeliveryKey { message, endpoint }, state: self.state, progress: self.progress }
    }

    pub(super) fn take_lease(&mut self, id: LeaseId, trigger: Trigger) {
        let manual = if trigger == Trigger::Manual { self.manual.take() } else { None };
        self.lease = Some(Lease { id, manual });
    }

    /// Gives the lease back; what it was to serve is to be served again.
    pub(super) fn release(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.manual = lease.manual.into_iter().chain(self.manual).min();
        }
    }

    /// Ends it without a try, whoever holds it.
    pub(super) fn cancel(&mut self, reason: Reason) {
        (self.manual, self.lease) = (None, None);
        if !self.state.is_final() {
            self.state = DeliveryState::Canceled { reason };
        }
    }
}

impl Lane {
    pub(super) fn new(application: ApplicationId) -> Self {
        Self { application, health: Health::default(), rows: BTreeMap::new(), backlog: BTreeSet::new(), timed: BTreeSet::new() }
    }

    pub(super) fn rows(&self) -> impl DoubleEndedIterator<Item = (MessageId, &Row)> + Clone {
        self.rows.iter().map(|(message, row)| (*message, row))
    }

    pub(super) fn row(&self, message: MessageId) -> Option<&Row> {
        self.rows.get(&message)
    }

    pub(super) fn put(&mut self, message: MessageId, row: Row) {
        self.rows.insert(message, row);
        self.index(message);
    }

    /// The only way to change a row, so that the indexes follow.
    pub(super) fn change<R>(&mut self, message: MessageId, change: impl FnOnce(&mut Row) -> R) -> Option<R> {
        self.unindex(message);
        let result = self.rows.get_mut(&message).map(change);
        self.index(message);
        result
    }

    pub(super) fn remove(&mut self, message: MessageId) {
        self.unindex(message);
        self.rows.remove(&message);
    }

    pub(super) fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    pub(super) fn backlog(&self) -> impl Iterator<Item = MessageId> {
        self.backlog.iter().copied()
    }

    pub(super) fn timed(&self) -> impl Iterator<Item = (Timestamp, MessageId, Trigger)> + Clone {
        self.timed.iter().copied()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.backlog.is_empty() && self.timed.is_empty()
    }

    pub(super) fn cancel_all(&mut self, reason: Reason) {
        self.rows.values_mut().for_each(|row| row.cancel(reason));
        self.backlog.clear();
        self.timed.clear();
    }

    pub(super) fn forget_leases(&mut self) {
        for message in self.rows.keys().copied().collect::<Vec<_>>() {
            self.change(message, Row::release);
        }
    }

    fn index(&mut self, message: MessageId) {
        let Some(row) = self.rows.get(&message).filter(|row| row.lease.is_none()) else { return };
        self.timed.extend(row.manual.map(|at| (at, message, Trigger::Manual)));
        match row.state {
            DeliveryState::Pending => drop(self.backlog.insert(message)),
            DeliveryState::Waiting { at } => drop(self.timed.insert((at, message, Trigger::Scheduled))),
            _ => {}
        }
    }

    fn unindex(&mut self, message: MessageId) {
        let Some(row) = self.rows.get(&message) else { return };
        self.backlog.remove(&message);
        if let Some(at) = row.manual {
            self.timed.remove(&(at, message, Trigger::Manual));
        }
        if let DeliveryState::Waiting { at } = row.state {
            self.timed.remove(&(at, message, Trigger::Scheduled));
        }
    }
}
