//! Background tasks: recovery, replays, expunging, broadcasts, and questions that take their time.
//!
//! A task is a row with a cursor. Work goes page by page, from old to new; after each page the cursor is written, so that a task that is found
//! running at the start goes on where it was. A page that was interrupted is done again, which sends nothing twice that is still waiting. A task
//! that sends stops while its lane has enough to do: live traffic goes first, and what a replay has queued stays small.
//!
//! Where several nodes share a store, one of them works on a task; it makes sure of that before each page.

mod applications;
mod estimate;
mod export;
mod expunge;
mod replay;
mod result;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use hookpost_domain::operational::OperationalEvent;
use hookpost_domain::task::{TaskProgress, TaskStatus, TaskWork};
use hookpost_domain::{ApplicationId, BackgroundTask, DeliveryKey, EndpointId, Invalid, MessageId, TaskId};
use hookpost_store::catalog::TaskFilter;
use hookpost_store::history::ScannedPage;
use hookpost_store::{Cursor, Order, PageRequest, Unavailable, WriteError};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::engine::Engine;
use result::Yield;

/// Tasks that run at the same time; the others wait for their turn.
const TASKS_AT_ONCE_MAX: usize = 4;
const TASKS_LISTED: usize = 50;
const PAGE_ITEMS: usize = 200;
const RETRY: Duration = Duration::from_secs(1);
/// How often a task looks whether its lane has room again, or whether it was canceled meanwhile.
const ROOM_CHECKED_EVERY: Duration = Duration::from_millis(50);
const CANCEL_CHECKED_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether the node that works on a task has left it.
const ELSEWHERE_CHECKED_EVERY: Duration = Duration::from_secs(5);

/// What was found in a page, and how to go on.
#[derive(Debug)]
struct Page {
    looked_at: u64,
    affected: u64,
    /// To be sent again.
    send: Vec<DeliveryKey>,
    after: After,
    found: Yield,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    GoOnFrom(MessageId),
    GoOnPast(ApplicationId),
    NextPass,
    Finished,
}

/// Why a task does not go on.
#[derive(Debug)]
enum Stop {
    Unavailable(Unavailable),
    /// Canceled, or its row is gone.
    Canceled,
    Closing,
    /// Another node works on it.
    Elsewhere,
    /// It can never be done: its endpoint is gone.
    Impossible(&'static str),
}

/// Where the work on a task has come to its end, or goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Here,
    Elsewhere,
}

impl From<Unavailable> for Stop {
    fn from(problem: Unavailable) -> Self {
        Self::Unavailable(problem)
    }
}

impl From<WriteError> for Stop {
    fn from(problem: WriteError) -> Self {
        match problem {
            WriteError::Unavailable(problem) => Self::Unavailable(problem),
            _ => Self::Canceled,
        }
    }
}

impl Engine {
    pub(crate) async fn serve_tasks(self: Arc<Self>) {
        let mut running = JoinSet::new();
        let mut known = HashSet::new();
        let mut elsewhere = Vec::new();
        let mut look_again_at = Instant::now();
        loop {
            let listed = self.tasks_to_run().await;
            if listed.is_err() {
                tokio::select! {
                    () = self.closing.cancelled() => break,
                    () = tokio::time::sleep(RETRY) => continue,
                }
            }
            for task in listed.unwrap_or_default() {
                if running.len() < TASKS_AT_ONCE_MAX && known.insert(task.id) {
                    let engine = Arc::clone(&self);
                    running.spawn(async move { (task.id, engine.run_task(task.id).await) });
                }
            }
            let looked_at = tokio::select! {
                () = self.closing.cancelled() => break,
                () = self.tasks_changed.notified() => true,
                () = tokio::time::sleep_until(look_again_at), if !elsewhere.is_empty() => true,
                Some(ended) = running.join_next() => {
                    match ended {
                        Ok((id, Ended::Here)) => {
                            known.remove(&id);
                        }
                        Ok((id, Ended::Elsewhere)) => {
                            if elsewhere.is_empty() {
                                look_again_at = Instant::now() + ELSEWHERE_CHECKED_EVERY;
                            }
                            elsewhere.push(id);
                        }
                        // It stays known, so that a task that panics is not begun again and again.
                        Err(problem) => tracing::error!(%problem, "a background task ended badly"),
                    }
                    false
                }
            };
            if looked_at {
                known.retain(|id| !elsewhere.contains(id));
                elsewhere.clear();
            }
        }
        while running.join_next().await.is_some() {}
    }

