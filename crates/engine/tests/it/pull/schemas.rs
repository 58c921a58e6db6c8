//! Events that do not fit the schema of their type, whichever way they are fetched: kept apart with the path, not fetched again, and let in once the schema is
//! mended.

use hookpost_domain::receipt::{Receipt, Verdict};
use hookpost_domain::source::{Cron, Extraction, SchemaRule, SourceKind, SourceRules};
use hookpost_domain::{EventType, EventTypeId, EventTypeName, OrgId, SourceId};

use super::providers::{STRIPE_KEY, Stripe};
use super::{MINUTE, answer, from_json, webhook};
use crate::world::World;

const NUMBER: &str = r#"{"1": {"properties": {"total": {"type": "number"}}}}"#;
const ANYTHING: &str = r#"{"1": {"properties": {"total": {"type": "number"}}}, "2": true}"#;

impl World {
    async fn schema(&self, name: &str, schemas: &str) {
        let now = self.now();
        let event_type = EventType {
            id: EventTypeId::from_row(self.shared().new_row_id(now)),
            org: OrgId::parse(OrgId::DEFAULT).expect("an org"),
            name: EventTypeName::parse(name).expect("a name"),
            description: String::new(),
            archived: false,
            deprecated: false,
            schemas: Some(schemas.to_owned()),
            group_name: None,
            feature_flags: Vec::new(),
            retry_schedule: None,
            created_at: now,
            updated_at: now,
        };
        self.shared().create_event_type(event_type).await.expect("created");
    }

    async fn mend_schema(&self, name: &str) {
        let org = OrgId::parse(OrgId::DEFAULT).expect("an org");
        let change = Box::new(|event_type: &mut EventType| {
            event_type.schemas = Some(ANYTHING.to_owned());
            Ok(())
        });
        self.shared().update_event_type(&org, name, change).await.expect("changed");
    }

    async fn replay(&self, source: SourceId, receipt: &Receipt) -> Verdict {
        let store = self.shared();
        let source = store.source_by_id(source).await.expect("available").expect("exists");
        // Lists leave the body out.
        let receipt = store.receipt(source.id, receipt.id).await.expect("available").expect("exists");
        let hookpost_domain::receipt::ReceivedBody::Bytes(body) = receipt.request.body.clone() else { panic!("{receipt:?}") };
        let (made, verdict) = self.engine.replay_pulled(&source, &receipt, body).await.expect("replayed");
        let made = store.receipt(source.id, made).await.expect("available").expect("exists");
        assert_eq!((made.replay_of, &made.verdict), (Some(receipt.id), &verdict));
        assert_eq!((made.request.method, made.event_id), (receipt.request.method, receipt.event_id));
        verdict
    }
}

fn rules(schema: SchemaRule) -> SourceRules {
    SourceRules { schema, event_type: Some(Extraction::Value("order.paid".into())), ..SourceRules::default() }
}

