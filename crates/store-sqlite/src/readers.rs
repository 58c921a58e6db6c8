//! Threads that read, each with a connection of its own, so that no query waits for the writer or blocks the runtime.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use hookpost_store::Unavailable;
use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::error::{StoreError, closed};
use crate::schema;
use crate::shared::Shared;

const READERS: usize = 2;

type Job = Box<dyn FnOnce(Result<&Connection, StoreError>) + Send>;

#[derive(Default)]
struct Jobs {
    waiting: Mutex<(std::collections::VecDeque<Job>, bool)>,
    woken: Condvar,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Jobs(…)")
    }
}

#[derive(Debug)]
pub(crate) struct Readers {
    jobs: Arc<Jobs>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Readers {
    pub(crate) fn start(shared: &Arc<Shared>) -> std::io::Result<Self> {
        let jobs = Arc::new(Jobs::default());
        let threads = (0..READERS)
            .map(|number| {
                let (jobs, shared) = (Arc::clone(&jobs), Arc::clone(shared));
                std::thread::Builder::new().name(format!("store-read-{number}")).spawn(move || read_until_closed(&jobs, &shared))
            })
            .collect::<std::io::Result<_>>()?;
        Ok(Self { jobs, threads: Mutex::new(threads) })
    }

    /// Runs a query on one of the threads.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // Nobody waits any more: a query that was not asked for to the end.
            let _ = reply.send(connection.and_then(query));
        });
        {
            let mut waiting = self.jobs.waiting.lock();
            if waiting.1 {
                return Err(closed());
            }
            waiting.0.push_back(job);
        }
        self.jobs.woken.notify_one();
        match answer.await {
            Ok(answer) => answer.map_err(Unavailable::from),
            Err(_) => Err(Unavailable("a query ended unexpectedly; the log says why".to_owned())),
        }
    }

    pub(crate) fn close(&self) {
        self.jobs.waiting.lock().1 = true;
        self.jobs.woken.notify_all();
        for thread in self.threads.lock().drain(..) {
            let _ = thread.join();
        }
    }
}

fn read_until_closed(jobs: &Jobs, shared: &Shared) {
    let mut connection: Option<Connection> = None;
    loop {
        let job = {
            let mut waiting = jobs.waiting.lock();
            loop {
                if let Some(job) = waiting.0.pop_front() {
                    break job;
                }
                if waiting.1 {
                    return;
                }
                jobs.woken.wait(&mut waiting);
            }
        };
        let opened = match connection.take() {
            Some(connection) => Ok(connection),
            None => schema::open_reader(&shared.file),
        };
        match opened {
            Ok(usable) => {
                let _gate = shared.reader_gate.read();
                // A query that panics takes its connection with it, not the thread; who asked is told by the answer that is dropped.
                if catch_unwind(AssertUnwindSafe(|| job(Ok(&usable)))).is_ok() {
                    connection = Some(usable);
                }
            }
            Err(error) => job(Err(error.into())),
        }
    }
}
