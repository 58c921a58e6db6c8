//! The versions of the schema, and how a database is brought to the newest: one step per transaction, one node at a time, however many start at once.

use hookpost_domain::{Entropy, PublicIds, Timestamp};
use hookpost_store::vault::Vault;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, GenericClient, Transaction};

use crate::connect::{DatabaseUrl, connect_first};
use crate::error::{OpenError, StoreError, sentence};

/// `SCHEMA[n]` leads from version n to n + 1. What was released is never changed.
pub(crate) const SCHEMA: [&str; 4] =
    [include_str!("schema/1.sql"), include_str!("schema/2.sql"), include_str!("schema/3.sql"), include_str!("schema/4.sql")];

/// Who else makes the same thing at the same moment has made it when this is answered.
const RACES: [SqlState; 5] = [
    SqlState::UNIQUE_VIOLATION,
    SqlState::DUPLICATE_SCHEMA,
    SqlState::DUPLICATE_TABLE,
    SqlState::DUPLICATE_OBJECT,
    SqlState::T_R_SERIALIZATION_FAILURE,
];
const RACES_MAX: usize = 20;

const VERSION_TABLE: &str = "SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = 'hookpost' AND tablename = 'schema_version'";

pub(crate) const VAULT_CANARY: &str = "vault_canary";
pub(crate) const PUBLIC_ID_KEY: &str = "public_id_key";
/// Sealed at the first start; opens with the same master key only.
pub(crate) const CANARY: &[u8] = b"hookpost";

/// What was found and done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// 0: the database was empty.
    pub from: usize,
    pub to: usize,
}

/// Brings the schema up to date and does nothing else.
pub async fn migrate(url: &DatabaseUrl) -> Result<Migration, OpenError> {
    let mut first = connect_first(url).await?;
    migrate_by(&mut first.client, url, &SCHEMA).await
}

/// What [`migrate`] would find and do; changes nothing.
pub async fn check(url: &DatabaseUrl) -> Result<Migration, OpenError> {
    let client = &connect_first(url).await?.client;
    if !exists(client, VERSION_TABLE, url).await? {
        return Ok(Migration { from: 0, to: SCHEMA.len() });
    }
    let version = client.query_opt("SELECT version FROM hookpost.schema_version", &[]).await;
    match version.and_then(|row| row.map_or(Ok(0), |row| row.try_get::<_, i32>(0))) {
        Ok(version) => match usize::try_from(version).unwrap_or(usize::MAX) {
            found if found > SCHEMA.len() => Err(OpenError::NewerSchema { found, known: SCHEMA.len() }),
            from => Ok(Migration { from, to: SCHEMA.len() }),
        },
        Err(error) => Err(explain_rights(client, url, error.into(), "the schema hookpost").await),
    }
}

pub(crate) async fn migrate_by(client: &mut Client, url: &DatabaseUrl, steps: &[&str]) -> Result<Migration, OpenError> {
    prepare(client, url).await?;
    let mut from = None;
    loop {
        match step(client, steps).await {
            Ok(found) if found > steps.len() => return Err(OpenError::NewerSchema { found, known: steps.len() }),
            Ok(found) if found == steps.len() => return Ok(Migration { from: from.unwrap_or(found), to: found }),
            Ok(found) => {
                from.get_or_insert(found);
                tracing::info!(version = found + 1, "brought the schema of the database to version {}", found + 1);
            }
            Err(error) => return Err(explain_rights(client, url, error, "the schema hookpost").await),
        }
    }
}

/// One step under the lock; returns the version that was found.
async fn step(client: &mut Client, steps: &[&str]) -> Result<usize, StoreError> {
    let transaction = client.transaction().await?;
    let found = lock(&transaction).await?;
    if let Some(script) = steps.get(found) {
        transaction.batch_execute(script).await?;
        let next = i32::try_from(found + 1).unwrap_or(i32::MAX);
        transaction.execute("UPDATE hookpost.schema_version SET version = $1", &[&next]).await?;
        transaction.commit().await?;
    }
    Ok(found)
}

/// Takes the one lock that there is: for changes to the tables, and for who gets which number. Returns the version.
pub(crate) async fn lock(transaction: &Transaction<'_>) -> Result<usize, StoreError> {
    let row = transaction.query_one("SELECT version FROM hookpost.schema_version FOR UPDATE", &[]).await?;
    let version: i32 = row.try_get(0)?;
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}

/// What the clock of the database says.
pub(crate) async fn now(client: &impl GenericClient) -> Result<Timestamp, StoreError> {
    let row = client.query_one("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint", &[]).await?;
    let ms: i64 = row.try_get(0)?;
    Ok(Timestamp::from_unix_ms(u64::try_from(ms).unwrap_or_default()))
}

