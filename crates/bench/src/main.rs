//! How fast Hookpost is, and whether it loses anything: load generator, receivers, the bare forwarder, and the kill test.
//!
//! It starts the server as a process of its own and talks to it as anyone would, so that nothing is measured that users do not get.

#![allow(clippy::disallowed_methods, reason = "real time, real threads and real processes are what is measured here")]

mod api;
mod child;
mod entrance;
mod forwarder;
mod http;
mod kill;
mod load;
mod machine;
mod payload;
mod postgres;
mod report;
mod scenario;
mod sink;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};

use crate::child::{DatabaseKind, Server};
use crate::scenario::{Bench, Options, Scenario};

/// Measures Hookpost against the bare forwarder on this machine, and tries to make it lose something.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the scenarios (what happens without a command, too)
    Run(RunArguments),
    /// Kill the server again and again under load, and look for what was lost
    Kill {
        #[command(flatten)]
        arguments: kill::Arguments,
        #[command(flatten)]
        place: Place,
    },
    /// Be the bare forwarder that the server is compared with
    #[command(hide = true)]
    Forwarder(forwarder::Arguments),
}

#[derive(Debug, Args)]
struct RunArguments {
    /// Which scenarios, separated by commas; all that are about the database if not given
    #[arg(long, value_delimiter = ',', value_enum)]
    scenario: Vec<Scenario>,
    /// Where the server keeps its data
    #[arg(long, value_enum, default_value = "sqlite")]
    database: DatabaseKind,
    /// Measured time of each run
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Time before the measured time
    #[arg(long, default_value_t = 1.0)]
    warm_up_seconds: f64,
    /// Runs of each kind; the figures are medians
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// One short round with a tenth of the volumes
    #[arg(long)]
    quick: bool,
    /// Share of the machine that others may use before a run counts as disturbed
    #[arg(long, default_value_t = 0.05)]
    foreign_share_max: f64,
    /// How often a disturbed run is repeated
    #[arg(long, default_value_t = 2)]
    repeats_max: usize,
    /// Also write everything as JSON to this file
    #[arg(long)]
    json: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct Place {
    /// The server to measure [default: the `hookpost` beside this program]
    #[arg(long)]
    server: Option<PathBuf>,
    /// A directory on the disk to measure, for temporary data [default: the system's]
    #[arg(long)]
    directory: Option<PathBuf>,
    /// A setting of the server, NAME=VALUE; may be repeated
    #[arg(long = "set", value_parser = setting)]
    settings: Vec<(String, String)>,
}

fn main() -> Result<ExitCode> {
    let command_line = CommandLine::parse();
    match command_line.command.unwrap_or(Command::Run(command_line.run)) {
        Command::Run(arguments) => run(arguments),
        Command::Kill { arguments, place } => {
            let clean = kill::run(&arguments, &place.server()?, &place.directory())?;
            Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Forwarder(arguments) => forwarder::run(&arguments).map(|()| ExitCode::SUCCESS),
    }
}

fn run(mut arguments: RunArguments) -> Result<ExitCode> {
    if arguments.quick {
        arguments.rounds = 1;
        arguments.seconds = arguments.seconds.min(5.0);
    }
    let directory = arguments.place.directory();
    let options = Options {
        seconds: arguments.seconds,
        warm_up_seconds: arguments.warm_up_seconds,
        rounds: arguments.rounds.max(1),
        quick: arguments.quick,
        foreign_share_max: arguments.foreign_share_max,
        repeats_max: arguments.repeats_max,
        server: Server { database: arguments.database, ..arguments.place.server()? },
        directory: directory.clone(),
    };
    let mut scenarios = arguments.scenario;
    if scenarios.is_empty() {
        scenarios = Scenario::usual(arguments.database);
    }
    let mut bench = Bench::new(options);
    bench.report.machine = describe_machine(&directory);
    let outcome = bench.run(&scenarios);
    // What was measured before something went wrong is worth as much.
    println!("{}", bench.report.for_people());
    if let Some(path) = arguments.json {
        std::fs::write(&path, serde_json::to_vec_pretty(&bench.report)?).with_context(|| format!("writing {}", path.display()))?;
    }
    outcome?;
    Ok(if bench.report.is_broken() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Place {
    fn directory(&self) -> PathBuf {
        self.directory.clone().unwrap_or_else(std::env::temp_dir)
    }

    fn server(&self) -> Result<Server> {
        let binary = match &self.server {
            Some(path) => path.clone(),
            None => std::env::current_exe()?.with_file_name("hookpost"),
        };
        ensure!(
            binary.is_file(),
            "there is no server at {}: build it with `cargo build --release -p hookpost`, or name one with --server",
            binary.display()
        );
        Ok(Server { binary, settings: self.settings.clone(), database: DatabaseKind::Sqlite, nodes: 1 })
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or_else(|| "must be NAME=VALUE".to_owned())
}

fn describe_machine(directory: &Path) -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).map_or("", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let file_system = machine::file_system_of(directory);
    let warning = if file_system == "tmpfs" { " (in memory: nothing is durable there, name another --directory)" } else { "" };
    format!("{} cores, {model}; data in {} on {file_system}{warning}", machine::cores(), directory.display())
}
