//! How providers introduce themselves, and what they must hear. Answers are made here; nothing is stored or sent.
//!
//! Some handshakes come before anything is signed: they are answered with what the request itself brings, which tells nobody
//! anything. The others are believed by their signature first.

use http::{HeaderName, HeaderValue};
use serde_json::json;

use crate::encoding::{Encoding, same};
use crate::json::Path;
use crate::keys::{Algorithm, Hash, SecretForm, VerifyingKey};
use crate::request::Request;
use crate::schemes::Proof;
use crate::settings::{Secret, Settings};
use crate::verdict::{Answer, Rejection, RejectionCode};

const ADOBE_SIGN_CLIENT_ID: HeaderName = HeaderName::from_static("x-adobesign-clientid");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ritual {
    None,
    AdobeSign,
    Asana,
    CloudEvents,
    Discord,
    Dropbox,
    Line,
    Meta,
    Monday,
    Notion,
    Okta,
    Salesforce,
    Slack,
    Trello,
    Twitch,
    WooCommerce,
    X,
    Xero,
    Zoom,
}

/// The answer to a handshake that nothing vouches for, and the secret that it may have brought.
pub(crate) struct Greeting {
    pub(crate) answer: Answer,
    pub(crate) secret: Option<Secret>,
}

impl Greeting {
    fn answer(answer: Answer) -> Self {
        Self { answer, secret: None }
    }
}

impl Ritual {
    /// A handshake that is not signed. `None`: the request is none.
    pub(crate) fn before(self, request: &Request<'_>, settings: &Settings) -> Result<Option<Greeting>, Rejection> {
        let answer = match self {
            Self::AdobeSign if request.method == "GET" => {
                return adobe_sign(request, settings).map(|answer| Some(Greeting::answer(answer)));
            }
            Self::Asana => return asana(request, settings),
            Self::Notion => return notion(request, settings),
            Self::CloudEvents if request.method == "OPTIONS" => Some(cloud_events(request, settings)?),
            Self::Meta if request.method == "GET" && request.query_value("hub.mode").is_some() => Some(meta(request, settings)?),
            Self::Dropbox if request.method == "GET" => {
                request.query_value("challenge").map(|challenge| Answer::text(challenge.into_owned()))
            }
            Self::X if request.method == "GET" => x(request, settings),
            Self::Okta if request.method == "GET" => {
                let challenge = request.header(&HeaderName::from_static("x-okta-verification-challenge"))?;
                challenge.map(|challenge| Answer::json(&json!({ "verification": challenge })))
            }
            Self::Trello if request.method == "HEAD" => Some(Answer::status(200)),
            Self::Monday if !has(request, "authorization") && text(request, "$.event.type").is_none() => {
                text(request, "$.challenge").map(|challenge| Answer::json(&json!({ "challenge": challenge })))
            }
            Self::Salesforce if !has(request, "x-sfmc-ens-signature") => {
                let asks = text(request, "$.callbackId").is_some() && text(request, "$.verificationKey").is_some();
                asks.then(|| Answer::status(200))
            }
            Self::WooCommerce if !has(request, "x-wc-webhook-signature") => woocommerce(request),
            _ => None,
        };
        Ok(answer.map(Greeting::answer))
    }

    /// A handshake that was verified like an event. `None`: it is an event.
    pub(crate) fn after(self, request: &Request<'_>, settings: &Settings, proof: &Proof) -> Option<Answer> {
        match self {
            Self::Slack if text(request, "$.type")? == "url_verification" => text(request, "$.challenge").map(Answer::text),
            Self::Discord => discord(request),
            Self::Twitch => twitch(request),
            Self::Xero | Self::Line => (Path::parse("$.events")?.count(request.body)? == 0).then(|| Answer::status(200)),
            Self::Zoom if text(request, "$.event")? == "endpoint.url_validation" => {
                let plain = text(request, "$.payload.plainToken")?;
                let encrypted = authenticate(settings.live_secrets().get(proof.secret)?, &plain, Encoding::HexLower)?;
                Some(Answer::json(&json!({ "plainToken": plain, "encryptedToken": encrypted })))
            }
            _ => None,
        }
    }

    /// The answer that the provider insists on for an event, where a bare 2xx is not enough.
    pub(crate) fn acknowledgement(self, settings: &Settings, proof: &Proof) -> Option<Answer> {
        match self {
            Self::AdobeSign => settings.live_secrets().get(proof.secret).map(|client_id| client_id_back(client_id)),
            _ => None,
        }
    }