/// The row of the version, which everything else is done under.
async fn prepare(client: &Client, url: &DatabaseUrl) -> Result<(), OpenError> {
    // Asked for first: who may use a schema need not be allowed to make one.
    let create_schema = "CREATE SCHEMA IF NOT EXISTS hookpost";
    let create_table = "CREATE TABLE IF NOT EXISTS hookpost.schema_version (
            single boolean PRIMARY KEY DEFAULT true CHECK (single), version integer NOT NULL);
        INSERT INTO hookpost.schema_version (version) VALUES (0) ON CONFLICT DO NOTHING";
    if !exists(client, "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'hookpost'", url).await? {
        racing(client, create_schema).await.map_err(|error| lacks_database(url, error))?;
    }
    if exists(client, VERSION_TABLE, url).await? && exists_unlocked(client).await {
        return Ok(());
    }
    match racing(client, create_table).await {
        Ok(()) => Ok(()),
        Err(error) => Err(explain_rights(client, url, error, "the schema hookpost").await),
    }
}

async fn exists(client: &Client, query: &str, url: &DatabaseUrl) -> Result<bool, OpenError> {
    Ok(!client.query(query, &[]).await.map_err(|error| OpenError::explain(error.into(), url))?.is_empty())
}

/// Whether the row of the version is there.
async fn exists_unlocked(client: &Client) -> bool {
    client.query("SELECT 1 FROM hookpost.schema_version", &[]).await.is_ok_and(|rows| !rows.is_empty())
}

/// Ten nodes may start on an empty database at once: "if not exists" alone is no promise that nobody else is at it.
async fn racing(client: &Client, script: &str) -> Result<(), StoreError> {
    let mut races = 0;
    loop {
        match client.batch_execute(script).await {
            Err(error) if races < RACES_MAX && error.code().is_some_and(|code| RACES.contains(code)) => races += 1,
            other => return Ok(other?),
        }
    }
}

fn lacks_database(url: &DatabaseUrl, error: StoreError) -> OpenError {
    match &error {
        StoreError::Postgres(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => OpenError::MissingRights {
            user: url.user().to_owned(),
            database: url.database().to_owned(),
            why: sentence(error),
            remedy: format!("GRANT CREATE ON DATABASE \"{}\" TO \"{}\"", url.database(), url.user()),
        },
        _ => OpenError::explain(error, url),
    }
}

/// Names the owner, whose tables only members of that role can change.
pub(crate) async fn explain_rights(client: &Client, url: &DatabaseUrl, error: StoreError, what: &str) -> OpenError {
    let (StoreError::Postgres(inner), Some(&SqlState::INSUFFICIENT_PRIVILEGE)) = (&error, error.code()) else {
        return OpenError::explain(error, url);
    };
    let owner = "SELECT tableowner FROM pg_catalog.pg_tables WHERE schemaname = 'hookpost' AND tablename = 'schema_version'";
    let owner: Option<String> = client.query_opt(owner, &[]).await.ok().flatten().and_then(|row| row.try_get(0).ok());
    let user = url.user().to_owned();
    let remedy = match owner {
        Some(owner) if owner != user => format!("{what} belongs to {owner}: connect as {owner}, or GRANT \"{owner}\" TO \"{user}\""),
        _ => format!("GRANT USAGE, CREATE ON SCHEMA hookpost TO \"{user}\""),
    };
    OpenError::MissingRights { user, database: url.database().to_owned(), why: sentence(inner), remedy }
}

/// Checks that the master key is the one of this database, and reads the key of its public ids; draws both in a new one. Of several that open an empty
/// database at once, the first decides.
pub(crate) async fn identify(client: &Client, vault: &Vault, entropy: &dyn Entropy) -> Result<PublicIds, StoreError> {
    let context = VAULT_CANARY.as_bytes();
    let canary = meta(client, VAULT_CANARY, || vault.seal(context, CANARY)).await?;
    vault.open(context, &canary).map_err(hookpost_store::rows::RowError::from)?;
    let key = meta(client, PUBLIC_ID_KEY, || {
        let mut key = [0; 16];
        entropy.fill(&mut key);
        key.to_vec()
    });
    let key = key.await?.try_into().map_err(|_| damaged("the key of the public ids has another length"))?;
    Ok(PublicIds::new(key))
}

pub(crate) fn damaged(why: &str) -> StoreError {
    hookpost_store::codec::Unreadable { what: "database", why: why.to_owned() }.into()
}

async fn meta(client: &Client, name: &str, draw: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, StoreError> {
    let read = "SELECT value FROM hookpost.meta WHERE name = $1";
    if let Some(row) = client.query_opt(read, &[&name]).await? {
        return Ok(row.try_get(0)?);
    }
    client.execute("INSERT INTO hookpost.meta (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING", &[&name, &draw()]).await?;
    Ok(client.query_one(read, &[&name]).await?.try_get(0)?)
}
