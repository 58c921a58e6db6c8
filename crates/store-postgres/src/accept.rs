//! One group of accepted messages as one transaction, with the receipts of requests at sources.
//!
//! Most groups fit at once: no keys, and nothing that waits before what they are routed to. They are one statement, which looks whether it is so and
//! writes only then. All others go in steps: keys first, then event ids, then what won. Receipts go in steps.
//!
//! While a group is under way this node's mark of implied leases stays before it, and so does that of what it has settled ([`crate::feed`]). If the answer to a commit is lost, the next connection first sees to it
//! that the old one can commit nothing any more, and then gives rows to whatever it had committed.

mod group;
mod keys;
mod receipts;
mod statements;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hookpost_domain::receipt::Verdict;
use hookpost_domain::{DeliveryKey, DeliveryState, Message, Progress, ReceiptId, Timestamp, Trigger};
use hookpost_store::receipt::Arrival;
use hookpost_store::{AcceptError, Accepted, ApplicationView, LeasedDelivery, Received, Unavailable};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::batch::{self, Group};
use crate::error::StoreError;
use crate::owners::{Scope, own};
use crate::shared::Shared;
use crate::write_down;

pub(crate) use keys::{TakenKey, known_once};

use group::{Fate, Places, Planned};
use statements::{Columns, Statements};

/// How long it is believed that another node has a scope.
const ELSEWHERE_FOR: Duration = Duration::from_millis(500);
/// Of its row in the database; a group that takes less counts as this much.
const MESSAGE_BYTES_MIN: usize = 256;

/// One message, or receipt, or both, on its way into a group.
#[derive(Debug)]
pub(crate) struct AcceptCommand {
    /// Its id is given when its group is written. `None`: there is only a receipt.
    pub(crate) message: Option<Arc<Message>>,
    /// As it was when the command came; says which node serves what the message is routed to.
    pub(crate) view: Option<Arc<ApplicationView>>,
    pub(crate) key: Option<TakenKey>,
    pub(crate) reply: Reply,
}

/// Who waits for the answer.
#[derive(Debug)]
pub(crate) enum Reply {
    Accept(oneshot::Sender<Result<Accepted, AcceptError>>),
    Receive(Box<Receiving>, oneshot::Sender<Result<Received, AcceptError>>),
}

/// A receipt on its way.
#[derive(Debug)]
pub(crate) struct Receiving {
    /// Given when its group is written.
    pub(crate) id: ReceiptId,
    pub(crate) now: Timestamp,
    pub(crate) arrival: Arrival,
    /// Of a request that no message is made of.
    pub(crate) settled: Option<Verdict>,
}

impl AcceptCommand {
    pub(crate) fn receiving(&self) -> Option<&Receiving> {
        match &self.reply {
            Reply::Accept(_) => None,
            Reply::Receive(receiving, _) => Some(receiving),
        }
    }

    fn refuse(self, error: AcceptError) {
        // Whoever asked may be gone.
        match self.reply {
            Reply::Accept(reply) => drop(reply.send(Err(error))),
            Reply::Receive(_, reply) => drop(reply.send(Err(error))),
        }
    }
}

/// Until the token is cancelled and what was queued is written.
pub(crate) async fn serve(shared: Arc<Shared>, token: CancellationToken) {
    let accepting = Accepting::new(&shared);
    batch::serve(&shared, accepting, &shared.accepts, token).await;
}

pub(crate) struct Accepting {
    shared: Arc<Shared>,
    statements: Option<Statements>,
    /// The holder, and how often it had to leave a connection with an open end: statements of an older epoch write nothing.
    life: (i64, i32),
    /// Committed, and in nobody's hands: to be backlog before anything else is accepted.
    unwritten: Vec<DeliveryKey>,
    /// Of the group that is being committed.
    doubtful: Vec<DeliveryKey>,
    /// Scopes that another node had when it was last tried.
    elsewhere: HashMap<Scope, Instant>,
    columns: Columns,
}

impl Group for Accepting {
    type Command = AcceptCommand;
    const NAME: &'static str = "accept";

