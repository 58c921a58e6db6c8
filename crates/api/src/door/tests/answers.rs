//! What providers hear: handshakes, answers of their own, answers of the source.

use hookpost_domain::source::{CustomAnswer, SourceKind};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_source_answers_as_it_wants() {
    let answer = CustomAnswer {
        status: Some(202),
        headers: vec![("X-Seen".into(), "yes".into()), ("x-seen".into(), "twice".into())],
        body: Some(
            r#"{"got": {{ body.id | json }}, "as": "{{ message.id }}", "type": "{{ event.type }}", "q": "{{ query.a | url }}"}"#.into(),
        ),
    };
    let step = Doorstep::github(SourceRules { answer: Some(answer), ..SourceRules::default() }).await;
    let knock = || Knock::json(r#"{"id": "a\"b"}"#).header("x-github-delivery", "1").header("x-github-event", "push").at("?a=x%20y");
    let first = step.send(knock().signed("github", SECRET)).await;
    assert_eq!(first.status, 202, "{first:?}");
    assert_eq!(first.headers.get_all("x-seen").iter().collect::<Vec<_>>(), ["yes", "twice"]);
    let body = first.json();
    assert_eq!((&body["got"], &body["type"], &body["q"]), (&"a\"b".into(), &"push".into(), &"x%20y".into()));
    assert!(body["as"].as_str().unwrap().starts_with("msg_"));
    assert_eq!(step.send(knock().signed("github", SECRET)).await.bytes, first.bytes);
    assert_eq!(step.receipts().await[0].status_code, 202);
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn answers_that_cannot_be_given_are_refused_when_they_are_set() {
    let header = |name: &str, value: &str| CustomAnswer { headers: vec![(name.into(), value.into())], ..CustomAnswer::default() };
    for (answer, field) in [
        (CustomAnswer { status: Some(101), ..CustomAnswer::default() }, "rules.answer.status"),
        (header("a b", "c"), "rules.answer.headers.0"),
        (header("a", "b\r\nc: d"), "rules.answer.headers.0"),
        (header("Content-Length", "7"), "rules.answer.headers.0"),
        (CustomAnswer { body: Some("{{ nobody }}".into()), ..CustomAnswer::default() }, "rules.answer.body"),
    ] {
        let step = Doorstep::open(SourceRules::default()).await;
        let mut source = Source::clone(&*step.stored().await);
        source.rules.answer = Some(answer);
        assert_eq!(super::super::PreparedSource::new(&Arc::new(source)).unwrap_err().field, field);
        step.server.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn settings_that_cannot_be_used_are_named_without_being_quoted() {
    let step = Doorstep::open(SourceRules::default()).await;
    for (type_name, settings, field) in [
        ("no-such-provider", "{}", "type"),
        ("github", "{}", "config.secret"),
        ("github", r#"{"secret": 12345}"#, "config"),
        ("github", "not json: 12345", "config"),
    ] {
        let mut source = Source::clone(&*step.stored().await);
        source.kind = SourceKind::Webhook { type_name: type_name.into(), settings: ProviderSettings(settings.into()) };
        let error = super::super::PreparedSource::new(&Arc::new(source)).unwrap_err();
        assert_eq!(error.field, field);
        assert!(!error.to_string().contains("12345"), "{error}");
    }
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_is_answered_and_makes_no_message() {
    let step = Doorstep::of("slack", r#"{"secret": "s"}"#, SourceRules::default()).await;
    let body = r#"{"type": "url_verification", "challenge": "abc"}"#;
    let answer = step.send(Knock::json(body).signed("slack", "s")).await;
    assert_eq!((answer.status.as_u16(), &answer.bytes[..]), (200, &b"abc"[..]));
    assert_eq!(step.send(Knock::json(body).signed("slack", "wrong")).await.status, 401);
    assert_eq!(step.verdicts().await, ["bad_signature", "handshake"]);
    assert_eq!(step.payloads().await, [""; 0]);
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_comes_with_a_handshake_is_kept() {
    let step = Doorstep::of("asana", "{}", SourceRules::default()).await;
    let greeting = |secret: &str| Knock::json("").header("x-hook-secret", secret);
    let answer = step.send(greeting("from asana")).await;
    assert_eq!((answer.status.as_u16(), answer.headers["x-hook-secret"].as_bytes()), (200, &b"from asana"[..]));
    assert_eq!(step.send(greeting("of someone else")).await.status, 403);
    let body = r#"{"events": [{"action": "changed", "resource": {"resource_type": "task"}}]}"#;
    assert_eq!(step.send(Knock::json(body).signed("asana", "from asana")).await.status, 200);
    assert_eq!(step.send(Knock::json(body).signed("asana", "of someone else")).await.status, 401);
    assert_eq!(step.verdicts().await, ["accepted", "bad_signature", "handshake", "handshake_refused"]);
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn providers_that_show_answers_to_people_get_an_empty_one() {
    let step = Doorstep::of("slack", r#"{"secret": "s"}"#, SourceRules::default()).await;
    let answer = step.send(Knock::json(r#"{"type": "event_callback", "event_id": "Ev1"}"#).signed("slack", "s")).await;
    assert_eq!((answer.status.as_u16(), answer.bytes.len()), (200, 0));
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_browser_may_ask_first_and_a_subscriber_too() {
    let step = Doorstep::of("cloudevents", r#"{"secret": "s"}"#, SourceRules::default()).await;
    let options = Knock { method: Method::OPTIONS, ..Knock::post("") };
    let answer =
        step.send(options.header("webhook-request-origin", "events.example.com").header("origin", "https://events.example.com")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.headers.contains_key("webhook-allowed-origin"), "{:?}", answer.headers);
    step.server.stop().await;
}
