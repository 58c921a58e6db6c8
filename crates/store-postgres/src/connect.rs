//! From an address to connections: TLS, the settings of a session, what version and which rights are needed; one pool for reads and changes, and
//! connections of their own for those who write in groups.

mod tls;
mod url;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use futures_util::future::try_join_all;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client};
use tokio_postgres_rustls::MakeRustlsConnect;

pub use url::DatabaseUrl;

use crate::error::{OpenError, StoreError};

/// The oldest major version that we are tested with.
const VERSION_MIN: i32 = 15;
/// For everything from the name to the first answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a caller waits for a connection of the pool.
const POOL_TIMEOUT: Duration = Duration::from_secs(5);
/// For accepting, recording, the lease and what other nodes say; beside the pool, of which a node needs one at least.
const OWN_CONNECTIONS: usize = 5;

/// Set by statement, because poolers do not pass on what they do not know of the start of a session. A server that lost its client ends what that one
/// had open, so that nobody waits for its locks.
const SESSION: &str = "SET statement_timeout = '10s'; SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '5s'";
/// For those who change the schema: others may be at it.
const PATIENT_SESSION: &str = "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = '60s'";

#[derive(Debug)]
pub(crate) struct Connections {
    connector: Connector,
    pool: Pool,
}

/// A connection of one's own; closed when dropped.
#[derive(Debug)]
pub(crate) struct Dedicated {
    pub(crate) client: Client,
    driver: JoinHandle<()>,
}

impl Drop for Dedicated {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connections {
    /// Opens none yet.
    pub(crate) fn new(url: &DatabaseUrl, connections_max: usize) -> Result<Self, OpenError> {
        let connector = Connector::new(url)?;
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(connector.config.clone(), connector.clone(), recycling);
        let pool = Pool::builder(manager)
            .max_size(connections_max.max(1))
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(POOL_TIMEOUT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .recycle_timeout(Some(CONNECT_TIMEOUT))
            .build()
            .map_err(|error| OpenError::Url { why: error.to_string() })?;
        Ok(Self { connector, pool })
    }

    /// One of the pool: statements are kept with `prepare_cached`.
    pub(crate) async fn get(&self) -> Result<Object, StoreError> {
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Closed => StoreError::Closed,
            PoolError::Timeout(_) => StoreError::Away("no connection became free in time".to_owned()),
            other => StoreError::Away(other.to_string()),
        })
    }

    pub(crate) async fn dedicated(&self) -> Result<Dedicated, StoreError> {
        self.connector.dedicated(SESSION, None).await
    }

    /// Whether the server lets in as many as a node needs at least: one that gets fewer would serve now and then, which is worse than not at all. Whoever
    /// asks has one of them already.
    pub(crate) async fn check_room(&self) -> Result<(), StoreError> {
        try_join_all((0..OWN_CONNECTIONS).map(|_| self.dedicated())).await.map(drop)
    }

    /// Wakes whoever is named at each NOTIFY that it listens to.
    pub(crate) async fn listening(&self, wake: Arc<Notify>) -> Result<Dedicated, StoreError> {
        self.connector.dedicated(SESSION, Some(wake)).await
    }

    /// Whoever asks from now on is told that the store is closed; connections end when they are given back.
    pub(crate) fn close(&self) {
        self.pool.close();
    }
}

/// The first connection of a program: says in full what is wrong, and waits for others that change the schema.
pub(crate) async fn connect_first(url: &DatabaseUrl) -> Result<Dedicated, OpenError> {
    let connector = Connector::new(url)?;
    let explain = |error: StoreError| OpenError::explain(error, url);
    let dedicated = connector.dedicated(PATIENT_SESSION, None).await.map_err(explain)?;
    let row = dedicated.client.query_one("SELECT current_setting('server_version_num')::integer", &[]).await;
    check_version(url, row.and_then(|row| row.try_get(0)).map_err(|error| explain(error.into()))?)?;
    Ok(dedicated)
}

/// `150004` is 15.4.
pub(crate) fn check_version(url: &DatabaseUrl, server_version_num: i32) -> Result<(), OpenError> {
    let (major, minor) = (server_version_num / 10_000, server_version_num % 10_000);
    if major < VERSION_MIN {
        return Err(OpenError::TooOld { server: url.server(), found: format!("{major}.{minor}"), needed: VERSION_MIN });
    }
    Ok(())
}

#[derive(Clone)]
struct Connector {
    config: tokio_postgres::Config,
    tls: MakeRustlsConnect,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector(…)")
    }
}

impl Connector {
    fn new(url: &DatabaseUrl) -> Result<Self, OpenError> {
        let mut config = (*url.config).clone();
        config.application_name(url.config.get_application_name().unwrap_or("hookpost"));
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        // A server that vanished without a word is noticed in seconds, not in hours.
        config.keepalives_idle(Duration::from_secs(10)).keepalives_interval(Duration::from_secs(3)).keepalives_retries(3);
        config.tcp_user_timeout(Duration::from_secs(15));
        Ok(Self { config, tls: tls::connector(url)? })
    }

    async fn dedicated(&self, session: &str, wake: Option<Arc<Notify>>) -> Result<Dedicated, StoreError> {
        let (client, driver) = tokio::time::timeout(CONNECT_TIMEOUT, self.connect(session, wake))
            .await
            .map_err(|_| StoreError::Away(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs())))??;
        Ok(Dedicated { client, driver })
    }

    /// The handle belongs to whoever holds the client: both end together.
    async fn connect(&self, session: &str, wake: Option<Arc<Notify>>) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        let (client, mut connection) = self.config.connect(self.tls.clone()).await?;
        let driver = tokio::runtime::Handle::current().spawn(async move {
            // Errors reach whoever waits for an answer; without one nobody misses the connection.
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                match (message, &wake) {
                    (AsyncMessage::Notification(_), Some(wake)) => wake.notify_one(),
                    (AsyncMessage::Notice(notice), _) => {
                        tracing::debug!(severity = notice.severity(), "PostgreSQL says: {}", notice.message());
                    }
                    _ => {}
                }
            }
        });
        let abort_unless_done = AbortOnDrop(Some(driver));
        client.batch_execute(session).await?;
        Ok((client, abort_unless_done.done()))
    }
}

/// Connecting may be given up half-way: its task must not stay.
struct AbortOnDrop(Option<JoinHandle<()>>);

impl AbortOnDrop {
    fn done(mut self) -> JoinHandle<()> {
        self.0.take().expect("it is taken once")
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(driver) = &self.0 {
            driver.abort();
        }
    }
}

type Connecting<'a> = Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), tokio_postgres::Error>> + Send + 'a>>;

impl deadpool_postgres::Connect for Connector {
    fn connect(&self, _config: &tokio_postgres::Config) -> Connecting<'_> {
        Box::pin(self.connect(SESSION, None))
    }
}
