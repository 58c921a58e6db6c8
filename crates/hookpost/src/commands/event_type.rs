//! `hookpost event-type`: the catalogue of event types.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::fields::Body;
use super::listing::{self, Column, PageArgs};
use crate::cli::ClientArgs;
use crate::client::{Client, path, with_query};
use crate::config::Environment;
use crate::output::{self, cell, time};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hookpost event-type create invoice.paid --description 'An invoice was paid'
  hookpost event-type list")]
pub(crate) struct EventTypeArgs {
    #[command(subcommand)]
    command: EventTypeCommand,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Subcommand)]
enum EventTypeCommand {
    /// List event types
    List {
        /// Show archived ones too
        #[arg(long)]
        archived: bool,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show an event type
    Get { name: String },
    /// Create an event type
    Create {
        /// Such as invoice.paid
        name: String,
        #[command(flatten)]
        fields: EventTypeFields,
    },
    /// Change an event type; what is not given stays as it is
    Update {
        name: String,
        #[command(flatten)]
        fields: EventTypeFields,
        /// Take it out of the catalogue, or put it back
        #[arg(long, value_name = "BOOL")]
        archived: Option<bool>,
    },
    /// Archive an event type, or delete it for good
    Delete {
        name: String,
        /// For good
        #[arg(long)]
        expunge: bool,
    },
}

#[derive(Debug, Args)]
struct EventTypeFields {
    #[arg(long)]
    description: Option<String>,
    /// JSON file with the schemas by version: {"1": {…}}
    #[arg(long, value_name = "FILE")]
    schemas: Option<PathBuf>,
    /// Groups event types in the catalogue
    #[arg(long)]
    group_name: Option<String>,
    /// Any other fields, as a JSON object
    #[arg(long, value_name = "JSON")]
    fields: Option<String>,
}

impl EventTypeFields {
    fn body(&self) -> anyhow::Result<Body> {
        let schemas = match &self.schemas {
            Some(file) => {
                let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
                Some(serde_json::from_str::<Value>(&text).with_context(|| format!("{} is not JSON", file.display()))?)
            }
            None => None,
        };
        Body::default()
            .set("description", self.description.as_deref())
            .set("schemas", schemas)
            .set("groupName", self.group_name.as_deref())
            .merge(self.fields.as_deref())
    }
}

const COLUMNS: &[Column] = &[
    ("NAME", |item| cell(&item["name"])),
    ("DESCRIPTION", |item| cell(&item["description"])),
    ("ARCHIVED", |item| if item["archived"] == true { "yes".to_owned() } else { "-".to_owned() }),
    ("CREATED", |item| time(&item["createdAt"])),
];

pub(crate) fn run(args: &EventTypeArgs, environment: &Environment) -> anyhow::Result<()> {
    let client = Client::new(&args.client, environment)?;
    let json = args.client.json;
    match &args.command {
        EventTypeCommand::List { archived, page } => {
            let archived = archived.then(|| "true".to_owned());
            listing::show(&client, with_query(path("/event-type", &[]), &[("include_archived", archived)]), page, json, COLUMNS)
        }
        EventTypeCommand::Get { name } => output::print_one(&client.get(&path("/event-type/{}", &[name]))?, json),
        EventTypeCommand::Create { name, fields } => {
            let description = fields.description.as_deref().unwrap_or(name);
            let body = fields.body()?.set("name", Some(name.as_str())).set("description", Some(description)).into_value();
            output::print_one(&client.post(&path("/event-type", &[]), &body)?, json)
        }
        EventTypeCommand::Update { name, fields, archived } => {
            let body = fields.body()?.set("archived", *archived).into_value();
            output::print_one(&client.patch(&path("/event-type/{}", &[name]), &body)?, json)
        }
        EventTypeCommand::Delete { name, expunge } => {
            client.delete(&with_query(path("/event-type/{}", &[name]), &[("expunge", expunge.then(|| "true".to_owned()))]))?;
            let what = if *expunge { "deleted" } else { "archived" };
            output::print_done(&format!("{what} event type {name}"), json)
        }
    }
}
