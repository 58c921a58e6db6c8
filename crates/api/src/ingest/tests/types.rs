//! Every type of source, by our name and by that of Svix; what of its settings is shown.

use serde_json::{Value, json};

use super::{SOURCES, at};
use crate::testing::TestServer;

/// A public key of ed25519, and one of RSA, made for this test.
const ED25519: &str = "iBfzfjZBizgiGM3Rgkvkfnv5z5PD1jTlBJOAab4uwb8=";
const RSA: &str = "-----BEGIN PUBLIC KEY-----\n\
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA2wAxYZjvpql+TCdDkL7h\n\
j8qf1apesXFICx15oAu1HNvYpox14Tyi4HG6UgtdjPAdAyY8ros4ihJaF+Xl0zUN\n\
PvLOhrY86LQeCo8sBe4ThOYUdNh5Zu5ALeo327YoFM73ReSpNFxMACH9UO7jBrHN\n\
mxUoRNniwmq3Fu5z4DdylfzKWTjrbd1/C2MsTqHvE3mBkDhf4EdjDjDpDkDJrRpW\n\
4NISSKbh4BuK2Cu43jMZ76zUJicKrNYSYK+LSowzI3Nf3eld3ijc0NF9e0zcOMNb\n\
IhrU8dP5v8T0KrTVPdB1kla/3vClnp646f+G7/HQPfl9xDSkLsP3ayTni28QsXks\n\
xwIDAQAB\n\
-----END PUBLIC KEY-----";

const OF_SVIX: [&str; 17] = [
    "beehiiv",
    "brex",
    "clerk",
    "guesty",
    "incident-io",
    "lithic",
    "nash",
    "psi-fi",
    "pleo",
    "replicate",
    "resend",
    "safebase",
    "sardine",
    "stych",
    "svix",
    "open-ai",
    "render",
];
const WITH_A_SECRET: [&str; 19] = [
    "airwallex",
    "checkbook",
    "docusign",
    "easypost",
    "github",
    "hubspot",
    "merge",
    "nango",
    "openclaw",
    "panda-doc",
    "port-io",
    "rutter",
    "segment",
    "shopify",
    "slack",
    "stripe",
    "vapi",
    "veriff",
    "zoom",
];

fn types_of_svix() -> Vec<(&'static str, Value, Value)> {
    let secret = |name: &'static str| (name, json!({ "secret": "a secret of the provider" }), json!({}));
    let whsec = |name: &'static str| (name, json!({ "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" }), json!({}));
    let cron = json!({ "schedule": "*/5 * * * *", "payload": "{\"a\": 1}", "contentType": "application/json" });
    let mut types = vec![
        ("generic-webhook", json!({}), json!({})),
        ("cron", cron.clone(), cron),
        ("adobe-sign", json!({ "clientId": "CBJCHBCAABAA" }), json!({})),
        ("meta", json!({ "secret": "app secret", "verifyToken": "agreed word" }), json!({})),
        ("orum-io", json!({ "publicKey": RSA }), json!({ "publicKey": RSA })),
        ("telnyx", json!({ "publicKey": ED25519 }), json!({ "publicKey": ED25519 })),
        ("tailscale", json!({ "secret": "tskey-webhook-1", "timestampGraceSeconds": 60 }), json!({ "timestampGraceSeconds": 60 })),
    ];
    types.extend(OF_SVIX.map(whsec));
    types.extend(WITH_A_SECRET.map(secret));
    types
}

