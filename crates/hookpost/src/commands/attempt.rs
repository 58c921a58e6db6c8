//! `hookpost attempt`: the tries at delivering messages.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::listing::{self, Column, PageArgs};
use crate::cli::ClientArgs;
use crate::client::{Client, path, with_query};
use crate::config::Environment;
use crate::output::{self, cell, time};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hookpost attempt list demo --message msg_2cX…
  hookpost attempt list demo --endpoint ep_2cX… --status failed
  hookpost attempt resend demo msg_2cX… ep_2cX…")]
pub(crate) struct AttemptArgs {
    #[command(subcommand)]
    command: AttemptCommand,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Subcommand)]
enum AttemptCommand {
    /// List the attempts of a message or of an endpoint, newest first
    List {
        /// The application: id or uid
        app: String,
        #[command(flatten)]
        of: Of,
        /// Only those that ended like this
        #[arg(long, value_enum)]
        status: Option<Status>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show an attempt
    Get {
        /// The application: id or uid
        app: String,
        /// The message: id or eventId
        message: String,
        /// The attempt: its id
        attempt: String,
    },
    /// Send a message to an endpoint again
    Resend {
        /// The application: id or uid
        app: String,
        /// The message: id or eventId
        message: String,
        /// The endpoint: id or uid
        endpoint: String,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Of {
    /// Of this message: id or eventId
    #[arg(long)]
    message: Option<String>,
    /// To this endpoint: id or uid
    #[arg(long)]
    endpoint: Option<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Status {
    Succeeded,
    Failed,
}

const COLUMNS: &[Column] = &[
    ("TIME", |attempt| time(&attempt["timestamp"])),
    ("RESULT", |attempt| cell(&attempt["statusText"])),
    ("STATUS", |attempt| status_code(attempt)),
    ("MS", |attempt| cell(&attempt["responseDurationMs"])),
    ("TRIGGER", |attempt| if attempt["triggerType"] == 1 { "manual".to_owned() } else { "scheduled".to_owned() }),
    ("MESSAGE", |attempt| cell(&attempt["msgId"])),
    ("ENDPOINT", |attempt| cell(&attempt["endpointId"])),
    ("ID", |attempt| cell(&attempt["id"])),
];

/// 0 stands for no answer at all.
pub(crate) fn status_code(attempt: &Value) -> String {
    match attempt["responseStatusCode"].as_u64() {
        Some(0) | None => "no answer".to_owned(),
        Some(code) => code.to_string(),
    }
}

pub(crate) fn run(args: &AttemptArgs, environment: &Environment) -> anyhow::Result<()> {
    let client = Client::new(&args.client, environment)?;
    let json = args.client.json;
    match &args.command {
        AttemptCommand::List { app, of, status, page } => {
            let path = match (&of.message, &of.endpoint) {
                (Some(message), _) => path("/app/{}/attempt/msg/{}", &[app, message]),
                (None, Some(endpoint)) => path("/app/{}/attempt/endpoint/{}", &[app, endpoint]),
                (None, None) => unreachable!("the command line asks for one of them"),
            };
            let status = status.map(|status| match status {
                Status::Succeeded => "0".to_owned(),
                Status::Failed => "2".to_owned(),
            });
            listing::show(&client, with_query(path, &[("status", status)]), page, json, COLUMNS)
        }
        AttemptCommand::Get { app, message, attempt } => {
            output::print_one(&client.get(&path("/app/{}/msg/{}/attempt/{}", &[app, message, attempt]))?, json)
        }
        AttemptCommand::Resend { app, message, endpoint } => {
            client.post(&path("/app/{}/msg/{}/endpoint/{}/resend", &[app, message, endpoint]), &json!({}))?;
            output::print_done(&format!("{message} is sent to {endpoint} again"), json)
        }
    }
}
