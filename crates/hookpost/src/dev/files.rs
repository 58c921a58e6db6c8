//! What `hookpost dev` leaves in its data directory, so that the client commands find the server and a key.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone)]
pub(crate) struct DevFiles {
    directory: PathBuf,
}

impl DevFiles {
    pub(crate) const KEY: &str = "dev.key";
    const URL: &str = "dev.url";

    pub(crate) fn in_directory(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Makes the directory where there is none: a server on PostgreSQL needs no other file in it.
    pub(crate) fn make_in(directory: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        Ok(Self::in_directory(directory))
    }

    pub(crate) fn read_key(&self) -> Option<String> {
        read_line(&self.directory.join(Self::KEY))
    }

    pub(crate) fn read_url(&self) -> Option<String> {
        read_line(&self.directory.join(Self::URL))
    }

    pub(crate) fn write_key(&self, key: &str) -> io::Result<()> {
        write_private(&self.directory.join(Self::KEY), key)
    }

    pub(crate) fn write_url(&self, url: &str) -> io::Result<()> {
        write_private(&self.directory.join(Self::URL), url)
    }
}

fn read_line(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|line| !line.is_empty())
}

/// Writes a file that only its owner can read. It is complete or not there: another process never sees half of it.
pub(crate) fn write_private(path: &Path, line: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let unfinished = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}
