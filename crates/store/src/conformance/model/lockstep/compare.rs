//! What is compared: all that can be asked of a store, with numbers for ids.

use std::sync::Arc;

use hookpost_domain::{ApplicationId, DeliveryState, EndpointId, Message, Progress, Receipt, Timestamp};

use super::beside::{self, UsageByHour};
use super::{Checked, Harness, Leased, Lockstep, Side, first_page, same};
use crate::documents::DocumentRow;
use crate::history::{AttemptFilter, DeliveryFilter, EndpointCounts, MessageFilter, ReceiptCounts, StoredAttempt};
use crate::queue::LaneState;
use crate::{Catalog, Documents, History, LeasedDelivery, Ledger, Queue, Reference};

/// Comparing.
impl<H: Harness> Lockstep<H> {
    pub(super) fn compare_leased(&self, model: &[LeasedDelivery], subject: &[LeasedDelivery]) -> Checked {
        let leased = |side, all: &[LeasedDelivery]| -> Vec<Option<Leased>> {
            let one = |one: &LeasedDelivery| {
                let number = self.number_of(side, one.key.message)?;
                let message = Message { id: self.messages[number].1, ..Message::clone(&one.message) };
                Some((number, one.key.endpoint, one.state, one.progress, one.trigger, one.application, Arc::new(message)))
            };
            all.iter().map(one).collect()
        };
        same(&leased(Side::Model, model), &leased(Side::Subject, subject), "leased")
    }

    pub(super) async fn compare_everything(&self) -> Checked {
        let (model, subject): (Facts, Facts) =
            (self.facts(Side::Model, &self.model).await, self.facts(Side::Subject, &**self.store()).await);
        same(&model.applications, &subject.applications, "applications")?;
        same(&model.messages, &subject.messages, "messages")?;
        same(&model.deliveries, &subject.deliveries, "deliveries")?;
        same(&model.attempts, &subject.attempts, "attempts")?;
        same(&model.lists, &subject.lists, "lists")?;
        same(&model.lanes, &subject.lanes, "lanes")?;
        same(&model.sources, &subject.sources, "sources")?;
        same(&model.receipts, &subject.receipts, "receipts")?;
        same(&model.documents, &subject.documents, "documents")?;
        same(&model.ledger, &subject.ledger, "progress and logs")?;
        same(&model.usage, &subject.usage, "usage")?;
        if !self.forgot {
            same(&model.counts, &subject.counts, "counts")?;
            same(&model.receipt_counts, &subject.receipt_counts, "counts of receipts")?;
        }
        Ok(())
    }

    async fn facts(&self, side: Side, store: &(impl Catalog + History + Queue + Documents + Ledger + ?Sized)) -> Facts {
        let mut facts = Facts::default();
        for id in &self.applications {
            let view = store.application_by_id(*id).await.expect("available");
            facts.applications.push(format!("{view:?}"));
            let page = store.messages(*id, MessageFilter::default(), first_page()).await.expect("available");
            facts.lists.push(page.items.iter().map(|message| self.number_of(side, message.id)).collect());
            let fed = beside::feed(store, *id, page.items.len()).await;
            facts.lists.push(fed.into_iter().map(|message| self.number_of(side, message)).collect());
            facts.usage.push((*id, beside::usage(store, *id, self.usage_from).await));
        }
        self.add_beside(store, &mut facts).await;
        for (number, (application, model, subject)) in self.messages.iter().enumerate() {
            let id = match side {
                Side::Model => *model,
                Side::Subject => *subject,
            };
            let message = store.message(*application, Reference::Id(id)).await.expect("available");
            facts.messages.push(message.map(|message| Message { id: *model, ..message }));
            let listed = store.deliveries_of_message(id, first_page()).await.expect("available");
            facts.deliveries.push(listed.items.iter().map(|one| (one.key.endpoint, one.state, one.progress)).collect());
            let page = store.attempts_of_message(id, AttemptFilter::default(), first_page()).await.expect("available");
            facts.attempts.extend(
                page.items
                    .into_iter()
                    .map(|stored| (number, self.attempt_number(side, &stored), stored))
                    .map(|(number, attempt, stored)| (number, attempt, stored.key.endpoint, format!("{:?}", stored.attempt))),
            );
        }
        for (application, endpoint) in &self.endpoints {
            let exists =
                store.application_by_id(*application).await.expect("available").is_some_and(|view| view.endpoint(*endpoint).is_some());
            if exists {
                let page = store.messages_of_endpoint(*endpoint, DeliveryFilter::default(), first_page()).await.expect("available");
                facts.lists.push(page.items.iter().map(|(message, _)| self.number_of(side, message.id)).collect());
                facts.counts.push(store.endpoint_counts(*endpoint, Timestamp::ZERO, Timestamp::MAX).await.expect("available"));
            }
        }
        self.add_doors(side, store, &mut facts).await;
        facts.lanes = store.lanes().await.expect("available");
        facts.lanes.sort_by_key(|lane| lane.endpoint);
        facts
    }

    fn attempt_number(&self, side: Side, stored: &StoredAttempt) -> Option<usize> {
        self.attempts.iter().position(|(model, subject)| match side {
            Side::Model => *model == stored.id,
            Side::Subject => *subject == stored.id,
        })
    }
}

/// All that can be asked of a store, with numbers for ids.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) applications: Vec<String>,
    pub(super) messages: Vec<Option<Message>>,
    pub(super) deliveries: Vec<Vec<(EndpointId, DeliveryState, Progress)>>,
    pub(super) attempts: Vec<(usize, Option<usize>, EndpointId, String)>,
    pub(super) lists: Vec<Vec<Option<usize>>>,
    pub(super) counts: Vec<EndpointCounts>,
    pub(super) sources: Vec<String>,
    pub(super) receipts: Vec<Option<Receipt>>,
    pub(super) receipt_counts: Vec<ReceiptCounts>,
    pub(super) documents: Vec<DocumentRow>,
    pub(super) ledger: Vec<String>,
    pub(super) usage: Vec<(ApplicationId, UsageByHour)>,
    pub(super) lanes: Vec<LaneState>,
}
