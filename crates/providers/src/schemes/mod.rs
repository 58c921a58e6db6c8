//! The ways in which requests are made believable, one file for each family.
//!
//! A rule is data in the table of providers. With settings it becomes a check, which has read and prepared everything it needs.

pub(crate) mod address;
pub(crate) mod adyen;
pub(crate) mod configured;
pub(crate) mod contentful;
pub(crate) mod jwt;
pub(crate) mod paddle;
pub(crate) mod paypal;
pub(crate) mod signed;
pub(crate) mod soap;
pub(crate) mod standard;
pub(crate) mod token;
pub(crate) mod twilio;

use hookpost_domain::time::Timestamp;
use http::HeaderName;

use crate::keys::{Algorithm, PrivateKey, SecretForm};
use crate::request::{Request, SignedRequest};
use crate::settings::{Settings, SettingsError};
use crate::verdict::{CannotSign, Rejection};

/// A scheme as data.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rule {
    /// A code or signature over text made of the request.
    Signed(signed::Signed<'static>),
    /// The same, with everything from the settings.
    Configured(configured::Kind),
    Standard(standard::Standard),
    Token(token::Token),
    Jwt(jwt::Kind),
    Twilio(twilio::Variant),
    Contentful,
    PayPal,
    PaddleClassic,
    AdyenStandard,
    SoapOrganization,
    AddressList,
    /// Nothing vouches for the request.
    Nothing,
}

/// What a check has found out beside that the request is believed.
#[derive(Debug, Default)]
pub(crate) struct Proof {
    /// The id that the signature covers.
    pub(crate) id: Option<String>,
    pub(crate) timestamp: Option<Timestamp>,
    /// Which of the live secrets it was.
    pub(crate) secret: usize,
}

/// A scheme made ready by settings.
pub(crate) trait Check: Send + Sync {
    /// Whether the request means to be one of this scheme. Cheap, and says nothing of its truth.
    fn applies(&self, request: &Request<'_>) -> bool;

    fn verify(&self, request: &Request<'_>, now: Timestamp) -> Result<Proof, Rejection>;

    /// Adds what makes the request verify.
    fn sign(&self, request: &mut SignedRequest, id: &str, now: Timestamp) -> Result<(), CannotSign>;

    /// The headers it reads, the one of the signature first.
    fn headers(&self) -> Vec<HeaderName>;

    /// Whether the URL is part of what is signed.
    fn signs_url(&self) -> bool {
        false
    }
}

impl Rule {
    pub(crate) fn check(&self, settings: &Settings) -> Result<Box<dyn Check>, SettingsError> {
        Ok(match self {
            Self::Signed(rule) => Box::new(signed::Check::new(rule, settings)?),
            Self::Configured(kind) => Box::new(kind.check(settings)?),
            Self::Standard(rule) => Box::new(standard::Check::new(*rule, settings)?),
            Self::Token(rule) => Box::new(token::Check::new(rule, settings)?),
            Self::Jwt(kind) => Box::new(jwt::Check::new(*kind, settings)?),
            Self::Twilio(variant) => Box::new(twilio::Check::new(*variant, settings)?),
            Self::Contentful => Box::new(contentful::Check::new(settings)?),
            Self::PayPal => Box::new(paypal::Check::new(settings)?),
            Self::PaddleClassic => Box::new(paddle::Check::new(settings)?),
            Self::AdyenStandard => Box::new(adyen::Check::new(settings)?),
            Self::SoapOrganization => Box::new(soap::Check::new(settings)?),
            Self::AddressList => Box::new(address::Check::new(settings)?),
            Self::Nothing => Box::new(address::Anyone),
        })
    }

    pub(crate) fn needs(&self) -> &'static [&'static str] {
        match self {
            Self::Signed(rule) if rule.names_timestamp_header() => &["secret", "timestamp_header"],
            Self::Configured(kind) => kind.needs(),
            Self::Token(rule) => rule.needs(),
            Self::AddressList => &["config.allow"],
            Self::Nothing => &[],
            _ => &["secret"],
        }
    }

    pub(crate) fn takes(&self) -> &'static [&'static str] {
        match self {
            Self::Signed(rule) => rule.takes(),
            Self::Configured(kind) => kind.takes(),
            Self::Standard(rule) => rule.takes(),
            Self::Token(rule) => rule.takes(),
            Self::Jwt(kind) => kind.takes(),
            Self::Contentful => &["secrets", "secret_secondary", "tolerance"],
            Self::PayPal => &["secrets", "certificates", "tolerance", "private_key"],
            Self::AddressList => &["config.trusted_proxies"],
            Self::Nothing => &[],
            Self::Twilio(_) | Self::PaddleClassic | Self::AdyenStandard | Self::SoapOrganization => &["secrets", "secret_secondary"],
        }
    }

    /// The header by which requests of this scheme are told from others.
    pub(crate) fn signature_header(&self) -> Option<&'static str> {
        match self {
            Self::Signed(rule) => rule.signature.strip_prefix("header:"),
            Self::Standard(_) => Some("webhook-signature"),
            Self::Token(token::Token::Header(name)) if !name.eq_ignore_ascii_case("authorization") => Some(name),
            Self::Twilio(_) => Some("x-twilio-signature"),
            Self::Contentful => Some("x-contentful-signature"),
            Self::PayPal => Some("paypal-transmission-sig"),
            _ => None,
        }
    }

    /// The same scheme with the secret read in another way, to find out whether that is what the sender does.
    pub(crate) fn with_secret_form(&self, form: SecretForm) -> Option<Self> {
        match self {
            Self::Signed(rule) if !matches!(rule.algorithm, Algorithm::Public(_)) => Some(Self::Signed(rule.secret(form))),
            Self::Standard(standard::Standard::V1(_)) => Some(Self::Standard(standard::Standard::V1(form))),
            _ => None,
        }
    }

    pub(crate) fn can_be_signed(&self) -> bool {
        !matches!(self, Self::PaddleClassic | Self::SoapOrganization | Self::AddressList)
    }

    pub(crate) fn signs_with_private_key(&self) -> bool {
        match self {
            Self::Signed(rule) => matches!(rule.algorithm, Algorithm::Public(_)),
            Self::Configured(kind) => kind.is_public(),
            Self::PayPal | Self::Standard(standard::Standard::V1a) => true,
            _ => false,
        }
    }
}

pub(crate) fn needs_private_key() -> CannotSign {
    CannotSign::new("The settings have a public key, which only verifies: signing needs `private_key`.")
}

pub(crate) fn private_key(asymmetric: crate::keys::Asymmetric, settings: &Settings) -> Result<Option<PrivateKey>, SettingsError> {
    settings.private_key.as_ref().map(|key| PrivateKey::parse(asymmetric, key.reveal())).transpose()
}
