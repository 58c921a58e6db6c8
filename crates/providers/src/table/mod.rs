//! All providers, by name. Adding one is a row in the file of its subject, its name here, and its vectors.

use crate::provider::Provider;

mod developers;
mod generic;
mod ingest;
mod messaging;
mod payments;
mod work;

pub(crate) fn all() -> &'static [Provider] {
    static ALL: [Provider; 104] = [
        ingest::ADOBE_SIGN,
        payments::ADYEN,
        work::AIRTABLE,
        ingest::AIRWALLEX,
        work::ASANA,
        developers::AUTH0,
        ingest::BEEHIIV,
        payments::BIGCOMMERCE,
        developers::BITBUCKET,
        work::BOX,
        ingest::BREX,
        work::CALENDLY,
        ingest::CHECKBOOK,
        work::CHURNZERO,
        developers::CIRCLECI,
        developers::CLERK,
        generic::CLOUDEVENTS,
        developers::CLOUDFLARE,
        payments::COINBASE,
        work::CONTENTFUL,
        developers::DATADOG,
        messaging::DISCORD,
        work::DOCUSIGN,
        work::DROPBOX,
        ingest::EASYPOST,
        work::GAINSIGHT,
        generic::GENERIC_API_KEY,
        generic::GENERIC_BASIC,
        generic::GENERIC_BEARER,
        generic::GENERIC_ECDSA,
        generic::GENERIC_ED25519,
        generic::GENERIC_HMAC,
        generic::GENERIC_HMAC_TIMESTAMP,
        generic::GENERIC_IP_ALLOWLIST,
        generic::GENERIC_JWT,
        generic::GENERIC_NONE,
        developers::GITHUB,
        developers::GITLAB,
        developers::GRAFANA,
        ingest::GUESTY,
        work::HUBSPOT,
        ingest::INCIDENT_IO,
        messaging::INTERCOM,
        work::JIRA,
        developers::LAUNCHDARKLY,
        messaging::LINE,
        work::LINEAR,
        ingest::LITHIC,
        messaging::MAILGUN,
        ingest::MERGE,
        messaging::META,
        work::MONDAY,
        developers::MUX,
        ingest::NANGO,
        ingest::NASH,
        work::NOTION,
        developers::OKTA,
        developers::OPENAI,
        ingest::OPENCLAW,
        ingest::ORUM_IO,
        payments::PADDLE,
        developers::PAGERDUTY,
        ingest::PANDA_DOC,
        payments::PAYPAL,
        work::PIPEDRIVE,
        ingest::PLEO,
        ingest::PORT_IO,
        messaging::POSTMARK,
        ingest::PSI_FI,
        payments::QUICKBOOKS,
        payments::RAZORPAY,
        ingest::RENDER,
        developers::REPLICATE,
        messaging::RESEND,
        ingest::RUTTER,
        ingest::SAFEBASE,
        work::SALESFORCE,
        ingest::SARDINE,
        work::SEGMENT,
        messaging::SENDGRID,
        developers::SENTRY,
        payments::SHOPIFY,
        messaging::SLACK,
        payments::SQUARE,
        generic::STANDARD_WEBHOOKS,
        payments::STRIPE,
        ingest::STYCH,
        generic::SVIX,
        ingest::TAILSCALE,
        messaging::TELEGRAM,
        ingest::TELNYX,
        work::TRELLO,
        messaging::TWILIO,
        messaging::TWITCH,
        work::TYPEFORM,
        ingest::VAPI,
        developers::VERCEL,
        ingest::VERIFF,
        work::WEBFLOW,
        payments::WOOCOMMERCE,
        messaging::X_TWITTER,
        payments::XERO,
        work::ZENDESK,
        messaging::ZOOM,
    ];
    &ALL
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::location::Location;

    #[test]
    fn is_sorted_and_names_are_unique() {
        assert!(all().windows(2).all(|pair| pair[0].name < pair[1].name));
        for provider in all() {
            let mut names: Vec<_> = provider.schemes.iter().map(|scheme| scheme.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), provider.schemes.len(), "{}", provider.name);
        }
    }

    #[test]
    fn says_where_events_are_in_words_that_can_be_read() {
        for scheme in all().iter().flat_map(|provider| provider.schemes) {
            for text in [scheme.event_id, scheme.event_type] {
                assert!(Location::parse(text).is_ok(), "{text}");
            }
        }
    }
}
