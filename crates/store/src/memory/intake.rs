//! Accepting and receiving.

use std::sync::Arc;

use async_trait::async_trait;
use hookpost_domain::receipt::Verdict;
use hookpost_domain::{DeliveryKey, DeliveryState, EndpointId, Message, MessageId, Reason, Timestamp, limits};

use super::lane::{Lane, Row};
use super::{MemoryStore, State};
use crate::intake::KeptAnswer;
use crate::queue::LeasedDelivery;
use crate::usage::UsageCounts;
use crate::{
    AcceptError, Accepted, IdempotencyKey, Intake, MadeOnce, NewMessage, NewReceipt, NewReceiptOutcome, Once, Received, Unavailable,
};

#[async_trait]
impl Intake for MemoryStore {
    async fn accept(&self, new: NewMessage, now: Timestamp) -> Result<Accepted, AcceptError> {
        let mut state = self.state.lock();
        if let Some((id, created_at)) = new.idempotency_key.and_then(|key| known(state.idempotency.get(&key), now)) {
            return Ok(Accepted { id: *id, created_at, repeated: true });
        }
        let key = new.idempotency_key;
        let (accepted, ready) = state.make_message(new, now)?;
        state.idempotency.extend(key.map(|key| (key, (accepted.id, now))));
        self.hand_over(&mut state, ready);
        Ok(accepted)
    }

    async fn receive(&self, new: NewReceipt, now: Timestamp) -> Result<Received, AcceptError> {
        let mut state = self.state.lock();
        let (arrival, outcome) = new.split();
        let (verdict, message, payload) = match outcome {
            NewReceiptOutcome::Settled(verdict) => (verdict, None, None),
            NewReceiptOutcome::Message { message, once } => {
                let payload = message.content.payload.clone();
                let known = once.and_then(|once| state.once.get(&once.key).filter(|made| made.answers(once, now)).copied());
                match known {
                    Some(MadeOnce { message, created_at, .. }) => {
                        let repeated = Accepted { id: message, created_at, repeated: true };
                        (Verdict::Duplicate { of: message }, Some(repeated), payload)
                    }
                    None => {
                        let (accepted, ready) = state.make_message(message, now)?;
                        state.once.extend(once.map(|once| (once.key, once.made(accepted.id, now))));
                        self.hand_over(&mut state, ready);
                        (Verdict::Accepted { message: accepted.id }, Some(accepted), payload)
                    }
                }
            }
        };
        let receipt = state.keep_receipt(arrival, verdict, payload.as_ref(), now);
        Ok(Received { receipt, message })
    }

    async fn known_once(&self, keys: &[Once], now: Timestamp) -> Result<Vec<bool>, Unavailable> {
        let state = self.state.lock();
        Ok(keys.iter().map(|once| state.once.get(&once.key).is_some_and(|made| made.answers(*once, now))).collect())
    }

    async fn begin_answer(&self, key: IdempotencyKey, now: Timestamp) -> Result<Option<KeptAnswer>, Unavailable> {
        let mut state = self.state.lock();
        let found = known(state.answers.get(&key), now).map(|(answer, _)| answer.clone());
        if found.is_none() {
            state.answers.insert(key, (KeptAnswer::BEGUN, now));
        }
        Ok(found)
    }

    async fn release_answer(&self, key: IdempotencyKey) -> Result<(), Unavailable> {
        let mut state = self.state.lock();
        if state.answers.get(&key).is_some_and(|(answer, _)| answer.is_begun()) {
            state.answers.remove(&key);
        }
        Ok(())
    }

    async fn kept_answer(&self, key: IdempotencyKey, now: Timestamp) -> Result<Option<KeptAnswer>, Unavailable> {
        Ok(known(self.state.lock().answers.get(&key), now).map(|(answer, _)| answer.clone()))
    }

    async fn keep_answer(&self, key: IdempotencyKey, answer: KeptAnswer, now: Timestamp) -> Result<(), Unavailable> {
        let mut state = self.state.lock();
        if known(state.answers.get(&key), now).is_none_or(|(known, _)| known.is_begun()) {
            state.answers.insert(key, (answer, now));
        }
        Ok(())
    }
}

impl MemoryStore {
    /// Under the lock, so that groups come in the order of the commits. What nobody takes stays as backlog.
    fn hand_over(&self, state: &mut State, ready: Vec<LeasedDelivery>) {
        if ready.is_empty() {
            return;
        }
        if let Err(refused) = self.ready.try_send(ready) {
            for delivery in refused.into_inner() {
                if let Some(lane) = state.lanes.get_mut(&delivery.key.endpoint) {
                    lane.change(delivery.key.message, Row::release);
                }
            }
        }
    }
}

impl State {
    /// With the deliveries that are to be handed over.
    fn make_message(&mut self, new: NewMessage, now: Timestamp) -> Result<(Accepted, Vec<LeasedDelivery>), AcceptError> {
        if !self.applications.contains_key(&new.application) {
            return Err(AcceptError::ApplicationNotFound);
        }
        let event_id = new.content.event_id.clone().map(|event_id| (new.application, event_id));
        if event_id.as_ref().is_some_and(|event_id| self.event_ids.contains_key(event_id)) {
            return Err(AcceptError::DuplicateEventId);
        }
        let id = MessageId::from_row(self.row_ids.next(now));
        let message = Arc::new(Message { id, application: new.application, content: new.content, created_at: now });
        self.messages.insert(id, message.clone());
        self.event_ids.extend(event_id.map(|event_id| (event_id, id)));
        self.count_usage(message.application, &message.content.event_type, now, UsageCounts::of_message(&message));
        let ready = message.content.routing.targets.iter().filter_map(|endpoint| self.begin_delivery(&message, *endpoint, now)).collect();
        Ok((Accepted { id, created_at: now, repeated: false }, ready))
    }

    /// Returns the delivery, leased, if it may be attempted at once and nothing waits before it.
    fn begin_delivery(&mut self, message: &Arc<Message>, endpoint: EndpointId, now: Timestamp) -> Option<LeasedDelivery> {
        let exists = self.endpoint_exists(message.application, endpoint);
        let delivery_state = match message.content.deliver_at {
            _ if !exists => DeliveryState::Canceled { reason: Reason::EndpointDeleted },
            Some(at) if at > now => DeliveryState::Waiting { at },
            _ => DeliveryState::Pending,
        };
        let lane = self.lanes.entry(endpoint).or_insert_with(|| Lane::new(message.application));
        let is_next = delivery_state == DeliveryState::Pending && !lane.has_backlog();
        lane.put(message.id, Row::new(delivery_state));
        is_next.then(|| self.lease(DeliveryKey { message: message.id, endpoint }, hookpost_domain::Trigger::Scheduled)).flatten()
    }
}

/// What was kept within the window.
fn known<T>(kept: Option<&(T, Timestamp)>, now: Timestamp) -> Option<(&T, Timestamp)> {
    kept.filter(|(_, at)| now.since(*at) < limits::IDEMPOTENCY_WINDOW).map(|(value, at)| (value, *at))
}