fn poll() -> SourceKind {
    SourceKind::Poll(from_json(r#"{"url": "http://api.test/", "everyS": 60, "itemId": "$.id"}"#))
}

const ITEMS: &str = r#"[{"id": 1, "total": 5}, {"id": 2, "total": "much"}, {"id": 3, "total": 7}]"#;

#[tokio::test(start_paused = true)]
async fn an_item_that_does_not_fit_is_kept_apart_once_and_the_others_go_on() {
    let mut world = World::new().await;
    let app = world.application().await;
    world.schema("order.paid", NUMBER).await;
    world.api(|_| Ok(answer(200, &[], ITEMS)));
    let source = world.source(app, poll(), rules(SchemaRule::Quarantine)).await;
    world.pass(5 * MINUTE).await;
    world.crash().await;
    world.pass(5 * MINUTE).await;
    assert_eq!(world.payloads(app).await, [r#"{"id": 1, "total": 5}"#, r#"{"id": 3, "total": 7}"#]);
    assert_eq!(world.verdicts(source).await, ["accepted", "quarantined", "accepted"]);
    let apart = &world.receipts(source).await[1];
    let Verdict::Quarantined { detail } = &apart.verdict else { panic!("{apart:?}") };
    assert!(detail.contains("`order.paid`") && detail.contains("`/total`"), "{detail}");

    assert!(matches!(world.replay(source, apart).await, Verdict::Quarantined { .. }), "nothing was mended yet");
    world.mend_schema("order.paid").await;
    let Verdict::Accepted { message } = world.replay(source, apart).await else { panic!("not accepted") };
    assert_eq!(world.replay(source, apart).await, Verdict::Duplicate { of: message });
    assert_eq!(world.payloads(app).await[2], r#"{"id": 2, "total": "much"}"#);
    // What the poll remembers may be lost: the key of the replay is that of the item.
    world.change_source(source, |source| source.kind = from_json_kind("http://api.test/?again")).await;
    world.pass(5 * MINUTE).await;
    assert_eq!(world.payloads(app).await.len(), 3);
}

fn from_json_kind(url: &str) -> SourceKind {
    SourceKind::Poll(from_json(&format!(r#"{{"url": "{url}", "everyS": 60, "itemId": "$.id"}}"#)))
}

#[tokio::test(start_paused = true)]
async fn a_time_of_a_schedule_is_refused_with_the_path_and_the_next_one_comes() {
    let world = World::new().await;
    let app = world.application().await;
    world.schema("order.paid", NUMBER).await;
    let cron = SourceKind::Cron(Cron { schedule: "* * * * *".into(), payload: r#"{"total": "much"}"#.into(), content_type: None });
    let source = world.source(app, cron, rules(SchemaRule::Reject)).await;
    world.pass(2 * MINUTE).await;
    let verdicts = world.verdicts(source).await;
    assert_eq!(verdicts.len(), 2, "{verdicts:?}");
    assert!(verdicts[0].starts_with("schema_mismatch: The body does not fit the schema of `order.paid`: at `/total`: "), "{verdicts:?}");
    world.mend_schema("order.paid").await;
    let refused = world.receipts(source).await;
    assert!(!refused[0].is_failed_look());
    assert!(matches!(world.replay(source, &refused[0]).await, Verdict::Accepted { .. }));
    assert!(matches!(world.replay(source, &refused[0]).await, Verdict::Duplicate { .. }));
    world.pass(MINUTE).await;
    assert_eq!(world.payloads(app).await.len(), 2);
}

/// Looks overlap by a second, and what is no message has no key in the store.
#[tokio::test(start_paused = true)]
async fn an_event_that_was_kept_apart_is_not_fetched_again() {
    let mut world = World::new().await;
    let app = world.application().await;
    world.schema("order.paid", r#"{"1": {"properties": {"livemode": {"const": false}}}}"#).await;
    let stripe = Stripe::default();
    let served = stripe.clone();
    world.api(move |request| Ok(served.answer(request)));
    let back_fill = from_json(&format!(r#"{{"apiKey": "{STRIPE_KEY}", "everyS": 10, "settleS": 0}}"#));
    let source = world.source(app, webhook("stripe"), SourceRules { back_fill: Some(back_fill), ..rules(SchemaRule::Quarantine) }).await;
    for number in 0..60 {
        stripe.happened(&format!("evt_{number}"), "invoice.paid", world.now());
        world.pass(500).await;
    }
    world.crash().await;
    world.pass(MINUTE).await;
    let receipts = world.receipts(source).await;
    let ids: Vec<_> = receipts.iter().filter_map(|receipt| receipt.event_id.clone()).collect();
    assert_eq!(ids, (0..60).map(|number| format!("evt_{number}")).collect::<Vec<_>>());
    assert!(world.verdicts(source).await.iter().all(|verdict| verdict == "quarantined"));
    world.mend_schema("order.paid").await;
    assert!(matches!(world.replay(source, &receipts[7]).await, Verdict::Accepted { .. }));
    assert_eq!(world.payloads(app).await, [stripe.event("evt_7")]);
}
