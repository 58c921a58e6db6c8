//! Bodies that do not fit the schema of their event type.

use hookpost_domain::receipt::Verdict;
use hookpost_domain::source::{Extraction, SchemaRule};
use serde_json::json;

use super::*;

async fn with_schema(schema: SchemaRule) -> Doorstep {
    let rules = SourceRules { schema, event_type: Some(Extraction::Path("$.type".into())), ..SourceRules::default() };
    let step = Doorstep::open(rules).await;
    let newest = json!({ "type": "object", "properties": { "order": { "properties": { "total": { "type": "number" } } } } });
    step.server.event_type("order.paid", Some(json!({ "9": { "type": "string" }, "10": newest }))).await;
    step
}

const UNFIT: &str = r#"{"type": "order.paid", "order": {"total": "much"}}"#;

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_refused_with_the_path() {
    let step = with_schema(SchemaRule::Reject).await;
    let answer = step.send(Knock::json(UNFIT)).await;
    assert_eq!(answer.summary(), "422 schema_mismatch");
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("`order.paid`") && detail.contains("`/order/total`"), "{detail}");
    for (body, status) in [(r#"{"type": "order.paid", "order": {"total": 7}}"#, 200), (r#"{"type": "unknown"}"#, 200), ("[]", 200)] {
        assert_eq!(step.send(Knock::json(body)).await.status, status, "{body}");
    }
    assert_eq!(step.verdicts().await, ["accepted", "accepted", "accepted", "schema_mismatch"]);
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn or_kept_apart_behind_the_usual_answer() {
    let step = with_schema(SchemaRule::Quarantine).await;
    let answer = step.send(Knock::json(UNFIT)).await;
    assert_eq!((answer.status.as_u16(), &answer.json()), (200, &json!({ "status": "accepted" })));
    let receipt = step.receipts().await.pop().unwrap();
    let Verdict::Quarantined { detail } = &receipt.verdict else { panic!("{receipt:?}") };
    assert!(detail.contains("`/order/total`"), "{detail}");
    assert_eq!(step.payloads().await, [""; 0]);
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_schema_that_changed_counts_at_once() {
    let step = with_schema(SchemaRule::Reject).await;
    assert_eq!(step.send(Knock::json(UNFIT)).await.status, 422);
    let org = step.stored().await.org.clone();
    let change = Box::new(|event_type: &mut hookpost_domain::EventType| {
        event_type.schemas = Some(r#"{"11": true}"#.to_owned());
        Ok(())
    });
    step.server.api.store.update_event_type(&org, "order.paid", change).await.unwrap();
    assert_eq!(step.send(Knock::json(UNFIT)).await.status, 200);
    step.server.stop().await;
}
