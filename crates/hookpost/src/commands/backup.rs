//! `hookpost backup` and `hookpost restore`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::DataArgs;
use crate::config::Environment;

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The file to write
    file: PathBuf,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The backup
    file: PathBuf,
    #[command(flatten)]
    data: DataArgs,
}

pub(crate) fn backup(args: &BackupArgs, environment: &Environment) -> anyhow::Result<()> {
    let _ = (args, environment);
    Ok(())
}
pub(crate) fn restore(args: &RestoreArgs, environment: &Environment) -> anyhow::Result<()> {
    let _ = (args, environment);
    Ok(())
}
