//! `hookpost backup` and `hookpost restore`: the data as one file, and back. The keys of the data directory are not part of it: a backup that
//! holds its own master key protects nothing.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::cli::DataArgs;
use crate::config::{DatabaseChoice, Environment, Settings};
use crate::control::{self, Request};
use crate::database::Database;
use crate::failure::Failure;
use crate::output;
use crate::{database, runtime, secrets};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hookpost backup today.backup
  hookpost backup --data-dir /var/lib/hookpost /backup/hookpost-2026-01-31

The copy is consistent, whether the server runs or not, and holds everything but the keys: keep `master.key` (or
HOOKPOST_MASTER_KEY) elsewhere, a restored server needs it to read its signing secrets.")]
pub(crate) struct BackupArgs {
    /// The file to write; it must not exist yet
    file: PathBuf,
    /// Print JSON: the file and its size
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hookpost restore today.backup
  hookpost restore --data-dir /var/lib/hookpost /backup/hookpost-2026-01-31

The data directory must have no database. Bring back its `master.key` too, unless the server has HOOKPOST_MASTER_KEY.
What was delivered after the backup was made is delivered again, with the same ids.")]
pub(crate) struct RestoreArgs {
    /// The backup
    file: PathBuf,
    #[command(flatten)]
    data: DataArgs,
}

pub(crate) fn backup(args: &BackupArgs, environment: &Environment) -> anyhow::Result<()> {
    let settings = super::resolve(&args.data.as_serve(), environment, &[])?.settings;
    check_is_embedded(&settings, "`pg_dump --format=custom --file=FILE DATABASE` makes a backup while nodes run")?;
    // The server has a working directory of its own.
    let file = std::path::absolute(&args.file).with_context(|| format!("{} is not a path", args.file.display()))?;
    let bar = ProgressBar::new(0)
        .with_style(ProgressStyle::with_template("backup {wide_bar} {percent}% {eta}").unwrap_or_else(|_| ProgressStyle::default_bar()));
    let progress = |done: u64, total: u64| {
        bar.set_length(total);
        bar.set_position(done);
    };
    let answer = match control::ask(&settings.data_dir, &Request::Backup { file: file.clone() }, progress)? {
        Some(answer) => answer,
        None => offline(&settings, &file, &bar)?,
    };
    bar.finish_and_clear();
    if args.json {
        output::print_json(&answer)?;
    } else {
        let size = indicatif::HumanBytes(answer["bytes"].as_u64().unwrap_or_default());
        output::print_line(format_args!("wrote {} ({size})", args.file.display()))?;
    }
    Ok(())
}

/// PostgreSQL has tools for it that know more than we could: while it runs, and to any moment.
fn check_is_embedded(settings: &Settings, instead: &str) -> Result<(), Failure> {
    match settings.database {
        DatabaseChoice::Embedded => Ok(()),
        DatabaseChoice::Postgres(_) => Err(Failure::Usage(format!(
            "the data is in PostgreSQL, and its own tools copy it: {instead}; keep HOOKPOST_MASTER_KEY elsewhere"
        ))),
    }
}

/// For commands that make no sense on a directory that opening would only create.
fn check_has_data(settings: &Settings) -> anyhow::Result<()> {
    let database = settings.data_dir.join(hookpost_store_sqlite::DATABASE_FILE);
    anyhow::ensure!(database.exists(), "there is no data in {}: say where it is with --data-dir", settings.data_dir.display());
    Ok(())
}

/// No server runs: the store is opened for the copy.
fn offline(settings: &Settings, file: &Path, bar: &ProgressBar) -> anyhow::Result<Value> {
    check_has_data(settings)?;
    let bar = bar.clone();
    runtime::build()?.block_on(async {
        let opened = database::open_for_command(settings).await?;
        let Database::Embedded(store) = &opened.database else { anyhow::bail!("only the embedded store is copied here") };
        let on_progress = Box::new(move |now: hookpost_store_sqlite::BackupProgress| {
            bar.set_length(now.pages);
            bar.set_position(now.pages_done);
        });
        let copied = store.backup(file.to_owned(), on_progress).await;
        store.close().await;
        copied?;
        Ok(json!({"file": file, "bytes": std::fs::metadata(file)?.len()}))
    })
}

pub(crate) fn restore(args: &RestoreArgs, environment: &Environment) -> anyhow::Result<()> {
    let settings = super::resolve(&args.data.as_serve(), environment, &[])?.settings;
    check_is_embedded(&settings, "`pg_restore --dbname=DATABASE FILE` brings one back into an empty database while no node runs")?;
    let spinner = ProgressBar::new_spinner().with_message("checking and copying");
    spinner.enable_steady_tick(std::time::Duration::from_millis(200));
    hookpost_store_sqlite::restore(&args.file, &settings.data_dir)?;
    spinner.finish_and_clear();
    output::print_line(format_args!("restored {} into {}", args.file.display(), settings.data_dir.display()))?;
    if !secrets::has_master_key(&settings) {
        eprintln!(
            "{}",
            console::style(format!(
                "Now bring back `master.key` of that server into {}, or set HOOKPOST_MASTER_KEY, before you start it.",
                settings.data_dir.display()
            ))
            .yellow()
            .for_stderr()
        );
    }
    Ok(())
}
