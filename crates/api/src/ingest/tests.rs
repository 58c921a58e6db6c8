//! What clients see of sources and receipts, whatever the store.

mod access;
mod applications;
mod endpoints;
mod mistakes;
mod receipts;
mod replays;
mod sources;
mod tokens;
mod types;

const SOURCES: &str = "/ingest/api/v1/source";

fn at(id: &str) -> String {
    format!("{SOURCES}/{id}")
}
