//! What only the operator of this machine may ask of a running server: backups and keys, over a socket in the data directory that only
//! its owner can open. The HTTP API has none of it: there every key belongs to a tenant, and no tenant owns the machine. Only a server with the embedded
//! store has one: PostgreSQL can be asked beside it.
//!
//! A conversation is one line of JSON from the client, and lines of JSON back: any number of `progress`, then one `done` or `failed`.

mod client;
mod keys;
mod server;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use client::ask;
pub(crate) use keys::{KeyRequest, answer as answer_key_request};
pub(crate) use server::{listen, serve};

const SOCKET_FILE: &str = "control.sock";
/// A request is a few names and a path.
const REQUEST_BYTES_MAX: u64 = 64 << 10;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// Writes a consistent copy of the data into a file that does not exist yet.
    Backup {
        file: PathBuf,
    },
    Key(KeyRequest),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    Progress { done: u64, total: u64 },
    Done(Value),
    Failed(Problem),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Problem {
    pub(crate) not_found: bool,
    pub(crate) message: String,
}

fn socket(data_dir: &Path) -> PathBuf {
    data_dir.join(SOCKET_FILE)
}
