//! Waiting for background tasks: replays and recoveries.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::client::{Client, path};
use crate::failure::Failure;
use crate::output::{self, cell};

const POLL_INTERVAL: Duration = Duration::from_millis(300);

/// Follows a task to its end. `task` is what the request that started it answered.
pub(crate) fn wait(client: &Client, task: &Value, json: bool) -> anyhow::Result<()> {
    let id = cell(&task["id"]);
    let bar = ProgressBar::new(0).with_style(
        ProgressStyle::with_template("{spinner} {msg} {wide_bar} {pos}/{len} {eta}").unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar.set_message(cell(&task["task"]));
    let ended = loop {
        let now = client.get(&path("/background-task/{}", &[&id]))?;
        let data = &now["data"];
        if let Some(estimate) = data["estimate"].as_u64() {
            bar.set_length(estimate);
        }
        if let Some(looked_at) = data["lookedAt"].as_u64() {
            bar.set_position(looked_at);
        }
        if now["status"] != "running" {
            break now;
        }
        bar.tick();
        output::pause(POLL_INTERVAL);
    };
    bar.finish_and_clear();
    if json {
        output::print_json(&ended)?;
    } else {
        output::print_line(format_args!("{id} {}: {} sent again", cell(&ended["status"]), cell(&ended["data"]["affected"])))?;
    }
    if ended["status"] == "finished" { Ok(()) } else { Err(Failure::Refused { status: 0, message: format!("{id} did not finish") }.into()) }
}
