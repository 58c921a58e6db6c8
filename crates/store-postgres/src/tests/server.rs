//! A PostgreSQL for the tests, and a database in it for each.
//!
//! `HOOKPOST_TEST_POSTGRES` names a server whose superuser we are (`make test` starts one for all); without it every test process starts its own with
//! `tests/harness/postgres.sh`, which ends with the process.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use hookpost_domain::Timestamp;
use tokio_postgres::{Client, NoTls};

use super::harness::WHOLE_HISTORY;
use crate::connect::{DatabaseUrl, connect_first};
use crate::partitions::{HISTORY, Partitions, RECEIPTS};
use crate::schema::{self, SCHEMA};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/harness/postgres.sh");

/// Up to the database: `postgres://postgres@127.0.0.1:5432/`.
pub(super) fn server() -> &'static str {
    static SERVER: OnceLock<Running> = OnceLock::new();
    &SERVER.get_or_init(Running::find_or_start).base
}

#[derive(Debug)]
pub(super) struct Running {
    pub(super) base: String,
    /// Closed with this process, however that ends; the script takes it as the sign to stop.
    input: Option<ChildStdin>,
    script: Option<Child>,
}

impl Running {
    fn find_or_start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the tests of a crate have no configuration but this")]
        let given = std::env::var("HOOKPOST_TEST_POSTGRES").ok().filter(|url| !url.is_empty());
        match given {
            Some(url) => Self { base: base(&url), input: None, script: None },
            None => Self::start(&[]),
        }
    }

    /// One of its own, with settings of its own.
    pub(super) fn start(settings: &[&str]) -> Self {
        let mut script = Command::new("sh")
            .args([Path::new(SCRIPT).as_os_str(), free_port().to_string().as_ref()])
            .args(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What is sent to all the processes of a test must not reach it: it has to tidy up.
            .process_group(0)
            .spawn()
            .expect("sh runs");
        let mut line = String::new();
        BufReader::new(script.stdout.take().expect("a pipe")).read_line(&mut line).expect("the script writes text");
        assert!(line.starts_with("postgres://"), "no PostgreSQL could be started: see above");
        Self { base: base(&line), input: script.stdin.take(), script: Some(script) }
    }
}

/// For those that are not kept to the end of the process.
impl Drop for Running {
    fn drop(&mut self) {
        drop(self.input.take());
        if let Some(script) = &mut self.script {
            let _ = script.wait();
        }
    }
}

fn base(url: &str) -> String {
    let (base, _database) = url.trim().rsplit_once('/').expect("an address ends with a database");
    format!("{base}/")
}

pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// A database of one test; gone with it.
#[derive(Debug)]
pub(super) struct TestDatabase {
    base: String,
    pub(super) name: String,
}

impl TestDatabase {
    /// With the tables of the newest version, and nothing in them.
    pub(super) async fn migrated() -> Self {
        let template = template(server()).await;
        Self::create(server(), &format!("TEMPLATE {template} STRATEGY file_copy")).await
    }

    pub(super) async fn empty() -> Self {
        Self::create(server(), "TEMPLATE template0 STRATEGY file_copy").await
    }

    async fn create(server: &str, from: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("hookpost_test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let admin = admin(server).await;
        admin.batch_execute(&format!("CREATE DATABASE {name} {from}")).await.expect("a database is made");
        Self { base: server.to_owned(), name }
    }

    pub(super) fn url(&self) -> DatabaseUrl {
        self.url_with("")
    }

    /// `?sslmode=…`
    pub(super) fn url_with(&self, parameters: &str) -> DatabaseUrl {
        DatabaseUrl::parse(&format!("{}{}{parameters}", self.base, self.name)).expect("an address")
    }

    /// For another user than the superuser.
    pub(super) fn url_as(&self, user: &str) -> DatabaseUrl {
        let (_, place) = self.base.split_once('@').expect("the address of a test server names its user");
        DatabaseUrl::parse(&format!("postgres://{user}@{place}{}", self.name)).expect("an address")
    }

    pub(super) async fn connect(&self) -> Client {
        connect(&format!("{}{}", self.base, self.name)).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (base, name) = (self.base.clone(), self.name.clone());
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async { admin(&base).await.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await })
        });
        // The server may be gone before its databases.
        let _ = dropping.join();
    }
}

pub(super) async fn admin(server: &str) -> Client {
    connect(&format!("{server}postgres")).await
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the test server answers");
    // Ends with its client.
    tokio::runtime::Handle::current().spawn(async move { drop(connection.await) });
    client
}

/// Made once per server and schema, whichever test process comes first.
async fn template(server: &str) -> String {
    let mut hasher = DefaultHasher::new();
    (SCHEMA, WHOLE_HISTORY).hash(&mut hasher);
    let name = format!("hookpost_template_{:016x}", hasher.finish());
    let admin = admin(server).await;
    admin.batch_execute("SELECT pg_advisory_lock(4711)").await.expect("a lock");
    let found = admin.query("SELECT 1 FROM pg_database WHERE datname = $1", &[&name]).await.expect("a list");
    if found.is_empty() {
        let half = format!("{name}_half");
        let remove = format!("DROP DATABASE IF EXISTS {half} WITH (FORCE)");
        admin.batch_execute(&remove).await.expect("a half-made one goes");
        admin.batch_execute(&format!("CREATE DATABASE {half} TEMPLATE template0")).await.expect("a database is made");
        fill(&DatabaseUrl::parse(&format!("{server}{half}")).expect("an address")).await;
        let rename = format!("ALTER DATABASE {half} RENAME TO {name}");
        // The connection that filled it takes a moment to go.
        let mut left = 1000;
        while let Err(error) = admin.batch_execute(&rename).await {
            left -= 1;
            assert!(left > 0, "the template stays in use: {error:?}");
        }
    }
    name
}

async fn fill(url: &DatabaseUrl) {
    let mut first = connect_first(url).await.expect("the test server answers");
    schema::migrate_by(&mut first.client, url, &SCHEMA).await.expect("the tables are made");
    for of in [HISTORY, RECEIPTS] {
        Partitions::new(of, WHOLE_HISTORY).make_ahead(&mut first.client).await.expect("a partition is made");
    }
    assert!(schema::now(&first.client).await.expect("a clock") > Timestamp::ZERO);
}