    /// Whether the first secret comes with the handshake.
    pub(crate) fn brings_secret(self) -> bool {
        matches!(self, Self::Asana | Self::Notion)
    }

    pub(crate) fn describe(self) -> Option<&'static str> {
        Some(match self {
            Self::None => return None,
            Self::AdobeSign => "A GET request with the header `X-AdobeSign-ClientId` is answered with it, and so is every event.",
            Self::Asana => "The first request has the header `X-Hook-Secret`, which is sent back and becomes the secret.",
            Self::CloudEvents => "An OPTIONS request with `WebHook-Request-Origin` is answered with the origin and rate that are allowed.",
            Self::Discord => "A signed PING is answered with a PONG, or with 204 where it comes from webhook events.",
            Self::Dropbox => "A GET request with `challenge` is answered with it.",
            Self::Line => "A signed request without events is answered with 200.",
            Self::Meta => "A GET request with `hub.challenge` and the right `hub.verify_token` is answered with the challenge.",
            Self::Monday => "A POST request with `challenge` is answered with it.",
            Self::Notion => "The first request has `verification_token`, which becomes the secret and is pasted back into Notion.",
            Self::Okta => "A GET request with the header `X-Okta-Verification-Challenge` is answered with it.",
            Self::Salesforce => {
                "A POST request with `callbackId` and `verificationKey` is answered with 200; both are then to be sent to Salesforce."
            }
            Self::Slack => "A signed request of the type `url_verification` is answered with its challenge.",
            Self::Trello => "A HEAD request is answered with 200.",
            Self::Twitch => "A signed request with a challenge is answered with it, and the news that a subscription was revoked with 204.",
            Self::WooCommerce => "A form with nothing but `webhook_id` is answered with 200.",
            Self::X => "A GET request with `crc_token` is answered with its HMAC.",
            Self::Xero => "Signed requests without events are answered with 200, wrongly signed ones with 401.",
            Self::Zoom => "A signed request of the type `endpoint.url_validation` is answered with its token and the token's HMAC.",
        })
    }
}

/// Nothing is signed here: who knows the client id is believed, and hears it back.
fn adobe_sign(request: &Request<'_>, settings: &Settings) -> Result<Answer, Rejection> {
    let offered = request.required_header(&ADOBE_SIGN_CLIENT_ID)?;
    let known = settings.live_secrets().into_iter().find(|client_id| same(client_id.as_bytes(), offered.as_bytes()));
    let refused = || Rejection::new(RejectionCode::HandshakeRefused, "The request is of another client id than the settings have.");
    known.map(client_id_back).ok_or_else(refused)
}

fn client_id_back(client_id: &str) -> Answer {
    let mut answer = Answer::json(&json!({ "xAdobeSignClientId": client_id }));
    answer.headers.extend(HeaderValue::from_str(client_id).ok().map(|value| (ADOBE_SIGN_CLIENT_ID, value)));
    answer
}

fn asana(request: &Request<'_>, settings: &Settings) -> Result<Option<Greeting>, Rejection> {
    let name = HeaderName::from_static("x-hook-secret");
    if has(request, "x-hook-signature") {
        return Ok(None);
    }
    let Some(offered) = request.header(&name)?.filter(|offered| !offered.is_empty()) else { return Ok(None) };
    let secret = accept_secret(offered, settings)?;
    let mut answer = Answer::status(200);
    answer.headers.extend(HeaderValue::from_str(offered).ok().map(|value| (name, value)));
    Ok(Some(Greeting { answer, secret }))
}

fn notion(request: &Request<'_>, settings: &Settings) -> Result<Option<Greeting>, Rejection> {
    if has(request, "x-notion-signature") {
        return Ok(None);
    }
    let Some(offered) = text(request, "$.verification_token").filter(|offered| !offered.is_empty()) else { return Ok(None) };
    Ok(Some(Greeting { answer: Answer::status(200), secret: accept_secret(&offered, settings)? }))
}

/// A secret is taken from whoever comes first, and never replaced by who comes later.
fn accept_secret(offered: &str, settings: &Settings) -> Result<Option<Secret>, Rejection> {
    let live = settings.live_secrets();
    if live.is_empty() {
        return Ok(Some(Secret::new(offered)));
    }
    if live.iter().any(|secret| same(secret.as_bytes(), offered.as_bytes())) {
        return Ok(None);
    }
    Err(refused("The handshake brings another secret than the one that is established: remove that one first."))
}

