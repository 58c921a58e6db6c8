//! What the writer is asked to do, and the queue it is asked through.

use std::sync::Arc;

use hookpost_domain::delivery::Transition;
use hookpost_domain::receipt::Verdict;
use hookpost_domain::{DeliveryKey, Message, Timestamp};
use hookpost_store::queue::{LeaseId, Record, Recorded};
use hookpost_store::receipt::Arrival;
use hookpost_store::{AcceptError, Accepted, IdempotencyKey, LeasedDelivery, Once, Received, Unavailable};
use hookpost_threads::ThreadId;
use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::error::{StoreError, closed, overloaded};
use crate::shared::Shared;
use crate::tail::Journal;

/// Operations in one transaction: what a slow disk lets queue up meanwhile.
pub(crate) const OPERATIONS_PER_COMMIT_MAX: usize = 512;
const QUEUED_ACCEPTS_MAX: usize = 32_768;
const QUEUED_BYTES_MAX: usize = 256 << 20;

#[derive(Debug)]
pub(crate) enum Command {
    Accept(AcceptCommand),
    Receive(Box<ReceiveCommand>),
    Record(RecordCommand),
    Other(OtherCommand),
}

#[derive(Debug)]
pub(crate) struct AcceptCommand {
    /// Its id is given by the writer.
    pub(crate) message: Arc<Message>,
    pub(crate) idempotency_key: Option<IdempotencyKey>,
    pub(crate) thread: ThreadId,
    pub(crate) now: Timestamp,
    pub(crate) reply: Option<oneshot::Sender<Result<Accepted, AcceptError>>>,
    /// Decided while writing, true once committed.
    pub(crate) outcome: Option<Result<Accepted, AcceptError>>,
}

#[derive(Debug)]
pub(crate) struct ReceiveCommand {
    pub(crate) arrival: Arrival,
    pub(crate) wanted: Wanted,
    pub(crate) thread: ThreadId,
    pub(crate) now: Timestamp,
    pub(crate) reply: Option<oneshot::Sender<Result<Received, AcceptError>>>,
    /// Decided while writing, true once committed.
    pub(crate) outcome: Option<Result<Received, AcceptError>>,
}

/// What is to be made of a request.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// As in [`AcceptCommand`].
    Message {
        message: Arc<Message>,
        once: Option<Once>,
    },
    Settled(Verdict),
}

#[derive(Debug)]
pub(crate) struct RecordCommand {
    pub(crate) records: Arc<Vec<Record>>,
    pub(crate) thread: ThreadId,
    pub(crate) reply: Option<oneshot::Sender<Result<Vec<Recorded>, Unavailable>>>,
    pub(crate) now: Timestamp,
    pub(crate) outcome: Result<Vec<Recorded>, Unavailable>,
}

/// A rare operation: it writes under a savepoint of its own, and says afterwards what follows in memory.
pub(crate) struct OtherCommand(pub(crate) Option<Operation>);

impl std::fmt::Debug for OtherCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OtherCommand(…)")
    }
}

/// Given a reason instead of a context where nothing could be written.
pub(crate) type Operation =
    Box<dyn FnOnce(Result<&mut WriteContext<'_>, &Unavailable>) -> Option<(Finish, Result<(), OperationFailed>)> + Send>;

#[derive(Debug)]
pub(crate) enum OperationFailed {
    /// Only this operation: what it wrote is undone.
    Refused,
    /// Nothing of the batch can be written.
    Environment(StoreError),
}

/// Called after the commit, or with what prevented it.
pub(crate) type Finish = Box<dyn FnOnce(&Shared, Result<(), &Unavailable>) + Send>;

/// What an operation may use while it writes.
pub(crate) struct WriteContext<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) journal: &'a mut Journal,
    pub(crate) shared: &'a Shared,
}

/// The commands of one commit that go back to the same thread, with their outcomes, and the deliveries that became ready by them.
#[derive(Debug, Default)]
pub(crate) struct Completed {
    pub(crate) commands: Vec<Command>,
    pub(crate) ready: Vec<LeasedDelivery>,
}

/// The end of one lease, found while writing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndedLease {
    pub(crate) key: DeliveryKey,
    pub(crate) lease: LeaseId,
    pub(crate) transition: Transition,
}

/// Commands on their way to the writer, which takes all of them at once. Its thread is woken only when it sleeps.
#[derive(Debug, Default)]
pub(crate) struct CommandQueue {
    queued: Mutex<Queued>,
    woken: Condvar,
}

#[derive(Debug, Default)]
struct Queued {
    commands: Vec<Command>,
    accepts: usize,
    bytes: usize,
    writer_sleeps: bool,
    closed: bool,
}

impl Command {
    /// Where it goes back to when it is done.
    pub(crate) fn thread(&self) -> ThreadId {
        match self {
            Self::Accept(accept) => accept.thread,
            Self::Receive(receive) => receive.thread,
            Self::Record(record) => record.thread,
            // Answered already.
            Self::Other(_) => ThreadId::default(),
        }
    }

