//! Gap detection against the lists of Stripe and GitHub: what arrived is left alone, what did not is fetched, once.

use std::time::Duration;

use bytes::Bytes;
use hookpost_domain::receipt::{Origin, ReceiptTiming, ReceivedBody, ReceivedRequest};
use hookpost_domain::source::SourceRules;
use hookpost_domain::{ApplicationId, SourceId, Timestamp, routing};
use hookpost_shaping::{Incoming, Mapping, Said};
use hookpost_store::intake::{NewReceipt, NewReceiptOutcome, Once};
use hookpost_store::{IdempotencyKey, NewMessage};
use http::HeaderMap;

use super::providers::{GITHUB_KEY, Github, STRIPE_KEY, Stripe};
use super::{MINUTE, answer, assert_origin, from_json, minutes, webhook};
use crate::world::World;

fn rules(back_fill: &str) -> SourceRules {
    SourceRules { back_fill: Some(from_json(back_fill)), ..SourceRules::default() }
}

fn stripe_rules() -> SourceRules {
    rules(&format!(r#"{{"apiKey": "{STRIPE_KEY}", "everyS": 600, "settleS": 300}}"#))
}

fn github_rules() -> SourceRules {
    rules(&format!(r#"{{"apiKey": "{GITHUB_KEY}", "resource": "ada/engine/hooks/7", "everyS": 600, "settleS": 300}}"#))
}

impl World {
    /// As by the door.
    async fn arrived(&self, application: ApplicationId, source: SourceId, event_id: &str) {
        let store = self.shared();
        let now = self.now();
        let rules = store.source_by_id(source).await.expect("available").expect("exists").rules.clone();
        let view = store.application_by_id(application).await.expect("available").expect("exists");
        let (headers, body) = (HeaderMap::new(), Bytes::from(format!(r#"{{"id": "{event_id}"}}"#)));
        let said = Said { event_id: Some(event_id), event_type: Some("of.the.door") };
        let mapping = Mapping::compile(&rules).expect("rules");
        let mapped =
            mapping.message(&Incoming::new(&headers, &body, 1000), body.clone(), said, source, now + minutes(1000)).expect("a message");
        let mut content = mapped.content;
        content.routing = routing::fan_out(&view.endpoints, &content.event_type, &content.channels);
        let receipt = NewReceipt {
            source,
            received_at: now,
            request: ReceivedRequest {
                method: "POST".into(),
                url: String::new(),
                headers: Vec::new(),
                body: ReceivedBody::InMessage,
                peer: None,
            },
            status_code: 200,
            timing: ReceiptTiming::default(),
            event_id: Some(event_id.to_owned()),
            event_type: None,
            unverified: None,
            replay_of: None,
            outcome: NewReceiptOutcome::Message {
                message: NewMessage { application, content, idempotency_key: None },
                once: mapped.once.map(|once| Once { key: IdempotencyKey(once.hash), window: once.window }),
            },
        };
        store.receive(receipt, now).await.expect("received");
    }

    /// Of the events in the messages, oldest message first.
    async fn ids_of_messages(&self, application: ApplicationId) -> Vec<String> {
        let id_of = |payload: &String| from_json::<serde_json::Value>(payload)["id"].as_str().unwrap_or_default().to_owned();
        self.payloads(application).await.iter().map(id_of).collect()
    }

    async fn event_ids(&self, source: SourceId) -> Vec<String> {
        self.receipts(source).await.into_iter().filter_map(|receipt| receipt.event_id).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_stripe_has_and_we_do_not_are_fetched() {
    let world = World::new().await;
    let app = world.application().await;
    let stripe = Stripe::default();
    let served = stripe.clone();
    world.api(move |request| Ok(served.answer(request)));
    stripe.happened("evt_before", "invoice.paid", world.now() - minutes(60));
    let source = world.source(app, webhook("stripe"), stripe_rules()).await;
    world.pass(1000).await;
    for id in ["evt_1", "evt_2", "evt_3"] {
        stripe.happened(id, "invoice.paid", world.now());
        world.pass(1000).await;
    }
    world.arrived(app, source, "evt_2").await;
    world.pass(4 * MINUTE).await;
    assert_eq!(world.event_ids(source).await, ["evt_2"], "the others are on their way");
    world.pass(30 * MINUTE).await;
    assert_eq!(
        world.event_ids(source).await,
        ["evt_2", "evt_1", "evt_3"],
        "those from before the source was made are none of its business"
    );
    assert_eq!(world.payloads(app).await[1], stripe.event("evt_1"));
    let receipts = world.receipts(source).await;
    assert_origin(&receipts[1..], Origin::BackFill);
    assert_eq!(receipts[1].event_type.as_deref(), Some("invoice.paid"));
    // One that comes late by the door is known.
    world.arrived(app, source, "evt_3").await;
    assert_eq!(world.verdicts(source).await.last().map(String::as_str), Some("duplicate"));
    assert_eq!(world.payloads(app).await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_gap_of_many_pages_is_filled_in_spite_of_limits_and_crashes() {
    let mut world = World::new().await;
    let app = world.application().await;
    let stripe = Stripe::default();
    *stripe.page_events_max.lock() = 3;
    let served = stripe.clone();
    world.api(move |request| Ok(served.answer(request)));
    let source = world.source(app, webhook("stripe"), stripe_rules()).await;
    world.pass(1000).await;
    for number in 0..40 {
        stripe.happened(&format!("evt_{number}"), "invoice.paid", world.now());
        world.pass(1000).await;
    }
    for number in (0..40).step_by(7) {
        world.arrived(app, source, &format!("evt_{number}")).await;
    }
    *stripe.refusals.lock() = 2;
    world.faults.lock().receives_left = Some(11);
    world.pass(60 * MINUTE).await;
    world.faults.lock().receives_left = None;
    world.crash().await;
    world.pass(60 * MINUTE).await;
    let arrived = (0..40).step_by(7);
    let fetched = (0..40).filter(|number| number % 7 != 0);
    let expected: Vec<String> = arrived.chain(fetched).map(|number| format!("evt_{number}")).collect();
    assert_eq!(world.ids_of_messages(app).await, expected, "what was missing comes in the order in which it happened");
    let verdicts = world.verdicts(source).await;
    assert!(
        verdicts.iter().all(|verdict| verdict == "accepted" || verdict == "back_fill_failed: The address answered 429."),
        "{verdicts:?}"
    );
}

/// Of the requests that a walk over five pages needs, each fails once; and the node crashes after each of the events.
#[tokio::test(start_paused = true)]
async fn a_walk_that_is_cut_off_anywhere_keeps_the_order() {
    let failures = (0..9).map(|request| (Some(request), None));
    let crashes = (0..15).map(|event| (None, Some(event)));
    for (failing, crash_after) in failures.chain(crashes) {
        let mut world = World::new().await;
        let app = world.application().await;
        let stripe = Stripe::default();
        *stripe.page_events_max.lock() = 3;
        let served = stripe.clone();
        let mut asked = 0;
        world.api(move |request| {
            asked += 1;
            if failing == Some(asked - 1) { Ok(answer(503, &[], "")) } else { Ok(served.answer(request)) }
        });
        let source = world.source(app, webhook("stripe"), stripe_rules()).await;
        for number in 10..25 {
            world.pass(1000).await;
            stripe.happened(&format!("evt_{number}"), "invoice.paid", world.now());
        }
        world.faults.lock().receives_left = crash_after;
        world.pass(20 * MINUTE).await;
        world.faults.lock().receives_left = None;
        world.crash().await;
        world.pass(60 * MINUTE).await;
        let expected: Vec<String> = (10..25).map(|number| format!("evt_{number}")).collect();
        assert_eq!(world.ids_of_messages(app).await, expected, "{failing:?} {crash_after:?}");
        let verdicts = world.verdicts(source).await;
        let failed = verdicts.iter().filter(|verdict| verdict.starts_with("back_fill_failed")).count();
        assert_eq!((verdicts.len() - failed, failed), (15, failing.iter().len()), "{failing:?} {crash_after:?}: {verdicts:?}");
    }
}

/// As when events are older than the provider keeps them.
#[tokio::test(start_paused = true)]
async fn a_place_that_is_not_known_any_more_begins_the_walk_anew() {
    let world = World::new().await;
    let app = world.application().await;
    let stripe = Stripe::default();
    *stripe.page_events_max.lock() = 3;
    let served = stripe.clone();
    let mut asked = 0;
    world.api(move |request| {
        asked += 1;
        if asked == 5 { Ok(answer(404, &[], r#"{"error": {"code": "resource_missing"}}"#)) } else { Ok(served.answer(request)) }
    });
    world.source(app, webhook("stripe"), stripe_rules()).await;
    for number in 10..20 {
        world.pass(1000).await;
        stripe.happened(&format!("evt_{number}"), "invoice.paid", world.now());
    }
    world.pass(60 * MINUTE).await;
    assert_eq!(world.ids_of_messages(app).await, (10..20).map(|number| format!("evt_{number}")).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn only_the_wanted_types_are_fetched() {
    let world = World::new().await;
    let app = world.application().await;
    let stripe = Stripe::default();
    let served = stripe.clone();
    world.api(move |request| Ok(served.answer(request)));
    let rules = rules(&format!(r#"{{"apiKey": "{STRIPE_KEY}", "everyS": 60, "settleS": 0, "eventTypes": ["invoice.*"]}}"#));
    let source = world.source(app, webhook("stripe"), rules).await;
    world.pass(2000).await;
    stripe.happened("evt_1", "charge.failed", world.now());
    stripe.happened("evt_2", "invoice.paid", world.now());
    world.pass(5 * MINUTE).await;
    assert_eq!(world.event_ids(source).await, ["evt_2"]);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_key_is_seen_with_what_helps() {
    let world = World::new().await;
    let app = world.application().await;
    let stripe = Stripe::default();
    world.api(move |request| Ok(stripe.answer(request)));
    let source = world.source(app, webhook("stripe"), rules(r#"{"apiKey": "wr0ng", "everyS": 60, "settleS": 0}"#)).await;
    world.pass(3 * MINUTE).await;
    assert_eq!(world.verdicts(source).await, ["back_fill_failed: The address answered 401."]);
    let text = format!("{:?}", world.receipts(source).await);
    assert!(text.contains("must be one that may read events") && !text.contains("wr0ng"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn deliveries_that_failed_are_fetched_from_github() {
    let world = World::new().await;
    let app = world.application().await;
    let github = Github::default();
    let served = github.clone();
    world.api(move |request| Ok(served.answer(request)));
    let source = world.source(app, webhook("github"), github_rules()).await;
    world.pass(1000).await;
    github.delivered("ping", "ping", world.now(), 502);
    for (guid, status_code) in [("a", 200), ("b", 502), ("c", 0), ("d", 503), ("e", 401), ("f", 200)] {
        if status_code == 200 {
            world.arrived(app, source, guid).await;
        }
        github.delivered(guid, "issues", world.now(), status_code);
        world.pass(1000).await;
    }
    // We had written it down and were too slow to say so; and one that somebody had sent again.
    world.arrived(app, source, "c").await;
    github.delivered("d", "issues", world.now(), 200);
    world.arrived(app, source, "d").await;
    // Again, and again in vain.
    github.delivered("b", "issues", world.now(), 500);
    world.pass(40 * MINUTE).await;
    let ids = world.event_ids(source).await;
    assert_eq!(ids[..4], ["a", "f", "c", "d"]);
    let mut fetched = ids[4..].to_vec();
    fetched.sort_unstable();
    assert_eq!(fetched, ["b", "e"]);
    let receipts = world.receipts(source).await;
    assert_origin(&receipts[4..], Origin::BackFill);
    let headers: Vec<_> = receipts[4].request.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert!(headers.contains(&"x-github-event") && !headers.contains(&"content-length"), "{headers:?}");
    assert_eq!(receipts[4].event_type.as_deref(), Some("issues"));
    assert!(world.payloads(app).await.contains(&r#"{"action":"opened","guid":"b"}"#.to_owned()));
    let details = world.asked().iter().filter(|asked| asked.what.contains("/deliveries/")).count();
    assert_eq!(details, 2, "what is known is not asked for");
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_github_is_waited_for() {
    let world = World::new().await;
    let app = world.application().await;
    let github = Github::default();
    let served = github.clone();
    world.api(move |request| Ok(served.answer(request)));
    let source = world.source(app, webhook("github"), github_rules()).await;
    world.pass(1000).await;
    for number in 0..8 {
        github.delivered(&format!("guid-{number}"), "push", world.now(), 500);
        world.pass(1000).await;
    }
    world.pass(5 * MINUTE).await;
    let reset = world.now() + Duration::from_secs(3600);
    *github.limit.lock() = Some((4, reset));
    let asked_before = world.asked().len();
    world.pass(59 * MINUTE).await;
    assert_eq!(world.asked().len() - asked_before, 5, "and no more after the refusal");
    *github.limit.lock() = None;
    world.pass(30 * MINUTE).await;
    let mut ids = world.event_ids(source).await;
    ids.sort_unstable();
    assert_eq!(ids, (0..8).map(|number| format!("guid-{number}")).collect::<Vec<_>>());
}

/// A window of three days, and a server that was down for longer.
#[tokio::test(start_paused = true)]
async fn looks_back_no_further_than_it_is_told() {
    let mut world = World::new().await;
    let app = world.application().await;
    let stripe = Stripe::default();
    let served = stripe.clone();
    world.api(move |request| Ok(served.answer(request)));
    let rules = rules(&format!(r#"{{"apiKey": "{STRIPE_KEY}", "everyS": 600, "settleS": 60, "lookBackDays": 1}}"#));
    let source = world.source(app, webhook("stripe"), rules).await;
    world.pass(MINUTE).await;
    world.stop().await;
    stripe.happened("evt_old", "invoice.paid", world.now());
    world.pass(2 * 24 * 60 * MINUTE).await;
    let within: Timestamp = world.now() - minutes(60);
    stripe.happened("evt_new", "invoice.paid", within);
    world.restart();
    world.pass(30 * MINUTE).await;
    assert_eq!(world.event_ids(source).await, ["evt_new"]);
}
