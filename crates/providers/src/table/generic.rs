//! Open formats, and schemes without a provider: everything from the settings. Data only: what the words of a row mean is written at `Signed`, `Rule` and `Sources`.

use crate::handshake::Ritual;
use crate::keys::SecretForm;
use crate::provider::{Provider, Scheme};
use crate::schemes::Rule;
use crate::schemes::configured::Kind;
use crate::schemes::jwt;
use crate::schemes::standard::Standard;
use crate::schemes::token::Token;

pub(super) const CLOUDEVENTS: Provider = Provider {
    name: "cloudevents",
    display_name: "CloudEvents",
    documentation: "https://github.com/cloudevents/spec/blob/c2845a49bc9831be02f305a4a792401b932d77d4/cloudevents/http-webhook.md",
    schemes: &[
        Scheme::new("bearer", Rule::Token(Token::Bearer)).event("cloudevent:id", "cloudevent:type"),
        Scheme::new("query", Rule::Token(Token::Query("access_token"))).event("cloudevent:id", "cloudevent:type"),
    ],
    ritual: Ritual::CloudEvents,
};

pub(super) const GENERIC_API_KEY: Provider = Provider {
    name: "generic_api_key",
    display_name: "API key",
    documentation: "",
    schemes: &[Scheme::new("generic_api_key", Rule::Token(Token::Configured))],
    ritual: Ritual::None,
};

pub(super) const GENERIC_BASIC: Provider = Provider {
    name: "generic_basic",
    display_name: "HTTP Basic",
    documentation: "",
    schemes: &[Scheme::new("generic_basic", Rule::Token(Token::Basic))],
    ritual: Ritual::None,
};

pub(super) const GENERIC_BEARER: Provider = Provider {
    name: "generic_bearer",
    display_name: "Bearer token",
    documentation: "",
    schemes: &[Scheme::new("generic_bearer", Rule::Token(Token::Bearer))],
    ritual: Ritual::None,
};

pub(super) const GENERIC_ECDSA: Provider = Provider {
    name: "generic_ecdsa",
    display_name: "ECDSA signature",
    documentation: "",
    schemes: &[Scheme::new("generic_ecdsa", Rule::Configured(Kind::Ecdsa))],
    ritual: Ritual::None,
};

pub(super) const GENERIC_ED25519: Provider = Provider {
    name: "generic_ed25519",
    display_name: "ed25519 signature",
    documentation: "",
    schemes: &[Scheme::new("generic_ed25519", Rule::Configured(Kind::Ed25519))],
    ritual: Ritual::None,
};

pub(super) const GENERIC_HMAC: Provider = Provider {
    name: "generic_hmac",
    display_name: "HMAC over the body",
    documentation: "",
    schemes: &[Scheme::new("generic_hmac", Rule::Configured(Kind::Hmac))],
    ritual: Ritual::None,
};

pub(super) const GENERIC_HMAC_TIMESTAMP: Provider = Provider {
    name: "generic_hmac_timestamp",
    display_name: "HMAC over timestamp and body",
    documentation: "",
    schemes: &[Scheme::new("generic_hmac_timestamp", Rule::Configured(Kind::HmacTimestamp))],
    ritual: Ritual::None,
};

pub(super) const GENERIC_IP_ALLOWLIST: Provider = Provider {
    name: "generic_ip_allowlist",
    display_name: "List of addresses",
    documentation: "",
    schemes: &[Scheme::new("generic_ip_allowlist", Rule::AddressList)],
    ritual: Ritual::None,
};

pub(super) const GENERIC_JWT: Provider = Provider {
    name: "generic_jwt",
    display_name: "JSON Web Token",
    documentation: "",
    schemes: &[Scheme::new("generic_jwt", Rule::Jwt(jwt::Kind::Configured))],
    ritual: Ritual::None,
};

pub(super) const GENERIC_NONE: Provider = Provider {
    name: "generic_none",
    display_name: "Nothing vouches for requests",
    documentation: "",
    schemes: &[Scheme::new("generic_none", Rule::Nothing)],
    ritual: Ritual::None,
};

pub(super) const STANDARD_WEBHOOKS: Provider = Provider {
    name: "standard_webhooks",
    display_name: "Standard Webhooks",
    documentation: "https://github.com/standard-webhooks/standard-webhooks/blob/b2fa7b8719fb75d326b591077f5d1b385cfcdfae/spec/standard-webhooks.md",
    schemes: &[
        Scheme::new("v1", Rule::Standard(Standard::V1(SecretForm::Whsec))).event("signed-id", "$.type"),
        Scheme::new("v1a", Rule::Standard(Standard::V1a)).event("signed-id", "$.type"),
    ],
    ritual: Ritual::None,
};

pub(super) const SVIX: Provider = Provider {
    name: "svix",
    display_name: "Svix",
    documentation: "https://docs.svix.com/receiving/verifying-payloads/how-manual",
    schemes: &[Scheme::new("v1", Rule::Standard(Standard::V1(SecretForm::Whsec))).event("signed-id", "$.type")],
    ritual: Ritual::None,
};
