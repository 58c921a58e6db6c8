//! Logs: readable or JSON lines on the error stream, filtered by `HOOKPOST_LOG`.
//!
//! Lines are written by a thread of their own, so that a slow terminal or pipe never holds up a delivery; what does not fit into its
//! queue is dropped.

use std::io::{self, IsTerminal as _};

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, Settings};

/// Its memory is taken at the start.
const LINES_QUEUED_MAX: usize = 4096;

/// Writes what is queued when it is dropped.
#[must_use]
#[derive(Debug)]
pub(crate) struct LogGuard {
    _worker: WorkerGuard,
}

pub(crate) fn start(settings: &Settings) -> LogGuard {
    let (writer, worker) =
        NonBlockingBuilder::default().buffered_lines_limit(LINES_QUEUED_MAX).lossy(true).thread_name("hookpost-log").finish(io::stderr());
    let filter = EnvFilter::builder().parse_lossy(&settings.log);
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    // A subscriber that is there already (a test's) stays.
    let _ = match settings.log_format {
        LogFormat::Text => subscriber.with_ansi(io::stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
    };
    log_panics();
    LogGuard { _worker: worker }
}

/// A panic of any task or thread becomes a line in the log, wherever standard error goes.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let message = text.unwrap_or("(no message)");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        tracing::error!(thread, place, "panic: {message}");
        // The log line may be lost with the process; this one is not.
        eprintln!("panic in thread {thread} at {place}: {message}");
    }));
}
