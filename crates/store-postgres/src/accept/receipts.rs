//! The receipts of a group, by column.

use hookpost_domain::receipt::Verdict;
use hookpost_store::codec::encode_receipt;
use hookpost_store::receipt::OwnBody;

use super::AcceptCommand;
use super::group::Planned;

pub(super) const INSERT_RECEIPTS: &str = "
    INSERT INTO hookpost.receipt (id, source, data, body)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[])";

#[derive(Default)]
pub(super) struct ReceiptRows<'a> {
    pub(super) ids: Vec<i64>,
    pub(super) sources: Vec<i64>,
    pub(super) data: Vec<Vec<u8>>,
    pub(super) bodies: Vec<Option<&'a [u8]>>,
}

impl<'a> ReceiptRows<'a> {
    /// Of those whose verdict is known: the others come in a later round, or have no receipt.
    pub(super) fn of(commands: &'a [AcceptCommand], planned: &Planned) -> Self {
        let mut rows = Self::default();
        for (receiving, command, verdict) in planned.received(commands) {
            let payload = command.message.as_ref().and_then(|message| message.content.payload.as_ref());
            let own: OwnBody<'a> = OwnBody::of(&receiving.arrival.request, &verdict, payload);
            let mut data = Vec::new();
            encode_receipt(&receiving.arrival, &verdict, own.bytes, &mut data);
            rows.ids.push(receiving.id.row().as_i64());
            rows.sources.push(receiving.arrival.source.row().as_i64());
            rows.data.push(data);
            rows.bodies.push(own.body.map(|body| body.as_ref()));
        }
        rows
    }
}

/// Of a message that was made, or stands for another.
pub(super) fn verdict_of(accepted: hookpost_store::Accepted) -> Verdict {
    match accepted.repeated {
        true => Verdict::Duplicate { of: accepted.id },
        false => Verdict::Accepted { message: accepted.id },
    }
}
