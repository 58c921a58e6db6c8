//! Customers, documents, content and work. Data only: what the words of a row mean is written at `Signed`, `Rule` and `Sources`.

use crate::clock::{Future, Unit};
use crate::encoding::Encoding::{Base64, Hex, HexLower};
use crate::handshake::Ritual;
use crate::keys::{
    Hash::{Sha1, Sha256},
    SecretForm,
};
use crate::provider::{Provider, Scheme};
use crate::schemes::Rule;
use crate::schemes::jwt::Kind;
use crate::schemes::signed::{SecondText, Signed};
use crate::schemes::token::Token;

pub(super) const AIRTABLE: Provider = Provider {
    name: "airtable",
    display_name: "Airtable",
    documentation: "https://airtable.com/developers/web/api/webhooks-overview",
    schemes: &[Scheme::new(
        "sha256",
        Rule::Signed(Signed::hmac(Sha256, "header:X-Airtable-Content-MAC", HexLower).secret(SecretForm::Base64).prefix("hmac-sha256=")),
    )],
    ritual: Ritual::None,
};

pub(super) const ASANA: Provider = Provider {
    name: "asana",
    display_name: "Asana",
    documentation: "https://developers.asana.com/docs/webhooks-guide",
    schemes: &[Scheme::new("sha256", Rule::Signed(Signed::hmac(Sha256, "header:X-Hook-Signature", HexLower)))
        .event("", "{$.events.0.resource.resource_type}.{$.events.0.action}")],
    ritual: Ritual::Asana,
};

pub(super) const BOX: Provider = Provider {
    name: "box",
    display_name: "Box",
    documentation: "https://developer.box.com/guides/webhooks/v2/signatures-v2/",
    schemes: &[Scheme::new(
        "v1",
        Rule::Signed(
            Signed::hmac(Sha256, "header:BOX-SIGNATURE-PRIMARY", Base64)
                .pair("BOX-SIGNATURE-SECONDARY")
                .text("{body}{timestamp}")
                .or(SecondText::EscapedBody)
                .time("header:BOX-DELIVERY-TIMESTAMP", Unit::Rfc3339, Some(600), Future::Never)
                .must(&[("BOX-SIGNATURE-VERSION", "1"), ("BOX-SIGNATURE-ALGORITHM", "HmacSHA256")]),
        ),
    )
    .event("$.id | header:BOX-DELIVERY-ID", "$.trigger")],
    ritual: Ritual::None,
};

pub(super) const CALENDLY: Provider = Provider {
    name: "calendly",
    display_name: "Calendly",
    documentation: "https://developer.calendly.com/api-docs/4c305798a61d3-webhook-signatures",
    schemes: &[Scheme::new(
        "v1",
        Rule::Signed(
            Signed::hmac(Sha256, "header:Calendly-Webhook-Signature", HexLower).elements(',', "v1").text("{timestamp}.{body}").time(
                "element:t",
                Unit::Seconds,
                Some(180),
                Future::Any,
            ),
        ),
    )
    .event("", "$.event")],
    ritual: Ritual::None,
};

pub(super) const CHURNZERO: Provider = Provider {
    name: "churnzero",
    display_name: "ChurnZero",
    documentation: "",
    schemes: &[Scheme::new("api_key", Rule::Token(Token::Configured)), Scheme::new("basic", Rule::Token(Token::Basic))],
    ritual: Ritual::None,
};

pub(super) const CONTENTFUL: Provider = Provider {
    name: "contentful",
    display_name: "Contentful",
    documentation: "https://www.contentful.com/developers/docs/webhooks/request-verification/",
    schemes: &[Scheme::new("canonical", Rule::Contentful).event("", "header:X-Contentful-Topic")],
    ritual: Ritual::None,
};

