//! What this node holds. A lease is implied (its delivery has no row: the message was accepted by this node and never left its hands) or explicit (a row of
//! `queue` names it). In memory it is what a record must show; in the database what other nodes see.

use std::collections::{BTreeMap, HashMap};

use hookpost_domain::task::DeliveryStatus;
use hookpost_domain::{DeliveryKey, EndpointId, MessageId, RowId, Timestamp, Trigger};
use hookpost_store::LeaseId;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) id: LeaseId,
    pub(crate) trigger: Trigger,
    /// No row yet.
    pub(crate) implied: bool,
    /// As the delivery is counted while it is held: nobody else changes that.
    pub(crate) status: DeliveryStatus,
    /// When its message was accepted.
    pub(crate) created_at: Timestamp,
}

#[derive(Debug, Default)]
pub(crate) struct Leases {
    /// In the order of the messages: before the first one nothing is implied.
    implied: BTreeMap<DeliveryKey, Lease>,
    explicit: HashMap<DeliveryKey, Lease>,
    /// The first of those messages that are being written, or of which it is not known whether they were: they imply deliveries as soon as they are there.
    in_flight: Option<MessageId>,
    /// The first of those messages that may yet be committed.
    unsettled: Option<MessageId>,
    last: u64,
    /// As other nodes know it, or will in a moment: what this one holds of messages below has rows.
    implied_from: i64,
}

impl Leases {
    /// A new life, which has no message below the mark.
    pub(crate) fn begin_at(&mut self, mark: RowId) {
        self.implied_from = mark.as_i64();
    }

    /// Moves the mark to the first message that is implied or under way, or else to `next`, and never back.
    pub(crate) fn advance_mark(&mut self, next: RowId) -> RowId {
        let first = self.first_implied().map_or(next, MessageId::row);
        self.implied_from = self.implied_from.max(first.as_i64());
        RowId::from_i64(self.implied_from)
    }

    /// A number for a lease that is to be written before it is held.
    pub(crate) fn next_id(&mut self) -> LeaseId {
        self.last += 1;
        LeaseId(self.last)
    }

    pub(crate) fn implied(&mut self, key: DeliveryKey, created_at: Timestamp) -> LeaseId {
        let id = self.next_id();
        let lease = Lease { id, trigger: Trigger::Scheduled, implied: true, status: DeliveryStatus::Pending, created_at };
        self.implied.insert(key, lease);
        id
    }

    /// Of a row that names this node and `id` ([`Self::next_id`]).
    pub(crate) fn explicit(&mut self, key: DeliveryKey, id: LeaseId, trigger: Trigger, status: DeliveryStatus, created_at: Timestamp) {
        self.implied.remove(&key);
        self.explicit.insert(key, Lease { id, trigger, implied: false, status, created_at });
    }

    /// The delivery got a row that names this node, under the same lease.
    pub(crate) fn make_explicit(&mut self, key: DeliveryKey, id: LeaseId) {
        if self.implied.get(&key).is_some_and(|lease| lease.id == id)
            && let Some(lease) = self.implied.remove(&key)
        {
            self.explicit.insert(key, Lease { implied: false, ..lease });
        }
    }

    /// `None`: it was lost, or never was.
    pub(crate) fn of(&self, key: DeliveryKey, id: LeaseId) -> Option<Lease> {
        self.held(key).filter(|lease| lease.id == id)
    }

    pub(crate) fn held(&self, key: DeliveryKey) -> Option<Lease> {
        self.implied.get(&key).or_else(|| self.explicit.get(&key)).copied()
    }

    pub(crate) fn end(&mut self, key: DeliveryKey) -> Option<Lease> {
        self.implied.remove(&key).or_else(|| self.explicit.remove(&key))
    }

    /// Its deliveries have ended with it.
    pub(crate) fn end_endpoint(&mut self, endpoint: EndpointId) {
        self.implied.retain(|key, _| key.endpoint != endpoint);
        self.explicit.retain(|key, _| key.endpoint != endpoint);
    }

    /// Messages that are forgotten.
    pub(crate) fn end_messages(&mut self, is_gone: impl Fn(MessageId) -> bool) {
        self.implied.retain(|key, _| !is_gone(key.message));
        self.explicit.retain(|key, _| !is_gone(key.message));
    }

    /// Another node has taken over.
    pub(crate) fn end_all(&mut self) {
        self.implied.clear();
        self.explicit.clear();
        self.in_flight = None;
        // Nothing can be committed in the name of a life that is over.
        self.unsettled = None;
    }

    /// To be called with the first id of a group under the lock under which its ids are given.
    pub(crate) fn begin_group(&mut self, first: Option<MessageId>) {
        self.set_in_flight(first);
        self.unsettled = [self.unsettled, first].into_iter().flatten().min();
    }

    /// What was under way is committed and can be seen, or never will be.
    pub(crate) fn settle(&mut self) {
        self.unsettled = None;
    }

    pub(crate) fn unsettled(&self) -> Option<MessageId> {
        self.unsettled
    }

    /// From here on messages may be in the database whose deliveries are not held yet; to be called before the first of them is sent, and with `None`
    /// when those that were written are held.
    pub(crate) fn set_in_flight(&mut self, from: Option<MessageId>) {
        self.in_flight = from;
    }

    /// Where `implied_from` of this node may stand; `None`: nothing is implied, neither now nor in what is under way.
    pub(crate) fn first_implied(&self) -> Option<MessageId> {
        let first = self.implied.first_key_value().map(|(key, _)| key.message);
        [first, self.in_flight].into_iter().flatten().min()
    }

    /// When the oldest message was accepted that was handed over and has no outcome.
    pub(crate) fn oldest_implied_at(&self) -> Option<Timestamp> {
        self.implied.first_key_value().map(|(_, lease)| lease.created_at)
    }

    /// What is implied of messages up to `last`, oldest first.
    pub(crate) fn implied_up_to(&self, last: MessageId) -> impl Iterator<Item = (DeliveryKey, Lease)> + '_ {
        self.implied.iter().take_while(move |(key, _)| key.message <= last).map(|(key, lease)| (*key, *lease))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (DeliveryKey, Lease)> + '_ {
        self.implied.iter().chain(&self.explicit).map(|(key, lease)| (*key, *lease))
    }
}
