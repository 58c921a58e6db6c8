//! Every step with its status, and that they come in their order.

use hookpost_domain::receipt::{ReceivedBody, Verdict};
use hookpost_domain::source::{Extraction, SchemaRule, SourceRules, SourceToken};

use super::*;
use crate::testing::START;

#[tokio::test(start_paused = true)]
async fn a_genuine_request_becomes_a_message_with_its_bytes() {
    let rules = SourceRules { forward_headers: vec!["x-github-event".into()], ..SourceRules::default() };
    let step = Doorstep::github(rules).await;
    let body = "{ \"ref\" : \"main\",\n\t\"n\": 1.0 }\n";
    let answer = step.send(Knock::github("d1", "push", body).at("/extra?x=1").signed("github", SECRET).from("203.0.113.9")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["status"], "accepted");
    assert_eq!(step.payloads().await, [body]);
    let sent = step.server.receiver.requests.lock().pop().unwrap();
    assert_eq!(sent.headers["x-github-event"], "push");

    let receipt = step.receipts().await.pop().unwrap();
    let Verdict::Accepted { message } = receipt.verdict else { panic!("{receipt:?}") };
    assert_eq!(answer.json()["message"], step.server.api.public(message));
    assert_eq!((receipt.status_code, receipt.event_id.as_deref(), receipt.event_type.as_deref()), (200, Some("d1"), Some("push")));
    assert_eq!(receipt.request.url, "http://localhost/in/{token}/extra?x=1");
    assert_eq!(receipt.request.body, ReceivedBody::Bytes(body.into()));
    assert_eq!(receipt.request.peer, Some("203.0.113.9".parse().unwrap()));
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_said_by_status_word_and_sentence() {
    let step = Doorstep::github(SourceRules { body_bytes_max: Some(100), ..SourceRules::default() }).await;
    let unsigned = Knock::json("{}").header("x-github-event", "push");
    let forged = Knock::github("d", "push", "{}").header("x-other", "1");
    let mut forged = forged;
    forged.body = b"{\"changed\": 1}".to_vec();
    for (knock, summary) in [
        (Knock { path: "/in/unknown".into(), ..Knock::json("{}") }, "404 not_found"),
        (Knock { path: "/in/".into(), ..Knock::json("{}") }, "404 not_found"),
        (unsigned, "401 missing_header"),
        (forged, "401 bad_signature"),
        (Knock::json([b'x'; 101]), "413 body_too_large"),
    ] {
        let answer = step.send(knock).await;
        assert_eq!(answer.summary(), summary);
        assert!(!answer.json()["detail"].as_str().unwrap().contains(SECRET));
    }
    assert_eq!(step.verdicts().await, ["bad_signature", "body_too_large", "missing_header"]);
    assert_eq!(step.payloads().await, [""; 0]);
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_first_step_that_fails_is_the_one_that_is_told() {
    let rules = SourceRules {
        body_bytes_max: Some(30),
        rate_limit: Some(1),
        allowed_networks: vec!["10.0.0.0/8".parse().unwrap()],
        event_type: Some(Extraction::Path("$.type".into())),
        schema: SchemaRule::Reject,
        ..SourceRules::default()
    };
    let step = Doorstep::github(rules).await;
    step.server.event_type("a", Some(serde_json::json!({ "1": { "type": "object", "required": ["id"] } }))).await;
    let knock = |body: &'static str, peer: &str, signed: bool| {
        let knock = Knock::json(body).header("x-github-event", "push").from(peer);
        if signed { knock.signed("github", SECRET) } else { knock }
    };
    let (long, broken, unfit, fits) = ("{\"a long body\": \"and a wrong one\"", "{", r#"{"type": "a"}"#, r#"{"type": "a", "id": 1}"#);
    for (waits, knock, summary) in [
        (false, knock(broken, "9.9.9.9", false), "403 address_not_allowed"),
        (false, knock(long, "9.9.9.9", false), "413 body_too_large"),
        (false, knock(broken, "9.9.9.9", false), "429 rate_limited"),
        (true, knock(broken, "10.0.0.1", false), "401 missing_header"),
        (true, knock(broken, "10.0.0.1", true), "400 malformed_body"),
        (true, knock(unfit, "10.0.0.1", true), "422 schema_mismatch"),
        (true, knock(fits, "10.0.0.1", true), "200"),
    ] {
        if waits {
            step.server.settle().await;
        }
        assert_eq!(step.send(knock).await.summary(), summary);
    }
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_old_token_opens_until_its_time_is_over() {
    let step = Doorstep::open(SourceRules::default()).await;
    step.change(|source| {
        source.tokens.old = vec![(source.tokens.current.clone(), START + std::time::Duration::from_secs(60))];
        source.tokens.current = SourceToken("the-new-one".into());
    })
    .await;
    assert_eq!(step.send(Knock::json("{}")).await.status, 200);
    assert_eq!(step.send(Knock { path: "/in/the-new-one".into(), ..Knock::json("{}") }).await.status, 200);
    step.server.after(std::time::Duration::from_secs(61)).await;
    assert_eq!(step.send(Knock::json("{}")).await.summary(), "404 not_found");
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_disabled_source_takes_nothing_and_keeps_a_trace() {
    let step = Doorstep::open(SourceRules::default()).await;
    step.change(|source| source.disabled = true).await;
    assert_eq!(step.send(Knock::json("{}")).await.summary(), "404 source_disabled");
    assert_eq!(step.verdicts().await, ["source_disabled"]);
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn all_methods_come_in() {
    let step = Doorstep::open(SourceRules::default()).await;
    for method in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD, Method::OPTIONS] {
        let knock = Knock { method: method.clone(), ..Knock::post("") };
        assert_eq!(step.send(knock.at("/a/b?c=d")).await.status, 200, "{method}");
    }
    assert_eq!(step.verdicts().await, ["accepted"; 6]);
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn every_live_secret_is_good() {
    let settings = format!(r#"{{"secret": "new", "secrets": ["older", "{SECRET}"]}}"#);
    let step = Doorstep::of("github", &settings, SourceRules::default()).await;
    for (id, secret, status) in [("1", "new", 200), ("2", "older", 200), ("3", SECRET, 200), ("4", "wrong", 401)] {
        let knock = Knock::json("{}").header("x-github-delivery", id).header("x-github-event", "push").signed("github", secret);
        assert_eq!(step.send(knock).await.status, status, "{secret}");
    }
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_source_can_take_what_it_does_not_believe() {
    let step = Doorstep::github(SourceRules { accept_unverified: true, ..SourceRules::default() }).await;
    assert_eq!(step.send(Knock::json("{}").header("x-github-event", "push")).await.status, 200);
    let receipt = step.receipts().await.pop().unwrap();
    assert_eq!((word(&receipt.verdict).as_str(), receipt.unverified.unwrap().code.as_str()), ("accepted", "missing_header"));
    step.server.stop().await;
}