pub(super) const DOCUSIGN: Provider = Provider {
    name: "docusign",
    display_name: "DocuSign",
    documentation: "https://developers.docusign.com/platform/webhooks/connect/validate/",
    schemes: &[
        Scheme::new("hmac", Rule::Signed(Signed::hmac(Sha256, "header:X-DocuSign-Signature", Base64).numbered())).event("", "$.event")
    ],
    ritual: Ritual::None,
};

pub(super) const DROPBOX: Provider = Provider {
    name: "dropbox",
    display_name: "Dropbox",
    documentation: "https://www.dropbox.com/developers/reference/webhooks",
    schemes: &[
        Scheme::new("sha256", Rule::Signed(Signed::hmac(Sha256, "header:X-Dropbox-Signature", HexLower))).event("", "key:*list_folder")
    ],
    ritual: Ritual::Dropbox,
};

pub(super) const GAINSIGHT: Provider = Provider {
    name: "gainsight",
    display_name: "Gainsight",
    documentation: "",
    schemes: &[Scheme::new("api_key", Rule::Token(Token::Configured)), Scheme::new("basic", Rule::Token(Token::Basic))],
    ritual: Ritual::None,
};

pub(super) const HUBSPOT: Provider = Provider {
    name: "hubspot",
    display_name: "HubSpot",
    documentation: "https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation",
    schemes: &[
        Scheme::new(
            "v3",
            Rule::Signed(
                Signed::hmac(Sha256, "header:X-HubSpot-Signature-v3", Base64)
                    .text("{method}{url}{body}{timestamp}")
                    .or(SecondText::DecodedUrl)
                    .time("header:X-HubSpot-Request-Timestamp", Unit::Millis, Some(300), Future::Any),
            ),
        )
        .event("$.0.eventId", "$.0.subscriptionType"),
        Scheme::new(
            "v2",
            Rule::Signed(
                Signed::secret_then_text("header:X-HubSpot-Signature", HexLower)
                    .text("{method}{url}{body}")
                    .must(&[("X-HubSpot-Signature-Version", "v2")]),
            ),
        )
        .event("$.0.eventId", "$.0.subscriptionType"),
        Scheme::new(
            "v1",
            Rule::Signed(Signed::secret_then_text("header:X-HubSpot-Signature", HexLower).must(&[("X-HubSpot-Signature-Version", "v1")])),
        )
        .event("$.0.eventId", "$.0.subscriptionType"),
    ],
    ritual: Ritual::None,
};

pub(super) const JIRA: Provider = Provider {
    name: "jira",
    display_name: "Jira",
    documentation: "https://developer.atlassian.com/cloud/jira/platform/webhooks/",
    schemes: &[
        Scheme::new("admin_webhook", Rule::Signed(Signed::hmac(Sha256, "header:X-Hub-Signature", HexLower).prefix("sha256=")))
            .event("header:X-Atlassian-Webhook-Identifier", "$.webhookEvent"),
        Scheme::new("connect_jwt", Rule::Jwt(Kind::Connect)).event("header:X-Atlassian-Webhook-Identifier", "$.webhookEvent"),
    ],
    ritual: Ritual::None,
};

pub(super) const LINEAR: Provider = Provider {
    name: "linear",
    display_name: "Linear",
    documentation: "https://linear.app/developers/webhooks",
    schemes: &[Scheme::new(
        "sha256",
        Rule::Signed(Signed::hmac(Sha256, "header:Linear-Signature", HexLower).time(
            "number:$.webhookTimestamp",
            Unit::Millis,
            Some(60),
            Future::Within,
        )),
    )
    .event("header:Linear-Delivery", "header:Linear-Event | $.type")],
    ritual: Ritual::None,
};

pub(super) const MONDAY: Provider = Provider {
    name: "monday",
    display_name: "monday.com",
    documentation: "https://developer.monday.com/apps/docs/integration-authorization",
    schemes: &[Scheme::new("jwt", Rule::Jwt(Kind::Monday)).event("$.event.triggerUuid", "$.event.type")],
    ritual: Ritual::Monday,
};

