//! `hookpost move`: everything from one store to another, of whichever kind.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use hookpost_store::transfer::{Moved, Phase, Progress, Transfer, transfer};
use hookpost_store::vault::Vault;
use hookpost_store_postgres::{DatabaseUrl, PostgresTransfer};
use hookpost_store_sqlite::SqliteTransfer;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::cli::{ServeArgs, SettingFlags};
use crate::config::{DatabaseChoice, Environment, Settings};
use crate::failure::Failure;
use crate::outside::SystemEntropy;
use crate::{database, output, runtime, secrets};

/// Steps of the bar, per phase.
const BAR_STEPS: u64 = 1000;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hookpost move --from sqlite:./hookpost-data --to postgres://hookpost:…@db.internal/hookpost
  HOOKPOST_DATABASE=postgres://… hookpost move --from sqlite:/var/lib/hookpost --to postgres
  HOOKPOST_MASTER_KEY=… hookpost move --from postgres://… --to sqlite:./hookpost-data

No server may run on either side. The target must be empty; the source stays as it is. Whatever
cuts it short, the same command goes on where it was. At the end both sides are read again and
compared. `postgres` alone stands for the database that HOOKPOST_DATABASE names, so that its
password need not be on the command line, and `sqlite` for the data directory.")]
pub(crate) struct MoveArgs {
    /// Where the data is: sqlite:DIRECTORY or postgres://…
    #[arg(long, value_name = "STORE")]
    from: Place,
    /// Where it is to be: sqlite:DIRECTORY or postgres://…
    #[arg(long, value_name = "STORE")]
    to: Place,
    /// Print JSON: what was moved
    #[arg(long)]
    json: bool,
    /// Configuration file of the server [env: HOOKPOST_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone)]
enum Place {
    Directory(PathBuf),
    Database(DatabaseUrl),
    /// What the settings say.
    DataDir,
    Configured,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "sqlite" => Ok(Self::DataDir),
            None if text == "postgres" => Ok(Self::Configured),
            Some(("sqlite", directory)) if !directory.is_empty() => Ok(Self::Directory(directory.into())),
            Some(("postgres" | "postgresql", _)) => DatabaseUrl::parse(text).map(Self::Database).map_err(|error| error.to_string()),
            _ => Err("must be sqlite:DIRECTORY, or an address such as postgres://user:password@host:5432/name".to_owned()),
        }
    }
}

impl Place {
    fn resolve(self, settings: &Settings) -> Result<Self, Failure> {
        match (self, &settings.database) {
            (Self::DataDir, _) => Ok(Self::Directory(settings.data_dir.clone())),
            (Self::Configured, DatabaseChoice::Postgres(url)) => Ok(Self::Database(url.clone())),
            (Self::Configured, DatabaseChoice::Embedded) => {
                Err(Failure::Usage("`postgres` stands for the database that HOOKPOST_DATABASE names, and it names none".to_owned()))
            }
            (place, _) => Ok(place),
        }
    }

