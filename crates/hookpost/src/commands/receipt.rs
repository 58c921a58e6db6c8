//! `hookpost receipt`: what arrived at a source, why it was let in or not, and letting it in again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::fields::{Body, point_in_time};
use super::listing::{self, Column, PageArgs};
use crate::cli::ClientArgs;
use crate::client::{Client, ingest_path, with_query};
use crate::config::Environment;
use crate::output::{self, cell, time};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hookpost receipt list github --verdict rejected
  hookpost receipt get github rcpt_2cX…
  hookpost receipt replay github rcpt_2cX…
  hookpost receipt replay github --since 2h --code bad_signature")]
pub(crate) struct ReceiptArgs {
    #[command(subcommand)]
    command: ReceiptCommand,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Subcommand)]
enum ReceiptCommand {
    /// List the receipts of a source, newest first
    List {
        /// The source: id or uid
        source: String,
        #[command(flatten)]
        filter: Box<Filter>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show a receipt with the whole request
    Get {
        /// The source: id or uid
        source: String,
        /// The receipt: its id
        receipt: String,
        /// Print nothing but the body, byte for byte
        #[arg(long)]
        body: bool,
    },
    /// Count the receipts of a source by verdict
    Counts {
        /// The source: id or uid
        source: String,
        /// From when on: 2026-01-31T09:00:00Z, or how long ago: 30m, 2h, 3d; default: 28 days
        #[arg(long, value_name = "TIME", value_parser = point_in_time)]
        since: Option<String>,
    },
    /// Let a request in again that was turned away: one, or all of a reason
    Replay {
        /// The source: id or uid
        source: String,
        /// The receipt: its id; left out: all since a time
        #[arg(required_unless_present = "since", conflicts_with_all = ["since", "until", "verdict", "code"])]
        receipt: Option<String>,
        /// All from when on: 2026-01-31T09:00:00Z, or how long ago: 30m, 2h, 3d
        #[arg(long, value_name = "TIME", value_parser = point_in_time)]
        since: Option<String>,
        /// Until when; default: now
        #[arg(long, value_name = "TIME", value_parser = point_in_time)]
        until: Option<String>,
        /// Only those with this verdict: rejected or quarantined; default: both
        #[arg(long)]
        verdict: Option<String>,
        /// Only rejections with this code: bad_signature, …
        #[arg(long)]
        code: Option<String>,
    },
}

#[derive(Debug, Args)]
struct Filter {
    /// Only those with this verdict
    #[arg(long, value_enum)]
    verdict: Option<Verdict>,
    /// Only rejections with this code: bad_signature, …
    #[arg(long)]
    code: Option<String>,
    /// Only this event type, as the provider names it
    #[arg(long, value_name = "NAME")]
    event_type: Option<String>,
    /// Only this event, as the provider names it
    #[arg(long, value_name = "ID")]
    event_id: Option<String>,
    /// Only requests with this in their URL, headers or body
    #[arg(long)]
    text: Option<String>,
    /// Only what arrived before: 2026-01-31T09:00:00Z, or how long ago: 30m, 2h, 3d
    #[arg(long, value_name = "TIME", value_parser = point_in_time)]
    before: Option<String>,
    /// Only what arrived after
    #[arg(long, value_name = "TIME", value_parser = point_in_time)]
    after: Option<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Verdict {
    Accepted,
    Duplicate,
    Handshake,
    Quarantined,
    Rejected,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Handshake => "handshake",
            Self::Quarantined => "quarantined",
            Self::Rejected => "rejected",
        }
    }
}

const COLUMNS: &[Column] = &[
    ("TIME", |receipt| time(&receipt["receivedAt"])),
    ("VERDICT", |receipt| cell(&receipt["verdict"])),
    ("STATUS", |receipt| cell(&receipt["statusCode"])),
    ("CODE", |receipt| cell(&receipt["code"])),
    ("EVENT TYPE", |receipt| cell(&receipt["eventType"])),
    ("EVENT ID", |receipt| cell(&receipt["eventId"])),
    ("MESSAGE", |receipt| cell(&receipt["messageId"])),
    ("ID", |receipt| cell(&receipt["id"])),
];

/// In the order in which they are printed.
const OUTCOMES: [&str; 4] = ["accepted", "duplicate", "refused", "skipped"];

