//! What arrived at sources.

use bytes::Bytes;
use hookpost_domain::receipt::Verdict;
use hookpost_domain::{Receipt, ReceiptId, SourceId, Timestamp, limits};

use super::State;
use crate::PageRequest;
use crate::history::{ReceiptCounts, ReceiptFilter, ScannedPage};
use crate::receipt::{Arrival, OwnBody, with_body};

impl State {
    /// `payload`: of the message that was, or would have been, made of it.
    pub(super) fn keep_receipt(&mut self, arrival: Arrival, verdict: Verdict, payload: Option<&Bytes>, now: Timestamp) -> ReceiptId {
        let id = ReceiptId::from_row(self.row_ids.next(now));
        let OwnBody { body, bytes } = OwnBody::of(&arrival.request, &verdict, payload);
        let body = body.cloned();
        self.receipts.insert(id, (arrival.listed(id, verdict, bytes), body));
        id
    }

    pub(super) fn receipt(&self, source: SourceId, id: ReceiptId) -> Option<Receipt> {
        let (receipt, own) = self.receipts.get(&id).filter(|(receipt, _)| receipt.source == source)?;
        Some(with_body(receipt.clone(), own.clone(), self.payload_of(receipt)))
    }

    fn payload_of(&self, receipt: &Receipt) -> Option<Bytes> {
        self.messages.get(&receipt.verdict.message()?)?.content.payload.clone()
    }

    pub(super) fn receipts_of(
        &self,
        source: SourceId,
        filter: &ReceiptFilter,
        page: &PageRequest<ReceiptId>,
    ) -> ScannedPage<Receipt, ReceiptId> {
        let own = self.receipts.iter().filter(|(_, (receipt, _))| receipt.source == source);
        page.scan(own.map(|(id, (receipt, _))| (*id, receipt.clone())), limits::PAGE_ROWS_SCANNED_MAX, |receipt| {
            filter.matches(receipt) && (!filter.is_up_to_body(receipt) || self.has_text(receipt, filter))
        })
    }

    fn has_text(&self, receipt: &Receipt, filter: &ReceiptFilter) -> bool {
        let own = self.receipts.get(&receipt.id).and_then(|(_, own)| own.clone());
        let payload = || matches!(receipt.verdict, Verdict::Accepted { .. }).then(|| self.payload_of(receipt)).flatten();
        own.or_else(payload).is_some_and(|body| filter.is_in(&body))
    }

    pub(super) fn count_receipts(&self, source: SourceId, since: Timestamp, until: Timestamp) -> ReceiptCounts {
        let minutes = since.unix_ms() / 60_000..until.unix_ms().div_ceil(60_000);
        let mut counts = ReceiptCounts::default();
        for (receipt, _) in self.receipts.values() {
            if receipt.source == source && minutes.contains(&(receipt.received_at.unix_ms() / 60_000)) {
                *counts.of_mut(receipt.verdict.kind()) += 1;
            }
        }
        counts
    }

    /// How many went, and whether there are more.
    pub(super) fn forget_receipts(&mut self, oldest_kept: Timestamp) -> (u64, bool) {
        let old = self.receipts.keys().filter(|id| id.row().created_at() <= oldest_kept);
        let old: Vec<ReceiptId> = old.copied().take(limits::FORGOTTEN_AT_ONCE_MAX).collect();
        old.iter().for_each(|id| drop(self.receipts.remove(id)));
        (old.len() as u64, old.len() == limits::FORGOTTEN_AT_ONCE_MAX)
    }
}