#[tokio::test(start_paused = true)]
async fn every_type_of_svix_is_taken_and_shows_no_secret() {
    let server = TestServer::start();
    let types = types_of_svix();
    assert_eq!(types.len(), 43);
    for (name, config, shown) in types {
        let body = json!({ "name": "Door", "type": name, "config": config });
        let answer = server.call("POST", SOURCES, body.clone()).await;
        assert_eq!(answer.status, 201, "{name}: {answer:?}");
        let created = answer.json();
        assert_eq!((&created["type"], &created["config"]), (&json!(name), &shown), "{name}");
        assert_eq!(created["ingestUrl"].is_null(), name == "cron", "{name}");
        let again = server.call("PUT", &at(created["id"].as_str().unwrap()), body).await;
        assert_eq!((again.status.as_u16(), again.json()), (200, created), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_provider_is_listed_and_most_need_a_secret_only() {
    let server = TestServer::start();
    let listed = server.call("GET", "/ingest/api/v1/provider", None).await;
    assert_eq!(listed.status, 200);
    let providers = listed.json()["data"].as_array().unwrap().clone();
    assert!(providers.len() > 80, "{}", providers.len());
    let mut taken = 0;
    for provider in &providers {
        let name = provider["name"].as_str().unwrap();
        assert!(!provider["schemes"].as_array().unwrap().is_empty(), "{name}");
        let body = json!({ "name": "Door", "type": name, "config": { "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" } });
        let answer = server.call("POST", SOURCES, body).await;
        // Others say what they need beside it, and none is let through unseen.
        assert!(answer.status == 201 || answer.summary().starts_with("422 body.config."), "{name}: {answer:?}");
        taken += usize::from(answer.status == 201);
    }
    assert!(taken > 60, "only {taken} take a secret");
}

#[tokio::test(start_paused = true)]
async fn settings_are_shown_but_for_secrets_and_can_be_changed_one_by_one() {
    let server = TestServer::start();
    let config = json!({
        "secret": "first one", "secrets": ["second one"], "header": "X-Sig", "encoding": "hex", "prefix": "sha256=", "eventId": "header:x-id",
    });
    let created = server.source(json!({ "type": "generic_hmac", "config": config })).await;
    assert_eq!(created["config"], json!({ "header": "X-Sig", "encoding": "hex", "prefix": "sha256=", "eventId": "header:x-id" }));
    let path = at(created["id"].as_str().unwrap());
    let changes = json!({ "config": { "encoding": "base64", "prefix": null, "eventType": "header:x-type" } });
    let changed = server.call("PATCH", &path, changes).await.json();
    assert_eq!(
        changed["config"],
        json!({ "header": "X-Sig", "encoding": "base64", "eventId": "header:x-id", "eventType": "header:x-type" })
    );
    assert_eq!(server.call("PATCH", &path, json!({ "config": { "secret": "another" } })).await.status, 200);
    let without = server.call("PATCH", &path, json!({ "config": { "secret": null, "secrets": null } })).await;
    assert!(without.summary().starts_with("422 body.config.secret: "), "{without:?}");
}

#[tokio::test(start_paused = true)]
async fn polls_withhold_what_opens_the_other_side() {
    let server = TestServer::start();
    let config = json!({
        "url": "https://api.example.com/items", "everyS": 60, "auth": { "bearer": "keyOfTheOtherSide" }, "headers": { "X-A": "1" },
    });
    let created = server.source(json!({ "type": "http-poll", "config": config })).await;
    assert_eq!((&created["config"]["auth"], &created["ingestUrl"]), (&json!({ "bearer": "(withheld)" }), &Value::Null));
    assert_eq!(created["config"]["headers"], json!({ "X-A": "1" }));
    let path = at(created["id"].as_str().unwrap());
    let mut shown = created["config"].clone();
    shown["everyS"] = json!(120);
    let changed = server.call("PATCH", &path, json!({ "config": shown })).await;
    assert_eq!((changed.status.as_u16(), &changed.json()["config"]["everyS"]), (200, &json!(120)), "{changed:?}");
    let refused = server.call("POST", SOURCES, json!({ "name": "Poll", "type": "http-poll", "config": created["config"] })).await;
    assert!(refused.summary().starts_with("422 body.config.auth: is only what stands in the place of a secret"), "{refused:?}");
    shown["headers"] = json!({ "Cookie": "a=b" });
    let refused = server.call("PATCH", &path, json!({ "config": shown })).await;
    assert_eq!(refused.summary(), "422 body.config.headers.Cookie: holds a secret, for which `auth` is the place", "{refused:?}");
}
