//! Sources and receipts, one step at a time.

use std::time::Duration;

use bytes::Bytes;
use hookpost_domain::receipt::{ReceivedBody, Verdict};
use hookpost_domain::source::SourceToken;
use hookpost_domain::{MessageContent, MessageId, Receipt, Source, Timestamp};

use super::super::super::fixture::door;
use super::compare::Facts;
use super::{Checked, Harness, Lockstep, Side, first_page, fixture, pick, refuse_or_not, same, to_uid};
use crate::history::ReceiptFilter;
use crate::{Catalog, History, Intake, NewMessage, NewReceipt, Queue, Received};

impl<H: Harness> Lockstep<H> {
    pub(super) async fn receive(&mut self, source: usize, what: u8, targets: u8, once: Option<u8>, window_s: u64) -> Checked {
        let Some(source) = pick(&self.sources, source) else { return Ok(()) };
        let leads_to = self.model.source_by_id(source).await.expect("memory is available").map(|source| source.application);
        let new = match (what, leads_to) {
            (0, _) => door::settled(source, door::rejected("expired"), b"late"),
            (1, _) => door::settled(source, Verdict::Handshake, b""),
            (2, _) | (_, None) => door::settled(source, Verdict::Quarantined { detail: "no".into() }, b"{}"),
            (_, Some(application)) => {
                let targets = self.targets(application, targets);
                let payload_expires_at = self.now + Duration::from_secs(120);
                let content = MessageContent { payload_expires_at, ordering_key: Some("7".into()), ..fixture::content(&targets) };
                let once = once.and_then(|byte| door::once(byte, Duration::from_secs(window_s)));
                let mut new = door::genuine(source, NewMessage { application, content, idempotency_key: None }, once);
                if what == 3 {
                    new.request.body = ReceivedBody::Bytes(Bytes::from_static(b"as it came"));
                }
                new
            }
        };
        let new = NewReceipt { received_at: self.now, ..new };
        let model = self.model.receive(new.clone(), self.now).await;
        let subject = self.store().receive(new, self.now).await;
        match (model, subject) {
            (Ok(model), Ok(subject)) => self.received(source, leads_to, model, subject)?,
            (model, subject) => same(&model.err(), &subject.err(), "not received")?,
        }
        self.take_group().await
    }

    fn received(
        &mut self,
        source: hookpost_domain::SourceId,
        leads_to: Option<hookpost_domain::ApplicationId>,
        model: Received,
        subject: Received,
    ) -> Checked {
        self.receipts.push((source, model.receipt, subject.receipt));
        let facts = |received: Received| received.message.map(|message| (message.created_at, message.repeated));
        same(&facts(model), &facts(subject), "received")?;
        let (Some(model), Some(subject), Some(application)) = (model.message, subject.message, leads_to) else { return Ok(()) };
        if model.repeated {
            let number = |side, id| self.number_of(side, id);
            same(&number(Side::Model, model.id), &number(Side::Subject, subject.id), "the message of the event")?;
        } else {
            self.messages.push((application, model.id, subject.id));
        }
        Ok(())
    }

    pub(super) async fn create_source(&mut self, application: Option<usize>, uid: Option<u8>, pulled: bool) -> Checked {
        let led_to = application.and_then(|choice| pick(&self.applications, choice));
        let (mut source, made_for_it) = match led_to {
            Some(application) => (door::new_source(self.store(), fixture::org('a'), application), None),
            None => {
                let (source, application) = door::new_source_with_application(self.store(), fixture::org('a'));
                (source, Some(application))
            }
        };
        source.uid = to_uid(uid);
        source.rules.back_fill = pulled.then(door::back_fill);
        let id = source.id;
        let made = made_for_it.as_ref().map(|application| application.id);
        let model = self.model.create_source(source.clone(), made_for_it.clone()).await;
        same(&model, &self.store().create_source(source, made_for_it).await, "created source")?;
        if model.is_ok() {
            self.sources.push(id);
            self.applications.extend(made);
        }
        Ok(())
    }

    pub(super) async fn update_source(&mut self, source: usize, uid: Option<u8>, rotate: bool, refuse: bool) -> Checked {
        let Some(id) = pick(&self.sources, source) else { return Ok(()) };
        let steps = self.steps;
        let change = || {
            Box::new(move |one: &mut Source| {
                one.uid = to_uid(uid);
                if rotate {
                    let new = SourceToken(format!("{}-{steps}", one.id.row().raw()));
                    let before = std::mem::replace(&mut one.tokens.current, new);
                    one.tokens.old = vec![(before, Timestamp::MAX)];
                }
                refuse_or_not(refuse)
            })
        };
        let model = self.model.update_source(id, change()).await;
        same(&model, &self.store().update_source(id, change()).await, "changed source")
    }

    pub(super) async fn delete_source(&mut self, source: usize) -> Checked {
        let Some(id) = pick(&self.sources, source) else { return Ok(()) };
        let model = self.model.delete_source(id, self.now).await;
        same(&model, &self.store().delete_source(id, self.now).await, "deleted source")
    }

    pub(super) async fn set_source_state(&mut self, source: usize, value: u8) -> Checked {
        let Some(id) = pick(&self.sources, source) else { return Ok(()) };
        let model = self.model.set_source_state(id, vec![value]).await;
        same(&model, &self.store().set_source_state(id, vec![value]).await, "state of a source")
    }

    /// What can be asked for of them.
    pub(super) async fn add_doors(&self, side: Side, store: &(impl Catalog + History + Queue + ?Sized), facts: &mut Facts) {
        for id in &self.sources {
            let source = store.source_by_id(*id).await.expect("available");
            if let Some(source) = &source {
                for token in source.tokens.all() {
                    let found = store.source_by_token(token).await.expect("available");
                    facts.sources.push(format!("{:?}", found.map(|found| found.id)));
                }
            }
            facts.sources.push(format!("{source:?} {:?}", store.source_state(*id).await.expect("available")));
            facts.receipt_counts.push(store.receipt_counts(*id, Timestamp::ZERO, Timestamp::MAX).await.expect("available"));
            let listed = store.receipts(*id, ReceiptFilter::default(), first_page()).await.expect("available");
            facts.receipts.extend(listed.items.into_iter().map(|receipt| self.as_in_model(side, receipt)));
        }
        facts.sources.push(format!("{:?}", store.pull_sources().await.expect("available")));
        for (source, model, subject) in &self.receipts {
            let id = match side {
                Side::Model => *model,
                Side::Subject => *subject,
            };
            let receipt = store.receipt(*source, id).await.expect("available");
            facts.receipts.push(receipt.and_then(|receipt| self.as_in_model(side, receipt)));
        }
    }

    /// With the ids of the model.
    fn as_in_model(&self, side: Side, receipt: Receipt) -> Option<Receipt> {
        let own = |(_, model, subject): &&(_, _, _)| match side {
            Side::Model => *model == receipt.id,
            Side::Subject => *subject == receipt.id,
        };
        let id = self.receipts.iter().find(own)?.1;
        let message = |id: MessageId| self.number_of(side, id).map(|number| self.messages[number].1);
        let verdict = match receipt.verdict {
            Verdict::Accepted { message: id } => Verdict::Accepted { message: message(id)? },
            Verdict::Duplicate { of } => Verdict::Duplicate { of: message(of)? },
            other => other,
        };
        Some(Receipt { id, verdict, ..receipt })
    }
}
