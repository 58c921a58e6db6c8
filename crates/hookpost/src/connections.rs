//! How many connections may be open: in all, and of one client. A client that has its number is turned away at once; where all are taken, the next
//! ones wait in the kernel. So one client that only opens connections does not take them all.
//!
//! Whoever has a network of IPv6 has as many addresses as it likes, so there a client is the first half of its address. Trusted proxies stand for many
//! clients, and are held to the number of all only.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// A flood is told of once in this time, with how much of it there was.
const TELL_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct ConnectionLimits {
    pub(crate) max: usize,
    /// 0: none.
    pub(crate) per_address_max: usize,
    pub(crate) trusted_proxies: Vec<IpNet>,
}

/// The connections of this process, on all of its listeners.
#[derive(Debug)]
pub(crate) struct Connections {
    limits: ConnectionLimits,
    places: Arc<Semaphore>,
    by_client: Mutex<HashMap<IpAddr, usize>>,
    refused_told: Mutex<Told>,
    full_told: Mutex<Told>,
    open: Gauge,
    refused: Counter,
    full: Counter,
}

/// One of those that may be open, for a client that is not known yet.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// One that is open; no longer counted when it is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    all: Arc<Connections>,
    /// `None`: not counted by client.
    client: Option<IpAddr>,
    _place: Place,
}

impl Connections {
    pub(crate) fn new(limits: ConnectionLimits) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.max.min(Semaphore::MAX_PERMITS))),
            limits,
            by_client: Mutex::default(),
            refused_told: Mutex::default(),
            full_told: Mutex::default(),
            open: Gauge::default(),
            refused: Counter::default(),
            full: Counter::default(),
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("hookpost_connections_open", "Connections of clients that are open", self.open.clone());
        registry.register(
            "hookpost_connections_refused",
            "Connections that were closed at once, because their client has connections_per_address_max of them",
            self.refused.clone(),
        );
        registry.register(
            "hookpost_connections_full",
            "How often the next connection had to wait, because connections_max were open",
            self.full.clone(),
        );
    }

    /// Waits until there is room for one more.
    pub(crate) async fn place(&self) -> Option<Place> {
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(Place { _permit: permit });
        }
        self.full.inc();
        if let Some(times) = self.full_told.lock().due(Instant::now()) {
            tracing::warn!(times, connections_max = self.limits.max, "all connections are taken; the next ones wait");
        }
        Arc::clone(&self.places).acquire_owned().await.ok().map(|permit| Place { _permit: permit })
    }

    /// `None`: this client has as many as it may.
    pub(crate) fn enter(self: &Arc<Self>, place: Place, address: IpAddr) -> Option<Connection> {
        let client = self.client(address);
        if let Some(client) = client {
            let mut by_client = self.by_client.lock();
            let count = by_client.entry(client).or_default();
            if *count >= self.limits.per_address_max {
                drop(by_client);
                self.refuse(address);
                return None;
            }
            *count += 1;
        }
        self.open.inc();
        Some(Connection { all: Arc::clone(self), client, _place: place })
    }

    /// Whom a connection is counted for.
    fn client(&self, address: IpAddr) -> Option<IpAddr> {
        let address = address.to_canonical();
        if self.limits.per_address_max == 0 || self.limits.trusted_proxies.iter().any(|network| network.contains(&address)) {
            return None;
        }
        Some(match address {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
            IpAddr::V4(_) => address,
        })
    }

    fn refuse(&self, address: IpAddr) {
        self.refused.inc();
        if let Some(times) = self.refused_told.lock().due(Instant::now()) {
            let max = self.limits.per_address_max;
            tracing::warn!(%address, times, connections_per_address_max = max, "a client has too many connections; closed the next ones");
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.all.open.dec();
        let Some(client) = self.client else { return };
        let mut by_client = self.all.by_client.lock();
        if let Some(count) = by_client.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                by_client.remove(&client);
            }
        }
    }
}

/// When something was logged last, and how often it was not logged since.
#[derive(Debug, Default)]
struct Told {
    at: Option<Instant>,
    times: u64,
}

impl Told {
    /// How often it happened, where it is time to tell.
    fn due(&mut self, now: Instant) -> Option<u64> {
        self.times += 1;
        if self.at.is_some_and(|at| now.duration_since(at) < TELL_EVERY) {
            return None;
        }
        self.at = Some(now);
        Some(std::mem::take(&mut self.times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(max: usize, per_address_max: usize) -> Arc<Connections> {
        let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        Arc::new(Connections::new(ConnectionLimits { max, per_address_max, trusted_proxies }))
    }

    async fn enter(connections: &Arc<Connections>, address: &str) -> Option<Connection> {
        let place = connections.place().await.unwrap();
        connections.enter(place, address.parse().unwrap())
    }

    #[tokio::test]
    async fn a_client_has_its_number_and_others_have_theirs() {
        let all = connections(100, 2);
        let first = enter(&all, "192.0.2.1").await.unwrap();
        let second = enter(&all, "::ffff:192.0.2.1").await;
        assert!(second.is_some());
        assert!(enter(&all, "192.0.2.1").await.is_none());
        assert!(enter(&all, "192.0.2.2").await.is_some());
        assert_eq!((all.open.get(), all.refused.get()), (2, 1));
        drop(first);
        assert!(enter(&all, "192.0.2.1").await.is_some());
        drop(second);
        assert!(all.by_client.lock().is_empty(), "what nobody has is not remembered");
        assert_eq!((all.open.get(), all.places.available_permits()), (0, 100));
    }

    #[tokio::test]
    async fn one_network_of_ipv6_is_one_client() {
        let all = connections(100, 1);
        let _first = enter(&all, "2001:db8:0:1::1").await.unwrap();
        assert!(enter(&all, "2001:db8:0:1:ffff::2").await.is_none());
        assert!(enter(&all, "2001:db8:0:2::1").await.is_some());
    }

    #[tokio::test]
    async fn proxies_that_are_trusted_and_a_limit_of_none_count_nobody() {
        for (per_address_max, address) in [(1, "10.1.2.3"), (0, "192.0.2.1")] {
            let all = connections(100, per_address_max);
            let _first = enter(&all, address).await.unwrap();
            assert!(enter(&all, address).await.is_some(), "{address}");
        }
    }

    #[tokio::test]
    async fn where_all_are_taken_the_next_one_waits() {
        let all = connections(1, 0);
        let first = enter(&all, "192.0.2.1").await;
        let mut next = std::pin::pin!(all.place());
        tokio::select! {
            biased;
            _ = next.as_mut() => panic!("there was no room"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(all.full.get(), 1);
        drop(first);
        assert!(next.await.is_some());
    }

    #[test]
    fn a_flood_is_told_of_once_in_a_while() {
        let (mut told, now) = (Told::default(), Instant::now());
        assert_eq!((0..1000).filter_map(|_| told.due(now)).collect::<Vec<_>>(), [1]);
        let later = now + TELL_EVERY;
        assert_eq!((told.due(later), told.due(later)), (Some(1000), None));
    }
}
