//! Limits: of one source, and that they are of one source.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use hookpost_domain::limits::{SOURCE_ANSWER_DEADLINE, SOURCE_REJECTED_KEPT_PER_SECOND};
use hookpost_domain::tenant::TenantLimits;
use tokio::time::Instant;

use super::*;

const OTHER_TOKEN: &str = "src_other_0123456789abcdef";

#[tokio::test(start_paused = true)]
async fn a_source_has_a_rate_and_others_do_not_notice() {
    let step = Doorstep::open(SourceRules { rate_limit: Some(2), ..SourceRules::default() }).await;
    let other = add_source(&step.server, "generic-webhook", "{}", SourceRules::default(), OTHER_TOKEN).await;
    for expected in [200, 200, 429, 429] {
        let answer = step.send(Knock::json("{}")).await;
        assert_eq!(answer.status, expected);
        assert_eq!(answer.headers.get("retry-after").map(HeaderValue::as_bytes), (expected == 429).then_some(&b"1"[..]));
        assert_eq!(step.send(Knock { path: format!("/in/{OTHER_TOKEN}"), ..Knock::json("{}") }).await.status, 200);
    }
    step.server.after(Duration::from_secs(1)).await;
    assert_eq!(step.send(Knock::json("{}")).await.status, 200);
    assert_eq!(step.verdicts().await, ["accepted", "accepted", "accepted", "rate_limited", "rate_limited"]);
    assert_ne!(other, step.source);
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_source_works_on_so_many_at_a_time() {
    let step = Doorstep::open(SourceRules { in_flight_max: Some(1), ..SourceRules::default() }).await;
    let never = || Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let slow = step.server.send(Knock::json("").into_request().map(|_| never()));
    let second = async {
        step.server.after(Duration::from_secs(1)).await;
        step.send(Knock::json("{}")).await
    };
    let (slow, second) = tokio::join!(slow, second);
    assert_eq!((slow.summary().as_str(), second.summary().as_str()), ("408 slow_body", "429 too_many_in_flight"));
    assert_eq!(step.send(Knock::json("{}")).await.status, 200);
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn of_a_flood_of_rejections_a_bounded_part_is_kept() {
    let step = Doorstep::github(SourceRules::default()).await;
    for _ in 0..200 {
        assert_eq!(step.send(Knock::json("{}").header("x-hub-signature-256", "sha256=00")).await.status, 401);
    }
    assert_eq!(step.receipts().await.len(), usize::from(SOURCE_REJECTED_KEPT_PER_SECOND));
    assert_eq!(step.send(Knock::github("1", "push", "{}")).await.status, 200);
    let metrics = step.server.send(Request::get("/metrics").body(Body::empty()).unwrap()).await;
    let text = String::from_utf8(metrics.bytes.to_vec()).unwrap();
    assert!(text.contains("hookpost_source_receipts_not_kept_total 180"), "{text}");
    assert!(text.contains(r#"hookpost_source_requests_total{verdict="rejected"} 200"#), "{text}");
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_answered_for_in_time() {
    let step = Doorstep::open(SourceRules::default()).await;
    step.server.hold_store(true);
    let started = Instant::now();
    let answer = step.send(Knock::json("{}")).await;
    assert_eq!(answer.summary(), "503 too_slow");
    assert!(answer.headers.contains_key("retry-after"));
    assert!(started.elapsed() <= SOURCE_ANSWER_DEADLINE + Duration::from_millis(10), "{:?}", started.elapsed());
    step.server.hold_store(false);
    assert_eq!(step.send(Knock::json("{}")).await.status, 200);
    step.server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_limits_of_the_tenant_hold_at_the_door() {
    let limits = TenantLimits { messages_per_s: Some(2), payload_bytes: Some(10), ..TenantLimits::default() };
    let step = Doorstep::with_settings("generic-webhook", "{}", SourceRules::default(), |settings| settings.limits = limits).await;
    let large = step.send(Knock::json(r#"{"a": "0123"}"#)).await;
    assert_eq!(large.summary(), "429 tenant_limit_reached");
    assert_eq!(large.headers.get("retry-after").map(HeaderValue::as_bytes), Some(&b"3600"[..]));
    for expected in [200, 200, 429] {
        assert_eq!(step.send(Knock::json("{}")).await.status, expected);
    }
    assert_eq!(step.verdicts().await, ["accepted", "accepted", "tenant_limit_reached", "tenant_limit_reached"]);
    // What somebody replays is let in, however much it is, unless it is too large still.
    let path = format!("/ingest/api/v1/source/{}/receipt/replay", step.server.api.public(step.source));
    let replayed = step.server.call("POST", &path, serde_json::json!({ "since": "2026-01-01T00:00:00Z" })).await;
    assert_eq!((&replayed.json()["accepted"], &replayed.json()["refused"]), (&1.into(), &1.into()), "{replayed:?}");
    step.server.stop().await;
}