    fn bytes(command: &AcceptCommand) -> usize {
        let payload = command.message.as_ref().and_then(|message| message.content.payload.as_ref()).map_or(0, |payload| payload.len());
        payload + command.receiving().map_or(0, |receiving| receiving.arrival.bytes()) + MESSAGE_BYTES_MIN
    }

    async fn connected(&mut self, client: &Client) -> Result<(), StoreError> {
        self.statements = Some(Statements::prepare(client).await?);
        self.follow_life();
        let is_settled = self.shared.leases.lock().unsettled().is_none();
        if !self.doubtful.is_empty() || !is_settled {
            match self.close_epoch(client).await? {
                Some(epoch) => self.life.1 = epoch,
                // Whoever buried this node gave them rows.
                None => self.doubtful.clear(),
            }
            self.unwritten.append(&mut self.doubtful);
            self.shared.leases.lock().settle();
        }
        self.write_down(client).await
    }

    async fn write(&mut self, client: &Client, commands: &mut Vec<AcceptCommand>) -> Result<(), StoreError> {
        let written = self.rounds(client, commands).await;
        if let Err(error) = &written
            && !error.is_connection_lost()
        {
            // Nothing was committed.
            self.doubtful.clear();
            self.shared.leases.lock().settle();
            self.settled();
        }
        written
    }

    fn refuse(command: AcceptCommand, why: &Unavailable) {
        command.refuse(why.clone().into());
    }
}