    /// What comes from outside, and how much of it there is.
    fn new_bytes(&self) -> Option<usize> {
        let payload = |message: &Message| message.content.payload.as_ref().map_or(0, |payload| payload.len());
        match self {
            Self::Accept(accept) => Some(payload(&accept.message)),
            Self::Receive(receive) => Some(match &receive.wanted {
                Wanted::Message { message, .. } => receive.arrival.bytes() + payload(message),
                Wanted::Settled(_) => receive.arrival.bytes(),
            }),
            Self::Record(_) | Self::Other(_) => None,
        }
    }
}

impl CommandQueue {
    pub(crate) fn push(&self, command: Command) -> Result<(), Unavailable> {
        let mut queued = self.queued.lock();
        if queued.closed {
            return Err(closed());
        }
        // Only new messages and receipts are turned away: everything else is bounded by what is in flight, and ends work instead of adding to it.
        if let Some(bytes) = command.new_bytes() {
            if queued.accepts >= QUEUED_ACCEPTS_MAX || queued.bytes + bytes > QUEUED_BYTES_MAX {
                return Err(overloaded());
            }
            queued.accepts += 1;
            queued.bytes += bytes;
        }
        queued.commands.push(command);
        if queued.writer_sleeps {
            queued.writer_sleeps = false;
            drop(queued);
            self.woken.notify_one();
        }
        Ok(())
    }

    /// Everything that is queued, in order; waits for something unless `idle_work`. `None`: closed, and nothing is left.
    pub(crate) fn take(&self, into: &mut Vec<Command>, idle_work: bool) -> Option<()> {
        let mut queued = self.queued.lock();
        while queued.commands.is_empty() {
            if queued.closed {
                return None;
            }
            if idle_work {
                return Some(());
            }
            queued.writer_sleeps = true;
            self.woken.wait(&mut queued);
        }
        queued.writer_sleeps = false;
        (queued.accepts, queued.bytes) = (0, 0);
        std::mem::swap(&mut queued.commands, into);
        Some(())
    }

    pub(crate) fn close(&self) {
        self.queued.lock().closed = true;
        self.woken.notify_one();
    }
}

pub(crate) type ChangeInMemory = Box<dyn FnOnce(&Shared) + Send>;

/// What an operation returns where it succeeded.
pub(crate) struct Written<T> {
    pub(crate) value: T,
    /// What changes in memory by it, after the commit and before the answer.
    pub(crate) apply: Option<ChangeInMemory>,
    /// What is taken back in memory if the commit fails after all.
    pub(crate) undo: Option<ChangeInMemory>,
}

impl<T> Written<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value, apply: None, undo: None }
    }

    pub(crate) fn and(value: T, apply: impl FnOnce(&Shared) + Send + 'static) -> Self {
        Self { value, apply: Some(Box::new(apply)), undo: None }
    }
}

/// Why an operation did not succeed: as it says itself, or because a statement failed.
#[derive(Debug)]
pub(crate) enum Failed<E> {
    Refused(E),
    Store(StoreError),
}

impl<E, S: Into<StoreError>> From<S> for Failed<E> {
    fn from(error: S) -> Self {
        Self::Store(error.into())
    }
}

impl Shared {
    /// Runs a rare operation in the writer and waits until it is durable.
    pub(crate) async fn write<T, E>(
        &self,
        operation: impl FnOnce(&mut WriteContext<'_>) -> Result<Written<T>, Failed<E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Unavailable> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let operation: Operation = Box::new(move |context| {
            let context = match context {
                Ok(context) => context,
                Err(why) => {
                    let _ = reply.send(Err(why.clone().into()));
                    return None;
                }
            };
            let (result, apply, undo, outcome) = match operation(context) {
                Ok(written) => (Ok(written.value), written.apply, written.undo, Ok(())),
                Err(Failed::Refused(refusal)) => (Err(refusal), None, None, Err(OperationFailed::Refused)),
                Err(Failed::Store(error)) => {
                    let answer = Err(Unavailable(error.to_string()).into());
                    let failed = if error.is_environment() { OperationFailed::Environment(error) } else { OperationFailed::Refused };
                    (answer, None, None, Err(failed))
                }
            };
            let finish: Finish = Box::new(move |shared, committed| {
                // Who asked may have gone; the change stands all the same.
                let _ = reply.send(match committed {
                    Ok(()) => {
                        if let Some(apply) = apply {
                            apply(shared);
                        }
                        result
                    }
                    Err(why) => {
                        if let Some(undo) = undo {
                            undo(shared);
                        }
                        result.and_then(|_| Err(why.clone().into()))
                    }
                });
            });
            Some((finish, outcome))
        });
        self.queue.push(Command::Other(OtherCommand(Some(operation)))).map_err(E::from)?;
        answer.await.unwrap_or_else(|_| Err(closed().into()))
    }
}
