//! What is decided in memory about one group: who of equals comes first, and where each target is served.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use hookpost_domain::receipt::Verdict;
use hookpost_domain::task::DeliveryStatus;
use hookpost_domain::{ApplicationId, DeliveryKey, EndpointId, Message, MessageId, ReceiptId, Timestamp};
use hookpost_store::{AcceptError, Accepted, ApplicationView, Received};

use super::receipts::verdict_of;
use super::{AcceptCommand, Receiving, Reply};
use crate::counts::CountChanges;
use crate::owners::{Scope, needed};
use crate::shared::Shared;
use crate::usage::UsageChanges;

type FastHash = foldhash::fast::RandomState;

/// What becomes of one target of a message that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// To the engine of this node; no row.
    HandOver,
    /// A row: it waits for its time, behind a backlog, or for the node that serves its endpoint.
    Row { due: Option<Timestamp> },
    /// A row that says so.
    Gone,
}

/// What becomes of a command in this round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Course {
    /// As far as is known it is new.
    Write,
    /// Only its receipt is written.
    Settled,
    /// One before it has the same key or event id: it comes in the next round, if the outcome of that one does not decide it.
    Next {
        after: usize,
        equal: Equal,
    },
    Answer(Result<Accepted, AcceptError>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Equal {
    Key,
    EventId,
}

#[derive(Debug)]
pub(super) struct Planned {
    /// One per command.
    pub(super) courses: Vec<Course>,
    pub(super) places: Places,
    pub(super) applications: BTreeSet<ApplicationId>,
    pub(super) counts: CountChanges,
    pub(super) usage: UsageChanges,
}

impl Planned {
    /// Gives their ids to those that are to be written, and keeps the marks of this node before them.
    pub(super) fn choose(shared: &Shared, commands: &mut [AcceptCommand]) -> Self {
        let courses = courses(commands);
        let mut leases = shared.leases.lock();
        let mut first = None;
        for (command, _) in commands.iter_mut().zip(&courses).filter(|(_, course)| **course == Course::Write) {
            let Some(message) = &mut command.message else { continue };
            let message = Arc::get_mut(message).expect("nobody shares a message before it is committed");
            message.id = MessageId::from_row(shared.new_row_id(message.created_at));
            first = first.or(Some(message.id));
        }
        for command in commands.iter_mut() {
            if let Reply::Receive(receiving, _) = &mut command.reply {
                receiving.id = ReceiptId::from_row(shared.new_row_id(receiving.now));
            }
        }
        leases.begin_group(first);
        drop(leases);
        let mut planned = Self {
            courses,
            places: Places::default(),
            applications: BTreeSet::new(),
            counts: CountChanges::default(),
            usage: UsageChanges::default(),
        };
        for (command, _) in commands.iter().zip(&planned.courses).filter(|(_, course)| **course == Course::Write) {
            let Some(message) = &command.message else { continue };
            planned.applications.insert(message.application);
            for endpoint in &message.content.routing.targets {
                planned.places.find(shared, command.view.as_deref(), *endpoint);
            }
        }
        planned
    }

    /// The messages that are written, as far as is known.
    pub(super) fn written<'a>(&self, commands: &'a [AcceptCommand]) -> impl Iterator<Item = &'a Arc<Message>> {
        commands
            .iter()
            .zip(&self.courses)
            .filter(|(_, course)| **course == Course::Write)
            .filter_map(|(command, _)| command.message.as_ref())
    }

    /// The receipts that are written, each with its verdict.
    pub(super) fn received<'a>(&self, commands: &'a [AcceptCommand]) -> impl Iterator<Item = (&'a Receiving, &'a AcceptCommand, Verdict)> {
        commands.iter().zip(&self.courses).filter_map(|(command, course)| {
            let receiving = command.receiving()?;
            let verdict = match outcome(command, course)? {
                Ok(Some(accepted)) => verdict_of(accepted),
                Ok(None) => receiving.settled.clone()?,
                Err(_) => return None,
            };
            Some((receiving, command, verdict))
        })
    }

    /// Answers what repeats another of this group, as far as it has a receipt, which is written with that one.
    pub(super) fn settle_repeated(&mut self, commands: &[AcceptCommand]) {
        for index in 0..commands.len() {
            let (Course::Next { after, equal: Equal::Key }, Some(_)) = (&self.courses[index], commands[index].receiving()) else {
                continue;
            };
            let first = outcome(&commands[*after], &self.courses[*after]);
            let (Some(Ok(Some(first))), Some(key)) = (first, &commands[*after].key) else { continue };
            let made = key.made(first.id, first.created_at);
            let is_repeated = |message: &Arc<Message>| commands[index].key.is_some_and(|own| own.is_answered_by(made, message.created_at));
            if commands[index].message.as_ref().is_some_and(is_repeated) {
                self.courses[index] = Course::Answer(Ok(Accepted { repeated: true, ..first }));
            }
        }
    }

    pub(super) fn fate(&self, message: &Message, endpoint: EndpointId) -> Fate {
        let place = self.places.of.get(&endpoint).copied().unwrap_or_default();
        match message.content.deliver_at {
            _ if place.gone => Fate::Gone,
            Some(at) if at > message.created_at => Fate::Row { due: Some(at) },
            _ if place.here && !place.backlog => Fate::HandOver,
            _ => Fate::Row { due: None },
        }
    }

    /// Those of the messages that were to be written.
    pub(super) fn refuse(&mut self, commands: &[AcceptCommand], error: &AcceptError, which: impl Fn(&Message) -> bool) {
        for (command, course) in commands.iter().zip(&mut self.courses) {
            if *course == Course::Write && command.message.as_ref().is_some_and(|message| which(message)) {
                *course = Course::Answer(Err(error.clone()));
            }
        }
    }

    pub(super) fn may_fit_at_once(&self, commands: &[AcceptCommand]) -> bool {
        self.places.of.values().all(|place| place.here && !place.backlog && !place.gone)
            && commands.iter().all(|command| command.receiving().is_none() && command.key.is_none())
            && self.written(commands).all(|message| message.content.event_id.is_none() && message.content.deliver_at.is_none())
    }

    pub(super) fn handed_over(&self, commands: &[AcceptCommand]) -> Vec<DeliveryKey> {
        self.written(commands)
            .flat_map(|message| message.content.routing.targets.iter().map(move |endpoint| (message, *endpoint)))
            .filter(|(message, endpoint)| self.fate(message, *endpoint) == Fate::HandOver)
            .map(|(message, endpoint)| DeliveryKey { message: message.id, endpoint })
            .collect()
    }

    pub(super) fn has_rows_for_others(&self, commands: &[AcceptCommand]) -> bool {
        self.places.of.values().any(|place| !place.here && !place.gone) && self.written(commands).next().is_some()
    }

    /// To be called when it is known what is written.
    pub(super) fn count(&mut self, commands: &[AcceptCommand]) {
        let (mut counts, mut usage) = (CountChanges::default(), UsageChanges::default());
        for message in self.written(commands) {
            usage.add_message(message);
            for endpoint in &message.content.routing.targets {
                let status = match self.fate(message, *endpoint) {
                    Fate::Gone => DeliveryStatus::Canceled,
                    _ => DeliveryStatus::Pending,
                };
                counts.add(*endpoint, message.created_at, status, 1);
            }
        }
        for (receiving, _, verdict) in self.received(commands) {
            counts.add_receipt(receiving.arrival.source, receiving.arrival.received_at, verdict.kind());
        }
        (self.counts, self.usage) = (counts, usage);
    }

    /// Answers, and leaves those for the next round.
    pub(super) fn answer(self, commands: &mut Vec<AcceptCommand>) {
        let outcomes: Vec<_> = commands.iter().zip(&self.courses).map(|(command, course)| outcome(command, course)).collect();
        let decided = std::mem::take(commands).into_iter().zip(self.courses);
        for ((command, course), outcome) in decided.zip(&outcomes) {
            let answer = match course {
                Course::Next { after, equal } => decided_by(&command, equal, outcomes[after].as_ref()),
                _ => outcome.clone(),
            };
            let Some(answer) = answer else {
                commands.push(command);
                continue;
            };
            // Whoever asked may be gone.
            match command.reply {
                Reply::Accept(reply) => drop(answer.transpose().map(|answer| reply.send(answer))),
                Reply::Receive(receiving, reply) => {
                    let received = |message| Received { receipt: receiving.id, message };
                    drop(reply.send(answer.map(received)));
                }
            }
        }
    }
}

