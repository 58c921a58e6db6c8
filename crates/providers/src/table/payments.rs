//! Payments, shops and accounting. Data only: what the words of a row mean is written at `Signed`, `Rule` and `Sources`.

use crate::clock::{Future, Unit};
use crate::encoding::Encoding::{Base64, HexLower};
use crate::handshake::Ritual;
use crate::keys::{Hash::Sha256, SecretForm};
use crate::provider::{Provider, Scheme};
use crate::schemes::Rule;
use crate::schemes::signed::Signed;
use crate::schemes::standard::Standard;
use crate::schemes::token::Token;

pub(super) const ADYEN: Provider = Provider {
    name: "adyen",
    display_name: "Adyen",
    documentation: "https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures",
    schemes: &[
        Scheme::new("platform", Rule::Signed(Signed::hmac(Sha256, "header:HmacSignature", Base64).secret(SecretForm::Hex)))
            .event("", "$.type"),
        Scheme::new("standard", Rule::AdyenStandard).event(
            "{$.notificationItems.0.NotificationRequestItem.pspReference}:{$.notificationItems.0.NotificationRequestItem.eventCode}",
            "$.notificationItems.0.NotificationRequestItem.eventCode",
        ),
    ],
    ritual: Ritual::None,
};

pub(super) const BIGCOMMERCE: Provider = Provider {
    name: "bigcommerce",
    display_name: "BigCommerce",
    documentation: "https://github.com/bigcommerce/docs/blob/24f580ca6d2981728b7ed70a2049e00fc602c335/docs/integrations/webhooks/https-webhook-overview.mdx",
    schemes: &[
        Scheme::new("standard_webhooks", Rule::Standard(Standard::V1(SecretForm::Text))).event("signed-id", "$.scope"),
        Scheme::new("custom_header", Rule::Token(Token::Configured)).event("header:webhook-id", "$.scope"),
    ],
    ritual: Ritual::None,
};

pub(super) const COINBASE: Provider = Provider {
    name: "coinbase",
    display_name: "Coinbase",
    documentation: "https://docs.cdp.coinbase.com/commerce/api-arcitecture/webhooks-overview",
    schemes: &[
        Scheme::new("commerce", Rule::Signed(Signed::hmac(Sha256, "header:X-CC-Webhook-Signature", HexLower)))
            .event("$.event.id", "$.event.type"),
        Scheme::new(
            "cdp",
            Rule::Signed(
                Signed::hmac(Sha256, "header:X-Hook0-Signature", HexLower)
                    .elements(',', "v1")
                    .text("{timestamp}.{element:h}.{covered:h}.{body}")
                    .time("element:t", Unit::Seconds, Some(300), Future::Within),
            ),
        )
        .event("header:X-Event-Id", "$.eventType | header:X-Event-Type"),
        Scheme::new(
            "cdp_v0",
            Rule::Signed(Signed::hmac(Sha256, "header:X-Hook0-Signature", HexLower).elements(',', "v0").text("{timestamp}.{body}").time(
                "element:t",
                Unit::Seconds,
                Some(300),
                Future::Within,
            )),
        )
        .event("header:X-Event-Id", "$.eventType | header:X-Event-Type")
        .only_if_named(),
    ],
    ritual: Ritual::None,
};

pub(super) const PADDLE: Provider = Provider {
    name: "paddle",
    display_name: "Paddle",
    documentation: "https://developer.paddle.com/webhooks/signature-verification",
    schemes: &[
        Scheme::new(
            "billing",
            Rule::Signed(Signed::hmac(Sha256, "header:Paddle-Signature", HexLower).elements(';', "h1").text("{timestamp}:{body}").time(
                "element:ts",
                Unit::Seconds,
                Some(5),
                Future::Within,
            )),
        )
        .event("$.event_id", "$.event_type"),
        Scheme::new("classic", Rule::PaddleClassic).event("form:alert_id", "form:alert_name"),
    ],
    ritual: Ritual::None,
};

