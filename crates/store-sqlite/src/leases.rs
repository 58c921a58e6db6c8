//! Who has which delivery in hand, and where the backlog of an endpoint begins. In memory only, behind one short lock; what must outlive the
//! process is handed to the writer as [`Persist`].
//!
//! A pending delivery without a row is always in exactly one of these places, so that a crash at any moment finds it again:
//! leased since its commit (then the low-water mark stands below its message), listed in `held`, or at or above the stored cursor of its endpoint's backlog.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use hookpost_domain::delivery::Transition;
use hookpost_domain::{DeliveryKey, DeliveryState, EndpointId, MessageId, Progress, RowId, Timestamp, Trigger};
use hookpost_store::LeaseId;

use crate::FastHash;

/// A message whose first attempt takes longer than this many later ones is written down as held, so that the mark moves on.
const MARK_LAG_MESSAGES_MAX: u64 = 50_000;
/// A stored cursor follows what is done in steps.
const CURSOR_STEP: u32 = 1024;

/// How a delivery came into someone's hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Handed over by the commit of its message.
    Commit,
    /// The same, but its message is below the mark: written down in `held`.
    Held,
    Backlog,
    Due {
        at: Timestamp,
    },
    /// By the writer, while it cancels.
    Canceling,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Lease {
    pub(crate) id: LeaseId,
    pub(crate) origin: Origin,
    pub(crate) trigger: Trigger,
    pub(crate) state: DeliveryState,
    pub(crate) progress: Progress,
    pub(crate) has_row: bool,
    /// When its message was accepted.
    pub(crate) created_at: Timestamp,
    /// Another attempt by hand was asked for while this one, by hand too, is under way.
    pub(crate) again: Option<Timestamp>,
    /// Its record is being written.
    recording: bool,
}

/// What a claim takes out of the backlog or the due table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) message: MessageId,
    pub(crate) origin: Origin,
    pub(crate) trigger: Trigger,
}

/// What the rows said about a candidate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Confirmed {
    pub(crate) created_at: Timestamp,
    pub(crate) state: DeliveryState,
    pub(crate) progress: Progress,
    pub(crate) has_row: bool,
}

/// What must be in the next commit.
#[derive(Debug, Default)]
pub(crate) struct Persist {
    /// Every pending delivery of a message up to here is covered by a backlog or a held row.
    pub(crate) mark: u64,
    /// `None`: the endpoint has no backlog any more.
    pub(crate) cursors: Vec<(EndpointId, Option<MessageId>)>,
    pub(crate) held: Vec<DeliveryKey>,
}

#[derive(Debug, Default)]
pub(crate) struct Leases {
    /// In the order of the messages, so that those of one message stand together.
    leases: BTreeMap<DeliveryKey, Lease>,
    last_lease: u64,
    /// Messages with deliveries of [`Origin::Commit`]: how many, and the ordinal of the message.
    unrecorded: BTreeMap<MessageId, (u32, u64)>,
    ordinal: u64,
    mark_lag_max: u64,
    /// The newest message that was committed.
    newest: u64,
    backlogs: HashMap<EndpointId, Backlog, FastHash>,
    to_persist: HashSet<EndpointId, FastHash>,
    /// Deleted endpoints: nothing is handed out for them.
    gone: HashSet<EndpointId, FastHash>,
}

#[derive(Debug, Default)]
struct Backlog {
    /// New messages are not handed over but found from `next` on.
    open: bool,
    next: u64,
    /// The newest message that was not handed over because of this backlog.
    newest_left: u64,
    in_flight: BTreeSet<u64>,
    /// What the table says.
    stored: Option<u64>,
    ended: u32,
}

