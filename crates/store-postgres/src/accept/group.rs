//! What is decided in memory about one group: who of equals comes first, and where each target is served.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use hookpost_domain::task::DeliveryStatus;
use hookpost_domain::{ApplicationId, DeliveryKey, EndpointId, Message, MessageId, Timestamp, limits};
use hookpost_store::{AcceptError, Accepted, ApplicationView};

use super::AcceptCommand;
use crate::counts::CountChanges;
use crate::owners::{Scope, needed};
use crate::shared::Shared;

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
}

impl Planned {
    /// Gives their ids to those that are to be written, and keeps the mark of this node before them.
    pub(super) fn choose(shared: &Shared, commands: &mut [AcceptCommand]) -> Self {
        let courses = courses(commands);
        let mut leases = shared.leases.lock();
        let mut first = None;
        for (command, _) in commands.iter_mut().zip(&courses).filter(|(_, course)| **course == Course::Write) {
            let message = Arc::get_mut(&mut command.message).expect("nobody shares a message before it is committed");
            message.id = MessageId::from_row(shared.new_row_id(message.created_at));
            first = first.or(Some(message.id));
        }
        leases.set_in_flight(first);
        drop(leases);
        let mut planned = Self { courses, places: Places::default(), applications: BTreeSet::new(), counts: CountChanges::default() };
        for (command, _) in commands.iter().zip(&planned.courses).filter(|(_, course)| **course == Course::Write) {
            planned.applications.insert(command.message.application);
            for endpoint in &command.message.content.routing.targets {
                planned.places.find(shared, command.view.as_deref(), *endpoint);
            }
        }
        planned
    }

    /// The commands that are written, as far as is known.
    pub(super) fn written<'a>(&self, commands: &'a [AcceptCommand]) -> impl Iterator<Item = &'a AcceptCommand> {
        commands.iter().zip(&self.courses).filter(|(_, course)| **course == Course::Write).map(|(command, _)| command)
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
            if *course == Course::Write && which(&command.message) {
                *course = Course::Answer(Err(error.clone()));
            }
        }
    }

    /// Keys that were taken for messages that are not written after all.
    pub(super) fn freed_keys<'a>(&self, commands: &'a [AcceptCommand]) -> Vec<&'a [u8]> {
        let refused = commands.iter().zip(&self.courses).filter(|(_, course)| matches!(course, Course::Answer(Err(_))));
        refused.filter_map(|(command, _)| command.key.as_ref().map(|key| key.0.as_slice())).collect()
    }

    pub(super) fn may_fit_at_once(&self, commands: &[AcceptCommand]) -> bool {
        self.places.of.values().all(|place| place.here && !place.backlog && !place.gone)
            && self.written(commands).all(|command| {
                let content = &command.message.content;
                command.key.is_none() && content.event_id.is_none() && content.deliver_at.is_none()
            })
    }

    pub(super) fn handed_over(&self, commands: &[AcceptCommand]) -> Vec<DeliveryKey> {
        let messages = self.written(commands).map(|command| &command.message);
        messages
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
        let mut counts = CountChanges::default();
        for message in self.written(commands).map(|command| &command.message) {
            for endpoint in &message.content.routing.targets {
                let status = match self.fate(message, *endpoint) {
                    Fate::Gone => DeliveryStatus::Canceled,
                    _ => DeliveryStatus::Pending,
                };
                counts.add(*endpoint, message.created_at, status, 1);
            }
        }
        self.counts = counts;
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
            match answer {
                // Whoever asked may be gone.
                Some(answer) => drop(command.reply.send(answer)),
                None => commands.push(command),
            }
        }
    }
}

fn outcome(command: &AcceptCommand, course: &Course) -> Option<Result<Accepted, AcceptError>> {
    match course {
        Course::Write => Some(Ok(Accepted { id: command.message.id, created_at: command.message.created_at, repeated: false })),
        Course::Answer(answer) => Some(answer.clone()),
        Course::Next { .. } => None,
    }
}

/// What the outcome of the first of equals says about a later one.
fn decided_by(
    command: &AcceptCommand,
    equal: Equal,
    first: Option<&Result<Accepted, AcceptError>>,
) -> Option<Result<Accepted, AcceptError>> {
    match (equal, first?) {
        (Equal::Key, Ok(first)) if is_within_window(command.message.created_at, first.created_at) => {
            Some(Ok(Accepted { repeated: true, ..*first }))
        }
        // With a key it may repeat another message.
        (Equal::EventId, Ok(Accepted { repeated: false, .. }) | Err(AcceptError::DuplicateEventId)) if command.key.is_none() => {
            Some(Err(AcceptError::DuplicateEventId))
        }
        _ => None,
    }
}

pub(super) fn is_within_window(now: Timestamp, kept_at: Timestamp) -> bool {
    now.since(kept_at) < limits::IDEMPOTENCY_WINDOW
}

fn courses(commands: &[AcceptCommand]) -> Vec<Course> {
    let (mut keys, mut event_ids) = (HashMap::new(), HashMap::new());
    let course = |(index, command): (usize, &AcceptCommand)| {
        let event_id =
            command.message.content.event_id.as_ref().map(|event_id| (command.message.application, event_id.as_str().to_owned()));
        if let Some(&after) = command.key.and_then(|key| keys.get(&key)) {
            return Course::Next { after, equal: Equal::Key };
        }
        if let Some(&after) = event_id.as_ref().and_then(|event_id| event_ids.get(event_id)) {
            return Course::Next { after, equal: Equal::EventId };
        }
        keys.extend(command.key.map(|key| (key, index)));
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
