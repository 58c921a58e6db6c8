//! The threads that serve the network. Each runs what was given to it and nobody takes it away: a connection, the messages that come in on it, the
//! attempts to deliver them and the connections for these stay on one thread, so that what they touch stays in the cache of one processor.
//!
//! Like the handle of a runtime, the threads are found by where one is called ([`Threads::current`]); where only one runtime is, it is the one
//! thread. What is kept for each of them is [`PerThread`].

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;

use tokio::runtime::{Handle, Runtime};
use tokio::sync::oneshot;

/// One of the threads, by its place among them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct ThreadId(usize);

impl ThreadId {
    /// Of the caller; the first, where it is none of them.
    pub fn current() -> Self {
        PLACE.with_borrow(|place| place.as_ref().map_or(Self::default(), |place| place.id))
    }
}

/// The runtimes of the threads, in their order.
#[derive(Debug, Clone)]
pub struct Threads(Arc<[Handle]>);

#[derive(Debug)]
struct Place {
    id: ThreadId,
    threads: Threads,
}

thread_local! {
    static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) };
}

impl Threads {
    /// Those that the caller runs on. In a runtime.
    pub fn current() -> Self {
        let here = PLACE.with_borrow(|place| place.as_ref().map(|place| place.threads.clone()));
        here.unwrap_or_else(|| Self(Arc::new([Handle::current()])))
    }

    pub fn iter(&self) -> impl Iterator<Item = (ThreadId, &Handle)> {
        self.0.iter().enumerate().map(|(index, handle)| (ThreadId(index), handle))
    }

    pub fn handle(&self, id: ThreadId) -> &Handle {
        &self.0[id.0]
    }

    /// The one that is next in turn.
    pub fn after(&self, id: ThreadId) -> ThreadId {
        ThreadId((id.0 + 1) % self.0.len())
    }
}

/// One value for each thread.
#[derive(Debug)]
pub struct PerThread<T>(Box<[T]>);

impl<T> PerThread<T> {
    /// For [`Threads::current`].
    pub fn new(mut make: impl FnMut() -> T) -> Self {
        Self(Threads::current().iter().map(|_| make()).collect())
    }

    /// As many as here, in the same order.
    pub fn map<U>(&self, make: impl FnMut(&T) -> U) -> PerThread<U> {
        PerThread(self.0.iter().map(make).collect())
    }

    /// Of the caller.
    pub fn here(&self) -> &T {
        self.get(ThreadId::current())
    }

    pub fn get(&self, id: ThreadId) -> &T {
        &self.0[id.0]
    }

    pub fn get_mut(&mut self, id: ThreadId) -> &mut T {
        &mut self.0[id.0]
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (ThreadId, &T)> + Clone {
        self.0.iter().enumerate().map(|(index, value)| (ThreadId(index), value))
    }
}

/// For the one thread of a runtime that has no others.
impl<T> From<T> for PerThread<T> {
    fn from(value: T) -> Self {
        Self(Box::new([value]))
    }
}

impl<T> IntoIterator for PerThread<T> {
    type Item = (ThreadId, T);
    type IntoIter = std::iter::Map<std::iter::Enumerate<std::vec::IntoIter<T>>, fn((usize, T)) -> (ThreadId, T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_vec().into_iter().enumerate().map(|(index, value)| (ThreadId(index), value))
    }
}

impl<T> FromIterator<T> for PerThread<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// The running threads; the first of them is the one that calls [`Self::run`]. Dropping it ends them, and whatever still runs on them.
#[derive(Debug)]
pub struct RunningThreads {
    first: Option<Runtime>,
    others: Vec<Other>,
    threads: Threads,
}

#[derive(Debug)]
struct Other {
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl RunningThreads {
    /// `runtime` makes one for each: of the kind that runs on the thread that drives it, and on no other.
    pub fn start(count: usize, name: &str, runtime: impl Fn() -> io::Result<Runtime>) -> io::Result<Self> {
        let first = runtime()?;
        let mut handles = vec![first.handle().clone()];
        let mut starting = Vec::new();
        for _ in 1..count {
            let runtime = runtime()?;
            handles.push(runtime.handle().clone());
            starting.push(runtime);
        }
        let threads = Threads(handles.into());
        let others = starting.into_iter().enumerate().map(|(index, runtime)| Other::start(ThreadId(index + 1), &threads, name, runtime));
        Ok(Self { first: Some(first), others: others.collect::<io::Result<_>>()?, threads: threads.clone() })
    }

    /// Runs a future on the first of them.
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        PLACE.set(Some(Place { id: ThreadId::default(), threads: self.threads.clone() }));
        let output = self.first.as_ref().expect("it is taken when this is dropped").block_on(future);
        PLACE.set(None);
        output
    }
}

impl Drop for RunningThreads {
    fn drop(&mut self) {
        for other in self.others.drain(..) {
            // It has ended already if nobody hears it.
            let _ = other.end.send(());
            if other.thread.join().is_err() {
                tracing::error!("a thread that serves the network ended by a panic: this is a bug");
            }
        }
        if let Some(first) = self.first.take() {
            first.shutdown_background();
        }
    }
}

impl Other {
    fn start(id: ThreadId, threads: &Threads, name: &str, runtime: Runtime) -> io::Result<Self> {
        let (end, ended) = oneshot::channel();
        let (started, starts) = sync_channel(1);
        let threads = threads.clone();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            PLACE.set(Some(Place { id, threads }));
            // Whoever starts it waits for this.
            let _ = started.send(());
            // A sender that is gone ends it, too.
            let _ = runtime.block_on(ended);
            runtime.shutdown_background();
        })?;
        starts.recv().map_err(io::Error::other)?;
        Ok(Self { end, thread })
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;

