//! The URL of a source, and its rotation.

use std::time::Duration;

use serde_json::{Value, json};

use super::{SOURCES, at};
use crate::testing::TestServer;

#[tokio::test(start_paused = true)]
async fn a_rotation_gives_another_url_at_most_three_times_in_two_days() {
    let server = TestServer::with_settings(|settings| settings.doors_url = "https://hooks.example.com".to_owned());
    let source = server.source(json!({ "uid": "door" })).await;
    let rotate = format!("{}/token/rotate", at("door"));
    let mut urls = vec![source["ingestUrl"].clone()];
    for _ in 0..3 {
        let answer = server.call("POST", &rotate, None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let url = answer.json()["ingestUrl"].clone();
        assert!(url.as_str().unwrap().starts_with("https://hooks.example.com/in/"), "{url}");
        assert_eq!(server.call("GET", &at("door"), None).await.json()["ingestUrl"], url);
        assert!(!urls.contains(&url), "{url} was given before");
        urls.push(url);
        server.after(Duration::from_secs(3600)).await;
    }
    let refused = server.call("POST", &rotate, json!({})).await;
    assert_eq!(refused.summary(), "400 limit_reached");
    assert_eq!(server.call("GET", &at("door"), None).await.json()["ingestUrl"], urls[3]);
    // The first of them ends two days after it was replaced.
    server.after(Duration::from_secs(45 * 3600 + 1)).await;
    assert_eq!(server.call("POST", &rotate, None).await.status, 200);
    assert_eq!(server.call("POST", &rotate, None).await.summary(), "400 limit_reached");
}

#[tokio::test(start_paused = true)]
async fn who_is_not_called_has_no_url() {
    let server = TestServer::start();
    let body = json!({ "name": "Clock", "type": "cron", "config": { "schedule": "@hourly", "payload": "{}" } });
    let clock = server.call("POST", SOURCES, body).await.json();
    assert_eq!(clock["ingestUrl"], Value::Null);
    let refused = server.call("POST", &format!("{}/token/rotate", at(clock["id"].as_str().unwrap())), None).await;
    assert_eq!(refused.summary(), "400 generic_error");
}
