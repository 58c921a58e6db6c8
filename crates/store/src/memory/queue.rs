//! Claiming and recording.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use hookpost_domain::health::Health;
use hookpost_domain::{AttemptId, DeliveryKey, DeliveryState, EndpointId, Message, MessageId, Reason, Timestamp, Trigger};

use super::lane::{Lane, Row};
use super::{MemoryStore, State};
use crate::history::StoredAttempt;
use crate::queue::{Backlog, CancelFilter, Canceled, ClaimRequest, LaneState};
use crate::usage::UsageCounts;
use crate::{Claimed, LeaseId, LeasedDelivery, Queue, Record, Recorded, Unavailable};

#[async_trait]
impl Queue for MemoryStore {
    async fn claim(&self, request: ClaimRequest, now: Timestamp) -> Result<Claimed, Unavailable> {
        let mut state = self.state.lock();
        let Some(lane) = state.lanes.get(&request.endpoint) else { return Ok(Claimed::default()) };
        let held_by = request.ordered.then(|| oldest_in_retry(lane, now)).flatten();
        let candidates = candidates(lane, request.ordered, held_by, now);

        let mut claimed = Claimed { held_by, ..Claimed::default() };
        let mut bytes = 0;
        let mut candidates = candidates.into_iter().peekable();
        while claimed.deliveries.len() < request.limit && (bytes < request.bytes_max || claimed.deliveries.is_empty()) {
            let Some((message, trigger)) = candidates.next() else { break };
            if let Some(leased) = state.lease(DeliveryKey { message, endpoint: request.endpoint }, trigger) {
                bytes += leased.message.content.payload.as_ref().map_or(0, |payload| payload.len());
                claimed.deliveries.push(leased);
            }
        }
        claimed.more = candidates.peek().is_some();
        claimed.next_due = state.lanes[&request.endpoint].timed().map(|(at, ..)| at).find(|at| *at > now);
        Ok(claimed)
    }

    async fn release(&self, leases: Vec<(DeliveryKey, LeaseId)>) -> Result<(), Unavailable> {
        let mut state = self.state.lock();
        for (key, lease) in leases {
            if let Some(lane) = state.lane_of_lease(key, lease) {
                lane.change(key.message, Row::release);
            }
        }
        Ok(())
    }

    async fn record(&self, records: Arc<Vec<Record>>, now: Timestamp) -> Result<Vec<Recorded>, Unavailable> {
        let mut state = self.state.lock();
        Ok(records.iter().map(|record| state.record(record, now)).collect())
    }

    async fn lanes(&self) -> Result<Vec<LaneState>, Unavailable> {
        let state = self.state.lock();
        let lanes = state.lanes.iter().filter(|(endpoint, lane)| state.endpoint_exists(lane.application, **endpoint));
        Ok(lanes
            .filter(|(_, lane)| !lane.is_idle() || lane.health != Health::default())
            .map(|(endpoint, lane)| LaneState {
                application: lane.application,
                endpoint: *endpoint,
                ready: lane.has_backlog(),
                next_due: lane.timed().map(|(at, ..)| at).next(),
                health: lane.health,
                elsewhere: false,
            })
            .collect())
    }

    async fn send_again(&self, deliveries: Vec<DeliveryKey>, now: Timestamp) -> Result<usize, Unavailable> {
        let mut state = self.state.lock();
        Ok(deliveries.into_iter().filter(|key| state.send_again(*key, now)).count())
    }

    async fn cancel(
        &self,
        endpoint: EndpointId,
        which: CancelFilter,
        reason: Reason,
        limit: usize,
        now: Timestamp,
    ) -> Result<Canceled, Unavailable> {
        let mut state = self.state.lock();
        let mut ended = Vec::new();
        let State { lanes, messages, .. } = &mut *state;
        let Some(lane) = lanes.get_mut(&endpoint) else { return Ok(Canceled::default()) };
        // Everything that can be claimed, now or later; each delivery once.
        let open: BTreeSet<MessageId> = lane.backlog().chain(lane.timed().map(|(_, message, _)| message)).collect();
        let mut chosen = open.into_iter().filter(|id| messages.get(id).is_some_and(|message| which.matches(message))).peekable();
        let mut canceled = Canceled::default();
        while canceled.count < limit
            && let Some(message) = chosen.next()
        {
            if lane.row(message).is_some_and(|row| !row.state.is_final()) {
                ended.extend(messages.get(&message).cloned());
            }
            lane.change(message, |row| row.cancel(reason));
            canceled.count += 1;
        }
        canceled.more = chosen.peek().is_some();
        for message in ended {
            state.count_usage(message.application, &message.content.event_type, now, UsageCounts { canceled: 1, ..Default::default() });
        }
        Ok(canceled)
    }

