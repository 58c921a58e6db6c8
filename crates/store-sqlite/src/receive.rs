//! Receiving: the row of the receipt beside that of its message, in the same commit.

use hookpost_domain::ReceiptId;
use hookpost_domain::receipt::Verdict;
use hookpost_store::codec::encode_receipt;
use hookpost_store::receipt::OwnBody;
use hookpost_store::{AcceptError, Accepted, LeasedDelivery, Received};
use parking_lot::MutexGuard;
use rusqlite::{Connection, params};

use crate::command::{ReceiveCommand, Wanted};
use crate::error::StoreError;
use crate::intake;
use crate::leases::Leases;
use crate::shared::Shared;
use crate::tail::TakenKey;
use crate::writer::{Batch, HotStatements, Scratch};

/// Writes one receipt, with the message that is made of it, or decides why not; an error means that nothing can be written at all.
pub(crate) fn write(
    shared: &Shared,
    connection: &Connection,
    hot: &mut HotStatements<'_>,
    scratch: &mut Scratch,
    batch: &mut Batch,
    receive: &mut ReceiveCommand,
) -> Result<(), StoreError> {
    let ReceiveCommand { arrival, wanted, now, outcome, .. } = receive;
    let (verdict, message) = match wanted {
        Wanted::Settled(verdict) => (verdict.clone(), None),
        Wanted::Message { message, once } => {
            let key = once.map(TakenKey::Event);
            let accepted = match intake::repeated(shared, connection, batch, key, *now)? {
                Some(repeated) => Ok(repeated),
                None => intake::write_message(shared, connection, hot, scratch, batch, message, key)?,
            };
            match accepted {
                Ok(accepted) => (verdict_of(accepted), Some(accepted)),
                Err(refusal) => {
                    *outcome = Some(Err::<Received, AcceptError>(refusal));
                    return Ok(());
                }
            }
        }
    };
    let payload = match wanted {
        Wanted::Message { message, .. } => message.content.payload.as_ref(),
        Wanted::Settled(_) => None,
    };
    let own = OwnBody::of(&arrival.request, &verdict, payload);
    let id = ReceiptId::from_row(shared.new_row_id(*now));
    encode_receipt(arrival, &verdict, own.bytes, &mut scratch.row);
    let body = own.body.map(|body| body.as_ref());
    hot.insert_receipt.execute(params![id.row().as_i64(), arrival.source.row().as_i64(), scratch.row, body])?;
    batch.journal.receipt(id, arrival.source, arrival.received_at, verdict.kind());
    *outcome = Some(Ok(Received { receipt: id, message }));
    Ok(())
}

fn verdict_of(accepted: Accepted) -> Verdict {
    match accepted.repeated {
        true => Verdict::Duplicate { of: accepted.id },
        false => Verdict::Accepted { message: accepted.id },
    }
}

/// After the commit: leases what can be attempted at once.
pub(crate) fn hand_over(leases: &mut MutexGuard<'_, Leases>, receive: &ReceiveCommand, ready: &mut Vec<LeasedDelivery>) {
    if let (Wanted::Message { message, .. }, Some(Ok(Received { message: Some(accepted), .. }))) = (&receive.wanted, &receive.outcome) {
        intake::hand_over_message(leases, message, *accepted, ready);
    }
}
