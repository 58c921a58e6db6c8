//! The catalogue in memory: what every message asks for. Filled by reads, patched by whoever writes, after each commit and before the change is
//! answered.
//!
//! A read that began before a change must not put its old view here after it: each load is registered, and one that was overtaken by
//! a change is not kept.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hookpost_domain::access::RevocationTarget;
use hookpost_domain::{ApiKey, ApplicationId, EventType, EventTypeName, OrgId, Source, SourceId, Timestamp};

use parking_lot::{Mutex, RwLock};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, Equivalent, OptionsBuilder, Weighter};

use crate::rows::{TokenHash, token_hash};
use crate::{ApplicationView, Listed, PageRequest};

/// Applications and their endpoints, counted one each.
const CACHED_ROWS_MAX: usize = 200_000;
/// The cache is divided among so many locks.
const APPLICATION_CACHE_PARTS: usize = 4;
/// What does not fit into a part would not be kept at all, and be read anew for every message: more than this does not count.
const CACHED_ROWS_OF_ONE_MAX: usize = CACHED_ROWS_MAX / APPLICATION_CACHE_PARTS / 2;
const CACHED_ORGS_MAX: usize = 10_000;
const CACHED_KEYS_MAX: usize = 10_000;
const CACHED_SOURCES_MAX: usize = 100_000;
/// Tokens that are looked for in the store at a time: whoever guesses makes readers work, and no more of them than this.
const TOKENS_LOOKED_FOR_MAX: usize = 16;
type FastHash = foldhash::fast::RandomState;

const KNOWN_APPLICATIONS_MAX: usize = 100_000;

pub type EventTypes = BTreeMap<EventTypeName, Arc<EventType>>;

#[derive(Debug)]
pub struct CatalogCache {
    version: AtomicU64,
    applications: Cache<ApplicationId, Arc<ApplicationView>, Rows>,
    uids: Cache<(OrgId, String), ApplicationId>,
    event_types: Cache<OrgId, Arc<EventTypes>>,
    api_keys: Cache<[u8; 32], Arc<ApiKey>>,
    sources: Cache<SourceId, Arc<Source>>,
    /// Only tokens that a source has, or had when it was asked for.
    source_tokens: Cache<TokenHash, SourceId>,
    token_lookups: tokio::sync::Semaphore,
    /// Loads under way by ticket, without those that a change overtook.
    loading: Mutex<Loads>,
    /// Small and asked with every token: kept whole.
    pub revocations: RwLock<HashMap<RevocationTarget, (Timestamp, Timestamp)>>,
    /// For the writer, who must not wait for a view to know that an application exists.
    known_applications: Mutex<HashSet<ApplicationId, FastHash>>,
}

#[derive(Debug, Default)]
struct Loads {
    last: u64,
    under_way: HashMap<u64, Loading, FastHash>,
}

impl Loads {
    fn overtake(&mut self, what: &Loading) {
        self.under_way.retain(|_, loading| loading != what);
    }