    use super::*;

    fn start(count: usize) -> RunningThreads {
        RunningThreads::start(count, "test-io", || Builder::new_current_thread().enable_all().build()).unwrap()
    }

    async fn asked_on(handle: &Handle) -> (ThreadId, std::thread::ThreadId) {
        handle.spawn(async { (ThreadId::current(), std::thread::current().id()) }).await.unwrap()
    }

    #[test]
    fn each_runs_what_is_given_to_it() {
        start(3).run(async {
            let threads = Threads::current();
            let mut seen = Vec::new();
            for (id, handle) in threads.iter() {
                let (place, thread) = asked_on(handle).await;
                assert_eq!(place, id);
                assert_eq!(asked_on(threads.handle(id)).await, (place, thread), "it stays there");
                seen.push(thread);
            }
            assert_eq!(seen[0], std::thread::current().id(), "the first is the one that runs them");
            assert!(seen[0] != seen[1] && seen[1] != seen[2] && seen[2] != seen[0]);
        });
    }

    #[test]
    fn each_has_its_own_and_all_know_all() {
        start(2).run(async {
            let mut number = 0;
            let numbers = Arc::new(PerThread::new(|| {
                number += 1;
                number
            }));
            assert_eq!((numbers.len(), *numbers.here()), (2, 1));
            let (_, second) = Threads::current().iter().last().map(|(id, handle)| (id, handle.clone())).unwrap();
            let there = second.spawn(async move { (*numbers.here(), Threads::current().iter().count()) });
            assert_eq!(there.await.unwrap(), (2, 2));
        });
    }

    #[test]
    fn they_take_turns() {
        start(2).run(async {
            let (threads, first) = (Threads::current(), ThreadId::current());
            assert_ne!(threads.after(first), first);
            assert_eq!(threads.after(threads.after(first)), first);
        });
    }

    #[test]
    fn they_end_with_what_runs_on_them() {
        struct Tell(Option<oneshot::Sender<()>>);
        impl Drop for Tell {
            fn drop(&mut self) {
                let _ = self.0.take().unwrap().send(());
            }
        }
        let (ended, mut has_ended) = oneshot::channel();
        let threads = start(2);
        threads.run(async move {
            let tell = Tell(Some(ended));
            let (_, second) = Threads::current().iter().last().map(|(id, handle)| (id, handle.clone())).unwrap();
            second.spawn(async move {
                std::future::pending::<()>().await;
                drop(tell);
            });
        });
        assert!(has_ended.try_recv().is_err());
        drop(threads);
        assert_eq!(has_ended.try_recv(), Ok(()));
    }

    #[tokio::test]
    async fn a_runtime_without_others_is_the_one_thread() {
        let threads = Threads::current();
        assert_eq!(threads.iter().count(), 1);
        assert_eq!(asked_on(threads.handle(ThreadId::current())).await.1, std::thread::current().id());
        assert_eq!(*PerThread::from("it").here(), "it");
    }
}
