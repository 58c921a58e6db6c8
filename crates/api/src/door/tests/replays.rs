//! Requests that are taken up again after something was mended.

use std::time::Duration;

use hookpost_domain::receipt::{Verdict, VerdictKind};
use hookpost_domain::source::{Extraction, SchemaRule, SourceToken};

use super::*;
use crate::door::replay::{replay, replay_many};

impl Doorstep {
    async fn mend_secret(&self, secret: &str) {
        let settings = ProviderSettings(format!(r#"{{"secret": "{secret}"}}"#));
        self.change(|source| {
            if let SourceKind::Webhook { settings: own, .. } = &mut source.kind {
                *own = settings;
            }
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_rejected_is_taken_once_the_secret_is_right() {
    let step = Doorstep::of("stripe", r#"{"secret": "wrong"}"#, SourceRules::default()).await;
    let body = r#"{"id": "evt_1", "type": "invoice.paid"}"#;
    assert_eq!(step.send(Knock::json(body).signed("stripe", SECRET)).await.status, 401);
    let rejected = step.receipts().await.pop().unwrap();

    let again = replay(&step.server.api, &step.stored().await, rejected.id).await.unwrap();
    assert_eq!(word(&again.verdict), "bad_signature");
    step.mend_secret(SECRET).await;
    // Far beyond the tolerance of the timestamp, which was right when it came.
    step.server.after(Duration::from_secs(24 * 3600)).await;
    let replayed = replay(&step.server.api, &step.stored().await, rejected.id).await.unwrap();
    assert!(matches!(replayed.verdict, Verdict::Accepted { .. }), "{replayed:?}");
    assert_eq!(step.payloads().await, [body]);
    let last = step.receipts().await.pop().unwrap();
    assert_eq!((Some(last.id), last.replay_of, last.event_id.as_deref()), (replayed.receipt, Some(rejected.id), Some("evt_1")));

    let third = replay(&step.server.api, &step.stored().await, rejected.id).await.unwrap();
    assert!(matches!(third.verdict, Verdict::Duplicate { .. }), "{third:?}");
    let done = replay(&step.server.api, &step.stored().await, last.id).await.unwrap_err();
    assert_eq!(done.status(), 409);
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn all_of_a_reason_are_replayed_and_once_only() {
    let rules =
        SourceRules { event_type: Some(Extraction::Value("order.paid".into())), schema: SchemaRule::Quarantine, ..SourceRules::default() };
    let step = Doorstep::open(rules).await;
    step.server.event_type("order.paid", Some(serde_json::json!({ "1": { "type": "string" } }))).await;
    for number in 0..5 {
        assert_eq!(step.send(Knock::json(format!("{number}"))).await.status, 200);
    }
    step.server.settle().await;
    step.change(|source| source.rules.schema = SchemaRule::Ignore).await;
    let filter = || ReceiptFilter { verdict: Some(VerdictKind::Quarantined), ..ReceiptFilter::default() };
    let first = replay_many(&step.server.api, &step.stored().await, filter(), None).await.unwrap();
    assert_eq!((first.accepted, first.duplicate, first.refused, first.next), (5, 0, 0, None));
    let second = replay_many(&step.server.api, &step.stored().await, filter(), None).await.unwrap();
    assert_eq!((second.accepted, second.duplicate), (0, 5));
    assert_eq!(step.payloads().await, ["0", "1", "2", "3", "4"]);
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_url_that_was_signed_with_an_older_token_is_still_believed() {
    let step = Doorstep::of("twilio", r#"{"secret": "wrong"}"#, SourceRules::default()).await;
    let knock = Knock::post("From=1").header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(step.send(knock.signed("twilio", "right")).await.status, 401);
    let rejected = step.receipts().await.pop().unwrap();
    step.mend_secret("right").await;
    step.change(|source| {
        source.tokens.old = vec![(source.tokens.current.clone(), Timestamp::MAX)];
        source.tokens.current = SourceToken("another".into());
    })
    .await;
    let replayed = replay(&step.server.api, &step.stored().await, rejected.id).await.unwrap();
    assert!(matches!(replayed.verdict, Verdict::Accepted { .. }), "{replayed:?}");
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_signed_for_another_door_is_told_so() {
    let step = Doorstep::github(SourceRules::default()).await;
    add_source(&step.server, "github", r#"{"secret": "of the other"}"#, SourceRules::default(), "src_other").await;
    let knock = Knock::json("{}").header("x-github-event", "push").header("x-github-delivery", "1").signed("github", "of the other");
    assert_eq!(step.send(knock).await.status, 401);
    let receipt = step.receipts().await.pop().unwrap();
    let Verdict::Rejected(rejection) = receipt.verdict else { panic!("{receipt:?}") };
    let hint = rejection.hint.unwrap();
    assert!(hint.contains("github of tests") && !hint.contains("of the other"), "{hint}");
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_not_kept_cannot_be_replayed() {
    let step = Doorstep::open(SourceRules { body_bytes_max: Some(2), ..SourceRules::default() }).await;
    assert_eq!(step.send(Knock::json("{  }").header("content-length", "4")).await.status, 413);
    let refused = step.receipts().await.pop().unwrap();
    let problem = replay(&step.server.api, &step.stored().await, refused.id).await.unwrap_err();
    assert_eq!(problem.status(), 409);
    step.server.stop().await;
}
