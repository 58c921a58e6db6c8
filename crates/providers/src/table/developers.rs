//! Code, builds, monitoring, identity and infrastructure. Data only: what the words of a row mean is written at `Signed`, `Rule` and `Sources`.

use crate::clock::{Future, Unit};
use crate::encoding::Encoding::HexLower;
use crate::handshake::Ritual;
use crate::keys::{
    Hash::{Sha1, Sha256},
    SecretForm,
};
use crate::provider::{Provider, Scheme};
use crate::schemes::Rule;
use crate::schemes::signed::{NAMED_BY_SETTINGS, Signed};
use crate::schemes::standard::Standard;
use crate::schemes::token::Token;

pub(super) const AUTH0: Provider = Provider {
    name: "auth0",
    display_name: "Auth0",
    documentation: "https://auth0.com/docs/customize/log-streams/custom-log-streams",
    schemes: &[
        Scheme::new("static", Rule::Token(Token::Header("Authorization"))).event("$.0.log_id | $.log_id", "$.0.data.type | $.data.type")
    ],
    ritual: Ritual::None,
};

pub(super) const BITBUCKET: Provider = Provider {
    name: "bitbucket",
    display_name: "Bitbucket Cloud",
    documentation: "https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/",
    schemes: &[Scheme::new("sha256", Rule::Signed(Signed::hmac(Sha256, "header:X-Hub-Signature", HexLower).prefix("sha256=")))
        .event("header:X-Request-UUID", "header:X-Event-Key")],
    ritual: Ritual::None,
};

pub(super) const CIRCLECI: Provider = Provider {
    name: "circleci",
    display_name: "CircleCI",
    documentation: "https://github.com/circleci/circleci-docs/blob/9734a1410cc98741bc09b84f187325a8f43baf68/docs/guides/modules/integration/pages/outbound-webhooks.adoc",
    schemes: &[Scheme::new("v1", Rule::Signed(Signed::hmac(Sha256, "header:circleci-signature", HexLower).elements(',', "v1")))
        .event("$.id", "header:circleci-event-type | $.type")],
    ritual: Ritual::None,
};

pub(super) const CLERK: Provider = Provider {
    name: "clerk",
    display_name: "Clerk",
    documentation: "https://clerk.com/docs/webhooks/overview",
    schemes: &[Scheme::new("svix", Rule::Standard(Standard::V1(SecretForm::Whsec))).event("signed-id", "$.type")],
    ritual: Ritual::None,
};

pub(super) const CLOUDFLARE: Provider = Provider {
    name: "cloudflare",
    display_name: "Cloudflare",
    documentation: "https://developers.cloudflare.com/notifications/get-started/configure-webhooks/",
    schemes: &[
        Scheme::new(
            "stream",
            Rule::Signed(Signed::hmac(Sha256, "header:Webhook-Signature", HexLower).elements(',', "sig1").text("{timestamp}.{body}").time(
                "element:time",
                Unit::Seconds,
                None,
                Future::Within,
            )),
        )
        .event("", "$.status.state"),
        Scheme::new("notifications", Rule::Token(Token::Header("cf-webhook-auth"))).event("", "$.alert_type"),
    ],
    ritual: Ritual::None,
};

pub(super) const DATADOG: Provider = Provider {
    name: "datadog",
    display_name: "Datadog",
    documentation: "https://docs.datadoghq.com/integrations/webhooks/",
    schemes: &[Scheme::new("static", Rule::Token(Token::Header("X-Webhook-Token"))).event("$.id | $.alert_id", "$.event_type")],
    ritual: Ritual::None,
};

pub(super) const GITHUB: Provider = Provider {
    name: "github",
    display_name: "GitHub",
    documentation: "https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries",
    schemes: &[
        Scheme::new("sha256", Rule::Signed(Signed::hmac(Sha256, "header:X-Hub-Signature-256", HexLower).prefix("sha256=")))
            .event("header:X-GitHub-Delivery", "header:X-GitHub-Event"),
        Scheme::new("sha1", Rule::Signed(Signed::hmac(Sha1, "header:X-Hub-Signature", HexLower).prefix("sha1=")))
            .event("header:X-GitHub-Delivery", "header:X-GitHub-Event")
            .only_if_named(),
    ],
    ritual: Ritual::None,
};

pub(super) const GITLAB: Provider = Provider {
    name: "gitlab",
    display_name: "GitLab",
    documentation: "https://docs.gitlab.com/user/project/integrations/webhooks/",
    schemes: &[
        Scheme::new("signing_token", Rule::Standard(Standard::V1(SecretForm::PrefixedWhsec))).event("signed-id", "header:X-Gitlab-Event"),
        Scheme::new("token", Rule::Token(Token::Header("X-Gitlab-Token"))).event("header:Idempotency-Key", "header:X-Gitlab-Event"),
    ],
    ritual: Ritual::None,
};

