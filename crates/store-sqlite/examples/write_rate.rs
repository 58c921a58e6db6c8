//! How fast the store is, and what the writer's thread costs per message: `cargo run --release -p hookpost-store-sqlite --example write_rate`.
//! The options stand in `hookpost_store::write_rate`.

use std::sync::Arc;

use hookpost_store::SharedStore;
use hookpost_store::vault::Vault;
use hookpost_store::write_rate::{WriteRate, entropy, instant, thread_cpu_seconds};
use hookpost_store_sqlite::{SqliteOptions, SqliteStore};

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure());
}

async fn measure() {
    let load = WriteRate::default();
    let directory = tempfile::tempdir_in(".").expect("a directory");
    let entropy = entropy();
    let options = SqliteOptions {
        data_dir: directory.path().to_owned(),
        vault: Vault::new(&[7; 32], Arc::clone(&entropy)),
        ready: load.ready.clone(),
        entropy,
        observer: Some(load.commits.clone()),
    };
    let store = SqliteStore::open(options).expect("a store");
    let shared: SharedStore = store.clone();
    let messages = load.run(&shared, &|| vec![("writer", thread_cpu_seconds("store-write")), ("process", thread_cpu_seconds(""))]).await;
    let closing = instant();
    store.close().await;
    println!("closed in {} ms; {:.0} bytes/message on disk", closing.elapsed().as_millis(), disk_bytes(directory.path()) / messages as f64);
}

fn disk_bytes(directory: &std::path::Path) -> f64 {
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len() as f64).sum()
}
