//! Tasks that go through the applications of a tenant.

use std::collections::HashSet;
use std::time::Duration;

use hookpost_domain::source::{ProviderSettings, SourceKind, SourceToken, SourceTokens};
use hookpost_domain::task::{BroadcastMessage, TaskStatus, TaskWork};
use hookpost_domain::{ApplicationId, EventType, EventTypeId, EventTypeName, EventTypePattern, OrgId, Source, SourceId, TaskId, Timestamp};
use hookpost_store::history::MessageFilter;
use hookpost_store::{Order, PageRequest};
use serde_json::{Value, json};

use crate::world::{World, uid};

fn name(text: &str) -> EventTypeName {
    EventTypeName::parse(text).expect("a name")
}

fn org() -> OrgId {
    OrgId::parse(OrgId::DEFAULT).expect("an org")
}

fn broadcast(event_id: Option<&str>) -> TaskWork {
    TaskWork::Broadcast {
        message: BroadcastMessage {
            event_type: name("news"),
            event_id: event_id.and_then(uid),
            channels: Vec::new(),
            payload: r#"{"n": 1.50}"#.into(),
            payload_retention_s: 3600,
        },
    }
}

impl World {
    async fn result(&self, task: TaskId) -> Value {
        let task = self.read_task(task).await;
        assert_eq!(task.status, TaskStatus::Finished);
        serde_json::from_str(&task.result.expect("a result")).expect("JSON")
    }

    fn public(&self, application: ApplicationId) -> String {
        self.shared().public_ids().encode(application)
    }

    async fn messages_of(&self, application: ApplicationId) -> usize {
        let page = PageRequest::first(250, Order::Ascending);
        self.shared().messages(application, MessageFilter::default(), page).await.expect("available").items.len()
    }

    async fn event_type(&self, text: &str, schemas: Option<&str>) {
        let (store, now) = (self.shared(), self.now());
        let event_type = EventType {
            id: EventTypeId::from_row(store.new_row_id(now)),
            org: org(),
            name: name(text),
            description: format!("About {text}."),
            archived: false,
            deprecated: false,
            schemas: schemas.map(str::to_owned),
            group_name: None,
            feature_flags: Vec::new(),
            retry_schedule: None,
            created_at: now,
            updated_at: now,
        };
        store.create_event_type(event_type).await.expect("created");
    }
}

#[tokio::test(start_paused = true)]
async fn counts_what_each_application_sent_in_the_window() {
    let world = World::new().await;
    let (first, second) = (world.application_with(|app| app.uid = uid("acme")).await, world.application().await);
    let foreign = world.application_with(|app| app.org = OrgId::management()).await;
    for path in ["a", "b"] {
        world.endpoint(first, path).await;
    }
    world.endpoint(foreign, "c").await;
    for _ in 0..3 {
        world.send(first).await;
        world.send(foreign).await;
    }
    world.settle(60).await;
    let usage = |applications| TaskWork::ApplicationUsage { applications, since: Timestamp::ZERO, until: Timestamp::MAX };
    let task = world.task(None, usage(None)).await;
    world.pass(1000).await;
    let expected = json!([
        { "appId": world.public(first), "appUid": "acme", "messageDestinations": 6 },
        { "appId": world.public(second), "appUid": null, "messageDestinations": 0 },
    ]);
    assert_eq!(world.result(task).await["appStats"], expected);
    let task = world.task(None, usage(Some(vec![second, foreign]))).await;
    world.pass(1000).await;
    assert_eq!(world.result(task).await["appStats"], json!([expected[1]]), "another tenant's application is none");
    let task = world
        .task(None, TaskWork::ApplicationUsage { applications: None, since: Timestamp::ZERO, until: Timestamp::from_unix_ms(1) })
        .await;
    world.pass(1000).await;
    assert_eq!(world.result(task).await["appStats"][0]["messageDestinations"], 0);
}

#[tokio::test(start_paused = true)]
async fn says_what_the_endpoints_of_each_application_ask_for() {
    let world = World::new().await;
    for known in ["order.paid", "order.sent", "user.new"] {
        world.event_type(known, None).await;
    }
    let (first, second) = (world.application().await, world.application().await);
    let patterns = |all: &[&str]| Some(all.iter().map(|one| EventTypePattern::parse(one).expect("a pattern")).collect::<Vec<_>>());
    for wanted in [patterns(&["b", "a"]), patterns(&["a", "order.*"])] {
        world.endpoint_with(first, "x", |endpoint| endpoint.event_types = wanted).await;
    }
    world.endpoint(second, "y").await;
    let task = world.task(None, TaskWork::EventTypeUsage).await;
    world.pass(1000).await;
    let expected = json!([
        { "appId": world.public(first), "explicitlySubscribedEventTypes": ["a", "b", "order.paid", "order.sent"], "hasCatchAllEndpoint": false },
        { "appId": world.public(second), "explicitlySubscribedEventTypes": [], "hasCatchAllEndpoint": true },
    ]);
    assert_eq!(world.result(task).await["event_types"], expected);
}