    /// Whether the load may be kept.
    fn end(&mut self, ticket: u64) -> bool {
        self.under_way.remove(&ticket).is_some()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loading {
    Application(ApplicationId),
    EventTypes(OrgId),
    ApiKey([u8; 32]),
    Source(SourceId),
}

/// Weighs an application with its endpoints.
#[derive(Debug, Clone)]
struct Rows;

impl Weighter<ApplicationId, Arc<ApplicationView>> for Rows {
    fn weight(&self, _: &ApplicationId, view: &Arc<ApplicationView>) -> u64 {
        view.endpoints.len().min(CACHED_ROWS_OF_ONE_MAX) as u64 + 1
    }
}

fn cache_of_applications() -> Cache<ApplicationId, Arc<ApplicationView>, Rows> {
    let options = OptionsBuilder::new()
        .estimated_items_capacity(CACHED_ROWS_MAX / 2)
        .weight_capacity(CACHED_ROWS_MAX as u64)
        .shards(APPLICATION_CACHE_PARTS)
        .build()
        .expect("both capacities are given");
    Cache::with_options(options, Rows, DefaultHashBuilder::default(), DefaultLifecycle::default())
}

/// Asks for a uid without a copy of it. Hashed as the pair that is the key.
#[derive(Hash)]
struct UidOf<'a>(&'a OrgId, &'a str);

impl Equivalent<(OrgId, String)> for UidOf<'_> {
    fn equivalent(&self, (org, uid): &(OrgId, String)) -> bool {
        self.0 == org && self.1 == uid
    }
}

impl CatalogCache {
    pub fn new(revocations: HashMap<RevocationTarget, (Timestamp, Timestamp)>) -> Self {
        Self {
            version: AtomicU64::new(1),
            applications: cache_of_applications(),
            uids: Cache::new(CACHED_ROWS_MAX),
            event_types: Cache::new(CACHED_ORGS_MAX),
            api_keys: Cache::new(CACHED_KEYS_MAX),
            sources: Cache::new(CACHED_SOURCES_MAX),
            source_tokens: Cache::new(CACHED_SOURCES_MAX),
            token_lookups: tokio::sync::Semaphore::new(TOKENS_LOOKED_FOR_MAX),
            loading: Mutex::default(),
            revocations: RwLock::new(revocations),
            known_applications: Mutex::default(),
        }
    }

    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Called by the writer after each change, when the caches say it.
    pub fn changed(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    pub fn application(&self, id: ApplicationId) -> Option<Arc<ApplicationView>> {
        self.applications.get(&id)
    }

    pub fn application_of_uid(&self, org: &OrgId, uid: &str) -> Option<Arc<ApplicationView>> {
        let id = self.uids.get(&UidOf(org, uid))?;
        // A uid may have been given to another since: the view says whose it is now.
        self.application(id)
            .filter(|view| view.application.org == *org && view.application.uid.as_ref().is_some_and(|own| own.as_str() == uid))
    }

    /// Registers a load; to be called before the rows are read. The ticket goes to `loaded_…`.
    pub fn begin(&self, what: Loading) -> u64 {
        let mut loading = self.loading.lock();
        loading.last += 1;
        let ticket = loading.last;
        loading.under_way.insert(ticket, what);
        ticket
    }

    pub fn loaded_application(&self, ticket: u64, id: ApplicationId, view: Option<&Arc<ApplicationView>>) {
        let mut loading = self.loading.lock();
        if loading.end(ticket)
            && let Some(view) = view
        {
            if let Some(uid) = &view.application.uid {
                self.uids.insert((view.application.org.clone(), uid.as_str().to_owned()), id);
            }
            self.applications.insert(id, Arc::clone(view));
        }
    }

    pub fn event_types(&self, org: &OrgId) -> Option<Arc<EventTypes>> {
        self.event_types.get(org)
    }

    pub fn loaded_event_types(&self, ticket: u64, org: &OrgId, types: &Arc<EventTypes>) {
        let mut loading = self.loading.lock();
        if loading.end(ticket) {
            self.event_types.insert(org.clone(), Arc::clone(types));
        }
    }

    pub fn api_key(&self, hash: &[u8; 32]) -> Option<Arc<ApiKey>> {
        self.api_keys.get(hash)
    }

    pub fn loaded_api_key(&self, ticket: u64, hash: [u8; 32], key: Option<&Arc<ApiKey>>) {
        let mut loading = self.loading.lock();
        if loading.end(ticket)
            && let Some(key) = key
        {
            self.api_keys.insert(hash, Arc::clone(key));
        }
    }

    pub fn source(&self, id: SourceId) -> Option<Arc<Source>> {
        self.sources.get(&id)
    }

    /// The source that has the token now, if both are known.
    pub fn source_of_token(&self, hash: &TokenHash) -> Option<Arc<Source>> {
        let source = self.source(self.source_tokens.get(hash)?)?;
        // It may have been taken from the source since: the source says which it has.
        let has_it = source.tokens.all().any(|token| token_hash(token) == *hash);
        has_it.then_some(source)
    }

    /// To be held by whoever looks for a token in the store.
    pub async fn token_lookup(&self) -> tokio::sync::SemaphorePermit<'_> {
        self.token_lookups.acquire().await.expect("it is never closed")
    }

    pub fn loaded_source(&self, ticket: u64, id: SourceId, source: Option<&Arc<Source>>) {
        let mut loading = self.loading.lock();
        if loading.end(ticket)
            && let Some(source) = source
        {
            self.put_source(id, source);
        }
    }

    fn put_source(&self, id: SourceId, source: &Arc<Source>) {
        source.tokens.all().for_each(|token| self.source_tokens.insert(token_hash(token), id));
        self.sources.insert(id, Arc::clone(source));
    }

    /// After a change; `None`: it is gone.
    pub fn patch_source(&self, id: SourceId, source: Option<&Arc<Source>>) {
        let mut loading = self.loading.lock();
        loading.overtake(&Loading::Source(id));
        match source {
            Some(source) => self.put_source(id, source),
            None => drop(self.sources.remove(&id)),
        }
        drop(loading);
        self.changed();
    }

