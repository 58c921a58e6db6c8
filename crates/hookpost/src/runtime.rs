//! The shape of the process: how many threads serve the network.
//!
//! A hand-over between threads costs as much as storing a message, so there are no more threads than processors that have nothing else to do: one is the
//! writer's of the store. Where there are two in all, one thread alone would be the bound at high fan-out and the cause of long tails, while the
//! embedded store leaves most of the second processor idle; PostgreSQL, or another node, does not (docs/benchmarks.md).

use std::io;
use std::num::NonZero;

use tokio::runtime::{Builder, Runtime};

use crate::config::{DatabaseChoice, Settings};

/// Threads for what blocks (files, name resolution): few, and gone after ten seconds without work.
const BLOCKING_THREADS_MAX: usize = 16;

/// Of a server.
pub(crate) fn build_for(settings: &Settings) -> io::Result<Runtime> {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let is_embedded = matches!(settings.database, DatabaseChoice::Embedded);
    build(if settings.io_threads > 0 { settings.io_threads } else { choose(processors, is_embedded) })
}

pub(crate) fn build(threads: usize) -> io::Result<Runtime> {
    let mut builder = if threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    builder.enable_all().thread_name("hookpost-io").max_blocking_threads(BLOCKING_THREADS_MAX).build()
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