impl Backlog {
    fn covers_from(&self) -> Option<u64> {
        let next = self.open.then_some(self.next);
        match (self.in_flight.first().copied(), next) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

impl Leases {
    /// `opened`: how many times the store was opened, so that a lease of an earlier time is never taken for one of now.
    pub(crate) fn recovered(
        opened: u64,
        newest: MessageId,
        backlogs: impl IntoIterator<Item = (EndpointId, MessageId)>,
        gone: Vec<EndpointId>,
    ) -> Self {
        let backlog =
            |cursor: MessageId| Backlog { open: true, next: cursor.row().raw(), stored: Some(cursor.row().raw()), ..Backlog::default() };
        Self {
            last_lease: opened << 40,
            newest: newest.row().raw(),
            mark_lag_max: MARK_LAG_MESSAGES_MAX,
            backlogs: backlogs.into_iter().map(|(endpoint, cursor)| (endpoint, backlog(cursor))).collect(),
            gone: gone.into_iter().collect(),
            ..Self::default()
        }
    }

    /// A message is durable. Follow with [`Self::hand_over`] for its targets.
    pub(crate) fn committed(&mut self, message: MessageId) {
        self.newest = message.row().raw();
        self.ordinal += 1;
    }

    /// Leases a delivery of a message that was just committed; `None` if it is to wait on disk.
    pub(crate) fn hand_over(&mut self, key: DeliveryKey, created_at: Timestamp) -> Option<LeaseId> {
        if self.gone.contains(&key.endpoint) {
            return None;
        }
        if let Some(backlog) = self.backlogs.get_mut(&key.endpoint).filter(|backlog| backlog.open) {
            backlog.newest_left = key.message.row().raw();
            return None;
        }
        let unrecorded = self.unrecorded.entry(key.message).or_insert((0, self.ordinal));
        unrecorded.0 += 1;
        let lease = self.new_lease(Origin::Commit, Trigger::Scheduled, created_at);
        self.leases.insert(key, lease);
        Some(lease.id)
    }

    fn new_lease(&mut self, origin: Origin, trigger: Trigger, created_at: Timestamp) -> Lease {
        self.last_lease += 1;
        Lease {
            id: LeaseId(self.last_lease),
            origin,
            trigger,
            state: DeliveryState::Pending,
            progress: Progress::default(),
            has_row: false,
            created_at,
            again: None,
            recording: false,
        }
    }

    pub(crate) fn is_leased(&self, key: DeliveryKey) -> bool {
        self.leases.contains_key(&key)
    }

    pub(crate) fn is_gone(&self, endpoint: EndpointId) -> bool {
        self.gone.contains(&endpoint)
    }

    /// Where a claim goes on in the backlog of an endpoint.
    pub(crate) fn backlog_from(&self, endpoint: EndpointId) -> Option<MessageId> {
        let backlog = self.backlogs.get(&endpoint).filter(|backlog| backlog.open && !self.gone.contains(&endpoint))?;
        Some(MessageId::from_row(RowId::from_raw(backlog.next)))
    }

    pub(crate) fn backlogged(&self) -> impl Iterator<Item = EndpointId> {
        self.backlogs.iter().filter(|(_, backlog)| backlog.open).map(|(endpoint, _)| *endpoint)
    }

    /// Takes candidates out of the backlog or the due table before their rows are looked at, so that what is read afterwards stays true; skips those that
    /// someone has. Where the candidates reach into the backlog, `passed` says from where to where: it goes on behind that next time, in one step with the
    /// leases, so that no release in between is passed over. `None`: it was lowered since it was read, and is to be read again.
    pub(crate) fn reserve(
        &mut self,
        endpoint: EndpointId,
        candidates: impl IntoIterator<Item = Candidate>,
        passed: Option<(MessageId, MessageId)>,
    ) -> Option<Vec<(Candidate, LeaseId)>> {
        if self.gone.contains(&endpoint) {
            return Some(Vec::new());
        }
        if let Some((from, last)) = passed {
            let backlog = self.backlogs.get_mut(&endpoint).filter(|backlog| backlog.open && backlog.next == from.row().raw())?;
            backlog.next = last.row().raw() + 1;
        }
        let mut reserved = Vec::new();
        for candidate in candidates {
            let key = DeliveryKey { message: candidate.message, endpoint };
            if self.leases.contains_key(&key) {
                continue;
            }
            // By hand, too, it may be the first attempt: its place in the backlog is kept until it is known.
            if candidate.origin == Origin::Backlog || candidate.trigger == Trigger::Manual {
                self.backlogs.entry(endpoint).or_default().in_flight.insert(candidate.message.row().raw());
            }
            // The rest is not known before the rows are read.
            let lease = self.new_lease(candidate.origin, candidate.trigger, Timestamp::ZERO);
            self.leases.insert(key, lease);
            reserved.push((candidate, lease.id));
        }
        Some(reserved)
    }

    pub(crate) fn confirm(&mut self, key: DeliveryKey, id: LeaseId, confirmed: Confirmed) {
        if let Some(lease) = self.leases.get_mut(&key).filter(|lease| lease.id == id) {
            let Confirmed { created_at, state, progress, has_row } = confirmed;
            *lease = Lease { created_at, state, progress, has_row, ..*lease };
            if state != DeliveryState::Pending {
                self.leave_backlog(key);
            }
        }
    }

    /// Passes over the messages at the head of a backlog that are done or in someone's hands; `rows` says of each, from `from` on, whether it is done.
    /// `false`: one that waits was found, or the cursor was lowered meanwhile.
    pub(crate) fn pass_over(&mut self, endpoint: EndpointId, from: MessageId, rows: &[(MessageId, bool)]) -> bool {
        let leases = &self.leases;
        let Some(backlog) = self.backlogs.get_mut(&endpoint).filter(|backlog| backlog.open && backlog.next == from.row().raw()) else {
            return false;
        };
        for &(message, done) in rows {
            if !done && !leases.contains_key(&DeliveryKey { message, endpoint }) {
                backlog.next = message.row().raw();
                return false;
            }
            backlog.next = message.row().raw() + 1;
        }
        true
    }

    /// Ends the backlog of an endpoint whose list was found to end before `from`, unless something came to it since, before or behind: new messages are
    /// handed over again.
    pub(crate) fn close_backlog(&mut self, endpoint: EndpointId, from: MessageId) {
        if let Some(backlog) = self.backlogs.get_mut(&endpoint)
            && backlog.open
            && backlog.next == from.row().raw()
            && backlog.newest_left < from.row().raw()
        {
            backlog.open = false;
            self.tidy(endpoint);
        }
    }

    /// A delivery that is in nobody's hands, for the writer to end it.
    pub(crate) fn reserve_to_cancel(&mut self, key: DeliveryKey) -> Option<LeaseId> {
        if self.leases.contains_key(&key) {
            return None;
        }
        let lease = self.new_lease(Origin::Canceling, Trigger::Manual, Timestamp::ZERO);
        self.leases.insert(key, lease);
        Some(lease.id)
    }

    /// Another attempt by hand is asked for. `true`: one is under way, and this one follows it.
    pub(crate) fn ask_again(&mut self, key: DeliveryKey, at: Timestamp) -> bool {
        match self.leases.get_mut(&key).filter(|lease| lease.trigger == Trigger::Manual && matches!(lease.origin, Origin::Due { .. })) {
            Some(lease) => {
                lease.again = Some(lease.again.map_or(at, |earlier| earlier.min(at)));
                true
            }
            None => false,
        }
    }

    /// Ends a reservation whose delivery turned out to be done, or not due.
    pub(crate) fn drop_reservation(&mut self, key: DeliveryKey, id: LeaseId) {
        if let Some(lease) = self.remove(key, id) {
            self.left(key, lease.origin);
        }
    }

    /// Gives a lease back untouched.
    pub(crate) fn release(&mut self, key: DeliveryKey, id: LeaseId) {
        if self.leases.get(&key).is_some_and(|lease| lease.recording) {
            return;
        }
        if let Some(lease) = self.remove(key, id) {
            self.ended(key, lease.origin, lease.state);
        }
    }

    /// `None`: the lease was lost, or is being recorded already.
    pub(crate) fn begin_record(&mut self, key: DeliveryKey, id: LeaseId) -> Option<Lease> {
        let lease = self.leases.get_mut(&key).filter(|lease| lease.id == id && !lease.recording)?;
        lease.recording = true;
        Some(*lease)
    }

    /// Nothing was written: the lease holds as before.
    pub(crate) fn undo_record(&mut self, key: DeliveryKey, id: LeaseId) {
        if let Some(lease) = self.leases.get_mut(&key).filter(|lease| lease.id == id) {
            lease.recording = false;
        }
    }

    pub(crate) fn recorded(&mut self, key: DeliveryKey, id: LeaseId, transition: Transition) {
        if let Some(lease) = self.remove(key, id) {
            self.ended(key, lease.origin, transition.state);
        }
    }

    fn remove(&mut self, key: DeliveryKey, id: LeaseId) -> Option<Lease> {
        match self.leases.entry(key) {
            std::collections::btree_map::Entry::Occupied(entry) if entry.get().id == id => Some(entry.remove()),
            _ => None,
        }
    }

    fn ended(&mut self, key: DeliveryKey, origin: Origin, state: DeliveryState) {
        self.left(key, origin);
        // Whatever it was leased for: a delivery that still waits for its first attempt must be found again.
        if state == DeliveryState::Pending && !self.gone.contains(&key.endpoint) {
            let message = key.message.row().raw();
            let backlog = self.backlogs.entry(key.endpoint).or_default();
            backlog.next = if backlog.open { backlog.next.min(message) } else { message };
            backlog.open = true;
            if backlog.stored.is_none_or(|stored| message < stored) {
                self.to_persist.insert(key.endpoint);
            }
        }
    }

    fn left(&mut self, key: DeliveryKey, origin: Origin) {
        match origin {
            Origin::Commit => {
                if let std::collections::btree_map::Entry::Occupied(mut entry) = self.unrecorded.entry(key.message) {
                    entry.get_mut().0 -= 1;
                    if entry.get().0 == 0 {
                        entry.remove();
                    }
                }
            }
            Origin::Backlog | Origin::Due { .. } => self.leave_backlog(key),
            Origin::Held | Origin::Canceling => {}
        }
    }

    fn leave_backlog(&mut self, key: DeliveryKey) {
        if let Some(backlog) = self.backlogs.get_mut(&key.endpoint)
            && backlog.in_flight.remove(&key.message.row().raw())
        {
            self.step(key.endpoint);
            self.tidy(key.endpoint);
        }
    }

    fn step(&mut self, endpoint: EndpointId) {
        if let Some(backlog) = self.backlogs.get_mut(&endpoint) {
            backlog.ended += 1;
            if backlog.ended >= CURSOR_STEP {
                backlog.ended = 0;
                self.to_persist.insert(endpoint);
            }
        }
    }

    fn tidy(&mut self, endpoint: EndpointId) {
        if self.backlogs.get(&endpoint).is_some_and(|backlog| backlog.covers_from().is_none()) {
            self.to_persist.insert(endpoint);
        }
    }

    /// Its deliveries have ended: leases on them are lost, and nothing is handed out any more.
    pub(crate) fn forget_endpoint(&mut self, endpoint: EndpointId) {
        self.gone.insert(endpoint);
        let lost: Vec<_> = self.leases.iter().filter(|(key, _)| key.endpoint == endpoint).map(|(key, lease)| (*key, *lease)).collect();
        for (key, lease) in lost {
            self.leases.remove(&key);
            self.left(key, lease.origin);
        }
        if let Some(backlog) = self.backlogs.get_mut(&endpoint) {
            backlog.open = false;
            backlog.in_flight.clear();
            self.to_persist.insert(endpoint);
        }
    }

    /// The message is no more: leases on its deliveries are lost.
    pub(crate) fn forget_message(&mut self, message: MessageId) {
        let [first, last] = [RowId::MIN, RowId::MAX].map(|row| DeliveryKey { message, endpoint: EndpointId::from_row(row) });
        let lost: Vec<_> = self.leases.range(first..=last).map(|(key, lease)| (*key, *lease)).collect();
        for (key, lease) in lost {
            self.leases.remove(&key);
            self.left(key, lease.origin);
        }
    }

    /// What the next commit has to say. If it fails, [`Self::persist_failed`] must follow.
    pub(crate) fn take_persist(&mut self) -> Persist {
        let held = self.hold_stragglers();
        let mark = self.unrecorded.first_key_value().map_or(self.newest, |(message, _)| message.row().raw() - 1);
        let mut cursors = Vec::new();
        for endpoint in self.to_persist.drain() {
            let Some(backlog) = self.backlogs.get_mut(&endpoint) else { continue };
            let cursor = backlog.covers_from();
            if cursor != backlog.stored {
                backlog.stored = cursor;
                cursors.push((endpoint, cursor.map(|cursor| MessageId::from_row(RowId::from_raw(cursor)))));
            }
            if cursor.is_none() {
                self.backlogs.remove(&endpoint);
            }
        }
        Persist { mark, cursors, held }
    }

    fn hold_stragglers(&mut self) -> Vec<DeliveryKey> {
        let mut held = Vec::new();
        while let Some((&message, &(_, ordinal))) = self.unrecorded.first_key_value()
            && self.ordinal - ordinal > self.mark_lag_max
        {
            let first = DeliveryKey { message, endpoint: EndpointId::from_row(RowId::MIN) };
            for (key, lease) in self.leases.range_mut(first..).take_while(|(key, _)| key.message == message) {
                if lease.origin == Origin::Commit {
                    lease.origin = Origin::Held;
                    held.push(*key);
                }
            }
            self.unrecorded.remove(&message);
        }
        held
    }

    pub(crate) fn persist_failed(&mut self, persist: &Persist) {
        for (endpoint, _) in &persist.cursors {
            // The table says something else than we thought: whatever it is, say it again.
            if let Some(backlog) = self.backlogs.get_mut(endpoint) {
                backlog.stored = None;
            } else {
                self.backlogs.insert(*endpoint, Backlog { stored: Some(0), ..Backlog::default() });
            }
            self.to_persist.insert(*endpoint);
        }
        for key in &persist.held {
            if let Some(lease) = self.leases.get_mut(key) {
                lease.origin = Origin::Commit;
                self.unrecorded.entry(key.message).or_insert((0, self.ordinal)).0 += 1;
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn set_mark_lag(&mut self, messages: u64) {
        self.mark_lag_max = messages;
    }

    pub(crate) fn oldest_pending(&self) -> Option<Timestamp> {
        let unrecorded = self.unrecorded.first_key_value().map(|(message, _)| message.row().raw());
        let backlog = self.backlogs.values().filter_map(Backlog::covers_from).min();
        let oldest = match (unrecorded, backlog) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        oldest.map(|raw| RowId::from_raw(raw).created_at())
    }
}