    fn backlog(&self) -> Backlog {
        let state = self.state.lock();
        let unfinished = state.lanes.values().flat_map(Lane::rows).filter(|(_, row)| !row.state.is_final());
        let untried = unfinished.clone().filter(|(_, row)| row.progress.attempts == 0).map(|(message, _)| message);
        Backlog {
            deliveries: unfinished.count() as u64,
            oldest_pending_at: untried.min().and_then(|message| state.messages.get(&message)).map(|message| message.created_at),
        }
    }
}

/// What may be attempted at `now`, in the order in which it is handed out; each delivery once.
fn candidates(lane: &Lane, ordered: bool, held_by: Option<MessageId>, now: Timestamp) -> Vec<(MessageId, Trigger)> {
    let due = lane.timed().take_while(|(at, ..)| *at <= now).map(|(_, message, trigger)| (message, trigger));
    let backlog = lane.backlog().map(|message| (message, Trigger::Scheduled));
    let mut seen = BTreeSet::new();
    if !ordered {
        return due.chain(backlog).filter(|(message, _)| seen.insert(*message)).collect();
    }
    let by_hand = due.clone().filter(|(_, trigger)| *trigger == Trigger::Manual);
    let mut in_order: Vec<_> = due.chain(backlog).filter(|(_, trigger)| *trigger == Trigger::Scheduled).collect();
    in_order.sort_unstable();
    in_order.retain(|(message, _)| held_by.is_none_or(|older| *message < older));
    by_hand.chain(in_order).filter(|(message, _)| seen.insert(*message)).collect()
}

/// What keeps an ordered lane from going on: a message that was tried and waits for its retry.
fn oldest_in_retry(lane: &Lane, now: Timestamp) -> Option<MessageId> {
    let later = lane.timed().filter(|(at, _, trigger)| *at > now && *trigger == Trigger::Scheduled).map(|(_, message, _)| message);
    later.filter(|message| lane.row(*message).is_some_and(|row| row.progress.scheduled_attempts > 0)).min()
}

impl State {
    pub(super) fn lease(&mut self, key: DeliveryKey, trigger: Trigger) -> Option<LeasedDelivery> {
        let message = self.messages.get(&key.message)?.clone();
        self.leases += 1;
        let lease = LeaseId(self.leases);
        let (state, progress) = self.lanes.get_mut(&key.endpoint)?.change(key.message, |row| {
            row.take_lease(lease, trigger);
            (row.state, row.progress)
        })?;
        Some(LeasedDelivery { key, lease, application: message.application, message, state, progress, trigger })
    }

    /// `None`: the lease was lost, or never was.
    fn lane_of_lease(&mut self, key: DeliveryKey, lease: LeaseId) -> Option<&mut Lane> {
        let lane = self.lanes.get_mut(&key.endpoint)?;
        let holds = lane.row(key.message)?.lease.is_some_and(|own| own.id == lease);
        holds.then_some(lane)
    }

    fn record(&mut self, record: &Record, now: Timestamp) -> Recorded {
        let attempt = AttemptId::from_row(self.row_ids.next(now));
        let Some(lane) = self.lane_of_lease(record.key, record.lease) else { return Recorded::LeaseLost };
        lane.change(record.key.message, |row| {
            debug_assert_eq!(row.lease.map(super::lane::Lease::trigger), Some(record.trigger), "a record says what the lease was for");
            row.lease = None;
            row.state = record.transition.state;
            row.progress = record.transition.progress;
        });
        if let Some(health) = record.health {
            lane.health = health;
        }
        self.count_usage(record.application, &record.event_type, now, UsageCounts::of_record(record));
        let Some(made) = record.attempt.clone() else { return Recorded::Done { attempt: None } };
        self.attempts.insert(attempt, StoredAttempt { id: attempt, key: record.key, attempt: made });
        Recorded::Done { attempt: Some(attempt) }
    }

    fn send_again(&mut self, key: DeliveryKey, now: Timestamp) -> bool {
        let Some(message): Option<Arc<Message>> = self.messages.get(&key.message).cloned() else { return false };
        if message.content.payload.is_none() || !self.endpoint_exists(message.application, key.endpoint) {
            return false;
        }
        let lane = self.lanes.entry(key.endpoint).or_insert_with(|| Lane::new(message.application));
        if lane.row(key.message).is_none() {
            lane.put(key.message, Row::new(DeliveryState::Canceled { reason: Reason::NotRouted }));
        }
        lane.change(key.message, |row| row.manual = Some(row.manual.map_or(now, |at| at.min(now))));
        true
    }
}
