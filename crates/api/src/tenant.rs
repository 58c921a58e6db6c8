//! What a tenant may use, and what it wants checked: asked by every message, so it is kept ready, and renewed when the catalogue changes.
//!
//! Whoever has no limits and wants nothing checked costs one look into memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hookpost_domain::tenant::{EnvironmentSettings, TenantLimits};
use hookpost_domain::{EventTypeName, OrgId, RowId, Timestamp};
use hookpost_engine::schema::{Schemas, Words, misfit_of};
use hookpost_store::{Named, Order, PageRequest, Unavailable};
use serde_json::Value;

use crate::problem::{FieldError, Problem, VALUE_ERROR};
use crate::state::Api;

const TENANTS_REMEMBERED_MAX: usize = 10_000;
const APPLICATIONS_PAGE: usize = 250;
/// Where nothing changes by itself.
const RETRY_AFTER_LATER_S: u64 = 3600;
const US_PER_S: u64 = 1_000_000;
const HOURS_PER_DAY: u64 = 24;

#[derive(Debug)]
pub(crate) struct Tenants(quick_cache::sync::Cache<OrgId, Known>);

/// As it was when the catalogue had this version.
#[derive(Debug, Clone)]
struct Known {
    catalog_version: u64,
    /// `None`: nothing is limited, and nothing checked.
    rules: Option<Arc<Rules>>,
    /// Outlives what is known.
    held: Arc<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// When the next message would be due if all came evenly, in microseconds.
    due_us: AtomicU64,
    /// Who creates an endpoint counts first.
    counting: Arc<tokio::sync::Mutex<()>>,
    schemas: Schemas,
}

#[derive(Debug)]
struct Rules {
    limits: TenantLimits,
    validates_messages: bool,
    held: Arc<Held>,
}

impl Tenants {
    pub(crate) fn new() -> Self {
        Self(quick_cache::sync::Cache::new(TENANTS_REMEMBERED_MAX))
    }
}

pub(crate) async fn settings_of(api: &Api, org: &OrgId) -> Result<Option<EnvironmentSettings>, Unavailable> {
    api.store.find(org, RowId::MIN, Named::Id(RowId::MAX)).await
}

/// Messages that are about to be made, as the rules look at them.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// The largest of them.
    pub(crate) payload: &'a [u8],
    /// Whose schema the payload must fit.
    pub(crate) fits: Option<&'a EventTypeName>,
    /// How many count against the rate. One that is repeated counts again.
    pub(crate) counted: usize,
    /// For how long the payloads are to be kept, if that was asked for.
    pub(crate) asked_hours: Option<u64>,
    /// Until when they are kept, if it is not too long.
    pub(crate) keep_until: Timestamp,
}

/// Holds messages to the rules of the tenant, and says until when their payloads are kept.
pub(crate) async fn admit(api: &Api, org: &OrgId, now: Timestamp, wanted: Wanted<'_>) -> Result<Timestamp, Problem> {
    let Some(rules) = rules_of(api, org).await? else { return Ok(wanted.keep_until) };
    if let Some(event_type) = wanted.fits {
        rules.check_payload(api, org, event_type, wanted.payload).await?;
    }
    rules.check_limits(now, &wanted)?;
    Ok(rules.keep_until(now, wanted.keep_until))
}

/// What holds for a tenant, if anything does.
async fn rules_of(api: &Api, org: &OrgId) -> Result<Option<Arc<Rules>>, Unavailable> {
    // Read before the settings are: a change in between makes the memory stale, not wrong.
    let catalog_version = api.store.version();
    let known = api.tenants.0.get(org);
    if let Some(known) = known.as_ref().filter(|known| known.catalog_version == catalog_version) {
        return Ok(known.rules.clone());
    }
    let held = known.map_or_else(Arc::default, |known| known.held);
    let settings = settings_of(api, org).await?;
    let limits = settings.as_ref().and_then(|settings| settings.limits).unwrap_or(api.settings.limits);
    let validates_messages = settings.is_some_and(|settings| settings.validates_messages);
    let any = validates_messages || !limits.is_nothing();
    let rules = any.then(|| Arc::new(Rules { limits, validates_messages, held: Arc::clone(&held) }));
    api.tenants.0.insert(org.clone(), Known { catalog_version, rules: rules.clone(), held });
    Ok(rules)
}

