//! Who waits for messages of which application, on this node: sinks, and consumers that ask and would rather wait than ask again.

use std::collections::HashMap;
use std::sync::Arc;

use hookpost_domain::ApplicationId;
use parking_lot::RwLock;
use tokio::sync::watch;

#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    awaited: RwLock<HashMap<ApplicationId, watch::Sender<()>>>,
}

impl Arrivals {
    /// Most messages come where nobody waits: they only read.
    pub(crate) fn arrived(&self, application: ApplicationId) {
        if let Some(waiting) = self.awaited.read().get(&application) {
            waiting.send_replace(());
        }
    }

    pub(crate) fn wait(all: &Arc<Self>, application: ApplicationId) -> Arrival {
        let news = all.awaited.write().entry(application).or_default().subscribe();
        Arrival { all: Arc::clone(all), application, news }
    }
}

/// Hears of every message of an application that is accepted on this node from the moment when it was made: who looks into the feed afterwards, and
/// finds nothing, misses none by waiting. (Messages of other nodes are found by looking from time to time.)
#[derive(Debug)]
pub struct Arrival {
    all: Arc<Arrivals>,
    application: ApplicationId,
    news: watch::Receiver<()>,
}

impl Arrival {
    /// Returns as soon as a message has been accepted since the last return; many at a time are one.
    pub async fn next(&mut self) {
        // The sender stays for as long as this does.
        if self.news.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let mut awaited = self.all.awaited.write();
        // This one is still counted.
        if awaited.get(&self.application).is_some_and(|waiting| waiting.receiver_count() <= 1) {
            awaited.remove(&self.application);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hookpost_domain::RowId;
    use tokio::time::timeout;

    use super::*;

    fn application(number: u64) -> ApplicationId {
        ApplicationId::from_row(RowId::from_raw(number))
    }

    async fn hears(arrival: &mut Arrival) -> bool {
        timeout(Duration::from_secs(1), arrival.next()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_hears_of_everything_from_when_it_began_to() {
        let all = Arc::new(Arrivals::default());
        all.arrived(application(1));
        let (mut one, mut other) = (Arrivals::wait(&all, application(1)), Arrivals::wait(&all, application(2)));
        assert!(!hears(&mut one).await, "what came before is in the feed");
        all.arrived(application(1));
        all.arrived(application(1));
        assert!(hears(&mut one).await, "also what came while nobody listened");
        assert!(!hears(&mut one).await, "many are one");
        assert!(!hears(&mut other).await);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_of_who_waits_no_more() {
        let all = Arc::new(Arrivals::default());
        let first = Arrivals::wait(&all, application(1));
        let mut second = Arrivals::wait(&all, application(1));
        drop(first);
        all.arrived(application(1));
        assert!(hears(&mut second).await);
        drop(second);
        assert!(all.awaited.read().is_empty());
    }
}
