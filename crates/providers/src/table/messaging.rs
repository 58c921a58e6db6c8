//! Chat, mail, voice and social networks. Data only: what the words of a row mean is written at `Signed`, `Rule` and `Sources`.

use crate::clock::{Future, Unit};
use crate::encoding::Encoding::{Base64, Hex, HexLower};
use crate::handshake::Ritual;
use crate::keys::{
    Asymmetric,
    Hash::{Sha1, Sha256},
    SecretForm,
};
use crate::provider::{Provider, Scheme};
use crate::schemes::Rule;
use crate::schemes::signed::Signed;
use crate::schemes::standard::Standard;
use crate::schemes::token::Token;
use crate::schemes::twilio::Variant;

pub(super) const DISCORD: Provider = Provider {
    name: "discord",
    display_name: "Discord",
    documentation: "https://github.com/discord/discord-api-docs/blob/c98d64bc233833839cf0d8d369e81b77f21ade60/developers/interactions/overview.mdx",
    schemes: &[Scheme::new(
        "ed25519",
        Rule::Signed(Signed::public(Asymmetric::Ed25519, "header:X-Signature-Ed25519", Hex).text("{timestamp}{body}").time(
            "header:X-Signature-Timestamp",
            Unit::Seconds,
            None,
            Future::Within,
        )),
    )
    .event("$.id", "$.event.type | $.type")],
    ritual: Ritual::Discord,
};

pub(super) const INTERCOM: Provider = Provider {
    name: "intercom",
    display_name: "Intercom",
    documentation: "https://developers.intercom.com/docs/webhooks/webhook-notifications",
    schemes: &[
        Scheme::new("sha1", Rule::Signed(Signed::hmac(Sha1, "header:X-Hub-Signature", HexLower).prefix("sha1="))).event("$.id", "$.topic")
    ],
    ritual: Ritual::None,
};

pub(super) const LINE: Provider = Provider {
    name: "line",
    display_name: "LINE",
    documentation: "https://developers.line.biz/en/reference/messaging-api/#signature-validation",
    schemes: &[Scheme::new("sha256", Rule::Signed(Signed::hmac(Sha256, "header:X-Line-Signature", Base64)))
        .event("$.events.0.webhookEventId", "$.events.0.type")],
    ritual: Ritual::Line,
};

pub(super) const MAILGUN: Provider = Provider {
    name: "mailgun",
    display_name: "Mailgun",
    documentation: "https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks",
    schemes: &[Scheme::new(
        "body",
        Rule::Signed(
            Signed::hmac(Sha256, "$.signature.signature | form:signature", HexLower)
                .text("{timestamp}{$.signature.token | form:token}")
                .time("$.signature.timestamp | form:timestamp", Unit::Seconds, None, Future::Within),
        ),
    )
    .event("$.event-data.id", "$.event-data.event | form:event")],
    ritual: Ritual::None,
};

pub(super) const META: Provider = Provider {
    name: "meta",
    display_name: "Meta (Facebook, Instagram, Messenger, WhatsApp)",
    documentation: "https://developers.facebook.com/docs/graph-api/webhooks/getting-started",
    schemes: &[
        Scheme::new("sha256", Rule::Signed(Signed::hmac(Sha256, "header:X-Hub-Signature-256", HexLower).prefix("sha256=")))
            .event("$.entry.0.changes.0.value.messages.0.id | $.entry.0.messaging.0.message.mid", "$.entry.0.changes.0.field | $.object"),
        Scheme::new("sha1", Rule::Signed(Signed::hmac(Sha1, "header:X-Hub-Signature", HexLower).prefix("sha1=")))
            .event("$.entry.0.changes.0.value.messages.0.id | $.entry.0.messaging.0.message.mid", "$.entry.0.changes.0.field | $.object")
            .only_if_named(),
    ],
    ritual: Ritual::Meta,
};

pub(super) const POSTMARK: Provider = Provider {
    name: "postmark",
    display_name: "Postmark",
    documentation: "https://postmarkapp.com/developer/webhooks/webhooks-overview",
    schemes: &[Scheme::new("basic", Rule::Token(Token::Basic)).event("$.MessageID", "$.RecordType")],
    ritual: Ritual::None,
};

pub(super) const RESEND: Provider = Provider {
    name: "resend",
    display_name: "Resend",
    documentation: "https://resend.com/docs/webhooks/verify-webhooks-requests",
    schemes: &[Scheme::new("svix", Rule::Standard(Standard::V1(SecretForm::Whsec))).event("signed-id", "$.type")],
    ritual: Ritual::None,
};

