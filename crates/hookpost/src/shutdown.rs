//! When to stop: SIGTERM and Ctrl-C end the server in good order, a second one ends it at once.
//!
//! Stopping is a value that is passed along ([`CancellationToken`]); nothing else in the program listens to signals.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code of a process that was told twice to end.
pub(crate) const EXIT_AT_ONCE: i32 = 130;

#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes over the signals; from now on the process ends only by [`Signals::drive`].
    pub(crate) fn register() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Cancels `stop` at the first signal, ends the process at the second. Everything acknowledged is on disk at any moment, so
    /// ending at once loses nothing.
    pub(crate) async fn drive(mut self, stop: CancellationToken) {
        let name = self.next().await;
        tracing::info!(signal = name, "stopping: finishing what is under way; send the signal again to end at once");
        stop.cancel();
        let name = self.next().await;
        tracing::warn!(signal = name, "ending at once");
        std::process::exit(EXIT_AT_ONCE);
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
