//! Group commit: whoever comes while a transaction is under way waits for the next, which takes all of them: the slower the database, the larger the
//! groups. Where many come, groups keep a distance, too: each costs the server the same, however small, and other nodes share that server.
//!
//! Each kind of group has a connection of its own. While it is down whoever comes is refused at once, and the producers behind know it.

use std::time::Duration;

use hookpost_store::{CommitFacts, Unavailable};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::connect::Dedicated;
use crate::error::{StoreError, closed};
use crate::shared::Shared;

/// What one group may hold: enough for the cost of a transaction not to matter, and not more than a server likes to be told at once.
const GROUP_COMMANDS_MAX: usize = 1024;
const GROUP_BYTES_MAX: usize = 8 << 20;
/// From the beginning of one group to that of the next, after a group of so many commands. Whoever is alone does not wait.
const APART: Duration = Duration::from_millis(2);
const APART_FROM_COMMANDS: usize = 5;
/// From the first statement to the answer of the commit.
const DEADLINE: Duration = Duration::from_secs(10);
const BACK_OFF_FIRST: Duration = Duration::from_millis(50);
const BACK_OFF_MAX: Duration = Duration::from_secs(1);

/// For the statements of groups: they look rows up by their keys, however few there were when the plan was made.
const SESSION: &str =
    "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off";

/// Commands that wait for the next group.
#[derive(Debug)]
pub(crate) struct Waiting<C> {
    sender: mpsc::Sender<C>,
    receiver: Mutex<Option<mpsc::Receiver<C>>>,
}

impl<C> Waiting<C> {
    pub(crate) fn new(capacity: usize) -> Self {
        let (sender, receiver) = mpsc::channel(capacity);
        Self { sender, receiver: Mutex::new(Some(receiver)) }
    }

    /// Waits for a place. Whoever asks first has his first: tokio's own turns, of which a task with many calls has too few, would turn their order around.
    pub(crate) async fn push(&self, command: C) -> Result<(), Unavailable> {
        tokio::task::unconstrained(self.sender.send(command)).await.map_err(|_| closed())
    }
}

/// How the commands of one kind are written.
pub(crate) trait Group: Send {
    type Command: Send;
    /// For logs.
    const NAME: &'static str;

    /// About what it has the server told.
    fn bytes(command: &Self::Command) -> usize;

    /// Prepares statements on a new connection, and finds out what became of what the last one left open.
    fn connected(&mut self, client: &Client) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Writes and answers. What is left in `commands` after an error is refused with it. May be dropped at any await, and the connection with it.
    fn write(&mut self, client: &Client, commands: &mut Vec<Self::Command>) -> impl Future<Output = Result<(), StoreError>> + Send;

    fn refuse(command: Self::Command, why: &Unavailable);
}

/// Until the token is cancelled and what came before is written.
pub(crate) async fn serve<G: Group>(shared: &Shared, mut group: G, waiting: &Waiting<G::Command>, token: CancellationToken) {
    let Some(receiver) = waiting.receiver.lock().take() else { return };
    let mut service = Service { shared, receiver, token, connection: None, closing: false };
    let mut commands = Vec::new();
    let mut next_at = Instant::now();
    service.connect(&mut group, true).await;
    while service.gather::<G>(&mut commands, next_at).await {
        if service.connection.as_ref().is_none_or(|connection| connection.client.is_closed()) {
            // It may have been closed while nobody needed it: whoever came waits for one try.
            service.connection = None;
            service.connect_once(&mut group).await;
        }
        let operations = commands.len();
        let started = Instant::now();
        next_at = if operations < APART_FROM_COMMANDS { started } else { started + APART };
        let result = match &service.connection {
            Some(connection) => write(&mut group, &connection.client, &mut commands).await,
            None => Err(StoreError::Away("there is no connection".to_owned())),
        };
        match result {
            Ok(()) => {
                if let Some(observer) = &shared.observer {
                    observer.committed(CommitFacts { operations, duration: started.elapsed() });
                }
            }
            Err(error) => service.failed(&mut group, error, &mut commands).await,
        }
    }
}

/// What went wrong in a transaction that was sent as a whole, its answers in the order of its statements. All of them are waited for: the first that failed
/// says why, those behind it say only that the transaction has failed, and which of them is looked at first is chance.
pub(crate) fn first_failure<const N: usize>(answers: [Result<(), StoreError>; N]) -> Result<(), StoreError> {
    answers.into_iter().collect()
}

