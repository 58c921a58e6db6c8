//! `hookpost migrate`: brings a PostgreSQL database up to date before the first node of a new version starts. Nodes do the same at their start; by itself
//! it is for those who want to see it done, or to know.

use std::process::ExitCode;

use clap::Args;
use hookpost_store_postgres as postgres;
use serde_json::json;

use crate::cli::{ServeArgs, SettingFlags};
use crate::config::Environment;
use crate::failure::Failure;
use crate::{database, output, runtime};

/// `--check`: there is something to be done.
const EXIT_OUTDATED: u8 = 6;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  HOOKPOST_DATABASE=postgres://hookpost:…@db.internal/hookpost hookpost migrate
  hookpost migrate --config hookpost.toml --check

Nodes of the version before go on working while it runs and afterwards. With --check nothing is changed, and the exit code is 0 if the
database is up to date and 6 if it is not.")]
pub(crate) struct MigrateArgs {
    /// Only say what is to be done
    #[arg(long)]
    check: bool,
    /// Print JSON: the version that was found, and the one that it has now
    #[arg(long)]
    json: bool,
    /// Configuration file of the server [env: HOOKPOST_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    /// The database [env: HOOKPOST_DATABASE]
    #[arg(long, value_name = "URL")]
    database: Option<String>,
}

pub(crate) fn run(args: &MigrateArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let mut flags = SettingFlags::default();
    if let Some(database) = &args.database {
        flags.0.insert("database", database.clone());
    }
    let settings = super::resolve(&ServeArgs { config: args.config.clone(), settings: flags }, environment, &[])?.settings;
    let url = database::postgres_url(&settings).ok_or_else(|| {
        Failure::Usage(
            "`hookpost migrate` is for PostgreSQL, and HOOKPOST_DATABASE names none: the embedded store is brought up to date when its server starts"
                .to_owned(),
        )
    })?;
    let runtime = runtime::build()?;
    let migration = runtime.block_on(async { if args.check { postgres::check(url).await } else { postgres::migrate(url).await } })?;
    let (from, to) = (migration.from, migration.to);
    let outdated = from < to;
    if args.json {
        output::print_json(&json!({"from": from, "to": to, "done": outdated && !args.check}))?;
    } else {
        output::print_line(match (outdated, args.check) {
            (false, _) => format!("up to date: version {to}"),
            (true, false) => format!("brought from version {from} to {to}"),
            (true, true) => format!("to be brought from version {from} to {to}"),
        })?;
    }
    Ok(if outdated && args.check { ExitCode::from(EXIT_OUTDATED) } else { ExitCode::SUCCESS })
}
