//! Who may do what: tenants, keys and tokens.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{ApiKeyId, ApplicationId, AuditEntryId, IntegrationId, RowId, SinkId, StreamId};
use crate::name::Invalid;
use crate::time::Timestamp;

/// A tenant. Any `org_…` that a signed token names is one; there is no table of tenants.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrgId(Arc<str>);

impl OrgId {
    /// The tenant that keys and demo data belong to when nobody names one.
    pub const DEFAULT: &'static str = "org_23rb8YdGqMT0qIzpgGwdXfHirMu";
    /// The tenant whose applications receive the operational webhooks of all others.
    pub const MANAGEMENT: &'static str = "org_00000000000SvixManagement00";

    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let body = text.strip_prefix("org_").unwrap_or_default();
        if body.len() == 27 && body.bytes().all(|c| c.is_ascii_alphanumeric()) {
            Ok(Self(text.into()))
        } else {
            Err(Invalid::new("must be `org_` followed by 27 letters and digits"))
        }
    }

    pub fn management() -> Self {
        Self(Self::MANAGEMENT.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OrgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for OrgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Everything, keys included.
    Admin,
    /// Everything but keys and secrets of endpoints.
    Manage,
    /// Creating messages.
    Send,
    /// Reading, without secrets.
    Read,
}

/// An opaque key of a tenant. The key itself is shown once; what is kept is its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    pub id: ApiKeyId,
    pub org: OrgId,
    pub name: String,
    /// SHA-256 of the whole key: it has 190 random bits, so nothing slower is needed.
    pub key_sha256: [u8; 32],
    /// The first characters, to recognise it in a list.
    pub hint: String,
    pub scopes: Vec<Scope>,
    #[serde(default)]
    pub reach: KeyReach,
    pub expires_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// How far a key reaches, whatever its scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum KeyReach {
    #[default]
    Organization,
    /// Creates messages of one application, and nothing else.
    MessagesOf(ApplicationId),
    /// Polls one sink, and nothing else, as long as [`PollerToken`] names the key.
    PollsOf(SinkId),
    /// Acts for one application as its portal does, as long as the integration is there and names the key.
    Integration { application: ApplicationId, integration: IntegrationId },
}

/// The text of a key or token that is kept because it is shown again. Never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyText(pub String);

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText(…)")
    }
}

/// A key that is shown again to whoever may see secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownKey {
    pub id: ApiKeyId,
    pub text: KeyText,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

/// Which keys poll a sink: there is one of these for a sink, and it decides whether a key is still good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollerToken {
    pub org: OrgId,
    pub sink: SinkId,
    pub current: ShownKey,
    /// From before rotations, with their ends.
    pub old: Vec<(ApiKeyId, Timestamp)>,
}

impl PollerToken {
    /// Whether the key is one of them. `Some(None)`: for as long as the key itself is.
    pub fn end_of(&self, key: ApiKeyId) -> Option<Option<Timestamp>> {
        if self.current.id == key {
            return Some(self.current.expires_at);
        }
        self.old.iter().find(|(old, _)| *old == key).map(|(_, until)| Some(*until))
    }
}

/// Opens a portal once, and only for some minutes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    pub id: RowId,
    /// A hash of what the link says.
    pub name: String,
    /// What it is exchanged for.
    pub token: KeyText,
    pub capabilities: Option<Vec<Capability>>,
    pub expires_at: Timestamp,
}

/// Who is asking, after the token was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// A tenant, by API key or by a token whose subject is `org_…`.
    Org { org: OrgId, scopes: Vec<Scope>, key: Option<ApiKeyId> },
    /// One application of a tenant: what a portal session may see.
    Application { org: OrgId, application: ApplicationId, session: PortalSession },
    /// The same for a stream.
    Stream { org: OrgId, stream: StreamId, session: PortalSession },
    /// Who may create messages of one application.
    Sender { org: OrgId, application: ApplicationId, key: ApiKeyId },
    /// Who may poll one sink.
    Poller { org: OrgId, sink: SinkId, key: ApiKeyId },
}

impl Principal {
    pub fn org(&self) -> &OrgId {
        match self {
            Self::Org { org, .. }
            | Self::Application { org, .. }
            | Self::Stream { org, .. }
            | Self::Sender { org, .. }
            | Self::Poller { org, .. } => org,
        }
    }
}

/// The rights that a portal token carries.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PortalSession {
    /// Names the token itself, so that `logout` can end it.
    pub token_id: Option<String>,
    /// Chosen by the tenant, so that `expire-all` can end the tokens of one session.
    pub session_id: Option<String>,
    pub feature_flags: Vec<String>,
    pub read_only: bool,
    /// `None`: everything a portal user may do.
    pub capabilities: Option<Vec<Capability>>,
    /// Where it is no portal token but the key of an integration. Such a key ends with the integration only.
    #[serde(default)]
    pub key: Option<ApiKeyId>,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Capability {
    ViewBase,
    ViewEndpointSecret,
    ManageEndpointSecret,
    ManageTransformations,
    CreateAttempts,
    ManageEndpoint,
}

/// A token, session or all tokens of an application issued until now, ended before their time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    pub target: RevocationTarget,
    pub at: Timestamp,
    /// When the revoked tokens would have expired by themselves and this row may go.
    pub forget_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RevocationTarget {
    Token(String),
    Application(ApplicationId),
    Session(ApplicationId, String),
    Stream(StreamId),
    StreamSession(StreamId, String),
}

/// One change that somebody made through the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub id: AuditEntryId,
    pub org: OrgId,
    pub at: Timestamp,
    pub actor: Actor,
    /// The id of the operation.
    pub operation: String,
    pub path: String,
    pub status: u16,
}

/// Who made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Actor {
    Key {
        id: ApiKeyId,
        name: String,
    },
    /// A signed token of the tenant.
    Token,
    Portal {
        application: ApplicationId,
        session_id: Option<String>,
    },
    StreamPortal {
        stream: StreamId,
        session_id: Option<String>,
    },
}
