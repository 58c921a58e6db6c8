//! How much was sent: totals and rows of buckets, from what is counted as it happens. What needs a look at everything is a background task.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use hookpost_domain::id::ApplicationKind;
use hookpost_domain::task::{BackgroundTask, TaskProgress, TaskStatus, TaskWork};
use hookpost_domain::{Application, Endpoint, EventTypeName, OrgId, Timestamp, limits};
use hookpost_store::usage::{FINE_FOR_S, FINE_S, Usage};
use hookpost_store::{ApplicationView, Cursor, Order, PageRequest, Reference};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auth::{Caller, Right};
use crate::extract::{Accepted, Body, Json, Path, Query};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1::application::ApplicationPath;
use crate::v1::endpoint::replay::TaskStarted;
use crate::v1::{self, Time};

const BUCKETS_MAX: u64 = 2000;
const APPLICATIONS_NAMED_MAX: usize = 10_000;

/// The task that was started.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AggregateEventTypesOut {
    #[serde(flatten)]
    task: TaskStarted,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AppUsageStatsIn {
    #[schemars(extend("format" = "date-time"))]
    since: String,
    #[schemars(extend("format" = "date-time"))]
    until: String,
    /// The ids or uids of the applications to count. Left out: all.
    app_ids: Option<Vec<String>>,
}

