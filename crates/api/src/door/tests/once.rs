//! The same event makes one message, and its sender hears the same yes.

use hookpost_domain::source::{DeduplicateBy, Deduplication, Extraction};

use super::*;

fn by(by: DeduplicateBy) -> SourceRules {
    SourceRules { deduplicate: Deduplication { by, window_s: 60 }, ..SourceRules::default() }
}

#[tokio::test(start_paused = true)]
async fn a_repeated_event_is_a_duplicate_of_the_first() {
    let step = Doorstep::github(by(DeduplicateBy::EventId)).await;
    let first = step.send(Knock::github("d1", "push", "{}")).await;
    let again = step.send(Knock::github("d1", "push", "{}")).await;
    let other = step.send(Knock::github("d2", "push", "{}")).await;
    assert_eq!((first.status, again.status, &first.bytes), (other.status, first.status, &again.bytes));
    assert_ne!(first.bytes, other.bytes);
    assert_eq!(step.verdicts().await, ["accepted", "accepted", "duplicate"]);
    assert_eq!(step.payloads().await.len(), 2);
    step.server.after(std::time::Duration::from_secs(61)).await;
    step.send(Knock::github("d1", "push", "{}")).await;
    assert_eq!(step.verdicts().await, ["accepted", "accepted", "accepted", "duplicate"]);
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn two_at_the_same_moment_make_one_message() {
    let step = Doorstep::github(SourceRules::default()).await;
    let (one, two) = tokio::join!(step.send(Knock::github("d1", "push", "{}")), step.send(Knock::github("d1", "push", "{}")));
    assert_eq!((one.status.as_u16(), &one.bytes), (200, &two.bytes));
    assert_eq!(step.verdicts().await, ["accepted", "duplicate"]);
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_source_says_what_tells_its_events_apart() {
    let fields = || DeduplicateBy::Fields(vec![Extraction::Path("$.id".into()), Extraction::Header("x-part".into())]);
    for (rule, bodies, verdicts) in [
        (DeduplicateBy::BodyHash, ["{\"id\":1}", "{\"id\":1}", "{\"id\": 1}"], ["accepted", "accepted", "duplicate"]),
        (fields(), ["{\"id\":1}", "{\"id\":1,\"x\":2}", "{\"id\":2}"], ["accepted", "accepted", "duplicate"]),
        (DeduplicateBy::Nothing, ["{}", "{}", "{}"], ["accepted"; 3]),
        (DeduplicateBy::EventId, ["{}", "{}", "{}"], ["accepted"; 3]),
    ] {
        let step = Doorstep::open(by(rule.clone())).await;
        for body in bodies {
            assert_eq!(step.send(Knock::json(body)).await.status, 200);
        }
        assert_eq!(step.verdicts().await, verdicts, "{rule:?}");
        step.server.stop().await;
    }
}
