//! Lists: one page or all of them, as a table or as JSON.

use clap::Args;
use serde_json::{Value, json};

use crate::client::{Client, with_query};
use crate::output::{self, Table};

const ITEMS_PER_REQUEST_MAX: u32 = 250;

#[derive(Debug, Clone, Args)]
pub(crate) struct PageArgs {
    /// How many to show
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=i64::from(ITEMS_PER_REQUEST_MAX)))]
    pub(crate) limit: Option<u32>,
    /// Go on where the last page ended
    #[arg(long, value_name = "ITERATOR")]
    pub(crate) iterator: Option<String>,
    /// Show everything, page after page
    #[arg(long, conflicts_with_all = ["limit", "iterator"])]
    pub(crate) all: bool,
}

/// A column: its title, and how its cell is made from an item.
pub(crate) type Column = (&'static str, fn(&Value) -> String);

/// Gets a list and prints it.
pub(crate) fn show(client: &Client, path: String, page: &PageArgs, json: bool, columns: &[Column]) -> anyhow::Result<()> {
    if page.all {
        let items = fetch_all(client, &path)?;
        return print(&items, json.then(|| json!({"data": items})), columns);
    }
    let limit = page.limit.map(|limit| limit.to_string());
    let answer = client.get(&with_query(path, &[("limit", limit), ("iterator", page.iterator.clone())]))?;
    let items = answer["data"].as_array().cloned().unwrap_or_default();
    print(&items, json.then(|| answer.clone()), columns)?;
    if !json && answer["done"] == false && !items.is_empty() {
        let next = answer["iterator"].as_str().unwrap_or_default();
        eprintln!("{}", console::style(format!("There are more: --iterator {next}, or --all")).dim().for_stderr());
    }
    Ok(())
}

/// Every item of a list, in its order.
pub(crate) fn fetch_all(client: &Client, path: &str) -> anyhow::Result<Vec<Value>> {
    let mut items = Vec::new();
    let mut iterator = None;
    loop {
        let mut answer = client
            .get(&with_query(path.to_owned(), &[("limit", Some(ITEMS_PER_REQUEST_MAX.to_string())), ("iterator", iterator.clone())]))?;
        if let Some(Value::Array(page)) = answer.get_mut("data").map(Value::take) {
            items.extend(page);
        }
        let next = answer["iterator"].as_str().map(str::to_owned);
        if answer["done"] != false || next.is_none() || next == iterator {
            return Ok(items);
        }
        iterator = next;
    }
}

pub(crate) fn print(items: &[Value], json: Option<Value>, columns: &[Column]) -> anyhow::Result<()> {
    if let Some(json) = json {
        return Ok(output::print_json(&json)?);
    }
    let mut table = Table::new(&columns.iter().map(|(title, _)| *title).collect::<Vec<_>>());
    for item in items {
        table.row(columns.iter().map(|(_, cell)| cell(item)));
    }
    if table.is_empty() {
        eprintln!("{}", console::style("There are none.").dim().for_stderr());
        return Ok(());
    }
    Ok(output::print(table)?)
}
