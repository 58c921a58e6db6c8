//! `hookpost key`: API keys. Where a server is named, through its API; else in the data directory of this machine or on PostgreSQL, whether a server
//! runs or not: that is how the first key of a new server is made.

use std::time::Duration;

use clap::{Args, Subcommand};
use hookpost_domain::access::Scope;
use hookpost_domain::{Clock as _, OrgId};
use serde_json::{Value, json};

use super::fields::Body;
use super::listing::{self, Column};
use crate::cli::{ClientArgs, ServeArgs, SettingFlags};
use crate::client::{Client, path};
use crate::config::{DatabaseChoice, Environment};
use crate::control::{self, KeyRequest};
use crate::failure::Failure;
use crate::output::{self, cell, time};
use crate::outside::SystemClock;
use crate::{database, runtime};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hookpost key create --name backend
  hookpost key create --name producer --scope send --expires-in 90d
  hookpost key list
  hookpost key revoke key_2cX…

Works on the data directory of this machine, whether its server runs or not, or on the PostgreSQL
database that HOOKPOST_DATABASE or the file of HOOKPOST_CONFIG names; with --url through the API of
that server.
A key is shown once, when it is created; what is kept is its hash.")]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
    /// The organization that the keys belong to; with --url it is the one of the API key
    #[arg(long, global = true, value_name = "ORG_ID", value_parser = organization)]
    org: Option<OrgId>,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Create a key and print it
    Create {
        /// What it is for
        #[arg(long, default_value = "unnamed")]
        name: String,
        /// What it may be used for; may be repeated. Default: everything
        #[arg(long = "scope", value_enum, value_name = "SCOPE")]
        scopes: Vec<ScopeName>,
        /// When it ends: 90d, 12h; default: never
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
        expires_in: Option<Duration>,
    },
    /// List the keys; never the keys themselves
    List,
    /// End a key at once
    Revoke {
        /// Its id: key_…
        id: String,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ScopeName {
    /// Everything, keys included
    Admin,
    /// Everything but keys and secrets of endpoints
    Manage,
    /// Creating messages
    Send,
    /// Reading, without secrets
    Read,
}

impl From<ScopeName> for Scope {
    fn from(name: ScopeName) -> Self {
        match name {
            ScopeName::Admin => Self::Admin,
            ScopeName::Manage => Self::Manage,
            ScopeName::Send => Self::Send,
            ScopeName::Read => Self::Read,
        }
    }
}

pub(crate) fn organization(text: &str) -> Result<OrgId, String> {
    OrgId::parse(text).map_err(|rule| rule.to_string())
}

const COLUMNS: &[Column] = &[
    ("ID", |key| cell(&key["id"])),
    ("NAME", |key| cell(&key["name"])),
    ("KEY", |key| format!("{}…", cell(&key["hint"]))),
    ("SCOPES", |key| cell(&key["scopes"])),
    ("EXPIRES", |key| time(&key["expiresAt"])),
    ("CREATED", |key| time(&key["createdAt"])),
];

pub(crate) fn run(args: &KeyArgs, environment: &Environment) -> anyhow::Result<()> {
    let json = args.client.json;
    match &args.command {
        KeyCommand::Create { name, scopes, expires_in } => {
            let scopes: Vec<Scope> =
                if scopes.is_empty() { vec![Scope::Admin] } else { scopes.iter().map(|scope| (*scope).into()).collect() };
            let answer = match remote(args, environment)? {
                Some(client) => {
                    let expires_at = expires_in.map(|duration| (SystemClock.now() + duration).to_string());
                    let body =
                        Body::default().set("name", Some(name.as_str())).set("scopes", Some(json!(scopes))).set("expiresAt", expires_at);
                    client.post(&path("/api-key", &[]), &body.into_value())?
                }
                None => {
                    let org = args
                        .org
                        .clone()
                        .unwrap_or_else(|| OrgId::parse(OrgId::DEFAULT).expect("the default organization has the right form"));
                    locally(args, environment, KeyRequest::Create { org, name: name.clone(), scopes, expires_in: *expires_in })?
                }
            };
            print_new(&answer, json)
        }
        KeyCommand::List => {
            let keys = match remote(args, environment)? {
                Some(client) => listing::fetch_all(&client, &path("/api-key", &[]))?,
                None => match locally(args, environment, KeyRequest::List { org: args.org.clone() })?["data"].take() {
                    Value::Array(keys) => keys,
                    _ => Vec::new(),
                },
            };
            listing::print(&keys, json.then(|| json!({"data": keys})), COLUMNS)
        }
        KeyCommand::Revoke { id } => {
            match remote(args, environment)? {
                Some(client) => client.delete(&path("/api-key/{}", &[id]))?,
                None => locally(args, environment, KeyRequest::Revoke { org: args.org.clone(), id: id.clone() })?,
            };
            output::print_done(&format!("revoked {id}"), json)
        }
    }
}

/// The API, if a server was named.
fn remote(args: &KeyArgs, environment: &Environment) -> anyhow::Result<Option<Client>> {
    let named = args.client.url.is_some() || environment.get("HOOKPOST_URL").is_some();
    named.then(|| Client::new(&args.client, environment)).transpose()
}

/// The server that holds the data directory, or the store itself while none does; PostgreSQL in any case.
fn locally(args: &KeyArgs, environment: &Environment, request: KeyRequest) -> anyhow::Result<Value> {
    let mut serve = ServeArgs { config: None, settings: SettingFlags::default() };
    if let Some(directory) = &args.client.data_dir {
        serve.settings.0.insert("data_dir", directory.to_string_lossy().into_owned());
    }
    let settings = super::resolve(&serve, environment, &[])?.settings;
    if matches!(settings.database, DatabaseChoice::Embedded)
        && let Some(answer) = control::ask(&settings.data_dir, &control::Request::Key(request.clone()), |_, _| {})?
    {
        return Ok(answer);
    }
    let answered = runtime::build()?.block_on(async {
        let opened = database::open_for_command(&settings).await?;
        let answered = control::answer_key_request(opened.database.store().as_ref(), request).await;
        opened.database.close().await;
        anyhow::Ok(answered)
    })?;
    answered.map_err(|problem| Failure::Refused { status: if problem.not_found { 404 } else { 500 }, message: problem.message }.into())
}

/// The key alone on standard output, so that it can be put into a variable.
fn print_new(answer: &Value, json: bool) -> anyhow::Result<()> {
    if json {
        return Ok(output::print_json(answer)?);
    }
    output::print_line(cell(&answer["key"]))?;
    eprintln!("{}", console::style(format!("{} is shown only this once.", cell(&answer["id"]))).dim().for_stderr());
    Ok(())
}
