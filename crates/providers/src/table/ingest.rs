//! Providers that are known because Svix Ingest takes them: whoever comes from there brings their sources along. Each scheme is as the provider's own
//! documentation says. Data only: what the words of a row mean is written at `Signed`, `Rule` and `Sources`.

use crate::clock::{Future, Unit};
use crate::encoding::Encoding::{Base64, Base64UrlPadded, HexLower};
use crate::handshake::Ritual;
use crate::keys::{Asymmetric, Hash::Sha256, SecretForm};
use crate::provider::{Provider, Scheme};
use crate::schemes::Rule;
use crate::schemes::signed::Signed;
use crate::schemes::standard::Standard;
use crate::schemes::token::Token;

/// Nobody signs: the secret, the client id of the application, comes with each request and must be sent back.
pub(super) const ADOBE_SIGN: Provider = Provider {
    name: "adobe_sign",
    display_name: "Adobe Acrobat Sign",
    documentation: "https://helpx.adobe.com/sign/developer/webhook/overview.html",
    schemes: &[Scheme::new("token", Rule::Token(Token::Header("X-AdobeSign-ClientId"))).event("$.webhookNotificationId", "$.event")],
    ritual: Ritual::AdobeSign,
};

pub(super) const AIRWALLEX: Provider = Provider {
    name: "airwallex",
    display_name: "Airwallex",
    documentation: "https://www.airwallex.com/docs/developer-tools__listen-for-webhook-events",
    schemes: &[Scheme::new(
        "sha256",
        Rule::Signed(Signed::hmac(Sha256, "header:x-signature", HexLower).text("{timestamp}{body}").time(
            "header:x-timestamp",
            Unit::Millis,
            None,
            Future::Within,
        )),
    )
    .event("$.id", "$.name")],
    ritual: Ritual::None,
};

/// The id in its body is that of a check, which has many events.
pub(super) const CHECKBOOK: Provider = Provider {
    name: "checkbook",
    display_name: "Checkbook",
    documentation: "https://docs.checkbook.io/reference/webhooks",
    schemes: &[Scheme::new(
        "sha256",
        Rule::Signed(Signed::hmac(Sha256, "header:signature", HexLower).elements(',', "signature").text("{body}{element:nonce}")),
    )
    .event("", "$.type")],
    ritual: Ritual::None,
};

pub(super) const EASYPOST: Provider = Provider {
    name: "easypost",
    display_name: "EasyPost",
    documentation: "https://docs.easypost.com/guides/webhooks-guide",
    schemes: &[Scheme::new("sha256", Rule::Signed(Signed::hmac(Sha256, "header:x-hmac-signature", HexLower).prefix("hmac-sha256-hex=")))
        .event("$.id", "$.description")],
    ritual: Ritual::None,
};

pub(super) const MERGE: Provider = Provider {
    name: "merge",
    display_name: "Merge",
    documentation: "https://docs.merge.dev/basics/webhooks/merge-webhooks/",
    schemes: &[Scheme::new("sha256", Rule::Signed(Signed::hmac(Sha256, "header:x-merge-webhook-signature", Base64UrlPadded)))
        .event("", "$.hook.event")],
    ritual: Ritual::None,
};

pub(super) const NANGO: Provider = Provider {
    name: "nango",
    display_name: "Nango",
    documentation: "https://nango.dev/docs/implementation-guides/platform/webhooks-from-nango",
    schemes: &[Scheme::new("sha256", Rule::Signed(Signed::hmac(Sha256, "header:x-nango-hmac-sha256", HexLower))).event("", "$.type")],
    ritual: Ritual::None,
};

pub(super) const OPENCLAW: Provider = Provider {
    name: "openclaw",
    display_name: "OpenClaw",
    documentation: "https://docs.openclaw.ai/automation/webhook",
    schemes: &[Scheme::new("token", Rule::Token(Token::Header("x-openclaw-token"))), Scheme::new("bearer", Rule::Token(Token::Bearer))],
    ritual: Ritual::None,
};

pub(super) const ORUM_IO: Provider = Provider {
    name: "orum_io",
    display_name: "Orum",
    documentation: "https://docs.orum.io/reference/secure-webhooks",
    schemes: &[Scheme::new(
        "rsa",
        Rule::Signed(Signed::public(Asymmetric::Rsa(Sha256), "header:signature", Base64).text("{body}{$.created_at}")),
    )
    .event("", "$.event_type")],
    ritual: Ritual::None,
};

/// One request has several events; it is of the type of the first.
pub(super) const PANDA_DOC: Provider = Provider {
    name: "panda_doc",
    display_name: "PandaDoc",
    documentation: "https://developers.pandadoc.com/docs/webhook-verification",
    schemes: &[Scheme::new("sha256", Rule::Signed(Signed::hmac(Sha256, "query:signature", HexLower))).event("", "$.0.event")],
    ritual: Ritual::None,
};

