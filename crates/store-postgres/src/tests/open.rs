//! Opening: what is refused, and how it is said.

use hookpost_store::vault::WrongMasterKey;

use super::harness::Opening;
use super::server::{TestDatabase, admin, free_port, server};
use crate::connect::{DatabaseUrl, check_version};
use crate::{OpenError, migrate};

async fn refused(url: DatabaseUrl) -> OpenError {
    Opening::at(url).open().await.map(|_| ()).unwrap_err()
}

async fn run(database: &TestDatabase, script: &str) {
    database.connect().await.batch_execute(script).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let port = free_port();
    let url = DatabaseUrl::parse(&format!("postgres://hook:hush@127.0.0.1:{port}/events")).unwrap();
    let said = refused(url).await.to_string();
    assert!(said.starts_with(&format!("PostgreSQL at 127.0.0.1:{port} cannot be reached (")), "{said}");
    assert!(
        said.contains("Connection refused") && said.ends_with("is it running, does it listen there, and may this machine connect to it?"),
        "{said}"
    );
    assert!(!said.contains("hush"), "{said}");

    let url = DatabaseUrl::parse("postgres://hook:hush@nowhere.invalid/events").unwrap();
    assert!(matches!(refused(url).await, OpenError::Unreachable { server, .. } if server == "nowhere.invalid:5432"));
}

#[tokio::test]
async fn a_wrong_password_is_said_without_it() {
    let database = TestDatabase::empty().await;
    // Roles are those of the server, which other tests use too.
    let make = "DO $$ BEGIN CREATE ROLE needs_password LOGIN PASSWORD 'right'; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$";
    run(&database, make).await;
    let said = refused(database.url_as("needs_password:wrong")).await;
    assert!(matches!(&said, OpenError::NotLetIn { user, .. } if user == "needs_password"), "{said}");
    assert!(said.to_string().contains("password authentication failed") && !said.to_string().contains("wrong"), "{said}");
    let said = refused(database.url_as("needs_password")).await;
    assert!(matches!(&said, OpenError::NotLetIn { why, .. } if why.contains("password missing")), "{said}");
    let said = refused(database.url_as("nobody_knows")).await;
    assert!(matches!(said, OpenError::NotLetIn { .. }), "{said}");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named() {
    let url = DatabaseUrl::parse(&format!("{}no_such_events", server())).unwrap();
    let said = refused(url).await.to_string();
    assert!(
        said.ends_with("has no database no_such_events: create it with CREATE DATABASE \"no_such_events\" OWNER \"postgres\""),
        "{said}"
    );
}

#[test]
fn an_old_server_is_refused_by_version() {
    let url = DatabaseUrl::parse("postgres://hookpost@db.internal/hookpost").unwrap();
    assert!(check_version(&url, 150_000).is_ok() && check_version(&url, 180_001).is_ok());
    assert_eq!(
        check_version(&url, 140_012).unwrap_err().to_string(),
        "PostgreSQL 14.12 at db.internal:5432 is too old, 15 or newer is needed: upgrade that server (pg_upgrade, or dump and restore), or name a newer one"
    );
}

#[tokio::test]
async fn a_missing_right_is_named_with_its_grant() {
    let database = TestDatabase::empty().await;
    let (name, user) = (database.name.clone(), format!("user_of_{}", database.name));
    run(&database, &format!("CREATE ROLE {user} LOGIN")).await;

    let said = refused(database.url_as(&user)).await.to_string();
    let remedy = format!("GRANT CREATE ON DATABASE \"{name}\" TO \"{user}\"");
    assert!(said.starts_with(&format!("the user {user} lacks a right in the database {name} (permission denied")), "{said}");
    assert!(said.ends_with(&remedy), "{said}");

    run(&database, "CREATE SCHEMA hookpost").await;
    let said = refused(database.url_as(&user)).await.to_string();
    let remedy = format!("GRANT USAGE, CREATE ON SCHEMA hookpost TO \"{user}\"");
    assert!(said.ends_with(&remedy), "{said}");
    run(&database, &remedy).await;
    migrate(&database.url_as(&user)).await.expect("the remedy helps");

    // The tables of another.
    run(&database, "DROP SCHEMA hookpost CASCADE").await;
    migrate(&database.url()).await.unwrap();
    let said = refused(database.url_as(&user)).await.to_string();
    let remedy = format!("GRANT \"postgres\" TO \"{user}\"");
    assert!(said.contains("belongs to postgres: connect as postgres, or ") && said.ends_with(&remedy), "{said}");
    run(&database, &remedy).await;
    let node = Opening::at(database.url_as(&user)).open().await.expect("the remedy helps");
    node.store.close().await;

    run(&database, &format!("REVOKE \"postgres\" FROM {user}; DROP OWNED BY {user}; DROP ROLE {user}")).await;
}

#[tokio::test]
async fn a_server_without_a_free_connection_is_named_with_its_setting() {
    let database = TestDatabase::empty().await;
    let user = format!("user_of_{}", database.name);
    run(&database, &format!("CREATE ROLE {user} LOGIN CONNECTION LIMIT 0")).await;
    let said = refused(database.url_as(&user)).await;
    assert!(matches!(said, OpenError::TooManyConnections { .. }), "{said}");
    let said = said.to_string();
    assert!(said.contains("max_connections") && said.contains("HOOKPOST_DATABASE_CONNECTIONS"), "{said}");
    admin(server()).await.batch_execute(&format!("DROP ROLE {user}")).await.unwrap();
}

#[tokio::test]
async fn another_master_key_is_refused_at_once() {
    let database = TestDatabase::migrated().await;
    let open = |key: u8| Opening { master_key: [key; 32], ..Opening::of(&database) }.open();
    open(5).await.expect("the first key is the key").store.close().await;
    assert!(matches!(open(6).await.map(|_| ()), Err(OpenError::WrongMasterKey(WrongMasterKey))));
    // And nothing was spoiled by trying.
    open(5).await.expect("it still opens").store.close().await;
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    const KNOWN: usize = crate::schema::SCHEMA.len();
    let database = TestDatabase::migrated().await;
    run(&database, "UPDATE hookpost.schema_version SET version = 999").await;
    let said = refused(database.url()).await;
    assert!(matches!(said, OpenError::NewerSchema { found: 999, known: KNOWN }), "{said}");
}

#[tokio::test]
async fn a_standby_is_refused() {
    let database = TestDatabase::empty().await;
    run(&database, &format!("ALTER DATABASE {} SET default_transaction_read_only = on", database.name)).await;
    let said = refused(database.url()).await;
    assert!(matches!(said, OpenError::ReadOnly { .. }), "{said}");
}

#[tokio::test]
async fn encryption_is_not_left_out_in_silence() {
    let database = TestDatabase::empty().await;
    for mode in ["require", "verify-full"] {
        let said = refused(database.url_with(&format!("?sslmode={mode}"))).await;
        assert!(matches!(&said, OpenError::Tls { why } if why.contains("server does not support TLS")), "{said}");
    }
    let said = refused(database.url_with("?sslrootcert=/no/such/file.pem")).await;
    assert!(matches!(&said, OpenError::Tls { why } if why.starts_with("/no/such/file.pem: ")), "{said}");
}
