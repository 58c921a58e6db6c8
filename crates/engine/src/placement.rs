//! On which thread a worker runs: on that of whoever starts it, where its message came in. Unless that has much more to do than another: producers may
//! all come by one connection, and workers that always find something in their lane never end.

use std::sync::atomic::{AtomicUsize, Ordering};

use hookpost_threads::{PerThread, ThreadId, Threads};
use tokio::runtime::Handle;

/// So many more workers than on another thread are worth handing one over to it.
const WORKERS_AHEAD_MAX: usize = 32;

#[derive(Debug)]
pub(crate) struct Placement {
    threads: Threads,
    workers: PerThread<AtomicUsize>,
}

impl Placement {
    /// For the threads that the caller runs on.
    pub(crate) fn here() -> Self {
        Self { threads: Threads::current(), workers: PerThread::new(AtomicUsize::default) }
    }

    pub(crate) fn threads(&self) -> &Threads {
        &self.threads
    }

    pub(crate) fn handle(&self, thread: ThreadId) -> &Handle {
        self.threads.handle(thread)
    }

    /// Where the next worker is to run; it is counted there until [`Self::leave`].
    pub(crate) fn enter(&self) -> ThreadId {
        let counts = self.workers.iter().map(|(thread, workers)| (thread, workers.load(Ordering::Relaxed)));
        let thread = choose(ThreadId::current(), counts);
        self.workers.get(thread).fetch_add(1, Ordering::Relaxed);
        thread
    }

    pub(crate) fn leave(&self, thread: ThreadId) {
        self.workers.get(thread).fetch_sub(1, Ordering::Relaxed);
    }
}

fn choose(own: ThreadId, workers: impl Iterator<Item = (ThreadId, usize)> + Clone) -> ThreadId {
    let here = workers.clone().find(|(thread, _)| *thread == own).map_or(0, |(_, workers)| workers);
    match workers.min_by_key(|(_, workers)| *workers) {
        Some((idlest, least)) if here > least + WORKERS_AHEAD_MAX => idlest,
        _ => own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_stays_where_it_was_started_unless_there_is_much_less_to_do_elsewhere() {
        let threads: Vec<ThreadId> = [(); 3].into_iter().collect::<PerThread<()>>().iter().map(|(thread, ())| thread).collect();
        let choose = |own: usize, workers: [usize; 3]| {
            let chosen = super::choose(threads[own], threads.iter().copied().zip(workers));
            threads.iter().position(|thread| *thread == chosen).unwrap()
        };
        assert_eq!(choose(0, [0, 0, 0]), 0);
        assert_eq!(choose(1, [0, 32, 5]), 1);
        assert_eq!(choose(1, [9, 38, 5]), 2);
        assert_eq!(choose(2, [0, 500, 5]), 2, "others may be busy");
    }

    #[tokio::test]
    async fn workers_count_until_they_leave() {
        let placement = Placement::here();
        let thread = placement.enter();
        assert_eq!(placement.workers.here().load(Ordering::Relaxed), 1);
        placement.leave(thread);
        assert_eq!(placement.workers.here().load(Ordering::Relaxed), 0);
    }
}
