//! What the handlers work with: lent by the program that serves, never global.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use hookpost_domain::address::AddressPolicy;
use hookpost_domain::id::{Id, Kind};
use hookpost_domain::secret::SignatureKind;
use hookpost_domain::tenant::TenantLimits;
use hookpost_domain::{Clock, Entropy, Timestamp, limits};
use hookpost_engine::Engine;
use hookpost_store::SharedStore;
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::token::{TokenCache, TokenSecret};
use crate::door::{AddressPresets, Door};
use crate::idempotency::InFlight;
use crate::metrics::ApiMetrics;
use crate::tenant::Tenants;
use crate::v1::health::HealthMemory;

/// Everything that [`crate::router`] needs.
#[derive(Debug, Clone)]
pub struct ApiState {
    pub store: SharedStore,
    pub engine: Arc<Engine>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub settings: ApiSettings,
    pub metrics: ApiMetrics,
    /// Requests that are finished even if their client goes away. Whoever serves closes it and waits for it at the end.
    pub tasks: TaskTracker,
    /// Cancelled when this server is about to stop: load balancers are told so.
    pub stopping: CancellationToken,
}

#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Signs and verifies tokens (`HOOKPOST_JWT_SECRET`).
    pub token_secret: TokenSecret,
    /// What the URLs of sources begin with, without a slash at the end: the public URL, or else where this server listens.
    pub doors_url: String,
    /// Where people reach the portal; its links get the token in their fragment.
    pub portal_url: String,
    pub request_body_bytes_max: usize,
    /// What deliveries may reach; endpoints whose URL has a forbidden address in it are refused. (Names are judged when they are resolved.)
    pub addresses: AddressPolicy,
    /// Refuses endpoints without TLS.
    pub https_only: bool,
    pub default_signature: SignatureKind,
    /// Where clients reach this server, without a slash at its end; where it is not said, what they write as host.
    pub public_url: Option<String>,
    /// Proxies whose `X-Forwarded-*` and `Forwarded` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The lists that sources name for who may call them.
    pub address_presets: AddressPresets,
    /// How long payloads are kept when a message does not say.
    pub payload_retention: Duration,
    /// Of tenants that have none of their own.
    pub limits: TenantLimits,
}

impl ApiSettings {
    pub fn new(token_secret: TokenSecret) -> Self {
        Self {
            token_secret,
            doors_url: "http://127.0.0.1:8071".to_owned(),
            portal_url: "http://127.0.0.1:8071/portal".to_owned(),
            request_body_bytes_max: limits::REQUEST_BODY_BYTES_MAX,
            addresses: AddressPolicy::default(),
            https_only: false,
            default_signature: SignatureKind::default(),
            public_url: None,
            trusted_proxies: Vec::new(),
            address_presets: AddressPresets::published(),
            payload_retention: limits::PAYLOAD_RETENTION_DEFAULT,
            limits: TenantLimits::default(),
        }
    }
}

/// The state of all handlers: what was lent, and what the API itself remembers between requests.
#[derive(Debug, Clone)]
pub(crate) struct Api(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    lent: ApiState,
    pub(crate) tokens: TokenCache,
    pub(crate) in_flight: InFlight,
    pub(crate) door: Door,
    pub(crate) tenants: Tenants,
    pub(crate) health: HealthMemory,
}

impl Api {
    pub(crate) fn new(lent: ApiState) -> Self {
        let door = Door::new(lent.settings.request_body_bytes_max);
        Self(Arc::new(Inner {
            lent,
            tokens: TokenCache::new(),
            in_flight: InFlight::default(),
            door,
            tenants: Tenants::new(),
            health: HealthMemory::default(),
        }))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The id of a row that is about to be created.
    pub(crate) fn new_id<K: Kind>(&self, now: Timestamp) -> Id<K> {
        Id::from_row(self.store.new_row_id(now))
    }

    /// An id as clients see it.
    pub(crate) fn public<K: Kind>(&self, id: Id<K>) -> String {
        self.store.public_ids().encode(id)
    }
}

impl Deref for Api {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Deref for Inner {
    type Target = ApiState;

    fn deref(&self) -> &ApiState {
        &self.lent
    }
}
