//! Who sent a request, and under which URL: of the connection, or of a trusted proxy.

use super::*;

fn behind_proxy(settings: &mut ApiSettings) {
    settings.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
}

#[tokio::test(start_paused = true)]
async fn the_allowlist_is_asked_about_the_client_beyond_trusted_proxies() {
    let rules = SourceRules { allowed_networks: vec!["203.0.113.0/24".parse().unwrap()], ..SourceRules::default() };
    let step = Doorstep::with_settings("generic-webhook", "{}", rules, behind_proxy).await;
    for (peer, forwarded_for, status) in [
        (Some("203.0.113.7"), None, 200),
        (Some("198.51.100.1"), None, 403),
        (None, None, 403),
        (Some("198.51.100.1"), Some("203.0.113.7"), 403),
        (Some("10.0.0.1"), Some("203.0.113.7"), 200),
        (Some("10.0.0.1"), Some("203.0.113.7, 198.51.100.1"), 403),
        (Some("10.0.0.1"), None, 403),
    ] {
        let mut knock = Knock::json("{}");
        knock.peer = peer.map(|peer| peer.parse().unwrap());
        if let Some(list) = forwarded_for {
            knock = knock.header("x-forwarded-for", list);
        }
        assert_eq!(step.send(knock).await.status, status, "{peer:?} {forwarded_for:?}");
    }
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_signed_url_is_the_public_one() {
    let settings = r#"{"secret": "twilio token"}"#;
    let knock = |origin: &str| {
        let knock = Knock::post("From=%2B1&Body=hi").header("content-type", "application/x-www-form-urlencoded").at("/sms?a=1");
        knock.signed_for("twilio", "twilio token", origin, crate::testing::START)
    };
    let step = Doorstep::with_settings("twilio", settings, SourceRules::default(), behind_proxy).await;
    let proxied = |knock: Knock| knock.header("x-forwarded-proto", "https").header("x-forwarded-host", "hooks.example.com");
    for (knock, status) in [
        (knock("http://localhost").from("203.0.113.7"), 200),
        (proxied(knock("https://hooks.example.com")).from("10.0.0.1"), 200),
        (proxied(knock("https://hooks.example.com")).from("203.0.113.7"), 401),
    ] {
        assert_eq!(step.send(knock).await.status, status);
    }
    step.server.stop().await;

    let public = |settings: &mut ApiSettings| settings.public_url = Some("https://example.com/hooks".to_owned());
    let step = Doorstep::with_settings("twilio", settings, SourceRules::default(), public).await;
    assert_eq!(step.send(knock("https://example.com/hooks")).await.status, 200);
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_method_that_says_that_nobody_called_is_not_let_in() {
    let step = Doorstep::open(SourceRules::default()).await;
    for word in ["CRON", "POLL", "BACK_FILL"] {
        let knock = Knock { method: word.parse().unwrap(), ..Knock::json("{}") };
        assert_eq!(step.send(knock).await.status, 405, "{word}");
    }
    step.server.stop().await;
}
