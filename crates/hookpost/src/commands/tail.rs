//! `hookpost tail`: messages and attempts of an application, one line each, as they happen.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use clap::Args;
use hookpost_domain::Clock as _;
use serde_json::{Value, json};

use super::attempt::status_code;
use super::listing;
use super::why::excerpt;
use crate::cli::ClientArgs;
use crate::client::{Client, path, with_query};
use crate::config::Environment;
use crate::output::{self, cell};
use crate::outside::SystemClock;

const POLL_INTERVAL: Duration = Duration::from_secs(1);
const ENDPOINTS_EVERY_POLLS: u32 = 10;
/// Lists are asked for a little of the past again, since what began before may end after; what was shown is remembered.
const OVERLAP: Duration = Duration::from_secs(60);
const SHOWN_REMEMBERED_MAX: usize = 100_000;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hookpost tail demo
  hookpost tail demo --json | jq .id")]
pub(crate) struct TailArgs {
    /// The application: id or uid
    app: String,
    /// Only attempts to this endpoint: id or uid
    #[arg(long)]
    endpoint: Option<String>,
    /// End after this many lines
    #[arg(long, value_name = "NUMBER")]
    lines: Option<usize>,
    #[command(flatten)]
    client: ClientArgs,
}

pub(crate) fn run(args: &TailArgs, environment: &Environment) -> anyhow::Result<()> {
    let client = Client::new(&args.client, environment)?;
    let mut shown = Shown::default();
    let mut lines_left = args.lines.unwrap_or(usize::MAX);
    let mut endpoints = Vec::new();
    let begin = SystemClock.now();
    for poll in 0_u32.. {
        if poll.is_multiple_of(ENDPOINTS_EVERY_POLLS) {
            endpoints = endpoints_of(&client, args)?;
        }
        let since = (SystemClock.now() - OVERLAP).max(begin).to_string();
        for (_, event) in news(&client, args, &endpoints, &since)? {
            if lines_left == 0 {
                return Ok(());
            }
            if shown.is_new(&cell(&event["id"])) {
                if args.client.json {
                    output::print_line(&event)?;
                } else {
                    output::print_line(line(&event))?;
                }
                lines_left -= 1;
            }
        }
        if lines_left == 0 {
            return Ok(());
        }
        output::pause(POLL_INTERVAL);
    }
    Ok(())
}

fn endpoints_of(client: &Client, args: &TailArgs) -> anyhow::Result<Vec<String>> {
    match &args.endpoint {
        Some(endpoint) => Ok(vec![endpoint.clone()]),
        None => Ok(listing::fetch_all(client, &path("/app/{}/endpoint", &[&args.app]))?.iter().map(|e| cell(&e["id"])).collect()),
    }
}

/// What happened since, in the order in which it happened.
fn news(client: &Client, args: &TailArgs, endpoints: &[String], since: &str) -> anyhow::Result<BTreeMap<(String, String), Value>> {
    let query = [("after", Some(since.to_owned()))];
    let mut lists = vec![with_query(path("/app/{}/msg", &[&args.app]), &query)];
    lists.extend(endpoints.iter().map(|endpoint| with_query(path("/app/{}/attempt/endpoint/{}", &[&args.app, endpoint]), &query)));
    let mut events = BTreeMap::new();
    for list in lists {
        for event in listing::fetch_all(client, &list)? {
            events.insert((cell(&event["timestamp"]), cell(&event["id"])), event);
        }
    }
    Ok(events)
}

fn line(event: &Value) -> String {
    let timestamp = cell(&event["timestamp"]);
    let clock_time = timestamp.get(11..23).unwrap_or(&timestamp).to_owned();
    let clock_time = console::style(clock_time).dim();
    if event["eventType"].is_string() {
        let payload = console::style(excerpt(&json!(event["payload"]).to_string())).dim();
        return format!("{clock_time}  message  {}  {}  {payload}", cell(&event["id"]), console::style(cell(&event["eventType"])).bold());
    }
    let result = if event["status"] == 0 { console::style("ok").green() } else { console::style("failed").red() };
    format!(
        "{clock_time}  attempt  {}  {result} {}  {} ms  → {}  {}",
        cell(&event["msgId"]),
        status_code(event),
        cell(&event["responseDurationMs"]),
        cell(&event["url"]),
        console::style(excerpt(&cell(&event["response"]))).dim(),
    )
}

/// Remembers what was shown, and forgets the oldest of it.
#[derive(Debug, Default)]
struct Shown {
    ids: HashSet<String>,
    oldest_first: VecDeque<String>,
}

impl Shown {
    fn is_new(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.oldest_first.push_back(id.to_owned());
        if self.oldest_first.len() > SHOWN_REMEMBERED_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}
