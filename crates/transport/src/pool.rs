//! Connections that are open and have nothing to do, by host. They are taken newest first, so that those that are not needed
//! grow old; a sweep closes them, and forgets hosts, as long as there is a host to remember.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderValue;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::http1::Http1Connection;
use crate::http2::{Http2Connection, Tasks};
use crate::settings::TransportSettings;
use crate::target::Target;

#[derive(Debug)]
pub(crate) struct Pool {
    hosts: Mutex<HashMap<Target, Arc<Host>>>,
    idle: AtomicUsize,
    idle_timeout: Duration,
    idle_per_host_max: usize,
    idle_max: usize,
}

#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) host_header: HeaderValue,
    /// Held by whoever opens a connection that may turn out to speak HTTP/2, and by no one else: one is enough.
    pub(crate) opening: tokio::sync::Mutex<()>,
    state: Mutex<HostState>,
}

#[derive(Debug, Default)]
struct HostState {
    idle: Vec<Idle>,
    http2: Option<Http2Connection>,
    speaks_http1: bool,
    used_at: Option<Instant>,
}

#[derive(Debug)]
struct Idle {
    connection: Http1Connection,
    since: Instant,
}

#[derive(Debug)]
pub(crate) enum Pooled {
    Http1(Http1Connection),
    Http2(Http2Connection),
}

impl Pool {
    /// One of so many that keep the connections of the client.
    pub(crate) fn new(settings: &TransportSettings, pools: usize) -> Self {
        Self {
            hosts: Mutex::default(),
            idle: AtomicUsize::new(0),
            idle_timeout: settings.idle_timeout,
            idle_per_host_max: settings.idle_connections_per_host_max,
            idle_max: settings.idle_connections_max.div_ceil(pools),
        }
    }

    /// Remembers the host if it is new; the first of them starts the sweep.
    pub(crate) fn host(self: &Arc<Self>, target: &Target, tasks: &Tasks) -> Option<Arc<Host>> {
        let mut hosts = self.hosts.lock();
        if let Some(host) = hosts.get(target) {
            return Some(Arc::clone(host));
        }
        let host = Arc::new(Host {
            host_header: HeaderValue::from_str(target.authority.as_str()).ok()?,
            opening: tokio::sync::Mutex::new(()),
            state: Mutex::default(),
        });
        if hosts.is_empty() {
            tasks.spawn(Arc::clone(self).sweep_while_needed());
        }
        hosts.insert(target.clone(), Arc::clone(&host));
        Some(host)
    }

    pub(crate) fn take(&self, host: &Host) -> Option<Pooled> {
        let mut state = host.state.lock();
        if let Some(idle) = state.idle.pop() {
            self.idle.fetch_sub(1, Ordering::Relaxed);
            return Some(Pooled::Http1(idle.connection));
        }
        match &state.http2 {
            Some(connection) if connection.is_open() => {
                let connection = connection.clone();
                state.used_at = Some(Instant::now());
                Some(Pooled::Http2(connection))
            }
            Some(_) => {
                state.http2 = None;
                None
            }
            None => None,
        }
    }

    pub(crate) fn give_back(&self, host: &Host, connection: Http1Connection) {
        let mut state = host.state.lock();
        if state.idle.len() < self.idle_per_host_max && self.idle.load(Ordering::Relaxed) < self.idle_max {
            self.idle.fetch_add(1, Ordering::Relaxed);
            state.idle.push(Idle { connection, since: Instant::now() });
        }
    }

    async fn sweep_while_needed(self: Arc<Self>) {
        loop {
            tokio::time::sleep(self.idle_timeout / 2).await;
            if self.sweep() == 0 {
                return;
            }
        }
    }

    /// The number of hosts that are left. The lock on all of them is held for the decision to end the sweep, so that the next
    /// new host sees an empty map and starts another.
    fn sweep(&self) -> usize {
        let now = Instant::now();
        let mut hosts = self.hosts.lock();
        hosts.retain(|_, host| {
            let mut state = host.state.lock();
            let before = state.idle.len();
            state.idle.retain_mut(|idle| now.duration_since(idle.since) < self.idle_timeout && idle.connection.is_alive());
            self.idle.fetch_sub(before - state.idle.len(), Ordering::Relaxed);
            if state.used_at.is_some_and(|at| now.duration_since(at) >= self.idle_timeout) {
                state.http2 = None;
            }
            // One count is the map's; another belongs to a delivery under way.
            !state.idle.is_empty() || state.http2.is_some() || Arc::strong_count(host) > 1
        });
        hosts.len()
    }
}

impl Host {
    /// Unknown counts: the first connection to a host of `https:` will tell.
    pub(crate) fn may_speak_http2(&self) -> bool {
        !self.state.lock().speaks_http1
    }

    pub(crate) fn found_http1(&self) {
        let mut state = self.state.lock();
        state.speaks_http1 = true;
        state.http2 = None;
    }

    pub(crate) fn found_http2(&self, connection: &Http2Connection) {
        let mut state = self.state.lock();
        state.http2 = Some(connection.clone());
        state.used_at = Some(Instant::now());
    }

    /// Something went wrong on it: the next request opens another; what is under way on it may end.
    pub(crate) fn forget_http2(&self) {
        self.state.lock().http2 = None;
    }
}
