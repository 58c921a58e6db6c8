//! The composition root: makes every part from the settings and gives each what it needs. Nothing else in the program constructs a
//! store, a transport, an engine or a router.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use base64::Engine as _;
use hookpost_api::{ApiMetrics, ApiSettings, ApiState, TokenSecret};
use hookpost_domain::{Clock, Entropy};
use hookpost_engine::metrics::EngineMetrics;
use hookpost_engine::{Engine, Transport};
use hookpost_store::queue::{ReadyReceiver, ReadySender};
use hookpost_store::vault::Vault;
use hookpost_store::{CommitObserver, SharedStore};
use hookpost_store_sqlite::{SqliteOptions, SqliteStore};
use hookpost_transport::{AddressPolicy, HttpTransport, Proxy, TransportSettings};
use prometheus_client::registry::Registry;
use tokio_util::task::TaskTracker;

use crate::config::{MasterKey, Secret, Settings};
use crate::dev::write_private;
use crate::outside::{SystemClock, SystemEntropy};

/// Groups of ready deliveries between store and engine, one per commit.
const READY_GROUPS_MAX: usize = 64;
/// Secrets that are made when none are given; in the data directory, readable for its owner only.
const MASTER_KEY_FILE: &str = "master.key";
const JWT_SECRET_FILE: &str = "jwt.secret";

/// Everything that runs, made and not yet started.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) shared_store: SharedStore,
    pub(crate) engine: Arc<Engine>,
    pub(crate) ready: ReadyReceiver,
    pub(crate) router: Router,
    /// Requests that are finished even if their client went away.
    pub(crate) api_tasks: TaskTracker,
}

pub(crate) fn wire(settings: &Settings, local_url: &str) -> anyhow::Result<Parts> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let mut registry = Registry::default();

    let (ready_sender, ready) = tokio::sync::mpsc::channel(READY_GROUPS_MAX);
    let engine_metrics = EngineMetrics::register(&mut registry);
    let store = open_store(settings, ready_sender, Some(Arc::new(engine_metrics.clone())))?;
    let shared_store: SharedStore = store.clone();
    let transport: Arc<dyn Transport> = Arc::new(HttpTransport::new(transport_settings(settings)?));
    let engine = Engine::new(
        Arc::clone(&shared_store),
        transport,
        Arc::clone(&clock),
        Arc::clone(&entropy),
        settings.engine.clone(),
        engine_metrics,
    );
    let api_tasks = TaskTracker::new();
    let api = ApiState {
        store: Arc::clone(&shared_store),
        engine: Arc::clone(&engine),
        clock,
        entropy,
        settings: api_settings(settings, local_url)?,
        metrics: ApiMetrics::register(&mut registry),
        tasks: api_tasks.clone(),
    };
    let router = hookpost_api::router(api, Arc::new(registry));
    Ok(Parts { store, shared_store, engine, ready, router, api_tasks })
}

/// The store alone, for commands that work while no server runs. It is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct OfflineStore {
    pub(crate) store: Arc<SqliteStore>,
    _ready: ReadyReceiver,
}

pub(crate) fn open_offline(settings: &Settings) -> anyhow::Result<OfflineStore> {
    let (ready_sender, ready) = tokio::sync::mpsc::channel(1);
    Ok(OfflineStore { store: open_store(settings, ready_sender, None)?, _ready: ready })
}

/// In a runtime: the store answers on it.
fn open_store(settings: &Settings, ready: ReadySender, observer: Option<Arc<dyn CommitObserver>>) -> anyhow::Result<Arc<SqliteStore>> {
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let vault = Vault::new(&master_key(settings)?.0, Arc::clone(&entropy));
    Ok(SqliteStore::open(SqliteOptions { data_dir: settings.data_dir.clone(), vault, ready, entropy, observer })?)
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
    let public_url = settings.public_url.as_ref().map_or_else(|| local_url.to_owned(), ToString::to_string);
    let portal_url =
        settings.portal_url.as_ref().map_or_else(|| format!("{}/portal", public_url.trim_end_matches('/')), ToString::to_string);
    let secret = match jwt_secret_if_any(settings)? {
        Some(secret) => secret,
        None => make_jwt_secret(settings)?,
    };
    Ok(ApiSettings {
        portal_url,
        request_body_bytes_max: settings.request_body_bytes_max,
        addresses: address_policy(settings),
        https_only: settings.https_only,
        default_signature: settings.default_signature,
        payload_retention: settings.payload_retention,
        ..ApiSettings::new(TokenSecret::new(secret.0.as_bytes()))
    })
}

/// The secret that tokens are signed with: given, or made by a server that ran here before.
pub(crate) fn jwt_secret_if_any(settings: &Settings) -> anyhow::Result<Option<Secret>> {
    if let Some(secret) = &settings.jwt_secret {
        return Ok(Some(secret.clone()));
    }
    Ok(read_if_there(&settings.data_dir.join(JWT_SECRET_FILE))?.map(Secret))
}

fn make_jwt_secret(settings: &Settings) -> anyhow::Result<Secret> {
    let secret = Secret(random_text());
    let file = settings.data_dir.join(JWT_SECRET_FILE);
    write_private(&file, &secret.0).with_context(|| format!("cannot keep the token secret in {}", file.display()))?;
    Ok(secret)
}

/// The key that seals secrets on disk: given, or the one in the data directory, or a new one there.
fn master_key(settings: &Settings) -> anyhow::Result<MasterKey> {
    if let Some(key) = &settings.master_key {
        return Ok(key.clone());
    }
    let file = settings.data_dir.join(MASTER_KEY_FILE);
    if let Some(text) = read_if_there(&file)? {
        return MasterKey::parse(&text).with_context(|| format!("the master key in {} cannot be read", file.display()));
    }
    // As the store makes it: for nobody but its owner.
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&settings.data_dir);
    made.with_context(|| format!("cannot make the data directory {}", settings.data_dir.display()))?;
    let text = random_text();
    write_private(&file, &text).with_context(|| format!("cannot keep the master key in {}", file.display()))?;
    MasterKey::parse(&text).context("a key that was just made can be read")
}

pub(crate) fn has_master_key(settings: &Settings) -> bool {
    settings.master_key.is_some() || settings.data_dir.join(MASTER_KEY_FILE).exists()
}

/// For commands that make no sense on a directory that opening would only create.
pub(crate) fn check_has_data(settings: &Settings) -> anyhow::Result<()> {
    let database = settings.data_dir.join(hookpost_store_sqlite::DATABASE_FILE);
    anyhow::ensure!(database.exists(), "there is no data in {}: say where it is with --data-dir", settings.data_dir.display());
    Ok(())
}

/// 32 random bytes in base64.
fn random_text() -> String {
    let mut bytes = [0; 32];
    SystemEntropy.fill(&mut bytes);
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn read_if_there(file: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(anyhow::Error::new(error).context(format!("cannot read {}", file.display()))),
    }
}
