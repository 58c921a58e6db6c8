//! What commands print: tables for people, JSON for scripts.

use std::fmt;
use std::io::{self, Write as _};
use std::time::Duration;

use comfy_table::{ContentArrangement, presets};
use serde_json::Value;

/// A plain table: aligned columns, no lines, so that it reads well and `awk` works on it.
#[derive(Debug)]
pub(crate) struct Table(comfy_table::Table);

impl Table {
    pub(crate) fn new(columns: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_header(columns.to_vec());
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Self(table)
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.add_row(cells);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.0.lines() {
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Writes to standard output; a reader that went away is an error like any other, not a panic.
pub(crate) fn print(text: impl fmt::Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "{text}")?;
    out.flush()
}

/// What may be anything, as it is.
pub(crate) fn print_bytes(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

pub(crate) fn print_line(text: impl fmt::Display) -> io::Result<()> {
    print(format_args!("{text}\n"))
}

pub(crate) fn print_json(value: &Value) -> io::Result<()> {
    print_line(format_args!("{value:#}"))
}

/// One thing: its fields below each other, or JSON.
pub(crate) fn print_one(value: &Value, json: bool) -> anyhow::Result<()> {
    if json {
        print_json(value)?;
    } else {
        print(fields(value))?;
    }
    Ok(())
}

/// What was done, where the API answers nothing.
pub(crate) fn print_done(what: &str, json: bool) -> anyhow::Result<()> {
    if json {
        print_json(&serde_json::json!({"done": what}))?;
    } else {
        print_line(what)?;
    }
    Ok(())
}

/// Lets time pass between two questions to a server. A command has nothing else to do.
#[expect(clippy::disallowed_methods, reason = "a command has one thread, and nobody waits for it")]
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// A field of an API answer as a cell: `-` for what is not there, lists joined, objects as JSON.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Object(fields) if fields.is_empty() => "-".to_owned(),
        other => other.to_string(),
    }
}

/// A point in time of an API answer, to the second.
pub(crate) fn time(value: &Value) -> String {
    let text = cell(value);
    match text.split_once('.') {
        Some((seconds, _)) => format!("{}Z", seconds.replace('T', " ")),
        None => text.replace('T', " "),
    }
}

/// One thing, as a list of its fields.
pub(crate) fn fields(value: &Value) -> String {
    let Some(object) = value.as_object() else { return format!("{}\n", cell(value)) };
    let width = object.keys().map(String::len).max().unwrap_or(0);
    object.iter().map(|(name, value)| format!("{name:width$}  {}\n", cell(value))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tables_are_aligned_without_trailing_blanks() {
        let mut table = Table::new(&["ID", "NAME"]);
        table.row(["app_1".to_owned(), "First".to_owned()]);
        table.row(["a".to_owned(), "-".to_owned()]);
        insta::assert_snapshot!(table.to_string(), @r"
        ID     NAME
        app_1  First
        a      -
        ");
    }

    #[test]
    fn fields_and_times_are_readable() {
        assert_eq!(time(&json!("2026-01-02T03:04:05.678000Z")), "2026-01-02 03:04:05Z");
        assert_eq!(fields(&json!({"id": "a", "channels": ["x", "y"], "uid": null})), "id        a\nchannels  x, y\nuid       -\n");
    }
}
