//! The commands, one file each. [`run`] says which is which; those that talk to a server do it through [`Client`].

pub(crate) mod app;
pub(crate) mod apply;
pub(crate) mod attempt;
pub(crate) mod backup;
pub(crate) mod endpoint;
pub(crate) mod event_type;
mod fields;
mod incoming;
pub(crate) mod key;
mod listing;
pub(crate) mod message;
pub(crate) mod migrate;
pub(crate) mod move_data;
pub(crate) mod providers;
pub(crate) mod receipt;
pub(crate) mod send;
pub(crate) mod sign;
pub(crate) mod source;
pub(crate) mod tail;
pub(crate) mod task;
mod tasks;
pub(crate) mod token;
pub(crate) mod verify;
pub(crate) mod why;

use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::cli::{Cli, ClientArgs, Command, ConfigArgs, ServeArgs};
use crate::client::Client;
use crate::config::{self, ConfigError, Environment, Resolved, Sources};
use crate::output;
use crate::{dev, serve};

pub(crate) fn run(cli: Cli, environment: &Environment) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Serve(args) => serve::run(&resolve(&args, environment, &[])?.settings)?,
        Command::Dev(args) => dev::run(&resolve(&args, environment, dev::PRESETS)?.settings, environment.program())?,
        Command::Config(args) => show_config(&args, environment)?,
        Command::Send(args) => send::run(&args, environment)?,
        Command::Why(args) => why::run(&args, environment)?,
        Command::Tail(args) => tail::run(&args, environment)?,
        Command::App(args) => app::run(&args, environment)?,
        Command::Endpoint(args) => endpoint::run(&args, environment)?,
        Command::EventType(args) => event_type::run(&args, environment)?,
        Command::Message(args) => message::run(&args, environment)?,
        Command::Attempt(args) => attempt::run(&args, environment)?,
        Command::Source(args) => source::run(&args, environment)?,
        Command::Receipt(args) => receipt::run(&args, environment)?,
        Command::Apply(args) => apply::run(&args, environment)?,
        Command::Plan(args) => apply::plan(&args, environment)?,
        Command::Task(args) => task::run(&args, environment)?,
        Command::Verify(args) => return verify::run(&args),
        Command::Sign(args) => sign::run(&args)?,
        Command::Providers(args) => providers::run(&args)?,
        Command::Key(args) => key::run(&args, environment)?,
        Command::Token(args) => token::run(&args, environment)?,
        Command::Backup(args) => backup::backup(&args, environment)?,
        Command::Restore(args) => backup::restore(&args, environment)?,
        Command::Move(args) => move_data::run(&args, environment)?,
        Command::Migrate(args) => return migrate::run(&args, environment),
        Command::Health(args) => health(&args, environment)?,
        Command::Openapi => output::print_line(hookpost_api::openapi_document())?,
        Command::Completion { shell } => clap_complete::generate(shell, &mut Cli::command(), "hookpost", &mut std::io::stdout()),
    }
    Ok(ExitCode::SUCCESS)
}

/// The settings that `serve` would have with these flags here.
pub(crate) fn resolve(
    args: &ServeArgs,
    environment: &Environment,
    presets: &'static [(&'static str, &'static str)],
) -> Result<Resolved, ConfigError> {
    let path = args.config.clone().or_else(|| environment.get("HOOKPOST_CONFIG").map(Into::into));
    let file = path.map(|path| config::read_file(&path)).transpose()?;
    config::resolve(&Sources { flags: args.settings.0.clone(), environment: Some(environment), file, presets })
}

fn show_config(args: &ConfigArgs, environment: &Environment) -> anyhow::Result<()> {
    if args.example {
        return Ok(output::print(config::example())?);
    }
    let resolved = resolve(&args.serve, environment, &[])?;
    if args.json {
        output::print_json(&config::as_json(&resolved))?;
    } else {
        output::print(config::as_table(&resolved))?;
    }
    Ok(())
}

fn health(args: &ClientArgs, environment: &Environment) -> anyhow::Result<()> {
    let client = Client::new(args, environment)?;
    client.get_without_key("/api/v1/health")?;
    if args.json {
        output::print_json(&serde_json::json!({"url": client.base(), "status": "ok"}))?;
    } else {
        output::print_line(format_args!("{} works", client.base()))?;
    }
    Ok(())
}
