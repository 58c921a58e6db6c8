//! A verified door for incoming webhooks: who may come in by it, what is made of a request, and what it is answered.
//!
//! How a provider signs is not said here: a source names its provider and keeps what that provider's scheme needs
//! as the text of a JSON object, which `hookpost-providers` reads.

mod allowed;
mod back_fill;
mod cron;
mod mistake;
mod poll;
mod secret;

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::access::OrgId;
use crate::application::Metadata;
use crate::id::{ApplicationId, SourceId};
use crate::name::Uid;
use crate::time::Timestamp;

pub use allowed::Allowed;
pub use back_fill::{BackFill, BackFillTarget};
pub use cron::{Cron, CronSchedule, CronStep};
pub use mistake::Mistake;
pub use poll::{BasicAuth, CursorPlace, HeaderAuth, NextPage, Poll, PollAuth, PollCursor, PollMethod};
pub use secret::ApiSecret;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub id: SourceId,
    pub org: OrgId,
    pub uid: Option<Uid>,
    pub name: String,
    pub kind: SourceKind,
    /// Where its messages go.
    pub application: ApplicationId,
    /// The application was made for this source, and goes with it.
    pub owns_application: bool,
    pub tokens: SourceTokens,
    pub rules: SourceRules,
    pub disabled: bool,
    pub metadata: Metadata,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Source {
    /// Nobody calls, or not for everything: we ask, at our own times.
    pub fn is_pulled(&self) -> bool {
        !matches!(self.kind, SourceKind::Webhook { .. }) || self.rules.back_fill.is_some()
    }
}

/// How requests come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceKind {
    /// The provider calls us. `type_name` is the name under which the API knows it.
    Webhook { type_name: String, settings: ProviderSettings },
    /// Nobody calls: a message at every time of a schedule.
    Cron(Cron),
    /// We call, because the provider cannot.
    Poll(Poll),
}

/// Secrets and other settings of a provider's scheme: the text of a JSON object. Never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProviderSettings(pub String);

impl std::fmt::Debug for ProviderSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProviderSettings(…)")
    }
}

/// The secret part of the URL of a source: who knows it may knock.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceToken(pub String);

impl std::fmt::Debug for SourceToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SourceToken(…)")
    }
}

/// The token of the URL, and those from before a rotation that still open the door.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceTokens {
    pub current: SourceToken,
    /// Each with the time until which it is good.
    pub old: Vec<(SourceToken, Timestamp)>,
}

impl SourceTokens {
    /// The current one first.
    pub fn all(&self) -> impl Iterator<Item = &SourceToken> {
        std::iter::once(&self.current).chain(self.old.iter().map(|(old, _)| old))
    }

    pub fn opens(&self, token: &str, now: Timestamp) -> bool {
        self.current.0 == token || self.old.iter().any(|(old, until)| old.0 == token && now < *until)
    }
}

/// What is asked of a request beyond its signature, and what is made of it. All of it has defaults that suit the provider.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SourceRules {
    /// Bytes of a body; `None`: the limit of the server.
    pub body_bytes_max: Option<u64>,
    /// Requests a second.
    pub rate_limit: Option<u32>,
    /// Requests of this source that are worked on at the same time.
    pub in_flight_max: Option<u16>,
    /// Who may call. Empty: all.
    pub allowed_networks: Vec<Allowed>,
    /// Of the event type that messages get; `None`: where the provider says it.
    pub event_type: Option<Extraction>,
    pub channels: Vec<Extraction>,
    pub ordering_key: Option<Extraction>,
    /// Names of headers that go on to the endpoints, besides the content type.
    pub forward_headers: Vec<String>,
    pub deduplicate: Deduplication,
    pub schema: SchemaRule,
    pub answer: Option<CustomAnswer>,
    /// A request whose signature is wrong is let in all the same, and its receipt says so: for finding out what a provider does.
    pub accept_unverified: bool,
    /// Ask the provider for what did not arrive; see the engine's gap detection.
    pub back_fill: Option<BackFill>,
}

/// Where a value is taken from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Extraction {
    Header(String),
    Query(String),
    /// A JSON path into the body: `$.data.type`.
    Path(String),
    /// Text with `{{…}}` in it.
    Template(String),
    /// Always this.
    Value(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Deduplication {
    pub by: DeduplicateBy,
    pub window_s: u32,
}

impl Default for Deduplication {
    fn default() -> Self {
        Self { by: DeduplicateBy::EventId, window_s: 7 * 24 * 3600 }
    }
}

impl Deduplication {
    pub fn window(&self) -> Duration {
        Duration::from_secs(self.window_s.into())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DeduplicateBy {
    /// The provider's id of the event; where there is none, every request is new.
    #[default]
    EventId,
    Fields(Vec<Extraction>),
    BodyHash,
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SchemaRule {
    /// Nothing is checked.
    #[default]
    Ignore,
    /// What does not fit is refused with 422, so that its sender learns of it.
    Reject,
    /// What does not fit is answered as any other and kept as a receipt, from which it can be replayed.
    Quarantine,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CustomAnswer {
    pub status: Option<u16>,
    pub headers: Vec<(String, String)>,
    /// A template.
    pub body: Option<String>,
}

impl SourceRules {
    /// `preset` finds a list by its name.
    pub fn allows<'a>(&self, address: IpAddr, preset: impl Fn(&str) -> Option<&'a [IpNet]>) -> bool {
        let address = address.to_canonical();
        self.allowed_networks.is_empty() || self.allowed_networks.iter().any(|allowed| allowed.has(address, &preset))
    }
}
