//! Who waits on this node for news of which thing: for messages of an application, or for a change of how far a sink came.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::watch;

#[derive(Debug)]
pub(crate) struct Listeners<K> {
    of: RwLock<HashMap<K, watch::Sender<()>>>,
}

impl<K> Default for Listeners<K> {
    fn default() -> Self {
        Self { of: RwLock::default() }
    }
}

impl<K: Copy + Eq + Hash + Debug> Listeners<K> {
    /// Most news have no listener: they only read.
    pub(crate) fn tell(&self, key: K) {
        if let Some(listeners) = self.of.read().get(&key) {
            listeners.send_replace(());
        }
    }

    pub(crate) fn listen(all: &Arc<Self>, key: K) -> Listener<K> {
        let news = all.of.write().entry(key).or_default().subscribe();
        Listener { all: Arc::clone(all), key, news }
    }
}

/// Hears of all news on this node from the moment when it was made: who looks afterwards, and finds nothing, misses none by waiting. (What other nodes do
/// is found by looking from time to time.)
#[derive(Debug)]
pub struct Listener<K: Copy + Eq + Hash + Debug> {
    all: Arc<Listeners<K>>,
    key: K,
    news: watch::Receiver<()>,
}

impl<K: Copy + Eq + Hash + Debug> Listener<K> {
    /// Returns as soon as there were news since the last return; many at a time are one.
    pub async fn next(&mut self) {
        // The sender stays for as long as this does.
        if self.news.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl<K: Copy + Eq + Hash + Debug> Drop for Listener<K> {
    fn drop(&mut self) {
        let mut of = self.all.of.write();
        // This one is still counted.
        if of.get(&self.key).is_some_and(|listeners| listeners.receiver_count() <= 1) {
            of.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn hears(listener: &mut Listener<u8>) -> bool {
        timeout(Duration::from_secs(1), listener.next()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_hears_of_everything_from_when_it_began_to() {
        let all = Arc::new(Listeners::default());
        all.tell(1);
        let (mut one, mut other) = (Listeners::listen(&all, 1), Listeners::listen(&all, 2));
        assert!(!hears(&mut one).await, "what came before is in the feed");
        all.tell(1);
        all.tell(1);
        assert!(hears(&mut one).await, "also what came while nobody listened");
        assert!(!hears(&mut one).await, "many are one");
        assert!(!hears(&mut other).await);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_of_who_waits_no_more() {
        let all = Arc::new(Listeners::default());
        let first = Listeners::listen(&all, 1);
        let mut second = Listeners::listen(&all, 1);
        drop(first);
        all.tell(1);
        assert!(hears(&mut second).await);
        drop(second);
        assert!(all.of.read().is_empty());
    }
}
