//! The shape of the process: how many threads serve the network.
//!
//! A hand-over between threads costs as much as storing a message, so there are no more threads than processors that have nothing else to do. But one
//! thread alone is the bound at high fan-out, where it is busy all the time while the second processor waits for it (docs/benchmarks.md).

use std::io;
use std::num::NonZero;

use tokio::runtime::{Builder, Runtime};

/// Threads for what blocks (files, name resolution): few, and gone after ten seconds without work.
const BLOCKING_THREADS_MAX: usize = 16;

pub(crate) fn build(io_threads: usize) -> io::Result<Runtime> {
    let threads = if io_threads > 0 { io_threads } else { choose(std::thread::available_parallelism().map_or(1, NonZero::get)) };
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

/// One processor is left to the store's writer, where there are more than two.
fn choose(processors: usize) -> usize {
    if processors <= 2 { processors } else { processors - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writer_keeps_a_processor() {
        assert_eq!([1, 2, 3, 4, 8].map(choose), [1, 2, 2, 3, 7]);
    }
}
