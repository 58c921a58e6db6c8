//! The database that the settings name: the one place where a store is chosen and opened.

use std::sync::Arc;
use std::time::Duration;

use hookpost_store::queue::{NewsReceiver, ReadyReceiver, ready_channels};
use hookpost_store::vault::Vault;
use hookpost_store::{CommitObserver, SharedStore};
use hookpost_store_postgres::{DatabaseUrl, PostgresOptions, PostgresStore};
use hookpost_store_sqlite::{SqliteOptions, SqliteStore};
use hookpost_threads::PerThread;
use tokio::sync::mpsc;

use crate::config::{DatabaseChoice, Settings};
use crate::outside::SystemEntropy;
use crate::secrets;

/// Groups of ready deliveries between store and engine, one per commit.
const READY_GROUPS_MAX: usize = 64;
/// A store that finds it full keeps its news and tries again.
const NEWS_MAX: usize = 64;
/// How much history one partition of PostgreSQL holds: what retention drops at once.
pub(crate) const PARTITION: Duration = Duration::from_secs(24 * 3600);

/// An open store of either kind, for those who must know: it is closed here, and some things only one kind can do.
#[derive(Debug, Clone)]
pub(crate) enum Database {
    Embedded(Arc<SqliteStore>),
    Postgres(Arc<PostgresStore>),
}

impl Database {
    pub(crate) fn store(&self) -> SharedStore {
        match self {
            Self::Embedded(store) => Arc::clone(store) as SharedStore,
            Self::Postgres(store) => Arc::clone(store) as SharedStore,
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Embedded(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }
}

/// A store with what it tells an engine.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) database: Database,
    pub(crate) ready: PerThread<ReadyReceiver>,
    /// Only where there are other nodes.
    pub(crate) news: Option<NewsReceiver>,
}

/// For a server. In a runtime: the store answers on it.
pub(crate) async fn open(settings: &Settings, observer: Arc<dyn CommitObserver>) -> anyhow::Result<Opened> {
    open_as(settings, settings.node_name.clone(), Some(observer)).await
}

/// For commands, beside running nodes on PostgreSQL, and on the embedded store while no server runs. Without the name of the node: who takes the name of
/// a running one would take its deliveries too.
pub(crate) async fn open_for_command(settings: &Settings) -> anyhow::Result<Opened> {
    open_as(settings, None, None).await
}

async fn open_as(settings: &Settings, node_name: Option<String>, observer: Option<Arc<dyn CommitObserver>>) -> anyhow::Result<Opened> {
    let (ready_sender, ready) = ready_channels(READY_GROUPS_MAX);
    let vault = Vault::new(&secrets::master_key(settings)?.0, Arc::new(SystemEntropy));
    match &settings.database {
        DatabaseChoice::Embedded => {
            let options = SqliteOptions {
                data_dir: settings.data_dir.clone(),
                vault,
                ready: ready_sender,
                entropy: Arc::new(SystemEntropy),
                observer,
            };
            Ok(Opened { database: Database::Embedded(SqliteStore::open(options)?), ready, news: None })
        }
        DatabaseChoice::Postgres(url) => {
            let (news_sender, news) = mpsc::channel(NEWS_MAX);
            let options = PostgresOptions {
                url: url.clone(),
                vault,
                ready: ready_sender,
                news: news_sender,
                entropy: Arc::new(SystemEntropy),
                observer,
                node_name,
                lease: settings.lease,
                poll_every: settings.database_poll_every,
                notify: settings.database_notify,
                connections_max: settings.database_connections_max,
                partition: PARTITION,
            };
            Ok(Opened { database: Database::Postgres(PostgresStore::open(options).await?), ready, news: Some(news) })
        }
    }
}

/// Where the data is, without any password.
pub(crate) fn place(settings: &Settings) -> String {
    match &settings.database {
        DatabaseChoice::Embedded => settings.data_dir.display().to_string(),
        DatabaseChoice::Postgres(url) => url.to_string(),
    }
}

/// The URL, for commands that are about PostgreSQL alone.
pub(crate) fn postgres_url(settings: &Settings) -> Option<&DatabaseUrl> {
    match &settings.database {
        DatabaseChoice::Embedded => None,
        DatabaseChoice::Postgres(url) => Some(url),
    }
}
