//! The operations, one file per resource, with the models of a resource beside its handlers.
//!
//! # How to add an operation
//!
//! 1. Write the handler in the file of its resource. It is five moves, and nothing else:
//!
//!    ```text
//!    pub(crate) async fn patch(
//!        State(api): State<Api>,                     // extract: state, caller, path, query; the body comes last
//!        caller: Caller,
//!        Path(path): Path<ApplicationPath>,
//!        Body(input): Body<ApplicationPatch>,
//!    ) -> Result<Json<ApplicationOut>, Problem> {
//!        let change = input.parse()?;                 // parse: every rule that needs no store, all wrong fields at once (`problem::Wrong`)
//!        let view = caller.application(&api, &path.app_id, Right::Manage).await?;
//!        let updated = api.store.update_application(…).await?;   // call: one store or engine operation where possible
//!        Ok(Json(ApplicationOut::new(&api, &updated)))           // map and answer: the status is in the type
//!    }
//!    ```
//!
//!    The caller is asked for the tenant or the application with the [`Right`](crate::auth::Right) that the operation needs: that is the authorisation. Use
//!    `caller.org(Right::…)` where portal sessions have no business, `caller.application(…)` for everything below `/app/{app_id}`.
//! 2. Add one row to the table in `routes.rs`: method, path without `/api/v1`, published operation id, summary, handler. Old spellings go in with `alias`.
//! 3. Look at the description that comes out: `cargo insta review`.
//!
//! # Conventions
//!
//! - Models are called as in the published description (`ApplicationIn`, `ApplicationOut`, …), derive `Deserialize`/`Serialize` and `JsonSchema`, and use
//!   `#[serde(rename_all = "camelCase")]`. Older spellings of a field are fields of their own or `#[serde(alias)]`; the doc comment of a field is its description.
//! - An input has plain types; its `parse` turns them into domain types with [`Wrong`](crate::problem::Wrong), so that a client learns of all wrong
//!   fields at once. `uid::<Kind>` knows the rule for uids. In a PATCH, `Option<Option<T>>` with `present` tells `null` from absence.
//! - An output is made by `…Out::new(&api, &thing)`; ids go through `api.public(id)`, times are [`Time`], retry schedules `RetryScheduleOut`.
//! - Lists: `page::request` (or `request_by_name`), then `Page::new(items.map(|item| (public id, out)), done)`.
//! - Answers: `Json` 200, `Created` 201, `Accepted` 202, `CreatedOr` 201/200, `NoContent` 204. Errors of the store become problems by `?`.
//! - Creating a message is the one hot path: it borrows from its body (`RawBody`, `parse_json`), passes its idempotency key to the store itself
//!   (`idempotency::key_of`), and logs at debug. All other POSTs get idempotency, and a log event, in `front.rs`.

pub(crate) mod api_key;
pub(crate) mod api_token;
pub(crate) mod application;
pub(crate) mod attempt;
pub(crate) mod audit_log;
pub(crate) mod authentication;
pub(crate) mod background_task;
pub(crate) mod destination;
pub(crate) mod endpoint;
pub(crate) mod environment;
pub(crate) mod event_type;
pub(crate) mod feed;
pub(crate) mod health;
pub(crate) mod integration;
pub(crate) mod limits;
pub(crate) mod message;
pub(crate) mod poller;
pub(crate) mod retry;
pub(crate) mod sink;
pub(crate) mod statistics;
pub(crate) mod stream;
pub(crate) mod why;
pub(crate) mod window;

use hookpost_domain::application::{Metadata, check_metadata};
use hookpost_domain::id::Kind;
use hookpost_domain::limits::SHORT_UID_CHARS_MAX;
use hookpost_domain::{Invalid, Timestamp, Uid};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// A uid must not look like one of our ids, or nobody could tell which is meant.
pub(crate) fn uid<K: Kind>(text: impl AsRef<str>) -> Result<Uid, Invalid> {
    let uid = Uid::parse(text.as_ref())?;
    if uid.as_str().starts_with(K::PREFIX) {
        return Err(Invalid::new(format!("must not begin with `{}`, which ids begin with", K::PREFIX)));
    }
    Ok(uid)
}

/// Of sources, streams and sinks: narrower, as published. It may have no dot.
pub(crate) fn short_uid<K: Kind>(text: impl AsRef<str>) -> Result<Uid, Invalid> {
    let uid = uid::<K>(text.as_ref())?;
    if uid.as_str().len() > SHORT_UID_CHARS_MAX {
        return Err(Invalid::new(format!("must be 1 to {} characters long", SHORT_UID_CHARS_MAX)));
    }
    if uid.as_str().contains('.') {
        return Err(Invalid::new("has the character '.'; allowed are letters, digits and `-` `_`"));
    }
    Ok(uid)
}

pub(crate) fn metadata(metadata: Metadata) -> Result<Metadata, Invalid> {
    check_metadata(&metadata)?;
    Ok(metadata)
}

/// Rates are per second, and a rate of nothing would be a stop in disguise.
pub(crate) fn rate(per_second: u16) -> Result<u16, Invalid> {
    if per_second == 0 { Err(Invalid::new("must be at least 1")) } else { Ok(per_second) }
}

/// A point in time as answers write it: RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl JsonSchema for Time {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// Reads a time that a client gave.
pub(crate) fn time(text: impl AsRef<str>) -> Result<Timestamp, Invalid> {
    Timestamp::parse_rfc3339(text.as_ref()).ok_or_else(|| Invalid::new("must be a time such as `2026-01-02T03:04:05Z`"))
}
