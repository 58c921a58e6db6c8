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
async fn a_list_is_asked_by_its_name_and_a_receipt_says_which_and_of_which_day() {
    let published = hookpost_providers::address_lists().iter().find(|list| list.name == "github").unwrap();
    let genuine = published.networks()[0].addr().to_string();
    let rules = |names: &[&str]| SourceRules {
        allowed_networks: names.iter().map(|name| name.parse().unwrap()).collect(),
        ..SourceRules::default()
    };
    let own = |settings: &mut ApiSettings| {
        let lists = [("own", "203.0.113.0/24"), ("stripe", "198.51.100.0/24")];
        let lists = lists.map(|(name, network)| (name.to_owned(), vec![network.parse().unwrap()]));
        settings.address_presets = crate::door::AddressPresets::published().with(lists);
    };
    let step = Doorstep::with_settings("generic-webhook", "{}", rules(&["github", "own", "stripe"]), own).await;
    for (peer, status) in [(&*genuine, 200), ("203.0.113.7", 200), ("198.51.100.7", 200), ("3.18.12.63", 403), ("192.0.2.1", 403)] {
        assert_eq!(step.send(Knock::json("{}").from(peer)).await.status, status, "{peer}");
    }
    let hint = |receipt: Receipt| match receipt.verdict {
        receipt::Verdict::Rejected(rejection) => rejection.hint.unwrap_or_default(),
        other => panic!("{other:?}"),
    };
    let said = hint(step.receipts().await.pop().unwrap());
    assert!(
        said.contains(&format!("`github` of this version, which is that of {} ({})", published.as_of, published.published_at)),
        "{said}"
    );
    assert!(said.contains("`own` of the configuration, nor in the list `stripe` of the configuration"), "{said}");

    // A list that an earlier version or configuration had.
    step.change(move |source| source.rules = rules(&["gone"])).await;
    assert_eq!(step.send(Knock::json("{}").from(&genuine)).await.status, 403);
    let said = hint(step.receipts().await.pop().unwrap());
    assert!(said.contains("`gone`, which this server does not know"), "{said}");
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_an_old_list_kept_out_is_let_in_by_a_replay() {
    let rules = SourceRules { allowed_networks: vec!["telegram".parse().unwrap()], ..SourceRules::default() };
    let step = Doorstep::open(rules).await;
    assert_eq!(step.send(Knock::json("{\"late\": 1}").from("203.0.113.7")).await.status, 403);
    let receipt = step.receipts().await.pop().unwrap().id;
    // In place of another configuration, which takes another start.
    step.change(|source| source.rules.allowed_networks.push("203.0.113.0/24".parse().unwrap())).await;
    let replayed = crate::door::replay::replay(&step.server.api, &step.stored().await, receipt).await.unwrap();
    assert_eq!(word(&replayed.verdict), "accepted");
    assert_eq!(step.payloads().await, ["{\"late\": 1}"]);
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
