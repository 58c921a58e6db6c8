//! A request at a source, from its head on: whose it is, who sent it, under which URL. Knows nothing of what will become of it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use hookpost_domain::receipt::Origin;
use hookpost_domain::source::{Source, SourceToken};
use hookpost_domain::{ReceiptId, Timestamp, limits};
use hookpost_engine::pull::once_of_replay;
use hookpost_providers::{Provider, Request};
use hookpost_shaping::Incoming;
use hookpost_store::intake::Once;
use http::request::Parts;
use http::{HeaderMap, Method};

use super::PATH;
use super::limits::Held;
use super::peer::{PeerAddress, Surroundings};
use super::prepared::{Doorway, PreparedSource};
use super::presets::AddressPresets;
use super::refusal::Refusal;
use crate::state::Api;

/// What stands for the token in URLs that are kept.
pub(super) const TOKEN_PLACEHOLDER: &str = "{token}";

pub(super) struct Arrival {
    pub(super) prepared: Arc<PreparedSource>,
    pub(super) doorway: Arc<Doorway>,
    pub(super) method: Method,
    /// As the sender wrote it, token and all.
    pub(super) url: String,
    pub(super) token: SourceToken,
    pub(super) headers: HeaderMap,
    /// The client, beyond trusted proxies.
    pub(super) peer: Option<IpAddr>,
    pub(super) received_at: Timestamp,
    /// The time by which a signature is in time: of a replay, that of the request itself.
    pub(super) verified_at: Timestamp,
    pub(super) replay_of: Option<ReceiptId>,
}

/// Its headers and its URL hold secrets.
impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrival").field("source", &self.source().id).field("method", &self.method).finish_non_exhaustive()
    }
}

impl Arrival {
    /// Finds the source of a request by the token in its path.
    pub(super) async fn find(api: &Api, parts: Parts, now: Timestamp) -> Result<Self, Refusal> {
        if Origin::is_word(parts.method.as_str()) {
            return Err(Refusal::no_method());
        }
        let token = token_of(parts.uri.path()).ok_or_else(Refusal::no_such_source)?;
        let found = tokio::time::timeout(limits::SOURCE_ANSWER_DEADLINE, api.store.source_by_token(&token)).await;
        let source = found.map_err(|_| Refusal::too_slow())??;
        let source = source.filter(|source| source.tokens.opens(&token.0, now)).ok_or_else(Refusal::no_such_source)?;
        let doorway = api.door.doorways.of(&source);
        let prepared = doorway.prepared(&source).map_err(|wrong| Refusal::unusable(&wrong.field, &wrong.rule))?;
        if prepared.verifier.is_none() {
            return Err(Refusal::no_such_source());
        }
        let surroundings = Surroundings { trusted_proxies: &api.settings.trusted_proxies, public_url: api.settings.public_url.as_deref() };
        let connected = parts.extensions.get::<PeerAddress>().map(|peer| peer.0);
        let mut url = surroundings.origin(connected, &parts.uri, &parts.headers);
        url.push_str(parts.uri.path_and_query().map_or("", |path_and_query| path_and_query.as_str()));
        let peer = surroundings.client(connected, &parts.headers);
        Ok(Self {
            prepared,
            doorway,
            method: parts.method,
            url,
            token,
            headers: parts.headers,
            peer,
            received_at: now,
            verified_at: now,
            replay_of: None,
        })
    }

    pub(super) fn source(&self) -> &Source {
        &self.prepared.source
    }

    pub(super) fn provider(&self) -> Option<&'static Provider> {
        self.prepared.provider()
    }

    pub(super) fn provider_name(&self) -> &'static str {
        self.provider().map_or("", |provider| provider.name)
    }

    pub(super) fn hold_bytes(&self, api: &Api) -> Held {
        Held::new(self.doorway.usage.bytes(), &api.door.doorways.bytes)
    }

    pub(super) fn check_enabled(&self) -> Result<(), Refusal> {
        if self.source().disabled { Err(Refusal::disabled()) } else { Ok(()) }
    }

    pub(super) fn check_address(&self, presets: &AddressPresets) -> Result<(), Refusal> {
        let rules = &self.source().rules;
        let allowed = self.peer.is_some_and(|peer| rules.allows(peer, |name| presets.networks(name)));
        if allowed || rules.allowed_networks.is_empty() { Ok(()) } else { Err(Refusal::address_not_allowed(presets.not_in(rules))) }
    }

    /// A receipt makes one message however often it is replayed, also where nothing else tells its event from others.
    pub(super) fn once_of_replay(&self, once: Option<Once>) -> Option<Once> {
        let receipt = self.replay_of;
        once.or_else(|| receipt.map(once_of_replay))
    }

    /// For the scheme of the provider.
    pub(super) fn request<'a>(&'a self, body: &'a [u8]) -> Request<'a> {
        Request { method: self.method.as_str(), url: &self.url, headers: &self.headers, body, peer_ip: self.peer }
    }

    /// For the rules of the source.
    pub(super) fn incoming<'a>(&'a self, api: &Api, body: &'a [u8]) -> Incoming<'a> {
        let decoded_bytes_max = limits::SOURCE_BODY_BYTES_DECODED_MAX.max(api.settings.request_body_bytes_max);
        let mut incoming = Incoming::new(&self.headers, body, decoded_bytes_max);
        let beyond = self.url.find(&self.token.0).map_or("", |at| &self.url[at + self.token.0.len()..]);
        let (path, query) = beyond.split_once('?').unwrap_or((beyond, ""));
        (incoming.method, incoming.path, incoming.query) = (self.method.as_str(), path, query);
        incoming
    }

    /// The URL as it is kept: who reads receipts does not get in.
    pub(super) fn url_without_token(&self) -> String {
        self.url.replacen(&self.token.0, TOKEN_PLACEHOLDER, 1)
    }
}

/// `/in/{token}` and what providers append to it.
fn token_of(path: &str) -> Option<SourceToken> {
    let token = path.strip_prefix(PATH)?.split('/').next()?;
    (!token.is_empty()).then(|| SourceToken(token.to_owned()))
}