    /// Changes the view of an application where it is cached; `None` removes it.
    pub fn patch_application(&self, id: ApplicationId, patch: impl FnOnce(&mut ApplicationView) -> Option<()>) {
        let mut loading = self.loading.lock();
        loading.overtake(&Loading::Application(id));
        if let Some(view) = self.applications.get(&id) {
            let mut view = ApplicationView::clone(&view);
            match patch(&mut view) {
                Some(()) => {
                    if let Some(uid) = &view.application.uid {
                        self.uids.insert((view.application.org.clone(), uid.as_str().to_owned()), id);
                    }
                    self.applications.insert(id, Arc::new(view));
                }
                None => drop(self.applications.remove(&id)),
            }
        }
        drop(loading);
        self.changed();
    }

    /// As [`Self::patch_application`], for stores that others change too: `ticket` is of a load that began before the change did, and if anything came
    /// between, nobody knows which of the two is newer, so that the view has to be read again.
    pub fn patch_application_since(&self, ticket: u64, id: ApplicationId, patch: impl FnOnce(&mut ApplicationView) -> Option<()>) {
        let is_newest = self.loading.lock().end(ticket);
        self.patch_application(id, |view| if is_newest { patch(view) } else { None });
    }

    /// Of a load that came to nothing.
    pub fn end(&self, ticket: u64) {
        self.loading.lock().end(ticket);
    }

    pub fn drop_application(&self, id: ApplicationId) {
        self.patch_application(id, |_| None);
    }

    pub fn drop_event_types(&self, org: &OrgId) {
        let mut loading = self.loading.lock();
        loading.overtake(&Loading::EventTypes(org.clone()));
        self.event_types.remove(org);
        drop(loading);
        self.changed();
    }

    /// Everything but the revocations, which are kept whole: after changes that nobody told of.
    pub fn drop_all(&self) {
        let mut loading = self.loading.lock();
        loading.under_way.clear();
        self.applications.clear();
        self.uids.clear();
        self.event_types.clear();
        self.api_keys.clear();
        self.sources.clear();
        self.source_tokens.clear();
        self.known_applications.lock().clear();
        drop(loading);
        self.changed();
    }

    pub fn patch_event_type(&self, org: &OrgId, name: &EventTypeName, event_type: Option<&Arc<EventType>>) {
        let mut loading = self.loading.lock();
        loading.overtake(&Loading::EventTypes(org.clone()));
        if let Some(types) = self.event_types.get(org) {
            let mut types = EventTypes::clone(&types);
            match event_type {
                Some(event_type) => types.insert(name.clone(), Arc::clone(event_type)),
                None => types.remove(name),
            };
            self.event_types.insert(org.clone(), Arc::new(types));
        }
        drop(loading);
        self.changed();
    }

    pub fn forget_api_key(&self, hash: [u8; 32]) {
        let mut loading = self.loading.lock();
        loading.overtake(&Loading::ApiKey(hash));
        self.api_keys.remove(&hash);
        drop(loading);
        self.changed();
    }

    pub fn knows_application(&self, id: ApplicationId) -> bool {
        self.known_applications.lock().contains(&id)
    }

    pub fn remember_application(&self, id: ApplicationId) {
        let mut known = self.known_applications.lock();
        if known.len() >= KNOWN_APPLICATIONS_MAX {
            known.clear();
        }
        known.insert(id);
    }

    pub fn forget_application(&self, id: ApplicationId) {
        self.known_applications.lock().remove(&id);
    }
}

pub fn list_event_types(types: &EventTypes, include_archived: bool, page: &PageRequest<EventTypeName>) -> Listed<EventType> {
    let shown = types.iter().filter(|(_, event_type)| include_archived || !event_type.archived);
    let listed = page.cut(shown.map(|(name, event_type)| (name.clone(), event_type)));
    Listed { items: listed.items.into_iter().map(|event_type| EventType::clone(event_type)).collect(), done: listed.done }
}

#[cfg(test)]
mod tests {
    use hookpost_domain::{PublicIds, RowId};

    use super::*;
    use crate::SharedStore;
    use crate::conformance::fixture::{new_application, new_endpoint};
    use crate::memory::MemoryStore;

    #[test]
    fn an_application_with_many_endpoints_is_kept() {
        let (ready, _) = tokio::sync::mpsc::channel(1);
        let store: SharedStore = Arc::new(MemoryStore::new(PublicIds::new([7; 16]), ready.into()));
        let application = new_application(&store, OrgId::parse(OrgId::DEFAULT).unwrap());
        let (id, endpoint) = (application.id, Arc::new(new_endpoint(&store, application.id)));
        let view = Arc::new(ApplicationView { application, endpoints: vec![endpoint; CACHED_ROWS_MAX] });
        let cache = CatalogCache::new(HashMap::new());
        cache.loaded_application(cache.begin(Loading::Application(id)), id, Some(&view));
        assert!(cache.application(id).is_some());
        assert!(cache.application(ApplicationId::from_row(RowId::MIN)).is_none());
    }
}
