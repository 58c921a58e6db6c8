//! `hookpost send`: creates a message, with the payload byte for byte as it was given.

use std::io::Read as _;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::cli::ClientArgs;
use crate::client::{Client, path};
use crate::config::Environment;
use crate::failure::Failure;
use crate::output::{self, cell};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hookpost send --app demo --type invoice.paid --data '{\"id\": 1}'
  hookpost send --app demo --type invoice.paid --file invoice.json
  some-program | hookpost send --app demo --type report.ready --file -")]
pub(crate) struct SendArgs {
    /// The application: id or uid
    #[arg(long)]
    app: String,
    #[command(flatten)]
    fields: SendFields,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SendFields {
    /// The event type, such as invoice.paid
    #[arg(long = "type", value_name = "EVENT_TYPE")]
    event_type: String,
    #[command(flatten)]
    payload: Payload,
    /// Your own id of the event; the same one is not accepted twice
    #[arg(long)]
    event_id: Option<String>,
    /// A channel; may be repeated
    #[arg(long = "channel", value_name = "CHANNEL")]
    channels: Vec<String>,
    /// A tag, to find it again; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Makes repeating this command harmless: the same key makes one message
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Payload {
    /// The payload, a JSON object
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
    /// A file with the payload; - is the standard input
    #[arg(long, value_name = "FILE")]
    file: Option<String>,
}

/// The payload stands in it as raw JSON, so that its spaces and numbers are what the receiver gets.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageIn<'a> {
    event_type: &'a str,
    payload: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    channels: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
}

pub(crate) fn run(args: &SendArgs, environment: &Environment) -> anyhow::Result<()> {
    create(&Client::new(&args.client, environment)?, &args.app, &args.fields, args.client.json, environment.program())
}

pub(crate) fn create(client: &Client, app: &str, fields: &SendFields, json: bool, program: &str) -> anyhow::Result<()> {
    let text = fields.payload.read()?;
    let payload: &RawValue =
        serde_json::from_str(text.trim()).map_err(|error| Failure::Usage(format!("the payload is not JSON: {error}")))?;
    let body = MessageIn {
        event_type: &fields.event_type,
        payload,
        event_id: fields.event_id.as_deref(),
        channels: &fields.channels,
        tags: &fields.tags,
    };
    let message = client.post_once(&path("/app/{}/msg", &[app]), &body, fields.idempotency_key.as_deref())?;
    if json {
        return Ok(output::print_json(&message)?);
    }
    let id = cell(&message["id"]);
    output::print_line(format_args!("{} {id}", console::style("accepted").green()))?;
    eprintln!("{}", console::style(format!("see its way: {program} why {app} {id}")).dim().for_stderr());
    Ok(())
}

impl Payload {
    fn read(&self) -> anyhow::Result<String> {
        match (&self.data, self.file.as_deref()) {
            (Some(data), _) => Ok(data.clone()),
            (None, Some("-")) => {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).context("cannot read the standard input")?;
                Ok(text)
            }
            (None, Some(file)) => std::fs::read_to_string(file).with_context(|| format!("cannot read {file}")),
            (None, None) => unreachable!("the command line asks for one of them"),
        }
    }
}