    async fn tasks_to_run(&self) -> Result<Vec<BackgroundTask>, Unavailable> {
        let filter = TaskFilter { status: Some(TaskStatus::Running), kind: None };
        Ok(self.store.tasks(None, filter, PageRequest::first(TASKS_LISTED, Order::Ascending)).await?.items)
    }

    async fn run_task(self: &Arc<Self>, id: TaskId) -> Ended {
        let status = loop {
            match self.work_on(id).await {
                Ok(()) => break TaskStatus::Finished,
                Err(Stop::Closing) => return Ended::Here,
                Err(Stop::Elsewhere) => return Ended::Elsewhere,
                Err(Stop::Canceled) => break TaskStatus::Canceled,
                Err(Stop::Impossible(problem)) => {
                    tracing::warn!(task_id = self.store.public_ids().encode(id), problem, "a background task failed");
                    break TaskStatus::Failed;
                }
                Err(Stop::Unavailable(problem)) => {
                    tracing::warn!(task_id = self.store.public_ids().encode(id), %problem, "a background task has to wait");
                    if self.rest(RETRY).await.is_err() {
                        return Ended::Here;
                    }
                }
            }
        };
        self.finish_task(id, status).await;
        Ended::Here
    }

    /// Whether this node is the one that works on it.
    async fn take_task(&self, id: TaskId) -> Result<(), Stop> {
        if self.store.take_task(id).await? { Ok(()) } else { Err(Stop::Elsewhere) }
    }

    async fn work_on(self: &Arc<Self>, id: TaskId) -> Result<(), Stop> {
        self.take_task(id).await?;
        let mut task = self.running_task(id).await?;
        if task.progress == TaskProgress::default() {
            let estimate = self.estimate(&task).await?;
            task = self.advance_task(id, move |task| task.progress.estimate = estimate).await?;
        }
        loop {
            if let (Some(application), Some(endpoint)) = (task.application, task.work.endpoint()) {
                self.wait_for_room(id, application, endpoint).await?;
            }
            self.take_task(id).await?;
            let started = Instant::now();
            let mut page = self.page(&task).await?;
            let sent = self.send_again(&task, std::mem::take(&mut page.send)).await?;
            task = self
                .advance_task(id, move |task| {
                    page.found.add_to(&mut task.result);
                    let progress = &mut task.progress;
                    progress.looked_at += page.looked_at;
                    progress.affected += page.affected + sent;
                    match page.after {
                        After::GoOnFrom(message) => progress.cursor = Some(message),
                        After::GoOnPast(application) => progress.application = Some(application),
                        After::NextPass => (progress.cursor, progress.passes) = (None, progress.passes.saturating_add(1)),
                        After::Finished => progress.estimate = progress.looked_at,
                    }
                })
                .await?;
            if page.after == After::Finished {
                return Ok(());
            }
            // Half of the time at most.
            self.rest(started.elapsed()).await?;
        }
    }

    async fn page(&self, task: &BackgroundTask) -> Result<Page, Stop> {
        match &task.work {
            TaskWork::Recover { endpoint, since, until } => self.recover_page(*endpoint, *since, *until, task.progress).await,
            TaskWork::ReplayMissing { endpoint, since, until } => {
                let application = task.application.ok_or(Stop::Impossible("it names no application"))?;
                self.missing_page(application, *endpoint, *since, *until, task.progress).await
            }
            TaskWork::BulkReplay { endpoint, since, until, filter } => {
                self.bulk_page(*endpoint, *since, *until, filter, task.progress).await
            }
            TaskWork::ExpungeAllContents { application } => self.expunge_page(*application, task.progress).await,
            TaskWork::ApplicationUsage { applications, since, until } => {
                self.usage_page(task, applications.as_deref(), *since, *until).await
            }
            TaskWork::EventTypeUsage => self.subscriptions_page(task).await,
            TaskWork::Broadcast { message } => self.broadcast_page(task, message).await,
            TaskWork::ExportEventTypes => self.export_page(&task.org).await,
        }
    }

