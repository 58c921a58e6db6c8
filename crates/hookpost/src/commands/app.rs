//! `hookpost app`: applications.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::fields::{Body, key_and_value};
use super::listing::{self, Column, PageArgs};
use crate::cli::ClientArgs;
use crate::client::{Client, path};
use crate::config::Environment;
use crate::output::{self, cell, time};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hookpost app create 'Acme Inc.' --uid acme
  hookpost app list
  hookpost app update acme --metadata plan=gold")]
pub(crate) struct AppArgs {
    #[command(subcommand)]
    command: AppCommand,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Subcommand)]
enum AppCommand {
    /// List applications
    List {
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show an application
    Get {
        /// Its id or uid
        app: String,
    },
    /// Create an application
    Create {
        /// A name for people
        name: String,
        #[command(flatten)]
        fields: AppFields,
    },
    /// Change an application; what is not given stays as it is
    Update {
        /// Its id or uid
        app: String,
        /// A name for people
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        fields: AppFields,
    },
    /// Delete an application with its endpoints
    Delete {
        /// Its id or uid
        app: String,
    },
}

#[derive(Debug, Args)]
struct AppFields {
    /// Your own identifier, usable wherever the id is
    #[arg(long)]
    uid: Option<String>,
    /// Messages per second that all endpoints together get
    #[arg(long, value_name = "PER_SECOND")]
    throttle_rate: Option<u16>,
    /// Your own notes; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    metadata: Vec<(String, String)>,
    /// Any other fields, as a JSON object
    #[arg(long, value_name = "JSON")]
    fields: Option<String>,
}

impl AppFields {
    fn body(&self, name: Option<&str>) -> anyhow::Result<Value> {
        let body = Body::default()
            .set("name", name)
            .set("uid", self.uid.as_deref())
            .set("throttleRate", self.throttle_rate)
            .set_pairs("metadata", &self.metadata)
            .merge(self.fields.as_deref())?;
        Ok(body.into_value())
    }
}

const COLUMNS: &[Column] = &[
    ("ID", |app| cell(&app["id"])),
    ("UID", |app| cell(&app["uid"])),
    ("NAME", |app| cell(&app["name"])),
    ("CREATED", |app| time(&app["createdAt"])),
];

pub(crate) fn run(args: &AppArgs, environment: &Environment) -> anyhow::Result<()> {
    let client = Client::new(&args.client, environment)?;
    let json = args.client.json;
    match &args.command {
        AppCommand::List { page } => listing::show(&client, path("/app", &[]), page, json, COLUMNS),
        AppCommand::Get { app } => output::print_one(&client.get(&path("/app/{}", &[app]))?, json),
        AppCommand::Create { name, fields } => output::print_one(&client.post(&path("/app", &[]), &fields.body(Some(name))?)?, json),
        AppCommand::Update { app, name, fields } => {
            output::print_one(&client.patch(&path("/app/{}", &[app]), &fields.body(name.as_deref())?)?, json)
        }
        AppCommand::Delete { app } => {
            client.delete(&path("/app/{}", &[app]))?;
            output::print_done(&format!("deleted application {app}"), json)
        }
    }
}