/// Refuses an endpoint too many, and holds off others of the tenant until this one is made.
pub(crate) async fn admit_endpoint(api: &Api, org: &OrgId) -> Result<Option<Counted>, Problem> {
    let Some(rules) = rules_of(api, org).await? else { return Ok(None) };
    let Some(max) = rules.limits.endpoints else { return Ok(None) };
    let counted = Counted { _turn: Arc::clone(&rules.held.counting).lock_owned().await };
    let mut page = PageRequest::first(APPLICATIONS_PAGE, Order::Ascending);
    let mut endpoints = 0_u64;
    loop {
        let listed = api.store.applications(org, page.clone()).await?;
        for application in &listed.items {
            endpoints += api.store.application_by_id(application.id).await?.map_or(0, |view| view.endpoints.len() as u64);
        }
        if endpoints >= u64::from(max) {
            let detail = format!("Your organization may have {max} endpoints in all its applications together (`endpoints`).");
            return Err(Problem::LimitReached { detail, retry_after_s: RETRY_AFTER_LATER_S });
        }
        match listed.items.last().filter(|_| !listed.done) {
            Some(last) => page.cursor = Some(hookpost_store::Cursor::After(last.id)),
            None => return Ok(Some(counted)),
        }
    }
}

/// As long as it is there no other endpoint of the tenant is counted on this node.
#[derive(Debug)]
pub(crate) struct Counted {
    _turn: tokio::sync::OwnedMutexGuard<()>,
}

impl Rules {
    fn check_limits(&self, now: Timestamp, wanted: &Wanted<'_>) -> Result<(), Problem> {
        let payload_bytes = wanted.payload.len();
        let later = |detail: String| Err(Problem::LimitReached { detail, retry_after_s: RETRY_AFTER_LATER_S });
        if let Some(max) = self.limits.payload_bytes.filter(|max| payload_bytes > *max as usize) {
            return later(format!("Your organization may send payloads of {max} bytes; this one has {payload_bytes} (`payloadBytes`)."));
        }
        if let (Some(days), Some(asked)) = (self.limits.stored_days, wanted.asked_hours)
            && asked > u64::from(days) * HOURS_PER_DAY
        {
            return later(format!("Your organization may keep payloads for {days} days (`storedDays`)."));
        }
        match self.limits.messages_per_s {
            Some(rate) => self.take(now, rate, wanted.counted),
            None => Ok(()),
        }
    }

    /// How long a payload may be kept at most.
    fn keep_until(&self, now: Timestamp, wanted: Timestamp) -> Timestamp {
        let longest = self.limits.stored_days.map(|days| now + std::time::Duration::from_secs(u64::from(days) * HOURS_PER_DAY * 3600));
        longest.map_or(wanted, |longest| wanted.min(longest))
    }

    /// Evenly, with a second's worth at once.
    fn take(&self, now: Timestamp, rate: u32, count: usize) -> Result<(), Problem> {
        if count == 0 {
            return Ok(());
        }
        let detail = format!("Your organization may create {rate} messages a second (`messagesPerSecond`)");
        if count > 1 && count > rate as usize {
            let detail = format!("{detail}; {count} at once are too many.");
            return Err(Problem::LimitReached { detail, retry_after_s: RETRY_AFTER_LATER_S });
        }
        let step = US_PER_S * count as u64 / u64::from(rate.max(1));
        let now = now.unix_ms() * 1000;
        let taken = self.held.due_us.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due| {
            // What is further ahead than it can get by itself is from before the clock stepped back.
            let due = if due > now + 2 * US_PER_S { now } else { due.max(now) };
            (rate > 0 && due + step <= now + US_PER_S).then_some(due + step)
        });
        let Err(due) = taken else { return Ok(()) };
        let wait_us = (due + step).saturating_sub(now + US_PER_S);
        Err(Problem::LimitReached { detail: format!("{detail}."), retry_after_s: wait_us.div_ceil(US_PER_S).max(1) })
    }

    /// Refuses a payload that does not fit the schema of its event type, in its newest version.
    async fn check_payload(&self, api: &Api, org: &OrgId, name: &EventTypeName, payload: &[u8]) -> Result<(), Problem> {
        if !self.validates_messages {
            return Ok(());
        }
        let event_type = api.store.event_type(org, name.as_str()).await?.filter(|event_type| !event_type.archived);
        let Some(validator) = event_type.and_then(|event_type| self.held.schemas.compiled(&event_type)) else { return Ok(()) };
        let wrong = |at: &str, msg: String| {
            let loc = ["body", "payload"].into_iter().chain(at.split('/').filter(|part| !part.is_empty())).map(str::to_owned).collect();
            Err(Problem::Invalid(vec![FieldError { loc, msg, r#type: VALUE_ERROR }]))
        };
        let Ok(document) = serde_json::from_slice::<Value>(payload) else {
            return wrong("", format!("is no JSON document, and `{name}` has a schema"));
        };
        let words = Words { thing: "payload", whole: "the whole payload" };
        let at: Result<(), String> = validator.validate(&document).map_err(|error| error.instance_path.to_string());
        match at {
            Ok(()) => Ok(()),
            Err(at) => wrong(&at, misfit_of(&validator, &document, name, words).unwrap_or_default()),
        }
    }
}