pub(super) const SENDGRID: Provider = Provider {
    name: "sendgrid",
    display_name: "SendGrid",
    documentation: "https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features",
    schemes: &[Scheme::new(
        "ecdsa",
        Rule::Signed(
            Signed::public(Asymmetric::EcdsaP256, "header:X-Twilio-Email-Event-Webhook-Signature", Base64).text("{timestamp}{body}").time(
                "header:X-Twilio-Email-Event-Webhook-Timestamp",
                Unit::Seconds,
                None,
                Future::Within,
            ),
        ),
    )
    .event("$.0.sg_event_id", "$.0.event")],
    ritual: Ritual::None,
};

pub(super) const SLACK: Provider = Provider {
    name: "slack",
    display_name: "Slack",
    documentation: "https://docs.slack.dev/authentication/verifying-requests-from-slack/",
    schemes: &[Scheme::new(
        "v0",
        Rule::Signed(Signed::hmac(Sha256, "header:X-Slack-Signature", HexLower).prefix("v0=").text("v0:{timestamp}:{body}").time(
            "header:X-Slack-Request-Timestamp",
            Unit::Seconds,
            Some(300),
            Future::Within,
        )),
    )
    .event("$.event_id", "$.event.type | $.type | form:command | form-json:payload:$.type")],
    ritual: Ritual::Slack,
};

pub(super) const TELEGRAM: Provider = Provider {
    name: "telegram",
    display_name: "Telegram",
    documentation: "https://core.telegram.org/bots/api#setwebhook",
    schemes: &[Scheme::new("static", Rule::Token(Token::Header("X-Telegram-Bot-Api-Secret-Token"))).event("$.update_id", "key:!update_id")],
    ritual: Ritual::None,
};

pub(super) const TWILIO: Provider = Provider {
    name: "twilio",
    display_name: "Twilio",
    documentation: "https://www.twilio.com/docs/usage/webhooks/webhooks-security",
    schemes: &[
        Scheme::new("form", Rule::Twilio(Variant::Form)).event("header:I-Twilio-Idempotency-Token", ""),
        Scheme::new("json", Rule::Twilio(Variant::Json)).event("header:I-Twilio-Idempotency-Token", ""),
        Scheme::new("sharedkey", Rule::Twilio(Variant::SharedKey)).event("header:I-Twilio-Idempotency-Token", ""),
    ],
    ritual: Ritual::None,
};

pub(super) const TWITCH: Provider = Provider {
    name: "twitch",
    display_name: "Twitch",
    documentation: "https://dev.twitch.tv/docs/eventsub/handling-webhook-events/",
    schemes: &[Scheme::new(
        "sha256",
        Rule::Signed(
            Signed::hmac(Sha256, "header:Twitch-Eventsub-Message-Signature", HexLower)
                .prefix("sha256=")
                .text("{header:Twitch-Eventsub-Message-Id}{timestamp}{body}")
                .time("header:Twitch-Eventsub-Message-Timestamp", Unit::Rfc3339, Some(600), Future::Any),
        ),
    )
    .event("header:Twitch-Eventsub-Message-Id", "header:Twitch-Eventsub-Subscription-Type")],
    ritual: Ritual::Twitch,
};

pub(super) const X_TWITTER: Provider = Provider {
    name: "x_twitter",
    display_name: "X (Twitter)",
    documentation: "https://docs.x.com/x-api/webhooks/introduction",
    schemes: &[Scheme::new("sha256", Rule::Signed(Signed::hmac(Sha256, "header:X-Twitter-Webhooks-Signature", Base64).prefix("sha256=")))
        .event("", "key:*_events | key:*_event")],
    ritual: Ritual::X,
};

pub(super) const ZOOM: Provider = Provider {
    name: "zoom",
    display_name: "Zoom",
    documentation: "https://developers.zoom.us/docs/api/webhooks/",
    schemes: &[Scheme::new(
        "v0",
        Rule::Signed(Signed::hmac(Sha256, "header:X-Zm-Signature", HexLower).prefix("v0=").text("v0:{timestamp}:{body}").time(
            "header:X-Zm-Request-Timestamp",
            Unit::Seconds,
            None,
            Future::Within,
        )),
    )
    .event("", "$.event")],
    ritual: Ritual::Zoom,
};
