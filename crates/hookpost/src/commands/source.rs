//! `hookpost source`: sources, and the URLs that providers send to.

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::fields::{Body, key_and_value};
use super::listing::{self, Column, PageArgs};
use crate::cli::ClientArgs;
use crate::client::{Client, ingest_path};
use crate::config::Environment;
use crate::output::{self, cell, time};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hookpost source create --type github --secret 'what GitHub was told' --name 'GitHub of the team'
  hookpost source create --type stripe --secret whsec_… --app acme
  hookpost source create --type generic_hmac --secret … --set header=X-Signature --set encoding=hex
  hookpost source create --type cron --set 'schedule=0 3 * * *' --set 'payload={\"task\": \"report\"}'
  hookpost source create --type http-poll --set url=https://api.example.com/orders --set everyS=60
  hookpost source update src_2cX… --fields '{\"rules\": {\"rateLimit\": 100}}'
  hookpost source rotate-url src_2cX…

What a source lets in becomes messages of its application; `hookpost endpoint` says where they go.")]
pub(crate) struct SourceArgs {
    #[command(subcommand)]
    command: SourceCommand,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct Which {
    /// The source: id or uid
    source: String,
}

#[derive(Debug, Subcommand)]
enum SourceCommand {
    /// List the sources
    List {
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show a source
    Get(Which),
    /// Create a source, and print the URL to give to the provider
    Create {
        /// Whose webhooks it takes: stripe, github, …; `hookpost providers` lists them. Or what comes in without a call: cron, http-poll
        #[arg(long = "type", value_name = "TYPE")]
        r#type: String,
        /// A name for people; default: the type
        #[arg(long)]
        name: Option<String>,
        /// The application whose messages it makes: id or uid; default: one is made for it
        #[arg(long)]
        app: Option<String>,
        #[command(flatten)]
        fields: SourceFields,
    },
    /// Change a source; what is not given stays as it is
    Update {
        #[command(flatten)]
        which: Which,
        /// A name for people
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        fields: SourceFields,
    },
    /// Delete a source, with the application that was made for it
    Delete(Which),
    /// Take requests in again
    Enable(Which),
    /// Turn every request away
    Disable(Which),
    /// Give a source another URL; the old one is good for 48 hours
    RotateUrl(Which),
}

#[derive(Debug, Args)]
struct SourceFields {
    /// Your own identifier, usable wherever the id is
    #[arg(long)]
    uid: Option<String>,
    /// What the provider signs with; again for further secrets that are valid too
    #[arg(long = "secret", value_name = "SECRET")]
    secrets: Vec<String>,
    /// Any other setting of the type; the value is JSON or text (`payload` and `body`: always text); may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = key_and_value)]
    settings: Vec<(String, String)>,
    /// Your own notes; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    metadata: Vec<(String, String)>,
    /// Any other fields, as a JSON object: {"rules": {"deduplicate": {"by": "bodyHash"}}}
    #[arg(long, value_name = "JSON")]
    fields: Option<String>,
}

/// What `cron` and `http-poll` send as it is written, also where that is JSON.
const TEXTS: [&str; 2] = ["payload", "body"];

impl SourceFields {
    fn body(&self, body: Body) -> anyhow::Result<Value> {
        let body = body
            .set("uid", self.uid.as_deref())
            .set_pairs("metadata", &self.metadata)
            .set("config", self.config())
            .merge(self.fields.as_deref())?;
        Ok(body.into_value())
    }

