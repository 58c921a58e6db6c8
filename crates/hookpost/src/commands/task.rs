//! `hookpost task`: background tasks, the replays and recoveries under way.

use clap::{Args, Subcommand};
use serde_json::json;

use super::listing::{self, Column, PageArgs};
use super::tasks;
use crate::cli::ClientArgs;
use crate::client::{Client, path};
use crate::config::Environment;
use crate::output::{self, cell, time};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hookpost task list
  hookpost task wait qtask_2cX…
  hookpost task cancel qtask_2cX…")]
pub(crate) struct TaskArgs {
    #[command(subcommand)]
    command: TaskCommand,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Subcommand)]
enum TaskCommand {
    /// List tasks, newest first
    List {
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show a task and how far it is
    Get { task: String },
    /// Wait until a task is done, and show the progress
    Wait { task: String },
    /// Stop a task where it is; what it did stays done
    Cancel { task: String },
}

const COLUMNS: &[Column] = &[
    ("ID", |task| cell(&task["id"])),
    ("TASK", |task| cell(&task["task"])),
    ("STATUS", |task| cell(&task["status"])),
    ("LOOKED AT", |task| cell(&task["data"]["lookedAt"])),
    ("OF", |task| cell(&task["data"]["estimate"])),
    ("SENT AGAIN", |task| cell(&task["data"]["affected"])),
    ("UPDATED", |task| time(&task["updatedAt"])),
];

pub(crate) fn run(args: &TaskArgs, environment: &Environment) -> anyhow::Result<()> {
    let client = Client::new(&args.client, environment)?;
    let json = args.client.json;
    match &args.command {
        TaskCommand::List { page } => listing::show(&client, path("/background-task", &[]), page, json, COLUMNS),
        TaskCommand::Get { task } => output::print_one(&client.get(&path("/background-task/{}", &[task]))?, json),
        TaskCommand::Wait { task } => tasks::wait(&client, &client.get(&path("/background-task/{}", &[task]))?, json),
        TaskCommand::Cancel { task } => {
            client.post(&path("/background-task/{}/cancel", &[task]), &json!({}))?;
            output::print_done(&format!("canceled {task}"), json)
        }
    }
}
