//! `hookpost serve`: starts the parts in order, runs until told to stop, ends them in order.
//!
//! Starting: bind, open the store, engine, listener. Stopping: no new connections, answers finished, engine drained, store closed. Nothing of
//! it can lose what was acknowledged; the grace period only bounds how much work is finished rather than taken up again at the next start.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Settings;
use crate::database::{self, Database};
use crate::listener::Bound;
use crate::shutdown::Signals;
use crate::wiring::Parts;
use crate::{control, listener, logging, runtime, secrets, wiring};

pub(crate) fn run(settings: &Settings) -> anyhow::Result<()> {
    secrets::check(settings)?;
    let _log = logging::start(settings);
    runtime::raise_open_files_limit();
    let threads = runtime::start_for(settings).context("cannot start the runtime")?;
    let ended = threads.run(async {
        let stop = stop_on_signals()?;
        let bound = bind(&settings.listen)?;
        let parts = wiring::wire(settings, &local_url(&bound)?).await?;
        let router = parts.router.clone();
        serve(settings, parts, router, bound, stop, || Ok(())).await
    });
    // Tasks that did not end within the grace period end here.
    drop(threads);
    ended
}

/// A token that the signals of the process cancel.
pub(crate) fn stop_on_signals() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let signals = Signals::register().context("cannot listen to signals")?;
    // It listens for the second signal until the process ends, so nobody waits for it.
    drop(TaskTracker::new().spawn(signals.drive(stop.clone())));
    Ok(stop)
}

pub(crate) fn bind(addresses: &[SocketAddr]) -> anyhow::Result<Vec<Bound>> {
    addresses.iter().map(|address| listener::bind(*address).map_err(|error| cannot_listen(*address, error))).collect()
}

fn cannot_listen(address: SocketAddr, error: io::Error) -> anyhow::Error {
    let what_to_do = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there, perhaps another Hookpost: stop it, or choose another address with --listen"
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege: choose another with --listen",
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address: choose another with --listen",
        _ => "choose another address with --listen",
    };
    anyhow::Error::new(error).context(format!("cannot listen on {address}: {what_to_do}"))
}

/// The URL under which programs of this machine reach the first listener.
pub(crate) fn local_url(bound: &[Bound]) -> anyhow::Result<String> {
    let mut address = bound.first().context("there is no address to listen on")?.local_addr()?;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { std::net::Ipv4Addr::LOCALHOST.into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    Ok(format!("http://{address}"))
}

/// Runs wired parts on bound addresses until `stop`, and ends them within the grace period. `router` is what is served: the one of the
/// parts, or one that has more. `ready` is called when everything can be asked.
pub(crate) async fn serve(
    settings: &Settings,
    parts: Parts,
    router: Router,
    bound: Vec<Bound>,
    stop: CancellationToken,
    ready: impl FnOnce() -> io::Result<()>,
) -> anyhow::Result<()> {
    let tasks = TaskTracker::new();
    // The listener outlives the signal, where load balancers are given time.
    let stop_listening = CancellationToken::new();
    let control_socket = match &parts.database {
        Database::Embedded(store) => control::listen(&settings.data_dir, Arc::clone(store)),
        Database::Postgres(_) => None,
    };
    let mut control = tasks.spawn(control::serve(control_socket, stop_listening.clone()));
    let listeners = listen(bound, settings)?;
    // The engine outlives the listener: what the last requests bring still goes out.
    let stop_engine = CancellationToken::new();
    let mut engine = tasks.spawn(parts.engine.run(parts.ready, parts.news, stop_engine.clone()));
    let mut http = tasks.spawn(listener::serve(listeners, router, parts.connections, stop_listening.clone()));
    ready()?;
    let died = tokio::select! {
        () = stop.cancelled() => None,
        ended = &mut engine => Some(("engine", ended)),
        ended = &mut http => Some(("listener", ended)),
        ended = &mut control => Some(("control socket", ended)),
    };
    if let Some((task, ended)) = died {
        // Accepting without delivering, or the other way round, would look like working.
        let how = ended.err().map_or_else(|| "it ended by itself".to_owned(), |error| error.to_string());
        tracing::error!(task, how, "a part of the server died; ending the process");
        anyhow::bail!("the {task} died: {how}");
    }

    parts.stopping.cancel();
    if !settings.shutdown_delay.is_zero() {
        tracing::info!(delay = ?settings.shutdown_delay, "telling load balancers; still serving");
        tokio::time::sleep(settings.shutdown_delay).await;
    }
    stop_listening.cancel();
    let grace = settings.shutdown_grace;
    let answered = async {
        let _ = http.await;
        let _ = control.await;
        parts.api_tasks.close();
        parts.api_tasks.wait().await;
    };
    if tokio::time::timeout(grace / 4, answered).await.is_err() {
        tracing::warn!("some requests were not finished in time; they were not acknowledged");
    }
    stop_engine.cancel();
    if tokio::time::timeout(grace, engine).await.is_err() {
        tracing::warn!(?grace, "some attempts did not end in time; they are taken up at the next start");
    }
    parts.database.close().await;
    tracing::info!("stopped");
    Ok(())
}

fn listen(bound: Vec<Bound>, settings: &Settings) -> anyhow::Result<Vec<TcpListener>> {
    let listen = |bound: Bound| {
        let address = bound.local_addr()?;
        let listener = bound.listen().map_err(|error| cannot_listen(address, error))?;
        tracing::info!(%address, database = %database::place(settings), version = env!("CARGO_PKG_VERSION"), "listening on http://{address}");
        Ok(listener)
    };
    bound.into_iter().map(listen).collect()
}
