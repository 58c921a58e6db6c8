//! How fast the store is, and what a message costs here and in the server: `cargo run --release -p hookpost-store-postgres --example write_rate --
//! --url postgres://… --server-pid PID`. The other options stand in `hookpost_store::write_rate`.

use std::sync::Arc;
use std::time::Duration;

use hookpost_store::SharedStore;
use hookpost_store::vault::Vault;
use hookpost_store::write_rate::{WriteRate, entropy, option, text_option, thread_cpu_seconds};
use hookpost_store_postgres::{DatabaseUrl, PostgresOptions, PostgresStore};

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure());
}

async fn measure() {
    let load = WriteRate::default();
    let server_pid = option("--server-pid", 0);
    let entropy = entropy();
    let (news, _news) = tokio::sync::mpsc::channel(64);
    let options = PostgresOptions {
        url: DatabaseUrl::parse(&text_option("--url").expect("--url postgres://…")).expect("an address"),
        vault: Vault::new(&[7; 32], Arc::clone(&entropy)),
        ready: load.ready.clone(),
        news,
        entropy,
        observer: Some(load.commits.clone()),
        node_name: None,
        lease: Duration::from_secs(30),
        poll_every: Duration::from_millis(500),
        notify: true,
        connections_max: 4,
        partition: Duration::from_secs(86_400),
    };
    let store = PostgresStore::open(options).await.expect("a store");
    let shared: SharedStore = store.clone();
    load.run(&shared, &|| vec![("here", thread_cpu_seconds("")), ("server", server_cpu_seconds(server_pid))]).await;
    store.close().await;
}

/// CPU seconds of the processes of the server that are alive.
fn server_cpu_seconds(postmaster: usize) -> f64 {
    let Ok(processes) = std::fs::read_dir("/proc") else { return 0.0 };
    let ticks = processes.flatten().filter_map(|process| {
        let stat = std::fs::read_to_string(process.path().join("stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let parent: usize = fields.get(1)?.parse().ok()?;
        (parent == postmaster).then_some(())?;
        Some(fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?)
    });
    ticks.sum::<f64>() / 100.0
}
