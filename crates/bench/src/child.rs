//! Processes under test: started here, ended here, by their own id.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::api::{Api, JWT_SECRET};
use crate::machine::{Memory, memory};
use crate::postgres::Postgres;

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Where the servers under test keep their data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum DatabaseKind {
    /// The embedded store
    Sqlite,
    /// A PostgreSQL that is started for each run, with everything written durably
    Postgres,
}

/// The key under which nodes on one database seal; known to everyone.
const MASTER_KEY: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";

/// A child that is killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Process {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: what the kill test is about, and what everything else survives too.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill().context("killing the child")?;
        self.child.wait().context("waiting for the child")?;
        Ok(())
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How servers are started.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) binary: PathBuf,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) database: DatabaseKind,
    /// How many share one database.
    pub(crate) nodes: usize,
}

/// What was started: the nodes, and their database if that is a process of its own.
pub(crate) struct Running {
    pub(crate) nodes: Vec<Process>,
    // After the nodes, which need it to the end.
    postgres: Option<Postgres>,
}

impl Running {
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.address).collect()
    }

    /// Of everything whose CPU counts.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.nodes.iter().map(Process::pid).chain(self.postgres.as_ref().map(Postgres::pid)).collect()
    }

    /// Of the nodes together. What PostgreSQL has is mostly its buffers, which are a setting.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let mut sum = Memory::default();
        for node in &self.nodes {
            let one = memory(node.pid())?;
            sum = Memory { now_mb: sum.now_mb + one.now_mb, peak_mb: sum.peak_mb + one.peak_mb };
        }
        Ok(sum)
    }

    /// Any node.
    pub(crate) fn api(&self) -> Result<Api> {
        Api::new(self.nodes.first().context("there is no node")?.address)
    }
}

impl From<Process> for Running {
    fn from(process: Process) -> Self {
        Self { nodes: vec![process], postgres: None }
    }
}

impl Server {
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut server = self.clone();
        server.settings.push((name.to_owned(), value.to_owned()));
        server
    }

    pub(crate) fn with_nodes(&self, nodes: usize) -> Self {
        Self { nodes, ..self.clone() }
    }

    /// Starts everything, with its data in a directory. The time is that of the first node, from its start to its first answer.
    pub(crate) fn start_all(&self, directory: &Path) -> Result<(Running, Duration)> {
        let postgres = match self.database {
            DatabaseKind::Sqlite => None,
            DatabaseKind::Postgres => Some(Postgres::start(free_address()?, directory)?),
        };
        let server = match &postgres {
            None => self.clone(),
            Some(postgres) => self.with("HOOKPOST_DATABASE", &postgres.url).with("HOOKPOST_MASTER_KEY", MASTER_KEY),
        };
        let (first, took) = server.start(&directory.join("data"))?;
        let mut nodes = vec![first];
        for number in 1..self.nodes {
            nodes.push(server.start(&directory.join(format!("data-{number}")))?.0);
        }
        Ok((Running { nodes, postgres }, took))
    }

    /// Starts one on a free port and waits until it answers. The time is from the start to the first answer.
    pub(crate) fn start(&self, data_directory: &Path) -> Result<(Process, Duration)> {
        let started = Instant::now();
        let mut process = self.spawn(data_directory)?;
        let mut api = Api::new(process.address)?;
        while !api.is_up() {
            if process.has_ended() || started.elapsed() > START_TIMEOUT {
                bail!("the server did not start:\n{}", tail(&log_path(data_directory)));
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        Ok((process, started.elapsed()))
    }

    /// Starts it on a free port and waits for nothing.
    pub(crate) fn spawn(&self, data_directory: &Path) -> Result<Process> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log_path(data_directory))
            .context("opening the log of the server")?;
        let address = free_address()?;
        let child = Command::new(&self.binary)
            .arg("serve")
            .env("HOOKPOST_LISTEN", address.to_string())
            .env("HOOKPOST_DATA_DIR", data_directory)
            .env("HOOKPOST_JWT_SECRET", JWT_SECRET)
            .env("HOOKPOST_ALLOW_PRIVATE_NETWORKS", "true")
            .env("HOOKPOST_LOG", "warn")
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", self.binary.display()))?;
        Ok(Process { child, address })
    }
}

fn log_path(data_directory: &Path) -> PathBuf {
    data_directory.with_extension("log")
}

/// The bare forwarder, as a process of its own like the server.
pub(crate) fn start_forwarder(arguments: &[String]) -> Result<Process> {
    let binary = std::env::current_exe().context("finding this program")?;
    let mut child = Command::new(binary)
        .arg("forwarder")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting the forwarder")?;
    let stdout = child.stdout.take().context("the forwarder has no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let mut process = Process { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) };
    ensure!(!process.has_ended(), "the forwarder did not start");
    process.address = line.trim().parse().context("the forwarder did not print its address")?;
    Ok(process)
}

/// Free at this moment; whoever else takes it in the next makes the start fail, not the figures.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// The last lines of a log.
pub(crate) fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