pub(super) const PORT_IO: Provider = Provider {
    name: "port_io",
    display_name: "Port",
    documentation: "https://docs.port.io/actions-and-automations/setup-backend/webhook/signature-verification/",
    schemes: &[Scheme::new(
        "v1",
        Rule::Signed(Signed::hmac(Sha256, "header:x-port-signature", Base64).prefix("v1,").text("{timestamp}.{body}").time(
            "header:x-port-timestamp",
            Unit::Seconds,
            Some(300),
            Future::Within,
        )),
    )],
    ritual: Ritual::None,
};

pub(super) const RUTTER: Provider = Provider {
    name: "rutter",
    display_name: "Rutter",
    documentation: "https://docs.rutterapi.com/docs/webhook-security",
    schemes: &[Scheme::new("sha256", Rule::Signed(Signed::hmac(Sha256, "header:x-rutter-signature", Base64).prefix("sha256=")))
        .event("", "$.code")],
    ritual: Ritual::None,
};

/// One request has several events; it is of the type of the first.
pub(super) const TAILSCALE: Provider = Provider {
    name: "tailscale",
    display_name: "Tailscale",
    documentation: "https://tailscale.com/kb/1213/webhooks",
    schemes: &[Scheme::new(
        "v1",
        Rule::Signed(
            Signed::hmac(Sha256, "header:tailscale-webhook-signature", HexLower).elements(',', "v1").text("{timestamp}.{body}").time(
                "element:t",
                Unit::Seconds,
                Some(300),
                Future::Within,
            ),
        ),
    )
    .event("", "$.0.type")],
    ritual: Ritual::None,
};

pub(super) const TELNYX: Provider = Provider {
    name: "telnyx",
    display_name: "Telnyx",
    documentation: "https://developers.telnyx.com/docs/messaging/messages/receiving-webhooks",
    schemes: &[Scheme::new(
        "ed25519",
        Rule::Signed(Signed::public(Asymmetric::Ed25519, "header:telnyx-signature-ed25519", Base64).text("{timestamp}|{body}").time(
            "header:telnyx-timestamp",
            Unit::Seconds,
            Some(300),
            Future::Within,
        )),
    )
    .event("$.data.id", "$.data.event_type")],
    ritual: Ritual::None,
};

/// The operator chooses in its dashboard: a signature, or the secret itself.
pub(super) const VAPI: Provider = Provider {
    name: "vapi",
    display_name: "Vapi",
    documentation: "https://docs.vapi.ai/server-url/server-authentication",
    schemes: &[
        Scheme::new("sha256", Rule::Signed(Signed::hmac(Sha256, "header:x-vapi-signature", HexLower))).event("", "$.message.type"),
        Scheme::new("token", Rule::Token(Token::Header("x-vapi-secret"))).event("", "$.message.type"),
    ],
    ritual: Ritual::None,
};

pub(super) const VERIFF: Provider = Provider {
    name: "veriff",
    display_name: "Veriff",
    documentation: "https://devdocs.veriff.com/docs/hmac-authentication-and-endpoint-security",
    schemes: &[Scheme::new("sha256", Rule::Signed(Signed::hmac(Sha256, "header:x-hmac-signature | header:vrf-hmac-signature", HexLower)))
        .event("", "$.action")],
    ritual: Ritual::None,
};

/// They send by way of Svix, or as Standard Webhooks define it; the headers of both are read.
const fn by_svix(name: &'static str, display_name: &'static str, documentation: &'static str) -> Provider {
    const SCHEMES: &[Scheme] =
        &[Scheme::new("svix", Rule::Standard(Standard::V1(SecretForm::Whsec))).event("signed-id", "$.type | $.event_type | $.eventType")];
    Provider { name, display_name, documentation, schemes: SCHEMES, ritual: Ritual::None }
}

pub(super) const BEEHIIV: Provider = by_svix("beehiiv", "beehiiv", "https://developers.beehiiv.com/webhooks/overview");
pub(super) const BREX: Provider = by_svix("brex", "Brex", "https://developer.brex.com/docs/webhooks/");
pub(super) const GUESTY: Provider = by_svix("guesty", "Guesty", "https://open-api-docs.guesty.com/docs/webhooks");
pub(super) const INCIDENT_IO: Provider = by_svix("incident_io", "incident.io", "https://api-docs.incident.io/tag/Webhooks/");
pub(super) const LITHIC: Provider = by_svix("lithic", "Lithic", "https://docs.lithic.com/docs/events-api");
pub(super) const NASH: Provider = by_svix("nash", "Nash", "https://docs.usenash.com/");
pub(super) const PLEO: Provider = by_svix("pleo", "Pleo", "https://developers.pleo.io/");
pub(super) const PSI_FI: Provider = by_svix("psi_fi", "PsiFi", "");
pub(super) const RENDER: Provider = by_svix("render", "Render", "https://render.com/docs/webhooks");
pub(super) const SAFEBASE: Provider = by_svix("safebase", "SafeBase", "https://docs.safebase.io/");
pub(super) const SARDINE: Provider = by_svix("sardine", "Sardine", "https://docs.sardine.ai/");
pub(super) const STYCH: Provider = by_svix("stych", "Stytch", "https://stytch.com/docs/guides/webhooks/overview");
