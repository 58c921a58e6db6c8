//! Operational webhooks: what tenants are told, and that it never gets in the way.

use hookpost_domain::OrgId;
use hookpost_domain::operational::{EndpointFacts, OperationalEvent};

use crate::world::{Reply, World, schedule, uid};

async fn told() -> World {
    World::with(|settings| {
        settings.operational_webhooks = true;
        settings.retry_schedule = schedule("100ms,100ms,100ms,100ms,100ms").unwrap();
    })
    .await
}

/// The application of the management tenant that is about the default tenant.
async fn management(world: &World) {
    let app = world
        .application_with(|app| {
            app.org = OrgId::management();
            app.uid = uid(OrgId::DEFAULT);
        })
        .await;
    world.endpoint(app, "told").await;
}

fn news(world: &World) -> Vec<serde_json::Value> {
    world.sent_to("told").iter().map(|sent| serde_json::from_slice(&sent.body).unwrap()).collect()
}

fn types(world: &World) -> Vec<String> {
    news(world).iter().map(|news| news["type"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn tells_of_failing_exhausted_and_recovered_messages() {
    for (fails, expected) in [
        (3, vec![]),
        (4, vec!["message.attempt.failing", "message.attempt.recovered"]),
        (9, vec!["message.attempt.failing", "message.attempt.exhausted"]),
    ] {
        let world = told().await;
        management(&world).await;
        let app = world.application_with(|app| app.uid = uid("acme")).await;
        let endpoint = world.endpoint(app, "a").await;
        world.script(move |sent| Reply::status(if sent.path == "/a" && sent.attempt <= fails { 500 } else { 200 }));
        let message = world.send_with(app, "order.paid", |content| content.event_id = uid("e-1")).await;
        world.settle(10).await;
        assert_eq!(types(&world), expected);
        let ids = hookpost_store::Store::public_ids(&*world.store).clone();
        for news in news(&world) {
            let data = &news["data"];
            assert_eq!((data["appUid"].as_str(), data["msgEventId"].as_str()), (Some("acme"), Some("e-1")));
            assert_eq!(data["msgId"].as_str().unwrap(), ids.encode(message));
            assert_eq!(data["endpointId"].as_str().unwrap(), ids.encode(endpoint));
            assert!(data["lastAttempt"]["id"].as_str().unwrap().starts_with("atmpt_"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn tells_of_circuits_warnings_and_disabling() {
    let world = World::with(|settings| {
        settings.operational_webhooks = true;
        settings.retry_schedule = schedule("1h").unwrap();
        settings.health.disable_after = std::time::Duration::from_secs(8 * 3600);
    })
    .await;
    management(&world).await;
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    world.script(|sent| Reply::status(if sent.path == "/a" { 500 } else { 200 }));
    while !world.read_endpoint(app, endpoint).await.disabled.is_disabled() {
        world.send(app).await;
        world.pass(600_000).await;
    }
    let mut told = types(&world);
    told.retain(|news| news.starts_with("endpoint."));
    assert_eq!(told, ["endpoint.circuit_opened", "endpoint.disable_warning", "endpoint.disabled"]);

    world.change_endpoint(app, endpoint, |endpoint| endpoint.disabled = hookpost_domain::endpoint::Disabled::No).await;
    world.script(|_| Reply::status(410));
    world.send(app).await;
    world.pass(1000).await;
    assert_eq!(news(&world).last().unwrap()["type"], "endpoint.disabled");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_about_the_endpoints_that_are_told() {
    let world = told().await;
    management(&world).await;
    let app = world.application().await;
    world.endpoint(app, "a").await;
    world.script(|_| Reply::status(500));
    world.send(app).await;
    world.settle(60).await;
    // Two events about `a`; each fails six times at its own endpoint, about which nothing is said.
    assert_eq!(world.sent_to("told").len(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_events_is_bounded_and_delays_nothing() {
    let world = told().await;
    management(&world).await;
    let facts = EndpointFacts {
        application: world.application().await,
        application_uid: None,
        endpoint: hookpost_domain::EndpointId::from_row(hookpost_domain::RowId::MIN),
        endpoint_uid: None,
    };
    for _ in 0..5000 {
        world.engine.publish(&OrgId::parse(OrgId::DEFAULT).unwrap(), OperationalEvent::EndpointCreated(facts.clone()));
    }
    world.settle(60).await;
    assert_eq!(world.sent_to("told").len(), 1024);
    // A tenant without such an application is told nothing.
    world.engine.publish(&OrgId::parse(&format!("org_{}", "x".repeat(27))).unwrap(), OperationalEvent::EndpointCreated(facts));
    world.settle(60).await;
    assert_eq!(world.sent_to("told").len(), 1024);
}

/// Of the default tenant, for a source of its own.
async fn application_of_source(world: &World) -> (hookpost_domain::ApplicationId, String) {
    let app = crate::tasks::source_with_application(world).await;
    let store = world.shared();
    let org = OrgId::parse(OrgId::DEFAULT).unwrap();
    let page = hookpost_store::PageRequest::first(9, hookpost_store::Order::Ascending);
    let source = store.sources(&org, page).await.unwrap().items[0].id;
    (app, store.public_ids().encode(source))
}

#[tokio::test(start_paused = true)]
async fn what_happens_at_the_endpoints_of_a_source_is_told_of_the_source() {
    let world = told().await;
    management(&world).await;
    let (app, source) = application_of_source(&world).await;
    world.endpoint(app, "a").await;
    world.script(|sent| Reply::status(if sent.path == "/a" { 500 } else { 200 }));
    world.send(app).await;
    world.settle(60).await;
    assert_eq!(types(&world), ["ingest.message.attempt.failing", "ingest.message.attempt.exhausted"]);
    for news in news(&world) {
        assert_eq!((news["data"]["sourceId"].as_str(), news["data"].get("appId")), (Some(source.as_str()), None));
    }
    world.script(|sent| Reply::status(if sent.path == "/a" { 410 } else { 200 }));
    world.send(app).await;
    world.settle(60).await;
    let last = news(&world).into_iter().find(|news| news["type"] == "ingest.endpoint.disabled").expect("told");
    assert_eq!(last["data"]["trigger"], "automatic");
}

#[tokio::test(start_paused = true)]
async fn attempts_are_logged_in_batches_for_who_names_the_log() {
    let world = told().await;
    let log = hookpost_domain::EventTypePattern::parse("message.attempt.log").unwrap();
    let about = world
        .application_with(|app| {
            app.org = OrgId::management();
            app.uid = uid(OrgId::DEFAULT);
        })
        .await;
    world.endpoint(about, "told").await;
    let app = world.application().await;
    world.endpoint(app, "a").await;
    world.send(app).await;
    world.settle(10).await;
    assert_eq!(world.sent_to("told").len(), 0, "not for who wants everything");
    let named = world.endpoint_with(about, "log", |endpoint| endpoint.event_types = Some(vec![log])).await;
    world.script(|sent| Reply::status(if sent.path == "/a" && sent.attempt == 1 { 500 } else { 200 }));
    for _ in 0..130 {
        world.send_with(app, "order.paid", |content| content.tags = Vec::new()).await;
    }
    world.settle(10).await;
    world.pass(10_000).await;
    let logged: Vec<serde_json::Value> = world.sent_to("log").iter().map(|sent| serde_json::from_slice(&sent.body).unwrap()).collect();
    let entries: Vec<&serde_json::Value> = logged.iter().flat_map(|event| event["data"].as_array().unwrap()).collect();
    assert_eq!(entries.len(), 260, "every attempt, failed or not, and none of the log's own");
    assert!(logged.len() <= 8 && logged.iter().all(|event| event["type"] == "message.attempt.log"), "{} events", logged.len());
    let failed = entries.iter().filter(|entry| entry["status"] == 2 && entry["responseStatusCode"] == 500 && entry["attemptCount"] == 1);
    assert_eq!(failed.count(), 130);
    assert_eq!(world.sent_to("told").len(), 0);
    // Nobody is there to be told any more.
    let now = world.now();
    world.shared().delete_endpoint(about, named, now).await.unwrap();
    world.send(app).await;
    world.pass(20_000).await;
    assert_eq!(world.sent_to("log").len(), logged.len());
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_task_is_told_with_what_came_out_of_it() {
    let world = told().await;
    management(&world).await;
    world.task(None, hookpost_domain::task::TaskWork::EventTypeUsage).await;
    let app = world.application().await;
    world.task(app, hookpost_domain::task::TaskWork::ExpungeAllContents { application: app }).await;
    world.pass(1000).await;
    let told = news(&world);
    assert_eq!(types(&world), ["background_task.finished"; 2]);
    let usage = told.iter().find(|news| news["data"]["task"] == "event-type.aggregate").expect("told");
    assert_eq!((&usage["data"]["status"], usage["data"]["data"]["event_types"].is_array()), (&"finished".into(), true));
    let purge = told.iter().find(|news| news["data"]["task"] == "application.purge_content").expect("told");
    assert_eq!(purge["data"]["data"]["messages_purged"], 0);
}