pub(super) const PAYPAL: Provider = Provider {
    name: "paypal",
    display_name: "PayPal",
    documentation: "https://developer.paypal.com/api/rest/webhooks/rest/#link-selfverificationmethod",
    schemes: &[Scheme::new("cert", Rule::PayPal).event("$.id", "$.event_type")],
    ritual: Ritual::None,
};

pub(super) const QUICKBOOKS: Provider = Provider {
    name: "quickbooks",
    display_name: "QuickBooks",
    documentation: "https://developer.intuit.com/app/developer/qbo/docs/develop/webhooks",
    schemes: &[Scheme::new("sha256", Rule::Signed(Signed::hmac(Sha256, "header:intuit-signature", Base64))).event(
        "$.0.id",
        "$.0.type | {$.eventNotifications.0.dataChangeEvent.entities.0.name}.{$.eventNotifications.0.dataChangeEvent.entities.0.operation}",
    )],
    ritual: Ritual::None,
};

pub(super) const RAZORPAY: Provider = Provider {
    name: "razorpay",
    display_name: "Razorpay",
    documentation: "https://razorpay.com/docs/webhooks/validate-test/",
    schemes: &[Scheme::new("sha256", Rule::Signed(Signed::hmac(Sha256, "header:X-Razorpay-Signature", HexLower)))
        .event("header:X-Razorpay-Event-Id", "$.event")],
    ritual: Ritual::None,
};

pub(super) const SHOPIFY: Provider = Provider {
    name: "shopify",
    display_name: "Shopify",
    documentation: "https://shopify.dev/docs/apps/build/webhooks/verify-deliveries",
    schemes: &[
        Scheme::new("hmac", Rule::Signed(Signed::hmac(Sha256, "header:X-Shopify-Hmac-SHA256", Base64)))
            .event("header:X-Shopify-Webhook-Id | header:X-Shopify-Event-Id", "header:X-Shopify-Topic"),
        Scheme::new("events", Rule::Signed(Signed::hmac(Sha256, "header:Shopify-Hmac-SHA256", Base64)))
            .event("header:Shopify-Webhook-Id | header:Shopify-Event-Id", "header:Shopify-Topic"),
    ],
    ritual: Ritual::None,
};

pub(super) const SQUARE: Provider = Provider {
    name: "square",
    display_name: "Square",
    documentation: "https://developer.squareup.com/docs/webhooks/step3validate",
    schemes: &[Scheme::new(
        "hmacsha256",
        Rule::Signed(Signed::hmac(Sha256, "header:X-Square-HmacSha256-Signature", Base64).text("{notification_url}{body}")),
    )
    .event("$.event_id", "$.type")],
    ritual: Ritual::None,
};

pub(super) const STRIPE: Provider = Provider {
    name: "stripe",
    display_name: "Stripe",
    documentation: "https://docs.stripe.com/webhooks/signature",
    schemes: &[Scheme::new(
        "v1",
        Rule::Signed(Signed::hmac(Sha256, "header:Stripe-Signature", HexLower).elements(',', "v1").text("{timestamp}.{body}").time(
            "element:t",
            Unit::Seconds,
            Some(300),
            Future::Any,
        )),
    )
    .event("$.id", "$.type")],
    ritual: Ritual::None,
};

pub(super) const WOOCOMMERCE: Provider = Provider {
    name: "woocommerce",
    display_name: "WooCommerce",
    documentation: "https://woocommerce.com/document/webhooks/",
    schemes: &[Scheme::new("sha256", Rule::Signed(Signed::hmac(Sha256, "header:X-WC-Webhook-Signature", Base64)))
        .event("header:X-WC-Webhook-Delivery-ID", "header:X-WC-Webhook-Topic")],
    ritual: Ritual::WooCommerce,
};

pub(super) const XERO: Provider = Provider {
    name: "xero",
    display_name: "Xero",
    documentation: "https://developer.xero.com/documentation/guides/webhooks/configuring-your-server/",
    schemes: &[Scheme::new("sha256", Rule::Signed(Signed::hmac(Sha256, "header:X-Xero-Signature", Base64)))
        .event("", "{$.events.0.eventCategory}.{$.events.0.eventType}")],
    ritual: Ritual::Xero,
};