fn meta(request: &Request<'_>, settings: &Settings) -> Result<Answer, Rejection> {
    let value = |name| request.query_value(name).unwrap_or_default();
    if value("hub.mode") != "subscribe" {
        return Err(refused("`hub.mode` is not `subscribe`."));
    }
    let expected = settings.verify_token.as_ref().map(Secret::reveal).filter(|token| !token.is_empty());
    let expected = expected.ok_or_else(|| refused("The settings have no `verify_token` to compare with."))?;
    if !same(expected.as_bytes(), value("hub.verify_token").as_bytes()) {
        return Err(refused("`hub.verify_token` is another one than the `verify_token` of the settings."));
    }
    Ok(Answer::text(value("hub.challenge").into_owned()))
}

fn cloud_events(request: &Request<'_>, settings: &Settings) -> Result<Answer, Rejection> {
    let header = |name| request.header(&HeaderName::from_static(name));
    let origin = header("webhook-request-origin")?.ok_or_else(|| refused("The OPTIONS request has no `WebHook-Request-Origin`."))?;
    let allowed = &settings.allowed_origins;
    if !allowed.is_empty() && !allowed.iter().any(|known| known == "*" || known.eq_ignore_ascii_case(origin)) {
        return Err(refused(format!("The origin `{origin}` is not among the `allowed_origins` of the settings.")));
    }
    let origin = HeaderValue::from_str(origin).map_err(|_| refused("`WebHook-Request-Origin` is not a name."))?;
    let mut answer = Answer::status(200);
    answer.headers.push((HeaderName::from_static("webhook-allowed-origin"), origin));
    answer.headers.push((HeaderName::from_static("webhook-allowed-rate"), HeaderValue::from_static("*")));
    answer.headers.push((http::header::ALLOW, HeaderValue::from_static("POST")));
    Ok(answer)
}

fn x(request: &Request<'_>, settings: &Settings) -> Option<Answer> {
    let token = request.query_value("crc_token")?;
    let code = authenticate(settings.live_secrets().first()?, &token, Encoding::Base64)?;
    Some(Answer::json(&json!({ "response_token": format!("sha256={code}") })))
}

fn woocommerce(request: &Request<'_>) -> Option<Answer> {
    let mut fields = request.form_pairs();
    let (name, value) = fields.next()?;
    let is_ping = name == "webhook_id" && value.bytes().all(|byte| byte.is_ascii_digit()) && fields.next().is_none();
    is_ping.then(|| Answer::status(200))
}

/// Both kinds number their types from PING, one from 1 and the other from 0; only webhook events have an `event`.
fn discord(request: &Request<'_>) -> Option<Answer> {
    let kind = Path::parse("$.type")?.find(request.body)?;
    let has_event = text(request, "$.event.type").is_some();
    match &*kind.text {
        "1" if !has_event => Some(Answer::json(&json!({ "type": 1 }))),
        "0" if !has_event => Some(Answer::status(204)),
        _ => None,
    }
}

/// The header that says what a message is, is not signed. So the body, which is, must say the same.
fn twitch(request: &Request<'_>) -> Option<Answer> {
    let kind = request.header(&HeaderName::from_static("twitch-eventsub-message-type")).ok()??;
    match kind {
        "webhook_callback_verification" => text(request, "$.challenge").map(Answer::text),
        "revocation" if text(request, "$.subscription.status")? != "enabled" => Some(Answer::status(204)),
        _ => None,
    }
}

fn authenticate(secret: &str, text: &str, encoding: Encoding) -> Option<String> {
    let key = VerifyingKey::new(Algorithm::Hmac(Hash::Sha256), SecretForm::Text, secret).ok()?;
    key.code(&[text.as_bytes().into()]).map(|code| encoding.encode(&code))
}

fn has(request: &Request<'_>, header: &str) -> bool {
    request.headers.contains_key(header)
}

fn text(request: &Request<'_>, path: &str) -> Option<String> {
    Path::parse(path)?.find(request.body).filter(|scalar| !scalar.is_number).map(|scalar| scalar.text.into_owned())
}

fn refused(detail: impl Into<String>) -> Rejection {
    Rejection::new(RejectionCode::HandshakeRefused, detail)
}
