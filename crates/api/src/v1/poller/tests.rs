use std::time::Duration;

use serde_json::{Value, json};

use crate::testing::{Answer, TestServer};
use crate::v1::stream::tests::{put, stream};

/// A poller of an application; gives the application and the poller.
async fn poller(server: &TestServer, fields: Value) -> (String, String) {
    let app = server.app().await;
    let mut body = json!({ "type": "pollingEndpoint" });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let answer = server.call("POST", &format!("/app/{app}/destination"), body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    (app, answer.id())
}

async fn send(server: &TestServer, app: &str, event_type: &str, totals: impl IntoIterator<Item = u32>) {
    for total in totals {
        server.message(app, json!({ "eventType": event_type, "payload": { "total": total } })).await;
    }
}

fn totals(answer: &Answer) -> Vec<u64> {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.column("payload").iter().map(|payload| payload["total"].as_u64().unwrap()).collect()
}

fn iterator(answer: &Answer) -> String {
    answer.json()["iterator"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_poller_reads_on_from_its_iterator() {
    let server = TestServer::start();
    let (app, sink) = poller(&server, json!({})).await;
    let path = format!("/app/{app}/poller/{sink}");
    let empty = server.call("GET", &path, None).await;
    assert_eq!((totals(&empty), &empty.json()["done"]), (vec![], &json!(true)));
    send(&server, &app, "a", 1..=5).await;
    let first = server.call("GET", &format!("{path}?limit=3&iterator={}", iterator(&empty)), None).await;
    assert_eq!((totals(&first), &first.json()["done"]), (vec![1, 2, 3], &json!(false)));
    let rest = server.call("GET", &format!("{path}?limit=3&iterator={}", iterator(&first)), None).await;
    assert_eq!((totals(&rest), &rest.json()["done"]), (vec![4, 5], &json!(true)));
    let again = server.call("GET", &format!("{path}?limit=3&iterator={}", iterator(&first)), None).await;
    assert_eq!(totals(&again), [4, 5], "nothing is written down");
    let exact = server.call("GET", &format!("{path}?limit=2&iterator={}", iterator(&first)), None).await;
    assert_eq!((totals(&exact), &exact.json()["done"]), (vec![4, 5], &json!(true)), "nothing is behind it");
    assert_eq!(totals(&server.call("GET", &path, None).await), [1, 2, 3, 4, 5], "from the beginning of the poller");
    let message = &rest.json()["data"][1];
    assert_eq!((&message["eventType"], &message["id"].as_str().unwrap()[..4]), (&json!("a"), "msg_"));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_poller_is_asked_for_what_it_takes_only() {
    let server = TestServer::start();
    let app = server.app().await;
    send(&server, &app, "a", [1]).await;
    server.after(Duration::from_secs(10)).await;
    let body = json!({ "type": "pollingEndpoint", "eventTypes": ["a", "b"] });
    let sink = server.call("POST", &format!("/app/{app}/destination"), body).await.id();
    let path = format!("/app/{app}/poller/{sink}");
    send(&server, &app, "a", [2]).await;
    send(&server, &app, "c", [3]).await;
    send(&server, &app, "b", [4]).await;
    server.message(&app, json!({ "eventType": "b", "payload": { "total": 5 }, "channels": ["x"] })).await;
    assert_eq!(totals(&server.call("GET", &path, None).await), [2, 4, 5]);
    assert_eq!(totals(&server.call("GET", &format!("{path}?event_type=b"), None).await), [4, 5]);
    assert_eq!(totals(&server.call("GET", &format!("{path}?channel=x"), None).await), [5]);
    let early = server.api.now() - Duration::from_secs(3600);
    assert_eq!(totals(&server.call("GET", &format!("{path}?after={early}"), None).await), [1, 2, 4, 5], "also from before the poller");
    let tried = server.endpoint(&app, json!({})).await;
    server.call("POST", &format!("/app/{app}/endpoint/{tried}/send-example"), json!({ "eventType": "svix.ping" })).await;
    assert_eq!(server.call("GET", &format!("/app/{app}/events"), None).await.column("eventType").len(), 6);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_iterator_is_good_where_it_was_given() {
    let server = TestServer::start();
    let (app, one) = poller(&server, json!({})).await;
    let other = server.call("POST", &format!("/app/{app}/destination"), json!({ "type": "pollingEndpoint" })).await.id();
    let of_one = iterator(&server.call("GET", &format!("/app/{app}/poller/{one}"), None).await);
    let rule = "422 query.iterator: must be an iterator that was given here: each is good where it came from and nowhere else";
    for path in [
        format!("/app/{app}/poller/{other}"),
        format!("/app/{app}/events"),
        "/events".to_owned(),
        format!("/app/{app}/poller/{other}/consumer/c"),
    ] {
        for iterator in [of_one.as_str(), "iter_", "msg_1", "iter_zzzzzzzzzzzzzzzzzzzzzz"] {
            assert_eq!(server.call("GET", &format!("{path}?iterator={iterator}"), None).await.summary(), rule);
        }
    }
    let http = json!({ "type": "fifoEndpoint", "config": { "url": "https://example.com" } });
    let http = server.call("POST", &format!("/app/{app}/destination"), http).await.id();
    assert_eq!(server.call("GET", &format!("/app/{app}/poller/{http}"), None).await.summary(), "400 not_a_poller");
    server.call("PATCH", &format!("/app/{app}/destination/{one}"), json!({ "status": "disabled" })).await;
    assert_eq!(server.call("GET", &format!("/app/{app}/poller/{one}"), None).await.summary(), "400 sink_disabled");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_poll_waits_for_something_to_come() {
    let server = TestServer::start();
    let (app, sink) = poller(&server, json!({})).await;
    let path = format!("/app/{app}/poller/{sink}?wait=30");
    let started = server.api.now();
    let later = async {
        server.after(Duration::from_millis(7_300)).await;
        send(&server, &app, "a", [1]).await;
    };
    let (answer, ()) = tokio::join!(server.call("GET", &path, None), later);
    assert_eq!((totals(&answer), server.api.now().since(started)), (vec![1], Duration::from_millis(7_300)), "woken at once");

    let started = server.api.now();
    let empty = server.call("GET", &format!("{path}&iterator={}", iterator(&answer)), None).await;
    assert_eq!((totals(&empty), server.api.now().since(started)), (vec![], Duration::from_secs(30)));
    let answer = server.call("GET", &format!("/app/{app}/poller/{sink}?wait=31"), None).await;
    assert_eq!(answer.summary(), "422 query.wait: must be between 0 and 30");

    let stopping = async {
        server.after(Duration::from_secs(3)).await;
        server.stopping.cancel();
    };
    let started = server.api.now();
    let waiting = format!("{path}&iterator={}", iterator(&empty));
    let (answer, ()) = tokio::join!(server.call("GET", &waiting, None), stopping);
    assert_eq!((totals(&answer), server.api.now().since(started)), (vec![], Duration::from_secs(3)), "a server that stops lets them go");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_matches_little_moves_on_all_the_same() {
    let server = TestServer::start();
    let (app, sink) = poller(&server, json!({ "eventTypes": ["rare"] })).await;
    send(&server, &app, "common", 0..2100).await;
    send(&server, &app, "rare", [7]).await;
    let path = format!("/app/{app}/poller/{sink}");
    let first = server.call("GET", &path, None).await;
    assert_eq!((totals(&first), &first.json()["done"]), (vec![], &json!(false)));
    let second = server.call("GET", &format!("{path}?iterator={}", iterator(&first)), None).await;
    assert_eq!((totals(&second), &second.json()["done"]), (vec![7], &json!(true)));
    let consumer = format!("{path}/consumer/c");
    assert!(totals(&server.call("GET", &consumer, None).await).is_empty());
    assert_eq!(totals(&server.call("GET", &consumer, None).await), [7], "its place moved, though it sent no iterator");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_consumer_gets_again_what_it_did_not_confirm() {
    let server = TestServer::start();
    let (app, sink) = poller(&server, json!({})).await;
    send(&server, &app, "a", 1..=3).await;
    let path = format!("/app/{app}/poller/{sink}/consumer");
    let first = server.call("GET", &format!("{path}/one?limit=2"), None).await;
    assert_eq!(totals(&first), [1, 2]);
    assert_eq!(totals(&server.call("GET", &format!("{path}/one?limit=2"), None).await), [1, 2], "it may have crashed");
    let second = server.call("GET", &format!("{path}/one?iterator={}", iterator(&first)), None).await;
    assert_eq!(totals(&second), [3]);
    assert_eq!(totals(&server.call("GET", &format!("{path}/one"), None).await), [3], "confirmed is the first answer");
    assert_eq!(totals(&server.call("GET", &format!("{path}/two"), None).await), [1, 2, 3], "each has its own place");

    server.after(Duration::from_secs(10)).await;
    let now = server.api.now();
    send(&server, &app, "a", [4]).await;
    server.after(Duration::from_secs(10)).await;
    let sought = server.call("POST", &format!("{path}/one/seek"), json!({ "after": (now - Duration::from_secs(1)).to_string() })).await;
    assert_eq!(sought.status, 200, "{sought:?}");
    assert_eq!(totals(&server.call("GET", &format!("{path}/one"), None).await), [4]);
    assert_eq!(totals(&server.call("GET", &format!("{path}/one?iterator={}", iterator(&sought)), None).await), [4]);
    let answer = server.call("POST", &format!("{path}/one/seek"), json!({ "after": "soon" })).await;
    assert_eq!(answer.summary(), "422 body.after: must be a time such as `2026-01-02T03:04:05Z`");
    let answer = server.call("GET", &format!("{path}/a%20b"), None).await;
    assert_eq!(answer.summary(), "422 path.consumer_id: must be made of letters, digits and `-` `_` `.` `:`");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn workers_of_a_consumer_are_lent_messages_in_order() {
    let server = TestServer::start();
    let (app, sink) = poller(&server, json!({})).await;
    send(&server, &app, "a", 1..=4).await;
    let path = format!("/app/{app}/polling-endpoint/{sink}/consumer/c");
    let poll = || server.call("GET", &path, None);
    let first = server.call("GET", &format!("{path}?limit=2&lease_duration_ms=10000"), None).await;
    assert_eq!(totals(&first), [1, 2]);
    assert!(totals(&poll().await).is_empty(), "nobody else gets it, nor what follows");
    server.after(Duration::from_millis(10_001)).await;
    let again = server.call("GET", &format!("{path}?limit=2"), None).await;
    assert_eq!(totals(&again), [1, 2], "the worker died");
    let offset = |answer: &Answer, index: usize| answer.json()["data"][index]["offset"].clone();
    assert_eq!(offset(&again, 0), offset(&first, 0));
    let commit_path = format!("{path}/commit");
    let commit = |offset: Value| server.call("POST", &commit_path, json!({ "offset": offset }));
    assert_eq!(commit(offset(&again, 0)).await.status, 204);
    assert!(totals(&poll().await).is_empty(), "the second is lent still");
    assert_eq!(commit(offset(&again, 1)).await.status, 204);
    assert_eq!(totals(&poll().await), [3, 4]);
    let rounded = json!(offset(&again, 1).as_u64().unwrap() + 1);
    assert_eq!(
        commit(rounded).await.summary(),
        "422 body.offset: must be the `offset` of a message that was handed out, to the last digit"
    );
    assert_eq!(commit(json!(u64::MAX)).await.status, 422);

    server.after(Duration::from_secs(31)).await;
    let free = server.call("GET", &format!("{path}?lease_duration_ms=0"), None).await;
    assert_eq!((totals(&free), totals(&poll().await)), (vec![3, 4], vec![3, 4]), "nothing was lent");
    let start = async |consumer: &str, position: &str| {
        let path = format!("/app/{app}/polling-endpoint/{sink}/consumer/{consumer}?starting_position={position}");
        server.call("GET", &path, None).await
    };
    assert!(totals(&start("late", "latest").await).is_empty());
    assert_eq!(totals(&start("early", "earliest").await), [1, 2, 3, 4]);
    send(&server, &app, "a", [5]).await;
    assert_eq!(totals(&start("late", "latest").await), [5], "it began when it came first");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_polled_too() {
    let server = TestServer::start();
    let stream = stream(&server, json!({})).await;
    let sink = server.call("POST", &format!("/stream/{stream}/sink"), json!({ "type": "poller" })).await.id();
    put(&server, &stream, &["1", "2", "3"]).await;
    let path = format!("/stream/{stream}/sink/{sink}/events");
    let first = server.call("GET", &format!("{path}?limit=2"), None).await;
    assert_eq!((first.column("payload"), &first.json()["done"]), (vec![json!("1"), json!("2")], &json!(false)));
    let later = async {
        server.after(Duration::from_secs(2)).await;
        put(&server, &stream, &["4"]).await;
    };
    let rest = server.call("GET", &format!("{path}?iterator={}", iterator(&first)), None).await;
    assert_eq!(rest.column("payload"), ["3"]);
    let waiting = format!("{path}?wait=20&iterator={}", iterator(&rest));
    let (answer, ()) = tokio::join!(server.call("GET", &waiting, None), later);
    assert_eq!(answer.column("payload"), ["4"]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_messages_of_an_application_and_of_the_environment_are_read_along() {
    let server = TestServer::start();
    let app = server.app().await;
    send(&server, &app, "a", [1]).await;
    server.message(&app, json!({ "eventType": "b", "payload": { "total": 2 }, "channels": ["x"] })).await;
    let path = format!("/app/{app}/events");
    let all = server.call("GET", &path, None).await;
    assert_eq!(totals(&all), [1, 2]);
    assert_eq!(totals(&server.call("GET", &format!("{path}?event_types=b"), None).await), [2]);
    assert_eq!(totals(&server.call("GET", &format!("{path}?channels=x,y"), None).await), [2]);
    send(&server, &app, "a", [3]).await;
    assert_eq!(totals(&server.call("GET", &format!("{path}?iterator={}", iterator(&all)), None).await), [3]);

    let none = server.call("GET", "/events", None).await;
    assert_eq!((none.column("eventType").len(), &none.json()["done"]), (0, &json!(true)), "nobody is told of them");
    let management = server.token_of(hookpost_domain::OrgId::MANAGEMENT);
    let told = json!({ "name": "Told", "uid": hookpost_domain::OrgId::DEFAULT });
    assert_eq!(server.call_as(&management, "POST", "/app", told).await.status, 201);
    server.endpoint(&app, json!({})).await;
    server.settle().await;
    let events = server.call("GET", &format!("/events?iterator={}", iterator(&none)), None).await;
    assert_eq!(events.column("eventType"), ["endpoint.created"], "the iterator from before is good");
    let portal = server.portal_token(&app, |_| {});
    assert_eq!(server.call_as(&portal, "GET", "/events", None).await.summary(), "403 insufficient access");
    server.stop().await;
}