/// The message that it made or repeats, if that is decided; none of a request that only left a receipt.
fn outcome(command: &AcceptCommand, course: &Course) -> Option<Result<Option<Accepted>, AcceptError>> {
    match course {
        Course::Write => {
            let message = command.message.as_ref()?;
            Some(Ok(Some(Accepted { id: message.id, created_at: message.created_at, repeated: false })))
        }
        Course::Settled => Some(Ok(None)),
        Course::Answer(answer) => Some(answer.clone().map(Some)),
        Course::Next { .. } => None,
    }
}

/// What the outcome of the first of equals says about a later one.
fn decided_by(
    command: &AcceptCommand,
    equal: Equal,
    first: Option<&Result<Option<Accepted>, AcceptError>>,
) -> Option<Result<Option<Accepted>, AcceptError>> {
    match (equal, first?) {
        // What has a receipt was answered with it, or comes in the next round.
        (Equal::Key, Ok(Some(first))) if command.receiving().is_none() => {
            let (key, message) = (command.key?, command.message.as_ref()?);
            let is_repeated = key.is_answered_by(key.made(first.id, first.created_at), message.created_at);
            is_repeated.then_some(Ok(Some(Accepted { repeated: true, ..*first })))
        }
        // With a key it may repeat another message.
        (Equal::EventId, Ok(Some(Accepted { repeated: false, .. })) | Err(AcceptError::DuplicateEventId)) if command.key.is_none() => {
            Some(Err(AcceptError::DuplicateEventId))
        }
        _ => None,
    }
}

