//! One process per data directory: an exclusive lock on a file that names who holds it.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use fs4::fs_std::FileExt as _;

use crate::OpenError;

const LOCK_FILE: &str = "hookpost.lock";

/// Held as long as the store is open; the operating system gives it back however the process ends.
#[derive(Debug)]
pub(crate) struct DataDirLock {
    _file: File,
}

impl DataDirLock {
    /// Makes the directory if it is missing, and takes the lock or says who has it.
    pub(crate) fn take(data_dir: &Path) -> Result<Self, OpenError> {
        let not_usable = |error: std::io::Error| OpenError::DataDir { data_dir: data_dir.to_owned(), why: error.to_string() };
        create_private_dir(data_dir).map_err(not_usable)?;
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(data_dir.join(LOCK_FILE)).map_err(not_usable)?;
        if !file.try_lock_exclusive().map_err(not_usable)? {
            let mut holder = String::new();
            // Who holds it is a help only: an unreadable file must not hide that it is held.
            let _ = file.read_to_string(&mut holder);
            let holder = holder.trim().parse::<u32>().map_or_else(|_| "another process".to_owned(), |pid| format!("process {pid}"));
            return Err(OpenError::InUse { data_dir: data_dir.to_owned(), holder });
        }
        file.set_len(0).map_err(not_usable)?;
        file.rewind().map_err(not_usable)?;
        write!(file, "{}", std::process::id()).map_err(not_usable)?;
        Ok(Self { _file: file })
    }
}

fn create_private_dir(data_dir: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(data_dir)
}
