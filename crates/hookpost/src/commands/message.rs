//! `hookpost message`: the events of an application.

use clap::{Args, Subcommand};

use super::fields::point_in_time;
use super::listing::{self, Column, PageArgs};
use super::send::{self, SendFields};
use crate::cli::ClientArgs;
use crate::client::{Client, path, with_query};
use crate::config::Environment;
use crate::output::{self, cell, time};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hookpost message list demo --event-type invoice.paid --after 2h
  hookpost message get demo msg_2cX…
  hookpost message create demo --type invoice.paid --data '{\"id\": 1}'")]
pub(crate) struct MessageArgs {
    #[command(subcommand)]
    command: MessageCommand,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Subcommand)]
enum MessageCommand {
    /// List messages, newest first
    List {
        /// The application: id or uid
        app: String,
        /// Only of this event type; may be repeated
        #[arg(long = "event-type", value_name = "NAME")]
        event_types: Vec<String>,
        /// Only with this channel
        #[arg(long)]
        channel: Option<String>,
        /// Only with this tag
        #[arg(long)]
        tag: Option<String>,
        /// Only before this time: 2026-01-31T09:00:00Z, or how long ago: 30m, 2h, 3d
        #[arg(long, value_name = "TIME", value_parser = point_in_time)]
        before: Option<String>,
        /// Only after this time
        #[arg(long, value_name = "TIME", value_parser = point_in_time)]
        after: Option<String>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show a message with its payload
    Get {
        /// The application: id or uid
        app: String,
        /// The message: id or eventId
        message: String,
    },
    /// Create a message (as `hookpost send` does)
    Create {
        /// The application: id or uid
        app: String,
        #[command(flatten)]
        fields: SendFields,
    },
    /// Remove the payload of a message for good
    Expunge {
        /// The application: id or uid
        app: String,
        /// The message: id or eventId
        message: String,
    },
}

const COLUMNS: &[Column] = &[
    ("ID", |message| cell(&message["id"])),
    ("EVENT TYPE", |message| cell(&message["eventType"])),
    ("EVENT ID", |message| cell(&message["eventId"])),
    ("CHANNELS", |message| cell(&message["channels"])),
    ("TIME", |message| time(&message["timestamp"])),
];

pub(crate) fn run(args: &MessageArgs, environment: &Environment) -> anyhow::Result<()> {
    let client = Client::new(&args.client, environment)?;
    let json = args.client.json;
    match &args.command {
        MessageCommand::List { app, event_types, channel, tag, before, after, page } => {
            let query = [
                ("event_types", (!event_types.is_empty()).then(|| event_types.join(","))),
                ("channel", channel.clone()),
                ("tag", tag.clone()),
                ("before", before.clone()),
                ("after", after.clone()),
                // A table has no room for payloads.
                ("with_content", Some(json.to_string())),
            ];
            listing::show(&client, with_query(path("/app/{}/msg", &[app]), &query), page, json, COLUMNS)
        }
        MessageCommand::Get { app, message } => output::print_one(&client.get(&path("/app/{}/msg/{}", &[app, message]))?, json),
        MessageCommand::Create { app, fields } => send::create(&client, app, fields, json, environment.program()),
        MessageCommand::Expunge { app, message } => {
            client.delete(&path("/app/{}/msg/{}/content", &[app, message]))?;
            output::print_done(&format!("removed the payload of {message}"), json)
        }
    }
}