#[tokio::test(start_paused = true)]
async fn exports_event_types_as_webhooks() {
    let world = World::new().await;
    world.event_type("order.paid", Some(r#"{"1": {"type": "object", "title": "Order"}}"#)).await;
    world.event_type("user.new", None).await;
    let task = world.task(None, TaskWork::ExportEventTypes).await;
    world.pass(1000).await;
    let spec = &world.result(task).await["spec"];
    assert_eq!(spec["openapi"], "3.1.0");
    let body = &spec["webhooks"]["order.paid"]["post"]["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(body["title"], "Order");
    assert_eq!(spec["webhooks"].as_object().map(serde_json::Map::len), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_reaches_each_application_of_the_tenant_once_and_no_source() {
    let world = World::new().await;
    let mut applications = Vec::new();
    for number in 0..120 {
        let application = world.application().await;
        if number % 40 == 0 {
            world.endpoint(application, &format!("e{number}")).await;
        }
        applications.push(application);
    }
    let foreign = world.application_with(|app| app.org = OrgId::management()).await;
    let made_for_source = source_with_application(&world).await;
    let task = world.task(None, broadcast(None)).await;
    world.pass(5000).await;
    world.settle(60).await;
    let result = world.result(task).await;
    assert_eq!((result["messagesCreated"].as_array().map(Vec::len), &result["messagesCreatedCount"]), (Some(120), &json!(120)));
    assert_eq!(world.read_task(task).await.progress.affected, 120);
    for application in applications {
        assert_eq!(world.messages_of(application).await, 1);
    }
    assert_eq!((world.messages_of(foreign).await, world.messages_of(made_for_source).await), (0, 0));
    assert_eq!(world.sent().len(), 3);
    assert_eq!(&world.sent()[0].body[..], br#"{"n": 1.50}"#);
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_makes_none_twice_whenever_the_node_crashes() {
    let mut world = World::new().await;
    let mut applications = Vec::new();
    for _ in 0..130 {
        applications.push(world.application().await);
    }
    world.faults.lock().accepts_left = Some(0);
    let task = world.task(None, broadcast(None)).await;
    for left in [20, 45, 70, 10] {
        world.pass(500).await;
        world.faults.lock().accepts_left = Some(left);
        world.crash().await;
    }
    world.faults.lock().accepts_left = None;
    world.crash().await;
    world.pass(5000).await;
    let result = world.result(task).await;
    let created = result["messagesCreated"].as_array().expect("a list");
    let distinct: HashSet<&str> = created.iter().filter_map(|one| one["appId"].as_str()).collect();
    assert_eq!((created.len(), distinct.len(), &result["messagesCreatedCount"]), (130, 130, &json!(130)));
    for application in applications {
        assert_eq!(world.messages_of(application).await, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_broadcast_could_not_create_is_said() {
    let world = World::new().await;
    let (first, second) = (world.application().await, world.application().await);
    world.send_with(first, "old", |content| content.event_id = uid("e-1")).await;
    let task = world.task(None, broadcast(Some("e-1"))).await;
    world.pass(1000).await;
    let result = world.result(task).await;
    assert_eq!(
        result["messagesFailed"],
        json!([{ "appId": world.public(first), "reason": "the application has a message with this eventId" }])
    );
    assert_eq!(result["messagesCreated"][0]["appId"], json!(world.public(second)));
}

async fn source_with_application(world: &World) -> ApplicationId {
    let (store, now) = (world.shared(), world.now());
    let application = hookpost_domain::Application {
        id: ApplicationId::from_row(store.new_row_id(now)),
        org: org(),
        uid: None,
        name: "made for a source".into(),
        throttle_rate: None,
        metadata: Default::default(),
        created_at: now,
        updated_at: now,
    };
    let source = Source {
        id: SourceId::from_row(store.new_row_id(now + Duration::from_millis(1))),
        org: org(),
        uid: None,
        name: "source".into(),
        kind: SourceKind::Webhook { type_name: "generic-webhook".into(), settings: ProviderSettings("{}".into()) },
        application: application.id,
        owns_application: true,
        tokens: SourceTokens { current: SourceToken("a-token".into()), old: Vec::new() },
        rules: Default::default(),
        disabled: false,
        metadata: Default::default(),
        created_at: now,
        updated_at: now,
    };
    let id = application.id;
    store.create_source(source, Some(application)).await.expect("created");
    id
}
