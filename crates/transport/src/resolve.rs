//! From names to addresses, by the resolver of the operating system, so that `/etc/hosts` and search domains work as everywhere.
//!
//! A lookup blocks a thread and cannot be given up. So there is one per name, whoever else asks for it meanwhile joins, and a
//! name whose server hangs holds one thread, not one per delivery.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use hookpost_domain::limits;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

type Addresses = Result<Arc<[IpAddr]>, Arc<str>>;
type Lookup = Shared<BoxFuture<'static, Addresses>>;

#[derive(Debug)]
pub(crate) struct Resolver {
    under_way: Arc<Mutex<HashMap<String, Lookup>>>,
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Resolver {
    pub(crate) fn new(tasks: TaskTracker) -> Self {
        Self { under_way: Arc::default(), permits: Arc::new(Semaphore::new(limits::LOOKUPS_IN_FLIGHT_MAX)), tasks }
    }

    /// In the order in which they should be tried; the error says what the resolver said.
    pub(crate) async fn lookup(&self, name: &str) -> Addresses {
        let lookup = {
            let mut under_way = self.under_way.lock();
            match under_way.get(name) {
                Some(lookup) => lookup.clone(),
                None => {
                    let lookup = self.start(name.to_owned());
                    under_way.insert(name.to_owned(), lookup.clone());
                    lookup
                }
            }
        };
        lookup.await
    }

    /// The caller holds the lock, so the task cannot strike itself off before it was written down.
    fn start(&self, name: String) -> Lookup {
        let under_way = Arc::clone(&self.under_way);
        let permits = Arc::clone(&self.permits);
        let task = self.tasks.spawn(async move {
            let addresses = match permits.acquire().await {
                Ok(_permit) => ask_the_system(&name).await,
                Err(_) => Err("the server is stopping".into()),
            };
            under_way.lock().remove(&name);
            addresses
        });
        task.map(|ended| ended.unwrap_or_else(|_| Err("the lookup was interrupted".into()))).boxed().shared()
    }
}

async fn ask_the_system(name: &str) -> Addresses {
    match tokio::net::lookup_host((name, 0)).await {
        Ok(addresses) => {
            let mut distinct: Vec<IpAddr> = Vec::new();
            for address in addresses.map(|address| address.ip()) {
                if !distinct.contains(&address) {
                    distinct.push(address);
                }
            }
            Ok(distinct.into())
        }
        Err(error) => {
            let text = error.to_string();
            Err(text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).into())
        }
    }
}
