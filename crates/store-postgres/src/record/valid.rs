//! Which records of a group may be written: those whose leases the database knows as ours, too.

use std::collections::{HashMap, HashSet};

use hookpost_domain::{AttemptId, DeliveryKey, DeliveryState, Reason};
use hookpost_store::LeaseId;
use hookpost_store::codec::{StateColumns, endpoint_id, message_id};
use hookpost_store::rows::RowError;
use tokio_postgres::Client;

use super::Entry;
use super::statements::Statements;
use crate::error::StoreError;
use crate::resend::FOREIGN_LEASE;

/// As a state is stored.
const CANCELED: i16 = 4;

/// What the database says of the deliveries of a group, locked until its transaction ends.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Got their row by this transaction.
    pub(super) implied: HashSet<DeliveryKey>,
    /// Have a row of `queue` that names this node and the lease, and whether somebody asks for another attempt.
    pub(super) explicit: HashMap<DeliveryKey, Explicit>,
    attempts: HashSet<AttemptId>,
    states: HashMap<DeliveryKey, (StateColumns, i32)>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Explicit {
    pub(super) lease: LeaseId,
    pub(super) is_asked_for: bool,
    /// It was canceled while it was held.
    pub(super) recalled: Option<Reason>,
}

impl Found {
    /// Those to be written, and those that were, by a commit whose answer was lost.
    pub(super) fn split<'a>(&self, entries: Vec<Entry<'a>>) -> (Vec<Entry<'a>>, Vec<Entry<'a>>) {
        let (mut valid, others): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| self.is_ours(entry));
        for entry in &mut valid {
            if let Some(reason) = self.explicit.get(&entry.record.key).and_then(|explicit| explicit.recalled) {
                entry.recalled(reason);
            }
        }
        (valid, others.into_iter().filter(|entry| entry.doubtful && self.was_written(entry)).collect())
    }

    fn is_ours(&self, entry: &Entry<'_>) -> bool {
        let key = &entry.record.key;
        // Another node that wrote the row of what was implied could not know its number.
        let names_it = |explicit: &Explicit| explicit.lease == entry.lease.id || explicit.lease == LeaseId(FOREIGN_LEASE as u64);
        self.implied.contains(key) || self.explicit.get(key).is_some_and(names_it)
    }

    fn was_written(&self, entry: &Entry<'_>) -> bool {
        match entry.attempt {
            Some(attempt) => self.attempts.contains(&attempt),
            None => {
                let transition = &entry.record.transition;
                self.states.get(&entry.record.key) == Some(&(StateColumns::of(transition.state), transition.progress.attempts as i32))
            }
        }
    }
}

/// Begins the transaction.
pub(super) async fn find(client: &Client, holder: i64, statements: &Statements, entries: &[Entry<'_>]) -> Result<Found, StoreError> {
    let implied: Vec<Entry<'_>> = entries.iter().filter(|entry| entry.lease.implied).copied().collect();
    let doubtful: Vec<&Entry<'_>> = entries.iter().filter(|entry| entry.doubtful).collect();
    let (begun, inserted, locked, attempts, states) = tokio::join!(
        biased;
        client.batch_execute("BEGIN"),
        statements.insert_deliveries(client, &implied),
        statements.lock_queue(client, holder, entries),
        statements.attempts(client, &doubtful),
        statements.states(client, &doubtful),
    );
    // In the order in which they were sent: what follows a failure says only that the transaction has failed.
    begun?;
    let (inserted, locked, attempts, states) = (inserted?, locked?, attempts?, states?);
    let mut found = Found::default();
    for row in inserted {
        found.implied.insert(DeliveryKey { message: message_id(row.try_get(0)?), endpoint: endpoint_id(row.try_get(1)?) });
    }
    for row in locked {
        let key = DeliveryKey { message: message_id(row.try_get(0)?), endpoint: endpoint_id(row.try_get(1)?) };
        let lease = LeaseId(row.try_get::<_, i64>(2)? as u64);
        let reason: Option<i16> = row.try_get(4)?;
        let recalled = match reason.map(|_| StateColumns { state: CANCELED, reason, due_at_ms: None }.decode()).transpose() {
            Ok(Some(DeliveryState::Canceled { reason })) => Some(reason),
            Ok(_) => None,
            Err(error) => return Err(RowError::from(error).into()),
        };
        found.explicit.insert(key, Explicit { lease, is_asked_for: row.try_get(3)?, recalled });
    }
    for row in attempts {
        found.attempts.insert(AttemptId::from_row(hookpost_domain::RowId::from_i64(row.try_get(0)?)));
    }
    for row in states {
        let key = DeliveryKey { message: message_id(row.try_get(0)?), endpoint: endpoint_id(row.try_get(1)?) };
        let state = StateColumns { state: row.try_get(2)?, reason: row.try_get(3)?, due_at_ms: row.try_get(4)? };
        found.states.insert(key, (state, row.try_get(5)?));
    }
    Ok(found)
}
