//! The shape of the process: how many threads serve the network.
//!
//! A hand-over between threads costs as much as storing a message, so each thread keeps what it began ([`hookpost_threads`]), and there are no more of
//! them than processors that have nothing else to do: one is the writer's of the store. Where there are two in all, one thread alone would be the bound at
//! high fan-out and the cause of long tails, while the embedded store leaves most of the second processor idle; PostgreSQL, or another node, does not
//! (docs/benchmarks.md).

use std::io;
use std::num::NonZero;

use hookpost_threads::RunningThreads;
use tokio::runtime::{Builder, Runtime};

use crate::config::{DatabaseChoice, Settings};

/// Threads for what blocks (files, name resolution): few, and gone after ten seconds without work.
const BLOCKING_THREADS_MAX: usize = 16;

/// Of a server.
pub(crate) fn start_for(settings: &Settings) -> io::Result<RunningThreads> {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let is_embedded = matches!(settings.database, DatabaseChoice::Embedded);
    let threads = if settings.io_threads > 0 { settings.io_threads } else { choose(processors, is_embedded) };
    RunningThreads::start(threads, "hookpost-io", build)
}

/// For one thread.
pub(crate) fn build() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().thread_name("hookpost-blocking").max_blocking_threads(BLOCKING_THREADS_MAX).build()
}

/// Every connection is a file to the operating system, and the limit that shells set is low: takes what the administrator allows.
pub(crate) fn raise_open_files_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, current = limit.current, "cannot raise the limit of open files; many connections may not be possible");
    }
}

fn choose(processors: usize, is_embedded: bool) -> usize {
    match processors {
        2 if is_embedded => 2,
        _ => processors.saturating_sub(1).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writer_keeps_a_processor() {
        assert_eq!([1, 2, 3, 4, 8].map(|processors| choose(processors, true)), [1, 2, 2, 3, 7]);
        assert_eq!([1, 2, 3, 4, 8].map(|processors| choose(processors, false)), [1, 1, 2, 3, 7]);
    }
}