fn courses(commands: &[AcceptCommand]) -> Vec<Course> {
    let (mut keys, mut event_ids) = (HashMap::new(), HashMap::new());
    let course = |(index, command): (usize, &AcceptCommand)| {
        let Some(message) = &command.message else { return Course::Settled };
        let event_id = message.content.event_id.as_ref().map(|event_id| (message.application, event_id.as_str().to_owned()));
        let key = command.key.map(|key| (key.class(), *key.bytes()));
        if let Some(&after) = key.and_then(|key| keys.get(&key)) {
            return Course::Next { after, equal: Equal::Key };
        }
        if let Some(&after) = event_id.as_ref().and_then(|event_id| event_ids.get(event_id)) {
            return Course::Next { after, equal: Equal::EventId };
        }
        keys.extend(key.map(|key| (key, index)));
        event_ids.extend(event_id.map(|event_id| (event_id, index)));
        Course::Write
    };
    commands.iter().enumerate().map(course).collect()
}

/// Where the endpoint of a target is served.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// Any node may serve it, or this one does.
    pub(super) here: bool,
    /// Others wait before.
    pub(super) backlog: bool,
    pub(super) gone: bool,
}

/// Of all targets of a group.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) of: HashMap<EndpointId, Place, FastHash>,
    /// Scopes that this node would have to take.
    wanted: BTreeMap<Scope, Vec<EndpointId>>,
}

impl Places {
    fn find(&mut self, shared: &Shared, view: Option<&ApplicationView>, endpoint: EndpointId) {
        if self.of.contains_key(&endpoint) {
            return;
        }
        // One that the view does not have may be gone, or new: it gets a row, and whoever knows it finds that.
        let known = view.filter(|view| view.endpoint(endpoint).is_some());
        let scope = known.map(|view| needed(shared, view, endpoint));
        let here = scope.is_some_and(|scope| scope.is_none_or(|scope| shared.owned.lock().has(scope)));
        if let (Some(Some(scope)), false) = (scope, here) {
            self.wanted.entry(scope).or_default().push(endpoint);
        }
        self.of.insert(endpoint, Place { here, ..Place::default() });
    }

    pub(super) fn scopes_wanted(&self) -> Vec<Scope> {
        self.wanted.keys().copied().collect()
    }

    pub(super) fn taken(&mut self, scope: Scope) {
        for endpoint in self.wanted.remove(&scope).unwrap_or_default() {
            self.change(endpoint, |place| place.here = true);
        }
    }

    pub(super) fn change(&mut self, endpoint: EndpointId, change: impl FnOnce(&mut Place)) {
        change(self.of.entry(endpoint).or_default());
    }
}
