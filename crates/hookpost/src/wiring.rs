//! The composition root: makes every part from the settings and gives each what it needs. Nothing else in the program constructs a
//! store, a transport, an engine or a router.

use std::sync::Arc;

use axum::Router;
use hookpost_api::{AddressPresets, ApiMetrics, ApiSettings, ApiState, TokenSecret};
use hookpost_domain::{Clock, Entropy};
use hookpost_engine::metrics::EngineMetrics;
use hookpost_engine::{Engine, EngineSettings, Transport};
use hookpost_store::SharedStore;
use hookpost_store::queue::{NewsReceiver, ReadyReceiver};
use hookpost_threads::PerThread;
use hookpost_transport::{AddressPolicy, HttpTransport, Proxy, TransportSettings};
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Settings;
use crate::connections::{ConnectionLimits, Connections};
use crate::database::{self, Database};
use crate::outside::{SystemClock, SystemEntropy};
use crate::secrets;

/// Everything that runs, made and not yet started.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) database: Database,
    pub(crate) store: SharedStore,
    pub(crate) engine: Arc<Engine>,
    pub(crate) ready: PerThread<ReadyReceiver>,
    /// What other nodes did, where there are others.
    pub(crate) news: Option<NewsReceiver>,
    pub(crate) router: Router,
    pub(crate) connections: Arc<Connections>,
    /// Requests that are finished even if their client went away.
    pub(crate) api_tasks: TaskTracker,
    /// Tells the API that this server is about to stop.
    pub(crate) stopping: CancellationToken,
}

pub(crate) async fn wire(settings: &Settings, local_url: &str) -> anyhow::Result<Parts> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let mut registry = Registry::default();

    let engine_metrics = EngineMetrics::register(&mut registry);
    let connections = Arc::new(Connections::new(connection_limits(settings)));
    connections.register(&mut registry);
    let database::Opened { database, ready, news } = database::open(settings, Arc::new(engine_metrics.clone())).await?;
    let store = database.store();
    let transport: Arc<dyn Transport> = Arc::new(HttpTransport::new(transport_settings(settings)?));
    let engine_settings = EngineSettings { payload_retention: settings.payload_retention, ..settings.engine.clone() };
    let engine = Engine::new(Arc::clone(&store), transport, Arc::clone(&clock), Arc::clone(&entropy), engine_settings, engine_metrics);
    let (api_tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
    let api = ApiState {
        store: Arc::clone(&store),
        engine: Arc::clone(&engine),
        clock,
        entropy,
        settings: api_settings(settings, local_url)?,
        metrics: ApiMetrics::register(&mut registry),
        tasks: api_tasks.clone(),
        stopping: stopping.clone(),
    };
    let router = hookpost_api::router(api, Arc::new(registry));
    Ok(Parts { database, store, engine, ready, news, router, connections, api_tasks, stopping })
}

fn connection_limits(settings: &Settings) -> ConnectionLimits {
    ConnectionLimits {
        max: settings.connections_max,
        per_address_max: settings.connections_per_address_max,
        trusted_proxies: settings.trusted_proxies.clone(),
    }
}

fn transport_settings(settings: &Settings) -> anyhow::Result<TransportSettings> {
    let proxy = match &settings.proxy {
        Some(url) => Some(Proxy::parse(&url.0, &settings.no_proxy.join(",")).map_err(|_| anyhow::anyhow!("the proxy cannot be used"))?),
        None => None,
    };
    Ok(TransportSettings { addresses: address_policy(settings), https_only: settings.https_only, proxy, ..TransportSettings::default() })
}

fn address_policy(settings: &Settings) -> AddressPolicy {
    AddressPolicy { allow_private_networks: settings.allow_private_networks, allowed_subnets: settings.allowed_subnets.clone() }
}

fn api_settings(settings: &Settings, local_url: &str) -> anyhow::Result<ApiSettings> {
    let doors_url = settings.public_url.as_ref().map_or(local_url, |url| url.as_str()).trim_end_matches('/').to_owned();
    let portal_url = settings.portal_url.as_ref().map_or_else(|| format!("{doors_url}/portal"), ToString::to_string);
    let secret = secrets::jwt_secret(settings)?;
    Ok(ApiSettings {
        doors_url,
        portal_url,
        request_body_bytes_max: settings.request_body_bytes_max,
        addresses: address_policy(settings),
        https_only: settings.https_only,
        default_signature: settings.default_signature,
        public_url: settings.public_url.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned()),
        trusted_proxies: settings.trusted_proxies.clone(),
        address_presets: AddressPresets::published().with(settings.address_presets.clone()),
        payload_retention: settings.payload_retention,
        limits: settings.limits,
        ..ApiSettings::new(TokenSecret::new(secret.0.as_bytes()))
    })
}