    fn directory(&self) -> Option<&PathBuf> {
        match self {
            Self::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    async fn as_source(&self, vault: Vault) -> anyhow::Result<Box<dyn Transfer>> {
        Ok(match self {
            Self::Database(url) => Box::new(PostgresTransfer::source(url, vault).await?),
            Self::Directory(directory) => Box::new(SqliteTransfer::source(directory, vault)?),
            Self::DataDir | Self::Configured => unreachable!("resolved before"),
        })
    }

    async fn as_target(&self, vault: Vault) -> anyhow::Result<Box<dyn Transfer>> {
        Ok(match self {
            Self::Database(url) => Box::new(PostgresTransfer::target(url, vault, database::PARTITION).await?),
            Self::Directory(directory) => Box::new(SqliteTransfer::target(directory, vault)?),
            Self::DataDir | Self::Configured => unreachable!("resolved before"),
        })
    }
}

pub(crate) fn run(args: &MoveArgs, environment: &Environment) -> anyhow::Result<()> {
    let serve = ServeArgs { config: args.config.clone(), settings: SettingFlags::default() };
    let settings = super::resolve(&serve, environment, &[])?.settings;
    let (from, to) = (args.from.clone().resolve(&settings)?, args.to.clone().resolve(&settings)?);
    let vault = vault(&settings, &from, &to)?;
    let bar = ProgressBar::new(BAR_STEPS)
        .with_style(ProgressStyle::with_template("{msg} {wide_bar} {percent}% {eta}").unwrap_or_else(|_| ProgressStyle::default_bar()));
    let moved = runtime::build()?.block_on(async {
        let mut source = from.as_source(vault.clone()).await?;
        let mut target = to.as_target(vault).await?;
        anyhow::Ok(transfer(&mut *source, &mut *target, &mut |progress| show(&bar, progress)).await?)
    })?;
    bar.finish_and_clear();
    if args.json {
        let counts: serde_json::Map<String, Value> = moved.counts().map(|(name, count)| (name.to_owned(), count.into())).collect();
        return Ok(output::print_json(&json!({"moved": counts}))?);
    }
    output::print(report(&moved, &settings, &from, &to))?;
    Ok(())
}

fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_message(match progress.phase {
        Phase::Moving => "moving",
        Phase::Finishing => "making lists",
        Phase::Comparing => "comparing",
    });
    bar.set_position((progress.part * BAR_STEPS as f64) as u64);
}

/// Both sides have one master key: given, or the one of the directory that the data is in or comes to.
fn vault(settings: &Settings, from: &Place, to: &Place) -> anyhow::Result<Vault> {
    let directory = from.directory().or(to.directory()).unwrap_or(&settings.data_dir);
    let of_directory = Settings { database: DatabaseChoice::Embedded, data_dir: directory.clone(), ..settings.clone() };
    if !secrets::has_master_key(&of_directory) {
        let why = format!("the master key of the data is needed, and {} has none: set HOOKPOST_MASTER_KEY", directory.display());
        return Err(Failure::Usage(why).into());
    }
    Ok(Vault::new(&secrets::master_key(&of_directory)?.0, Arc::new(SystemEntropy)))
}

fn report(moved: &Moved, settings: &Settings, from: &Place, to: &Place) -> String {
    let counts: Vec<String> = moved.counts().map(|(name, count)| format!("{count} {name}")).collect();
    let counts = if counts.is_empty() { "nothing: there was nothing".to_owned() } else { counts.join(", ") };
    format!("moved {counts}\nboth sides were read again, and are the same\n\n{}\n", next_steps(settings, from, to))
}

/// How to start a server on what was moved, with the same secrets.
fn next_steps(settings: &Settings, from: &Place, to: &Place) -> String {
    let old = from.directory().map(|directory| directory.display().to_string());
    let secret = |variable: &str, given: bool, file: &str| match (&old, given) {
        (Some(old), false) => format!("{variable}=\"$(cat {old}/{file})\""),
        _ => format!("{variable}=… (the same as before)"),
    };
    let master_key = secret("HOOKPOST_MASTER_KEY", settings.master_key.is_some(), "master.key");
    let jwt_secret = secret("HOOKPOST_JWT_SECRET", settings.jwt_secret.is_some(), "jwt.secret");
    let place = match to {
        Place::Database(url) => format!("HOOKPOST_DATABASE={url} (with its password)"),
        _ => format!("HOOKPOST_DATA_DIR={}", to.directory().unwrap_or(&settings.data_dir).display()),
    };
    format!(
        "Now start `hookpost serve` with\n  {place}\n  {master_key}\n  {jwt_secret}\nand none on the old store any more: what it accepts would be missing here."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        assert!(
            matches!(Place::from_str("sqlite:./data"), Ok(Place::Directory(directory)) if directory.as_path() == std::path::Path::new("./data"))
        );
        assert!(matches!(Place::from_str("sqlite"), Ok(Place::DataDir)));
        assert!(matches!(Place::from_str("postgres"), Ok(Place::Configured)));
        assert!(matches!(Place::from_str("postgres://me:hush@db/hooks"), Ok(Place::Database(_))));
        for wrong in ["", "sqlite:", "./data", "mysql://db/hooks", "postgres://me:hush@"] {
            let why = Place::from_str(wrong).expect_err(wrong);
            assert!(why.contains("postgres://") && !why.contains("hush"), "{why}");
        }
    }
}