pub(crate) fn run(args: &ReceiptArgs, environment: &Environment) -> anyhow::Result<()> {
    let client = Client::new(&args.client, environment)?;
    let json = args.client.json;
    match &args.command {
        ReceiptCommand::List { source, filter, page } => {
            let query = [
                ("verdict", filter.verdict.map(|verdict| verdict.word().to_owned())),
                ("code", filter.code.clone()),
                ("event_type", filter.event_type.clone()),
                ("event_id", filter.event_id.clone()),
                ("text", filter.text.clone()),
                ("before", filter.before.clone()),
                ("after", filter.after.clone()),
            ];
            listing::show(&client, with_query(ingest_path("/source/{}/receipt", &[source]), &query), page, json, COLUMNS)
        }
        ReceiptCommand::Get { source, receipt, body } => {
            let answer = client.get(&ingest_path("/source/{}/receipt/{}", &[source, receipt]))?;
            if *body { print_body(&answer) } else { print_whole(answer, json) }
        }
        ReceiptCommand::Counts { source, since } => {
            let path = with_query(ingest_path("/source/{}/receipt/counts", &[source]), &[("since", since.clone())]);
            output::print_one(&client.get(&path)?, json)
        }
        ReceiptCommand::Replay { source, receipt: Some(receipt), .. } => {
            let answer = client.post(&ingest_path("/source/{}/receipt/{}/replay", &[source, receipt]), &Map::new())?;
            output::print_one(&answer, json)
        }
        ReceiptCommand::Replay { source, receipt: None, since, until, verdict, code } => {
            let body = Body::default()
                .set("since", since.as_deref())
                // Of the first call, so that what comes meanwhile is left out.
                .set("until", Some(until.clone().unwrap_or_else(|| point_in_time("0s").unwrap_or_default())))
                .set("verdict", verdict.as_deref())
                .set("code", code.as_deref());
            replay_all(&client, source, body.into_value(), json)
        }
    }
}

/// Call after call, each of which goes on where the last one stopped.
fn replay_all(client: &Client, source: &str, mut body: Value, json: bool) -> anyhow::Result<()> {
    let path = ingest_path("/source/{}/receipt/replay", &[source]);
    let mut sums = [0; OUTCOMES.len()];
    loop {
        let answer = client.post(&path, &body)?;
        for (sum, outcome) in sums.iter_mut().zip(OUTCOMES) {
            *sum += answer[outcome].as_u64().unwrap_or_default();
        }
        if answer["done"] != false || answer["iterator"].is_null() {
            break;
        }
        body["iterator"] = answer["iterator"].clone();
        eprintln!("{}", console::style(format!("{} replayed …", sums.iter().sum::<u64>())).dim().for_stderr());
    }
    if json {
        let all: Map<String, Value> = OUTCOMES.iter().zip(sums).map(|(outcome, sum)| ((*outcome).to_owned(), sum.into())).collect();
        return Ok(output::print_json(&Value::Object(all))?);
    }
    let parts: Vec<String> = OUTCOMES.iter().zip(sums).map(|(outcome, sum)| format!("{sum} {outcome}")).collect();
    Ok(output::print_line(parts.join(", "))?)
}

/// The body stands below the rest, as it came where it is text.
fn print_whole(mut receipt: Value, json: bool) -> anyhow::Result<()> {
    if json {
        return Ok(output::print_json(&receipt)?);
    }
    let body = receipt["body"].take();
    let headers = receipt["headers"].take();
    if let Some(fields) = receipt.as_object_mut() {
        fields.retain(|name, value| !matches!(name.as_str(), "body" | "headers") && !value.is_null());
    }
    output::print(output::fields(&receipt))?;
    let lines = headers.as_array().into_iter().flatten().map(|header| format!("{}: {}\n", cell(&header["name"]), cell(&header["value"])));
    output::print(format_args!("\n{}", lines.collect::<String>()))?;
    match body.as_str() {
        Some(text) => Ok(output::print_line(format_args!("\n{text}"))?),
        None => Ok(()),
    }
}

fn print_body(receipt: &Value) -> anyhow::Result<()> {
    let text = receipt["body"].as_str().unwrap_or_default();
    let bytes = if receipt["bodyEncoding"] == json!("base64") { STANDARD.decode(text)? } else { text.as_bytes().to_vec() };
    Ok(output::print_bytes(&bytes)?)
}