pub(super) const GRAFANA: Provider = Provider {
    name: "grafana",
    display_name: "Grafana",
    documentation: "https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/",
    schemes: &[
        Scheme::new(
            "timestamped",
            Rule::Signed(Signed::hmac(Sha256, "header:X-Grafana-Alerting-Signature", HexLower).text("{timestamp}:{body}").time(
                NAMED_BY_SETTINGS,
                Unit::Seconds,
                None,
                Future::Within,
            )),
        )
        .event("", "$.status"),
        Scheme::new("body", Rule::Signed(Signed::hmac(Sha256, "header:X-Grafana-Alerting-Signature", HexLower))).event("", "$.status"),
    ],
    ritual: Ritual::None,
};

pub(super) const LAUNCHDARKLY: Provider = Provider {
    name: "launchdarkly",
    display_name: "LaunchDarkly",
    documentation: "https://launchdarkly.com/docs/integrations/webhooks",
    schemes: &[Scheme::new("sha256", Rule::Signed(Signed::hmac(Sha256, "header:X-LD-Signature", HexLower))).event("$._id", "$.kind")],
    ritual: Ritual::None,
};

pub(super) const MUX: Provider = Provider {
    name: "mux",
    display_name: "Mux",
    documentation: "https://www.mux.com/docs/core/verify-webhook-signatures",
    schemes: &[Scheme::new(
        "v1",
        Rule::Signed(Signed::hmac(Sha256, "header:Mux-Signature", HexLower).elements(',', "v1").text("{timestamp}.{body}").time(
            "element:t",
            Unit::Seconds,
            Some(300),
            Future::Any,
        )),
    )
    .event("$.id", "$.type")],
    ritual: Ritual::None,
};

pub(super) const OKTA: Provider = Provider {
    name: "okta",
    display_name: "Okta",
    documentation: "https://developer.okta.com/docs/concepts/event-hooks/",
    schemes: &[Scheme::new("static", Rule::Token(Token::Header("Authorization"))).event("$.eventId", "$.data.events.0.eventType")],
    ritual: Ritual::Okta,
};

pub(super) const OPENAI: Provider = Provider {
    name: "openai",
    display_name: "OpenAI",
    documentation: "https://platform.openai.com/docs/guides/webhooks",
    schemes: &[Scheme::new("standard_webhooks", Rule::Standard(Standard::V1(SecretForm::Whsec))).event("signed-id", "$.type")],
    ritual: Ritual::None,
};

pub(super) const PAGERDUTY: Provider = Provider {
    name: "pagerduty",
    display_name: "PagerDuty",
    documentation: "https://github.com/PagerDuty/developer-docs/blob/94224391aa3eac8fa73ea6a6af542dee0613d3e8/docs/webhooks/04-Signatures.md",
    schemes: &[Scheme::new("v1", Rule::Signed(Signed::hmac(Sha256, "header:X-PagerDuty-Signature", HexLower).elements(',', "v1")))
        .event("$.event.id", "$.event.event_type")],
    ritual: Ritual::None,
};

pub(super) const REPLICATE: Provider = Provider {
    name: "replicate",
    display_name: "Replicate",
    documentation: "https://replicate.com/docs/topics/webhooks/verify-webhook",
    schemes: &[Scheme::new("standard_webhooks", Rule::Standard(Standard::V1(SecretForm::Whsec))).event("signed-id", "")],
    ritual: Ritual::None,
};

pub(super) const SENTRY: Provider = Provider {
    name: "sentry",
    display_name: "Sentry",
    documentation: "https://docs.sentry.io/organization/integrations/integration-platform/webhooks/",
    schemes: &[Scheme::new("sha256", Rule::Signed(Signed::hmac(Sha256, "header:Sentry-Hook-Signature", HexLower)))
        .event("header:Request-ID", "{header:Sentry-Hook-Resource}.{$.action} | header:Sentry-Hook-Resource")],
    ritual: Ritual::None,
};

pub(super) const VERCEL: Provider = Provider {
    name: "vercel",
    display_name: "Vercel",
    documentation: "https://vercel.com/docs/webhooks/webhooks-api",
    schemes: &[Scheme::new("sha1", Rule::Signed(Signed::hmac(Sha1, "header:X-Vercel-Signature", HexLower))).event("$.id", "$.type")],
    ritual: Ritual::None,
};