async fn write<G: Group>(group: &mut G, client: &Client, commands: &mut Vec<G::Command>) -> Result<(), StoreError> {
    let written = tokio::time::timeout(DEADLINE, group.write(client, commands)).await;
    written.unwrap_or_else(|_| Err(StoreError::Away(format!("no answer within {} s", DEADLINE.as_secs()))))
}

struct Service<'a, C> {
    shared: &'a Shared,
    receiver: mpsc::Receiver<C>,
    token: CancellationToken,
    connection: Option<Dedicated>,
    closing: bool,
}

impl<C: Send> Service<'_, C> {
    /// All that waits at `next_at`, or when the first comes after it, within the bounds; `false`: the end.
    async fn gather<G: Group<Command = C>>(&mut self, commands: &mut Vec<C>, next_at: Instant) -> bool {
        let Some(first) = self.next().await else { return false };
        if !self.closing {
            tokio::time::sleep_until(next_at).await;
        }
        let mut bytes = G::bytes(&first);
        commands.push(first);
        while commands.len() < GROUP_COMMANDS_MAX
            && bytes < GROUP_BYTES_MAX
            && let Ok(command) = self.receiver.try_recv()
        {
            bytes += G::bytes(&command);
            commands.push(command);
        }
        true
    }

    async fn next(&mut self) -> Option<C> {
        if !self.closing {
            tokio::select! {
                biased;
                command = self.receiver.recv() => return command,
                () = self.token.cancelled() => {}
            }
            self.closing = true;
            self.receiver.close();
        }
        self.receiver.recv().await
    }

    async fn failed<G: Group<Command = C>>(&mut self, group: &mut G, error: StoreError, commands: &mut Vec<C>) {
        let lost = error.is_connection_lost();
        tracing::warn!(kind = G::NAME, commands = commands.len(), "a group could not be written: {error}");
        let why = Unavailable::from(error);
        commands.drain(..).for_each(|command| G::refuse(command, &why));
        if lost {
            self.connection = None;
            self.connect(group, false).await;
        }
    }

    /// Until there is a connection, or the store closes. Whoever comes meanwhile is refused, unless `first` says that nobody knows yet that it is down.
    async fn connect<G: Group<Command = C>>(&mut self, group: &mut G, first: bool) {
        let mut back_off = BACK_OFF_FIRST;
        if first && self.connect_once(group).await {
            return;
        }
        loop {
            let pause = tokio::time::sleep(back_off);
            let why = Unavailable("the database cannot be reached".to_owned());
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    biased;
                    () = &mut pause => break,
                    () = self.token.cancelled(), if !self.closing => {
                        self.closing = true;
                        self.receiver.close();
                    }
                    command = self.receiver.recv() => match command {
                        Some(command) => G::refuse(command, &why),
                        None => return,
                    },
                }
            }
            if self.connect_refusing(group, &why).await {
                return;
            }
            back_off = (back_off * 2).min(BACK_OFF_MAX);
        }
    }

    /// One try, during which whoever comes is refused.
    async fn connect_refusing<G: Group<Command = C>>(&mut self, group: &mut G, why: &Unavailable) -> bool {
        let opening = open(self.shared, group);
        tokio::pin!(opening);
        loop {
            tokio::select! {
                biased;
                opened = &mut opening => {
                    self.connection = opened;
                    return self.connection.is_some();
                }
                Some(command) = self.receiver.recv() => G::refuse(command, why),
            }
        }
    }

    async fn connect_once<G: Group<Command = C>>(&mut self, group: &mut G) -> bool {
        self.connection = open(self.shared, group).await;
        self.connection.is_some()
    }
}

async fn open<G: Group>(shared: &Shared, group: &mut G) -> Option<Dedicated> {
    let opened = async {
        let connection = shared.connections.dedicated().await?;
        connection.client.batch_execute(SESSION).await?;
        group.connected(&connection.client).await?;
        Ok::<_, StoreError>(connection)
    };
    match tokio::time::timeout(DEADLINE, opened).await {
        Ok(Ok(connection)) => Some(connection),
        Ok(Err(error)) => {
            tracing::warn!(kind = G::NAME, "no connection to write with: {error}");
            None
        }
        Err(_) => None,
    }
}