    async fn send_again(self: &Arc<Self>, task: &BackgroundTask, keys: Vec<DeliveryKey>) -> Result<u64, Stop> {
        let (Some(application), Some(endpoint), false) = (task.application, task.work.endpoint(), keys.is_empty()) else { return Ok(0) };
        let sent = self.store.send_again(keys, self.clock.now()).await?;
        self.wake_in_passing(application, endpoint);
        Ok(sent as u64)
    }

    /// Returns when the lane has taken what was sent before, or most of it.
    async fn wait_for_room(&self, id: TaskId, application: ApplicationId, endpoint: EndpointId) -> Result<(), Stop> {
        let mut checked = Instant::now();
        loop {
            let view = self.store.application_by_id(application).await?;
            match view.as_ref().and_then(|view| view.endpoint(endpoint)) {
                None => return Err(Stop::Impossible("the endpoint is gone")),
                Some(endpoint) if endpoint.disabled.is_disabled() => return Err(Stop::Impossible("the endpoint is disabled")),
                Some(_) => {}
            }
            let status = self.lane_status(endpoint);
            if !status.backlog && status.in_memory < PAGE_ITEMS {
                return Ok(());
            }
            self.rest(ROOM_CHECKED_EVERY).await?;
            if checked.elapsed() >= CANCEL_CHECKED_EVERY {
                self.running_task(id).await?;
                checked = Instant::now();
            }
        }
    }

    async fn running_task(&self, id: TaskId) -> Result<BackgroundTask, Stop> {
        self.store.task(id).await?.filter(|task| task.status == TaskStatus::Running).ok_or(Stop::Canceled)
    }

    async fn advance_task(&self, id: TaskId, step: impl FnOnce(&mut BackgroundTask) + Send + 'static) -> Result<BackgroundTask, Stop> {
        let now = self.clock.now();
        let change = Box::new(move |task: &mut BackgroundTask| {
            if task.status != TaskStatus::Running {
                return Err(Invalid::new("the task was canceled"));
            }
            step(task);
            task.updated_at = now;
            Ok(())
        });
        Ok(self.store.update_task(id, change).await?)
    }

    async fn finish_task(&self, id: TaskId, status: TaskStatus) {
        let now = self.clock.now();
        loop {
            let change = Box::new(move |task: &mut BackgroundTask| {
                if task.status == TaskStatus::Running {
                    task.status = status;
                    task.updated_at = now;
                }
                Ok(())
            });
            match self.store.update_task(id, change).await {
                Ok(task) => {
                    let event = OperationalEvent::BackgroundTaskFinished { task: id, kind: task.work.kind(), status: task.status.as_str() };
                    return self.publish(&task.org, event);
                }
                Err(WriteError::Unavailable(_)) => {
                    if self.rest(RETRY).await.is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }

    async fn rest(&self, time: Duration) -> Result<(), Stop> {
        tokio::select! {
            () = self.closing.cancelled() => Err(Stop::Closing),
            () = tokio::time::sleep(time) => Ok(()),
        }
    }
}

/// From old to new, from where the task is.
fn page_request(progress: TaskProgress, since: MessageId) -> PageRequest<MessageId> {
    PageRequest { limit: PAGE_ITEMS, order: Order::Ascending, cursor: Some(Cursor::After(progress.cursor.unwrap_or(since))) }
}

/// Where a list that was scanned so far goes on; `None`: nowhere, or only beyond `until`.
fn next_cursor<T>(page: &ScannedPage<T, MessageId>, id: impl Fn(&T) -> MessageId, until: MessageId) -> Option<MessageId> {
    if page.done {
        return None;
    }
    let last = page.items.last().map(id);
    page.next.max(last).filter(|next| *next < until)
}
