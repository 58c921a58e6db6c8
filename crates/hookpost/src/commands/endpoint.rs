//! `hookpost endpoint`: endpoints, their secrets, and sending again what they missed.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::fields::{Body, header, key_and_value, point_in_time};
use super::listing::{self, Column, PageArgs};
use super::tasks;
use crate::cli::ClientArgs;
use crate::client::{Client, path};
use crate::config::Environment;
use crate::output::{self, cell, time};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hookpost endpoint create demo https://example.com/webhooks --event-type invoice.paid
  hookpost endpoint secret demo ep_2cX…
  hookpost endpoint recover demo ep_2cX… --since 2h --wait")]
pub(crate) struct EndpointArgs {
    #[command(subcommand)]
    command: EndpointCommand,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct Which {
    /// The application: id or uid
    app: String,
    /// The endpoint: id or uid
    endpoint: String,
}

#[derive(Debug, Args)]
struct Window {
    #[command(flatten)]
    which: Which,
    /// From when on: 2026-01-31T09:00:00Z, or how long ago: 30m, 2h, 3d
    #[arg(long, value_name = "TIME", value_parser = point_in_time)]
    since: String,
    /// Until when; default: now
    #[arg(long, value_name = "TIME", value_parser = point_in_time)]
    until: Option<String>,
    /// Wait until it is done, and show the progress
    #[arg(long)]
    wait: bool,
}

#[derive(Debug, Args)]
struct ReplayFilter {
    /// Only messages of this event type; may be repeated
    #[arg(long = "event-type", value_name = "NAME")]
    event_types: Vec<String>,
    /// Only messages with this channel
    #[arg(long)]
    channel: Option<String>,
    /// Only messages with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only messages whose delivery is in this state
    #[arg(long, value_enum)]
    status: Option<DeliveryStatus>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum DeliveryStatus {
    Delivered = 0,
    Failed = 2,
}

#[derive(Debug, Subcommand)]
enum EndpointCommand {
    /// List the endpoints of an application
    List {
        /// The application: id or uid
        app: String,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show an endpoint
    Get(Which),
    /// Create an endpoint
    Create {
        /// The application: id or uid
        app: String,
        /// Where its messages are delivered
        #[arg(value_name = "URL")]
        endpoint_url: String,
        #[command(flatten)]
        fields: EndpointFields,
    },
    /// Change an endpoint; what is not given stays as it is
    Update {
        #[command(flatten)]
        which: Which,
        /// Where its messages are delivered from now on
        #[arg(value_name = "URL")]
        endpoint_url: Option<String>,
        #[command(flatten)]
        fields: EndpointFields,
    },
    /// Delete an endpoint
    Delete(Which),
    /// Print the secret that a receiver verifies signatures with
    Secret(Which),
    /// Replace the secret; the old one stays valid for a day
    RotateSecret {
        #[command(flatten)]
        which: Which,
        /// The new secret; default: a generated one
        #[arg(long, value_name = "SECRET")]
        key: Option<String>,
    },
    /// Deliver again
    Enable(Which),
    /// Stop delivering
    Disable(Which),
    /// Count the deliveries by state
    Stats(Which),
    /// Send again what failed
    Recover(Window),
    /// Send what the endpoint never got
    ReplayMissing(Window),
    /// Send again whatever matches, delivered or not
    Replay {
        #[command(flatten)]
        window: Window,
        #[command(flatten)]
        filter: ReplayFilter,
    },
}

#[derive(Debug, Args)]
struct EndpointFields {
    /// Your own identifier, usable wherever the id is
    #[arg(long)]
    uid: Option<String>,
    #[arg(long)]
    description: Option<String>,
    /// Only messages of this event type; may be repeated. Default: all
    #[arg(long = "event-type", value_name = "NAME")]
    event_types: Vec<String>,
    /// Only messages with one of these channels; may be repeated. Default: all
    #[arg(long = "channel", value_name = "CHANNEL")]
    channels: Vec<String>,
    /// Deliveries per second
    #[arg(long, value_name = "PER_SECOND")]
    throttle_rate: Option<u16>,
    /// The signing secret: whsec_… or whsk_…; default: a generated one
    #[arg(long, value_name = "SECRET")]
    secret: Option<String>,
    /// A header that every delivery carries; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Your own notes; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    metadata: Vec<(String, String)>,
    /// Any other fields, as a JSON object: {"retrySchedule": "5s,5m"}
    #[arg(long, value_name = "JSON")]
    fields: Option<String>,
}

impl EndpointFields {
    fn body(&self, url: Option<&str>) -> anyhow::Result<Value> {
        let body = Body::default()
            .set("url", url)
            .set("uid", self.uid.as_deref())
            .set("description", self.description.as_deref())
            .set_list("eventTypes", &self.event_types)
            .set_list("channels", &self.channels)
            .set("throttleRate", self.throttle_rate)
            .set("secret", self.secret.as_deref())
            .set_pairs("headers", &self.headers)
            .set_pairs("metadata", &self.metadata)
            .merge(self.fields.as_deref())?;
        Ok(body.into_value())
    }
}

const COLUMNS: &[Column] = &[
    ("ID", |endpoint| cell(&endpoint["id"])),
    ("UID", |endpoint| cell(&endpoint["uid"])),
    ("URL", |endpoint| cell(&endpoint["url"])),
    ("EVENT TYPES", |endpoint| if endpoint["eventTypes"].is_array() { cell(&endpoint["eventTypes"]) } else { "all".to_owned() }),
    ("STATE", |endpoint| if endpoint["disabled"] == true { "disabled".to_owned() } else { "enabled".to_owned() }),
    ("CREATED", |endpoint| time(&endpoint["createdAt"])),
];

pub(crate) fn run(args: &EndpointArgs, environment: &Environment) -> anyhow::Result<()> {
    let client = Client::new(&args.client, environment)?;
    let json = args.client.json;
    match &args.command {
        EndpointCommand::List { app, page } => listing::show(&client, path("/app/{}/endpoint", &[app]), page, json, COLUMNS),
        EndpointCommand::Get(which) => output::print_one(&client.get(&which.path(""))?, json),
        EndpointCommand::Create { app, endpoint_url, fields } => {
            output::print_one(&client.post(&path("/app/{}/endpoint", &[app]), &fields.body(Some(endpoint_url))?)?, json)
        }
        EndpointCommand::Update { which, endpoint_url, fields } => {
            output::print_one(&client.patch(&which.path(""), &fields.body(endpoint_url.as_deref())?)?, json)
        }
        EndpointCommand::Delete(which) => {
            client.delete(&which.path(""))?;
            output::print_done(&format!("deleted endpoint {}", which.endpoint), json)
        }
        EndpointCommand::Secret(which) => show_secret(&client, which, json),
        EndpointCommand::RotateSecret { which, key } => {
            client.post(&which.path("/secret/rotate"), &Body::default().set("key", key.as_deref()).into_value())?;
            show_secret(&client, which, json)
        }
        EndpointCommand::Enable(which) => switch(&client, which, false, json),
        EndpointCommand::Disable(which) => switch(&client, which, true, json),
        EndpointCommand::Stats(which) => output::print_one(&client.get(&which.path("/stats"))?, json),
        EndpointCommand::Recover(window) => send_again(&client, window, "/recover", Body::default(), json),
        EndpointCommand::ReplayMissing(window) => send_again(&client, window, "/replay-missing", Body::default(), json),
        EndpointCommand::Replay { window, filter } => {
            let body = Body::default()
                .set_list("eventTypes", &filter.event_types)
                .set("channel", filter.channel.as_deref())
                .set("tag", filter.tag.as_deref())
                .set("status", filter.status.map(|status| status as u8));
            send_again(&client, window, "/bulk-replay", body, json)
        }
    }
}

impl Which {
    fn path(&self, rest: &str) -> String {
        format!("{}{rest}", path("/app/{}/endpoint/{}", &[&self.app, &self.endpoint]))
    }
}

/// The secret alone on its line, so that it can be put into a variable.
fn show_secret(client: &Client, which: &Which, json: bool) -> anyhow::Result<()> {
    let answer = client.get(&which.path("/secret"))?;
    if json {
        output::print_json(&answer)?;
    } else {
        output::print_line(cell(&answer["key"]))?;
    }
    Ok(())
}

fn switch(client: &Client, which: &Which, disabled: bool, json: bool) -> anyhow::Result<()> {
    client.patch(&which.path(""), &json!({"disabled": disabled}))?;
    let what = if disabled { "disabled" } else { "enabled" };
    output::print_done(&format!("{what} endpoint {}", which.endpoint), json)
}

fn send_again(client: &Client, window: &Window, rest: &str, body: Body, json: bool) -> anyhow::Result<()> {
    let body = body.set("since", Some(window.since.as_str())).set("until", window.until.as_deref()).into_value();
    let task = client.post(&window.which.path(rest), &body)?;
    if window.wait {
        return tasks::wait(client, &task, json);
    }
    if json {
        return Ok(output::print_json(&task)?);
    }
    Ok(output::print_line(format_args!("started {0}; see it through with: hookpost task wait {0}", cell(&task["id"])))?)
}