/// The task that was started.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AppUsageStatsOut {
    /// Of the applications that were named, those that do not exist.
    unresolved_app_ids: Vec<String>,
    #[serde(flatten)]
    task: TaskStarted,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct EndpointCountQuery {
    /// Do not count endpoints at `play.svix.com`. Default: true.
    exclude_svix_play: Option<bool>,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct EndpointCountOut {
    active: u64,
    disabled: u64,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct CountActiveQuery {
    /// Do not look at endpoints at `play.svix.com`. Default: true.
    exclude_svix_play: Option<bool>,
    /// Do not look at disabled endpoints. Default: true.
    exclude_disabled: Option<bool>,
}

/// How many applications have an endpoint.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ActiveAppCount {
    count: u64,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct AttemptStatsQuery {
    /// Rounded down to five minutes (to the hour, where it is more than three days ago).
    #[schemars(extend("format" = "date-time"))]
    since: String,
    #[schemars(extend("format" = "date-time"))]
    until: String,
    /// Only messages of these event types.
    #[serde(default)]
    event_types: Vec<String>,
}

/// (The names are as published.)
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AppAttemptStatsOut {
    by_event_type: BTreeMap<String, AppAttemptEventTypeStats>,
    total_success: u64,
    total_failure: u64,
    total_canceled: u64,
    since: Time,
    until: Time,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct AppAttemptEventTypeStats {
    success: u64,
    failure: u64,
    canceled: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub(crate) enum StatisticsPeriod {
    OneDay,
    OneHour,
    /// Of the last three days.
    FiveMinutes,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BucketsQuery {
    /// Rounded down to the period. Left out: 28 days, two days or six hours before the end.
    #[schemars(extend("format" = "date-time"))]
    start_date: Option<String>,
    /// Left out: now.
    #[schemars(extend("format" = "date-time"))]
    end_date: Option<String>,
    /// How much time one number is about; a day if left out.
    period: Option<StatisticsPeriod>,
    /// Only messages of these event types.
    #[serde(default, rename = "event_types")]
    event_types: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttemptStatisticsResponse {
    /// The beginning of the first bucket.
    start_date: Time,
    end_date: Time,
    period: StatisticsPeriod,
    data: AttemptStatisticsData,
}

/// One number for each bucket, also where nothing happened.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttemptStatisticsData {
    success_count: Vec<u64>,
    failure_count: Vec<u64>,
    canceled_count: Vec<u64>,
}

impl StatisticsPeriod {
    fn seconds(self) -> u64 {
        match self {
            Self::OneDay => 24 * 3600,
            Self::OneHour => 3600,
            Self::FiveMinutes => FINE_S,
        }
    }

    fn shown_by_default(self) -> Duration {
        Duration::from_secs(match self {
            Self::OneDay => 28 * 24 * 3600,
            Self::OneHour => 2 * 24 * 3600,
            Self::FiveMinutes => 6 * 3600,
        })
    }
}

pub(crate) async fn event_types(State(api): State<Api>, caller: Caller) -> Result<Accepted<AggregateEventTypesOut>, Problem> {
    let org = caller.org(Right::Read)?;
    let task = start(&api, org, TaskWork::EventTypeUsage).await?;
    Ok(Accepted(AggregateEventTypesOut { task }))
}

pub(crate) async fn applications(
    State(api): State<Api>,
    caller: Caller,
    Body(input): Body<AppUsageStatsIn>,
) -> Result<Accepted<AppUsageStatsOut>, Problem> {
    let mut wrong = Wrong::in_body();
    let since = wrong.check("since", v1::time(&input.since));
    let until = wrong.check("until", v1::time(&input.until));
    if since.zip(until).is_some_and(|(since, until)| since > until) {
        wrong.add("since", "must not be after `until`");
    }
    if input.app_ids.as_ref().is_some_and(|named| named.len() > APPLICATIONS_NAMED_MAX) {
        wrong.add("appIds", format!("must have at most {APPLICATIONS_NAMED_MAX} items"));
    }
    let (Some(since), Some(until)) = (since, until) else { return Err(wrong.problem()) };
    wrong.nothing()?;
    let org = caller.org(Right::Read)?;
    let mut unresolved = Vec::new();
    let named = match input.app_ids.filter(|named| !named.is_empty()) {
        None => None,
        Some(named) => {
            let mut found = Vec::with_capacity(named.len());
            for reference in named {
                match api.store.application(org, Reference::parse(api.store.public_ids(), &reference)).await? {
                    Some(view) if found.contains(&view.application.id) => {}
                    Some(view) => found.push(view.application.id),
                    None => unresolved.push(reference),
                }
            }
            Some(found)
        }
    };
    let task = start(&api, org, TaskWork::ApplicationUsage { applications: named, since, until }).await?;
    Ok(Accepted(AppUsageStatsOut { unresolved_app_ids: unresolved, task }))
}

/// Starts work on the tenant as a whole.
pub(crate) async fn start(api: &Api, org: &OrgId, work: TaskWork) -> Result<TaskStarted, Problem> {
    let now = api.now();
    let task = BackgroundTask {
        id: api.new_id(now),
        org: org.clone(),
        application: None,
        work,
        status: TaskStatus::Running,
        result: None,
        progress: TaskProgress::default(),
        created_at: now,
        updated_at: now,
    };
    TaskStarted::start(api, task).await
}

pub(crate) async fn endpoint_count(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<EndpointCountQuery>,
) -> Result<Json<EndpointCountOut>, Problem> {
    let org = caller.org(Right::Read)?;
    let without_play = query.exclude_svix_play.unwrap_or(true);
    let mut count = EndpointCountOut::default();
    each_application(&api, org, |view| {
        for endpoint in view.endpoints.iter().filter(|endpoint| !(without_play && is_play(endpoint))) {
            *(if endpoint.disabled.is_disabled() { &mut count.disabled } else { &mut count.active }) += 1;
        }
    })
    .await?;
    Ok(Json(count))
}

pub(crate) async fn count_active(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<CountActiveQuery>,
) -> Result<Json<ActiveAppCount>, Problem> {
    let org = caller.org(Right::Read)?;
    let (without_play, without_disabled) = (query.exclude_svix_play.unwrap_or(true), query.exclude_disabled.unwrap_or(true));
    let mut count = 0;
    each_application(&api, org, |view| {
        let counts = |endpoint: &Endpoint| !(without_play && is_play(endpoint) || without_disabled && endpoint.disabled.is_disabled());
        count += u64::from(view.endpoints.iter().any(|endpoint| counts(endpoint)));
    })
    .await?;
    Ok(Json(ActiveAppCount { count }))
}

/// An endpoint at Svix's tool for looking at webhooks: somebody tried something.
pub(crate) fn is_play(endpoint: &Endpoint) -> bool {
    url::Url::parse(&endpoint.url).is_ok_and(|url| url.host_str() == Some("play.svix.com"))
}

async fn each_application(api: &Api, org: &OrgId, mut look: impl FnMut(&ApplicationView) + Send) -> Result<(), Problem> {
    let mut page: PageRequest<hookpost_domain::id::Id<ApplicationKind>> = PageRequest::first(limits::PAGE_ITEMS_MAX, Order::Ascending);
    loop {
        let listed = api.store.applications(org, page.clone()).await?;
        for Application { id, .. } in &listed.items {
            if let Some(view) = api.store.application_by_id(*id).await? {
                look(&view);
            }
        }
        match listed.items.last() {
            Some(last) if !listed.done => page.cursor = Some(Cursor::After(last.id)),
            _ => return Ok(()),
        }
    }
}

/// Totals of an application, by event type.
pub(crate) async fn attempts(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ApplicationPath>,
    Query(query): Query<AttemptStatsQuery>,
) -> Result<Json<AppAttemptStatsOut>, Problem> {
    let mut wrong = Wrong::in_query();
    let since = wrong.check("since", v1::time(&query.since));
    let until = wrong.check("until", v1::time(&query.until));
    let wanted = wrong.each("event_types", &query.event_types, |text| EventTypeName::parse(text));
    if since.zip(until).is_some_and(|(since, until)| since > until) {
        wrong.add("since", "must not be after `until`");
    }
    let (Some(since), Some(until)) = (since, until) else { return Err(wrong.problem()) };
    wrong.nothing()?;
    let view = caller.application(&api, &path.app_id, Right::Read).await?;
    let is_fine = api.now().since(since) < Duration::from_secs(FINE_FOR_S);
    let begin = round_down(since, if is_fine { FINE_S } else { StatisticsPeriod::OneHour.seconds() });
    let usage = api.store.usage(view.application.id, begin, until).await?;
    let mut out = AppAttemptStatsOut {
        by_event_type: BTreeMap::new(),
        total_success: 0,
        total_failure: 0,
        total_canceled: 0,
        since: Time(since),
        until: Time(until),
    };
    for Usage { event_type, counts, .. } in usage.into_iter().filter(|usage| is_wanted(&wanted, usage)) {
        let of_type = out.by_event_type.entry(event_type.to_string()).or_default();
        of_type.success += counts.success;
        of_type.failure += counts.failure;
        of_type.canceled += counts.canceled;
        out.total_success += counts.success;
        out.total_failure += counts.failure;
        out.total_canceled += counts.canceled;
    }
    // Messages that were accepted and not attempted are no news here.
    out.by_event_type.retain(|_, counts| counts.success + counts.failure + counts.canceled > 0);
    Ok(Json(out))
}

/// Numbers of an application for a chart.
pub(crate) async fn attempts_by_time(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ApplicationPath>,
    Query(query): Query<BucketsQuery>,
) -> Result<Json<AttemptStatisticsResponse>, Problem> {
    let mut wrong = Wrong::in_query();
    let period = query.period.unwrap_or(StatisticsPeriod::OneDay);
    let seconds = period.seconds();
    let end = wrong.optional("endDate", query.end_date, v1::time).unwrap_or_else(|| api.now());
    let start = wrong.optional("startDate", query.start_date, v1::time).unwrap_or(end - period.shown_by_default());
    let wanted = wrong.each("event_types", &query.event_types, |text| EventTypeName::parse(text));
    let begin = round_down(start, seconds);
    let buckets = end.since(begin).as_secs().div_ceil(seconds);
    if start > end {
        wrong.add("startDate", "must not be after `endDate`");
    } else if buckets > BUCKETS_MAX {
        wrong.add("startDate", format!("makes {buckets} buckets of this period; at most {BUCKETS_MAX} are given"));
    } else if period == StatisticsPeriod::FiveMinutes && api.now().since(begin) >= Duration::from_secs(FINE_FOR_S) {
        wrong.add("startDate", "must not be more than three days ago for `FiveMinutes`; what is older is counted by the hour");
    }
    wrong.nothing()?;
    let view = caller.application(&api, &path.app_id, Right::Read).await?;
    let usage = api.store.usage(view.application.id, begin, end).await?;
    let zeros = vec![0; usize::try_from(buckets).unwrap_or_default()];
    let mut data = AttemptStatisticsData { success_count: zeros.clone(), failure_count: zeros.clone(), canceled_count: zeros };
    for usage in usage.iter().filter(|usage| is_wanted(&wanted, usage)) {
        let bucket = usize::try_from(usage.at.since(begin).as_secs() / seconds).unwrap_or(usize::MAX);
        for (numbers, count) in [
            (&mut data.success_count, usage.counts.success),
            (&mut data.failure_count, usage.counts.failure),
            (&mut data.canceled_count, usage.counts.canceled),
        ] {
            if let Some(number) = numbers.get_mut(bucket) {
                *number += count;
            }
        }
    }
    Ok(Json(AttemptStatisticsResponse { start_date: Time(begin), end_date: Time(end), period, data }))
}

fn is_wanted(wanted: &[EventTypeName], usage: &Usage) -> bool {
    wanted.is_empty() || wanted.contains(&usage.event_type)
}

fn round_down(time: Timestamp, seconds: u64) -> Timestamp {
    let span_ms = seconds * 1000;
    Timestamp::from_unix_ms(time.unix_ms() / span_ms * span_ms)
}
