//! A shared word that comes with each request: in a header, after `Bearer`, in the query, as user and password.
//!
//! Says who sends, and nothing about what: whoever sees one request can write others.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookpost_domain::time::Timestamp;
use http::HeaderName;
use http::header::AUTHORIZATION;
use ring::digest::{self, Digest};
use url::form_urlencoded;

use crate::encoding::{base64_of_people, same};
use crate::location::header_name;
use crate::request::{Request, SignedRequest};
use crate::schemes::Proof;
use crate::schemes::configured::required;
use crate::settings::{Place, Settings, SettingsError};
use crate::verdict::{CannotSign, Rejection, RejectionCode};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Token {
    /// The whole value of a header; the settings may name another one.
    Header(&'static str),
    /// `Authorization: Bearer …`; the settings may name another header and word.
    Bearer,
    Query(&'static str),
    /// `Authorization: Basic …`; the secret is `user:password`.
    Basic,
    /// Where the settings say.
    Configured,
}

impl Token {
    pub(crate) fn needs(&self) -> &'static [&'static str] {
        match self {
            Self::Configured => &["secret", "config.name"],
            _ => &["secret"],
        }
    }

    pub(crate) fn takes(&self) -> &'static [&'static str] {
        match self {
            Self::Header(_) => &["secrets", "secret_secondary", "config.header"],
            Self::Bearer => &["secrets", "secret_secondary", "config.header", "config.scheme"],
            Self::Configured => &["secrets", "secret_secondary", "config.in", "config.header"],
            Self::Query(_) | Self::Basic => &["secrets", "secret_secondary"],
        }
    }
}

pub(crate) struct Check {
    carrier: Carrier,
    /// For signing; the comparison is between digests, so that not even the length of a token shows in its time.
    token: Box<str>,
    digests: Vec<Digest>,
}

enum Carrier {
    Header(HeaderName),
    /// After a word such as `Bearer`, in any case.
    Worded(HeaderName, Box<str>),
    Basic,
    Query(Box<str>),
}

impl Check {
    pub(crate) fn new(rule: &Token, settings: &Settings) -> Result<Self, SettingsError> {
        let config = &settings.config;
        let secrets = settings.required_secrets()?;
        let named = |name: &str| header_name(name).map_err(|rule| SettingsError::new("config.header", rule));
        let carrier = match rule {
            Token::Header(default) => Carrier::Header(named(config.header.as_deref().unwrap_or(default))?),
            Token::Bearer => {
                let header = config.header.as_deref().map_or(Ok(AUTHORIZATION), named)?;
                match config.scheme.as_deref().unwrap_or("Bearer").trim() {
                    "" => Carrier::Header(header),
                    word => Carrier::Worded(header, word.into()),
                }
            }
            Token::Query(name) => Carrier::Query((*name).into()),
            Token::Basic => Carrier::Basic,
            Token::Configured => {
                let name = config.name.clone().or_else(|| config.header.clone());
                let name = required(&name, "config.name")?;
                if config.place == Some(Place::Query) { Carrier::Query(name.into()) } else { Carrier::Header(named(name)?) }
            }
        };
        if matches!(carrier, Carrier::Basic) && secrets.iter().any(|secret| !secret.contains(':')) {
            return Err(SettingsError::new("secret", "must be `user:password`"));
        }
        let digests = secrets.iter().map(|secret| digest::digest(&digest::SHA256, secret.as_bytes())).collect();
        Ok(Self { carrier, token: secrets[0].into(), digests })
    }

    fn token<'a>(&self, request: &Request<'a>) -> Result<Cow<'a, [u8]>, Rejection> {
        match &self.carrier {
            Carrier::Header(name) => request.required_header(name).map(|value| Cow::Borrowed(value.as_bytes())),
            Carrier::Worded(name, word) => after_word(request, name, word).map(|token| Cow::Borrowed(token.as_bytes())),
            Carrier::Basic => {
                let encoded = after_word(request, &AUTHORIZATION, "Basic")?;
                let malformed = || Rejection::new(RejectionCode::MalformedHeader, "What follows `Basic` is not base64.");
                base64_of_people(encoded).map(Cow::Owned).ok_or_else(malformed)
            }
            Carrier::Query(name) => {
                let mut values = request.query_pairs().filter(|(key, _)| key == &**name).map(|(_, value)| value);
                let first = values
                    .next()
                    .ok_or_else(|| Rejection::new(RejectionCode::MissingSignature, format!("The query parameter `{name}` is missing.")))?;
                if values.any(|other| other != first) {
                    let detail = format!("The query parameter `{name}` came more than once, with different values.");
                    return Err(Rejection::new(RejectionCode::BadToken, detail));
                }
                Ok(Cow::Owned(first.into_owned().into_bytes()))
            }
        }
    }
}

impl super::Check for Check {
    fn applies(&self, request: &Request<'_>) -> bool {
        match &self.carrier {
            Carrier::Header(name) => request.headers.contains_key(name),
            Carrier::Worded(..) | Carrier::Basic => request.headers.contains_key(self.headers().first().unwrap_or(&AUTHORIZATION)),
            Carrier::Query(name) => request.query_value(name).is_some(),
        }
    }

    fn verify(&self, request: &Request<'_>, _now: Timestamp) -> Result<Proof, Rejection> {
        let token = self.token(request)?;
        let digest = digest::digest(&digest::SHA256, &token);
        let secret = self.digests.iter().position(|ours| same(ours.as_ref(), digest.as_ref()));
        let secret = secret.ok_or_else(|| {
            let what =
                if matches!(self.carrier, Carrier::Basic) { "User or password is another one." } else { "The token is another one." };
            Rejection::new(RejectionCode::BadToken, what)
        })?;
        Ok(Proof { secret, ..Proof::default() })
    }

    fn sign(&self, request: &mut SignedRequest, _id: &str, _now: Timestamp) -> Result<(), CannotSign> {
        match &self.carrier {
            Carrier::Header(name) => request.set_header(name, &self.token),
            Carrier::Worded(name, word) => request.set_header(name, &format!("{word} {}", self.token)),
            Carrier::Basic => request.set_header(&AUTHORIZATION, &format!("Basic {}", STANDARD.encode(self.token.as_bytes()))),
            Carrier::Query(name) => {
                let pair: String = form_urlencoded::Serializer::new(String::new()).append_pair(name, &self.token).finish();
                let (before, fragment) = request.url.split_once('#').map_or((request.url.as_str(), None), |(b, f)| (b, Some(f)));
                let separator = if before.contains('?') { '&' } else { '?' };
                let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
                request.url = format!("{before}{separator}{pair}{fragment}");
            }
        }
        Ok(())
    }

    fn headers(&self) -> Vec<HeaderName> {
        match &self.carrier {
            Carrier::Header(name) | Carrier::Worded(name, _) => vec![name.clone()],
            Carrier::Basic => vec![AUTHORIZATION],
            Carrier::Query(_) => Vec::new(),
        }
    }
}

/// What follows the name of an authentication scheme, which RFC 9110 lets stand in any case.
pub(crate) fn after_word<'a>(request: &Request<'a>, name: &HeaderName, word: &str) -> Result<&'a str, Rejection> {
    let value = request.required_header(name)?;
    let token = match value.split_once(' ') {
        Some((first, rest)) if first.eq_ignore_ascii_case(word) => rest.trim_start(),
        _ => "",
    };
    if token.is_empty() {
        return Err(Rejection::new(RejectionCode::MalformedHeader, format!("The header `{name}` is not `{word}` and a token.")));
    }
    Ok(token)
}
