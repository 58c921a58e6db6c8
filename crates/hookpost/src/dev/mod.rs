//! `hookpost dev`: everything on a desk. A server with a demo application whose endpoint leads to a receiver that shows what arrives.
//!
//! What it makes stays: the key, the application and the endpoint are the same after a restart.

mod demo;
mod files;
mod receiver;
mod welcome;

#[cfg(test)]
pub(crate) use demo::{LocalApi, ensure as ensure_demo, ensure_key};
pub(crate) use files::{DevFiles, write_private};

use anyhow::Context as _;

use crate::config::Settings;
use crate::{logging, runtime, secrets, serve, wiring};

/// What differs from `serve`, below whatever the user sets: deliveries may go to this machine, and the log leaves the screen to the receiver.
pub(crate) const PRESETS: &[(&str, &str)] = &[("allow_private_networks", "true"), ("log", "warn")];

pub(crate) fn run(settings: &Settings, program: &str) -> anyhow::Result<()> {
    secrets::check(settings)?;
    let _log = logging::start(settings);
    runtime::raise_open_files_limit();
    let threads = runtime::start_for(settings).context("cannot start the runtime")?;
    let ended = threads.run(async {
        let stop = serve::stop_on_signals()?;
        let bound = serve::bind(&settings.listen)?;
        let url = serve::local_url(&bound)?;
        let parts = wiring::wire(settings, &url).await?;
        let files = DevFiles::make_in(&settings.data_dir).with_context(|| format!("cannot make {}", settings.data_dir.display()))?;
        let key = demo::ensure_key(&parts, &files).await?;
        files.write_url(&url)?;
        demo::ensure(&parts.router, &key, &url).await?;
        let router = receiver::Receiver::new(parts.router.clone(), key.clone()).beside(parts.router.clone());
        let ready = || crate::output::print(welcome::text(program, &url, &key, settings));
        serve::serve(settings, parts, router, bound, stop, ready).await
    });
    drop(threads);
    ended
}