    /// Nothing where nothing of it was given: an update leaves the settings as they are then.
    fn config(&self) -> Option<Value> {
        let mut config = Map::new();
        if let Some((first, further)) = self.secrets.split_first() {
            config.insert("secret".to_owned(), first.as_str().into());
            config.insert("secrets".to_owned(), further.to_vec().into());
        }
        for (name, value) in &self.settings {
            let is_text = TEXTS.contains(&name.as_str());
            let json = if is_text { None } else { serde_json::from_str(value).ok() };
            config.insert(name.clone(), json.unwrap_or_else(|| Value::from(value.as_str())));
        }
        (!config.is_empty()).then_some(Value::Object(config))
    }
}

const COLUMNS: &[Column] = &[
    ("ID", |source| cell(&source["id"])),
    ("UID", |source| cell(&source["uid"])),
    ("NAME", |source| cell(&source["name"])),
    ("TYPE", |source| cell(&source["type"])),
    ("URL", |source| cell(&source["ingestUrl"])),
    ("STATE", |source| if source["disabled"] == true { "disabled".to_owned() } else { "enabled".to_owned() }),
    ("CREATED", |source| time(&source["createdAt"])),
];

pub(crate) fn run(args: &SourceArgs, environment: &Environment) -> anyhow::Result<()> {
    let client = Client::new(&args.client, environment)?;
    let json = args.client.json;
    match &args.command {
        SourceCommand::List { page } => listing::show(&client, ingest_path("/source", &[]), page, json, COLUMNS),
        SourceCommand::Get(which) => output::print_one(&client.get(&which.path(""))?, json),
        SourceCommand::Create { r#type, name, app, fields } => {
            let body = Body::default()
                .set("name", Some(name.as_ref().unwrap_or(r#type).as_str()))
                .set("type", Some(r#type.as_str()))
                // Most types need one; those that do not take an empty one as well.
                .set("config", Some(Map::new()))
                .set("application", app.as_deref());
            print_new(&client.post(&ingest_path("/source", &[]), &fields.body(body)?)?, json)
        }
        SourceCommand::Update { which, name, fields } => {
            let body = fields.body(Body::default().set("name", name.as_deref()))?;
            output::print_one(&client.patch(&which.path(""), &body)?, json)
        }
        SourceCommand::Delete(which) => {
            client.delete(&which.path(""))?;
            output::print_done(&format!("deleted source {}", which.source), json)
        }
        SourceCommand::Enable(which) => switch(&client, which, false, json),
        SourceCommand::Disable(which) => switch(&client, which, true, json),
        SourceCommand::RotateUrl(which) => {
            let answer = client.post(&which.path("/token/rotate"), &Map::new())?;
            if json { Ok(output::print_json(&answer)?) } else { Ok(output::print_line(cell(&answer["ingestUrl"]))?) }
        }
    }
}

impl Which {
    fn path(&self, rest: &str) -> String {
        format!("{}{rest}", ingest_path("/source/{}", &[&self.source]))
    }
}

/// The URL alone on its line, so that it can be pasted or put into a variable.
fn print_new(source: &Value, json: bool) -> anyhow::Result<()> {
    if json {
        return Ok(output::print_json(source)?);
    }
    eprintln!("created source {} for {}", cell(&source["id"]), cell(&source["type"]));
    let Some(url) = source["ingestUrl"].as_str() else { return Ok(output::print_line(cell(&source["id"]))?) };
    output::print_line(url)?;
    eprintln!(
        "{}",
        console::style("Paste this URL into the provider's settings for webhooks; whoever knows it may knock.").dim().for_stderr()
    );
    Ok(())
}

fn switch(client: &Client, which: &Which, disabled: bool, json: bool) -> anyhow::Result<()> {
    client.patch(&which.path(""), &serde_json::json!({"disabled": disabled}))?;
    let what = if disabled { "disabled" } else { "enabled" };
    output::print_done(&format!("{what} source {}", which.source), json)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_json_or_text() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let fields = SourceFields {
            uid: None,
            secrets: vec!["one".to_owned(), "two".to_owned()],
            settings: vec![
                pair("tolerance", "60"),
                pair("header", "X-Sig"),
                pair("allow", r#"["10.0.0.0/8"]"#),
                pair("payload", r#"{"a": 1}"#),
            ],
            metadata: Vec::new(),
            fields: Some(r#"{"rules": {}}"#.to_owned()),
        };
        let expected = json!({
            "name": "x",
            "config": { "secret": "one", "secrets": ["two"], "tolerance": 60, "header": "X-Sig", "allow": ["10.0.0.0/8"], "payload": "{\"a\": 1}" },
            "rules": {},
        });
        assert_eq!(fields.body(Body::default().set("name", Some("x"))).unwrap(), expected);
    }
}