impl Accepting {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            statements: None,
            life: (shared.node.holder(), 0),
            unwritten: Vec::new(),
            doubtful: Vec::new(),
            elsewhere: HashMap::new(),
            columns: Columns::default(),
        }
    }

    /// Equal keys and event ids of one group come one after the other: in each round one of them is written.
    async fn rounds(&mut self, client: &Client, commands: &mut Vec<AcceptCommand>) -> Result<(), StoreError> {
        self.write_down(client).await?;
        while !commands.is_empty() {
            self.follow_life();
            let mut planned = self.plan(client, commands).await?;
            self.write_group(client, commands, &mut planned).await?;
            self.committed(client, commands, planned).await;
        }
        Ok(())
    }

    /// What a former life of this node left to do has been done by whoever buried it.
    fn follow_life(&mut self) {
        let holder = self.shared.node.holder();
        if self.life.0 != holder {
            self.life = (holder, 0);
            self.unwritten.clear();
            self.doubtful.clear();
            self.elsewhere.clear();
        }
    }

    /// Ids, and where the targets are served. Nothing is written here but ownership.
    async fn plan(&mut self, client: &Client, commands: &mut [AcceptCommand]) -> Result<Planned, StoreError> {
        let mut planned = Planned::choose(&self.shared, commands);
        self.take_scopes(client, &mut planned.places).await?;
        for message in planned.written(commands) {
            self.shared.partitions.ensure(&self.shared, message.id.row()).await?;
        }
        for receiving in commands.iter().filter_map(AcceptCommand::receiving) {
            self.shared.receipt_partitions.ensure(&self.shared, receiving.id.row()).await?;
        }
        Ok(planned)
    }

    async fn take_scopes(&mut self, client: &Client, places: &mut Places) -> Result<(), StoreError> {
        let now = Instant::now();
        self.elsewhere.retain(|_, since| now.saturating_duration_since(*since) < ELSEWHERE_FOR);
        for scope in places.scopes_wanted() {
            let taken = !self.elsewhere.contains_key(&scope) && own(&self.shared, client, scope).await?;
            if taken {
                places.taken(scope);
            } else {
                self.elsewhere.entry(scope).or_insert(now);
            }
        }
        Ok(())
    }

    async fn write_group(&mut self, client: &Client, commands: &[AcceptCommand], planned: &mut Planned) -> Result<(), StoreError> {
        let statements = self.statements.as_ref().ok_or_else(|| StoreError::Away("there is no connection".to_owned()))?;
        let life = self.life;
        if planned.may_fit_at_once(commands) {
            self.doubtful = planned.handed_over(commands);
            if statements.at_once(client, life, commands, planned, &mut self.columns).await? {
                return Ok(());
            }
            self.doubtful.clear();
        }
        let prepared = statements.prepare_in_steps(client, life, commands, planned).await;
        if let Err(error) = prepared {
            rollback(client).await;
            return Err(error);
        }
        self.doubtful = planned.handed_over(commands);
        statements.finish(client, commands, planned, &mut self.columns).await
    }

    /// Leases and hands over what was committed, and answers. What nobody takes stays as backlog.
    async fn committed(&mut self, client: &Client, commands: &mut Vec<AcceptCommand>, planned: Planned) {
        planned.counts.committed(&self.shared);
        let refused = self.hand_over(commands, &planned);
        self.doubtful.clear();
        self.unwritten.extend(refused.iter().map(|delivery| delivery.key));
        if let Err(error) = self.write_down(client).await {
            tracing::warn!("deliveries that nobody took could not be made backlog yet: {error}");
        }
        if planned.has_rows_for_others(commands) {
            self.shared.hints.others_should_look();
        }
        planned.answer(commands);
    }

    /// In the order of the commits. Returns what the engine did not take.
    fn hand_over(&self, commands: &[AcceptCommand], planned: &Planned) -> Vec<LeasedDelivery> {
        let mut ready = Vec::new();
        let mut leases = self.shared.leases.lock();
        leases.settle();
        for message in planned.written(commands) {
            for endpoint in &message.content.routing.targets {
                if planned.fate(message, *endpoint) != Fate::HandOver {
                    continue;
                }
                let key = DeliveryKey { message: message.id, endpoint: *endpoint };
                ready.push(LeasedDelivery {
                    key,
                    lease: leases.implied(key, message.created_at),
                    application: message.application,
                    message: Arc::clone(message),
                    state: DeliveryState::Pending,
                    progress: Progress::default(),
                    trigger: Trigger::Scheduled,
                });
            }
        }
        if ready.is_empty() {
            leases.set_in_flight(None);
            return ready;
        }
        match self.shared.ready.try_send(ready) {
            Ok(()) => {
                leases.set_in_flight(None);
                Vec::new()
            }
            Err(refused) => {
                // The mark stays before them until they have rows.
                let refused = refused.into_inner();
                for delivery in &refused {
                    leases.end(delivery.key);
                }
                refused
            }
        }
    }

    async fn write_down(&mut self, client: &Client) -> Result<(), StoreError> {
        if !self.unwritten.is_empty() {
            write_down::as_backlog(client, self.life.0, &self.unwritten).await?;
            self.unwritten.clear();
            self.settled();
        }
        Ok(())
    }

    /// Nothing is under way any more.
    fn settled(&self) {
        if self.unwritten.is_empty() && self.doubtful.is_empty() {
            self.shared.leases.lock().set_in_flight(None);
        }
    }

    /// Waits for whatever the old connection has under way, and keeps what it may still begin from being written. `None`: this node was buried.
    async fn close_epoch(&self, client: &Client) -> Result<Option<i32>, StoreError> {
        let closed = async {
            client.batch_execute("BEGIN").await?;
            client.query_opt("SELECT 1 FROM hookpost.node WHERE holder = $1 FOR UPDATE", &[&self.life.0]).await?;
            let epoch = "UPDATE hookpost.node SET accept_epoch = accept_epoch + 1 WHERE holder = $1 RETURNING accept_epoch";
            let epoch = client.query_opt(epoch, &[&self.life.0]).await?;
            client.batch_execute("COMMIT").await?;
            Ok::<_, StoreError>(epoch)
        };
        match closed.await? {
            Some(row) => Ok(Some(row.try_get(0)?)),
            None => Ok(None),
        }
    }
}

pub(crate) async fn rollback(client: &Client) {
    if !client.is_closed() {
        // If it fails the connection is of no use, and the next group finds out.
        let _ = client.batch_execute("ROLLBACK").await;
    }
}
