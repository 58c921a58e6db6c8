//! Tokens for one application or one stream: what the tenant's customers enter the portal with.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hookpost_domain::OrgId;
use hookpost_domain::access::Capability;
use hookpost_domain::id::{Id, Kind};

use crate::auth::token::{Claims, sign};
use crate::state::Api;

/// How long a token lives if the tenant does not say.
pub(crate) const LIFE_DEFAULT: Duration = Duration::from_secs(28 * 24 * 3600);

/// What a new session may do and see.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewSession {
    pub(crate) life: Option<Duration>,
    pub(crate) session_id: Option<String>,
    pub(crate) feature_flags: Vec<String>,
    pub(crate) read_only: bool,
    pub(crate) capabilities: Option<Vec<Capability>>,
}

/// Of an application or a stream.
pub(crate) fn issue<K: Kind>(api: &Api, org: &OrgId, subject: Id<K>, session: NewSession) -> String {
    let now = api.now();
    let mut token_id = [0; 16];
    api.entropy.fill(&mut token_id);
    let claims = Claims {
        org: Some(org.as_str().to_owned()),
        feature_flags: session.feature_flags,
        jti: Some(URL_SAFE_NO_PAD.encode(token_id)),
        session_id: session.session_id,
        read_only: session.read_only,
        capabilities: session.capabilities,
        ..Claims::new(&api.public(subject), now, now + session.life.unwrap_or(LIFE_DEFAULT))
    };
    sign(&api.settings.token_secret, &claims)
}
