//! `hookpost why`: the way of a message to an endpoint, and the reason where it ended.

use clap::Args;
use serde_json::{Value, json};

use super::attempt::status_code;
use super::listing;
use crate::cli::ClientArgs;
use crate::client::{Client, path};
use crate::config::Environment;
use crate::failure::Failure;
use crate::output::{self, cell, time};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hookpost why demo                       the newest message
  hookpost why demo msg_2cX…              this one, for every endpoint of the application
  hookpost why demo msg_2cX… ep_2cX…      for one of them")]
pub(crate) struct WhyArgs {
    /// The application: id or uid
    app: String,
    /// The message: id or eventId; default: the newest
    message: Option<String>,
    /// The endpoint: id or uid; default: all of the application
    endpoint: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

pub(crate) fn run(args: &WhyArgs, environment: &Environment) -> anyhow::Result<()> {
    let client = Client::new(&args.client, environment)?;
    let message = match &args.message {
        Some(message) => client.get(&path("/app/{}/msg/{}", &[&args.app, message]))?,
        None => newest(&client, &args.app)?,
    };
    let id = cell(&message["id"]);
    let ask = |endpoint: &str| client.get(&path("/app/{}/msg/{}/endpoint/{}/why", &[&args.app, &id, endpoint]));
    let answers: Vec<Value> = match &args.endpoint {
        Some(endpoint) => vec![ask(endpoint)?],
        None => {
            let endpoints = listing::fetch_all(&client, &path("/app/{}/endpoint?order=ascending", &[&args.app]))?;
            endpoints.iter().map(|endpoint| ask(&cell(&endpoint["id"]))).collect::<Result<_, _>>()?
        }
    };
    if args.client.json {
        let single = args.endpoint.is_some();
        return Ok(output::print_json(&if single { answers[0].clone() } else { json!({"data": answers}) })?);
    }
    output::print_line(format_args!(
        "{}  {}  accepted {}",
        console::style(&id).bold(),
        cell(&message["eventType"]),
        time(&message["timestamp"])
    ))?;
    if answers.is_empty() {
        output::print_line("  The application has no endpoints, so it went nowhere. Create one: hookpost endpoint create")?;
    }
    for answer in &answers {
        print_answer(&client, &args.app, &id, answer)?;
    }
    Ok(())
}

fn newest(client: &Client, app: &str) -> anyhow::Result<Value> {
    let newest = client.get(&path("/app/{}/msg?limit=1", &[app]))?["data"][0].clone();
    if newest.is_null() {
        let message = format!("the application {app} has no messages yet: send one with `hookpost send --app {app} …`");
        return Err(Failure::Refused { status: 404, message }.into());
    }
    Ok(newest)
}

fn print_answer(client: &Client, app: &str, message: &str, answer: &Value) -> anyhow::Result<()> {
    let endpoint = cell(&answer["endpointId"]);
    let state = cell(&answer["state"]).replace('_', " ");
    let state = match state.as_str() {
        "delivered" => console::style(state).green(),
        "dead" | "canceled" => console::style(state).red(),
        _ => console::style(state).yellow(),
    };
    output::print_line(format_args!("\n  {endpoint}  {}", cell(&answer["url"])))?;
    let explanation = cell(&answer["explanation"]);
    // The state says it already.
    output::print_line(format_args!("  {}  {}", state.bold(), explanation.trim_start_matches("Delivered: ")))?;
    if let Some(advice) = answer["advice"].as_str() {
        output::print_line(format_args!("  {} {advice}", console::style("→").bold()))?;
    }
    let attempts = listing::fetch_all(client, &path("/app/{}/attempt/msg/{}?endpoint_id={}", &[app, message, &endpoint]))?;
    // The API lists the newest first; a story is told from the beginning.
    for (index, attempt) in attempts.iter().rev().enumerate() {
        let result = if attempt["status"] == 0 { console::style("ok").green() } else { console::style("failed").red() };
        output::print_line(format_args!(
            "    attempt {}  {}  {result}  {}  {} ms  {}",
            index + 1,
            time(&attempt["timestamp"]),
            status_code(attempt),
            cell(&attempt["responseDurationMs"]),
            excerpt(&cell(&attempt["response"])),
        ))?;
    }
    Ok(())
}

/// The beginning of a text on one line.
pub(crate) fn excerpt(text: &str) -> String {
    const CHARS_MAX: usize = 100;
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(CHARS_MAX + 1).collect();
    if line.chars().count() > CHARS_MAX {
        line.pop();
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_one_short_line() {
        assert_eq!(excerpt("{\n  \"a\":   1\n}"), "{ \"a\": 1 }");
        assert_eq!(excerpt(&"ä".repeat(101)).chars().count(), 101);
        assert_eq!(excerpt(&"ä".repeat(100)), "ä".repeat(100));
    }
}
