//! The command's side of the control socket.

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use super::{Reply, Request, socket};
use crate::failure::Failure;

/// `None`: no server listens in this data directory.
pub(crate) fn ask(data_dir: &Path, request: &Request, mut progress: impl FnMut(u64, u64)) -> anyhow::Result<Option<Value>> {
    let path = socket(data_dir);
    let mut stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        // A socket that nobody listens to is left by a server that was killed.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot talk to the server through {}", path.display())),
    };
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    for line in BufReader::new(stream).lines() {
        match serde_json::from_str(&line?).context("the server answered something else: is it of another version?")? {
            Reply::Progress { done, total } => progress(done, total),
            Reply::Done(answer) => return Ok(Some(answer)),
            Reply::Failed(problem) => {
                let status = if problem.not_found { 404 } else { 500 };
                return Err(Failure::Refused { status, message: problem.message }.into());
            }
        }
    }
    anyhow::bail!("the server ended before it was done")
}