pub(super) const NOTION: Provider = Provider {
    name: "notion",
    display_name: "Notion",
    documentation: "https://developers.notion.com/reference/webhooks",
    schemes: &[Scheme::new("sha256", Rule::Signed(Signed::hmac(Sha256, "header:X-Notion-Signature", Hex).prefix("sha256=")))
        .event("$.id", "$.type")],
    ritual: Ritual::Notion,
};

pub(super) const PIPEDRIVE: Provider = Provider {
    name: "pipedrive",
    display_name: "Pipedrive",
    documentation: "https://pipedrive.readme.io/docs/guide-for-webhooks-v2",
    schemes: &[Scheme::new("basic", Rule::Token(Token::Basic)).event("$.meta.id", "{$.meta.action}.{$.meta.entity}")],
    ritual: Ritual::None,
};

pub(super) const SALESFORCE: Provider = Provider {
    name: "salesforce",
    display_name: "Salesforce",
    documentation: "https://developer.salesforce.com/docs/marketing/marketing-cloud/guide/ens-notification-signing.html",
    schemes: &[
        Scheme::new("marketing_cloud_ens", Rule::Signed(Signed::hmac(Sha256, "header:x-sfmc-ens-signature", Base64)))
            .event("", "$.0.eventCategoryType"),
        Scheme::new("outbound_message", Rule::SoapOrganization).event("xml:Notification/Id", "xml-type:sObject"),
    ],
    ritual: Ritual::Salesforce,
};

pub(super) const SEGMENT: Provider = Provider {
    name: "segment",
    display_name: "Segment",
    documentation: "https://www.twilio.com/docs/segment/connections/destinations/catalog/actions-webhook",
    schemes: &[Scheme::new("sha1", Rule::Signed(Signed::hmac(Sha1, "header:X-Signature", HexLower))).event("$.messageId", "$.type")],
    ritual: Ritual::None,
};

pub(super) const TRELLO: Provider = Provider {
    name: "trello",
    display_name: "Trello",
    documentation: "https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks/",
    schemes: &[Scheme::new("sha1", Rule::Signed(Signed::hmac(Sha1, "header:X-Trello-Webhook", Base64).text("{body}{callback_url}")))
        .event("$.action.id", "$.action.type")],
    ritual: Ritual::Trello,
};

pub(super) const TYPEFORM: Provider = Provider {
    name: "typeform",
    display_name: "Typeform",
    documentation: "https://www.typeform.com/developers/webhooks/secure-your-webhooks/",
    schemes: &[Scheme::new("sha256", Rule::Signed(Signed::hmac(Sha256, "header:Typeform-Signature", Base64).prefix("sha256=")))
        .event("$.event_id", "$.event_type")],
    ritual: Ritual::None,
};

pub(super) const WEBFLOW: Provider = Provider {
    name: "webflow",
    display_name: "Webflow",
    documentation: "https://developers.webflow.com/data/docs/working-with-webhooks",
    schemes: &[Scheme::new(
        "sha256",
        Rule::Signed(Signed::hmac(Sha256, "header:X-Webflow-Signature", HexLower).text("{timestamp}:{body}").time(
            "header:X-Webflow-Timestamp",
            Unit::Millis,
            Some(300),
            Future::Any,
        )),
    )
    .event("", "$.triggerType")],
    ritual: Ritual::None,
};

pub(super) const ZENDESK: Provider = Provider {
    name: "zendesk",
    display_name: "Zendesk",
    documentation: "https://developer.zendesk.com/documentation/webhooks/verifying/",
    schemes: &[Scheme::new(
        "sha256",
        Rule::Signed(Signed::hmac(Sha256, "header:X-Zendesk-Webhook-Signature", Base64).text("{timestamp}{body}").time(
            "header:X-Zendesk-Webhook-Signature-Timestamp",
            Unit::Rfc3339,
            None,
            Future::Within,
        )),
    )
    .event("$.id", "$.type")],
    ritual: Ritual::None,
};
