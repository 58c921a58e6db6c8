//! A PostgreSQL of the bench's own: a free port, data on the disk that is measured, durable as in production, gone with the bench.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The launcher of the tests, which knows where Debian keeps PostgreSQL, and that it does not run as root.
const SCRIPT: &str = include_str!("../../../tests/harness/postgres.sh");
/// What the launcher sets for tests, set back to what a server in production has. The buffers are a quarter of a gigabyte: enough for what is hot here,
/// and little enough for a small machine.
const SETTINGS: &[&str] = &[
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "shared_buffers=256MB",
    "wal_level=replica",
    "max_wal_senders=10",
    "autovacuum_naptime=1min",
    "min_wal_size=2GB",
];
/// Writes a log of 1.5 GB, whose files the checkpoint then keeps for what comes: a server that has run for a while uses old files again, and a new one
/// stands still some 70 ms for each 16 MB that it makes.
const AGE: &[&str] = &[
    "DO $$ BEGIN FOR n IN 1..1536 LOOP PERFORM pg_logical_emit_message(false, 'bench', repeat('x', 1 << 20)); END LOOP; END $$",
    "CHECKPOINT",
];

#[derive(Debug)]
pub(crate) struct Postgres {
    /// Of an empty database.
    pub(crate) url: String,
    /// Closed with this process, however that ends: the launcher takes it as the sign to stop.
    input: Option<ChildStdin>,
    launcher: Child,
}

impl Postgres {
    pub(crate) fn start(address: SocketAddr, directory: &Path) -> Result<Self> {
        let mut launcher = Command::new("sh")
            .args(["-c", SCRIPT, "postgres.sh", &address.port().to_string()])
            .args(SETTINGS.iter().flat_map(|setting| ["-c", setting]))
            .env("TMPDIR", directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting PostgreSQL")?;
        let input = launcher.stdin.take();
        let mut line = String::new();
        BufReader::new(launcher.stdout.take().context("the launcher has no output")?).read_line(&mut line)?;
        let url = line.trim().to_owned();
        let postgres = Self { url, input, launcher };
        ensure!(!postgres.url.is_empty(), "PostgreSQL did not start; Debian has it in the package `postgresql`");
        postgres.age()?;
        Ok(postgres)
    }

    fn age(&self) -> Result<()> {
        let commands = AGE.iter().flat_map(|command| ["-c", command]);
        let status = Command::new("psql").args(["--no-psqlrc", "--quiet", &self.url]).args(commands).status().context("running psql")?;
        ensure!(status.success(), "psql could not write to the new PostgreSQL: {status}");
        Ok(())
    }

    /// Of the launcher, whose descendants are all of PostgreSQL.
    pub(crate) fn pid(&self) -> u32 {
        self.launcher.id()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.launcher.wait();
    }
}
