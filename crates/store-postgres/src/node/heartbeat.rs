//! Renews the row of this node, buries others, and begins a new life where this one was ended by another node.

use std::sync::Arc;
use std::time::Duration;

use hookpost_store::queue::News;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::burial::bury_one_silent;
use super::{OldLives, register};
use crate::connect::Dedicated;
use crate::error::StoreError;
use crate::shared::Shared;

const RENEWALS_PER_LEASE: u32 = 5;
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Runs until the token says so; the row stays, for whoever closes the store.
pub(crate) async fn serve(shared: Arc<Shared>, token: CancellationToken) {
    let mut heartbeat = Heartbeat { shared, connection: None, contact: Contact::default(), retry: RETRY_MIN, unsent: Vec::new() };
    let mut wait = Duration::ZERO;
    while token.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
        let Some(next) = token.run_until_cancelled(heartbeat.beat()).await else { break };
        wait = next;
    }
}

struct Heartbeat {
    shared: Arc<Shared>,
    connection: Option<Dedicated>,
    contact: Contact,
    retry: Duration,
    /// What the engine had no room for.
    unsent: Vec<News>,
}

impl Heartbeat {
    /// Returns when the next one is due.
    async fn beat(&mut self) -> Duration {
        let lease = self.shared.node.lease;
        // One that takes longer is of no use: another connection may do better.
        let outcome = timeout(lease, self.renew()).await.unwrap_or_else(|_| Err(StoreError::Away("no answer".to_owned())));
        self.send_news();
        match outcome {
            Ok(()) => {
                self.retry = RETRY_MIN;
                lease / RENEWALS_PER_LEASE
            }
            Err(error) => {
                tracing::warn!("this node cannot renew its leases: {error}");
                self.contact.broken();
                self.connection = None;
                let wait = self.retry.min(lease / RENEWALS_PER_LEASE);
                self.retry = (self.retry * 2).min(RETRY_MAX);
                wait
            }
        }
    }

    async fn renew(&mut self) -> Result<(), StoreError> {
        if self.connection.is_none() {
            self.connection = Some(self.shared.connections.dedicated().await?);
        }
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let shared = &self.shared;
        let sent_at = Instant::now();
        if shared.node.holder() != super::NOBODY && renew_row(shared, connection).await? {
            shared.node.renewed(sent_at);
        } else {
            if shared.node.holder() != super::NOBODY {
                tracing::warn!("other nodes took this one for dead and have taken over what it held; it goes on as a new one");
                shared.lose_everything();
                self.unsent.push(News::LeasesLost);
            }
            let lease = shared.node.lease;
            let last = shared.last_row_id();
            let registered = register(&mut connection.client, &shared.node.name, lease, OldLives::Leave, last).await?;
            shared.begin_life(&registered, sent_at);
            // What was given back, by this node's burial too, is to be claimed again.
            shared.hints.look_now();
            self.contact.broken();
        }
        self.contact.reached(sent_at, shared.node.lease);
        if self.contact.may_bury(sent_at, shared.node.lease) {
            while bury_one_silent(&mut connection.client).await? {}
        }
        Ok(())
    }

    /// The engine may not keep up: renewing must not wait for it.
    fn send_news(&mut self) {
        while let Some(news) = self.unsent.first() {
            if self.shared.news.try_send(news.clone()).is_err() {
                break;
            }
            self.unsent.remove(0);
        }
    }
}

/// False: there is no row any more.
async fn renew_row(shared: &Shared, connection: &Dedicated) -> Result<bool, StoreError> {
    let renew = "UPDATE hookpost.node SET alive_until = clock_timestamp() + $2 * interval '1 second', implied_from = $3, last_row_id = $4,
            settled_id = greatest(settled_id, $5)
        WHERE holder = $1";
    let implied_from = shared.implied_mark().as_i64();
    let settled = shared.settled_mark().as_i64();
    let (holder, lease_s, last) = (shared.node.holder(), shared.node.lease.as_secs_f64(), shared.last_row_id().as_i64());
    Ok(connection.client.execute(renew, &[&holder, &lease_s, &implied_from, &last, &settled]).await? == 1)
}

/// For how long the database has been within reach without a break.
#[derive(Debug, Default, Clone, Copy)]
struct Contact {
    since: Option<Instant>,
    last: Option<Instant>,
}

impl Contact {
    /// A pause of this process is a break too: it cannot know who else was paused.
    fn reached(&mut self, at: Instant, lease: Duration) {
        if self.last.is_none_or(|last| at.saturating_duration_since(last) > lease / 2) {
            self.since = Some(at);
        }
        self.last = Some(at);
    }

    fn broken(&mut self) {
        *self = Self::default();
    }

    fn may_bury(&self, at: Instant, lease: Duration) -> bool {
        self.since.is_some_and(|since| at.saturating_duration_since(since) >= lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_was_there_all_the_time_may_bury() {
        let lease = Duration::from_secs(10);
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut contact = Contact::default();
        for second in [0, 2, 4, 6, 8] {
            contact.reached(at(second), lease);
            assert!(!contact.may_bury(at(second), lease), "after {second} s");
        }
        contact.reached(at(10), lease);
        assert!(contact.may_bury(at(10), lease));

        contact.broken();
        contact.reached(at(12), lease);
        assert!(!contact.may_bury(at(12), lease), "the database was away");

        for second in [14, 16, 18, 20, 22] {
            contact.reached(at(second), lease);
        }
        assert!(contact.may_bury(at(22), lease));
        contact.reached(at(40), lease);
        assert!(!contact.may_bury(at(40), lease), "this process stood still");
    }
}
